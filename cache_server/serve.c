#include "serve.h"

#include "admin.h"
#include "cache.h"
#include "clock.h"
#include "follow.h"
#include "holds.h"
#include "pins.h"
#include "purge.h"
#include "shm_guard.h"

#include <string.h>

/* The two enums are one; the client's public names are mapped in its own code. */
_Static_assert((int)WIRE_LOOKUP_REVALIDATE == 4, "flags are wire values");

struct serving {
    struct session *session;
    struct cache *cache;
    uint64_t bytes;                    /* moved in this turn */
    const struct store_short_key *key; /* of the request being served, if it was taken ahead; or NULL */
};

/* Not on the wire: the request goes on in the next batch, from session->progress. See also FOLLOW_WAITS. */
#define CONTINUES WIRE_STATUS_END

typedef enum wire_status serve_function(struct serving *serving, const struct wire_request *request,
                                        struct wire_completion *completion);

static enum wire_status refuse(struct session *session, enum wire_status status)
{
    static const enum counter counters[WIRE_STATUS_END] = {
        [WIRE_STATUS_BUSY] = COUNTER_busy,           [WIRE_STATUS_TOO_LARGE] = COUNTER_too_large,
        [WIRE_STATUS_NO_MEMORY] = COUNTER_no_memory, [WIRE_STATUS_FENCED] = COUNTER_fenced,
        [WIRE_STATUS_BAD] = COUNTER_bad_requests,
    };

    cache_count(session, counters[status], 1);
    return status;
}

static bool segment_in_range(const struct session *session, uint32_t segment)
{
    return segment < session->pool.shape.segments;
}

/* Takes a segment that the proxy has handed over with `length` bytes in it. */
static bool take_segment(struct session *session, const struct wire_request *request, uint64_t length)
{
    return segment_in_range(session, request->segment) && length <= session->pool.shape.segment_bytes &&
           segment_win_read(&session->pool, request->segment);
}

/* ---- lookup ---- */

static bool take_key(struct serving *serving, const struct wire_request *request)
{
    struct session *session = serving->session;

    if (serving->key) {
        store_key_recall(&serving->cache->key, session->tenant, serving->key);
        serving->bytes += request->key_length;
        return true;
    }
    if (request->key_length == 0 || request->key_length > STORE_MAX_KEY ||
        !take_segment(session, request, request->key_length))
        return false;
    store_key_set(&serving->cache->store, &serving->cache->key, session->tenant,
                  segment_payload(&session->pool, request->segment), request->key_length);
    segment_post_write(&session->pool, request->segment);
    serving->bytes += request->key_length;
    return true;
}

/* ---- what proxies hold ---- */

/* Ends the lease of another who does not get on with it. What was filled is thrown away; whatever the former
 * holder still sends for it is fenced. Those who follow it come first, for as long as a lease may be without
 * progress. True: the key is free. */
static bool take_over(struct serving *serving, struct lease *lease)
{
    struct cache *cache = serving->cache;
    uint64_t handle;

    if (lease_holder(lease, &handle) == serving->session || !follow_is_abandoned(cache, lease) ||
        (lease_followers(lease) > 0 && cache->mono_ms - lease_touched(lease) < cache->conf.lease_ms))
        return false;
    follow_take_from_holder(lease);
    follow_end(cache, &lease);
    return true;
}

static bool may_be_granted(const struct session *session)
{
    return session->leases.used < session->leases.capacity &&
           pins_may_hold(session, session->cache->key.length);
}

/* Of the key that nobody has the lease of. 0: the proxy, or its tenant, holds as much as it may. */
static uint64_t grant_new(struct session *session)
{
    struct cache *cache = session->cache;
    struct lease *lease = NULL;

    if (may_be_granted(session))
        lease = lease_grant(&cache->leases, &cache->key, cache->mono_ms);
    if (!lease)
        return 0;
    uint64_t handle = pins_put_lease(session, lease);
    lease_set_holder(lease, session, handle);
    return handle;
}

/* Of a key whose lease somebody has. */
static void follow_or_take_over(struct serving *serving, struct lease *taken,
                                const struct wire_request *request, struct wire_completion *completion)
{
    struct session *session = serving->session;

    if (request->flags & WIRE_LOOKUP_FOLLOW) {
        completion->lease = follow_join(session, taken);
        completion->flags |= completion->lease ? WIRE_FOLLOWS : 0;
    }
    if (completion->lease || !(request->flags & WIRE_LOOKUP_LEASE) || !may_be_granted(session) ||
        !take_over(serving, taken))
        return;
    completion->lease = grant_new(session);
    cache_count(session, COUNTER_promoted, completion->lease != 0);
}

