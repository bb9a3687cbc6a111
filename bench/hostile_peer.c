#include "hostile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS        2000
#define HIGHEST_PRIORITY 32767u /* of messages, on Linux */
#define SPINS            2000
#define SLEEPS_MAX       1000 /* for one answer */
#define SLEEP_MS         20
#define FLOOD_SLACK      64u  /* completions that the cache may publish behind the head that we see */
#define FLOODS_A_CHECK   512u /* how often a flooding peer reads its messages */
#define ROWS_MAX         2048u

_Noreturn void attack_fails(const char *what, const char *why)
{
    fprintf(stderr, "bench_hostile: %s: %s\n", what, why);
    _exit(1);
}

void attack_is_on(const struct hostile *hostile)
{
    atomic_store(&hostile->board->under_attack, 1);
}

void attack_counts(const struct hostile *hostile, uint64_t by)
{
    atomic_fetch_add_explicit(&hostile->board->attacks, by, memory_order_relaxed);
}

void attack_leaves_queue(const struct hostile *hostile, uint64_t token)
{
    uint32_t place = atomic_fetch_add(&hostile->board->orphan_count, 1);

    atomic_store(&hostile->board->orphans[place % ORPHANS_MAX], token);
}

void attack_locks(int fd, int count)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    (void)fcntl(fd, F_SETLK, &lock);
    for (int i = count; i >= 0; i--) {
        lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2 * (off_t)i, .l_len = 1};
        if (fcntl(fd, F_SETLK, &lock))
            attack_fails("F_SETLK", strerror(errno));
    }
}

uint64_t noise(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(0x2545f4914f6cdd1d) >> 8;
}

/* ---- messages ---- */

/* One for each process: opened without O_NONBLOCK. */
static mqd_t patient_queue(const struct hostile *hostile)
{
    static mqd_t queue = (mqd_t)-1;
    static pid_t owner;
    char name[NAMES_BYTES];

    if (queue != (mqd_t)-1 && owner == getpid())
        return queue;
    names_command_queue(name, hostile->instance);
    queue = mq_open(name, O_WRONLY | O_CLOEXEC);
    owner = getpid();
    if (queue == (mqd_t)-1)
        attack_fails("command queue", strerror(errno));
    return queue;
}

void peer_send(const struct hostile *hostile, const void *message, size_t length)
{
    if (mq_send(patient_queue(hostile), message, length, HIGHEST_PRIORITY) != 0 && errno != EINTR)
        attack_fails("mq_send", strerror(errno));
}

bool peer_try_send(struct peer *peer, const void *message, size_t length)
{
    return mq_send_message(peer->endpoint.command, message, length) == 0;
}

bool peer_receive(struct peer *peer, union wire_message *message, int deadline_ms)
{
    struct pollfd fd = {.fd = peer->endpoint.reply, .events = POLLIN};
    uint64_t deadline = now_ns() + (uint64_t)deadline_ms * 1000000;
    int length;

    while ((length = mq_receive_message(peer->endpoint.reply, message)) < 0) {
        if (now_ns() >= deadline)
            return false;
        poll(&fd, 1, deadline_ms < SLEEP_MS ? deadline_ms : SLEEP_MS);
    }
    return wire_decode(message, (size_t)length) == WIRE_DECODED || deadline_ms == 0;
}

static bool ends_registration(const struct peer *peer, const union wire_message *message)
{
    return message->header.type == WIRE_REFUSED && message->wire_refused.reason == WIRE_REFUSAL_STALE &&
           message->wire_refused.echo == peer->registration;
}

bool peer_was_dropped(struct peer *peer)
{
    union wire_message message;
    bool dropped = false;

    while (mq_receive_message(peer->endpoint.reply, &message) >= 0)
        dropped |= ends_registration(peer, &message);
    return dropped;
}

void peer_bell(struct peer *peer)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BELL, peer->endpoint.token);

    message.wire_bell.registration = peer->registration;
    (void)peer_try_send(peer, &message, length);
}

/* ---- registrations ---- */

bool peer_try_open(struct peer *peer, const struct hostile *hostile, const struct pool_shape *shape)
{
    *peer = (struct peer){.registration = 0};
    if (endpoint_create(&peer->endpoint, hostile->instance, shape))
        return false;
    if (endpoint_reach(&peer->endpoint) == ENDPOINT_REACHED)
        return true;
    endpoint_destroy(&peer->endpoint);
    return false;
}

void peer_open(struct peer *peer, const struct hostile *hostile, const struct pool_shape *shape)
{
    if (!peer_try_open(peer, hostile, shape))
        attack_fails("endpoint", peer->endpoint.problem);
}

