/* Attacks by memory: pools that lose, gain and change pages while the cache uses them, and that cost much to
 * map and to let go. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE   4096u
#define KEY    "pages"
#define OBJECT (1u << 20)
#define MANY   64u /* registrations that the cache allows a process */

static const struct pool_shape usual = {.segments = 16, .segment_bytes = 65536, .ring_entries = 256};
static const struct pool_shape giant = {.segments = 16000, .segment_bytes = 65536, .ring_entries = 16384};

/* Every entry reads 64 KiB into a segment. */
static void write_reads(struct peer *peer, uint64_t handle, uint32_t length)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.ring_entries; i++) {
        struct wire_request request = peer_request(peer, WIRE_OP_READ);
        request.segment = i % peer->endpoint.pool.shape.segments;
        request.handle = handle;
        request.length = length;
        request.value = 0;
        peer_write_entry(peer, i, &request);
    }
}

static uint64_t store_and_pin(struct peer *peer)
{
    uint64_t handle = peer_pin(peer, KEY, sizeof(KEY) - 1);

    if (handle)
        return handle;
    (void)peer_store(peer, KEY, sizeof(KEY) - 1, NULL, 0, OBJECT);
    handle = peer_pin(peer, KEY, sizeof(KEY) - 1);
    if (!handle)
        attack_fails("pin", "the object is not there");
    return handle;
}

static void lend_all(struct peer *peer)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.segments; i++)
        pool_semaphore_post(&segment_header(&peer->endpoint.pool, i)->wsem);
}

/* ---- SIGBUS ---- */

struct faulty {
    struct peer peer;
    uint8_t first_page[PAGE]; /* magic and secret, which go with the pages */
};

static void open_faulty(struct faulty *faulty, const struct hostile *hostile)
{
    peer_open(&faulty->peer, hostile, &usual);
    memcpy(faulty->first_page, faulty->peer.endpoint.pool.base, PAGE);
}

static void restore_pages(struct faulty *faulty)
{
    struct segment_pool *pool = &faulty->peer.endpoint.pool;

    if (posix_fallocate(pool->fd, 0, (off_t)pool->bytes))
        attack_fails("posix_fallocate", "no room");
    memcpy(pool->base, faulty->first_page, PAGE);
    peer_renew(&faulty->peer);
}

/* Registers, asks for reads, and takes the pages away: all of them, or those behind the rings. */
static bool lose_pages(struct faulty *faulty, bool all)
{
    struct segment_pool *pool = &faulty->peer.endpoint.pool;

    if (!peer_register(&faulty->peer, WIRE_ROLE_PROXY, TENANT_HOSTILE))
        return false;
    write_reads(&faulty->peer, store_and_pin(&faulty->peer), 65536);
    lend_all(&faulty->peer);
    (void)peer_flood(&faulty->peer);
    size_t left = all ? 0 : (size_t)(pool->payloads - pool->base + 2 * PAGE);
    if (ftruncate(pool->fd, (off_t)(left & ~(size_t)(PAGE - 1))))
        attack_fails("ftruncate", strerror(errno));
    peer_bell(&faulty->peer);
    return true;
}

static void run_truncate(const struct hostile *hostile)
{
    static struct faulty faulty[4];
    union wire_message message;

    for (unsigned i = 0; i < ROWS(faulty); i++)
        open_faulty(&faulty[i], hostile);
    attack_is_on(hostile);
    for (uint64_t turn = 0;; turn++) {
        for (unsigned i = 0; i < ROWS(faulty); i++)
            (void)lose_pages(&faulty[i], (turn + i) % 2);
        for (unsigned i = 0; i < ROWS(faulty); i++) {
            while (peer_receive(&faulty[i].peer, &message, 200) && message.header.type != WIRE_REFUSED)
                ;
            restore_pages(&faulty[i]);
            attack_counts(hostile, 1);
        }
    }
}

/* ---- pages that come and go, without a fault that anybody sees ---- */

struct puncher {
    struct peer *peer;
    bool refill;
};

