#include "store.h"

#include "invariant.h"

#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <string.h>

/* uthash's allocations are charged like all others; every function that uses a HASH_ macro has `store` in
 * scope. */
#define uthash_malloc(size)      memory_alloc_index(&store->memory, &store->index, size)
#define uthash_free(block, size) memory_free(&store->memory, &store->index, block)
#include <uthash.h>
#include <utlist.h>

/* Chains of eight instead of ten before a table grows. With a million objects that is one object in a bucket
 * instead of two: fewer are looked at in vain, each a cache miss, for eight bytes an object. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 8U

enum object_state { OBJECT_FILLING, OBJECT_STORED, OBJECT_DOOMED };

static uint32_t at_most(uint32_t number, uint32_t most)
{
    return number < most ? number : most;
}

/* One block: this, the key, room for the metadata, and room for a small body. The order is that of a lookup.
 */
struct object {
    UT_hash_handle hh; /* its key is tenant id and key, in `rest` */
    union {
        struct eviction_node order; /* in a queue of its tenant or among its pinned, while it is STORED; among
                                       those that are dying; and three bytes of ours */
        uint64_t announced;         /* size, until it is whole; in place of order.prev */
    };
    struct expiry_node keep; /* and the low bits of the stamp */
    int64_t fresh_until : 48;
    uint64_t meta_length : 16;
    struct tenant *tenant;
    struct tag_set *tags; /* NULL: none */
    struct body body;
    uint16_t stamp_high; /* stamp of its tenant's purges: none up to then hits it */
    uint8_t rest[];      /* key, metadata or (META_APART) a pointer to it, body if it is lent */
};
/* There are millions of these, and two bytes more may be sixteen. */
_Static_assert(offsetof(struct object, rest) <= 148, "docs/performance.md, The store alone");

/* 48 bits last for centuries of purges. */
static uint64_t stamp_of(const struct object *object)
{
    return (uint64_t)object->stamp_high << 32 | object->keep.owner;
}

static void set_stamp(struct object *object, uint64_t stamp)
{
    object->stamp_high = (uint16_t)(stamp >> 32);
    object->keep.owner = (uint32_t)stamp;
}

/* Times are the proxies' and may be anything; 48 bits of milliseconds reach 4459 years from 1970 either way.
 */
static void set_fresh_until(struct object *object, int64_t at)
{
    const int64_t most = (INT64_C(1) << 47) - 1;

    object->fresh_until = at > most ? most : at < -most ? -most : at;
}

/* Flags beside the state. */
enum {
    STATE_MASK = 3,
    WHOLE = 4,
    META_APART = 8,
    LASTING = 16, /* soft purges spare it */
    LAPSED = 32,  /* a soft purge has hit it, and it has not been validated since */
    KEPT = 64,    /* whoever watches wants to know */
};

#define META_ROOM_MIN sizeof(uint8_t *)

static enum object_state state_of(const struct object *object)
{
    return (enum object_state)(object->order.owner_state & STATE_MASK);
}

static void set_state(struct object *object, enum object_state state)
{
    object->order.owner_state = (uint8_t)((object->order.owner_state & ~STATE_MASK) | state);
}

static bool has_flag(const struct object *object, unsigned flag)
{
    return object->order.owner_state & flag;
}

static uint32_t pins_of(const struct object *object)
{
    return object->order.owner_pins;
}

static struct object *object_of(struct eviction_node *node)
{
    return (struct object *)(void *)((char *)node - offsetof(struct object, order));
}

static struct object **shelf_of(struct store *store, uint64_t hash)
{
    return &store->shelves[hash >> 56];
}

static struct object **own_shelf(struct store *store, const struct object *object)
{
    return &store->shelves[object->order.owner_shelf];
}

/* As much of the hash as is kept. */
static uint64_t hash_of(const struct object *object)
{
    return (uint64_t)object->order.owner_shelf << 56 | object->hh.hashv;
}

/* ---- metadata ---- */

static uint8_t *meta_room(const struct object *object)
{
    return (uint8_t *)(uintptr_t)object->rest + object->hh.keylen;
}

static uint8_t *meta_apart(const struct object *object)
{
    uint8_t *block = NULL;

    if (has_flag(object, META_APART))
        memcpy(&block, meta_room(object), sizeof(block));
    return block;
}

static void set_meta_apart(struct object *object, uint8_t *block)
{
    memcpy(meta_room(object), &block, sizeof(block));
    object->order.owner_state |= META_APART;
}

/* ---- taking objects away ---- */

static void free_object(struct store *store, struct object *object)
{
    struct account *account = &object->tenant->account;

    INVARIANT(pins_of(object) == 0);
    store->chunks_left -= at_most(body_chunks(&object->body), store->chunks_left);
    body_free(&object->body, &store->memory, account);
    memory_free(&store->memory, account, meta_apart(object));
    memory_free(&store->memory, account, object->tags);
    memory_free(&store->memory, account, object);
}

/* No purge finds it any more. The block stays, and is charged, until the object goes. */
static void unlink_tags(struct store *store, struct object *object)
{
    purges_set_goes(&object->tenant->purges, object->tags);
    tags_unlink(&store->tags, object->tags);
}

static void count_dying(struct store *store, struct tenant *tenant, uint64_t before, uint64_t after)
{
    store->dying_bytes += after - before;
    tenant->account.dying += after - before;
    shares_moved(&store->memory.shares, &tenant->account);
}

