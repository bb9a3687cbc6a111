/* A connection, as this front-end sees it:
 *
 *     REQUEST ──> EXCHANGE ──┬─ length known ──> bytes as they come ──────────────> the connection finishes
 *        │                   ├─ unknown ──> SPOOL to the end ──> bytes of the file ──┘
 *        └─ invalid          └─ not a file ──> one line
 */
#include "front_getfile.h"

#include "clock.h"
#include "getfile_request.h"
#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum getfile_state {
    GETFILE_READING,
    GETFILE_EXCHANGE,
    GETFILE_SENDING,  /* what was spooled */
    GETFILE_ANSWERED, /* by one line; the exchange, if there is one still, is no longer wanted */
    GETFILE_OVER,
};

struct getfile_client {
    struct connection base;
    struct front_getfile *front;
    enum getfile_state state;
    bool header_awaited;
    struct exchange *exchange;
    bool answered; /* the answer's first line is out */
    struct spool spool;
    bool spooling;
    uint64_t spool_sent;
    const char *outcome; /* for the access log: the origin's status stands for it where there is one */
    int status;
    uint64_t sent;
    int64_t started_us;
    uint32_t target_length;
    char target[GETFILE_MAX_TARGET];
};

static const struct http_fields no_fields;

static struct getfile_client *client_of(struct connection *connection)
{
    _Static_assert(offsetof(struct getfile_client, base) == 0, "the connection is cast to its client");
    return (struct getfile_client *)connection;
}

static void log_request(struct getfile_client *client)
{
    struct access_entry entry;

    if (!client->front->log)
        return;
    entry = (struct access_entry){.client = connection_peer_text(&client->base),
                                  .protocol = "GETFILE",
                                  .method = HTTP_SPAN("GET"),
                                  .target = {client->target, client->target_length},
                                  .status = client->status,
                                  .bytes = client->sent,
                                  .cache = client->outcome ? client->outcome : "-",
                                  .duration_us = clock_mono_us() - client->started_us};
    access_log_add(client->front->log, &entry);
}

static void end_connection(struct getfile_client *client)
{
    client->state = GETFILE_OVER;
    log_request(client);
    connection_finish(&client->base);
}

static void answer(struct getfile_client *client, const char *line)
{
    client->answered = true;
    output_add(&client->base.output, line, strlen(line));
    connection_wake(&client->base);
}

static void answer_ok(struct getfile_client *client, uint64_t length)
{
    char line[64];

    snprintf(line, sizeof line, "GETFILE OK %llu\r\n\r\n", (unsigned long long)length);
    answer(client, line);
}

/* The exchange, which may be the caller, is abandoned when the connection proceeds; a fill that it has begun
 * goes on. */
static void answer_line(struct getfile_client *client, const char *line)
{
    client->state = GETFILE_ANSWERED;
    answer(client, line);
}

/* The exchange's side. */

static void spool_failed(struct getfile_client *client, const char *what, int error)
{
    if (error == -ENOBUFS)
        log_warn("no room for a body of unknown length; see --max-spool",
                 "max_spool=%" PRIu64 " used=%" PRIu64, client->front->spools.limit,
                 client->front->spools.used);
    else
        log_error(what, "error=\"%s\"", strerror(-error));
    spool_close(&client->spool); /* others may need the room */
    answer_line(client, "GETFILE ERROR\r\n\r\n");
}

static void begin_spool(struct getfile_client *client)
{
    int error = spool_open(&client->spool, &client->front->spools);

    client->spooling = !error;
    if (error)
        spool_failed(client, "spool file cannot be made", error);
}

static void sink_head(void *owner, const struct exchange_head *head)
{
    struct getfile_client *client = owner;

    client->status = head->status;
    client->outcome = head->cache_status.hit ? "hit" : "miss";
    if (head->status == 404 || head->status == 410)
        answer_line(client, "GETFILE FILE_NOT_FOUND\r\n\r\n");
    else if (head->status != 200 && head->status != 203)
        answer_line(client, "GETFILE ERROR\r\n\r\n");
    else if (head->length_known)
        answer_ok(client, head->length);
    else
        begin_spool(client);
}

