#include "sweeper.h"

#include "endpoint.h"
#include "thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STEP_NS 10000000 /* between looks at whether we are to end */

static bool is_known(void *context, uint64_t token)
{
    const struct sweeper *sweeper = context;

    for (uint32_t i = 0; i < sweeper->known_count; i++) {
        if (sweeper->known[i] == token)
            return true;
    }
    return false;
}

static bool is_ending(const struct sweeper *sweeper)
{
    return atomic_load_explicit(&sweeper->ending, memory_order_acquire);
}

static void sweep(struct sweeper *sweeper)
{
    void *place = NULL;

    do
        endpoint_sweep_step(&place, STEP_NS, sweeper->instance, is_known, sweeper);
    while (place && !is_ending(sweeper));
    endpoint_sweep_end(&place);
}

static void *run(void *context)
{
    struct sweeper *sweeper = context;

    while (!is_ending(sweeper)) {
        while (sem_wait(&sweeper->wake) < 0 && errno == EINTR)
            ;
        if (!is_ending(sweeper))
            sweep(sweeper);
        atomic_store_explicit(&sweeper->busy, false, memory_order_release);
    }
    return NULL;
}

int sweeper_start(struct sweeper *sweeper, const char *instance)
{
    memset(sweeper, 0, sizeof(*sweeper));
    snprintf(sweeper->instance, sizeof(sweeper->instance), "%s", instance);
    if (sem_init(&sweeper->wake, 0, 0) < 0)
        return -errno;
    int error = thread_start(&sweeper->thread, run, sweeper);
    if (error)
        sem_destroy(&sweeper->wake);
    return error;
}

void sweeper_stop(struct sweeper *sweeper)
{
    atomic_store_explicit(&sweeper->ending, true, memory_order_release);
    sem_post(&sweeper->wake);
    pthread_join(sweeper->thread, NULL);
    sem_destroy(&sweeper->wake);
}

void sweeper_go(struct sweeper *sweeper, const struct registry *registry)
{
    if (atomic_load_explicit(&sweeper->busy, memory_order_acquire))
        return;
    sweeper->known_count = 0;
    for (uint32_t i = 0; i < REGISTRY_MAX; i++) {
        if (registry->places[i].session)
            sweeper->known[sweeper->known_count++] = registry->places[i].token;
    }
    atomic_store_explicit(&sweeper->busy, true, memory_order_release);
    sem_post(&sweeper->wake);
}
