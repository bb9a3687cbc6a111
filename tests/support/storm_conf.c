#include "storm_conf.h"

#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROXIES 64

static const char help[] =
    "usage: larder_storm (--crash SECONDS | --kills N) [OPTION...]\n"
    "\n"
    "Runs one cache and several proxies under a load whose every answer is checked byte for byte, while it "
    "kills\n"
    "(SIGKILL), freezes (SIGSTOP, SIGCONT) and ends (SIGTERM) proxies at random, starts them anew, and now "
    "and then\n"
    "kills the cache. A quarter of the proxies, at least one, is never touched: their answers must all be "
    "right and\n"
    "whole, and their latency is shown beside that of a quiet run of the same length.\n"
    "\n"
    "  --crash SECONDS        how long to do so\n"
    "  --kills N              until N proxies (or a few more) have been killed, instead\n"
    "  --proxies N            how many proxies, 2 to 64 (default: 4)\n"
    "  --seed S               of the random choices; a run prints its own (default: any)\n"
    "  --rate N               proxies killed a second (default: 20)\n"
    "  --load N               requests a second to each proxy (default: 400)\n"
    "  --keep-cache           never kill the cache\n"
    "  --cache-every SECONDS  mean time between its kills (default: 5)\n"
    "  --no-quiet             no quiet run before\n"
    "  --memory SIZE          of the cache (default: 24M, less than there are objects)\n"
    "  --instance NAME        of the cache (default: storm-PID)\n"
    "  --spoil WHAT           do damage that must be noticed: bytes, break, name, vanish, segment, "
    "descriptor\n"
    "  --help\n"
    "\n"
    "Exit status: 0 nothing went wrong, 1 something did, 2 wrong usage, 128 and the signal's number when "
    "interrupted.\n"
    "Executables are looked for beside this one, or in $LARDER_BIN.\n";

static const char *const spoils[SPOIL_END] = {"nothing", "bytes",   "break",     "name",
                                              "vanish",  "segment", "descriptor"};

static int complain(const char *what, const char *value)
{
    fprintf(stderr, "larder_storm: %s%s%s; try --help\n", what, value ? ": " : "", value ? value : "");
    return 2;
}

enum {
    OPTION_CRASH = 1,
    OPTION_KILLS,
    OPTION_PROXIES,
    OPTION_SEED,
    OPTION_RATE,
    OPTION_LOAD,
    OPTION_KEEP_CACHE,
    OPTION_CACHE_EVERY,
    OPTION_NO_QUIET,
    OPTION_MEMORY,
    OPTION_INSTANCE,
    OPTION_SPOIL,
    OPTION_HELP,
};

static const struct option options[] = {
    {"crash", required_argument, NULL, OPTION_CRASH},
    {"kills", required_argument, NULL, OPTION_KILLS},
    {"proxies", required_argument, NULL, OPTION_PROXIES},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"load", required_argument, NULL, OPTION_LOAD},
    {"keep-cache", no_argument, NULL, OPTION_KEEP_CACHE},
    {"cache-every", required_argument, NULL, OPTION_CACHE_EVERY},
    {"no-quiet", no_argument, NULL, OPTION_NO_QUIET},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"instance", required_argument, NULL, OPTION_INSTANCE},
    {"spoil", required_argument, NULL, OPTION_SPOIL},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static bool real_between(const char *text, double low, double high, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out >= low && *out <= high;
}

static bool whole_between(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && *out >= low && *out <= high;
}

static bool set_instance(struct storm_conf *conf, const char *text)
{
    snprintf(conf->instance, sizeof(conf->instance), "%s", text);
    return names_instance_valid(text);
}

static bool set_spoil(struct storm_conf *conf, const char *text)
{
    for (conf->spoil = SPOIL_NOTHING; conf->spoil < SPOIL_END; conf->spoil++)
        if (strcmp(text, spoils[conf->spoil]) == 0)
            return true;
    return false;
}

static bool apply(struct storm_conf *conf, int option)
{
    uint64_t number = 0;
    bool good = true;

    switch (option) {
    case OPTION_CRASH:
        return real_between(optarg, 0.1, 1e6, &conf->seconds);
    case OPTION_KILLS:
        return whole_between(optarg, 1, 100000000, &conf->kills);
    case OPTION_PROXIES:
        good = whole_between(optarg, 2, MAX_PROXIES, &number);
        conf->proxies = (unsigned)number;
        return good;
    case OPTION_SEED:
        return whole_between(optarg, 0, UINT64_MAX, &conf->seed);
    case OPTION_RATE:
        return real_between(optarg, 0.01, 1000, &conf->rate);
    case OPTION_LOAD:
        return real_between(optarg, 1, 100000, &conf->load);
    case OPTION_KEEP_CACHE:
        conf->keep_cache = true;
        return true;
    case OPTION_CACHE_EVERY:
        return real_between(optarg, 0.1, 1e6, &conf->cache_every);
    case OPTION_NO_QUIET:
        conf->quiet = false;
        return true;
    case OPTION_MEMORY:
        conf->memory = optarg;
        return true;
    case OPTION_INSTANCE:
        return set_instance(conf, optarg);
    default:
        return set_spoil(conf, optarg);
    }
}

/* $LARDER_BIN, or where this program lies. */
static int find_executables(struct storm_conf *conf)
{
    const char *told = getenv("LARDER_BIN");
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (!told && length < 0)
        return complain("cannot tell where this program lies; set LARDER_BIN", NULL);
    self[length < 0 ? 0 : length] = '\0';
    snprintf(conf->bin, sizeof(conf->bin), "%s", told ? told : dirname(self));
    return -1;
}

static const char *option_name(int value)
{
    for (const struct option *option = options; option->name; option++)
        if (option->val == value)
            return option->name;
    return "";
}

int storm_conf_parse(struct storm_conf *conf, int argc, char **argv)
{
    int option;

    *conf = (struct storm_conf){.memory = "24M",
                                .rate = 20,
                                .cache_every = 5,
                                .load = 400,
                                .proxies = 4,
                                .seed = (uint64_t)time(NULL) % 1000000,
                                .quiet = true};
    snprintf(conf->instance, sizeof(conf->instance), "storm-%ld", (long)getpid());
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return 0;
        }
        if (option == '?')
            return complain("wrong usage", NULL);
        if (!apply(conf, option)) {
            fprintf(stderr, "larder_storm: --%s does not take \"%s\"; try --help\n", option_name(option),
                    optarg);
            return 2;
        }
    }
    if (optind != argc)
        return complain("what is this", argv[optind]);
    if ((conf->seconds > 0) == (conf->kills > 0))
        return complain("one of --crash and --kills is needed", NULL);
    conf->witnesses = conf->proxies / 4 ? conf->proxies / 4 : 1;
    return find_executables(conf);
}
