#include "fuzz_clock.h"

#define START_MS 1000000

static int64_t now_ms = START_MS;

void fuzz_clock_reset(void)
{
    now_ms = START_MS;
}

void fuzz_clock_advance(int64_t ms)
{
    now_ms += ms;
}

int64_t __wrap_clock_wall_ms(void)
{
    return FUZZ_WALL_MS + now_ms - START_MS;
}

int64_t __wrap_clock_mono_ms(void)
{
    return now_ms;
}

int64_t __wrap_clock_mono_us(void)
{
    return now_ms * 1000;
}

int64_t __wrap_clock_mono_ns(void)
{
    return now_ms * 1000000;
}
