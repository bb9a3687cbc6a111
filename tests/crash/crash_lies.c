/* A registered proxy, or somebody with access to the command queue, lies: each lie is answered and counted as
 * designed, costs nobody else anything, and the cache lives. */
#include "crash_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (5u * PEER_SEGMENT_BYTES + 7)

static struct story story;
static struct peer other; /* honest, of the same tenant */
static struct liar liar;
static uint64_t pinned; /* by the honest one */

static void begin(void)
{
    story_begin(&story, "lies");
    story_start_cache(&story, NULL);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    peer_store(&other, "small", 2, 100);
    pinned = peer_pin(&other, "large");
    liar_register(&liar, &story, "news");
}

/* The honest one has noticed nothing, and keeps what it has. */
static void check_other(void)
{
    peer_is_undisturbed(&other);
    peer_check(&other, "large", 1, LARGE);
    peer_check(&other, "small", 2, 100);
    struct larder_segment *segment = peer_borrow(&other);
    ck_assert_int_eq(larder_read(other.client, pinned, 1000, &segment, 500, NULL), 0);
    struct larder_event event = peer_expect(&other, LARDER_EVENT_READ);
    ck_assert_int_eq(event.status, LARDER_OK);
    ck_assert(is_pattern(event.segment->data, 1, 1000, 500));
    larder_segment_return(other.client, &event.segment);
    peer_is_served(&other);
}

static void end(bool dropped)
{
    check_other();
    ck_assert_uint_eq(story_counter(&story, COUNTER_proxies_dropped), dropped);
    liar_end(&liar, !dropped);
    larder_release(other.client, pinned);
    larder_client_flush(other.client);
    story_await_gauge(&story, GAUGE_proxies, 1);
    story_await_gauge(&story, GAUGE_pins, 0);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_leases), 0);
    peer_destroy(&other);
    story_end(&story);
}

static uint64_t liar_pin(void)
{
    struct wire_completion completion = liar_look_up(&liar, 0, "large", 0, WIRE_STATUS_HIT);

    liar_take_back(&liar, 0);
    ck_assert_uint_ne(completion.handle, 0);
    return completion.handle;
}

/* ---- indices ------------------------------------------------------------------------------------------ */

static const uint32_t jumps[] = {17, 1000, 0x80000000u, UINT32_MAX};

START_TEST(tail_that_cannot_be_true_ends_the_registration)
{
    begin();
    atomic_store(&liar.endpoint.pool.requests.shared->tail, liar.endpoint.pool.requests.own + jumps[_i]);
    liar_bell(&liar);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    liar_bell(&liar); /* and its bell is refused from then on */
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    end(true);
}
END_TEST

/* Within the bound: the cache serves what stands there. Zeroes belong to no registration. */
START_TEST(tail_that_runs_ahead_is_served_as_it_stands)
{
    begin();
    atomic_store(&liar.endpoint.pool.requests.shared->tail, 16);
    liar_bell(&liar);
    for (int i = 0; i < 16; i++)
        ck_assert_uint_eq(liar_completion(&liar).status, WIRE_STATUS_FENCED);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), 16);
    end(false);
}
END_TEST

/* Old entries once more: handles are given back already, segments not handed over. */
START_TEST(replayed_entries_change_nothing)
{
    begin();
    uint64_t handle = liar_pin();
    liar_release(&liar, handle);
    /* a request with an answer, to know when it has been served */
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    request.segment = 1;
    request.handle = handle;
    liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    struct ring *requests = &liar.endpoint.pool.requests;
    requests->own = 16 + 3;
    atomic_store(&requests->shared->tail, requests->own);
    liar_bell(&liar);
    for (int i = 0; i < 15; i++) /* RELEASE has no completion */
        liar_completion(&liar);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 1); /* the honest one's */
    end(false);
}
END_TEST

static void ask_often(int times)
{
    for (int i = 0; i < times; i++) {
        struct wire_request request = liar_request(&liar, WIRE_OP_READ);
        liar_put(&liar, &request);
        story_await_counter(&story, COUNTER_fenced, (uint64_t)i + 1);
    }
}

/* More answers than the completion ring holds, and none is taken. */
START_TEST(completions_that_nobody_takes_end_the_registration)
{
    begin();
    ask_often(16);
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    liar_put(&liar, &request);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    end(true);
}
END_TEST

