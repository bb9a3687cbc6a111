/* libcurl: loaded when it is wanted, early or not, and set up as often as it is released. */
#include "libcurl.h"

#include "check_unit.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>

static unsigned thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;

    ck_assert_ptr_nonnull(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void is_set_up(void)
{
    char problem[512] = "";

    ck_assert_msg(libcurl_load(problem, sizeof problem) == 0, "%s", problem);
    ck_assert_str_eq(problem, "");
    ck_assert_str_eq(curl->easy_strerror(CURLE_OK), "No error");
}

START_TEST(without_a_thread)
{
    ck_assert_ptr_null(curl);
    is_set_up();
    libcurl_release();
    ck_assert_ptr_nonnull(curl);
}
END_TEST

/* The thread is gone and took its low priority with it. */
START_TEST(by_a_thread)
{
    int nice = getpriority(PRIO_PROCESS, 0);
    unsigned threads = thread_count();

    libcurl_load_early();
    libcurl_load_early();
    is_set_up();
    ck_assert_uint_eq(thread_count(), threads);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), nice);
    libcurl_release();
}
END_TEST

START_TEST(begun_and_not_wanted)
{
    unsigned threads = thread_count();

    libcurl_load_early();
    libcurl_settle();
    libcurl_settle();
    ck_assert_uint_eq(thread_count(), threads);
}
END_TEST

START_TEST(twice)
{
    is_set_up();
    is_set_up();
    libcurl_release();
    is_set_up();
    libcurl_release();
    libcurl_release();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, without_a_thread);
    tcase_add_test(tcase, by_a_thread);
    tcase_add_test(tcase, begun_and_not_wanted);
    tcase_add_test(tcase, twice);
}

int main(void)
{
    return run_suite("libcurl", add_cases);
}
