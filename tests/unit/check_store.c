/* store: finding, order of eviction, replacement, expiry, bounds and accounts; and a long random run against
 * a model that knows nothing of hash tables, lists or heaps. */
#include "store.h"

#include "check_unit.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define MEMORY ((uint64_t)1 << 20)
#define NEVER  INT64_MAX

static struct {
    struct counters counters;
    struct store store;
    struct tenants tenants;
    struct tenant *news, *shop;
    struct store_key key;
    uint8_t bytes[8 * BODY_CHUNK];
    uint8_t out[8 * BODY_CHUNK];
} here;

/* Without admission: what is not about it is about the order of use alone. */
static void begin_with(uint64_t memory, uint64_t max_object)
{
    static const struct tenant_config configs[] = {{"news", {.weight = 1}}, {"shop", {.weight = 1}}};
    char problem[128];

    ck_assert_int_eq(store_setup(&here.store, memory, max_object, &here.counters), 0);
    ck_assert_int_eq(tenants_configure(&here.tenants, &here.store.memory, configs, ROWS(configs), problem,
                                       sizeof(problem)),
                     0);
    here.news = tenants_get(&here.tenants, "news");
    here.shop = tenants_get(&here.tenants, "shop");
}

static void begin(void)
{
    begin_with(MEMORY, MEMORY);
}

static void check_accounts(void)
{
    ck_assert_uint_eq(here.news->account.used + here.shop->account.used + here.store.index.used,
                      here.store.memory.used + here.store.objects * STORE_INDEX_SHARE);
    ck_assert_uint_le(here.store.memory.used, here.store.memory.limit);
    ck_assert_uint_eq(here.news->objects + here.shop->objects, here.store.objects);
    ck_assert_uint_eq(here.news->pins + here.shop->pins, here.store.pins);
}

static void end(void)
{
    check_accounts();
    store_teardown(&here.store);
    ck_assert_uint_eq(here.store.memory.used, 0);
    ck_assert_uint_eq(here.news->account.used + here.shop->account.used, 0);
    ck_assert_uint_eq(here.news->objects + here.shop->objects, 0);
    tenants_free(&here.tenants);
}

static const struct store_key *key_of(struct tenant *tenant, const char *text)
{
    store_key_set(&here.store, &here.key, tenant, (const uint8_t *)text, (uint32_t)strlen(text));
    return &here.key;
}

static const struct store_key *key_number(struct tenant *tenant, uint64_t number)
{
    char text[32];

    snprintf(text, sizeof(text), "key-%llu", (unsigned long long)number);
    return key_of(tenant, text);
}

/* Asking for its memory first changes nothing. */
static struct object *find(struct tenant *tenant, const char *text, int64_t now)
{
    const struct store_key *key = key_of(tenant, text);

    for (unsigned stage = 0; stage < STORE_STAGES; stage++)
        store_prefetch(&here.store, key->hash, (enum store_stage)stage);
    return store_find(&here.store, key, now);
}

static enum store_result put_key(const struct store_key *key, uint64_t seed, uint64_t size,
                                 int64_t fresh_until, int64_t keep_until)
{
    struct object *object;
    enum store_result result = store_fill_begin(&here.store, &object, key, (const uint8_t *)&seed,
                                                sizeof(seed), size, fresh_until, keep_until);

    if (result != STORE_OK)
        return result;
    fill_pattern(here.bytes, seed, 0, size);
    result = store_fill_append(&here.store, object, here.bytes, size);
    if (result == STORE_OK)
        return store_fill_commit(&here.store, &object);
    store_fill_discard(&here.store, &object);
    return result;
}

static void put(struct tenant *tenant, const char *text, uint64_t seed, uint64_t size, int64_t keep_until)
{
    ck_assert_int_eq(put_key(key_of(tenant, text), seed, size, keep_until, keep_until), STORE_OK);
}

static void check_object(const struct object *object, uint64_t seed, uint64_t size)
{
    uint32_t meta_length;

    ck_assert_ptr_nonnull(object);
    const uint8_t *meta = object_meta(object, &meta_length);
    ck_assert_uint_eq(meta_length, sizeof(seed));
    ck_assert_mem_eq(meta, &seed, sizeof(seed));
    ck_assert_uint_eq(object_size(object), size);
    object_read(object, 0, here.out, size);
    ck_assert(is_pattern(here.out, seed, 0, size));
}

static uint64_t counted(enum counter counter)
{
    return here.counters.values[counter];
}

/* ---- keys and finding --------------------------------------------------------------------------------- */

START_TEST(tenants_do_not_see_each_other)
{
    begin();
    put(here.news, "a", 1, 100, NEVER);
    ck_assert_ptr_null(find(here.shop, "a", 0));
    put(here.shop, "a", 2, 200, NEVER);
    check_object(find(here.news, "a", 0), 1, 100);
    check_object(find(here.shop, "a", 0), 2, 200);
    ck_assert(store_remove(&here.store, key_of(here.news, "a")));
    ck_assert(!store_remove(&here.store, key_of(here.news, "a")));
    ck_assert_ptr_null(find(here.news, "a", 0));
    check_object(find(here.shop, "a", 0), 2, 200);
    end();
}
END_TEST

START_TEST(keys_are_compared_whole)
{
    static uint8_t longest[STORE_MAX_KEY];

    begin();
    /* Beginnings of each other, a zero byte, and two of the longest that differ in the last byte. */
    put(here.news, "a", 1, 10, NEVER);
    put(here.news, "ab", 2, 20, NEVER);
    store_key_set(&here.store, &here.key, here.news, (const uint8_t *)"a\0b", 3);
    ck_assert_int_eq(put_key(&here.key, 3, 30, NEVER, NEVER), STORE_OK);
    store_key_set(&here.store, &here.key, here.news, longest, sizeof(longest));
    ck_assert_int_eq(put_key(&here.key, 4, 40, NEVER, NEVER), STORE_OK);
    longest[sizeof(longest) - 1] = 1;
    store_key_set(&here.store, &here.key, here.news, longest, sizeof(longest));
    ck_assert_ptr_null(store_find(&here.store, &here.key, 0));
    ck_assert_int_eq(put_key(&here.key, 5, 50, NEVER, NEVER), STORE_OK);
    check_object(find(here.news, "a", 0), 1, 10);
    check_object(find(here.news, "ab", 0), 2, 20);
    store_key_set(&here.store, &here.key, here.news, longest, sizeof(longest));
    check_object(store_find(&here.store, &here.key, 0), 5, 50);
    store_key_set(&here.store, &here.key, here.news, (const uint8_t *)"a\0b", 3);
    check_object(store_find(&here.store, &here.key, 0), 3, 30);
    longest[sizeof(longest) - 1] = 0;
    store_key_set(&here.store, &here.key, here.news, longest, sizeof(longest));
    check_object(store_find(&here.store, &here.key, 0), 4, 40);
    ck_assert_uint_eq(here.store.objects, 5);
    end();
}
END_TEST

