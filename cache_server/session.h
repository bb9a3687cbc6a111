/* session.h: one registered peer, as the cache sees it.
 *
 *     session_attach    queue opened and checked, holder of its lock watched, pool mapped and checked
 *     session_detach    pins, leases, mapping, descriptors given back; nothing of the peer remains
 *
 * Everything here is private memory of the cache but `pool`, which the peer can scribble over or truncate at
 * any time: touched inside shm_guard only. Ownership: created and destroyed here; found through the registry.
 */
#ifndef LARDER_SESSION_H
#define LARDER_SESSION_H

#include "counters.h"
#include "handles.h"
#include "lease.h"
#include "loop.h"
#include "mq.h"
#include "segment_pool.h"
#include "store.h"
#include "wire.h"

#include <sys/types.h>

#define SESSION_MAX_HANDLES 1024u
#define SESSION_MAX_FILLS   256u

struct cache;

struct session {
    struct session *prev, *next; /* in the cache's list of active sessions, while `active` */
    struct cache *cache;
    uint64_t registration;
    uint64_t token;
    uint64_t secret;
    enum wire_role role;
    pid_t pid; /* 0: in a pid namespace that we do not see */
    uid_t uid;
    int64_t since_mono_ms;
    bool active;              /* its ring is polled each turn; otherwise its bell wakes us */
    bool watched;             /* `death` is in the loop */
    struct loop_source death; /* pidfd */
    mqd_t reply;
    struct segment_pool pool;
    struct tenant *tenant; /* NULL for admin clients */
    struct counters counters;
    struct handles pins;   /* struct object * */
    struct handles leases; /* struct lease * */
};

/* WIRE_REFUSAL_NONE and *out, or the reason. The session is not yet registered, watched or active. */
enum wire_refusal session_attach(struct session **out, const char *instance, const struct wire_hello *hello);
/* Ends all its leases; returns how many of them had a fill under way, which is thrown away. */
unsigned session_end_leases(struct session *session, struct leases *leases);
/* Unpins what it reads, then frees it; its leases have been ended. Nulls the pointer. */
void session_detach(struct session **session, struct store *store);
/* Is its queue still locked? False also when a living peer has closed it. */
bool session_is_held(const struct session *session);

#endif
