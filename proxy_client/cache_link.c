/* An operation:
 *
 *     taken (done, owner set, in the owner's list) ── answer ──> done(owner) ──> free
 *         │
 *         └─ cache_ops_sever() ──> orphan ── answer ──> given back ──> free
 */
#include "cache_link.h"

#include "clock.h"
#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define WAITING_MAX           4096
#define FIRST_COMPLAINT_MS    500 /* most caches are back by then */
#define COMPLAINT_INTERVAL_MS 10000

struct cache_op {
    struct cache_op *prev, *next; /* in the owner's list; next also in the list of free ones */
    struct cache_ops *ops;        /* NULL: orphan */
    struct cache_op *made_before; /* all operations of the link, whatever their state */
    cache_done *done;
    void *owner;
    bool patient; /* its answer may take any time */
};

static struct cache_op *op_new(struct cache_link *link)
{
    struct cache_op *op = malloc(sizeof *op);

    INVARIANT(op);
    op->made_before = link->last_made;
    link->last_made = op;
    return op;
}

static struct cache_op *op_take(struct cache_link *link, struct cache_ops *ops, cache_done *done, void *owner)
{
    struct cache_op *op = link->free_ops;

    if (op)
        link->free_ops = op->next;
    else
        op = op_new(link);
    link->outstanding++;
    op->patient = false;
    op->prev = NULL;
    op->next = ops->first;
    op->ops = ops;
    op->done = done;
    op->owner = owner;
    if (ops->first)
        ops->first->prev = op;
    ops->first = op;
    ops->count++;
    return op;
}

static void op_detach(struct cache_op *op)
{
    if (!op->ops)
        return;
    if (op->prev)
        op->prev->next = op->next;
    else
        op->ops->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    op->ops->count--;
    op->ops = NULL;
}

static void op_free(struct cache_link *link, struct cache_op *op)
{
    op_detach(op);
    link->outstanding -= !op->patient;
    op->next = link->free_ops;
    link->free_ops = op;
}

void cache_ops_sever(struct cache_ops *ops)
{
    while (ops->first)
        op_detach(ops->first);
}

/* An answer will come, or there was an error and none will. */
static int started(struct cache_link *link, struct cache_op *op, int error)
{
    if (error)
        op_free(link, op);
    return error;
}

bool cache_link_usable(const struct cache_link *link)
{
    return (!link->silent || link->outstanding == 0) && larder_client_attached(link->client);
}

bool cache_link_is_scarce(const struct cache_link *link)
{
    return link->held - link->kept > (link->segments - link->kept) / 2;
}

void cache_link_set_keeper(struct cache_link *link, struct cache_keeper *keeper)
{
    link->keeper = keeper;
}

void cache_link_timed_out(struct cache_link *link, int64_t asked_ms)
{
    if (link->silent || link->last_answer_ms > asked_ms)
        return;
    link->silent = true;
    log_warn("cache does not answer", "action=\"serving without it until it does\"");
}

static void heard_from_cache(struct cache_link *link)
{
    link->last_answer_ms = link->loop->now_ms;
    if (link->silent)
        log_info("cache answers again");
    link->silent = false;
}

static int borrow_of_row(struct cache_link *link, struct larder_segment **segment, struct cache_row *row)
{
    return row ? larder_segment_borrow_next(link->client, segment, &row->place, row->count)
               : larder_segment_borrow(link->client, segment);
}

/* `row`: NULL: none. */
static int borrow(struct cache_link *link, struct larder_segment **segment, struct cache_row *row)
{
    int error = borrow_of_row(link, segment, row);

    if (error == -EAGAIN && link->keeper && link->keeper->give_way(link->keeper))
        error = borrow_of_row(link, segment, row);
    if (!error)
        link->held++;
    return error;
}

int cache_link_borrow(struct cache_link *link, struct larder_segment **segment)
{
    return borrow(link, segment, NULL);
}

static void wake_waiters(struct cache_link *link)
{
    if (link->serving)
        link->woken = true;
    else if (link->waiting_count > 0)
        loop_put_off(link->loop, &link->serve_waiters);
}

void cache_link_return(struct cache_link *link, struct larder_segment **segment)
{
    if (!*segment)
        return;
    link->held--;
    larder_segment_return(link->client, segment);
    wake_waiters(link);
}

