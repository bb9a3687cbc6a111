/* bench_ipc: lookups through the client library, as fast as a given depth allows.
 *
 *     bench_ipc --instance NAME [--depth N] [--size BYTES] [--keys N] [--seconds S] [--segment BYTES]
 *               [--server PID] [--spin PERCENT]
 *
 * Fills the keys, then looks them up at random with `depth` operations under way, and prints operations and
 * bytes a second, processor time and, at depth 1, latencies (measure.h). bench_memcached does the same with
 * memcached.
 *
 * An operation: LOOKUP; of an object that is larger than a segment also the READs of the rest, READS of them
 * under way. Of every piece the length and the first and last byte are compared with what was filled.
 *
 *     look_up() -> LOOKUP hit, whole ----------------------------------------> done
 *                             longer -> read_on() -> READ ... the last one --> release, done
 *                             lease  -> fill_begin() -> FILL_BEGIN -> fill_on() -> FILL_DATA ... FILL_END ->
 * filled
 */
#include "clock.h"
#include "ipc_load.h"
#include "larder.h"
#include "measure.h"
#include "spin.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_BYTES      24
#define READS          4u
/* Objects up to FITS bytes get segments in which they fit whole. */
#define FITS           (128u * 1024)
#define SEGMENT_BYTES  (256u * 1024)
#define META_ALLOWANCE 256u

struct operation {
    struct operation *next; /* among those that are free, or that wait for a segment */
    double begun;
    uint64_t handle, lease;
    uint32_t key, asked, got; /* of the body, bytes */
    uint32_t reads;           /* under way */
    bool filling, waits;
};

static struct ipc_load load = IPC_LOAD_DEFAULTS;

static struct {
    const char *instance;
    uint32_t segment, percent;
    struct spin spin;
    struct larder_client *client;
    struct measure_run run;
    uint32_t under_way, filled;
    struct operation operations[IPC_LOAD_MAX_DEPTH], *free, *waiting;
} bench = {.instance = "default", .percent = SPIN_DEFAULT_PERCENT};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_ipc: %s: %s\n", what, why);
    exit(1);
}

static uint32_t write_key(struct larder_segment *segment, uint32_t key)
{
    char text[KEY_BYTES + 1];

    snprintf(text, sizeof(text), "bench-%08" PRIu32 "-%09" PRIu32, load.size % 100000000, key % 1000000000);
    memcpy(segment->data, text, KEY_BYTES);
    return KEY_BYTES;
}

static void finish(struct operation *operation)
{
    if (load.depth == 1 && !operation->filling)
        measure_latency_add(&bench.run.latency, measure_now() - operation->begun);
    bench.run.done += !operation->filling;
    operation->next = bench.free;
    bench.free = operation;
    bench.under_way--;
}

static void look_up(uint32_t key)
{
    struct larder_segment *segment;
    struct operation *operation = bench.free;

    if (!operation || larder_segment_borrow(bench.client, &segment))
        return;
    double begun = load.depth == 1 ? measure_now() : 0;
    if (larder_lookup(bench.client, &segment, write_key(segment, key), LARDER_LOOKUP_LEASE, operation)) {
        larder_segment_return(bench.client, &segment);
        return;
    }
    bench.free = operation->next;
    *operation = (struct operation){.key = key, .begun = begun};
    bench.under_way++;
}

/* ---- reading ---- */

static void check_piece(const struct operation *operation, const uint8_t *piece, uint32_t length)
{
    uint8_t expected = (uint8_t)operation->key;

    bench.run.bytes += length;
    bench.run.wrong += length == 0 || piece[0] != expected || piece[length - 1] != expected;
}

static uint32_t next_piece(const struct operation *operation)
{
    uint32_t left = load.size - operation->asked;

    return left < bench.segment ? left : bench.segment;
}

/* One READ; false: there is no segment or no room in the ring for it. */
static bool read_piece(struct operation *operation)
{
    struct larder_segment *segment;
    uint32_t length = next_piece(operation);

    if (larder_segment_borrow(bench.client, &segment))
        return false;
    if (larder_read(bench.client, operation->handle, operation->asked, &segment, length, operation)) {
        larder_segment_return(bench.client, &segment);
        return false;
    }
    operation->asked += length;
    operation->reads++;
    return true;
}

