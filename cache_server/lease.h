/* lease.h: who may fill which key.
 *
 *     lease_grant        GRANTED   one holder per key
 *     lease_begin        FILLING   the object grows in the store, unseen
 *     lease_commit       gone, the object is stored
 *     lease_end          gone, with what was filled (holder gave up, died or broke a rule)
 *     lease_cancel_key   the key was removed meanwhile: the fill goes on, but ends unstored
 *
 * A lease whose holder has stalled, or that has made no progress for long, may be ended by whoever else wants
 * it; the holder's handle is fenced then.
 *
 * Ownership: the table owns leases. The holder keeps the lease in a numbered place of its own, and ends its
 * leases before it goes. Knows no queue, no ring and no clock: times are arguments, in milliseconds. */
#ifndef LARDER_LEASE_H
#define LARDER_LEASE_H

#include "store.h"

struct lease; /* opaque */
struct session;

struct leases {
    struct lease *table;
    struct store *store; /* borrowed */
    uint32_t count;
};

void leases_setup(struct leases *leases, struct store *store);
/* Every lease must have ended. */
void leases_teardown(struct leases *leases);

/* NULL: somebody has it, or no memory. `now`: when it makes progress, here and below; any steady clock. */
struct lease *lease_grant(struct leases *leases, const struct store_key *key, int64_t now);
/* The lease of this key, or NULL. */
struct lease *lease_find(struct leases *leases, const struct store_key *key);
/* Who has it, under which handle; set by whoever granted it. */
void lease_set_holder(struct lease *lease, struct session *holder, uint64_t handle);
struct session *lease_holder(const struct lease *lease, uint64_t *handle);
/* Time of its last progress. */
int64_t lease_touched(const struct lease *lease);
enum store_result lease_begin(struct leases *leases, struct lease *lease, const uint8_t *meta,
                              uint32_t meta_length, uint64_t expected, int64_t fresh_until,
                              int64_t keep_until);
enum store_result lease_append(struct leases *leases, struct lease *lease, const uint8_t *bytes,
                               uint64_t length, int64_t now);
/* Ends the lease, whatever the result. Nulls the pointer. */
enum store_result lease_commit(struct leases *leases, struct lease **lease);
/* True if a fill was under way and has been thrown away. Nulls the pointer. */
bool lease_end(struct leases *leases, struct lease **lease);
void lease_cancel_key(struct leases *leases, const struct store_key *key);

/* Is this the lease's key (without the tenant's id)? */
bool lease_key_is(const struct lease *lease, const uint8_t *bytes, uint32_t length);
bool lease_is_filling(const struct lease *lease);
/* Bytes that have arrived. */
uint64_t lease_filled(const struct lease *lease);

#endif
