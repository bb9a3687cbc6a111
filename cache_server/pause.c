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
    return now_ns < session->pause.watched_until_ns ? waits_so_far() : -1;
}

static int64_t length_of(const struct pause *pause, int64_t waited_ns)
{
    int64_t length =
        waited_ns < PAUSE_LONGEST_NS / PAUSE_FACTOR ? waited_ns * PAUSE_FACTOR : PAUSE_LONGEST_NS;

    for (uint32_t i = 1; i < pause->waits && length < PAUSE_LONGEST_NS; i++)
        length *= 2;
    return length < PAUSE_LONGEST_NS ? length : PAUSE_LONGEST_NS;
}

void pause_after(struct session *session, int64_t waits, int64_t began_ns, int64_t now_ns)
{
    struct cache *cache = session->cache;
    struct pause *pause = &session->pause;

    if (now_ns - began_ns < PAUSE_LONG_NS)
        return;
    if (began_ns >= pause->watched_until_ns)
        pause->waits = 0;
    pause->watched_until_ns = now_ns + PAUSE_WATCH_NS;
    if (waits < 0 || waits_so_far() == waits)
        return;
    pause->waits++;
    cache_count(session, COUNTER_pauses, 1);
    int64_t length = length_of(pause, now_ns - began_ns);
    pause->until_ns = now_ns + length;
    pause->watched_until_ns += length;
    if (session->active)
        cache_deactivate(cache, session);
    DL_APPEND2(cache->paused, session, pause.prev, pause.next);
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