/* The answer to a HELLO: WELCOME or its refusal; others are skipped. */
static bool await_welcome(struct peer *peer, bool *refused)
{
    union wire_message message;

    *refused = false;
    while (peer_receive(peer, &message, ANSWER_MS)) {
        if (message.header.type == WIRE_WELCOME) {
            peer->registration = message.wire_welcome.registration;
            peer->served = 0;
            peer->dropped = false;
            return true;
        }
        *refused = message.header.type == WIRE_REFUSED && message.wire_refused.type == WIRE_HELLO;
        if (*refused)
            return false;
    }
    return false;
}

bool peer_register(struct peer *peer, enum wire_role role, const char *tenant)
{
    bool refused = false;

    peer->role = role;
    if (tenant != peer->tenant)
        snprintf(peer->tenant, sizeof(peer->tenant), "%s", tenant);
    for (int tries = 0; tries < 5 && !refused; tries++) {
        if (endpoint_hello(&peer->endpoint, role, tenant, ANSWER_MS) == 0 && await_welcome(peer, &refused))
            return true;
    }
    return false;
}

void peer_open_registered(struct peer *peer, const struct hostile *hostile, const struct pool_shape *shape,
                          const char *tenant)
{
    peer_open(peer, hostile, shape);
    if (!peer_register(peer, WIRE_ROLE_PROXY, tenant))
        attack_fails("registration", "refused or not answered");
}

void peer_leave(struct peer *peer)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BYE, peer->endpoint.token);

    message.wire_bye.registration = peer->registration;
    message.wire_bye.secret = peer->endpoint.secret;
    (void)mq_send_patiently(peer->endpoint.command, &message, length, ANSWER_MS);
}

static void renew_ring(struct ring *ring, uint32_t capacity)
{
    struct ring_shared *shared = ring->shared;

    atomic_store(&shared->tail, 0);
    atomic_store(&shared->head, 0);
    atomic_store(&shared->sleeping, 0);
    ring_attach(ring, shared, capacity);
}

void peer_renew(struct peer *peer)
{
    struct segment_pool *pool = &peer->endpoint.pool;

    renew_ring(&pool->requests, pool->shape.ring_entries);
    renew_ring(&pool->completions, pool->shape.ring_entries);
    atomic_store(&pool->requests.shared->sleeping, 1);
    peer->served = 0;
}

/* ---- requests, one by one ---- */

struct wire_request peer_request(struct peer *peer, enum wire_op op)
{
    return (struct wire_request){
        .op = (uint8_t)op,
        .segment = WIRE_NO_SEGMENT,
        .registration = peer->registration,
        .cookie = ++peer->cookie,
    };
}

void peer_flush(struct peer *peer)
{
    struct ring *requests = &peer->endpoint.pool.requests;

    if (peer->dropped)
        return;
    ring_publish(requests);
    pool_beat(&peer->endpoint.pool);
    if (ring_wants_bell(requests))
        peer_bell(peer);
}

void peer_put(struct peer *peer, const struct wire_request *request)
{
    while (!peer->dropped && ring_put(&peer->endpoint.pool.requests, request) != RING_OK)
        peer_flush(peer);
}

static void sleep_for_completion(struct peer *peer)
{
    struct pollfd fd = {.fd = peer->endpoint.reply, .events = POLLIN};
    struct ring *completions = &peer->endpoint.pool.completions;

    if (ring_arm(completions))
        poll(&fd, 1, SLEEP_MS);
    ring_disarm(completions);
    peer->dropped |= peer_was_dropped(peer);
    peer_flush(peer);
}

struct wire_completion peer_completion(struct peer *peer)
{
    struct ring *completions = &peer->endpoint.pool.completions;
    struct wire_completion completion;

    for (unsigned spins = 0; !peer->dropped && ring_take(completions, &completion) != RING_OK; spins++) {
        if (spins % SPINS == SPINS - 1)
            sleep_for_completion(peer);
        peer->dropped |= spins / SPINS >= SLEEPS_MAX;
    }
    if (peer->dropped)
        return (struct wire_completion){.status = WIRE_STATUS_FENCED};
    ring_consumed(completions);
    return completion;
}

static void revive(struct peer *peer)
{
    peer_renew(peer);
    (void)peer_register(peer, peer->role, peer->tenant);
}

struct wire_completion peer_ask(struct peer *peer, const struct wire_request *request)
{
    if (peer->dropped)
        revive(peer);
    peer_put(peer, request);
    peer_flush(peer);
    return peer_completion(peer);
}

