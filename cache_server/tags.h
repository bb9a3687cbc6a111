/* tags.h: which objects carry which tag.
 *
 *     bucket ──> node of the newest object with tag A ──next──> older ──next──> oldest
 *                  │ chain
 *                  └──> node of the newest object with tag B ──next──> ...
 *
 * A tag is the keyed hash of a text (store_tag()): who cannot know the key cannot make two that are alike,
 * and two that are by chance are purged together, which loses nothing but a copy. A node belongs to one
 * object and one tag; those of an object are one block, a set, so that what a tag costs is part of what its
 * object costs: there is nothing else to a tag but its share of the buckets.
 *
 * Ownership: sets are allocated and freed by the owner of the objects; here they are only linked.
 * Cost:      to link or unlink a node O(1), to find the objects of a tag a step each, among however many
 *            others. Buckets are in 256 tables, so that one that grows moves little. */
#ifndef LARDER_TAGS_H
#define LARDER_TAGS_H

#include "memory.h"
#include "wire.h"

#define TAGS_MAX       WIRE_MAX_TAGS /* of an object, as a proxy names them */
#define TAGS_MAX_BYTES WIRE_MAX_TAG  /* of a tag's text */
#define TAGS_SHELVES   256u

struct object;

struct tag_node {
    struct tag_node *next;  /* the next older object of this tag */
    struct tag_node *back;  /* the next younger; NULL: this is the newest */
    struct tag_node *chain; /* the newest only: of the next tag in the bucket */
    uint64_t tag;
    struct object *object;
};

struct tag_set {
    uint32_t count;
    struct tag_node nodes[];
};

/* What an object is to be tagged with: each once. One more than proxies can name, for the key that it is a
 * part of. */
struct tag_list {
    uint32_t count;
    uint64_t tags[TAGS_MAX + 1];
};

struct tags {
    struct tags_shelf {
        struct tag_node **buckets;
        uint32_t size; /* a power of two, or 0 */
        uint32_t used; /* tags */
    } shelves[TAGS_SHELVES];
};

size_t tag_set_bytes(uint32_t count);
void tag_list_add(struct tag_list *list, uint64_t tag);
bool tag_list_has(const struct tag_list *list, uint64_t tag);
bool tag_set_has(const struct tag_set *set, uint64_t tag); /* NULL: has none */
/* A list that many sets are compared with: most tags that it has not are told by a bit. */
struct tag_sieve {
    const struct tag_list *list;
    uint64_t bits[16];
};
void tag_sieve_setup(struct tag_sieve *sieve, const struct tag_list *list);
bool tag_set_has_any(const struct tag_set *set, const struct tag_sieve *sieve);

/* The most that linking them can make the buckets grow by, in bytes. */
uint64_t tags_growth(const struct tags *tags, const struct tag_list *list);
/* Makes an allocated block the set of this object, found by all its tags. False: no memory for the buckets,
 * and nothing has happened. */
bool tags_link(struct tags *tags, struct memory *memory, struct account *index, struct tag_set *set,
               const struct tag_list *list, struct object *object);
/* It is found no more. NULL is allowed, and a set that has been unlinked. */
void tags_unlink(struct tags *tags, struct tag_set *set);
/* The newest object's node, or NULL. */
struct tag_node *tags_find(const struct tags *tags, uint64_t tag);
void tags_free(struct tags *tags, struct memory *memory, struct account *index);

/* The texts of a block, each ended by a zero byte: at most TAGS_MAX of 1 to TAGS_MAX_BYTES bytes. Calls
 * `found` for each in turn. False: it is no such block; then some may have been found. */
bool tags_read(const uint8_t *block, uint32_t length,
               void (*found)(void *context, const uint8_t *text, uint32_t length), void *context);

#endif
