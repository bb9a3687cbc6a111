/* Attacks by work and by holding on: the dearest requests there are, and pins, leases and memory kept from
 * others. */
#include "hostile.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY      64u
#define MEGABYTE  (1u << 20)
#define KEY_BYTES 16384u
#define META      65535u

static const struct pool_shape wide = {.segments = 32, .segment_bytes = MEGABYTE, .ring_entries = 256};
static const struct pool_shape dear = {.segments = 32, .segment_bytes = 131072, .ring_entries = 256};
static const struct pool_shape usual = {.segments = 64, .segment_bytes = 8192, .ring_entries = 256};

/* ---- requests that take long ---- */

static void lend_all(struct peer *peer)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.segments; i++)
        pool_semaphore_post(&segment_header(&peer->endpoint.pool, i)->wsem);
}

static void hand_over_all(struct peer *peer)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.segments; i++)
        pool_semaphore_post(&segment_header(&peer->endpoint.pool, i)->rsem);
}

static _Noreturn void flood(const struct hostile *hostile, struct peer *peer, void (*prepare)(struct peer *))
{
    attack_is_on(hostile);
    for (;;) {
        uint32_t served;

        prepare(peer);
        served = peer_flood(peer);
        if (served > 0)
            attack_counts(hostile, served);
    }
}

static void write_entries(struct peer *peer, struct wire_request request)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.ring_entries; i++) {
        request.segment = i % peer->endpoint.pool.shape.segments;
        if (request.op == WIRE_OP_READ)
            request.value = (uint64_t)(i % 16) * MEGABYTE;
        peer_write_entry(peer, i, &request);
    }
}

static void run_read(const struct hostile *hostile)
{
    static struct peer peer;
    struct wire_request request;

    peer_open_registered(&peer, hostile, &wide, TENANT_HOSTILE);
    (void)peer_store(&peer, "large", 5, NULL, 0, 16 * MEGABYTE);
    request = peer_request(&peer, WIRE_OP_READ);
    request.handle = peer_pin(&peer, "large", 5);
    request.length = MEGABYTE;
    if (!request.handle)
        attack_fails("pin", "the object is not there");
    write_entries(&peer, request);
    flood(hostile, &peer, lend_all);
}

/* The metadata begins with the key, so that the segment of a lookup is ready for the next one. */
static void run_lookup(const struct hostile *hostile)
{
    static struct peer peer;
    static uint8_t meta[META];
    struct wire_request request;
    uint64_t state = now_ns();

    for (unsigned i = 0; i < META; i++)
        meta[i] = (uint8_t)noise(&state);
    peer_open_registered(&peer, hostile, &dear, TENANT_HOSTILE);
    if (!peer_store(&peer, meta, KEY_BYTES, meta, META, 40000))
        attack_fails("store", "refused");
    request = peer_request(&peer, WIRE_OP_LOOKUP);
    request.key_length = KEY_BYTES;
    for (uint32_t i = 0; i < dear.segments; i++)
        peer_hand_over(&peer, i, meta, KEY_BYTES);
    write_entries(&peer, request);
    flood(hostile, &peer, hand_over_all);
}

static void run_update(const struct hostile *hostile)
{
    static struct peer peer;
    struct wire_request request;

    peer_open_registered(&peer, hostile, &dear, TENANT_HOSTILE);
    if (!peer_store(&peer, "renewed", 7, NULL, 0, 100))
        attack_fails("store", "refused");
    request = peer_request(&peer, WIRE_OP_UPDATE);
    request.handle = peer_pin(&peer, "renewed", 7);
    request.meta_length = META;
    request.fresh_until = request.keep_until = later_ms(3600000);
    write_entries(&peer, request);
    flood(hostile, &peer, hand_over_all);
}

/* ---- fills ---- */

static void put_fill_data(struct peer *peer, uint64_t lease, uint64_t offset, uint32_t segment,
                          uint32_t length)
{
    struct wire_request request = peer_request(peer, WIRE_OP_FILL_DATA);

    request.segment = segment;
    request.handle = lease;
    request.value = offset;
    request.length = length;
    pool_semaphore_post(&segment_header(&peer->endpoint.pool, segment)->rsem);
    peer_put(peer, &request);
}

