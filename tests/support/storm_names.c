#include "storm_names.h"

#include "names.h"
#include "storm_problems.h"
#include "storm_process.h"
#include "storm_time.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#define DIRECTORY "/dev/shm"

struct seen {
    uint64_t token;
    bool exists, timed;
    pid_t pid; /* 0: not asked yet, or nobody holds it */
    int64_t killed;
    struct seen *prev, *next; /* of those that exist */
    UT_hash_handle hh;
};

struct names_watch {
    const char *instance;
    struct machine *machine;
    int inotify, bell;
    pthread_t thread;
    pthread_mutex_t mutex; /* for all below */
    struct seen *all, *existing;
    struct reclaims reclaims; /* without the outstanding */
};

/* ---- the watching thread ---- */

static struct seen *find_or_add(struct names_watch *watch, uint64_t token)
{
    struct seen *seen;

    HASH_FIND(hh, watch->all, &token, sizeof(token), seen);
    if (seen)
        return seen;
    seen = calloc(1, sizeof(*seen));
    if (!seen)
        abort();
    seen->token = token;
    HASH_ADD(hh, watch->all, token, sizeof(seen->token), seen);
    return seen;
}

static void appeared(struct names_watch *watch, struct seen *seen)
{
    if (seen->exists)
        return;
    seen->exists = true;
    DL_APPEND(watch->existing, seen);
}

static void vanished(struct names_watch *watch, struct seen *seen, int64_t now)
{
    if (!seen->exists)
        return;
    seen->exists = false;
    DL_DELETE(watch->existing, seen);
    if (seen->timed) {
        histogram_add(&watch->reclaims.times, now - seen->killed);
        histogram_add(&watch->reclaims.present,
                      now - seen->killed - machine_away(watch->machine, seen->killed, now));
    }
    seen->timed = false;
}

static void take_event(struct names_watch *watch, const struct inotify_event *event, int64_t now)
{
    uint64_t token;

    if (event->mask & IN_Q_OVERFLOW)
        problem_note("inotify lost events: see /proc/sys/fs/inotify/max_queued_events");
    if (event->len == 0 || !names_peer_parse(event->name, watch->instance, &token))
        return;
    struct seen *seen = find_or_add(watch, token);
    if (event->mask & IN_DELETE)
        vanished(watch, seen, now);
    else
        appeared(watch, seen);
}

static void take_events(struct names_watch *watch)
{
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t got = read(watch->inotify, buffer, sizeof(buffer));
    int64_t now = storm_now();

    if (got <= 0)
        return;
    pthread_mutex_lock(&watch->mutex);
    for (char *at = buffer; at < buffer + got;) {
        const struct inotify_event *event = (const struct inotify_event *)(void *)at;

        take_event(watch, event, now);
        at += sizeof(*event) + event->len;
    }
    pthread_mutex_unlock(&watch->mutex);
}

static void *run(void *argument)
{
    struct names_watch *watch = argument;
    struct pollfd fds[] = {{.fd = watch->inotify, .events = POLLIN}, {.fd = watch->bell, .events = POLLIN}};

    process_put_first(0); /* its own waiting for a processor is no part of a reclaim */
    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents)
            take_events(watch);
        if (fds[1].revents)
            return NULL;
    }
}

/* ---- set-up ---- */

struct names_watch *names_watch_create(const char *instance, struct machine *machine)
{
    struct names_watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        abort();
    watch->instance = instance;
    watch->machine = machine;
    pthread_mutex_init(&watch->mutex, NULL);
    watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    watch->bell = eventfd(0, EFD_CLOEXEC);
    if (watch->inotify < 0 || watch->bell < 0 ||
        inotify_add_watch(watch->inotify, DIRECTORY, IN_CREATE | IN_DELETE) < 0 ||
        (errno = pthread_create(&watch->thread, NULL, run, watch)) != 0) {
        int error = errno;
        if (watch->inotify >= 0)
            close(watch->inotify);
        if (watch->bell >= 0)
            close(watch->bell);
        free(watch);
        errno = error;
        return NULL;
    }
    return watch;
}

void names_watch_destroy(struct names_watch **watch)
{
    struct seen *seen, *next;
    uint64_t one = 1;

    if (write((*watch)->bell, &one, sizeof(one)) < 0)
        abort();
    pthread_join((*watch)->thread, NULL);
    HASH_ITER(hh, (*watch)->all, seen, next)
    {
        HASH_DEL((*watch)->all, seen);
        free(seen);
    }
    close((*watch)->inotify);
    close((*watch)->bell);
    pthread_mutex_destroy(&(*watch)->mutex);
    free(*watch);
    *watch = NULL;
}

/* ---- the other thread ---- */

pid_t names_watch_holder(const struct names_watch *watch, uint64_t token)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char name[NAMES_BYTES];
    pid_t pid = 0;
    int fd;

    names_peer(name, watch->instance, token);
    fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        pid = lock.l_pid;
    close(fd);
    return pid;
}

unsigned names_watch_killed(struct names_watch *watch, pid_t pid, bool timed)
{
    unsigned count = 0;

    pthread_mutex_lock(&watch->mutex);
    for (struct seen *seen = watch->existing; seen; seen = seen->next) {
        if (seen->pid == 0)
            seen->pid = names_watch_holder(watch, seen->token);
        if (seen->pid != pid)
            continue;
        count++;
        seen->timed = timed;
        seen->killed = storm_now();
    }
    pthread_mutex_unlock(&watch->mutex);
    return count;
}

void names_watch_untimed(struct names_watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    for (struct seen *seen = watch->existing; seen; seen = seen->next)
        seen->timed = false;
    pthread_mutex_unlock(&watch->mutex);
}

void names_watch_each(struct names_watch *watch, names_visit *visit, void *context)
{
    pthread_mutex_lock(&watch->mutex);
    for (struct seen *seen = watch->all; seen; seen = seen->hh.next)
        visit(context, seen->token);
    pthread_mutex_unlock(&watch->mutex);
}

void names_watch_reclaims(struct names_watch *watch, struct reclaims *out)
{
    pthread_mutex_lock(&watch->mutex);
    *out = watch->reclaims;
    for (const struct seen *seen = watch->existing; seen; seen = seen->next)
        out->outstanding += seen->timed;
    pthread_mutex_unlock(&watch->mutex);
}

/* Asked of the kernel: the watching thread may not have heard yet. */
bool names_pool_exists(const char *instance, uint64_t token)
{
    char name[NAMES_BYTES];
    int fd;

    names_peer(name, instance, token);
    fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno != ENOENT;
    close(fd);
    return true;
}

static bool queue_exists(const char *name)
{
    mqd_t queue = mq_open(name, O_WRONLY | O_CLOEXEC);

    if (queue == (mqd_t)-1)
        return errno != ENOENT;
    mq_close(queue);
    return true;
}

bool names_queue_exists(const char *instance, uint64_t token)
{
    char name[NAMES_BYTES];

    names_peer(name, instance, token);
    return queue_exists(name);
}

bool names_command_queue_exists(const char *instance)
{
    char name[NAMES_BYTES];

    names_command_queue(name, instance);
    return queue_exists(name);
}

void names_watch_remove_all(struct names_watch *watch)
{
    char name[NAMES_BYTES];

    pthread_mutex_lock(&watch->mutex);
    for (struct seen *seen = watch->all; seen; seen = seen->hh.next) {
        names_peer(name, watch->instance, seen->token);
        shm_unlink(name);
        mq_unlink(name);
    }
    pthread_mutex_unlock(&watch->mutex);
    names_command_queue(name, watch->instance);
    mq_unlink(name);
}
