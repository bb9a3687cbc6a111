#include "fill_writer.h"

#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define OPS_MAX 8 /* under way for one fill */

static bool retry(struct cache_wait *wait);
static void flush(struct loop_task *task);

void fill_writer_setup(struct fill_writer *writer, struct cache_link *link, struct deadline_list *stalls,
                       void (*changed)(void *owner), void *owner)
{
    *writer = (struct fill_writer){.link = link,
                                   .stalls = stalls,
                                   .changed = changed,
                                   .owner = owner,
                                   .wait = {.retry = retry},
                                   .flush = {.run = flush}};
}

bool fill_writer_active(const struct fill_writer *writer)
{
    return writer->state == FILL_OPEN || writer->state == FILL_ENDING;
}

bool fill_writer_busy(const struct fill_writer *writer)
{
    return fill_writer_active(writer) && writer->kept != NULL;
}

static void drop_everything(struct fill_writer *writer)
{
    cache_ops_sever(&writer->ops);
    cache_link_unwait(writer->link, &writer->wait);
    deadline_clear(&writer->deadline);
    cache_link_return(writer->link, &writer->segment);
    free(writer->prefix);
    free(writer->kept);
    writer->prefix = writer->kept = NULL;
}

static bool has_come_no_further(const struct fill_writer *writer)
{
    return writer->resumed && writer->sent == writer->resumed_at;
}

static void stop(struct fill_writer *writer, enum fill_state state)
{
    if (state == FILL_FAILED && has_come_no_further(writer))
        cache_link_discard(writer->link, &writer->lease); /* or one after the other would come no further */
    else if (state == FILL_FAILED)
        cache_link_give_up(writer->link, &writer->lease);
    writer->lease = 0;
    drop_everything(writer);
    writer->state = state;
}

static void fail(struct fill_writer *writer, const char *why)
{
    log_debug("fill given up", "why=\"%s\"", why);
    stop(writer, FILL_FAILED);
}

void fill_writer_abort(struct fill_writer *writer)
{
    if (fill_writer_active(writer))
        fail(writer, "aborted");
}

void fill_writer_stalled(struct deadline *deadline)
{
    struct fill_writer *writer =
        (struct fill_writer *)(void *)((char *)deadline - offsetof(struct fill_writer, deadline));

    fail(writer, "no segment or answer in time");
    writer->changed(writer->owner);
}

/* The time-out runs while something is owed to us: an answer or a segment. */
static void watch_progress(struct fill_writer *writer)
{
    if (writer->ops.count == 0 && !cache_wait_waits(&writer->wait))
        deadline_clear(&writer->deadline);
    else if (!deadline_is_set(&writer->deadline))
        loop_arm(writer->link->loop, writer->stalls, &writer->deadline);
}

static void pump(struct fill_writer *writer, const char *data, size_t size);

static bool is_whole(const struct fill_writer *writer)
{
    return writer->state == FILL_ENDING && writer->end_sent && writer->ops.count == 0;
}

static void note_refusal(struct fill_writer *writer, enum larder_status status)
{
    writer->lease = 0; /* each of these answers ends it */
    fail(writer, status == LARDER_TOO_LARGE ? "larger than the cache accepts" : "refused by the cache");
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct fill_writer *writer = owner;
    bool was_busy = fill_writer_busy(writer);
    bool accepted = event->kind == LARDER_EVENT_FILL_BEGIN;

    (void)op;
    deadline_clear(&writer->deadline);
    cache_link_return(writer->link, &event->segment);
    writer->accepted = writer->accepted || accepted;
    if (event->status != LARDER_OK)
        note_refusal(writer, event->status);
    else
        pump(writer, "", 0);
    if (is_whole(writer))
        stop(writer, FILL_STORED);
    if (accepted || !fill_writer_active(writer) || (was_busy && !fill_writer_busy(writer)))
        writer->changed(writer->owner);
}

static bool retry(struct cache_wait *wait)
{
    struct fill_writer *writer =
        (struct fill_writer *)(void *)((char *)wait - offsetof(struct fill_writer, wait));
    bool was_busy = fill_writer_busy(writer);

    pump(writer, "", 0);
    if (!cache_link_retried(writer->link, wait))
        return false;
    if (!fill_writer_active(writer) || (was_busy && !fill_writer_busy(writer)))
        writer->changed(writer->owner);
    return true;
}

/* Key, tags and metadata stand in front of the first body bytes. */
static void place_prefix(struct fill_writer *writer)
{
    uint32_t length = writer->key_length + writer->tags_length + writer->meta_length;

    memcpy(writer->segment->data, writer->prefix, length);
    writer->used = length;
    free(writer->prefix);
    writer->prefix = NULL;
}

