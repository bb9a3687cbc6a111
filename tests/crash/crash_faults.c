/* Pools lose pages under the cache, and peers are deaf: each costs its owner the registration or an answer,
 * and nobody else anything. */
#include "crash_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

static const struct pool_shape roomy = {.segments = 8, .segment_bytes = 65536, .ring_entries = 16};

static struct story story;
static struct peer other; /* honest, of the same tenant */
static struct liar liar;

static void begin(void)
{
    story_begin(&story, "faults");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    liar_register_with(&liar, &story, "news", &roomy);
}

static void check_other(void)
{
    peer_is_undisturbed(&other);
    peer_check(&other, "large", 1, LARGE);
    peer_is_served(&other);
}

static void end(uint64_t faults)
{
    check_other();
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_faults_caught], faults);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], faults);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 0);
    peer_destroy(&other);
    story_end(&story);
}

/* The liar keeps its pool up to `bytes`, and must not touch the rest from now on. */
static void keep_only(size_t bytes)
{
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, (off_t)bytes), 0);
}

static size_t offset_of(const void *at)
{
    return (size_t)((const uint8_t *)at - liar.endpoint.pool.base);
}

static size_t page_above(size_t offset)
{
    return (offset + 4095) & ~(size_t)4095;
}

static void expect_dropped(void)
{
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    story_await_gauge(&story, GAUGE_proxies, 1);
}

static uint64_t liar_lookup(const char *key, uint32_t segment, uint8_t flags, uint64_t *lease)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);

    request.segment = segment;
    request.flags = flags;
    request.key_length = (uint16_t)strlen(key);
    liar_hand_over(&liar, segment, key);
    liar_put(&liar, &request);
    struct wire_completion completion = liar_completion(&liar);
    liar_take_back(&liar, segment);
    if (lease)
        *lease = completion.lease;
    return completion.handle;
}

START_TEST(pool_without_a_single_page)
{
    begin();
    keep_only(0);
    liar_bell(&liar);
    expect_dropped();
    liar_end(&liar, false);
    end(1);
}
END_TEST

/* The rings and the semaphores are there, the key is not. */
START_TEST(segment_lost_before_its_lookup)
{
    begin();
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);
    request.segment = 7;
    request.key_length = 5;
    liar_hand_over(&liar, 7, "large");
    keep_only(offset_of(segment_payload(&liar.endpoint.pool, 7)));
    liar_put(&liar, &request);
    expect_dropped();
    liar_end(&liar, false);
    end(1);
}
END_TEST

/* The cache writes: first pages of the payload are there, the rest is not. */
START_TEST(pages_lost_while_the_cache_writes)
{
    begin();
    uint64_t handle = liar_lookup("large", 0, 0, NULL);
    ck_assert_uint_ne(handle, 0);
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    request.segment = 7;
    request.handle = handle;
    request.length = roomy.segment_bytes;
    keep_only(page_above(offset_of(segment_payload(&liar.endpoint.pool, 7)) + 20000));
    liar_put(&liar, &request);
    expect_dropped();
    story_await_gauge(&story, GAUGE_pins, 0);
    liar_end(&liar, false);
    end(1);
}
END_TEST

/* The cache reads: the lost part must not become part of an object. `_i`: whole object in FILL_BEGIN, or in a
 * FILL_DATA whose FILL_END is in the same batch. */
START_TEST(pages_lost_while_the_cache_reads)
{
    enum { SIZE = 40000 };
    uint64_t lease;

    begin();
    liar_lookup("key", 0, WIRE_LOOKUP_LEASE, &lease);
    ck_assert_uint_ne(lease, 0);
    struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);
    request.handle = lease;
    request.segment = 7;
    request.key_length = 3;
    request.value = SIZE;
    request.fresh_until = request.keep_until = soon_ms(600000);
    liar_hand_over(&liar, 7, "key");
    memset(segment_payload(&liar.endpoint.pool, 7) + 3, 'x', SIZE);
    if (_i == 0) {
        request.length = SIZE;
    } else {
        liar_expect(&liar, &request, WIRE_STATUS_OK);
        liar_take_back(&liar, 7);
        liar_hand_over(&liar, 7, "xxx");
        request = liar_request(&liar, WIRE_OP_FILL_DATA);
        request.handle = lease;
        request.segment = 7;
        request.length = SIZE;
        struct wire_request last = liar_request(&liar, WIRE_OP_FILL_END);
        last.handle = lease;
        last.value = SIZE;
        ck_assert_int_eq(ring_put(&liar.endpoint.pool.requests, &request), RING_OK);
        request = last;
    }
    keep_only(page_above(offset_of(segment_payload(&liar.endpoint.pool, 7)) + 20000));
    liar_put(&liar, &request);
    expect_dropped();
    liar_end(&liar, false);
    peer_check_miss(&other, "key"); /* bytes that nobody ever sent must not be served */
    ck_assert_uint_eq(story_gauge(&story, GAUGE_objects), 1);
    end(1);
}
END_TEST

