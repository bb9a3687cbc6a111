/* cache_ctl: asks a running cache, and examines the host for what keeps proxies from it. */
#include "cache_users.h"
#include "ctl_client.h"
#include "ctl_keys.h"
#include "ctl_prometheus.h"
#include "ctl_purge.h"
#include "ctl_stats.h"
#include "doctor.h"
#include "log.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char help[] =
    "usage: cache_ctl [--instance NAME] [--timeout SECONDS] COMMAND\n"
    "\n"
    "Commands:\n"
    "  ping            is the cache there, and how fast does it answer\n"
    "  stats [--json | --prometheus] [--watch [SECONDS]]\n"
    "                  numbers of the whole cache, each tenant and each live proxy; in the text format of\n"
    "                  Prometheus; again and again (every 2 seconds) until it is interrupted\n"
    "  tenants [--json], proxies [--json]\n"
    "                  one line for each\n"
    "  top [--tenant NAME] [--count N] [--json]\n"
    "                  the keys and tags that are asked for most (10 of each, of each tenant), from samples\n"
    "                  of the last minutes\n"
    "  show [--tenant NAME] [--origin URL] [--json] URL|KEY\n"
    "                  what is stored under a URL of the origin, or under a key as `top` prints it\n"
    "  drain PROXY, undrain PROXY\n"
    "                  have a proxy (its pid, or its registration as `proxies` prints it) take no new\n"
    "                  clients and finish what it is at; have it take clients again\n"
    "  reload          have the cache read its configuration file again: all of it is put in force, or\n"
    "                  nothing, with the reasons and exit status 2\n"
    "  purge [--tenant NAME] [--soft] [--json]\n"
    "        (--key URL | --prefix URL | --tag TAG [--tag TAG]... | --all)\n"
    "                  have the cache forget what a tenant has stored, through all its proxies: under a URL "
    "of\n"
    "                  the origin with all its variants, under all URLs that begin so, whatever bears one "
    "of\n"
    "                  the tags, or everything; --soft: it is validated at its next use. With --origin URL,\n"
    "                  --key and --prefix are paths\n"
    "  doctor [--json] [--sweep [--all-instances]]\n"
    "                  what keeps proxies from the cache on this host, and what to type to mend it:\n"
    "                  limits of queues, /dev/shm and descriptors, names left by the dead, permissions,\n"
    "                  namespaces; --sweep removes names of this user that are provably dead\n"
    "\n"
    "  --instance NAME    which cache (default: default)\n"
    "  --group NAME       open the queue and the pool of this command to this group, of which a cache of\n"
    "                     another user is a member; --cache-user NAME: trust a cache of this user\n"
    "  --timeout SECONDS  how long to wait for an answer (default: 5)\n"
    "  --version, --help\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 refused or wrong usage, 75 the cache is not\n"
    "there or does not answer in time. doctor: 0 all is well, 1 something is wrong, 2 wrong usage.\n";

struct control {
    const char *instance;
    double timeout;
    unsigned said; /* SAID_... */
    bool json, sweep, all_instances;
    struct endpoint_sharing sharing;
    double watch; /* seconds */
    uint32_t count;
    const char *operand;
    struct ctl_purge purge;
};

/* Options that go with some commands only. */
enum {
    SAID_JSON = 1,
    SAID_PROMETHEUS = 2,
    SAID_WATCH = 4,
    SAID_TENANT = 8,
    SAID_ORIGIN = 16,
    SAID_PURGE = 32, /* what else belongs to it */
    SAID_COUNT = 64,
    SAID_SWEEP = 128,
    SAID_ALL_INSTANCES = 256,
};

static int complain(enum ctl_status status, const char *text)
{
    fprintf(stderr, "cache_ctl: %s\n", text);
    return (int)status;
}

/* ---- commands ---- */

#define SHARDS_TEXT_BYTES 32

/* Said where there are several. */
static const char *shards_text(uint32_t shards, char text[SHARDS_TEXT_BYTES])
{
    snprintf(text, SHARDS_TEXT_BYTES, shards > 1 ? ", %" PRIu32 " shards" : "", shards);
    return text;
}

static enum ctl_status ping(struct ctl_client *client, const struct control *control)
{
    char text[SHARDS_TEXT_BYTES];
    struct wire_pong pong;
    int64_t answered_us;
    enum ctl_status status = ctl_ping(client, &pong, &answered_us);

    if (!status)
        printf("instance %s: alive, pid %" PRIu32 ", up %" PRIu64 " s, epoch %016" PRIx64
               "%s, answered in %" PRId64 " us\n",
               control->instance, pong.pid, pong.uptime_ms / 1000, pong.epoch, shards_text(pong.shards, text),
               answered_us);
    return status;
}

