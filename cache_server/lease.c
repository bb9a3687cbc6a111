#include "lease.h"

#include "invariant.h"

#include <string.h>

/* As in store.c: index memory is charged; every function that uses a HASH_ macro has `leases` in scope. */
#define uthash_malloc(size)      memory_alloc_index(&leases->store->memory, &leases->store->index, size)
#define uthash_free(block, size) memory_free(&leases->store->memory, &leases->store->index, block)
#include <uthash.h>
#include <utlist.h>

struct lease {
    UT_hash_handle hh;
    struct lease *prev, *next;                     /* in leases->quiet, while `listed` */
    struct lease *prev_of_tenant, *next_of_tenant; /* until it is cancelled */
    struct follower *waiting, *not_waiting;
    struct tenant *tenant;
    struct object *object; /* NULL until the fill begins */
    struct session *holder;
    uint64_t handle; /* the holder's */
    int64_t touched;
    uint64_t stamp; /* of its tenant's purges, when it was granted */
    uint64_t hash;
    uint32_t key_length; /* with the tenant's id */
    uint32_t followers;
    uint32_t told; /* of the followers */
    uint32_t charge;
    bool cancelled;
    bool orphan;
    bool listed;
    uint8_t key[]; /* tenant id, then the key */
};

void leases_setup(struct leases *leases, struct store *store)
{
    *leases = (struct leases){.store = store};
}

void leases_teardown(struct leases *leases)
{
    INVARIANT(leases->count == 0 && leases->orphans == 0 && leases->followers == 0);
}

static struct lease *find(struct leases *leases, const struct store_key *key)
{
    struct lease *lease;

    HASH_FIND_BYHASHVALUE(hh, leases->table, key->bytes, key->length, (unsigned)key->hash, lease);
    return lease;
}

/* The most that one lease more can make the table grow by. */
static uint64_t table_growth(const struct leases *leases)
{
    uint64_t buckets =
        leases->table ? 2 * (uint64_t)leases->table->hh.tbl->num_buckets : HASH_INITIAL_NUM_BUCKETS;

    return sizeof(UT_hash_table) + buckets * sizeof(UT_hash_bucket) + 64;
}

static bool has_too_many(struct leases *leases, struct tenant *tenant)
{
    return tenant_refuses(tenant, leases->store->counters, tenant->leases, tenant->settings.max_fills,
                          COUNTER_refused_fills);
}

static struct lease *create_lease(struct leases *leases, const struct store_key *key)
{
    struct lease *lease = NULL;

    if (!has_too_many(leases, key->tenant) &&
        store_may_hold(leases->store, key->tenant, sizeof(*lease) + key->length))
        lease = memory_alloc(&leases->store->memory, &key->tenant->account, sizeof(*lease) + key->length);
    if (!lease)
        return NULL;
    memset(lease, 0, sizeof(*lease));
    lease->charge = (uint32_t)memory_charge(lease);
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

uint64_t lease_charge(const struct lease *lease)
{
    return lease->charge;
}

int64_t lease_touched(const struct lease *lease)
{
    return lease->touched;
}

static void unlist(struct leases *leases, struct lease *lease)
{
    if (lease->listed)
        DL_DELETE(leases->quiet, lease);
    lease->listed = false;
}

static void touch(struct leases *leases, struct lease *lease, int64_t now)
{
    unlist(leases, lease);
    DL_APPEND(leases->quiet, lease);
    lease->listed = true;
    lease->touched = now;
}

struct lease *lease_overdue(struct leases *leases, int64_t before)
{
    struct lease *lease = leases->quiet;

    if (!lease || lease->touched > before)
        return NULL;
    unlist(leases, lease);
    return lease;
}

int64_t lease_longest_quiet(const struct leases *leases)
{
    return leases->quiet ? leases->quiet->touched : INT64_MAX;
}

struct lease *lease_grant(struct leases *leases, const struct store_key *key, int64_t now)
{
    if (find(leases, key))
        return NULL;
    struct lease *lease = create_lease(leases, key);
    if (!lease)
        return NULL;
    if (!store_index_room(leases->store, key->tenant, table_growth(leases))) {
        memory_free(&leases->store->memory, &key->tenant->account, lease);
        return NULL;
    }
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, leases->table, lease->key, lease->key_length, (unsigned)lease->hash,
                                lease);
    if (!lease->hh.tbl) {
        memory_free(&leases->store->memory, &key->tenant->account, lease);
        return NULL;
    }
    touch(leases, lease, now);
    lease->stamp = lease->tenant->purges.clock;
    DL_APPEND2(lease->tenant->granted, lease, prev_of_tenant, next_of_tenant);
    store_hold(leases->store, lease->tenant, lease->charge);
    leases->count++;
    lease->tenant->leases++;
    return lease;
}

static void forget(struct leases *leases, struct lease **pointer)
{
    struct lease *lease = *pointer;
    struct tenant *tenant = lease->tenant;

    *pointer = NULL;
    INVARIANT(lease->followers == 0);
    if (!lease->cancelled)
        lease_cancel(leases, lease);
    unlist(leases, lease);
    leases->orphans -= lease->orphan;
    leases->count--;
    tenant->leases--;
    store_let_go(leases->store, tenant, lease->charge);
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
    if (length > 0) /* nothing is no progress */
        touch(leases, lease, now);
    return store_fill_append(leases->store, lease->object, bytes, length);
}

