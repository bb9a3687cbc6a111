/* spool.h: a body whose length is not known until its end, kept in a file that has no name.
 *
 * Ownership: a spool owns its descriptor; the kernel frees the file with it. Bound: all spools of a room
 * together hold no more bytes than its limit, and each no more than it leaves to others: a single one half of
 * it, each of two a third. Errors: 0 or -errno. */
#ifndef LARDER_SPOOL_H
#define LARDER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spool_room {
    uint64_t limit; /* bytes; may change at any time: what is there stays */
    uint64_t used;
};

struct spool {
    int fd; /* -1: closed */
    uint64_t size;
    struct spool_room *room; /* borrowed */
};

/* In $TMPDIR, or /tmp. */
int spool_open(struct spool *spool, struct spool_room *room);
/* Gives its bytes back to the room. */
void spool_close(struct spool *spool);
/* -ENOBUFS: the room would have less left than this spool held, and nothing was written. */
int spool_write(struct spool *spool, const char *data, size_t size);
/* Bytes read, 0 at the end. */
ssize_t spool_read(const struct spool *spool, char *out, size_t size, uint64_t offset);

#endif
