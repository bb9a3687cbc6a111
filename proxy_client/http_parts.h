/* http_parts.h: parts of a representation that are stored apart (RFC 9111 sections 3.3 and 3.4, RFC 9110
 * section 15.3.7.3): which there are, which of them make up a range, what may be added to them.
 *
 * A *description* stands in the metadata of what is stored under the key of a response: the length of the
 * whole, a random number, and a list of extents. The bytes are the body under that key, which begin with the
 * first and may be none (`own` of them), and the extents, each an object of its own whose key is made of the
 * number and its place. So bytes are never copied to be joined, each extent may be evicted by itself, and
 * nothing finds any of them once the description is gone. Where `own` is the length, it is a whole response.
 *
 *     whole     |0                                                                length|
 *     own       |#######|
 *     extents           |######|      |##########|
 *                                   |####|
 *     wanted        |..............................|        pieces: own, extent, gap, extent, extent
 *
 * Trust: descriptions are written by any proxy of the tenant, responses by origins; everything is checked and
 *        bounded.
 * Pure:  no I/O, no clock, no allocation. */
#ifndef LARDER_HTTP_PARTS_H
#define LARDER_HTTP_PARTS_H

#include "http_range.h"

#define HTTP_PARTS_MAX        32
#define HTTP_PARTS_SMALLEST   256 /* fewer bytes, unless they are all, do not pay for an object */
#define HTTP_PARTS_GENERATION 16

struct http_parts {
    unsigned char generation[HTTP_PARTS_GENERATION];
    uint64_t length; /* of the whole, 1 .. INT64_MAX */
    uint32_t count;
    struct http_range items[HTTP_PARTS_MAX]; /* by their first byte; none lies within another */
};

/* ---- as it is stored ---- */

#define HTTP_PARTS_BYTES(count) (32u + 16u * (count))
/* Bytes written, or -1: no room, or http_parts_decode() would refuse it. */
int http_parts_encode(const struct http_parts *parts, void *out, size_t size);
bool http_parts_decode(struct http_parts *out, const void *bytes, size_t length);

/* ---- what is added ---- */

/* What lies within the new extent is left out, and where there are too many so is the smallest of the others
 * (of several the first, so that who reads on and on keeps the latest). False: all of it is there already. */
bool http_parts_add(struct http_parts *parts, uint64_t own, const struct http_range *range);
/* It has turned out not to be there; nothing happens if it is not in the list either. */
void http_parts_remove(struct http_parts *parts, const struct http_range *range);
bool http_parts_has(const struct http_parts *parts, const struct http_range *range);

/* ---- what a range consists of ---- */

#define HTTP_PIECE_GAP (-1)
#define HTTP_PIECE_OWN (-2)
struct http_piece {
    int source; /* an extent's place in the list, or one of the above */
    struct http_range range;
};
#define HTTP_PIECES_MAX (2 * (HTTP_PARTS_MAX + 1) + 1)
struct http_pieces {
    uint32_t count;
    struct http_piece items[HTTP_PIECES_MAX]; /* one behind the other, together the range */
};
/* `lost` (NULL: none) tells of each extent whether it has turned out not to be there. */
void http_parts_cover(const struct http_parts *parts, uint64_t own, const bool *lost,
                      const struct http_range *wanted, struct http_pieces *out);
/* From the first byte that is missing to the last, to be fetched as one range. False: nothing is missing. */
bool http_pieces_gap(const struct http_pieces *pieces, struct http_range *gap);
/* Bytes that need not be fetched then. */
uint64_t http_pieces_spared(const struct http_pieces *pieces, const struct http_range *gap);

/* ---- what an origin sent ---- */

struct http_part {
    struct http_range range;
    uint64_t length; /* of the whole */
};
/* May this 206 be kept as a part (RFC 9111 section 3.3)? It has one Content-Range in bytes with the length of
 * the whole, its content is as long as that says, it is worth it, and has a strong validator, without which
 * it could never be joined to another. `now` as in http_strong_validator(). */
bool http_part_of(const struct http_response *response, uint64_t content_length, int64_t now,
                  struct http_part *out);
/* Are both parts of the same bytes (RFC 9110 section 15.3.7.3)? */
bool http_parts_match(const struct http_fields *stored, const struct http_fields *response, int64_t now);

#endif
