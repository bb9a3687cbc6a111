/* ahead.h: requests that are off their ring before their turn, so that what they will read is on its way.
 *
 * Among millions of objects a look-up is a chain of cache misses, each longer than all the rest of it. Where
 * a ring holds several requests, up to AHEAD_MOST are taken at once and the misses of their look-ups overlap:
 *
 *     ring -> entries (copied once) -> keys (segment won, copied once, hashed) -> bucket -> object -> content
 *
 * Nothing is decided ahead: each request is served in its turn, in the order of the ring, and finds what is
 * stored then. Only look-ups with keys of at most STORE_SHORT_KEY bytes have theirs taken; what cannot be
 * taken ahead is dealt with, or refused, in its turn as if nobody had tried.
 *
 * Requests that a batch did not get to wait here, not in the ring: private memory of the cache, a bounded
 * part of each session. */
#ifndef LARDER_AHEAD_H
#define LARDER_AHEAD_H

#include "ring.h"
#include "store.h"
#include "wire.h"

#define AHEAD_MOST 8u

struct ahead_entry {
    struct wire_request request;
    struct store_short_key key; /* length 0: not taken */
};

struct ahead {
    uint32_t at, count; /* the next entry, and how many there are */
    struct ahead_entry entries[AHEAD_MOST];
};

struct session;

/* Inside shm_guard. The next request, with RING_OK; it stays good until the next call. */
enum ring_result ahead_next(struct session *session, const struct ahead_entry **out);
/* Some are waiting: the session is not idle, whatever its ring says. */
static inline bool ahead_waits(const struct ahead *ahead)
{
    return ahead->at < ahead->count;
}

#endif
