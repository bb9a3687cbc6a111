/* hit_optimum.h: what could be had by who knows the future. */
#ifndef LARDER_HIT_OPTIMUM_H
#define LARDER_HIT_OPTIMUM_H

#include "hit_trace.h"

struct hit_optimum {
    uint64_t hits;
    uint64_t bytes;
};
/* `weights`: what each object takes of the memory. */
void hit_optimum_find(struct hit_optimum *optimum, const struct hit_trace *trace, const uint64_t *weights,
                      uint64_t memory);

#endif
