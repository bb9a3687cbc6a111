/* A proxy is killed, frozen or goes without a word: the cache takes back what it held, and nobody else
 * notices. */
#include "crash_support.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

/* A proxy in a process of its own, which gets hold of things, says so, and waits to be killed. */
struct victim {
    struct story *story;
    struct test_gate holds;
    pid_t pid;
    void (*act)(struct peer *);
};

static void hold_things(void *context)
{
    struct victim *victim = context;
    struct peer peer;

    peer_create(&peer, victim->story, "news");
    victim->act(&peer);
    test_gate_open(&victim->holds);
    for (;;)
        pause();
}

static void start_victim(struct victim *victim, struct story *story, void (*act)(struct peer *))
{
    *victim = (struct victim){.story = story, .act = act};
    test_gate_create(&victim->holds);
    victim->pid = start_child(hold_things, victim);
    ck_assert(test_gate_pass(&victim->holds, TEST_DEADLINE_MS));
    test_gate_destroy(&victim->holds);
}

/* Two pins, an unfinished fill, and a lease that is not used yet. */
static void pin_and_fill(struct peer *peer)
{
    peer_pin(peer, "large");
    peer_pin(peer, "large");
    uint64_t lease = peer_lease(peer, "half");
    ck_assert_int_eq(peer_begin_fill(peer, lease, "half", LARDER_SIZE_UNKNOWN), LARDER_OK);
    ck_assert_int_eq(peer_fill_data(peer, lease, 3, 0, PEER_SEGMENT_BYTES), LARDER_OK);
    peer_lease(peer, "only a lease");
}

START_TEST(killed_proxy_is_reclaimed)
{
    struct story story;
    struct victim victim;
    struct peer other;

    story_begin(&story, "killed");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    uint64_t used = story_gauge(&story, GAUGE_bytes_used);

    start_victim(&victim, &story, pin_and_fill);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins), 2);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 2);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 2);
    ck_assert_uint_gt(gauge_of(&row, GAUGE_bytes_used), used + PEER_SEGMENT_BYTES);
    ck_assert_int_eq(end_child(victim.pid, SIGKILL), 128 + SIGKILL);

    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 1);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_objects), 1);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_bytes_used), used);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], 1);
    ck_assert_uint_eq(row.values[COUNTER_departures], 0);
    ck_assert_uint_eq(row.values[COUNTER_faults_caught], 0);
    ck_assert_int_eq(test_ipc_names(story.instance), 1); /* the other's pool; the dead one's is swept */

    peer_check_miss(&other, "half");
    uint64_t lease = peer_lease(&other, "half"); /* and may be filled by somebody else at once */
    larder_fill_abort(other.client, lease);
    peer_check(&other, "large", 1, LARGE);
    peer_is_served(&other);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* The other goes on while proxies die around it, one after the other. */
START_TEST(others_do_not_notice)
{
    enum { DEATHS = 8 };
    struct story story;
    struct victim victims[DEATHS];
    struct peer other;

    story_begin(&story, "unnoticed");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    uint64_t handle = peer_pin(&other, "large");
    struct larder_event event;
    for (int i = 0; i < DEATHS; i++) {
        start_victim(&victims[i], &story, pin_and_fill);
        kill(victims[i].pid, SIGKILL);
        peer_check(&other, "large", 1, LARGE);
        ck_assert_int_eq(end_child(victims[i].pid, 0), 128 + SIGKILL);
        story_await_counter(&story, COUNTER_proxies_reclaimed, (uint64_t)i + 1);
        peer_is_served(&other);
    }
    ck_assert(!larder_client_next(other.client, &event));
    ck_assert(larder_client_attached(other.client));
    story_await_gauge(&story, GAUGE_pins, 1); /* its own is still there */
    larder_release(other.client, handle);
    larder_client_flush(other.client);
    story_await_gauge(&story, GAUGE_pins, 0);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* An object that only the victim still reads: it goes with the victim. */
START_TEST(object_of_a_dead_reader_is_freed)
{
    struct story story;
    struct victim victim;
    struct peer other;

    story_begin(&story, "reader");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    uint64_t empty = story_gauge(&story, GAUGE_bytes_used);
    peer_store(&other, "large", 1, LARGE);
    start_victim(&victim, &story, pin_and_fill);
    struct larder_segment *segment = peer_key(&other, "large");
    ck_assert_int_eq(larder_remove(other.client, &segment, 5, NULL), 0);
    struct larder_event event = peer_expect(&other, LARDER_EVENT_REMOVE);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(other.client, &event.segment);
    ck_assert_uint_gt(story_gauge(&story, GAUGE_bytes_used), LARGE);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_objects), 0);
    end_child(victim.pid, SIGKILL);
    story_await_gauge(&story, GAUGE_pins, 0);
    /* The heap of times to keep stays allocated. */
    ck_assert_uint_le(story_gauge(&story, GAUGE_bytes_used), empty + 256 * sizeof(void *) + 64);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* Stopped, the proxy keeps what it has; thawed, it goes on with it. */
