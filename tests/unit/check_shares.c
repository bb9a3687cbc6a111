/* shares: what tenants have of the memory. Who gives way, what is never taken, bounds, and settings that
 * change at run time; then random tenants, loads and policies, with every byte compared with what the
 * allocator has given. */
#include "shares.h"

#include "cache_conf.h"
#include "lease.h"
#include "store.h"
#include "tenant_option.h"

#include "check_unit.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#define MEMORY     ((uint64_t)4 << 20)
#define NEVER      INT64_MAX
#define MANY       6u
#define STEP_PINS  16u
#define STEP_FILLS 8u

/* ---- a second account: CMakeLists.txt has these called instead of memory.c's ----------------------------
 */

static uint64_t live; /* bytes of all blocks that have been handed out, as the allocator tells them */

static bool no_index; /* the allocator has nothing for tables */

void *__real_memory_alloc(struct memory *memory, struct account *account, size_t size);
void *__real_memory_alloc_index(struct memory *memory, struct account *account, size_t size);
void __real_memory_free(struct memory *memory, struct account *account, void *block);
void *__real_memory_shrink(struct memory *memory, struct account *account, void *block, size_t size);
void *__wrap_memory_alloc(struct memory *memory, struct account *account, size_t size);
void *__wrap_memory_alloc_index(struct memory *memory, struct account *account, size_t size);
void __wrap_memory_free(struct memory *memory, struct account *account, void *block);
void *__wrap_memory_shrink(struct memory *memory, struct account *account, void *block, size_t size);

static uint64_t size_of(void *block)
{
    return block ? malloc_usable_size(block) + sizeof(size_t) : 0;
}

void *__wrap_memory_alloc(struct memory *memory, struct account *account, size_t size)
{
    void *block = __real_memory_alloc(memory, account, size);

    live += size_of(block);
    return block;
}

void *__wrap_memory_alloc_index(struct memory *memory, struct account *account, size_t size)
{
    void *block = no_index ? NULL : __real_memory_alloc_index(memory, account, size);

    live += size_of(block);
    return block;
}

void __wrap_memory_free(struct memory *memory, struct account *account, void *block)
{
    live -= size_of(block);
    __real_memory_free(memory, account, block);
}

void *__wrap_memory_shrink(struct memory *memory, struct account *account, void *block, size_t size)
{
    live -= size_of(block);
    block = __real_memory_shrink(memory, account, block, size);
    live += size_of(block);
    return block;
}

/* ---- a store with tenants ------------------------------------------------------------------------------ */

static struct {
    struct counters counters;
    struct store store;
    struct tenants tenants;
    struct leases leases;
    struct tenant_config configs[MANY];
    struct tenant *list[MANY];
    struct store_key key;
    uint8_t bytes[1 << 20];
    char problem[256];
} here;

static int configure(uint32_t count)
{
    return tenants_configure(&here.tenants, &here.store.memory, here.configs, count, here.problem,
                             sizeof(here.problem));
}

static const char *const names[MANY] = {"news", "shop", "maps", "mail", "wiki", "blog"};

static void set(unsigned i, uint64_t reserve, uint64_t limit, uint32_t weight)
{
    snprintf(here.configs[i].name, sizeof(here.configs[i].name), "%s", names[i]);
    here.configs[i].settings = (struct tenant_settings){.reserve = reserve, .limit = limit, .weight = weight};
}

/* With the settings of `configs`; the others of the list have the defaults. */
static void begin(uint64_t memory, uint32_t configured)
{
    ck_assert_int_eq(store_setup(&here.store, memory, memory / 4, &here.counters), 0);
    leases_setup(&here.leases, &here.store);
    ck_assert_msg(configure(configured) == 0, "%s", here.problem);
    for (unsigned i = 0; i < MANY; i++)
        here.list[i] = tenants_get(&here.tenants, names[i]);
}

static void end(void)
{
    leases_teardown(&here.leases);
    store_teardown(&here.store);
    ck_assert_uint_eq(here.store.memory.used, 0);
    ck_assert_uint_eq(live, 0);
    ck_assert_uint_eq(here.store.memory.shares.spare + here.store.memory.shares.held, 0);
    ck_assert_uint_eq(here.store.memory.shares.count, 0);
    tenants_free(&here.tenants);
}

static const struct store_key *key_of(unsigned tenant, uint64_t number)
{
    store_key_set(&here.store, &here.key, here.list[tenant], (const uint8_t *)&number, sizeof(number));
    return &here.key;
}

static enum store_result put(unsigned tenant, uint64_t number, uint64_t size)
{
    struct object *object;
    enum store_result result =
        store_fill_begin(&here.store, &object, key_of(tenant, number), here.bytes, 50, size, NEVER, NEVER);

