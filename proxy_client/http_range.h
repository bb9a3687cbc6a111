/* http_range.h: parts of a representation (RFC 9110 section 14): which a request asks for, how they are named
 * and framed in a 206.
 *
 * Trust: values come from clients, origins and stored metadata; every function accepts any bytes. What one
 *        request can cause is bounded: pieces never overlap, so that no byte is sent twice.
 * Pure:  no I/O, no clock, no allocation. */
#ifndef LARDER_HTTP_RANGE_H
#define LARDER_HTTP_RANGE_H

#include "http_message.h"

struct http_range {
    uint64_t first, end; /* bytes first .. end - 1; never empty */
};

#define HTTP_RANGES_ASKED 64 /* a request that lists more is answered whole */
#define HTTP_RANGES_MAX   16 /* and so is one that leaves more pieces */
#define HTTP_RANGE_GAP    80 /* bytes between two pieces that are worth sending (section 15.3.7.2) */

struct http_ranges {
    uint32_t count;
    struct http_range items[HTTP_RANGES_MAX]; /* in the order asked for, HTTP_RANGE_GAP or more apart */
};

enum http_range_verdict {
    HTTP_RANGE_WHOLE,         /* no Range, or one that is to be ignored: a 200 */
    HTTP_RANGE_PARTIAL,       /* `out` has what to send: a 206 */
    HTTP_RANGE_UNSATISFIABLE, /* a 416 */
};
/* The request's Range against a representation of `length` bytes. Only `bytes`; several Range fields, other
 * units, anything malformed, an empty representation: WHOLE. What overlaps or lies closer than
 * HTTP_RANGE_GAP is one piece, in the place of the first of them. The method and the preconditions (If-Range
 * too) are the caller's. */
enum http_range_verdict http_ranges_select(const struct http_fields *request, uint64_t length,
                                           struct http_ranges *out);

struct http_content_range {
    bool unsatisfied; /* of a 416: only `length` counts */
    bool length_known;
    struct http_range range;
    uint64_t length; /* of the whole representation */
};
/* Content-Range in bytes (section 14.4). False: invalid, or another unit; the content must not be combined
 * with anything. */
bool http_content_range_parse(struct http_span value, struct http_content_range *out);
/* "bytes 0-9/100" */
void http_content_range_add(struct http_text *text, const struct http_range *range, uint64_t length);
/* "bytes *" "/100" */
void http_content_range_add_unsatisfied(struct http_text *text, uint64_t length);

/* What proves that two responses are parts of the same bytes: a strong entity tag, or without any tag a
 * Last-Modified at least a second before the same response's Date (sections 8.8.2.2 and 8.8.3). `now` helps
 * to read years of two digits. False: there is none. */
bool http_strong_validator(const struct http_fields *response, int64_t now, struct http_span *validator);

/* If-Range (section 13.1.5): may the Range of this request be applied to what is stored? True without
 * If-Range; false for one that is repeated, weak or not understood. */
bool http_if_range_holds(const struct http_fields *request, const struct http_fields *stored, int64_t now);

/* multipart/byteranges (section 14.6). Each part is http_multipart_add_head() and the bytes of the range; the
 * last is followed by http_multipart_add_end(). */
#define HTTP_BOUNDARY_MAX 70 /* RFC 2046 section 5.1.1 */
struct http_multipart {
    struct http_span boundary;     /* letters and digits, so that it needs no quotes; not in the bytes */
    struct http_span content_type; /* of the whole representation; empty: it has none */
    uint64_t length;               /* of the whole representation */
};
void http_multipart_add_head(struct http_text *text, const struct http_multipart *multipart,
                             const struct http_range *range, bool is_first);
void http_multipart_add_end(struct http_text *text, const struct http_multipart *multipart);
/* Content-Length of all of it. False: more than a number can say. */
bool http_multipart_length(const struct http_multipart *multipart, const struct http_ranges *ranges,
                           uint64_t *out);

#endif
