#include "storm_histogram.h"

#include <math.h>

#define SUB_BITS 7

static unsigned bucket_of(uint64_t value)
{
    unsigned bits = 63 - (unsigned)__builtin_clzll(value | 1), shift;

    if (bits < SUB_BITS)
        return (unsigned)value;
    shift = bits - SUB_BITS;
    return (shift + 1) * HISTOGRAM_SUB + (unsigned)(value >> shift) - HISTOGRAM_SUB;
}

/* The largest value that falls into the bucket. */
static int64_t bucket_end(unsigned bucket)
{
    unsigned shift = bucket / HISTOGRAM_SUB;

    if (shift == 0)
        return bucket;
    shift--;
    return (int64_t)(((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, int64_t value)
{
    if (value < 0)
        value = 0;
    histogram->count++;
    histogram->buckets[bucket_of((uint64_t)value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->max = from->max > into->max ? from->max : into->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

int64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)ceil(share * (double)histogram->count), seen = 0;

    if (histogram->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0)
            return bucket_end(i) < histogram->max ? bucket_end(i) : histogram->max;
    }
    return histogram->max;
}