START_TEST(frozen_proxy_thaws)
{
    struct story story;
    struct victim victim;
    struct peer other;
    int status;

    story_begin(&story, "frozen");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    start_victim(&victim, &story, pin_and_fill);
    kill(victim.pid, SIGSTOP);
    ck_assert_int_eq(waitpid(victim.pid, &status, WUNTRACED), victim.pid);
    ck_assert(WIFSTOPPED(status));
    peer_is_served(&other);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 2);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_leases), 2);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 2);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_reclaimed), 0);
    kill(victim.pid, SIGCONT);
    end_child(victim.pid, SIGKILL);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 0);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

START_TEST(orderly_farewell_gives_everything_back)
{
    struct story story;
    struct peer leaving, other;

    story_begin(&story, "farewell");
    story_start_cache(&story, NULL);
    peer_create(&leaving, &story, "news");
    peer_create(&other, &story, "news");
    peer_store(&leaving, "large", 1, LARGE);
    pin_and_fill(&leaving);
    peer_destroy(&leaving);
    story_await_counter(&story, COUNTER_departures, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 0);
    ck_assert_uint_eq(row.values[COUNTER_proxies_reclaimed], 0);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], 1);
    ck_assert_uint_eq(row.values[COUNTER_bad_requests] + row.values[COUNTER_fenced], 0);
    peer_check(&other, "large", 1, LARGE);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

/* Alive, but it has closed its reply queue: nothing can reach it any more, and nobody holds its lock. */
START_TEST(proxy_that_lets_go_of_its_queue_is_reclaimed)
{
    struct story story;
    struct liar liar;

    story_begin(&story, "letsgo");
    story_start_cache(&story, NULL);
    liar_register(&liar, &story, "news");
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 1);
    liar_end(&liar, false);
    story_await_gauge(&story, GAUGE_proxies, 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_reclaimed), 1);
    story_end(&story);
}
END_TEST

/* ---- a cache that sees no pid of its proxies ----------------------------------------------------------- */

struct stranger {
    struct story *story;
    int report;
};

/* Becomes the first process of a pid namespace, in it the cache. Its standard output is the test's pipe. */
static void cache_in_another_namespace(void *context)
{
    const struct stranger *stranger = context;
    char path[4096];
    int status;

    if (unshare(CLONE_NEWPID))
        _exit(77);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(stranger->report, STDOUT_FILENO);
        snprintf(path, sizeof(path), "%s/cache_server", test_bin_dir());
        execl(path, path, "--instance", stranger->story->instance, "--log-level", "error", (char *)NULL);
        _exit(126);
    }
    waitpid(pid, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static pid_t start_stranger(struct stranger *stranger, struct story *story)
{
    struct test_gate ready;
    char line[6] = "";

    test_gate_create(&ready);
    *stranger = (struct stranger){story, ready.ends[1]};
    pid_t pid = start_child(cache_in_another_namespace, stranger);
    close(ready.ends[1]);
    struct pollfd wait = {.fd = ready.ends[0], .events = POLLIN};
    ck_assert_int_eq(poll(&wait, 1, TEST_DEADLINE_MS), 1);
    bool said = read(ready.ends[0], line, sizeof(line)) == sizeof(line) && memcmp(line, "ready\n", 6) == 0;
    close(ready.ends[0]);
    return said ? pid : -pid;
}

/* The cache's own pid here, from the lock on its queue. */
static pid_t cache_pid(const struct story *story)
{
    struct liar asker;

    liar_appear(&asker, story);
    pid_t pid = asker.endpoint.cache_pid;
    liar_end(&asker, false);
    return pid;
}

START_TEST(death_is_seen_without_a_pidfd)
{
    struct story story;
    struct stranger stranger;
    struct victim victim;
    struct peer other;

    story_begin(&story, "unseen");
    pid_t outer = start_stranger(&stranger, &story);
    if (outer < 0) { /* 77: may not make name spaces */
        ck_assert_int_eq(end_child(-outer, 0), 77);
        story_end(&story);
        return;
    }
    story.runs = true;
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    start_victim(&victim, &story, pin_and_fill);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 2);
    end_child(victim.pid, SIGKILL);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 0);
    ck_assert_int_eq(test_ipc_names(story.instance), 1);
    peer_is_served(&other);
    kill(cache_pid(&story), SIGTERM);
    story.runs = false;
    ck_assert_int_eq(end_child(outer, 0), 0);
    peer_expect(&other, LARDER_EVENT_DETACHED);
    peer_destroy(&other);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, killed_proxy_is_reclaimed);
    tcase_add_test(tcase, others_do_not_notice);
    tcase_add_test(tcase, object_of_a_dead_reader_is_freed);
    tcase_add_test(tcase, frozen_proxy_thaws);
    tcase_add_test(tcase, orderly_farewell_gives_everything_back);
    tcase_add_test(tcase, proxy_that_lets_go_of_its_queue_is_reclaimed);
    tcase_add_test(tcase, death_is_seen_without_a_pidfd);
}

int main(void)
{
    return crash_main("crash_proxy", add_cases);
}
