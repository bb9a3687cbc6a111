/* times: which bucket a time belongs to, and what is not counted. sample: one of 64. */
#include "times.h"

#include "check_unit.h"
#include "sample.h"

static const struct row {
    uint64_t ns;
    uint32_t bucket;
} rows[] = {
    {0, 0},
    {1, 0},
    {250, 0},
    {251, 1},
    {500, 1},
    {501, 2},
    {1000, 2},
    {1001, 3},
    {UINT64_C(250) << 22, 22},
    {(UINT64_C(250) << 22) + 1, 23},
    {INT64_MAX, 23},
    {UINT64_MAX, 23},
};

START_TEST(buckets)
{
    ck_assert_uint_eq(times_bucket(rows[_i].ns), rows[_i].bucket);
}
END_TEST

START_TEST(bounds_are_those_that_are_published)
{
    for (uint32_t i = 0; i + 1 < WIRE_TIMES_BUCKETS; i++) {
        uint64_t bound = (uint64_t)WIRE_TIMES_FIRST_NS << i;
        ck_assert_uint_eq(times_bucket(bound), i);
        ck_assert_uint_eq(times_bucket(bound + 1), i + 1);
    }
}
END_TEST

START_TEST(what_is_no_operation_is_left_out)
{
    static struct times times, nothing;

    times_note(&times, 0, 5);
    times_note(&times, WIRE_OP_END, 5);
    times_note(&times, UINT32_MAX, 5);
    times_note(&times, WIRE_OP_LOOKUP, -1); /* a clock that goes backwards */
    ck_assert_mem_eq(&times, &nothing, sizeof(times));
    times_note(&times, WIRE_OP_PURGE, 300);
    times_note(&times, WIRE_OP_PURGE, 5000000000);
    ck_assert_uint_eq(times.counts[WIRE_OP_PURGE][1], 1);
    ck_assert_uint_eq(times.counts[WIRE_OP_PURGE][WIRE_TIMES_BUCKETS - 1], 1);
    ck_assert_uint_eq(times.sums_ns[WIRE_OP_PURGE], 5000000300);
}
END_TEST

/* Whatever the rhythm of what comes: every second one is taken as often as the others. */
START_TEST(samples_are_one_of_64_in_any_rhythm)
{
    struct sampler sampler = {.state = (uint64_t)_i};
    unsigned taken[2] = {0, 0};

    for (int i = 0; i < 640000; i++)
        taken[i % 2] += sampler_takes(&sampler);
    ck_assert_uint_gt(taken[0], 4600);
    ck_assert_uint_lt(taken[0], 5400);
    ck_assert_uint_gt(taken[1], 4600);
    ck_assert_uint_lt(taken[1], 5400);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, buckets, rows);
    tcase_add_test(tcase, bounds_are_those_that_are_published);
    tcase_add_test(tcase, what_is_no_operation_is_left_out);
    tcase_add_loop_test(tcase, samples_are_one_of_64_in_any_rhythm, 0, 4);
}

int main(void)
{
    return run_suite("times", add_cases);
}
