/* doctor_internal.h: what the checks of doctor_*.c share. Each looks at one thing and adds its findings. */
#ifndef LARDER_DOCTOR_INTERNAL_H
#define LARDER_DOCTOR_INTERNAL_H

#include "doctor.h"
#include "doctor_names.h"
#include "doctor_report.h"
#include "wire.h"

struct doctor {
    const struct doctor_options *options;
    const char *instance;
    char queue_name[NAMES_BYTES]; /* of the cache */
    struct report report;
    struct survey survey;
    const struct name_view *command; /* in the survey */
    pid_t cache_pid;                 /* 0: no cache, or not of this pid namespace */
    uid_t user;                      /* the cache's; ours where there is none */
    struct wire_row *rows;           /* statistics; none when the cache was not asked */
    size_t row_count;
};

static inline bool doctor_cache_lives(const struct doctor *doctor)
{
    return doctor->command->state == NAME_ALIVE;
}

/* doctor_cache.c: is it there, and who is it */
void check_presence(struct doctor *doctor);
void check_permissions(struct doctor *doctor);
void check_answer(struct doctor *doctor);
void check_descriptors(struct doctor *doctor);
void check_registrations(struct doctor *doctor);

/* doctor_namespace.c: do cache and proxies see the same queues, shared memory and processes */
void check_namespaces(struct doctor *doctor);
void check_shm_mount(struct doctor *doctor);
void check_hidden_processes(struct doctor *doctor);
void check_halves(struct doctor *doctor);

/* doctor_host.c: limits and configuration */
void check_queue_sizes(struct doctor *doctor);
void check_queue_count(struct doctor *doctor);
void check_queue_bytes(struct doctor *doctor);
void check_queue_listing(struct doctor *doctor);
void check_shm(struct doctor *doctor);
void check_remove_ipc(struct doctor *doctor);

/* doctor_leftovers.c: names */
void doctor_sweep(struct doctor *doctor);
/* Its lock is taken first, as a starting cache does (claim.h), so that it cannot be one that a cache has
 * begun to use. A cache that starts in this very moment takes us for a running one, and says so. */
bool doctor_remove_command_queue(const char *instance, uint32_t shard);
void check_living(struct doctor *doctor);
void check_stale(struct doctor *doctor);

#endif
