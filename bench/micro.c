/* bench_micro: what single steps of a hit cost: the ring, the request's head, the stored head.
 *
 *     bench_micro [--rounds N] [NAME...]
 *
 * Prints for each the time of one operation (the least of N rounds, processor time but for the two threads)
 * and, where the kernel lets us count them (perf_event_open), the instructions in user space. bench_store
 * does the same for store and eviction policies. */
#include "http1_request.h"
#include "http_meta.h"
#include "ring.h"

#include <errno.h>
#include <getopt.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY 128u
#define BATCH    32u
#define REPEAT   200000u

struct entry {
    uint64_t words[RING_ENTRY_BYTES / sizeof(uint64_t)];
};

static struct {
    void *memory; /* of the ring */
    struct ring producer, consumer;
    char meta[4096];
    int meta_length;
    uint64_t sum; /* so that nothing is optimised away */
    int counter;  /* of instructions; -1: none */
} micro = {.counter = -1};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_micro: %s\n", what);
    exit(1);
}

/* ---- the ring ---- */

static void attach_ring(void)
{
    size_t bytes = sizeof(struct ring_shared) + (size_t)CAPACITY * RING_ENTRY_BYTES;

    memset(micro.memory, 0, bytes);
    ring_attach(&micro.producer, micro.memory, CAPACITY);
    ring_attach(&micro.consumer, micro.memory, CAPACITY);
}

static void setup_ring(void)
{
    size_t bytes = sizeof(struct ring_shared) + (size_t)CAPACITY * RING_ENTRY_BYTES;

    micro.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (micro.memory == MAP_FAILED)
        fail("no memory for a ring");
}

/* As many as are under way at 32 connections: put, published together, and taken. */
static uint64_t ring_one_thread(void)
{
    struct entry entry = {{1}};

    attach_ring();
    for (uint32_t i = 0; i < REPEAT; i++) {
        for (uint32_t k = 0; k < BATCH; k++)
            ring_put(&micro.producer, &entry);
        ring_publish(&micro.producer);
        for (uint32_t k = 0; k < BATCH; k++) {
            if (ring_take(&micro.consumer, &entry) != RING_OK)
                fail("an entry is missing");
            micro.sum += entry.words[0];
        }
        ring_consumed(&micro.consumer);
    }
    return (uint64_t)REPEAT * BATCH;
}

#define ACROSS (4u * 1000 * 1000)

static void *produce(void *unused)
{
    struct entry entry = {{0}};

    for (uint32_t i = 0; i < ACROSS; i++) {
        entry.words[0] = i;
        while (ring_put(&micro.producer, &entry) == RING_NONE)
            sched_yield();
        ring_publish(&micro.producer);
    }
    return unused;
}

/* Every entry is published by itself; both sides poll. */
static uint64_t ring_two_threads(void)
{
    struct entry entry = {{0}};
    pthread_t producer;

    attach_ring();
    if (pthread_create(&producer, NULL, produce, NULL))
        fail("no thread");
    for (uint32_t i = 0; i < ACROSS; i++) {
        while (ring_take(&micro.consumer, &entry) == RING_NONE)
            sched_yield();
        if (entry.words[0] != i)
            fail("an entry is not the next one");
        ring_consumed(&micro.consumer);
    }
    pthread_join(producer, NULL);
    return ACROSS;
}

/* ---- heads ---- */

static const char short_request[] = "GET /hit?size=1024&seed=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
static const char browser_request[] =
    "GET /assets/app.css?v=20240101 HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 "
    "Safari/537.36\r\n"
    "Accept: text/css,*/*;q=0.1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\n"
    "Sec-Fetch-Dest: style\r\nReferer: https://www.example.org/\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";

static uint64_t parse_requests(const char *text, size_t length)
{
    static char buffer[4096];
    static struct http_fields fields;
    struct http1_request request;
    uint32_t end;

    for (uint32_t i = 0; i < REPEAT; i++) {
        memcpy(buffer, text, length);
        http1_request_begin(&request, &fields);
        if (http1_request_head(&request, buffer, (uint32_t)length, &end) != HTTP1_COMPLETE)
            fail("a request is refused");
        micro.sum += end;
    }
    return REPEAT;
}

static uint64_t request_short(void)
{
    return parse_requests(short_request, sizeof(short_request) - 1);
}

