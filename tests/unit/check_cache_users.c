/* cache_link, fill_writer, body_reader and exchange against a client library and an origin that the test
 * plays itself: answers come when and as the test wants, and every segment, handle and lease is accounted
 * for. */
#include "body_reader.h"
#include "cache_link.h"
#include "exchange.h"
#include "fill_writer.h"
#include "http_meta.h"

#include "check_unit.h"
#include "played.h"

#include <errno.h>
#include <string.h>

static const struct cache_key key = {{"GET ", 4}, {"/x", 2}};
static int told;

static void count_answer(void *owner, struct cache_op *op, struct larder_event *event)
{
    (void)owner;
    (void)op;
    (void)event;
    told++;
}

START_TEST(answers_find_their_owner)
{
    play_begin(fill_writer_stalled);
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, 0, count_answer, NULL), 0);
    ck_assert_uint_eq(asked[0].key_length, 6);
    ck_assert_mem_eq(asked[0].segment->data, "GET /x", 6);
    answer(0, LARDER_MISS);
    deliver();
    ck_assert_int_eq(told, 1);
    play_end();
}
END_TEST

/* The owner died meanwhile: what the answer brings goes back. */
START_TEST(late_answers_are_given_back)
{
    struct larder_event *event;

    play_begin(fill_writer_stalled);
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, 0, count_answer, NULL), 0);
    cache_ops_sever(&ops);
    event = answer(0, LARDER_STALE);
    event->handle = 7;
    event->lease = 8;
    deliver();
    ck_assert_int_eq(told, 0);
    ck_assert_uint_eq(released, 7);
    ck_assert_uint_eq(aborted, 8);
    play_end();
}
END_TEST

/* `_i`: a lookup, which also gave a follow handle; or a follow, whose handle is the owner's. */
START_TEST(late_answers_about_a_fill_are_given_back)
{
    struct larder_event *event;
    uint64_t lease = 11;

    play_begin(fill_writer_stalled);
    if (_i == 0)
        ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, LARDER_LOOKUP_FOLLOW, count_answer, NULL), 0);
    else
        ck_assert_int_eq(cache_link_follow(&cache, &ops, 9, 5, count_answer, NULL), 0);
    ck_assert_uint_eq(asked[0].follow, _i == 0 ? 0 : 9);
    ck_assert_uint_eq(asked[0].offset, _i == 0 ? 0 : 5);
    cache_ops_sever(&ops);
    event = answer(0, LARDER_OK);
    event->handle = 7;
    event->lease = 8;
    event->follow = 9;
    deliver();
    ck_assert_int_eq(told, 0);
    ck_assert_uint_eq(released, 7);
    ck_assert_uint_eq(aborted, 8);
    ck_assert_uint_eq(unfollowed, _i == 0 ? 9 : 0);
    cache_link_discard(&cache, &lease);
    ck_assert_uint_eq(discarded, 11);
    ck_assert_uint_eq(lease, 0);
    lease = 12;
    cache_link_keep(&cache, &lease);
    ck_assert_uint_eq(kept, 12);
    ck_assert_uint_eq(lease, 0);
    play_end();
}
END_TEST

/* It may last, and the cache is well all the same. */
START_TEST(follow_owes_no_answer)
{
    play_begin(fill_writer_stalled);
    ck_assert_int_eq(cache_link_follow(&cache, &ops, 9, 5, count_answer, NULL), 0);
    ck_assert_uint_eq(cache.outstanding, 0);
    ck_assert_int_eq(cache_link_read_meta(&cache, &ops, 7, 10, count_answer, NULL), 0);
    cache_link_timed_out(&cache, loop.now_ms);
    ck_assert(!cache_link_usable(&cache));
    answer(1, LARDER_LOST);
    deliver();
    ck_assert(cache_link_usable(&cache));
    answer(0, LARDER_MISS);
    deliver();
    ck_assert_uint_eq(cache.outstanding, 0);
    ck_assert_int_eq(told, 2);
    refuse_with = -EAGAIN;
    ck_assert_int_eq(cache_link_follow(&cache, &ops, 9, 5, count_answer, NULL), -EAGAIN);
    ck_assert_int_eq(cache_link_read_meta(&cache, &ops, 7, 10, count_answer, NULL), -EAGAIN);
    ck_assert_uint_eq(cache.outstanding, 0);
    play_end();
}
END_TEST

START_TEST(failed_operations_leave_nothing)
{
    static const char bytes[SEGMENT_BYTES + 1];
    struct cache_key long_key = {{"", 0}, {bytes, sizeof bytes}};

    play_begin(fill_writer_stalled);
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &long_key, 0, count_answer, NULL), -EINVAL);
    refuse_with = -EAGAIN;
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, 0, count_answer, NULL), -EAGAIN);
    ck_assert_int_eq(cache_link_read(&cache, &ops, 1, 0, 10, count_answer, NULL), -EAGAIN);
    attached = false;
    ck_assert_int_eq(cache_link_remove(&cache, &ops, &key, count_answer, NULL), -ENOTCONN);
    play_end();
}
END_TEST

struct waiter {
    struct cache_wait wait;
    int served;
    struct larder_segment *segment;
};
static int serving;

