#include "cache.h"

#include "claim.h"
#include "clock.h"
#include "follow.h"
#include "holds.h"
#include "invariant.h"
#include "log.h"
#include "pins.h"
#include "purge.h"
#include "shards.h"
#include "shm_guard.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* Registrations that only admin clients get. */
#define ADMIN_PLACES 32u

void cache_count(struct session *session, enum counter counter, uint64_t by)
{
    session->counters.values[counter] += by;
    session->cache->counters.values[counter] += by;
    if (session->tenant)
        session->tenant->counters.values[counter] += by;
}

struct cache_place cache_place_alone(void)
{
    struct cache_place place = {.shards = 1};

    randombytes_buf(&place.epoch, sizeof(place.epoch));
    randombytes_buf(place.shard_key, sizeof(place.shard_key));
    return place;
}

int cache_setup(struct cache *cache, const struct cache_conf *conf, char *problem, size_t problem_size)
{
    const struct cache_place place = cache_place_alone();

    return cache_setup_shard(cache, conf, &place, problem, problem_size);
}

/* The first shard does so for all: it is where proxies register first. */
static int start_sweeper(struct cache *cache)
{
    return cache->place.shard == 0 ? sweeper_start(&cache->sweeper, cache->conf.instance) : 0;
}

static void stop_sweeper(struct cache *cache)
{
    if (cache->place.shard == 0)
        sweeper_stop(&cache->sweeper);
}

int cache_setup_shard(struct cache *cache, const struct cache_conf *conf, const struct cache_place *place,
                      char *problem, size_t problem_size)
{
    int error;

    memset(cache, 0, sizeof(*cache));
    cache->conf = *conf;
    cache->place = *place;
    error = store_setup(&cache->store, cache_conf_shard_memory(conf, place->shard),
                        cache_conf_shard_object(conf), &cache->counters);
    if (error)
        goto err;
    store_watch(&cache->store, (struct store_watch){holds_changed, holds_used, cache});
    cache->store.memory.huge_pages = conf->huge_pages;
    error = tenants_configure(&cache->tenants, &cache->store.memory, conf->settings, conf->tenant_count,
                              problem, problem_size);
    if (error)
        goto err;
    leases_setup(&cache->leases, &cache->store);
    cache->epoch = place->epoch;
    randombytes_buf(&cache->entries.state, sizeof(cache->entries.state));
    randombytes_buf(&cache->lookups.state, sizeof(cache->lookups.state));
    registry_setup(&cache->registry, cache->epoch);
    cache->since_mono_ms = clock_mono_ms();
    cache->now = clock_wall_ms();
    cache->mono_ms = clock_mono_ms();
    spin_setup(&cache->spin, (unsigned)conf->spin, conf->spin > 0 ? spin_room() : 0, clock_mono_ns());
    error = shm_guard_setup();
    if (error)
        goto err;
    error = loop_setup(&cache->loop);
    if (error)
        goto err;
    error = reaper_start(&cache->reaper);
    if (error)
        goto err_loop;
    error = start_sweeper(cache);
    if (error)
        goto err_reaper;
    cache->former.fd = -1;
    error = claim_shard(conf->instance, place->shard, conf->group.name ? &conf->group.gid : NULL,
                        &cache->commands.fd, problem, problem_size);
    if (error)
        goto err_sweeper;
    return 0;

err_sweeper:
    stop_sweeper(cache);
err_reaper:
    reaper_stop(&cache->reaper);
err_loop:
    loop_teardown(&cache->loop);
err:
    if (problem[0] == '\0')
        snprintf(problem, problem_size, "cannot set up: %s", strerror(-error));
    return error;
}

void cache_teardown(struct cache *cache)
{
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (session)
            cache_part(cache, &session, DEPARTURE_SHUTDOWN);
    }
    claim_release_shard(cache->conf.instance, cache->place.shard, cache->commands.fd);
    if (cache->former.fd >= 0)
        mq_close(cache->former.fd);
    stop_sweeper(cache);
    reaper_stop(&cache->reaper);
    pause_close(&cache->pauses);
    loop_teardown(&cache->loop);
    leases_teardown(&cache->leases);
    for (uint32_t i = 0; i < cache->tenants.count; i++)
        purge_forget(cache, cache->tenants.list[i]);
    for (uint32_t i = 0; i < cache->tenants.doomed_count; i++)
        purge_forget(cache, cache->tenants.doomed[i]);
    store_teardown(&cache->store);
    tenants_free(&cache->tenants);
    tops_free(&cache->tops);
    if (cache->place.shard == 0)
        cache_conf_free(&cache->conf);
}

