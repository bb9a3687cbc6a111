/* Attacks by purging one's own: many long prefixes that hit nothing, and many tags of objects that are kept.
 */
#include "hostile.h"

#include <stdio.h>
#include <string.h>

#define KEY_BYTES 16384u
#define LONG_KEYS 2000u
#define PREFIXES  127u
#define KEEPERS   4u
#define KEPT      1024u /* by each */
#define TAGS      WIRE_MAX_TAGS
#define COMMON    300u /* objects that bear the tags that are purged */

/* Fills the ring with the purge, whose bytes stand in the first segments, and never stops. */
static _Noreturn void purge_without_end(const struct hostile *hostile, struct peer *peer,
                                        struct wire_request request, uint32_t segments)
{
    for (uint32_t i = 0; i < peer->endpoint.pool.shape.ring_entries; i++) {
        request.segment = i % segments;
        peer_write_entry(peer, i, &request);
    }
    attack_is_on(hostile);
    for (;;) {
        for (uint32_t i = 0; i < segments; i++)
            pool_semaphore_post(&segment_header(&peer->endpoint.pool, i)->rsem);
        uint32_t served = peer_flood(peer);
        if (served > 0)
            attack_counts(hostile, served);
    }
}

/* ---- prefixes ---- */

/* Objects and prefixes are alike but for their last bytes. */
static void run_purge_prefix(const struct hostile *hostile)
{
    static const struct pool_shape shape = {
        .segments = PREFIXES, .segment_bytes = KEY_BYTES + 64, .ring_entries = 256};
    static struct peer peer;
    static char key[KEY_BYTES + 1];
    struct wire_request request;

    peer_open_registered(&peer, hostile, &shape, TENANT_HOSTILE);
    memset(key, 'x', KEY_BYTES);
    for (uint32_t i = 0; i < LONG_KEYS; i++) {
        snprintf(key + KEY_BYTES - 8, 9, "%08u", i);
        if (!peer_store(&peer, key, KEY_BYTES, NULL, 0, 0))
            attack_fails("store", "refused");
    }
    for (uint32_t i = 0; i < PREFIXES; i++) {
        snprintf(key + KEY_BYTES - 8, 9, "p%07u", i);
        peer_hand_over(&peer, i, key, KEY_BYTES);
    }
    request = peer_request(&peer, WIRE_OP_PURGE);
    request.flags = WIRE_PURGE_PREFIX;
    request.value = WIRE_PURGE_SURE;
    request.key_length = KEY_BYTES;
    purge_without_end(hostile, &peer, request, PREFIXES);
}

/* ---- tags ---- */

/* "KIND-NUMBER-i" for each of them. */
static uint16_t write_tags(char *out, size_t room, const char *kind, uint32_t number)
{
    size_t length = 0;

    for (uint32_t i = 0; i < TAGS; i++)
        length += (size_t)snprintf(out + length, room - length, "%s-%u-%u", kind, number, i) + 1;
    return (uint16_t)length;
}

static bool store_tagged(struct peer *peer, const char *key, const char *tags, uint16_t tags_length)
{
    uint16_t key_length = (uint16_t)strlen(key);
    struct wire_request request;
    char bytes[4096];

    request = peer_request(peer, WIRE_OP_FILL_BEGIN);
    request.handle = peer_lease(peer, key, key_length);
    request.segment = 0;
    request.key_length = key_length;
    request.tags_length = tags_length;
    request.fresh_until = request.keep_until = later_ms(3600000);
    memcpy(bytes, key, key_length);
    memcpy(bytes + key_length, tags, tags_length);
    peer_hand_over(peer, 0, bytes, (size_t)key_length + tags_length);
    return request.handle && peer_ask(peer, &request).status == WIRE_STATUS_OK;
}

static void keep_tagged(struct peer *peer, uint32_t first)
{
    char key[32], tags[3072];

    for (uint32_t i = 0; i < KEPT; i++) {
        snprintf(key, sizeof key, "kept-%u", first + i);
        if (!store_tagged(peer, key, tags, write_tags(tags, sizeof tags, "own", first + i)))
            attack_fails("store", "refused");
        peer_keep(peer, 1 + i, key);
    }
}

static void run_purge_tags(const struct hostile *hostile)
{
    static const struct pool_shape shape = {
        .segments = 2 * KEPT + 64, .segment_bytes = 4096, .ring_entries = 256};
    static struct peer keepers[KEEPERS], peer;
    struct wire_request request;
    char key[32], tags[3072];
    uint16_t length = write_tags(tags, sizeof tags, "common", 0);

    for (uint32_t i = 0; i < KEEPERS; i++) {
        peer_open_registered(&keepers[i], hostile, &shape, TENANT_HOSTILE);
        keep_tagged(&keepers[i], i * KEPT);
    }
    peer_open_registered(&peer, hostile, &shape, TENANT_HOSTILE);
    for (uint32_t i = 0; i < COMMON; i++) {
        snprintf(key, sizeof key, "common-%u", i);
        if (!store_tagged(&peer, key, tags, length))
            attack_fails("store", "refused");
    }
    for (uint32_t i = 0; i < 16; i++)
        peer_hand_over(&peer, i, tags, length);
    request = peer_request(&peer, WIRE_OP_PURGE);
    request.flags = WIRE_PURGE_TAGS | WIRE_PURGE_SOFT;
    request.tags_length = length;
    purge_without_end(hostile, &peer, request, 16);
}

const struct attack purge_attacks[] = {
    {"purge-prefix", run_purge_prefix, "purges by 127 prefixes of 16 KiB that 2000 objects nearly begin with",
     NULL},
    {"purge-tags", run_purge_tags, "purges by 64 tags beside 4096 kept objects with 64 tags each", NULL},
};
const unsigned purge_attack_count = ROWS(purge_attacks);
