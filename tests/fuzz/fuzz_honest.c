#include "fuzz_honest.h"

#include "counters.h"
#include "fuzz_clock.h"
#include "fuzz_peer.h"

#define SEGMENT_BYTES 4096u
#define LARGE_BYTES   10000u /* three segments */
#define SMALL_BYTES   900u
#define TURNS_MAX     64
#define YEAR_MS       ((int64_t)365 * 24 * 3600 * 1000)

/* Its segments: 0 to work with; 1 is never handed over, and nobody may write to it. */
enum { WORK, CANARY, SEGMENTS };

static struct peer *self;
static uint64_t cookie, pinned, evictions_before;
static const struct pool_shape shape = {
    .segments = SEGMENTS, .segment_bytes = SEGMENT_BYTES, .ring_entries = 16};
/* A second registration, to ask for statistics with: one segment that holds some rows. */
static const struct pool_shape asker_shape = {.segments = 1, .segment_bytes = 4096, .ring_entries = 16};

/* Bodies differ by where they begin in it. */
static const uint8_t *pattern(char object, uint32_t offset)
{
    static uint8_t bytes[256 * 7 + LARGE_BYTES];

    if (bytes[1] == 0) {
        for (uint32_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(i % 251);
    }
    return bytes + (unsigned char)object * 7 + offset;
}

static void fill(uint8_t *out, char object, uint32_t offset, uint32_t length)
{
    memcpy(out, pattern(object, offset), length);
}

static void compare(const uint8_t *bytes, char object, uint32_t offset, uint32_t length)
{
    REQUIRE(memcmp(bytes, pattern(object, offset), length) == 0);
}

uint64_t honest_secret(void)
{
    return self->secret;
}

void honest_beat(void)
{
    if (self && self->there)
        pool_beat(&self->pool);
}

/* ---- talking ---- */

/* Others may have filled the queue; the cache empties it. */
static void send_message(const union wire_message *message, size_t length)
{
    for (int i = 0; i < TURNS_MAX && fuzz_send(message, length) != 0; i++)
        fuzz_turn();
}

/* Whoever knows its token can make the cache send it refusals; it believes those that echo its own secret. */
static void await_message(struct peer *peer, enum wire_type type, union wire_message *message)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        while (peer_receive(peer, message)) {
            if (message->header.type == type)
                return;
            REQUIRE(message->header.type != WIRE_REFUSED || message->wire_refused.echo != peer->secret);
        }
        fuzz_turn();
    }
    REQUIRE(!"the cache answers");
}

static void register_peer(struct peer *peer, const struct pool_shape *pool, enum wire_role role)
{
    union wire_message message;
    size_t length;

    REQUIRE(peer_appear(peer, pool));
    length = wire_prepare(&message, WIRE_HELLO, peer->token);
    message.wire_hello.secret = peer->secret;
    message.wire_hello.role = role;
    message.wire_hello.segments = pool->segments;
    message.wire_hello.segment_bytes = pool->segment_bytes;
    message.wire_hello.ring_entries = pool->ring_entries;
    memcpy(message.wire_hello.tenant, HONEST_TENANT, sizeof HONEST_TENANT);
    send_message(&message, length);
    await_message(peer, WIRE_WELCOME, &message);
    peer->registration = message.wire_welcome.registration;
}

static void leave(struct peer *peer)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BYE, peer->token);

    message.wire_bye.registration = peer->registration;
    message.wire_bye.secret = peer->secret;
    send_message(&message, length);
    fuzz_turn();
    peer_vanish(peer, false);
}

static struct wire_completion await_completion(void)
{
    struct wire_completion completion;

    for (int i = 0; i < TURNS_MAX; i++) {
        enum ring_result result = ring_take(&self->pool.completions, &completion);

        REQUIRE(result != RING_BROKEN);
        if (result == RING_OK) {
            ring_consumed(&self->pool.completions);
            REQUIRE(completion.cookie == cookie && completion.registration == self->registration);
            return completion;
        }
        fuzz_turn();
    }
    REQUIRE(!"the cache serves");
    return completion;
}

