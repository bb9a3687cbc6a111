/* A connection, as this front-end sees it:
 *
 *     HEAD ── head complete ──> EXCHANGE ── response queued whole ──> HEAD, or the connection finishes
 *       └── malformed, too slow ──> error response, the connection finishes
 *
 * The input buffer holds one request at a time: its head (which the exchange's spans point to), then raw
 * bytes of its body that have not been decoded, then perhaps requests behind it. */
#include "front_http.h"

#include "clock.h"
#include "http1_request.h"
#include "http1_response.h"
#include "invariant.h"
#include "log.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BODY_WINDOW (16u * 1024) /* raw bytes of a request's body that are read ahead */

enum http_state { FRONT_HEAD, FRONT_EXCHANGE, FRONT_OVER };

struct http_fields_box {
    struct http_fields_box *next;
    struct http_fields fields;
};

struct http_client {
    struct connection base;
    struct front_http *front;
    enum http_state state;
    bool request_begun;
    struct http1_request request;
    struct http_fields_box *box; /* while request_begun */
    struct exchange *exchange;
    uint32_t head_end; /* of the request under way, in the input */
    uint32_t raw_at;   /* where in the input the undecoded bytes begin */
    uint64_t body_received;
    uint64_t head_hash; /* 0: it did not come in one piece, alone; see exchange_recall() */
    uint32_t head_size; /* that of the bytes that were hashed */
    bool continue_sent;
    struct http1_framing framing;
    bool head_sent;
    /* for the access log */
    int status;
    uint64_t sent;
    const char *cache;
    int64_t started_us;
};

static struct http_client *client_of(struct connection *connection)
{
    _Static_assert(offsetof(struct http_client, base) == 0, "the connection is cast to its client");
    return (struct http_client *)connection;
}

static struct http_fields_box *box_take(struct front_http *front)
{
    struct http_fields_box *box = front->free_boxes;

    if (box) {
        front->free_boxes = box->next;
        return box;
    }
    box = malloc(sizeof *box);
    INVARIANT(box);
    return box;
}

static void box_give(struct http_client *client)
{
    if (!client->box)
        return;
    client->box->next = client->front->free_boxes;
    client->front->free_boxes = client->box;
    client->box = NULL;
}

static void log_request(struct http_client *client)
{
    struct access_entry entry;

    if (!client->front->log)
        return;
    entry = (struct access_entry){.client = connection_peer_text(&client->base),
                                  .protocol = client->request.minor == 0 ? "HTTP/1.0" : "HTTP/1.1",
                                  .method = client->request.method,
                                  .target = client->request.line_target,
                                  .fields = client->request.fields,
                                  .status = client->status,
                                  .bytes = client->sent,
                                  .cache = client->cache ? client->cache : "-",
                                  .duration_us = clock_mono_us() - client->started_us};
    access_log_add(client->front->log, &entry);
}

static void request_over(struct http_client *client)
{
    log_request(client);
    box_give(client);
    client->request_begun = false;
    client->exchange = NULL;
}

static void end_connection(struct http_client *client)
{
    client->state = FRONT_OVER;
    connection_finish(&client->base);
}

/* Without the last chunk, short of Content-Length, or by a reset: the client can tell. */
static void break_connection(struct http_client *client)
{
    client->state = FRONT_OVER;
    connection_break(&client->base);
}

static void count_refusal(struct http_client *client, enum http1_refusal_kind kind)
{
    client->front->bad_requests[kind]++;
}

/* An error of this front-end's own; the connection cannot go on behind it. */
static void refuse(struct http_client *client, const struct http1_refusal *refusal)
{
    struct http1_framing framing = {.minor = 1, .keep_alive = false};

    count_refusal(client, refusal->kind);
    http1_write_error(&client->base.output, refusal->status, refusal->problem,
                      client->base.home->loop->wall_ms / 1000, &framing, client->request.is_head);
    client->status = refusal->status;
    client->cache = "refused";
    request_over(client);
    end_connection(client);
}

/* The request and its body leave the input; what stands behind it moves to the front. */
static void consume_request(struct http_client *client)
{
    struct connection *base = &client->base;

    memmove(base->input, base->input + client->raw_at, base->input_used - client->raw_at);
    base->input_used -= client->raw_at;
    client->raw_at = 0;
}

