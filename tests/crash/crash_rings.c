/* Rings whose indices run backwards or overflow, and entries, lengths, keys and semaphores that change while
 * the cache reads them: it copies first, so whatever it sees is one request or none. */
#include "crash_support.h"
#include "ring_late.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

static struct story story;
static struct peer other; /* honest, of the same tenant */
static struct liar liar;

/* ---- backwards ---------------------------------------------------------------------------------------- */

static void begin(void)
{
    story_begin(&story, "rings");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    liar_register(&liar, &story, "news");
}

static void end(bool dropped)
{
    peer_check(&other, "large", 1, LARGE);
    peer_is_served(&other);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), dropped);
    liar_end(&liar, !dropped);
    story_is_settled(&story, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_departures), !dropped);
    story_adds_up(&story);
    peer_destroy(&other);
    story_end(&story);
}

static void look_up(void)
{
    struct wire_completion completion = liar_check(&liar, 1, "large", 1);
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    request.segment = 2;
    request.handle = completion.handle;
    request.value = 1000;
    request.length = 4096;
    completion = liar_expect(&liar, &request, WIRE_STATUS_OK);
    ck_assert_uint_eq(completion.length, 4096);
    ck_assert(is_pattern(segment_payload(&liar.endpoint.pool, 2), 1, 1000, 4096));
    liar_take_back(&liar, 2);
    liar_release(&liar, request.handle);
}

/* How far back from where the cache has read to; the ring has 16 entries. */
static const uint32_t steps_back[] = {1, 2, 3, 9, 16, 17, 0x7fffffffu};

START_TEST(tail_that_runs_backwards_ends_the_registration)
{
    begin();
    for (int i = 0; i < 3; i++)
        look_up();
    story_await_gauge(&story, GAUGE_pins, 0); /* the last RELEASE, which nothing answers */
    uint64_t served = story_counter(&story, COUNTER_requests);
    atomic_store(&liar.endpoint.pool.requests.shared->tail, liar.endpoint.pool.requests.own - steps_back[_i]);
    liar_bell(&liar);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    ck_assert_uint_eq(story_counter(&story, COUNTER_requests), served);
    end(true);
}
END_TEST

/* The place up to which it has taken completions: nine were, so the cache has room for seven more at most. */
START_TEST(head_that_runs_backwards_ends_the_registration)
{
    begin();
    for (int i = 0; i < 4; i++) /* eight completions */
        look_up();
    atomic_store(&liar.endpoint.pool.completions.shared->head, 0);
    for (int i = 0; i < 8; i++) { /* the ring is full, as far as the cache knows */
        struct wire_request request = liar_request(&liar, WIRE_OP_READ);
        liar_put(&liar, &request);
        story_await_counter(&story, COUNTER_fenced, (uint64_t)i + 1);
    }
    atomic_store(&liar.endpoint.pool.completions.shared->head, 0u - steps_back[_i]);
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    liar_put(&liar, &request);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    end(true);
}
END_TEST

/* ---- several at once ---- */

/* Its completion is the next one, and a hit brings the right bytes. */
static void expect_in_turn(const struct wire_request *request, enum wire_status status)
{
    struct wire_completion completion = liar_completion(&liar);

    ck_assert_uint_eq(completion.cookie, request->cookie);
    ck_assert_msg(completion.status == status, "status %d instead of %d", (int)completion.status,
                  (int)status);
    if (status == WIRE_STATUS_HIT)
        ck_assert(is_pattern(segment_payload(&liar.endpoint.pool, request->segment) + completion.meta_length,
                             2, 0, completion.length));
}

static struct wire_request lookup_of(uint32_t segment, uint16_t key_length)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);

    request.segment = segment;
    request.key_length = key_length;
    return request;
}

