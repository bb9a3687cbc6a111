/* hot: what is kept, for how long, in whose place, and what becomes of the segments. The cache is played. */
#include "hot.h"

#include "played.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POOL   16u
#define LIMIT  (POOL / 2)
#define FRESH  60000 /* milliseconds */
#define STALL  1000
#define ASKED  4u /* questions after which a key is worth keeping */
#define PREFIX "GET http://origin:80"

static struct hot hot;
static char name_text[HOT_KEY_MAX + 2];

static struct cache_key key_of(const char *name)
{
    return (struct cache_key){HTTP_SPAN(PREFIX), {name, (uint32_t)strlen(name)}};
}

static const char *nth(unsigned number)
{
    snprintf(name_text, sizeof name_text, "/%u", number);
    return name_text;
}

static void stalled(struct deadline *deadline)
{
    (void)deadline;
}

static void begin(void)
{
    played_segments = POOL;
    play_begin(stalled);
    hot_setup(&hot, &cache, STALL);
}

static void end(void)
{
    hot_teardown(&hot);
    ck_assert_uint_eq(cache.kept, 0);
    play_end();
}

static struct hot_entry *ask(const char *name, bool *keep)
{
    struct cache_key key = key_of(name);

    return hot_ask(&hot, &key, keep);
}

static struct hot_entry *find(const char *name)
{
    bool keep;

    return ask(name, &keep);
}

/* Asked for so often that it is worth keeping? */
static bool heat(const char *name, unsigned times)
{
    bool keep = false;

    while (times-- > 0)
        ask(name, &keep);
    return keep;
}

/* ---- what the cache answers ---- */

static struct hot_entry *adopted;
static uint64_t object_size; /* of what is found next */
static int64_t fresh_for;

static uint32_t write_meta(uint8_t *to)
{
    static struct http_fields fields;
    struct http_meta_head head = {.status = 200, .response_time = loop.wall_ms / 1000, .lifetime = 600};
    int length;

    fields.count = 0;
    http_field_add(&fields, HTTP_SPAN("Content-Type"), HTTP_SPAN("text/plain"));
    length = http_meta_encode(&head, &fields, to, SEGMENT_BYTES);
    ck_assert_int_gt(length, 0);
    return (uint32_t)length;
}

/* Metadata, and as much of the body as there is room for. */
static struct larder_event *answer_found(unsigned number, bool kept_there)
{
    uint8_t *data = asked[number].segment->data;
    uint32_t meta_length = write_meta(data);
    uint32_t room = SEGMENT_BYTES - meta_length;
    uint32_t length = object_size < room ? (uint32_t)object_size : room;
    struct larder_event *event = answer(number, LARDER_HIT);

    fill_pattern(data + meta_length, 1, 0, length);
    event->meta_length = meta_length;
    event->length = length;
    event->object_size = object_size;
    event->handle = length < object_size ? 99 : 0;
    event->fresh_until = loop.wall_ms + fresh_for;
    event->kept = kept_there;
    return event;
}

static void found(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct cache_key key = key_of(owner);
    struct http_meta meta;

    (void)op;
    ck_assert(http_meta_decode(&meta, event->segment->data, event->meta_length));
    adopted = hot_adopt(&hot, &key, event, &meta);
    ck_assert(adopted ? !event->segment : event->segment != NULL);
}

static struct hot_entry *adopt(const char *name)
{
    struct cache_key key = key_of(name);

    adopted = NULL;
    object_size = 1000;
    if (fresh_for == 0)
        fresh_for = FRESH;
    ck_assert_int_eq(
        cache_link_lookup(&cache, &ops, &key, LARDER_LOOKUP_KEEP, found, (void *)(uintptr_t)name), 0);
    answer_found(asked_count - 1, true);
    deliver();
    return adopted;
}

static void fill_set(void)
{
    for (unsigned i = 0; i < LIMIT; i++) {
        heat(nth(i), ASKED);
        ck_assert_ptr_nonnull(adopt(nth(i)));
    }
    ck_assert_uint_eq(hot.segments, LIMIT);
    ck_assert_int_eq(segments_out(), LIMIT);
}

/* ---- which keys become hot ---- */

