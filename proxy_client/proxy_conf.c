#include "proxy_conf.h"

#include "exchange.h"
#include "larder.h"
#include "origin_url.h"
#include "size.h"
#include "spin.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of our own ---- */

__attribute__((format(printf, 2, 3))) static bool refuse(struct conf_taking *taking, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(taking->why, sizeof taking->why, format, arguments);
    va_end(arguments);
    return false;
}

static struct http_span span_of(const char *text)
{
    return (struct http_span){text, (uint32_t)strlen(text)};
}

/* Comma-separated; IPv6 addresses have brackets. */
static bool take_addresses(void *value, const char *text, struct conf_taking *taking)
{
    struct listen_addresses *addresses = value;
    struct http_span list = span_of(text), word;
    char address[LISTEN_ADDRESS_BYTES + 1];
    bool any = false;

    for (; http_list_next(&list, &word); any = true) {
        if (addresses->count == PROXY_CONF_ADDRESSES)
            return refuse(taking, "makes more than %d addresses", PROXY_CONF_ADDRESSES);
        if (word.length < sizeof address) {
            memcpy(address, word.at, word.length);
            address[word.length] = '\0';
        }
        if (word.length >= sizeof address ||
            listen_address_parse(address, &addresses->items[addresses->count]) != 0)
            return refuse(taking, "is not ADDRESS:PORT");
        addresses->count++;
    }
    return any || refuse(taking, "is not ADDRESS:PORT");
}

static void show_addresses(const void *value, const struct conf_key *key, FILE *out)
{
    const struct listen_addresses *addresses = value;
    char text[LISTEN_ADDRESS_BYTES];

    for (uint32_t i = 0; i < addresses->count; i++)
        fprintf(out, "%s = %s\n", key->name, listen_address_format(&addresses->items[i], text));
}

static bool take_targets(void *value, const char *text, struct conf_taking *taking)
{
    const char *kept = conf_texts_keep(taking->texts, text, strlen(text));

    if (!kept)
        return refuse(taking, "cannot be kept: out of memory");
    return http_targets_parse(value, span_of(kept)) || refuse(taking, "is not a list of up to 8 field names");
}

static void show_spans(const struct http_span *items, uint32_t count, FILE *out)
{
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "%s%.*s", i ? ", " : "", (int)items[i].length, items[i].at);
    fputc('\n', out);
}

static void show_targets(const void *value, const struct conf_key *key, FILE *out)
{
    const struct http_targets *targets = value;

    fprintf(out, "%s = ", key->name);
    show_spans(targets->names, targets->count, out);
}

static bool take_tag_fields(void *value, const char *text, struct conf_taking *taking)
{
    const char *kept = conf_texts_keep(taking->texts, text, strlen(text));

    if (!kept)
        return refuse(taking, "cannot be kept: out of memory");
    return http_tag_fields_parse(value, span_of(kept)) ||
           refuse(taking, "is not a list of up to %d field names", HTTP_TAG_FIELDS_MAX);
}

static void show_tag_fields(const void *value, const struct conf_key *key, FILE *out)
{
    const struct http_tag_fields *fields = value;

    fprintf(out, "%s = ", key->name);
    show_spans(fields->names, fields->count, out);
}

static bool take_purgers(void *value, const char *text, struct conf_taking *taking)
{
    struct purgers *purgers = value;

    if (!address_list_add(&purgers->list, text))
        return refuse(taking,
                      "is not a list of addresses, such as 127.0.0.1,10.0.0.0/8, or makes more than %d",
                      ADDRESS_LIST_MAX);
    /* There are no more texts than addresses. */
    purgers->texts[purgers->count] = conf_texts_keep(taking->texts, text, strlen(text));
    return purgers->texts[purgers->count++] || refuse(taking, "cannot be kept: out of memory");
}

static void show_purgers(const void *value, const struct conf_key *key, FILE *out)
{
    const struct purgers *purgers = value;

    for (uint32_t i = 0; i < purgers->count; i++)
        fprintf(out, "%s = %s\n", key->name, purgers->texts[i]);
}

