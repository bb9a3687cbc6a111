/* spin: the share of time is kept whatever comes, success opens and failure closes, and there is none where
 * no processor is free. */
#include "spin.h"

#include "check_unit.h"
#include "clock.h"

#include <sched.h>
#include <unistd.h>

#define US 1000
#define MS 1000000
#define S  ((int64_t)1000000000)

static struct spin spin;
static int64_t now;

static void begin(unsigned percent)
{
    now = 5 * S;
    spin_setup(&spin, percent, 400, now);
    now += S; /* some credit */
}

/* Waits without a spin, of which most are short. */
static void learn(int64_t waited_ns)
{
    for (int i = 0; i < 64; i++)
        spin_slept(&spin, waited_ns, false);
}

static void note(int64_t length_ns, int64_t took_ns, bool found)
{
    const struct spin_outcome outcome = {length_ns, took_ns, found};

    now += took_ns;
    spin_note(&spin, &outcome, now);
}

START_TEST(nothing_is_known_at_first)
{
    begin(5);
    ck_assert_int_eq(spin_length(&spin, now), 0);
    learn(10 * US);
    ck_assert_int_gt(spin_length(&spin, now), 10 * US);
}
END_TEST

START_TEST(zero_percent_is_never)
{
    begin(0);
    learn(10 * US);
    ck_assert_int_eq(spin_length(&spin, now), 0);
}
END_TEST

static const struct {
    unsigned room;
    bool spins;
} rooms[] = {{0, false},  {50, false},  {100, false},      {199, false},
             {200, true}, {6400, true}, {UINT32_MAX, true}};

START_TEST(two_processors_are_needed)
{
    begin(5);
    spin.room = rooms[_i].room;
    learn(10 * US);
    ck_assert_int_eq(spin_length(&spin, now) > 0, rooms[_i].spins);
}
END_TEST

START_TEST(long_waits_are_slept)
{
    begin(5);
    learn(10 * MS);
    ck_assert_int_eq(spin_length(&spin, now), 0);
    learn(SPIN_MOST_NS + SPIN_WAKE_NS + 1);
    ck_assert_int_eq(spin_length(&spin, now), 0);
}
END_TEST

START_TEST(length_follows_what_is_usual)
{
    begin(50);
    learn(4 * US);
    int64_t shorter = spin_length(&spin, now);
    ck_assert_int_ge(shorter, SPIN_LEAST_NS);
    ck_assert_int_le(shorter, 8 * US);
    for (int i = 0; i < 64; i++, now += S)
        note(50 * US, 20 * US, true);
    int64_t longer = spin_length(&spin, now);
    ck_assert_int_ge(longer, 30 * US);
    ck_assert_int_le(longer, 40 * US);
    for (int i = 0; i < 64; i++, now += S)
        note(50 * US, 49 * US, true);
    ck_assert_int_eq(spin_length(&spin, now), SPIN_MOST_NS);
}
END_TEST

START_TEST(failures_close_it_and_successes_open_it_again)
{
    int spins = 0;

    begin(50);
    learn(10 * US);
    for (; spin_length(&spin, now) > 0; spins++, now += S)
        note(20 * US, 20 * US, false);
    ck_assert_int_ge(spins, 1);
    ck_assert_int_le(spins, 4);
    for (int i = 0; i < 4; i++) { /* waits that are long keep it closed */
        spin_slept(&spin, S, false);
        ck_assert_int_eq(spin_length(&spin, now), 0);
    }
    learn(10 * US);
    ck_assert_int_gt(spin_length(&spin, now), 0);
}
END_TEST

/* A spin in vain is not made good by a short sleep behind it. */
START_TEST(sleep_after_a_spin_does_not_count_again)
{
    begin(50);
    learn(10 * US);
    int32_t success = spin.success;
    for (int i = 0; i < 3; i++) {
        note(20 * US, 20 * US, false);
        spin_slept(&spin, 30 * US, true);
    }
    ck_assert_int_lt(spin.success, success / 2);
}
END_TEST

/* Whatever comes, and however long spins take. */
START_TEST(share_is_kept)
{
    static const unsigned percents[] = {1, 5, 50, 100};
    unsigned percent = percents[_i];
    uint64_t state = 1 + (uint64_t)_i;
    int64_t spent = 0, start;

    begin(percent);
    start = now - S;
    for (int i = 0; i < 200000; i++) {
        int64_t length = spin_length(&spin, now);
        if (length > 0) {
            int64_t took = (int64_t)random_below(&state, (uint64_t)length + 1);
            if (random_below(&state, 1000) == 0)
                took += (int64_t)random_below(&state, 3 * MS);
            note(length, took, random_below(&state, 8) > 0);
            spent += took;
        } else {
            spin_slept(&spin, 10 * US, false);
        }
        now += (int64_t)random_below(&state, 5 * US);
        /* One spin may be under way when the credit ends; and one may have been overlong. */
        int64_t most = (now - start + SPIN_WINDOW_NS) / 100 * (int64_t)percent + 4 * MS;
        ck_assert_msg(spent <= most, "%lld of %lld", (long long)spent, (long long)most);
    }
    ck_assert_int_eq(spent, spin.spent_ns);
    ck_assert_int_gt(spent, 0);
}
END_TEST

START_TEST(idling_saves_no_more_than_a_window)
{
    int64_t spent = 0, length;

    begin(5);
    learn(20 * US);
    now += 3600 * S;
    while ((length = spin_length(&spin, now)) > 0 && spent < S) { /* the clock stands still */
        spent += length;
        const struct spin_outcome outcome = {length, length, true};
        spin_note(&spin, &outcome, now);
    }
    ck_assert_int_le(spent, SPIN_WINDOW_NS / 20);
    ck_assert_int_ge(spent, SPIN_WINDOW_NS / 20 - SPIN_MOST_NS);
}
END_TEST

