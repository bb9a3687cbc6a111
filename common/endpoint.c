#include "endpoint.h"

#include "clock.h"
#include "identity.h"
#include "log.h"
#include "size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHM_DIRECTORY "/dev/shm"

/* A process never sees its own record locks as held, and closing a second descriptor would drop them. So a
 * sweep must know the objects of its own process by name. Clients may live in several threads. */
static struct {
    pthread_mutex_t mutex;
    struct endpoint *first;
} own = {PTHREAD_MUTEX_INITIALIZER, NULL};

static void own_add(struct endpoint *endpoint)
{
    pthread_mutex_lock(&own.mutex);
    endpoint->next_own = own.first;
    own.first = endpoint;
    pthread_mutex_unlock(&own.mutex);
}

static void own_remove(struct endpoint *endpoint)
{
    pthread_mutex_lock(&own.mutex);
    for (struct endpoint **at = &own.first; *at; at = &(*at)->next_own) {
        if (*at == endpoint) {
            *at = endpoint->next_own;
            break;
        }
    }
    pthread_mutex_unlock(&own.mutex);
}

/* With the mutex held. */
static bool own_has(const char *name)
{
    for (const struct endpoint *at = own.first; at; at = at->next_own) {
        if (strcmp(at->name, name) == 0)
            return true;
    }
    return false;
}

static uint64_t random_nonzero(void)
{
    uint64_t value;

    do
        randombytes_buf(&value, sizeof(value));
    while (value == 0);
    return value;
}

static void explain_pool(struct endpoint *endpoint, int error, const struct pool_shape *shape)
{
    char size[SIZE_TEXT_BYTES];
    uint64_t bytes = 0;

    pool_shape_valid(shape, &bytes);
    if (error == -ENOSPC || error == -ENOMEM)
        snprintf(endpoint->problem, sizeof(endpoint->problem),
                 "cannot create segment pool %s: %s has no room for %s; ask for fewer or smaller segments, "
                 "or enlarge "
                 "it (mount -o remount,size=..., docker --shm-size)",
                 endpoint->name, SHM_DIRECTORY, size_human(bytes, size));
    else
        snprintf(endpoint->problem, sizeof(endpoint->problem), "cannot create segment pool %s of %s: %s",
                 endpoint->name, size_human(bytes, size), strerror(-error));
}

static int create_pool(struct endpoint *endpoint, const struct pool_shape *shape)
{
    int error = segment_pool_create(&endpoint->pool, endpoint->name, shape, endpoint->secret);

    if (error)
        explain_pool(endpoint, error, shape);
    return error;
}

static int create_queue(struct endpoint *endpoint)
{
    int error = mq_create_exclusive(&endpoint->reply, endpoint->name, MQ_REPLY_DEPTH);

    if (error) {
        mq_explain(error, endpoint->name, endpoint->problem, sizeof(endpoint->problem));
        return error;
    }
    error = identity_lock(endpoint->reply);
    if (error) {
        snprintf(endpoint->problem, sizeof(endpoint->problem), "cannot lock message queue %s: %s",
                 endpoint->name, strerror(-error));
        mq_unlink(endpoint->name);
        mq_close(endpoint->reply);
    }
    return error;
}

int endpoint_create(struct endpoint *endpoint, const char *instance, const struct pool_shape *shape)
{
    int error;

    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->instance = instance;
    endpoint->command = (mqd_t)-1;
    endpoint->cache_pidfd = -1;
    if (sodium_init() < 0) {
        snprintf(endpoint->problem, sizeof(endpoint->problem), "no source of random numbers");
        return -EIO;
    }
    endpoint->token = random_nonzero();
    endpoint->secret = random_nonzero();
    names_peer(endpoint->name, instance, endpoint->token);
    own_add(endpoint);
    /* The pool comes first and goes last: whoever finds no pool of this name finds no queue either. */
    error = create_pool(endpoint, shape);
    if (error)
        goto err_forget;
    error = create_queue(endpoint);
    endpoint->lacks_queue = error != 0;
    if (error)
        goto err_pool;
    return 0;

err_pool:
    shm_unlink(endpoint->name);
    segment_pool_destroy(&endpoint->pool);
err_forget:
    own_remove(endpoint);
    return error;
}

