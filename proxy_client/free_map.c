#include "free_map.h"

#include "invariant.h"

#include <stdlib.h>

#define BITS 64u

static uint32_t words_of(uint32_t count)
{
    return count / BITS + (count % BITS != 0);
}

static uint64_t bit_of(uint32_t place)
{
    return UINT64_C(1) << place % BITS;
}

bool free_map_setup(struct free_map *map, uint32_t count)
{
    *map = (struct free_map){.words = calloc(words_of(count), sizeof(*map->words)), .count = count};
    for (uint32_t place = 0; map->words && place < count; place++)
        map->words[place / BITS] |= bit_of(place);
    return map->words != NULL;
}

void free_map_teardown(struct free_map *map)
{
    free(map->words);
    *map = (struct free_map){0};
}

bool free_map_has(const struct free_map *map, uint32_t place)
{
    return place < map->count && map->words[place / BITS] & bit_of(place);
}

void free_map_give(struct free_map *map, uint32_t place)
{
    INVARIANT(place < map->count && !free_map_has(map, place));
    map->words[place / BITS] |= bit_of(place);
    if (place / BITS < map->low)
        map->low = place / BITS;
}

void free_map_take(struct free_map *map, uint32_t place)
{
    INVARIANT(free_map_has(map, place));
    map->words[place / BITS] &= ~bit_of(place);
}

uint32_t free_map_lowest(struct free_map *map)
{
    while (map->low < words_of(map->count) && map->words[map->low] == 0)
        map->low++;
    if (map->low == words_of(map->count))
        return FREE_MAP_NONE;
    return map->low * BITS + (uint32_t)__builtin_ctzll(map->words[map->low]);
}

uint32_t free_map_row(const struct free_map *map, uint32_t length)
{
    uint32_t found = 0;

    for (uint32_t place = map->count; place > 0 && length > 0;) {
        place--;
        if (map->words[place / BITS] == 0) {
            place -= place % BITS;
            found = 0;
            continue;
        }
        found = free_map_has(map, place) ? found + 1 : 0;
        if (found == length)
            return place;
    }
    return FREE_MAP_NONE;
}
