/* shm_guard: which SIGBUS is survived, and that every other one is a crash. */
#include "shm_guard.h"

#include "check_unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE  4096u
#define PAGES 8u

/* A pool that has lost everything from page `kept` on. */
static uint8_t *truncated(unsigned kept)
{
    int fd = memfd_create("guarded", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)PAGES * PAGE), 0);
    uint8_t *memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(memory != MAP_FAILED);
    memset(memory, 0x5a, (size_t)PAGES * PAGE);
    ck_assert_int_eq(ftruncate(fd, (off_t)kept * PAGE), 0);
    close(fd);
    return memory;
}

static uint8_t read_byte(const volatile uint8_t *at)
{
    return *at;
}

static void write_byte(volatile uint8_t *at)
{
    *at = 1;
}

START_TEST(whole_memory_is_reported_whole)
{
    uint8_t *memory = truncated(PAGES);

    ck_assert_int_eq(shm_guard_setup(), 0);
    for (int i = 0; i < 3; i++) {
        shm_guard_enter(memory, (size_t)PAGES * PAGE);
        ck_assert_uint_eq(read_byte(memory + PAGES * PAGE - 1), 0x5a);
        ck_assert(shm_guard_leave());
    }
    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    ck_assert(shm_guard_leave()); /* nothing touched at all */
}
END_TEST

static const unsigned first_lost[] = {0, 1, 4, PAGES - 1};

START_TEST(lost_page_is_survived_and_reported)
{
    for (int writing = 0; writing < 2; writing++) {
        uint8_t *memory = truncated(first_lost[_i]);
        volatile uint8_t *last = memory + PAGES * PAGE - 1;

        ck_assert_int_eq(shm_guard_setup(), 0);
        errno = 77;
        shm_guard_enter(memory, (size_t)PAGES * PAGE);
        if (writing)
            write_byte(last);
        else
            ck_assert_uint_eq(read_byte(last), 0);
        write_byte(memory); /* the operation goes on, on dead pages */
        ck_assert(!shm_guard_leave());
        ck_assert_int_eq(errno, 77);
        /* What was touched is zeroes of our own, and stays usable; the pages that were not lost are as ever.
         */
        for (unsigned i = (PAGES - 1) * PAGE; i + 1 < PAGES * PAGE; i++)
            ck_assert_uint_eq(memory[i], 0);
        for (unsigned i = 1; i < first_lost[_i] * PAGE; i++)
            ck_assert_uint_eq(memory[i], 0x5a);
        ck_assert_int_eq(munmap(memory, (size_t)PAGES * PAGE), 0);
    }
}
END_TEST

START_TEST(fault_is_forgotten_by_the_next_guard)
{
    uint8_t *lost = truncated(0), *whole = truncated(PAGES), *again = truncated(0);

    ck_assert_int_eq(shm_guard_setup(), 0);
    shm_guard_enter(lost, (size_t)PAGES * PAGE);
    read_byte(lost);
    ck_assert(!shm_guard_leave());
    shm_guard_enter(whole, (size_t)PAGES * PAGE);
    ck_assert_uint_eq(read_byte(whole), 0x5a);
    ck_assert(shm_guard_leave());
    shm_guard_enter(again, (size_t)PAGES * PAGE);
    read_byte(again);
    ck_assert(!shm_guard_leave());
}
END_TEST

/* A word of another pool, while one is being worked on, or none is. */
START_TEST(other_range_is_guarded_beside_the_first)
{
    uint8_t *lost = truncated(0), *whole = truncated(PAGES);

    ck_assert_int_eq(shm_guard_setup(), 0);
    shm_guard_enter(whole, (size_t)PAGES * PAGE);
    shm_guard_enter_other(lost, (size_t)PAGES * PAGE);
    write_byte(lost + PAGE);
    ck_assert(!shm_guard_faulted());
    ck_assert(!shm_guard_leave_other());
    ck_assert_uint_eq(read_byte(whole), 0x5a);
    ck_assert(shm_guard_leave());

    shm_guard_enter(lost, (size_t)PAGES * PAGE);
    shm_guard_enter_other(whole, (size_t)PAGES * PAGE);
    read_byte(lost);
    ck_assert(shm_guard_leave_other());
    ck_assert(!shm_guard_leave());

    shm_guard_enter_other(lost, (size_t)PAGES * PAGE);
    read_byte(lost + 2 * PAGE);
    ck_assert(!shm_guard_leave_other());
}
END_TEST

/* The page is there from now on, as zeroes: whoever reads it under the first guard has to know. */
START_TEST(page_of_both_ranges_counts_for_both)
{
    uint8_t *lost = truncated(0);

    ck_assert_int_eq(shm_guard_setup(), 0);
    shm_guard_enter(lost, (size_t)PAGES * PAGE);
    shm_guard_enter_other(lost, (size_t)PAGES * PAGE);
    write_byte(lost);
    ck_assert(!shm_guard_leave_other());
    ck_assert(shm_guard_faulted());
    ck_assert(!shm_guard_leave());
}
END_TEST

