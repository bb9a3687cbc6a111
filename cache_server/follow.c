/* A follower:
 *
 *               FOLLOW, no news                news, or its fate
 *     RESTING ------------------> WAITING ------------------------> DUE
 *        ^                                                          |
 *        +---- answered; gone if its fate was decided --------------+
 *
 * Being due only means that it is looked at again: what it is told is what is true then. */
#include "follow.h"

#include "cache.h"
#include "invariant.h"
#include "pins.h"

#include <utlist.h>

#define OVERDUE_STEP 64u /* leases at a time */

/* ---- due ---- */

static void make_due(struct follower *follower)
{
    struct session *session = follower->session;

    follower_set_state(follower, FOLLOWER_DUE);
    DL_APPEND2(session->due, follower, prev_due, next_due);
    if (session->state == SESSION_ALIVE)
        cache_activate(session->cache, session);
}

static void rest(struct follower *follower)
{
    if (follower->state == FOLLOWER_DUE)
        DL_DELETE2(follower->session->due, follower, prev_due, next_due);
    follower_set_state(follower, FOLLOWER_RESTING);
}

static void decide(struct follower *follower, enum follower_fate fate)
{
    follower_decide(follower, fate);
    if (follower->state == FOLLOWER_WAITING)
        make_due(follower);
}

static bool has_news(const struct follower *follower)
{
    const struct lease *lease = follower->lease;

    return lease_is_filling(lease) && (!follower->told || follower->known == WIRE_FOLLOW_NOTHING ||
                                       lease_filled(lease) > follower->known);
}

/* The others keep their places, so that who has waited longest is promoted first. */
void follow_progress(struct lease *lease)
{
    struct follower *follower, *next;

    DL_FOREACH_SAFE(lease_waiting(lease), follower, next)
    {
        if (has_news(follower))
            make_due(follower);
    }
}

/* ---- leases change hands ---- */

static bool pinned(const struct follower *follower)
{
    return handles_get(&follower->session->pins, follower->pin) != NULL;
}

/* Pins the object for it, unless it has it still. False: it holds as much as it may. */
static bool pin(struct follower *follower, struct object *object)
{
    if (pinned(follower))
        pins_recount(follower->session, follower->pin);
    else
        follower->pin = pins_add(follower->session, object);
    return follower->pin != 0;
}

/* A pin that its peer has never heard of. */
static void unpin_not_given(struct follower *follower)
{
    if (follower->pin != follower->given)
        pins_drop(follower->session, follower->pin);
}

void follow_take_from_holder(struct lease *lease)
{
    uint64_t handle;
    struct session *holder = lease_holder(lease, &handle);

    if (!holder)
        return;
    INVARIANT(pins_take_lease(holder, handle) == lease);
    cache_count(holder, COUNTER_fill_aborts, lease_is_filling(lease));
}

bool follow_is_abandoned(const struct cache *cache, const struct lease *lease)
{
    uint64_t handle;
    const struct session *holder = lease_holder(lease, &handle);

    return !holder || holder->state == SESSION_STALLED ||
           cache->mono_ms - lease_touched(lease) >= cache->conf.lease_ms;
}

/* The lease is the follower's session's. False: that holds as much as it may. */
static bool promote(struct follower *follower)
{
    struct session *session = follower->session;
    struct cache *cache = session->cache;
    struct lease *lease = follower->lease;
    bool afresh = lease_filled(lease) == 0 && !lease_is_told(lease);

    if (session->leases.used == session->leases.capacity ||
        !pins_process_may_hold(session, lease_charge(lease)) ||
        (lease_is_filling(lease) && !afresh && !pin(follower, lease_object(lease))))
        return false;
    follow_take_from_holder(lease);
    if (lease_is_filling(lease) && afresh)
        lease_discard(&cache->leases, lease);
    follower->granted = pins_put_lease(session, lease); /* what was filled is pinned: no memory is needed */
    INVARIANT(follower->granted != 0);
    lease_adopt(&cache->leases, lease, session, follower->granted, cache->mono_ms);
    cache_count(session, COUNTER_promoted, 1);
    decide(follower, FATE_PROMOTED);
    return true;
}

