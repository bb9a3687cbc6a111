/* fuzz_honest.h: the peer that keeps the protocol while others do not, and asks for no more than its due. */
#ifndef LARDER_FUZZ_HONEST_H
#define LARDER_FUZZ_HONEST_H

#include <stddef.h>
#include <stdint.h>

#define HONEST_TENANT "honest"

/* The target's: several turns of the cache, and a message to it (0 or -errno). */
void fuzz_turn(void);
int fuzz_send(const void *bytes, size_t length);

/* Registers, stores a small object and a large one, and pins the large one. */
void honest_begin(void);
void honest_beat(void);
/* The large object reads back, and so does the small one unless it had to make room; what nobody but us may
 * touch is as we left it. */
void honest_check(void);
/* With no other peer there: what the cache says about itself agrees, and there is room for everything. */
void honest_check_alone(void);
void honest_end(void);
uint64_t honest_secret(void);

#endif