static bool retry_waiter(struct cache_wait *wait)
{
    struct waiter *waiter = (struct waiter *)wait;

    if (cache_link_borrow(&cache, &waiter->segment) != 0)
        return false;
    waiter->served = ++serving;
    return true;
}

START_TEST(waiters_are_served_in_order)
{
    struct larder_segment *held[SEGMENTS] = {0};
    struct waiter first = {.wait = {.retry = retry_waiter}}, second = first, third = first;

    play_begin(fill_writer_stalled);
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_int_eq(cache_link_borrow(&cache, &held[i]), 0);
    cache_link_wait(&cache, &first.wait);
    cache_link_wait(&cache, &second.wait);
    cache_link_wait(&cache, &third.wait);
    cache_link_unwait(&cache, &second.wait);
    cache_link_return(&cache, &held[0]);
    loop_finish_tasks(&loop);
    ck_assert(first.served == 1 && third.served == 0);
    cache_link_return(&cache, &held[1]);
    loop_finish_tasks(&loop);
    ck_assert_int_eq(third.served, 2);
    ck_assert_int_eq(second.served, 0);
    ck_assert_uint_eq(cache.waiting_count, 0);
    cache_link_return(&cache, &first.segment);
    cache_link_return(&cache, &third.segment);
    cache_link_return(&cache, &held[2]);
    cache_link_return(&cache, &held[3]);
    play_end();
}
END_TEST

START_TEST(a_silent_cache_is_left_alone_until_it_answers)
{
    play_begin(fill_writer_stalled);
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, 0, count_answer, NULL), 0);
    cache_link_timed_out(&cache, loop.now_ms);
    ck_assert(!cache_link_usable(&cache));
    answer(0, LARDER_MISS);
    deliver();
    ck_assert(cache_link_usable(&cache));
    play_end();
}
END_TEST

/* Where nothing is owed, no answer could ever show that the cache is well. */
START_TEST(a_silent_cache_that_owes_nothing_is_asked)
{
    play_begin(fill_writer_stalled);
    cache_link_timed_out(&cache, loop.now_ms);
    ck_assert(cache_link_usable(&cache));
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, 0, count_answer, NULL), 0);
    ck_assert(!cache_link_usable(&cache)); /* one at a time */
    answer(0, LARDER_MISS);
    deliver();
    ck_assert(cache_link_usable(&cache));
    ck_assert(!cache.silent);
    play_end();
}
END_TEST

/* Fills. */

static struct fill_writer writer;
static int changes;
static uint8_t stored[1 << 20];
static uint64_t stored_size;
static bool whole;

static void note_change(void *owner)
{
    (void)owner;
    changes++;
}

static bool start_fill(uint64_t size)
{
    struct fill_object object = {.key = key, .meta = {"meta", 4}, .size = size, .keep_until = 1};
    uint64_t lease = 9;
    bool started;

    fill_writer_setup(&writer, &cache, &stalls, note_change, NULL);
    started = fill_writer_start(&writer, &lease, &object);
    ck_assert_uint_eq(lease, 0);
    return started;
}

/* The cache takes the oldest operation and answers it. */
static void store_one(void)
{
    const struct asked *op = &asked[0];
    uint32_t before = op->key_length + op->meta_length;

    ck_assert_uint_eq(op->lease, 9);
    if (op->kind == LARDER_EVENT_FILL_BEGIN)
        ck_assert_mem_eq(op->segment->data, "GET /xmeta", 10);
    if (op->kind == LARDER_EVENT_FILL_DATA)
        ck_assert_uint_eq(op->offset, stored_size);
    if (op->segment)
        memcpy(stored + stored_size, op->segment->data + before, op->length);
    stored_size += op->length;
    if (op->kind == LARDER_EVENT_FILL_END ||
        (op->kind == LARDER_EVENT_FILL_BEGIN && op->object_size == op->length))
        whole = true;
    if (op->kind != LARDER_EVENT_FILL_DATA && op->object_size != LARDER_SIZE_UNKNOWN && whole)
        ck_assert_uint_eq(op->object_size, stored_size);
    answer(0, LARDER_OK);
    deliver();
}

static const struct {
    uint64_t size;
    bool known;
    size_t write; /* bytes at a time */
} fills[] = {
    {0, true, 1},          {0, false, 1},          {1, true, 1},          {1, false, 1},
    {4086, true, 4086},    {4087, true, 4087},     {4086, false, 4086},   {4087, false, 100},
    {8182, true, 3000},    {8183, true, 3000},     {100000, true, 65536}, {100000, false, 65536},
    {300000, true, 16384}, {300000, false, 16384}, {50000, true, 17},
};

START_TEST(what_is_written_is_stored)
{
    static uint8_t bytes[300000];
    size_t at = 0;

    play_begin(fill_writer_stalled);
    fill_pattern(bytes, 3, 0, fills[_i].size);
    ck_assert(start_fill(fills[_i].known ? fills[_i].size : LARDER_SIZE_UNKNOWN));
    while (at < fills[_i].size) {
        size_t left = fills[_i].size - at;
        size_t piece = left < fills[_i].write ? left : fills[_i].write;

        while (fill_writer_busy(&writer))
            store_one();
        fill_writer_write(&writer, (const char *)bytes + at, piece);
        at += piece;
    }
    fill_writer_finish(&writer);
    while (asked_count > 0)
        store_one();
    ck_assert_int_eq(writer.state, FILL_STORED);
    ck_assert(whole);
    ck_assert_uint_eq(stored_size, fills[_i].size);
    ck_assert(is_pattern(stored, 3, 0, stored_size));
    ck_assert_int_gt(changes, 0);
    play_end();
}
END_TEST

