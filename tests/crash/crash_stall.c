/* Proxies that freeze: ALIVE, STALLED when they are silent, dropped when they hold on to something for too
 * long, ALIVE again when they thaw. What was taken from them meanwhile is fenced, the rest goes on. */
#include "crash_support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

/* ---- puppets ------------------------------------------------------------------------------------------ */

/* A peer in a process of its own that is always at its loop, as a proxy is, and does what it is told. */
enum verb { PIN, READ, RELEASE, LEASE, BEGIN, DATA, END, STORE, CHECK, ATTACHED, DETACHED, QUIT };

struct order {
    enum verb verb;
    char key[16];
    uint64_t number; /* handle, lease, size or how often */
    uint64_t seed, offset;
};

struct strings { /* in the puppet's process */
    struct peer peer;
    int wire;
    uint64_t attached, detached;
};

static struct story story;

static void note_events(struct strings *strings)
{
    struct larder_event event;

    while (larder_client_next(strings->peer.client, &event)) {
        strings->attached += event.kind == LARDER_EVENT_ATTACHED;
        strings->detached += event.kind == LARDER_EVENT_DETACHED;
    }
}

/* Until an order has come, or, when `times` is set, until it has registered so often. */
static void be_at_the_loop(struct strings *strings, const uint64_t *count, uint64_t times)
{
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;

    for (;;) {
        struct pollfd waits[2] = {{.fd = larder_client_fd(strings->peer.client), .events = POLLIN},
                                  {.fd = count ? -1 : strings->wire, .events = POLLIN}};

        note_events(strings);
        larder_client_flush(strings->peer.client);
        if (count && *count >= times)
            return;
        ck_assert(!count || test_now_ms() < deadline);
        poll(waits, 2, larder_client_may_sleep(strings->peer.client) ? 1000 : 0);
        if (waits[0].revents)
            larder_client_wake(strings->peer.client);
        if (waits[1].revents)
            return;
    }
}

static uint64_t read_some(struct strings *strings, const struct order *order)
{
    struct larder_segment *segment = peer_borrow(&strings->peer);
    int error = larder_read(strings->peer.client, order->number, order->offset, &segment, 1000, NULL);

    if (error) {
        larder_segment_return(strings->peer.client, &segment);
        return (uint64_t)-error;
    }
    struct larder_event event = peer_expect(&strings->peer, LARDER_EVENT_READ);
    if (event.status == LARDER_OK)
        ck_assert(event.length == 1000 && is_pattern(event.segment->data, order->seed, order->offset, 1000));
    larder_segment_return(strings->peer.client, &event.segment);
    return (uint64_t)event.status;
}

static uint64_t ask_for_lease(struct strings *strings, const char *key)
{
    struct larder_event event = peer_lookup(&strings->peer, key, LARDER_LOOKUP_LEASE);

    ck_assert_int_eq(event.status, LARDER_MISS);
    larder_segment_return(strings->peer.client, &event.segment);
    return event.lease;
}

static uint64_t obey(struct strings *strings, const struct order *order)
{
    struct peer *peer = &strings->peer;

    switch (order->verb) {
    case PIN:
        return peer_pin(peer, order->key);
    case READ:
        return read_some(strings, order);
    case RELEASE:
        larder_release(peer->client, order->number);
        return 0;
    case LEASE:
        return ask_for_lease(strings, order->key);
    case BEGIN:
        return (uint64_t)peer_begin_fill(peer, order->number, order->key, LARGE);
    case DATA:
        return (uint64_t)peer_fill_data(peer, order->number, order->seed, order->offset,
                                        LARGE - order->offset < PEER_SEGMENT_BYTES
                                            ? (uint32_t)(LARGE - order->offset)
                                            : PEER_SEGMENT_BYTES);
    case END:
        return (uint64_t)peer_end_fill(peer, order->number, LARGE);
    case STORE:
        peer_store(peer, order->key, order->seed, LARGE);
        return 0;
    case CHECK:
        peer_check(peer, order->key, order->seed, LARGE);
        peer_is_served(peer);
        return 0;
    case ATTACHED:
        be_at_the_loop(strings, &strings->attached, order->number);
        return strings->attached;
    case DETACHED:
        return strings->detached;
    case QUIT:
        break;
    }
    return 0;
}

