/* cache_conf.h: what the command line of cache_server says. */
#ifndef LARDER_CACHE_CONF_H
#define LARDER_CACHE_CONF_H

#include "names.h"
#include "tenant.h"

#include <stdbool.h>
#include <stdint.h>

#define CACHE_DEFAULT_MEMORY         ((uint64_t)512 << 20)
#define CACHE_MIN_MEMORY             ((uint64_t)4 << 20)
/* Without --max-object, one object may take this part of the memory. */
#define CACHE_OBJECT_SHARE           4
#define CACHE_DEFAULT_STALL_MS       1000
#define CACHE_DEFAULT_STALL_LIMIT_MS 60000
#define CACHE_DEFAULT_LEASE_MS       60000
/* So many heartbeats fall into the stall time. */
#define CACHE_BEATS                  4
#define CACHE_MIN_STALL_MS           100
#define CACHE_MAX_TIME_MS            ((int64_t)24 * 3600 * 1000)

struct cache_conf {
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t memory;        /* bytes */
    uint64_t max_object;    /* bytes */
    int64_t stall_ms;       /* silence after which a proxy is stalled */
    int64_t stall_limit_ms; /* how long a stalled proxy may hold pins and leases; 0: no limit */
    int64_t lease_ms;       /* how long a lease may make no progress before another proxy may have it */
    const char *user;       /* NAME[:GROUP] to become, in argv; NULL: who we are */
    bool no_sandbox;
    struct tenant_config tenants[TENANTS_MAX];
    uint32_t tenant_count;
};

/* Reads argv. Returns -1 to go on, otherwise the status to exit with (0 after --help and --version, 2 after a
 * mistake, which has been explained on standard error). */
int cache_conf_parse(struct cache_conf *conf, int argc, char **argv);

#endif
