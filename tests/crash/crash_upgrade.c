/* The cache dies with many proxies at work, comes back as another version, or comes eight times at once: no
 * proxy is restarted, none sees a wrong byte, and each finds the cache that serves in the end. */
#include "crash_support.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

/* ---- at work ------------------------------------------------------------------------------------------ */

START_TEST(workers_outlive_every_cache)
{
    enum { WORKERS = 12, DEATHS = 4 };
    struct workers workers;
    struct story story;
    uint64_t hits[WORKERS];

    story_begin(&story, "workers");
    story_start_cache(&story, NULL);
    workers_start(&workers, &story, WORKERS);
    for (uint64_t death = 0; death < DEATHS; death++) {
        workers_go_on(&workers, 20);
        if (death % 2)
            story_stop_cache(&story);
        else
            story_kill_cache(&story);
        story_start_cache(&story, NULL);
        workers_await_attached(&workers, death + 2);
    }
    for (int i = 0; i < WORKERS; i++)
        hits[i] = atomic_load(&workers_account(&workers, i)->hits);
    workers_go_on(&workers, 50);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_uint_gt(atomic_load(&workers_account(&workers, i)->hits), hits[i]);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), WORKERS);
    ck_assert_uint_eq(row.values[COUNTER_registrations], WORKERS); /* once each with this cache */
    ck_assert_uint_eq(row.values[COUNTER_bad_requests] + row.values[COUNTER_fenced], 0);
    workers_stop(&workers);
    story_is_settled(&story, 0);
    row = story_numbers(&story);
    /* Each has said BYE and ended, and its end may be seen first. */
    ck_assert_uint_eq(row.values[COUNTER_departures] + row.values[COUNTER_proxies_reclaimed], WORKERS);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], 0);
    story_adds_up(&story);
    story_end(&story);
}
END_TEST

/* All have lost the same cache at the same moment, and all come back. */
START_TEST(thirty_two_register_again)
{
    enum { PEERS = 32, DEATHS = 3 };
    struct story story;
    struct peer peers[PEERS];

    story_begin(&story, "thirtytwo");
    story_start_cache(&story, NULL);
    for (int i = 0; i < PEERS; i++)
        peer_create_with(&peers[i], &story, i % 2 ? "news" : "shop", 4, 4096);
    for (int death = 0; death < DEATHS; death++) {
        story_kill_cache(&story);
        for (int i = 0; i < PEERS; i++)
            peer_expect(&peers[i], LARDER_EVENT_DETACHED);
        story_start_cache(&story, NULL);
        for (int i = 0; i < PEERS; i++)
            peer_expect(&peers[i], LARDER_EVENT_ATTACHED);
        struct wire_row row = story_numbers(&story);
        ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), PEERS);
        ck_assert_uint_ge(row.values[COUNTER_registrations], PEERS);
        ck_assert_int_eq(test_ipc_names(story.instance), PEERS); /* of earlier lives none is left */
    }
    for (int i = 0; i < PEERS; i++)
        peer_destroy(&peers[i]);
    story_is_settled(&story, 0);
    story_adds_up(&story);
    story_end(&story);
}
END_TEST

/* ---- another version ---------------------------------------------------------------------------------- */

static int run_ctl(const struct story *story, const char *verb, char *said, size_t size)
{
    char instance[TEST_INSTANCE_BYTES], command[16];
    char *argv[] = {(char[]){"/bin/sh"},
                    (char[]){"-c"},
                    (char[]){"exec \"$0/cache_ctl\" --instance \"$1\" \"$2\" 2>&1"},
                    (char[]){"."},
                    instance,
                    command,
                    NULL};
    struct test_child child;

    argv[3] = strdup(test_bin_dir());
    snprintf(instance, sizeof(instance), "%s", story->instance);
    snprintf(command, sizeof(command), "%s", verb);
    ck_assert_int_eq(test_child_start(&child, argv), 0);
    free(argv[3]);
    ck_assert(test_child_line(&child, said, size, TEST_DEADLINE_MS));
    return test_child_stop(&child, 0, TEST_DEADLINE_MS);
}

static void await_problem(struct peer *peer, const char *words)
{
    struct larder_event event;
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;

    while (strstr(larder_client_problem(peer->client), words) == NULL) {
        ck_assert_msg(!peer_next(peer, &event, 20), "event %d", (int)event.kind);
        ck_assert_msg(test_now_ms() < deadline, "its problem is: %s", larder_client_problem(peer->client));
    }
}

