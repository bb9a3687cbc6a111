/* touch.h: touching a session's pool while it is not its turn.
 *
 * A batch of the session is guarded and watched as a whole (turn.c). What is done to its pool otherwise, for
 * the sake of others or for a message of its own, stands between touch_begin() and touch_end(): lost pages
 * are survived (shm_guard.h), and waits are noticed (pause.h). The `other` kind may be used while a batch of
 * another session is going on, and touches a word of a pool that need not be that of the batch.
 *
 * Whose pool lost pages under the `other` kind is spoiled; whose pool obstructs, all of its process. A
 * spoiled session is dropped when nobody works with it, in the turn's housekeeping or before its next batch,
 * and until then its pool is left alone: each page of it that is missing would cost the process two mappings
 * more, of which it can have so many (vm.max_map_count). */
#ifndef LARDER_TOUCH_H
#define LARDER_TOUCH_H

#include "session.h"

struct pause_touch touch_begin(struct session *session);
/* False: the pool has lost pages, and the caller drops the session. */
bool touch_end(struct session *session, const struct pause_touch *touch);

/* Of a session that is not spoiled. */
struct pause_touch touch_begin_other(struct session *session);
/* False: the word was not there, and the session is spoiled. */
bool touch_end_other(struct session *session, const struct pause_touch *touch);

#endif
