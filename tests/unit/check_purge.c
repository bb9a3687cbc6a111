/* purge: what each kind hits and spares, at once and however far its collection has come; leases and
 * responses on their way; the bounds. A model that knows no index says what must be found. */
#include "purge.h"

#include "cache.h"
#include "check_unit.h"

#include <string.h>

#define NOW   INT64_C(1000)
#define LATER INT64_C(100000)

static struct cache cache;
static struct tenant *news, *shop;

static void begin_with(uint64_t memory)
{
    memset(&cache, 0, sizeof(cache));
    ck_assert_int_eq(store_setup(&cache.store, memory, 1 << 20, &cache.counters), 0);
    leases_setup(&cache.leases, &cache.store);
    cache.now = NOW;
    cache.conf.lease_ms = 60000;
    news = tenants_get(&cache.tenants, "news");
    shop = tenants_get(&cache.tenants, "shop");
}

static void begin(void)
{
    begin_with(64 << 20);
}

static void finish_collecting(void)
{
    while (!purge_is_over(&cache))
        purge_step(&cache);
}

static void end(void)
{
    purge_forget(&cache, news);
    purge_forget(&cache, shop);
    ck_assert(purge_is_over(&cache));
    leases_teardown(&cache.leases);
    store_teardown(&cache.store);
    ck_assert_uint_eq(news->account.used + shop->account.used, 0);
    ck_assert_uint_eq(cache.store.memory.shares.held, 0);
    tenants_free(&cache.tenants);
}

/* ---- short words for it ---- */

static uint64_t tag_of(const struct tenant *tenant, const char *text)
{
    return store_tag(&cache.store, tenant, (const uint8_t *)text, (uint32_t)strlen(text));
}

/* `tags`: separated by spaces */
static struct tag_list list_of(const struct tenant *tenant, const char *tags)
{
    struct tag_list list = {0};
    char copy[256], *rest = copy, *word;

    snprintf(copy, sizeof(copy), "%s", tags);
    while ((word = strtok_r(rest, " ", &rest)) != NULL)
        tag_list_add(&list, tag_of(tenant, word));
    return list;
}

static void set_key(struct tenant *tenant, const char *key)
{
    store_key_set(&cache.store, &cache.key, tenant, (const uint8_t *)key, (uint32_t)strlen(key));
}

static struct lease *grant(struct tenant *tenant, const char *key)
{
    set_key(tenant, key);
    struct lease *lease = lease_grant(&cache.leases, &cache.key, 0);
    ck_assert_ptr_nonnull(lease);
    lease_set_holder(lease, (struct session *)(void *)&cache, 1); /* somebody; nobody looks */
    return lease;
}

/* As FILL_BEGIN does it. */
static void begin_fill(struct lease *lease, const char *tags)
{
    struct tag_list list = list_of(lease_tenant(lease), tags);
    uint64_t whole;

    ck_assert_int_eq(lease_begin(&cache.leases, lease, (const uint8_t *)"m", 1, 3, LATER, LATER), STORE_OK);
    object_key(&cache.store, lease_object(lease), &cache.key);
    if (store_key_part(&cache.store, &cache.key, &whole))
        tag_list_add(&list, whole);
    if (list.count > 0)
        ck_assert_int_eq(store_set_tags(&cache.store, lease_object(lease), &list), STORE_OK);
    purge_hits_lease(&cache, lease, &list);
    ck_assert_int_eq(lease_append(&cache.leases, lease, (const uint8_t *)"abc", 3, 0), STORE_OK);
}

static enum store_result commit(struct lease *lease)
{
    purge_hits_lease(&cache, lease, NULL);
    return lease_commit(&cache.leases, &lease);
}

static void store(struct tenant *tenant, const char *key, const char *tags)
{
    struct lease *lease = grant(tenant, key);

    begin_fill(lease, tags);
    ck_assert_int_eq(commit(lease), STORE_OK);
}

