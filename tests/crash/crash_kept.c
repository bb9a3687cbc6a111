/* Segments that proxies keep and use again without asking: whatever happens to the object, the segment says
 * so before anybody is told; and whatever happens to the proxy, nothing is left of what it kept. */
#include "crash_support.h"

#include "segment_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define HALF (PEER_SEGMENTS / 2)

static struct story story;
static struct peer one, two; /* of one tenant */
static struct liar liar;

static void begin_with(const char *const arguments[])
{
    story_begin(&story, "kept");
    story_start_cache(&story, arguments);
    peer_create(&one, &story, "news");
    peer_create(&two, &story, "news");
}

static void begin(void)
{
    begin_with(NULL);
}

/* All that was kept has been given back by then. */
static void end(void)
{
    peer_is_served(&one);
    peer_is_served(&two);
    story_is_settled(&story, 2);
    story_adds_up(&story);
    peer_destroy(&one);
    peer_destroy(&two);
    story_await_gauge(&story, GAUGE_kept, 0);
    story_await_gauge(&story, GAUGE_bytes_held, 0);
    story_end(&story);
}

/* ---- short words -------------------------------------------------------------------------------------- */

/* Tags: "t" and its end, if `tagged`. */
static void store(struct peer *peer, const char *key, uint64_t seed, uint32_t size, bool tagged,
                  int64_t keep_ms)
{
    uint64_t lease = peer_lease(peer, key);
    struct larder_segment *segment = peer_key(peer, key);
    struct larder_fill fill = {
        .lease = lease,
        .key_length = (uint32_t)strlen(key),
        .tags_length = tagged ? 2 : 0,
        .meta_length = 4,
        .body_length = size,
        .object_size = size,
        .fresh_until = soon_ms(keep_ms),
        .keep_until = soon_ms(keep_ms),
    };
    uint8_t *at = segment->data + fill.key_length;

    memcpy(at, "t", fill.tags_length);
    memcpy(at + fill.tags_length, "meta", 4);
    fill_pattern(at + fill.tags_length + 4, seed, 0, size);
    ck_assert_int_eq(larder_fill_begin(peer->client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_FILL_BEGIN);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(peer->client, &event.segment);
}

static void give_back(struct peer *peer, struct larder_event *event)
{
    if (event->handle)
        larder_release(peer->client, event->handle);
    larder_segment_return(peer->client, &event->segment);
    larder_client_flush(peer->client);
}

static struct larder_event keep(struct peer *peer, const char *key)
{
    struct larder_event event = peer_lookup(peer, key, LARDER_LOOKUP_KEEP);

    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert(event.kept);
    ck_assert(larder_segment_is_current(event.segment));
    return event;
}

static void expect_not_kept(struct peer *peer, const char *key, uint32_t flags, enum larder_status status)
{
    struct larder_event event = peer_lookup(peer, key, flags);

    ck_assert_int_eq(event.status, status);
    ck_assert(!event.kept);
    ck_assert(!larder_segment_is_current(event.segment));
    give_back(peer, &event);
}

static void use(struct larder_event *event, unsigned times)
{
    while (times-- > 0)
        larder_segment_used(event->segment);
}

/* ---- keeping and using -------------------------------------------------------------------------------- */

START_TEST(kept_segment_is_used_and_counted)
{
    begin();
    store(&one, "hot", 7, 1000, false, 3600000);
    uint64_t hits = story_counter(&story, COUNTER_hits);
    struct larder_event event = keep(&two, "hot");
    ck_assert_uint_eq(event.length, 1000);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 1);
    use(&event, 1000);
    ck_assert(larder_segment_is_current(event.segment));
    ck_assert(is_pattern(event.segment->data + event.meta_length, 7, 0, 1000));
    ck_assert_uint_eq(story_counter(&story, COUNTER_hits), hits + 1 + 1000);
    ck_assert_uint_eq(story_counter(&story, COUNTER_kept_hits), 1000);
    use(&event, 5);
    give_back(&two, &event);
    peer_is_served(&two); /* passes it again: the rest of the uses is counted then */
    ck_assert_uint_eq(story_counter(&story, COUNTER_kept_hits), 1005);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
    end();
}
END_TEST

