#include "cache.h"

#include "clock.h"
#include "dispatch.h"
#include "endpoint.h"
#include "identity.h"
#include "invariant.h"
#include "log.h"
#include "serve.h"
#include "shm_guard.h"
#include "size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define LOCK_CHECK_MS        1000 /* has a living proxy let go of its queue? */
#define LOCK_CHECK_UNSEEN_MS 100  /* where no pidfd tells of a death */
#define SWEEP_INTERVAL_MS    5000 /* names of proxies that died while no cache was there to see it */
#define EXPIRE_STEP          64u  /* objects a turn */
/* While rings are busy, descriptors are looked at once in so many turns. */
#define TURNS_PER_POLL       8u

void cache_count(struct session *session, enum counter counter, uint64_t by)
{
    session->counters.values[counter] += by;
    session->cache->counters.values[counter] += by;
    if (session->tenant)
        session->tenant->counters.values[counter] += by;
}

/* ---- becoming the cache of an instance
 * ------------------------------------------------------------------------------ */

static int queue_in_the_way(const char *name, int error, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size, "cannot use the existing queue %s: %s; if no cache runs, remove it", name,
             strerror(-error));
    return error;
}

static bool has_our_shape(mqd_t queue)
{
    struct mq_attr attributes;

    return mq_getattr(queue, &attributes) == 0 && attributes.mq_maxmsg == MQ_COMMAND_DEPTH &&
           attributes.mq_msgsize == MQ_MESSAGE_BYTES;
}

/* The name may have been unlinked between our opening the queue and our locking it. */
static bool still_named(mqd_t queue)
{
    struct stat status;

    return fstat(queue, &status) == 0 && status.st_nlink > 0;
}

static int served_already(mqd_t queue, const char *instance, char *problem, size_t problem_size)
{
    pid_t pid = 0;

    identity_holder(queue, &pid, NULL);
    snprintf(
        problem, problem_size,
        "instance %s is served already by the cache with pid %d; stop that one, or choose another --instance",
        instance, (int)pid);
    mq_close(queue);
    return -EBUSY;
}

/* One attempt; -EAGAIN: the name changed under us, try again. Whoever holds the lock on the inode that bears
 * the name is the cache. A queue left by a dead cache is taken over, not replaced, so there is no moment
 * without the name. */
static int claim_queue(const char *instance, mqd_t *out, char *problem, size_t problem_size)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, instance);
    int error = mq_create_exclusive(&queue, name, MQ_COMMAND_DEPTH);
    if (error && error != -EEXIST) {
        mq_explain(error, name, problem, problem_size);
        return error;
    }
    if (error) {
        error = mq_open_existing(&queue, name, O_RDWR);
        if (error)
            return error == -ENOENT ? -EAGAIN : queue_in_the_way(name, error, problem, problem_size);
    }
    if (identity_lock(queue))
        return served_already(queue, instance, problem, problem_size);
    if (!identity_is_private(queue, geteuid())) {
        mq_close(queue);
        return queue_in_the_way(name, -EPERM, problem, problem_size);
    }
    if (!has_our_shape(queue) && still_named(queue))
        mq_unlink(name); /* another release's; we hold its lock, so its cache is dead */
    if (!still_named(queue)) {
        mq_close(queue);
        return -EAGAIN;
    }
    *out = queue;
    return 0;
}

static int open_queue(struct cache *cache, char *problem, size_t problem_size)
{
    mqd_t queue;
    int error = -EAGAIN;

    for (int i = 0; i < 10 && error == -EAGAIN; i++)
        error = claim_queue(cache->conf.instance, &queue, problem, problem_size);
    if (error == -EAGAIN)
        snprintf(problem, problem_size,
                 "the command queue of instance %s keeps changing; are several caches starting?",
                 cache->conf.instance);
    if (!error)
        cache->commands.fd = queue;
    return error;
}

static void close_queue(struct cache *cache)
{
    char name[NAMES_BYTES];

    names_command_queue(name, cache->conf.instance);
    mq_unlink(name);
    mq_close(cache->commands.fd);
}

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

static int open_signals(struct cache *cache)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    cache->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return cache->signals.fd < 0 ? -errno : 0;
}

