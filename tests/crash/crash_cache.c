/* The cache is killed, stopped, started twice, frozen, or not there: clients lose nothing but what was under
 * way, and find the next cache by themselves. */
#include "crash_support.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

static void freeze(const struct story *story)
{
    int status;

    kill(story->cache.pid, SIGSTOP);
    ck_assert_int_eq(waitpid(story->cache.pid, &status, WUNTRACED), story->cache.pid);
    ck_assert(WIFSTOPPED(status));
}

/* The segment that the operation took comes back, readable, and can only be returned. */
static void expect_lost(struct peer *peer, enum larder_event_kind kind, void *user, bool with_segment)
{
    struct larder_event event = peer_expect(peer, kind);

    ck_assert_int_eq(event.status, LARDER_LOST);
    ck_assert_ptr_eq(event.user, user);
    ck_assert_uint_eq(event.handle + event.lease, 0);
    ck_assert_uint_eq(event.length + event.meta_length, 0);
    ck_assert_int_eq(event.segment != NULL, with_segment);
    if (with_segment) {
        if (kind == LARDER_EVENT_LOOKUP)
            ck_assert_mem_eq(event.segment->data, "large", 5);
        larder_segment_return(peer->client, &event.segment);
    }
}

static void expect_not_connected(struct peer *peer)
{
    struct larder_segment *segment;

    ck_assert(!larder_client_attached(peer->client));
    ck_assert_str_ne(larder_client_problem(peer->client), "");
    ck_assert_int_eq(larder_segment_borrow(peer->client, &segment), -ENOTCONN);
    ck_assert_ptr_null(segment);
    ck_assert_int_eq(larder_fill_end(peer->client, 1, 0, NULL), -ENOTCONN);
    larder_release(peer->client, 1);
    larder_fill_abort(peer->client, 1);
    larder_client_flush(peer->client);
}

/* Operations of every kind that waits, in the hands of a frozen cache that then dies. */
START_TEST(what_was_under_way_is_lost_and_nothing_else)
{
    struct story story;
    struct peer peer;
    int users[4];

    story_begin(&story, "lost");
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, "news");
    peer_store(&peer, "large", 1, LARGE);
    uint64_t handle = peer_pin(&peer, "large");
    uint64_t lease = peer_lease(&peer, "half");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "half", LARGE), LARDER_OK);

    /* A segment that the caller holds while its cache dies stays readable. */
    struct larder_event held = peer_lookup(&peer, "large", 0);
    ck_assert_int_eq(held.status, LARDER_HIT);

    freeze(&story);
    struct larder_segment *segment = peer_key(&peer, "large");
    ck_assert_int_eq(larder_lookup(peer.client, &segment, 5, 0, &users[0]), 0);
    segment = peer_borrow(&peer);
    ck_assert_int_eq(larder_read(peer.client, handle, 0, &segment, 100, &users[1]), 0);
    segment = peer_borrow(&peer);
    ck_assert_int_eq(larder_fill_data(peer.client, lease, 0, &segment, 100, &users[2]), 0);
    ck_assert_int_eq(larder_fill_end(peer.client, lease, 100, &users[3]), 0);
    larder_client_flush(peer.client);
    story_kill_cache(&story);

    expect_lost(&peer, LARDER_EVENT_LOOKUP, &users[0], true);
    expect_lost(&peer, LARDER_EVENT_READ, &users[1], true);
    expect_lost(&peer, LARDER_EVENT_FILL_DATA, &users[2], true);
    expect_lost(&peer, LARDER_EVENT_FILL_END, &users[3], false);
    peer_expect(&peer, LARDER_EVENT_DETACHED);
    expect_not_connected(&peer);
    ck_assert(is_pattern(held.segment->data + held.meta_length, 1, 0, held.length));

    story_start_cache(&story, NULL);
    peer_expect(&peer, LARDER_EVENT_ATTACHED);
    ck_assert_str_eq(larder_client_problem(peer.client), "");
    ck_assert(is_pattern(held.segment->data + held.meta_length, 1, 0, held.length));
    /* That segment cannot be used with the new registration, only returned. */
    struct larder_segment *old = held.segment;
    ck_assert_int_eq(larder_lookup(peer.client, &old, 5, 0, NULL), -ENOTCONN);
    ck_assert_ptr_eq(old, held.segment);
    larder_segment_return(peer.client, &held.segment);

    /* Handles and leases of the earlier registration are void. */
    segment = peer_borrow(&peer);
    ck_assert_int_eq(larder_read(peer.client, handle, 0, &segment, 100, NULL), -ESTALE);
    ck_assert_int_eq(larder_fill_data(peer.client, lease, 0, &segment, 100, NULL), -ESTALE);
    ck_assert_int_eq(larder_fill_end(peer.client, lease, 100, NULL), -ESTALE);
    ck_assert_int_eq(larder_update(peer.client, handle, 0, &segment, 4, 0, 0, NULL), -ESTALE);
    ck_assert_int_eq(larder_read(peer.client, held.handle, 0, &segment, 100, NULL), -ESTALE);
    larder_segment_return(peer.client, &segment);
    larder_release(peer.client, handle);
    larder_fill_abort(peer.client, lease);
    peer_check_miss(&peer, "large"); /* a new life */
    peer_is_served(&peer);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_bad_requests] + row.values[COUNTER_fenced], 0);
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