/* The same for metadata that is to be renewed. */
START_TEST(pages_lost_while_the_cache_reads_metadata)
{
    begin();
    uint64_t handle = liar_lookup("large", 0, WIRE_LOOKUP_REVALIDATE, NULL);
    struct wire_request request = liar_request(&liar, WIRE_OP_UPDATE);
    request.handle = handle;
    request.segment = 7;
    request.meta_length = 40000;
    request.fresh_until = request.keep_until = soon_ms(600000);
    liar_hand_over(&liar, 7, "half of it will be gone");
    keep_only(page_above(offset_of(segment_payload(&liar.endpoint.pool, 7)) + 20000));
    liar_put(&liar, &request);
    expect_dropped();
    liar_end(&liar, false);
    ck_assert_uint_eq(story_counter(&story, COUNTER_updates), 0);
    end(1); /* where the honest one still finds the object, with the metadata it had */
}
END_TEST

/* Lost, but never touched again: nothing happens until it says good-bye. */
START_TEST(untouched_loss_is_no_fault)
{
    begin();
    keep_only(offset_of(liar.endpoint.pool.payloads));
    check_other();
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_departures), 1);
    end(0);
}
END_TEST

/* Shrunk and grown again, punched: there are pages, but other ones. Reading zeroes is no fault. */
START_TEST(pages_replaced_by_zeroes_are_survived)
{
    begin();
    off_t bytes = (off_t)liar.endpoint.pool.bytes;
    if (_i == 0)
        ck_assert_int_eq(
            fallocate(liar.endpoint.pool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, bytes), 0);
    else
        ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, 0) || ftruncate(liar.endpoint.pool.fd, bytes), 0);
    liar_bell(&liar);
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);
    request.segment = 1;
    request.key_length = 5;
    liar_expect(&liar, &request, WIRE_STATUS_BAD);
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    end(0);
}
END_TEST

static atomic_bool punching;

static void *punch_and_refill(void *context)
{
    const struct segment_pool *pool = context;
    off_t from = (off_t)page_above((size_t)(pool->payloads - pool->base)), bytes = (off_t)pool->bytes - from;

    while (atomic_load(&punching)) {
        ck_assert_int_eq(fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, bytes), 0);
        ck_assert_int_eq(posix_fallocate(pool->fd, from, bytes), 0);
    }
    return NULL;
}

/* A page that is being punched out makes its toucher wait for the end of that: who does it twice is not
 * served for a while, and then again. Each try is a read of which the liar takes no notice. */
START_TEST(who_makes_the_cache_wait_is_paused)
{
    enum { TRIES = 20000 };
    static const struct pool_shape large = {.segments = 1024, .segment_bytes = 65536, .ring_entries = 16};
    pthread_t thread;

    begin();
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    liar_register_with(&liar, &story, "news", &large);
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    request.handle = liar_lookup("large", 0, 0, NULL);
    request.length = large.segment_bytes;
    atomic_store(&punching, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, punch_and_refill, &liar.endpoint.pool), 0);
    for (int i = 0; i < TRIES && (i % 64 || story_counter(&story, COUNTER_pauses) == 0); i++) {
        request.segment = (uint32_t)i % (large.segments - 1) + 1;
        liar_expect(&liar, &request, WIRE_STATUS_OK);
        liar_take_back(&liar, request.segment);
    }
    ck_assert_uint_gt(story_tenant(&story, "news").values[COUNTER_pauses], 0);
    check_other();
    atomic_store(&punching, false);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    liar_expect(&liar, &request, WIRE_STATUS_OK);
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    end(0);
}
END_TEST

