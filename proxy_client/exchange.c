/* The life of an exchange:
 *
 *     begin ── verdict ─┬─ not for the cache, or none there ─────────────────────────────┐
 *                       └─> LOOKUP ─┬─ hit, fresh enough ──> STORED ─── all given ──> ENDED
 *                          ^        │                        ^ ^  └─ cache lost ──> CONTINUE ──> ENDED
 *                          │        ├─ stale ──> VALIDATE ─ 304 │                        │
 *                          │        │               └─ another answer ──┐                │
 *                          │        ├─ another fetches it ──> FOLLOW    │                │
 *                          └────────│── nothing came of it ──┘          │                │
 *                                   └─ miss, or no answer in time ──────┴──> FETCH <─────┘
 *                                                                              └──> ENDED
 * Of what is not stored whole, see exchange_parts.c for SURVEY and COMBINE.
 * FETCH with a lease also fills the cache. If the client leaves while a fill is under way the exchange goes
 * on without a sink until the object is stored; if the client is slow, it is handed over to an exchange that
 * follows (exchange_follow.c). RESUME, and what refreshes, has no client (exchange_background.c). An exchange
 * is freed at the end of the turn in which it ENDED, so every function may return through its callers. */
#include "exchange_internal.h"

#include "http_date.h"
#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALL_FACTOR 10 /* a fill or a read may take so much longer than a lookup to get on */
/* For so long a client may keep a fill waiting, for which others may be waiting in turn. */
#define PATIENCE_MS  5

static bool retry(struct cache_wait *wait);
static void found(struct exchange *exchange, struct larder_event *event);

int64_t exchange_now_s(const struct exchange *exchange)
{
    return exchange->home->loop->wall_ms / 1000;
}

struct cache_key exchange_key(const struct exchange *exchange)
{
    return (struct cache_key){exchange->home->key_prefix, variants_key_rest(exchange)};
}

struct http_request exchange_http_request(struct exchange *exchange)
{
    const struct http_fields *fields =
        exchange->has_range ? ranges_left_out(exchange) : exchange->request.fields;

    return (struct http_request){exchange->request.method, exchange->request.target, fields};
}

struct http_place exchange_place(const struct exchange *exchange)
{
    const struct exchange_request *request = &exchange->request;

    return (struct http_place){origin_base(exchange->home->origin), request->target, request->scheme,
                               request->host};
}

struct http_rules exchange_rules(const struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;

    home->place = exchange_place(exchange);
    return (struct http_rules){.targets = &home->targets,
                               .overrides = &home->overrides,
                               .place = &home->place,
                               .unknown_statuses = true,
                               .parts = exchange->is_get && exchange->has_range};
}

static void exchange_free(struct loop_task *task);

struct exchange *exchange_take(struct exchange_home *home)
{
    struct exchange *exchange = home->free_exchanges;

    if (exchange)
        home->free_exchanges = exchange->next;
    else
        exchange = malloc(sizeof *exchange);
    INVARIANT(exchange);
    memset(exchange, 0, sizeof *exchange);
    exchange->home = home;
    exchange->next = home->first;
    if (exchange->next)
        exchange->next->prev = exchange;
    home->first = exchange;
    home->count++;
    exchange->free_later.run = exchange_free;
    exchange->wait.retry = retry;
    exchange->hot_wait.settled = hot_settled;
    body_reader_setup(&exchange->reader, home->link, &home->read_stalls, &stored_reader_calls, exchange);
    fill_writer_setup(&exchange->fill, home->link, &home->fill_stalls, fetch_fill_changed, exchange);
    return exchange;
}

static void exchange_free(struct loop_task *task)
{
    struct exchange *exchange =
        (struct exchange *)(void *)((char *)task - offsetof(struct exchange, free_later));
    struct exchange_home *home = exchange->home;

    if (exchange->prev)
        exchange->prev->next = exchange->next;
    else
        home->first = exchange->next;
    if (exchange->next)
        exchange->next->prev = exchange->prev;
    home->count--;
    exchange->next = home->free_exchanges;
    home->free_exchanges = exchange;
}