static bool body_is_read(const struct http_client *client)
{
    return !client->request.has_body || client->request.body_complete;
}

/* The exchange's side. */

static const char *cache_word(const struct http_cache_status *status)
{
    static const char *const words[] = {"-",    "bypass",  "method", "uri-miss", "vary-miss",
                                        "miss", "request", "stale",  "partial"};

    return status->hit ? "hit" : words[status->fwd];
}

/* Once, and only while the client waits for it (RFC 9110 section 10.1.1). */
static void send_continue(struct http_client *client)
{
    struct http_span no_lines = {NULL, 0};

    if (client->request.expects_continue && !client->continue_sent && !client->head_sent) {
        http1_write_interim(&client->base.output, 100, &no_lines);
        connection_wake(&client->base);
    }
    client->continue_sent = true;
}

/* Only what is as most are, so that the memo is all that is to be known of the answer. The target of another
 * form may have been changed where it stands. */
static void remember(struct http_client *client, const struct exchange_head *head)
{
    const struct http1_request *request = &client->request;

    if (client->head_hash == 0 || client->head_size != client->head_end || !client->framing.keep_alive ||
        request->minor != 1 || request->has_body || client->base.input[request->method.length + 1] != '/')
        return;
    exchange_remember(client->front->exchanges, head, client->head_hash, client->base.input,
                      client->head_size, request->fields);
}

static void sink_head(void *owner, const struct exchange_head *head)
{
    struct http_client *client = owner;

    if (!body_is_read(client) || client->base.home->stopping)
        client->framing.keep_alive = false;
    http1_choose_framing(&client->framing, head);
    client->base.close_ends_body = client->framing.until_close;
    http1_write_head(&client->base.output, head, &client->framing);
    if (head->again)
        remember(client, head);
    client->head_sent = true;
    client->status = head->status;
    client->cache = cache_word(&head->cache_status);
    connection_wake(&client->base);
}

/* RFC 9110 section 15.2: HTTP/1.0 has none of these. */
static void sink_interim(void *owner, int status, const struct http_span *lines)
{
    struct http_client *client = owner;

    if (client->request.minor == 0)
        return;
    if (status == 100 && client->request.expects_continue) {
        send_continue(client);
        return;
    }
    http1_write_interim(&client->base.output, status, lines);
    connection_wake(&client->base);
}

/* A piece of the body is a chunk of its own where nobody knows the length yet. */
static void begin_piece(struct http_client *client, size_t size)
{
    if (client->framing.chunked)
        http1_write_chunk_start(&client->base.output, size);
}

static void end_piece(struct http_client *client, size_t size)
{
    if (client->framing.chunked)
        http1_write_chunk_end(&client->base.output);
    client->sent += size;
    connection_wake(&client->base);
}

static void sink_body(void *owner, const char *data, size_t size)
{
    struct http_client *client = owner;

    if (size == 0)
        return;
    begin_piece(client, size);
    output_add(&client->base.output, data, size);
    end_piece(client, size);
}

static void sink_body_segment(void *owner, struct larder_segment **segment, uint32_t offset, uint32_t size)
{
    struct http_client *client = owner;

    begin_piece(client, size);
    output_add_segment(&client->base.output, segment, offset, size);
    end_piece(client, size);
}

static void sink_body_shared(void *owner, struct output_source *source, struct larder_segment *segment,
                             uint32_t offset, uint32_t size)
{
    struct http_client *client = owner;

    begin_piece(client, size);
    output_add_shared(&client->base.output, source, segment, offset, size);
    end_piece(client, size);
}

static void sink_hold(void *owner)
{
    struct http_client *client = owner;

    connection_hold(&client->base);
}

/* The response is queued whole. */
static void response_over(struct http_client *client)
{
    request_over(client);
    connection_expect_nothing(&client->base);
    if (!client->framing.keep_alive || !body_is_read(client)) {
        end_connection(client);
        return;
    }
    consume_request(client);
    client->state = FRONT_HEAD;
    connection_expect_request(&client->base);
    connection_wake(&client->base);
}

static void sink_finished(void *owner)
{
    struct http_client *client = owner;

    if (client->framing.chunked)
        http1_write_last_chunk(&client->base.output);
    response_over(client);
}

