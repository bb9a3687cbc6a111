/* top: the most used keys and tags, however many there are; old fame fades; tenants do not mix. */
#include "top.h"

#include "check_unit.h"

#include <stdio.h>

static struct tops tops;
static struct wire_top_row rows[2 * WIRE_TOP_MOST];

static void note(struct top *top, uint64_t number)
{
    char key[32];
    int length = snprintf(key, sizeof(key), "key %llu", (unsigned long long)number);

    top_note_key(top, number, (const uint8_t *)key, (uint32_t)length, 1);
}

static void expect_text(const struct wire_top_row *row, const char *text)
{
    ck_assert_uint_eq(row->text_length, strlen(text));
    ck_assert_mem_eq(row->text, text, row->text_length);
}

START_TEST(most_used_come_first)
{
    struct top *top = tops_find(&tops, 7, 0, true);

    for (int i = 0; i < 3; i++)
        note(top, 3);
    note(top, 1);
    for (int i = 0; i < 2; i++)
        note(top, 2);
    ck_assert_uint_eq(top_rows(&tops, top, "news", WIRE_TOP_MOST, rows), 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_str_eq(rows[i].tenant, "news");
        ck_assert_uint_eq(rows[i].kind, WIRE_TOP_KEY);
        ck_assert_uint_eq(rows[i].count, 3 - i);
        ck_assert_uint_eq(rows[i].error, 0);
        ck_assert_uint_eq(rows[i].total, 6);
    }
    expect_text(&rows[0], "key 3");
    ck_assert_uint_eq(top_rows(&tops, top, "news", 1, rows), 1);
    tops_free(&tops);
}
END_TEST

/* Two that get a tenth each among a hundred thousand others that come once. */
START_TEST(the_frequent_are_found_among_many)
{
    struct top *top = tops_find(&tops, 1, 0, true);

    for (uint64_t i = 0; i < 100000; i++)
        note(top, i % 10 == 0 ? 1000000 : i % 10 == 5 ? 1000001 : i);
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 10);
    for (int i = 0; i < 2; i++) {
        ck_assert(memcmp(rows[i].text, "key 100000", 10) == 0);
        ck_assert_uint_ge(rows[i].count, 10000);
        ck_assert_uint_le(rows[i].count - rows[i].error, 10000); /* never more than there were */
    }
    for (int i = 2; i < 10; i++)
        ck_assert_uint_le(rows[i].count - rows[i].error, 1);
    tops_free(&tops);
}
END_TEST

/* Who gets the place of another gets his count as well, as what may be wrong with it. */
START_TEST(newcomers_inherit)
{
    struct top *top = tops_find(&tops, 1, 0, true);

    for (uint64_t i = 0; i < 2 * WIRE_TOP_MOST; i++)
        note(top, i % WIRE_TOP_MOST);
    note(top, 1000);
    ck_assert_uint_eq(top_rows(&tops, top, "t", WIRE_TOP_MOST, rows), WIRE_TOP_MOST);
    expect_text(&rows[0], "key 1000");
    ck_assert_uint_eq(rows[0].count, 3);
    ck_assert_uint_eq(rows[0].error, 2);
    tops_free(&tops);
}
END_TEST

START_TEST(fame_fades)
{
    struct top *top = tops_find(&tops, 1, 1000, true);

    for (int i = 0; i < 8; i++)
        note(top, 1);
    note(top, 2);
    ck_assert_ptr_eq(tops_find(&tops, 1, 1000 + TOP_HALF_LIFE_MS - 1, false), top);
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 2);
    tops_find(&tops, 1, 1000 + TOP_HALF_LIFE_MS, false);
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 1);
    ck_assert_uint_eq(rows[0].count, 4);
    ck_assert_uint_eq(rows[0].total, 4);
    tops_find(&tops, 1, INT64_MAX / 2, false); /* after a long time, in few steps */
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 0);
    ck_assert_uint_eq(top->total, 0);
    tops_free(&tops);
}
END_TEST

START_TEST(long_keys_are_cut)
{
    static uint8_t key[WIRE_MAX_KEY];
    struct top *top = tops_find(&tops, 1, 0, true);

    memset(key, 'k', sizeof(key));
    top_note_key(top, 1, key, sizeof(key), 1);
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 1);
    ck_assert_uint_eq(rows[0].length, sizeof(key));
    ck_assert_uint_eq(rows[0].text_length, WIRE_TOP_TEXT);
    ck_assert_mem_eq(rows[0].text, key, WIRE_TOP_TEXT);
    tops_free(&tops);
}
END_TEST

START_TEST(tags_have_texts_if_they_passed_by)
{
    struct top *top = tops_find(&tops, 1, 0, true);

    tops_name(&tops, 5, (const uint8_t *)"red", 3);
    top_note_tag(top, 5, 1);
    top_note_tag(top, 5, 1);
    top_note_tag(top, 5 + TOP_NAMES, 1); /* whose place it would have */
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 2);
    ck_assert_uint_eq(rows[0].kind, WIRE_TOP_TAG);
    expect_text(&rows[0], "red");
    ck_assert_uint_eq(rows[1].length, 0);
    tops_name(&tops, 5 + TOP_NAMES, (const uint8_t *)"blue", 4);
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 2);
    ck_assert_uint_eq(rows[0].length, 0);
    expect_text(&rows[1], "blue");
    tops_free(&tops);
}
END_TEST

/* Bounded, whatever tenants there are: the one that was fed least recently gives way. */
START_TEST(tenants_are_apart_and_bounded)
{
    for (uint32_t i = 1; i <= TOP_TENANTS; i++)
        note(tops_find(&tops, i, i, true), i);
    ck_assert_uint_eq(tops.count, TOP_TENANTS);
    tops_find(&tops, 1, 1000, true); /* in use again */
    struct top *top = tops_find(&tops, 1000, 1001, true);
    ck_assert_uint_eq(tops.count, TOP_TENANTS);
    ck_assert_ptr_null(tops_find(&tops, 2, 1001, false));
    ck_assert_ptr_nonnull(tops_find(&tops, 1, 1001, false));
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 0);
    top = tops_find(&tops, 3, 1001, false);
    ck_assert_uint_eq(top_rows(&tops, top, "t", 10, rows), 1);
    expect_text(&rows[0], "key 3");
    tops_free(&tops);
    ck_assert_ptr_null(tops_find(&tops, 3, 1001, false));
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, most_used_come_first);
    tcase_add_test(tcase, the_frequent_are_found_among_many);
    tcase_add_test(tcase, newcomers_inherit);
    tcase_add_test(tcase, fame_fades);
    tcase_add_test(tcase, long_keys_are_cut);
    tcase_add_test(tcase, tags_have_texts_if_they_passed_by);
    tcase_add_test(tcase, tenants_are_apart_and_bounded);
}

int main(void)
{
    return run_suite("top", add_cases);
}