/* The queue that the one leaves is taken over by the other, both ways. */
START_TEST(another_version_refuses_by_name_and_goes)
{
    enum { PEERS = 3 };
    struct story story;
    struct peer peers[PEERS];
    char said[1024];

    story_begin(&story, "version");
    story_start_cache(&story, NULL);
    for (int i = 0; i < PEERS; i++)
        peer_create(&peers[i], &story, "news");
    peer_store(&peers[0], "large", 1, LARGE);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            story_stop_cache(&story);
        else
            story_kill_cache(&story);
        story_start_program(&story, "cache_server_next", NULL);
        for (int i = 0; i < PEERS; i++) {
            peer_expect(&peers[i], LARDER_EVENT_DETACHED);
            await_problem(&peers[i], "another protocol version");
            ck_assert(!larder_client_attached(peers[i].client));
        }
        ck_assert_int_eq(run_ctl(&story, "stats", said, sizeof(said)), 2);
        ck_assert_msg(strstr(said, "version") != NULL, "cache_ctl said: %s", said);
        if (round == 0)
            story_kill_cache(&story);
        else
            story_stop_cache(&story);
        story_start_cache(&story, NULL);
        for (int i = 0; i < PEERS; i++)
            peer_expect(&peers[i], LARDER_EVENT_ATTACHED);
        peer_check_miss(&peers[0], "large");
        peer_store(&peers[1], "large", 2, LARGE);
        peer_check(&peers[2], "large", 2, LARGE);
        ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), PEERS);
    }
    for (int i = 0; i < PEERS; i++)
        peer_destroy(&peers[i]);
    story_is_settled(&story, 0);
    story_end(&story);
}
END_TEST

/* What others say under another version's name is refused, whatever it is, and nothing comes of it. */
START_TEST(messages_of_another_version)
{
    struct story story;
    struct liar liar;
    struct peer peer;
    union wire_message message;

    story_begin(&story, "messages");
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, "news");
    liar_appear(&liar, &story);
    uint64_t before = story_counter(&story, COUNTER_bad_messages);
    for (int type = WIRE_HELLO; type <= WIRE_STATS; type++) {
        size_t length = liar_hello(&liar, "news", &message);
        message.header.type = (uint16_t)type;
        message.header.version = 9999;
        liar_send(&liar, &message, length);
        liar_expect_refusal(&liar, (uint32_t)type, WIRE_REFUSAL_VERSION);
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_messages), before + WIRE_STATS);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1);
    liar_end(&liar, false);
    peer_is_served(&peer);
    peer_destroy(&peer);
    story_is_settled(&story, 0);
    story_end(&story);
}
END_TEST

/* ---- racing ------------------------------------------------------------------------------------------- */

enum { RACERS = 8 };

struct racer {
    pid_t pid;
    int out;
    bool ready;
    int status; /* exit status, or -1 while it runs */
};

/* Waits at the start with the others: a pipe that its parent closes. */
static void run_racer(const struct story *story, int start, int out)
{
    char path[4096], byte;

    snprintf(path, sizeof(path), "%s/cache_server", test_bin_dir());
    dup2(out, STDOUT_FILENO);
    if (read(start, &byte, 1) != 0)
        _exit(126);
    execl(path, path, "--instance", story->instance, "--log-level", "error", (char *)NULL);
    _exit(127);
}

static void line_up(struct racer *racers, const struct story *story)
{
    int start[2];

    ck_assert_int_eq(pipe2(start, O_CLOEXEC), 0);
    for (int i = 0; i < RACERS; i++) {
        int out[2];

        ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
        racers[i] = (struct racer){.out = out[0], .status = -1};
        racers[i].pid = fork();
        ck_assert_int_ge(racers[i].pid, 0);
        if (racers[i].pid == 0) {
            close(STDERR_FILENO); /* seven say why they end */
            close(start[1]);
            run_racer(story, start[0], out[1]);
        }
        close(out[1]);
    }
    close(start[0]);
    close(start[1]); /* go */
}

