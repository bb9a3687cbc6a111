/* following against a client library that the test plays itself. */
#include "following.h"

#include "body_reader.h"
#include "played.h"

#include <errno.h>
#include <string.h>

#define SEATS_MAX 3

struct sitter {
    struct following_seat seat;
    enum following_news heard[16];
    unsigned count;
    uint64_t readable, size, filled, lease;
    char meta[32];
    bool leaves; /* at whatever is told */
};

static struct following_home home;
static struct sitter sitters[SEATS_MAX];
static const struct cache_key key = {{"GET ", 4}, {"/x", 2}};

static void hear(struct following_seat *seat, enum following_news news)
{
    struct sitter *sitter = (struct sitter *)seat;
    struct following *following = seat->following;
    struct http_span meta = following_meta(following);

    ck_assert_uint_lt(sitter->count, 16);
    sitter->heard[sitter->count++] = news;
    sitter->size = following_size(following);
    sitter->filled = following_filled(following);
    sitter->readable = following_readable(following);
    if (news == FOLLOWING_GREW || news == FOLLOWING_COMPLETE || news == FOLLOWING_RESUME) {
        ck_assert_uint_ne(following_handle(following), 0);
        ck_assert_uint_lt(meta.length, sizeof sitter->meta);
        memcpy(sitter->meta, meta.at, meta.length);
    }
    if (news == FOLLOWING_LEASE || news == FOLLOWING_RESUME)
        sitter->lease = following_take_lease(following);
    if (sitter->leaves || (news != FOLLOWING_GREW && news != FOLLOWING_COMPLETE && news != FOLLOWING_RESUME))
        following_leave(seat);
}

static void begin(void)
{
    play_begin(body_reader_stalled);
    following_home_setup(&home, &loop, &cache, 100);
}

static void join(unsigned number, uint64_t follow)
{
    sitters[number].seat.news = hear;
    following_join(&home, &sitters[number].seat, &follow, &key);
    ck_assert_uint_eq(follow, 0);
    ck_assert_uint_eq(sitters[number].count, 0); /* news never come from within */
    loop_finish_tasks(&loop);
}

/* All gone: nothing is held, and each name has been given back once. */
static void end(void)
{
    for (unsigned i = 0; i < SEATS_MAX; i++)
        following_leave(&sitters[i].seat);
    loop_finish_tasks(&loop);
    while (asked_count > 0)
        answer(0, asked[0].kind == LARDER_EVENT_FOLLOW ? LARDER_MISS : LARDER_LOST);
    deliver();
    ck_assert_ptr_null(home.first);
    following_home_teardown(&home);
    play_end();
}

static enum following_news last_of(unsigned number)
{
    ck_assert_uint_gt(sitters[number].count, 0);
    return sitters[number].heard[sitters[number].count - 1];
}

#define ck_assert_told(number, count_, news)                                                                 \
    do {                                                                                                     \
        ck_assert_uint_eq(sitters[number].count, (count_));                                                  \
        ck_assert_int_eq(last_of(number), news);                                                             \
    } while (0)

static unsigned find_asked(enum larder_event_kind kind)
{
    for (unsigned i = 0; i < asked_count; i++) {
        if (asked[i].kind == kind)
            return i;
    }
    ck_abort_msg("nothing of that kind was asked");
}

static struct larder_event *answer_follow(enum larder_status status)
{
    return answer(find_asked(LARDER_EVENT_FOLLOW), status);
}

/* `handle` 0: it has been given. */
static void grow(uint64_t follow, uint64_t handle, uint64_t filled, uint64_t size)
{
    struct larder_event *event = answer_follow(LARDER_OK);

    event->follow = follow;
    event->handle = handle;
    event->filled = filled;
    event->object_size = size;
    deliver();
}

static void complete(uint64_t handle, uint64_t size)
{
    struct larder_event *event = answer_follow(LARDER_HIT);

    event->handle = handle;
    event->filled = event->object_size = size;
    deliver();
}

static void give_meta(const char *meta)
{
    unsigned number = find_asked(LARDER_EVENT_READ);
    struct larder_event *event;

    ck_assert_uint_eq(asked[number].flags, 1);
    event = answer(number, LARDER_OK);
    event->meta_length = (uint32_t)strlen(meta);
    memcpy(event->segment->data, meta, event->meta_length);
    deliver();
}

