/* Responses out of the cache. A hit is sent straight out of the look-up's segment: its ready-made lines are
 * copied into the head, a small body as well, so that the segment is free again at once; a larger body is
 * sent from where it stands. What does not fit in one segment is read through the handle. */
#include "exchange_internal.h"

#include "http_date.h"
#include "invariant.h"
#include "log.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static int64_t age_now(const struct exchange *exchange)
{
    return http_meta_age(&exchange->meta.head, exchange_now_s(exchange));
}

static int64_t ttl_now(const struct exchange *exchange)
{
    return exchange->meta.head.lifetime - age_now(exchange);
}

/* A soft purge has ended its freshness earlier than the response said: it is as old now as if that had been
 * its lifetime, so that what a stale response may be used for counts from then on. */
static void cut_lifetime(struct http_meta_head *head, int64_t fresh_until_ms)
{
    int64_t fresh_until = fresh_until_ms > 0 ? fresh_until_ms / 1000 : 0;
    int64_t lifetime = http_meta_age(head, fresh_until);

    if (lifetime < head->lifetime)
        head->lifetime = lifetime;
}

/* The cache holds what some proxy of the tenant gave it, so the numbers are checked against each other. */
bool stored_decode(struct exchange *exchange, const struct larder_event *event)
{
    const struct larder_segment *segment = event->segment;

    if (!segment || event->meta_length > segment->size || event->length > segment->size - event->meta_length)
        return false;
    if (!exchange->is_head &&
        (event->length > event->object_size || (event->length < event->object_size && !exchange->handle)))
        return false;
    exchange->object_size = event->object_size;
    if (!http_meta_decode(&exchange->meta, segment->data, event->meta_length))
        return false;
    cut_lifetime(&exchange->meta.head, event->fresh_until);
    return true;
}

static struct http_stored stored_facts(const struct exchange *exchange)
{
    const struct http_meta_head *head = &exchange->meta.head;

    return (struct http_stored){.age = age_now(exchange),
                                .lifetime = head->lifetime,
                                .stale_while_revalidate = head->stale_while_revalidate,
                                .stale_if_error = head->stale_if_error,
                                .must_validate = head->flags & HTTP_META_MUST_VALIDATE,
                                .strict = head->flags & HTTP_META_STRICT,
                                .immutable = head->flags & HTTP_META_IMMUTABLE};
}

enum http_serving stored_serving(const struct exchange *exchange)
{
    struct http_stored stored = stored_facts(exchange);

    return http_serving(&exchange->directives, &stored);
}

bool stored_may_be_served(const struct exchange *exchange)
{
    enum http_serving serving = stored_serving(exchange);

    return serving == HTTP_SERVING_FRESH || serving == HTTP_SERVING_STALE;
}

bool stored_may_be_served_in_trouble(const struct exchange *exchange, enum http_trouble trouble)
{
    struct http_stored stored;

    if (!exchange->handle)
        return false;
    stored = stored_facts(exchange);
    return http_may_serve_in_trouble(&exchange->directives, &stored, trouble);
}

static void keep_blob(struct exchange *exchange, const void *blob, size_t length)
{
    char *copy = malloc(length);

    INVARIANT(copy);
    memcpy(copy, blob, length);
    free(exchange->blob);
    exchange->blob = copy;
    exchange->meta.fields.at = exchange->blob + sizeof(struct http_meta_head);
    exchange->meta.parts = (struct http_span){NULL, 0}; /* in exchange->extents, where it counts */
}

void stored_keep(struct exchange *exchange, const struct larder_event *event)
{
    keep_blob(exchange, event->segment->data, event->meta_length);
}

void stored_keep_meta(struct exchange *exchange)
{
    const char *start = exchange->meta.fields.at - sizeof(struct http_meta_head);

    if (start != exchange->blob)
        keep_blob(exchange, start, sizeof(struct http_meta_head) + exchange->meta.fields.length);
}

