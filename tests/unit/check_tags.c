/* tags: which objects carry which tag, however many there are, and what a block of tags may look like. */
#include "tags.h"

#include "check_unit.h"

#include <stdlib.h>
#include <string.h>

#define OBJECTS 2000u

static struct {
    struct memory memory;
    struct account index;
    struct tags tags;
    struct tag_set *sets[OBJECTS];
} here;

/* Objects are opaque here: their places in the table do. */
static struct object *object_at(uint32_t i)
{
    return (struct object *)(void *)&here.sets[i];
}

static void tag(uint32_t i, const struct tag_list *list)
{
    here.sets[i] = malloc(tag_set_bytes(list->count));
    ck_assert_ptr_nonnull(here.sets[i]);
    ck_assert(tags_link(&here.tags, &here.memory, &here.index, here.sets[i], list, object_at(i)));
}

static void untag(uint32_t i)
{
    tags_unlink(&here.tags, here.sets[i]);
    free(here.sets[i]);
    here.sets[i] = NULL;
}

static uint32_t count(uint64_t wanted)
{
    uint32_t found = 0;

    for (const struct tag_node *node = tags_find(&here.tags, wanted); node; node = node->next) {
        ck_assert_uint_eq(node->tag, wanted);
        ck_assert(!node->back || node->back->next == node);
        found++;
    }
    return found;
}

static void begin(void)
{
    here.memory.limit = UINT64_MAX / 2;
}

static void end(void)
{
    tags_free(&here.tags, &here.memory, &here.index);
    ck_assert_uint_eq(here.memory.used, 0);
    ck_assert_uint_eq(here.index.used, 0);
}

START_TEST(newest_first)
{
    struct tag_list list = {0};

    begin();
    tag_list_add(&list, 7);
    tag_list_add(&list, 7); /* once is enough */
    ck_assert_uint_eq(list.count, 1);
    ck_assert_ptr_null(tags_find(&here.tags, 7));
    tag(0, &list);
    tag(1, &list);
    tag(2, &list);
    ck_assert_ptr_eq(tags_find(&here.tags, 7)->object, object_at(2));
    ck_assert_ptr_eq(tags_find(&here.tags, 7)->next->object, object_at(1));
    ck_assert_uint_eq(count(7), 3);
    untag(1); /* in the middle, */
    ck_assert_ptr_eq(tags_find(&here.tags, 7)->next->object, object_at(0));
    untag(2); /* the newest, */
    ck_assert_ptr_eq(tags_find(&here.tags, 7)->object, object_at(0));
    untag(0); /* the last */
    ck_assert_ptr_null(tags_find(&here.tags, 7));
    tags_unlink(&here.tags, NULL);
    end();
}
END_TEST

/* All in one shelf, and many in one bucket, whatever its size. */
static uint64_t own_tag(uint32_t i)
{
    return 64 * (uint64_t)(i + 1);
}

START_TEST(many_tags_in_one_shelf)
{
    begin();
    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct tag_list list = {2, {own_tag(i), UINT64_C(1) << 40}}; /* one of its own, one of all */
        tag(i, &list);
    }
    ck_assert_uint_eq(count(UINT64_C(1) << 40), OBJECTS);
    for (uint32_t i = 0; i < OBJECTS; i++)
        ck_assert_uint_eq(count(own_tag(i)), 1);
    ck_assert_uint_eq(count(own_tag(OBJECTS)), 0);
    ck_assert(tag_set_has(here.sets[5], own_tag(5)) && !tag_set_has(here.sets[5], own_tag(4)) &&
              !tag_set_has(NULL, own_tag(5)));
    for (uint32_t i = 0; i < OBJECTS; i += 2)
        untag(i);
    ck_assert_uint_eq(count(UINT64_C(1) << 40), OBJECTS / 2);
    for (uint32_t i = 0; i < OBJECTS; i++)
        ck_assert_uint_eq(count(own_tag(i)), i % 2);
    for (uint32_t i = 1; i < OBJECTS; i += 2)
        untag(i);
    end();
}
END_TEST

START_TEST(unlinked_twice_is_unlinked)
{
    struct tag_list list = {2, {1, 2}};

    begin();
    tag(0, &list);
    tags_unlink(&here.tags, here.sets[0]);
    tags_unlink(&here.tags, here.sets[0]);
    ck_assert_uint_eq(count(1) + count(2), 0);
    untag(0);
    end();
}
END_TEST

/* ---- blocks ---- */

struct read {
    uint32_t count, longest;
};

static void found(void *context, const uint8_t *text, uint32_t length)
{
    struct read *read = context;

    ck_assert_ptr_null(memchr(text, '\0', length));
    read->count++;
    read->longest = length > read->longest ? length : read->longest;
}

static const struct block {
    const char *name, *bytes;
    uint32_t length;
    bool sound;
    uint32_t count, longest;
} blocks[] = {
    {"nothing", "", 0, true, 0, 0},
    {"one", "a\0", 2, true, 1, 1},
    {"two", "a\0bcd\0", 6, true, 2, 3},
    {"no end", "a", 1, false, 0, 0},
    {"no end of the second", "a\0b", 3, false, 0, 0},
    {"an empty one", "\0", 1, false, 0, 0},
    {"an empty one between", "a\0\0b\0", 5, false, 0, 0},
};

START_TEST(what_a_block_is)
{
    const struct block *row = &blocks[_i];
    struct read read = {0, 0};

    ck_assert_msg(tags_read((const uint8_t *)row->bytes, row->length, found, &read) == row->sound, "%s",
                  row->name);
    ck_assert_msg(!row->sound || (read.count == row->count && read.longest == row->longest), "%s", row->name);
}
END_TEST

static uint32_t fill_block(uint8_t *block, uint32_t tags, uint32_t length)
{
    for (uint32_t i = 0; i < tags; i++) {
        memset(block + (size_t)i * (length + 1), 'x', length);
        block[(size_t)i * (length + 1) + length] = '\0';
    }
    return tags * (length + 1);
}

START_TEST(bounds_of_a_block)
{
    static uint8_t block[(TAGS_MAX + 1) * (TAGS_MAX_BYTES + 2)];
    struct read read = {0, 0};

    ck_assert(tags_read(block, fill_block(block, TAGS_MAX, TAGS_MAX_BYTES), found, &read));
    ck_assert_uint_eq(read.count, TAGS_MAX);
    ck_assert_uint_eq(read.longest, TAGS_MAX_BYTES);
    ck_assert(!tags_read(block, fill_block(block, TAGS_MAX + 1, 1), found, &read));
    ck_assert(!tags_read(block, fill_block(block, 1, TAGS_MAX_BYTES + 1), found, &read));
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, newest_first);
    tcase_add_test(tcase, many_tags_in_one_shelf);
    tcase_add_test(tcase, unlinked_twice_is_unlinked);
    ADD_ROWS(tcase, what_a_block_is, blocks);
    tcase_add_test(tcase, bounds_of_a_block);
}

int main(void)
{
    return run_suite("tags", add_cases);
}
