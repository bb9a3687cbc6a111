/* A cache of several shards behaves as one: what one proxy stores all find, purges reach every shard, numbers
 * add up, and whoever goes, falls silent or lies is gone from all of them. */
#include "client_internal.h"
#include "crash_support.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS  64
#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

static struct story story;
static struct peer one, two;
static struct wire_row rows[64];

static void begin_with(const char *shards)
{
    const char *const arguments[] = {"--shards", shards, "--memory", "64M", NULL};

    story_begin(&story, "shards");
    story_start_cache(&story, arguments);
    peer_create(&one, &story, "news");
    peer_create(&two, &story, "news");
}

static void begin(void)
{
    begin_with("2");
}

static void end(void)
{
    peer_is_served(&one);
    peer_is_served(&two);
    story_is_settled(&story, 2);
    story_adds_up(&story);
    peer_destroy(&one);
    peer_destroy(&two);
    story_end(&story);
}

static const char *name_of(int number)
{
    static char name[32];

    snprintf(name, sizeof(name), "key-%d", number);
    return name;
}

static void store_keys(struct peer *peer)
{
    for (int i = 0; i < KEYS; i++)
        peer_store(peer, name_of(i), (uint64_t)i, i % 8 ? 1000 : LARGE);
}

static void check_keys(struct peer *peer)
{
    for (int i = 0; i < KEYS; i++)
        peer_check(peer, name_of(i), (uint64_t)i, i % 8 ? 1000 : LARGE);
}

static uint64_t of_shard(uint32_t shard, int place)
{
    ck_assert_int_ge(story_shard_rows(&story, shard, rows, 64), 1);
    return rows[0].values[place];
}

/* ---- one cache ----------------------------------------------------------------------------------------- */

static const char *const counts[] = {"1", "2", "3", "16"};

START_TEST(what_one_stores_all_find)
{
    uint32_t shards = (uint32_t)strtoul(counts[_i], NULL, 10);
    uint64_t objects = 0, used = 0, allowed = 0;
    uint32_t idle = 0;

    begin_with(counts[_i]);
    store_keys(&one);
    check_keys(&two);
    check_keys(&one);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_shards), shards);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_objects), KEYS);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 2);
    ck_assert_uint_eq(row.values[COUNTER_registrations], 2);
    ck_assert_uint_eq(row.values[COUNTER_registrations_refused], 0);
    ck_assert_uint_eq(row.values[COUNTER_hits], 2 * KEYS);
    ck_assert_uint_eq(row.values[COUNTER_misses], KEYS);
    for (uint32_t i = 0; i < shards; i++) {
        idle += of_shard(i, COUNTER_COUNT + GAUGE_objects) == 0;
        objects += rows[0].values[COUNTER_COUNT + GAUGE_objects];
        used += rows[0].values[COUNTER_COUNT + GAUGE_bytes_used];
        allowed += rows[0].values[COUNTER_COUNT + GAUGE_bytes_allowed];
        ck_assert_uint_eq(rows[0].values[COUNTER_COUNT + GAUGE_proxies], 2);
    }
    ck_assert_uint_le(idle, shards / 4); /* 64 keys hardly miss one of 16, and none of 3 */
    ck_assert_uint_eq(objects, KEYS);
    ck_assert_uint_eq(used, gauge_of(&row, GAUGE_bytes_used));
    ck_assert_uint_eq(allowed, (uint64_t)64 << 20);
    end();
}
END_TEST

/* Of each registration there is one row, with the sum of what the shards have counted. */
START_TEST(a_proxy_is_one_row)
{
    uint64_t hits[2] = {0};
    int proxies = 0;

    begin();
    store_keys(&one);
    check_keys(&two);
    int count = story_rows(&story, rows, 64);
    for (int i = 0; i < count; i++) {
        if (rows[i].kind != WIRE_ROW_PROXY)
            continue;
        ck_assert_int_lt(proxies, 2);
        hits[proxies++] = rows[i].values[COUNTER_hits];
    }
    ck_assert_int_eq(proxies, 2);
    ck_assert_uint_eq(hits[0] + hits[1], KEYS);
    ck_assert(hits[0] == 0 || hits[1] == 0);
    end();
}
END_TEST