static enum ctl_status stats_once(struct ctl_client *client, const struct control *control)
{
    enum ctl_status status = ctl_stats(client);

    if (status == CTL_DONE && control->said & SAID_PROMETHEUS)
        ctl_print_prometheus(stdout, client);
    else if (status == CTL_DONE && control->json)
        ctl_print_json(client, control->said & SAID_WATCH);
    else if (status == CTL_DONE)
        ctl_print_tables(client);
    return status;
}

static enum ctl_status reload(struct ctl_client *client, const struct control *control)
{
    char *problems;
    enum ctl_status status = ctl_reload(client, &problems);

    (void)control;
    if (problems)
        fputs(problems, stderr);
    free(problems);
    return status;
}

static enum ctl_status watch_stats(struct ctl_client *client, const struct control *control)
{
    enum ctl_status status;
    bool terminal = isatty(STDOUT_FILENO);

    do {
        if (terminal)
            fputs("\033[H\033[2J", stdout);
        status = stats_once(client, control);
        if (!control->json && !terminal)
            putchar('\n');
        if (fflush(stdout) != 0) /* nobody reads it any more: serve() says so */
            break;
        if (status == CTL_DONE)
            status = ctl_rest(client, control->watch);
    } while (status == CTL_DONE);
    return client->interrupted ? CTL_DONE : status; /* that is how it ends */
}

static enum ctl_status stats(struct ctl_client *client, const struct control *control)
{
    return control->said & SAID_WATCH ? watch_stats(client, control) : stats_once(client, control);
}

static enum ctl_status tenants(struct ctl_client *client, const struct control *control)
{
    enum ctl_status status = ctl_stats(client);

    if (!status)
        (control->json ? ctl_print_tenants_json : ctl_print_tenants)(client);
    return status;
}

static enum ctl_status proxies(struct ctl_client *client, const struct control *control)
{
    enum ctl_status status = ctl_stats(client);

    if (!status)
        (control->json ? ctl_print_proxies_json : ctl_print_proxies)(client);
    return status;
}

static enum ctl_status refuse(struct ctl_client *client, const char *problem)
{
    snprintf(client->problem, sizeof(client->problem), "%s", problem);
    return CTL_REFUSED;
}

/* NULL, or what is wrong with it. */
static const char *tenant_problem(const char *tenant)
{
    return !tenant || names_tenant_valid(tenant)
               ? NULL
               : "--tenant: 1 to 63 letters, digits, '-', '_' or '.' are allowed";
}

static enum ctl_status top(struct ctl_client *client, const struct control *control)
{
    const char *problem = tenant_problem(control->purge.tenant);
    enum ctl_status status =
        problem ? refuse(client, problem) : ctl_top(client, control->purge.tenant, control->count);

    if (!status)
        (control->json ? ctl_print_top_json : ctl_print_top)(client);
    return status;
}

/* A URL, or a path behind an --origin, becomes a key as for `purge --key`; anything else is one. */
static bool make_key(const struct control *control, struct ctl_purge_order *order, char *problem)
{
    struct ctl_purge wanted = {
        .tenant = control->purge.tenant, .origin = control->purge.origin, .key = control->operand};
    const char *text = control->operand;
    size_t length = strlen(text);

    if (text[0] == '/' || wanted.origin || strncasecmp(text, "http://", 7) == 0 ||
        strncasecmp(text, "https://", 8) == 0)
        return ctl_purge_make(&wanted, order, problem);
    if (length > 0 && length <= WIRE_MAX_KEY) {
        memcpy(order->bytes, text, length);
        order->length = (uint32_t)length;
        return true;
    }
    snprintf(problem, CTL_PURGE_PROBLEM_BYTES, "a key has 1 to %u bytes", WIRE_MAX_KEY);
    return false;
}

static enum ctl_status show(struct ctl_client *client, const struct control *control)
{
    static struct ctl_purge_order order;
    static uint8_t meta[CTL_META_BYTES];
    const char *tenant = control->purge.tenant ? control->purge.tenant : NAMES_DEFAULT;
    char problem[CTL_PURGE_PROBLEM_BYTES];
    struct wire_shown shown;

    if (tenant_problem(tenant))
        return refuse(client, tenant_problem(tenant));
    if (!make_key(control, &order, problem))
        return refuse(client, problem);
    enum ctl_status status = ctl_show(client, tenant, order.bytes, order.length, &shown, meta);
    const struct ctl_shown what = {tenant, order.bytes, order.length, &shown, meta};
    if (!status)
        (control->json ? ctl_print_shown_json : ctl_print_shown)(&what);
    return status;
}