START_TEST(a_large_object_asks_first)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(10000));
    ck_assert(fill_writer_awaits_acceptance(&writer));
    ck_assert_uint_eq(asked[0].length, 0);
    answer(0, LARDER_TOO_LARGE);
    deliver();
    ck_assert_int_eq(writer.state, FILL_FAILED);
    ck_assert_int_eq(changes, 1);
    ck_assert_uint_eq(aborted, 0); /* the lease ended with that answer */
    play_end();
}
END_TEST

START_TEST(a_fill_can_be_aborted)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(LARDER_SIZE_UNKNOWN));
    fill_writer_write(&writer, (const char *)stored, 20000);
    ck_assert(fill_writer_busy(&writer));
    fill_writer_abort(&writer);
    ck_assert_uint_eq(aborted, 9);
    ck_assert_int_eq(changes, 0);
    while (asked_count > 0)
        answer(0, LARDER_FENCED);
    deliver();
    play_end();
}
END_TEST

START_TEST(a_fill_of_another_length_fails)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(100));
    fill_writer_write(&writer, (const char *)stored, 99);
    fill_writer_finish(&writer);
    ck_assert_int_eq(writer.state, FILL_FAILED);
    ck_assert(start_fill(100));
    fill_writer_write(&writer, (const char *)stored, 101);
    ck_assert_int_eq(writer.state, FILL_FAILED);
    play_end();
}
END_TEST

START_TEST(a_fill_waits_a_second_for_the_cache)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(10000));
    deadline_expire(&stalls, loop.now_ms + 999);
    ck_assert_int_eq(changes, 0);
    deadline_expire(&stalls, loop.now_ms + 1000);
    ck_assert_int_eq(changes, 1);
    ck_assert_int_eq(writer.state, FILL_FAILED);
    ck_assert_uint_eq(aborted, 9);
    answer(0, LARDER_OK);
    deliver();
    play_end();
}
END_TEST

START_TEST(a_lost_cache_ends_a_fill)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(10000));
    attached = false;
    answer(0, LARDER_LOST);
    deliver();
    ck_assert_int_eq(writer.state, FILL_FAILED);
    ck_assert(!start_fill(10000));
    play_end();
}
END_TEST

/* An origin that dawdles keeps no segment that others need, and no byte from those who follow. */
START_TEST(a_fill_keeps_no_segment_over_the_turn)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(_i == 0 ? LARDER_SIZE_UNKNOWN : 200));
    fill_pattern(stored, 3, 0, 200);
    fill_writer_write(&writer, (const char *)stored, 100);
    ck_assert_uint_eq(asked_count, 0); /* there may be more in this turn */
    fill_writer_write(&writer, (const char *)stored + 100, 50);
    loop_finish_tasks(&loop);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(asked[0].length, 150);
    store_one();
    ck_assert_int_eq(segments_out(), 0);
    fill_writer_write(&writer, (const char *)stored + 150, 50);
    loop_finish_tasks(&loop);
    store_one();
    ck_assert_int_eq(segments_out(), 0);
    fill_writer_finish(&writer);
    while (asked_count > 0)
        store_one();
    ck_assert_int_eq(writer.state, FILL_STORED);
    ck_assert_uint_eq(stored_size, 200);
    ck_assert(is_pattern(stored, 3, 0, 200));
    play_end();
}
END_TEST

/* All of it fits into the first segment, and the cache has confirmed it before the owner says that it is all.
 */
START_TEST(a_fill_may_be_confirmed_before_it_is_finished)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(SEGMENT_BYTES - 10));
    fill_writer_write(&writer, (const char *)stored, SEGMENT_BYTES - 10);
    store_one();
    ck_assert_int_eq(writer.state, FILL_OPEN);
    fill_writer_finish(&writer);
    ck_assert_int_eq(writer.state, FILL_STORED);
    ck_assert_uint_eq(aborted, 0);
    play_end();
}
END_TEST

static void resume_fill(uint64_t offset, uint64_t size, bool keep)
{
    uint64_t lease = 9;

    fill_writer_setup(&writer, &cache, &stalls, note_change, NULL);
    fill_writer_resume(&writer, &lease, offset, size, keep);
    ck_assert_uint_eq(lease, 0);
    stored_size = offset;
}