/* A lease on the key and an object that expects `size` bytes; 0 when refused. */
static uint64_t begin_object(struct peer *peer, const char *key, uint64_t size)
{
    uint16_t length = (uint16_t)strlen(key);
    uint64_t lease = peer_lease(peer, key, length);
    struct wire_request request = peer_request(peer, WIRE_OP_FILL_BEGIN);

    if (!lease)
        return 0;
    request.segment = 0;
    request.handle = lease;
    request.key_length = length;
    request.value = size;
    request.fresh_until = request.keep_until = later_ms(3600000);
    peer_hand_over(peer, 0, key, length);
    return peer_ask(peer, &request).status == WIRE_STATUS_OK ? lease : 0;
}

/* `pieces` of a segment each, many under way. True: all were taken. */
static bool pour(struct peer *peer, uint64_t lease, uint32_t pieces)
{
    uint32_t segments = peer->endpoint.pool.shape.segments;
    uint32_t bytes = peer->endpoint.pool.shape.segment_bytes;
    bool fine = true;

    for (uint32_t put = 0, answered = 0; answered < pieces; answered++) {
        for (; put < pieces && put - answered < segments; put++)
            put_fill_data(peer, lease, (uint64_t)put * bytes, put % segments, bytes);
        peer_flush(peer);
        fine &= peer_completion(peer).status == WIRE_STATUS_OK;
    }
    return fine;
}

static void abort_fill(struct peer *peer, uint64_t lease)
{
    struct wire_request request = peer_request(peer, WIRE_OP_FILL_ABORT);

    request.handle = lease;
    peer_put(peer, &request);
    peer_flush(peer);
}

static void end_fill(struct peer *peer, uint64_t lease, uint64_t size)
{
    struct wire_request request = peer_request(peer, WIRE_OP_FILL_END);

    request.handle = lease;
    request.value = size;
    (void)peer_ask(peer, &request);
}

static void remove_key(struct peer *peer, const char *key)
{
    struct wire_request request = peer_request(peer, WIRE_OP_REMOVE);

    request.segment = 0;
    request.key_length = (uint16_t)strlen(key);
    peer_hand_over(peer, 0, key, strlen(key));
    (void)peer_ask(peer, &request);
}

static void run_fill_abort(const struct hostile *hostile)
{
    static struct peer peer;

    peer_open_registered(&peer, hostile, &wide, TENANT_HOSTILE);
    attack_is_on(hostile);
    for (;;) {
        uint64_t lease = begin_object(&peer, "aborted", UINT64_MAX);
        if (lease && pour(&peer, lease, 32))
            attack_counts(hostile, 32);
        abort_fill(&peer, lease);
    }
}

/* Large objects stored, then all removed at once. */
static void run_churn(const struct hostile *hostile)
{
    static struct peer peer;
    char key[32];

    peer_open_registered(&peer, hostile, &wide, TENANT_HOSTILE);
    attack_is_on(hostile);
    for (;;) {
        for (int i = 0; i < 3; i++) {
            snprintf(key, sizeof(key), "churn-%d", i);
            uint64_t lease = begin_object(&peer, key, 100u * MEGABYTE);
            if (lease && pour(&peer, lease, 100))
                end_fill(&peer, lease, 100u * MEGABYTE);
            attack_counts(hostile, 100);
        }
        for (int i = 0; i < 3; i++) {
            snprintf(key, sizeof(key), "churn-%d", i);
            remove_key(&peer, key);
        }
    }
}

/* ---- junk ---- */

/* Whole objects with keys that never come again, a pool full at a time: a round of lookups for leases, then a
 * round of fills. */