enum found { NOTHING, STALE, FRESH };

static enum found look(struct tenant *tenant, const char *key)
{
    set_key(tenant, key);
    struct object *object = store_find(&cache.store, &cache.key, NOW);

    return !object ? NOTHING : object_fresh_until(object) <= NOW ? STALE : FRESH;
}

static enum purge_result purge(struct tenant *tenant, enum purge_scope scope, bool soft, const char *what,
                               struct purge_effect *effect)
{
    struct tag_list list = {0};
    struct purge_order order = {.tenant = tenant,
                                .scope = scope,
                                .soft = soft,
                                .bytes = (const uint8_t *)what,
                                .length = (uint32_t)strlen(what),
                                .tags = &list};

    if (scope == PURGE_TAGGED)
        list = list_of(tenant, what);
    return purge_carry_out(&cache, &order, effect);
}

/* ---- what each hits ---- */

static const struct kind {
    const char *name;
    enum purge_scope scope;
    const char *what;
    const char *hit; /* of the objects below, those that are */
    uint64_t objects, leases;
} kinds[] = {
    {"key with its parts", PURGE_KEY, "/a", "12", 2, 1},
    {"key that is not there", PURGE_KEY, "/", "", 0, 0},
    {"key of a part", PURGE_KEY, "/a\nx", "2", 1, 0},
    {"prefix", PURGE_PREFIXED, "/a", "1234", 4, 2},
    {"longer prefix", PURGE_PREFIXED, "/a/", "4", 1, 1},
    {"prefix of nothing", PURGE_PREFIXED, "/a/b/c/d", "", 0, 0},
    {"everything", PURGE_PREFIXED, "", "123456", 6, 3},
    {"tag", PURGE_TAGGED, "red", "15", 2, 2},
    {"tags", PURGE_TAGGED, "red blue", "1356", 4, 2},
    {"tag of nothing", PURGE_TAGGED, "green", "", 0, 0},
};

static const struct stored {
    char digit;
    const char *key, *tags;
} stored[] = {
    {'1', "/a", "red"}, {'2', "/a\nx", ""}, {'3', "/ab", "blue"},
    {'4', "/a/b", ""},  {'5', "/b", "red"}, {'6', "/c", "blue cyan"},
};

static void store_all(void)
{
    for (int i = 0; i < ROWS(stored); i++) {
        store(news, stored[i].key, stored[i].tags);
        store(shop, stored[i].key, stored[i].tags);
    }
}

static void expect(const struct kind *kind, bool soft)
{
    for (int i = 0; i < ROWS(stored); i++) {
        enum found wanted = !strchr(kind->hit, stored[i].digit) ? FRESH : soft ? STALE : NOTHING;

        ck_assert_msg(look(news, stored[i].key) == wanted, "%s: %c", kind->name, stored[i].digit);
        ck_assert_msg(look(shop, stored[i].key) == FRESH, "%s: another tenant's %c", kind->name,
                      stored[i].digit);
    }
}

static void test_kind(const struct kind *kind, bool soft)
{
    struct purge_effect effect;

    begin();
    store_all();
    /* Being fetched for the first time; being filled; being validated. */
    struct lease *leases[] = {grant(news, "/a/new"), grant(news, "/d"), grant(news, "/a")};
    begin_fill(leases[1], "red");
    ck_assert_int_eq(purge(news, kind->scope, soft, kind->what, &effect), PURGE_DONE);
    ck_assert_uint_eq(effect.objects, kind->objects);
    ck_assert_msg(effect.leases == kind->leases, "%s", kind->name);
    ck_assert(!effect.goes_on && purge_is_over(&cache));
    expect(kind, soft);
    ck_assert_uint_eq(cache.counters.values[COUNTER_purged], kind->objects);
    ck_assert_uint_eq(news->counters.values[COUNTER_purged], kind->objects);
    ck_assert_uint_eq(news->counters.values[COUNTER_purges], 1);
    ck_assert_uint_eq(shop->counters.values[COUNTER_purges], 0);
    ck_assert_uint_eq(news->counters.values[COUNTER_purge_cancels], effect.leases);
    for (int i = 0; i < ROWS(leases); i++)
        lease_end(&cache.leases, &leases[i]);
    end();
}

