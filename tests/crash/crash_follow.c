/* One fetch for many: proxies that miss a key follow the one that fills it, read what it has while it grows,
 * and go on when it dies, freezes or gives up. */
#include "crash_support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((uint64_t)PEER_SEGMENT_BYTES)
#define LARGE (5 * PIECE + 7) /* more than one chunk of the store */

static struct story story;

/* ---- puppets ------------------------------------------------------------------------------------------ */

/* A proxy in a process of its own that is always at its loop and does what it is told. */
enum verb {
    LOOKUP,
    BEGIN,
    DATA,
    END,
    ABORT,
    DISCARD,
    KEEP,
    UPDATE,
    REMOVE,
    FOLLOW, /* does not wait for the answer */
    NEWS,   /* waits for it */
    READ,
    READ_META,
    RELEASE,
    UNFOLLOW,
    CHECK,
    QUIT
};

struct order {
    enum verb verb;
    char key[16];
    uint64_t number; /* handle, lease or follow handle */
    uint64_t other;  /* UPDATE: lease */
    uint64_t size, seed, offset;
    uint32_t flags;
};

struct said {
    struct larder_event event;
    int error;
    bool told; /* FOLLOW events have come that nobody has asked for yet */
};

struct strings { /* in the puppet's process */
    struct peer peer;
    struct larder_event news;
    bool has_news;
    int wire;
};

/* An answer. Births and deaths of the cache are passed over, news is kept for later. */
static bool next_event(struct strings *strings, struct larder_event *event)
{
    while (larder_client_next(strings->peer.client, event)) {
        if (event->kind <= LARDER_EVENT_DETACHED)
            continue;
        if (event->kind != LARDER_EVENT_FOLLOW)
            return true;
        ck_assert(!strings->has_news);
        strings->news = *event;
        strings->has_news = true;
    }
    return false;
}

/* Sleeps until there is something to do, or `fd` is readable. */
static void sleep_at_the_loop(struct strings *strings, int fd)
{
    struct pollfd waits[2] = {{.fd = larder_client_fd(strings->peer.client), .events = POLLIN},
                              {.fd = fd, .events = POLLIN}};

    larder_client_flush(strings->peer.client);
    poll(waits, 2, larder_client_may_sleep(strings->peer.client) ? 1000 : 0);
    if (waits[0].revents)
        larder_client_wake(strings->peer.client);
}

static struct larder_event expect(struct strings *strings, enum larder_event_kind kind)
{
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;
    struct larder_event event;

    while (!next_event(strings, &event)) {
        ck_assert_msg(test_now_ms() < deadline, "no event of kind %d", (int)kind);
        sleep_at_the_loop(strings, -1);
    }
    ck_assert_msg(event.kind == kind, "event of kind %d, not %d", (int)event.kind, (int)kind);
    return event;
}

static void await_news(struct strings *strings, const struct order *order, struct said *said)
{
    (void)order;
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;
    struct larder_event event;

    while (!strings->has_news) {
        ck_assert_msg(test_now_ms() < deadline, "no news");
        ck_assert(!next_event(strings, &event));
        if (!strings->has_news)
            sleep_at_the_loop(strings, -1);
    }
    strings->has_news = false;
    said->event = strings->news;
}

/* What an operation with a segment says, whose bytes are looked at by then. */
static void finish(struct strings *strings, struct said *said, struct larder_segment *segment,
                   enum larder_event_kind kind)
{
    if (said->error) {
        if (segment)
            larder_segment_return(strings->peer.client, &segment);
        return;
    }
    said->event = expect(strings, kind);
}

static void give_back(struct strings *strings, struct said *said)
{
    if (said->event.segment)
        larder_segment_return(strings->peer.client, &said->event.segment);
}

static void look_up(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_key(&strings->peer, order->key);

    said->error =
        larder_lookup(strings->peer.client, &segment, (uint32_t)strlen(order->key), order->flags, NULL);
    finish(strings, said, segment, LARDER_EVENT_LOOKUP);
    give_back(strings, said);
}

/* `size` is announced; the metadata is "meta" and what `seed` says. */
static void begin_fill(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_key(&strings->peer, order->key);
    struct larder_fill fill = {.lease = order->number,
                               .key_length = (uint32_t)strlen(order->key),
                               .meta_length = 5,
                               .object_size = order->size,
                               .fresh_until = soon_ms(3600000),
                               .keep_until = soon_ms(7200000)};

    memcpy(segment->data + fill.key_length, "meta", 4);
    segment->data[fill.key_length + 4] = (uint8_t)('0' + order->seed);
    said->error = larder_fill_begin(strings->peer.client, &fill, &segment, NULL);
    finish(strings, said, segment, LARDER_EVENT_FILL_BEGIN);
    give_back(strings, said);
}

static void fill_data(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_borrow(&strings->peer);

    fill_pattern(segment->data, order->seed, order->offset, order->size);
    said->error = larder_fill_data(strings->peer.client, order->number, order->offset, &segment,
                                   (uint32_t)order->size, NULL);
    finish(strings, said, segment, LARDER_EVENT_FILL_DATA);
    give_back(strings, said);
}

/* `size` bytes at `offset`, which must be right. */
static void read_some(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_borrow(&strings->peer);

    said->error = larder_read(strings->peer.client, order->number, order->offset, &segment,
                              (uint32_t)order->size, NULL);
    finish(strings, said, segment, LARDER_EVENT_READ);
    if (!said->error && said->event.status == LARDER_OK) {
        ck_assert_uint_eq(said->event.length, order->size);
        ck_assert_msg(is_pattern(said->event.segment->data, order->seed, order->offset, order->size),
                      "wrong bytes at %llu", (unsigned long long)order->offset);
    }
    give_back(strings, said);
}

/* Metadata of `seed`, and up to `size` right bytes behind it. */
static void read_meta(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_borrow(&strings->peer);

    said->error =
        larder_read_meta(strings->peer.client, order->number, &segment, (uint32_t)order->size, NULL);
    finish(strings, said, segment, LARDER_EVENT_READ);
    if (!said->error && said->event.status == LARDER_OK) {
        ck_assert_uint_eq(said->event.meta_length, 5);
        ck_assert_mem_eq(said->event.segment->data, "meta", 4);
        ck_assert_uint_eq(said->event.segment->data[4], '0' + order->seed);
        ck_assert(is_pattern(said->event.segment->data + 5, order->seed, 0, said->event.length));
        ck_assert_int_gt(said->event.fresh_until, soon_ms(0));
    }
    give_back(strings, said);
}