/* The request's bytes stand in the segment already. */
static struct wire_completion ask(struct wire_request *request)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BELL, self->token);

    request->registration = self->registration;
    request->cookie = ++cookie;
    REQUIRE(ring_put(&self->pool.requests, request) == RING_OK);
    ring_publish(&self->pool.requests);
    message.wire_bell.registration = self->registration;
    if (ring_wants_bell(&self->pool.requests))
        send_message(&message, length);
    return await_completion();
}

/* A request that hands bytes over; the segment is back afterwards, to read if the cache wrote into it. */
static struct wire_completion ask_with_bytes(struct wire_request *request)
{
    request->segment = WORK;
    segment_post_read(&self->pool, WORK);
    struct wire_completion completion = ask(request);
    if (completion.flags & WIRE_HAS_DATA)
        REQUIRE(segment_win_read(&self->pool, WORK));
    else
        REQUIRE(segment_win_write(&self->pool, WORK));
    return completion;
}

static uint8_t *payload(void)
{
    return segment_payload(&self->pool, WORK);
}

/* ---- operations ---- */

static struct wire_completion look_up(char object, uint8_t flags)
{
    struct wire_request request = {.op = WIRE_OP_LOOKUP, .flags = flags, .key_length = 1};

    payload()[0] = (uint8_t)object;
    return ask_with_bytes(&request);
}

static enum wire_status begin_fill(char object, uint64_t lease, uint32_t size)
{
    struct wire_request request = {.op = WIRE_OP_FILL_BEGIN,
                                   .handle = lease,
                                   .value = size,
                                   .key_length = 1,
                                   .meta_length = 4,
                                   .length = size < SEGMENT_BYTES / 2 ? size : 0,
                                   .fresh_until = __wrap_clock_wall_ms() + YEAR_MS,
                                   .keep_until = __wrap_clock_wall_ms() + 2 * YEAR_MS};

    payload()[0] = (uint8_t)object;
    memcpy(payload() + 1, "meta", 4);
    fill(payload() + 5, object, 0, request.length);
    return ask_with_bytes(&request).status;
}

static enum wire_status fill_rest(char object, uint64_t lease, uint32_t size)
{
    enum wire_status status = WIRE_STATUS_OK;

    for (uint32_t offset = 0; offset < size && status == WIRE_STATUS_OK;) {
        uint32_t length = size - offset < SEGMENT_BYTES ? size - offset : SEGMENT_BYTES;
        struct wire_request request = {
            .op = WIRE_OP_FILL_DATA, .handle = lease, .value = offset, .length = length};
        fill(payload(), object, offset, length);
        status = ask_with_bytes(&request).status;
        offset += length;
    }
    if (status != WIRE_STATUS_OK)
        return status;
    struct wire_request end = {
        .op = WIRE_OP_FILL_END, .segment = WIRE_NO_SEGMENT, .handle = lease, .value = size};
    return ask(&end).status;
}

/* OK, or NO_MEMORY when others hold all there is. */
static enum wire_status store(char object, uint32_t size)
{
    uint64_t lease = look_up(object, WIRE_LOOKUP_LEASE).lease;

    REQUIRE(lease != 0);
    enum wire_status status = begin_fill(object, lease, size);
    if (status == WIRE_STATUS_OK && size >= SEGMENT_BYTES / 2)
        status = fill_rest(object, lease, size);
    REQUIRE(status == WIRE_STATUS_OK || status == WIRE_STATUS_NO_MEMORY);
    return status;
}

static enum wire_status look_at_small(char object)
{
    struct wire_completion completion = look_up(object, 0);

    if (completion.status != WIRE_STATUS_HIT)
        return completion.status;
    REQUIRE(completion.object_size == SMALL_BYTES && completion.length == SMALL_BYTES);
    REQUIRE(completion.meta_length == 4 && memcmp(payload(), "meta", 4) == 0);
    REQUIRE(completion.handle == 0);
    compare(payload() + 4, object, 0, SMALL_BYTES);
    return WIRE_STATUS_HIT;
}

