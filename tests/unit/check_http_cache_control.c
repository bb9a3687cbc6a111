#include "http_cache_control.h"

#include "check_policy.h"

/* Durations in the order max-age, s-maxage, min-fresh, max-stale, stale-while-revalidate, stale-if-error. */
#define NONE                                                                                                 \
    {                                                                                                        \
        -1, -1, -1, -1, -1, -1                                                                               \
    }

static const struct {
    const char *name, *fields;
    int64_t durations[6];
    const char *flags; /* names of the members that are true, in their order */
} rows[] = {
    {"no-field", "Date: x\n", NONE, ""},
    {"empty", CC "\n", NONE, ""},
    {"max-age", CC "max-age=60\n", {60, -1, -1, -1, -1, -1}, ""},
    /* section 5.2: directives have no case, nor have field names */
    {"case", "CACHE-CONTROL: MAX-AGE=60\n", {60, -1, -1, -1, -1, -1}, ""},
    {"case-of-flags", CC "nO-StOrE, No-CaChE, PRIVATE\n", NONE, "no_store no_cache private "},
    {"quoted-words-of-others",
     CC "a=\"max-age=60\", max-age=\"1\", b=\"no-store\"\n",
     {1, -1, -1, -1, -1, -1},
     ""},
    {"several-lines", CC "max-age=60, s-maxage=70\n" CC "public\n", {60, 70, -1, -1, -1, -1}, "public "},
    {"request-durations", CC "min-fresh=1, max-stale=2\n", {-1, -1, 1, 2, -1, -1}, ""},
    /* section 5.2.1.2 */
    {"max-stale-any", CC "max-stale\n", {-1, -1, -1, MAX, -1, -1}, ""},
    {"rfc5861", CC "stale-while-revalidate=3, stale-if-error=4\n", {-1, -1, -1, -1, 3, 4}, ""},
    {"flags-spacing", CC "no-store,no-cache, private\t,public\n", NONE, "no_store no_cache private public "},
    {"all-flags",
     CC "must-revalidate, proxy-revalidate, must-understand, no-transform, only-if-cached, immutable\n", NONE,
     "must_revalidate proxy_revalidate must_understand no_transform only_if_cached immutable "},
    /* sections 5.2.2.4 and 5.2.2.7: qualified, in both argument forms (section 5.2) */
    {"qualified", CC "no-cache=\"set-cookie, x\", private=y\n", NONE, "no_cache_fields private_fields "},
    {"qualified-empty", CC "no-cache=\"\"\n", NONE, "no_cache "},
    {"qualified-no-value", CC "private=\n", NONE, "private "},
    {"qualified-no-name", CC "private=\"a b\"\n", NONE, "private "},
    {"qualified-open-quote", CC "private=\"a\n", NONE, "private "},
    {"qualified-escape", CC "private=\"a\\b\"\n", NONE, "private "},
    {"qualified-vary", CC "private=\"x, Vary\"\n", NONE, "private "},
    {"qualified-connection", CC "private=\"Connection\"\n", NONE, "private "},
    {"qualified-coding", CC "no-cache=\"content-encoding\"\n", NONE, "no_cache "},
    {"qualified-and-plain", CC "no-cache, no-cache=x\n", NONE, "no_cache no_cache_fields "},
    {"qualified-too-many", CC "private=a, private=b, private=c, private=d, private=e\n", NONE,
     "private private_fields "},
    /* section 5.2: both forms of an argument; section 5.2.3: unknown directives are ignored */
    {"quoted", CC "max-age=\"60\"\n", {60, -1, -1, -1, -1, -1}, ""},
    {"unknown", CC "community=\"UCI, no-store\", max-age=60, max-ages=5, x\n", {60, -1, -1, -1, -1, -1}, ""},
    {"open-quote-ends-with-line", CC "x=\"no-store, max-age=1\n" CC "public\n", NONE, "public "},
    {"argument-of-flag", CC "no-store=1, must-revalidate=\"x\"\n", NONE, "no_store must_revalidate "},
    {"rfc8246-argument", CC "immutable=5\n", NONE, "immutable "},
    {"other-names", CC "no_store, nostore, no-stores\n", NONE, ""},
    {"empty-elements", CC ",, ,no-store,,\n", NONE, "no_store "},
    /* section 1.2.2: overflow */
    {"saturation", CC "max-age=2147483648\n", {MAX, -1, -1, -1, -1, -1}, ""},
    {"overflow",
     CC "max-age=99999999999999999999, s-maxage=18446744073709551617\n",
     {MAX, MAX, -1, -1, -1, -1},
     ""},
    {"leading-zeros", CC "max-age=0000000000000000000060\n", {60, -1, -1, -1, -1, -1}, ""},
    /* section 4.2.1: repeated, the strictest counts */
    {"repeated-same", CC "max-age=60, max-age=60\n", {60, -1, -1, -1, -1, -1}, ""},
    {"repeated-smallest", CC "max-age=60, max-age=10\n", {10, -1, -1, -1, -1, -1}, ""},
    {"repeated-smallest-first", CC "s-maxage=10\n" CC "s-maxage=60\n", {-1, 10, -1, -1, -1, -1}, ""},
    {"repeated-largest", CC "min-fresh=1, min-fresh=5, min-fresh=2\n", {-1, -1, 5, -1, -1, -1}, ""},
    {"repeated-max-stale", CC "max-stale, max-stale=5\n", {-1, -1, -1, 5, -1, -1}, ""},
    {"repeated-stale-if-error", CC "stale-if-error=9, stale-if-error=8\n", {-1, -1, -1, -1, -1, 8}, ""},
    /* section 4.2.1: invalid freshness, alone or beside a valid one */
    {"invalid-no-value", CC "max-age\n", NONE, "invalid "},
    {"invalid-empty", CC "max-age=\n", NONE, "invalid "},
    {"invalid-empty-quoted", CC "max-age=\"\"\n", NONE, "invalid "},
    {"invalid-negative", CC "max-age=-1\n", NONE, "invalid "},
    {"invalid-plus", CC "max-age=+1\n", NONE, "invalid "},
    {"invalid-decimal", CC "max-age=1.5\n", NONE, "invalid "},
    {"invalid-unit", CC "max-age=60s\n", NONE, "invalid "},
    {"invalid-hex", CC "max-age=0x3c\n", NONE, "invalid "},
    {"invalid-equals", CC "max-age==60\n", NONE, "invalid "},
    {"invalid-space-before", CC "max-age =60\n", NONE, "invalid "},
    {"invalid-space-behind", CC "max-age= 60\n", NONE, "invalid "},
    {"invalid-apostrophes", CC "max-age='60'\n", NONE, "invalid "},
    {"invalid-open-quote", CC "max-age=\"60\n", NONE, "invalid "},
    {"invalid-escape", CC "max-age=\"6\\0\"\n", NONE, "invalid "},
    {"invalid-no-comma", CC "max-age=60 no-store\n", NONE, "invalid "},
    {"invalid-beside-valid", CC "max-age=60, max-age=x\n", {60, -1, -1, -1, -1, -1}, "invalid "},
    {"invalid-s-maxage", CC "s-maxage=x, max-age=60\n", {60, -1, -1, -1, -1, -1}, "invalid "},
    /* what is not freshness is ignored when invalid */
    {"invalid-others", CC "min-fresh=x, max-stale=x, stale-if-error=x, stale-while-revalidate\n", NONE, ""},
};

