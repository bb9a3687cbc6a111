/* bench_cold: what it takes a server to answer for the first time.
 *
 *     bench_cold [--wait SECONDS] ADDRESS:PORT PATH -- COMMAND...
 *
 * Starts the command, asks it for PATH as soon as anybody listens there, and prints the time from fork()
 * until the first byte of a 200, and the processor time that the command and all its descendants have had by
 * then: of those that live from /proc/PID/task/TID/schedstat, of those that have ended and were waited for
 * from their parents' /proc/PID/stat. Then ends the command with SIGTERM and waits for it, for ten seconds.
 *
 * Asked is every 200 us: so much is the error of the time. */
#include "measure.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 256
#define PAUSE_NS      200000

static struct {
    struct sockaddr_in address;
    const char *host, *path;
    double wait;
    pid_t child;
} cold = {.wait = 30};

static void pause_for(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

static bool has_ended(void)
{
    return waitpid(cold.child, NULL, WNOHANG) != 0;
}

static void end_child(void)
{
    double end = measure_now() + 10;

    kill(cold.child, SIGTERM);
    while (!has_ended()) {
        if (measure_now() > end)
            kill(cold.child, SIGKILL);
        pause_for(5000000);
    }
}

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_cold: %s: %s\n", what, why);
    if (cold.child > 0)
        end_child();
    exit(1);
}

static void start(char **command)
{
    cold.child = fork();
    if (cold.child < 0)
        fail("fork", strerror(errno));
    if (cold.child > 0)
        return;
    /* Its output must not be mistaken for ours. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

/* The first bytes of the answer; false: nobody answers with a 200 yet. */
static bool answers(int fd)
{
    char request[1024], answer[16];
    int length =
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", cold.path, cold.host);
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    return length < (int)sizeof(request) &&
           connect(fd, (struct sockaddr *)&cold.address, sizeof(cold.address)) == 0 &&
           send(fd, request, (size_t)length, MSG_NOSIGNAL) == length && poll(&readable, 1, 1000) == 1 &&
           recv(fd, answer, sizeof(answer), 0) >= 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
}

static bool ask(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket", strerror(errno));
    bool answered = answers(fd);
    close(fd);
    return answered;
}

/* ---- processor time of the family ---- */

/* Children that have ended: fields 16 and 17 of /proc/PID/stat, counted behind the name. */
static double ended_cpu(pid_t pid)
{
    char path[64], text[1024];
    double ticks = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!measure_text(path, text, sizeof(text)))
        return 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 16; field++)
        at = strchr(at + 1, ' ');
    for (int field = 16; at && field <= 17; field++) {
        ticks += strtod(at, NULL);
        at = strchr(at + 1, ' ');
    }
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

static size_t add_children(pid_t *family, size_t count, pid_t parent)
{
    char path[64], text[4096], *next;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    if (!measure_text(path, text, sizeof(text)))
        return count;
    for (char *at = text; count < MAX_PROCESSES; at = next) {
        long child = strtol(at, &next, 10);
        if (next == at)
            break;
        family[count++] = (pid_t)child;
    }
    return count;
}

static double family_cpu(void)
{
    pid_t family[MAX_PROCESSES] = {cold.child};
    size_t count = 1;
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += measure_cpu(family[i]) + ended_cpu(family[i]);
        count = add_children(family, count, family[i]);
    }
    return sum;
}

static void run(char **command)
{
    double begun = measure_now();

    start(command);
    while (!ask()) {
        if (has_ended()) {
            cold.child = 0;
            fail(command[0], "has ended");
        }
        if (measure_now() > begun + cold.wait)
            fail(command[0], "does not answer");
        pause_for(PAUSE_NS);
    }
    double elapsed = measure_now() - begun;
    printf("first_ms=%.3f cpu_ms=%.3f\n", elapsed * 1e3, family_cpu() * 1e3);
    end_child();
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"wait", required_argument, NULL, 'w'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) == 'w')
        cold.wait = strtod(optarg, NULL);
    if (option != -1 || argc - optind < 4 || strcmp(argv[optind + 2], "--") != 0 ||
        !measure_address(argv[optind], &cold.address)) {
        fprintf(stderr, "usage: bench_cold [--wait SECONDS] ADDRESS:PORT PATH -- COMMAND...\n");
        return 2;
    }
    cold.host = argv[optind];
    cold.path = argv[optind + 1];
    run(argv + optind + 3);
    return 0;
}
