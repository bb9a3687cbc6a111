/* larder_crowd.c: the origin and the crowd of its clients in one process, with proxies between them.
 *
 * One thread, one loop over three descriptors: signals, the origin's connections and the crowd's. SIGUSR1
 * begins a round (crowd_round.h), SIGTERM and SIGINT end the program. crowd_conf.c has the options,
 * crowd_report.h what is printed. Set-up in order, teardown reversed: see main(). */
#include "crowd_conf.h"
#include "crowd_object.h"
#include "crowd_report.h"
#include "crowd_round.h"
#include "origin_server.h"
#include "storm_time.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct session {
    struct crowd_conf conf;
    struct crowd_object object;
    struct origin_server server;
    int signals;
    struct crowd_round round;
    bool running; /* a round is */
    unsigned rounds;
    int64_t deadline; /* for the next round to begin */
    bool ended, failed;
};

static void observe(void *user, int fd)
{
    struct session *session = user;

    if (session->running)
        crowd_round_observe(&session->round, fd);
}

static int open_signals(void)
{
    sigset_t wanted;
    int fd;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    fd = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        origin_die(1, "signalfd", strerror(errno));
    return fd;
}

static void wait_for_round(struct session *session)
{
    session->running = false;
    session->deadline = storm_now() + session->conf.timeout * STORM_SECOND;
}

static void open_session(struct session *session)
{
    struct origin_address address;

    signal(SIGPIPE, SIG_IGN);
    origin_raise_descriptor_limit();
    session->signals = open_signals();
    crowd_object_create(&session->object, (size_t)session->conf.size);
    session->server = (struct origin_server){.stop = -1,
                                             .conf = {.root = -1, .max_age = session->conf.max_age},
                                             .worked = observe,
                                             .user = session};
    origin_server_open(&session->server, "127.0.0.1:0");
    origin_server_address(&session->server, &address);
    wait_for_round(session);
    printf("target %s\nlistening %s:%s\n", session->conf.target.data, address.host, address.port);
    fflush(stdout);
}

static void close_session(struct session *session)
{
    origin_server_close(&session->server);
    stats_reset();
    crowd_object_destroy(&session->object);
    close(session->signals);
    crowd_conf_clear(&session->conf);
}

/* ---- rounds ---- */

static void begin_round(struct session *session)
{
    int error;

    if (session->running)
        return;
    error = crowd_round_begin(&session->round, &session->conf, &session->object, ++session->rounds);
    if (error)
        origin_die(ORIGIN_EXIT_USAGE, session->conf.proxies, strerror(-error));
    session->running = true;
}

static void end_round(struct session *session)
{
    session->failed |= !crowd_report(&session->round);
    crowd_round_end(&session->round);
    session->ended |= session->rounds == session->conf.rounds;
    wait_for_round(session);
}

static void stop(struct session *session)
{
    session->ended = session->failed = true; /* what was asked for did not happen */
    if (session->running)
        end_round(session);
}

/* ---- loop ---- */

static void take_signal(struct session *session)
{
    struct signalfd_siginfo signal;

    if (read(session->signals, &signal, sizeof(signal)) != sizeof(signal))
        return;
    if (signal.ssi_signo == SIGUSR1)
        begin_round(session);
    else
        stop(session);
}

static struct timespec time_to_sleep(const struct session *session)
{
    int64_t now = storm_now(),
            at = session->running ? crowd_round_wake_at(&session->round) : session->deadline;
    int wait = origin_server_wait(&session->server);

    if (wait >= 0 && now + wait * STORM_MS < at)
        at = now + wait * STORM_MS;
    return storm_until(at, now);
}

static void turn(struct session *session)
{
    struct timespec sleep = time_to_sleep(session);
    struct pollfd fds[] = {{.fd = session->signals, .events = POLLIN},
                           {.fd = session->server.epoll, .events = POLLIN},
                           {.fd = session->running ? session->round.crowd.epoll : -1, .events = POLLIN}};

    ppoll(fds, sizeof(fds) / sizeof(fds[0]), &sleep, NULL);
    origin_server_turn(&session->server, 0);
    if (fds[0].revents)
        take_signal(session);
    else if (session->running && !crowd_round_turn(&session->round))
        end_round(session);
    else if (!session->running && storm_now() >= session->deadline)
        stop(session);
}

int main(int argc, char **argv)
{
    static struct session session;
    int status = crowd_conf_parse(&session.conf, argc, argv);

    if (status >= 0) {
        crowd_conf_clear(&session.conf);
        return status;
    }
    open_session(&session);
    while (!session.ended)
        turn(&session);
    close_session(&session);
    return session.failed;
}
