/* client_internal.h: what the four files of the client library share.
 *
 *     client.c           finds the cache, is attached to it and loses it; timers and the reply queue
 *     client_segments.c  the pool's segments: lent to the caller, given new pages
 *     client_requests.c  operations and requests without an answer, into the rings
 *     client_events.c    completions out of the rings, and what else the caller is told
 *
 * Nothing here is for the users of larder.h. Threads: the client's. */
#ifndef LARDER_CLIENT_INTERNAL_H
#define LARDER_CLIENT_INTERNAL_H

#include "larder.h"

#include "endpoint.h"
#include "free_map.h"
#include "shard_link.h"
#include "wire.h"

/* Handles as the caller sees them carry the numbers of the shard and of the attachment between the cache's
 * place and generation. */
#define HANDLE_PLACE_BITS   12
#define HANDLE_SHARD_BITS   4
#define HANDLE_ATTACH_SHIFT (HANDLE_PLACE_BITS + HANDLE_SHARD_BITS)
#define HANDLE_PLACE_MASK   ((1u << HANDLE_PLACE_BITS) - 1)
#define HANDLE_ATTACH_MASK  (0xffffffffu << HANDLE_ATTACH_SHIFT)

_Static_assert(WIRE_MAX_SHARDS <= 1u << HANDLE_SHARD_BITS, "a handle has room for the shard");

enum segment_state {
    SEGMENT_FREE,
    SEGMENT_HELD,   /* by the caller */
    SEGMENT_PASSED, /* to the cache */
    SEGMENT_SPENT,  /* returned, and has no pages that may be written: see client_replace_pages() */
};

#define NOBODY 0xffu

struct segment {
    struct larder_segment public; /* first: the caller's pointer is ours */
    struct connection *connection;
    uint32_t index;
    uint32_t next_spent;
    uint32_t guard;  /* of its header while what it shows is current; POOL_STALE: it is not kept */
    uint8_t kept_by; /* the shard that may still count it among what is kept; NOBODY: none */
    bool lent;       /* to sockets: its pages are not written to any more */
    enum segment_state state;
};

struct connection {
    struct larder_client *client;
    struct endpoint endpoint;
    struct segment *segments;
    struct free_map free;
    uint32_t first_spent; /* as many as there are segments: none */
    uint32_t held;
    bool small_pages; /* of which segments are made: part of a larger one would be filled with zeroes instead
                       */
    bool retired;
};

/* One operation under way; its place and generation are the cookie. */
struct operation {
    uint32_t generation;
    uint32_t next_free;
    uint8_t op; /* enum wire_op; 0: free */
    uint8_t shard;
    bool waits; /* a purge that has found the ring of that shard full */
    uint8_t purge_flags;
    uint16_t purge_length;
    void *user;
    struct segment *segment;
    uint64_t offset;
    uint64_t purged, cancelled; /* a purge, by the shards that have answered; */
    bool goes_on;
};

struct silent_request {
    uint8_t op;
    uint8_t flags;
    uint8_t shard;
    uint32_t segment; /* WIRE_NO_SEGMENT, or the one that is not kept any more */
    uint64_t handle;  /* the cache's */
    uint64_t value;
};

enum client_state { CLIENT_SEARCHING, CLIENT_GREETING, CLIENT_ATTACHED };

struct larder_client {
    char instance[NAMES_INSTANCE_MAX + 1];
    char tenant[NAMES_TENANT_MAX + 1];
    struct pool_shape shape;
    struct endpoint_sharing sharing;
    enum client_state state;
    struct connection *connection; /* NULL: the next attempt makes one */
    int watch;                     /* epoll: timer, reply queue, cache's pidfd */
    int timer;
    struct shard_link links[WIRE_MAX_SHARDS];
    uint32_t greeted; /* shards that have answered */
    uint32_t turn;    /* whose completions are next */
    uint8_t shard_key[WIRE_SHARD_KEY];
    uint64_t epoch;
    bool armed;       /* our sleeping flag is up, for the completions of all shards */
    bool hello_waits; /* for room in the queue of the next shard */
    bool relearnt;    /* another number of shards, since we were attached last */
    uint64_t max_object;
    uint32_t heartbeat_ms;
    uint32_t unanswered; /* time-outs since the last HELLO */
    uint32_t found_full; /* times in a row that there was no room for a HELLO */
    int64_t next_sweep_ms;
    void *sweep_place;     /* where it goes on; see endpoint.h */
    int64_t looked_ms;     /* when timer and cache were looked at last, */
    int64_t checked_ms;    /* and when the cache alone was: just before */
    uint32_t tick_ms;      /* while attached: how often the timer ticks */
    int64_t next_check_ms; /* for a cache that is silent or gone */
    uint32_t attachment;   /* counts, shifted as in handles */
    bool tell_attached, tell_detached;
    bool drained, tell_drained;   /* see LARDER_EVENT_DRAIN */
    struct operation *operations; /* operation_count of them */
    uint32_t operation_count;
    uint32_t first_free_operation;
    uint32_t under_way;
    uint32_t purges_waiting;
    uint32_t lost_cursor; /* operations below have been told that they are lost */
    bool losing;
    /* RELEASE, FILL_ABORT and UNFOLLOW that found the ring full. At most one for each handle, lease and
     * follow handle that exist. */
    struct silent_request *deferred;
    uint32_t deferred_count, deferred_room;
    char problem[ENDPOINT_PROBLEM_BYTES];
};

static inline uint32_t shards_of(const struct larder_client *client)
{
    return client->shape.ring_pairs;
}

/* ---- client.c ---- */

/* The registration is over, for that reason. Operations under way are answered with LARDER_LOST by
 * larder_client_next(). */
void client_lose(struct larder_client *client, const char *why);
/* Soon, because requests wait for room in a ring. */
void client_tick_soon(struct larder_client *client);
/* Is it time to look again whether the cache still lives? While it does nobody else's changes what we keep.
 */
bool client_is_late(int64_t looked_ms);
/* What is kept is not current any more if it does not. Neither timer nor messages are looked at. */
void client_check_cache(struct larder_client *client);
/* One that is retired, and of which the caller holds no segment any more. */
void client_free_connection(struct connection *connection);

/* ---- client_segments.c ---- */

/* Those of a pool that was just made. False: there is no memory; the caller frees the connection. */
bool client_number_segments(struct connection *connection);
/* Sockets go on reading the old pages; the segment gets new ones. False: there are none. The old ones are
 * gone then, and whoever touches the segment would ask for new ones himself, which ends in a SIGBUS. */
bool client_replace_pages(struct segment *segment);
/* Of a connection that is retired: those that nobody holds give their memory back. */
void client_free_pages(struct connection *connection);
/* Some of those that found no pages when they came back. */
void client_restore_spent(struct connection *connection);

/* ---- client_requests.c ---- */

/* A purge that concerns all shards goes from one to the next, with its segment. */
void client_pass_purge_on(struct larder_client *client, struct operation *operation);

/* ---- client_events.c ---- */

/* One operation that was under way when the registration ended. False: there is none left. */
bool client_next_lost(struct larder_client *client, struct larder_event *event);

#endif
