/* What administrators ask and order against a real cache: keys that are stored, leased or hot; proxies that
 * are drained, also dead, frozen, deaf or lying ones; and questions that are wrong, or far too many. */
#include "crash_support.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct story story;
static struct peer one, shop;
static struct liar admin;

static void begin_with(const char *const arguments[])
{
    story_begin(&story, "admin");
    story_start_cache(&story, arguments);
    peer_create(&one, &story, "news");
    peer_create(&shop, &story, "shop");
    asker_open(&admin, &story);
}

static void begin(void)
{
    begin_with(NULL);
}

static void end(void)
{
    asker_close(&admin);
    peer_is_served(&one);
    peer_is_served(&shop);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 0);
    story_is_settled(&story, 2);
    story_adds_up(&story);
    peer_destroy(&one);
    peer_destroy(&shop);
    story_end(&story);
}

static void prove(union wire_message *message, enum wire_type type)
{
    wire_prepare(message, type, admin.endpoint.token);
    message->wire_show.registration = admin.registration; /* at the same place in all of them */
    message->wire_show.secret = admin.endpoint.secret;
}
_Static_assert(offsetof(struct wire_top, secret) == offsetof(struct wire_show, secret) &&
                   offsetof(struct wire_drain, secret) == offsetof(struct wire_show, secret) &&
                   offsetof(struct wire_drain, registration) == offsetof(struct wire_top, registration),
               "one way to prove oneself");

static union wire_message ask(const union wire_message *question, enum wire_type type)
{
    union wire_message reply;

    liar_send(&admin, question, question->header.length);
    ck_assert(liar_receive(&admin, &reply, TEST_DEADLINE_MS));
    ck_assert_msg(reply.header.type == type, "%s instead of %s: %s", wire_type_name(reply.header.type),
                  wire_type_name(type), wire_refusal_text(reply.wire_refused.reason));
    return reply;
}

/* ---- show ---------------------------------------------------------------------------------------------- */

static struct wire_shown show(const char *tenant, const char *key)
{
    union wire_message question;

    prove(&question, WIRE_SHOW);
    question.wire_show.length = (uint32_t)strlen(key);
    snprintf(question.wire_show.tenant, sizeof(question.wire_show.tenant), "%s", tenant);
    liar_hand_over(&admin, 0, key);
    struct wire_shown shown = ask(&question, WIRE_SHOWN).wire_shown;
    if (shown.flags & WIRE_SHOWN_STORED)
        liar_take_back(&admin, 0);
    return shown;
}

START_TEST(what_is_stored_is_shown)
{
    begin();
    peer_store(&one, "page", 1, 100000);
    struct wire_shown shown = show("news", "page");
    ck_assert_uint_eq(shown.flags, WIRE_SHOWN_STORED);
    ck_assert_uint_eq(shown.size, 100000);
    ck_assert_uint_ge(shown.charge, 100000);
    ck_assert_uint_eq(shown.pins, 0);
    ck_assert_str_eq(shown.policy, "lru");
    ck_assert_int_gt(shown.fresh_until, shown.now);
    ck_assert_int_ge(shown.keep_until, shown.fresh_until);
    uint64_t handle = peer_pin(&one, "page");
    shown = show("news", "page");
    ck_assert_uint_eq(shown.pins, 1);
    ck_assert_str_eq(shown.queue, "pinned");
    larder_release(one.client, handle);
    ck_assert_uint_eq(show("shop", "page").flags, 0);
    ck_assert_uint_eq(show("news", "pag").flags, 0);
    uint64_t hits = story_counter(&story, COUNTER_hits);
    show("news", "page");
    ck_assert_uint_eq(story_counter(&story, COUNTER_hits), hits); /* nobody has used it */
    end();
}
END_TEST

START_TEST(lease_and_fill_are_shown)
{
    begin();
    uint64_t lease = peer_lease(&one, "page");
    struct wire_shown shown = show("news", "page");
    ck_assert_uint_eq(shown.flags, WIRE_SHOWN_LEASED);
    ck_assert_uint_eq(shown.holder, (uint32_t)getpid());
    ck_assert_int_eq(peer_begin_fill(&one, lease, "page", 5000), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(&one, lease, 1, 0, 2000), LARDER_OK);
    shown = show("news", "page");
    ck_assert_uint_eq(shown.flags, WIRE_SHOWN_LEASED | WIRE_SHOWN_FILLING);
    ck_assert_uint_eq(shown.filled, 2000);
    ck_assert_uint_eq(shown.size, 0);
    ck_assert_int_eq(peer_fill_data(&one, lease, 1, 2000, 3000), LARDER_OK);
    ck_assert_int_eq(peer_end_fill(&one, lease, 5000), LARDER_OK);
    ck_assert_uint_eq(show("news", "page").flags, WIRE_SHOWN_STORED);
    end();
}
END_TEST

