/* Purging against a real cache: what one proxy purges no other finds, whatever is under way; administrators;
 * and purges that are wrong, absurd or far too many. */
#include "crash_support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct story story;
static struct peer one, two, shop; /* two of one tenant, one of another */
static struct liar liar;           /* of the first tenant */

static void begin(void)
{
    story_begin(&story, "purge");
    story_start_cache(&story, NULL);
    peer_create(&one, &story, "news");
    peer_create(&two, &story, "news");
    peer_create(&shop, &story, "shop");
}

static void end(void)
{
    peer_is_served(&one);
    peer_is_served(&two);
    peer_is_served(&shop);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 0);
    story_is_settled(&story, 3);
    peer_destroy(&one);
    peer_destroy(&two);
    peer_destroy(&shop);
    story_end(&story);
}

static void begin_with_liar(void)
{
    begin();
    liar_register(&liar, &story, "news");
}

static void end_with_liar(void)
{
    liar_end(&liar, true);
    end();
}

/* ---- honest ones --------------------------------------------------------------------------------------- */

/* `tags`: each with a zero byte behind it. The body is the pattern `seed`. */
static enum larder_status store_tagged(struct peer *peer, const char *key, const char *tags,
                                       uint32_t tags_length, uint64_t seed, uint32_t size)
{
    struct larder_segment *segment = peer_key(peer, key);
    struct larder_fill fill = {
        .lease = peer_lease(peer, key),
        .key_length = (uint32_t)strlen(key),
        .tags_length = tags_length,
        .meta_length = 4,
        .body_length = size,
        .object_size = size,
        .fresh_until = soon_ms(3600000),
        .keep_until = soon_ms(3600000),
    };
    uint8_t *at = segment->data + fill.key_length;

    memcpy(at, tags, tags_length);
    memcpy(at + tags_length, "meta", 4);
    fill_pattern(at + tags_length + 4, seed, 0, size);
    ck_assert_int_eq(larder_fill_begin(peer->client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_FILL_BEGIN);
    larder_segment_return(peer->client, &event.segment);
    return event.status;
}

static struct larder_event purge(struct peer *peer, const void *bytes, uint32_t length, uint32_t flags)
{
    struct larder_segment *segment = peer_borrow(peer);

    memcpy(segment->data, bytes, length);
    ck_assert_int_eq(larder_purge(peer->client, &segment, length, flags, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_PURGE);
    larder_segment_return(peer->client, &event.segment);
    return event;
}

static void expect_purged(struct larder_event event, uint64_t objects, uint64_t leases)
{
    ck_assert_int_eq(event.status, LARDER_OK);
    ck_assert_uint_eq(event.purged, objects);
    ck_assert_uint_eq(event.cancelled, leases);
    ck_assert(!event.goes_on);
}

static const struct way {
    const char *bytes;
    uint32_t length, flags;
    bool spares_second; /* of the two objects below */
} ways[] = {
    {"page", 4, LARDER_PURGE_KEY, true},        {"page", 4, LARDER_PURGE_KEY | LARDER_PURGE_SOFT, true},
    {"pag", 3, LARDER_PURGE_PREFIX, true},      {"p", 1, LARDER_PURGE_PREFIX | LARDER_PURGE_SOFT, true},
    {"", 0, LARDER_PURGE_PREFIX, false},        {"", 0, LARDER_PURGE_PREFIX | LARDER_PURGE_SOFT, false},
    {"red", 4, LARDER_PURGE_TAGS, true},        {"x\0red", 6, LARDER_PURGE_TAGS | LARDER_PURGE_SOFT, true},
    {"red\0blue", 9, LARDER_PURGE_TAGS, false},
};

START_TEST(nobody_finds_it_any_more)
{
    const struct way *way = &ways[_i];
    uint64_t hit = way->spares_second ? 1 : 2;

    begin();
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 1, 1000), LARDER_OK);
    ck_assert_int_eq(store_tagged(&one, "other", "blue", 5, 2, 1000), LARDER_OK);
    ck_assert_int_eq(store_tagged(&shop, "page", "red", 4, 3, 1000), LARDER_OK);
    expect_purged(purge(&two, way->bytes, way->length, way->flags), hit, 0);
    struct larder_event event = peer_lookup(&one, "page", 0);
    ck_assert_int_eq(event.status, way->flags & LARDER_PURGE_SOFT ? LARDER_STALE : LARDER_MISS);
    if (event.status == LARDER_STALE) {
        ck_assert_int_le(event.fresh_until, soon_ms(0));
        ck_assert(is_pattern(event.segment->data + event.meta_length, 1, 0, 1000));
    }
    larder_release(one.client, event.handle);
    larder_segment_return(one.client, &event.segment);
    if (way->spares_second)
        peer_check(&one, "other", 2, 1000);
    peer_check(&shop, "page", 3, 1000);
    ck_assert_uint_eq(story_counter(&story, COUNTER_purges), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_purged), hit);
    story_adds_up(&story);
    end();
}
END_TEST

