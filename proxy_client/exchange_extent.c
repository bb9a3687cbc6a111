/* Storing one more extent of a response of which parts are stored; see exchange_parts.c. */
#include "exchange_parts.h"

#include "invariant.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR       '\n' /* cannot occur in a target; what follows it is random, as in a variant's key */
#define KEY_SUFFIX_SIZE (2 + 2 * HTTP_PARTS_GENERATION + 2 * 20 + 2)

/* ---- keys ---- */

static uint32_t write_suffix(const struct http_parts *parts, const struct http_range *range,
                             char out[KEY_SUFFIX_SIZE])
{
    char generation[2 * HTTP_PARTS_GENERATION + 1];

    sodium_bin2hex(generation, sizeof generation, parts->generation, sizeof parts->generation);
    return (uint32_t)snprintf(out, KEY_SUFFIX_SIZE, "%c%s%c%llu-%llu", SEPARATOR, generation, SEPARATOR,
                              (unsigned long long)range->first, (unsigned long long)range->end);
}

/* Behind home->key_prefix. The caller's to free. */
struct http_span extent_make_key(struct http_span rest, const struct http_parts *parts,
                                 const struct http_range *range)
{
    char suffix[KEY_SUFFIX_SIZE];
    uint32_t length = write_suffix(parts, range, suffix);
    char *key = malloc((size_t)rest.length + length);

    INVARIANT(key);
    if (rest.length > 0)
        memcpy(key, rest.at, rest.length);
    memcpy(key + rest.length, suffix, length);
    return (struct http_span){key, rest.length + length};
}

void extent_free_key(struct http_span key)
{
    free((char *)(uintptr_t)key.at);
}

/* ---- what is to be stored ---- */

void extent_forget(struct exchange *exchange)
{
    struct exchange_part *part = exchange->part;

    if (!part)
        return;
    cache_link_give_up(exchange->home->link, &part->lease);
    free(part->key);
    free(part->meta);
    free(part->tags);
    free(part);
    exchange->part = NULL;
}

/* What has turned out to be gone is not listed any more when the part is. */
static void note_lost(struct exchange_part *part, const struct exchange_extents *extents)
{
    for (uint32_t i = 0; i < extents->parts.count; i++) {
        if (extents->lost[i])
            part->lost[part->lost_count++] = extents->parts.items[i];
    }
}

static void keep_tags(struct exchange_part *part, const char *tags, uint32_t length)
{
    if (length == 0)
        return;
    part->tags = malloc(length);
    INVARIANT(part->tags);
    memcpy(part->tags, tags, length);
    part->tags_length = length;
}

/* The metadata is in home->meta. NULL: it has more tags than can be kept, and could not be purged. */
static struct exchange_part *create_part(struct exchange *exchange, const struct http_range *range,
                                         int meta_length, const struct http_storing *storing)
{
    struct exchange_home *home = exchange->home;
    int tags = http_tags_collect(&home->tag_fields, &origin_response(exchange->fetch)->fields, home->tags);
    struct exchange_part *part = tags < 0 ? NULL : calloc(1, sizeof *part);

    if (tags < 0)
        return NULL;

    INVARIANT(part);
    part->range = *range;
    part->meta = malloc((size_t)meta_length);
    INVARIANT(part->meta);
    memcpy(part->meta, exchange->home->meta, (size_t)meta_length);
    part->meta_length = (uint32_t)meta_length;
    keep_tags(part, home->tags, (uint32_t)tags);
    part->asked_at = exchange->request_time;
    stored_times(exchange, storing, &part->fresh_until, &part->keep_until);
    exchange->part = part;
    return part;
}

static void name_part(struct exchange *exchange)
{
    struct exchange_part *part = exchange->part;
    struct http_span base = exchange_key(exchange).rest;
    struct http_span key = extent_make_key(base, &part->parts, &part->range);

    part->base_length = base.length;
    part->key = (char *)(uintptr_t)key.at;
    part->key_length = key.length;
}

/* One more of what is described. */
void extent_join(struct exchange *exchange, const struct http_range *range, int meta_length,
                 const struct http_storing *storing)
{
    const struct exchange_extents *extents = exchange->extents;
    struct exchange_part *part = create_part(exchange, range, meta_length, storing);
    struct http_parts after = extents->parts;

    if (!part)
        return;
    note_lost(part, extents);
    for (uint32_t i = 0; i < part->lost_count; i++)
        http_parts_remove(&after, &part->lost[i]);
    if (!http_parts_add(&after, extents->own, range) || part->keep_until <= exchange->home->loop->wall_ms) {
        extent_forget(exchange);
        return;
    }
    part->step = PART_ASK;
    part->parts = extents->parts;
    name_part(exchange);
}