/* Somebody else wanted the processor: longer and longer, and not for ever. */
START_TEST(who_was_in_the_way_stays_out_of_it)
{
    int64_t pause = SPIN_PAUSE_NS;
    uint64_t displaced = 7;

    begin(50);
    ck_assert(spin_is_free(&spin, displaced, now));
    for (int i = 0; i < 10; i++) {
        learn(10 * US);
        ck_assert_int_gt(spin_length(&spin, now), 0);
        if (_i == 0)
            ck_assert(!spin_is_free(&spin, displaced += 101, now));
        else
            note(20 * US, 4 * MS, true); /* far longer than asked for is as telling */
        learn(10 * US);
        ck_assert_int_eq(spin_length(&spin, now + pause - 1), 0);
        now += pause;
        pause = pause * 2 < SPIN_MOST_PAUSE_NS ? pause * 2 : SPIN_MOST_PAUSE_NS;
    }
    for (int i = 0; i < 20; i++, now += S)
        ck_assert(spin_is_free(&spin, displaced, now));
    spin_is_free(&spin, displaced + 1000, now);
    learn(10 * US);
    ck_assert_int_gt(spin_length(&spin, now + SPIN_PAUSE_NS), 0);
}
END_TEST

START_TEST(being_displaced_now_and_then_is_nothing)
{
    uint64_t displaced = 0;

    begin(50);
    learn(10 * US);
    ck_assert(spin_is_free(&spin, displaced, now));
    for (int i = 0; i < 1000; i++) {
        now += SPIN_CALM_NS;
        ck_assert(spin_is_free(&spin, ++displaced, now));
    }
    now += SPIN_CALM_NS / 2;
    ck_assert(!spin_is_free(&spin, ++displaced, now));
    ck_assert_int_eq(spin_length(&spin, now), 0);
}
END_TEST

START_TEST(clock_that_jumps_far_is_survived)
{
    begin(100);
    learn(10 * US);
    ck_assert_int_gt(spin_length(&spin, INT64_MAX), 0);
    spin_length(&spin, 0);
    ck_assert_int_le(spin.credit_ns, SPIN_WINDOW_NS);
}
END_TEST

static const struct {
    const char *text;
    unsigned hundredths;
} quotas[] = {
    {"max 100000\n", UINT32_MAX}, {"100000 100000\n", 100}, {"150000 100000", 150}, {"1000 1000000", 0},
    {"400000 100000", 400},       {"", UINT32_MAX},         {"x", UINT32_MAX},      {"5 0", UINT32_MAX},
    {"100000", UINT32_MAX},
};

START_TEST(quotas_are_read)
{
    ck_assert_uint_eq(spin_parse_quota(quotas[_i].text), quotas[_i].hundredths);
}
END_TEST

/* Who is bound to one processor of several may have it to himself. */
START_TEST(room_is_that_of_the_host)
{
    cpu_set_t before, one;
    unsigned room = spin_room();

    ck_assert_uint_ge(room, 1);
    ck_assert_uint_le(room, 100 * (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    ck_assert_int_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    }
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    ck_assert_uint_eq(spin_room(), room);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(before), &before), 0);
}
END_TEST

static bool after_some_looks(void *context)
{
    return --*(int *)context <= 0;
}

START_TEST(looking_ends_when_it_is_there_or_time_is_up)
{
    int looks = 5, never = INT32_MAX;

    spin_setup(&spin, 100, 400, clock_mono_ns() - S);
    learn(20 * US);
    spin.displaced_at_ns = INT64_MIN / 2;
    ck_assert(spin_look(&spin, after_some_looks, &looks));
    ck_assert_int_eq(looks, 0);
    spin.paused_until_ns = 0;
    learn(20 * US);
    spin.displaced = 0;
    spin.displaced_at_ns = INT64_MIN / 2; /* however often it was, that is rare */
    ck_assert(!spin_look(&spin, after_some_looks, &never));
    ck_assert_int_lt(never, INT32_MAX);
    ck_assert_uint_eq(spin.spins, 2);
    ck_assert_uint_eq(spin.found, 1);
    looks = 5;
    spin.percent = 0;
    ck_assert(!spin_look(&spin, after_some_looks, &looks));
    ck_assert_int_eq(looks, 5);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, nothing_is_known_at_first);
    tcase_add_test(tcase, zero_percent_is_never);
    ADD_ROWS(tcase, two_processors_are_needed, rooms);
    tcase_add_test(tcase, long_waits_are_slept);
    tcase_add_test(tcase, length_follows_what_is_usual);
    tcase_add_test(tcase, failures_close_it_and_successes_open_it_again);
    tcase_add_test(tcase, sleep_after_a_spin_does_not_count_again);
    tcase_add_loop_test(tcase, share_is_kept, 0, 4);
    tcase_add_test(tcase, idling_saves_no_more_than_a_window);
    tcase_add_loop_test(tcase, who_was_in_the_way_stays_out_of_it, 0, 2);
    tcase_add_test(tcase, being_displaced_now_and_then_is_nothing);
    tcase_add_test(tcase, clock_that_jumps_far_is_survived);
    ADD_ROWS(tcase, quotas_are_read, quotas);
    tcase_add_test(tcase, room_is_that_of_the_host);
    tcase_add_test(tcase, looking_ends_when_it_is_there_or_time_is_up);
}

int main(void)
{
    return run_suite("spin", add_cases);
}
