/* clock.h: the clocks that the programs use. */
#ifndef LARDER_CLOCK_H
#define LARDER_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);        /* since the Unix epoch; may jump (CLOCK_REALTIME) */
int64_t clock_mono_ms(void);        /* since some start; never goes back (CLOCK_MONOTONIC) */
int64_t clock_mono_coarse_ms(void); /* the same, up to 10 ms late, and cheaper (CLOCK_MONOTONIC_COARSE) */
int64_t clock_mono_us(void);
int64_t clock_mono_ns(void);
int64_t clock_thread_ns(void); /* processor time of this thread (CLOCK_THREAD_CPUTIME_ID): a system call */

#endif
