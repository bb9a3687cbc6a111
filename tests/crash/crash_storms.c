/* Too much of everything: HELLOs, registrations, messages, bells, requests, senders. The others are served
 * meanwhile, newcomers are let in, each refusal is counted, and afterwards the cache is as large as before.
 */
#include "crash_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

/* AddressSanitizer keeps what has been freed, so resident memory says nothing there. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_KEPT true
#else
#define MEMORY_IS_KEPT false
#endif

static const struct pool_shape tiny = {.segments = 1, .segment_bytes = 4096, .ring_entries = 16};

static struct story story;
static struct peer other; /* honest */
static int descriptors;   /* of the cache, with the honest one registered */

static void begin(void)
{
    story_begin(&story, "storms");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    descriptors = story_least_descriptors(&story);
}

static void check_other(void)
{
    ck_assert(larder_client_attached(other.client));
    peer_check(&other, "large", 1, LARGE);
    peer_is_served(&other);
}

static void end(void)
{
    check_other();
    story_is_settled(&story, 1);
    story_adds_up(&story);
    story_await_descriptors(&story, descriptors);
    peer_destroy(&other);
    story_end(&story);
}

/* ---- HELLOs ------------------------------------------------------------------------------------------- */

/* All in one name, from a peer that does not read its answers either. */
START_TEST(hello_storm_of_one_token)
{
    enum { HELLOS = 1000 };
    union wire_message message;
    struct liar liar;

    begin();
    liar_appear(&liar, &story);
    size_t length = liar_hello(&liar, "news", &message);
    message.wire_hello.secret++;
    uint64_t bad = story_counter(&story, COUNTER_bad_messages);
    for (int i = 0; i < HELLOS; i++) {
        liar_send(&liar, &message, length);
        if (i % 250 == 0)
            check_other();
    }
    story_await_counter(&story, COUNTER_registrations_refused, HELLOS);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_messages), bad + HELLOS);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1);
    struct mq_attr attributes;
    ck_assert_int_eq(mq_getattr(liar.endpoint.reply, &attributes), 0);
    ck_assert_int_eq(attributes.mq_curmsgs, MQ_REPLY_DEPTH);
    liar_end(&liar, false);
    end();
}
END_TEST

/* Each in another name, and most of nobody. */
START_TEST(hello_storm_of_many_tokens)
{
    enum { HELLOS = 4000 };
    union wire_message message;
    struct liar liar;

    begin();
    liar_appear(&liar, &story);
    for (uint64_t i = 0; i < HELLOS; i++) {
        size_t length = liar_hello(&liar, "news", &message);
        message.header.token = i * 0x9e3779b97f4a7c15u + 1;
        liar_send(&liar, &message, length);
        if (i % 250 == 0)
            check_other();
    }
    story_await_counter(&story, COUNTER_registrations_refused, HELLOS);
    liar_say_hello(&liar, "news"); /* and now it may */
    liar_end(&liar, true);
    end();
}
END_TEST

/* ---- registrations ------------------------------------------------------------------------------------ */

struct arrival {
    struct liar guest;
    const char *tenant;
    uint64_t refused;
};

/* Who comes faster than others are let go of may be told to try again. */
static bool is_let_in(void *context)
{
    struct arrival *arrival = context;
    union wire_message message;
    size_t length = liar_hello(&arrival->guest, arrival->tenant, &message);

    liar_send(&arrival->guest, &message, length);
    ck_assert(liar_receive(&arrival->guest, &message, TEST_DEADLINE_MS));
    if (message.header.type == WIRE_WELCOME) {
        arrival->guest.registration = message.wire_welcome.registration;
        return true;
    }
    ck_assert_uint_eq(message.header.type, WIRE_REFUSED);
    ck_assert_msg(message.wire_refused.reason == WIRE_REFUSAL_FULL ||
                      message.wire_refused.reason == WIRE_REFUSAL_RESOURCES,
                  "refused: %s", wire_refusal_text(message.wire_refused.reason));
    arrival->refused++;
    return false;
}

