/* holds: what the guard words say after everything that can happen to an object, a segment or a session; how
 * uses are counted; the bounds. A model that knows no table says which words must be stale. */
#include "holds.h"

#include "cache.h"
#include "check_unit.h"
#include "names.h"
#include "purge.h"
#include "shm_guard.h"
#include "test_support.h"

#include <sys/mman.h>

#define NOW      INT64_C(1000)
#define LATER    INT64_C(100000)
#define SESSIONS 3u
#define SEGMENTS 16u

static struct cache cache;
static struct tenant *news;
static struct session sessions[SESSIONS];
static char instance[TEST_INSTANCE_BYTES];

static void open_session(struct session *session, uint64_t token, uint32_t segments)
{
    const struct pool_shape shape = {.segments = segments, .segment_bytes = 4096, .ring_entries = 16};
    char name[NAMES_BYTES];

    memset(session, 0, sizeof(*session));
    session->cache = &cache;
    session->token = token;
    session->tenant = news;
    session->role = WIRE_ROLE_PROXY;
    session->process = process_join(&cache.processes, (pid_t)token, 0);
    ck_assert_ptr_nonnull(session->process);
    names_peer(name, instance, token);
    ck_assert_int_eq(segment_pool_create(&session->pool, name, &shape, 1), 0);
    shm_unlink(name);
    cache.registry.places[token].session = session;
}

static void close_session(struct session *session)
{
    holds_part(session);
    ck_assert(pool_has_ended(&session->pool) == !session->obstructs);
    cache.spoiled -= session->spoiled;
    cache.registry.places[session->token].session = NULL;
    process_leave(&cache.processes, &session->process);
    segment_pool_destroy(&session->pool);
}

static void begin_with(uint64_t memory, uint32_t segments)
{
    memset(&cache, 0, sizeof(cache));
    ck_assert_int_eq(shm_guard_setup(), 0);
    ck_assert_int_eq(store_setup(&cache.store, memory, 1 << 20, &cache.counters), 0);
    store_watch(&cache.store, (struct store_watch){holds_changed, holds_used, &cache});
    leases_setup(&cache.leases, &cache.store);
    cache.now = NOW;
    news = tenants_get(&cache.tenants, "news");
    test_instance_name(instance, "holds");
    for (uint32_t i = 0; i < SESSIONS; i++)
        open_session(&sessions[i], i + 1, segments);
}

static void begin(void)
{
    begin_with(64 << 20, SEGMENTS);
}

static void end(void)
{
    for (uint32_t i = 0; i < SESSIONS; i++)
        close_session(&sessions[i]);
    ck_assert_ptr_null(news->holds);
    ck_assert_uint_eq(cache.kept, 0);
    ck_assert_uint_eq(cache.spoiled, 0);
    purge_forget(&cache, news);
    leases_teardown(&cache.leases);
    store_teardown(&cache.store);
    ck_assert_uint_eq(news->account.used, 0);
    tenants_free(&cache.tenants);
    tops_free(&cache.tops);
}

/* ---- short words for it ---- */

static void set_key(const char *key)
{
    store_key_set(&cache.store, &cache.key, news, (const uint8_t *)key, (uint32_t)strlen(key));
}

static struct object *peek(const char *key)
{
    set_key(key);
    return store_peek(&cache.store, &cache.key);
}

static void put(const char *key, uint32_t size)
{
    static uint8_t bytes[10000];
    struct tag_list list = {0};
    struct object *object;

    set_key(key);
    ck_assert_int_eq(
        store_fill_begin(&cache.store, &object, &cache.key, (const uint8_t *)"m", 1, size, LATER, LATER),
        STORE_OK);
    tag_list_add(&list, store_tag(&cache.store, news, (const uint8_t *)key, 1)); /* its first letter */
    ck_assert_int_eq(store_set_tags(&cache.store, object, &list), STORE_OK);
    ck_assert_int_eq(store_fill_append(&cache.store, object, bytes, size), STORE_OK);
    ck_assert_int_eq(store_fill_commit(&cache.store, &object), STORE_OK);
}

