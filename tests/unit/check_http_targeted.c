#include "http_targeted.h"

#include "check_policy.h"

/* Section numbers are those of RFC 9213. */
static const struct {
    const char *name, *fields;
    bool targeted; /* a targeted field was used */
    int64_t max_age;
    const char *flags; /* s no-store, v no-cache, w fields withheld, p private, r must-revalidate, ! invalid,
                        * u must-understand, P public, i immutable */
} rows[] = {
    /* section 2.2: the first that is valid and not empty, in the list's order, replaces Cache-Control */
    {"target-none", CC "max-age=5\n", false, 5, ""},
    {"target-replaces", CDN "max-age=600\n" CC "no-store\n", true, 600, ""},
    {"target-replaces-more-liberal", CDN "no-store\n" CC "max-age=60\n", true, -1, "s"},
    {"target-list-order", CDN "max-age=1\nX-Cache-Control: max-age=2\n", true, 2, ""},
    {"target-list-order-invalid", CDN "max-age=1\nX-Cache-Control: max-age=\n", true, 1, ""},
    {"target-not-on-list", "Y-Cache-Control: no-store\n" CC "max-age=5\n", false, 5, ""},
    {"target-name-case", "cdn-cache-control: max-age=1\n" CC "max-age=5\n", true, 1, ""},
    /* section 3.1 */
    {"target-unknown-directive", CDN "none\n" CC "no-store\n", true, -1, ""},
    /* section 2.1: empty, or not a Dictionary: as if it were not there */
    {"target-empty", CDN "\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-key", CDN "Max-Age=1\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-member", CDN "max-age=1, !\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-trailing-comma", CDN "max-age=1,\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-space", CDN "max-age= 1\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-quoting", CDN "private=\"a\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-digits", CDN "max-age=9999999999999999\n" CC "max-age=5\n", false, 5, ""},
    {"target-bad-non-ascii", CDN "max-age=1, a=\"\xc3\xa9\"\n" CC "max-age=5\n", false, 5, ""},
    /* RFC 9651 section 4.2: all lines make one value */
    {"target-lines", CDN "max-age=1\n" CDN "no-cache\n" CC "max-age=5\n", true, 1, "v"},
    {"target-lines-one-bad", CDN "max-age=1\n" CDN "no-cache,\n" CC "max-age=5\n", false, 5, ""},
    {"target-lines-one-empty", CDN "max-age=1\n" CDN "\n" CC "max-age=5\n", false, 5, ""},
    /* RFC 9651 section 4.2.2: the last of a key */
    {"target-repeated", CDN "max-age=1, max-age=9\n", true, 9, ""},
    {"target-repeated-lines", CDN "max-age=9\n" CDN "max-age=1\n", true, 1, ""},
    {"target-repeated-wrong-last", CDN "max-age=9, max-age=x\n", true, -1, "!"},
    /* section 2.1: types; parameters are ignored */
    {"target-parameters", CDN "max-age=60;x=1, no-store;a\n", true, 60, "s"},
    {"target-integer-saturates", CDN "max-age=999999999999999\n", true, MAX, ""},
    {"target-integer-negative", CDN "max-age=-1\n", true, -1, "!"},
    {"target-integer-as-decimal", CDN "max-age=60.0\n", true, -1, "!"},
    {"target-integer-as-string", CDN "max-age=\"60\"\n", true, -1, "!"},
    {"target-integer-as-boolean", CDN "max-age\n", true, -1, "!"},
    {"target-false", CDN "no-store=?0, max-age=1\n", true, 1, ""},
    {"target-flag-true", CDN "no-store=?1\n", true, -1, "s"},
    {"target-flag-of-wrong-type", CDN "no-store=1, private=5, must-revalidate=\"x\"\n", true, -1, "spr"},
    {"target-grant-of-wrong-type", CDN "public=1, must-understand=x, max-age=1\n", true, 1, ""},
    {"target-names", CDN "private=\"x-a, x-b\", no-cache=\"x-c\"\n", true, -1, "w"},
    {"target-names-as-token", CDN "no-cache=x\n", true, -1, "v"},
    {"target-all-five", CDN "max-age=1, must-revalidate, no-store, no-cache, private\n", true, 1, "svpr"},
    {"target-extensions", CDN "immutable, public, must-understand\n", true, -1, "uPi"},
};

static void flags_text(const struct http_cache_control *cc, struct http_text *out)
{
    const bool flags[] = {cc->no_store,        cc->no_cache,        cc->withheld.count > 0,
                          cc->private_,        cc->must_revalidate, cc->invalid,
                          cc->must_understand, cc->public_,         cc->immutable};

    for (int i = 0; i < 9; i++) {
        if (flags[i])
            http_text_add(out, (struct http_span){"svwpr!uPi" + i, 1});
    }
}

START_TEST(targeted_field_is_selected)
{
    struct http_fields fields = fields_of(rows[_i].fields);
    struct http_targets targets;
    struct http_cache_control cc;
    char buffer[16];
    struct http_text flags = http_text_into(buffer, sizeof buffer);

    ck_assert(http_targets_parse(&targets, span("X-Cache-Control, CDN-Cache-Control")));
    ROW_EQ(&rows[_i], http_response_control_parse(&cc, &fields, &targets), rows[_i].targeted);
    ROW_EQ(&rows[_i], cc.max_age, rows[_i].max_age);
    flags_text(&cc, &flags);
    ROW_TEXT(&rows[_i], text_end(&flags), rows[_i].flags);
}
END_TEST

static const struct {
    const char *name, *list;
    int count; /* -1: refused */
} lists[] = {
    {"list-default", HTTP_TARGETS_DEFAULT, 1},
    {"list-none", "", 0},
    {"list-two", "A-Cache-Control, CDN-Cache-Control", 2},
    {"list-eight", "a,b,c,d,e,f,g,h", 8},
    {"list-nine", "a,b,c,d,e,f,g,h,i", -1},
    {"list-no-name", "a b", -1},
    {"list-colon", "a:", -1},
};

START_TEST(target_list_is_parsed)
{
    struct http_targets targets;
    bool good = http_targets_parse(&targets, span(lists[_i].list));

    ROW_EQ(&lists[_i], good ? (int)targets.count : -1, lists[_i].count);
}
END_TEST

START_TEST(no_list_means_cache_control)
{
    struct http_fields fields = fields_of(CDN "max-age=1\n" CC "max-age=5\n");
    struct http_cache_control cc;

    ck_assert(!http_response_control_parse(&cc, &fields, NULL));
    ck_assert_int_eq(cc.max_age, 5);
}
END_TEST

/* As many members as fit must not cost more than reading them. */
START_TEST(huge_field_is_parsed)
{
    enum { MEMBERS = 30000 };
    struct http_fields fields = {.count = 0};
    struct http_targets targets;
    struct http_cache_control cc;
    char *text = malloc(2 * MEMBERS);

    for (int i = 0; i < MEMBERS; i++)
        memcpy(text + 2 * i, "a,", 2);
    ck_assert(http_field_add(&fields, span("CDN-Cache-Control"), (struct http_span){text, 2 * MEMBERS - 1}));
    ck_assert(http_targets_parse(&targets, span(HTTP_TARGETS_DEFAULT)));
    ck_assert(http_response_control_parse(&cc, &fields, &targets));
    free(text);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(rows);
    CHECK_NAMES(lists);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, targeted_field_is_selected, rows);
    ADD_ROWS(tcase, target_list_is_parsed, lists);
    tcase_add_test(tcase, no_list_means_cache_control);
    tcase_add_test(tcase, huge_field_is_parsed);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_targeted", add_cases);
}
