#include "turn.h"

#include "admin.h"
#include "cache.h"
#include "cache_reload.h"
#include "claim.h"
#include "clock.h"
#include "dispatch.h"
#include "follow.h"
#include "holds.h"
#include "log.h"
#include "pause.h"
#include "purge.h"
#include "serve.h"
#include "shm_guard.h"
#include "touch.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utlist.h>

#define LOCK_CHECK_MS         1000  /* has a living proxy let go of its queue? */
#define LOCK_CHECK_UNSEEN_MS  100   /* where no pidfd tells of a death */
#define RENEWAL_INTERVAL_MS   1000  /* attempts to have a name again */
#define COMPLAINT_INTERVAL_MS 10000 /* and what is said about them */
#define SWEEP_INTERVAL_MS     5000  /* names of proxies that died while no cache was there to see it */
#define EXPIRE_STEP           64u   /* objects a turn */
#define RESIZE_STEP           64u   /* objects a turn */
#define DOOMED_STEP           64u   /* objects a turn */
/* Where more are active there is no need to wait for one. */
#define RINGS_TO_SPIN_ON      16u
/* While rings are busy, descriptors are looked at once in so many turns. */
#define TURNS_PER_POLL        8u

/* ---- rings ---- */

/* One batch; `clock` is brought up to date, and `cost` is what it cost. True: something was served, so look
 * again. The session may be gone afterwards. */
static bool serve_one(struct cache *cache, struct session *session, int64_t *clock, int64_t *cost)
{
    int64_t before = *clock;
    struct pause_mark mark = pause_before(session, before);
    enum serve_result result = serve_session(session);

    *clock = clock_mono_ns();
    *cost = pause_after(session, &mark, before, *clock);
    if (result == SERVE_IDLE || result == SERVE_MORE)
        return result == SERVE_MORE;
    int64_t began = *clock;
    cache_part(cache, &session, result == SERVE_BROKEN ? DEPARTURE_BROKE : DEPARTURE_FAULTED);
    *clock = clock_mono_ns();
    *cost += *clock - began;
    return true;
}

/* A turn's credit for each tenant with something to do; see process.h, whose rule this is. */
static void pay_tenants(struct cache *cache, int64_t passed_ns)
{
    uint32_t least = SHARES_MAX_WEIGHT, most = 1;
    struct tenant *tenant;

    DL_FOREACH2(cache->busy_tenants, tenant, next_busy)
    {
        uint32_t weight = tenant->settings.weight;
        least = weight < least ? weight : least;
        most = weight > most ? weight : most;
    }
    DL_FOREACH2(cache->busy_tenants, tenant, next_busy)
    {
        if (!cache->busy_tenants->next_busy) /* alone */
            tenant->credit_ns = 0;
        tenant->quantum_ns = credit_quantum(tenant->settings.weight, least, most);
        (void)credit_earn(&tenant->credit_ns, tenant->quantum_ns, passed_ns);
    }
}

/* That of the tenant which it serves next. */
static int64_t quantum_of(const struct process *process)
{
    const struct tenant *tenant = process->active->tenant;

    return tenant ? tenant->quantum_ns : PROCESS_QUANTUM_NS;
}

/* So many batches of a process may come after each other while its credit lasts. */
static uint32_t batches_of(const struct process *process)
{
    int64_t quanta = quantum_of(process) / PROCESS_QUANTUM_NS;

    return quanta > 1 ? process->active_count * (uint32_t)quanta : process->active_count;
}

/* Only while several tenants are busy do they wait for each other. */
static bool has_turn(const struct cache *cache, const struct session *session)
{
    return !session->tenant || session->tenant->credit_ns > 0 || !cache->busy_tenants->next_busy;
}

/* A batch of each of its active sessions, while its credit and that of their tenants last; the next turn
 * begins with the one that comes then. */
static bool serve_process(struct cache *cache, struct process *process, int64_t *clock)
{
    uint32_t idle = 0; /* sessions on end that had nothing */
    bool served = false;

    process_hold(process); /* its last session may go */
    for (uint32_t i = batches_of(process);
         i > 0 && process->active && process->credit_ns > 0 && idle < process->active_count; i--) {
        struct session *session = process->active;
        struct tenant *tenant = session->tenant;
        int64_t cost;

        DL_DELETE(process->active, session);
        DL_APPEND(process->active, session);
        if (!has_turn(cache, session)) {
            served = true;
            idle++;
            continue;
        }
        idle = serve_one(cache, session, clock, &cost) ? 0 : idle + 1;
        served |= idle == 0;
        process_spend(process, cost);
        if (idle == 0)
            processes_served(&cache->processes, process, *clock);
        if (tenant) /* which outlives its sessions, if not this turn's housekeeping */
            tenant->credit_ns -= cost;
    }
    process_leave(&cache->processes, &process);
    return served;
}