static void *punch(void *context)
{
    const struct puncher *puncher = context;
    struct segment_pool *pool = &puncher->peer->endpoint.pool;
    off_t from = (off_t)((size_t)(pool->payloads - pool->base) & ~(size_t)(PAGE - 1));
    off_t length = (off_t)pool->bytes - from;

    for (;;) {
        if (fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, length))
            attack_fails("fallocate", strerror(errno));
        if (puncher->refill && posix_fallocate(pool->fd, from, length))
            attack_fails("posix_fallocate", "no room");
    }
    return NULL;
}

/* Pages that the pool does not have, but its file. At most a quarter of what there is room for. */
static off_t huge_bytes(int fd)
{
    struct statvfs room;
    off_t most = (off_t)4 << 30;

    if (fstatvfs(fd, &room))
        attack_fails("fstatvfs", strerror(errno));
    off_t quarter = (off_t)(room.f_bavail / 4 * room.f_frsize);
    return quarter < most ? quarter & ~(off_t)(PAGE - 1) : most;
}

static void *punch_huge(void *context)
{
    const struct puncher *puncher = context;
    struct segment_pool *pool = &puncher->peer->endpoint.pool;
    off_t from = (off_t)((size_t)(pool->payloads - pool->base) & ~(size_t)(PAGE - 1));
    off_t bytes = huge_bytes(pool->fd);

    for (;;) {
        if (posix_fallocate(pool->fd, from, bytes - from) ||
            fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, bytes - from))
            attack_fails("fallocate", strerror(errno));
    }
    return NULL;
}

static void *extend(void *context)
{
    const struct puncher *puncher = context;
    struct segment_pool *pool = &puncher->peer->endpoint.pool;

    for (;;) {
        if (ftruncate(pool->fd, (off_t)(2 * pool->bytes)) || ftruncate(pool->fd, (off_t)pool->bytes))
            attack_fails("ftruncate", strerror(errno));
    }
    return NULL;
}

static void read_while(const struct hostile *hostile, const struct pool_shape *shape, void *(*act)(void *),
                       bool refill)
{
    static struct peer peer;
    static struct puncher puncher;
    pthread_t thread;

    peer_open_registered(&peer, hostile, shape, TENANT_HOSTILE);
    write_reads(&peer, store_and_pin(&peer), 65536);
    puncher = (struct puncher){&peer, refill};
    if (pthread_create(&thread, NULL, act, &puncher))
        attack_fails("thread", "cannot start");
    attack_is_on(hostile);
    for (uint32_t next = 0;;) {
        /* Not all of a giant one at every step. */
        for (uint32_t i = 0; i < 256; i++, next++)
            pool_semaphore_post(&segment_header(&peer.endpoint.pool, next % shape->segments)->wsem);
        attack_counts(hostile, peer_flood(&peer));
    }
}

static void run_punch(const struct hostile *hostile)
{
    read_while(hostile, &usual, punch, false);
}

/* A page that is touched while its hole is being punched makes the toucher wait for the end of the punching;
 * the larger the hole, the longer. */
static void run_punch_giant(const struct hostile *hostile)
{
    read_while(hostile, &giant, punch, true);
}

/* Who punches is seldom let on the processor, and a toucher waits until it has been. */
static void *punch_idly(void *context)
{
    if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}))
        attack_fails("sched_setscheduler", strerror(errno));
    return punch(context);
}

static void run_punch_idle(const struct hostile *hostile)
{
    read_while(hostile, &usual, punch_idly, false);
}

static void *burn_on(void *context)
{
    (void)context;
    for (volatile uint64_t i = 0;; i++)
        ;
    return NULL;
}

/* An attack that waits for the punching thread by burning what it could run on. */
static void punch_beside_burners(struct peer *peers, void *(*act)(void *))
{
    pthread_t thread;

    for (unsigned i = 0; i < 4; i++) {
        if (pthread_create(&thread, NULL, i < 2 ? act : burn_on, peers))
            attack_fails("thread", "cannot start");
    }
}

#define HEADS 32u

