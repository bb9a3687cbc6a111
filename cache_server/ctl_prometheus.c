#include "ctl_prometheus.h"

#include "ctl_stats.h"

#include <inttypes.h>
#include <string.h>

#define NUMBERS    (COUNTER_COUNT + GAUGE_COUNT)
#define NAME_BYTES 96

/* Numbers that get another name than their own, and those that are one family told apart by a label. Looked
 * up by name: a number that this release of the cache does not have is none. */
static const struct special {
    const char *number;        /* in counters.def */
    const char *family;        /* without "larder_", and "proxy_" for proxies */
    const char *label, *value; /* NULL: none */
    const char *help;          /* NULL: that of counters.def */
} specials[] = {
    {"hits", "cache_requests_total", "status", "hit", "lookups by what they found"},
    {"stale", "cache_requests_total", "status", "stale", NULL},
    {"misses", "cache_requests_total", "status", "miss", NULL},
    {"bytes_used", "cache_usage_bytes", "kind", "used", "bytes of memory: charged, allowed, reserved, ..."},
    {"bytes_allowed", "cache_usage_bytes", "kind", "allowed", NULL},
    {"bytes_reserved", "cache_usage_bytes", "kind", "reserve", NULL},
    {"bytes_limit", "cache_usage_bytes", "kind", "limit", NULL},
    {"bytes_held", "cache_usage_bytes", "kind", "held", NULL},
    {"bytes_served", "served_bytes_total", NULL, NULL, NULL},
    {"bytes_filled", "filled_bytes_total", NULL, NULL, NULL},
    {"bytes_resident", "resident_bytes", NULL, NULL, NULL},
    {"evictions", "evicted_total", NULL, NULL, NULL},
    {"proxies", "", NULL, NULL, NULL}, /* in a family of their own, by state */
    {"stalled", "", NULL, NULL, NULL},
};

/* How a number is called. */
struct naming {
    char family[NAME_BYTES]; /* "": not among these */
    const char *label, *value;
    const char *help;
};

static const struct special *find_special(const char *number)
{
    for (size_t i = 0; i < sizeof(specials) / sizeof(*specials); i++) {
        if (strcmp(specials[i].number, number) == 0)
            return &specials[i];
    }
    return NULL;
}

static struct naming name_of(unsigned number)
{
    const struct counter_info *info = &counter_infos[number];
    const struct special *special = find_special(info->name);
    struct naming naming = {.help = info->help};

    if (special) {
        snprintf(naming.family, sizeof(naming.family), "%s", special->family);
        naming.label = special->label;
        naming.value = special->value;
        naming.help = special->help ? special->help : info->help;
        return naming;
    }
    snprintf(naming.family, sizeof(naming.family), "%s%s", info->name,
             number < COUNTER_COUNT ? "_total" : "");
    return naming;
}

/* ---- the format ---- */

static void print_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '\\' || byte == '"')
            fprintf(out, "\\%c", byte);
        else if (byte == '\n')
            fputs("\\n", out);
        else
            fputc(byte < ' ' || byte > '~' ? '?' : byte, out); /* texts have to be UTF-8 */
    }
}

static void print_label(FILE *out, const char *name, const char *value, bool *any)
{
    fprintf(out, "%s%s=\"", *any ? "," : "{", name);
    print_escaped(out, value);
    fputc('"', out);
    *any = true;
}

static void print_head(FILE *out, const char *prefix, const char *family, const char *help, const char *type)
{
    fprintf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, family, help, prefix, family, type);
}

/* ---- families out of counters.def ---- */

enum level { LEVEL_CACHE, LEVEL_TENANT, LEVEL_PROXY };

static const struct {
    uint32_t kind;
    const char *prefix;
} levels[] = {
    [LEVEL_CACHE] = {WIRE_ROW_CACHE, "larder_"},
    [LEVEL_TENANT] = {WIRE_ROW_TENANT, "larder_"},
    [LEVEL_PROXY] = {WIRE_ROW_PROXY, "larder_proxy_"},
};

static bool is_of_level(unsigned number, enum level level)
{
    unsigned scopes = counter_infos[number].scopes;

    if (level == LEVEL_TENANT)
        return scopes & COUNTER_SCOPE_TENANT;
    if (level == LEVEL_PROXY)
        return scopes & COUNTER_SCOPE_PROXY;
    return !(scopes & COUNTER_SCOPE_TENANT) && scopes & COUNTER_SCOPE_CACHE;
}

static void print_sample(FILE *out, enum level level, const struct wire_row *row, const struct naming *naming,
                         uint64_t value)
{
    char text[32];
    bool any = false;

    fprintf(out, "%s%s", levels[level].prefix, naming->family);
    if (level != LEVEL_CACHE)
        print_label(out, "tenant", row->name, &any);
    if (level == LEVEL_PROXY) {
        snprintf(text, sizeof(text), "%" PRIu32, row->pid);
        print_label(out, "pid", text, &any);
        snprintf(text, sizeof(text), "%016" PRIx64, row->epoch);
        print_label(out, "proxy", text, &any);
    }
    if (naming->label)
        print_label(out, naming->label, naming->value, &any);
    fprintf(out, "%s %" PRIu64 "\n", any ? "}" : "", value);
}