static void update(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_borrow(&strings->peer);

    memcpy(segment->data, "meta", 4);
    segment->data[4] = (uint8_t)('0' + order->seed);
    said->error = larder_update(strings->peer.client, order->number, order->other, &segment, 5,
                                soon_ms(3600000), soon_ms(7200000), NULL);
    finish(strings, said, segment, LARDER_EVENT_UPDATE);
    give_back(strings, said);
}

static void remove_key(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_segment *segment = peer_key(&strings->peer, order->key);

    said->error = larder_remove(strings->peer.client, &segment, (uint32_t)strlen(order->key), NULL);
    finish(strings, said, segment, LARDER_EVENT_REMOVE);
    give_back(strings, said);
}

/* Looks up and reads all of it. */
static void check_whole(struct strings *strings, const struct order *order, struct said *said)
{
    look_up(strings, order, said);
    ck_assert_int_eq(said->event.status, LARDER_HIT);
    ck_assert_uint_eq(said->event.object_size, order->size);
    struct order part = {.number = said->event.handle, .seed = order->seed};
    for (part.offset = 0; part.offset < order->size; part.offset += part.size) {
        struct said read = {0};
        part.size = order->size - part.offset < PIECE ? order->size - part.offset : PIECE;
        read_some(strings, &part, &read);
        ck_assert_int_eq(read.event.status, LARDER_OK);
    }
    larder_release(strings->peer.client, part.number);
}

static void end_fill(struct strings *strings, const struct order *order, struct said *said)
{
    said->error = larder_fill_end(strings->peer.client, order->number, order->size, NULL);
    finish(strings, said, NULL, LARDER_EVENT_FILL_END);
}

static void follow(struct strings *strings, const struct order *order, struct said *said)
{
    said->error = larder_follow(strings->peer.client, order->number, order->offset, NULL);
}

/* What the cache answers. */
static void (*const acts[])(struct strings *strings, const struct order *order, struct said *said) = {
    [LOOKUP] = look_up,      [BEGIN] = begin_fill,  [DATA] = fill_data,    [END] = end_fill,
    [UPDATE] = update,       [REMOVE] = remove_key, [FOLLOW] = follow,     [NEWS] = await_news,
    [READ_META] = read_meta, [READ] = read_some,    [CHECK] = check_whole,
};
/* What it does not: something is given up. */
static void (*const silent[])(struct larder_client *client, uint64_t number) = {
    [ABORT] = larder_fill_abort, [DISCARD] = larder_fill_discard, [KEEP] = larder_fill_keep,
    [RELEASE] = larder_release,  [UNFOLLOW] = larder_unfollow,
};

static void obey(struct strings *strings, const struct order *order, struct said *said)
{
    struct larder_client *client = strings->peer.client;

    if (order->verb < ROWS(acts) && acts[order->verb])
        acts[order->verb](strings, order, said);
    else if (order->verb < ROWS(silent) && silent[order->verb])
        silent[order->verb](client, order->number);
    larder_client_flush(client);
}

/* Until an order has come. */
static void be_at_the_loop(struct strings *strings)
{
    struct pollfd order = {.fd = strings->wire, .events = POLLIN};
    struct larder_event event;

    while (poll(&order, 1, 0) == 0) {
        ck_assert(!next_event(strings, &event));
        sleep_at_the_loop(strings, strings->wire);
    }
}

static void dance(void *context)
{
    const struct puppet *puppet = context;
    struct strings strings = {.wire = puppet->wire};
    struct order order = {.verb = LOOKUP};

    peer_create(&strings.peer, &story, "news");
    while (order.verb != QUIT) {
        struct said said = {0};
        be_at_the_loop(&strings);
        if (read(strings.wire, &order, sizeof(order)) != sizeof(order))
            break; /* whoever holds the strings is gone */
        obey(&strings, &order, &said);
        said.told = strings.has_news;
        if (order.verb == QUIT)
            larder_client_destroy(&strings.peer.client);
        ck_assert_int_eq(write(strings.wire, &said, sizeof(said)), sizeof(said));
    }
}

static struct said tell(const struct puppet *puppet, struct order order)
{
    struct said said;

    puppet_ask(puppet, &order, sizeof(order), &said, sizeof(said));
    return said;
}

static void puppet_create(struct puppet *puppet)
{
    puppet_start(puppet, dance);
    tell(puppet, (struct order){.verb = RELEASE}); /* it is there */
}

static void puppet_quit(const struct puppet *puppet)
{
    tell(puppet, (struct order){.verb = QUIT});
    puppet_end(puppet);
}

static bool is_stalled(void *context)
{
    const struct puppet *puppet = context;
    static struct wire_row rows[64];
    int count = story_rows(&story, rows, ROWS(rows));

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && rows[i].pid == (uint32_t)puppet->pid)
            return rows[i].state == WIRE_STATE_STALLED;
    }
    return false;
}

static void freeze(struct puppet *puppet)
{
    freeze_process(puppet->pid);
    ck_assert_msg(test_wait_until(is_stalled, puppet, TEST_DEADLINE_MS), "it is never stalled");
}

/* ---- what is said ------------------------------------------------------------------------------------- */

static struct puppet holder, reader, third;

static const uint32_t both = LARDER_LOOKUP_LEASE | LARDER_LOOKUP_FOLLOW;

static void begin(const char *const arguments[])
{
    story_begin(&story, "follow");
    story_start_cache(&story, arguments);
    puppet_create(&holder);
    puppet_create(&reader);
    puppet_create(&third);
}

static void end_without(const struct puppet *dead)
{
    const struct puppet *all[] = {&holder, &reader, &third};

    for (int i = 0; i < 3; i++) {
        if (all[i] != dead)
            puppet_quit(all[i]);
    }
    story_is_settled(&story, 0);
    story_adds_up(&story);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_followers), 0);
    story_end(&story);
}

static void end(void)
{
    story_is_settled(&story, 3);
    end_without(NULL);
}

static uint64_t lease_of(const struct puppet *puppet)
{
    struct said said = tell(puppet, (struct order){.verb = LOOKUP, .key = "key", .flags = both});

    ck_assert_uint_ne(said.event.lease, 0);
    ck_assert_uint_eq(said.event.follow, 0);
    return said.event.lease;
}

static uint64_t follow_of(const struct puppet *puppet)
{
    struct said said = tell(puppet, (struct order){.verb = LOOKUP, .key = "key", .flags = both});

    ck_assert_uint_ne(said.event.follow, 0);
    ck_assert_uint_eq(said.event.lease, 0);
    return said.event.follow;
}