/* It stays whose it is. */
static void refuse_client(struct exchange *heir)
{
    struct exchange *of = heir->heir_of;

    heir->heir_of = of->heir = NULL;
    of->stays = true;
    origin_resume(of->fetch);
}

void exchange_end(struct exchange *exchange)
{
    struct cache_link *link = exchange->home->link;

    if (exchange->state == EXCHANGE_ENDED)
        return;
    follow_disinherit(exchange);
    if (exchange->heir_of)
        refuse_client(exchange);
    follow_forget_loan(exchange);
    if (exchange->state == EXCHANGE_RESUME) /* who could not go on leaves it to nobody */
        cache_link_discard(link, &exchange->lease);
    exchange->state = EXCHANGE_ENDED;
    exchange->home->alone -= exchange->alone;
    exchange->alone = false;
    exchange->sink = NULL;
    deadline_clear(&exchange->deadline);
    cache_link_unwait(link, &exchange->wait);
    cache_ops_sever(&exchange->ops);
    body_reader_stop(&exchange->reader);
    hot_unwait(&exchange->hot_wait);
    hot_drop(&exchange->hot);
    fill_writer_abort(&exchange->fill);
    follow_leave(exchange);
    cache_link_release(link, &exchange->handle);
    cache_link_give_up(link, &exchange->lease);
    origin_close(&exchange->fetch);
    free(exchange->blob);
    free(exchange->tail);
    exchange->blob = exchange->tail = NULL;
    ranges_forget(exchange);
    parts_forget(exchange);
    variants_forget(exchange);
    rules_forget(exchange);
    background_forget(exchange);
    loop_put_off(exchange->home->loop, &exchange->free_later);
}

bool exchange_may_go_on_alone(struct exchange *exchange)
{
    if (!exchange->fetch || exchange->fetch_ended)
        return true;
    if (exchange->home->alone >= EXCHANGE_ALONE_MAX)
        return false;
    exchange_goes_on_alone(exchange);
    return true;
}

void exchange_goes_on_alone(struct exchange *exchange)
{
    exchange->home->alone += !exchange->alone;
    exchange->alone = true;
}

/* The client's side is over; what is left, if anything, is to finish the fill. */
static void detach(struct exchange *exchange)
{
    bool failed_while_held = exchange->hold && exchange->fetch_ended;

    if (exchange->hold == EXCHANGE_HOLD_INVALIDATION)
        fetch_leave_invalidation(exchange);
    exchange->sink = NULL;
    exchange->hold = EXCHANGE_HOLD_NOTHING;
    deadline_clear(&exchange->deadline);
    body_reader_stop(&exchange->reader);
    follow_disinherit(exchange);
    if (!fill_writer_active(&exchange->fill) || failed_while_held || !exchange_may_go_on_alone(exchange))
        exchange_end(exchange);
    else if (exchange->fetch)
        origin_resume(exchange->fetch); /* the client's pace no longer counts */
}

void exchange_finish(struct exchange *exchange)
{
    const struct exchange_sink *sink = exchange->sink;
    void *owner = exchange->owner;

    detach(exchange);
    if (sink)
        sink->finished(owner);
}

void exchange_break(struct exchange *exchange)
{
    const struct exchange_sink *sink = exchange->sink;
    void *owner = exchange->owner;

    exchange_end(exchange);
    if (sink)
        sink->broken(owner);
}

void exchange_abandon(struct exchange **exchange)
{
    if (*exchange)
        detach(*exchange);
    *exchange = NULL;
}

void exchange_give_head(struct exchange *exchange, const struct exchange_head *head)
{
    struct exchange_head shown = *head;

    INVARIANT(!exchange->head_given);
    exchange->head_given = true;
    if (!exchange->sink)
        return;
    shown.cache_status.key = variants_key_shown(exchange);
    exchange->sink->head(exchange->owner, &shown);
}

