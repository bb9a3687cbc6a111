#include "pause.h"

#include "cache.h"
#include "clock.h"

#include <sys/resource.h>
#include <utlist.h>

static int64_t waits_so_far(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) ? -1 : usage.ru_nvcsw;
}

int64_t pause_before(const struct session *session, int64_t now_ns)
{
    return session->tenant && now_ns < session->tenant->pauses.until_ns ? waits_so_far() : -1;
}

static int64_t length_of(const struct pause_watch *watch, int64_t waited_ns)
{
    int64_t length =
        waited_ns < PAUSE_LONGEST_NS / PAUSE_FACTOR ? waited_ns * PAUSE_FACTOR : PAUSE_LONGEST_NS;

    for (uint32_t i = 1; i < watch->waits && length < PAUSE_LONGEST_NS; i++)
        length *= 2;
    return length < PAUSE_LONGEST_NS ? length : PAUSE_LONGEST_NS;
}

static void begin_pause(struct session *session, int64_t until_ns)
{
    session->pause.until_ns = until_ns;
    if (session->active)
        cache_deactivate(session->cache, session);
    DL_APPEND2(session->cache->paused, session, pause.prev, pause.next);
    cache_count(session, COUNTER_pauses, 1);
}

void pause_after(struct session *session, int64_t waits, int64_t began_ns, int64_t now_ns)
{
    struct pause_watch *watch = session->tenant ? &session->tenant->pauses : NULL;

    if (now_ns - began_ns < PAUSE_LONG_NS || !watch)
        return;
    if (began_ns >= watch->until_ns)
        watch->waits = 0;
    watch->until_ns = now_ns + PAUSE_WATCH_NS;
    if (waits < 0 || waits_so_far() == waits)
        return;
    watch->waits++;
    begin_pause(session, now_ns + length_of(watch, now_ns - began_ns));
    watch->until_ns = session->pause.until_ns + PAUSE_WATCH_NS;
}

static void end_pause(struct session *session)
{
    DL_DELETE2(session->cache->paused, session, pause.prev, pause.next);
    session->pause.until_ns = 0;
}

void pause_step(struct cache *cache)
{
    struct session *session, *next;
    int64_t now_ns = cache->paused ? clock_mono_ns() : 0;

    DL_FOREACH_SAFE2(cache->paused, session, next, pause.next)
    {
        if (session->pause.until_ns > now_ns)
            continue;
        end_pause(session);
        if (session->state == SESSION_ALIVE)
            cache_activate(cache, session);
    }
}

int pause_left_ms(const struct cache *cache)
{
    const struct session *session;
    int64_t first = INT64_MAX, now_ns;

    if (!cache->paused)
        return -1;
    DL_FOREACH2(cache->paused, session, pause.next)
    {
        first = session->pause.until_ns < first ? session->pause.until_ns : first;
    }
    now_ns = clock_mono_ns();
    return first <= now_ns ? 0 : (int)((first - now_ns + 999999) / 1000000);
}

void pause_part(struct session *session)
{
    if (session->pause.until_ns > 0)
        end_pause(session);
}
