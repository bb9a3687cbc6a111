/* Keys and metadata at their limits, and one byte over: through the client library and by hand. */
#include "crash_support.h"

#include <errno.h>
#include <string.h>

#define SEGMENT (128u * 1024)

static const struct pool_shape wide = {.segments = 4, .segment_bytes = SEGMENT, .ring_entries = 16};

static struct story story;
static struct peer peer;
static struct liar liar;

static void begin(void)
{
    story_begin(&story, "limits");
    story_start_cache(&story, NULL);
    peer_create_with(&peer, &story, "news", 4, SEGMENT);
    liar_register_with(&liar, &story, "news", &wide);
}

static void end(uint64_t bad)
{
    peer_is_served(&peer);
    liar_end(&liar, true);
    story_is_settled(&story, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_bad_requests], bad);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], 0);
    story_adds_up(&story);
    peer_destroy(&peer);
    story_end(&story);
}

/* A key of `length` bytes that nobody else uses. */
static void write_key(uint8_t *out, uint32_t length, char last)
{
    memset(out, 'k', length);
    out[length - 1] = (uint8_t)last;
}

/* By hand: LOOKUP for a lease, FILL_BEGIN with key, metadata and ten bytes, LOOKUP. */

static struct wire_completion look_up(uint32_t key_length, uint8_t flags, enum wire_status status)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);

    request.segment = 0;
    request.flags = flags;
    request.key_length = (uint16_t)key_length;
    ck_assert(segment_win_write(&liar.endpoint.pool, 0));
    write_key(segment_payload(&liar.endpoint.pool, 0), key_length, 'a');
    segment_post_read(&liar.endpoint.pool, 0);
    return liar_expect(&liar, &request, status);
}

static void fill(uint64_t lease, uint32_t key_length, uint32_t meta_length, enum wire_status status)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);
    uint8_t *payload = segment_payload(&liar.endpoint.pool, 1);

    request.segment = 1;
    request.handle = lease;
    request.key_length = (uint16_t)key_length;
    request.meta_length = (uint16_t)meta_length;
    request.length = 10;
    request.value = 10;
    request.fresh_until = request.keep_until = soon_ms(600000);
    ck_assert(segment_win_write(&liar.endpoint.pool, 1));
    write_key(payload, key_length, 'a');
    fill_pattern(payload + key_length, 8, 0, meta_length);
    fill_pattern(payload + key_length + meta_length, 9, 0, 10);
    segment_post_read(&liar.endpoint.pool, 1);
    liar_expect(&liar, &request, status);
    liar_take_back(&liar, 1);
}

static const struct {
    uint32_t key_length, meta_length;
} fitting[] = {
    {1, 0}, {WIRE_MAX_KEY - 1, 1}, {WIRE_MAX_KEY, 0}, {1, WIRE_MAX_META}, {WIRE_MAX_KEY, WIRE_MAX_META},
};

START_TEST(at_the_limit_by_hand)
{
    uint32_t key_length = fitting[_i].key_length, meta_length = fitting[_i].meta_length;

    begin();
    struct wire_completion completion = look_up(key_length, WIRE_LOOKUP_LEASE, WIRE_STATUS_MISS);
    liar_take_back(&liar, 0);
    fill(completion.lease, key_length, meta_length, WIRE_STATUS_OK);
    completion = look_up(key_length, 0, WIRE_STATUS_HIT);
    ck_assert_uint_eq(completion.meta_length, meta_length);
    ck_assert_uint_eq(completion.length, 10);
    ck_assert(is_pattern(segment_payload(&liar.endpoint.pool, 0), 8, 0, meta_length));
    ck_assert(is_pattern(segment_payload(&liar.endpoint.pool, 0) + meta_length, 9, 0, 10));
    liar_take_back(&liar, 0);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_objects), 1);
    end(0);
}
END_TEST

static const uint32_t too_long[] = {WIRE_MAX_KEY + 1, WIRE_MAX_KEY + 2, UINT16_MAX};
static const enum wire_op with_key[] = {WIRE_OP_LOOKUP, WIRE_OP_REMOVE, WIRE_OP_FILL_BEGIN};

/* The segment is large enough and handed over: only the key is too long. */
START_TEST(key_over_the_limit_by_hand)
{
    begin();
    for (int op = 0; op < ROWS(with_key); op++) {
        struct wire_completion lease = look_up(WIRE_MAX_KEY, WIRE_LOOKUP_LEASE, WIRE_STATUS_MISS);
        liar_take_back(&liar, 0);
        struct wire_request request = liar_request(&liar, with_key[op]);
        request.segment = 2;
        request.handle = with_key[op] == WIRE_OP_FILL_BEGIN ? lease.lease : 0;
        request.key_length = (uint16_t)too_long[_i];
        liar_hand_over(&liar, 2, "k");
        liar_expect(&liar, &request, WIRE_STATUS_BAD);
        liar_take_back(&liar, 2);
        if (with_key[op] == WIRE_OP_FILL_BEGIN) /* which ends the lease */
            continue;
        request = liar_request(&liar, WIRE_OP_FILL_ABORT);
        request.handle = lease.lease;
        liar_put(&liar, &request);
    }
    end(ROWS(with_key));
}
END_TEST

