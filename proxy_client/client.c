/* The client side of the IPC.
 *
 *                    cache reached, HELLO sent            WELCOME
 *     SEARCHING ------------------------------> GREETING ----------> ATTACHED
 *         ^  ^   retry timer                       |                    |
 *         |  +------- REFUSED, no answer ----------+                    |
 *         +---- cache died, dropped us, or broke the protocol ----------+
 *
 * The cache may have several shards. GREETING greets one after the other, each on its queue (shard_link.h),
 * so that the few places of the reply queue always suffice for the answers; how many there are is known from
 * the first one's, and a pool with too few or too many rings is made anew. We are attached to all of them or
 * to none. A key belongs to one of them (shard_key.h), and so do the handles and leases that come of it;
 * segments go to any. A purge of a prefix or of tags is carried from one to the next with its segment.
 *
 * Each attempt is made with an endpoint (queue, pool, token, secret) of its own. When it is over the endpoint
 * is retired: names go at once, the mapping stays until the last segment that the caller holds has been
 * returned. */
#include "larder.h"

#include "clock.h"
#include "endpoint.h"
#include "free_map.h"
#include "invariant.h"
#include "log.h"
#include "shard_key.h"
#include "shard_link.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How long until the next attempt: a random time in between, so that many proxies do not come at once. */
#define RETRY_MIN_MS        50u
#define RETRY_MAX_MS        250u
#define RETRY_REFUSED_MIN   500u
#define RETRY_REFUSED_MAX   1500u
#define GREETING_TIMEOUT_MS 1000u
#define GREETING_TRIES      20u
#define BYE_PATIENCE_MS     100
/* A HELLO that has found the command queue full so often in a row waits so long in its line: somebody keeps
 * it full, and who only looks in now and then never finds room. */
#define FULL_QUEUE_TRIES    3u
#define HELLO_PATIENCE_MS   20
#define SWEEP_INTERVAL_MS   3000
#define SWEEP_STEP_NS       200000 /* at a time */
#define SILENCE_CHECK_MS    1000u
#define DEFERRED_CHECK_MS   5u
#define HEARTBEAT_MIN_MS    10u
#define SPENT_STEP          64u  /* segments at a time that are given new pages */
#define FOLLOWS_ROOM        256u /* operations that may wait for news without being in the way of others */
#define UNSEEN_CHECK_MS     100u /* a cache that no pidfd watches: is its lock still held? */

/* Handles as the caller sees them carry the numbers of the shard and of the attachment between the cache's
 * place and generation. */
#define HANDLE_PLACE_BITS   12
#define HANDLE_SHARD_BITS   4
#define HANDLE_ATTACH_SHIFT (HANDLE_PLACE_BITS + HANDLE_SHARD_BITS)
#define HANDLE_PLACE_MASK   ((1u << HANDLE_PLACE_BITS) - 1)
#define HANDLE_ATTACH_MASK  (0xffffffffu << HANDLE_ATTACH_SHIFT)

_Static_assert(WIRE_MAX_SHARDS <= 1u << HANDLE_SHARD_BITS, "a handle has room for the shard");

_Static_assert(LARDER_MAX_KEY == WIRE_MAX_KEY, "one limit");
_Static_assert(LARDER_MAX_SEGMENTS == POOL_MAX_SEGMENTS &&
                   LARDER_MAX_SEGMENT_BYTES == POOL_MAX_SEGMENT_BYTES &&
                   LARDER_MIN_SEGMENT_BYTES == POOL_MIN_SEGMENT_BYTES,
               "public limits are those of the pool");
_Static_assert(LARDER_LOOKUP_LEASE == WIRE_LOOKUP_LEASE && LARDER_LOOKUP_NO_BODY == WIRE_LOOKUP_NO_BODY &&
                   LARDER_LOOKUP_REVALIDATE == WIRE_LOOKUP_REVALIDATE &&
                   LARDER_LOOKUP_FOLLOW == WIRE_LOOKUP_FOLLOW && LARDER_LOOKUP_KEEP == WIRE_LOOKUP_KEEP,
               "flags travel as they are");
_Static_assert(LARDER_FOLLOW_NOTHING == WIRE_FOLLOW_NOTHING && LARDER_SIZE_UNKNOWN == WIRE_SIZE_UNKNOWN,
               "and so do these values");

static const enum larder_status status_map[WIRE_STATUS_END] = {
    [WIRE_STATUS_OK] = LARDER_OK,
    [WIRE_STATUS_HIT] = LARDER_HIT,
    [WIRE_STATUS_STALE] = LARDER_STALE,
    [WIRE_STATUS_MISS] = LARDER_MISS,
    [WIRE_STATUS_BUSY] = LARDER_BUSY,
    [WIRE_STATUS_TOO_LARGE] = LARDER_TOO_LARGE,
    [WIRE_STATUS_NO_MEMORY] = LARDER_NO_MEMORY,
    [WIRE_STATUS_FENCED] = LARDER_FENCED,
    [WIRE_STATUS_BAD] = LARDER_BAD,
};

static const enum larder_event_kind kind_map[WIRE_OP_END] = {
    [WIRE_OP_LOOKUP] = LARDER_EVENT_LOOKUP,         [WIRE_OP_READ] = LARDER_EVENT_READ,
    [WIRE_OP_FILL_BEGIN] = LARDER_EVENT_FILL_BEGIN, [WIRE_OP_FILL_DATA] = LARDER_EVENT_FILL_DATA,
    [WIRE_OP_FILL_END] = LARDER_EVENT_FILL_END,     [WIRE_OP_UPDATE] = LARDER_EVENT_UPDATE,
    [WIRE_OP_REMOVE] = LARDER_EVENT_REMOVE,         [WIRE_OP_FOLLOW] = LARDER_EVENT_FOLLOW,
    [WIRE_OP_PURGE] = LARDER_EVENT_PURGE,
};