static void dance(void *context)
{
    const struct puppet *puppet = context;
    struct strings strings = {.wire = puppet->wire};
    struct order order = {.verb = PIN};

    story.runs = false; /* ATTACHED is noted by the loop */
    peer_create(&strings.peer, &story, "news");
    be_at_the_loop(&strings, &strings.attached, 1);
    while (order.verb != QUIT) {
        uint64_t answer;
        be_at_the_loop(&strings, NULL, 0);
        if (read(strings.wire, &order, sizeof(order)) != sizeof(order))
            break; /* whoever holds the strings is gone */
        answer = obey(&strings, &order);
        if (order.verb == QUIT)
            larder_client_destroy(&strings.peer.client);
        ck_assert_int_eq(write(strings.wire, &answer, sizeof(answer)), sizeof(answer));
    }
}

static uint64_t tell(const struct puppet *puppet, struct order order)
{
    uint64_t answer;

    puppet_ask(puppet, &order, sizeof(order), &answer, sizeof(answer));
    return answer;
}

static void puppet_create(struct puppet *puppet)
{
    puppet_start(puppet, dance);
    tell(puppet, (struct order){.verb = ATTACHED, .number = 1});
}

static void puppet_quit(struct puppet *puppet)
{
    tell(puppet, (struct order){.verb = QUIT});
    puppet_end(puppet);
}

static struct wire_row row_of(const struct puppet *puppet)
{
    static struct wire_row rows[16];
    int count = story_rows(&story, rows, ROWS(rows));

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && rows[i].pid == (uint32_t)puppet->pid)
            return rows[i];
    }
    ck_abort_msg("it is not registered");
}

struct being {
    const struct puppet *puppet;
    uint32_t state;
};

static bool is_so(void *context)
{
    const struct being *being = context;
    struct wire_row row = row_of(being->puppet);

    /* Where there are several shards the first one that hears it says that it is alive: all are waited for.
     */
    return row.state == being->state &&
           (being->state != WIRE_STATE_ALIVE || row.values[COUNTER_thaws] == row.values[COUNTER_stalls]);
}

static void await_state(const struct puppet *puppet, uint32_t state)
{
    struct being being = {puppet, state};

    ck_assert_msg(test_wait_until(is_so, &being, TEST_DEADLINE_MS), "its state is never %u", state);
}

static void check(const struct puppet *puppet)
{
    tell(puppet, (struct order){.verb = CHECK, .key = "large", .seed = 1});
}

/* ---- stories ------------------------------------------------------------------------------------------ */

static struct puppet frozen, other;

static void begin(const char *const arguments[])
{
    story_begin(&story, "stall");
    story_start_cache(&story, arguments);
    puppet_create(&other);
    puppet_create(&frozen);
    tell(&other, (struct order){.verb = STORE, .key = "large", .seed = 1});
}

static void end(void)
{
    check(&frozen);
    check(&other);
    puppet_quit(&frozen);
    puppet_quit(&other);
    story_is_settled(&story, 0);
    story_adds_up(&story);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_stalled), 0);
    story_end(&story);
}

static const char *const soon[] = {"--stall-time", "0.2", NULL};

