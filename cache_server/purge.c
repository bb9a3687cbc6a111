#include "purge.h"

#include "cache.h"
#include "clock.h"
#include "follow.h"
#include "holds.h"

#include <string.h>

static void count(struct cache *cache, struct tenant *tenant, enum counter counter, uint64_t by)
{
    cache->counters.values[counter] += by;
    tenant->counters.values[counter] += by;
}

/* ---- leases ---- */

static void cancel(struct cache *cache, struct lease *lease, struct purge_effect *effect)
{
    struct tenant *tenant = lease_tenant(lease);

    lease_cancel(&cache->leases, lease);
    count(cache, tenant, COUNTER_purge_cancels, 1);
    effect->leases++;
    follow_cancelled(cache, lease); /* it may be gone */
}

bool purge_hits_lease(struct cache *cache, struct lease *lease, const struct tag_list *list)
{
    const struct purges *purges = &lease_tenant(lease)->purges;
    const struct object *object = lease_object(lease);
    struct purge_effect effect = {0};
    int64_t at;

    if (lease_is_cancelled(lease))
        return true;
    if (lease_stamp(lease) >= purges->lease_floor &&
        !(list && purges_since(purges, list, lease_stamp(lease))) &&
        !(object && store_judge(object, &at) != PURGES_SPARED))
        return false;
    cancel(cache, lease, &effect);
    return true;
}

struct lease *purge_lease_find(struct cache *cache)
{
    struct lease *lease = lease_find(&cache->leases, &cache->key);

    return lease && purge_hits_lease(cache, lease, NULL) ? NULL : lease;
}

/* Is it that of the key, of a part of it, or one that the prefix begins? */
static bool is_meant(const struct purge_order *order, const struct lease *lease)
{
    uint32_t length;
    const uint8_t *key = lease_key(lease, &length);

    if (length < order->length || memcmp(key, order->bytes, order->length) != 0)
        return false;
    return order->scope != PURGE_KEY || length == order->length || key[order->length] == STORE_PART;
}

static void cancel_leases(struct cache *cache, const struct purge_order *order, struct purge_effect *effect)
{
    struct tenant *tenant = order->tenant;
    struct lease *lease, *next;

    tenant->purges.clock++;
    if (tenant->leases > PURGE_LEASES) {
        tenant->purges.lease_floor = tenant->purges.clock;
        return;
    }
    for (lease = tenant->granted; lease; lease = next) {
        next = lease_next_of_tenant(lease);
        if (is_meant(order, lease))
            cancel(cache, lease, effect);
    }
}

/* ---- objects ---- */

/* Who is filling its key, or validating it: what comes of it is as old as the object. */
static void cancel_lease_of(struct cache *cache, const struct object *object, struct purge_effect *effect)
{
    struct lease *lease;

    object_key(&cache->store, object, &cache->key);
    lease = lease_find(&cache->leases, &cache->key);
    if (lease && (object_is_stored(object) || lease_object(lease) == object))
        cancel(cache, lease, effect);
}

/* It is done with. True: it was hit. */
static bool visit_stored(struct cache *cache, struct object *object, struct purge_effect *effect)
{
    int64_t at = 0;
    enum purges_verdict verdict = store_judge(object, &at);

    if (verdict != PURGES_SPARED)
        cancel_lease_of(cache, object, effect);
    effect->objects += store_settle(&cache->store, object, verdict, at) != PURGES_SPARED;
    return verdict != PURGES_SPARED;
}

/* What judging an object by all records of its tenant costs. */
static unsigned cost_of_judging(const struct object *object)
{
    const struct purges *purges = &object_tenant(object)->purges;
    uint32_t tags = purges->count - purges->prefixes;

    return 1 + purges->prefix_bytes / PURGE_BYTES + purges->count / PURGE_RECORDS +
           tags * object_weight_of_tags(object) / PURGE_RECORDS;
}

/* Returns what it cost. */
static unsigned visit(struct cache *cache, struct object *object, struct purge_effect *effect)
{
    unsigned cost = cost_of_judging(object), hit = PURGE_HIT + object_weight_of_tags(object) - 1;
    int64_t at;

    if (object_is_stored(object))
        return visit_stored(cache, object, effect) ? cost + hit - 1 : cost;
    if (store_judge(object, &at) != PURGES_SPARED)
        cancel_lease_of(cache, object, effect);
    return cost + hit - 1;
}