enum segment_state {
    SEGMENT_FREE,
    SEGMENT_HELD,   /* by the caller */
    SEGMENT_PASSED, /* to the cache */
    SEGMENT_SPENT,  /* returned, and has no pages that may be written: see replace_pages() */
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
    struct endpoint endpoint;
    struct segment *segments;
    struct free_map free;
    uint32_t first_spent; /* as many as there are segments: none */
    uint32_t held;
    bool small_pages; /* part of a huge one would not be replaced, but filled with zeroes */
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
    uint32_t found_full; /* times in a row that there was no room for a HELLO */
    int64_t next_sweep_ms;
    void *sweep_place;     /* where it goes on; see endpoint.h */
    int64_t woken_ms;      /* last */
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

/* ---- connections ---- */

static void free_connection(struct connection *connection)
{
    segment_pool_destroy(&connection->endpoint.pool);
    free_map_teardown(&connection->free);
    free(connection->segments);
    free(connection);
}

static uint32_t shards_of(const struct larder_client *client)
{
    return client->shape.ring_pairs;
}

/* When one of several shards is lost the others are told. A single one has told us, or has died. */
static void leave_shards(struct larder_client *client)
{
    const struct endpoint *endpoint = &client->connection->endpoint;

    for (uint32_t i = 0; i < shards_of(client); i++) {
        struct shard_link *link = &client->links[i];
        if (link->registration && shards_of(client) > 1)
            (void)endpoint_bye_to(endpoint, link->command, link->registration);
        shard_link_close(link, endpoint);
    }
    client->greeted = 0;
    client->armed = client->hello_waits = false;
}

/* Names go now, memory with the last held segment. */
static void retire_connection(struct larder_client *client)
{
    struct connection *connection = client->connection;

    leave_shards(client);
    client->connection = NULL;
    epoll_ctl(client->watch, EPOLL_CTL_DEL, connection->endpoint.reply, NULL);
    if (connection->endpoint.cache_pidfd >= 0)
        epoll_ctl(client->watch, EPOLL_CTL_DEL, connection->endpoint.cache_pidfd, NULL);
    endpoint_retire(&connection->endpoint);
    connection->retired = true;
    if (connection->held == 0)
        free_connection(connection);
}

/* A tmpfs with huge pages says so by its block size. */
static bool has_small_pages(const struct segment_pool *pool)
{
    struct stat about;

    return fstat(pool->fd, &about) == 0 && about.st_blksize <= sysconf(_SC_PAGESIZE);
}

static bool number_segments(struct connection *connection)
{
    const struct segment_pool *pool = &connection->endpoint.pool;

    connection->small_pages = has_small_pages(pool);

    connection->first_spent = pool->shape.segments;
    connection->segments = calloc(pool->shape.segments, sizeof(*connection->segments));
    if (!connection->segments || !free_map_setup(&connection->free, pool->shape.segments))
        return false;
    for (uint32_t i = 0; i < pool->shape.segments; i++) {
        connection->segments[i] = (struct segment){
            .public = {segment_payload(pool, i), pool->shape.segment_bytes},
            .connection = connection,
            .index = i,
            .kept_by = NOBODY,
        };
    }
    return true;
}

static int watch_fd(struct larder_client *client, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(client->watch, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Each shard adds those that may wait for news. There are none under way when there is no connection. */
static bool make_operations(struct larder_client *client)
{
    uint32_t count = client->shape.ring_entries + FOLLOWS_ROOM * (shards_of(client) - 1);

    if (client->operation_count >= count)
        return true;
    struct operation *operations = calloc(count, sizeof(*operations));
    if (!operations)
        return false;
    free(client->operations);
    client->operations = operations;
    client->operation_count = count;
    client->first_free_operation = 0;
    for (uint32_t i = 0; i < count; i++)
        operations[i].next_free = i + 1;
    return true;
}

static int make_connection(struct larder_client *client)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    int error;

    if (!connection || !make_operations(client)) {
        free(connection);
        return -ENOMEM;
    }
    error = endpoint_create(&connection->endpoint, client->instance, &client->shape);
    if (error) {
        snprintf(client->problem, sizeof(client->problem), "%s", connection->endpoint.problem);
        free(connection);
        return error;
    }
    error = endpoint_share(&connection->endpoint, &client->sharing);
    if (error) {
        snprintf(client->problem, sizeof(client->problem), "%s", connection->endpoint.problem);
        endpoint_retire(&connection->endpoint);
        free_connection(connection);
        return error;
    }
    error = number_segments(connection) ? watch_fd(client, connection->endpoint.reply) : -ENOMEM;
    if (error) {
        snprintf(client->problem, sizeof(client->problem), "cannot watch the reply queue: %s",
                 strerror(-error));
        endpoint_retire(&connection->endpoint);
        free_connection(connection);
        return error;
    }
    client->connection = connection;
    return 0;
}

/* ---- pages ---- */

static off_t offset_of(const struct segment *segment)
{
    return (off_t)(segment->public.data - segment->connection->endpoint.pool.base);
}

/* Sockets go on reading the old pages; the segment gets new ones. False: there are none. The old ones are
 * gone then, and whoever touches the segment would ask for new ones himself, which ends in a SIGBUS. */
static bool replace_pages(struct segment *segment)
{
    const struct segment_pool *pool = &segment->connection->endpoint.pool;
    off_t offset = offset_of(segment), bytes = (off_t)pool->stride;

    if (fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) != 0 ||
        fallocate(pool->fd, 0, offset, bytes) != 0)
        return false;
    segment->lent = false;
    return true;
}

/* Into circulation. */
static void free_segment(struct segment *segment)
{
    struct connection *connection = segment->connection;

    segment->state = SEGMENT_FREE;
    free_map_give(&connection->free, segment->index);
    segment_post_write(&connection->endpoint.pool, segment->index);
}

static void put_aside(struct segment *segment)
{
    struct connection *connection = segment->connection;

    segment->state = SEGMENT_SPENT;
    segment->next_spent = connection->first_spent;
    connection->first_spent = segment->index;
}

/* Some of those that found no pages when they came back. */
static void restore_spent(struct connection *connection)
{
    for (uint32_t i = 0; i < SPENT_STEP && connection->first_spent < connection->endpoint.pool.shape.segments;
         i++) {
        struct segment *segment = &connection->segments[connection->first_spent];

        if (!replace_pages(segment))
            return;
        connection->first_spent = segment->next_spent;
        free_segment(segment);
    }
}

/* ---- looking for the cache ---- */

static void set_timer(struct larder_client *client, uint32_t ms, bool repeat)
{
    struct itimerspec spec = {
        .it_value = {ms / 1000, (long)(ms % 1000) * 1000000},
    };

    if (repeat)
        spec.it_interval = spec.it_value;
    timerfd_settime(client->timer, 0, &spec, NULL);
}

static void retry_later(struct larder_client *client, uint32_t min_ms, uint32_t max_ms)
{
    client->state = CLIENT_SEARCHING;
    set_timer(client, min_ms + randombytes_uniform(max_ms - min_ms + 1), false);
}

/* Before the first WELCOME nothing is lost: the endpoint is still fresh. */
static void greet_later(struct larder_client *client)
{
    client->found_full++;
    if (client->greeted == 0) {
        shard_link_close(&client->links[0], &client->connection->endpoint);
        retry_later(client, RETRY_MIN_MS, RETRY_MAX_MS);
    } else if (client->found_full < GREETING_TRIES) {
        client->hello_waits = true;
        set_timer(client, RETRY_MIN_MS, false);
    } else {
        snprintf(client->problem, sizeof(client->problem), "shard %u of the cache cannot be reached",
                 (unsigned)client->greeted);
        retire_connection(client);
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
    }
}

/* The next shard. A queue that is full: the cache is there and busy. */
static void greet(struct larder_client *client)
{
    struct endpoint *endpoint = &client->connection->endpoint;
    struct shard_link *link = &client->links[client->greeted];
    int patience = client->found_full >= FULL_QUEUE_TRIES ? HELLO_PATIENCE_MS : 0;
    int error = link->command == (mqd_t)-1 ? shard_link_open(link, endpoint, client->greeted) : 0;

    endpoint->drained = client->drained;
    if (!error)
        error = endpoint_hello_to(endpoint, link->command, WIRE_ROLE_PROXY, client->tenant, patience);
    if (error) {
        greet_later(client);
        return;
    }
    client->found_full = 0;
    if (client->greeted == 0 && endpoint->cache_pidfd >= 0)
        watch_fd(client, endpoint->cache_pidfd);
    client->state = CLIENT_GREETING;
    set_timer(client, GREETING_TIMEOUT_MS, false);
}

/* While there is no cache to do it, names of proxies that died are ours to remove. */
static void sweep(struct larder_client *client)
{
    int64_t now = clock_mono_ms();

    if (client->next_sweep_ms > now)
        return;
    endpoint_sweep_step(&client->sweep_place, SWEEP_STEP_NS, client->instance, NULL, NULL);
    if (!client->sweep_place) /* otherwise it goes on with the next attempt */
        client->next_sweep_ms = now + SWEEP_INTERVAL_MS;
}

static void attempt(struct larder_client *client)
{
    sweep(client);
    if (!client->connection && make_connection(client)) {
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
        return;
    }
    struct endpoint *endpoint = &client->connection->endpoint;
    enum endpoint_reach reach = ENDPOINT_REACHED;
    if (endpoint->command == (mqd_t)-1 || !endpoint_cache_lives(endpoint)) {
        endpoint_unreach(endpoint);
        reach = endpoint_reach(endpoint);
    }
    if (reach == ENDPOINT_REACHED) {
        greet(client);
        return;
    }
    snprintf(client->problem, sizeof(client->problem), "%s", endpoint->problem);
    if (reach == ENDPOINT_NO_CACHE)
        retry_later(client, RETRY_MIN_MS, RETRY_MAX_MS);
    else
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
}

/* ---- being attached ---- */

static bool welcome_is_sane(const struct wire_welcome *welcome)
{
    return welcome->heartbeat_ms >= HEARTBEAT_MIN_MS && welcome->max_handles >= 1 &&
           welcome->max_handles < HANDLE_PLACE_MASK && welcome->max_fills >= 1 &&
           welcome->max_fills < HANDLE_PLACE_MASK && welcome->max_follows < HANDLE_PLACE_MASK;
}

static bool make_room_for_deferred(struct larder_client *client, const struct wire_welcome *welcome)
{
    uint32_t room =
        (welcome->max_handles + welcome->max_fills + welcome->max_follows + client->shape.segments) *
        shards_of(client);
    struct silent_request *deferred = realloc(client->deferred, room * sizeof(*deferred));

    if (!deferred)
        return false;
    client->deferred = deferred;
    client->deferred_room = room;
    return true;
}

static bool is_unseen(const struct larder_client *client)
{
    return client->connection->endpoint.cache_pidfd < 0;
}

/* Ticks for the heartbeat, and for what nobody tells us of: the death of a cache that no pidfd watches, room
 * in the ring for requests without an answer, or a registration that was ended while our reply queue was
 * full. */
static void set_attached_timer(struct larder_client *client)
{
    uint32_t period = client->heartbeat_ms;

    if (is_unseen(client) && period > UNSEEN_CHECK_MS)
        period = UNSEEN_CHECK_MS;
    bool waits = client->deferred_count > 0 || client->purges_waiting > 0;
    set_timer(client, waits ? DEFERRED_CHECK_MS : period, true);
}

/* Of the shard that was greeted, and of the same run of the cache as the ones before. */
static bool welcome_is_expected(const struct larder_client *client, const struct wire_welcome *welcome)
{
    return welcome->shard == client->greeted && welcome->shards == shards_of(client) &&
           (client->greeted == 0 || welcome->epoch == client->epoch);
}

static void attach(struct larder_client *client)
{
    client->next_check_ms = clock_mono_ms() + SILENCE_CHECK_MS;
    client->attachment = (client->attachment + (1u << HANDLE_ATTACH_SHIFT)) & HANDLE_ATTACH_MASK;
    client->deferred_count = 0;
    client->purges_waiting = 0;
    client->turn = 0;
    client->relearnt = false;
    client->state = CLIENT_ATTACHED;
    endpoint_sweep_end(&client->sweep_place); /* the cache's from here on */
    client->tell_attached = true;
    client->problem[0] = '\0';
    set_attached_timer(client);
}

static void on_welcome(struct larder_client *client, const struct wire_welcome *welcome)
{
    if (client->state != CLIENT_GREETING)
        return;
    if (!welcome_is_sane(welcome) || !welcome_is_expected(client, welcome) ||
        !make_room_for_deferred(client, welcome)) {
        snprintf(client->problem, sizeof(client->problem), "the cache's welcome makes no sense");
        retire_connection(client);
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
        return;
    }
    client->links[client->greeted].registration = welcome->registration;
    client->epoch = welcome->epoch;
    memcpy(client->shard_key, welcome->shard_key, sizeof(client->shard_key));
    client->max_object = welcome->max_object;
    client->heartbeat_ms =
        welcome->heartbeat_ms < SILENCE_CHECK_MS ? welcome->heartbeat_ms : SILENCE_CHECK_MS;
    if (++client->greeted < shards_of(client))
        greet(client);
    else
        attach(client);
}

/* Segments that the cache had are handed back with LARDER_LOST, so they hold on to the mapping until then. */
static void reclaim_passed_segments(struct larder_client *client)
{
    for (uint32_t i = 0; i < client->operation_count; i++) {
        struct segment *segment = client->operations[i].op ? client->operations[i].segment : NULL;
        if (segment && segment->state == SEGMENT_PASSED) {
            segment->state = SEGMENT_HELD;
            segment->connection->held++;
        }
    }
}

/* The registration is over. Operations under way are answered with LARDER_LOST by larder_client_next(). */
static void lose(struct larder_client *client, const char *why)
{
    snprintf(client->problem, sizeof(client->problem), "%s", why);
    if (client->state == CLIENT_ATTACHED) {
        client->tell_detached = !client->tell_attached;
        client->tell_attached = false;
        client->losing = true;
        client->lost_cursor = 0;
        reclaim_passed_segments(client);
    }
    retire_connection(client);
    retry_later(client, RETRY_MIN_MS, RETRY_MAX_MS);
}

/* An answer to a message that somebody else sent in our name is not for us. */
static bool refusal_is_ours(const struct larder_client *client, const struct wire_refused *refused)
{
    for (uint32_t i = 0; refused->type == WIRE_BELL && i < shards_of(client); i++) {
        if (client->state == CLIENT_ATTACHED && refused->echo == client->links[i].registration)
            return true;
    }
    return refused->type != WIRE_BELL && refused->echo == client->connection->endpoint.secret;
}

static void attempt(struct larder_client *client);

/* The cache has another number of shards than we thought. At once, unless it has told us so before. */
static void relearn_shards(struct larder_client *client, uint32_t shards)
{
    bool again = client->relearnt;

    if (again)
        snprintf(client->problem, sizeof(client->problem), "the cache has %u shards now", (unsigned)shards);
    retire_connection(client);
    client->shape.ring_pairs = shards;
    client->relearnt = true;
    client->state = CLIENT_SEARCHING;
    if (again)
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
    else
        attempt(client);
}

static bool tells_shards(const struct larder_client *client, const struct wire_refused *refused)
{
    return refused->reason == WIRE_REFUSAL_SHARDS && refused->shards >= 1 &&
           refused->shards <= WIRE_MAX_SHARDS && refused->shards != shards_of(client);
}

static void on_refused(struct larder_client *client, const struct wire_refused *refused)
{
    if (!refusal_is_ours(client, refused))
        return;
    if (client->state == CLIENT_ATTACHED && refused->reason == WIRE_REFUSAL_STALE) {
        lose(client, "the cache has ended this registration");
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
    } else if (client->state == CLIENT_GREETING && tells_shards(client, refused)) {
        relearn_shards(client, refused->shards);
    } else if (client->state == CLIENT_GREETING) {
        snprintf(client->problem, sizeof(client->problem), "the cache refused this proxy: %s",
                 wire_refusal_text(refused->reason));
        retire_connection(client);
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
    }
}

/* Only the cache knows the secret. */
static void on_drain(struct larder_client *client, const struct wire_cache_drain *drain)
{
    if (client->state != CLIENT_ATTACHED || drain->secret != client->connection->endpoint.secret)
        return;
    client->drained = drain->flags & WIRE_DRAIN_ON;
    client->tell_drained = true;
}

/* True if there was a message. */
static bool read_message(struct larder_client *client)
{
    union wire_message message;
    int length =
        client->connection ? mq_receive_message(client->connection->endpoint.reply, &message) : -EAGAIN;

    if (length < 0)
        return false;
    switch (wire_decode(&message, (size_t)length)) {
    case WIRE_DECODED:
        if (message.header.type == WIRE_WELCOME)
            on_welcome(client, &message.wire_welcome);
        else if (message.header.type == WIRE_REFUSED)
            on_refused(client, &message.wire_refused);
        else if (message.header.type == WIRE_CACHE_DRAIN)
            on_drain(client, &message.wire_cache_drain);
        break; /* a bell has done its work by waking us */
    case WIRE_BAD_VERSION:
        if (client->state == CLIENT_GREETING) {
            struct wire_refused refused = {
                .type = WIRE_HELLO,
                .reason = WIRE_REFUSAL_VERSION,
                .echo = client->connection->endpoint.secret,
            };
            on_refused(client, &refused);
        }
        break;
    default:
        break;
    }
    return true;
}

static void check_silence(struct larder_client *client)
{
    for (uint32_t i = 0; i < shards_of(client); i++)
        shard_link_check_silence(&client->links[i], &client->connection->endpoint);
}

static void tick(struct larder_client *client)
{
    int64_t now = clock_mono_ms();

    pool_beat(&client->connection->endpoint.pool);
    larder_client_flush(client); /* there may be room in the ring for what was deferred */
    restore_spent(client->connection);
    if (client->state != CLIENT_ATTACHED || now < client->next_check_ms)
        return;
    client->next_check_ms = now + (is_unseen(client) ? UNSEEN_CHECK_MS : SILENCE_CHECK_MS);
    if (endpoint_cache_lives(&client->connection->endpoint))
        check_silence(client);
    else
        lose(client, "the cache is gone");
}

static void on_timer(struct larder_client *client)
{
    uint64_t expirations;

    if (read(client->timer, &expirations, sizeof(expirations)) != sizeof(expirations))
        return;
    switch (client->state) {
    case CLIENT_SEARCHING:
        if (client->losing) /* the caller has not yet heard of the last one's end */
            retry_later(client, RETRY_MIN_MS, RETRY_MAX_MS);
        else
            attempt(client);
        break;
    case CLIENT_GREETING:
        if (client->hello_waits) {
            client->hello_waits = false;
            greet(client);
            break;
        }
        snprintf(client->problem, sizeof(client->problem), "the cache does not answer; is it stopped?");
        retire_connection(client);
        retry_later(client, RETRY_REFUSED_MIN, RETRY_REFUSED_MAX);
        break;
    case CLIENT_ATTACHED:
        tick(client);
        break;
    }
}

static void on_cache_death(struct larder_client *client)
{
    if (client->state != CLIENT_SEARCHING)
        lose(client, "the cache is gone");
}

void larder_client_wake(struct larder_client *client)
{
    struct epoll_event events[4];
    int64_t now = clock_mono_ms();
    /* Has there been time for the cache to die, another to come, and others to change what we keep? */
    bool late = now - client->woken_ms >= (int64_t)RETRY_MIN_MS;

    client->woken_ms = now;
    /* Nearly always a bell: then this is the only system call. */
    if (read_message(client) && !late)
        return;
    int count = epoll_wait(client->watch, events, 4, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == client->timer)
            on_timer(client);
        else if (client->connection && events[i].data.fd == client->connection->endpoint.cache_pidfd)
            on_cache_death(client);
    }
}