START_TEST(beginning_of_a_large_object_stands_for_all_of_it)
{
    uint64_t size = 3 * PEER_SEGMENT_BYTES + 5;

    begin();
    peer_store(&one, "large", 3, size);
    struct larder_event event = keep(&two, "large");
    ck_assert_uint_ne(event.handle, 0);
    struct larder_segment *segment = peer_borrow(&two);
    ck_assert_int_eq(larder_read(two.client, event.handle, event.length, &segment, PEER_SEGMENT_BYTES, NULL),
                     0);
    struct larder_event more = peer_expect(&two, LARDER_EVENT_READ);
    ck_assert(is_pattern(more.segment->data, 3, event.length, more.length));
    larder_segment_return(two.client, &more.segment);
    ck_assert(larder_segment_is_current(event.segment));
    peer_store(&one, "other", 4, 10);
    ck_assert(larder_segment_is_current(event.segment));
    struct larder_segment *key = peer_key(&one, "large");
    ck_assert_int_eq(larder_remove(one.client, &key, 5, NULL), 0);
    struct larder_event removed = peer_expect(&one, LARDER_EVENT_REMOVE);
    ck_assert(!larder_segment_is_current(event.segment));
    larder_segment_return(one.client, &removed.segment);
    give_back(&two, &event);
    end();
}
END_TEST

START_TEST(only_fresh_hits_with_a_body_are_kept)
{
    begin();
    store(&one, "hot", 7, 100, false, 3600000);
    expect_not_kept(&two, "hot", 0, LARDER_HIT);
    expect_not_kept(&two, "hot", LARDER_LOOKUP_KEEP | LARDER_LOOKUP_NO_BODY, LARDER_HIT);
    expect_not_kept(&two, "hot", LARDER_LOOKUP_KEEP | LARDER_LOOKUP_REVALIDATE, LARDER_STALE);
    expect_not_kept(&two, "cold", LARDER_LOOKUP_KEEP, LARDER_MISS);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
    end();
}
END_TEST

START_TEST(half_of_the_segments_are_kept)
{
    struct larder_event events[HALF];

    begin();
    store(&one, "hot", 7, 100, false, 3600000);
    for (uint32_t i = 0; i < HALF; i++)
        events[i] = keep(&two, "hot");
    expect_not_kept(&two, "hot", LARDER_LOOKUP_KEEP, LARDER_HIT);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), HALF);
    /* One that is passed again makes place for another. */
    memcpy(events[3].segment->data, "hot", 3);
    ck_assert_int_eq(larder_lookup(two.client, &events[3].segment, 3, LARDER_LOOKUP_KEEP, NULL), 0);
    events[3] = peer_expect(&two, LARDER_EVENT_LOOKUP);
    ck_assert(events[3].kept && larder_segment_is_current(events[3].segment));
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), HALF);
    for (uint32_t i = 0; i < HALF; i++)
        give_back(&two, &events[i]);
    end();
}
END_TEST

/* ---- every way in which an object changes or goes ------------------------------------------------------ */

static void remove_it(void)
{
    struct larder_segment *segment = peer_key(&one, "hot");

    ck_assert_int_eq(larder_remove(one.client, &segment, 3, NULL), 0);
    struct larder_event event = peer_expect(&one, LARDER_EVENT_REMOVE);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(one.client, &event.segment);
}

static uint64_t lease_of_stale(uint64_t *handle)
{
    struct larder_event event = peer_lookup(&one, "hot", LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE);

    ck_assert_int_eq(event.status, LARDER_STALE);
    ck_assert_uint_ne(event.lease, 0);
    *handle = event.handle;
    larder_segment_return(one.client, &event.segment);
    return event.lease;
}

