/* Attacks by message: what is said on the command queue, and what registrations cost. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHERS_MAX 64u
#define LOCKS      20000

static const struct pool_shape small = {.segments = 1, .segment_bytes = 4096, .ring_entries = 16};

/* ---- nothing ---- */

static void *burn(void *context)
{
    const struct hostile *hostile = context;

    for (;;)
        attack_counts(hostile, 1);
    return NULL;
}

static void burn_threads(const struct hostile *hostile, unsigned threads)
{
    static struct hostile copy;
    pthread_t thread;

    copy = *hostile;
    attack_is_on(hostile);
    while (--threads > 0) {
        if (pthread_create(&thread, NULL, burn, &copy))
            attack_fails("thread", "cannot start");
    }
    burn(&copy);
}

static void run_burn_1(const struct hostile *hostile)
{
    burn_threads(hostile, 1);
}

static void run_burn_2(const struct hostile *hostile)
{
    burn_threads(hostile, 2);
}

/* ---- forgeries ---- */

static struct {
    uint64_t tokens[OTHERS_MAX], registrations[OTHERS_MAX];
    unsigned token_count, registration_count;
    uint64_t state;
} others;

static void look_around(const struct hostile *hostile)
{
    others.state = now_ns();
    others.token_count = list_tokens(hostile->instance, others.tokens, OTHERS_MAX);
    others.registration_count =
        ask_registrations(hostile->instance, TENANT_VICTIM, others.registrations, OTHERS_MAX);
    if (others.token_count == 0 || others.registration_count == 0)
        attack_fails("forgeries", "there is nobody else");
}

static uint64_t a_token(void)
{
    return others.tokens[noise(&others.state) % others.token_count];
}

static uint64_t a_registration(void)
{
    return others.registrations[noise(&others.state) % others.registration_count];
}

static size_t forge_noise(union wire_message *message)
{
    for (size_t i = 0; i < sizeof(message->bytes); i += 8) {
        uint64_t word = noise(&others.state);
        memcpy(message->bytes + i, &word, sizeof(word));
    }
    return noise(&others.state) % (WIRE_MAX_BYTES + 1);
}

/* A header of ours, the rest noise. */
static size_t forge_body(union wire_message *message)
{
    size_t length = forge_noise(message);

    if (length < sizeof(message->header))
        length = sizeof(message->header);
    message->header = (struct wire_header){
        .magic = WIRE_MAGIC,
        .version = noise(&others.state) % 8 ? WIRE_VERSION : (uint16_t)noise(&others.state),
        .type = (uint16_t)(noise(&others.state) % 8),
        .length = (uint32_t)length,
        .token = a_token(),
    };
    return length;
}

static size_t forge_bye(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BYE, a_token());

    message->wire_bye.registration = a_registration();
    message->wire_bye.secret =
        noise(&others.state) % 2 ? noise(&others.state) : message->wire_bye.registration;
    return length;
}

static size_t forge_bell(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_BELL, a_token());

    message->wire_bell.registration = noise(&others.state) % 2 ? a_registration() : noise(&others.state);
    return length;
}

static size_t forge_stats(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_STATS, a_token());

    message->wire_stats.registration = a_registration();
    return length;
}

static size_t forge_ping(union wire_message *message)
{
    return wire_prepare(message, WIRE_PING, a_token());
}

static size_t forge_hello(union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_HELLO, a_token());

    message->wire_hello.secret = noise(&others.state);
    message->wire_hello.segments = 32;
    message->wire_hello.segment_bytes = 4096;
    message->wire_hello.ring_entries = 64;
    snprintf(message->wire_hello.tenant, sizeof(message->wire_hello.tenant), TENANT_VICTIM);
    return length;
}

static size_t (*const forgeries[])(union wire_message *) = {
    forge_noise, forge_body, forge_bye, forge_bell, forge_stats, forge_ping, forge_hello,
};

static void run_forged(const struct hostile *hostile)
{
    union wire_message message;

    look_around(hostile);
    attack_is_on(hostile);
    for (unsigned i = 0;; i = (i + 1) % ROWS(forgeries)) {
        size_t length = forgeries[i](&message);
        peer_send(hostile, &message, length);
        attack_counts(hostile, 1);
    }
}

/* ---- replays ---- */

