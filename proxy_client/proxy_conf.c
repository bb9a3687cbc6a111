#include "proxy_conf.h"

#include "exchange.h"
#include "larder.h"
#include "log.h"
#include "origin_url.h"
#include "size.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum option_kind { OPTION_TEXT, OPTION_ADDRESS, OPTION_SIZE, OPTION_COUNT, OPTION_SECONDS };

/* One row an option: getopt's table, the checks and the help are made from it. */
struct option_row {
    const char *name, *argument, *help;
    enum option_kind kind;
    size_t offset;
    uint64_t least, most;
};

#define FIELD(member) offsetof(struct proxy_conf, member)
#define YEAR          (366u * 24 * 3600)

static const struct option_row rows[] = {
    {"instance", "NAME", "cache instance to use (default)", OPTION_TEXT, FIELD(instance), 0, 0},
    {"listen", "ADDR:PORT", "serve HTTP here; [::1]:PORT for IPv6, port 0 for any", OPTION_ADDRESS,
     FIELD(http), 0, 0},
    {"getfile", "ADDR:PORT", "serve GETFILE here", OPTION_ADDRESS, FIELD(getfile), 0, 0},
    {"origin", "URL", "http:// or https:// server to fetch from", OPTION_TEXT, FIELD(origin), 0, 0},
    {"tenant", "NAME", "whose objects to share (default)", OPTION_TEXT, FIELD(tenant), 0, 0},
    {"segments", "N", "segments in the pool (32)", OPTION_COUNT, FIELD(segments), LARDER_MIN_SEGMENTS,
     LARDER_MAX_SEGMENTS},
    {"segment-size", "SIZE", "bytes of a segment (64K), a multiple of 64", OPTION_SIZE, FIELD(segment_bytes),
     LARDER_MIN_SEGMENT_BYTES, LARDER_MAX_SEGMENT_BYTES},
    {"access-log", "FILE|-", "one line a request; - is standard output", OPTION_TEXT, FIELD(access_log), 0,
     0},
    {"targeted-fields", "LIST", "obeyed before Cache-Control, first first (" HTTP_TARGETS_DEFAULT ")",
     OPTION_TEXT, FIELD(targeted_fields), 0, 0},
    {"tag-fields", "LIST", "of tags to purge by (" HTTP_TAG_FIELDS_DEFAULT ")", OPTION_TEXT,
     FIELD(tag_fields), 0, 0},
    {"purge-from", "ADDR[/BITS],...", "who may use the method PURGE (nobody)", OPTION_TEXT, FIELD(purge_from),
     0, 0},
    {"user", "NAME[:GROUP]", "started as root: bind the addresses, then become this user", OPTION_TEXT,
     FIELD(user), 0, 0},
    {"log-level", "LEVEL", "error, warn, info or debug (info)", OPTION_TEXT, FIELD(log_level), 0, 0},
    {"origin-timeout", "SECONDS", "for the origin's answer, and between bytes (30)", OPTION_SECONDS,
     FIELD(origin_timeout_s), 1, YEAR},
    {"origin-ca", "FILE", "certificates that an https origin is checked against", OPTION_TEXT,
     FIELD(origin_ca), 0, 0},
    {"cache-timeout", "MILLISECONDS",
     "for the cache's answer to a lookup; ten times that for a body to get on "
     "(100)",
     OPTION_COUNT, FIELD(cache_timeout_ms), 1, 60000},
    {"max-request-body", "SIZE", "larger request bodies are refused (1G)", OPTION_SIZE,
     FIELD(max_request_body), 0, INT64_MAX},
    {"max-connections", "N", "clients at a time (what the descriptor limit allows)", OPTION_COUNT,
     FIELD(max_connections), 1, 10000000},
    {"header-timeout", "SECONDS", "for a request head, from its first byte (10)", OPTION_SECONDS,
     FIELD(header_timeout_s), 1, YEAR},
    {"idle-timeout", "SECONDS", "between requests (60)", OPTION_SECONDS, FIELD(idle_timeout_s), 1, YEAR},
    {"body-timeout", "SECONDS", "between bytes of a request body (30)", OPTION_SECONDS, FIELD(body_timeout_s),
     1, YEAR},
};