int endpoint_share(struct endpoint *endpoint, const struct endpoint_sharing *sharing)
{
    int error = 0;

    endpoint->trusts_cache_of = sharing->has_cache_user;
    endpoint->cache_user = sharing->cache_user;
    if (!sharing->shared)
        return 0;
    error = identity_share(endpoint->pool.fd, sharing->group, 0660);
    if (!error)
        error = identity_share(endpoint->reply, sharing->group, 0660);
    if (error)
        snprintf(endpoint->problem, sizeof(endpoint->problem), "cannot open %s to group %u: %s%s",
                 endpoint->name, (unsigned)sharing->group, strerror(-error),
                 error == -EPERM ? "; this user has to be a member of it" : "");
    return error;
}

void endpoint_unreach(struct endpoint *endpoint)
{
    if (endpoint->command != (mqd_t)-1)
        mq_close(endpoint->command);
    if (endpoint->cache_pidfd >= 0)
        close(endpoint->cache_pidfd);
    endpoint->command = (mqd_t)-1;
    endpoint->cache_pidfd = -1;
    endpoint->cache_pid = 0;
}

void endpoint_retire(struct endpoint *endpoint)
{
    endpoint_unreach(endpoint);
    mq_unlink(endpoint->name);
    mq_close(endpoint->reply);
    shm_unlink(endpoint->name);
    own_remove(endpoint);
}

void endpoint_destroy(struct endpoint *endpoint)
{
    endpoint_retire(endpoint);
    segment_pool_destroy(&endpoint->pool);
}

static enum endpoint_reach give_up(struct endpoint *endpoint, enum endpoint_reach result)
{
    endpoint_unreach(endpoint);
    return result;
}

/* Root and we ourselves may read what we ask for and answer with what they like, and whom we were told to
 * trust. */
static bool trusted_owner(const struct endpoint *endpoint, int fd, uid_t *owner)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return false;
    *owner = status.st_uid;
    return status.st_uid == 0 || status.st_uid == geteuid() ||
           (endpoint->trusts_cache_of && status.st_uid == endpoint->cache_user);
}

enum endpoint_reach endpoint_reach(struct endpoint *endpoint)
{
    char name[NAMES_BYTES];
    uid_t owner = 0;

    names_command_queue(name, endpoint->instance);
    int error = mq_open_existing(&endpoint->command, name, O_WRONLY);
    if (error) {
        endpoint->command = (mqd_t)-1;
        if (error == -ENOENT)
            snprintf(endpoint->problem, sizeof(endpoint->problem),
                     "no cache serves instance %s (there is no queue %s); start cache_server --instance %s",
                     endpoint->instance, name, endpoint->instance);
        else
            snprintf(endpoint->problem, sizeof(endpoint->problem), "cannot open the cache's queue %s: %s%s",
                     name, strerror(-error),
                     error == -EACCES ? "; run as the cache's user, or in its group" : "");
        return error == -ENOENT ? ENDPOINT_NO_CACHE : ENDPOINT_REACH_FAILED;
    }
    if (!trusted_owner(endpoint, endpoint->command, &owner)) {
        snprintf(endpoint->problem, sizeof(endpoint->problem),
                 "queue %s belongs to uid %u; only a cache of this user, of root or of --cache-user is "
                 "trusted; run as "
                 "that user (sudo -u '#%u' ...)",
                 name, (unsigned)owner, (unsigned)owner);
        return give_up(endpoint, ENDPOINT_UNTRUSTED);
    }
    switch (identity_holder(endpoint->command, &endpoint->cache_pid, &endpoint->cache_pidfd)) {
    case IDENTITY_ALIVE:
    case IDENTITY_UNSEEN:
        endpoint->problem[0] = '\0';
        return ENDPOINT_REACHED;
    case IDENTITY_UNLOCKED:
        snprintf(endpoint->problem, sizeof(endpoint->problem),
                 "the cache of instance %s is dead (nobody holds queue %s); start cache_server --instance %s",
                 endpoint->instance, name, endpoint->instance);
        return give_up(endpoint, ENDPOINT_NO_CACHE);
    case IDENTITY_NAMELESS:
        snprintf(
            endpoint->problem, sizeof(endpoint->problem),
            "queue %s is locked by no process that has a number (an open file description); no cache does so",
            name);
        return give_up(endpoint, ENDPOINT_UNTRUSTED);
    case IDENTITY_FAILED:
        break;
    }
    snprintf(endpoint->problem, sizeof(endpoint->problem), "cannot watch the cache of instance %s: %s",
             endpoint->instance, strerror(errno));
    return give_up(endpoint, ENDPOINT_REACH_FAILED);
}

