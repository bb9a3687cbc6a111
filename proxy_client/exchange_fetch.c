/* Responses from the origin.
 *
 *     start ──> head ──┬─ to VALIDATE, 304 ────────> end ──> stored_update(), served from the cache
 *                      ├─ to CONTINUE ─────> body ──> end
 *                      ├─ to RESUME ───────> body ──> end ──> commit
 *                      └─> (hold, until what an unsafe method invalidates is gone from the cache)
 *                          (hold, until there is a lease for the response to POST that is to be stored)
 *                          pass on, perhaps begin to fill
 *                          (hold, until there is a lease for its variant)
 *                          (hold, until there is a lease after all, where a mark was)
 *                          (hold, until the cache says whether it takes a large object)
 *                          give the head ──> body ──> end ──> commit ──> finished
 *
 * Commit: the last bytes of a response that is being stored are held back until the cache confirms it (or for
 * --cache-timeout), so that whoever has the whole response may rely on the next request being a hit,
 * through any proxy. */
#include "exchange_internal.h"

#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has been stored of it bears the fields with which it began, and keeps them: they must be no more than
 * the rest permits (RFC 9111 sections 3 and 3.4). */
static bool permits_as_much(struct exchange *exchange)
{
    const struct http_meta_head *head = &exchange->meta.head;
    int64_t left = head->response_time + head->lifetime - head->initial_age - exchange_now_s(exchange);
    struct http_storing storing;

    return stored_renew(exchange, &storing) >= 0 && storing.store &&
           storing.lifetime - storing.initial_age + 1 >= left; /* they are counted in whole seconds */
}

/* RFC 9110 section 14.4: the rest of the same representation, or all of it, of which the first bytes are
 * there already. */
static void resume_fill(struct exchange *exchange, const struct origin_head *head)
{
    bool continues = fields_continue(exchange, head, &exchange->skip);

    if (continues && !permits_as_much(exchange))
        cache_link_discard(exchange->home->link, &exchange->lease);
    if (!continues || !exchange->lease) {
        exchange_end(exchange);
        return;
    }
    fill_writer_resume(&exchange->fill, &exchange->lease, exchange->position, exchange->object_size,
                       exchange->meta.head.flags & HTTP_META_PARTS);
    exchange->state = EXCHANGE_FETCH;
}

static void on_interim(void *owner, int status, const struct http_fields *fields);
static void on_head(void *owner);
static bool on_body(void *owner, const char *data, size_t size);
static enum origin_body on_read_body(void *owner, char *out, size_t size, size_t *got);
static void on_ended(void *owner, enum origin_result result);

static const struct origin_calls calls = {
    .interim = on_interim, .head = on_head, .body = on_body, .read_body = on_read_body, .ended = on_ended};

/* Nothing to fill: the client's own conditions may go along. */
static enum fields_purpose purpose_of(const struct exchange *exchange)
{
    switch (exchange->state) {
    case EXCHANGE_VALIDATE:
        return FIELDS_VALIDATE;
    case EXCHANGE_CONTINUE:
    case EXCHANGE_RESUME:
    case EXCHANGE_COMBINE:
        return FIELDS_CONTINUE;
    default: /* where there was a mark, it may come to a fill after all */
        if (exchange->has_range && (exchange->lease || exchange->mark || exchange->extents))
            return FIELDS_PART;
        if (post_may_be_stored(exchange))
            return FIELDS_PART;
        if (exchange->mark && !exchange->lease) /* most likely nothing comes of it */
            return FIELDS_PART;
        return exchange->lease ? FIELDS_WHOLE : FIELDS_PASS;
    }
}

static void cannot_start(struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_CONTINUE || exchange->background)
        exchange_break(exchange);
    else
        exchange_fail(exchange, 502, "request-not-forwarded",
                      "the request cannot be passed on to the origin");
}

