#include "segment_pool.h"

#include "identity.h"
#include "names.h"
#include "shm_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_DIRECTORY "/dev/shm"

#define POOL_MAGIC    0x4c4f4f5052445241u /* "ARDRPOOL" */
#define POOL_HEADER   POOL_PAGE

struct pool_header {
    uint64_t magic;
    uint64_t secret;
    struct pool_shape shape; /* for people with a debugger; nobody reads it back */
    uint32_t pid;
    _Alignas(RING_LINE) _Atomic uint32_t heartbeat;
    _Alignas(RING_LINE) _Atomic uint32_t ended; /* read with each use of a kept segment */
};
_Static_assert(sizeof(struct pool_header) <= POOL_HEADER, "one page");

static size_t ring_bytes(uint32_t entries)
{
    return sizeof(struct ring_shared) + (size_t)entries * RING_ENTRY_BYTES;
}

static uint64_t whole_pages(uint64_t bytes)
{
    return (bytes + POOL_PAGE - 1) & ~(uint64_t)(POOL_PAGE - 1);
}

static uint32_t pairs_of(const struct pool_shape *shape)
{
    return shape->ring_pairs ? shape->ring_pairs : 1;
}

/* Where what begins, in bytes from the base. */
struct layout {
    size_t rings; /* pairs of a request ring and a completion ring */
    size_t headers;
    size_t payloads;
    size_t stride;
    uint64_t end;
};

/* At most 2^14 segments of 2^20 bytes: no overflow in 64 bits. */
static struct layout layout_of(const struct pool_shape *shape)
{
    struct layout layout = {.rings = POOL_HEADER, .stride = whole_pages(shape->segment_bytes)};

    layout.headers = layout.rings + 2 * pairs_of(shape) * ring_bytes(shape->ring_entries);
    layout.payloads = whole_pages(layout.headers + (size_t)shape->segments * sizeof(struct segment_header));
    layout.end = layout.payloads + (uint64_t)shape->segments * layout.stride;
    return layout;
}

bool pool_shape_valid(const struct pool_shape *shape, uint64_t *bytes)
{
    if (shape->segments < POOL_MIN_SEGMENTS || shape->segments > POOL_MAX_SEGMENTS ||
        shape->segment_bytes < POOL_MIN_SEGMENT_BYTES || shape->segment_bytes > POOL_MAX_SEGMENT_BYTES ||
        shape->segment_bytes % 64 != 0 || shape->ring_entries < POOL_MIN_RING ||
        shape->ring_entries > POOL_MAX_RING || shape->ring_pairs > POOL_MAX_PAIRS ||
        (shape->ring_entries & (shape->ring_entries - 1)) != 0)
        return false;
    *bytes = layout_of(shape).end;
    return *bytes <= POOL_MAX_BYTES;
}

void segment_pool_rings(const struct segment_pool *pool, uint32_t pair, struct ring *requests,
                        struct ring *completions)
{
    size_t bytes = ring_bytes(pool->shape.ring_entries);
    uint8_t *at = pool->base + POOL_HEADER + 2 * pair * bytes;

    ring_attach(requests, at, pool->shape.ring_entries);
    ring_attach(completions, at + bytes, pool->shape.ring_entries);
    /* The owner waits for all of its completion rings at once. */
    completions->sleeping = &((struct ring_shared *)(void *)(pool->base + POOL_HEADER + bytes))->sleeping;
}

void segment_pool_choose_rings(struct segment_pool *pool, uint32_t pair)
{
    segment_pool_rings(pool, pair, &pool->requests, &pool->completions);
}

static void lay_out(struct segment_pool *pool, const struct pool_shape *shape, uint8_t *base, size_t bytes)
{
    struct layout layout = layout_of(shape);

    pool->shape = *shape;
    pool->base = base;
    pool->bytes = bytes;
    pool->stride = layout.stride;
    pool->headers = (struct segment_header *)(void *)(base + layout.headers);
    pool->payloads = base + layout.payloads;
    pool->heartbeat = &((struct pool_header *)(void *)base)->heartbeat;
    segment_pool_choose_rings(pool, 0);
    pool->ended = &((struct pool_header *)(void *)base)->ended;
}

static int map_and_lay_out(struct segment_pool *pool, const struct pool_shape *shape, int fd, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return -errno;
    lay_out(pool, shape, memory, bytes);
    return 0;
}

