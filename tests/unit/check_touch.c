/* touch: whose sessions are to be dropped for lost pages and for waits, and that this is told once. */
#include "touch.h"

#include "cache.h"
#include "check_unit.h"
#include "shm_guard.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#define SESSIONS 3u /* two of a process, one of another */
#define BYTES    4096
#define WAIT_MS  (PAUSE_PATIENCE_NS / 1000000 + 5)

static struct cache cache;
static struct session sessions[SESSIONS];
static int fd;

static void begin(void)
{
    memset(&cache, 0, sizeof(cache));
    memset(sessions, 0, sizeof(sessions));
    ck_assert_int_eq(shm_guard_setup(), 0);
    fd = memfd_create("pool", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, BYTES), 0);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct session *session = &sessions[i];
        session->cache = &cache;
        session->tenant = tenants_get(&cache.tenants, "news");
        session->pid = i < 2 ? 1 : 2;
        session->process = process_join(&cache.processes, session->pid, 0);
        session->pool.bytes = BYTES;
        session->pool.base = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(session->pool.base, MAP_FAILED);
        cache.registry.places[i].session = session;
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        process_leave(&cache.processes, &sessions[i].process);
        ck_assert_int_eq(munmap(sessions[i].pool.base, BYTES), 0);
    }
    tenants_free(&cache.tenants);
    ck_assert_int_eq(close(fd), 0);
}

/* The first time makes it look, and one alone ends nobody. More are needed where the scheduler passes us over
 * just then. */
enum { TIMES = 3, TIMES_AT_MOST = 100 };

/* As long as the kernel does not let go of a page that is being punched out. */
static void wait_for_page(struct session *session)
{
    ck_assert_int_eq(madvise(session->pool.base, BYTES, MADV_DONTNEED), 0);
    poll(NULL, 0, WAIT_MS);
    (void)*(volatile uint8_t *)session->pool.base;
}

static void make_it_wait(void)
{
    for (int i = 0; i < TIMES || (i < TIMES_AT_MOST && !sessions[0].obstructs); i++) {
        struct pause_touch touch = touch_begin_other(&sessions[0]);
        wait_for_page(&sessions[0]);
        ck_assert(touch_end_other(&sessions[0], &touch));
    }
}

START_TEST(lost_page_spoils_one)
{
    begin();
    struct pause_touch touch = touch_begin_other(&sessions[0]);
    sessions[0].pool.base[0] = 1;
    ck_assert(touch_end_other(&sessions[0], &touch));
    ck_assert(!sessions[0].spoiled);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    touch = touch_begin_other(&sessions[0]);
    sessions[0].pool.base[0] = 1;
    ck_assert(!touch_end_other(&sessions[0], &touch));
    ck_assert(sessions[0].spoiled && !sessions[1].spoiled && !sessions[2].spoiled);
    ck_assert(!sessions[0].obstructs);
    ck_assert_uint_eq(cache.spoiled, 1);
    end();
}
END_TEST

START_TEST(lost_page_of_ones_own_is_told)
{
    begin();
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    struct pause_touch touch = touch_begin(&sessions[0]);
    sessions[0].pool.base[0] = 1;
    ck_assert(!touch_end(&sessions[0], &touch));
    ck_assert(!sessions[0].spoiled); /* the caller drops it */
    end();
}
END_TEST

START_TEST(wait_spoils_the_process)
{
    begin();
    make_it_wait();
    ck_assert(sessions[0].spoiled && sessions[0].obstructs);
    ck_assert(sessions[1].spoiled && sessions[1].obstructs);
    ck_assert(!sessions[2].spoiled && !sessions[2].obstructs);
    ck_assert_uint_eq(cache.spoiled, 2);
    ck_assert(pause_bars(&sessions[2])); /* the tenant */
    end();
}
END_TEST

/* Truncated just before we look again: that excuses nobody. */
START_TEST(wait_for_a_page_that_is_lost_spoils_the_process)
{
    begin();
    for (int i = 0; i < TIMES_AT_MOST && !sessions[0].obstructs; i++) {
        struct pause_touch touch = touch_begin_other(&sessions[0]);
        wait_for_page(&sessions[0]);
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        sessions[0].pool.base[0] = 1;
        ck_assert(!touch_end_other(&sessions[0], &touch));
        ck_assert_int_eq(ftruncate(fd, BYTES), 0);
        ck_assert_ptr_eq(
            mmap(sessions[0].pool.base, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
            sessions[0].pool.base);
    }
    ck_assert(sessions[0].obstructs && sessions[1].obstructs && !sessions[2].obstructs);
    end();
}
END_TEST

/* Those of other pid namespaces count as one process, and need not be. */
START_TEST(whose_pid_is_unseen_answers_for_itself)
{
    begin();
    sessions[0].pid = sessions[1].pid = 0;
    make_it_wait();
    ck_assert(sessions[0].spoiled && !sessions[1].spoiled);
    ck_assert_uint_eq(cache.spoiled, 1);
    end();
}
END_TEST

/* Spoiled already, by whatever: counted once. */
START_TEST(nobody_is_spoiled_twice)
{
    begin();
    sessions[1].spoiled = true;
    cache.spoiled = 1;
    make_it_wait();
    ck_assert_uint_eq(cache.spoiled, 2);
    make_it_wait();
    ck_assert_uint_eq(cache.spoiled, 2);
    end();
}
END_TEST

/* A message of its own, as for statistics, is no other matter. */
START_TEST(wait_for_ones_own_message_spoils_as_well)
{
    begin();
    int times = 0;
    for (; times < TIMES_AT_MOST && !sessions[2].obstructs; times++) {
        struct pause_touch touch = touch_begin(&sessions[2]);
        wait_for_page(&sessions[2]);
        ck_assert(touch_end(&sessions[2], &touch));
    }
    ck_assert_int_ge(times, TIMES);
    ck_assert(sessions[2].obstructs && !sessions[0].spoiled);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, lost_page_spoils_one);
    tcase_add_test(tcase, lost_page_of_ones_own_is_told);
    tcase_add_test(tcase, wait_spoils_the_process);
    tcase_add_test(tcase, wait_for_a_page_that_is_lost_spoils_the_process);
    tcase_add_test(tcase, whose_pid_is_unseen_answers_for_itself);
    tcase_add_test(tcase, nobody_is_spoiled_twice);
    tcase_add_test(tcase, wait_for_ones_own_message_spoils_as_well);
}

int main(void)
{
    return run_suite("touch", add_cases);
}
