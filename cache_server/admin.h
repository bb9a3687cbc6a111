/* admin.h: what administrators ask for beside statistics and purges. Each answer is bounded, and given at
 * once.
 *
 * Trust: the asker's pool is touched inside shm_guard only; what it asks about is copied out of it first. */
#ifndef LARDER_ADMIN_H
#define LARDER_ADMIN_H

#include "session.h"

enum admin_result {
    ADMIN_DONE,
    ADMIN_MALFORMED, /* or the segment was not handed over */
    ADMIN_NO_TENANT,
    ADMIN_NO_PROXY,
    ADMIN_FAULTED, /* the asker's pool lost pages: end its session */
};

enum admin_result admin_top(struct cache *cache, struct session *session, const struct wire_top *asked,
                            struct wire_top_rows *answer);
enum admin_result admin_show(struct cache *cache, struct session *session, const struct wire_show *asked,
                             struct wire_shown *answer);
enum admin_result admin_drain(struct cache *cache, const struct wire_drain *asked,
                              struct wire_drained *answer);
/* Tells a proxy what it could not be told before because its queue was full. */
void admin_remind(struct session *session);

/* Feeding what admin_top() answers: so many look-ups of cache->key were sampled, and this was found (NULL:
 * nothing). */
void admin_note_lookup(struct cache *cache, const struct object *found, uint32_t samples);
/* The same for an object that was used so often without a look-up. Overwrites cache->key. */
void admin_note_uses(struct cache *cache, const struct object *object, uint32_t uses);

#endif
