/* schedule: a thread's slice of the processor. */
#include "schedule.h"

#include "check_unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* sched_setattr(2); the kernel's header does not go with <sched.h> everywhere. */
struct attributes {
    uint32_t size, sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime, sched_deadline, sched_period;
};

static struct attributes own_attributes(void)
{
    struct attributes attributes = {0};

    ck_assert_int_eq(syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0), 0);
    return attributes;
}

static void *read_attributes(void *out)
{
    *(struct attributes *)out = own_attributes();
    return NULL;
}

/* Kernels before 6.12 know no slice of a thread's own: it reads 0 there. */
START_TEST(the_slice_is_short_where_the_kernel_knows_slices)
{
    struct attributes before = own_attributes(), after;

    errno = EDOM;
    schedule_short_turns();
    ck_assert_int_eq(errno, EDOM);
    after = own_attributes();
    ck_assert_uint_eq(after.sched_policy, before.sched_policy);
    ck_assert_int_eq(after.sched_nice, before.sched_nice);
    if (before.sched_runtime > 0)
        ck_assert_uint_eq(after.sched_runtime, 100000);
}
END_TEST

START_TEST(threads_made_later_have_the_usual_one)
{
    struct attributes before = own_attributes(), theirs = {0};
    pthread_t thread;

    schedule_short_turns();
    ck_assert_int_eq(pthread_create(&thread, NULL, read_attributes, &theirs), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(theirs.sched_runtime, before.sched_runtime);
}
END_TEST

START_TEST(who_has_a_policy_of_his_own_keeps_it)
{
    struct sched_param none = {0};

    ck_assert_int_eq(sched_setscheduler(0, SCHED_IDLE, &none), 0);
    struct attributes before = own_attributes();
    schedule_short_turns();
    ck_assert_uint_eq(own_attributes().sched_policy, SCHED_IDLE);
    ck_assert_uint_eq(own_attributes().sched_runtime, before.sched_runtime);
}
END_TEST

START_TEST(long_turns_are_long_until_they_are_short_again)
{
    struct attributes before = own_attributes();

    schedule_long_turns();
    if (before.sched_runtime > 0)
        ck_assert_uint_eq(own_attributes().sched_runtime, 100000000);
    ck_assert_int_eq(own_attributes().sched_nice, before.sched_nice);
    schedule_short_turns();
    if (before.sched_runtime > 0)
        ck_assert_uint_eq(own_attributes().sched_runtime, 100000);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, long_turns_are_long_until_they_are_short_again);
    tcase_add_test(tcase, the_slice_is_short_where_the_kernel_knows_slices);
    tcase_add_test(tcase, threads_made_later_have_the_usual_one);
    tcase_add_test(tcase, who_has_a_policy_of_his_own_keeps_it);
}

int main(void)
{
    return run_suite("schedule", add_cases);
}