/* An operation that takes a segment along, while it is being started:
 *
 *     ask() or ask_for_key() ──> op_take(), and the library is called ──> asked()
 */
struct asking {
    struct larder_segment *segment;
    uint32_t key_length;
    struct cache_op *op;
};

static int ask(struct cache_link *link, struct asking *asking)
{
    *asking = (struct asking){.segment = NULL};
    return cache_link_borrow(link, &asking->segment);
}

static void write_key(void *out, const struct cache_key *key)
{
    memcpy(out, key->prefix.at, key->prefix.length);
    memcpy((char *)out + key->prefix.length, key->rest.at, key->rest.length);
}

static int ask_for_key(struct cache_link *link, struct asking *asking, const struct cache_key *key,
                       uint32_t most)
{
    uint64_t bytes = (uint64_t)key->prefix.length + key->rest.length;
    int error;

    if (bytes > most || bytes > link->segment_bytes)
        return -EINVAL;
    error = ask(link, asking);
    if (error)
        return error;
    write_key(asking->segment->data, key);
    asking->key_length = (uint32_t)bytes;
    return 0;
}

/* `error` is the library's, which has the segment unless it refused. */
static int asked(struct cache_link *link, struct asking *asking, int error)
{
    started(link, asking->op, error);
    cache_link_return(link, &asking->segment);
    return error;
}

int cache_link_lookup(struct cache_link *link, struct cache_ops *ops, const struct cache_key *key,
                      uint32_t flags, cache_done *done, void *owner)
{
    return cache_link_lookup_asked(link, ops, key, flags, 0, done, owner);
}

int cache_link_lookup_asked(struct cache_link *link, struct cache_ops *ops, const struct cache_key *key,
                            uint32_t flags, int64_t asked_ms, cache_done *done, void *owner)
{
    struct asking asking;
    int error = ask_for_key(link, &asking, key, LARDER_MAX_KEY);

    if (error)
        return error;
    asking.op = op_take(link, ops, done, owner);
    return asked(
        link, &asking,
        larder_lookup_asked(link->client, &asking.segment, asking.key_length, flags, asked_ms, asking.op));
}

int cache_link_remove(struct cache_link *link, struct cache_ops *ops, const struct cache_key *key,
                      cache_done *done, void *owner)
{
    struct asking asking;
    int error = ask_for_key(link, &asking, key, LARDER_MAX_KEY);

    if (error)
        return error;
    asking.op = op_take(link, ops, done, owner);
    return asked(link, &asking, larder_remove(link->client, &asking.segment, asking.key_length, asking.op));
}

int cache_link_purge(struct cache_link *link, struct cache_ops *ops, const struct cache_purge *purge,
                     cache_done *done, void *owner)
{
    uint32_t most = purge->flags & LARDER_PURGE_TAGS ? LARDER_TAGS_BYTES : LARDER_MAX_KEY;
    struct asking asking;
    int error = ask_for_key(link, &asking, &purge->what, most);

    if (error)
        return error;
    asking.op = op_take(link, ops, done, owner);
    return asked(link, &asking,
                 larder_purge(link->client, &asking.segment, asking.key_length, purge->flags, asking.op));
}

static int read_into(struct cache_link *link, struct cache_ops *ops, struct larder_segment *segment,
                     uint64_t handle, uint64_t offset, uint32_t length, cache_done *done, void *owner)
{
    struct asking asking = {.segment = segment, .op = op_take(link, ops, done, owner)};

    return asked(link, &asking,
                 larder_read(link->client, handle, offset, &asking.segment, length, asking.op));
}

int cache_link_read(struct cache_link *link, struct cache_ops *ops, uint64_t handle, uint64_t offset,
                    uint32_t length, cache_done *done, void *owner)
{
    struct larder_segment *segment;
    int error = borrow(link, &segment, NULL);

    return error ? error : read_into(link, ops, segment, handle, offset, length, done, owner);
}

int cache_link_read_row(struct cache_link *link, struct cache_ops *ops, uint64_t handle, uint64_t offset,
                        uint32_t length, struct cache_row *row, cache_done *done, void *owner)
{
    struct larder_segment *segment;
    struct cache_row next = *row;
    int error = borrow(link, &segment, &next);

    if (!error)
        error = read_into(link, ops, segment, handle, offset, length, done, owner);
    if (!error)
        *row = (struct cache_row){next.place, next.count - 1};
    return error;
}

