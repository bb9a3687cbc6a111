/* endpoint.h: the IPC objects that one peer of the cache owns, and its view of the cache's command queue.
 *
 * Used by the client library and by cache_ctl. A peer makes one endpoint for each registration and throws it
 * away with it, so that nothing of an earlier life can be mistaken for the present.
 *
 *     endpoint_create()  token, locked pool, locked reply queue
 *     endpoint_reach()   command queue opened, its owner checked, the cache's life watched through a pidfd
 *     endpoint_hello()   HELLO sent (the answer arrives on the reply queue)
 *     endpoint_destroy() names unlinked, everything closed
 *
 * Errors: 0 or -errno, and one line for a person in `problem`. */
#ifndef LARDER_ENDPOINT_H
#define LARDER_ENDPOINT_H

#include "mq.h"
#include "segment_pool.h"
#include "wire.h"

#include <stdbool.h>
#include <sys/types.h>

#define ENDPOINT_PROBLEM_BYTES 384

struct endpoint {
    struct endpoint *next_own; /* all endpoints of this process: what a sweep must not touch */
    const char *instance;
    char name[NAMES_BYTES];
    uint64_t token;
    uint64_t secret;
    struct segment_pool pool;
    mqd_t reply;
    mqd_t command;   /* (mqd_t)-1 until reached */
    int cache_pidfd; /* -1: not reached, or the cache lives in another pid namespace */
    pid_t cache_pid;
    bool trusts_cache_of; /* a cache of this user, besides those of root and our own: */
    uid_t cache_user;
    bool drained;     /* to be said in HELLO: it takes no new clients */
    bool lacks_queue; /* endpoint_create() failed: for want of a queue, not of a pool */
    char problem[ENDPOINT_PROBLEM_BYTES];
};

int endpoint_create(struct endpoint *endpoint, const char *instance, const struct pool_shape *shape);
/* Between different users. All zero: nobody else can open what this peer has made, and only caches of its own
 * user and of root are trusted. */
struct endpoint_sharing {
    bool shared;
    gid_t group; /* queue and pool are opened to it: the cache is a member, and better nobody else */
    bool has_cache_user;
    uid_t cache_user; /* a cache of this user is trusted, too */
};
/* Behind endpoint_create(). 0 or -errno. */
int endpoint_share(struct endpoint *endpoint, const struct endpoint_sharing *sharing);
void endpoint_destroy(struct endpoint *endpoint);
/* Unlinks the names and closes the queues but keeps the pool mapped: somebody still reads from it. The rest
 * is done by segment_pool_destroy(). */
void endpoint_retire(struct endpoint *endpoint);

/* "Not yet" differs from "no". */
enum endpoint_reach {
    ENDPOINT_REACHED,
    ENDPOINT_NO_CACHE,  /* no queue, or its owner is dead: try again later */
    ENDPOINT_UNTRUSTED, /* the queue belongs to somebody whom we do not trust with our bytes */
    ENDPOINT_REACH_FAILED,
};
enum endpoint_reach endpoint_reach(struct endpoint *endpoint);
/* Forgets the cache (it has died, say); endpoint_reach() may follow. */
void endpoint_unreach(struct endpoint *endpoint);
/* Is the lock on the command queue still held? For caches that no pidfd can watch. */
bool endpoint_cache_lives(struct endpoint *endpoint);

/* Waits up to `patience_ms` (0: not at all) for room in the command queue, then -ETIMEDOUT or -EAGAIN. */
int endpoint_hello(struct endpoint *endpoint, enum wire_role role, const char *tenant, int patience_ms);
int endpoint_bye(struct endpoint *endpoint, uint64_t registration);

/* The command queue of another shard of the cache that was reached, if the same process holds it. The queue
 * is the caller's to close. -EAGAIN: there is none (yet), or somebody else's. */
int endpoint_reach_shard(const struct endpoint *endpoint, uint32_t shard, mqd_t *queue);
/* As endpoint_hello() and endpoint_bye(), to that queue. */
int endpoint_hello_to(const struct endpoint *endpoint, mqd_t queue, enum wire_role role, const char *tenant,
                      int patience_ms);
int endpoint_bye_to(const struct endpoint *endpoint, mqd_t queue, uint64_t registration);

/* Removes queues and pools of this instance and this uid whose owners are dead. A name younger than
 * ENDPOINT_SWEEP_AGE_S is left for the next time: its owner may not have locked it yet. `is_known` (may be
 * NULL) spares the look at peers that the caller knows to live. Returns how many peers were swept. */
#define ENDPOINT_SWEEP_AGE_S 2
int endpoint_sweep(const char *instance, bool (*is_known)(void *context, uint64_t token), void *context);
/* The same in steps: ends after so many nanoseconds, or when it has come to the end of the directory (then
 * *place is NULL), and goes on there at the next call. One name may take longer: what is removed may be
 * large.
 * `*place` is NULL at first; endpoint_sweep_end() lets go of it. */
int endpoint_sweep_step(void **place, int64_t for_ns, const char *instance,
                        bool (*is_known)(void *context, uint64_t token), void *context);
void endpoint_sweep_end(void **place);
/* The same for one peer's name that somebody has found, and also for a queue without a pool (which no list of
 * pools shows). True if something was removed. */
bool endpoint_sweep_peer(const char *name);

#endif
