#include "holds.h"

#include "admin.h"
#include "cache.h"
#include "invariant.h"
#include "pins.h"
#include "touch.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- pools ---- */

static void set_guard(struct session *session, uint32_t segment, uint32_t value)
{
    if (session->spoiled)
        return;
    struct pause_touch touch = touch_begin_other(session);
    segment_set_guard(&session->pool, segment, value);
    (void)touch_end_other(session, &touch);
}

static uint32_t uses_of(const struct hold *hold)
{
    struct session *session = hold->session;

    if (session->spoiled)
        return hold->counted;
    struct pause_touch touch = touch_begin_other(session);
    uint32_t uses = segment_uses(&session->pool, hold->segment);
    return touch_end_other(session, &touch) ? uses : hold->counted;
}

/* ---- use ---- */

/* Returns how many uses that were. */
static uint32_t count_uses(struct hold *hold, uint32_t uses)
{
    uint32_t more = uses - hold->counted;

    hold->counted = uses;
    if (more > HOLDS_MOST_USES)
        more = HOLDS_MOST_USES;
    cache_count(hold->session, COUNTER_hits, more);
    cache_count(hold->session, COUNTER_kept_hits, more);
    cache_count(hold->session, COUNTER_bytes_served, more * object_size(hold->object));
    return more;
}

/* ---- tables ---- */

static struct hold **bucket_of(struct hold_table *table, const struct object *object)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)object ^ table->key) * UINT64_C(0x9e3779b97f4a7c15);

    return &table->buckets[(mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93) >> 54];
}
_Static_assert(HOLDS_BUCKETS == 1u << 10, "the upper ten bits choose one");

static struct hold *find(struct tenant *tenant, const struct object *object, struct hold *after)
{
    struct hold *hold = after ? after->next_of_bucket : *bucket_of(tenant->holds, object);

    while (hold && hold->object != object)
        hold = hold->next_of_bucket;
    return hold;
}