    if (result != STORE_OK)
        return result;
    result = store_fill_append(&here.store, object, here.bytes, size);
    if (result == STORE_OK)
        return store_fill_commit(&here.store, &object);
    store_fill_discard(&here.store, &object);
    return result;
}

static void put_all(unsigned tenant, uint64_t from, uint64_t count, uint64_t size)
{
    for (uint64_t i = from; i < from + count; i++)
        ck_assert_int_eq(put(tenant, i, size), STORE_OK);
}

static bool has(unsigned tenant, uint64_t number)
{
    return store_find(&here.store, key_of(tenant, number), 0) != NULL;
}

static uint64_t used(unsigned tenant)
{
    return here.list[tenant]->account.used;
}

static uint64_t counted(unsigned tenant, enum counter counter)
{
    return here.list[tenant]->counters.values[counter];
}

/* ---- who gives way ------------------------------------------------------------------------------------- */

START_TEST(memory_beyond_reserves_is_divided_by_weight)
{
    set(0, 0, 0, 1);
    set(1, MEMORY / 8, 0, 3);
    begin(MEMORY, 2);
    for (uint64_t i = 0; i < 20000; i++) {
        ck_assert_int_eq(put(0, i, 1000), STORE_OK);
        ck_assert_int_eq(put(1, i, 1000), STORE_OK);
    }
    uint64_t beyond = used(1) - MEMORY / 8;
    double ratio = (double)beyond / (double)used(0);
    ck_assert_msg(ratio > 2.95 && ratio < 3.05, "%f", ratio);
    ck_assert_uint_gt(here.store.memory.used, MEMORY - 50000);
    end();
}
END_TEST

START_TEST(one_tenant_alone_may_use_everything)
{
    set(0, 0, 0, 1);
    set(1, MEMORY / 2, 0, 1);
    begin(MEMORY, 2);
    put_all(0, 0, 10000, 1000);
    ck_assert_uint_gt(used(0), MEMORY / 10 * 9); /* a reserve that nobody uses is lent, */
    ck_assert_uint_eq(counted(0, COUNTER_evicted_for_others), 0);
    put_all(1, 0, 10000, 1000); /* and comes back on demand */
    ck_assert_uint_gt(used(1), MEMORY / 2);
    ck_assert_uint_gt(counted(0, COUNTER_evicted_for_others), 1000);
    end();
}
END_TEST

/* A scan of many times the memory. */
START_TEST(reserve_is_never_taken)
{
    uint64_t kept = 0;

    set(0, MEMORY / 4, 0, 1);
    set(1, 0, 0, SHARES_MAX_WEIGHT);
    begin(MEMORY, 2);
    while (used(0) + 1500 <= MEMORY / 4)
        ck_assert_int_eq(put(0, kept++, 1000), STORE_OK);
    put_all(1, 0, 40000, 1000);
    ck_assert_uint_eq(counted(0, COUNTER_evictions), 0);
    for (uint64_t i = 0; i < kept; i++)
        ck_assert(has(0, i));
    /* What it has beyond is fair game. */
    put_all(0, kept, 100, 1000);
    put_all(1, 0, 10000, 1000);
    ck_assert_uint_gt(counted(0, COUNTER_evictions), 0);
    ck_assert_uint_ge(used(0), MEMORY / 4 - 1500);
    end();
}
END_TEST

/* The next to go is larger than what is beyond the reserve: it stays, and another tenant gives way. */
START_TEST(object_on_the_edge_of_the_reserve_stays)
{
    const uint64_t large = 500000;

    set(0, large, 0, 1);
    set(1, 0, 0, 1);
    set(2, 0, 0, 1);
    begin(MEMORY, 3);
    put_all(0, 0, 1, large);
    put_all(0, 1, 50, 1000); /* over its reserve, but the coldest is the large one */
    ck_assert_uint_gt(used(0), large);
    put_all(2, 0, 10, 1000);
    put_all(1, 0, 10000, 1000);
    ck_assert(has(0, 0)); /* which makes it the warmest */
    ck_assert_uint_eq(counted(0, COUNTER_evictions), 0);
    ck_assert_uint_gt(counted(1, COUNTER_evicted_for_itself), 0);
    put_all(1, 0, 10000, 1000); /* whenever it uses more, it is looked at again */
    ck_assert_uint_eq(counted(0, COUNTER_evictions), 0);
    put_all(0, 100, 1, 60000);
    ck_assert(has(0, 0));
    for (uint64_t i = 0; i < 3000; i++)
        put_all(2, i, 1, 1000);
    ck_assert_uint_ge(used(0), large);
    ck_assert(has(0, 0));
    end();
}
END_TEST