static void promote(uint64_t handle, uint64_t lease, uint64_t filled, uint64_t size)
{
    struct larder_event *event = answer_follow(filled > 0 ? LARDER_OK : LARDER_MISS);

    event->promoted = true;
    event->handle = handle;
    event->lease = lease;
    event->filled = filled;
    event->object_size = size;
    deliver();
}

START_TEST(what_grows_is_told)
{
    uint64_t size = _i == 0 ? 100 : LARDER_SIZE_UNKNOWN;

    begin();
    join(0, 5);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(asked[0].follow, 5);
    ck_assert(asked[0].offset == LARDER_FOLLOW_NOTHING);
    grow(5, 7, 40, size);
    ck_assert_uint_eq(sitters[0].count, 0); /* metadata first, and no other question meanwhile */
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(asked[0].handle, 7);
    give_meta("meta");
    ck_assert_told(0, 1, FOLLOWING_GREW);
    ck_assert_str_eq(sitters[0].meta, "meta");
    ck_assert_uint_eq(sitters[0].readable, 40);
    ck_assert(sitters[0].size == size);
    ck_assert_uint_eq(asked[0].offset, 40);
    grow(5, 0, 100, size);
    ck_assert_told(0, 2, FOLLOWING_GREW);
    /* The last byte is held back until the cache has it for good, where it is known to be the last. */
    ck_assert_uint_eq(sitters[0].readable, _i == 0 ? 99 : 100);
    complete(0, 100);
    ck_assert_told(0, 3, FOLLOWING_COMPLETE);
    ck_assert_uint_eq(sitters[0].readable, 100);
    ck_assert_uint_eq(sitters[0].size, 100);
    ck_assert_uint_eq(asked_count, 0);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 0); /* HIT has ended it */
}
END_TEST

START_TEST(what_is_complete_at_once_is_told)
{
    begin();
    join(0, 5);
    complete(7, 0);
    give_meta("meta");
    ck_assert_told(0, 1, FOLLOWING_COMPLETE);
    ck_assert_uint_eq(sitters[0].size, 0);
    ck_assert_uint_eq(sitters[0].readable, 0);
    end();
}
END_TEST

static const struct {
    enum larder_status status;
    bool broken;
    enum following_news news;
} ends[] = {
    {LARDER_MISS, false, FOLLOWING_AGAIN}, {LARDER_MISS, true, FOLLOWING_BROKEN},
    {LARDER_BUSY, false, FOLLOWING_ALONE}, {LARDER_FENCED, false, FOLLOWING_ALONE},
    {LARDER_BAD, false, FOLLOWING_ALONE},  {LARDER_LOST, false, FOLLOWING_ALONE},
    {LARDER_OK, false, FOLLOWING_ALONE}, /* of nothing */
    {LARDER_HIT, false, FOLLOWING_ALONE},
};

/* `_i` beyond the table: the same once it has grown. */
START_TEST(all_are_told_of_an_end)
{
    bool grown = _i >= ROWS(ends);
    unsigned row = (unsigned)_i % (unsigned)ROWS(ends);
    struct larder_event *event;

    if (grown && (ends[row].status == LARDER_OK || ends[row].status == LARDER_HIT))
        return; /* that is news then */
    begin();
    join(0, 5);
    join(1, 5);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1); /* of two */
    if (grown) {
        grow(5, 7, 40, 100);
        give_meta("meta");
    }
    event = answer_follow(ends[row].status);
    event->broken = ends[row].broken;
    deliver();
    ck_assert_told(0, grown ? 2 : 1, ends[row].news);
    ck_assert_told(1, grown ? 2 : 1, ends[row].news);
    ck_assert_ptr_null(home.first);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), grown);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
    end();
}
END_TEST

/* An answer that says "go on" without a handle to go on with would be waited on for ever. */
START_TEST(growth_without_a_follow_handle_is_no_growth)
{
    begin();
    join(0, 5);
    grow(0, 7, 40, 100);
    ck_assert_told(0, 1, FOLLOWING_ALONE);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
}
END_TEST

START_TEST(the_lease_goes_to_one)
{
    begin();
    join(0, 5);
    join(1, 5);
    promote(0, 9, 0, LARDER_SIZE_UNKNOWN);
    ck_assert_told(0, 1, FOLLOWING_LEASE);
    ck_assert_uint_eq(sitters[0].lease, 9);
    ck_assert_told(1, 1, FOLLOWING_AGAIN);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 0);
    end();
}
END_TEST

