/* stats.h: the cache's numbers as rows of struct wire_row, page by page. */
#ifndef LARDER_STATS_H
#define LARDER_STATS_H

#include "session.h"

enum stats_result {
    STATS_GIVEN,
    STATS_BAD_SEGMENT, /* out of range, too small, or not left writable */
    STATS_FAULTED,     /* the pool lost pages: end the session */
};
/* Writes as many rows as fit into the segment of the asker's pool, from `cursor` (0: the beginning) on. */
enum stats_result stats_give(struct cache *cache, struct session *session, uint32_t segment, uint32_t cursor,
                             uint32_t *rows, uint32_t *next_cursor);

#endif