/* A response of our own. */
void exchange_fail(struct exchange *exchange, int status, const char *detail, const char *text)
{
    char lines[128], body[512], date[HTTP_DATE_BYTES + 1];
    int body_length = snprintf(body, sizeof body, "%d: %s\n", status, text);
    int lines_length;
    struct exchange_head head = {.status = status,
                                 .has_body = !exchange->is_head,
                                 .length_known = true,
                                 .age = -1,
                                 .cache_status = exchange->cache_status};

    if (body_length >= (int)sizeof body)
        body_length = (int)sizeof body - 1;
    http_date_format(exchange_now_s(exchange), date);
    lines_length =
        snprintf(lines, sizeof lines, "Content-Type: text/plain; charset=utf-8\r\nDate: %s\r\n", date);
    head.lines = (struct http_span){lines, (uint32_t)lines_length};
    head.length = (uint64_t)body_length;
    head.cache_status.detail = detail;
    fill_writer_abort(&exchange->fill);
    exchange_give_head(exchange, &head);
    if (head.has_body && exchange->sink)
        exchange->sink->body(exchange->owner, body, (size_t)body_length);
    exchange_finish(exchange);
}

void exchange_await_answer(struct exchange *exchange)
{
    exchange->asked_ms = exchange->home->loop->now_ms;
    loop_arm(exchange->home->loop, &exchange->home->answers, &exchange->deadline);
}

void exchange_go_forward(struct exchange *exchange, enum http_cache_fwd fwd, const char *detail)
{
    exchange->cache_status = (struct http_cache_status){.fwd = fwd, .detail = detail};
    exchange->is_follower = false;
    if (exchange->background && !exchange->lease) { /* somebody else does it */
        exchange_end(exchange);
        return;
    }
    if (exchange->directives.only_if_cached && (exchange->is_get || exchange->is_head)) {
        /* RFC 9111 section 5.2.1.7 */
        exchange->cache_status.fwd = HTTP_FWD_NONE;
        exchange_fail(exchange, 504, "only-if-cached",
                      "not in the cache, and the request forbids to fetch it");
        return;
    }
    fetch_start(exchange, EXCHANGE_FETCH);
}

void exchange_go_without_cache(struct exchange *exchange, const char *detail)
{
    cache_link_unwait(exchange->home->link, &exchange->wait);
    cache_ops_sever(&exchange->ops);
    deadline_clear(&exchange->deadline);
    if (exchange->heir_of)
        exchange_end(exchange);
    else if (exchange->head_given)
        follow_lost(exchange);
    else
        exchange_go_forward(exchange, HTTP_FWD_BYPASS, detail);
}

static enum http_cache_fwd miss_of(const struct exchange *exchange)
{
    return exchange->variants ? HTTP_FWD_VARY_MISS : HTTP_FWD_URI_MISS;
}

static void missed(struct exchange *exchange, struct larder_event *event)
{
    if (event->follow && !exchange->lease) {
        exchange->cache_status = (struct http_cache_status){.fwd = miss_of(exchange)};
        follow_wait(exchange, event);
    } else {
        exchange_go_forward(exchange, miss_of(exchange),
                            exchange->has_range && exchange->is_get && !exchange->lease ? "range" : NULL);
    }
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    deadline_clear(&exchange->deadline);
    if (variants_survey(exchange, event)) {
        exchange_look_up(exchange);
        return;
    }
    if (!exchange->lease) { /* one that was left to us is kept */
        exchange->lease = event->lease;
        event->lease = 0;
    }
    exchange->handle = event->handle;
    event->handle = 0;
    switch (event->status) {
    case LARDER_HIT:
    case LARDER_STALE:
        found(exchange, event);
        break;
    case LARDER_MISS:
        missed(exchange, event);
        break;
    default:
        exchange_go_without_cache(exchange,
                                  event->status == LARDER_LOST ? "no-cache-server" : "cache-refused");
    }
}

static const char *why_no_lookup(int error)
{
    return error == -ENOTCONN ? "no-cache-server" : error == -EINVAL ? "key-too-long" : "cache-busy";
}

/* Of those who wait for others, some find each time that they still cannot use what came. */
#define FOLLOWED_MAX 8

static uint32_t flags_of_lookup(const struct exchange *exchange)
{
    uint32_t flags = variants_lookup_flags(exchange);

    if (exchange->followed >= FOLLOWED_MAX || exchange->lease)
        flags &= ~LARDER_LOOKUP_FOLLOW;
    return flags;
}