/* What another has begun goes on where it stopped. */
START_TEST(a_fill_can_be_resumed)
{
    static uint8_t bytes[10000];
    uint64_t size = _i == 0 ? 10000 : LARDER_SIZE_UNKNOWN;

    play_begin(fill_writer_stalled);
    fill_pattern(bytes, 3, 0, sizeof bytes);
    memcpy(stored, bytes, 700);
    resume_fill(700, size, false);
    ck_assert(!fill_writer_awaits_acceptance(&writer));
    fill_writer_write(&writer, (const char *)bytes + 700, 300);
    loop_finish_tasks(&loop);
    ck_assert_int_eq(asked[0].kind, LARDER_EVENT_FILL_DATA);
    store_one();
    fill_writer_write(&writer, (const char *)bytes + 1000, 9000);
    fill_writer_finish(&writer);
    while (asked_count > 0)
        store_one();
    ck_assert_int_eq(writer.state, FILL_STORED);
    ck_assert_uint_eq(stored_size, 10000);
    ck_assert(is_pattern(stored, 3, 0, stored_size));
    play_end();
}
END_TEST

/* Who got no further gives it back as hopeless, or one after the other would try. */
START_TEST(a_resumed_fill_that_comes_no_further_is_discarded)
{
    play_begin(fill_writer_stalled);
    resume_fill(700, 1000, false);
    if (_i == 1) {
        fill_writer_write(&writer, (const char *)stored, 100);
        loop_finish_tasks(&loop);
        store_one();
    }
    fill_writer_abort(&writer);
    ck_assert_uint_eq(discarded, _i == 0 ? 9 : 0);
    ck_assert_uint_eq(aborted, _i == 1 ? 9 : 0);
    play_end();
}
END_TEST

/* What breaks off is kept, if its metadata tells that it is not whole. `_i` & 1: it does not; & 2: nothing
 * was added to what there was, and who follows would come no further either. */
START_TEST(a_resumed_fill_that_breaks_off_is_kept)
{
    play_begin(fill_writer_stalled);
    resume_fill(700, 1000, !(_i & 1));
    if (!(_i & 2))
        fill_writer_write(&writer, (const char *)stored, 100);
    fill_writer_break(&writer);
    ck_assert_int_eq(writer.state, FILL_FAILED);
    ck_assert_uint_eq(kept, _i == 0 ? 9 : 0);
    ck_assert_uint_eq(asked_count, _i == 0); /* what stood in a segment goes along */
    ck_assert_uint_eq(discarded, _i == 0 ? 0 : 9);
    while (asked_count > 0)
        answer(0, LARDER_FENCED);
    deliver();
    play_end();
}
END_TEST

START_TEST(only_the_end_of_a_fill_can_be_resumed)
{
    play_begin(fill_writer_stalled);
    resume_fill(700, 700, false);
    fill_writer_finish(&writer);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_int_eq(asked[0].kind, LARDER_EVENT_FILL_END);
    ck_assert_uint_eq(asked[0].object_size, 700);
    store_one();
    ck_assert_int_eq(writer.state, FILL_STORED);
    play_end();
}
END_TEST

/* A flush that finds no room is made up for. */
START_TEST(a_flush_waits_for_room)
{
    play_begin(fill_writer_stalled);
    ck_assert(start_fill(LARDER_SIZE_UNKNOWN));
    fill_pattern(stored, 3, 0, 100);
    fill_writer_write(&writer, (const char *)stored, 100);
    refuse_with = -EAGAIN;
    loop_finish_tasks(&loop);
    ck_assert_uint_eq(cache.waiting_count, 1);
    refuse_with = 0;
    hold_segments(1);
    return_segments();
    ck_assert_uint_eq(asked_count, 1);
    store_one();
    fill_writer_finish(&writer);
    while (asked_count > 0)
        store_one();
    ck_assert_int_eq(writer.state, FILL_STORED);
    ck_assert_uint_eq(stored_size, 100);
    play_end();
}
END_TEST

/* Reads. */

static struct body_reader reader;
static size_t room;
static uint64_t given;
static int over;

static size_t give_room(void *owner)
{
    (void)owner;
    return room;
}

static void take_chunk(void *owner, struct larder_segment **segment, uint32_t size)
{
    (void)owner;
    ck_assert(is_pattern((*segment)->data, 5, given, size));
    given += size;
    room -= size < room ? size : room;
    cache_link_return(&cache, segment);
}

static void note_over(void *owner)
{
    (void)owner;
    over++;
}

static const struct body_reader_calls reader_calls = {
    .room = give_room, .give = take_chunk, .over = note_over};

static void read_one(unsigned number)
{
    fill_pattern(asked[number].segment->data, 5, asked[number].offset, asked[number].length);
    answer(number, LARDER_OK);
    deliver();
}

static void start_reading(uint64_t offset, uint64_t size)
{
    play_begin(body_reader_stalled);
    cache.segments = 64; /* a share of four segments for one reader */
    given = offset;
    body_reader_setup(&reader, &cache, &stalls, &reader_calls, NULL);
    body_reader_start(&reader, 7, offset, size);
}

START_TEST(chunks_are_given_in_order)
{
    uint64_t state = (uint64_t)_i;

    room = SIZE_MAX;
    start_reading(100 * (uint64_t)_i, 100000);
    body_reader_room(&reader);
    while (!over)
        read_one((unsigned)random_below(&state, asked_count));
    ck_assert_int_eq(reader.state, BODY_READER_DONE);
    ck_assert_uint_eq(given, 100000);
    play_end();
}
END_TEST

