#include "http_message.h"

#include <stdio.h>

#include "check_http.h"

/* RFC 9110 section 5.6.1: elements joined with "|" */
static const struct {
    const char *list, *elements;
} lists[] = {
    {"a, b,c", "a|b|c"},
    {"a", "a"},
    {" a\t,\tb ", "a|b"},
    {"", ""},
    {" ", ""},
    {",", ""},
    {", ,,  ,", ""},
    {",a,,b,", "a|b"},
    /* quoted-string (section 5.6.4) */
    {"a=\"x, y\", b", "a=\"x, y\"|b"},
    {"\"a\\\", b\", c", "\"a\\\", b\"|c"},
    {"\"a\\\\\", b", "\"a\\\\\"|b"},
    /* a quote that is not closed takes the rest */
    {"a, \"b, c", "a|\"b, c"},
    {"a, \"b\\", "a|\"b\\"},
    {"\"", "\""},
};

START_TEST(list_is_split)
{
    struct http_span rest = span(lists[_i].list), element;
    char buffer[64];
    struct http_text joined = http_text_into(buffer, sizeof buffer);

    while (http_list_next(&rest, &element)) {
        if (joined.length > 0)
            http_text_add(&joined, span("|"));
        http_text_add(&joined, element);
    }
    ck_assert_str_eq(text_end(&joined), lists[_i].elements);
    ck_assert(!http_list_next(&rest, &element));
}
END_TEST

/* A list of 100,000 commas is one pass, and a NUL is a byte like any other. */
START_TEST(hostile_lists_are_split)
{
    struct http_span element, rest = {"a\0b,\0", 5};
    char *commas = malloc(100000);

    ck_assert(http_list_next(&rest, &element) && element.length == 3);
    ck_assert(http_list_next(&rest, &element) && element.length == 1);
    ck_assert(!http_list_next(&rest, &element));
    memset(commas, ',', 100000);
    rest = (struct http_span){commas, 100000};
    ck_assert(!http_list_next(&rest, &element));
    free(commas);
    rest = (struct http_span){NULL, 0};
    ck_assert(!http_list_next(&rest, &element));
}
END_TEST

START_TEST(names_compare_without_case)
{
    struct http_fields fields = fields_of("CoNtEnT-TyPe: a\nX-@[: b\n");

    ck_assert(http_name_is(&fields.items[0], "content-type"));
    ck_assert(!http_name_is(&fields.items[0], "content-typ"));
    ck_assert(!http_name_is(&fields.items[0], "content-type2"));
    /* only letters have case: '@' and '`', '[' and '{' differ in the same bit */
    ck_assert(!http_name_is(&fields.items[1], "x-`["));
    ck_assert(!http_name_is(&fields.items[1], "x-@{"));
    ck_assert(http_span_equal(span("a"), span("a")) && !http_span_equal(span("a"), span("A")));
    ck_assert(http_span_equal((struct http_span){NULL, 0}, span("")));
    ck_assert(!http_span_equal_nocase((struct http_span){"a\0b", 3}, (struct http_span){"a\0c", 3}));
}
END_TEST

START_TEST(fields_are_found_in_order)
{
    struct http_fields fields = fields_of("A: 1\nB: 2\na: 3\nC: x, Close\nc: \"close\", keep\n");
    const struct http_field *first = http_field_find(&fields, "a", NULL);

    ck_assert_ptr_eq(first, &fields.items[0]);
    ck_assert_ptr_eq(http_field_find(&fields, "A", first), &fields.items[2]);
    ck_assert_ptr_null(http_field_find(&fields, "A", &fields.items[2]));
    ck_assert_ptr_null(http_field_find(&fields, "D", NULL));
    ck_assert_ptr_null(http_field_find(&fields, "c", &fields.items[4]));
    ck_assert_uint_eq(http_field_count(&fields, "A"), 2);
    ck_assert_uint_eq(http_field_count(&fields, "D"), 0);
    ck_assert(http_list_has(&fields, "c", "close") && http_list_has(&fields, "c", "KEEP"));
    ck_assert(!http_list_has(&fields, "c", "clos") && !http_list_has(&fields, "d", "close"));
}
END_TEST

