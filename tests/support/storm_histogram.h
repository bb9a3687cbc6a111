/* storm_histogram.h: durations in nanoseconds, kept to within one percent, in constant memory.
 *
 * A bucket per value below 128; above that 128 buckets to each power of two. */
#ifndef STORM_HISTOGRAM_H
#define STORM_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB     128
#define HISTOGRAM_BUCKETS (HISTOGRAM_SUB * 57)

struct histogram {
    uint64_t count;
    int64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, int64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that a share (0 to 1) of all values do not exceed; 0 if there are none. */
int64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