/* Heartbeat, rings, and the headers of segments, of one registration after the other. */
static void *punch_heads(void *context)
{
    struct peer *peers = context;

    if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}))
        attack_fails("sched_setscheduler", strerror(errno));
    for (;;) {
        for (uint32_t i = 0; i < HEADS; i++) {
            struct segment_pool *pool = &peers[i].endpoint.pool;
            if (fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                          pool->payloads - pool->base))
                attack_fails("fallocate", strerror(errno));
            pool_beat(pool);
        }
    }
    return NULL;
}

/* Registrations that ask for nothing: only whether they live is looked at. */
static void run_punch_heads(const struct hostile *hostile)
{
    static struct peer peers[HEADS];
    static uint8_t first_pages[HEADS][PAGE];

    for (uint32_t i = 0; i < HEADS; i++) {
        peer_open_registered(&peers[i], hostile, &usual, TENANT_HOSTILE);
        memcpy(first_pages[i], peers[i].endpoint.pool.base, PAGE);
    }
    punch_beside_burners(peers, punch_heads);
    attack_is_on(hostile);
    for (;;) {
        attack_counts(hostile, 1);
        poll(NULL, 0, 10);
        for (uint32_t i = 0; i < HEADS; i++) {
            if (!peer_was_dropped(&peers[i]) && !peers[i].dropped)
                continue;
            memcpy(peers[i].endpoint.pool.base, first_pages[i], PAGE);
            peer_renew(&peers[i]);
            peers[i].dropped = !peer_register(&peers[i], WIRE_ROLE_PROXY, TENANT_HOSTILE);
        }
    }
}

#define KEEPERS    8u
#define KEPT       64u
#define FIRST_KEPT 128u /* its header, and the next ones, are on pages without rings */

static void *punch_guards(void *context)
{
    struct peer *peers = context;
    size_t offset = (size_t)((uint8_t *)peers->endpoint.pool.headers - peers->endpoint.pool.base);
    off_t from = (off_t)((offset + PAGE - 1) & ~(size_t)(PAGE - 1));
    off_t end = peers->endpoint.pool.payloads - peers->endpoint.pool.base;

    if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}))
        attack_fails("sched_setscheduler", strerror(errno));
    for (uint32_t i = 0;; i = (i + 1) % KEEPERS) {
        if (fallocate(peers[i].endpoint.pool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from,
                      end - from))
            attack_fails("fallocate", strerror(errno));
    }
    return NULL;
}

/* What eight registrations keep is replaced by a ninth: the cache marks it in their pools. */
static void run_punch_guards(const struct hostile *hostile)
{
    static const struct pool_shape shape = {.segments = 512, .segment_bytes = 4096, .ring_entries = 256};
    static struct peer keepers[KEEPERS], writer;
    char key[32];

    for (uint32_t i = 0; i < KEEPERS; i++)
        peer_open_registered(&keepers[i], hostile, &shape, TENANT_HOSTILE);
    peer_open_registered(&writer, hostile, &shape, TENANT_HOSTILE);
    punch_beside_burners(keepers, punch_guards);
    attack_is_on(hostile);
    for (uint32_t turn = 0;; turn = (turn + 1) % KEPT) {
        uint16_t length = (uint16_t)snprintf(key, sizeof(key), "kept-%u", turn);
        (void)peer_store(&writer, key, length, NULL, 0, 64);
        for (uint32_t i = 0; i < KEEPERS; i++)
            peer_keep(&keepers[i], FIRST_KEPT + turn, key);
        attack_counts(hostile, 1);
    }
}