/* All keys in one bucket of one shelf: still told apart, because they are compared whole. */
START_TEST(colliding_hashes_are_told_apart)
{
    begin();
    for (uint64_t i = 0; i < 100; i++) {
        key_number(here.news, i);
        here.key.hash = 42;
        ck_assert_int_eq(put_key(&here.key, i, i, NEVER, NEVER), STORE_OK);
    }
    for (uint64_t i = 0; i < 100; i++) {
        key_number(here.news, i);
        here.key.hash = 42;
        check_object(store_find(&here.store, &here.key, 0), i, i);
    }
    end();
}
END_TEST

START_TEST(hashes_are_keyed_by_the_run)
{
    struct counters counters = {0};
    static struct store other;
    static struct store_key key;

    begin();
    ck_assert_int_eq(store_setup(&other, MEMORY, MEMORY, &counters), 0);
    key_of(here.news, "a");
    store_key_set(&other, &key, here.news, (const uint8_t *)"a", 1);
    ck_assert_uint_ne(key.hash, here.key.hash);
    ck_assert(store_key_equal(&here.key, here.key.hash, here.key.bytes, here.key.length));
    ck_assert(!store_key_equal(&here.key, here.key.hash + 1, here.key.bytes, here.key.length));
    ck_assert(!store_key_equal(&here.key, here.key.hash, here.key.bytes, here.key.length - 1));
    store_teardown(&other);
    end();
}
END_TEST

static void bad_key(void *context)
{
    static uint8_t bytes[STORE_MAX_KEY + 1];

    close(STDERR_FILENO);
    store_key_set(&here.store, &here.key, here.news, bytes, *(uint32_t *)context);
}

START_TEST(impossible_key_lengths_are_a_bug)
{
    uint32_t lengths[] = {0, STORE_MAX_KEY + 1};

    begin();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(status_of_child(bad_key, &lengths[i]), 128 + SIGABRT);
    end();
}
END_TEST

/* ---- sizes -------------------------------------------------------------------------------------------- */

static const uint64_t sizes[] = {
    0, 1, 100, BODY_CHUNK - 1, BODY_CHUNK, BODY_CHUNK + 1, 2 * BODY_CHUNK, 3 * BODY_CHUNK + 1,
};

START_TEST(every_size_comes_back)
{
    struct object *object;

    begin();
    for (int known = 0; known < 2; known++) {
        uint64_t seed = (uint64_t)known, size = sizes[_i];

        ck_assert_int_eq(store_fill_begin(&here.store, &object, key_of(here.news, "a"),
                                          (const uint8_t *)&seed, sizeof(seed),
                                          known ? size : BODY_SIZE_UNKNOWN, 10, 20),
                         STORE_OK);
        ck_assert_ptr_null(find(here.news, known ? "b" : "a", 0));
        fill_pattern(here.bytes, seed, 0, size);
        for (uint64_t at = 0; at < size; at += 5000)
            ck_assert_int_eq(
                store_fill_append(&here.store, object, here.bytes + at, size - at < 5000 ? size - at : 5000),
                STORE_OK);
        ck_assert_int_eq(store_fill_commit(&here.store, &object), STORE_OK);
        ck_assert_ptr_null(object);
        check_object(find(here.news, "a", 0), seed, size);
        ck_assert_int_eq(object_fresh_until(find(here.news, "a", 0)), 10);
    }
    ck_assert_uint_eq(here.store.objects, 1);
    end();
}
END_TEST

START_TEST(metadata_of_every_size)
{
    static uint8_t meta[UINT16_MAX];
    static const uint32_t lengths[] = {0, 1, 4096, UINT16_MAX};
    struct object *object;
    uint32_t length;

    begin();
    fill_pattern(meta, 3, 0, sizeof(meta));
    for (int i = 0; i < ROWS(lengths); i++) {
        ck_assert_int_eq(
            store_fill_begin(&here.store, &object, key_of(here.news, "a"), meta, lengths[i], 0, NEVER, NEVER),
            STORE_OK);
        ck_assert_int_eq(store_fill_commit(&here.store, &object), STORE_OK);
        const uint8_t *stored = object_meta(find(here.news, "a", 0), &length);
        ck_assert_uint_eq(length, lengths[i]);
        ck_assert(length == 0 || memcmp(stored, meta, length) == 0);
    }
    end();
}
END_TEST

START_TEST(too_large_is_refused)
{
    struct object *object = NULL;

    begin_with(MEMORY, 1000);
    ck_assert_int_eq(put_key(key_of(here.news, "a"), 1, 1001, NEVER, NEVER), STORE_TOO_LARGE);
    ck_assert_int_eq(put_key(key_of(here.news, "a"), 1, 1000, NEVER, NEVER), STORE_OK);
    ck_assert_int_eq(store_fill_begin(&here.store, &object, key_of(here.news, "b"), NULL, 0,
                                      BODY_SIZE_UNKNOWN - 1, NEVER, NEVER),
                     STORE_TOO_LARGE);
    ck_assert_ptr_null(object);
    ck_assert_int_eq(store_fill_begin(&here.store, &object, key_of(here.news, "b"), NULL, 0,
                                      BODY_SIZE_UNKNOWN, NEVER, NEVER),
                     STORE_OK);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 1000), STORE_OK);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 1), STORE_TOO_LARGE);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, UINT64_MAX), STORE_TOO_LARGE);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 0), STORE_OK);
    ck_assert_int_eq(store_fill_commit(&here.store, &object), STORE_OK);
    ck_assert_uint_eq(object_size(find(here.news, "b", 0)), 1000);
    end();
}
END_TEST

START_TEST(more_or_fewer_bytes_than_announced)
{
    struct object *object;

    begin();
    put(here.news, "a", 1, 50, NEVER);
    ck_assert_int_eq(
        store_fill_begin(&here.store, &object, key_of(here.news, "a"), NULL, 0, 100, NEVER, NEVER), STORE_OK);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 101), STORE_MISMATCH);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 99), STORE_OK);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 2), STORE_MISMATCH);
    ck_assert_int_eq(store_fill_commit(&here.store, &object), STORE_MISMATCH);
    ck_assert_ptr_null(object);
    check_object(find(here.news, "a", 0), 1, 50); /* what was there stays */
    ck_assert_int_eq(put_key(key_of(here.news, "b"), 1, 0, NEVER, NEVER), STORE_OK);
    ck_assert_uint_eq(here.store.objects, 2);
    end();
}
END_TEST

/* ---- eviction ----------------------------------------------------------------------------------------- */

