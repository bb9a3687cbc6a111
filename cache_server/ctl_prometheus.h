/* ctl_prometheus.h: statistics in the text format of Prometheus, version 0.0.4.
 *
 * Every number of counters.def appears, under a name that is made from its own (larder_NAME_total,
 * larder_NAME) or that the table in ctl_prometheus.c gives it: each tenant's   {tenant="..."}; what tenants
 * have is not there a second time for the whole cache each proxy's    larder_proxy_...,
 * {tenant="...",pid="...",proxy="..."} (its registration) the cache's     without labels, where tenants have
 * no such number Names once published stay. */
#ifndef LARDER_CTL_PROMETHEUS_H
#define LARDER_CTL_PROMETHEUS_H

#include "ctl_client.h"

#include <stdio.h>

void ctl_print_prometheus(FILE *out, const struct ctl_client *client);
/* What a scrape is told that finds no cache. */
void ctl_print_prometheus_down(FILE *out);

#endif