static const struct wrong {
    enum wire_type type;
    const char *tenant;
    uint32_t segment, length; /* or `most` */
    bool handed_over;
    enum wire_refusal reason;
} wrongs[] = {
    {WIRE_SHOW, "nobody", 0, 4, true, WIRE_REFUSAL_NO_TENANT},
    {WIRE_SHOW, "", 0, 4, true, WIRE_REFUSAL_NO_TENANT},
    {WIRE_SHOW, "news", 0, 0, true, WIRE_REFUSAL_MALFORMED},
    {WIRE_SHOW, "news", 0, WIRE_MAX_KEY + 1, true, WIRE_REFUSAL_MALFORMED},
    {WIRE_SHOW, "news", 0, UINT32_MAX, true, WIRE_REFUSAL_MALFORMED},
    {WIRE_SHOW, "news", 1, 4, true, WIRE_REFUSAL_MALFORMED},
    {WIRE_SHOW, "news", UINT32_MAX, 4, true, WIRE_REFUSAL_MALFORMED},
    {WIRE_SHOW, "news", 0, 4, false, WIRE_REFUSAL_MALFORMED},
    {WIRE_TOP, "nobody", 0, 1, false, WIRE_REFUSAL_NO_TENANT},
    {WIRE_TOP, "news", 0, 0, false, WIRE_REFUSAL_MALFORMED},
    {WIRE_TOP, "news", 1, 1, false, WIRE_REFUSAL_MALFORMED},
    {WIRE_TOP, "", UINT32_MAX, 1, false, WIRE_REFUSAL_MALFORMED},
    {WIRE_TOP, "news", 0, 1, true, WIRE_REFUSAL_MALFORMED}, /* not left writable */
};

static void make_wrong(const struct wrong *wrong, union wire_message *message)
{
    prove(message, wrong->type);
    if (wrong->type == WIRE_SHOW) {
        message->wire_show.segment = wrong->segment;
        message->wire_show.length = wrong->length;
        snprintf(message->wire_show.tenant, sizeof(message->wire_show.tenant), "%s", wrong->tenant);
    } else {
        message->wire_top.segment = wrong->segment;
        message->wire_top.most = wrong->length;
        snprintf(message->wire_top.tenant, sizeof(message->wire_top.tenant), "%s", wrong->tenant);
    }
}

START_TEST(wrong_question_is_refused)
{
    union wire_message question;

    begin();
    peer_store(&one, "page", 1, 100);
    for (int i = 0; i < 1000; i++) /* so that there would be something to answer */
        peer_check(&one, "page", 1, 100);
    make_wrong(&wrongs[_i], &question);
    if (wrongs[_i].handed_over)
        liar_hand_over(&admin, 0, "page");
    liar_send(&admin, &question, question.header.length);
    liar_expect_refusal(&admin, wrongs[_i].type, wrongs[_i].reason);
    if (wrongs[_i].handed_over) /* what is not the cache's to write has not been written */
        ck_assert_mem_eq(segment_payload(&admin.endpoint.pool, 0), "page", 4);
    peer_check(&one, "page", 1, 100);
    end();
}
END_TEST

static const enum wire_type questions[] = {WIRE_TOP, WIRE_SHOW, WIRE_DRAIN};

/* Proxies are no administrators; neither is who does not know the secret. */
START_TEST(others_are_refused)
{
    union wire_message question, reply;
    struct liar liar;
    enum wire_type type = questions[_i];

    begin();
    liar_register(&liar, &story, "news");
    prove(&question, type);
    question.header.token = liar.endpoint.token;
    question.wire_show.registration = liar.registration;
    question.wire_show.secret = liar.endpoint.secret;
    liar_send(&liar, &question, question.header.length);
    liar_expect_refusal(&liar, type, WIRE_REFUSAL_ROLE);
    prove(&question, type);
    question.wire_show.secret++;
    liar_send(&admin, &question, question.header.length);
    ck_assert(liar_receive(&admin, &reply, TEST_DEADLINE_MS));
    ck_assert_uint_eq(reply.header.type, WIRE_REFUSED);
    ck_assert_uint_eq(reply.wire_refused.reason, WIRE_REFUSAL_STALE);
    liar_end(&liar, true);
    end();
}
END_TEST

