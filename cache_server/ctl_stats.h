/* ctl_stats.h: the statistics that ctl_stats() has collected, on standard output. */
#ifndef LARDER_CTL_STATS_H
#define LARDER_CTL_STATS_H

#include "counters.h"
#include "ctl_client.h"

void ctl_print_json(const struct ctl_client *client);
void ctl_print_tables(const struct ctl_client *client);

static inline uint64_t ctl_value(const struct wire_row *row, enum counter counter)
{
    return row->values[counter];
}

static inline uint64_t ctl_gauge(const struct wire_row *row, enum gauge gauge)
{
    return row->values[COUNTER_COUNT + gauge];
}

#endif