static void flags_text(const struct http_cache_control *cc, struct http_text *out)
{
    static const char *const names[] = {
        "no_store ",       "no_cache ",        "no_cache_fields ",  "private ",         "private_fields ",
        "public ",         "must_revalidate ", "proxy_revalidate ", "must_understand ", "no_transform ",
        "only_if_cached ", "immutable ",       "invalid "};
    const bool flags[] = {cc->no_store,        cc->no_cache,     cc->no_cache_fields, cc->private_,
                          cc->private_fields,  cc->public_,      cc->must_revalidate, cc->proxy_revalidate,
                          cc->must_understand, cc->no_transform, cc->only_if_cached,  cc->immutable,
                          cc->invalid};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (flags[i])
            http_text_add(out, span(names[i]));
    }
}

START_TEST(cache_control_is_parsed)
{
    struct http_fields fields = fields_of(rows[_i].fields);
    struct http_cache_control cc;
    char buffer[256];
    struct http_text flags = http_text_into(buffer, sizeof buffer);

    http_cache_control_parse(&cc, &fields);
    const int64_t durations[] = {
        cc.max_age, cc.s_maxage, cc.min_fresh, cc.max_stale, cc.stale_while_revalidate, cc.stale_if_error};
    for (int i = 0; i < 6; i++)
        ROW_EQ(&rows[_i], durations[i], rows[_i].durations[i]);
    flags_text(&cc, &flags);
    ROW_TEXT(&rows[_i], text_end(&flags), rows[_i].flags);
}
END_TEST