static bool promote_one(struct lease *lease)
{
    struct follower *follower;

    DL_FOREACH(lease_waiting(lease), follower)
    {
        if (follower->session->state == SESSION_ALIVE && promote(follower))
            return true;
    }
    return false;
}

/* Those who have been told something, or those who have not. */
static void decide_those(struct lease *lease, bool told, enum follower_fate fate)
{
    struct follower *lists[] = {lease_waiting(lease), lease_not_waiting(lease)};
    struct follower *follower, *next;

    for (int i = 0; i < 2; i++) {
        DL_FOREACH_SAFE(lists[i], follower, next)
        {
            if (follower->told == told)
                decide(follower, fate);
        }
    }
}

/* An orphan that nobody follows ends. */
static void end_if_forgotten(struct cache *cache, struct lease *lease)
{
    uint64_t handle;

    if (lease_followers(lease) == 0 && !lease_holder(lease, &handle))
        lease_end(&cache->leases, &lease);
}

bool follow_end(struct cache *cache, struct lease **lease)
{
    decide_those(*lease, true, FATE_BROKEN);
    decide_those(*lease, false, FATE_OVER);
    return lease_end(&cache->leases, lease);
}

void follow_cancelled(struct cache *cache, struct lease *lease)
{
    decide_those(lease, false, FATE_OVER);
    end_if_forgotten(cache, lease);
}

bool follow_lose(struct cache *cache, struct lease **pointer, enum follow_loss loss)
{
    struct lease *lease = *pointer;
    bool filling = lease_is_filling(lease);
    struct follower *follower, *next;

    *pointer = NULL;
    if (loss == FOLLOW_HOPELESS)
        decide_those(lease, false, FATE_BROKEN);
    if (loss == FOLLOW_HOPELESS || (loss == FOLLOW_DISCARD && filling))
        decide_those(lease, true, loss == FOLLOW_HOPELESS ? FATE_BROKEN : FATE_CHANGED);
    if (loss == FOLLOW_DISCARD && filling)
        lease_discard(&cache->leases, lease);
    if (lease_followers(lease) == 0) {
        lease_end(&cache->leases, &lease);
        return filling;
    }
    lease_abandon(&cache->leases, lease, cache->mono_ms);
    if (promote_one(lease))
        return filling;
    /* Those who could not be promoted are told so. */
    DL_FOREACH_SAFE(lease_waiting(lease), follower, next)
    {
        if (follower->session->state == SESSION_ALIVE)
            make_due(follower);
    }
    return filling;
}

void follow_check_progress(struct cache *cache)
{
    struct lease *lease;
    uint64_t handle;

    for (unsigned i = 0; i < OVERDUE_STEP; i++) {
        lease = lease_overdue(&cache->leases, cache->mono_ms - cache->conf.lease_ms);
        if (!lease)
            return;
        if (lease_holder(lease, &handle))
            promote_one(lease);
        else /* nobody has wanted it for so long */
            follow_end(cache, &lease);
    }
}

/* ---- the end of a fill ---- */

/* Takes all followers off the lease; they keep their state. */
static struct follower *gather(struct lease *lease)
{
    struct follower *all = NULL, *follower;

    while (lease_followers(lease) > 0) {
        follower = lease_waiting(lease) ? lease_waiting(lease) : lease_not_waiting(lease);
        follower_decide(follower, FATE_COMPLETE);
        DL_APPEND(all, follower);
    }
    return all;
}

/* Before anything can evict it. Who cannot have it is told to ask again. */
static void pin_for_all(struct follower *all, struct object *object)
{
    struct follower *follower;

    DL_FOREACH(all, follower)
    {
        pin(follower, object);
    }
}

static void decide_gathered(struct follower *all, bool complete)
{
    struct follower *follower, *next;

    DL_FOREACH_SAFE(all, follower, next)
    {
        pins_recount(follower->session, follower->pin);
        decide(follower, complete ? FATE_COMPLETE : FATE_BROKEN);
    }
}

enum store_result follow_commit(struct cache *cache, struct lease **lease)
{
    struct follower *all = gather(*lease);