void fetch_start(struct exchange *exchange, enum exchange_state state)
{
    struct exchange_home *home = exchange->home;
    struct origin_request request = {.method = exchange->request.method,
                                     .target = exchange->request.target,
                                     .fields = home->fields.items,
                                     .has_body = exchange->request.has_body,
                                     .expects_continue = exchange->request.expects_continue,
                                     .body_length = exchange->request.body_length};
    enum fields_purpose purpose;

    exchange->state = state;
    purpose = purpose_of(exchange);
    exchange->fetch_ended = exchange->validated = false;
    exchange->request_time = exchange_now_s(exchange);
    exchange->fetched_ms = exchange->home->loop->wall_ms;
    exchange->holds_conditions = purpose != FIELDS_PASS && purpose != FIELDS_PART;
    /* What a POST was answered is not continued: the request must not be made twice. */
    if ((state == EXCHANGE_CONTINUE && !exchange->is_get) || !fields_to_origin(exchange, purpose)) {
        cannot_start(exchange);
        return;
    }
    request.field_count = home->fields.count;
    if (origin_fetch(home->origin, &exchange->fetch, &request, &calls, exchange) != 0)
        cannot_start(exchange);
}

/* The head: stored, passed on, or both. */

/* Into home->tags. A response with more tags than can be kept is not stored, because it could not be purged.
 */
static void collect_tags(struct exchange *exchange, const struct origin_head *head,
                         struct http_storing *storing, struct http_span *tags)
{
    struct exchange_home *home = exchange->home;
    int length = http_tags_collect(&home->tag_fields, &head->fields, home->tags);

    *tags = (struct http_span){home->tags, length > 0 ? (uint32_t)length : 0};
    if (length >= 0)
        return;
    storing->store = false;
    storing->reason = "tags";
}

static bool worth_filling(struct exchange *exchange, const struct origin_head *head,
                          struct http_storing *storing, struct http_span *tags)
{
    struct http_request request = exchange_http_request(exchange);
    struct http_response response = {head->status, &head->fields};
    struct http_rules rules = exchange_rules(exchange);

    if (!exchange->lease && !exchange->mark)
        return false;
    *storing = http_storing(&rules, &request, &response, exchange->request_time, exchange_now_s(exchange));
    /* A rule for errors does not replace what may still be served in place of one (RFC 9111 section 4.3.3).
     */
    if (storing->negative && exchange->handle && http_status_is_trouble(head->status))
        storing->store = false;
    if (storing->store)
        collect_tags(exchange, head, storing, tags);
    if (!storing->store && !exchange->cache_status.detail)
        exchange->cache_status.detail = storing->reason;
    return storing->store;
}

/* It is about a range, or about the client's own copy: nothing to those who want the whole. */
static bool is_for_this_client_alone(const struct exchange *exchange, int status)
{
    return exchange->has_range && (status == 206 || status == 304 || status == 416);
}

/* Those who wait for the response are told that it is not for them. What is stored stays where the origin is
 * in trouble (RFC 9111 section 4.3.3). */
static void leave_word(struct exchange *exchange, int status, const struct http_storing *storing)
{
    if (exchange->handle && http_status_is_trouble(status))
        stored_note_failure(exchange, HTTP_META_FAILED_STATUS);
    else if (exchange->handle && !storing->forbidden)
        stored_leave_as_it_is(exchange);
    else if (!is_for_this_client_alone(exchange, status))
        marks_leave_uncacheable(exchange);
    else
        cache_link_give_up(exchange->home->link, &exchange->lease);
}

static bool fits_in_segment(const struct exchange *exchange, const struct cache_key *key,
                            uint32_t meta_length)
{
    return (uint64_t)key->prefix.length + key->rest.length + meta_length <
           exchange->home->link->segment_bytes;
}

static void begin_fill(struct exchange *exchange, const struct origin_head *head)
{
    struct fill_object object = {.key = exchange_key(exchange), .size = LARDER_SIZE_UNKNOWN};
    struct http_storing storing = {.reason = ""};
    int length;

    if (!exchange->lease)
        return;
    if (!worth_filling(exchange, head, &storing, &object.tags)) {
        leave_word(exchange, head->status, &storing);
        return;
    }
    length = stored_encode(exchange, head->status, &head->fields, &storing);
    stored_times(exchange, &storing, &object.fresh_until, &object.keep_until);
    if (length < 0 || object.keep_until <= exchange->home->loop->wall_ms ||
        !fits_in_segment(exchange, &object.key, (uint32_t)length)) {
        leave_word(exchange, head->status, &storing);
        return;
    }
    length = parts_mark(exchange, length, &storing, &object.keep);
    object.meta = (struct http_span){exchange->home->meta, (uint32_t)length};
    if (head->length_known)
        object.size = head->length;
    memcpy(&exchange->fill_id, exchange->home->meta + offsetof(struct http_meta_head, id),
           sizeof exchange->fill_id);
    fill_writer_start(&exchange->fill, &exchange->lease, &object);
}

