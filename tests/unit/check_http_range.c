#include "http_range.h"

#include "check_http.h"

#include <stdio.h>

/* ---- Range ---- */

#define P HTTP_RANGE_PARTIAL
#define W HTTP_RANGE_WHOLE
#define U HTTP_RANGE_UNSATISFIABLE

static const struct {
    const char *request;
    uint64_t length;
    enum http_range_verdict verdict;
    const char *pieces; /* "first-last ..." */
} selections[] = {
    /* RFC 9110 section 14.1.2, the examples */
    {"Range: bytes=0-499\n", 10000, P, "0-499"},
    {"Range: bytes=500-999\n", 10000, P, "500-999"},
    {"Range: bytes=-500\n", 10000, P, "9500-9999"},
    {"Range: bytes=9500-\n", 10000, P, "9500-9999"},
    {"Range: bytes=0-0,-1\n", 10000, P, "0-0 9999-9999"},
    {"Range: bytes= 0-999, 4500-5499, -1000\n", 10000, P, "0-999 4500-5499 9000-9999"},
    {"Range: bytes=500-600,601-999\n", 10000, P, "500-999"},
    {"Range: bytes=500-700,601-999\n", 10000, P, "500-999"},
    /* section 14.1.2: what reaches behind the end is cut there */
    {"Range: bytes=0-\n", 10, P, "0-9"},
    {"Range: bytes=0-10\n", 10, P, "0-9"},
    {"Range: bytes=9-9\n", 10, P, "9-9"},
    {"Range: bytes=9-10\n", 10, P, "9-9"},
    {"Range: bytes=-10\n", 10, P, "0-9"},
    {"Range: bytes=-11\n", 10, P, "0-9"},
    {"Range: bytes=000000000000000000000000001-2\n", 10, P, "1-2"},
    /* numbers of any size */
    {"Range: bytes=5-99999999999999999999999999\n", 10, P, "5-9"},
    {"Range: bytes=-99999999999999999999999999\n", 10, P, "0-9"},
    {"Range: bytes=99999999999999999999999999-\n", 10, U, ""},
    {"Range: bytes=18446744073709551615-\n", 10, U, ""},
    {"Range: bytes=18446744073709551610-18446744073709551614\n", UINT64_MAX, P,
     "18446744073709551610-18446744073709551614"},
    {"Range: bytes=-1\n", UINT64_MAX, P, "18446744073709551614-18446744073709551614"},
    /* section 14.1.2: not satisfiable */
    {"Range: bytes=10-\n", 10, U, ""},
    {"Range: bytes=10-20\n", 10, U, ""},
    {"Range: bytes=-0\n", 10, U, ""},
    {"Range: bytes=10-,-0\n", 10, U, ""},
    /* one that is satisfiable is enough (section 14.1.1) */
    {"Range: bytes=10-,0-0\n", 10, P, "0-0"},
    {"Range: bytes=-0,5-\n", 10, P, "5-9"},
    /* section 14.1: units have no case, others are not understood (section 14.2) */
    {"Range: BYTES=0-0\n", 10, P, "0-0"},
    {"Range: seconds=0-0\n", 10, W, ""},
    {"Range: byte=0-0\n", 10, W, ""},
    {"Range: none\n", 10, W, ""},
    /* section 14.1.1: invalid as a whole when one range-spec is */
    {"Range: bytes=5-4\n", 10, W, ""},
    {"Range: bytes=0-0,5-4\n", 10, W, ""},
    {"Range: bytes=\n", 10, W, ""},
    {"Range: bytes=,\n", 10, W, ""},
    {"Range: bytes=-\n", 10, W, ""},
    {"Range: bytes=1\n", 10, W, ""},
    {"Range: bytes=--1\n", 10, W, ""},
    {"Range: bytes=1-2-3\n", 10, W, ""},
    {"Range: bytes=a-b\n", 10, W, ""},
    {"Range: bytes=0x1-2\n", 10, W, ""},
    {"Range: bytes=+1-2\n", 10, W, ""},
    {"Range: bytes=0 -1\n", 10, W, ""},
    {"Range: bytes=0- 1\n", 10, W, ""},
    {"Range: bytes=\"0-1\"\n", 10, W, ""},
    {"Range: bytes =0-1\n", 10, W, ""},
    {"Range: bytes\n", 10, W, ""},
    {"Range:\n", 10, W, ""},
    /* section 5.6.1.2: empty elements of a list are passed over */
    {"Range: bytes=,0-0,,\n", 10, P, "0-0"},
    /* section 5.3: it is no list field, so two are none */
    {"Range: bytes=0-0\nRange: bytes=1-1\n", 10, W, ""},
    {"", 10, W, ""},
    /* section 14.2: an empty representation is sent whole */
    {"Range: bytes=0-\n", 0, W, ""},
    {"Range: bytes=-1\n", 0, W, ""},
    /* section 15.3.7.2: closer than the head of a part is one piece, in the place of the first */
    {"Range: bytes=0-9,89-99\n", 1000, P, "0-99"},
    {"Range: bytes=0-9,90-99\n", 1000, P, "0-9 90-99"},
    {"Range: bytes=89-99,0-9\n", 1000, P, "0-99"},
    {"Range: bytes=500-509,0-9\n", 1000, P, "500-509 0-9"},
    {"Range: bytes=500-509,0-9,510-519\n", 1000, P, "500-519 0-9"},
    {"Range: bytes=0-0,0-0,0-0\n", 1000, P, "0-0"},
    /* the third joins the first two, and the union stands where the first stood */
    {"Range: bytes=0-9,200-209,900-909,5-205\n", 1000, P, "0-209 900-909"},
    {"Range: bytes=0-9,200-209,400-409,100-399\n", 1000, P, "0-9 100-409"},
    {"Range: bytes=900-,0-9,800-910,0-\n", 1000, P, "0-999"},
};

