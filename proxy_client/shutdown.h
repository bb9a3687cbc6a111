/* shutdown.h: signals of the operator, and an end within bounded time.
 *
 *     RUNNING ── SIGINT, SIGTERM ──> STOPPING ── nothing goes on, or 10 s, or a second signal ──> ended
 *
 * STOPPING: nobody new is accepted, each connection ends with the response that it is at, fills are finished.
 *
 * SIGHUP and SIGUSR1 reopen the access log. SIGHUP also has the configuration read again, where there is a
 * file (reload.h); SIGUSR1 and the end log the counters of the front-end.
 *
 * Threads: one. The signals must be blocked before any thread is made: shutdown_block_signals(). */
#ifndef LARDER_SHUTDOWN_H
#define LARDER_SHUTDOWN_H

#include "access_log.h"
#include "connection.h"
#include "exchange.h"
#include "front_http.h"
#include "listener.h"
#include "reload.h"

struct shutdown {
    struct loop_watch watch; /* a signalfd */
    struct proxy_loop *loop;
    struct connection_home *connections;
    struct exchange_home *exchanges;
    struct access_log *log;
    const struct front_http *http;
    struct listener *listeners;
    unsigned listener_count;
    struct reload *reload; /* NULL: there is no file */
    bool stopping;
    struct deadline_list limits, looks;
    struct deadline limit, look;
};

void shutdown_block_signals(void);
/* The caller has filled in what is to be stopped. 0 or -errno. */
int shutdown_setup(struct shutdown *shutdown);
void shutdown_teardown(struct shutdown *shutdown);

#endif