START_TEST(what_each_kind_hits)
{
    test_kind(&kinds[_i], false);
    test_kind(&kinds[_i], true);
}
END_TEST

/* ---- leases ---- */

static const struct cancelled {
    const char *name, *key, *tags;
    bool filling; /* when the purge comes; else afterwards */
    enum purge_scope scope;
    const char *what;
    bool hit;
} cancels[] = {
    {"key, being filled", "/a", "", true, PURGE_KEY, "/a", true},
    {"key, granted", "/a", "", false, PURGE_KEY, "/a", true},
    {"part of the key, being filled", "/a\nx", "", true, PURGE_KEY, "/a", true},
    {"part of the key, granted", "/a\nx", "", false, PURGE_KEY, "/a", true},
    {"another key", "/ab", "", true, PURGE_KEY, "/a", false},
    {"prefix, being filled", "/a/b", "", true, PURGE_PREFIXED, "/a/", true},
    {"prefix, granted", "/a/b", "", false, PURGE_PREFIXED, "/a/", true},
    {"another prefix", "/b", "", true, PURGE_PREFIXED, "/a/", false},
    {"everything, being filled", "/b", "", true, PURGE_PREFIXED, "", true},
    {"tag, being filled", "/b", "red blue", true, PURGE_TAGGED, "blue", true},
    {"tag that comes later", "/b", "red blue", false, PURGE_TAGGED, "blue", true},
    {"another tag", "/b", "red", true, PURGE_TAGGED, "blue", false},
    {"another tag that comes later", "/b", "red", false, PURGE_TAGGED, "blue", false},
};

static void test_cancel(const struct cancelled *row, bool soft)
{
    struct purge_effect effect;

    begin();
    struct lease *lease = grant(news, row->key);
    if (row->filling)
        begin_fill(lease, row->tags);
    ck_assert_int_eq(purge(news, row->scope, soft, row->what, &effect), PURGE_DONE);
    if (row->filling || row->scope != PURGE_TAGGED)
        ck_assert_msg(effect.leases == row->hit, "%s", row->name);
    if (!row->filling)
        begin_fill(lease, row->tags);
    ck_assert_msg(lease_is_cancelled(lease) == row->hit, "%s", row->name);
    /* The key is free again; who has asked since is not hit. */
    if (row->hit) {
        store(news, row->key, row->tags);
        ck_assert_int_eq(look(news, row->key), FRESH);
    }
    ck_assert_msg(commit(lease) == (row->hit ? STORE_CANCELLED : STORE_OK), "%s", row->name);
    ck_assert_int_eq(look(news, row->key), FRESH);
    ck_assert_uint_eq(news->counters.values[COUNTER_purge_cancels], row->hit);
    end();
}

START_TEST(what_is_under_way_is_not_stored)
{
    test_cancel(&cancels[_i], false);
    test_cancel(&cancels[_i], true);
}
END_TEST

/* More purges of tags than are remembered: who asked before the oldest of them counts as hit. */
START_TEST(forgotten_tags_count_for_all)
{
    struct purge_effect effect;
    char text[16];

    begin();
    struct lease *before = grant(news, "/old"), *untagged = grant(news, "/plain");
    for (unsigned i = 0; i < PURGES_RECENT; i++) {
        snprintf(text, sizeof(text), "t%u", i);
        ck_assert_int_eq(purge(news, PURGE_TAGGED, false, text, &effect), PURGE_DONE);
    }
    struct lease *between = grant(news, "/young");
    begin_fill(grant(news, "/fits"), "other");
    set_key(news, "/fits");
    struct lease *fits = lease_find(&cache.leases, &cache.key);
    ck_assert_int_eq(commit(fits), STORE_OK);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, false, "one-more", &effect), PURGE_DONE);
    begin_fill(before, "whatever");
    begin_fill(untagged, "");
    begin_fill(between, "whatever");
    ck_assert_int_eq(commit(before), STORE_CANCELLED);
    ck_assert_int_eq(commit(untagged), STORE_OK);
    ck_assert_int_eq(commit(between), STORE_OK);
    end();
}
END_TEST

