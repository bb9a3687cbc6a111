/* The cache runs out of descriptors or of memory, or its names are removed under it (systemd's RemoveIPC):
 * whoever is registered is served, whoever is not is told why, and when there is room again all is as before.
 */
#include "crash_support.h"
#include "starve.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

static struct story story;
static struct peer other; /* honest */

/* ---- descriptors -------------------------------------------------------------------------------------- */

static void await_problem(struct peer *peer, const char *words, const char *or_words)
{
    struct larder_event event;
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;

    while (strstr(larder_client_problem(peer->client), words) == NULL &&
           strstr(larder_client_problem(peer->client), or_words) == NULL) {
        ck_assert_msg(!peer_next(peer, &event, 20), "event %d", (int)event.kind);
        ck_assert_msg(test_now_ms() < deadline, "its problem is: %s", larder_client_problem(peer->client));
    }
}

static void create_unattached(struct peer *peer)
{
    bool runs = story.runs;

    story.runs = false; /* so that nobody waits for ATTACHED yet */
    peer_create(peer, &story, "news");
    story.runs = runs;
}

enum { LEAVING = 2 };

/* `_i`: how many descriptors are left. A registration needs three; the answer to one
 * that is refused needs one, which may not have been given back yet. */
START_TEST(cache_without_descriptors)
{
    struct peer leaving[LEAVING], newcomer;
    struct liar asker;

    story_begin(&story, "descriptors");
    story_start_cache(&story, NULL);
    if (story_descriptors(&story) < 0) {
        fprintf(stderr, "SKIP: only root may look at the descriptors of a cache\n");
        story_end(&story);
        return;
    }
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    int before = story_least_descriptors(&story);
    /* One by one, each when the cache's other threads have let go of what they had for the one before: the
     * limit is one of numbers, and those that become free shall be below it. */
    for (int i = 0; i < LEAVING; i++) {
        peer_create(&leaving[i], &story, "news");
        story_await_descriptors(&story, before + 3 * (i + 1));
    }
    asker_open(&asker, &story); /* stays: another one would find no room */
    story_await_descriptors(&story, before + 3 * LEAVING + 2);
    story_leave_descriptors(&story, (uint32_t)_i);
    create_unattached(&newcomer);
    await_problem(&newcomer, "descriptors", _i > 1 ? "descriptors" : "does not answer");
    for (int i = 0; i < 5; i++) {
        peer_check(&other, "large", 1, LARGE);
        peer_is_served(&other);
        peer_is_served(&leaving[0]);
    }
    struct wire_row row = asker_numbers(&asker);
    ck_assert_uint_ge(row.values[COUNTER_registrations_refused], 1);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 1 + LEAVING);
    for (int i = 0; i < LEAVING; i++)
        peer_destroy(&leaving[i]);
    peer_expect(&newcomer, LARDER_EVENT_ATTACHED); /* in their place */
    peer_check(&newcomer, "large", 1, LARGE);
    row = asker_numbers(&asker);
    ck_assert_uint_eq(row.values[COUNTER_departures], LEAVING);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 2);
    peer_destroy(&newcomer);
    asker_close(&asker);
    story_leave_descriptors(&story, UINT32_MAX);
    story_is_settled(&story, 1);
    story_await_descriptors(&story, before);
    story_adds_up(&story);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------- */

static struct starve *orders;

static void start_starved(const char *const arguments[])
{
    char number[16];
    int fd = memfd_create("starve", 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, sizeof(*orders)), 0);
    orders = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(orders, MAP_FAILED);
    snprintf(number, sizeof(number), "%d", fd);
    setenv("STARVE_FD", number, 1);
    story_start_program(&story, "cache_server_starved", arguments);
    unsetenv("STARVE_FD");
    close(fd);
}

static void note(uint64_t *counts, enum wire_status status)
{
    ck_assert_int_lt(status, WIRE_STATUS_END);
    counts[status]++;
}

