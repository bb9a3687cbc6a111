/* Attacks by ring entry: what stands in the rings and segments of a registered pool. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 64u /* registrations that the cache allows a process */

static const struct pool_shape usual = {.segments = 16, .segment_bytes = 8192, .ring_entries = 256};

static void write_all_entries(struct peer *peer, const struct wire_request *request)
{
    struct wire_request copy = *request;

    for (uint32_t i = 0; i < peer->endpoint.pool.shape.ring_entries; i++) {
        copy.cookie = i;
        if (request->segment != WIRE_NO_SEGMENT)
            copy.segment = i % peer->endpoint.pool.shape.segments;
        peer_write_entry(peer, i, &copy);
    }
}

/* Floods with what stands in the rings, for ever. `prepare` (may be NULL) comes before each step. */
static _Noreturn void flood(const struct hostile *hostile, struct peer *peers, unsigned count,
                            void (*prepare)(struct peer *))
{
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < count; i++) {
            if (prepare)
                prepare(&peers[i]);
            uint32_t served = peer_flood(&peers[i]);
            if (served > 0)
                attack_counts(hostile, served);
        }
    }
}

/* ---- cheap requests ---- */

static void run_fenced(const struct hostile *hostile)
{
    static struct peer peer;
    struct wire_request request;

    peer_open_registered(&peer, hostile, &usual, TENANT_HOSTILE);
    request = peer_request(&peer, WIRE_OP_READ);
    request.registration++;
    write_all_entries(&peer, &request);
    flood(hostile, &peer, 1, NULL);
}

/* A body that begins with its own key leaves a segment, once looked up, ready for the same lookup. */
static void prepare_lookups(struct peer *peer, const char *key, uint64_t size, uint8_t flags)
{
    uint16_t length = (uint16_t)strlen(key);
    struct wire_request request;

    (void)peer_store(peer, key, length, NULL, 0, size);
    request = peer_request(peer, WIRE_OP_LOOKUP);
    request.segment = 0;
    request.key_length = length;
    request.flags = flags;
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.segments; i++)
        peer_hand_over(peer, i, key, length);
    write_all_entries(peer, &request);
}

static void open_looker(struct peer *peer, const struct hostile *hostile)
{
    peer_open_registered(peer, hostile, &usual, TENANT_HOSTILE);
    prepare_lookups(peer, "flood", 1024, 0);
}

static void run_hits(const struct hostile *hostile)
{
    static struct peer peer;

    open_looker(&peer, hostile);
    flood(hostile, &peer, 1, NULL);
}

static void run_many(const struct hostile *hostile)
{
    static struct peer peers[MANY];
    unsigned count = 0;

    for (; count < MANY; count++) {
        peer_open(&peers[count], hostile, &usual);
        if (!peer_register(&peers[count], WIRE_ROLE_PROXY, TENANT_HOSTILE))
            break;
        prepare_lookups(&peers[count], "flood", 1024, 0);
    }
    flood(hostile, peers, count, NULL);
}

/* What the cache and the proxy tell each other in the headers of segments that are kept. */
static void scribble_headers(struct peer *peer)
{
    const struct segment_pool *pool = &peer->endpoint.pool;

    for (uint32_t i = 0; i < pool->shape.segments; i++) {
        atomic_store_explicit(&segment_header(pool, i)->guard, i * 2654435761u, memory_order_relaxed);
        atomic_fetch_add_explicit(&segment_header(pool, i)->uses, 0x7fffffffu, memory_order_relaxed);
    }
}

/* One object is kept in as many segments as a tenant may keep, and replaced, which has to reach all of them.
 */
static void run_kept(const struct hostile *hostile)
{
    static const struct pool_shape large = {.segments = 2048, .segment_bytes = 4096, .ring_entries = 1024};
    static struct peer peers[5];

    for (unsigned i = 0; i < ROWS(peers); i++) {
        peer_open_registered(&peers[i], hostile, i == 0 ? &usual : &large, TENANT_HOSTILE);
        if (i > 0)
            prepare_lookups(&peers[i], "flood", 1024, WIRE_LOOKUP_KEEP);
    }
    attack_is_on(hostile);
    for (uint64_t step = 0;; step++) {
        for (unsigned i = 1; i < ROWS(peers); i++) {
            if (step % 16 == i)
                scribble_headers(&peers[i]);
            attack_counts(hostile, peer_flood(&peers[i]));
        }
        if (step % 64 == 0)
            (void)peer_store(&peers[0], "flood", sizeof("flood") - 1, NULL, 0, 1024);
    }
}

