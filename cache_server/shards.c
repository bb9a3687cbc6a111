#include "shards.h"

#include "cache_reload.h"
#include "claim.h"
#include "invariant.h"
#include "log.h"
#include "schedule.h"
#include "touch.h"
#include "turn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void await(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0)
        INVARIANT(errno == EINTR);
}

/* ---- orders ---- */

static void call(struct shard *shard)
{
    const uint64_t one = 1;

    /* Full after 2^64 - 2 calls that nobody has heard, and then readable as well. */
    (void)!write(shard->orders.fd, &one, sizeof(one));
}

static uint32_t take_leavers(struct shard *shard, struct shards_leaver leavers[SHARDS_LEAVERS])
{
    pthread_mutex_lock(&shard->mutex);
    uint32_t count = shard->leaver_count;
    memcpy(leavers, shard->leavers, count * sizeof(*leavers));
    shard->leaver_count = 0;
    pthread_mutex_unlock(&shard->mutex);
    return count;
}

static void let_leavers_go(struct shard *shard)
{
    struct shards_leaver leavers[SHARDS_LEAVERS];
    uint32_t count = take_leavers(shard, leavers);

    for (uint32_t i = 0; i < count; i++) {
        struct session *session = registry_find_token(&shard->cache->registry, leavers[i].token);
        if (!session)
            continue;
        session->is_known_to_leave = true;
        if (leavers[i].obstructs)
            touch_no_more(session);
        cache_part(shard->cache, &session, DEPARTURE_BYE);
    }
}

static void add_leaver(struct shard *shard, const struct shards_leaver *leaver)
{
    pthread_mutex_lock(&shard->mutex);
    if (shard->leaver_count < SHARDS_LEAVERS)
        shard->leavers[shard->leaver_count++] = *leaver;
    pthread_mutex_unlock(&shard->mutex);
    call(shard);
}

void shards_tell_dropped(struct shards *shards, uint32_t by, const struct shards_leaver *leaver)
{
    for (uint32_t i = 0; i < shards->count; i++) {
        if (i != by)
            add_leaver(&shards->list[i], leaver);
    }
}

static void on_orders(void *context)
{
    struct shard *shard = context;
    uint64_t calls;

    if (read(shard->orders.fd, &calls, sizeof(calls)) != sizeof(calls))
        return;
    const struct cache_conf *wanted = atomic_exchange(&shard->is_to_have, NULL);
    if (wanted) {
        cache_apply(shard->cache, wanted);
        sem_post(&shard->all->applied);
    }
    let_leavers_go(shard);
    if (atomic_load(&shard->is_to_stop))
        shard->cache->stopping = true;
}

static void order_to_stop(struct shard *shard)
{
    atomic_store(&shard->is_to_stop, true);
    call(shard);
}

void shards_apply(struct shards *shards, const struct cache_conf *wanted)
{
    for (uint32_t i = 1; i < shards->count; i++) {
        atomic_store(&shards->list[i].is_to_have, wanted);
        call(&shards->list[i]);
    }
    for (uint32_t i = 1; i < shards->count; i++)
        await(&shards->applied);
}

/* ---- threads ---- */

/* One that has failed still does what it is told, or the first shard would wait for it in vain. */
static void wait_for_the_end(struct shard *shard)
{
    struct pollfd orders = {.fd = shard->orders.fd, .events = POLLIN};

    order_to_stop(&shard->all->list[0]);
    while (!shard->cache->stopping) {
        poll(&orders, 1, -1);
        on_orders(shard);
    }
}

static void *run(void *context)
{
    struct shard *shard = context;

    schedule_short_turns(); /* which threads do not inherit, and the sandbox does not allow */
    pause_open(&shard->cache->pauses);
    sem_post(&shard->all->ready);
    await(&shard->all->go);
    if (!atomic_load(&shard->is_to_stop)) {
        shard->error = turn_run(shard->cache);
        if (shard->error)
            wait_for_the_end(shard);
    }
    return NULL;
}

/* Signals are the first shard's, but for those that a thread raises by what it does: a blocked SIGBUS would
 * end the process before shm_guard.h sees it. */
static int start(struct shard *shard)
{
    sigset_t all, before;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&shard->thread, NULL, run, shard);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    shard->runs = error == 0;
    return -error;
}

