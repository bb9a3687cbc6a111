/* The client library against a real cache: every operation, every bound, and exact counters. Nobody lies and
 * nobody dies here; this is what the other crash tests must not break. */
#include "crash_support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define SEGMENT PEER_SEGMENT_BYTES
#define LARGE   (5u * SEGMENT + 7)

static struct story story;
static struct peer peer;

static void begin_with(const char *const arguments[])
{
    story_begin(&story, "client");
    story_start_cache(&story, arguments);
    peer_create(&peer, &story, "news");
}

static void begin(void)
{
    begin_with(NULL);
}

/* `bad`, `fenced`: how many requests were refused as such. */
static void end_after(uint64_t bad, uint64_t fenced)
{
    larder_client_flush(peer.client);
    story_await_gauge(&story, GAUGE_pins, 0);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_bad_requests], bad);
    ck_assert_uint_eq(row.values[COUNTER_fenced], fenced);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 0);
    peer_destroy(&peer);
    story_end(&story);
}

static void end(void)
{
    end_after(0, 0);
}

static void give_back(struct larder_event *event)
{
    if (event->segment)
        larder_segment_return(peer.client, &event->segment);
}

static enum larder_status removed(const char *key)
{
    struct larder_segment *segment = peer_key(&peer, key);

    ck_assert_int_eq(larder_remove(peer.client, &segment, (uint32_t)strlen(key), NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_REMOVE);
    give_back(&event);
    return event.status;
}

/* Stores "body" with times of its own. */
static void store_until(const char *key, int64_t fresh_until, int64_t keep_until)
{
    struct larder_segment *segment = peer_key(&peer, key);
    struct larder_fill fill = {
        .lease = peer_lease(&peer, key),
        .key_length = (uint32_t)strlen(key),
        .body_length = 4,
        .object_size = 4,
        .fresh_until = fresh_until,
        .keep_until = keep_until,
    };

    memcpy(segment->data + strlen(key), "body", 4);
    ck_assert_int_eq(larder_fill_begin(peer.client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_OK);
    give_back(&event);
}

/* ---- sizes and counters ------------------------------------------------------------------------------- */

static const uint64_t sizes[] = {
    0,     1,     SEGMENT - 5, SEGMENT - 4,   SEGMENT - 3, SEGMENT - 1, SEGMENT,       SEGMENT + 1,
    65535, 65536, 65537,       3 * 65536 + 1, 8 * SEGMENT, 1 << 20,     (1 << 20) + 1, 2 * SEGMENT - 4,
};

START_TEST(every_size_comes_back)
{
    uint64_t size = sizes[_i];
    struct peer other;

    begin();
    peer_create_with(&other, &story, "news", 4, 4096); /* another shape of pool, the same object */
    peer_store(&peer, "key", size, size);
    peer_check(&peer, "key", size, size);
    struct larder_event event = peer_lookup(&other, "key", 0);
    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_eq(event.object_size, size);
    ck_assert_uint_eq(event.length, size < 4092 ? size : 4092);
    ck_assert(is_pattern(event.segment->data + 4, size, 0, event.length));
    ck_assert_int_eq(event.handle != 0, size > 4092);
    larder_segment_return(other.client, &event.segment);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_misses], 1);
    ck_assert_uint_eq(row.values[COUNTER_hits], 2);
    ck_assert_uint_eq(row.values[COUNTER_fills], 1);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], 0);
    ck_assert_uint_eq(row.values[COUNTER_bytes_filled], size);
    ck_assert_uint_eq(row.values[COUNTER_bytes_served], size + event.length);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_objects), 1);
    ck_assert_uint_ge(gauge_of(&row, GAUGE_bytes_used), size);
    peer_destroy(&other);
    story_await_gauge(&story, GAUGE_pins, 0);
    end();
}
END_TEST

/* Whole object, key and metadata in one FILL_BEGIN: no FILL_END. */
START_TEST(small_object_is_stored_at_once)
{
    begin();
    store_until("key", soon_ms(60000), soon_ms(60000));
    struct larder_event event = peer_lookup(&peer, "key", 0);
    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_eq(event.meta_length, 0);
    ck_assert_uint_eq(event.length, 4);
    ck_assert_mem_eq(event.segment->data, "body", 4);
    ck_assert_uint_eq(event.handle, 0);
    give_back(&event);
    ck_assert_uint_eq(story_counter(&story, COUNTER_requests), 3); /* lease, fill, lookup */
    end();
}
END_TEST

