#include "body_reader.h"

#include <errno.h>
#include <stddef.h>

static bool retry(struct cache_wait *wait);

void body_reader_setup(struct body_reader *reader, struct cache_link *link, struct deadline_list *stalls,
                       const struct body_reader_calls *calls, void *owner)
{
    *reader = (struct body_reader){
        .link = link, .stalls = stalls, .calls = calls, .owner = owner, .wait = {.retry = retry}};
}

/* One client takes at most an eighth of a small pool. The default pool is the smallest with a whole window.
 */
_Static_assert(LARDER_DEFAULT_SEGMENTS == 8 * BODY_READER_WINDOW, "see docs/design.md, Choices");

static unsigned window_of(const struct cache_link *link)
{
    unsigned share = link->segments / 8;

    return share < 1 ? 1 : share > BODY_READER_WINDOW ? BODY_READER_WINDOW : share;
}

void body_reader_start(struct body_reader *reader, uint64_t handle, uint64_t offset, uint64_t end)
{
    reader->state = BODY_READER_READING;
    reader->handle = handle;
    reader->next_asked = reader->next_given = offset;
    reader->limit = reader->end = end;
    reader->first = reader->asked = 0;
    reader->window = window_of(reader->link);
}

void body_reader_stop(struct body_reader *reader)
{
    cache_ops_sever(&reader->ops);
    cache_link_unwait(reader->link, &reader->wait);
    deadline_clear(&reader->deadline);
    for (unsigned i = 0; i < BODY_READER_WINDOW; i++)
        cache_link_return(reader->link, &reader->chunks[i].segment);
    reader->asked = 0;
    if (reader->state == BODY_READER_READING)
        reader->state = BODY_READER_FAILED;
}

static void fail(struct body_reader *reader)
{
    body_reader_stop(reader);
    reader->calls->over(reader->owner);
}

void body_reader_stalled(struct deadline *deadline)
{
    fail((struct body_reader *)(void *)((char *)deadline - offsetof(struct body_reader, deadline)));
}

/* The time-out runs while an answer or a segment is owed to us. */
static void watch_progress(struct body_reader *reader, bool progress)
{
    if (reader->ops.count == 0 && !cache_wait_waits(&reader->wait))
        deadline_clear(&reader->deadline);
    else if (progress || !deadline_is_set(&reader->deadline))
        loop_arm(reader->link->loop, reader->stalls, &reader->deadline);
}

static struct body_chunk *nth_asked(struct body_reader *reader, unsigned n)
{
    return &reader->chunks[(reader->first + n) % reader->window];
}

static void give_what_is_there(struct body_reader *reader)
{
    while (reader->state == BODY_READER_READING && reader->asked > 0 && nth_asked(reader, 0)->segment) {
        struct body_chunk *chunk = nth_asked(reader, 0);

        reader->first = (reader->first + 1) % reader->window;
        reader->asked--;
        reader->next_given += chunk->size;
        reader->calls->give(reader->owner, &chunk->segment, chunk->size);
    }
}

/* Exactly one of the chunks that were asked for and have not come yet? */
static struct body_chunk *expected(struct body_reader *reader, const struct larder_event *event)
{
    for (unsigned i = 0; event->status == LARDER_OK && i < reader->asked; i++) {
        struct body_chunk *chunk = nth_asked(reader, i);

        if (chunk->offset == event->offset)
            return !chunk->segment && chunk->size == event->length ? chunk : NULL;
    }
    return NULL;
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct body_reader *reader = owner;
    struct body_chunk *chunk = expected(reader, event);

    (void)op;
    if (!chunk) {
        fail(reader);
        return;
    }
    chunk->segment = event->segment;
    event->segment = NULL;
    watch_progress(reader, true);
    body_reader_room(reader);
}

static bool wants_more(const struct body_reader *reader)
{
    uint64_t ahead = reader->next_asked - reader->next_given;

    return reader->state == BODY_READER_READING && reader->next_asked < reader->limit &&
           reader->asked < reader->window && reader->calls->room(reader->owner) > ahead;
}

static int ask(struct body_reader *reader)
{
    uint64_t left = reader->limit - reader->next_asked;
    uint32_t length = left < reader->link->segment_bytes ? (uint32_t)left : reader->link->segment_bytes;
    int error = cache_link_read(reader->link, &reader->ops, reader->handle, reader->next_asked, length,
                                answered, reader);

    if (error)
        return error;
    *nth_asked(reader, reader->asked++) = (struct body_chunk){.offset = reader->next_asked, .size = length};
    reader->next_asked += length;
    return 0;
}

static void ask_for_more(struct body_reader *reader)
{
    while (wants_more(reader)) {
        int error = ask(reader);

        if (error == -EAGAIN && (reader->ops.count > 0 || cache_link_wait(reader->link, &reader->wait) == 0))
            break;
        if (error) {
            fail(reader);
            return;
        }
    }
    watch_progress(reader, false);
}

void body_reader_room(struct body_reader *reader)
{
    if (reader->state != BODY_READER_READING)
        return;
    give_what_is_there(reader);
    if (reader->state == BODY_READER_READING && reader->next_given == reader->end) {
        reader->state = BODY_READER_DONE;
        body_reader_stop(reader);
        reader->calls->over(reader->owner);
        return;
    }
    ask_for_more(reader);
}

void body_reader_grow(struct body_reader *reader, uint64_t limit, uint64_t end)
{
    reader->limit = limit;
    reader->end = end;
    body_reader_room(reader);
}

static bool retry(struct cache_wait *wait)
{
    struct body_reader *reader =
        (struct body_reader *)(void *)((char *)wait - offsetof(struct body_reader, wait));

    ask_for_more(reader);
    return cache_link_retried(reader->link, wait);
}