static void replace_it(void)
{
    uint64_t handle, lease = lease_of_stale(&handle);

    larder_release(one.client, handle);
    ck_assert_int_eq(peer_begin_fill(&one, lease, "hot", 0), LARDER_OK);
}

static void renew_it(void)
{
    uint64_t handle, lease = lease_of_stale(&handle);
    struct larder_segment *segment = peer_key(&one, "new metadata");

    ck_assert_int_eq(
        larder_update(one.client, handle, lease, &segment, 12, soon_ms(3600000), soon_ms(3600000), NULL), 0);
    struct larder_event event = peer_expect(&one, LARDER_EVENT_UPDATE);
    ck_assert_int_eq(event.status, LARDER_OK);
    larder_segment_return(one.client, &event.segment);
    larder_release(one.client, handle);
}

static void purge(const char *bytes, uint32_t length, uint32_t flags)
{
    struct larder_segment *segment = peer_borrow(&one);

    memcpy(segment->data, bytes, length);
    ck_assert_int_eq(larder_purge(one.client, &segment, length, flags, NULL), 0);
    struct larder_event event = peer_expect(&one, LARDER_EVENT_PURGE);
    ck_assert_int_eq(event.status, LARDER_OK);
    ck_assert_uint_ge(event.purged, 1);
    larder_segment_return(one.client, &event.segment);
}

static void purge_key(void)
{
    purge("hot", 3, LARDER_PURGE_KEY);
}
static void purge_key_softly(void)
{
    purge("hot", 3, LARDER_PURGE_KEY | LARDER_PURGE_SOFT);
}
static void purge_prefix(void)
{
    purge("ho", 2, LARDER_PURGE_PREFIX);
}
static void purge_prefix_softly(void)
{
    purge("ho", 2, LARDER_PURGE_PREFIX | LARDER_PURGE_SOFT);
}
static void purge_tag(void)
{
    purge("t", 2, LARDER_PURGE_TAGS);
}
static void purge_tag_softly(void)
{
    purge("t", 2, LARDER_PURGE_TAGS | LARDER_PURGE_SOFT);
}
static void purge_all(void)
{
    purge("", 0, LARDER_PURGE_PREFIX);
}

/* An administrator's, by message. */
static void purge_by_admin(void)
{
    struct liar admin;
    union wire_message message;

    liar_appear(&admin, &story);
    size_t length = liar_hello(&admin, "", &message);
    message.wire_hello.role = WIRE_ROLE_ADMIN;
    liar_send(&admin, &message, length);
    ck_assert(liar_receive(&admin, &message, TEST_DEADLINE_MS) && message.header.type == WIRE_WELCOME);
    admin.registration = message.wire_welcome.registration;
    liar_hand_over(&admin, 0, "ho");
    length = wire_prepare(&message, WIRE_PURGE, admin.endpoint.token);
    message.wire_purge.registration = admin.registration;
    message.wire_purge.secret = admin.endpoint.secret;
    message.wire_purge.length = 2;
    message.wire_purge.flags = WIRE_PURGE_PREFIX;
    memcpy(message.wire_purge.tenant, "news", 4);
    liar_send(&admin, &message, length);
    ck_assert(liar_receive(&admin, &message, TEST_DEADLINE_MS));
    ck_assert_uint_eq(message.header.type, WIRE_PURGED);
    ck_assert_uint_ge(message.wire_purged.objects, 1);
    liar_end(&admin, true);
}

static const struct way {
    void (*go)(void);
} ways[] = {{remove_it},     {replace_it},          {renew_it},  {purge_key},        {purge_key_softly},
            {purge_prefix},  {purge_prefix_softly}, {purge_tag}, {purge_tag_softly}, {purge_all},
            {purge_by_admin}};