void peer_hand_over(struct peer *peer, uint32_t segment, const void *bytes, size_t length)
{
    struct segment_header *header = segment_header(&peer->endpoint.pool, segment);

    memcpy(segment_payload(&peer->endpoint.pool, segment), bytes, length);
    atomic_store(&header->wsem.value, 0);
    atomic_store(&header->rsem.value, 1);
}

void peer_lend(struct peer *peer, uint32_t segment)
{
    struct segment_header *header = segment_header(&peer->endpoint.pool, segment);

    atomic_store(&header->rsem.value, 0);
    atomic_store(&header->wsem.value, 1);
}

static struct wire_request lookup(struct peer *peer, const void *key, uint16_t key_length, uint8_t flags)
{
    struct wire_request request = peer_request(peer, WIRE_OP_LOOKUP);

    peer_hand_over(peer, 0, key, key_length);
    request.segment = 0;
    request.flags = flags;
    request.key_length = key_length;
    return request;
}

void peer_keep(struct peer *peer, uint32_t segment, const char *key)
{
    struct wire_request request = peer_request(peer, WIRE_OP_LOOKUP);

    request.segment = segment;
    request.flags = WIRE_LOOKUP_KEEP;
    request.key_length = (uint16_t)strlen(key);
    peer_hand_over(peer, segment, key, request.key_length);
    (void)peer_ask(peer, &request);
}

uint64_t peer_lease(struct peer *peer, const void *key, uint16_t key_length)
{
    struct wire_request request =
        lookup(peer, key, key_length, WIRE_LOOKUP_LEASE | WIRE_LOOKUP_REVALIDATE | WIRE_LOOKUP_NO_BODY);
    struct wire_completion completion = peer_ask(peer, &request);

    if (completion.handle) {
        struct wire_request release = peer_request(peer, WIRE_OP_RELEASE);
        release.handle = completion.handle;
        peer_put(peer, &release);
        peer_flush(peer);
    }
    return completion.lease;
}

uint64_t peer_pin(struct peer *peer, const void *key, uint16_t key_length)
{
    struct wire_request request = lookup(peer, key, key_length, WIRE_LOOKUP_REVALIDATE | WIRE_LOOKUP_NO_BODY);

    return peer_ask(peer, &request).handle;
}

int64_t later_ms(int64_t ms)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000 + ms;
}

static bool begin_fill(struct peer *peer, uint64_t lease, const void *key, uint16_t key_length,
                       const void *meta, uint16_t meta_length, uint64_t size)
{
    struct wire_request request = peer_request(peer, WIRE_OP_FILL_BEGIN);

    peer_hand_over(peer, 0, key, key_length);
    if (meta_length > 0)
        memcpy(segment_payload(&peer->endpoint.pool, 0) + key_length, meta, meta_length);
    request.segment = 0;
    request.handle = lease;
    request.value = size;
    request.key_length = key_length;
    request.meta_length = meta_length;
    request.fresh_until = request.keep_until = later_ms(3600000);
    return peer_ask(peer, &request).status == WIRE_STATUS_OK;
}

static bool fill_rest(struct peer *peer, uint64_t lease, uint64_t size)
{
    uint32_t segment_bytes = peer->endpoint.pool.shape.segment_bytes;

    for (uint64_t offset = 0; offset < size;) {
        struct wire_request request = peer_request(peer, WIRE_OP_FILL_DATA);
        request.segment = 0;
        request.handle = lease;
        request.value = offset;
        request.length = (uint32_t)(size - offset < segment_bytes ? size - offset : segment_bytes);
        offset += request.length;
        atomic_store(&segment_header(&peer->endpoint.pool, 0)->rsem.value, 1);
        if (peer_ask(peer, &request).status != WIRE_STATUS_OK)
            return false;
    }
    struct wire_request end = peer_request(peer, WIRE_OP_FILL_END);
    end.handle = lease;
    end.value = size;
    return peer_ask(peer, &end).status == WIRE_STATUS_OK;
}

/* The body begins with whatever stands in segment 0: its key, as FILL_BEGIN has left it. */
bool peer_store(struct peer *peer, const void *key, uint16_t key_length, const void *meta,
                uint16_t meta_length, uint64_t size)
{
    uint64_t lease = peer_lease(peer, key, key_length);

    return lease && begin_fill(peer, lease, key, key_length, meta, meta_length, size) &&
           (size == 0 || fill_rest(peer, lease, size));
}

