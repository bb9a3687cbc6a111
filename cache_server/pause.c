#include "pause.h"

#include "cache.h"
#include "clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utlist.h>

static const struct pause_mark unknown = {.waits = -1, .faults = -1};

/* ---- what the kernel knows ---- */

/* Time on a processor, time ready to run without one, and how often it got one (proc(5)); 0 where that cannot
 * be read. */
struct schedstat {
    int64_t ran_ns, queued_ns, times;
};

static struct schedstat read_schedstat(const struct pauses *pauses)
{
    struct schedstat now = {0};
    char text[96];
    ssize_t length = pauses->knows_queued ? pread(pauses->schedstat, text, sizeof(text) - 1, 0) : 0;
    char *at = text;

    if (length <= 0)
        return now;
    text[length] = '\0';
    now.ran_ns = strtoll(at, &at, 10);
    now.queued_ns = strtoll(at, &at, 10);
    now.times = strtoll(at, &at, 10);
    return now;
}

void pause_open(struct pauses *pauses)
{
    pauses->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (pauses->schedstat < 0)
        return;
    pauses->knows_queued = true;
    if (read_schedstat(pauses).times == 0) /* a kernel that does not count */
        pause_close(pauses);
}

void pause_close(struct pauses *pauses)
{
    if (pauses->knows_queued)
        close(pauses->schedstat);
    pauses->knows_queued = false;
}

struct pause_mark pause_mark(const struct pauses *pauses)
{
    struct rusage usage;

    if (getrusage(RUSAGE_THREAD, &usage))
        return unknown;
    /* A fault that had to be tried again, as one that has waited is, counts as a major one. */
    return (struct pause_mark){.waits = usage.ru_nvcsw,
                               .faults = usage.ru_minflt + usage.ru_majflt,
                               .reads = usage.ru_inblock,
                               .preemptions = usage.ru_nivcsw,
                               .queued_ns = read_schedstat(pauses).queued_ns};
}

static struct pause_mark mark_with_time(const struct pauses *pauses)
{
    struct pause_mark now = pause_mark(pauses);

    if (now.waits >= 0)
        now.processor_ns = clock_thread_ns();
    return now;
}

/* ---- who is watched ---- */

static struct pause_watch *watch_of(const struct session *session)
{
    struct cache *cache = session->cache;

    return session->tenant ? &session->tenant->pauses : &cache->pauses.askers[session->ours];
}

static struct pause_patience *patience_of(const struct session *session)
{
    return session->tenant ? &session->tenant->patience : &session->process->patience;
}

bool pause_watches(const struct session *session, int64_t now_ns)
{
    return now_ns < watch_of(session)->until_ns;
}

static void watch_until(struct session *session, int64_t until_ns)
{
    struct pause_watch *watch = watch_of(session);
    struct pauses *pauses = &session->cache->pauses;

    watch->until_ns = until_ns > watch->until_ns ? until_ns : watch->until_ns;
    pauses->watching_ns = until_ns > pauses->watching_ns ? until_ns : pauses->watching_ns;
}

/* Something that began then took so long. */
static void suspect(struct session *session, int64_t began_ns, int64_t took_ns)
{
    int64_t longer = took_ns < PAUSE_WATCH_MOST_NS / PAUSE_WATCH_FACTOR ? took_ns * PAUSE_WATCH_FACTOR
                                                                        : PAUSE_WATCH_MOST_NS;

    watch_until(session, began_ns + took_ns + (longer > PAUSE_WATCH_NS ? longer : PAUSE_WATCH_NS));
}

void pause_suspect(struct session *session, int64_t took_ns, int64_t now_ns)
{
    suspect(session, now_ns - took_ns, took_ns);
}

/* ---- pauses ---- */

struct pause_mark pause_before(const struct session *session, int64_t now_ns)
{
    struct pauses *pauses = &session->cache->pauses;

    pauses->serving = watch_of(session);
    pauses->held_up_ns = pauses->own_ns = 0;
    return pause_watches(session, now_ns) ? mark_with_time(pauses) : unknown;
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
    DL_APPEND2(session->cache->pauses.list, session, pause.prev, pause.next);
}

