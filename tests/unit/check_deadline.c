/* deadline: order, clearing, setting anew, and expiry that sets further ones. */
#include "deadline.h"

#include "check_unit.h"

#include <stddef.h>

static struct deadline_list list, other;
static struct deadline a, b, c;
static struct deadline *expired[8];
static int expired_count;
static bool set_again;

static void note(struct deadline *deadline)
{
    ck_assert(!deadline_is_set(deadline));
    expired[expired_count++] = deadline;
    if (set_again)
        deadline_set(&list, deadline, 1000);
}

static void begin(void)
{
    deadline_list_setup(&list, 100, note);
    deadline_list_setup(&other, 10, note);
    a = b = c = (struct deadline){0};
    expired_count = 0;
    set_again = false;
}

START_TEST(they_expire_in_order)
{
    begin();
    ck_assert_int_eq(deadline_next(&list), DEADLINE_NEVER);
    deadline_set(&list, &a, 0);
    deadline_set(&list, &b, 5);
    deadline_set(&list, &c, 5);
    ck_assert_int_eq(deadline_next(&list), 100);
    deadline_expire(&list, 99);
    ck_assert_int_eq(expired_count, 0);
    deadline_expire(&list, 104);
    ck_assert_int_eq(expired_count, 1);
    deadline_expire(&list, 105);
    ck_assert_int_eq(expired_count, 3);
    ck_assert(expired[0] == &a && expired[1] == &b && expired[2] == &c);
    ck_assert_int_eq(deadline_next(&list), DEADLINE_NEVER);
}
END_TEST

START_TEST(they_can_be_cleared_and_set_anew)
{
    begin();
    deadline_clear(&a); /* harmless */
    deadline_set(&list, &a, 0);
    deadline_set(&list, &b, 1);
    deadline_set(&list, &a, 2); /* goes to the end */
    ck_assert_ptr_eq(deadline_first(&list), &b);
    deadline_clear(&b);
    ck_assert(!deadline_is_set(&b));
    ck_assert_int_eq(deadline_next(&list), 102);
    deadline_set(&other, &a, 2); /* leaves the first list */
    ck_assert_ptr_null(deadline_first(&list));
    ck_assert_int_eq(deadline_next(&other), 12);
}
END_TEST

START_TEST(an_expired_one_may_be_set_again)
{
    begin();
    set_again = true;
    deadline_set(&list, &a, 0);
    deadline_expire(&list, 500);
    ck_assert_int_eq(expired_count, 1);
    ck_assert_int_eq(deadline_next(&list), 1100);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, they_expire_in_order);
    tcase_add_test(tcase, they_can_be_cleared_and_set_anew);
    tcase_add_test(tcase, an_expired_one_may_be_set_again);
}

int main(void)
{
    return run_suite("deadline", add_cases);
}
