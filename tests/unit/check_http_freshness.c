#include "http_freshness.h"

#include "check_policy.h"

/* ---- lifetime, sections 4.2.1, 4.2.2, 5.3 ---- */

#define NOTHING   HTTP_FRESHNESS_NONE
#define EXPLICIT  HTTP_FRESHNESS_EXPLICIT
#define HEURISTIC HTTP_FRESHNESS_HEURISTIC

static const struct {
    const char *name;
    int status;
    const char *fields;
    enum http_freshness_kind kind;
    int64_t lifetime;
} lifetimes[] = {
    /* section 4.2.1: s-maxage before max-age before Expires before the heuristic */
    {"max-age", 200, DATE CC "max-age=60\n", EXPLICIT, 60},
    {"s-maxage-smaller", 200, DATE CC "max-age=60, s-maxage=10\n", EXPLICIT, 10},
    {"s-maxage-larger", 200, DATE CC "max-age=10, s-maxage=60\n", EXPLICIT, 60},
    {"s-maxage-zero", 200, DATE CC "s-maxage=0, max-age=60\n" TAG, EXPLICIT, 0},
    {"s-maxage-over-expires", 200, DATE CC "s-maxage=10\nExpires: " MINUTE "\n", EXPLICIT, 10},
    {"max-age-over-expires", 200, DATE CC "max-age=10\nExpires: " MINUTE "\n", EXPLICIT, 10},
    {"max-age-over-invalid-expires", 200, DATE CC "max-age=10\nExpires: 0\n", EXPLICIT, 10},
    {"expires", 200, DATE "Expires: " MINUTE "\n", EXPLICIT, 60},
    {"expires-over-heuristic", 200, DATE "Expires: " MINUTE "\n" CHANGED, EXPLICIT, 60},
    {"max-age-saturates", 200, DATE CC "max-age=99999999999999\n", EXPLICIT, MAX},
    {"max-age-any-status", 599, DATE CC "max-age=60\n", EXPLICIT, 60},
    /* section 5.3: Expires against Date, not against the clock */
    {"expires-against-date", 200, "Date: " BEFORE "\nExpires: " MINUTE "\n", EXPLICIT, 120},
    {"expires-no-date", 200, "Expires: " MINUTE "\n", EXPLICIT, 60},
    {"expires-bad-date", 200, "Date: 5\nExpires: " MINUTE "\n", EXPLICIT, 60},
    {"expires-rfc850", 200, DATE "Expires: Sunday, 06-Nov-94 08:50:37 GMT\n", EXPLICIT, 60},
    {"expires-asctime", 200, DATE "Expires: Sun Nov  6 08:50:37 1994\n", EXPLICIT, 60},
    /* section 4.2: dates without case; other zones than GMT are invalid */
    {"expires-case", 200, DATE "Expires: SUN, 06 nov 1994 08:50:37 gmt\n", EXPLICIT, 60},
    {"expires-zone", 200, DATE "Expires: Sun, 06 Nov 1994 08:50:37 PST\n", EXPLICIT, 0},
    {"expires-utc", 200, DATE "Expires: Sun, 06 Nov 1994 08:50:37 UTC\n", EXPLICIT, 0},
    {"expires-offset", 200, DATE "Expires: Sun, 06 Nov 1994 08:50:37 +0000\n", EXPLICIT, 0},
    {"expires-zero", 200, DATE "Expires: 0\n" CHANGED, EXPLICIT, 0},
    {"expires-minus-one", 200, DATE "Expires: -1\n", EXPLICIT, 0},
    {"expires-empty", 200, DATE "Expires:\n" CHANGED, EXPLICIT, 0},
    {"expires-before-date-ahead", 200, "Date: " MINUTE "\nExpires: Sun, 06 Nov 1994 08:50:00 GMT\n", EXPLICIT,
     0},
    {"expires-dashes", 200, DATE "Expires: Sun, 06-Nov-1994 08:50:37 GMT\n", EXPLICIT, 0},
    {"expires-two-digit-year", 200, DATE "Expires: Sun, 06 Nov 94 08:50:37 GMT\n", EXPLICIT, 0},
    {"expires-no-comma", 200, DATE "Expires: Sun 06 Nov 1994 08:50:37 GMT\n", EXPLICIT, 0},
    {"expires-spaces", 200, DATE "Expires: Sun, 06  Nov  1994 08:50:37 GMT\n", EXPLICIT, 0},
    {"expires-one-digit-hour", 200, DATE "Expires: Sun, 06 Nov 1994 8:50:37 GMT\n", EXPLICIT, 0},
    {"expires-past", 200, DATE "Expires: " BEFORE "\n", EXPLICIT, 0},
    {"expires-is-date", 200, DATE "Expires: Sun, 06 Nov 1994 08:49:37 GMT\n", EXPLICIT, 0},
    {"expires-far", 200, DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT\n", EXPLICIT, MAX},
    /* section 4.2.1: several: stale unless they agree */
    {"expires-repeated-same", 200, DATE "Expires: " MINUTE "\nExpires: " MINUTE "\n", EXPLICIT, 60},
    {"expires-repeated", 200, DATE "Expires: " MINUTE "\nExpires: " BEFORE "\n", EXPLICIT, 0},
    {"expires-list", 200, DATE "Expires: " MINUTE ", " MINUTE "\n", EXPLICIT, 0},
    /* section 4.2.1: invalid freshness is stale, and no heuristic takes its place */
    {"invalid-max-age", 200, DATE CC "max-age=x\n" CHANGED, EXPLICIT, 0},
    {"invalid-beside-valid", 200, DATE CC "max-age=x, s-maxage=60\n", EXPLICIT, 0},
    {"invalid-beside-expires", 200, DATE CC "max-age=x\nExpires: " MINUTE "\n", EXPLICIT, 0},
    /* section 4.2.2: a tenth of the age of the last change, a day at most */
    {"heuristic", 200, DATE CHANGED, HEURISTIC, 100},
    {"heuristic-bound", 200, DATE ANCIENT, HEURISTIC, DAY},
    {"heuristic-future", 200, DATE "Last-Modified: " MINUTE "\n", HEURISTIC, 0},
    {"heuristic-bad-date", 200, DATE "Last-Modified: x\n", HEURISTIC, 0},
    {"heuristic-nothing", 200, DATE, HEURISTIC, 0},
    {"heuristic-against-date", 200, "Date: " BEFORE "\n" CHANGED, HEURISTIC, 94},
    /* only where the status allows it, or public does (section 5.2.2.9) */
    {"heuristic-other-status", 302, DATE CHANGED, NOTHING, 0},
    {"heuristic-unknown-status", 299, DATE CHANGED, NOTHING, 0},
    {"heuristic-public", 302, DATE CC "public\n" CHANGED, HEURISTIC, 100},
};

START_TEST(lifetime_is_calculated)
{
    struct http_fields fields = fields_of(lifetimes[_i].fields);
    struct http_cache_control cc;
    struct http_freshness freshness;

    http_cache_control_parse(&cc, &fields);
    freshness = http_freshness(&cc, false, lifetimes[_i].status, &fields, &fields, NOW);
    ROW_EQ(&lifetimes[_i], freshness.kind, lifetimes[_i].kind);
    ROW_EQ(&lifetimes[_i], freshness.lifetime, lifetimes[_i].lifetime);
}
END_TEST

/* RFC 9213 section 2.2 */
START_TEST(targeted_directives_replace_expires)
{
    struct http_fields fields = fields_of(DATE "Expires: " MINUTE "\n" CHANGED);
    struct http_cache_control cc;
    struct http_freshness freshness;

    http_cache_control_clear(&cc);
    freshness = http_freshness(&cc, true, 200, &fields, &fields, NOW);
    ck_assert_int_eq(freshness.kind, HEURISTIC);
    ck_assert_int_eq(freshness.lifetime, 100);
}
END_TEST

/* RFC 9110 section 15.1, every status code there can be */
START_TEST(statuses_are_heuristic)
{
    static const int heuristic[] = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501};

    for (int status = -1, i = 0; status <= 1000; status++) {
        bool is = i < ROWS(heuristic) && heuristic[i] == status;

        i += is;
        ck_assert_msg(http_status_is_heuristic(status) == is, "%d", status);
    }
}
END_TEST