/* ---- who may do what ---- */

bool cache_is_ruled_by(const struct session *asker)
{
    return asker->owner.uid == geteuid() || asker->owner.uid == 0;
}

bool cache_lets_manage(const struct cache *cache, const struct session *asker, const char *tenant)
{
    const struct tenant_conf *conf = cache_conf_tenant(&cache->conf, tenant);

    return cache_is_ruled_by(asker) || (conf && cache_conf_admits(&cache->conf, conf, &asker->owner));
}

/* ---- registrations ---- */

static void on_death(void *context)
{
    struct session *session = context;

    cache_part(session->cache, &session, DEPARTURE_DIED);
}

static int watch(struct cache *cache, struct session *session)
{
    if (session->death.fd < 0) {
        cache->unseen++;
        return 0;
    }
    session->death.ready = on_death;
    session->death.context = session;
    int error = loop_add(&cache->loop, &session->death);
    session->watched = !error;
    return error;
}

/* Proxies leave some places to those who ask what is going on. */
static bool has_place(const struct cache *cache, enum wire_role role)
{
    return role == WIRE_ROLE_ADMIN ? cache->registry.count < REGISTRY_MAX
                                   : cache->registry.count < REGISTRY_MAX - ADMIN_PLACES;
}

/* It counts among its process's already, but not yet among those who only ask. */
static bool is_one_too_many(const struct session *session)
{
    const struct process *process = session->process;

    if (session->role == WIRE_ROLE_ADMIN)
        return process->admins == PROCESS_MAX_ADMINS;
    return process->sessions - process->admins > PROCESS_MAX_SESSIONS;
}

/* What the configuration says of its tenant: who may serve it; a peer's uid is what the kernel says. */
static enum wire_refusal admit_to_tenant(const struct cache *cache, const struct session *session,
                                         const char *name)
{
    const struct tenant_conf *conf = cache_conf_tenant(&cache->conf, name);

    if (!conf || conf->user_count == 0)
        return session->owner.uid == geteuid() ? WIRE_REFUSAL_NONE : WIRE_REFUSAL_USER;
    return cache_conf_admits(&cache->conf, conf, &session->owner) ? WIRE_REFUSAL_NONE : WIRE_REFUSAL_USER;
}

/* Before anything is done for a peer of another user. Root may always ask, if its queue can be opened at all.
 */
static bool admits(void *context, const struct wire_hello *hello, const struct identity_owner *owner)
{
    const struct cache *cache = context;
    const struct cache_conf *conf = &cache->conf;

    if (hello->role == WIRE_ROLE_ADMIN)
        return owner->uid == geteuid() || owner->uid == 0 || cache_conf_admits(conf, NULL, owner);
    const struct tenant_conf *tenant = cache_conf_tenant(conf, hello->tenant);
    return tenant && cache_conf_admits(conf, tenant, owner);
}

/* Its process, tenant and descriptors; the session exists but nobody knows it yet. */
static enum wire_refusal enrol(struct cache *cache, struct session *session, const char *tenant)
{
    session->cache = cache;
    session->ours = cache_is_ruled_by(session);
    session->process = process_join(&cache->processes, session->pid, session->owner.uid);
    if (!session->process)
        return WIRE_REFUSAL_RESOURCES;
    if (is_one_too_many(session))
        return WIRE_REFUSAL_FULL;
    if (session->role == WIRE_ROLE_PROXY) {
        enum wire_refusal refusal = admit_to_tenant(cache, session, tenant);
        if (refusal != WIRE_REFUSAL_NONE)
            return refusal;
        session->tenant = tenants_get(&cache->tenants, tenant);
        if (!session->tenant)
            return errno == ENOMEM ? WIRE_REFUSAL_RESOURCES : WIRE_REFUSAL_TENANT;
        if (tenant_refuses(session->tenant, &cache->counters, session->tenant->proxies,
                           session->tenant->settings.max_proxies, COUNTER_refused_proxies))
            return WIRE_REFUSAL_FULL;
    }
    if (pause_bars(session))
        return WIRE_REFUSAL_BARRED;
    if (watch(cache, session))
        return WIRE_REFUSAL_RESOURCES;
    session->registration = registry_add(&cache->registry, session, session->token);
    session->process->admins += session->role == WIRE_ROLE_ADMIN;
    if (session->tenant) {
        session->tenant->proxies++;
        cache->proxies++;
        cache_count(session, COUNTER_registrations, 1);
    }
    pause_enrol(session);
    return WIRE_REFUSAL_NONE;
}

