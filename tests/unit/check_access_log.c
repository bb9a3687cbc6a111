/* access_log: a reader that does not read costs lines, never a wait, and leaves no line cut in two. */
#include "access_log.h"

#include "check_unit.h"

#include <errno.h>
#include <fcntl.h>

#define TARGET_BYTES 3000
#define MANY         1000 /* lines: far more than pipe and buffer hold */

static struct proxy_loop loop;
static struct access_log *access_log;
static int reader, writer; /* the test's ends */
static char path[64];

/* The log opens the pipe by a name of its own, as it would a FIFO. */
static void begin(void)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    reader = ends[0];
    writer = ends[1];
    ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", writer);
    ck_assert_int_eq(proxy_loop_setup(&loop), 0);
    ck_assert_int_eq(access_log_create(&access_log, &loop, path), 0);
}

static void end(void)
{
    access_log_destroy(&access_log);
    close(writer);
    proxy_loop_teardown(&loop);
}

static void add_lines(unsigned count, char filling)
{
    char target[TARGET_BYTES];
    struct access_entry entry = {.client = "client",
                                 .protocol = "HTTP/1.1",
                                 .method = HTTP_SPAN("GET"),
                                 .target = {target, sizeof target},
                                 .status = 200,
                                 .cache = "hit"};

    memset(target, filling, sizeof target);
    for (unsigned i = 0; i < count; i++)
        access_log_add(access_log, &entry);
}

static size_t held;
static char text[4u * 1024 * 1024];

static void read_all(void)
{
    ssize_t got;

    while ((got = read(reader, text + held, sizeof text - held - 1)) > 0)
        held += (size_t)got;
    ck_assert(got == 0 || errno == EAGAIN);
    text[held] = '\0';
}

/* How many lines there are with this filling, each of which is whole. */
static unsigned whole_lines(char filling)
{
    unsigned count = 0;
    char *end;

    for (char *line = text; *line; line = end + 1) {
        char *target = strstr(line, "GET ");

        end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        ck_assert(target && target < end && strncmp(line, "client - - [", 12) == 0);
        ck_assert_uint_eq(strspn(target + 4, (char[]){target[4], '\0'}), TARGET_BYTES);
        count += target[4] == filling;
    }
    return count;
}

START_TEST(reader_that_reads_gets_all)
{
    begin();
    for (int i = 0; i < 100; i++) {
        add_lines(10, 'a');
        read_all();
    }
    end();
    read_all();
    ck_assert_uint_eq(whole_lines('a'), 1000);
    close(reader);
}
END_TEST

START_TEST(nobody_waits_for_a_reader)
{
    unsigned lines;

    begin();
    add_lines(MANY, 'a');
    read_all();
    access_log_reopen(access_log); /* which writes what is held */
    read_all();
    add_lines(5, 'b');
    end();
    read_all();
    lines = whole_lines('a');
    ck_assert(lines > 0 && lines < MANY);
    ck_assert_uint_eq(whole_lines('b'), 5);
    close(reader);
}
END_TEST

START_TEST(reader_that_is_gone_costs_lines_only)
{
    signal(SIGPIPE, SIG_IGN);
    begin();
    add_lines(10, 'a');
    close(reader);
    add_lines(MANY, 'b');
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, reader_that_reads_gets_all);
    tcase_add_test(tcase, nobody_waits_for_a_reader);
    tcase_add_test(tcase, reader_that_is_gone_costs_lines_only);
}

int main(void)
{
    return run_suite("access_log", add_cases);
}