static bool client_has_it(const struct exchange *exchange, const struct origin_head *head)
{
    return (exchange->is_get || exchange->is_head) && head->status == 200 &&
           fields_have_conditions(exchange->request.fields) &&
           http_not_modified(exchange->request.fields, &head->fields, exchange_now_s(exchange));
}

static bool has_body(const struct exchange *exchange, int status)
{
    return !exchange->is_head && status != 204 && status != 304;
}

/* False: it cannot be passed on. */
static bool give_fetched_head(struct exchange *exchange)
{
    const struct origin_head *from = origin_response(exchange->fetch);
    struct exchange_head head = {.status = from->status,
                                 .has_body = has_body(exchange, from->status),
                                 .length_known =
                                     from->length_known && from->status != 204 && from->status != 304,
                                 .length = from->length,
                                 .age = -1,
                                 .cache_status = exchange->cache_status};

    if (!fields_to_client(exchange, &from->fields, &head.lines)) {
        exchange_fail(exchange, 502, "response-head-too-large", "the origin's response head is too large");
        return false;
    }
    exchange_give_head(exchange, &head);
    return true;
}

/* The whole response is on its way into the cache, but this client only needs to be told that it has it. */
static void give_not_modified(struct exchange *exchange)
{
    const struct origin_head *from = origin_response(exchange->fetch);
    struct exchange_head head = {.status = 304, .age = -1, .cache_status = exchange->cache_status};

    head.cache_status.fwd_status = from->status;
    if (!fields_of_not_modified(exchange, &from->fields, &head.lines)) {
        give_fetched_head(exchange);
        return;
    }
    exchange_give_head(exchange, &head);
    exchange_finish(exchange);
}

static void pass_head(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);
    bool filling = fill_writer_active(&exchange->fill);

    exchange->cache_status.stored = filling && !fill_writer_awaits_acceptance(&exchange->fill);
    if (exchange->state == EXCHANGE_COMBINE)
        parts_pass_head(exchange);
    else if (exchange->holds_conditions && client_has_it(exchange, head))
        give_not_modified(exchange);
    else if (!filling || !head->length_known || head->length > 0)
        give_fetched_head(exchange);
    /* else the head is the end of the response, and held back until the commit */
}

/* RFC 9111 section 4.3.5 */
static void apply_head(struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);

    switch (stored_head_effect(exchange)) {
    case HTTP_HEAD_FRESHENS:
        stored_update(exchange);
        break;
    case HTTP_HEAD_INVALIDATES:
        cache_link_remove_later(exchange->home->link, &key);
        break;
    case HTTP_HEAD_NOTHING:
        break;
    }
}

/* What is filled, if anything, has begun. */
static void pass_filling(struct exchange *exchange)
{
    cache_link_give_up(exchange->home->link, &exchange->lease);
    cache_link_release(exchange->home->link, &exchange->handle);
    if (exchange->background && !fill_writer_active(&exchange->fill)) {
        exchange_end(exchange);
        return;
    }
    if (!fill_writer_awaits_acceptance(&exchange->fill)) {
        pass_head(exchange);
        return;
    }
    exchange->hold = EXCHANGE_HOLD_ACCEPTANCE;
    exchange_await_answer(exchange);
}

static void hold(struct exchange *exchange, enum exchange_hold hold)
{
    exchange->hold = hold;
    exchange_await_answer(exchange);
}

static void fill_and_pass(struct exchange *exchange)
{
    if (parts_find_place(exchange)) {
        hold(exchange, EXCHANGE_HOLD_PART);
        return;
    }
    begin_fill(exchange, origin_response(exchange->fetch));
    parts_forget(exchange);
    pass_filling(exchange);
}

