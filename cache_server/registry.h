/* registry.h: which registrations are alive.
 *
 * A registration number is (low half of the cache's epoch) << 32 | generation, and the generation's low bits
 * are its place, so that finding one is an array access and every earlier number of that place is recognised
 * as old. Ownership: sessions are somebody else's. Bound: REGISTRY_MAX. Knows no queue and no ring. */
#ifndef LARDER_REGISTRY_H
#define LARDER_REGISTRY_H

#include <stdint.h>

#define REGISTRY_BITS 10
#define REGISTRY_MAX  (1u << REGISTRY_BITS)

struct session;

struct registry_place {
    struct session *session; /* NULL: free */
    uint64_t token;
    uint32_t generation;
};

struct registry {
    struct registry_place places[REGISTRY_MAX];
    uint32_t epoch_low;
    uint32_t count;
    uint32_t next; /* where the search for a free place begins */
};

void registry_setup(struct registry *registry, uint64_t epoch);
/* The registration number, or 0 when full. */
uint64_t registry_add(struct registry *registry, struct session *session, uint64_t token);
void registry_remove(struct registry *registry, uint64_t registration);
struct session *registry_find(const struct registry *registry, uint64_t registration);
struct session *registry_find_token(const struct registry *registry, uint64_t token);

#endif
