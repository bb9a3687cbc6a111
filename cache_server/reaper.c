#include "reaper.h"

#include "thread.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STRANGERS ((pid_t)-1) /* whose account */

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
    atomic_fetch_sub_explicit(&reaper->accounts[job->account].jobs, 1, memory_order_relaxed);
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

int reaper_start(struct reaper *reaper)
{
    memset(reaper, 0, sizeof(*reaper));
    if (sem_init(&reaper->wake, 0, 0) < 0)
        return -errno;
    int error = thread_start(&reaper->thread, run, reaper);
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

static uint32_t jobs_of(const struct reaper *reaper, uint32_t account)
{
    return atomic_load_explicit(&reaper->accounts[account].jobs, memory_order_relaxed);
}

/* The thread only counts down, so one that is free stays so until we take it. */
static uint32_t account_of(struct reaper *reaper, pid_t pid)
{
    uint32_t chosen = REAPER_ACCOUNTS - 1;

    for (uint32_t i = 0; i < REAPER_ACCOUNTS - 1; i++) {
        if (jobs_of(reaper, i) == 0)
            chosen = i;
        else if (reaper->accounts[i].pid == pid)
            return i;
    }
    reaper->accounts[chosen].pid = pid;
    return chosen;
}

uint32_t reaper_owes(const struct reaper *reaper, pid_t pid)
{
    for (uint32_t i = 0; i < REAPER_ACCOUNTS - 1; i++) {
        uint32_t jobs = jobs_of(reaper, i);
        if (jobs > 0 && reaper->accounts[i].pid == pid)
            return jobs;
    }
    return 0;
}

static void hand_over(struct reaper *reaper, pid_t pid, struct reaper_job job)
{
    uint32_t put = atomic_load_explicit(&reaper->put, memory_order_relaxed);

    job.account = account_of(reaper, pid);
    atomic_fetch_add_explicit(&reaper->accounts[job.account].jobs, 1, memory_order_relaxed);
    if (waiting(reaper) == REAPER_ROOM) {
        do_job(reaper, &job);
        return;
    }
    reaper->jobs[put % REAPER_ROOM] = job;
    atomic_store_explicit(&reaper->put, put + 1, memory_order_release);
    sem_post(&reaper->wake);
}

void reaper_unmap(struct reaper *reaper, pid_t pid, void *base, size_t bytes)
{
    atomic_fetch_add_explicit(&reaper->mapped, 1, memory_order_relaxed);
    hand_over(reaper, pid, (struct reaper_job){.base = base, .bytes = bytes, .fd = -1});
}

void reaper_close(struct reaper *reaper, pid_t pid, int fd)
{
    hand_over(reaper, pid, (struct reaper_job){.fd = fd});
}

void reaper_close_stranger(struct reaper *reaper, int fd)
{
    atomic_fetch_add_explicit(&reaper->strangers, 1, memory_order_relaxed);
    hand_over(reaper, STRANGERS, (struct reaper_job){.fd = fd, .stranger = true});
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