/* Returns when the cache has heard it: it serves a ring in order. */
static void ask(const struct puppet *puppet, uint64_t follow, uint64_t known)
{
    struct order order = {.verb = FOLLOW, .number = follow, .offset = known};

    ck_assert_int_eq(tell(puppet, order).error, 0);
    ck_assert_int_eq(tell(puppet, (struct order){.verb = LOOKUP, .key = "absent"}).event.status, LARDER_MISS);
}

static struct larder_event news(const struct puppet *puppet)
{
    struct larder_event event = tell(puppet, (struct order){.verb = NEWS}).event;

    ck_assert_int_eq(event.kind, LARDER_EVENT_FOLLOW);
    return event;
}

static struct larder_event ask_for_news(const struct puppet *puppet, uint64_t follow, uint64_t known)
{
    ask(puppet, follow, known);
    return news(puppet);
}

static void begin_it(const struct puppet *puppet, uint64_t lease, uint64_t size, uint64_t seed)
{
    ck_assert_int_eq(
        tell(puppet, (struct order){.verb = BEGIN, .key = "key", .number = lease, .size = size, .seed = seed})
            .event.status,
        LARDER_OK);
}

static enum larder_status fill_it(const struct puppet *puppet, uint64_t lease, uint64_t seed, uint64_t from,
                                  uint64_t to)
{
    enum larder_status status = LARDER_OK;

    while (from < to && status == LARDER_OK) {
        struct order order = {.verb = DATA, .number = lease, .seed = seed, .offset = from};
        order.size = to - from < PIECE ? to - from : PIECE;
        status = tell(puppet, order).event.status;
        from += order.size;
    }
    return status;
}

static enum larder_status end_it(const struct puppet *puppet, uint64_t lease, uint64_t size)
{
    return tell(puppet, (struct order){.verb = END, .number = lease, .size = size}).event.status;
}

static void read_it(const struct puppet *puppet, uint64_t handle, uint64_t seed, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct order order = {.verb = READ, .number = handle, .seed = seed, .offset = from};
        order.size = to - from < PIECE ? to - from : PIECE;
        ck_assert_int_eq(tell(puppet, order).event.status, LARDER_OK);
        from += order.size;
    }
}

static void release(const struct puppet *puppet, uint64_t handle)
{
    tell(puppet, (struct order){.verb = RELEASE, .number = handle});
}

static void check(const struct puppet *puppet, uint64_t seed)
{
    tell(puppet, (struct order){.verb = CHECK, .key = "key", .seed = seed, .size = LARGE});
}

/* Follows what has begun; returns the pin. */
static uint64_t follow_begun(const struct puppet *puppet, uint64_t *follow, uint64_t filled)
{
    *follow = follow_of(puppet);
    struct larder_event event = ask_for_news(puppet, *follow, LARDER_FOLLOW_NOTHING);
    ck_assert_int_eq(event.status, LARDER_OK);
    ck_assert_uint_eq(event.follow, *follow);
    ck_assert_uint_ne(event.handle, 0);
    ck_assert_uint_eq(event.filled, filled);
    return event.handle;
}

/* ---- as bytes arrive ---------------------------------------------------------------------------------- */

/* `_i`: the size is announced, or not. */
START_TEST(bytes_are_read_as_they_arrive)
{
    uint64_t size = _i == 0 ? LARGE : LARDER_SIZE_UNKNOWN, known = 0;

    begin(NULL);
    uint64_t lease = lease_of(&holder), follow = follow_of(&reader);
    ck_assert_uint_eq(follow_of(&reader), follow); /* the same for the same */
    ask(&reader, follow, LARDER_FOLLOW_NOTHING);
    begin_it(&holder, lease, size, 1);
    struct larder_event event = news(&reader);
    ck_assert(event.status == LARDER_OK && event.follow == follow && event.filled == 0);
    ck_assert(event.object_size == size && event.lease == 0 && !event.promoted && !event.broken);
    uint64_t handle = event.handle;
    ck_assert_uint_ne(handle, 0);
    for (uint64_t offset = 0; offset < LARGE; offset += 10000) {
        uint64_t to = LARGE - offset < 10000 ? LARGE : offset + 10000;
        ask(&reader, follow, known);
        ck_assert_int_eq(fill_it(&holder, lease, 1, offset, to), LARDER_OK);
        event = news(&reader);
        ck_assert(event.status == LARDER_OK && event.follow == follow && event.handle == 0);
        ck_assert_uint_eq(event.filled, to);
        read_it(&reader, handle, 1, known, to);
        known = to;
    }
    struct said said =
        tell(&reader, (struct order){.verb = READ_META, .number = handle, .seed = 1, .size = 500});
    ck_assert(said.event.length == 500 && said.event.object_size == size);
    struct wire_row row = story_numbers(&story);
    uint64_t held = gauge_of(&row, GAUGE_bytes_held); /* with key, metadata and what blocks are rounded to */
    ck_assert(gauge_of(&row, GAUGE_pins) == 1 && held >= LARGE && held < 2 * LARGE);
    ck_assert(gauge_of(&row, GAUGE_followers) == 1 && row.values[COUNTER_followed] == 2);
    ask(&reader, follow, known);
    ck_assert_int_eq(end_it(&holder, lease, LARGE), LARDER_OK);
    event = news(&reader);
    ck_assert(event.status == LARDER_HIT && event.follow == 0 && event.handle == 0);
    ck_assert(event.filled == LARGE && event.object_size == LARGE);
    read_it(&reader, handle, 1, 0, LARGE);
    check(&third, 1);
    row = story_numbers(&story);
    ck_assert(row.values[COUNTER_fills] == 1 && row.values[COUNTER_promoted] == 0);
    ck_assert(row.values[COUNTER_fenced] == 0 && gauge_of(&row, GAUGE_followers) == 0);
    release(&reader, handle);
    end();
}
END_TEST

/* It asks when all is over: the object was pinned for it. */
START_TEST(late_question_finds_it_complete)
{
    begin(NULL);
    uint64_t lease = lease_of(&holder), follow = follow_of(&reader), unused = follow_of(&third);
    begin_it(&holder, lease, LARGE, 1);
    fill_it(&holder, lease, 1, 0, LARGE);
    ck_assert_int_eq(end_it(&holder, lease, LARGE), LARDER_OK);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 2);
    tell(&holder, (struct order){.verb = REMOVE, .key = "key"});
    struct larder_event event = ask_for_news(&reader, follow, LARDER_FOLLOW_NOTHING);
    ck_assert(event.status == LARDER_HIT && event.handle != 0 && event.filled == LARGE);
    read_it(&reader, event.handle, 1, 0, LARGE);
    release(&reader, event.handle);
    tell(&third, (struct order){.verb = UNFOLLOW, .number = unused});
    end();
}
END_TEST

