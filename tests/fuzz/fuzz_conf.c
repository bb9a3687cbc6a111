/* Configuration files of both programs: any bytes are survived, what is taken keeps its bounds, and what is
 * shown of it is a file that says the same. */
#include "fuzz.h"

#include "cache_conf.h"
#include "exchange.h"
#include "proxy_conf.h"

#define SHOWN (256u * 1024)

static char shown[2][SHOWN];

static FILE *open_text(char *text)
{
    FILE *out = fmemopen(text, SHOWN, "w");

    REQUIRE(out);
    text[0] = '\0';
    return out;
}

static void check_report(const struct conf_report *report, bool good)
{
    REQUIRE(good == (report->count == 0));
    REQUIRE(strlen(report->text) < sizeof(report->text));
    REQUIRE(good == (report->text[0] == '\0'));
    for (const char *at = report->text; *at; at++)
        REQUIRE((*at >= 0x20 && *at < 0x7f) || *at == '\n');
}

static void check_cache_bounds(const struct cache_conf *conf)
{
    uint64_t reserved = 0;

    REQUIRE(conf->memory >= CACHE_MIN_MEMORY && conf->max_object >= 1 && conf->max_object <= conf->memory);
    REQUIRE(conf->stall_ms >= CACHE_MIN_STALL_MS && conf->stall_ms <= CACHE_MAX_TIME_MS);
    REQUIRE(conf->lease_ms >= CACHE_MIN_STALL_MS && conf->lease_ms <= CACHE_MAX_TIME_MS);
    REQUIRE(names_instance_valid(conf->instance) && conf->tenant_count <= TENANTS_MAX);
    for (uint32_t i = 0; i < conf->tenant_count; i++) {
        const struct tenant_conf *tenant = &conf->tenants[i];
        REQUIRE(names_tenant_valid(tenant->name));
        REQUIRE(cache_conf_tenant(conf, tenant->name) == tenant);
        REQUIRE(tenant->settings.weight >= 1 && tenant->user_count <= TENANT_CONF_UIDS);
        REQUIRE(tenant->settings.limit == 0 || tenant->settings.reserve <= tenant->settings.limit);
        reserved += tenant->settings.reserve;
    }
    REQUIRE(reserved <= conf->memory);
    char problem[256];
    REQUIRE(tenants_check(conf->settings, conf->tenant_count, conf->memory, problem, sizeof(problem)) == 0);
}

/* Names of users are those of a cache that runs, so that no directory is asked. */
static void try_cache(const char *text, size_t size)
{
    static struct conf_report report;
    const struct cache_conf running = {.memory = 0};
    struct cache_conf conf, again;

    conf_report_clear(&report, "f");
    bool good = cache_conf_from_text(&conf, NULL, &running, text, size, &report);
    check_report(&report, good);
    if (!good)
        return;
    check_cache_bounds(&conf);
    FILE *out = open_text(shown[0]);
    cache_conf_show(&conf, out);
    fclose(out);
    conf_report_clear(&report, "f");
    REQUIRE(cache_conf_from_text(&again, NULL, &running, shown[0], strlen(shown[0]), &report));
    out = open_text(shown[1]);
    cache_conf_show(&again, out);
    fclose(out);
    REQUIRE(strcmp(shown[0], shown[1]) == 0);
    cache_conf_compare(&conf, &again, &report);
    REQUIRE(report.count == 0);
    cache_conf_free(&again);
    cache_conf_free(&conf);
}

static void use_rules(const struct http_overrides *rules)
{
    static const char target[] = "/a?b=1&utm_x=2&&a&c=d?e";
    struct http_span span = {target, sizeof(target) - 1};
    char key[sizeof(target)], line[8192];
    struct http_text text = http_text_into(line, sizeof line);
    struct http_span made = http_overrides_key(rules, span, key);

    REQUIRE(made.length <= span.length);
    REQUIRE(!http_overrides_refuse(rules, HTTP_SPAN("GET")));
    http_overrides_allow(rules, &text);
    REQUIRE(!text.failed && text.length < HTTP_OVERRIDES_LIST * 64 - 100); /* see exchange_rules.c */
}

static void try_proxy(const char *text, size_t size)
{
    static const char needed[] = "[listen]\nhttp = 127.0.0.1:1\n[origin]\nurl = http://o\n";
    static struct conf_report report;
    struct proxy_conf conf, again;
    char *whole = malloc(size + sizeof needed);

    REQUIRE(whole);
    memcpy(whole, text, size);
    memcpy(whole + size, needed, sizeof needed);
    /* With what is needed behind it, unless it has that itself. */
    for (size_t length = size; length <= size + sizeof needed - 1; length += sizeof needed - 1) {
        conf_report_clear(&report, "f");
        bool good = proxy_conf_from_text(&conf, NULL, whole, length, &report);
        check_report(&report, good);
        if (!good)
            continue;
        REQUIRE(conf.http.count >= 1 && conf.http.count <= PROXY_CONF_ADDRESSES);
        REQUIRE(conf.header_timeout_s >= 1 && conf.cache_timeout_ms >= 1 && conf.cache_timeout_ms <= 60000);
        use_rules(&conf.rules);
        FILE *out = open_text(shown[0]);
        proxy_conf_show(&conf, out);
        fclose(out);
        conf_report_clear(&report, "f");
        REQUIRE(proxy_conf_from_text(&again, NULL, shown[0], strlen(shown[0]), &report));
        proxy_conf_compare(&conf, &again, &report);
        REQUIRE(report.count == 0);
        out = open_text(shown[1]);
        proxy_conf_show(&again, out);
        fclose(out);
        REQUIRE(strcmp(shown[0], shown[1]) == 0);
        proxy_conf_free(&again);
        proxy_conf_free(&conf);
    }
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* where there is nothing `data` may be NULL, which means another thing */

    REQUIRE(text);
    if (size > 0)
        memcpy(text, data, size);
    if (size <= 65536) {
        try_cache(text, size);
        try_proxy(text, size);
    }
    free(text);
    return 0;
}