/* ---- its place ---- */

static void new_generation(struct http_parts *parts)
{
    randombytes_buf(parts->generation, sizeof parts->generation);
}

static void description_written(void *owner, struct cache_op *op, struct larder_event *event)
{
    (void)owner; /* if it was refused the part will not be listed, which is what nobody finding it means */
    (void)op;
    (void)event;
}

static uint32_t append(struct larder_segment *segment, uint32_t at, struct http_span span)
{
    if (span.length == 0)
        return at;
    memcpy(segment->data + at, span.at, span.length);
    return at + span.length;
}

/* Metadata and description in home->meta; their length or -1. */
int extent_describe(struct exchange_home *home, const char *meta, uint32_t meta_length,
                    const struct http_parts *parts)
{
    if (meta != home->meta)
        memcpy(home->meta, meta, meta_length);
    return http_meta_add_parts(home->meta, (int)meta_length, sizeof home->meta, parts);
}

static int fill_description(struct exchange *exchange, struct larder_segment **segment, uint32_t meta_length)
{
    const struct exchange_part *part = exchange->part;
    struct cache_key key = exchange_key(exchange);
    struct larder_fill fill = {.lease = exchange->lease,
                               .key_length = key.prefix.length + key.rest.length,
                               .meta_length = meta_length,
                               .fresh_until = part->fresh_until,
                               .keep_until = part->keep_until,
                               .tags_length = part->tags_length};
    uint32_t at = append(*segment, append(*segment, 0, key.prefix), key.rest);

    at = append(*segment, at, (struct http_span){part->tags, part->tags_length});
    append(*segment, at, (struct http_span){exchange->home->meta, meta_length});
    return cache_link_fill_begin(exchange->home->link, &exchange->ops, &fill, segment, description_written,
                                 exchange);
}

/* In the place of whatever is there: nothing yet, or something else. -EAGAIN: no segment. */
static int write_description(struct exchange *exchange)
{
    const struct exchange_part *part = exchange->part;
    struct cache_link *link = exchange->home->link;
    struct cache_key key = exchange_key(exchange);
    struct larder_segment *segment = NULL;
    int length = extent_describe(exchange->home, part->meta, part->meta_length, &part->parts);
    int error;

    if (length < 0 || (uint64_t)key.prefix.length + key.rest.length + part->tags_length + (uint32_t)length >
                          link->segment_bytes)
        return -EINVAL;
    error = cache_link_borrow(link, &segment);
    if (error)
        return error;
    error = fill_description(exchange, &segment, (uint32_t)length);
    cache_link_return(link, &segment);
    if (!error)
        exchange->lease = 0; /* the whole object is there, which ends it */
    return error;
}

static void part_placed(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    exchange->part->lease = event->lease;
    event->lease = 0;
    fetch_placed(exchange);
}

static int take_step(struct exchange *exchange)
{
    struct exchange_part *part = exchange->part;
    struct cache_key key = {exchange->home->key_prefix, {part->key, part->key_length}};

    if (part->step == PART_WRITE) {
        int error = write_description(exchange);

        if (error)
            return error;
        part->step = PART_ASK;
    }
    return cache_link_lookup_asked(exchange->home->link, &exchange->ops, &key,
                                   LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY,
                                   exchange->fetched_ms, part_placed, exchange);
}

/* True: an answer, or a segment, is awaited. */
bool extent_place(struct exchange *exchange)
{
    int error = take_step(exchange);

    if (error == -EAGAIN)
        error = cache_link_wait(exchange->home->link, &exchange->wait);
    return !error;
}

void parts_give_up_place(struct exchange *exchange)
{
    cache_link_unwait(exchange->home->link, &exchange->wait);
    cache_ops_sever(&exchange->ops);
    extent_forget(exchange);
}

void extent_retry_place(struct exchange *exchange)
{
    if (extent_place(exchange))
        return;
    parts_give_up_place(exchange);
    fetch_placed(exchange);
}

/* ---- what the origin sent ---- */

/* The first of what is to be described. With If-Range a 206 lacks fields that the whole has (RFC 9110 section
 * 15.3.7). */
