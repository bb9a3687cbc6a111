/* hot.h: what the clients of this proxy ask for most, kept in segments of the pool and served again without
 * asking the cache.
 *
 *     hot_ask() ─┬─ in the set, or being loaded ────────────────────────────────────────> served
 *                └─ asked for often lately ──> LARDER_LOOKUP_KEEP ─┬─ hot_adopt() ──> in the set
 *                                    larger than a segment ────────┴─ hot_load() ──> being loaded
 *
 *     being loaded ─┬─ all read ──> in the set
 *                   └─ a bad answer, none in time, nobody wants it, or the cache is gone ──> given up
 *     in the set ──> out of it: no longer current, no longer fresh, not asked for any more, colder than what
 *                    wants its place, its segments are needed, or the cache is gone
 *     out of it ──> freed with its last reference
 *
 * Truth: an entry is given out only while the cache says that its segment is current, and the proxy's clock
 * that it is fresh. What a hit of the cache would be good for, it is good for.
 *
 * Crowds: many who want what is being loaded need its segments once. Each is served what is there, as fast as
 * its client takes it, and waits for the next piece (hot_await()) if it is ahead. Nobody waits for ever: the
 * loading gets on within `stall_ms`, or is given up, and those who wait are told.
 *
 * Bounds: at most half of the pool's segments, those included that a response still needs but the set has
 * given up; less as soon as requests find none. One object is loaded at a time, by a few reads at once; it
 * is first in the line for segments, because it spares others theirs. A response waits in one place at most.
 *
 * Ownership: the set holds segments and one reference to each entry; hot_hold() and hot_drop() are those of
 * responses under way. Whoever is given an entry holds it before the set is called again, and whoever waits
 * for a piece until it waits no more.
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
#include "repeats.h"

#include <uthash.h>

#define HOT_KEY_MAX 2048u /* bytes behind the prefix; longer keys are never kept */

struct hot_entry {
    struct output_source source; /* first: a block of an output holds a reference by it */
    struct hot *hot;
    UT_hash_handle hh;
    uint64_t hash;
    unsigned references;
    bool listed;            /* it is in the set, */
    struct deadline idle;   /*   and then this is armed */
    struct repeat *repeats; /* utlist: heads that it answers, while it is in the set */
    int64_t asked_ms;
    struct http_meta meta; /* its lines stand in the first segment */
    uint32_t meta_length;
    uint64_t object_size;
    int64_t fresh_until; /* milliseconds */
    int64_t memo_second; /* for which `memo` was written */
    struct exchange_memo memo;
    uint32_t first_bytes;     /* of the body, in the first segment; 0: in none but the others */
    uint32_t piece_bytes;     /* in each further one but the last */
    uint32_t segments_wanted; /* for all of it */
    uint32_t segments_held;
    struct larder_segment **segments; /* the look-up's, then those of the rest; NULL: not there (yet) */
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
    struct deadline deadline; /* for the next answer */
    uint64_t handle;
    uint32_t next; /* segment to be asked for */
    struct cache_row row;
};

/* A place among those who wait for a piece. */
struct hot_wait {
    struct hot_entry *entry; /* NULL: it is not taken */
    uint32_t segment;
    struct hot_wait *prev, *next; /* utlist */
    /* The piece is there, or will not come; the place is not taken any more. Called by a task of the loop. */
    void (*settled)(struct hot_wait *wait);
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
    struct repeats repeats;
    struct hot_loading loading;
    struct deadline_list stalls;
    struct hot_wait *waiting; /* utlist: one for each response that is ahead of the loading */
    unsigned waiting_count;
    struct loop_task go_on; /* asks for more, and tells those who wait */
    unsigned char hash_key[16];
};

/* Registers itself with the link (cache_link_set_keeper()). A pool of which half is no segment keeps nothing.
 */
void hot_setup(struct hot *hot, struct cache_link *link, int64_t stall_ms);
void hot_set_stall(struct hot *hot, int64_t stall_ms); /* from the next answer on */
/* Nobody holds an entry any more. */
void hot_teardown(struct hot *hot);

/* The key is asked for. NULL: it must be looked up; *keep: with LARDER_LOOKUP_KEEP. All keys have the same
 * prefix, so only the rest counts. */
struct hot_entry *hot_ask(struct hot *hot, const struct cache_key *key, bool *keep);
/* What was found by the head of its request (repeats.h). False: it must be asked for as ever. */
bool hot_ask_again(struct hot_entry *entry);
/* The same for who has asked already, and the cache as well. */
struct hot_entry *hot_find(struct hot *hot, const struct cache_key *key);
/* A look-up with LARDER_LOOKUP_KEEP was answered by HIT, kept, and the whole object: takes the event's
 * segment, or returns NULL and leaves it. `meta` is what was decoded. */
struct hot_entry *hot_adopt(struct hot *hot, const struct cache_key *key, struct larder_event *event,
                            const struct http_meta *meta);
/* The same, but some of the body is missing: takes the event's handle as well, and nulls the caller's, to
 * read it. */
struct hot_entry *hot_load(struct hot *hot, const struct cache_key *key, struct larder_event *event,
                           const struct http_meta *meta, uint64_t *handle);

/* A response is served from it: the cache counts that as a hit. */
void hot_used(struct hot_entry *entry);
struct hot_entry *hot_hold(struct hot_entry *entry);
void hot_drop(struct hot_entry **entry); /* nulls it; NULL is allowed */

/* The body from `position` on, as far as it stands in one segment and before `end`. Without a segment: it is
 * not there (yet). */
struct hot_piece {
    struct larder_segment *segment;
    uint32_t offset, size;
};
struct hot_piece hot_piece(const struct hot_entry *entry, uint64_t position, uint64_t end);

/* What stands at `position` is not there: wait.settled() will be called. False: it will never be there. */
bool hot_await(struct hot_entry *entry, uint64_t position, struct hot_wait *wait);
void hot_unwait(struct hot_wait *wait); /* harmless if it does not wait */

void hot_clear(struct hot *hot); /* all entries leave the set */

#endif