static bool take(unsigned session, const char *key, uint32_t segment)
{
    ck_assert(holds_prepare(&sessions[session]));
    return holds_take(&sessions[session], peek(key), segment);
}

static uint32_t word(unsigned session, uint32_t segment)
{
    return segment_guard(&sessions[session].pool, segment);
}

static void use(unsigned session, uint32_t segment, unsigned times)
{
    while (times-- > 0)
        segment_count_use(&sessions[session].pool, segment);
}

static uint64_t counter(enum counter counter)
{
    ck_assert_uint_eq(cache.counters.values[counter], news->counters.values[counter]);
    return cache.counters.values[counter];
}

/* ---- one hold ---- */

START_TEST(words_come_with_holds_and_go_with_them)
{
    begin();
    put("a", 10);
    ck_assert(!object_is_kept(peek("a")));
    ck_assert_uint_eq(word(0, 3), POOL_STALE);
    ck_assert(take(0, "a", 3) && take(1, "a", 5));
    uint32_t first = word(0, 3);
    ck_assert_uint_ne(first, POOL_STALE);
    ck_assert(object_is_kept(peek("a")));
    ck_assert_uint_eq(holds_of_tenant(news), 2);
    ck_assert(take(0, "a", 3)); /* again: another word */
    ck_assert(word(0, 3) != POOL_STALE && word(0, 3) != first);
    ck_assert_uint_eq(holds_of_session(&sessions[0]), 1);
    holds_end(&sessions[0], 3);
    ck_assert_uint_eq(word(0, 3), POOL_STALE);
    ck_assert(object_is_kept(peek("a")));
    holds_end(&sessions[0], 3); /* there is nothing to end */
    holds_end(&sessions[0], SEGMENTS);
    holds_end(&sessions[0], WIRE_NO_SEGMENT);
    holds_end(&sessions[2], 3);
    holds_end(&sessions[1], 5);
    ck_assert(!object_is_kept(peek("a")));
    ck_assert_uint_eq(holds_of_tenant(news), 0);
    end();
}
END_TEST

static void is_replaced(void)
{
    put("a", 20);
}
static void is_removed(void)
{
    set_key("a");
    ck_assert(store_remove(&cache.store, &cache.key));
}
static void is_renewed(void)
{
    struct object *object = peek("a");

    store_pin(&cache.store, object);
    ck_assert_int_eq(store_update(&cache.store, object, (const uint8_t *)"new", 3, LATER, LATER), STORE_OK);
    store_unpin(&cache.store, &object);
}
static void expires(void)
{
    ck_assert_uint_ge(store_expire(&cache.store, LATER, 10), 1);
}
static void is_found_too_late(void)
{
    set_key("a");
    ck_assert_ptr_null(store_find(&cache.store, &cache.key, LATER));
}
static void is_purged_with_its_tenant(void)
{
    ck_assert_uint_ge(store_purge(&cache.store, news, 10), 1);
}
static void is_evicted(void)
{
    store_resize(&cache.store, 1000, 100);
    store_resize_step(&cache.store, news, 10);
}
static void is_over_the_limit(void)
{
    news->account.limit = 100;
    ck_assert_uint_ge(store_shrink(&cache.store, news, 10), 1);
}
static void purge(enum purge_scope scope, bool soft, const char *what)
{
    struct tag_list list = {0};
    struct purge_order order = {news, scope, soft, (const uint8_t *)what, (uint32_t)strlen(what), &list};
    struct purge_effect effect;

    tag_list_add(&list, store_tag(&cache.store, news, (const uint8_t *)what, order.length));
    ck_assert_int_eq(purge_carry_out(&cache, &order, &effect), PURGE_DONE);
}
static void is_purged_by_key(void)
{
    purge(PURGE_KEY, false, "a");
}
static void lapses_by_key(void)
{
    purge(PURGE_KEY, true, "a");
}
static void is_purged_by_prefix(void)
{
    purge(PURGE_PREFIXED, false, "");
}
static void lapses_by_prefix(void)
{
    purge(PURGE_PREFIXED, true, "a");
}
static void is_purged_by_tag(void)
{
    purge(PURGE_TAGGED, false, "a");
}
static void lapses_by_tag(void)
{
    purge(PURGE_TAGGED, true, "a");
}