/* Nothing is taken from it, and it goes on with all of it: same registration, same handle, same fill. */
START_TEST(frozen_thawed_and_as_before)
{
    begin(soon);
    uint64_t handle = tell(&frozen, (struct order){.verb = PIN, .key = "large"});
    uint64_t lease = tell(&frozen, (struct order){.verb = LEASE, .key = "half"});
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = BEGIN, .key = "half", .number = lease}),
                      LARDER_OK);
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DATA, .number = lease, .seed = 5}), LARDER_OK);
    uint64_t registration = row_of(&frozen).epoch;
    uint64_t held = story_gauge(&story, GAUGE_bytes_held);
    for (uint64_t times = 1; times <= 3; times++) {
        freeze_process(frozen.pid);
        await_state(&frozen, WIRE_STATE_STALLED);
        struct wire_row row = story_numbers(&story);
        ck_assert_uint_ge(row.values[COUNTER_stalls], times);
        ck_assert_uint_ge(gauge_of(&row, GAUGE_stalled), 1);
        ck_assert_uint_eq(gauge_of(&row, GAUGE_pins), 1);
        ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 1);
        ck_assert_uint_eq(gauge_of(&row, GAUGE_bytes_held), held);
        ck_assert_uint_eq(row_of(&frozen).values[COUNTER_stalls], times);
        check(&other);
        puppet_thaw(&frozen);
        await_state(&frozen, WIRE_STATE_ALIVE);
        ck_assert_uint_eq(row_of(&frozen).values[COUNTER_thaws], times);
        ck_assert_uint_eq(row_of(&frozen).epoch, registration);
        ck_assert_uint_eq(
            tell(&frozen, (struct order){.verb = READ, .number = handle, .seed = 1, .offset = times * 1000}),
            LARDER_OK);
    }
    for (uint64_t offset = PEER_SEGMENT_BYTES; offset < LARGE; offset += PEER_SEGMENT_BYTES)
        ck_assert_uint_eq(
            tell(&frozen, (struct order){.verb = DATA, .number = lease, .seed = 5, .offset = offset}),
            LARDER_OK);
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = END, .number = lease}), LARDER_OK);
    tell(&frozen, (struct order){.verb = RELEASE, .number = handle});
    tell(&other, (struct order){.verb = CHECK, .key = "half", .seed = 5});
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DETACHED}), 0);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_registrations], 2);
    ck_assert_uint_eq(row.values[COUNTER_stalled_dropped] + row.values[COUNTER_promoted], 0);
    ck_assert_uint_eq(row.values[COUNTER_fenced] + row.values[COUNTER_fill_aborts], 0);
    end();
}
END_TEST

/* Fills the key while the one that had begun to is frozen; `seed` is what the other has got. */
static void fill_instead(uint64_t lease, uint64_t seed)
{
    ck_assert_uint_eq(tell(&other, (struct order){.verb = BEGIN, .key = "half", .number = lease}), LARDER_OK);
    for (uint64_t offset = 0; offset < LARGE; offset += PEER_SEGMENT_BYTES)
        ck_assert_uint_eq(
            tell(&other, (struct order){.verb = DATA, .number = lease, .seed = seed, .offset = offset}),
            LARDER_OK);
    ck_assert_uint_eq(tell(&other, (struct order){.verb = END, .number = lease}), LARDER_OK);
}

