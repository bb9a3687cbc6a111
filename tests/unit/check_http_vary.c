#include "http_vary.h"

#include "check_http.h"

#include "http_meta.h"

#include <stdio.h>

/* ---- specs ---- */

static const struct {
    const char *response;
    enum http_vary vary;
    const char *spec;
} specs[] = {
    {"", HTTP_VARY_NONE, ""},
    {"Vary:\n", HTTP_VARY_NONE, ""},
    {"Vary: ,\nVary: , ,\n", HTTP_VARY_NONE, ""},
    {"Vary: Accept-Encoding\n", HTTP_VARY_SPEC, "accept-encoding"},
    /* RFC 9110 section 12.5.5: a list of names without case; order and repetition say nothing */
    {"Vary: B,a\n", HTTP_VARY_SPEC, "a,b"},
    {"Vary: a ,\tB\nvary: A\n", HTTP_VARY_SPEC, "a,b"},
    {"Vary: ab, a, abc, a-b\n", HTTP_VARY_SPEC, "a,a-b,ab,abc"},
    /* RFC 9111 section 4.1: "*" never matches, whatever stands beside it */
    {"Vary: *\n", HTTP_VARY_NEVER, ""},
    {"Vary: Accept, *\n", HTTP_VARY_NEVER, ""},
    {"Vary: Accept\nVary: *\n", HTTP_VARY_NEVER, ""},
    {"Vary: a*\n", HTTP_VARY_SPEC, "a*"}, /* a name like any other */
    /* no names: what it depends on is unknown */
    {"Vary: a b\n", HTTP_VARY_NEVER, ""},
    {"Vary: \"a\"\n", HTTP_VARY_NEVER, ""},
    {"Vary: a:b\n", HTTP_VARY_NEVER, ""},
    {"Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\n", HTTP_VARY_SPEC, "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"},
    {"Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\n", HTTP_VARY_NEVER, ""},
};

START_TEST(spec_is_made)
{
    struct http_fields response = fields_of(specs[_i].response);
    struct http_vary_spec spec, again;

    ck_assert_int_eq(http_vary_of(&response, &spec), specs[_i].vary);
    if (specs[_i].vary != HTTP_VARY_SPEC)
        return;
    ck_assert(http_span_equal((struct http_span){spec.text, spec.length}, span(specs[_i].spec)));
    ck_assert(http_vary_spec_parse((struct http_span){spec.text, spec.length}, &again));
    ck_assert(http_vary_spec_equal(&spec, &again));
}
END_TEST

START_TEST(long_names_are_refused)
{
    char name[HTTP_VARY_SPEC_MAX + 1];
    struct http_fields response = {.count = 0};
    struct http_vary_spec spec;

    memset(name, 'x', sizeof name);
    http_field_add(&response, HTTP_SPAN("Vary"), (struct http_span){name, HTTP_VARY_SPEC_MAX});
    ck_assert_int_eq(http_vary_of(&response, &spec), HTTP_VARY_SPEC);
    response.items[0].value.length++;
    ck_assert_int_eq(http_vary_of(&response, &spec), HTTP_VARY_NEVER);
}
END_TEST

/* Only what http_vary_of() writes is read. */
static const char *const no_specs[] = {
    "",
    "A",
    "b,a",
    "a,a",
    "a, b",
    "a,",
    ",a",
    "*",
    "a,*",
    "a b",
    "a\nb",
    " a",
    "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
};

START_TEST(other_text_is_no_spec)
{
    struct http_vary_spec spec;

    ck_assert(!http_vary_spec_parse(span(no_specs[_i]), &spec));
}
END_TEST

/* ---- keys ---- */

static struct http_vary_spec spec_of(const char *text)
{
    struct http_vary_spec spec;

    ck_assert(http_vary_spec_parse(span(text), &spec));
    return spec;
}

