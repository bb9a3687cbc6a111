#include "tenant_option.h"

#include "size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 32u

/* ---- values; 0 or why not ---- */

static const char *set_size(uint64_t *out, const char *value)
{
    return size_parse(value, out) ? "is not a size; write bytes, or a number with K, M, G or T" : NULL;
}

static const char *set_number(uint32_t *out, const char *value, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (value[0] < '0' || value[0] > '9' || *end != '\0')
        return "is not a number";
    if (number < least || number > most)
        return "is out of range";
    *out = (uint32_t)number;
    return NULL;
}

static const char *set_switch(bool *out, const char *value)
{
    *out = strcmp(value, "on") == 0;
    return *out || strcmp(value, "off") == 0 ? NULL : "is not one of on, off";
}

static const char *set_policy(enum eviction_policy *out, const char *value)
{
    return eviction_policy_find(value, out) ? NULL : "is not one of lru, s3fifo, sieve";
}

/* ---- settings ---- */

static const char *set_reserve(struct tenant_settings *settings, const char *value)
{
    return set_size(&settings->reserve, value);
}

static const char *set_limit(struct tenant_settings *settings, const char *value)
{
    return set_size(&settings->limit, value);
}

static const char *set_weight(struct tenant_settings *settings, const char *value)
{
    return set_number(&settings->weight, value, 1, SHARES_MAX_WEIGHT);
}

static const char *set_the_policy(struct tenant_settings *settings, const char *value)
{
    return set_policy(&settings->policy, value);
}

static const char *set_admission(struct tenant_settings *settings, const char *value)
{
    return set_switch(&settings->admission, value);
}

static const char *set_max_fills(struct tenant_settings *settings, const char *value)
{
    return set_number(&settings->max_fills, value, 0, UINT32_MAX);
}

static const char *set_max_waiters(struct tenant_settings *settings, const char *value)
{
    return set_number(&settings->max_waiters, value, 0, UINT32_MAX);
}

static const char *set_max_pins(struct tenant_settings *settings, const char *value)
{
    return set_number(&settings->max_pins, value, 0, UINT32_MAX);
}

static const char *set_max_proxies(struct tenant_settings *settings, const char *value)
{
    return set_number(&settings->max_proxies, value, 0, UINT32_MAX);
}

static const struct {
    const char *name;
    const char *(*set)(struct tenant_settings *settings, const char *value);
} kinds[] = {
    {"reserve", set_reserve},         {"limit", set_limit},         {"weight", set_weight},
    {"policy", set_the_policy},       {"admission", set_admission}, {"max_fills", set_max_fills},
    {"max_waiters", set_max_waiters}, {"max_pins", set_max_pins},   {"max_proxies", set_max_proxies},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int tenant_option_set(struct tenant_settings *settings, const char *name, const char *value, char *problem,
                      size_t problem_size)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) != 0)
            continue;
        const char *why = kinds[i].set(settings, value);
        if (!why)
            return 0;
        snprintf(problem, problem_size, "%s: '%s' %s", name, value, why);
        return -EINVAL;
    }
    snprintf(problem, problem_size,
             "there is no setting '%s'; there are reserve, limit, weight, policy, admission, max_fills, "
             "max_waiters, "
             "max_pins, max_proxies",
             name);
    return -EINVAL;
}

/* ---- text ---- */

static int complain(char *problem, size_t size, const char *why)
{
    snprintf(problem, size, "%s", why);
    return -EINVAL;
}

/* `length` bytes of text, as text of its own; false: too long, or empty. */
static bool cut(char *out, size_t size, const char *text, size_t length)
{
    if (length == 0 || length >= size)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static int parse_setting(struct tenant_settings *settings, const char *text, size_t length, char *problem,
                         size_t problem_size)
{
    const char *equals = memchr(text, '=', length);
    char name[VALUE_MAX], value[VALUE_MAX];

    if (!equals || !cut(name, sizeof(name), text, (size_t)(equals - text)) ||
        !cut(value, sizeof(value), equals + 1, length - (size_t)(equals - text) - 1))
        return complain(problem, problem_size, "write SETTING=VALUE, with commas between them");
    return tenant_option_set(settings, name, value, problem, problem_size);
}

int tenant_option_parse(struct tenant_config *config, const char *text, char *problem, size_t problem_size)
{
    size_t length = strcspn(text, ":");

    *config = (struct tenant_config){.settings = TENANT_DEFAULTS};
    if (text[length] != ':')
        return complain(problem, problem_size, "write NAME:SETTING=VALUE,...");
    if (!cut(config->name, sizeof(config->name), text, length) || !names_tenant_valid(config->name))
        return complain(problem, problem_size, "the name has 1 to 63 letters, digits, '-', '_' or '.'");
    for (const char *at = text + length + 1;; at += length + 1) {
        length = strcspn(at, ",");
        int error = parse_setting(&config->settings, at, length, problem, problem_size);
        if (error || at[length] == '\0')
            return error;
    }
}