START_TEST(head_that_cannot_be_true_ends_the_registration)
{
    begin();
    ask_often(16);
    atomic_store(&liar.endpoint.pool.completions.shared->head, 17);
    struct wire_request request = liar_request(&liar, WIRE_OP_READ);
    liar_put(&liar, &request);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    end(true);
}
END_TEST

START_TEST(every_byte_of_the_rings_is_noise)
{
    struct ring *requests;
    uint64_t state = 12;

    begin();
    requests = &liar.endpoint.pool.requests;
    for (uint32_t i = 0; i < 16 * RING_ENTRY_BYTES / 8; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        atomic_store(&requests->entries[i], state);
    }
    for (uint32_t i = 0; i < 16; i++) { /* most of them of the right registration and a known operation */
        uint8_t *entry =
            (uint8_t *)requests->shared + sizeof(struct ring_shared) + (size_t)i * RING_ENTRY_BYTES;
        entry[offsetof(struct wire_request, op)] = (uint8_t)(i % WIRE_OP_END);
        entry[offsetof(struct wire_request, segment)] %= 8;
        memset(entry + offsetof(struct wire_request, segment) + 1, 0, 3);
        if (i != 7)
            memcpy(entry + offsetof(struct wire_request, registration), &liar.registration, 8);
    }
    for (uint32_t i = 0; i < 8; i++)
        liar_hand_over(&liar, i, "large");
    atomic_store(&requests->shared->tail, 16);
    uint64_t served = story_counter(&story, COUNTER_requests);
    liar_bell(&liar);
    story_await_counter(&story, COUNTER_requests, served + 16);
    end(false);
}
END_TEST

/* ---- entries ------------------------------------------------------------------------------------------ */

static const uint8_t operations[] = {0, WIRE_OP_END, WIRE_OP_END + 1, 127, 255};

START_TEST(unknown_operation_is_bad)
{
    begin();
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);
    request.op = operations[_i];
    liar_expect(&liar, &request, WIRE_STATUS_BAD);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_requests), 1);
    end(false);
}
END_TEST

static const uint32_t segments[] = {8, 9, 0x7fffffff, WIRE_NO_SEGMENT};
static const enum wire_op with_segment[] = {WIRE_OP_LOOKUP,    WIRE_OP_READ,   WIRE_OP_FILL_BEGIN,
                                            WIRE_OP_FILL_DATA, WIRE_OP_UPDATE, WIRE_OP_REMOVE,
                                            WIRE_OP_PURGE};

START_TEST(segment_that_does_not_exist_is_bad)
{
    begin();
    uint64_t handle = liar_pin();
    /* Behind the last segment there is a rest of a page, where another one can be made up. */
    atomic_store(&segment_header(&liar.endpoint.pool, 8)->wsem.value, 1);
    atomic_store(&segment_header(&liar.endpoint.pool, 8)->rsem.value, 1);
    for (int i = 0; i < ROWS(segments); i++) {
        struct wire_request request = liar_request(&liar, with_segment[_i]);
        request.segment = segments[i];
        request.handle = handle;
        request.key_length = 5;
        liar_expect(&liar, &request, WIRE_STATUS_BAD);
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_requests), ROWS(segments));
    end(false);
}
END_TEST

START_TEST(segment_that_was_not_handed_over_is_bad)
{
    begin();
    uint64_t handle = liar_pin();
    struct wire_request request = liar_request(&liar, with_segment[_i]);
    request.segment = 3;
    request.handle = handle;
    request.key_length = 5;
    /* READ wants it writable, the others readable. */
    ck_assert(segment_win_write(&liar.endpoint.pool, 3));
    liar_expect(&liar, &request, WIRE_STATUS_BAD);
    segment_post_write(&liar.endpoint.pool, 3);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_requests), 1);
    end(false);
}
END_TEST