static const struct {
    const char *spec, *request, *key; /* NULL: none */
} keys[] = {
    /* RFC 9111 section 4.1: absent matches absent alone */
    {"x", "", "x\n"},
    {"x", "X:\n", "x:\n"},
    {"accept-encoding", "", "accept-encoding\n"},
    {"accept-encoding", "Accept-Encoding:\n", "accept-encoding:\n"},
    {"accept-encoding", "Accept-Encoding: ,\n", "accept-encoding:\n"},
    /* other fields than those named do not count */
    {"x", "Y: 1\nX: 2\n", "x:2\n"},
    {"a,b", "B: 2\nA: 1\n", "a:1\nb:2\n"},
    {"a,b", "B: 2\n", "a\nb:2\n"},
    /* several lines are one list */
    {"x", "X: 1\nX: 2\n", "x:1, 2\n"},
    {"x", "X: 1, 2\n", "x:1, 2\n"},
    /* nothing is known of others: bytes */
    {"user-agent", "User-Agent: Curl/7  (X)\n", "user-agent:Curl/7  (X)\n"},
    {"cookie", "Cookie: b=1; a=2\n", "cookie:b=1; a=2\n"},
    {"x", "X: caf\xc3\xa9\n", "x:caf\xc3\xa9\n"},
    {"x", "X: a\tb\n", "x:a\tb\n"},
    {"x", "X: a\rb\n", NULL},
    {"x", "X: a\x7f\n", NULL},
    {"accept", "Accept: a/b;c=\"\r\"\n", NULL},

    /* RFC 9110 section 12.5.3: order, case, white space */
    {"accept-encoding", "Accept-Encoding: gzip, deflate, br\n", "accept-encoding:br,deflate,gzip\n"},
    {"accept-encoding", "Accept-Encoding: br,GZIP ,\tdeflate\n", "accept-encoding:br,deflate,gzip\n"},
    {"accept-encoding", "Accept-Encoding: br\nAccept-Encoding: gzip\n", "accept-encoding:br,gzip\n"},
    {"accept-encoding", "Accept-Encoding: gzip, gzip\n", "accept-encoding:gzip\n"},
    /* section 8.4.1.3: old names */
    {"accept-encoding", "Accept-Encoding: x-gzip, X-Compress\n", "accept-encoding:compress,gzip\n"},
    /* section 12.4.2: weights, however they are written */
    {"accept-encoding", "Accept-Encoding: a;q=0.5, b;q=1.0, c;q=0.50\n",
     "accept-encoding:b,a;q=0.5,c;q=0.5\n"},
    {"accept-encoding", "Accept-Encoding: a ; Q=0.123 , b;q=0, *;q=0.\n",
     "accept-encoding:a;q=0.123,*;q=0,b;q=0\n"},
    {"accept-encoding", "Accept-Encoding: a;q=0.01, b;q=0.001, c;q=0.1, d;q=1\n",
     "accept-encoding:d,c;q=0.1,a;q=0.01,b;q=0.001\n"},
    {"accept-encoding", "Accept-Encoding: gzip;q=1, gzip;q=0.5\n", "accept-encoding:gzip,gzip;q=0.5\n"},
    {"accept-encoding", "Accept-Encoding: gzip;\n", "accept-encoding:gzip\n"},
    /* malformed: bytes */
    {"accept-encoding", "Accept-Encoding: GZip;q=2\n", "accept-encoding:GZip;q=2\n"},
    {"accept-encoding", "Accept-Encoding: GZip;q=0.1234\n", "accept-encoding:GZip;q=0.1234\n"},
    {"accept-encoding", "Accept-Encoding: GZip;q=1.001\n", "accept-encoding:GZip;q=1.001\n"},
    {"accept-encoding", "Accept-Encoding: GZip;q=-1\n", "accept-encoding:GZip;q=-1\n"},
    {"accept-encoding", "Accept-Encoding: GZip;q=\n", "accept-encoding:GZip;q=\n"},
    {"accept-encoding", "Accept-Encoding: GZip;q\n", "accept-encoding:GZip;q\n"},
    {"accept-encoding", "Accept-Encoding: GZip; q = 1\n", "accept-encoding:GZip; q = 1\n"},
    {"accept-encoding", "Accept-Encoding: GZip;x=1\n", "accept-encoding:GZip;x=1\n"},
    {"accept-encoding", "Accept-Encoding: GZip;q=1;q=1\n", "accept-encoding:GZip;q=1;q=1\n"},
    {"accept-encoding", "Accept-Encoding: g zip\n", "accept-encoding:g zip\n"},

    /* section 12.5.2 */
    {"accept-charset", "Accept-Charset: UTF-8, iso-8859-1;q=0.5\n",
     "accept-charset:utf-8,iso-8859-1;q=0.5\n"},

    /* section 12.5.4: by weight; among equals order may be meant */
    {"accept-language", "Accept-Language: fr;q=0.7, DE-at, en\n", "accept-language:de-at,en,fr;q=0.7\n"},
    {"accept-language", "Accept-Language: en, de-AT, fr;q=0.70\n", "accept-language:en,de-at,fr;q=0.7\n"},
    {"accept-language", "Accept-Language: de;q=0.5, en;q=0.8, *;q=0.5\n",
     "accept-language:en;q=0.8,de;q=0.5,*;q=0.5\n"},

    /* section 12.5.1: parameters belong to the range, and their values' case may count */
    {"accept", "Accept: text/HTML; Level=A ;q=0.8, text/*;q=0.8, Image/png\n",
     "accept:image/png,text/*;q=0.8,text/html;level=A;q=0.8\n"},
    {"accept", "Accept: a/b;c=\"x,Y;z\"\n", "accept:a/b;c=\"x,Y;z\"\n"},
    {"accept", "Accept: a/b;c=\"x\\\";Y\"; d=e\n", "accept:a/b;c=\"x\\\";Y\";d=e\n"},
    {"accept", "Accept: */*\n", "accept:*/*\n"},
    {"accept", "Accept: B\n", "accept:B\n"},
    {"accept", "Accept: A/b/c\n", "accept:A/b/c\n"},
    {"accept", "Accept: A/b;q=0.5;x=y\n", "accept:A/b;q=0.5;x=y\n"},
    {"accept", "Accept: A/b;=y\n", "accept:A/b;=y\n"},
};