START_TEST(longest_key_and_full_segment)
{
    static char key[LARDER_MAX_KEY + 1];
    struct peer wide;

    begin();
    memset(key, 'k', LARDER_MAX_KEY);
    peer_create_with(&wide, &story, "news", 4, 64 * 1024);
    struct larder_segment *segment = peer_key(&wide, key);
    ck_assert_int_eq(larder_lookup(wide.client, &segment, LARDER_MAX_KEY + 1, 0, NULL), -EINVAL);
    ck_assert_int_eq(larder_lookup(wide.client, &segment, 0, 0, NULL), -EINVAL);
    ck_assert_ptr_nonnull(segment);
    larder_segment_return(wide.client, &segment);
    uint64_t lease = peer_lease(&wide, key);
    segment = peer_key(&wide, key);
    struct larder_fill fill = {
        .lease = lease,
        .key_length = LARDER_MAX_KEY,
        .meta_length = 100,
        .body_length = 64 * 1024 - LARDER_MAX_KEY - 100,
        .object_size = 64 * 1024 - LARDER_MAX_KEY - 100,
        .fresh_until = soon_ms(60000),
        .keep_until = soon_ms(60000),
    };
    fill_pattern(segment->data + LARDER_MAX_KEY + 100, 1, 0, fill.body_length);
    fill.body_length++;
    ck_assert_int_eq(larder_fill_begin(wide.client, &fill, &segment, NULL), -EINVAL); /* one byte too many */
    fill.body_length--;
    ck_assert_int_eq(larder_fill_begin(wide.client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(&wide, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(wide.client, &event.segment);
    event = peer_lookup(&wide, key, 0);
    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_eq(event.length, fill.body_length);
    ck_assert(is_pattern(event.segment->data + 100, 1, 0, event.length));
    larder_segment_return(wide.client, &event.segment);
    peer_destroy(&wide);
    end();
}
END_TEST

/* Metadata of a proxy with large segments, looked up by one with small ones: an honest request, which must
 * not be called malformed. */
START_TEST(metadata_larger_than_the_readers_segment)
{
    static const uint32_t meta_length = 5000;
    struct peer narrow;

    begin();
    peer_create_with(&narrow, &story, "news", 4, 4096);
    struct larder_segment *segment = peer_key(&peer, "key");
    struct larder_fill fill = {
        .lease = peer_lease(&peer, "key"),
        .key_length = 3,
        .meta_length = meta_length,
        .fresh_until = soon_ms(60000),
        .keep_until = soon_ms(60000),
    };
    ck_assert_int_eq(larder_fill_begin(peer.client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_OK);
    give_back(&event);
    event = peer_lookup(&narrow, "key", LARDER_LOOKUP_LEASE);
    ck_assert_int_ne(event.status, LARDER_BAD);
    larder_segment_return(narrow.client, &event.segment);
    peer_destroy(&narrow);
    end();
}
END_TEST

/* ---- lookups ------------------------------------------------------------------------------------------ */

START_TEST(metadata_only)
{
    begin();
    peer_store(&peer, "large", 1, LARGE);
    struct larder_event event = peer_lookup(&peer, "large", LARDER_LOOKUP_NO_BODY);
    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_eq(event.meta_length, 4);
    ck_assert_uint_eq(event.length, 0);
    ck_assert_uint_eq(event.object_size, LARGE);
    ck_assert_uint_eq(event.handle, 0);
    give_back(&event);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bytes_served), 0);
    end();
}
END_TEST

START_TEST(stale_object_is_validated_and_updated)
{
    begin();
    store_until("key", soon_ms(-1000), soon_ms(600000));
    struct larder_event event = peer_lookup(&peer, "key", LARDER_LOOKUP_LEASE);
    ck_assert_int_eq(event.status, LARDER_STALE);
    ck_assert_uint_ne(event.handle, 0);
    ck_assert_uint_ne(event.lease, 0);
    ck_assert_mem_eq(event.segment->data, "body", 4);
    give_back(&event);
    struct larder_event second = peer_lookup(&peer, "key", LARDER_LOOKUP_LEASE | LARDER_LOOKUP_NO_BODY);
    ck_assert_int_eq(second.status, LARDER_STALE);
    ck_assert_uint_ne(second.handle, 0);
    ck_assert_uint_eq(second.lease, 0); /* somebody is validating it already */
    give_back(&second);
    larder_release(peer.client, second.handle);

    int64_t fresh_until = soon_ms(60000);
    struct larder_segment *segment = peer_key(&peer, "renewed");
    ck_assert_int_eq(larder_update(peer.client, event.handle, event.lease, &segment, 7, fresh_until,
                                   fresh_until + 1000, NULL),
                     0);
    struct larder_event updated = peer_expect(&peer, LARDER_EVENT_UPDATE);
    ck_assert_int_eq(updated.status, LARDER_OK);
    give_back(&updated);
    larder_release(peer.client, event.handle);
    event = peer_lookup(&peer, "key", 0);
    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_int_eq(event.fresh_until, fresh_until);
    ck_assert_uint_eq(event.meta_length, 7);
    ck_assert_mem_eq(event.segment->data, "renewedbody", 11);
    give_back(&event);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_updates], 1);
    ck_assert_uint_eq(row.values[COUNTER_stale], 2);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 0);
    end();
}
END_TEST

