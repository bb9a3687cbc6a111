/* touch.h: touching a session's pool while it is not its turn.
 *
 * A batch of the session is guarded and watched as a whole (turn.c). What is done to its pool otherwise, for
 * the sake of others or for a message of its own, stands between touch_begin() and touch_end(): lost pages
 * are survived (shm_guard.h), and waits are noticed (pause.h). The `other` kind may be used while a batch of
 * another session is going on, and touches a word of a pool that need not be that of the batch.
 *
 * Whose pool lost pages under the `other` kind is spoiled, and so is whose pool obstructs, with all of its
 * process. A spoiled session is dropped when nobody works with it, in the turn's housekeeping or before its
 * next batch. Until then the guard words of its segments are left alone: each page that is missing would cost
 * the process two mappings more, of which it can have so many (vm.max_map_count), and one that is being
 * punched out another wait. So its proxy may serve what it keeps, whatever happens to that, until it reads
 * that it was dropped. The pool of one that obstructs is not even told of its end. */
#ifndef LARDER_TOUCH_H
#define LARDER_TOUCH_H

#include "session.h"

struct pause_touch touch_begin(struct session *session);
/* False: the pool has lost pages, and the caller drops the session. */
bool touch_end(struct session *session, const struct pause_touch *touch);

struct pause_touch touch_begin_other(struct session *session);
/* False: the word was not there, and the session is spoiled. */
bool touch_end_other(struct session *session, const struct pause_touch *touch);

/* A touch that somebody else has timed. */
void touch_took(struct session *session, const struct pause_touch *touch);

/* The session obstructs: it is spoiled. The caller drops it, or housekeeping does. */
void touch_no_more(struct session *session);

#endif