START_TEST(who_is_at_its_limit_evicts_its_own)
{
    set(0, 0, MEMORY / 8, 1);
    begin(MEMORY, 1);
    put_all(1, 0, 500, 1000);
    for (uint64_t i = 0; i < 5000; i++) {
        ck_assert_int_eq(put(0, i, 1000), STORE_OK);
        ck_assert_uint_le(used(0), MEMORY / 8);
    }
    ck_assert_uint_gt(used(0), MEMORY / 8 - 3000);
    ck_assert_uint_gt(counted(0, COUNTER_evicted_for_itself), 4000);
    ck_assert_uint_eq(counted(0, COUNTER_evicted_for_others) + counted(1, COUNTER_evictions), 0);
    ck_assert_int_eq(put(0, 9999, MEMORY / 8), STORE_TOO_LARGE);
    ck_assert_uint_gt(here.list[0]->objects, 300); /* nothing was lost for it */
    struct object *filling;
    ck_assert_int_eq(
        store_fill_begin(&here.store, &filling, key_of(0, 9999), NULL, 0, BODY_SIZE_UNKNOWN, NEVER, NEVER),
        STORE_OK);
    while (store_fill_append(&here.store, filling, here.bytes, 10000) == STORE_OK)
        ck_assert_uint_le(used(0), MEMORY / 8);
    ck_assert_uint_eq(counted(0, COUNTER_refused_memory), 1);
    ck_assert_uint_eq(counted(1, COUNTER_evictions), 0);
    store_fill_discard(&here.store, &filling);
    end();
}
END_TEST

/* Memory that is held cannot be evicted, so others may not hold what is reserved. */
START_TEST(what_is_held_leaves_room_for_reserves)
{
    set(0, MEMORY / 4 * 3, 0, 1);
    begin(MEMORY, 1);
    ck_assert(store_may_hold(&here.store, here.list[1], MEMORY / 4));
    ck_assert(!store_may_hold(&here.store, here.list[1], MEMORY / 4 + 1));
    ck_assert(store_may_hold(&here.store, here.list[0], MEMORY / 2)); /* the bound of every tenant */
    store_hold(&here.store, here.list[1], MEMORY / 4);
    ck_assert(!store_may_hold(&here.store, here.list[2], 1));
    ck_assert(store_may_hold(&here.store, here.list[0], MEMORY / 2));
    ck_assert_int_eq(put(2, 0, 1), STORE_NO_MEMORY);
    ck_assert_int_eq(put(0, 0, 1), STORE_OK);
    here.configs[0].settings.reserve = MEMORY / 2; /* which gives the others more */
    ck_assert_int_eq(configure(1), 0);
    ck_assert(store_may_hold(&here.store, here.list[2], MEMORY / 4));
    ck_assert(!store_may_hold(&here.store, here.list[2], MEMORY / 4 + 1));
    store_let_go(&here.store, here.list[1], MEMORY / 4);
    end();
}
END_TEST

/* Tables double, and the heap's is as large as all objects need: that, too, has its room before. */
START_TEST(index_grows_within_the_limit)
{
    static const uint64_t sizes[] = {60000, 8000, 1000, 100, 0};
    uint64_t number = 0, index;

    begin(MEMORY, 0);
    for (int size = 0; size < ROWS(sizes); size++) {
        index = here.store.index.used;
        for (uint64_t i = 0; i < MEMORY / (sizes[size] + 200) * 2; i++) {
            ck_assert_int_eq(put(number % MANY, number, sizes[size]), STORE_OK);
            ck_assert_uint_le(here.store.memory.used, MEMORY);
            number++;
        }
        ck_assert_uint_gt(here.store.memory.used, MEMORY / 10 * 9);
    }
    ck_assert_uint_gt(here.store.index.used, index);
    end();
}
END_TEST

/* Nothing is left of an object that could not be linked, whatever its policy was about to remember. */
START_TEST(no_memory_for_the_index)
{
    begin(MEMORY, 0);
    no_index = true;
    ck_assert_int_eq(put(0, 1, 200000), STORE_NO_MEMORY);
    no_index = false;
    ck_assert_uint_eq(used(0), 0);
    ck_assert_int_eq(put(0, 1, 200000), STORE_OK);
    end();
}
END_TEST

/* ---- settings ------------------------------------------------------------------------------------------ */