START_TEST(least_recently_used_goes_first)
{
    const uint64_t size = 50000;
    uint64_t fits = 0;

    begin();
    while (counted(COUNTER_evictions) == 0) {
        ck_assert_int_eq(put_key(key_number(here.news, fits), fits, size, NEVER, NEVER), STORE_OK);
        fits++;
    }
    ck_assert_uint_eq(fits, MEMORY / size + 1);
    ck_assert_ptr_null(store_find(&here.store, key_number(here.news, 0), 0));
    /* Number 1 is used, so number 2 is next. */
    ck_assert_ptr_nonnull(store_find(&here.store, key_number(here.news, 1), 0));
    ck_assert_int_eq(put_key(key_number(here.shop, fits), fits, size, NEVER, NEVER), STORE_OK);
    ck_assert_uint_eq(counted(COUNTER_evictions), 2);
    ck_assert_uint_eq(here.news->counters.values[COUNTER_evictions], 2);
    ck_assert_uint_eq(here.shop->counters.values[COUNTER_evictions], 0);
    ck_assert_ptr_null(store_find(&here.store, key_number(here.news, 2), 0));
    ck_assert_ptr_nonnull(store_find(&here.store, key_number(here.news, 1), 0));
    for (uint64_t i = 3; i < fits; i++)
        check_object(store_find(&here.store, key_number(here.news, i), 0), i, size);
    end();
}
END_TEST

START_TEST(memory_stays_within_its_limit_whatever_comes)
{
    uint64_t state = 11;

    begin_with(MEMORY, MEMORY / 2);
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t size =
            random_below(&state, 10) == 0 ? random_below(&state, MEMORY / 2) : random_below(&state, 2000);

        ck_assert_int_eq(put_key(key_number(here.news, i), i, size, NEVER, NEVER), STORE_OK);
        ck_assert_uint_le(here.store.memory.used, MEMORY);
        check_object(store_find(&here.store, key_number(here.news, i), 0), i, size); /* never the newest */
    }
    ck_assert_uint_gt(counted(COUNTER_evictions), 2000);
    ck_assert_uint_gt(here.store.memory.used, MEMORY / 2);
    end();
}
END_TEST

/* Everything pinned: nothing can be evicted, fills are refused, and all is well when the pins go. */
START_TEST(pinned_memory_is_not_given_twice)
{
    struct object *pinned[8], *object;

    begin();
    for (uint64_t i = 0; i < 7; i++) {
        ck_assert_int_eq(put_key(key_number(here.news, i), i, 140000, NEVER, NEVER), STORE_OK);
        pinned[i] = store_find(&here.store, key_number(here.news, i), 0);
        store_pin(&here.store, pinned[i]);
    }
    ck_assert_uint_eq(counted(COUNTER_evictions), 0);
    ck_assert_int_eq(put_key(key_of(here.news, "one too many"), 9, 140000, NEVER, NEVER), STORE_NO_MEMORY);
    check_accounts();
    ck_assert_ptr_null(find(here.news, "one too many", 0));
    for (uint64_t i = 0; i < 7; i++) {
        check_object(pinned[i], i, 140000); /* evicted or not, a reader finishes */
        store_unpin(&here.store, &pinned[i]);
        ck_assert_ptr_null(pinned[i]);
    }
    ck_assert_uint_eq(here.store.pins, 0);
    ck_assert_int_eq(put_key(key_of(here.news, "now it fits"), 9, 140000, NEVER, NEVER), STORE_OK);
    object = find(here.news, "now it fits", 0);
    check_object(object, 9, 140000);
    end();
}
END_TEST

START_TEST(one_tenant_holds_no_more_than_half)
{
    begin_with(MEMORY, MEMORY / 4);
    struct object *filling;
    uint64_t quarter = MEMORY / 4, left;

    ck_assert_uint_eq(here.store.max_held_tenant, MEMORY / 2);
    ck_assert_uint_eq(here.store.max_held, MEMORY / 4 * 3);
    ck_assert_int_eq(put_key(key_of(here.news, "a"), 1, quarter, NEVER, NEVER), STORE_OK);
    struct object *pinned = find(here.news, "a", 0);
    uint64_t charge = object_charge(pinned);
    ck_assert_uint_gt(charge, quarter);
    store_pin(&here.store, pinned);
    store_pin(&here.store, pinned); /* counts once */
    ck_assert_uint_eq(here.news->account.held, charge);
    left = 2 * quarter - charge;
    ck_assert(store_may_hold(&here.store, here.news, left));
    ck_assert(!store_may_hold(&here.store, here.news, left + 1));
    /* Each has a bound of its own, and all have one. */
    ck_assert(store_may_hold(&here.store, here.shop, 3 * quarter - charge));
    ck_assert(!store_may_hold(&here.store, here.shop, 3 * quarter - charge + 1));
    store_hold(&here.store, here.shop, 3 * quarter - charge);
    ck_assert(!store_may_hold(&here.store, here.news, 1));
    store_let_go(&here.store, here.shop, 3 * quarter - charge);

    const struct store_key *key = key_of(here.news, "b");
    ck_assert_int_eq(store_fill_begin(&here.store, &filling, key, NULL, 0, BODY_SIZE_UNKNOWN, NEVER, NEVER),
                     STORE_OK);
    while (store_fill_append(&here.store, filling, here.bytes, 1000) == STORE_OK)
        ck_assert_uint_eq(here.news->account.held, charge + object_charge(filling));
    ck_assert_uint_gt(here.news->account.held, 2 * quarter - 1000);
    ck_assert_uint_lt(here.news->account.held, 2 * quarter + BODY_CHUNK + 1000);
    ck_assert_uint_eq(here.store.memory.shares.held, here.news->account.held);
    ck_assert_int_eq(put_key(key_of(here.news, "c"), 1, 1, NEVER, NEVER), STORE_NO_MEMORY);
    ck_assert_int_eq(put_key(key_of(here.shop, "c"), 1, 1, NEVER, NEVER), STORE_OK);
    store_fill_discard(&here.store, &filling);
    ck_assert_int_eq(put_key(key_of(here.news, "c"), 1, 1, NEVER, NEVER), STORE_OK);
    struct object *again = pinned;
    store_unpin(&here.store, &again);
    ck_assert_uint_eq(here.news->account.held, charge);
    store_unpin(&here.store, &pinned);
    ck_assert_uint_eq(here.store.memory.shares.held + here.news->account.held + here.shop->account.held, 0);
    end();
}
END_TEST

/* What is held is what evicting cannot free, whether it is body or not: an empty object with much metadata,
 * one that is being filled, one whose metadata grows. */