/* A lock that belongs to an open file description and so to no process, in place of ours. */
static void lock_nameless(int fd)
{
    struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)fcntl(fd, F_SETLK, &none);
    if (fcntl(fd, F_OFD_SETLK, &lock))
        attack_fails("F_OFD_SETLK", strerror(errno));
}

/* Three times as many registrations as a process may have, if nobody can tell whose they are. */
static void run_nameless(const struct hostile *hostile)
{
    static struct peer peers[3 * MANY];
    unsigned count = 0;

    for (; count < ROWS(peers); count++) {
        if (!peer_try_open(&peers[count], hostile, &usual))
            break;
        lock_nameless(peers[count].endpoint.reply);
        lock_nameless(peers[count].endpoint.pool.fd);
        if (!peer_register(&peers[count], WIRE_ROLE_PROXY, TENANT_HOSTILE))
            break;
        prepare_lookups(&peers[count], "flood", 1024, 0);
    }
    if (count > 0)
        flood(hostile, peers, count, NULL);
    attack_is_on(hostile);
    for (;;) {
        (void)peer_register(&peers[0], WIRE_ROLE_PROXY, TENANT_HOSTILE);
        attack_counts(hostile, 1);
    }
}

/* ---- lies in entries ---- */

static const struct {
    enum wire_op op;
    uint32_t segment; /* 0: one of the pool's */
    uint16_t key_length, meta_length;
    uint32_t length;
    uint64_t value, handle;
} lies[] = {
    {WIRE_OP_LOOKUP, 0, 0, 0, 0, 0, 0},
    {WIRE_OP_LOOKUP, 0, 8193, 0, 0, 0, 0},
    {WIRE_OP_LOOKUP, 0, UINT16_MAX, 0, 0, 0, 0},
    {WIRE_OP_LOOKUP, 16, 5, 0, 0, 0, 0},
    {WIRE_OP_LOOKUP, UINT32_MAX - 1, 5, 0, 0, 0, 0},
    {WIRE_OP_READ, 0, 0, 0, UINT32_MAX, UINT64_MAX, 1},
    {WIRE_OP_READ, 0, 0, 0, 10, UINT64_MAX - 5, 1025},
    {WIRE_OP_FILL_BEGIN, 0, 3, UINT16_MAX, UINT32_MAX, UINT64_MAX, 1},
    {WIRE_OP_FILL_BEGIN, 0, 3, 0, 8192, 8192, 1},
    {WIRE_OP_FILL_DATA, 0, 0, 0, UINT32_MAX, 0, 1},
    {WIRE_OP_FILL_DATA, 0, 0, 0, 10, UINT64_MAX, 1},
    {WIRE_OP_FILL_END, 0, 0, 0, 0, UINT64_MAX, 1},
    {WIRE_OP_UPDATE, 0, 0, UINT16_MAX, 0, 1, 1},
    {WIRE_OP_REMOVE, 0, UINT16_MAX, 0, 0, 0, 0},
    {WIRE_OP_END, 0, 0, 0, 0, 0, 0},
    {(enum wire_op)255, 0, 0, 0, 0, 0, 0},
};

static void write_lies(struct peer *peer)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.ring_entries; i++) {
        struct wire_request request = peer_request(peer, lies[i % ROWS(lies)].op);
        request.segment = lies[i % ROWS(lies)].segment ? lies[i % ROWS(lies)].segment : i % 16;
        request.key_length = lies[i % ROWS(lies)].key_length;
        request.meta_length = lies[i % ROWS(lies)].meta_length;
        request.length = lies[i % ROWS(lies)].length;
        request.value = lies[i % ROWS(lies)].value;
        request.handle = lies[i % ROWS(lies)].handle;
        peer_write_entry(peer, i, &request);
    }
}