static const struct {
    uint64_t reserve, limit;
    uint32_t weight;
    const char *name, *why;
} bad[] = {
    {MEMORY + 1, 0, 1, "bad", "more is reserved"},
    {MEMORY / 2 + 1, 0, 1, "bad", "are reserved up to tenant bad"},
    {UINT64_MAX, 0, 1, "bad", "more is reserved"},
    {2, 1, 1, "bad", "the limit is less"},
    {0, 0, 0, "bad", "the weight"},
    {0, 0, SHARES_MAX_WEIGHT + 1, "bad", "the weight"},
    {0, 0, 1, "bad name", "the name"},
    {0, 0, 1, "", "the name"},
    {0, 0, 1, "news", "twice"},
};

START_TEST(bad_settings_change_nothing)
{
    set(0, MEMORY / 2, 0, 5);
    begin(MEMORY, 1);
    here.configs[0].settings.reserve = MEMORY / 2;
    here.configs[0].settings.weight = 7;
    here.configs[1].settings = (struct tenant_settings){
        .reserve = bad[_i].reserve, .limit = bad[_i].limit, .weight = bad[_i].weight};
    snprintf(here.configs[1].name, sizeof(here.configs[1].name), "%s", bad[_i].name);
    ck_assert_int_eq(configure(2), -EINVAL);
    ck_assert_msg(strstr(here.problem, bad[_i].why), "%s", here.problem);
    ck_assert_uint_eq(here.list[0]->settings.weight, 5);
    ck_assert_uint_eq(here.store.memory.shares.reserves, MEMORY / 2);
    ck_assert_uint_eq(here.tenants.config_count, 1);
    end();
}
END_TEST

START_TEST(all_of_the_memory_may_be_reserved)
{
    set(0, MEMORY / 2, 0, 1);
    set(1, MEMORY / 2, 0, 1);
    begin(MEMORY, 2);
    for (uint64_t i = 0; i < 10000; i++) {
        put(0, i, 1000);
        put(1, i, 1000);
        ck_assert_uint_le(here.store.memory.used, MEMORY);
    }
    ck_assert_uint_gt(used(0), MEMORY / 2 / 10 * 8);
    ck_assert_uint_gt(used(1), MEMORY / 2 / 10 * 8);
    ck_assert_int_eq(put(2, 0, 1), STORE_NO_MEMORY); /* nothing is left for others */
    end();
}
END_TEST

START_TEST(newcomers_have_the_defaults)
{
    begin(MEMORY, 0);
    const struct tenant_settings *settings = &here.list[0]->settings;
    ck_assert_uint_eq(settings->reserve + settings->limit, 0);
    ck_assert_uint_eq(settings->weight, 1);
    ck_assert_int_eq((int)settings->policy, EVICTION_lru);
    ck_assert(settings->admission);
    ck_assert_uint_eq(
        settings->max_fills + settings->max_pins + settings->max_proxies + settings->max_waiters, 0);
    end();
}
END_TEST

START_TEST(settings_hold_for_who_comes_later_and_end)
{
    set(0, 1000, 2000, 3);
    begin(MEMORY, 1);
    snprintf(here.configs[1].name, sizeof(here.configs[1].name), "later");
    here.configs[1].settings = (struct tenant_settings){.reserve = 7, .weight = 9, .policy = EVICTION_sieve};
    ck_assert_int_eq(configure(2), 0);
    const struct tenant *later = tenants_get(&here.tenants, "later");
    ck_assert_uint_eq(later->account.reserve, 7);
    ck_assert_uint_eq(later->account.weight, 9);
    ck_assert_int_eq((int)later->eviction.policy, EVICTION_sieve);
    ck_assert_int_eq(configure(0), 0);
    ck_assert_uint_eq(later->account.reserve + later->account.limit, 0);
    ck_assert_int_eq((int)later->eviction.policy, EVICTION_lru);
    ck_assert_uint_eq(here.list[0]->settings.weight, 1);
    ck_assert_uint_eq(here.store.memory.shares.reserves, 0);
    end();
}
END_TEST

/* Somebody makes up names: who has settings keeps its place, and with it what is in its reserve. */
START_TEST(tenants_with_settings_keep_their_places)
{
    char name[16];

    set(0, 1000, 0, 1);
    begin(MEMORY, 1);
    ck_assert_int_eq(put(0, 1, 10), STORE_OK);
    for (unsigned i = 0; i < TENANTS_MAX + 50; i++) {
        snprintf(name, sizeof(name), "made-up-%u", i);
        struct tenant *tenant = tenants_get(&here.tenants, name);
        ck_assert_ptr_nonnull(tenant);
        store_key_set(&here.store, &here.key, tenant, (const uint8_t *)"k", 1);
        struct object *object;
        ck_assert_int_eq(store_fill_begin(&here.store, &object, &here.key, NULL, 0, 1000, NEVER, NEVER),
                         STORE_OK);
        ck_assert_int_eq(store_fill_append(&here.store, object, here.bytes, 1000), STORE_OK);
        ck_assert_int_eq(store_fill_commit(&here.store, &object), STORE_OK);
    }
    ck_assert(!here.list[0]->doomed);
    ck_assert(has(0, 1));
    for (unsigned i = 0; i < here.tenants.doomed_count; i++)
        store_purge(&here.store, here.tenants.doomed[i], 1000);
    tenants_free_doomed(&here.tenants);
    end();
}
END_TEST