/* Another of the same proxy: it follows, and is promoted, like anybody else. */
START_TEST(own_lease_is_followed)
{
    uint64_t follow;

    begin(NULL);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARGE, 1);
    uint64_t handle = follow_begun(&holder, &follow, 0);
    ask(&holder, follow, 0);
    fill_it(&holder, lease, 1, 0, 2 * PIECE);
    ck_assert_uint_ge(news(&holder).filled, PIECE);
    ask(&holder, follow, 2 * PIECE);
    tell(&holder, (struct order){.verb = ABORT, .number = lease});
    struct larder_event event = news(&holder);
    ck_assert(event.promoted && event.status == LARDER_OK && event.filled == 2 * PIECE);
    ck_assert_int_eq(fill_it(&holder, lease, 1, 2 * PIECE, 3 * PIECE), LARDER_FENCED);
    ck_assert_int_eq(fill_it(&holder, event.lease, 1, 2 * PIECE, LARGE), LARDER_OK);
    ck_assert_int_eq(end_it(&holder, event.lease, LARGE), LARDER_OK);
    release(&holder, handle);
    check(&third, 1);
    end();
}
END_TEST

/* ---- the holder goes ---------------------------------------------------------------------------------- */

enum progress { NOT_BEGUN, BEGUN_UNSEEN, BEGUN, HALF };

/* `_i`: how far it had come. */
START_TEST(killed_holder_is_succeeded)
{
    uint64_t filled = _i == HALF ? 2 * PIECE + 100 : 0, follows[2], handles[2] = {0};
    struct puppet *all[] = {&reader, &third};

    begin(NULL);
    uint64_t lease = lease_of(&holder);
    if (_i >= BEGUN)
        begin_it(&holder, lease, LARGE, 1);
    fill_it(&holder, lease, 1, 0, filled);
    for (int i = 0; i < 2; i++) {
        if (_i >= BEGUN)
            handles[i] = follow_begun(all[i], &follows[i], filled);
        else
            follows[i] = follow_of(all[i]);
        read_it(all[i], handles[i], 1, 0, filled);
    }
    if (_i == BEGUN_UNSEEN)
        begin_it(&holder, lease, LARGE, 1);
    for (int i = 0; i < 2 && _i != BEGUN_UNSEEN; i++)
        ask(all[i], follows[i], _i >= BEGUN ? filled : LARDER_FOLLOW_NOTHING);
    puppet_kill(&holder);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    for (int i = 0; i < 2 && _i == BEGUN_UNSEEN; i++)
        ask(all[i], follows[i], LARDER_FOLLOW_NOTHING);
    struct larder_event event = news(&reader); /* who has waited longest */
    ck_assert(event.promoted && event.lease != 0 && event.follow == 0 && event.handle == 0);
    ck_assert_int_eq(event.status, _i >= BEGUN ? LARDER_OK : LARDER_MISS);
    ck_assert_uint_eq(event.filled, filled);
    struct wire_row row = story_numbers(&story);
    ck_assert(row.values[COUNTER_promoted] == 1 && gauge_of(&row, GAUGE_leases) == 1);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], _i != NOT_BEGUN);
    if (_i < BEGUN) {
        begin_it(&reader, event.lease, LARGE, 1);
        handles[1] = news(&third).handle;
        ask(&third, follows[1], 0);
    }
    fill_it(&reader, event.lease, 1, filled, filled + PIECE);
    ck_assert_uint_eq(news(&third).filled, filled + PIECE); /* it has noticed nothing */
    read_it(&third, handles[1], 1, filled, filled + PIECE);
    fill_it(&reader, event.lease, 1, filled + PIECE, LARGE);
    ask(&third, follows[1], LARGE);
    ck_assert_int_eq(end_it(&reader, event.lease, LARGE), LARDER_OK);
    ck_assert_int_eq(news(&third).status, LARDER_HIT);
    read_it(&third, handles[1], 1, 0, LARGE);
    check(&reader, 1);
    release(&third, handles[1]);
    release(&reader, handles[0]);
    story_is_settled(&story, 2);
    end_without(&holder);
}
END_TEST

/* One after the other, each of them where the last one stopped. */
START_TEST(successors_are_succeeded)
{
    struct puppet heirs[5];
    uint64_t follows[5], handles[5];

    begin(NULL);
    for (int i = 0; i < 5; i++)
        puppet_create(&heirs[i]);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARDER_SIZE_UNKNOWN, 1);
    for (int i = 0; i < 5; i++) {
        handles[i] = follow_begun(&heirs[i], &follows[i], 0);
        ask(&heirs[i], follows[i], LARGE);
    }
    uint64_t watching, handle = follow_begun(&reader, &watching, 0);
    puppet_kill(&holder);
    for (int i = 0; i < 5; i++) {
        struct larder_event event = news(&heirs[i]);
        ck_assert(event.promoted && event.filled == (uint64_t)i * 777);
        lease = event.lease;
        fill_it(&heirs[i], lease, 1, event.filled, event.filled + 777);
        if (i < 4)
            puppet_kill(&heirs[i]);
    }
    fill_it(&heirs[4], lease, 1, 5 * 777, LARGE);
    ck_assert_int_eq(end_it(&heirs[4], lease, LARGE), LARDER_OK);
    ck_assert_int_eq(ask_for_news(&reader, watching, 0).status, LARDER_HIT);
    read_it(&reader, handle, 1, 0, LARGE);
    release(&reader, handle);
    release(&heirs[4], handles[4]);
    check(&third, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_promoted), 5);
    puppet_quit(&heirs[4]);
    story_is_settled(&story, 2);
    end_without(&holder);
}
END_TEST

