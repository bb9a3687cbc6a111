/* segment_pool.h: one shared-memory object: header, a pair of rings for each shard of the cache, fixed-size
 * segments.
 *
 *     0        4096                                                      a page
 *     +--------+--------------+-----------------+-------------------+---+-----------+-----------+---
 *     | header | request ring | completion ring | headers 0, 1, ... |   | payload 0 | payload 1 | ...
 *     +--------+--------------+-----------------+-------------------+---+-----------+-----------+---
 *
 * The rings stand there once for each pair. A segment is a header and a payload. Payloads begin on pages and
 * share them with nothing, so that the pages of one can be handed to sendfile(2), and be replaced, without
 * touching anything else.
 *
 * Ownership: a peer (proxy or cache_ctl) creates, allocates and unlinks the pool; the cache only attaches.
 * Trust:     the other side can write every byte at any time, and can truncate the object. Layout is computed
 *            from checked numbers, never read back from the pool; whoever touches a foreign pool does so
 * inside shm_guard. Hand-off:  (wsem, rsem) is (1,0) while a segment is free. The writer wins wsem, writes,
 * posts rsem; the reader wins rsem, uses the bytes, posts wsem. While one side works on a segment both are 0.
 * The semaphores prove the hand-off; who may expect one is in the private memory of each side. They are only
 * ever try-waited: the other side may have died holding one. Errors:    0 or -errno. */
#ifndef LARDER_SEGMENT_POOL_H
#define LARDER_SEGMENT_POOL_H

#include "ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define POOL_MIN_SEGMENTS      1u
#define POOL_MAX_SEGMENTS      16384u
#define POOL_MIN_SEGMENT_BYTES 4096u
#define POOL_MAX_SEGMENT_BYTES (1u << 20)
#define POOL_MIN_RING          16u
#define POOL_MAX_RING          65536u
#define POOL_MAX_PAIRS         16u
#define POOL_MAX_BYTES         ((uint64_t)1 << 30)
#define POOL_PAGE              4096u

/* A semaphore of value 0 or 1 that is never waited for. Not a sem_t: glibc keeps the number of waiters and
 * the kind of futex in the semaphore itself, and sem_post() passes them to futex(2) as it finds them. Another
 * process that scribbles over a sem_t can so make its poster abort, or wait for ever
 * (tests/crash/crash_semaphore.c shows both). Anything but 1 counts as 0. */
struct pool_semaphore {
    _Atomic uint32_t value;
};

struct segment_header {
    struct pool_semaphore wsem;
    struct pool_semaphore rsem;
    _Atomic uint32_t guard; /* the cache's: what the segment shows is current while this number stays */
    _Atomic uint32_t uses;  /* the owner's: how often it has served what it keeps, modulo 2^32 */
    uint8_t reserved[64 - 2 * sizeof(struct pool_semaphore) - 2 * sizeof(uint32_t)];
};
_Static_assert(sizeof(struct segment_header) == RING_LINE, "a cache line of its own");

#define POOL_STALE 0u /* guard: nothing that the owner may serve without asking */

struct pool_shape {
    uint32_t segments;
    uint32_t segment_bytes; /* payload; a multiple of 64 */
    uint32_t ring_entries;  /* of each ring; a power of two */
    uint32_t ring_pairs;    /* of a request and a completion ring; 0: one */
};

struct segment_pool {
    struct pool_shape shape;
    uint8_t *base;
    size_t bytes;
    struct segment_header *headers;
    uint8_t *payloads;
    size_t stride;               /* from one payload to the next: whole pages */
    _Atomic uint32_t *heartbeat; /* the owner's sign of life: changed by pool_beat() */
    _Atomic uint32_t *ended;     /* the cache's: not 0 when the registration is over */
    struct ring requests;        /* this side's view of the first pair, */
    struct ring completions;     /*   or of the one chosen */
    int fd;                      /* the creator's, locked; -1 in the cache */
};

/* False if a number is out of range; otherwise the size of the object in bytes. */
bool pool_shape_valid(const struct pool_shape *shape, uint64_t *bytes);

/* Creates exclusively with mode 0600, allocates every page (a full /dev/shm is -ENOSPC here instead of SIGBUS
 * later), locks the descriptor and initialises rings and semaphores. */
int segment_pool_create(struct segment_pool *pool, const char *name, const struct pool_shape *shape,
                        uint64_t secret);
/* Unmaps and closes. The creator unlinks the name itself. */
void segment_pool_destroy(struct segment_pool *pool);

/* The cache's side. `holder` is the pid that holds the lock on the reply queue of the same name; 0: it has
 * none that we see; -1: do not ask. -EPERM: not a private regular file of `owner`, or locked by somebody else
 * or nobody; -EINVAL: wrong size or sparse; -EKEYREJECTED: another secret in the header. */
