#include "admin.h"

#include "cache.h"
#include "holds.h"
#include "log.h"
#include "purge.h"
#include "touch.h"

#include <stdio.h>
#include <string.h>

/* ---- the most used ---- */

void admin_note_lookup(struct cache *cache, const struct object *found, uint32_t samples)
{
    const struct store_key *key = &cache->key;
    struct top *top = tops_find(&cache->tops, key->tenant->id, cache->mono_ms, true);
    const struct tag_set *tags = found ? object_tags(found) : NULL;

    if (!top)
        return;
    top_note_key(top, key->hash, key->bytes + sizeof(uint32_t), key->length - (uint32_t)sizeof(uint32_t),
                 samples);
    for (uint32_t i = 0; tags && i < tags->count; i++)
        top_note_tag(top, tags->nodes[i].tag, samples);
}

void admin_note_uses(struct cache *cache, const struct object *object, uint32_t uses)
{
    uint64_t chance = sampler_random(&cache->lookups) % WIRE_SAMPLE;
    uint32_t samples = uses / WIRE_SAMPLE + (chance < uses % WIRE_SAMPLE);

    if (samples == 0)
        return;
    object_key(&cache->store, object, &cache->key);
    admin_note_lookup(cache, object, samples);
}

/* Whole tenants, as many as there is room for. */
static uint32_t give_tops(struct cache *cache, const struct wire_top *asked, uint32_t room, uint8_t *out,
                          struct wire_top_rows *answer)
{
    struct wire_top_row *rows = cache->rows;
    uint32_t most = asked->most < WIRE_TOP_MOST ? asked->most : WIRE_TOP_MOST;
    uint32_t cursor = asked->cursor;

    for (; cursor < cache->tenants.count && answer->rows + 2 * most <= room; cursor++) {
        const struct tenant *tenant = cache->tenants.list[cursor];
        struct top *top = tops_find(&cache->tops, tenant->id, cache->mono_ms, false);
        if (!top || (asked->tenant[0] && strcmp(asked->tenant, tenant->name) != 0))
            continue;
        uint32_t count = top_rows(&cache->tops, top, tenant->name, most, rows);
        memcpy(out + answer->rows * sizeof(*rows), rows, count * sizeof(*rows));
        answer->rows += count;
    }
    return cursor < cache->tenants.count ? cursor : 0;
}

enum admin_result admin_top(struct cache *cache, struct session *session, const struct wire_top *asked,
                            struct wire_top_rows *answer)
{
    struct segment_pool *pool = &session->pool;
    uint32_t room = pool->shape.segment_bytes / (uint32_t)sizeof(struct wire_top_row);

    if (asked->segment >= pool->shape.segments || asked->most == 0 || room < 2 * WIRE_TOP_MOST)
        return ADMIN_MALFORMED;
    if (asked->tenant[0] && !tenants_find(&cache->tenants, asked->tenant))
        return ADMIN_NO_TENANT;
    answer->segment = asked->segment;
    if (asked->cursor == 0)
        holds_collect(cache);
    struct pause_touch touch = touch_begin(session);
    bool won = segment_win_write(pool, asked->segment);
    if (won) {
        answer->next_cursor = give_tops(cache, asked, room, segment_payload(pool, asked->segment), answer);
        segment_post_read(pool, asked->segment);
    }
    if (!touch_end(session, &touch))
        return ADMIN_FAULTED;
    return won ? ADMIN_DONE : ADMIN_MALFORMED;
}

/* ---- one key ---- */

/* The key into cache->block. The segment stays ours, for the answer. */
static bool take_key(struct cache *cache, struct segment_pool *pool, const struct wire_show *asked)
{
    if (!segment_win_read(pool, asked->segment))
        return false;
    memcpy(cache->block, segment_payload(pool, asked->segment), asked->length);
    segment_post_write(pool, asked->segment);
    return true;
}

static void describe_lease(const struct cache *cache, const struct lease *lease, struct wire_shown *answer)
{
    uint64_t handle;
    const struct session *holder = lease_holder(lease, &handle);

    answer->flags |= WIRE_SHOWN_LEASED | (lease_is_filling(lease) ? (uint32_t)WIRE_SHOWN_FILLING : 0);
    answer->holder = holder ? (uint32_t)holder->pid : 0;
    answer->followers = lease_followers(lease);
    answer->filled = lease_is_filling(lease) ? lease_filled(lease) : 0;
    answer->quiet_ms = cache->mono_ms - lease_touched(lease);
}

static void describe_order(const struct object *object, const struct tenant *tenant,
                           struct wire_shown *answer)
{
    static const char *const queues[EVICTION_QUEUES] = {[EVICTION_NEW] = "new",
                                                        [EVICTION_PROBATION] = "probation",
                                                        [EVICTION_SMALL] = "small",
                                                        [EVICTION_MAIN] = "main"};
    const struct eviction_node *order = object_order(object);
    const char *queue = order->queue < EVICTION_QUEUES ? queues[order->queue] : "";