void lease_cut_short(struct lease *lease)
{
    store_fill_cut_short(lease->object);
}

enum store_result lease_commit(struct leases *leases, struct lease **lease)
{
    enum store_result result = (*lease)->cancelled ? store_fill_conclude(leases->store, &(*lease)->object)
                                                   : store_fill_commit(leases->store, &(*lease)->object);

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

void lease_discard(struct leases *leases, struct lease *lease)
{
    store_fill_discard(leases->store, &lease->object);
}

void lease_abandon(struct leases *leases, struct lease *lease, int64_t now)
{
    INVARIANT(!lease->orphan);
    lease_set_holder(lease, NULL, 0);
    lease->orphan = true;
    leases->orphans++;
    touch(leases, lease, now);
}

void lease_adopt(struct leases *leases, struct lease *lease, struct session *holder, uint64_t handle,
                 int64_t now)
{
    lease_set_holder(lease, holder, handle);
    leases->orphans -= lease->orphan;
    lease->orphan = false;
    if (!lease->object) /* what it asks the origin for, it asks for now */
        lease->stamp = lease->tenant->purges.clock;
    touch(leases, lease, now);
}

struct lease *lease_cancel_key(struct leases *leases, const struct store_key *key)
{
    struct lease *lease = find(leases, key);

    if (lease)
        lease_cancel(leases, lease);
    return lease;
}

void lease_cancel(struct leases *leases, struct lease *lease)
{
    INVARIANT(!lease->cancelled);
    HASH_DELETE(hh, leases->table, lease);
    DL_DELETE2(lease->tenant->granted, lease, prev_of_tenant, next_of_tenant);
    lease->cancelled = true;
}

bool lease_is_cancelled(const struct lease *lease)
{
    return lease->cancelled;
}

uint64_t lease_stamp(const struct lease *lease)
{
    return lease->stamp;
}

struct lease *lease_next_of_tenant(const struct lease *lease)
{
    return lease->next_of_tenant;
}

const uint8_t *lease_key(const struct lease *lease, uint32_t *length)
{
    *length = lease->key_length - (uint32_t)sizeof(lease->tenant->id);
    return lease->key + sizeof(lease->tenant->id);
}

struct tenant *lease_tenant(const struct lease *lease)
{
    return lease->tenant;
}

/* ---- followers ---- */

static struct follower **list_of(struct follower *follower)
{
    return follower->state == FOLLOWER_WAITING ? &follower->lease->waiting : &follower->lease->not_waiting;
}

struct follower *lease_follow(struct leases *leases, struct lease *lease, struct session *session)
{
    struct tenant *tenant = lease->tenant;
    struct follower *follower = NULL;

    if (!tenant_refuses(tenant, leases->store->counters, tenant->followers, tenant->settings.max_waiters,
                        COUNTER_refused_waiters))
        follower = memory_alloc(&leases->store->memory, &tenant->account, sizeof(*follower));
    if (!follower)
        return NULL;
    *follower = (struct follower){.lease = lease, .tenant = lease->tenant, .session = session};
    DL_APPEND(lease->not_waiting, follower);
    lease->followers++;
    lease->tenant->followers++;
    leases->followers++;
    return follower;
}

static void leave(struct follower *follower)
{
    struct lease *lease = follower->lease;

    if (!lease)
        return;
    struct follower **list = list_of(follower);
    DL_DELETE(*list, follower);
    lease->followers--;
    lease->told -= follower->told;
    follower->lease = NULL;
}

void lease_unfollow(struct leases *leases, struct follower **pointer)
{
    struct follower *follower = *pointer;

    *pointer = NULL;
    leave(follower);
    leases->followers--;
    follower->tenant->followers--;
    memory_free(&leases->store->memory, &follower->tenant->account, follower);
}

void follower_set_state(struct follower *follower, enum follower_state state)
{
    struct follower **list = follower->lease ? list_of(follower) : NULL;

    if (list)
        DL_DELETE(*list, follower);
    follower->state = state;
    list = follower->lease ? list_of(follower) : NULL;
    if (list)
        DL_APPEND(*list, follower);
}

void follower_decide(struct follower *follower, enum follower_fate fate)
{
    leave(follower);
    follower->fate = fate;
}

void follower_tell(struct follower *follower)
{
    if (follower->lease && !follower->told)
        follower->lease->told++;
    follower->told = true;
}

struct follower *lease_waiting(const struct lease *lease)
{
    return lease->waiting;
}

struct follower *lease_not_waiting(const struct lease *lease)
{
    return lease->not_waiting;
}

uint32_t lease_followers(const struct lease *lease)
{
    return lease->followers;
}

bool lease_is_told(const struct lease *lease)
{
    return lease->told > 0;
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

bool lease_is_of(const struct lease *lease, const struct object *object)
{
    return object_has_key(object, lease->hash, lease->key, lease->key_length);
}

struct object *lease_object(const struct lease *lease)
{
    return lease->object;
}

uint64_t lease_filled(const struct lease *lease)
{
    return lease->object ? object_size(lease->object) : 0;
}
