/* An entry:
 *
 *     entry_new() ──> (LOADING: hot->loading.entry) ──> listed ──> not listed ── last reference ──> freed
 *                         └─ given up ────────────────────────────────^
 * The set's reference is that of the list, or of the loading. Who is not listed any more is still read by the
 * responses that hold it, as far as it has come; its segments count until then. */
#include "hot.h"

#include "invariant.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#ifndef HOT_AFTER    /* a build for tests may find everything hot at once */
#define HOT_AFTER 4u /* questions within a window of the sketch */
#endif
#define WINDOW_FACTOR   64u   /* questions a window, for each segment of the share */
#define WINDOW_MIN      1024u /* questions */
#define WIDTH_MAX       65536u
#define SEARCH_INTERVAL 64u /* questions: so seldom one entry gives way to another */
#define SEARCH_STEPS    8u
#define PAUSE_MS        1000 /* after requests needed segments, or something could not be loaded */
#define IDLE_MS         5000 /* what nobody has asked for since then is not hot */
#define COLD_MS         500  /* and makes way for others after this */
#define READS_AHEAD     4u
#define REPEATS_FACTOR  16u /* heads of requests that are remembered, for each segment of the share */
#define ROW_FROM        8u  /* segments: so large a body may take one more to stand in one row */

_Static_assert(sizeof((struct hot){0}.hash_key) == crypto_shorthash_KEYBYTES, "the key of the hash");

/* ---- how often keys are asked for ---- */

static void sketch_setup(struct hot_sketch *sketch, uint32_t segments)
{
    uint32_t window = segments * WINDOW_FACTOR < WINDOW_MIN ? WINDOW_MIN : segments * WINDOW_FACTOR;
    uint32_t width = 1;

    while (width < 4 * window && width < WIDTH_MAX)
        width *= 2;
    *sketch = (struct hot_sketch){.width = width, .age_after = window};
    sketch->counters = calloc(2, width);
    INVARIANT(sketch->counters);
}

static uint8_t *counter(const struct hot_sketch *sketch, unsigned row, uint64_t hash)
{
    return &sketch->counters[row * sketch->width + ((hash >> (32 + 16 * row)) & (sketch->width - 1))];
}

static uint32_t sketch_estimate(const struct hot_sketch *sketch, uint64_t hash)
{
    uint8_t a = *counter(sketch, 0, hash), b = *counter(sketch, 1, hash);

    return a < b ? a : b;
}

static void sketch_age(struct hot_sketch *sketch)
{
    for (uint32_t i = 0; i < 2 * sketch->width; i++)
        sketch->counters[i] /= 2;
    sketch->asked = 0;
}

/* Only the lower counter is raised: the other one is too high already, by what others have added. */
static uint32_t sketch_add(struct hot_sketch *sketch, uint64_t hash)
{
    uint8_t *a = counter(sketch, 0, hash), *b = counter(sketch, 1, hash);
    uint8_t low = *a < *b ? *a : *b;

    if (++sketch->asked >= sketch->age_after)
        sketch_age(sketch);
    if (low == UINT8_MAX)
        return low;
    *a += *a == low;
    *b += *b == low;
    return low + 1u;
}

static uint64_t hash_of(const struct hot *hot, struct http_span key)
{
    uint64_t hash;

    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "the hash is a number");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)key.at, key.length, hot->hash_key);
    return hash;
}

/* ---- entries ---- */

static void source_drops(struct output_source *source)
{
    struct hot_entry *entry = (struct hot_entry *)source;

    _Static_assert(offsetof(struct hot_entry, source) == 0, "the source is cast to its entry");
    hot_drop(&entry);
}

static int source_file(struct output_source *source, const struct larder_segment *segment, off_t *offset)
{
    (void)source;
    return larder_segment_file(segment, offset);
}

static void source_lent(struct output_source *source, struct larder_segment *segment)
{
    (void)source;
    larder_segment_lent(segment);
}

static const struct output_source_calls source_calls = {
    .file = source_file, .lent = source_lent, .drop = source_drops};

