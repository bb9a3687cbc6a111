/* Responses of which parts are stored (RFC 9111 sections 3.3 and 3.4, RFC 9110 section 15.3.7.3).
 *
 * Under the key of such a response lies an object whose metadata is that of the whole 200, with a description
 * of what there is (http_parts.h). Its body is what the response began with, as far as it came before it
 * broke off; mostly there is none. Each extent is an object of its own, under a key of the description's
 * generation and its place.
 *
 *     found, and it is not whole ─┬─ all that is wanted is listed: as ever, fresh or validated ──> SURVEY
 *                                 └─ something is missing: the lease ────────────────────────────> SURVEY
 *                                           └─ that others had, and others wait for ─────────────> FETCH
 *     SURVEY (pins each extent that is wanted)
 *         ├─ all there ──────────────────────────────> head, STORED: one extent after the other
 *         ├─ a gap, and enough of the rest is there ─> COMBINE: asks for the gap with If-Range
 *         │      ├─ 206, the gap of the same ────────> PLACE, head, extents, gap, extents
 *         │      └─ anything else ───────────────────> FETCH: that is the response, or it is asked for anew
 *         └─ otherwise ──────────────────────────────> FETCH, with the client's own Range
 *     FETCH, and the answer is a part
 *         ├─ of what is described, with the same strong validator: needs no lease ─> PLACE
 *         └─ of something else, and there is the key's lease ──> WRITE (a new description) ──> PLACE
 *     PLACE: the lease of the extent's own key ──> fill ──> note
 *     note (an object of its own, for the client need not wait for it)
 *         ASK for the key's lease
 *         ├─ has it, and the generation is the same ────────> RENEW the description ──> done
 *         ├─ another has it ──> (waits for it) ──> ASK
 *         └─ nothing, or something else is there by now ────> done, unlisted
 *
 * The description is looked up again under the lease, so of two that add to it neither is lost; and a part is
 * not listed if the description has been removed or replaced since, so no invalidation is undone. */
#include "exchange_parts.h"

#include "invariant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_NONE (-3)

/* ---- what there is ---- */

static void release_all(struct exchange *exchange)
{
    struct exchange_extents *extents = exchange->extents;
    struct cache_link *link = exchange->home->link;

    cache_link_release(link, &extents->own_handle);
    for (uint32_t i = 0; i < extents->parts.count; i++)
        cache_link_release(link, &extents->handles[i]);
}

static void forget_extents(struct exchange *exchange)
{
    if (exchange->extents)
        release_all(exchange);
    free(exchange->extents);
    exchange->extents = NULL;
}

bool parts_open(struct exchange *exchange, const struct larder_event *event)
{
    struct exchange_extents *extents;
    struct http_parts parts;

    forget_extents(exchange);
    if (exchange->meta.parts.length == 0)
        return false;
    INVARIANT(http_parts_decode(&parts, exchange->meta.parts.at, exchange->meta.parts.length));
    exchange->meta.parts = (struct http_span){NULL, 0};
    if (event->object_size >= parts.length) { /* whole, and written as such from now on */
        exchange->meta.head.flags &= (uint16_t)~HTTP_META_PARTS;
        return false;
    }
    extents = calloc(1, sizeof *extents);
    INVARIANT(extents);
    extents->parts = parts;
    extents->own = event->object_size;
    exchange->object_size = extents->parts.length;
    exchange->extents = extents;
    return true;
}

static void cover(const struct exchange_extents *extents, const struct http_range *wanted,
                  struct http_pieces *out)
{
    http_parts_cover(&extents->parts, extents->own, extents->lost, wanted, out);
}

static bool is_missing_something(const struct exchange_extents *extents)
{
    struct http_pieces pieces;
    struct http_range gap;

    for (uint32_t i = 0; i < extents->wanted.count; i++) {
        cover(extents, &extents->wanted.items[i], &pieces);
        if (http_pieces_gap(&pieces, &gap))
            return true;
    }
    return false;
}

bool parts_suffice(struct exchange *exchange)
{
    struct exchange_head head;
    bool suffices;

    stored_make_head(exchange, &head);
    ranges_wanted(exchange, &exchange->extents->wanted);
    suffices = !head.has_body || !is_missing_something(exchange->extents);
    ranges_forget(exchange);
    return suffices;
}

void parts_let_go(struct exchange *exchange)
{
    if (!exchange->extents)
        return;
    release_all(exchange);
    if (exchange->state != EXCHANGE_COMBINE)
        return;
    origin_close(&exchange->fetch);
    fill_writer_abort(&exchange->fill);
    extent_forget(exchange);
}