/* Kept by both proxies, the one that causes it as well. */
START_TEST(segment_is_stale_before_the_cause_is_answered)
{
    begin();
    store(&one, "hot", 7, 500, true, 3600000);
    store(&one, "cold", 8, 500, false, 3600000);
    struct larder_event own = keep(&one, "hot"), others = keep(&two, "hot"), cold = keep(&two, "cold");
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 3);
    ways[_i].go();
    ck_assert(!larder_segment_is_current(own.segment));
    ck_assert(!larder_segment_is_current(others.segment));
    ck_assert_int_eq(larder_segment_is_current(cold.segment), ways[_i].go != purge_all);
    ck_assert(is_pattern(others.segment->data + others.meta_length, 7, 0, 500)); /* still readable */
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), ways[_i].go != purge_all);
    give_back(&one, &own);
    give_back(&two, &others);
    give_back(&two, &cold);
    end();
}
END_TEST

/* Far more objects than a purge visits at once, and those that are kept came last, or in between. */
START_TEST(purge_that_goes_on_has_marked_already)
{
    enum { OBJECTS = 2000, EACH = 400 };
    static const uint32_t flags[] = {LARDER_PURGE_PREFIX, LARDER_PURGE_PREFIX | LARDER_PURGE_SOFT,
                                     LARDER_PURGE_TAGS, LARDER_PURGE_TAGS | LARDER_PURGE_SOFT};
    struct larder_event kept[OBJECTS / EACH];
    bool tags = flags[_i] & LARDER_PURGE_TAGS;

    begin();
    for (int i = 0; i < OBJECTS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "hot-%d", i);
        store(&one, key, 1, 1, true, 3600000);
        if (i % EACH == 0)
            kept[i / EACH] = keep(&two, key);
    }
    purge(tags ? "t" : "hot-", tags ? 2 : 4, flags[_i]);
    for (int i = 0; i < OBJECTS / EACH; i++) {
        ck_assert(!larder_segment_is_current(kept[i].segment));
        give_back(&two, &kept[i]);
    }
    story_await_counter(&story, COUNTER_purged, OBJECTS);
    end();
}
END_TEST

struct waiting {
    const struct larder_segment *segment;
};

static bool is_stale(void *context)
{
    return !larder_segment_is_current(((struct waiting *)context)->segment);
}

START_TEST(expiry_marks_it)
{
    begin();
    store(&one, "hot", 7, 500, false, 400);
    struct larder_event event = keep(&two, "hot");
    struct waiting waiting = {event.segment};
    ck_assert(test_wait_until(is_stale, &waiting, TEST_DEADLINE_MS));
    story_await_counter(&story, COUNTER_expired, 1);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
    give_back(&two, &event);
    end();
}
END_TEST

/* Memory for some hundred objects. What is used without asking stays, what is only kept goes, and is marked
 * when the fill that took its place is answered. */
START_TEST(eviction_marks_it_and_spares_what_is_used)
{
    enum { OBJECTS = 1000, SIZE = 8000 };
    static const char *const arguments[] = {"--memory", "4M", NULL};
    char key[16];

    begin_with(arguments);
    store(&one, "used", 7, SIZE, false, 3600000);
    store(&one, "kept", 8, SIZE, false, 3600000);
    struct larder_event used = keep(&two, "used"), only_kept = keep(&two, "kept");
    for (int i = 0; i < OBJECTS; i++) {
        snprintf(key, sizeof(key), "cold-%d", i);
        store(&one, key, 1, SIZE, false, 3600000);
        use(&used, 1);
    }
    ck_assert_uint_gt(story_counter(&story, COUNTER_evictions), OBJECTS / 2);
    ck_assert(larder_segment_is_current(used.segment));
    ck_assert(!larder_segment_is_current(only_kept.segment));
    peer_check(&one, "used", 7, SIZE);
    peer_check_miss(&one, "kept");
    ck_assert_uint_eq(story_counter(&story, COUNTER_kept_hits), OBJECTS);
    give_back(&two, &used);
    give_back(&two, &only_kept);
    end();
}
END_TEST