START_TEST(fields_are_bounded)
{
    struct http_fields fields = {.count = 0};

    for (int i = 0; i < HTTP_MAX_FIELDS; i++)
        ck_assert(http_field_add(&fields, span("A"), span(" \tx ")));
    ck_assert(!http_field_add(&fields, span("A"), span("x")));
    ck_assert_uint_eq(fields.count, HTTP_MAX_FIELDS);
    ck_assert_uint_eq(http_field_count(&fields, "a"), HTTP_MAX_FIELDS);
    ck_assert(http_span_equal(fields.items[0].value, span("x")));
}
END_TEST

static const struct {
    const char *text;
    int64_t seconds; /* -1: refused */
    int64_t length;
} numbers[] = {
    {"0", 0, 0},
    {"60", 60, 60},
    {"0060", 60, 60},
    {"2147483647", 2147483647, 2147483647},
    {"2147483648", 2147483648, 2147483648},
    /* RFC 9111 section 1.2.2: seconds saturate, lengths do not */
    {"2147483649", 2147483648, 2147483649},
    {"9223372036854775807", 2147483648, INT64_MAX},
    {"18446744073709551616", 2147483648, -1},
    {"99999999999999999999999999999999999999999999", 2147483648, -1},
    {"", -1, -1},
    {"-1", -1, -1},
    {"+1", -1, -1},
    {" 1", -1, -1},
    {"1 ", -1, -1},
    {"1.5", -1, -1},
    {"0x10", -1, -1},
    {"1,1", -1, -1},
    {"\xd9\xa1", -1, -1}, /* ARABIC-INDIC DIGIT ONE */
};

START_TEST(numbers_are_parsed)
{
    int64_t seconds = -1;
    uint64_t length = UINT64_MAX;

    ck_assert(http_parse_seconds(span(numbers[_i].text), &seconds) == (numbers[_i].seconds >= 0));
    ck_assert_int_eq(seconds, numbers[_i].seconds);
    ck_assert(http_parse_length(span(numbers[_i].text), &length) == (numbers[_i].length >= 0));
    ck_assert_uint_eq(length, (uint64_t)numbers[_i].length);
}
END_TEST

/* RFC 9112 section 6.3, RFC 9110 section 8.6 */
static const struct {
    const char *fields;
    enum http_length_result result;
    uint64_t length;
} lengths[] = {
    {"Host: x\n", HTTP_LENGTH_NONE, 0},
    {"Transfer-Encoding: chunked\n", HTTP_LENGTH_NONE, 0},
    {"Content-Length: 0\n", HTTP_LENGTH_KNOWN, 0},
    {"content-length: 42\n", HTTP_LENGTH_KNOWN, 42},
    {"Content-Length: 18446744073709551615\n", HTTP_LENGTH_KNOWN, UINT64_MAX},
    {"Content-Length: 18446744073709551616\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: 42\nContent-Length: 42\n", HTTP_LENGTH_KNOWN, 42},
    {"Content-Length: 42, 42\n", HTTP_LENGTH_KNOWN, 42},
    {"Content-Length: 42\nContent-Length: 43\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: 42, 43\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: 42,\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: ,42\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length:\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: 42\nContent-Length:\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: -1\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: +1\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: 4 2\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: \"42\"\n", HTTP_LENGTH_BAD, 0},
    {"Content-Length: 42\nTransfer-Encoding: chunked\n", HTTP_LENGTH_BAD, 0},
    {"Transfer-Encoding: identity\nContent-Length: 42\n", HTTP_LENGTH_BAD, 0},
};

START_TEST(content_length_is_found)
{
    struct http_fields fields = fields_of(lengths[_i].fields);
    uint64_t length = 0;

    ck_assert_int_eq(http_content_length(&fields, &length), lengths[_i].result);
    ck_assert_uint_eq(length, lengths[_i].length);
}
END_TEST

/* RFC 9110 section 7.6.1; the letters of `ends` tell which of the fields end at this hop */
static const struct {
    const char *fields, *ends;
} hops[] = {
    {"Connection: close\nDate: x\n", "y-"},
    {"TE: trailers\nUpgrade: h2c\nTrailer: X\nKeep-Alive: 5\nProxy-Connection: close\n", "yyyyy"},
    {"transfer-encoding: chunked\nTRAILER: x\n", "yy"},
    {"X-One: 1\nX-Two: 2\nConnection: x-one, \"x-two\"\n", "y-y"},
    {"Connection: X-A\nX-A: 1\nConnection: X-B\nX-B: 1\nX-C: 1\n", "yyyy-"},
    /* not to be named: Cache-Control, and what routes and delimits the message */
    {"Connection: cache-control, host, content-length\nCache-Control: private\nHost: x\nContent-Length: 1\n",
     "y---"},
    {"Content-Length: 1\nVia: x\nProxy-Authorization: x\n", "---"},
};

