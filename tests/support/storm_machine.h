/* storm_machine.h: what the machine adds by itself: how much of its processors was used, what the host of a
 * virtual machine took of that, and how late a timer wakes a thread that no other thread can keep waiting.
 * Where that one is late, so is every figure of the table that is a time. */
#ifndef STORM_MACHINE_H
#define STORM_MACHINE_H

#include "storm_histogram.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct machine_use {
    double used, stolen;   /* shares of all processors' time; NAN without /proc/stat */
    struct histogram late; /* of timers; empty where nobody may have a real-time priority */
};

struct machine_watch {
    struct machine_time {
        uint64_t all, busy, stolen; /* ticks since the machine was started */
    } began;
    pthread_t thread;
    bool runs;
    _Atomic bool enough;
    struct machine_use use;
};

void machine_watch_begin(struct machine_watch *watch);
/* What there was since it began; valid until it begins again. */
const struct machine_use *machine_watch_end(struct machine_watch *watch);

#endif