START_TEST(held_is_all_that_an_object_takes)
{
    static const uint8_t meta[UINT16_MAX];
    struct object *filling, *pinned;

    begin_with(MEMORY, MEMORY / 4);
    ck_assert_int_eq(store_fill_begin(&here.store, &filling, key_of(here.news, "a"), meta, sizeof(meta),
                                      BODY_SIZE_UNKNOWN, NEVER, NEVER),
                     STORE_OK);
    ck_assert_uint_eq(here.news->account.held, here.news->account.used);
    ck_assert_int_eq(store_fill_append(&here.store, filling, here.bytes, 1), STORE_OK); /* a chunk */
    ck_assert_uint_eq(here.news->account.held, here.news->account.used);
    ck_assert_uint_gt(here.news->account.held, BODY_CHUNK + sizeof(meta));
    pinned = filling;
    store_pin(&here.store, pinned);
    ck_assert_int_eq(store_fill_commit(&here.store, &filling), STORE_OK);
    ck_assert_uint_eq(here.news->account.held, here.news->account.used);
    ck_assert_int_eq(store_update(&here.store, pinned, NULL, 0, NEVER, NEVER), STORE_OK);
    ck_assert_uint_eq(here.news->account.held, here.news->account.used);
    store_hold(&here.store, here.news, MEMORY / 2 - here.news->account.held - sizeof(meta) + 1);
    ck_assert_int_eq(store_update(&here.store, pinned, meta, sizeof(meta), NEVER, NEVER), STORE_NO_MEMORY);
    ck_assert_int_eq(store_update(&here.store, pinned, meta, sizeof(meta) - 1, NEVER, NEVER), STORE_OK);
    ck_assert_int_eq(
        store_fill_begin(&here.store, &filling, key_of(here.news, "b"), meta, sizeof(meta), 0, NEVER, NEVER),
        STORE_NO_MEMORY);
    store_let_go(&here.store, here.news, here.news->account.held - object_charge(pinned));
    store_unpin(&here.store, &pinned);
    ck_assert_uint_eq(here.store.memory.shares.held + here.news->account.held, 0);
    end();
}
END_TEST

/* Large ones go in pieces, are charged until they have gone, and are no hindrance to what needs room. */
START_TEST(much_memory_is_given_back_in_pieces)
{
    enum { CHUNKS = 3 * STORE_CHUNKS_AT_ONCE };
    struct object *object;

    begin_with((uint64_t)(CHUNKS + 64) * BODY_CHUNK, (uint64_t)CHUNKS * BODY_CHUNK + 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(store_fill_begin(&here.store, &object, key_of(here.news, "a"), NULL, 0,
                                          BODY_SIZE_UNKNOWN, NEVER, NEVER),
                         STORE_OK);
        for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
            ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, BODY_CHUNK), STORE_OK);
        uint64_t used = here.news->account.used;
        store_fill_discard(&here.store, &object);
        ck_assert_uint_eq(here.news->account.held, 0);
        if (i == 0) { /* room is made from it: the second time its chunks are those of the new one */
            ck_assert_uint_eq(here.news->account.used, used);
            ck_assert(!store_is_tidy(&here.store));
            continue;
        }
        for (unsigned times = 0; !store_is_tidy(&here.store); times++) {
            uint64_t before = here.news->account.used;
            store_tidy(&here.store);
            ck_assert_uint_le(before - here.news->account.used,
                              (STORE_CHUNKS_AT_ONCE + 2) * (BODY_CHUNK + 64));
            ck_assert_uint_lt(times, 5);
            check_accounts();
        }
    }
    ck_assert_uint_eq(here.news->account.used, 0);
    ck_assert_uint_eq(counted(COUNTER_evictions), 0);
    end();
}
END_TEST

START_TEST(objects_of_doomed_tenants_are_purged)
{
    begin();
    for (uint64_t i = 0; i < 100; i++) {
        ck_assert_int_eq(put_key(key_number(here.news, i), i, 10, NEVER, NEVER), STORE_OK);
        ck_assert_int_eq(put_key(key_number(here.shop, i), i, 10, NEVER, NEVER), STORE_OK);
    }
    struct object *pinned = store_find(&here.store, key_number(here.news, 7), 0);
    store_pin(&here.store, pinned);
    ck_assert_uint_eq(store_purge(&here.store, here.news, 30), 30); /* no more at a time */
    ck_assert_uint_eq(here.news->objects, 70);
    ck_assert_ptr_null(store_find(&here.store, key_number(here.news, 29), 0));
    ck_assert_ptr_nonnull(store_find(&here.store, key_number(here.news, 30), 0));
    ck_assert_uint_eq(store_purge(&here.store, here.news, 1000), 70);
    ck_assert_uint_eq(store_purge(&here.store, here.news, 1000), 0);
    ck_assert_uint_eq(here.news->objects, 0);
    ck_assert_uint_eq(here.shop->objects, 100);
    ck_assert_uint_ne(here.news->account.used, 0); /* its reader goes on */
    store_unpin(&here.store, &pinned);
    ck_assert_uint_eq(here.news->account.used, 0);
    end();
}
END_TEST

/* Fills that nobody finishes take all memory; the next one is refused in whichever allocation, and the store
 * survives it. Many sizes, so that the refusal hits entry, metadata, chunk and table in turn. */
START_TEST(refused_allocation_is_survived_wherever_it_hits)
{
    enum { FILLS = 64 };
    struct object *fills[FILLS];

    for (uint64_t memory = 300000; memory < 700000; memory += 4999) {
        uint32_t count = 0;
        bool refused = false;

        begin_with(memory, memory);
        while (count < FILLS && !refused) {
            ck_assert_int_eq(store_fill_begin(&here.store, &fills[count], key_number(here.news, count),
                                              here.bytes, 100, BODY_SIZE_UNKNOWN, NEVER, NEVER),
                             STORE_OK);
            for (int piece = 0; piece < 10 && !refused; piece++)
                refused = store_fill_append(&here.store, fills[count], here.bytes, 15000) != STORE_OK;
            count++;
        }
        ck_assert(refused);
        check_accounts();
        while (count > 0)
            store_fill_discard(&here.store, &fills[--count]);
        ck_assert_uint_eq(here.store.memory.used, 0);
        end();
    }
}
END_TEST

/* ---- pins, replacement, removal ------------------------------------------------------------------------ */

START_TEST(replaced_object_lives_until_its_last_reader_goes)
{
    struct object *first, *second;

    begin();
    put(here.news, "a", 1, 200000, NEVER);
    first = find(here.news, "a", 0);
    store_pin(&here.store, first);
    store_pin(&here.store, first);
    put(here.news, "a", 2, 1000, NEVER);
    ck_assert_uint_eq(here.store.objects, 1);
    second = find(here.news, "a", 0);
    ck_assert_ptr_ne(second, first);
    check_object(second, 2, 1000);
    check_object(first, 1, 200000);
    uint64_t used = here.store.memory.used;
    struct object *again = first;
    store_unpin(&here.store, &first);
    ck_assert_uint_eq(here.store.memory.used, used);
    check_object(again, 1, 200000);
    store_unpin(&here.store, &again);
    ck_assert_uint_lt(here.store.memory.used, used - 200000);
    check_object(find(here.news, "a", 0), 2, 1000);
    end();
}
END_TEST

