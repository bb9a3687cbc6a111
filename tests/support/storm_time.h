/* storm_time.h: CLOCK_MONOTONIC in nanoseconds, the only clock of the stress test. */
#ifndef STORM_TIME_H
#define STORM_TIME_H

#include <stdint.h>
#include <time.h>

#define STORM_MS      INT64_C(1000000)
#define STORM_SECOND  INT64_C(1000000000)
#define STORM_FOREVER INT64_MAX

static inline int64_t storm_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * STORM_SECOND + now.tv_nsec;
}

static inline int64_t storm_seconds(double seconds)
{
    return (int64_t)(seconds * 1e9);
}

/* For ppoll(2) and epoll_pwait2(2); never negative. */
static inline struct timespec storm_until(int64_t when, int64_t now)
{
    int64_t left = when > now ? when - now : 0;

    return (struct timespec){.tv_sec = left / STORM_SECOND, .tv_nsec = left % STORM_SECOND};
}

#endif