/* One request with a segment of `bytes`; its status is one of OK, HIT, MISS, STALE, FENCED or NO_MEMORY,
 * or BUSY for a LOOKUP whose object cannot be pinned. */
static struct wire_completion pass(struct liar *liar, struct wire_request request, const char *key,
                                   uint64_t *counts)
{
    request.segment = 1;
    liar_hand_over(liar, 1, key);
    liar_put(liar, &request);
    struct wire_completion completion = liar_completion(liar);
    liar_take_back(liar, 1);
    note(counts, completion.status);
    ck_assert_msg(completion.status != WIRE_STATUS_BAD &&
                      (completion.status != WIRE_STATUS_BUSY || request.op == WIRE_OP_LOOKUP),
                  "operation %d: status %d", (int)request.op, (int)completion.status);
    return completion;
}

/* A fill in pieces, whose last one is not full, then its end. Whatever is refused, the rest is fenced. */
static void fill(struct liar *liar, uint64_t lease, const char *key, uint64_t size, uint64_t *counts)
{
    struct wire_request request = liar_request(liar, WIRE_OP_FILL_BEGIN);

    request.handle = lease;
    request.key_length = (uint16_t)strlen(key);
    request.meta_length = 9;
    request.value = size;
    request.fresh_until = request.keep_until = soon_ms(600000);
    pass(liar, request, key, counts);
    for (uint64_t offset = 0; offset < size; offset += 65536) {
        request = liar_request(liar, WIRE_OP_FILL_DATA);
        request.handle = lease;
        request.value = offset;
        request.length = size - offset < 65536 ? (uint32_t)(size - offset) : 65536;
        pass(liar, request, "bytes", counts);
    }
    request = liar_request(liar, WIRE_OP_FILL_END);
    request.handle = lease;
    request.value = size;
    liar_put(liar, &request);
    note(counts, liar_completion(liar).status);
}

static uint64_t look_up(struct liar *liar, const char *key, uint8_t flags, uint64_t *lease, uint64_t *counts)
{
    struct wire_request request = liar_request(liar, WIRE_OP_LOOKUP);

    request.flags = flags;
    request.key_length = (uint16_t)strlen(key);
    struct wire_completion completion = pass(liar, request, key, counts);
    if (lease)
        *lease = completion.lease;
    return completion.handle;
}

static void renew(struct liar *liar, uint64_t handle, uint64_t *counts)
{
    struct wire_request request = liar_request(liar, WIRE_OP_UPDATE);

    request.handle = handle;
    request.meta_length = 700;
    request.fresh_until = request.keep_until = soon_ms(600000);
    pass(liar, request, "meta", counts);
}

static const struct pool_shape roomy = {.segments = 4, .segment_bytes = 65536, .ring_entries = 16};

/* HELLO, which may be refused for want of memory only. */
static bool get_in(struct liar *liar, const char *tenant)
{
    union wire_message message;

    liar_appear_with(liar, &story, &roomy);
    size_t length = liar_hello(liar, tenant, &message);
    liar_send(liar, &message, length);
    ck_assert(liar_receive(liar, &message, TEST_DEADLINE_MS));
    if (message.header.type == WIRE_WELCOME) {
        liar->registration = message.wire_welcome.registration;
        return true;
    }
    ck_assert_uint_eq(message.header.type, WIRE_REFUSED);
    ck_assert_msg(message.wire_refused.reason == WIRE_REFUSAL_RESOURCES, "refused: %s",
                  wire_refusal_text(message.wire_refused.reason));
    return false;
}

static void remove_key(struct liar *liar, const char *key, uint64_t *counts)
{
    struct wire_request request = liar_request(liar, WIRE_OP_REMOVE);

    request.key_length = (uint16_t)strlen(key);
    pass(liar, request, key, counts);
}

