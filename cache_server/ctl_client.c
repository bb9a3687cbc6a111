#include "ctl_client.h"

#include "clock.h"
#include "ctl_merge.h"
#include "shard_key.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MS      50
#define PING_AGAIN_MS 500

static const struct pool_shape shape = {.segments = 1, .segment_bytes = 65536, .ring_entries = POOL_MIN_RING};

static enum ctl_status fail(struct ctl_client *client, enum ctl_status status, const char *text)
{
    snprintf(client->problem, sizeof(client->problem), "%s", text);
    return status;
}

enum ctl_status ctl_open(struct ctl_client *client, const char *instance, double timeout,
                         const struct endpoint_sharing *sharing)
{
    *client = (struct ctl_client){.instance = instance, .timeout = timeout, .shards = 1};
    client->error = endpoint_create(&client->endpoint, instance, &shape);
    if (client->error)
        return fail(client, CTL_FAILED, client->endpoint.problem);
    client->error = sharing ? endpoint_share(&client->endpoint, sharing) : 0;
    if (client->error) {
        fail(client, CTL_REFUSED, client->endpoint.problem);
        endpoint_destroy(&client->endpoint);
        return CTL_REFUSED;
    }
    enum endpoint_reach result = endpoint_reach(&client->endpoint);
    if (result == ENDPOINT_REACHED) {
        client->links[0].command = client->endpoint.command;
        client->deadline_ms = clock_mono_ms() + (int64_t)(timeout * 1000);
        return CTL_DONE;
    }
    endpoint_destroy(&client->endpoint);
    return fail(client, result == ENDPOINT_NO_CACHE ? CTL_NO_CACHE : CTL_REFUSED, client->endpoint.problem);
}

void ctl_close(struct ctl_client *client)
{
    for (uint32_t i = 0; i < client->shards; i++) {
        if (client->links[i].registration)
            (void)endpoint_bye_to(&client->endpoint, client->links[i].command, client->links[i].registration);
        if (i > 0 && client->links[i].registration)
            mq_close(client->links[i].command);
        client->links[i].registration = 0;
    }
    endpoint_destroy(&client->endpoint);
    free(client->rows);
    free(client->top_rows);
    client->rows = NULL;
    client->top_rows = NULL;
    client->top_count = 0;
    client->row_count = 0;
}

static enum ctl_status interrupted(struct ctl_client *client)
{
    client->interrupted = true;
    return fail(client, CTL_FAILED, "interrupted");
}

/* Waits for `events` on the queue, the cache's death or the deadline. */
static enum ctl_status wait_for(struct ctl_client *client, mqd_t queue, short events)
{
    struct pollfd fds[] = {{.fd = queue, .events = events},
                           {.fd = client->endpoint.cache_pidfd, .events = POLLIN}};
    int64_t left = client->deadline_ms - clock_mono_ms();

    struct timespec limit = {left / 1000, left % 1000 * 1000000};
    sigset_t none;

    sigemptyset(&none); /* whatever interrupts may do so now */
    int ready = left > 0 ? ppoll(fds, 2, &limit, &none) : 0;

    if (ready < 0)
        return interrupted(client);
    if (ready == 0)
        return fail(client, CTL_NO_CACHE, "the cache does not answer in time; see --timeout");
    if (!(fds[0].revents) && fds[1].revents)
        return fail(client, CTL_NO_CACHE, "the cache has just ended");
    return CTL_DONE;
}

static bool cache_has_ended(const struct ctl_client *client)
{
    struct pollfd death = {.fd = client->endpoint.cache_pidfd, .events = POLLIN};

    return poll(&death, 1, 0) == 1;
}

/* Somebody may keep the command queue full. So we wait in its line (mq.h), a slice at a time, because the
 * cache may end meanwhile. CTL_DONE: try again. */
static enum ctl_status found_no_room(struct ctl_client *client, int error)
{
    if (error != -ETIMEDOUT)
        return fail(client, CTL_FAILED, strerror(-error));
    if (cache_has_ended(client))
        return fail(client, CTL_NO_CACHE, "the cache has just ended");
    if (clock_mono_ms() >= client->deadline_ms)
        return fail(client, CTL_NO_CACHE, "the cache does not read its queue in time; see --timeout");
    return CTL_DONE;
}

