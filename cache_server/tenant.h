/* tenant.h: name spaces, each with its own account and statistics.
 *
 * Ownership: a tenant lives from the first registration that names it until its place is needed and it has no
 * proxy left. Those with nothing stored go first, then the one with least; its objects are then to be removed
 * in steps (store_purge()), and it is freed by tenants_free_doomed() when the last has gone.
 * Pointers to a tenant are held by sessions, objects and leases, all of which are counted.
 * Bound:     TENANTS_MAX of them, and TENANTS_DOOMED_MAX whose objects are being removed. */
#ifndef LARDER_TENANT_H
#define LARDER_TENANT_H

#include "counters.h"
#include "memory.h"
#include "names.h"
#include "purges.h"

#define TENANTS_MAX        256u
#define TENANTS_DOOMED_MAX 256u

struct lease;
struct object;

struct tenant {
    char name[NAMES_TENANT_MAX + 1];
    uint32_t id; /* never given twice in one run; part of every key */
    uint32_t proxies;
    uint32_t stalled; /* of the proxies */
    uint32_t pins;
    uint32_t leases;
    struct lease *granted; /* utlist, the leases': those not cancelled */
    uint32_t followers;
    uint64_t objects;
    struct object *stored; /* utlist, the store's: its objects that can be found */
    uint64_t held;         /* see store.h */
    bool doomed;           /* its name is free again; its objects are found no more and are being removed */
    struct purges purges;
    struct account account;
    struct counters counters;
};

struct tenants {
    struct tenant *list[TENANTS_MAX]; /* dense */
    uint32_t count;
    uint32_t next_id;
    struct tenant *doomed[TENANTS_DOOMED_MAX]; /* dense */
    uint32_t doomed_count;
};

/* Finds or creates. NULL: the name is not valid or there are too many tenants (errno is EINVAL), or no memory
 * (ENOMEM). */
struct tenant *tenants_get(struct tenants *tenants, const char *name);
/* NULL: there is none. */
struct tenant *tenants_find(const struct tenants *tenants, const char *name);
/* Frees the doomed whose objects have all gone. */
void tenants_free_doomed(struct tenants *tenants);
void tenants_free(struct tenants *tenants);

#endif