START_TEST(only_what_is_asked_for_often_is_worth_keeping)
{
    begin();
    for (unsigned i = 1; i < ASKED; i++)
        ck_assert(!heat("/a", 1));
    ck_assert(heat("/a", 1));
    ck_assert(!heat("/b", 1));
    end();
}
END_TEST

START_TEST(questions_of_long_ago_do_not_count)
{
    begin();
    heat("/a", ASKED - 1);
    for (unsigned i = 0; i < 3 * hot.sketch.age_after; i++)
        heat(nth(i), 1);
    ck_assert(!heat("/a", 1));
    end();
}
END_TEST

START_TEST(long_keys_are_never_kept)
{
    begin();
    memset(name_text, 'x', sizeof name_text - 1);
    ck_assert(!heat(name_text, 10 * ASKED));
    name_text[HOT_KEY_MAX] = '\0';
    ck_assert(heat(name_text, ASKED));
    end();
}
END_TEST

/* Asks at random for one of so many; adopts what is worth it. Returns how often that was. */
static unsigned ask_at_random(uint64_t *state, unsigned names, unsigned times)
{
    unsigned count = 0;

    while (times-- > 0) {
        const char *name = nth((unsigned)random_below(state, names));
        bool keep;

        if (!ask(name, &keep) && keep)
            count += adopt(name) != NULL;
        ck_assert_uint_le(hot.segments, LIMIT);
    }
    return count;
}

START_TEST(uniform_load_does_not_thrash)
{
    uint64_t state = 1;

    begin();
    ask_at_random(&state, 40, 20000);
    ck_assert_uint_lt(ask_at_random(&state, 40, 20000), 20000 / 200);
    ask_at_random(&state, 1000, 20000);
    ck_assert_uint_lt(ask_at_random(&state, 1000, 20000), 20000 / 200);
    end();
}
END_TEST

START_TEST(what_becomes_hot_finds_a_place)
{
    uint64_t state = 1;
    bool keep = false;

    begin();
    ask_at_random(&state, 40, 20000);
    for (unsigned i = 0; i < 1000 && !keep; i++) {
        ask_at_random(&state, 40, 5);
        ask("/new", &keep);
    }
    ck_assert(keep);
    ck_assert_ptr_nonnull(adopt("/new"));
    ck_assert_ptr_nonnull(find("/new"));
    end();
}
END_TEST

START_TEST(only_the_colder_give_way)
{
    begin();
    fill_set();
    heat("/x", 2 * ASKED + 2); /* it is not clear that it is hotter than they are */
    ck_assert_ptr_null(adopt("/x"));
    heat("/x", 1);
    ck_assert_ptr_nonnull(adopt("/x"));
    ck_assert_uint_eq(hot.segments, LIMIT);
    end();
}
END_TEST

/* However often it was asked for before; as when one large object takes the place of small ones. */
START_TEST(what_nobody_asks_for_gives_way)
{
    begin();
    fill_set();
    for (unsigned i = 0; i < LIMIT; i++)
        heat(nth(i), 100);
    heat("/x", ASKED);
    pass_time(499);
    ck_assert_ptr_null(adopt("/x"));
    find(nth(0));
    pass_time(1);
    ck_assert_ptr_nonnull(adopt("/x"));
    ck_assert_ptr_nonnull(find(nth(0)));
    ck_assert_uint_eq(hot.segments, LIMIT);
    end();
}
END_TEST

/* ---- what is given out ---- */

START_TEST(kept_object_is_found)
{
    struct hot_entry *entry;
    struct hot_piece piece;

    begin();
    entry = adopt("/a");
    ck_assert_ptr_eq(find("/a"), entry);
    ck_assert_ptr_null(find("/b"));
    ck_assert_uint_eq(entry->object_size, 1000);
    ck_assert_int_eq(entry->meta.head.status, 200);
    piece = hot_piece(entry, 10, 900);
    ck_assert_uint_eq(piece.size, 890);
    ck_assert(is_pattern(piece.segment->data + piece.offset, 1, 10, 890));
    hot_used(entry);
    ck_assert_uint_eq(times_used, 1);
    ck_assert_int_eq(segments_out(), 1);
    ck_assert_ptr_null(adopt("/a")); /* it is there already */
    ck_assert_int_eq(segments_out(), 1);
    end();
}
END_TEST