static bool has_company(const struct session *session, int64_t now_ns)
{
    return now_ns - processes_others_served(&session->cache->processes, session->process) < PAUSE_COMPANY_NS;
}

/* For a page: not one of a thread that was stopped. */
static bool has_waited(const struct pause_mark *before, const struct pause_mark *after)
{
    return after->waits > before->waits && after->faults > before->faults;
}

static void halve_waits(struct pause_watch *watch, int64_t now_ns)
{
    int64_t halvings = (now_ns - watch->halved_at_ns) / PAUSE_HALVING_NS;

    if (halvings <= 0)
        return;
    watch->waits = halvings < 32 ? watch->waits >> halvings : 0;
    watch->halved_at_ns = halvings < 32 ? watch->halved_at_ns + halvings * PAUSE_HALVING_NS : now_ns;
}

/* Of a session that was watched. */
static void judge(struct session *session, const struct pause_mark *before, const struct pause_mark *after,
                  int64_t length, int64_t now_ns)
{
    struct pause_watch *watch = watch_of(session);

    if (has_waited(before, after)) {
        halve_waits(watch, now_ns);
        watch->waits++;
        int64_t pause_ns = length_of(watch, length);
        if (watch->paused_ns < now_ns + pause_ns)
            watch->paused_ns = now_ns + pause_ns;
        begin(session, now_ns + pause_ns * session->process->sessions);
        cache_count(session, COUNTER_pauses, 1);
        watch_until(session, session->pause.until_ns + PAUSE_WATCH_NS);
    } else if (after->faults != before->faults && has_company(session, now_ns - length)) {
        begin(session, now_ns + (length < PAUSE_FAULTS_NS ? length : PAUSE_FAULTS_NS));
    }
}

int64_t pause_after(struct session *session, const struct pause_mark *before, int64_t began_ns,
                    int64_t now_ns)
{
    struct pauses *pauses = &session->cache->pauses;
    int64_t by_others_ns = pauses->held_up_ns - pauses->own_ns, length = now_ns - began_ns - by_others_ns;
    struct pause_mark after;

    pauses->serving = NULL;
    if (length < PAUSE_LONG_NS)
        return length;
    suspect(session, began_ns, length);
    if (by_others_ns >= length) /* who waited for what cannot be told */
        return length;
    after = before->waits >= 0 ? mark_with_time(pauses) : unknown;
    if (after.waits < 0)
        return length;
    judge(session, before, &after, length, now_ns);
    if (has_waited(before, &after) || after.processor_ns - before->processor_ns > length)
        return length;
    return after.processor_ns - before->processor_ns;
}

/* ---- touching for somebody else ---- */

/* Lately. */
static bool was_barred(const struct pause_patience *patience, int64_t now_ns)
{
    return patience->barred_ns > 0 && now_ns - patience->barred_ns <= PAUSE_BAR_MOST_NS;
}

static void bar(struct session *session, int64_t waited_ns, int64_t now_ns)
{
    struct pause_patience *patience = patience_of(session);
    int64_t length =
        waited_ns < PAUSE_BAR_MOST_NS / PAUSE_BAR_FACTOR ? waited_ns * PAUSE_BAR_FACTOR : PAUSE_BAR_MOST_NS;

    if (!was_barred(patience, now_ns))
        patience->bars = 0;
    for (uint32_t i = 0; i < patience->bars && length < PAUSE_BAR_MOST_NS; i++)
        length *= 2;
    if (length > PAUSE_BAR_MOST_NS)
        length = PAUSE_BAR_MOST_NS;
    patience->bars++;
    if (patience->barred_ns < now_ns + length)
        patience->barred_ns = now_ns + length;
    watch_until(session, patience->barred_ns + PAUSE_WATCH_NS);
}

/* A signal stops the cache for any time. Who was barred lately has used that up. */
static bool forgives(struct pause_patience *patience, int64_t waited_ns, int64_t now_ns)
{
    if (waited_ns <= PAUSE_PATIENCE_NS || was_barred(patience, now_ns) ||
        (patience->forgave_ns > 0 && now_ns - patience->forgave_ns < PAUSE_FORGIVING_NS))
        return false;
    patience->forgave_ns = now_ns;
    return true;
}