/* How many HELLOs were refused. Not one may fail for want of a queue: those who have left have none. */
static uint64_t come_and_go(int times, bool bye)
{
    uint64_t refused = 0;

    for (int i = 0; i < times; i++) {
        struct arrival arrival = {.tenant = i % 2 ? "news" : "shop"};

        liar_appear_with(&arrival.guest, &story, &tiny);
        ck_assert(test_wait_until(is_let_in, &arrival, TEST_DEADLINE_MS));
        liar_end(&arrival.guest, bye);
        refused += arrival.refused;
    }
    return refused;
}

START_TEST(ten_thousand_registrations_one_after_the_other)
{
    enum { WARM = 1000, TIMES = 10000 };

    /* Queues of its own, where that is permitted: the host's number of them is a bound that all tests share,
     * and that the cache must not come near by letting go of its peers' too slowly. */
    (void)unshare(CLONE_NEWIPC);
    begin();
    uint64_t refused = come_and_go(WARM, true);
    story_is_settled(&story, 1);
    uint64_t resident = story_resident(&story);
    refused += come_and_go(TIMES - WARM, true);
    story_is_settled(&story, 1);
    if (!MEMORY_IS_KEPT)
        ck_assert_uint_le(story_resident(&story), resident + resident / 50);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_registrations], TIMES + 1);
    /* Some are seen to have let go of their queue before their BYE is read. */
    ck_assert_uint_eq(row.values[COUNTER_departures] + row.values[COUNTER_proxies_reclaimed], TIMES);
    ck_assert_uint_eq(row.values[COUNTER_registrations_refused], refused);
    ck_assert_int_eq(test_ipc_names(story.instance), 1);
    end();
}
END_TEST

/* Without a word: the cache finds out by itself that nobody holds their queues any more. */
START_TEST(registrations_left_behind)
{
    enum { TIMES = 150, AT_ONCE = 50 };

    begin();
    for (int i = 0; i < TIMES; i += AT_ONCE) {
        come_and_go(AT_ONCE, false);
        story_await_gauge(&story, GAUGE_proxies, 1);
        check_other();
    }
    story_await_counter(&story, COUNTER_proxies_reclaimed, TIMES);
    ck_assert_uint_eq(story_counter(&story, COUNTER_departures), 0);
    end();
}
END_TEST

/* Who only asks is let in twice, so that one process cannot take the places that are kept for those. */
START_TEST(one_process_asks_too_often_at_a_time)
{
    struct liar askers[2], third;
    union wire_message message;

    begin();
    for (int i = 0; i < 2; i++)
        asker_open(&askers[i], &story);
    liar_appear_with(&third, &story, &tiny);
    size_t length = liar_hello(&third, "news", &message);
    message.wire_hello.role = WIRE_ROLE_ADMIN;
    liar_send(&third, &message, length);
    liar_expect_refusal(&third, WIRE_HELLO, WIRE_REFUSAL_FULL);
    asker_close(&askers[0]);
    liar_send(&third, &message, length);
    ck_assert(liar_receive(&third, &message, TEST_DEADLINE_MS));
    ck_assert_uint_eq(message.header.type, WIRE_WELCOME);
    third.registration = message.wire_welcome.registration;
    liar_end(&third, true);
    asker_close(&askers[1]);
    story_await_counter(&story, COUNTER_registrations_refused, 1);
    end();
}
END_TEST

enum { AT_A_TIME = 64 }; /* for one process */

struct crowd {
    struct test_gate full, go;
};

