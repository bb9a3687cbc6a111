/* log: lines as they are written, and how many of them. */
#include "log.h"

#include "check_unit.h"

#include <fcntl.h>
#include <sys/mman.h>

/* Standard error is a file in memory, from here on. */
static int capture(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
    return fd;
}

static char *captured(int fd)
{
    static char text[1 << 20];
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

    ck_assert_int_ge(length, 0);
    text[length] = '\0';
    return text;
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        found++;
    return found;
}

START_TEST(line_has_its_pairs)
{
    int fd = capture();

    log_setup("check");
    log_info("something happened", "what=%d", 7);
    log_debug("nobody wants to know");
    ck_assert_ptr_nonnull(strstr(captured(fd), " level=info proc=check pid="));
    ck_assert_ptr_nonnull(strstr(captured(fd), " msg=\"something happened\" what=7\n"));
    ck_assert_uint_eq(count(captured(fd), "\n"), 1);
}
END_TEST

/* Whether or not a second ends meanwhile, most of very many lines are left out, and the rest is told. */
START_TEST(flood_of_lines_is_cut)
{
    int fd = capture();

    for (unsigned i = 0; i < 100 * LOG_MAX_LINES_A_SECOND; i++)
        log_warn("again", "number=%u", i);
    unsigned lines = count(captured(fd), "msg=\"again\"");
    ck_assert_uint_ge(lines, LOG_MAX_LINES_A_SECOND);
    ck_assert_uint_lt(lines, 50 * LOG_MAX_LINES_A_SECOND);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, line_has_its_pairs);
    tcase_add_test(tcase, flood_of_lines_is_cut);
}

int main(void)
{
    return run_suite("log", add_cases);
}