START_TEST(segment_handed_over_once_serves_once)
{
    begin();
    struct wire_request first = liar_request(&liar, WIRE_OP_LOOKUP), second;
    first.segment = 2;
    first.key_length = 6;
    liar_hand_over(&liar, 2, "absent");
    second = first;
    second.cookie++;
    ck_assert_int_eq(ring_put(&liar.endpoint.pool.requests, &first), RING_OK);
    liar_put(&liar, &second);
    ck_assert_uint_eq(liar_completion(&liar).status, WIRE_STATUS_MISS);
    ck_assert_uint_eq(liar_completion(&liar).status, WIRE_STATUS_BAD);
    end(false);
}
END_TEST

/* Both semaphores up, and values that no semaphore of ours takes. */
START_TEST(scribbled_semaphores_cost_only_their_owner)
{
    begin();
    uint8_t *header = (uint8_t *)segment_header(&liar.endpoint.pool, 4);
    for (int value = 0; value < 256; value += 5) {
        memset(header, value, sizeof(struct segment_header));
        if (value % 2)
            header[0] = header[1] = 1;
        struct wire_request request = liar_request(&liar, value % 3 ? WIRE_OP_LOOKUP : WIRE_OP_READ);
        request.segment = 4;
        request.key_length = 6;
        liar_put(&liar, &request);
        liar_completion(&liar);
    }
    ck_assert(story_answers(&story));
    end(false);
}
END_TEST

static const struct {
    enum wire_op op;
    uint16_t key_length, meta_length;
    uint32_t length;
    uint64_t value;
    enum wire_status status;
} lengths[] = {
    {WIRE_OP_LOOKUP, 0, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_LOOKUP, 4097, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_LOOKUP, 16385, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_LOOKUP, UINT16_MAX, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_REMOVE, 0, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_REMOVE, 4097, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_PURGE, 0, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_PURGE, 4097, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_PURGE, UINT16_MAX, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 0, 0, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 3, 4094, 0, 0, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 3, 0, 4094, 4094, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 3, 1, UINT32_MAX, UINT64_MAX, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 3, UINT16_MAX, UINT32_MAX, UINT64_MAX, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 4, 0, 0, 10, WIRE_STATUS_BAD}, /* another key than the lease's */
    {WIRE_OP_FILL_BEGIN, 2, 0, 0, 10, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 3, 0, 100, 99, WIRE_STATUS_BAD}, /* more than announced */
    {WIRE_OP_FILL_BEGIN, 3, 0, 100, 0, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_BEGIN, 3, 0, 0, UINT64_MAX - 1, WIRE_STATUS_TOO_LARGE},
    {WIRE_OP_FILL_BEGIN, 3, 0, 0, UINT64_C(1) << 63, WIRE_STATUS_TOO_LARGE},
    {WIRE_OP_FILL_DATA, 0, 0, 4097, 0, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_DATA, 0, 0, UINT32_MAX, 0, WIRE_STATUS_BAD},
    {WIRE_OP_FILL_DATA, 0, 0, 10, 0, WIRE_STATUS_BAD}, /* not begun */
    {WIRE_OP_FILL_DATA, 0, 0, 10, UINT64_MAX, WIRE_STATUS_BAD},
};

/* The segment is handed over; only the lengths are wrong. A lease that was named is gone. */
START_TEST(length_that_does_not_fit_is_refused)
{
    begin();
    uint64_t lease = liar_lease(&liar, "key");
    struct wire_request request = liar_request(&liar, lengths[_i].op);
    request.segment = 5;
    request.handle = lease;
    request.key_length = lengths[_i].key_length;
    request.meta_length = lengths[_i].meta_length;
    request.length = lengths[_i].length;
    request.value = lengths[_i].value;
    liar_hand_over(&liar, 5, "key");
    liar_expect(&liar, &request, lengths[_i].status);
    if (request.op == WIRE_OP_FILL_BEGIN || request.op == WIRE_OP_FILL_DATA) {
        ck_assert_uint_eq(story_gauge(&story, GAUGE_leases), 0);
        peer_check_miss(&other, "key");
    }
    end(false);
}
END_TEST

