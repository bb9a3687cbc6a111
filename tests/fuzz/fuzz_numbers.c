#include "fuzz_numbers.h"

#include "fuzz.h"
#include "holding.h"

#include <utlist.h>

struct sums {
    uint64_t pins, leases, objects, used, held, proxies, sessions, stalled, followers;
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
        sums.held += tenant->account.held;
        sums.proxies += tenant->proxies;
        sums.stalled += tenant->stalled;
        sums.followers += tenant->followers;
        REQUIRE(tenant->account.held <= cache->store.max_held_tenant + 2 * BODY_CHUNK);
    }
    return sums;
}

static uint64_t leases_of(const struct session *session)
{
    uint64_t held = 0;

    for (uint32_t i = 0; i < session->leases.capacity; i++)
        held += session->leases.places[i].item ? lease_charge(session->leases.places[i].item) : 0;
    return held;
}

/* What processes hold; `held` is that of leases alone. */
static struct sums over_processes(const struct cache *cache)
{
    const struct process *process;
    const struct holding *holding;
    struct sums sums = {0};
    uint64_t weights = 0;

    DL_FOREACH2(cache->processes.all, process, next_of_all)
    {
        sums.held += process->held;
        for (holding = process->holdings; holding; holding = holding->hh.next) {
            sums.pins += holding->pins;
            sums.leases += holding->fills;
            weights += holding->weight;
        }
    }
    REQUIRE(weights <= sums.held);
    sums.held -= weights;
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
        sums.followers += session->follows.used;
        sums.held += leases_of(session);
    }
    return sums;
}

void check_numbers(const struct cache *cache)
{
    struct sums tenants = over_tenants(cache), sessions = over_sessions(cache);
    struct sums processes = over_processes(cache);
    const struct store *store = &cache->store;

    REQUIRE(sessions.sessions == cache->registry.count);
    REQUIRE(sessions.proxies == cache->proxies && tenants.proxies == cache->proxies);
    REQUIRE(sessions.stalled == cache->stalled && tenants.stalled == cache->stalled);
    REQUIRE(sessions.leases + cache->leases.orphans == cache->leases.count);
    REQUIRE(tenants.leases == cache->leases.count);
    REQUIRE(sessions.followers == cache->leases.followers && tenants.followers == cache->leases.followers);
    REQUIRE(sessions.held == processes.held && sessions.pins == processes.pins);
    REQUIRE(processes.leases <= sessions.leases);
    REQUIRE(sessions.pins == store->pins && tenants.pins == store->pins);
    REQUIRE(tenants.objects == store->objects);
    REQUIRE(tenants.held == store->memory.shares.held);
    REQUIRE(tenants.used + store->index.used == store->memory.used + store->objects * STORE_INDEX_SHARE);
    REQUIRE(store->memory.used <= store->memory.limit);
}