/* A registration has 16 hexadecimal digits, a pid is a shorter decimal number. */
static bool parse_proxy(const char *text, uint64_t *registration, uint32_t *pid)
{
    size_t length = strlen(text);
    bool is_registration = length == 16;
    const char *digits = is_registration ? "0123456789abcdef" : "0123456789";

    *registration = *pid = 0;
    if (length == 0 || length > 16 || strspn(text, digits) != length || (!is_registration && length > 9))
        return false;
    if (is_registration)
        *registration = strtoull(text, NULL, 16);
    else
        *pid = (uint32_t)strtoul(text, NULL, 10);
    return *registration || *pid;
}

static enum ctl_status drain_or_not(struct ctl_client *client, const struct control *control, bool on)
{
    uint64_t registration;
    uint32_t pid, count;

    if (!parse_proxy(control->operand, &registration, &pid))
        return refuse(client, "PROXY is a pid, or a registration of 16 hexadecimal digits");
    enum ctl_status status = ctl_drain(client, registration, pid, on, &count);
    if (!status)
        printf("%s: %" PRIu32 " registration%s\n", on ? "draining" : "taking clients again", count,
               count == 1 ? "" : "s");
    return status;
}

static enum ctl_status drain(struct ctl_client *client, const struct control *control)
{
    return drain_or_not(client, control, true);
}

static enum ctl_status undrain(struct ctl_client *client, const struct control *control)
{
    return drain_or_not(client, control, false);
}

static enum ctl_status purge(struct ctl_client *client, const struct control *control)
{
    static struct ctl_purge_order order;
    char problem[CTL_PURGE_PROBLEM_BYTES];
    struct wire_purged purged;

    if (!ctl_purge_make(&control->purge, &order, problem)) {
        snprintf(client->problem, sizeof(client->problem), "%s", problem);
        return CTL_REFUSED;
    }
    enum ctl_status status =
        ctl_purge(client, control->purge.tenant ? control->purge.tenant : NAMES_DEFAULT, &order, &purged);
    bool goes_on = !status && purged.flags & WIRE_GOES_ON;
    if (!status && control->json)
        printf("{\"purged\":%" PRIu64 ",\"cancelled\":%" PRIu64 ",\"collecting\":%s}\n", purged.objects,
               purged.leases, goes_on ? "true" : "false");
    else if (!status)
        printf("%s: %" PRIu64 " objects, %" PRIu64 " fills cancelled%s\n",
               control->purge.soft ? "made stale" : "removed", purged.objects, purged.leases,
               goes_on ? "; more are being collected, and found by nobody" : "");
    return status;
}

static int with_client(const struct control *control,
                       enum ctl_status (*run)(struct ctl_client *, const struct control *))
{
    struct ctl_client client;

    endpoint_sweep(control->instance, NULL, NULL);
    enum ctl_status status = ctl_open(&client, control->instance, control->timeout, &control->sharing);
    if (!status) {
        status = run(&client, control);
        ctl_close(&client);
    }
    return status ? complain(status, client.problem) : CTL_DONE;
}

static int run_doctor(const struct control *control)
{
    const struct doctor_options doctor = {
        .instance = control->instance,
        .timeout = control->timeout,
        .json = control->json,
        .sweep = control->sweep,
        .all_instances = control->all_instances,
    };

    return doctor_run(&doctor);
}

/* ---- command line ---- */

enum {
    OPTION_INSTANCE = 1,
    OPTION_TIMEOUT,
    OPTION_JSON,
    OPTION_SWEEP,
    OPTION_ALL_INSTANCES,
    OPTION_GROUP,
    OPTION_CACHE_USER,
    OPTION_PROMETHEUS,
    OPTION_WATCH,
    OPTION_COUNT,
    OPTION_TENANT,
    OPTION_ORIGIN,
    OPTION_KEY,
    OPTION_PREFIX,
    OPTION_TAG,
    OPTION_ALL,
    OPTION_SOFT,
    OPTION_VERSION,
    OPTION_HELP
};

