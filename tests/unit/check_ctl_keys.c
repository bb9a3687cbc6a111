/* ctl_keys: what of metadata can be read, and what reaches a terminal. */
#include "ctl_keys.h"

#include "check_unit.h"
#include "meta_head.h"

static const struct row {
    const char *meta;
    uint32_t length, lines; /* where they begin */
} rows[] = {
    {"", 0, 0},
    {"\r\n", 2, 2},
    {"A: b\r\n", 6, 0},
    {"A: b\r\nC: d\r\n", 12, 0},
    {"\x01\x02\x03\x04"
     "A: b\r\nC: d\r\n",
     16, 4},
    {"\x01\x02\x03\x04"
     "A: b\r\nC: d",
     14, 14}, /* not whole */
    {"\x01\x02\r\nA: b\r\n", 10, 4},
    {"no line at all\r\n", 16, 16},
    {"A: b\r\n\r\n", 8, 8},
    {"A: b\r\nc d\r\nE: f\r\n", 17, 11},
    {"A:\x7f\r\n", 5, 5},
    {"A: \xc3\xa4\r\n", 7, 0},
    {": b\r\n", 5, 5},
};

START_TEST(lines)
{
    ck_assert_uint_eq(ctl_meta_lines((const uint8_t *)rows[_i].meta, rows[_i].length), rows[_i].lines);
}
END_TEST

/* The head's last bytes may look like a part of the first name. */
START_TEST(head_is_known)
{
    uint8_t meta[72 + 6];
    uint32_t length = 6;

    memset(meta, 'x', sizeof(meta));
    memcpy(meta + 72, "A: b\r\n", 6);
    ck_assert_uint_eq(ctl_meta_lines(meta, sizeof(meta)), 0);
    memcpy(meta + 64, &length, sizeof(length));
    ck_assert_uint_eq(ctl_meta_lines(meta, sizeof(meta)), 72);
}
END_TEST

/* Any bytes: nothing is read outside, and it takes no time to speak of. */
START_TEST(noise)
{
    static uint8_t meta[CTL_META_BYTES];
    uint64_t state = 5;

    for (int round = 0; round < 300; round++) {
        uint32_t length = (uint32_t)random_below(&state, round < 290 ? 300 : sizeof(meta));
        for (uint32_t i = 0; i < length; i++)
            meta[i] = (uint8_t) "\r\n: a\x01"[random_below(&state, 6)];
        uint32_t at = ctl_meta_lines(meta, length);
        ck_assert_uint_le(at, length);
        ck_assert(at == length || (meta[length - 1] == '\n' && meta[length - 2] == '\r'));
    }
    memset(meta, 'a', sizeof(meta));
    memcpy(meta + sizeof(meta) - 2, "\r\n", 2);
    ck_assert_uint_eq(ctl_meta_lines(meta, sizeof(meta)), sizeof(meta));
}
END_TEST

START_TEST(nothing_unprintable)
{
    char out[64];

    ck_assert_str_eq(ctl_printable((const uint8_t *)"a\x1b[2J\n\\\xff", 8, out, sizeof(out)),
                     "a\\x1b[2J\\x0a\\\\\\xff");
    ck_assert_str_eq(ctl_printable((const uint8_t *)"", 0, out, sizeof(out)), "");
    ck_assert_uint_lt(strlen(ctl_printable((const uint8_t *)"\x01\x01\x01\x01\x01", 5, out, 12)), 12);
}
END_TEST

#define HEAD(...)                                                                                            \
    {                                                                                                        \
        .magic = HTTP_META_MAGIC, .response_time = 1000, .initial_age = 7, __VA_ARGS__                       \
    }

static const struct {
    struct http_meta_head head;
    size_t length;
    int64_t now, age; /* -1: there is none */
} ages[] = {
    {HEAD(.status = 200), 72, 1000, 7},
    {HEAD(.status = 200), 500, 1100, 107},
    {HEAD(.status = 200), 72, 10, 7}, /* a clock that was set back */
    {HEAD(.status = 200), 72, INT64_MAX, (int64_t)1 << 31},
    {HEAD(.status = 200), 71, 1000, -1},
    {HEAD(.status = 200), 0, 1000, -1},
    {{.magic = HTTP_META_MAGIC + 1, .response_time = 1000}, 72, 1000, -1},
    {{.magic = HTTP_META_MAGIC}, 72, 1000, -1},
    {{.magic = HTTP_META_MAGIC, .response_time = INT64_MAX}, 72, 1000, -1},
    {{.magic = HTTP_META_MAGIC, .response_time = -1}, 72, 1000, -1},
    {{.magic = HTTP_META_MAGIC, .response_time = 1, .initial_age = -1}, 72, 1000, -1},
    {{.magic = HTTP_META_MAGIC, .response_time = 1, .initial_age = INT64_MAX}, 72, 1000, -1},
};

START_TEST(age_is_read)
{
    uint8_t meta[1 + 500] = {0};
    int64_t age = -1;

    memcpy(meta + 1, &ages[_i].head, sizeof(ages[_i].head)); /* unaligned */
    ck_assert_int_eq(meta_head_read_age(meta + 1, ages[_i].length, ages[_i].now, &age), ages[_i].age >= 0);
    ck_assert_int_eq(age, ages[_i].age);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, lines, rows);
    tcase_add_test(tcase, head_is_known);
    ADD_ROWS(tcase, age_is_read, ages);
    tcase_add_test(tcase, noise);
    tcase_add_test(tcase, nothing_unprintable);
}

int main(void)
{
    return run_suite("ctl_keys", add_cases);
}
