/* pins.h: the objects that a session has pinned, and what its process is charged for them.
 *
 * A process may hold half of what its tenant may, so that one that hoards leaves something to the others. An
 * object that it pins several times counts each time, with its size; one that grows counts with the size that
 * was announced, or else with what had arrived when the session was last told or read from it. The tenant is
 * charged by the store, with what is there. Ownership: pins belong to the session. */
#ifndef LARDER_PINS_H
#define LARDER_PINS_H

#include "session.h"

/* May the session's tenant and process hold so many bytes more (pins and fills)? */
bool pins_may_hold(const struct session *session, uint64_t bytes);
/* 0: the proxy, or its tenant, holds as much as it may. */
uint64_t pins_add(struct session *session, struct object *object);
/* The object may have grown: counts it anew. */
void pins_recount(struct session *session, uint64_t handle);
/* False: it is not a handle of this session. */
bool pins_drop(struct session *session, uint64_t handle);
void pins_drop_all(struct session *session);

#endif