static struct hot_entry *entry_new(struct hot *hot, struct http_span key, uint64_t hash, uint32_t segments)
{
    struct hot_entry *entry = malloc(sizeof *entry + segments * sizeof *entry->segments + key.length);

    INVARIANT(entry);
    memset(entry, 0, offsetof(struct hot_entry, memo));
    entry->source.calls = &source_calls;
    entry->memo.length = 0;
    entry->hot = hot;
    entry->hash = hash;
    entry->references = 1;
    entry->segments_wanted = segments;
    entry->segments_held = 0;
    entry->segments = (struct larder_segment **)(void *)(entry + 1);
    memset(entry->segments, 0, segments * sizeof *entry->segments);
    entry->key = (char *)(entry->segments + segments);
    entry->key_length = key.length;
    memcpy(entry->key, key.at, key.length);
    hot->segments += segments;
    return entry;
}

static void entry_free(struct hot_entry *entry)
{
    struct hot *hot = entry->hot;

    hot->segments -= entry->segments_wanted;
    hot->link->kept -= entry->segments_held;
    for (uint32_t i = 0; i < entry->segments_wanted; i++)
        cache_link_return(hot->link, &entry->segments[i]);
    free(entry);
}

static void take_segment(struct hot_entry *entry, uint32_t i, struct larder_segment **segment)
{
    entry->segments[i] = *segment;
    *segment = NULL;
    entry->segments_held++;
    entry->hot->link->kept++;
}

static void take_look_up(struct hot_entry *entry, struct larder_event *event, const struct http_meta *meta)
{
    entry->meta = *meta;
    entry->meta_length = event->meta_length;
    entry->object_size = event->object_size;
    entry->fresh_until = event->fresh_until;
    entry->first_bytes = event->length;
    entry->piece_bytes = entry->hot->link->segment_bytes;
    take_segment(entry, 0, &event->segment);
}

struct hot_entry *hot_hold(struct hot_entry *entry)
{
    entry->references++;
    return entry;
}

void hot_drop(struct hot_entry **pointer)
{
    struct hot_entry *entry = *pointer;

    *pointer = NULL;
    if (entry && --entry->references == 0)
        entry_free(entry);
}

static bool is_good(const struct hot_entry *entry)
{
    return entry->hot->link->loop->wall_ms < entry->fresh_until &&
           larder_segment_is_current(entry->segments[0]);
}

/* ---- the set ---- */

static struct hot_entry *find(struct hot *hot, struct http_span key, uint64_t hash)
{
    struct hot_entry *entry;

    HASH_FIND_BYHASHVALUE(hh, hot->entries, key.at, key.length, (unsigned)hash, entry);
    return entry;
}

/* In the set, or to be in it soon. */
static struct hot_entry *find_either(struct hot *hot, struct http_span key, uint64_t hash)
{
    struct hot_entry *entry = find(hot, key, hash), *loading = hot->loading.entry;

    if (entry || !loading || loading->hash != hash ||
        !http_span_equal((struct http_span){loading->key, loading->key_length}, key))
        return entry;
    return loading;
}

static void list(struct hot *hot, struct hot_entry *entry)
{
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, hot->entries, entry->key, entry->key_length, (unsigned)entry->hash,
                                entry);
    INVARIANT(entry->hh.tbl); /* NULL: there was no memory for it */
    entry->listed = true;
    entry->asked_ms = hot->link->loop->now_ms;
    loop_arm(hot->link->loop, &hot->idle, &entry->idle);
}

static void unlist(struct hot *hot, struct hot_entry *entry)
{
    if (hot->hand == entry)
        hot->hand = entry->hh.next;
    HASH_DELETE(hh, hot->entries, entry);
    entry->listed = false;
    repeats_forget(&entry->repeats);
    deadline_clear(&entry->idle);
    hot_drop(&entry);
}