void exchange_look_up(struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);
    struct cache_link *link = exchange->home->link;
    uint32_t flags = flags_of_lookup(exchange);
    int error;

    parts_forget(exchange); /* what was found before, if anything */
    exchange->state = EXCHANGE_LOOKUP;
    if (hot_answers(exchange, &flags))
        return;
    error = cache_link_lookup(link, &exchange->ops, &key, flags, answered, exchange);
    if (!deadline_is_set(&exchange->deadline))
        exchange_await_answer(exchange);
    if (error == -EAGAIN)
        error = cache_link_wait(link, &exchange->wait);
    if (error)
        exchange_go_without_cache(exchange, why_no_lookup(error));
}

static bool retry(struct cache_wait *wait)
{
    struct exchange *exchange = (struct exchange *)(void *)((char *)wait - offsetof(struct exchange, wait));

    if (exchange->state == EXCHANGE_SURVEY)
        return parts_retry(exchange);
    if (exchange->state == EXCHANGE_PURGE)
        return purge_retry(exchange);
    if (exchange->state != EXCHANGE_LOOKUP)
        return fetch_retry(exchange);
    exchange_look_up(exchange);
    return cache_link_retried(exchange->home->link, wait);
}

/* Found, but it may not be used as it is: ask again, for what it takes to validate or replace it. */
static void look_up_to_validate(struct exchange *exchange)
{
    exchange->lookup_flags |= LARDER_LOOKUP_REVALIDATE;
    exchange_look_up(exchange);
}

bool exchange_may_look_again(const struct exchange *exchange)
{
    return !exchange->directives.only_if_cached && !(exchange->lookup_flags & LARDER_LOOKUP_REVALIDATE);
}

void exchange_look_again(struct exchange *exchange)
{
    look_up_to_validate(exchange);
}

static void forget_stored(struct exchange *exchange)
{
    cache_link_release(exchange->home->link, &exchange->handle);
}

/* A hit comes without lease and perhaps without a pin. */
static bool may_ask_again(const struct exchange *exchange, const struct larder_event *event)
{
    return event->status == LARDER_HIT && exchange_may_look_again(exchange);
}

static void found_unusable(struct exchange *exchange, const struct larder_event *event)
{
    log_warn("stored metadata is not valid", "meta_length=%u", event->meta_length);
    forget_stored(exchange);
    if (exchange->is_get && may_ask_again(exchange, event))
        look_up_to_validate(exchange); /* brings the lease to replace it */
    else
        exchange_go_forward(exchange, HTTP_FWD_MISS, "bad-metadata");
}

/* Its own freshness decides which it is (RFC 9211 section 2.2), however the question was put to the cache. */
enum http_cache_fwd exchange_why_not_served(const struct exchange *exchange)
{
    const struct http_meta_head *head = &exchange->meta.head;

    return http_meta_age(head, exchange_now_s(exchange)) < head->lifetime ? HTTP_FWD_REQUEST : HTTP_FWD_STALE;
}

/* The origin could not be asked a moment ago: that answers this request as well. What the failed request may
 * have caused itself is for those alone who waited for the answer; an error that the origin has answered with
 * only where what is stored may take its place, too. */
static bool take_failure_as_answer(struct exchange *exchange, const struct larder_event *event)
{
    enum http_trouble trouble;

    if (!stored_failed_lately(exchange, &trouble))
        return false;
    if (exchange->background) {
        exchange_end(exchange);
        return true;
    }
    if (!exchange->is_follower &&
        exchange->meta.head.flags & (HTTP_META_FAILED_STATUS | HTTP_META_FAILED_REQUEST))
        return false;
    if (stored_may_be_served_in_trouble(exchange, trouble)) {
        cache_link_give_up(exchange->home->link, &exchange->lease);
        stored_keep(exchange, event);
        exchange->cache_status = (struct http_cache_status){
            .fwd = exchange_why_not_served(exchange),
            .collapsed = true,
            .detail = trouble == HTTP_TROUBLE_STATUS ? "stale-if-error" : "origin-unreachable"};
        stored_serve_kept(exchange);
        return true;
    }
    if (trouble == HTTP_TROUBLE_STATUS)
        return false;
    exchange->cache_status =
        (struct http_cache_status){.fwd = exchange_why_not_served(exchange), .collapsed = true};
    exchange_fail(exchange, 504, "origin-unreachable",
                  "the origin could not be asked a moment ago whether what is stored still holds");
    return true;
}