static void initialise(struct segment_pool *pool, uint64_t secret)
{
    struct pool_header *header = (struct pool_header *)(void *)pool->base;

    for (uint32_t i = 0; i < pool->shape.segments; i++) {
        atomic_init(&segment_header(pool, i)->wsem.value, 1);
        atomic_init(&segment_header(pool, i)->rsem.value, 0);
    }
    /* Fresh pages are zero: all rings are empty. The cache has polled nothing yet, so it counts as asleep.
     */
    for (uint32_t i = 0; i < pairs_of(&pool->shape); i++) {
        struct ring requests, completions;
        segment_pool_rings(pool, i, &requests, &completions);
        atomic_store(&requests.shared->sleeping, 1);
    }
    header->shape = pool->shape;
    header->pid = (uint32_t)getpid();
    header->secret = secret;
    header->magic = POOL_MAGIC;
}

int segment_pool_create(struct segment_pool *pool, const char *name, const struct pool_shape *shape,
                        uint64_t secret)
{
    uint64_t bytes;
    int error;

    if (!pool_shape_valid(shape, &bytes))
        return -EINVAL;
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return -errno;
    error = identity_lock(fd);
    if (!error)
        error = -posix_fallocate(fd, 0, (off_t)bytes);
    if (!error)
        error = map_and_lay_out(pool, shape, fd, (size_t)bytes);
    if (error) {
        shm_unlink(name);
        close(fd);
        return error;
    }
    pool->fd = fd;
    initialise(pool, secret);
    return 0;
}

static void unmap(struct segment_pool *pool)
{
    munmap(pool->base, pool->bytes);
    pool->base = NULL;
}

void segment_pool_destroy(struct segment_pool *pool)
{
    unmap(pool);
    close(pool->fd);
    pool->fd = -1;
}

static bool is_backed(int fd, uint64_t bytes)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (uint64_t)status.st_size == bytes &&
           (uint64_t)status.st_blocks * 512 >= bytes;
}

/* By whoever holds the queue: a process that registers the pool of another could have the cache work on it.
 */
static bool is_held_by(int fd, pid_t holder)
{
    pid_t pid;

    if (holder < 0)
        return true;
    enum identity_result result = identity_holder(fd, &pid, NULL);
    return (result == IDENTITY_ALIVE || result == IDENTITY_UNSEEN) && pid == holder;
}

/* Read, not touched: see segment_pool_read_heartbeat(). */
static int check_header(int fd, uint64_t secret)
{
    struct pool_header header;
    bool match = pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
                 header.magic == POOL_MAGIC && header.secret == secret;

    return match ? 0 : -EKEYREJECTED;
}

bool segment_pool_read_heartbeat(int fd, uint32_t *beat)
{
    return pread(fd, beat, sizeof(*beat), offsetof(struct pool_header, heartbeat)) == (ssize_t)sizeof(*beat);
}

int segment_pool_attach_owned(struct segment_pool *pool, int *fd, const char *name,
                              const struct pool_shape *shape, const struct identity_owner *owner,
                              pid_t holder, uint64_t secret)
{
    uint64_t bytes;
    int error;

    *fd = pool->fd = -1;
    if (!pool_shape_valid(shape, &bytes))
        return -EINVAL;
    /* shm_open adds O_NOFOLLOW; O_NONBLOCK so that a fifo of this name cannot hold us up. */
    *fd = shm_open(name, O_RDWR | O_NONBLOCK, 0);
    if (*fd < 0)
        return -errno;
    error = !identity_is_owned(*fd, owner) || !is_held_by(*fd, holder) ? -EPERM : 0;
    if (!error && !is_backed(*fd, bytes))
        error = -EINVAL;
    if (!error)
        error = check_header(*fd, secret);
    return error ? error : map_and_lay_out(pool, shape, *fd, (size_t)bytes);
}

int segment_pool_attach_and_keep(struct segment_pool *pool, int *fd, const char *name,
                                 const struct pool_shape *shape, uid_t owner, pid_t holder, uint64_t secret)
{
    const struct identity_owner alone = {.uid = owner};

    return segment_pool_attach_owned(pool, fd, name, shape, &alone, holder, secret);
}

int segment_pool_attach(struct segment_pool *pool, const char *name, const struct pool_shape *shape,
                        uid_t owner, pid_t holder, uint64_t secret)
{
    int fd, error = segment_pool_attach_and_keep(pool, &fd, name, shape, owner, holder, secret);

    if (fd >= 0)
        close(fd);
    return error;
}

int segment_pool_unlink(const char *name)
{
    char path[sizeof(SHM_DIRECTORY) + NAMES_BYTES];

    snprintf(path, sizeof(path), SHM_DIRECTORY "%s", name);
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    shm_unlink(name);
    return fd;
}

void segment_pool_detach(struct segment_pool *pool)
{
    unmap(pool);
}
