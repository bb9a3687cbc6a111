/* A noisy neighbour: another tenant, in a process of its own, scans ten times the memory as fast as it can.
 * Who stays within its reserve notices nothing; what is reserved and not used is lent, and comes back on
 * demand. */
#include "crash_support.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY  ((uint64_t)8 << 20)
#define SIZE    15000u
#define OBJECTS 280u                             /* of the quiet one: 4.3 MB, within its reserve of 5 MB */
#define SCAN    ((uint32_t)(10 * MEMORY / SIZE)) /* ten times the memory */
#define LOOKUPS 3000u

static struct story story;
static struct board {
    _Atomic uint32_t stored; /* by the noisy one */
    _Atomic bool ends;
} * board;
static struct test_gate starts;

static const char *const with_reserve[] = {
    "--memory", "8M", "--tenant", "quiet:reserve=5M", "--tenant", "noisy:weight=4", NULL,
};
static const char *const without_reserve[] = {"--memory", "8M", "--tenant", "noisy:weight=4", NULL};

/* First as much as the memory has; again when it is told to, until it is told to end. */
static void make_noise(void *context)
{
    struct peer peer;
    char key[32];

    (void)context;
    peer_create(&peer, &story, "noisy");
    for (uint32_t i = 0; !atomic_load(&board->ends); i++) {
        if (i == 600 && !test_gate_pass(&starts, TEST_DEADLINE_MS * 6))
            _exit(1);
        snprintf(key, sizeof(key), "scan-%u", (unsigned)i);
        peer_store(&peer, key, i, SIZE);
        atomic_fetch_add(&board->stored, 1);
    }
    peer_destroy(&peer);
}

static bool has_stored(void *number)
{
    return atomic_load(&board->stored) >= *(uint32_t *)number;
}

static void await_stored(uint32_t number)
{
    ck_assert(test_wait_until(has_stored, &number, TEST_DEADLINE_MS * 6));
}

static uint64_t counter_of(const char *tenant, enum counter counter)
{
    return story_tenant(&story, tenant).values[counter];
}

static uint64_t used_by(const char *tenant)
{
    struct wire_row row = story_tenant(&story, tenant);

    return gauge_of(&row, GAUGE_bytes_used);
}

/* Looks up one of its objects; stores it again if it has gone. */
static void use(struct peer *peer, uint32_t number)
{
    char key[32];

    snprintf(key, sizeof(key), "page-%u", (unsigned)number);
    struct larder_event event = peer_lookup(peer, key, 0);
    if (event.segment)
        larder_segment_return(peer->client, &event.segment);
    if (event.status == LARDER_MISS)
        peer_store(peer, key, number, SIZE);
    else
        peer_check(peer, key, number, SIZE);
}

/* Of its lookups, the share that hit, in per cent, from the cache's own counters: at least so many lookups,
 * and until the noisy one has stored so much. */
static double hit_percent(struct peer *peer, uint32_t until_stored)
{
    uint64_t hits = counter_of("quiet", COUNTER_hits), misses = counter_of("quiet", COUNTER_misses);

    for (uint32_t i = 0; i < LOOKUPS || atomic_load(&board->stored) < until_stored; i++)
        use(peer, i * 7919u % OBJECTS);
    hits = counter_of("quiet", COUNTER_hits) - hits;
    misses = counter_of("quiet", COUNTER_misses) - misses;
    return 100.0 * (double)hits / (double)(hits + misses);
}

static pid_t begin(const char *const arguments[], struct peer *quiet)
{
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(board, MAP_FAILED);
    story_begin(&story, "noisy");
    test_gate_create(&starts);
    story_start_cache(&story, arguments);
    pid_t noisy = start_child(make_noise, NULL);
    peer_create(quiet, &story, "quiet");
    await_stored(600);
    return noisy;
}

static void end(struct peer *quiet)
{
    peer_destroy(quiet);
    story_is_settled(&story, 0);
    story_adds_up(&story);
    test_gate_destroy(&starts);
    story_end(&story);
    munmap(board, sizeof(*board));
}

static void stop_noise(pid_t noisy)
{
    atomic_store(&board->ends, true);
    ck_assert_int_eq(end_child(noisy, 0), 0);
}