START_TEST(fresh_object_on_request_treated_as_stale)
{
    begin();
    store_until("key", soon_ms(60000), soon_ms(60000));
    struct larder_event event = peer_lookup(&peer, "key", LARDER_LOOKUP_REVALIDATE);
    ck_assert_int_eq(event.status, LARDER_STALE);
    ck_assert_uint_ne(event.handle, 0);
    ck_assert_uint_eq(event.lease, 0);
    give_back(&event);
    /* Removed meanwhile: there is nothing to update, which is nobody's fault. */
    ck_assert_int_eq(removed("key"), LARDER_OK);
    ck_assert_int_eq(removed("key"), LARDER_MISS);
    struct larder_segment *segment = peer_borrow(&peer);
    ck_assert_int_eq(larder_update(peer.client, event.handle, 0, &segment, 0, 0, 0, NULL), 0);
    struct larder_event updated = peer_expect(&peer, LARDER_EVENT_UPDATE);
    ck_assert_int_eq(updated.status, LARDER_MISS);
    give_back(&updated);
    larder_release(peer.client, event.handle);
    end();
}
END_TEST

START_TEST(object_past_its_time_is_gone)
{
    begin();
    store_until("key", soon_ms(-2000), soon_ms(-1000));
    store_until("ancient", INT64_MIN, INT64_MIN);
    store_until("eternal", INT64_MAX, INT64_MAX);
    peer_check_miss(&peer, "key");
    peer_check_miss(&peer, "ancient");
    struct larder_event event = peer_lookup(&peer, "eternal", 0);
    ck_assert_int_eq(event.status, LARDER_HIT);
    give_back(&event);
    story_await_gauge(&story, GAUGE_objects, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_expired), 2);
    end();
}
END_TEST

START_TEST(tenants_are_apart)
{
    struct peer shop;

    begin();
    peer_create(&shop, &story, "shop");
    peer_store(&peer, "key", 1, LARGE);
    peer_check_miss(&shop, "key");
    peer_store(&shop, "key", 2, 100);
    peer_check(&peer, "key", 1, LARGE);
    peer_check(&shop, "key", 2, 100);
    ck_assert_int_eq(removed("key"), LARDER_OK);
    peer_check(&shop, "key", 2, 100);
    peer_destroy(&shop);
    end();
}
END_TEST

/* ---- leases and fills --------------------------------------------------------------------------------- */

START_TEST(one_lease_a_key)
{
    struct peer other;

    begin();
    peer_create(&other, &story, "news");
    uint64_t lease = peer_lease(&peer, "key");
    struct larder_event event = peer_lookup(&other, "key", LARDER_LOOKUP_LEASE);
    ck_assert_int_eq(event.status, LARDER_MISS);
    ck_assert_uint_eq(event.lease, 0);
    larder_segment_return(other.client, &event.segment);
    larder_fill_abort(peer.client, lease);
    larder_client_flush(peer.client);
    story_await_gauge(&story, GAUGE_leases, 0);
    lease = peer_lease(&other, "key");
    ck_assert_int_eq(peer_begin_fill(&other, lease, "key", 0), LARDER_OK);
    peer_check(&peer, "key", 0, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fill_aborts), 0); /* it had not begun */
    peer_destroy(&other);
    end();
}
END_TEST

