/* lease: one holder a key, and every way in which a lease ends. */
#include "lease.h"

#include "check_unit.h"

#include <string.h>

#define LATER INT64_C(2000)

static struct {
    struct counters counters;
    struct store store;
    struct leases leases;
    struct tenants tenants;
    struct tenant *news, *shop;
    struct store_key key;
    uint8_t bytes[3 * BODY_CHUNK];
} here;

static void begin_with(uint64_t memory, uint64_t max_object)
{
    ck_assert_int_eq(store_setup(&here.store, memory, max_object, &here.counters), 0);
    leases_setup(&here.leases, &here.store);
    here.news = tenants_get(&here.tenants, "news");
    here.shop = tenants_get(&here.tenants, "shop");
    fill_pattern(here.bytes, 1, 0, sizeof(here.bytes));
}

static void begin(void)
{
    begin_with(4 << 20, 1 << 20);
}

static void end(void)
{
    ck_assert_uint_eq(here.news->leases + here.shop->leases, 0);
    leases_teardown(&here.leases);
    store_teardown(&here.store);
    ck_assert_uint_eq(here.news->account.used + here.shop->account.used, 0);
    tenants_free(&here.tenants);
}

static const struct store_key *key_of(struct tenant *tenant, const char *text)
{
    store_key_set(&here.store, &here.key, tenant, (const uint8_t *)text, (uint32_t)strlen(text));
    return &here.key;
}

static struct lease *grant(struct tenant *tenant, const char *text)
{
    return lease_grant(&here.leases, key_of(tenant, text), 0);
}

static struct object *look_up(struct tenant *tenant, const char *text)
{
    return store_find(&here.store, key_of(tenant, text), 0);
}

static enum store_result fill(struct lease *lease, uint64_t expected, uint64_t length)
{
    enum store_result result =
        lease_begin(&here.leases, lease, (const uint8_t *)"meta", 4, expected, LATER, LATER);

    return result == STORE_OK ? lease_append(&here.leases, lease, here.bytes, length, 0) : result;
}

START_TEST(one_holder_a_key)
{
    begin();
    struct lease *lease = grant(here.news, "a");
    ck_assert_ptr_nonnull(lease);
    ck_assert_ptr_null(grant(here.news, "a"));
    struct lease *other_key = grant(here.news, "b");
    struct lease *other_tenant = grant(here.shop, "a");
    ck_assert(other_key && other_tenant);
    ck_assert_uint_eq(here.leases.count, 3);
    ck_assert_uint_eq(here.news->leases, 2);
    ck_assert_uint_eq(here.shop->leases, 1);
    ck_assert(lease_key_is(lease, (const uint8_t *)"a", 1));
    ck_assert(!lease_key_is(lease, (const uint8_t *)"b", 1));
    ck_assert(!lease_key_is(lease, (const uint8_t *)"a", 0));
    ck_assert(!lease_key_is(lease, (const uint8_t *)"ab", 2));
    ck_assert(!lease_is_filling(lease));
    ck_assert_uint_eq(lease_filled(lease), 0);
    ck_assert(!lease_end(&here.leases, &lease)); /* nothing was under way */
    ck_assert_ptr_null(lease);
    lease = grant(here.news, "a"); /* free again */
    ck_assert_ptr_nonnull(lease);
    lease_end(&here.leases, &lease);
    lease_end(&here.leases, &other_key);
    lease_end(&here.leases, &other_tenant);
    end();
}
END_TEST

START_TEST(committed_fill_is_found)
{
    begin();
    struct lease *lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, 100, 60), STORE_OK);
    ck_assert(lease_is_filling(lease));
    ck_assert_uint_eq(lease_filled(lease), 60);
    ck_assert_ptr_null(look_up(here.news, "a")); /* unseen while it grows */
    ck_assert_ptr_null(grant(here.news, "a"));
    ck_assert_int_eq(lease_append(&here.leases, lease, here.bytes + 60, 40, 0), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_OK);
    ck_assert_ptr_null(lease);
    struct object *object = look_up(here.news, "a");
    ck_assert_ptr_nonnull(object);
    ck_assert_uint_eq(object_size(object), 100);
    object_read(object, 0, here.bytes + 1000, 100);
    ck_assert(is_pattern(here.bytes + 1000, 1, 0, 100));
    ck_assert_ptr_null(look_up(here.shop, "a"));
    ck_assert_uint_eq(here.leases.count, 0);
    end();
}
END_TEST