/* At whatever moment the pages go while the cache is busy with them. */
START_TEST(pages_lost_at_any_moment)
{
    enum { TIMES = 30 };

    begin();
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    for (uint64_t time = 0; time < TIMES; time++) {
        liar_register_with(&liar, &story, "news", &roomy);
        uint64_t handle = liar_lookup("large", 0, 0, NULL);
        for (uint32_t i = 0; i < 8; i++) {
            struct wire_request request = liar_request(&liar, WIRE_OP_READ);
            request.segment = i;
            request.handle = handle;
            request.length = roomy.segment_bytes;
            ck_assert_int_eq(ring_put(&liar.endpoint.pool.requests, &request), RING_OK);
        }
        ring_publish(&liar.endpoint.pool.requests);
        liar_bell(&liar);
        for (volatile uint64_t spin = 0; spin < time * 1000; spin = spin + 1) {
        }
        keep_only(0);
        liar_bell(&liar);
        liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
        liar_end(&liar, false);
        story_await_gauge(&story, GAUGE_pins, 0);
    }
    end(TIMES);
}
END_TEST

/* ---- the asker of statistics -------------------------------------------------------------------------- */

static const struct pool_shape askers = {.segments = 1, .segment_bytes = 65536, .ring_entries = 16};

static void register_asker(struct liar *asker)
{
    union wire_message message;

    *asker = (struct liar){.registration = 0};
    ck_assert_int_eq(endpoint_create(&asker->endpoint, story.instance, &askers), 0);
    ck_assert_int_eq(endpoint_reach(&asker->endpoint), ENDPOINT_REACHED);
    ck_assert_int_eq(endpoint_hello(&asker->endpoint, WIRE_ROLE_ADMIN, "news", 0), 0);
    ck_assert(liar_receive(asker, &message, TEST_DEADLINE_MS));
    ck_assert_uint_eq(message.header.type, WIRE_WELCOME);
    asker->registration = message.wire_welcome.registration;
}

static void ask(struct liar *asker, uint32_t segment, uint32_t cursor)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_STATS, asker->endpoint.token);

    message.wire_stats.registration = asker->registration;
    message.wire_stats.secret = asker->endpoint.secret;
    message.wire_stats.segment = segment;
    message.wire_stats.cursor = cursor;
    liar_send(asker, &message, length);
}

START_TEST(askers_pool_without_pages)
{
    struct liar asker;

    begin();
    register_asker(&asker);
    ck_assert_int_eq(ftruncate(asker.endpoint.pool.fd, 4096), 0);
    ask(&asker, 0, 0);
    liar_expect_refusal(&asker, WIRE_BELL, WIRE_REFUSAL_STALE);
    liar_end(&asker, false);
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    check_other();
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 0); /* it was no proxy */
    ck_assert_uint_eq(story_counter(&story, COUNTER_faults_caught), 1);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

START_TEST(askers_mistakes_are_refused)
{
    struct liar asker;

    begin();
    register_asker(&asker);
    ask(&asker, 1, 0);
    liar_expect_refusal(&asker, WIRE_STATS, WIRE_REFUSAL_MALFORMED);
    ask(&asker, UINT32_MAX, 0);
    liar_expect_refusal(&asker, WIRE_STATS, WIRE_REFUSAL_MALFORMED);
    ask(&asker, 0, UINT32_MAX);
    liar_expect_refusal(&asker, WIRE_STATS, WIRE_REFUSAL_MALFORMED);
    ask(&asker, 0, 1 + WIRE_OP_END + 256 + 1024); /* just behind the last row */
    liar_expect_refusal(&asker, WIRE_STATS, WIRE_REFUSAL_MALFORMED);
    ck_assert(segment_win_write(&asker.endpoint.pool, 0));
    ask(&asker, 0, 0);
    liar_expect_refusal(&asker, WIRE_STATS, WIRE_REFUSAL_MALFORMED);
    segment_post_write(&asker.endpoint.pool, 0);
    /* It has no tenant, so it stores and finds nothing. */
    struct wire_request request = liar_request(&asker, WIRE_OP_RELEASE);
    liar_expect(&asker, &request, WIRE_STATUS_BAD);
    request = liar_request(&asker, WIRE_OP_LOOKUP);
    request.key_length = 5;
    liar_expect(&asker, &request, WIRE_STATUS_BAD);
    liar_end(&asker, true);
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    end(0);
}
END_TEST

/* ---- registrations that are refused ------------------------------------------------------------------- */

static void set_reply_mode(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(fchmod(liar.endpoint.reply, 0640), 0);
}

static void let_go_of_reply(struct wire_hello *hello)
{
    mqd_t second;

    (void)hello;
    ck_assert_int_eq(mq_open_existing(&second, liar.endpoint.name, O_RDONLY), 0);
    mq_close(second); /* drops the lock: fcntl(2) */
}