static void run_replayed(const struct hostile *hostile)
{
    struct peer peer;
    union wire_message messages[3];
    size_t lengths[3];
    uint64_t old;

    peer_open_registered(&peer, hostile, &small, TENANT_HOSTILE);
    old = peer.registration;
    peer_leave(&peer);
    peer_renew(&peer);
    if (!peer_register(&peer, WIRE_ROLE_PROXY, TENANT_HOSTILE))
        attack_fails("registration", "the second was refused");
    lengths[0] = wire_prepare(&messages[0], WIRE_BYE, peer.endpoint.token);
    messages[0].wire_bye.registration = old;
    messages[0].wire_bye.secret = peer.endpoint.secret;
    lengths[1] = wire_prepare(&messages[1], WIRE_BELL, peer.endpoint.token);
    messages[1].wire_bell.registration = old;
    lengths[2] = wire_prepare(&messages[2], WIRE_HELLO, peer.endpoint.token);
    messages[2].wire_hello.secret = peer.endpoint.secret;
    messages[2].wire_hello.segments = small.segments;
    messages[2].wire_hello.segment_bytes = small.segment_bytes;
    messages[2].wire_hello.ring_entries = small.ring_entries;
    snprintf(messages[2].wire_hello.tenant, sizeof(messages[2].wire_hello.tenant), TENANT_HOSTILE);
    attack_is_on(hostile);
    for (unsigned i = 0;; i = (i + 1) % 3) {
        peer_send(hostile, &messages[i], lengths[i]);
        pool_beat(&peer.endpoint.pool);
        (void)peer_was_dropped(&peer);
        attack_counts(hostile, 1);
    }
}

/* ---- HELLO ---- */

/* Its own objects, unregistered, with a secret that is not the pool's: everything is opened, mapped, refused.
 */
static void run_hello_others(const struct hostile *hostile)
{
    static const struct pool_shape wide = {.segments = 4096, .segment_bytes = 4096, .ring_entries = 16};
    union wire_message message;
    struct peer own;

    look_around(hostile);
    peer_open(&own, hostile, &wide);
    attack_is_on(hostile);
    for (uint64_t i = 0;; i++) {
        size_t length = forge_hello(&message);
        if (i % 2 == 0) {
            message.header.token = own.endpoint.token;
            message.wire_hello.segments = wide.segments;
            message.wire_hello.segment_bytes = wide.segment_bytes;
            message.wire_hello.ring_entries = wide.ring_entries;
            (void)peer_was_dropped(&own);
        }
        peer_send(hostile, &message, length);
        attack_counts(hostile, 1);
    }
}

static size_t make_hello(union wire_message *message, const struct peer *peer, const char *tenant)
{
    const struct pool_shape *shape = &peer->endpoint.pool.shape;
    size_t length = wire_prepare(message, WIRE_HELLO, peer->endpoint.token);

    message->wire_hello.secret = peer->endpoint.secret;
    message->wire_hello.segments = shape->segments;
    message->wire_hello.segment_bytes = shape->segment_bytes;
    message->wire_hello.ring_entries = shape->ring_entries;
    snprintf(message->wire_hello.tenant, sizeof(message->wire_hello.tenant), "%s", tenant);
    return length;
}

static size_t make_bye(union wire_message *message, const struct peer *peer)
{
    size_t length = wire_prepare(message, WIRE_BYE, peer->endpoint.token);

    message->wire_bye.registration = peer->registration;
    message->wire_bye.secret = peer->endpoint.secret;
    return length;
}

/* Several at once, so that the queue never runs empty. `tenants`: each time another one. */
static void hello_and_bye(const struct hostile *hostile, bool tenants)
{
    struct peer peers[4];
    union wire_message message;
    char tenant[NAMES_TENANT_MAX + 1] = TENANT_HOSTILE;
    uint64_t number = 0;

    for (unsigned i = 0; i < ROWS(peers); i++)
        peer_open(&peers[i], hostile, &small);
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < ROWS(peers); i++) {
            if (tenants)
                snprintf(tenant, sizeof(tenant), "tenant-%llu", (unsigned long long)number++);
            size_t length = make_hello(&message, &peers[i], tenant);
            peer_send(hostile, &message, length);
        }
        for (unsigned i = 0; i < ROWS(peers); i++) {
            peers[i].registration = 0;
            while (peer_receive(&peers[i], &message, 1000)) {
                if (message.header.type == WIRE_WELCOME)
                    peers[i].registration = message.wire_welcome.registration;
                if (message.header.type == WIRE_WELCOME || message.wire_refused.type == WIRE_HELLO)
                    break;
            }
            attack_counts(hostile, 1);
            if (peers[i].registration == 0)
                continue;
            size_t length = make_bye(&message, &peers[i]);
            peer_send(hostile, &message, length);
        }
    }
}