static void sent_on(struct getfile_client *client, size_t size)
{
    client->sent += size;
    connection_wake(&client->base);
}

static void sink_body(void *owner, const char *data, size_t size)
{
    struct getfile_client *client = owner;
    int error;

    if (client->state != GETFILE_EXCHANGE)
        return;
    if (!client->spooling) {
        output_add(&client->base.output, data, size);
        sent_on(client, size);
        return;
    }
    error = spool_write(&client->spool, data, size);
    if (error)
        spool_failed(client, "spool file cannot be written", error);
}

static void sink_body_segment(void *owner, struct larder_segment **segment, uint32_t offset, uint32_t size)
{
    struct getfile_client *client = owner;

    if (client->state != GETFILE_EXCHANGE)
        return;
    if (client->spooling) {
        sink_body(owner, (const char *)(*segment)->data + offset, size);
        return;
    }
    output_add_segment(&client->base.output, segment, offset, size);
    sent_on(client, size);
}

static void sink_body_shared(void *owner, struct output_source *source, struct larder_segment *segment,
                             uint32_t offset, uint32_t size)
{
    struct getfile_client *client = owner;

    if (client->state != GETFILE_EXCHANGE || client->spooling) {
        sink_body(owner, (const char *)segment->data + offset, size);
        source->calls->drop(source);
        return;
    }
    output_add_shared(&client->base.output, source, segment, offset, size);
    sent_on(client, size);
}

static void sink_finished(void *owner)
{
    struct getfile_client *client = owner;

    client->exchange = NULL;
    if (client->state != GETFILE_EXCHANGE)
        return;
    if (client->spooling) {
        client->state = GETFILE_SENDING;
        answer_ok(client, client->spool.size);
    } else {
        end_connection(client);
    }
}

static void sink_broken(void *owner)
{
    struct getfile_client *client = owner;

    client->exchange = NULL;
    if (client->state != GETFILE_EXCHANGE)
        return;
    if (client->answered)
        end_connection(client); /* short of the length: the client can tell */
    else
        answer_line(client, "GETFILE ERROR\r\n\r\n");
}

static size_t sink_room(void *owner)
{
    struct getfile_client *client = owner;

    return client->spooling ? CONNECTION_OUTPUT_BOUND : connection_room(&client->base);
}

static enum origin_body sink_read_body(void *owner, char *out, size_t size, size_t *got, int *status)
{
    (void)owner;
    (void)out;
    (void)size;
    (void)got;
    (void)status;
    return ORIGIN_BODY_END; /* a GETFILE request has none */
}

static const struct exchange_sink sink = {
    .head = sink_head,
    .body = sink_body,
    .body_segment = sink_body_segment,
    .body_shared = sink_body_shared,
    .finished = sink_finished,
    .broken = sink_broken,
    .room = sink_room,
    .read_body = sink_read_body,
};

/* The client's side. */

static void send_spooled(struct getfile_client *client)
{
    struct output *output = &client->base.output;
    size_t room;

    while (client->spool_sent < client->spool.size && (room = connection_room(&client->base)) > 0) {
        size_t size = room < OUTPUT_BLOCK_BYTES ? room : OUTPUT_BLOCK_BYTES;
        ssize_t got = spool_read(&client->spool, output_reserve(output, size), size, client->spool_sent);

        if (got <= 0) {
            connection_close(&client->base);
            return;
        }
        output_commit(output, (size_t)got);
        client->spool_sent += (uint64_t)got;
        client->sent = client->spool_sent;
        connection_wake(&client->base);
    }
    if (client->spool_sent == client->spool.size)
        end_connection(client);
}