/* ---- purges -------------------------------------------------------------------------------------------- */

static struct larder_event purge(struct peer *peer, const void *bytes, uint32_t length, uint32_t flags)
{
    struct larder_segment *segment = peer_borrow(peer);

    memcpy(segment->data, bytes, length);
    ck_assert_int_eq(larder_purge(peer->client, &segment, length, flags, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_PURGE);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(peer->client, &event.segment);
    return event;
}

static void store_tagged(struct peer *peer, const char *key, const char *tag)
{
    struct larder_segment *segment = peer_key(peer, key);
    struct larder_fill fill = {.lease = peer_lease(peer, key),
                               .key_length = (uint32_t)strlen(key),
                               .tags_length = (uint32_t)strlen(tag) + 1,
                               .body_length = 100,
                               .object_size = 100,
                               .fresh_until = soon_ms(3600000),
                               .keep_until = soon_ms(3600000)};

    memcpy(segment->data + fill.key_length, tag, fill.tags_length);
    ck_assert_int_eq(larder_fill_begin(peer->client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(peer->client, &event.segment);
}

static const struct way {
    const char *bytes;
    uint32_t length, flags;
} ways[] = {
    {"key-", 4, LARDER_PURGE_PREFIX},
    {"", 0, LARDER_PURGE_PREFIX},
    {"red", 4, LARDER_PURGE_TAGS},
};

START_TEST(purge_reaches_every_shard)
{
    begin_with("5");
    for (int i = 0; i < KEYS; i++)
        store_tagged(&one, name_of(i), "red");
    /* Leases in every shard, which the purge of a prefix cancels, and that of tags when they bring the tag.
     */
    uint64_t lease = peer_lease(&one, "key-under way");
    struct larder_event event = purge(&two, ways[_i].bytes, ways[_i].length, ways[_i].flags);
    ck_assert_uint_eq(event.purged, KEYS);
    ck_assert_uint_eq(event.cancelled, ways[_i].flags == LARDER_PURGE_PREFIX);
    for (int i = 0; i < KEYS; i++)
        peer_check_miss(&one, name_of(i));
    larder_fill_abort(one.client, lease);
    larder_client_flush(one.client);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_purges], 1);
    ck_assert_uint_eq(row.values[COUNTER_purged], KEYS);
    end();
}
END_TEST

/* A key and its parts are one shard's, whichever that is; no other is asked. */
START_TEST(key_goes_with_its_parts)
{
    char part[64];

    begin_with("4");
    for (int i = 0; i < KEYS; i++) {
        peer_store(&one, name_of(i), 1, 100);
        snprintf(part, sizeof(part), "%s\nen", name_of(i));
        peer_store(&one, part, 2, 100);
    }
    for (int i = 0; i < KEYS; i += 2)
        ck_assert_uint_eq(purge(&two, name_of(i), (uint32_t)strlen(name_of(i)), LARDER_PURGE_KEY).purged, 2);
    for (int i = 0; i < KEYS; i++) {
        snprintf(part, sizeof(part), "%s\nen", name_of(i));
        if (i % 2 == 0) {
            peer_check_miss(&one, name_of(i));
            peer_check_miss(&one, part);
        } else {
            peer_check(&one, part, 2, 100);
        }
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_purges), KEYS / 2);
    end();
}
END_TEST