static void run_hello_bye(const struct hostile *hostile)
{
    hello_and_bye(hostile, false);
}

static void run_tenants(const struct hostile *hostile)
{
    hello_and_bye(hostile, true);
}

/* A host has only so many queues (fs.mqueue.queues_max): while there is none to be had, this goes on trying.
 */
static void run_hello_fresh(const struct hostile *hostile)
{
    struct peer peer;

    attack_is_on(hostile);
    for (;;) {
        if (!peer_try_open(&peer, hostile, &small))
            continue;
        if (peer_register(&peer, WIRE_ROLE_PROXY, TENANT_HOSTILE))
            peer_leave(&peer);
        endpoint_destroy(&peer.endpoint);
        attack_counts(hostile, 1);
    }
}

/* ---- pools that are none ---- */

static void path_of(char path[64 + NAMES_BYTES], const struct peer *peer)
{
    snprintf(path, 64 + NAMES_BYTES, "/dev/shm%s", peer->endpoint.name);
}

static void as_fifo(struct peer *peer, const char *path)
{
    (void)peer;
    unlink(path);
    if (mkfifo(path, 0600))
        attack_fails("mkfifo", strerror(errno));
}

static void as_directory(struct peer *peer, const char *path)
{
    (void)peer;
    unlink(path);
    if (mkdir(path, 0700))
        attack_fails("mkdir", strerror(errno));
}

static void as_link(struct peer *peer, const char *path)
{
    (void)peer;
    unlink(path);
    if (symlink("/dev/zero", path))
        attack_fails("symlink", strerror(errno));
}

static void as_second_name(struct peer *peer, const char *path)
{
    char second[64 + NAMES_BYTES + 8];

    (void)peer;
    snprintf(second, sizeof(second), "%s.again", path);
    unlink(second);
    if (link(path, second))
        attack_fails("link", strerror(errno));
}

static void as_sparse(struct peer *peer, const char *path)
{
    (void)path;
    if (fallocate(peer->endpoint.pool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096))
        attack_fails("fallocate", strerror(errno));
}

static void as_too_small(struct peer *peer, const char *path)
{
    (void)path;
    if (ftruncate(peer->endpoint.pool.fd, 4096))
        attack_fails("ftruncate", strerror(errno));
}

static void as_public(struct peer *peer, const char *path)
{
    (void)path;
    if (fchmod(peer->endpoint.pool.fd, 0666))
        attack_fails("fchmod", strerror(errno));
}

/* Whoever opens a leased file waits until its holder lets go, up to 45 s (fcntl(2), F_SETLEASE), unless it
 * has said O_NONBLOCK. */
static void as_leased(struct peer *peer, const char *path)
{
    (void)path;
    signal(SIGIO, SIG_IGN);
    (void)fcntl(peer->endpoint.pool.fd, F_SETLEASE, F_WRLCK);
    (void)fcntl(peer->endpoint.reply, F_SETLEASE, F_WRLCK);
}

/* Another user's; only root can give it away. */
static void as_foreign(struct peer *peer, const char *path)
{
    (void)path;
    (void)!fchown(peer->endpoint.pool.fd, 65534, (gid_t)-1);
}

static void as_nothing(struct peer *peer, const char *path)
{
    (void)peer;
    unlink(path);
}

static void (*const disguises[])(struct peer *, const char *path) = {
    as_fifo,      as_directory, as_link,   as_second_name, as_sparse,
    as_too_small, as_public,    as_leased, as_foreign,     as_nothing,
};

static void run_bad_pools(const struct hostile *hostile)
{
    struct peer peers[ROWS(disguises)];
    char path[64 + NAMES_BYTES];
    union wire_message message;

    for (unsigned i = 0; i < ROWS(peers); i++) {
        peer_open(&peers[i], hostile, &small);
        path_of(path, &peers[i]);
        attack_leaves_queue(hostile, peers[i].endpoint.token);
        disguises[i](&peers[i], path);
    }
    attack_is_on(hostile);
    for (unsigned i = 0;; i = (i + 1) % ROWS(peers)) {
        size_t length = make_hello(&message, &peers[i], TENANT_HOSTILE);
        peer_send(hostile, &message, length);
        (void)peer_was_dropped(&peers[i]);
        attack_counts(hostile, 1);
    }
}

