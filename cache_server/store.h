/* store.h: objects by (tenant, key), within a bound of memory.
 *
 * An object is opaque metadata, a body and two times. Life of one:
 *
 *     store_fill_begin      FILLING   not found by anybody; grows by store_fill_append(); may be pinned and
 *                                     read as far as it has come
 *     store_fill_commit     STORED    found, in a queue of its tenant (eviction.h), expires; replaces an
 *                                     older object of its key
 *     store_fill_discard    DOOMED
 *     eviction, expiry, replacement, store_remove()
 *                           DOOMED    not found any more; readers that pinned it may finish
 *     last store_unpin()    gone, or DYING: nobody has it any more, its memory is given back in pieces
 *
 * Ownership: the store owns every object. A pointer from store_find() is good until the next call of the
 * store; a pin makes it good until the unpin. Taking an object away nulls the caller's pointer. Bound:
 * memory_limit, with every byte charged (memory.h), and what each tenant may have (shares.h). What room needs
 * is evicted from the tenant furthest over its share, by its own policy; from the tenant that needs it when
 * that is at its limit, or when nobody else may lose anything. Pinned and filling objects count too, and
 * those that are dying. Hashing:   SipHash with a random key (libsodium), so that nobody can choose keys that
 * collide; keys are compared whole. The index is split into SHELVES tables, so that growing one moves only a
 * small part. Knows no queue, no ring, no clock: times are arguments, in milliseconds since the epoch. */
#ifndef LARDER_STORE_H
#define LARDER_STORE_H

#include "body.h"
#include "counters.h"
#include "expiry.h"
#include "memory.h"
#include "tags.h"
#include "tenant.h"

#define STORE_MAX_KEY        16384u
#define STORE_PART           WIRE_KEY_PART
#define STORE_SHELVES        256u
/* Chunks that are freed at once, until store_tidy(): much more at a time would make others wait. */
#define STORE_CHUNKS_AT_ONCE 256u
/* What a tenant is charged for the index, by the object: a bucket and a half, and a place in the heap. The
 * rest, which the tables take in their growth, is nobody's. */
#define STORE_INDEX_SHARE    24u
/* Bodies that are announced not to be larger stand in one block with entry, key and metadata. */
#define STORE_MAX_INLINE     4096u

struct object; /* opaque but for the accessors below */

/* Who is told of kept objects (store_set_kept()). Neither may call the store, but for store_set_kept(). */
struct store_watch {
    /* It is going to be gone, or has other metadata or times: called before anybody can find out. */
    void (*changed)(void *context, struct object *object);
    /* It is the next to be evicted: has it been used without the store's knowledge since this was asked? */
    bool (*used)(void *context, struct object *object);
    void *context;
};
#define STORE_CHANCES 8u /* objects that are spared so when room is needed, until one goes unasked */

struct store {
    struct memory memory;
    uint64_t limit_wanted; /* below memory.limit while store_resize_step() has something to do */
    struct account
        index; /* hash tables and expiry heap, whoever's they are; tenants are charged by the object */
    uint64_t max_object;
    uint64_t objects;
    uint64_t pins;
    /* Memory that evicting cannot free is held (shares.h): objects that are pinned or being filled, with all
     * that they are charged with, and leases. The bounds are shares of the memory, and at least one object of
     * the largest size. */
    uint64_t max_held;         /* by all: three quarters */
    uint64_t max_held_tenant;  /* by one tenant: half */
    uint64_t max_held_process; /* by one process: a quarter; process.h keeps its account */
    uint64_t evictable;        /* bytes that evicting everything would free at once: stored and not pinned */
    uint64_t dying_bytes;      /* charge of those that are dying */
    uint64_t large;            /* see eviction.h */
    uint32_t chunks_left;      /* to be freed at once */
    struct object *shelves[STORE_SHELVES];
    struct tenant
        *dying; /* utlist: those with objects that are; what needs room takes theirs before it evicts */
    struct expiry expiry;
    struct tags tags;
    uint32_t walk_shelf;       /* the next one, */
    struct object *walk_next;  /* behind this one, and what is behind it */
    struct counters *counters; /* the cache's, borrowed */
    struct store_watch watch;
    uint8_t hash_key[16];
    uint8_t tag_key[16];
};

/* 0 or -errno. */
int store_setup(struct store *store, uint64_t memory_limit, uint64_t max_object, struct counters *counters);
/* Nothing may be pinned or filling any more. */
void store_teardown(struct store *store);

/* Other bounds for a store in use. A smaller memory is reached by store_resize_step(), which removes at most
 * `most` objects and never lets the limit fall below what is used: no single allocation then has to evict it
 * all. Objects go by their tenants' shares; when all have only what is reserved for them, and the index is in
 * the way, `last` (NULL: nobody) gives. */
