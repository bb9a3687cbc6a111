/* bench_store: what an object costs in the store, and what finding one does.
 *
 *     bench_store [--objects N] [--body BYTES] [--meta BYTES] [--key BYTES] [--policy NAME]
 *
 * Stores N objects in one tenant of a real store (no process, no queue) and prints what the store charges for
 * each, all included, and what the process pays; then looks up keys at random, all there, in a store of 1000
 * objects and in one of N: the hash of the key, the index, the policy's note of the use; and the same with
 * the first line of the object's metadata and body read, as a hit does.
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

#define FEW    1000u
#define ROUNDS 9

static struct {
    uint32_t objects, body, meta, key;
    enum eviction_policy policy;
    struct counters counters;
    struct store store;
    struct tenants tenants;
    struct tenant *tenant;
    struct store_key wanted;
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

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

/* A key as long as was asked for, beginning with its number. */
static void set_key(uint32_t number)
{
    static uint8_t text[STORE_MAX_KEY] = "";

    if (text[sizeof(number)] == 0)
        memset(text, 'k', sizeof(text));
    memcpy(text, &number, sizeof(number));
    store_key_set(&bench.store, &bench.wanted, bench.tenant, text, bench.key);
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
    bench.tenant = tenants_get(&bench.tenants, "bench");
    for (uint32_t i = 0; i < objects; i++)
        put(i);
}

static void end(void)
{
    store_teardown(&bench.store);
    tenants_free(&bench.tenants);
}

static void look_up(uint32_t number, bool read)
{
    uint8_t line[64];
    uint32_t length;

    set_key(number);
    struct object *object = store_find(&bench.store, &bench.wanted, 0);
    if (!object)
        fail("an object was not found");
    if (!read)
        return;
    const uint8_t *meta = object_meta(object, &length);
    uint64_t size = object_size(object);
    object_read(object, 0, line, size < sizeof(line) ? size : sizeof(line));
    bench.sum += line[0] + (length > 0 ? meta[0] : 0);
}

/* Nanoseconds a lookup: the least of some rounds, since others use the processors' caches too. */
static double measure(uint32_t objects, bool read)
{
    const unsigned lookups = 300000;
    double least = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        double before = now();
        for (unsigned i = 0; i < lookups; i++)
            look_up((uint32_t)(next_random() % objects), read);
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

static void compare(uint32_t objects, double few[2], double many[2])
{
    begin(FEW);
    for (int read = 0; read < 2; read++)
        few[read] = measure(FEW, read);
    end();
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double start = now();
    begin(objects);
    printf("stored %" PRIu32 " objects in %.2f s\n", objects, now() - start);
    size_t paid = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    uint64_t content = (uint64_t)bench.key + bench.meta + bench.body;
    printf("bytes an object: %.1f charged, of them index %.1f; %.1f paid to the allocator; %" PRIu64
           " are key, metadata and body\n",
           (double)bench.store.memory.used / objects, (double)bench.store.index.used / objects,
           (double)paid / objects, content);
    for (int read = 0; read < 2; read++)
        many[read] = measure(objects, read);
    end();
}

static int parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"objects", required_argument, NULL, 'o'}, {"body", required_argument, NULL, 'b'},
        {"meta", required_argument, NULL, 'm'},    {"key", required_argument, NULL, 'k'},
        {"policy", required_argument, NULL, 'p'},  {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        if (option == 'o')
            bench.objects = number;
        else if (option == 'b' && number <= sizeof(bench.bytes))
            bench.body = number;
        else if (option == 'm' && number < sizeof(bench.bytes))
            bench.meta = number;
        else if (option == 'k' && number >= sizeof(number) + 1 && number <= STORE_MAX_KEY)
            bench.key = number;
        else if (option != 'p' || !eviction_policy_find(optarg, &bench.policy))
            return 2;
    }
    return optind == argc && bench.objects > 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
    double few[2], many[2];

    if (parse(argc, argv)) {
        fputs(
            "usage: bench_store [--objects N] [--body BYTES] [--meta BYTES] [--key BYTES] [--policy NAME]\n",
            stderr);
        return 2;
    }
    compare(bench.objects, few, many);
    for (int read = 0; read < 2; read++)
        printf("%s (%s): %.0f ns at %u objects, %.0f ns at %" PRIu32 ": %.2f times\n",
               read ? "lookup and a line of metadata and body" : "lookup", eviction_policy_name(bench.policy),
               few[read], FEW, many[read], bench.objects, many[read] / few[read]);
    printf("a line of memory that is in no cache: %.0f ns\n", measure_memory());
    return bench.sum == 1;
}