/* ---- PING, BELL, STATS ---- */

static void become_many(unsigned processes)
{
    for (unsigned i = 1; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            attack_fails("fork", strerror(errno));
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            return;
        }
    }
}

/* Each sender waits in mq_send, so whatever the cache takes from the queue is replaced at once. The pings
 * name a peer that is not registered and reads no answer. */
static void flood_pings(const struct hostile *hostile, unsigned senders)
{
    struct peer stranger;
    union wire_message message;
    size_t length;

    peer_open(&stranger, hostile, &small);
    length = wire_prepare(&message, WIRE_PING, stranger.endpoint.token);
    attack_is_on(hostile);
    become_many(senders);
    for (;;) {
        peer_send(hostile, &message, length);
        attack_counts(hostile, 1);
    }
}

static void run_ping_1(const struct hostile *hostile)
{
    flood_pings(hostile, 1);
}

static void run_ping_8(const struct hostile *hostile)
{
    flood_pings(hostile, 8);
}

static void run_ping_24(const struct hostile *hostile)
{
    flood_pings(hostile, 24);
}

static void *read_for_ever(void *context)
{
    struct peer *peer = context;
    union wire_message message;

    for (;;)
        (void)peer_receive(peer, &message, 1000);
    return NULL;
}

/* The answers are read, so that each is really sent. */
static void run_ping_read(const struct hostile *hostile)
{
    struct peer stranger;
    union wire_message message;
    pthread_t reader;
    size_t length;

    peer_open(&stranger, hostile, &small);
    length = wire_prepare(&message, WIRE_PING, stranger.endpoint.token);
    if (pthread_create(&reader, NULL, read_for_ever, &stranger))
        attack_fails("thread", "cannot start");
    attack_is_on(hostile);
    for (;;) {
        peer_send(hostile, &message, length);
        attack_counts(hostile, 1);
    }
}

static void run_bells(const struct hostile *hostile)
{
    struct peer peer;
    union wire_message message;
    size_t length;

    peer_open_registered(&peer, hostile, &small, TENANT_HOSTILE);
    length = wire_prepare(&message, WIRE_BELL, peer.endpoint.token);
    message.wire_bell.registration = peer.registration;
    attack_is_on(hostile);
    for (;;) {
        peer_send(hostile, &message, length);
        pool_beat(&peer.endpoint.pool);
        attack_counts(hostile, 1);
    }
}

static void run_stats(const struct hostile *hostile)
{
    static const struct pool_shape wide = {.segments = 4, .segment_bytes = 1u << 20, .ring_entries = 16};
    struct peer asker;
    union wire_message message;
    size_t length;

    peer_open(&asker, hostile, &wide);
    if (!peer_register(&asker, WIRE_ROLE_ADMIN, NAMES_DEFAULT))
        attack_fails("registration", "refused");
    length = wire_prepare(&message, WIRE_STATS, asker.endpoint.token);
    message.wire_stats.registration = asker.registration;
    message.wire_stats.secret = asker.endpoint.secret;
    attack_is_on(hostile);
    for (;;) {
        message.wire_stats.segment = (message.wire_stats.segment + 1) % 4;
        peer_free_segments(&asker);
        peer_send(hostile, &message, length);
        pool_beat(&asker.endpoint.pool);
        (void)peer_was_dropped(&asker);
        attack_counts(hostile, 1);
    }
}

/* Closing a file walks through all of its record locks (fcntl_locking(2)), whosever they are. Taken from the
 * end, because the kernel keeps them in order. */
/* As many empty objects as there is time for, in a tenant that stays. */
static void fill_shelves(struct peer *peer)
{
    uint64_t until = now_ns() + 6000000000u;

    for (uint64_t number = 0; number < 1000000 && now_ns() < until;)
        number += peer_store_many(peer, number);
}

/* While there are many objects, names of tenants are used up: those of earlier ones have to be given up, with
 * what they have stored. */
