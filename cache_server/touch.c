#include "touch.h"

#include "cache.h"
#include "shm_guard.h"

static void spoil(struct session *session)
{
    if (session->spoiled)
        return;
    session->spoiled = true;
    session->cache->spoiled++;
}

void touch_no_more(struct session *session)
{
    session->obstructs = true;
    spoil(session);
}

/* And with it all of its process: the next one would only do the same. Those whose pid we do not see are not
 * known to be of one process. */
static void obstruct(struct session *session)
{
    const struct registry *registry = &session->cache->registry;

    touch_no_more(session);
    for (uint32_t i = 0; session->pid > 0 && i < REGISTRY_MAX; i++) {
        struct session *other = registry->places[i].session;
        if (other && other->process == session->process)
            touch_no_more(other);
    }
}

void touch_took(struct session *session, const struct pause_touch *touch)
{
    if (!pause_touched(session, touch))
        obstruct(session);
}

struct pause_touch touch_begin(struct session *session)
{
    struct pause_touch touch = pause_touch(session);

    shm_guard_enter(session->pool.base, session->pool.bytes);
    return touch;
}

bool touch_end(struct session *session, const struct pause_touch *touch)
{
    bool there = shm_guard_leave();

    if (!pause_touched(session, touch))
        obstruct(session);
    return there;
}

struct pause_touch touch_begin_other(struct session *session)
{
    struct pause_touch touch = pause_touch(session);

    shm_guard_enter_other(session->pool.base, session->pool.bytes);
    return touch;
}

bool touch_end_other(struct session *session, const struct pause_touch *touch)
{
    bool there = shm_guard_leave_other(), is_endured = pause_touched(session, touch);

    if (!is_endured)
        obstruct(session);
    else if (!there)
        spoil(session);
    return there;
}
