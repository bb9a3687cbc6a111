#include "pause.h"

#include "cache.h"
#include "clock.h"

#include <sys/resource.h>
#include <utlist.h>

static const struct pause_mark unknown = {.waits = -1, .faults = -1};

static struct pause_mark mark(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_THREAD, &usage))
        return unknown;
    return (struct pause_mark){
        .waits = usage.ru_nvcsw, .faults = usage.ru_minflt, .processor_ns = clock_thread_ns()};
}

struct pause_mark pause_before(const struct session *session, int64_t now_ns)
{
    return session->tenant && now_ns < session->tenant->pauses.until_ns ? mark() : unknown;
}

static int64_t length_of(const struct pause_watch *watch, int64_t waited_ns)
{
    int64_t length =
        waited_ns < PAUSE_LONGEST_NS / PAUSE_FACTOR ? waited_ns * PAUSE_FACTOR : PAUSE_LONGEST_NS;

    for (uint32_t i = 1; i < watch->waits && length < PAUSE_LONGEST_NS; i++)
        length *= 2;
    return length < PAUSE_LONGEST_NS ? length : PAUSE_LONGEST_NS;
}

static void begin(struct session *session, int64_t until_ns)
{
    session->pause.until_ns = until_ns;
    if (session->active)
        cache_deactivate(session->cache, session);
    DL_APPEND2(session->cache->paused, session, pause.prev, pause.next);
}

static bool has_company(const struct session *session, int64_t now_ns)
{
    return now_ns - processes_others_served(&session->cache->processes, session->process) < PAUSE_COMPANY_NS;
}

/* Of a session that was watched. */
static void judge(struct session *session, const struct pause_mark *before, const struct pause_mark *after,
                  int64_t began_ns, int64_t now_ns)
{
    struct pause_watch *watch = &session->tenant->pauses;

    if (after->waits != before->waits) {
        watch->waits++;
        begin(session, now_ns + length_of(watch, now_ns - began_ns));
        cache_count(session, COUNTER_pauses, 1);
        watch->until_ns = session->pause.until_ns + PAUSE_WATCH_NS;
    } else if (after->faults != before->faults && has_company(session, began_ns)) {
        begin(session, now_ns + (now_ns - began_ns < PAUSE_FAULTS_NS ? now_ns - began_ns : PAUSE_FAULTS_NS));
    }
}

int64_t pause_after(struct session *session, const struct pause_mark *before, int64_t began_ns,
                    int64_t now_ns)
{
    struct pause_watch *watch = session->tenant ? &session->tenant->pauses : NULL;
    int64_t length = now_ns - began_ns;
    struct pause_mark after;

    if (length < PAUSE_LONG_NS || !watch)
        return length;
    if (began_ns >= watch->until_ns)
        watch->waits = 0;
    watch->until_ns = now_ns + PAUSE_WATCH_NS;
    after = before->waits >= 0 ? mark() : unknown;
    if (after.waits < 0)
        return length;
    judge(session, before, &after, began_ns, now_ns);
    if (after.waits != before->waits || after.processor_ns - before->processor_ns > length)
        return length;
    return after.processor_ns - before->processor_ns;
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