/* What is to be stored was asked for before its lease was: a purge in between may have meant it. */
static bool is_from_before_a_purge(const struct session *session, const struct wire_request *request)
{
    return request->value != 0 && session->tenant->purges.latest_ms >= (int64_t)request->value;
}

/* What a lookup that found nothing fresh has asked for. */
static void grant(struct serving *serving, const struct wire_request *request,
                  struct wire_completion *completion)
{
    struct session *session = serving->session;
    struct cache *cache = serving->cache;

    if (!(request->flags & (WIRE_LOOKUP_LEASE | WIRE_LOOKUP_FOLLOW)) ||
        is_from_before_a_purge(session, request))
        return;
    struct lease *taken = purge_lease_find(cache);
    if (taken) {
        follow_or_take_over(serving, taken, request, completion);
        return;
    }
    if (request->flags & WIRE_LOOKUP_LEASE)
        completion->lease = grant_new(session);
}

/* ---- answering a lookup ---- */

static uint64_t at_most(uint64_t bytes, uint64_t most)
{
    return bytes < most ? bytes : most;
}

/* For body bytes in the answer to a lookup. */
static uint64_t body_room(const struct session *session, uint32_t meta_length)
{
    return at_most(session->pool.shape.segment_bytes - meta_length, SERVE_PIECE);
}

/* Puts metadata and `length` bytes of the body, as far as there are and they fit, into the segment. False:
 * the proxy did not leave it writable. */
static bool give_object(struct serving *serving, const struct object *object, uint64_t offset,
                        uint64_t length, uint32_t segment, struct wire_completion *completion)
{
    struct session *session = serving->session;
    uint8_t *payload = segment_payload(&session->pool, segment);
    uint32_t meta_length;
    const uint8_t *meta = object_meta(object, &meta_length);

    if (!segment_win_write(&session->pool, segment))
        return false;
    if (meta_length > 0)
        memcpy(payload, meta, meta_length);
    length = at_most(at_most(object_size(object) - offset, length), body_room(session, meta_length));
    object_read(object, offset, payload + meta_length, length);
    segment_post_read(&session->pool, segment);
    completion->meta_length = (uint16_t)meta_length;
    completion->length = (uint32_t)length;
    completion->flags |= WIRE_HAS_DATA | (object_is_lapsed(object) ? WIRE_LAPSED : 0);
    serving->bytes += meta_length + length;
    cache_count(session, COUNTER_bytes_served, length);
    return true;
}

/* It is asked about a fill that is under way, and not for what is stored: no client's request. */
static bool only_follows(const struct wire_request *request)
{
    return (request->flags & (WIRE_LOOKUP_FOLLOW | WIRE_LOOKUP_LEASE)) == WIRE_LOOKUP_FOLLOW;
}

static enum wire_status serve_miss(struct serving *serving, const struct wire_request *request,
                                   struct wire_completion *completion)
{
    cache_count(serving->session, COUNTER_misses, !only_follows(request));
    grant(serving, request, completion);
    return WIRE_STATUS_MISS;
}

/* Before the object is looked for, because making room may evict it. */
static bool wants_to_keep(struct session *session, const struct wire_request *request)
{
    return (request->flags & (WIRE_LOOKUP_KEEP | WIRE_LOOKUP_NO_BODY)) == WIRE_LOOKUP_KEEP &&
           holds_prepare(session);
}

static enum wire_status serve_lookup(struct serving *serving, const struct wire_request *request,
                                     struct wire_completion *completion)
{
    struct session *session = serving->session;

    if (!take_key(serving, request))
        return refuse(session, WIRE_STATUS_BAD);
    bool keep = wants_to_keep(session, request);
    struct object *object = store_find(&serving->cache->store, &serving->cache->key, serving->cache->now);
    if (sampler_takes(&serving->cache->lookups))
        admin_note_lookup(serving->cache, object, 1);
    if (!object)
        return serve_miss(serving, request, completion);

    bool stale =
        (request->flags & WIRE_LOOKUP_REVALIDATE) || object_fresh_until(object) <= serving->cache->now;
    bool with_body = !(request->flags & WIRE_LOOKUP_NO_BODY);
    uint32_t meta_length;
    object_meta(object, &meta_length);
    if (meta_length > session->pool.shape.segment_bytes)
        return refuse(session, WIRE_STATUS_TOO_LARGE);
    bool whole = object_size(object) <= body_room(session, meta_length);

