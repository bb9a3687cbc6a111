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
#include "client_internal.h"
#include "larder.h"

#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How long until the next attempt: a random time in between, so that many proxies do not come at once. */
#define RETRY_MIN_MS        50u
#define RETRY_MAX_MS        250u
#define RETRY_REFUSED_MIN   500u
#define RETRY_REFUSED_MAX   1500u
#define GREETING_TIMEOUT_MS 1000u
#define GREETING_TRIES      20u
#define GREETING_PATIENCE   10u /* time-outs, of a cache that lives and reads nothing */
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
#define FOLLOWS_ROOM        256u /* operations that may wait for news without being in the way of others */
/* A cache that was killed cannot say so. Who was attached to it comes to the next one no sooner than
 * RETRY_MIN_MS later; less what the coarse clock may lag behind. */
#define LOOK_AGAIN_MS       ((int64_t)RETRY_MIN_MS - 10)
#define UNSEEN_CHECK_MS     100u /* a cache that no pidfd watches: is its lock still held? */

_Static_assert(LARDER_MAX_SEGMENTS == POOL_MAX_SEGMENTS &&
                   LARDER_MAX_SEGMENT_BYTES == POOL_MAX_SEGMENT_BYTES &&
                   LARDER_MIN_SEGMENT_BYTES == POOL_MIN_SEGMENT_BYTES,
               "public limits are those of the pool");

/* ---- connections ---- */

void client_free_connection(struct connection *connection)
{
    segment_pool_destroy(&connection->endpoint.pool);
    free_map_teardown(&connection->free);
    free(connection->segments);
    free(connection);
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

/* Names and what nobody holds go now, the rest with the last held segment. */
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
        client_free_connection(connection);
    else
        client_free_pages(connection);
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
    connection->client = client;
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
        client_free_connection(connection);
        return error;
    }
    error = client_number_segments(connection) ? watch_fd(client, connection->endpoint.reply) : -ENOMEM;
    if (error) {
        snprintf(client->problem, sizeof(client->problem), "cannot watch the reply queue: %s",
                 strerror(-error));
        endpoint_retire(&connection->endpoint);
        client_free_connection(connection);
        return error;
    }
    client->connection = connection;
    return 0;
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
    client->unanswered = 0;
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
    if (client->deferred_count > 0 || client->purges_waiting > 0)
        period = DEFERRED_CHECK_MS;
    if (client->tick_ms != period)
        set_timer(client, period, true);
    client->tick_ms = period;
}

/* Begins anew at most once a tick: else those who always have something waiting would never tick. */
void client_tick_soon(struct larder_client *client)
{
    if (client->tick_ms > DEFERRED_CHECK_MS)
        set_attached_timer(client);
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
    client->tick_ms = 0;
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

void client_lose(struct larder_client *client, const char *why)
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
        client_lose(client, "the cache has ended this registration");
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
    if (client->state != CLIENT_ATTACHED)
        return;
    client_restore_spent(client->connection);
    set_attached_timer(client);
    if (now < client->next_check_ms)
        return;
    client->next_check_ms = now + (is_unseen(client) ? UNSEEN_CHECK_MS : SILENCE_CHECK_MS);
    if (endpoint_cache_lives(&client->connection->endpoint))
        check_silence(client);
    else
        client_lose(client, "the cache is gone");
}

/* Stopped, or starved: our HELLO lies in its queue, and is as good as a new one, which would cost a new pool.
 */
static bool may_answer_yet(struct larder_client *client)
{
    struct mq_attr queue;

    return client->unanswered++ < GREETING_PATIENCE && endpoint_cache_lives(&client->connection->endpoint) &&
           mq_getattr(client->links[client->greeted].command, &queue) == 0 && queue.mq_curmsgs > 0;
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
        if (may_answer_yet(client)) {
            set_timer(client, GREETING_TIMEOUT_MS, false);
            break;
        }
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
        client_lose(client, "the cache is gone");
}

bool client_is_late(int64_t looked_ms)
{
    return clock_mono_coarse_ms() - looked_ms >= LOOK_AGAIN_MS;
}

void client_check_cache(struct larder_client *client)
{
    struct endpoint *endpoint = &client->connection->endpoint;
    struct pollfd cache = {.fd = endpoint->cache_pidfd, .events = POLLIN};

    client->checked_ms = clock_mono_ms();
    if (is_unseen(client) ? !endpoint_cache_lives(endpoint) : poll(&cache, 1, 0) == 1)
        client_lose(client, "the cache is gone");
}

void larder_client_wake(struct larder_client *client)
{
    struct epoll_event events[4];

    /* Nearly always a bell: then this is the only system call. */
    if (read_message(client) && !client_is_late(client->looked_ms))
        return;
    client->looked_ms = client->checked_ms = clock_mono_ms();
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

/* Those whose LARDER_LOST the caller has not fetched. */
static void return_lost_segments(struct larder_client *client)
{
    struct larder_event event;

    while (client->losing && client_next_lost(client, &event)) {
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
