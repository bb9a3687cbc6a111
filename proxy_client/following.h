/* following.h: what the holder of a lease does, told to all exchanges of this proxy that want the same.
 *
 *     join ──> (asks the cache) ──> GREW ... ──> COMPLETE ──> leave
 *                        │             ├─> BROKEN: no more will come than is there
 *                        │             └─> CHANGED: nor is the rest to be had elsewhere
 *                        ├─> AGAIN     nothing will come of it: look up anew
 *                        ├─> ALONE     the cache cannot tell: go on without it
 *                        ├─> LEASE     to one: the lease is ours, and nothing was filled; AGAIN to the others
 *                        └─> RESUME    to one: the lease is ours, and so is filling the rest. The others are
 *                                      told when it gets on, as if nothing had happened
 * A proxy has one following for each follow handle, one question under way for it, one pin and one copy of
 * the metadata, however many of its clients wait. Each of them reads the body for itself.
 *
 * After AGAIN, BROKEN, CHANGED, ALONE and LEASE whoever was told leaves before it returns. News come out of a
 * task of the loop, never from within join(). A cache that has fallen silent is noticed within seconds: each
 * second it is asked for something that it must answer at once. Who gets no segment for that long goes on
 * alone.
 *
 * Ownership: a seat is embedded in what waits; the following belongs to the home and ends with its last seat.
 * Threads: one. */
#ifndef LARDER_FOLLOWING_H
#define LARDER_FOLLOWING_H

#include "cache_link.h"

struct following;

enum following_news {
    FOLLOWING_GREW,
    FOLLOWING_COMPLETE,
    FOLLOWING_AGAIN,
    FOLLOWING_BROKEN,
    FOLLOWING_CHANGED,
    FOLLOWING_ALONE,
    FOLLOWING_LEASE,
    FOLLOWING_RESUME,
};

struct following_seat {
    struct following *following; /* NULL: none */
    struct following_seat *prev, *next;
    void (*news)(struct following_seat *seat, enum following_news news);
};

struct following_home {
    struct cache_link *link;
    struct following *first;
    struct deadline_list probes, answers; /* until it is asked again, and for the answer */
};

void following_home_setup(struct following_home *home, struct proxy_loop *loop, struct cache_link *link,
                          unsigned cache_timeout_ms);
void following_home_teardown(struct following_home *home); /* nobody sits any more */

/* Takes the follow handle of a look-up of `key` and nulls it. */
void following_join(struct following_home *home, struct following_seat *seat, uint64_t *follow,
                    const struct cache_key *key);
void following_leave(struct following_seat *seat); /* harmless if it does not sit */

/* Of what grows, from the first GREW or COMPLETE on, while the seat is taken: */
uint64_t following_handle(const struct following *following);   /* a pin, the following's own */
uint64_t following_readable(const struct following *following); /* body bytes that may be given out */
uint64_t following_size(const struct following *following);     /* or LARDER_SIZE_UNKNOWN */
struct http_span following_meta(const struct following *following);
/* RESUME: where the rest begins. */
uint64_t following_filled(const struct following *following);
/* LEASE and RESUME: the caller's from now on. */
uint64_t following_take_lease(struct following *following);

#endif