int cache_link_read_meta(struct cache_link *link, struct cache_ops *ops, uint64_t handle, uint32_t length,
                         cache_done *done, void *owner)
{
    struct asking asking;
    int error = ask(link, &asking);

    if (error)
        return error;
    asking.op = op_take(link, ops, done, owner);
    return asked(link, &asking, larder_read_meta(link->client, handle, &asking.segment, length, asking.op));
}

int cache_link_follow(struct cache_link *link, struct cache_ops *ops, uint64_t follow, uint64_t known,
                      cache_done *done, void *owner)
{
    struct cache_op *op = op_take(link, ops, done, owner);

    op->patient = true;
    link->outstanding--;
    return started(link, op, larder_follow(link->client, follow, known, op));
}

int cache_link_fill_begin(struct cache_link *link, struct cache_ops *ops, const struct larder_fill *fill,
                          struct larder_segment **segment, cache_done *done, void *owner)
{
    struct cache_op *op = op_take(link, ops, done, owner);

    return started(link, op, larder_fill_begin(link->client, fill, segment, op));
}

int cache_link_fill_data(struct cache_link *link, struct cache_ops *ops, uint64_t lease, uint64_t offset,
                         struct larder_segment **segment, uint32_t length, cache_done *done, void *owner)
{
    struct cache_op *op = op_take(link, ops, done, owner);

    return started(link, op, larder_fill_data(link->client, lease, offset, segment, length, op));
}

int cache_link_fill_end(struct cache_link *link, struct cache_ops *ops, uint64_t lease, uint64_t object_size,
                        cache_done *done, void *owner)
{
    struct cache_op *op = op_take(link, ops, done, owner);

    return started(link, op, larder_fill_end(link->client, lease, object_size, op));
}

int cache_link_renew(struct cache_link *link, struct cache_ops *ops, const struct cache_update *update,
                     struct larder_segment **segment, cache_done *done, void *owner)
{
    struct cache_op *op = op_take(link, ops, done, owner);

    return started(link, op,
                   larder_update_tagged(link->client, update->handle, update->lease, segment,
                                        update->tags_length, update->meta_length, update->fresh_until,
                                        update->keep_until, op));
}

int cache_link_update(struct cache_link *link, const struct cache_update *update,
                      struct larder_segment **segment)
{
    struct cache_ops nobody = {0};
    int error = cache_link_renew(link, &nobody, update, segment, NULL, NULL);

    cache_ops_sever(&nobody);
    return error;
}

/* `held` is 0: there is nothing to let go of. */
static void let_go(struct cache_link *link, uint64_t *held, void (*call)(struct larder_client *, uint64_t))
{
    if (*held)
        call(link->client, *held);
    *held = 0;
}

void cache_link_release(struct cache_link *link, uint64_t *handle)
{
    let_go(link, handle, larder_release);
}

void cache_link_give_up(struct cache_link *link, uint64_t *lease)
{
    let_go(link, lease, larder_fill_abort);
}

void cache_link_discard(struct cache_link *link, uint64_t *lease)
{
    let_go(link, lease, larder_fill_discard);
}

void cache_link_keep(struct cache_link *link, uint64_t *lease)
{
    let_go(link, lease, larder_fill_keep);
}

void cache_link_unfollow(struct cache_link *link, uint64_t *follow)
{
    let_go(link, follow, larder_unfollow);
}

bool cache_wait_waits(const struct cache_wait *wait)
{
    return wait->next != NULL;
}

int cache_link_wait(struct cache_link *link, struct cache_wait *wait)
{
    if (cache_wait_waits(wait))
        return 0;
    if (link->waiting_count >= WAITING_MAX)
        return -ENOBUFS;
    wait->prev = link->waiting.prev;
    wait->next = &link->waiting;
    link->waiting.prev->next = wait;
    link->waiting.prev = wait;
    link->waiting_count++;
    return 0;
}

static void put_first(struct cache_link *link, struct cache_wait *wait)
{
    wait->prev = &link->waiting;
    wait->next = link->waiting.next;
    link->waiting.next->prev = wait;
    link->waiting.next = wait;
    link->waiting_count++;
}

void cache_link_wait_first(struct cache_link *link, struct cache_wait *wait)
{
    if (!cache_wait_waits(wait))
        put_first(link, wait);
}

