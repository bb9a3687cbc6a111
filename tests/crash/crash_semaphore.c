/* Why a segment's semaphores are not POSIX semaphores, and that ours survive what kills those.
 *
 * A sem_t in memory that a stranger can write is scribbled over; the poster aborts, or never comes back. If a
 * C library is ever found where it does not, only the documentation of the choice has to change: the second
 * half of this test is what the cache relies on. */
#include "segment_pool.h"
#include "test_support.h"

#include <check.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc's layout (nptl, 64 bit): value and waiters, then the kind of futex. */
static void scribble(sem_t *semaphore, uint32_t waiters, uint32_t kind)
{
    memset(semaphore, 0, sizeof(*semaphore));
    memcpy((char *)semaphore + 4, &waiters, sizeof(waiters));
    memcpy((char *)semaphore + 8, &kind, sizeof(kind));
}

/* How a child that posts such a semaphore ends: a signal's number, or 0 if it exits. */
static int end_of_poster(uint32_t kind)
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        sem_t semaphore;
        signal(SIGABRT, SIG_DFL);
        signal(SIGALRM, SIG_DFL); /* Check has a handler that kills the whole group */
        close(STDERR_FILENO);     /* glibc's last words */
        scribble(&semaphore, 1, kind);
        alarm(1); /* ends a poster that waits */
        sem_post(&semaphore);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

START_TEST(posix_semaphore_is_lethal)
{
    ck_assert_int_eq(end_of_poster(128), 0); /* as sem_init() leaves it */
    ck_assert_int_eq(end_of_poster(112), SIGABRT);
    ck_assert_int_eq(end_of_poster(129), SIGALRM);
}
END_TEST

START_TEST(ours_survives_any_bytes)
{
    static const uint32_t absurd[] = {0, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff};
    struct pool_semaphore semaphore;

    for (size_t i = 0; i < sizeof(absurd) / sizeof(*absurd); i++) {
        atomic_init(&semaphore.value, absurd[i]);
        ck_assert(!pool_semaphore_try(&semaphore));
        pool_semaphore_post(&semaphore);
        ck_assert(pool_semaphore_try(&semaphore));
        ck_assert(!pool_semaphore_try(&semaphore));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("semaphore");
    TCase *tests = tcase_create("hostile");

    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, posix_semaphore_is_lethal);
    tcase_add_test(tests, ours_survives_any_bytes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
