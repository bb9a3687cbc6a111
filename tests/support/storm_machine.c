#include "storm_machine.h"

#include "storm_time.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMER     (2 * STORM_MS)
#define AWAY      STORM_MS /* shorter ones are the timer's own */
#define REMEMBERS 512

struct away {
    int64_t from, to;
};

struct machine {
    pthread_t threads[MACHINE_PROCESSORS];
    unsigned processors[MACHINE_PROCESSORS], count;
    _Atomic bool enough;
    pthread_mutex_t mutex; /* for all below */
    struct histogram late;
    struct away
        aways[REMEMBERS]; /* by time, none overlaps another; the newest is at (told - 1) % REMEMBERS */
    uint64_t told;
};

struct keeper {
    struct machine *machine;
    unsigned processor;
};

/* ---- the threads ---- */

/* They tell in the order of the ends. What another has told already is not told twice. */
static void tell(struct machine *machine, int64_t from, int64_t to)
{
    const struct away *last = &machine->aways[(machine->told + REMEMBERS - 1) % REMEMBERS];

    if (machine->told > 0 && from < last->to)
        from = last->to;
    if (from < to)
        machine->aways[machine->told++ % REMEMBERS] = (struct away){from, to};
}

/* Before the clients and the origin, which process_put_first() has put before the rest. */
static bool put_before_all(unsigned processor)
{
    const struct sched_param above = {.sched_priority = sched_get_priority_min(SCHED_FIFO) + 1};
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &above) == 0 &&
           pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0;
}

/* Every time that the timer should have come counts, also of those that were missed together. */
static void *keep_time(void *context)
{
    struct keeper *keeper = context;
    struct machine *machine = keeper->machine;
    bool first = put_before_all(keeper->processor);
    int64_t due = storm_now();

    free(keeper);
    while (first && !atomic_load(&machine->enough)) {
        due += TIMER;
        const struct timespec when = {.tv_sec = due / STORM_SECOND, .tv_nsec = due % STORM_SECOND};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
            ;
        pthread_mutex_lock(&machine->mutex);
        int64_t now = storm_now();
        histogram_add(&machine->late, now - due);
        if (now - due > AWAY)
            tell(machine, due, now);
        pthread_mutex_unlock(&machine->mutex);
    }
    return NULL;
}

/* ---- the caller ---- */

static bool start_thread(struct machine *machine, unsigned processor)
{
    struct keeper *keeper = malloc(sizeof(*keeper));

    if (!keeper)
        abort();
    *keeper = (struct keeper){machine, processor};
    if (pthread_create(&machine->threads[machine->count], NULL, keep_time, keeper) == 0) {
        machine->count++;
        return true;
    }
    free(keeper);
    return false;
}

struct machine *machine_create(void)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    pthread_mutexattr_t attributes;
    cpu_set_t usable;

    if (!machine)
        abort();
    /* Whoever holds it runs before all as long as one of the threads waits for it. */
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&machine->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    CPU_ZERO(&usable);
    (void)sched_getaffinity(0, sizeof(usable), &usable);
    for (unsigned i = 0; i < CPU_SETSIZE && machine->count < MACHINE_PROCESSORS; i++)
        if (CPU_ISSET(i, &usable) && !start_thread(machine, i))
            break;
    return machine;
}

void machine_destroy(struct machine **machine)
{
    atomic_store(&(*machine)->enough, true);
    for (unsigned i = 0; i < (*machine)->count; i++)
        pthread_join((*machine)->threads[i], NULL);
    pthread_mutex_destroy(&(*machine)->mutex);
    free(*machine);
    *machine = NULL;
}

/* The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)). */
static struct machine_time read_time(void)
{
    enum { IDLE = 3, IOWAIT = 4, STEAL = 7 };
    struct machine_time time = {0};
    FILE *file = fopen("/proc/stat", "re");
    char line[512], *at = line + 3;
    bool good = file && fgets(line, sizeof(line), file) && strncmp(line, "cpu ", 4) == 0;

    if (file)
        fclose(file);
    for (int column = 0; good && column <= STEAL; column++) {
        uint64_t ticks = strtoull(at, &at, 10);

        time.all += ticks;
        time.busy += column == IDLE || column == IOWAIT ? 0 : ticks;
        time.stolen += column == STEAL ? ticks : 0;
    }
    return time;
}

void machine_use_begin(struct machine *machine, struct machine_use *use)
{
    pthread_mutex_lock(&machine->mutex);
    machine->late = (struct histogram){0};
    pthread_mutex_unlock(&machine->mutex);
    use->began = read_time();
}

void machine_use_end(struct machine *machine, struct machine_use *use)
{
    struct machine_time now = read_time();
    double all = now.all > use->began.all ? (double)(now.all - use->began.all) : NAN;

    pthread_mutex_lock(&machine->mutex);
    use->late = machine->late;
    pthread_mutex_unlock(&machine->mutex);
    use->used = (double)(now.busy - use->began.busy) / all;
    use->stolen = (double)(now.stolen - use->began.stolen) / all;
}

int64_t machine_away(struct machine *machine, int64_t from, int64_t to)
{
    int64_t sum = 0;

    pthread_mutex_lock(&machine->mutex);
    for (uint64_t i = machine->told; i > 0 && i + REMEMBERS > machine->told; i--) {
        const struct away *away = &machine->aways[(i - 1) % REMEMBERS];
        int64_t begin = away->from > from ? away->from : from, end = away->to < to ? away->to : to;

        if (away->to <= from)
            break;
        if (begin < end)
            sum += end - begin;
    }
    pthread_mutex_unlock(&machine->mutex);
    return sum;
}