/* Gone without having fetched what was lost: nothing leaks, whatever the caller still owed. */
START_TEST(client_may_go_before_it_hears_of_the_loss)
{
    struct story story;
    struct peer peer;

    story_begin(&story, "unheard");
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, "news");
    freeze(&story);
    for (int i = 0; i < 5; i++) {
        struct larder_segment *segment = peer_key(&peer, "large");
        ck_assert_int_eq(larder_lookup(peer.client, &segment, 5, 0, NULL), 0);
    }
    larder_client_flush(peer.client);
    story_kill_cache(&story);
    if (_i > 0) {
        struct larder_event event = peer_expect(&peer, LARDER_EVENT_LOOKUP);
        ck_assert_int_eq(event.status, LARDER_LOST);
        larder_segment_return(peer.client, &event.segment);
    }
    peer_destroy(&peer);
    char name[NAMES_BYTES];
    names_command_queue(name, story.instance);
    ck_assert_int_eq(mq_unlink(name), 0);
    story_end(&story);
}
END_TEST

START_TEST(clients_find_every_next_cache)
{
    enum { PEERS = 3, LIVES = 4 };
    struct story story;
    struct peer peers[PEERS];
    uint64_t epoch = 0;

    story_begin(&story, "lives");
    story_start_cache(&story, NULL);
    for (int i = 0; i < PEERS; i++)
        peer_create(&peers[i], &story, i == 2 ? "shop" : "news");
    for (int life = 0; life < LIVES; life++) {
        peer_store(&peers[0], "shared", (uint64_t)life, LARGE);
        peer_check(&peers[1], "shared", (uint64_t)life, LARGE);
        peer_check_miss(&peers[2], "shared");
        struct wire_row row = story_numbers(&story);
        ck_assert_uint_eq(row.values[COUNTER_registrations], PEERS);
        ck_assert_uint_ne(row.epoch, epoch);
        epoch = row.epoch;
        if (life % 2)
            story_stop_cache(&story);
        else
            story_kill_cache(&story);
        for (int i = 0; i < PEERS; i++)
            peer_expect(&peers[i], LARDER_EVENT_DETACHED);
        story_start_cache(&story, NULL);
        for (int i = 0; i < PEERS; i++)
            peer_expect(&peers[i], LARDER_EVENT_ATTACHED);
    }
    for (int i = 0; i < PEERS; i++)
        peer_destroy(&peers[i]);
    story_end(&story);
}
END_TEST