/* ---- age, sections 4.2.3 and 5.1 ---- */

#define FIRST_SECOND "Date: Sat, 01 Jan 0000 00:00:00 GMT\n"
#define LAST_SECOND  "Date: Fri, 31 Dec 9999 23:59:59 GMT\n"

static const struct {
    const char *name, *fields;
    int64_t request_time, response_time, age;
} ages[] = {
    {"age-none", DATE, NOW, NOW, 0},
    {"age-no-date", "", NOW, NOW, 0},
    {"age-apparent", "Date: " BEFORE "\n", NOW, NOW, 60},
    {"age-date-ahead", "Date: " MINUTE "\n", NOW, NOW, 0},
    {"age-date-bad", "Date: x\n", NOW, NOW, 0},
    {"age-date-empty", "Date:\n", NOW, NOW, 0},
    {"age-date-list", "Date: " BEFORE ", " BEFORE "\n", NOW, NOW, 0},
    {"age-date-several", "Date: " MINUTE "\nDate: " BEFORE "\n", NOW, NOW, 60},
    {"age-date-several-earliest-first", "Date: " BEFORE "\nDate: " MINUTE "\n", NOW, NOW, 60},
    {"age-date-several-one-bad", "Date: x\nDate: " BEFORE "\n", NOW, NOW, 60},
    {"age-date-huge", LAST_SECOND, NOW, NOW, 0},
    {"age-date-ancient", FIRST_SECOND, NOW, NOW, MAX},
    {"age-value", DATE "Age: 30\n", NOW, NOW, 30},
    {"age-value-larger-wins", "Date: " BEFORE "\nAge: 90\n", NOW, NOW, 90},
    {"age-apparent-larger-wins", "Date: " BEFORE "\nAge: 30\n", NOW, NOW, 60},
    /* section 5.1: the first member; invalid is ignored */
    {"age-list", DATE "Age: 30, 5\n", NOW, NOW, 30},
    {"age-list-zero-first", DATE "Age: 0, 7200\n", NOW, NOW, 0},
    {"age-several-lines-zero-first", DATE "Age: 0\nAge: 7200\n", NOW, NOW, 0},
    {"age-several-lines", DATE "Age: 30\nAge: 60\n", NOW, NOW, 30},
    {"age-list-first-bad", DATE "Age: x, 5\nAge: 60\n", NOW, NOW, 0},
    {"age-negative", DATE "Age: -5\n", NOW, NOW, 0},
    {"age-decimal", DATE "Age: 1.5\n", NOW, NOW, 0},
    {"age-empty", DATE "Age:\n", NOW, NOW, 0},
    {"age-quoted", DATE "Age: \"5\"\n", NOW, NOW, 0},
    {"age-parameter", DATE "Age: 5;a=b\n", NOW, NOW, 0},
    /* section 1.2.2 */
    {"age-saturates", DATE "Age: 2147483648\n", NOW, NOW, MAX},
    {"age-overflows", DATE "Age: 99999999999999999999\n", NOW - 7, NOW, MAX},
    {"age-just-below", DATE "Age: 2147483647\n", NOW, NOW, MAX - 1},
    /* response_delay: relative to the time of the request */
    {"delay", DATE, NOW - 7, NOW, 7},
    {"delay-and-age", DATE "Age: 20\n", NOW - 7, NOW, 27},
    {"delay-apparent-larger", "Date: " BEFORE "\nAge: 20\n", NOW - 7, NOW, 60},
    {"delay-clock-set-back", DATE "Age: 20\n", NOW + 7, NOW, 20},
    {"delay-long", DATE, NOW - 7, NOW + 53, 60},
    {"delay-huge", DATE, 0, NOW, NOW},
    {"clock-first", LAST_SECOND, INT64_MIN, INT64_MIN, 0},
    {"clock-last", FIRST_SECOND, INT64_MAX, INT64_MAX, MAX},
    {"clock-jumps", DATE, INT64_MIN, INT64_MAX, MAX},
    {"clock-jumps-back", DATE "Age: 5\n", INT64_MAX, INT64_MIN, 5},
};

START_TEST(age_is_calculated)
{
    struct http_fields fields = fields_of(ages[_i].fields);

    ROW_EQ(&ages[_i], http_initial_age(&fields, ages[_i].request_time, ages[_i].response_time), ages[_i].age);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(lifetimes);
    CHECK_NAMES(ages);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, lifetime_is_calculated, lifetimes);
    tcase_add_test(tcase, targeted_directives_replace_expires);
    tcase_add_test(tcase, statuses_are_heuristic);
    ADD_ROWS(tcase, age_is_calculated, ages);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_freshness", add_cases);
}