    if (stale || (with_body && !whole)) {
        completion->handle = pins_add(session, object);
        if (!completion->handle)
            return refuse(session, WIRE_STATUS_BUSY);
    }
    /* The guard word is there before the segment is handed over. */
    if (keep && !stale && holds_take(session, object, request->segment))
        completion->flags |= WIRE_KEPT;
    if (!give_object(serving, object, 0, with_body ? UINT64_MAX : 0, request->segment, completion)) {
        holds_end(session, request->segment);
        completion->flags = 0;
        pins_drop(session, completion->handle);
        completion->handle = 0;
        return refuse(session, WIRE_STATUS_BAD);
    }
    completion->object_size = object_size(object);
    completion->fresh_until = object_fresh_until(object);
    if (stale)
        grant(serving, request, completion);
    cache_count(session, stale ? COUNTER_stale : COUNTER_hits, !only_follows(request));
    return stale ? WIRE_STATUS_STALE : WIRE_STATUS_HIT;
}

/* ---- reading on ---- */

/* Metadata and as much of the body as goes with it at once: both may change before the next piece. */
static enum wire_status read_with_meta(struct serving *serving, const struct wire_request *request,
                                       const struct object *object, struct wire_completion *completion)
{
    struct session *session = serving->session;
    uint32_t meta_length;

    object_meta(object, &meta_length);
    if (request->value > object_size(object) || !segment_in_range(session, request->segment))
        return refuse(session, WIRE_STATUS_BAD);
    if (meta_length > session->pool.shape.segment_bytes)
        return refuse(session, WIRE_STATUS_TOO_LARGE);
    if (!give_object(serving, object, request->value, request->length, request->segment, completion))
        return refuse(session, WIRE_STATUS_BAD);
    completion->object_size = object_expected(object);
    completion->fresh_until = object_fresh_until(object);
    return WIRE_STATUS_OK;
}

static enum wire_status serve_read(struct serving *serving, const struct wire_request *request,
                                   struct wire_completion *completion)
{
    struct session *session = serving->session;
    const struct object *object = handles_get(&session->pins, request->handle);

    if (!object)
        return refuse(session, WIRE_STATUS_FENCED);
    if (session->progress == 0)
        pins_recount(session, request->handle);
    if (request->flags & WIRE_READ_META)
        return read_with_meta(serving, request, object, completion);
    if (session->progress == 0 &&
        (request->value > object_size(object) || !segment_in_range(session, request->segment) ||
         !segment_win_write(&session->pool, request->segment)))
        return refuse(session, WIRE_STATUS_BAD);

    uint64_t length = at_most(at_most(object_size(object) - request->value, request->length),
                              session->pool.shape.segment_bytes);
    uint64_t piece = at_most(length - session->progress, SERVE_PIECE);
    object_read(object, request->value + session->progress,
                segment_payload(&session->pool, request->segment) + session->progress, piece);
    serving->bytes += piece;
    cache_count(session, COUNTER_bytes_served, piece);
    session->progress += piece;
    if (session->progress < length)
        return CONTINUES;
    segment_post_read(&session->pool, request->segment);
    completion->length = (uint32_t)length;
    completion->object_size = object_expected(object);
    completion->fresh_until = object_fresh_until(object);
    completion->flags = WIRE_HAS_DATA;
    return WIRE_STATUS_OK;
}

static enum wire_status serve_release(struct serving *serving, const struct wire_request *request,
                                      struct wire_completion *completion)
{
    (void)completion;
    return pins_drop(serving->session, request->handle) ? WIRE_STATUS_OK
                                                        : refuse(serving->session, WIRE_STATUS_FENCED);
}

/* ---- filling ---- */

static enum wire_status status_of(struct session *session, enum store_result result)
{
    switch (result) {
    case STORE_OK:
        return WIRE_STATUS_OK;
    case STORE_TOO_LARGE:
        return refuse(session, WIRE_STATUS_TOO_LARGE);
    case STORE_NO_MEMORY:
        return refuse(session, WIRE_STATUS_NO_MEMORY);
    case STORE_CANCELLED:
        return WIRE_STATUS_MISS;
    case STORE_MISMATCH:
        break;
    }
    return refuse(session, WIRE_STATUS_BAD);
}