/* A copy that crosses from pages that are there to pages that are not. */
START_TEST(copy_across_the_edge_ends)
{
    uint8_t *memory = truncated(3);
    uint8_t copy[2 * PAGE];

    if (left_out(__func__, "valgrind resumes `rep movs` one word too far"))
        return;
    ck_assert_int_eq(shm_guard_setup(), 0);
    memset(copy, 0x77, sizeof(copy));
    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    memcpy(copy, memory + 2 * PAGE, sizeof(copy));
    ck_assert(!shm_guard_leave());
    ck_assert_uint_eq(copy[sizeof(copy) - 1], 0);
}
END_TEST

/* ---- crashes: each runs in a child ------------------------------------------------------------------- */

static void touch_without_guard(void *memory)
{
    read_byte(memory);
}

static void touch_after_leaving(void *memory)
{
    uint8_t *whole = truncated(PAGES);

    shm_guard_enter(whole, (size_t)PAGES * PAGE);
    if (!shm_guard_leave())
        _exit(1);
    read_byte(memory);
}

static void touch_after_leaving_other(void *memory)
{
    shm_guard_enter_other(memory, PAGE);
    if (!shm_guard_leave_other())
        _exit(1);
    read_byte(memory);
}

static void touch_behind_the_range(void *memory)
{
    shm_guard_enter(memory, PAGE);
    read_byte((uint8_t *)memory + PAGE);
}

static void touch_before_the_range(void *memory)
{
    shm_guard_enter((uint8_t *)memory + PAGE, PAGE);
    read_byte((uint8_t *)memory + PAGE - 1);
}

/* Returns what it has read: valgrind drops a load whose result nobody uses. */
static void *touch(void *memory)
{
    return (void *)(uintptr_t)read_byte(memory);
}

static void touch_on_another_thread(void *memory)
{
    pthread_t thread;

    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    pthread_create(&thread, NULL, touch, memory);
    pthread_join(thread, NULL);
}

static void be_sent_sigbus(void *memory)
{
    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    kill(getpid(), SIGBUS);
}

static void be_queued_sigbus(void *memory)
{
    siginfo_t info = {.si_signo = SIGBUS, .si_code = SI_QUEUE};

    info.si_addr = memory; /* sent, but it looks as if a page of the range had raised it */
    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
}

static void raise_sigbus(void *memory)
{
    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    raise(SIGBUS);
}

static void enter_twice(void *memory)
{
    close(STDERR_FILENO);
    shm_guard_enter(memory, PAGE);
    shm_guard_enter(memory, PAGE);
}

static void leave_without_entering(void *memory)
{
    (void)memory;
    close(STDERR_FILENO);
    shm_guard_leave();
}

/* Every page of it a mapping of its own, until there may be no more; then a page in the middle of a pool. */
static void touch_when_mappings_are_used_up(void *memory)
{
    const size_t pages = (size_t)1 << 20;
    uint8_t *many = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t at = 1;

    while (many != MAP_FAILED && at < pages && mprotect(many + at * PAGE, PAGE, PROT_READ) == 0)
        at += 2;
    if (many == MAP_FAILED || at >= pages)
        _exit(77); /* vm.max_map_count is far above its default */
    shm_guard_enter(memory, (size_t)PAGES * PAGE);
    for (unsigned i = 1; i < PAGES - 1; i++)
        write_byte((uint8_t *)memory + i * PAGE);
    _exit(shm_guard_leave() ? 1 : 0);
}

START_TEST(mappings_that_are_used_up_are_survived)
{
    if (left_out(__func__, "valgrind keeps its own book of mappings, which is shorter"))
        return;
    ck_assert_int_eq(shm_guard_setup(), 0);
    int status = status_of_child(touch_when_mappings_are_used_up, truncated(0));
    ck_assert(status == 0 || status == 77);
}
END_TEST

static const struct {
    void (*act)(void *);
    int signal;
} crashes[] = {
    {touch_without_guard, SIGBUS},    {touch_after_leaving, SIGBUS},     {touch_after_leaving_other, SIGBUS},
    {touch_behind_the_range, SIGBUS}, {touch_before_the_range, SIGBUS},  {touch_on_another_thread, SIGBUS},
    {be_sent_sigbus, SIGBUS},         {be_queued_sigbus, SIGBUS},        {raise_sigbus, SIGBUS},
    {enter_twice, SIGABRT},           {leave_without_entering, SIGABRT},
};

START_TEST(other_faults_are_crashes)
{
    if (crashes[_i].act == be_queued_sigbus &&
        left_out(__func__, "valgrind loses a SIGBUS of rt_sigqueueinfo"))
        return;
    ck_assert_int_eq(shm_guard_setup(), 0);
    ck_assert_int_eq(status_of_child(crashes[_i].act, truncated(0)), 128 + crashes[_i].signal);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, whole_memory_is_reported_whole);
    ADD_ROWS(tcase, lost_page_is_survived_and_reported, first_lost);
    tcase_add_test(tcase, fault_is_forgotten_by_the_next_guard);
    tcase_add_test(tcase, other_range_is_guarded_beside_the_first);
    tcase_add_test(tcase, page_of_both_ranges_counts_for_both);
    tcase_add_test(tcase, copy_across_the_edge_ends);
    tcase_add_test(tcase, mappings_that_are_used_up_are_survived);
    ADD_ROWS(tcase, other_faults_are_crashes, crashes);
}

int main(void)
{
    return run_suite("shm_guard", add_cases);
}