/* ---- life of the client ---- */

static int refuse_options(char *problem, size_t size, const char *text)
{
    snprintf(problem, size, "%s", text);
    return -EINVAL;
}

static uint32_t ring_size(uint32_t segments)
{
    uint32_t entries = 64;

    while (entries < segments * 2 + FOLLOWS_ROOM)
        entries *= 2;
    return entries;
}

static int take_options(struct larder_client *client, const struct larder_options *options, char *problem,
                        size_t size)
{
    const char *instance = options->instance ? options->instance : NAMES_DEFAULT;
    const char *tenant = options->tenant ? options->tenant : NAMES_DEFAULT;
    uint64_t bytes;

    if (!names_instance_valid(instance))
        return refuse_options(problem, size,
                              "instance name: 1 to 32 letters, digits, '-' or '_' are allowed");
    if (!names_tenant_valid(tenant))
        return refuse_options(problem, size,
                              "tenant name: 1 to 63 letters, digits, '.', '-' or '_' are allowed");
    memcpy(client->instance, instance, strlen(instance) + 1);
    memcpy(client->tenant, tenant, strlen(tenant) + 1);
    client->shape.segments = options->segments ? options->segments : LARDER_DEFAULT_SEGMENTS;
    client->shape.segment_bytes =
        options->segment_bytes ? options->segment_bytes : LARDER_DEFAULT_SEGMENT_BYTES;
    if (client->shape.segments < LARDER_MIN_SEGMENTS || client->shape.segments > LARDER_MAX_SEGMENTS)
        return refuse_options(problem, size, "number of segments: from 4 to 16384");
    if (client->shape.segment_bytes < LARDER_MIN_SEGMENT_BYTES ||
        client->shape.segment_bytes > LARDER_MAX_SEGMENT_BYTES || client->shape.segment_bytes % 64 != 0)
        return refuse_options(problem, size, "segment size: from 4K to 1M, a multiple of 64 bytes");
    client->shape.ring_entries = ring_size(client->shape.segments);
    client->shape.ring_pairs = 1; /* until a cache says otherwise */
    if (!pool_shape_valid(&client->shape, &bytes))
        return refuse_options(
            problem, size, "the segment pool would be larger than 1 GiB; ask for fewer or smaller segments");
    return 0;
}