/* Everything for which the cache allocates. False: not even registered. */
static bool live(const char *tenant, uint64_t *counts)
{
    static const uint64_t sizes[] = {100, 65536, 65537, 12 * 65536 + 5};
    struct liar liar;
    char key[32];

    if (!get_in(&liar, tenant)) {
        liar_end(&liar, false);
        return false;
    }
    for (int i = 0; i < ROWS(sizes); i++) {
        uint64_t lease;
        snprintf(key, sizeof(key), "key-%d", i);
        look_up(&liar, key, WIRE_LOOKUP_LEASE, &lease, counts);
        if (lease)
            fill(&liar, lease, key, sizes[i], counts);
        uint64_t handle = look_up(&liar, key, WIRE_LOOKUP_REVALIDATE | WIRE_LOOKUP_LEASE, &lease, counts);
        if (handle)
            renew(&liar, handle, counts);
    }
    for (int i = 0; i < ROWS(sizes); i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        remove_key(&liar, key, counts);
    }
    liar_end(&liar, true);
    return true;
}

static void begin_starved(const char *const arguments[])
{
    story_begin(&story, "starved");
    start_starved(arguments);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
}

static void end_starved(void)
{
    atomic_store(&orders->every, 0);
    atomic_store(&orders->next, 0);
    peer_check(&other, "large", 1, LARGE);
    peer_is_served(&other);
    story_is_settled(&story, 1);
    story_adds_up(&story);
    peer_destroy(&other);
    story_end(&story);
    munmap(orders, sizeof(*orders));
}

/* Each allocation of a whole life fails once: the first, the second, ... until there is none left. */
START_TEST(every_single_allocation_fails_once)
{
    uint64_t counts[WIRE_STATUS_END] = {0};
    uint64_t refused = 0, lives = 0;
    bool failed = true;

    begin_starved(NULL);
    live("shop", counts); /* tables that stay are made now */
    story_is_settled(&story, 1);
    uint64_t used = story_gauge(&story, GAUGE_bytes_used);
    memset(counts, 0, sizeof(counts));
    for (uint64_t next = 1; failed; next++) {
        uint64_t before = atomic_load(&orders->failed);
        ck_assert_uint_lt(next, 500);
        atomic_store(&orders->next, next);
        refused += !live("shop", counts);
        atomic_store(&orders->next, 0);
        failed = atomic_load(&orders->failed) > before;
        lives++;
        peer_check(&other, "large", 1, LARGE);
        story_is_settled(&story, 1);
        ck_assert_uint_eq(story_gauge(&story, GAUGE_bytes_used), used);
        ck_assert_uint_eq(story_gauge(&story, GAUGE_objects), 1);
    }
    ck_assert_uint_ge(lives, 20);
    ck_assert_uint_ge(refused, 3);
    ck_assert_uint_ge(counts[WIRE_STATUS_NO_MEMORY], 5);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_no_memory], counts[WIRE_STATUS_NO_MEMORY]);
    ck_assert_uint_eq(row.values[COUNTER_fenced], counts[WIRE_STATUS_FENCED]);
    ck_assert_uint_eq(row.values[COUNTER_registrations_refused], refused);
    ck_assert_uint_eq(row.values[COUNTER_departures], lives - refused + 1);
    ck_assert_uint_eq(row.values[COUNTER_bad_requests] + row.values[COUNTER_proxies_dropped], 0);
    end_starved();
}
END_TEST

/* A tenant that nobody has named yet. */
START_TEST(new_tenant_without_memory)
{
    uint64_t counts[WIRE_STATUS_END] = {0};
    uint64_t refused = 0;
    bool failed = true;
    char tenant[32];

    begin_starved(NULL);
    for (uint64_t next = 1; failed && next < 12; next++) {
        uint64_t before = atomic_load(&orders->failed);
        snprintf(tenant, sizeof(tenant), "tenant-%d", (int)next);
        atomic_store(&orders->next, next);
        refused += !live(tenant, counts);
        atomic_store(&orders->next, 0);
        failed = atomic_load(&orders->failed) > before;
    }
    ck_assert_uint_ge(refused, 4);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations_refused), refused);
    end_starved();
}
END_TEST