static enum ctl_status send(struct ctl_client *client, const union wire_message *message)
{
    enum ctl_status status = CTL_DONE;
    int error;

    while (!status && (error = mq_send_patiently(client->links[client->at].command, message,
                                                 message->header.length, SLICE_MS)) != 0)
        status = found_no_room(client, error);
    return status;
}

static enum ctl_status refused(struct ctl_client *client, uint32_t reason)
{
    client->refusal = reason;
    return fail(client, CTL_REFUSED, wire_refusal_text(reason));
}

/* Receives the answer of that type; a refusal is explained. */
static enum ctl_status receive(struct ctl_client *client, enum wire_type type, union wire_message *message)
{
    for (;;) {
        enum ctl_status status = wait_for(client, client->endpoint.reply, POLLIN);
        if (status)
            return status;
        int length = mq_receive_message(client->endpoint.reply, message);
        if (length < 0)
            continue;
        enum wire_decoded decoded = wire_decode(message, (size_t)length);
        if (decoded == WIRE_BAD_VERSION) {
            client->cache_version = message->header.version;
            return refused(client, WIRE_REFUSAL_VERSION);
        }
        if (decoded != WIRE_DECODED)
            continue;
        if (message->header.type == WIRE_REFUSED && message->wire_refused.echo == client->endpoint.secret)
            return refused(client, message->wire_refused.reason);
        if (message->header.type == type)
            return CTL_DONE;
    }
}

static enum ctl_status ask(struct ctl_client *client, const union wire_message *question, enum wire_type type,
                           union wire_message *reply)
{
    client->refusal = WIRE_REFUSAL_NONE;
    enum ctl_status status = send(client, question);

    return status ? status : receive(client, type, reply);
}

static enum ctl_status ping_once(struct ctl_client *client, struct wire_pong *pong, int64_t *answered_us)
{
    union wire_message question, reply;
    int64_t start = clock_mono_us();

    wire_prepare(&question, WIRE_PING, client->endpoint.token);
    question.wire_ping.cookie = client->endpoint.secret;
    enum ctl_status status = ask(client, &question, WIRE_PONG, &reply);
    if (status)
        return status;
    *answered_us = clock_mono_us() - start;
    *pong = reply.wire_pong;
    if (pong->shards < 1 || pong->shards > WIRE_MAX_SHARDS)
        pong->shards = 1;
    return CTL_DONE;
}

/* Again and again: a cache with much to do leaves some of those unanswered whom it does not know. */
enum ctl_status ctl_ping(struct ctl_client *client, struct wire_pong *pong, int64_t *answered_us)
{
    int64_t deadline = client->deadline_ms, now;
    enum ctl_status status;

    do {
        now = clock_mono_ms();
        client->deadline_ms = deadline < now + PING_AGAIN_MS ? deadline : now + PING_AGAIN_MS;
        status = ping_once(client, pong, answered_us);
    } while (status == CTL_NO_CACHE && clock_mono_ms() < deadline && !cache_has_ended(client));
    client->deadline_ms = deadline;
    return status;
}

/* With the shard that is asked, whose queue is open. */
static enum ctl_status greet(struct ctl_client *client, struct wire_welcome *welcome)
{
    mqd_t command = client->links[client->at].command;
    union wire_message reply;
    enum ctl_status status = CTL_DONE;
    int error;

    while (!status && (error = endpoint_hello_to(&client->endpoint, command, WIRE_ROLE_ADMIN, NAMES_DEFAULT,
                                                 SLICE_MS)) != 0)
        status = found_no_room(client, error);
    if (!status)
        status = receive(client, WIRE_WELCOME, &reply);
    if (!status)
        *welcome = reply.wire_welcome;
    return status;
}

static enum ctl_status register_with(struct ctl_client *client, uint32_t shard)
{
    struct wire_welcome welcome;

