/* eviction.h: which of a tenant's objects goes first.
 *
 *     lru       one queue in the order of use
 *     s3fifo    a small queue for newcomers (a tenth of the bytes), a main queue for what was used there or
 *               is remembered as evicted lately (Yang et al., SOSP 2023)
 *     sieve     one queue in the order of arrival; a hand passes over what was used since it came by
 *               (Zhang et al., NSDI 2024)
 *
 * In front of all of them, if admission is on: a large object that has not been asked for lately is on
 * probation until it is found. Those on probation go first, so that a scan of large objects passes through
 * the memory of one of them and leaves the rest alone.
 *
 * A hit is cheap: nothing is allocated, and but for LRU at most two bytes of the object itself are written.
 *
 * Ownership: nodes are embedded in their owners, which say how much each weighs (always the same while it is
 * in) and by which hash it is remembered. Tables are charged to the tenant.
 * Cost: each call is O(1); eviction_next() takes at most EVICTION_STEPS steps, then the next one goes whether
 * it was used or not. */
#ifndef LARDER_EVICTION_H
#define LARDER_EVICTION_H

#include "ghost.h"

#define EVICTION_STEPS       64u
#define EVICTION_MAX_USES    3u
#define EVICTION_DOOR        1024u /* large objects that are remembered */
/* Large is what takes more than a thousandth of the memory (the store says how much that is), and at least
 * this. */
#define EVICTION_LARGE_PART  1024u
#define EVICTION_LARGE_MIN   ((uint64_t)65536)

/* X(name) */
#define EVICTION_POLICIES(X) X(lru) X(s3fifo) X(sieve)
enum eviction_policy {
#define EVICTION_ENUM(name) EVICTION_##name,
    EVICTION_POLICIES(EVICTION_ENUM)
#undef EVICTION_ENUM
        EVICTION_POLICY_COUNT
};
const char *eviction_policy_name(enum eviction_policy policy);
/* False: there is none of that name. */
bool eviction_policy_find(const char *name, enum eviction_policy *out);

enum eviction_queue { EVICTION_NEW, EVICTION_PROBATION, EVICTION_SMALL, EVICTION_MAIN, EVICTION_QUEUES };

struct eviction_node {
    struct eviction_node *prev, *next;
    uint8_t queue; /* the one it is in, or was in last */
    uint8_t uses;
    /* The owner's, where padding would be: there are millions of these. */
    uint8_t owner_state;
    uint8_t owner_shelf;
    uint32_t owner_pins;
};

/* All zero is a good beginning: LRU without admission. */
struct eviction {
    enum eviction_policy policy;
    bool admission;
    uint64_t large; /* more bytes than these are, for admission; the owner sets it */
    struct {
        struct eviction_node *first; /* utlist: the oldest; first->prev is the newest */
        uint64_t bytes;
        uint64_t count;
    } queues[EVICTION_QUEUES];
    struct eviction_node *hand; /* sieve: where to look next; NULL: at the oldest */
    struct ghost gone;          /* s3fifo: evicted from the small queue */
    struct ghost door;          /* evicted while on probation */
};

/* Any time: what is in the queues stays in them, and goes by the new policy. */
void eviction_configure(struct eviction *eviction, enum eviction_policy policy, bool admission);
/* Room for what has to be remembered once the node is in; see ghost_reserve(). */
void eviction_prepare(struct eviction *eviction, struct memory *memory, struct account *account,
                      uint64_t bytes);
/* Nothing is in any more: forgets what was. */
void eviction_forget(struct eviction *eviction, struct memory *memory, struct account *account);

/* What a node weighs: asked only for the few that change queues. */
typedef uint64_t eviction_weight(const struct eviction_node *node);

void eviction_add(struct eviction *eviction, struct eviction_node *node, uint64_t bytes, uint64_t hash);
/* Out of the queue for a while: it cannot be evicted. */
void eviction_leave(struct eviction *eviction, struct eviction_node *node, uint64_t bytes);
/* Back, as just used. One that was never in is added. */
void eviction_return(struct eviction *eviction, struct eviction_node *node, uint64_t bytes, uint64_t hash,
                     eviction_weight *weight);
/* It was found. `queued`: it is in a queue; otherwise it has left for a while. */
void eviction_used(struct eviction *eviction, struct eviction_node *node, bool queued,
                   eviction_weight *weight);

/* NULL: there is none. The same one again until something changes. */
struct eviction_node *eviction_next(struct eviction *eviction, eviction_weight *weight);
/* It goes, to make room: it leaves and is remembered. */
void eviction_evict(struct eviction *eviction, struct eviction_node *node, uint64_t bytes, uint64_t hash);
/* Any that is in a queue, the colder ones first; NULL: there is none. */
struct eviction_node *eviction_any(const struct eviction *eviction);

#endif