static void fill_part_and_pass(struct exchange *exchange)
{
    parts_begin_fill(exchange);
    pass_filling(exchange);
}

/* True: there will be a lease for the variant or not. */
static bool find_variant(struct exchange *exchange)
{
    if (!exchange->lease || !variants_find_place(exchange, &origin_response(exchange->fetch)->fields))
        return false;
    parts_forget(exchange); /* they are in another place */
    hold(exchange, EXCHANGE_HOLD_PLACE);
    return true;
}

/* The lease that a mark kept us from asking for is there, or is not to be had. */
static void find_place(struct exchange *exchange)
{
    if (!find_variant(exchange))
        fill_and_pass(exchange);
}

static void pass_on(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);
    struct http_storing storing;
    struct http_span tags;
    bool worth;

    if (exchange->state == EXCHANGE_VALIDATE) { /* something new in the place of what is stored */
        if (exchange->is_head)
            apply_head(exchange);
    }
    exchange->state = EXCHANGE_FETCH;
    worth = worth_filling(exchange, head, &storing, &tags);
    if (worth && !exchange->lease && marks_ask_lease(exchange))
        hold(exchange, EXCHANGE_HOLD_LEASE);
    else if (!worth || !find_variant(exchange))
        fill_and_pass(exchange);
}

/* RFC 9111 section 4.4: a non-error response to an unsafe method invalidates what is stored for its target,
 * and for others that it names. The head waits for all of them, because each may belong to another shard;
 * only a removal of others that has to wait for a segment is not waited for. Until the head is released
 * exchange->ops holds nothing else. */

static void pass_on_or_store_post(struct exchange *exchange)
{
    if (!post_ask_for_lease(exchange)) {
        pass_on(exchange);
        return;
    }
    hold(exchange, EXCHANGE_HOLD_POST);
}

static void release_hold(struct exchange *exchange)
{
    enum exchange_hold hold = exchange->hold;

    exchange->hold = EXCHANGE_HOLD_NOTHING;
    deadline_clear(&exchange->deadline);
    cache_link_unwait(exchange->home->link, &exchange->wait);
    if (hold == EXCHANGE_HOLD_INVALIDATION)
        pass_on_or_store_post(exchange);
    else if (hold == EXCHANGE_HOLD_POST)
        pass_on(exchange);
    else if (hold == EXCHANGE_HOLD_LEASE)
        find_place(exchange);
    else if (hold == EXCHANGE_HOLD_PLACE)
        fill_and_pass(exchange);
    else if (hold == EXCHANGE_HOLD_PART)
        fill_part_and_pass(exchange);
    else
        pass_head(exchange);
    if ((exchange->state != EXCHANGE_FETCH && exchange->state != EXCHANGE_COMBINE) || exchange->hold)
        return;
    if (exchange->fetch_ended)
        on_ended(exchange, exchange->result);
    else
        origin_resume(exchange->fetch);
}

static bool awaits_invalidation(const struct exchange *exchange)
{
    return exchange->ops.count > 0 || cache_wait_waits(&exchange->wait);
}

static void invalidated(void *owner, struct cache_op *op, struct larder_event *event)
{
    (void)op;
    (void)event;
    if (!awaits_invalidation(owner))
        release_hold(owner);
}

/* 0: an answer will come. -EAGAIN: try again. Else there is no cache that could hold it. */
static int invalidate(struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);

    return cache_link_remove(exchange->home->link, &exchange->ops, &key, invalidated, exchange);
}

static void invalidate_other(struct exchange *exchange, const struct cache_key *key)
{
    struct cache_link *link = exchange->home->link;

    if (cache_link_remove(link, &exchange->ops, key, invalidated, exchange) != 0)
        cache_link_remove_later(link, key);
}

static bool hold_for_invalidation(struct exchange *exchange)
{
    if (invalidate(exchange) == -EAGAIN)
        cache_link_wait(exchange->home->link, &exchange->wait);
    if (!awaits_invalidation(exchange))
        return false;
    exchange->hold = EXCHANGE_HOLD_INVALIDATION;
    exchange_await_answer(exchange);
    return true;
}