/* Registers until it is refused; then as one leaves, one more is let in. */
static void crowd_in(void *context)
{
    struct crowd *crowd = context;
    static struct liar liars[AT_A_TIME + 3];
    union wire_message message;

    for (int i = 0; i < AT_A_TIME; i++)
        liar_register_with(&liars[i], &story, "news", &tiny);
    for (int i = AT_A_TIME; i < AT_A_TIME + 3; i++) {
        liar_appear_with(&liars[i], &story, &tiny);
        size_t length = liar_hello(&liars[i], "news", &message);
        liar_send(&liars[i], &message, length);
        liar_expect_refusal(&liars[i], WIRE_HELLO, WIRE_REFUSAL_FULL);
    }
    test_gate_open(&crowd->full);
    ck_assert(test_gate_pass(&crowd->go, TEST_DEADLINE_MS));
    liar_end(&liars[0], true);
    liar_say_hello(&liars[AT_A_TIME], "news");
    test_gate_open(&crowd->full);
    ck_assert(test_gate_pass(&crowd->go, TEST_DEADLINE_MS));
    for (int i = 1; i < AT_A_TIME + 3; i++)
        liar_end(&liars[i], i <= AT_A_TIME);
}

START_TEST(one_process_registers_too_often_at_a_time)
{
    struct crowd crowd;
    struct peer newcomer;

    begin();
    test_gate_create(&crowd.full);
    test_gate_create(&crowd.go);
    pid_t pid = start_child(crowd_in, &crowd);
    ck_assert(test_gate_pass(&crowd.full, TEST_DEADLINE_MS));
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), AT_A_TIME + 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations_refused), 3);
    peer_create(&newcomer, &story, "news"); /* of another process */
    peer_check(&newcomer, "large", 1, LARGE);
    peer_destroy(&newcomer);
    check_other();
    test_gate_open(&crowd.go);
    ck_assert(test_gate_pass(&crowd.full, TEST_DEADLINE_MS));
    story_await_gauge(&story, GAUGE_proxies, AT_A_TIME + 1);
    test_gate_open(&crowd.go);
    ck_assert_int_eq(end_child(pid, 0), 0);
    test_gate_destroy(&crowd.full);
    test_gate_destroy(&crowd.go);
    story_is_settled(&story, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations_refused), 3);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), AT_A_TIME + 3);
    end();
}
END_TEST

/* ---- the command queue -------------------------------------------------------------------------------- */

enum { SENT_BEFORE = 20 }; /* by each sender, before the story goes on */

struct flood {
    struct test_gate begun;
    uint64_t registration; /* of whom the bells are said to be; 0: of nobody */
};

static void open_gate_once(struct flood *flood, uint64_t i)
{
    if (i == SENT_BEFORE)
        test_gate_open(&flood->begun);
}

/* Stands in the kernel's line for the command queue, always: whoever only looks finds it full. */
static void send_for_ever(void *context)
{
    struct flood *flood = context;
    union wire_message message;
    char name[NAMES_BYTES];

    names_command_queue(name, story.instance);
    mqd_t queue = mq_open(name, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ne(queue, -1);
    for (uint64_t i = 1;; i++) {
        size_t length = wire_prepare(&message, i % 2 ? WIRE_BELL : WIRE_STATS, i);
        if (flood->registration && i % 2)
            message.wire_bell.registration = flood->registration;
        if (mq_send(queue, (const char *)&message, length, 0))
            _exit(1);
        open_gate_once(flood, i);
    }
}

static void start_senders(struct flood *flood, pid_t *pids, int count, uint64_t registration)
{
    flood->registration = registration;
    test_gate_create(&flood->begun);
    for (int i = 0; i < count; i++)
        pids[i] = start_child(send_for_ever, flood);
    for (int i = 0; i < count; i++)
        ck_assert(test_gate_pass(&flood->begun, TEST_DEADLINE_MS));
    test_gate_destroy(&flood->begun);
}

static void stop_senders(const pid_t *pids, int count)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(end_child(pids[i], SIGKILL), 128 + SIGKILL);
}

START_TEST(registered_ones_are_served_beside_blocked_senders)
{
    enum { SENDERS = 12 };
    struct flood flood;
    pid_t senders[SENDERS];

    begin();
    uint64_t bad = story_counter(&story, COUNTER_bad_messages);
    start_senders(&flood, senders, SENDERS, 0);
    for (int i = 0; i < 20; i++)
        check_other();
    stop_senders(senders, SENDERS);
    ck_assert_uint_gt(story_counter(&story, COUNTER_bad_messages), bad + SENDERS * SENT_BEFORE / 2);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1);
    end();
}
END_TEST

