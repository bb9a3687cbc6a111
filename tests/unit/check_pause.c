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
    ck_assert_ptr_null(cache.pauses.list);
    ck_assert_ptr_null(cache.processes.busy);
    process_leave(&cache.processes, &session.process);
    process_leave(&cache.processes, &other);
    tenants_free(&cache.tenants);
}

static void nothing(void) {}

static void fault(void)
{
    enum { BYTES = 4096 };
    char *page = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(page, MAP_FAILED);
    *(volatile char *)page = 1;
    munmap(page, BYTES);
}

/* As a page that is being punched out has us do; who is stopped waits only. */
static void stop(void)
{
    poll(NULL, 0, 1);
}

static void wait_for_it(void)
{
    stop();
    fault();
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

/* What is not served out by who leaves is by who comes. */
START_TEST(pauses_outlast_registrations)
{
    struct session next;

    begin();
    now = clock_mono_ns();
    ck_assert_int_eq(batch(LONG, fault), 0); /* now it is watched */
    int64_t length = batch(LONG, wait_for_it);
    ck_assert_int_gt(length, 0);
    int64_t until = session.pause.until_ns;
    next = (struct session){.cache = &cache, .tenant = news, .process = other, .state = SESSION_ALIVE};
    pause_enrol(&next);
    ck_assert(clock_mono_ns() >= until || next.pause.until_ns == until);
    news->pauses.paused_ns = until = clock_mono_ns() + PAUSE_LONGEST_NS;
    pause_part(&next);
    pause_enrol(&next);
    ck_assert_int_eq(next.pause.until_ns, until);
    cache_activate(&cache, &next);
    ck_assert(!next.active);
    pause_part(&next);
    next.tenant = tenants_get(&cache.tenants, "other");
    pause_enrol(&next);
    ck_assert_int_eq(next.pause.until_ns, 0);
    end();
}
END_TEST

/* Sixty-four of them wait no more often than one. */
START_TEST(pauses_grow_with_registrations)
{
    begin_watched();
    session.process->sessions += 7;
    ck_assert_int_eq(batch(LONG, wait_for_it), 8 * PAUSE_FACTOR * LONG);
    ck_assert_int_eq(news->pauses.paused_ns, now + PAUSE_FACTOR * LONG);
    session.process->sessions -= 7;
    go_on();
    serve_other();
    session.process->sessions += 7;
    ck_assert_int_eq(batch(LONG, fault), LONG); /* nobody's fault */
    session.process->sessions -= 7;
    end();
}
END_TEST

/* As long as it takes, up to a minute: a wait of a second must not be followed by another one unseen. */
START_TEST(long_batches_are_watched_longer)
{
    begin();
    ck_assert_int_eq(batch(PAUSE_LONGEST_NS / 10, nothing), 0);
    ck_assert(pause_watches(&session, now + PAUSE_LONGEST_NS * 10 - 1));
    ck_assert(!pause_watches(&session, now + PAUSE_LONGEST_NS * 10));
    pause_suspect(&session, PAUSE_LONGEST_NS * 5, now);
    ck_assert(pause_watches(&session, now + PAUSE_WATCH_MOST_NS - 1));
    ck_assert(!pause_watches(&session, now + PAUSE_WATCH_MOST_NS));
    end();
}
END_TEST

/* A touch of the session's pool for somebody else that took so long, or longer by what it met. Does it
 * obstruct? Once more if the scheduler passed us over, so that nothing was judged. */
static bool obstructs(int64_t length, void (*meet)(void))
{
    for (;;) {
        uint64_t pauses = cache.counters.values[COUNTER_pauses];
        struct pause_touch touch = pause_touch(&session);

        meet();
        touch.began_ns -= length;
        bool is_endured = pause_touched(&session, &touch);
        if (touch.before.waits < 0 || cache.counters.values[COUNTER_pauses] != pauses ||
            pause_mark(&cache.pauses).preemptions == touch.before.preemptions)
            return !is_endured;
    }
}

/* Is nobody registered for so long after that, and not for twice as long? Whatever else the machine did. */
static bool is_barred_for(int64_t length, int64_t after_ns)
{
    ck_assert_int_eq(pause_bars(&session), clock_mono_ns() < news->patience.barred_ns);
    return news->patience.barred_ns >= after_ns + length &&
           news->patience.barred_ns < clock_mono_ns() + 2 * length;
}

START_TEST(who_makes_others_wait_obstructs)
{
    begin();
    ck_assert(!obstructs(PAUSE_LONGEST_NS, wait_for_it)); /* nobody looked */
    ck_assert(!obstructs(0, nothing));
    ck_assert_int_eq(news->patience.barred_ns, 0);
    ck_assert(!obstructs(PAUSE_LONGEST_NS, wait_for_it)); /* one is forgiven */
    ck_assert_int_eq(news->patience.barred_ns, 0);
    int64_t then = clock_mono_ns();
    ck_assert(obstructs(PAUSE_LONGEST_NS, wait_for_it));
    ck_assert(is_barred_for(PAUSE_BAR_FACTOR * PAUSE_LONGEST_NS, then));
    then = clock_mono_ns();
    ck_assert(obstructs(PAUSE_LONGEST_NS, wait_for_it)); /* the same again, or another process */
    ck_assert(is_barred_for(2 * PAUSE_BAR_FACTOR * PAUSE_LONGEST_NS, then));
    for (int i = 0; i < 20; i++)
        ck_assert(obstructs(PAUSE_LONGEST_NS, wait_for_it));
    ck_assert_int_le(news->patience.barred_ns, clock_mono_ns() + PAUSE_BAR_MOST_NS);
    ck_assert(pause_watches(&session, news->patience.barred_ns)); /* it goes on where it was */
    ck_assert_uint_eq(cache.counters.values[COUNTER_pauses], 23);
    session.obstructs = true;
    ck_assert(!obstructs(LONG, wait_for_it)); /* that is known */
    end();
}
END_TEST

/* It adds up while the tenant is watched. */
START_TEST(short_waits_are_borne_for_a_while)
{
    int64_t then = clock_mono_ns();
    uint64_t count = 1;

    begin();
    ck_assert(!obstructs(LONG, wait_for_it));
    for (; !obstructs(LONG, wait_for_it); count++)
        ck_assert_int_eq(news->patience.barred_ns, 0);
    ck_assert_uint_le(count, PAUSE_PATIENCE_NS / LONG + 2); /* one may be forgiven */
    ck_assert_uint_eq(cache.counters.values[COUNTER_pauses], count);
    ck_assert_int_ge(news->patience.barred_ns, then + PAUSE_BAR_FACTOR * PAUSE_PATIENCE_NS);
    ck_assert_int_eq(news->patience.waited_ns, 0); /* from the beginning */
    end();
}
END_TEST

/* Whoever was being served neither pays for it nor is passed over. */
START_TEST(obstructed_is_not_charged)
{
    struct session served;

    begin();
    ck_assert(!obstructs(LONG, nothing));
    served = (struct session){.cache = &cache, .process = other, .state = SESSION_ALIVE};
    served.tenant = tenants_get(&cache.tenants, "other");
    ck_assert(served.tenant);
    int64_t began = clock_mono_ns();
    struct pause_mark mark = pause_before(&served, began);
    (void)obstructs(3 * LONG, wait_for_it);
    int64_t paid = pause_after(&served, &mark, began, began + 5 * LONG);
    ck_assert_int_le(paid, 2 * LONG);
    ck_assert_int_eq(served.pause.until_ns, 0);
    mark = pause_before(&served, began); /* the next one is charged as ever */
    ck_assert_int_eq(pause_after(&served, &mark, began, began + SHORT), SHORT);
    end();
}
END_TEST

/* Strange users do not have ours, or root, watched; and nobody keeps out who only asks. */
START_TEST(askers_are_apart_and_not_barred)
{
    begin();
    session.tenant = NULL;
    ck_assert(!obstructs(PAUSE_LONGEST_NS, wait_for_it) && !obstructs(PAUSE_LONGEST_NS, wait_for_it) &&
              obstructs(PAUSE_LONGEST_NS, wait_for_it));
    ck_assert(!pause_bars(&session) && pause_watches(&session, clock_mono_ns()));
    struct process *process = session.process;
    session.process = other;
    ck_assert(!obstructs(PAUSE_LONGEST_NS, wait_for_it)); /* another operator */
    session.process = process;
    session.ours = true;
    ck_assert(!pause_watches(&session, clock_mono_ns()));
    session.tenant = news;
    ck_assert(!pause_bars(&session) && !pause_watches(&session, clock_mono_ns()));
    end();
}
END_TEST

/* Where the host is busy for hours honest waits come together as well, but not so fast. */
START_TEST(waits_are_forgotten)
{
    begin();
    struct pause_patience *patience = &news->patience;
    pause_suspect(&session, PAUSE_LONGEST_NS, clock_mono_ns());
    patience->waited_ns = PAUSE_PATIENCE_NS;
    patience->waited_at_ns = clock_mono_ns() - PAUSE_LONGEST_NS;
    int64_t then = clock_mono_ns();
    bool is_one = obstructs(LONG, wait_for_it);
    int64_t most = LONG + clock_mono_ns() - then;
    ck_assert(!is_one || most > PAUSE_PATIENCE_NS);
    ck_assert_int_le(patience->waited_ns, most);
    end();
}
END_TEST

/* When a signal has stopped the cache: neither then nor with what comes next. */
START_TEST(one_long_wait_is_forgiven)
{
    begin();
    struct pause_patience *patience = &news->patience;
    pause_suspect(&session, PAUSE_LONGEST_NS, clock_mono_ns());
    ck_assert(!obstructs(10 * PAUSE_LONGEST_NS, wait_for_it));
    ck_assert_int_eq(patience->waited_ns, 0);
    ck_assert(!obstructs(0, wait_for_it));
    int64_t forgave = patience->forgave_ns;
    patience->forgave_ns -= PAUSE_FORGIVING_NS - 100 * PAUSE_LONGEST_NS;
    ck_assert(obstructs(2 * PAUSE_PATIENCE_NS, wait_for_it));
    patience->barred_ns = clock_mono_ns() - 2 * PAUSE_BAR_MOST_NS;
    patience->forgave_ns = forgave - PAUSE_FORGIVING_NS;
    ck_assert(!obstructs(2 * PAUSE_PATIENCE_NS, wait_for_it));
    patience->barred_ns = clock_mono_ns();
    patience->forgave_ns = forgave - PAUSE_FORGIVING_NS;
    ck_assert(obstructs(2 * PAUSE_PATIENCE_NS, wait_for_it)); /* not who was barred */
    end();
}
END_TEST

/* A tenant that is kept out for long, and then makes the cache wait for little: by another of its pools. */
START_TEST(bars_only_grow)
{
    begin();
    pause_suspect(&session, PAUSE_LONGEST_NS, clock_mono_ns());
    int64_t until = news->patience.barred_ns = clock_mono_ns() + PAUSE_BAR_MOST_NS;
    ck_assert(obstructs(2 * PAUSE_PATIENCE_NS, wait_for_it));
    ck_assert_int_eq(news->patience.barred_ns, until);
    end();
}
END_TEST

/* The scheduler's time cannot be told from the pool's where the kernel does not tell. */
START_TEST(waits_without_a_processor_are_not_judged)
{
    begin();
    pause_suspect(&session, PAUSE_LONGEST_NS, clock_mono_ns());
    for (int i = 0; i < 10; i++) {
        struct pause_touch touch = pause_touch(&session);
        wait_for_it();
        touch.began_ns -= PAUSE_LONGEST_NS;
        touch.before.preemptions--;
        ck_assert(pause_touched(&session, &touch));
    }
    ck_assert_int_eq(news->patience.forgave_ns, 0);
    ck_assert_int_eq(news->patience.waited_ns, 0);
    ck_assert_uint_eq(cache.counters.values[COUNTER_pauses], 0);
    end();
}
END_TEST

/* SIGSTOP, a debugger, a frozen control group. */
START_TEST(being_stopped_is_nobodys_fault)
{
    begin_watched();
    serve_other();
    int judged = 0; /* the test itself may meet a page */
    for (int i = 0; i < 100; i++) {
        judged += batch(LONG, stop) > 0;
        go_on();
    }
    ck_assert_int_lt(judged, 50);
    judged = 0;
    pause_suspect(&session, 100 * PAUSE_LONGEST_NS, clock_mono_ns());
    for (int i = 0; i < 100; i++)
        judged += obstructs(PAUSE_LONGEST_NS, stop);
    ck_assert_int_lt(judged, 50);
    end();
}
END_TEST

/* What others make the cache wait for is no excuse for more than that. */
START_TEST(others_excuse_as_much_as_they_took)
{
    struct session served;

    begin();
    served = (struct session){.cache = &cache, .process = other, .state = SESSION_ALIVE};
    served.tenant = tenants_get(&cache.tenants, "other");
    cache_activate(&cache, &served);
    pause_suspect(&served, LONG, clock_mono_ns());
    int64_t began = clock_mono_ns();
    struct pause_mark mark = pause_before(&served, began);
    (void)obstructs(LONG, wait_for_it);
    ck_assert_int_le(pause_after(&served, &mark, began, began + PAUSE_LONGEST_NS), PAUSE_LONGEST_NS - LONG);
    ck_assert_int_gt(served.pause.until_ns, 0);
    pause_part(&served);
    end();
}
END_TEST

/* Where it does, it is taken off, and the rest counts. */
START_TEST(standing_in_line_is_taken_off)
{
    begin();
    pause_open(&cache.pauses);
    ck_assert(cache.pauses.knows_queued);
    ck_assert_int_ge(pause_mark(&cache.pauses).queued_ns, 0);
    pause_suspect(&session, PAUSE_LONGEST_NS, clock_mono_ns());
    struct pause_touch touch = pause_touch(&session);
    wait_for_it();
    touch.began_ns -= PAUSE_LONGEST_NS;
    touch.before.preemptions--;
    touch.before.queued_ns -= PAUSE_LONGEST_NS - PAUSE_PATIENCE_NS / 2;
    int64_t then = clock_mono_ns();
    bool is_endured = pause_touched(&session, &touch);
    int64_t took = clock_mono_ns() - then;
    ck_assert(is_endured);
    ck_assert_int_eq(news->patience.forgave_ns, 0);
    ck_assert_int_ge(news->patience.waited_ns, PAUSE_PATIENCE_NS / 4);
    ck_assert_int_le(news->patience.waited_ns, PAUSE_PATIENCE_NS / 2 + LONG + took);
    pause_close(&cache.pauses);
    ck_assert(!cache.pauses.knows_queued);
    end();
}
END_TEST

/* Or whoever evicts what a hostile tenant keeps would have to answer for it. */
START_TEST(many_short_touches_come_to_a_long_one)
{
    enum { TIMES = PAUSE_LONG_NS / PAUSE_TOUCH_NS };

    begin();
    for (int i = 0; i < 10 * TIMES; i++)
        ck_assert(!obstructs(0, nothing));
    int64_t held_up = cache.pauses.held_up_ns;
    for (int i = 0; i < TIMES; i++)
        ck_assert(!obstructs(PAUSE_TOUCH_NS, nothing));
    ck_assert_int_ge(cache.pauses.held_up_ns - held_up, PAUSE_LONG_NS);
    ck_assert(pause_watches(&session, clock_mono_ns()));
    int touches = 0;
    while (!obstructs(10 * PAUSE_TOUCH_NS, wait_for_it))
        touches++;
    ck_assert_int_lt(touches, 100);
    end();
}
END_TEST

/* What it keeps is its own doing, and so is that of the others of its tenant. */
START_TEST(own_touches_excuse_no_batch)
{
    begin_watched();
    struct pause_mark mark = pause_before(&session, now);
    wait_for_it();
    (void)obstructs(LONG, nothing);
    ck_assert_int_eq(pause_after(&session, &mark, now, now + 2 * LONG), 2 * LONG);
    ck_assert_int_gt(session.pause.until_ns, 0);
    end();
}
END_TEST

/* The watch need not lapse where the host is busy. */
START_TEST(pauses_get_shorter_with_time)
{
    begin_watched();
    for (int i = 0; i < 8; i++) {
        (void)batch(LONG, wait_for_it);
        go_on();
    }
    ck_assert_uint_eq(news->pauses.waits, 8);
    pause_suspect(&session, PAUSE_LONGEST_NS, now + 2 * PAUSE_HALVING_NS);
    now = news->pauses.halved_at_ns + 2 * PAUSE_HALVING_NS;
    ck_assert_int_eq(batch(LONG, wait_for_it), PAUSE_FACTOR * LONG * 4); /* the third of a row */
    go_on();
    now += 1000 * PAUSE_HALVING_NS;
    pause_suspect(&session, PAUSE_LONGEST_NS, now);
    ck_assert_int_eq(batch(LONG, wait_for_it), PAUSE_FACTOR * LONG);
    end();
}
END_TEST

/* What is touched within it, and had us wait, is not its doing. */
START_TEST(touch_does_not_pay_for_the_one_within)
{
    struct session served = {.cache = &cache, .state = SESSION_ALIVE};

    begin();
    served.tenant = tenants_get(&cache.tenants, "other");
    served.tenant->patience.forgave_ns = clock_mono_ns();
    pause_suspect(&served, PAUSE_LONGEST_NS, clock_mono_ns());
    ck_assert(!obstructs(LONG, nothing));
    struct pause_touch outer = pause_touch(&served);
    (void)obstructs(PAUSE_LONGEST_NS, wait_for_it);
    outer.began_ns -= PAUSE_LONGEST_NS;
    (void)pause_touched(&served, &outer);
    /* No more than what the machine took. */
    ck_assert_int_lt(served.tenant->patience.waited_ns, PAUSE_LONGEST_NS);
    ck_assert_int_lt(served.tenant->patience.barred_ns,
                     clock_mono_ns() + PAUSE_BAR_FACTOR * PAUSE_LONGEST_NS / 2);
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
    tcase_add_test(tcase, pauses_outlast_registrations);
    tcase_add_test(tcase, pauses_grow_with_registrations);
    tcase_add_test(tcase, long_batches_are_watched_longer);
    tcase_add_test(tcase, who_makes_others_wait_obstructs);
    tcase_add_test(tcase, short_waits_are_borne_for_a_while);
    tcase_add_test(tcase, obstructed_is_not_charged);
    tcase_add_test(tcase, askers_are_apart_and_not_barred);
    tcase_add_test(tcase, waits_are_forgotten);
    tcase_add_test(tcase, one_long_wait_is_forgiven);
    tcase_add_test(tcase, bars_only_grow);
    tcase_add_test(tcase, waits_without_a_processor_are_not_judged);
    tcase_add_test(tcase, being_stopped_is_nobodys_fault);
    tcase_add_test(tcase, others_excuse_as_much_as_they_took);
    tcase_add_test(tcase, standing_in_line_is_taken_off);
    tcase_add_test(tcase, many_short_touches_come_to_a_long_one);
    tcase_add_test(tcase, own_touches_excuse_no_batch);
    tcase_add_test(tcase, pauses_get_shorter_with_time);
    tcase_add_test(tcase, touch_does_not_pay_for_the_one_within);
}

int main(void)
{
    return run_suite("pause", add_cases);
}