static void set_pool_mode(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(fchmod(liar.endpoint.pool.fd, 0666), 0);
}

static void unlink_pool(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(shm_unlink(liar.endpoint.name), 0);
}

static void punch_pool(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(fallocate(liar.endpoint.pool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096),
                     0);
}

static void truncate_pool(struct wire_hello *hello)
{
    (void)hello;
    keep_only(0);
}

static void wrong_secret(struct wire_hello *hello)
{
    hello->secret++;
}

static void more_segments(struct wire_hello *hello)
{
    hello->segments++;
}

static void absurd_segments(struct wire_hello *hello)
{
    hello->segments = UINT32_MAX;
    hello->segment_bytes = UINT32_MAX;
    hello->ring_entries = UINT32_MAX;
}

static void no_segments(struct wire_hello *hello)
{
    hello->segments = hello->segment_bytes = hello->ring_entries = 0;
}

static void unknown_role(struct wire_hello *hello)
{
    hello->role = 2;
}

static void largest_role(struct wire_hello *hello)
{
    hello->role = UINT32_MAX;
}

static void bad_tenant(struct wire_hello *hello)
{
    snprintf(hello->tenant, sizeof(hello->tenant), "../x y");
}

static void no_tenant(struct wire_hello *hello)
{
    hello->tenant[0] = '\0';
}

static void unlink_reply(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(mq_unlink(liar.endpoint.name), 0);
}

static const struct {
    void (*spoil)(struct wire_hello *);
    enum wire_refusal reason; /* WIRE_REFUSAL_NONE: nobody can be answered */
} hellos[] = {
    {set_reply_mode, WIRE_REFUSAL_NONE},      {unlink_reply, WIRE_REFUSAL_NONE},
    {let_go_of_reply, WIRE_REFUSAL_UNLOCKED}, {set_pool_mode, WIRE_REFUSAL_POOL},
    {unlink_pool, WIRE_REFUSAL_POOL},         {punch_pool, WIRE_REFUSAL_POOL},
    {truncate_pool, WIRE_REFUSAL_POOL},       {more_segments, WIRE_REFUSAL_POOL},
    {absurd_segments, WIRE_REFUSAL_POOL},     {no_segments, WIRE_REFUSAL_POOL},
    {wrong_secret, WIRE_REFUSAL_SECRET},      {unknown_role, WIRE_REFUSAL_MALFORMED},
    {largest_role, WIRE_REFUSAL_MALFORMED},   {bad_tenant, WIRE_REFUSAL_TENANT},
    {no_tenant, WIRE_REFUSAL_TENANT},
};

START_TEST(bad_registration_is_refused_and_leaves_nothing)
{
    union wire_message message;

    begin();
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    liar_appear(&liar, &story);
    size_t length = wire_prepare(&message, WIRE_HELLO, liar.endpoint.token);
    message.wire_hello.secret = liar.endpoint.secret;
    message.wire_hello.segments = liar.endpoint.pool.shape.segments;
    message.wire_hello.segment_bytes = liar.endpoint.pool.shape.segment_bytes;
    message.wire_hello.ring_entries = liar.endpoint.pool.shape.ring_entries;
    strcpy(message.wire_hello.tenant, "news");
    hellos[_i].spoil(&message.wire_hello);
    liar_send(&liar, &message, length);
    if (hellos[_i].reason != WIRE_REFUSAL_NONE)
        liar_expect_refusal(&liar, WIRE_HELLO, hellos[_i].reason);
    story_await_counter(&story, COUNTER_registrations_refused, 1);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 2);
    liar_end(&liar, false);
    end(0);
}
END_TEST