/* Looked at now and then, instead of armed anew with each question. */
static void idle_expired(struct deadline *deadline)
{
    struct hot_entry *entry =
        (struct hot_entry *)(void *)((char *)deadline - offsetof(struct hot_entry, idle));
    struct hot *hot = entry->hot;

    if (is_good(entry) && hot->link->loop->now_ms - entry->asked_ms < IDLE_MS)
        loop_arm(hot->link->loop, &hot->idle, &entry->idle);
    else
        unlist(hot, entry);
}

static struct hot_entry *next_at_hand(struct hot *hot)
{
    struct hot_entry *entry = hot->hand ? hot->hand : hot->entries;

    if (entry)
        hot->hand = entry->hh.next;
    return entry;
}

/* A response under way would keep its segments. */
static bool is_in_use(const struct hot_entry *entry)
{
    return entry->references > 1;
}

/* Counts say nothing of when that was: a large object may take a second for few questions, in which small
 * ones have had thousands. */
static uint32_t heat_of(const struct hot *hot, const struct hot_entry *entry)
{
    if (hot->link->loop->now_ms - entry->asked_ms >= COLD_MS)
        return 0;
    return sketch_estimate(&hot->sketch, entry->hash);
}

/* The coldest of the next few, if it is clearly colder: counts of equally hot keys differ by chance. What is
 * no good any more is cold. */
static struct hot_entry *find_colder(struct hot *hot, uint32_t uses)
{
    struct hot_entry *coldest = NULL;
    uint32_t least = UINT32_MAX;

    for (unsigned i = 0; i < SEARCH_STEPS; i++) {
        struct hot_entry *entry = next_at_hand(hot);
        uint32_t heat;

        if (!entry)
            break;
        if (is_in_use(entry))
            continue;
        if (!is_good(entry))
            return entry;
        heat = heat_of(hot, entry);
        if (heat < least) {
            least = heat;
            coldest = entry;
        }
    }
    return coldest && 2 * least + 2 < uses ? coldest : NULL;
}

static bool make_room(struct hot *hot, uint32_t segments, uint32_t uses)
{
    if (segments > hot->limit)
        return false;
    while (hot->segments + segments > hot->limit) {
        struct hot_entry *entry = find_colder(hot, uses);

        if (!entry)
            return false;
        unlist(hot, entry);
    }
    return true;
}

/* However scarce segments are: what is hot needs none any more once it is kept. If others do, they get it. */
static bool may_take_more(const struct hot *hot)
{
    return hot->link->loop->now_ms >= hot->paused_until_ms;
}

/* Where the set is full, one in so many questions may find that there is something colder. */
static bool is_worth_keeping(struct hot *hot, uint32_t uses)
{
    if (uses < HOT_AFTER || hot->limit == 0 || !may_take_more(hot))
        return false;
    if (hot->segments < hot->limit)
        return true;
    if (hot->since_search < SEARCH_INTERVAL)
        return false;
    hot->since_search = 0;
    return find_colder(hot, uses) != NULL;
}

struct hot_entry *hot_ask(struct hot *hot, const struct cache_key *key, bool *keep)
{
    struct hot_entry *entry;
    uint64_t hash;
    uint32_t uses;

    *keep = false;
    if (key->rest.length > HOT_KEY_MAX)
        return NULL;
    hash = hash_of(hot, key->rest);
    uses = sketch_add(&hot->sketch, hash);
    hot->since_search++;
    entry = find_either(hot, key->rest, hash);
    if (entry && is_good(entry)) {
        entry->asked_ms = hot->link->loop->now_ms;
        return entry;
    }
    if (entry && entry != hot->loading.entry)
        unlist(hot, entry);
    *keep = is_worth_keeping(hot, uses);
    return NULL;
}

bool hot_ask_again(struct hot_entry *entry)
{
    struct hot *hot = entry->hot;

    if (!is_good(entry))
        return false;
    sketch_add(&hot->sketch, entry->hash);
    hot->since_search++;
    entry->asked_ms = hot->link->loop->now_ms;
    return true;
}

struct hot_entry *hot_find(struct hot *hot, const struct cache_key *key)
{
    struct hot_entry *entry = NULL;

