/* ring: order, wrap-around, lies of the other side, and that no wake-up is ever lost. */
#include "ring.h"

#include "check_unit.h"
#include "test_support.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define CAPACITY 16u

struct entry {
    uint64_t words[RING_ENTRY_BYTES / sizeof(uint64_t)];
};

struct pair {
    struct ring producer, consumer;
};

static void *shared_memory(uint32_t capacity)
{
    void *memory = mmap(NULL, sizeof(struct ring_shared) + (size_t)capacity * RING_ENTRY_BYTES,
                        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert(memory != MAP_FAILED);
    return memory;
}

/* Both ends of a ring whose indices begin at `start`. */
static struct pair make_pair(uint32_t capacity, uint32_t start)
{
    void *memory = shared_memory(capacity);
    struct pair pair;

    ring_attach(&pair.producer, memory, capacity);
    ring_attach(&pair.consumer, memory, capacity);
    pair.producer.own = pair.producer.other = start;
    pair.consumer.own = pair.consumer.other = start;
    atomic_store(&pair.producer.shared->head, start);
    atomic_store(&pair.producer.shared->tail, start);
    return pair;
}

static struct entry entry_of(uint64_t number)
{
    struct entry entry;

    for (unsigned i = 0; i < RING_ENTRY_BYTES / sizeof(uint64_t); i++)
        entry.words[i] = number * 8 + i;
    return entry;
}

static enum ring_result put(struct pair *pair, uint64_t number)
{
    struct entry entry = entry_of(number);

    return ring_put(&pair->producer, &entry);
}

static bool is_entry(const struct entry *entry, uint64_t number)
{
    struct entry expected = entry_of(number);

    return memcmp(entry, &expected, sizeof(expected)) == 0;
}

static void take(struct pair *pair, uint64_t number)
{
    struct entry entry;

    ck_assert_int_eq(ring_take(&pair->consumer, &entry), RING_OK);
    ck_assert(is_entry(&entry, number));
}

static void take_none(struct pair *pair)
{
    struct entry entry;

    ck_assert_int_eq(ring_take(&pair->consumer, &entry), RING_NONE);
}

/* Where indices begin: the usual place, just before 32 bits run over, and in the middle of that. */
static const uint32_t starts[] = {0, UINT32_MAX - 5, UINT32_MAX, 0x7ffffffa};

START_TEST(what_is_put_is_taken_in_order)
{
    struct pair pair = make_pair(CAPACITY, starts[_i]);

    take_none(&pair);
    for (uint64_t i = 0; i < 10 * CAPACITY; i++) {
        ck_assert_int_eq(put(&pair, i), RING_OK);
        take_none(&pair); /* not published yet */
        ring_publish(&pair.producer);
        take(&pair, i);
        take_none(&pair);
        ring_consumed(&pair.consumer);
    }
}
END_TEST

/* Whoever sleeps is not told. */
START_TEST(what_is_shown_is_taken_without_a_bell)
{
    struct pair pair = make_pair(CAPACITY, 0);

    ck_assert(ring_arm(&pair.consumer));
    put(&pair, 1);
    ring_show(&pair.producer);
    take(&pair, 1);
    put(&pair, 2);
    take_none(&pair);
    ring_publish(&pair.producer);
    ck_assert(ring_wants_bell(&pair.producer));
    take(&pair, 2);
}
END_TEST

START_TEST(full_ring_refuses_until_slots_are_given_back)
{
    struct pair pair = make_pair(CAPACITY, starts[_i]);

    for (uint64_t i = 0; i < CAPACITY; i++)
        ck_assert_int_eq(put(&pair, i), RING_OK);
    ck_assert_int_eq(put(&pair, 99), RING_NONE);
    ring_publish(&pair.producer);
    ck_assert_int_eq(put(&pair, 99), RING_NONE);
    for (uint64_t i = 0; i < CAPACITY; i++)
        take(&pair, i);
    take_none(&pair);
    ck_assert_int_eq(put(&pair, 99), RING_NONE); /* taken, but not given back */
    ring_consumed(&pair.consumer);
    for (uint64_t i = 0; i < CAPACITY; i++)
        ck_assert_int_eq(put(&pair, 100 + i), RING_OK);
    ck_assert_int_eq(put(&pair, 99), RING_NONE);
    ring_publish(&pair.producer);
    for (uint64_t i = 0; i < CAPACITY; i++)
        take(&pair, 100 + i);
}
END_TEST

START_TEST(bursts_of_every_length_wrap_around)
{
    struct pair pair = make_pair(CAPACITY, starts[_i]);
    uint64_t in = 0, out = 0, state = 4;

    for (unsigned round = 0; round < fewer_rounds(5000, 10); round++) {
        for (uint64_t burst = random_below(&state, CAPACITY + 2); burst > 0; burst--) {
            enum ring_result result = put(&pair, in);

            ck_assert_int_eq(result, in - out < CAPACITY ? RING_OK : RING_NONE);
            in += result == RING_OK;
        }
        ring_publish(&pair.producer);
        for (uint64_t burst = random_below(&state, CAPACITY + 2); burst > 0 && out < in; burst--)
            take(&pair, out++);
        ring_consumed(&pair.consumer);
    }
}
END_TEST

/* `ahead`: how far the producer's hint runs ahead of what the consumer has taken. */
static const struct {
    uint32_t ahead;
    enum ring_result result;
} tails[] = {
    {0, RING_NONE},
    {1, RING_OK},
    {CAPACITY, RING_OK},
    {CAPACITY + 1, RING_BROKEN},
    {2 * CAPACITY, RING_BROKEN},
    {0x80000000u, RING_BROKEN},
    {UINT32_MAX, RING_BROKEN}, /* it went back by one */
    {UINT32_MAX - CAPACITY, RING_BROKEN},
};

START_TEST(consumer_recognises_a_lying_tail)
{
    for (int s = 0; s < ROWS(starts); s++) {
        struct pair pair = make_pair(CAPACITY, starts[s]);
        struct entry entry;

        atomic_store(&pair.producer.shared->tail, starts[s] + tails[_i].ahead);
        ck_assert_int_eq(ring_take(&pair.consumer, &entry), tails[_i].result);
    }
}
END_TEST

/* A tail that jumps within the bound is believed, but no further than the bound: the slots hold old entries
 * or zeroes, and the consumer never runs out of the ring. */
START_TEST(believable_jump_ends_at_the_capacity)
{
    struct pair pair = make_pair(CAPACITY, 0);
    struct entry entry;

    atomic_store(&pair.producer.shared->tail, CAPACITY);
    for (uint32_t i = 0; i < CAPACITY; i++)
        ck_assert_int_eq(ring_take(&pair.consumer, &entry), RING_OK);
    ck_assert_int_eq(ring_take(&pair.consumer, &entry), RING_NONE);
}
END_TEST

/* `back`: how far the consumer's hint lies behind the producer's index, when the ring looks full to it. */
static const struct {
    uint32_t back;
    enum ring_result result;
} heads[] = {
    {CAPACITY, RING_NONE},       {CAPACITY - 1, RING_OK},    {0, RING_OK},
    {UINT32_MAX, RING_BROKEN}, /* it ran ahead by one */
    {CAPACITY + 1, RING_BROKEN}, {0x80000000u, RING_BROKEN},
};

START_TEST(producer_recognises_a_lying_head)
{
    for (int s = 0; s < ROWS(starts); s++) {
        struct pair pair = make_pair(CAPACITY, starts[s]);

        for (uint64_t i = 0; i < CAPACITY; i++)
            ck_assert_int_eq(put(&pair, i), RING_OK);
        atomic_store(&pair.producer.shared->head, pair.producer.own - heads[_i].back);
        ck_assert_int_eq(put(&pair, 99), heads[_i].result);
    }
}
END_TEST

/* The shared indices are hints for the other side only: what we wrote there ourselves is never read back. */
START_TEST(own_index_is_private)
{
    struct pair pair = make_pair(CAPACITY, 0);

    ck_assert_int_eq(put(&pair, 0), RING_OK);
    ring_publish(&pair.producer);
    take(&pair, 0);
    ring_consumed(&pair.consumer);
    atomic_store(&pair.consumer.shared->head, 77);
    ck_assert_int_eq(put(&pair, 1), RING_OK);
    ring_publish(&pair.producer);
    take(&pair, 1);
    atomic_store(&pair.producer.shared->tail, 2);
    take_none(&pair);
    ring_consumed(&pair.consumer);
    ck_assert_uint_eq(atomic_load(&pair.consumer.shared->head), 2);
}
END_TEST

START_TEST(bell_is_wanted_once_by_who_sleeps)
{
    struct pair pair = make_pair(CAPACITY, 0);

    ck_assert(!ring_wants_bell(&pair.producer));
    ck_assert(ring_arm(&pair.consumer));
    ck_assert(ring_is_armed(&pair.consumer));
    ck_assert_int_eq(put(&pair, 0), RING_OK);
    ring_publish(&pair.producer);
    ck_assert(ring_wants_bell(&pair.producer));
    ck_assert(!ring_wants_bell(&pair.producer));
    ck_assert(!ring_is_armed(&pair.consumer));
    /* Whoever arms without having looked is told not to sleep. */
    ck_assert(!ring_arm(&pair.consumer));
    ring_disarm(&pair.consumer);
    ck_assert(!ring_wants_bell(&pair.producer));
    take(&pair, 0);
    ck_assert(ring_arm(&pair.consumer));
}
END_TEST

/* ---- two at a time ---------------------------------------------------------------------------------- */

struct crossing {
    struct pair pair;
    uint64_t entries; /* so many */
    int bell;         /* eventfd: rings for the consumer */
    int room;         /* eventfd: something has been taken */
    uint32_t wrong;   /* entries that were not the next one */
    uint32_t missing; /* wake-ups that never came */
};

static bool wait_for(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t count;

    return poll(&wait, 1, TEST_DEADLINE_MS) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static void ring(int fd)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

static void *produce(void *context)
{
    struct crossing *crossing = context;
    struct ring *ring_end = &crossing->pair.producer;
    uint64_t state = 5;

    for (uint64_t sent = 0; sent < crossing->entries;) {
        for (uint64_t burst = 1 + random_below(&state, 40); burst > 0 && sent < crossing->entries; burst--) {
            struct entry entry = entry_of(sent);
            if (ring_put(ring_end, &entry) != RING_OK)
                break;
            sent++;
        }
        ring_publish(ring_end);
        if (ring_wants_bell(ring_end))
            ring(crossing->bell);
        struct entry probe = entry_of(sent);
        struct ring copy = *ring_end;
        if (sent < crossing->entries && ring_put(&copy, &probe) == RING_NONE && !wait_for(crossing->room))
            return context;
    }
    return context;
}

static bool sleep_until_rung(struct crossing *crossing)
{
    if (!ring_arm(&crossing->pair.consumer))
        return true;
    return wait_for(crossing->bell);
}

static void consume(struct crossing *crossing)
{
    struct ring *ring_end = &crossing->pair.consumer;
    uint64_t taken = 0;

    while (taken < crossing->entries) {
        struct entry entry;
        enum ring_result result = ring_take(ring_end, &entry);

        if (result == RING_OK) {
            crossing->wrong += !is_entry(&entry, taken++);
            continue;
        }
        crossing->wrong += result == RING_BROKEN;
        ring_consumed(ring_end);
        ring(crossing->room);
        if (!sleep_until_rung(crossing)) {
            crossing->missing++;
            return;
        }
        ring_disarm(ring_end);
    }
}

static void crossing_begin(struct crossing *crossing)
{
    *crossing = (struct crossing){
        .pair = make_pair(64, UINT32_MAX - 1000),
        .entries = fewer_rounds(1000000, 50),
    };
    crossing->bell = eventfd(0, 0);
    crossing->room = eventfd(0, EFD_NONBLOCK);
}

static void crossing_end(const struct crossing *crossing)
{
    ck_assert_uint_eq(crossing->wrong, 0);
    ck_assert_uint_eq(crossing->missing, 0);
    close(crossing->bell);
    close(crossing->room);
}

START_TEST(a_million_entries_between_threads)
{
    struct crossing crossing;
    pthread_t thread;

    crossing_begin(&crossing);
    ck_assert_int_eq(pthread_create(&thread, NULL, produce, &crossing), 0);
    consume(&crossing);
    pthread_join(thread, NULL);
    crossing_end(&crossing);
}
END_TEST

START_TEST(a_million_entries_between_processes)
{
    struct crossing crossing;
    int status;

    crossing_begin(&crossing);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        produce(&crossing);
        _exit(0);
    }
    consume(&crossing);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    crossing_end(&crossing);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, what_is_put_is_taken_in_order, starts);
    ADD_ROWS(tcase, full_ring_refuses_until_slots_are_given_back, starts);
    ADD_ROWS(tcase, bursts_of_every_length_wrap_around, starts);
    ADD_ROWS(tcase, consumer_recognises_a_lying_tail, tails);
    tcase_add_test(tcase, believable_jump_ends_at_the_capacity);
    ADD_ROWS(tcase, producer_recognises_a_lying_head, heads);
    tcase_add_test(tcase, what_is_shown_is_taken_without_a_bell);
    tcase_add_test(tcase, own_index_is_private);
    tcase_add_test(tcase, bell_is_wanted_once_by_who_sleeps);
    tcase_add_test(tcase, a_million_entries_between_threads);
    tcase_add_test(tcase, a_million_entries_between_processes);
}

int main(void)
{
    return run_suite("ring", add_cases);
}
