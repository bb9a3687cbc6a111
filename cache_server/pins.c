#include "pins.h"

#include "cache.h"
#include "holding.h"

bool pins_process_may_hold(const struct session *session, uint64_t bytes)
{
    uint64_t most = session->cache->store.max_held_process, held = session->process->held;

    return held <= most && bytes <= most - held;
}

bool pins_may_hold(const struct session *session, uint64_t bytes)
{
    return store_may_hold(&session->cache->store, session->tenant, bytes) &&
           pins_process_may_hold(session, bytes);
}

/* ---- pins ---- */

static bool tenant_has_too_many(const struct session *session)
{
    struct tenant *tenant = session->tenant;

    return tenant_refuses(tenant, &session->cache->counters, tenant->pins, tenant->settings.max_pins,
                          COUNTER_refused_pins);
}

uint64_t pins_add(struct session *session, struct object *object)
{
    uint64_t more = object_is_held(object) ? 0 : object_charge(object);

    if (session->pins.used == session->pins.capacity || tenant_has_too_many(session) ||
        !store_may_hold(&session->cache->store, session->tenant, more) ||
        !pins_process_may_hold(session, holding_weight(session->process, object)))
        return 0;
    struct holding *holding = holding_take(session->process, object, HOLDING_PIN);
    if (!holding)
        return 0;
    uint64_t handle = handles_put(&session->pins, object);
    *handles_note(&session->pins, handle) = holding;
    store_pin(&session->cache->store, object);
    return handle;
}

void pins_recount(struct session *session, uint64_t handle)
{
    void **note = handles_note(&session->pins, handle);

    if (note)
        holding_recount(session->process, *note);
}

bool pins_drop(struct session *session, uint64_t handle)
{
    void **note = handles_note(&session->pins, handle);

    if (!note)
        return false;
    holding_drop(session->process, *note, HOLDING_PIN);
    struct object *object = handles_take(&session->pins, handle);
    store_unpin(&session->cache->store, &object);
    return true;
}

void pins_drop_all(struct session *session)
{
    while (pins_drop(session, handles_any(&session->pins)))
        ;
}

/* ---- leases ---- */

uint64_t pins_put_lease(struct session *session, struct lease *lease)
{
    uint64_t handle = handles_put(&session->leases, lease);

    if (!handle)
        return 0;
    if (lease_is_filling(lease) && !pins_fill_begun(session, handle)) {
        handles_take(&session->leases, handle);
        return 0;
    }
    session->process->held += lease_charge(lease);
    return handle;
}

bool pins_fill_begun(struct session *session, uint64_t handle)
{
    struct lease *lease = handles_get(&session->leases, handle);
    struct holding *holding = holding_take(session->process, lease_object(lease), HOLDING_FILL);

    *handles_note(&session->leases, handle) = holding;
    return holding != NULL;
}

void pins_fill_grew(struct session *session, uint64_t handle)
{
    holding_recount(session->process, *handles_note(&session->leases, handle));
}

struct lease *pins_take_lease(struct session *session, uint64_t handle)
{
    void **note = handles_note(&session->leases, handle);

    if (!note)
        return NULL;
    if (*note)
        holding_drop(session->process, *note, HOLDING_FILL);
    struct lease *lease = handles_take(&session->leases, handle);
    session->process->held -= lease_charge(lease);
    return lease;
}