START_TEST(client_waits_for_a_cache)
{
    struct story story;
    struct peer peer;
    struct larder_event event;

    story_begin(&story, "waits");
    peer_create(&peer, &story, NULL);
    ck_assert(!larder_client_next(peer.client, &event));
    expect_not_connected(&peer);
    ck_assert_ptr_nonnull(strstr(larder_client_problem(peer.client), story.instance));
    story_start_cache(&story, NULL);
    peer_expect(&peer, LARDER_EVENT_ATTACHED);
    peer_is_served(&peer);
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

START_TEST(client_without_a_cache_leaves_nothing)
{
    struct story story;
    struct peer peer;

    story_begin(&story, "nobody");
    peer_create(&peer, &story, NULL);
    peer_destroy(&peer);
    larder_client_destroy(&peer.client); /* NULL is fine */
    story_end(&story);
}
END_TEST

static void find_pool(glob_t *found, const struct story *story)
{
    char pattern[128];

    snprintf(pattern, sizeof pattern, "/dev/shm/larder.%s.*", story->instance);
    ck_assert_int_eq(glob(pattern, 0, NULL, found), 0);
    ck_assert_uint_eq(found->gl_pathc, 1);
}

/* A cache that does not answer a HELLO: the client says so, and gets in when it thaws, with the pool that it
 * has made. */
START_TEST(frozen_cache_is_found_when_it_thaws)
{
    struct story story;
    struct peer peer;
    struct larder_event event;
    glob_t before, after;

    story_begin(&story, "thaws");
    story_start_cache(&story, NULL);
    freeze(&story);
    story.runs = false; /* so that nobody waits for ATTACHED yet */
    peer_create(&peer, &story, NULL);
    find_pool(&before, &story);
    while (strstr(larder_client_problem(peer.client), "does not answer") == NULL)
        ck_assert(!peer_next(&peer, &event, 50));
    find_pool(&after, &story);
    ck_assert_str_eq(before.gl_pathv[0], after.gl_pathv[0]);
    globfree(&before);
    globfree(&after);
    story.runs = true;
    kill(story.cache.pid, SIGCONT);
    peer_expect(&peer, LARDER_EVENT_ATTACHED);
    peer_is_served(&peer);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations_refused), 0);
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

/* ---- one cache an instance ----------------------------------------------------------------------------- */

static int run_cache(const struct story *story)
{
    char instance[TEST_INSTANCE_BYTES];
    char *argv[] = {(char[]){"cache_server"}, (char[]){"--instance"}, instance, NULL};
    struct test_child child;
    char line[64];

    snprintf(instance, sizeof(instance), "%s", story->instance);
    ck_assert_int_eq(test_child_start(&child, argv), 0);
    ck_assert(!test_child_line(&child, line, sizeof(line), TEST_DEADLINE_MS)); /* never gets ready */
    return test_child_stop(&child, 0, TEST_DEADLINE_MS);
}

START_TEST(second_cache_exits_with_2)
{
    struct story story;
    struct peer peer;

    story_begin(&story, "second");
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, NULL);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(run_cache(&story), 2);
    ck_assert(story_queue_exists(&story));
    peer_is_served(&peer);
    ck_assert(larder_client_attached(peer.client));
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

static const int endings[] = {SIGTERM, SIGINT};

START_TEST(asked_to_end_it_leaves_no_name)
{
    struct story story;
    struct peer peer;

    story_begin(&story, "ends");
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, NULL);
    peer_store(&peer, "large", 1, LARGE);
    peer_pin(&peer, "large");
    uint64_t lease = peer_lease(&peer, "half");
    ck_assert_int_eq(peer_begin_fill(&peer, lease, "half", LARGE), LARDER_OK);
    ck_assert_int_eq(test_child_stop(&story.cache, endings[_i], TEST_DEADLINE_MS), 0);
    story.runs = false;
    ck_assert(!story_queue_exists(&story));
    peer_expect(&peer, LARDER_EVENT_DETACHED);
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

static ino_t inode_of_queue(const struct story *story, long *depth)
{
    char name[NAMES_BYTES];
    struct stat status;
    struct mq_attr attributes;
    mqd_t queue;

    names_command_queue(name, story->instance);
    ck_assert_int_eq(mq_open_existing(&queue, name, O_WRONLY), 0);
    ck_assert_int_eq(fstat(queue, &status), 0);
    ck_assert_int_eq(mq_getattr(queue, &attributes), 0);
    *depth = attributes.mq_maxmsg;
    mq_close(queue);
    return status.st_ino;
}