/* Bytes that may come from a pool that lost pages are not handed on. */
static void lose_lease(struct serving *serving, uint64_t handle, enum follow_loss loss)
{
    struct lease *lease = pins_take_lease(serving->session, handle);

    if (lease && follow_lose(serving->cache, &lease, shm_guard_faulted() ? FOLLOW_DISCARD : loss))
        cache_count(serving->session, COUNTER_fill_aborts, 1);
}

/* A fill that went wrong is over for its holder: half an object must not wait for bytes that do not come. */
static enum wire_status end_badly(struct serving *serving, uint64_t handle, enum wire_status status)
{
    bool hopeless = status == WIRE_STATUS_TOO_LARGE || status == WIRE_STATUS_NO_MEMORY;

    lose_lease(serving, handle, hopeless ? FOLLOW_HOPELESS : FOLLOW_HAND_ON);
    return status;
}

static enum wire_status commit(struct serving *serving, uint64_t handle)
{
    /* Bytes read from a pool that lost pages must not become an object that others are served. */
    if (shm_guard_faulted())
        return end_badly(serving, handle, WIRE_STATUS_BAD);
    struct lease *lease = pins_take_lease(serving->session, handle);
    purge_hits_lease(serving->cache, lease, NULL);
    enum store_result result = follow_commit(serving->cache, &lease);

    cache_count(serving->session, result == STORE_OK ? COUNTER_fills : COUNTER_fill_aborts, 1);
    return status_of(serving->session, result);
}

/* The next piece of the body that stands in the segment. */
static enum wire_status append(struct serving *serving, const struct wire_request *request,
                               struct lease *lease, const uint8_t *body)
{
    struct session *session = serving->session;
    uint64_t piece = at_most(request->length - session->progress, SERVE_PIECE);
    enum store_result result = STORE_NO_MEMORY;

    if (pins_may_hold(session, piece))
        result = lease_append(&serving->cache->leases, lease, body + session->progress, piece,
                              serving->cache->mono_ms);
    pins_fill_grew(session, request->handle);
    enum wire_status status = status_of(session, result);
    if (status != WIRE_STATUS_OK)
        return end_badly(serving, request->handle, status);
    follow_progress(lease);
    serving->bytes += piece;
    cache_count(session, COUNTER_bytes_filled, piece);
    session->progress += piece;
    return session->progress < request->length ? CONTINUES : WIRE_STATUS_OK;
}

/* Reads the tags behind a key; they are copied first. False: they are malformed. */
static bool take_tags(struct serving *serving, const struct wire_request *request, const uint8_t *block)
{
    struct cache *cache = serving->cache;

    if (request->tags_length > sizeof(cache->block))
        return false;
    memcpy(cache->block, block, request->tags_length);
    return purge_read_tags(cache, serving->session->tenant, cache->block, request->tags_length, &cache->tags);
}

/* The object that has begun to grow is found by its tags from now on. */
static enum store_result tag_fill(struct serving *serving, const struct wire_request *request,
                                  struct lease *lease)
{
    struct cache *cache = serving->cache;
    struct object *object = lease_object(lease);
    uint64_t whole;

    if (request->flags & WIRE_FILL_LASTING)
        store_set_lasting(object);
    object_key(&cache->store, object, &cache->key);
    if (store_key_part(&cache->store, &cache->key, &whole))
        tag_list_add(&cache->tags, whole);
    if (cache->tags.count == 0)
        return STORE_OK;
    enum store_result result = store_set_tags(&cache->store, object, &cache->tags);
    purge_hits_lease(cache, lease, &cache->tags);
    return result;
}

static enum store_result begin_object(struct serving *serving, const struct wire_request *request,
                                      struct lease *lease, const uint8_t *payload)
{
    uint32_t front = (uint32_t)request->key_length + request->tags_length;

    if (!pins_may_hold(serving->session, (uint64_t)front + request->meta_length))
        return STORE_NO_MEMORY;
    enum store_result result =
        lease_begin(&serving->cache->leases, lease, payload + front, request->meta_length, request->value,
                    request->fresh_until, request->keep_until);
    if (result == STORE_OK)
        result = tag_fill(serving, request, lease);
    if (result == STORE_OK && !pins_fill_begun(serving->session, request->handle))
        result = STORE_NO_MEMORY;
    return result;
}