static void run_lengths(const struct hostile *hostile)
{
    static struct peer peer;

    peer_open_registered(&peer, hostile, &usual, TENANT_HOSTILE);
    write_lies(&peer);
    flood(hostile, &peer, 1, peer_free_segments);
}

/* Every entry names segment 0. */
static void free_first_segment(struct peer *peer)
{
    pool_semaphore_post(&segment_header(&peer->endpoint.pool, 0)->rsem);
}

static void run_twice(const struct hostile *hostile)
{
    static struct peer peer;
    struct wire_request request;

    peer_open_registered(&peer, hostile, &usual, TENANT_HOSTILE);
    request = peer_request(&peer, WIRE_OP_LOOKUP);
    request.segment = 0;
    request.key_length = 6;
    peer_hand_over(&peer, 0, "absent", 6);
    for (uint32_t i = 0; i < usual.ring_entries; i++)
        peer_write_entry(&peer, i, &request);
    flood(hostile, &peer, 1, free_first_segment);
}

/* ---- scribbling ---- */

static void start_thread(void *(*run)(void *), void *context)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, context))
        attack_fails("thread", "cannot start");
}

static void *scribble_entries(void *context)
{
    struct peer *peer = context;
    struct segment_pool *pool = &peer->endpoint.pool;
    uint64_t state = now_ns();

    for (;;) {
        uint64_t random = noise(&state);
        uint32_t entry = (uint32_t)random % pool->shape.ring_entries;
        uint8_t *segment = segment_payload(pool, (uint32_t)(random >> 16) % pool->shape.segments);
        struct wire_request request = peer_request(peer, (enum wire_op)(random >> 32 & 15));
        request.segment = (uint32_t)(random >> 36 & 15);
        request.key_length = (uint16_t)(random >> 40 & 31);
        request.handle = random >> 45 & 2047;
        request.length = (uint32_t)(random >> 20 & 4095);
        request.value = random & 3 ? 0 : random;
        peer_write_entry(peer, entry, &request);
        memcpy(segment + (random & 31), &random, sizeof(random));
        /* Half of an entry of another kind, so that what is read may be of two. */
        atomic_store_explicit(&ring_slot(&pool->requests, entry + 1)[random >> 50 & 7], random,
                              memory_order_relaxed);
    }
    return NULL;
}

static void run_entries(const struct hostile *hostile)
{
    static struct peer peer;

    peer_open_registered(&peer, hostile, &usual, TENANT_HOSTILE);
    start_thread(scribble_entries, &peer);
    flood(hostile, &peer, 1, peer_free_segments);
}

static void *scribble_semaphores(void *context)
{
    struct peer *peer = context;
    struct segment_pool *pool = &peer->endpoint.pool;
    uint64_t state = now_ns();

    for (;;) {
        uint64_t random = noise(&state);
        struct segment_header *header = segment_header(pool, (uint32_t)random % pool->shape.segments);
        atomic_store_explicit(&header->wsem.value, (uint32_t)(random >> 8) & (random & 1 ? 1 : UINT32_MAX),
                              memory_order_relaxed);
        atomic_store_explicit(&header->rsem.value, (uint32_t)(random >> 16) & (random & 2 ? 1 : UINT32_MAX),
                              memory_order_relaxed);
    }
    return NULL;
}

static void run_semaphores(const struct hostile *hostile)
{
    static struct peer peer;

    open_looker(&peer, hostile);
    start_thread(scribble_semaphores, &peer);
    flood(hostile, &peer, 1, NULL);
}

/* ---- indices ---- */

static void spoil_indices(struct peer *peer, uint64_t random)
{
    struct ring_shared *requests = peer->endpoint.pool.requests.shared;
    struct ring_shared *completions = peer->endpoint.pool.completions.shared;

    switch (random % 4) {
    case 0: /* jumps */
        atomic_store(&requests->tail, (uint32_t)(random >> 8));
        break;
    case 1: /* runs backwards */
        atomic_store(&requests->tail, 100);
        atomic_store(&requests->tail, UINT32_MAX - (uint32_t)(random >> 8) % 1000);
        break;
    case 2: /* overflows by one */
        atomic_store(&requests->tail, usual.ring_entries + 1);
        break;
    default: /* answers that are never taken, of which more have been taken than given */
        atomic_store(&completions->head, (uint32_t)(random >> 8));
        atomic_store(&requests->tail, usual.ring_entries);
        break;
    }
}

