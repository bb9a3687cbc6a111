/* An honest proxy at full speed: lookups of small objects through the client library, every body compared
 * whole, misses filled as a proxy would. */
#include "hostile.h"
#include "larder.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATTERN_BYTES 4096u
#define IDLE_STEP_MS  5
#define SLEEP_MS      100
#define TURNS_A_POLL  32u
#define HOUR_MS       3600000

struct slot {
    struct slot *next;
    uint64_t started_ns;
    uint32_t key;
};

struct load {
    const struct load_options *options;
    struct board *board;
    struct load_board *numbers;
    struct larder_client *client;
    struct slot *slots, *free;
    uint32_t under_way, asked, random, turns;
    uint64_t now;
    uint8_t pattern[2 * PATTERN_BYTES];
};

uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- latencies: sixteen rooms from one power of two to the next ---- */

static unsigned room_of(uint64_t ns)
{
    unsigned power = ns < 16 ? 4 : 63u - (unsigned)__builtin_clzll(ns);

    return power * 16 + (unsigned)(ns >> (power - 4) & 15);
}

double load_room_us(unsigned room)
{
    return (double)((uint64_t)(16 + room % 16) << (room / 16 - 4)) / 1000;
}

/* ---- objects ---- */

void load_key(uint8_t out[LOAD_KEY_BYTES], uint32_t number)
{
    char text[LOAD_KEY_BYTES + 1];

    snprintf(text, sizeof(text), "object-%09u", number % 1000000000u);
    memcpy(out, text, LOAD_KEY_BYTES);
}

/* A body begins with its key's number; the rest is a pattern that begins elsewhere for each key. */
static const uint8_t *body_rest(const struct load *load, uint32_t key)
{
    return load->pattern + key * 31 % PATTERN_BYTES;
}

static void write_body(const struct load *load, uint8_t *out, uint32_t key)
{
    memcpy(out, &key, sizeof(key));
    memcpy(out + sizeof(key), body_rest(load, key), load->options->size - sizeof(key));
}

static bool body_is_right(const struct load *load, const uint8_t *body, uint32_t length, uint32_t key)
{
    return length == load->options->size && memcmp(body, &key, sizeof(key)) == 0 &&
           memcmp(body + sizeof(key), body_rest(load, key), length - sizeof(key)) == 0;
}

/* ---- operations ---- */

static void add(_Atomic uint64_t *number)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static uint32_t next_key(struct load *load)
{
    if (load->asked < load->options->keys)
        return load->asked++;
    load->random = load->random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)load->random * load->options->keys) >> 32);
}

static bool look_up(struct load *load)
{
    struct larder_segment *segment;
    struct slot *slot = load->free;

    if (!slot || larder_segment_borrow(load->client, &segment))
        return false;
    slot->key = next_key(load);
    slot->started_ns = load->now;
    load_key(segment->data, slot->key);
    if (larder_lookup(load->client, &segment, LOAD_KEY_BYTES, LARDER_LOOKUP_LEASE, slot)) {
        larder_segment_return(load->client, &segment);
        return false;
    }
    load->free = slot->next;
    load->under_way++;
    return true;
}

static bool fill(struct load *load, struct slot *slot, uint64_t lease, struct larder_segment **segment)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    struct larder_fill fill = {
        .lease = lease,
        .key_length = LOAD_KEY_BYTES,
        .body_length = load->options->size,
        .object_size = load->options->size,
        .fresh_until = (int64_t)time.tv_sec * 1000 + HOUR_MS,
        .keep_until = (int64_t)time.tv_sec * 1000 + HOUR_MS,
    };
    load_key((*segment)->data, slot->key);
    write_body(load, (*segment)->data + LOAD_KEY_BYTES, slot->key);
    slot->started_ns = load->now;
    return larder_fill_begin(load->client, &fill, segment, slot) == 0;
}

static void note_answer(struct load *load, const struct slot *slot)
{
    int slice = atomic_load_explicit(&load->board->slice, memory_order_relaxed);
    uint64_t took = load->now > slot->started_ns ? load->now - slot->started_ns : 0;

    add(&load->numbers->answered);
    if (slice < SLICE_NONE)
        atomic_fetch_add_explicit(&load->numbers->latency[slice][room_of(took)], 1, memory_order_relaxed);
}