    if (key->rest.length <= HOT_KEY_MAX)
        entry = find_either(hot, key->rest, hash_of(hot, key->rest));
    return entry && is_good(entry) ? entry : NULL;
}

void hot_used(struct hot_entry *entry)
{
    larder_segment_used(entry->segments[0]);
}

struct hot_entry *hot_adopt(struct hot *hot, const struct cache_key *key, struct larder_event *event,
                            const struct http_meta *meta)
{
    struct hot_entry *entry;
    uint64_t hash;

    if (key->rest.length > HOT_KEY_MAX || !may_take_more(hot))
        return NULL;
    hash = hash_of(hot, key->rest);
    if (find(hot, key->rest, hash) || !make_room(hot, 1, sketch_estimate(&hot->sketch, hash)))
        return NULL;
    entry = entry_new(hot, key->rest, hash, 1);
    take_look_up(entry, event, meta);
    list(hot, entry);
    return entry;
}

/* Which segment `position` stands in. */
static uint32_t segment_at(const struct hot_entry *entry, uint64_t position)
{
    if (position < entry->first_bytes)
        return 0;
    return 1 + (uint32_t)((position - entry->first_bytes) / entry->piece_bytes);
}

struct hot_piece hot_piece(const struct hot_entry *entry, uint64_t position, uint64_t end)
{
    struct larder_segment *segment = entry->segments[segment_at(entry, position)];
    uint32_t skip = entry->meta_length, from = (uint32_t)position, limit = entry->first_bytes;

    if (!segment)
        return (struct hot_piece){0};
    if (position >= entry->first_bytes) {
        from = (uint32_t)((position - entry->first_bytes) % entry->piece_bytes);
        limit = entry->piece_bytes;
        skip = 0;
    }
    if (end - position < limit - from)
        limit = from + (uint32_t)(end - position);
    return (struct hot_piece){.segment = segment, .offset = skip + from, .size = limit - from};
}

/* ---- waiting for what is being loaded ---- */

bool hot_await(struct hot_entry *entry, uint64_t position, struct hot_wait *wait)
{
    struct hot *hot = entry->hot;

    INVARIANT(!wait->entry);
    if (hot->loading.entry != entry)
        return false;
    wait->entry = entry;
    wait->segment = segment_at(entry, position);
    DL_APPEND(hot->waiting, wait);
    hot->waiting_count++;
    return true;
}

void hot_unwait(struct hot_wait *wait)
{
    struct hot *hot;

    if (!wait->entry)
        return;
    hot = wait->entry->hot;
    DL_DELETE(hot->waiting, wait);
    hot->waiting_count--;
    wait->entry = NULL;
}

static bool is_settled(const struct hot_wait *wait)
{
    return wait->entry->segments[wait->segment] || wait->entry != wait->entry->hot->loading.entry;
}

/* Who is told may wait for the next piece at once, behind the others. */
static void tell_those_who_wait(struct hot *hot)
{
    for (unsigned turns = hot->waiting_count; turns > 0 && hot->waiting; turns--) {
        struct hot_wait *wait = hot->waiting;

        if (is_settled(wait)) {
            hot_unwait(wait);
            wait->settled(wait);
        } else {
            DL_DELETE(hot->waiting, wait);
            DL_APPEND(hot->waiting, wait);
        }
    }
}

/* ---- loading ---- */

static void stop_loading(struct hot *hot)
{
    struct hot_loading *loading = &hot->loading;

    cache_link_unwait(hot->link, &loading->wait);
    cache_ops_sever(&loading->ops);
    deadline_clear(&loading->deadline);
    cache_link_release(hot->link, &loading->handle);
    hot_drop(&loading->entry);
    if (hot->waiting)
        loop_put_off(hot->link->loop, &hot->go_on);
}

/* What the cache cannot give now is not asked for again at once: those who wait would come back for ever. */
static void give_up_loading(struct hot *hot)
{
    hot->paused_until_ms = hot->link->loop->now_ms + PAUSE_MS;
    stop_loading(hot);
}

