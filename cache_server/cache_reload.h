/* cache_reload.h: another configuration for a cache that runs, all of it or nothing.
 *
 * SIGHUP and `cache_ctl reload` have the file read and checked again, in the loop: it is small and local.
 * What is wrong with it, or cannot change any more, leaves everything as it was. Memory that shrinks is given
 * back in steps (store_resize_step()). With several shards the first one reads and checks, and waits until
 * all have it. */
#ifndef LARDER_CACHE_RELOAD_H
#define LARDER_CACHE_RELOAD_H

#include "cache.h"

/* True: what the file says is in force. Else `report` says why not, and so does the log. */
bool cache_reload(struct cache *cache, struct conf_report *report);

/* What cannot fail any more, for one shard. What `wanted` points to stays the first shard's. */
void cache_apply(struct cache *cache, const struct cache_conf *wanted);

/* The same as cache_reload(), with the problems as text in a segment of the asker's pool. False: the pool has
 * lost pages, or the segment is not ours to write (*is_faulted tells which). */
bool cache_reload_into(struct cache *cache, struct session *session, uint32_t segment, uint32_t *problems,
                       uint32_t *length, bool *is_faulted);

#endif
