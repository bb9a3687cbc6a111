/* ctl_merge.h: what several shards of a cache say, as if one had said it.
 *
 * Numbers add up, but those of what happens in every shard for itself: a proxy registers with all of them. It
 * has come, left, been taken back or found silent when all have seen it, and was dropped when one has. Pure.
 */
#ifndef LARDER_CTL_MERGE_H
#define LARDER_CTL_MERGE_H

#include "wire.h"

#include <stddef.h>

/* Takes the rows from `merged` on, another shard's, into those before; the same cache, tenant (by name),
 * proxy (by token) or kind of request has one row. Returns how many there are then. */
size_t ctl_merge_rows(struct wire_row *rows, size_t merged, size_t count);

/* The same for the most used; keeps `most` of each tenant and kind, the most used first. */
size_t ctl_merge_top(struct wire_top_row *rows, size_t merged, size_t count, uint32_t most);

#endif