/* UPDATE: as much metadata as the field can say, and more than there is segment. */
START_TEST(metadata_renewed_at_the_limit)
{
    begin();
    struct wire_completion completion = look_up(5, WIRE_LOOKUP_LEASE, WIRE_STATUS_MISS);
    liar_take_back(&liar, 0);
    fill(completion.lease, 5, 3, WIRE_STATUS_OK);
    uint64_t handle = look_up(5, WIRE_LOOKUP_REVALIDATE, WIRE_STATUS_STALE).handle;
    liar_take_back(&liar, 0);
    struct wire_request request = liar_request(&liar, WIRE_OP_UPDATE);
    request.segment = 3;
    request.handle = handle;
    request.meta_length = WIRE_MAX_META;
    request.fresh_until = request.keep_until = soon_ms(600000);
    ck_assert(segment_win_write(&liar.endpoint.pool, 3));
    fill_pattern(segment_payload(&liar.endpoint.pool, 3), 4, 0, WIRE_MAX_META);
    segment_post_read(&liar.endpoint.pool, 3);
    liar_expect(&liar, &request, WIRE_STATUS_OK);
    completion = look_up(5, 0, WIRE_STATUS_HIT);
    ck_assert_uint_eq(completion.meta_length, WIRE_MAX_META);
    ck_assert(is_pattern(segment_payload(&liar.endpoint.pool, 0), 4, 0, WIRE_MAX_META));
    liar_take_back(&liar, 0);
    liar_release(&liar, handle);
    ck_assert_uint_eq(story_counter(&story, COUNTER_updates), 1);
    end(0);
}
END_TEST

/* ---- through the library ------------------------------------------------------------------------------ */

static enum larder_status store(uint32_t key_length, uint32_t meta_length)
{
    struct larder_segment *segment = peer_borrow(&peer);
    struct larder_fill what = {
        .key_length = key_length,
        .meta_length = meta_length,
        .body_length = 10,
        .object_size = 10,
        .fresh_until = soon_ms(600000),
        .keep_until = soon_ms(600000),
    };

    write_key(segment->data, key_length, 'a');
    ck_assert_int_eq(larder_lookup(peer.client, &segment, key_length, LARDER_LOOKUP_LEASE, NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_LOOKUP);
    ck_assert_int_eq(event.status, LARDER_MISS);
    what.lease = event.lease;
    segment = event.segment;
    write_key(segment->data, key_length, 'a');
    fill_pattern(segment->data + key_length, 8, 0, meta_length);
    fill_pattern(segment->data + key_length + meta_length, 9, 0, 10);
    if (larder_fill_begin(peer.client, &what, &segment, NULL)) {
        larder_segment_return(peer.client, &segment);
        larder_fill_abort(peer.client, what.lease);
        larder_client_flush(peer.client);
        return LARDER_BAD;
    }
    event = peer_expect(&peer, LARDER_EVENT_FILL_BEGIN);
    larder_segment_return(peer.client, &event.segment);
    return event.status;
}

START_TEST(at_the_limit_through_the_library)
{
    begin();
    ck_assert_int_eq(store(fitting[_i].key_length, fitting[_i].meta_length), LARDER_OK);
    struct larder_segment *segment = peer_borrow(&peer);
    write_key(segment->data, fitting[_i].key_length, 'a');
    ck_assert_int_eq(larder_lookup(peer.client, &segment, fitting[_i].key_length, 0, NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_LOOKUP);
    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_eq(event.meta_length, fitting[_i].meta_length);
    ck_assert_uint_eq(event.length, 10);
    ck_assert(is_pattern(event.segment->data, 8, 0, event.meta_length));
    ck_assert(is_pattern(event.segment->data + event.meta_length, 9, 0, 10));
    larder_segment_return(peer.client, &event.segment);
    end(0);
}
END_TEST

/* The library says so itself: the cache is not even asked. */
START_TEST(over_the_limit_through_the_library)
{
    begin();
    struct larder_segment *segment = peer_borrow(&peer);
    uint64_t asked = story_counter(&story, COUNTER_requests);
    ck_assert_int_eq(larder_lookup(peer.client, &segment, LARDER_MAX_KEY + 1, 0, NULL), -EINVAL);
    ck_assert_int_eq(larder_remove(peer.client, &segment, LARDER_MAX_KEY + 1, NULL), -EINVAL);
    ck_assert_int_eq(larder_lookup(peer.client, &segment, 0, 0, NULL), -EINVAL);
    ck_assert_ptr_nonnull(segment);
    larder_segment_return(peer.client, &segment);
    ck_assert_int_eq(store(5, LARDER_MAX_META + 1), LARDER_BAD);
    ck_assert_uint_eq(story_counter(&story, COUNTER_requests), asked + 2); /* LOOKUP, FILL_ABORT */
    ck_assert_int_eq(store(5, LARDER_MAX_META), LARDER_OK);
    uint64_t handle = 0;
    segment = peer_borrow(&peer);
    write_key(segment->data, 5, 'a');
    ck_assert_int_eq(larder_lookup(peer.client, &segment, 5, LARDER_LOOKUP_REVALIDATE, NULL), 0);
    struct larder_event event = peer_expect(&peer, LARDER_EVENT_LOOKUP);
    handle = event.handle;
    segment = event.segment;
    ck_assert_int_eq(larder_update(peer.client, handle, 0, &segment, LARDER_MAX_META + 1, 0, 0, NULL),
                     -EINVAL);
    larder_segment_return(peer.client, &segment);
    larder_release(peer.client, handle);
    larder_client_flush(peer.client);
    end(0);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, at_the_limit_by_hand, 0, ROWS(fitting));
    tcase_add_loop_test(tcase, key_over_the_limit_by_hand, 0, ROWS(too_long));
    tcase_add_test(tcase, metadata_renewed_at_the_limit);
    tcase_add_loop_test(tcase, at_the_limit_through_the_library, 0, ROWS(fitting));
    tcase_add_test(tcase, over_the_limit_through_the_library);
}

int main(void)
{
    return crash_main("crash_limits", add_cases);
}