START_TEST(reading_out_of_bounds_is_refused_or_cut)
{
    static const struct {
        uint64_t offset;
        uint32_t wanted;
        enum wire_status status;
        uint32_t length;
    } reads[] = {
        {0, UINT32_MAX, WIRE_STATUS_OK, 4096},    {0, 0, WIRE_STATUS_OK, 0},
        {LARGE, 10, WIRE_STATUS_OK, 0},           {LARGE - 1, 10, WIRE_STATUS_OK, 1},
        {LARGE + 1, 10, WIRE_STATUS_BAD, 0},      {UINT64_MAX, 1, WIRE_STATUS_BAD, 0},
        {UINT64_MAX - 5, 10, WIRE_STATUS_BAD, 0}, {0, 4097, WIRE_STATUS_OK, 4096},
    };

    begin();
    uint64_t handle = liar_pin();
    for (int i = 0; i < ROWS(reads); i++) {
        struct wire_request request = liar_request(&liar, WIRE_OP_READ);
        request.segment = 6;
        request.handle = handle;
        request.value = reads[i].offset;
        request.length = reads[i].wanted;
        struct wire_completion completion = liar_expect(&liar, &request, reads[i].status);
        ck_assert_uint_eq(completion.length, reads[i].length);
        ck_assert(is_pattern(segment_payload(&liar.endpoint.pool, 6), 1, reads[i].offset, completion.length));
        liar_take_back(&liar, 6);
    }
    end(false);
}
END_TEST

START_TEST(other_registrations_are_fenced)
{
    static struct wire_row rows[64];
    uint64_t numbers[4] = {0, UINT64_MAX, liar.registration, 0};

    begin();
    numbers[2] = liar.registration + 1024; /* the next generation of its place */
    int count = story_rows(&story, rows, 64);
    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && rows[i].epoch != liar.registration)
            numbers[3] = rows[i].epoch; /* the honest one's */
    }
    for (int i = 0; i < 4; i++) {
        struct wire_request request = liar_request(&liar, WIRE_OP_RELEASE);
        request.registration = numbers[i];
        request.handle = 1;
        liar_put(&liar, &request);
        request = liar_request(&liar, WIRE_OP_LOOKUP);
        request.registration = numbers[i];
        request.segment = 0;
        request.key_length = 5;
        liar_expect(&liar, &request, WIRE_STATUS_FENCED);
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), 8);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 1);
    end(false);
}
END_TEST

/* Handles count from the same beginning in each session: the honest one's number means nothing here. */
START_TEST(handles_of_others_and_of_yesterday_are_fenced)
{
    begin();
    uint64_t handle = liar_pin();
    liar_release(&liar, handle);
    struct wire_request request;
    uint64_t guesses[] = {0,          handle, handle + 1, handle ^ UINT64_C(1) << 32, 1, UINT32_MAX,
                          UINT64_MAX, 1024,   1025};
    static const enum wire_op with_handle[] = {WIRE_OP_READ, WIRE_OP_FILL_END, WIRE_OP_UPDATE};
    uint64_t fenced = 0;
    for (int i = 0; i < ROWS(guesses); i++) {
        if (guesses[i] == (handle ^ UINT64_C(1) << 32))
            continue; /* might be the next generation; it is not, but need not be refused for ever */
        for (int op = 0; op < ROWS(with_handle); op++) {
            request = liar_request(&liar, with_handle[op]);
            request.handle = guesses[i];
            request.segment = 1;
            if (with_handle[op] == WIRE_OP_UPDATE)
                liar_hand_over(&liar, 1, "meta");
            liar_expect(&liar, &request, WIRE_STATUS_FENCED);
            fenced++;
        }
        liar_release(&liar, guesses[i]); /* twice */
        request = liar_request(&liar, WIRE_OP_FILL_ABORT);
        request.handle = guesses[i];
        liar_put(&liar, &request);
        fenced += 2;
    }
    story_await_counter(&story, COUNTER_fenced, fenced);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_pins), 1);
    end(false);
}
END_TEST

START_TEST(times_of_any_value_are_survived)
{
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    char key[8];

    begin();
    for (int i = 0; i < ROWS(times); i++) {
        snprintf(key, sizeof(key), "time-%d", i);
        struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);
        request.handle = liar_lease(&liar, key);
        request.segment = 0;
        request.key_length = (uint16_t)strlen(key);
        request.fresh_until = times[ROWS(times) - 1 - i];
        request.keep_until = times[i];
        liar_hand_over(&liar, 0, key);
        liar_expect(&liar, &request, WIRE_STATUS_OK);
        ck_assert(story_answers(&story)); /* it has slept meanwhile, until some time */
    }
    end(false);
}
END_TEST

