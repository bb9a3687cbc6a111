#include "ghost.h"

#include <string.h>

void ghost_reserve(struct ghost *ghost, struct memory *memory, struct account *account, uint64_t places)
{
    uint32_t capacity = ghost->places ? ghost->capacity : GHOST_MIN;

    while (capacity < places && capacity < GHOST_MAX)
        capacity *= 2;
    if (ghost->places && capacity == ghost->capacity)
        return;
    struct ghost_place *table = memory_alloc(memory, account, capacity * sizeof(*table));
    if (!table)
        return;
    memset(table, 0, capacity * sizeof(*table));
    memory_free(memory, account, ghost->places);
    *ghost = (struct ghost){.places = table, .capacity = capacity};
}

void ghost_free(struct ghost *ghost, struct memory *memory, struct account *account)
{
    memory_free(memory, account, ghost->places);
    *ghost = (struct ghost){0};
}

/* The bucket comes from bits that the fingerprint lacks as far as the hash has them. */
static struct ghost_place *bucket_of(const struct ghost *ghost, uint64_t hash)
{
    uint64_t mixed = hash * UINT64_C(0x9e3779b97f4a7c15) >> 32;

    return ghost->places + (mixed & (ghost->capacity / GHOST_WAYS - 1)) * GHOST_WAYS;
}

static uint32_t print_of(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32);
}

void ghost_put(struct ghost *ghost, uint64_t hash)
{
    if (!ghost->places)
        return;
    struct ghost_place *bucket = bucket_of(ghost, hash), *oldest = bucket;
    if (++ghost->numbers == 0)
        ghost->numbers = 1;
    for (unsigned i = 0; i < GHOST_WAYS; i++) {
        struct ghost_place *place = &bucket[i];
        if (place->number == 0 || place->print == print_of(hash)) {
            oldest = place;
            break;
        }
        if (ghost->numbers - place->number > ghost->numbers - oldest->number)
            oldest = place;
    }
    *oldest = (struct ghost_place){print_of(hash), ghost->numbers};
}

bool ghost_take(struct ghost *ghost, uint64_t hash, uint64_t span)
{
    if (!ghost->places)
        return false;
    struct ghost_place *bucket = bucket_of(ghost, hash);
    for (unsigned i = 0; i < GHOST_WAYS; i++) {
        if (bucket[i].number != 0 && bucket[i].print == print_of(hash)) {
            bool remembered = ghost->numbers - bucket[i].number < span;
            bucket[i].number = 0;
            return remembered;
        }
    }
    return false;
}
