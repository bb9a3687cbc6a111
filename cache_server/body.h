/* body.h: an object's bytes, in chunks.
 *
 *     lent                        in room that its owner has, which is not charged here; see body_lend()
 *     size <= BODY_CHUNK          one block, of the expected size if that is known
 *     larger                      table -> chunk 0 | chunk 1 | ... each BODY_CHUNK but the last
 *
 * So any offset is found with a division, a body never moves while it grows, and small objects pay for one
 * block. Ownership: whoever embeds the body; all blocks are charged to the account given (always the same
 * one). Bodies only grow, at the end, until body_finish(). */
#ifndef LARDER_BODY_H
#define LARDER_BODY_H

#include "memory.h"

#define BODY_CHUNK        ((uint64_t)65536)
#define BODY_SIZE_UNKNOWN UINT64_MAX

struct body {
    uint64_t size;            /* bytes present */
    uint64_t charge : 40;     /* of all its blocks */
    uint64_t table_size : 23; /* so that a body has at most 512 GiB */
    uint64_t lent : 1;
    union {
        uint8_t *single; /* table_size == 0: the only chunk, if any; or what was lent */
        uint8_t **table; /* otherwise */
    };
};

static inline uint32_t body_chunks(const struct body *body)
{
    return (uint32_t)((body->size + BODY_CHUNK - 1) / BODY_CHUNK);
}

/* For an empty body: all of it, at most BODY_CHUNK bytes, will stand in the owner's room. */
void body_lend(struct body *body, uint8_t *room);

/* Appends; `expected` is the final size or BODY_SIZE_UNKNOWN, the same in each call. The caller checks that
 * no more than `expected` arrives. False: out of memory; what was appended before is intact, part of these
 * bytes may be. */
bool body_append(struct body *body, struct memory *memory, struct account *account, uint64_t expected,
                 const uint8_t *bytes, uint64_t length);
/* Gives back what the last chunk does not use. */
void body_finish(struct body *body, struct memory *memory, struct account *account);
/* At most `most` chunks, from the end; returns how many. Nothing is left of it when body_chunks() is 0. */
uint32_t body_free_some(struct body *body, struct memory *memory, struct account *account, uint32_t most);
void body_free(struct body *body, struct memory *memory, struct account *account);
/* Copies [offset, offset + length), which must lie within the size. */
void body_read(const struct body *body, uint64_t offset, uint8_t *out, uint64_t length);

#endif
