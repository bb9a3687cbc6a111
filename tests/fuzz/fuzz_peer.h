/* fuzz_peer.h: peers of a cache that lives in the same process.
 *
 * Their pools and queues are real. Only the kernel's answer to "who holds this lock?" cannot be: a process
 * does not see its own record locks. So identity_holder() is replaced (link with WRAP identity_holder), and
 * each peer says whether its lock is held, by which pid, and when it dies.
 *
 * A peer writes to its pool with pwrite(2), not through a mapping: it may have truncated it. */
#ifndef LARDER_FUZZ_PEER_H
#define LARDER_FUZZ_PEER_H

#include "fuzz.h"
#include "identity.h"
#include "mq.h"
#include "names.h"
#include "segment_pool.h"
#include "wire.h"

#include <sys/types.h>

#define PEERS_MAX      8u
#define PEER_REMEMBERS 4u

struct peer {
    bool there; /* pool and queue exist */
    char name[NAMES_BYTES];
    uint64_t token, secret;
    uint64_t registration; /* 0: none */
    struct segment_pool pool;
    mqd_t reply;
    int death;           /* eventfd: what the cache watches instead of a pidfd */
    bool locked, unseen; /* its queue */
    bool pool_locked;    /* by the same process */
    pid_t pid;
    uint32_t tail, head;                                      /* of its rings, as it means them */
    uint64_t handles[PEER_REMEMBERS], leases[PEER_REMEMBERS]; /* latest first */
    uint64_t filled;                                          /* bytes of the fill at hand */
};

/* Once, before anything else: names of this process are removed by a child of its own, however it ends. */
void peers_initialize(const char *instance);
const char *peers_instance(void);

/* Repeats what creates queues or pools while the host has no room for them; any other error ends the target.
 */
void peers_await(int (*attempt)(void *context), void *context);

/* The same tokens and secrets for every input. */
void peers_reset(void);
struct peer *peer_at(unsigned place); /* place < PEERS_MAX */

/* False: it is there already, or has appeared too often. */
bool peer_appear(struct peer *peer, const struct pool_shape *shape);
/* Closes all; the names go too unless `leave_names`, and then at peers_sweep(). */
void peer_vanish(struct peer *peer, bool leave_names);
/* Its process is gone, as far as the cache can see. */
void peer_die(struct peer *peer);
/* Vanishes all and removes every name that was ever used. */
void peers_sweep(void);

/* What does not fit into the pool, as long as it is now, is cut off. */
void peer_write(const struct peer *peer, uint64_t offset, const void *bytes, size_t size);
/* What is not there reads as 0. */
void peer_read(const struct peer *peer, uint64_t offset, void *bytes, size_t size);
uint64_t peer_offset(const struct peer *peer, const volatile void *place); /* of something in its mapping */

/* The next message from its reply queue, if there is one. */
bool peer_receive(const struct peer *peer, union wire_message *message);

enum identity_result __real_identity_holder(int fd, pid_t *pid, int *pidfd);
enum identity_result __wrap_identity_holder(int fd, pid_t *pid, int *pidfd);

#endif
