/* reaper.h: a thread that gives memory and descriptors back to the kernel, because that can take long.
 *
 * The last munmap() of a pool frees its pages (0.1 s and more for a GiB), and the close() of a queue that
 * somebody has put tens of thousands of record locks on walks them all: the cache's loop must not wait for
 * either. So it hands both over here and goes on. The thread touches no pool, allocates nothing and shares
 * only this queue with the loop.
 *
 * Each job is in the name of the process that made it necessary. One for which much is waiting gets no new
 * registration, so that it delays nobody but itself.
 *
 * Ownership: what is handed over belongs to the reaper. Bound: REAPER_ROOM jobs; whoever makes the cache map
 * or open more asks reaper_owes() and reaper_is_behind() first. Jobs that find no room are done by the
 * caller, at once. Threads: one producer (the loop), one consumer (the thread). */
#ifndef LARDER_REAPER_H
#define LARDER_REAPER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REAPER_ROOM      4096u /* power of two */
/* So many waiting, and nobody new is registered. */
#define REAPER_BEHIND    (REAPER_ROOM / 2)
/* So many waiting for a process, and it registers no more: what its registrations leave when all of them go
 * at once, a queue, a pool and the descriptor of the pool each. */
#define REAPER_MOST      192u
#define REAPER_ACCOUNTS  256u
/* So many queues of strangers waiting, and no other is opened: closing them may take long. */
#define REAPER_STRANGERS 16u

struct reaper_job {
    void *base; /* NULL: no memory */
    size_t bytes;
    int fd; /* -1: no descriptor */
    bool stranger;
    uint32_t account;
};

/* Of one process while something waits for it; `jobs` 0: free. What finds no free one goes to the last. */
struct reaper_account {
    pid_t pid; /* the loop's */
    _Atomic uint32_t jobs;
};

struct reaper {
    pthread_t thread;
    sem_t wake; /* private memory: nobody else can write it */
    _Atomic uint32_t put, done;
    _Atomic uint32_t mapped;    /* pools that wait */
    _Atomic uint32_t strangers; /* queues of peers that are not registered */
    _Atomic bool ending;
    struct reaper_account accounts[REAPER_ACCOUNTS];
    struct reaper_job jobs[REAPER_ROOM];
};

/* 0 or -errno. */
int reaper_start(struct reaper *reaper);
/* Returns when everything handed over has been given back. */
void reaper_stop(struct reaper *reaper);

/* `pid`: because of whom; 0: nobody whom we see. */
void reaper_unmap(struct reaper *reaper, pid_t pid, void *base, size_t bytes);
void reaper_close(struct reaper *reaper, pid_t pid, int fd);
/* The queue of a peer that is not registered, opened to answer it. */
void reaper_close_stranger(struct reaper *reaper, int fd);
/* Jobs that wait for this process. */
uint32_t reaper_owes(const struct reaper *reaper, pid_t pid);
/* Is so much waiting that no more should be taken on? */
bool reaper_is_behind(const struct reaper *reaper);
bool reaper_takes_strangers(const struct reaper *reaper);
/* Pools handed over and still mapped. */
uint32_t reaper_mapped(const struct reaper *reaper);

#endif