static uint64_t request_browser(void)
{
    return parse_requests(browser_request, sizeof(browser_request) - 1);
}

static void setup_meta(void)
{
    struct http_meta_head head = {.status = 200, .response_time = 1700000000, .lifetime = 86400};
    struct http_fields fields = {0};

    http_field_add(&fields, HTTP_SPAN("Date"), HTTP_SPAN("Tue, 14 Nov 2023 22:13:20 GMT"));
    http_field_add(&fields, HTTP_SPAN("Content-Type"), HTTP_SPAN("application/octet-stream"));
    http_field_add(&fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"0-1-1024\""));
    http_field_add(&fields, HTTP_SPAN("Last-Modified"), HTTP_SPAN("Tue, 14 Nov 2023 22:13:20 GMT"));
    http_field_add(&fields, HTTP_SPAN("Accept-Ranges"), HTTP_SPAN("bytes"));
    http_field_add(&fields, HTTP_SPAN("Cache-Control"), HTTP_SPAN("max-age=86400"));
    micro.meta_length = http_meta_encode(&head, &fields, micro.meta, sizeof(micro.meta));
    if (micro.meta_length < 0)
        fail("metadata cannot be encoded");
}

static uint64_t meta_decode(void)
{
    struct http_meta meta;

    for (uint32_t i = 0; i < REPEAT; i++) {
        if (!http_meta_decode(&meta, micro.meta, (size_t)micro.meta_length))
            fail("metadata is refused");
        micro.sum += meta.fields.length;
    }
    return REPEAT;
}

/* ---- measuring ---- */

static int open_counter(void)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_HARDWARE,
                                         .size = sizeof(attributes),
                                         .config = PERF_COUNT_HW_INSTRUCTIONS,
                                         .disabled = 1,
                                         .exclude_kernel = 1,
                                         .exclude_hv = 1};

    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static double now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

struct benchmark {
    const char *name, *what;
    uint64_t (*run)(void); /* how many operations it did */
    bool threads;          /* its time is the clock's, and instructions are not those of one operation */
};

static const struct benchmark benchmarks[] = {
    {"ring", "ring: put, publish, take; one thread, 32 at a time", ring_one_thread, false},
    {"ring-threads", "ring: the same between two threads, one at a time", ring_two_threads, true},
    {"request", "request head of wrk", request_short, false},
    {"request-browser", "request head of a browser, 12 fields", request_browser, false},
    {"meta", "stored head, 6 fields: decode", meta_decode, false},
};

static void measure(const struct benchmark *benchmark, unsigned rounds)
{
    double least = 0, instructions = 0;

    for (unsigned i = 0; i < rounds; i++) {
        clockid_t clock = benchmark->threads ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
        uint64_t counted = 0;
        if (micro.counter >= 0) {
            ioctl(micro.counter, PERF_EVENT_IOC_RESET, 0);
            ioctl(micro.counter, PERF_EVENT_IOC_ENABLE, 0);
        }
        double start = now(clock);
        double operations = (double)benchmark->run();
        double each = (now(clock) - start) / operations;
        if (micro.counter >= 0 && read(micro.counter, &counted, sizeof(counted)) != sizeof(counted))
            counted = 0;
        if (i == 0 || each < least)
            least = each;
        instructions = (double)counted / operations;
    }
    printf("| %s | %.1f |", benchmark->what, least);
    if (instructions > 0 && !benchmark->threads)
        printf(" %.0f |\n", instructions);
    else
        printf(" - |\n");
}

static bool is_wanted(const struct benchmark *benchmark, char **names)
{
    if (!*names)
        return true;
    while (*names)
        if (strcmp(*names++, benchmark->name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'}, {0}};
    unsigned rounds = 9;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) == 'r')
        rounds = (unsigned)strtoul(optarg, NULL, 10);
    if (option != -1 || rounds == 0) {
        fprintf(stderr, "usage: bench_micro [--rounds N] [NAME...]\n");
        return 2;
    }
    setup_ring();
    setup_meta();
    micro.counter = open_counter();
    printf("| step | ns | instructions |\n|---|--:|--:|\n");
    for (size_t i = 0; i < sizeof(benchmarks) / sizeof(benchmarks[0]); i++)
        if (is_wanted(&benchmarks[i], argv + optind))
            measure(&benchmarks[i], rounds);
    return micro.sum == 0;
}
