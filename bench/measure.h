/* measure.h: what the benchmarks share: time, processor time, latencies, addresses, files of /proc.
 *
 * Errors: a process that cannot be read ends the program, because a figure without it would be wrong. */
#ifndef LARDER_BENCH_MEASURE_H
#define LARDER_BENCH_MEASURE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

double measure_now(void); /* seconds, monotonic */

/* Seconds of processor time that all living threads of the process have had, to the nanosecond
 * (/proc/PID/task/TID/schedstat). */
double measure_cpu(pid_t pid);

/* Latencies in buckets of 1.6 % (64 to an octave), from 1 ns to an hour. */
#define MEASURE_OCTAVES 42
#define MEASURE_STEPS   64
struct measure_latency {
    uint64_t count;
    uint64_t buckets[MEASURE_OCTAVES * MEASURE_STEPS];
};
void measure_latency_add(struct measure_latency *latency, double seconds);
double measure_percentile(const struct measure_latency *latency,
                          double share); /* seconds; 0 if there is none */

/* One run. Begun with measure_begin(), which notes the clocks; `server` 0: none is known. */
struct measure_run {
    double start, own_cpu, server_cpu;
    pid_t server;
    uint64_t done, bytes, wrong;
    struct measure_latency
        latency; /* filled at depth 1 only: the clock costs as much as a tenth of an operation */
};
void measure_begin(struct measure_run *run, pid_t server);
/* Prints "depth=... size=... ops_per_s=... MB_per_s=... client_us=... server_us=... p50_us=... p99_us=...
 * wrong=..."; us: processor time for one operation. */
void measure_print(const struct measure_run *run, uint32_t depth, uint32_t size);

/* "A.B.C.D:PORT"; false: it is none. */
bool measure_address(const char *text, struct sockaddr_in *out);

/* The text of a file, cut to what fits; false: it cannot be read. */
bool measure_text(const char *path, char *out, size_t size);

#endif