START_TEST(stale_object_is_given_up)
{
    begin();
    make_stale(adopt("/a")->segments[0]);
    ck_assert_ptr_null(find("/a"));
    ck_assert_int_eq(segments_out(), 0);
    end();
}
END_TEST

START_TEST(object_is_given_up_when_its_freshness_ends)
{
    begin();
    ck_assert_ptr_nonnull(adopt("/a"));
    loop.wall_ms += FRESH - 1;
    ck_assert_ptr_nonnull(find("/a"));
    loop.wall_ms++;
    ck_assert_ptr_null(find("/a"));
    ck_assert_int_eq(segments_out(), 0);
    end();
}
END_TEST

START_TEST(object_is_given_up_when_nobody_asks)
{
    begin();
    ck_assert_ptr_nonnull(adopt("/asked"));
    ck_assert_ptr_nonnull(adopt("/idle"));
    for (int seconds = 0; seconds < 11; seconds++) {
        ck_assert_ptr_nonnull(find("/asked"));
        pass_time(1000);
    }
    ck_assert_int_eq(segments_out(), 1);
    ck_assert_ptr_null(find("/idle"));
    ck_assert_ptr_nonnull(find("/asked"));
    pass_time(5000);
    pass_time(5000);
    ck_assert_int_eq(segments_out(), 0);
    end();
}
END_TEST

START_TEST(response_under_way_keeps_what_was_given_up)
{
    struct hot_entry *held, *other;

    begin();
    held = hot_hold(adopt("/a"));
    make_stale(held->segments[0]);
    ck_assert_ptr_null(find("/a"));
    ck_assert_int_eq(segments_out(), 1);
    ck_assert_uint_eq(hot.segments, 1);
    other = hot_hold(held);
    hot_drop(&other);
    ck_assert_ptr_nonnull(adopt("/a")); /* the next version */
    ck_assert_int_eq(segments_out(), 2);
    ck_assert(is_pattern(held->segments[0]->data + held->meta_length, 1, 0, 1000));
    hot_drop(&held);
    ck_assert_ptr_null(held);
    ck_assert_int_eq(segments_out(), 1);
    end();
}
END_TEST

START_TEST(reference_of_an_output_is_one_like_others)
{
    struct hot_entry *entry;

    begin();
    entry = hot_hold(adopt("/a"));
    hot_clear(&hot);
    ck_assert_int_eq(segments_out(), 1);
    entry->source.calls->drop(&entry->source);
    ck_assert_int_eq(segments_out(), 0);
    end();
}
END_TEST

START_TEST(nothing_is_kept_of_a_cache_that_is_gone)
{
    begin();
    fill_set();
    cache.keeper->lost(cache.keeper);
    ck_assert_int_eq(segments_out(), 0);
    ck_assert_ptr_null(find(nth(0)));
    end();
}
END_TEST

/* ---- bounds ---- */

START_TEST(share_is_half_of_the_pool)
{
    begin();
    fill_set();
    ck_assert_ptr_null(adopt("/cold"));
    ck_assert_uint_eq(hot.segments, LIMIT);
    ck_assert(!cache_link_is_scarce(&cache)); /* what is kept does not make the rest scarce */
    end();
}
END_TEST

/* Whatever responses still need counts, although the set has given it up. */
START_TEST(what_is_in_use_counts)
{
    struct hot_entry *held[LIMIT];

    begin();
    fill_set();
    for (unsigned i = 0; i < LIMIT; i++)
        held[i] = hot_hold(find(nth(i)));
    hot_clear(&hot);
    heat("/x", 100);
    ck_assert_ptr_null(adopt("/x"));
    ck_assert_uint_eq(hot.segments, LIMIT);
    hot_drop(&held[0]);
    ck_assert_ptr_nonnull(adopt("/x"));
    for (unsigned i = 1; i < LIMIT; i++)
        hot_drop(&held[i]);
    end();
}
END_TEST