void fetch_placed(struct exchange *exchange)
{
    release_hold(exchange);
}

void fetch_lease_decided(struct exchange *exchange)
{
    release_hold(exchange);
}

static bool retry_invalidation(struct exchange *exchange)
{
    int error = invalidate(exchange);

    if (error && error != -EAGAIN && !awaits_invalidation(exchange)) {
        exchange->hold = EXCHANGE_HOLD_POST; /* there is no cache to store anything in */
        release_hold(exchange);
    }
    return error != -EAGAIN;
}

bool fetch_retry(struct exchange *exchange)
{
    if (exchange->hold == EXCHANGE_HOLD_PART)
        return parts_retry(exchange);
    if (exchange->state == EXCHANGE_FETCH && !exchange->hold) { /* a segment to hand the client over with */
        if (exchange->fetch)
            origin_resume(exchange->fetch);
        return true;
    }
    if (exchange->hold == EXCHANGE_HOLD_LEASE)
        return marks_retry(exchange);
    if (exchange->hold == EXCHANGE_HOLD_POST)
        return post_retry(exchange);
    return exchange->hold == EXCHANGE_HOLD_PLACE ? variants_retry(exchange) : retry_invalidation(exchange);
}

void fetch_leave_invalidation(struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);
    bool waits = cache_wait_waits(&exchange->wait);

    cache_link_unwait(exchange->home->link, &exchange->wait);
    cache_ops_sever(&exchange->ops);
    if (waits)
        cache_link_remove_later(exchange->home->link, &key);
}

/* Asks for the removal of the others; true if the target is to be removed as well. */
static bool must_invalidate(struct exchange *exchange, const struct origin_head *head)
{
    struct exchange_home *home = exchange->home;
    struct http_place place = exchange_place(exchange);
    struct http_response response = {head->status, &head->fields};
    struct http_invalidation found =
        http_invalidation(exchange->verdict, &place, &response, home->lines, sizeof home->lines);

    for (uint32_t i = 0; i < found.count; i++) {
        char text[HTTP_TARGET_MAX];
        struct cache_key key = {home->key_prefix,
                                found.others[i].length > sizeof text
                                    ? found.others[i]
                                    : http_overrides_key(&home->overrides, found.others[i], text)};

        invalidate_other(exchange, &key);
    }
    return found.target;
}

/* RFC 5861 section 4, RFC 9111 section 4.3.3 */
static bool may_take_stored_instead(const struct exchange *exchange, int status)
{
    return exchange->state == EXCHANGE_VALIDATE && http_status_is_trouble(status) &&
           (exchange->background || stored_may_be_served_in_trouble(exchange, HTTP_TROUBLE_STATUS));
}

static void serve_stored_instead(struct exchange *exchange, uint16_t failure, const char *detail)
{
    stored_note_failure(exchange, failure);
    origin_close(&exchange->fetch);
    exchange->cache_status.detail = detail;
    if (exchange->sink)
        stored_serve_kept(exchange);
    else
        exchange_end(exchange);
}

static void continue_stored(struct exchange *exchange, const struct origin_head *head)
{
    exchange->sends_on = head->status == 200 && exchange->end < exchange->object_size;
    if (!fields_continue(exchange, head, &exchange->skip))
        exchange_break(exchange);
}

static void on_interim(void *owner, int status, const struct http_fields *fields)
{
    struct exchange *exchange = owner;
    struct http_span lines;

    if (exchange->sink && exchange->sink->interim && !exchange->head_given &&
        fields_of_interim(exchange, fields, &lines))
        exchange->sink->interim(exchange->owner, status, &lines);
}

static void on_head(void *owner)
{
    struct exchange *exchange = owner;
    const struct origin_head *head = origin_response(exchange->fetch);

    if (exchange->state == EXCHANGE_CONTINUE) {
        continue_stored(exchange, head);
    } else if (exchange->state == EXCHANGE_RESUME) {
        resume_fill(exchange, head);
    } else if (exchange->state == EXCHANGE_COMBINE && parts_gap_answered(exchange)) {
        return;
    } else if (exchange->state == EXCHANGE_VALIDATE && head->status == 304) {
        exchange->validated = true;
    } else if (may_take_stored_instead(exchange, head->status)) {
        exchange->cache_status.fwd_status = head->status;
        serve_stored_instead(exchange, HTTP_META_FAILED_STATUS, "stale-if-error");
    } else if (!must_invalidate(exchange, head) || !hold_for_invalidation(exchange)) {
        pass_on(exchange);
    }
}