/* Nobody waits: the lease is for whoever asks next, or ends with the last who could. */
START_TEST(orphan_waits_for_a_question)
{
    uint64_t follow;

    begin(NULL);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARGE, 1);
    fill_it(&holder, lease, 1, 0, PIECE);
    uint64_t handle = follow_begun(&reader, &follow, PIECE);
    puppet_kill(&holder);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert(gauge_of(&row, GAUGE_leases) == 1 && row.values[COUNTER_promoted] == 0);
    struct said said =
        tell(&third, (struct order){.verb = LOOKUP, .key = "key", .flags = LARDER_LOOKUP_LEASE});
    ck_assert(said.event.lease == 0 && said.event.status == LARDER_MISS);
    if (_i == 0) {
        struct larder_event event = ask_for_news(&reader, follow, PIECE);
        ck_assert(event.promoted && event.status == LARDER_OK && event.filled == PIECE);
        ck_assert_int_eq(fill_it(&reader, event.lease, 1, PIECE, LARGE), LARDER_OK);
        ck_assert_int_eq(end_it(&reader, event.lease, LARGE), LARDER_OK);
        check(&third, 1);
    } else {
        tell(&reader, (struct order){.verb = UNFOLLOW, .number = follow});
        story_await_gauge(&story, GAUGE_leases, 0);
        read_it(&reader, handle, 1, 0, PIECE); /* still its own */
        tell(&third, (struct order){.verb = ABORT, .number = lease_of(&third)});
    }
    release(&reader, handle);
    story_is_settled(&story, 2);
    end_without(&holder);
}
END_TEST

START_TEST(orphan_that_nobody_wants_ends)
{
    static const char *const arguments[] = {"--lease-time", "0.3", NULL};
    uint64_t follow;

    begin(arguments);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARGE, 1);
    uint64_t handle = follow_begun(&reader, &follow, 0), unseen = follow_of(&third);
    puppet_kill(&holder);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    story_await_gauge(&story, GAUGE_leases, 0);
    struct larder_event event = ask_for_news(&reader, follow, 0);
    ck_assert(event.status == LARDER_MISS && event.broken && event.follow == 0 && event.lease == 0);
    event = ask_for_news(&third, unseen, LARDER_FOLLOW_NOTHING);
    ck_assert(event.status == LARDER_MISS && !event.broken && event.follow == 0 && event.lease == 0);
    release(&reader, handle);
    story_is_settled(&story, 2);
    end_without(&holder);
}
END_TEST

static const char *const soon[] = {"--stall-time", "0.2", NULL};

/* `_i`: it waits when the holder freezes, or asks afterwards. */
START_TEST(frozen_holder_is_succeeded_and_fenced)
{
    uint64_t follow;

    begin(soon);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARGE, 1);
    fill_it(&holder, lease, 1, 0, PIECE);
    uint64_t handle = follow_begun(&reader, &follow, PIECE);
    if (_i == 0)
        ask(&reader, follow, PIECE);
    freeze(&holder);
    if (_i == 1)
        ask(&reader, follow, PIECE);
    struct larder_event event = news(&reader);
    ck_assert(event.promoted && event.status == LARDER_OK && event.filled == PIECE);
    ck_assert_int_eq(fill_it(&reader, event.lease, 1, PIECE, 2 * PIECE), LARDER_OK);
    puppet_thaw(&holder);
    ck_assert_int_eq(fill_it(&holder, lease, 9, 2 * PIECE, 3 * PIECE), LARDER_FENCED);
    ck_assert_int_eq(end_it(&holder, lease, 2 * PIECE), LARDER_FENCED);
    ck_assert_int_eq(fill_it(&reader, event.lease, 1, 2 * PIECE, LARGE), LARDER_OK);
    ck_assert_int_eq(end_it(&reader, event.lease, LARGE), LARDER_OK);
    check(&holder, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert(row.values[COUNTER_promoted] == 1 && row.values[COUNTER_fenced] == 2);
    ck_assert(row.values[COUNTER_fills] == 1 && row.values[COUNTER_fill_aborts] == 1);
    release(&reader, handle);
    end();
}
END_TEST

/* Who is frozen itself is passed over; when nobody else is there it is promoted as soon as it thaws. `_i`:
 * another waits, or not. */
START_TEST(frozen_follower_is_passed_over)
{
    begin(soon);
    uint64_t lease = lease_of(&holder);
    uint64_t first = follow_of(&reader), second = _i == 0 ? follow_of(&third) : 0;
    ask(&reader, first, LARDER_FOLLOW_NOTHING);
    if (second)
        ask(&third, second, LARDER_FOLLOW_NOTHING);
    freeze(&reader);
    tell(&holder, (struct order){.verb = ABORT, .number = lease});
    if (second) {
        struct larder_event event = news(&third);
        ck_assert(event.promoted && event.status == LARDER_MISS);
        lease = event.lease;
        begin_it(&third, lease, LARGE, 1);
        fill_it(&third, lease, 1, 0, LARGE);
        ck_assert_int_eq(end_it(&third, lease, LARGE), LARDER_OK);
    }
    puppet_thaw(&reader);
    struct larder_event event = news(&reader);
    ck_assert_int_eq(event.status, second ? LARDER_HIT : LARDER_MISS);
    ck_assert_int_eq(event.promoted, !second);
    if (second)
        read_it(&reader, event.handle, 1, 0, LARGE);
    release(&reader, event.handle);
    tell(&reader, (struct order){.verb = ABORT, .number = event.lease});
    end();
}
END_TEST

START_TEST(holder_without_progress_is_succeeded)
{
    static const char *const arguments[] = {"--lease-time", "0.3", NULL};

    begin(arguments);
    uint64_t lease = lease_of(&holder), follow = follow_of(&reader);
    struct larder_event event = ask_for_news(&reader, follow, LARDER_FOLLOW_NOTHING);
    ck_assert(event.promoted && event.status == LARDER_MISS);
    ck_assert_int_eq(
        tell(&holder, (struct order){.verb = BEGIN, .key = "key", .number = lease, .size = LARGE})
            .event.status,
        LARDER_FENCED);
    tell(&reader, (struct order){.verb = ABORT, .number = event.lease});
    end();
}
END_TEST

/* ---- the holder says something ------------------------------------------------------------------------ */

/* Who was given some of it is told that no more will come; another begins anew. */
START_TEST(discarded_fill_is_begun_anew)
{
    uint64_t follow;

    begin(NULL);
    uint64_t lease = lease_of(&holder), unseen = follow_of(&third);
    begin_it(&holder, lease, LARGE, 1);
    fill_it(&holder, lease, 1, 0, PIECE);
    uint64_t handle = follow_begun(&reader, &follow, PIECE);
    ask(&reader, follow, PIECE);
    tell(&holder, (struct order){.verb = DISCARD, .number = lease});
    struct larder_event event = news(&reader);
    ck_assert(event.status == LARDER_MISS && event.broken && event.changed);
    ck_assert(event.follow == 0 && event.lease == 0);
    read_it(&reader, handle, 1, 0, PIECE);
    event = ask_for_news(&third, unseen, LARDER_FOLLOW_NOTHING);
    ck_assert(event.status == LARDER_MISS && event.promoted && event.filled == 0 && event.handle == 0);
    begin_it(&third, event.lease, LARGE, 2);
    fill_it(&third, event.lease, 2, 0, LARGE);
    ck_assert_int_eq(end_it(&third, event.lease, LARGE), LARDER_OK);
    read_it(&reader, handle, 1, 0, PIECE);
    release(&reader, handle);
    check(&reader, 2);
    end();
}
END_TEST

