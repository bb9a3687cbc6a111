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

/* One client takes at most an eighth of a small pool. */
static unsigned window_of(const struct cache_link *link)
{
    unsigned share = link->segments / 8;

    return share < 1 ? 1 : share > BODY_READER_WINDOW ? BODY_READER_WINDOW : share;
}

void body_reader_start(struct body_reader *reader, uint64_t handle, uint64_t offset, uint64_t end)
{
    reader->state = BODY_READER_READING;
    reader->handle = handle;
    reader->start = reader->next_asked = reader->next_given = offset;
    reader->end = end;
    reader->window = window_of(reader->link);
}

void body_reader_stop(struct body_reader *reader)
{
    cache_ops_sever(&reader->ops);
    cache_link_unwait(reader->link, &reader->wait);
    deadline_clear(&reader->deadline);
    for (unsigned i = 0; i < BODY_READER_WINDOW; i++)
        cache_link_return(reader->link, &reader->chunks[i].segment);
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

static struct body_chunk *chunk_at(struct body_reader *reader, uint64_t offset)
{
    uint64_t number = (offset - reader->start) / reader->link->segment_bytes;

    return &reader->chunks[number % reader->window];
}

static void give_what_is_there(struct body_reader *reader)
{
    while (reader->state == BODY_READER_READING && reader->next_given < reader->next_asked &&
           chunk_at(reader, reader->next_given)->segment) {
        struct body_chunk *chunk = chunk_at(reader, reader->next_given);

        reader->next_given += chunk->size;
        reader->calls->give(reader->owner, &chunk->segment, chunk->size);
    }
}

static uint32_t chunk_size_at(const struct body_reader *reader, uint64_t offset)
{
    uint64_t left = reader->end - offset;

    return left < reader->link->segment_bytes ? (uint32_t)left : reader->link->segment_bytes;
}

/* Exactly one of the chunks that were asked for and have not come yet? */
static bool is_expected(struct body_reader *reader, const struct larder_event *event)
{
    return event->status == LARDER_OK && event->offset >= reader->next_given &&
           event->offset < reader->next_asked &&
           (event->offset - reader->start) % reader->link->segment_bytes == 0 &&
           event->length == chunk_size_at(reader, event->offset) && !chunk_at(reader, event->offset)->segment;
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct body_reader *reader = owner;
    struct body_chunk *chunk;

    (void)op;
    if (!is_expected(reader, event)) {
        fail(reader);
        return;
    }
    chunk = chunk_at(reader, event->offset);
    *chunk = (struct body_chunk){.segment = event->segment, .size = event->length};
    event->segment = NULL;
    watch_progress(reader, true);
    body_reader_room(reader);
}

static bool wants_more(const struct body_reader *reader)
{
    uint64_t ahead = reader->next_asked - reader->next_given;
    uint64_t chunk = reader->link->segment_bytes;

    return reader->state == BODY_READER_READING && reader->next_asked < reader->end &&
           ahead < reader->window * chunk && reader->calls->room(reader->owner) > ahead;
}

static int ask(struct body_reader *reader)
{
    uint32_t length = chunk_size_at(reader, reader->next_asked);
    int error = cache_link_read(reader->link, &reader->ops, reader->handle, reader->next_asked, length,
                                answered, reader);

    if (!error)
        reader->next_asked += length;
    return error;
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

static bool retry(struct cache_wait *wait)
{
    struct body_reader *reader =
        (struct body_reader *)(void *)((char *)wait - offsetof(struct body_reader, wait));

    ask_for_more(reader);
    if (!cache_wait_waits(wait))
        return true;
    cache_link_unwait(reader->link, wait);
    return false;
}