/* What was fetched before a removal must not come back after it. */
START_TEST(key_removed_during_its_fill_is_not_stored)
{
    begin();
    uint64_t lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 100), LARDER_OK);
    ck_assert_int_eq(removed("key"), LARDER_MISS);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 0, 100), LARDER_OK);
    peer_end_fill(&peer, lease, 100);
    peer_check_miss(&peer, "key");
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_objects), 0);
    ck_assert_uint_eq(row.values[COUNTER_fills], 0); /* "objects stored" */
    end();
}
END_TEST

START_TEST(too_large_is_refused_and_the_lease_gone)
{
    static const char *const arguments[] = {"--max-object", "100000", NULL};

    begin_with(arguments);
    uint64_t lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 100001), LARDER_TOO_LARGE);
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", LARDER_SIZE_UNKNOWN), LARDER_OK);
    for (uint64_t offset = 0; offset + SEGMENT <= 100000; offset += SEGMENT)
        ck_assert_int_eq(peer_fill_data(&peer, lease, 1, offset, SEGMENT), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 6 * SEGMENT, SEGMENT), LARDER_TOO_LARGE);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 7 * SEGMENT, SEGMENT), LARDER_FENCED);
    ck_assert_int_eq(peer_end_fill(&peer, lease, 6 * SEGMENT), LARDER_FENCED);
    peer_store(&peer, "key", 2, 100000);
    peer_check(&peer, "key", 2, 100000);
    ck_assert_uint_eq(story_counter(&story, COUNTER_too_large), 2);
    end_after(0, 2);
}
END_TEST

START_TEST(fill_out_of_step_is_over)
{
    begin();
    uint64_t lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 0, 10), LARDER_BAD); /* not begun */
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "other key", 10), LARDER_BAD);
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 10), LARDER_OK);
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 10), LARDER_BAD); /* begun twice */
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 100), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 1, 10), LARDER_BAD); /* a gap */
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 100), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 0, 101), LARDER_BAD); /* more than announced */
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 100), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 0, 99), LARDER_OK);
    ck_assert_int_eq(peer_end_fill(&peer, lease, 100), LARDER_BAD); /* a lie about what has arrived */
    lease = peer_lease(&peer, "key");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "key", 100), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&peer, lease, 1, 0, 99), LARDER_OK);
    ck_assert_int_eq(peer_end_fill(&peer, lease, 99), LARDER_BAD); /* fewer than announced */
    peer_check_miss(&peer, "key");
    peer_store(&peer, "key", 2, LARGE);
    peer_check(&peer, "key", 2, LARGE);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fill_aborts), 5);
    end_after(7, 0);
}
END_TEST

