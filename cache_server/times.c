#include "times.h"

uint32_t times_bucket(uint64_t ns)
{
    uint64_t units = ns / WIRE_TIMES_FIRST_NS + (ns % WIRE_TIMES_FIRST_NS > 0);
    uint32_t bucket = units <= 1 ? 0 : 64u - (uint32_t)__builtin_clzll(units - 1);

    return bucket < WIRE_TIMES_BUCKETS ? bucket : WIRE_TIMES_BUCKETS - 1;
}

void times_note(struct times *times, uint32_t op, int64_t ns)
{
    if (op == 0 || op >= WIRE_OP_END || ns < 0)
        return;
    times->counts[op][times_bucket((uint64_t)ns)]++;
    times->sums_ns[op] += (uint64_t)ns;
}
