#include "http_meta.h"

#include "check_http.h"

#define HEAD     sizeof(struct http_meta_head)
#define TIME     784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define LONGEST  ((int64_t)1 << 31)
#define TIME_MAX 253402300799

static const struct http_meta_head plain = {
    .status = 200, .flags = HTTP_META_STRICT, .response_time = TIME, .initial_age = 5, .lifetime = 60};

/* Fields in, lines stored (RFC 9111 section 3.1); NULL: refused */
static const struct {
    const char *fields, *lines;
} encodings[] = {
    {"Date: x\nETag: \"a\"\n", "Date: x\r\nETag: \"a\"\r\n"},
    /* order and repetition are kept */
    {"Date: x\nSet-Cookie: a\nB: 1\nSet-Cookie: b\n",
     "Date: x\r\nSet-Cookie: a\r\nB: 1\r\nSet-Cookie: b\r\n"},
    {"Date: x\nEmpty:\n", "Date: x\r\nEmpty: \r\n"},
    /* RFC 9110 section 6.6.1: no response is stored without its time */
    {"", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"},
    {"A: 1\n", "A: 1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"},
    /* not stored: Age, Content-Length, hop-by-hop, what Connection names, the proxy's own */
    {"Age: 7\ncontent-length: 3\nDate: x\n", "Date: x\r\n"},
    {"Connection: close, X-Hop\nX-Hop: 1\nDate: x\nTransfer-Encoding: chunked\nKeep-Alive: 5\n",
     "Date: x\r\n"},
    {"Proxy-Authenticate: a\nProxy-Authentication-Info: b\nProxy-Authorization: c\nDate: x\n", "Date: x\r\n"},
    /* cannot be stored as a line */
    {"A B: 1\nDate: x\n", NULL},
    {"A: \x01\nDate: x\n", NULL},
    {"A: x\ry\nDate: x\n", NULL},
};

START_TEST(fields_are_encoded)
{
    struct http_fields fields = fields_of(encodings[_i].fields);
    char blob[512];
    struct http_meta meta;
    int length = http_meta_encode(&plain, &fields, blob, sizeof blob);

    if (!encodings[_i].lines) {
        ck_assert_int_eq(length, -1);
        return;
    }
    ck_assert_int_eq(length, (int)(HEAD + strlen(encodings[_i].lines)));
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
    ck_assert(http_span_equal(meta.fields, span(encodings[_i].lines)));
    ck_assert_uint_eq(meta.head.magic, HTTP_META_MAGIC);
    ck_assert_uint_eq(meta.head.status, 200);
    ck_assert_uint_eq(meta.head.flags, HTTP_META_STRICT);
    ck_assert_int_eq(meta.head.response_time, TIME);
    ck_assert_int_eq(meta.head.initial_age, 5);
    ck_assert_int_eq(meta.head.lifetime, 60);
}
END_TEST

static const struct {
    struct http_meta_head head;
    bool sound;
} heads[] = {
    {{.status = 200}, true},
    {{.status = 599,
      .flags = 63,
      .response_time = TIME_MAX,
      .initial_age = LONGEST,
      .lifetime = LONGEST,
      .stale_while_revalidate = LONGEST,
      .stale_if_error = LONGEST},
     true},
    {{.status = 199}, false},
    {{.status = 600}, false},
    {{.status = 0}, false},
    {{.status = 200, .flags = 1024}, false},
    {{.status = 200, .stale_while_revalidate = -1, .stale_if_error = -1}, true},
    {{.status = 200, .stale_while_revalidate = -2}, false},
    {{.status = 200, .stale_while_revalidate = LONGEST + 1}, false},
    {{.status = 200, .stale_if_error = -2}, false},
    {{.status = 200, .stale_if_error = LONGEST + 1}, false},
    {{.status = 200, .response_time = -1}, false},
    {{.status = 200, .response_time = TIME_MAX + 1}, false},
    {{.status = 200, .initial_age = -1}, false},
    {{.status = 200, .initial_age = LONGEST + 1}, false},
    {{.status = 200, .lifetime = -1}, false},
    {{.status = 200, .lifetime = LONGEST + 1}, false},
    {{.status = 200, .lifetime = INT64_MIN}, false},
};

/* Encoding refuses what decoding refuses. */
START_TEST(heads_are_checked)
{
    struct http_fields fields = fields_of("Date: x\n");
    struct http_meta_head head = heads[_i].head;
    char blob[128];
    struct http_meta meta;

    ck_assert((http_meta_encode(&head, &fields, blob, sizeof blob) > 0) == heads[_i].sound);
    head.magic = HTTP_META_MAGIC;
    head.fields_length = 9;
    memcpy(blob, &head, HEAD);
    memcpy(blob + HEAD, "Date: x\r\n", 9);
    ck_assert(http_meta_decode(&meta, blob, HEAD + 9) == heads[_i].sound);
}
END_TEST

START_TEST(encode_overwrites_its_own_members)
{
    struct http_fields fields = fields_of("Date: x\n");
    struct http_meta_head head = plain;
    char blob[128];
    struct http_meta meta;

    head.magic = 1;
    head.fields_length = 3;
    ck_assert(http_meta_decode(&meta, blob, (size_t)http_meta_encode(&head, &fields, blob, sizeof blob)));
}
END_TEST

/* Lines that another proxy of the tenant may have forged */
static const struct {
    struct http_span lines;
    bool sound;
} forgeries[] = {
    {{"", 0}, true},
    {{"A: 1\r\nB: a\tb\r\n", 14}, true},
    {{"A: \xc3\xa9\r\n", 7}, true},
    {{"\r\n", 2}, false},         /* ends the head early */
    {{"A: 1\r\n\r\n", 8}, false}, /* the same */
    {{"A: 1\r\n\r\nHTTP/1.1 200 OK\r\n", 25}, false},
    {{"A: 1\n", 5}, false},
    {{"A: 1\nB: 2\r\n", 11}, false},
    {{"A: 1\rB: 2\r\n", 11}, false},
    {{"A: 1", 4}, false},
    {{"A: 1\r", 5}, false},
    {{"A: \0\r\n", 6}, false},
    {{"A\0: 1\r\n", 7}, false},
    {{"A: \x7f\r\n", 6}, false},
    {{"no colon\r\n", 10}, false},
    {{" A: 1\r\n", 7}, false},
    {{"A: 1\r\n folded\r\n", 15}, false},
    /* names that encode never writes: they would decide where the response ends, or whose it is */
    {{"Content-Length: 0\r\n", 19}, false},
    {{"A: 1\r\nTRANSFER-ENCODING: chunked\r\n", 34}, false},
    {{"Connection: close\r\n", 19}, false},
    {{"Age: 0\r\n", 8}, false},
    {{"Proxy-Authenticate: Basic\r\n", 27}, false},
};

START_TEST(forged_lines_are_refused)
{
    struct http_meta_head head = plain;
    size_t length = HEAD + forgeries[_i].lines.length;
    char *blob = malloc(length);
    struct http_meta meta;

    head.magic = HTTP_META_MAGIC;
    head.fields_length = forgeries[_i].lines.length;
    memcpy(blob, &head, HEAD);
    memcpy(blob + HEAD, forgeries[_i].lines.at, forgeries[_i].lines.length);
    ck_assert(http_meta_decode(&meta, blob, length) == forgeries[_i].sound);
    free(blob);
}
END_TEST

/* No prefix of a blob is a blob; one changed byte of the head's frame is seen; an odd address is fine. */
START_TEST(damaged_blobs_are_refused)
{
    struct http_fields fields = fields_of("Date: x\nETag: \"a\"\n");
    char blob[256], shifted[257];
    int length = http_meta_encode(&plain, &fields, blob, sizeof blob);
    struct http_meta meta;

    ck_assert_int_gt(length, 0);
    for (size_t cut = 0; cut < (size_t)length; cut++) {
        char *copy = malloc(cut + !cut);

        memcpy(copy, blob, cut);
        ck_assert(!http_meta_decode(&meta, copy, cut));
        free(copy);
    }
    ck_assert(!http_meta_decode(&meta, blob, (size_t)length + 1));
    memcpy(shifted + 1, blob, (size_t)length);
    ck_assert(http_meta_decode(&meta, shifted + 1, (size_t)length));
    for (size_t at = 0; at < 4; at++) {
        blob[at] ^= 1; /* magic */
        ck_assert(!http_meta_decode(&meta, blob, (size_t)length));
        blob[at] ^= 1;
        blob[offsetof(struct http_meta_head, fields_length) + at] ^= 1;
        ck_assert(!http_meta_decode(&meta, blob, (size_t)length));
        blob[offsetof(struct http_meta_head, fields_length) + at] ^= 1;
    }
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
}
END_TEST

START_TEST(small_buffers_are_refused)
{
    struct http_fields fields = fields_of("Date: x\nETag: \"a\"\n");
    char whole[256];
    int length = http_meta_encode(&plain, &fields, whole, sizeof whole);

    for (size_t size = 0; size < (size_t)length; size++) {
        char *small = malloc(size + !size);

        ck_assert_int_eq(http_meta_encode(&plain, &fields, small, size), -1);
        free(small);
    }
    ck_assert_int_eq(http_meta_encode(&plain, &fields, whole, (size_t)length), length);
}
END_TEST

/* The bound holds on both sides even if the buffer is larger. */
START_TEST(size_is_bounded)
{
    static char value[HTTP_META_MAX], blob[2 * HTTP_META_MAX];
    struct http_fields fields = fields_of("Date: x\n");
    struct http_meta meta;
    struct http_text text;
    uint32_t room = (uint32_t)(HTTP_META_MAX - HEAD - 9 - 5);
    int length;

    memset(value, 'v', sizeof value);
    ck_assert(http_field_add(&fields, span("A"), (struct http_span){value, room}));
    length = http_meta_encode(&plain, &fields, blob, sizeof blob);
    ck_assert_int_eq(length, HTTP_META_MAX);
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
    fields.items[1].value.length++;
    ck_assert_int_eq(http_meta_encode(&plain, &fields, blob, sizeof blob), -1);
    meta.head.fields_length++;
    memcpy(blob, &meta.head, HEAD);
    text = http_text_into(blob + HTTP_META_MAX - 2, 3);
    http_text_add(&text, span("v\r\n"));
    ck_assert(!http_meta_decode(&meta, blob, HTTP_META_MAX + 1));
}
END_TEST

/* As many fields as a message may have, the added Date included; what decodes also parses. */
START_TEST(all_fields_are_kept)
{
    struct http_fields fields = {.count = 0}, back;
    char blob[4096], other[4096];
    struct http_text text;
    struct http_meta meta;
    int length;

    for (int i = 0; i < HTTP_MAX_FIELDS - 1; i++)
        ck_assert(http_field_add(&fields, span("A"), span("1")));
    length = http_meta_encode(&plain, &fields, blob, sizeof blob);
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
    ck_assert(http_fields_parse(&back, meta.fields));
    ck_assert_uint_eq(back.count, HTTP_MAX_FIELDS);
    ck_assert(http_field_add(&fields, span("A"), span("1")));
    ck_assert_int_eq(http_meta_encode(&plain, &fields, other, sizeof other), -1);
    meta.head.fields_length += 6;
    memcpy(blob, &meta.head, HEAD);
    text = http_text_into(blob + length, 6);
    http_text_add(&text, span("A: 1\r\n"));
    ck_assert(!http_meta_decode(&meta, blob, (size_t)length + 6));
}
END_TEST

/* RFC 9111 section 4.2.3 */
static const struct {
    int64_t initial_age, response_time, now, age;
} ages[] = {
    {0, 1000, 1000, 0},
    {5, 1000, 1000, 5},
    {5, 1000, 1060, 65},
    {5, 1000, 900, 5}, /* the clock was set back */
    {5, 1000, INT64_MIN, 5},
    {LONGEST, 1000, 1000, LONGEST},
    {LONGEST, 1000, 1001, LONGEST},
    {LONGEST - 1, 1000, 1001, LONGEST},
    {LONGEST - 2, 1000, 1001, LONGEST - 1},
    {0, 0, INT64_MAX, LONGEST},
    {LONGEST, TIME_MAX, INT64_MAX, LONGEST},
};

START_TEST(age_is_current)
{
    struct http_meta_head head = {.initial_age = ages[_i].initial_age,
                                  .response_time = ages[_i].response_time};

    ck_assert_int_eq(http_meta_age(&head, ages[_i].now), ages[_i].age);
}
END_TEST

static const struct http_parts some_parts = {
    .generation = "generation 1234", .length = 1000, .count = 2, .items = {{0, 300}, {400, 1000}}};

static int encode_with_parts(const struct http_meta_head *head, const struct http_parts *parts, char *blob,
                             size_t size)
{
    struct http_fields fields = fields_of("Date: x\nETag: \"a\"\n");

    return http_meta_add_parts(blob, http_meta_encode(head, &fields, blob, size), size, parts);
}

/* RFC 9111 section 3.3: what is incomplete is recorded as such. */
START_TEST(parts_are_described)
{
    char blob[256];
    struct http_meta meta;
    struct http_parts parts;
    struct http_meta_head head = plain;
    int length = encode_with_parts(&plain, &some_parts, blob, sizeof blob);

    ck_assert_int_eq(length, (int)(HEAD + 20 + HTTP_PARTS_BYTES(2)));
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
    ck_assert_uint_eq(meta.head.flags, HTTP_META_STRICT | HTTP_META_PARTS);
    ck_assert(http_span_equal(meta.fields, span("Date: x\r\nETag: \"a\"\r\n")));
    ck_assert(http_parts_decode(&parts, meta.parts.at, meta.parts.length));
    ck_assert_uint_eq(parts.length, 1000);
    ck_assert_uint_eq(parts.items[1].first, 400);
    for (int cut = 0; cut < length; cut++)
        ck_assert(!http_meta_decode(&meta, blob, (size_t)cut));
    ck_assert(!http_meta_decode(&meta, blob, (size_t)length + 1));
    head.flags = HTTP_META_INDEX; /* no response, so it has no parts */
    length = encode_with_parts(&head, &some_parts, blob, sizeof blob);
    ck_assert(!http_meta_decode(&meta, blob, (size_t)length));
    head = plain;
    head.status = 404; /* only a 200 has */
    length = encode_with_parts(&head, &some_parts, blob, sizeof blob);
    ck_assert(!http_meta_decode(&meta, blob, (size_t)length));
}
END_TEST

START_TEST(parts_that_do_not_fit_are_refused)
{
    char blob[256];
    struct http_parts none = some_parts;
    int length = encode_with_parts(&plain, &some_parts, blob, sizeof blob);

    ck_assert_int_eq(encode_with_parts(&plain, &some_parts, blob, (size_t)length), length);
    ck_assert_int_eq(encode_with_parts(&plain, &some_parts, blob, (size_t)length - 1), -1);
    none.length = 0;
    ck_assert_int_eq(encode_with_parts(&plain, &none, blob, sizeof blob), -1);
    ck_assert_int_eq(http_meta_add_parts(blob, -1, sizeof blob, &some_parts), -1);
}
END_TEST

/* Who writes the head of a part anew and forgets the description has written nothing, and not a whole
 * response. */
START_TEST(part_without_description_is_refused)
{
    struct http_fields fields = fields_of("Date: x\nETag: \"a\"\n");
    struct http_meta_head head = plain;
    char blob[256];
    struct http_meta meta;
    int length;

    head.flags |= HTTP_META_PARTS;
    length = http_meta_encode(&head, &fields, blob, sizeof blob);
    ck_assert_int_gt(length, 0);
    ck_assert(!http_meta_decode(&meta, blob, (size_t)length));
    length = http_meta_add_parts(blob, length, sizeof blob, &some_parts);
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, fields_are_encoded, encodings);
    ADD_ROWS(tcase, heads_are_checked, heads);
    tcase_add_test(tcase, encode_overwrites_its_own_members);
    ADD_ROWS(tcase, forged_lines_are_refused, forgeries);
    tcase_add_test(tcase, damaged_blobs_are_refused);
    tcase_add_test(tcase, small_buffers_are_refused);
    tcase_add_test(tcase, size_is_bounded);
    tcase_add_test(tcase, all_fields_are_kept);
    ADD_ROWS(tcase, age_is_current, ages);
    tcase_add_test(tcase, parts_are_described);
    tcase_add_test(tcase, parts_that_do_not_fit_are_refused);
    tcase_add_test(tcase, part_without_description_is_refused);
}

int main(void)
{
    return run_suite("http_meta", add_cases);
}
