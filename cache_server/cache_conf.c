#include "cache_conf.h"

#include "log.h"
#include "size.h"
#include "tenant_option.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: cache_server [OPTION...]\n"
    "\n"
    "Keeps what the proxies of this host have fetched, in memory, for all of them.\n"
    "\n"
    "  --instance NAME    which cache this is; proxies name the same (default: default)\n"
    "  --memory SIZE      bytes to use for objects, keys and index, e.g. 512M, 4G (default: 512M)\n"
    "  --max-object SIZE  largest object to keep (default: a quarter of --memory)\n"
    "  --stall-time SECONDS   silence after which a proxy counts as stalled (default: 1)\n"
    "  --stall-limit SECONDS  a proxy stalled for longer that holds objects or leases is dropped; 0: never\n"
    "                         (default: 60)\n"
    "  --lease-time SECONDS   a fill without progress for longer may be taken over (default: 60)\n"
    "  --tenant NAME:SETTING=VALUE,...  what a tenant may have; once for each tenant. Settings: reserve=SIZE "
    "(never\n"
    "                     taken from it), limit=SIZE (never exceeded), weight=1..1000 (of what is not "
    "reserved, and\n"
    "                     of the time), policy=lru, s3fifo or sieve, admission=on or off (large objects have "
    "to\n"
    "                     be asked for twice), max_fills, max_waiters, max_pins, max_proxies=NUMBER\n"
    "  --user NAME[:GROUP]  started as root: become this user, and create everything as it\n"
    "  --no-sandbox       keep capabilities, core dumps and all system calls, for debugging\n"
    "  --log-level LEVEL  error, warn, info or debug, to standard error (default: info)\n"
    "  --version          print the version and exit\n"
    "  --help             print this and exit\n"
    "\n"
    "Prints `ready` on standard output when proxies can register. SIGINT and SIGTERM end it. Exit status: 0 "
    "ended by\n"
    "a signal, 1 something failed, 2 wrong usage, or another cache serves this instance.\n";

static int complain(const char *option, const char *value, const char *why)
{
    fprintf(stderr, "cache_server: %s %s: %s\n", option, value, why);
    return 2;
}

static int parse_size(const char *option, const char *text, uint64_t least, uint64_t *out)
{
    char why[128];
    char size[SIZE_TEXT_BYTES];

    if (size_parse(text, out))
        return complain(option, text, "not a size; write bytes, or a number with K, M, G or T, e.g. 512M");
    if (*out < least || *out > UINT64_MAX / 4) {
        snprintf(why, sizeof(why), "out of range; the least is %s", size_format(least, size));
        return complain(option, text, why);
    }
    return -1;
}

/* Seconds with decimals, as milliseconds. */
static int parse_time(const char *option, const char *text, int64_t least_ms, int64_t *out)
{
    char why[128];
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(seconds))
        return complain(option, text, "not a number of seconds");
    *out = seconds * 1000 < (double)CACHE_MAX_TIME_MS ? (int64_t)(seconds * 1000) : CACHE_MAX_TIME_MS + 1;
    if (*out < least_ms || *out > CACHE_MAX_TIME_MS) {
        snprintf(why, sizeof(why), "out of range; from %g to %d", (double)least_ms / 1000,
                 (int)(CACHE_MAX_TIME_MS / 1000));
        return complain(option, text, why);
    }
    return -1;
}

enum {
    OPTION_INSTANCE = 1,
    OPTION_MEMORY,
    OPTION_MAX_OBJECT,
    OPTION_STALL_TIME,
    OPTION_STALL_LIMIT,
    OPTION_LEASE_TIME,
    OPTION_TENANT,
    OPTION_USER,
    OPTION_NO_SANDBOX,
    OPTION_LOG_LEVEL,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option options[] = {
    {"instance", required_argument, NULL, OPTION_INSTANCE},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"max-object", required_argument, NULL, OPTION_MAX_OBJECT},
    {"stall-time", required_argument, NULL, OPTION_STALL_TIME},
    {"stall-limit", required_argument, NULL, OPTION_STALL_LIMIT},
    {"lease-time", required_argument, NULL, OPTION_LEASE_TIME},
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"user", required_argument, NULL, OPTION_USER},
    {"no-sandbox", no_argument, NULL, OPTION_NO_SANDBOX},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static int set_instance(struct cache_conf *conf, const char *name)
{
    if (!names_instance_valid(name))
        return complain("--instance", name, "1 to 32 letters, digits, '-' or '_' are allowed");
    memcpy(conf->instance, name, strlen(name) + 1);
    return -1;
}

static int add_tenant(struct cache_conf *conf, const char *text)
{
    char problem[256];

    if (conf->tenant_count == TENANTS_MAX)
        return complain("--tenant", text, "there are too many of them");
    if (tenant_option_parse(&conf->tenants[conf->tenant_count], text, problem, sizeof(problem)))
        return complain("--tenant", text, problem);
    conf->tenant_count++;
    return -1;
}

static int apply(struct cache_conf *conf, int option)
{
    switch (option) {
    case OPTION_INSTANCE:
        return set_instance(conf, optarg);
    case OPTION_MEMORY:
        return parse_size("--memory", optarg, CACHE_MIN_MEMORY, &conf->memory);
    case OPTION_MAX_OBJECT:
        return parse_size("--max-object", optarg, 1, &conf->max_object);
    case OPTION_STALL_TIME:
        return parse_time("--stall-time", optarg, CACHE_MIN_STALL_MS, &conf->stall_ms);
    case OPTION_STALL_LIMIT:
        return parse_time("--stall-limit", optarg, 0, &conf->stall_limit_ms);
    case OPTION_LEASE_TIME:
        return parse_time("--lease-time", optarg, CACHE_MIN_STALL_MS, &conf->lease_ms);
    case OPTION_TENANT:
        return add_tenant(conf, optarg);
    case OPTION_USER:
        conf->user = optarg;
        return -1;
    case OPTION_NO_SANDBOX:
        conf->no_sandbox = true;
        return -1;
    case OPTION_LOG_LEVEL:
        return log_set_level(optarg) ? -1 : complain("--log-level", optarg, "use error, warn, info or debug");
    case OPTION_VERSION:
        puts("cache_server (larder) " LARDER_VERSION);
        return 0;
    case OPTION_HELP:
        fputs(help, stdout);
        return 0;
    default: /* getopt has said what is wrong */
        fputs("cache_server: try --help\n", stderr);
        return 2;
    }
}

/* What depends on more than one option. */
static int check_together(struct cache_conf *conf)
{
    char problem[256];

    if (conf->max_object == 0)
        conf->max_object = conf->memory / CACHE_OBJECT_SHARE;
    if (conf->max_object > conf->memory)
        return complain("--max-object", "too large", "an object cannot be larger than --memory");
    if (tenants_check(conf->tenants, conf->tenant_count, conf->memory, problem, sizeof(problem)))
        return complain("--tenant", "refused", problem);
    return -1;
}

int cache_conf_parse(struct cache_conf *conf, int argc, char **argv)
{
    int option, status = -1;

    *conf = (struct cache_conf){
        .instance = NAMES_DEFAULT,
        .memory = CACHE_DEFAULT_MEMORY,
        .stall_ms = CACHE_DEFAULT_STALL_MS,
        .stall_limit_ms = CACHE_DEFAULT_STALL_LIMIT_MS,
        .lease_ms = CACHE_DEFAULT_LEASE_MS,
    };
    while (status < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        status = apply(conf, option);
    if (status >= 0)
        return status;
    if (optind < argc)
        return complain("argument", argv[optind], "unexpected; try --help");
    return check_together(conf);
}