/* Nobody has it any more. Freeing hundreds of megabytes at once takes tens of milliseconds. */
static void dispose(struct store *store, struct object *object)
{
    struct tenant *tenant = object->tenant;

    if (body_chunks(&object->body) <= store->chunks_left) {
        free_object(store, object);
        return;
    }
    if (!tenant->dying)
        DL_APPEND2(store->dying, tenant, prev_dying, next_dying);
    DL_APPEND(tenant->dying, &object->order);
    count_dying(store, tenant, 0, object_charge(object));
}

/* Some chunks of the tenant's object that has been dying longest. */
static void bury(struct store *store, struct tenant *tenant, uint32_t most)
{
    struct object *object = object_of(tenant->dying);
    uint64_t before = object_charge(object);

    uint32_t freed = body_free_some(&object->body, &store->memory, &tenant->account, most);
    store->chunks_left -= at_most(freed, store->chunks_left);
    if (body_chunks(&object->body) > 0) {
        count_dying(store, tenant, before, object_charge(object));
        return;
    }
    DL_DELETE(tenant->dying, &object->order);
    if (!tenant->dying)
        DL_DELETE2(store->dying, tenant, prev_dying, next_dying);
    count_dying(store, tenant, before, 0);
    free_object(store, object);
}

void store_tidy(struct store *store)
{
    store->chunks_left = STORE_CHUNKS_AT_ONCE;
    while (store->dying && store->chunks_left > 0)
        bury(store, store->dying, store->chunks_left);
}

bool store_is_tidy(const struct store *store)
{
    return !store->dying;
}

/* ---- queues: what is stored and not being read, which evicting would free at once ---- */

static void count_evictable(struct store *store, struct tenant *tenant, uint64_t more, uint64_t less)
{
    store->evictable += more - less;
    tenant->account.evictable += more - less;
    shares_open(&store->memory.shares, &tenant->account);
}

static uint64_t weight_of(const struct eviction_node *node)
{
    return object_charge(
        (const struct object *)(const void *)((const char *)node - offsetof(struct object, order)));
}

static void join_queue(struct store *store, struct object *object)
{
    uint64_t charge = object_charge(object);

    eviction_return(&object->tenant->eviction, &object->order, charge, hash_of(object), weight_of);
    count_evictable(store, object->tenant, charge, 0);
}

static void leave_queue(struct store *store, struct object *object)
{
    uint64_t charge = object_charge(object);

    eviction_leave(&object->tenant->eviction, &object->order, charge);
    count_evictable(store, object->tenant, 0, charge);
}

/* What its policy remembers is of no use without objects, and would keep the tenant. */
static void forget_if_empty(struct store *store, struct tenant *tenant)
{
    if (tenant->objects == 0)
        eviction_forget(&tenant->eviction, &store->memory, &tenant->account);
}

static void tell(struct store *store, struct object *object)
{
    if (has_flag(object, KEPT))
        store->watch.changed(store->watch.context, object);
}

/* STORED to DOOMED, and gone if nobody reads it. It is in no queue any more. */
static void unlink_object(struct store *store, struct object *object)
{
    struct object **shelf = own_shelf(store, object);
    struct tenant *tenant = object->tenant;

    INVARIANT(state_of(object) == OBJECT_STORED);
    tell(store, object);
    unlink_tags(store, object);
    if (store->walk_next == object)
        store->walk_next = object->hh.next;
    HASH_DELETE(hh, *shelf, object);
    expiry_remove(&store->expiry, &object->keep);
    set_state(object, OBJECT_DOOMED);
    tenant->account.used -= STORE_INDEX_SHARE;
    shares_moved(&store->memory.shares, &tenant->account);
    tenant->objects--;
    store->objects--;
    if (pins_of(object) == 0)
        dispose(store, object);
    forget_if_empty(store, tenant);
}

static void doom(struct store *store, struct object *object)
{
    if (pins_of(object) == 0) {
        leave_queue(store, object);
    } else {
        DL_DELETE(object->tenant->pinned, &object->order);
        store_let_go(store, object->tenant, STORE_INDEX_SHARE);
    }
    unlink_object(store, object);
}

/* ---- making room ---- */

static void count(struct store *store, struct tenant *tenant, enum counter counter)
{
    tenant_count(tenant, store->counters, counter);
}

static struct tenant *tenant_of(struct account *account)
{
    return (struct tenant *)(void *)((char *)account - offsetof(struct tenant, account));
}

static bool is_used(struct store *store, struct object *object)
{
    return has_flag(object, KEPT) && store->watch.used(store->watch.context, object);
}

/* NULL: it has nothing that can go. */
static struct object *coldest(struct store *store, struct tenant *tenant)
{
    struct eviction_node *node = eviction_next(&tenant->eviction, weight_of);

    for (unsigned i = 0; node && i < STORE_CHANCES && is_used(store, object_of(node)); i++) {
        eviction_used(&tenant->eviction, node, true, weight_of);
        node = eviction_next(&tenant->eviction, weight_of);
    }
    return node ? object_of(node) : NULL;
}

static void evict(struct store *store, struct object *object, bool for_itself)
{
    struct tenant *tenant = object->tenant;
    uint64_t charge = object_charge(object);

    count(store, tenant, COUNTER_evictions);
    count(store, tenant, for_itself ? COUNTER_evicted_for_itself : COUNTER_evicted_for_others);
    eviction_evict(&tenant->eviction, &object->order, charge, hash_of(object));
    count_evictable(store, tenant, 0, charge);
    unlink_object(store, object);
}

