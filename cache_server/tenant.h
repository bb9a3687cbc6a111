/* tenant.h: name spaces, each with its own account and statistics.
 *
 * Ownership: a tenant lives from the first registration that names it until its place is needed, it has no
 * proxy left and nothing stored. Pointers to it are held by sessions, objects and leases, all of which are
 * counted. Bound:     TENANTS_MAX of them. */
#ifndef LARDER_TENANT_H
#define LARDER_TENANT_H

#include "counters.h"
#include "memory.h"
#include "names.h"

#define TENANTS_MAX 256u

struct tenant {
    char name[NAMES_TENANT_MAX + 1];
    uint32_t id; /* never given twice in one run; part of every key */
    uint32_t proxies;
    uint32_t pins;
    uint32_t leases;
    uint64_t objects;
    struct account account;
    struct counters counters;
};

struct tenants {
    struct tenant *list[TENANTS_MAX]; /* dense */
    uint32_t count;
    uint32_t next_id;
};

/* Finds or creates. NULL: the name is not valid, there are too many tenants, or no memory. */
struct tenant *tenants_get(struct tenants *tenants, const char *name);
void tenants_free(struct tenants *tenants);

#endif