/* What broke off is stored as far as it came. `_i`: unless somebody follows, who goes on with it, or the key
 * was removed, or there is nothing of it. */
START_TEST(broken_fill_is_kept)
{
    enum { ALONE, FOLLOWED, REMOVED, NOTHING };
    uint64_t follow = 0;

    begin(NULL);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARGE, 1);
    if (_i != NOTHING)
        fill_it(&holder, lease, 1, 0, PIECE + 100);
    uint64_t handle = _i == FOLLOWED ? follow_begun(&reader, &follow, PIECE + 100) : 0;
    if (_i == FOLLOWED)
        ask(&reader, follow, PIECE + 100);
    if (_i == REMOVED)
        tell(&holder, (struct order){.verb = REMOVE, .key = "key"});
    tell(&holder, (struct order){.verb = KEEP, .number = lease});
    if (_i == FOLLOWED) {
        struct larder_event event = news(&reader);
        ck_assert(event.status == LARDER_OK && event.promoted && event.filled == PIECE + 100);
        ck_assert_int_eq(fill_it(&reader, event.lease, 1, PIECE + 100, LARGE), LARDER_OK);
        ck_assert_int_eq(end_it(&reader, event.lease, LARGE), LARDER_OK);
        release(&reader, handle);
        check(&third, 1);
    } else {
        tell(&holder, (struct order){.verb = LOOKUP, .key = "absent"}); /* by now the cache has heard it */
        struct said said = tell(&third, (struct order){.verb = LOOKUP, .key = "key"});
        ck_assert_int_eq(said.event.status, _i == ALONE ? LARDER_HIT : LARDER_MISS);
        ck_assert_uint_eq(said.event.object_size, _i == ALONE ? PIECE + 100 : 0);
        if (_i == ALONE)
            read_it(&third, said.event.handle, 1, 0, PIECE + 100);
        release(&third, said.event.handle);
    }
    end();
}
END_TEST

START_TEST(too_large_for_the_cache_is_hopeless)
{
    static const char *const arguments[] = {"--max-object", "64K", NULL};

    begin(arguments);
    uint64_t lease = lease_of(&holder), follow = follow_of(&reader);
    ask(&reader, follow, LARDER_FOLLOW_NOTHING);
    ck_assert_int_eq(
        tell(&holder, (struct order){.verb = BEGIN, .key = "key", .number = lease, .size = LARGE})
            .event.status,
        LARDER_TOO_LARGE);
    struct larder_event event = news(&reader);
    ck_assert(event.status == LARDER_MISS && event.broken && !event.changed);
    ck_assert(event.lease == 0 && event.follow == 0);
    end();
}
END_TEST

static void store_it(const struct puppet *puppet, uint64_t seed)
{
    uint64_t lease = lease_of(puppet);

    begin_it(puppet, lease, LARGE, seed);
    fill_it(puppet, lease, seed, 0, LARGE);
    ck_assert_int_eq(end_it(puppet, lease, LARGE), LARDER_OK);
}

/* One revalidates for all. `_i`: the lease ends with an update of the object, of another key's object, or of
 * nothing. */
START_TEST(revalidation_is_followed)
{
    uint32_t flags = both | LARDER_LOOKUP_REVALIDATE;

    begin(NULL);
    store_it(&holder, 1);
    struct said said = tell(&holder, (struct order){.verb = LOOKUP, .key = "key", .flags = flags});
    ck_assert(said.event.status == LARDER_STALE && said.event.lease && said.event.handle);
    uint64_t lease = said.event.lease, mine = said.event.handle;
    said = tell(&reader, (struct order){.verb = LOOKUP, .key = "key", .flags = flags});
    ck_assert(said.event.status == LARDER_STALE && !said.event.lease && said.event.follow);
    uint64_t stale = said.event.handle;
    ask(&reader, said.event.follow, LARDER_FOLLOW_NOTHING);
    ck_assert(!tell(&reader, (struct order){.verb = RELEASE}).told);
    if (_i == 1) {
        said = tell(&holder, (struct order){.verb = LOOKUP, .key = "other", .flags = both});
        struct order fill = {
            .verb = BEGIN, .key = "other", .number = said.event.lease, .size = LARDER_SIZE_UNKNOWN};
        tell(&holder, fill);
        end_it(&holder, said.event.lease, 0);
        release(&holder, mine);
        said =
            tell(&holder, (struct order){.verb = LOOKUP, .key = "other", .flags = LARDER_LOOKUP_REVALIDATE});
        mine = said.event.handle;
    } else if (_i == 2) {
        tell(&third, (struct order){.verb = REMOVE, .key = "key"});
    }
    said = tell(&holder, (struct order){.verb = UPDATE, .number = mine, .other = lease, .seed = 1});
    ck_assert_int_eq(said.event.status, _i == 2 ? LARDER_MISS : LARDER_OK);
    struct larder_event event = news(&reader);
    ck_assert(event.follow == 0 && event.lease == 0 && !event.broken);
    ck_assert_int_eq(event.status, _i == 0 ? LARDER_HIT : LARDER_MISS);
    if (_i == 0) {
        ck_assert(event.handle != 0 && event.filled == LARGE);
        said = tell(&reader, (struct order){.verb = READ_META, .number = event.handle, .seed = 1, .size = 9});
        ck_assert(said.event.status == LARDER_OK && said.event.object_size == LARGE);
        read_it(&reader, event.handle, 1, 0, LARGE);
    }
    release(&reader, event.handle);
    release(&reader, stale);
    release(&holder, mine);
    end();
}
END_TEST

