/* purges.h: what has been purged of a tenant lately, as far as it still has to be remembered.
 *
 * A purge takes effect at once, however many objects it hits: it leaves a record with a stamp, and an object
 * that is older than a record that matches it is treated as gone (or stale) by whoever finds it. Meanwhile
 * the objects are visited in bounded steps (purge.h), and the record goes when all have been.
 *
 *     clock     counts the tenant's purges. A lease bears the clock at which it was granted
 *     stamp     of an object: the clock up to which it is known that no purge hits it
 *     records   of a prefix (an empty one is everything), or of a tag
 *     recent    the latest purges of tags, for what was asked for before and comes with such a tag later
 *     floor     of tags: the latest stamp that has fallen out of that table, which is bounded
 *
 * Objects of a tag have a list of their own. Those of a prefix are looked for by walking all objects; a round
 * is over for the records that were there when it began. Who was granted a lease before the floor counts as
 * hit, whatever the tags that come.
 *
 * Ownership: records are charged to the tenant, by whoever creates them. Knows no store; pure. */
#ifndef LARDER_PURGES_H
#define LARDER_PURGES_H

#include "memory.h"
#include "tags.h"

#define PURGES_MAX          128u /* records */
#define PURGES_RECENT       128u
/* Of all prefixes together: what judging an object may have to compare. Twice the longest one. */
#define PURGES_PREFIX_BYTES 32768u

enum purge_kind { PURGE_PREFIX, PURGE_TAG };

struct purge_record {
    struct purge_record *prev, *next; /* utlist, oldest first */
    uint64_t stamp;
    int64_t at; /* when, milliseconds since the epoch */
    uint64_t tag;
    struct tag_node *cursor; /* PURGE_TAG: the next to be visited; NULL: all have been */
    uint32_t length;
    uint8_t kind;
    bool soft;
    uint8_t prefix[];
};

struct purges {
    uint64_t clock;
    int64_t latest_ms; /* of the latest purge of all; since the epoch */
    struct purge_record *records;
    uint32_t count;
    uint32_t prefixes;     /* of the records, */
    uint32_t prefix_bytes; /* and how long they are */
    uint64_t round;        /* of prefixes: those up to this stamp have been carried out when it is over */
    uint64_t lease_floor;  /* leases granted before it count as hit by a prefix */
    uint64_t tag_floor;
    uint64_t tag_latest; /* stamp of the latest purge of a tag */
    uint32_t recent_count;
    struct {
        uint64_t tag, stamp;
    } recent[PURGES_RECENT];
};

enum purges_verdict { PURGES_SPARED, PURGES_STALE, PURGES_GONE };

/* ---- records ---- */

size_t purge_record_bytes(uint32_t prefix_length);
/* Fills in the allocated record, with the clock's next stamp, and adds it. */
void purges_add_prefix(struct purges *purges, struct purge_record *record, const uint8_t *prefix,
                       uint32_t length, bool soft, int64_t at);
void purges_add_tag(struct purges *purges, struct purge_record *record, uint64_t tag, struct tag_node *newest,
                    bool soft, int64_t at);
/* Takes it out; the caller frees it. */
void purges_remove(struct purges *purges, struct purge_record *record);
/* A record that does nothing more, since a younger one does as much or more; or NULL. */
struct purge_record *purges_superseded(const struct purges *purges, const struct purge_record *by);

/* What the records say about an object: its key without the tenant's id, its tags, its stamp. `at`: from when
 * on it counts as stale. */
enum purges_verdict purges_judge(const struct purges *purges, const uint8_t *key, uint32_t length,
                                 const struct tag_set *tags, uint64_t stamp, int64_t *at);

/* ---- what is being visited goes ---- */

void purges_set_goes(struct purges *purges, const struct tag_set *set);

/* ---- what comes later ---- */

void purges_note_tag(struct purges *purges, uint64_t tag);
/* Has one of these been purged since? */
bool purges_since(const struct purges *purges, const struct tag_list *list, uint64_t stamp);

#endif