    client->at = shard;
    if (shard > 0 && endpoint_reach_shard(&client->endpoint, shard, &client->links[shard].command))
        return fail(client, CTL_NO_CACHE, "a shard of the cache has no queue; see `cache_ctl doctor`");
    enum ctl_status status = greet(client, &welcome);
    if (!status && (welcome.shard != shard || welcome.shards < 1 || welcome.shards > WIRE_MAX_SHARDS))
        status = fail(client, CTL_FAILED, "the cache's welcome makes no sense");
    if (status && shard > 0)
        mq_close(client->links[shard].command);
    if (status)
        return status;
    client->links[shard].registration = welcome.registration;
    client->shards = welcome.shards;
    memcpy(client->shard_key, welcome.shard_key, sizeof(client->shard_key));
    return CTL_DONE;
}

/* With every shard, once; it stays so until ctl_close(). */
static enum ctl_status register_admin(struct ctl_client *client)
{
    enum ctl_status status = CTL_DONE;

    for (uint32_t i = 0; i < client->shards && !status; i++) {
        if (!client->links[i].registration)
            status = register_with(client, i);
    }
    client->at = 0;
    return status;
}

/* Each shard; one that does not know the tenant has nothing of it, if another does. */
static enum ctl_status ask_all(struct ctl_client *client,
                               enum ctl_status (*ask_one)(struct ctl_client *, void *context), void *context)
{
    enum ctl_status status = register_admin(client);
    bool any = false;

    for (uint32_t i = 0; i < client->shards && !status; i++) {
        client->at = i;
        status = ask_one(client, context);
        any |= status == CTL_DONE;
        if (status == CTL_REFUSED && client->refusal == WIRE_REFUSAL_NO_TENANT &&
            (any || i + 1 < client->shards))
            status = CTL_DONE;
    }
    client->at = 0;
    return status;
}

/* A question to the shard that is asked, with what proves that it is ours: fields of the same message. */
static void prepare(const struct ctl_client *client, union wire_message *question, enum wire_type type,
                    uint64_t *registration, uint64_t *secret)
{
    wire_prepare(question, type, client->endpoint.token);
    *registration = client->links[client->at].registration;
    *secret = client->endpoint.secret;
}

static enum ctl_status take_rows(struct ctl_client *client, uint32_t count)
{
    struct segment_pool *pool = &client->endpoint.pool;

    if (count > pool->shape.segment_bytes / sizeof(struct wire_row) || !segment_win_read(pool, 0))
        return fail(client, CTL_FAILED, "the cache answered without statistics");
    struct wire_row *rows = realloc(client->rows, (client->row_count + count + 1) * sizeof(*rows));
    if (!rows)
        return fail(client, CTL_FAILED, "out of memory");
    memcpy(rows + client->row_count, segment_payload(pool, 0), count * sizeof(*rows));
    client->rows = rows;
    client->row_count += count;
    segment_post_write(pool, 0);
    return CTL_DONE;
}

static enum ctl_status fetch_rows(struct ctl_client *client, void *context)
{
    union wire_message question, reply;
    size_t before = client->row_count;
    uint32_t cursor = 0;

    (void)context;
    do {
        prepare(client, &question, WIRE_STATS, &question.wire_stats.registration,
                &question.wire_stats.secret);
        question.wire_stats.cursor = cursor;
        enum ctl_status status = ask(client, &question, WIRE_STATS_ROWS, &reply);
        if (!status)
            status = take_rows(client, reply.wire_stats_rows.rows);
        if (status)
            return status;
        cursor = reply.wire_stats_rows.next_cursor;
    } while (cursor != 0);
    for (size_t i = before; i < client->row_count; i++)
        client->rows[i].name[sizeof(client->rows[i].name) - 1] = '\0';
    if (client->at > 0)
        client->row_count = ctl_merge_rows(client->rows, before, client->row_count);
    return CTL_DONE;
}

enum ctl_status ctl_stats(struct ctl_client *client)
{
    client->deadline_ms = clock_mono_ms() + (int64_t)(client->timeout * 1000);
    client->row_count = 0;
    return ask_all(client, fetch_rows, NULL);
}