START_TEST(lowered_limit_is_reached_in_steps)
{
    begin(MEMORY, 0);
    put_all(0, 0, 2000, 1000);
    uint64_t before = used(0), steps = 0;
    set(0, 0, before / 2, 1);
    ck_assert_int_eq(configure(1), 0);
    ck_assert(tenant_is_over(here.list[0]));
    ck_assert_int_eq(put(0, 9999, 10), STORE_NO_MEMORY); /* not all at once */
    ck_assert_uint_eq(used(0), before);
    for (; tenant_is_over(here.list[0]); steps++) {
        ck_assert_uint_le(store_shrink(&here.store, here.list[0], 64), 64);
        store_tidy(&here.store);
    }
    ck_assert_uint_gt(steps, 10);
    ck_assert_uint_gt(used(0), before / 2 - 2000);
    ck_assert_uint_eq(store_shrink(&here.store, here.list[0], 64), 0);
    ck_assert_int_eq(put(0, 9999, 10), STORE_OK);
    ck_assert(has(0, 1999) && !has(0, 0)); /* the cold end */
    end();
}
END_TEST

/* ---- bounds of a tenant -------------------------------------------------------------------------------- */

START_TEST(fills_and_waiters_are_bounded)
{
    set(0, 0, 0, 1);
    here.configs[0].settings.max_fills = 2;
    here.configs[0].settings.max_waiters = 3;
    begin(MEMORY, 1);
    struct lease *leases[2], *other;
    struct follower *followers[3];
    for (unsigned i = 0; i < 2; i++)
        ck_assert_ptr_nonnull(leases[i] = lease_grant(&here.leases, key_of(0, i), 0));
    ck_assert_ptr_null(lease_grant(&here.leases, key_of(0, 2), 0));
    ck_assert_uint_eq(counted(0, COUNTER_refused_fills), 1);
    ck_assert_ptr_nonnull(other = lease_grant(&here.leases, key_of(1, 2), 0));
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(followers[i] = lease_follow(&here.leases, leases[0], NULL));
    ck_assert_ptr_null(lease_follow(&here.leases, leases[1], NULL));
    ck_assert_uint_eq(counted(0, COUNTER_refused_waiters), 1);
    ck_assert_uint_eq(here.counters.values[COUNTER_refused_waiters], 1);
    for (unsigned i = 0; i < 3; i++)
        lease_unfollow(&here.leases, &followers[i]);
    lease_end(&here.leases, &leases[0]);
    ck_assert_ptr_nonnull(leases[0] = lease_grant(&here.leases, key_of(0, 2), 0));
    lease_end(&here.leases, &leases[0]);
    lease_end(&here.leases, &leases[1]);
    lease_end(&here.leases, &other);
    end();
}
END_TEST