/* Readers go on, nothing is stored, and the key is free at once. */
START_TEST(removed_while_it_grows)
{
    uint64_t follow;

    begin(NULL);
    uint64_t lease = lease_of(&holder), unseen = follow_of(&third);
    ask(&third, unseen, 3 * LARGE); /* waits, and is told nothing */
    begin_it(&holder, lease, LARGE, 1);
    struct larder_event event = news(&third);
    tell(&third, (struct order){.verb = UNFOLLOW, .number = unseen});
    release(&third, event.handle);
    fill_it(&holder, lease, 1, 0, PIECE);
    uint64_t handle = follow_begun(&reader, &follow, PIECE);
    unseen = follow_of(&third);
    tell(&holder, (struct order){.verb = REMOVE, .key = "key"});
    event = ask_for_news(&third, unseen, LARDER_FOLLOW_NOTHING);
    ck_assert(event.status == LARDER_MISS && event.lease == 0 && event.follow == 0 && !event.broken);
    uint64_t fresh = lease_of(&third);
    ask(&reader, follow, PIECE);
    ck_assert_int_eq(fill_it(&holder, lease, 1, PIECE, LARGE), LARDER_OK);
    ck_assert_uint_ge(news(&reader).filled, 2 * PIECE);
    ck_assert_int_eq(end_it(&holder, lease, LARGE), LARDER_MISS);
    event = ask_for_news(&reader, follow, LARGE);
    ck_assert(event.status == LARDER_HIT && event.filled == LARGE && event.handle == 0);
    read_it(&reader, handle, 1, 0, LARGE);
    release(&reader, handle);
    begin_it(&third, fresh, LARGE, 2);
    fill_it(&third, fresh, 2, 0, LARGE);
    ck_assert_int_eq(end_it(&third, fresh, LARGE), LARDER_OK);
    check(&reader, 2);
    end();
}
END_TEST

/* ---- coming and going --------------------------------------------------------------------------------- */

START_TEST(following_and_leaving_leaks_nothing)
{
    begin(NULL);
    uint64_t lease = lease_of(&holder);
    begin_it(&holder, lease, LARGE, 1);
    uint64_t used = story_gauge(&story, GAUGE_bytes_used);
    for (int i = 0; i < 1000; i++) {
        uint64_t follow = follow_of(&reader), handle = 0;
        if (i % 3 == 0)
            follow = follow_of(&reader); /* given twice, given back twice */
        if (i % 2 == 0)
            handle = ask_for_news(&reader, follow, LARDER_FOLLOW_NOTHING).handle;
        if (i % 4 == 0)
            ask(&reader, follow, 0);
        for (int times = i % 3 == 0 ? 2 : 1; times > 0; times--)
            tell(&reader, (struct order){.verb = UNFOLLOW, .number = follow});
        if (i % 4 == 0) {
            struct larder_event event = news(&reader);
            ck_assert(event.status == LARDER_MISS && event.follow == 0 && event.lease == 0);
        }
        release(&reader, handle);
    }
    story_await_gauge(&story, GAUGE_followers, 0);
    struct wire_row row = story_numbers(&story);
    ck_assert(gauge_of(&row, GAUGE_pins) == 0 && gauge_of(&row, GAUGE_bytes_used) == used);
    ck_assert(row.values[COUNTER_fenced] == 0 && row.values[COUNTER_bad_requests] == 0);
    tell(&holder, (struct order){.verb = ABORT, .number = lease});
    end();
}
END_TEST

/* Given twice and given back once, it is still good. */
START_TEST(handle_is_good_until_it_is_given_back_as_often)
{
    begin(NULL);
    uint64_t lease = lease_of(&holder), follow = follow_of(&reader);
    ck_assert_uint_eq(follow_of(&reader), follow);
    ask(&reader, follow, LARDER_FOLLOW_NOTHING);
    tell(&reader, (struct order){.verb = UNFOLLOW, .number = follow});
    begin_it(&holder, lease, LARGE, 1);
    struct larder_event event = news(&reader);
    ck_assert(event.status == LARDER_OK && event.follow == follow);
    tell(&reader, (struct order){.verb = UNFOLLOW, .number = follow});
    ck_assert_int_eq(ask_for_news(&reader, follow, 0).status, LARDER_FENCED);
    release(&reader, event.handle);
    tell(&holder, (struct order){.verb = ABORT, .number = lease});
    end();
}
END_TEST

START_TEST(lost_with_the_cache)
{
    begin(NULL);
    lease_of(&holder);
    uint64_t follow = follow_of(&reader);
    ask(&reader, follow, LARDER_FOLLOW_NOTHING);
    story_kill_cache(&story);
    struct larder_event event = news(&reader);
    ck_assert(event.status == LARDER_LOST && event.follow == 0 && event.handle == 0 && event.lease == 0);
    story_start_cache(&story, NULL);
    story_await_gauge(&story, GAUGE_proxies, 3);
    int error;
    while ((error = tell(&reader, (struct order){.verb = FOLLOW, .number = follow}).error) == -ENOTCONN)
        ;
    ck_assert_int_eq(error, -ESTALE);
    tell(&reader, (struct order){.verb = UNFOLLOW, .number = follow});
    end();
}
END_TEST

/* ---- liars -------------------------------------------------------------------------------------------- */

static struct liar liar;

static struct wire_completion liar_looks_up(const char *key, uint8_t flags)
{
    struct wire_completion completion = liar_look_up(&liar, 0, key, flags, WIRE_STATUS_MISS);

    liar_take_back(&liar, 0);
    return completion;
}

static struct wire_request follow_request(uint64_t handle, uint64_t known)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_FOLLOW);

    request.handle = handle;
    request.value = known;
    return request;
}

START_TEST(handles_that_are_not_its_own_are_fenced)
{
    begin(NULL);
    liar_register(&liar, &story, "news");
    uint64_t lease = lease_of(&holder), foreign = follow_of(&reader) & ~(uint64_t)0xfffff000;
    uint64_t forged[] = {0, foreign, foreign + 1, foreign | UINT64_C(1) << 32, UINT64_MAX, lease, 257, 1024};
    for (int i = 0; i < ROWS(forged); i++) {
        struct wire_request request = follow_request(forged[i], WIRE_FOLLOW_NOTHING);
        liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    }
    struct wire_completion completion = liar_looks_up("key", WIRE_LOOKUP_FOLLOW);
    ck_assert(completion.lease != 0 && completion.flags & WIRE_FOLLOWS);
    uint64_t mine = completion.lease;
    struct wire_request first = follow_request(mine, WIRE_FOLLOW_NOTHING), request = follow_request(mine, 0);
    liar_put(&liar, &first);
    liar_expect(&liar, &request, WIRE_STATUS_BAD);    /* one question at a time */
    request = liar_request(&liar, WIRE_OP_FILL_DATA); /* and it is no lease */
    request.handle = mine;
    request.segment = 1;
    request.length = 1;
    liar_hand_over(&liar, 1, "x");
    liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    request = liar_request(&liar, WIRE_OP_UNFOLLOW);
    request.handle = mine;
    request.value = UINT64_MAX; /* more than there are */
    liar_put(&liar, &request);
    completion = liar_completion(&liar); /* what it had asked */
    ck_assert(completion.cookie == first.cookie && completion.status == WIRE_STATUS_MISS);
    request = follow_request(mine, 0); /* an old one */
    liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    struct wire_row row = story_numbers(&story);
    ck_assert(row.values[COUNTER_fenced] == ROWS(forged) + 2 && row.values[COUNTER_bad_requests] == 1);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_followers), 1);
    tell(&holder, (struct order){.verb = ABORT, .number = lease});
    tell(&reader, (struct order){.verb = UNFOLLOW, .number = foreign | (follow_of(&reader) & 0xfffff000)});
    liar_end(&liar, true);
    puppet_quit(&holder);
    puppet_quit(&reader);
    puppet_quit(&third);
    story_is_settled(&story, 0);
    story_end(&story);
}
END_TEST