/* ---- SURVEY ---- */

/* The first source of the wanted pieces that is neither pinned nor lost. */
static int next_source(const struct exchange_extents *extents)
{
    struct http_pieces pieces;

    for (uint32_t i = 0; i < extents->wanted.count; i++) {
        cover(extents, &extents->wanted.items[i], &pieces);
        for (uint32_t k = 0; k < pieces.count; k++) {
            int source = pieces.items[k].source;

            if (source >= 0 ? !extents->handles[source] : source == HTTP_PIECE_OWN && !extents->own_handle)
                return source;
        }
    }
    return SOURCE_NONE;
}

/* A head and a body were promised by the list; both are checked against what lies there. */
static bool is_described(const struct exchange_extents *extents, const struct larder_event *event)
{
    struct http_meta meta;
    struct http_parts parts;

    if (extents->surveyed >= 0)
        return event->object_size == size_of(&extents->parts.items[extents->surveyed]);
    return event->object_size == extents->own && event->segment &&
           event->meta_length <= event->segment->size &&
           http_meta_decode(&meta, event->segment->data, event->meta_length) &&
           http_parts_decode(&parts, meta.parts.at, meta.parts.length) &&
           memcmp(parts.generation, extents->parts.generation, sizeof parts.generation) == 0;
}

static void survey(struct exchange *exchange);

static void source_answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;
    struct exchange_extents *extents = exchange->extents;
    uint64_t *handle = extents->surveyed >= 0 ? &extents->handles[extents->surveyed] : &extents->own_handle;

    (void)op;
    deadline_clear(&exchange->deadline);
    if (event->status == LARDER_STALE && event->handle && is_described(extents, event)) {
        *handle = event->handle;
        event->handle = 0;
    } else if (extents->surveyed >= 0) {
        extents->lost[extents->surveyed] = true;
    } else {
        extents->own = 0;
    }
    survey(exchange);
}

/* STALE: whatever its times say, for that pins it. */
static int look_up_source(struct exchange *exchange)
{
    struct exchange_extents *extents = exchange->extents;
    struct cache_key key = exchange_key(exchange);
    struct http_span own = {NULL, 0};
    int error;

    if (extents->surveyed >= 0)
        key.rest = own = extent_make_key(key.rest, &extents->parts, &extents->parts.items[extents->surveyed]);
    error = cache_link_lookup(exchange->home->link, &exchange->ops, &key,
                              LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY, source_answered, exchange);
    extent_free_key(own);
    return error;
}

static void leave_cache(struct exchange *exchange, const char *detail)
{
    parts_forget(exchange);
    exchange_go_without_cache(exchange, detail);
}

void parts_survey_timed_out(struct exchange *exchange)
{
    if (exchange->ops.count > 0)
        cache_link_timed_out(exchange->home->link, exchange->asked_ms);
    leave_cache(exchange, "cache-timeout");
}

static void surveyed(struct exchange *exchange);

static void survey(struct exchange *exchange)
{
    int error;

    exchange->state = EXCHANGE_SURVEY;
    exchange->extents->surveyed = next_source(exchange->extents);
    if (exchange->extents->surveyed == SOURCE_NONE) {
        deadline_clear(&exchange->deadline);
        surveyed(exchange);
        return;
    }
    error = look_up_source(exchange);
    if (!deadline_is_set(&exchange->deadline))
        exchange_await_answer(exchange);
    if (error == -EAGAIN)
        error = cache_link_wait(exchange->home->link, &exchange->wait);
    if (error)
        leave_cache(exchange, error == -ENOTCONN ? "no-cache-server" : "cache-busy");
}

static void give_what_is_stored(struct exchange *exchange)
{
    struct exchange_head head;

    cache_link_give_up(exchange->home->link, &exchange->lease);
    exchange->state = EXCHANGE_STORED;
    stored_make_head(exchange, &head);
    exchange_give_head(exchange, &head);
    if (exchange->position < exchange->end || ranges_next(exchange))
        parts_read_on(exchange);
    else
        exchange_finish(exchange);
}

/* Where no more than a few bytes are spared, what the client wants is asked for as it is. */
static bool find_gap(struct exchange *exchange)
{
    struct exchange_extents *extents = exchange->extents;
    struct http_pieces pieces;
    struct http_span validator;

    if (extents->wanted.count != 1)
        return false;
    cover(extents, &extents->wanted.items[0], &pieces);
    return http_pieces_gap(&pieces, &extents->gap) &&
           http_pieces_spared(&pieces, &extents->gap) >= HTTP_PARTS_SMALLEST &&
           http_fields_parse(&exchange->home->more_fields, exchange->meta.fields) &&
           http_strong_validator(&exchange->home->more_fields, exchange_now_s(exchange), &validator);
}