START_TEST(no_more_is_read_than_there_is_room_for)
{
    room = 5000;
    start_reading(0, 100000);
    body_reader_room(&reader);
    ck_assert_uint_eq(asked_count, 2); /* the second may go beyond, by less than a segment */
    read_one(0);
    read_one(0);
    ck_assert_uint_eq(asked_count, 0);
    room = 1;
    body_reader_room(&reader);
    ck_assert_uint_eq(asked_count, 1);
    body_reader_stop(&reader);
    answer(0, LARDER_OK);
    deliver();
    ck_assert_int_eq(over, 0);
    play_end();
}
END_TEST

/* Of what is still being filled no more is asked for than is there; what comes is given at once. */
START_TEST(what_grows_is_read_as_it_comes)
{
    uint64_t end = _i == 0 ? 10000 : LARDER_SIZE_UNKNOWN;

    room = SIZE_MAX;
    start_reading(100, end);
    body_reader_grow(&reader, 100, end);
    ck_assert_uint_eq(asked_count, 0);
    for (uint64_t there = 3000; there <= 10000; there += 3500) {
        body_reader_grow(&reader, there, end);
        while (asked_count > 0)
            read_one(0);
        ck_assert_uint_eq(given, there);
        deadline_expire(&stalls, loop.now_ms + 100000); /* nothing is owed to it */
    }
    ck_assert_int_eq(over, _i == 0);
    body_reader_grow(&reader, 10000, 10000);
    ck_assert_int_eq(over, 1);
    ck_assert_int_eq(reader.state, BODY_READER_DONE);
    play_end();
}
END_TEST

START_TEST(what_ends_empty_is_read)
{
    room = SIZE_MAX;
    start_reading(0, LARDER_SIZE_UNKNOWN);
    body_reader_grow(&reader, 0, LARDER_SIZE_UNKNOWN);
    ck_assert_int_eq(over, 0);
    body_reader_grow(&reader, 0, 0);
    ck_assert_int_eq(over, 1);
    ck_assert_int_eq(reader.state, BODY_READER_DONE);
    play_end();
}
END_TEST

START_TEST(a_lost_cache_ends_a_read)
{
    room = SIZE_MAX;
    start_reading(0, 100000);
    body_reader_room(&reader);
    read_one(0);
    answer(1, LARDER_LOST);
    deliver();
    ck_assert_int_eq(over, 1);
    ck_assert_int_eq(reader.state, BODY_READER_FAILED);
    ck_assert_uint_eq(reader.next_given, SEGMENT_BYTES);
    while (asked_count > 0)
        answer(0, LARDER_LOST);
    deliver();
    ck_assert_int_eq(over, 1);
    play_end();
}
END_TEST

START_TEST(a_lie_ends_a_read)
{
    struct larder_event *event;

    room = SIZE_MAX;
    start_reading(0, 100000);
    body_reader_room(&reader);
    event = answer(0, LARDER_OK);
    event->offset += _i == 0 ? 1 : _i == 1 ? 1u << 20 : 0;
    event->length -= _i == 2 ? 1 : 0;
    deliver();
    ck_assert_int_eq(over, 1);
    ck_assert_uint_eq(given, 0);
    while (asked_count > 0)
        answer(0, LARDER_LOST);
    deliver();
    play_end();
}
END_TEST

/* Exchanges. */

static struct exchange_home *home;
static struct exchange *exchange;
static struct http_fields request_fields;
static int heads, finished, broken;
static uint64_t body_bytes;

static void sink_head(void *owner, const struct exchange_head *head)
{
    (void)owner;
    (void)head;
    heads++;
}

static void sink_body(void *owner, const char *data, size_t size)
{
    (void)owner;
    (void)data;
    body_bytes += size;
}

static void sink_segment(void *owner, struct larder_segment **segment, uint32_t offset, uint32_t size)
{
    (void)owner;
    (void)offset;
    body_bytes += size;
    cache_link_return(&cache, segment);
}

static void sink_finished(void *owner)
{
    (void)owner;
    finished++;
    exchange = NULL;
}

static void sink_broken(void *owner)
{
    (void)owner;
    broken++;
    exchange = NULL;
}

static size_t sink_room(void *owner)
{
    (void)owner;
    return 1 << 20;
}

static const struct exchange_sink sink = {.head = sink_head,
                                          .body = sink_body,
                                          .body_segment = sink_segment,
                                          .finished = sink_finished,
                                          .broken = sink_broken,
                                          .room = sink_room,
                                          .read_body = play_no_body};

static void begin_exchange(const char *method)
{
    struct exchange_request request = {.method = {method, (uint32_t)strlen(method)},
                                       .target = HTTP_SPAN("/x"),
                                       .fields = &request_fields,
                                       .host = HTTP_SPAN("named.by.client"),
                                       .client = HTTP_SPAN("127.0.0.1"),
                                       .scheme = HTTP_SPAN("http"),
                                       .via = HTTP_SPAN("1.1")};

    play_begin(fill_writer_stalled);
    ck_assert_int_eq(exchange_home_create(&home, &loop, &cache, NULL, EXCHANGE_CACHE_TIMEOUT_MS), 0);
    exchange_begin(home, &exchange, &request, &sink, NULL);
}

static void end_exchange(void)
{
    ck_assert_ptr_null(exchange);
    loop_finish_tasks(&loop);
    ck_assert_uint_eq(exchange_count(home), 0);
    ck_assert_uint_eq(fetches_open(), 0);
    exchange_home_destroy(&home);
    play_end();
}

