/* output.h: the bytes that wait to be sent on one socket, in order, bounded by whoever fills it.
 *
 * Bytes are copied into blocks; or stand in a segment of the cache's pool, which goes back to the pool when
 * the socket has taken them, never before; or stand in a segment that others read as well, to whose source
 * the block has a reference. Large ones of the last kind leave by reference, by sendfile(2) or a pipe, so
 * that nobody copies them; the socket may refer to the pages long after the reference has been dropped, and
 * the source is told so (lent()).
 *
 * Ownership: an output owns its blocks, segments and references; blocks come from a pool shared by all
 * connections.
 * Errors: out of memory ends the process. */
#ifndef LARDER_OUTPUT_H
#define LARDER_OUTPUT_H

#include "larder.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define OUTPUT_BLOCK_BYTES (16u * 1024) /* the most that output_reserve() gives */
#define OUTPUT_IOVECS      32

#ifndef OUTPUT_FILE_MIN              /* the fuzzers have smaller segments */
#define OUTPUT_FILE_MIN (16u * 1024) /* below, a copy costs less than one more system call */
#endif

struct output_block;

/* Embedded in who owns segments that several responses read. */
struct output_source;
struct output_source_calls {
    /* Where the segment's data begin, in the file whose descriptor is returned; negative: there is none. */
    int (*file)(struct output_source *source, const struct larder_segment *segment, off_t *offset);
    /* A socket refers to pages of the segment, for nobody knows how long. */
    void (*lent)(struct output_source *source, struct larder_segment *segment);
    void (*drop)(struct output_source *source); /* one reference less */
};
struct output_source {
    const struct output_source_calls *calls;
};

struct output_pool {
    struct output_block *free_blocks, *free_borrowed; /* with storage of their own, and without */
    unsigned free_block_count;
    void *segments_owner;
    void (*return_segment)(void *owner, struct larder_segment **segment);
};

struct output {
    struct output_pool *pool;
    struct output_block *first, *last;
    size_t bytes;   /* that wait, */
    size_t by_file; /*   and those of them that are to leave by reference, and so take no memory */
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

/* Takes a reference to the source. */
void output_add_shared(struct output *output, struct output_source *source, struct larder_segment *segment,
                       uint32_t offset, uint32_t size);

/* What waits at the front and is to leave by sendfile(2), as far as it stands in one row in the file. False:
 * output_gather() describes what is to be sent. */
struct output_file {
    int fd;
    off_t offset;
    size_t size;
};
bool output_file(struct output *output, struct output_file *file);
/* The same bytes in memory, and those behind them that are to leave so as well, wherever they stand:
 * describes up to `most` of them; returns how many of `vectors` are used. */
int output_pages(const struct output *output, struct iovec *vectors, int count, size_t most);
/* A socket has taken `size` bytes of it; also to be called when that is 0 but some may have been lent. */
void output_file_sent(struct output *output, size_t size);
/* It cannot leave so: output_gather() describes it from now on. */
void output_refuse_file(struct output *output);

/* Describes what waits, from its front up to what is to leave by reference; returns how many of `vectors`
 * are used. */
int output_gather(const struct output *output, struct iovec *vectors, int count);
void output_consume(struct output *output, size_t size);
/* Copies what stands in segments of its own, so that a slow client does not keep them. */
void output_free_segments(struct output *output);

#endif
