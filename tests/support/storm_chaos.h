/* storm_chaos.h: what happens to proxies and cache, and when: kills, freezes, terminations, at random times
 * from the seed. The first conf->witnesses proxies are left alone. */
#ifndef STORM_CHAOS_H
#define STORM_CHAOS_H

#include "storm_fleet.h"

/* Until `deadline`, or until so many kills if `kills` is not 0. False when interrupted or beyond repair. */
bool chaos_run(struct fleet *fleet, int64_t deadline, uint64_t kills);

#endif