static int open_loop(struct cache *cache)
{
    int error = loop_setup(&cache->loop);

    if (error)
        return error;
    cache->commands.ready = on_commands;
    cache->commands.context = cache;
    cache->signals.ready = on_signal;
    cache->signals.context = cache;
    error = loop_add(&cache->loop, &cache->commands);
    if (!error)
        error = loop_add(&cache->loop, &cache->signals);
    if (error)
        loop_teardown(&cache->loop);
    return error;
}

int cache_setup(struct cache *cache, const struct cache_conf *conf, char *problem, size_t problem_size)
{
    int error;

    memset(cache, 0, sizeof(*cache));
    cache->conf = *conf;
    error = store_setup(&cache->store, conf->memory, conf->max_object, &cache->counters);
    if (error)
        goto err;
    leases_setup(&cache->leases, &cache->store);
    randombytes_buf(&cache->epoch, sizeof(cache->epoch));
    registry_setup(&cache->registry, cache->epoch);
    cache->since_mono_ms = clock_mono_ms();
    cache->now = clock_wall_ms();
    error = shm_guard_setup();
    if (error)
        goto err;
    error = open_signals(cache);
    if (error)
        goto err;
    /* Last but one, because from now on other caches are refused: */
    error = open_queue(cache, problem, problem_size);
    if (error)
        goto err_signals;
    error = open_loop(cache);
    if (error)
        goto err_queue;
    return 0;

err_queue:
    close_queue(cache);
err_signals:
    close(cache->signals.fd);
err:
    if (problem[0] == '\0')
        snprintf(problem, problem_size, "cannot set up: %s", strerror(-error));
    return error;
}

/* ---- registrations
 * ------------------------------------------------------------------------------------------------------- */

static void on_death(void *context)
{
    struct session *session = context;

    cache_part(session->cache, &session, DEPARTURE_DIED);
}

static int watch(struct cache *cache, struct session *session)
{
    if (session->death.fd < 0) {
        cache->unseen++;
        return 0;
    }
    session->death.ready = on_death;
    session->death.context = session;
    int error = loop_add(&cache->loop, &session->death);
    session->watched = !error;
    return error;
}

/* Places, tenants and descriptors; the session exists but nobody knows it yet. */
static enum wire_refusal enrol(struct cache *cache, struct session *session, const char *tenant)
{
    session->cache = cache;
    if (session->role == WIRE_ROLE_PROXY) {
        session->tenant = tenants_get(&cache->tenants, tenant);
        if (!session->tenant)
            return WIRE_REFUSAL_TENANT;
    }
    if (cache->registry.count == REGISTRY_MAX)
        return WIRE_REFUSAL_FULL;
    if (watch(cache, session))
        return WIRE_REFUSAL_RESOURCES;
    session->registration = registry_add(&cache->registry, session, session->token);
    if (session->tenant) {
        session->tenant->proxies++;
        cache->proxies++;
        cache_count(session, COUNTER_registrations, 1);
    }
    return WIRE_REFUSAL_NONE;
}

enum wire_refusal cache_admit(struct cache *cache, const struct wire_hello *hello, struct session **out)
{
    struct session *session;

    if (hello->role > WIRE_ROLE_ADMIN)
        return WIRE_REFUSAL_MALFORMED;
    if (registry_find_token(&cache->registry, hello->header.token))
        return WIRE_REFUSAL_DUPLICATE;
    enum wire_refusal refusal = session_attach(&session, cache->conf.instance, hello);
    if (refusal != WIRE_REFUSAL_NONE)
        return refusal;
    refusal = enrol(cache, session, hello->tenant);
    if (refusal != WIRE_REFUSAL_NONE) {
        session_detach(&session, &cache->store);
        return refusal;
    }
    if (session->tenant)
        log_info("proxy registered", "proxy=%d tenant=%s segments=%" PRIu32 " segment_bytes=%" PRIu32,
                 (int)session->pid, session->tenant->name, hello->segments, hello->segment_bytes);
    *out = session;
    return WIRE_REFUSAL_NONE;
}