static void ask_for_gap(struct exchange *exchange)
{
    exchange->cache_status = (struct http_cache_status){.fwd = HTTP_FWD_PARTIAL};
    exchange->position = exchange->extents->gap.first;
    exchange->end = exchange->extents->gap.end;
    fetch_start(exchange, EXCHANGE_COMBINE);
}

void parts_return_handle(struct exchange *exchange)
{
    if (!exchange->extents || exchange->handle)
        return;
    exchange->handle = exchange->extents->own_handle;
    exchange->extents->own_handle = 0;
}

/* What is known of the extents stays, to tell whether the answer is one more of them. */
static void ask_for_all(struct exchange *exchange)
{
    parts_return_handle(exchange);
    release_all(exchange);
    exchange_go_forward(exchange, HTTP_FWD_PARTIAL, NULL);
}

static void surveyed(struct exchange *exchange)
{
    bool has_gap;

    ranges_forget(exchange);
    if (!is_missing_something(exchange->extents)) {
        give_what_is_stored(exchange);
        return;
    }
    if (!exchange->lease && exchange_may_look_again(exchange)) { /* evicted, though listed */
        forget_extents(exchange);
        exchange_look_again(exchange);
        return;
    }
    has_gap = !exchange->directives.only_if_cached && find_gap(exchange);
    if (has_gap)
        ask_for_gap(exchange);
    else
        ask_for_all(exchange);
}

void parts_serve(struct exchange *exchange)
{
    struct exchange_extents *extents = exchange->extents;
    struct exchange_head head;

    stored_make_head(exchange, &head);
    if (!head.has_body) {
        exchange_give_head(exchange, &head);
        exchange_finish(exchange);
        return;
    }
    extents->own_handle = extents->own_handle ? extents->own_handle : exchange->handle;
    exchange->handle = 0;
    ranges_wanted(exchange, &extents->wanted);
    survey(exchange);
}

/* Others want the whole as well: a gap would be filled for one of them after the other, but what is fetched
 * whole they can read as it arrives. */
static bool is_one_of_many(const struct exchange *exchange)
{
    return exchange->followed > 0 && exchange->lease && !exchange->has_range;
}

void parts_complete(struct exchange *exchange, const struct larder_event *event)
{
    stored_keep(exchange, event);
    exchange->cache_status = (struct http_cache_status){.fwd = HTTP_FWD_PARTIAL};
    if (is_one_of_many(exchange))
        ask_for_all(exchange);
    else
        parts_serve(exchange);
}

/* ---- giving ---- */

bool parts_go_on(const struct exchange *exchange)
{
    return exchange->extents && exchange->position < exchange->end;
}

bool parts_come_first(const struct exchange *exchange)
{
    return exchange->state == EXCHANGE_COMBINE && exchange->sink && exchange->head_given &&
           exchange->position < exchange->extents->gap.first;
}

/* The next of the pieces, which have been surveyed. */
static struct http_piece next_piece(const struct exchange *exchange)
{
    const struct exchange_extents *extents = exchange->extents;
    struct http_range rest = {exchange->position, exchange->end};
    struct http_pieces pieces;

    if (parts_come_first(exchange))
        rest.end = extents->gap.first;
    cover(extents, &rest, &pieces);
    INVARIANT(pieces.count > 0 && pieces.items[0].source != HTTP_PIECE_GAP);
    return pieces.items[0];
}

void parts_read_on(struct exchange *exchange)
{
    const struct exchange_extents *extents = exchange->extents;
    struct http_piece piece;
    uint64_t start;

    if (exchange->state == EXCHANGE_COMBINE && !parts_come_first(exchange)) {
        origin_resume(exchange->fetch);
        return;
    }
    piece = next_piece(exchange);
    start = piece.source >= 0 ? extents->parts.items[piece.source].first : 0;
    body_reader_start(&exchange->reader,
                      piece.source >= 0 ? extents->handles[piece.source] : extents->own_handle,
                      piece.range.first - start, piece.range.end - start);
    body_reader_room(&exchange->reader);
}

void parts_pass_head(struct exchange *exchange)
{
    struct exchange_head head;

    stored_make_head(exchange, &head);
    exchange_give_head(exchange, &head);
    if (head.has_body)
        parts_read_on(exchange);
    else
        exchange_finish(exchange); /* the gap goes on being filled */
}

