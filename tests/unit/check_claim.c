/* claim: who becomes the cache of an instance, and to whom its queue is open. */
#include "claim.h"

#include "check_unit.h"
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#define STRANGER 61002
#define GROUP    61100

static char instance[32], problem[512];

static void begin(void)
{
    snprintf(instance, sizeof(instance), "claim-%d", (int)getpid());
}

static bool is_unprivileged(const char *test)
{
    return geteuid() != 0 && left_out(test, "only root can give files to other groups");
}

static mode_t mode_of(mqd_t queue)
{
    struct stat status;

    ck_assert_int_eq(fstat(queue, &status), 0);
    return status.st_mode & 07777;
}

START_TEST(queue_is_private_or_open_to_a_group)
{
    const gid_t group = GROUP;
    mqd_t queue;

    begin();
    ck_assert_msg(claim_instance(instance, NULL, &queue, problem, sizeof(problem)) == 0, "%s", problem);
    ck_assert_uint_eq(mode_of(queue), 0600);
    claim_release(instance, queue);
    if (is_unprivileged("queue_is_private_or_open_to_a_group"))
        return;
    ck_assert_msg(claim_instance(instance, &group, &queue, problem, sizeof(problem)) == 0, "%s", problem);
    ck_assert_uint_eq(mode_of(queue), 0620);
    mq_close(queue); /* its cache has died; the next one has no group */
    ck_assert_msg(claim_instance(instance, NULL, &queue, problem, sizeof(problem)) == 0, "%s", problem);
    ck_assert_uint_eq(mode_of(queue), 0600);
    claim_release(instance, queue);
}
END_TEST

/* A child of another user opens the queue to send, locks it, and says whether it could. */
static pid_t lock_as_stranger(mqd_t queue_to_close)
{
    char name[NAMES_BYTES], said = '-';
    int pipes[2];
    mqd_t queue;

    names_command_queue(name, instance);
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        mq_close(queue_to_close);
        if (setgroups(1, &(gid_t){GROUP}) != 0 || setgid(STRANGER) != 0 || setuid(STRANGER) != 0)
            _exit(1);
        bool done = mq_open_existing(&queue, name, O_WRONLY) == 0 && identity_lock(queue) == 0;
        if (write(pipes[1], done ? "y" : "n", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(pipes[1]);
    ck_assert_int_eq(read(pipes[0], &said, 1), 1);
    close(pipes[0]);
    ck_assert_msg(said == 'y', "the stranger could not lock");
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(stranger_who_locks_does_not_keep_a_cache_away)
{
    const gid_t group = GROUP;
    mqd_t queue;

    if (is_unprivileged("stranger_who_locks_does_not_keep_a_cache_away"))
        return;
    begin();
    ck_assert_msg(claim_instance(instance, &group, &queue, problem, sizeof(problem)) == 0, "%s", problem);
    mq_close(queue); /* which drops the lock, as a death does */
    pid_t pid = lock_as_stranger(queue);
    ck_assert_msg(claim_instance(instance, &group, &queue, problem, sizeof(problem)) == 0, "%s", problem);
    ck_assert_uint_eq(mode_of(queue), 0620);
    ck_assert(claim_still_named(queue));
    end_child(pid);
    claim_release(instance, queue);
}
END_TEST

/* One of the same user does, whatever it is. */
START_TEST(living_cache_is_not_replaced)
{
    mqd_t queue, other;

    begin();
    ck_assert_int_eq(claim_instance(instance, NULL, &queue, problem, sizeof(problem)), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(claim_instance(instance, NULL, &other, problem, sizeof(problem)) == -EBUSY ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert(claim_still_named(queue));
    claim_release(instance, queue);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, queue_is_private_or_open_to_a_group);
    tcase_add_test(tcase, stranger_who_locks_does_not_keep_a_cache_away);
    tcase_add_test(tcase, living_cache_is_not_replaced);
}

int main(void)
{
    return run_suite("claim", add_cases);
}
