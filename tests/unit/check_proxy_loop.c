/* proxy_loop: which time-outs expire, and in which order. */
#include "proxy_loop.h"

#include "check_unit.h"
#include "test_support.h"

#include <string.h>

#define LISTS 4

struct watched {
    struct deadline deadline;
    char name;
    unsigned again; /* times that it is set anew when it expires */
    struct deadline_list *list;
};

static struct proxy_loop loop;
static struct deadline_list lists[LISTS];
static char expired[16];
static unsigned expired_count, enough;

static void note(struct deadline *deadline)
{
    struct watched *watched = (struct watched *)(void *)deadline;

    ck_assert_uint_lt(expired_count, sizeof expired - 1);
    ck_assert(!deadline_is_set(deadline));
    ck_assert_int_le(deadline->at, loop.now_ms);
    expired[expired_count++] = watched->name;
    if (watched->again > 0) {
        watched->again--;
        loop_arm(&loop, watched->list, deadline);
    }
    if (expired_count == enough)
        proxy_loop_stop(&loop);
}

#define LONG 60000 /* ms */

/* Of 1, 20 and 40 ms, and one of which nothing expires while a test lasts. */
static void begin(unsigned until)
{
    ck_assert_int_eq(proxy_loop_setup(&loop), 0);
    loop_add_deadlines(&loop, &lists[0], 1, note);
    loop_add_deadlines(&loop, &lists[1], 20, note);
    loop_add_deadlines(&loop, &lists[2], 40, note);
    loop_add_deadlines(&loop, &lists[3], LONG, note);
    memset(expired, 0, sizeof expired);
    expired_count = 0;
    enough = until;
}

static void arm(struct watched *watched, struct deadline_list *list)
{
    watched->list = list;
    loop_arm(&loop, list, &watched->deadline);
}

static void expect(const char *names)
{
    proxy_loop_run(&loop);
    ck_assert_str_eq(expired, names);
    proxy_loop_teardown(&loop);
}

START_TEST(shortest_comes_first)
{
    struct watched a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

    begin(3);
    arm(&a, &lists[2]);
    arm(&b, &lists[0]);
    arm(&c, &lists[1]);
    expect("bca");
}
END_TEST

/* The one that was to be next does not expire; those behind it in its list, and in another one, do. */
START_TEST(cleared_one_holds_nobody_up)
{
    struct watched a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

    begin(2);
    arm(&a, &lists[0]);
    arm(&b, &lists[1]);
    arm(&c, &lists[2]);
    deadline_clear(&a.deadline);
    expect("bc");
}
END_TEST

/* While another one, much later, is all that is left in the lists. */
START_TEST(one_that_is_set_again_expires_again)
{
    struct watched a = {.name = 'a', .again = 3}, b = {.name = 'b'};

    begin(4);
    arm(&b, &lists[3]);
    arm(&a, &lists[0]);
    expect("aaaa");
}
END_TEST

/* By a reload, behind one that was set before it. */
START_TEST(list_may_become_shorter)
{
    struct watched a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

    begin(3);
    arm(&a, &lists[1]);
    lists[1].after_ms = 1;
    arm(&b, &lists[1]);
    arm(&c, &lists[2]);
    expect("abc");
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, shortest_comes_first);
    tcase_add_test(tcase, cleared_one_holds_nobody_up);
    tcase_add_test(tcase, one_that_is_set_again_expires_again);
    tcase_add_test(tcase, list_may_become_shorter);
}

int main(void)
{
    return run_suite("proxy_loop", add_cases);
}