/* All have left before it came. */
START_TEST(a_lease_for_nobody_is_given_back)
{
    begin();
    join(0, 5);
    following_leave(&sitters[0].seat);
    loop_finish_tasks(&loop);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
    promote(_i == 0 ? 0 : 7, 9, _i == 0 ? 0 : 50, 100);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), _i);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
}
END_TEST

static void to_resume(uint64_t filled)
{
    begin();
    join(0, 5);
    join(1, 5);
    grow(5, 7, 40, 100);
    give_meta("meta");
    promote(0, 9, filled, 100);
}

/* One fills on; all, it included, are told how far it comes, through a handle for what is our own lease. */
START_TEST(the_rest_is_for_one)
{
    struct larder_event *event;

    to_resume(60);
    ck_assert_told(0, 2, FOLLOWING_RESUME);
    ck_assert_uint_eq(sitters[0].lease, 9);
    ck_assert_uint_eq(sitters[0].filled, 60);
    ck_assert_uint_eq(sitters[1].count, 1);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(asked[0].flags, LARDER_LOOKUP_FOLLOW | LARDER_LOOKUP_NO_BODY);
    ck_assert_mem_eq(asked[0].segment->data, "GET /x", 6);
    event = answer(0, LARDER_MISS);
    event->follow = 6;
    deliver();
    ck_assert_told(0, 3, FOLLOWING_GREW);
    ck_assert_told(1, 2, FOLLOWING_GREW);
    ck_assert_uint_eq(asked[0].follow, 6);
    ck_assert_uint_eq(asked[0].offset, 60);
    grow(6, 8, 80, 100); /* another pin of the same: compared, and kept, for the cache relies on it */
    ck_assert_uint_eq(sitters[1].count, 2);
    ck_assert_uint_eq(asked[0].handle, 8);
    give_meta("meta");
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 8), 0);
    ck_assert_told(1, 3, FOLLOWING_GREW);
    ck_assert_uint_eq(sitters[1].readable, 80);
    complete(0, 100);
    ck_assert_told(1, 4, FOLLOWING_COMPLETE);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 0);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 8), 0);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 8), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 6), 0);
}
END_TEST

/* What the key stands for by then is another thing: its length is not ours. */
START_TEST(the_rest_of_another_body_is_none)
{
    struct larder_event *event;

    to_resume(60);
    event = answer(0, LARDER_MISS);
    event->follow = 6;
    deliver();
    if (_i == 0)
        grow(6, 8, 30, 50);
    else
        complete(8, 50);
    give_meta("other");
    ck_assert_int_eq(last_of(0), FOLLOWING_BROKEN);
    ck_assert_int_eq(last_of(1), FOLLOWING_BROKEN);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 8), 1);
    end();
}
END_TEST

START_TEST(the_rest_ends_where_nothing_follows)
{
    to_resume(60);
    answer(0, _i == 0 ? LARDER_MISS : LARDER_LOST);
    deliver();
    ck_assert_told(0, 3, FOLLOWING_BROKEN);
    ck_assert_told(1, 2, FOLLOWING_BROKEN);
    end();
}
END_TEST

/* The lease is kept while there is no segment to ask with, or no metadata. */
START_TEST(the_rest_waits_for_a_segment)
{
    begin();
    join(0, 5);
    if (_i == 0) {
        grow(5, 7, 40, 100);
        give_meta("meta");
    }
    hold_segments(SEGMENTS);
    promote(_i == 0 ? 0 : 7, 9, 60, 100);
    ck_assert_uint_eq(sitters[0].count, _i == 0);
    ck_assert_uint_eq(asked_count, 0);
    return_segments();
    if (_i == 1)
        give_meta("meta");
    ck_assert_int_eq(last_of(0), FOLLOWING_RESUME);
    ck_assert_uint_eq(sitters[0].lease, 9);
    ck_assert_uint_eq(find_asked(LARDER_EVENT_LOOKUP), 0);
    end();
}
END_TEST

/* Who was to fill it has thrown it away before it was asked after, so the cache takes us for one to whom
 * nothing was given. */
START_TEST(the_rest_that_was_thrown_away_is_none)
{
    struct larder_event *event;

    to_resume(60);
    event = answer(find_asked(LARDER_EVENT_LOOKUP), LARDER_MISS);
    event->follow = 6;
    deliver();
    event = answer(find_asked(LARDER_EVENT_FOLLOW), LARDER_MISS);
    event->lease = 19;
    event->promoted = true;
    deliver();
    ck_assert_int_eq(last_of(0), FOLLOWING_CHANGED);
    ck_assert_int_eq(last_of(1), FOLLOWING_CHANGED);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 19), 1);
    end();
}
END_TEST