/* One round over the active rings. True: there is more to do. The round begins with another process each
 * time, so that what a tenant has for all its processes comes to each of them. */
static bool serve_active(struct cache *cache)
{
    int64_t clock = cache->processes.busy ? clock_mono_ns() : 0, passed_ns = clock - cache->turn_ns;
    struct process *process, *next, *first = cache->processes.busy;
    bool busy = false;

    cache->turn_ns = clock;
    pay_tenants(cache, passed_ns);
    if (first && first->next) {
        DL_DELETE(cache->processes.busy, first);
        DL_APPEND(cache->processes.busy, first);
    }
    DL_FOREACH_SAFE(cache->processes.busy, process, next)
    {
        if (!process->next && process == cache->processes.busy)
            process->credit_ns = 0; /* alone: it owes nobody */
        busy |=
            !process_earn(process, quantum_of(process), passed_ns) || serve_process(cache, process, &clock);
    }
    return busy;
}

/* Raises the flag of an empty ring and looks once more. False: something has come, or is to be told. */
static bool arm(struct cache *cache, struct session *session)
{
    struct segment_pool *pool = &session->pool;

    if (session->spoiled) /* it goes */
        return false;
    if ((session->due && session->state == SESSION_ALIVE) || ahead_waits(&session->ahead))
        return false;
    int64_t began = clock_mono_ns();
    struct pause_mark mark = pause_before(session, began);
    shm_guard_enter(pool->base, pool->bytes);
    bool armed = ring_arm(&pool->requests);
    if (!armed)
        ring_disarm(&pool->requests);
    bool is_there = shm_guard_leave();
    process_spend(session->process, pause_after(session, &mark, began, clock_mono_ns()));
    if (!is_there) {
        cache_part(cache, &session, DEPARTURE_FAULTED);
        return armed;
    }
    if (armed && session->active)
        cache_deactivate(cache, session);
    return armed;
}

/* All rings were found empty. True: every one sleeps, so may we. */
static bool arm_active(struct cache *cache)
{
    struct process *process, *next_process;
    struct session *session, *next;
    bool all = true;

    if (cache->flooded) /* bells may find no room */
        return !cache->processes.busy;
    DL_FOREACH_SAFE(cache->processes.busy, process, next_process)
    {
        process_hold(process);
        DL_FOREACH_SAFE(process->active, session, next)
        {
            all &= arm(cache, session);
        }
        process_leave(&cache->processes, &process);
    }
    return all && !cache->processes.busy; /* the end of one may be news for another */
}

/* ---- time ---- */

static bool has_to_purge(const struct cache *cache)
{
    for (uint32_t i = 0; i < cache->tenants.doomed_count; i++) {
        if (cache->tenants.doomed[i]->objects > 0)
            return true;
    }
    return false;
}

/* Has a tenant more than its limit, that can be taken from it? */
static bool has_to_shrink(const struct cache *cache)
{
    for (uint32_t i = 0; i < cache->tenants.count; i++) {
        const struct tenant *tenant = cache->tenants.list[i];
        if (tenant_is_over(tenant) && tenant->account.evictable > 0)
            return true;
    }
    return false;
}