/* Does the client have it already? If so the fields are left in home->fields. */
static bool client_has_it(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;

    return exchange->meta.head.status == 200 && fields_have_conditions(exchange->request.fields) &&
           http_fields_parse(&home->fields, exchange->meta.fields) &&
           http_not_modified(exchange->request.fields, &home->fields, exchange_now_s(exchange));
}

void stored_make_head(struct exchange *exchange, struct exchange_head *head)
{
    int status = exchange->meta.head.status;

    *head = (struct exchange_head){.status = status,
                                   .lines = exchange->meta.fields,
                                   .has_body = !exchange->is_head && status != 204 && status != 304,
                                   .length_known = status != 204 && status != 304 &&
                                                   exchange->object_size != LARDER_SIZE_UNKNOWN,
                                   .length = exchange->object_size,
                                   .age = age_now(exchange),
                                   .cache_status = exchange->cache_status};
    exchange->position = 0;
    exchange->end = exchange->object_size;
    if (client_has_it(exchange) && fields_of_not_modified(exchange, &exchange->home->fields, &head->lines)) {
        head->status = 304;
        head->has_body = head->length_known = false;
    } else {
        ranges_apply(exchange, head);
    }
}

/* True: the response is complete without a body. */
static bool give_stored_head(struct exchange *exchange)
{
    struct exchange_head head;

    stored_make_head(exchange, &head);
    exchange_give_head(exchange, &head);
    return !head.has_body;
}

/* Where many clients read at once the segments are for all of them, and not for those who take their time. */
static void give_segment(struct exchange *exchange, struct larder_segment **segment, uint32_t offset,
                         uint32_t size)
{
    exchange->position += size;
    if (size <= STORED_COPY_MAX || cache_link_is_scarce(exchange->home->link))
        exchange->sink->body(exchange->owner, (const char *)(*segment)->data + offset, size);
    else
        exchange->sink->body_segment(exchange->owner, segment, offset, size);
    cache_link_return(exchange->home->link, segment);
    follow_gave(exchange);
}

void stored_read_on(struct exchange *exchange)
{
    const struct following *following = exchange->seat.following;

    if (exchange->hot) {
        hot_give(exchange);
        return;
    }
    if (exchange->extents) {
        parts_read_on(exchange);
        return;
    }
    body_reader_start(&exchange->reader, follow_handle(exchange), exchange->position, exchange->end);
    if (following)
        body_reader_grow(&exchange->reader, following_readable(following), exchange->end);
    else
        body_reader_room(&exchange->reader);
}

/* Several pieces are copied, because only one could take the segment along. */
static void give_from_look_up(struct exchange *exchange, struct larder_event *event)
{
    uint64_t end = exchange->end < event->length ? exchange->end : event->length;
    uint32_t offset = event->meta_length + (uint32_t)exchange->position;
    uint32_t size;

    if (exchange->position >= end)
        return;
    size = (uint32_t)(end - exchange->position);
    if (!exchange->parts) {
        give_segment(exchange, &event->segment, offset, size);
        return;
    }
    exchange->position = end;
    exchange->sink->body(exchange->owner, (const char *)event->segment->data + offset, size);
}

static void serve_from_look_up(struct exchange *exchange, struct larder_event *event)
{
    if (give_stored_head(exchange)) {
        exchange_finish(exchange);
        return;
    }
    do {
        give_from_look_up(exchange, event);
        if (exchange->position < exchange->end) {
            stored_read_on(exchange);
            return;
        }
    } while (ranges_next(exchange));
    exchange_finish(exchange);
}

void stored_serve(struct exchange *exchange, struct larder_event *event)
{
    exchange->state = EXCHANGE_STORED;
    if (!exchange->is_follower)
        exchange->cache_status = (struct http_cache_status){.hit = true};
    exchange->cache_status.has_ttl = true;
    exchange->cache_status.ttl = ttl_now(exchange);
    if (exchange->extents) {
        stored_keep(exchange, event);
        parts_serve(exchange);
        return;
    }
    if (hot_joins(exchange, event) || (event->kept && hot_takes(exchange, event))) {
        stored_serve_hot(exchange);
        return;
    }
    if (event->length < event->object_size && !exchange->is_head)
        stored_keep(exchange, event);
    serve_from_look_up(exchange, event);
}

