/* A following:
 *
 *     follow handle ── ask ──> answer ──┬─ grows ──> (metadata) ──> GREW ──> ask ...
 *                                       ├─ whole ──> (metadata) ──> COMPLETE
 *                                       ├─ ours, something is there ──> (metadata) ──> (a follow handle for
 *                                       │                       our own lease) ──> RESUME ──> ask ...
 *                                       └─ anything else: an outcome for all
 * Answers only note what is so; step() acts on it. Without a seat it ends, but not while its question is
 * under way: another look-up may bring the same handle meanwhile, and may not ask with it a second time. */
#include "following.h"

#include "invariant.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PROBE_MS 1000

enum outcome {
    OUTCOME_OPEN,
    OUTCOME_AGAIN,
    OUTCOME_BROKEN,
    OUTCOME_CHANGED,
    OUTCOME_ALONE,
    OUTCOME_LEASE,
    OUTCOME_RESUME
};

struct following {
    struct following *prev, *next; /* in home->first */
    struct following_home *home;
    struct following_seat *seats;
    struct following_seat other; /* at the following that asks for the same handle, if there are two */
    struct loop_task step;
    struct cache_ops ops;
    struct cache_wait wait;
    struct deadline deadline; /* in probes, or in answers */
    int64_t asked_ms;
    enum outcome outcome;
    uint64_t follow, handle, lease; /* 0: none */
    uint64_t second;                /* a pin of what should be the same, and has not been compared; 0: none */
    uint64_t again; /* one of what is the same: it is the cache's to tell us of the end with */
    uint64_t filled, size;
    bool asking, reading; /* under way */
    bool waited;          /* in line, when it was last looked at */
    bool given_back;      /* the follow handle has been, while the answer is awaited */
    bool complete;
    uint64_t told; /* bytes */
    bool told_any, told_complete;
    char *meta; /* NULL: not read yet */
    uint32_t meta_length;
    uint32_t key_length;
    char key[];
};

static void step(struct loop_task *task);
static bool retry(struct cache_wait *wait);
static void act(struct following *following);
static void other_news(struct following_seat *seat, enum following_news news);

uint64_t following_handle(const struct following *following)
{
    return following->handle;
}

/* Whoever has a whole response may rely on the next request being a hit, so the last byte waits until the
 * cache has the object for good. */
uint64_t following_readable(const struct following *following)
{
    if (!following->complete && following->filled > 0 && following->filled >= following->size)
        return following->size - 1;
    return following->filled;
}

uint64_t following_filled(const struct following *following)
{
    return following->filled;
}

uint64_t following_size(const struct following *following)
{
    return following->complete ? following->filled : following->size;
}

struct http_span following_meta(const struct following *following)
{
    return (struct http_span){following->meta, following->meta_length};
}

uint64_t following_take_lease(struct following *following)
{
    uint64_t lease = following->lease;

    following->lease = 0;
    return lease;
}

/* ---- life ---- */

static struct following *find(const struct following_home *home, uint64_t follow)
{
    struct following *following;

    DL_SEARCH_SCALAR(home->first, following, follow, follow);
    return following;
}

static struct following *create(struct following_home *home, uint64_t follow, const struct cache_key *key)
{
    size_t length = (size_t)key->prefix.length + key->rest.length;
    struct following *following = malloc(sizeof *following + length);

    INVARIANT(following);
    *following = (struct following){.home = home,
                                    .step = {.run = step},
                                    .wait = {.retry = retry},
                                    .other = {.news = other_news},
                                    .follow = follow,
                                    .size = LARDER_SIZE_UNKNOWN,
                                    .key_length = (uint32_t)length};
    memcpy(following->key, key->prefix.at, key->prefix.length);
    memcpy(following->key + key->prefix.length, key->rest.at, key->rest.length);
    DL_APPEND(home->first, following);
    loop_arm(home->link->loop, &home->probes, &following->deadline);
    return following;
}

static void give_handle_back(struct following *following)
{
    uint64_t follow = following->follow;

    if (!following->given_back)
        cache_link_unfollow(following->home->link, &follow);
    following->given_back = true;
}

static void destroy(struct following *following)
{
    struct cache_link *link = following->home->link;

    DL_DELETE(following->home->first, following);
    following_leave(&following->other);
    cache_ops_sever(&following->ops);
    cache_link_unwait(link, &following->wait);
    deadline_clear(&following->deadline);
    give_handle_back(following);
    cache_link_give_up(link, &following->lease);
    cache_link_release(link, &following->handle);
    cache_link_release(link, &following->second);
    cache_link_release(link, &following->again);
    free(following->meta);
    free(following);
}