/* 0, or why there is no segment to write to. */
static int have_segment(struct fill_writer *writer)
{
    int error;

    if (writer->segment)
        return 0;
    error = cache_link_borrow(writer->link, &writer->segment);
    if (error)
        return error;
    writer->used = 0;
    if (writer->prefix)
        place_prefix(writer);
    return 0;
}

static int submit_begin(struct fill_writer *writer)
{
    uint32_t body = writer->used - writer->key_length - writer->tags_length - writer->meta_length;
    struct larder_fill fill = {.lease = writer->lease,
                               .key_length = writer->key_length,
                               .meta_length = writer->meta_length,
                               .body_length = body,
                               .object_size = writer->size,
                               .fresh_until = writer->fresh_until,
                               .keep_until = writer->keep_until,
                               .tags_length = writer->tags_length,
                               .lasting = writer->lasting};
    int error = cache_link_fill_begin(writer->link, &writer->ops, &fill, &writer->segment, answered, writer);

    if (error)
        return error;
    writer->begun = true;
    writer->sent = body;
    writer->end_sent = body == writer->size; /* such a fill ends by itself */
    return 0;
}

static int submit_data(struct fill_writer *writer)
{
    uint32_t length = writer->used;
    int error = cache_link_fill_data(writer->link, &writer->ops, writer->lease, writer->sent,
                                     &writer->segment, length, answered, writer);

    if (!error)
        writer->sent += length;
    return error;
}

static int submit(struct fill_writer *writer)
{
    if (writer->ops.count >= OPS_MAX)
        return -EBUSY;
    return writer->begun ? submit_data(writer) : submit_begin(writer);
}

static int submit_end(struct fill_writer *writer)
{
    int error;

    if (writer->end_sent)
        return 0;
    error = cache_link_fill_end(writer->link, &writer->ops, writer->lease, writer->size, answered, writer);
    writer->end_sent = !error;
    return error;
}

static size_t copy_in(struct fill_writer *writer, const char *data, size_t size)
{
    size_t room = writer->segment->size - writer->used;
    size_t piece = size < room ? size : room;

    if (piece > 0)
        memcpy(writer->segment->data + writer->used, data, piece);
    writer->used += (uint32_t)piece;
    return piece;
}

/* Too large for one segment, as far as is known: the cache is asked at once whether it takes the object. */
static bool begin_is_due(const struct fill_writer *writer)
{
    uint64_t room =
        writer->link->segment_bytes - writer->key_length - writer->tags_length - writer->meta_length;

    return !writer->begun && writer->size != LARDER_SIZE_UNKNOWN && writer->size > room;
}

bool fill_writer_awaits_acceptance(const struct fill_writer *writer)
{
    return fill_writer_active(writer) && !writer->accepted && (begin_is_due(writer) || writer->begun);
}

static bool last_is_ready(const struct fill_writer *writer)
{
    return writer->state == FILL_ENDING && (writer->segment || !writer->begun);
}

/* Moves bytes into segments and segments to the cache. 0: all of `size` is placed; else why not, with
 * *placed. */
static int place(struct fill_writer *writer, const char *data, size_t size, size_t *placed)
{
    int error = 0;

    while (!error && (*placed < size || last_is_ready(writer) || begin_is_due(writer))) {
        error = have_segment(writer);
        if (error)
            break;
        *placed += copy_in(writer, data + *placed, size - *placed);
        if (writer->used == writer->segment->size || begin_is_due(writer) ||
            (*placed == size && last_is_ready(writer)))
            error = submit(writer);
    }
    if (!error && writer->state == FILL_ENDING)
        error = submit_end(writer);
    return error;
}

static void keep(struct fill_writer *writer, const char *data, size_t size)
{
    if (writer->kept) {
        writer->kept_at = writer->kept_size - size; /* the same bytes, some of them gone */
        return;
    }
    writer->kept = malloc(size);
    INVARIANT(writer->kept);
    memcpy(writer->kept, data, size);
    writer->kept_size = size;
    writer->kept_at = 0;
}

static void drop_kept(struct fill_writer *writer)
{
    free(writer->kept);
    writer->kept = NULL;
}

static void handle_obstacle(struct fill_writer *writer, int error)
{
    if (error == -EBUSY)
        return; /* an answer of our own is on its way and pumps again */
    if (error == -EAGAIN && cache_link_wait(writer->link, &writer->wait) == 0)
        return;
    fail(writer, "cache lost or too many wait");
}

