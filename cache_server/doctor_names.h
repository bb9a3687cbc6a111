/* doctor_names.h: which names of Larder exist on this host, who owns them and who holds them.
 *
 * Looks only, and needs neither a queue nor a pool. A process does not see its own record locks, and loses
 * them by looking (identity.h): no endpoint may be alive in this process meanwhile. */
#ifndef LARDER_DOCTOR_NAMES_H
#define LARDER_DOCTOR_NAMES_H

#include "doctor_judge.h"
#include "names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_SHM_DIRECTORY   "/dev/shm"
#define NAMES_QUEUE_DIRECTORY "/dev/mqueue" /* where the file system of queues is usually mounted */

/* One command queue (token 0, no pool), of the instance or of another shard, or one peer's pool and queue. */
struct name_view {
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t token;
    uint32_t shard; /* 0: the first, which is the instance's */
    struct object_view pool, queue;
    enum name_state state;
};

enum queue_listing {
    LISTING_MOUNT,   /* where their file system is mounted */
    LISTING_PRIVATE, /* through a mount of our own, which nobody else sees: root can do that */
    LISTING_NONE,    /* queues of pools that exist, and command queues asked for, are all that is known */
};

struct queue_charge {
    uid_t uid;
    uint64_t bytes; /* against RLIMIT_MSGQUEUE; 0: it may not be asked for */
};

struct survey {
    struct name_view *names;
    size_t count;
    enum queue_listing listing;
    char mount[128];              /* LISTING_MOUNT: where; also when `foreign` */
    bool foreign;                 /* that mount shows the queues of another IPC namespace */
    struct queue_charge *charges; /* one for each queue that is known, of Larder or not */
    size_t charge_count;
};

/* Everything of every instance; the command queue of `instance` is asked for by name. 0 or -ENOMEM. */
int survey_take(struct survey *survey, const char *instance);
void survey_release(struct survey *survey);

/* The command queue of the instance; never NULL after survey_take() with that instance. */
const struct name_view *survey_command(const struct survey *survey, const char *instance);

/* "/larder.INSTANCE", "/larder.INSTANCE.shardN" or "/larder.INSTANCE.TOKEN". */
void survey_name(const struct name_view *view, char out[NAMES_BYTES]);

#endif
