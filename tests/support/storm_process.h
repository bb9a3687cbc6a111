/* storm_process.h: one child process of the stress test: its start, its first lines, its end.
 *
 * Started by posix_spawn(3) in a process group of its own, so that Ctrl-C reaches the stress test alone,
 * which stops its children in order. Not in a session: that would get a share of the processors of its own
 * (autogroups, sched(7)), and the priority of the stress test would mean nothing to its children. Errors: 0
 * or -errno. */
#ifndef STORM_PROCESS_H
#define STORM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid; /* 0: none */
    int out;   /* its standard output, non-blocking; -1: closed */
    size_t held;
    char buffer[256];
};

/* Standard error is appended to the file of that descriptor. */
int process_start(struct process *process, const char *const argv[], int log_fd);

/* Lets a thread or process (0: the calling thread) run before all others, if the user may do so. For those
 * that stand for other machines, the clients and the origin, and for those that only take the time: their own
 * waiting for a processor is not the proxies'. */
void process_put_first(pid_t id);

/* Takes the next line of its output without the newline, if a whole one has come. */
bool process_line(struct process *process, char *line, size_t size);

/* True if it has ended; its wait(2) status is in *status, and the struct is free for the next. */
bool process_reap(struct process *process, int *status);

/* For people: "exit status 3", "signal 11". */
const char *process_ending(int status, char out[32]);

/* Runs a command until it ends, at most that long; what it prints, cut to size, is in `output`. Its wait(2)
 * status, or -1. */
int process_capture(const char *const argv[], int log_fd, char *output, size_t size, int64_t nanoseconds);

#endif