/* One proxy is half-way through; the other purges, fetches anew and is the one that counts. */
START_TEST(fill_under_way_is_not_stored)
{
    const struct way *way = &ways[_i];

    begin();
    uint64_t lease = peer_lease(&one, "page");
    struct larder_segment *segment = peer_key(&one, "page");
    struct larder_fill fill = {.lease = lease,
                               .key_length = 4,
                               .tags_length = 4,
                               .meta_length = 4,
                               .body_length = 500,
                               .object_size = 1000,
                               .fresh_until = soon_ms(3600000),
                               .keep_until = soon_ms(3600000)};
    memcpy(segment->data + 4, "red\0meta", 8);
    fill_pattern(segment->data + 12, 1, 0, 500);
    ck_assert_int_eq(larder_fill_begin(one.client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(&one, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(one.client, &event.segment);

    expect_purged(purge(&two, way->bytes, way->length, way->flags), 0, 1);
    ck_assert_int_eq(store_tagged(&two, "page", "red", 4, 2, 1000), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&one, lease, 1, 500, 500), LARDER_OK);
    ck_assert_int_eq(peer_end_fill(&one, lease, 1000), LARDER_MISS);
    peer_check(&one, "page", 2, 1000);
    ck_assert_uint_eq(story_counter(&story, COUNTER_purge_cancels), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fill_aborts), 1);
    end();
}
END_TEST

/* Its tags come when they have been purged already. */
START_TEST(fill_that_begins_too_late_is_not_stored)
{
    begin();
    uint64_t lease = peer_lease(&one, "page");
    expect_purged(purge(&two, "red", 4, LARDER_PURGE_TAGS), 0, 0);
    struct larder_segment *segment = peer_key(&one, "page");
    struct larder_fill fill = {.lease = lease, .key_length = 4, .tags_length = 9};
    memcpy(segment->data + 4, "blue\0red", 9);
    ck_assert_int_eq(larder_fill_begin(one.client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(&one, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_MISS);
    larder_segment_return(one.client, &event.segment);
    peer_check_miss(&two, "page");
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 5, 100), LARDER_OK);
    peer_check(&two, "page", 5, 100);
    end();
}
END_TEST

/* Who has it pinned reads it to its end. */
START_TEST(readers_finish)
{
    enum { LARGE = 5 * PEER_SEGMENT_BYTES + 7 };

    begin();
    peer_store(&one, "large", 1, LARGE);
    uint64_t handle = peer_pin(&one, "large");
    expect_purged(purge(&two, "", 0, LARDER_PURGE_PREFIX), 1, 0);
    peer_check_miss(&two, "large");
    for (uint64_t offset = 0; offset < LARGE; offset += PEER_SEGMENT_BYTES) {
        struct larder_segment *segment = peer_borrow(&one);
        ck_assert_int_eq(larder_read(one.client, handle, offset, &segment, PEER_SEGMENT_BYTES, NULL), 0);
        struct larder_event event = peer_expect(&one, LARDER_EVENT_READ);
        ck_assert_int_eq(event.status, LARDER_OK);
        ck_assert(is_pattern(event.segment->data, 1, offset, event.length));
        larder_segment_return(one.client, &event.segment);
    }
    larder_release(one.client, handle);
    larder_client_flush(one.client);
    story_await_gauge(&story, GAUGE_objects, 0);
    end();
}
END_TEST

/* A validation that was asked for before the purge does not make it fresh; one from afterwards does. */
START_TEST(validation_from_before)
{
    begin();
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 1, 100), LARDER_OK);
    for (int round = 0; round < 2; round++) {
        struct larder_event found = peer_lookup(&one, "page", LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE);
        ck_assert_int_eq(found.status, LARDER_STALE);
        ck_assert_uint_ne(found.lease, 0);
        if (round == 0)
            expect_purged(purge(&two, "red", 4, LARDER_PURGE_TAGS | LARDER_PURGE_SOFT), 1, 1);
        struct larder_segment *segment = found.segment;
        memcpy(segment->data, "green\0meta", 10);
        ck_assert_int_eq(larder_update_tagged(one.client, found.handle, found.lease, &segment, 6, 4,
                                              soon_ms(3600000), soon_ms(3600000), NULL),
                         0);
        struct larder_event event = peer_expect(&one, LARDER_EVENT_UPDATE);
        ck_assert_int_eq(event.status, round == 0 ? LARDER_MISS : LARDER_OK);
        larder_segment_return(one.client, &event.segment);
        larder_release(one.client, found.handle);
        event = peer_lookup(&two, "page", 0);
        ck_assert_int_eq(event.status, round == 0 ? LARDER_STALE : LARDER_HIT);
        larder_release(two.client, event.handle);
        larder_segment_return(two.client, &event.segment);
    }
    expect_purged(purge(&two, "red", 4, LARDER_PURGE_TAGS), 0, 0); /* it has other tags now */
    expect_purged(purge(&two, "green", 6, LARDER_PURGE_TAGS), 1, 0);
    end();
}
END_TEST