/* A name that begins with a semicolon could be given only after a comma; anywhere else it is a comment. */
static bool take_names(void *value, const char *text, struct conf_taking *taking)
{
    struct http_names *names = value;
    const char *kept = conf_texts_keep(taking->texts, text, strlen(text));

    if (!kept)
        return refuse(taking, "cannot be kept: out of memory");
    if (!http_names_add(names, span_of(kept)))
        return refuse(taking, "is not a list of names, or makes more than %d of them", HTTP_OVERRIDES_LIST);
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->items[i].at[0] == ';')
            return refuse(taking, "has a name that begins with ;, which begins a comment");
    }
    return true;
}

/* A line each, so that what is shown is no longer than what was read. */
static void show_names(const void *value, const struct conf_key *key, FILE *out)
{
    const struct http_names *names = value;

    for (uint32_t i = 0; i < names->count; i++)
        fprintf(out, "%s = %.*s\n", key->name, (int)names->items[i].length, names->items[i].at);
}

static bool is_method(struct http_span method)
{
    if (method.length > 1 && method.at[method.length - 1] == '*')
        method.length--;
    return method.length <= 31 && http_is_token(method);
}

static bool take_methods(void *value, const char *text, struct conf_taking *taking)
{
    struct http_names *names = value;
    uint32_t before = names->count;

    if (!take_names(value, text, taking))
        return false;
    for (uint32_t i = before; i < names->count; i++) {
        if (!is_method(names->items[i]))
            return refuse(taking, "has a word that is no method");
    }
    return true;
}

static bool take_refused_methods(void *value, const char *text, struct conf_taking *taking)
{
    const struct http_names *names = value;

    if (!take_methods(value, text, taking))
        return false;
    for (uint32_t i = 0; i < names->count; i++) {
        if (http_span_equal(names->items[i], HTTP_SPAN("GET")) ||
            http_span_equal(names->items[i], HTTP_SPAN("HEAD")))
            return refuse(taking, "has GET or HEAD, which cannot be refused");
    }
    return true;
}

/* Statuses that may be stored at all, and are not successful (http_storing.h). */
static bool may_be_negative(uint64_t status)
{
    return status >= 400 && status <= 599 && status != 412 && status != 416 && status != 428 &&
           status != 429 && status != 431 && status != 511;
}

static const struct conf_key seconds_key = {.kind = CONF_SECONDS, .most = HTTP_HEURISTIC_MAX};

static bool take_negative(void *value, const char *text, struct conf_taking *taking)
{
    struct http_overrides *rules = value;
    const char *word = taking->word;
    uint64_t status = 0, seconds = 0;

    if (strlen(word) != 3 || strspn(word, "0123456789") != 3 || size_parse(word, &status) != 0 ||
        !may_be_negative(status))
        return refuse(taking, "is not for a status code of 400 to 599 that may be stored");
    if (!conf_take(&seconds_key, &seconds, text, taking))
        return false;
    for (uint32_t i = 0; i < rules->negative_count; i++) {
        if (rules->negative[i].status == (int)status)
            return refuse(taking, "comes twice");
    }
    if (rules->negative_count == HTTP_OVERRIDES_STATUSES)
        return refuse(taking, "makes more than %d status codes", HTTP_OVERRIDES_STATUSES);
    rules->negative[rules->negative_count].status = (int)status;
    rules->negative[rules->negative_count++].seconds = (int64_t)seconds;
    return true;
}

static void show_negative(const void *value, const struct conf_key *key, FILE *out)
{
    const struct http_overrides *rules = value;

    for (uint32_t i = 0; i < rules->negative_count; i++)
        fprintf(out, "%s %d = %" PRId64 "s\n", key->name, rules->negative[i].status,
                rules->negative[i].seconds);
}

static bool take_heuristic(void *value, const char *text, struct conf_taking *taking)
{
    static const struct conf_key flag = {.kind = CONF_FLAG};
    bool on;

    if (!conf_take(&flag, &on, text, taking))
        return false;
    *(bool *)value = !on;
    return true;
}

static void show_heuristic(const void *value, const struct conf_key *key, FILE *out)
{
    fprintf(out, "%s = %s\n", key->name, *(const bool *)value ? "off" : "on");
}

/* ---- the keys ---- */

#define FIELD(member) offsetof(struct proxy_conf, member)
#define RULE(member)  offsetof(struct proxy_conf, rules.member)
#define YEAR          (366u * 24 * 3600)

