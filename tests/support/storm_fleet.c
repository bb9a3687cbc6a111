#include "storm_fleet.h"

#include "storm_problems.h"
#include "storm_time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIME     (15 * STORM_SECOND)
#define END_TIME       (15 * STORM_SECOND) /* a terminated proxy finishes responses for up to ten */
#define RESTART_TIME   0.03                /* at most, until a proxy is started anew */
#define CACHE_AWAY     0.4                 /* the same for the cache */
#define PATH_BYTES     (4096 + 64)
#define LOG_TAIL_BYTES 1500

/* ---- set-up ---- */

static int open_log(const struct fleet *fleet, const char *name)
{
    char path[PATH_BYTES];
    int fd;

    snprintf(path, sizeof(path), "%s/%s.log", fleet->directory, name);
    fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        problem_note("cannot create %s: %s", path, strerror(errno));
    return fd;
}

static bool open_logs(struct fleet *fleet)
{
    char name[32];
    bool good;

    fleet->origin_log = open_log(fleet, "origin");
    fleet->cache_log = open_log(fleet, "cache");
    good = fleet->origin_log >= 0 && fleet->cache_log >= 0;
    for (unsigned i = 0; i < fleet->conf->proxies; i++) {
        snprintf(name, sizeof(name), "proxy-%u", i);
        fleet->proxy_logs[i] = open_log(fleet, name);
        good = good && fleet->proxy_logs[i] >= 0;
    }
    return good;
}

