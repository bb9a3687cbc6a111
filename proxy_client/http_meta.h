/* http_meta.h: what the proxy stores beside a body: one opaque blob to the cache, one response head to us.
 *
 * Layout: struct http_meta_head (meta_head.h: fixed, host order), then
 * the response fields as ready-made "Name: value\r\n" lines, end-to-end fields only, without Age, Date kept
 * (or added from response_time), Content-Length not stored (the object's size is the truth), no empty line;
 * then with HTTP_META_PARTS a description as http_parts_encode() writes it, whose length is the truth.
 * Trust: any proxy of the tenant wrote it; http_meta_decode() checks all of it before anything is used.
 * Pure. */
#ifndef LARDER_HTTP_META_H
#define LARDER_HTTP_META_H

#include "http_parts.h"
#include "meta_head.h"

#define HTTP_META_MAX (48u * 1024)

enum {
    HTTP_META_MUST_VALIDATE = 1,
    HTTP_META_STRICT = 2,
    HTTP_META_HEURISTIC = 4,
    HTTP_META_NO_TRANSFORM = 8,
    HTTP_META_IMMUTABLE = 16,
    HTTP_META_INDEX = 32, /* no response: the fields are those of an index (http_vary.h) */
    HTTP_META_PARTS = 64, /* of a 200 that need not be whole (http_parts.h) */
    HTTP_META_MARK = 128, /* no response: what is known of the last attempt to get one (exchange_marks.c) */
    HTTP_META_FAILED_STATUS = 256, /* the validation at failed_at was answered by an error, not by nobody */
    HTTP_META_FAILED_REQUEST = 512 /* by nobody, which the request itself may have caused. With MARK alike */
};

struct http_meta {
    struct http_meta_head head;
    struct http_span fields; /* the ready-made lines, inside the decoded buffer */
    struct http_span parts;  /* the description, unaligned; empty: there is none */
};

/* Copies the head out of the buffer, then checks it and the lines: at most HTTP_MAX_FIELDS field lines
 * (http_line_next()) whose names may be stored, so that http_fields_parse() takes them, and a description
 * that http_parts_decode() takes. False: not a blob of ours. The buffer may be unaligned; it must not change
 * any more, because out->fields and out->parts point into it. */
bool http_meta_decode(struct http_meta *out, const void *blob, size_t length);
/* Bytes written to out, or -1 if it does not fit (into `size` or HTTP_META_MAX), or if head or fields are
 * such that http_meta_decode() would refuse them. Fields that must not be stored are left out (hop-by-hop,
 * Age, Content-Length, Proxy-Auth*). magic and fields_length of the head are filled in here. With
 * HTTP_META_PARTS it is refused by http_meta_decode() until a description has been added. */
int http_meta_encode(const struct http_meta_head *head, const struct http_fields *fields, void *out,
                     size_t size);
/* Puts a description behind the `length` bytes that http_meta_encode() wrote, for which there are `size`.
 * Their length from then on, or -1. */
int http_meta_add_parts(void *blob, int length, size_t size, const struct http_parts *parts);

/* current_age, RFC 9111 section 4.2.3; at most 2^31. A clock that was set back counts as one that stands
 * still. */
int64_t http_meta_age(const struct http_meta_head *head, int64_t now);

#endif