/* ---- records ---- */

static void end_record(struct cache *cache, struct tenant *tenant, struct purge_record *record)
{
    uint64_t bytes = memory_charge(record);

    cache->prefixes -= record->kind == PURGE_PREFIX;
    purges_remove(&tenant->purges, record);
    store_let_go(&cache->store, tenant, bytes);
    memory_free(&cache->store.memory, &tenant->account, record);
    cache->purging -= tenant->purges.count == 0;
}

static struct purge_record *create_record(struct cache *cache, struct tenant *tenant, uint32_t prefix_length)
{
    struct purge_record *record = NULL;
    size_t bytes = purge_record_bytes(prefix_length);

    if (store_may_hold(&cache->store, tenant, bytes))
        record = memory_alloc(&cache->store.memory, &tenant->account, bytes);
    if (record)
        store_hold(&cache->store, tenant, memory_charge(record));
    return record;
}

static void began(struct cache *cache, struct tenant *tenant, const struct purge_record *record)
{
    struct purge_record *old;

    cache->purging += tenant->purges.count == 1;
    while ((old = purges_superseded(&tenant->purges, record)) != NULL)
        end_record(cache, tenant, old);
}

/* ---- carrying them out ---- */

static struct purge_record *first_of(const struct purges *purges, enum purge_kind kind)
{
    struct purge_record *record = purges->records;

    while (record && record->kind != kind)
        record = record->next;
    return record;
}

/* Spends some of the budget on the objects of a tag. True: that was all of them. */
static bool follow_tag(struct cache *cache, struct tenant *tenant, struct purge_record *record,
                       struct purge_effect *effect, unsigned *budget)
{
    while (*budget > 0 && record->cursor) {
        struct object *object = record->cursor->object;

        record->cursor = record->cursor->next; /* the object may go */
        unsigned cost = visit(cache, object, effect);
        *budget -= cost < *budget ? cost : *budget;
    }
    if (record->cursor)
        return false;
    end_record(cache, tenant, record);
    return true;
}

/* ---- rounds: one walk through all objects for the prefixes of all tenants ---- */

/* All objects that were there when the round began have been visited: so far the tenant's records have been
 * carried out. */
static void end_round_of(struct cache *cache, struct tenant *tenant)
{
    struct purge_record *record, *next;

    for (record = tenant->purges.records; record; record = next) {
        next = record->next;
        if (record->kind == PURGE_PREFIX && record->stamp <= tenant->purges.round)
            end_record(cache, tenant, record);
    }
}

static void end_round(struct cache *cache)
{
    for (uint32_t i = 0; i < cache->tenants.count; i++)
        end_round_of(cache, cache->tenants.list[i]);
}

static void begin_round(struct cache *cache)
{
    for (uint32_t i = 0; i < cache->tenants.count; i++)
        cache->tenants.list[i]->purges.round = cache->tenants.list[i]->purges.clock;
    store_walk_begin(&cache->store);
}

/* Spends some of the budget. What is hit of the asker's (NULL: nobody has asked) is its effect. */
static void walk(struct cache *cache, const struct tenant *asker, struct purge_effect *effect,
                 unsigned *budget)
{
    struct object *object;

    while (*budget > 0 && (object = store_walk(&cache->store)) != NULL) {
        struct purge_effect others = {0};
        struct tenant *tenant = object_tenant(object);
        unsigned cost = 1;

        if (tenant->purges.count > 0)
            cost = visit(cache, object, tenant == asker ? effect : &others);
        count(cache, tenant, COUNTER_purge_collected, others.objects);
        *budget -= cost < *budget ? cost : *budget;
    }
    if (store_walk_is_over(&cache->store)) /* also when the last object took the last of the budget */
        end_round(cache);
}

/* ---- a turn's share ---- */

/* One that has tags to follow; they take turns. */
static struct tenant *next_with_tags(struct cache *cache)
{
    const struct tenants *tenants = &cache->tenants;

    for (uint32_t i = 0; i < tenants->count; i++) {
        struct tenant *tenant = tenants->list[++cache->purge_turn % tenants->count];
        if (tenant->purges.count > tenant->purges.prefixes)
            return tenant;
    }
    return NULL;
}