static enum wire_status begin_fill(struct serving *serving, const struct wire_request *request,
                                   struct lease *lease, const uint8_t *payload)
{
    if (lease_is_filling(lease) || !lease_key_is(lease, payload, request->key_length) ||
        !take_tags(serving, request, payload + request->key_length))
        return end_badly(serving, request->handle, refuse(serving->session, WIRE_STATUS_BAD));
    enum wire_status status = status_of(serving->session, begin_object(serving, request, lease, payload));
    if (status != WIRE_STATUS_OK)
        return end_badly(serving, request->handle, status);
    follow_progress(lease);
    return status;
}

static enum wire_status fill_from_segment(struct serving *serving, const struct wire_request *request,
                                          struct lease *lease)
{
    const uint8_t *payload = segment_payload(&serving->session->pool, request->segment);
    enum wire_status status = WIRE_STATUS_OK;

    if (serving->session->progress == 0)
        status = begin_fill(serving, request, lease, payload);
    if (status == WIRE_STATUS_OK && request->length > 0)
        status = append(serving, request, lease,
                        payload + request->key_length + request->tags_length + request->meta_length);
    if (status == WIRE_STATUS_OK && request->value == request->length)
        status = commit(serving, request->handle);
    return status;
}

static enum wire_status serve_fill_begin(struct serving *serving, const struct wire_request *request,
                                         struct wire_completion *completion)
{
    struct session *session = serving->session;
    struct lease *lease = handles_get(&session->leases, request->handle);
    uint64_t length =
        (uint64_t)request->key_length + request->tags_length + request->meta_length + request->length;

    (void)completion;
    if (session->progress == 0) {
        if (!take_segment(session, request, length))
            return end_badly(serving, request->handle, refuse(session, WIRE_STATUS_BAD));
        serving->bytes += request->key_length + request->tags_length + request->meta_length;
    }
    enum wire_status status =
        lease ? fill_from_segment(serving, request, lease) : refuse(session, WIRE_STATUS_FENCED);
    if (status != CONTINUES)
        segment_post_write(&session->pool, request->segment);
    return status;
}

static enum wire_status serve_fill_data(struct serving *serving, const struct wire_request *request,
                                        struct wire_completion *completion)
{
    struct session *session = serving->session;
    struct lease *lease = handles_get(&session->leases, request->handle);
    enum wire_status status;

    (void)completion;
    if (session->progress == 0 && !take_segment(session, request, request->length))
        return end_badly(serving, request->handle, refuse(session, WIRE_STATUS_BAD));
    if (!lease)
        status = refuse(session, WIRE_STATUS_FENCED);
    else if (!lease_is_filling(lease) || request->value + session->progress != lease_filled(lease))
        status = end_badly(serving, request->handle, refuse(session, WIRE_STATUS_BAD));
    else
        status = append(serving, request, lease, segment_payload(&session->pool, request->segment));
    if (status != CONTINUES)
        segment_post_write(&session->pool, request->segment);
    return status;
}

static enum wire_status serve_fill_end(struct serving *serving, const struct wire_request *request,
                                       struct wire_completion *completion)
{
    struct lease *lease = handles_get(&serving->session->leases, request->handle);

    (void)completion;
    if (!lease)
        return refuse(serving->session, WIRE_STATUS_FENCED);
    if (!lease_is_filling(lease) || request->value != lease_filled(lease))
        return end_badly(serving, request->handle, refuse(serving->session, WIRE_STATUS_BAD));
    return commit(serving, request->handle);
}

/* Its metadata says how long it was to be, so that who reads it knows that it is not whole. Who follows can
 * do better: the lease goes to them. */
static bool is_to_be_kept(const struct wire_request *request, const struct lease *lease)
{
    return request->flags & WIRE_ABORT_KEEP && lease_filled(lease) > 0 && lease_followers(lease) == 0;
}

static enum wire_status serve_fill_abort(struct serving *serving, const struct wire_request *request,
                                         struct wire_completion *completion)
{
    struct lease *lease = handles_get(&serving->session->leases, request->handle);

    (void)completion;
    if (!lease)
        return refuse(serving->session, WIRE_STATUS_FENCED);
    if (is_to_be_kept(request, lease)) {
        lease_cut_short(lease);
        return commit(serving, request->handle);
    }
    lose_lease(serving, request->handle,
               request->flags & WIRE_ABORT_DISCARD ? FOLLOW_DISCARD : FOLLOW_HAND_ON);
    return WIRE_STATUS_OK;
}

