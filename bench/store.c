/* bench_store: what an object costs in the store, and what finding one does.
 *
 *     bench_store [--objects N] [--body BYTES] [--meta BYTES] [--key BYTES] [--policy NAME] [--batch N]
 *                 [--huge-pages]
 *
 * Stores N objects in one tenant of a real store (no process, no queue) and prints what the store charges for
 * each, all included, and what the process pays; then looks up keys at random, all there, in a store of 1000
 * objects and in one of N: the hash of the key, the index, the policy's note of the use; the same with the
 * first line of the object's metadata and body read; and with all of both copied out, as a hit does. Then the
 * same in batches of 1 to 32, as the cache does them with what it finds in a ring (ahead.h): keys first, then
 * the memory that each look-up will read, then the look-ups. --batch N does nothing but this, N at a time.
 */
#include "store.h"
#include "tenant.h"

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FEW          1000u
#define ROUNDS       9

#define MOST_AT_ONCE 32u

enum use { FIND, READ_A_LINE, COPY_OUT, USES };
static const char *const use_names[USES] = {"lookup", "lookup and a line of metadata and body",
                                            "lookup and a copy of metadata and body"};

static struct {
    uint32_t objects, body, meta, key, batch;
    enum eviction_policy policy;
    bool huge_pages;
    struct counters counters;
    struct store store;
    struct tenants tenants;
    struct tenant *tenant;
    struct store_key wanted;
    struct store_short_key waiting[MOST_AT_ONCE];
    uint64_t random;
    uint8_t bytes[65536];
    uint64_t sum; /* so that nothing is optimised away */
} bench = {.objects = 1000000, .body = 1024, .meta = 200, .key = 40, .random = 1};

static uint64_t next_random(void)
{
    uint64_t z = bench.random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Of this process alone: others use the machine too. */
static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Bytes of memory that this process has. */
static uint64_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char text[128] = "", *second;

    if (file && !fgets(text, sizeof(text), file))
        text[0] = '\0';
    if (file)
        fclose(file);
    strtoul(text, &second, 10); /* all of its pages, then those in memory: proc(5) */
    unsigned long pages = strtoul(second, NULL, 10);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

/* A key as long as was asked for, beginning with its number. */
static const uint8_t *key_text(uint32_t number)
{
    static uint8_t text[STORE_MAX_KEY] = "";

    if (text[sizeof(number)] == 0)
        memset(text, 'k', sizeof(text));
    memcpy(text, &number, sizeof(number));
    return text;
}

static void set_key(uint32_t number)
{
    store_key_set(&bench.store, &bench.wanted, bench.tenant, key_text(number), bench.key);
}

static void put(uint32_t number)
{
    struct object *object;

    set_key(number);
    if (store_fill_begin(&bench.store, &object, &bench.wanted, bench.bytes, bench.meta, bench.body, INT64_MAX,
                         INT64_MAX) != STORE_OK ||
        store_fill_append(&bench.store, object, bench.bytes, bench.body) != STORE_OK ||
        store_fill_commit(&bench.store, &object) != STORE_OK)
        fail("an object was refused");
}

static void begin(uint32_t objects)
{
    struct tenant_config config = {"bench", TENANT_DEFAULTS};
    char problem[128];

    config.settings.policy = bench.policy;
    memset(&bench.tenants, 0, sizeof(bench.tenants));
    if (store_setup(&bench.store, UINT64_MAX / 8, 1 << 20, &bench.counters) ||
        tenants_configure(&bench.tenants, &bench.store.memory, &config, 1, problem, sizeof(problem)))
        fail("no store");
    bench.store.memory.huge_pages = bench.huge_pages;
    bench.tenant = tenants_get(&bench.tenants, "bench");
    for (uint32_t i = 0; i < objects; i++)
        put(i);
}

static void end(void)
{
    store_teardown(&bench.store);
    tenants_free(&bench.tenants);
}

static void use_object(const struct object *object, enum use use)
{
    static uint8_t out[sizeof(bench.bytes)];
    uint32_t length;
    const uint8_t *meta = object_meta(object, &length);
    uint64_t size = object_size(object), most = use == COPY_OUT ? sizeof(out) : 64;

    if (use == COPY_OUT)
        memcpy(out, meta, length);
    bench.sum += length > 0 ? meta[0] : 0;
    object_read(object, 0, out, size < most ? size : most);
    bench.sum += out[0];
}

/* Of the key that is set. */
static void look_up(enum use use)
{
    struct object *object = store_find(&bench.store, &bench.wanted, 0);

    if (!object)
        fail("an object was not found");
    if (use != FIND)
        use_object(object, use);
}

/* As ahead.c does it. */
static void look_up_together(unsigned count, uint32_t objects, enum use use)
{
    for (unsigned i = 0; i < count; i++)
        store_short_key_set(&bench.store, &bench.waiting[i], bench.tenant,
                            key_text((uint32_t)(next_random() % objects)), bench.key);
    for (unsigned stage = 0; stage < STORE_STAGES; stage++) {
        for (unsigned i = 0; i < count; i++)
            store_prefetch(&bench.store, bench.waiting[i].hash, (enum store_stage)stage);
    }
    for (unsigned i = 0; i < count; i++) {
        store_key_recall(&bench.wanted, bench.tenant, &bench.waiting[i]);
        look_up(use);
    }
}

/* One after the other, or `batch` of them at a time. */
static void look_up_all(unsigned lookups, uint32_t objects, enum use use, uint32_t batch)
{
    for (unsigned i = 0; batch == 1 && i < lookups; i++) {
        set_key((uint32_t)(next_random() % objects));
        look_up(use);
    }
    for (unsigned i = 0; batch > 1 && i + batch <= lookups; i += batch)
        look_up_together(batch, objects, use);
}

/* Nanoseconds a lookup: the least of some rounds, since others use the processors' caches too. */
static double measure(uint32_t objects, enum use use, uint32_t batch)
{
    const unsigned lookups = 300000 / batch * batch;
    double least = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        double before = now();
        look_up_all(lookups, objects, use, batch);
        double each = (now() - before) * 1e9 / lookups;
        least = each < least ? each : least;
    }
    return least;
}