static const struct conf_key proxy_keys[] = {
    {CONF_KEY_INSTANCE(FIELD(instance), "cache instance to use (default)")},
    {CONF_OPTION("tenant", "NAME", "whose objects to share (default)"), .kind = CONF_NAME,
     .flags = CONF_FIXED, .offset = FIELD(tenant), .most = NAMES_TENANT_MAX, .words = "._-"},
    {CONF_OPTION("segments", "N", "segments in the pool (32)"), .kind = CONF_COUNT,
     .flags = CONF_FIXED | CONF_HIDDEN, .offset = FIELD(segments), .least = LARDER_MIN_SEGMENTS,
     .most = LARDER_MAX_SEGMENTS},
    {CONF_OPTION("segment-size", "SIZE", "bytes of a segment (68K), a multiple of 64"), .kind = CONF_SIZE,
     .flags = CONF_FIXED | CONF_HIDDEN, .offset = FIELD(segment_bytes), .least = LARDER_MIN_SEGMENT_BYTES,
     .most = LARDER_MAX_SEGMENT_BYTES},
    {CONF_KEY_USER(FIELD(user), "started as root: bind the addresses, then become this user")},
    {CONF_OPTION("group", "NAME", "for a cache of another user: it and this proxy are members"),
     .kind = CONF_TEXT, .flags = CONF_FIXED, .offset = FIELD(group)},
    {CONF_OPTION("cache-user", "NAME", "trust a cache of this user too"), .kind = CONF_TEXT,
     .flags = CONF_FIXED, .offset = FIELD(cache_user)},
    {CONF_KEY_LOG_LEVEL(FIELD(log_level), "error, warn, info or debug (info)")},
    {CONF_OPTION("access-log", "FILE|-", "one line a request; - is standard output"), .kind = CONF_TEXT,
     .flags = CONF_FIXED, .offset = FIELD(access_log)},
    {CONF_OPTION("cache-timeout", "MILLISECONDS",
                 "for the cache's answer to a lookup; ten times that for a body to get on (100)"),
     .kind = CONF_SPAN, .offset = FIELD(cache_timeout_ms), .least = 1, .most = 60000},
    {CONF_KEY_SPIN(FIELD(spin),
                   "share of a processor for looking for the cache's answer before sleeping (5%)")},
    {CONF_OPTION("max-request-body", "SIZE", "larger request bodies are refused (1G)"), .kind = CONF_SIZE,
     .offset = FIELD(max_request_body), .most = INT64_MAX},
    {CONF_OPTION("max-spool", "SIZE", "for GETFILE bodies of unknown length, all together (1G)"),
     .kind = CONF_SIZE, .offset = FIELD(max_spool), .most = INT64_MAX},
    {CONF_OPTION("max-connections", "N", "clients at a time (what the descriptor limit allows)"),
     .kind = CONF_COUNT, .flags = CONF_HIDDEN, .offset = FIELD(max_connections), .least = 1,
     .most = 10000000},
    {CONF_OPTION("purge-from", "ADDR[/BITS],...", "who may use the method PURGE (nobody)"), .kind = CONF_OWN,
     .flags = CONF_LIST, .offset = FIELD(purge_from), .take = take_purgers, .show = show_purgers},
    {CONF_OPTION("header-timeout", "TIME", "for a request head, from its first byte (10)"),
     .kind = CONF_SECONDS, .offset = FIELD(header_timeout_s), .least = 1, .most = YEAR},
    {CONF_OPTION("idle-timeout", "TIME", "between requests (60)"), .kind = CONF_SECONDS,
     .offset = FIELD(idle_timeout_s), .least = 1, .most = YEAR},
    {CONF_OPTION("body-timeout", "TIME", "between bytes of a request body (30)"), .kind = CONF_SECONDS,
     .offset = FIELD(body_timeout_s), .least = 1, .most = YEAR},
};

