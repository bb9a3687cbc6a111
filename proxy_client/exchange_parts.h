/* exchange_parts.h: what the files that store and serve parts share: exchange_parts.c (what there is, and
 * responses made of it), exchange_extent.c (one more extent is stored), exchange_notes.c (and listed). Nobody
 * else includes this; what the other files of the exchange call is in exchange_internal.h. */
#ifndef LARDER_EXCHANGE_PARTS_H
#define LARDER_EXCHANGE_PARTS_H

#include "exchange_internal.h"

struct exchange_extents {
    struct http_parts parts;
    uint64_t own; /* bytes of the body under the key itself */
    uint64_t own_handle, handles[HTTP_PARTS_MAX];
    bool lost[HTTP_PARTS_MAX];
    int surveyed; /* the source that is being looked up */
    struct http_ranges wanted;
    struct http_range gap; /* that is being fetched, while there is a fetch */
};

enum part_step { PART_WRITE, PART_ASK };

struct exchange_part {
    enum part_step step;
    struct http_range range;
    struct http_parts parts; /* generation and length; in the WRITE step it is written as it is */
    uint64_t lease;          /* of the extent */
    char *key;
    uint32_t key_length, base_length; /* the key of the description comes first in it */
    char *meta;                       /* of the whole response, without description */
    uint32_t meta_length;
    int64_t fresh_until, keep_until;
    uint32_t lost_count;
    struct http_range lost[HTTP_PARTS_MAX];
};

static inline uint64_t size_of(const struct http_range *range)
{
    return range->end - range->first;
}

/* exchange_parts.c */
/* Is it a part, or all, of what exchange->extents describes (RFC 9110 section 15.3.7.3)? */
bool parts_are_of_the_same(struct exchange *exchange, const struct origin_head *head,
                           const struct http_part *part);

/* exchange_extent.c */
/* Of an extent, behind home->key_prefix; `rest` is that of its description. The caller's to free. */
struct http_span extent_make_key(struct http_span rest, const struct http_parts *parts,
                                 const struct http_range *range);
void extent_free_key(struct http_span key);
/* Metadata and description in home->meta; their length or -1. */
int extent_describe(struct exchange_home *home, const char *meta, uint32_t meta_length,
                    const struct http_parts *parts);
/* One more of what is described, with the metadata in home->meta. Sets exchange->part, if it is worth it. */
void extent_join(struct exchange *exchange, const struct http_range *range, int meta_length,
                 const struct http_storing *storing);
/* True: an answer, or a segment, is awaited. */
bool extent_place(struct exchange *exchange);
void extent_retry_place(struct exchange *exchange);
void extent_forget(struct exchange *exchange); /* exchange->part */

#endif
