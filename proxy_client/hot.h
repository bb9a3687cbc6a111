/* hot.h: what the clients of this proxy ask for most, kept in segments of the pool and served again without
 * asking the cache.
 *
 *     hot_ask() ─┬─ there ──────────────────────────────────────────────────────────────> served
 *                └─ asked for often lately ──> LARDER_LOOKUP_KEEP ─┬─ hot_adopt() ──> in the set
 *                                    larger than a segment ────────┴─ hot_load() ── all read ──> in the set
 *
 *     in the set ──> out of it: no longer current, no longer fresh, not asked for any more, colder than what
 *                    wants its place, its segments are needed, or the cache is gone
 *     out of it ──> freed with its last reference
 *
 * Truth: an entry is given out only while the cache says that its segment is current, and the proxy's clock
 * that it is fresh. What a hit of the cache would be good for, it is good for.
 *
 * Bounds: at most half of the pool's segments, those included that a response still needs but the set has
 * given up; less as soon as requests find none. One object is loaded at a time.
 *
 * Ownership: the set holds segments and one reference to each entry; hot_hold() and hot_drop() are those of
 * responses under way. Whoever is given an entry by hot_ask() or hot_adopt() holds it before the set is
 * called again.
 *
 * Trust: metadata was checked when it was adopted, and nothing writes into a segment that is kept.
 *
 * Threads: one. */
#ifndef LARDER_HOT_H
#define LARDER_HOT_H

#include "cache_link.h"
#include "exchange.h"
#include "http_meta.h"
#include "output.h"

#include <uthash.h>

#define HOT_KEY_MAX 2048u /* bytes behind the prefix; longer keys are never kept */

struct hot_entry {
    struct output_source source; /* first: a block of an output holds a reference by it */
    struct hot *hot;
    UT_hash_handle hh;
    uint64_t hash;
    unsigned references;
    struct deadline idle; /* while it is in the set */
    int64_t asked_ms;
    struct http_meta meta; /* its lines stand in the first segment */
    uint32_t meta_length;
    uint64_t object_size;
    int64_t fresh_until; /* milliseconds */
    int64_t memo_second; /* for which `memo` was written */
    struct exchange_memo memo;
    uint32_t first_bytes;     /* of the body, in the first segment */
    uint32_t piece_bytes;     /* in each further one but the last */
    uint32_t segments_wanted; /* for all of it */
    uint32_t segments_held;
    struct larder_segment **segments; /* the look-up's, then those of the rest */
    uint32_t key_length;
    char *key;
};

/* How often keys were asked for lately: two rows of counters, of which the lower one counts; after so many
 * questions all are halved. Keyed hashes choose them, so that nobody can make others look hot. */
struct hot_sketch {
    uint8_t *counters; /* two rows of `width` */
    uint32_t width;    /* a power of two */
    uint32_t asked, age_after;
};

/* The one object whose rest is being read. */
struct hot_loading {
    struct hot_entry *entry; /* NULL: there is none */
    struct cache_ops ops;
    struct cache_wait wait;
    uint64_t handle; /* of the exchange that found it, as long as that lasts, then ours */
    bool owns_handle;
    uint32_t next; /* segment to be asked for */
};

struct hot {
    struct cache_keeper keeper; /* first */
    struct cache_link *link;
    struct hot_entry *entries; /* uthash, in order of their coming */
    struct deadline_list idle;
    struct hot_entry *hand;  /* where the search for a cold one goes on */
    uint32_t limit;          /* segments */
    uint32_t segments;       /* held by entries, whether in the set or not */
    uint32_t since_search;   /* questions since the last search for an entry that would give way to another */
    int64_t paused_until_ms; /* nothing is adopted: requests needed segments */
    struct hot_sketch sketch;
    struct hot_loading loading;
    unsigned char hash_key[16];
};

/* Registers itself with the link (cache_link_set_keeper()). A pool of which half is no segment keeps nothing.
 */
void hot_setup(struct hot *hot, struct cache_link *link);
/* Nobody holds an entry any more. */
void hot_teardown(struct hot *hot);

/* The key is asked for. NULL: it must be looked up; *keep: with LARDER_LOOKUP_KEEP. All keys have the same
 * prefix, so only the rest counts. */
struct hot_entry *hot_ask(struct hot *hot, const struct cache_key *key, bool *keep);
/* A look-up with LARDER_LOOKUP_KEEP was answered by HIT, kept, and the whole object: takes the event's
 * segment, or returns NULL and leaves it. `meta` is what was decoded. */
struct hot_entry *hot_adopt(struct hot *hot, const struct cache_key *key, struct larder_event *event,
                            const struct http_meta *meta);
/* The same, but some of the body is missing: begins to read it with the event's `handle`, which stays its
 * owner's. The caller holds the entry that is returned. */
struct hot_entry *hot_load(struct hot *hot, const struct cache_key *key, struct larder_event *event,
                           const struct http_meta *meta, uint64_t handle);
/* The handle would be released now. True: it is the set's from now on. */
bool hot_inherits(struct hot *hot, uint64_t handle);

/* A response is served from it: the cache counts that as a hit. */
void hot_used(struct hot_entry *entry);
struct hot_entry *hot_hold(struct hot_entry *entry);
void hot_drop(struct hot_entry **entry); /* nulls it; NULL is allowed */

/* The body from `position` on, as far as it stands in one segment and before `end`. */
struct hot_piece {
    struct larder_segment *segment;
    uint32_t offset, size;
};
struct hot_piece hot_piece(const struct hot_entry *entry, uint64_t position, uint64_t end);

void hot_clear(struct hot *hot); /* all entries leave the set */

#endif