START_TEST(removed_object_lives_until_its_last_reader_goes)
{
    struct object *object;

    begin();
    put(here.news, "a", 1, 70000, NEVER);
    object = find(here.news, "a", 0);
    store_pin(&here.store, object);
    ck_assert(store_remove(&here.store, key_of(here.news, "a")));
    ck_assert_ptr_null(find(here.news, "a", 0));
    ck_assert(!store_remove(&here.store, key_of(here.news, "a")));
    check_object(object, 1, 70000);
    ck_assert_int_eq(store_update(&here.store, object, NULL, 0, NEVER, NEVER), STORE_MISMATCH);
    check_object(object, 1, 70000);
    put(here.news, "a", 2, 10, NEVER); /* the key is free again */
    check_object(find(here.news, "a", 0), 2, 10);
    store_unpin(&here.store, &object);
    check_object(find(here.news, "a", 0), 2, 10);
    end();
}
END_TEST

START_TEST(unpinned_object_stays_stored)
{
    struct object *object;

    begin();
    put(here.news, "a", 1, 10, NEVER);
    object = find(here.news, "a", 0);
    store_pin(&here.store, object);
    store_unpin(&here.store, &object);
    check_object(find(here.news, "a", 0), 1, 10);
    end();
}
END_TEST

/* ---- time --------------------------------------------------------------------------------------------- */

START_TEST(kept_until_and_not_longer)
{
    begin();
    put(here.news, "a", 1, 10, 1000);
    check_object(find(here.news, "a", 999), 1, 10);
    ck_assert_int_eq(store_next_expiry(&here.store), 1000);
    ck_assert_ptr_null(find(here.news, "a", 1000));
    ck_assert_uint_eq(counted(COUNTER_expired), 1);
    ck_assert_uint_eq(here.store.objects, 0);
    ck_assert_int_eq(store_next_expiry(&here.store), INT64_MAX);
    end();
}
END_TEST

START_TEST(expiry_takes_the_earliest_within_its_bound)
{
    begin();
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_int_eq(put_key(key_number(here.news, i), i, 10, 0, (int64_t)((i * 37) % 100)), STORE_OK);
    ck_assert_int_eq(store_next_expiry(&here.store), 0);
    ck_assert_uint_eq(store_expire(&here.store, -1, 1000), 0);
    ck_assert_uint_eq(store_expire(&here.store, 49, 20), 20);
    ck_assert_int_eq(store_next_expiry(&here.store), 20);
    ck_assert_uint_eq(store_expire(&here.store, 49, 1000), 30);
    ck_assert_uint_eq(here.store.objects, 50);
    ck_assert_int_eq(store_next_expiry(&here.store), 50);
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_int_eq(store_find(&here.store, key_number(here.news, i), 0) != NULL, (i * 37) % 100 >= 50);
    ck_assert_uint_eq(counted(COUNTER_expired), 50);
    end();
}
END_TEST

START_TEST(extreme_times_are_just_times)
{
    begin();
    put(here.news, "past", 1, 10, INT64_MIN);
    put(here.news, "future", 2, 10, INT64_MAX);
    ck_assert_int_eq(store_next_expiry(&here.store), INT64_MIN);
    ck_assert_ptr_null(find(here.news, "past", INT64_MIN));
    check_object(find(here.news, "future", INT64_MAX - 1), 2, 10);
    ck_assert_uint_eq(store_expire(&here.store, INT64_MAX - 1, 10), 0);
    end();
}
END_TEST

START_TEST(expired_object_lives_until_its_last_reader_goes)
{
    struct object *object;

    begin();
    put(here.news, "a", 1, 70000, 1000);
    object = find(here.news, "a", 0);
    store_pin(&here.store, object);
    ck_assert_uint_eq(store_expire(&here.store, 1000, 10), 1);
    ck_assert_ptr_null(find(here.news, "a", 0));
    check_object(object, 1, 70000);
    store_unpin(&here.store, &object);
    end();
}
END_TEST

/* Pinned twice while it grows: it is counted once, evicted by nothing and replaced as ever. */
START_TEST(pinned_while_it_grows)
{
    struct object *object, *again;

    begin();
    ck_assert_int_eq(store_fill_begin(&here.store, &object, key_of(here.news, "a"), (const uint8_t *)"m", 1,
                                      600, NEVER, NEVER),
                     STORE_OK);
    store_pin(&here.store, object); /* nothing there yet */
    fill_pattern(here.bytes, 1, 0, 600);
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 600), STORE_OK);
    again = object;
    store_pin(&here.store, again);
    ck_assert_uint_eq(here.store.memory.shares.held, object_charge(object));
    ck_assert_uint_eq(here.store.pins, 2);
    store_unpin(&here.store, &again);
    again = object;
    ck_assert_int_eq(store_fill_commit(&here.store, &object), STORE_OK);
    ck_assert_uint_eq(here.store.memory.shares.held, object_charge(again));
    ck_assert_uint_eq(here.store.evictable, 0);
    put(here.news, "a", 2, 50, NEVER);
    object_read(again, 0, here.out, 600);
    ck_assert(is_pattern(here.out, 1, 0, 600));
    store_unpin(&here.store, &again);
    ck_assert_uint_eq(here.store.memory.shares.held, 0);
    check_object(find(here.news, "a", 0), 2, 50);
    end();
}
END_TEST

START_TEST(update_renews_metadata_and_times)
{
    uint32_t length;
    struct object *object;

    begin();
    put(here.news, "a", 1, 70000, 1000);
    put(here.news, "b", 2, 10, 1500);
    object = find(here.news, "a", 0);
    store_pin(&here.store, object);
    ck_assert_int_eq(store_update(&here.store, object, (const uint8_t *)"renewed", 7, 1900, 2000), STORE_OK);
    ck_assert_int_eq(object_fresh_until(object), 1900);
    ck_assert_mem_eq(object_meta(object, &length), "renewed", 7);
    ck_assert_uint_eq(length, 7);
    ck_assert_int_eq(store_next_expiry(&here.store), 1500);
    ck_assert_ptr_eq(find(here.news, "a", 1999), object);
    ck_assert_int_eq(store_update(&here.store, object, NULL, 0, 5, 100), STORE_OK);
    object_meta(object, &length);
    ck_assert_uint_eq(length, 0);
    ck_assert_int_eq(store_next_expiry(&here.store), 100);
    object_read(object, 0, here.out, 70000);
    ck_assert(is_pattern(here.out, 1, 0, 70000));
    store_unpin(&here.store, &object);
    ck_assert_ptr_null(find(here.news, "a", 100));
    end();
}
END_TEST

/* Room for the new metadata is made without the very object that is updated: `_i` is 0, there is no other,
 * and 1, there is one whose memory is enough, though it was used later. */