static void sink_broken(void *owner)
{
    struct http_client *client = owner;

    request_over(client);
    break_connection(client);
}

static size_t sink_room(void *owner)
{
    struct http_client *client = owner;

    return connection_room(&client->base);
}

static enum origin_body wait_for_body(struct http_client *client)
{
    send_continue(client);
    connection_expect_body(&client->base);
    return ORIGIN_BODY_WAIT;
}

static bool body_too_large(const struct http_client *client)
{
    return client->body_received > client->front->max_request_body;
}

static enum origin_body decode_body(struct http_client *client, char *out, size_t size, size_t *got,
                                    int *status)
{
    struct connection *base = &client->base;
    size_t raw = base->input_used - client->raw_at;
    size_t used;
    enum http1_body result = http1_request_body(&client->request, base->input + client->raw_at,
                                                raw < size ? raw : size, out, &used, got);

    client->raw_at += (uint32_t)used;
    client->body_received += *got;
    if (result != HTTP1_BODY_BAD && !body_too_large(client))
        return ORIGIN_BODY_BYTES;
    count_refusal(client, HTTP1_REFUSAL_body);
    *status = body_too_large(client) ? 413 : client->request.refusal.status;
    return ORIGIN_BODY_BAD;
}

/* All that was read is decoded: the window behind the head is free again. */
static enum connection_read read_more_body(struct http_client *client)
{
    client->raw_at = client->base.input_used = client->head_end;
    return connection_read(&client->base);
}

static enum origin_body sink_read_body(void *owner, char *out, size_t size, size_t *got, int *status)
{
    struct http_client *client = owner;
    enum connection_read read = CONNECTION_READ_BYTES;
    enum origin_body result;

    *got = 0;
    connection_expect_nothing(&client->base);
    while (!client->request.body_complete) {
        if (client->raw_at == client->base.input_used)
            read = read_more_body(client);
        if (read == CONNECTION_READ_NOTHING)
            return wait_for_body(client);
        if (read == CONNECTION_READ_ENDED) { /* RFC 9112 section 8 */
            count_refusal(client, HTTP1_REFUSAL_body);
            *status = 400;
            return ORIGIN_BODY_BAD;
        }
        result = decode_body(client, out, size, got, status);
        if (result == ORIGIN_BODY_BAD || *got > 0)
            return result;
    }
    return ORIGIN_BODY_END;
}

static const struct exchange_sink sink = {
    .interim = sink_interim,
    .head = sink_head,
    .body = sink_body,
    .body_segment = sink_body_segment,
    .body_shared = sink_body_shared,
    .hold = sink_hold,
    .finished = sink_finished,
    .broken = sink_broken,
    .room = sink_room,
    .read_body = sink_read_body,
};

/* The client's side. */

static void grow_input(struct http_client *client, uint32_t size)
{
    struct connection *base = &client->base;
    const char *before = base->input;

    connection_grow_input(base, size);
    if (client->request_begun && base->input != before)
        http1_request_moved(&client->request, before, base->input);
}

static void begin_request(struct http_client *client)
{
    client->box = box_take(client->front);
    http1_request_begin(&client->request, &client->box->fields);
    client->request_begun = true;
    client->continue_sent = client->head_sent = false;
    client->body_received = 0;
    client->status = 0;
    client->sent = 0;
    client->cache = NULL;
    if (client->front->log)
        client->started_us = clock_mono_us();
    connection_expect_header(&client->base);
}

static bool may_have_body(const struct http1_request *request)
{
    return !request->is_get && !request->is_head && !request->is_trace;
}

static enum exchange_purging purging(const struct http_client *client)
{
    const struct address_list *list = client->front->purge_from;

    if (!list || !http_span_equal(client->request.method, HTTP_SPAN("PURGE")))
        return EXCHANGE_NO_PURGE;
    return address_list_has(list, &client->base.peer.any) ? EXCHANGE_PURGE_ALLOWED : EXCHANGE_PURGE_FORBIDDEN;
}