static void found_stale(struct exchange *exchange, struct larder_event *event)
{
    enum http_cache_fwd fwd = exchange_why_not_served(exchange);

    if (may_ask_again(exchange, event)) {
        forget_stored(exchange);
        look_up_to_validate(exchange);
    } else if (take_failure_as_answer(exchange, event)) {
        return;
    } else if (event->follow && !exchange->lease) {
        forget_stored(exchange);
        exchange->cache_status = (struct http_cache_status){.fwd = fwd};
        follow_wait(exchange, event);
    } else if (exchange->background && !exchange->lease) {
        exchange_end(exchange);
    } else if (exchange->handle && !exchange->directives.only_if_cached) {
        exchange->cache_status = (struct http_cache_status){.fwd = fwd};
        stored_keep(exchange, event);
        fetch_start(exchange, EXCHANGE_VALIDATE);
    } else {
        forget_stored(exchange);
        parts_forget(exchange);
        cache_link_give_up(exchange->home->link, &exchange->lease);
        exchange_go_forward(exchange, fwd, NULL);
    }
}

static void found_index(struct exchange *exchange, struct larder_event *event)
{
    if (event->kept)
        hot_takes_index(exchange, event);
    switch (variants_open(exchange)) {
    case VARIANTS_OPENED:
        exchange_look_up(exchange);
        break;
    case VARIANTS_NO_KEY:
        exchange_go_forward(exchange, HTTP_FWD_VARY_MISS, "vary");
        break;
    case VARIANTS_BAD:
        found_unusable(exchange, event);
    }
}

/* The rest could not be asked for a moment ago (take_failure_as_answer()). */
static bool rest_is_out_of_reach(const struct exchange *exchange)
{
    enum http_trouble trouble;

    return !exchange->directives.only_if_cached && stored_failed_lately(exchange, &trouble) &&
           trouble == HTTP_TROUBLE_DISCONNECTED &&
           (exchange->is_follower || !(exchange->meta.head.flags & HTTP_META_FAILED_REQUEST));
}

/* Bytes are missing. Whoever brings them confirms what is there as well, so it does not matter whether that
 * is fresh. */
static void found_incomplete(struct exchange *exchange, struct larder_event *event)
{
    if (rest_is_out_of_reach(exchange)) {
        exchange->cache_status = (struct http_cache_status){.fwd = HTTP_FWD_PARTIAL, .collapsed = true};
        exchange_fail(exchange, 502, "origin-unreachable",
                      "the origin could not be asked for the rest a moment ago");
    } else if (may_ask_again(exchange, event)) {
        forget_stored(exchange);
        look_up_to_validate(exchange); /* brings the lease, should there be something new */
    } else if (event->follow && !exchange->lease) {
        forget_stored(exchange);
        exchange->cache_status = (struct http_cache_status){.fwd = HTTP_FWD_PARTIAL};
        follow_wait(exchange, event);
    } else {
        parts_complete(exchange, event);
    }
}

static void found_response(struct exchange *exchange, struct larder_event *event)
{
    enum http_serving serving = stored_serving(exchange);

    if (serving == HTTP_SERVING_VALIDATE || (serving == HTTP_SERVING_REFRESH && exchange->background)) {
        found_stale(exchange, event);
        return;
    }
    if (exchange->background) { /* it has been refreshed meanwhile */
        exchange_end(exchange);
        return;
    }
    /* Who refreshes needs it; else it is kept in case that some of it turns out to be gone. */
    if (!exchange->extents || serving == HTTP_SERVING_REFRESH)
        cache_link_give_up(exchange->home->link, &exchange->lease);
    if (serving == HTTP_SERVING_REFRESH)
        background_refresh(exchange);
    stored_serve(exchange, event);
}

/* A failure that may be due to another's request answers those who waited for it alone. All others try again,
 * one for all. */