START_TEST(update_does_not_evict_its_own_object)
{
    static uint8_t meta[60000];
    uint64_t seed = 1;
    struct object *object;

    begin_with(200000, 200000);
    put(here.news, "a", seed, _i == 0 ? 140000 : 80000, NEVER);
    object = find(here.news, "a", 0);
    store_pin(&here.store, object);
    if (_i == 1)
        put(here.news, "b", 2, 60000, NEVER);
    ck_assert_int_eq(store_update(&here.store, object, meta, sizeof(meta), NEVER, NEVER),
                     _i == 0 ? STORE_NO_MEMORY : STORE_OK);
    ck_assert_uint_eq(here.store.objects, 1);
    ck_assert_ptr_eq(find(here.news, "a", 0), object);
    ck_assert_ptr_null(find(here.news, "b", 0));
    object_read(object, 0, here.out, object_size(object));
    ck_assert(is_pattern(here.out, seed, 0, object_size(object)));
    check_accounts();
    store_unpin(&here.store, &object);
    ck_assert_ptr_nonnull(find(here.news, "a", 0));
    end();
}
END_TEST

/* ---- accounts ----------------------------------------------------------------------------------------- */

/* Against the allocator's own books. The sanitizers' allocators keep none. */
START_TEST(charge_is_what_the_process_pays)
{
    if (left_out(__func__, "valgrind's allocator keeps no books"))
        return;
    begin_with((uint64_t)64 << 20, MEMORY);
    for (int round = 0; round < 2; round++) {
        struct mallinfo2 before = mallinfo2();
        uint64_t charged = here.store.memory.used;

        for (uint64_t i = 0; i < 10000; i++)
            ck_assert_int_eq(
                put_key(key_number(here.news, i + 10000 * (uint64_t)round), i, 1024, NEVER, NEVER), STORE_OK);
        struct mallinfo2 after = mallinfo2();
        double paid = (double)(after.uordblks + after.hblkhd) - (double)(before.uordblks + before.hblkhd);
        double ratio = (double)(here.store.memory.used - charged) / paid;
        ck_assert_msg(SANITIZED || (ratio > 0.99 && ratio < 1.01), "charged %f of what was paid", ratio);
        /* What one small object costs besides its bytes. */
        ck_assert_uint_lt((here.store.memory.used - charged) / 10000, 1024 + 512);
    }
    end();
}
END_TEST

/* ---- a long random run against a model ------------------------------------------------------------------
 */

enum { KEYS = 150, VERSIONS = 40000, PINS = 12, FILLING = 4 };

struct version {
    bool stored;
    uint32_t key; /* number and tenant */
    uint64_t seed, size;
    int64_t keep_until;
    struct object *object; /* while pinned or filling */
    uint64_t used_at;      /* place in LRU order: the smallest is the next to go */
};

static struct {
    struct version versions[VERSIONS]; /* each version of an object that ever was */
    uint32_t count;
    uint32_t current[KEYS]; /* version number + 1; 0: not stored */
    uint32_t pins[PINS];    /* version number + 1 */
    uint32_t filling[FILLING];
    uint64_t clock, evictions[2], expired, state;
    int64_t now;
} model;

static struct tenant *tenant_of(uint32_t key)
{
    return key % 3 == 0 ? here.shop : here.news;
}

static const struct store_key *model_key(uint32_t key)
{
    return key_number(tenant_of(key), key);
}

static void forget(struct version *version)
{
    ck_assert(version->stored);
    version->stored = false;
    model.current[version->key] = 0;
}

/* NULL: nothing is stored under the key. */
static struct version *current(uint32_t key)
{
    return model.current[key] ? &model.versions[model.current[key] - 1] : NULL;
}

static bool is_pinned(const struct version *version)
{
    for (uint32_t i = 0; i < PINS; i++) {
        if (model.pins[i] && &model.versions[model.pins[i] - 1] == version)
            return true;
    }
    return false;
}

static struct version *coldest(const struct tenant *tenant)
{
    struct version *found = NULL;

    for (uint32_t key = 0; key < KEYS; key++) {
        struct version *version = current(key);
        if (version && tenant_of(key) == tenant && !is_pinned(version) &&
            (!found || version->used_at < found->used_at))
            found = version;
    }
    return found;
}

/* The store says how many it evicted of each tenant's; the model says which. */
static void follow_evictions(void)
{
    const struct tenant *tenants[] = {here.news, here.shop};

    for (int i = 0; i < ROWS(tenants); i++) {
        while (model.evictions[i] < tenants[i]->counters.values[COUNTER_evictions]) {
            struct version *cold = coldest(tenants[i]);
            ck_assert_ptr_nonnull(cold);
            forget(cold);
            model.evictions[i]++;
        }
    }
    ck_assert_uint_eq(model.evictions[0] + model.evictions[1], counted(COUNTER_evictions));
}

static void check_version(const struct object *object, const struct version *version)
{
    check_object(object, version->seed, version->size);
}

static struct object *find_in_both(uint32_t key)
{
    struct version *version = current(key);
    struct object *object = store_find(&here.store, model_key(key), model.now);

    if (version && version->keep_until <= model.now) {
        forget(version);
        model.expired++;
        version = NULL;
    }
    ck_assert_int_eq(object != NULL, version != NULL);
    ck_assert_uint_eq(counted(COUNTER_expired), model.expired);
    if (object) {
        check_version(object, version);
        version->used_at = ++model.clock;
    }
    return object;
}

static void step_find(void)
{
    find_in_both((uint32_t)random_below(&model.state, KEYS));
}

static void step_pin_or_unpin(void)
{
    uint32_t *pin = &model.pins[random_below(&model.state, PINS)];

    if (*pin) {
        struct version *version = &model.versions[*pin - 1];
        struct object *object = version->object;
        check_version(object, version); /* whatever happened to it meanwhile */
        store_unpin(&here.store, &object);
        *pin = 0;
        if (!is_pinned(version)) /* its last reader has just used it */
            version->used_at = ++model.clock;
        return;
    }
    uint32_t key = (uint32_t)random_below(&model.state, KEYS);
    struct object *object = find_in_both(key);
    if (!object)
        return;
    store_pin(&here.store, object);
    *pin = model.current[key];
    model.versions[*pin - 1].object = object;
}

static void step_remove(void)
{
    uint32_t key = (uint32_t)random_below(&model.state, KEYS);

    ck_assert_int_eq(store_remove(&here.store, model_key(key)), model.current[key] != 0);
    if (current(key))
        forget(current(key));
}

static uint64_t random_size(void)
{
    switch (random_below(&model.state, 8)) {
    case 0:
    case 3:
        return random_below(&model.state, 3 * BODY_CHUNK);
    case 1:
        return BODY_CHUNK + random_below(&model.state, 3) - 1;
    case 2:
        return 0;
    default:
        return random_below(&model.state, 4000);
    }
}