static void begin_exchange(struct http_client *client, uint32_t head_end)
{
    struct http1_request *request = &client->request;
    struct exchange_request asked = {
        .fields = request->fields,
        .max_forwards = request->max_forwards,
        .expects_continue = request->expects_continue,
        .scheme = HTTP_SPAN("http"),
        .purge = purging(client),
        .via = request->minor == 1 ? HTTP_SPAN("1.1") : HTTP_SPAN("1.0"),
        /* A body of 0 bytes is announced as such, where methods may have one. */
        .has_body = request->has_body || (request->length_seen && may_have_body(request)),
        .body_length = request->chunked ? EXCHANGE_LENGTH_UNKNOWN : request->length};

    client->raw_at = client->head_end = head_end;
    if (request->has_body)
        grow_input(client, head_end + BODY_WINDOW);
    connection_expect_nothing(&client->base);
    asked.method = request->method;
    asked.target = request->target;
    asked.host = request->host;
    asked.client.at = connection_peer_text(&client->base);
    asked.client.length = (uint32_t)strlen(asked.client.at);
    client->framing = (struct http1_framing){.minor = request->minor, .keep_alive = request->keep_alive};
    client->state = FRONT_EXCHANGE;
    exchange_begin(client->front->exchanges, &client->exchange, &asked, &sink, client);
}

/* RFC 9110 section 7.6.2: OPTIONS and TRACE that may go no further. */
static void answer_here(struct http_client *client, uint32_t head_end)
{
    struct http1_request *request = &client->request;

    client->raw_at = client->head_end = head_end;
    client->framing = (struct http1_framing){.minor = request->minor,
                                             .keep_alive = request->keep_alive && !request->has_body &&
                                                           !client->base.home->stopping};
    client->status = 200;
    client->cache = "-";
    client->head_sent = true;
    client->sent = http1_write_own(&client->base.output, request, client->base.home->loop->wall_ms / 1000,
                                   &client->framing);
    connection_wake(&client->base);
    response_over(client);
}

static void head_complete(struct http_client *client, uint32_t head_end)
{
    static const struct http1_refusal body_too_large = {413, HTTP1_REFUSAL_body,
                                                        "request body is larger than is accepted"};
    const struct http1_request *request = &client->request;

    if (request->has_body && !request->chunked && request->length > client->front->max_request_body)
        refuse(client, &body_too_large);
    else if (request->max_forwards == 0 && !exchange_home_refuses(client->front->exchanges, request->method))
        answer_here(client, head_end);
    else
        begin_exchange(client, head_end);
}

static bool ends_a_head(const char *bytes, uint32_t size)
{
    return size >= 4 && memcmp(bytes + size - 4, "\r\n\r\n", 4) == 0;
}

/* Not where the log wants to know what stands in it. */
static bool may_be_repeated(const struct http_client *client)
{
    const struct connection *base = &client->base;

    return !client->front->log && !base->home->stopping && base->input_used <= EXCHANGE_AGAIN_MAX &&
           ends_a_head(base->input, base->input_used);
}

/* Answers a request that was answered before, byte by byte, without reading it. */
static bool repeat_answer(struct http_client *client)
{
    static const struct http1_framing framing = {.minor = 1, .keep_alive = true};
    struct connection *base = &client->base;
    struct exchange_again again;
    bool known;

    client->head_hash = 0;
    if (!may_be_repeated(client))
        return false;
    known = exchange_recall(client->front->exchanges, base->input, base->input_used, &again);
    client->head_hash = again.hash;
    client->head_size = base->input_used;
    if (!known)
        return false;
    http1_write_again(&base->output, again.memo, &framing);
    if (again.source)
        output_add_shared(&base->output, again.source, again.segment, again.offset, again.size);
    else
        output_add(&base->output, again.segment->data + again.offset, again.size);
    base->input_used = 0;
    connection_expect_request(base);
    connection_wake(base);
    return true;
}

static void parse_head(struct http_client *client)
{
    static const struct http1_refusal head_too_large = {431, HTTP1_REFUSAL_fields,
                                                        "request head is too large"};
    struct connection *base = &client->base;
    uint32_t end = 0;

    if (!client->request_begun && repeat_answer(client))
        return;
    if (!client->request_begun)
        begin_request(client);
    switch (http1_request_head(&client->request, base->input, base->input_used, &end)) {
    case HTTP1_COMPLETE:
        head_complete(client, end);
        break;
    case HTTP1_REFUSED:
        refuse(client, &client->request.refusal);
        break;
    case HTTP1_MORE:
        if (base->input_used >= HTTP1_MAX_HEAD)
            refuse(client, &head_too_large);
        else if (base->input_used == base->input_size)
            grow_input(client, base->input_size * 2 < HTTP1_MAX_HEAD ? base->input_size * 2 : HTTP1_MAX_HEAD);
    }
}

