/* origin_conn.h: one client connection, from its first byte to its end.
 *
 * The loop calls conn_run() when the socket may be ready, when the connection's time has come, or when a gate
 * was opened; it makes all progress that is possible without blocking, up to a bound, and then says when it
 * wants to be called again.
 *
 * Ownership: the loop destroys a connection after CONN_OVER. */
#ifndef ORIGIN_CONN_H
#define ORIGIN_CONN_H

#include "origin_io.h"
#include "origin_response.h"

struct conn;

enum conn_wish {
    CONN_WAITS, /* for its socket, for conn_wake_at(), or for a gate */
    CONN_OVER,
};

struct conn *conn_create(int fd, SSL_CTX *tls, const struct origin_conf *conf); /* owns fd; NULL: failed */
enum conn_wish conn_run(struct conn *conn, int64_t now_ms);
int64_t conn_wake_at(const struct conn *conn); /* milliseconds on the monotonic clock; INT64_MAX: never */
bool conn_is_held(const struct conn *conn);

/* The client ended its output. A connection that is delayed or held is over then; others go on. */
enum conn_wish conn_client_left(struct conn *conn);

/* Whether a control request on this connection opened a gate since the last call. */
bool conn_took_release(struct conn *conn);
void conn_destroy(struct conn *conn);

#endif