/* A client that came in between has the handle already; its following speaks for both. */
static void to_other(const char *meta)
{
    struct larder_event *event;

    to_resume(60);
    join(2, 6);
    event = answer(find_asked(LARDER_EVENT_LOOKUP), LARDER_MISS);
    event->follow = 6;
    deliver();
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 6), 1);
    grow(6, 8, 80, 100);
    give_meta(meta);
}

START_TEST(two_ask_for_one_handle)
{
    to_other("meta");
    ck_assert_told(2, 1, FOLLOWING_GREW);
    ck_assert_int_eq(last_of(0), FOLLOWING_GREW);
    ck_assert_uint_eq(sitters[1].readable, 80);
    if (_i == 0) {
        complete(0, 100);
        ck_assert_int_eq(last_of(0), FOLLOWING_COMPLETE);
        ck_assert_int_eq(last_of(1), FOLLOWING_COMPLETE);
        ck_assert_int_eq(last_of(2), FOLLOWING_COMPLETE);
    } else if (_i == 1) {
        answer_follow(LARDER_MISS)->broken = true;
        deliver();
        ck_assert_int_eq(last_of(0), FOLLOWING_BROKEN);
        ck_assert_int_eq(last_of(1), FOLLOWING_BROKEN);
        ck_assert_int_eq(last_of(2), FOLLOWING_BROKEN);
    } else if (_i == 2) { /* whoever it is left to: one of all three */
        promote(0, 19, 90, 100);
        ck_assert_uint_eq((sitters[0].lease == 19) + (sitters[1].lease == 19) + (sitters[2].lease == 19),
                          times_given_back(PLAYED_ABORT, 19) ? 0 : 1);
        ck_assert_uint_eq(find_asked(LARDER_EVENT_LOOKUP), 0);
        answer(0, LARDER_LOST);
        deliver();
        ck_assert_int_eq(last_of(1), FOLLOWING_BROKEN);
        ck_assert_int_eq(last_of(2), FOLLOWING_BROKEN);
    } else { /* the first goes, the others stay */
        following_leave(&sitters[2].seat);
        loop_finish_tasks(&loop);
        complete(0, 100);
        ck_assert_int_eq(last_of(0), FOLLOWING_COMPLETE);
    }
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 8), 1);
}
END_TEST

START_TEST(two_ask_for_one_handle_of_two_bodies)
{
    to_other("other");
    ck_assert_told(2, 1, FOLLOWING_GREW);
    ck_assert_int_eq(last_of(0), FOLLOWING_BROKEN);
    ck_assert_int_eq(last_of(1), FOLLOWING_BROKEN);
    end();
}
END_TEST

START_TEST(a_seat_may_be_left_at_any_news)
{
    begin();
    sitters[0].leaves = _i & 1;
    sitters[1].leaves = _i & 2;
    join(0, 5);
    join(1, 5);
    grow(5, 7, 40, 100);
    give_meta("meta");
    ck_assert_told(0, 1, FOLLOWING_GREW);
    ck_assert_told(1, 1, FOLLOWING_GREW);
    ck_assert_int_eq(home.first != NULL, _i != 3);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), _i == 3);
    if (_i == 0)
        following_leave(&sitters[1].seat); /* the other goes on */
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 2);
}
END_TEST

START_TEST(who_comes_late_is_told_what_is_there)
{
    begin();
    join(0, 5);
    grow(5, 7, 40, 100);
    if (_i == 1)
        join(1, 5); /* before the metadata */
    give_meta("meta");
    if (_i == 0)
        join(1, 5);
    ck_assert_told(1, 1, FOLLOWING_GREW);
    ck_assert_str_eq(sitters[1].meta, "meta");
    ck_assert_uint_eq(sitters[1].readable, 40);
    ck_assert_uint_eq(asked_count, 1); /* one question for both */
    end();
}
END_TEST

/* A look-up that was answered when the last seat was being left brings the same handle: it is asked with once
 * at a time, and given back as often as it was given. */
START_TEST(a_handle_that_comes_again_is_not_asked_with_twice)
{
    begin();
    join(0, 5);
    following_leave(&sitters[0].seat);
    loop_finish_tasks(&loop);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
    join(1, 5); /* played.c fails at a second question */
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
    grow(5, 7, 40, 100);
    give_meta("meta");
    ck_assert_told(1, 1, FOLLOWING_GREW);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 2);
}
END_TEST