/* Until it says that it is ready, or ends. */
static void see_finish(struct racer *racer)
{
    char text[16] = "";
    struct pollfd wait = {.fd = racer->out, .events = POLLIN};
    int status;

    ck_assert_int_eq(poll(&wait, 1, TEST_DEADLINE_MS), 1);
    racer->ready = read(racer->out, text, sizeof(text)) > 0 && strncmp(text, "ready\n", 6) == 0;
    if (racer->ready)
        return;
    ck_assert_int_eq(waitpid(racer->pid, &status, 0), racer->pid);
    ck_assert(WIFEXITED(status));
    racer->status = WEXITSTATUS(status);
}

/* One serves, the others end with status 2. Its place in the list. */
static int race(struct racer *racers, const struct story *story)
{
    int winner = -1, losers = 0;

    line_up(racers, story);
    for (int i = 0; i < RACERS; i++) {
        see_finish(&racers[i]);
        if (racers[i].ready) {
            ck_assert_msg(winner < 0, "two caches serve one instance");
            winner = i;
        } else {
            ck_assert_int_eq(racers[i].status, 2);
            losers++;
        }
    }
    ck_assert_int_ge(winner, 0);
    ck_assert_int_eq(losers, RACERS - 1);
    return winner;
}

/* The winner becomes the story's cache. */
static void crown(struct story *story, const struct racer *racers, int winner)
{
    for (int i = 0; i < RACERS; i++) {
        if (i != winner)
            close(racers[i].out);
    }
    story->cache = (struct test_child){.pid = racers[winner].pid, .out = racers[winner].out};
    story->runs = true;
}

/* `_i`: over an empty place, or over the queue of a killed cache. */
START_TEST(one_of_eight_caches_serves)
{
    enum { RACES = 6 };
    struct racer racers[RACERS];
    struct story story;
    struct peer peer;

    story_begin(&story, "race");
    peer_create(&peer, &story, "news");
    for (int i = 0; i < RACES; i++) {
        if (_i == 1) {
            story_start_cache(&story, NULL);
            peer_expect(&peer, LARDER_EVENT_ATTACHED);
            story_kill_cache(&story);
            peer_expect(&peer, LARDER_EVENT_DETACHED);
        }
        ck_assert_int_eq(story_queue_exists(&story), _i == 1);
        crown(&story, racers, race(racers, &story));
        peer_expect(&peer, LARDER_EVENT_ATTACHED);
        peer_is_served(&peer);
        ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1);
        ck_assert(story_answers(&story)); /* and it is that process */
        story_stop_cache(&story);
        peer_expect(&peer, LARDER_EVENT_DETACHED);
    }
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

/* While the one that serves goes in an orderly way, which removes the name, eight others come. */
START_TEST(caches_race_with_the_end_of_another)
{
    enum { RACES = 6 };
    struct racer racers[RACERS];
    struct story story;
    struct peer peer;

    story_begin(&story, "handover");
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, "news");
    for (int i = 0; i < RACES; i++) {
        int winner = -1, old_status;

        line_up(racers, &story);
        kill(story.cache.pid, SIGTERM);
        for (int k = 0; k < RACERS; k++) {
            see_finish(&racers[k]);
            ck_assert(winner < 0 || !racers[k].ready);
            if (racers[k].ready)
                winner = k;
            else
                ck_assert_int_eq(racers[k].status, 2);
        }
        old_status = test_child_stop(&story.cache, 0, TEST_DEADLINE_MS);
        ck_assert_int_eq(old_status, 0);
        peer_expect(&peer, LARDER_EVENT_DETACHED);
        if (winner >= 0) {
            ck_assert(story_queue_exists(&story)); /* the old one has not taken the new one's name away */
            crown(&story, racers, winner);
        } else { /* all were too early */
            for (int k = 0; k < RACERS; k++)
                close(racers[k].out);
            story.runs = false;
            ck_assert(!story_queue_exists(&story));
            story_start_cache(&story, NULL);
        }
        peer_expect(&peer, LARDER_EVENT_ATTACHED);
        peer_is_served(&peer);
    }
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, workers_outlive_every_cache);
    tcase_add_test(tcase, thirty_two_register_again);
    tcase_add_test(tcase, another_version_refuses_by_name_and_goes);
    tcase_add_test(tcase, messages_of_another_version);
    tcase_add_loop_test(tcase, one_of_eight_caches_serves, 0, 2);
    tcase_add_test(tcase, caches_race_with_the_end_of_another);
}

int main(void)
{
    return crash_main("crash_upgrade", add_cases);
}
