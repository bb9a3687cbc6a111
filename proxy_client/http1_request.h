/* http1_request.h: one HTTP/1 request out of a connection's input buffer, with llhttp. Pure: no I/O.
 *
 * The head is parsed as it arrives; spans point into the caller's buffer, which must keep the bytes in place
 * (http1_request_moved() if it has to move) until the request is over. Then the body is decoded piece by
 * piece.
 *
 * Trust: the bytes are a client's. What RFC 9112 calls invalid is refused, with the status that says why. */
#ifndef LARDER_HTTP1_REQUEST_H
#define LARDER_HTTP1_REQUEST_H

#include "http_message.h"

#include <llhttp.h>

#define HTTP1_MAX_TARGET      (8u * 1024)
#define HTTP1_MAX_FIELDS      (32u * 1024) /* bytes of header lines */
/* The rest of the table is for what is added on the way to the origin. */
#define HTTP1_MAX_FIELD_COUNT (HTTP_MAX_FIELDS - 8)
/* A buffer of this size always suffices. */
#define HTTP1_MAX_HEAD        (HTTP1_MAX_TARGET + HTTP1_MAX_FIELDS + 256)

struct http1_request {
    llhttp_t parser;
    struct http_fields *fields; /* the caller's */
    struct http_span method, target, host;
    struct http_span line_target; /* the target as received; `target` is without scheme and authority */
    struct http_span name, value; /* of the field being parsed */
    const char *fields_start;
    uint32_t parsed; /* bytes of the buffer that llhttp has seen */
    uint8_t minor;   /* HTTP/1.minor */
    bool host_seen, connection_seen, coding_seen, length_seen, expect_seen;
    bool keep_alive, has_body, chunked, expects_continue;
    uint64_t length; /* of the body, unless chunked */
    bool body_begun, body_complete;
    char *body_out; /* where on_body writes */
    size_t body_size, trailer_size;
    int refusal; /* status of the answer when HTTP1_REFUSED */
    const char *problem;
};

void http1_request_begin(struct http1_request *request, struct http_fields *fields);
void http1_request_moved(struct http1_request *request, const char *from, const char *to);

enum http1_head { HTTP1_MORE, HTTP1_COMPLETE, HTTP1_REFUSED };
/* `size` bytes stand in the buffer in all. COMPLETE: the head ended at *end, where body or next request
 * begins. */
enum http1_head http1_request_head(struct http1_request *request, const char *buffer, uint32_t size,
                                   uint32_t *end);

enum http1_body { HTTP1_BODY_GOES_ON, HTTP1_BODY_COMPLETE, HTTP1_BODY_BAD };
/* Decodes `size` raw bytes into `out`, which has room for as many; *used of them belong to this request. */
enum http1_body http1_request_body(struct http1_request *request, const char *raw, size_t size, char *out,
                                   size_t *used, size_t *got);

#endif