static int take_signals(void)
{
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    return signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool make_directory(struct fleet *fleet)
{
    const char *base = getenv("TMPDIR");

    if (!base || !*base || strlen(base) > 64)
        base = "/tmp";
    snprintf(fleet->directory, sizeof(fleet->directory), "%s/larder-storm.XXXXXX", base);
    if (mkdtemp(fleet->directory))
        return true;
    problem_note("cannot create %s: %s", fleet->directory, strerror(errno));
    fleet->directory[0] = '\0';
    return false;
}

bool fleet_create(struct fleet *fleet, const struct storm_conf *conf, struct load *load,
                  struct names_watch *names)
{
    *fleet = (struct fleet){.conf = conf, .load = load, .names = names, .random = {conf->seed}};
    fleet->origin.out = fleet->cache.out = -1;
    fleet->proxies = calloc(conf->proxies, sizeof(*fleet->proxies));
    fleet->proxy_logs = calloc(conf->proxies, sizeof(*fleet->proxy_logs));
    fleet->signals = take_signals();
    if (!fleet->proxies || !fleet->proxy_logs || fleet->signals < 0)
        abort();
    return make_directory(fleet) && open_logs(fleet);
}

static void remove_log(const struct fleet *fleet, int fd, const char *name)
{
    char path[PATH_BYTES];

    if (fd <= 0)
        return;
    snprintf(path, sizeof(path), "%s/%s.log", fleet->directory, name);
    unlink(path);
    close(fd);
}

void fleet_destroy(struct fleet *fleet)
{
    char name[32];

    if (fleet->directory[0]) {
        remove_log(fleet, fleet->origin_log, "origin");
        remove_log(fleet, fleet->cache_log, "cache");
        for (unsigned i = 0; i < fleet->conf->proxies; i++) {
            snprintf(name, sizeof(name), "proxy-%u", i);
            remove_log(fleet, fleet->proxy_logs[i], name);
        }
        rmdir(fleet->directory);
    }
    close(fleet->signals);
    free(fleet->proxies);
    free(fleet->proxy_logs);
}

static void print_log(int fd, const char *name)
{
    char text[LOG_TAIL_BYTES + 1];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : 0;
    ssize_t got = pread(fd, text, LOG_TAIL_BYTES, from);

    if (got <= 0)
        return;
    text[got] = '\0';
    char *line = from ? strchr(text, '\n') : text;
    fprintf(stderr, "---- last lines of %s's log\n%s", name, line ? line + (from != 0) : text);
}

void fleet_print_logs(const struct fleet *fleet)
{
    char name[32];

    print_log(fleet->origin_log, "the origin");
    print_log(fleet->cache_log, "the cache");
    for (unsigned i = 0; i < fleet->conf->proxies; i++) {
        snprintf(name, sizeof(name), "proxy %u", i);
        print_log(fleet->proxy_logs[i], name);
    }
}

/* ---- starting ---- */

static void cannot_start(struct fleet *fleet, const char *name, int error)
{
    problem_note("cannot start %s/%s: %s", fleet->conf->bin, name, strerror(-error));
    fleet->broken = true;
}

static void start_origin(struct fleet *fleet)
{
    char path[PATH_BYTES];
    const char *argv[] = {path, "--listen", "127.0.0.1:0", NULL};
    int error;

    snprintf(path, sizeof(path), "%s/larder_origin", fleet->conf->bin);
    error = process_start(&fleet->origin, argv, fleet->origin_log);
    if (error)
        cannot_start(fleet, "larder_origin", error);
    else
        process_put_first(fleet->origin.pid);
}

static void start_cache(struct fleet *fleet)
{
    const struct storm_conf *conf = fleet->conf;
    char path[PATH_BYTES];
    const char *argv[] = {path,         "--instance",  conf->instance, "--memory",
                          conf->memory, "--log-level", "warn",         NULL};
    int error;

    snprintf(path, sizeof(path), "%s/cache_server", conf->bin);
    fleet->cache_killed = false;
    fleet->cache_at = storm_now() + START_TIME;
    error = process_start(&fleet->cache, argv, fleet->cache_log);
    if (error)
        cannot_start(fleet, "cache_server", error);
}

static void start_proxy(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];
    char path[PATH_BYTES];
    const char *argv[] = {path,
                          "--instance",
                          fleet->conf->instance,
                          "--listen",
                          "127.0.0.1:0",
                          "--origin",
                          fleet->origin_url,
                          "--idle-timeout",
                          "3600",
                          "--log-level",
                          "error",
                          NULL};
    int error;

    snprintf(path, sizeof(path), "%s/proxy_client", fleet->conf->bin);
    fleet->counts.restarts += proxy->life > 0;
    *proxy = (struct storm_proxy){.state = PROXY_STARTING, .life = proxy->life + 1, .port = proxy->port};
    proxy->expire_at = storm_now() + START_TIME;
    error = process_start(&proxy->process, argv, fleet->proxy_logs[index]);
    if (error)
        cannot_start(fleet, "proxy_client", error);
}

/* ---- what they say ---- */

static void hear_origin(struct fleet *fleet)
{
    char line[128], *colon;

    if (!process_line(&fleet->origin, line, sizeof(line)) || strncmp(line, "listening ", 10) != 0)
        return;
    snprintf(fleet->origin_url, sizeof(fleet->origin_url), "http://%.50s", line + 10);
    colon = strrchr(line, ':');
    fleet->origin_port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static void hear_cache(struct fleet *fleet)
{
    char line[128];

    if (!process_line(&fleet->cache, line, sizeof(line)) || strncmp(line, "ready", 5) != 0)
        return;
    fleet->cache_up = true;
    fleet->cache_run++;
    load_cache_is(fleet->load, fleet->cache_run);
}

static void hear_proxy(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];
    char line[128], *colon;

    if (!process_line(&proxy->process, line, sizeof(line)) || strncmp(line, "listening http ", 15) != 0)
        return;
    colon = strrchr(line, ':');
    proxy->port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
    proxy->state = PROXY_UP;
    load_proxy_up(fleet->load, index, proxy->port, proxy->life);
}

/* ---- how they end ---- */

/* SIGTERM may come before the proxy has set itself up for it. A terminated one may be killed before it ends.
 */