static int sleep_time(const struct cache *cache)
{
    int64_t expiry = store_next_expiry(&cache->store);
    int64_t next = cache->proxies > 0 && cache->next_beat_ms < cache->next_check_ms ? cache->next_beat_ms
                                                                                    : cache->next_check_ms;
    if (cache->leases.quiet && lease_longest_quiet(&cache->leases) + cache->conf.lease_ms < next)
        next = lease_longest_quiet(&cache->leases) + cache->conf.lease_ms;
    int64_t wait = next - clock_mono_ms();

    /* Times are the proxies' and may be anything: compared, not subtracted, until they are known to be near.
     */
    if (expiry <= cache->now || wait <= 0 || cache->spoiled > 0 || has_to_purge(cache) ||
        !purge_is_over(cache) || has_to_shrink(cache) || !store_is_tidy(&cache->store) ||
        store_is_resizing(&cache->store))
        return 0;
    if (expiry < cache->now + wait)
        wait = expiry - cache->now;
    int pause = pause_left_ms(cache);
    return pause >= 0 && pause < wait ? pause : (int)wait;
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

static bool holds_something(const struct session *session)
{
    return session->pins.used + session->leases.used + session->follows.used > 0;
}

/* Once in so many looks a heartbeat must have moved, or a request have come. */
static void look_for_life(struct cache *cache, struct session *session)
{
    uint64_t requests = session->counters.values[COUNTER_requests];
    uint32_t beat;

    if (!segment_pool_read_heartbeat(session->pool_fd, &beat)) {
        cache_part(cache, &session, DEPARTURE_FAULTED);
        return;
    }
    bool heard = beat != session->beat || requests != session->requests;
    session->beat = beat;
    session->requests = requests;
    session->silent = heard ? 0 : session->silent + 1;
    if (session->state == SESSION_ALIVE) {
        if (session->silent > CACHE_BEATS)
            cache_stall(cache, session);
    } else if (heard) {
        cache_thaw(cache, session);
    } else if (cache->conf.stall_limit_ms > 0 && holds_something(session) &&
               cache->mono_ms - session->stalled_mono_ms >= cache->conf.stall_limit_ms) {
        cache_part(cache, &session, DEPARTURE_STALLED);
    }
}

static void check_heartbeats(struct cache *cache)
{
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (!session || session->role != WIRE_ROLE_PROXY)
            continue;
        admin_remind(session);
        look_for_life(cache, session);
    }
}

/* Those whose pools turned out to have lost pages while others were served. */
static void drop_spoiled(struct cache *cache)
{
    for (uint32_t i = 0; i < REGISTRY_MAX && cache->spoiled > 0; i++) {
        struct session *session = cache->registry.places[i].session;
        if (session && session->spoiled)
            cache_part(cache, &session, DEPARTURE_FAULTED);
    }
}

/* Whoever removes our name can also let another cache have it. Those who are registered need no name, and are
 * served until the last of them has left; newcomers are the other's. */
static void go_on_without_name(struct cache *cache, int error, const char *problem)
{
    bool stops = error == -EBUSY && cache->proxies == 0;

    if (stops)
        cache->failed = error;
    if (!stops && cache->mono_ms < cache->next_complaint_ms)
        return;
    cache->next_complaint_ms = cache->mono_ms + COMPLAINT_INTERVAL_MS;
    log_error(stops ? "the command queue has lost its name, and another cache has it; stopping"
              : error == -EBUSY
                  ? "the command queue has lost its name, and another cache has it; serving those "
                    "who are registered"
                  : "the command queue has lost its name and cannot be made anew",
              "instance=%s reason=\"%s\"", cache->conf.instance, problem);
}

/* The name of our queue is gone, but nobody who has it open is: they go on with it, newcomers need another.
 */
static void renew_queue(struct cache *cache)
{
    char problem[512] = "";
    mqd_t queue;

    if (cache->mono_ms < cache->next_renewal_ms)
        return;
    cache->next_renewal_ms = cache->mono_ms + RENEWAL_INTERVAL_MS;
    int error =
        claim_shard(cache->conf.instance, cache->place.shard,
                    cache->conf.group.name ? &cache->conf.group.gid : NULL, &queue, problem, sizeof(problem));
    if (error) {
        go_on_without_name(cache, error, problem);
        return;
    }
    if (cache->former.fd >= 0) {
        loop_remove(&cache->loop, &cache->former);
        mq_close(cache->former.fd);
    }
    loop_remove(&cache->loop, &cache->commands);
    cache->former.fd = cache->commands.fd;
    cache->commands.fd = queue;
    cache->failed = loop_add(&cache->loop, &cache->former);
    if (!cache->failed)
        cache->failed = loop_add(&cache->loop, &cache->commands);
    cache->counters.values[COUNTER_renames]++;
    log_warn("somebody removed the command queue's name; made anew. If it was systemd's RemoveIPC=, see "
             "`cache_ctl doctor`",
             "instance=%s", cache->conf.instance);
}

