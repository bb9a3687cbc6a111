/* lease.h: who may fill which key.
 *
 *     lease_grant        GRANTED   one holder per key
 *     lease_begin        FILLING   the object grows in the store, unseen
 *     lease_commit       gone, the object is stored
 *     lease_end          gone, with what was filled (holder gave up, died or broke a rule)
 *     lease_cancel_key   the key was removed meanwhile: the fill goes on, but ends unstored
 *
 * Ownership: the table owns leases. The holder is told apart by an opaque pointer and keeps the lease in a
 * numbered place of its own; it ends its leases before it goes. Knows no queue and no ring. */
#ifndef LARDER_LEASE_H
#define LARDER_LEASE_H

#include "store.h"

struct lease; /* opaque */

struct leases {
    struct lease *table;
    struct store *store; /* borrowed */
    uint32_t count;
};

void leases_setup(struct leases *leases, struct store *store);
/* Every lease must have ended. */
void leases_teardown(struct leases *leases);

/* NULL: somebody has it, or no memory. */
struct lease *lease_grant(struct leases *leases, const struct store_key *key);
enum store_result lease_begin(struct leases *leases, struct lease *lease, const uint8_t *meta,
                              uint32_t meta_length, uint64_t expected, int64_t fresh_until,
                              int64_t keep_until);
enum store_result lease_append(struct leases *leases, struct lease *lease, const uint8_t *bytes,
                               uint64_t length);
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