START_TEST(ended_fill_is_thrown_away)
{
    begin();
    struct lease *lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, BODY_SIZE_UNKNOWN, sizeof(here.bytes)), STORE_OK);
    uint64_t used = here.store.memory.used;
    ck_assert_uint_gt(used, sizeof(here.bytes));
    ck_assert(lease_end(&here.leases, &lease));
    ck_assert_uint_eq(here.store.memory.used, 0);
    ck_assert_ptr_null(look_up(here.news, "a"));
    end();
}
END_TEST

START_TEST(short_fill_is_not_committed)
{
    begin();
    struct lease *lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, 100, 99), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_MISMATCH);
    ck_assert_ptr_null(lease);
    ck_assert_ptr_null(look_up(here.news, "a"));
    ck_assert_uint_eq(here.leases.count, 0);
    end();
}
END_TEST

/* The key is removed while it is being filled: readers must not get what was fetched before. */
START_TEST(cancelled_fill_goes_on_but_ends_unstored)
{
    begin();
    struct lease *lease = grant(here.news, "a"), *other = grant(here.shop, "a");
    ck_assert_int_eq(fill(lease, 100, 50), STORE_OK);
    ck_assert_int_eq(fill(other, 10, 10), STORE_OK);
    ck_assert_ptr_eq(lease_cancel_key(&here.leases, key_of(here.news, "a")), lease);
    ck_assert_ptr_null(lease_cancel_key(&here.leases, key_of(here.news, "a")));
    ck_assert_ptr_null(lease_cancel_key(&here.leases, key_of(here.news, "nobody fills this")));
    ck_assert_ptr_null(lease_find(&here.leases, key_of(here.news, "a")));
    ck_assert_int_eq(lease_append(&here.leases, lease, here.bytes, 50, 0), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_CANCELLED);
    ck_assert_ptr_null(lease);
    ck_assert_ptr_null(look_up(here.news, "a"));
    ck_assert_int_eq(lease_commit(&here.leases, &other), STORE_OK);
    ck_assert_ptr_nonnull(look_up(here.shop, "a"));
    /* The next lease of that key is not tainted. */
    lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, 5, 5), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_OK);
    ck_assert_ptr_nonnull(look_up(here.news, "a"));
    end();
}
END_TEST

START_TEST(lease_cancelled_before_its_fill)
{
    begin();
    struct lease *lease = grant(here.news, "a");
    lease_cancel_key(&here.leases, key_of(here.news, "a"));
    ck_assert_int_eq(fill(lease, 5, 5), STORE_OK);
    lease_commit(&here.leases, &lease);
    ck_assert_ptr_null(look_up(here.news, "a"));
    end();
}
END_TEST

/* What was removed stays removed, and what is fetched afterwards is stored: both fills go on side by side. */
START_TEST(key_of_a_cancelled_lease_may_be_granted_anew)
{
    begin();
    struct lease *old = grant(here.news, "a");
    ck_assert_int_eq(fill(old, 100, 60), STORE_OK);
    lease_cancel_key(&here.leases, key_of(here.news, "a"));
    struct lease *lease = grant(here.news, "a");
    ck_assert_ptr_nonnull(lease);
    ck_assert_ptr_eq(lease_find(&here.leases, key_of(here.news, "a")), lease);
    ck_assert_uint_eq(here.leases.count, 2);
    ck_assert_int_eq(fill(lease, 7, 7), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_OK);
    ck_assert_int_eq(lease_append(&here.leases, old, here.bytes, 40, 0), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &old), STORE_CANCELLED);
    ck_assert_uint_eq(object_size(look_up(here.news, "a")), 7);
    old = grant(here.news, "a");
    ck_assert_int_eq(fill(old, 100, 60), STORE_OK);
    lease_cancel_key(&here.leases, key_of(here.news, "a"));
    ck_assert_int_eq(lease_commit(&here.leases, &old), STORE_MISMATCH);
    end();
}
END_TEST