#define ROWS         (sizeof rows / sizeof *rows)
#define CODE_HELP    1000
#define CODE_VERSION 1001

static enum proxy_conf_result bad(char *problem, const char *name, const char *value, const char *why)
{
    snprintf(problem, PROXY_CONF_PROBLEM_BYTES, "--%s: \"%.100s\" %s", name, value, why);
    return PROXY_CONF_BAD;
}

static enum proxy_conf_result out_of_range(const struct option_row *row, const char *value, char *problem)
{
    char why[120], least[SIZE_TEXT_BYTES], most[SIZE_TEXT_BYTES];

    if (row->kind == OPTION_SIZE)
        snprintf(why, sizeof why, "is out of range (%s to %s)", size_format(row->least, least),
                 size_format(row->most, most));
    else
        snprintf(why, sizeof why, "is out of range (%llu to %llu)", (unsigned long long)row->least,
                 (unsigned long long)row->most);
    return bad(problem, row->name, value, why);
}

static enum proxy_conf_result take_number(const struct option_row *row, uint64_t *out, const char *value,
                                          char *problem)
{
    uint64_t number;
    bool plain = row->kind == OPTION_SIZE || (value[0] && strspn(value, "0123456789") == strlen(value));

    if (!plain || size_parse(value, &number) != 0)
        return bad(problem, row->name, value,
                   row->kind == OPTION_SIZE ? "is not a size, such as 512M" : "is not a number");
    if (number < row->least || number > row->most)
        return out_of_range(row, value, problem);
    *out = number;
    return PROXY_CONF_RUN;
}

static enum proxy_conf_result take(struct proxy_conf *conf, const struct option_row *row, const char *value,
                                   char *problem)
{
    void *field = (char *)conf + row->offset;

    switch (row->kind) {
    case OPTION_TEXT:
        *(const char **)field = value;
        return PROXY_CONF_RUN;
    case OPTION_ADDRESS:
        if (listen_address_parse(value, field) != 0)
            return bad(problem, row->name, value, "is not ADDRESS:PORT");
        return PROXY_CONF_RUN;
    default:
        return take_number(row, field, value, problem);
    }
}

static bool is_name(const char *text, const char *also, size_t longest)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && !strchr(also, c))
            return false;
    }
    return length > 0 && length <= longest;
}

static enum proxy_conf_result check(struct proxy_conf *conf, char *problem)
{
    struct origin_url url;
    struct http_targets targets;
    struct http_tag_fields tags;
    char size[SIZE_TEXT_BYTES];

    conf->has_http = conf->http.size > 0;
    conf->has_getfile = conf->getfile.size > 0;
    if (!is_name(conf->instance, "_-", 32))
        return bad(problem, "instance", conf->instance, "is not a name of 1 to 32 letters, digits, _ and -");
    if (!is_name(conf->tenant, "._-", 63))
        return bad(problem, "tenant", conf->tenant, "is not a name of 1 to 63 letters, digits, ., _ and -");
    if (conf->segment_bytes % 64 != 0)
        return bad(problem, "segment-size", size_format(conf->segment_bytes, size),
                   "is not a multiple of 64");
    if (!http_targets_parse(
            &targets, (struct http_span){conf->targeted_fields, (uint32_t)strlen(conf->targeted_fields)}))
        return bad(problem, "targeted-fields", conf->targeted_fields, "is not a list of up to 8 field names");
    if (!http_tag_fields_parse(&tags,
                               (struct http_span){conf->tag_fields, (uint32_t)strlen(conf->tag_fields)}))
        return bad(problem, "tag-fields", conf->tag_fields, "is not a list of up to 8 field names");
    if (conf->purge_from && !address_list_parse(&conf->purge_addresses, conf->purge_from))
        return bad(problem, "purge-from", conf->purge_from,
                   "is not a list of up to 64 addresses, such as 127.0.0.1,10.0.0.0/8");
    if (!log_set_level(conf->log_level))
        return bad(problem, "log-level", conf->log_level, "is none of error, warn, info, debug");
    if (conf->has_http && conf->origin)
        return origin_url_parse(&url, conf->origin, problem, PROXY_CONF_PROBLEM_BYTES) ? PROXY_CONF_BAD
                                                                                       : PROXY_CONF_RUN;
    snprintf(problem, PROXY_CONF_PROBLEM_BYTES, "%s is missing",
             conf->origin ? "--listen ADDR:PORT" : "--origin URL");
    return PROXY_CONF_BAD;
}