/* The body. */

/* Leaves out what is there already. False: nothing is left. */
static bool skip_some(struct exchange *exchange, const char **data, size_t *size)
{
    size_t skipped = exchange->skip < *size ? (size_t)exchange->skip : *size;

    exchange->skip -= skipped;
    *data += skipped;
    *size -= skipped;
    return *size > 0;
}

static void give_body(struct exchange *exchange, const char *data, size_t size)
{
    exchange->position += size;
    exchange->sink->body(exchange->owner, data, size);
}

/* What is stored has a length that the client was told; an origin that sends more than its rest lies, unless
 * it was to send a piece and sends the whole. */
static void give_continuation(struct exchange *exchange, const char *data, size_t size)
{
    uint64_t wanted = exchange->end - exchange->position;

    if (size <= wanted) {
        give_body(exchange, data, size);
    } else if (exchange->sends_on && !exchange->parts) {
        give_body(exchange, data, (size_t)wanted);
        exchange_finish(exchange);
    } else {
        exchange_break(exchange);
    }
}

/* A head whose whole body is kept waits for it: both leave in one piece. */
static void keep_tail(struct exchange *exchange, const char *data, size_t size)
{
    if (exchange->position == 0 && exchange->sink->hold)
        exchange->sink->hold(exchange->owner);
    exchange->tail = malloc(size);
    INVARIANT(exchange->tail);
    memcpy(exchange->tail, data, size);
    exchange->tail_size = size;
}

/* With these bytes the client would have the whole response. */
static bool are_the_last(const struct exchange *exchange, size_t size)
{
    const struct origin_head *head = origin_response(exchange->fetch);

    return head->length_known && exchange->received + size >= head->length;
}

/* The client has no room. While others may wait for the fill it does not wait for the client for long. */
static void be_patient(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;

    if (exchange->state == EXCHANGE_FETCH && !exchange->part && exchange->head_given &&
        fill_writer_active(&exchange->fill) && !deadline_is_set(&exchange->deadline))
        loop_arm(home->loop, &home->patience, &exchange->deadline);
}

void fetch_patience_ended(struct deadline *deadline)
{
    struct exchange *exchange =
        (struct exchange *)(void *)((char *)deadline - offsetof(struct exchange, deadline));

    exchange->hand_over = true;
    origin_resume(exchange->fetch);
}

/* It keeps up, or has caught up. */
static void keep_client(struct exchange *exchange)
{
    exchange->hand_over = false;
    deadline_clear(&exchange->deadline);
    follow_disinherit(exchange);
}

static bool takes_no_more(struct exchange *exchange)
{
    if (exchange->hold || fill_writer_busy(&exchange->fill) || parts_come_first(exchange))
        return true;
    if (!exchange->sink)
        return false;
    if (exchange->sink->room(exchange->owner) > 0) {
        keep_client(exchange);
        return false;
    }
    if (!exchange->hand_over)
        be_patient(exchange);
    else if (fill_writer_active(&exchange->fill) && !exchange->heir && !exchange->stays)
        follow_hand_over(exchange);
    return true;
}

/* Of what has no length that shows only when it comes. */
static bool is_more_than_the_cache_takes(const struct exchange *exchange, size_t size)
{
    return exchange->lent_to && !origin_response(exchange->fetch)->length_known &&
           exchange->received + size > larder_client_max_object(exchange->home->link->client);
}

static bool on_body(void *owner, const char *data, size_t size)
{
    struct exchange *exchange = owner;

    if (takes_no_more(exchange) ||
        (is_more_than_the_cache_takes(exchange, size) && !follow_take_back(exchange)))
        return false;
    if (!skip_some(exchange, &data, &size))
        return true;
    if (exchange->state == EXCHANGE_CONTINUE) {
        give_continuation(exchange, data, size);
        return true;
    }
    if (exchange->sink && exchange->head_given && fill_writer_active(&exchange->fill) &&
        are_the_last(exchange, size))
        keep_tail(exchange, data, size);
    else if (exchange->sink && exchange->head_given)
        give_body(exchange, data, size);
    exchange->received += size;
    fill_writer_write(&exchange->fill, data, size);
    return true;
}