/* What was announced does not count any more. `_i`: the key was removed meanwhile. */
START_TEST(fill_that_is_cut_short_is_found)
{
    begin();
    struct lease *lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, 100000, 60), STORE_OK);
    struct object *object = lease_object(lease);
    store_pin(&here.store, object);
    if (_i)
        lease_cancel_key(&here.leases, key_of(here.news, "a"));
    lease_cut_short(lease);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), _i ? STORE_CANCELLED : STORE_OK);
    ck_assert_ptr_eq(look_up(here.news, "a"), _i ? NULL : object);
    ck_assert_uint_eq(object_size(object), 60);
    ck_assert_uint_eq(object_expected(object), 60);
    uint8_t out[60];
    object_read(object, 0, out, sizeof(out));
    ck_assert(is_pattern(out, 1, 0, sizeof(out)));
    store_unpin(&here.store, &object);
    ck_assert_uint_eq(here.news->account.held, 0);
    end();
}
END_TEST

/* A reader of what grows may go on, whatever becomes of it. `_i`: how it ends. */
START_TEST(growing_object_is_read_to_its_end)
{
    enum { COMMIT, CANCEL, DISCARD };
    begin();
    struct lease *lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, BODY_SIZE_UNKNOWN, 1000), STORE_OK);
    struct object *object = lease_object(lease);
    ck_assert(object_is_held(object) && lease_is_of(lease, object));
    store_pin(&here.store, object);
    ck_assert_uint_eq(here.news->account.held, lease_charge(lease) + object_charge(object));
    if (_i == CANCEL)
        lease_cancel_key(&here.leases, key_of(here.news, "a"));
    ck_assert_int_eq(lease_append(&here.leases, lease, here.bytes + 1000, sizeof(here.bytes) - 1000, 0),
                     STORE_OK);
    ck_assert_uint_eq(here.news->account.held, lease_charge(lease) + object_charge(object));
    ck_assert_uint_eq(object_expected(object), BODY_SIZE_UNKNOWN);
    if (_i == DISCARD) {
        lease_discard(&here.leases, lease);
        ck_assert(!lease_is_filling(lease));
        ck_assert_int_eq(fill(lease, 5, 5), STORE_OK); /* anew */
        ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_OK);
        ck_assert_uint_eq(object_size(look_up(here.news, "a")), 5);
        store_remove(&here.store, key_of(here.news, "a"));
    } else {
        ck_assert_int_eq(lease_commit(&here.leases, &lease), _i == CANCEL ? STORE_CANCELLED : STORE_OK);
        ck_assert_uint_eq(object_expected(object), sizeof(here.bytes));
    }
    ck_assert_ptr_eq(look_up(here.news, "a"), _i == COMMIT ? object : NULL);
    ck_assert_uint_eq(here.news->account.held, object_charge(object));
    uint8_t out[3000];
    object_read(object, BODY_CHUNK - 1000, out, sizeof(out));
    ck_assert(is_pattern(out, 1, BODY_CHUNK - 1000, sizeof(out)));
    store_unpin(&here.store, &object);
    ck_assert_uint_eq(here.news->account.held, 0);
    ck_assert(_i == COMMIT ? look_up(here.news, "a") != NULL
                           : here.store.memory.used == here.store.index.used);
    end();
}
END_TEST

START_TEST(followers_are_kept_by_what_they_wait_for)
{
    struct session *one = (struct session *)(void *)&here, *two = (struct session *)(void *)here.bytes;

    begin();
    struct lease *lease = grant(here.news, "a");
    struct follower *first = lease_follow(&here.leases, lease, one);
    struct follower *second = lease_follow(&here.leases, lease, two);
    ck_assert(first && second && first->session == one && first->lease == lease);
    ck_assert_uint_eq(lease_followers(lease), 2);
    ck_assert_uint_eq(here.leases.followers + here.news->followers, 4);
    ck_assert_ptr_null(lease_waiting(lease));
    ck_assert(lease_not_waiting(lease) == first && first->next == second);
    follower_set_state(first, FOLLOWER_WAITING);
    ck_assert(lease_waiting(lease) == first && !first->next && lease_not_waiting(lease) == second);
    follower_set_state(first, FOLLOWER_DUE);
    ck_assert_ptr_null(lease_waiting(lease));
    ck_assert(!lease_is_told(lease));
    follower_tell(second);
    follower_tell(second);
    ck_assert(lease_is_told(lease));
    follower_set_state(second, FOLLOWER_WAITING);
    follower_decide(second, FATE_BROKEN);
    ck_assert(!second->lease && second->fate == FATE_BROKEN && !lease_is_told(lease));
    ck_assert_uint_eq(lease_followers(lease), 1);
    follower_set_state(second, FOLLOWER_DUE); /* in no list */
    ck_assert(!lease_waiting(lease) && lease_not_waiting(lease) == first);
    lease_unfollow(&here.leases, &first);
    ck_assert_ptr_null(first);
    ck_assert_uint_eq(here.leases.followers, 1); /* decided, and still its session's */
    lease_end(&here.leases, &lease);
    lease_unfollow(&here.leases, &second);
    ck_assert_uint_eq(here.leases.followers + here.news->followers, 0);
    end();
}
END_TEST