static void read_large(void)
{
    for (uint32_t offset = 0; offset < LARGE_BYTES;) {
        struct wire_request request = {
            .op = WIRE_OP_READ, .segment = WORK, .handle = pinned, .value = offset, .length = SEGMENT_BYTES};
        segment_post_write(&self->pool, WORK);
        struct wire_completion completion = ask(&request);
        REQUIRE(completion.status == WIRE_STATUS_OK && completion.length > 0);
        REQUIRE(segment_win_read(&self->pool, WORK));
        compare(payload(), 'L', offset, completion.length);
        offset += completion.length;
    }
}

static void check_canary(void)
{
    const uint8_t *bytes = segment_payload(&self->pool, CANARY);

    REQUIRE(bytes[0] == 0xc5 && memcmp(bytes, bytes + 1, SEGMENT_BYTES - 1) == 0);
    REQUIRE(atomic_load(&segment_header(&self->pool, CANARY)->wsem.value) == 1);
    REQUIRE(atomic_load(&segment_header(&self->pool, CANARY)->rsem.value) == 0);
}

/* ---- statistics ---- */

static uint64_t gauge(const struct wire_row *row, enum gauge which)
{
    return row->values[COUNTER_COUNT + which];
}

/* The cache's row, as anybody may have it who asks. */
static struct wire_row statistics(void)
{
    struct peer *asker = peer_at(1);
    union wire_message message;
    struct wire_row row;
    size_t length;

    register_peer(asker, &asker_shape, WIRE_ROLE_ADMIN);
    length = wire_prepare(&message, WIRE_STATS, asker->token);
    message.wire_stats.registration = asker->registration;
    message.wire_stats.secret = asker->secret;
    send_message(&message, length);
    await_message(asker, WIRE_STATS_ROWS, &message);
    REQUIRE(message.wire_stats_rows.rows >= 1);
    memcpy(&row, segment_payload(&asker->pool, 0), sizeof row);
    leave(asker);
    REQUIRE(row.kind == WIRE_ROW_CACHE);
    return row;
}

/* ---- the story ---- */

void honest_begin(void)
{
    self = peer_at(0);
    cookie = 0;
    register_peer(self, &shape, WIRE_ROLE_PROXY);
    REQUIRE(segment_win_write(&self->pool, WORK));
    memset(segment_payload(&self->pool, CANARY), 0xc5, SEGMENT_BYTES);
    REQUIRE(store('S', SMALL_BYTES) == WIRE_STATUS_OK);
    REQUIRE(store('L', LARGE_BYTES) == WIRE_STATUS_OK);
    struct wire_completion completion = look_up('L', 0);
    REQUIRE(completion.status == WIRE_STATUS_HIT && completion.object_size == LARGE_BYTES);
    pinned = completion.handle;
    REQUIRE(pinned != 0);
    evictions_before = 0;
}

void honest_check(void)
{
    enum wire_status status = look_at_small('S');

    read_large();
    check_canary();
    REQUIRE(status == WIRE_STATUS_HIT || status == WIRE_STATUS_MISS);
}

void honest_check_alone(void)
{
    struct wire_row row = statistics();
    bool evicted = row.values[COUNTER_evictions] > evictions_before;

    REQUIRE(gauge(&row, GAUGE_proxies) == 1 && gauge(&row, GAUGE_stalled) == 0);
    REQUIRE(gauge(&row, GAUGE_pins) == 1 && gauge(&row, GAUGE_leases) == 0);
    REQUIRE(gauge(&row, GAUGE_bytes_held) >= LARGE_BYTES && gauge(&row, GAUGE_bytes_held) < 2 * LARGE_BYTES);
    REQUIRE(gauge(&row, GAUGE_pools) == 2);
    REQUIRE(row.values[COUNTER_bad_requests] < UINT32_MAX);
    enum wire_status status = look_at_small('S');
    REQUIRE(status == WIRE_STATUS_HIT || (evicted && status == WIRE_STATUS_MISS));
    if (status == WIRE_STATUS_MISS)
        REQUIRE(store('S', SMALL_BYTES) == WIRE_STATUS_OK);
    REQUIRE(store('N', SMALL_BYTES) == WIRE_STATUS_OK);
    REQUIRE(look_at_small('N') == WIRE_STATUS_HIT);
    REQUIRE(look_at_small('S') == WIRE_STATUS_HIT);
}

void honest_end(void)
{
    leave(self);
}
