/* shard_key.h: which shard of the cache a key belongs to.
 *
 * Keyed with what the cache's WELCOME says, so that nobody outside can choose keys that all meet in one
 * shard. The parts of a key (WIRE_KEY_PART) go where the key itself goes: what purges it finds them there.
 * Both sides only ever agree through WELCOME; a proxy that asks another shard finds nothing, and harms nobody
 * but its own tenant. Pure. */
#ifndef LARDER_SHARD_KEY_H
#define LARDER_SHARD_KEY_H

#include "wire.h"

/* 0 .. shards - 1; without hashing where there is one. */
uint32_t shard_of_key(const uint8_t shard_key[WIRE_SHARD_KEY], uint32_t shards, const uint8_t *key,
                      uint32_t length);

#endif