/* Of so many leases all count as hit by a prefix, and nothing else happens to them. */
START_TEST(too_many_leases_to_look_at)
{
    struct purge_effect effect;
    char text[16];

    begin();
    for (unsigned i = 0; i <= PURGE_LEASES; i++) {
        snprintf(text, sizeof(text), "/%u", i);
        grant(news, text);
    }
    struct lease *elsewhere = grant(shop, "/1");
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, "/17", &effect), PURGE_DONE);
    ck_assert_uint_eq(effect.leases, 0);
    set_key(news, "/17");
    ck_assert_ptr_null(purge_lease_find(&cache));
    set_key(shop, "/1");
    ck_assert_ptr_eq(purge_lease_find(&cache), elsewhere);
    struct lease *later = grant(news, "/17");
    begin_fill(later, "");
    ck_assert_int_eq(commit(later), STORE_OK);
    while (news->granted) {
        struct lease *lease = news->granted;
        ck_assert(purge_hits_lease(&cache, lease, NULL));
        lease_end(&cache.leases, &lease);
    }
    lease_end(&cache.leases, &elsewhere);
    cache.leases.count = 0; /* the one that purge_lease_find() has cancelled */
    ck_assert_uint_eq(news->leases, 1);
    exit(EXIT_SUCCESS);
}
END_TEST

/* ---- soft ---- */

START_TEST(soft_purge_spares_what_lasts)
{
    struct purge_effect effect;

    begin();
    struct lease *lease = grant(news, "/index");
    begin_fill(lease, "red");
    store_set_lasting(lease_object(lease));
    ck_assert_int_eq(commit(lease), STORE_OK);
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, true, "", &effect), PURGE_DONE);
    ck_assert_uint_eq(effect.objects, 0);
    ck_assert_int_eq(purge(news, PURGE_KEY, true, "/index", &effect), PURGE_DONE);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, true, "red", &effect), PURGE_DONE);
    ck_assert_int_eq(look(news, "/index"), FRESH);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, false, "red", &effect), PURGE_DONE);
    ck_assert_uint_eq(effect.objects, 1);
    ck_assert_int_eq(look(news, "/index"), NOTHING);
    end();
}
END_TEST

START_TEST(soft_purge_leaves_what_is_stale_already)
{
    struct purge_effect effect;

    begin();
    struct lease *lease = grant(news, "/a");
    ck_assert_int_eq(lease_begin(&cache.leases, lease, NULL, 0, 0, 17, LATER), STORE_OK);
    ck_assert_int_eq(commit(lease), STORE_OK);
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, true, "", &effect), PURGE_DONE);
    set_key(news, "/a");
    struct object *object = store_find(&cache.store, &cache.key, NOW);
    ck_assert_int_eq(object_fresh_until(object), 17);
    ck_assert(object_is_lapsed(object));
    end();
}
END_TEST

/* ---- large ones ---- */

#define MANY 3000u

static void store_many(const char *tags)
{
    char key[32];

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "/%s/%u", i % 2 ? "odd" : "even", i);
        store(news, key, tags);
    }
}

static enum found look_at(unsigned i)
{
    char key[32];

    snprintf(key, sizeof(key), "/%s/%u", i % 2 ? "odd" : "even", i);
    return look(news, key);
}