static const struct option options[] = {
    {"instance", required_argument, NULL, OPTION_INSTANCE},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"json", no_argument, NULL, OPTION_JSON},
    {"sweep", no_argument, NULL, OPTION_SWEEP},
    {"all-instances", no_argument, NULL, OPTION_ALL_INSTANCES},
    {"group", required_argument, NULL, OPTION_GROUP},
    {"cache-user", required_argument, NULL, OPTION_CACHE_USER},
    {"prometheus", no_argument, NULL, OPTION_PROMETHEUS},
    {"watch", optional_argument, NULL, OPTION_WATCH},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"tenant", required_argument, NULL, OPTION_TENANT},
    {"origin", required_argument, NULL, OPTION_ORIGIN},
    {"key", required_argument, NULL, OPTION_KEY},
    {"prefix", required_argument, NULL, OPTION_PREFIX},
    {"tag", required_argument, NULL, OPTION_TAG},
    {"all", no_argument, NULL, OPTION_ALL},
    {"soft", no_argument, NULL, OPTION_SOFT},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static bool parse_seconds(const char *text, double *out)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(seconds) || seconds <= 0 || seconds > 3600)
        return false;
    *out = seconds;
    return true;
}

static int set_timeout(struct control *control, const char *text)
{
    return parse_seconds(text, &control->timeout)
               ? -1
               : complain(CTL_REFUSED, "--timeout: not a number of seconds between 0 and 3600");
}

/* Its argument may stand behind a space, and may be missing. */
static int set_watch(struct control *control, int argc, char **argv)
{
    control->said |= SAID_WATCH;
    if (!optarg && optind < argc && parse_seconds(argv[optind], &control->watch)) {
        optind++;
        return -1;
    }
    return !optarg || parse_seconds(optarg, &control->watch)
               ? -1
               : complain(CTL_REFUSED, "--watch: not a number of seconds between 0 and 3600");
}

static int set_count(struct control *control)
{
    char *end;
    unsigned long count = strtoul(optarg, &end, 10);

    control->said |= SAID_COUNT;
    control->count = (uint32_t)count;
    return *end == '\0' && optarg[0] >= '0' && optarg[0] <= '9' && count >= 1 && count <= WIRE_TOP_MOST
               ? -1
               : complain(CTL_REFUSED, "--count: not a number from 1 to 64");
}

static int add_tag(struct ctl_purge *purge)
{
    if (purge->tag_count == WIRE_MAX_TAGS)
        return complain(CTL_REFUSED, "--tag: 64 at a time are allowed");
    purge->tags[purge->tag_count++] = optarg;
    return -1;
}

/* -1, or the exit status; *taken: it was one of purge's. */
static int apply_to_purge(struct control *control, int option, bool *taken)
{
    struct ctl_purge *purge = &control->purge;

    *taken = true;
    switch (option) {
    case OPTION_TENANT:
        purge->tenant = optarg;
        control->said |= SAID_TENANT;
        return -1;
    case OPTION_ORIGIN:
        purge->origin = optarg;
        control->said |= SAID_ORIGIN;
        return -1;
    case OPTION_KEY:
        purge->key = optarg;
        break;
    case OPTION_PREFIX:
        purge->prefix = optarg;
        break;
    case OPTION_TAG:
        control->said |= SAID_PURGE;
        return add_tag(purge);
    case OPTION_ALL:
        purge->all = true;
        break;
    case OPTION_SOFT:
        purge->soft = true;
        break;
    default:
        *taken = false;
        return -1;
    }
    control->said |= SAID_PURGE;
    return -1;
}

static int apply(struct control *control, int option, int argc, char **argv)
{
    bool taken;
    int status = apply_to_purge(control, option, &taken);

    if (taken)
        return status;
    switch (option) {
    case OPTION_INSTANCE:
        control->instance = optarg;
        if (names_instance_valid(optarg))
            return -1;
        return complain(CTL_REFUSED, "--instance: 1 to 32 letters, digits, '-' or '_' are allowed");
    case OPTION_TIMEOUT:
        return set_timeout(control, optarg);
    case OPTION_JSON:
        control->json = true;
        control->said |= SAID_JSON;
        return -1;
    case OPTION_SWEEP:
        control->sweep = true;
        control->said |= SAID_SWEEP;
        return -1;
    case OPTION_ALL_INSTANCES:
        control->all_instances = true;
        control->said |= SAID_ALL_INSTANCES;
        return -1;
    case OPTION_GROUP:
        control->sharing.shared = true;
        if (cache_users_find_group(optarg, false, &control->sharing.group))
            return -1;
        return complain(CTL_REFUSED, "--group: no such group");
    case OPTION_CACHE_USER:
        control->sharing.has_cache_user = true;
        if (cache_users_find(optarg, false, &control->sharing.cache_user))
            return -1;
        return complain(CTL_REFUSED, "--cache-user: no such user");
    case OPTION_PROMETHEUS:
        control->said |= SAID_PROMETHEUS;
        return -1;
    case OPTION_WATCH:
        return set_watch(control, argc, argv);
    case OPTION_COUNT:
        return set_count(control);
    case OPTION_VERSION:
        puts("cache_ctl (larder) " LARDER_VERSION);
        return CTL_DONE;
    case OPTION_HELP:
        fputs(help, stdout);
        return CTL_DONE;
    default: /* getopt has said what is wrong */
        return complain(CTL_REFUSED, "try --help");
    }
}