static bool proxy_ended_as_told(const struct storm_proxy *proxy, int status)
{
    if (WIFEXITED(status))
        return proxy->terminated && WEXITSTATUS(status) == 0;
    return (proxy->killed && WTERMSIG(status) == SIGKILL) ||
           (proxy->terminated && WTERMSIG(status) == SIGTERM);
}

static void reap_proxy(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];
    char ending[32];
    int status;

    if (!process_reap(&proxy->process, &status))
        return;
    if (!proxy_ended_as_told(proxy, status))
        problem_note("proxy %u, life %u, ended by itself: %s", index, proxy->life,
                     process_ending(status, ending));
    load_proxy_gone(fleet->load, index, proxy->life);
    proxy->state = PROXY_DOWN;
    proxy->frozen = false;
    proxy->start_at = storm_now() + storm_seconds(random_between(&fleet->random, 0, RESTART_TIME));
}

static void reap_cache(struct fleet *fleet)
{
    char ending[32];
    int status;

    if (!process_reap(&fleet->cache, &status))
        return;
    if (!fleet->cache_killed)
        problem_note("the cache ended by itself: %s", process_ending(status, ending));
    fleet->cache_up = false;
    load_cache_is(fleet->load, 0);
    names_watch_untimed(fleet->names);
    fleet->cache_at = storm_now() + storm_seconds(random_between(&fleet->random, 0, CACHE_AWAY));
}

static void reap_origin(struct fleet *fleet)
{
    char ending[32];
    int status;

    if (!process_reap(&fleet->origin, &status))
        return;
    problem_note("the origin ended: %s", process_ending(status, ending));
    fleet->broken = true;
}

static void take_signal(struct fleet *fleet)
{
    struct signalfd_siginfo info;

    while (read(fleet->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD)
            fleet->interrupted = (int)info.ssi_signo;
    }
    reap_origin(fleet);
    reap_cache(fleet);
    for (unsigned i = 0; i < fleet->conf->proxies; i++)
        reap_proxy(fleet, i);
}

/* ---- what is due ---- */

static void thaw(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];

    if (proxy->kill_at_thaw) {
        fleet_kill(fleet, index);
        return;
    }
    proxy->frozen = false;
    proxy->expire_at = storm_now() + START_TIME;
    kill(proxy->process.pid, SIGCONT);
}

static void proxy_is_late(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];

    problem_note("proxy %u, life %u, did not %s in time", index, proxy->life,
                 proxy->state == PROXY_STARTING ? "start" : "end");
    proxy->killed = true;
    proxy->state = PROXY_ENDING;
    proxy->expire_at = STORM_FOREVER;
    kill(proxy->process.pid, SIGKILL);
}

static void run_proxy(struct fleet *fleet, unsigned index, int64_t now)
{
    struct storm_proxy *proxy = &fleet->proxies[index];

    if (proxy->state == PROXY_DOWN && now >= proxy->start_at)
        start_proxy(fleet, index);
    else if (proxy->frozen && now >= proxy->thaw_at)
        thaw(fleet, index);
    else if ((proxy->state == PROXY_STARTING || proxy->state == PROXY_ENDING) && !proxy->frozen &&
             now >= proxy->expire_at)
        proxy_is_late(fleet, index);
}

static void run_cache(struct fleet *fleet, int64_t now)
{
    if (fleet->cache_up || now < fleet->cache_at)
        return;
    if (fleet->cache.pid == 0) {
        start_cache(fleet);
        return;
    }
    problem_note("the cache did not start in time");
    fleet->broken = true;
}

static int64_t proxy_due(const struct storm_proxy *proxy)
{
    if (proxy->state == PROXY_DOWN)
        return proxy->start_at;
    if (proxy->frozen)
        return proxy->thaw_at;
    return proxy->state == PROXY_UP ? STORM_FOREVER : proxy->expire_at;
}

