/* fuzz_clock.h: time that stands still until the input lets it pass. Link with WRAP ${FUZZ_CLOCK_WRAP}. */
#ifndef LARDER_FUZZ_CLOCK_H
#define LARDER_FUZZ_CLOCK_H

#include <stdint.h>

#define FUZZ_WALL_MS ((int64_t)1800000000000) /* where the wall clock starts */

void fuzz_clock_reset(void);
void fuzz_clock_advance(int64_t ms);

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_us(void);
int64_t __wrap_clock_mono_ns(void);

#endif
