/* storm_names.h: watches the segment pools of one instance come and go in /dev/shm, by inotify(7).
 *
 * A thread of its own notes when each name appears and vanishes, so that nothing that the caller does delays
 * the time that it takes down. Whose pool it is follows from its lock (F_GETLK), as for the cache. Queues
 * bear the same names as pools; they cannot be listed where /dev/mqueue is not mounted, so every name that
 * was ever seen is tried with mq_open(3).
 *
 * Threads: all functions are for one thread. */
#ifndef STORM_NAMES_H
#define STORM_NAMES_H

#include "storm_histogram.h"
#include "storm_machine.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct names_watch;

/* NULL with errno if /dev/shm cannot be watched. Both outlive it. */
struct names_watch *names_watch_create(const char *instance, struct machine *machine);
void names_watch_destroy(struct names_watch **watch);

/* Call right before the process is killed: the time from now until its pools have vanished is taken if
 * `timed`. Returns how many pools it has. */
unsigned names_watch_killed(struct names_watch *watch, pid_t pid, bool timed);

/* Whose pool is that, or 0. */
pid_t names_watch_holder(const struct names_watch *watch, uint64_t token);

/* Every token that was ever seen. */
typedef void names_visit(void *context, uint64_t token);
void names_watch_each(struct names_watch *watch, names_visit *visit, void *context);

struct reclaims {
    struct histogram times, present; /* present: less what a processor was away (machine_away()) */
    unsigned outstanding;            /* timed, but the end has not been seen */
};

void names_watch_reclaims(struct names_watch *watch, struct reclaims *out);

/* The cache has been killed: what it has not reclaimed will not be by it. */
void names_watch_untimed(struct names_watch *watch);

bool names_pool_exists(const char *instance, uint64_t token);
bool names_queue_exists(const char *instance, uint64_t token);
bool names_command_queue_exists(const char *instance);
/* Removes whatever is left of the instance. Only when none of its processes runs. */
void names_watch_remove_all(struct names_watch *watch);

#endif