static void tell_dropped(const struct session *session)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_REFUSED, session->token);

    message.wire_refused.type = WIRE_BELL;
    message.wire_refused.reason = WIRE_REFUSAL_STALE;
    message.wire_refused.echo = session->registration;
    (void)mq_send_message(session->reply, &message, length);
}

static void note_departure(struct session *session, enum departure why)
{
    static const struct {
        enum counter counter;
        const char *text;
    } kinds[] = {
        [DEPARTURE_BYE] = {COUNTER_departures, "proxy left"},
        [DEPARTURE_DIED] = {COUNTER_proxies_reclaimed, "proxy died; all that it held is taken back"},
        [DEPARTURE_BROKE] = {COUNTER_proxies_dropped, "proxy dropped: it broke the protocol"},
        [DEPARTURE_FAULTED] = {COUNTER_faults_caught, "proxy dropped: its segment pool lost pages"},
    };

    /* Admin clients come and go unremarked. */
    if (why == DEPARTURE_SHUTDOWN || (!session->tenant && why != DEPARTURE_FAULTED))
        return;
    cache_count(session, kinds[why].counter, 1);
    if (why == DEPARTURE_FAULTED && session->tenant)
        cache_count(session, COUNTER_proxies_dropped, 1);
    log_at(why >= DEPARTURE_BROKE ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, kinds[why].text,
           "proxy=%d tenant=%s pins=%" PRIu32 " leases=%" PRIu32, (int)session->pid,
           session->tenant ? session->tenant->name : "-", session->pins.used, session->leases.used);
}

/* A dead process cannot remove its names. Ours to do where the kernel lets us: they belong to our user. */
static void sweep_names(const struct cache *cache, uint64_t token)
{
    char name[NAMES_BYTES];

    names_peer(name, cache->conf.instance, token);
    mq_unlink(name);
    shm_unlink(name);
}

void cache_part(struct cache *cache, struct session **pointer, enum departure why)
{
    struct session *session = *pointer;

    *pointer = NULL;
    note_departure(session, why);
    if (why == DEPARTURE_BROKE || why == DEPARTURE_FAULTED)
        tell_dropped(session);
    if (why == DEPARTURE_DIED)
        sweep_names(cache, session->token);
    if (session->active)
        DL_DELETE(cache->active, session);
    if (session->watched)
        loop_remove(&cache->loop, &session->death);
    else
        cache->unseen--;
    if (session->tenant) {
        session->tenant->proxies--;
        cache->proxies--;
        cache_count(session, COUNTER_fill_aborts, session_end_leases(session, &cache->leases));
    }
    registry_remove(&cache->registry, session->registration);
    session_detach(&session, &cache->store);
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

/* ---- the turn
 * -------------------------------------------------------------------------------------------------------------
 */

void cache_activate(struct cache *cache, struct session *session)
{
    if (session->active)
        return;
    session->active = true;
    DL_APPEND(cache->active, session);
}

static void deactivate(struct cache *cache, struct session *session)
{
    session->active = false;
    DL_DELETE(cache->active, session);
}

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
            deactivate(cache, session);
        else
            all = false;
    }
    return all;
}

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
    }
    if (mono >= cache->next_sweep_ms) {
        cache->next_sweep_ms = mono + SWEEP_INTERVAL_MS;
        endpoint_sweep(cache->conf.instance, is_registered, cache);
    }
}

void cache_run(struct cache *cache)
{
    unsigned turns = 0;

    while (!cache->stopping) {
        bool busy = serve_active(cache) || !arm_active(cache);
        if (busy && ++turns % TURNS_PER_POLL != 0)
            continue;
        loop_poll(&cache->loop, busy ? 0 : sleep_time(cache));
        keep_house(cache);
    }
}

void cache_teardown(struct cache *cache)
{
    serve_active(cache); /* what has been asked already is answered */
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        struct session *session = cache->registry.places[i].session;
        if (session)
            cache_part(cache, &session, DEPARTURE_SHUTDOWN);
    }
    loop_teardown(&cache->loop);
    close_queue(cache);
    close(cache->signals.fd);
    leases_teardown(&cache->leases);
    store_teardown(&cache->store);
    tenants_free(&cache->tenants);
}