void store_resize(struct store *store, uint64_t memory_limit, uint64_t max_object);
void store_resize_step(struct store *store, struct tenant *last, unsigned most);
/* There is a step to be taken now. What is pinned or being filled has to go by itself first. */
bool store_is_resizing(const struct store *store);

void store_watch(struct store *store, struct store_watch watch);
/* From now on whoever watches is told what becomes of it, or not any more. */
void store_set_kept(struct object *object, bool kept);
bool object_is_kept(const struct object *object);
/* A stored object was used, by what `watch` knows. */
void store_used(struct object *object);

/* A key, hashed once. `bytes` holds the tenant's id in front of the caller's key. */
struct store_key {
    uint64_t hash;
    struct tenant *tenant;
    uint32_t length; /* with the id */
    uint8_t bytes[sizeof(uint32_t) + STORE_MAX_KEY];
};
/* Copies `length` (1 .. STORE_MAX_KEY) bytes. */
void store_key_set(const struct store *store, struct store_key *key, struct tenant *tenant,
                   const uint8_t *bytes, uint32_t length);
bool store_key_equal(const struct store_key *a, uint64_t hash, const uint8_t *bytes, uint32_t length);

/* A key that waits for its turn, in little room. */
#define STORE_SHORT_KEY 248u
struct store_short_key {
    uint64_t hash;
    uint32_t length; /* with the id */
    uint8_t bytes[sizeof(uint32_t) + STORE_SHORT_KEY];
};
/* Copies `length` (1 .. STORE_SHORT_KEY) bytes and hashes them. */
void store_short_key_set(const struct store *store, struct store_short_key *key, const struct tenant *tenant,
                         const uint8_t *bytes, uint32_t length);
/* The whole of it, without hashing again. The same tenant. */
void store_key_recall(struct store_key *key, struct tenant *tenant, const struct store_short_key *from);

/* Asks for the memory that store_find() will read for a key of this hash, and whoever copies out what it
 * finds; changes nothing. Each stage reads what the one before has asked for: all keys of a batch go through
 * one stage before the first goes through the next. What is stored may be another thing by the time it is
 * looked for; then this was in vain. */
enum store_stage {
    STORE_STAGE_BUCKET,
    STORE_STAGE_FIRST,
    STORE_STAGE_SECOND,
    STORE_STAGE_CONTENT,
    STORE_STAGES
};
void store_prefetch(const struct store *store, uint64_t hash, enum store_stage stage);

enum store_result {
    STORE_OK,
    STORE_TOO_LARGE, /* than max_object, or than the tenant may have in all */
    STORE_NO_MEMORY,
    STORE_MISMATCH,  /* more or fewer bytes than announced */
    STORE_CANCELLED, /* the key was removed meanwhile, so nothing is stored */
};

/* Marks it as just used. NULL: not there, or kept long enough (it is removed then). */
struct object *store_find(struct store *store, const struct store_key *key, int64_t now);

/* May this tenant hold so many bytes more (pins, fills and leases)? What it is charged with in the end may be
 * more, by a block of a body. */
bool store_may_hold(const struct store *store, const struct tenant *tenant, uint64_t bytes);
/* Room for tables to grow by so many bytes, on behalf of a tenant; see memory_alloc_index(). */
bool store_index_room(struct store *store, struct tenant *tenant, uint64_t bytes);
/* For what others keep beside objects; store_let_go() with the same number ends it. */
void store_hold(struct store *store, struct tenant *tenant, uint64_t bytes);
void store_let_go(struct store *store, struct tenant *tenant, uint64_t bytes);
/* Pinning never fails; ask store_may_hold() before the first pin of an object (object_is_held()). */
void store_pin(struct store *store, struct object *object);
void store_unpin(struct store *store, struct object **object);

enum store_result store_fill_begin(struct store *store, struct object **out, const struct store_key *key,
                                   const uint8_t *meta, uint32_t meta_length, uint64_t expected,
                                   int64_t fresh_until, int64_t keep_until);
enum store_result store_fill_append(struct store *store, struct object *object, const uint8_t *bytes,
                                    uint64_t length);
/* Makes it visible if all that was announced has arrived; otherwise it is discarded. Nulls the pointer. */
enum store_result store_fill_commit(struct store *store, struct object **object);
/* No more will come than has arrived, whatever was announced. */
void store_fill_cut_short(struct object *object);
/* As commit, but nobody finds it: only who has it pinned may go on reading. STORE_CANCELLED when it is whole.
 */