START_TEST(hop_by_hop_fields_are_told)
{
    struct http_fields fields = fields_of(hops[_i].fields);

    ck_assert_uint_eq(fields.count, strlen(hops[_i].ends));
    for (uint32_t i = 0; i < fields.count; i++)
        ck_assert_msg(http_field_is_hop_by_hop(&fields, &fields.items[i]) == (hops[_i].ends[i] == 'y'), "%u",
                      i);
}
END_TEST

static const struct {
    const char *name;
    bool never;
} stored_names[] = {
    {"Age", true},
    {"content-length", true},
    {"Connection", true},
    {"Keep-Alive", true},
    {"TE", true},
    {"Trailer", true},
    {"Transfer-Encoding", true},
    {"Upgrade", true},
    {"Proxy-Connection", true},
    {"Proxy-Authenticate", true},
    {"Proxy-Authorization", true},
    {"Proxy-Authentication-Info", true},
    {"Date", false},
    {"Via", false},
    {"Set-Cookie", false},
    {"Content-Location", false},
    {"", false},
};

START_TEST(unstored_names_are_told)
{
    ck_assert(http_name_is_never_stored(span(stored_names[_i].name)) == stored_names[_i].never);
}
END_TEST

/* RFC 9112 section 5; `fields` is how the block reads, NULL: refused */
static const struct {
    const char *block, *fields;
} blocks[] = {
    {"", ""},
    {"A: 1\r\n", "A=1;"},
    {"A: 1\r\nb:2\r\nC: \t3 \t\r\n", "A=1;b=2;C=3;"},
    {"A:\r\nB: \r\n", "A=;B=;"},
    {"A: b: c\r\n", "A=b: c;"},
    {"A: a tab\there, and a longer text\r\n", "A=a tab\there, and a longer text;"},
    {"A: caf\xc3\xa9 \xff\x80 obs-text\r\n", "A=caf\xc3\xa9 \xff\x80 obs-text;"},
    {"!#$%&'*+-.^_`|~09azAZ: x\r\n", "!#$%&'*+-.^_`|~09azAZ=x;"},
    {"A: 1\r\n\r\n", "A=1;"},
    {"\r\n", ""},
    {"A: 1\r\n\r\nB: 2\r\n", NULL},
    {"A: 1\r\n\r\n\r\n", NULL},
    {"A: 1", NULL},
    {"A: 1\r", NULL},
    {"A: 1\n", NULL},
    {"A: 1\n\n", NULL},
    {"A: 1\x01\n", NULL},
    {"A: 1\nB: 2\r\n", NULL},
    {"A: 1\rB: 2\r\n", NULL},
    {"A\r\n", NULL},
    {"A", NULL},
    {": 1\r\n", NULL},
    {"A : 1\r\n", NULL},
    {" A: 1\r\n", NULL},
    {"A: 1\r\n folded\r\n", NULL},
    {"A: 1\r\n\tfolded: x\r\n", NULL},
    {"A(): 1\r\n", NULL},
    {"\xc3\xa9: 1\r\n", NULL},
    {"A: 1\x01\r\n", NULL},
    {"A: 1\x7f\r\n", NULL},
    {"A: 12345678\x1f", NULL},
    {"A: 12345678\x7f abcdefghijk\r\n", NULL},
};

START_TEST(blocks_are_split)
{
    uint32_t length = (uint32_t)strlen(blocks[_i].block);
    char *copy = malloc(length + !length), text[128] = "";
    struct http_fields fields;

    memcpy(copy, blocks[_i].block, length);
    ck_assert(http_fields_parse(&fields, (struct http_span){copy, length}) == (blocks[_i].fields != NULL));
    for (uint32_t i = 0; blocks[_i].fields && i < fields.count; i++) {
        const struct http_field *f = &fields.items[i];

        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s=%.*s;", (int)f->name.length,
                 f->name.at, (int)f->value.length, f->value.at);
    }
    if (blocks[_i].fields)
        ck_assert_str_eq(text, blocks[_i].fields);
    free(copy);
}
END_TEST

