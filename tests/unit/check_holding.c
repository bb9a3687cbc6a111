/* holding: what a process is charged with for what it pins and fills. */
#include "holding.h"

#include "check_unit.h"

#include <string.h>

#define MEMORY ((uint64_t)1 << 20)
#define NEVER  INT64_MAX

static struct {
    struct counters counters;
    struct store store;
    struct tenants tenants;
    struct tenant *news;
    struct store_key key;
    struct process process, other;
    uint8_t bytes[1000];
} here;

static void begin(void)
{
    ck_assert_int_eq(store_setup(&here.store, MEMORY, MEMORY, &here.counters), 0);
    here.news = tenants_get(&here.tenants, "news");
}

static void end(void)
{
    ck_assert_ptr_null(here.process.holdings);
    ck_assert_uint_eq(here.process.held, 0);
    store_teardown(&here.store);
    tenants_free(&here.tenants);
}

static struct object *fill(const char *key, uint64_t expected)
{
    struct object *object;

    store_key_set(&here.store, &here.key, here.news, (const uint8_t *)key, (uint32_t)strlen(key));
    ck_assert_int_eq(store_fill_begin(&here.store, &object, &here.key, NULL, 0, expected, NEVER, NEVER),
                     STORE_OK);
    return object;
}

static void grow(struct object *object, uint64_t bytes)
{
    ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, bytes), STORE_OK);
}

START_TEST(an_object_counts_once)
{
    begin();
    struct object *object = fill("a", 0);
    ck_assert_uint_eq(holding_weight(&here.process, object), object_charge(object));
    struct holding *filled = holding_take(&here.process, object, HOLDING_FILL);
    struct holding *pinned = holding_take(&here.process, object, HOLDING_PIN);
    ck_assert_ptr_eq(filled, pinned);
    ck_assert_ptr_eq(holding_take(&here.process, object, HOLDING_PIN), pinned);
    ck_assert_uint_eq(holding_weight(&here.process, object), 0);
    ck_assert_uint_eq(here.process.held, object_charge(object));
    struct holding *others = holding_take(&here.other, object, HOLDING_PIN); /* for another process anew */
    ck_assert_uint_eq(here.other.held, object_charge(object));
    holding_drop(&here.other, others, HOLDING_PIN);
    ck_assert_uint_eq(here.other.held, 0);
    holding_drop(&here.process, pinned, HOLDING_PIN);
    holding_drop(&here.process, pinned, HOLDING_FILL);
    ck_assert_uint_eq(here.process.held, object_charge(object));
    holding_drop(&here.process, pinned, HOLDING_PIN);
    store_fill_discard(&here.store, &object);
    end();
}
END_TEST

START_TEST(what_grows_is_counted_as_far_as_it_is_known)
{
    begin();
    struct object *unknown = fill("a", BODY_SIZE_UNKNOWN), *known = fill("b", 1000);
    struct holding *fills = holding_take(&here.process, known, HOLDING_FILL);
    ck_assert_uint_eq(here.process.held, object_charge(known));
    struct holding *pin = holding_take(&here.process, known, HOLDING_PIN);
    ck_assert_uint_eq(here.process.held, object_charge(known) + 1000);
    grow(known, 1000);
    holding_recount(&here.process, pin);
    ck_assert_uint_eq(here.process.held, object_charge(known));
    holding_drop(&here.process, pin, HOLDING_PIN);
    holding_drop(&here.process, fills, HOLDING_FILL);
    pin = holding_take(&here.process, unknown, HOLDING_PIN);
    uint64_t before = here.process.held;
    grow(unknown, 1000);
    ck_assert_uint_eq(here.process.held, before);
    holding_recount(&here.process, pin);
    ck_assert_uint_eq(here.process.held, object_charge(unknown));
    ck_assert_uint_gt(here.process.held, before + 1000);
    holding_drop(&here.process, pin, HOLDING_PIN);
    store_fill_discard(&here.store, &known);
    store_fill_discard(&here.store, &unknown);
    end();
}
END_TEST

START_TEST(many_are_told_apart)
{
    enum { MANY = 1000 };
    static struct object *objects[MANY];
    static struct holding *holdings[MANY];
    uint64_t sum = 0;

    begin();
    for (int i = 0; i < MANY; i++) {
        objects[i] = fill("a", 0); /* of one key */
        holdings[i] = holding_take(&here.process, objects[i], HOLDING_FILL);
        sum += object_charge(objects[i]);
    }
    ck_assert_uint_eq(here.process.held, sum);
    for (int i = 0; i < MANY; i++) {
        ck_assert_ptr_eq(holding_take(&here.process, objects[i], HOLDING_PIN), holdings[i]);
        holding_drop(&here.process, holdings[i], HOLDING_FILL);
        holding_drop(&here.process, holdings[i], HOLDING_PIN);
        store_fill_discard(&here.store, &objects[i]);
    }
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, an_object_counts_once);
    tcase_add_test(tcase, what_grows_is_counted_as_far_as_it_is_known);
    tcase_add_test(tcase, many_are_told_apart);
}

int main(void)
{
    return run_suite("holding", add_cases);
}