/* Objects of tenants whose names were needed, some at a time: nobody is charged for the time that takes. */
static void purge_doomed(struct cache *cache)
{
    unsigned left = DOOMED_STEP;

    for (uint32_t i = 0; i < cache->tenants.doomed_count && left > 0; i++) {
        purge_forget(cache, cache->tenants.doomed[i]);
        left -= store_purge(&cache->store, cache->tenants.doomed[i], left);
    }
    tenants_free_doomed(&cache->tenants);
}

/* Down to limits that were lowered. */
static void shrink_tenants(struct cache *cache)
{
    unsigned left = RESIZE_STEP;

    for (uint32_t i = 0; i < cache->tenants.count && left > 0; i++) {
        if (tenant_is_over(cache->tenants.list[i]))
            left -= store_shrink(&cache->store, cache->tenants.list[i], left);
    }
}

static struct tenant *with_more(struct tenant *a, struct tenant *b)
{
    return !a || b->account.evictable > a->account.evictable ? b : a;
}

/* Down to a memory that was lowered. If need be who has most gives. */
static void shrink_memory(struct cache *cache)
{
    struct tenant *most = NULL;

    for (uint32_t i = 0; i < cache->tenants.count; i++)
        most = with_more(most, cache->tenants.list[i]);
    for (uint32_t i = 0; i < cache->tenants.doomed_count; i++)
        most = with_more(most, cache->tenants.doomed[i]);
    store_resize_step(&cache->store, most, RESIZE_STEP);
}

static void keep_house(struct cache *cache)
{
    int64_t mono = clock_mono_ms();

    cache->now = clock_wall_ms();
    cache->mono_ms = mono;
    drop_spoiled(cache);
    store_tidy(&cache->store);
    store_expire(&cache->store, cache->now, EXPIRE_STEP);
    follow_check_progress(cache);
    pause_step(cache);
    if (store_is_resizing(&cache->store))
        shrink_memory(cache);
    if (cache->tenants.doomed_count > 0)
        purge_doomed(cache);
    purge_step(cache);
    shrink_tenants(cache);
    holds_collect_step(cache);
    if (mono >= cache->next_beat_ms) {
        cache->next_beat_ms = mono + cache->conf.stall_ms / CACHE_BEATS;
        check_heartbeats(cache);
    }
    if (mono >= cache->next_check_ms) {
        cache->next_check_ms = mono + (cache->unseen ? LOCK_CHECK_UNSEEN_MS : LOCK_CHECK_MS);
        check_locks(cache);
        if (!claim_still_named(cache->commands.fd))
            renew_queue(cache);
        cache_activate_all(cache); /* a bell may have been lost on its way */
    }
    if (mono >= cache->next_sweep_ms && cache->place.shard == 0) {
        cache->next_sweep_ms = mono + SWEEP_INTERVAL_MS;
        sweeper_go(&cache->sweeper, &cache->registry);
    }
}

/* ---- looking on for a while ---- */

/* Of this one's ring; the pool may have lost pages. */
static bool has_come(struct cache *cache, struct session *session)
{
    struct segment_pool *pool = &session->pool;

    if (session->spoiled)
        return true;
    shm_guard_enter(pool->base, pool->bytes);
    bool more = ring_has_more(&pool->requests);
    if (shm_guard_leave())
        return more;
    cache->lost = session;
    return true;
}

/* Of a session that is watched. Short looks do not wait, so waits are known by what was counted before them,
 * without a system call for each. */
static bool has_come_in_time(struct cache *cache, struct session *session)
{
    int64_t began_ns = clock_mono_ns();

    if (began_ns - cache->looked_ns >= PAUSE_LONG_NS) { /* whoever is not watched took that long */
        cache->looking = pause_mark(&cache->pauses);
        began_ns = clock_mono_ns();
    }
    struct pause_touch touch = {
        .before = cache->looking, .began_ns = began_ns, .held_up_ns = cache->pauses.held_up_ns};
    bool more = has_come(cache, session);
    cache->looked_ns = clock_mono_ns();
    if (cache->looked_ns - began_ns < PAUSE_TOUCH_NS)
        return more;
    touch_took(session, &touch);
    cache->looking = pause_mark(&cache->pauses);
    return more;
}

