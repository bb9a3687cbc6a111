/* session.h: one registered peer, as the cache sees it.
 *
 *     session_attach    queue opened and checked, holder of its lock watched, pool mapped and checked
 *     session_detach    mapping, descriptors given back; nothing of the peer remains
 *
 * Everything here is private memory of the cache but `pool`, which the peer can scribble over or truncate at
 * any time: touched inside shm_guard only. Ownership: created and destroyed here; found through the registry.
 */
#ifndef LARDER_SESSION_H
#define LARDER_SESSION_H

#include "ahead.h"
#include "counters.h"
#include "handles.h"
#include "identity.h"
#include "lease.h"
#include "loop.h"
#include "mq.h"
#include "pause.h"
#include "process.h"
#include "reaper.h"
#include "segment_pool.h"
#include "store.h"
#include "wire.h"

#include <sys/types.h>

#define SESSION_MAX_HANDLES 1024u
#define SESSION_MAX_FILLS   256u
#define SESSION_MAX_FOLLOWS 256u

struct cache;

/* DEAD is not a state: what is dead is not registered any more. */
enum session_state {
    SESSION_ALIVE,
    SESSION_STALLED, /* silent: costs nothing and keeps what it has, until it is heard again or dropped */
};

struct session {
    struct session *prev, *next; /* in its process' list of active sessions, while `active` */
    struct cache *cache;
    uint64_t registration;
    uint64_t token;
    uint64_t secret;
    enum wire_role role;
    pid_t pid;                   /* 0: in a pid namespace that we do not see */
    struct identity_owner owner; /* of its queue and pool, as the kernel says */
    bool ours;                   /* that is root, or the user of the cache */
    int64_t since_mono_ms;
    enum session_state state;
    int64_t stalled_mono_ms;  /* since when */
    uint32_t beat;            /* its heartbeat when last looked at, */
    uint32_t silent;          /* and how often it has been the same */
    uint64_t requests;        /* its requests at that time: they are signs of life too */
    bool active;              /* its ring is polled each turn; otherwise its bell wakes us */
    bool watched;             /* `death` is in the loop */
    bool drained;             /* it is to take no new clients, */
    bool untold;              /*   or again, but has not been told: its queue was full */
    struct loop_source death; /* pidfd */
    mqd_t reply;
    struct segment_pool pool;
    int pool_fd;           /* a proxy's, for its heartbeat; -1: none */
    struct reaper *reaper; /* borrowed: the cache's */
    struct process *process;
    struct tenant *tenant;       /* NULL for admin clients */
    struct wire_request ongoing; /* moved in pieces; `progress` bytes so far, 0: none is going on */
    uint64_t progress;
    struct ahead ahead; /* requests that are off the ring already */
    int64_t taken_ns;   /* when the turn of the request being served came; 0: not sampled */
    struct counters counters;
    struct handles pins;    /* struct object * */
    struct handles leases;  /* struct lease * */
    struct handles follows; /* struct follower * */
    struct follower *due;   /* utlist: those of them that are to be answered */
    struct keeper *keeper;  /* what it keeps in its segments (holds.h); NULL: it never asked for that */
    int64_t keeper_retry_ms;
    struct pause pause;
    bool spoiled;           /* it is to be dropped, and its pool left alone: it lost pages, */
    bool obstructs;         /*   or it, or another of its process, made the cache wait (pause.h) */
    bool is_known_to_leave; /* another shard has said so */
};

/* May a peer of this owner register so? Nothing is asked of one of our own user whose queue is private. */
struct session_gate {
    bool (*admits)(void *context, const struct wire_hello *hello, const struct identity_owner *owner);
    void *context;
};
/* `shard`: whose pair of rings is served; an administrator's pool need not have it.
 * WIRE_REFUSAL_NONE and *out, or the reason. The session is not yet registered, watched or active. */
enum wire_refusal session_attach(struct session **out, const char *instance, const struct wire_hello *hello,
                                 uint32_t shard, struct reaper *reaper, const struct session_gate *gate);
/* Frees it; it holds and follows nothing any more. Mapping and queue go to the reaper. Nulls the pointer. */
void session_detach(struct session **session);
/* Is its queue still locked? False also when a living peer has closed it. */
bool session_is_held(const struct session *session);

#endif