/* Nanoseconds that one line of memory takes which is in no cache, each known only when the one before has
 * come. */
static double measure_memory(void)
{
    const uint64_t words = UINT64_C(1) << 26;
    const unsigned reads = 300000;
    uint64_t *memory = malloc(words * sizeof(*memory)), at = 0;
    double least = 1e9;

    if (!memory)
        fail("no memory");
    for (uint64_t i = 0; i < words; i++)
        memory[i] = next_random();
    for (int round = 0; round < ROUNDS; round++) {
        double before = now();
        for (unsigned i = 0; i < reads; i++)
            at = (memory[at] + i) % words;
        double each = (now() - before) * 1e9 / reads;
        least = each < least ? each : least;
    }
    bench.sum += at;
    free(memory);
    return least;
}

#define BATCHES 4
static const uint32_t batches[BATCHES] = {1, 8, 16, MOST_AT_ONCE};

static void measure_batches(uint32_t objects, double each[BATCHES][USES])
{
    for (int i = 0; i < BATCHES; i++) {
        for (int use = 0; use < USES; use++)
            each[i][use] = measure(objects, (enum use)use, batches[i]);
    }
}

static void compare(uint32_t objects, double few[BATCHES][USES], double many[BATCHES][USES])
{
    begin(FEW);
    measure_batches(FEW, few);
    end();
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    uint64_t touched = resident();
    double start = now();
    begin(objects);
    printf("stored %" PRIu32 " objects in %.2f s\n", objects, now() - start);
    size_t paid = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    uint64_t content = (uint64_t)bench.key + bench.meta + bench.body;
    printf("%.1f bytes of memory an object, as the kernel counts\n",
           (double)(resident() - touched) / objects);
    printf("bytes an object: %.1f charged, of them index %.1f; %.1f paid to the allocator; %" PRIu64
           " are key, metadata and body\n",
           (double)bench.store.memory.used / objects, (double)bench.store.index.used / objects,
           (double)paid / objects, content);
    measure_batches(objects, many);
    end();
}

static int do_nothing_but_lookups(void)
{
    const unsigned rounds = 10;

    begin(bench.objects);
    double before = now();
    for (unsigned i = 0; i < rounds; i++)
        look_up_all(bench.objects, bench.objects, COPY_OUT, bench.batch);
    printf("%.0f ns\n", (now() - before) * 1e9 / rounds / bench.objects);
    end();
    return bench.sum == 1;
}

static int parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"objects", required_argument, NULL, 'o'}, {"body", required_argument, NULL, 'b'},
        {"meta", required_argument, NULL, 'm'},    {"key", required_argument, NULL, 'k'},
        {"policy", required_argument, NULL, 'p'},  {"batch", required_argument, NULL, 'a'},
        {"huge-pages", no_argument, NULL, 'h'},    {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        if (option == 'h')
            bench.huge_pages = true;
        else if (option == 'o')
            bench.objects = number;
        else if (option == 'b' && number <= sizeof(bench.bytes))
            bench.body = number;
        else if (option == 'm' && number < sizeof(bench.bytes))
            bench.meta = number;
        else if (option == 'a' && number >= 1 && number <= MOST_AT_ONCE)
            bench.batch = number;
        else if (option == 'k' && number >= sizeof(number) + 1 && number <= STORE_SHORT_KEY)
            bench.key = number;
        else if (option != 'p' || !eviction_policy_find(optarg, &bench.policy))
            return 2;
    }
    return optind == argc && bench.objects > 0 ? 0 : 2;
}

static void report(double few[BATCHES][USES], double many[BATCHES][USES])
{
    for (int use = 0; use < USES; use++) {
        for (int i = 0; i < BATCHES; i++)
            printf("%s (%s), %" PRIu32 " at a time: %.0f ns at %u objects, %.0f ns at %" PRIu32
                   ": %.2f times\n",
                   use_names[use], eviction_policy_name(bench.policy), batches[i], few[i][use], FEW,
                   many[i][use], bench.objects, many[i][use] / few[i][use]);
    }
}

int main(int argc, char **argv)
{
    double few[BATCHES][USES], many[BATCHES][USES];

    mallopt(M_TOP_PAD, 16 << 20); /* as the cache */
    if (parse(argc, argv)) {
        fputs("usage: bench_store [--objects N] [--body BYTES] [--meta BYTES] [--key BYTES] [--policy NAME]\n"
              "                   [--batch N] [--huge-pages]\n",
              stderr);
        return 2;
    }
    if (bench.batch > 0)
        return do_nothing_but_lookups();
    compare(bench.objects, few, many);
    report(few, many);
    printf("a line of memory that is in no cache: %.0f ns\n", measure_memory());
    return bench.sum == 1;
}
