/* listener.h: a listening socket that hands accepted clients to a front-end.
 *
 * Several proxies may listen on one address (SO_REUSEPORT): the kernel spreads the connections. When
 * connections or descriptors run out the listener pauses, instead of spinning on a socket that stays
 * readable.
 *
 * Threads: one. Errors: 0 or -errno. */
#ifndef LARDER_LISTENER_H
#define LARDER_LISTENER_H

#include "connection.h"

struct listen_address {
    union connection_peer address;
    socklen_t size;
};

/* "127.0.0.1:8080", "[::1]:8080"; port 0 lets the kernel choose. -EINVAL. */
int listen_address_parse(const char *text, struct listen_address *out);

#define LISTEN_ADDRESS_BYTES (INET6_ADDRSTRLEN + 10)
const char *listen_address_format(const struct listen_address *address, char out[LISTEN_ADDRESS_BYTES]);

struct listener {
    struct loop_watch watch;
    struct connection_home *connections;
    struct deadline_list pauses;
    struct deadline deadline;    /* while paused */
    struct listen_address bound; /* what the kernel chose */
    bool bound_here, open, paused, suspended, complained;
    int (*accepted)(void *front, int fd, const union connection_peer *peer); /* owns fd if it returns 0 */
    void *front;
};

/* Takes the address; nobody can connect before listener_open(). Apart from it, because a port below 1024
 * takes a privilege that the rest of the proxy does not need, and a client that is let in expects to be
 * served. */
int listener_bind(struct listener *listener, const struct listen_address *address);
/* Accepts from now on. If it fails the listener is still bound. */
int listener_open(struct listener *listener, struct connection_home *connections,
                  int (*accepted)(void *front, int fd, const union connection_peer *peer), void *front);
/* A connection was closed: there may be room again. */
void listener_resume(struct listener *listener);
/* Takes whoever has connected already, then no more: they are refused, or go to others on this address. The
 * address stays ours where the kernel lets us keep it; a port below 1024 needs no privilege to go on. */
void listener_suspend(struct listener *listener);
/* 0, or -errno: it stays suspended. */
int listener_go_on(struct listener *listener);
void listener_close(struct listener *listener); /* harmless if it is neither bound nor open */

#endif