/* From whoever is furthest over its share, unless that would cut into its reserve; then from whoever needs
 * it (NULL: nobody). */
static struct object *choose(struct store *store, struct account *needs)
{
    struct shares *shares = &store->memory.shares;
    struct account *account;

    while ((account = shares_first(shares))) {
        struct object *object = coldest(store, tenant_of(account));
        if (account == needs || account->used - account->reserve >= object_charge(object))
            return object;
        shares_pass_over(shares, account, object_charge(object));
    }
    return needs && needs->evictable > 0 ? coldest(store, tenant_of(needs)) : NULL;
}

/* What cannot be done is refused before anything is lost for it: fills, pinned objects, index and the
 * reserves of others stay. The index's shares of what goes are not freed. */
static bool is_possible(const struct store *store, const struct account *needs, uint64_t bytes)
{
    const struct memory *memory = &store->memory;
    uint64_t shares = store->objects * STORE_INDEX_SHARE;
    uint64_t most = memory->shares.spare + needs->evictable - needs->spare;

    most = most > shares ? most - shares : 0;
    most += store->dying_bytes;
    return bytes <= memory->limit &&
           memory->used - (most < memory->used ? most : memory->used) <= memory->limit - bytes;
}

/* Below its own limit, if it has one: only its own objects go. */
static bool is_possible_within(const struct account *account, uint64_t bytes)
{
    return account->limit == 0 ||
           (account->used <= account->limit && bytes <= account->limit &&
            account->used - account->evictable - account->dying <= account->limit - bytes);
}

static void make_own_room(struct store *store, struct tenant *tenant, uint64_t bytes)
{
    const struct account *account = &tenant->account;

    while (account->limit > 0 && account->used + bytes > account->limit) {
        if (tenant->dying)
            bury(store, tenant, 1);
        else
            evict(store, coldest(store, tenant), true);
    }
}

static bool make_room(void *context, struct account *account, uint64_t bytes, uint64_t own)
{
    struct store *store = context;
    struct memory *memory = &store->memory;

    if (!is_possible_within(account, own)) {
        count(store, tenant_of(account), COUNTER_refused_memory);
        return false;
    }
    if (!is_possible(store, account, bytes))
        return false;
    make_own_room(store, tenant_of(account), own);
    while (memory->used + bytes > memory->limit) {
        if (store->dying) {
            bury(store, store->dying, 1);
            continue;
        }
        struct object *object = choose(store, account);
        if (!object)
            return false;
        evict(store, object, &object->tenant->account == account);
    }
    return true;
}

bool store_index_room(struct store *store, struct tenant *tenant, uint64_t bytes)
{
    return memory_room(&store->memory, &tenant->account, bytes, 0);
}

unsigned store_shrink(struct store *store, struct tenant *tenant, unsigned most)
{
    unsigned evicted = 0;

    for (; evicted < most && tenant_is_over(tenant) && tenant->account.evictable > 0 && !tenant->dying;
         evicted++)
        evict(store, coldest(store, tenant), true);
    return evicted;
}

static struct object *object_that_expires(struct expiry_node *node)
{
    return (struct object *)(void *)((char *)node - offsetof(struct object, keep));
}

unsigned store_expire(struct store *store, int64_t now, unsigned most)
{
    unsigned removed = 0, weight = 0;

    while (weight < most && store_next_expiry(store) <= now) {
        struct object *object = object_that_expires(expiry_first(&store->expiry));

        weight += object_weight_of_tags(object);
        count(store, object->tenant, COUNTER_expired);
        doom(store, object);
        removed++;
    }
    return removed;
}

unsigned store_purge(struct store *store, struct tenant *tenant, unsigned most)
{
    unsigned weight = 0;

    while (weight < most && tenant->objects > 0) {
        struct object *object = object_of(tenant->pinned ? tenant->pinned : eviction_any(&tenant->eviction));

        weight += object_weight_of_tags(object);
        doom(store, object);
    }
    return weight < most ? weight : most;
}

int64_t store_next_expiry(const struct store *store)
{
    const struct expiry_node *node = expiry_first(&store->expiry);

    return node ? node->at : INT64_MAX;
}

/* ---- set-up ---- */

/* With the longest key twice (its lease has it too), the most metadata, and what the blocks of the body cost.
 */
static uint64_t at_least_one_object(uint64_t share, uint64_t max_object)
{
    uint64_t one = max_object + max_object / 2048 + 2 * STORE_MAX_KEY + UINT16_MAX + BODY_CHUNK / 4;

    return share > one ? share : one;
}

void store_resize(struct store *store, uint64_t memory_limit, uint64_t max_object)
{
    store->limit_wanted = memory_limit;
    if (memory_limit > store->memory.limit)
        store->memory.limit = memory_limit;
    store->max_object = max_object;
    store->max_held = at_least_one_object(memory_limit / 4 * 3, max_object);
    store->max_held_tenant = at_least_one_object(memory_limit / 2, max_object);
    store->max_held_process = at_least_one_object(memory_limit / 4, max_object);
    store->large = memory_limit / EVICTION_LARGE_PART;
    if (store->large < EVICTION_LARGE_MIN)
        store->large = EVICTION_LARGE_MIN;
}

bool store_is_resizing(const struct store *store)
{
    return store->memory.limit > store->limit_wanted &&
           (store->memory.used <= store->limit_wanted || store->evictable > 0 || store->dying);
}