/* ---- the proxy goes ----------------------------------------------------------------------------------- */

struct keeping {
    int ready[2], go[2]; /* pipes, from it and to it */
    bool pins;
    pid_t pid;
};

/* Exits with 0 if what it keeps is current in the end, with 10 if it is not. */
static void keep_and_wait(void *context)
{
    const struct keeping *keeping = context;
    struct peer peer;
    char byte = 'r';

    peer_create(&peer, &story, "news");
    struct larder_event event = keep(&peer, "hot");
    if (keeping->pins)
        peer_pin(&peer, "large");
    ck_assert_int_eq(write(keeping->ready[1], &byte, 1), 1);
    ck_assert_int_eq(read(keeping->go[0], &byte, 1), 1); /* silent: as if it were stopped */
    bool current = larder_segment_is_current(event.segment);
    larder_segment_return(peer.client, &event.segment);
    peer_destroy(&peer);
    _exit(current ? 0 : 10);
}

static void start_keeper(struct keeping *keeping)
{
    char byte;

    ck_assert_int_eq(pipe(keeping->ready) + pipe(keeping->go), 0);
    keeping->pid = start_child(keep_and_wait, keeping);
    ck_assert_int_eq(read(keeping->ready[0], &byte, 1), 1);
}

static void expect_stale(const struct keeping *keeping)
{
    ck_assert_int_eq(write(keeping->go[1], "g", 1), 1);
    ck_assert_int_eq(end_child(keeping->pid, 0), 10);
}

static void forget(const struct keeping *keeping)
{
    for (int i = 0; i < 2; i++) {
        close(keeping->ready[i]);
        close(keeping->go[i]);
    }
}

START_TEST(killed_keeper_leaves_nothing)
{
    struct keeping keeping = {0};

    begin();
    store(&one, "hot", 7, 500, false, 3600000);
    start_keeper(&keeping);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 1);
    end_child(keeping.pid, SIGKILL);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
    remove_it();
    forget(&keeping);
    end();
}
END_TEST

/* Dropped while it could not look: all that it keeps is void by the one word in its pool, and the purge that
 * came later has not even seen it. */
START_TEST(frozen_keeper_that_thaws_sees_that_it_was_dropped)
{
    static const char *const arguments[] = {"--stall-time", "0.2", "--stall-limit", "0.4", NULL};
    struct keeping keeping = {.pins = true};

    begin_with(arguments);
    store(&one, "hot", 7, 500, false, 3600000);
    peer_store(&one, "large", 3, 3 * PEER_SEGMENT_BYTES);
    start_keeper(&keeping);
    for (struct larder_event event; story_counter(&story, COUNTER_stalled_dropped) == 0;) {
        ck_assert(!peer_next(&one, &event, 20)); /* the others are at their loops */
        ck_assert(!peer_next(&two, &event, 20));
    }
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
    expect_stale(&keeping);
    forget(&keeping);
    end();
}
END_TEST

/* Frozen, and still registered: the purge marks its segment. */
START_TEST(frozen_keeper_sees_what_was_purged)
{
    struct keeping keeping = {0};

    begin();
    store(&one, "hot", 7, 500, false, 3600000);
    start_keeper(&keeping);
    freeze_process(keeping.pid);
    purge_prefix();
    kill(keeping.pid, SIGCONT);
    expect_stale(&keeping);
    forget(&keeping);
    story_await_counter(&story, COUNTER_departures, 1);
    end();
}
END_TEST

/* Nobody wakes the client, as in a proxy that was frozen and thaws among requests. */
static void await_stale(const struct larder_segment *segment)
{
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;

    while (larder_segment_is_current(segment))
        ck_assert_int_lt(test_now_ms(), deadline);
}