/* `_i`: its fill had begun, or not. */
START_TEST(lease_of_a_stalled_one_is_handed_on)
{
    begin(soon);
    uint64_t lease = tell(&frozen, (struct order){.verb = LEASE, .key = "half"});
    if (_i == 0) {
        ck_assert_uint_eq(tell(&frozen, (struct order){.verb = BEGIN, .key = "half", .number = lease}),
                          LARDER_OK);
        ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DATA, .number = lease, .seed = 5}), LARDER_OK);
    }
    ck_assert_uint_eq(tell(&other, (struct order){.verb = LEASE, .key = "half"}),
                      0); /* not while it is alive */
    freeze_process(frozen.pid);
    await_state(&frozen, WIRE_STATE_STALLED);
    uint64_t second = tell(&other, (struct order){.verb = LEASE, .key = "half"});
    ck_assert_uint_ne(second, 0);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_promoted], 1);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], _i == 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_leases), 1);
    fill_instead(second, 9);
    puppet_thaw(&frozen);
    await_state(&frozen, WIRE_STATE_ALIVE);
    /* It goes on as if nothing had happened, and is told. */
    struct order late = {.verb = _i == 0 ? DATA : BEGIN, .key = "half", .number = lease, .seed = 5};
    late.offset = _i == 0 ? PEER_SEGMENT_BYTES : 0;
    ck_assert_uint_eq(tell(&frozen, late), LARDER_FENCED);
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = END, .number = lease}), LARDER_FENCED);
    tell(&frozen, (struct order){.verb = CHECK, .key = "half", .seed = 9});
    tell(&other, (struct order){.verb = CHECK, .key = "half", .seed = 9});
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DETACHED}), 0);
    row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_fenced], 2);
    ck_assert_uint_eq(row.values[COUNTER_registrations], 2);
    ck_assert_uint_eq(row.values[COUNTER_stalled_dropped], 0);
    end();
}
END_TEST

static const char *const not_long[] = {"--stall-time", "0.2", "--stall-limit", "0.4", NULL};

/* `_i`: what it holds on to is a pinned object, or a fill. */
START_TEST(stalled_for_too_long_with_something_in_its_hands)
{
    begin(not_long);
    uint64_t used = story_gauge(&story, GAUGE_bytes_used);
    uint64_t handle = 0, lease = 0;
    if (_i == 0) {
        handle = tell(&frozen, (struct order){.verb = PIN, .key = "large"});
    } else {
        lease = tell(&frozen, (struct order){.verb = LEASE, .key = "half"});
        ck_assert_uint_eq(tell(&frozen, (struct order){.verb = BEGIN, .key = "half", .number = lease}),
                          LARDER_OK);
        ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DATA, .number = lease, .seed = 5}), LARDER_OK);
    }
    freeze_process(frozen.pid);
    story_await_counter(&story, COUNTER_stalled_dropped, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins) + gauge_of(&row, GAUGE_leases), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_bytes_held), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_bytes_used), used);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 1);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_stalled), 0);
    ck_assert_uint_eq(row.values[COUNTER_stalls], 1);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], _i == 1);
    check(&other);
    puppet_thaw(&frozen);
    tell(&frozen, (struct order){.verb = ATTACHED, .number = 2}); /* it finds out by itself */
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DETACHED}), 1);
    if (_i == 0)
        ck_assert_uint_eq(tell(&frozen, (struct order){.verb = READ, .number = handle}), ESTALE);
    row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_registrations], 3);
    ck_assert_uint_eq(row.values[COUNTER_stalled_dropped], 1);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped] + row.values[COUNTER_proxies_reclaimed], 0);
    end();
}
END_TEST

/* Who holds nothing is in nobody's way, however long it is silent: still there when another, which was frozen
 * later, has been dropped for what it held. */
START_TEST(stalled_with_empty_hands_is_kept)
{
    struct puppet holder;

    begin(not_long);
    puppet_create(&holder);
    uint64_t registration = row_of(&frozen).epoch;
    freeze_process(frozen.pid);
    await_state(&frozen, WIRE_STATE_STALLED);
    tell(&holder, (struct order){.verb = PIN, .key = "large"});
    freeze_process(holder.pid);
    story_await_counter(&story, COUNTER_stalled_dropped, 1);
    ck_assert_uint_eq(row_of(&frozen).state, WIRE_STATE_STALLED);
    puppet_thaw(&frozen);
    await_state(&frozen, WIRE_STATE_ALIVE);
    ck_assert_uint_eq(row_of(&frozen).epoch, registration);
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DETACHED}), 0);
    puppet_thaw(&holder);
    tell(&holder, (struct order){.verb = ATTACHED, .number = 2});
    puppet_quit(&holder);
    end();
}
END_TEST

