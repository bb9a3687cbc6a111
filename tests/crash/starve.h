/* starve.h: how a test tells cache_server_starved which allocations fail. The numbers lie in memory that both
 * share; the test passes its descriptor as $STARVE_FD. */
#ifndef LARDER_STARVE_H
#define LARDER_STARVE_H

#include <stdatomic.h>
#include <stdint.h>

struct starve {
    _Atomic uint64_t every;  /* one in so many fails, at random; 0: none */
    _Atomic uint64_t next;   /* the so manieth from now on fails; 0: none */
    _Atomic uint64_t seed;   /* of what is random */
    _Atomic uint64_t asked;  /* allocations so far */
    _Atomic uint64_t failed; /* of them */
};

#endif