int segment_pool_attach(struct segment_pool *pool, const char *name, const struct pool_shape *shape,
                        uid_t owner, pid_t holder, uint64_t secret);
/* The same, and hands over the descriptor (-1: there is none), whatever the result: closing it takes as long
 * as there are record locks on the object. */
int segment_pool_attach_and_keep(struct segment_pool *pool, int *fd, const char *name,
                                 const struct pool_shape *shape, uid_t owner, pid_t holder, uint64_t secret);
/* The same for a pool that may be shared with a group. */
struct identity_owner;
int segment_pool_attach_owned(struct segment_pool *pool, int *fd, const char *name,
                              const struct pool_shape *shape, const struct identity_owner *owner,
                              pid_t holder, uint64_t secret);
void segment_pool_detach(struct segment_pool *pool);

/* A view of one pair of rings (all completion rings have the sleeping flag of the first one), from its
 * beginning: before anything has been put or taken. */
void segment_pool_rings(const struct segment_pool *pool, uint32_t pair, struct ring *requests,
                        struct ring *completions);
/* The pool's own view is of that pair from now on. */
void segment_pool_choose_rings(struct segment_pool *pool, uint32_t pair);

/* Removes a name. The pages may go with the last descriptor, which can take long: returns one, so that the
 * caller can choose who closes it; -1: there is nothing to close. Its kind (O_PATH) needs no permission, and
 * dropping it drops no locks. */
int segment_pool_unlink(const char *name);

/* The owner, every WELCOME.heartbeat_ms or more often. */
static inline void pool_beat(struct segment_pool *pool)
{
    atomic_store_explicit(pool->heartbeat, atomic_load_explicit(pool->heartbeat, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The cache, through the descriptor that attaching handed over: a value that differs from the last one is a
 * sign of life. Read and not touched, because whoever touches a page that its owner is just punching out
 * waits until that has ended, and nobody asked for this. False: the pool has lost the page. */
bool segment_pool_read_heartbeat(int fd, uint32_t *beat);

/* The cache, under shm_guard: nothing that is kept in this pool is current from now on. */
static inline void pool_end(struct segment_pool *pool)
{
    atomic_store_explicit(pool->ended, 1, memory_order_release);
}

static inline bool pool_has_ended(const struct segment_pool *pool)
{
    return atomic_load_explicit(pool->ended, memory_order_acquire) != 0;
}

static inline struct segment_header *segment_header(const struct segment_pool *pool, uint32_t index)
{
    return &pool->headers[index];
}

static inline uint8_t *segment_payload(const struct segment_pool *pool, uint32_t index)
{
    return pool->payloads + (size_t)index * pool->stride;
}

static inline uint32_t segment_guard(const struct segment_pool *pool, uint32_t index)
{
    return atomic_load_explicit(&segment_header(pool, index)->guard, memory_order_acquire);
}

static inline void segment_set_guard(const struct segment_pool *pool, uint32_t index, uint32_t guard)
{
    atomic_store_explicit(&segment_header(pool, index)->guard, guard, memory_order_release);
}

static inline uint32_t segment_uses(const struct segment_pool *pool, uint32_t index)
{
    return atomic_load_explicit(&segment_header(pool, index)->uses, memory_order_relaxed);
}

/* The owner, which alone writes it. */
static inline void segment_count_use(const struct segment_pool *pool, uint32_t index)
{
    atomic_store_explicit(&segment_header(pool, index)->uses, segment_uses(pool, index) + 1,
                          memory_order_relaxed);
}

static inline bool pool_semaphore_try(struct pool_semaphore *semaphore)
{
    uint32_t up = 1;

    return atomic_compare_exchange_strong_explicit(&semaphore->value, &up, 0, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void pool_semaphore_post(struct pool_semaphore *semaphore)
{
    atomic_store_explicit(&semaphore->value, 1, memory_order_release);
}

/* False when the other side has not handed over. */
static inline bool segment_win_write(const struct segment_pool *pool, uint32_t index)
{
    return pool_semaphore_try(&segment_header(pool, index)->wsem);
}

static inline bool segment_win_read(const struct segment_pool *pool, uint32_t index)
{
    return pool_semaphore_try(&segment_header(pool, index)->rsem);
}

static inline void segment_post_write(const struct segment_pool *pool, uint32_t index)
{
    pool_semaphore_post(&segment_header(pool, index)->wsem);
}

static inline void segment_post_read(const struct segment_pool *pool, uint32_t index)
{
    pool_semaphore_post(&segment_header(pool, index)->rsem);
}

#endif
