#include "turn.h"

#include "cache.h"
#include "clock.h"
#include "dispatch.h"
#include "endpoint.h"
#include "log.h"
#include "serve.h"
#include "shm_guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utlist.h>

#define LOCK_CHECK_MS        1000 /* has a living proxy let go of its queue? */
#define LOCK_CHECK_UNSEEN_MS 100  /* where no pidfd tells of a death */
#define SWEEP_INTERVAL_MS    5000 /* names of proxies that died while no cache was there to see it */
#define SWEEP_STEP           256u /* names at a time */
#define EXPIRE_STEP          64u  /* objects a turn */
/* While rings are busy, descriptors are looked at once in so many turns. */
#define TURNS_PER_POLL       8u

/* ---- rings ---- */

/* One round over the active rings. True: something was served, so look again. */
static bool serve_active(struct cache *cache)
{
    struct session *session, *next;
    bool served = false;

    DL_FOREACH_SAFE(cache->active, session, next)
    {
        switch (serve_session(session)) {
        case SERVE_IDLE:
            break;
        case SERVE_MORE:
            served = true;
            break;
        case SERVE_BROKEN:
            cache_part(cache, &session, DEPARTURE_BROKE);
            break;
        case SERVE_FAULTED:
            cache_part(cache, &session, DEPARTURE_FAULTED);
            break;
        }
    }
    return served;
}

/* All rings were found empty: raise their flags and look once more. True: every one sleeps, so may we. */
static bool arm_active(struct cache *cache)
{
    struct session *session, *next;
    bool all = true;

    DL_FOREACH_SAFE(cache->active, session, next)
    {
        struct segment_pool *pool = &session->pool;
        shm_guard_enter(pool->base, pool->bytes);
        bool armed = ring_arm(&pool->requests);
        if (!armed)
            ring_disarm(&pool->requests);
        if (!shm_guard_leave())
            cache_part(cache, &session, DEPARTURE_FAULTED);
        else if (armed)
            cache_deactivate(cache, session);
        else
            all = false;
    }
    return all;
}

/* ---- time ---- */

static int sleep_time(const struct cache *cache)
{
    int64_t expiry = store_next_expiry(&cache->store);
    int64_t wait = cache->next_check_ms - clock_mono_ms();

    /* Times are the proxies' and may be anything: compared, not subtracted, until they are known to be near.
     */
    if (expiry <= cache->now || wait <= 0)
        return 0;
    if (expiry < cache->now + wait)
        wait = expiry - cache->now;
    return (int)wait;
}

/* A proxy that closed its queue without BYE, or died where no pidfd tells. */
static void check_locks(struct cache *cache)
{
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (session && !session_is_held(session))
            cache_part(cache, &session, DEPARTURE_DIED);
    }
}

static bool is_registered(void *context, uint64_t token)
{
    const struct cache *cache = context;

    return registry_find_token(&cache->registry, token) != NULL;
}

static void keep_house(struct cache *cache)
{
    int64_t mono = clock_mono_ms();

    cache->now = clock_wall_ms();
    store_expire(&cache->store, cache->now, EXPIRE_STEP);
    if (mono >= cache->next_check_ms) {
        cache->next_check_ms = mono + (cache->unseen ? LOCK_CHECK_UNSEEN_MS : LOCK_CHECK_MS);
        check_locks(cache);
        cache_activate_all(cache); /* a bell may have been lost on its way */
    }
    if (mono >= cache->next_sweep_ms) {
        cache->next_sweep_ms = mono + SWEEP_INTERVAL_MS;
        endpoint_sweep_step(&cache->sweep, SWEEP_STEP, cache->conf.instance, is_registered, cache);
    }
}

/* ---- descriptors ---- */

static void on_commands(void *context)
{
    dispatch_messages(context);
}

static void on_signal(void *context)
{
    struct cache *cache = context;
    struct signalfd_siginfo info;

    if (read(cache->signals.fd, &info, sizeof(info)) != sizeof(info))
        return;
    log_info("stopping", "signal=%s", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    cache->stopping = true;
}

static sigset_t ending_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void turn_hold_signals(void)
{
    sigset_t set = ending_signals();

    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static int open_signals(struct cache *cache)
{
    sigset_t set = ending_signals();

    cache->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return cache->signals.fd < 0 ? -errno : 0;
}

static int watch(struct cache *cache, struct loop_source *source, void (*ready)(void *context))
{
    source->ready = ready;
    source->context = cache;
    return loop_add(&cache->loop, source);
}

int turn_run(struct cache *cache)
{
    unsigned turns = 0;
    int error = open_signals(cache);

    if (error)
        return error;
    error = watch(cache, &cache->signals, on_signal);
    if (!error)
        error = watch(cache, &cache->commands, on_commands);
    while (!error && !cache->stopping) {
        bool busy = serve_active(cache) || !arm_active(cache);
        if (busy && ++turns % TURNS_PER_POLL != 0)
            continue;
        loop_poll(&cache->loop, busy ? 0 : sleep_time(cache));
        keep_house(cache);
    }
    serve_active(cache); /* what has been asked already is answered */
    close(cache->signals.fd);
    endpoint_sweep_end(&cache->sweep);
    return error;
}