static const struct {
    uint64_t every, seed;
} hungers[] = {{5, 1}, {5, 2}, {20, 3}, {20, 4}, {200, 5}, {200, 6}};

/* Proxies at work and guests that come and go, while one allocation in so many fails. */
START_TEST(allocations_fail_at_random)
{
    enum { WORKERS = 3, LIVES = 30, LIVES_MAX = 3000 };
    static const char *const small[] = {"--memory", "4M", "--max-object", "2M", NULL};
    uint64_t counts[WIRE_STATUS_END] = {0};
    struct workers workers;
    uint64_t refused = 0;
    bool often = hungers[_i].every <= 20;

    begin_starved(small);
    workers_start(&workers, &story, WORKERS);
    atomic_store(&orders->seed, hungers[_i].seed);
    atomic_store(&orders->every, hungers[_i].every);
    /* Whose allocation it is that fails, chance decides. */
    for (int i = 0; i < LIVES || (often && refused == 0 && i < LIVES_MAX); i++)
        refused += !live("shop", counts);
    atomic_store(&orders->every, 0);
    ck_assert_uint_gt(atomic_load(&orders->failed), 0);
    workers_go_on(&workers, 20);
    workers_stop(&workers);
    struct wire_row row = story_numbers(&story);
    if (often) {
        ck_assert_uint_gt(row.values[COUNTER_no_memory], 0);
        ck_assert_uint_gt(refused, 0);
    }
    ck_assert_uint_ge(row.values[COUNTER_no_memory], counts[WIRE_STATUS_NO_MEMORY]);
    ck_assert_uint_eq(row.values[COUNTER_registrations_refused], refused);
    ck_assert_uint_eq(row.values[COUNTER_bad_requests] + row.values[COUNTER_proxies_dropped], 0);
    atomic_store(&orders->next, 0);
    peer_store(&other, "again", 3, LARGE); /* what was stored first may have been evicted */
    struct larder_event event = peer_lookup(&other, "large", LARDER_LOOKUP_LEASE);
    larder_segment_return(other.client, &event.segment);
    if (event.handle)
        larder_release(other.client, event.handle);
    if (event.lease)
        larder_fill_abort(other.client, event.lease);
    if (event.status == LARDER_MISS)
        peer_store(&other, "large", 1, LARGE);
    end_starved();
}
END_TEST

/* ---- names -------------------------------------------------------------------------------------------- */

/* As systemd does for a user whose last session ends: all queues and pools, whoever uses them. */
static int remove_all_names(void)
{
    char name[NAMES_BYTES];
    DIR *directory = opendir("/dev/shm");
    const struct dirent *entry;
    uint64_t token;
    int removed = 0;

    names_command_queue(name, story.instance);
    ck_assert_int_eq(mq_unlink(name), 0);
    while ((entry = readdir(directory))) {
        if (!names_peer_parse(entry->d_name, story.instance, &token))
            continue;
        names_peer(name, story.instance, token);
        removed += mq_unlink(name) == 0 && shm_unlink(name) == 0;
    }
    closedir(directory);
    return removed;
}

static bool queue_has_its_name(void *context)
{
    return story_queue_exists(context);
}

static void await_rename(uint64_t times)
{
    ck_assert_msg(test_wait_until(queue_has_its_name, &story, TEST_DEADLINE_MS),
                  "the cache has not made its queue anew");
    ck_assert(story_answers(&story));
    story_await_counter(&story, COUNTER_renames, times);
}

