/* tenant: names, the bound, and which tenants make way for new ones. */
#include "tenant.h"

#include "check_unit.h"

#include <stdio.h>
#include <string.h>

static struct tenants tenants;

static struct tenant *get(uint32_t number)
{
    char name[NAMES_TENANT_MAX + 1];

    snprintf(name, sizeof(name), "tenant-%u", (unsigned)number);
    return tenants_get(&tenants, name);
}

static void be_in_use(struct tenant *tenant, uint32_t how)
{
    switch (how % 3) {
    case 0:
        tenant->proxies = 1;
        break;
    case 1:
        tenant->pins = 1;
        break;
    default:
        tenant->leases = 1;
        break;
    }
}

START_TEST(same_name_is_same_tenant)
{
    struct tenant *news = tenants_get(&tenants, "news"), *shop = tenants_get(&tenants, "shop");

    ck_assert_ptr_nonnull(news);
    ck_assert_ptr_ne(news, shop);
    ck_assert_ptr_eq(tenants_get(&tenants, "news"), news);
    ck_assert_ptr_ne(tenants_get(&tenants, "News"), news);
    ck_assert_str_eq(news->name, "news");
    ck_assert_uint_ne(news->id, shop->id);
    ck_assert_uint_eq(tenants.count, 3);
    tenants_free(&tenants);
    ck_assert_uint_eq(tenants.count, 0);
}
END_TEST

static const char *const bad_names[] = {
    "", " ", "a/b", "a b", "\xc3\xa4", "1234567890123456789012345678901234567890123456789012345678901234",
};

START_TEST(bad_name_is_no_tenant)
{
    ck_assert_ptr_null(tenants_get(&tenants, bad_names[_i]));
    ck_assert_uint_eq(tenants.count, 0);
}
END_TEST

START_TEST(longest_name_is_kept_whole)
{
    static const char name[] = "123456789012345678901234567890123456789012345678901234567890123";
    const struct tenant *tenant = tenants_get(&tenants, name);

    ck_assert_str_eq(tenant->name, name);
    tenants_free(&tenants);
}
END_TEST

START_TEST(number_of_tenants_is_bounded)
{
    for (uint32_t i = 0; i < TENANTS_MAX; i++) {
        struct tenant *tenant = get(i);
        ck_assert_ptr_nonnull(tenant);
        be_in_use(tenant, i);
    }
    ck_assert_ptr_null(get(TENANTS_MAX));
    ck_assert_uint_eq(tenants.count, TENANTS_MAX);
    for (uint32_t i = 0; i < TENANTS_MAX; i++)
        ck_assert_ptr_nonnull(get(i)); /* those who are there are found as ever */
    tenants_free(&tenants);
}
END_TEST

START_TEST(idle_ones_make_way_and_busy_ones_stay)
{
    struct tenant *busy[TENANTS_MAX];
    uint32_t highest = 0;

    for (uint32_t i = 0; i < TENANTS_MAX; i++) {
        busy[i] = get(i);
        highest = busy[i]->id;
        if (i % 5 != 0)
            be_in_use(busy[i], i);
    }
    struct tenant *newcomer = get(TENANTS_MAX);
    ck_assert_ptr_nonnull(newcomer);
    ck_assert_uint_gt(newcomer->id, highest);
    for (uint32_t i = 0; i < TENANTS_MAX; i++) {
        if (i % 5 != 0)
            ck_assert_ptr_eq(get(i), busy[i]);
    }
    /* One who comes back is a new one: the id, and with it every old key, is another. */
    struct tenant *back = get(0);
    ck_assert_ptr_nonnull(back);
    ck_assert_uint_gt(back->id, newcomer->id);
    ck_assert_uint_eq(back->counters.values[COUNTER_hits], 0);
    tenants_free(&tenants);
}
END_TEST

/* Somebody makes up 256 names and stores a byte under each: the others still find a place. */
START_TEST(smallest_that_nobody_serves_makes_way)
{
    struct tenant *large = get(0), *served = get(1);

    large->account.used = 1000;
    served->account.used = 1;
    served->proxies = 1;
    for (uint32_t i = 2; i < TENANTS_MAX; i++)
        get(i)->account.used = 10 + i;
    struct tenant *smallest = get(2), *newcomer = get(TENANTS_MAX);
    ck_assert_ptr_nonnull(newcomer);
    ck_assert(smallest->doomed && !large->doomed && !served->doomed);
    ck_assert_uint_eq(tenants.count, TENANTS_MAX);
    ck_assert_uint_eq(tenants.doomed_count, 1);
    tenants_free_doomed(&tenants); /* it still has objects */
    ck_assert_uint_eq(tenants.doomed_count, 1);
    smallest->account.used = 0;
    tenants_free_doomed(&tenants);
    ck_assert_uint_eq(tenants.doomed_count, 0);
    tenants_free(&tenants);
}
END_TEST

START_TEST(doomed_tenants_are_bounded)
{
    for (uint32_t i = 0; i < TENANTS_MAX + TENANTS_DOOMED_MAX; i++) {
        struct tenant *tenant = get(i);
        ck_assert_ptr_nonnull(tenant);
        tenant->account.used = 1;
    }
    ck_assert_ptr_null(get(TENANTS_MAX + TENANTS_DOOMED_MAX));
    tenants_free(&tenants);
    ck_assert_uint_eq(tenants.doomed_count, 0);
}
END_TEST

START_TEST(ids_are_never_given_twice)
{
    uint32_t last = 0;

    for (uint32_t i = 0; i < 5 * TENANTS_MAX; i++) {
        const struct tenant *tenant = get(i);
        ck_assert_ptr_nonnull(tenant);
        ck_assert_uint_gt(tenant->id, last);
        last = tenant->id;
    }
    tenants_free(&tenants);
}
END_TEST

/* The numbers begin anew after 2^32 names, and some are still taken. */
START_TEST(ids_are_nobody_elses)
{
    const struct tenant *first, *others[4];

    first = get(0);
    ck_assert_uint_eq(first->id, 1);
    tenants.next_id = UINT32_MAX - 1;
    for (uint32_t i = 0; i < 4; i++) {
        others[i] = get(1 + i);
        ck_assert(others[i]->id != 0 && others[i]->id != first->id);
        for (uint32_t j = 0; j < i; j++)
            ck_assert_uint_ne(others[i]->id, others[j]->id);
    }
    tenants_free(&tenants);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, same_name_is_same_tenant);
    ADD_ROWS(tcase, bad_name_is_no_tenant, bad_names);
    tcase_add_test(tcase, longest_name_is_kept_whole);
    tcase_add_test(tcase, number_of_tenants_is_bounded);
    tcase_add_test(tcase, idle_ones_make_way_and_busy_ones_stay);
    tcase_add_test(tcase, smallest_that_nobody_serves_makes_way);
    tcase_add_test(tcase, doomed_tenants_are_bounded);
    tcase_add_test(tcase, ids_are_never_given_twice);
    tcase_add_test(tcase, ids_are_nobody_elses);
}

int main(void)
{
    return run_suite("tenant", add_cases);
}