/* The home ends while the answer is under way. */
START_TEST(a_question_may_outlive_its_home)
{
    begin();
    join(0, 5);
    following_leave(&sitters[0].seat);
    loop_finish_tasks(&loop);
    following_home_teardown(&home);
    ck_assert_ptr_null(home.first);
    answer_follow(LARDER_OK)->handle = 7;
    deliver();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    play_end();
}
END_TEST

START_TEST(metadata_wait_for_a_segment)
{
    begin();
    join(0, 5);
    hold_segments(SEGMENTS);
    grow(5, 7, 40, 100);
    ck_assert_uint_eq(cache.waiting_count, 1);
    if (_i == 0) {
        return_segments();
        give_meta("meta");
        ck_assert_told(0, 1, FOLLOWING_GREW);
    } else if (_i == 1) { /* gone while it waits */
        following_leave(&sitters[0].seat);
        loop_finish_tasks(&loop);
        ck_assert_uint_eq(cache.waiting_count, 0);
        ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
        return_segments();
    } else { /* no cache any more */
        attached = false;
        return_segments();
        ck_assert_told(0, 1, FOLLOWING_ALONE);
    }
    end();
}
END_TEST

START_TEST(metadata_that_cannot_be_had_end_it)
{
    unsigned number;
    struct larder_event *event;

    begin();
    join(0, 5);
    grow(5, 7, 40, 100);
    number = find_asked(LARDER_EVENT_READ);
    event = answer(number, _i == 0 ? LARDER_FENCED : _i == 1 ? LARDER_LOST : LARDER_OK);
    event->meta_length = _i == 2 ? 0 : SEGMENT_BYTES + 1;
    deliver();
    ck_assert_told(0, 1, FOLLOWING_ALONE);
    end();
}
END_TEST

START_TEST(a_question_waits_for_room)
{
    begin();
    refuse_with = -EAGAIN;
    join(0, 5);
    ck_assert_uint_eq(cache.waiting_count, 1);
    refuse_with = _i == 0 ? 0 : -ESTALE;
    hold_segments(1);
    return_segments();
    if (_i == 0)
        complete(7, 10);
    else
        ck_assert_told(0, 1, FOLLOWING_ALONE);
    refuse_with = 0;
    if (_i == 0)
        give_meta("meta");
    end();
}
END_TEST

/* ---- a cache that is frozen ---- */

enum waiting_for {
    WAITS_FOR_NEWS,
    WAITS_FOR_META,
    WAITS_FOR_META_OF_ALL, /* the follow handle has ended */
    WAITS_FOR_OUR_OWN,
    WAITS_FOR_SEGMENT, /* in line, all being out with questions */
    WAITS_FOR_NEWS_WITHOUT_SEGMENTS,
    WAITS_END
};

static void nobody_waits(void *owner, struct cache_op *op, struct larder_event *event)
{
    (void)owner;
    (void)op;
    (void)event;
}

static void use_up_segments(void)
{
    while (cache_link_lookup(&cache, &ops, &key, 0, nobody_waits, NULL) == 0)
        ;
}

/* Whatever is awaited from it: within seconds all are told. */
START_TEST(a_frozen_cache_is_noticed)
{
    begin();
    if (_i == WAITS_FOR_OUR_OWN) {
        following_home_teardown(&home);
        cache_link_teardown(&cache);
        proxy_loop_teardown(&loop);
        to_resume(60);
    } else {
        join(0, 5);
    }
    if (_i == WAITS_FOR_SEGMENT || _i == WAITS_FOR_NEWS_WITHOUT_SEGMENTS)
        use_up_segments();
    if (_i == WAITS_FOR_META || _i == WAITS_FOR_SEGMENT)
        grow(5, 7, 40, 100);
    else if (_i == WAITS_FOR_META_OF_ALL)
        complete(7, 40);
    for (int i = 0; i < 3; i++) {
        pass_time(1000);
        pass_time(100);
    }
    ck_assert_int_eq(last_of(0), FOLLOWING_ALONE);
    ck_assert(cache.silent);
    ck_assert_ptr_null(sitters[0].seat.following);
    cache_ops_sever(&ops);
    end();
}
END_TEST

