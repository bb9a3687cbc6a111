/* holds.h: which session keeps which object in which of its segments.
 *
 * A look-up with WIRE_LOOKUP_KEEP that hits leaves a HOLD: the proxy may serve what stands in the segment
 * again and again without asking, for as long as the guard word in the segment's header (segment_pool.h) is
 * the one that was there with the completion.
 *
 *     holds_take          NONE to HELD: the guard word gets a number that was not there before
 *     holds_passed        HELD to NONE: the proxy has passed the segment for something else
 *     holds_changed       HELD to NONE: the object has been replaced, removed, renewed, made stale, evicted
 *                         or has expired; the guard word says so before anybody hears of it
 *     holds_part          the session goes: all of its holds, and its whole pool, by one word
 *
 * Pools are touched here while another one may be guarded already (shm_guard_enter_other()). One that has
 * lost pages costs its owner the registration, in keep_house().
 *
 * Use: the proxy counts in the segment's header how often it has served from it. That is believed for no more
 * than the statistics and the order of eviction of its own tenant, and no more than HOLDS_MOST_USES at a
 * look: a liar inflates its own numbers and keeps its own objects from being evicted for a while.
 *
 * Ownership: holds belong to their session and are made with its first look-up of that kind, in one block;
 * they do not keep an object from anything. Bounds: half of a session's segments for all shards together,
 * HOLDS_MAX_SESSION,
 * HOLDS_MAX_TENANT; blocks and tables are charged to the tenant. */
#ifndef LARDER_HOLDS_H
#define LARDER_HOLDS_H

#include "session.h"

#define HOLDS_MAX_SESSION 1024u
#define HOLDS_MAX_TENANT  4096u
#define HOLDS_A_BATCH     1024u      /* visited by a purge: then it is another's turn */
#define HOLDS_BUCKETS     1024u      /* of a tenant's table */
#define HOLDS_ASKED       16u        /* holds that are looked at when an object is about to be evicted */
#define HOLDS_STEP        32u        /* holds whose uses are collected in a turn, */
#define HOLDS_AT_ONCE     4096u      /*   and for whoever asks for statistics */
#define HOLDS_ROUND_MS    500        /* from one round of collecting to the next */
#define HOLDS_MOST_USES   (1u << 20) /* in so long; more is not believed */
#define HOLDS_RETRY_MS    1000       /* until a session that found no memory for its holds may try again */

struct hold {
    struct hold *prev, *next;                     /* utlist: the tenant's */
    struct hold *prev_of_bucket, *next_of_bucket; /* utlist, by object */
    struct object *object;                        /* NULL: free */
    struct session *session;
    uint32_t segment; /* while it is free: the next free one */
    uint32_t counted; /* uses that are in the statistics, */
    uint32_t asked;   /*   and those that eviction knows of */
};

/* One session's. */
struct keeper {
    struct hold *holds; /* `room` of them */
    uint32_t room;
    uint32_t used;
    uint32_t first_free;
    uint32_t sequence; /* of guard words */
    uint16_t places[]; /* by segment: its hold, from 1 on; 0: none */
};

/* One tenant's: all holds of its sessions. */
struct hold_table {
    uint64_t key;      /* random, so that nobody can choose which objects share a bucket */
    struct hold *list; /* utlist */
    uint32_t count;
    uint32_t keepers; /* sessions */
    struct hold *buckets[HOLDS_BUCKETS];
};

/* Room for the session's holds, if it has none yet; may evict. False: it may not keep anything now. */
bool holds_prepare(struct session *session);
/* The session keeps the object, which is stored, in this segment of its own. False: a bound is reached. */
bool holds_take(struct session *session, struct object *object, uint32_t segment);
/* What it kept in this segment, if anything, is over. */
void holds_end(struct session *session, uint32_t segment);
/* The same, when its owner has said so: the guard word may be another shard's by now, and stays as it is. */
void holds_given_up(struct session *session, uint32_t segment);
/* The session goes; so does what it was charged with. */
void holds_part(struct session *session);
uint32_t holds_of_session(const struct session *session);
uint32_t holds_of_tenant(const struct tenant *tenant);

/* For the store (store_watch): a kept object changes or goes; has it been used since this was asked last? */
void holds_changed(void *context, struct object *object);
bool holds_used(void *context, struct object *object);

/* The tenant's kept objects, one after the other: as many calls as it has holds see each of them, whatever
 * happens to the objects in between. NULL: there are none. */
struct object *holds_next(struct tenant *tenant);

/* Brings use counts into the statistics and the order of eviction: a turn's share; or all, up to a bound. */
void holds_collect_step(struct cache *cache);
void holds_collect(struct cache *cache);

#endif