/* Each time as another process, which the cache has not met. */
static void run_punch_again(const struct hostile *hostile)
{
    for (;;) {
        pid_t pid = fork();
        if (pid < 0)
            attack_fails("fork", strerror(errno));
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            read_while(hostile, &usual, punch, false);
        }
        poll(NULL, 0, 20);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void run_punch_huge(const struct hostile *hostile)
{
    read_while(hostile, &usual, punch_huge, false);
}

static void run_extend(const struct hostile *hostile)
{
    read_while(hostile, &usual, extend, false);
}

/* ---- large reads from many registrations ---- */

static void run_many_reads(const struct hostile *hostile)
{
    static const struct pool_shape shape = {.segments = 16, .segment_bytes = 1u << 20, .ring_entries = 256};
    static struct peer peers[MANY];
    unsigned count = 0;

    for (; count < MANY; count++) {
        peer_open(&peers[count], hostile, &shape);
        if (!peer_register(&peers[count], WIRE_ROLE_PROXY, TENANT_HOSTILE))
            break;
        write_reads(&peers[count], store_and_pin(&peers[count]), 1u << 20);
    }
    attack_is_on(hostile);
    for (;;) {
        for (unsigned i = 0; i < count; i++) {
            lend_all(&peers[i]);
            attack_counts(hostile, peer_flood(&peers[i]));
        }
    }
}

/* ---- giants ---- */

/* Reads into every segment, so that the cache has all pages in its tables. */
static void touch_all(const struct hostile *hostile, struct peer *peer)
{
    uint32_t segments = peer->endpoint.pool.shape.segments;
    uint64_t handle = store_and_pin(peer);

    lend_all(peer);
    for (uint32_t asked = 0, answered = 0; answered < segments;) {
        for (; asked < segments && asked - answered < 1024; asked++) {
            struct wire_request request = peer_request(peer, WIRE_OP_READ);
            request.segment = asked;
            request.handle = handle;
            request.length = 65536;
            peer_put(peer, &request);
        }
        peer_flush(peer);
        (void)peer_completion(peer);
        attack_counts(hostile, 1);
        answered++;
    }
}

/* The last mapping that goes pays for the pages: it is the cache's. */
static void leave_it_to_the_cache(const struct hostile *hostile, struct peer *peer)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BYE, peer->endpoint.token);

    message.wire_bye.registration = peer->registration;
    message.wire_bye.secret = peer->endpoint.secret;
    attack_leaves_queue(hostile, peer->endpoint.token);
    shm_unlink(peer->endpoint.name);
    segment_pool_destroy(&peer->endpoint.pool);
    while (!peer_try_send(peer, &message, length))
        sched_yield();
    endpoint_retire(&peer->endpoint);
}

static void run_giant(const struct hostile *hostile)
{
    struct peer peer;

    for (bool first = true;; first = false) {
        peer_open_registered(&peer, hostile, &giant, TENANT_HOSTILE);
        if (first)
            attack_is_on(hostile);
        touch_all(hostile, &peer);
        leave_it_to_the_cache(hostile, &peer);
    }
}

/* Registered, touched, and left, but the pages stay with their owner: more often a second. */
static void run_giant_again(const struct hostile *hostile)
{
    struct peer peer;

    peer_open(&peer, hostile, &giant);
    attack_is_on(hostile);
    for (;;) {
        if (!peer_register(&peer, WIRE_ROLE_PROXY, TENANT_HOSTILE))
            continue;
        touch_all(hostile, &peer);
        peer_leave(&peer);
        peer_renew(&peer);
    }
}

/* ---- names of the dead ---- */

#define LINKS      250u
#define LOCKS      20000
#define LEFT_BYTES ((off_t)3 << 30)

