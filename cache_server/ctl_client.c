#include "ctl_client.h"

#include "clock.h"

#include <errno.h>
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

enum ctl_status ctl_open(struct ctl_client *client, const char *instance, double timeout)
{
    *client = (struct ctl_client){.instance = instance, .timeout = timeout};
    client->error = endpoint_create(&client->endpoint, instance, &shape);
    if (client->error)
        return fail(client, CTL_FAILED, client->endpoint.problem);
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
    client->rows = NULL;
    client->row_count = 0;
    client->registration = 0;
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
        return fail(client, CTL_FAILED, "interrupted");
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

static enum ctl_status register_admin(struct ctl_client *client)
{
    union wire_message reply;
    enum ctl_status status = CTL_DONE;
    int error;

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
    enum ctl_status status = register_admin(client);

    return status ? status : fetch_rows(client);
}
