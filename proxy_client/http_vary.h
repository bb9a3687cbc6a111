/* http_vary.h: secondary keys (RFC 9111 section 4.1): which stored response of a resource suits a request.
 *
 * A *spec* is what a response's Vary fields name, in one canonical form: lower case, sorted, each name once,
 * parted by commas. Of a spec and a request follows the secondary key; equal keys mean that the requests
 * match under that spec. An *index* is what is stored for a resource that varies: its latest specs, and a
 * number that is part of the secondary keys, so that nothing is found any more once the index is gone.
 *
 * Trust: requests, responses and stored indexes may hold any bytes. Everything is bounded.
 * Pure:  no I/O, no clock, no allocation. */
#ifndef LARDER_HTTP_VARY_H
#define LARDER_HTTP_VARY_H

#include "http_message.h"

#define HTTP_VARY_NAMES_MAX 16
#define HTTP_VARY_SPEC_MAX  512  /* bytes of a spec */
#define HTTP_VARY_KEY_MAX   4096 /* bytes of a secondary key */
#define HTTP_VARY_SPECS_MAX 8    /* in an index */

struct http_vary_spec {
    uint32_t length; /* 0: the response does not vary */
    char text[HTTP_VARY_SPEC_MAX];
};

enum http_vary {
    HTTP_VARY_NONE, /* no Vary, or nothing in it */
    HTTP_VARY_SPEC, /* *out is set */
    HTTP_VARY_NEVER /* "*", a name that is none, or more than a spec may hold: suits no other request */
};
enum http_vary http_vary_of(const struct http_fields *response, struct http_vary_spec *out);

bool http_vary_spec_equal(const struct http_vary_spec *a, const struct http_vary_spec *b);

/* Reads a spec back. False: not in canonical form, or empty. */
bool http_vary_spec_parse(struct http_span text, struct http_vary_spec *out);

/* The secondary key of a request: a line for each name, "name:value\n", or "name\n" where the field is
 * absent, which is not the same as empty. Several lines are one list. Accept, Accept-Charset, Accept-Encoding
 * and Accept-Language, where they are well-formed, lose what has no meaning: white space, case (not that of
 * parameters' values), the way a weight is written, duplicates and order; but languages of one weight keep
 * theirs, because some recipients read it as preference (RFC 9110 section 12.5.4). All others count byte by
 * byte. `request` is the request as the origin got it. Returns the length, or -1: longer than `size` or
 * HTTP_VARY_KEY_MAX, or a value that is no field value. */
int http_vary_key(const struct http_vary_spec *spec, const struct http_fields *request, char *out,
                  size_t size);

/* Is all that the spec names one of the four lists above? The values of others may be secrets, such as
 * Cookie, which a page's scripts must not get to see in the response. */
bool http_vary_may_be_shown(const struct http_vary_spec *spec);

#define HTTP_VARY_GENERATION 32 /* lower-case hexadecimal digits */
struct http_vary_index {
    char generation[HTTP_VARY_GENERATION];
    uint32_t count;
    struct http_vary_spec specs[HTTP_VARY_SPECS_MAX]; /* the latest first */
};
/* Puts the spec in front; the oldest gives way. */
void http_vary_index_put(struct http_vary_index *index, const struct http_vary_spec *spec);
/* As fields that can be stored (http_meta_encode()); they point into the index. */
void http_vary_index_fields(const struct http_vary_index *index, struct http_fields *out);
/* Reads them back, beside a Date. False: not an index. */
bool http_vary_index_parse(const struct http_fields *fields, struct http_vary_index *out);

#endif
