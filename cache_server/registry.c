#include "registry.h"

#include "invariant.h"

#include <string.h>

void registry_setup(struct registry *registry, uint64_t epoch)
{
    memset(registry, 0, sizeof(*registry));
    registry->epoch_low = (uint32_t)epoch;
}

static uint64_t number_of(const struct registry *registry, uint32_t place)
{
    return (uint64_t)registry->epoch_low << 32 | registry->places[place].generation << REGISTRY_BITS | place;
}

uint64_t registry_add(struct registry *registry, struct session *session, uint64_t token)
{
    if (registry->count == REGISTRY_MAX)
        return 0;
    while (registry->places[registry->next].session)
        registry->next = (registry->next + 1) % REGISTRY_MAX;

    struct registry_place *place = &registry->places[registry->next];
    place->session = session;
    place->token = token;
    place->generation++;
    registry->count++;
    return number_of(registry, registry->next);
}

struct session *registry_find(const struct registry *registry, uint64_t registration)
{
    uint32_t place = (uint32_t)registration % REGISTRY_MAX;

    return number_of(registry, place) == registration ? registry->places[place].session : NULL;
}

void registry_remove(struct registry *registry, uint64_t registration)
{
    struct registry_place *place = &registry->places[(uint32_t)registration % REGISTRY_MAX];

    INVARIANT(registry_find(registry, registration));
    place->session = NULL;
    place->token = 0;
    registry->count--;
}

struct session *registry_find_token(const struct registry *registry, uint64_t token)
{
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        if (registry->places[i].session && registry->places[i].token == token)
            return registry->places[i].session;
    }
    return NULL;
}
