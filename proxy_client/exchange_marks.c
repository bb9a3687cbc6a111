/* Marks: objects without a body that say what became of the last attempt to fetch a response. Those who wait
 * for the lease find them in its place.
 *
 *     the response cannot be stored ──> a mark for two minutes: whoever comes fetches at once, waiting for
 *                                       nobody. If the response may be stored after all, it takes the place
 *     the origin could not be asked ──> a mark for a second: it is the answer to all who come; but where the
 *                                       request may have been what the origin choked on, only to those who
 *                                       waited for it
 * Whether a response may be stored can depend on the request (Authorization), so a mark does not keep one
 * from being stored, it only says that waiting is of no use. */
#include "exchange_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define UNCACHEABLE_MS 120000
#define FAILURE_MS     1000

static const char *const details[] = {"origin-unreachable", "origin-timeout", "malformed-response"};

static uint32_t append(struct larder_segment *segment, uint32_t at, struct http_span span)
{
    memcpy(segment->data + at, span.at, span.length);
    return at + span.length;
}

/* If it is refused nobody finds it, which is what nobody finding it means. */
static void written(void *owner, struct cache_op *op, struct larder_event *event)
{
    (void)owner;
    (void)op;
    (void)event;
}

static int fill_object(struct exchange *exchange, const struct cache_key *key,
                       struct larder_segment **segment, uint32_t meta_length, int64_t until_ms, bool lasting)
{
    struct larder_fill fill = {.lease = exchange->lease,
                               .key_length = key->prefix.length + key->rest.length,
                               .meta_length = meta_length,
                               .fresh_until = until_ms,
                               .keep_until = until_ms,
                               .lasting = lasting};
    uint32_t at = append(*segment, append(*segment, 0, key->prefix), key->rest);

    append(*segment, at, (struct http_span){exchange->home->meta, meta_length});
    return cache_link_fill_begin(exchange->home->link, &exchange->ops, &fill, segment, written, exchange);
}

int marks_write_object(struct exchange *exchange, const struct cache_key *key, uint32_t meta_length,
                       int64_t until_ms, bool lasting)
{
    struct cache_link *link = exchange->home->link;
    struct larder_segment *segment = NULL;
    int error;

    if ((uint64_t)key->prefix.length + key->rest.length + meta_length > link->segment_bytes)
        return -EINVAL;
    error = cache_link_borrow(link, &segment);
    if (error)
        return error;
    error = fill_object(exchange, key, &segment, meta_length, until_ms, lasting);
    cache_link_return(link, &segment);
    if (!error)
        exchange->lease = 0; /* the whole object is there, which ends it */
    return error;
}

/* ---- leaving them ---- */

static void leave(struct exchange *exchange, uint16_t failure, int status, int64_t for_ms,
                  const struct http_fields *fields)
{
    struct exchange_home *home = exchange->home;
    struct cache_key key = exchange_key(exchange);
    struct http_meta_head head = {.status = (uint16_t)status,
                                  .flags = (uint16_t)(HTTP_META_MARK | failure),
                                  .response_time = exchange_now_s(exchange),
                                  .lifetime = HTTP_SECONDS_MAX,
                                  .stale_while_revalidate = -1,
                                  .stale_if_error = -1};
    int length;

    randombytes_buf(&head.id, sizeof head.id);
    length = http_meta_encode(&head, fields, home->meta, sizeof home->meta);
    if (length < 0 ||
        marks_write_object(exchange, &key, (uint32_t)length, home->loop->wall_ms + for_ms, false) != 0)
        cache_link_give_up(home->link, &exchange->lease);
}

void marks_leave_uncacheable(struct exchange *exchange)
{
    struct http_fields *fields = &exchange->home->more_fields;

    fields->count = 0;
    leave(exchange, 0, 200, UNCACHEABLE_MS, fields);
}

void marks_leave_failure(struct exchange *exchange, uint16_t failure, int status, const char *detail,
                         const char *text)
{
    struct http_fields *fields = &exchange->home->more_fields;

    fields->count = 0;
    if (!http_field_add(fields, HTTP_SPAN("Detail"), (struct http_span){detail, (uint32_t)strlen(detail)}) ||
        !http_field_add(fields, HTTP_SPAN("Text"), (struct http_span){text, (uint32_t)strlen(text)}))
        return;
    leave(exchange, failure, status, FAILURE_MS, fields);
}

/* ---- finding them ---- */

static const char *detail_of(const struct http_fields *fields)
{
    const struct http_field *field = http_field_find(fields, "detail", NULL);

    for (size_t i = 0; field && i < sizeof details / sizeof details[0]; i++) {
        if (http_span_equal(field->value, (struct http_span){details[i], (uint32_t)strlen(details[i])}))
            return details[i];
    }
    return details[0];
}

static void answer_with_failure(struct exchange *exchange)
{
    struct http_fields *fields = &exchange->home->more_fields;
    const struct http_field *field;
    char text[320] = "the origin could not be asked a moment ago";

    if (!http_fields_parse(fields, exchange->meta.fields))
        fields->count = 0;
    field = http_field_find(fields, "text", NULL);
    if (field)
        snprintf(text, sizeof text, "%.*s", (int)field->value.length, field->value.at);
    if (!exchange->is_follower)
        exchange->cache_status = (struct http_cache_status){.hit = true};
    exchange_fail(exchange, exchange->meta.head.status == 504 ? 504 : 502, detail_of(fields), text);
}

bool marks_is_failure_of_another(const struct exchange *exchange)
{
    const struct http_meta_head *mark = &exchange->meta.head;

    return mark->status != 200 && (mark->flags & HTTP_META_FAILED_REQUEST) && !exchange->is_follower;
}

static bool is_answer(const struct exchange *exchange)
{
    return !exchange->lease && exchange->meta.head.status != 200 && !marks_is_failure_of_another(exchange);
}

void marks_found(struct exchange *exchange)
{
    enum http_cache_fwd fwd = exchange->variants ? HTTP_FWD_VARY_MISS : HTTP_FWD_URI_MISS;

    if (is_answer(exchange)) {
        answer_with_failure(exchange);
        return;
    }
    if (exchange->is_get) /* else the answer is not for all */
        exchange->mark = exchange->meta.head.id;
    exchange_go_forward(exchange, fwd, NULL);
}

/* ---- the lease after all ---- */

/* The same mark: nothing was invalidated since it was found. */
static bool is_same_mark(const struct exchange *exchange, const struct larder_event *event)
{
    struct http_meta meta;

    return event->status != LARDER_MISS && event->segment && event->meta_length <= event->segment->size &&
           http_meta_decode(&meta, event->segment->data, event->meta_length) &&
           (meta.head.flags & HTTP_META_MARK) && meta.head.id == exchange->mark;
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    if (is_same_mark(exchange, event)) {
        exchange->lease = event->lease;
        event->lease = 0;
    }
    fetch_placed(exchange);
}

/* True: an answer, or a segment, is awaited. */
bool marks_ask_lease(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    struct cache_key key = exchange_key(exchange);
    int error =
        cache_link_lookup_asked(home->link, &exchange->ops, &key,
                                LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY,
                                exchange->fetched_ms, answered, exchange);

    if (error == -EAGAIN)
        error = cache_link_wait(home->link, &exchange->wait);
    return error == 0;
}

bool marks_retry(struct exchange *exchange)
{
    if (!marks_ask_lease(exchange)) {
        fetch_placed(exchange);
        return true;
    }
    return cache_link_retried(exchange->home->link, &exchange->wait);
}
