/* registry: all places, numbers of earlier registrations, and tokens. */
#include "registry.h"

#include "check_unit.h"

#define EPOCH UINT64_C(0x1234567890abcdef)

static struct registry registry;
static char sessions[REGISTRY_MAX]; /* the registry never looks into one */

static struct session *session(uint32_t i)
{
    return (struct session *)(void *)&sessions[i];
}

START_TEST(every_place_is_used_once)
{
    static uint64_t numbers[REGISTRY_MAX];

    registry_setup(&registry, EPOCH);
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        numbers[i] = registry_add(&registry, session(i), 1000 + i);
        ck_assert_uint_ne(numbers[i], 0);
        ck_assert_uint_eq(numbers[i] >> 32, (uint32_t)EPOCH);
        ck_assert_uint_eq(registry.count, i + 1);
    }
    ck_assert_uint_eq(registry_add(&registry, session(0), 1), 0);
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        ck_assert_ptr_eq(registry_find(&registry, numbers[i]), session(i));
        ck_assert_ptr_eq(registry_find_token(&registry, 1000 + i), session(i));
    }
    /* One goes, exactly one fits, under another number. */
    registry_remove(&registry, numbers[500]);
    ck_assert_ptr_null(registry_find(&registry, numbers[500]));
    ck_assert_ptr_null(registry_find_token(&registry, 1500));
    uint64_t number = registry_add(&registry, session(500), 9999);
    ck_assert_uint_ne(number, numbers[500]);
    ck_assert_ptr_null(registry_find(&registry, numbers[500]));
    ck_assert_ptr_eq(registry_find(&registry, number), session(500));
    ck_assert_uint_eq(registry_add(&registry, session(0), 1), 0);
    for (uint32_t i = 0; i < REGISTRY_MAX; i++)
        registry_remove(&registry, i == 500 ? number : numbers[i]);
    ck_assert_uint_eq(registry.count, 0);
    ck_assert_ptr_null(registry_find(&registry, numbers[0]));
}
END_TEST

START_TEST(stale_and_guessed_numbers_are_refused)
{
    uint64_t state = 10;

    registry_setup(&registry, EPOCH);
    uint64_t number = registry_add(&registry, session(0), 7);
    for (int bit = 0; bit < 64; bit++)
        ck_assert_ptr_null(registry_find(&registry, number ^ UINT64_C(1) << bit));
    for (int i = 0; i < 100000; i++) {
        uint64_t guess = next_random(&state);
        if (guess != number && registry_find(&registry, guess))
            ck_abort_msg("found %llx", (unsigned long long)guess);
    }
    ck_assert_ptr_null(registry_find(&registry, 0));
    ck_assert_ptr_null(registry_find_token(&registry, 0)); /* free places bear no token */
    /* Another run of the cache: another epoch. */
    registry_setup(&registry, EPOCH + 1);
    registry_add(&registry, session(0), 7);
    ck_assert_ptr_null(registry_find(&registry, number));
}
END_TEST

START_TEST(place_of_a_removed_session_is_nobody)
{
    registry_setup(&registry, EPOCH);
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        uint64_t free_place = (EPOCH & 0xffffffff) << 32 | i;
        ck_assert_ptr_null(registry_find(&registry, free_place));
    }
    uint64_t number = registry_add(&registry, session(3), 7);
    registry_remove(&registry, number);
    ck_assert_ptr_null(registry_find(&registry, number)); /* the generation still fits, but nobody is there */
}
END_TEST

/* Come and go many times: no number is given twice as long as a place's generation does not run over. */
START_TEST(numbers_do_not_repeat)
{
    enum { ROUNDS = 20000 };
    static uint64_t numbers[ROUNDS];
    uint32_t repeated = 0;

    registry_setup(&registry, EPOCH);
    for (int i = 0; i < ROUNDS; i++) {
        numbers[i] = registry_add(&registry, session(0), 7);
        registry_remove(&registry, numbers[i]);
    }
    for (int i = 0; i < ROUNDS; i += 97) {
        for (int j = 0; j < i; j++)
            repeated += numbers[i] == numbers[j];
    }
    ck_assert_uint_eq(repeated, 0);
    ck_assert_uint_eq(registry.count, 0);
}
END_TEST

static void remove_stale(void *context)
{
    (void)context;
    close(STDERR_FILENO);
    registry_setup(&registry, EPOCH);
    uint64_t number = registry_add(&registry, session(0), 7);
    registry_remove(&registry, number);
    registry_remove(&registry, number);
}

START_TEST(removing_twice_is_a_bug)
{
    ck_assert_int_eq(status_of_child(remove_stale, NULL), 128 + SIGABRT);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, every_place_is_used_once);
    tcase_add_test(tcase, stale_and_guessed_numbers_are_refused);
    tcase_add_test(tcase, place_of_a_removed_session_is_nobody);
    tcase_add_test(tcase, numbers_do_not_repeat);
    tcase_add_test(tcase, removing_twice_is_a_bug);
}

int main(void)
{
    return run_suite("registry", add_cases);
}
