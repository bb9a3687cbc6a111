/* ctl_stats.h: the statistics that ctl_stats() has collected, on standard output. */
#ifndef LARDER_CTL_STATS_H
#define LARDER_CTL_STATS_H

#include "counters.h"
#include "ctl_client.h"

void ctl_print_json(const struct ctl_client *client, bool one_line);
void ctl_print_tables(const struct ctl_client *client);
void ctl_print_tenants(const struct ctl_client *client);
void ctl_print_tenants_json(const struct ctl_client *client);
void ctl_print_proxies(const struct ctl_client *client);
void ctl_print_proxies_json(const struct ctl_client *client);

/* Of a proxy: "alive", "draining" or "stalled". */
const char *ctl_state_name(const struct wire_row *row);

/* Seconds that a request in this bucket took at most; not of the last one. */
static inline double ctl_times_limit(uint32_t bucket)
{
    return (double)((uint64_t)WIRE_TIMES_FIRST_NS << bucket) / 1e9;
}

static inline uint64_t ctl_value(const struct wire_row *row, enum counter counter)
{
    return row->values[counter];
}

static inline uint64_t ctl_gauge(const struct wire_row *row, enum gauge gauge)
{
    return row->values[COUNTER_COUNT + gauge];
}

#endif