/* A fill that began before is not stored, whichever shard it is in. */
START_TEST(nothing_purged_comes_back)
{
    uint64_t leases[8];

    begin_with("4");
    for (int i = 0; i < 8; i++) {
        leases[i] = peer_lease(&one, name_of(i));
        ck_assert_int_eq(peer_begin_fill(&one, leases[i], name_of(i), LARDER_SIZE_UNKNOWN), LARDER_OK);
        ck_assert_int_eq(peer_fill_data(&one, leases[i], 3, 0, 1000), LARDER_OK);
    }
    ck_assert_uint_eq(purge(&two, "", 0, LARDER_PURGE_PREFIX).cancelled, 8);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(peer_end_fill(&one, leases[i], 1000), LARDER_MISS);
    for (int i = 0; i < 8; i++)
        peer_check_miss(&two, name_of(i));
    end();
}
END_TEST

/* ---- handles ------------------------------------------------------------------------------------------- */

/* Each shard numbers its handles for itself, so many of them are equal but for the shard. */
START_TEST(handles_tell_their_shard)
{
    enum { PINS = 8 };
    uint64_t pins[PINS];

    begin_with("4");
    for (int i = 0; i < PINS; i++)
        peer_store(&one, name_of(i), (uint64_t)i, LARGE);
    for (int i = 0; i < PINS; i++)
        pins[i] = peer_pin(&two, name_of(i));
    for (int i = 0; i < PINS; i++) {
        struct larder_segment *segment = peer_borrow(&two);
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(pins[i], pins[j]);
        ck_assert_int_eq(larder_read(two.client, pins[i], 1000, &segment, 500, NULL), 0);
        struct larder_event event = peer_expect(&two, LARDER_EVENT_READ);
        ck_assert_int_eq(event.status, LARDER_OK);
        ck_assert(is_pattern(event.segment->data, (uint64_t)i, 1000, 500));
        larder_segment_return(two.client, &event.segment);
    }
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), PINS);
    for (int i = 0; i < PINS; i++)
        larder_release(two.client, pins[i]);
    larder_client_flush(two.client);
    story_await_gauge(&story, GAUGE_pins, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), 0);
    end();
}
END_TEST

static uint32_t shard_of_handle(uint64_t handle)
{
    return (uint32_t)handle >> HANDLE_PLACE_BITS & ((1u << HANDLE_SHARD_BITS) - 1);
}

/* What the cache's head of a ring of requests says: that it is full, and then the truth again; or nonsense.
 */
START_TEST(ring_of_one_shard_is_in_no_others_way)
{
    enum { PINS = 16 };
    uint64_t pins[PINS];
    uint64_t of_first = 0;

    begin();
    for (int i = 0; i < PINS; i++) {
        peer_store(&one, name_of(i), (uint64_t)i, LARGE);
        pins[i] = peer_pin(&two, name_of(i));
        of_first += shard_of_handle(pins[i]) == 0;
    }
    ck_assert(of_first > 0 && of_first < PINS);
    struct ring *ring = &two.client->links[0].requests;
    atomic_store(&ring->shared->head, _i == 0 ? ring->own - ring->capacity : ring->own + 1);
    for (uint32_t shard = 0; shard < 2; shard++) {
        for (int i = 0; i < PINS; i++) {
            if (shard_of_handle(pins[i]) == shard)
                larder_release(two.client, pins[i]);
        }
    }
    larder_client_flush(two.client);
    if (_i == 0) {
        story_await_gauge(&story, GAUGE_pins, of_first);
        atomic_store(&ring->shared->head, ring->own);
        larder_client_flush(two.client);
    } else {
        peer_expect(&two, LARDER_EVENT_DETACHED);
        ck_assert_ptr_nonnull(strstr(larder_client_problem(two.client), "request ring"));
        peer_expect(&two, LARDER_EVENT_ATTACHED);
    }
    story_await_gauge(&story, GAUGE_pins, 0);
    end();
}
END_TEST