static const char *pieces_of(const struct http_ranges *ranges)
{
    static char text[2048];
    size_t length = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < ranges->count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%llu-%llu", i ? " " : "",
                                   (unsigned long long)ranges->items[i].first,
                                   (unsigned long long)ranges->items[i].end - 1);
    return text;
}

START_TEST(ranges_are_selected)
{
    struct http_fields request = fields_of(selections[_i].request);
    struct http_ranges ranges = {.count = 0};

    ck_assert_int_eq(http_ranges_select(&request, selections[_i].length, &ranges), selections[_i].verdict);
    ck_assert_str_eq(pieces_of(&ranges), selections[_i].pieces);
}
END_TEST

static enum http_range_verdict select_many(uint32_t count, uint32_t step, struct http_ranges *ranges)
{
    char line[4096] = "bytes=";
    struct http_fields request = {.count = 0};

    for (uint32_t i = 0; i < count; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%u-%u,", i * step, i * step);
    http_field_add(&request, HTTP_SPAN("Range"), span(line));
    return http_ranges_select(&request, 1000000, ranges);
}

/* Section 17.15 */
START_TEST(their_number_is_bounded)
{
    struct http_ranges ranges;

    ck_assert_int_eq(select_many(HTTP_RANGES_MAX, 1000, &ranges), P);
    ck_assert_uint_eq(ranges.count, HTTP_RANGES_MAX);
    ck_assert_int_eq(select_many(HTTP_RANGES_MAX + 1, 1000, &ranges), W);
    ck_assert_int_eq(select_many(HTTP_RANGES_ASKED, 1, &ranges), P);
    ck_assert_uint_eq(ranges.count, 1);
    ck_assert_int_eq(select_many(HTTP_RANGES_ASKED + 1, 1, &ranges), W);
}
END_TEST

/* ---- Content-Range ---- */

static const struct {
    const char *value;
    bool good;
    struct http_content_range range;
} content_ranges[] = {
    /* section 14.4, the examples */
    {"bytes 42-1233/1234", true, {false, true, {42, 1234}, 1234}},
    {"bytes 42-1233/*", true, {false, false, {42, 1234}, 0}},
    {"bytes */1234", true, {true, true, {0, 0}, 1234}},
    {"Bytes 0-0/1", true, {false, true, {0, 1}, 1}},
    /* last-pos before first-pos, or not before the length */
    {"bytes 5-4/10", false, {0}},
    {"bytes 5-10/10", false, {0}},
    {"bytes 0-0/0", false, {0}},
    /* malformed */
    {"bytes */*", false, {0}},
    {"bytes 5-/10", false, {0}},
    {"bytes -5/10", false, {0}},
    {"bytes 0-4", false, {0}},
    {"bytes 0-4/", false, {0}},
    {"bytes 0-4/10x", false, {0}},
    {"bytes  0-4/10", false, {0}},
    {"bytes=0-4/10", false, {0}},
    {"items 0-4/10", false, {0}},
    {"", false, {0}},
    {"bytes 0-18446744073709551615/*", false, {0}},
    {"bytes 0-18446744073709551616/*", false, {0}},
    {"bytes 0-1/18446744073709551616", false, {0}},
};

START_TEST(content_range_is_parsed)
{
    struct http_content_range range = {0};
    const struct http_content_range *wanted = &content_ranges[_i].range;

    ck_assert_int_eq(http_content_range_parse(span(content_ranges[_i].value), &range),
                     content_ranges[_i].good);
    ck_assert_int_eq(range.unsatisfied, wanted->unsatisfied);
    ck_assert_int_eq(range.length_known, wanted->length_known);
    ck_assert_uint_eq(range.range.first, wanted->range.first);
    ck_assert_uint_eq(range.range.end, wanted->range.end);
    ck_assert_uint_eq(range.length, wanted->length);
}
END_TEST

START_TEST(content_range_is_written)
{
    char buffer[100];
    struct http_text text = http_text_into(buffer, sizeof buffer);

    http_content_range_add(&text, &(struct http_range){0, 10}, 100);
    ck_assert_str_eq(text_end(&text), "bytes 0-9/100");
    text = http_text_into(buffer, sizeof buffer);
    http_content_range_add(&text, &(struct http_range){UINT64_MAX - 2, UINT64_MAX}, UINT64_MAX);
    ck_assert_str_eq(text_end(&text), "bytes 18446744073709551613-18446744073709551614/18446744073709551615");
    text = http_text_into(buffer, sizeof buffer);
    http_content_range_add_unsatisfied(&text, 1234);
    ck_assert_str_eq(text_end(&text), "bytes */1234");
}
END_TEST

/* ---- validators ---- */

#define NOW         1800000000 /* 2027-01-15 08:00:00 */
#define MODIFIED    "Last-Modified: Fri, 15 Jan 2027 07:00:00 GMT\n"
#define SAME_SECOND "Date: Fri, 15 Jan 2027 07:00:00 GMT\n"
#define NEXT_SECOND "Date: Fri, 15 Jan 2027 07:00:01 GMT\n"

static const struct {
    const char *request, *stored;
    bool holds;
} if_ranges[] = {
    {"", "", true},
    /* section 13.1.5: strong comparison (section 8.8.3.2) */
    {"If-Range: \"a\"\n", "ETag: \"a\"\n", true},
    {"If-Range: \"a\"\n", "ETag: \"b\"\n", false},
    {"If-Range: \"a\"\n", "ETag: \"A\"\n", false},
    {"If-Range: W/\"a\"\n", "ETag: W/\"a\"\n", false},
    {"If-Range: \"a\"\n", "ETag: W/\"a\"\n", false},
    {"If-Range: W/\"a\"\n", "ETag: \"a\"\n", false},
    {"If-Range: \"\"\n", "ETag: \"\"\n", true},
    {"If-Range: \"a\n", "ETag: \"a\n", false},
    {"If-Range: \"a b\"\n", "ETag: \"a b\"\n", false},
    {"If-Range: \"a\", \"b\"\n", "ETag: \"a\"\n", false},
    {"If-Range: *\n", "ETag: \"a\"\n", false},
    {"If-Range: \"a\"\n", "", false},
    {"If-Range: \"a\"\n", "ETag: \"a\"\nETag: \"b\"\n", false},
    {"If-Range:\n", "ETag: \"a\"\n", false},
    {"If-Range: \"a\"\nIf-Range: \"a\"\n", "ETag: \"a\"\n", false},
    /* a date, when Last-Modified is a strong validator (section 8.8.2.2) */
    {"If-Range: Fri, 15 Jan 2027 07:00:00 GMT\n", MODIFIED NEXT_SECOND, true},
    {"If-Range: Friday, 15-Jan-27 07:00:00 GMT\n", MODIFIED NEXT_SECOND, true},
    {"If-Range: Fri, 15 Jan 2027 07:00:00 GMT\n", MODIFIED SAME_SECOND, false},
    {"If-Range: Fri, 15 Jan 2027 07:00:00 GMT\n", MODIFIED, false},
    {"If-Range: Fri, 15 Jan 2027 07:00:00 GMT\n", NEXT_SECOND, false},
    {"If-Range: Fri, 15 Jan 2027 07:00:01 GMT\n", MODIFIED NEXT_SECOND, false}, /* later is not equal */
    {"If-Range: Fri, 15 Jan 2027 06:59:59 GMT\n", MODIFIED NEXT_SECOND, false},
    {"If-Range: Fri, 15 Jan 2027 07:00:00 GMT\n", MODIFIED MODIFIED NEXT_SECOND, false},
    {"If-Range: Fri, 15 Jan 2027 07:00:00 GMT\n", MODIFIED NEXT_SECOND "ETag: \"a\"\n", true},
    {"If-Range: yesterday\n", MODIFIED NEXT_SECOND, false},
};

START_TEST(if_range_is_evaluated)
{
    struct http_fields request = fields_of(if_ranges[_i].request);
    struct http_fields stored = fields_of(if_ranges[_i].stored);

    ck_assert_int_eq(http_if_range_holds(&request, &stored, NOW), if_ranges[_i].holds);
}
END_TEST

static const struct {
    const char *response, *validator; /* NULL: none */
} validators[] = {
    {"ETag: \"a\"\n", "\"a\""},
    {"ETag: \"a\"\n" MODIFIED NEXT_SECOND, "\"a\""},
    {"ETag: W/\"a\"\n" MODIFIED NEXT_SECOND, NULL}, /* section 8.8.1: its maker says that it is weak */
    {"ETag: a\n" MODIFIED NEXT_SECOND, NULL},
    {"ETag: \"a\"\nETag: \"b\"\n", NULL},
    {MODIFIED NEXT_SECOND, "Fri, 15 Jan 2027 07:00:00 GMT"},
    {MODIFIED SAME_SECOND, NULL},
    {MODIFIED, NULL},
    {NEXT_SECOND, NULL},
    {"", NULL},
};

START_TEST(strong_validator_is_found)
{
    struct http_fields response = fields_of(validators[_i].response);
    struct http_span validator;
    bool found = http_strong_validator(&response, NOW, &validator);

    ck_assert_int_eq(found, validators[_i].validator != NULL);
    ck_assert(!found || http_span_equal(validator, span(validators[_i].validator)));
}
END_TEST

/* ---- multipart ---- */

static void add_part(struct http_text *text, const struct http_multipart *multipart,
                     const struct http_ranges *ranges, uint32_t at)
{
    static const char bytes[] = "0123456789";
    const struct http_range *range = &ranges->items[at];

    http_multipart_add_head(text, multipart, range, at == 0);
    http_text_add(text, (struct http_span){bytes + range->first % 10, (uint32_t)(range->end - range->first)});
}

static void check_multipart(const struct http_multipart *multipart, const struct http_ranges *ranges,
                            const char *wanted)
{
    char buffer[4096];
    struct http_text text = http_text_into(buffer, sizeof buffer);
    uint64_t length;

    for (uint32_t i = 0; i < ranges->count; i++)
        add_part(&text, multipart, ranges, i);
    http_multipart_add_end(&text, multipart);
    ck_assert(http_multipart_length(multipart, ranges, &length));
    ck_assert_uint_eq(length, text.length);
    text_end(&text);
    if (wanted)
        ck_assert_str_eq(buffer, wanted);
}

/* Section 14.6; RFC 2046 section 5.1.1 */
START_TEST(parts_are_framed)
{
    struct http_multipart multipart = {HTTP_SPAN("B"), HTTP_SPAN("text/plain"), 10};
    struct http_ranges ranges = {2, {{0, 1}, {7, 10}}};

    check_multipart(&multipart, &ranges,
                    "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0"
                    "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789"
                    "\r\n--B--\r\n");
    multipart.content_type.length = 0;
    check_multipart(&multipart, &ranges,
                    "--B\r\nContent-Range: bytes 0-0/10\r\n\r\n0"
                    "\r\n--B\r\nContent-Range: bytes 7-9/10\r\n\r\n789"
                    "\r\n--B--\r\n");
}
END_TEST

/* Numbers of every length */
START_TEST(length_is_exact)
{
    struct http_multipart multipart = {HTTP_SPAN("0123456789abcdef"), HTTP_SPAN("image/png"), 0};
    struct http_ranges ranges = {.count = 2};

    for (uint64_t power = 1; power < UINT64_MAX / 100; power *= 10) {
        ranges.items[0] = (struct http_range){power - 1, power};
        ranges.items[1] = (struct http_range){power, power + 1};
        multipart.length = power * 10;
        check_multipart(&multipart, &ranges, NULL);
    }
}
END_TEST

START_TEST(length_may_be_too_much)
{
    struct http_multipart multipart = {HTTP_SPAN("B"), HTTP_SPAN("a/b"), UINT64_MAX};
    struct http_ranges ranges = {2, {{0, 1}, {100, UINT64_MAX}}};
    uint64_t length;

    ck_assert(!http_multipart_length(&multipart, &ranges, &length));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, ranges_are_selected, selections);
    tcase_add_test(tcase, their_number_is_bounded);
    ADD_ROWS(tcase, content_range_is_parsed, content_ranges);
    tcase_add_test(tcase, content_range_is_written);
    ADD_ROWS(tcase, if_range_is_evaluated, if_ranges);
    ADD_ROWS(tcase, strong_validator_is_found, validators);
    tcase_add_test(tcase, parts_are_framed);
    tcase_add_test(tcase, length_is_exact);
    tcase_add_test(tcase, length_may_be_too_much);
}

int main(void)
{
    return run_suite("http_range", add_cases);
}