void store_resize_step(struct store *store, struct tenant *last, unsigned most)
{
    struct memory *memory = &store->memory;

    for (; most > 0 && memory->used > store->limit_wanted; most--) {
        if (store->dying) {
            bury(store, store->dying, 1);
            continue;
        }
        struct object *object = choose(store, last ? &last->account : NULL);
        if (!object)
            break;
        evict(store, object, false);
    }
    if (memory->limit > store->limit_wanted)
        memory->limit = memory->used > store->limit_wanted ? memory->used : store->limit_wanted;
}

int store_setup(struct store *store, uint64_t memory_limit, uint64_t max_object, struct counters *counters)
{
    if (sodium_init() < 0)
        return -EIO;
    memset(store, 0, sizeof(*store));
    store->memory.limit = memory_limit;
    store->memory.make_room = make_room;
    store->memory.context = store;
    store_resize(store, memory_limit, max_object);
    store->chunks_left = STORE_CHUNKS_AT_ONCE;
    store->counters = counters;
    randombytes_buf(store->hash_key, sizeof(store->hash_key));
    randombytes_buf(store->tag_key, sizeof(store->tag_key));
    store->walk_shelf = STORE_SHELVES;
    return 0;
}

void store_teardown(struct store *store)
{
    INVARIANT(store->pins == 0);
    while (expiry_first(&store->expiry)) /* which has everything that is stored */
        doom(store, object_that_expires(expiry_first(&store->expiry)));
    while (store->dying)
        bury(store, store->dying, UINT32_MAX);
    expiry_free(&store->expiry, &store->memory, &store->index);
    tags_free(&store->tags, &store->memory, &store->index);
    INVARIANT(store->memory.used == 0);
}

/* ---- what others keep ---- */

void store_watch(struct store *store, struct store_watch watch)
{
    store->watch = watch;
}

void store_set_kept(struct object *object, bool kept)
{
    if (kept)
        object->order.owner_state |= KEPT;
    else
        object->order.owner_state &= (uint8_t)~KEPT;
}

bool object_is_kept(const struct object *object)
{
    return has_flag(object, KEPT);
}

void store_used(struct object *object)
{
    INVARIANT(state_of(object) == OBJECT_STORED);
    eviction_used(&object->tenant->eviction, &object->order, pins_of(object) == 0, weight_of);
}

/* ---- keys and finding ---- */

/* The tenant's id, then the caller's bytes. Returns the length. */
static uint32_t compose(uint8_t *out, const struct tenant *tenant, const uint8_t *bytes, uint32_t length)
{
    memcpy(out, &tenant->id, sizeof(tenant->id));
    memcpy(out + sizeof(tenant->id), bytes, length);
    return (uint32_t)sizeof(tenant->id) + length;
}