static void begin_exchange(struct getfile_client *client)
{
    struct exchange_request asked = {.method = HTTP_SPAN("GET"),
                                     .target = {client->target, client->target_length},
                                     .fields = &no_fields,
                                     .host = HTTP_SPAN(""),
                                     .scheme = HTTP_SPAN(""),
                                     .via = HTTP_SPAN("GETFILE/1")};

    asked.client.at = connection_peer_text(&client->base);
    asked.client.length = (uint32_t)strlen(asked.client.at);
    connection_expect_nothing(&client->base);
    client->state = GETFILE_EXCHANGE;
    exchange_begin(client->front->exchanges, &client->exchange, &asked, &sink, client);
}

static void parse_request(struct getfile_client *client)
{
    struct connection *base = &client->base;

    if (!client->header_awaited) {
        client->header_awaited = true;
        client->started_us = clock_mono_us();
        connection_expect_header(base);
    }
    switch (getfile_request_parse(base->input, base->input_used, client->target, &client->target_length)) {
    case GETFILE_REQUEST:
        begin_exchange(client);
        break;
    case GETFILE_INVALID:
        answer_line(client, "GETFILE INVALID\r\n\r\n");
        break;
    case GETFILE_MORE:
        if (base->input_used == base->input_size)
            connection_grow_input(base, GETFILE_MAX_REQUEST);
    }
}

/* Half a request is an invalid one; no request at all needs no answer. */
static void input_ended(struct getfile_client *client)
{
    if (client->base.input_used > 0)
        answer_line(client, "GETFILE INVALID\r\n\r\n");
    else
        connection_close(&client->base);
}

static void read_request(struct getfile_client *client)
{
    while (client->state == GETFILE_READING) {
        switch (connection_read(&client->base)) {
        case CONNECTION_READ_BYTES:
            parse_request(client);
            break;
        case CONNECTION_READ_ENDED:
            input_ended(client);
            return;
        case CONNECTION_READ_NOTHING:
            if (client->base.home->stopping && client->base.input_used == 0)
                connection_close(&client->base);
            return;
        }
    }
}

static void proceed(struct connection *connection)
{
    struct getfile_client *client = client_of(connection);

    if (client->exchange && sink_room(client) > 0)
        exchange_room(client->exchange);
    if (client->state == GETFILE_SENDING)
        send_spooled(client);
    read_request(client);
    if (client->state == GETFILE_ANSWERED) {
        exchange_abandon(&client->exchange);
        end_connection(client);
    }
}

static void timed_out(struct connection *connection, enum connection_timeout which)
{
    (void)which; /* a request without a body has only one */
    answer_line(client_of(connection), "GETFILE INVALID\r\n\r\n");
}

static void gone(struct connection *connection)
{
    struct getfile_client *client = client_of(connection);

    exchange_abandon(&client->exchange);
    if (client->state != GETFILE_READING && client->state != GETFILE_OVER)
        log_request(client);
    client->state = GETFILE_OVER;
}

static void destroy(struct connection *connection)
{
    struct getfile_client *client = client_of(connection);

    spool_close(&client->spool);
    free(client);
}

static const struct front_calls front_calls = {
    .proceed = proceed, .timed_out = timed_out, .gone = gone, .destroy = destroy};

int front_getfile_accept(void *front, int fd, const union connection_peer *peer)
{
    struct front_getfile *getfile = front;
    struct getfile_client *client = calloc(1, sizeof *client);

    INVARIANT(client);
    client->front = getfile;
    client->spool.fd = -1;
    return connection_open(&client->base, getfile->connections, &front_calls, fd, peer);
}

void front_getfile_setup(struct front_getfile *front, struct connection_home *connections,
                         struct exchange_home *exchanges, struct access_log *log, uint64_t max_spool)
{
    *front = (struct front_getfile){
        .connections = connections, .exchanges = exchanges, .log = log, .spools = {.limit = max_spool}};
}
