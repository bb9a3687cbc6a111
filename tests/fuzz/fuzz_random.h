/* fuzz_random.h: libsodium's random numbers, the same for every run of an input: an input that found
 * something finds it again. */
#ifndef LARDER_FUZZ_RANDOM_H
#define LARDER_FUZZ_RANDOM_H

void fuzz_random_initialize(void); /* once, before anything else asks for a number */
void fuzz_random_reset(void);      /* for each input */

#endif