/* ---- messages ----------------------------------------------------------------------------------------- */

/* As the honest proxy's own registration shows up in the statistics, and its token in /dev/shm. */
static uint64_t registration_of_other(void)
{
    static struct wire_row rows[64];
    int count = story_rows(&story, rows, 64);

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && rows[i].epoch != liar.registration)
            return rows[i].epoch;
    }
    ck_abort_msg("the honest proxy is not registered");
}

static uint64_t token_of_other(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    uint64_t token = 0, found;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory))) {
        if (names_peer_parse(entry->d_name, story.instance, &found) && found != liar.endpoint.token)
            token = found;
    }
    closedir(directory);
    ck_assert_uint_ne(token, 0);
    return token;
}

static size_t forge_bye(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BYE, token_of_other());

    message->wire_bye.registration = registration_of_other();
    message->wire_bye.secret = 42;
    return length;
}

static size_t forge_bye_with_own_secret(union wire_message *message)
{
    size_t length = forge_bye(message);

    message->header.token = liar.endpoint.token;
    message->wire_bye.secret = liar.endpoint.secret;
    return length;
}

static size_t forge_bye_under_another_token(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BYE, token_of_other());

    message->wire_bye.registration = liar.registration;
    message->wire_bye.secret = liar.endpoint.secret;
    return length;
}

/* What a refusal echoes is chosen by the forger. */
static size_t forge_bye_that_echoes(union wire_message *message)
{
    size_t length = forge_bye(message);

    message->wire_bye.secret = message->wire_bye.registration;
    return length;
}

static size_t forge_broken_bell(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BELL, token_of_other()) + 8;

    message->header.length = (uint32_t)length;
    message->wire_bell.registration = registration_of_other();
    memcpy(message->bytes + length - 8, &message->wire_bell.registration, 8);
    return length;
}

static size_t forge_stale_bell(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BELL, token_of_other());

    message->wire_bell.registration = 42;
    return length;
}

static size_t forge_stats(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_STATS, token_of_other());

    message->wire_stats.registration = registration_of_other();
    return length;
}

static size_t forge_hello(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_HELLO, token_of_other());

    message->wire_hello.segments = 4;
    message->wire_hello.segment_bytes = 4096;
    message->wire_hello.ring_entries = 16;
    strcpy(message->wire_hello.tenant, "news");
    return length;
}

static size_t forge_version(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_PING, token_of_other());

    message->header.version++;
    return length;
}

static size_t forge_type(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_PING, token_of_other());

    message->header.type = 9;
    return length;
}

/* Each is sent in the honest proxy's name. It may get an answer that it did not ask for, but must go on. */
static size_t (*const forgeries[])(union wire_message *) = {
    forge_bye,
    forge_bye_with_own_secret,
    forge_stale_bell,
    forge_stats,
    forge_hello,
    forge_bye_that_echoes,
    forge_bye_under_another_token,
    forge_broken_bell,
    forge_version,
    forge_type,
};

START_TEST(forged_message_does_not_end_a_registration)
{
    union wire_message message;

    begin();
    uint64_t before = story_counter(&story, COUNTER_bad_messages);
    size_t length = forgeries[_i](&message);
    liar_send(&liar, &message, length);
    story_await_counter(&story, COUNTER_bad_messages, before + 1);
    check_other();
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 2);
    ck_assert_uint_eq(story_counter(&story, COUNTER_departures), 0);
    end(false);
}
END_TEST

static size_t make_ping(union wire_message *message)
{
    return wire_prepare(message, WIRE_PING, liar.endpoint.token);
}

static size_t later_version(union wire_message *message)
{
    size_t length = make_ping(message);

    message->header.version = WIRE_VERSION + 1;
    return length;
}

static size_t header_only_of_a_later_version(union wire_message *message)
{
    make_ping(message);
    message->header.version = UINT16_MAX;
    return sizeof(message->header);
}

static size_t unknown_type(union wire_message *message)
{
    size_t length = make_ping(message);

    message->header.type = 63;
    return length;
}

static size_t welcome_to_the_cache(union wire_message *message)
{
    return wire_prepare(message, WIRE_WELCOME, liar.endpoint.token);
}