static void go_on(struct following *following)
{
    loop_put_off(following->home->link->loop, &following->step);
}

static void sit(struct following *following, struct following_seat *seat)
{
    INVARIANT(!seat->following);
    seat->following = following;
    DL_APPEND(following->seats, seat);
    following->told_any = false; /* it has not been */
    go_on(following);
}

void following_join(struct following_home *home, struct following_seat *seat, uint64_t *follow,
                    const struct cache_key *key)
{
    struct following *following = find(home, *follow);

    INVARIANT(*follow);
    if (!following)
        following = create(home, *follow, key);
    else if (following->given_back)
        following->given_back = false; /* this one serves in its place */
    else
        cache_link_unfollow(home->link, follow); /* it is given back as often as it was given */
    *follow = 0;
    sit(following, seat);
}

void following_leave(struct following_seat *seat)
{
    struct following *following = seat->following;

    if (!following)
        return;
    seat->following = NULL;
    DL_DELETE(following->seats, seat);
    if (!following->seats)
        go_on(following); /* which ends it */
}

/* ---- questions ---- */

static void set_outcome(struct following *following, enum outcome outcome)
{
    following->outcome = outcome;
    go_on(following);
}

/* True: it is under way, or waits in line. */
static bool asked(struct following *following, int error)
{
    if (error == -EAGAIN)
        error = cache_link_wait(following->home->link, &following->wait);
    if (error)
        set_outcome(following, OUTCOME_ALONE);
    return !error;
}

static bool retry(struct cache_wait *wait)
{
    struct following *following =
        (struct following *)(void *)((char *)wait - offsetof(struct following, wait));

    act(following);
    return cache_link_retried(following->home->link, wait);
}

static void note_growth(struct following *following, struct larder_event *event)
{
    if (event->handle && following->handle) {
        cache_link_release(following->home->link, &following->second);
        following->second = event->handle; /* the one there is serves as well, if it is of the same */
    } else if (event->handle) {
        following->handle = event->handle;
    }
    event->handle = 0;
    following->filled = event->filled;
    following->size = event->object_size;
}

/* Is there all that the news speaks of? Without it nobody would ever be told anything. */
static bool is_sound(const struct following *following)
{
    return following->handle &&
           (following->complete || following->follow || following->outcome == OUTCOME_RESUME);
}

static enum outcome miss_outcome(struct following *following, struct larder_event *event)
{
    if (event->promoted && !following->meta) {
        following->lease = event->lease;
        event->lease = 0;
        return OUTCOME_LEASE;
    }
    /* Promoted to begin anew, although there was something: who went on with it for us has thrown it away
     * before we had asked. The lease goes back. */
    if (event->changed || event->promoted)
        return OUTCOME_CHANGED;
    return event->broken ? OUTCOME_BROKEN : OUTCOME_AGAIN;
}

static void news_arrived(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct following *following = owner;

    (void)op;
    following->asking = false;
    following->follow = event->follow;
    switch (event->status) {
    case LARDER_OK:
        note_growth(following, event);
        if (event->promoted) {
            following->lease = event->lease;
            event->lease = 0;
            following->outcome = OUTCOME_RESUME;
        }
        break;
    case LARDER_HIT:
        note_growth(following, event);
        following->complete = true;
        break;
    case LARDER_MISS:
        following->outcome = miss_outcome(following, event);
        break;
    default:
        following->outcome = OUTCOME_ALONE;
    }
    if ((event->status == LARDER_OK || event->status == LARDER_HIT) && !is_sound(following))
        following->outcome = OUTCOME_ALONE;
    go_on(following);
}

static void ask(struct following *following)
{
    uint64_t known = following->meta ? following->filled : LARDER_FOLLOW_NOTHING;
    int error = cache_link_follow(following->home->link, &following->ops, following->follow, known,
                                  news_arrived, following);

    following->asking = !error;
    asked(following, error);
}

static bool is_same(const struct following *following, const void *meta, uint32_t length)
{
    return length == following->meta_length && memcmp(meta, following->meta, length) == 0;
}

