/* sweeper.h: a thread that removes the names of proxies that died while no cache was there to see it.
 *
 * Any process of our user can leave files of any size and with any number of locks under such names. Opening,
 * closing and removing them takes the kernel as long as it takes, and so is not for the cache's loop, nor for
 * the reaper, for which registrations wait.
 *
 * Closing a descriptor drops the locks of the whole process on that file (identity.h). The cache holds one
 * lock, on its command queue, whose name is no peer's.
 *
 * Threads: sweeper_go() is the loop's; the list of known peers is the thread's while `busy`. */
#ifndef LARDER_SWEEPER_H
#define LARDER_SWEEPER_H

#include "names.h"
#include "registry.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

struct sweeper {
    pthread_t thread;
    sem_t wake;
    _Atomic bool ending;
    _Atomic bool busy;
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t known[REGISTRY_MAX]; /* tokens that need no look */
    uint32_t known_count;
};

/* 0 or -errno. */
int sweeper_start(struct sweeper *sweeper, const char *instance);
void sweeper_stop(struct sweeper *sweeper);
/* Begins a sweep, unless one is still going on. */
void sweeper_go(struct sweeper *sweeper, const struct registry *registry);

#endif
