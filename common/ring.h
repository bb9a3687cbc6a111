/* ring.h: single-producer single-consumer ring of 64-byte entries in shared memory.
 *
 *            tail (producer's line)      head (consumer's line)      sleeping (consumer's flag)
 *     entries [ ............ head|taken-but-unread ... |tail ......... ]     capacity = power of two
 *
 * Each side keeps its own index in private memory; the shared one is a hint for the other. A hint that cannot
 * be true (more entries than the ring has) is reported as RING_BROKEN, and the reader's copy of an entry is
 * made with single atomic loads, so that nothing can change between check and use.
 *
 * Sleeping: a consumer arms before it waits (ring_arm), a producer asks after it published (ring_wants_bell).
 * Both sides store, then load, sequentially consistent: one of the two always sees the other. A consumer of
 * several rings may have one flag for all: it raises it, then looks at each of them, and the first producer
 * that finds it up takes it down, and rings alone. */
#ifndef LARDER_RING_H
#define LARDER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RING_ENTRY_BYTES 64
#define RING_LINE        64

struct ring_shared {
    _Alignas(RING_LINE) _Atomic uint32_t tail;
    _Alignas(RING_LINE) _Atomic uint32_t head;
    _Alignas(RING_LINE) _Atomic uint32_t sleeping;
};
_Static_assert(sizeof(struct ring_shared) == 3 * RING_LINE, "each index on a cache line of its own");

/* One side's private view. */
struct ring {
    struct ring_shared *shared;
    _Atomic uint32_t
        *sleeping; /* the ring's own flag, or that of several rings which one consumer waits for */
    _Atomic uint64_t *entries;
    uint32_t capacity;
    uint32_t own;   /* producer: tail; consumer: head */
    uint32_t other; /* last believed hint of the other side */
};

enum ring_result { RING_OK, RING_NONE /* empty, or full */, RING_BROKEN /* the other side lies */ };

static inline void ring_attach(struct ring *ring, void *memory, uint32_t capacity)
{
    ring->shared = memory;
    ring->sleeping = &ring->shared->sleeping;
    ring->entries = (_Atomic uint64_t *)(void *)((char *)memory + sizeof(struct ring_shared));
    ring->capacity = capacity;
    ring->own = ring->other = 0;
}

static inline _Atomic uint64_t *ring_slot(const struct ring *ring, uint32_t index)
{
    return ring->entries + (size_t)(index & (ring->capacity - 1)) * (RING_ENTRY_BYTES / sizeof(uint64_t));
}

/* Producer. The entry is seen by the consumer after ring_publish(). */
static inline enum ring_result ring_put(struct ring *ring, const void *entry)
{
    uint64_t words[RING_ENTRY_BYTES / sizeof(uint64_t)];

    if (ring->own - ring->other >= ring->capacity) {
        ring->other = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
        if (ring->own - ring->other > ring->capacity)
            return RING_BROKEN;
        if (ring->own - ring->other == ring->capacity)
            return RING_NONE;
    }
    memcpy(words, entry, sizeof(words));
    _Atomic uint64_t *slot = ring_slot(ring, ring->own);
    for (unsigned i = 0; i < RING_ENTRY_BYTES / sizeof(uint64_t); i++)
        atomic_store_explicit(&slot[i], words[i], memory_order_relaxed);
    ring->own++;
    return RING_OK;
}

/* Producer: entries that fit; 0 also when the other side lies. */
static inline uint32_t ring_room(struct ring *ring)
{
    ring->other = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
    return ring->own - ring->other > ring->capacity ? 0 : ring->capacity - (ring->own - ring->other);
}

/* Producer, after ring_room(): why there is none. */
static inline bool ring_is_broken(const struct ring *ring)
{
    return ring->own - ring->other > ring->capacity;
}

static inline void ring_publish(struct ring *ring)
{
    atomic_store_explicit(&ring->shared->tail, ring->own, memory_order_seq_cst);
}

/* Producer, of some of what is published soon: for a consumer who is awake. */
static inline void ring_show(struct ring *ring)
{
    atomic_store_explicit(&ring->shared->tail, ring->own, memory_order_release);
}

/* Producer, after ring_publish(): true if the consumer sleeps and nobody has rung yet. */
static inline bool ring_wants_bell(struct ring *ring)
{
    return atomic_load_explicit(ring->sleeping, memory_order_seq_cst) != 0 &&
           atomic_exchange_explicit(ring->sleeping, 0, memory_order_seq_cst) != 0;
}

/* Consumer: copies the next entry out. The slot is given back with ring_consumed(). */
static inline enum ring_result ring_take(struct ring *ring, void *entry)
{
    uint64_t words[RING_ENTRY_BYTES / sizeof(uint64_t)];

    if (ring->own == ring->other) {
        ring->other = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
        if (ring->other - ring->own > ring->capacity)
            return RING_BROKEN;
        if (ring->other == ring->own)
            return RING_NONE;
    }
    _Atomic uint64_t *slot = ring_slot(ring, ring->own);
    for (unsigned i = 0; i < RING_ENTRY_BYTES / sizeof(uint64_t); i++)
        words[i] = atomic_load_explicit(&slot[i], memory_order_relaxed);
    memcpy(entry, words, sizeof(words));
    ring->own++;
    return RING_OK;
}

/* Consumer: has something come? Only a hint, like the index that it looks at. */
static inline bool ring_has_more(const struct ring *ring)
{
    return atomic_load_explicit(&ring->shared->tail, memory_order_acquire) != ring->own;
}

static inline void ring_consumed(struct ring *ring)
{
    atomic_store_explicit(&ring->shared->head, ring->own, memory_order_release);
}

/* Consumer: announces that it is about to sleep. False: something has arrived, do not sleep. */
static inline bool ring_arm(struct ring *ring)
{
    atomic_store_explicit(ring->sleeping, 1, memory_order_seq_cst);
    return atomic_load_explicit(&ring->shared->tail, memory_order_seq_cst) == ring->own;
}

/* The same for one more ring with the same flag, once that is up. */
static inline bool ring_arm_too(const struct ring *ring)
{
    return atomic_load_explicit(&ring->shared->tail, memory_order_seq_cst) == ring->own;
}

static inline void ring_disarm(struct ring *ring)
{
    atomic_store_explicit(ring->sleeping, 0, memory_order_relaxed);
}

/* Consumer: is the flag still up? When it is down without us, the producer has rung. */
static inline bool ring_is_armed(const struct ring *ring)
{
    return atomic_load_explicit(ring->sleeping, memory_order_relaxed) != 0;
}

#endif
