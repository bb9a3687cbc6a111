/* pins.h: the objects that a session has pinned and the leases that it has, and what that costs its process.
 *
 * Both keep memory from being evicted, so both are charged (store.h, holding.h): to the tenant, which may
 * hold half of the memory, and to the process, which may hold a quarter, so that one that hoards leaves
 * something to the others. Ownership: pins and leases belong to the session. */
#ifndef LARDER_PINS_H
#define LARDER_PINS_H

#include "session.h"

/* May the session's tenant and process hold so many bytes more? */
bool pins_may_hold(const struct session *session, uint64_t bytes);
/* May its process? For what its tenant is charged with already. */
bool pins_process_may_hold(const struct session *session, uint64_t bytes);

/* 0: the proxy, or its tenant, holds as much as it may. */
uint64_t pins_add(struct session *session, struct object *object);
/* The object may have grown: counts it anew. */
void pins_recount(struct session *session, uint64_t handle);
/* False: it is not a handle of this session. */
bool pins_drop(struct session *session, uint64_t handle);
void pins_drop_all(struct session *session);

/* A handle for a lease, with what has been filled; 0: all are taken, or no memory. */
uint64_t pins_put_lease(struct session *session, struct lease *lease);
/* Its fill has begun. False: no memory. */
bool pins_fill_begun(struct session *session, uint64_t handle);
void pins_fill_grew(struct session *session, uint64_t handle);
/* NULL: it is not a handle of this session. */
struct lease *pins_take_lease(struct session *session, uint64_t handle);

#endif