static int open_watch(struct larder_client *client)
{
    client->watch = epoll_create1(EPOLL_CLOEXEC);
    if (client->watch < 0)
        return -errno;
    client->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (client->timer < 0)
        return -errno;
    return watch_fd(client, client->timer);
}

static void free_client(struct larder_client *client)
{
    endpoint_sweep_end(&client->sweep_place);
    if (client->timer >= 0)
        close(client->timer);
    if (client->watch >= 0)
        close(client->watch);
    free(client->deferred);
    free(client->operations);
    free(client);
}

static void take_sharing(struct larder_client *client, const struct larder_sharing *sharing)
{
    client->sharing = (struct endpoint_sharing){.shared = sharing->shared,
                                                .group = sharing->group,
                                                .has_cache_user = sharing->has_cache_user,
                                                .cache_user = sharing->cache_user};
}

int larder_client_create(struct larder_client **out, const struct larder_options *options, char *problem,
                         size_t problem_size)
{
    return larder_client_create_shared(out, options, NULL, problem, problem_size);
}

int larder_client_create_shared(struct larder_client **out, const struct larder_options *options,
                                const struct larder_sharing *sharing, char *problem, size_t problem_size)
{
    struct larder_client *client = calloc(1, sizeof(*client));
    int error = -ENOMEM;

    *out = NULL;
    snprintf(problem, problem_size, "out of memory or descriptors");
    if (!client)
        return error;
    client->watch = client->timer = -1;
    for (uint32_t i = 0; i < WIRE_MAX_SHARDS; i++)
        client->links[i].command = (mqd_t)-1;
    if (sharing)
        take_sharing(client, sharing);
    error = take_options(client, options, problem, problem_size);
    if (!error)
        error = open_watch(client);
    if (!error) {
        endpoint_sweep(client->instance, NULL, NULL);
        error = make_connection(client);
        if (error && client->problem[0])
            snprintf(problem, problem_size, "%s", client->problem);
    }
    if (error) {
        free_client(client);
        return error;
    }
    problem[0] = '\0';
    attempt(client); /* the cache may be there already */
    *out = client;
    return 0;
}

static bool next_lost(struct larder_client *client, struct larder_event *event);

/* Those whose LARDER_LOST the caller has not fetched. */
static void return_lost_segments(struct larder_client *client)
{
    struct larder_event event;

    while (client->losing && next_lost(client, &event)) {
        if (event.segment)
            larder_segment_return(client, &event.segment);
    }
}

/* The only place that waits for room in a queue, and not for long: without BYE the cache notices a little
 * later. */