/* One segment that goes from key to key, and so from shard to shard, is never kept by two of them. */
START_TEST(kept_segment_is_given_up_elsewhere)
{
    struct larder_segment *segment;

    begin();
    for (int i = 0; i < 16; i++)
        peer_store(&one, name_of(i), (uint64_t)i, 1000);
    segment = peer_borrow(&two);
    for (int i = 0; i < 16; i++) {
        uint32_t length = (uint32_t)strlen(name_of(i));
        memcpy(segment->data, name_of(i), length);
        ck_assert_int_eq(larder_lookup(two.client, &segment, length, LARDER_LOOKUP_KEEP, NULL), 0);
        struct larder_event event = peer_expect(&two, LARDER_EVENT_LOOKUP);
        ck_assert(event.status == LARDER_HIT && event.kept);
        segment = event.segment;
        ck_assert(is_pattern(segment->data + event.meta_length, (uint64_t)i, 0, 1000));
        story_await_gauge(&story, GAUGE_kept, 1);
        larder_segment_used(segment);
    }
    ck_assert_uint_eq(of_shard(0, COUNTER_kept_hits) + of_shard(1, COUNTER_kept_hits), 16);
    /* The object goes: the segment shows that, whichever shard it is in. */
    if (larder_segment_is_current(segment)) {
        purge(&one, "", 0, LARDER_PURGE_PREFIX);
        ck_assert(!larder_segment_is_current(segment));
    }
    larder_segment_return(two.client, &segment);
    story_await_gauge(&story, GAUGE_kept, 0);
    end();
}
END_TEST

/* Stores one object after the other until one is of that shard; its key. */
static const char *store_in(uint32_t shard, int from, uint64_t size)
{
    for (int i = from;; i++) {
        uint64_t before = of_shard(shard, COUNTER_COUNT + GAUGE_objects);

        peer_store(&one, name_of(i), 1, size);
        if (of_shard(shard, COUNTER_COUNT + GAUGE_objects) > before)
            return name_of(i);
    }
}

/* The segment goes where the key belongs; nothing is flushed. */
static void ask_to_keep(struct larder_segment *segment, const char *key)
{
    uint32_t length = (uint32_t)strlen(key);

    memcpy(segment->data, key, length);
    ck_assert_int_eq(larder_lookup(two.client, &segment, length, LARDER_LOOKUP_KEEP, NULL), 0);
}

static struct larder_segment *kept(const struct larder_event *event)
{
    ck_assert_int_eq(event->kind, LARDER_EVENT_LOOKUP);
    ck_assert(event->status == LARDER_HIT && event->kept);
    ck_assert(is_pattern(event->segment->data + event->meta_length, 1, 0, 1000));
    return event->segment;
}

/* The answer to what has been announced; nothing more is. */
static struct larder_event await_unflushed(struct peer *peer)
{
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;
    struct larder_event event;

    while (!larder_client_next(peer->client, &event)) {
        ck_assert_int_lt(test_now_ms(), deadline);
        sched_yield();
    }
    return event;
}

/* More names given back than half of a ring has room for: the word to that shard that a segment has moved
 * stands behind them. It is not told when the segment has come back before. */
START_TEST(late_word_of_a_move_ends_nothing)
{
    enum { PINS = 400 };
    static uint64_t pins[PINS];
    char here[32], there[32], large[32];
    struct larder_segment *segment;
    struct larder_event event;

    begin();
    snprintf(here, sizeof(here), "%s", store_in(0, 0, 1000));
    snprintf(there, sizeof(there), "%s", store_in(1, 100, 1000));
    snprintf(large, sizeof(large), "%s", store_in(0, 200, LARGE));
    segment = peer_borrow(&two);
    ask_to_keep(segment, here);
    event = peer_expect(&two, LARDER_EVENT_LOOKUP);
    segment = kept(&event);
    for (int i = 0; i < PINS; i++)
        pins[i] = peer_pin(&two, large);
    for (int i = 0; i < PINS; i++)
        larder_release(two.client, pins[i]);
    ask_to_keep(segment, there);
    larder_client_flush(two.client);
    event = await_unflushed(&two);
    segment = kept(&event);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 2); /* the word is still to come */
    ask_to_keep(segment, here);
    event = peer_expect(&two, LARDER_EVENT_LOOKUP);
    segment = kept(&event);
    larder_client_flush(two.client);
    story_await_gauge(&story, GAUGE_pins, 0); /* all has been told */
    peer_check(&two, here, 1, 1000);
    ck_assert(larder_segment_is_current(segment));
    ck_assert_uint_eq(purge(&one, here, (uint32_t)strlen(here), LARDER_PURGE_KEY).purged, 1);
    ck_assert(!larder_segment_is_current(segment));
    larder_segment_return(two.client, &segment);
    story_await_gauge(&story, GAUGE_kept, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), 0);
    end();
}
END_TEST

