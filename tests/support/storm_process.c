#include "storm_process.h"

#include "storm_time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Signals as a program expects them: the stress test itself blocks some. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(attributes,
                                    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

void process_put_first(pid_t id)
{
    const struct sched_param lowest = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};

    (void)sched_setscheduler(id, SCHED_FIFO, &lowest);
}

/* posix_spawn(3) leaves the texts alone, whatever its prototype says. */
static int spawn(pid_t *pid, const char *const argv[], int out, int log_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    error = set_attributes(&attributes);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, log_fd, STDERR_FILENO);
    if (!error)
        error = posix_spawn(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -error;
}

int process_start(struct process *process, const char *const argv[], int log_fd)
{
    int ends[2], error;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* ours only: the child's writes may block */
    error = spawn(&process->pid, argv, ends[1], log_fd);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        process->pid = 0;
        return error;
    }
    process->out = ends[0];
    process->held = 0;
    return 0;
}

bool process_line(struct process *process, char *line, size_t size)
{
    ssize_t got =
        read(process->out, process->buffer + process->held, sizeof(process->buffer) - process->held);
    char *end;

    if (got > 0)
        process->held += (size_t)got;
    end = memchr(process->buffer, '\n', process->held);
    if (!end)
        return false;
    snprintf(line, size, "%.*s", (int)(end - process->buffer), process->buffer);
    process->held -= (size_t)(end + 1 - process->buffer);
    memmove(process->buffer, end + 1, process->held);
    return true;
}

bool process_reap(struct process *process, int *status)
{
    if (process->pid == 0 || waitpid(process->pid, status, WNOHANG) != process->pid)
        return false;
    close(process->out);
    process->out = -1;
    process->pid = 0;
    return true;
}

const char *process_ending(int status, char out[32])
{
    if (WIFSIGNALED(status))
        snprintf(out, 32, "signal %d", WTERMSIG(status));
    else
        snprintf(out, 32, "exit status %d", WEXITSTATUS(status));
    return out;
}

/* Until the end of its output. False when the time is up. */
static bool read_all(const struct process *process, char *output, size_t size, int64_t deadline)
{
    char surplus[4096];
    size_t held = 0;

    for (;;) {
        struct pollfd fd = {.fd = process->out, .events = POLLIN};
        struct timespec left = storm_until(deadline, storm_now());
        ssize_t got;

        if (ppoll(&fd, 1, &left, NULL) <= 0 && storm_now() >= deadline)
            return false;
        if (held + 1 < size)
            got = read(process->out, output + held, size - 1 - held);
        else
            got = read(process->out, surplus, sizeof(surplus));
        if (got == 0)
            return true;
        if (got > 0 && held + 1 < size)
            held += (size_t)got;
        output[held] = '\0';
    }
}

int process_capture(const char *const argv[], int log_fd, char *output, size_t size, int64_t nanoseconds)
{
    struct process process = {.out = -1};
    int status = -1;
    bool whole;

    output[0] = '\0';
    if (process_start(&process, argv, log_fd))
        return -1;
    whole = read_all(&process, output, size, storm_now() + nanoseconds);
    if (!whole)
        kill(process.pid, SIGKILL);
    if (waitpid(process.pid, &status, 0) < 0 || !whole)
        status = -1;
    close(process.out);
    return status;
}
