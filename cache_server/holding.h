/* holding.h: what one process keeps from being evicted: objects that it has pinned or is filling.
 *
 * An object counts once for a process, however many of its registrations use it and however often, with all
 * that it is charged with. One that is pinned while it grows counts with the size that was announced; if none
 * was, with what had arrived when it was last recounted. Leases count beside that (lease_charge()).
 *
 * Ownership: a holding lives from the first use of the object to the last; whoever uses it keeps the pointer.
 * Bound: what process->held may be; its callers ask before they take. */
#ifndef LARDER_HOLDING_H
#define LARDER_HOLDING_H

#include "process.h"
#include "store.h"

#include <uthash.h>

struct holding {
    UT_hash_handle hh;
    const struct object *object;
    uint64_t weight; /* its share of process->held */
    uint32_t pins;
    uint32_t fills; /* 0 or 1 */
};

enum holding_use { HOLDING_PIN, HOLDING_FILL };

/* What a pin of the object would add to process->held; 0 when it is there already. */
uint64_t holding_weight(const struct process *process, const struct object *object);
/* NULL: no memory. */
struct holding *holding_take(struct process *process, const struct object *object, enum holding_use use);
/* The object may have grown. */
void holding_recount(struct process *process, struct holding *holding);
/* Before the object can go. */
void holding_drop(struct process *process, struct holding *holding, enum holding_use use);

#endif