static bool family_began_before(unsigned number, enum level level, const char *family)
{
    for (unsigned i = 0; i < number; i++) {
        struct naming earlier = name_of(i);
        if (is_of_level(i, level) && strcmp(earlier.family, family) == 0)
            return true;
    }
    return false;
}

/* All numbers of the family that begins with this one: the samples of a family stand together. */
static void print_family(FILE *out, const struct ctl_client *client, enum level level, unsigned first)
{
    struct naming head = name_of(first);

    print_head(out, levels[level].prefix, head.family, head.help,
               first < COUNTER_COUNT ? "counter" : "gauge");
    for (unsigned number = first; number < NUMBERS; number++) {
        struct naming naming = name_of(number);
        if (!is_of_level(number, level) || strcmp(naming.family, head.family) != 0)
            continue;
        for (size_t i = 0; i < client->row_count; i++) {
            if (client->rows[i].kind == levels[level].kind)
                print_sample(out, level, &client->rows[i], &naming, client->rows[i].values[number]);
        }
    }
}

static void print_level(FILE *out, const struct ctl_client *client, enum level level)
{
    for (unsigned number = 0; number < NUMBERS; number++) {
        struct naming naming = name_of(number);
        if (is_of_level(number, level) && naming.family[0] &&
            !family_began_before(number, level, naming.family))
            print_family(out, client, level, number);
    }
}

/* ---- others ---- */

static void print_proxies(FILE *out, const struct ctl_client *client)
{
    static const char *const states[] = {"alive", "draining", "stalled"};

    print_head(out, "larder_", "proxies", "proxies registered, by state", "gauge");
    for (size_t i = 0; i < client->row_count; i++) {
        if (client->rows[i].kind != WIRE_ROW_TENANT)
            continue;
        for (int state = 0; state < 3; state++) {
            unsigned count = 0;
            for (size_t j = 0; j < client->row_count; j++)
                count += client->rows[j].kind == WIRE_ROW_PROXY &&
                         strcmp(client->rows[j].name, client->rows[i].name) == 0 &&
                         strcmp(ctl_state_name(&client->rows[j]), states[state]) == 0;
            bool any = false;
            fputs("larder_proxies", out);
            print_label(out, "tenant", client->rows[i].name, &any);
            print_label(out, "state", states[state], &any);
            fprintf(out, "} %u\n", count);
        }
    }
}

static void print_histogram(FILE *out, const struct wire_row *row)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < WIRE_TIMES_BUCKETS; i++) {
        count += row->values[i];
        fprintf(out, "larder_request_seconds_bucket{request=\"%s\",le=\"", row->name);
        if (i + 1 < WIRE_TIMES_BUCKETS)
            fprintf(out, "%.9g", ctl_times_limit(i));
        else
            fputs("+Inf", out);
        fprintf(out, "\"} %" PRIu64 "\n", count);
    }
    fprintf(out, "larder_request_seconds_sum{request=\"%s\"} %.9f\n", row->name,
            (double)row->values[WIRE_TIMES_BUCKETS] / 1e9);
    fprintf(out, "larder_request_seconds_count{request=\"%s\"} %" PRIu64 "\n", row->name, count);
}

static void print_times(FILE *out, const struct ctl_client *client)
{
    print_head(out, "larder_", "request_seconds",
               "time from a request's leaving the ring to its completion, of one in 64 at random",
               "histogram");
    for (size_t i = 0; i < client->row_count; i++) {
        if (client->rows[i].kind == WIRE_ROW_TIMES)
            print_histogram(out, &client->rows[i]);
    }
}

static void print_up(FILE *out, int up)
{
    print_head(out, "larder_", "up", "1: the cache has answered", "gauge");
    fprintf(out, "larder_up %d\n", up);
}

static void print_cache(FILE *out, const struct wire_row *row)
{
    bool any = false;

    print_head(out, "larder_", "info", "which cache this is", "gauge");
    fputs("larder_info", out);
    print_label(out, "cache", row->name, &any);
    print_label(out, "version", LARDER_VERSION, &any);
    fprintf(out, ",protocol=\"%d\"} 1\n", WIRE_VERSION);
    print_head(out, "larder_", "uptime_seconds", "since the cache was started", "gauge");
    fprintf(out, "larder_uptime_seconds %.3f\n", (double)row->uptime_ms / 1000);
}

void ctl_print_prometheus(FILE *out, const struct ctl_client *client)
{
    print_up(out, 1);
    for (size_t i = 0; i < client->row_count; i++) {
        if (client->rows[i].kind == WIRE_ROW_CACHE)
            print_cache(out, &client->rows[i]);
    }
    for (enum level level = LEVEL_CACHE; level <= LEVEL_PROXY; level++)
        print_level(out, client, level);
    print_proxies(out, client);
    print_times(out, client);
}

void ctl_print_prometheus_down(FILE *out)
{
    print_up(out, 0);
}
