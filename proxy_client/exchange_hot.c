/* Responses out of segments that the proxy has kept (hot.h): the look-up that would find the same is not
 * made.
 *
 *     look-up ─┬─ hot, or being loaded, and may be served as it is ──> STORED, from the entry
 *              ├─ asked for often ──> look-up that keeps ── hit ──> the same, while the set reads the rest
 *              └─ else, or anything but a fresh response ──> as ever
 *     STORED, of what is being loaded ─┬─ ahead of the loading ──> waits for the next piece
 *                                      └─ which is given up ─┬─ nothing was given yet ──> look-up
 *                                                            └─ within the response ──> as after a lost cache
 * So whatever needs the cache, a lease or the origin (validation, marks, parts) goes the ordinary way, and
 * what is served is decided and made by the same functions as after a look-up. */
#include "exchange_internal.h"

#include <stddef.h>

/* A look-up that wants nothing but what is stored, for a client. A lease that is here already would be kept
 * from the origin. */
static bool is_plain(const struct exchange *exchange, uint32_t flags)
{
    return exchange->sink && !exchange->background && !exchange->lease &&
           exchange->verdict == HTTP_REQUEST_LOOKUP && !(flags & LARDER_LOOKUP_REVALIDATE) &&
           (exchange->is_head || !(flags & LARDER_LOOKUP_NO_BODY)); /* else variants are surveyed */
}

static void hold(struct exchange *exchange, struct hot_entry *entry)
{
    exchange->hot = hot_hold(entry);
    exchange->object_size = entry->object_size;
}

/* The index of a resource that varies: its variant is looked up next, which may be hot as well. */
static bool open_index(struct exchange *exchange, struct hot_entry *entry)
{
    switch (variants_open(exchange)) {
    case VARIANTS_OPENED:
        hot_used(entry);
        exchange_look_up(exchange);
        return true;
    case VARIANTS_NO_KEY:
        hot_used(entry);
        exchange_go_forward(exchange, HTTP_FWD_VARY_MISS, "vary");
        return true;
    default:
        return false;
    }
}

bool hot_answers(struct exchange *exchange, uint32_t *flags)
{
    struct cache_key key = exchange_key(exchange);
    struct hot_entry *entry;
    bool keep;

    if (!is_plain(exchange, *flags))
        return false;
    entry = hot_ask(&exchange->home->hot, &key, &keep);
    if (!entry) {
        *flags |= keep && !exchange->is_head ? LARDER_LOOKUP_KEEP : 0;
        return false;
    }
    exchange->meta = entry->meta;
    if (!(entry->meta.head.flags & HTTP_META_INDEX) && stored_serving(exchange) != HTTP_SERVING_FRESH) {
        exchange->meta = (struct http_meta){0}; /* the segment is not held */
        return false;
    }
    /* It may have waited in line for a segment, for so long and no longer. That is over. */
    deadline_clear(&exchange->deadline);
    if (entry->meta.head.flags & HTTP_META_INDEX)
        return open_index(exchange, entry);
    hot_used(entry);
    hold(exchange, entry);
    stored_serve_hot(exchange);
    return true;
}

/* By whoever sends the same bytes, because nothing else has come into it. An index was asked for the variant,
 * and may be another by then. */
bool hot_may_repeat(const struct exchange *exchange)
{
    return exchange->is_get && exchange->hot->listed && exchange->hot->segments_wanted == 1 &&
           !exchange->variants && !exchange->is_follower && !exchange->request.has_body &&
           is_plain(exchange, exchange->lookup_flags);
}

bool exchange_recall(struct exchange_home *home, const char *bytes, uint32_t length,
                     struct exchange_again *again)
{
    int64_t second = home->loop->wall_ms / 1000;
    struct repeat *repeat;
    struct hot_entry *entry;

    again->hash = repeats_hash(&home->hot.repeats, bytes, length);
    repeat = repeats_find(&home->hot.repeats, again->hash, bytes, length);
    if (!repeat || repeat->second != second || !cache_link_usable(home->link))
        return false;
    entry = repeat->entry;
    if (entry->memo_second != second || entry->memo.length == 0 || !hot_ask_again(entry))
        return false;
    hot_used(entry);
    again->memo = &entry->memo;
    again->source = entry->object_size <= STORED_COPY_MAX ? NULL : &hot_hold(entry)->source;
    again->segment = entry->segments[0];
    again->offset = entry->meta_length;
    again->size = (uint32_t)entry->object_size;
    return true;
}

