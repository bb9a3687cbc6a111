#include "http_sf.h"

#include "check_policy.h"

/* Section numbers are those of RFC 9651. A member is written as key, type, text and parameters: "a:i1;b".
 * Types: i integer, d decimal, s string, t token, y bytes, b boolean, @ date, % display string, ( inner list.
 */
static const char types[] = "idstyb@%(";

static void describe(struct http_text *out, const struct http_sf_item *item)
{
    http_text_add(out, (struct http_span){types + item->type, 1});
    http_text_add(out, item->text);
    http_text_add(out, item->parameters);
}

static const struct {
    const char *name, *value, *members; /* NULL: invalid */
} dictionaries[] = {
    {"dictionary-empty", "", ""},
    {"dictionary-spaces", "   ", ""},
    {"dictionary-one", "a=1", "a:i1 "},
    {"dictionary-several", "a=1, b=x,c", "a:i1 b:tx c:b1 "},
    {"dictionary-tabs", "a=1\t,\t b=2", "a:i1 b:i2 "},
    {"dictionary-trailing-space", "a=1  ", "a:i1 "},
    {"dictionary-repeated", "a=1, a=2", "a:i1 a:i2 "}, /* the reader takes the last */
    {"dictionary-inner", "a=(1 \"b\";x  c );y", "a:(1 \"b\";x  c ;y "},
    {"dictionary-inner-empty", "a=()", "a:( "},
    {"dictionary-parameters", "a;x;y=2, b=1; z=\"q\"", "a:b1;x;y=2 b:i1; z=\"q\" "},
    {"dictionary-false", "a=?0", "a:b0 "},
    /* section 4.2.2 */
    {"dictionary-trailing-comma", "a=1,", NULL},
    {"dictionary-leading-comma", ",a=1", NULL},
    {"dictionary-two-commas", "a=1,,b=2", NULL},
    {"dictionary-no-comma", "a=1 b=2", NULL},
    {"dictionary-no-value", "a=", NULL},
    {"dictionary-no-value-inside", "a=, b=1", NULL},
    {"dictionary-space-before-equals", "a =1", NULL},
    {"dictionary-space-behind-equals", "a= 1", NULL},
    {"dictionary-leading-tab", "\ta=1", NULL},
    /* section 4.2.3.3: keys */
    {"key-characters", "a-_.*09=1, *b=2", "a-_.*09:i1 *b:i2 "},
    {"key-upper-case", "A=1", NULL},
    {"key-upper-case-inside", "aB=1", NULL},
    {"key-digit", "1a=1", NULL},
    {"key-missing", "=1", NULL},
    {"key-quoted", "\"a\"=1", NULL},
    {"key-other", "a$=1", NULL},
    /* section 4.2.3.2: parameters */
    {"parameter-no-key", "a;", NULL},
    {"parameter-no-value", "a;b=", NULL},
    {"parameter-space-before", "a ;b", NULL},
    {"parameter-inner", "a;b=(1)", NULL},
    {"parameter-tab", "a;\tb", NULL},
    /* section 4.2.1.2: inner lists */
    {"inner-open", "a=(1", NULL},
    {"inner-open-empty", "a=(", NULL},
    {"inner-tab", "a=(1\t2)", NULL},
    {"inner-comma", "a=(1,2)", NULL},
    {"inner-no-space", "a=(1\"b\")", NULL},
    {"inner-nested", "a=((1))", NULL},
    {"bytes-non-ascii", "a=\xc3\xa9", NULL},
};

START_TEST(dictionary_is_parsed)
{
    struct http_span rest = span(dictionaries[_i].value);
    struct http_sf_member member;
    char buffer[128];
    struct http_text got = http_text_into(buffer, sizeof buffer);
    enum http_sf_result result;
    uint32_t members;

    while ((result = http_sf_dictionary_next(&rest, &member)) == HTTP_SF_MEMBER) {
        http_text_add(&got, member.key);
        http_text_add(&got, span(":"));
        describe(&got, &member.value);
        http_text_add(&got, span(" "));
    }
    ROW_EQ(&dictionaries[_i], result, dictionaries[_i].members ? HTTP_SF_END : HTTP_SF_BAD);
    ROW_EQ(&dictionaries[_i], http_sf_dictionary_next(&rest, &member), result); /* it stays that */
    ROW_HOLDS(&dictionaries[_i],
              http_sf_is_dictionary(span(dictionaries[_i].value), &members) == !!dictionaries[_i].members);
    if (dictionaries[_i].members)
        ROW_TEXT(&dictionaries[_i], text_end(&got), dictionaries[_i].members);
}
END_TEST