START_TEST(wrong_handles_are_told_apart)
{
    begin();
    peer_store(&peer, "large", 1, LARGE);
    uint64_t handle = peer_pin(&peer, "large");
    larder_release(peer.client, handle);
    struct larder_segment *segment = peer_borrow(&peer);
    /* Released: of this registration, but no longer pinned. */
    ck_assert_int_eq(larder_read(peer.client, handle, 0, &segment, 10, NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_READ);
    ck_assert_int_eq(event.status, LARDER_FENCED);
    ck_assert_uint_eq(event.length, 0);
    segment = event.segment;
    /* Zero is none; and a handle from nowhere is no handle of this registration. */
    ck_assert_int_eq(larder_read(peer.client, 0, 0, &segment, 10, NULL), -ESTALE);
    ck_assert_int_eq(larder_read(peer.client, 5, 0, &segment, 10, NULL), -ESTALE);
    /* Behind the end. */
    handle = peer_pin(&peer, "large");
    ck_assert_int_eq(larder_read(peer.client, handle, LARGE, &segment, 10, NULL), 0);
    event = peer_expect(&peer, LARDER_EVENT_READ);
    ck_assert_int_eq(event.status, LARDER_OK);
    ck_assert_uint_eq(event.length, 0);
    segment = event.segment;
    ck_assert_int_eq(larder_read(peer.client, handle, LARGE + 1, &segment, 10, NULL), 0);
    event = peer_expect(&peer, LARDER_EVENT_READ);
    ck_assert_int_eq(event.status, LARDER_BAD);
    segment = event.segment;
    ck_assert_int_eq(larder_read(peer.client, handle, LARGE - 3, &segment, UINT32_MAX, NULL), 0);
    event = peer_expect(&peer, LARDER_EVENT_READ);
    ck_assert_int_eq(event.status, LARDER_OK);
    ck_assert_uint_eq(event.length, 3);
    ck_assert(is_pattern(event.segment->data, 1, LARGE - 3, 3));
    give_back(&event);
    larder_release(peer.client, handle);
    end_after(1, 1);
}
END_TEST

/* ---- bounds ------------------------------------------------------------------------------------------- */

START_TEST(segments_run_out_and_come_back)
{
    struct larder_segment *segments[PEER_SEGMENTS], *more;

    begin();
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < PEER_SEGMENTS; i++) {
            segments[i] = peer_borrow(&peer);
            ck_assert_uint_eq(segments[i]->size, SEGMENT);
            memset(segments[i]->data, (int)i, SEGMENT);
        }
        ck_assert_int_eq(larder_segment_borrow(peer.client, &more), -EAGAIN);
        ck_assert_ptr_null(more);
        for (uint32_t i = 0; i < PEER_SEGMENTS; i++) {
            ck_assert_uint_eq(segments[i]->data[0] + segments[i]->data[SEGMENT - 1], 2 * i);
            larder_segment_return(peer.client, &segments[i]);
            ck_assert_ptr_null(segments[i]);
        }
    }
    peer_is_served(&peer);
    end();
}
END_TEST

static ptrdiff_t place_of(const struct larder_segment *segment)
{
    off_t offset;

    ck_assert_int_ge(larder_segment_file(segment, &offset), 0);
    return (ptrdiff_t)(offset / SEGMENT);
}