static const struct conf_key listen_keys[] = {
    {.name = "http",
     .kind = CONF_OWN,
     .flags = CONF_FIXED | CONF_LIST,
     .offset = FIELD(http),
     .take = take_addresses,
     .show = show_addresses,
     .option = "listen",
     .argument = "ADDR:PORT",
     .help = "serve HTTP here; [::1]:PORT for IPv6, port 0 for any; up to 8"},
    {CONF_OPTION("getfile", "ADDR:PORT", "serve GETFILE here; up to 8"), .kind = CONF_OWN,
     .flags = CONF_FIXED | CONF_LIST, .offset = FIELD(getfile), .take = take_addresses,
     .show = show_addresses},
};

static const struct conf_key origin_keys[] = {
    {.name = "url",
     .kind = CONF_TEXT,
     .flags = CONF_FIXED,
     .offset = FIELD(origin),
     .option = "origin",
     .argument = "URL",
     .help = "http:// or https:// server to fetch from"},
    {.name = "ca",
     .kind = CONF_TEXT,
     .flags = CONF_FIXED,
     .offset = FIELD(origin_ca),
     .option = "origin-ca",
     .argument = "FILE",
     .help = "certificates that an https origin is checked against"},
    {.name = "timeout",
     .kind = CONF_SECONDS,
     .offset = FIELD(origin_timeout_s),
     .least = 1,
     .most = YEAR,
     .option = "origin-timeout",
     .argument = "TIME",
     .help = "for the origin's answer, and between bytes (30)"},
};

static const struct conf_key rule_keys[] = {
    {CONF_OPTION("targeted-fields", "LIST",
                 "obeyed before Cache-Control, first first (" HTTP_TARGETS_DEFAULT ")"),
     .kind = CONF_OWN, .offset = FIELD(targets), .take = take_targets, .show = show_targets},
    {CONF_OPTION("tag-fields", "LIST", "of tags to purge by (" HTTP_TAG_FIELDS_DEFAULT ")"), .kind = CONF_OWN,
     .offset = FIELD(tag_fields), .take = take_tag_fields, .show = show_tag_fields},
    {.name = "heuristic",
     .kind = CONF_OWN,
     .offset = RULE(no_heuristic),
     .take = take_heuristic,
     .show = show_heuristic},
    {.name = "heuristic-max",
     .kind = CONF_SECONDS,
     .offset = RULE(heuristic_max),
     .most = HTTP_HEURISTIC_MAX},
    {.name = "default-freshness",
     .kind = CONF_SECONDS,
     .offset = RULE(default_freshness),
     .most = HTTP_HEURISTIC_MAX},
    {.name = "negative",
     .kind = CONF_OWN,
     .flags = CONF_PREFIX,
     .offset = FIELD(rules),
     .take = take_negative,
     .show = show_negative},
    {.name = "ignore-query",
     .kind = CONF_OWN,
     .flags = CONF_LIST,
     .offset = RULE(ignored_parameters),
     .take = take_names,
     .show = show_names},
    {.name = "sort-query", .kind = CONF_FLAG, .offset = RULE(sorted_parameters)},
    {.name = "store-post", .kind = CONF_FLAG, .offset = RULE(stores_post)},
    {.name = "bypass-cookie",
     .kind = CONF_OWN,
     .flags = CONF_LIST,
     .offset = RULE(bypass_cookies),
     .take = take_names,
     .show = show_names},
    {.name = "bypass-header",
     .kind = CONF_OWN,
     .flags = CONF_LIST,
     .offset = RULE(bypass_fields),
     .take = take_names,
     .show = show_names},
    {.name = "refuse-methods",
     .kind = CONF_OWN,
     .flags = CONF_LIST,
     .offset = RULE(refused_methods),
     .take = take_refused_methods,
     .show = show_names},
    {.name = "allow-methods",
     .kind = CONF_OWN,
     .flags = CONF_LIST,
     .offset = RULE(allowed_methods),
     .take = take_methods,
     .show = show_names},
};

static const struct conf_section sections[] = {{CONF_SECTION("proxy", proxy_keys)},
                                               {CONF_SECTION("listen", listen_keys)},
                                               {CONF_SECTION("origin", origin_keys)},
                                               {CONF_SECTION("cache-rules", rule_keys)}};
#define SECTIONS (sizeof sections / sizeof *sections)

static void *open_section(void *context, const struct conf_section *section, const char *name, unsigned line,
                          struct conf_taking *taking)
{
    (void)section;
    (void)name;
    (void)line;
    (void)taking;
    return context;
}

