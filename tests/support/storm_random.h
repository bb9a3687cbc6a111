/* storm_random.h: the stress test's random numbers, so that a seed repeats its choices (splitmix64). */
#ifndef STORM_RANDOM_H
#define STORM_RANDOM_H

#include <math.h>
#include <stdint.h>

struct storm_random {
    uint64_t state;
};

static inline uint64_t random_next(struct storm_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* From 0 up to, not including, 1. */
static inline double random_unit(struct storm_random *random)
{
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* 0 to count - 1. */
static inline uint64_t random_below(struct storm_random *random, uint64_t count)
{
    return (uint64_t)(random_unit(random) * (double)count);
}

static inline double random_between(struct storm_random *random, double low, double high)
{
    return low + random_unit(random) * (high - low);
}

/* The time to the next of events that come at random, `mean` apart. */
static inline double random_exponential(struct storm_random *random, double mean)
{
    return -mean * log(1 - random_unit(random));
}

#endif