/* As it is for everybody who asks within this second? */
static void offer_memo(struct exchange *exchange, struct exchange_head *head)
{
    struct hot_entry *entry = exchange->hot;
    int64_t now = exchange_now_s(exchange);

    if (head->status != exchange->meta.head.status || head->lines.at != exchange->meta.fields.at)
        return;
    if (entry->memo_second != now)
        entry->memo.length = 0;
    entry->memo_second = now;
    head->memo = &entry->memo;
    if (head->has_body && hot_may_repeat(exchange))
        head->again = entry;
}

/* The head waits for the first bytes: should they not come, something else may still be answered. */
void stored_serve_hot(struct exchange *exchange)
{
    struct exchange_head head;

    exchange->state = EXCHANGE_STORED;
    exchange->cache_status =
        (struct http_cache_status){.hit = true, .has_ttl = true, .ttl = ttl_now(exchange)};
    stored_make_head(exchange, &head);
    if (head.has_body && hot_lacks(exchange))
        return;
    offer_memo(exchange, &head);
    exchange_give_head(exchange, &head);
    if (head.has_body)
        hot_give(exchange);
    else
        exchange_finish(exchange);
}

void stored_serve_kept(struct exchange *exchange)
{
    exchange->state = EXCHANGE_STORED;
    exchange->cache_status.has_ttl = true;
    exchange->cache_status.ttl = ttl_now(exchange);
    if (exchange->extents)
        parts_serve(exchange);
    else if (give_stored_head(exchange) || (exchange->position == exchange->end && !ranges_next(exchange)))
        exchange_finish(exchange);
    else
        stored_read_on(exchange);
}

static size_t reader_room(void *owner)
{
    struct exchange *exchange = owner;

    return exchange->sink->room(exchange->owner);
}

static void reader_gives(void *owner, struct larder_segment **segment, uint32_t size)
{
    give_segment(owner, segment, 0, size);
}

static void reader_is_over(void *owner)
{
    struct exchange *exchange = owner;

    if (exchange->reader.state == BODY_READER_DONE && (parts_go_on(exchange) || ranges_next(exchange))) {
        stored_read_on(exchange);
        return;
    }
    parts_let_go(exchange);
    if (exchange->reader.state == BODY_READER_DONE)
        exchange_finish(exchange);
    else
        follow_lost(exchange);
}

const struct body_reader_calls stored_reader_calls = {
    .room = reader_room, .give = reader_gives, .over = reader_is_over};

static uint16_t flags_of(const struct http_storing *storing)
{
    return (uint16_t)((storing->must_validate ? HTTP_META_MUST_VALIDATE : 0) |
                      (storing->strict ? HTTP_META_STRICT : 0) |
                      (storing->heuristic ? HTTP_META_HEURISTIC : 0) |
                      (storing->no_transform ? HTTP_META_NO_TRANSFORM : 0) |
                      (storing->immutable ? HTTP_META_IMMUTABLE : 0));
}

int stored_encode(struct exchange *exchange, int status, const struct http_fields *fields,
                  const struct http_storing *storing)
{
    struct http_meta_head head = {.status = (uint16_t)status,
                                  .flags = flags_of(storing),
                                  .response_time = exchange_now_s(exchange),
                                  .initial_age = storing->initial_age,
                                  .lifetime = storing->lifetime,
                                  .keep = storing->keep,
                                  .stale_while_revalidate = storing->stale_while_revalidate,
                                  .stale_if_error = storing->stale_if_error};
    struct http_response response = {status, fields};

    randombytes_buf(&head.id, sizeof head.id);
    http_storing_fields(&exchange->home->more_fields, &response, storing);
    http_leave_out_tags(&exchange->home->tag_fields, &exchange->home->more_fields);
    return http_meta_encode(&head, &exchange->home->more_fields, exchange->home->meta,
                            sizeof exchange->home->meta);
}

