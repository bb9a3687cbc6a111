/* Responses that another exchange fetches, of this proxy or another.
 *
 *     look-up: the lease is out ──> FOLLOW ─┬─ it grows, or is whole, and may be served ──> STORED
 *                                           ├─ it may not ──> FETCH, or look up again
 *                                           ├─ the lease is left to us ──> look up again, with it ──> FETCH
 *                                           └─ nothing came of it ──> look up again
 *     STORED, of what grows ─┬─ whole, all given ──> ENDED
 *                            └─ it grows no more ──> CONTINUE
 *     FETCH, and the client is slower than the origin ──> hand over: the client to a new exchange, which
 *                                 follows (FOLLOW, then STORED from where the client is); the fill goes on
 * The new exchange must follow this very fill. Its look-up goes through the same ring as the fill, so the
 * lease is out to us when it is answered; should it have been taken away in between, the id in the metadata
 * tells. */
#include "exchange_internal.h"

#include <errno.h>
#include <stddef.h>

static void news_of_it(struct following_seat *seat, enum following_news news);

uint64_t follow_handle(const struct exchange *exchange)
{
    return exchange->seat.following ? following_handle(exchange->seat.following) : exchange->handle;
}

static void sit_down(struct exchange *exchange, struct larder_event *event)
{
    struct cache_key key = exchange_key(exchange);

    exchange->state = EXCHANGE_FOLLOW;
    exchange->seat.news = news_of_it;
    following_join(&exchange->home->followings, &exchange->seat, &event->follow, &key);
}

void follow_wait(struct exchange *exchange, struct larder_event *event)
{
    exchange->is_follower = true;
    exchange->cache_status.collapsed = true;
    exchange->followed++;
    sit_down(exchange, event);
}

void follow_leave(struct exchange *exchange)
{
    following_leave(&exchange->seat);
}

void follow_lost(struct exchange *exchange)
{
    body_reader_stop(&exchange->reader);
    if (exchange->meta.fields.at)
        stored_keep_meta(exchange);
    follow_leave(exchange);
    cache_link_release(exchange->home->link, &exchange->handle);
    if (exchange->object_size == LARDER_SIZE_UNKNOWN)
        exchange_break(exchange); /* nobody knows where it ends */
    else
        fetch_start(exchange, EXCHANGE_CONTINUE);
}

/* ---- what is told ---- */

static bool decode(const struct exchange *exchange, struct http_meta *meta)
{
    struct http_span blob = following_meta(exchange->seat.following);

    return http_meta_decode(meta, blob.at, blob.length);
}

static bool is_response(const struct http_meta *meta)
{
    return (meta->head.flags & (HTTP_META_INDEX | HTTP_META_MARK)) == 0;
}

static void look_again(struct exchange *exchange)
{
    follow_leave(exchange);
    exchange->meta = (struct http_meta){0};
    exchange_look_up(exchange);
}

/* What came may not be used, and what came next would be no better. */
static void look_again_alone(struct exchange *exchange)
{
    exchange->lookup_flags &= ~LARDER_LOOKUP_FOLLOW;
    look_again(exchange);
}

static void fetch_alone(struct exchange *exchange)
{
    enum http_cache_fwd fwd = exchange->cache_status.fwd;

    follow_leave(exchange);
    exchange->meta = (struct http_meta){0};
    exchange_go_forward(exchange, fwd, NULL);
}

/* The head has been given, by whoever handed the client over. */
static void take_up_body(struct exchange *exchange)
{
    struct http_meta meta;

    if (!decode(exchange, &meta) || meta.head.id != exchange->fill_id) {
        follow_lost(exchange);
        return;
    }
    exchange->state = EXCHANGE_STORED;
    exchange->object_size = exchange->end = following_size(exchange->seat.following);
    stored_read_on(exchange);
}

static void serve(struct exchange *exchange)
{
    exchange->object_size = following_size(exchange->seat.following);
    stored_serve_kept(exchange);
}