static void (*const ways[])(void) = {
    is_replaced,      is_removed,          is_renewed,
    expires,          is_found_too_late,   is_purged_with_its_tenant,
    is_evicted,       is_over_the_limit,   is_purged_by_key,
    lapses_by_key,    is_purged_by_prefix, lapses_by_prefix,
    is_purged_by_tag, lapses_by_tag,
};

/* Pinned by somebody or not (what is evicted is not). */
START_TEST(every_change_is_marked)
{
    for (int pinned = 0; pinned < 2; pinned++) {
        bool evicts = ways[_i] == is_evicted || ways[_i] == is_over_the_limit;

        begin();
        put("a", 10);
        ck_assert(take(0, "a", 3) && take(1, "a", 5) && take(1, "a", 7));
        use(1, 7, 4);
        struct object *object = peek("a");
        if (pinned && !evicts)
            store_pin(&cache.store, object);
        ways[_i]();
        ck_assert_uint_eq(word(0, 3) | word(1, 5) | word(1, 7), POOL_STALE);
        ck_assert_uint_eq(cache.kept, 0);
        ck_assert_uint_eq(counter(COUNTER_kept_hits), 4);
        if (pinned && !evicts)
            store_unpin(&cache.store, &object);
        news->account.limit = 0;
        end();
    }
}
END_TEST

/* Far more objects than a purge visits at once, before and behind the one that is kept. */
START_TEST(purge_marks_what_it_has_not_come_to)
{
    char key[16];

    begin();
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "a%d", i);
        put(key, 1);
    }
    for (unsigned i = 0; i < 8; i++) {
        snprintf(key, sizeof(key), "a%u", i * 400);
        ck_assert(take(i % 2, key, i));
    }
    ways[_i]();
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(word(i % 2, i), POOL_STALE);
    ck_assert(!purge_is_over(&cache));
    while (!purge_is_over(&cache))
        purge_step(&cache);
    ck_assert_uint_eq(counter(COUNTER_purged), 3000);
    end();
}
END_TEST

/* ---- bounds ---- */

START_TEST(session_keeps_half_of_its_segments)
{
    begin();
    put("a", 10);
    put("b", 10);
    for (uint32_t i = 0; i < SEGMENTS / 2; i++)
        ck_assert(take(0, i % 2 ? "a" : "b", i));
    ck_assert(!take(0, "a", SEGMENTS - 1));
    ck_assert_uint_eq(word(0, SEGMENTS - 1), POOL_STALE);
    ck_assert(take(1, "a", 0)); /* another one may */
    is_removed();               /* ends half of them */
    for (uint32_t i = 0; i < SEGMENTS / 4; i++)
        ck_assert(take(0, "b", SEGMENTS - 1 - i));
    ck_assert(!take(0, "b", 1));
    end();
}
END_TEST

START_TEST(tenant_keeps_so_many)
{
    struct session more[4];

    begin_with(64 << 20, 2);
    put("a", 10);
    for (unsigned i = 0; i < 4; i++) {
        open_session(&more[i], 10 + i, 4096);
        ck_assert(holds_prepare(&more[i]));
        for (uint32_t segment = 0; segment < HOLDS_MAX_SESSION; segment++)
            ck_assert(holds_take(&more[i], peek("a"), segment));
        ck_assert(!holds_take(&more[i], peek("a"), 4000));
    }
    ck_assert_uint_eq(holds_of_tenant(news), HOLDS_MAX_TENANT);
    ck_assert(!take(0, "a", 0));
    holds_end(&more[2], 77);
    ck_assert(take(0, "a", 0));
    is_removed();
    ck_assert_uint_eq(cache.kept, 0);
    for (unsigned i = 0; i < 4; i++)
        close_session(&more[i]);
    end();
}
END_TEST

