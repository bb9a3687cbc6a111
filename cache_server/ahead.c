#include "ahead.h"

#include "cache.h"

/* Entries that are not its own to serve (another life's, an admin client's) are refused in their turn. */
static bool may_take_key(const struct session *session, const struct wire_request *request)
{
    return request->op == WIRE_OP_LOOKUP && session->tenant &&
           request->registration == session->registration &&
           request->segment < session->pool.shape.segments && request->key_length >= 1 &&
           request->key_length <= STORE_SHORT_KEY && request->key_length <= session->pool.shape.segment_bytes;
}

/* The lines of a segment that the proxy has just written: they come from another core. */
static void ask_for_segments(const struct session *session)
{
    const struct ahead *ahead = &session->ahead;

    for (uint32_t i = 0; i < ahead->count; i++) {
        const struct wire_request *request = &ahead->entries[i].request;
        if (!may_take_key(session, request))
            continue;
        __builtin_prefetch(segment_header(&session->pool, request->segment), 1);
        __builtin_prefetch(segment_payload(&session->pool, request->segment), 1);
    }
}

static void take_keys(struct session *session, const struct store *store)
{
    struct ahead *ahead = &session->ahead;

    for (uint32_t i = 0; i < ahead->count; i++) {
        const struct wire_request *request = &ahead->entries[i].request;
        struct store_short_key *key = &ahead->entries[i].key;
        if (!may_take_key(session, request) || !segment_win_read(&session->pool, request->segment))
            continue;
        store_short_key_set(store, key, session->tenant, segment_payload(&session->pool, request->segment),
                            request->key_length);
        segment_post_write(&session->pool, request->segment);
    }
}

static void ask_for_objects(const struct ahead *ahead, const struct store *store)
{
    for (unsigned stage = 0; stage < STORE_STAGES; stage++) {
        for (uint32_t i = 0; i < ahead->count; i++) {
            if (ahead->entries[i].key.length > 0)
                store_prefetch(store, ahead->entries[i].key.hash, (enum store_stage)stage);
        }
    }
}

/* As many as there are at the moment. A ring that turns out to be broken is so again when these are served.
 */
static enum ring_result refill(struct session *session)
{
    struct ahead *ahead = &session->ahead;
    enum ring_result result = RING_OK;

    ahead->at = ahead->count = 0;
    while (ahead->count < AHEAD_MOST) {
        struct ahead_entry *entry = &ahead->entries[ahead->count];
        result = ring_take(&session->pool.requests, &entry->request);
        if (result != RING_OK)
            break;
        entry->key.length = 0;
        ahead->count++;
    }
    return ahead->count > 0 ? RING_OK : result;
}

enum ring_result ahead_next(struct session *session, const struct ahead_entry **out)
{
    struct ahead *ahead = &session->ahead;

    if (!ahead_waits(ahead)) {
        enum ring_result result = refill(session);
        if (result != RING_OK)
            return result;
        if (ahead->count > 1) { /* one alone has nothing to overlap with */
            const struct store *store = &session->cache->store;
            ask_for_segments(session);
            take_keys(session, store);
            ask_for_objects(ahead, store);
        }
    }
    *out = &ahead->entries[ahead->at++];
    return RING_OK;
}
