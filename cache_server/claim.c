#include "claim.h"

#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAIM_TRIES       10
#define CLAIM_SHARED_MODE 0620 /* the group sends, and reads nothing */

static int queue_in_the_way(const char *name, int error, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size,
             "cannot use the existing queue %s: %s; cache_ctl doctor says whose it is and what to type", name,
             strerror(-error));
    return error;
}

static bool has_our_shape(mqd_t queue)
{
    struct mq_attr attributes;

    return mq_getattr(queue, &attributes) == 0 && attributes.mq_maxmsg == MQ_COMMAND_DEPTH &&
           attributes.mq_msgsize == MQ_MESSAGE_BYTES;
}

bool claim_still_named(mqd_t queue)
{
    struct stat status;

    return fstat(queue, &status) == 0 && status.st_nlink > 0;
}

/* Members of a group that may send can also lock, which would keep every cache away; /proc tells their user,
 * which is neither ours nor root. */
static bool is_held_by_stranger(mqd_t queue)
{
    char path[64], line[256];
    unsigned uid = geteuid();
    pid_t pid = 0;
    FILE *file;

    if (identity_holder(queue, &pid, NULL) == IDENTITY_NAMELESS)
        return true; /* no cache locks so */
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = pid > 0 ? fopen(path, "re") : NULL;
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "Uid:", 4) == 0)
            uid = (unsigned)strtoul(line + 4, NULL, 10);
    }
    if (file)
        fclose(file);
    return uid != geteuid() && uid != 0;
}

static int served_already(mqd_t queue, const char *instance, char *problem, size_t problem_size)
{
    pid_t pid = 0;

    identity_holder(queue, &pid, NULL);
    snprintf(
        problem, problem_size,
        "instance %s is served already by the cache with pid %d; stop that one, or choose another --instance",
        instance, (int)pid);
    mq_close(queue);
    return -EBUSY;
}

/* Ours, with the mode of either kind of cache. */
static bool is_ours(mqd_t queue)
{
    struct stat status;

    return fstat(queue, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
           ((status.st_mode & 07777) == 0600 || (status.st_mode & 07777) == CLAIM_SHARED_MODE);
}

static int open_to(mqd_t queue, const gid_t *group)
{
    struct stat status;

    if (group)
        return identity_share(queue, *group, CLAIM_SHARED_MODE);
    if (fstat(queue, &status) == 0 && (status.st_mode & 07777) == 0600)
        return 0; /* as nearly always; the sandbox permits nothing else then */
    return fchmod(queue, 0600) == 0 ? 0 : -errno;
}

static int cannot_share(const char *name, gid_t group, int error, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size, "cannot open the command queue %s to group %u: %s%s", name,
             (unsigned)group, strerror(-error),
             error == -EPERM ? "; the cache's user has to be a member of it" : "");
    return error;
}

/* One attempt; -EAGAIN: the name changed under us, try again. Whoever holds the lock on the inode that bears
 * the name is the cache. A queue left by a dead cache is taken over, not replaced, so there is no moment
 * without the name. */
static int attempt(const char *instance, uint32_t shard, const gid_t *group, mqd_t *out, char *problem,
                   size_t problem_size)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_shard_queue(name, instance, shard);
    int error = mq_create_exclusive(&queue, name, MQ_COMMAND_DEPTH);
    if (error && error != -EEXIST) {
        mq_explain(error, name, problem, problem_size);
        return error;
    }
    if (error) {
        error = mq_open_existing(&queue, name, O_RDWR);
        if (error)
            return error == -ENOENT ? -EAGAIN : queue_in_the_way(name, error, problem, problem_size);
    }
    if (identity_lock(queue) && is_ours(queue) && is_held_by_stranger(queue)) {
        mq_unlink(name);
        mq_close(queue);
        return -EAGAIN;
    }
    if (identity_lock(queue))
        return served_already(queue, instance, problem, problem_size);
    if (!is_ours(queue)) {
        mq_close(queue);
        return queue_in_the_way(name, -EPERM, problem, problem_size);
    }
    error = open_to(queue, group);
    if (error) {
        mq_unlink(name);
        mq_close(queue);
        return cannot_share(name, group ? *group : 0, error, problem, problem_size);
    }
    if (!has_our_shape(queue) && claim_still_named(queue))
        mq_unlink(name);             /* another release's; we hold its lock, so its cache is dead */
    if (!claim_still_named(queue)) { /* unlinked between our opening and our locking it */
        mq_close(queue);
        return -EAGAIN;
    }
    *out = queue;
    return 0;
}

int claim_shard(const char *instance, uint32_t shard, const gid_t *group, mqd_t *out, char *problem,
                size_t problem_size)
{
    int error = -EAGAIN;

    for (int i = 0; i < CLAIM_TRIES && error == -EAGAIN; i++)
        error = attempt(instance, shard, group, out, problem, problem_size);
    if (error == -EAGAIN)
        snprintf(problem, problem_size,
                 "the command queue of instance %s keeps changing; are several caches starting?", instance);
    return error;
}

int claim_instance(const char *instance, const gid_t *group, mqd_t *out, char *problem, size_t problem_size)
{
    return claim_shard(instance, 0, group, out, problem, problem_size);
}

void claim_release_shard(const char *instance, uint32_t shard, mqd_t queue)
{
    char name[NAMES_BYTES];

    names_shard_queue(name, instance, shard);
    if (claim_still_named(queue)) /* otherwise the name may be another cache's by now */
        mq_unlink(name);
    mq_close(queue);
}

void claim_release(const char *instance, mqd_t queue)
{
    claim_release_shard(instance, 0, queue);
}

void claim_sweep_shards(const char *instance, uint32_t first)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    for (uint32_t shard = first; shard < NAMES_SHARDS_MAX; shard++) {
        names_shard_queue(name, instance, shard);
        if (mq_open_existing(&queue, name, O_RDWR))
            continue;
        if (is_ours(queue) && identity_lock(queue) == 0)
            mq_unlink(name);
        mq_close(queue);
    }
}
