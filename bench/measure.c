#include "measure.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double measure_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

bool measure_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");

    if (!file)
        return false;
    out[fread(out, 1, size - 1, file)] = '\0';
    fclose(file);
    return true;
}

/* A thread that ends between listing and reading counts as nothing. */
static double thread_cpu(const char *path)
{
    char text[128];

    return measure_text(path, text, sizeof(text)) ? (double)strtoull(text, NULL, 10) / 1e9 : 0;
}

double measure_cpu(pid_t pid)
{
    char path[320];
    double sum = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks) {
        fprintf(stderr, "measure: no process %d\n", (int)pid);
        exit(1);
    }
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
        sum += thread_cpu(path);
    }
    closedir(tasks);
    return sum;
}

void measure_latency_add(struct measure_latency *latency, double seconds)
{
    double position = log2(seconds * 1e9) * MEASURE_STEPS;
    size_t last = sizeof(latency->buckets) / sizeof(latency->buckets[0]) - 1;
    size_t bucket = position <= 0 ? 0 : (size_t)position;

    latency->buckets[bucket < last ? bucket : last]++;
    latency->count++;
}

double measure_percentile(const struct measure_latency *latency, double share)
{
    uint64_t below = 0;
    size_t bucket = 0, buckets = sizeof(latency->buckets) / sizeof(latency->buckets[0]);

    if (latency->count == 0)
        return 0;
    while (bucket < buckets && (double)(below += latency->buckets[bucket]) < share * (double)latency->count)
        bucket++;
    return exp2(((double)bucket + 0.5) / MEASURE_STEPS) / 1e9;
}

void measure_begin(struct measure_run *run, pid_t server)
{
    memset(run, 0, sizeof(*run));
    run->server = server;
    run->server_cpu = server ? measure_cpu(server) : 0;
    run->own_cpu = measure_cpu(getpid());
    run->start = measure_now();
}

void measure_print(const struct measure_run *run, uint32_t depth, uint32_t size)
{
    double elapsed = measure_now() - run->start, done = run->done ? (double)run->done : 1;
    double own = measure_cpu(getpid()) - run->own_cpu;
    double server = run->server ? measure_cpu(run->server) - run->server_cpu : 0;

    printf("depth=%" PRIu32 " size=%" PRIu32 " ops_per_s=%.0f MB_per_s=%.0f client_us=%.3f server_us=%.3f "
           "p50_us=%.2f p99_us=%.2f wrong=%" PRIu64 "\n",
           depth, size, done / elapsed, (double)run->bytes / elapsed / 1e6, own * 1e6 / done,
           server * 1e6 / done, measure_percentile(&run->latency, 0.5) * 1e6,
           measure_percentile(&run->latency, 0.99) * 1e6, run->wrong);
}

bool measure_address(const char *text, struct sockaddr_in *out)
{
    char host[INET_ADDRSTRLEN], *end;
    const char *colon = strchr(text, ':');

    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long port = strtoul(colon + 1, &end, 10);
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return *end == '\0' && port > 0 && port <= 65535 && inet_pton(AF_INET, host, &out->sin_addr) == 1;
}
