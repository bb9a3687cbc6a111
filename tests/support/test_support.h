/* test_support.h: what C tests need to prove that they leave nothing behind.
 *
 * Names are unique per process and call, so tests run beside each other. Nothing here sleeps and hopes: every
 * wait names its event and has a deadline. Children are ended by pid only.
 *
 * Trust: tests are trusted; a broken environment (no /proc, fork fails) ends the test program with a message.
 */
#ifndef LARDER_TEST_SUPPORT_H
#define LARDER_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TEST_INSTANCE_BYTES 33    /* the longest that an instance may have */
#define TEST_DEADLINE_MS    10000 /* generous: reached only when the event never comes */

/* Writes an instance name that no other test uses: STORY-PID-COUNTER (a long story is cut). */
void test_instance_name(char out[TEST_INSTANCE_BYTES], const char *story);

/* Directory of the executables under test: $LARDER_BIN, which ctest sets. */
const char *test_bin_dir(void);

/* How many descriptors this process holds. */
int test_open_descriptors(void);

/* How many names in /dev/shm and (where it is mounted) /dev/mqueue belong to an instance. */
int test_ipc_names(const char *instance);

/* Resources before a test, to be compared after it. */
struct test_footprint {
    int descriptors;
    int ipc_names;
};
struct test_footprint test_footprint(const char *instance);

/* True when nothing was left behind since `before`; otherwise says on stderr what was. */
bool test_nothing_left(const char *instance, const struct test_footprint *before);

int64_t test_now_ms(void); /* CLOCK_MONOTONIC */

/* Polls an event that announces itself nowhere. False when the deadline passed. */
bool test_wait_until(bool (*happened)(void *), void *context, int deadline_ms);

/* A gate between processes: create before fork(), pass in one, open in the other. */
struct test_gate {
    int ends[2];
};
void test_gate_create(struct test_gate *gate);
void test_gate_open(struct test_gate *gate);                        /* lets one pass */
bool test_gate_pass(const struct test_gate *gate, int deadline_ms); /* false when nobody opened it in time */
void test_gate_destroy(struct test_gate *gate);

/* A child process whose standard output is read line by line. */
struct test_child {
    pid_t pid;
    int out; /* its standard output */
    size_t held;
    char buffer[4096];
};

/* Starts argv[0] (looked for in test_bin_dir() unless it has a slash). 0 or -errno of exec. */
int test_child_start(struct test_child *child, char *const argv[]);

/* The next line of its output, without the newline. False at its end or when the deadline passed. */
bool test_child_line(struct test_child *child, char *line, size_t size, int deadline_ms);

/* Sends `signal` (0 sends none) and waits. The exit status, 128 + signal number if a signal ended it, or -1
 * if the deadline passed, after which it has been killed. */
int test_child_stop(struct test_child *child, int signal, int deadline_ms);

#endif
