/* bench_hit_ratio: which part of the requests, and of their bytes, each policy of eviction answers from
 * memory.
 *
 *     bench_hit_ratio [--trace FILE] [--kind NAME] [--objects N] [--requests N] [--seed N] [--part PERCENT]
 *
 * Replays a trace through a real store with one tenant (no process, no queue): what is not found is stored.
 * FILE has a request a line, `time,key,size`, in any units; the time is not used. Without it the program
 * makes its traces itself, the same for each seed (hit_trace.h), and takes all of them unless --kind names
 * one.
 *
 * The memory is a part of what all different objects of the trace would take together (--part; otherwise 1
 * and 10 per cent). The optimum is Belady's: the object that is asked for last goes first, and is not stored
 * at all if that is the newcomer. With objects of different sizes that is not quite the optimum, but nearly.
 */
#include "hit_optimum.h"
#include "hit_trace.h"
#include "store.h"
#include "tenant.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    struct counters counters;
    struct store store;
    struct tenants tenants;
    struct tenant *tenant;
    struct store_key key;
    uint8_t bytes[HIT_MAX_SIZE];
} bench;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void begin(uint64_t memory, enum eviction_policy policy, bool admission)
{
    struct tenant_config config = {"bench", TENANT_DEFAULTS};
    char problem[128];

    config.settings.policy = policy;
    config.settings.admission = admission;
    memset(&bench.tenants, 0, sizeof(bench.tenants));
    if (store_setup(&bench.store, memory, memory, &bench.counters) ||
        tenants_configure(&bench.tenants, &bench.store.memory, &config, 1, problem, sizeof(problem)))
        hit_fail("no store");
    bench.tenant = tenants_get(&bench.tenants, "bench");
}

static void end(void)
{
    store_teardown(&bench.store);
    tenants_free(&bench.tenants);
}

static bool find(uint32_t object)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "/object/%" PRIu32, object);

    store_key_set(&bench.store, &bench.key, bench.tenant, (const uint8_t *)text, (uint32_t)length);
    return store_find(&bench.store, &bench.key, 0) != NULL;
}

/* What it takes; 0: it does not fit. */
static uint64_t put(uint32_t size)
{
    struct object *object;

    if (store_fill_begin(&bench.store, &object, &bench.key, bench.bytes, 100, size, INT64_MAX, INT64_MAX) !=
        STORE_OK)
        return 0;
    uint64_t charge = 0;
    if (store_fill_append(&bench.store, object, bench.bytes, size) == STORE_OK)
        charge = object_charge(object) + STORE_INDEX_SHARE;
    if (charge > 0)
        return store_fill_commit(&bench.store, &object) == STORE_OK ? charge : 0;
    store_fill_discard(&bench.store, &object);
    return 0;
}

static void print(const char *name, const struct hit_trace *trace, uint64_t hits, uint64_t bytes,
                  double seconds)
{
    printf("  %-18s %6.2f %% of requests  %6.2f %% of bytes", name,
           100.0 * (double)hits / (double)trace->requests, 100.0 * (double)bytes / (double)trace->bytes);
    if (seconds > 0)
        printf("  %5.2f us a request", seconds * 1e6 / (double)trace->requests);
    printf("\n");
    fflush(stdout);
}

static void replay(const struct hit_trace *trace, uint64_t memory, enum eviction_policy policy,
                   bool admission)
{
    uint64_t hits = 0, bytes = 0;
    char name[32];

    begin(memory, policy, admission);
    double before = now();
    for (uint64_t i = 0; i < trace->requests; i++) {
        uint32_t object = trace->order[i], size = trace->sizes[object];
        if (find(object)) {
            hits++;
            bytes += size;
        } else {
            put(size);
        }
    }
    snprintf(name, sizeof(name), "%s%s", eviction_policy_name(policy), admission ? "" : ", no admission");
    print(name, trace, hits, bytes, now() - before);
    end();
}

/* What each object takes in the store, and all of them together. */
static uint64_t weigh(const struct hit_trace *trace, uint64_t *weights)
{
    uint64_t sum = 0;

    begin((uint64_t)1 << 34, EVICTION_lru, false);
    for (uint32_t object = 0; object < trace->objects; object++) {
        find(object);
        weights[object] = put(trace->sizes[object]);
        if (!weights[object])
            hit_fail("an object does not fit");
        sum += weights[object];
        store_remove(&bench.store, &bench.key);
    }
    end();
    return sum;
}

static void compare(const struct hit_trace *trace, const uint64_t *weights, uint64_t memory)
{
    struct hit_optimum optimum;

    for (int policy = 0; policy < EVICTION_POLICY_COUNT; policy++) {
        if (trace->has_large)
            replay(trace, memory, (enum eviction_policy)policy, false);
        replay(trace, memory, (enum eviction_policy)policy, true);
    }
    hit_optimum_find(&optimum, trace, weights, memory);
    print("optimum (Belady)", trace, optimum.hits, optimum.bytes, 0);
}

static void run(const struct hit_trace *trace, const char *name, double part)
{
    static const double parts[] = {1, 10};
    uint64_t *weights = calloc(trace->objects, sizeof(*weights));

    if (!weights)
        hit_fail("no memory");
    uint64_t all = weigh(trace, weights);
    for (int i = 0; i < (part > 0 ? 1 : 2); i++) {
        double percent = part > 0 ? part : parts[i];
        uint64_t memory = (uint64_t)((double)all * percent / 100);
        printf("%s: %" PRIu64 " requests for %" PRIu32 " objects of %.1f MB; memory %.1f MB, %g %%\n", name,
               trace->requests, trace->objects, (double)all / 1e6, (double)memory / 1e6, percent);
        compare(trace, weights, memory);
    }
    free(weights);
}

static struct {
    const char *file, *kind;
    uint32_t objects;
    uint64_t requests, seed;
    double part;
} conf = {.objects = 100000, .requests = 1000000, .seed = 1};

static int parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"trace", required_argument, NULL, 't'},
        {"kind", required_argument, NULL, 'k'},
        {"objects", required_argument, NULL, 'o'},
        {"requests", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {"part", required_argument, NULL, 'p'},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 't')
            conf.file = optarg;
        else if (option == 'k')
            conf.kind = optarg;
        else if (option == 'o')
            conf.objects = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'r')
            conf.requests = strtoull(optarg, NULL, 10);
        else if (option == 's')
            conf.seed = strtoull(optarg, NULL, 10);
        else if (option == 'p')
            conf.part = strtod(optarg, NULL);
        else
            return 2;
    }
    return optind == argc && conf.objects > 0 && conf.requests > 0 && conf.part >= 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
    struct hit_trace trace;
    bool any = false;

    if (parse(argc, argv)) {
        fputs("usage: bench_hit_ratio [--trace FILE] [--kind NAME] [--objects N] [--requests N] [--seed N] "
              "[--part PERCENT]\n",
              stderr);
        return 2;
    }
    if (conf.file) {
        hit_trace_read(&trace, conf.file);
        run(&trace, conf.file, conf.part);
        hit_trace_free(&trace);
        return 0;
    }
    for (unsigned i = 0; hit_trace_kind(i); i++) {
        if (conf.kind && strcmp(conf.kind, hit_trace_kind(i)) != 0)
            continue;
        any = true;
        hit_trace_make(&trace, i, conf.objects, conf.requests, conf.seed);
        run(&trace, hit_trace_kind(i), conf.part);
        hit_trace_free(&trace);
    }
    if (!any)
        hit_fail("there is no such kind of trace");
    return 0;
}