static const struct large {
    enum purge_scope scope;
    bool soft;
    const char *what;
    unsigned hit; /* all, or 2: every second */
} larges[] = {
    {PURGE_PREFIXED, false, "/odd/", 2}, {PURGE_PREFIXED, true, "/odd/", 2}, {PURGE_PREFIXED, false, "", 1},
    {PURGE_TAGGED, false, "all", 1},     {PURGE_TAGGED, true, "all", 1},
};

START_TEST(at_once_however_many)
{
    const struct large *row = &larges[_i];
    enum found hit = row->soft ? STALE : NOTHING;
    struct purge_effect effect;
    unsigned steps = 0;

    begin();
    store_many("all");
    ck_assert_int_eq(purge(news, row->scope, row->soft, row->what, &effect), PURGE_DONE);
    ck_assert(effect.goes_on);
    ck_assert_uint_le(effect.objects, PURGE_AT_ONCE + 1);
    ck_assert_int_eq(look_at(MANY - 1), hit); /* not visited yet */
    ck_assert_int_eq(look_at(MANY - 2), row->hit == 1 ? hit : FRESH);
    store(news, "/odd/young", "all"); /* what comes now is not hit */
    ck_assert_int_eq(look(news, "/odd/young"), FRESH);
    for (; !purge_is_over(&cache); steps++)
        purge_step(&cache);
    ck_assert_uint_ge(steps, (MANY / row->hit - effect.objects - 2) * PURGE_HIT / (PURGE_STEP + PURGE_HIT));
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(look_at(i), row->hit == 1 || i % 2 == 1 ? hit : FRESH);
    ck_assert_int_eq(look(news, "/odd/young"), FRESH);
    ck_assert_uint_eq(cache.counters.values[COUNTER_purged], MANY / row->hit);
    /* Those that were looked at before their turn are not among them. */
    uint64_t visited = effect.objects + cache.counters.values[COUNTER_purge_collected];
    ck_assert_uint_le(visited, MANY / row->hit);
    ck_assert_uint_ge(visited, MANY / row->hit - 2);
    end();
}
END_TEST

/* What is to be visited next is replaced, removed or expires: the one behind it is next then. */
START_TEST(next_to_be_visited_goes)
{
    struct purge_effect effect;
    struct store_key key;

    begin();
    store_many("all");
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, true, "", &effect), PURGE_DONE);
    do /* which passes over some, as if they had been visited */
        store_walk(&cache.store);
    while (!cache.store.walk_next);
    struct object *next = cache.store.walk_next;
    object_key(&cache.store, next, &key);
    ck_assert(store_remove(&cache.store, &key));
    ck_assert_ptr_ne(cache.store.walk_next, next);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, false, "all", &effect), PURGE_DONE);
    struct purge_record *record = news->purges.records->prev; /* the latest */
    struct tag_node *node = record->cursor, *older = node->next;
    object_key(&cache.store, node->object, &key);
    ck_assert(store_remove(&cache.store, &key));
    ck_assert_ptr_eq(record->cursor, older);
    finish_collecting();
    ck_assert_uint_eq(news->objects, 0);
    end();
}
END_TEST

START_TEST(parts_go_with_their_key_however_many)
{
    struct purge_effect effect;
    char key[32];

    begin();
    store(news, "/page", "");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "/page\n%u", i);
        store(news, key, "own tags");
    }
    ck_assert_int_eq(purge(news, PURGE_KEY, false, "/page", &effect), PURGE_DONE);
    ck_assert(effect.goes_on);
    ck_assert_int_eq(look(news, "/page\n0"), NOTHING);
    finish_collecting();
    ck_assert_uint_eq(news->objects, 0);
    ck_assert_uint_eq(news->counters.values[COUNTER_purged], MANY + 1);
    end();
}
END_TEST

/* What an object may have to be compared with is bounded, and what that costs is a part of a step: of those
 * that are spared in vain one a step is looked at, not eight. */
