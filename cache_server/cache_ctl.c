/* cache_ctl: asks a running cache, and examines the host for what keeps proxies from it. */
#include "ctl_client.h"
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
    "  doctor [--json] [--sweep [--all-instances]]\n"
    "                  what keeps proxies from the cache on this host, and what to type to mend it:\n"
    "                  limits of queues, /dev/shm and descriptors, names left by the dead, permissions,\n"
    "                  namespaces; --sweep removes names of this user that are provably dead\n"
    "\n"
    "  --instance NAME    which cache (default: default)\n"
    "  --timeout SECONDS  how long to wait for an answer (default: 5)\n"
    "  --version, --help\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 refused or wrong usage, 75 the cache is not\n"
    "there or does not answer in time. doctor: 0 all is well, 1 something is wrong, 2 wrong usage.\n";

struct control {
    const char *instance;
    double timeout;
    bool json, sweep, all_instances;
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

static int with_client(const struct control *control,
                       enum ctl_status (*run)(struct ctl_client *, const struct control *))
{
    struct ctl_client client;

    endpoint_sweep(control->instance, NULL, NULL);
    enum ctl_status status = ctl_open(&client, control->instance, control->timeout);
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
    OPTION_VERSION,
    OPTION_HELP
};

static const struct option options[] = {
    {"instance", required_argument, NULL, OPTION_INSTANCE},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"json", no_argument, NULL, OPTION_JSON},
    {"sweep", no_argument, NULL, OPTION_SWEEP},
    {"all-instances", no_argument, NULL, OPTION_ALL_INSTANCES},
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

static int apply(struct control *control, int option)
{
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
    {"ping", run_ping, false, false}, {"stats", run_stats, true, false}, {"doctor", run_doctor, true, true}};

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
        return complain(CTL_REFUSED, "--json goes with stats and doctor");
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