/* Look-ups among which some lie: each is answered as if it had come alone, and in the order of the ring. */
START_TEST(lies_among_others_are_told_from_them)
{
    enum { MOST = 12 };
    struct wire_request requests[MOST];
    static const enum wire_status statuses[MOST] = {
        WIRE_STATUS_HIT,    WIRE_STATUS_MISS,   WIRE_STATUS_BAD, WIRE_STATUS_FENCED,
        WIRE_STATUS_BAD,    WIRE_STATUS_BAD,    WIRE_STATUS_HIT, WIRE_STATUS_MISS,
        WIRE_STATUS_FENCED, WIRE_STATUS_FENCED, WIRE_STATUS_HIT, WIRE_STATUS_MISS,
    };

    begin();
    peer_store(&other, "small", 2, 100);
    uint64_t hits = story_counter(&story, COUNTER_hits), misses = story_counter(&story, COUNTER_misses);
    for (uint32_t i = 0; i < 3; i++)
        liar_hand_over(&liar, i == 2 ? 6 : i, "small");
    liar_hand_over(&liar, 3, "absent");
    liar_hand_over(&liar, 5, "absent");
    requests[0] = lookup_of(0, 5);
    requests[1] = lookup_of(0, 5);     /* the same segment: what it has by then is the answer */
    requests[2] = lookup_of(99999, 5); /* no segment */
    requests[3] = lookup_of(1, 5);
    requests[3].registration ^= 1; /* of another life; its segment stays as it is */
    requests[4] = lookup_of(2, 5); /* never handed over */
    requests[5] = lookup_of(1, 0);
    requests[6] = lookup_of(1, 5);
    requests[7] = lookup_of(3, 6);
    requests[8] = liar_request(&liar, WIRE_OP_READ);
    requests[9] = liar_request(&liar, WIRE_OP_FILL_END);
    requests[10] = lookup_of(6, 5);
    requests[11] = lookup_of(5, 6);
    for (int i = 0; i < MOST; i++)
        ck_assert_int_eq(ring_put(&liar.endpoint.pool.requests, &requests[i]), RING_OK);
    ring_publish(&liar.endpoint.pool.requests);
    liar_bell(&liar);
    for (int i = 0; i < MOST; i++)
        expect_in_turn(&requests[i], statuses[i]);
    ck_assert_uint_eq(story_counter(&story, COUNTER_hits), hits + 3);
    ck_assert_uint_eq(story_counter(&story, COUNTER_misses), misses + 3);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_requests), 3);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), 3);
    end(false);
}
END_TEST

/* ---- overflow ----------------------------------------------------------------------------------------- */

static void begin_late(void)
{
    story_begin(&story, "late");
    story.ring_begin = RING_LATE;
    story_start_program(&story, "cache_server_late", NULL);
    liar_register(&liar, &story, "news");
}

/* The object of look_up(), in pieces of a segment. */
static void late_store(void)
{
    uint64_t lease = liar_lease(&liar, "large");
    struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);

    request.segment = 0;
    request.handle = lease;
    request.key_length = 5;
    request.value = LARGE;
    request.fresh_until = request.keep_until = soon_ms(600000);
    liar_hand_over(&liar, 0, "large");
    liar_expect(&liar, &request, WIRE_STATUS_OK);
    for (uint64_t offset = 0; offset < LARGE; offset += 4096) {
        uint32_t length = LARGE - offset < 4096 ? (uint32_t)(LARGE - offset) : 4096;
        request = liar_request(&liar, WIRE_OP_FILL_DATA);
        request.segment = 3;
        request.handle = lease;
        request.value = offset;
        request.length = length;
        ck_assert(segment_win_write(&liar.endpoint.pool, 3));
        fill_pattern(segment_payload(&liar.endpoint.pool, 3), 1, offset, length);
        segment_post_read(&liar.endpoint.pool, 3);
        liar_expect(&liar, &request, WIRE_STATUS_OK);
    }
    request = liar_request(&liar, WIRE_OP_FILL_END);
    request.handle = lease;
    request.value = LARGE;
    liar_expect(&liar, &request, WIRE_STATUS_OK);
}

static void end_late(bool dropped)
{
    liar_end(&liar, !dropped);
    story_is_settled(&story, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), dropped);
    story_adds_up(&story);
    story_end(&story);
}

