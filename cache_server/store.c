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

enum object_state { OBJECT_FILLING, OBJECT_STORED, OBJECT_DOOMED };

static uint32_t at_most(uint32_t number, uint32_t most)
{
    return number < most ? number : most;
}

struct object {
    UT_hash_handle hh;
    struct object *prev, *next;                     /* LRU, or those that are dying */
    struct object *prev_of_tenant, *next_of_tenant; /* while it is STORED */
    struct tenant *tenant;
    uint8_t *meta;
    struct tag_set *tags; /* NULL: none */
    uint64_t stamp;       /* of its tenant's purges: none up to then hits it */
    struct body body;
    uint64_t expected;
    int64_t fresh_until;
    struct expiry_node keep;
    uint64_t hash;
    uint32_t overhead; /* charge of entry, metadata and tags */
    uint32_t pins;
    uint32_t key_length;
    uint16_t meta_length;
    uint8_t state;
    bool lasting;  /* soft purges spare it */
    bool lapsed;   /* a soft purge has hit it, and it has not been validated since */
    uint8_t key[]; /* tenant id, then the key */
};

static struct object **shelf_of(struct store *store, uint64_t hash)
{
    return &store->shelves[hash >> 56];
}

/* ---- taking objects away ---- */

static void free_object(struct store *store, struct object *object)
{
    struct account *account = &object->tenant->account;

    INVARIANT(object->pins == 0);
    store->chunks_left -= at_most(object->body.chunks, store->chunks_left);
    body_free(&object->body, &store->memory, account);
    memory_free(&store->memory, account, object->meta);
    memory_free(&store->memory, account, object->tags);
    memory_free(&store->memory, account, object);
}

/* No purge finds it any more. The block stays, and is charged, until the object goes. */
static void unlink_tags(struct store *store, struct object *object)
{
    purges_set_goes(&object->tenant->purges, object->tags);
    tags_unlink(&store->tags, object->tags);
}

/* Nobody has it any more. Freeing hundreds of megabytes at once takes tens of milliseconds. */
static void dispose(struct store *store, struct object *object)
{
    if (object->body.chunks <= store->chunks_left) {
        free_object(store, object);
        return;
    }
    DL_APPEND(store->dying, object);
    store->dying_bytes += object_charge(object);
}

/* Some chunks of the one that has been dying longest. */
static void bury(struct store *store, uint32_t most)
{
    struct object *object = store->dying;
    uint64_t before = object_charge(object);

    uint32_t freed = body_free_some(&object->body, &store->memory, &object->tenant->account, most);
    store->chunks_left -= at_most(freed, store->chunks_left);
    store->dying_bytes -= before - object_charge(object);
    if (object->body.chunks > 0)
        return;
    DL_DELETE(store->dying, object);
    store->dying_bytes -= object_charge(object);
    free_object(store, object);
}

void store_tidy(struct store *store)
{
    store->chunks_left = STORE_CHUNKS_AT_ONCE;
    while (store->dying && store->chunks_left > 0)
        bury(store, store->chunks_left);
}

bool store_is_tidy(const struct store *store)
{
    return !store->dying;
}

/* The list holds what is stored and not being read: what evicting would free at once. */
static void join_lru(struct store *store, struct object *object)
{
    DL_APPEND(store->lru, object);
    store->evictable += object_charge(object);
}

static void leave_lru(struct store *store, struct object *object)
{
    DL_DELETE(store->lru, object);
    store->evictable -= object_charge(object);
}

/* STORED to DOOMED, and gone if nobody reads it. */
static void doom(struct store *store, struct object *object)
{
    struct object **shelf = shelf_of(store, object->hash);

    INVARIANT(object->state == OBJECT_STORED);
    HASH_DELETE(hh, *shelf, object);
    if (object->pins == 0)
        leave_lru(store, object);
    expiry_remove(&store->expiry, &object->keep);
    object->state = OBJECT_DOOMED;
    unlink_tags(store, object);
    purges_object_goes(&object->tenant->purges, object, object->next_of_tenant);
    DL_DELETE2(object->tenant->stored, object, prev_of_tenant, next_of_tenant);
    object->tenant->objects--;
    store->objects--;
    if (object->pins == 0)
        dispose(store, object);
}