static uint64_t hash_key(const struct store *store, const uint8_t *bytes, uint32_t length)
{
    uint8_t digest[crypto_shorthash_BYTES];
    uint64_t hash;

    crypto_shorthash(digest, bytes, length, store->hash_key);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

void store_key_set(const struct store *store, struct store_key *key, struct tenant *tenant,
                   const uint8_t *bytes, uint32_t length)
{
    INVARIANT(length >= 1 && length <= STORE_MAX_KEY);
    key->tenant = tenant;
    key->length = compose(key->bytes, tenant, bytes, length);
    key->hash = hash_key(store, key->bytes, key->length);
}

void store_short_key_set(const struct store *store, struct store_short_key *key, const struct tenant *tenant,
                         const uint8_t *bytes, uint32_t length)
{
    INVARIANT(length >= 1 && length <= STORE_SHORT_KEY);
    key->length = compose(key->bytes, tenant, bytes, length);
    key->hash = hash_key(store, key->bytes, key->length);
}

void store_key_recall(struct store_key *key, struct tenant *tenant, const struct store_short_key *from)
{
    INVARIANT(from->length <= sizeof(from->bytes));
    key->tenant = tenant;
    key->length = from->length;
    key->hash = from->hash;
    memcpy(key->bytes, from->bytes, from->length);
}

bool store_key_equal(const struct store_key *a, uint64_t hash, const uint8_t *bytes, uint32_t length)
{
    return a->hash == hash && a->length == length && memcmp(a->bytes, bytes, length) == 0;
}

/* As HASH_FIND_BYHASHVALUE(), but the lines of an object are asked for together, not one after the other:
 * among millions of objects none of them is in the processor's caches. */
static struct object *find_in(const struct object *shelf, const uint8_t *key, uint32_t length, unsigned hash)
{
    unsigned bucket;

    if (!shelf)
        return NULL;
    HASH_TO_BKT(hash, shelf->hh.tbl->num_buckets, bucket);
    UT_hash_handle *handle = shelf->hh.tbl->buckets[bucket].hh_head;
    for (; handle; handle = handle->hh_next) {
        struct object *object = ELMT_FROM_HH(shelf->hh.tbl, handle);

        __builtin_prefetch(&object->keep);
        __builtin_prefetch(object->rest);
        if (handle->hashv == hash && handle->keylen == length) {
            __builtin_prefetch(object->order.next);
            __builtin_prefetch(object->order.prev);
            if (memcmp(object->rest, key, length) == 0)
                return object;
        }
    }
    return NULL;
}

/* ---- asking for memory ahead of a look-up ---- */

#define LINE             64u
/* Of metadata, and of the body: what is longer is read in order, which the processor foresees by itself. */
#define LINES_OF_CONTENT 4u

static void prefetch_lines(const void *from, uint64_t length)
{
    const char *at = from;

    for (uint64_t i = 0; i < length && i < LINES_OF_CONTENT * LINE; i += LINE)
        __builtin_prefetch(at + i);
}

/* Up to the key. */
static void prefetch_entry(const struct UT_hash_table *table, const UT_hash_handle *handle)
{
    const struct object *object = (const struct object *)(const void *)((const char *)handle - table->hho);

    __builtin_prefetch(object);
    __builtin_prefetch(&object->keep);
    __builtin_prefetch(object->rest);
}

static void prefetch_content(const struct object *object)
{
    uint32_t length;
    const uint8_t *meta = object_meta(object, &length);

    __builtin_prefetch(object->order.next, 1);
    __builtin_prefetch(object->order.prev, 1);
    prefetch_lines(object->rest, object->hh.keylen);
    prefetch_lines(meta, length);
    if (object->body.table_size == 0)
        prefetch_lines(object->body.single, object->body.size);
}

void store_prefetch(const struct store *store, uint64_t hash, enum store_stage stage)
{
    const struct object *shelf = store->shelves[hash >> 56];
    unsigned bucket;

    if (!shelf)
        return;
    const UT_hash_table *table = shelf->hh.tbl;
    HASH_TO_BKT((unsigned)hash, table->num_buckets, bucket);
    if (stage == STORE_STAGE_BUCKET) {
        __builtin_prefetch(&table->buckets[bucket]);
        return;
    }
    const UT_hash_handle *handle = table->buckets[bucket].hh_head;
    if (stage == STORE_STAGE_FIRST) {
        if (handle)
            prefetch_entry(table, handle);
        return;
    }
    if (stage == STORE_STAGE_SECOND) {
        if (handle && handle->hashv != (unsigned)hash && handle->hh_next)
            prefetch_entry(table, handle->hh_next);
        return;
    }
    while (handle && handle->hashv != (unsigned)hash)
        handle = handle->hh_next;
    if (handle)
        prefetch_content((const struct object *)(const void *)((const char *)handle - table->hho));
}

static struct object *find(struct store *store, const struct store_key *key)
{
    return find_in(*shelf_of(store, key->hash), key->bytes, key->length, (unsigned)key->hash);
}

struct object *store_find(struct store *store, const struct store_key *key, int64_t now)
{
    struct object *object = find(store, key);

    if (!object)
        return NULL;
    if (object->keep.at <= now) {
        count(store, object->tenant, COUNTER_expired);
        doom(store, object);
        return NULL;
    }
    if (store_visit(store, object) == PURGES_GONE)
        return NULL;
    store_used(object);
    return object;
}

bool store_remove(struct store *store, const struct store_key *key)
{
    struct object *object = find(store, key);

    if (!object)
        return false;
    doom(store, object);
    return true;
}

void store_hold(struct store *store, struct tenant *tenant, uint64_t bytes)
{
    shares_hold(&store->memory.shares, &tenant->account, bytes);
}

void store_let_go(struct store *store, struct tenant *tenant, uint64_t bytes)
{
    shares_let_go(&store->memory.shares, &tenant->account, bytes);
}

bool store_may_hold(const struct store *store, const struct tenant *tenant, uint64_t bytes)
{
    const struct shares *shares = &store->memory.shares;
    const struct account *account = &tenant->account;

    if (account->held > store->max_held_tenant || bytes > store->max_held_tenant - account->held ||
        shares->held > store->max_held || bytes > store->max_held - shares->held)
        return false;
    /* What is reserved for others has to be there when they want it. What is within its own reserve takes
     * nothing from them. */
    uint64_t over = shares_over_with(shares, account, bytes);
    return shares->reserves == 0 || over == shares->held_over ||
           over <= store->memory.limit - shares->reserves;
}

void store_pin(struct store *store, struct object *object)
{
    if (object->order.owner_pins++ == 0 && state_of(object) == OBJECT_STORED) {
        leave_queue(store, object);
        DL_APPEND(object->tenant->pinned, &object->order);
        store_hold(store, object->tenant, object_charge(object)); /* what is being filled is held already */
    }
    object->tenant->pins++;
    store->pins++;
}

void store_unpin(struct store *store, struct object **pointer)
{
    struct object *object = *pointer;

    *pointer = NULL;
    INVARIANT(pins_of(object) > 0);
    object->order.owner_pins--;
    object->tenant->pins--;
    store->pins--;
    if (pins_of(object) > 0 || state_of(object) == OBJECT_FILLING)
        return;
    store_let_go(store, object->tenant, object_charge(object));
    if (state_of(object) == OBJECT_DOOMED) {
        dispose(store, object);
    } else {
        DL_DELETE(object->tenant->pinned, &object->order);
        join_queue(store, object);
    }
}

/* ---- filling ---- */

/* Of the block of such an object. */
static uint64_t block_size(const struct store_key *key, uint32_t meta_length, uint64_t expected)
{
    uint64_t size = offsetof(struct object, rest) + key->length;

    size += meta_length > META_ROOM_MIN ? meta_length : META_ROOM_MIN;
    return expected <= STORE_MAX_INLINE ? size + expected : size;
}

static struct object *create_object(struct store *store, const struct store_key *key, const uint8_t *meta,
                                    uint32_t meta_length, uint64_t expected)
{
    uint64_t size = block_size(key, meta_length, expected);
    struct object *object = memory_alloc(&store->memory, &key->tenant->account, size);

    if (!object)
        return NULL;
    memset(object, 0, sizeof(*object));
    memcpy(object->rest, key->bytes, key->length);
    object->hh.keylen = key->length;
    object->hh.hashv = (unsigned)key->hash;
    object->order.owner_shelf = (uint8_t)(key->hash >> 56);
    object->tenant = key->tenant;
    object->announced = expected;
    object->keep.index = EXPIRY_NOT_IN;
    object->meta_length = (uint16_t)meta_length;
    if (meta_length > 0)
        memcpy(meta_room(object), meta, meta_length);
    if (expected <= STORE_MAX_INLINE)
        body_lend(&object->body, (uint8_t *)object + size - expected);
    return object;
}

/* Its own objects would be evicted in vain. */
static bool is_above_limit(const struct tenant *tenant, uint64_t expected)
{
    return tenant->account.limit > 0 && expected >= tenant->account.limit;
}

enum store_result store_fill_begin(struct store *store, struct object **out, const struct store_key *key,
                                   const uint8_t *meta, uint32_t meta_length, uint64_t expected,
                                   int64_t fresh_until, int64_t keep_until)
{
    INVARIANT(meta_length <= UINT16_MAX);
    *out = NULL;
    if (expected != BODY_SIZE_UNKNOWN &&
        (expected > store->max_object || is_above_limit(key->tenant, expected)))
        return STORE_TOO_LARGE;
    if (!store_may_hold(store, key->tenant, block_size(key, meta_length, expected)))
        return STORE_NO_MEMORY;
    struct object *object = create_object(store, key, meta, meta_length, expected);
    if (!object)
        return STORE_NO_MEMORY;
    set_stamp(object, key->tenant->purges.clock);
    set_fresh_until(object, fresh_until);
    object->keep.at = keep_until;
    store_hold(store, object->tenant, object_charge(object));
    *out = object;
    return STORE_OK;
}

enum store_result store_fill_append(struct store *store, struct object *object, const uint8_t *bytes,
                                    uint64_t length)
{
    INVARIANT(state_of(object) == OBJECT_FILLING);
    if (object->announced != BODY_SIZE_UNKNOWN && length > object->announced - object->body.size)
        return STORE_MISMATCH;
    if (length > store->max_object - object->body.size)
        return STORE_TOO_LARGE;
    if (!object->body.lent && !store_may_hold(store, object->tenant, length))
        return STORE_NO_MEMORY;

    uint64_t before = object->body.charge;
    bool all = body_append(&object->body, &store->memory, &object->tenant->account, object->announced, bytes,
                           length);
    store_hold(store, object->tenant, object->body.charge - before);
    return all ? STORE_OK : STORE_NO_MEMORY;
}

void store_fill_discard(struct store *store, struct object **pointer)
{
    struct object *object = *pointer;

    *pointer = NULL;
    INVARIANT(state_of(object) == OBJECT_FILLING);
    set_state(object, OBJECT_DOOMED);
    unlink_tags(store, object);
    if (pins_of(object) > 0)
        return;
    store_let_go(store, object->tenant, object_charge(object));
    dispose(store, object);
}

/* False: less has arrived than was announced. */
static bool finish(struct store *store, struct object *object)
{
    if (object->announced != BODY_SIZE_UNKNOWN && object->body.size != object->announced)
        return false;
    store_let_go(store, object->tenant, object->body.charge);
    body_finish(&object->body, &store->memory, &object->tenant->account);
    store_hold(store, object->tenant, object->body.charge);
    object->announced = 0;
    object->order.owner_state |= WHOLE;
    return true;
}

void store_fill_cut_short(struct object *object)
{
    INVARIANT(state_of(object) == OBJECT_FILLING);
    object->announced = object->body.size;
}

/* The most that linking can make the index grow by: uthash doubles a table at a time. */
static uint64_t index_growth(struct store *store, const struct object *object)
{
    const struct object *first = *own_shelf(store, object);
    uint64_t bytes = expiry_growth(&store->expiry);

    if (!first)
        return bytes + sizeof(UT_hash_table) + HASH_INITIAL_NUM_BUCKETS * sizeof(UT_hash_bucket) + 64;
    return bytes + 2 * (uint64_t)first->hh.tbl->num_buckets * sizeof(UT_hash_bucket) + 64;
}

/* Before anything is changed, because it may evict. */
static bool prepare_link(struct store *store, struct object *object)
{
    struct tenant *tenant = object->tenant;

    tenant->eviction.large = store->large;
    eviction_prepare(&tenant->eviction, &store->memory, &tenant->account, object_charge(object));
    return memory_room(&store->memory, &tenant->account, index_growth(store, object), STORE_INDEX_SHARE);
}

/* FILLING to STORED. False: no memory for the index. */
static bool link_object(struct store *store, struct object *object)
{
    struct object **shelf = own_shelf(store, object);
    struct tenant *tenant = object->tenant;
    unsigned hash = object->hh.hashv, length = object->hh.keylen;

    if (!expiry_add(&store->expiry, &store->memory, &store->index, &object->keep))
        return false;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, *shelf, object->rest, length, hash, object);
    if (!object->hh.tbl) {
        expiry_remove(&store->expiry, &object->keep);
        return false;
    }
    if (pins_of(object) == 0)
        store_let_go(store, tenant, object_charge(object));
    else
        store_hold(store, tenant, STORE_INDEX_SHARE);
    tenant->account.used += STORE_INDEX_SHARE;
    shares_moved(&store->memory.shares, &tenant->account);
    set_state(object, OBJECT_STORED);
    set_stamp(object, tenant->purges.clock); /* who commits has seen to it that no purge hits it */
    tenant->objects++;
    store->objects++;
    if (pins_of(object) == 0)
        join_queue(store, object);
    else
        DL_APPEND(tenant->pinned, &object->order);
    return true;
}

