#include "ctl_client.h"

#include "clock.h"

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
    *client = (struct ctl_client){.instance = instance, .timeout = timeout};
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
        client->deadline_ms = clock_mono_ms() + (int64_t)(timeout * 1000);
        return CTL_DONE;
    }
    endpoint_destroy(&client->endpoint);
    return fail(client, result == ENDPOINT_NO_CACHE ? CTL_NO_CACHE : CTL_REFUSED, client->endpoint.problem);
}

void ctl_close(struct ctl_client *client)
{
    if (client->registration)
        (void)endpoint_bye(&client->endpoint, client->registration);
    endpoint_destroy(&client->endpoint);
    free(client->rows);
    free(client->top_rows);
    client->rows = NULL;
    client->top_rows = NULL;
    client->top_count = 0;
    client->row_count = 0;
    client->registration = 0;
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

    while (!status && (error = mq_send_patiently(client->endpoint.command, message, message->header.length,
                                                 SLICE_MS)) != 0)
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

/* Once; it stays so until ctl_close(). */
static enum ctl_status register_admin(struct ctl_client *client)
{
    union wire_message reply;
    enum ctl_status status = CTL_DONE;
    int error;

    if (client->registration)
        return CTL_DONE;
    while (!status &&
           (error = endpoint_hello(&client->endpoint, WIRE_ROLE_ADMIN, NAMES_DEFAULT, SLICE_MS)) != 0)
        status = found_no_room(client, error);
    if (!status)
        status = receive(client, WIRE_WELCOME, &reply);
    if (!status)
        client->registration = reply.wire_welcome.registration;
    return status;
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

static enum ctl_status fetch_rows(struct ctl_client *client)
{
    union wire_message question, reply;
    uint32_t cursor = 0;

    do {
        wire_prepare(&question, WIRE_STATS, client->endpoint.token);
        question.wire_stats.registration = client->registration;
        question.wire_stats.secret = client->endpoint.secret;
        question.wire_stats.cursor = cursor;
        enum ctl_status status = ask(client, &question, WIRE_STATS_ROWS, &reply);
        if (!status)
            status = take_rows(client, reply.wire_stats_rows.rows);
        if (status)
            return status;
        cursor = reply.wire_stats_rows.next_cursor;
    } while (cursor != 0);
    for (size_t i = 0; i < client->row_count; i++)
        client->rows[i].name[sizeof(client->rows[i].name) - 1] = '\0';
    return CTL_DONE;
}

enum ctl_status ctl_stats(struct ctl_client *client)
{
    client->deadline_ms = clock_mono_ms() + (int64_t)(client->timeout * 1000);
    client->row_count = 0;
    enum ctl_status status = register_admin(client);

    return status ? status : fetch_rows(client);
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
    wire_prepare(&question, WIRE_RELOAD, client->endpoint.token);
    question.wire_reload.registration = client->registration;
    question.wire_reload.secret = client->endpoint.secret;
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

enum ctl_status ctl_top(struct ctl_client *client, const char *tenant, uint32_t most)
{
    union wire_message question, reply;
    uint32_t cursor = 0;
    enum ctl_status status = register_admin(client);

    if (status)
        return status;
    do {
        wire_prepare(&question, WIRE_TOP, client->endpoint.token);
        question.wire_top.registration = client->registration;
        question.wire_top.secret = client->endpoint.secret;
        question.wire_top.most = most;
        question.wire_top.cursor = cursor;
        snprintf(question.wire_top.tenant, sizeof(question.wire_top.tenant), "%s", tenant ? tenant : "");
        status = ask(client, &question, WIRE_TOP_ROWS, &reply);
        if (!status)
            status = take_top_rows(client, reply.wire_top_rows.rows);
        if (status)
            return status;
        cursor = reply.wire_top_rows.next_cursor;
    } while (cursor != 0);
    return CTL_DONE;
}

/* ---- one key ---- */

enum ctl_status ctl_show(struct ctl_client *client, const char *tenant, const void *key, uint32_t length,
                         struct wire_shown *shown, uint8_t meta[CTL_META_BYTES])
{
    union wire_message question, reply;
    enum ctl_status status = register_admin(client);

    if (!status)
        status = put_question(client, key, length);
    if (status)
        return status;
    wire_prepare(&question, WIRE_SHOW, client->endpoint.token);
    question.wire_show.registration = client->registration;
    question.wire_show.secret = client->endpoint.secret;
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
    wire_prepare(&question, WIRE_DRAIN, client->endpoint.token);
    question.wire_drain.registration = client->registration;
    question.wire_drain.secret = client->endpoint.secret;
    question.wire_drain.proxy = proxy;
    question.wire_drain.pid = pid;
    question.wire_drain.flags = on ? WIRE_DRAIN_ON : 0;
    status = ask(client, &question, WIRE_DRAINED, &reply);
    if (!status)
        *proxies = reply.wire_drained.proxies;
    return status;
}

/* ---- purges ---- */

enum ctl_status ctl_purge(struct ctl_client *client, const char *tenant, const struct ctl_purge_order *order,
                          struct wire_purged *purged)
{
    union wire_message question, reply;
    enum ctl_status status = register_admin(client);

    if (!status)
        status = put_question(client, order->bytes, order->length);
    if (status)
        return status;
    wire_prepare(&question, WIRE_PURGE, client->endpoint.token);
    question.wire_purge.registration = client->registration;
    question.wire_purge.secret = client->endpoint.secret;
    question.wire_purge.length = order->length;
    question.wire_purge.flags = order->flags;
    snprintf(question.wire_purge.tenant, sizeof(question.wire_purge.tenant), "%s", tenant);
    status = ask(client, &question, WIRE_PURGED, &reply);
    if (!status)
        *purged = reply.wire_purged;
    return status;
}
