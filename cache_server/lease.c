#include "lease.h"

#include "invariant.h"

#include <string.h>

/* As in store.c: index memory is charged; every function that uses a HASH_ macro has `leases` in scope. */
#define uthash_malloc(size)      memory_alloc_index(&leases->store->memory, &leases->store->index, size)
#define uthash_free(block, size) memory_free(&leases->store->memory, &leases->store->index, block)
#include <uthash.h>

struct lease {
    UT_hash_handle hh;
    struct tenant *tenant;
    struct object *object; /* NULL until the fill begins */
    struct session *holder;
    uint64_t handle; /* the holder's */
    int64_t touched;
    uint64_t hash;
    uint32_t key_length; /* with the tenant's id */
    bool cancelled;
    uint8_t key[]; /* tenant id, then the key */
};

void leases_setup(struct leases *leases, struct store *store)
{
    *leases = (struct leases){.store = store};
}

void leases_teardown(struct leases *leases)
{
    INVARIANT(leases->count == 0);
}

static struct lease *find(struct leases *leases, const struct store_key *key)
{
    struct lease *lease;

    HASH_FIND_BYHASHVALUE(hh, leases->table, key->bytes, key->length, (unsigned)key->hash, lease);
    return lease;
}

static struct lease *create_lease(struct leases *leases, const struct store_key *key)
{
    struct lease *lease =
        memory_alloc(&leases->store->memory, &key->tenant->account, sizeof(*lease) + key->length);

    if (!lease)
        return NULL;
    memset(lease, 0, sizeof(*lease));
    lease->tenant = key->tenant;
    lease->hash = key->hash;
    lease->key_length = key->length;
    memcpy(lease->key, key->bytes, key->length);
    return lease;
}

struct lease *lease_find(struct leases *leases, const struct store_key *key)
{
    return find(leases, key);
}

void lease_set_holder(struct lease *lease, struct session *holder, uint64_t handle)
{
    lease->holder = holder;
    lease->handle = handle;
}

struct session *lease_holder(const struct lease *lease, uint64_t *handle)
{
    *handle = lease->handle;
    return lease->holder;
}

int64_t lease_touched(const struct lease *lease)
{
    return lease->touched;
}

struct lease *lease_grant(struct leases *leases, const struct store_key *key, int64_t now)
{
    if (find(leases, key))
        return NULL;
    struct lease *lease = create_lease(leases, key);
    if (!lease)
        return NULL;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, leases->table, lease->key, lease->key_length, (unsigned)lease->hash,
                                lease);
    if (!lease->hh.tbl) {
        memory_free(&leases->store->memory, &key->tenant->account, lease);
        return NULL;
    }
    lease->touched = now;
    leases->count++;
    lease->tenant->leases++;
    return lease;
}

static void forget(struct leases *leases, struct lease **pointer)
{
    struct lease *lease = *pointer;
    struct tenant *tenant = lease->tenant;

    *pointer = NULL;
    HASH_DELETE(hh, leases->table, lease);
    leases->count--;
    tenant->leases--;
    memory_free(&leases->store->memory, &tenant->account, lease);
}

static struct store_key *key_of(const struct lease *lease, struct store_key *key)
{
    key->hash = lease->hash;
    key->tenant = lease->tenant;
    key->length = lease->key_length;
    memcpy(key->bytes, lease->key, lease->key_length);
    return key;
}

enum store_result lease_begin(struct leases *leases, struct lease *lease, const uint8_t *meta,
                              uint32_t meta_length, uint64_t expected, int64_t fresh_until,
                              int64_t keep_until)
{
    struct store_key key;

    INVARIANT(!lease->object);
    return store_fill_begin(leases->store, &lease->object, key_of(lease, &key), meta, meta_length, expected,
                            fresh_until, keep_until);
}

enum store_result lease_append(struct leases *leases, struct lease *lease, const uint8_t *bytes,
                               uint64_t length, int64_t now)
{
    lease->touched = now;
    return store_fill_append(leases->store, lease->object, bytes, length);
}

enum store_result lease_commit(struct leases *leases, struct lease **lease)
{
    enum store_result result = STORE_CANCELLED;

    if ((*lease)->cancelled)
        store_fill_discard(leases->store, &(*lease)->object);
    else
        result = store_fill_commit(leases->store, &(*lease)->object);
    forget(leases, lease);
    return result;
}

bool lease_end(struct leases *leases, struct lease **lease)
{
    bool filling = (*lease)->object != NULL;

    if (filling)
        store_fill_discard(leases->store, &(*lease)->object);
    forget(leases, lease);
    return filling;
}

void lease_cancel_key(struct leases *leases, const struct store_key *key)
{
    struct lease *lease = find(leases, key);

    if (lease)
        lease->cancelled = true;
}

bool lease_key_is(const struct lease *lease, const uint8_t *bytes, uint32_t length)
{
    uint32_t id = (uint32_t)sizeof(lease->tenant->id);

    return lease->key_length == id + length && memcmp(lease->key + id, bytes, length) == 0;
}

bool lease_is_filling(const struct lease *lease)
{
    return lease->object != NULL;
}

uint64_t lease_filled(const struct lease *lease)
{
    return lease->object ? object_size(lease->object) : 0;
}