static void say_bye(struct larder_client *client)
{
    struct endpoint *endpoint = &client->connection->endpoint;
    int64_t end = clock_mono_ms() + BYE_PATIENCE_MS;

    for (uint32_t i = 0; i < client->greeted; i++) {
        struct shard_link *link = &client->links[i];
        struct pollfd room = {.fd = link->command, .events = POLLOUT};
        int64_t left = end - clock_mono_ms();

        if (endpoint_bye_to(endpoint, link->command, link->registration) == -EAGAIN && left > 0 &&
            poll(&room, 1, (int)left) == 1)
            (void)endpoint_bye_to(endpoint, link->command, link->registration);
        link->registration = 0;
    }
}

void larder_client_destroy(struct larder_client **pointer)
{
    struct larder_client *client = *pointer;

    *pointer = NULL;
    if (!client)
        return;
    return_lost_segments(client);
    if (client->connection) {
        if (client->state == CLIENT_ATTACHED)
            say_bye(client);
        client->connection->held = 0; /* what the caller still holds becomes invalid */
        retire_connection(client);
    }
    free_client(client);
}

int larder_client_fd(const struct larder_client *client)
{
    return client->watch;
}

bool larder_client_drained(const struct larder_client *client)
{
    return client->drained;
}

bool larder_client_attached(const struct larder_client *client)
{
    return client->state == CLIENT_ATTACHED;
}

uint64_t larder_client_max_object(const struct larder_client *client)
{
    return client->state == CLIENT_ATTACHED ? client->max_object : 0;
}

const char *larder_client_problem(const struct larder_client *client)
{
    return client->problem;
}

/* ---- segments ---- */

/* At `place`; FREE_MAP_NONE: there is none. */
static int borrow(struct larder_client *client, struct larder_segment **out, uint32_t place)
{
    struct connection *connection = client->connection;

    if (place == FREE_MAP_NONE)
        return -EAGAIN;
    struct segment *segment = &connection->segments[place];
    if (!segment_win_write(&connection->endpoint.pool, segment->index)) {
        lose(client, "the cache left a segment in a state that the protocol does not know");
        return -ENOTCONN;
    }
    free_map_take(&connection->free, place);
    connection->held++;
    segment->state = SEGMENT_HELD;
    *out = &segment->public;
    return 0;
}

int larder_segment_borrow(struct larder_client *client, struct larder_segment **out)
{
    *out = NULL;
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    return borrow(client, out, free_map_lowest(&client->connection->free));
}

int larder_segment_borrow_next(struct larder_client *client, struct larder_segment **out, uint32_t *place,
                               uint32_t count)
{
    uint32_t at = *place;
    int error;

    *out = NULL;
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    if (at == 0 || !free_map_has(&client->connection->free, at))
        at = free_map_row(&client->connection->free, count);
    if (at == FREE_MAP_NONE)
        at = free_map_lowest(&client->connection->free);
    error = borrow(client, out, at);
    if (!error)
        *place = at + 1;
    return error;
}

void larder_segment_return(struct larder_client *client, struct larder_segment **pointer)
{
    struct segment *segment = (struct segment *)(void *)*pointer;
    struct connection *connection = segment->connection;

    (void)client;
    *pointer = NULL;
    INVARIANT(segment->state == SEGMENT_HELD && connection->held > 0);
    segment->guard = POOL_STALE;
    connection->held--;
    if (connection->retired) { /* nobody writes into it any more */
        segment->state = SEGMENT_FREE;
        if (connection->held == 0)
            free_connection(connection);
        return;
    }
    if (segment->lent && !replace_pages(segment))
        put_aside(segment);
    else
        free_segment(segment);
}

bool larder_segment_is_current(const struct larder_segment *public)
{
    const struct segment *segment = (const struct segment *)(const void *)public;
    const struct connection *connection = segment->connection;

    return segment->guard != POOL_STALE && !connection->retired &&
           segment_guard(&connection->endpoint.pool, segment->index) == segment->guard &&
           !pool_has_ended(&connection->endpoint.pool);
}

void larder_segment_used(struct larder_segment *public)
{
    const struct segment *segment = (const struct segment *)(const void *)public;

    segment_count_use(&segment->connection->endpoint.pool, segment->index);
}

int larder_segment_file(const struct larder_segment *public, off_t *offset)
{
    const struct segment *segment = (const struct segment *)(const void *)public;

    *offset = offset_of(segment);
    return segment->connection->small_pages ? segment->connection->endpoint.pool.fd : -1;
}

void larder_segment_lent(struct larder_segment *public)
{
    ((struct segment *)(void *)public)->lent = true;
}

/* ---- operations ---- */

static uint64_t public_handle(const struct larder_client *client, uint32_t shard, uint64_t handle)
{
    return handle ? handle | client->attachment | (uint64_t)shard << HANDLE_PLACE_BITS : 0;
}

/* False if the handle belongs to an earlier registration. */
static bool wire_handle(const struct larder_client *client, uint64_t handle, uint32_t *shard, uint64_t *out)
{
    *out = handle & ~(uint64_t)(0xffffffffu & ~HANDLE_PLACE_MASK);
    *shard = (uint32_t)handle >> HANDLE_PLACE_BITS & (WIRE_MAX_SHARDS - 1);
    return handle != 0 && (handle & HANDLE_ATTACH_MASK) == client->attachment && *shard < shards_of(client);
}

/* As many as its completions have room. */
static bool has_room(const struct larder_client *client, uint32_t shard)
{
    return client->first_free_operation < client->operation_count &&
           client->links[shard].under_way < client->shape.ring_entries;
}

/* The entry is not published yet, so the cache cannot look before the semaphore is up. */
static void hand_over(const struct segment_pool *pool, const struct segment *segment, uint8_t op)
{
    if (op == WIRE_OP_READ)
        segment_post_write(pool, segment->index);
    else
        segment_post_read(pool, segment->index);
}

/* A lent segment gets pages that may be written to; there is nothing of the caller's in it. */
static int make_writable(struct segment *segment, uint8_t op)
{
    if (!segment || !segment->lent)
        return 0;
    if (op != WIRE_OP_READ)
        return -EINVAL;
    segment->guard = POOL_STALE;
    return replace_pages(segment) ? 0 : -ENOSPC;
}

static void forget_kept(struct larder_client *client, struct segment *segment, uint32_t shard);

/* Announces an operation with the segment's bytes handed over (or, for READ, its room). */
static int submit(struct larder_client *client, uint32_t shard, struct wire_request *request,
                  struct larder_segment **pointer, void *user)
{
    struct segment *segment = pointer ? (struct segment *)(void *)*pointer : NULL;
    struct shard_link *link = &client->links[shard];
    uint32_t index = client->first_free_operation;

    if (segment && segment->connection != client->connection)
        return -ENOTCONN; /* of an earlier registration: still readable, not usable */
    if (!has_room(client, shard))
        return -EAGAIN;
    int error = make_writable(segment, request->op);
    if (error)
        return error;
    struct operation *operation = &client->operations[index];
    request->registration = link->registration;
    request->segment = segment ? segment->index : WIRE_NO_SEGMENT;
    request->cookie = (uint64_t)operation->generation << 32 | index;
    switch (ring_put(&link->requests, request)) {
    case RING_OK:
        break;
    case RING_NONE:
        return -EAGAIN;
    case RING_BROKEN:
        lose(client, "the cache scribbled over the request ring");
        return -ENOTCONN;
    }
    client->first_free_operation = operation->next_free;
    client->under_way++;
    link->under_way++;
    link->unpublished = true;
    operation->op = request->op;
    operation->shard = (uint8_t)shard;
    operation->user = user;
    operation->offset = request->value;
    operation->segment = segment;
    if (segment) {
        hand_over(&client->connection->endpoint.pool, segment, request->op);
        segment->state = SEGMENT_PASSED;
        segment->guard = POOL_STALE;
        forget_kept(client, segment, shard);
        client->connection->held--;
        *pointer = NULL;
    }
    return 0;
}

