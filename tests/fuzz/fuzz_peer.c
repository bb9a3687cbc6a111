#include "fuzz_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define APPEARANCES_MAX 16u /* of one peer for one input */
#define SCARCE_TRIES    200
#define SCARCE_PAUSE_US 20000
#define FIRST_TOKEN     0x1000000000000000u

static char instance_name[NAMES_INSTANCE_MAX + 1];
static struct peer peers[PEERS_MAX];
static unsigned appearances[PEERS_MAX];

static uint64_t token_of(unsigned place, unsigned appearance)
{
    return FIRST_TOKEN + place * APPEARANCES_MAX + appearance;
}

static unsigned place_of(const struct peer *peer)
{
    return (unsigned)(peer - peers);
}

/* ---- names ---- */

static void remove_name(const char *name)
{
    char path[sizeof "/dev/shm" + NAMES_BYTES];

    mq_unlink(name);
    if (shm_unlink(name) != 0 && errno != ENOENT) { /* something that a peer has put in its pool's place */
        snprintf(path, sizeof path, "/dev/shm%s", name);
        rmdir(path);
    }
}

static void remove_all_names(void)
{
    char name[NAMES_BYTES];

    names_command_queue(name, instance_name);
    mq_unlink(name);
    for (unsigned place = 0; place < PEERS_MAX; place++) {
        for (unsigned i = 0; i < APPEARANCES_MAX; i++) {
            names_peer(name, instance_name, token_of(place, i));
            remove_name(name);
        }
    }
}

static int janitor_pipe = -1;
static pid_t janitor;

static void dismiss_janitor(void)
{
    close(janitor_pipe);
    waitpid(janitor, NULL, 0);
}

/* A fuzzer ends by abort, time-out or a signal just as well as by exit(): a child sees the end of its parent
 * in a pipe, cleans up and ends. */
static void hire_janitor(void)
{
    int ends[2];
    char byte;

    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    janitor = fork();
    REQUIRE(janitor >= 0);
    if (janitor == 0) {
        setsid();
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        close(ends[1]);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
            ;
        remove_all_names();
        _exit(0);
    }
    close(ends[0]);
    janitor_pipe = ends[1];
    atexit(dismiss_janitor);
}

void peers_initialize(const char *instance)
{
    snprintf(instance_name, sizeof instance_name, "%s", instance);
    hire_janitor();
}

const char *peers_instance(void)
{
    return instance_name;
}

/* ---- life ---- */

/* Other programs may have used up what the host or this user may have of queues and shared memory; that is no
 * finding as long as it passes. */
void peers_await(int (*attempt)(void *context), void *context)
{
    int error = attempt(context);

    for (int i = 0; i < SCARCE_TRIES && (error == -ENOSPC || error == -EMFILE || error == -ENOMEM); i++) {
        usleep(SCARCE_PAUSE_US);
        error = attempt(context);
    }
    if (error)
        fprintf(stderr, "queue or pool: %s\n", strerror(-error));
    REQUIRE(!error);
}

struct creation {
    struct peer *peer;
    const struct pool_shape *shape;
};

static int create_pool(void *context)
{
    const struct creation *creation = context;
    struct peer *peer = creation->peer;

    return segment_pool_create(&peer->pool, peer->name, creation->shape, peer->secret);
}

static int create_queue(void *context)
{
    const struct creation *creation = context;

    return mq_create_exclusive(&creation->peer->reply, creation->peer->name, MQ_REPLY_DEPTH);
}

static void create_objects(struct peer *peer, const struct pool_shape *shape)
{
    struct creation creation = {peer, shape};

    peers_await(create_pool, &creation);
    peers_await(create_queue, &creation);
}

void peers_reset(void)
{
    memset(peers, 0, sizeof peers);
    memset(appearances, 0, sizeof appearances);
}

struct peer *peer_at(unsigned place)
{
    return &peers[place];
}

