/* http1_line.h: the request line of HTTP/1 (RFC 9112 sections 2.2 and 3), as it arrives. Pure.
 *
 * Any token is a method (RFC 9110 section 9.1), which is why no list of known ones is asked. Offsets instead
 * of pointers: the buffer may move between two calls.
 *
 * Trust: the bytes are a client's. A line is refused at the first byte that cannot stand where it stands, so
 * the outcome does not depend on how the bytes were cut into pieces. */
#ifndef LARDER_HTTP1_LINE_H
#define LARDER_HTTP1_LINE_H

#include "http_message.h"

#define HTTP1_MAX_METHOD      31u /* bytes; origin.c sends as many */
#define HTTP1_MAX_TARGET      (8u * 1024)
#define HTTP1_MAX_EMPTY_LINES 4u /* in front of the line; section 2.2 asks for one at least */

/* Kinds of refusal: each is a counter of the front-end, whose name and meaning live here. */
#define HTTP1_REFUSALS(X)                                                                                    \
    X(line, "request lines that are none")                                                                   \
    X(version, "versions other than HTTP/1.x")                                                               \
    X(method, "CONNECT, PRI, and methods longer than 31 bytes")                                              \
    X(target, "request targets: malformed, too long, https on a connection that is not")                     \
    X(host, "Host fields: missing, repeated or malformed")                                                   \
    X(fields, "header fields: malformed, folded, too many or too large")                                     \
    X(framing, "Content-Length and Transfer-Encoding that contradict or cannot be understood")               \
    X(expectation, "expectations other than 100-continue")                                                   \
    X(body, "bodies: malformed, incomplete, too large, or where none may be")                                \
    X(timeout, "heads and bodies that did not arrive in time")

enum http1_refusal_kind {
#define X(name, meaning) HTTP1_REFUSAL_##name,
    HTTP1_REFUSALS(X)
#undef X
        HTTP1_REFUSAL_KINDS
};

struct http1_refusal {
    int status; /* of the answer; 0: nothing is wrong */
    enum http1_refusal_kind kind;
    const char *problem; /* for people */
};

struct http1_line {
    unsigned phase;
    uint32_t at;    /* bytes of the buffer that were looked at */
    uint32_t start; /* of the part that is being read */
    uint32_t empty_lines;
    uint32_t method_at, method_length, target_at, target_length; /* once they are whole; else length 0 */
    uint8_t major, minor;                                        /* as received */
};

enum http1_line_result { HTTP1_LINE_MORE, HTTP1_LINE_COMPLETE, HTTP1_LINE_REFUSED };
/* A line that is zero throughout is one at its start. COMPLETE: line->at is where the fields begin. */
enum http1_line_result http1_line_read(struct http1_line *line, const char *buffer, uint32_t size,
                                       struct http1_refusal *refusal);

#endif