/* An empty file under the name of a peer; its path. */
static int leave_file(const struct hostile *hostile, uint64_t token, char path[NAMES_BYTES + 16])
{
    char name[NAMES_BYTES];

    names_peer(name, hostile->instance, token);
    snprintf(path, NAMES_BYTES + 16, "/dev/shm%s", name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        attack_fails(path, strerror(errno));
    return fd;
}

/* Each of them is one to be swept, with a file behind it that takes long to close. */
static void run_links(const struct hostile *hostile)
{
    char path[NAMES_BYTES + 16], other[NAMES_BYTES + 16], name[NAMES_BYTES];
    uint64_t token = now_ns() << 8;
    int fd = leave_file(hostile, token, path);

    for (unsigned i = 1; i < LINKS; i++) {
        names_peer(name, hostile->instance, token + i);
        snprintf(other, sizeof(other), "/dev/shm%s", name);
        if (link(path, other))
            attack_fails("link", strerror(errno));
    }
    attack_locks(fd, LOCKS);
    attack_counts(hostile, LINKS);
    attack_is_on(hostile);
    for (;;)
        pause();
}

static void fill_file(int fd)
{
    if (fallocate(fd, 0, 0, LEFT_BYTES))
        attack_fails("fallocate", strerror(errno));
    close(fd);
}

static void run_left_giants(const struct hostile *hostile)
{
    char path[NAMES_BYTES + 16];

    attack_is_on(hostile);
    for (uint64_t token = now_ns() << 8;; token++) {
        fill_file(leave_file(hostile, token, path));
        attack_counts(hostile, 1);
        for (int i = 0; i < 100 && access(path, F_OK) == 0; i++)
            poll(NULL, 0, 100);
    }
}

/* The name of its pool is another file's when it dies. */
static void run_die_giant(const struct hostile *hostile)
{
    attack_is_on(hostile);
    for (;; attack_counts(hostile, 1)) {
        pid_t pid = fork();
        if (pid < 0)
            attack_fails("fork", strerror(errno));
        if (pid == 0) {
            struct peer peer;
            char path[NAMES_BYTES + 16];

            prctl(PR_SET_PDEATHSIG, SIGKILL);
            peer_open_registered(&peer, hostile, &usual, TENANT_HOSTILE);
            shm_unlink(peer.endpoint.name);
            fill_file(leave_file(hostile, peer.endpoint.token, path));
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        poll(NULL, 0, 200);
    }
}

/* ---- deaths ---- */

/* One life: registers, pins, reads, and is gone without a word. */
static void live_and_die(const struct hostile *hostile)
{
    struct peer peer;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    peer_open_registered(&peer, hostile, &usual, TENANT_HOSTILE);
    write_reads(&peer, store_and_pin(&peer), 65536);
    lend_all(&peer);
    (void)peer_flood(&peer);
    _exit(0);
}

static void run_deaths(const struct hostile *hostile)
{
    attack_is_on(hostile);
    for (;;) {
        pid_t pid = fork();
        if (pid < 0)
            attack_fails("fork", strerror(errno));
        if (pid == 0)
            live_and_die(hostile);
        waitpid(pid, NULL, 0);
        attack_counts(hostile, 1);
    }
}

const struct attack pool_attacks[] = {
    {"truncate", run_truncate, "pools truncated under the cache's reads; registers again", NULL},
    {"punch", run_punch, "holes punched into the segments that the cache writes", NULL},
    {"punch-idle", run_punch_idle, "the same by a thread with SCHED_IDLE", NULL},
    {"punch-again", run_punch_again, "the same for 20 ms, killed, and again", NULL},
    {"punch-giant", run_punch_giant, "the same in a pool of 1 GiB, whose hole takes long to punch", NULL},
    {"punch-huge", run_punch_huge, "the same with up to 4 GiB that are behind the pool in its file", NULL},
    {"punch-heads", run_punch_heads, "holes punched into rings and headers of those who ask for nothing",
     NULL},
    {"punch-guards", run_punch_guards, "the same where it is marked that what is kept is stale", NULL},
    {"extend", run_extend, "the pool grows and shrinks to its size", NULL},
    {"many-reads", run_many_reads, "reads of 1 MiB from as many registrations as one process may have", NULL},
    {"giant", run_giant, "pools of 1 GiB made, touched and left, the cache letting go last", NULL},
    {"giant-again", run_giant_again, "one pool of 1 GiB registered, touched and left", NULL},
    {"links", run_links, "250 names of one file with 20,000 record locks", NULL},
    {"left-giants", run_left_giants, "files of 3 GiB under the names of dead proxies", NULL},
    {"die-giant", run_die_giant, "dies when its pool's name is that of a file of 3 GiB", NULL},
    {"deaths", run_deaths, "registers, asks, dies", NULL},
};
const unsigned pool_attack_count = ROWS(pool_attacks);