START_TEST(requests_take_segments_back)
{
    begin();
    fill_set();
    hold_segments(POOL - 2);
    ck_assert_uint_eq(hot.segments, 2);
    ck_assert_uint_eq(cache.kept, 2);
    put_segments_back();
    ck_assert(!heat("/x", 100)); /* for a while they may be needed again */
    ck_assert_ptr_null(adopt("/x"));
    loop.now_ms += 1000;
    ck_assert(heat("/x", 1));
    ck_assert_ptr_nonnull(adopt("/x"));
    end();
}
END_TEST

START_TEST(requests_take_nothing_that_is_in_use)
{
    struct hot_entry *held[LIMIT];
    struct larder_segment *segment;

    begin();
    fill_set();
    for (unsigned i = 0; i < LIMIT; i++)
        held[i] = hot_hold(find(nth(i)));
    hold_segments(POOL - LIMIT);
    ck_assert_int_eq(cache_link_borrow(&cache, &segment), -EAGAIN);
    for (unsigned i = 0; i < LIMIT; i++)
        hot_drop(&held[i]);
    ck_assert_int_eq(cache_link_borrow(&cache, &segment), 0);
    cache_link_return(&cache, &segment);
    put_segments_back();
    end();
}
END_TEST

/* Many ask for the same at once, and have all segments: then it must be kept all the more. */
START_TEST(scarcity_alone_keeps_nothing_out)
{
    begin();
    hold_segments(POOL - 1);
    ck_assert(heat("/a", 100));
    ck_assert_ptr_nonnull(adopt("/a"));
    put_segments_back();
    end();
}
END_TEST

/* ---- larger than a segment ---- */

#define LARGE (3 * SEGMENT_BYTES + 100) /* 4 segments, with the metadata */

static struct hot_entry *loading; /* held, as by the exchange that found it */
static uint64_t handle;

static void found_large(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct cache_key key = key_of(owner);
    struct http_meta meta;

    (void)op;
    ck_assert(http_meta_decode(&meta, event->segment->data, event->meta_length));
    handle = event->handle;
    event->handle = 0;
    loading = hot_load(&hot, &key, event, &meta, &handle);
    ck_assert(loading ? !event->segment : event->segment != NULL);
    ck_assert_int_eq(handle == 0, loading != NULL);
    if (loading)
        hot_hold(loading);
}

static void look_up_large(const char *name)
{
    struct cache_key key = key_of(name);

    heat(name, ASKED);
    fresh_for = FRESH;
    loading = NULL;
    ck_assert_int_eq(
        cache_link_lookup(&cache, &ops, &key, LARDER_LOOKUP_KEEP, found_large, (void *)(uintptr_t)name), 0);
}

static void begin_to_load(const char *name)
{
    look_up_large(name);
    object_size = LARGE;
    answer_found(asked_count - 1, true);
    deliver();
    ck_assert_ptr_nonnull(loading);
    ck_assert(is_pattern(loading->segments[0]->data + loading->meta_length, 1, 0, 100));
    ck_assert_uint_eq(asked_count, 3);
}

static void end_exchange(void)
{
    hot_drop(&loading);
    cache_link_release(&cache, &handle);
}

static void answer_rest(unsigned number)
{
    ck_assert_int_eq(asked[number].kind, LARDER_EVENT_READ);
    ck_assert_uint_eq(asked[number].handle, 99);
    fill_pattern(asked[number].segment->data, 1, asked[number].offset, asked[number].length);
    answer(number, LARDER_OK)->object_size = object_size;
    deliver();
}

static void answer_all_of_it(void)
{
    while (asked_count > 0)
        answer_rest(0);
}

static void check_all_of(const struct hot_entry *entry, uint64_t from)
{
    while (from < entry->object_size) {
        struct hot_piece piece = hot_piece(entry, from, entry->object_size);

        ck_assert_uint_gt(piece.size, 0);
        ck_assert(is_pattern(piece.segment->data + piece.offset, 1, from, piece.size));
        from += piece.size;
    }
    ck_assert_uint_eq(from, entry->object_size);
}