START_TEST(indices_overflow_unnoticed)
{
    begin_late();
    ck_assert_uint_eq(liar.endpoint.pool.requests.own, RING_LATE);
    late_store(); /* 23 requests: over the edge in its middle */
    ck_assert_uint_lt(liar.endpoint.pool.requests.own, RING_LATE);
    for (int i = 0; i < 20; i++)
        look_up();
    story_await_gauge(&story, GAUGE_pins, 0);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_requests], liar.endpoint.pool.requests.own - RING_LATE);
    ck_assert_uint_eq(row.values[COUNTER_fenced] + row.values[COUNTER_bad_requests], 0);
    ck_assert_uint_eq(row.values[COUNTER_hits], 20);
    end_late(false);
}
END_TEST

/* Lies told on this side of the edge about the other side. */
static const uint32_t lies[] = {17, 0x80000000u, UINT32_MAX, 0u - 16u};

START_TEST(lies_across_the_overflow_are_seen)
{
    begin_late();
    if (_i % 2)
        late_store();
    struct ring *requests = &liar.endpoint.pool.requests;
    atomic_store(&requests->shared->tail, requests->own + lies[_i / 2]);
    liar_bell(&liar);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    end_late(true);
}
END_TEST

/* ---- changed while being read ------------------------------------------------------------------------- */

enum { CHANGE_ENTRIES = 1, CHANGE_PAYLOADS = 2, CHANGE_SEMAPHORES = 4, CHANGE_ALL = 7 };

struct scribbler {
    pthread_t thread;
    int what;
    uint64_t state;
    _Atomic bool enough;
};

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

static uint64_t odd_number(uint64_t *state)
{
    static const uint64_t odd[] = {0, 1, 5, 4096, 4097, 16384, 16385, UINT16_MAX, UINT32_MAX, UINT64_MAX};

    return odd[draw(state, ROWS(odd))];
}

/* A request that makes some sense, so that the cache goes on into it. */
static struct wire_request any_request(uint64_t *state)
{
    return (struct wire_request){
        .op = (uint8_t)(1 + draw(state, WIRE_OP_END - 1)),
        .flags = (uint8_t)draw(state, 8),
        .tags_length = (uint16_t)(draw(state, 2) ? draw(state, 8) : odd_number(state)),
        .segment = (uint32_t)draw(state, 9), /* the last does not exist */
        .registration = liar.registration,
        .cookie = draw(state, 1000),
        .handle = draw(state, 4) << 32 | draw(state, 4),
        .value = draw(state, 2) ? draw(state, 8192) : odd_number(state),
        .key_length = (uint16_t)(draw(state, 2) ? draw(state, 8) : odd_number(state)),
        .meta_length = (uint16_t)(draw(state, 2) ? draw(state, 100) : odd_number(state)),
        .length = (uint32_t)(draw(state, 2) ? draw(state, 4096) : odd_number(state)),
        .fresh_until = (int64_t)odd_number(state),
        .keep_until = INT64_MAX,
    };
}

/* One word of some entry, so that it belongs to two requests. */
static void change_entry(uint64_t *state)
{
    uint64_t words[RING_ENTRY_BYTES / 8];
    struct wire_request request = any_request(state);
    uint64_t word = draw(state, ROWS(words));

    memcpy(words, &request, sizeof(words));
    atomic_store_explicit(&liar.endpoint.pool.requests.entries[draw(state, 16) * ROWS(words) + word],
                          words[word], memory_order_relaxed);
}

static void change_payload(uint64_t *state)
{
    volatile uint8_t *payload = segment_payload(&liar.endpoint.pool, (uint32_t)draw(state, 8));

    for (int i = 0; i < 16; i++)
        payload[draw(state, 2) ? (uint64_t)i : draw(state, 4096)] = (uint8_t)draw(state, 256);
}

static void change_semaphores(uint64_t *state)
{
    struct segment_header *header = segment_header(&liar.endpoint.pool, (uint32_t)draw(state, 8));

    atomic_store_explicit(&header->wsem.value, (uint32_t)draw(state, 3), memory_order_relaxed);
    atomic_store_explicit(&header->rsem.value, (uint32_t)draw(state, 3), memory_order_relaxed);
}