/* What a request says of freshness is weighed each time. */
void exchange_remember(struct exchange_home *home, const struct exchange_head *head, uint64_t hash,
                       const char *bytes, uint32_t length, const struct http_fields *fields)
{
    struct hot_entry *entry = head->again;

    if (repeats_seen(&home->hot.repeats, hash) && !http_field_find(fields, "cache-control", NULL) &&
        !http_field_find(fields, "pragma", NULL))
        repeats_note(&home->hot.repeats, hash, bytes, length, entry, &entry->repeats, entry->memo_second);
}

static bool is_for_all(const struct exchange *exchange)
{
    return !exchange->extents && !exchange->is_follower && stored_serving(exchange) == HTTP_SERVING_FRESH;
}

bool hot_takes(struct exchange *exchange, struct larder_event *event)
{
    struct hot *hot = &exchange->home->hot;
    struct cache_key key = exchange_key(exchange);
    struct hot_entry *entry;

    if (!is_for_all(exchange))
        return false;
    if (event->length < event->object_size)
        entry = hot_load(hot, &key, event, &exchange->meta, &exchange->handle);
    else
        entry = hot_adopt(hot, &key, event, &exchange->meta);
    if (entry)
        hold(exchange, entry);
    return entry != NULL;
}

/* An entry that is good is what the cache has now, if not younger than what it answered. */
bool hot_joins(struct exchange *exchange, const struct larder_event *event)
{
    struct cache_key key = exchange_key(exchange);
    struct http_meta found = exchange->meta;
    struct hot_entry *entry;

    if (event->length >= event->object_size || !is_plain(exchange, exchange->lookup_flags) ||
        !is_for_all(exchange))
        return false;
    entry = hot_find(&exchange->home->hot, &key);
    if (!entry)
        return false;
    exchange->meta = entry->meta;
    if (!is_for_all(exchange)) {
        exchange->meta = found;
        return false;
    }
    cache_link_release(exchange->home->link, &exchange->handle);
    hold(exchange, entry);
    return true;
}

void hot_takes_index(struct exchange *exchange, struct larder_event *event)
{
    struct cache_key key = exchange_key(exchange);

    if (event->status == LARDER_HIT && event->length == event->object_size)
        hot_adopt(&exchange->home->hot, &key, event, &exchange->meta);
}

/* The loading was given up. */
static void lost(struct exchange *exchange)
{
    if (exchange->head_given)
        stored_keep_meta(exchange);
    else
        exchange->meta = (struct http_meta){0};
    hot_drop(&exchange->hot);
    if (exchange->head_given)
        follow_lost(exchange);
    else
        exchange_look_up(exchange);
}

bool hot_lacks(struct exchange *exchange)
{
    if (exchange->position >= exchange->end ||
        hot_piece(exchange->hot, exchange->position, exchange->end).segment)
        return false;
    if (!hot_await(exchange->hot, exchange->position, &exchange->hot_wait))
        lost(exchange);
    return true;
}

/* What begins a segment goes on with the one before, in most cases: few bytes at the end leave with the rest.
 */
static void give_piece(struct exchange *exchange)
{
    struct hot_piece piece = hot_piece(exchange->hot, exchange->position, exchange->end);
    bool goes_on = piece.offset == 0 && exchange->position > 0;

    exchange->position += piece.size;
    if (piece.size <= STORED_COPY_MAX && !goes_on)
        exchange->sink->body(exchange->owner, (const char *)piece.segment->data + piece.offset, piece.size);
    else
        exchange->sink->body_shared(exchange->owner, &hot_hold(exchange->hot)->source, piece.segment,
                                    piece.offset, piece.size);
}

void hot_give(struct exchange *exchange)
{
    do {
        while (exchange->position < exchange->end) {
            if (exchange->sink->room(exchange->owner) == 0 || hot_lacks(exchange))
                return;
            give_piece(exchange);
        }
    } while (ranges_next(exchange));
    exchange_finish(exchange);
}

void hot_go_on(struct exchange *exchange)
{
    hot_unwait(&exchange->hot_wait);
    if (exchange->head_given)
        hot_give(exchange);
    else
        stored_serve_hot(exchange);
}

void hot_settled(struct hot_wait *wait)
{
    hot_go_on((struct exchange *)(void *)((char *)wait - offsetof(struct exchange, hot_wait)));
}