static const struct conf_schema schema = {sections, SECTIONS, open_section};

/* ---- loading ---- */

static void set_defaults(struct proxy_conf *conf)
{
    *conf = (struct proxy_conf){.instance = NAMES_DEFAULT,
                                .tenant = NAMES_DEFAULT,
                                .log_level = "info",
                                .max_request_body = 1024ull * 1024 * 1024,
                                .max_spool = 1024ull * 1024 * 1024,
                                .cache_timeout_ms = EXCHANGE_CACHE_TIMEOUT_MS,
                                .spin = SPIN_DEFAULT_PERCENT,
                                .origin_timeout_s = 30,
                                .header_timeout_s = 10,
                                .idle_timeout_s = 60,
                                .body_timeout_s = 30};
    http_targets_parse(&conf->targets, HTTP_SPAN(HTTP_TARGETS_DEFAULT));
    http_tag_fields_parse(&conf->tag_fields, HTTP_SPAN(HTTP_TAG_FIELDS_DEFAULT));
    http_overrides_setup(&conf->rules);
}

/* Addresses of the command line stand instead of those of the file. */
static void clear_addresses(struct proxy_conf *conf, const struct conf_command *command)
{
    for (unsigned i = 0; i < command->count; i++) {
        const struct conf_key *key = command->settings[i].key;

        if (key == &listen_keys[0])
            conf->http.count = 0;
        else if (key == &listen_keys[1])
            conf->getfile.count = 0;
        else if (key->take == take_purgers)
            conf->purge_from.count = conf->purge_from.list.count = 0;
    }
}

static void apply_command(struct proxy_conf *conf, const struct conf_command *command,
                          struct conf_report *report)
{
    struct conf_taking taking = {.texts = &conf->texts};

    clear_addresses(conf, command);
    conf_command_apply(command, conf, &taking, report);
}

static void check(const struct proxy_conf *conf, struct conf_report *report)
{
    struct origin_url url;
    char problem[320], size[SIZE_TEXT_BYTES];

    if (conf->segment_bytes % 64 != 0)
        conf_complain(report, 0, "--segment-size: %s is not a multiple of 64",
                      size_format(conf->segment_bytes, size));
    if (conf->http.count == 0)
        conf_complain(report, 0, "--listen ADDR:PORT is missing (http in [listen])");
    if (!conf->origin)
        conf_complain(report, 0, "--origin URL is missing (url in [origin])");
    else if (origin_url_parse(&url, conf->origin, problem, sizeof problem) != 0)
        conf_complain(report, 0, "%s", problem);
}

static bool find_number(const char *name, uint32_t *number)
{
    uint64_t value = UINT32_MAX;

    if (*name == '\0' || strspn(name, "0123456789") != strlen(name) || size_parse(name, &value) != 0 ||
        value >= UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    return true;
}

static bool find_user(const char *name, uint32_t *number)
{
    const struct passwd *entry;

    if (find_number(name, number))
        return true;
    entry = getpwnam(name);
    if (entry)
        *number = entry->pw_uid;
    return entry != NULL;
}

static bool find_group(const char *name, uint32_t *number)
{
    const struct group *entry;

    if (find_number(name, number))
        return true;
    entry = getgrnam(name);
    if (entry)
        *number = entry->gr_gid;
    return entry != NULL;
}

/* What becomes of the user is for privileges.h; that it is nobody is said with everything else that is wrong.
 */
static void check_users(struct proxy_conf *conf, struct conf_report *report)
{
    char name[64];
    uint32_t ignored;

    if (conf->user) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(conf->user, ":"), conf->user);
        if (!find_user(name, &ignored))
            conf_complain(report, 0, "user: no such user: %s", name);
    }
    if (conf->group && !find_group(conf->group, &conf->group_id))
        conf_complain(report, 0, "group: no such group: %s", conf->group);
    if (conf->cache_user && !find_user(conf->cache_user, &conf->cache_user_id))
        conf_complain(report, 0, "cache-user: no such user: %s", conf->cache_user);
}