START_TEST(nothing_is_kept_without_memory)
{
    begin();
    uint64_t used = news->account.used;
    news->account.limit = 1000;
    cache.mono_ms = 5000;
    ck_assert(!holds_prepare(&sessions[0]));
    ck_assert_uint_eq(news->account.used, used);
    ck_assert_ptr_null(news->holds);
    news->account.limit = 0;
    ck_assert(!holds_prepare(&sessions[0])); /* not with each look-up */
    cache.mono_ms += HOLDS_RETRY_MS;
    ck_assert(holds_prepare(&sessions[0]));
    ck_assert_uint_gt(news->account.used, used);
    end();
}
END_TEST

/* ---- use ---- */

static void collect_all(void)
{
    cache.mono_ms += HOLDS_ROUND_MS;
    for (int i = 0; i < 100; i++)
        holds_collect_step(&cache);
}

START_TEST(uses_are_counted_once)
{
    begin();
    put("a", 10);
    ck_assert(take(0, "a", 3) && take(1, "a", 5));
    use(0, 3, 100);
    collect_all();
    ck_assert_uint_eq(counter(COUNTER_kept_hits), 100);
    ck_assert_uint_eq(sessions[0].counters.values[COUNTER_kept_hits], 100);
    collect_all();
    use(1, 5, 7);
    holds_collect(&cache);
    ck_assert_uint_eq(counter(COUNTER_kept_hits), 107);
    use(1, 5, 2);
    holds_end(&sessions[1], 5);
    ck_assert_uint_eq(counter(COUNTER_kept_hits), 109);
    ck_assert_uint_eq(counter(COUNTER_hits), 109);
    /* Another hold of that segment begins with what the counter says by then. */
    use(1, 5, 50);
    ck_assert(take(1, "a", 5));
    use(1, 5, 1);
    holds_collect(&cache);
    ck_assert_uint_eq(counter(COUNTER_hits), 110);
    end();
}
END_TEST

START_TEST(absurd_counts_are_not_believed)
{
    begin();
    put("a", 10);
    ck_assert(take(0, "a", 3));
    atomic_store(&segment_header(&sessions[0].pool, 3)->uses, UINT32_MAX); /* also one back */
    holds_collect(&cache);
    ck_assert_uint_eq(counter(COUNTER_kept_hits), HOLDS_MOST_USES);
    atomic_store(&segment_header(&sessions[0].pool, 3)->uses, 4); /* over the end: five */
    holds_collect(&cache);
    ck_assert_uint_eq(counter(COUNTER_kept_hits), HOLDS_MOST_USES + 5);
    end();
}
END_TEST

START_TEST(many_uses_are_among_the_most_used)
{
    struct wire_top_row rows[2 * WIRE_TOP_MOST];

    begin();
    put("a", 10);
    ck_assert(take(0, "a", 3));
    atomic_store(&segment_header(&sessions[0].pool, 3)->uses, 64000);
    holds_collect(&cache);
    struct top *top = tops_find(&cache.tops, news->id, 0, false);
    ck_assert_ptr_nonnull(top);
    ck_assert_uint_eq(top_rows(&cache.tops, top, "news", 1, rows), 2); /* the key and its tag */
    ck_assert_uint_eq(rows[0].count, 64000 / WIRE_SAMPLE);
    end();
}
END_TEST

static const enum eviction_policy policies[] = {EVICTION_lru, EVICTION_s3fifo, EVICTION_sieve};

/* The coldest by the store's own knowledge, used without it; the other one is kept and not used. `_i`: with
 * each policy, asked when it is about to go (even) or collected before (odd). */
START_TEST(what_is_used_is_not_cold)
{
    char key[16];

    begin_with(1 << 20, SEGMENTS);
    eviction_configure(&news->eviction, policies[_i / 2], false);
    put("used", 5000);
    put("kept", 5000);
    ck_assert(take(0, "used", 3) && take(0, "kept", 4));
    for (int i = 0; i < 1000; i++) {
        use(0, 3, 1);
        if (_i % 2)
            collect_all();
        snprintf(key, sizeof(key), "cold%d", i);
        put(key, 5000);
    }
    ck_assert_uint_gt(counter(COUNTER_evictions), 700);
    ck_assert_ptr_nonnull(peek("used"));
    ck_assert_uint_ne(word(0, 3), POOL_STALE);
    ck_assert_ptr_null(peek("kept"));
    ck_assert_uint_eq(word(0, 4), POOL_STALE);
    end();
}
END_TEST