static size_t refusal_to_the_cache(union wire_message *message)
{
    return wire_prepare(message, WIRE_REFUSED, liar.endpoint.token);
}

static size_t too_short(union wire_message *message)
{
    size_t length = make_ping(message) - 1;

    message->header.length = (uint32_t)length;
    return length;
}

static size_t too_long(union wire_message *message)
{
    make_ping(message);
    message->header.length = WIRE_MAX_BYTES;
    return WIRE_MAX_BYTES;
}

static size_t lying_length(union wire_message *message)
{
    size_t length = make_ping(message);

    message->header.length--;
    return length;
}

static size_t unterminated_tenant(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_HELLO, liar.endpoint.token);

    memset(message->wire_hello.tenant, 'a', sizeof(message->wire_hello.tenant));
    return length;
}

static size_t hello_again(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_HELLO, liar.endpoint.token);

    message->wire_hello.secret = liar.endpoint.secret;
    message->wire_hello.segments = 8;
    message->wire_hello.segment_bytes = 4096;
    message->wire_hello.ring_entries = 16;
    return length;
}

static size_t stats_by_a_proxy(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_STATS, liar.endpoint.token);

    message->wire_stats.registration = liar.registration;
    message->wire_stats.secret = liar.endpoint.secret;
    return length;
}

static size_t reload_by_a_proxy(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_RELOAD, liar.endpoint.token);

    message->wire_reload.registration = liar.registration;
    message->wire_reload.secret = liar.endpoint.secret;
    return length;
}

static size_t reload_with_a_wrong_secret(union wire_message *message)
{
    size_t length = reload_by_a_proxy(message);

    message->wire_reload.secret = ~liar.endpoint.secret;
    return length;
}

static size_t bye_with_a_wrong_secret(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BYE, liar.endpoint.token);

    message->wire_bye.registration = liar.registration;
    message->wire_bye.secret = ~liar.endpoint.secret;
    return length;
}

static const struct {
    size_t (*make)(union wire_message *);
    uint32_t type;
    enum wire_refusal reason;
} refused[] = {
    {later_version, WIRE_PING, WIRE_REFUSAL_VERSION},
    {header_only_of_a_later_version, WIRE_PING, WIRE_REFUSAL_VERSION},
    {unknown_type, 63, WIRE_REFUSAL_TYPE},
    {welcome_to_the_cache, WIRE_WELCOME, WIRE_REFUSAL_TYPE},
    {refusal_to_the_cache, WIRE_REFUSED, WIRE_REFUSAL_TYPE},
    {too_short, WIRE_PING, WIRE_REFUSAL_MALFORMED},
    {too_long, WIRE_PING, WIRE_REFUSAL_MALFORMED},
    {lying_length, WIRE_PING, WIRE_REFUSAL_MALFORMED},
    {unterminated_tenant, WIRE_HELLO, WIRE_REFUSAL_MALFORMED},
    {hello_again, WIRE_HELLO, WIRE_REFUSAL_DUPLICATE},
    {stats_by_a_proxy, WIRE_STATS, WIRE_REFUSAL_ROLE},
    {reload_by_a_proxy, WIRE_RELOAD, WIRE_REFUSAL_ROLE},
    {reload_with_a_wrong_secret, WIRE_RELOAD, WIRE_REFUSAL_STALE},
    {bye_with_a_wrong_secret, WIRE_BYE, WIRE_REFUSAL_STALE},
};

START_TEST(wrong_message_is_refused_by_name)
{
    union wire_message message;

    begin();
    uint64_t before = story_counter(&story, COUNTER_bad_messages);
    memset(&message, 0, sizeof(message));
    size_t length = refused[_i].make(&message);
    liar_send(&liar, &message, length);
    liar_expect_refusal(&liar, refused[_i].type, refused[_i].reason);
    ck_assert_uint_eq(story_counter(&story, COUNTER_bad_messages), before + 1);
    liar_pin(); /* still registered, and served */
    end(false);
}
END_TEST