/* Waits of some length befall anybody, for instance for a lock of the address space, which the cache's
 * threads share. */
static bool has_patience(struct session *session, int64_t waited_ns, int64_t now_ns)
{
    struct pause_patience *patience = patience_of(session);
    int64_t forgotten_ns = (now_ns - patience->waited_at_ns) / (1000000000 / PAUSE_PATIENCE_NS);

    if (forgives(patience, waited_ns, now_ns))
        return true;
    patience->waited_ns = forgotten_ns < patience->waited_ns ? patience->waited_ns - forgotten_ns : 0;
    patience->waited_ns += waited_ns;
    patience->waited_at_ns = now_ns;
    if (patience->waited_ns <= PAUSE_PATIENCE_NS)
        return true;
    bar(session, patience->waited_ns, now_ns);
    patience->waited_ns = 0;
    return false;
}

/* How long of it was the pool's doing: not what stood in line for a processor, nor for a disk. */
static int64_t waited(const struct pauses *pauses, const struct pause_mark *before,
                      const struct pause_mark *after, int64_t length)
{
    if (!has_waited(before, after) || after->reads != before->reads)
        return 0;
    if (!pauses->knows_queued)
        return after->preemptions == before->preemptions ? length : 0;
    int64_t queued_ns = after->queued_ns - before->queued_ns;
    return length - (queued_ns > 0 ? queued_ns : 0);
}

struct pause_touch pause_touch(const struct session *session)
{
    const struct pauses *pauses = &session->cache->pauses;
    struct pause_touch touch = {
        .before = unknown, .began_ns = clock_mono_ns(), .held_up_ns = pauses->held_up_ns};

    if (pause_watches(session, touch.began_ns)) {
        touch.before = pause_mark(pauses);
        touch.began_ns = clock_mono_ns(); /* the scheduler likes the end of a system call */
    }
    return touch;
}

/* Many short ones come to a long one. */
static int64_t add_up(struct pause_watch *watch, int64_t length)
{
    int64_t sum = watch->short_ns + length;

    watch->short_ns = sum < PAUSE_LONG_NS ? sum : 0;
    return sum;
}

bool pause_touched(struct session *session, const struct pause_touch *touch)
{
    struct pauses *pauses = &session->cache->pauses;
    struct pause_watch *watch = watch_of(session);
    int64_t now_ns = clock_mono_ns();
    int64_t length = now_ns - touch->began_ns - (pauses->held_up_ns - touch->held_up_ns);

    if (length < PAUSE_TOUCH_NS)
        return true;
    pauses->held_up_ns += length;
    pauses->own_ns += watch == pauses->serving ? length : 0;
    if (add_up(watch, length) >= PAUSE_LONG_NS)
        suspect(session, touch->began_ns, length);
    if (touch->before.waits < 0)
        return true;
    struct pause_mark after = pause_mark(pauses);
    length = waited(pauses, &touch->before, &after, length);
    if (length < PAUSE_TOUCH_NS)
        return true;
    cache_count(session, COUNTER_pauses, 1);
    return has_patience(session, length, now_ns) || session->obstructs;
}

bool pause_bars(const struct session *session)
{
    return session->tenant && clock_mono_ns() < session->tenant->patience.barred_ns;
}

void pause_enrol(struct session *session)
{
    const struct pause_watch *watch = watch_of(session);

    if (clock_mono_ns() < watch->paused_ns)
        begin(session, watch->paused_ns);
}

/* ---- their ends ---- */

static void end_pause(struct session *session)
{
    DL_DELETE2(session->cache->pauses.list, session, pause.prev, pause.next);
    session->pause.until_ns = 0;
}

void pause_step(struct cache *cache)
{
    struct session *session, *next;
    int64_t now_ns = cache->pauses.list ? clock_mono_ns() : 0;

    DL_FOREACH_SAFE2(cache->pauses.list, session, next, pause.next)
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

    if (!cache->pauses.list)
        return -1;
    DL_FOREACH2(cache->pauses.list, session, pause.next)
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
