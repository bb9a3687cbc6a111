#include "pins.h"

#include "cache.h"

bool pins_may_hold(const struct session *session, uint64_t bytes)
{
    const struct store *store = &session->cache->store;
    const struct tenant *tenant = session->tenant;

    return store_may_hold(store, tenant, bytes) &&
           (tenant->held <= store->max_held / 2 || session->process->held <= store->max_held / 2);
}

static uint64_t weight_of(const struct object *object)
{
    uint64_t expected = object_expected(object);

    return expected == BODY_SIZE_UNKNOWN ? object_size(object) : expected;
}

uint64_t pins_add(struct session *session, struct object *object)
{
    if (!pins_may_hold(session, object_is_held(object) ? 0 : object_size(object)))
        return 0;
    uint64_t handle = handles_put(&session->pins, object);
    if (handle) {
        store_pin(&session->cache->store, object);
        *handles_note(&session->pins, handle) = weight_of(object);
        session->process->held += weight_of(object);
    }
    return handle;
}

void pins_recount(struct session *session, uint64_t handle)
{
    const struct object *object = handles_get(&session->pins, handle);
    uint64_t *note = handles_note(&session->pins, handle);

    if (!object)
        return;
    session->process->held += weight_of(object) - *note;
    *note = weight_of(object);
}

bool pins_drop(struct session *session, uint64_t handle)
{
    const uint64_t *note = handles_note(&session->pins, handle);

    if (!note)
        return false;
    session->process->held -= *note;
    struct object *object = handles_take(&session->pins, handle);
    store_unpin(&session->cache->store, &object);
    return true;
}

void pins_drop_all(struct session *session)
{
    while (pins_drop(session, handles_any(&session->pins)))
        ;
}