static void return_all(struct larder_segment *segments[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        larder_segment_return(peer.client, &segments[i]);
}

/* In the pool's file, whatever the order in which they came back. */
START_TEST(segments_of_a_row_stand_side_by_side)
{
    struct larder_segment *all[PEER_SEGMENTS], *row[PEER_SEGMENTS];
    uint32_t place = 0;
    ptrdiff_t last;

    begin();
    for (uint32_t i = 0; i < PEER_SEGMENTS; i++)
        all[i] = peer_borrow(&peer);
    last = place_of(all[PEER_SEGMENTS - 1]);
    for (uint32_t i = 0; i < PEER_SEGMENTS; i++)
        larder_segment_return(peer.client, &all[i * 7 % PEER_SEGMENTS]);
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_int_eq(larder_segment_borrow_next(peer.client, &row[i], &place, 8 - i), 0);
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_int_eq(place_of(row[i]), last - 7 + i);
    return_all(row, 8);
    end();
}
END_TEST

/* Its next place is taken; there is no row so long; there is none at all. */
START_TEST(row_goes_on_where_it_can)
{
    struct larder_segment *all[PEER_SEGMENTS], *row[PEER_SEGMENTS + 1];
    uint32_t place = 0, nowhere = 0;

    begin();
    for (uint32_t i = 0; i < PEER_SEGMENTS; i++)
        all[i] = peer_borrow(&peer);
    for (uint32_t i = 0; i < PEER_SEGMENTS; i++) {
        if (i % 4 != 3)
            larder_segment_return(peer.client, &all[i]);
    }
    for (uint32_t i = 0; i < PEER_SEGMENTS * 3 / 4; i++)
        ck_assert_int_eq(larder_segment_borrow_next(peer.client, &row[i], &place, 3 - i % 3), 0);
    for (uint32_t i = 0; i < PEER_SEGMENTS * 3 / 4; i++)
        ck_assert_int_eq(place_of(row[i]) - place_of(row[i - i % 3]), i % 3);
    ck_assert_int_eq(larder_segment_borrow_next(peer.client, &row[PEER_SEGMENTS], &place, 1), -EAGAIN);
    larder_segment_return(peer.client, &row[0]);
    larder_segment_return(peer.client, &row[5]);
    ck_assert_int_eq(larder_segment_borrow_next(peer.client, &row[0], &nowhere, 5), 0);
    ck_assert_int_eq(larder_segment_borrow_next(peer.client, &row[5], &nowhere, 4), 0);
    ck_assert_int_eq(larder_segment_borrow_next(peer.client, &row[PEER_SEGMENTS], &nowhere, 3), -EAGAIN);
    return_all(row, PEER_SEGMENTS * 3 / 4);
    for (uint32_t i = 3; i < PEER_SEGMENTS; i += 4)
        larder_segment_return(peer.client, &all[i]);
    end();
}
END_TEST

/* All segments under way at once, over and over, with answers of different kinds. */
START_TEST(everything_under_way_at_once)
{
    enum { ROUNDS = 200 };
    static int users[PEER_SEGMENTS];
    bool seen[PEER_SEGMENTS];

    begin();
    peer_store(&peer, "large", 1, LARGE);
    uint64_t handle = peer_pin(&peer, "large");
    for (int round = 0; round < ROUNDS; round++) {
        memset(seen, 0, sizeof(seen));
        for (uint32_t i = 0; i < PEER_SEGMENTS; i++) {
            struct larder_segment *segment = peer_key(&peer, i % 2 ? "absent" : "large");
            uint64_t offset = (uint64_t)(round * 37 + (int)i * 1001) % LARGE;
            ck_assert_int_eq(
                i % 3 ? larder_read(peer.client, handle, offset, &segment, 500, &users[i])
                      : larder_lookup(peer.client, &segment, i % 2 ? 6 : 5, LARDER_LOOKUP_NO_BODY, &users[i]),
                0);
        }
        for (uint32_t left = PEER_SEGMENTS; left > 0; left--) {
            struct larder_event event;
            ck_assert(peer_next(&peer, &event, TEST_DEADLINE_MS));
            uint32_t i = (uint32_t)((int *)event.user - users);
            ck_assert(i < PEER_SEGMENTS && !seen[i]);
            seen[i] = true;
            if (i % 3) {
                ck_assert_int_eq(event.status, LARDER_OK);
                ck_assert(is_pattern(event.segment->data, 1, event.offset, event.length));
            } else {
                ck_assert_int_eq(event.status, i % 2 ? LARDER_MISS : LARDER_HIT);
            }
            give_back(&event);
        }
    }
    larder_release(peer.client, handle);
    end();
}
END_TEST

/* More releases at once than the ring has entries, by a caller that then has nothing else to do: it sleeps as
 * the loop in larder.h says, and is not called again before an event. */
START_TEST(releases_arrive_though_the_caller_sleeps)
{
    enum { PINS = 1000 };
    static uint64_t handles[PINS];
    struct larder_event event;

    begin();
    peer_store(&peer, "large", 1, LARGE);
    for (int i = 0; i < PINS; i++)
        handles[i] = peer_pin(&peer, "large");
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), PINS);
    for (int i = 0; i < PINS; i++)
        larder_release(peer.client, handles[i]);
    for (int64_t deadline = test_now_ms() + 3000; test_now_ms() < deadline;) {
        while (larder_client_next(peer.client, &event))
            ck_abort_msg("event %d", (int)event.kind);
        larder_client_flush(peer.client);
        struct pollfd wait = {.fd = larder_client_fd(peer.client), .events = POLLIN};
        if (larder_client_may_sleep(peer.client) && poll(&wait, 1, 1000) == 0)
            break; /* it would sleep for ever */
        larder_client_wake(peer.client);
    }
    story_await_gauge(&story, GAUGE_pins, 0);
    end();
}
END_TEST

/* Requests without an answer fill the ring. An operation may still be begun: with none under way, there would
 * be no event to wait for. */
START_TEST(releases_do_not_take_the_place_of_operations)
{
    enum { PINS = 64 };
    static uint64_t handles[PINS];
    int status;

    begin();
    peer_store(&peer, "large", 1, LARGE);
    for (int i = 0; i < PINS; i++)
        handles[i] = peer_pin(&peer, "large");
    kill(story.cache.pid, SIGSTOP);
    ck_assert_int_eq(waitpid(story.cache.pid, &status, WUNTRACED), story.cache.pid);
    for (int i = 0; i < PINS; i++)
        larder_release(peer.client, handles[i]);
    larder_client_flush(peer.client);
    struct larder_segment *segment = peer_key(&peer, "large");
    int error = larder_lookup(peer.client, &segment, 5, LARDER_LOOKUP_NO_BODY, NULL);
    kill(story.cache.pid, SIGCONT);
    ck_assert_int_eq(error, 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_LOOKUP);
    ck_assert_int_eq(event.status, LARDER_HIT);
    give_back(&event);
    end();
}
END_TEST