static void go_on_following(struct cache *cache, unsigned budget)
{
    struct tenant *tenant = next_with_tags(cache);
    struct purge_effect effect = {0};
    struct purge_record *record;

    while (tenant && budget > 0 && (record = first_of(&tenant->purges, PURGE_TAG)) != NULL)
        follow_tag(cache, tenant, record, &effect, &budget);
    if (tenant)
        count(cache, tenant, COUNTER_purge_collected, effect.objects);
}

static void go_on_walking(struct cache *cache, unsigned budget)
{
    if (cache->prefixes > 0 && store_walk_is_over(&cache->store))
        begin_round(cache);
    if (cache->prefixes > 0)
        walk(cache, NULL, NULL, &budget);
}

void purge_step(struct cache *cache)
{
    if (cache->purging == 0)
        return;
    go_on_following(cache, PURGE_STEP);
    go_on_walking(cache, PURGE_STEP);
}

bool purge_is_over(const struct cache *cache)
{
    return cache->purging == 0;
}

void purge_forget(struct cache *cache, struct tenant *tenant)
{
    while (tenant->purges.records)
        end_record(cache, tenant, tenant->purges.records);
}

/* ---- orders ---- */

/* What it finds at once is its own doing, unless others are being carried out already. */
static enum purge_result purge_prefix(struct cache *cache, const struct purge_order *order,
                                      struct purge_effect *effect, unsigned *budget)
{
    struct tenant *tenant = order->tenant;
    struct purge_record *record = create_record(cache, tenant, order->length);

    if (!record)
        return PURGE_NO_MEMORY;
    purges_add_prefix(&tenant->purges, record, order->bytes, order->length, order->soft, cache->now);
    cache->prefixes++;
    began(cache, tenant, record);
    if (cache->prefixes == 1) {
        begin_round(cache);
        walk(cache, tenant, effect, budget);
    }
    effect->goes_on = tenant->purges.prefixes > 0;
    return PURGE_DONE;
}

static enum purge_result purge_tag(struct cache *cache, const struct purge_order *order, uint64_t tag,
                                   struct purge_effect *effect, unsigned *budget)
{
    struct tenant *tenant = order->tenant;
    struct tag_node *newest = tags_find(&cache->store.tags, tag);

    if (!newest)
        return PURGE_DONE;
    struct purge_record *record = create_record(cache, tenant, 0);
    if (!record)
        return PURGE_NO_MEMORY;
    newest = tags_find(&cache->store.tags, tag); /* something may have been evicted for the record */
    purges_add_tag(&tenant->purges, record, tag, newest, order->soft, cache->now);
    began(cache, tenant, record);
    effect->goes_on |= !follow_tag(cache, tenant, record, effect, budget);
    return PURGE_DONE;
}

static enum purge_result purge_tags(struct cache *cache, const struct purge_order *order,
                                    struct purge_effect *effect, unsigned *budget)
{
    enum purge_result result = PURGE_DONE;

    for (uint32_t i = 0; i < order->tags->count && result == PURGE_DONE; i++) {
        purges_note_tag(&order->tenant->purges, order->tags->tags[i]);
        result = purge_tag(cache, order, order->tags->tags[i], effect, budget);
    }
    return result;
}

static enum purge_result purge_key(struct cache *cache, const struct purge_order *order, uint64_t parts,
                                   struct purge_effect *effect, unsigned *budget)
{
    struct store_key *key = &cache->key;
    struct object *object;

    store_key_set(&cache->store, key, order->tenant, order->bytes, order->length);
    object = store_peek(&cache->store, key);
    if (object && order->soft)
        effect->objects += store_lapse(&cache->store, object, cache->now);
    else if (object)
        store_doom(&cache->store, object);
    effect->objects += object && !order->soft;
    return purge_tag(cache, order, parts, effect, budget);
}

/* By this order, which is quicker than by all records that there are; those of earlier ones have been. */
static bool is_hit_by(const struct purge_order *order, const struct tag_sieve *sieve,
                      const struct object *object)
{
    return order->scope == PURGE_PREFIXED ? object_key_begins(object, order->bytes, order->length)
                                          : tag_set_has_any(object_tags(object), sieve);
}

/* What proxies keep is served without asking, so it is dealt with before the answer, whatever else is left
 * for later. */
static void visit_kept(struct cache *cache, const struct purge_order *order, const struct tag_list *tags,
                       struct purge_effect *effect)
{
    struct tenant *tenant = order->tenant;
    uint32_t left = tenant->purges.count > 0 ? holds_of_tenant(tenant) : 0;
    struct tag_sieve sieve;