/* As long as it answers nothing is wrong with having no news. */
START_TEST(a_cache_that_answers_is_waited_for)
{
    begin();
    join(0, 5);
    for (int i = 0; i < 10; i++) {
        pass_time(1000);
        ck_assert_uint_eq(asked[find_asked(LARDER_EVENT_LOOKUP)].flags, LARDER_LOOKUP_NO_BODY);
        pass_time(50);
        answer(find_asked(LARDER_EVENT_LOOKUP), LARDER_MISS);
        deliver();
        pass_time(50);
    }
    ck_assert_uint_eq(sitters[0].count, 0);
    grow(5, 7, 40, 100);
    give_meta("meta");
    ck_assert_told(0, 1, FOLLOWING_GREW);
    end();
}
END_TEST

/* Nor with all segments being with clients, of whom the cache knows nothing. */
START_TEST(clients_that_hold_all_segments_do_not_make_the_cache_silent)
{
    begin();
    join(0, 5);
    hold_segments(SEGMENTS);
    for (int i = 0; i < 5; i++)
        pass_time(1000);
    ck_assert_uint_eq(sitters[0].count, 0);
    ck_assert(!cache.silent);
    return_segments();
    end();
}
END_TEST

/* There may be none for a minute, and the origin is there. */
START_TEST(nobody_stands_in_line_for_long)
{
    begin();
    join(0, 5);
    hold_segments(SEGMENTS);
    grow(5, 7, 40, 100);
    pass_time(1000);
    ck_assert_uint_eq(sitters[0].count, 0);
    if (_i == 0) {
        pass_time(1000);
        ck_assert_told(0, 1, FOLLOWING_ALONE);
        ck_assert_uint_eq(cache.waiting_count, 0);
        ck_assert(!cache.silent);
        return_segments();
    } else {
        return_segments();
        pass_time(50);
        give_meta("meta");
        ck_assert_told(0, 1, FOLLOWING_GREW);
    }
    end();
}
END_TEST

/* Others were answered meanwhile: the question is only slow. */
START_TEST(a_slow_answer_is_no_silence)
{
    begin();
    join(0, 5);
    pass_time(1000);
    ck_assert_int_eq(cache_link_lookup(&cache, &ops, &key, 0, nobody_waits, NULL), 0);
    pass_time(50);
    answer(asked_count - 1, LARDER_MISS);
    deliver();
    pass_time(50);
    ck_assert_uint_eq(sitters[0].count, 0);
    pass_time(1000);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, what_grows_is_told, 0, 2);
    tcase_add_test(tcase, what_is_complete_at_once_is_told);
    tcase_add_loop_test(tcase, all_are_told_of_an_end, 0, 2 * ROWS(ends));
    tcase_add_test(tcase, growth_without_a_follow_handle_is_no_growth);
    tcase_add_test(tcase, the_lease_goes_to_one);
    tcase_add_loop_test(tcase, a_lease_for_nobody_is_given_back, 0, 2);
    tcase_add_test(tcase, the_rest_is_for_one);
    tcase_add_loop_test(tcase, the_rest_of_another_body_is_none, 0, 2);
    tcase_add_test(tcase, the_rest_that_was_thrown_away_is_none);
    tcase_add_loop_test(tcase, the_rest_ends_where_nothing_follows, 0, 2);
    tcase_add_loop_test(tcase, the_rest_waits_for_a_segment, 0, 2);
    tcase_add_loop_test(tcase, two_ask_for_one_handle, 0, 4);
    tcase_add_test(tcase, two_ask_for_one_handle_of_two_bodies);
    tcase_add_loop_test(tcase, a_seat_may_be_left_at_any_news, 0, 4);
    tcase_add_loop_test(tcase, who_comes_late_is_told_what_is_there, 0, 2);
    tcase_add_test(tcase, a_handle_that_comes_again_is_not_asked_with_twice);
    tcase_add_test(tcase, a_question_may_outlive_its_home);
    tcase_add_loop_test(tcase, metadata_wait_for_a_segment, 0, 3);
    tcase_add_loop_test(tcase, metadata_that_cannot_be_had_end_it, 0, 4);
    tcase_add_loop_test(tcase, a_question_waits_for_room, 0, 2);
    tcase_add_loop_test(tcase, a_frozen_cache_is_noticed, 0, WAITS_END);
    tcase_add_test(tcase, a_cache_that_answers_is_waited_for);
    tcase_add_test(tcase, clients_that_hold_all_segments_do_not_make_the_cache_silent);
    tcase_add_loop_test(tcase, nobody_stands_in_line_for_long, 0, 2);
    tcase_add_test(tcase, a_slow_answer_is_no_silence);
}

int main(void)
{
    return run_suite("following", add_cases);
}