static void miss(void)
{
    answer(0, LARDER_MISS)->lease = 9;
    deliver();
    ck_assert_uint_eq(fetches_open(), 1);
}

static void origin_sends_head(int status, uint64_t length)
{
    fetch->head.status = status;
    fetch->head.length_known = true;
    fetch->head.length = length;
    http_field_add(&fetch->head.fields, HTTP_SPAN("Cache-Control"), HTTP_SPAN("max-age=100"));
    fetch->calls->head(fetch->owner);
}

/* The exchange and its fill wait in line for a segment, which is nothing that the cache could answer. */
START_TEST(waiting_in_line_does_not_make_the_cache_silent)
{
    begin_exchange("GET");
    miss();
    hold_segments(SEGMENTS);
    origin_sends_head(200, _i == 0 ? 10 : 10000);
    if (_i == 0) { /* it waits to commit, else for the cache to accept so much */
        ck_assert(fetch->calls->body(fetch->owner, "0123456789", 10));
        fetch->calls->ended(fetch->owner, ORIGIN_OK);
        ck_assert_int_eq(finished, 0);
    }
    ck_assert_uint_eq(asked_count, 0);
    pass_time(100);
    ck_assert_int_eq(heads, 1);
    ck_assert_int_eq(finished, _i == 0);
    ck_assert(!cache.silent);
    if (exchange)
        exchange_abandon(&exchange);
    return_segments();
    while (asked_count > 0) {
        answer(0, LARDER_OK);
        deliver();
    }
    pass_time(1000);
    exchange_home_destroy(&home);
    play_end();
}
END_TEST

/* The same times with something asked. */
START_TEST(an_unanswered_fill_makes_the_cache_silent)
{
    begin_exchange("GET");
    miss();
    origin_sends_head(200, 10);
    ck_assert(fetch->calls->body(fetch->owner, "0123456789", 10));
    fetch->calls->ended(fetch->owner, ORIGIN_OK);
    ck_assert_uint_eq(asked_count, 1);
    pass_time(100);
    ck_assert_int_eq(finished, 1);
    ck_assert(cache.silent);
    answer(0, LARDER_OK);
    deliver();
    ck_assert(!cache.silent);
    end_exchange();
}
END_TEST

/* What an unsafe method invalidates goes, even if the request is over before there is a segment to say so. */
START_TEST(an_invalidation_outlives_its_request)
{
    begin_exchange("POST");
    hold_segments(SEGMENTS);
    origin_sends_head(200, 0);
    ck_assert_int_eq(heads, 0);
    if (_i == 0) {
        pass_time(100);
        ck_assert_int_eq(heads, 1);
        fetch->calls->ended(fetch->owner, ORIGIN_OK);
        ck_assert_int_eq(finished, 1);
    } else {
        exchange_abandon(&exchange);
    }
    ck_assert(!cache.silent);
    ck_assert_uint_eq(asked_count, 0);
    return_segments();
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_int_eq(asked[0].kind, LARDER_EVENT_REMOVE);
    ck_assert_mem_eq(asked[0].segment->data, "GET http://origin:80/x", asked[0].key_length);
    answer(0, LARDER_OK);
    deliver();
    end_exchange();
}
END_TEST

static const char *const invalid_keys[] = {"GET http://origin:80/made", "GET http://origin:80/moved",
                                           "GET http://origin:80/x"};

/* A response to POST that names two others: three removals are asked for. */
static void origin_names_others(void)
{
    http_field_add(&fetch->head.fields, HTTP_SPAN("Location"), HTTP_SPAN("/made"));
    http_field_add(&fetch->head.fields, HTTP_SPAN("Content-Location"), HTTP_SPAN("/moved"));
    origin_sends_head(201, 0);
    ck_assert_uint_eq(asked_count, 3);
    for (unsigned i = 0; i < asked_count; i++) {
        ck_assert_int_eq(asked[i].kind, LARDER_EVENT_REMOVE);
        ck_assert_uint_eq(asked[i].key_length, strlen(invalid_keys[i]));
        ck_assert_mem_eq(asked[i].segment->data, invalid_keys[i], asked[i].key_length);
    }
}

/* Shards answer in any order. */
START_TEST(what_is_invalidated_is_gone_before_the_head)
{
    const void *last;

    begin_exchange("POST");
    origin_names_others();
    last = asked[_i].user;
    while (asked_count > 1) {
        answer(asked[0].user == last, LARDER_OK); /* that one is passed over */
        deliver();
        ck_assert_int_eq(heads, 0);
    }
    answer(0, LARDER_OK);
    deliver();
    ck_assert_int_eq(heads, 1);
    fetch->calls->ended(fetch->owner, ORIGIN_OK);
    ck_assert_int_eq(finished, 1);
    ck_assert(!cache.silent);
    end_exchange();
}
END_TEST