static void make_getopt_table(struct option table[ROWS + 3])
{
    memset(table, 0, (ROWS + 3) * sizeof *table);
    for (size_t i = 0; i < ROWS; i++)
        table[i] = (struct option){rows[i].name, required_argument, NULL, (int)i + 1};
    table[ROWS] = (struct option){"help", no_argument, NULL, CODE_HELP};
    table[ROWS + 1] = (struct option){"version", no_argument, NULL, CODE_VERSION};
}

static enum proxy_conf_result refuse(char **argv, int code, char *problem)
{
    snprintf(problem, PROXY_CONF_PROBLEM_BYTES, "%s %.100s", code == ':' ? "no value for" : "unknown option",
             argv[optind - 1]);
    return PROXY_CONF_BAD;
}

static enum proxy_conf_result take_all(struct proxy_conf *conf, int argc, char **argv, char *problem)
{
    struct option table[ROWS + 3];
    enum proxy_conf_result result = PROXY_CONF_RUN;
    int code;

    make_getopt_table(table);
    optind = 0; /* getopt starts anew, so that tests may parse often */
    opterr = 0;
    while (result == PROXY_CONF_RUN && (code = getopt_long(argc, argv, "+:", table, NULL)) != -1) {
        if (code == CODE_HELP)
            return PROXY_CONF_HELP;
        if (code == CODE_VERSION)
            return PROXY_CONF_VERSION;
        result = code >= 1 && code <= (int)ROWS ? take(conf, &rows[code - 1], optarg, problem)
                                                : refuse(argv, code, problem);
    }
    if (result == PROXY_CONF_RUN && optind < argc) {
        snprintf(problem, PROXY_CONF_PROBLEM_BYTES, "unexpected argument \"%.100s\"", argv[optind]);
        result = PROXY_CONF_BAD;
    }
    return result;
}

enum proxy_conf_result proxy_conf_parse(struct proxy_conf *conf, int argc, char **argv,
                                        char problem[PROXY_CONF_PROBLEM_BYTES])
{
    enum proxy_conf_result result;

    *conf = (struct proxy_conf){.instance = "default",
                                .tenant = "default",
                                .log_level = "info",
                                .targeted_fields = HTTP_TARGETS_DEFAULT,
                                .tag_fields = HTTP_TAG_FIELDS_DEFAULT,
                                .max_request_body = 1024ull * 1024 * 1024,
                                .cache_timeout_ms = EXCHANGE_CACHE_TIMEOUT_MS,
                                .origin_timeout_s = 30,
                                .header_timeout_s = 10,
                                .idle_timeout_s = 60,
                                .body_timeout_s = 30};
    result = take_all(conf, argc, argv, problem);
    return result == PROXY_CONF_RUN ? check(conf, problem) : result;
}

void proxy_conf_help(FILE *out)
{
    fputs("Usage: proxy_client --listen ADDR:PORT --origin URL [OPTION]...\n"
          "HTTP (and GETFILE) proxy in front of one origin, with the cache of this host.\n\n",
          out);
    for (size_t i = 0; i < ROWS; i++)
        fprintf(out, "  --%s %s%*s%s\n", rows[i].name, rows[i].argument,
                (int)(27 - strlen(rows[i].name) - strlen(rows[i].argument)), "", rows[i].help);
    fputs("  --version                      print the version\n"
          "  --help                         print this\n",
          out);
}