static void count(struct store *store, struct tenant *tenant, enum counter counter)
{
    store->counters->values[counter]++;
    tenant->counters.values[counter]++;
}

static bool evict_until_room(void *context, uint64_t bytes)
{
    struct store *store = context;
    struct memory *memory = &store->memory;

    /* What cannot be done is refused before anything is lost for it: fills, pinned objects and index stay. */
    if (bytes > memory->limit || memory->used - store->evictable - store->dying_bytes > memory->limit - bytes)
        return false;
    while (memory->used + bytes > memory->limit) {
        if (store->dying) {
            bury(store, 1);
            continue;
        }
        count(store, store->lru->tenant, COUNTER_evictions);
        doom(store, store->lru);
    }
    return true;
}

unsigned store_expire(struct store *store, int64_t now, unsigned most)
{
    unsigned removed = 0;

    while (removed < most && store_next_expiry(store) <= now) {
        struct expiry_node *node = expiry_first(&store->expiry);
        struct object *object = (struct object *)(void *)((char *)node - offsetof(struct object, keep));

        count(store, object->tenant, COUNTER_expired);
        doom(store, object);
        removed++;
    }
    return removed;
}

unsigned store_purge(struct store *store, struct tenant *tenant, unsigned most)
{
    unsigned removed = 0;

    for (; removed < most && tenant->stored; removed++)
        doom(store, tenant->stored);
    return removed;
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

int store_setup(struct store *store, uint64_t memory_limit, uint64_t max_object, struct counters *counters)
{
    if (sodium_init() < 0)
        return -EIO;
    memset(store, 0, sizeof(*store));
    store->memory.limit = memory_limit;
    store->memory.make_room = evict_until_room;
    store->memory.context = store;
    store->max_object = max_object;
    store->max_held = at_least_one_object(memory_limit / 4 * 3, max_object);
    store->max_held_tenant = at_least_one_object(memory_limit / 2, max_object);
    store->max_held_process = at_least_one_object(memory_limit / 4, max_object);
    store->chunks_left = STORE_CHUNKS_AT_ONCE;
    store->counters = counters;
    randombytes_buf(store->hash_key, sizeof(store->hash_key));
    randombytes_buf(store->tag_key, sizeof(store->tag_key));
    return 0;
}

void store_teardown(struct store *store)
{
    INVARIANT(store->pins == 0);
    while (store->lru)
        doom(store, store->lru);
    while (store->dying)
        bury(store, UINT32_MAX);
    expiry_free(&store->expiry, &store->memory, &store->index);
    tags_free(&store->tags, &store->memory, &store->index);
    INVARIANT(store->memory.used == 0);
}

/* ---- keys and finding ---- */

void store_key_set(const struct store *store, struct store_key *key, struct tenant *tenant,
                   const uint8_t *bytes, uint32_t length)
{
    uint8_t digest[crypto_shorthash_BYTES];

    INVARIANT(length >= 1 && length <= STORE_MAX_KEY);
    key->tenant = tenant;
    key->length = (uint32_t)sizeof(tenant->id) + length;
    memcpy(key->bytes, &tenant->id, sizeof(tenant->id));
    memcpy(key->bytes + sizeof(tenant->id), bytes, length);
    crypto_shorthash(digest, key->bytes, key->length, store->hash_key);
    memcpy(&key->hash, digest, sizeof(key->hash));
}

bool store_key_equal(const struct store_key *a, uint64_t hash, const uint8_t *bytes, uint32_t length)
{
    return a->hash == hash && a->length == length && memcmp(a->bytes, bytes, length) == 0;
}

static struct object *find(struct store *store, const struct store_key *key)
{
    struct object *object;

    HASH_FIND_BYHASHVALUE(hh, *shelf_of(store, key->hash), key->bytes, key->length, (unsigned)key->hash,
                          object);
    return object;
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
    if (object->pins == 0) {
        DL_DELETE(store->lru, object);
        DL_APPEND(store->lru, object);
    }
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
    tenant->held += bytes;
    store->held += bytes;
}

void store_let_go(struct store *store, struct tenant *tenant, uint64_t bytes)
{
    tenant->held -= bytes;
    store->held -= bytes;
}

bool store_may_hold(const struct store *store, const struct tenant *tenant, uint64_t bytes)
{
    return tenant->held <= store->max_held_tenant && bytes <= store->max_held_tenant - tenant->held &&
           store->held <= store->max_held && bytes <= store->max_held - store->held;
}

void store_pin(struct store *store, struct object *object)
{
    if (object->pins++ == 0 && object->state == OBJECT_STORED) {
        leave_lru(store, object);
        store_hold(store, object->tenant, object_charge(object)); /* what is being filled is held already */
    }
    object->tenant->pins++;
    store->pins++;
}

void store_unpin(struct store *store, struct object **pointer)
{
    struct object *object = *pointer;

    *pointer = NULL;
    INVARIANT(object->pins > 0);
    object->pins--;
    object->tenant->pins--;
    store->pins--;
    if (object->pins > 0 || object->state == OBJECT_FILLING)
        return;
    store_let_go(store, object->tenant, object_charge(object));
    if (object->state == OBJECT_DOOMED)
        dispose(store, object);
    else
        join_lru(store, object);
}

/* ---- filling ---- */

static struct object *create_object(struct store *store, const struct store_key *key)
{
    struct object *object =
        memory_alloc(&store->memory, &key->tenant->account, sizeof(*object) + key->length);

    if (!object)
        return NULL;
    memset(object, 0, sizeof(*object));
    memcpy(object->key, key->bytes, key->length);
    object->key_length = key->length;
    object->hash = key->hash;
    object->tenant = key->tenant;
    object->state = OBJECT_FILLING;
    object->keep.index = EXPIRY_NOT_IN;
    return object;
}

static bool copy_meta(struct store *store, struct tenant *tenant, const uint8_t *meta, uint32_t length,
                      uint8_t **out)
{
    *out = NULL;
    if (length == 0)
        return true;
    *out = memory_alloc(&store->memory, &tenant->account, length);
    if (!*out)
        return false;
    memcpy(*out, meta, length);
    return true;
}

static void count_overhead(struct object *object)
{
    object->overhead =
        (uint32_t)(memory_charge(object) + memory_charge(object->meta) + memory_charge(object->tags));
}

enum store_result store_fill_begin(struct store *store, struct object **out, const struct store_key *key,
                                   const uint8_t *meta, uint32_t meta_length, uint64_t expected,
                                   int64_t fresh_until, int64_t keep_until)
{
    INVARIANT(meta_length <= UINT16_MAX);
    *out = NULL;
    if (expected != BODY_SIZE_UNKNOWN && expected > store->max_object)
        return STORE_TOO_LARGE;
    if (!store_may_hold(store, key->tenant, sizeof(struct object) + key->length + meta_length))
        return STORE_NO_MEMORY;
    struct object *object = create_object(store, key);
    if (!object)
        return STORE_NO_MEMORY;
    if (!copy_meta(store, key->tenant, meta, meta_length, &object->meta)) {
        free_object(store, object);
        return STORE_NO_MEMORY;
    }
    object->meta_length = (uint16_t)meta_length;
    object->expected = expected;
    object->stamp = key->tenant->purges.clock;
    object->fresh_until = fresh_until;
    object->keep.at = keep_until;
    count_overhead(object);
    store_hold(store, object->tenant, object_charge(object));
    *out = object;
    return STORE_OK;
}

enum store_result store_fill_append(struct store *store, struct object *object, const uint8_t *bytes,
                                    uint64_t length)
{
    INVARIANT(object->state == OBJECT_FILLING);
    if (object->expected != BODY_SIZE_UNKNOWN && length > object->expected - object->body.size)
        return STORE_MISMATCH;
    if (length > store->max_object - object->body.size)
        return STORE_TOO_LARGE;
    if (!store_may_hold(store, object->tenant, length))
        return STORE_NO_MEMORY;

    uint64_t before = object->body.charge;
    bool all =
        body_append(&object->body, &store->memory, &object->tenant->account, object->expected, bytes, length);
    store_hold(store, object->tenant, object->body.charge - before);
    return all ? STORE_OK : STORE_NO_MEMORY;
}

void store_fill_discard(struct store *store, struct object **pointer)
{
    struct object *object = *pointer;

    *pointer = NULL;
    INVARIANT(object->state == OBJECT_FILLING);
    object->state = OBJECT_DOOMED;
    unlink_tags(store, object);
    if (object->pins > 0)
        return;
    store_let_go(store, object->tenant, object_charge(object));
    dispose(store, object);
}

/* False: less has arrived than was announced. */
static bool finish(struct store *store, struct object *object)
{
    if (object->expected != BODY_SIZE_UNKNOWN && object->body.size != object->expected)
        return false;
    store_let_go(store, object->tenant, object->body.charge);
    body_finish(&object->body, &store->memory, &object->tenant->account);
    store_hold(store, object->tenant, object->body.charge);
    object->expected = object->body.size;
    return true;
}

/* FILLING to STORED. False: no memory for the index. */
static bool link_object(struct store *store, struct object *object)
{
    struct object **shelf = shelf_of(store, object->hash);

    if (!expiry_add(&store->expiry, &store->memory, &store->index, &object->keep))
        return false;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, *shelf, object->key, object->key_length, (unsigned)object->hash, object);
    if (!object->hh.tbl) {
        expiry_remove(&store->expiry, &object->keep);
        return false;
    }
    object->state = OBJECT_STORED;
    object->stamp = object->tenant->purges.clock; /* who commits has seen to it that no purge hits it */
    if (object->pins == 0)
        join_lru(store, object);
    DL_APPEND2(object->tenant->stored, object, prev_of_tenant, next_of_tenant);
    object->tenant->objects++;
    store->objects++;
    return true;
}

