/* front_http.h: the HTTP/1 front-end: requests off a connection, responses onto it.
 *
 * Persistent connections and pipelining: the next request is parsed when the response before it is queued
 * whole. Bodies of requests stream to the exchange as it asks for them; what it does not take stays in the
 * kernel. A response that comes before the end of its request's body ends the connection.
 *
 * Trust: clients send anything. Errors are answered with a status and one line of text where the connection
 * still allows it. */
#ifndef LARDER_FRONT_HTTP_H
#define LARDER_FRONT_HTTP_H

#include "access_log.h"
#include "address_list.h"
#include "connection.h"
#include "exchange.h"
#include "http1_line.h"

struct front_http {
    struct connection_home *connections;
    struct exchange_home *exchanges;
    struct access_log *log; /* NULL: none */
    uint64_t max_request_body;
    const struct address_list
        *purge_from;                    /* who may use the method PURGE; NULL: it is a method like others */
    struct http_fields_box *free_boxes; /* field tables of requests that are not under way */
    uint64_t bad_requests[HTTP1_REFUSAL_KINDS];
};

void front_http_setup(struct front_http *front, struct connection_home *connections,
                      struct exchange_home *exchanges, struct access_log *log, uint64_t max_request_body);
void front_http_teardown(struct front_http *front);
/* Logs how many requests have been refused so far, by kind (HTTP1_REFUSALS). */
void front_http_report(const struct front_http *front);
/* 0 or -errno; on failure the caller still owns fd. `front` is a struct front_http. */
int front_http_accept(void *front, int fd, const union connection_peer *peer);

#endif
