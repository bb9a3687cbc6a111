/* sample.h: one of so many, at random, so that no pattern of what comes is taken for the whole. The others
 * cost a decrement. Private memory; a peer cannot know which is next. */
#ifndef LARDER_SAMPLE_H
#define LARDER_SAMPLE_H

#include "wire.h"

#include <stdbool.h>
#include <stdint.h>

struct sampler {
    uint64_t state; /* any seed */
    uint32_t left;  /* until the next one */
};

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static inline uint64_t sampler_random(struct sampler *sampler)
{
    uint64_t mixed = sampler->state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

/* True once in WIRE_SAMPLE times on average. */
static inline bool sampler_takes(struct sampler *sampler)
{
    if (sampler->left > 0) {
        sampler->left--;
        return false;
    }
    sampler->left = (uint32_t)(sampler_random(sampler) % (2 * WIRE_SAMPLE - 1));
    return true;
}

#endif
