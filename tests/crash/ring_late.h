/* ring_late.h: included first into the sources of cache_server_late, whose side of every ring begins shortly
 * before the 32-bit indices overflow. A ring that serves 2^32 entries takes longer than a test may. */
#ifndef LARDER_RING_LATE_H
#define LARDER_RING_LATE_H

#include "ring.h"

#define RING_LATE 0xfffffff0u /* 16 entries before the overflow */

static inline void ring_attach_late(struct ring *ring, void *memory, uint32_t capacity)
{
    ring_attach(ring, memory, capacity);
    ring->own = ring->other = RING_LATE;
}

#define ring_attach ring_attach_late

#endif