/* Takes `data`, or if there is none what was kept. */
static void pump(struct fill_writer *writer, const char *data, size_t size)
{
    size_t placed = 0;
    int error;

    if (!fill_writer_active(writer))
        return;
    if (writer->kept) {
        data = writer->kept + writer->kept_at;
        size = writer->kept_size - writer->kept_at;
    }
    error = place(writer, data, size, &placed);
    if (placed < size)
        keep(writer, data + placed, size - placed);
    else
        drop_kept(writer);
    if (error)
        handle_obstacle(writer, error);
    if (!fill_writer_active(writer))
        return;
    watch_progress(writer);
    if (writer->state == FILL_OPEN && writer->segment)
        loop_put_off(writer->link->loop, &writer->flush);
}

/* No more came in this turn: others may be waiting for the bytes, or for the segment. */
static void flush(struct loop_task *task)
{
    struct fill_writer *writer =
        (struct fill_writer *)(void *)((char *)task - offsetof(struct fill_writer, flush));
    int error;

    if (writer->state != FILL_OPEN || !writer->segment || writer->kept)
        return;
    error = submit(writer);
    if (error)
        handle_obstacle(writer, error);
    if (fill_writer_active(writer))
        watch_progress(writer);
    else
        writer->changed(writer->owner);
}

bool fill_writer_start(struct fill_writer *writer, uint64_t *lease, const struct fill_object *object)
{
    const struct cache_key *key = &object->key;
    uint64_t key_length = (uint64_t)key->prefix.length + key->rest.length;
    uint64_t prefix_length = key_length + object->tags.length + object->meta.length;

    if (key_length > LARDER_MAX_KEY || prefix_length >= writer->link->segment_bytes) {
        cache_link_give_up(writer->link, lease);
        return false;
    }
    writer->prefix = malloc(prefix_length);
    INVARIANT(writer->prefix);
    memcpy(writer->prefix, key->prefix.at, key->prefix.length);
    memcpy(writer->prefix + key->prefix.length, key->rest.at, key->rest.length);
    if (object->tags.length > 0)
        memcpy(writer->prefix + key_length, object->tags.at, object->tags.length);
    memcpy(writer->prefix + key_length + object->tags.length, object->meta.at, object->meta.length);
    writer->key_length = (uint32_t)key_length;
    writer->tags_length = object->tags.length;
    writer->meta_length = object->meta.length;
    writer->lease = *lease;
    *lease = 0;
    writer->size = object->size;
    writer->fresh_until = object->fresh_until;
    writer->lasting = object->lasting;
    writer->keep_until = object->keep_until;
    writer->keep = object->keep;
    writer->state = FILL_OPEN;
    pump(writer, "", 0);
    return fill_writer_active(writer);
}

void fill_writer_resume(struct fill_writer *writer, uint64_t *lease, uint64_t offset, uint64_t size,
                        bool keep)
{
    writer->lease = *lease;
    *lease = 0;
    writer->key_length = writer->tags_length = writer->meta_length = 0;
    writer->size = size;
    writer->sent = writer->taken = offset;
    writer->begun = writer->accepted = writer->resumed = true;
    writer->resumed_at = offset;
    writer->keep = keep;
    writer->state = FILL_OPEN;
}

void fill_writer_write(struct fill_writer *writer, const char *data, size_t size)
{
    if (writer->state != FILL_OPEN)
        return;
    INVARIANT(!writer->kept);
    writer->taken += size;
    if (writer->size != LARDER_SIZE_UNKNOWN && writer->taken > writer->size)
        fail(writer, "more bytes than announced");
    else
        pump(writer, data, size);
}

/* What stands in a segment goes along if it can be without waiting. */
static void hand_over(struct fill_writer *writer)
{
    if (writer->segment && writer->used > 0)
        submit(writer);
}

void fill_writer_break(struct fill_writer *writer)
{
    if (writer->state == FILL_OPEN && writer->keep && writer->begun) {
        hand_over(writer);
        if (!has_come_no_further(writer))
            cache_link_keep(writer->link, &writer->lease);
    }
    fill_writer_abort(writer);
}

void fill_writer_finish(struct fill_writer *writer)
{
    if (writer->state != FILL_OPEN)
        return;
    writer->state = FILL_ENDING;
    if (writer->size != LARDER_SIZE_UNKNOWN && writer->taken != writer->size) {
        fail(writer, "fewer bytes than announced");
        return;
    }
    writer->size = writer->taken;
    pump(writer, "", 0);
    if (is_whole(writer)) /* all of it was handed over and confirmed before */
        stop(writer, FILL_STORED);
}