    pin_for_all(all, lease_object(*lease));
    enum store_result result = lease_commit(&cache->leases, lease);
    decide_gathered(all, result == STORE_OK || result == STORE_CANCELLED);
    return result;
}

bool follow_updated(struct cache *cache, struct lease **lease, struct object *object)
{
    if (object && !lease_is_filling(*lease) && lease_is_of(*lease, object)) {
        struct follower *all = gather(*lease);

        pin_for_all(all, object);
        decide_gathered(all, true);
    }
    return follow_end(cache, lease);
}

/* ---- followers come and go ---- */

static struct follower *find_in(struct follower *list, const struct session *session)
{
    struct follower *follower;

    DL_SEARCH_SCALAR(list, follower, session, session);
    return follower;
}

/* Through whichever list is shorter. */
static struct follower *find(const struct session *session, const struct lease *lease)
{
    struct follower *follower;

    if (lease_followers(lease) <= session->follows.used) {
        follower = find_in(lease_waiting(lease), session);
        return follower ? follower : find_in(lease_not_waiting(lease), session);
    }
    for (uint32_t i = 0; session->follows.used > 0 && i < session->follows.capacity; i++) {
        follower = session->follows.places[i].item;
        if (follower && follower->lease == lease)
            return follower;
    }
    return NULL;
}

uint64_t follow_join(struct session *session, struct lease *lease)
{
    struct follower *follower = find(session, lease);

    if (!follower) {
        if (session->follows.used == session->follows.capacity)
            return 0;
        follower = lease_follow(&session->cache->leases, lease, session);
        if (!follower)
            return 0;
        follower->handle = handles_put(&session->follows, follower);
    }
    follower->uses++;
    cache_count(session, COUNTER_followed, 1);
    return follower->handle;
}

/* A lease that has lost its last follower and has no holder ends. */
static void drop(struct follower **pointer)
{
    struct follower *follower = *pointer;
    struct session *session = follower->session;
    struct cache *cache = session->cache;
    struct lease *lease = follower->lease;

    *pointer = NULL;
    rest(follower);
    unpin_not_given(follower);
    INVARIANT(handles_take(&session->follows, follower->handle) == follower);
    lease_unfollow(&cache->leases, &follower);
    if (lease)
        end_if_forgotten(cache, lease);
}

void follow_leave(struct session *session, uint64_t handle, uint64_t uses)
{
    struct follower *follower = handles_get(&session->follows, handle);

    /* It may have met the answer that ended it on its way, which is no offence. */
    if (!follower)
        return;
    if (uses < follower->uses) {
        follower->uses -= uses;
        return;
    }
    struct lease *lease = follower->lease;
    if (follower->state == FOLLOWER_RESTING) {
        drop(&follower);
    } else if (lease) { /* what it has asked is owed an answer */
        decide(follower, FATE_OVER);
        end_if_forgotten(session->cache, lease);
    }
}

/* ---- answers ---- */

/* A pin is given once: whoever has it knows it. */
static void give_pin(struct follower *follower, struct wire_completion *completion)
{
    const struct object *object = handles_get(&follower->session->pins, follower->pin);

    completion->filled = object_size(object);
    completion->object_size = object_expected(object);
    completion->handle = follower->pin == follower->given ? 0 : follower->pin;
    follower->given = follower->pin;
    follower_tell(follower);
}

/* The end of a follower whose object cannot be had. */
static enum wire_status give_up(const struct follower *follower, struct wire_completion *completion)
{
    if (follower->told)
        completion->flags = WIRE_BROKEN;
    return WIRE_STATUS_MISS;
}

static enum wire_status give_promotion(struct follower *follower, struct wire_completion *completion)
{
    const struct lease *lease = handles_get(&follower->session->leases, follower->granted);

    if (!lease) /* taken from it before it heard of it */
        return give_up(follower, completion);
    completion->lease = follower->granted;
    completion->flags = WIRE_PROMOTED;
    if (!lease_is_filling(lease) || !pinned(follower))
        return WIRE_STATUS_MISS;
    give_pin(follower, completion);
    return WIRE_STATUS_OK;
}

