/* turn.h: the cache's loop.
 *
 * A turn serves every active ring once, within a bound, and looks at the descriptors; the cache sleeps in
 * epoll when all rings are empty and armed, and blocks nowhere else. See cache.h for active and armed. */
#ifndef LARDER_TURN_H
#define LARDER_TURN_H

#include <stdbool.h>

struct cache;

/* From now on SIGINT and SIGTERM wait for turn_run(): call it before anything exists that must be removed. */
void turn_hold_signals(void);
/* Serves until SIGINT or SIGTERM. 0 or -errno. */
int turn_run(struct cache *cache);

/* What turn_run() is made of, for who drives the loop himself. turn_end() also after a failed turn_begin().
 */
int turn_begin(struct cache *cache); /* 0 or -errno */
/* One turn: rings; when they are quiet, or once in a few turns, also descriptors and housekeeping. */
void turn_once(struct cache *cache, bool may_sleep);
void turn_end(struct cache *cache);

#endif