/* The client leaves, or the head has waited for too long. */
START_TEST(invalidations_that_were_asked_for_are_left_alone)
{
    begin_exchange("POST");
    origin_names_others();
    answer(2, LARDER_OK);
    deliver();
    if (_i == 0) {
        exchange_abandon(&exchange);
    } else {
        pass_time(100);
        ck_assert_int_eq(heads, 1);
        fetch->calls->ended(fetch->owner, ORIGIN_OK);
    }
    ck_assert_ptr_null(exchange);
    ck_assert_uint_eq(asked_count, 2);
    while (asked_count > 0) {
        answer(0, LARDER_OK);
        deliver();
    }
    ck_assert_int_eq(heads, _i);
    end_exchange();
}
END_TEST

/* There is a segment for the other, but none for the target until that is answered. */
START_TEST(an_invalidation_in_line_holds_the_head)
{
    begin_exchange("POST");
    hold_segments(SEGMENTS - 1);
    http_field_add(&fetch->head.fields, HTTP_SPAN("Location"), HTTP_SPAN("/made"));
    origin_sends_head(201, 0);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_mem_eq(asked[0].segment->data, invalid_keys[0], asked[0].key_length);
    if (_i == 1)
        exchange_abandon(&exchange);
    else if (_i == 2)
        pass_time(100);
    ck_assert_int_eq(heads, _i == 2);
    answer(0, LARDER_OK);
    deliver();
    ck_assert_int_eq(heads, _i == 2);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_mem_eq(asked[0].segment->data, invalid_keys[2], asked[0].key_length);
    answer(0, LARDER_OK);
    deliver();
    ck_assert_int_eq(heads, _i != 1);
    if (exchange)
        fetch->calls->ended(fetch->owner, ORIGIN_OK);
    return_segments();
    end_exchange();
}
END_TEST

/* The cache goes while the target waits in line and the other is under way: `_i` is what is heard of first.
 */
START_TEST(a_lost_cache_ends_invalidations)
{
    begin_exchange("POST");
    hold_segments(SEGMENTS - 1);
    http_field_add(&fetch->head.fields, HTTP_SPAN("Location"), HTTP_SPAN("/made"));
    origin_sends_head(201, 0);
    attached = false;
    if (_i == 1)
        return_segments();
    ck_assert_int_eq(heads, 0);
    answer(0, LARDER_LOST);
    deliver();
    ck_assert_int_eq(heads, 1);
    ck_assert_uint_eq(asked_count, 0);
    fetch->calls->ended(fetch->owner, ORIGIN_OK);
    return_segments();
    end_exchange();
}
END_TEST

/* Still in line when the proxy ends; a leak would show in a sanitized build. */
START_TEST(an_invalidation_in_line_ends_with_the_link)
{
    begin_exchange("POST");
    hold_segments(SEGMENTS);
    origin_sends_head(200, 0);
    exchange_abandon(&exchange);
    ck_assert_uint_eq(cache.waiting_count, 1);
    put_segments_back();
    exchange_home_destroy(&home);
    cache_link_teardown(&cache);
    proxy_loop_teardown(&loop);
}
END_TEST

/* A hit of `size` bytes, of which none is in the look-up's segment. */
static void hit(uint64_t size)
{
    struct http_meta_head head = {.status = 200, .response_time = loop.wall_ms / 1000, .lifetime = 100};
    struct http_fields fields = {0};
    struct larder_event *event = answer(0, LARDER_HIT);
    int length;

    http_field_add(&fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
    length = http_meta_encode(&head, &fields, (char *)event->segment->data, SEGMENT_BYTES);
    ck_assert_int_gt(length, 0);
    event->meta_length = (uint32_t)length;
    event->length = 0;
    event->handle = 7;
    event->object_size = size;
    deliver();
}

static const struct {
    size_t more; /* than what is missing */
    int status;
} continuations[] = {{0, 206}, {1, 206}, {1, 200}, {100, 206}};

/* The cache is lost within a body; an origin that sends more than the rest does not get it to the client. */
START_TEST(a_continuation_is_no_longer_than_promised)
{
    static char bytes[1100];
    size_t size = 1000 + continuations[_i].more;

    begin_exchange("GET");
    hit(1000);
    ck_assert_uint_eq(asked_count, 1);
    answer(0, LARDER_LOST);
    deliver();
    ck_assert_uint_eq(fetches_open(), 1);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "Range: bytes=0-"));
    http_field_add(&fetch->head.fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
    http_field_add(&fetch->head.fields, HTTP_SPAN("Content-Range"), HTTP_SPAN("bytes 0-999/1000"));
    origin_sends_head(continuations[_i].status, 1000);
    fetch->calls->body(fetch->owner, bytes, 500);
    fetch->calls->body(fetch->owner, bytes, size - 500);
    if (fetches_open())
        fetch->calls->ended(fetch->owner, ORIGIN_OK);
    ck_assert_uint_le(body_bytes, 1000);
    ck_assert_int_eq(broken, continuations[_i].more > 0);
    ck_assert_int_eq(finished, continuations[_i].more == 0);
    end_exchange();
}
END_TEST

static const struct {
    const char *name, *value;
} addresses[] = {
    {"X-Forwarded-Host", "evil"},  {"x-forwarded-host", "evil"},     {"X-Forwarded-Port", "evil"},
    {"X-Forwarded-Proto", "evil"}, {"X-Forwarded-Prefix", "evil"},   {"X-Forwarded-For", "evil"},
    {"Forwarded", "host=evil"},    {"FORWARDED", "for=1;host=evil"}, {"X-Kept", "kept"}};