void cache_link_unwait(struct cache_link *link, struct cache_wait *wait)
{
    if (!cache_wait_waits(wait))
        return;
    wait->prev->next = wait->next;
    wait->next->prev = wait->prev;
    wait->prev = wait->next = NULL;
    link->waiting_count--;
}

bool cache_link_retried(struct cache_link *link, struct cache_wait *wait)
{
    bool again = cache_wait_waits(wait);

    cache_link_unwait(link, wait);
    return !again;
}

/* A removal that waits for a segment. */
struct removal {
    struct cache_wait wait;
    struct cache_link *link;
    uint32_t key_length;
    char key[];
};

static bool retry_removal(struct cache_wait *wait)
{
    struct removal *removal = (struct removal *)wait;
    struct cache_key key = {{removal->key, removal->key_length}, HTTP_SPAN("")};
    struct cache_ops nobody = {0};
    int error = cache_link_remove(removal->link, &nobody, &key, NULL, NULL);

    _Static_assert(offsetof(struct removal, wait) == 0, "the place in the line is cast to its removal");
    cache_ops_sever(&nobody);
    if (error == -EAGAIN)
        return false;
    free(removal); /* asked for, or there is no cache that could hold it */
    return true;
}

void cache_link_remove_later(struct cache_link *link, const struct cache_key *key)
{
    size_t length = (size_t)key->prefix.length + key->rest.length;
    struct removal *removal = malloc(sizeof *removal + length);

    INVARIANT(removal);
    *removal =
        (struct removal){.wait = {.retry = retry_removal}, .link = link, .key_length = (uint32_t)length};
    write_key(removal->key, key);
    if (!retry_removal(&removal->wait) && cache_link_wait(link, &removal->wait) != 0) {
        log_warn("invalidation given up", "why=\"too many wait for segments\"");
        free(removal);
    }
}

static void drop_removals(struct cache_link *link)
{
    struct cache_wait *next;

    for (struct cache_wait *wait = link->waiting.next; wait != &link->waiting; wait = next) {
        next = wait->next;
        if (wait->retry != retry_removal)
            continue;
        cache_link_unwait(link, wait);
        free(wait);
    }
}

static void serve_waiters(struct loop_task *task)
{
    struct cache_link *link =
        (struct cache_link *)((char *)task - offsetof(struct cache_link, serve_waiters));
    unsigned turns = link->waiting_count; /* a retry may join the line again, at its end */
    bool goes_on = true;

    link->serving = true;
    link->woken = false;
    while (goes_on && turns-- > 0 && link->waiting_count > 0) {
        struct cache_wait *wait = link->waiting.next;

        cache_link_unwait(link, wait);
        goes_on = wait->retry(wait);
        if (!goes_on)
            put_first(link, wait);
    }
    link->serving = false;
    /* What a retry in vain gives back it took itself: were it tried again for that, it would be without end.
     */
    if (goes_on && link->woken)
        wake_waiters(link);
}

static void give_back(struct cache_link *link, struct larder_event *event)
{
    cache_link_return(link, &event->segment);
    if (event->kind != LARDER_EVENT_LOOKUP && event->kind != LARDER_EVENT_FOLLOW)
        return;
    cache_link_release(link, &event->handle);
    cache_link_give_up(link, &event->lease);
    if (event->kind == LARDER_EVENT_LOOKUP)
        cache_link_unfollow(link, &event->follow);
}

static void answered(struct cache_link *link, struct larder_event *event)
{
    struct cache_op *op = event->user;

    heard_from_cache(link);
    if (op->ops) {
        op_detach(op);
        op->done(op->owner, op, event);
    }
    op_free(link, op);
    give_back(link, event);
}

static void attachment_changed(struct cache_link *link, bool attached)
{
    heard_from_cache(link);
    if (attached)
        log_info("attached to the cache");
    else
        log_warn("cache lost", "action=\"serving from the origin and looking for the next one\"");
    link->complain_after_ms = link->loop->now_ms + FIRST_COMPLAINT_MS;
    if (!attached && link->keeper)
        link->keeper->lost(link->keeper);
    wake_waiters(link);
}

/* Why there is no cache, now and then: each attempt may name another queue, so the text itself changes. */
static void complain(struct cache_link *link)
{
    const char *problem = larder_client_problem(link->client);

    if (problem[0] == '\0' || link->loop->now_ms < link->complain_after_ms)
        return;
    link->complain_after_ms = link->loop->now_ms + COMPLAINT_INTERVAL_MS;
    log_warn("not registered with a cache", "why=\"%s\"", problem);
}

