/* shard_link.h: the client's connection with one shard of the cache: a command queue, a pair of the pool's
 * rings, and the registration that both are good for.
 *
 *     shard_link_open()    queue found and checked, rings as nobody has used them yet
 *     (HELLO, WELCOME)     `registration` is set by whoever reads the reply queue
 *     shard_link_close()
 *
 * All links of a client share its endpoint: one pool, one reply queue, one life of the cache. Threads: the
 * client's. Errors: 0 or -errno. */
#ifndef LARDER_SHARD_LINK_H
#define LARDER_SHARD_LINK_H

#include "endpoint.h"

struct shard_link {
    mqd_t command;         /* that of shard 0 is the endpoint's */
    uint64_t registration; /* 0: none */
    struct ring requests, completions;
    uint32_t under_way;             /* operations that this shard has not answered */
    uint32_t deferred;              /* requests that wait for room in the ring */
    uint32_t answers, answers_seen; /* completions so far; and at the last look for silence */
    bool unpublished;               /* requests were put since the last flush */
};

/* The cache is reached. -EAGAIN: this shard has no queue that its process holds; -errno. */
int shard_link_open(struct shard_link *link, struct endpoint *endpoint, uint32_t shard);
void shard_link_close(struct shard_link *link, const struct endpoint *endpoint);

/* What was put is the cache's; it is woken if it sleeps. */
void shard_link_publish(struct shard_link *link, const struct endpoint *endpoint);
void shard_link_bell(const struct shard_link *link, const struct endpoint *endpoint);
/* A shard that has not answered anything since the last time is rung, whatever its flag says: if it has
 * forgotten us, it says so. */
void shard_link_check_silence(struct shard_link *link, const struct endpoint *endpoint);
/* The next completion, copied; its slot is given back. */
enum ring_result shard_link_take(struct shard_link *link, struct wire_completion *completion);

#endif