static void found_mark(struct exchange *exchange, struct larder_event *event)
{
    if (!marks_is_failure_of_another(exchange)) {
        marks_found(exchange);
    } else if (exchange->is_get && may_ask_again(exchange, event)) {
        look_up_to_validate(exchange);
    } else if (event->follow && !exchange->lease) {
        exchange->cache_status = (struct http_cache_status){.fwd = miss_of(exchange)};
        follow_wait(exchange, event);
    } else {
        marks_found(exchange);
    }
}

static void found(struct exchange *exchange, struct larder_event *event)
{
    if (!stored_decode(exchange, event)) {
        found_unusable(exchange, event);
    } else if (exchange->meta.head.flags & HTTP_META_INDEX) {
        found_index(exchange, event);
    } else if (exchange->meta.head.flags & HTTP_META_MARK) {
        forget_stored(exchange);
        found_mark(exchange, event);
    } else if (parts_open(exchange, event) && !exchange->background && !parts_suffice(exchange)) {
        found_incomplete(exchange, event);
    } else {
        found_response(exchange, event);
    }
}

static void deadline_passed(struct deadline *deadline)
{
    struct exchange *exchange =
        (struct exchange *)(void *)((char *)deadline - offsetof(struct exchange, deadline));

    if (exchange->state == EXCHANGE_SURVEY) {
        parts_survey_timed_out(exchange);
        return;
    }
    if (exchange->state == EXCHANGE_PURGE) {
        purge_deadline_passed(exchange);
        return;
    }
    if (exchange->state != EXCHANGE_LOOKUP && exchange->state != EXCHANGE_FOLLOW) {
        fetch_deadline_passed(exchange);
        return;
    }
    if (exchange->ops.count > 0)
        cache_link_timed_out(exchange->home->link, exchange->asked_ms);
    exchange_go_without_cache(exchange, "cache-timeout");
}

/* Who asks for validation is not content with one that began before the request came; who wants a part need
 * not wait for the whole. */
static uint32_t first_lookup_flags(const struct exchange *exchange)
{
    uint32_t flags = exchange->is_head ? LARDER_LOOKUP_NO_BODY : LARDER_LOOKUP_LEASE;

    if (exchange->verdict == HTTP_REQUEST_REVALIDATE)
        return flags | LARDER_LOOKUP_REVALIDATE;
    if (exchange->is_get && !exchange->has_range && !exchange->directives.only_if_cached)
        flags |= LARDER_LOOKUP_FOLLOW;
    return flags;
}

static void decide(struct exchange *exchange)
{
    struct http_request request = exchange_http_request(exchange);
    const char *reason;

    exchange->verdict = rules_verdict(exchange, &request, &reason);
    http_request_control_parse(&exchange->directives, request.fields);
    if (exchange->verdict == HTTP_REQUEST_BYPASS || exchange->verdict == HTTP_REQUEST_UNSAFE) {
        exchange_go_forward(
            exchange, exchange->is_get || exchange->is_head ? HTTP_FWD_BYPASS : HTTP_FWD_METHOD, reason);
        return;
    }
    if (!cache_link_usable(exchange->home->link)) {
        exchange_go_without_cache(exchange,
                                  exchange->home->link->silent ? "cache-timeout" : "no-cache-server");
        return;
    }
    exchange->lookup_flags = first_lookup_flags(exchange);
    exchange_look_up(exchange);
}

void exchange_begin(struct exchange_home *home, struct exchange **out, const struct exchange_request *request,
                    const struct exchange_sink *sink, void *owner)
{
    struct exchange *exchange = exchange_take(home);

    exchange->sink = sink;
    exchange->owner = owner;
    exchange->place = out;
    exchange->request = *request;
    exchange->is_get = http_span_equal(request->method, HTTP_SPAN("GET"));
    exchange->is_head = http_span_equal(request->method, HTTP_SPAN("HEAD"));
    exchange->has_range =
        (exchange->is_get || exchange->is_head) && http_field_find(request->fields, "range", NULL);
    *out = exchange;
    if (request->purge) {
        rules_make_key(exchange);
        purge_begin(exchange);
        return;
    }
    if (rules_refuse(exchange))
        return;
    rules_make_key(exchange);
    decide(exchange);
}