/* Each has lost its name, not its registration, and is never told anything. */
START_TEST(names_removed_under_living_processes)
{
    enum { WORKERS = 3 };
    struct workers workers;
    struct peer newcomer;

    story_begin(&story, "removed");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    workers_start(&workers, &story, WORKERS);
    ck_assert_int_eq(remove_all_names(), WORKERS + 1);
    workers_go_on(&workers, 20);
    peer_check(&other, "large", 1, LARGE);
    await_rename(1);
    peer_create(&newcomer, &story, "news"); /* through the new one */
    peer_check(&newcomer, "large", 1, LARGE);
    peer_is_served(&other); /* whose bells go to the old one */
    workers_go_on(&workers, 20);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_registrations], WORKERS + 2);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), WORKERS + 2);
    ck_assert(larder_client_attached(other.client));
    end_child(workers.pids[0], SIGKILL); /* and death is still seen */
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    workers.pids[0] = workers.pids[--workers.count];
    workers_stop(&workers);
    peer_destroy(&newcomer);
    story_is_settled(&story, 1);
    row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_departures] + row.values[COUNTER_proxies_reclaimed], WORKERS + 1);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], 0);
    ck_assert_uint_eq(row.values[COUNTER_renames], 1);
    story_adds_up(&story);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* Over and over: one former queue is read beside the present one, so whoever came through an earlier one has
 * to register again, and does. */
START_TEST(names_removed_again_and_again)
{
    enum { WORKERS = 3, TIMES = 3 };
    struct workers workers;

    story_begin(&story, "again");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    workers_start(&workers, &story, WORKERS);
    for (uint64_t i = 1; i <= TIMES; i++) {
        remove_all_names();
        await_rename(i);
        workers_go_on(&workers, 20);
    }
    peer_expect(&other, LARDER_EVENT_DETACHED); /* it has come through the first of them */
    peer_expect(&other, LARDER_EVENT_ATTACHED);
    peer_is_served(&other);
    workers_stop(&workers);
    story_is_settled(&story, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 0);
    story_adds_up(&story);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* Another cache has the name: who is registered is served on, and only then the first one ends. */
START_TEST(name_taken_by_another_cache)
{
    enum { CHECKS_MS = 2500 }; /* it looks after its name each second */
    struct test_child first;
    struct liar asker;
    char name[NAMES_BYTES];

    story_begin(&story, "taken");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    asker_open(&asker, &story);
    freeze_process(story.cache.pid); /* so that it does not mend it */
    names_command_queue(name, story.instance);
    ck_assert_int_eq(mq_unlink(name), 0);
    first = story.cache;
    story_start_cache(&story, NULL);
    kill(first.pid, SIGCONT);
    uint64_t uptime = asker_numbers(&asker).uptime_ms;
    while (asker_numbers(&asker).uptime_ms < uptime + CHECKS_MS)
        peer_check(&other, "large", 1, LARGE);
    ck_assert(larder_client_attached(other.client));
    peer_is_served(&other);
    asker_close(&asker);
    peer_destroy(&other);
    ck_assert_int_eq(test_child_stop(&first, 0, TEST_DEADLINE_MS), 1);
    peer_create(&other, &story, "news");
    peer_is_served(&other);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* The cache ends while its queue has no name; the one that comes next is found by those who have lost theirs.
 */
START_TEST(names_removed_and_then_the_cache_dies)
{
    story_begin(&story, "removedied");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    freeze_process(story.cache.pid); /* so that it cannot mend it */
    ck_assert_int_eq(remove_all_names(), 1);
    story_kill_cache(&story);
    peer_expect(&other, LARDER_EVENT_DETACHED);
    story_start_cache(&story, NULL);
    peer_expect(&other, LARDER_EVENT_ATTACHED);
    peer_is_served(&other);
    ck_assert_uint_eq(story_counter(&story, COUNTER_renames), 0);
    peer_destroy(&other);
    story_is_settled(&story, 0);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, cache_without_descriptors, 0, 3);
    tcase_add_test(tcase, every_single_allocation_fails_once);
    tcase_add_test(tcase, new_tenant_without_memory);
    tcase_add_loop_test(tcase, allocations_fail_at_random, 0, ROWS(hungers));
    tcase_add_test(tcase, names_removed_under_living_processes);
    tcase_add_test(tcase, names_removed_again_and_again);
    tcase_add_test(tcase, name_taken_by_another_cache);
    tcase_add_test(tcase, names_removed_and_then_the_cache_dies);
}

int main(void)
{
    return crash_main("crash_scarcity", add_cases);
}