void stored_times(const struct exchange *exchange, const struct http_storing *storing, int64_t *fresh_until,
                  int64_t *keep_until)
{
    int64_t fresh_for = storing->lifetime - storing->initial_age;

    *fresh_until = exchange->home->loop->wall_ms + 1000 * fresh_for;
    *keep_until = *fresh_until + 1000 * storing->keep;
}

/* Hands the new metadata to the cache, and tags, if there are new ones (in home->tags); if that is not
 * possible the old ones stay, and are validated again. */
static void send_update(struct exchange *exchange, uint32_t tags_length, int meta_length, int64_t fresh_until,
                        int64_t keep_until)
{
    struct cache_link *link = exchange->home->link;
    struct cache_update update = {.handle = exchange->handle,
                                  .lease = exchange->lease,
                                  .tags_length = tags_length,
                                  .meta_length = (uint32_t)meta_length,
                                  .fresh_until = fresh_until,
                                  .keep_until = keep_until};
    struct larder_segment *segment = NULL;

    if (tags_length + (uint32_t)meta_length > link->segment_bytes || cache_link_borrow(link, &segment) != 0)
        return;
    memcpy(segment->data, exchange->home->tags, tags_length);
    memcpy(segment->data + tags_length, exchange->home->meta, (size_t)meta_length);
    if (cache_link_update(link, &update, &segment) == 0)
        exchange->lease = 0;
    cache_link_return(link, &segment);
}

static void remove_stored(const struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);

    cache_link_remove_later(exchange->home->link, &key);
}

void stored_adopt_meta(struct exchange *exchange, int meta_length)
{
    keep_blob(exchange, exchange->home->meta, (size_t)meta_length);
    INVARIANT(http_meta_decode(&exchange->meta, exchange->blob, (size_t)meta_length));
}

/* RFC 9110 section 6.6.1: what arrives without Date is given one. */
static void add_missing_date(struct http_fields *fields, int64_t now, char date[HTTP_DATE_BYTES + 1])
{
    if (http_field_find(fields, "date", NULL))
        return;
    http_date_format(now, date);
    http_field_add(fields, HTTP_SPAN("Date"), (struct http_span){date, HTTP_DATE_BYTES});
}

/* home->fields: what is stored, then what it becomes. False: it cannot be updated. */
static bool make_updated_fields(struct exchange *exchange, const struct http_fields *update)
{
    struct exchange_home *home = exchange->home;
    int length;

    if (!http_fields_parse(&home->fields, exchange->meta.fields) ||
        !http_update_matches(&home->fields, update))
        return false;
    length = http_update_fields(&home->fields, update, home->lines, sizeof home->lines);
    return length >= 0 && http_fields_parse(&home->fields, (struct http_span){home->lines, (uint32_t)length});
}

enum http_head_effect stored_head_effect(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);
    const struct http_response response = {head->status, &head->fields};

    if (!http_fields_parse(&exchange->home->fields, exchange->meta.fields))
        return HTTP_HEAD_NOTHING;
    return http_head_effect(exchange->meta.head.status, &exchange->home->fields, exchange->object_size,
                            &response);
}

/* Section 4.3.4: a 304 without validators is no update of what has some, but it confirms it. */
static bool is_only_confirmed(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    const struct origin_head *head = origin_response(exchange->fetch);

    return head->status == 304 && http_fields_parse(&home->fields, exchange->meta.fields) &&
           http_update_match(&home->fields, &head->fields) == HTTP_UPDATE_CONFIRMED;
}