/* Everything claims to be used all the time: room is made nevertheless. */
START_TEST(liars_do_not_stop_eviction)
{
    char key[16];

    begin_with(1 << 20, 256);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "a%d", i);
        put(key, 5000);
        take(0, key, (uint32_t)i % 256);
        for (uint32_t segment = 0; segment < 256; segment++)
            use(0, segment, 1);
    }
    ck_assert_uint_gt(counter(COUNTER_evictions), 700);
    end();
}
END_TEST

/* ---- pools that lose pages ---- */

START_TEST(lost_page_spoils_its_session_only)
{
    begin();
    put("a", 10);
    ck_assert(take(0, "a", 3) && take(1, "a", 5));
    ck_assert_int_eq(ftruncate(sessions[0].pool.fd, 0), 0);
    shm_guard_enter(sessions[1].pool.base, sessions[1].pool.bytes);
    is_removed();
    ck_assert(shm_guard_leave()); /* whoever is served has lost nothing */
    ck_assert_uint_eq(word(1, 5), POOL_STALE);
    ck_assert(sessions[0].spoiled && !sessions[1].spoiled);
    ck_assert_uint_eq(cache.spoiled, 1);
    end();
}
END_TEST

/* Each page of a lost pool that is touched costs the cache mappings. */
START_TEST(spoiled_pool_is_left_alone)
{
    uint32_t there = 0xffffffff;

    begin();
    put("a", 10);
    put("b", 10);
    ck_assert(take(0, "a", 3) && take(0, "b", 5));
    ck_assert_int_eq(ftruncate(sessions[0].pool.fd, 0), 0);
    is_removed();
    ck_assert(sessions[0].spoiled);
    shm_guard_enter(sessions[0].pool.base, sessions[0].pool.bytes);
    segment_set_guard(&sessions[0].pool, 5, there); /* in the page that stands in for the lost one */
    (void)shm_guard_leave();
    ck_assert(holds_prepare(&sessions[0]));
    holds_end(&sessions[0], 5);
    ck_assert_uint_eq(word(0, 5), there);
    end();
}
END_TEST

START_TEST(lost_page_found_at_the_end_leaves_nothing)
{
    begin();
    put("a", 10);
    ck_assert(take(0, "a", 3));
    ck_assert_int_eq(ftruncate(sessions[0].pool.fd, 0), 0);
    end();
}
END_TEST

/* The one that is served has lost it: what is read of that page later is no fault any more, so it must be
 * known by then. */
START_TEST(lost_page_of_who_is_served_counts_for_both)
{
    begin();
    put("a", 10);
    ck_assert(take(0, "a", 3));
    ck_assert_int_eq(ftruncate(sessions[0].pool.fd, 0), 0);
    shm_guard_enter(sessions[0].pool.base, sessions[0].pool.bytes);
    is_removed();
    ck_assert(shm_guard_faulted());
    ck_assert(!shm_guard_leave());
    ck_assert(sessions[0].spoiled);
    end();
}
END_TEST

/* ---- anything in any order ---- */

#define KEYS 6

static struct {
    int key[SESSIONS][SEGMENTS]; /* that is kept there; -1: nothing */
    uint32_t words[SESSIONS][SEGMENTS];
    uint64_t uses;
} model;

static void model_forget(int key)
{
    for (unsigned i = 0; i < SESSIONS * SEGMENTS; i++) {
        int *at = &model.key[i / SEGMENTS][i % SEGMENTS];
        if (*at == key || (key < 0))
            *at = -1;
    }
}

