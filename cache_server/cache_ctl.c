/* cache_ctl: asks a running cache, and examines the host for what keeps proxies from it. */
#include "cache_users.h"
#include "ctl_client.h"
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

static const char help[] =
    "usage: cache_ctl [--instance NAME] [--timeout SECONDS] COMMAND\n"
    "\n"
    "Commands:\n"
    "  ping            is the cache there, and how fast does it answer\n"
    "  stats [--json]  numbers of the whole cache, each tenant and each live proxy\n"
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
    bool json, sweep, all_instances;
    struct endpoint_sharing sharing;
    struct ctl_purge purge;
    bool purges; /* something of it was said */
};

static int complain(enum ctl_status status, const char *text)
{
    fprintf(stderr, "cache_ctl: %s\n", text);
    return (int)status;
}

/* ---- commands ---- */

static enum ctl_status ping(struct ctl_client *client, const struct control *control)
{
    struct wire_pong pong;
    int64_t answered_us;
    enum ctl_status status = ctl_ping(client, &pong, &answered_us);

    if (!status)
        printf("instance %s: alive, pid %" PRIu32 ", up %" PRIu64 " s, epoch %016" PRIx64
               ", answered in %" PRId64 " us\n",
               control->instance, pong.pid, pong.uptime_ms / 1000, pong.epoch, answered_us);
    return status;
}

static enum ctl_status stats(struct ctl_client *client, const struct control *control)
{
    enum ctl_status status = ctl_stats(client);

    if (!status && control->json)
        ctl_print_json(client);
    else if (!status)
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

static int run_ping(const struct control *control)
{
    return with_client(control, ping);
}

static int run_stats(const struct control *control)
{
    return with_client(control, stats);
}

static int run_reload(const struct control *control)
{
    return with_client(control, reload);
}

static int run_purge(const struct control *control)
{
    return with_client(control, purge);
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

static int set_timeout(struct control *control, const char *text)
{
    char *end;

    control->timeout = strtod(text, &end);
    if (end != text && *end == '\0' && isfinite(control->timeout) && control->timeout > 0 &&
        control->timeout <= 3600)
        return -1;
    return complain(CTL_REFUSED, "--timeout: not a number of seconds between 0 and 3600");
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
        break;
    case OPTION_ORIGIN:
        purge->origin = optarg;
        break;
    case OPTION_KEY:
        purge->key = optarg;
        break;
    case OPTION_PREFIX:
        purge->prefix = optarg;
        break;
    case OPTION_TAG:
        control->purges = true;
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
    control->purges = true;
    return -1;
}

static int apply(struct control *control, int option)
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
        return -1;
    case OPTION_SWEEP:
        control->sweep = true;
        return -1;
    case OPTION_ALL_INSTANCES:
        control->all_instances = true;
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
    int (*run)(const struct control *);
    bool json, sweep;
} commands[] = {
    {"ping", run_ping, false, false},   {"stats", run_stats, true, false},
    {"purge", run_purge, true, false},  {"reload", run_reload, false, false},
    {"doctor", run_doctor, true, true},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* -1 to go on, else the exit status. */
static int parse(struct control *control, int argc, char **argv, const struct command **command)
{
    int option, status = -1;

    while (status < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        status = apply(control, option);
    if (status >= 0)
        return status;
    if (optind != argc - 1)
        return complain(CTL_REFUSED, "exactly one command is needed; try --help");
    *command = find_command(argv[optind]);
    if (!*command)
        return complain(CTL_REFUSED, "unknown command; try --help");
    if (control->json && !(*command)->json)
        return complain(CTL_REFUSED, "--json goes with stats, purge and doctor");
    if (control->purges && (*command)->run != run_purge)
        return complain(CTL_REFUSED,
                        "--tenant, --origin, --key, --prefix, --tag, --all and --soft go with purge");
    if (control->sweep && !(*command)->sweep)
        return complain(CTL_REFUSED, "--sweep goes with doctor");
    if (control->all_instances && !control->sweep)
        return complain(CTL_REFUSED, "--all-instances goes with doctor --sweep");
    return -1;
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
    int status = command->run(control);
    if (fflush(stdout) != 0)
        return complain(CTL_FAILED, "cannot write the answer to standard output");
    return status;
}

int main(int argc, char **argv)
{
    struct control control = {.instance = NAMES_DEFAULT, .timeout = 5};
    const struct command *command = NULL;

    log_setup("cache_ctl");
    int status = parse(&control, argc, argv, &command);
    return status >= 0 ? status : serve(&control, command);
}
