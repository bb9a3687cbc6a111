/* purge.h: purges, carried out on a cache.
 *
 * By key (with all its parts: store.h), by prefix of the key, by tags, or everything of a tenant; hard (gone)
 * or soft (stale: it is validated at its next use). When purge_carry_out() returns, nobody finds anything any
 * more that it hits:
 *
 *     objects        the first PURGE_AT_ONCE are dealt with there and then. For the rest a record stays
 *                    (purges.h), which counts at once; they are visited in purge_step(), a few a turn.
 *                    What proxies keep (holds.h) is all dealt with at once
 *     being filled   their leases are cancelled: the fill goes on for its readers and ends unstored
 *     leases         the same. Of a tenant with more than PURGE_LEASES all that are out count as hit, which
 *                    costs an origin a fetch and nobody else anything
 *     on their way   a response that was asked for before the purge of a tag and comes with that tag later is
 *                    not stored either
 * Whoever has pinned an object may finish reading it.
 *
 * Bound: PURGES_MAX records of a tenant, with PURGES_PREFIX_BYTES. When there is no place for one, nothing is
 * purged and the answer says so. Records are freed as soon as they have been carried out. */
#ifndef LARDER_PURGE_H
#define LARDER_PURGE_H

#include "lease.h"
#include "store.h"

#define PURGE_AT_ONCE 256u
#define PURGE_LEASES  4096u
/* What a step may cost, and one object more: passing it over is 1, hitting it PURGE_HIT, and more where much
 * has to be compared: one more for so many bytes of prefixes, and so many records, of tags for eight tags
 * each. */
#define PURGE_STEP    8u
#define PURGE_HIT     8u
#define PURGE_BYTES   4096u
#define PURGE_RECORDS 32u

struct cache;

enum purge_scope {
    PURGE_KEY = WIRE_PURGE_KEY,
    PURGE_PREFIXED = WIRE_PURGE_PREFIX, /* an empty one is everything */
    PURGE_TAGGED = WIRE_PURGE_TAGS,
};

struct purge_order {
    struct tenant *tenant;
    enum purge_scope scope;
    bool soft;
    const uint8_t *bytes; /* key (1 or more) or prefix, private memory */
    uint32_t length;
    const struct tag_list *tags;
};

struct purge_effect {
    uint64_t objects; /* hit, so far */
    uint64_t leases;  /* cancelled */
    bool goes_on;     /* more are found in the turns that follow; nobody else finds them */
};

enum purge_result { PURGE_DONE, PURGE_NO_PLACE, PURGE_NO_MEMORY };
enum purge_result purge_carry_out(struct cache *cache, const struct purge_order *order,
                                  struct purge_effect *effect);
/* An order off the wire: its flags; whether so many bytes can be one; and what they are, which stand in
 * cache->block and become cache->tags if they are tags. False: malformed. */
bool purge_order_flags(struct purge_order *order, uint32_t flags);
bool purge_length_is_sound(enum purge_scope scope, uint32_t length);
bool purge_order_fill(struct cache *cache, struct purge_order *order, uint32_t length);
/* The hashes of the tags in a block (tags.h). False: it is malformed. */
bool purge_read_tags(struct cache *cache, const struct tenant *tenant, const uint8_t *block, uint32_t length,
                     struct tag_list *list);

/* A turn's share of what is left to be visited. */
void purge_step(struct cache *cache);
bool purge_is_over(const struct cache *cache);
/* Drops what is left to do: the tenant is not served any more. */
void purge_forget(struct cache *cache, struct tenant *tenant);

/* Of cache->key: the lease that stands for it. One that a purge has hit is cancelled here at the latest. */
struct lease *purge_lease_find(struct cache *cache);
/* True: a purge has hit it, or the response that it is to store with these tags (NULL: not known yet); it is
 * cancelled. */
bool purge_hits_lease(struct cache *cache, struct lease *lease, const struct tag_list *list);

#endif
