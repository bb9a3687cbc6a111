/* follow.h: those who follow what the holder of a lease does, and what becomes of a lease without holder.
 *
 *     LOOKUP finds the lease taken    the session gets a follower, one for each lease
 *     FOLLOW                          answered at once if there is news, else the follower waits
 *     the fill begins or gets on      who waits is DUE
 *     it is complete                  the object is pinned for each follower, before anything can evict it
 *     the holder goes                 one who waits is promoted at once: the lease, and what was filled, is
 *                                     its own. If nobody waits the lease is an orphan, and the next FOLLOW is
 *                                     promoted; if nobody follows, lease and object end
 *
 * A pool is touched only while its session is served: news goes to the session's `due` list, which
 * serve_session() empties. A follower is on it at most once, and only for a FOLLOW that was asked, so that
 * what one FILL_DATA causes is bounded by what its followers have asked. Sessions that are stalled keep
 * theirs.
 *
 * Ownership: a follower belongs to its session. Bounds: SESSION_MAX_FOLLOWS, one for a session and lease. */
#ifndef LARDER_FOLLOW_H
#define LARDER_FOLLOW_H

#include "session.h"

/* Not on the wire: there is no news. */
#define FOLLOW_WAITS (WIRE_STATUS_END + 1)

/* ---- requests of the session ---- */

/* Its follow handle for this lease; 0: it has as many as it may, or no memory. */
uint64_t follow_join(struct session *session, struct lease *lease);
/* The completion's status, or FOLLOW_WAITS. */
enum wire_status follow_ask(struct session *session, const struct wire_request *request,
                            struct wire_completion *completion);
/* `uses`: how many of the times that it was given; 0 is 1. A FOLLOW that waits is answered when the session
 * is next served. */
void follow_leave(struct session *session, uint64_t handle, uint64_t uses);
/* Answers what is due, at most `most`. False: the completion ring has no room. Within the pool's guard. */
bool follow_flush(struct session *session, unsigned most);

/* ---- what happens to leases ---- */

/* Has its holder gone or stalled, or does it not get on? */
bool follow_is_abandoned(const struct cache *cache, const struct lease *lease);
/* The fill has begun or got on. */
void follow_progress(struct lease *lease);
/* lease_commit(), for a lease that is in nobody's hands any more. Nulls the pointer. */
enum store_result follow_commit(struct cache *cache, struct lease **lease);
/* The holder has renewed the object (NULL: it could not); ends the lease. True: a fill was thrown away. */
bool follow_updated(struct cache *cache, struct lease **lease, struct object *object);

enum follow_loss {
    FOLLOW_HAND_ON,  /* somebody can go on with what was filled */
    FOLLOW_DISCARD,  /* nobody can, but somebody can begin anew */
    FOLLOW_HOPELESS, /* nobody will fare better */
};
/* The holder gives up a lease, which is in nobody's hands any more. True: a fill was given up. Nulls the
 * pointer. */
bool follow_lose(struct cache *cache, struct lease **lease, enum follow_loss loss);
/* Ends a lease that is in nobody's hands any more, for all who follow it. True: a fill was given up. Nulls
 * the pointer. */
bool follow_end(struct cache *cache, struct lease **lease);
/* Its key was removed: who has been given nothing is to ask again. */
void follow_cancelled(struct cache *cache, struct lease *lease);
/* Takes a lease out of its holder's hands, if it has one. */
void follow_take_from_holder(struct lease *lease);
/* Hands on leases without progress. */
void follow_check_progress(struct cache *cache);

/* ---- what happens to sessions ---- */

void follow_stalled(struct session *session);
void follow_thawed(struct session *session);
/* It goes: ends what it follows, then loses its leases. Returns how many of those had a fill under way. */
unsigned follow_part(struct session *session, enum follow_loss loss);

#endif
