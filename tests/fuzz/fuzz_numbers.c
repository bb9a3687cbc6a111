#include "fuzz_numbers.h"

#include "fuzz.h"

struct sums {
    uint64_t pins, leases, objects, used, held, proxies, sessions, stalled;
};

static struct sums over_tenants(const struct cache *cache)
{
    struct sums sums = {0};

    for (uint32_t i = 0; i < cache->tenants.count + cache->tenants.doomed_count; i++) {
        const struct tenant *tenant = i < cache->tenants.count
                                          ? cache->tenants.list[i]
                                          : cache->tenants.doomed[i - cache->tenants.count];
        sums.pins += tenant->pins;
        sums.leases += tenant->leases;
        sums.objects += tenant->objects;
        sums.used += tenant->account.used;
        sums.held += tenant->held;
        sums.proxies += tenant->proxies;
        sums.stalled += tenant->stalled;
        REQUIRE(tenant->held <= cache->store.max_held);
    }
    return sums;
}

static struct sums over_sessions(const struct cache *cache)
{
    struct sums sums = {0};

    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        const struct session *session = cache->registry.places[i].session;

        if (!session)
            continue;
        sums.sessions++;
        sums.pins += session->pins.used;
        sums.leases += session->leases.used;
        sums.proxies += session->role == WIRE_ROLE_PROXY;
        sums.stalled += session->state == SESSION_STALLED;
    }
    return sums;
}

void check_numbers(const struct cache *cache)
{
    struct sums tenants = over_tenants(cache), sessions = over_sessions(cache);
    const struct store *store = &cache->store;

    REQUIRE(sessions.sessions == cache->registry.count);
    REQUIRE(sessions.proxies == cache->proxies && tenants.proxies == cache->proxies);
    REQUIRE(sessions.stalled == cache->stalled && tenants.stalled == cache->stalled);
    REQUIRE(sessions.leases == cache->leases.count && tenants.leases == cache->leases.count);
    REQUIRE(sessions.pins == store->pins && tenants.pins == store->pins);
    REQUIRE(tenants.objects == store->objects);
    REQUIRE(tenants.held == store->held);
    REQUIRE(tenants.used + store->index.used == store->memory.used);
    REQUIRE(store->memory.used <= store->memory.limit);
}