START_TEST(long_prefixes_are_bounded_and_weigh)
{
    struct purge_effect effect;
    char text[STORE_MAX_KEY + 1];
    unsigned steps = 0;

    begin();
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(text, sizeof(text), "/%u", i);
        store(news, text, "");
    }
    memset(text, 'x', STORE_MAX_KEY);
    text[STORE_MAX_KEY] = '\0';
    for (int i = 0; i < 3; i++) {
        text[STORE_MAX_KEY - 1] = (char)('a' + i);
        ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, text, &effect),
                         i < 2 ? PURGE_DONE : PURGE_NO_PLACE);
    }
    ck_assert_uint_eq(news->purges.prefix_bytes, PURGES_PREFIX_BYTES);
    for (; !purge_is_over(&cache); steps++)
        purge_step(&cache);
    ck_assert_uint_ge(steps, 3000);
    ck_assert_uint_eq(news->purges.prefix_bytes, 0);
    ck_assert_uint_eq(news->objects, 3000);
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, text, &effect), PURGE_DONE);
    end();
}
END_TEST

/* As many prefixes as may be under way; the same again, or a shorter one, takes no place of its own. */
START_TEST(no_place_for_more)
{
    struct purge_effect effect;
    char text[32];

    begin();
    store_many("all");
    for (unsigned i = 0; i < PURGES_MAX - 1; i++) {
        snprintf(text, sizeof(text), "/x%u", 1000 + i);
        ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, text, &effect), PURGE_DONE);
    }
    for (unsigned i = 0; i < PURGES_MAX; i++)
        ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, "/odd/1", &effect),
                         i == 0 ? PURGE_DONE : PURGE_NO_PLACE);
    ck_assert_int_eq(look(news, "/odd/3"), FRESH);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, false, "all", &effect), PURGE_NO_PLACE);
    ck_assert_int_eq(look(news, "/odd/3"), FRESH);
    ck_assert_int_eq(purge(shop, PURGE_PREFIXED, false, "/", &effect), PURGE_DONE); /* another has its own */
    finish_collecting();
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, "/odd/", &effect), PURGE_DONE);
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, true, "/odd/", &effect), PURGE_DONE);
    ck_assert_uint_eq(news->purges.count, 2); /* the soft one does not do what the hard one does */
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, "/", &effect), PURGE_DONE);
    ck_assert_uint_eq(news->purges.count, 1);
    finish_collecting();
    ck_assert_uint_eq(news->objects, 0);
    end();
}
END_TEST

START_TEST(purges_are_charged_and_forgotten)
{
    struct purge_effect effect;

    begin();
    store_many("all");
    uint64_t before = news->account.used, held = news->account.held;
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, true, "/nothing/of/that/name", &effect), PURGE_DONE);
    ck_assert_uint_gt(news->account.used, before);
    ck_assert_uint_gt(news->account.held, held);
    purge_forget(&cache, news);
    ck_assert_uint_eq(news->account.used, before);
    ck_assert_uint_eq(news->account.held, held);
    ck_assert(purge_is_over(&cache));
    end();
}
END_TEST

/* ---- against a model ---- */

#define KEYS 4000u

struct model {
    enum found state;
    bool in_first, in_second; /* tags */
};

static void name_of(unsigned i, char *out, size_t size)
{
    snprintf(out, size, "/%u/%u", i % 4, i / 4);
}

static bool is_hit(const struct model *model, unsigned i, unsigned kind, unsigned number)
{
    switch (kind) {
    case 0:
        return i == number;
    case 1:
        return i % 4 == number % 4;
    case 2:
        return number % 2 ? model->in_first : model->in_second;
    default:
        return true;
    }
}