static void begin_fill(uint32_t *slot)
{
    struct version *version = &model.versions[model.count++];
    bool known = random_below(&model.state, 2);

    *version = (struct version){
        .key = (uint32_t)random_below(&model.state, KEYS),
        .seed = next_random(&model.state),
        .size = random_size(),
        .keep_until = model.now + (int64_t)random_below(&model.state, 300),
    };
    enum store_result result = store_fill_begin(
        &here.store, &version->object, model_key(version->key), (const uint8_t *)&version->seed,
        sizeof(version->seed), known ? version->size : BODY_SIZE_UNKNOWN, model.now, version->keep_until);
    follow_evictions();
    ck_assert(result == STORE_OK || result == STORE_NO_MEMORY);
    if (result == STORE_OK)
        *slot = model.count;
}

static void commit_fill(uint32_t *slot)
{
    struct version *version = &model.versions[*slot - 1];

    ck_assert_int_eq(store_fill_commit(&here.store, &version->object), STORE_OK);
    if (current(version->key))
        forget(current(version->key));
    version->stored = true;
    version->used_at = ++model.clock;
    model.current[version->key] = *slot;
    *slot = 0;
    follow_evictions();
}

static void grow_fill(uint32_t *slot)
{
    struct version *version = &model.versions[*slot - 1];
    uint64_t have = object_size(version->object);
    uint64_t length = 1 + random_below(&model.state, 2 * BODY_CHUNK);

    if (random_below(&model.state, 20) == 0) {
        store_fill_discard(&here.store, &version->object);
        *slot = 0;
        return;
    }
    if (length > version->size - have)
        length = version->size - have;
    fill_pattern(here.bytes, version->seed, have, length);
    enum store_result result = store_fill_append(&here.store, version->object, here.bytes, length);
    follow_evictions();
    ck_assert(result == STORE_OK || result == STORE_NO_MEMORY);
    if (result != STORE_OK) {
        store_fill_discard(&here.store, &version->object);
        *slot = 0;
    } else if (have + length == version->size) {
        commit_fill(slot);
    }
}

static void step_fill(void)
{
    uint32_t *slot = &model.filling[random_below(&model.state, FILLING)];

    if (*slot)
        grow_fill(slot);
    else
        begin_fill(slot);
}

static void step_update(void)
{
    uint32_t pin = model.pins[random_below(&model.state, PINS)];

    if (!pin)
        return;
    struct version *version = &model.versions[pin - 1];
    uint64_t seed = version->seed; /* other metadata would not be told apart from another version's */
    int64_t keep_until = model.now + (int64_t)random_below(&model.state, 300);
    enum store_result result = store_update(&here.store, version->object, (const uint8_t *)&seed,
                                            sizeof(seed), model.now, keep_until);
    follow_evictions();
    ck_assert(result == STORE_OK || result == STORE_MISMATCH || result == STORE_NO_MEMORY);
    ck_assert(result != STORE_OK || version->stored);
    ck_assert(result != STORE_MISMATCH || !version->stored);
    if (result == STORE_OK)
        version->keep_until = keep_until;
}

static void step_time(void)
{
    uint32_t due = 0;

    model.now += (int64_t)random_below(&model.state, 20);
    for (uint32_t key = 0; key < KEYS; key++) {
        struct version *version = current(key);
        if (version && version->keep_until <= model.now) {
            forget(version);
            due++;
        }
    }
    ck_assert_uint_eq(store_expire(&here.store, model.now, UINT32_MAX), due);
    model.expired += due;
}

static void check_everything(void)
{
    uint64_t objects = 0, pins = 0;

    for (uint32_t key = 0; key < KEYS; key++)
        objects += find_in_both(key) != NULL;
    for (int i = 0; i < PINS; i++)
        pins += model.pins[i] != 0;
    ck_assert_uint_eq(objects, here.store.objects);
    ck_assert_uint_eq(here.store.pins, pins);
    check_accounts();
}

static void end_model(void)
{
    for (int i = 0; i < PINS; i++) {
        if (model.pins[i]) {
            struct object *object = model.versions[model.pins[i] - 1].object;
            store_unpin(&here.store, &object);
        }
    }
    for (int i = 0; i < FILLING; i++) {
        if (model.filling[i])
            store_fill_discard(&here.store, &model.versions[model.filling[i] - 1].object);
    }
}

START_TEST(random_operations_agree_with_the_model)
{
    static void (*const steps[])(void) = {
        step_fill, step_fill,         step_fill,   step_fill,   step_find,
        step_find, step_pin_or_unpin, step_remove, step_update, step_time,
    };

    memset(&model, 0, sizeof(model));
    model.state = (uint64_t)_i;
    model.now = 1000;
    begin_with(200000 + 200000 * (uint64_t)_i, 600000);
    for (unsigned step = 0; step < fewer_rounds(15000, 5) && model.count < VERSIONS; step++) {
        steps[random_below(&model.state, ROWS(steps))]();
        if (step % 250 == 0)
            check_everything();
    }
    check_everything();
    ck_assert_uint_gt(counted(COUNTER_evictions), fewer_rounds(100, 5)); /* the run was about something */
    ck_assert_uint_gt(counted(COUNTER_expired), fewer_rounds(100, 5));
    end_model();
    end();
}
END_TEST

/* A smaller memory is reached by steps: the limit follows what is used, and no allocation in between has to
 * evict more than it needs. */
START_TEST(memory_shrinks_in_steps_and_grows_at_once)
{
    unsigned steps = 0;
    char key[32];
    uint64_t objects;
    struct object *pinned;

    begin();
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        put(here.news, key, (uint64_t)i, 3000, NEVER);
    }
    pinned = find(here.news, "k7", 0);
    store_pin(&here.store, pinned);
    objects = here.store.objects;
    store_resize(&here.store, MEMORY / 4, MEMORY / 8);
    ck_assert(store_is_resizing(&here.store));
    ck_assert_uint_eq(here.store.memory.limit, MEMORY);
    ck_assert_int_eq(put_key(key_of(here.news, "large"), 1, MEMORY / 8 + 1, NEVER, NEVER), STORE_TOO_LARGE);
    for (; store_is_resizing(&here.store); steps++) {
        store_resize_step(&here.store, NULL, 8);
        ck_assert_uint_ge(here.store.objects + 8, objects);
        objects = here.store.objects;
        check_accounts();
    }
    ck_assert_uint_gt(steps, 5);
    ck_assert_uint_eq(here.store.memory.limit, MEMORY / 4);
    ck_assert_uint_le(here.store.memory.used, MEMORY / 4);
    check_object(pinned, 7, 3000);
    ck_assert_ptr_nonnull(find(here.news, "k199", 0)); /* the oldest went first */
    ck_assert_ptr_null(find(here.news, "k0", 0));
    store_unpin(&here.store, &pinned);
    put(here.news, "more", 1, 3000, NEVER);
    store_resize(&here.store, MEMORY, MEMORY);
    ck_assert(!store_is_resizing(&here.store));
    ck_assert_uint_eq(here.store.memory.limit, MEMORY);
    ck_assert_uint_eq(here.store.max_object, MEMORY);
    end();
}
END_TEST