static void begin(struct exchange *exchange, bool complete)
{
    if (exchange->head_given)
        take_up_body(exchange);
    else if (!decode(exchange, &exchange->meta) || !is_response(&exchange->meta))
        look_again(exchange); /* found like anything else that is stored */
    else if (stored_may_be_served(exchange))
        serve(exchange);
    else if (complete)
        look_again_alone(exchange);
    else
        fetch_alone(exchange); /* it must not be used without validation, and is too young for that */
}

static void grew(struct exchange *exchange, bool complete)
{
    const struct following *following = exchange->seat.following;

    if (exchange->state == EXCHANGE_FOLLOW) {
        begin(exchange, complete);
        return;
    }
    if (complete)
        exchange->object_size = exchange->end = following_size(following);
    body_reader_grow(&exchange->reader, following_readable(following), exchange->end);
}

static void left_to_us(struct exchange *exchange)
{
    exchange->lease = following_take_lease(exchange->seat.following);
    look_again(exchange);
}

static void news_of_it(struct following_seat *seat, enum following_news news)
{
    struct exchange *exchange = (struct exchange *)(void *)((char *)seat - offsetof(struct exchange, seat));

    switch (news) {
    case FOLLOWING_GREW:
    case FOLLOWING_COMPLETE:
        grew(exchange, news == FOLLOWING_COMPLETE);
        break;
    case FOLLOWING_RESUME:
        background_resume(exchange, following_take_lease(seat->following));
        break;
    case FOLLOWING_CHANGED:
        if (exchange->head_given)
            exchange_break(exchange);
        else
            look_again(exchange);
        break;
    case FOLLOWING_BROKEN: /* those who come next would fare no better */
        if (exchange->head_given)
            follow_lost(exchange);
        else
            fetch_alone(exchange);
        break;
    case FOLLOWING_LEASE:
    case FOLLOWING_AGAIN:
        if (exchange->head_given)
            follow_lost(exchange);
        else if (news == FOLLOWING_LEASE)
            left_to_us(exchange);
        else
            look_again(exchange);
        break;
    case FOLLOWING_ALONE:
        follow_leave(exchange);
        exchange_go_without_cache(exchange, cache_link_usable(exchange->home->link) ? "cache-refused"
                                                                                    : "no-cache-server");
    }
}

/* ---- clients that are slow ---- */

static void handed_over(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    deadline_clear(&exchange->deadline);
    if (event->follow)
        sit_down(exchange, event);
    else
        follow_lost(exchange);
}

/* What it takes to continue from the origin, should the fill come to nothing. */
static void copy_metadata(struct exchange *to, struct exchange *from)
{
    const struct origin_head *head = origin_response(from->fetch);
    struct http_storing storing = {.reason = ""};
    int length = stored_encode(from, head->status, &head->fields, &storing);

    if (length > 0)
        stored_adopt_meta(to, length);
    to->object_size = to->end = head->length_known ? head->length : LARDER_SIZE_UNKNOWN;
}

static void move_client(struct exchange *to, struct exchange *from)
{
    to->sink = from->sink;
    to->owner = from->owner;
    to->place = from->place;
    *to->place = to;
    to->request = from->request;
    to->is_get = from->is_get;
    to->directives = from->directives;
    to->verdict = from->verdict;
    to->head_given = true;
    to->position = from->position;
    to->fill_id = from->fill_id;
    to->state = EXCHANGE_FOLLOW;
    from->sink = NULL;
    from->owner = NULL;
    from->place = NULL;
}

bool follow_hand_over(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    struct cache_key key = exchange_key(exchange);
    struct exchange *other = exchange_take(home);
    int error = cache_link_lookup(home->link, &other->ops, &key, LARDER_LOOKUP_FOLLOW | LARDER_LOOKUP_NO_BODY,
                                  handed_over, other);

    if (error) {
        exchange_end(other);
        if (error == -EAGAIN)
            cache_link_wait(home->link, &exchange->wait);
        return false;
    }
    copy_metadata(other, exchange);
    move_client(other, exchange);
    exchange_await_answer(other);
    return true;
}