static void begin_parts(struct exchange *exchange, const struct origin_head *head,
                        const struct http_part *found, const struct http_storing *storing)
{
    struct http_fields *fields = &exchange->home->fields;
    struct exchange_part *part;
    int length;

    if (!exchange->lease || http_field_find(exchange->request.fields, "if-range", NULL))
        return;
    fields->count = 0;
    for (uint32_t i = 0; i < head->fields.count; i++) {
        if (!http_name_is(&head->fields.items[i], "content-range") &&
            !http_is_digest_of_content(&head->fields.items[i]))
            fields->items[fields->count++] = head->fields.items[i];
    }
    length = stored_encode(exchange, 200, fields, storing);
    if (length < 0)
        return;
    part = create_part(exchange, &found->range, length, storing);
    if (!part)
        return;
    if (part->keep_until <= exchange->home->loop->wall_ms) {
        extent_forget(exchange);
        return;
    }
    part->step = PART_WRITE;
    part->parts = (struct http_parts){.length = found->length};
    new_generation(&part->parts);
    name_part(exchange);
}

/* Sets exchange->part if this response is to be stored as one. */
static void judge(struct exchange *exchange, const struct origin_head *head)
{
    struct http_request request = exchange_http_request(exchange);
    struct http_response response = {head->status, &head->fields};
    struct http_rules rules = exchange_rules(exchange);
    struct http_storing storing =
        http_storing(&rules, &request, &response, exchange->request_time, exchange_now_s(exchange));
    struct http_part found;
    int length;

    /* What varies by Range is something else for each, and its key does not tell them apart. */
    if (!storing.store || !head->length_known || http_list_has(&head->fields, "vary", "range") ||
        !http_part_of(&response, head->length, exchange_now_s(exchange), &found))
        return;
    if (!parts_are_of_the_same(exchange, head, &found)) {
        begin_parts(exchange, head, &found, &storing);
        return;
    }
    length = stored_renew(exchange, &storing);
    if (length >= 0 && storing.store && variants_fit(exchange, &exchange->home->fields))
        extent_join(exchange, &found.range, length, &storing);
}

bool parts_find_place(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);

    if (head->status != 206 || (!exchange->lease && !exchange->extents))
        return false;
    judge(exchange, head);
    if (!exchange->part && !exchange->cache_status.detail)
        exchange->cache_status.detail = "part";
    if (!exchange->part || exchange->part->step != PART_WRITE)
        cache_link_give_up(exchange->home->link, &exchange->lease);
    if (exchange->part && extent_place(exchange))
        return true;
    extent_forget(exchange);
    cache_link_give_up(exchange->home->link, &exchange->lease);
    return false;
}

/* It is as good as what describes it, which tells its age: it stays until it is the least used, or purged,
 * and does not become stale. */
void parts_begin_fill(struct exchange *exchange)
{
    struct exchange_part *part = exchange->part;
    int64_t until = exchange->home->loop->wall_ms + 1000 * HTTP_SECONDS_MAX;
    struct fill_object object = {.meta = {"", 0}, .fresh_until = until, .keep_until = until, .lasting = true};

    if (!part)
        return;
    object.tags = (struct http_span){part->tags, part->tags_length};
    object.key = (struct cache_key){exchange->home->key_prefix, {part->key, part->key_length}};
    object.size = size_of(&part->range);
    if (!part->lease || !fill_writer_start(&exchange->fill, &part->lease, &object))
        extent_forget(exchange);
}

/* ---- responses that may break off ---- */

int parts_mark(struct exchange *exchange, int meta_length, const struct http_storing *storing, bool *marked)
{
    const struct origin_head *head = origin_response(exchange->fetch);
    struct http_request request = exchange_http_request(exchange);
    struct http_response response = {head->status, &head->fields};
    struct http_part whole = {{0, head->length}, head->length};
    struct http_parts parts = {.length = head->length};
    int length;

    *marked = false;
    /* What fits into a segment is handed over when it is whole. */
    if (!head->length_known || head->length <= exchange->home->link->segment_bytes ||
        !http_may_store_incomplete(storing, &request, &response, exchange_now_s(exchange)))
        return meta_length;
    new_generation(&parts);
    if (parts_are_of_the_same(exchange, head, &whole))
        parts = exchange->extents->parts; /* they stay of use */
    length = http_meta_add_parts(exchange->home->meta, meta_length, sizeof exchange->home->meta, &parts);
    *marked = length >= 0;
    return *marked ? length : meta_length;
}

int parts_describe(const struct exchange *exchange, int meta_length)
{
    if (!exchange->extents || meta_length < 0)
        return meta_length;
    return extent_describe(exchange->home, exchange->home->meta, (uint32_t)meta_length,
                           &exchange->extents->parts);
}