static int64_t next_due(const struct fleet *fleet, int64_t until)
{
    if (!fleet->cache_up && fleet->cache_at < until)
        until = fleet->cache_at;
    for (unsigned i = 0; i < fleet->conf->proxies; i++) {
        int64_t due = proxy_due(&fleet->proxies[i]);

        until = due < until ? due : until;
    }
    return until;
}

static void run_due(struct fleet *fleet)
{
    int64_t now = storm_now();

    run_cache(fleet, now);
    for (unsigned i = 0; i < fleet->conf->proxies && !fleet->broken; i++)
        run_proxy(fleet, i, now);
}

/* ---- waiting ---- */

enum { FD_SIGNALS, FD_ORIGIN, FD_CACHE, FD_PROXIES };

/* Only those are listened to that have yet to say that they are ready. */
static void collect(const struct fleet *fleet, struct pollfd *fds)
{
    fds[FD_SIGNALS] = (struct pollfd){.fd = fleet->signals, .events = POLLIN};
    fds[FD_ORIGIN] = (struct pollfd){.fd = fleet->origin_url[0] ? -1 : fleet->origin.out, .events = POLLIN};
    fds[FD_CACHE] = (struct pollfd){.fd = fleet->cache_up ? -1 : fleet->cache.out, .events = POLLIN};
    for (unsigned i = 0; i < fleet->conf->proxies; i++) {
        const struct storm_proxy *proxy = &fleet->proxies[i];

        fds[FD_PROXIES + i] =
            (struct pollfd){.fd = proxy->state == PROXY_STARTING ? proxy->process.out : -1, .events = POLLIN};
    }
}

static void wait_and_hear(struct fleet *fleet, int64_t until)
{
    struct pollfd fds[FD_PROXIES + 64];
    struct timespec left = storm_until(until, storm_now());

    collect(fleet, fds);
    if (ppoll(fds, FD_PROXIES + fleet->conf->proxies, &left, NULL) <= 0)
        return;
    if (fds[FD_ORIGIN].revents & POLLIN)
        hear_origin(fleet);
    if (fds[FD_CACHE].revents & POLLIN)
        hear_cache(fleet);
    for (unsigned i = 0; i < fleet->conf->proxies; i++)
        if (fds[FD_PROXIES + i].revents & POLLIN)
            hear_proxy(fleet, i);
    if (fds[FD_SIGNALS].revents || fds[FD_ORIGIN].revents & POLLHUP || fds[FD_CACHE].revents & POLLHUP)
        take_signal(fleet);
}

bool fleet_run(struct fleet *fleet, int64_t until)
{
    do {
        run_due(fleet);
        if (fleet->broken || fleet->interrupted)
            return false;
        wait_and_hear(fleet, next_due(fleet, until));
    } while (storm_now() < until);
    return !fleet->broken && !fleet->interrupted;
}

bool fleet_all_up(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->conf->proxies; i++)
        if (fleet->proxies[i].state != PROXY_UP || fleet->proxies[i].frozen)
            return false;
    return fleet->cache_up;
}

/* Until the origin serves, nothing else may be due. */
bool fleet_start(struct fleet *fleet)
{
    int64_t deadline = storm_now() + START_TIME;

    start_origin(fleet);
    while (!fleet->broken && !fleet->origin_url[0] && !fleet->interrupted && storm_now() < deadline)
        wait_and_hear(fleet, deadline);
    while (fleet->origin_url[0] && !fleet_all_up(fleet) && storm_now() < deadline)
        if (!fleet_run(fleet, storm_now() + 5 * STORM_MS))
            return false;
    if (!fleet_all_up(fleet) && !fleet->interrupted && !fleet->broken)
        problem_note("not everything has started in time");
    return fleet_all_up(fleet);
}

/* ---- ending ---- */

