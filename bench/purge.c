/* bench_purge: what a purge costs, and what its collection costs others.
 *
 *     bench_purge --instance NAME [--objects N] [--size BYTES] [--seconds S] [--depth N]
 *
 * Stores N objects of a tenant, half of them under "/even/", ten with the tag "ten", all with the tag "all".
 * Then it purges, and prints in microseconds
 *
 *     tag       how long the proxy waited for the answer; the cache took less
 *     prefix    the same for "/even/", and what the next look-up of such an object finds
 *     look-ups  of the other half, `depth` at a time: before, while it is collected, and afterwards
 *
 * The end of the collection is seen in the cache's numbers, which are asked for ten times a second all along.
 */
#include "clock.h"
#include "counters.h"
#include "ctl_client.h"
#include "larder.h"

#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_US 100000
#define SAMPLES_MAX  (1u << 24)
#define DEPTH_MAX    64u

static struct {
    const char *instance;
    uint32_t objects, size, depth;
    double seconds;
    struct larder_client *client;
    uint32_t under_way;
    uint64_t random, wrong;
} bench = {.instance = "default", .objects = 1000000, .size = 100, .depth = 1, .seconds = 2, .random = 1};

static float *samples;
static uint32_t sample_count;

static uint64_t random_below(uint64_t bound)
{
    bench.random = bench.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (bench.random >> 33) % bound;
}

static int64_t now_ns(void)
{
    return clock_mono_ns();
}

/* ---- the client ---- */

static bool next_event(struct larder_event *event)
{
    struct pollfd fd = {.fd = larder_client_fd(bench.client), .events = POLLIN};

    for (;;) {
        if (larder_client_next(bench.client, event))
            return true;
        larder_client_flush(bench.client);
        if (!larder_client_may_sleep(bench.client))
            continue;
        if (poll(&fd, 1, 10000) <= 0) {
            fprintf(stderr, "bench_purge: no answer: %s\n", larder_client_problem(bench.client));
            exit(EXIT_FAILURE);
        }
        larder_client_wake(bench.client);
    }
}

static uint32_t write_key(struct larder_segment *segment, uint32_t number)
{
    return (uint32_t)snprintf((char *)segment->data, segment->size, "GET http://bench:80/%s/%09" PRIu32,
                              number % 2 ? "odd" : "even", number);
}

static struct larder_segment *borrow(void)
{
    struct larder_segment *segment;

    if (larder_segment_borrow(bench.client, &segment) != 0) {
        fprintf(stderr, "bench_purge: no segment\n");
        exit(EXIT_FAILURE);
    }
    return segment;
}

static void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "bench_purge: %s: %s\n", what, strerror(-error));
    exit(EXIT_FAILURE);
}

static void look_up(uint32_t number, uint32_t flags)
{
    struct larder_segment *segment = borrow();

    must(larder_lookup(bench.client, &segment, write_key(segment, number), flags, (void *)(uintptr_t)number),
         "lookup");
    bench.under_way++;
}

/* ---- storing ---- */

static void fill(uint64_t lease, uint32_t number, struct larder_segment **segment)
{
    static const char tags[] = "all\0ten";
    struct larder_fill order = {
        .lease = lease,
        .key_length = write_key(*segment, number),
        .tags_length = number < 10 ? 8 : 4,
        .body_length = bench.size,
        .object_size = bench.size,
        .fresh_until = clock_wall_ms() + 3600000,
        .keep_until = clock_wall_ms() + 3600000,
    };

    memcpy((*segment)->data + order.key_length, tags, order.tags_length);
    memset((*segment)->data + order.key_length + order.tags_length, 'x', bench.size);
    must(larder_fill_begin(bench.client, &order, segment, NULL), "fill");
    bench.under_way++;
}