/* ---- administrators ------------------------------------------------------------------------------------ */

static struct wire_purge admin_order(const struct liar *admin, const char *tenant, uint32_t flags,
                                     uint32_t length)
{
    union wire_message message;

    wire_prepare(&message, WIRE_PURGE, admin->endpoint.token);
    message.wire_purge.registration = admin->registration;
    message.wire_purge.secret = admin->endpoint.secret;
    message.wire_purge.flags = flags;
    message.wire_purge.length = length;
    snprintf(message.wire_purge.tenant, sizeof(message.wire_purge.tenant), "%s", tenant);
    return message.wire_purge;
}

START_TEST(administrator_purges_any_tenant)
{
    union wire_message reply;
    struct liar admin;

    begin();
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 1, 100), LARDER_OK);
    ck_assert_int_eq(store_tagged(&shop, "page", "red", 4, 2, 100), LARDER_OK);
    asker_open(&admin, &story);
    struct wire_purge order = admin_order(&admin, "shop", WIRE_PURGE_TAGS, 4);
    liar_hand_over(&admin, 0, "red");
    memset(segment_payload(&admin.endpoint.pool, 0) + 3, 0, 1);
    liar_send(&admin, &order, sizeof(order));
    ck_assert(liar_receive(&admin, &reply, TEST_DEADLINE_MS));
    ck_assert_uint_eq(reply.header.type, WIRE_PURGED);
    ck_assert_uint_eq(reply.wire_purged.objects, 1);
    peer_check(&one, "page", 1, 100);
    peer_check_miss(&shop, "page");
    asker_close(&admin);
    end();
}
END_TEST

static const struct wrong_message {
    const char *tenant;
    uint32_t flags, length, segment;
    bool handed_over;
    enum wire_refusal reason;
} wrong_messages[] = {
    {"nobody", WIRE_PURGE_KEY, 4, 0, true, WIRE_REFUSAL_NO_TENANT},
    {"", WIRE_PURGE_KEY, 4, 0, true, WIRE_REFUSAL_NO_TENANT},
    {"news", 3, 4, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", 8, 4, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", UINT32_MAX, 4, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_KEY, 0, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_KEY, WIRE_MAX_KEY + 1, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_PREFIX, UINT32_MAX, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_TAGS, WIRE_TAGS_BYTES + 1, 0, true, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_TAGS, 4, 0, true, WIRE_REFUSAL_MALFORMED}, /* no zero byte */
    {"news", WIRE_PURGE_KEY, 4, 0, false, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_KEY, 4, 1, true, WIRE_REFUSAL_MALFORMED},
    {"news", WIRE_PURGE_KEY, 4, UINT32_MAX, true, WIRE_REFUSAL_MALFORMED},
};

START_TEST(wrong_message_is_refused)
{
    const struct wrong_message *row = &wrong_messages[_i];
    struct liar admin;

    begin();
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 1, 100), LARDER_OK);
    asker_open(&admin, &story);
    struct wire_purge order = admin_order(&admin, row->tenant, row->flags, row->length);
    order.segment = row->segment;
    if (row->handed_over)
        liar_hand_over(&admin, 0, "page");
    liar_send(&admin, &order, sizeof(order));
    liar_expect_refusal(&admin, WIRE_PURGE, row->reason);
    peer_check(&one, "page", 1, 100);
    asker_close(&admin);
    end();
}
END_TEST