START_TEST(newcomers_are_let_in_beside_blocked_senders)
{
    enum { SENDERS = 48, NEWCOMERS = 3, PATIENCE = 4 };
    struct flood flood;
    pid_t senders[SENDERS];

    begin();
    start_senders(&flood, senders, SENDERS, 0);
    for (int i = 0; i < NEWCOMERS; i++) {
        struct peer newcomer;
        struct larder_event event = {.kind = LARDER_EVENT_DETACHED};

        story.runs = false; /* it may take longer than elsewhere */
        peer_create(&newcomer, &story, "news");
        story.runs = true;
        for (int wait = 0; wait < PATIENCE && event.kind != LARDER_EVENT_ATTACHED; wait++)
            peer_next(&newcomer, &event, TEST_DEADLINE_MS);
        ck_assert_int_eq(event.kind, LARDER_EVENT_ATTACHED);
        peer_check(&newcomer, "large", 1, LARGE);
        peer_is_served(&newcomer);
        peer_destroy(&newcomer);
    }
    stop_senders(senders, SENDERS);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1 + NEWCOMERS);
    end();
}
END_TEST

static uint64_t registration_of_other(void)
{
    static struct wire_row rows[16];
    int count = story_rows(&story, rows, ROWS(rows));

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY)
            return rows[i].epoch;
    }
    ck_abort_msg("the honest proxy is not registered");
}

/* Bells in the honest one's own name: forged, but they only make the cache look at its ring. */
START_TEST(bells_of_a_registered_one_without_end)
{
    enum { SENDERS = 3 };
    struct flood flood;
    pid_t senders[SENDERS];

    begin();
    start_senders(&flood, senders, SENDERS, registration_of_other());
    for (int i = 0; i < 20; i++)
        check_other();
    stop_senders(senders, SENDERS);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 0);
    end();
}
END_TEST

/* ---- requests ----------------------------------------------------------------------------------------- */

struct torrent {
    struct test_gate begun;
    enum wire_op op;
};

static void take_everything(struct ring *completions)
{
    struct wire_completion completion;

    while (ring_take(completions, &completion) == RING_OK) {
    }
    ring_consumed(completions);
}

/* As fast as an honest proxy can. Its ring is never empty for long, and it never sleeps. */
static void ask_for_ever(struct liar *liar, struct torrent *torrent)
{
    struct segment_pool *pool = &liar->endpoint.pool;

    for (bool begun = false;;) {
        struct wire_request request = liar_request(liar, torrent->op);
        request.segment = 1;
        request.key_length = 5;
        segment_post_read(pool, 1);
        /* A completion ring without room would end the registration. */
        if (pool->requests.own - pool->completions.own < pool->shape.ring_entries &&
            ring_put(&pool->requests, &request) == RING_OK)
            ring_publish(&pool->requests);
        if (ring_wants_bell(&pool->requests))
            liar_bell(liar);
        take_everything(&pool->completions);
        if (!begun && pool->completions.own >= 1000) {
            test_gate_open(&torrent->begun);
            begun = true;
        }
    }
}

/* Faster: requests without an answer, put once; from then on the ring is said to be full, always. */
static void pretend_for_ever(struct liar *liar, struct torrent *torrent)
{
    struct ring *requests = &liar->endpoint.pool.requests;
    struct wire_request request = liar_request(liar, WIRE_OP_RELEASE);

    while (ring_put(requests, &request) == RING_OK) {
    }
    ring_publish(requests);
    for (bool begun = false;;) {
        uint32_t head = atomic_load(&requests->shared->head);
        atomic_store(&requests->shared->tail, head + requests->capacity);
        if (ring_wants_bell(requests))
            liar_bell(liar);
        if (!begun && head >= 1000) {
            test_gate_open(&torrent->begun);
            begun = true;
        }
    }
}

