#include "tags.h"

#include "invariant.h"

#include <string.h>

#define FIRST_SIZE 16u

size_t tag_set_bytes(uint32_t count)
{
    return sizeof(struct tag_set) + count * sizeof(struct tag_node);
}

bool tag_list_has(const struct tag_list *list, uint64_t tag)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->tags[i] == tag)
            return true;
    }
    return false;
}

void tag_list_add(struct tag_list *list, uint64_t tag)
{
    if (tag_list_has(list, tag))
        return;
    INVARIANT(list->count < sizeof(list->tags) / sizeof(*list->tags));
    list->tags[list->count++] = tag;
}

bool tag_set_has(const struct tag_set *set, uint64_t tag)
{
    for (uint32_t i = 0; set && i < set->count; i++) {
        if (set->nodes[i].tag == tag)
            return true;
    }
    return false;
}

static uint32_t sieve_bit(uint64_t tag)
{
    return (uint32_t)tag & 1023;
}

void tag_sieve_setup(struct tag_sieve *sieve, const struct tag_list *list)
{
    *sieve = (struct tag_sieve){.list = list};
    for (uint32_t i = 0; i < list->count; i++)
        sieve->bits[sieve_bit(list->tags[i]) / 64] |= UINT64_C(1) << sieve_bit(list->tags[i]) % 64;
}

bool tag_set_has_any(const struct tag_set *set, const struct tag_sieve *sieve)
{
    for (uint32_t i = 0; set && i < set->count; i++) {
        uint64_t tag = set->nodes[i].tag;

        if (sieve->bits[sieve_bit(tag) / 64] >> sieve_bit(tag) % 64 & 1 && tag_list_has(sieve->list, tag))
            return true;
    }
    return false;
}

/* ---- buckets ---- */

static struct tags_shelf *shelf_of(struct tags *tags, uint64_t tag)
{
    return &tags->shelves[tag >> 56];
}

static struct tag_node **bucket_of(const struct tags_shelf *shelf, uint64_t tag)
{
    return &shelf->buckets[tag & (shelf->size - 1)];
}

/* What points to the newest node of the tag; it points to NULL when there is none. */
static struct tag_node **place_of(const struct tags_shelf *shelf, uint64_t tag)
{
    struct tag_node **place = bucket_of(shelf, tag);

    while (*place && (*place)->tag != tag)
        place = &(*place)->chain;
    return place;
}

static void move_all(struct tags_shelf *to, const struct tags_shelf *from)
{
    for (uint32_t i = 0; i < from->size; i++) {
        struct tag_node *node = from->buckets[i], *next;

        for (; node; node = next) {
            struct tag_node **bucket = bucket_of(to, node->tag);

            next = node->chain;
            node->chain = *bucket;
            *bucket = node;
        }
    }
}

static bool grow(struct tags_shelf *shelf, struct memory *memory, struct account *index)
{
    struct tags_shelf larger = {.size = shelf->size ? shelf->size * 2 : FIRST_SIZE, .used = shelf->used};

    larger.buckets = memory_alloc_index(memory, index, larger.size * sizeof(struct tag_node *));
    if (!larger.buckets)
        return false;
    memset(larger.buckets, 0, larger.size * sizeof(struct tag_node *));
    move_all(&larger, shelf);
    memory_free(memory, index, shelf->buckets);
    *shelf = larger;
    return true;
}

/* A table with room does not grow, one without doubles, and each tag can be the first of one. */
uint64_t tags_growth(const struct tags *tags, const struct tag_list *list)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct tags_shelf *shelf = &tags->shelves[list->tags[i] >> 56];

        if (shelf->used + list->count > shelf->size)
            bytes += 2 * (uint64_t)(shelf->size ? shelf->size : FIRST_SIZE) * sizeof(struct tag_node *);
    }
    return bytes;
}

static bool have_buckets(struct tags *tags, struct memory *memory, struct account *index,
                         const struct tag_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct tags_shelf *shelf = shelf_of(tags, list->tags[i]);

        /* Without more of them it goes on, a little slower. */
        if (shelf->used >= shelf->size && !grow(shelf, memory, index) && shelf->size == 0)
            return false;
    }
    return true;
}

/* ---- nodes ---- */

static void link_node(struct tags_shelf *shelf, struct tag_node *node)
{
    struct tag_node **place = place_of(shelf, node->tag), *older = *place;

    node->next = older;
    node->back = NULL;
    node->chain = NULL;
    if (older) {
        older->back = node;
        node->chain = older->chain;
        older->chain = NULL;
    } else {
        shelf->used++;
    }
    *place = node;
}

static void unlink_node(struct tags_shelf *shelf, const struct tag_node *node)
{
    if (node->next)
        node->next->back = node->back;
    if (node->back) {
        node->back->next = node->next;
        return;
    }
    struct tag_node **place = place_of(shelf, node->tag);
    INVARIANT(*place == node);
    if (node->next) {
        node->next->chain = node->chain;
        *place = node->next;
    } else {
        *place = node->chain;
        shelf->used--;
    }
}

bool tags_link(struct tags *tags, struct memory *memory, struct account *index, struct tag_set *set,
               const struct tag_list *list, struct object *object)
{
    if (!have_buckets(tags, memory, index, list))
        return false;
    set->count = list->count;
    for (uint32_t i = 0; i < list->count; i++) {
        set->nodes[i].tag = list->tags[i];
        set->nodes[i].object = object;
        link_node(shelf_of(tags, list->tags[i]), &set->nodes[i]);
    }
    return true;
}

void tags_unlink(struct tags *tags, struct tag_set *set)
{
    for (uint32_t i = 0; set && i < set->count; i++)
        unlink_node(shelf_of(tags, set->nodes[i].tag), &set->nodes[i]);
    if (set)
        set->count = 0;
}

struct tag_node *tags_find(const struct tags *tags, uint64_t tag)
{
    const struct tags_shelf *shelf = &tags->shelves[tag >> 56];

    return shelf->size > 0 ? *place_of(shelf, tag) : NULL;
}

void tags_free(struct tags *tags, struct memory *memory, struct account *index)
{
    for (uint32_t i = 0; i < TAGS_SHELVES; i++) {
        INVARIANT(tags->shelves[i].used == 0);
        memory_free(memory, index, tags->shelves[i].buckets);
    }
    memset(tags, 0, sizeof(*tags));
}

/* ---- blocks ---- */

bool tags_read(const uint8_t *block, uint32_t length,
               void (*found)(void *context, const uint8_t *text, uint32_t length), void *context)
{
    uint32_t at = 0;

    for (uint32_t i = 0; at < length; i++) {
        uint32_t left = length - at, most = TAGS_MAX_BYTES + 1;
        const uint8_t *end = memchr(block + at, '\0', left < most ? left : most);

        if (i == TAGS_MAX || !end || end == block + at)
            return false;
        found(context, block + at, (uint32_t)(end - block) - at);
        at = (uint32_t)(end - block) + 1;
    }
    return true;
}