/* The lease with which an object was revalidated; 0: none. */
static void end_updated(struct serving *serving, uint64_t handle, struct object *object)
{
    struct lease *lease = pins_take_lease(serving->session, handle);

    if (lease && follow_updated(serving->cache, &lease, object))
        cache_count(serving->session, COUNTER_fill_aborts, 1);
}

/* Has the process room for it? */
static bool may_renew(const struct session *session, const struct object *object, uint32_t meta_length)
{
    uint32_t before;

    object_meta(object, &before);
    return meta_length <= before || pins_process_may_hold(session, meta_length - before);
}

/* The validation was asked for before a purge that has hit the object, or the tags that it has brought;
 * without a lease nobody knows when. */
static bool came_too_late(struct serving *serving, const struct wire_request *request, struct object *object)
{
    struct cache *cache = serving->cache;
    struct lease *lease = handles_get(&serving->session->leases, request->value);

    if (object_is_stored(object))
        store_visit(&cache->store, object);
    if (!object_is_stored(object))
        return true;
    if (lease)
        return purge_hits_lease(cache, lease, &cache->tags);
    return object_is_lapsed(object) || purges_since(&serving->session->tenant->purges, &cache->tags,
                                                    serving->session->tenant->purges.tag_floor);
}

/* No tags: they stay as they are. Those of the key that it is a part of stay in any case. */
static enum store_result retag(struct serving *serving, struct object *object)
{
    struct cache *cache = serving->cache;
    uint64_t whole;

    if (cache->tags.count == 0)
        return STORE_OK;
    object_key(&cache->store, object, &cache->key);
    if (store_key_part(&cache->store, &cache->key, &whole))
        tag_list_add(&cache->tags, whole);
    return store_set_tags(&cache->store, object, &cache->tags);
}

static enum store_result renew(struct serving *serving, const struct wire_request *request,
                               struct object *object)
{
    struct session *session = serving->session;

    if (came_too_late(serving, request, object))
        return STORE_MISMATCH;
    if (!may_renew(session, object, (uint32_t)request->meta_length + request->tags_length))
        return STORE_NO_MEMORY;
    bool fresher =
        request->fresh_until > object_fresh_until(object); /* otherwise a soft purge still counts */
    enum store_result result = retag(serving, object);
    if (result == STORE_OK)
        result = store_update(&serving->cache->store, object, serving->cache->meta, request->meta_length,
                              request->fresh_until, request->keep_until);
    if (result == STORE_OK && fresher)
        store_validated(object);
    pins_recount(session, request->handle);
    return result;
}

/* Tags, then metadata. */
static bool take_update(struct serving *serving, const struct wire_request *request)
{
    struct session *session = serving->session;
    uint32_t length = (uint32_t)request->tags_length + request->meta_length;

    if (!take_segment(session, request, length))
        return false;
    const uint8_t *payload = segment_payload(&session->pool, request->segment);
    bool sound = take_tags(serving, request, payload);
    memcpy(serving->cache->meta, payload + request->tags_length, request->meta_length);
    segment_post_write(&session->pool, request->segment);
    serving->bytes += length;
    return sound;
}

static enum wire_status serve_update(struct serving *serving, const struct wire_request *request,
                                     struct wire_completion *completion)
{
    struct session *session = serving->session;
    struct object *object = handles_get(&session->pins, request->handle);
    enum store_result result = STORE_MISMATCH;

    (void)completion;
    if (!take_update(serving, request))
        return end_badly(serving, request->value, refuse(session, WIRE_STATUS_BAD));
    if (object && !shm_guard_faulted())
        result = renew(serving, request, object);
    end_updated(serving, request->value, result == STORE_OK ? object : NULL);
    if (!object)
        return refuse(session, WIRE_STATUS_FENCED);
    if (result == STORE_MISMATCH) /* replaced, evicted or purged meanwhile: no fault of the proxy */
        return WIRE_STATUS_MISS;
    if (result == STORE_OK)
        cache_count(session, COUNTER_updates, 1);
    return status_of(session, result);
}

static enum wire_status serve_remove(struct serving *serving, const struct wire_request *request,
                                     struct wire_completion *completion)
{
    (void)completion;
    if (!take_key(serving, request))
        return refuse(serving->session, WIRE_STATUS_BAD);
    struct lease *lease = lease_cancel_key(&serving->cache->leases, &serving->cache->key);
    if (lease)
        follow_cancelled(serving->cache, lease);
    if (!store_remove(&serving->cache->store, &serving->cache->key))
        return WIRE_STATUS_MISS;
    cache_count(serving->session, COUNTER_removals, 1);
    return WIRE_STATUS_OK;
}