static int descriptors_of(pid_t pid)
{
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

struct held {
    pid_t pid;
    int count;
};

static bool holds_no_more(void *context)
{
    const struct held *held = context;

    return descriptors_of(held->pid) <= held->count; /* some of which may have been on their way out */
}

/* Whatever comes and goes, however it goes: the cache keeps no descriptor of it. */
START_TEST(cache_keeps_no_descriptors)
{
    begin();
    struct held before = {story.cache.pid, descriptors_of(story.cache.pid)};
    for (int i = 0; i < 40; i++) {
        struct liar guest;
        union wire_message message;

        liar_appear(&guest, &story);
        size_t length = wire_prepare(&message, WIRE_HELLO, guest.endpoint.token);
        message.wire_hello.segments = 8;
        message.wire_hello.segment_bytes = 4096;
        message.wire_hello.ring_entries = 16;
        liar_send(&guest, &message, length); /* refused: no secret */
        liar_expect_refusal(&guest, WIRE_HELLO, WIRE_REFUSAL_SECRET);
        liar_end(&guest, false);
        liar_register(&guest, &story, "news");
        if (i % 2) {
            ck_assert_int_eq(ftruncate(guest.endpoint.pool.fd, 0), 0);
            liar_bell(&guest);
            liar_expect_refusal(&guest, WIRE_BELL, WIRE_REFUSAL_STALE);
        }
        liar_end(&guest, i % 2 == 0);
    }
    story_await_gauge(&story, GAUGE_proxies, 2);
    /* The last asker's farewell may still be on its way. */
    ck_assert(test_wait_until(holds_no_more, &before, TEST_DEADLINE_MS));
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    end(20);
}
END_TEST

/* ---- the deaf ----------------------------------------------------------------------------------------- */

/* Its reply queue is full of bells: the cache goes on, its completions still arrive in the ring. */
START_TEST(reply_queue_that_nobody_reads)
{
    begin();
    for (int i = 0; i < 50; i++) {
        struct wire_request request = liar_request(&liar, WIRE_OP_READ);
        ring_arm(&liar.endpoint.pool.completions); /* each answer rings */
        liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    }
    struct mq_attr attributes;
    ck_assert_int_eq(mq_getattr(liar.endpoint.reply, &attributes), 0);
    ck_assert_int_eq(attributes.mq_curmsgs, MQ_REPLY_DEPTH);
    check_other();
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    end(0);
}
END_TEST

/* Dropped with a full reply queue: the news of it is lost, so its next bell must be answered. */
START_TEST(dropped_while_deaf)
{
    union wire_message message;

    begin();
    for (int i = 0; i < MQ_REPLY_DEPTH; i++)
        ck_assert_int_eq(mq_send_message(liar.endpoint.reply, "noise", 5), 0);
    atomic_store(&liar.endpoint.pool.requests.shared->tail, 1000);
    liar_bell(&liar);
    story_await_counter(&story, COUNTER_proxies_dropped, 1);
    for (int i = 0; i < MQ_REPLY_DEPTH; i++)
        ck_assert_int_eq(mq_receive_message(liar.endpoint.reply, &message), 5);
    liar_bell(&liar);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    liar_end(&liar, false);
    check_other();
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* Nobody reads what the cache logs, and the pipe is full: a log is no reason to stop. */
START_TEST(log_that_nobody_reads)
{
    static const char *const arguments[] = {"--log-level", "debug", NULL};
    int ends[2], saved;

    story_begin(&story, "fulllog");
    saved = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    dup2(ends[1], STDERR_FILENO);
    story_start_cache(&story, arguments);
    dup2(saved, STDERR_FILENO);
    close(saved);
    for (int i = 0; i < 100; i++) {
        liar_appear(&liar, &story);
        endpoint_hello(&liar.endpoint, WIRE_ROLE_PROXY, "no tenant of this name", 0); /* logged as refused */
        ck_assert_msg(story_answers(&story), "silent after %d lines", i);
        liar_end(&liar, false);
    }
    story_stop_cache(&story);
    close(ends[0]);
    close(ends[1]);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, pool_without_a_single_page);
    tcase_add_test(tcase, segment_lost_before_its_lookup);
    tcase_add_test(tcase, pages_lost_while_the_cache_writes);
    tcase_add_loop_test(tcase, pages_lost_while_the_cache_reads, 0, 2);
    tcase_add_test(tcase, pages_lost_while_the_cache_reads_metadata);
    tcase_add_test(tcase, untouched_loss_is_no_fault);
    tcase_add_loop_test(tcase, pages_replaced_by_zeroes_are_survived, 0, 2);
    tcase_add_test(tcase, who_makes_the_cache_wait_is_paused);
    tcase_add_test(tcase, pages_lost_at_any_moment);
    tcase_add_test(tcase, askers_pool_without_pages);
    tcase_add_test(tcase, askers_mistakes_are_refused);
    tcase_add_loop_test(tcase, bad_registration_is_refused_and_leaves_nothing, 0, ROWS(hellos));
    tcase_add_test(tcase, cache_keeps_no_descriptors);
    tcase_add_test(tcase, reply_queue_that_nobody_reads);
    tcase_add_test(tcase, dropped_while_deaf);
    tcase_add_test(tcase, log_that_nobody_reads);
}

int main(void)
{
    return crash_main("crash_faults", add_cases);
}