/* Sections 5.2.2.4, 5.2.2.7: names have no case; those of both directives are withheld. */
START_TEST(named_fields_are_withheld)
{
    struct http_fields fields =
        fields_of(CC "private=\"X-A, , set-cookie\"\n" CC "no-cache=x-b, public=x-c\n");
    struct http_cache_control cc;

    http_cache_control_parse(&cc, &fields);
    ck_assert(http_withheld_has(&cc.withheld, span("x-a")) && http_withheld_has(&cc.withheld, span("X-B")));
    ck_assert(http_withheld_has(&cc.withheld, span("Set-Cookie")));
    ck_assert(!http_withheld_has(&cc.withheld, span("x-c")) && !http_withheld_has(&cc.withheld, span("x")));
    ck_assert(!http_withheld_has(&cc.withheld, span("")));
}
END_TEST

/* Bytes that a C string cannot hold, and as many fields as there may be. */
START_TEST(hostile_cache_control_is_parsed)
{
    struct http_fields fields = {.count = 0};
    struct http_cache_control cc;

    ck_assert(http_field_add(&fields, span("Cache-Control"), (struct http_span){"no-store\0", 9}));
    ck_assert(http_field_add(&fields, span("Cache-Control"), (struct http_span){"max-age=6\0", 10}));
    ck_assert(http_field_add(&fields, span("Cache-Control"), (struct http_span){NULL, 0}));
    http_cache_control_parse(&cc, &fields);
    ck_assert(!cc.no_store && cc.invalid && cc.max_age == -1);
    while (http_field_add(&fields, span("Cache-Control"), span("=, =\", \"=, s-maxage=5")))
        ;
    fields.items[HTTP_MAX_FIELDS - 1].value = span("private");
    http_cache_control_parse(&cc, &fields);
    ck_assert(cc.private_ && fields.count == HTTP_MAX_FIELDS);
}
END_TEST

/* Section 5.4: Pragma counts only where there is no Cache-Control. */
static const struct {
    const char *name, *fields;
    bool no_cache;
} pragmas[] = {
    {"pragma", "Pragma: no-cache\n", true},
    {"pragma-list", "pragma: x, No-Cache\n", true},
    {"pragma-other", "Pragma: x\n", false},
    {"pragma-with-cache-control", "Pragma: no-cache\n" CC "max-age=60\n", false},
    {"pragma-with-empty-cache-control", "Pragma: no-cache\n" CC "\n", false},
    {"request-no-cache", CC "no-cache\n", true},
    {"request-qualified", CC "no-cache=\"x\"\n", true},
    {"request-none", "Accept: x\n", false},
};

START_TEST(request_directives_are_parsed)
{
    struct http_fields fields = fields_of(pragmas[_i].fields);
    struct http_cache_control cc;

    http_request_control_parse(&cc, &fields);
    ROW_EQ(&pragmas[_i], cc.no_cache, pragmas[_i].no_cache);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(rows);
    CHECK_NAMES(pragmas);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, cache_control_is_parsed, rows);
    tcase_add_test(tcase, named_fields_are_withheld);
    tcase_add_test(tcase, hostile_cache_control_is_parsed);
    ADD_ROWS(tcase, request_directives_are_parsed, pragmas);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_cache_control", add_cases);
}