static bool has_its_rings(const struct cache *cache, const struct wire_hello *hello)
{
    uint32_t pairs = hello->ring_pairs ? hello->ring_pairs : 1;

    return hello->role == WIRE_ROLE_ADMIN || pairs == cache->place.shards;
}

/* A proxy comes and goes in every shard; the first one says so for all. */
static enum log_level told_once(const struct cache *cache)
{
    return cache->place.shard == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

enum wire_refusal cache_admit(struct cache *cache, const struct wire_hello *hello, struct session **out)
{
    struct session *session;

    const struct session_gate gate = {admits, cache};

    if (hello->role > WIRE_ROLE_ADMIN || hello->flags > WIRE_DRAIN_ON)
        return WIRE_REFUSAL_MALFORMED;
    if (!has_its_rings(cache, hello))
        return WIRE_REFUSAL_SHARDS;
    if (registry_find_token(&cache->registry, hello->header.token))
        return WIRE_REFUSAL_DUPLICATE;
    if (!has_place(cache, (enum wire_role)hello->role))
        return WIRE_REFUSAL_FULL;
    if (reaper_is_behind(&cache->reaper))
        return WIRE_REFUSAL_RESOURCES;
    enum wire_refusal refusal =
        session_attach(&session, cache->conf.instance, hello, cache->place.shard, &cache->reaper, &gate);
    if (refusal != WIRE_REFUSAL_NONE)
        return refusal;
    refusal = enrol(cache, session, hello->tenant);
    if (refusal != WIRE_REFUSAL_NONE) {
        if (session->process)
            process_leave(&cache->processes, &session->process);
        session_detach(&session);
        return refusal;
    }
    if (session->tenant)
        log_at(told_once(cache), "proxy registered",
               "proxy=%d tenant=%s segments=%" PRIu32 " segment_bytes=%" PRIu32, (int)session->pid,
               session->tenant->name, hello->segments, hello->segment_bytes);
    *out = session;
    return WIRE_REFUSAL_NONE;
}

void cache_expel(struct cache *cache)
{
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (session && session->tenant && admit_to_tenant(cache, session, session->tenant->name))
            cache_part(cache, &session, DEPARTURE_EXPELLED);
    }
}

static void tell_dropped(const struct session *session)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_REFUSED, session->token);

    message.wire_refused.type = WIRE_BELL;
    message.wire_refused.reason = WIRE_REFUSAL_STALE;
    message.wire_refused.echo = session->registration;
    message.wire_refused.shards = session->cache->place.shards;
    (void)mq_send_message(session->reply, &message, length);
}

static bool lost_its_pool(enum departure why)
{
    return why == DEPARTURE_FAULTED || why == DEPARTURE_OBSTRUCTED;
}

static void note_departure(struct session *session, enum departure why)
{
    static const struct {
        enum counter counter;
        const char *text;
    } kinds[] = {
        [DEPARTURE_BYE] = {COUNTER_departures, "proxy left"},
        [DEPARTURE_DIED] = {COUNTER_proxies_reclaimed, "proxy died; all that it held is taken back"},
        [DEPARTURE_BROKE] = {COUNTER_proxies_dropped, "proxy dropped: it broke the protocol"},
        [DEPARTURE_FAULTED] = {COUNTER_faults_caught, "proxy dropped: its segment pool lost pages"},
        [DEPARTURE_OBSTRUCTED] = {COUNTER_faults_caught,
                                  "proxy dropped: its pool, or another of its process, made the cache wait"},
        [DEPARTURE_STALLED] = {COUNTER_stalled_dropped, "proxy dropped: it was silent for too long"},
        [DEPARTURE_EXPELLED] = {COUNTER_departures,
                                "proxy dropped: its user may not serve this tenant any more"},
    };

    /* Admin clients come and go unremarked. */
    if (why == DEPARTURE_SHUTDOWN || (!session->tenant && !lost_its_pool(why)))
        return;
    cache_count(session, kinds[why].counter, 1);
    if (lost_its_pool(why) && session->tenant)
        cache_count(session, COUNTER_proxies_dropped, 1);
    log_at(why >= DEPARTURE_BROKE ? LOG_LEVEL_WARN : told_once(session->cache), kinds[why].text,
           "proxy=%d tenant=%s pins=%" PRIu32 " leases=%" PRIu32, (int)session->pid,
           session->tenant ? session->tenant->name : "-", session->pins.used, session->leases.used);
}

