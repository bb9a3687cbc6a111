#include "address_list.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS 96u /* in front of an IPv4 address */

static void map_v4(uint8_t out[16], const void *v4)
{
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, v4, 4);
}

static bool bit(const uint8_t *bytes, uint32_t i)
{
    return bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool rest_is_zero(const struct address_range *range)
{
    for (uint32_t i = range->bits; i < 128; i++) {
        if (bit(range->bytes, i))
            return false;
    }
    return true;
}

/* "24" of "10.0.0.0/24": at most `most`, no sign, no spaces. */
static bool parse_bits(const char *text, uint32_t most, uint32_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9' || strlen(text) > 3)
        return false;
    *out = (uint32_t)strtoul(text, &end, 10);
    return *end == '\0' && *out <= most;
}

/* Takes the brackets off. */
static char *bare(char *text)
{
    size_t length = strlen(text);

    if (length < 2 || text[0] != '[' || text[length - 1] != ']')
        return text;
    text[length - 1] = '\0';
    return text + 1;
}

static bool parse_range(struct address_range *out, char *text)
{
    char *slash = strchr(text, '/');
    struct in_addr v4;
    bool is_v4;

    if (slash)
        *slash = '\0';
    text = bare(text);
    is_v4 = inet_pton(AF_INET, text, &v4) == 1;
    if (is_v4)
        map_v4(out->bytes, &v4);
    else if (inet_pton(AF_INET6, text, out->bytes) != 1)
        return false;
    out->bits = is_v4 ? 32 : 128;
    if (slash && !parse_bits(slash + 1, out->bits, &out->bits))
        return false;
    out->bits += is_v4 ? V4_BITS : 0;
    return rest_is_zero(out);
}

bool address_list_add(struct address_list *out, const char *text)
{
    char copy[64];

    for (;;) {
        size_t length = strcspn(text, ",");

        if (length == 0 || length >= sizeof copy || out->count == ADDRESS_LIST_MAX)
            return false;
        memcpy(copy, text, length);
        copy[length] = '\0';
        if (!parse_range(&out->ranges[out->count++], copy))
            return false;
        if (text[length] == '\0')
            return true;
        text += length + 1;
        text += strspn(text, " ");
    }
}

static bool bytes_of(uint8_t out[16], const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        map_v4(out, &((const struct sockaddr_in *)(const void *)address)->sin_addr);
    else if (address->sa_family == AF_INET6)
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    return address->sa_family == AF_INET || address->sa_family == AF_INET6;
}

static bool is_in(const struct address_range *range, const uint8_t bytes[16])
{
    for (uint32_t i = 0; i < range->bits; i++) {
        if (bit(range->bytes, i) != bit(bytes, i))
            return false;
    }
    return true;
}

bool address_list_has(const struct address_list *list, const struct sockaddr *address)
{
    uint8_t bytes[16];

    if (!bytes_of(bytes, address))
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        if (is_in(&list->ranges[i], bytes))
            return true;
    }
    return false;
}