static void drain_or_not(struct cache_link *link, bool on)
{
    if (link->drain)
        link->drain(link->drain_owner, on);
}

/* An answer has come. */
static void end_sleeping(struct cache_link *link)
{
    if (link->asleep_ns > 0)
        spin_slept(&link->spin, clock_mono_ns() - link->asleep_ns, link->spun);
    link->asleep_ns = 0;
}

static void drain(struct loop_source *source)
{
    struct cache_link *link = (struct cache_link *)source;
    struct larder_event event;
    bool any = false;

    while (larder_client_next(link->client, &event)) {
        any = true;
        if (event.kind == LARDER_EVENT_ATTACHED || event.kind == LARDER_EVENT_DETACHED)
            attachment_changed(link, event.kind == LARDER_EVENT_ATTACHED);
        else if (event.kind == LARDER_EVENT_DRAIN || event.kind == LARDER_EVENT_UNDRAIN)
            drain_or_not(link, event.kind == LARDER_EVENT_DRAIN);
        else
            answered(link, &event);
    }
    if (any) {
        end_sleeping(link);
        wake_waiters(link); /* each answer also made room for an operation */
    }
}

static bool answer_is_there(void *client)
{
    return larder_client_has_answer(client);
}

/* Clients wait meanwhile, so only while there is nothing to be done that is known of. */
static bool look_on(struct cache_link *link)
{
    uint64_t spins = link->spin.spins;

    link->asleep_ns = 0;
    if (link->spin.percent == 0 || link->outstanding == 0 || link->loop->first_task || link->loop->stopped)
        return false;
    int64_t began = clock_mono_ns();
    if (spin_look(&link->spin, answer_is_there, link->client))
        return true;
    link->asleep_ns = began;
    link->spun = link->spin.spins != spins;
    return false;
}

static bool may_sleep(struct loop_source *source)
{
    struct cache_link *link = (struct cache_link *)source;

    larder_client_flush(link->client);
    if (look_on(link))
        return false;
    return larder_client_may_sleep(link->client);
}

/* At once, not with the next turn: of a cache that has died nothing may be served any more that is kept. */
static void client_readable(struct loop_watch *watch, uint32_t events)
{
    struct cache_link *link = (struct cache_link *)((char *)watch - offsetof(struct cache_link, watch));

    (void)events;
    larder_client_wake(link->client);
    wake_waiters(link); /* the library may have got pages for segments that had none */
    if (!larder_client_attached(link->client))
        complain(link);
}

int cache_link_setup(struct cache_link *link, struct proxy_loop *loop, const struct larder_options *options,
                     const struct larder_sharing *sharing, char *problem, size_t problem_size)
{
    int error;

    *link = (struct cache_link){.source = {.drain = drain, .may_sleep = may_sleep},
                                .serve_waiters = {.run = serve_waiters},
                                .loop = loop};
    _Static_assert(offsetof(struct cache_link, source) == 0, "the source is cast to its link");
    link->waiting.prev = link->waiting.next = &link->waiting;
    link->segments = options->segments ? options->segments : LARDER_DEFAULT_SEGMENTS;
    link->segment_bytes = options->segment_bytes ? options->segment_bytes : LARDER_DEFAULT_SEGMENT_BYTES;
    error = larder_client_create_shared(&link->client, options, sharing, problem, problem_size);
    if (error)
        return error;
    link->watch = (struct loop_watch){.ready = client_readable, .fd = larder_client_fd(link->client)};
    error = loop_watch(loop, &link->watch, EPOLLIN);
    if (error) {
        larder_client_destroy(&link->client);
        return error;
    }
    loop_set_source(loop, &link->source);
    return 0;
}

void cache_link_set_spin(struct cache_link *link, unsigned percent)
{
    spin_setup(&link->spin, percent, percent > 0 ? spin_room() : 0, clock_mono_ns());
}

void cache_link_teardown(struct cache_link *link)
{
    drop_removals(link);
    loop_set_source(link->loop, NULL);
    loop_unwatch(link->loop, &link->watch);
    larder_client_destroy(&link->client);
    while (link->last_made) {
        struct cache_op *op = link->last_made;

        link->last_made = op->made_before;
        free(op);
    }
}
