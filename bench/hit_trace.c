#include "hit_trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define EXPONENT    0.9
#define LARGE_BYTES 1000000u
#define RUN         5000u /* requests of a scan */
#define SHIFTS      20u

_Noreturn void hit_fail(const char *what)
{
    fprintf(stderr, "bench_hit_ratio: %s\n", what);
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void *allocate(void *old, uint64_t count, size_t size)
{
    void *block = realloc(old, count * size);

    if (!block)
        hit_fail("no memory");
    return block;
}

/* ---- made ---- */

static const char *const kinds[] = {"zipf", "scan", "shift", "large"};
enum { ZIPF, SCAN, SHIFT, LARGE };

const char *hit_trace_kind(unsigned kind)
{
    return kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind] : NULL;
}

struct zipf {
    double *sums; /* of the weights up to each rank */
    uint32_t ranks;
};

static void zipf_begin(struct zipf *zipf, uint32_t ranks)
{
    double sum = 0;

    zipf->sums = allocate(NULL, ranks, sizeof(*zipf->sums));
    zipf->ranks = ranks;
    for (uint32_t i = 0; i < ranks; i++)
        zipf->sums[i] = sum += pow(i + 1, -EXPONENT);
}

static uint32_t zipf_next(const struct zipf *zipf, uint64_t *random)
{
    double at = (double)(next_random(random) >> 11) / 9007199254740992.0 * zipf->sums[zipf->ranks - 1];
    uint32_t low = 0, high = zipf->ranks - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zipf->sums[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* 300 bytes to 8 KB, the small ones more often. */
static uint32_t small_size(uint64_t *random)
{
    double x = (double)(next_random(random) >> 11) / 9007199254740992.0;

    return (uint32_t)(300 * pow(8000.0 / 300, x * x));
}

static uint32_t new_object(struct hit_trace *trace, uint32_t size)
{
    if ((trace->objects & (trace->objects + 1)) == 0) /* doubles */
        trace->sizes = allocate(trace->sizes, ((uint64_t)trace->objects + 1) * 2, sizeof(*trace->sizes));
    trace->sizes[trace->objects] = size;
    return trace->objects++;
}

struct maker {
    struct zipf zipf;
    uint32_t *by_rank; /* object of each rank */
    uint64_t random;
    uint32_t run_left;
};

/* Some of the popular are replaced by newcomers. */
static void shift(struct hit_trace *trace, struct maker *maker)
{
    for (uint32_t i = 0; i < maker->zipf.ranks / 100; i++)
        maker->by_rank[i] = new_object(trace, small_size(&maker->random));
}

static bool is_scanned(struct maker *maker)
{
    if (maker->run_left > 0) {
        maker->run_left--;
        return true;
    }
    if (next_random(&maker->random) % (RUN * 7 / 3) == 0)
        maker->run_left = RUN;
    return false;
}

static uint32_t request(struct hit_trace *trace, struct maker *maker, unsigned kind, uint64_t number)
{
    if (kind == SCAN && is_scanned(maker))
        return new_object(trace, small_size(&maker->random));
    if (kind == LARGE && next_random(&maker->random) % 300 == 0)
        return new_object(trace, LARGE_BYTES);
    if (kind == SHIFT && number > 0 && number % (trace->requests / SHIFTS) == 0)
        shift(trace, maker);
    return maker->by_rank[zipf_next(&maker->zipf, &maker->random)];
}

void hit_trace_make(struct hit_trace *trace, unsigned kind, uint32_t objects, uint64_t requests,
                    uint64_t seed)
{
    struct maker maker = {.random = seed};

    *trace = (struct hit_trace){.requests = requests, .has_large = kind == LARGE};
    zipf_begin(&maker.zipf, objects);
    maker.by_rank = allocate(NULL, objects, sizeof(*maker.by_rank));
    for (uint32_t i = 0; i < objects; i++)
        maker.by_rank[i] = new_object(trace, small_size(&maker.random));
    trace->order = allocate(NULL, requests, sizeof(*trace->order));
    for (uint64_t i = 0; i < requests; i++) {
        trace->order[i] = request(trace, &maker, kind, i);
        trace->bytes += trace->sizes[trace->order[i]];
    }
    free(maker.zipf.sums);
    free(maker.by_rank);
}

/* ---- read ---- */

struct known {
    UT_hash_handle hh;
    uint32_t object;
    char key[];
};

/* An object's size is that of its first request. */
static uint32_t object_of(struct hit_trace *trace, struct known **all, const char *key, uint32_t size)
{
    struct known *known;

    HASH_FIND_STR(*all, key, known);
    if (known)
        return known->object;
    size_t length = strlen(key) + 1;
    known = allocate(NULL, 1, sizeof(*known) + length);
    memcpy(known->key, key, length);
    known->object = new_object(trace, size < HIT_MAX_SIZE ? size : HIT_MAX_SIZE);
    HASH_ADD_STR(*all, key, known);
    trace->has_large |= size > 65536;
    return known->object;
}

static bool add_line(struct hit_trace *trace, struct known **all, char *line)
{
    char *key = strchr(line, ','), *size = key ? strchr(key + 1, ',') : NULL;

    if (!size)
        return false;
    *size = '\0';
    uint32_t object = object_of(trace, all, key + 1, (uint32_t)strtoul(size + 1, NULL, 10));
    if ((trace->requests & (trace->requests + 1)) == 0) /* doubles */
        trace->order = allocate(trace->order, (trace->requests + 1) * 2, sizeof(*trace->order));
    trace->order[trace->requests++] = object;
    trace->bytes += trace->sizes[object];
    return true;
}

void hit_trace_read(struct hit_trace *trace, const char *file)
{
    struct known *all = NULL, *known, *next;
    FILE *stream = fopen(file, "r");
    char line[4096];

    *trace = (struct hit_trace){0};
    if (!stream)
        hit_fail("cannot read the trace");
    while (fgets(line, sizeof(line), stream)) {
        if (line[0] >= '0' && line[0] <= '9' && !add_line(trace, &all, line)) /* others are headings */
            hit_fail("a line of the trace is not time,key,size");
    }
    fclose(stream);
    if (trace->requests == 0)
        hit_fail("the trace is empty");
    HASH_ITER(hh, all, known, next)
    {
        HASH_DEL(all, known);
        free(known);
    }
}

void hit_trace_free(struct hit_trace *trace)
{
    free(trace->order);
    free(trace->sizes);
}
