/* cache_conf.h: what the command line of cache_server and its configuration file say.
 *
 * Where there are several shards each has the same part of everything: of memory, of reserves (rounded down),
 * of limits and of what a tenant may have of fills, waiters and pins (rounded up). Proxies are not divided:
 * each registers with every shard.
 *
 * The file is read at the start and again for each reload (cache_reload.h); the command line stays as it was.
 * Ownership: what a struct cache_conf points to is its own (cache_conf_free()), but `command`. */
#ifndef LARDER_CACHE_CONF_H
#define LARDER_CACHE_CONF_H

#include "conf.h"
#include "conf_command.h"
#include "names.h"
#include "tenant.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

#define TENANT_CONF_UIDS             64u

struct group_conf {
    const char *name; /* as the file has it; NULL: none */
    gid_t gid;
};

struct tenant_conf_user {
    const char *name; /* as the file has it */
    uid_t uid;
};

/* [tenant "NAME"], or --tenant. */
struct tenant_conf {
    char name[NAMES_TENANT_MAX + 1];
    unsigned line; /* 0: the command line */
    struct tenant_settings settings;
    struct tenant_conf_user users[TENANT_CONF_UIDS]; /* who may serve it; none: the cache's own user */
    uint32_t user_count;
    struct group_conf group; /* what its proxies open their queues and pools to; none: that of the cache */
};

struct cache_command {
    struct conf_command common;
    unsigned tenant_count;
    const char *tenants[TENANTS_MAX]; /* "NAME:SETTING=VALUE,..." */
};

struct cache_conf {
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t memory;         /* bytes */
    uint64_t max_object;     /* bytes */
    uint32_t shards;         /* threads, each with its part of the memory */
    int64_t stall_ms;        /* silence after which a proxy is stalled */
    int64_t stall_limit_ms;  /* how long a stalled proxy may hold pins and leases; 0: no limit */
    int64_t lease_ms;        /* how long a lease may make no progress before another proxy may have it */
    const char *user;        /* NAME[:GROUP] to become; NULL: who we are */
    struct group_conf group; /* whose members may send to the command queue; none: nobody else may */
    const char *log_level;
    bool no_sandbox;
    bool huge_pages; /* where the host has transparent ones for who asks */
    uint64_t spin;   /* percent of a processor that may go into looking at rings before sleeping */
    struct tenant_conf *tenants;
    struct tenant_config *settings; /* what each of them has in one shard, for tenants_configure() */
    uint32_t tenant_count;
    struct conf_texts texts;
    const struct cache_command *command; /* NULL: there was none */
};

/* Reads argv. Returns -1 to go on, otherwise the status to exit with (0 after --help and --version, 2 after a
 * mistake, which has been explained on standard error). Values stay argv's. */
int cache_conf_command(struct cache_command *command, int argc, char **argv);

/* Defaults, file and command line together. False: `report` has every mistake, and `conf` is empty.
 * `running` (NULL at the start) is what is in force: the cache is in its sandbox then, where no directory
 * service can be asked, so users have the numbers that they had, or those of /etc/passwd. */
bool cache_conf_load(struct cache_conf *conf, const struct cache_command *command,
                     const struct cache_conf *running, struct conf_report *report);
/* The same for a text in memory, which tests have. `command` may be NULL. */
bool cache_conf_from_text(struct cache_conf *conf, const struct cache_command *command,
                          const struct cache_conf *running, const char *text, size_t length,
                          struct conf_report *report);
void cache_conf_free(struct cache_conf *conf);

/* What one shard has of `memory`, and the largest object that it takes. */
uint64_t cache_conf_shard_memory(const struct cache_conf *conf, uint32_t shard);
uint64_t cache_conf_shard_object(const struct cache_conf *conf);

/* As a file that says all that is in force. */
void cache_conf_show(const struct cache_conf *conf, FILE *out);
/* Complains of all that `wanted` says otherwise but that cannot change any more. */
void cache_conf_compare(const struct cache_conf *running, const struct cache_conf *wanted,
                        struct conf_report *report);

/* Is this user among those who may serve the tenant, or any tenant (NULL), with its queue and pool as they
 * are? */
struct identity_owner;
bool cache_conf_admits(const struct cache_conf *conf, const struct tenant_conf *tenant,
                       const struct identity_owner *owner);
/* NULL: no section names it. */
const struct tenant_conf *cache_conf_tenant(const struct cache_conf *conf, const char *name);

#endif