static enum wire_status give_fate(struct follower *follower, struct wire_completion *completion)
{
    switch (follower->fate) {
    case FATE_COMPLETE:
        if (!pinned(follower)) /* it held as much as it may */
            return give_up(follower, completion);
        give_pin(follower, completion);
        return WIRE_STATUS_HIT;
    case FATE_PROMOTED:
        return give_promotion(follower, completion);
    case FATE_CHANGED:
        completion->flags = WIRE_BROKEN | WIRE_CHANGED;
        break;
    case FATE_BROKEN:
        completion->flags = WIRE_BROKEN;
        break;
    case FATE_OVER:
    case FATE_OPEN:
        break;
    }
    return WIRE_STATUS_MISS;
}

/* FATE_OPEN: status, or FOLLOW_WAITS. */
static enum wire_status give_news(struct follower *follower, struct wire_completion *completion)
{
    if (follow_is_abandoned(follower->session->cache, follower->lease))
        return promote(follower) ? give_promotion(follower, completion) : WIRE_STATUS_BUSY;
    if (!has_news(follower))
        return FOLLOW_WAITS;
    if (!pin(follower, lease_object(follower->lease)))
        return WIRE_STATUS_BUSY;
    give_pin(follower, completion);
    completion->lease = follower->handle;
    completion->flags = WIRE_FOLLOWS;
    return WIRE_STATUS_OK;
}

/* To what it has asked. It is gone afterwards unless it follows on. */
static enum wire_status answer(struct follower *follower, struct wire_completion *completion)
{
    struct session *session = follower->session;

    rest(follower);
    enum wire_status status =
        follower->fate == FATE_OPEN ? give_news(follower, completion) : give_fate(follower, completion);
    if (status == FOLLOW_WAITS)
        follower_set_state(follower, FOLLOWER_WAITING);
    else if (!(completion->flags & WIRE_FOLLOWS))
        drop(&follower);
    if (status == WIRE_STATUS_BUSY)
        cache_count(session, COUNTER_busy, 1);
    return status;
}

enum wire_status follow_ask(struct session *session, const struct wire_request *request,
                            struct wire_completion *completion)
{
    struct follower *follower = handles_get(&session->follows, request->handle);

    if (!follower)
        return WIRE_STATUS_FENCED;
    if (follower->state != FOLLOWER_RESTING) /* one question at a time */
        return WIRE_STATUS_BAD;
    follower->cookie = request->cookie;
    follower->known = request->value;
    return answer(follower, completion);
}

bool follow_flush(struct session *session, unsigned most)
{
    for (unsigned i = 0; session->due && i < most; i++) {
        struct wire_completion completion = {
            .op = WIRE_OP_FOLLOW,
            .segment = WIRE_NO_SEGMENT,
            .registration = session->registration,
            .cookie = session->due->cookie,
        };
        enum wire_status status = answer(session->due, &completion);

        if (status == FOLLOW_WAITS)
            continue;
        completion.status = (uint8_t)status;
        if (ring_put(&session->pool.completions, &completion) != RING_OK)
            return false;
    }
    return true;
}

/* ---- sessions ---- */

void follow_stalled(struct session *session)
{
    for (uint32_t i = 0; session->leases.used > 0 && i < session->leases.capacity; i++) {
        if (session->leases.places[i].item)
            promote_one(session->leases.places[i].item);
    }
}

/* What has happened meanwhile may have left leases to it. */
void follow_thawed(struct session *session)
{
    for (uint32_t i = 0; session->follows.used > 0 && i < session->follows.capacity; i++) {
        struct follower *follower = session->follows.places[i].item;
        if (follower && follower->state == FOLLOWER_WAITING)
            make_due(follower);
    }
}

unsigned follow_part(struct session *session, enum follow_loss loss)
{
    struct follower *follower;
    struct lease *lease;
    unsigned fills = 0;
    uint64_t handle;

    while ((handle = handles_any(&session->follows))) {
        follower = handles_get(&session->follows, handle);
        drop(&follower);
    }
    while ((lease = pins_take_lease(session, handles_any(&session->leases)))) {
        fills += follow_lose(session->cache, &lease, loss);
    }
    return fills;
}