/* Each body has metadata of its own, so where these are the same the pins are of one object. */
static void compare(struct following *following, const struct larder_event *event)
{
    struct cache_link *link = following->home->link;

    if (is_same(following, event->segment->data, event->meta_length)) {
        cache_link_release(link, &following->again);
        following->again = following->second;
        following->second = 0;
        go_on(following);
    } else {
        cache_link_release(link, &following->second);
        set_outcome(following, OUTCOME_BROKEN);
    }
}

static void keep_meta(struct following *following, const struct larder_event *event)
{
    following->meta = malloc(event->meta_length);
    INVARIANT(following->meta);
    memcpy(following->meta, event->segment->data, event->meta_length);
    following->meta_length = event->meta_length;
    go_on(following);
}

static void meta_arrived(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct following *following = owner;

    (void)op;
    following->reading = false;
    if (event->status != LARDER_OK || !event->segment || event->meta_length == 0 ||
        event->meta_length > event->segment->size)
        set_outcome(following, OUTCOME_ALONE);
    else if (following->meta)
        compare(following, event);
    else
        keep_meta(following, event);
}

static void read_meta(struct following *following)
{
    uint64_t handle = following->meta ? following->second : following->handle;
    int error =
        cache_link_read_meta(following->home->link, &following->ops, handle, 0, meta_arrived, following);

    following->reading = !error;
    asked(following, error);
}

/* A look-up that wants nothing but a follow handle, or a sign of life. */
static int look_up(struct following *following, uint32_t flags, cache_done *done)
{
    struct cache_key key = {{following->key, following->key_length}, HTTP_SPAN("")};

    return cache_link_lookup(following->home->link, &following->ops, &key, flags | LARDER_LOOKUP_NO_BODY,
                             done, following);
}

/* ---- our own lease ---- */

static void followed_again(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct following *following = owner;

    (void)op;
    if (event->follow == 0) {
        set_outcome(following, OUTCOME_BROKEN);
    } else if (find(following->home, event->follow)) { /* a client that has come meanwhile was first */
        sit(find(following->home, event->follow), &following->other);
        cache_link_unfollow(following->home->link, &event->follow);
    } else {
        following->follow = event->follow;
        event->follow = 0;
        go_on(following);
    }
}

/* What the other following is told. Its first seat may be ours: what it gets is then for one of our own. */
static void other_news(struct following_seat *seat, enum following_news news)
{
    static const enum outcome outcomes[] = {
        [FOLLOWING_GREW] = OUTCOME_OPEN,     [FOLLOWING_COMPLETE] = OUTCOME_OPEN,
        [FOLLOWING_AGAIN] = OUTCOME_BROKEN,  [FOLLOWING_BROKEN] = OUTCOME_BROKEN,
        [FOLLOWING_ALONE] = OUTCOME_ALONE,   [FOLLOWING_LEASE] = OUTCOME_BROKEN,
        [FOLLOWING_RESUME] = OUTCOME_RESUME, [FOLLOWING_CHANGED] = OUTCOME_CHANGED,
    };
    struct following *following =
        (struct following *)(void *)((char *)seat - offsetof(struct following, other));
    const struct following *from = seat->following;
    bool goes_on = news == FOLLOWING_GREW || news == FOLLOWING_COMPLETE || news == FOLLOWING_RESUME;
    bool same = !goes_on || is_same(following, from->meta, from->meta_length);

    following->filled = from->filled;
    following->size = from->size;
    following->complete = from->complete;
    if (news == FOLLOWING_RESUME)
        following->lease = following_take_lease(seat->following);
    following->outcome = same ? outcomes[news] : OUTCOME_BROKEN;
    if (!goes_on || !same)
        following_leave(seat);
    go_on(following);
}

/* The lease that was followed is ours now, which ended the follow handle. Asked before anything can become of
 * the lease, the cache cannot but give one for the same fill. False: not yet. */
static bool follow_ourselves(struct following *following)
{
    int error;

    if (following->other.following)
        return true;
    error = look_up(following, LARDER_LOOKUP_FOLLOW, followed_again);
    return asked(following, error) && error == 0;
}

/* ---- telling ---- */

static void tell_all(struct following *following, enum following_news news)
{
    struct following_seat *seat, *next;

    DL_FOREACH_SAFE(following->seats, seat, next)
    {
        seat->news(seat, news);
    }
}

