/* output.h: the bytes that wait to be sent on one socket, in order, bounded by whoever fills it.
 *
 * Bytes are either copied into blocks or stand in a segment of the cache's pool, which goes back to the pool
 * when the socket has taken them, never before.
 *
 * Ownership: an output owns its blocks and segments; blocks come from a pool shared by all connections.
 * Errors: out of memory ends the process. */
#ifndef LARDER_OUTPUT_H
#define LARDER_OUTPUT_H

#include "larder.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define OUTPUT_BLOCK_BYTES (16u * 1024) /* the most that output_reserve() gives */
#define OUTPUT_IOVECS      32

struct output_block;

struct output_pool {
    struct output_block *free_blocks, *free_borrowed; /* with storage of their own, and without */
    unsigned free_block_count;
    void *segments_owner;
    void (*return_segment)(void *owner, struct larder_segment **segment);
};

struct output {
    struct output_pool *pool;
    struct output_block *first, *last;
    size_t bytes; /* that wait */
};

void output_pool_setup(struct output_pool *pool, void (*return_segment)(void *, struct larder_segment **),
                       void *segments_owner);
void output_pool_teardown(struct output_pool *pool);

void output_setup(struct output *output, struct output_pool *pool);
void output_clear(struct output *output); /* drops what waits */

/* Room for `size` bytes in one piece, to be followed by output_commit() with what was written. */
char *output_reserve(struct output *output, size_t size);
void output_commit(struct output *output, size_t size);
void output_add(struct output *output, const void *data, size_t size);
/* Takes the segment and nulls the caller's pointer. */
void output_add_segment(struct output *output, struct larder_segment **segment, uint32_t offset,
                        uint32_t size);

/* Describes what waits, from its front; returns how many of `vectors` are used. */
int output_gather(const struct output *output, struct iovec *vectors, int count);
void output_consume(struct output *output, size_t size);
/* Copies what stands in segments, so that a slow client does not keep them. */
void output_free_segments(struct output *output);

#endif