static void doom_older(struct store *store, const struct object *newer)
{
    struct object *older = find_in(*own_shelf(store, newer), newer->rest, newer->hh.keylen, newer->hh.hashv);

    if (older)
        doom(store, older);
}

enum store_result store_fill_commit(struct store *store, struct object **pointer)
{
    struct object *object = *pointer;

    if (!finish(store, object)) {
        store_fill_discard(store, pointer);
        return STORE_MISMATCH;
    }
    bool room = prepare_link(store, object);
    doom_older(store, object);
    if (!room || !link_object(store, object)) {
        forget_if_empty(store, object->tenant);
        store_fill_discard(store, pointer);
        return STORE_NO_MEMORY;
    }
    *pointer = NULL;
    return STORE_OK;
}

enum store_result store_fill_conclude(struct store *store, struct object **pointer)
{
    enum store_result result = finish(store, *pointer) ? STORE_CANCELLED : STORE_MISMATCH;

    store_fill_discard(store, pointer);
    return result;
}

static uint64_t more_than(uint64_t bytes, uint64_t before)
{
    return bytes > before ? bytes - before : 0;
}

/* NULL: no memory. */
static uint8_t *copy_meta(struct store *store, struct tenant *tenant, const uint8_t *meta, uint32_t length)
{
    uint8_t *copy = memory_alloc(&store->memory, &tenant->account, length);

    if (copy)
        memcpy(copy, meta, length);
    return copy;
}