static void loading_stalled(struct deadline *deadline)
{
    give_up_loading((struct hot *)(void *)((char *)deadline - offsetof(struct hot, loading) -
                                           offsetof(struct hot_loading, deadline)));
}

static void loaded(struct hot *hot)
{
    struct hot_entry *entry = hot->loading.entry;

    if (is_good(entry) && !find(hot, (struct http_span){entry->key, entry->key_length}, entry->hash))
        list(hot, hot_hold(entry));
    stop_loading(hot);
}

static uint64_t offset_of(const struct hot_entry *entry, uint32_t segment)
{
    return entry->first_bytes + (uint64_t)(segment - 1) * entry->piece_bytes;
}

static uint32_t bytes_of(const struct hot_entry *entry, uint32_t segment)
{
    uint64_t left = entry->object_size - offset_of(entry, segment);

    return left < entry->piece_bytes ? (uint32_t)left : entry->piece_bytes;
}

/* Is it what was asked for? */
static bool is_expected(const struct hot_entry *entry, const struct larder_event *event)
{
    uint64_t place = 1 + (event->offset - entry->first_bytes) / entry->piece_bytes;

    return event->status == LARDER_OK && event->segment && place < entry->segments_wanted &&
           !entry->segments[place] && event->offset == offset_of(entry, (uint32_t)place) &&
           event->length == bytes_of(entry, (uint32_t)place);
}

static void rest_answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct hot *hot = owner;
    struct hot_entry *entry = hot->loading.entry;

    (void)op;
    if (!is_expected(entry, event)) {
        give_up_loading(hot);
        return;
    }
    take_segment(entry, segment_at(entry, event->offset), &event->segment);
    loop_arm(hot->link->loop, &hot->stalls, &hot->loading.deadline);
    loop_put_off(hot->link->loop, &hot->go_on);
}

/* Where requests take all segments it waits for one of theirs, and takes none from the set. */
static int read_segment(struct hot *hot, uint32_t segment)
{
    struct hot_loading *loading = &hot->loading;
    const struct hot_entry *entry = loading->entry;

    if (hot->link->held >= hot->link->segments)
        return -EAGAIN;
    return cache_link_read_row(hot->link, &loading->ops, loading->handle, offset_of(entry, segment),
                               bytes_of(entry, segment), &loading->row, rest_answered, hot);
}

static int ask_for_more(struct hot *hot)
{
    struct hot_loading *loading = &hot->loading;
    int error = 0;

    while (!error && loading->next < loading->entry->segments_wanted && loading->ops.count < READS_AHEAD) {
        error = read_segment(hot, loading->next);
        loading->next += !error;
    }
    return error;
}

/* By a response, or by those to come. */
static bool is_wanted(const struct hot_entry *entry)
{
    return is_in_use(entry) || is_good(entry);
}

static void read_on(struct hot *hot)
{
    const struct hot_entry *entry = hot->loading.entry;
    int error = ask_for_more(hot);

    if (entry->segments_held == entry->segments_wanted)
        loaded(hot);
    else if (!is_wanted(entry))
        stop_loading(hot);
    else if (error == -EAGAIN)
        cache_link_wait_first(hot->link, &hot->loading.wait);
    else if (error)
        give_up_loading(hot);
}

static void go_on(struct loop_task *task)
{
    struct hot *hot = (struct hot *)(void *)((char *)task - offsetof(struct hot, go_on));

    if (hot->loading.entry)
        read_on(hot);
    tell_those_who_wait(hot);
}

static uint32_t segments_for(const struct hot *hot, uint64_t bytes)
{
    uint64_t segments = bytes / hot->link->segment_bytes + (bytes % hot->link->segment_bytes != 0);

    return segments < UINT32_MAX ? (uint32_t)segments : UINT32_MAX;
}

/* How many segments the body needs besides the look-up's. Most bodies go on where that one ends. What is read
 * from its beginning instead stands in one row, and leaves in one piece: where that takes no segment
 * more, or few for its size. */