static enum ctl_status take_problems(struct ctl_client *client, const struct wire_reloaded *reloaded,
                                     char **problems)
{
    struct segment_pool *pool = &client->endpoint.pool;

    if (reloaded->length > pool->shape.segment_bytes || !segment_win_read(pool, 0))
        return fail(client, CTL_FAILED, "the cache answered without its reasons");
    *problems = malloc((size_t)reloaded->length + 1);
    if (!*problems)
        return fail(client, CTL_FAILED, "out of memory");
    memcpy(*problems, segment_payload(pool, 0), reloaded->length);
    (*problems)[reloaded->length] = '\0';
    segment_post_write(pool, 0);
    if (reloaded->problems == 0)
        return CTL_DONE;
    snprintf(client->problem, sizeof(client->problem), "the configuration is not applied: %u problem%s",
             reloaded->problems, reloaded->problems == 1 ? "" : "s");
    return CTL_REFUSED;
}

enum ctl_status ctl_reload(struct ctl_client *client, char **problems)
{
    union wire_message question, reply;
    enum ctl_status status = register_admin(client);

    *problems = NULL;
    if (status)
        return status;
    prepare(client, &question, WIRE_RELOAD, &question.wire_reload.registration, &question.wire_reload.secret);
    status = ask(client, &question, WIRE_RELOADED, &reply);
    return status ? status : take_problems(client, &reply.wire_reloaded, problems);
}

enum ctl_status ctl_rest(struct ctl_client *client, double seconds)
{
    struct pollfd death = {.fd = client->endpoint.cache_pidfd, .events = POLLIN};
    struct timespec time = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    sigset_t none;

    sigemptyset(&none);
    int ready = ppoll(&death, 1, &time, &none);
    if (ready < 0)
        return interrupted(client);
    return ready > 0 ? fail(client, CTL_NO_CACHE, "the cache has just ended") : CTL_DONE;
}

/* ---- a question in a segment ---- */

static enum ctl_status put_question(struct ctl_client *client, const void *bytes, uint32_t length)
{
    struct segment_pool *pool = &client->endpoint.pool;

    if (length > pool->shape.segment_bytes || !segment_win_write(pool, 0))
        return fail(client, CTL_FAILED, "no segment to put the question in");
    memcpy(segment_payload(pool, 0), bytes, length);
    segment_post_read(pool, 0);
    return CTL_DONE;
}

/* Copies `length` bytes that the cache has put into the segment. */
static enum ctl_status take_answer(struct ctl_client *client, void *out, size_t length)
{
    struct segment_pool *pool = &client->endpoint.pool;

    if (length > pool->shape.segment_bytes || !segment_win_read(pool, 0))
        return fail(client, CTL_FAILED, "the cache answered without what was asked for");
    memcpy(out, segment_payload(pool, 0), length);
    segment_post_write(pool, 0);
    return CTL_DONE;
}

/* ---- the most used ---- */

static enum ctl_status take_top_rows(struct ctl_client *client, uint32_t count)
{
    if (count > client->endpoint.pool.shape.segment_bytes / sizeof(struct wire_top_row))
        return fail(client, CTL_FAILED, "the cache answered with more than there is room for");
    struct wire_top_row *rows = realloc(client->top_rows, (client->top_count + count + 1) * sizeof(*rows));
    if (!rows)
        return fail(client, CTL_FAILED, "out of memory");
    client->top_rows = rows;
    enum ctl_status status = take_answer(client, rows + client->top_count, count * sizeof(*rows));
    for (uint32_t i = 0; !status && i < count; i++) {
        struct wire_top_row *row = &rows[client->top_count++];
        row->tenant[sizeof(row->tenant) - 1] = '\0';
        if (row->text_length > sizeof(row->text))
            row->text_length = sizeof(row->text);
    }
    return status;
}

struct top_question {
    const char *tenant;
    uint32_t most;
};

static enum ctl_status fetch_top(struct ctl_client *client, void *context)
{
    const struct top_question *asked = context;
    union wire_message question, reply;
    size_t before = client->top_count;
    uint32_t cursor = 0;

    do {
        prepare(client, &question, WIRE_TOP, &question.wire_top.registration, &question.wire_top.secret);
        question.wire_top.most = asked->most;
        question.wire_top.cursor = cursor;
        snprintf(question.wire_top.tenant, sizeof(question.wire_top.tenant), "%s",
                 asked->tenant ? asked->tenant : "");
        enum ctl_status status = ask(client, &question, WIRE_TOP_ROWS, &reply);
        if (!status)
            status = take_top_rows(client, reply.wire_top_rows.rows);
        if (status)
            return status;
        cursor = reply.wire_top_rows.next_cursor;
    } while (cursor != 0);
    if (client->at > 0)
        client->top_count = ctl_merge_top(client->top_rows, before, client->top_count, asked->most);
    return CTL_DONE;
}