START_TEST(within_its_reserve_nobody_is_disturbed)
{
    struct peer quiet;
    pid_t noisy = begin(with_reserve, &quiet);

    ck_assert_uint_gt(used_by("noisy"), MEMORY / 10 * 9); /* what is reserved and not used is lent, */
    for (uint32_t i = 0; i < OBJECTS; i++)
        use(&quiet, i);
    ck_assert_uint_gt(used_by("quiet"), (uint64_t)OBJECTS * SIZE); /*   and comes back */
    ck_assert_uint_gt(counter_of("noisy", COUNTER_evicted_for_others), OBJECTS / 2);

    double alone = hit_percent(&quiet, 0);
    test_gate_open(&starts);
    double disturbed = hit_percent(&quiet, 600 + SCAN);
    ck_assert_msg(disturbed >= alone - 0.5, "%f %% of hits alone, %f %% beside the noise", alone, disturbed);
    ck_assert_uint_eq(counter_of("quiet", COUNTER_evictions), 0);
    ck_assert_uint_gt(counter_of("noisy", COUNTER_evicted_for_itself), SCAN / 2);

    stop_noise(noisy);
    uint64_t had = used_by("noisy");
    uint64_t gave = counter_of("noisy", COUNTER_evicted_for_others);
    for (uint32_t i = OBJECTS; i < 3 * OBJECTS; i++) /* beyond its reserve */
        use(&quiet, i);
    ck_assert_uint_gt(used_by("quiet"), (uint64_t)5 << 20);
    ck_assert_uint_lt(used_by("noisy"), had);
    ck_assert_uint_gt(counter_of("noisy", COUNTER_evicted_for_others), gave);
    end(&quiet);
}
END_TEST

/* The same without a reserve: it does lose, so the test above is about something. */
START_TEST(without_a_reserve_it_would_be)
{
    struct peer quiet;
    pid_t noisy = begin(without_reserve, &quiet);

    for (uint32_t i = 0; i < OBJECTS; i++)
        use(&quiet, i);
    test_gate_open(&starts);
    double disturbed = hit_percent(&quiet, 600 + SCAN);
    ck_assert_msg(disturbed < 90, "%f %% of hits beside the noise", disturbed);
    ck_assert_uint_gt(counter_of("quiet", COUNTER_evictions), OBJECTS);
    stop_noise(noisy);
    end(&quiet);
}
END_TEST

/* ---- bounds of a tenant -------------------------------------------------------------------------------- */

START_TEST(proxies_and_pins_of_a_tenant_are_bounded)
{
    struct liar first, second, other;
    union wire_message message;

    story_begin(&story, "bounded");
    story_start_cache(
        &story, (const char *const[]){"--memory", "8M", "--tenant", "news:max_proxies=1,max_pins=2", NULL});
    liar_register(&first, &story, "news");
    liar_appear(&second, &story);
    liar_send(&second, &message, liar_hello(&second, "news", &message));
    liar_expect_refusal(&second, WIRE_HELLO, WIRE_REFUSAL_FULL);
    liar_register(&other, &story, "shop");
    ck_assert_uint_eq(counter_of("news", COUNTER_refused_proxies), 1);
    liar_end(&first, true);
    story_await_gauge(&story, GAUGE_proxies, 1);
    liar_end(&second, false);

    struct peer peer;
    peer_create(&peer, &story, "news"); /* there is a place again */
    peer_store(&peer, "large", 1, 100000);
    uint64_t handles[2] = {peer_pin(&peer, "large"), peer_pin(&peer, "large")};
    struct larder_event event = peer_lookup(&peer, "large", 0);
    ck_assert_int_eq(event.status, LARDER_BUSY);
    larder_segment_return(peer.client, &event.segment);
    ck_assert_uint_eq(counter_of("news", COUNTER_refused_pins), 1);
    for (int i = 0; i < 2; i++)
        larder_release(peer.client, handles[i]);
    larder_client_flush(peer.client);
    peer_check(&peer, "large", 1, 100000);
    peer_destroy(&peer);
    liar_end(&other, true);
    story_is_settled(&story, 0);
    story_adds_up(&story);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, within_its_reserve_nobody_is_disturbed);
    tcase_add_test(tcase, without_a_reserve_it_would_be);
    tcase_add_test(tcase, proxies_and_pins_of_a_tenant_are_bounded);
}

int main(void)
{
    return crash_main("crash_noisy", add_cases);
}
