#include "shutdown.h"

#include "log.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LIMIT_MS 10000
/* Connections and exchanges end one by one; that there are none left is looked up, not announced. */
#define LOOK_MS  10

static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

static sigset_t handled_set(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        sigaddset(&set, handled[i]);
    return set;
}

void shutdown_block_signals(void)
{
    sigset_t set = handled_set();

    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void look(struct deadline *deadline)
{
    struct shutdown *shutdown =
        (struct shutdown *)(void *)((char *)deadline - offsetof(struct shutdown, look));

    if (shutdown->connections->count == 0 && exchange_count(shutdown->exchanges) == 0)
        proxy_loop_stop(shutdown->loop);
    else
        loop_arm(shutdown->loop, &shutdown->looks, &shutdown->look);
}

static void limit_passed(struct deadline *deadline)
{
    struct shutdown *shutdown =
        (struct shutdown *)(void *)((char *)deadline - offsetof(struct shutdown, limit));

    log_warn("stopping with work under way", "connections=%u exchanges=%u", shutdown->connections->count,
             exchange_count(shutdown->exchanges));
    proxy_loop_stop(shutdown->loop);
}

static void stop(struct shutdown *shutdown, int signal_number)
{
    if (shutdown->stopping) {
        proxy_loop_stop(shutdown->loop);
        return;
    }
    shutdown->stopping = true;
    log_info("stopping", "signal=%d connections=%u exchanges=%u", signal_number, shutdown->connections->count,
             exchange_count(shutdown->exchanges));
    for (unsigned i = 0; i < shutdown->listener_count; i++)
        listener_close(&shutdown->listeners[i]);
    connection_home_stop(shutdown->connections);
    loop_arm(shutdown->loop, &shutdown->limits, &shutdown->limit);
    loop_arm(shutdown->loop, &shutdown->looks, &shutdown->look);
}

static void signals_wait(struct loop_watch *watch, uint32_t events)
{
    struct shutdown *shutdown = (struct shutdown *)watch;
    struct signalfd_siginfo info;

    _Static_assert(offsetof(struct shutdown, watch) == 0, "the watch is cast to its owner");
    (void)events;
    while (read(watch->fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM) {
            stop(shutdown, (int)info.ssi_signo);
            continue;
        }
        if (shutdown->log)
            access_log_reopen(shutdown->log);
        if (info.ssi_signo == SIGUSR1)
            front_http_report(shutdown->http);
        else if (shutdown->reload)
            reload_configuration(shutdown->reload);
    }
}

int shutdown_setup(struct shutdown *shutdown)
{
    sigset_t set = handled_set();
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    shutdown->watch = (struct loop_watch){.ready = signals_wait, .fd = fd};
    loop_add_deadlines(shutdown->loop, &shutdown->limits, LIMIT_MS, limit_passed);
    loop_add_deadlines(shutdown->loop, &shutdown->looks, LOOK_MS, look);
    return loop_watch(shutdown->loop, &shutdown->watch, EPOLLIN);
}

void shutdown_teardown(struct shutdown *shutdown)
{
    loop_unwatch(shutdown->loop, &shutdown->watch);
    close(shutdown->watch.fd);
}