static void tell_outcome(struct following *following)
{
    static const enum following_news news[] = {[OUTCOME_AGAIN] = FOLLOWING_AGAIN,
                                               [OUTCOME_BROKEN] = FOLLOWING_BROKEN,
                                               [OUTCOME_CHANGED] = FOLLOWING_CHANGED,
                                               [OUTCOME_ALONE] = FOLLOWING_ALONE,
                                               [OUTCOME_LEASE] = FOLLOWING_AGAIN};

    if (following->outcome == OUTCOME_LEASE)
        following->seats->news(following->seats, FOLLOWING_LEASE);
    tell_all(following, news[following->outcome]);
    INVARIANT(!following->seats);
}

static void tell_growth(struct following *following)
{
    bool complete = following->complete && !following->told_complete;

    if (following->told_any && following->filled == following->told && !complete)
        return;
    following->told_any = true;
    following->told = following->filled;
    following->told_complete = following->complete;
    tell_all(following, following->complete ? FOLLOWING_COMPLETE : FOLLOWING_GREW);
}

static void resume(struct following *following)
{
    following->outcome = OUTCOME_OPEN;
    following->seats->news(following->seats, FOLLOWING_RESUME);
}

static bool is_open(const struct following *following)
{
    return following->outcome == OUTCOME_OPEN;
}

static bool is_over(const struct following *following)
{
    return !is_open(following) && following->outcome != OUTCOME_RESUME;
}

static void tell(struct following *following)
{
    if (is_over(following))
        tell_outcome(following);
    else if ((following->handle && !following->meta) || following->second)
        read_meta(following);
    else if (following->outcome == OUTCOME_RESUME && follow_ourselves(following))
        resume(following);
    else if (is_open(following) && following->handle)
        tell_growth(following);
}

static bool is_kept(const struct following *following)
{
    return following->reading || cache_wait_waits(&following->wait);
}

static void act(struct following *following)
{
    if (following->seats && (is_over(following) || !is_kept(following)))
        tell(following);
    if (!is_kept(following) && following->seats && is_open(following) && following->follow &&
        !following->asking)
        ask(following);
}

static void step(struct loop_task *task)
{
    struct following *following =
        (struct following *)(void *)((char *)task - offsetof(struct following, step));

    act(following);
    if (following->seats || following->step.queued)
        return;
    if (following->asking)
        give_handle_back(following);
    else
        destroy(following);
}

/* ---- is the cache alive? ---- */

static void alive(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct following *following = owner;

    (void)op;
    (void)event;
    loop_arm(following->home->link->loop, &following->home->probes, &following->deadline);
}

static void probe_got_nothing(struct following *following, int64_t asked_ms)
{
    struct following_home *home = following->home;

    cache_link_timed_out(home->link, asked_ms);
    if (home->link->silent)
        set_outcome(following, OUTCOME_ALONE);
    else
        loop_arm(home->link->loop, &home->probes, &following->deadline);
}

/* In line for a segment, as it was a second ago: whoever can do without the cache shall. */
static bool has_waited(struct following *following)
{
    bool waits = cache_wait_waits(&following->wait);
    bool waited = waits && following->waited;

    following->waited = waits;
    return waited;
}

static void probe_is_due(struct deadline *deadline)
{
    struct following *following =
        (struct following *)(void *)((char *)deadline - offsetof(struct following, deadline));
    struct following_home *home = following->home;
    bool waits = following->seats && !following->told_complete;
    int error = waits ? look_up(following, 0, alive) : 0;

    following->asked_ms = home->link->loop->now_ms;
    if (has_waited(following))
        set_outcome(following, OUTCOME_ALONE);
    else if (error && home->link->outstanding > 0) /* others have asked, and have all that it takes to ask */
        probe_got_nothing(following, following->asked_ms - PROBE_MS);
    else
        loop_arm(home->link->loop, waits && !error ? &home->answers : &home->probes, &following->deadline);
}

static void probe_failed(struct deadline *deadline)
{
    struct following *following =
        (struct following *)(void *)((char *)deadline - offsetof(struct following, deadline));

    probe_got_nothing(following, following->asked_ms);
}

void following_home_setup(struct following_home *home, struct proxy_loop *loop, struct cache_link *link,
                          unsigned cache_timeout_ms)
{
    home->link = link;
    home->first = NULL;
    loop_add_deadlines(loop, &home->probes, PROBE_MS, probe_is_due);
    loop_add_deadlines(loop, &home->answers, cache_timeout_ms, probe_failed);
}

void following_home_teardown(struct following_home *home)
{
    struct following *following, *next;

    DL_FOREACH_SAFE(home->first, following, next)
    {
        INVARIANT(!following->seats);
        destroy(following); /* its answer is still under way */
    }
}