START_TEST(key_is_made)
{
    struct http_vary_spec spec = spec_of(keys[_i].spec);
    struct http_fields request = fields_of(keys[_i].request);
    char out[HTTP_VARY_KEY_MAX];
    int length = http_vary_key(&spec, &request, out, sizeof out);

    if (!keys[_i].key) {
        ck_assert_int_eq(length, -1);
        return;
    }
    ck_assert_int_ge(length, 0);
    ck_assert_msg(http_span_equal((struct http_span){out, (uint32_t)length}, span(keys[_i].key)), "%.*s",
                  length, out);
}
END_TEST

static int key_length(size_t value, size_t size)
{
    static char text[HTTP_VARY_KEY_MAX + 1];
    char out[HTTP_VARY_KEY_MAX + 100];
    struct http_vary_spec spec = spec_of("x");
    struct http_fields request = {.count = 0};

    memset(text, 'v', sizeof text);
    http_field_add(&request, HTTP_SPAN("X"), (struct http_span){text, (uint32_t)value});
    return http_vary_key(&spec, &request, out, size);
}

START_TEST(key_is_bounded)
{
    ck_assert_int_eq(key_length(HTTP_VARY_KEY_MAX - 3, HTTP_VARY_KEY_MAX + 100), HTTP_VARY_KEY_MAX);
    ck_assert_int_eq(key_length(HTTP_VARY_KEY_MAX - 2, HTTP_VARY_KEY_MAX + 100), -1);
    ck_assert_int_eq(key_length(10, 13), 13);
    ck_assert_int_eq(key_length(10, 12), -1);
    ck_assert_int_eq(key_length(10, 0), -1);
}
END_TEST

/* More elements than are sorted count byte by byte. */
START_TEST(long_lists_are_bytes)
{
    char value[1024] = "A0";
    char wanted[1100];
    struct http_vary_spec spec = spec_of("accept-encoding");
    struct http_fields request = {.count = 0};
    char out[HTTP_VARY_KEY_MAX];
    int length;

    for (int i = 1; i < 65; i++)
        snprintf(value + strlen(value), sizeof value - strlen(value), ",A%d", i);
    http_field_add(&request, HTTP_SPAN("Accept-Encoding"), span(value));
    length = http_vary_key(&spec, &request, out, sizeof out);
    snprintf(wanted, sizeof wanted, "accept-encoding:%s\n", value);
    ck_assert(http_span_equal((struct http_span){out, (uint32_t)length}, span(wanted)));
}
END_TEST

static const struct {
    const char *spec;
    bool shown;
} shown[] = {
    {"accept-encoding", true}, {"accept,accept-charset,accept-encoding,accept-language", true},
    {"cookie", false},         {"accept,cookie", false},
    {"authorization", false},  {"accept-x", false},
};

START_TEST(secrets_are_not_shown)
{
    struct http_vary_spec spec = spec_of(shown[_i].spec);

    ck_assert_int_eq(http_vary_may_be_shown(&spec), shown[_i].shown);
}
END_TEST

/* ---- the index ---- */

static struct http_vary_index index_of(const char *const *texts, uint32_t count)
{
    struct http_vary_index index = {.count = 0};

    memset(index.generation, 'a', sizeof index.generation);
    for (uint32_t i = 0; i < count; i++) {
        struct http_vary_spec spec = spec_of(texts[i]);

        http_vary_index_put(&index, &spec);
    }
    return index;
}

static const char *index_text(const struct http_vary_index *index)
{
    static char text[HTTP_VARY_SPECS_MAX * (HTTP_VARY_SPEC_MAX + 1) + 1];

    text[0] = '\0';
    for (uint32_t i = 0; i < index->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", i ? " " : "",
                 (int)index->specs[i].length, index->specs[i].text);
    return text;
}

