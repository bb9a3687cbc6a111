/* origin_server.h: the origin's listening socket and its clients, in an epoll instance of their own.
 *
 * One thread. Every client socket is registered once, edge-triggered, for both directions; origin_conn.h has
 * what happens on it. A program with other things to wait for watches `epoll`, which is readable when there
 * is something to do, and calls origin_server_turn(server, 0) then and when origin_server_wait() is over.
 *
 * Ownership: whoever opened a server closes it; `tls` stays the caller's.
 * Errors:    those of the set-up end the program, with a line on standard error. */
#ifndef ORIGIN_SERVER_H
#define ORIGIN_SERVER_H

#include "origin_conn.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ORIGIN_EXIT_USAGE 2

struct origin_client;

struct origin_server {
    int epoll, listener, spare;
    int stop; /* ends the turn's loop when it is readable; -1: none */
    SSL_CTX *tls;
    struct origin_conf conf;
    struct origin_client *clients;
    bool released;                      /* a gate was opened */
    void (*worked)(void *user, int fd); /* after all that a connection could do at once; NULL: nobody asks */
    void *user;
};

_Noreturn void origin_die(int status, const char *what, const char *detail);

/* Listens on ADDR:PORT. The caller has set stop, tls, conf, worked and user. */
void origin_server_open(struct origin_server *server, const char *address);
void origin_server_close(struct origin_server *server);

/* Where it listens, as text; ends the program if that cannot be told. */
struct origin_address {
    char host[64], port[16];
    int family;
};
void origin_server_address(const struct origin_server *server, struct origin_address *address);

/* Milliseconds until a connection's time comes; 0: now, -1: none has one. */
int origin_server_wait(const struct origin_server *server);

/* Waits for at most that long (-1: for ever) and does what there is to do. False: `stop` is readable. */
bool origin_server_turn(struct origin_server *server, int wait_ms);

/* As many descriptors as the hard limit allows. */
void origin_raise_descriptor_limit(void);

#endif