uint32_t peer_store_many(struct peer *peer, uint64_t first)
{
    uint32_t segments = peer->endpoint.pool.shape.segments, stored = 0;
    uint64_t leases[64], number;

    for (uint32_t i = 0; i < segments && i < ROWS(leases); i++) {
        struct wire_request request = peer_request(peer, WIRE_OP_LOOKUP);
        number = first + i;
        request.segment = i;
        request.flags = WIRE_LOOKUP_LEASE;
        request.key_length = sizeof(number);
        peer_hand_over(peer, i, &number, sizeof(number));
        peer_put(peer, &request);
    }
    peer_flush(peer);
    for (uint32_t i = 0; i < segments && i < ROWS(leases); i++)
        leases[i] = peer_completion(peer).lease;
    for (uint32_t i = 0; i < segments && i < ROWS(leases); i++) {
        struct wire_request request = peer_request(peer, WIRE_OP_FILL_BEGIN);
        number = first + i;
        request.segment = i;
        request.handle = leases[i];
        request.key_length = sizeof(number);
        request.fresh_until = request.keep_until = later_ms(3600000);
        peer_hand_over(peer, i, &number, sizeof(number));
        peer_put(peer, &request);
    }
    peer_flush(peer);
    for (uint32_t i = 0; i < segments && i < ROWS(leases); i++)
        stored += peer_completion(peer).status == WIRE_STATUS_OK;
    return stored;
}

/* ---- flooding ---- */

void peer_write_entry(struct peer *peer, uint32_t index, const struct wire_request *request)
{
    _Atomic uint64_t *slot = ring_slot(&peer->endpoint.pool.requests, index);
    uint64_t words[RING_ENTRY_BYTES / sizeof(uint64_t)];

    memcpy(words, request, sizeof(words));
    for (unsigned i = 0; i < ROWS(words); i++)
        atomic_store_explicit(&slot[i], words[i], memory_order_relaxed);
}

void peer_free_segments(struct peer *peer)
{
    struct segment_pool *pool = &peer->endpoint.pool;

    for (uint32_t i = 0; i < pool->shape.segments; i++) {
        pool_semaphore_post(&segment_header(pool, i)->wsem);
        pool_semaphore_post(&segment_header(pool, i)->rsem);
    }
}

/* The entries that stand in the ring name the registration; those of an attack that fakes it stay wrong. */
static void rename_entries(struct peer *peer, uint64_t before)
{
    uint32_t capacity = peer->endpoint.pool.shape.ring_entries;
    const unsigned word = offsetof(struct wire_request, registration) / sizeof(uint64_t);

    for (uint32_t i = 0; i < capacity; i++) {
        _Atomic uint64_t *slot = ring_slot(&peer->endpoint.pool.requests, i);
        if (atomic_load(&slot[word]) == before)
            atomic_store(&slot[word], peer->registration);
    }
}

uint32_t peer_flood(struct peer *peer)
{
    struct segment_pool *pool = &peer->endpoint.pool;
    struct ring *requests = &pool->requests, *completions = &pool->completions;
    /* In this order: the completions of what was taken before `head` are published, but for a batch at most.
     */
    uint32_t head = atomic_load_explicit(&requests->shared->head, memory_order_acquire);
    uint32_t done = atomic_load_explicit(&completions->shared->tail, memory_order_acquire);
    uint32_t served = head - peer->served;

    peer->served = head;
    atomic_store_explicit(&completions->shared->head, done, memory_order_release);
    requests->own = head + requests->capacity - FLOOD_SLACK;
    atomic_store(&requests->shared->tail, requests->own);
    pool_beat(pool);
    if (ring_wants_bell(requests))
        peer_bell(peer);
    if (++peer->cookie % FLOODS_A_CHECK == 0 && peer_was_dropped(peer)) {
        uint64_t before = peer->registration;
        revive(peer);
        rename_entries(peer, before);
        return 0;
    }
    return served;
}

/* ---- asking the cache ---- */

static const struct pool_shape asker_shape = {.segments = 1, .segment_bytes = 1u << 20, .ring_entries = 16};

static bool send_in_time(struct peer *asker, const void *message, size_t length, uint64_t deadline)
{
    struct pollfd room = {.fd = asker->endpoint.command, .events = POLLOUT};

    while (!peer_try_send(asker, message, length)) {
        if (now_ns() >= deadline)
            return false;
        poll(&room, 1, SLEEP_MS);
    }
    return true;
}

static bool ask_rows(struct peer *asker, uint32_t *cursor, uint32_t *rows, uint64_t deadline)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_STATS, asker->endpoint.token);

    message.wire_stats.registration = asker->registration;
    message.wire_stats.secret = asker->endpoint.secret;
    message.wire_stats.cursor = *cursor;
    if (!send_in_time(asker, &message, length, deadline))
        return false;
    while (peer_receive(asker, &message, ANSWER_MS)) {
        if (message.header.type != WIRE_STATS_ROWS)
            continue;
        *rows = message.wire_stats_rows.rows;
        *cursor = message.wire_stats_rows.next_cursor;
        return segment_win_read(&asker->endpoint.pool, 0);
    }
    return false;
}

