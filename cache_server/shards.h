/* shards.h: one cache, or several that divide the keys of an instance among them, each with a thread of its
 * own.
 *
 *     shards_setup()     claims the instance, makes every shard, starts the threads of all but the first
 *     (sandbox_enter())  they have set themselves up, and wait
 *     shards_run()       they serve, and so does the caller, for the first shard
 *     shards_teardown()
 *
 * A shard is a struct cache: store, tenants, leases, registry and loop, which no other thread touches. Shards
 * have in common the configuration, which nobody changes, and what this module orders: an order is a flag in
 * the shard's place here and a look at an eventfd in its loop. A peer is registered with all shards or with
 * none: what one of them drops leaves the others. The first shard has the signals, reads the configuration
 * anew, and waits for the others only to take that over or to end; they never wait for it. When one fails,
 * all end. */
#ifndef LARDER_SHARDS_H
#define LARDER_SHARDS_H

#include "cache.h"

#include <semaphore.h>
#include <stdatomic.h>

#define SHARDS_LEAVERS 64u

struct shards_leaver {
    uint64_t token;
    bool obstructs; /* its pool is not touched any more: see pause.h */
};

struct shard {
    struct shards *all;
    struct cache *cache;
    struct loop_source orders;                    /* eventfd; -1: there is one shard */
    _Atomic bool is_to_stop;                      /* an order, */
    const struct cache_conf *_Atomic is_to_have;  /*   and another: this configuration; NULL: none */
    pthread_mutex_t mutex;                        /* of the next ones, which nobody keeps for long */
    struct shards_leaver leavers[SHARDS_LEAVERS]; /* registrations that another shard has dropped */
    uint32_t leaver_count;
    pthread_t thread;
    bool runs; /* the thread */
    int error; /* its end */
};

struct shards {
    uint32_t count;
    sem_t ready;   /* posted by each thread that has set itself up, */
    sem_t go;      /*   and for each that may serve */
    sem_t applied; /* by each that has the configuration */
    struct shard list[WIRE_MAX_SHARDS];
};

/* As cache_setup(). */
int shards_setup(struct shards *shards, const struct cache_conf *conf, char *problem, size_t problem_size);
/* Until SIGINT or SIGTERM, or until a shard fails. 0 or -errno. */
int shards_run(struct shards *shards);
void shards_teardown(struct shards *shards);

/* A shard has dropped this peer: its registrations with the others end too. Where too many are
 * told of at once they last until the peer itself goes, or is heard of. */
void shards_tell_dropped(struct shards *shards, uint32_t by, const struct shards_leaver *leaver);

/* The first shard, in its loop: the others have this configuration when it returns. */
void shards_apply(struct shards *shards, const struct cache_conf *wanted);

#endif