bool endpoint_cache_lives(struct endpoint *endpoint)
{
    pid_t pid;
    enum identity_result result;

    if (endpoint->command == (mqd_t)-1)
        return false;
    result = identity_holder(endpoint->command, &pid, NULL);
    return result == IDENTITY_ALIVE || result == IDENTITY_UNSEEN;
}

static bool is_held_by_the_cache(const struct endpoint *endpoint, mqd_t queue)
{
    enum identity_result result;
    uid_t owner;
    pid_t pid;

    if (!trusted_owner(endpoint, queue, &owner))
        return false;
    result = identity_holder(queue, &pid, NULL);
    return (result == IDENTITY_ALIVE || result == IDENTITY_UNSEEN) && pid == endpoint->cache_pid;
}

int endpoint_reach_shard(const struct endpoint *endpoint, uint32_t shard, mqd_t *queue)
{
    char name[NAMES_BYTES];

    names_shard_queue(name, endpoint->instance, shard);
    int error = mq_open_existing(queue, name, O_WRONLY);
    if (!error && !is_held_by_the_cache(endpoint, *queue)) {
        mq_close(*queue);
        error = -EAGAIN;
    }
    if (error)
        *queue = (mqd_t)-1;
    return error == -ENOENT ? -EAGAIN : error;
}

int endpoint_hello_to(const struct endpoint *endpoint, mqd_t queue, enum wire_role role, const char *tenant,
                      int patience_ms)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_HELLO, endpoint->token);
    struct wire_hello *hello = &message.wire_hello;

    hello->secret = endpoint->secret;
    hello->role = role;
    hello->flags = endpoint->drained ? WIRE_DRAIN_ON : 0;
    hello->segments = endpoint->pool.shape.segments;
    hello->segment_bytes = endpoint->pool.shape.segment_bytes;
    hello->ring_entries = endpoint->pool.shape.ring_entries;
    hello->ring_pairs = endpoint->pool.shape.ring_pairs;
    snprintf(hello->tenant, sizeof(hello->tenant), "%s", tenant);
    int error = mq_send_message(queue, &message, length);
    if (error == -EAGAIN && patience_ms > 0)
        error = mq_send_patiently(queue, &message, length, patience_ms);
    return error;
}

int endpoint_hello(struct endpoint *endpoint, enum wire_role role, const char *tenant, int patience_ms)
{
    return endpoint_hello_to(endpoint, endpoint->command, role, tenant, patience_ms);
}

int endpoint_bye_to(const struct endpoint *endpoint, mqd_t queue, uint64_t registration)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BYE, endpoint->token);

    message.wire_bye.registration = registration;
    message.wire_bye.secret = endpoint->secret;
    return mq_send_message(queue, &message, length);
}

int endpoint_bye(struct endpoint *endpoint, uint64_t registration)
{
    return endpoint_bye_to(endpoint, endpoint->command, registration);
}

static bool unlocked(int fd)
{
    pid_t pid;

    return identity_holder(fd, &pid, NULL) == IDENTITY_UNLOCKED;
}

