/* connection.h: one client's socket: input buffer, output, time-outs, and an end that loses no bytes.
 *
 *     OPEN ── connection_finish() ──> FLUSHING ── all is sent ──> LINGERING ──┐ client closes,
 *       ├─── connection_break() ──> BREAKING ──> CLOSED                       │
 *       └──── peer gone, or connection_close() ──> CLOSED <───────────────────┘ or time is up
 *
 * LINGERING: our side is shut down and what the client still sends is read and dropped; closing a socket with
 * unread bytes would reset the connection and destroy the response on its way.
 *
 * The socket is registered once, edge-triggered for everything, so a request costs no epoll_ctl: `may_read`
 * and `may_write` remember what the kernel said.
 *
 * Ownership: a connection is the first member of its front-end's struct; front->destroy() frees that, at the
 * end of a turn after the socket was closed. Threads: one. */
#ifndef LARDER_CONNECTION_H
#define LARDER_CONNECTION_H

#include "output.h"
#include "page_pipe.h"
#include "proxy_loop.h"

#include <netinet/in.h>

#define CONNECTION_INPUT_FIRST  (4u * 1024)
#define CONNECTION_OUTPUT_BOUND (256u * 1024) /* bytes that may wait for a client */
#define CONNECTION_FILE_BOUND                                                                                \
    (2048u * 1024) /* more that are to leave by reference: few calls take them                               \
                    */

struct connection;
struct cache_link;

enum connection_timeout { CONNECTION_TIMEOUT_HEADER, CONNECTION_TIMEOUT_BODY };

struct front_calls {
    /* Bytes or the client's end may be there to read, there is room in the output again, or home->stopping
     * has been set. What it adds to the output is sent when it returns. */
    void (*proceed)(struct connection *connection);
    void (*timed_out)(struct connection *connection, enum connection_timeout which);
    void (*gone)(struct connection *connection); /* the socket is dead: let go of whatever works for it */
    void (*destroy)(struct connection *connection);
};

union connection_peer {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_FLUSHING,
    CONNECTION_LINGERING,
    CONNECTION_BREAKING,
    CONNECTION_CLOSED
};

struct connection {
    struct loop_watch watch;
    struct loop_task task;
    const struct front_calls *front;
    struct connection_home *home;
    struct connection *prev, *next; /* in home->first */
    struct deadline read_deadline, write_deadline;
    int64_t accepted_ms; /* monotonic */
    struct output output;
    struct page_pipe *pipe; /* has the first bytes of the output in it; NULL: none has */
    char *input;
    uint32_t input_size, input_used;
    enum connection_state state;
    bool may_read, may_write, peer_ended;
    bool held;            /* what waits in the output waits for more */
    bool urgent;          /* TCP urgent data was announced */
    bool served;          /* a request was completed */
    bool close_ends_body; /* set by the front-end: only the end of the connection tells the end of the body */
    union connection_peer peer;
    char peer_text[INET6_ADDRSTRLEN]; /* made when it is first asked for */
};

/* What all connections of a proxy share. */
struct connection_home {
    struct proxy_loop *loop;
    struct cache_link *link;
    struct output_pool outputs;
    struct page_pipes pipes;
    struct deadline pipes_deadline; /* set while there are any */
    struct deadline_list idle, header, body, write, linger, unused;
    struct connection *first;
    unsigned count, limit;
    bool stopping;               /* no further requests on a connection */
    void (*closed)(void *owner); /* there is room for another connection */
    void *closed_owner;
};

struct connection_timeouts {
    int header_s, idle_s, body_s;
    unsigned limit;
};

void connection_home_setup(struct connection_home *home, struct proxy_loop *loop, struct cache_link *link,
                           const struct connection_timeouts *timeouts);
/* Others, for what begins to wait from now on. Who is too many stays. */
void connection_home_set_timeouts(struct connection_home *home, const struct connection_timeouts *timeouts);
void connection_home_teardown(struct connection_home *home); /* closes all at once */
/* From now on each connection ends with the response that it is at; proceed() is called for all. */
void connection_home_stop(struct connection_home *home);
/* Those that come from now on may stay again. */
void connection_home_go_on(struct connection_home *home);
/* Closes the one that has been idle longest between two requests. One that has asked and not been answered
 * yet, or has not taken its answer, is not idle; one that has said nothing for a second is. False: none is,
 * among the first few. */
bool connection_home_drop_idle(struct connection_home *home);

/* 0 or -errno; on failure the caller still owns fd, and the memory is gone by front->destroy(). */
int connection_open(struct connection *connection, struct connection_home *home,
                    const struct front_calls *front, int fd, const union connection_peer *peer);

/* One recv() into the free part of the input. NOTHING: wait; ENDED: the client will send no more. */
enum connection_read { CONNECTION_READ_BYTES, CONNECTION_READ_NOTHING, CONNECTION_READ_ENDED };
enum connection_read connection_read(struct connection *connection);
/* The input gets at least `size` bytes; its content may move. */
void connection_grow_input(struct connection *connection, uint32_t size);

/* Sends what was added to the output outside of front->proceed(), at the end of the turn, and calls that. */
void connection_wake(struct connection *connection);
/* What is in the output waits for what will be added soon, to leave with it: until connection_wake(). For who
 * will call that whatever comes. */
void connection_hold(struct connection *connection);
size_t connection_room(const struct connection *connection);
void connection_finish(struct connection *connection);
/* As connection_finish(), for a response that is not whole: where only the close would tell, it is a reset.
 */
void connection_break(struct connection *connection);
void connection_close(struct connection *connection); /* at once; gone() is not called */

void connection_expect_request(struct connection *connection); /* the next one; idle time-out */
void connection_expect_header(struct connection *connection);  /* unless it runs already */
void connection_expect_body(struct connection *connection);
void connection_expect_nothing(struct connection *connection);

/* Its address, for people and X-Forwarded-For; lives as long as the connection. */
const char *connection_peer_text(struct connection *connection);

#endif