int stored_renew(struct exchange *exchange, struct http_storing *storing)
{
    struct exchange_home *home = exchange->home;
    struct http_rules rules = exchange_rules(exchange);
    /* What is stored is a whole response to GET, whatever has confirmed it. */
    struct http_request request = {HTTP_SPAN("GET"), exchange->request.target,
                                   exchange_http_request(exchange).fields};
    struct http_response stored = {exchange->meta.head.status, &home->fields};
    char date[HTTP_DATE_BYTES + 1];
    int length;

    *storing = (struct http_storing){.store = false};
    home->more_fields = origin_response(exchange->fetch)->fields;
    add_missing_date(&home->more_fields, exchange_now_s(exchange), date);
    if (!make_updated_fields(exchange, &home->more_fields))
        return -1;
    *storing = http_storing_updated(&rules, &request, &stored, &home->more_fields, exchange->request_time,
                                    exchange_now_s(exchange));
    length = stored_encode(exchange, stored.status, &home->fields, storing);
    if (length >= 0) /* the same body */
        memcpy(home->meta + offsetof(struct http_meta_head, id), &exchange->meta.head.id,
               sizeof exchange->meta.head.id);
    return length;
}

/* Does the origin's answer say by itself that nothing of it is to be kept? */
static bool is_forbidden(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);
    struct http_request request = exchange_http_request(exchange);
    struct http_response response = {head->status, &head->fields};
    struct http_rules rules = exchange_rules(exchange);

    return http_storing(&rules, &request, &response, exchange->request_time, exchange_now_s(exchange))
        .forbidden;
}

bool stored_update(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    struct http_storing storing;
    int64_t fresh_until, keep_until;
    int length, tags;

    if (is_only_confirmed(exchange)) {
        if (is_forbidden(exchange))
            remove_stored(exchange);
        stored_leave_as_it_is(exchange);
        return true;
    }
    tags = http_tags_collect(&home->tag_fields, &origin_response(exchange->fetch)->fields, home->tags);
    length = parts_describe(exchange, stored_renew(exchange, &storing));
    if (length < 0)
        return false;
    stored_times(exchange, &storing, &fresh_until, &keep_until);
    if (storing.store && tags >= 0 && variants_fit(exchange, &home->fields))
        send_update(exchange, (uint32_t)tags, length, fresh_until, keep_until);
    else if (storing.forbidden || tags < 0)
        remove_stored(exchange);
    cache_link_give_up(home->link, &exchange->lease);
    stored_adopt_meta(exchange, length);
    return true;
}

/* ---- failures ---- */

#define FAILURE_SECONDS 1 /* for so long nobody asks again */

bool stored_failed_lately(const struct exchange *exchange, enum http_trouble *trouble)
{
    const struct http_meta_head *head = &exchange->meta.head;
    uint32_t since = (uint32_t)exchange_now_s(exchange) - head->failed_at;

    *trouble = head->flags & HTTP_META_FAILED_STATUS ? HTTP_TROUBLE_STATUS : HTTP_TROUBLE_DISCONNECTED;
    return head->failed_at != 0 && since <= FAILURE_SECONDS;
}

/* The description is gone already, for something else is to take its place. */
static bool is_without_description(const struct exchange *exchange)
{
    return !exchange->extents && exchange->meta.head.flags & HTTP_META_PARTS;
}

/* The update ends the lease for all who wait for it at once. */
static void renew(struct exchange *exchange, const struct http_meta_head *head)
{
    struct exchange_home *home = exchange->home;
    int64_t expiry = head->response_time + head->lifetime - head->initial_age;
    int length;

    if (exchange->lease && exchange->handle && !is_without_description(exchange) &&
        http_fields_parse(&home->more_fields, exchange->meta.fields)) {
        length = http_meta_encode(head, &home->more_fields, home->meta, sizeof home->meta);
        length = parts_describe(exchange, length);
        if (length > 0)
            send_update(exchange, 0, length, 1000 * expiry, 1000 * (expiry + head->keep));
    }
    cache_link_give_up(home->link, &exchange->lease);
}

void stored_leave_as_it_is(struct exchange *exchange)
{
    renew(exchange, &exchange->meta.head);
}

void stored_note_failure(struct exchange *exchange, uint16_t failure)
{
    struct http_meta_head head = exchange->meta.head;

    head.failed_at = (uint32_t)exchange_now_s(exchange);
    head.flags = (uint16_t)((head.flags & ~(HTTP_META_FAILED_STATUS | HTTP_META_FAILED_REQUEST)) | failure);
    renew(exchange, &head);
}