static void compare(void)
{
    uint32_t kept = 0;

    for (unsigned i = 0; i < SESSIONS; i++) {
        for (uint32_t segment = 0; segment < SEGMENTS; segment++) {
            bool is_kept = model.key[i][segment] >= 0;
            ck_assert_uint_eq(word(i, segment), is_kept ? model.words[i][segment] : POOL_STALE);
            kept += is_kept;
        }
    }
    ck_assert_uint_eq(holds_of_tenant(news), kept);
    ck_assert_uint_eq(cache.kept, kept);
}

static void take_something(unsigned session, uint32_t segment, int key)
{
    char name[2] = {(char)('a' + key), '\0'};
    struct object *object = peek(name);

    holds_end(&sessions[session], segment);
    model.key[session][segment] = -1;
    if (!object || !take(session, name, segment))
        return;
    model.key[session][segment] = key;
    ck_assert_uint_ne(word(session, segment), model.words[session][segment]);
    model.words[session][segment] = word(session, segment);
}

static void do_something(uint64_t *state)
{
    unsigned session = (unsigned)random_below(state, SESSIONS);
    uint32_t segment = (uint32_t)random_below(state, SEGMENTS);
    int key = (int)random_below(state, KEYS);
    char name[2] = {(char)('a' + key), '\0'};

    switch (random_below(state, 16)) {
    case 0:
        put(name, 10);
        model_forget(key);
        break;
    case 1:
        purge((enum purge_scope)random_below(state, 3), random_below(state, 2), name);
        model_forget(key);
        break;
    case 2:
        purge(PURGE_PREFIXED, random_below(state, 2), "");
        model_forget(-1);
        break;
    case 3:
        holds_end(&sessions[session], segment);
        model.key[session][segment] = -1;
        break;
    case 4:
        purge_step(&cache);
        break;
    case 5:
        collect_all();
        break;
    case 6:
        close_session(&sessions[session]);
        open_session(&sessions[session], session + 1, SEGMENTS);
        memset(model.key[session], -1, sizeof(model.key[session]));
        memset(model.words[session], 0, sizeof(model.words[session]));
        break;
    case 7:
        if (model.key[session][segment] >= 0) {
            use(session, segment, 3);
            model.uses += 3;
        }
        break;
    default:
        take_something(session, segment, key);
    }
}

START_TEST(words_are_as_the_model_says)
{
    uint64_t state = (uint64_t)_i;

    begin();
    memset(&model, 0, sizeof(model));
    model_forget(-1);
    for (unsigned i = 0; i < SESSIONS; i++)
        memset(model.key[i], -1, sizeof(model.key[i]));
    for (int i = 0; i < 5000; i++) {
        do_something(&state);
        compare();
    }
    purge(PURGE_PREFIXED, false, "");
    ck_assert_uint_eq(counter(COUNTER_kept_hits), model.uses);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, words_come_with_holds_and_go_with_them);
    ADD_ROWS(tcase, every_change_is_marked, ways);
    tcase_add_loop_test(tcase, purge_marks_what_it_has_not_come_to, ROWS(ways) - 4, ROWS(ways));
    tcase_add_test(tcase, session_keeps_half_of_its_segments);
    tcase_add_test(tcase, tenant_keeps_so_many);
    tcase_add_test(tcase, nothing_is_kept_without_memory);
    tcase_add_test(tcase, uses_are_counted_once);
    tcase_add_test(tcase, absurd_counts_are_not_believed);
    tcase_add_test(tcase, many_uses_are_among_the_most_used);
    tcase_add_loop_test(tcase, what_is_used_is_not_cold, 0, 2 * ROWS(policies));
    tcase_add_test(tcase, liars_do_not_stop_eviction);
    tcase_add_test(tcase, lost_page_spoils_its_session_only);
    tcase_add_test(tcase, spoiled_pool_is_left_alone);
    tcase_add_test(tcase, lost_page_found_at_the_end_leaves_nothing);
    tcase_add_test(tcase, lost_page_of_who_is_served_counts_for_both);
    tcase_add_loop_test(tcase, words_are_as_the_model_says, 0, 8);
}

int main(void)
{
    return run_suite("holds", add_cases);
}