enum store_result store_fill_conclude(struct store *store, struct object **object);
/* Who has it pinned may go on reading as far as it came. Nulls the pointer. */
void store_fill_discard(struct store *store, struct object **object);

/* New metadata and times for a pinned object. STORE_MISMATCH: it is not stored any more. */
enum store_result store_update(struct store *store, struct object *object, const uint8_t *meta,
                               uint32_t meta_length, int64_t fresh_until, int64_t keep_until);
/* Now and then: gives back some of the memory of what is dying. */
void store_tidy(struct store *store);
bool store_is_tidy(const struct store *store);
/* Evicts at most `most` objects of a tenant that has more than its limit; returns how many. */
unsigned store_shrink(struct store *store, struct tenant *tenant, unsigned most);
/* Removes at most `most` objects of a tenant, pinned ones first, then the coldest; returns how many. */
unsigned store_purge(struct store *store, struct tenant *tenant, unsigned most);
/* True if there was something. */
bool store_remove(struct store *store, const struct store_key *key);

/* ---- tags and purges: purge.h has the whole story ---- */

uint64_t store_tag(const struct store *store, const struct tenant *tenant, const uint8_t *text,
                   uint32_t length);
/* The tag that all parts of a key bear. False: this key is no part. That of the key itself is its hash. */
bool store_key_part(const struct store *store, const struct store_key *key, uint64_t *tag);
/* Of an object that is pinned or being filled: these instead of those that it had. STORE_NO_MEMORY: it has
 * none, or those that it had. */
enum store_result store_set_tags(struct store *store, struct object *object, const struct tag_list *list);
void store_set_lasting(struct object *object); /* soft purges spare it */
void store_validated(struct object *object);   /* a soft purge of earlier is over for it */
/* Of stored objects. A purge hits it: it is gone, or stale from `at` on (false: it is spared). */
void store_doom(struct store *store, struct object *object);
bool store_lapse(struct store *store, struct object *object, int64_t at);
/* What the purges under way say about an object that is stored or being filled. */
enum purges_verdict store_judge(const struct object *object, int64_t *at);
/* Does to a stored object what they say. PURGES_GONE: it is doomed. */
enum purges_verdict store_visit(struct store *store, struct object *object);
/* The same with what store_judge() has just said; PURGES_SPARED where the object lasts. */
enum purges_verdict store_settle(struct store *store, struct object *object, enum purges_verdict verdict,
                                 int64_t at);
bool object_key_begins(const struct object *object, const uint8_t *bytes, uint32_t length);
/* What it costs to take it away or to judge it by its tags, as a multiple of one without any. */
unsigned object_weight_of_tags(const struct object *object);
/* One after the other of all that is stored when it begins; what comes meanwhile may be among them. NULL:
 * that was all. There is one walk at a time; objects may go while it is under way. */
void store_walk_begin(struct store *store);
struct object *store_walk(struct store *store);
bool store_walk_is_over(const struct store *store);
/* As store_find(), but it is not asked for: nothing happens to it. */
struct object *store_peek(struct store *store, const struct store_key *key);

/* Removes objects whose time has come, of the weight `most` or one more; an object weighs 1, and more with
 * its tags. Returns how many. */
unsigned store_expire(struct store *store, int64_t now, unsigned most);
/* When the next object expires, or INT64_MAX. */
int64_t store_next_expiry(const struct store *store);

const uint8_t *object_meta(const struct object *object, uint32_t *length);
uint64_t object_size(const struct object *object);
/* What was announced, or BODY_SIZE_UNKNOWN; once it is whole, its size. */
uint64_t object_expected(const struct object *object);
/* All that it takes from its tenant's account: entry, key, metadata, body; its share of the index once it is
 * stored.
 */
uint64_t object_charge(const struct object *object);
/* Is it among what its tenant holds: pinned or being filled? */
bool object_is_held(const struct object *object);
bool object_has_key(const struct object *object, uint64_t hash, const uint8_t *bytes, uint32_t length);
void object_key(const struct store *store, const struct object *object, struct store_key *key);
struct tenant *object_tenant(const struct object *object);
bool object_is_stored(const struct object *object);
bool object_is_lapsed(const struct object *object); /* by a soft purge */
int64_t object_fresh_until(const struct object *object);
int64_t object_keep_until(const struct object *object);
uint32_t object_pins(const struct object *object);
const struct tag_set *object_tags(const struct object *object); /* NULL: none */
/* Its place in its tenant's eviction; meant while it is stored. */
const struct eviction_node *object_order(const struct object *object);
/* Copies [offset, offset + length), which must lie within the object's size. */
void object_read(const struct object *object, uint64_t offset, uint8_t *out, uint64_t length);

#endif