START_TEST(proxy_is_no_administrator)
{
    begin_with_liar();
    ck_assert_int_eq(store_tagged(&shop, "page", "red", 4, 1, 100), LARDER_OK);
    struct wire_purge order = admin_order(&liar, "shop", WIRE_PURGE_PREFIX, 0);
    liar_hand_over(&liar, 0, "");
    liar_send(&liar, &order, sizeof(order));
    liar_expect_refusal(&liar, WIRE_PURGE, WIRE_REFUSAL_ROLE);
    order.secret++;
    liar_send(&liar, &order, sizeof(order));
    union wire_message reply;
    ck_assert(liar_receive(&liar, &reply, TEST_DEADLINE_MS));
    ck_assert_uint_eq(reply.wire_refused.reason, WIRE_REFUSAL_STALE);
    memset(order.tenant, 'x', sizeof(order.tenant)); /* no end */
    liar_send(&liar, &order, sizeof(order));
    ck_assert(liar_receive(&liar, &reply, TEST_DEADLINE_MS));
    ck_assert_uint_eq(reply.wire_refused.reason, WIRE_REFUSAL_MALFORMED);
    peer_check(&shop, "page", 1, 100);
    end_with_liar();
}
END_TEST

/* The asker's pool loses its pages before the cache reads what is to be purged. */
START_TEST(pool_that_shrinks_purges_nothing)
{
    struct liar admin;

    begin();
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 1, 100), LARDER_OK);
    asker_open(&admin, &story);
    struct wire_purge order = admin_order(&admin, "news", WIRE_PURGE_PREFIX, 0);
    order.length = 4;
    liar_hand_over(&admin, 0, "page");
    ck_assert_int_eq(ftruncate(admin.endpoint.pool.fd, 4096), 0);
    liar_send(&admin, &order, sizeof(order));
    story_await_counter(&story, COUNTER_faults_caught, 1);
    peer_check(&one, "page", 1, 100);
    ck_assert_uint_eq(story_counter(&story, COUNTER_purges), 0);
    liar_end(&admin, false);
    end();
}
END_TEST

/* ---- lies ---------------------------------------------------------------------------------------------- */

static const struct lie {
    uint8_t flags;
    uint16_t key_length, tags_length;
    uint64_t value;
    const char *bytes;
} lies[] = {
    {WIRE_PURGE_KEY, 0, 0, 0, ""},
    {WIRE_PURGE_KEY, 16385, 0, 0, "page"},
    {WIRE_PURGE_KEY, 4097, 0, 0, "page"}, /* than a segment of it holds */
    {WIRE_PURGE_KEY, UINT16_MAX, UINT16_MAX, 0, "page"},
    {WIRE_PURGE_PREFIX, 4, 0, 0, "page"}, /* not sure */
    {WIRE_PURGE_PREFIX, 0, 0, UINT64_MAX, ""},
    {WIRE_PURGE_PREFIX, UINT16_MAX, 0, WIRE_PURGE_SURE, ""},
    {WIRE_PURGE_TAGS, 4, 0, 0, "page"},
    {WIRE_PURGE_TAGS, 0, 4, 0, "page"},
    {WIRE_PURGE_TAGS, 0, 1, 0, ""}, /* an empty one */
    {WIRE_PURGE_TAGS, 0, 300, 0,
     "one that is too long, for what is behind it are the bytes that stood there before: none"},
    {WIRE_PURGE_TAGS, 0, UINT16_MAX, 0, "page"},
    {3, 4, 0, WIRE_PURGE_SURE, "page"},
    {8, 4, 0, WIRE_PURGE_SURE, "page"},
    {255, 4, 4, WIRE_PURGE_SURE, "page"},
};

START_TEST(absurd_purge_is_bad)
{
    const struct lie *lie = &lies[_i];

    begin_with_liar();
    ck_assert_int_eq(store_tagged(&one, "page", "red", 4, 1, 100), LARDER_OK);
    struct wire_request request = liar_request(&liar, WIRE_OP_PURGE);
    request.segment = 0;
    request.flags = lie->flags;
    request.key_length = lie->key_length;
    request.tags_length = lie->tags_length;
    request.value = lie->value;
    liar_hand_over(&liar, 0, lie->bytes);
    liar_expect(&liar, &request, WIRE_STATUS_BAD);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_requests), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_purges), 0);
    peer_check(&two, "page", 1, 100);
    end_with_liar();
}
END_TEST

static const struct block {
    uint16_t length;
    uint16_t fill; /* so many bytes of 'x' in front of the last, which is zero unless it is 0 */
    bool good;
} blocks[] = {
    {2, 1, true},      {2, 0, false},          {1, 0, false},    {257, 256, true},
    {258, 257, false}, {300, 0, false},        {4093, 0, false}, /* with the key more than a segment holds */
    {16449, 0, false}, {UINT16_MAX, 0, false},
};

