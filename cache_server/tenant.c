#include "tenant.h"

#include "size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_idle(const struct tenant *tenant)
{
    return tenant->proxies == 0 && tenant->account.used == 0 && tenant->pins == 0 && tenant->leases == 0;
}

static const struct tenant_config *config_of(const struct tenants *tenants, const char *name)
{
    for (uint32_t i = 0; i < tenants->config_count; i++) {
        if (strcmp(tenants->configs[i].name, name) == 0)
            return &tenants->configs[i];
    }
    return NULL;
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
        if (tenant->proxies == 0 && tenant->pins == 0 && tenant->leases == 0 && !tenant->configured &&
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

static void set(struct tenant *tenant, const struct tenant_settings *settings, bool configured)
{
    tenant->settings = *settings;
    tenant->configured = configured;
    eviction_configure(&tenant->eviction, settings->policy, settings->admission);
}

static bool is_taken(const struct tenants *tenants, uint32_t id)
{
    for (uint32_t i = 0; i < tenants->count; i++) {
        if (tenants->list[i]->id == id)
            return true;
    }
    for (uint32_t i = 0; i < tenants->doomed_count; i++) {
        if (tenants->doomed[i]->id == id)
            return true;
    }
    return false;
}

/* Who registers for days under ever new names comes round; 0 is nobody's. */
static uint32_t new_id(struct tenants *tenants)
{
    do
        tenants->next_id++;
    while (tenants->next_id == 0 || is_taken(tenants, tenants->next_id));
    return tenants->next_id;
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
    tenant->id = new_id(tenants);
    const struct tenant_config *config = config_of(tenants, name);
    set(tenant, config ? &config->settings : &TENANT_DEFAULTS, config != NULL);
    tenant->account.reserve = tenant->settings.reserve;
    tenant->account.limit = tenant->settings.limit;
    tenant->account.weight = tenant->settings.weight;
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

/* ---- settings ---- */

static int complain(char *problem, size_t size, const char *name, const char *why)
{
    snprintf(problem, size, "tenant %s: %s", name, why);
    return -EINVAL;
}

static int check_one(const struct tenant_config *config, uint64_t bytes, char *problem, size_t size)
{
    const struct tenant_settings *settings = &config->settings;

    if (!names_tenant_valid(config->name))
        return complain(problem, size, config->name, "the name has 1 to 63 letters, digits, '-', '_' or '.'");
    if (settings->weight < 1 || settings->weight > SHARES_MAX_WEIGHT)
        return complain(problem, size, config->name, "the weight is from 1 to 1000");
    if (settings->policy >= EVICTION_POLICY_COUNT)
        return complain(problem, size, config->name, "there is no such policy");
    if (settings->reserve > bytes)
        return complain(problem, size, config->name, "more is reserved than there is memory");
    if (settings->limit > 0 && settings->limit < settings->reserve)
        return complain(problem, size, config->name, "the limit is less than the reserve");
    return 0;
}

static bool is_named_before(const struct tenant_config *configs, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(configs[i].name, configs[index].name) == 0)
            return true;
    }
    return false;
}

static uint64_t reserves(const struct tenant_config *configs, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += configs[i].settings.reserve;
    return sum;
}

int tenants_check(const struct tenant_config *configs, uint32_t count, uint64_t bytes, char *problem,
                  size_t problem_size)
{
    char sum[SIZE_TEXT_BYTES], all[SIZE_TEXT_BYTES];

    if (count > TENANTS_MAX) {
        snprintf(problem, problem_size, "%" PRIu32 " tenants have settings; %u may", count, TENANTS_MAX);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        int error = check_one(&configs[i], bytes, problem, problem_size);
        if (error)
            return error;
        if (is_named_before(configs, i))
            return complain(problem, problem_size, configs[i].name, "it has settings twice");
        if (reserves(configs, i + 1) > bytes) { /* each is at most `bytes`: the sum does not overflow */
            snprintf(problem, problem_size, "%s are reserved up to tenant %s, of %s in all",
                     size_format(reserves(configs, i + 1), sum), configs[i].name, size_format(bytes, all));
            return -EINVAL;
        }
    }
    return 0;
}

static void configure(struct memory *memory, struct tenant *tenant, const struct tenant_config *config)
{
    set(tenant, config ? &config->settings : &TENANT_DEFAULTS, config != NULL);
    shares_configure(&memory->shares, &tenant->account, tenant->settings.reserve, tenant->settings.limit,
                     tenant->settings.weight);
}

int tenants_configure(struct tenants *tenants, struct memory *memory, const struct tenant_config *configs,
                      uint32_t count, char *problem, size_t problem_size)
{
    int error = tenants_check(configs, count, memory->limit, problem, problem_size);

    if (error)
        return error;
    if (count > 0)
        memmove(tenants->configs, configs, count * sizeof(*configs));
    tenants->config_count = count;
    memory->shares.reserves = reserves(configs, count);
    for (uint32_t i = 0; i < tenants->count; i++)
        configure(memory, tenants->list[i], config_of(tenants, tenants->list[i]->name));
    for (uint32_t i = 0; i < tenants->doomed_count; i++)
        configure(memory, tenants->doomed[i], NULL);
    return 0;
}

bool tenant_is_over(const struct tenant *tenant)
{
    return tenant->account.limit > 0 && tenant->account.used > tenant->account.limit;
}

void tenant_count(struct tenant *tenant, struct counters *all, enum counter counter)
{
    all->values[counter]++;
    tenant->counters.values[counter]++;
}

bool tenant_refuses(struct tenant *tenant, struct counters *all, uint32_t has, uint32_t most,
                    enum counter counter)
{
    if (most == 0 || has < most)
        return false;
    tenant_count(tenant, all, counter);
    return true;
}
