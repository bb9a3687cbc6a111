#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* For file systems without O_TMPFILE. */
static int open_and_unlink(const char *directory)
{
    char path[512];
    int length = snprintf(path, sizeof path, "%s/larder-spool-XXXXXX", directory);
    int fd;

    if (length >= (int)sizeof path)
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

int spool_open(struct spool *spool, struct spool_room *room)
{
    const char *directory = getenv("TMPDIR");
    int fd;

    if (!directory || !*directory)
        directory = "/tmp";
    fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open_and_unlink(directory);
    *spool = (struct spool){.fd = fd < 0 ? -1 : fd, .room = room};
    return fd < 0 ? fd : 0;
}

void spool_close(struct spool *spool)
{
    if (spool->fd < 0)
        return;
    close(spool->fd);
    spool->room->used -= spool->size;
    spool->fd = -1;
}

static bool has_room(const struct spool *spool, size_t size)
{
    const struct spool_room *room = spool->room;
    uint64_t left = room->used < room->limit ? room->limit - room->used : 0;

    return size <= left && spool->size + size <= left - size;
}

int spool_write(struct spool *spool, const char *data, size_t size)
{
    struct spool_room *room = spool->room;

    if (!has_room(spool, size))
        return -ENOBUFS;
    while (size > 0) {
        ssize_t written = pwrite(spool->fd, data, size, (off_t)spool->size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        data += written;
        size -= (size_t)written;
        spool->size += (uint64_t)written;
        room->used += (uint64_t)written;
    }
    return 0;
}

ssize_t spool_read(const struct spool *spool, char *out, size_t size, uint64_t offset)
{
    ssize_t got;

    do {
        got = pread(spool->fd, out, size, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}