/* A dead process cannot remove its names. Ours to do where the kernel lets us: they belong to our user. */
static void sweep_names(struct cache *cache, const struct session *session)
{
    char name[NAMES_BYTES];

    names_peer(name, cache->conf.instance, session->token);
    mq_unlink(name);
    int fd = segment_pool_unlink(name); /* it may be of another and larger file by now */
    if (fd >= 0)
        reaper_close(&cache->reaper, session->pid, fd);
}

/* By us: its proxy and the other shards do not know. */
static bool is_put_out(enum departure why)
{
    return why == DEPARTURE_BROKE || lost_its_pool(why) || why == DEPARTURE_STALLED ||
           why == DEPARTURE_EXPELLED;
}

static void tell_shards(const struct session *session)
{
    const struct cache_place *place = &session->cache->place;
    const struct shards_leaver leaver = {session->token, session->obstructs};

    if (place->others)
        shards_tell_dropped(place->others, place->shard, &leaver);
}

void cache_part(struct cache *cache, struct session **pointer, enum departure why)
{
    struct session *session = *pointer;

    *pointer = NULL;
    if (why == DEPARTURE_FAULTED && session->obstructs)
        why = DEPARTURE_OBSTRUCTED;
    note_departure(session, why);
    if (is_put_out(why))
        tell_dropped(session);
    if (session->active)
        cache_deactivate(cache, session);
    pause_part(session);
    if (session->watched)
        loop_remove(&cache->loop, &session->death);
    else
        cache->unseen--;
    if (session->state == SESSION_STALLED)
        cache->stalled--;
    if (session->tenant) {
        session->tenant->proxies--;
        session->tenant->stalled -= session->state == SESSION_STALLED;
        cache->proxies--;
        /* What came last from a pool that lost pages is not what its owner meant. */
        unsigned fills = follow_part(session, lost_its_pool(why) ? FOLLOW_DISCARD : FOLLOW_HAND_ON);
        cache_count(session, COUNTER_fill_aborts, fills);
        pins_drop_all(session);
        holds_part(session);
    }
    if (is_put_out(why) || (session->obstructs && !session->is_known_to_leave && why != DEPARTURE_SHUTDOWN))
        tell_shards(session);
    cache->spoiled -= session->spoiled; /* perhaps just now */
    registry_remove(&cache->registry, session->registration);
    /* Last of what others can see, and before the mapping goes: the reaper then frees the pages, not we. */
    if (why == DEPARTURE_DIED)
        sweep_names(cache, session);
    session->process->admins -= session->role == WIRE_ROLE_ADMIN;
    process_leave(&cache->processes, &session->process);
    session_detach(&session);
}

void cache_stall(struct cache *cache, struct session *session)
{
    session->state = SESSION_STALLED;
    session->stalled_mono_ms = cache->mono_ms;
    session->tenant->stalled++;
    cache->stalled++;
    cache_count(session, COUNTER_stalls, 1);
    log_at(told_once(cache), "proxy stalled", "proxy=%d tenant=%s pins=%" PRIu32 " leases=%" PRIu32,
           (int)session->pid, session->tenant->name, session->pins.used, session->leases.used);
    follow_stalled(session);
}

void cache_thaw(struct cache *cache, struct session *session)
{
    session->state = SESSION_ALIVE;
    session->silent = 0;
    session->tenant->stalled--;
    cache->stalled--;
    cache_count(session, COUNTER_thaws, 1);
    log_at(told_once(cache), "proxy heard again", "proxy=%d tenant=%s silent_ms=%" PRId64, (int)session->pid,
           session->tenant->name, cache->mono_ms - session->stalled_mono_ms);
    follow_thawed(session);
    cache_activate(cache, session);
}

void cache_activate(struct cache *cache, struct session *session)
{
    struct process *process = session->process;
    struct tenant *tenant = session->tenant;

    if (session->active || session->pause.until_ns > 0)
        return;
    session->active = true;
    if (tenant && tenant->active++ == 0)
        DL_APPEND2(cache->busy_tenants, tenant, prev_busy, next_busy);
    if (!process->active)
        DL_APPEND(cache->processes.busy, process);
    process->active_count++;
    DL_APPEND(process->active, session);
}

void cache_deactivate(struct cache *cache, struct session *session)
{
    struct process *process = session->process;
    struct tenant *tenant = session->tenant;

    session->active = false;
    if (tenant && --tenant->active == 0)
        DL_DELETE2(cache->busy_tenants, tenant, prev_busy, next_busy);
    process->active_count--;
    DL_DELETE(process->active, session);
    if (!process->active)
        DL_DELETE(cache->processes.busy, process);
}

void cache_activate_all(struct cache *cache)
{
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (session && session->state == SESSION_ALIVE)
            cache_activate(cache, session);
    }
}