START_TEST(latest_comes_first)
{
    static const char *const texts[] = {"a", "b", "c", "a", "d", "e", "f", "g", "h", "i", "d"};
    static const char *const wanted[] = {
        "a",           "b a",           "c b a",           "a c b",           "d a c b",        "e d a c b",
        "f e d a c b", "g f e d a c b", "h g f e d a c b", "i h g f e d a c", "d i h g f e a c"};

    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct http_vary_index index = index_of(texts, i + 1);

        ck_assert_str_eq(index_text(&index), wanted[i]);
    }
}
END_TEST

START_TEST(latest_may_be_put_again)
{
    static const char *const texts[] = {"a", "b", "c"};
    struct http_vary_index index = index_of(texts, 3);

    http_vary_index_put(&index, &index.specs[2]);
    ck_assert_str_eq(index_text(&index), "a c b");
    http_vary_index_put(&index, &index.specs[0]);
    ck_assert_str_eq(index_text(&index), "a c b");
}
END_TEST

/* Through the form in which it is stored. */
START_TEST(index_reads_back)
{
    static const char *const texts[] = {"accept,cookie", "accept-encoding", "c", "d", "e", "f", "g", "h"};
    struct http_vary_index index = index_of(texts, 8), again;
    struct http_meta_head head = {.status = 200, .response_time = 1};
    struct http_fields fields;
    struct http_meta meta;
    char blob[HTTP_META_MAX];
    int length;

    http_vary_index_fields(&index, &fields);
    length = http_meta_encode(&head, &fields, blob, sizeof blob);
    ck_assert_int_gt(length, 0);
    ck_assert(http_meta_decode(&meta, blob, (size_t)length));
    ck_assert(http_fields_parse(&fields, meta.fields));
    ck_assert(http_vary_index_parse(&fields, &again));
    ck_assert_str_eq(index_text(&again), "h g f e d c accept-encoding accept,cookie");
    ck_assert_mem_eq(again.generation, index.generation, sizeof index.generation);
}
END_TEST

#define GENERATION "Larder-Generation: 0123456789abcdef0123456789abcdef\n"
#define SPEC       "Larder-Vary: "

static const struct {
    const char *fields;
    bool good;
} indexes[] = {
    {GENERATION SPEC "a\n", true},
    {GENERATION SPEC "a\n" SPEC "b\nDate: x\n", true},
    {SPEC "a\n" GENERATION, true},
    {GENERATION, false},
    {SPEC "a\n", false},
    {"", false},
    {GENERATION GENERATION SPEC "a\n", false},
    {"Larder-Generation: 0123456789abcdef0123456789abcde\n" SPEC "a\n", false},
    {"Larder-Generation: 0123456789abcdef0123456789abcdef0\n" SPEC "a\n", false},
    {"Larder-Generation: 0123456789abcdef0123456789abcdeF\n" SPEC "a\n", false},
    {"Larder-Generation: 0123456789abcdef0123456789abcde/\n" SPEC "a\n", false},
    {GENERATION SPEC "A\n", false},
    {GENERATION SPEC "*\n", false},
    {GENERATION SPEC "\n", false},
    {GENERATION SPEC "b,a\n", false},
    {GENERATION SPEC "a\n" SPEC "a\n", false},
    {GENERATION SPEC "a\nX: y\n", false},
    {GENERATION SPEC "a\n" SPEC "b\n" SPEC "c\n" SPEC "d\n" SPEC "e\n" SPEC "f\n" SPEC "g\n" SPEC "h\n",
     true},
    {GENERATION SPEC "a\n" SPEC "b\n" SPEC "c\n" SPEC "d\n" SPEC "e\n" SPEC "f\n" SPEC "g\n" SPEC "h\n" SPEC
                     "i\n",
     false},
};

START_TEST(hostile_indexes_are_refused)
{
    struct http_fields fields = fields_of(indexes[_i].fields);
    struct http_vary_index index;

    ck_assert_int_eq(http_vary_index_parse(&fields, &index), indexes[_i].good);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, spec_is_made, specs);
    tcase_add_test(tcase, long_names_are_refused);
    ADD_ROWS(tcase, other_text_is_no_spec, no_specs);
    ADD_ROWS(tcase, key_is_made, keys);
    tcase_add_test(tcase, key_is_bounded);
    tcase_add_test(tcase, long_lists_are_bytes);
    ADD_ROWS(tcase, secrets_are_not_shown, shown);
    tcase_add_test(tcase, latest_comes_first);
    tcase_add_test(tcase, latest_may_be_put_again);
    tcase_add_test(tcase, index_reads_back);
    ADD_ROWS(tcase, hostile_indexes_are_refused, indexes);
}

int main(void)
{
    return run_suite("http_vary", add_cases);
}