START_TEST(orphan_keeps_what_was_filled_for_another)
{
    struct session *one = (struct session *)(void *)&here, *two = (struct session *)(void *)here.bytes;
    uint64_t handle;

    begin();
    struct lease *lease = grant(here.news, "a");
    lease_set_holder(lease, one, 5);
    ck_assert_int_eq(fill(lease, 100, 60), STORE_OK);
    lease_abandon(&here.leases, lease, 70);
    ck_assert_ptr_null(lease_holder(lease, &handle));
    ck_assert_uint_eq(here.leases.orphans, 1);
    ck_assert_ptr_null(grant(here.news, "a"));
    lease_adopt(&here.leases, lease, two, 6, 90);
    ck_assert(lease_holder(lease, &handle) == two && handle == 6);
    ck_assert_uint_eq(here.leases.orphans, 0);
    ck_assert_int_eq(lease_touched(lease), 90);
    ck_assert_int_eq(lease_append(&here.leases, lease, here.bytes + 60, 40, 91), STORE_OK);
    ck_assert_int_eq(lease_commit(&here.leases, &lease), STORE_OK);
    object_read(look_up(here.news, "a"), 0, here.bytes + 1000, 100);
    ck_assert(is_pattern(here.bytes + 1000, 1, 0, 100));
    lease = grant(here.news, "b");
    lease_abandon(&here.leases, lease, 95);
    ck_assert(!lease_end(&here.leases, &lease));
    ck_assert_uint_eq(here.leases.orphans, 0);
    end();
}
END_TEST

START_TEST(who_makes_no_progress_is_named_once)
{
    begin();
    ck_assert_int_eq(lease_longest_quiet(&here.leases), INT64_MAX);
    ck_assert_ptr_null(lease_overdue(&here.leases, INT64_MAX));
    struct lease *a = lease_grant(&here.leases, key_of(here.news, "a"), 10);
    struct lease *b = lease_grant(&here.leases, key_of(here.news, "b"), 20);
    struct lease *c = lease_grant(&here.leases, key_of(here.shop, "c"), 30);
    ck_assert_int_eq(lease_begin(&here.leases, a, NULL, 0, 10, LATER, LATER), STORE_OK);
    ck_assert_int_eq(lease_append(&here.leases, a, here.bytes, 1, 40), STORE_OK);
    ck_assert_int_eq(lease_longest_quiet(&here.leases), 20);
    ck_assert_int_eq(lease_append(&here.leases, a, here.bytes, 0, 90), STORE_OK); /* which is no progress */
    ck_assert_int_eq(lease_touched(a), 40);
    ck_assert_ptr_null(lease_overdue(&here.leases, 19));
    ck_assert_ptr_eq(lease_overdue(&here.leases, 35), b);
    ck_assert_ptr_eq(lease_overdue(&here.leases, 35), c);
    ck_assert_ptr_null(lease_overdue(&here.leases, 35));
    lease_end(&here.leases, &c); /* in no list */
    lease_adopt(&here.leases, b, NULL, 0, 50);
    ck_assert_ptr_eq(lease_overdue(&here.leases, 50), a);
    lease_end(&here.leases, &b);
    ck_assert_ptr_null(lease_overdue(&here.leases, 100));
    ck_assert_int_eq(lease_longest_quiet(&here.leases), INT64_MAX);
    lease_end(&here.leases, &a);
    end();
}
END_TEST