/* What is pinned cannot go: nothing spins for it, and the limit is what is used until it goes by itself. */
START_TEST(pinned_memory_holds_a_smaller_limit_up)
{
    struct object *pinned;

    begin();
    put(here.news, "a", 1, MEMORY / 3, NEVER);
    put(here.news, "b", 2, MEMORY / 3, NEVER);
    pinned = find(here.news, "a", 0);
    store_pin(&here.store, pinned);
    store_resize(&here.store, MEMORY / 8, MEMORY / 8);
    for (int i = 0; i < 1000 && store_is_resizing(&here.store); i++)
        store_resize_step(&here.store, NULL, 8);
    ck_assert(!store_is_resizing(&here.store));
    ck_assert_uint_gt(here.store.memory.limit, MEMORY / 3);
    ck_assert_uint_lt(here.store.memory.limit, MEMORY / 2);
    check_object(pinned, 1, MEMORY / 3);
    store_unpin(&here.store, &pinned);
    for (int i = 0; i < 1000 && store_is_resizing(&here.store); i++)
        store_resize_step(&here.store, NULL, 8);
    ck_assert_uint_eq(here.store.memory.limit, MEMORY / 8);
    end();
}
END_TEST

/* ---- objects that somebody watches ----------------------------------------------------------------------
 */

static struct {
    const struct object *changed; /* the last one */
    unsigned changes, questions;
    bool was_stored, used;
} watched;

static void note_change(void *context, struct object *object)
{
    ck_assert_ptr_eq(context, &watched);
    watched.changed = object;
    watched.was_stored = object_is_stored(object);
    watched.changes++;
    store_set_kept(object, false);
}

static bool answer_used(void *context, struct object *object)
{
    ck_assert_ptr_eq(context, &watched);
    ck_assert(object_is_kept(object));
    watched.questions++;
    return watched.used;
}

START_TEST(whoever_watches_is_told_of_kept_objects_alone)
{
    begin();
    store_watch(&here.store, (struct store_watch){note_change, answer_used, &watched});
    put(here.news, "a", 1, 100, NEVER);
    put(here.news, "b", 2, 100, NEVER);
    struct object *object = find(here.news, "a", 0);
    store_set_kept(object, true);
    ck_assert(store_remove(&here.store, key_of(here.news, "b")));
    ck_assert_uint_eq(watched.changes, 0);
    store_pin(&here.store, object);
    ck_assert_int_eq(store_update(&here.store, object, here.bytes, 8, NEVER, NEVER), STORE_OK);
    ck_assert_uint_eq(watched.changes, 1);
    ck_assert_int_eq(store_update(&here.store, object, here.bytes, 8, NEVER, NEVER), STORE_OK);
    ck_assert_uint_eq(watched.changes, 1); /* not kept any more */
    store_set_kept(object, true);
    put(here.news, "a", 3, 100, NEVER); /* takes its place */
    ck_assert_uint_eq(watched.changes, 2);
    ck_assert_ptr_eq(watched.changed, object);
    ck_assert(watched.was_stored);
    ck_assert(!object_is_kept(find(here.news, "a", 0))); /* that is another one */
    store_unpin(&here.store, &object);
    end();
}
END_TEST

/* All are kept, and all are used: so many are spared, then one goes. */
START_TEST(eviction_asks_so_often)
{
    const uint64_t size = 20000;
    uint64_t number = 0;

    begin();
    store_watch(&here.store, (struct store_watch){note_change, answer_used, &watched});
    watched.used = true;
    for (; counted(COUNTER_evictions) == 0; number++) {
        ck_assert_int_eq(put_key(key_number(here.news, number), number, size, NEVER, NEVER), STORE_OK);
        store_set_kept(store_find(&here.store, key_number(here.news, number), 0), true);
    }
    ck_assert_uint_eq(watched.questions, STORE_CHANCES);
    ck_assert_uint_eq(watched.changes, 1);
    for (uint64_t i = 0; i < STORE_CHANCES; i++)
        check_object(store_find(&here.store, key_number(here.news, i), 0), i, size);
    ck_assert_ptr_null(store_find(&here.store, key_number(here.news, STORE_CHANCES), 0));
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, whoever_watches_is_told_of_kept_objects_alone);
    tcase_add_test(tcase, eviction_asks_so_often);
    tcase_add_test(tcase, tenants_do_not_see_each_other);
    tcase_add_test(tcase, keys_are_compared_whole);
    tcase_add_test(tcase, colliding_hashes_are_told_apart);
    tcase_add_test(tcase, hashes_are_keyed_by_the_run);
    tcase_add_test(tcase, impossible_key_lengths_are_a_bug);
    ADD_ROWS(tcase, every_size_comes_back, sizes);
    tcase_add_test(tcase, metadata_of_every_size);
    tcase_add_test(tcase, too_large_is_refused);
    tcase_add_test(tcase, more_or_fewer_bytes_than_announced);
    tcase_add_test(tcase, least_recently_used_goes_first);
    tcase_add_test(tcase, memory_stays_within_its_limit_whatever_comes);
    tcase_add_test(tcase, one_tenant_holds_no_more_than_half);
    tcase_add_test(tcase, held_is_all_that_an_object_takes);
    tcase_add_test(tcase, much_memory_is_given_back_in_pieces);
    tcase_add_test(tcase, objects_of_doomed_tenants_are_purged);
    tcase_add_test(tcase, pinned_memory_is_not_given_twice);
    tcase_add_test(tcase, refused_allocation_is_survived_wherever_it_hits);
    tcase_add_test(tcase, replaced_object_lives_until_its_last_reader_goes);
    tcase_add_test(tcase, removed_object_lives_until_its_last_reader_goes);
    tcase_add_test(tcase, unpinned_object_stays_stored);
    tcase_add_test(tcase, kept_until_and_not_longer);
    tcase_add_test(tcase, expiry_takes_the_earliest_within_its_bound);
    tcase_add_test(tcase, extreme_times_are_just_times);
    tcase_add_test(tcase, expired_object_lives_until_its_last_reader_goes);
    tcase_add_test(tcase, pinned_while_it_grows);
    tcase_add_test(tcase, update_renews_metadata_and_times);
    tcase_add_loop_test(tcase, update_does_not_evict_its_own_object, 0, 2);
    tcase_add_test(tcase, memory_shrinks_in_steps_and_grows_at_once);
    tcase_add_test(tcase, pinned_memory_holds_a_smaller_limit_up);
    tcase_add_test(tcase, charge_is_what_the_process_pays);
    tcase_add_loop_test(tcase, random_operations_agree_with_the_model, 1, 5);
}

int main(void)
{
    return run_suite("store", add_cases);
}