static int start_threads(struct shards *shards)
{
    int error = 0;

    for (uint32_t i = 1; i < shards->count && !error; i++)
        error = start(&shards->list[i]);
    for (uint32_t i = 1; i < shards->count && shards->list[i].runs; i++)
        await(&shards->ready);
    return error;
}

static int stop_threads(struct shards *shards)
{
    int error = 0;

    for (uint32_t i = 1; i < shards->count && shards->list[i].runs; i++)
        order_to_stop(&shards->list[i]);
    for (uint32_t i = 1; i < shards->count && shards->list[i].runs; i++)
        sem_post(&shards->go); /* they may not have been let go */
    for (uint32_t i = 1; i < shards->count; i++) {
        struct shard *shard = &shards->list[i];
        if (!shard->runs)
            continue;
        pthread_join(shard->thread, NULL);
        shard->runs = false;
        error = error ? error : shard->error;
    }
    return error;
}

int shards_run(struct shards *shards)
{
    for (uint32_t i = 1; i < shards->count; i++)
        sem_post(&shards->go);
    int error = turn_run(shards->list[0].cache);
    int others = stop_threads(shards);
    return error ? error : others;
}

/* ---- life ---- */

/* The instance first: who has its queue may have the others. */
static int make(struct shard *shard, const struct cache_conf *conf, const struct cache_place *place,
                char *problem, size_t problem_size)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    int error = cache ? cache_setup_shard(cache, conf, place, problem, problem_size) : -ENOMEM;

    if (error) {
        free(cache);
        return error;
    }
    shard->cache = cache;
    if (place->shards == 1)
        return 0;
    shard->orders = (struct loop_source){.ready = on_orders, .context = shard};
    shard->orders.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return shard->orders.fd < 0 ? -errno : loop_add(&cache->loop, &shard->orders);
}

static void unmake(struct shard *shard, bool owns_conf)
{
    if (!shard->cache)
        return;
    if (!owns_conf) { /* the caller has it still */
        shard->cache->conf.tenants = NULL;
        shard->cache->conf.settings = NULL;
        shard->cache->conf.texts = (struct conf_texts){0};
    }
    cache_teardown(shard->cache);
    if (shard->orders.fd >= 0)
        close(shard->orders.fd);
    shard->orders.fd = -1;
    free(shard->cache);
    shard->cache = NULL;
}

static int make_all(struct shards *shards, const struct cache_conf *conf, char *problem, size_t problem_size)
{
    struct cache_place place = cache_place_alone();
    int error = 0;

    place.shards = shards->count;
    place.others = shards->count > 1 ? shards : NULL;
    for (; place.shard < shards->count && !error; place.shard++) {
        error = make(&shards->list[place.shard], conf, &place, problem, problem_size);
        if (place.shard == 0 && !error)
            claim_sweep_shards(conf->instance, shards->count);
    }
    return error;
}

/* In the reverse order, so that the instance is given up last. */
static void unmake_all(struct shards *shards, bool owns_conf)
{
    for (uint32_t i = shards->count; i-- > 0;)
        unmake(&shards->list[i], owns_conf);
    sem_destroy(&shards->ready);
    sem_destroy(&shards->go);
    sem_destroy(&shards->applied);
}

int shards_setup(struct shards *shards, const struct cache_conf *conf, char *problem, size_t problem_size)
{
    *shards = (struct shards){.count = conf->shards};
    for (uint32_t i = 0; i < shards->count; i++) {
        shards->list[i].all = shards;
        shards->list[i].orders.fd = -1;
        pthread_mutex_init(&shards->list[i].mutex, NULL);
    }
    sem_init(&shards->ready, 0, 0);
    sem_init(&shards->go, 0, 0);
    sem_init(&shards->applied, 0, 0);
    int error = make_all(shards, conf, problem, problem_size);
    if (!error) {
        pause_open(&shards->list[0].cache->pauses);
        error = start_threads(shards);
    }
    if (!error)
        return 0;
    if (problem[0] == '\0')
        snprintf(problem, problem_size, "cannot set up: %s", strerror(-error));
    stop_threads(shards);
    unmake_all(shards, false);
    return error;
}

void shards_teardown(struct shards *shards)
{
    stop_threads(shards);
    unmake_all(shards, true);
}
