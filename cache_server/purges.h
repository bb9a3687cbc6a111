/* purges.h: what has been purged of a tenant lately, as far as it still has to be remembered.
 *
 * A purge takes effect at once, however many objects it hits: it leaves a record with a stamp, and an object
 * that is older than a record that matches it is treated as gone (or stale) by whoever finds it. Meanwhile
 * the objects are visited in bounded steps (purge.h), and the record goes when all have been.
 *
 *     clock     counts the tenant's purges. A lease bears the clock at which it was granted, an object the
 * one up to which it is known to be hit by none records   of a prefix (an empty one is everything), or of a
 * tag. Prefixes are looked for by walking all objects of the tenant: `cursor` is the next to be visited in
 * this round, which is over for the records that were there when it began. A tag's objects have a list of
 * their own recent    stamps of the latest purges of tags, for the sake of responses that were asked for
 * before and come with such a tag later. The table is bounded; the oldest stamp that falls out of it is the
 *               floor: who was granted a lease before that counts as hit, whatever the tags
 *
 * Ownership: records are charged to the tenant, by whoever creates them. Knows no store; pure. */
#ifndef LARDER_PURGES_H
#define LARDER_PURGES_H

#include "memory.h"
#include "tags.h"

#define PURGES_MAX    128u /* records */
#define PURGES_RECENT 128u

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
    struct purge_record *records;
    uint32_t count;
    uint32_t prefixes;     /* of the records */
    bool walking;          /* a round is under way, */
    uint64_t round;        /*   for records up to this stamp */
    struct object *cursor; /* of the round: the next to be visited */
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

void purges_object_goes(struct purges *purges, const struct object *object, struct object *next);
void purges_set_goes(struct purges *purges, const struct tag_set *set);

/* ---- what comes later ---- */

void purges_note_tag(struct purges *purges, uint64_t tag);
/* Has one of these been purged since? */
bool purges_since(const struct purges *purges, const struct tag_list *list, uint64_t stamp);

#endif