/* Charged like what a policy remembers: it is little, and goes with the registration. */
static void *allocate(struct session *session, size_t bytes)
{
    struct store *store = &session->cache->store;
    void *block = NULL;

    if (pins_may_hold(session, bytes))
        block = memory_alloc(&store->memory, &session->tenant->account, bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

static void give_back(struct session *session, void *block)
{
    memory_free(&session->cache->store.memory, &session->tenant->account, block);
}

static bool join_table(struct session *session)
{
    struct tenant *tenant = session->tenant;

    if (!tenant->holds) {
        tenant->holds = allocate(session, sizeof(*tenant->holds));
        if (!tenant->holds)
            return false;
        randombytes_buf(&tenant->holds->key, sizeof(tenant->holds->key));
    }
    tenant->holds->keepers++;
    return true;
}

static void leave_table(struct session *session)
{
    struct tenant *tenant = session->tenant;

    if (--tenant->holds->keepers > 0)
        return;
    INVARIANT(tenant->holds->count == 0);
    give_back(session, tenant->holds);
    tenant->holds = NULL;
}

/* ---- keepers ---- */

static uint32_t room_of(const struct session *session)
{
    uint32_t shards = session->cache->place.shards, part = session->pool.shape.segments / 2;

    if (shards > 1)
        part /= shards;
    return part < HOLDS_MAX_SESSION ? part : HOLDS_MAX_SESSION;
}

/* Behind the places, where a hold may begin. */
static size_t holds_at(const struct session *session)
{
    size_t bytes = sizeof(struct keeper) + session->pool.shape.segments * sizeof(uint16_t);

    return (bytes + _Alignof(struct hold) - 1) & ~(_Alignof(struct hold) - 1);
}

static bool create_keeper(struct session *session)
{
    uint32_t room = room_of(session);
    struct keeper *keeper = allocate(session, holds_at(session) + room * sizeof(struct hold));

    if (!keeper)
        return false;
    keeper->holds = (struct hold *)(void *)((char *)keeper + holds_at(session));
    keeper->room = room;
    for (uint32_t i = 0; i < room; i++)
        keeper->holds[i].segment = i + 1;
    session->keeper = keeper;
    return true;
}

bool holds_prepare(struct session *session)
{
    if (session->keeper)
        return true;
    if (session->cache->mono_ms < session->keeper_retry_ms)
        return false;
    if (join_table(session)) {
        if (create_keeper(session))
            return true;
        leave_table(session);
    }
    session->keeper_retry_ms = session->cache->mono_ms + HOLDS_RETRY_MS;
    return false;
}

/* ---- holds ---- */

static void link_hold(struct hold *hold, struct object *object)
{
    struct hold_table *table = hold->session->tenant->holds;
    struct hold **bucket = bucket_of(table, object);

    hold->object = object;
    DL_APPEND(table->list, hold);
    DL_PREPEND2(*bucket, hold, prev_of_bucket, next_of_bucket);
    table->count++;
    hold->session->cache->kept++;
    store_set_kept(object, true);
}

static void unlink_hold(struct hold *hold)
{
    struct tenant *tenant = hold->session->tenant;
    struct hold **bucket = bucket_of(tenant->holds, hold->object);
    struct object *object = hold->object;

    DL_DELETE(tenant->holds->list, hold);
    DL_DELETE2(*bucket, hold, prev_of_bucket, next_of_bucket);
    tenant->holds->count--;
    hold->session->cache->kept--;
    hold->object = NULL;
    store_set_kept(object, find(tenant, object, NULL) != NULL);
}

bool holds_take(struct session *session, struct object *object, uint32_t segment)
{
    struct keeper *keeper = session->keeper;

    holds_end(session, segment);
    if (keeper->used == keeper->room || session->tenant->holds->count == HOLDS_MAX_TENANT)
        return false;
    struct hold *hold = &keeper->holds[keeper->first_free];
    keeper->first_free = hold->segment;
    keeper->used++;
    *hold = (struct hold){.session = session, .segment = segment};
    keeper->places[segment] = (uint16_t)(hold - keeper->holds + 1);
    link_hold(hold, object);
    hold->counted = hold->asked = uses_of(hold);
    keeper->sequence += keeper->sequence == UINT32_MAX ? 2 : 1; /* never POOL_STALE */
    set_guard(session, segment, keeper->sequence);
    return true;
}

static void forget(struct hold *hold)
{
    struct session *session = hold->session;
    struct keeper *keeper = session->keeper;

    count_uses(hold, uses_of(hold));
    unlink_hold(hold);
    keeper->places[hold->segment] = 0;
    hold->segment = keeper->first_free;
    keeper->first_free = (uint32_t)(hold - keeper->holds);
    keeper->used--;
}

static void end(struct hold *hold)
{
    set_guard(hold->session, hold->segment, POOL_STALE);
    forget(hold);
}

static struct hold *hold_of(const struct session *session, uint32_t segment)
{
    const struct keeper *keeper = session->keeper;
    uint16_t place = keeper && segment < session->pool.shape.segments ? keeper->places[segment] : 0;

    return place > 0 ? &keeper->holds[place - 1] : NULL;
}

void holds_end(struct session *session, uint32_t segment)
{
    struct hold *hold = hold_of(session, segment);

    if (hold)
        end(hold);
}

void holds_given_up(struct session *session, uint32_t segment)
{
    struct hold *hold = hold_of(session, segment);

    if (hold)
        forget(hold);
}

void holds_part(struct session *session)
{
    struct keeper *keeper = session->keeper;

    if (!session->obstructs) {
        struct pause_touch touch = touch_begin_other(session);
        pool_end(&session->pool); /* also what it says that it keeps, and does not */
        (void)touch_end_other(session, &touch);
    }
    if (!keeper)
        return;
    for (uint32_t i = 0; i < keeper->room; i++) {
        if (keeper->holds[i].object)
            end(&keeper->holds[i]);
    }
    session->keeper = NULL;
    give_back(session, keeper);
    leave_table(session);
}

uint32_t holds_of_session(const struct session *session)
{
    return session->keeper ? session->keeper->used : 0;
}

uint32_t holds_of_tenant(const struct tenant *tenant)
{
    return tenant->holds ? tenant->holds->count : 0;
}

/* ---- what the store asks and says ---- */

void holds_changed(void *context, struct object *object)
{
    struct hold *hold;

    (void)context;
    while ((hold = find(object_tenant(object), object, NULL)) != NULL)
        end(hold);
}

static bool was_used(struct hold *hold)
{
    uint32_t uses = uses_of(hold);
    bool used = uses != hold->asked;

    hold->asked = uses;
    return used;
}

bool holds_used(void *context, struct object *object)
{
    struct tenant *tenant = object_tenant(object);
    struct hold *hold = find(tenant, object, NULL);
    bool used = false;

    (void)context;
    for (unsigned i = 0; hold && i < HOLDS_ASKED; i++) {
        used |= was_used(hold);
        hold = find(tenant, object, hold);
    }
    return used;
}

struct object *holds_next(struct tenant *tenant)
{
    struct hold *hold = tenant->holds ? tenant->holds->list : NULL;

    if (!hold)
        return NULL;
    DL_DELETE(tenant->holds->list, hold);
    DL_APPEND(tenant->holds->list, hold);
    return hold->object;
}

/* ---- collecting ---- */

static void collect(struct cache *cache, struct hold *hold)
{
    uint32_t uses = uses_of(hold);
    uint32_t more = count_uses(hold, uses);

    if (uses != hold->asked)
        store_used(hold->object);
    hold->asked = uses;
    if (more > 0)
        admin_note_uses(cache, hold->object, more);
}

/* Goes on with the session that was left, and the hold in it; `most` places are looked at. False: the end of
 * the round. */
static bool collect_some(struct cache *cache, unsigned most)
{
    struct hold_cursor *at = &cache->collected;

    while (at->place < REGISTRY_MAX) {
        const struct session *session = cache->registry.places[at->place].session;
        struct keeper *keeper = session ? session->keeper : NULL;

        for (; keeper && keeper->used > 0 && at->hold < keeper->room; at->hold++) {
            if (most-- == 0)
                return true;
            if (keeper->holds[at->hold].object)
                collect(cache, &keeper->holds[at->hold]);
        }
        at->place++;
        at->hold = 0;
    }
    return false;
}

void holds_collect_step(struct cache *cache)
{
    if (cache->kept == 0 || cache->mono_ms < cache->next_collection_ms)
        return;
    if (collect_some(cache, HOLDS_STEP))
        return;
    cache->collected = (struct hold_cursor){0};
    cache->next_collection_ms = cache->mono_ms + HOLDS_ROUND_MS;
}

void holds_collect(struct cache *cache)
{
    cache->collected = (struct hold_cursor){0};
    if (cache->kept > 0)
        collect_some(cache, HOLDS_AT_ONCE);
}
