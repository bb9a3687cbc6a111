#include "played_clients.h"

#include "clock.h"
#include "fill_writer.h"
#include "output.h"

#include <stdio.h>
#include <string.h>

struct exchange_home *home;
struct client clients[CLIENTS];

/* ---- clients ---- */

static void sink_head(void *owner, const struct exchange_head *head)
{
    struct client *client = owner;

    client->heads++;
    client->head = *head;
    ck_assert_uint_lt(head->lines.length, sizeof client->lines);
    memcpy(client->lines, head->lines.at, head->lines.length);
    if (head->cache_status.detail)
        snprintf(client->detail, sizeof client->detail, "%s", head->cache_status.detail);
}

static void sink_body(void *owner, const char *data, size_t size)
{
    struct client *client = owner;

    ck_assert_uint_le(size, BODY_MAX - client->size);
    memcpy(client->body + client->size, data, size);
    client->size += size;
    client->room -= size < client->room ? size : client->room;
}

static void sink_segment(void *owner, struct larder_segment **segment, uint32_t offset, uint32_t size)
{
    sink_body(owner, (const char *)(*segment)->data + offset, size);
    cache_link_return(&cache, segment);
}

static void sink_shared(void *owner, struct output_source *source, struct larder_segment *segment,
                        uint32_t offset, uint32_t size)
{
    sink_body(owner, (const char *)segment->data + offset, size);
    source->calls->drop(source);
}

static void sink_finished(void *owner)
{
    struct client *client = owner;

    ck_assert_ptr_nonnull(client->exchange);
    client->finished++;
    client->exchange = NULL;
}

static void sink_broken(void *owner)
{
    struct client *client = owner;

    client->broken++;
    client->exchange = NULL;
}

static size_t sink_room(void *owner)
{
    struct client *client = owner;

    return client->room;
}

static const struct exchange_sink sink = {.head = sink_head,
                                          .body = sink_body,
                                          .body_segment = sink_segment,
                                          .body_shared = sink_shared,
                                          .finished = sink_finished,
                                          .broken = sink_broken,
                                          .room = sink_room,
                                          .read_body = play_no_body};

void begin(void)
{
    play_begin(fill_writer_stalled);
    if (played_segments == SEGMENTS)
        cache.segments = 64; /* not scarce */
    ck_assert_int_eq(exchange_home_create(&home, &loop, &cache, NULL, EXCHANGE_CACHE_TIMEOUT_MS), 0);
}

void add_field(unsigned number, const char *name, const char *value)
{
    ck_assert(http_field_add(&clients[number].fields, (struct http_span){name, (uint32_t)strlen(name)},
                             (struct http_span){value, (uint32_t)strlen(value)}));
}

void request(unsigned number, const char *method)
{
    struct client *client = &clients[number];
    struct exchange_request asks = {.method = {method, (uint32_t)strlen(method)},
                                    .target = HTTP_SPAN("/x"),
                                    .fields = &client->fields,
                                    .host = HTTP_SPAN("named.by.client"),
                                    .client = HTTP_SPAN("127.0.0.1"),
                                    .scheme = HTTP_SPAN("http"),
                                    .via = HTTP_SPAN("1.1")};

    if (client->room == 0)
        client->room = SIZE_MAX;
    exchange_begin(home, &client->exchange, &asks, &sink, client);
}

void end(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        ck_assert_ptr_null(clients[i].exchange);
    loop_finish_tasks(&loop);
    while (asked_count > 0)
        answer(0, LARDER_MISS);
    deliver();
    ck_assert_uint_eq(exchange_count(home), 0);
    ck_assert_uint_eq(fetches_open(), 0);
    exchange_home_destroy(&home);
    play_end();
}

/* ---- the cache ---- */

bool is_asked(enum larder_event_kind kind, unsigned *number)
{
    for (*number = 0; *number < asked_count; ++*number) {
        if (asked[*number].kind == kind)
            return true;
    }
    return false;
}

const struct asked *the_asked(enum larder_event_kind kind)
{
    unsigned number;

    if (!is_asked(kind, &number))
        ck_abort_msg("nothing of that kind was asked");
    return &asked[number];
}

struct larder_event *reply(enum larder_event_kind kind, enum larder_status status)
{
    return answer((unsigned)(the_asked(kind) - asked), status);
}

void miss(uint64_t lease, uint64_t follow)
{
    struct larder_event *event = reply(LARDER_EVENT_LOOKUP, LARDER_MISS);

    event->lease = lease;
    event->follow = follow;
    deliver();
}

struct http_meta_head fresh_head(void)
{
    return (struct http_meta_head){.status = 200,
                                   .response_time = clock_wall_ms() / 1000,
                                   .lifetime = 100,
                                   .stale_while_revalidate = -1,
                                   .stale_if_error = -1,
                                   .id = 77};
}

struct http_fields stored_fields(void)
{
    struct http_fields fields = {0};

    http_field_add(&fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
    return fields;
}

struct http_parts parts = {.length = 9000};

void put_meta(struct larder_event *event, const struct http_meta_head *head, const struct http_fields *fields)
{
    int length = http_meta_encode(head, fields, (char *)event->segment->data, SEGMENT_BYTES);

    if (head->flags & HTTP_META_PARTS)
        length = http_meta_add_parts(event->segment->data, length, SEGMENT_BYTES, &parts);
    ck_assert_int_gt(length, 0);
    event->meta_length = (uint32_t)length;
    event->length = 0;
}

void serve_reads(void)
{
    unsigned number = 0;

    while (number < asked_count) {
        if (asked[number].kind != LARDER_EVENT_READ || asked[number].flags == 1) {
            number++;
            continue;
        }
        fill_pattern(asked[number].segment->data, BODY, asked[number].offset, asked[number].length);
        answer(number, LARDER_OK);
        deliver();
        number = 0;
    }
}

/* ---- the origin ---- */

void answer_head(struct origin_fetch *of, int status, uint64_t length, const char *cache_control)
{
    of->head.status = status;
    of->head.length_known = length != LARDER_SIZE_UNKNOWN;
    of->head.length = of->head.length_known ? length : 0;
    http_field_add(&of->head.fields, HTTP_SPAN("Cache-Control"),
                   (struct http_span){cache_control, (uint32_t)strlen(cache_control)});
    of->calls->head(of->owner);
    loop_finish_tasks(&loop);
}

bool send_body(struct origin_fetch *of, uint64_t offset, size_t size)
{
    static uint8_t bytes[BODY_MAX];
    bool taken;

    fill_pattern(bytes, BODY, offset, size);
    taken = of->calls->body(of->owner, (const char *)bytes, size);
    loop_finish_tasks(&loop);
    return taken;
}

void end_fetch(struct origin_fetch *of, enum origin_result result)
{
    of->calls->ended(of->owner, result);
    loop_finish_tasks(&loop);
}