    snprintf(answer->policy, sizeof(answer->policy), "%s", eviction_policy_name(tenant->eviction.policy));
    snprintf(answer->queue, sizeof(answer->queue), "%s", object_pins(object) > 0 ? "pinned" : queue);
    answer->uses = order->uses;
}

static void describe_object(const struct object *object, const struct tenant *tenant,
                            struct wire_shown *answer)
{
    const struct tag_set *tags = object_tags(object);

    answer->flags |= WIRE_SHOWN_STORED | (object_is_lapsed(object) ? (uint32_t)WIRE_SHOWN_LAPSED : 0);
    answer->size = object_size(object);
    answer->charge = object_charge(object);
    answer->fresh_until = object_fresh_until(object);
    answer->keep_until = object_keep_until(object);
    answer->pins = object_pins(object);
    describe_order(object, tenant, answer);
    answer->tags = tags ? tags->count : 0;
}

/* Metadata, as far as it fits. False: the asker did not leave the segment writable. */
static bool give_meta(struct segment_pool *pool, uint32_t segment, const struct object *object,
                      struct wire_shown *answer)
{
    const uint8_t *meta = object_meta(object, &answer->meta_whole);
    uint32_t room = pool->shape.segment_bytes;

    if (!segment_win_write(pool, segment))
        return false;
    answer->meta_length = answer->meta_whole < room ? answer->meta_whole : room;
    if (answer->meta_length > 0)
        memcpy(segment_payload(pool, segment), meta, answer->meta_length);
    segment_post_read(pool, segment);
    return true;
}

/* Looks without touching: an object that is asked about is not used. */
static bool describe(struct cache *cache, struct segment_pool *pool, const struct wire_show *asked,
                     struct tenant *tenant, struct wire_shown *answer)
{
    struct object *object;

    answer->segment = asked->segment;
    answer->now = cache->now;
    store_key_set(&cache->store, &cache->key, tenant, cache->block, asked->length);
    const struct lease *lease = purge_lease_find(cache);
    if (lease)
        describe_lease(cache, lease, answer);
    object = store_peek(&cache->store, &cache->key);
    if (object && store_visit(&cache->store, object) == PURGES_GONE)
        object = NULL;
    if (!object || object_keep_until(object) <= cache->now)
        return true;
    describe_object(object, tenant, answer);
    return give_meta(pool, asked->segment, object, answer);
}

enum admin_result admin_show(struct cache *cache, struct session *session, const struct wire_show *asked,
                             struct wire_shown *answer)
{
    struct segment_pool *pool = &session->pool;
    struct tenant *tenant = tenants_find(&cache->tenants, asked->tenant);
    enum admin_result result = ADMIN_MALFORMED;

    if (asked->segment >= pool->shape.segments || asked->length == 0 || asked->length > STORE_MAX_KEY ||
        asked->length > pool->shape.segment_bytes)
        return ADMIN_MALFORMED;
    struct pause_touch touch = touch_begin(session);
    if (take_key(cache, pool, asked)) {
        result = ADMIN_NO_TENANT;
        if (tenant)
            result = describe(cache, pool, asked, tenant, answer) ? ADMIN_DONE : ADMIN_MALFORMED;
    }
    return touch_end(session, &touch) ? result : ADMIN_FAULTED;
}

/* ---- draining ---- */

static void tell(struct session *session)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_CACHE_DRAIN, session->token);

    message.wire_cache_drain.secret = session->secret;
    message.wire_cache_drain.flags = session->drained ? WIRE_DRAIN_ON : 0;
    session->untold = mq_send_message(session->reply, &message, length) != 0;
}

void admin_remind(struct session *session)
{
    if (session->untold)
        tell(session);
}

static bool is_meant(const struct session *session, const struct wire_drain *asked)
{
    if (!session || session->role != WIRE_ROLE_PROXY)
        return false;
    return asked->proxy ? session->registration == asked->proxy : (uint32_t)session->pid == asked->pid;
}

enum admin_result admin_drain(struct cache *cache, const struct wire_drain *asked,
                              struct wire_drained *answer)
{
    if (asked->flags > WIRE_DRAIN_ON || (asked->proxy == 0 && asked->pid == 0))
        return ADMIN_MALFORMED;
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (!is_meant(session, asked))
            continue;
        session->drained = asked->flags & WIRE_DRAIN_ON;
        log_info(session->drained ? "proxy told to take no new clients" : "proxy told to take clients again",
                 "proxy=%d tenant=%s", (int)session->pid, session->tenant->name);
        tell(session);
        answer->proxies++;
    }
    return answer->proxies > 0 ? ADMIN_DONE : ADMIN_NO_PROXY;
}