static void be_a_torrent(void *context)
{
    struct torrent *torrent = context;
    static const struct pool_shape shape = {.segments = 4, .segment_bytes = 65536, .ring_entries = 16384};
    struct liar liar;

    liar_register_with(&liar, &story, "shop", &shape);
    if (torrent->op == WIRE_OP_RELEASE)
        pretend_for_ever(&liar, torrent);
    else
        ask_for_ever(&liar, torrent);
}

static const enum wire_op torrents[] = {WIRE_OP_LOOKUP, WIRE_OP_READ, WIRE_OP_RELEASE};

START_TEST(requests_without_end)
{
    enum { ASKERS = 3 };
    struct torrent torrent = {.op = torrents[_i]};
    pid_t askers[ASKERS];

    begin();
    test_gate_create(&torrent.begun);
    for (int i = 0; i < ASKERS; i++)
        askers[i] = start_child(be_a_torrent, &torrent);
    for (int i = 0; i < ASKERS; i++)
        ck_assert(test_gate_pass(&torrent.begun, TEST_DEADLINE_MS));
    test_gate_destroy(&torrent.begun);
    for (int i = 0; i < 20; i++)
        check_other();
    stop_senders(askers, ASKERS);
    story_await_counter(&story, COUNTER_proxies_reclaimed, ASKERS);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_ge(row.values[COUNTER_requests], ASKERS * 1000);
    if (torrent.op != WIRE_OP_LOOKUP) /* of nothing that they have pinned */
        ck_assert_uint_ge(row.values[COUNTER_fenced], ASKERS * 1000);
    else /* a segment that is handed over once serves one of those that name it */
        ck_assert_uint_ge(row.values[COUNTER_misses] + row.values[COUNTER_bad_requests], ASKERS * 1000);
    end();
}
END_TEST

/* ---- the deaf ----------------------------------------------------------------------------------------- */

/* Wants a bell for every answer, and reads none. */
START_TEST(reply_queue_that_is_full_for_ever)
{
    enum { TIMES = 3000 };
    struct liar liar;

    begin();
    liar_register_with(&liar, &story, "news", &tiny);
    uint64_t bells = story_counter(&story, COUNTER_bells_sent);
    for (int i = 0; i < TIMES; i++) {
        struct wire_request request = liar_request(&liar, WIRE_OP_READ);
        ring_arm(&liar.endpoint.pool.completions);
        liar_expect(&liar, &request, WIRE_STATUS_FENCED);
        if (i % 250 == 0)
            check_other();
    }
    struct mq_attr attributes;
    ck_assert_int_eq(mq_getattr(liar.endpoint.reply, &attributes), 0);
    ck_assert_int_eq(attributes.mq_curmsgs, MQ_REPLY_DEPTH);
    ck_assert_uint_ge(story_counter(&story, COUNTER_bells_sent), bells + TIMES);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), TIMES);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 0);
    liar_end(&liar, true);
    story_await_counter(&story, COUNTER_departures, 1);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, hello_storm_of_one_token);
    tcase_add_test(tcase, hello_storm_of_many_tokens);
    tcase_add_test(tcase, ten_thousand_registrations_one_after_the_other);
    tcase_add_test(tcase, registrations_left_behind);
    tcase_add_test(tcase, one_process_asks_too_often_at_a_time);
    tcase_add_test(tcase, one_process_registers_too_often_at_a_time);
    tcase_add_test(tcase, registered_ones_are_served_beside_blocked_senders);
    tcase_add_test(tcase, newcomers_are_let_in_beside_blocked_senders);
    tcase_add_test(tcase, bells_of_a_registered_one_without_end);
    tcase_add_loop_test(tcase, requests_without_end, 0, ROWS(torrents));
    tcase_add_test(tcase, reply_queue_that_is_full_for_ever);
}

int main(void)
{
    return crash_main("crash_storms", add_cases);
}