START_TEST(pool_without_pages)
{
    union wire_message question;

    begin();
    prove(&question, questions[_i]);
    if (questions[_i] == WIRE_SHOW) {
        question.wire_show.length = 4;
        snprintf(question.wire_show.tenant, sizeof(question.wire_show.tenant), "news");
        liar_hand_over(&admin, 0, "page");
    } else {
        question.wire_top.most = 1;
    }
    ck_assert_int_eq(ftruncate(admin.endpoint.pool.fd, 4096), 0);
    liar_send(&admin, &question, question.header.length);
    story_await_counter(&story, COUNTER_faults_caught, 1);
    liar_end(&admin, false);
    asker_open(&admin, &story);
    end();
}
END_TEST

/* ---- top ----------------------------------------------------------------------------------------------- */

static uint32_t top(const char *tenant, struct wire_top_row *rows, uint32_t most)
{
    struct segment_pool *pool = &admin.endpoint.pool;
    union wire_message question;
    uint32_t count;

    prove(&question, WIRE_TOP);
    question.wire_top.most = most;
    snprintf(question.wire_top.tenant, sizeof(question.wire_top.tenant), "%s", tenant);
    count = ask(&question, WIRE_TOP_ROWS).wire_top_rows.rows;
    ck_assert(segment_win_read(pool, 0));
    memcpy(rows, segment_payload(pool, 0), count * sizeof(*rows));
    segment_post_write(pool, 0);
    return count;
}

/* Also what is not there: a thousand look-ups of one key, and some of another in a tenant apart. */
START_TEST(hot_key_is_known)
{
    static struct wire_top_row rows[4 * WIRE_TOP_MOST];
    uint32_t count;

    begin();
    peer_store(&one, "page", 1, 100);
    do { /* samples are taken at random: it takes as many as it takes */
        for (int i = 0; i < 200; i++)
            peer_check(&one, "page", 1, 100);
        peer_check_miss(&shop, "nothing");
        count = top("news", rows, 10);
    } while (count == 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rows[0].tenant, "news");
    ck_assert_uint_eq(rows[0].kind, WIRE_TOP_KEY);
    ck_assert_uint_eq(rows[0].text_length, 4);
    ck_assert_mem_eq(rows[0].text, "page", 4);
    count = top("", rows, WIRE_TOP_MOST);
    ck_assert_uint_ge(count, 1);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_uint_eq(rows[i].text_length, strcmp(rows[i].tenant, "news") == 0 ? 4 : 7);
    end();
}
END_TEST

/* ---- drain --------------------------------------------------------------------------------------------- */

static union wire_message order(uint64_t proxy, pid_t pid, uint32_t flags)
{
    union wire_message message;

    prove(&message, WIRE_DRAIN);
    message.wire_drain.proxy = proxy;
    message.wire_drain.pid = (uint32_t)pid;
    message.wire_drain.flags = flags;
    return message;
}

static uint32_t drain(uint64_t proxy, pid_t pid, uint32_t flags)
{
    union wire_message message = order(proxy, pid, flags);

    return ask(&message, WIRE_DRAINED).wire_drained.proxies;
}

static uint64_t find_proxy(const char *tenant, uint32_t *state)
{
    static struct wire_row rows[64];
    int count = asker_rows(&admin, rows, 64);

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && strcmp(rows[i].name, tenant) == 0) {
            *state = rows[i].state;
            return rows[i].epoch;
        }
    }
    ck_abort_msg("no proxy of %s", tenant);
    return 0;
}

static void expect_state(const char *tenant, uint32_t state)
{
    uint32_t found;

    find_proxy(tenant, &found);
    ck_assert_uint_eq(found, state);
}

