/* spool.h: a body whose length is not known until its end, kept in a file that has no name.
 *
 * Ownership: a spool owns its descriptor; the kernel frees the file with it. Errors: 0 or -errno. */
#ifndef LARDER_SPOOL_H
#define LARDER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPOOL_MAX (4ull * 1024 * 1024 * 1024) /* bytes; a longer body is an error */

struct spool {
    int fd; /* -1: closed */
    uint64_t size;
};

/* In $TMPDIR, or /tmp. */
int spool_open(struct spool *spool);
void spool_close(struct spool *spool);
/* -EFBIG beyond SPOOL_MAX. */
int spool_write(struct spool *spool, const char *data, size_t size);
/* Bytes read, 0 at the end. */
ssize_t spool_read(const struct spool *spool, char *out, size_t size, uint64_t offset);

#endif