static const struct {
    const char *name, *value, *item; /* NULL: invalid */
} items[] = {
    {"item-empty", "", NULL},
    {"item-spaces", " 1 ", "i1"},
    {"item-behind", "1 2", NULL},
    {"item-parameters", "1;a=?0;a", "i1;a=?0;a"},
    /* section 4.2.4 */
    {"integer-zero", "0", "i0"},
    {"integer-negative", "-42", "i-42"},
    {"integer-minus-zero", "-0", "i-0"},
    {"integer-leading-zeros", "007", "i007"},
    {"integer-15-digits", "999999999999999", "i999999999999999"},
    {"integer-16-digits", "1000000000000000", NULL},
    {"integer-minus-only", "-", NULL},
    {"integer-two-minus", "--1", NULL},
    {"integer-plus", "+1", NULL},
    {"integer-comma", "1,000", NULL},
    {"decimal", "1.5", "d1.5"},
    {"decimal-three", "-0.125", "d-0.125"},
    {"decimal-four", "0.1234", NULL},
    {"decimal-12-digits", "123456789012.123", "d123456789012.123"},
    {"decimal-13-digits", "1234567890123.1", NULL},
    {"decimal-no-fraction", "1.", NULL},
    {"decimal-no-integer", ".5", NULL},
    {"decimal-minus-point", "-.5", NULL},
    {"decimal-two-points", "1.2.3", NULL},
    /* section 4.2.5 */
    {"string", "\"a b\"", "sa b"},
    {"string-empty", "\"\"", "s"},
    {"string-escapes", "\"a\\\"b\\\\\"", "sa\\\"b\\\\"},
    {"string-other-escape", "\"a\\n\"", NULL},
    {"string-open", "\"a", NULL},
    {"string-open-escape", "\"a\\", NULL},
    {"string-control", "\"a\tb\"", NULL},
    {"string-delete", "\"a\x7f\"", NULL},
    {"string-non-ascii", "\"\xc3\xa9\"", NULL},
    {"string-single-quotes", "'a'", NULL},
    /* section 4.2.6 */
    {"token", "a", "ta"},
    {"token-characters", "A*!#$%&'*+-.^_`|~09:/z", "tA*!#$%&'*+-.^_`|~09:/z"},
    {"token-star", "*", "t*"},
    {"token-other-start", "/a", NULL},
    {"token-non-ascii", "a\xc3", NULL},
    /* section 4.2.7 */
    {"bytes", ":aGVsbG8=:", "yaGVsbG8="},
    {"bytes-empty", "::", "y"},
    {"bytes-no-padding", ":aGVsbG8:", "yaGVsbG8"},
    {"bytes-padding-only", ":=:", NULL},
    {"bytes-padding-inside", ":aG=sbG8=:", NULL},
    {"bytes-too-much-padding", ":aGVsbG8==:", NULL},
    {"bytes-one-left", ":aGVsb:", NULL},
    {"bytes-open", ":aGVsbG8=", NULL},
    {"bytes-space", ":aGVs bG8=:", NULL},
    {"bytes-url-alphabet", ":_-AB:", NULL},
    /* section 4.2.8 */
    {"boolean-true", "?1", "b1"},
    {"boolean-false", "?0", "b0"},
    {"boolean-other", "?2", NULL},
    {"boolean-letter", "?T", NULL},
    {"boolean-open", "?", NULL},
    {"boolean-long", "?11", NULL},
    /* section 4.2.9 */
    {"date", "@1659578233", "@1659578233"},
    {"date-negative", "@-1", "@-1"},
    {"date-decimal", "@1.5", NULL},
    {"date-open", "@", NULL},
    /* section 4.2.10 */
    {"display", "%\"f%c3%bcr\"", "%f%c3%bcr"},
    {"display-escaped-quote", "%\"%22\"", "%%22"},
    {"display-upper-hex", "%\"%C3%BC\"", NULL},
    {"display-cut", "%\"%c\"", NULL},
    {"display-open", "%\"a", NULL},
    {"display-no-quote", "%a", NULL},
    {"display-non-ascii", "%\"\xc3\xbc\"", NULL},
    {"display-utf8-cut", "%\"%c3\"", NULL},
    {"display-utf8-mixed", "%\"%c3a\"", NULL},
    {"display-utf8-long-form", "%\"%c0%80\"", NULL},
    {"display-utf8-long-form-3", "%\"%e0%80%80\"", NULL},
    {"display-utf8-surrogate", "%\"%ed%a0%80\"", NULL},
    {"display-utf8-four", "%\"%f0%9f%98%80\"", "%%f0%9f%98%80"},
    {"display-utf8-too-high", "%\"%f4%90%80%80\"", NULL},
    /* section 4.2.3.1 */
    {"unknown-type", "!a", NULL},
};

