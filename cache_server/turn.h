/* turn.h: the cache's loop.
 *
 * A turn serves every active ring once, within a bound, and looks at the descriptors; the cache sleeps in
 * epoll when all rings are empty and armed, and blocks nowhere else. See cache.h for active and armed. */
#ifndef LARDER_TURN_H
#define LARDER_TURN_H

struct cache;

/* From now on SIGINT and SIGTERM wait for turn_run(): call it before anything exists that must be removed. */
void turn_hold_signals(void);
/* Serves until SIGINT or SIGTERM. 0 or -errno (nothing was served then). */
int turn_run(struct cache *cache);

#endif