static bool something_has_come(void *context)
{
    struct cache *cache = context;
    struct process *process;
    struct session *session;
    unsigned left = RINGS_TO_SPIN_ON;

    DL_FOREACH(cache->processes.busy, process)
    {
        DL_FOREACH(process->active, session)
        {
            if (pause_watches(session, cache->looking_ns) ? has_come_in_time(cache, session)
                                                          : has_come(cache, session))
                return true;
            if (--left == 0)
                return false;
        }
    }
    return false;
}

/* One of their pools may have made us wait. */
static void suspect_those_looked_at(struct cache *cache, int64_t took_ns)
{
    struct process *process;
    struct session *session;

    if (took_ns < PAUSE_LONG_NS)
        return;
    DL_FOREACH(cache->processes.busy, process)
    {
        DL_FOREACH(process->active, session)
        {
            pause_suspect(session, took_ns, cache->looking_ns + took_ns);
        }
    }
}

/* All rings were found empty, for the first time since something was served. True: look at them again. */
static bool look_on(struct cache *cache)
{
    uint64_t spins = cache->spin.spins;

    if (cache->spin.percent == 0 || cache->idle_ns > 0 || cache->flooded || sleep_time(cache) == 0)
        return false;
    int64_t began = cache->looking_ns = cache->looked_ns = clock_mono_ns();
    if (began < cache->pauses.watching_ns)
        cache->looking = pause_mark(&cache->pauses);
    bool found = spin_look(&cache->spin, something_has_come, cache);
    suspect_those_looked_at(cache, clock_mono_ns() - began);
    if (found) {
        if (cache->lost)
            cache_part(cache, &cache->lost, DEPARTURE_FAULTED);
        return true;
    }
    cache->idle_ns = began;
    cache->spun = cache->spin.spins != spins;
    return false;
}

/* Something was served. */
static void end_idling(struct cache *cache)
{
    if (cache->idle_ns > 0)
        spin_slept(&cache->spin, clock_mono_ns() - cache->idle_ns, cache->spun);
    cache->idle_ns = 0;
}

/* ---- descriptors ---- */

static void on_commands(void *context)
{
    struct cache *cache = context;

    dispatch_messages(cache, cache->commands.fd);
}

static void on_former(void *context)
{
    struct cache *cache = context;

    dispatch_messages(cache, cache->former.fd);
}

static void on_signal(void *context)
{
    struct cache *cache = context;
    struct signalfd_siginfo info;

    if (read(cache->signals.fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP) {
        struct conf_report report;
        cache_reload(cache, &report);
        return;
    }
    log_info("stopping", "signal=%s", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    cache->stopping = true;
}

static sigset_t handled_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

void turn_hold_signals(void)
{
    sigset_t set = handled_signals();

    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static int open_signals(struct cache *cache)
{
    sigset_t set = handled_signals();

    cache->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return cache->signals.fd < 0 ? -errno : 0;
}

static int watch(struct cache *cache, struct loop_source *source, void (*ready)(void *context))
{
    source->ready = ready;
    source->context = cache;
    return loop_add(&cache->loop, source);
}

int turn_begin(struct cache *cache)
{
    int error = 0;

    cache->former.ready = on_former;
    cache->former.context = cache;
    cache->signals.fd = -1;
    if (cache->place.shard == 0)
        error = open_signals(cache);
    if (!error && cache->signals.fd >= 0)
        error = watch(cache, &cache->signals, on_signal);
    return error ? error : watch(cache, &cache->commands, on_commands);
}

void turn_once(struct cache *cache, bool may_sleep)
{
    bool busy = serve_active(cache);

    if (busy)
        end_idling(cache);
    else
        busy = (may_sleep && look_on(cache)) || !arm_active(cache);
    if (busy && ++cache->turns % TURNS_PER_POLL != 0)
        return;
    loop_poll(&cache->loop, busy || !may_sleep ? 0 : sleep_time(cache));
    if (cache->flooded) /* an empty queue is no event, but ends the flood */
        dispatch_messages(cache, cache->commands.fd);
    keep_house(cache);
}

void turn_end(struct cache *cache)
{
    serve_active(cache); /* what has been asked already is answered */
    if (cache->signals.fd >= 0)
        close(cache->signals.fd);
}

int turn_run(struct cache *cache)
{
    int error = turn_begin(cache);

    while (!error && !cache->stopping && !cache->failed)
        turn_once(cache, true);
    turn_end(cache);
    return error ? error : cache->failed;
}
