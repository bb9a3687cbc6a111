/* mq: messages are taken in the order in which they were sent, whatever priority others give theirs. */
#include "mq.h"

#include "check_unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OTHERS_PRIORITY 32767u /* the highest that mq_send(3) takes here */

static char name[64];

static mqd_t make_queue(void)
{
    mqd_t queue;

    snprintf(name, sizeof(name), "/larder-check-mq-%d", (int)getpid());
    ck_assert_int_eq(mq_create_exclusive(&queue, name, 4), 0);
    return queue;
}

static void expect(mqd_t queue, const char *text)
{
    char got[MQ_MESSAGE_BYTES];
    int length = mq_receive_message(queue, got);

    ck_assert_int_eq(length, (int)strlen(text));
    ck_assert_mem_eq(got, text, strlen(text));
}

/* `_i`: with patience. */
START_TEST(nobody_overtakes)
{
    mqd_t queue = make_queue();

    ck_assert_int_eq(mq_send(queue, "low", 3, 0), 0);
    ck_assert_int_eq(mq_send(queue, "before", 6, OTHERS_PRIORITY), 0);
    ck_assert_int_eq(_i ? mq_send_patiently(queue, "ours", 4, 10) : mq_send_message(queue, "ours", 4), 0);
    ck_assert_int_eq(mq_send(queue, "behind", 6, OTHERS_PRIORITY), 0);
    ck_assert_int_eq(mq_send_message(queue, "full", 4), -EAGAIN);
    ck_assert_int_eq(mq_send(queue, "higher", 6, OTHERS_PRIORITY + 1), -1);
    expect(queue, "before");
    expect(queue, "ours");
    expect(queue, "behind");
    expect(queue, "low");
    mq_close(queue);
    mq_unlink(name);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, nobody_overtakes, 0, 2);
}

int main(void)
{
    return run_suite("mq", add_cases);
}