    tag_sieve_setup(&sieve, tags);
    for (struct object *object; left > 0 && (object = holds_next(tenant)) != NULL; left--) {
        if (is_hit_by(order, &sieve, object))
            visit_stored(cache, object, effect);
    }
}

static bool has_place(const struct purge_order *order)
{
    const struct purges *purges = &order->tenant->purges;
    uint32_t more = order->scope == PURGE_TAGGED ? order->tags->count : 1;
    uint32_t bytes = order->scope == PURGE_PREFIXED ? order->length : 0;

    return purges->count + more <= PURGES_MAX && purges->prefix_bytes + bytes <= PURGES_PREFIX_BYTES;
}

static enum purge_result begin(struct cache *cache, const struct purge_order *order,
                               const struct tag_list *tags, struct purge_effect *effect)
{
    unsigned budget = PURGE_AT_ONCE * PURGE_HIT;

    if (order->scope == PURGE_TAGGED)
        return purge_tags(cache, order, effect, &budget);
    cancel_leases(cache, order, effect);
    return order->scope == PURGE_KEY ? purge_key(cache, order, tags->tags[0], effect, &budget)
                                     : purge_prefix(cache, order, effect, &budget);
}

/* Those by which an order hits: of a key that which its parts bear, its hash. It is set in cache->key. */
static const struct tag_list *tags_of(struct cache *cache, const struct purge_order *order,
                                      struct tag_list *own)
{
    own->count = 0;
    if (order->scope == PURGE_TAGGED)
        return order->tags;
    if (order->scope == PURGE_KEY) {
        store_key_set(&cache->store, &cache->key, order->tenant, order->bytes, order->length);
        tag_list_add(own, cache->key.hash);
    }
    return own;
}

enum purge_result purge_carry_out(struct cache *cache, const struct purge_order *order,
                                  struct purge_effect *effect)
{
    struct tag_list own;
    const struct tag_list *tags = tags_of(cache, order, &own);

    *effect = (struct purge_effect){0};
    if (!has_place(order))
        return PURGE_NO_PLACE;
    order->tenant->purges.latest_ms = clock_wall_ms(); /* to the millisecond: cache->now is some turns old */
    enum purge_result result = begin(cache, order, tags, effect);
    visit_kept(cache, order, tags, effect);
    /* One that concerns all shards is counted by the first. */
    if (result == PURGE_DONE && (cache->place.shard == 0 || order->scope == PURGE_KEY))
        count(cache, order->tenant, COUNTER_purges, 1);
    return result;
}

/* ---- tags ---- */

struct reading {
    struct cache *cache;
    const struct tenant *tenant;
    struct tag_list *list;
};

static void found(void *context, const uint8_t *text, uint32_t length)
{
    struct reading *reading = context;

    uint64_t tag = store_tag(&reading->cache->store, reading->tenant, text, length);

    tag_list_add(reading->list, tag);
    tops_name(&reading->cache->tops, tag, text, length);
}

bool purge_read_tags(struct cache *cache, const struct tenant *tenant, const uint8_t *block, uint32_t length,
                     struct tag_list *list)
{
    struct reading reading = {cache, tenant, list};

    list->count = 0;
    return tags_read(block, length, found, &reading);
}

/* ---- off the wire ---- */

bool purge_order_flags(struct purge_order *order, uint32_t flags)
{
    uint32_t scope = flags & WIRE_PURGE_SCOPE;

    if (flags > (WIRE_PURGE_SCOPE | WIRE_PURGE_SOFT) || scope == WIRE_PURGE_SCOPE)
        return false;
    order->scope = (enum purge_scope)scope;
    order->soft = flags & WIRE_PURGE_SOFT;
    return true;
}

bool purge_length_is_sound(enum purge_scope scope, uint32_t length)
{
    if (scope == PURGE_PREFIXED)
        return length <= STORE_MAX_KEY;
    return length > 0 && length <= (scope == PURGE_KEY ? STORE_MAX_KEY : WIRE_TAGS_BYTES);
}

bool purge_order_fill(struct cache *cache, struct purge_order *order, uint32_t length)
{
    order->bytes = cache->block;
    order->length = length;
    order->tags = &cache->tags;
    return order->scope != PURGE_TAGGED ||
           purge_read_tags(cache, order->tenant, cache->block, length, &cache->tags);
}