START_TEST(garbage_is_counted_and_dropped)
{
    static const size_t sizes[] = {0, 1, 23, 24, 32, 511, 512};
    unsigned char bytes[WIRE_MAX_BYTES];
    uint64_t before;

    begin();
    before = story_counter(&story, COUNTER_bad_messages);
    memset(bytes, 0x5a, sizeof(bytes));
    for (int i = 0; i < ROWS(sizes); i++)
        liar_send(&liar, bytes, sizes[i]);
    story_await_counter(&story, COUNTER_bad_messages, before + ROWS(sizes));
    end(false);
}
END_TEST

/* A flood through the command queue: the honest one's bells may not get through, and it is served all the
 * same. */
static void flood(void *context)
{
    union wire_message message;

    (void)context;
    for (uint64_t i = 0;; i++) {
        size_t length = wire_prepare(&message, i % 2 ? WIRE_BELL : WIRE_STATS, i);
        if (mq_send_message(liar.endpoint.command, &message, length) == -EAGAIN && i % 64 == 0)
            sched_yield(); /* lets the others have a processor */
    }
}

START_TEST(flood_of_messages_starves_nobody)
{
    begin();
    pid_t flooders[2] = {start_child(flood, NULL), start_child(flood, NULL)};
    for (int i = 0; i < 20; i++)
        peer_is_served(&other);
    for (int i = 0; i < 2; i++)
        end_child(flooders[i], SIGKILL);
    end(false);
}
END_TEST

/* The queue is full of other messages at the moment of the bell. */
START_TEST(lost_bell_is_made_up_for)
{
    union wire_message message = {.header = {0}};
    int status;

    begin();
    for (int round = 0; round < 20; round++) {
        ck_assert(story_answers(&story));
        kill(story.cache.pid, SIGSTOP);
        ck_assert_int_eq(waitpid(story.cache.pid, &status, WUNTRACED), story.cache.pid);
        while (mq_send_message(liar.endpoint.command, &message, 5) == 0) {
        }
        struct larder_segment *segment = peer_key(&other, "small");
        ck_assert_int_eq(larder_lookup(other.client, &segment, 5, 0, NULL), 0);
        larder_client_flush(other.client);
        kill(story.cache.pid, SIGCONT);
        struct larder_event event = peer_expect(&other, LARDER_EVENT_LOOKUP);
        ck_assert_int_eq(event.status, LARDER_HIT);
        larder_segment_return(other.client, &event.segment);
    }
    end(false);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, tail_that_cannot_be_true_ends_the_registration, 0, ROWS(jumps));
    tcase_add_test(tcase, tail_that_runs_ahead_is_served_as_it_stands);
    tcase_add_test(tcase, replayed_entries_change_nothing);
    tcase_add_test(tcase, completions_that_nobody_takes_end_the_registration);
    tcase_add_test(tcase, head_that_cannot_be_true_ends_the_registration);
    tcase_add_test(tcase, every_byte_of_the_rings_is_noise);
    tcase_add_loop_test(tcase, unknown_operation_is_bad, 0, ROWS(operations));
    tcase_add_loop_test(tcase, segment_that_does_not_exist_is_bad, 0, ROWS(with_segment));
    tcase_add_loop_test(tcase, segment_that_was_not_handed_over_is_bad, 0, ROWS(with_segment));
    tcase_add_test(tcase, segment_handed_over_once_serves_once);
    tcase_add_test(tcase, scribbled_semaphores_cost_only_their_owner);
    tcase_add_loop_test(tcase, length_that_does_not_fit_is_refused, 0, ROWS(lengths));
    tcase_add_test(tcase, reading_out_of_bounds_is_refused_or_cut);
    tcase_add_test(tcase, other_registrations_are_fenced);
    tcase_add_test(tcase, handles_of_others_and_of_yesterday_are_fenced);
    tcase_add_test(tcase, times_of_any_value_are_survived);
    tcase_add_loop_test(tcase, forged_message_does_not_end_a_registration, 0, ROWS(forgeries));
    tcase_add_loop_test(tcase, wrong_message_is_refused_by_name, 0, ROWS(refused));
    tcase_add_test(tcase, garbage_is_counted_and_dropped);
    tcase_add_test(tcase, flood_of_messages_starves_nobody);
    tcase_add_test(tcase, lost_bell_is_made_up_for);
}

int main(void)
{
    return crash_main("crash_lies", add_cases);
}