static enum origin_body on_read_body(void *owner, char *out, size_t size, size_t *got)
{
    struct exchange *exchange = owner;

    if (!exchange->sink)
        return ORIGIN_BODY_BAD;
    return exchange->sink->read_body(exchange->owner, out, size, got, &exchange->refusal);
}

/* The end. */

static void complete(struct exchange *exchange)
{
    if (!exchange->sink) {
        exchange_end(exchange);
        return;
    }
    exchange->committing = false;
    parts_leave_note(exchange);
    deadline_clear(&exchange->deadline);
    if (!exchange->head_given && !give_fetched_head(exchange))
        return;
    if (exchange->tail)
        give_body(exchange, exchange->tail, exchange->tail_size);
    origin_close(&exchange->fetch);
    if (exchange->state == EXCHANGE_COMBINE)
        parts_after_gap(exchange);
    else
        exchange_finish(exchange);
}

static void await_commit(struct exchange *exchange)
{
    bool awaited = exchange->committing; /* in all no longer than for one answer */

    exchange->committing = true;
    if (exchange->sink && !awaited)
        exchange_await_answer(exchange);
}

static void filled(struct exchange *exchange)
{
    if (parts_settle(exchange))
        await_commit(exchange);
    else
        complete(exchange);
}

void fetch_settled(struct exchange *exchange)
{
    complete(exchange);
}

void fetch_commit(struct exchange *exchange)
{
    fill_writer_finish(&exchange->fill);
    if (fill_writer_active(&exchange->fill))
        await_commit(exchange);
    else
        filled(exchange);
}

/* Nobody waits for it any more. */
static void finish_fill(struct exchange *exchange)
{
    parts_settle(exchange);
    parts_leave_note(exchange);
    if (!exchange->sink)
        exchange_end(exchange);
}

void fetch_fill_changed(void *owner)
{
    struct exchange *exchange = owner;

    if (exchange->hold == EXCHANGE_HOLD_ACCEPTANCE && !fill_writer_awaits_acceptance(&exchange->fill))
        release_hold(exchange);
    else if (exchange->committing && !fill_writer_active(&exchange->fill))
        filled(exchange);
    else if (!fill_writer_active(&exchange->fill) && (!exchange->sink || !exchange->fetch))
        finish_fill(exchange);
    else if (exchange->fetch)
        origin_resume(exchange->fetch);
}

void fetch_deadline_passed(struct exchange *exchange)
{
    bool invalidating = exchange->hold == EXCHANGE_HOLD_INVALIDATION;
    bool placing = exchange->hold == EXCHANGE_HOLD_PLACE || exchange->hold == EXCHANGE_HOLD_LEASE ||
                   exchange->hold == EXCHANGE_HOLD_POST;
    bool parting = exchange->hold == EXCHANGE_HOLD_PART;
    unsigned asked = invalidating || placing || parting ? exchange->ops.count : exchange->fill.ops.count;

    if (asked > 0)
        cache_link_timed_out(exchange->home->link, exchange->asked_ms);
    if (exchange->committing) {
        complete(exchange); /* the fill goes on by itself */
        return;
    }
    if (placing)
        variants_give_up_place(exchange);
    if (parting)
        parts_give_up_place(exchange);
    if (invalidating) {
        fetch_leave_invalidation(exchange);
        log_warn("invalidation was not confirmed in time");
        exchange->hold = EXCHANGE_HOLD_POST; /* the removal that is still to come would hit what is stored */
    }
    release_hold(exchange);
}

/* An origin that hangs up on, or dawdles over, one request may do so because of what that one asked. */
static uint16_t failure_of(enum origin_result result)
{
    return result == ORIGIN_UNREACHABLE ? 0 : HTTP_META_FAILED_REQUEST;
}

