/* http1_request.h: one HTTP/1 request out of a connection's input buffer. Pure: no I/O.
 *
 * The request line is read by http1_line, fields by http_message's http_line_next(), chunks by http1_chunked.
 * The head is parsed as it arrives; spans point into the caller's buffer, which must keep the bytes in place
 * (http1_request_moved() if it has to move) until the request is over. Then the body is decoded piece by
 * piece.
 *
 * Trust: the bytes are a client's. What RFC 9112 calls invalid is refused, with the status that says why. */
#ifndef LARDER_HTTP1_REQUEST_H
#define LARDER_HTTP1_REQUEST_H

#include "http1_chunked.h"
#include "http1_line.h"

#define HTTP1_MAX_FIELDS      (32u * 1024) /* bytes of header lines */
/* The rest of the table is for what is added on the way to the origin. */
#define HTTP1_MAX_FIELD_COUNT (HTTP_MAX_FIELDS - 8)
/* A buffer of this size always suffices. */
#define HTTP1_MAX_HEAD        (HTTP1_MAX_TARGET + HTTP1_MAX_FIELDS + 256)

struct http1_request {
    struct http1_line line;
    struct http_fields *fields; /* the caller's */
    struct http_span method;
    struct http_span target;      /* origin-form or "*": without scheme and authority */
    struct http_span line_target; /* as received */
    struct http_span host;        /* that of an absolute-form target, or else Host's; may be empty */
    uint32_t field_at;            /* offset of the field line that is being read */
    uint32_t parsed;              /* bytes of the buffer that have been seen */
    uint8_t minor;                /* HTTP/1.minor; later ones than 1 are read as 1 (RFC 9110 section 2.5) */
    bool target_is_literal;       /* not in the buffer */
    bool host_seen, connection_seen, coding_seen, length_seen, expect_seen;
    bool is_get, is_head, is_options, is_trace;
    bool keep_alive, has_body, chunked, expects_continue;
    int64_t max_forwards; /* of OPTIONS and TRACE; -1: not limited */
    uint64_t length;      /* of the body, unless chunked */
    bool body_complete;
    uint64_t length_left;
    struct http1_chunked decoder;
    struct http1_refusal refusal; /* when HTTP1_REFUSED or HTTP1_BODY_BAD */
};

void http1_request_begin(struct http1_request *request, struct http_fields *fields);
void http1_request_moved(struct http1_request *request, const char *from, const char *to);

enum http1_head { HTTP1_MORE, HTTP1_COMPLETE, HTTP1_REFUSED };
/* `size` bytes stand in the buffer in all. COMPLETE: the head ended at *end, where body or next request
 * begins. The request line may be changed: "http://host?query" gets the path that it lacks. */
enum http1_head http1_request_head(struct http1_request *request, char *buffer, uint32_t size, uint32_t *end);

enum http1_body { HTTP1_BODY_GOES_ON, HTTP1_BODY_COMPLETE, HTTP1_BODY_BAD };
/* Decodes `size` raw bytes into `out`, which has room for as many; *used of them belong to this request. */
enum http1_body http1_request_body(struct http1_request *request, const char *raw, size_t size, char *out,
                                   size_t *used, size_t *got);

#endif