static void send_to_orphan(const struct story *story)
{
    union wire_message message;
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, story->instance);
    ck_assert_int_eq(mq_open_existing(&queue, name, O_WRONLY), 0);
    for (int i = 0; i < MQ_COMMAND_DEPTH; i++) {
        static const enum wire_type types[] = {WIRE_HELLO, WIRE_BELL, WIRE_BYE, WIRE_STATS, WIRE_PING};
        size_t length = wire_prepare(&message, types[i % ROWS(types)], 0x1234 + (uint64_t)i);
        if (i >= 7)
            length = 3; /* garbage */
        ck_assert_int_eq(mq_send_message(queue, &message, length), 0);
    }
    ck_assert_int_eq(mq_send_message(queue, &message, 3), -EAGAIN);
    mq_close(queue);
}

START_TEST(orphaned_queue_is_taken_over)
{
    struct story story;
    struct peer peer;
    long depth;

    story_begin(&story, "orphan");
    story_start_cache(&story, NULL);
    ino_t inode = inode_of_queue(&story, &depth);
    story_kill_cache(&story);
    ck_assert(story_queue_exists(&story));
    send_to_orphan(&story);
    story_start_cache(&story, NULL);
    ck_assert_uint_eq(inode_of_queue(&story, &depth), inode);
    peer_create(&peer, &story, NULL);
    peer_is_served(&peer);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_registrations], 1);
    ck_assert_uint_eq(row.values[COUNTER_registrations_refused], 2);
    ck_assert_uint_eq(row.values[COUNTER_bad_messages], 9); /* all of them but the PING */
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

static void make_queue(const struct story *story, long depth, mode_t mode)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, story->instance);
    ck_assert_int_eq(mq_create_exclusive(&queue, name, depth), 0);
    ck_assert_int_eq(fchmod(queue, mode), 0);
    mq_close(queue);
}

START_TEST(orphan_of_another_shape_is_replaced)
{
    struct story story;
    struct peer peer;
    long depth;

    story_begin(&story, "shape");
    make_queue(&story, 3, 0600);
    story_start_cache(&story, NULL);
    inode_of_queue(&story, &depth);
    ck_assert_int_eq(depth, MQ_COMMAND_DEPTH);
    peer_create(&peer, &story, NULL);
    peer_is_served(&peer);
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

/* A queue that others may write is not ours to use, nor to remove. */
START_TEST(open_queue_in_the_way_is_left_alone)
{
    struct story story;
    char name[NAMES_BYTES];

    story_begin(&story, "intheway");
    make_queue(&story, MQ_COMMAND_DEPTH, 0622);
    ck_assert_int_eq(run_cache(&story), 1);
    ck_assert(story_queue_exists(&story));
    names_command_queue(name, story.instance);
    ck_assert_int_eq(mq_unlink(name), 0);
    story_end(&story);
}
END_TEST

/* ---- many ---------------------------------------------------------------------------------------------- */

START_TEST(sixty_four_idle_proxies)
{
    enum { PEERS = 64 };
    struct story story;
    struct peer peers[PEERS];
    static struct wire_row rows[PEERS + WIRE_OP_END + 8];
    int proxies = 0;

    story_begin(&story, "sixtyfour");
    story_start_cache(&story, NULL);
    for (int i = 0; i < PEERS; i++)
        peer_create_with(&peers[i], &story, i % 2 ? "news" : "shop", 4, 4096);
    int count = story_rows(&story, rows, PEERS + WIRE_OP_END + 8);
    for (int i = 0; i < count; i++)
        proxies += rows[i].kind == WIRE_ROW_PROXY && rows[i].pid == (uint32_t)getpid();
    ck_assert_int_eq(proxies, PEERS);
    ck_assert_uint_eq(gauge_of(&rows[0], GAUGE_proxies), PEERS);
    for (int i = 0; i < PEERS; i++)
        peer_destroy(&peers[i]);
    story_await_gauge(&story, GAUGE_proxies, 0);
    ck_assert(story_answers(&story));
    story_end(&story);
}
END_TEST

/* ---- cache_ctl ----------------------------------------------------------------------------------------- */

static int run_ctl(const struct story *story, const char *command, const char *option, char *out, size_t size)
{
    char instance[TEST_INSTANCE_BYTES], verb[16], flag[16];
    char *argv[] = {
        (char[]){"cache_ctl"}, (char[]){"--instance"}, instance, verb, option ? flag : NULL, NULL};
    struct test_child child;
    char line[4096];
    size_t at = 0;

    snprintf(instance, sizeof(instance), "%s", story->instance);
    snprintf(verb, sizeof(verb), "%s", command);
    snprintf(flag, sizeof(flag), "%s", option ? option : "");
    ck_assert_int_eq(test_child_start(&child, argv), 0);
    while (test_child_line(&child, line, sizeof(line), TEST_DEADLINE_MS) && at + strlen(line) + 2 < size)
        at += (size_t)snprintf(out + at, size - at, "%s\n", line);
    return test_child_stop(&child, 0, TEST_DEADLINE_MS);
}

static json_int_t number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    ck_assert_msg(json_is_integer(value), "%s is no integer", name);
    return json_integer_value(value);
}