/* ---- coming and going ---------------------------------------------------------------------------------- */

static void hold_things(void *context)
{
    const struct test_gate *gate = context;
    struct peer peer;

    peer_create(&peer, &story, "news");
    for (int i = 0; i < KEYS; i += 8)
        peer_pin(&peer, name_of(i));
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof(name), "half-%d", i);
        uint64_t lease = peer_lease(&peer, name);
        peer_begin_fill(&peer, lease, name, LARDER_SIZE_UNKNOWN);
    }
    test_gate_open((struct test_gate *)(uintptr_t)gate);
    for (;;)
        poll(NULL, 0, -1);
}

START_TEST(killed_proxy_leaves_every_shard)
{
    struct test_gate gate;

    begin();
    store_keys(&one);
    test_gate_create(&gate);
    pid_t pid = start_child(hold_things, &gate);
    ck_assert(test_gate_pass(&gate, TEST_DEADLINE_MS));
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins), KEYS / 8);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 8);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 3);
    ck_assert_int_eq(end_child(pid, SIGKILL), 128 + SIGKILL);
    test_gate_destroy(&gate);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins) + gauge_of(&row, GAUGE_leases), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 2);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], 8);
    check_keys(&two);
    end();
}
END_TEST

static void await_attached(struct peer *peer)
{
    struct larder_event event;

    while (!larder_client_attached(peer->client))
        ck_assert_msg(peer_next(peer, &event, TEST_DEADLINE_MS), "%s", larder_client_problem(peer->client));
}

/* The next cache has another number of shards; some of the queues of the one before are in its way. */
static const char *const others[] = {"1", "2", "5", "16"};

START_TEST(next_cache_has_other_shards)
{
    const char *const arguments[] = {"--shards", others[_i], "--memory", "64M", NULL};

    begin_with("3");
    store_keys(&one);
    story_kill_cache(&story);
    story_start_cache(&story, arguments);
    ck_assert_int_eq(peer_expect(&one, LARDER_EVENT_DETACHED).kind, LARDER_EVENT_DETACHED);
    ck_assert_int_eq(peer_expect(&two, LARDER_EVENT_DETACHED).kind, LARDER_EVENT_DETACHED);
    await_attached(&one);
    await_attached(&two);
    store_keys(&two);
    check_keys(&one);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_shards), strtoull(others[_i], NULL, 10));
    end();
}
END_TEST

/* ---- liars --------------------------------------------------------------------------------------------- */

static struct pool_shape shape_with(uint32_t pairs)
{
    return (struct pool_shape){.segments = 4, .segment_bytes = 4096, .ring_entries = 16, .ring_pairs = pairs};
}

/* Who has too few rings, or too many, is told how many there are, and by nobody but the cache. */
static const uint32_t wrong[] = {1, 3, 16};

START_TEST(wrong_number_of_rings_is_refused)
{
    struct pool_shape shape = shape_with(wrong[_i]);
    union wire_message message;
    struct liar liar;

    begin();
    liar_appear_with(&liar, &story, &shape);
    size_t length = liar_hello(&liar, "news", &message);
    liar_send(&liar, &message, length);
    ck_assert(liar_receive(&liar, &message, TEST_DEADLINE_MS));
    ck_assert_uint_eq(message.header.type, WIRE_REFUSED);
    ck_assert_uint_eq(message.wire_refused.reason, WIRE_REFUSAL_SHARDS);
    ck_assert_uint_eq(message.wire_refused.shards, 2);
    ck_assert_uint_eq(message.wire_refused.echo, liar.endpoint.secret);
    liar_end(&liar, false);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 2);
    end();
}
END_TEST