/* Nothing that is not in the key tells the origin under which address it was asked. */
START_TEST(what_is_stored_does_not_depend_on_the_clients_address)
{
    struct http_span name = {addresses[_i].name, (uint32_t)strlen(addresses[_i].name)};
    struct http_span value = {addresses[_i].value, (uint32_t)strlen(addresses[_i].value)};

    http_field_add(&request_fields, name, value);
    begin_exchange("GET");
    miss();
    ck_assert_ptr_null(strstr(fetch->fields, "named.by.client"));
    ck_assert_ptr_null(strstr(fetch->fields, "evil"));
    ck_assert_int_eq(strstr(fetch->fields, "X-Kept: kept") != NULL, strcmp(addresses[_i].value, "kept") == 0);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "X-Forwarded-For: 127.0.0.1\r\n"));
    ck_assert_ptr_nonnull(strstr(fetch->fields, "X-Forwarded-Proto: http\r\n"));
    exchange_abandon(&exchange);
    end_exchange();
}
END_TEST

START_TEST(what_is_passed_through_carries_the_clients_address)
{
    http_field_add(&request_fields, HTTP_SPAN("Forwarded"), HTTP_SPAN("for=1"));
    http_field_add(&request_fields, HTTP_SPAN("X-Forwarded-For"), HTTP_SPAN("192.0.2.1"));
    begin_exchange("POST");
    ck_assert_uint_eq(fetches_open(), 1);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "X-Forwarded-Host: named.by.client\r\n"));
    ck_assert_ptr_nonnull(strstr(fetch->fields, "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n"));
    ck_assert_ptr_nonnull(strstr(fetch->fields, "Forwarded: for=1\r\n"));
    exchange_abandon(&exchange);
    end_exchange();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, answers_find_their_owner);
    tcase_add_test(tcase, late_answers_are_given_back);
    tcase_add_loop_test(tcase, late_answers_about_a_fill_are_given_back, 0, 2);
    tcase_add_test(tcase, follow_owes_no_answer);
    tcase_add_test(tcase, failed_operations_leave_nothing);
    tcase_add_test(tcase, waiters_are_served_in_order);
    tcase_add_test(tcase, a_silent_cache_is_left_alone_until_it_answers);
    tcase_add_test(tcase, a_silent_cache_that_owes_nothing_is_asked);
    ADD_ROWS(tcase, what_is_written_is_stored, fills);
    tcase_add_test(tcase, a_large_object_asks_first);
    tcase_add_test(tcase, a_fill_can_be_aborted);
    tcase_add_test(tcase, a_fill_of_another_length_fails);
    tcase_add_test(tcase, a_fill_waits_a_second_for_the_cache);
    tcase_add_test(tcase, a_lost_cache_ends_a_fill);
    tcase_add_loop_test(tcase, a_fill_keeps_no_segment_over_the_turn, 0, 2);
    tcase_add_test(tcase, a_fill_may_be_confirmed_before_it_is_finished);
    tcase_add_loop_test(tcase, a_fill_can_be_resumed, 0, 2);
    tcase_add_loop_test(tcase, a_resumed_fill_that_comes_no_further_is_discarded, 0, 2);
    tcase_add_loop_test(tcase, a_resumed_fill_that_breaks_off_is_kept, 0, 4);
    tcase_add_test(tcase, only_the_end_of_a_fill_can_be_resumed);
    tcase_add_test(tcase, a_flush_waits_for_room);
    tcase_add_loop_test(tcase, chunks_are_given_in_order, 0, 20);
    tcase_add_loop_test(tcase, what_grows_is_read_as_it_comes, 0, 2);
    tcase_add_test(tcase, what_ends_empty_is_read);
    tcase_add_test(tcase, no_more_is_read_than_there_is_room_for);
    tcase_add_test(tcase, a_lost_cache_ends_a_read);
    tcase_add_loop_test(tcase, a_lie_ends_a_read, 0, 3);
    tcase_add_loop_test(tcase, waiting_in_line_does_not_make_the_cache_silent, 0, 2);
    tcase_add_test(tcase, an_unanswered_fill_makes_the_cache_silent);
    tcase_add_loop_test(tcase, an_invalidation_outlives_its_request, 0, 2);
    tcase_add_loop_test(tcase, what_is_invalidated_is_gone_before_the_head, 0, 3);
    tcase_add_loop_test(tcase, invalidations_that_were_asked_for_are_left_alone, 0, 2);
    tcase_add_loop_test(tcase, an_invalidation_in_line_holds_the_head, 0, 3);
    tcase_add_loop_test(tcase, a_lost_cache_ends_invalidations, 0, 2);
    tcase_add_test(tcase, an_invalidation_in_line_ends_with_the_link);
    ADD_ROWS(tcase, a_continuation_is_no_longer_than_promised, continuations);
    ADD_ROWS(tcase, what_is_stored_does_not_depend_on_the_clients_address, addresses);
    tcase_add_test(tcase, what_is_passed_through_carries_the_clients_address);
}

int main(void)
{
    return run_suite("cache_users", add_cases);
}
