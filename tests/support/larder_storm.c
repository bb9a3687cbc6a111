/* larder_storm.c: the stress test: kills proxies and caches under load and says what became of everybody
 * else.
 *
 * This file is the order of events; main() reads top down:
 *
 *     start -> warm up -> rest, baseline -> quiet run -> rest -> storm -> rest, inspection -> stop -> table
 *
 * Modules: storm_corpus (what is asked for), storm_response (is it right), storm_load (clients; a thread),
 * storm_process and storm_fleet (processes), storm_chaos (harm), storm_names (names come and go; a thread),
 * storm_inspect (what is held at rest), storm_machine (what the machine adds), storm_spoil (damage that must
 * be noticed), storm_report (the table).
 */
#include "storm_chaos.h"
#include "storm_inspect.h"
#include "storm_problems.h"
#include "storm_report.h"
#include "storm_spoil.h"
#include "storm_time.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS  8                   /* to each proxy */
#define WARM_SECONDS 1.5                 /* and a fifth of the storm at most */
#define SETTLE       (25 * STORM_SECOND) /* longer than a request may take */
#define CLEAN        (15 * STORM_SECOND) /* the cache sweeps every five seconds, what is two seconds old */
#define SPOILED      (1 * STORM_SECOND)  /* what was done on purpose does not go away */
#define STEP         (5 * STORM_MS)

struct storm {
    struct storm_conf conf;
    struct corpus corpus;
    struct load *load;
    struct names_watch *names;
    struct fleet fleet;
    struct baseline baseline;
    struct report report;
    struct machine *machine;
};

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

/* Ends the load and waits until all proxies run and no request is under way. */
static bool rest(struct storm *storm)
{
    int64_t deadline = storm_now() + SETTLE;

    load_pause(storm->load);
    while (!load_idle(storm->load) || !fleet_all_up(&storm->fleet)) {
        if (storm_now() > deadline) {
            problem_note("the installation does not come to rest");
            return false;
        }
        if (!fleet_run(&storm->fleet, storm_now() + STEP))
            return false;
    }
    return true;
}

static bool run_quietly(struct storm *storm, enum load_phase phase, double seconds)
{
    load_resume(storm->load, phase);
    return fleet_run(&storm->fleet, storm_now() + storm_seconds(seconds));
}

static bool start(struct storm *storm)
{
    if (!fleet_start(&storm->fleet))
        return false;
    if (inspect_await_registered(&storm->fleet, storm_now() + SETTLE))
        return true;
    if (!storm->fleet.interrupted)
        problem_note("not all proxies have registered in time");
    return false;
}

static double storm_length(const struct storm_conf *conf)
{
    return conf->seconds > 0 ? conf->seconds : (double)conf->kills / conf->rate;
}

/* Everything is asked for, once and then again. */
static bool warm_up(struct storm *storm)
{
    double each = 1.1 * CORPUS_OBJECTS / (storm->conf.load * storm->conf.proxies);

    if (!run_quietly(storm, LOAD_WARM, each + fmin(WARM_SECONDS, storm_length(&storm->conf) / 5)) ||
        !rest(storm))
        return false;
    inspect_baseline(&storm->fleet, &storm->baseline);
    return !storm->fleet.interrupted;
}

static bool quiet_run(struct storm *storm)
{
    char line[96];

    if (!storm->conf.quiet)
        return true;
    snprintf(line, sizeof(line), "Quiet run: %.0f s ...", storm_length(&storm->conf));
    say(line);
    machine_use_begin(storm->machine, &storm->report.quiet_machine);
    bool whole = run_quietly(storm, LOAD_QUIET, storm_length(&storm->conf));
    machine_use_end(storm->machine, &storm->report.quiet_machine);
    return whole && rest(storm);
}

static bool stormy_run(struct storm *storm)
{
    int64_t began = storm_now(), deadline = STORM_FOREVER;
    bool whole;

    if (storm->conf.seconds > 0)
        deadline = began + storm_seconds(storm->conf.seconds);
    say("Storm ...");
    inspect_memory(&storm->fleet, &storm->report.before);
    machine_use_begin(storm->machine, &storm->report.storm_machine);
    load_resume(storm->load, LOAD_STORM);
    spoil_storm(&storm->fleet);
    whole = chaos_run(&storm->fleet, deadline, storm->conf.kills);
    machine_use_end(storm->machine, &storm->report.storm_machine);
    storm->report.seconds = (double)(storm_now() - began) / 1e9;
    return whole && rest(storm);
}

