#include "stats.h"

#include "cache.h"
#include "clock.h"
#include "holds.h"
#include "touch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Positions of a cursor: the cache, operations, then the tenants, then the registry's places. */
#define FIRST_OP     1u
#define FIRST_TENANT (FIRST_OP + WIRE_OP_END)
#define FIRST_PROXY  (FIRST_TENANT + TENANTS_MAX)
#define END          (FIRST_PROXY + REGISTRY_MAX)

static void set_gauge(struct wire_row *row, enum gauge gauge, uint64_t value)
{
    row->values[COUNTER_COUNT + gauge] = value;
}

/* Bytes, from the second number of /proc/self/statm (proc(5)), which counts pages. 0: not to be had. */
static uint64_t resident_bytes(void)
{
    char text[128], *rest;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    strtoull(text, &rest, 10);
    return strtoull(rest, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Counted where the kernel lists them, so that one that leaks shows. 0: not to be had. */
static uint64_t open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (!directory)
        return 0;
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* without the directory's own */
}

static void cache_row(const struct cache *cache, struct wire_row *row)
{
    row->kind = WIRE_ROW_CACHE;
    row->pid = (uint32_t)getpid();
    row->uid = geteuid();
    row->epoch = cache->epoch;
    row->uptime_ms = (uint64_t)(clock_mono_ms() - cache->since_mono_ms);
    memcpy(row->name, cache->conf.instance, sizeof(cache->conf.instance));
    memcpy(row->values, cache->counters.values, sizeof(cache->counters.values));
    set_gauge(row, GAUGE_objects, cache->store.objects);
    set_gauge(row, GAUGE_bytes_used, cache->store.memory.used);
    set_gauge(row, GAUGE_bytes_allowed, cache->store.memory.limit);
    set_gauge(row, GAUGE_proxies, cache->proxies);
    set_gauge(row, GAUGE_pins, cache->store.pins);
    set_gauge(row, GAUGE_leases, cache->leases.count);
    set_gauge(row, GAUGE_stalled, cache->stalled);
    set_gauge(row, GAUGE_bytes_held, cache->store.memory.shares.held);
    set_gauge(row, GAUGE_pools, cache->registry.count + reaper_mapped(&cache->reaper));
    set_gauge(row, GAUGE_descriptors, open_descriptors());
    set_gauge(row, GAUGE_bytes_resident, resident_bytes());
    set_gauge(row, GAUGE_followers, cache->leases.followers);
    set_gauge(row, GAUGE_shards, cache->place.shards);
    set_gauge(row, GAUGE_bytes_reserved, cache->store.memory.shares.reserves);
    set_gauge(row, GAUGE_kept, cache->kept);
}

static void tenant_row(const struct cache *cache, const struct tenant *tenant, struct wire_row *row)
{
    row->kind = WIRE_ROW_TENANT;
    memcpy(row->name, tenant->name, sizeof(tenant->name));
    memcpy(row->values, tenant->counters.values, sizeof(tenant->counters.values));
    set_gauge(row, GAUGE_objects, tenant->objects);
    set_gauge(row, GAUGE_bytes_used, tenant->account.used);
    set_gauge(row, GAUGE_bytes_allowed,
              tenant->account.limit > 0 ? tenant->account.limit : cache->store.memory.limit);
    set_gauge(row, GAUGE_proxies, tenant->proxies);
    set_gauge(row, GAUGE_pins, tenant->pins);
    set_gauge(row, GAUGE_leases, tenant->leases);
    set_gauge(row, GAUGE_stalled, tenant->stalled);
    set_gauge(row, GAUGE_bytes_held, tenant->account.held);
    set_gauge(row, GAUGE_followers, tenant->followers);
    set_gauge(row, GAUGE_bytes_reserved, tenant->settings.reserve);
    set_gauge(row, GAUGE_bytes_limit, tenant->settings.limit);
    set_gauge(row, GAUGE_weight, tenant->settings.weight);
    set_gauge(row, GAUGE_kept, holds_of_tenant(tenant));
}

static void proxy_row(const struct session *session, struct wire_row *row)
{
    row->kind = WIRE_ROW_PROXY;
    row->state = session->state == SESSION_STALLED ? WIRE_STATE_STALLED : WIRE_STATE_ALIVE;
    row->state |= session->drained ? (uint32_t)WIRE_STATE_DRAINED : 0;
    row->pid = (uint32_t)session->pid;
    row->uid = session->owner.uid;
    row->epoch = session->registration;
    row->token = session->token;
    row->uptime_ms = (uint64_t)(clock_mono_ms() - session->since_mono_ms);
    memcpy(row->name, session->tenant->name, sizeof(session->tenant->name));
    memcpy(row->values, session->counters.values, sizeof(session->counters.values));
    set_gauge(row, GAUGE_pins, session->pins.used);
    set_gauge(row, GAUGE_leases, session->leases.used);
    set_gauge(row, GAUGE_bytes_held, session->process->held);
    set_gauge(row, GAUGE_followers, session->follows.used);
    set_gauge(row, GAUGE_kept, holds_of_session(session));
}

static void times_row(const struct cache *cache, uint32_t op, struct wire_row *row)
{
    row->kind = WIRE_ROW_TIMES;
    row->state = op;
    memcpy(row->name, wire_op_name(op), strlen(wire_op_name(op)));
    memcpy(row->values, cache->times.counts[op], sizeof(cache->times.counts[op]));
    row->values[WIRE_TIMES_BUCKETS] = cache->times.sums_ns[op];
}

/* The row at this position; false if there is none for this asker. */
static bool row_at(const struct cache *cache, const struct session *asker, uint32_t position,
                   struct wire_row *row)
{
    memset(row, 0, sizeof(*row));
    if (position < FIRST_OP) {
        cache_row(cache, row);
        if (!cache_is_ruled_by(asker)) /* that it is there, but not what others do with it */
            memset(row->values, 0, sizeof(row->values));
        return true;
    }
    if (position < FIRST_TENANT) {
        times_row(cache, position - FIRST_OP, row);
        return position > FIRST_OP && cache_is_ruled_by(asker); /* there is no operation 0 */
    }
    if (position < FIRST_PROXY) {
        if (position - FIRST_TENANT >= cache->tenants.count)
            return false;
        if (!cache_lets_manage(cache, asker, cache->tenants.list[position - FIRST_TENANT]->name))
            return false;
        tenant_row(cache, cache->tenants.list[position - FIRST_TENANT], row);
        return true;
    }
    const struct session *session = cache->registry.places[position - FIRST_PROXY].session;
    if (!session || session->role != WIRE_ROLE_PROXY ||
        !cache_lets_manage(cache, asker, session->tenant->name))
        return false;
    proxy_row(session, row);
    return true;
}

enum stats_result stats_give(struct cache *cache, struct session *session, uint32_t segment, uint32_t cursor,
                             uint32_t *rows, uint32_t *next_cursor)
{
    struct segment_pool *pool = &session->pool;
    uint32_t room = pool->shape.segment_bytes / (uint32_t)sizeof(struct wire_row);
    struct wire_row row;

    *rows = 0;
    *next_cursor = 0;
    if (cursor == 0)
        holds_collect(cache);
    if (segment >= pool->shape.segments || cursor >= END)
        return STATS_BAD_SEGMENT;
    struct pause_touch touch = touch_begin(session);
    bool won = segment_win_write(pool, segment);
    for (; won && cursor < END && *rows < room; cursor++) {
        if (row_at(cache, session, cursor, &row))
            memcpy(segment_payload(pool, segment) + sizeof(row) * (*rows)++, &row, sizeof(row));
    }
    if (won)
        segment_post_read(pool, segment);
    if (!touch_end(session, &touch))
        return STATS_FAULTED;
    *next_cursor = cursor < END ? cursor : 0;
    return won ? STATS_GIVEN : STATS_BAD_SEGMENT;
}
