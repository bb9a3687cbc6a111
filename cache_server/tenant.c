#include "tenant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_idle(const struct tenant *tenant)
{
    return tenant->proxies == 0 && tenant->account.used == 0 && tenant->pins == 0 && tenant->leases == 0;
}

struct tenant *tenants_find(const struct tenants *tenants, const char *name)
{
    for (uint32_t i = 0; i < tenants->count; i++) {
        if (strcmp(tenants->list[i]->name, name) == 0)
            return tenants->list[i];
    }
    return NULL;
}

static void forget(struct tenants *tenants, uint32_t index)
{
    tenants->list[index] = tenants->list[--tenants->count];
}

static void drop_idle(struct tenants *tenants)
{
    for (uint32_t i = tenants->count; i-- > 0;) {
        if (is_idle(tenants->list[i])) {
            free(tenants->list[i]);
            forget(tenants, i);
        }
    }
}

/* The one that stores least among those that no proxy serves; the tenants of somebody who makes up names lose
 * before those that are used. */
static void doom_smallest(struct tenants *tenants)
{
    uint32_t smallest = tenants->count;

    if (tenants->doomed_count == TENANTS_DOOMED_MAX)
        return;
    for (uint32_t i = 0; i < tenants->count; i++) {
        const struct tenant *tenant = tenants->list[i];
        if (tenant->proxies == 0 && tenant->pins == 0 && tenant->leases == 0 &&
            (smallest == tenants->count || tenant->account.used < tenants->list[smallest]->account.used))
            smallest = i;
    }
    if (smallest == tenants->count)
        return;
    tenants->list[smallest]->doomed = true;
    tenants->doomed[tenants->doomed_count++] = tenants->list[smallest];
    forget(tenants, smallest);
}

void tenants_free_doomed(struct tenants *tenants)
{
    for (uint32_t i = tenants->doomed_count; i-- > 0;) {
        if (is_idle(tenants->doomed[i])) {
            free(tenants->doomed[i]);
            tenants->doomed[i] = tenants->doomed[--tenants->doomed_count];
        }
    }
}

struct tenant *tenants_get(struct tenants *tenants, const char *name)
{
    struct tenant *tenant = tenants_find(tenants, name);

    errno = EINVAL;
    if (tenant || !names_tenant_valid(name))
        return tenant;
    if (tenants->count == TENANTS_MAX)
        drop_idle(tenants);
    if (tenants->count == TENANTS_MAX)
        doom_smallest(tenants);
    if (tenants->count == TENANTS_MAX)
        return NULL;
    errno = ENOMEM;
    tenant = calloc(1, sizeof(*tenant));
    if (!tenant)
        return NULL;
    memcpy(tenant->name, name, strlen(name) + 1);
    tenant->id = ++tenants->next_id;
    tenants->list[tenants->count++] = tenant;
    return tenant;
}

void tenants_free(struct tenants *tenants)
{
    for (uint32_t i = 0; i < tenants->count; i++)
        free(tenants->list[i]);
    for (uint32_t i = 0; i < tenants->doomed_count; i++)
        free(tenants->doomed[i]);
    tenants->count = tenants->doomed_count = 0;
}