/* How many rows; -1 when the cache does not answer in time. */
static int all_rows(const char *instance, struct wire_row *rows, unsigned most, int deadline_ms)
{
    const struct hostile hostile = {.instance = instance};
    uint64_t deadline = now_ns() + (uint64_t)deadline_ms * 1000000;
    struct peer asker;
    uint32_t cursor = 0, got = 0;
    unsigned count = 0;
    bool fine;

    while (!peer_try_open(&asker, &hostile, &asker_shape)) {
        if (now_ns() >= deadline)
            return -1;
        poll(NULL, 0, SLEEP_MS);
    }
    do
        fine = peer_register(&asker, WIRE_ROLE_ADMIN, NAMES_DEFAULT);
    while (!fine && now_ns() < deadline);
    do {
        fine = fine && ask_rows(&asker, &cursor, &got, deadline);
        for (uint32_t i = 0; fine && i < got && count < most; i++)
            memcpy(&rows[count++], segment_payload(&asker.endpoint.pool, 0) + i * sizeof(*rows),
                   sizeof(*rows));
        segment_post_write(&asker.endpoint.pool, 0);
    } while (fine && cursor != 0);
    if (fine)
        peer_leave(&asker);
    endpoint_destroy(&asker.endpoint);
    return fine ? (int)count : -1;
}

static struct wire_row *row_buffer(void)
{
    static struct wire_row *rows;

    if (!rows)
        rows = calloc(ROWS_MAX, sizeof(*rows));
    if (!rows)
        attack_fails("memory", strerror(errno));
    return rows;
}

bool ask_numbers(const char *instance, struct wire_row *row, int deadline_ms)
{
    struct wire_row *rows = row_buffer();

    if (all_rows(instance, rows, ROWS_MAX, deadline_ms) < 1 || rows[0].kind != WIRE_ROW_CACHE)
        return false;
    *row = rows[0];
    return true;
}

double ask_newcomer_ms(const char *instance)
{
    static const struct pool_shape tiny = {.segments = 1, .segment_bytes = 4096, .ring_entries = 16};
    const struct hostile hostile = {.instance = instance};
    struct peer newcomer;
    uint64_t start = now_ns();

    if (!peer_try_open(&newcomer, &hostile, &tiny))
        return -1;
    bool welcome = peer_register(&newcomer, WIRE_ROLE_ADMIN, NAMES_DEFAULT);
    uint64_t end = now_ns();
    if (welcome)
        peer_leave(&newcomer);
    endpoint_destroy(&newcomer.endpoint);
    return welcome ? (double)(end - start) / 1e6 : -1;
}

bool ask_to_store(const char *instance)
{
    static const struct pool_shape tiny = {.segments = 2, .segment_bytes = 4096, .ring_entries = 16};
    const struct hostile hostile = {.instance = instance};
    uint64_t number = now_ns();
    struct peer newcomer;

    if (!peer_try_open(&newcomer, &hostile, &tiny))
        return false;
    bool fine = peer_register(&newcomer, WIRE_ROLE_PROXY, TENANT_VICTIM) &&
                peer_store(&newcomer, &number, sizeof(number), NULL, 0, 4000);
    if (fine) {
        struct wire_request request = lookup(&newcomer, &number, sizeof(number), 0);
        struct wire_completion completion = peer_ask(&newcomer, &request);
        fine = completion.status == WIRE_STATUS_HIT && completion.length == 4000;
    }
    peer_leave(&newcomer);
    endpoint_destroy(&newcomer.endpoint);
    return fine;
}

unsigned ask_registrations(const char *instance, const char *tenant, uint64_t *out, unsigned most)
{
    struct wire_row *rows = row_buffer();
    int count = all_rows(instance, rows, ROWS_MAX, ANSWER_MS);
    unsigned found = 0;

    for (int i = 0; i < count && found < most; i++) {
        if (rows[i].kind == WIRE_ROW_PROXY && strcmp(rows[i].name, tenant) == 0)
            out[found++] = rows[i].epoch;
    }
    return found;
}

unsigned list_tokens(const char *instance, uint64_t *out, unsigned most)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    unsigned found = 0;

    while (directory && found < most && (entry = readdir(directory)))
        found += names_peer_parse(entry->d_name, instance, &out[found]);
    if (directory)
        closedir(directory);
    return found;
}
