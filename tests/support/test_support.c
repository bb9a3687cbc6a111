#include "test_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_STEP_MS 5

static void fail(const char *what)
{
    fprintf(stderr, "test support: %s: %s\n", what, strerror(errno));
    exit(1);
}

void test_instance_name(char out[TEST_INSTANCE_BYTES], const char *story)
{
    static unsigned counter;

    snprintf(out, TEST_INSTANCE_BYTES, "%.14s-%d-%u", story, (int)getpid(), counter++);
}

const char *test_bin_dir(void)
{
    const char *dir = getenv("LARDER_BIN");

    return dir ? dir : ".";
}

int64_t test_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether a directory entry is `name` itself or `name.SOMETHING`; without a name every entry is. */
static bool belongs(const char *entry, const char *name)
{
    size_t length = strlen(name);

    return length == 0 ||
           (strncmp(entry, name, length) == 0 && (entry[length] == '\0' || entry[length] == '.'));
}

/* Entries of a directory that belong to `name`; 0 if there is no such directory. */
static int count_entries(const char *path, const char *name)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.' && belongs(entry->d_name, name);
    closedir(dir);
    return count;
}

int test_open_descriptors(void)
{
    int count = count_entries("/proc/self/fd", "") - 1; /* the one that reads the directory */

    if (count < 0)
        fail("/proc/self/fd");
    return count;
}

int test_ipc_names(const char *instance)
{
    char name[128];

    snprintf(name, sizeof(name), "larder.%s", instance);
    return count_entries("/dev/shm", name) + count_entries("/dev/mqueue", name);
}

struct test_footprint test_footprint(const char *instance)
{
    return (struct test_footprint){test_open_descriptors(), test_ipc_names(instance)};
}

bool test_nothing_left(const char *instance, const struct test_footprint *before)
{
    struct test_footprint after = test_footprint(instance);

    if (after.descriptors != before->descriptors)
        fprintf(stderr, "%d descriptors open, %d before\n", after.descriptors, before->descriptors);
    if (after.ipc_names != before->ipc_names)
        fprintf(stderr, "%d names of %s exist, %d before\n", after.ipc_names, instance, before->ipc_names);
    return after.descriptors == before->descriptors && after.ipc_names == before->ipc_names;
}

bool test_wait_until(bool (*happened)(void *), void *context, int deadline_ms)
{
    int64_t deadline = test_now_ms() + deadline_ms;

    while (!happened(context)) {
        if (test_now_ms() >= deadline)
            return false;
        poll(NULL, 0, POLL_STEP_MS);
    }
    return true;
}

void test_gate_create(struct test_gate *gate)
{
    if (pipe2(gate->ends, O_CLOEXEC))
        fail("pipe2");
}

void test_gate_open(struct test_gate *gate)
{
    if (write(gate->ends[1], "", 1) != 1)
        fail("gate");
}

static bool readable(int fd, int deadline_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int64_t deadline = test_now_ms() + deadline_ms;
    int ready;

    do {
        int64_t left = deadline - test_now_ms();

        ready = poll(&wait, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

bool test_gate_pass(const struct test_gate *gate, int deadline_ms)
{
    char token;

    return readable(gate->ends[0], deadline_ms) && read(gate->ends[0], &token, 1) == 1;
}

void test_gate_destroy(struct test_gate *gate)
{
    close(gate->ends[0]);
    close(gate->ends[1]);
    gate->ends[0] = gate->ends[1] = -1;
}

/* Runs in the child. Whether exec worked is told through `report`, which exec closes. */
static _Noreturn void become(char *const argv[], int out, int report)
{
    char path[4096];
    int error;

    dup2(out, STDOUT_FILENO);
    if (strchr(argv[0], '/'))
        snprintf(path, sizeof(path), "%s", argv[0]);
    else
        snprintf(path, sizeof(path), "%s/%s", test_bin_dir(), argv[0]);
    execv(path, argv);
    error = errno;
    if (write(report, &error, sizeof(error)) != sizeof(error))
        _exit(126);
    _exit(127);
}

int test_child_start(struct test_child *child, char *const argv[])
{
    int out[2], report[2], error = 0;

    if (pipe2(out, O_CLOEXEC) || pipe2(report, O_CLOEXEC))
        fail("pipe2");
    fflush(NULL);
    *child = (struct test_child){.out = out[0]};
    child->pid = fork();
    if (child->pid < 0)
        fail("fork");
    if (child->pid == 0)
        become(argv, out[1], report[1]);
    close(out[1]);
    close(report[1]);
    if (read(report[0], &error, sizeof(error)) == sizeof(error))
        test_child_stop(child, 0, TEST_DEADLINE_MS);
    close(report[0]);
    return -error;
}

/* Moves one line out of the buffer, if a whole one is there. */
static bool take_line(struct test_child *child, char *line, size_t size)
{
    char *end = memchr(child->buffer, '\n', child->held);
    size_t length;

    if (!end)
        return false;
    length = (size_t)(end - child->buffer);
    snprintf(line, size, "%.*s", (int)length, child->buffer);
    child->held -= length + 1;
    memmove(child->buffer, end + 1, child->held);
    return true;
}

bool test_child_line(struct test_child *child, char *line, size_t size, int deadline_ms)
{
    int64_t deadline = test_now_ms() + deadline_ms;

    while (!take_line(child, line, size)) {
        size_t room = sizeof(child->buffer) - child->held;
        ssize_t got;

        if (room == 0 || !readable(child->out, (int)(deadline - test_now_ms())))
            return false;
        got = read(child->out, child->buffer + child->held, room);
        if (got <= 0)
            return false;
        child->held += (size_t)got;
    }
    return true;
}

/* True when the process has ended before the deadline; it stays waitable. */
static bool ended(pid_t pid, int deadline_ms)
{
    int fd = pidfd_open(pid, 0);
    bool over;

    if (fd < 0)
        fail("pidfd_open");
    over = readable(fd, deadline_ms);
    close(fd);
    return over;
}

int test_child_stop(struct test_child *child, int signal, int deadline_ms)
{
    int status;
    bool in_time;

    if (signal)
        kill(child->pid, signal);
    in_time = ended(child->pid, deadline_ms);
    if (!in_time)
        kill(child->pid, SIGKILL);
    waitpid(child->pid, &status, 0);
    close(child->out);
    child->out = -1;
    if (!in_time)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