/* The exchange that found it ends before all has been read, or behind that. */
START_TEST(larger_object_is_loaded)
{
    struct hot_entry *entry;

    begin();
    begin_to_load("/large");
    entry = loading;
    if (_i == 0)
        end_exchange();
    while (asked_count > 0) {
        ck_assert_ptr_eq(find("/large"), entry); /* those who ask have what there is of it */
        answer_rest(asked_count - 1);
    }
    if (_i == 1)
        end_exchange();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 99), 1);
    ck_assert_ptr_eq(find("/large"), entry);
    ck_assert_uint_eq(entry->object_size, LARGE);
    for (uint64_t from = 0; from < LARGE; from += 1 + from / 3)
        check_all_of(entry, from);
    ck_assert_uint_eq(hot_piece(entry, SEGMENT_BYTES, SEGMENT_BYTES + 1).size, 1);
    ck_assert_uint_eq(hot.segments, 4);
    ck_assert_uint_eq(cache.kept, 4);
    ck_assert_int_eq(segments_out(), 4);
    ck_assert_uint_eq(row_asked, 3); /* of 3, of 2 and of 1 */
    end();
}
END_TEST

static struct hot_entry *load(const char *name, uint64_t size)
{
    look_up_large(name);
    object_size = size;
    answer_found(asked_count - 1, true);
    deliver();
    ck_assert_ptr_nonnull(loading);
    end_exchange();
    answer_all_of_it();
    return find(name);
}

/* The whole body stands in one row: where that takes no segment more than going on behind the look-up's bytes
 * does, or where one more makes little difference. */
START_TEST(body_stands_in_one_row_where_that_costs_little)
{
    static const struct {
        uint64_t size;
        uint32_t segments;
        bool row;
    } bodies[] = {
        {SEGMENT_BYTES - 1, 2, true},     {SEGMENT_BYTES, 2, true},          {SEGMENT_BYTES + 1, 2, false},
        {2 * SEGMENT_BYTES - 1, 3, true}, {6 * SEGMENT_BYTES + 1, 7, false}, {7 * SEGMENT_BYTES + 1, 9, true},
        {8 * SEGMENT_BYTES, 9, true},
    };
    uint64_t size = bodies[_i].size;
    struct hot_entry *entry;

    played_segments = 20;
    play_begin(stalled);
    hot_setup(&hot, &cache, STALL);
    entry = load("/row", size);
    ck_assert_ptr_nonnull(entry);
    ck_assert_uint_eq(entry->segments_held, bodies[_i].segments);
    ck_assert_uint_eq(row_asked, bodies[_i].segments - 1);
    ck_assert_int_eq(hot_piece(entry, 0, size).segment != entry->segments[0], bodies[_i].row);
    for (uint64_t from = 0; from < size; from += 1 + from / 3)
        check_all_of(entry, from);
    end();
}
END_TEST

enum failure { LOST_READ, SHORT_READ, OTHER_READ, STALLED, GONE_MEANWHILE, FAILURES };

/* The second answer, for what can be one. */
static void answer_badly(enum failure failure)
{
    answer_rest(0);
    switch (failure) {
    case LOST_READ:
        answer(0, LARDER_LOST);
        break;
    case SHORT_READ:
        answer(0, LARDER_OK)->length--;
        break;
    case OTHER_READ:
        answer(0, LARDER_OK)->offset = 0;
        break;
    case STALLED:
        pass_time(STALL - 1);
        ck_assert_ptr_nonnull(hot.loading.entry);
        pass_time(1);
        break;
    default:
        hot_clear(&hot);
    }
    deliver();
    while (asked_count > 0)
        answer_rest(0);
}

START_TEST(loading_may_fail)
{
    bool keep;

    begin();
    begin_to_load("/large");
    answer_badly((enum failure)_i);
    ck_assert_ptr_null(find("/large"));
    ck_assert_int_eq(segments_out(), 2); /* what was read is the exchange's still */
    end_exchange();
    ck_assert_int_eq(segments_out(), 0);
    ck_assert_uint_eq(hot.segments, 0);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 99), 1);
    ask("/large", &keep); /* not again at once, if there is a cache */
    ck_assert_int_eq(keep, _i == GONE_MEANWHILE);
    loop.now_ms += 1000;
    begin_to_load("/large");
    end_exchange();
    answer_all_of_it();
    ck_assert_ptr_nonnull(find("/large"));
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 99), 2);
    end();
}
END_TEST

