/* reaper: everything handed over is given back, in any amount, and ending waits for the last. */
#include "reaper.h"

#include "check_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)

static struct reaper reaper;

static void *map(size_t pages)
{
    void *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

static bool is_mapped(void *memory)
{
    unsigned char resident;

    return mincore(memory, PAGE, &resident) == 0 || errno != ENOMEM;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(ending_waits_for_what_was_handed_over)
{
    void *memory[100];
    int fds[100];

    ck_assert_int_eq(reaper_start(&reaper), 0);
    for (int i = 0; i < 100; i++) {
        memory[i] = map(4);
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fds[i], 0);
    }
    for (int i = 0; i < 100; i++) {
        reaper_unmap(&reaper, 100 + i, memory[i], 4 * PAGE);
        reaper_close(&reaper, 100 + i, fds[i]);
    }
    reaper_stop(&reaper);
    for (int i = 0; i < 100; i++)
        ck_assert(!is_mapped(memory[i]) && !is_open(fds[i]));
    ck_assert_uint_eq(reaper_mapped(&reaper), 0);
    ck_assert(!reaper_is_behind(&reaper));
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(reaper_owes(&reaper, 100 + i), 0);
}
END_TEST

/* What one has caused to wait is not held against another. */
START_TEST(each_process_has_an_account)
{
    ck_assert_int_eq(reaper_start(&reaper), 0);
    pthread_cancel(reaper.thread); /* nobody takes anything */
    pthread_join(reaper.thread, NULL);
    for (uint32_t i = 0; i < REAPER_MOST; i++)
        reaper_close(&reaper, 7, -1);
    reaper_close(&reaper, 8, -1);
    ck_assert_uint_eq(reaper_owes(&reaper, 7), REAPER_MOST);
    ck_assert_uint_eq(reaper_owes(&reaper, 8), 1);
    ck_assert_uint_eq(reaper_owes(&reaper, 9), 0);
    for (pid_t pid = 1000; pid < 2000; pid++) /* more than there are accounts */
        reaper_close(&reaper, pid, -1);
    ck_assert_uint_eq(reaper_owes(&reaper, 8), 1);
    ck_assert_uint_eq(reaper_owes(&reaper, 7), REAPER_MOST);
}
END_TEST

/* More than there is room for: nothing is lost, nobody waits for ever. */
START_TEST(more_than_fits_is_done_all_the_same)
{
    ck_assert_int_eq(reaper_start(&reaper), 0);
    for (uint32_t i = 0; i < 4 * REAPER_ROOM; i++)
        reaper_unmap(&reaper, (pid_t)(i % 1000), map(1), PAGE);
    reaper_stop(&reaper);
    ck_assert_uint_eq(reaper_mapped(&reaper), 0);
}
END_TEST

START_TEST(nothing_to_do_is_no_trouble)
{
    ck_assert_int_eq(reaper_start(&reaper), 0);
    ck_assert(!reaper_is_behind(&reaper));
    reaper_stop(&reaper);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, ending_waits_for_what_was_handed_over);
    tcase_add_test(tcase, each_process_has_an_account);
    tcase_add_test(tcase, more_than_fits_is_done_all_the_same);
    tcase_add_test(tcase, nothing_to_do_is_no_trouble);
}

int main(void)
{
    return run_suite("reaper", add_cases);
}