void exchange_room(struct exchange *exchange)
{
    if (exchange->hot)
        hot_go_on(exchange);
    else if (exchange->state == EXCHANGE_STORED || parts_come_first(exchange))
        body_reader_room(&exchange->reader);
    else if (exchange->fetch)
        origin_resume(exchange->fetch);
}

void exchange_body_ready(struct exchange *exchange)
{
    if (exchange->fetch)
        origin_resume(exchange->fetch);
}

unsigned exchange_count(const struct exchange_home *home)
{
    return home->count;
}

static struct http_span make_key_prefix(const struct origin *origin)
{
    struct http_span base = origin_base(origin);
    char *text = malloc(base.length + 4);

    INVARIANT(text);
    memcpy(text, "GET ", 4);
    memcpy(text + 4, base.at, base.length);
    return (struct http_span){text, base.length + 4};
}

int exchange_home_create(struct exchange_home **out, struct proxy_loop *loop, struct cache_link *link,
                         struct origin *origin, unsigned cache_timeout_ms)
{
    struct exchange_home *home = calloc(1, sizeof *home);

    if (!home)
        return -ENOMEM;
    home->loop = loop;
    home->link = link;
    home->origin = origin;
    home->key_prefix = make_key_prefix(origin);
    http_overrides_setup(&home->overrides);
    INVARIANT(http_targets_parse(&home->targets, HTTP_SPAN(HTTP_TARGETS_DEFAULT)));
    INVARIANT(http_tag_fields_parse(&home->tag_fields, HTTP_SPAN(HTTP_TAG_FIELDS_DEFAULT)));
    loop_add_deadlines(loop, &home->answers, cache_timeout_ms, deadline_passed);
    loop_add_deadlines(loop, &home->fill_stalls, STALL_FACTOR * cache_timeout_ms, fill_writer_stalled);
    loop_add_deadlines(loop, &home->read_stalls, STALL_FACTOR * cache_timeout_ms, body_reader_stalled);
    loop_add_deadlines(loop, &home->patience, PATIENCE_MS, fetch_patience_ended);
    hot_setup(&home->hot, link, (int64_t)STALL_FACTOR * cache_timeout_ms);
    following_home_setup(&home->followings, loop, link, cache_timeout_ms);
    *out = home;
    return 0;
}

void exchange_home_set_targets(struct exchange_home *home, const struct http_targets *targets)
{
    home->targets = *targets;
    repeats_clear(&home->hot.repeats);
}

bool exchange_home_refuses(const struct exchange_home *home, struct http_span method)
{
    return http_overrides_refuse(&home->overrides, method);
}

void exchange_home_set_overrides(struct exchange_home *home, const struct http_overrides *overrides)
{
    home->overrides = *overrides;
    repeats_clear(&home->hot.repeats);
}

void exchange_home_set_timeout(struct exchange_home *home, unsigned cache_timeout_ms)
{
    home->answers.after_ms = cache_timeout_ms;
    home->fill_stalls.after_ms = home->read_stalls.after_ms = (int64_t)STALL_FACTOR * cache_timeout_ms;
    hot_set_stall(&home->hot, (int64_t)STALL_FACTOR * cache_timeout_ms);
    home->followings.answers.after_ms = cache_timeout_ms;
}

void exchange_home_set_tag_fields(struct exchange_home *home, const struct http_tag_fields *fields)
{
    home->tag_fields = *fields;
    repeats_clear(&home->hot.repeats);
}

void exchange_home_destroy(struct exchange_home **home)
{
    struct exchange *next;

    if (!*home)
        return;
    for (struct exchange *exchange = (*home)->first; exchange; exchange = exchange->next)
        exchange_end(exchange);
    parts_end_notes(*home);
    loop_finish_tasks((*home)->loop);
    following_home_teardown(&(*home)->followings);
    hot_teardown(&(*home)->hot);
    for (struct exchange *exchange = (*home)->free_exchanges; exchange; exchange = next) {
        next = exchange->next;
        free(exchange);
    }
    free((char *)(uintptr_t)(*home)->key_prefix.at);
    free(*home);
    *home = NULL;
}