static const struct command {
    const char *name;
    enum ctl_status (*run)(struct ctl_client *, const struct control *); /* NULL: needs no cache */
    unsigned options;
    const char *operand; /* what it is, or NULL: there is none */
} commands[] = {
    {"ping", ping, 0, NULL},
    {"stats", stats, SAID_JSON | SAID_PROMETHEUS | SAID_WATCH, NULL},
    {"tenants", tenants, SAID_JSON, NULL},
    {"proxies", proxies, SAID_JSON, NULL},
    {"top", top, SAID_JSON | SAID_TENANT | SAID_COUNT, NULL},
    {"show", show, SAID_JSON | SAID_TENANT | SAID_ORIGIN, "URL or KEY"},
    {"purge", purge, SAID_JSON | SAID_TENANT | SAID_ORIGIN | SAID_PURGE, NULL},
    {"drain", drain, 0, "PROXY"},
    {"undrain", undrain, 0, "PROXY"},
    {"reload", reload, 0, NULL},
    {"doctor", NULL, SAID_JSON | SAID_SWEEP | SAID_ALL_INSTANCES, NULL},
};

static const struct {
    unsigned option;
    const char *problem;
} misplaced[] = {
    {SAID_JSON, "--json goes with stats, tenants, proxies, top, show, purge and doctor"},
    {SAID_PROMETHEUS | SAID_WATCH, "--prometheus and --watch go with stats"},
    {SAID_COUNT, "--count goes with top"},
    {SAID_TENANT, "--tenant goes with purge, top and show"},
    {SAID_ORIGIN, "--origin goes with purge and show"},
    {SAID_PURGE, "--key, --prefix, --tag, --all and --soft go with purge"},
    {SAID_SWEEP, "--sweep goes with doctor"},
    {SAID_ALL_INSTANCES, "--all-instances goes with doctor --sweep"},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* -1, or the exit status. */
static int check_options(const struct control *control, const struct command *command)
{
    unsigned wrong = control->said & ~command->options;

    for (size_t i = 0; i < sizeof(misplaced) / sizeof(*misplaced); i++) {
        if (wrong & misplaced[i].option)
            return complain(CTL_REFUSED, misplaced[i].problem);
    }
    if (control->all_instances && !control->sweep)
        return complain(CTL_REFUSED, "--all-instances goes with doctor --sweep");
    if (control->json && control->said & SAID_PROMETHEUS)
        return complain(CTL_REFUSED, "--json and --prometheus exclude each other");
    return -1;
}

/* -1 to go on, else the exit status. */
static int parse(struct control *control, int argc, char **argv, const struct command **command)
{
    int option, status = -1;

    while (status < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        status = apply(control, option, argc, argv);
    if (status >= 0)
        return status;
    if (optind == argc)
        return complain(CTL_REFUSED, "exactly one command is needed; try --help");
    *command = find_command(argv[optind++]);
    if (!*command)
        return complain(CTL_REFUSED, "unknown command; try --help");
    if (optind != argc - ((*command)->operand != NULL))
        return complain(CTL_REFUSED, (*command)->operand
                                         ? "this command needs one argument, and no more; try --help"
                                         : "exactly one command is needed; try --help");
    control->operand = argv[optind];
    return check_options(control, *command);
}

/* SIGINT and SIGTERM interrupt the wait for an answer (ctl_client.c), so that our names are removed on the
 * way out. They are let in nowhere else, or one that came just before the wait would not be noticed. */
static void on_signal(int number)
{
    (void)number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigset_t blocked;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int serve(const struct control *control, const struct command *command)
{
    catch_signals();
    log_set_level("error");
    int status = command->run ? with_client(control, command->run) : run_doctor(control);
    if (status == CTL_NO_CACHE && control->said & SAID_PROMETHEUS)
        ctl_print_prometheus_down(stdout);
    if (fflush(stdout) != 0)
        return complain(CTL_FAILED, "cannot write the answer to standard output");
    return status;
}

int main(int argc, char **argv)
{
    struct control control = {.instance = NAMES_DEFAULT, .timeout = 5, .watch = 2, .count = 10};
    const struct command *command = NULL;

    log_setup("cache_ctl");
    int status = parse(&control, argc, argv, &command);
    return status >= 0 ? status : serve(&control, command);
}