static void run_doomed(const struct hostile *hostile)
{
    static const struct pool_shape wide = {.segments = 60, .segment_bytes = 4096, .ring_entries = 256};
    static struct peer filler, peer;
    char tenant[NAMES_TENANT_MAX + 1];

    peer_open_registered(&filler, hostile, &wide, TENANT_HOSTILE);
    fill_shelves(&filler);
    peer_open(&peer, hostile, &wide);
    for (unsigned number = 0;; number++) {
        snprintf(tenant, sizeof(tenant), "tenant-%u", number);
        peer_renew(&peer);
        peer_free_segments(&peer);
        if (!peer_register(&peer, WIRE_ROLE_PROXY, tenant))
            attack_fails("registration", "refused");
        (void)peer_store_many(&peer, 0);
        peer_leave(&peer);
        pool_beat(&filler.endpoint.pool);
        attack_counts(hostile, 1);
        if (number == 300) /* more than there may be */
            attack_is_on(hostile);
    }
}

static void run_locks(const struct hostile *hostile)
{
    struct peer stranger;
    union wire_message message;

    peer_open(&stranger, hostile, &small);
    attack_locks(stranger.endpoint.reply, LOCKS);
    size_t length = wire_prepare(&message, WIRE_PING, stranger.endpoint.token);
    attack_is_on(hostile);
    for (;;) {
        peer_send(hostile, &message, length);
        attack_counts(hostile, 1);
    }
}

/* HELLO that comes to nothing, because of its secret, after queue and pool were opened. */
static _Noreturn void hello_in_vain(const struct hostile *hostile, struct peer *peer)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_HELLO, peer->endpoint.token);

    message.wire_hello.secret = peer->endpoint.secret ^ 1;
    message.wire_hello.segments = small.segments;
    message.wire_hello.segment_bytes = small.segment_bytes;
    message.wire_hello.ring_entries = small.ring_entries;
    memcpy(message.wire_hello.tenant, TENANT_HOSTILE, sizeof(TENANT_HOSTILE));
    attack_is_on(hostile);
    for (;;) {
        peer_send(hostile, &message, length);
        (void)peer_was_dropped(peer);
        attack_counts(hostile, 1);
    }
}

static void run_locks_hello(const struct hostile *hostile)
{
    struct peer peer;

    peer_open(&peer, hostile, &small);
    attack_locks(peer.endpoint.reply, LOCKS);
    hello_in_vain(hostile, &peer);
}

static void run_locks_pool(const struct hostile *hostile)
{
    struct peer peer;

    peer_open(&peer, hostile, &small);
    attack_locks(peer.endpoint.pool.fd, LOCKS);
    hello_in_vain(hostile, &peer);
}

const struct attack message_attacks[] = {
    {"burn-1", run_burn_1, "burns processor time and says nothing: what any process of the host can do",
     NULL},
    {"burn-2", run_burn_2, "the same with two threads", NULL},
    {"forged", run_forged, "noise, and messages in the names of others", NULL},
    {"replayed", run_replayed, "BYE, BELL and HELLO of an earlier registration", NULL},
    {"hello-others", run_hello_others, "HELLO with others' queues, and with a wrong secret", NULL},
    {"hello-bye", run_hello_bye, "registers and leaves, with the same objects", NULL},
    {"hello-fresh", run_hello_fresh, "registers and leaves, with new objects each time", NULL},
    {"hello-tenants", run_tenants, "registers and leaves, each time for another tenant", NULL},
    {"doomed", run_doomed, "the same with 1,000,000 small objects in the cache and some in each tenant",
     NULL},
    {"bad-pools", run_bad_pools, "HELLO with a fifo, directory, link, sparse, small, public, leased pool",
     NULL},
    {"ping-1", run_ping_1, "PING of a stranger, one sender that waits for room", NULL},
    {"ping-8", run_ping_8, "the same, 8 senders", NULL},
    {"ping-24", run_ping_24, "the same, 24 senders", NULL},
    {"ping-read", run_ping_read, "PING of a stranger that reads every answer", NULL},
    {"bells", run_bells, "BELL, always", NULL},
    {"stats", run_stats, "STATS, always", NULL},
    {"locks", run_locks, "PING of a queue with 20,000 record locks on it", NULL},
    {"locks-hello", run_locks_hello, "HELLO of such a queue, with a wrong secret", NULL},
    {"locks-pool", run_locks_pool, "HELLO with a pool that has so many locks", NULL},
};
const unsigned message_attack_count = ROWS(message_attacks);
