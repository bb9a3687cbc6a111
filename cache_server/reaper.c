#include "reaper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REAPER_STACK ((size_t)256 << 10)

static void do_job(struct reaper *reaper, const struct reaper_job *job)
{
    if (job->base) {
        munmap(job->base, job->bytes);
        atomic_fetch_sub_explicit(&reaper->mapped, 1, memory_order_relaxed);
    }
    if (job->fd >= 0)
        close(job->fd);
    if (job->stranger)
        atomic_fetch_sub_explicit(&reaper->strangers, 1, memory_order_relaxed);
}

static void *run(void *context)
{
    struct reaper *reaper = context;
    uint32_t done = 0;

    for (;;) {
        while (done != atomic_load_explicit(&reaper->put, memory_order_acquire)) {
            do_job(reaper, &reaper->jobs[done % REAPER_ROOM]);
            atomic_store_explicit(&reaper->done, ++done, memory_order_release);
        }
        if (atomic_load_explicit(&reaper->ending, memory_order_acquire))
            return NULL;
        while (sem_wait(&reaper->wake) < 0 && errno == EINTR)
            ;
    }
}

/* The thread takes no signals: they are the loop's. */
static int create_thread(struct reaper *reaper)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    sigfillset(&all);
    int error = pthread_attr_init(&attributes);
    if (error)
        return -error;
    pthread_attr_setstacksize(&attributes, REAPER_STACK);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&reaper->thread, &attributes, run, reaper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

int reaper_start(struct reaper *reaper)
{
    memset(reaper, 0, sizeof(*reaper));
    if (sem_init(&reaper->wake, 0, 0) < 0)
        return -errno;
    int error = create_thread(reaper);
    if (error)
        sem_destroy(&reaper->wake);
    return error;
}

void reaper_stop(struct reaper *reaper)
{
    atomic_store_explicit(&reaper->ending, true, memory_order_release);
    sem_post(&reaper->wake);
    pthread_join(reaper->thread, NULL);
    sem_destroy(&reaper->wake);
}

static uint32_t waiting(const struct reaper *reaper)
{
    return atomic_load_explicit(&reaper->put, memory_order_relaxed) -
           atomic_load_explicit(&reaper->done, memory_order_acquire);
}

static void hand_over(struct reaper *reaper, struct reaper_job job)
{
    uint32_t put = atomic_load_explicit(&reaper->put, memory_order_relaxed);

    if (waiting(reaper) == REAPER_ROOM) {
        do_job(reaper, &job);
        return;
    }
    reaper->jobs[put % REAPER_ROOM] = job;
    atomic_store_explicit(&reaper->put, put + 1, memory_order_release);
    sem_post(&reaper->wake);
}

void reaper_unmap(struct reaper *reaper, void *base, size_t bytes)
{
    atomic_fetch_add_explicit(&reaper->mapped, 1, memory_order_relaxed);
    hand_over(reaper, (struct reaper_job){.base = base, .bytes = bytes, .fd = -1});
}

void reaper_close(struct reaper *reaper, int fd)
{
    hand_over(reaper, (struct reaper_job){.fd = fd});
}

void reaper_close_stranger(struct reaper *reaper, int fd)
{
    atomic_fetch_add_explicit(&reaper->strangers, 1, memory_order_relaxed);
    hand_over(reaper, (struct reaper_job){.fd = fd, .stranger = true});
}

bool reaper_is_behind(const struct reaper *reaper)
{
    return waiting(reaper) >= REAPER_BEHIND;
}

bool reaper_takes_strangers(const struct reaper *reaper)
{
    return atomic_load_explicit(&reaper->strangers, memory_order_relaxed) < REAPER_STRANGERS;
}

uint32_t reaper_mapped(const struct reaper *reaper)
{
    return atomic_load_explicit(&reaper->mapped, memory_order_relaxed);
}