static void note_lookup(struct load *load, const struct larder_event *event, const struct slot *slot)
{
    if (event->status == LARDER_HIT) {
        add(&load->numbers->hits);
        if (!body_is_right(load, event->segment->data + event->meta_length, event->length, slot->key))
            add(&load->numbers->wrong);
    } else {
        add(event->status == LARDER_MISS ? &load->numbers->misses : &load->numbers->refused);
    }
}

static void on_answer(struct load *load, struct larder_event *event)
{
    struct slot *slot = event->user;
    bool goes_on = false;

    if (event->status != LARDER_LOST)
        note_answer(load, slot);
    if (event->kind == LARDER_EVENT_LOOKUP && event->status != LARDER_LOST)
        note_lookup(load, event, slot);
    if (event->kind == LARDER_EVENT_LOOKUP && event->lease)
        goes_on = fill(load, slot, event->lease, &event->segment);
    if (event->handle)
        larder_release(load->client, event->handle);
    if (event->segment)
        larder_segment_return(load->client, &event->segment);
    if (goes_on)
        return;
    slot->next = load->free;
    load->free = slot;
    load->under_way--;
}

static void take_events(struct load *load)
{
    struct larder_event event;

    load->now = now_ns();
    while (larder_client_next(load->client, &event)) {
        if (event.kind == LARDER_EVENT_ATTACHED)
            atomic_fetch_add(&load->numbers->attached, 1);
        else if (event.kind == LARDER_EVENT_DETACHED)
            atomic_fetch_add(&load->numbers->detached, 1);
        else
            on_answer(load, &event);
    }
}

static void wait_a_turn(struct load *load, bool runs)
{
    struct pollfd fd = {.fd = larder_client_fd(load->client), .events = POLLIN};

    larder_client_flush(load->client);
    bool may_sleep = larder_client_may_sleep(load->client);
    if (!may_sleep && ++load->turns % TURNS_A_POLL != 0)
        return;
    if (poll(&fd, 1, !may_sleep ? 0 : runs ? SLEEP_MS : IDLE_STEP_MS) > 0)
        larder_client_wake(load->client);
}

/* ---- life ---- */

static bool make_tables(struct load *load)
{
    uint64_t state = 1;

    for (unsigned i = 0; i < PATTERN_BYTES; i++)
        load->pattern[i] = load->pattern[i + PATTERN_BYTES] = (uint8_t)noise(&state);
    load->slots = calloc(load->options->depth, sizeof(*load->slots));
    for (uint32_t i = 0; load->slots && i < load->options->depth; i++) {
        load->slots[i].next = load->free;
        load->free = &load->slots[i];
    }
    return load->slots != NULL;
}

static bool open_client(struct load *load)
{
    char problem[512];
    struct larder_options options = {
        .instance = load->options->instance,
        .tenant = load->options->tenant,
        .segments = load->options->depth < 4 ? 4 : load->options->depth,
        .segment_bytes = (load->options->size + 256 + 4095) & ~4095u,
    };

    if (larder_client_create(&load->client, &options, problem, sizeof(problem)) == 0)
        return true;
    fprintf(stderr, "bench_hostile: %s\n", problem);
    return false;
}

int load_run(const struct load_options *options, struct board *board, struct load_board *numbers)
{
    static struct load load;
    int phase;

    load =
        (struct load){.options = options, .board = board, .numbers = numbers, .random = (uint32_t)now_ns()};
    if (!make_tables(&load) || !open_client(&load))
        return 1;
    while ((phase = atomic_load_explicit(&board->phase, memory_order_relaxed)) != PHASE_END) {
        bool runs = phase != PHASE_IDLE && phase <= (int)options->last_phase;

        take_events(&load);
        while (runs && look_up(&load))
            ;
        atomic_store_explicit(&numbers->idle, !runs && load.under_way == 0, memory_order_relaxed);
        wait_a_turn(&load, runs);
    }
    larder_client_destroy(&load.client);
    free(load.slots);
    return 0;
}