/* Every control character, at every place of a value that is longer than a machine word. */
START_TEST(control_characters_are_refused)
{
    for (unsigned i = 0; i < 256 * 24; i++) {
        char line[] = "A:abcdefghijklmnopqrstuvwx\r\n";
        struct http_span rest = {line, sizeof line - 1};
        struct http_field field;
        unsigned place = i % 24, byte = i / 24;
        bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;

        line[2 + place] = (char)byte;
        ck_assert_msg(http_line_next(&rest, &field) == (control ? HTTP_LINE_BAD : HTTP_LINE_FIELD),
                      "byte %#x at %u", byte, place);
    }
}
END_TEST

START_TEST(blocks_are_bounded)
{
    char block[(HTTP_MAX_FIELDS + 1) * 6];
    struct http_text text = http_text_into(block, sizeof block);
    struct http_fields fields;

    for (size_t i = 0; i <= HTTP_MAX_FIELDS; i++)
        http_text_add(&text, span("A: 1\r\n"));
    ck_assert(http_fields_parse(&fields, (struct http_span){block, sizeof block - 6}));
    ck_assert_uint_eq(fields.count, HTTP_MAX_FIELDS);
    ck_assert(!http_fields_parse(&fields, (struct http_span){block, sizeof block}));
    ck_assert(http_fields_parse(&fields, (struct http_span){NULL, 0}));
    ck_assert_uint_eq(fields.count, 0);
}
END_TEST

START_TEST(text_is_written_within_bounds)
{
    char out[32];
    struct http_text text = {.at = out, .size = 12};

    http_text_add_field(&text, &(struct http_field){span("Name"), span("12345")});
    ck_assert(text.failed);
    text = (struct http_text){.at = out, .size = 13};
    http_text_add_field(&text, &(struct http_field){span("Name"), span("12345")});
    ck_assert(!text.failed && memcmp(out, "Name: 12345\r\n", 13) == 0);
    http_text_add(&text, (struct http_span){NULL, 0});
    ck_assert(!text.failed);
    http_text_add(&text, span("x"));
    ck_assert(text.failed && text.length == 13);
}
END_TEST

static const struct {
    int64_t number;
    const char *text;
} written[] = {
    {0, "0"},
    {7, "7"},
    {1234567890, "1234567890"},
    {-1, "-1"},
    {-42, "-42"},
    {INT64_MAX, "9223372036854775807"},
    {INT64_MIN, "-9223372036854775808"},
};

START_TEST(numbers_are_written)
{
    char out[32] = "";
    struct http_text text = {.at = out, .size = sizeof out};

    http_text_add_number(&text, written[_i].number);
    ck_assert_str_eq(out, written[_i].text);
}
END_TEST

/* What would read back as something else is not written. */
static const struct {
    struct http_span name, value;
} unfit[] = {
    {{"A", 1}, {"x\r\nB: y", 7}}, {{"A", 1}, {"x\n", 2}},   {{"A", 1}, {"\0", 1}},
    {{"A", 1}, {"\x7f", 1}},      {{"", 0}, {"x", 1}},      {{"A B", 3}, {"x", 1}},
    {{"A:", 2}, {"x", 1}},        {{"A\r\n", 3}, {"x", 1}}, {{NULL, 0}, {NULL, 0}},
};

START_TEST(unfit_fields_are_not_written)
{
    char out[64];
    struct http_text text = {.at = out, .size = sizeof out};

    http_text_add_field(&text, &(struct http_field){unfit[_i].name, unfit[_i].value});
    ck_assert(text.failed);
    ck_assert_uint_eq(text.length, 0);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, list_is_split, lists);
    tcase_add_test(tcase, hostile_lists_are_split);
    tcase_add_test(tcase, names_compare_without_case);
    tcase_add_test(tcase, fields_are_found_in_order);
    tcase_add_test(tcase, fields_are_bounded);
    ADD_ROWS(tcase, numbers_are_parsed, numbers);
    ADD_ROWS(tcase, content_length_is_found, lengths);
    ADD_ROWS(tcase, hop_by_hop_fields_are_told, hops);
    ADD_ROWS(tcase, unstored_names_are_told, stored_names);
    ADD_ROWS(tcase, blocks_are_split, blocks);
    tcase_add_test(tcase, control_characters_are_refused);
    tcase_add_test(tcase, blocks_are_bounded);
    tcase_add_test(tcase, text_is_written_within_bounds);
    ADD_ROWS(tcase, numbers_are_written, written);
    ADD_ROWS(tcase, unfit_fields_are_not_written, unfit);
}

int main(void)
{
    return run_suite("http_message", add_cases);
}