START_TEST(drained_proxy_is_told_and_served)
{
    uint32_t state;

    begin();
    uint64_t proxy = find_proxy("news", &state);
    ck_assert_uint_eq(drain(proxy, 0, WIRE_DRAIN_ON), 1);
    peer_expect(&one, LARDER_EVENT_DRAIN);
    ck_assert(larder_client_drained(one.client));
    ck_assert(!larder_client_drained(shop.client));
    expect_state("news", WIRE_STATE_ALIVE | WIRE_STATE_DRAINED);
    expect_state("shop", WIRE_STATE_ALIVE);
    peer_is_served(&one);
    ck_assert_uint_eq(drain(proxy, 0, 0), 1);
    peer_expect(&one, LARDER_EVENT_UNDRAIN);
    expect_state("news", WIRE_STATE_ALIVE);
    ck_assert_uint_eq(drain(0, getpid(), WIRE_DRAIN_ON), 2); /* both are of this process */
    peer_expect(&one, LARDER_EVENT_DRAIN);
    peer_expect(&shop, LARDER_EVENT_DRAIN);
    end();
}
END_TEST

START_TEST(next_cache_is_told_by_the_proxy)
{
    uint32_t state;

    begin();
    drain(find_proxy("news", &state), 0, WIRE_DRAIN_ON);
    peer_expect(&one, LARDER_EVENT_DRAIN);
    asker_close(&admin);
    story_kill_cache(&story);
    peer_expect(&one, LARDER_EVENT_DETACHED);
    peer_expect(&shop, LARDER_EVENT_DETACHED);
    story_start_cache(&story, NULL);
    peer_expect(&one, LARDER_EVENT_ATTACHED);
    peer_expect(&shop, LARDER_EVENT_ATTACHED);
    asker_open(&admin, &story);
    expect_state("news", WIRE_STATE_ALIVE | WIRE_STATE_DRAINED);
    expect_state("shop", WIRE_STATE_ALIVE);
    end();
}
END_TEST

static const struct wrong_order {
    uint64_t proxy;
    pid_t pid;
    uint32_t flags;
    enum wire_refusal reason;
} wrong_orders[] = {
    {0, 0, WIRE_DRAIN_ON, WIRE_REFUSAL_MALFORMED},
    {0, 1, WIRE_DRAIN_ON, WIRE_REFUSAL_NO_PROXY},
    {1, 0, WIRE_DRAIN_ON, WIRE_REFUSAL_NO_PROXY},
    {UINT64_MAX, 0, 0, WIRE_REFUSAL_NO_PROXY},
    {0, 1, 2, WIRE_REFUSAL_MALFORMED},
    {0, 1, UINT32_MAX, WIRE_REFUSAL_MALFORMED},
};

START_TEST(wrong_order_is_refused)
{
    const struct wrong_order *row = &wrong_orders[_i];

    begin();
    union wire_message message = order(row->proxy, row->pid, row->flags);
    liar_send(&admin, &message, message.header.length);
    liar_expect_refusal(&admin, WIRE_DRAIN, row->reason);
    message = order(admin.registration, 0, WIRE_DRAIN_ON); /* an administrator is no proxy */
    liar_send(&admin, &message, message.header.length);
    liar_expect_refusal(&admin, WIRE_DRAIN, WIRE_REFUSAL_NO_PROXY);
    end();
}
END_TEST

/* Who does not know the secret cannot drain a proxy, though he can write to its queue. */
START_TEST(forged_order_is_not_believed)
{
    union wire_message message;
    char name[NAMES_BYTES];
    struct larder_event event;
    mqd_t queue;

    begin();
    size_t length = wire_prepare(&message, WIRE_CACHE_DRAIN, 0);
    message.wire_cache_drain.flags = WIRE_DRAIN_ON;
    for (int i = 0; i < 2; i++) {
        uint64_t token = liar_finds_token(&admin, &story);
        names_peer(name, story.instance, token);
        ck_assert_int_eq(mq_open_existing(&queue, name, O_WRONLY), 0);
        message.wire_cache_drain.secret = i ? token : 0;
        ck_assert_int_eq(mq_send_message(queue, &message, length), 0);
        mq_close(queue);
    }
    peer_is_served(&one);
    peer_is_served(&shop);
    ck_assert(!peer_next(&one, &event, 0));
    ck_assert(!peer_next(&shop, &event, 0));
    ck_assert(!larder_client_drained(one.client) && !larder_client_drained(shop.client));
    end();
}
END_TEST