static uint32_t plan(const struct hot *hot, const struct larder_event *event, bool *in_a_row)
{
    uint32_t rest = segments_for(hot, event->object_size - event->length);
    uint32_t all = segments_for(hot, event->object_size);

    *in_a_row = all == rest || (all >= ROW_FROM && all < hot->limit);
    return *in_a_row ? all : rest;
}

static bool retry(struct cache_wait *wait)
{
    struct hot *hot = (struct hot *)(void *)((char *)wait - offsetof(struct hot, loading.wait));

    read_on(hot);
    return cache_link_retried(hot->link, wait);
}

struct hot_entry *hot_load(struct hot *hot, const struct cache_key *key, struct larder_event *event,
                           const struct http_meta *meta, uint64_t *handle)
{
    struct hot_loading *loading = &hot->loading;
    bool in_a_row;
    uint32_t segments = plan(hot, event, &in_a_row);
    struct hot_entry *entry;
    uint64_t hash;

    if (loading->entry || key->rest.length > HOT_KEY_MAX || segments >= hot->limit || !may_take_more(hot))
        return NULL;
    hash = hash_of(hot, key->rest);
    if (find(hot, key->rest, hash) || !make_room(hot, segments + 1, sketch_estimate(&hot->sketch, hash)))
        return NULL;
    entry = loading->entry = entry_new(hot, key->rest, hash, segments + 1);
    take_look_up(entry, event, meta);
    if (in_a_row)
        entry->first_bytes = 0;
    loading->handle = *handle;
    *handle = 0;
    loading->next = 1;
    loading->row = (struct cache_row){.count = segments};
    loop_arm(hot->link->loop, &hot->stalls, &loading->deadline);
    loop_put_off(hot->link->loop, &hot->go_on);
    return entry;
}

/* ---- giving way ---- */

static bool give_way(struct cache_keeper *keeper)
{
    struct hot *hot = (struct hot *)keeper;
    uint32_t before = hot->segments;

    _Static_assert(offsetof(struct hot, keeper) == 0, "the keeper is cast to its set");
    for (unsigned i = 0; i < SEARCH_STEPS && hot->segments == before; i++) {
        struct hot_entry *entry = next_at_hand(hot);

        if (entry && !is_in_use(entry))
            unlist(hot, entry);
    }
    if (hot->segments == before)
        return false;
    hot->paused_until_ms = hot->link->loop->now_ms + PAUSE_MS;
    return true;
}

void hot_clear(struct hot *hot)
{
    stop_loading(hot);
    while (hot->entries)
        unlist(hot, hot->entries);
}

static void cache_lost(struct cache_keeper *keeper)
{
    hot_clear((struct hot *)keeper);
}

/* ---- life ---- */

void hot_setup(struct hot *hot, struct cache_link *link, int64_t stall_ms)
{
    *hot = (struct hot){.keeper = {.give_way = give_way, .lost = cache_lost},
                        .link = link,
                        .limit = link->segments / 2,
                        .go_on = {.run = go_on}};
    loop_add_deadlines(link->loop, &hot->idle, IDLE_MS, idle_expired);
    loop_add_deadlines(link->loop, &hot->stalls, stall_ms, loading_stalled);
    hot->loading.wait.retry = retry;
    randombytes_buf(hot->hash_key, sizeof hot->hash_key);
    sketch_setup(&hot->sketch, hot->limit);
    repeats_setup(&hot->repeats, hot->limit * REPEATS_FACTOR);
    cache_link_set_keeper(link, &hot->keeper);
}

void hot_set_stall(struct hot *hot, int64_t stall_ms)
{
    hot->stalls.after_ms = stall_ms;
}

void hot_teardown(struct hot *hot)
{
    cache_link_set_keeper(hot->link, NULL);
    hot_clear(hot);
    INVARIANT(hot->segments == 0);
    free(hot->sketch.counters);
    repeats_teardown(&hot->repeats);
}