/* More than it may: 256 are followed, the rest is told that there is no lease. Dead, it leaves nothing. */
START_TEST(follows_are_bounded)
{
    char key[16];
    uint32_t followed = 0;

    begin(NULL);
    liar_register(&liar, &story, "news");
    for (int i = 0; i < 300; i++) {
        struct order order = {.verb = LOOKUP, .flags = both};
        snprintf(order.key, sizeof(order.key), "key-%d", i);
        ck_assert_uint_ne(tell(i < 150 ? &holder : &third, order).event.lease, 0);
    }
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        struct wire_completion completion = liar_looks_up(key, WIRE_LOOKUP_FOLLOW | WIRE_LOOKUP_LEASE);
        ck_assert_int_eq(completion.lease != 0, (completion.flags & WIRE_FOLLOWS) != 0);
        followed += completion.lease != 0;
    }
    ck_assert_uint_eq(followed, 256);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_followers), 256);
    struct said said = tell(&reader, (struct order){.verb = LOOKUP, .key = "key-299", .flags = both});
    ck_assert_uint_ne(said.event.follow, 0); /* the others are not in its way */
    liar_end(&liar, true);
    story_await_gauge(&story, GAUGE_followers, 1);
    puppet_quit(&holder);
    puppet_quit(&reader);
    puppet_quit(&third);
    story_is_settled(&story, 0);
    story_end(&story);
}
END_TEST

/* It asks for more than its ring can be told, and reads nothing: it is dropped when the news come. */
START_TEST(news_that_nobody_reads_end_the_registration)
{
    uint64_t leases[17];
    char key[16];

    begin(NULL);
    liar_register(&liar, &story, "news");
    for (int i = 0; i < 17; i++) {
        struct order order = {.verb = LOOKUP, .flags = both};
        snprintf(order.key, sizeof(order.key), "key-%d", i);
        leases[i] = tell(&holder, order).event.lease;
        snprintf(key, sizeof(key), "key-%d", i);
        struct wire_request request =
            follow_request(liar_looks_up(key, WIRE_LOOKUP_FOLLOW).lease, WIRE_FOLLOW_NOTHING);
        uint64_t served = story_counter(&story, COUNTER_requests);
        liar_put(&liar, &request);
        story_await_counter(&story, COUNTER_requests, served + 1);
    }
    for (int i = 0; i < 17; i++)
        tell(&holder, (struct order){.verb = ABORT, .number = leases[i]});
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), 1);
    liar_end(&liar, false);
    story_is_settled(&story, 3);
    puppet_quit(&holder);
    puppet_quit(&reader);
    puppet_quit(&third);
    story_end(&story);
}
END_TEST

/* A holder whose pool loses pages: what came last is not handed on. */
START_TEST(bytes_of_a_faulted_pool_are_not_handed_on)
{
    uint64_t follow;

    begin(NULL);
    liar_register(&liar, &story, "news");
    uint64_t lease = liar_looks_up("key", WIRE_LOOKUP_LEASE).lease;
    struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);
    request.segment = 0;
    request.handle = lease;
    request.value = LARGE;
    request.key_length = 3;
    request.meta_length = 5;
    liar_hand_over(&liar, 0, "keymeta1");
    liar_expect(&liar, &request, WIRE_STATUS_OK);
    liar_take_back(&liar, 0);
    uint64_t handle = follow_begun(&reader, &follow, 0);
    ask(&reader, follow, 0);
    request = liar_request(&liar, WIRE_OP_FILL_DATA);
    request.segment = 7;
    request.handle = lease;
    request.length = 4096;
    liar_hand_over(&liar, 7, "x");
    off_t cut = (off_t)(segment_payload(&liar.endpoint.pool, 7) - (uint8_t *)liar.endpoint.pool.base);
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, cut), 0);
    liar_put(&liar, &request);
    struct larder_event event = news(&reader);
    ck_assert(event.status == LARDER_MISS && event.broken && event.filled == 0 && event.lease == 0);
    ck_assert_uint_eq(story_counter(&story, COUNTER_faults_caught), 1);
    liar_end(&liar, false);
    release(&reader, handle);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, bytes_are_read_as_they_arrive, 0, 2);
    tcase_add_test(tcase, late_question_finds_it_complete);
    tcase_add_test(tcase, own_lease_is_followed);
    tcase_add_loop_test(tcase, killed_holder_is_succeeded, NOT_BEGUN, HALF + 1);
    tcase_add_test(tcase, successors_are_succeeded);
    tcase_add_loop_test(tcase, orphan_waits_for_a_question, 0, 2);
    tcase_add_test(tcase, orphan_that_nobody_wants_ends);
    tcase_add_loop_test(tcase, frozen_holder_is_succeeded_and_fenced, 0, 2);
    tcase_add_loop_test(tcase, frozen_follower_is_passed_over, 0, 2);
    tcase_add_test(tcase, holder_without_progress_is_succeeded);
    tcase_add_test(tcase, discarded_fill_is_begun_anew);
    tcase_add_loop_test(tcase, broken_fill_is_kept, 0, 4);
    tcase_add_test(tcase, too_large_for_the_cache_is_hopeless);
    tcase_add_loop_test(tcase, revalidation_is_followed, 0, 3);
    tcase_add_test(tcase, removed_while_it_grows);
    tcase_add_test(tcase, following_and_leaving_leaks_nothing);
    tcase_add_test(tcase, handle_is_good_until_it_is_given_back_as_often);
    tcase_add_test(tcase, lost_with_the_cache);
    tcase_add_test(tcase, handles_that_are_not_its_own_are_fenced);
    tcase_add_test(tcase, follows_are_bounded);
    tcase_add_test(tcase, news_that_nobody_reads_end_the_registration);
    tcase_add_test(tcase, bytes_of_a_faulted_pool_are_not_handed_on);
}

int main(void)
{
    return crash_main("crash_follow", add_cases);
}
