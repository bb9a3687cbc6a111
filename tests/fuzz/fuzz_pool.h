/* fuzz_pool.h: the memory of the model's segments, a page for each. In the file they stand side by side, as a
 * pool's do; in memory each has a page behind it that nobody may touch, so that a byte too many is seen. */
#ifndef LARDER_FUZZ_POOL_H
#define LARDER_FUZZ_POOL_H

#include "larder.h"

#define FUZZ_SEGMENTS      6u
#define FUZZ_SEGMENT_BYTES 4096u

/* All of them, to be written to. The memory is the same for every input, and none of its bytes are left. */
void fuzz_pool_setup(struct larder_segment *segments);
/* Whoever writes into it from now on is seen. */
void fuzz_pool_seal(unsigned number);
void fuzz_pool_unseal(unsigned number);
/* Other pages stand there; those that were stay as they are for whoever still has them. */
void fuzz_pool_renew(unsigned number);
/* The file, and where in it the segment begins. */
int fuzz_pool_file(unsigned number, off_t *offset);

#endif
