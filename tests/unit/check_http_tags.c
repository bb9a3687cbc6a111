/* http_tags: what is a tag, and what of a message is about tags. */
#include "http_tags.h"

#include "check_http.h"

#include <string.h>

static struct http_tag_fields names;

static void parse_names(const char *list)
{
    ck_assert(http_tag_fields_parse(&names, (struct http_span){list, (uint32_t)strlen(list)}));
}

static void parse_fields(struct http_fields *fields, const char *lines)
{
    ck_assert(http_fields_parse(fields, (struct http_span){lines, (uint32_t)strlen(lines)}));
}

static const struct row {
    const char *name, *lines, *tags; /* '|' behind each */
} rows[] = {
    {"no field", "Date: x\r\n", ""},
    {"empty", "Cache-Tag:\r\n", ""},
    {"one", "Surrogate-Key: a\r\n", "a|"},
    {"spaces", "Surrogate-Key: a  b c\r\n", "a|b|c|"},
    {"commas", "Cache-Tag: a,b, c ,,d\r\n", "a|b|c|d|"},
    {"commas in the one, spaces in the other", "Surrogate-Key: a,b\r\nCache-Tag: c d\r\n", "a|b|c|d|"},
    {"tabs", "Cache-Tag: a\tb\r\n", "a|b|"},
    {"the same again", "Surrogate-Key: a b a\r\nCache-Tag: b\r\n", "a|b|"},
    {"case", "Surrogate-Key: a A\r\n", "a|A|"},
    {"one within another", "Surrogate-Key: abc ab c\r\n", "abc|ab|c|"},
    {"several lines", "cache-tag: a\r\nX: y\r\nCACHE-TAG: b\r\n", "a|b|"},
    {"quotes are bytes", "Cache-Tag: \"a,b\"\r\n", "\"a|b\"|"},
    {"not ASCII", "Cache-Tag: \xc3\xa4\r\n", "\xc3\xa4|"},
};

START_TEST(tags_are_collected)
{
    struct http_fields fields;
    char out[HTTP_TAGS_BYTES];
    int length;

    parse_names(HTTP_TAG_FIELDS_DEFAULT);
    parse_fields(&fields, rows[_i].lines);
    length = http_tags_collect(&names, &fields, out);
    ck_assert_msg(length == (int)strlen(rows[_i].tags), "%s: %d", rows[_i].name, length);
    for (int i = 0; i < length; i++)
        ck_assert_msg(out[i] == (rows[_i].tags[i] == '|' ? '\0' : rows[_i].tags[i]), "%s", rows[_i].name);
}
END_TEST

/* `count` tags of `length` bytes, all different. */
static int collect_many(unsigned count, unsigned length, char *out)
{
    static char text[(HTTP_TAGS_MAX + 2) * (HTTP_TAG_MAX + 3)];
    struct http_fields fields = {0};
    size_t at = 0;

    for (unsigned i = 0; i < count; i++) {
        memset(text + at, 'x', length);
        text[at] = (char)('A' + i % 26);
        text[at + 1 % length] = (char)('a' + i / 26);
        at += length;
        text[at++] = ' ';
    }
    ck_assert(http_field_add(&fields, HTTP_SPAN("Surrogate-Key"), (struct http_span){text, (uint32_t)at}));
    return http_tags_collect(&names, &fields, out);
}

START_TEST(too_many_and_too_long)
{
    static char out[HTTP_TAGS_BYTES];

    parse_names(HTTP_TAG_FIELDS_DEFAULT);
    ck_assert_int_eq(collect_many(HTTP_TAGS_MAX, HTTP_TAG_MAX, out), HTTP_TAGS_BYTES);
    ck_assert_int_eq(collect_many(HTTP_TAGS_MAX + 1, 3, out), -1);
    ck_assert_int_eq(collect_many(1, HTTP_TAG_MAX + 1, out), -1);
    ck_assert_int_eq(collect_many(0, 1, out), 0);
}
END_TEST

START_TEST(names_are_the_operators)
{
    struct http_fields fields;
    char out[HTTP_TAGS_BYTES];

    parse_names("X-Tags");
    parse_fields(&fields, "Surrogate-Key: a\r\nx-tags: b\r\nCache-Tag: c\r\n");
    ck_assert_int_eq(http_tags_collect(&names, &fields, out), 2);
    ck_assert_mem_eq(out, "b", 2);
    ck_assert(http_is_tag_field(&names, HTTP_SPAN("X-TAGS")) &&
              !http_is_tag_field(&names, HTTP_SPAN("Cache-Tag")));
    parse_names("");
    ck_assert(!http_has_tags(&names, &fields));
    ck_assert_int_eq(http_tags_collect(&names, &fields, out), 0);
    ck_assert(!http_tag_fields_parse(&names, HTTP_SPAN("a b")));
    ck_assert(!http_tag_fields_parse(&names, HTTP_SPAN("a,b,c,d,e,f,g,h,i")));
}
END_TEST

START_TEST(fields_are_left_out)
{
    struct http_fields fields;

    parse_names(HTTP_TAG_FIELDS_DEFAULT);
    parse_fields(&fields,
                 "Cache-Tag: a\r\nX: 1\r\nSurrogate-Key: b\r\nSurrogate-Control: c\r\nCache-Tag: d\r\n");
    ck_assert(http_has_tags(&names, &fields));
    http_leave_out_tags(&names, &fields);
    ck_assert_uint_eq(fields.count, 2);
    ck_assert(http_name_is(&fields.items[0], "x") && http_name_is(&fields.items[1], "surrogate-control"));
    ck_assert(!http_has_tags(&names, &fields));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, tags_are_collected, rows);
    tcase_add_test(tcase, too_many_and_too_long);
    tcase_add_test(tcase, names_are_the_operators);
    tcase_add_test(tcase, fields_are_left_out);
}

int main(void)
{
    return run_suite("http_tags", add_cases);
}
