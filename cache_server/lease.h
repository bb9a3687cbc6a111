/* lease.h: who may fill which key.
 *
 *     lease_grant        GRANTED   one holder per key
 *     lease_begin        FILLING   the object grows in the store, found by nobody
 *     lease_discard      GRANTED   what was filled is thrown away, the lease goes on
 *     lease_commit       gone, the object is stored
 *     lease_end          gone, with what was filled
 *     lease_abandon      ORPHAN    its holder has gone; what was filled stays for
 *     lease_adopt        GRANTED or FILLING, by another holder
 *     lease_cancel       the key was removed or purged meanwhile: the fill goes on, but ends unstored. The
 * lease is not that of its key any more, which may be granted anew
 *
 * Followers are those who wait for what becomes of a lease; follow.h decides about them. Here they are only
 * kept, each in one of the two lists of its lease, or in none when it has been decided what becomes of it.
 *
 * Ownership: the table owns leases, and charges them and their followers to the tenant. The holder keeps the
 * lease in a numbered place of its own, and ends its leases before it goes; so does a follower. Knows no
 * queue, no ring and no clock: times are arguments, in milliseconds, and never go back. */
#ifndef LARDER_LEASE_H
#define LARDER_LEASE_H

#include "store.h"

struct lease; /* opaque */
struct session;

struct leases {
    struct lease *table; /* those not cancelled */
    struct lease *quiet; /* utlist: held or orphaned, longest without progress first, until it is overdue */
    struct store *store; /* borrowed */
    uint32_t count;
    uint32_t orphans;   /* of them */
    uint32_t followers; /* of all leases, and those that follow none any more */
};

enum follower_state {
    FOLLOWER_RESTING, /* has not asked */
    FOLLOWER_WAITING, /* has asked, and there is no news */
    FOLLOWER_DUE,     /* has asked, and is to be answered */
};
enum follower_fate {
    FATE_OPEN,     /* it follows */
    FATE_COMPLETE, /* the object is whole; `pin`, if it could be had */
    FATE_PROMOTED, /* `granted` is its lease now */
    FATE_OVER,     /* nothing will come of it */
    FATE_BROKEN,   /* nothing will come of it, and nobody can go on with what it was given */
    FATE_CHANGED,  /* the same, because there is something else by now */
};

struct follower {
    struct follower *prev, *next;         /* in a list of its lease */
    struct follower *prev_due, *next_due; /* in its session's list, while it is DUE */
    struct lease *lease;                  /* NULL: its fate is decided */
    struct tenant *tenant;
    struct session *session;
    uint64_t handle;  /* its place in the session, */
    uint64_t uses;    /*   which was given out so often */
    uint64_t pin;     /* of the growing or whole object, in the session; 0: none, and it may be gone */
    uint64_t given;   /* the pin that the peer knows of; 0: none */
    uint64_t granted; /* lease, in the session */
    uint64_t cookie;  /* what it asks: */
    uint64_t known;   /*   bytes that it has */
    enum follower_state state;
    enum follower_fate fate;
    bool told; /* the peer has been given something to read */
};

void leases_setup(struct leases *leases, struct store *store);
/* Every lease must have ended. */
void leases_teardown(struct leases *leases);

/* NULL: somebody has it, no memory, or the tenant holds as much, or has as many, as it may. `now`: when it
 * makes progress, here and below; any steady clock. */
struct lease *lease_grant(struct leases *leases, const struct store_key *key, int64_t now);
/* The lease of this key, or NULL. */
struct lease *lease_find(struct leases *leases, const struct store_key *key);
/* Who has it, under which handle; set by whoever granted it. */
void lease_set_holder(struct lease *lease, struct session *holder, uint64_t handle);
struct session *lease_holder(const struct lease *lease, uint64_t *handle);
/* What its holder, too, is charged with: entry and key. The object that is being filled comes on top. */
uint64_t lease_charge(const struct lease *lease);
/* Time of its last progress. */
int64_t lease_touched(const struct lease *lease);
enum store_result lease_begin(struct leases *leases, struct lease *lease, const uint8_t *meta,
                              uint32_t meta_length, uint64_t expected, int64_t fresh_until,
                              int64_t keep_until);
enum store_result lease_append(struct leases *leases, struct lease *lease, const uint8_t *bytes,
                               uint64_t length, int64_t now);
/* What has arrived is all of it from now on. */
void lease_cut_short(struct lease *lease);
/* Ends the lease, whatever the result. It has no followers any more. Nulls the pointer. */
enum store_result lease_commit(struct leases *leases, struct lease **lease);
/* True if a fill was under way and has been thrown away. It has no followers any more. Nulls the pointer. */
bool lease_end(struct leases *leases, struct lease **lease);
void lease_discard(struct leases *leases, struct lease *lease);
void lease_abandon(struct leases *leases, struct lease *lease, int64_t now);
void lease_adopt(struct leases *leases, struct lease *lease, struct session *holder, uint64_t handle,
                 int64_t now);
/* The lease that was cancelled, or NULL. */
struct lease *lease_cancel_key(struct leases *leases, const struct store_key *key);
/* The same for one that has not been cancelled. */
void lease_cancel(struct leases *leases, struct lease *lease);
bool lease_is_cancelled(const struct lease *lease);
/* The clock of its tenant's purges when it was granted. */
uint64_t lease_stamp(const struct lease *lease);
/* Those of a tenant that are not cancelled: tenant->granted, and so on. */
struct lease *lease_next_of_tenant(const struct lease *lease);
const uint8_t *lease_key(const struct lease *lease, uint32_t *length); /* without the tenant's id */
struct tenant *lease_tenant(const struct lease *lease);
/* One that has made no progress since `before`, or NULL. Each is named once, until it makes progress. */
struct lease *lease_overdue(struct leases *leases, int64_t before);
/* Since when the first that lease_overdue() would name has made no progress; INT64_MAX: there is none. */
int64_t lease_longest_quiet(const struct leases *leases);

/* NULL: no memory, or the tenant has as many as it may. It rests. */
struct follower *lease_follow(struct leases *leases, struct lease *lease, struct session *session);
/* Takes it out of the lists of its lease and frees it. Nulls the pointer. */
void lease_unfollow(struct leases *leases, struct follower **follower);
/* Moves it between the lists of its lease, if it has one. */
void follower_set_state(struct follower *follower, enum follower_state state);
/* It does not follow its lease any more. */
void follower_decide(struct follower *follower, enum follower_fate fate);
void follower_tell(struct follower *follower);
/* The first of the WAITING, and of the others; the next ones by follower->next. */
struct follower *lease_waiting(const struct lease *lease);
struct follower *lease_not_waiting(const struct lease *lease);
uint32_t lease_followers(const struct lease *lease);
/* Has one of its followers been given what is there? */
bool lease_is_told(const struct lease *lease);

/* Is this the lease's key (without the tenant's id)? */
bool lease_key_is(const struct lease *lease, const uint8_t *bytes, uint32_t length);
bool lease_is_filling(const struct lease *lease);
bool lease_is_of(const struct lease *lease, const struct object *object); /* its key? */
/* What is being filled, or NULL. */
struct object *lease_object(const struct lease *lease);
/* Bytes that have arrived. */
uint64_t lease_filled(const struct lease *lease);

#endif
