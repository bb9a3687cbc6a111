/* ahead: what is off a ring before its turn: in order, once, whoever changes ring and segments meanwhile. */
#include "ahead.h"

#include "cache.h"
#include "check_unit.h"
#include "names.h"
#include "shm_guard.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REGISTRATION 7u

static const struct pool_shape shape = {.segments = 32, .segment_bytes = 4096, .ring_entries = 32};

static struct {
    char instance[TEST_INSTANCE_BYTES];
    char name[NAMES_BYTES];
    struct test_footprint before;
    struct cache *cache;
    struct tenant tenant;
    struct session session;
    struct segment_pool pool; /* the proxy's view */
    uint64_t cookie;          /* of the entry put last */
} here;

static void begin(void)
{
    test_instance_name(here.instance, "ahead");
    names_peer(here.name, here.instance, 1);
    here.before = test_footprint(here.instance);
    ck_assert_int_eq(segment_pool_create(&here.pool, here.name, &shape, 1), 0);
    here.cache = calloc(1, sizeof(*here.cache));
    ck_assert_int_eq(store_setup(&here.cache->store, 1 << 20, 1 << 20, &here.cache->counters), 0);
    here.tenant.id = 5;
    here.session.cache = here.cache;
    here.session.tenant = &here.tenant;
    here.session.registration = REGISTRATION;
    here.session.pool = here.pool;
}

static void end(void)
{
    store_teardown(&here.cache->store);
    free(here.cache);
    shm_unlink(here.name);
    segment_pool_destroy(&here.pool);
    ck_assert(test_nothing_left(here.instance, &here.before));
}

/* An entry whose cookie is its number, from 1 on. */
static void put(struct wire_request request)
{
    request.cookie = ++here.cookie;
    ck_assert_int_eq(ring_put(&here.pool.requests, &request), RING_OK);
    ring_publish(&here.pool.requests);
}

static struct wire_request look_up(uint32_t segment, uint32_t key_length)
{
    return (struct wire_request){.op = WIRE_OP_LOOKUP,
                                 .segment = segment,
                                 .registration = REGISTRATION,
                                 .key_length = (uint16_t)key_length};
}

static void hand_over(uint32_t segment, const char *key)
{
    ck_assert(segment_win_write(&here.pool, segment));
    memcpy(segment_payload(&here.pool, segment), key, strlen(key));
    segment_post_read(&here.pool, segment);
}

static void put_key(uint32_t segment, const char *key)
{
    hand_over(segment, key);
    put(look_up(segment, (uint32_t)strlen(key)));
}

static const struct ahead_entry *next(uint64_t cookie)
{
    const struct ahead_entry *entry;

    ck_assert_int_eq(ahead_next(&here.session, &entry), RING_OK);
    ck_assert_uint_eq(entry->request.cookie, cookie);
    return entry;
}

static void is_empty(void)
{
    const struct ahead_entry *entry;

    ck_assert(!ahead_waits(&here.session.ahead));
    ck_assert_int_eq(ahead_next(&here.session, &entry), RING_NONE);
}

static void has_key(const struct ahead_entry *entry, const char *text)
{
    struct store_key whole, recalled;

    store_key_set(&here.cache->store, &whole, &here.tenant, (const uint8_t *)text, (uint32_t)strlen(text));
    store_key_recall(&recalled, &here.tenant, &entry->key);
    ck_assert(store_key_equal(&whole, recalled.hash, recalled.bytes, recalled.length));
    ck_assert_ptr_eq(recalled.tenant, &here.tenant);
}

/* The proxy may write again: nobody reads it any more. */
static void is_free(uint32_t segment)
{
    ck_assert(segment_win_write(&here.pool, segment));
}

START_TEST(all_come_in_the_order_of_the_ring)
{
    char key[16];

    begin();
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        put_key(i, key);
    }
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        has_key(next(i + 1), key);
        is_free(i);
    }
    is_empty();
    end();
}
END_TEST

START_TEST(no_more_are_taken_than_the_bound)
{
    begin();
    for (uint32_t i = 0; i < AHEAD_MOST + 1; i++)
        put_key(i, "key");
    next(1);
    ck_assert(ahead_waits(&here.session.ahead));
    is_free(AHEAD_MOST - 1);
    ck_assert(segment_win_read(&here.pool, AHEAD_MOST)); /* not touched yet */
    end();
}
END_TEST

