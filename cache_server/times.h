/* times.h: how long requests take, by kind: from an entry's leaving the ring to its completion, also when it
 * is moved in pieces with others' turns in between. Only of samples (sample.h), so the counts are those of
 * samples. A FOLLOW that waits for news is not counted. Pure. */
#ifndef LARDER_TIMES_H
#define LARDER_TIMES_H

#include "wire.h"

struct times {
    uint64_t counts[WIRE_OP_END][WIRE_TIMES_BUCKETS]; /* see WIRE_TIMES_BUCKETS */
    uint64_t sums_ns[WIRE_OP_END];
};

uint32_t times_bucket(uint64_t ns);
/* `op` may be anything: what is no operation is left out. */
void times_note(struct times *times, uint32_t op, int64_t ns);

#endif