START_TEST(loading_may_take_its_time_while_it_gets_on)
{
    begin();
    begin_to_load("/large");
    end_exchange();
    while (asked_count > 0) {
        pass_time(STALL - 1);
        ck_assert_ptr_nonnull(hot.loading.entry);
        answer_rest(0);
    }
    pass_time(STALL);
    ck_assert_ptr_nonnull(find("/large"));
    end();
}
END_TEST

/* Purged, or expired: those who have it may finish; if there are none, nobody will want the rest. */
START_TEST(what_is_not_good_any_more_is_loaded_for_its_holders_alone)
{
    begin();
    begin_to_load("/large");
    if (_i & 1)
        make_stale(loading->segments[0]);
    else
        loop.wall_ms += FRESH;
    ck_assert_ptr_null(find("/large"));
    if (_i & 2) {
        answer_all_of_it();
        check_all_of(loading, 0);
        ck_assert_ptr_null(find("/large"));
        end_exchange();
    } else {
        end_exchange();
        ck_assert_uint_eq(asked_count, 3);
        answer_rest(0);
        ck_assert_int_eq(segments_out(), 2); /* under way still */
        ck_assert_ptr_null(hot.loading.entry);
        answer_all_of_it();
    }
    ck_assert_int_eq(segments_out(), 0);
    ck_assert(heat("/large", 1)); /* the next version may be loaded */
    end();
}
END_TEST

START_TEST(loading_ends_with_the_set)
{
    begin();
    begin_to_load("/large");
    end_exchange();
    hot_clear(&hot);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 99), 1);
    answer_all_of_it();
    end();
}
END_TEST

START_TEST(one_object_is_loaded_at_a_time)
{
    struct hot_entry *first;

    begin();
    begin_to_load("/large");
    first = loading;
    look_up_large("/other");
    answer_found(asked_count - 1, true)->handle = 100;
    deliver();
    ck_assert_ptr_null(loading);
    end_exchange();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 100), 1);
    ck_assert_ptr_null(find("/other"));
    loading = first;
    end_exchange();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 99), 0);
    hot_clear(&hot);
    answer_all_of_it();
    end();
}
END_TEST

START_TEST(what_is_larger_than_the_share_is_not_loaded)
{
    static const uint64_t sizes[] = {(uint64_t)LIMIT * SEGMENT_BYTES, UINT64_MAX};

    begin();
    look_up_large("/huge");
    object_size = sizes[_i];
    answer_found(0, true);
    deliver();
    ck_assert_ptr_null(loading);
    ck_assert_uint_eq(asked_count, 0);
    end_exchange();
    end();
}
END_TEST

/* It takes nothing from the set for itself. */
START_TEST(loading_waits_for_segments)
{
    begin();
    ck_assert_ptr_nonnull(adopt("/small"));
    look_up_large("/large");
    hold_segments(POOL - 2);
    object_size = LARGE;
    answer_found(0, true);
    deliver();
    ck_assert_uint_eq(asked_count, 0);
    ck_assert_ptr_nonnull(find("/small"));
    end_exchange();
    return_segments();
    ck_assert_uint_eq(asked_count, 3);
    answer_all_of_it();
    ck_assert_ptr_nonnull(find("/large"));
    ck_assert_ptr_nonnull(find("/small"));
    end();
}
END_TEST

static struct larder_segment *had;

static bool have_one(struct cache_wait *wait)
{
    (void)wait;
    return cache_link_borrow(&cache, &had) == 0;
}