/* Of the pool only what is held, and what is no segment's. */
static void expect_little_memory(int fd)
{
    struct stat about;

    ck_assert_int_eq(fstat(fd, &about), 0);
    ck_assert_int_lt(about.st_blocks * 512, (off_t)PEER_SEGMENTS * PEER_SEGMENT_BYTES / 2);
}

START_TEST(nothing_is_current_once_the_cache_is_gone)
{
    begin();
    store(&one, "hot", 7, 500, false, 3600000);
    struct larder_event event = keep(&two, "hot");
    if (_i == 0)
        story_kill_cache(&story);
    else
        story_stop_cache(&story);
    if (_i == 1) /* it said so itself */
        ck_assert(!larder_segment_is_current(event.segment));
    else
        await_stale(event.segment);
    peer_expect(&two, LARDER_EVENT_DETACHED);
    peer_expect(&one, LARDER_EVENT_DETACHED);
    ck_assert(!larder_segment_is_current(event.segment));
    ck_assert(is_pattern(event.segment->data + event.meta_length, 7, 0, 500));
    off_t offset;
    uint8_t bytes[500];
    int fd = larder_segment_file(event.segment, &offset); /* the pool is there as long as it is held */
    ck_assert_int_eq(pread(fd, bytes, 500, offset + event.meta_length), 500);
    ck_assert(is_pattern(bytes, 7, 0, 500));
    expect_little_memory(fd);
    story_start_cache(&story, NULL);
    peer_expect(&one, LARDER_EVENT_ATTACHED);
    peer_expect(&two, LARDER_EVENT_ATTACHED);
    ck_assert(!larder_segment_is_current(event.segment));
    larder_segment_lent(event.segment);
    give_back(&two, &event);
    end();
}
END_TEST

/* ---- the proxy lies ----------------------------------------------------------------------------------- */

static struct wire_completion liar_keeps(uint32_t segment)
{
    struct wire_completion completion =
        liar_look_up(&liar, segment, "hot", WIRE_LOOKUP_KEEP, WIRE_STATUS_HIT);

    liar_take_back(&liar, segment);
    return completion;
}

START_TEST(scribbled_headers_cost_only_their_owner)
{
    begin();
    store(&one, "hot", 7, 500, false, 3600000);
    struct larder_event event = keep(&two, "hot");
    liar_register(&liar, &story, "news");
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t segment = round % 8;
        struct segment_header *header = segment_header(&liar.endpoint.pool, segment);

        liar_keeps(segment);
        atomic_store(&header->uses, round * 0x01234567u);
        atomic_store(&header->guard, round * 0x89abcdefu);
        memset(header->reserved, (int)round, sizeof(header->reserved));
    }
    ck_assert(story_answers(&story));
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 1 + 4);
    /* At most so many at a look, and each of the rounds is one. */
    ck_assert_uint_le(story_counter(&story, COUNTER_kept_hits), UINT64_C(205) << 20);
    ck_assert(larder_segment_is_current(event.segment));
    remove_it();
    ck_assert(!larder_segment_is_current(event.segment));
    for (uint32_t i = 0; i < 4; i++) /* the first half; there was no place for the others */
        ck_assert_uint_eq(segment_guard(&liar.endpoint.pool, i), POOL_STALE);
    give_back(&two, &event);
    liar_end(&liar, true);
    end();
}
END_TEST

/* Its pool has lost the page of the headers when somebody else's purge is to mark it. */
START_TEST(lost_header_costs_its_owner_and_not_who_purges)
{
    begin();
    store(&one, "hot", 7, 500, true, 3600000);
    struct larder_event event = keep(&two, "hot");
    liar_register(&liar, &story, "news");
    ck_assert(liar_keeps(2).flags & WIRE_KEPT);
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, 0), 0);
    ways[_i].go();
    ck_assert(!larder_segment_is_current(event.segment));
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    ck_assert_uint_eq(story_counter(&story, COUNTER_faults_caught), 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 1);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
    give_back(&two, &event);
    liar_end(&liar, false);
    end();
}
END_TEST