/* A fill with tags over the bounds is refused, and its lease is gone. */
START_TEST(tags_over_the_bounds)
{
    const struct block *block = &blocks[_i];

    begin_with_liar();
    struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);
    request.handle = liar_lease(&liar, "page");
    request.segment = 1;
    request.key_length = 4;
    request.tags_length = block->length;
    request.fresh_until = request.keep_until = soon_ms(3600000);
    liar_hand_over(&liar, 1, "page");
    uint8_t *tags = segment_payload(&liar.endpoint.pool, 1) + 4;
    memset(tags, 'x', 1024);
    if (block->fill > 0)
        tags[block->fill] = 0;
    liar_expect(&liar, &request, block->good ? WIRE_STATUS_OK : WIRE_STATUS_BAD);
    request = liar_request(&liar, WIRE_OP_FILL_END);
    liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    struct larder_event event = peer_lookup(&one, "page", 0);
    ck_assert_int_eq(event.status, block->good ? LARDER_HIT : LARDER_MISS);
    larder_segment_return(one.client, &event.segment);
    story_await_gauge(&story, GAUGE_leases, 0);
    end_with_liar();
}
END_TEST

/* Purges without end, of everything that there is: who is of another tenant is served and keeps what it has,
 * who is of the same is served. */
START_TEST(flood_of_purges)
{
    enum { ROUNDS = 400, AT_ONCE = 8 };
    struct wire_completion completion;
    uint64_t refused = 0;
    char text[32];

    begin_with_liar();
    peer_store(&shop, "kept", 7, 1000);
    for (int i = 0; i < 600; i++) {
        snprintf(text, sizeof(text), "page%d", i);
        ck_assert_int_eq(store_tagged(&one, text, "red\0blue", 9, 1, 10), LARDER_OK);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            struct wire_request request = liar_request(&liar, WIRE_OP_PURGE);
            snprintf(text, sizeof(text), "%d-%u", round, i);
            request.segment = i;
            request.value = WIRE_PURGE_SURE;
            request.flags = (uint8_t)(i % 2 ? WIRE_PURGE_PREFIX : WIRE_PURGE_PREFIX | WIRE_PURGE_SOFT);
            request.key_length = i == 7 ? 0 : (uint16_t)strlen(text);
            liar_hand_over(&liar, i, text);
            ck_assert_int_eq(ring_put(&liar.endpoint.pool.requests, &request), RING_OK);
        }
        ring_publish(&liar.endpoint.pool.requests);
        liar_bell(&liar);
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            completion = liar_completion(&liar);
            refused += completion.status == WIRE_STATUS_BUSY;
            ck_assert(completion.status == WIRE_STATUS_BUSY || completion.status == WIRE_STATUS_OK);
        }
        if (round % 50 == 0) {
            peer_check(&shop, "kept", 7, 1000);
            peer_is_served(&one);
        }
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_purges), ROUNDS * AT_ONCE - refused);
    peer_check(&shop, "kept", 7, 1000);
    end_with_liar();
}
END_TEST

/* It goes while what it has purged is being collected. */
START_TEST(who_purged_is_gone)
{
    char text[32];

    begin_with_liar();
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "page%d", i);
        ck_assert_int_eq(store_tagged(&one, text, "red", 4, 1, 10), LARDER_OK);
    }
    struct wire_request request = liar_request(&liar, WIRE_OP_PURGE);
    request.segment = 0;
    request.value = WIRE_PURGE_SURE;
    request.flags = WIRE_PURGE_PREFIX;
    liar_hand_over(&liar, 0, "");
    struct wire_completion completion = liar_expect(&liar, &request, WIRE_STATUS_OK);
    ck_assert_uint_eq(completion.flags, WIRE_GOES_ON);
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_objects, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_purged), 1000);
    peer_check_miss(&two, "page999");
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, nobody_finds_it_any_more, 0, ROWS(ways));
    tcase_add_loop_test(tcase, fill_under_way_is_not_stored, 0, ROWS(ways));
    tcase_add_test(tcase, fill_that_begins_too_late_is_not_stored);
    tcase_add_test(tcase, readers_finish);
    tcase_add_test(tcase, validation_from_before);
    tcase_add_test(tcase, administrator_purges_any_tenant);
    tcase_add_loop_test(tcase, wrong_message_is_refused, 0, ROWS(wrong_messages));
    tcase_add_test(tcase, proxy_is_no_administrator);
    tcase_add_test(tcase, pool_that_shrinks_purges_nothing);
    tcase_add_loop_test(tcase, absurd_purge_is_bad, 0, ROWS(lies));
    tcase_add_loop_test(tcase, tags_over_the_bounds, 0, ROWS(blocks));
    tcase_add_test(tcase, flood_of_purges);
    tcase_add_test(tcase, who_purged_is_gone);
}

int main(void)
{
    return crash_main("crash_purge", add_cases);
}