static void *scribble(void *context)
{
    struct scribbler *scribbler = context;

    while (!atomic_load_explicit(&scribbler->enough, memory_order_relaxed)) {
        if (scribbler->what & CHANGE_ENTRIES)
            change_entry(&scribbler->state);
        if (scribbler->what & CHANGE_PAYLOADS)
            change_payload(&scribbler->state);
        if (scribbler->what & CHANGE_SEMAPHORES)
            change_semaphores(&scribbler->state);
    }
    return NULL;
}

static bool requests_are_read(void *context)
{
    const struct ring *requests = context;

    return atomic_load(&requests->shared->head) == requests->own;
}

static void take_completions(void)
{
    struct ring *completions = &liar.endpoint.pool.completions;
    struct wire_completion completion;

    while (ring_take(completions, &completion) == RING_OK)
        ck_assert_uint_lt(completion.status, WIRE_STATUS_END);
    ring_consumed(completions);
}

/* Eight requests at a time, into entries that change all the while; every answer is taken away, so that there
 * is always room for the next. */
static void ask_for(uint64_t requests, uint64_t *state)
{
    struct segment_pool *pool = &liar.endpoint.pool;

    for (uint64_t asked = 0; asked < requests; asked += 8) {
        for (int i = 0; i < 8; i++) {
            struct wire_request request = any_request(state);
            if (request.op != WIRE_OP_READ) /* mostly handed over as it should be */
                segment_post_read(pool, request.segment % 8);
            else
                segment_post_write(pool, request.segment % 8);
            ck_assert_int_eq(ring_put(&pool->requests, &request), RING_OK);
        }
        ring_publish(&pool->requests);
        if (ring_wants_bell(&pool->requests))
            liar_bell(&liar);
        for (int i = 0; i < 1000 && !requests_are_read(&pool->requests); i++)
            sched_yield();
        ck_assert(test_wait_until(requests_are_read, &pool->requests, TEST_DEADLINE_MS));
        take_completions();
    }
}

static struct wire_row row_of_liar(void)
{
    static struct wire_row rows[16];
    int count = story_rows(&story, rows, ROWS(rows));

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && rows[i].epoch == liar.registration)
            return rows[i];
    }
    ck_abort_msg("the liar is not registered any more");
}

static const int whats[] = {CHANGE_ENTRIES, CHANGE_PAYLOADS, CHANGE_SEMAPHORES, CHANGE_ALL};

START_TEST(changed_while_it_is_read)
{
    enum { ROUNDS = 12, REQUESTS = 1600 };
    struct scribbler scribbler = {.what = whats[_i], .state = (uint64_t)_i + 1};
    uint64_t state = 77 + (uint64_t)_i, requests = 0;

    begin();
    ck_assert_int_eq(pthread_create(&scribbler.thread, NULL, scribble, &scribbler), 0);
    for (int round = 0; round < ROUNDS; round++) {
        ask_for(REQUESTS, &state);
        requests += REQUESTS;
        peer_check(&other, "large", 1, LARGE);
    }
    atomic_store(&scribbler.enough, true);
    pthread_join(scribbler.thread, NULL);
    struct wire_row row = row_of_liar();
    ck_assert_uint_gt(row.values[COUNTER_bad_requests], 0);
    ck_assert_uint_gt(row.values[COUNTER_fenced], 0);
    ck_assert_uint_lt(row.values[COUNTER_bad_requests] + row.values[COUNTER_fenced], requests);
    ck_assert_uint_eq(row.values[COUNTER_requests], requests);
    ck_assert_uint_eq(story_counter(&story, COUNTER_faults_caught), 0);
    end(false);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, tail_that_runs_backwards_ends_the_registration, 0, ROWS(steps_back));
    tcase_add_loop_test(tcase, head_that_runs_backwards_ends_the_registration, 0, ROWS(steps_back));
    tcase_add_test(tcase, lies_among_others_are_told_from_them);
    tcase_add_test(tcase, indices_overflow_unnoticed);
    tcase_add_loop_test(tcase, lies_across_the_overflow_are_seen, 0, 2 * ROWS(lies));
    tcase_add_loop_test(tcase, changed_while_it_is_read, 0, ROWS(whats));
}

int main(void)
{
    return crash_main("crash_rings", add_cases);
}
