#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char units[] = "KMGT";

int size_parse(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    const char *at = text;

    for (; isdigit((unsigned char)*at); at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return -ERANGE;
    }
    if (at == text)
        return -EINVAL;
    if (*at != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)*at));
        if (!unit || at[1] != '\0')
            return -EINVAL;
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (value > UINT64_MAX >> shift)
            return -ERANGE;
        value <<= shift;
    }
    *out = value;
    return 0;
}

const char *size_format(uint64_t bytes, char out[SIZE_TEXT_BYTES])
{
    int unit = -1;

    while (bytes != 0 && bytes % 1024 == 0 && unit < 3) {
        bytes /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(out, SIZE_TEXT_BYTES, "%" PRIu64, bytes);
    else
        snprintf(out, SIZE_TEXT_BYTES, "%" PRIu64 "%c", bytes, units[unit]);
    return out;
}

const char *size_human(uint64_t bytes, char out[SIZE_TEXT_BYTES])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1000 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(out, SIZE_TEXT_BYTES, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, names[unit]);
    return out;
}