/* ---- purging ---- */

/* Key, prefix or tags out of the segment into private memory; what they mean is in the order. */
static bool take_purge(struct serving *serving, const struct wire_request *request, struct purge_order *order)
{
    struct session *session = serving->session;
    struct cache *cache = serving->cache;
    bool tagged = order->scope == PURGE_TAGGED;
    uint32_t length = tagged ? request->tags_length : request->key_length;

    if (!purge_length_is_sound(order->scope, length) || !take_segment(session, request, length))
        return false;
    memcpy(cache->block, segment_payload(&session->pool, request->segment), length);
    segment_post_write(&session->pool, request->segment);
    serving->bytes += length;
    return purge_order_fill(cache, order, length);
}

static enum wire_status serve_purge(struct serving *serving, const struct wire_request *request,
                                    struct wire_completion *completion)
{
    static const enum wire_status statuses[] = {[PURGE_DONE] = WIRE_STATUS_OK,
                                                [PURGE_NO_PLACE] = WIRE_STATUS_BUSY,
                                                [PURGE_NO_MEMORY] = WIRE_STATUS_NO_MEMORY};
    struct session *session = serving->session;
    struct purge_order order = {.tenant = session->tenant};
    struct purge_effect effect;

    if (!purge_order_flags(&order, request->flags) ||
        (order.scope == PURGE_PREFIXED && request->value != WIRE_PURGE_SURE) ||
        !take_purge(serving, request, &order))
        return refuse(session, WIRE_STATUS_BAD);
    enum wire_status status = statuses[purge_carry_out(serving->cache, &order, &effect)];
    /* It may have visited all that the tenant keeps: so many holds are as much as a batch is. */
    serving->bytes += (uint64_t)holds_of_tenant(session->tenant) * (SERVE_MAX_BYTES / HOLDS_A_BATCH);
    completion->object_size = effect.objects;
    completion->cancelled = effect.leases;
    completion->flags = effect.goes_on ? WIRE_GOES_ON : 0;
    return status == WIRE_STATUS_OK ? status : refuse(session, status);
}

/* ---- following ---- */

static enum wire_status serve_follow(struct serving *serving, const struct wire_request *request,
                                     struct wire_completion *completion)
{
    enum wire_status status = follow_ask(serving->session, request, completion);

    return status == WIRE_STATUS_FENCED || status == WIRE_STATUS_BAD ? refuse(serving->session, status)
                                                                     : status;
}

static enum wire_status serve_unfollow(struct serving *serving, const struct wire_request *request,
                                       struct wire_completion *completion)
{
    (void)completion;
    follow_leave(serving->session, request->handle, request->value);
    return WIRE_STATUS_OK;
}

/* ---- the ring ---- */

static const struct {
    serve_function *serve;
    bool silent; /* no completion */
} operations[WIRE_OP_END] = {
    [WIRE_OP_LOOKUP] = {serve_lookup, false},        [WIRE_OP_READ] = {serve_read, false},
    [WIRE_OP_RELEASE] = {serve_release, true},       [WIRE_OP_FILL_BEGIN] = {serve_fill_begin, false},
    [WIRE_OP_FILL_DATA] = {serve_fill_data, false},  [WIRE_OP_FILL_END] = {serve_fill_end, false},
    [WIRE_OP_FILL_ABORT] = {serve_fill_abort, true}, [WIRE_OP_UPDATE] = {serve_update, false},
    [WIRE_OP_REMOVE] = {serve_remove, false},        [WIRE_OP_FOLLOW] = {serve_follow, false},
    [WIRE_OP_UNFOLLOW] = {serve_unfollow, true},     [WIRE_OP_PURGE] = {serve_purge, false},
};

/* It has passed the segment for something else, to us or to another shard. */
static void let_go(struct session *session, const struct wire_request *request)
{
    if (request->op == WIRE_OP_UNFOLLOW && request->flags & WIRE_UNFOLLOW_MOVED)
        holds_given_up(session, request->segment);
    else
        holds_end(session, request->segment);
}

