/* free_map.h: which of a pool's segments are free: a bit for each.
 *
 * The lowest free one goes first, so that what is in use for moments stays together at one end, and rows of
 * free ones are left at the other. Not in the order of their return, as a list would have it: that is no
 * order after a while, and a body whose pieces stand here and there in the pool's file leaves by as many
 * sendfile(2).
 *
 * Pure: knows no pool. Places are 0 .. count - 1. */
#ifndef LARDER_FREE_MAP_H
#define LARDER_FREE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define FREE_MAP_NONE UINT32_MAX

struct free_map {
    uint64_t *words; /* a set bit is a free place */
    uint32_t count;
    uint32_t low; /* no word before this one has a free place */
};

/* All are free. False: no memory; the map may be freed. */
bool free_map_setup(struct free_map *map, uint32_t count);
void free_map_teardown(struct free_map *map);

bool free_map_has(const struct free_map *map, uint32_t place);
void free_map_give(struct free_map *map, uint32_t place); /* which is not free */
void free_map_take(struct free_map *map, uint32_t place); /* which is free */

/* The lowest free place, or FREE_MAP_NONE. */
uint32_t free_map_lowest(struct free_map *map);
/* Where the highest row of `length` free places begins, or FREE_MAP_NONE. Looks at every place in the worst
 * case. */
uint32_t free_map_row(const struct free_map *map, uint32_t length);

#endif