static bool inspect(struct storm *storm)
{
    int64_t deadline;

    if (!inspect_await_registered(&storm->fleet, storm_now() + CLEAN) && !storm->fleet.interrupted)
        problem_note("not all proxies have registered again");
    spoil_rest(&storm->fleet);
    deadline = storm_now() + (storm->conf.spoil ? SPOILED : CLEAN);
    if (!inspect_until_clean(&storm->fleet, &storm->baseline, deadline, &storm->report.found))
        return false;
    inspection_report(&storm->report.found, "at rest");
    inspect_memory(&storm->fleet, &storm->report.after);
    return true;
}

static void account(struct storm *storm)
{
    struct report *report = &storm->report;

    report->conf = &storm->conf;
    report->warm = load_numbers(storm->load, LOAD_WARM);
    report->quiet = load_numbers(storm->load, LOAD_QUIET);
    report->storm = load_numbers(storm->load, LOAD_STORM);
    report->counts = &storm->fleet.counts;
    names_watch_reclaims(storm->names, &report->reclaims);
    if (report->reclaims.outstanding)
        problem_note("%u killed proxies have not been reclaimed", report->reclaims.outstanding);
}

static void stop(struct storm *storm)
{
    struct inspection left;

    load_pause(storm->load);
    fleet_stop(&storm->fleet);
    spoil_end();
    inspect_names_left(&storm->fleet, &left);
    inspection_report(&left, "after everything had ended");
    storm->report.names_left = left.lost_names;
    names_watch_remove_all(storm->names);
}

static bool run(struct storm *storm)
{
    bool whole = start(storm) && warm_up(storm) && quiet_run(storm) && stormy_run(storm) && inspect(storm);

    if (whole)
        account(storm);
    stop(storm);
    return whole;
}

static int conclude(struct storm *storm, bool whole)
{
    if (storm->fleet.interrupted) {
        printf("Interrupted; everything has been stopped.\n");
        return 128 + storm->fleet.interrupted;
    }
    storm->report.problems = problem_count();
    if (whole)
        report_print(&storm->report, stdout);
    if (whole && report_is_good(&storm->report)) {
        printf("\nAll right.\n");
        return 0;
    }
    fflush(stdout);
    fprintf(stderr, "\nWrong:\n");
    problem_print(stderr);
    fleet_print_logs(&storm->fleet);
    fprintf(stderr, "To repeat: --seed %" PRIu64 "\n", storm->conf.seed);
    return 1;
}

static int cannot(const char *what)
{
    fprintf(stderr, "larder_storm: %s: %s\n", what, strerror(errno));
    return 1;
}

static void introduce(const struct storm *storm)
{
    const struct storm_conf *conf = &storm->conf;

    printf("One cache (%s), %u proxies (%u left alone), %.0f requests a second each, %d objects of "
           "%.1f MiB in all,\n%.1f kills a second, seed %" PRIu64 ", instance %s\n",
           conf->memory, conf->proxies, conf->witnesses, conf->load, CORPUS_OBJECTS,
           (double)storm->corpus.bytes / 1048576, conf->rate, conf->seed, conf->instance);
    fflush(stdout);
}

static struct load *create_load(const struct storm *storm)
{
    struct load_conf conf = {.corpus = &storm->corpus,
                             .proxies = storm->conf.proxies,
                             .witnesses = storm->conf.witnesses,
                             .connections = CONNECTIONS,
                             .rate = storm->conf.load,
                             .seed = storm->conf.seed + 1,
                             .machine = storm->machine};

    return load_create(&conf);
}

/* Threads inherit the mask: only the main thread hears of signals, through its signalfd. */
static void block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

int main(int argc, char **argv)
{
    static struct storm storm;
    bool whole = false;
    int status = storm_conf_parse(&storm.conf, argc, argv);

    if (status >= 0)
        return status;
    block_signals();
    problem_clock();
    corpus_create(&storm.corpus, storm.conf.seed);
    introduce(&storm);
    storm.machine = machine_create();
    storm.names = names_watch_create(storm.conf.instance, storm.machine);
    if (!storm.names) {
        machine_destroy(&storm.machine);
        corpus_destroy(&storm.corpus);
        return cannot("cannot watch /dev/shm");
    }
    storm.load = create_load(&storm);
    if (fleet_create(&storm.fleet, &storm.conf, storm.load, storm.names))
        whole = run(&storm);
    status = conclude(&storm, whole);
    load_destroy(&storm.load);
    fleet_destroy(&storm.fleet);
    names_watch_destroy(&storm.names);
    machine_destroy(&storm.machine);
    corpus_destroy(&storm.corpus);
    return status;
}