/* In its place if it has the same length there, otherwise in a block of its own. */
static bool replace_meta(struct store *store, struct object *object, const uint8_t *meta, uint32_t length)
{
    uint8_t *apart = NULL;

    if (length > META_ROOM_MIN && (has_flag(object, META_APART) || length != object->meta_length)) {
        apart = copy_meta(store, object->tenant, meta, length);
        if (!apart)
            return false;
    }
    memory_free(&store->memory, &object->tenant->account, meta_apart(object));
    object->order.owner_state &= (uint8_t)~META_APART;
    object->meta_length = (uint16_t)length;
    if (apart)
        set_meta_apart(object, apart);
    else if (length > 0)
        memcpy(meta_room(object), meta, length);
    return true;
}

enum store_result store_update(struct store *store, struct object *object, const uint8_t *meta,
                               uint32_t meta_length, int64_t fresh_until, int64_t keep_until)
{
    INVARIANT(pins_of(object) > 0 && meta_length <= UINT16_MAX);
    if (state_of(object) != OBJECT_STORED)
        return STORE_MISMATCH;
    if (!store_may_hold(store, object->tenant, more_than(meta_length, object->meta_length)))
        return STORE_NO_MEMORY;
    uint64_t before = object_charge(object);
    bool replaced = replace_meta(store, object, meta, meta_length);
    store_let_go(store, object->tenant, before);
    store_hold(store, object->tenant, object_charge(object));
    if (!replaced)
        return STORE_NO_MEMORY;
    set_fresh_until(object, fresh_until);
    object->keep.at = keep_until;
    expiry_moved(&store->expiry, &object->keep);
    tell(store, object);
    return STORE_OK;
}

/* ---- tags and purges ---- */

uint64_t store_tag(const struct store *store, const struct tenant *tenant, const uint8_t *text,
                   uint32_t length)
{
    uint8_t bytes[sizeof(tenant->id) + TAGS_MAX_BYTES], digest[crypto_shorthash_BYTES];
    uint64_t tag;

    INVARIANT(length <= TAGS_MAX_BYTES);
    memcpy(bytes, &tenant->id, sizeof(tenant->id));
    memcpy(bytes + sizeof(tenant->id), text, length);
    crypto_shorthash(digest, bytes, sizeof(tenant->id) + length, store->tag_key);
    memcpy(&tag, digest, sizeof(tag));
    return tag;
}

bool store_key_part(const struct store *store, const struct store_key *key, uint64_t *tag)
{
    const uint8_t *start = key->bytes + sizeof(key->tenant->id);
    const uint8_t *end = memchr(start, STORE_PART, key->length - sizeof(key->tenant->id));
    uint8_t digest[crypto_shorthash_BYTES];

    if (!end)
        return false;
    crypto_shorthash(digest, key->bytes, (unsigned long long)(end - key->bytes), store->hash_key);
    memcpy(tag, digest, sizeof(*tag));
    return true;
}

/* False: no memory, and the tags are those that it had. */
static bool replace_tags(struct store *store, struct object *object, const struct tag_list *list)
{
    struct account *account = &object->tenant->account;
    struct tag_set *set = NULL;

    if (list->count > 0) {
        set = memory_alloc(&store->memory, account, tag_set_bytes(list->count));
        if (!set)
            return false;
        if (!store_index_room(store, object->tenant, tags_growth(&store->tags, list))) {
            memory_free(&store->memory, account, set);
            return false;
        }
    }
    unlink_tags(store, object);
    memory_free(&store->memory, account, object->tags);
    object->tags = set;
    if (!set || tags_link(&store->tags, &store->memory, &store->index, set, list, object))
        return true;
    memory_free(&store->memory, account, set);
    object->tags = NULL;
    return false;
}

