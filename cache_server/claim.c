#include "claim.h"

#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLAIM_TRIES 10

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

/* One attempt; -EAGAIN: the name changed under us, try again. Whoever holds the lock on the inode that bears
 * the name is the cache. A queue left by a dead cache is taken over, not replaced, so there is no moment
 * without the name. */
static int attempt(const char *instance, mqd_t *out, char *problem, size_t problem_size)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, instance);
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
    if (identity_lock(queue))
        return served_already(queue, instance, problem, problem_size);
    if (!identity_is_private(queue, geteuid())) {
        mq_close(queue);
        return queue_in_the_way(name, -EPERM, problem, problem_size);
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

int claim_instance(const char *instance, mqd_t *out, char *problem, size_t problem_size)
{
    int error = -EAGAIN;

    for (int i = 0; i < CLAIM_TRIES && error == -EAGAIN; i++)
        error = attempt(instance, out, problem, problem_size);
    if (error == -EAGAIN)
        snprintf(problem, problem_size,
                 "the command queue of instance %s keeps changing; are several caches starting?", instance);
    return error;
}

void claim_release(const char *instance, mqd_t queue)
{
    char name[NAMES_BYTES];

    names_command_queue(name, instance);
    if (claim_still_named(queue)) /* otherwise the name may be another cache's by now */
        mq_unlink(name);
    mq_close(queue);
}
