#include "mq.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int mq_create_exclusive(mqd_t *out, const char *name, long depth)
{
    struct mq_attr attributes = {.mq_maxmsg = depth, .mq_msgsize = MQ_MESSAGE_BYTES};
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600, &attributes);

    if (queue == (mqd_t)-1)
        return -errno;
    *out = queue;
    return 0;
}

int mq_open_existing(mqd_t *out, const char *name, int flags)
{
    mqd_t queue = mq_open(name, flags | O_NONBLOCK | O_CLOEXEC);

    if (queue == (mqd_t)-1)
        return -errno;
    *out = queue;
    return 0;
}

static unsigned highest_priority(void)
{
    return (unsigned)sysconf(_SC_MQ_PRIO_MAX) - 1; /* a constant of the C library: no system call */
}

int mq_send_message(mqd_t queue, const void *message, size_t length)
{
    return mq_send(queue, message, length, highest_priority()) == 0 ? 0 : -errno;
}

static struct timespec in_ms(int ms)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at); /* mq_timedsend(3) counts by it */
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

int mq_send_patiently(mqd_t queue, const void *message, size_t length, int patience_ms)
{
    const struct mq_attr blocking = {.mq_flags = 0}, nonblocking = {.mq_flags = O_NONBLOCK};
    struct timespec until = in_ms(patience_ms);

    if (mq_setattr(queue, &blocking, NULL) < 0)
        return -errno;
    int error = mq_timedsend(queue, message, length, highest_priority(), &until) == 0 ? 0 : -errno;
    mq_setattr(queue, &nonblocking, NULL);
    return error;
}

int mq_receive_message(mqd_t queue, void *buffer)
{
    ssize_t length = mq_receive(queue, buffer, MQ_MESSAGE_BYTES, NULL);

    return length < 0 ? -errno : (int)length;
}

void mq_explain(int error, const char *name, char *out, size_t out_size)
{
    struct rlimit limit = {0};

    switch (-error) {
    case EMFILE:
        getrlimit(RLIMIT_MSGQUEUE, &limit);
        snprintf(
            out, out_size,
            "cannot create message queue %s: this user's queues would exceed RLIMIT_MSGQUEUE (%llu bytes) or "
            "this process is out of descriptors; remove stale queues, or raise `ulimit -q` (LimitMSGQUEUE= "
            "in systemd) or `ulimit -n`",
            name, (unsigned long long)limit.rlim_cur);
        return;
    case ENOSPC:
        snprintf(out, out_size,
                 "cannot create message queue %s: the host has as many queues as sysctl fs.mqueue.queues_max "
                 "allows; remove stale ones or raise it",
                 name);
        return;
    case EINVAL:
        snprintf(out, out_size,
                 "cannot create message queue %s: sysctl fs.mqueue.msg_max must be at least %d and "
                 "fs.mqueue.msgsize_max at least %d",
                 name, MQ_COMMAND_DEPTH, MQ_MESSAGE_BYTES);
        return;
    case ENOSYS:
        snprintf(out, out_size,
                 "cannot create message queue %s: the kernel is built without CONFIG_POSIX_MQUEUE", name);
        return;
    default:
        snprintf(out, out_size, "cannot create message queue %s: %s", name, strerror(-error));
    }
}
