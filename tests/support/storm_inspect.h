/* storm_inspect.h: what is held when nothing happens: names, segments, descriptors, memory.
 *
 * Looks at the kernel and at the pools themselves; of the cache's own account only what cannot be seen from
 * outside. Nothing is changed. */
#ifndef STORM_INSPECT_H
#define STORM_INSPECT_H

#include "storm_fleet.h"

#include <stdbool.h>
#include <stdint.h>

#define UNKNOWN  (-1)
#define FINDINGS 8

/* Taken at rest after warming up. */
struct baseline {
    int cache_descriptors; /* UNKNOWN: cannot be seen */
    int witness_descriptors[64];
};

struct memory {
    int64_t resident, anonymous; /* bytes; UNKNOWN */
};

struct inspection {
    unsigned pools;          /* that were looked at */
    unsigned segments;       /* in them */
    unsigned lost_names;     /* of no living process */
    unsigned vanished_names; /* of a living process, but gone */
    unsigned leaked_segments;
    int64_t pins, leases, bytes_held; /* by the cache's account; UNKNOWN: it did not answer */
    int64_t leaked_pools, proxies;
    int leaked_descriptors;
    bool descriptors_known;
    unsigned findings;
    char text[FINDINGS][160]; /* the first of them, in words */
};

void inspect_baseline(struct fleet *fleet, struct baseline *baseline);
void inspect_memory(const struct fleet *fleet, struct memory *memory);

/* Looks until nothing is found or the deadline has passed; the last look counts. False when interrupted. */
bool inspect_until_clean(struct fleet *fleet, const struct baseline *baseline, int64_t deadline,
                         struct inspection *found);
bool inspection_is_clean(const struct inspection *found);

/* Asks the cache until all proxies are registered with it. */
bool inspect_await_registered(struct fleet *fleet, int64_t deadline);

/* Names that are left when everything has ended. */
void inspect_names_left(struct fleet *fleet, struct inspection *found);

/* Notes what was found as problems. */
void inspection_report(const struct inspection *found, const char *when);

#endif
