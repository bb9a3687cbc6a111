/* Responses that another exchange fetches, of this proxy or another.
 *
 *     look-up: the lease is out ──> FOLLOW ─┬─ it grows, or is whole, and may be served ──> STORED
 *                                           ├─ it may not ──> FETCH, or look up again
 *                                           ├─ the lease is left to us ──> look up again, with it ──> FETCH
 *                                           └─ nothing came of it ──> look up again
 *     STORED, of what grows ─┬─ whole, all given ──> ENDED
 *                            └─ it grows no more ──> CONTINUE
 *     FETCH, and the client is slower than the origin ──> hand over:
 *             an heir looks up and follows ──> it has what is being filled: the client is its (STORED, from
 *                                              where the client is), and the fill goes on without one
 *             what has no length may turn out to be more than the cache takes: then the fetch waits until the
 *                                              client has all that was filled, and has it back
 * Until then nothing has changed. The heir must follow this very fill: the key may have been invalidated
 * since it began, and its lease granted anew. The id in the metadata tells. */
#include "exchange_internal.h"

#include <errno.h>
#include <stddef.h>

static void news_of_it(struct following_seat *seat, enum following_news news);

uint64_t follow_handle(const struct exchange *exchange)
{
    return exchange->seat.following ? following_handle(exchange->seat.following) : exchange->handle;
}

static void sit_down(struct exchange *exchange, struct larder_event *event, const struct cache_key *key)
{
    exchange->state = EXCHANGE_FOLLOW;
    exchange->seat.news = news_of_it;
    following_join(&exchange->home->followings, &exchange->seat, &event->follow, key);
}

void follow_wait(struct exchange *exchange, struct larder_event *event)
{
    struct cache_key key = exchange_key(exchange);

    exchange->is_follower = true;
    exchange->cache_status.collapsed = true;
    exchange->followed++;
    parts_forget(exchange); /* what there will be is something else */
    sit_down(exchange, event, &key);
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

/* All of it is there, or on its way. */
static bool is_whole(const struct exchange *exchange)
{
    const struct http_span *bytes = &exchange->meta.parts;
    struct http_parts parts;

    return bytes->length == 0 || (http_parts_decode(&parts, bytes->at, bytes->length) &&
                                  following_size(exchange->seat.following) >= parts.length);
}

static bool is_response(const struct exchange *exchange)
{
    return (exchange->meta.head.flags & (HTTP_META_INDEX | HTTP_META_MARK)) == 0 && is_whole(exchange);
}

static void look_again(struct exchange *exchange)
{
    follow_leave(exchange);
    exchange->meta = (struct http_meta){0};
    if (exchange->verdict != HTTP_REQUEST_REVALIDATE) /* what has come is no older than the request */
        exchange->lookup_flags &= ~LARDER_LOOKUP_REVALIDATE;
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

static void move_client(struct exchange *to, struct exchange *from)
{
    to->sink = from->sink;
    to->owner = from->owner;
    to->place = from->place;
    *to->place = to;
    to->position = from->position;
    to->directives = from->directives;
    to->verdict = from->verdict;
    from->sink = NULL;
    from->owner = NULL;
    from->place = NULL;
}

/* The head has been given, by whom we inherit the client from. */
static void take_up_body(struct exchange *exchange)
{
    struct exchange *from = exchange->heir_of;

    if (!decode(exchange, &exchange->meta) || exchange->meta.head.id != from->fill_id ||
        !fill_writer_active(&from->fill)) {
        exchange_end(exchange);
        return;
    }
    exchange->heir_of = from->heir = NULL;
    exchange->lent_from = from;
    from->lent_to = exchange;
    move_client(exchange, from);
    origin_resume(from->fetch);
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
    if (exchange->heir_of)
        take_up_body(exchange);
    else if (!decode(exchange, &exchange->meta) || !is_response(exchange))
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
        if (exchange->heir_of)
            exchange_end(exchange);
        else if (exchange->head_given)
            exchange_break(exchange);
        else
            look_again(exchange);
        break;
    case FOLLOWING_LEASE:
    case FOLLOWING_AGAIN:
    case FOLLOWING_BROKEN:
        if (exchange->heir_of)
            exchange_end(exchange);
        else if (exchange->head_given)
            follow_lost(exchange);
        else if (news == FOLLOWING_LEASE)
            left_to_us(exchange);
        else if (news == FOLLOWING_AGAIN)
            look_again(exchange);
        else
            fetch_alone(exchange); /* nobody would fare better than who failed to fill it */
        break;
    case FOLLOWING_ALONE:
        follow_leave(exchange);
        exchange_go_without_cache(exchange, cache_link_usable(exchange->home->link) ? "cache-refused"
                                                                                    : "no-cache-server");
    }
}

/* ---- clients that are slow ---- */

static void heir_answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *heir = owner;
    struct cache_key key = exchange_key(heir->heir_of);

    (void)op;
    deadline_clear(&heir->deadline);
    if (event->follow)
        sit_down(heir, event, &key);
    else
        exchange_end(heir);
}

static struct exchange *make_heir(struct exchange *of)
{
    struct exchange *heir = exchange_take(of->home);

    heir->heir_of = of;
    of->heir = heir;
    heir->state = EXCHANGE_FOLLOW;
    heir->is_get = of->is_get;
    heir->request = of->request;
    heir->head_given = true;
    return heir;
}

bool follow_hand_over(struct exchange *exchange)
{
    struct exchange_home *home = exchange->home;
    struct cache_key key = exchange_key(exchange);
    struct exchange *heir = make_heir(exchange);
    int error = cache_link_lookup(home->link, &heir->ops, &key, LARDER_LOOKUP_FOLLOW | LARDER_LOOKUP_NO_BODY,
                                  heir_answered, heir);

    if (!error) {
        exchange_await_answer(heir);
        return true;
    }
    follow_disinherit(exchange);
    if (error == -EAGAIN)
        cache_link_wait(home->link, &exchange->wait);
    return false;
}

void follow_disinherit(struct exchange *exchange)
{
    struct exchange *heir = exchange->heir;

    cache_link_unwait(exchange->home->link, &exchange->wait);
    if (!heir)
        return;
    heir->heir_of = exchange->heir = NULL;
    exchange_end(heir);
}

/* Returns who has lent the client to the exchange; NULL: nobody. */
static struct exchange *end_loan(struct exchange *exchange)
{
    struct exchange *from = exchange->lent_from;

    if (exchange->lent_to)
        exchange->lent_to->lent_from = NULL;
    exchange->lent_to = exchange->lent_from = NULL;
    if (from)
        from->lent_to = NULL;
    return from;
}

void follow_forget_loan(struct exchange *exchange)
{
    struct exchange *from = end_loan(exchange);

    if (!from || !from->fetch)
        return;
    if (from->sink || exchange_may_go_on_alone(from))
        origin_resume(from->fetch); /* it may have waited for this */
    else
        exchange_end(from);
}

void follow_gave(struct exchange *exchange)
{
    struct exchange *from = exchange->lent_from;

    if (from && from->fetch && exchange->position == from->received)
        origin_resume(from->fetch);
}

bool follow_take_back(struct exchange *exchange)
{
    struct exchange *heir = exchange->lent_to;

    if (heir->position < exchange->received)
        return false;
    (void)end_loan(exchange);
    move_client(exchange, heir);
    exchange_end(heir);
    fill_writer_abort(&exchange->fill);
    return true;
}
