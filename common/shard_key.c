#include "shard_key.h"

#include <sodium.h>
#include <string.h>

_Static_assert(WIRE_SHARD_KEY == crypto_shorthash_KEYBYTES, "SipHash's key");

uint32_t shard_of_key(const uint8_t shard_key[WIRE_SHARD_KEY], uint32_t shards, const uint8_t *key,
                      uint32_t length)
{
    uint64_t hash;

    if (shards <= 1)
        return 0;
    const uint8_t *part = memchr(key, WIRE_KEY_PART, length);
    crypto_shorthash((unsigned char *)&hash, key, part ? (size_t)(part - key) : length, shard_key);
    return (uint32_t)((hash >> 32) * shards >> 32);
}
