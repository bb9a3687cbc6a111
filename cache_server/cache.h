/* cache.h: one running cache: its state, and the beginnings and ends of its registrations. turn.h drives it.
 *
 * A registered proxy is ACTIVE (its ring is polled each turn) or ARMED (its ring's sleeping flag is up, and
 * its next request sends a BELL). So idle proxies cost nothing, and busy ones cost no system call.
 *
 * The command queue holds ten messages, so a BELL can find it full; the sender does not wait. Having read as
 * many messages as the queue holds without once finding it empty, the cache therefore polls every ring.
 *
 * It is ALIVE, or STALLED when neither its heartbeat has moved nor a request has come for --stall-time. Then
 * it costs nothing: no ring is polled, no bell sent. Nothing is taken from it but what others ask for (a
 * lease that it holds), unless it holds or follows something for longer than --stall-limit. */
#ifndef LARDER_CACHE_H
#define LARDER_CACHE_H

#include "cache_conf.h"
#include "counters.h"
#include "lease.h"
#include "loop.h"
#include "mq.h"
#include "process.h"
#include "reaper.h"
#include "registry.h"
#include "sample.h"
#include "session.h"
#include "spin.h"
#include "store.h"
#include "sweeper.h"
#include "tenant.h"
#include "times.h"
#include "top.h"

struct shards;

/* Which shard of the instance this is, and what all of them have in common. */
struct cache_place {
    uint32_t shard, shards;
    uint64_t epoch;
    uint8_t shard_key[WIRE_SHARD_KEY];
    struct shards *others; /* to be told of another configuration; NULL: there is one shard */
};
struct cache_place cache_place_alone(void);

/* Where collecting goes on; see holds.c. */
struct hold_cursor {
    uint32_t place; /* in the registry */
    uint32_t hold;
};

struct cache {
    struct cache_place place;
    struct cache_conf conf; /* what it points to is the first shard's */
    struct loop loop;
    struct loop_source commands; /* the command queue */
    struct loop_source former;   /* the one before, which had lost its name; fd -1: none */
    struct loop_source signals;  /* signalfd */
    uint64_t epoch;
    int64_t since_mono_ms;
    int64_t now;               /* wall clock of this turn, ms */
    int64_t mono_ms;           /* monotonic clock of this turn; so are the next ones: */
    int64_t next_check_ms;     /* when locks are asked for again */
    int64_t next_beat_ms;      /* when heartbeats are looked at again */
    int64_t next_renewal_ms;   /* when the command queue may be given a name again */
    int64_t next_complaint_ms; /* when it may be said again that that cannot be done */
    int64_t next_sweep_ms;     /* when names of the dead are looked for again */
    int64_t messages_after_ns; /* control messages wait until then while rings are busy */
    uint32_t unseen;           /* sessions that no pidfd watches */
    uint32_t proxies;          /* sessions with WIRE_ROLE_PROXY */
    uint32_t stalled;          /* sessions that are */
    int64_t turn_ns;           /* when the last turn began that had something to do; 0: there was nothing */
    uint32_t turns;
    uint32_t unanswered;       /* messages read since the queue was last seen empty */
    bool flooded;              /* the queue was not seen empty lately: bells may be lost, so no ring sleeps */
    struct spin spin;          /* before the loop sleeps */
    int64_t idle_ns;           /* since when it has had nothing to do; 0: it has */
    bool spun;                 /* it has looked for something since then */
    int64_t looking_ns;        /* when it began to look, */
    struct pause_mark looking; /*   what was counted at that time, if anybody is watched, */
    int64_t looked_ns;
    struct session *lost; /*   and whose pool lost pages meanwhile */
    bool stopping;
    int failed; /* -errno that ends the loop; 0: none */
    struct registry registry;
    struct processes processes;
    struct reaper reaper;
    struct sweeper sweeper;
    struct tenants tenants;
    struct tenant *busy_tenants; /* utlist: those with active sessions */
    struct pauses pauses;
    struct store store;
    struct leases leases;
    uint32_t kept;    /* segments that proxies keep */
    uint32_t spoiled; /* sessions that are to be dropped: see touch.h */
    struct hold_cursor collected;
    int64_t next_collection_ms;
    uint32_t purging;    /* tenants with purges that are not over, */
    uint32_t prefixes;   /*   and the prefixes among these */
    uint32_t purge_turn; /* the tenant that had its turn last; see purge.c */
    struct counters counters;
    struct sampler entries, lookups; /* whose time is taken, and which are noted */
    struct times times;
    struct tops tops;
    /* What is being worked on; large, hence not on the stack. */
    struct wire_top_row rows[2 * WIRE_TOP_MOST];
    struct store_key key;
    struct tag_list tags;
    uint8_t meta[WIRE_MAX_META];
    uint8_t block[WIRE_TAGS_BYTES];
};

/* Claims the instance and sets everything up. On failure `problem` says why. 0 or -errno; -EBUSY: the
 * instance is served already. What `conf` owns is the cache's when 0 is returned. */
int cache_setup(struct cache *cache, const struct cache_conf *conf, char *problem, size_t problem_size);
/* One shard of several. What `conf` owns goes to the first one. */
int cache_setup_shard(struct cache *cache, const struct cache_conf *conf, const struct cache_place *place,
                      char *problem, size_t problem_size);
/* Ends every registration, then lets go of the instance, and frees the configuration. */
void cache_teardown(struct cache *cache);

/* Registers and watches; the peer is answered by the caller. */
enum wire_refusal cache_admit(struct cache *cache, const struct wire_hello *hello, struct session **out);

enum departure {
    DEPARTURE_BYE,        /* it said so */
    DEPARTURE_DIED,       /* its process is gone, or has let go of its queue */
    DEPARTURE_BROKE,      /* it broke the protocol */
    DEPARTURE_FAULTED,    /* its pool lost pages under us, */
    DEPARTURE_OBSTRUCTED, /* or made us wait while others were served */
    DEPARTURE_STALLED,    /* it was silent for too long with something in its hands */
    DEPARTURE_EXPELLED,   /* its user may not serve its tenant any more */
    DEPARTURE_SHUTDOWN,   /* we go */
};
/* Takes everything back. Nulls the pointer. */
void cache_part(struct cache *cache, struct session **session, enum departure why);

/* The cache's own user and root may ask for everything, */
bool cache_is_ruled_by(const struct session *asker);
/*   others for what concerns a tenant that they may serve. */
bool cache_lets_manage(const struct cache *cache, const struct session *asker, const char *tenant);

/* Drops those whom another configuration does not admit. */
void cache_expel(struct cache *cache);

/* It is silent; it was heard again. */
void cache_stall(struct cache *cache, struct session *session);
void cache_thaw(struct cache *cache, struct session *session);

/* Its ring will be polled from this turn on. */
void cache_activate(struct cache *cache, struct session *session);
/* All but the stalled. */
void cache_activate_all(struct cache *cache);
/* Its bell will wake us: the ring is armed. */
void cache_deactivate(struct cache *cache, struct session *session);

/* Adds to the cache's, the tenant's and the session's counter. */
void cache_count(struct session *session, enum counter counter, uint64_t by);

#endif