void parts_after_gap(struct exchange *exchange)
{
    free(exchange->tail);
    exchange->tail = NULL;
    exchange->state = EXCHANGE_STORED;
    if (exchange->position != exchange->extents->gap.end)
        exchange_break(exchange);
    else if (parts_go_on(exchange))
        parts_read_on(exchange);
    else
        exchange_finish(exchange);
}

/* ---- the gap ---- */

bool parts_are_of_the_same(struct exchange *exchange, const struct origin_head *head,
                           const struct http_part *part)
{
    struct http_fields *stored = &exchange->home->more_fields;

    return exchange->extents && part->length == exchange->object_size &&
           http_fields_parse(stored, exchange->meta.fields) &&
           http_parts_match(stored, &head->fields, exchange_now_s(exchange));
}

/* As http_part_of(), however small it is. */
static bool is_the_gap(struct exchange *exchange, const struct origin_head *head)
{
    const struct http_field *field = http_field_find(&head->fields, "content-range", NULL);
    const struct http_range *gap = &exchange->extents->gap;
    struct http_content_range range;
    struct http_part part;

    if (head->status != 206 || !field || http_field_find(&head->fields, "content-range", field) ||
        !http_content_range_parse(field->value, &range) || range.unsatisfied || !range.length_known ||
        range.range.first != gap->first || range.range.end != gap->end || !head->length_known ||
        head->length != size_of(gap))
        return false;
    part = (struct http_part){range.range, range.length};
    return parts_are_of_the_same(exchange, head, &part);
}

static void begin_anew(struct exchange *exchange)
{
    origin_close(&exchange->fetch);
    forget_extents(exchange);
    fetch_start(exchange, EXCHANGE_FETCH);
}

static bool is_large_enough(const struct http_range *range, uint64_t length)
{
    return size_of(range) >= HTTP_PARTS_SMALLEST || size_of(range) == length;
}

static void remove_description(struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);

    cache_link_remove_later(exchange->home->link, &key);
}

static bool if_range_holds(const struct exchange *exchange, const struct http_fields *fields)
{
    return http_if_range_holds(exchange->request.fields, fields, exchange_now_s(exchange));
}

/* RFC 9111 section 3.4: the fields of the part update those that are stored. Where that changes what If-Range
 * decides (an ETag of the content, and another Last-Modified), what was wanted is not wanted any more. */
static void combine(struct exchange *exchange, const struct origin_head *head)
{
    const struct http_range *gap = &exchange->extents->gap;
    struct http_fields *stored = &exchange->home->more_fields;
    bool held = http_fields_parse(stored, exchange->meta.fields) && if_range_holds(exchange, stored);
    struct http_storing storing;
    int length = stored_renew(exchange, &storing);

    if (length < 0 || if_range_holds(exchange, &exchange->home->fields) != held) {
        begin_anew(exchange);
        return;
    }
    if (storing.store && variants_fit(exchange, &exchange->home->fields) &&
        is_large_enough(gap, exchange->object_size))
        extent_join(exchange, gap, length, &storing);
    else if (storing.forbidden)
        remove_description(exchange);
    stored_adopt_meta(exchange, length);
    cache_link_give_up(exchange->home->link, &exchange->lease);
    exchange->cache_status.fwd_status = head->status;
    if (!exchange->part || !extent_place(exchange)) {
        extent_forget(exchange);
        parts_pass_head(exchange);
        return;
    }
    exchange->hold = EXCHANGE_HOLD_PART;
    exchange_await_answer(exchange);
}

bool parts_gap_answered(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);

    if (is_the_gap(exchange, head)) {
        combine(exchange, head);
        return true;
    }
    /* Not what was asked for, and not what the client has asked for either. */
    if (head->status == 206 || head->status == 304 || head->status == 416) {
        begin_anew(exchange);
        return true;
    }
    parts_return_handle(exchange);
    if (http_status_is_trouble(head->status)) /* what is stored stays (RFC 9111 section 4.3.3) */
        stored_note_failure(exchange, HTTP_META_FAILED_STATUS);
    forget_extents(exchange);
    exchange->state = EXCHANGE_FETCH;
    return false;
}

bool parts_retry(struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_SURVEY)
        survey(exchange);
    else
        extent_retry_place(exchange);
    return cache_link_retried(exchange->home->link, &exchange->wait);
}

void parts_forget(struct exchange *exchange)
{
    forget_extents(exchange);
    extent_forget(exchange);
    parts_leave_note(exchange);
}