/* Whose the key in front of the segment is. */
static uint32_t shard_of(const struct larder_client *client, const struct larder_segment *segment,
                         uint32_t key_length)
{
    return shard_of_key(client->shard_key, shards_of(client), segment->data, key_length);
}

static int check_key(const struct larder_client *client, uint32_t key_length)
{
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    return key_length == 0 || key_length > LARDER_MAX_KEY || key_length > client->shape.segment_bytes
               ? -EINVAL
               : 0;
}

int larder_lookup(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  uint32_t flags, void *user)
{
    struct wire_request request = {
        .op = WIRE_OP_LOOKUP,
        .flags = (uint8_t)flags,
        .key_length = (uint16_t)key_length,
    };
    int error = check_key(client, key_length);

    return error ? error : submit(client, shard_of(client, *segment, key_length), &request, segment, user);
}

int larder_remove(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  void *user)
{
    struct wire_request request = {.op = WIRE_OP_REMOVE, .key_length = (uint16_t)key_length};
    int error = check_key(client, key_length);

    return error ? error : submit(client, shard_of(client, *segment, key_length), &request, segment, user);
}

/* Fills in request->handle and whose it is; 0 or why the operation cannot be. */
static int take_handle(const struct larder_client *client, uint64_t handle, struct wire_request *request,
                       uint32_t *shard)
{
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    return wire_handle(client, handle, shard, &request->handle) ? 0 : -ESTALE;
}