static void begin(struct session *session, const struct wire_request *request)
{
    cache_count(session, COUNTER_requests, 1);
    if (session->keeper && request->registration == session->registration)
        let_go(session, request);
    session->taken_ns = sampler_takes(&session->cache->entries) ? clock_mono_ns() : 0;
}

static void end(struct session *session, const struct wire_request *request, bool waits)
{
    session->progress = 0;
    if (session->taken_ns > 0 && !waits)
        times_note(&session->cache->times, request->op, clock_mono_ns() - session->taken_ns);
}

/* False: the completion ring has no room, which a client that counts what it has under way never causes. */
static bool serve_one(struct serving *serving, const struct wire_request *request)
{
    struct session *session = serving->session;
    struct wire_completion completion = {
        .op = request->op,
        .segment = request->segment,
        .registration = request->registration,
        .cookie = request->cookie,
    };
    bool known = request->op < WIRE_OP_END && operations[request->op].serve && session->tenant;

    if (session->progress == 0)
        begin(session, request);
    if (request->registration != session->registration)
        completion.status = (uint8_t)refuse(session, WIRE_STATUS_FENCED);
    else if (!known)
        completion.status = (uint8_t)refuse(session, WIRE_STATUS_BAD);
    else
        completion.status = (uint8_t)operations[request->op].serve(serving, request, &completion);
    if (completion.status == CONTINUES) {
        session->ongoing = *request;
        return true;
    }
    end(session, request, completion.status == FOLLOW_WAITS);
    if (completion.status == FOLLOW_WAITS || (known && operations[request->op].silent))
        return true;
    return ring_put(&session->pool.completions, &completion) == RING_OK;
}

static enum ring_result next_request(struct serving *serving, struct wire_request *request)
{
    struct session *session = serving->session;
    const struct ahead_entry *entry;

    serving->key = NULL;
    if (session->progress > 0) {
        *request = session->ongoing;
        return RING_OK;
    }
    enum ring_result result = ahead_next(session, &entry);
    if (result != RING_OK)
        return result;
    *request = entry->request;
    if (entry->key.length > 0)
        serving->key = &entry->key;
    return RING_OK;
}

/* Requests: who is awake goes on with the first answers while the rest of the batch is being served. */
#define SHOW_AFTER 4u

/* The slots first: who has all answers and finds no slot would wait for an event that never comes. */
static void show(struct session *session)
{
    ring_consumed(&session->pool.requests);
    ring_show(&session->pool.completions);
}

static enum serve_result serve_batch(struct serving *serving)
{
    struct wire_request request;

    for (unsigned served = 0; served < SERVE_MAX_REQUESTS && serving->bytes < SERVE_MAX_BYTES; served++) {
        switch (next_request(serving, &request)) {
        case RING_NONE:
            return served > 0 ? SERVE_MORE : SERVE_IDLE;
        case RING_BROKEN:
            return SERVE_BROKEN;
        case RING_OK:
            break;
        }
        if (!serve_one(serving, &request))
            return SERVE_BROKEN;
        if (shm_guard_faulted()) /* the entries behind may rely on what was read */
            return SERVE_FAULTED;
        if (served % SHOW_AFTER == SHOW_AFTER - 1)
            show(serving->session);
    }
    return SERVE_MORE;
}

/* A full queue means that the proxy is awake, or will see all completions when it wakes. */
static void ring_bell(struct session *session)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_CACHE_BELL, session->token);

    session->cache->counters.values[COUNTER_bells_sent]++;
    (void)mq_send_message(session->reply, &message, length);
}

enum serve_result serve_session(struct session *session)
{
    struct serving serving = {.session = session, .cache = session->cache};
    bool wake = false, told = session->due && session->state == SESSION_ALIVE;

    if (session->spoiled)
        return SERVE_FAULTED;
    shm_guard_enter(session->pool.base, session->pool.bytes);
    enum serve_result result =
        !told || follow_flush(session, SERVE_MAX_REQUESTS) ? serve_batch(&serving) : SERVE_BROKEN;
    if (result == SERVE_MORE || (told && result == SERVE_IDLE)) {
        ring_consumed(&session->pool.requests);
        ring_publish(&session->pool.completions);
        wake = ring_wants_bell(&session->pool.completions);
    }
    if (!shm_guard_leave())
        return SERVE_FAULTED;
    if (session->state == SESSION_STALLED && result == SERVE_MORE)
        cache_thaw(session->cache, session);
    if (wake)
        ring_bell(session);
    return told && result == SERVE_IDLE ? SERVE_MORE : result;
}
