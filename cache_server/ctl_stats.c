#include "ctl_stats.h"

#include "size.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

/* ---- JSON ---- */

static const char *state_name(uint32_t state)
{
    uint32_t life = state & WIRE_STATE_LIFE;

    return life == WIRE_STATE_ALIVE ? "alive" : life == WIRE_STATE_STALLED ? "stalled" : "unknown";
}

const char *ctl_state_name(const struct wire_row *row)
{
    bool draining = row->state == (WIRE_STATE_ALIVE | WIRE_STATE_DRAINED);

    return draining ? "draining" : state_name(row->state);
}

static void json_number(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void json_values(json_t *object, const struct wire_row *row, unsigned scope)
{
    for (unsigned i = 0; i < COUNTER_COUNT + GAUGE_COUNT; i++) {
        if (counter_infos[i].scopes & scope)
            json_number(object, counter_infos[i].name, row->values[i]);
    }
}

/* As text: a JSON reader may keep numbers in 53 bits. */
static void json_id(json_t *object, const char *name, uint64_t value)
{
    char text[17];

    snprintf(text, sizeof(text), "%016" PRIx64, value);
    json_object_set_new(object, name, json_string(text));
}

static json_t *json_cache(const struct wire_row *row)
{
    json_t *object = json_object();

    json_object_set_new(object, "instance", json_string(row->name));
    json_number(object, "pid", row->pid);
    json_number(object, "uid", row->uid);
    json_id(object, "epoch", row->epoch);
    json_number(object, "protocol", WIRE_VERSION);
    json_object_set_new(object, "uptime_seconds", json_real((double)row->uptime_ms / 1000));
    json_values(object, row, COUNTER_SCOPE_CACHE);
    return object;
}

static json_t *json_tenant(const struct wire_row *row)
{
    json_t *object = json_object();

    json_object_set_new(object, "name", json_string(row->name));
    json_values(object, row, COUNTER_SCOPE_TENANT);
    return object;
}

static json_t *json_proxy(const struct wire_row *row)
{
    json_t *object = json_object();

    json_number(object, "pid", row->pid);
    json_number(object, "uid", row->uid);
    json_object_set_new(object, "tenant", json_string(row->name));
    json_object_set_new(object, "state", json_string(state_name(row->state)));
    json_object_set_new(object, "draining", json_boolean(row->state & WIRE_STATE_DRAINED));
    json_id(object, "registration", row->epoch);
    json_object_set_new(object, "uptime_seconds", json_real((double)row->uptime_ms / 1000));
    json_values(object, row, COUNTER_SCOPE_PROXY);
    return object;
}

/* Of samples: how many took at most so many seconds, and more than the one before; null is no limit. */
static json_t *json_times(const struct wire_row *row)
{
    json_t *object = json_object(), *buckets = json_array();
    uint64_t count = 0;

    for (uint32_t i = 0; i < WIRE_TIMES_BUCKETS; i++) {
        json_t *bucket = json_object();
        json_object_set_new(bucket, "le",
                            i + 1 < WIRE_TIMES_BUCKETS ? json_real(ctl_times_limit(i)) : json_null());
        json_number(bucket, "count", row->values[i]);
        json_array_append_new(buckets, bucket);
        count += row->values[i];
    }
    json_object_set_new(object, "request", json_string(row->name));
    json_number(object, "sampled", count);
    json_object_set_new(object, "seconds", json_real((double)row->values[WIRE_TIMES_BUCKETS] / 1e9));
    json_object_set_new(object, "buckets", buckets);
    return object;
}

static json_t *json_rows(const struct ctl_client *client, uint32_t kind,
                         json_t *(*make)(const struct wire_row *))
{
    json_t *array = json_array();

    for (size_t i = 0; i < client->row_count; i++) {
        if (client->rows[i].kind == kind)
            json_array_append_new(array, make(&client->rows[i]));
    }
    return array;
}

/* On one line when it is one of many. */
static void print_json(json_t *root, bool one_line)
{
    json_dumpf(root, stdout, (one_line ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

void ctl_print_json(const struct ctl_client *client, bool one_line)
{
    json_t *root = json_object(), *caches = json_rows(client, WIRE_ROW_CACHE, json_cache);

    if (json_array_size(caches) > 0)
        json_object_set(root, "cache", json_array_get(caches, 0));
    json_decref(caches);
    json_object_set_new(root, "tenants", json_rows(client, WIRE_ROW_TENANT, json_tenant));
    json_object_set_new(root, "proxies", json_rows(client, WIRE_ROW_PROXY, json_proxy));
    json_object_set_new(root, "times", json_rows(client, WIRE_ROW_TIMES, json_times));
    print_json(root, one_line);
}

void ctl_print_tenants_json(const struct ctl_client *client)
{
    print_json(json_rows(client, WIRE_ROW_TENANT, json_tenant), false);
}

void ctl_print_proxies_json(const struct ctl_client *client)
{
    print_json(json_rows(client, WIRE_ROW_PROXY, json_proxy), false);
}

/* ---- tables ---- */

static double hit_percent(const struct wire_row *row)
{
    uint64_t hits = ctl_value(row, COUNTER_hits);
    uint64_t all = hits + ctl_value(row, COUNTER_stale) + ctl_value(row, COUNTER_misses);

    return all ? 100.0 * (double)hits / (double)all : 0;
}

static void print_cache(const struct wire_row *row)
{
    char used[SIZE_TEXT_BYTES], allowed[SIZE_TEXT_BYTES], served[SIZE_TEXT_BYTES], filled[SIZE_TEXT_BYTES];
    char resident[SIZE_TEXT_BYTES];

    printf("instance %s   pid %" PRIu32 "   up %" PRIu64 " s   epoch %016" PRIx64 "\n", row->name, row->pid,
           row->uptime_ms / 1000, row->epoch);
    printf("  memory   %s of %s in %" PRIu64 " objects\n", size_human(ctl_gauge(row, GAUGE_bytes_used), used),
           size_human(ctl_gauge(row, GAUGE_bytes_allowed), allowed), ctl_gauge(row, GAUGE_objects));
    printf("  lookups  %" PRIu64 " hits, %" PRIu64 " stale, %" PRIu64 " misses (%.1f %% hits)\n",
           ctl_value(row, COUNTER_hits), ctl_value(row, COUNTER_stale), ctl_value(row, COUNTER_misses),
           hit_percent(row));
    printf("  bytes    %s served, %s filled\n", size_human(ctl_value(row, COUNTER_bytes_served), served),
           size_human(ctl_value(row, COUNTER_bytes_filled), filled));
    printf("  objects  %" PRIu64 " fills, %" PRIu64 " aborted, %" PRIu64 " evicted, %" PRIu64 " expired\n",
           ctl_value(row, COUNTER_fills), ctl_value(row, COUNTER_fill_aborts),
           ctl_value(row, COUNTER_evictions), ctl_value(row, COUNTER_expired));
    printf("  proxies  %" PRIu64 " live, %" PRIu64 " registrations, %" PRIu64 " reclaimed, %" PRIu64
           " dropped, %" PRIu64 " faults caught\n",
           ctl_gauge(row, GAUGE_proxies), ctl_value(row, COUNTER_registrations),
           ctl_value(row, COUNTER_proxies_reclaimed), ctl_value(row, COUNTER_proxies_dropped),
           ctl_value(row, COUNTER_faults_caught));
    printf("  silence  %" PRIu64 " stalled, %" PRIu64 " stalls, %" PRIu64 " thaws, %" PRIu64
           " dropped after a stall, %" PRIu64 " leases promoted\n",
           ctl_gauge(row, GAUGE_stalled), ctl_value(row, COUNTER_stalls), ctl_value(row, COUNTER_thaws),
           ctl_value(row, COUNTER_stalled_dropped), ctl_value(row, COUNTER_promoted));
    printf("  process  %s resident, %" PRIu64 " descriptors, %" PRIu64 " pools mapped, %" PRIu64 " shard%s\n",
           size_human(ctl_gauge(row, GAUGE_bytes_resident), resident), ctl_gauge(row, GAUGE_descriptors),
           ctl_gauge(row, GAUGE_pools), ctl_gauge(row, GAUGE_shards),
           ctl_gauge(row, GAUGE_shards) == 1 ? "" : "s");
}

static void print_tenant(const struct wire_row *row)
{
    char used[SIZE_TEXT_BYTES], allowed[SIZE_TEXT_BYTES], served[SIZE_TEXT_BYTES];

    printf("%-16s %7" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %6.1f %9" PRIu64 " %9" PRIu64
           " %10s %10s %10s\n",
           row->name, ctl_gauge(row, GAUGE_proxies), ctl_value(row, COUNTER_hits),
           ctl_value(row, COUNTER_misses), ctl_value(row, COUNTER_fills), hit_percent(row),
           ctl_value(row, COUNTER_evictions), ctl_gauge(row, GAUGE_objects),
           size_human(ctl_gauge(row, GAUGE_bytes_used), used),
           size_human(ctl_gauge(row, GAUGE_bytes_allowed), allowed),
           size_human(ctl_value(row, COUNTER_bytes_served), served));
}

static void print_proxy(const struct wire_row *row)
{
    char served[SIZE_TEXT_BYTES];

    printf("%-8" PRIu32 " %6" PRIu32 " %-16s %-8s %8" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64
           " %6" PRIu64 " %10s\n",
           row->pid, row->uid, row->name, ctl_state_name(row), row->uptime_ms / 1000,
           ctl_value(row, COUNTER_hits), ctl_value(row, COUNTER_misses), ctl_value(row, COUNTER_fills),
           ctl_gauge(row, GAUGE_pins), size_human(ctl_value(row, COUNTER_bytes_served), served));
}

static void print_kind(const struct ctl_client *client, uint32_t kind, const char *heading,
                       void (*print)(const struct wire_row *))
{
    puts(heading);
    for (size_t i = 0; i < client->row_count; i++) {
        if (client->rows[i].kind == kind)
            print(&client->rows[i]);
    }
}

/* With what `cache_ctl drain` takes. */
static void print_proxy_by_name(const struct wire_row *row)
{
    printf("%016" PRIx64 " %-8" PRIu32 " %6" PRIu32 " %-16s %-8s %8" PRIu64 " %10" PRIu64 " %10" PRIu64
           " %6" PRIu64 " %6" PRIu64 "\n",
           row->epoch, row->pid, row->uid, row->name, ctl_state_name(row), row->uptime_ms / 1000,
           ctl_value(row, COUNTER_hits), ctl_value(row, COUNTER_misses), ctl_gauge(row, GAUGE_pins),
           ctl_gauge(row, GAUGE_leases));
}

/* What it may have and what it does with it. */
static void print_tenant_share(const struct wire_row *row)
{
    char used[SIZE_TEXT_BYTES], reserve[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES];

    printf("%-16s %7" PRIu64 " %6.1f %9" PRIu64 " %10s %10s %10s %6" PRIu64 " %9" PRIu64 " %10" PRIu64
           " %8" PRIu64 "\n",
           row->name, ctl_gauge(row, GAUGE_proxies), hit_percent(row), ctl_gauge(row, GAUGE_objects),
           size_human(ctl_gauge(row, GAUGE_bytes_used), used),
           size_human(ctl_gauge(row, GAUGE_bytes_reserved), reserve),
           ctl_gauge(row, GAUGE_bytes_limit) ? size_human(ctl_gauge(row, GAUGE_bytes_limit), limit) : "none",
           ctl_gauge(row, GAUGE_weight), ctl_value(row, COUNTER_evictions),
           ctl_value(row, COUNTER_evicted_for_others), ctl_value(row, COUNTER_purged));
}

#define TENANT_HEADING                                                                                       \
    "tenant           proxies       hits     misses      fills  hit %   evicted   objects       used    "    \
    "allowed     served"

void ctl_print_tenants(const struct ctl_client *client)
{
    print_kind(client, WIRE_ROW_TENANT,
               "tenant           proxies  hit %   objects       used    reserve      limit weight   evicted "
               "for others   purged",
               print_tenant_share);
}

void ctl_print_proxies(const struct ctl_client *client)
{
    print_kind(client, WIRE_ROW_PROXY,
               "registration     pid         uid tenant           state         up s       hits     misses   "
               "pins leases",
               print_proxy_by_name);
}

void ctl_print_tables(const struct ctl_client *client)
{
    for (size_t i = 0; i < client->row_count; i++) {
        if (client->rows[i].kind == WIRE_ROW_CACHE)
            print_cache(&client->rows[i]);
    }
    print_kind(client, WIRE_ROW_TENANT, "\n" TENANT_HEADING, print_tenant);
    print_kind(client, WIRE_ROW_PROXY,
               "\nproxy       uid tenant           state         up s       hits     misses      fills   "
               "pins     served",
               print_proxy);
}