static void junk_round(struct peer *peer, uint64_t *number, uint32_t size, int64_t lives_ms)
{
    uint32_t segments = peer->endpoint.pool.shape.segments;
    uint64_t leases[64] = {0}, first = *number;
    char key[32];

    for (uint32_t i = 0; i < segments; i++) {
        struct wire_request request = peer_request(peer, WIRE_OP_LOOKUP);
        request.segment = i;
        request.flags = WIRE_LOOKUP_LEASE;
        request.key_length = (uint16_t)snprintf(key, sizeof(key), "%llx", (unsigned long long)(first + i));
        request.cookie = i;
        peer_hand_over(peer, i, key, request.key_length);
        peer_put(peer, &request);
    }
    peer_flush(peer);
    for (uint32_t i = 0; i < segments; i++) {
        struct wire_completion completion = peer_completion(peer);
        leases[completion.cookie % 64] = completion.lease;
    }
    uint32_t fills = 0;
    for (uint32_t i = 0; i < segments; i++) {
        struct wire_request request = peer_request(peer, WIRE_OP_FILL_BEGIN);
        if (!leases[i])
            continue;
        request.segment = i;
        request.handle = leases[i];
        request.key_length = (uint16_t)snprintf(key, sizeof(key), "%llx", (unsigned long long)(first + i));
        request.length = size;
        request.value = size;
        request.fresh_until = request.keep_until = later_ms(lives_ms);
        peer_hand_over(peer, i, key, request.key_length);
        peer_put(peer, &request);
        fills++;
    }
    peer_flush(peer);
    for (uint32_t i = 0; i < fills; i++)
        (void)peer_completion(peer);
    *number += segments;
}

static void junk(const struct hostile *hostile, const struct pool_shape *shape, uint32_t size,
                 int64_t lives_ms)
{
    static struct peer peer;
    uint64_t number = now_ns() << 8;

    peer_open_registered(&peer, hostile, shape, TENANT_HOSTILE);
    attack_is_on(hostile);
    for (;;) {
        junk_round(&peer, &number, size, lives_ms);
        attack_counts(hostile, shape->segments);
    }
}

static void run_junk(const struct hostile *hostile)
{
    junk(hostile, &usual, 4000, 3600000);
}

static void run_junk_large(const struct hostile *hostile)
{
    junk(hostile, &wide, MEGABYTE - 64, 3600000);
}

static void run_junk_tiny(const struct hostile *hostile)
{
    junk(hostile, &usual, 0, 3600000);
}

static void run_expiring(const struct hostile *hostile)
{
    junk(hostile, &usual, 0, 20);
}

/* ---- holding on ---- */

/* As many registrations as there may be. */
static unsigned open_many(struct peer *peers, const struct hostile *hostile, const struct pool_shape *shape,
                          const char *tenant)
{
    unsigned count = 0;

    for (; count < MANY; count++) {
        peer_open(&peers[count], hostile, shape);
        if (!peer_register(&peers[count], WIRE_ROLE_PROXY, tenant))
            break;
    }
    if (count == 0)
        attack_fails("registration", "refused");
    return count;
}

static const struct pool_shape slim = {.segments = 4, .segment_bytes = 20480, .ring_entries = 16};

/* In the victim's tenant: what it has is removed, and the right to fill it again is taken and never used.
 * Ends with giving all back, and begins anew. */
static void run_leases(const struct hostile *hostile)
{
    static struct peer peers[MANY];
    static uint64_t leases[MANY][256];
    unsigned count = open_many(peers, hostile, &slim, TENANT_VICTIM);
    char key[LOAD_KEY_BYTES + 1] = "";
    uint32_t number = 0;

    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < count * 256; i++, number++) {
            load_key((uint8_t *)key, number % hostile->keys);
            if (number % 8 == 0)
                remove_key(&peers[i % count], key);
            leases[i % count][i / count] = peer_lease(&peers[i % count], key, LOAD_KEY_BYTES);
            attack_counts(hostile, 1);
        }
        for (unsigned i = 0; i < count * 256; i++)
            abort_fill(&peers[i % count], leases[i % count][i / count]);
    }
}