int larder_read(struct larder_client *client, uint64_t handle, uint64_t offset,
                struct larder_segment **segment, uint32_t length, void *user)
{
    struct wire_request request = {.op = WIRE_OP_READ, .value = offset, .length = length};
    uint32_t shard;
    int error = take_handle(client, handle, &request, &shard);

    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_read_meta(struct larder_client *client, uint64_t handle, struct larder_segment **segment,
                     uint32_t length, void *user)
{
    struct wire_request request = {.op = WIRE_OP_READ, .flags = WIRE_READ_META, .length = length};
    uint32_t shard;
    int error = take_handle(client, handle, &request, &shard);

    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_follow(struct larder_client *client, uint64_t follow, uint64_t known, void *user)
{
    struct wire_request request = {.op = WIRE_OP_FOLLOW, .value = known};
    uint32_t shard;
    int error = take_handle(client, follow, &request, &shard);

    return error ? error : submit(client, shard, &request, NULL, user);
}

int larder_fill_begin(struct larder_client *client, const struct larder_fill *fill,
                      struct larder_segment **segment, void *user)
{
    struct wire_request request = {
        .op = WIRE_OP_FILL_BEGIN,
        .value = fill->object_size,
        .key_length = (uint16_t)fill->key_length,
        .flags = fill->lasting ? WIRE_FILL_LASTING : 0,
        .tags_length = (uint16_t)fill->tags_length,
        .meta_length = (uint16_t)fill->meta_length,
        .length = fill->body_length,
        .fresh_until = fill->fresh_until,
        .keep_until = fill->keep_until,
    };
    uint32_t shard = 0;
    int error = check_key(client, fill->key_length);

    if (!error)
        error = take_handle(client, fill->lease, &request, &shard);
    if (!error && (fill->meta_length > WIRE_MAX_META || fill->tags_length > WIRE_TAGS_BYTES ||
                   (uint64_t)fill->key_length + fill->tags_length + fill->meta_length + fill->body_length >
                       client->shape.segment_bytes))
        error = -EINVAL;
    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_fill_data(struct larder_client *client, uint64_t lease, uint64_t offset,
                     struct larder_segment **segment, uint32_t length, void *user)
{
    struct wire_request request = {.op = WIRE_OP_FILL_DATA, .value = offset, .length = length};
    uint32_t shard;
    int error = take_handle(client, lease, &request, &shard);

    if (!error && length > client->shape.segment_bytes)
        error = -EINVAL;
    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_fill_end(struct larder_client *client, uint64_t lease, uint64_t object_size, void *user)
{
    struct wire_request request = {.op = WIRE_OP_FILL_END, .value = object_size};
    uint32_t shard;
    int error = take_handle(client, lease, &request, &shard);

    return error ? error : submit(client, shard, &request, NULL, user);
}

int larder_update_tagged(struct larder_client *client, uint64_t handle, uint64_t lease,
                         struct larder_segment **segment, uint32_t tags_length, uint32_t meta_length,
                         int64_t fresh_until, int64_t keep_until, void *user)
{
    struct wire_request request = {
        .op = WIRE_OP_UPDATE,
        .tags_length = (uint16_t)tags_length,
        .meta_length = (uint16_t)meta_length,
        .fresh_until = fresh_until,
        .keep_until = keep_until,
    };
    uint32_t shard, shard_of_lease;
    int error = take_handle(client, handle, &request, &shard);

    if (!error && (meta_length > WIRE_MAX_META || tags_length > WIRE_TAGS_BYTES ||
                   (uint64_t)tags_length + meta_length > client->shape.segment_bytes))
        error = -EINVAL;
    if (!error && lease && !wire_handle(client, lease, &shard_of_lease, &request.value))
        error = -ESTALE;
    if (!error && lease && shard_of_lease != shard)
        error = -EINVAL; /* not of the same key */
    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_update(struct larder_client *client, uint64_t handle, uint64_t lease,
                  struct larder_segment **segment, uint32_t meta_length, int64_t fresh_until,
                  int64_t keep_until, void *user)
{
    return larder_update_tagged(client, handle, lease, segment, 0, meta_length, fresh_until, keep_until,
                                user);
}

_Static_assert(LARDER_PURGE_KEY == WIRE_PURGE_KEY && LARDER_PURGE_PREFIX == WIRE_PURGE_PREFIX &&
                   LARDER_PURGE_TAGS == WIRE_PURGE_TAGS && LARDER_PURGE_SOFT == WIRE_PURGE_SOFT &&
                   LARDER_MAX_TAGS == WIRE_MAX_TAGS && LARDER_MAX_TAG == WIRE_MAX_TAG &&
                   LARDER_KEY_PART == WIRE_KEY_PART,
               "what is public has the wire's values");

static struct wire_request purge_request(uint32_t flags, uint32_t length)
{
    struct wire_request request = {.op = WIRE_OP_PURGE, .flags = (uint8_t)flags};
    uint32_t scope = flags & WIRE_PURGE_SCOPE;

    request.value = scope == WIRE_PURGE_PREFIX ? WIRE_PURGE_SURE : 0;
    *(scope == WIRE_PURGE_TAGS ? &request.tags_length : &request.key_length) = (uint16_t)length;
    return request;
}

int larder_purge(struct larder_client *client, struct larder_segment **segment, uint32_t length,
                 uint32_t flags, void *user)
{
    struct wire_request request = purge_request(flags, length);
    uint32_t scope = flags & WIRE_PURGE_SCOPE, shard = 0;
    uint32_t most = scope == WIRE_PURGE_TAGS ? WIRE_TAGS_BYTES : WIRE_MAX_KEY;

    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    if (length > most || length > client->shape.segment_bytes || (length == 0 && scope != WIRE_PURGE_PREFIX))
        return -EINVAL;
    if (scope == WIRE_PURGE_KEY)
        shard = shard_of(client, *segment, length);
    struct operation *operation = client->first_free_operation < client->operation_count
                                      ? &client->operations[client->first_free_operation]
                                      : NULL;
    int error = submit(client, shard, &request, segment, user);
    if (!error) {
        operation->purge_flags = (uint8_t)flags;
        operation->purge_length = (uint16_t)length;
        operation->purged = operation->cancelled = 0;
        operation->goes_on = false;
    }
    return error;
}

/* To the shard that is next. False: its ring is full; larder_client_flush() tries again. */
static bool put_purge(struct larder_client *client, struct operation *operation)
{
    struct wire_request request = purge_request(operation->purge_flags, operation->purge_length);
    struct shard_link *link = &client->links[operation->shard];

    request.registration = link->registration;
    request.segment = operation->segment->index;
    request.cookie = (uint64_t)operation->generation << 32 | (uint32_t)(operation - client->operations);
    if (link->under_way == client->shape.ring_entries || ring_put(&link->requests, &request) != RING_OK)
        return false;
    hand_over(&client->connection->endpoint.pool, operation->segment, request.op);
    link->under_way++;
    link->unpublished = true;
    return true;
}

static void put_waiting_purges(struct larder_client *client)
{
    for (uint32_t i = 0; i < client->operation_count && client->purges_waiting > 0; i++) {
        struct operation *operation = &client->operations[i];
        if (!operation->op || !operation->waits || !put_purge(client, operation))
            continue;
        operation->waits = false;
        if (--client->purges_waiting == 0)
            set_attached_timer(client);
    }
}

/* A purge that concerns all shards goes from one to the next, with its segment. */
static void pass_purge_on(struct larder_client *client, struct operation *operation)
{
    operation->shard++;
    if (put_purge(client, operation))
        return;
    operation->waits = true;
    if (client->purges_waiting++ == 0)
        set_attached_timer(client);
}

/* ---- requests without an answer ---- */

/* These leave half of the ring to operations: with none of those under way there would be no event after
 * which a caller that was told -EAGAIN could try again. */
static bool put_silent(struct larder_client *client, const struct silent_request *silent)
{
    struct shard_link *link = &client->links[silent->shard];
    struct ring *requests = &link->requests;
    struct wire_request request = {
        .op = silent->op,
        .flags = silent->flags,
        .segment = silent->segment,
        .registration = link->registration,
        .handle = silent->handle,
        .value = silent->value,
    };

    if (ring_room(requests) <= requests->capacity / 2 || ring_put(requests, &request) != RING_OK)
        return false;
    link->unpublished = true;
    return true;
}

/* A follow handle that was given several times is given back several times: one request tells how often. */
static bool join_deferred(struct larder_client *client, const struct silent_request *silent)
{
    for (uint32_t i = 0; silent->op == WIRE_OP_UNFOLLOW && i < client->deferred_count; i++) {
        struct silent_request *deferred = &client->deferred[i];

        if (deferred->op == silent->op && deferred->shard == silent->shard &&
            deferred->segment == silent->segment && deferred->handle == silent->handle) {
            deferred->value += silent->value;
            return true;
        }
    }
    return false;
}

static void post_silent(struct larder_client *client, struct silent_request silent)
{
    if (client->deferred_count == 0 && put_silent(client, &silent))
        return;
    if (join_deferred(client, &silent))
        return;
    if (client->deferred_count < client->deferred_room) {
        client->deferred[client->deferred_count++] = silent;
        if (client->deferred_count == 1)
            set_attached_timer(client);
    } else /* only a caller that gives the same handle back twice gets here */
    {
        log_error("a handle was released twice");
    }
}

static void send_silent(struct larder_client *client, struct silent_request silent)
{
    uint64_t handle = silent.handle;
    uint32_t shard;

    if (client->state != CLIENT_ATTACHED || !wire_handle(client, handle, &shard, &silent.handle))
        return;
    silent.shard = (uint8_t)shard;
    silent.segment = WIRE_NO_SEGMENT;
    post_silent(client, silent);
}

static bool is_word_of_move(const struct silent_request *silent, uint32_t segment, uint32_t shard)
{
    return silent->op == WIRE_OP_UNFOLLOW && (silent->flags & WIRE_UNFOLLOW_MOVED) &&
           silent->segment == segment && silent->shard == shard;
}

/* The segment goes to that shard now, which ends what it counts as kept there. The word that it had moved
 * must not come after that: it would end what is kept next. */
static void drop_word_of_move(struct larder_client *client, uint32_t segment, uint32_t shard)
{
    for (uint32_t i = 0; i < client->deferred_count; i++) {
        struct silent_request *deferred = &client->deferred[i];

        if (!is_word_of_move(deferred, segment, shard))
            continue;
        client->deferred_count--;
        memmove(deferred, deferred + 1, (client->deferred_count - i) * sizeof(*deferred));
        if (client->deferred_count == 0)
            set_attached_timer(client);
        return;
    }
}

/* The shard that answered notices by itself when a segment that it counts as kept is used for something else;
 * another one has to be told. */
static void forget_kept(struct larder_client *client, struct segment *segment, uint32_t shard)
{
    uint8_t keeper = segment->kept_by;

    if (client->deferred_count > 0)
        drop_word_of_move(client, segment->index, shard);
    segment->kept_by = NOBODY;
    if (keeper != NOBODY && keeper != shard)
        post_silent(client, (struct silent_request){.op = WIRE_OP_UNFOLLOW,
                                                    .flags = WIRE_UNFOLLOW_MOVED,
                                                    .shard = keeper,
                                                    .segment = segment->index});
}

void larder_release(struct larder_client *client, uint64_t handle)
{
    send_silent(client, (struct silent_request){.op = WIRE_OP_RELEASE, .handle = handle});
}

void larder_fill_abort(struct larder_client *client, uint64_t lease)
{
    send_silent(client, (struct silent_request){.op = WIRE_OP_FILL_ABORT, .handle = lease});
}

void larder_fill_discard(struct larder_client *client, uint64_t lease)
{
    send_silent(client, (struct silent_request){
                            .op = WIRE_OP_FILL_ABORT, .flags = WIRE_ABORT_DISCARD, .handle = lease});
}

void larder_fill_keep(struct larder_client *client, uint64_t lease)
{
    send_silent(client,
                (struct silent_request){.op = WIRE_OP_FILL_ABORT, .flags = WIRE_ABORT_KEEP, .handle = lease});
}

void larder_unfollow(struct larder_client *client, uint64_t follow)
{
    send_silent(client, (struct silent_request){.op = WIRE_OP_UNFOLLOW, .handle = follow, .value = 1});
}

static void put_deferred(struct larder_client *client)
{
    uint32_t done = 0;

    while (done < client->deferred_count && put_silent(client, &client->deferred[done]))
        done++;
    client->deferred_count -= done;
    memmove(client->deferred, client->deferred + done, client->deferred_count * sizeof(*client->deferred));
    if (client->deferred_count == 0)
        set_attached_timer(client);
}

void larder_client_flush(struct larder_client *client)
{
    if (client->state != CLIENT_ATTACHED)
        return;
    if (client->deferred_count > 0)
        put_deferred(client);
    if (client->purges_waiting > 0)
        put_waiting_purges(client);
    for (uint32_t i = 0; i < shards_of(client); i++) {
        if (client->links[i].unpublished)
            shard_link_publish(&client->links[i], &client->connection->endpoint);
    }
}

/* ---- events ---- */

static void free_operation(struct larder_client *client, struct operation *operation)
{
    operation->op = 0;
    operation->generation++;
    operation->segment = NULL;
    operation->waits = false;
    operation->next_free = client->first_free_operation;
    client->first_free_operation = (uint32_t)(operation - client->operations);
    client->under_way--;
}

/* The segment is the caller's again. */
static void give_back(struct segment *segment, struct larder_event *event)
{
    segment->state = SEGMENT_HELD;
    segment->connection->held++;
    event->segment = &segment->public;
}

static bool next_lost(struct larder_client *client, struct larder_event *event)
{
    while (client->lost_cursor < client->operation_count) {
        struct operation *operation = &client->operations[client->lost_cursor++];
        if (operation->op == 0)
            continue;
        *event = (struct larder_event){
            .kind = kind_map[operation->op],
            .status = LARDER_LOST,
            .user = operation->user,
            .segment = operation->segment ? &operation->segment->public : NULL,
        };
        free_operation(client, operation);
        return true;
    }
    client->losing = false;
    return false;
}

static bool next_announcement(struct larder_client *client, struct larder_event *event)
{
    *event = (struct larder_event){.kind = LARDER_EVENT_DETACHED};
    if (client->tell_detached) {
        client->tell_detached = false;
        return true;
    }
    event->kind = LARDER_EVENT_ATTACHED;
    if (client->tell_attached) {
        client->tell_attached = false;
        return true;
    }
    event->kind = client->drained ? LARDER_EVENT_DRAIN : LARDER_EVENT_UNDRAIN;
    if (client->tell_drained) {
        client->tell_drained = false;
        return true;
    }
    return false;
}

static struct operation *find_operation(const struct larder_client *client, uint32_t shard,
                                        const struct wire_completion *completion)
{
    uint32_t index = (uint32_t)completion->cookie;

    if (completion->registration != client->links[shard].registration || index >= client->operation_count)
        return NULL;
    struct operation *operation = &client->operations[index];
    return operation->op != 0 && operation->generation == completion->cookie >> 32 &&
                   operation->shard == shard && !operation->waits
               ? operation
               : NULL;
}

/* Wins the segment back: to read if the cache wrote into it, else to write. */
static bool win_back(struct larder_client *client, const struct segment *segment,
                     const struct wire_completion *completion)
{
    const struct segment_pool *pool = &client->connection->endpoint.pool;

    if (completion->flags & WIRE_HAS_DATA)
        return segment_win_read(pool, segment->index) &&
               (uint64_t)completion->meta_length + completion->length <= pool->shape.segment_bytes;
    return segment_win_write(pool, segment->index) || segment_win_read(pool, segment->index);
}

static void take_names(const struct larder_client *client, const struct operation *operation,
                       const struct wire_completion *completion, struct larder_event *event)
{
    uint64_t lease = public_handle(client, operation->shard, completion->lease);

    event->handle = public_handle(client, operation->shard, completion->handle);
    if (completion->flags & WIRE_FOLLOWS)
        event->follow = lease;
    else
        event->lease = lease;
    if (completion->op == WIRE_OP_FOLLOW) {
        event->filled = completion->filled;
        event->promoted = completion->flags & WIRE_PROMOTED;
        event->broken = completion->flags & WIRE_BROKEN;
        event->changed = completion->flags & WIRE_CHANGED;
    } else if (completion->op == WIRE_OP_PURGE) {
        event->purged = operation->purged;
        event->cancelled = operation->cancelled;
        event->goes_on = operation->goes_on;
    } else {
        event->fresh_until = completion->fresh_until;
        event->lapsed = completion->flags & WIRE_LAPSED;
    }
}

/* The word is read before what stands in the segment is used, so that whatever changes later is noticed. */
static void keep(struct segment *segment, uint32_t shard, const struct wire_completion *completion,
                 struct larder_event *event)
{
    if (!(completion->flags & WIRE_KEPT))
        return;
    segment->kept_by = (uint8_t)shard;
    segment->guard = segment_guard(&segment->connection->endpoint.pool, segment->index);
    event->kept = segment->guard != POOL_STALE;
}

enum delivery { DELIVERY_EVENT, DELIVERY_NONE /* there is more to be done for it */, DELIVERY_LIE };

/* Adds up what the shards say. True: there is another to be asked. One that cannot do its part ends it. */
static bool purge_goes_on(struct larder_client *client, struct operation *operation,
                          const struct wire_completion *completion)
{
    operation->purged += completion->object_size;
    operation->cancelled += completion->cancelled;
    operation->goes_on |= (completion->flags & WIRE_GOES_ON) != 0;
    if (completion->status != WIRE_STATUS_OK || operation->shard + 1u == shards_of(client) ||
        (operation->purge_flags & WIRE_PURGE_SCOPE) == WIRE_PURGE_KEY)
        return false;
    pass_purge_on(client, operation);
    return true;
}

static enum delivery deliver(struct larder_client *client, uint32_t shard,
                             const struct wire_completion *completion, struct larder_event *event)
{
    struct operation *operation = find_operation(client, shard, completion);

    if (!operation || completion->op != operation->op || completion->status >= WIRE_STATUS_END)
        return DELIVERY_LIE;
    struct segment *segment = operation->segment;
    if (segment && !win_back(client, segment, completion))
        return DELIVERY_LIE;
    client->links[shard].under_way--;
    if (operation->op == WIRE_OP_PURGE && purge_goes_on(client, operation, completion))
        return DELIVERY_NONE;
    *event = (struct larder_event){
        .kind = kind_map[operation->op],
        .status = status_map[completion->status],
        .user = operation->user,
        .offset = operation->op == WIRE_OP_READ ? operation->offset : 0,
        .object_size = completion->object_size,
    };
    take_names(client, operation, completion, event);
    if (segment)
        give_back(segment, event);
    if (segment && (completion->flags & WIRE_HAS_DATA)) {
        event->meta_length = completion->meta_length;
        event->length = completion->length;
        keep(segment, shard, completion, event);
    }
    free_operation(client, operation);
    return DELIVERY_EVENT;
}

/* Of one shard until it has none, then of the next. False: none of them has. */
static bool next_completion(struct larder_client *client, struct larder_event *event)
{
    enum ring_result result = RING_NONE;
    enum delivery delivery = DELIVERY_NONE;
    struct wire_completion completion;

    for (uint32_t empty = 0; empty < shards_of(client) && delivery == DELIVERY_NONE;) {
        struct shard_link *link = &client->links[client->turn];
        result = link->under_way > 0 ? shard_link_take(link, &completion) : RING_NONE;
        if (result == RING_BROKEN)
            break;
        if (result == RING_OK) {
            delivery = deliver(client, client->turn, &completion, event);
        } else {
            client->turn = client->turn + 1 < shards_of(client) ? client->turn + 1 : 0;
            empty++;
        }
    }
    if (result != RING_BROKEN && delivery != DELIVERY_LIE)
        return delivery == DELIVERY_EVENT;
    lose(client, "the cache sent what the protocol does not know");
    return larder_client_next(client, event);
}

bool larder_client_next(struct larder_client *client, struct larder_event *event)
{
    if (client->losing && next_lost(client, event))
        return true;
    if (next_announcement(client, event))
        return true;
    if (client->state != CLIENT_ATTACHED || client->under_way == 0)
        return false;
    if (client->armed) {
        ring_disarm(&client->links[0].completions);
        client->armed = false;
    }
    return next_completion(client, event);
}

bool larder_client_has_answer(const struct larder_client *client)
{
    if (client->state != CLIENT_ATTACHED || client->under_way == 0)
        return false;
    for (uint32_t i = 0; i < shards_of(client); i++)
        if (ring_has_more(&client->links[i].completions))
            return true;
    return false;
}

bool larder_client_may_sleep(struct larder_client *client)
{
    if (client->losing || client->tell_attached || client->tell_detached)
        return false;
    if (client->state != CLIENT_ATTACHED || client->under_way == 0)
        return true;
    client->armed = true;
    bool empty = ring_arm(&client->links[0].completions);
    for (uint32_t i = 1; i < shards_of(client) && empty; i++)
        empty = ring_arm_too(&client->links[i].completions);
    return empty;
}