/* A queue that nobody reads is full soon. The cache waits for nobody, and tells it when it reads again. */
START_TEST(deaf_proxy_is_told_when_it_listens)
{
    static const char *const often[] = {"--stall-time", "1", NULL};
    union wire_message message;
    struct liar deaf;

    begin_with(often);
    liar_register(&deaf, &story, "deaf");
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(drain(deaf.registration, 0, i % 2 == 0 ? WIRE_DRAIN_ON : 0), 1);
    drain(deaf.registration, 0, WIRE_DRAIN_ON);
    peer_is_served(&one);
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;
    int told = 0;
    do { /* the queue holds four, all of the alternating kind; the last order comes behind them */
        ck_assert_int_lt(test_now_ms(), deadline);
        ck_assert(liar_receive(&deaf, &message, TEST_DEADLINE_MS));
        ck_assert_uint_eq(message.header.type, WIRE_CACHE_DRAIN);
        ck_assert_uint_eq(message.wire_cache_drain.secret, deaf.endpoint.secret);
        told++;
    } while (told < 5);
    ck_assert_uint_eq(message.wire_cache_drain.flags, WIRE_DRAIN_ON);
    liar_end(&deaf, true);
    end();
}
END_TEST

static void serve_nobody(void *context)
{
    struct liar liar;

    (void)context;
    liar_register(&liar, &story, "child");
    for (;;)
        pause();
}

/* Frozen, then dead: the order is carried out for nobody, and harms nobody. */
START_TEST(frozen_and_dead_proxies)
{
    begin();
    pid_t pid = start_child(serve_nobody, NULL);
    story_await_gauge(&story, GAUGE_proxies, 3);
    freeze_process(pid);
    for (int i = 0; i < 10; i++)
        ck_assert_uint_eq(drain(0, pid, WIRE_DRAIN_ON), 1);
    peer_is_served(&one);
    end_child(pid, SIGKILL);
    story_await_gauge(&story, GAUGE_proxies, 2);
    union wire_message message = order(0, pid, WIRE_DRAIN_ON);
    liar_send(&admin, &message, message.header.length);
    liar_expect_refusal(&admin, WIRE_DRAIN, WIRE_REFUSAL_NO_PROXY);
    end();
}
END_TEST

/* HELLO says things that no client says. */
START_TEST(hello_with_unknown_flags_is_refused)
{
    union wire_message message;
    struct liar liar;

    begin();
    liar_appear(&liar, &story);
    size_t length = liar_hello(&liar, "news", &message);
    message.wire_hello.flags = 2;
    liar_send(&liar, &message, length);
    liar_expect_refusal(&liar, WIRE_HELLO, WIRE_REFUSAL_MALFORMED);
    liar_end(&liar, false);
    end();
}
END_TEST

/* Questions without end, of which nobody reads the answers; others are served all the while. */
START_TEST(floods)
{
    union wire_message question;

    begin();
    peer_store(&one, "page", 1, 100);
    prove(&question, questions[_i]);
    for (int i = 0; i < 3000; i++) {
        liar_send(&admin, &question, question.header.length);
        if (i % 100 == 0)
            peer_check(&one, "page", 1, 100);
    }
    ck_assert(story_answers(&story));
    liar_end(&admin, true);
    asker_open(&admin, &story);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, what_is_stored_is_shown);
    tcase_add_test(tcase, lease_and_fill_are_shown);
    tcase_add_loop_test(tcase, wrong_question_is_refused, 0, ROWS(wrongs));
    tcase_add_loop_test(tcase, others_are_refused, 0, ROWS(questions));
    tcase_add_loop_test(tcase, pool_without_pages, 0, 2);
    tcase_add_test(tcase, hot_key_is_known);
    tcase_add_test(tcase, drained_proxy_is_told_and_served);
    tcase_add_test(tcase, next_cache_is_told_by_the_proxy);
    tcase_add_loop_test(tcase, wrong_order_is_refused, 0, ROWS(wrong_orders));
    tcase_add_test(tcase, forged_order_is_not_believed);
    tcase_add_test(tcase, deaf_proxy_is_told_when_it_listens);
    tcase_add_test(tcase, frozen_and_dead_proxies);
    tcase_add_test(tcase, hello_with_unknown_flags_is_refused);
    tcase_add_loop_test(tcase, floods, 0, ROWS(questions));
}

int main(void)
{
    return crash_main("admin", add_cases);
}
