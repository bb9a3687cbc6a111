#include "storm_machine.h"

#include "storm_time.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMER (5 * STORM_MS)

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

static void *keep_time(void *context)
{
    struct machine_watch *watch = context;
    const struct sched_param lowest = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    int64_t due = storm_now();

    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &lowest) != 0)
        return NULL;
    while (!atomic_load(&watch->enough)) {
        due += TIMER;
        const struct timespec when = {.tv_sec = due / STORM_SECOND, .tv_nsec = due % STORM_SECOND};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
            ;
        histogram_add(&watch->use.late, storm_now() - due);
    }
    return NULL;
}

void machine_watch_begin(struct machine_watch *watch)
{
    watch->use.late = (struct histogram){0};
    watch->began = read_time();
    atomic_store(&watch->enough, false);
    watch->runs = pthread_create(&watch->thread, NULL, keep_time, watch) == 0;
}

const struct machine_use *machine_watch_end(struct machine_watch *watch)
{
    struct machine_time now = read_time();
    double all = now.all > watch->began.all ? (double)(now.all - watch->began.all) : NAN;

    atomic_store(&watch->enough, true);
    if (watch->runs)
        pthread_join(watch->thread, NULL);
    watch->runs = false;
    watch->use.used = (double)(now.busy - watch->began.busy) / all;
    watch->use.stolen = (double)(now.stolen - watch->began.stolen) / all;
    return &watch->use;
}