START_TEST(item_is_parsed)
{
    struct http_sf_item item;
    char buffer[128];
    struct http_text got = http_text_into(buffer, sizeof buffer);
    bool valid = http_sf_item(span(items[_i].value), &item);

    ROW_EQ(&items[_i], valid, !!items[_i].item);
    if (!valid)
        return;
    describe(&got, &item);
    ROW_TEXT(&items[_i], text_end(&got), items[_i].item);
}
END_TEST

static const struct {
    const char *name, *value, *items; /* NULL: invalid */
} lists[] = {
    {"list-empty", "", ""},
    {"list-one", "1", "i1 "},
    {"list-several", "1, a ,(b c)", "i1 ta (b c "},
    {"list-hit", "ExampleCache; hit; ttl=30, larder;fwd=stale",
     "tExampleCache; hit; ttl=30 tlarder;fwd=stale "},
    {"list-trailing-comma", "1,", NULL},
    {"list-two-commas", "1,,2", NULL},
    {"list-key-value", "a=1", NULL},
};

START_TEST(list_is_parsed)
{
    struct http_span rest = span(lists[_i].value);
    struct http_sf_item item;
    char buffer[128];
    struct http_text got = http_text_into(buffer, sizeof buffer);
    enum http_sf_result result;

    while ((result = http_sf_list_next(&rest, &item)) == HTTP_SF_MEMBER) {
        describe(&got, &item);
        http_text_add(&got, span(" "));
    }
    ROW_EQ(&lists[_i], result, lists[_i].items ? HTTP_SF_END : HTTP_SF_BAD);
    if (lists[_i].items)
        ROW_TEXT(&lists[_i], text_end(&got), lists[_i].items);
}
END_TEST

START_TEST(hostile_values_are_parsed)
{
    struct http_sf_item item;
    char *deep = malloc(65536);

    ck_assert(!http_sf_item((struct http_span){NULL, 0}, &item));
    ck_assert(http_sf_is_dictionary((struct http_span){NULL, 0}, NULL));
    ck_assert(!http_sf_item((struct http_span){"a\0b", 3}, &item));
    ck_assert(!http_sf_is_dictionary((struct http_span){"a\0=1", 4}, NULL));
    memset(deep, '(', 65536);
    ck_assert(!http_sf_item((struct http_span){deep, 65536}, &item));
    deep[0] = 'a';
    deep[1] = '=';
    ck_assert(!http_sf_is_dictionary((struct http_span){deep, 65536}, NULL));
    free(deep);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(dictionaries);
    CHECK_NAMES(items);
    CHECK_NAMES(lists);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, dictionary_is_parsed, dictionaries);
    ADD_ROWS(tcase, item_is_parsed, items);
    ADD_ROWS(tcase, list_is_parsed, lists);
    tcase_add_test(tcase, hostile_values_are_parsed);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_sf", add_cases);
}