static void store_all(void)
{
    struct larder_event event;
    uint32_t asked = 0, stored = 0;

    while (!larder_client_attached(bench.client) && next_event(&event))
        ;
    while (stored < bench.objects) {
        while (asked < bench.objects && bench.under_way < DEPTH_MAX)
            look_up(asked++, LARDER_LOOKUP_LEASE);
        next_event(&event);
        bench.under_way -= event.kind != LARDER_EVENT_ATTACHED;
        if (event.kind == LARDER_EVENT_LOOKUP && event.lease)
            fill(event.lease, (uint32_t)(uintptr_t)event.user, &event.segment);
        else if (event.kind == LARDER_EVENT_LOOKUP || event.kind == LARDER_EVENT_FILL_BEGIN)
            stored++;
        if (event.segment)
            larder_segment_return(bench.client, &event.segment);
    }
}

/* ---- purging ---- */

static double purge(const char *bytes, uint32_t length, uint32_t flags, struct larder_event *event)
{
    struct larder_segment *segment = borrow();
    int64_t start;

    memcpy(segment->data, bytes, length);
    start = now_ns();
    must(larder_purge(bench.client, &segment, length, flags, NULL), "purge");
    next_event(event);
    double us = (double)(now_ns() - start) / 1000;
    if (event->status != LARDER_OK)
        fprintf(stderr, "bench_purge: status %d\n", (int)event->status);
    larder_segment_return(bench.client, &event->segment);
    return us;
}

/* ---- the cache's numbers ---- */

static struct wire_row ask_numbers(void)
{
    struct ctl_client client;
    struct wire_row row;

    if (ctl_open(&client, bench.instance, 10) != CTL_DONE) {
        fprintf(stderr, "bench_purge: %s\n", client.problem);
        exit(EXIT_FAILURE);
    }
    if (ctl_stats(&client) != CTL_DONE || client.row_count == 0) {
        fprintf(stderr, "bench_purge: %s\n", client.problem);
        exit(EXIT_FAILURE);
    }
    row = client.rows[0];
    ctl_close(&client);
    return row;
}

/* ---- latency ---- */

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double quantile(double part)
{
    return sample_count == 0 ? 0 : (double)samples[(uint32_t)((double)(sample_count - 1) * part)];
}

static double report(const char *when, double seconds)
{
    qsort(samples, sample_count, sizeof(*samples), by_size);
    printf("%-10s %10" PRIu32
           " look-ups in %6.2f s   p50 %7.1f  p90 %7.1f  p99 %7.1f  p99.9 %7.1f  max %8.1f us\n",
           when, sample_count, seconds, quantile(0.5), quantile(0.9), quantile(0.99), quantile(0.999),
           quantile(1));
    return quantile(0.99);
}

static int64_t started[DEPTH_MAX];
static uint32_t slots[DEPTH_MAX];
static uint32_t free_slots;

/* One look-up of an odd object, timed from its call to its event. */
static void begin_one(void)
{
    struct larder_segment *segment = borrow();
    uint32_t slot = slots[--free_slots], number = (uint32_t)random_below(bench.objects / 2) * 2 + 1;

    started[slot] = now_ns();
    must(larder_lookup(bench.client, &segment, write_key(segment, number), 0, (void *)(uintptr_t)slot),
         "lookup");
}

static void end_one(void)
{
    struct larder_event event;

    next_event(&event);
    uint32_t slot = (uint32_t)(uintptr_t)event.user;
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = (float)((double)(now_ns() - started[slot]) / 1000);
    /* Ten objects, five of them odd, went with their tag. */
    bench.wrong += event.status != LARDER_HIT && event.status != LARDER_MISS;
    slots[free_slots++] = slot;
    larder_segment_return(bench.client, &event.segment);
}

/* Until the time is up, or (`objects` below the maximum) the cache has no more than so many. Those under way
 * when the cache's numbers are asked for do not count. */
static double load(double seconds, uint64_t objects)
{
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9),
            ask_at = start + ASK_AGAIN_US * INT64_C(1000);
    double asking = 0;

    sample_count = 0;
    while (now_ns() < end) {
        while (free_slots > 0)
            begin_one();
        end_one();
        if (now_ns() < ask_at)
            continue;
        while (free_slots < bench.depth)
            end_one();
        int64_t before = now_ns();
        struct wire_row row = ask_numbers();
        asking += (double)(now_ns() - before) / 1e9;
        ask_at = now_ns() + ASK_AGAIN_US * INT64_C(1000);
        if (objects < UINT64_MAX && row.values[COUNTER_COUNT + GAUGE_objects] <= objects)
            break;
    }
    while (free_slots < bench.depth)
        end_one();
    return (double)(now_ns() - start) / 1e9 - asking;
}