bool proxy_conf_from_text(struct proxy_conf *conf, const struct proxy_command *command, const char *text,
                          size_t length, struct conf_report *report)
{
    unsigned before = report->count;

    set_defaults(conf);
    if (text)
        conf_parse(&schema, text, length, &conf->texts, conf, report);
    if (command)
        apply_command(conf, &command->common, report);
    check(conf, report);
    if (command && !command->is_running)
        check_users(conf, report);
    if (report->count > before)
        proxy_conf_free(conf);
    return report->count == before;
}

bool proxy_conf_load(struct proxy_conf *conf, const struct proxy_command *command, struct conf_report *report)
{
    size_t length;
    char *text;
    bool good;

    set_defaults(conf);
    if (!conf_command_read(&command->common, &text, &length, report))
        return false;
    good = proxy_conf_from_text(conf, command, text, length, report);
    free(text);
    return good;
}

const struct address_list *proxy_conf_purgers(const struct proxy_conf *conf)
{
    return conf->purge_from.count > 0 ? &conf->purge_from.list : NULL;
}

void proxy_conf_free(struct proxy_conf *conf)
{
    conf_texts_free(&conf->texts);
}

void proxy_conf_show(const struct proxy_conf *conf, FILE *out)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        if (i > 0)
            fputc('\n', out);
        conf_show_section(&sections[i], NULL, conf, out);
    }
}

void proxy_conf_compare(const struct proxy_conf *running, const struct proxy_conf *wanted,
                        struct conf_report *report)
{
    for (size_t i = 0; i < SECTIONS; i++)
        conf_compare_fixed(&sections[i], running, wanted, report);
}

/* ---- the command line ---- */

static const struct conf_options options = {.schema = &schema, .most = CONF_COMMAND_MAX, .width = 27};

static enum proxy_conf_result complain_of_option(int code, char **argv, struct conf_report *report)
{
    conf_complain(report, 0, "%s %.100s", code == ':' ? "no value for" : "unknown option", argv[optind - 1]);
    return PROXY_CONF_BAD;
}

static enum proxy_conf_result take_option(struct proxy_command *command, int code, char **argv,
                                          struct conf_report *report)
{
    switch (conf_command_take(&command->common, &options, code, optarg)) {
    case CONF_OPTION_TAKEN:
        return PROXY_CONF_RUN;
    case CONF_OPTION_TOO_MANY:
        conf_complain(report, 0, "too many options");
        return PROXY_CONF_BAD;
    case CONF_OPTION_OTHER:
        break;
    }
    if (code == CONF_OPTION_HELP)
        return PROXY_CONF_HELP;
    return code == CONF_OPTION_VERSION ? PROXY_CONF_VERSION : complain_of_option(code, argv, report);
}

enum proxy_conf_result proxy_conf_command(struct proxy_command *command, int argc, char **argv,
                                          struct conf_report *report)
{
    struct option table[CONF_OPTIONS_MAX + 1];
    enum proxy_conf_result result = PROXY_CONF_RUN;
    int code;

    conf_report_clear(report, NULL);
    *command = (struct proxy_command){.is_running = false};
    conf_options_table(&options, table);
    optind = 0; /* getopt starts anew, so that tests may parse often */
    opterr = 0;
    while (result == PROXY_CONF_RUN && (code = getopt_long(argc, argv, "+:", table, NULL)) != -1)
        result = take_option(command, code, argv, report);
    if (result == PROXY_CONF_RUN && optind < argc) {
        conf_complain(report, 0, "unexpected argument \"%.100s\"", argv[optind]);
        result = PROXY_CONF_BAD;
    }
    return result;
}

void proxy_conf_help(FILE *out)
{
    fputs("Usage: proxy_client --listen ADDR:PORT --origin URL [OPTION]...\n"
          "       proxy_client --config FILE [OPTION]...\n"
          "HTTP (and GETFILE) proxy in front of one origin, with the cache of this host.\n\n",
          out);
    conf_options_help(&options, out);
    fputs("  --config FILE                read this file too (larder.conf(5)); options win. SIGHUP\n"
          "                               reads it again\n"
          "  --check                      only check all that, and print what would be in force\n"
          "  --version                    print the version\n"
          "  --help                       print this\n\n"
          "Times are seconds (--cache-timeout: milliseconds), or numbers with ms, s, m, h or d.\n",
          out);
}