static bool read_on(struct operation *operation)
{
    while (operation->asked < load.size && operation->reads < READS)
        if (!read_piece(operation))
            return operation->reads > 0;
    return true;
}

/* ---- filling ---- */

static void fill_begin(struct operation *operation, struct larder_segment **segment)
{
    uint32_t key_length = write_key(*segment, operation->key), room = (*segment)->size - key_length;
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    struct larder_fill fill = {
        .lease = operation->lease,
        .key_length = key_length,
        .body_length = load.size < room ? load.size : room,
        .object_size = load.size,
        .fresh_until = ((int64_t)time.tv_sec + 3600) * 1000,
        .keep_until = ((int64_t)time.tv_sec + 3600) * 1000,
    };
    memset((*segment)->data + key_length, (int)(operation->key & 0xff), fill.body_length);
    if (larder_fill_begin(bench.client, &fill, segment, operation))
        fail("fill", "not begun");
    operation->asked = fill.body_length;
}

static void fill_on(struct operation *operation, struct larder_segment **segment)
{
    uint32_t length = next_piece(operation);

    memset((*segment)->data, (int)(operation->key & 0xff), length);
    if (larder_fill_data(bench.client, operation->lease, operation->asked, segment, length, operation))
        fail("fill", "not gone on with");
    operation->asked += length;
}

/* FILL_BEGIN, FILL_DATA. A fill that came whole with FILL_BEGIN needs no end of its own. */
static void filled_piece(struct operation *operation, struct larder_event *event)
{
    if (event->status != LARDER_OK)
        fail("fill", "refused; has the cache enough memory?");
    if (operation->asked < load.size) {
        struct larder_segment *segment = event->segment;
        if (!segment && larder_segment_borrow(bench.client, &segment))
            fail("fill", "no segment");
        event->segment = NULL;
        fill_on(operation, &segment);
    } else if (event->kind == LARDER_EVENT_FILL_DATA) {
        if (larder_fill_end(bench.client, operation->lease, load.size, operation))
            fail("fill", "not ended");
    } else {
        bench.filled++;
        finish(operation);
    }
}

/* ---- events ---- */

static void wait_for_segment(struct operation *operation)
{
    operation->waits = true;
    operation->next = bench.waiting;
    bench.waiting = operation;
}

static void go_on_reading(struct operation *operation)
{
    if (operation->got >= load.size) {
        if (operation->handle)
            larder_release(bench.client, operation->handle);
        finish(operation);
    } else if (!operation->waits && !read_on(operation)) {
        wait_for_segment(operation);
    }
}

static void looked_up(struct operation *operation, struct larder_event *event)
{
    if (event->status == LARDER_HIT) {
        check_piece(operation, event->segment->data + event->meta_length, event->length);
        bench.run.wrong += event->object_size != load.size;
        operation->handle = event->handle;
        operation->asked = operation->got = event->length;
    } else if (event->lease) {
        operation->filling = true;
        operation->lease = event->lease;
        fill_begin(operation, &event->segment);
    } else {
        fail("look-up", "neither a hit nor a lease; has the cache enough memory?");
    }
}

static void on_event(struct larder_event *event)
{
    struct operation *operation = event->user;

    if (event->kind == LARDER_EVENT_LOOKUP) {
        looked_up(operation, event);
    } else if (event->kind == LARDER_EVENT_READ) {
        if (event->status != LARDER_OK)
            fail("read", "refused");
        check_piece(operation, event->segment->data, event->length);
        operation->reads--;
        operation->got += event->length;
    } else if (event->kind == LARDER_EVENT_FILL_BEGIN || event->kind == LARDER_EVENT_FILL_DATA) {
        filled_piece(operation, event);
    } else if (event->kind == LARDER_EVENT_FILL_END) {
        bench.filled += event->status == LARDER_OK;
        finish(operation);
    }
    if (event->segment)
        larder_segment_return(bench.client, &event->segment);
    if ((event->kind == LARDER_EVENT_LOOKUP && !operation->filling) || event->kind == LARDER_EVENT_READ)
        go_on_reading(operation);
}

static void serve_waiting(void)
{
    struct operation *waiting = bench.waiting;

    bench.waiting = NULL;
    while (waiting) {
        struct operation *operation = waiting;
        waiting = operation->next;
        operation->waits = false;
        go_on_reading(operation);
    }
}