bool peer_appear(struct peer *peer, const struct pool_shape *shape)
{
    unsigned *count = &appearances[place_of(peer)];

    if (peer->there || *count == APPEARANCES_MAX)
        return false;
    *peer = (struct peer){.token = token_of(place_of(peer), *count), .locked = true, .pool_locked = true};
    peer->secret = ~peer->token * 0x9e3779b97f4a7c15u;
    peer->pid = 100000 + (pid_t)place_of(peer);
    names_peer(peer->name, instance_name, peer->token);
    ++*count;
    create_objects(peer, shape);
    peer->death = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(peer->death >= 0);
    peer->there = true;
    return true;
}

void peer_vanish(struct peer *peer, bool leave_names)
{
    if (!peer->there)
        return;
    peer->there = peer->locked = false;
    peer->registration = 0;
    if (!leave_names)
        remove_name(peer->name);
    segment_pool_destroy(&peer->pool);
    mq_close(peer->reply);
    close(peer->death);
}

void peer_die(struct peer *peer)
{
    uint64_t one = 1;

    peer->locked = false;
    REQUIRE(write(peer->death, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

void peers_sweep(void)
{
    char name[NAMES_BYTES];

    for (unsigned place = 0; place < PEERS_MAX; place++) {
        peer_vanish(&peers[place], false);
        for (unsigned i = 0; i < appearances[place]; i++) {
            names_peer(name, instance_name, token_of(place, i));
            remove_name(name);
        }
    }
}

/* ---- memory and messages ---- */

void peer_write(const struct peer *peer, uint64_t offset, const void *bytes, size_t size)
{
    struct stat status;

    REQUIRE(fstat(peer->pool.fd, &status) == 0);
    if (offset >= (uint64_t)status.st_size)
        return;
    if (size > (uint64_t)status.st_size - offset)
        size = (uint64_t)status.st_size - offset;
    REQUIRE(pwrite(peer->pool.fd, bytes, size, (off_t)offset) == (ssize_t)size);
}

void peer_read(const struct peer *peer, uint64_t offset, void *bytes, size_t size)
{
    memset(bytes, 0, size);
    if (offset < peer->pool.bytes)
        REQUIRE(pread(peer->pool.fd, bytes, size, (off_t)offset) >= 0);
}

uint64_t peer_offset(const struct peer *peer, const volatile void *place)
{
    return (uint64_t)((const volatile uint8_t *)place - peer->pool.base);
}

bool peer_receive(const struct peer *peer, union wire_message *message)
{
    int length = mq_receive_message(peer->reply, message);

    if (length < 0)
        return false;
    REQUIRE(wire_decode(message, (size_t)length) == WIRE_DECODED);
    REQUIRE(message->header.token == peer->token);
    return true;
}

/* ---- identity ---- */

static bool is_same_file(const struct stat *asked, int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_dev == asked->st_dev && status.st_ino == asked->st_ino;
}

/* The peer that holds the lock on this queue or pool. */
static const struct peer *holder_of(int fd)
{
    struct stat asked;

    if (fstat(fd, &asked) != 0)
        return NULL;
    for (unsigned place = 0; place < PEERS_MAX; place++) {
        const struct peer *peer = &peers[place];

        if (!peer->there || !peer->locked)
            continue;
        if (is_same_file(&asked, peer->reply) || (peer->pool_locked && is_same_file(&asked, peer->pool.fd)))
            return peer;
    }
    return NULL;
}

enum identity_result __wrap_identity_holder(int fd, pid_t *pid, int *pidfd)
{
    const struct peer *peer = holder_of(fd);

    *pid = 0;
    if (pidfd)
        *pidfd = -1;
    if (!peer)
        return IDENTITY_UNLOCKED;
    if (peer->unseen)
        return IDENTITY_UNSEEN;
    *pid = peer->pid;
    if (pidfd)
        *pidfd = fcntl(peer->death, F_DUPFD_CLOEXEC, 0);
    return pidfd && *pidfd < 0 ? IDENTITY_FAILED : IDENTITY_ALIVE;
}
