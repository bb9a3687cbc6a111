/* pause: who is passed over, for how long, and who is not. Times are the test's own; waits and faults are
 * real, for the kernel counts them. */
#include "pause.h"

#include "cache.h"
#include "check_unit.h"
#include "clock.h"

#include <poll.h>
#include <sys/mman.h>

#define SHORT (PAUSE_LONG_NS - 1)
#define LONG  INT64_C(4000000)

static struct cache cache;
static struct tenant *news;
static struct session session;
static struct process *other;
static int64_t now, cost;

static void begin(void)
{
    memset(&cache, 0, sizeof(cache));
    memset(&session, 0, sizeof(session));
    news = tenants_get(&cache.tenants, "news");
    session = (struct session){.cache = &cache, .tenant = news, .state = SESSION_ALIVE};
    session.process = process_join(&cache.processes, 1, 0);
    other = process_join(&cache.processes, 2, 0);
    ck_assert(news && session.process && other);
    cache_activate(&cache, &session);
    now = clock_mono_ns() - PAUSE_LONGEST_NS; /* what is paused for less is over when pause_step() looks */
}

static void end(void)
{
    pause_part(&session);
    if (session.active)
        cache_deactivate(&cache, &session);
    ck_assert_ptr_null(cache.paused);
    ck_assert_ptr_null(cache.processes.busy);
    process_leave(&cache.processes, &session.process);
    process_leave(&cache.processes, &other);
    tenants_free(&cache.tenants);
}

static void nothing(void) {}

static void wait_for_it(void)
{
    poll(NULL, 0, 1);
}

static void fault(void)
{
    enum { BYTES = 4096 };
    char *page = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(page, MAP_FAILED);
    *(volatile char *)page = 1;
    munmap(page, BYTES);
}

/* A batch of the session that took so long, and met that. How long it is passed over afterwards. */
static int64_t batch(int64_t length, void (*meet)(void))
{
    struct pause_mark mark = pause_before(&session, now);

    meet();
    cost = pause_after(&session, &mark, now, now + length);
    now += length;
    ck_assert_int_eq(session.active, session.pause.until_ns == 0);
    return session.pause.until_ns > 0 ? session.pause.until_ns - now : 0;
}

static void go_on(void)
{
    pause_part(&session);
    cache_activate(&cache, &session);
}

/* The one that makes the loop look. */
static void begin_watched(void)
{
    begin();
    ck_assert_int_eq(batch(LONG, fault), 0);
}

static void serve_other(void)
{
    processes_served(&cache.processes, other, now);
}

START_TEST(first_is_free)
{
    begin();
    serve_other();
    ck_assert_int_eq(batch(LONG, wait_for_it), 0);
    ck_assert_int_gt(batch(LONG, wait_for_it), 0);
    go_on();
    now += INT64_C(2) * PAUSE_LONGEST_NS + PAUSE_WATCH_NS; /* forgotten */
    ck_assert_int_eq(batch(LONG, wait_for_it), 0);
    end();
}
END_TEST

START_TEST(short_batches_may_do_anything)
{
    begin_watched();
    serve_other();
    ck_assert_int_eq(batch(SHORT, wait_for_it), 0);
    ck_assert_int_eq(batch(SHORT, fault), 0);
    end();
}
END_TEST

START_TEST(waits_double)
{
    int64_t expected = PAUSE_FACTOR * LONG;

    begin_watched();
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(batch(LONG, wait_for_it), expected);
        ck_assert_uint_eq(cache.counters.values[COUNTER_pauses], i + 1);
        expected = expected * 2 < PAUSE_LONGEST_NS ? expected * 2 : PAUSE_LONGEST_NS;
        go_on();
    }
    end();
}
END_TEST

START_TEST(faults_take_as_long_again)
{
    begin_watched();
    for (int i = 0; i < 20; i++) {
        serve_other();
        ck_assert_int_eq(batch(LONG, fault), LONG);
        go_on();
    }
    ck_assert_uint_eq(cache.counters.values[COUNTER_pauses], 0);
    end();
}
END_TEST

START_TEST(no_fault_costs_more_than_so_much)
{
    begin_watched();
    serve_other();
    ck_assert_int_eq(batch(INT64_C(1000) * LONG, fault), PAUSE_FAULTS_NS);
    end();
}
END_TEST

/* Nobody else is there, or has been for a while. */
START_TEST(alone_nobody_is_paused_for_faults)
{
    begin_watched();
    processes_served(&cache.processes, session.process, now);
    ck_assert_int_eq(batch(LONG, fault), 0);
    serve_other();
    processes_served(&cache.processes, session.process, now);
    ck_assert_int_eq(batch(LONG, fault), LONG);
    go_on();
    now += PAUSE_COMPANY_NS;
    processes_served(&cache.processes, session.process, now);
    ck_assert_int_eq(batch(LONG, fault), 0);
    end();
}
END_TEST

/* The scheduler, or a slow machine. Whether the test itself met a page meanwhile is not in its hands. */
START_TEST(mere_length_is_nobodys_fault)
{
    int64_t least = INT64_MAX;

    begin_watched();
    for (int i = 0; i < 100 && least > 0; i++) {
        serve_other();
        int64_t length = batch(LONG, nothing);
        least = length < least ? length : least;
        go_on();
    }
    ck_assert_int_eq(least, 0);
    end();
}
END_TEST

static void compute(void)
{
    int64_t end = clock_thread_ns() + LONG / 2;

    while (clock_thread_ns() < end)
        ;
}

/* Short batches cost what they take, and so do those that wait. What the scheduler gave to others is not the
 * session's doing. */
START_TEST(only_what_is_used_is_paid_for)
{
    begin();
    (void)batch(SHORT, nothing);
    ck_assert_int_eq(cost, SHORT);
    (void)batch(LONG, nothing); /* nobody looked */
    ck_assert_int_eq(cost, LONG);
    (void)batch(PAUSE_LONGEST_NS - 1, compute);
    ck_assert_int_ge(cost, LONG / 2);
    ck_assert_int_lt(cost, PAUSE_LONGEST_NS - 1);
    (void)batch(SHORT, compute);
    ck_assert_int_eq(cost, SHORT);
    (void)batch(LONG, wait_for_it);
    ck_assert_int_eq(cost, LONG);
    end();
}
END_TEST

START_TEST(pauses_end)
{
    begin_watched();
    ck_assert_int_gt(batch(LONG, wait_for_it), 0);
    ck_assert_int_eq(pause_left_ms(&cache), 0);
    pause_step(&cache);
    ck_assert(session.active);
    ck_assert_int_eq(pause_left_ms(&cache), -1);
    now = clock_mono_ns() + PAUSE_LONGEST_NS;
    batch(LONG, wait_for_it);
    ck_assert_int_gt(batch(LONG, wait_for_it), 0);
    pause_step(&cache);
    ck_assert(!session.active);
    ck_assert_int_gt(pause_left_ms(&cache), 1);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, first_is_free);
    tcase_add_test(tcase, short_batches_may_do_anything);
    tcase_add_test(tcase, waits_double);
    tcase_add_test(tcase, faults_take_as_long_again);
    tcase_add_test(tcase, no_fault_costs_more_than_so_much);
    tcase_add_test(tcase, alone_nobody_is_paused_for_faults);
    tcase_add_test(tcase, mere_length_is_nobodys_fault);
    tcase_add_test(tcase, only_what_is_used_is_paid_for);
    tcase_add_test(tcase, pauses_end);
}

int main(void)
{
    return run_suite("pause", add_cases);
}