/* One name, so that a file full of locks, which take long to walk when it is closed, is not opened again for
 * each of its links. */
static bool is_old_file_of_ours(const struct stat *status)
{
    return S_ISREG(status->st_mode) && status->st_nlink == 1 && status->st_uid == geteuid() &&
           time(NULL) - status->st_ctime >= ENDPOINT_SWEEP_AGE_S;
}

static bool pool_is_dead(const char *name)
{
    char path[sizeof(SHM_DIRECTORY) + NAMES_BYTES];
    struct stat status = {0};

    snprintf(path, sizeof(path), SHM_DIRECTORY "%s", name);
    if (lstat(path, &status) != 0 || !is_old_file_of_ours(&status))
        return false;
    int fd = shm_open(name, O_RDONLY | O_NONBLOCK, 0);

    if (fd < 0)
        return false;
    bool dead = fstat(fd, &status) == 0 && is_old_file_of_ours(&status) && unlocked(fd);
    close(fd);
    return dead;
}

static bool queue_is_dead(const char *name)
{
    mqd_t queue;

    if (mq_open_existing(&queue, name, O_RDONLY))
        return true; /* nothing there, or nothing of ours */
    bool dead = unlocked(queue);
    mq_close(queue);
    return dead;
}

static bool sweep_name(const char *name)
{
    if (own_has(name) || !pool_is_dead(name) || !queue_is_dead(name))
        return false;
    mq_unlink(name);
    shm_unlink(name);
    log_info("swept the names of a dead proxy", "name=%s", name);
    return true;
}

/* Queues go first and pools come first, so a queue without a pool has lost its owner or its pool's name. */
static bool lone_queue_is_dead(const char *name)
{
    struct stat status;
    mqd_t queue;
    int pool = shm_open(name, O_RDONLY | O_NONBLOCK, 0);

    if (pool >= 0)
        close(pool);
    if (pool >= 0 || errno != ENOENT || mq_open_existing(&queue, name, O_RDONLY))
        return false;
    bool dead = fstat(queue, &status) == 0 && status.st_uid == geteuid() &&
                time(NULL) - status.st_ctime >= ENDPOINT_SWEEP_AGE_S && unlocked(queue);
    mq_close(queue);
    return dead;
}

bool endpoint_sweep_peer(const char *name)
{
    pthread_mutex_lock(&own.mutex);
    bool swept = sweep_name(name);
    if (!swept && !own_has(name) && lone_queue_is_dead(name))
        swept = mq_unlink(name) == 0;
    pthread_mutex_unlock(&own.mutex);
    return swept;
}

int endpoint_sweep_step(void **place, int64_t for_ns, const char *instance,
                        bool (*is_known)(void *context, uint64_t token), void *context)
{
    int64_t start = clock_mono_ns();
    struct dirent *entry = NULL;
    int swept = 0;

    if (!*place)
        *place = opendir(SHM_DIRECTORY);
    if (!*place)
        return 0;
    pthread_mutex_lock(&own.mutex);
    do {
        char name[NAMES_BYTES];
        uint64_t token;

        entry = readdir(*place);
        if (!entry)
            break;
        if (!names_peer_parse(entry->d_name, instance, &token) || (is_known && is_known(context, token)))
            continue;
        names_peer(name, instance, token);
        swept += sweep_name(name);
    } while (clock_mono_ns() - start < for_ns);
    pthread_mutex_unlock(&own.mutex);
    if (!entry)
        endpoint_sweep_end(place);
    return swept;
}

void endpoint_sweep_end(void **place)
{
    if (*place)
        closedir(*place);
    *place = NULL;
}

int endpoint_sweep(const char *instance, bool (*is_known)(void *context, uint64_t token), void *context)
{
    void *place = NULL;
    int swept = endpoint_sweep_step(&place, INT64_MAX, instance, is_known, context);

    endpoint_sweep_end(&place);
    return swept;
}