/* In the victim's tenant: its objects pinned, as often as may be, and then asked for again and again. */
static void run_pins(const struct hostile *hostile)
{
    static struct peer peers[MANY];
    unsigned count = open_many(peers, hostile, &slim, TENANT_VICTIM);
    uint8_t key[LOAD_KEY_BYTES];

    attack_is_on(hostile);
    for (uint32_t number = 0;; number++) {
        load_key(key, number % hostile->keys);
        (void)peer_pin(&peers[number % count], key, LOAD_KEY_BYTES);
        attack_counts(hostile, 1);
    }
}

/* Half-filled objects in as many tenants as there are registrations, until nothing more is given. */
static void hoard(const struct hostile *hostile, struct peer *peers, unsigned count, uint32_t megabytes)
{
    char key[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "hoard-%u", i);
        uint64_t lease = begin_object(&peers[i], key, UINT64_MAX);
        if (lease && pour(&peers[i], lease, megabytes))
            attack_counts(hostile, megabytes);
    }
}

static unsigned open_tenants(struct peer *peers, unsigned most, const struct hostile *hostile)
{
    static const struct pool_shape shape = {.segments = 4, .segment_bytes = MEGABYTE, .ring_entries = 16};
    char tenant[32];
    unsigned count = 0;

    for (; count < most; count++) {
        snprintf(tenant, sizeof(tenant), "hoarder-%u", count);
        peer_open(&peers[count], hostile, &shape);
        if (!peer_register(&peers[count], WIRE_ROLE_PROXY, tenant))
            break;
    }
    return count;
}

/* Keeps asking for more. */
static void run_hoard(const struct hostile *hostile)
{
    static struct peer peers[16];
    unsigned count = open_tenants(peers, ROWS(peers), hostile);

    hoard(hostile, peers, count, 60);
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < count; i++) {
            uint64_t lease = begin_object(&peers[i], "more", UINT64_MAX);
            if (lease)
                (void)pour(&peers[i], lease, 4);
            abort_fill(&peers[i], lease);
            attack_counts(hostile, 1);
        }
    }
}

/* Everything that a process can hold, and then it dies. */
static void run_hoard_die(const struct hostile *hostile)
{
    attack_is_on(hostile);
    for (;;) {
        pid_t pid = fork();
        if (pid < 0)
            attack_fails("fork", strerror(errno));
        if (pid == 0) {
            static struct peer peers[4];
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            hoard(hostile, peers, open_tenants(peers, ROWS(peers), hostile), 100);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
}

/* What it has taken stays taken. */
static _Noreturn void keep(struct peer *peers, unsigned count, const struct hostile *hostile)
{
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < count; i++)
            pool_beat(&peers[i].endpoint.pool);
        poll(NULL, 0, 100);
    }
}

static bool begin_with_metadata(struct peer *peer, uint32_t number)
{
    static uint8_t key[KEY_BYTES / 16];
    struct wire_request request = peer_request(peer, WIRE_OP_FILL_BEGIN);

    memcpy(key, &number, sizeof(number));
    request.handle = peer_lease(peer, key, sizeof(key));
    request.segment = 0;
    request.key_length = sizeof(key);
    request.meta_length = META;
    request.value = UINT64_MAX;
    request.fresh_until = request.keep_until = later_ms(3600000);
    peer_hand_over(peer, 0, key, sizeof(key));
    return request.handle && peer_ask(peer, &request).status == WIRE_STATUS_OK;
}

static bool pin_metadata(struct peer *peer, uint32_t number)
{
    static uint8_t meta[META];

    return peer_store(peer, &number, sizeof(number), meta, META, 0) &&
           peer_pin(peer, &number, sizeof(number)) != 0;
}

static bool lease_long_key(struct peer *peer, uint32_t number)
{
    static uint8_t key[KEY_BYTES];

    memcpy(key, &number, sizeof(number));
    return peer_lease(peer, key, sizeof(key)) != 0;
}

