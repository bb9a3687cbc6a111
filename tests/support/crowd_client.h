/* crowd_client.h: the clients of one round, each with a connection and one request.
 *
 * They connect, wait until all are connected, and ask together (with `lead`: the first alone, the others when
 * the origin has a request). Their sockets are in an epoll instance of their own, which the loop watches.
 *
 * Ownership: crowd_open() borrows configuration, object and proxies until crowd_close().
 * Errors:    a client that cannot connect is a broken one; out of memory ends the program. */
#ifndef CROWD_CLIENT_H
#define CROWD_CLIENT_H

#include "crowd_conf.h"
#include "crowd_proxies.h"
#include "crowd_response.h"

enum crowd_outcome {
    CROWD_WAITS,  /* not over */
    CROWD_WHOLE,  /* status 200 and every byte right */
    CROWD_ERROR,  /* another status, whole */
    CROWD_BROKEN, /* ended early; what came was right */
    CROWD_WRONG,  /* wrong bytes, length, ETag or framing */
};

struct crowd_client {
    int fd; /* -1: over */
    unsigned proxy;
    bool connected, asked;
    bool asleep; /* a slow one that does not read yet */
    enum crowd_outcome outcome;
    int64_t first, last; /* body byte, on storm_time.h's clock; 0: none yet */
    struct crowd_response response;
};

struct crowd {
    const struct crowd_conf *conf;
    const struct crowd_proxies *proxies;
    int epoll;
    struct crowd_client *clients; /* the slow ones first */
    unsigned count, slow;
    unsigned ready;           /* connected, or failed to */
    unsigned over, fast_over; /* of all; of those that are not slow */
    unsigned woken;           /* 0: no slow one reads, 1: all but the very first, 2: all */
    bool led;                 /* the first has asked */
    int64_t began;            /* when they asked; 0: not yet */
    struct bytes request;
    char *buffer;
};

void crowd_open(struct crowd *crowd, const struct crowd_conf *conf, const struct crowd_object *object,
                const struct crowd_proxies *proxies);
void crowd_close(struct crowd *crowd);

/* Does all that can be done now; `served`: the origin has had a request. */
void crowd_turn(struct crowd *crowd, bool served);
bool crowd_is_over(const struct crowd *crowd);
int64_t crowd_wake_at(const struct crowd *crowd); /* STORM_FOREVER: when a socket is ready */

#endif
