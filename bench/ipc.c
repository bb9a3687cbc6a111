/* bench_ipc: lookups through the client library, as fast as a given depth allows.
 *
 *     bench_ipc --instance NAME [--depth N] [--size BYTES] [--keys N] [--seconds S]
 *
 * Fills the keys, then looks them up at random with `depth` requests under way, and prints operations and
 * bytes a second and the CPU time of this process. Objects must fit in a segment. */
#include "larder.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define KEY_BYTES 24

static struct {
    const char *instance;
    uint32_t depth, size, keys;
    double seconds;
    struct larder_client *client;
    uint64_t done, bytes, wrong;
    uint32_t under_way, filled;
    uint32_t random;
} bench = {.instance = "default", .depth = 32, .size = 1024, .keys = 1000, .seconds = 3, .random = 1};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t write_key(struct larder_segment *segment, uint32_t key)
{
    char text[KEY_BYTES + 1];

    snprintf(text, sizeof(text), "bench-%08" PRIu32 "-%09" PRIu32, bench.size, key);
    memcpy(segment->data, text, KEY_BYTES);
    return KEY_BYTES;
}

static uint32_t next_key(void)
{
    bench.random = bench.random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)bench.random * bench.keys) >> 32);
}

static void look_up(uint32_t key)
{
    struct larder_segment *segment;

    if (larder_segment_borrow(bench.client, &segment))
        return;
    if (larder_lookup(bench.client, &segment, write_key(segment, key), LARDER_LOOKUP_LEASE,
                      (void *)(uintptr_t)key)) {
        larder_segment_return(bench.client, &segment);
        return;
    }
    bench.under_way++;
}

static void fill(uint64_t lease, uint32_t key, struct larder_segment **segment)
{
    uint32_t key_length = write_key(*segment, key);
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    struct larder_fill fill = {
        .lease = lease,
        .key_length = key_length,
        .body_length = bench.size,
        .object_size = bench.size,
        .fresh_until = ((int64_t)time.tv_sec + 3600) * 1000,
        .keep_until = ((int64_t)time.tv_sec + 3600) * 1000,
    };
    memset((*segment)->data + key_length, (int)(key & 0xff), bench.size);
    if (larder_fill_begin(bench.client, &fill, segment, NULL) == 0)
        bench.under_way++;
}

static void on_event(struct larder_event *event)
{
    if (event->kind == LARDER_EVENT_ATTACHED || event->kind == LARDER_EVENT_DETACHED)
        return;
    bench.under_way--;
    if (event->kind == LARDER_EVENT_LOOKUP && event->status == LARDER_HIT) {
        const uint8_t *body = event->segment->data + event->meta_length;
        uint8_t expected = (uint8_t)(uintptr_t)event->user;

        bench.done++;
        bench.filled++;
        bench.bytes += event->length;
        bench.wrong += event->length != bench.size || body[0] != expected || body[bench.size - 1] != expected;
    } else if (event->kind == LARDER_EVENT_LOOKUP && event->lease) {
        fill(event->lease, (uint32_t)(uintptr_t)event->user, &event->segment);
    } else if (event->kind == LARDER_EVENT_FILL_BEGIN) {
        bench.filled += event->status == LARDER_OK;
    }
    if (event->segment)
        larder_segment_return(bench.client, &event->segment);
}

static void turn(void)
{
    struct larder_event event;

    while (larder_client_next(bench.client, &event))
        on_event(&event);
}

static void wait_a_turn(void)
{
    struct pollfd fd = {.fd = larder_client_fd(bench.client), .events = POLLIN};

    larder_client_flush(bench.client);
    if (larder_client_may_sleep(bench.client) && poll(&fd, 1, 1000) > 0)
        larder_client_wake(bench.client);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void run(void)
{
    uint32_t key = 0;

    while (bench.filled < bench.keys) {
        turn();
        while (key < bench.keys && bench.under_way < bench.depth && larder_client_attached(bench.client))
            look_up(key++);
        wait_a_turn();
    }
    bench.done = bench.bytes = 0;
    double start = now(), cpu = cpu_seconds(), end = start + bench.seconds;
    while (now() < end) {
        turn();
        if (!larder_client_attached(bench.client)) {
            fprintf(stderr, "bench_ipc: lost the cache: %s\n", larder_client_problem(bench.client));
            exit(1);
        }
        while (bench.under_way < bench.depth && larder_client_attached(bench.client))
            look_up(next_key());
        wait_a_turn();
    }
    double elapsed = now() - start;
    printf("depth=%u size=%u ops_per_s=%.0f us_per_op=%.3f MB_per_s=%.0f client_cpu_us_per_op=%.3f "
           "wrong=%" PRIu64 "\n",
           bench.depth, bench.size, (double)bench.done / elapsed, elapsed * 1e6 / (double)bench.done,
           (double)bench.bytes / elapsed / 1e6, (cpu_seconds() - cpu) * 1e6 / (double)bench.done,
           bench.wrong);
    while (bench.under_way > 0) {
        turn();
        wait_a_turn();
    }
}

static const struct option options[] = {
    {"instance", required_argument, NULL, 'i'}, {"depth", required_argument, NULL, 'd'},
    {"size", required_argument, NULL, 's'},     {"keys", required_argument, NULL, 'k'},
    {"seconds", required_argument, NULL, 't'},  {0},
};

int main(int argc, char **argv)
{
    char problem[512];
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'i':
            bench.instance = optarg;
            break;
        case 'd':
            bench.depth = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            bench.size = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            bench.keys = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            bench.seconds = strtod(optarg, NULL);
            break;
        default:
            return 2;
        }
    }
    struct larder_options client_options = {
        .instance = bench.instance,
        .segments = bench.depth < 4 ? 4 : bench.depth,
        .segment_bytes = (bench.size + 256 + 4095) & ~4095u,
    };
    if (bench.depth == 0 || bench.keys == 0 || bench.size == 0 ||
        larder_client_create(&bench.client, &client_options, problem, sizeof(problem))) {
        fprintf(stderr, "bench_ipc: %s\n", bench.client ? "depth, size and keys must be positive" : problem);
        return 2;
    }
    run();
    larder_client_destroy(&bench.client);
    return bench.wrong != 0;
}
