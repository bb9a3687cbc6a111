#include "http_date.h"

#include <stdio.h>
#include <time.h>

#include "check_http.h"
#include "check_valgrind.h"

#define NOV_1994 784111777  /* Sun, 06 Nov 1994 08:49:37 GMT */
#define IN_2026  1795000000 /* 2026-11-18 */
#define BAD      INT64_MIN

/* Every row is RFC 9110 section 5.6.7 unless it says otherwise. */
static const struct {
    const char *text;
    int64_t now, seconds;
} rows[] = {
    /* the three formats of one time */
    {"Sun, 06 Nov 1994 08:49:37 GMT", IN_2026, NOV_1994},
    {"Sunday, 06-Nov-94 08:49:37 GMT", IN_2026, NOV_1994},
    {"Sun Nov  6 08:49:37 1994", IN_2026, NOV_1994},
    {"Sun Nov 06 08:49:37 1994", IN_2026, NOV_1994},
    {"Wed Nov 16 08:49:37 1994", IN_2026, NOV_1994 + 10 * 86400},
    /* RFC 9111 section 4.2: either case; any zone but GMT is invalid */
    {"sun, 06 nov 1994 08:49:37 gmt", IN_2026, NOV_1994},
    {"SUNDAY, 06-NOV-94 08:49:37 Gmt", IN_2026, NOV_1994},
    {"Sunday, 06-Nov-94 08:49:37 UTC", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:49:37 UTC", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:49:37 EST", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:49:37 +0000", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:49:37", IN_2026, BAD},
    /* a wrong day of the week is forgiven, a word that is none is not */
    {"Mon, 06 Nov 1994 08:49:37 GMT", IN_2026, NOV_1994},
    {"Xyz, 06 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"06 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    /* the epoch and its neighbours, the ends of the calendar */
    {"Thu, 01 Jan 1970 00:00:00 GMT", IN_2026, 0},
    {"Wed, 31 Dec 1969 23:59:59 GMT", IN_2026, -1},
    {"Sat, 01 Jan 0000 00:00:00 GMT", IN_2026, -62167219200},
    {"Fri, 31 Dec 9999 23:59:59 GMT", IN_2026, 253402300799},
    {"Tue, 19 Jan 2038 03:14:08 GMT", IN_2026, INT64_C(1) << 31},
    /* leap years, leap second */
    {"Tue, 29 Feb 2000 00:00:00 GMT", IN_2026, 951782400},
    {"Thu, 29 Feb 2024 12:00:00 GMT", IN_2026, 1709208000},
    {"Wed, 29 Feb 1900 00:00:00 GMT", IN_2026, BAD},
    {"Thu, 29 Feb 2023 00:00:00 GMT", IN_2026, BAD},
    {"Sat, 31 Dec 2016 23:59:60 GMT", IN_2026, 1483228800},
    {"Sat, 31 Dec 2016 23:59:61 GMT", IN_2026, BAD},
    /* out of range */
    {"Sun, 00 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sun, 31 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 1994 24:00:00 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:60:00 GMT", IN_2026, BAD},
    {"Sun, 06 Foo 1994 08:49:37 GMT", IN_2026, BAD},
    /* two-digit years: more than 50 years ahead means the past */
    {"Friday, 01-Jan-27 00:00:00 GMT", IN_2026, 1798761600},
    {"Wednesday, 01-Jan-76 00:00:00 GMT", IN_2026, 3345062400},
    {"Saturday, 01-Jan-77 00:00:00 GMT", IN_2026, 220924800},
    {"Saturday, 01-Jan-00 00:00:00 GMT", IN_2026, 946684800},
    {"Tuesday, 29-Feb-00 00:00:00 GMT", IN_2026, 951782400},
    {"Thursday, 01-Jan-70 00:00:00 GMT", 0, 0},
    {"Saturday, 01-Jan-00 00:00:00 GMT", 0, 946684800},
    {"Wednesday, 01-Jan-03 00:00:00 GMT", 3944678400, 4197052800}, /* now 2095: 2103, not 2003 */
    {"Sunday, 06-Nov-94 08:49:37 GMT", INT64_MIN, NOV_1994},
    /* shape */
    {"", IN_2026, BAD},
    {"0", IN_2026, BAD},
    {"-1", IN_2026, BAD},
    {"Sun", IN_2026, BAD},
    {"Sunday", IN_2026, BAD},
    {"Sun, ", IN_2026, BAD},
    {"Sun,06 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sun, 6 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 94 08:49:37 GMT", IN_2026, BAD},
    {"Sun, 06-Nov-94 08:49:37 GMT", IN_2026, BAD},
    {"Sunday, 06 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sunday Nov  6 08:49:37 1994", IN_2026, BAD},
    {"Sun Nov 6 08:49:37 1994", IN_2026, BAD},
    {"Sun Nov  6 08:49:37 1994 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 1994 8:49:37 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08.49.37 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", IN_2026, BAD},
    {"Sun, 06 Nov 1994 08:49:37 GMTX", IN_2026, BAD},
    {"Sun, 06  Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sun, +6 Nov 1994 08:49:37 GMT", IN_2026, BAD},
    {"Sun, 06 Nov 19940 08:49:37 GMT", IN_2026, BAD},
};

START_TEST(date_is_parsed)
{
    int64_t seconds = BAD;
    bool parsed = http_date_parse(span(rows[_i].text), rows[_i].now, &seconds);

    ck_assert_msg(parsed == (rows[_i].seconds != BAD), "%s", rows[_i].text);
    ck_assert_msg(seconds == rows[_i].seconds, "%s: %lld", rows[_i].text, (long long)seconds);
}
END_TEST

/* No prefix of a date is a date, and none is read beyond its end (the copies have exact sizes). */
START_TEST(truncated_dates_are_refused)
{
    static const char *const dates[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994"};

    for (uint32_t length = 0; length < strlen(dates[_i]); length++) {
        char *copy = malloc(length + !length);
        int64_t seconds;

        memcpy(copy, dates[_i], length);
        ck_assert(!http_date_parse((struct http_span){copy, length}, IN_2026, &seconds));
        free(copy);
    }
}
END_TEST

START_TEST(nul_is_no_date)
{
    int64_t seconds;

    ck_assert(!http_date_parse((struct http_span){NULL, 0}, IN_2026, &seconds));
    ck_assert(!http_date_parse((struct http_span){"Sun, 06 Nov 1994 08:49:37 GM\0", 29}, IN_2026, &seconds));
    ck_assert(!http_date_parse((struct http_span){"\0un, 06 Nov 1994 08:49:37 GMT", 29}, IN_2026, &seconds));
}
END_TEST

static const struct {
    int64_t seconds;
    const char *text;
} formats[] = {
    {NOV_1994, "Sun, 06 Nov 1994 08:49:37 GMT"},     {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
    {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},           {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
    {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}, {253402300800, "Fri, 31 Dec 9999 23:59:59 GMT"},
    {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},    {-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT"},
    {INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT"},
};

START_TEST(date_is_formatted)
{
    char out[HTTP_DATE_BYTES + 1];

    http_date_format(formats[_i].seconds, out);
    ck_assert_str_eq(out, formats[_i].text);
}
END_TEST

/* Against the C library, a step that is no divisor of anything, across the four-digit years. */
START_TEST(calendar_agrees_with_libc)
{
    const int64_t step = under_valgrind() ? 19 * 7654321 : 7654321;

    for (int64_t seconds = -62167219200; seconds <= 253402300799; seconds += step) {
        char out[HTTP_DATE_BYTES + 1], expected[64];
        time_t time = (time_t)seconds;
        struct tm tm;
        int64_t back;

        http_date_format(seconds, out);
        ck_assert_ptr_nonnull(gmtime_r(&time, &tm));
        strftime(expected, sizeof expected, "%a, %d %b ", &tm);
        snprintf(expected + strlen(expected), 32, "%04d %02d:%02d:%02d GMT", tm.tm_year + 1900, tm.tm_hour,
                 tm.tm_min, tm.tm_sec);
        ck_assert_str_eq(out, expected);
        ck_assert(http_date_parse(span(out), IN_2026, &back));
        ck_assert_int_eq(back, seconds);
    }
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, date_is_parsed, rows);
    tcase_add_loop_test(tcase, truncated_dates_are_refused, 0, 3);
    tcase_add_test(tcase, nul_is_no_date);
    ADD_ROWS(tcase, date_is_formatted, formats);
    tcase_add_test(tcase, calendar_agrees_with_libc);
}

int main(void)
{
    return run_suite("http_date", add_cases);
}
