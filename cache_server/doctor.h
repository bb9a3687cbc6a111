/* doctor.h: cache_ctl doctor: what keeps proxies from their cache on this host, and what to type to mend it.
 *
 * Works without a cache, a free queue, room in /dev/shm or privileges: what cannot be seen is a finding like
 * any other. Only asking the cache takes a queue and a pool for its moment. */
#ifndef LARDER_DOCTOR_H
#define LARDER_DOCTOR_H

#include <stdbool.h>

struct doctor_options {
    const char *instance;
    double timeout; /* seconds, for the cache's answers */
    bool json;
    bool sweep;         /* remove what is provably dead and ours */
    bool all_instances; /* not only of this instance */
};

/* Prints the findings. 0: all is well (notes allowed), 1: something is wrong. */
int doctor_run(const struct doctor_options *options);

#endif
