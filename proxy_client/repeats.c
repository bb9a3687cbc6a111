#include "repeats.h"

#include "invariant.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PLACES_MIN 256u
#define PLACES_MAX 4096u

_Static_assert(sizeof((struct repeats){0}.key) == crypto_shorthash_KEYBYTES, "the key of the hash");

void repeats_setup(struct repeats *repeats, uint32_t places)
{
    *repeats = (struct repeats){.count = PLACES_MIN};
    while (repeats->count < places && repeats->count < PLACES_MAX)
        repeats->count *= 2;
    repeats->places = calloc(repeats->count, sizeof *repeats->places);
    INVARIANT(repeats->places);
    randombytes_buf(repeats->key, sizeof repeats->key);
}

static void forget_entry(struct repeat *repeat)
{
    if (!repeat->entry)
        return;
    DL_DELETE(*repeat->list, repeat);
    free(repeat->head);
    repeat->head = NULL;
    repeat->entry = NULL;
}

void repeats_clear(struct repeats *repeats)
{
    for (uint32_t i = 0; i < repeats->count; i++) {
        forget_entry(&repeats->places[i]);
        repeats->places[i].hash = 0;
    }
}

void repeats_teardown(struct repeats *repeats)
{
    repeats_clear(repeats);
    free(repeats->places);
    repeats->places = NULL;
    repeats->count = 0;
}

uint64_t repeats_hash(const struct repeats *repeats, const char *head, uint32_t length)
{
    uint64_t hash;

    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "the hash is a number");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)head, length, repeats->key);
    return hash ? hash : 1;
}

static struct repeat *place_of(const struct repeats *repeats, uint64_t hash)
{
    return &repeats->places[hash & (repeats->count - 1)];
}

struct repeat *repeats_find(const struct repeats *repeats, uint64_t hash, const char *head, uint32_t length)
{
    struct repeat *repeat = place_of(repeats, hash);

    return repeat->hash == hash && repeat->entry && repeat->length == length &&
                   memcmp(repeat->head, head, length) == 0
               ? repeat
               : NULL;
}

bool repeats_seen(struct repeats *repeats, uint64_t hash)
{
    struct repeat *repeat = place_of(repeats, hash);

    if (repeat->hash == hash)
        return true;
    forget_entry(repeat);
    repeat->hash = hash;
    return false;
}

void repeats_note(struct repeats *repeats, uint64_t hash, const char *head, uint32_t length,
                  struct hot_entry *entry, struct repeat **list, int64_t second)
{
    struct repeat *repeat = place_of(repeats, hash);

    INVARIANT(repeat->hash == hash && length <= REPEATS_HEAD_MAX);
    if (repeat->entry != entry || repeats_find(repeats, hash, head, length) != repeat) {
        forget_entry(repeat);
        repeat->head = malloc(length);
        INVARIANT(repeat->head);
        memcpy(repeat->head, head, length);
        repeat->length = length;
        repeat->entry = entry;
        repeat->list = list;
        DL_APPEND(*list, repeat);
    }
    repeat->second = second;
}

void repeats_forget(struct repeat **list)
{
    while (*list)
        forget_entry(*list);
}
