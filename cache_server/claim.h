/* claim.h: becoming the one cache of an instance.
 *
 * The cache of an instance is the process that holds the lock on the queue that bears the instance's name. A
 * queue left by a dead cache is taken over, not replaced, so there is no moment in which two could both
 * succeed. */
#ifndef LARDER_CLAIM_H
#define LARDER_CLAIM_H

#include "mq.h"
#include "names.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The command queue, locked, and open to the group (NULL: to nobody else) for sending. 0; -EBUSY: a living
 * cache serves this instance; other -errno. `problem` says why. */
int claim_instance(const char *instance, const gid_t *group, mqd_t *out, char *problem, size_t problem_size);
/* Does the instance's name still lead to this queue? Somebody may have removed it (systemd's RemoveIPC does).
 */
bool claim_still_named(mqd_t queue);
/* Removes the name, if it is still this queue's, and lets go of the lock, which tells the proxies. */
void claim_release(const char *instance, mqd_t queue);

/* The same for one of its shards; see names.h. Shard 0 is the instance: whoever has claimed that may claim
 * the others. */
int claim_shard(const char *instance, uint32_t shard, const gid_t *group, mqd_t *out, char *problem,
                size_t problem_size);
void claim_release_shard(const char *instance, uint32_t shard, mqd_t queue);
/* Queues of shards from this number on that a dead cache with more of them has left. */
void claim_sweep_shards(const char *instance, uint32_t first);

#endif