START_TEST(pins_are_bounded)
{
    enum { MOST = 1024 };
    static uint64_t handles[MOST];

    begin();
    peer_store(&peer, "large", 1, LARGE);
    for (int i = 0; i < MOST; i++)
        handles[i] = peer_pin(&peer, "large");
    struct larder_event event = peer_lookup(&peer, "large", LARDER_LOOKUP_LEASE);
    ck_assert_int_eq(event.status, LARDER_BUSY);
    ck_assert_uint_eq(event.handle + event.lease, 0);
    give_back(&event);
    peer_store(&peer, "small", 2, 10); /* what needs no pin goes on */
    peer_check(&peer, "small", 2, 10);
    for (int i = 0; i < MOST; i++) {
        larder_release(peer.client, handles[i]);
        if (i % 16 == 0)
            peer_check(&peer, "small", 2, 10); /* an event, so that releases that wait get their turn */
    }
    peer_check(&peer, "large", 1, LARGE);
    ck_assert_uint_eq(story_counter(&story, COUNTER_busy), 1);
    end();
}
END_TEST

START_TEST(leases_are_bounded)
{
    enum { MOST = 256 };
    static uint64_t leases[MOST];
    char key[32];

    begin();
    for (int i = 0; i < MOST; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        leases[i] = peer_lease(&peer, key);
    }
    struct larder_event event = peer_lookup(&peer, "one too many", LARDER_LOOKUP_LEASE);
    ck_assert_int_eq(event.status, LARDER_MISS);
    ck_assert_uint_eq(event.lease, 0);
    give_back(&event);
    for (int i = 0; i < MOST; i++) {
        larder_fill_abort(peer.client, leases[i]);
        if (i % 16 == 0)
            peer_check_miss(&peer, "nothing");
    }
    uint64_t lease = peer_lease(&peer, "one too many");
    larder_fill_abort(peer.client, lease);
    larder_client_flush(peer.client);
    story_await_gauge(&story, GAUGE_leases, 0);
    end();
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------- */

static const char *const small_memory[] = {"--memory", "4M", "--max-object", "4M", NULL};

START_TEST(cache_evicts_within_its_memory)
{
    char key[32];

    begin_with(small_memory);
    for (uint64_t i = 0; i < 60; i++) {
        snprintf(key, sizeof(key), "key-%llu", (unsigned long long)i);
        peer_store(&peer, key, i, 200000);
        peer_check(&peer, key, i, 200000);
        struct wire_row row = story_numbers(&story);
        ck_assert_uint_le(gauge_of(&row, GAUGE_bytes_used), gauge_of(&row, GAUGE_bytes_allowed));
    }
    ck_assert_uint_ge(story_counter(&story, COUNTER_evictions), 40);
    peer_check_miss(&peer, "key-0");
    end();
}
END_TEST

/* Unfinished fills of `bytes` in all: memory that cannot be evicted. */
static void add_ballast(uint64_t bytes)
{
    char key[32];

    for (int i = 0; bytes > 0; i++) {
        uint64_t size = bytes < 4 * SEGMENT ? bytes : 4 * SEGMENT;
        snprintf(key, sizeof(key), "ballast-%d", i);
        uint64_t lease = peer_lease(&peer, key);
        ck_assert_int_eq(peer_begin_fill(&peer, lease, key, size), LARDER_OK);
        ck_assert_int_eq(peer_fill_data(&peer, lease, 0, 0, 1), LARDER_OK);
        bytes -= size;
    }
}

/* Honest fills that together want more than there is: refused, not fatal. The ballast decides which
 * allocation is the one that does not fit. */
START_TEST(fills_that_take_all_memory_are_refused)
{
    enum { FILLS = 200 };
    static uint64_t leases[FILLS], filled[FILLS];
    char key[32];
    bool refused = false;
    int count = 0;

    begin_with(small_memory);
    add_ballast((uint64_t)_i * SEGMENT);
    while (count < FILLS && !refused) {
        snprintf(key, sizeof(key), "key-%d", count);
        leases[count] = peer_lease(&peer, key);
        filled[count] = 0;
        ck_assert_int_eq(peer_begin_fill(&peer, leases[count], key, LARDER_SIZE_UNKNOWN), LARDER_OK);
        for (int piece = 0; piece < 9 && !refused; piece++) {
            enum larder_status status =
                peer_fill_data(&peer, leases[count], (uint64_t)count, filled[count], SEGMENT);
            refused = status != LARDER_OK;
            if (refused)
                ck_assert_int_eq(status, LARDER_NO_MEMORY);
            else
                filled[count] += SEGMENT;
        }
        count++;
    }
    ck_assert(refused);
    ck_assert(story_answers(&story));
    ck_assert_uint_eq(story_counter(&story, COUNTER_no_memory), 1);
    ck_assert_int_eq(peer_end_fill(&peer, leases[count - 1], filled[count - 1]), LARDER_FENCED);
    /* The others end well, and are right. */
    for (int i = 0; i < count - 1; i++)
        ck_assert_int_eq(peer_end_fill(&peer, leases[i], filled[i]), LARDER_OK);
    snprintf(key, sizeof(key), "key-%d", count - 2);
    peer_check(&peer, key, (uint64_t)count - 2, filled[count - 2]);
    peer_destroy(&peer); /* with the ballast still in its hands */
    story_await_gauge(&story, GAUGE_leases, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_reclaimed), 0);
    story_end(&story);
}
END_TEST