static void purge_both(struct model *models, unsigned kind, unsigned number, bool soft)
{
    static const enum purge_scope scopes[] = {PURGE_KEY, PURGE_PREFIXED, PURGE_TAGGED, PURGE_PREFIXED};
    struct purge_effect effect;
    char what[32] = "";

    if (kind == 0)
        name_of(number, what, sizeof(what));
    else if (kind == 1)
        snprintf(what, sizeof(what), "/%u/", number % 4);
    else if (kind == 2)
        snprintf(what, sizeof(what), "%s", number % 2 ? "first" : "second");
    if (purge(news, scopes[kind], soft, what, &effect) != PURGE_DONE)
        return;
    for (unsigned i = 0; i < KEYS; i++) {
        if (is_hit(&models[i], i, kind, number) && models[i].state > (soft ? STALE : NOTHING))
            models[i].state = soft ? STALE : NOTHING;
    }
}

static void store_both(struct model *model, unsigned i, unsigned tags)
{
    static const char *const texts[] = {"", "first", "second", "first second"};
    char key[32];

    name_of(i, key, sizeof(key));
    store(news, key, texts[tags]);
    *model = (struct model){FRESH, tags & 1, tags & 2};
}

START_TEST(like_the_model)
{
    struct model models[KEYS] = {0};
    uint64_t random = 77 + (uint64_t)_i;
    char key[32];

    begin();
    for (unsigned step = 0; step < 80000; step++) {
        unsigned i = (unsigned)random_below(&random, KEYS), deed = (unsigned)random_below(&random, 100);

        name_of(i, key, sizeof(key));
        if (deed < 50)
            store_both(&models[i], i, (unsigned)random_below(&random, 4));
        else if (deed < 80)
            ck_assert_msg(look(news, key) == models[i].state, "step %u: %s", step, key);
        else if (deed < 99)
            purge_step(&cache);
        else if (random_below(&random, 10) == 0)
            purge_both(models, (unsigned)random_below(&random, 40) * 4 / 40 % 4,
                       (unsigned)random_below(&random, KEYS), random_below(&random, 2));
    }
    for (unsigned i = 0; i < KEYS; i++) {
        name_of(i, key, sizeof(key));
        ck_assert_int_eq(look(news, key), models[i].state);
    }
    finish_collecting();
    for (unsigned i = 0; i < KEYS; i++) {
        name_of(i, key, sizeof(key));
        ck_assert_int_eq(look(news, key), models[i].state);
    }
    ck_assert_uint_gt(news->counters.values[COUNTER_purge_collected], 100);
    end();
}
END_TEST

/* ---- memory ---- */

/* Little memory: objects are evicted while purges go on, and tags with them. */
START_TEST(evictions_in_between)
{
    struct purge_effect effect;
    uint64_t random = 5;
    char key[64], tags[64];

    begin_with(1 << 20);
    for (unsigned i = 0; i < 30000; i++) {
        snprintf(key, sizeof(key), "/%u", (unsigned)random_below(&random, 5000));
        snprintf(tags, sizeof(tags), "t%u u%u all", (unsigned)random_below(&random, 50), i);
        store(news, key, tags);
        if (i % 4001 == 0)
            ck_assert_int_ne(purge(news, PURGE_PREFIXED, i % 2, "/1", &effect), PURGE_NO_MEMORY);
        if (i % 3001 == 0)
            ck_assert_int_ne(purge(news, PURGE_TAGGED, i % 2, "t7 all", &effect), PURGE_NO_MEMORY);
        if (i % 7 == 0)
            purge_step(&cache);
        ck_assert_uint_le(cache.store.memory.used, 1 << 20);
    }
    ck_assert_uint_gt(cache.counters.values[COUNTER_evictions], 1000);
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, false, "", &effect), PURGE_DONE);
    finish_collecting();
    ck_assert_uint_eq(news->objects, 0);
    end();
}
END_TEST

