/* loop: who is called, and that a source removed in the middle of a batch is not. */
#include "loop.h"

#include "check_unit.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define SOURCES 100

static struct loop loop;
static struct loop_source sources[SOURCES];
static int called[SOURCES];
static int total;

static void ring(int i)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(sources[i].fd, &one, sizeof(one)), sizeof(one));
}

static void drain(void *context)
{
    struct loop_source *source = context;
    uint64_t count;

    ck_assert_int_eq(read(source->fd, &count, sizeof(count)), sizeof(count));
    called[source - sources]++;
    total++;
}

/* Drops every other source, itself included, and destroys them: none may be called any more. */
static void remove_all(void *context)
{
    (void)context;
    total++;
    for (int i = 0; i < SOURCES; i++) {
        loop_remove(&loop, &sources[i]);
        close(sources[i].fd);
        memset(&sources[i], 0x5a, sizeof(sources[i]));
    }
}

static void begin(void (*ready)(void *))
{
    ck_assert_int_eq(loop_setup(&loop), 0);
    for (int i = 0; i < SOURCES; i++) {
        sources[i] = (struct loop_source){eventfd(0, EFD_CLOEXEC), ready, &sources[i]};
        ck_assert_int_eq(loop_add(&loop, &sources[i]), 0);
    }
}

START_TEST(every_ready_source_is_called_once)
{
    begin(drain);
    loop_poll(&loop, 0);
    ck_assert_int_eq(total, 0);
    for (int i = 0; i < SOURCES; i++)
        ring(i);
    while (total < SOURCES)
        loop_poll(&loop, 1000);
    for (int i = 0; i < SOURCES; i++)
        ck_assert_int_eq(called[i], 1);
    loop_poll(&loop, 0);
    ck_assert_int_eq(total, SOURCES);
    loop_teardown(&loop);
}
END_TEST

START_TEST(removed_source_is_not_called)
{
    begin(drain);
    for (int i = 0; i < SOURCES; i++)
        ring(i);
    for (int i = 0; i < SOURCES; i += 2)
        loop_remove(&loop, &sources[i]);
    while (total < SOURCES / 2)
        loop_poll(&loop, 1000);
    loop_poll(&loop, 0);
    for (int i = 0; i < SOURCES; i++)
        ck_assert_int_eq(called[i], i % 2);
    loop_teardown(&loop);
}
END_TEST

START_TEST(source_removed_in_its_batch_is_not_called)
{
    begin(remove_all);
    for (int i = 0; i < SOURCES; i++)
        ring(i);
    loop_poll(&loop, 1000);
    ck_assert_int_eq(total, 1);
    loop_poll(&loop, 0);
    ck_assert_int_eq(total, 1);
    loop_teardown(&loop);
}
END_TEST

START_TEST(source_is_added_once_and_needs_a_descriptor)
{
    begin(drain);
    struct loop_source bad = {-1, drain, NULL};
    ck_assert_int_eq(loop_add(&loop, &sources[0]), -EEXIST);
    ck_assert_int_eq(loop_add(&loop, &bad), -EBADF);
    loop_teardown(&loop);
}
END_TEST

static void on_alarm(int signal)
{
    (void)signal;
}

START_TEST(signal_ends_the_wait)
{
    struct sigaction action = {.sa_handler = on_alarm};
    timer_t timer;
    struct itimerspec soon = {.it_value = {0, 1000000}, .it_interval = {0, 1000000}};

    begin(drain);
    sigaction(SIGALRM, &action, NULL);
    ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    timer_settime(timer, 0, &soon, NULL);
    loop_poll(&loop, -1); /* without the signal this would wait for ever */
    ck_assert_int_eq(total, 0);
    timer_delete(timer);
    loop_teardown(&loop);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, every_ready_source_is_called_once);
    tcase_add_test(tcase, removed_source_is_not_called);
    tcase_add_test(tcase, source_removed_in_its_batch_is_not_called);
    tcase_add_test(tcase, source_is_added_once_and_needs_a_descriptor);
    tcase_add_test(tcase, signal_ends_the_wait);
}

int main(void)
{
    return run_suite("loop", add_cases);
}