START_TEST(options_are_judged)
{
    static const struct larder_options bad[] = {
        {"a b", NULL, 0, 0},
        {"", NULL, 0, 0},
        {NULL, "a/b", 0, 0},
        {NULL, "", 0, 0},
        {NULL, NULL, 3, 0},
        {NULL, NULL, 16385, 0},
        {NULL, NULL, 0, 4095},
        {NULL, NULL, 0, 4097},
        {NULL, NULL, 0, (16 << 20) + 64},
        {NULL, NULL, 16384, 1 << 20},
    };
    struct larder_client *client = (struct larder_client *)(void *)&story;
    char problem[512] = "";
    int before = test_open_descriptors();

    ck_assert_int_eq(larder_client_create(&client, &bad[_i], problem, sizeof(problem)), -EINVAL);
    ck_assert_ptr_null(client);
    ck_assert_str_ne(problem, "");
    ck_assert_int_eq(test_open_descriptors(), before);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, every_size_comes_back, 0, ROWS(sizes));
    tcase_add_test(tcase, small_object_is_stored_at_once);
    tcase_add_test(tcase, longest_key_and_full_segment);
    tcase_add_test(tcase, metadata_larger_than_the_readers_segment);
    tcase_add_test(tcase, metadata_only);
    tcase_add_test(tcase, stale_object_is_validated_and_updated);
    tcase_add_test(tcase, fresh_object_on_request_treated_as_stale);
    tcase_add_test(tcase, object_past_its_time_is_gone);
    tcase_add_test(tcase, tenants_are_apart);
    tcase_add_test(tcase, one_lease_a_key);
    tcase_add_test(tcase, key_removed_during_its_fill_is_not_stored);
    tcase_add_test(tcase, too_large_is_refused_and_the_lease_gone);
    tcase_add_test(tcase, fill_out_of_step_is_over);
    tcase_add_test(tcase, wrong_handles_are_told_apart);
    tcase_add_test(tcase, segments_run_out_and_come_back);
    tcase_add_test(tcase, segments_of_a_row_stand_side_by_side);
    tcase_add_test(tcase, row_goes_on_where_it_can);
    tcase_add_test(tcase, everything_under_way_at_once);
    tcase_add_test(tcase, releases_arrive_though_the_caller_sleeps);
    tcase_add_test(tcase, releases_do_not_take_the_place_of_operations);
    tcase_add_test(tcase, pins_are_bounded);
    tcase_add_test(tcase, leases_are_bounded);
    tcase_add_test(tcase, cache_evicts_within_its_memory);
    tcase_add_loop_test(tcase, fills_that_take_all_memory_are_refused, 0, 12);
    tcase_add_loop_test(tcase, options_are_judged, 0, 10);
}

int main(void)
{
    return crash_main("crash_client", add_cases);
}