static void run(void)
{
    struct larder_event event;
    static const char prefix[] = "GET http://bench:80/even/";

    store_all();
    struct wire_row row = ask_numbers();
    printf("stored %" PRIu64 " objects of %" PRIu32 " bytes in %" PRIu64 " MiB, %.0f bytes each\n",
           row.values[COUNTER_COUNT + GAUGE_objects], bench.size,
           row.values[COUNTER_COUNT + GAUGE_bytes_used] >> 20,
           (double)row.values[COUNTER_COUNT + GAUGE_bytes_used] /
               (double)row.values[COUNTER_COUNT + GAUGE_objects]);
    load(0.5, UINT64_MAX); /* warm */
    double us = purge("nothing", 8, LARDER_PURGE_TAGS, &event);
    printf("tag of nothing: answered in %.1f us\n", us);
    us = purge("ten", 4, LARDER_PURGE_TAGS, &event);
    printf("tag of %" PRIu64 " among %" PRIu32 ": answered in %.1f us%s\n", event.purged, bench.objects, us,
           event.goes_on ? ", and not over" : "");
    double before = report("before", load(bench.seconds, UINT64_MAX));
    uint64_t left = ask_numbers().values[COUNTER_COUNT + GAUGE_objects] - (bench.objects / 2 - 5);
    us = purge(prefix, sizeof(prefix) - 1, LARDER_PURGE_PREFIX, &event);
    printf("prefix of %" PRIu32 " of them: answered in %.1f us, %" PRIu64 " gone by then%s\n",
           bench.objects / 2 - 5, us, event.purged, event.goes_on ? ", the rest is being collected" : "");
    look_up(bench.objects - 2, 0); /* the last that is visited */
    next_event(&event);
    printf("the last of them: %s\n", event.status == LARDER_MISS ? "gone at once" : "STILL THERE");
    larder_segment_return(bench.client, &event.segment);
    double during = report("collecting", load(600, left));
    report("afterwards", load(bench.seconds, UINT64_MAX));
    printf("p99 while collecting: %.2f times that before\n", during / before);
    if (bench.wrong > 0)
        printf("%" PRIu64 " look-ups were refused\n", bench.wrong);
}

static const struct option options[] = {
    {"instance", required_argument, NULL, 'i'}, {"objects", required_argument, NULL, 'n'},
    {"size", required_argument, NULL, 's'},     {"seconds", required_argument, NULL, 't'},
    {"depth", required_argument, NULL, 'd'},    {0},
};

static bool parse(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'i')
            bench.instance = optarg;
        else if (option == 'n')
            bench.objects = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 's')
            bench.size = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 't')
            bench.seconds = strtod(optarg, NULL);
        else if (option == 'd')
            bench.depth = (uint32_t)strtoul(optarg, NULL, 10);
        else
            return false;
    }
    return optind == argc && bench.objects >= 100 && bench.depth >= 1 && bench.depth <= DEPTH_MAX &&
           bench.seconds > 0 && bench.size <= 32768;
}

int main(int argc, char **argv)
{
    struct larder_options larder = {.segments = 128, .segment_bytes = 65536};
    char problem[512];

    if (!parse(argc, argv)) {
        fprintf(
            stderr,
            "usage: bench_purge --instance NAME [--objects N] [--size BYTES] [--seconds S] [--depth N]\n");
        return 2;
    }
    larder.instance = bench.instance;
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    if (!samples || larder_client_create(&bench.client, &larder, problem, sizeof(problem)) != 0) {
        fprintf(stderr, "bench_purge: %s\n", samples ? problem : "out of memory");
        return 1;
    }
    for (; free_slots < bench.depth; free_slots++)
        slots[free_slots] = free_slots;
    setvbuf(stdout, NULL, _IOLBF, 0);
    run();
    larder_client_destroy(&bench.client);
    free(samples);
    return 0;
}
