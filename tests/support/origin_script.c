#include "origin_script.h"

#include "origin_stats.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int64_t script_number(const char *text)
{
    char *end;
    long long value;
    int shift = 0;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || value < 0)
        return -1;
    if (*end && strchr("KMG", *end))
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
    if (end[shift ? 1 : 0] || value > INT64_MAX >> shift)
        return -1;
    return (int64_t)value << shift;
}

static int hex_digit(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : (tolower((unsigned char)c) - 'a') + 10;
}

bool percent_decode(char *text, bool keep_slash)
{
    char *out = text;

    for (const char *in = text; *in; in++) {
        int high, low;

        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        high = hex_digit(in[1]);
        low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        if (keep_slash && high == 2 && low == 15) {
            *out++ = *in;
            continue;
        }
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return true;
}

/* Each parameter lives once, here: where its number, flag, word or list goes. */
enum kind { NUMBER, FLAG, WORD, ADDED, HINT, TRAILER, OMITTED, HOLD_AT };
static const struct parameter {
    const char *name;
    enum kind kind;
    size_t offset;
} PARAMETERS[] = {
    {"size", NUMBER, offsetof(struct origin_script, size)},
    {"seed", NUMBER, offsetof(struct origin_script, seed)},
    {"version", NUMBER, offsetof(struct origin_script, version)},
    {"status", NUMBER, offsetof(struct origin_script, status)},
    {"length", NUMBER, offsetof(struct origin_script, length)},
    {"close", NUMBER, offsetof(struct origin_script, close_at)},
    {"reset", NUMBER, offsetof(struct origin_script, reset_at)},
    {"delay", NUMBER, offsetof(struct origin_script, delay_ms)},
    {"rate", NUMBER, offsetof(struct origin_script, rate)},
    {"interim", NUMBER, offsetof(struct origin_script, interim)},
    {"interims", NUMBER, offsetof(struct origin_script, interims)},
    {"n", NUMBER, offsetof(struct origin_script, n)},
    {"chunked", FLAG, offsetof(struct origin_script, chunked)},
    {"nolength", FLAG, offsetof(struct origin_script, no_length)},
    {"drop", FLAG, offsetof(struct origin_script, drop)},
    {"garbage", FLAG, offsetof(struct origin_script, garbage)},
    {"echo", FLAG, offsetof(struct origin_script, echo)},
    {"noifrange", FLAG, offsetof(struct origin_script, no_if_range)},
    {"gzip", FLAG, offsetof(struct origin_script, gzip)},
    {"self", FLAG, offsetof(struct origin_script, self)},
    {"by", WORD, offsetof(struct origin_script, by)},
    {"early", FLAG, offsetof(struct origin_script, early)},
    {"raw", WORD, offsetof(struct origin_script, raw)},
    {"hold", WORD, offsetof(struct origin_script, hold)},
    {"name", WORD, offsetof(struct origin_script, name)},
    {"header", ADDED, 0},
    {"hint", HINT, 0},
    {"trailer", TRAILER, 0},
    {"noheader", OMITTED, 0},
    {"hold_at", HOLD_AT, 0},
};

static bool append(char **list, size_t *count, char *value)
{
    if (*count == SCRIPT_MAX_FIELDS)
        return false;
    list[(*count)++] = value;
    return true;
}

static bool set(struct origin_script *script, const struct parameter *parameter, char *value)
{
    char *place = (char *)script + parameter->offset;
    int64_t number = script_number(value);

    switch (parameter->kind) {
    case NUMBER:
        memcpy(place, &number, sizeof(number));
        return number >= 0;
    case FLAG:
        *(bool *)place = number == 1;
        return number == 0 || number == 1;
    case WORD:
        memcpy(place, &value, sizeof(value));
        return *value != '\0';
    case ADDED:
        return strchr(value, ':') && append(script->add, &script->added, value);
    case HINT:
        return strchr(value, ':') && append(script->hint, &script->hints, value);
    case TRAILER:
        script->chunked = true;
        return strchr(value, ':') && append(script->trailer, &script->trailers, value);
    case OMITTED:
        return append(script->omit, &script->omitted, value);
    case HOLD_AT:
        script->hold_at = strcmp(value, "head") == 0 ? SCRIPT_HOLD_HEAD : number;
        return number >= 0 || script->hold_at == SCRIPT_HOLD_HEAD;
    }
    return false;
}

static const struct parameter *find_named(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(PARAMETERS) / sizeof(PARAMETERS[0]); i++)
        if (strlen(PARAMETERS[i].name) == length && strncmp(PARAMETERS[i].name, name, length) == 0)
            return &PARAMETERS[i];
    return NULL;
}

/* NAMED counts as NAME while the version is D. */
static const struct parameter *find(const char *name)
{
    size_t length = strlen(name);

    if (length > 0 && isdigit((unsigned char)name[length - 1]))
        return origin_version == (uint64_t)(name[length - 1] - '0') ? find_named(name, length - 1) : NULL;
    return find_named(name, length);
}

int script_parse(struct origin_script *script, const char *query, const char **problem)
{
    char *rest, *item;

    *script = (struct origin_script){.size = -1,
                                     .version = -1,
                                     .length = -1,
                                     .close_at = -1,
                                     .reset_at = -1,
                                     .interims = 1,
                                     .hold_at = SCRIPT_HOLD_HALF};
    script->text = rest = strdup(query);
    if (!rest)
        abort();
    while ((item = strsep(&rest, "&"))) {
        char *value = strchr(item, '=');
        const struct parameter *parameter;

        if (!value)
            continue;
        *value++ = '\0';
        parameter = find(item);
        if (!parameter)
            continue;
        *problem = parameter->name;
        if (!percent_decode(value, false) || !set(script, parameter, value))
            return -EINVAL;
    }
    *problem = "status";
    return script->status && (script->status < 200 || script->status > 999) ? -EINVAL : 0;
}

void script_clear(struct origin_script *script)
{
    free(script->text);
    script->text = NULL;
}

bool script_allows(const struct origin_script *script, const char *field)
{
    size_t length = strlen(field);

    for (size_t i = 0; i < script->omitted; i++)
        if (strcasecmp(script->omit[i], field) == 0)
            return false;
    for (size_t i = 0; i < script->added; i++)
        if (strncasecmp(script->add[i], field, length) == 0 && script->add[i][length] == ':')
            return false;
    return true;
}