static const struct {
    const char *text, *why; /* NULL: it is right */
} options[] = {
    {"news:reserve=64M,limit=256M,weight=2,policy=s3fifo", NULL},
    {"news:admission=off,max_fills=1,max_waiters=2,max_pins=3,max_proxies=4", NULL},
    {"a.b-c_1:policy=sieve", NULL},
    {"news", "NAME:SETTING"},
    {"", "NAME:SETTING"},
    {":weight=1", "the name"},
    {"a b:weight=1", "the name"},
    {"news:", "SETTING=VALUE"},
    {"news:weight=1,", "SETTING=VALUE"},
    {"news:weight", "SETTING=VALUE"},
    {"news:weight=", "SETTING=VALUE"},
    {"news:=1", "SETTING=VALUE"},
    {"news:wait=1", "no setting 'wait'"},
    {"news:reserve=lots", "reserve: 'lots' is not a size"},
    {"news:limit=-1", "limit: '-1' is not a size"},
    {"news:weight=0", "out of range"},
    {"news:weight=1001", "out of range"},
    {"news:weight=1x", "is not a number"},
    {"news:weight=-1", "is not a number"},
    {"news:max_pins=4294967296", "out of range"},
    {"news:policy=fifo", "is not one of lru, s3fifo, sieve"},
    {"news:admission=maybe", "is not one of on, off"},
    {"news:policy=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "SETTING=VALUE"},
};

START_TEST(settings_as_text)
{
    struct tenant_config config;
    int error = tenant_option_parse(&config, options[_i].text, here.problem, sizeof(here.problem));

    ck_assert_int_eq(error, options[_i].why ? -EINVAL : 0);
    if (options[_i].why)
        ck_assert_msg(strstr(here.problem, options[_i].why), "%s", here.problem);
}
END_TEST

START_TEST(settings_as_text_arrive)
{
    struct tenant_config config;

    ck_assert_int_eq(tenant_option_parse(&config, options[0].text, here.problem, sizeof(here.problem)), 0);
    ck_assert_str_eq(config.name, "news");
    ck_assert_uint_eq(config.settings.reserve, 64 << 20);
    ck_assert_uint_eq(config.settings.limit, 256 << 20);
    ck_assert_uint_eq(config.settings.weight, 2);
    ck_assert_int_eq((int)config.settings.policy, EVICTION_s3fifo);
    ck_assert(config.settings.admission);
    ck_assert_int_eq(tenant_option_parse(&config, options[1].text, here.problem, sizeof(here.problem)), 0);
    ck_assert_uint_eq(config.settings.max_fills * 1000 + config.settings.max_waiters * 100 +
                          config.settings.max_pins * 10 + config.settings.max_proxies,
                      1234);
    ck_assert(!config.settings.admission);
    ck_assert_uint_eq(config.settings.weight, 1);
}
END_TEST

static const struct {
    const char *arguments[6];
    int status;
} lines[] = {
    {{"--memory", "64M", "--tenant", "news:reserve=32M", "--tenant", "shop:reserve=32M"}, -1},
    {{"--memory", "64M", "--tenant", "news:reserve=32M", "--tenant", "shop:reserve=33M"}, 2},
    {{"--tenant", "news:reserve=32M", "--tenant", "news:limit=40M"}, 2},
    {{"--tenant", "news:reserve=32M,limit=31M"}, 2},
    {{"--tenant", "news:reserve"}, 2},
    {{"--tenant", "news:reserve=1G", "--memory", "2G"}, -1}, /* whatever the order */
    {{"--tenant", "news:reserve=1G"}, 2},
};

START_TEST(settings_on_the_command_line)
{
    static struct cache_conf conf;
    char *argv[8] = {(char[]){"cache_server"}};
    int argc = 1;

    for (int i = 0; i < ROWS(lines[_i].arguments) && lines[_i].arguments[i]; i++)
        argv[argc++] = strdup(lines[_i].arguments[i]);
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    ck_assert_int_eq(cache_conf_parse(&conf, argc, argv), lines[_i].status);
    if (lines[_i].status < 0)
        ck_assert_str_eq(conf.tenants[0].name, "news");
    for (int i = 1; i < argc; i++)
        free(argv[i]);
}
END_TEST

/* ---- the heap, beside a search of all ------------------------------------------------------------------ */

START_TEST(heap_names_the_one_furthest_over_its_share)
{
    enum { ACCOUNTS = 200 };
    static struct account accounts[ACCOUNTS];
    static struct shares shares;
    uint64_t state = 3;

    for (unsigned step = 0; step < fewer_rounds(100000, 50); step++) {
        struct account *account = &accounts[random_below(&state, ACCOUNTS)];
        account->weight = account->weight ? account->weight : 1 + (uint32_t)random_below(&state, 10);
        account->reserve = account->reserve ? account->reserve : random_below(&state, 1000);
        account->used = random_below(&state, 3000);
        account->evictable = random_below(&state, 3) ? random_below(&state, account->used + 1) : 0;
        shares_moved(&shares, account);

        uint64_t most = 0, spare = 0;
        for (unsigned i = 0; i < ACCOUNTS; i++) {
            const struct account *other = &accounts[i];
            uint64_t excess = other->used > other->reserve ? other->used - other->reserve : 0;
            if (other->evictable > 0 && excess / (other->weight ? other->weight : 1) > most)
                most = excess / (other->weight ? other->weight : 1);
            spare += excess < other->evictable ? excess : other->evictable;
        }
        ck_assert_uint_eq(shares_first(&shares) ? shares_first(&shares)->excess : 0, most);
        ck_assert_uint_eq(shares.spare, spare);
    }
}
END_TEST

/* ---- random tenants, loads and policies -----------------------------------------------------------------
 */

static struct {
    uint64_t state;
    struct object *pins[STEP_PINS];
    struct object *fills[STEP_FILLS];
    unsigned fill_tenants[STEP_FILLS];
    struct lease *leases[STEP_FILLS];
    bool lowered[MANY]; /* its limit was, below what it used */
    uint64_t for_others[MANY], taken, refused;
} run;

static uint64_t below(uint64_t bound)
{
    return random_below(&run.state, bound);
}

/* At most three quarters are reserved, so that what a sixth is larger than the index and an object of each.
 */
static void choose_settings(void)
{
    uint64_t left = MEMORY / 4 * 3;

    for (unsigned i = 0; i < MANY; i++) {
        uint64_t reserve = below(2) ? below(left) : 0;
        uint64_t limit = below(2) ? reserve + 200000 + below(MEMORY / 2) : 0;
        left -= reserve;
        set(i, reserve, limit, 1 + (uint32_t)below(8));
        here.configs[i].settings.policy = (enum eviction_policy)below(EVICTION_POLICY_COUNT);
        here.configs[i].settings.admission = below(2);
    }
}

static void check_limits(unsigned i)
{
    const struct account *account = &here.list[i]->account;

    if (account->limit == 0 || account->used <= account->limit)
        run.lowered[i] = false;
    ck_assert_msg(account->limit == 0 || account->used <= account->limit || run.lowered[i],
                  "%s uses %llu of %llu", names[i], (unsigned long long)account->used,
                  (unsigned long long)account->limit);
}

/* Of what was taken from it for others, nothing was in its reserve. */
static void check_reserve(unsigned i)
{
    uint64_t now = counted(i, COUNTER_evicted_for_others);

    if (now != run.for_others[i]) {
        ck_assert_uint_ge(used(i), here.list[i]->account.reserve);
        run.taken += now - run.for_others[i];
    }
    run.for_others[i] = now;
}

static void check_step(void)
{
    const struct shares *shares = &here.store.memory.shares;
    uint64_t sum = here.store.index.used, evictable = 0, held = 0, over = 0, objects = 0, spare = 0;

    ck_assert_uint_eq(here.store.memory.used, live);
    ck_assert_uint_le(here.store.memory.used, here.store.memory.limit);
    for (unsigned i = 0; i < MANY; i++) {
        const struct tenant *tenant = here.list[i];
        const struct account *account = &tenant->account;
        uint64_t queued = 0;

        for (unsigned queue = 0; queue < EVICTION_QUEUES; queue++)
            queued += tenant->eviction.queues[queue].bytes;
        ck_assert_uint_eq(queued, account->evictable);
        check_limits(i);
        check_reserve(i);
        sum += account->used;
        evictable += account->evictable;
        held += account->held;
        over += account->held > account->reserve ? account->held - account->reserve : 0;
        spare += account->spare;
        objects += tenant->objects;
    }
    ck_assert_uint_eq(sum, here.store.memory.used + objects * STORE_INDEX_SHARE);
    ck_assert_uint_eq(objects, here.store.objects);
    ck_assert_uint_eq(evictable, here.store.evictable);
    ck_assert_uint_eq(held, shares->held);
    ck_assert_uint_eq(over, shares->held_over);
    ck_assert_uint_eq(spare, shares->spare);
}

static uint64_t any_size(void)
{
    switch (below(8)) {
    case 0:
        return below(3 * BODY_CHUNK);
    case 1:
        return STORE_MAX_INLINE - 1 + below(3);
    default:
        return below(6000);
    }
}

/* Within its reserve, a tenant gets what it asks for, whatever the others do. */
static void step_put(void)
{
    unsigned tenant = (unsigned)below(MANY);
    const struct account *account = &here.list[tenant]->account;
    const struct shares *shares = &here.store.memory.shares;
    uint64_t size = any_size(), need = size + 4000 + (size > BODY_CHUNK ? BODY_CHUNK : 0);
    bool must =
        account->used + need + 2 * GHOST_MIN * sizeof(struct ghost_place) <= account->reserve &&
        account->held + need < MEMORY / 2 && shares->held + need < MEMORY / 4 * 3 &&
        shares->held_over <= MEMORY - shares->reserves; /* held before the others had their reserves */
    enum store_result result = put(tenant, below(400), size);

    ck_assert_msg(!must || result == STORE_OK, "%s was refused %llu at %llu of %llu reserved", names[tenant],
                  (unsigned long long)size, (unsigned long long)account->used,
                  (unsigned long long)account->reserve);
    run.refused += result != STORE_OK;
}

static void step_find(void)
{
    has((unsigned)below(MANY), below(400));
}

static void step_pin(void)
{
    struct object **pin = &run.pins[below(STEP_PINS)];

    if (*pin) {
        store_unpin(&here.store, pin);
        return;
    }
    unsigned tenant = (unsigned)below(MANY);
    struct object *object = store_find(&here.store, key_of(tenant, below(400)), 0);
    if (!object ||
        (!object_is_held(object) && !store_may_hold(&here.store, here.list[tenant], object_charge(object))))
        return;
    store_pin(&here.store, object);
    *pin = object;
}

static void step_update(void)
{
    struct object *object = run.pins[below(STEP_PINS)];

    if (object)
        store_update(&here.store, object, here.bytes, (uint32_t)below(3000), NEVER, NEVER);
}

static void step_fill(void)
{
    uint64_t slot = below(STEP_FILLS);
    struct object **fill = &run.fills[slot];

    if (!*fill) {
        run.fill_tenants[slot] = (unsigned)below(MANY);
        store_fill_begin(&here.store, fill, key_of(run.fill_tenants[slot], below(400)), here.bytes,
                         (uint32_t)below(500), BODY_SIZE_UNKNOWN, NEVER, NEVER);
    } else if (below(4) == 0) {
        store_fill_commit(&here.store, fill);
    } else if (store_fill_append(&here.store, *fill, here.bytes, below(50000)) != STORE_OK) {
        store_fill_discard(&here.store, fill);
    }
}

static void step_lease(void)
{
    struct lease **lease = &run.leases[below(STEP_FILLS)];

    if (*lease)
        lease_end(&here.leases, lease);
    else
        *lease = lease_grant(&here.leases, key_of((unsigned)below(MANY), below(400)), 0);
}

static void step_remove(void)
{
    store_remove(&here.store, key_of((unsigned)below(MANY), below(400)));
}

static void step_configure(void)
{
    if (below(50) > 0)
        return;
    choose_settings();
    ck_assert_msg(configure((uint32_t)below(MANY + 1)) == 0, "%s", here.problem);
    for (unsigned i = 0; i < MANY; i++)
        run.lowered[i] = tenant_is_over(here.list[i]);
}

static void step_shrink(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        if (tenant_is_over(here.list[i]))
            store_shrink(&here.store, here.list[i], 8);
    }
    store_tidy(&here.store);
}