START_TEST(tags_are_replaced)
{
    struct purge_effect effect;
    struct tag_list list;

    begin();
    store(news, "/a", "red blue");
    set_key(news, "/a");
    struct object *object = store_find(&cache.store, &cache.key, NOW);
    store_pin(&cache.store, object);
    list = list_of(news, "blue green");
    ck_assert_int_eq(store_set_tags(&cache.store, object, &list), STORE_OK);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, false, "red", &effect), PURGE_DONE);
    ck_assert_int_eq(look(news, "/a"), FRESH);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, true, "blue", &effect), PURGE_DONE);
    ck_assert_int_eq(look(news, "/a"), STALE);
    ck_assert_int_eq(purge(news, PURGE_TAGGED, false, "green", &effect), PURGE_DONE);
    ck_assert_int_eq(look(news, "/a"), NOTHING);
    store_unpin(&cache.store, &object); /* who reads it may finish */
    end();
}
END_TEST

/* ---- off the wire ---- */

START_TEST(orders_off_the_wire)
{
    struct purge_order order = {0};

    for (uint32_t flags = 0; flags < 300; flags++) {
        bool sound = flags < 8 && (flags & WIRE_PURGE_SCOPE) != 3;
        ck_assert(purge_order_flags(&order, flags) == sound);
        ck_assert(!sound || order.soft == ((flags & WIRE_PURGE_SOFT) != 0));
    }
    ck_assert(!purge_order_flags(&order, UINT32_MAX));
    ck_assert(!purge_length_is_sound(PURGE_KEY, 0) && purge_length_is_sound(PURGE_KEY, 1));
    ck_assert(purge_length_is_sound(PURGE_KEY, STORE_MAX_KEY) &&
              !purge_length_is_sound(PURGE_KEY, STORE_MAX_KEY + 1));
    ck_assert(purge_length_is_sound(PURGE_PREFIXED, 0) &&
              !purge_length_is_sound(PURGE_PREFIXED, STORE_MAX_KEY + 1));
    ck_assert(!purge_length_is_sound(PURGE_TAGGED, 0) &&
              purge_length_is_sound(PURGE_TAGGED, WIRE_TAGS_BYTES));
    ck_assert(!purge_length_is_sound(PURGE_TAGGED, WIRE_TAGS_BYTES + 1));
}
END_TEST

/* Its steps come out even: the last one visits the last object and has nothing left to find the end with. */
START_TEST(round_that_comes_out_even_ends)
{
    enum { OBJECTS = 2 * PURGE_AT_ONCE };
    struct purge_effect effect;
    char key[16];

    begin();
    for (int i = 0; i < OBJECTS; i++) {
        snprintf(key, sizeof(key), "a%d", i);
        store(news, key, "");
    }
    ck_assert_int_eq(purge(news, PURGE_PREFIXED, true, "a", &effect), PURGE_DONE);
    ck_assert(effect.goes_on);
    for (int i = 0; i <= OBJECTS; i++)
        purge_step(&cache);
    ck_assert(purge_is_over(&cache));
    ck_assert_uint_eq(news->counters.values[COUNTER_purged], OBJECTS);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, round_that_comes_out_even_ends);
    ADD_ROWS(tcase, what_each_kind_hits, kinds);
    ADD_ROWS(tcase, what_is_under_way_is_not_stored, cancels);
    tcase_add_test(tcase, forgotten_tags_count_for_all);
    tcase_add_test(tcase, too_many_leases_to_look_at);
    tcase_add_test(tcase, soft_purge_spares_what_lasts);
    tcase_add_test(tcase, soft_purge_leaves_what_is_stale_already);
    ADD_ROWS(tcase, at_once_however_many, larges);
    tcase_add_test(tcase, next_to_be_visited_goes);
    tcase_add_test(tcase, parts_go_with_their_key_however_many);
    tcase_add_test(tcase, long_prefixes_are_bounded_and_weigh);
    tcase_add_test(tcase, no_place_for_more);
    tcase_add_test(tcase, purges_are_charged_and_forgotten);
    tcase_add_loop_test(tcase, like_the_model, 0, 4);
    tcase_add_test(tcase, evictions_in_between);
    tcase_add_test(tcase, tags_are_replaced);
    tcase_add_test(tcase, orders_off_the_wire);
}

int main(void)
{
    return run_suite("purge", add_cases);
}