/* The last request of a segment with a hold is one that makes no sense. */
START_TEST(any_request_with_the_segment_ends_the_hold)
{
    begin();
    store(&one, "hot", 7, 500, false, 3600000);
    liar_register(&liar, &story, "news");
    for (enum wire_op op = 0; op <= WIRE_OP_END; op++) {
        ck_assert(liar_keeps(2).flags & WIRE_KEPT);
        ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 1);
        struct wire_request request = liar_request(&liar, op);
        request.segment = 2;
        uint64_t served = story_counter(&story, COUNTER_requests);
        liar_put(&liar, &request);
        story_await_counter(&story, COUNTER_requests, served + 1);
        ck_assert_uint_eq(story_gauge(&story, GAUGE_kept), 0);
        ck_assert_uint_eq(segment_guard(&liar.endpoint.pool, 2), POOL_STALE);
        if (op != WIRE_OP_RELEASE && op != WIRE_OP_FILL_ABORT && op != WIRE_OP_UNFOLLOW)
            liar_completion(&liar);
    }
    liar_end(&liar, true);
    end();
}
END_TEST

/* ---- pages that sockets refer to ----------------------------------------------------------------------- */

static bool refuses_pages;

int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (refuses_pages && mode == 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, length);
}

/* Into a pipe, which refers to pages as a socket does. */
static int lend(struct larder_event *event, bool tells)
{
    int ends[2];
    off_t offset;
    int fd = larder_segment_file(event->segment, &offset);

    ck_assert_int_eq(pipe(ends), 0);
    offset += event->meta_length;
    ck_assert_int_eq(sendfile(ends[1], fd, &offset, event->length), event->length);
    if (tells)
        larder_segment_lent(event->segment);
    close(ends[1]);
    return ends[0];
}

static void overwrite_all(struct peer *peer)
{
    struct larder_segment *all[PEER_SEGMENTS];
    uint32_t count = 0;

    while (count < PEER_SEGMENTS && larder_segment_borrow(peer->client, &all[count]) == 0)
        memset(all[count++]->data, 0xee, PEER_SEGMENT_BYTES);
    while (count > 0)
        larder_segment_return(peer->client, &all[--count]);
}

/* `_i` 0: nobody says that it is lent, and the reader sees what was written later. */
START_TEST(lent_pages_are_never_written)
{
    uint8_t bytes[8000];

    begin();
    store(&one, "hot", 7, sizeof(bytes), false, 3600000);
    struct larder_event event = keep(&two, "hot");
    int end_of_pipe = lend(&event, _i);
    give_back(&two, &event);
    overwrite_all(&two);
    size_t have = 0;
    for (ssize_t more; (more = read(end_of_pipe, bytes + have, sizeof(bytes) - have)) > 0;)
        have += (size_t)more;
    ck_assert_uint_eq(have, sizeof(bytes));
    ck_assert_int_eq(is_pattern(bytes, 7, 0, sizeof(bytes)), _i);
    close(end_of_pipe);
    end();
}
END_TEST