/* Without starting anything anew. Returns its wait(2) status. */
static int wait_for_end(struct process *process, const char *name)
{
    int64_t deadline = storm_now() + END_TIME;
    int status = 0;

    while (!process_reap(process, &status)) {
        struct timespec step = {.tv_nsec = 5 * STORM_MS};

        if (storm_now() > deadline) {
            problem_note("%s did not end in time and was killed", name);
            kill(process->pid, SIGKILL);
            deadline = STORM_FOREVER;
        }
        nanosleep(&step, NULL);
    }
    return status;
}

static void stop_process(struct process *process, const char *name)
{
    char ending[32];
    int status;

    if (process->pid == 0)
        return;
    kill(process->pid, SIGTERM);
    status = wait_for_end(process, name);
    if (status)
        problem_note("%s ended with %s", name, process_ending(status, ending));
}

static void await_proxy(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];
    char name[32], ending[32];
    int status;

    if (proxy->process.pid == 0)
        return;
    snprintf(name, sizeof(name), "proxy %u", index);
    status = wait_for_end(&proxy->process, name);
    if (!proxy_ended_as_told(proxy, status))
        problem_note("%s ended with %s", name, process_ending(status, ending));
}

void fleet_stop(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->conf->proxies; i++) {
        struct storm_proxy *proxy = &fleet->proxies[i];

        if (proxy->process.pid == 0)
            continue;
        proxy->terminated = true;
        load_proxy_terminated(fleet->load, i, proxy->life);
        kill(proxy->process.pid, SIGTERM);
        kill(proxy->process.pid, SIGCONT);
    }
    for (unsigned i = 0; i < fleet->conf->proxies; i++)
        await_proxy(fleet, i);
    if (fleet->cache_killed && fleet->cache.pid)
        wait_for_end(&fleet->cache, "the cache");
    stop_process(&fleet->cache, "the cache");
    stop_process(&fleet->origin, "the origin");
}

/* ---- harm ---- */

bool fleet_kill(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];

    if (proxy->state == PROXY_DOWN || proxy->killed)
        return false;
    fleet->counts.kills++;
    fleet->counts.kills_frozen += proxy->frozen;
    proxy->killed = true;
    load_proxy_killed(fleet->load, index, proxy->life);
    names_watch_killed(fleet->names, proxy->process.pid,
                       fleet->cache_up && !fleet->cache_killed && !proxy->terminated &&
                           load_attached(fleet->load, index, proxy->life, fleet->cache_run));
    kill(proxy->process.pid, SIGKILL);
    proxy->frozen = false;
    proxy->state = PROXY_ENDING;
    proxy->expire_at = storm_now() + END_TIME;
    return true;
}

bool fleet_freeze(struct fleet *fleet, unsigned index, int64_t nanoseconds, bool then_kill)
{
    struct storm_proxy *proxy = &fleet->proxies[index];

    if ((proxy->state != PROXY_UP && proxy->state != PROXY_STARTING) || proxy->frozen)
        return false;
    fleet->counts.stalls++;
    proxy->frozen = true;
    proxy->kill_at_thaw = then_kill;
    proxy->thaw_at = storm_now() + nanoseconds;
    kill(proxy->process.pid, SIGSTOP);
    return true;
}

bool fleet_terminate(struct fleet *fleet, unsigned index)
{
    struct storm_proxy *proxy = &fleet->proxies[index];

    if ((proxy->state != PROXY_UP && proxy->state != PROXY_STARTING) || proxy->frozen)
        return false;
    fleet->counts.terminations++;
    proxy->terminated = true;
    load_proxy_terminated(fleet->load, index, proxy->life);
    kill(proxy->process.pid, SIGTERM);
    proxy->state = PROXY_ENDING;
    proxy->expire_at = storm_now() + END_TIME;
    return true;
}

bool fleet_kill_cache(struct fleet *fleet)
{
    if (!fleet->cache_up || fleet->cache_killed)
        return false;
    fleet->counts.cache_kills++;
    fleet->cache_killed = true;
    load_cache_is(fleet->load, 0);
    names_watch_untimed(fleet->names);
    kill(fleet->cache.pid, SIGKILL);
    return true;
}