/* Claims more rings than the pool has room for. */
START_TEST(rings_that_are_not_there)
{
    struct pool_shape shape = shape_with(1);
    union wire_message message;
    struct liar liar;

    begin();
    liar_appear_with(&liar, &story, &shape);
    size_t length = liar_hello(&liar, "news", &message);
    message.wire_hello.ring_pairs = 2;
    liar_send(&liar, &message, length);
    liar_expect_refusal(&liar, WIRE_HELLO, WIRE_REFUSAL_POOL);
    liar_end(&liar, false);
    end();
}
END_TEST

/* What one shard has dropped for a lie the others let go of too, though nobody says BYE. */
START_TEST(dropped_by_one_is_dropped_by_all)
{
    struct pool_shape shape = shape_with(2);
    struct liar liar;

    begin();
    liar_register_with(&liar, &story, "news", &shape);
    ck_assert_uint_eq(of_shard(0, COUNTER_COUNT + GAUGE_proxies), 3);
    ck_assert_uint_eq(of_shard(1, COUNTER_COUNT + GAUGE_proxies), 3);
    atomic_store(&liar.endpoint.pool.requests.shared->tail, 1000); /* of the first pair */
    liar_bell(&liar);
    story_await_gauge(&story, GAUGE_proxies, 2);
    ck_assert_uint_eq(of_shard(0, COUNTER_proxies_dropped), 1);
    ck_assert_uint_eq(of_shard(1, COUNTER_proxies_dropped), 0);
    ck_assert_uint_eq(of_shard(1, COUNTER_departures), 1);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], 1);
    ck_assert_uint_eq(row.values[COUNTER_departures] + row.values[COUNTER_proxies_reclaimed], 0);
    ck_assert_uint_eq(row.values[COUNTER_registrations], 3);
    liar_end(&liar, false);
    end();
}
END_TEST

/* Whichever thread touches it first catches the fault; the pool is gone from all of them. */
START_TEST(cut_off_pool_leaves_every_shard)
{
    struct pool_shape shape = shape_with(4);
    struct liar liar;

    begin_with("4");
    liar_register_with(&liar, &story, "news", &shape);
    store_keys(&one);
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, 0), 0);
    story_await_gauge(&story, GAUGE_proxies, 2);
    ck_assert_uint_eq(story_counter(&story, COUNTER_faults_caught), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 1);
    liar_end(&liar, false);
    check_keys(&two);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, what_one_stores_all_find, 0, (int)(sizeof(counts) / sizeof(*counts)));
    tcase_add_test(tcase, a_proxy_is_one_row);
    tcase_add_loop_test(tcase, purge_reaches_every_shard, 0, (int)(sizeof(ways) / sizeof(*ways)));
    tcase_add_test(tcase, key_goes_with_its_parts);
    tcase_add_test(tcase, nothing_purged_comes_back);
    tcase_add_test(tcase, handles_tell_their_shard);
    tcase_add_loop_test(tcase, ring_of_one_shard_is_in_no_others_way, 0, 2);
    tcase_add_test(tcase, kept_segment_is_given_up_elsewhere);
    tcase_add_test(tcase, late_word_of_a_move_ends_nothing);
    tcase_add_test(tcase, killed_proxy_leaves_every_shard);
    tcase_add_loop_test(tcase, next_cache_has_other_shards, 0, (int)(sizeof(others) / sizeof(*others)));
    tcase_add_loop_test(tcase, wrong_number_of_rings_is_refused, 0, (int)(sizeof(wrong) / sizeof(*wrong)));
    tcase_add_test(tcase, rings_that_are_not_there);
    tcase_add_test(tcase, dropped_by_one_is_dropped_by_all);
    tcase_add_loop_test(tcase, cut_off_pool_leaves_every_shard, 0, 4);
}

int main(void)
{
    return crash_main("crash_shards", add_cases);
}