/* Those who wait for the lease get the same answer, unless it may be due to the range. */
static void tell_others(struct exchange *exchange, int status, const char *detail, const char *text)
{
    uint16_t flags = failure_of(exchange->result);

    if (exchange->handle)
        stored_note_failure(exchange, flags);
    else if (exchange->lease && !(exchange->has_range && flags))
        marks_leave_failure(exchange, flags, status, detail, text);
}

static void fail_for_origin(struct exchange *exchange, int status, const char *detail)
{
    char text[320], quoted[200];
    const char *problem = origin_problem(exchange->fetch);
    struct http_span base = origin_base(exchange->home->origin);

    snprintf(text, sizeof text, "origin %.*s: %.150s", (int)(base.length < 120 ? base.length : 120), base.at,
             problem);
    log_warn("origin failed", "status=%d detail=%s problem=\"%s\"", status, detail,
             log_quote(problem, (unsigned)strlen(problem), quoted, sizeof quoted));
    tell_others(exchange, status, detail, text);
    exchange_fail(exchange, status, detail, text);
}

static void fail_before_head(struct exchange *exchange, enum origin_result result)
{
    switch (result) {
    case ORIGIN_TIMED_OUT:
        fail_for_origin(exchange, 504, "origin-timeout");
        break;
    case ORIGIN_REFUSED:
        exchange_fail(exchange, exchange->refusal ? exchange->refusal : 400, "request-body",
                      exchange->refusal == 413 ? "request body is larger than is accepted"
                                               : "request body is malformed or incomplete");
        break;
    case ORIGIN_MALFORMED:
        fail_for_origin(exchange, 502, "malformed-response");
        break;
    default:
        /* RFC 9111 section 5.2.2.2: 504 where something is stored that may not be served unvalidated. */
        fail_for_origin(exchange, exchange->state == EXCHANGE_VALIDATE ? 504 : 502, "origin-unreachable");
    }
}

static void failed(struct exchange *exchange, enum origin_result result)
{
    if (result == ORIGIN_BROKEN || result == ORIGIN_TIMED_OUT)
        fill_writer_break(&exchange->fill);
    fill_writer_abort(&exchange->fill);
    parts_return_handle(exchange);
    if (exchange->background) {
        if (exchange->state == EXCHANGE_VALIDATE)
            stored_note_failure(exchange, failure_of(result));
        exchange_end(exchange);
    } else if (!exchange->sink) {
        exchange_end(exchange);
    } else if (exchange->head_given) {
        exchange_break(exchange); /* the client must see that it is not whole */
    } else if (result != ORIGIN_REFUSED && exchange->state == EXCHANGE_VALIDATE &&
               stored_may_be_served_in_trouble(exchange, HTTP_TROUBLE_DISCONNECTED)) {
        serve_stored_instead(exchange, failure_of(result), "origin-unreachable");
    } else {
        fail_before_head(exchange, result);
    }
}

static void validated(struct exchange *exchange)
{
    bool updated = stored_update(exchange);

    exchange->cache_status.fwd_status = 304;
    origin_close(&exchange->fetch);
    if (updated && !exchange->sink) {
        exchange_end(exchange);
        return;
    }
    if (updated) {
        stored_serve_kept(exchange);
        return;
    }
    /* It was not about what is stored (RFC 9111 section 4.3.4): fetch anew, without conditions. */
    cache_link_release(exchange->home->link, &exchange->handle);
    fetch_start(exchange, EXCHANGE_FETCH);
}

static void continued(struct exchange *exchange)
{
    origin_close(&exchange->fetch);
    if (exchange->position < exchange->end)
        exchange_break(exchange);
    else if (ranges_next(exchange))
        fetch_start(exchange, EXCHANGE_CONTINUE);
    else
        exchange_finish(exchange);
}

static void on_ended(void *owner, enum origin_result result)
{
    struct exchange *exchange = owner;

    exchange->fetch_ended = true;
    exchange->result = result;
    if (exchange->hold)
        return;
    if (result != ORIGIN_OK)
        failed(exchange, result);
    else if (exchange->state == EXCHANGE_VALIDATE)
        validated(exchange);
    else if (exchange->state == EXCHANGE_CONTINUE)
        continued(exchange);
    else
        fetch_commit(exchange);
}
