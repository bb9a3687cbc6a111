#include "tenant.h"

#include <stdlib.h>
#include <string.h>

static bool is_idle(const struct tenant *tenant)
{
    return tenant->proxies == 0 && tenant->account.used == 0 && tenant->pins == 0 && tenant->leases == 0;
}

static struct tenant *find(const struct tenants *tenants, const char *name)
{
    for (uint32_t i = 0; i < tenants->count; i++) {
        if (strcmp(tenants->list[i]->name, name) == 0)
            return tenants->list[i];
    }
    return NULL;
}

static void drop_idle(struct tenants *tenants)
{
    for (uint32_t i = tenants->count; i-- > 0;) {
        if (is_idle(tenants->list[i])) {
            free(tenants->list[i]);
            tenants->list[i] = tenants->list[--tenants->count];
        }
    }
}

struct tenant *tenants_get(struct tenants *tenants, const char *name)
{
    struct tenant *tenant = find(tenants, name);

    if (tenant || !names_tenant_valid(name))
        return tenant;
    if (tenants->count == TENANTS_MAX)
        drop_idle(tenants);
    if (tenants->count == TENANTS_MAX)
        return NULL;
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
    tenants->count = 0;
}