/* So many of each registration; nothing that has a body. */
static _Noreturn void hold_on(const struct hostile *hostile, bool (*take)(struct peer *, uint32_t),
                              unsigned each)
{
    static const struct pool_shape shape = {.segments = 2, .segment_bytes = 131072, .ring_entries = 64};
    static struct peer peers[48];
    unsigned count = 0;
    bool more = true;

    for (; count < ROWS(peers); count++) {
        peer_open(&peers[count], hostile, &shape);
        if (!peer_register(&peers[count], WIRE_ROLE_PROXY, TENANT_HOSTILE))
            break;
    }
    for (uint32_t number = 0; number < count * each && more; number++) {
        more = take(&peers[number % count], number);
        attack_counts(hostile, 1);
    }
    keep(peers, count, hostile);
}

static void run_hold_fills(const struct hostile *hostile)
{
    hold_on(hostile, begin_with_metadata, 256);
}

static void run_hold_pins(const struct hostile *hostile)
{
    hold_on(hostile, pin_metadata, 1024);
}

static void run_hold_leases(const struct hostile *hostile)
{
    hold_on(hostile, lease_long_key, 256);
}

/* Pins, leases, half an object, requests and a wish for bells; then it stops. */
static void run_stopped(const struct hostile *hostile)
{
    static struct peer peers[MANY];
    unsigned count = open_many(peers, hostile, &slim, TENANT_VICTIM);
    uint8_t key[LOAD_KEY_BYTES];
    char own[32];

    for (unsigned i = 0; i < count; i++) {
        for (uint32_t pin = 0; pin < 64; pin++) {
            load_key(key, (i * 64 + pin) % hostile->keys);
            (void)peer_pin(&peers[i], key, LOAD_KEY_BYTES);
        }
        snprintf(own, sizeof(own), "stopped-%u", i);
        (void)begin_object(&peers[i], own, UINT64_MAX);
        struct ring *requests = &peers[i].endpoint.pool.requests;
        atomic_store(&peers[i].endpoint.pool.completions.shared->sleeping, 1);
        atomic_store(&requests->shared->tail, requests->own + requests->capacity);
        peer_bell(&peers[i]);
        attack_counts(hostile, 1);
    }
    attack_is_on(hostile);
    for (;;)
        raise(SIGSTOP);
}

const struct attack store_attacks[] = {
    {"read-1m", run_read, "reads of 1 MiB, as fast as the ring takes them", NULL},
    {"lookup-dear", run_lookup, "lookups with a key of 16 KiB and metadata of 64 KiB", NULL},
    {"update", run_update, "metadata of 64 KiB renewed, always", NULL},
    {"fill-abort", run_fill_abort, "objects of 32 MiB filled, and given up", NULL},
    {"churn", run_churn, "objects of 100 MiB stored, and removed", NULL},
    {"junk", run_junk, "objects of 4 KB that nobody wants", NULL},
    {"junk-large", run_junk_large, "objects of 1 MiB that nobody wants", NULL},
    {"junk-tiny", run_junk_tiny, "empty objects, as many as fit", NULL},
    {"expiring", run_expiring, "empty objects that live 20 ms", NULL},
    {"leases", run_leases, "the victim's objects removed, their leases kept (same tenant)",
     "whoever serves a tenant may remove its objects"},
    {"pins", run_pins, "the victim's objects pinned, as often as may be (same tenant)", NULL},
    {"hoard", run_hoard, "half-filled objects of many tenants, as much as there is memory", NULL},
    {"hoard-die", run_hoard_die, "the same, and then it dies; again and again", NULL},
    {"hold-fills", run_hold_fills, "fills with 64 KiB of metadata begun, as many as may be, and kept", NULL},
    {"hold-pins", run_hold_pins, "empty objects with 64 KiB of metadata pinned, as many as may be", NULL},
    {"hold-leases", run_hold_leases, "leases of keys of 16 KiB, as many as may be", NULL},
    {"stopped", run_stopped, "stops itself while it holds pins, leases, requests (same tenant)", NULL},
};
const unsigned store_attack_count = ROWS(store_attacks);