START_TEST(refused_fill_leaves_the_lease)
{
    begin_with(4 << 20, 1000);
    struct lease *lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, 1001, 0), STORE_TOO_LARGE);
    ck_assert(!lease_is_filling(lease));
    ck_assert(!lease_end(&here.leases, &lease));
    lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, BODY_SIZE_UNKNOWN, 1001), STORE_TOO_LARGE);
    ck_assert(lease_is_filling(lease));
    ck_assert(lease_end(&here.leases, &lease));
    lease = grant(here.news, "a");
    ck_assert_int_eq(fill(lease, 10, 11), STORE_MISMATCH);
    ck_assert(lease_end(&here.leases, &lease));
    end();
}
END_TEST

/* Leases are charged: granting them for ever ends with no memory, not with a larger cache. */
START_TEST(leases_are_charged)
{
    enum { MOST = 4096 };
    static struct lease *leases[MOST];
    static uint8_t text[2048];
    uint32_t count = 0;

    begin_with(1 << 20, 1 << 20);
    while (count < MOST) {
        memcpy(text, &count, sizeof(count));
        store_key_set(&here.store, &here.key, here.news, text, sizeof(text));
        leases[count] = lease_grant(&here.leases, &here.key, 0);
        if (!leases[count])
            break;
        count++;
    }
    ck_assert_uint_gt(count, 200);
    ck_assert_uint_lt(count, 512);
    ck_assert_uint_eq(here.news->account.used + here.store.index.used, here.store.memory.used);
    ck_assert_uint_eq(here.news->account.held, here.news->account.used); /* nothing can evict them */
    while (count > 0)
        lease_end(&here.leases, &leases[--count]);
    ck_assert_uint_eq(here.store.memory.used, 0);
    end();
}
END_TEST

START_TEST(lease_knows_its_holder_and_its_last_progress)
{
    struct session *holder = (struct session *)(void *)&here; /* told apart only */
    uint64_t handle;

    begin();
    struct lease *lease = lease_grant(&here.leases, key_of(here.news, "a"), 100);
    lease_set_holder(lease, holder, 77);
    ck_assert_ptr_eq(lease_find(&here.leases, key_of(here.news, "a")), lease);
    ck_assert_ptr_null(lease_find(&here.leases, key_of(here.shop, "a")));
    ck_assert_ptr_eq(lease_holder(lease, &handle), holder);
    ck_assert_uint_eq(handle, 77);
    ck_assert_int_eq(lease_touched(lease), 100);
    ck_assert_int_eq(lease_begin(&here.leases, lease, NULL, 0, 10, LATER, LATER), STORE_OK);
    ck_assert_int_eq(lease_append(&here.leases, lease, here.bytes, 5, 250), STORE_OK);
    ck_assert_int_eq(lease_touched(lease), 250);
    ck_assert(lease_end(&here.leases, &lease));
    ck_assert_ptr_null(lease_find(&here.leases, key_of(here.news, "a")));
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, one_holder_a_key);
    tcase_add_test(tcase, committed_fill_is_found);
    tcase_add_test(tcase, ended_fill_is_thrown_away);
    tcase_add_test(tcase, short_fill_is_not_committed);
    tcase_add_test(tcase, cancelled_fill_goes_on_but_ends_unstored);
    tcase_add_test(tcase, lease_cancelled_before_its_fill);
    tcase_add_test(tcase, key_of_a_cancelled_lease_may_be_granted_anew);
    tcase_add_loop_test(tcase, fill_that_is_cut_short_is_found, 0, 2);
    tcase_add_loop_test(tcase, growing_object_is_read_to_its_end, 0, 3);
    tcase_add_test(tcase, followers_are_kept_by_what_they_wait_for);
    tcase_add_test(tcase, orphan_keeps_what_was_filled_for_another);
    tcase_add_test(tcase, who_makes_no_progress_is_named_once);
    tcase_add_test(tcase, refused_fill_leaves_the_lease);
    tcase_add_test(tcase, leases_are_charged);
    tcase_add_test(tcase, lease_knows_its_holder_and_its_last_progress);
}

int main(void)
{
    return run_suite("lease", add_cases);
}