static void check_names(const json_t *object, unsigned scope)
{
    for (int i = 0; i < COUNTER_COUNT + GAUGE_COUNT; i++) {
        const json_t *value = json_object_get(object, counter_infos[i].name);
        ck_assert_int_eq(value != NULL, (counter_infos[i].scopes & scope) != 0);
    }
}

START_TEST(statistics_as_json)
{
    static char out[65536];
    struct story story;
    struct peer peer;

    story_begin(&story, "json");
    ck_assert_int_eq(run_ctl(&story, "stats", "--json", out, sizeof(out)), 75);
    ck_assert_int_eq(run_ctl(&story, "ping", NULL, out, sizeof(out)), 75);
    story_start_cache(&story, NULL);
    peer_create(&peer, &story, "news");
    peer_store(&peer, "large", 1, LARGE);
    peer_check(&peer, "large", 1, LARGE);
    ck_assert_int_eq(run_ctl(&story, "ping", NULL, out, sizeof(out)), 0);
    memset(out, 0, sizeof(out));
    ck_assert_int_eq(run_ctl(&story, "stats", "--json", out, sizeof(out)), 0);
    json_t *root = json_loads(out, 0, NULL);
    ck_assert_ptr_nonnull(root);
    const json_t *cache = json_object_get(root, "cache");
    ck_assert_int_eq(number(cache, "pid"), story.cache.pid);
    ck_assert_int_eq(number(cache, "misses"), 1);
    ck_assert_int_eq(number(cache, "hits"), 1);
    ck_assert_int_eq(number(cache, "fills"), 1);
    ck_assert_int_eq(number(cache, "objects"), 1);
    ck_assert_int_eq(number(cache, "bytes_served"), LARGE);
    ck_assert_int_eq(number(cache, "bytes_filled"), LARGE);
    check_names(cache, COUNTER_SCOPE_CACHE);
    const json_t *tenant = json_array_get(json_object_get(root, "tenants"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(tenant, "name")), "news");
    check_names(tenant, COUNTER_SCOPE_TENANT);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "proxies")), 1);
    const json_t *proxy = json_array_get(json_object_get(root, "proxies"), 0);
    ck_assert_int_eq(number(proxy, "pid"), getpid());
    ck_assert_int_eq(number(proxy, "uid"), geteuid());
    ck_assert_str_eq(json_string_value(json_object_get(proxy, "tenant")), "news");
    ck_assert_str_eq(json_string_value(json_object_get(proxy, "state")), "alive");
    check_names(proxy, COUNTER_SCOPE_PROXY);
    json_decref(root);
    peer_destroy(&peer);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, what_was_under_way_is_lost_and_nothing_else);
    tcase_add_loop_test(tcase, client_may_go_before_it_hears_of_the_loss, 0, 2);
    tcase_add_test(tcase, clients_find_every_next_cache);
    tcase_add_test(tcase, client_waits_for_a_cache);
    tcase_add_test(tcase, client_without_a_cache_leaves_nothing);
    tcase_add_test(tcase, frozen_cache_is_found_when_it_thaws);
    tcase_add_test(tcase, second_cache_exits_with_2);
    tcase_add_loop_test(tcase, asked_to_end_it_leaves_no_name, 0, ROWS(endings));
    tcase_add_test(tcase, orphaned_queue_is_taken_over);
    tcase_add_test(tcase, orphan_of_another_shape_is_replaced);
    tcase_add_test(tcase, open_queue_in_the_way_is_left_alone);
    tcase_add_test(tcase, sixty_four_idle_proxies);
    tcase_add_test(tcase, statistics_as_json);
}

int main(void)
{
    return crash_main("crash_cache", add_cases);
}
