/* storm_machine.h: what the machine adds by itself: how much of its processors was used, what the host of a
 * virtual machine took of that, and when a processor was away: when it woke a thread that no other thread can
 * keep waiting later than its timer had asked for. No proxy and no cache ran on it meanwhile, so such a time
 * is no fault of theirs, and it is part of every time that the table tells.
 *
 * A thread for each processor (the first MACHINE_PROCESSORS that may be used) looks every two milliseconds,
 * before all other threads. Where nobody may have a real-time priority there are none, and nothing is known
 * of processors that were away.
 *
 * Threads: machine_away() is for any; the others are for one. */
#ifndef STORM_MACHINE_H
#define STORM_MACHINE_H

#include "storm_histogram.h"

#include <stdint.h>

#define MACHINE_PROCESSORS 64

struct machine;

/* Of a time between machine_use_begin() and machine_use_end(). */
struct machine_use {
    struct machine_time {
        uint64_t all, busy, stolen; /* ticks since the machine was started */
    } began;
    double used, stolen;   /* shares of all processors' time; NAN without /proc/stat */
    struct histogram late; /* of timers; empty where nobody may have a real-time priority */
};

/* Begins to look. Ends the process if there is no memory. */
struct machine *machine_create(void);
void machine_destroy(struct machine **machine);

/* One at a time. */
void machine_use_begin(struct machine *machine, struct machine_use *use);
void machine_use_end(struct machine *machine, struct machine_use *use);

/* For how long of that time, which has just ended, a processor was known to be away. What lies further back
 * than the last few hundred such times counts as present. */
int64_t machine_away(struct machine *machine, int64_t from, int64_t to);

#endif