static bool has_unparsed(const struct http_client *client)
{
    return client->base.input_used > (client->request_begun ? client->request.parsed : 0);
}

/* The client will send no more. Whoever has begun a request gets no answer to half of it. */
static void input_ended(struct http_client *client)
{
    if (client->request_begun)
        box_give(client);
    client->request_begun = false;
    end_connection(client);
}

/* False: nothing is there to read. */
static bool read_head(struct http_client *client)
{
    switch (connection_read(&client->base)) {
    case CONNECTION_READ_BYTES:
        return true;
    case CONNECTION_READ_ENDED:
        input_ended(client);
        return false;
    default:
        if (client->base.home->stopping && !client->request_begun)
            end_connection(client);
        return false;
    }
}

/* What a slow reader has not taken yet holds up the requests behind it. */
static bool may_parse(const struct http_client *client)
{
    return client->state == FRONT_HEAD && connection_room(&client->base) > 0;
}

static void read_requests(struct http_client *client)
{
    while (may_parse(client)) {
        if (has_unparsed(client))
            parse_head(client);
        else if (!read_head(client))
            return;
    }
}

static void proceed(struct connection *connection)
{
    struct http_client *client = client_of(connection);

    if (client->exchange && connection_room(connection) > 0)
        exchange_room(client->exchange);
    if (client->exchange && client->request.has_body)
        exchange_body_ready(client->exchange);
    read_requests(client);
}

static void timed_out(struct connection *connection, enum connection_timeout which)
{
    static const struct http1_refusal no_head = {408, HTTP1_REFUSAL_timeout,
                                                 "request head did not arrive in time"};
    static const struct http1_refusal no_body = {408, HTTP1_REFUSAL_timeout,
                                                 "request body did not arrive in time"};
    struct http_client *client = client_of(connection);

    exchange_abandon(&client->exchange);
    if (client->head_sent) {
        request_over(client);
        break_connection(client);
    } else {
        refuse(client, which == CONNECTION_TIMEOUT_HEADER ? &no_head : &no_body);
    }
}

static void gone(struct connection *connection)
{
    struct http_client *client = client_of(connection);

    client->state = FRONT_OVER;
    exchange_abandon(&client->exchange);
    if (client->status == 0)
        client->status = 499; /* no response; the number that others use in their logs, too */
    if (client->request_begun)
        request_over(client);
}

static void destroy(struct connection *connection)
{
    struct http_client *client = client_of(connection);

    box_give(client);
    free(client);
}

static const struct front_calls front_calls = {
    .proceed = proceed, .timed_out = timed_out, .gone = gone, .destroy = destroy};

int front_http_accept(void *front, int fd, const union connection_peer *peer)
{
    struct front_http *http = front;
    struct http_client *client = calloc(1, sizeof *client);

    INVARIANT(client);
    client->front = http;
    client->state = FRONT_HEAD;
    return connection_open(&client->base, http->connections, &front_calls, fd, peer);
}

void front_http_setup(struct front_http *front, struct connection_home *connections,
                      struct exchange_home *exchanges, struct access_log *log, uint64_t max_request_body)
{
    *front = (struct front_http){
        .connections = connections, .exchanges = exchanges, .log = log, .max_request_body = max_request_body};
}

void front_http_report(const struct front_http *front)
{
#define FORMAT(name, meaning) " " #name "=%llu"
#define VALUE(name, meaning)  , (unsigned long long)front->bad_requests[HTTP1_REFUSAL_##name]
    unsigned long long all = 0;

    for (int i = 0; i < HTTP1_REFUSAL_KINDS; i++)
        all += front->bad_requests[i];
    log_info("requests refused so far", "bad_requests=%llu" HTTP1_REFUSALS(FORMAT),
             all HTTP1_REFUSALS(VALUE));
#undef FORMAT
#undef VALUE
}

void front_http_teardown(struct front_http *front)
{
    while (front->free_boxes) {
        struct http_fields_box *box = front->free_boxes;

        front->free_boxes = box->next;
        free(box);
    }
}