static void turn(void)
{
    struct larder_event event;

    while (larder_client_next(bench.client, &event))
        on_event(&event);
    serve_waiting();
}

static bool answer_is_there(void *client)
{
    return larder_client_has_answer(client);
}

/* As a proxy does: it looks for an answer before it sleeps, within its share of a processor. */
static void wait_a_turn(void)
{
    struct pollfd fd = {.fd = larder_client_fd(bench.client), .events = POLLIN};
    uint64_t spins = bench.spin.spins;

    larder_client_flush(bench.client);
    if (bench.spin.percent > 0 && bench.under_way > 0 &&
        spin_look(&bench.spin, answer_is_there, bench.client))
        return;
    if (!larder_client_may_sleep(bench.client))
        return;
    int64_t asleep_ns = clock_mono_ns();
    int count = poll(&fd, 1, 1000);
    spin_slept(&bench.spin, clock_mono_ns() - asleep_ns, bench.spin.spins != spins);
    if (count > 0)
        larder_client_wake(bench.client);
}

/* ---- the run ---- */

static void fill_all(void)
{
    double end = measure_now() + 60;

    for (uint32_t key = 0; bench.filled + (uint32_t)bench.run.done < load.keys;) {
        turn();
        while (key < load.keys && bench.under_way < load.depth && larder_client_attached(bench.client)) {
            uint32_t before = bench.under_way;
            look_up(key);
            if (bench.under_way == before)
                break;
            key++;
        }
        wait_a_turn();
        if (measure_now() > end)
            fail("fill", "not done within a minute");
    }
}

static void look_up_at_random(void)
{
    double end = bench.run.start + load.seconds;

    while (measure_now() < end) {
        turn();
        if (!larder_client_attached(bench.client))
            fail("lost the cache", larder_client_problem(bench.client));
        for (uint32_t more = load.depth - bench.under_way; more > 0; more--)
            look_up(ipc_load_next_key(&load));
        wait_a_turn();
    }
}

static void run(void)
{
    fill_all();
    while (bench.under_way > 0) {
        turn();
        wait_a_turn();
    }
    measure_begin(&bench.run, load.server);
    look_up_at_random();
    measure_print(&bench.run, load.depth, load.size);
    while (bench.under_way > 0) {
        turn();
        wait_a_turn();
    }
}

static const struct option options[] = {
    {"instance", required_argument, NULL, 'i'},
    {"segment", required_argument, NULL, 'g'},
    {"spin", required_argument, NULL, 'c'},
    IPC_LOAD_OPTIONS,
    {0},
};

static bool parse_options(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'i')
            bench.instance = optarg;
        else if (option == 'g')
            bench.segment = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'c')
            bench.percent = (uint32_t)strtoul(optarg, NULL, 10);
        else if (!ipc_load_take(&load, option, optarg))
            return false;
    }
    return bench.percent <= 100 && ipc_load_is_valid(&load) && optind == argc;
}

static uint32_t segment_bytes(void)
{
    return load.size <= FITS ? (load.size + META_ALLOWANCE + 4095) & ~4095u : SEGMENT_BYTES;
}

static uint32_t segments(void)
{
    uint32_t each = load.size <= bench.segment ? 1 : READS;

    return load.depth * each < LARDER_MIN_SEGMENTS ? LARDER_MIN_SEGMENTS : load.depth * each;
}

int main(int argc, char **argv)
{
    char problem[512];

    if (!parse_options(argc, argv)) {
        fprintf(stderr,
                "usage: bench_ipc --instance NAME [--depth N] [--size BYTES] [--keys N] [--seconds S]\n"
                "                 [--segment BYTES] [--server PID] [--spin PERCENT]\n");
        return 2;
    }
    if (bench.segment == 0)
        bench.segment = segment_bytes();
    for (uint32_t i = 0; i < load.depth; i++) {
        bench.operations[i].next = bench.free;
        bench.free = &bench.operations[i];
    }
    struct larder_options client_options = {
        .instance = bench.instance, .segments = segments(), .segment_bytes = bench.segment};
    if (larder_client_create(&bench.client, &client_options, problem, sizeof(problem)))
        fail("start", problem);
    spin_setup(&bench.spin, bench.percent, bench.percent > 0 ? spin_room() : 0, clock_mono_ns());
    run();
    larder_client_destroy(&bench.client);
    return bench.run.wrong != 0;
}
