/* names.h: how the IPC objects of an instance are called.
 *
 *     /larder.<instance>                 command queue of the cache, or of the first of its shards
 *     /larder.<instance>.shard<n>        command queue of another shard: 1 to 15
 *     /larder.<instance>.<token>         reply queue and, in the other name space, segment pool of one peer
 *
 * The token is 64 random bits in 16 hexadecimal digits. A message carries the token, never a name, so that no
 * message can make the cache touch anything that is not called like this. */
#ifndef LARDER_NAMES_H
#define LARDER_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_INSTANCE_MAX 32 /* [A-Za-z0-9_-] */
#define NAMES_TENANT_MAX   63 /* [A-Za-z0-9._-] */
#define NAMES_BYTES        (1 + 6 + 1 + NAMES_INSTANCE_MAX + 1 + 16 + 1)
#define NAMES_DEFAULT      "default"
#define NAMES_SHARDS_MAX   16u

bool names_instance_valid(const char *instance);
bool names_tenant_valid(const char *tenant);

void names_command_queue(char out[NAMES_BYTES], const char *instance);
/* The same for shard 0. */
void names_shard_queue(char out[NAMES_BYTES], const char *instance, uint32_t shard);
void names_peer(char out[NAMES_BYTES], const char *instance, uint64_t token);

/* Reads a file name as found in /dev/shm ("larder.<instance>.<token>"). False if it belongs to another
 * instance or is not a peer's name. */
bool names_peer_parse(const char *file_name, const char *instance, uint64_t *token);
/* The same for "larder.<instance>.shard<n>". */
bool names_shard_parse(const char *file_name, const char *instance, uint32_t *shard);

#endif