enum ctl_status ctl_top(struct ctl_client *client, const char *tenant, uint32_t most)
{
    struct top_question asked = {tenant, most};

    return ask_all(client, fetch_top, &asked);
}

/* ---- one key ---- */

enum ctl_status ctl_show(struct ctl_client *client, const char *tenant, const void *key, uint32_t length,
                         struct wire_shown *shown, uint8_t meta[CTL_META_BYTES])
{
    union wire_message question, reply;
    enum ctl_status status = register_admin(client);

    client->at = shard_of_key(client->shard_key, client->shards, key, length);
    if (!status)
        status = put_question(client, key, length);
    if (status)
        return status;
    prepare(client, &question, WIRE_SHOW, &question.wire_show.registration, &question.wire_show.secret);
    question.wire_show.length = length;
    snprintf(question.wire_show.tenant, sizeof(question.wire_show.tenant), "%s", tenant);
    status = ask(client, &question, WIRE_SHOWN, &reply);
    if (status)
        return status;
    *shown = reply.wire_shown;
    shown->policy[sizeof(shown->policy) - 1] = shown->queue[sizeof(shown->queue) - 1] = '\0';
    if (shown->meta_length > CTL_META_BYTES)
        shown->meta_length = CTL_META_BYTES;
    return shown->flags & WIRE_SHOWN_STORED ? take_answer(client, meta, shown->meta_length) : CTL_DONE;
}

/* ---- draining ---- */

enum ctl_status ctl_drain(struct ctl_client *client, uint64_t proxy, uint32_t pid, bool on, uint32_t *proxies)
{
    union wire_message question, reply;
    enum ctl_status status = register_admin(client);

    if (status)
        return status;
    prepare(client, &question, WIRE_DRAIN, &question.wire_drain.registration, &question.wire_drain.secret);
    question.wire_drain.proxy = proxy;
    question.wire_drain.pid = pid;
    question.wire_drain.flags = on ? WIRE_DRAIN_ON : 0;
    status = ask(client, &question, WIRE_DRAINED, &reply);
    if (!status)
        *proxies = reply.wire_drained.proxies;
    return status;
}

/* ---- purges ---- */

struct purge_question {
    const char *tenant;
    const struct ctl_purge_order *order;
    struct wire_purged *purged; /* adds up */
};

static enum ctl_status order_purge(struct ctl_client *client, void *context)
{
    const struct purge_question *asked = context;
    union wire_message question, reply;
    enum ctl_status status = put_question(client, asked->order->bytes, asked->order->length);

    if (status)
        return status;
    prepare(client, &question, WIRE_PURGE, &question.wire_purge.registration, &question.wire_purge.secret);
    question.wire_purge.length = asked->order->length;
    question.wire_purge.flags = asked->order->flags;
    snprintf(question.wire_purge.tenant, sizeof(question.wire_purge.tenant), "%s", asked->tenant);
    status = ask(client, &question, WIRE_PURGED, &reply);
    if (!status) {
        asked->purged->objects += reply.wire_purged.objects;
        asked->purged->leases += reply.wire_purged.leases;
        asked->purged->flags |= reply.wire_purged.flags;
    }
    return status;
}

/* A key is one shard's, with all its parts. */
static enum ctl_status order_key_purge(struct ctl_client *client, struct purge_question *asked)
{
    enum ctl_status status = register_admin(client);

    if (status)
        return status;
    client->at = shard_of_key(client->shard_key, client->shards, asked->order->bytes, asked->order->length);
    status = order_purge(client, asked);
    client->at = 0;
    return status;
}

enum ctl_status ctl_purge(struct ctl_client *client, const char *tenant, const struct ctl_purge_order *order,
                          struct wire_purged *purged)
{
    struct purge_question asked = {tenant, order, purged};

    *purged = (struct wire_purged){.objects = 0};
    return (order->flags & WIRE_PURGE_SCOPE) == WIRE_PURGE_KEY ? order_key_purge(client, &asked)
                                                               : ask_all(client, order_purge, &asked);
}