/* Others came before it; but it is what frees theirs. */
START_TEST(loading_is_first_in_the_line)
{
    struct cache_wait wait = {.retry = have_one};
    struct larder_segment *segments[POOL];

    begin();
    look_up_large("/large");
    for (unsigned i = 0; i < POOL - 1; i++)
        ck_assert_int_eq(cache_link_borrow(&cache, &segments[i]), 0);
    ck_assert_int_eq(cache_link_wait(&cache, &wait), 0);
    object_size = LARGE;
    answer_found(0, true);
    deliver();
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_uint_eq(asked_count, i - 1);
        cache_link_return(&cache, &segments[i]);
        loop_finish_tasks(&loop);
        ck_assert_uint_eq(asked_count, i);
        ck_assert_ptr_null(had);
    }
    cache_link_return(&cache, &segments[0]);
    loop_finish_tasks(&loop);
    ck_assert_ptr_nonnull(had);
    cache_link_return(&cache, &had);
    for (unsigned i = 4; i < POOL - 1; i++)
        cache_link_return(&cache, &segments[i]);
    end_exchange();
    answer_all_of_it();
    ck_assert_ptr_nonnull(find("/large"));
    end();
}
END_TEST

/* ---- those who wait for it ---- */

#define WAITERS 100u

static struct waiter {
    struct hot_wait wait; /* first */
    uint64_t position;
    unsigned told;
} waiters[WAITERS];

/* What is there is taken, then the next is waited for. */
static void take_and_wait(struct hot_wait *wait)
{
    struct waiter *waiter = (struct waiter *)wait;
    struct hot_piece piece;

    waiter->told++;
    while (waiter->position < LARGE) {
        piece = hot_piece(loading, waiter->position, LARGE);
        if (!piece.segment)
            break;
        ck_assert(is_pattern(piece.segment->data + piece.offset, 1, waiter->position, piece.size));
        waiter->position += piece.size;
    }
    if (waiter->position < LARGE && hot_await(loading, waiter->position, wait))
        ck_assert(hot.waiting_count > 0);
}

static void begin_to_wait(unsigned count)
{
    begin();
    begin_to_load("/large");
    for (unsigned i = 0; i < count; i++) {
        waiters[i] = (struct waiter){.wait = {.settled = take_and_wait}};
        take_and_wait(&waiters[i].wait);
        ck_assert_uint_eq(waiters[i].told, 1);
    }
    ck_assert_uint_eq(hot.waiting_count, count);
}

/* In whatever order the pieces come. */
START_TEST(many_are_served_as_it_comes)
{
    uint64_t state = (uint64_t)_i;

    begin_to_wait(WAITERS);
    while (asked_count > 0)
        answer_rest((unsigned)random_below(&state, asked_count));
    ck_assert_uint_eq(hot.waiting_count, 0);
    ck_assert_ptr_null(hot.waiting);
    for (unsigned i = 0; i < WAITERS; i++) {
        ck_assert_uint_eq(waiters[i].position, LARGE);
        ck_assert_uint_le(waiters[i].told, 4);
    }
    ck_assert_int_eq(segments_out(), 4);
    end_exchange();
    end();
}
END_TEST

START_TEST(nobody_is_told_of_another_piece)
{
    begin_to_wait(2);
    hot_unwait(&waiters[1].wait);
    ck_assert(hot_await(loading, LARGE - 1, &waiters[1].wait));
    answer_rest(1);
    ck_assert_uint_eq(waiters[0].told + waiters[1].told, 2);
    answer_rest(0);
    ck_assert_uint_eq(waiters[0].told, 2);
    ck_assert_uint_eq(waiters[1].told, 1);
    answer_rest(0);
    ck_assert_uint_eq(waiters[0].told, 3);
    ck_assert_uint_eq(waiters[1].told, 2);
    end_exchange();
    end();
}
END_TEST

START_TEST(who_waits_may_leave)
{
    begin_to_wait(3);
    hot_unwait(&waiters[(unsigned)_i].wait);
    hot_unwait(&waiters[(unsigned)_i].wait);
    ck_assert_uint_eq(hot.waiting_count, 2);
    answer_all_of_it();
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(waiters[i].position, i == (unsigned)_i ? loading->first_bytes : LARGE);
    end_exchange();
    end();
}
END_TEST