enum store_result store_set_tags(struct store *store, struct object *object, const struct tag_list *list)
{
    INVARIANT(object_is_held(object) && state_of(object) != OBJECT_DOOMED);
    if (!store_may_hold(store, object->tenant, tag_set_bytes(list->count)))
        return STORE_NO_MEMORY;
    uint64_t before = object_charge(object);
    bool replaced = replace_tags(store, object, list);
    store_let_go(store, object->tenant, before);
    store_hold(store, object->tenant, object_charge(object));
    return replaced ? STORE_OK : STORE_NO_MEMORY;
}

void store_set_lasting(struct object *object)
{
    object->order.owner_state |= LASTING;
}

void store_validated(struct object *object)
{
    object->order.owner_state &= (uint8_t)~LAPSED;
}

void store_doom(struct store *store, struct object *object)
{
    count(store, object->tenant, COUNTER_purged);
    doom(store, object);
}

bool store_lapse(struct store *store, struct object *object, int64_t at)
{
    INVARIANT(state_of(object) == OBJECT_STORED);
    if (has_flag(object, LASTING))
        return false;
    object->order.owner_state |= LAPSED;
    if (object->fresh_until > at)
        set_fresh_until(object, at);
    tell(store, object);
    count(store, object->tenant, COUNTER_purged);
    return true;
}

enum purges_verdict store_judge(const struct object *object, int64_t *at)
{
    const struct purges *purges = &object->tenant->purges;
    uint32_t id = sizeof(object->tenant->id);

    if (purges->count == 0)
        return PURGES_SPARED;
    return purges_judge(purges, object->rest + id, object->hh.keylen - id, object->tags, stamp_of(object),
                        at);
}

enum purges_verdict store_visit(struct store *store, struct object *object)
{
    int64_t at = 0;
    enum purges_verdict verdict = store_judge(object, &at);

    return store_settle(store, object, verdict, at);
}

enum purges_verdict store_settle(struct store *store, struct object *object, enum purges_verdict verdict,
                                 int64_t at)
{
    INVARIANT(state_of(object) == OBJECT_STORED);
    set_stamp(object, object->tenant->purges.clock);
    if (verdict == PURGES_GONE)
        store_doom(store, object);
    else if (verdict == PURGES_STALE && !store_lapse(store, object, at))
        verdict = PURGES_SPARED;
    return verdict;
}

struct object *store_peek(struct store *store, const struct store_key *key)
{
    return find(store, key);
}

/* ---- walking ---- */

void store_walk_begin(struct store *store)
{
    store->walk_shelf = 0;
    store->walk_next = NULL;
}

/* uthash keeps what is in a table in the order in which it came. */
struct object *store_walk(struct store *store)
{
    while (!store->walk_next && store->walk_shelf < STORE_SHELVES)
        store->walk_next = store->shelves[store->walk_shelf++];
    struct object *object = store->walk_next;
    if (object)
        store->walk_next = object->hh.next;
    return object;
}

bool store_walk_is_over(const struct store *store)
{
    return !store->walk_next && store->walk_shelf == STORE_SHELVES;
}

/* ---- accessors ---- */

const uint8_t *object_meta(const struct object *object, uint32_t *length)
{
    *length = object->meta_length;
    return has_flag(object, META_APART) ? meta_apart(object) : meta_room(object);
}

uint64_t object_size(const struct object *object)
{
    return object->body.size;
}

uint64_t object_expected(const struct object *object)
{
    return has_flag(object, WHOLE) ? object->body.size : object->announced;
}

uint64_t object_charge(const struct object *object)
{
    return memory_charge((void *)(uintptr_t)object) + memory_charge(meta_apart(object)) +
           memory_charge(object->tags) + object->body.charge +
           (state_of(object) == OBJECT_STORED ? STORE_INDEX_SHARE : 0);
}

bool object_is_held(const struct object *object)
{
    return pins_of(object) > 0 || state_of(object) == OBJECT_FILLING;
}

bool object_has_key(const struct object *object, uint64_t hash, const uint8_t *bytes, uint32_t length)
{
    return object->order.owner_shelf == hash >> 56 && object->hh.hashv == (unsigned)hash &&
           object->hh.keylen == length && memcmp(object->rest, bytes, length) == 0;
}

bool object_is_stored(const struct object *object)
{
    return state_of(object) == OBJECT_STORED;
}

bool object_is_lapsed(const struct object *object)
{
    return has_flag(object, LAPSED);
}

void object_key(const struct store *store, const struct object *object, struct store_key *key)
{
    uint32_t id = sizeof(object->tenant->id);

    store_key_set(store, key, object->tenant, object->rest + id, object->hh.keylen - id);
}

bool object_key_begins(const struct object *object, const uint8_t *bytes, uint32_t length)
{
    uint32_t id = sizeof(object->tenant->id);

    return object->hh.keylen - id >= length && memcmp(object->rest + id, bytes, length) == 0;
}

unsigned object_weight_of_tags(const struct object *object)
{
    return object->tags ? 1 + object->tags->count / 8 : 1;
}

struct tenant *object_tenant(const struct object *object)
{
    return object->tenant;
}

const struct tag_set *object_tags(const struct object *object)
{
    return object->tags;
}

const struct eviction_node *object_order(const struct object *object)
{
    return &object->order;
}

int64_t object_keep_until(const struct object *object)
{
    return object->keep.at;
}

uint32_t object_pins(const struct object *object)
{
    return pins_of(object);
}

int64_t object_fresh_until(const struct object *object)
{
    return object->fresh_until;
}

void object_read(const struct object *object, uint64_t offset, uint8_t *out, uint64_t length)
{
    body_read(&object->body, offset, out, length);
}