/* READ takes a lent segment, and gives it new pages first; what wants bytes of the caller's does not. */
START_TEST(lent_segment_is_passed_to_a_read)
{
    uint64_t size = 3 * PEER_SEGMENT_BYTES;
    uint8_t bytes[1000];

    begin();
    peer_store(&one, "large", 3, size);
    struct larder_event event = keep(&two, "large");
    event.length = sizeof(bytes);
    int end_of_pipe = lend(&event, true);
    ck_assert_int_eq(larder_lookup(two.client, &event.segment, 3, 0, NULL), -EINVAL);
    refuses_pages = true;
    ck_assert_int_eq(larder_read(two.client, event.handle, 0, &event.segment, 100, NULL), -ENOSPC);
    ck_assert_ptr_nonnull(event.segment);
    ck_assert(!larder_segment_is_current(event.segment));
    refuses_pages = false;
    ck_assert_int_eq(
        larder_read(two.client, event.handle, PEER_SEGMENT_BYTES, &event.segment, PEER_SEGMENT_BYTES, NULL),
        0);
    struct larder_event more = peer_expect(&two, LARDER_EVENT_READ);
    ck_assert(is_pattern(more.segment->data, 3, PEER_SEGMENT_BYTES, PEER_SEGMENT_BYTES));
    ck_assert_int_eq(read(end_of_pipe, bytes, sizeof(bytes)), sizeof(bytes));
    ck_assert(is_pattern(bytes, 3, 0, sizeof(bytes)));
    event.segment = more.segment;
    give_back(&two, &event);
    close(end_of_pipe);
    end();
}
END_TEST

static uint32_t free_segments(struct peer *peer)
{
    struct larder_segment *all[PEER_SEGMENTS];
    uint32_t count = 0, free;

    while (count < PEER_SEGMENTS && larder_segment_borrow(peer->client, &all[count]) == 0)
        count++;
    for (free = count; count > 0;)
        larder_segment_return(peer->client, &all[--count]);
    return free;
}

START_TEST(segments_without_pages_wait_for_them)
{
    struct larder_event kept[HALF];

    begin();
    store(&one, "hot", 7, 500, false, 3600000);
    for (uint32_t i = 0; i < HALF; i++) {
        kept[i] = keep(&two, "hot");
        larder_segment_lent(kept[i].segment);
    }
    refuses_pages = true;
    for (uint32_t i = 0; i < HALF; i++)
        give_back(&two, &kept[i]);
    ck_assert_uint_eq(free_segments(&two), PEER_SEGMENTS - HALF);
    overwrite_all(&two); /* nobody touches what has no pages */
    peer_is_served(&two);
    refuses_pages = false;
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;
    while (free_segments(&two) < PEER_SEGMENTS) {
        struct larder_event event;
        ck_assert(test_now_ms() < deadline);
        ck_assert(!peer_next(&two, &event, 50)); /* the heartbeat's timer */
    }
    overwrite_all(&two);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, kept_segment_is_used_and_counted);
    tcase_add_test(tcase, beginning_of_a_large_object_stands_for_all_of_it);
    tcase_add_test(tcase, only_fresh_hits_with_a_body_are_kept);
    tcase_add_test(tcase, half_of_the_segments_are_kept);
    tcase_add_loop_test(tcase, segment_is_stale_before_the_cause_is_answered, 0, ROWS(ways));
    tcase_add_loop_test(tcase, purge_that_goes_on_has_marked_already, 0, 4);
    tcase_add_test(tcase, expiry_marks_it);
    tcase_add_test(tcase, eviction_marks_it_and_spares_what_is_used);
    tcase_add_test(tcase, killed_keeper_leaves_nothing);
    tcase_add_test(tcase, frozen_keeper_that_thaws_sees_that_it_was_dropped);
    tcase_add_test(tcase, frozen_keeper_sees_what_was_purged);
    tcase_add_loop_test(tcase, nothing_is_current_once_the_cache_is_gone, 0, 2);
    tcase_add_test(tcase, scribbled_headers_cost_only_their_owner);
    tcase_add_loop_test(tcase, lost_header_costs_its_owner_and_not_who_purges, 0, ROWS(ways));
    tcase_add_test(tcase, any_request_with_the_segment_ends_the_hold);
    tcase_add_loop_test(tcase, lent_pages_are_never_written, 0, 2);
    tcase_add_test(tcase, lent_segment_is_passed_to_a_read);
    tcase_add_test(tcase, segments_without_pages_wait_for_them);
}

int main(void)
{
    return crash_main("crash_kept", add_cases);
}