/* Nobody waits for what will not come. */
START_TEST(those_who_wait_are_told_that_loading_failed)
{
    begin_to_wait(WAITERS);
    answer_badly((enum failure)_i);
    ck_assert_uint_eq(hot.waiting_count, 0);
    for (unsigned i = 0; i < WAITERS; i++) {
        ck_assert_uint_eq(waiters[i].position, loading->first_bytes + SEGMENT_BYTES);
        ck_assert_uint_eq(waiters[i].told, 3);
    }
    ck_assert(!hot_await(loading, LARGE - 1, &waiters[0].wait));
    end_exchange();
    ck_assert_int_eq(segments_out(), 0);
    end();
}
END_TEST

/* While the next object is being loaded, too. */
START_TEST(those_who_wait_for_what_was_given_up_wait_for_nothing_else)
{
    struct hot_entry *first;

    begin_to_wait(2);
    answer(0, LARDER_LOST);
    cache.source.drain(&cache.source); /* nobody has been told yet */
    ck_assert_uint_eq(hot.waiting_count, 2);
    first = loading;
    loop.now_ms += 1000;
    look_up_large("/other");
    object_size = LARGE;
    answer_found(asked_count - 1, true);
    cache.source.drain(&cache.source);
    ck_assert_ptr_nonnull(loading);
    hot_drop(&loading);
    loading = first;
    loop_finish_tasks(&loop);
    ck_assert_uint_eq(hot.waiting_count, 0);
    ck_assert_uint_eq(waiters[0].told, 2);
    ck_assert_uint_eq(waiters[0].position, loading->first_bytes);
    end_exchange();
    answer_all_of_it();
    ck_assert_ptr_nonnull(find("/other"));
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, only_what_is_asked_for_often_is_worth_keeping);
    tcase_add_test(tcase, questions_of_long_ago_do_not_count);
    tcase_add_test(tcase, long_keys_are_never_kept);
    tcase_add_test(tcase, uniform_load_does_not_thrash);
    tcase_add_test(tcase, what_becomes_hot_finds_a_place);
    tcase_add_test(tcase, only_the_colder_give_way);
    tcase_add_test(tcase, what_nobody_asks_for_gives_way);
    tcase_add_test(tcase, kept_object_is_found);
    tcase_add_test(tcase, stale_object_is_given_up);
    tcase_add_test(tcase, object_is_given_up_when_its_freshness_ends);
    tcase_add_test(tcase, object_is_given_up_when_nobody_asks);
    tcase_add_test(tcase, response_under_way_keeps_what_was_given_up);
    tcase_add_test(tcase, reference_of_an_output_is_one_like_others);
    tcase_add_test(tcase, nothing_is_kept_of_a_cache_that_is_gone);
    tcase_add_test(tcase, share_is_half_of_the_pool);
    tcase_add_test(tcase, what_is_in_use_counts);
    tcase_add_test(tcase, requests_take_segments_back);
    tcase_add_test(tcase, requests_take_nothing_that_is_in_use);
    tcase_add_test(tcase, scarcity_alone_keeps_nothing_out);
    tcase_add_loop_test(tcase, body_stands_in_one_row_where_that_costs_little, 0, 7);
    tcase_add_loop_test(tcase, larger_object_is_loaded, 0, 2);
    tcase_add_loop_test(tcase, loading_may_fail, 0, FAILURES);
    tcase_add_test(tcase, loading_ends_with_the_set);
    tcase_add_test(tcase, one_object_is_loaded_at_a_time);
    tcase_add_loop_test(tcase, what_is_larger_than_the_share_is_not_loaded, 0, 2);
    tcase_add_test(tcase, loading_may_take_its_time_while_it_gets_on);
    tcase_add_loop_test(tcase, what_is_not_good_any_more_is_loaded_for_its_holders_alone, 0, 4);
    tcase_add_test(tcase, loading_waits_for_segments);
    tcase_add_test(tcase, loading_is_first_in_the_line);
    tcase_add_loop_test(tcase, many_are_served_as_it_comes, 0, 10);
    tcase_add_test(tcase, nobody_is_told_of_another_piece);
    tcase_add_loop_test(tcase, who_waits_may_leave, 0, 3);
    tcase_add_loop_test(tcase, those_who_wait_are_told_that_loading_failed, 0, FAILURES);
    tcase_add_test(tcase, those_who_wait_for_what_was_given_up_wait_for_nothing_else);
}

int main(void)
{
    return run_suite("hot", add_cases);
}