START_TEST(one_alone_is_left_for_its_turn)
{
    begin();
    put_key(3, "key");
    ck_assert_uint_eq(next(1)->key.length, 0);
    ck_assert(segment_win_read(&here.pool, 3));
    is_empty();
    end();
}
END_TEST

START_TEST(what_is_changed_afterwards_is_not_seen)
{
    begin();
    put_key(0, "first");
    put_key(1, "second");
    next(1);
    memcpy(segment_payload(&here.pool, 1), "SECOND", 6);
    memset((void *)(uintptr_t)here.pool.requests.entries, 0xff, 2 * RING_ENTRY_BYTES);
    has_key(next(2), "second");
    is_empty();
    end();
}
END_TEST

static const struct wire_request left[] = {
    {.op = WIRE_OP_REMOVE, .segment = 2, .registration = REGISTRATION, .key_length = 3},
    {.op = WIRE_OP_LOOKUP, .segment = 2, .registration = REGISTRATION + 1, .key_length = 3},
    {.op = WIRE_OP_LOOKUP, .segment = 32, .registration = REGISTRATION, .key_length = 3},
    {.op = WIRE_OP_LOOKUP, .segment = WIRE_NO_SEGMENT, .registration = REGISTRATION, .key_length = 3},
    {.op = WIRE_OP_LOOKUP, .segment = 2, .registration = REGISTRATION, .key_length = 0},
    {.op = WIRE_OP_LOOKUP, .segment = 2, .registration = REGISTRATION, .key_length = STORE_SHORT_KEY + 1},
    {.op = WIRE_OP_LOOKUP, .segment = 3, .registration = REGISTRATION, .key_length = 3}, /* not handed */
};

/* In its turn it is served or refused as if nobody had tried. */
START_TEST(what_cannot_be_taken_is_left)
{
    begin();
    put_key(0, "key");
    hand_over(2, "key");
    put(left[_i]);
    put_key(1, "last");
    has_key(next(1), "key");
    const struct ahead_entry *entry = next(2);
    ck_assert_uint_eq(entry->key.length, 0);
    ck_assert_uint_eq(entry->request.key_length, left[_i].key_length);
    ck_assert(segment_win_read(&here.pool, 2));
    has_key(next(3), "last");
    is_empty();
    end();
}
END_TEST

START_TEST(segment_named_twice_is_taken_once)
{
    begin();
    put_key(0, "key");
    put(look_up(0, 3));
    has_key(next(1), "key");
    ck_assert_uint_eq(next(2)->key.length, 0);
    end();
}
END_TEST

START_TEST(longest_short_key_is_taken)
{
    static char key[STORE_SHORT_KEY + 1];

    begin();
    memset(key, 'k', sizeof(key) - 1);
    put_key(0, "key");
    put_key(1, key);
    next(1);
    has_key(next(2), key);
    end();
}
END_TEST

START_TEST(admin_clients_have_no_keys)
{
    begin();
    here.session.tenant = NULL;
    put_key(0, "key");
    put_key(1, "key");
    ck_assert_uint_eq(next(1)->key.length, 0);
    ck_assert_uint_eq(next(2)->key.length, 0);
    ck_assert(segment_win_read(&here.pool, 1));
    end();
}
END_TEST

START_TEST(broken_ring_is_reported_in_its_turn)
{
    const struct ahead_entry *entry;

    begin();
    put_key(0, "key");
    put_key(1, "key");
    next(1);
    atomic_store(&here.pool.requests.shared->tail, 1); /* runs backwards */
    next(2);
    ck_assert_int_eq(ahead_next(&here.session, &entry), RING_BROKEN);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, all_come_in_the_order_of_the_ring);
    tcase_add_test(tcase, no_more_are_taken_than_the_bound);
    tcase_add_test(tcase, one_alone_is_left_for_its_turn);
    tcase_add_test(tcase, what_is_changed_afterwards_is_not_seen);
    tcase_add_loop_test(tcase, what_cannot_be_taken_is_left, 0, ROWS(left));
    tcase_add_test(tcase, segment_named_twice_is_taken_once);
    tcase_add_test(tcase, longest_short_key_is_taken);
    tcase_add_test(tcase, admin_clients_have_no_keys);
    tcase_add_test(tcase, broken_ring_is_reported_in_its_turn);
}

int main(void)
{
    return run_suite("ahead", add_cases);
}