START_TEST(killed_while_stalled)
{
    begin(soon);
    tell(&frozen, (struct order){.verb = PIN, .key = "large"});
    tell(&frozen, (struct order){.verb = LEASE, .key = "half"});
    freeze_process(frozen.pid);
    await_state(&frozen, WIRE_STATE_STALLED);
    puppet_kill(&frozen);
    story_await_counter(&story, COUNTER_proxies_reclaimed, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_stalled), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_pins) + gauge_of(&row, GAUGE_leases), 0);
    ck_assert_uint_eq(gauge_of(&row, GAUGE_proxies), 1);
    ck_assert_uint_eq(row.values[COUNTER_stalled_dropped] + row.values[COUNTER_thaws], 0);
    ck_assert_int_eq(test_ipc_names(story.instance), 1);
    puppet_create(&frozen);
    end();
}
END_TEST

/* The cache itself is frozen: nobody is called silent for what it has not heard meanwhile. */
START_TEST(cache_that_was_frozen_blames_nobody)
{
    begin(soon);
    uint64_t handle = tell(&frozen, (struct order){.verb = PIN, .key = "large"});
    for (int i = 0; i < 3; i++) {
        freeze_process(story.cache.pid);
        int64_t until =
            test_now_ms() + 400; /* longer than --stall-time; nothing else tells that time has passed */
        while (test_now_ms() < until)
            poll(NULL, 0, 20);
        kill(story.cache.pid, SIGCONT);
        ck_assert(story_answers(&story));
        ck_assert_uint_eq(tell(&frozen, (struct order){.verb = READ, .number = handle, .seed = 1}),
                          LARDER_OK);
        check(&other);
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_stalls), 0);
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DETACHED}), 0);
    tell(&frozen, (struct order){.verb = RELEASE, .number = handle});
    end();
}
END_TEST

/* Alive, its heart beats, but its fill does not get on: another may have the key. */
START_TEST(fill_without_progress_is_handed_on)
{
    static const char *const arguments[] = {"--lease-time", "0.3", NULL};

    begin(arguments);
    uint64_t lease = tell(&frozen, (struct order){.verb = LEASE, .key = "half"});
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = BEGIN, .key = "half", .number = lease}),
                      LARDER_OK);
    ck_assert_uint_eq(tell(&frozen, (struct order){.verb = DATA, .number = lease, .seed = 5}), LARDER_OK);
    uint64_t second;
    int64_t deadline = test_now_ms() + TEST_DEADLINE_MS;
    while ((second = tell(&other, (struct order){.verb = LEASE, .key = "half"})) == 0)
        ck_assert(test_now_ms() < deadline);
    ck_assert_uint_eq(story_counter(&story, COUNTER_promoted), 1);
    struct order late = {.verb = DATA, .number = lease, .seed = 5, .offset = PEER_SEGMENT_BYTES};
    ck_assert_uint_eq(tell(&frozen, late), LARDER_FENCED);
    fill_instead(second, 9);
    tell(&frozen, (struct order){.verb = CHECK, .key = "half", .seed = 9});
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_fenced], 1);
    ck_assert_uint_eq(row.values[COUNTER_fill_aborts], 1);
    ck_assert_uint_eq(row.values[COUNTER_stalls], 0);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, frozen_thawed_and_as_before);
    tcase_add_loop_test(tcase, lease_of_a_stalled_one_is_handed_on, 0, 2);
    tcase_add_loop_test(tcase, stalled_for_too_long_with_something_in_its_hands, 0, 2);
    tcase_add_test(tcase, stalled_with_empty_hands_is_kept);
    tcase_add_test(tcase, killed_while_stalled);
    tcase_add_test(tcase, cache_that_was_frozen_blames_nobody);
    tcase_add_test(tcase, fill_without_progress_is_handed_on);
}

int main(void)
{
    return crash_main("crash_stall", add_cases);
}