START_TEST(random_loads_keep_all_promises)
{
    static void (*const steps[])(void) = {
        step_put,  step_put,  step_put,    step_put,  step_put,    step_find,      step_find,
        step_pin,  step_pin,  step_update, step_fill, step_fill,   step_remove,    step_lease,
        step_find, step_find, step_shrink, step_fill, step_shrink, step_configure,
    };

    memset(&run, 0, sizeof(run));
    run.state = (uint64_t)_i;
    choose_settings();
    begin(MEMORY, MANY);
    for (unsigned step = 0; step < fewer_rounds(SANITIZED ? 5000 : 20000, 10); step++) {
        steps[below(ROWS(steps))]();
        check_step();
    }
    ck_assert_uint_gt(run.taken, 50); /* the run was about something */
    for (unsigned i = 0; i < STEP_PINS; i++) {
        if (run.pins[i])
            store_unpin(&here.store, &run.pins[i]);
    }
    for (unsigned i = 0; i < STEP_FILLS; i++) {
        if (run.fills[i])
            store_fill_discard(&here.store, &run.fills[i]);
        if (run.leases[i])
            lease_end(&here.leases, &run.leases[i]);
    }
    check_step();
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, memory_beyond_reserves_is_divided_by_weight);
    tcase_add_test(tcase, one_tenant_alone_may_use_everything);
    tcase_add_test(tcase, reserve_is_never_taken);
    tcase_add_test(tcase, object_on_the_edge_of_the_reserve_stays);
    tcase_add_test(tcase, who_is_at_its_limit_evicts_its_own);
    tcase_add_test(tcase, what_is_held_leaves_room_for_reserves);
    tcase_add_test(tcase, index_grows_within_the_limit);
    tcase_add_test(tcase, no_memory_for_the_index);
    ADD_ROWS(tcase, bad_settings_change_nothing, bad);
    tcase_add_test(tcase, all_of_the_memory_may_be_reserved);
    tcase_add_test(tcase, newcomers_have_the_defaults);
    tcase_add_test(tcase, settings_hold_for_who_comes_later_and_end);
    tcase_add_test(tcase, tenants_with_settings_keep_their_places);
    tcase_add_test(tcase, lowered_limit_is_reached_in_steps);
    tcase_add_test(tcase, fills_and_waiters_are_bounded);
    ADD_ROWS(tcase, settings_as_text, options);
    tcase_add_test(tcase, settings_as_text_arrive);
    ADD_ROWS(tcase, settings_on_the_command_line, lines);
    tcase_add_test(tcase, heap_names_the_one_furthest_over_its_share);
    tcase_add_loop_test(tcase, random_loads_keep_all_promises, 1, 9);
}

int main(void)
{
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    return run_suite("shares", add_cases);
}