static void doom_older(struct store *store, const struct object *newer)
{
    struct object *older;

    HASH_FIND_BYHASHVALUE(hh, *shelf_of(store, newer->hash), newer->key, newer->key_length,
                          (unsigned)newer->hash, older);
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
    doom_older(store, object);
    if (!link_object(store, object)) {
        store_fill_discard(store, pointer);
        return STORE_NO_MEMORY;
    }
    if (object->pins == 0)
        store_let_go(store, object->tenant, object_charge(object));
    *pointer = NULL;
    memory_settle(&store->memory);
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

enum store_result store_update(struct store *store, struct object *object, const uint8_t *meta,
                               uint32_t meta_length, int64_t fresh_until, int64_t keep_until)
{
    uint8_t *copy;

    INVARIANT(object->pins > 0 && meta_length <= UINT16_MAX);
    if (object->state != OBJECT_STORED)
        return STORE_MISMATCH;
    if (!store_may_hold(store, object->tenant, more_than(meta_length, object->meta_length)) ||
        !copy_meta(store, object->tenant, meta, meta_length, &copy))
        return STORE_NO_MEMORY;
    store_let_go(store, object->tenant, object_charge(object));
    memory_free(&store->memory, &object->tenant->account, object->meta);
    object->meta = copy;
    count_overhead(object);
    store_hold(store, object->tenant, object_charge(object));
    object->meta_length = (uint16_t)meta_length;
    object->fresh_until = fresh_until;
    object->keep.at = keep_until;
    expiry_moved(&store->expiry, &object->keep);
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

/* Its charge must not be counted anywhere meanwhile. */
static enum store_result set_tags(struct store *store, struct object *object, const struct tag_list *list)
{
    struct account *account = &object->tenant->account;
    struct tag_set *set = NULL;

    if (list->count > 0)
        set = memory_alloc(&store->memory, account, tag_set_bytes(list->count));
    if (list->count > 0 && !set)
        return STORE_NO_MEMORY;
    unlink_tags(store, object);
    memory_free(&store->memory, account, object->tags);
    object->tags = NULL;
    if (set && !tags_link(&store->tags, &store->memory, &store->index, set, list, object)) {
        memory_free(&store->memory, account, set);
        set = NULL;
    }
    object->tags = set;
    memory_settle(&store->memory); /* it is held: it stays */
    return list->count > 0 && !set ? STORE_NO_MEMORY : STORE_OK;
}

enum store_result store_set_tags(struct store *store, struct object *object, const struct tag_list *list)
{
    INVARIANT(object_is_held(object) && object->state != OBJECT_DOOMED);
    if (!store_may_hold(store, object->tenant, tag_set_bytes(list->count)))
        return STORE_NO_MEMORY;
    store_let_go(store, object->tenant, object_charge(object));
    enum store_result result = set_tags(store, object, list);
    count_overhead(object);
    store_hold(store, object->tenant, object_charge(object));
    return result;
}

void store_set_lasting(struct object *object)
{
    object->lasting = true;
}

void store_validated(struct object *object)
{
    object->lapsed = false;
}

void store_doom(struct store *store, struct object *object)
{
    count(store, object->tenant, COUNTER_purged);
    doom(store, object);
}

bool store_lapse(struct store *store, struct object *object, int64_t at)
{
    INVARIANT(object->state == OBJECT_STORED);
    if (object->lasting)
        return false;
    object->lapsed = true;
    if (object->fresh_until > at)
        object->fresh_until = at;
    count(store, object->tenant, COUNTER_purged);
    return true;
}

enum purges_verdict store_judge(const struct object *object, int64_t *at)
{
    const struct purges *purges = &object->tenant->purges;
    uint32_t id = sizeof(object->tenant->id);

    if (purges->count == 0)
        return PURGES_SPARED;
    return purges_judge(purges, object->key + id, object->key_length - id, object->tags, object->stamp, at);
}

enum purges_verdict store_visit(struct store *store, struct object *object)
{
    int64_t at = 0;
    enum purges_verdict verdict = store_judge(object, &at);

    INVARIANT(object->state == OBJECT_STORED);
    object->stamp = object->tenant->purges.clock;
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

/* ---- accessors ---- */

const uint8_t *object_meta(const struct object *object, uint32_t *length)
{
    *length = object->meta_length;
    return object->meta;
}

uint64_t object_size(const struct object *object)
{
    return object->body.size;
}

uint64_t object_expected(const struct object *object)
{
    return object->expected;
}

uint64_t object_charge(const struct object *object)
{
    return object->overhead + object->body.charge;
}

bool object_is_held(const struct object *object)
{
    return object->pins > 0 || object->state == OBJECT_FILLING;
}

bool object_has_key(const struct object *object, uint64_t hash, const uint8_t *bytes, uint32_t length)
{
    return object->hash == hash && object->key_length == length && memcmp(object->key, bytes, length) == 0;
}

bool object_is_stored(const struct object *object)
{
    return object->state == OBJECT_STORED;
}

bool object_is_lapsed(const struct object *object)
{
    return object->lapsed;
}

void object_key(const struct object *object, struct store_key *key)
{
    key->hash = object->hash;
    key->tenant = object->tenant;
    key->length = object->key_length;
    memcpy(key->bytes, object->key, object->key_length);
}

const struct tag_set *object_tags(const struct object *object)
{
    return object->tags;
}

struct object *object_next_of_tenant(const struct object *object)
{
    return object->next_of_tenant;
}

int64_t object_keep_until(const struct object *object)
{
    return object->keep.at;
}

uint32_t object_pins(const struct object *object)
{
    return object->pins;
}

int64_t object_fresh_until(const struct object *object)
{
    return object->fresh_until;
}

void object_read(const struct object *object, uint64_t offset, uint8_t *out, uint64_t length)
{
    body_read(&object->body, offset, out, length);
}