/* Dropped and registered again as fast as it goes, several at a time. */
static void run_indices(const struct hostile *hostile)
{
    static struct peer peers[4];
    struct wire_request request;
    union wire_message message;
    uint64_t state = now_ns();

    for (unsigned i = 0; i < ROWS(peers); i++)
        peer_open(&peers[i], hostile, &usual);
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < ROWS(peers); i++) {
            peer_renew(&peers[i]);
            if (!peer_register(&peers[i], WIRE_ROLE_PROXY, TENANT_HOSTILE))
                continue;
            request = peer_request(&peers[i], WIRE_OP_READ);
            write_all_entries(&peers[i], &request);
            spoil_indices(&peers[i], noise(&state));
            peer_bell(&peers[i]);
            attack_counts(hostile, 1);
        }
        for (unsigned i = 0; i < ROWS(peers); i++) {
            /* Not every lie ends a registration: what is left is ended politely. */
            if (peer_receive(&peers[i], &message, 50) && message.header.type == WIRE_REFUSED)
                continue;
            peer_leave(&peers[i]);
        }
    }
}

/* ---- bells that nobody hears ---- */

static void want_bells(struct peer *peer)
{
    atomic_store_explicit(&peer->endpoint.pool.completions.shared->sleeping, 1, memory_order_relaxed);
}

static void *want_bells_always(void *context)
{
    struct peer *peers = context;

    for (;;) {
        for (unsigned i = 0; i < 8; i++)
            want_bells(&peers[i]);
    }
    return NULL;
}

static void fill_reply_queue(struct peer *peer)
{
    mqd_t queue;
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_CACHE_BELL, peer->endpoint.token);

    /* The queue is not closed again: that would drop the lock. */
    if (mq_open_existing(&queue, peer->endpoint.name, O_WRONLY))
        attack_fails("reply queue", "cannot be opened");
    while (mq_send_message(queue, &message, length) == 0)
        ;
}

/* One entry at a time, so that there is a bell for each. */
static void run_deaf(const struct hostile *hostile)
{
    static struct peer peers[8];
    struct wire_request request;

    for (unsigned i = 0; i < ROWS(peers); i++) {
        peer_open_registered(&peers[i], hostile, &usual, TENANT_HOSTILE);
        request = peer_request(&peers[i], WIRE_OP_READ);
        write_all_entries(&peers[i], &request);
        fill_reply_queue(&peers[i]);
    }
    start_thread(want_bells_always, peers);
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < ROWS(peers); i++) {
            struct segment_pool *pool = &peers[i].endpoint.pool;
            uint32_t head = atomic_load(&pool->requests.shared->head);
            atomic_store(&pool->completions.shared->head, atomic_load(&pool->completions.shared->tail));
            if (head != pool->requests.own)
                continue;
            pool->requests.own = head + 1;
            peer_flush(&peers[i]);
            attack_counts(hostile, 1);
        }
    }
}

const struct attack ring_attacks[] = {
    {"fenced", run_fenced, "requests of another registration, as fast as the ring takes them", NULL},
    {"hits", run_hits, "lookups that hit, as fast as the ring takes them", NULL},
    {"many", run_many, "the same from as many registrations as one process may have", NULL},
    {"nameless", run_nameless, "the same from 192, with locks that belong to no process", NULL},
    {"kept", run_kept,
     "one object kept in 4,096 segments, replaced again and again, their headers scribbled over", NULL},
    {"lengths", run_lengths, "lengths, offsets and segments out of bounds", NULL},
    {"twice", run_twice, "one segment handed over in every entry", NULL},
    {"entries", run_entries, "entries and payloads rewritten while they are read", NULL},
    {"semaphores", run_semaphores, "semaphores scribbled over", NULL},
    {"indices", run_indices, "indices that jump, run backwards, overflow; registers again", NULL},
    {"deaf", run_deaf, "bells demanded for each answer, on a queue that is full for ever", NULL},
};
const unsigned ring_attack_count = ROWS(ring_attacks);
