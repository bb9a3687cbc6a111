#include "http_policy.h"

#include "check_http.h"
#include "http_date.h"

/* Section numbers without an RFC are RFC 9111's. The clock of every row: */
#define NOW     784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE    "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define MINUTE  "Sun, 06 Nov 1994 08:50:37 GMT"                  /* a minute later */
#define BEFORE  "Sun, 06 Nov 1994 08:48:37 GMT"                  /* a minute earlier */
#define CHANGED "Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT\n" /* 1000 seconds earlier */
#define ANCIENT "Last-Modified: Sun, 06 Nov 1904 08:49:37 GMT\n"
#define TAG     "ETag: \"a\"\n"
#define CC      "Cache-Control: "
#define DAY     86400
#define MAX     HTTP_SECONDS_MAX

/* ---- Cache-Control, section 5.2 ---- */

/* Durations in the order max-age, s-maxage, min-fresh, max-stale, stale-while-revalidate, stale-if-error. */
static const struct {
    const char *fields;
    int64_t durations[6];
    const char *flags; /* names of the members that are true, in their order */
} controls[] = {
    {"Date: x\n", {-1, -1, -1, -1, -1, -1}, ""},
    {CC "\n", {-1, -1, -1, -1, -1, -1}, ""},
    {CC "max-age=60\n", {60, -1, -1, -1, -1, -1}, ""},
    {"CACHE-CONTROL: MAX-AGE=60\n", {60, -1, -1, -1, -1, -1}, ""},
    {CC "max-age=60, s-maxage=70\n" CC "public\n", {60, 70, -1, -1, -1, -1}, "public "},
    {CC "min-fresh=1, max-stale=2\n", {-1, -1, 1, 2, -1, -1}, ""},
    {CC "max-stale\n", {-1, -1, -1, MAX, -1, -1}, ""},
    /* RFC 5861 */
    {CC "stale-while-revalidate=3, stale-if-error=4\n", {-1, -1, -1, -1, 3, 4}, ""},
    {CC "no-store,no-cache, private ,public\n",
     {-1, -1, -1, -1, -1, -1},
     "no_store no_cache private public "},
    {CC "must-revalidate, proxy-revalidate, must-understand, no-transform, only-if-cached, immutable\n",
     {-1, -1, -1, -1, -1, -1},
     "must_revalidate proxy_revalidate must_understand no_transform only_if_cached immutable "},
    /* sections 5.2.2.4 and 5.2.2.7: the qualified forms */
    {CC "no-cache=\"set-cookie, x\", private=y\n",
     {-1, -1, -1, -1, -1, -1},
     "no_cache_fields private_fields "},
    {CC "no-cache=\"\"\n", {-1, -1, -1, -1, -1, -1}, "no_cache_fields "},
    /* section 5.2: both forms of an argument, unknown directives, nothing found inside a quoted-string */
    {CC "max-age=\"60\"\n", {60, -1, -1, -1, -1, -1}, ""},
    {CC "community=\"UCI, no-store\", max-age=60, max-ages=5, x\n", {60, -1, -1, -1, -1, -1}, ""},
    {CC "x=\"no-store, max-age=1\n" CC "public\n", {-1, -1, -1, -1, -1, -1}, "public "},
    {CC "no-store=1, must-revalidate=\"x\"\n", {-1, -1, -1, -1, -1, -1}, "no_store must_revalidate "},
    {CC "no_store, nostore, no-stores\n", {-1, -1, -1, -1, -1, -1}, ""},
    {CC ",, ,no-store,,\n", {-1, -1, -1, -1, -1, -1}, "no_store "},
    /* section 1.2.2: overflow */
    {CC "max-age=2147483648\n", {MAX, -1, -1, -1, -1, -1}, ""},
    {CC "max-age=99999999999999999999, s-maxage=18446744073709551617\n", {MAX, MAX, -1, -1, -1, -1}, ""},
    /* section 4.2.1: repeated, the strictest counts */
    {CC "max-age=60, max-age=60\n", {60, -1, -1, -1, -1, -1}, ""},
    {CC "max-age=60, max-age=10\n", {10, -1, -1, -1, -1, -1}, ""},
    {CC "s-maxage=10\n" CC "s-maxage=60\n", {-1, 10, -1, -1, -1, -1}, ""},
    {CC "min-fresh=1, min-fresh=5, min-fresh=2\n", {-1, -1, 5, -1, -1, -1}, ""},
    {CC "max-stale, max-stale=5\n", {-1, -1, -1, 5, -1, -1}, ""},
    {CC "stale-if-error=9, stale-if-error=8\n", {-1, -1, -1, -1, -1, 8}, ""},
    {CC "no-cache, no-cache=x\n", {-1, -1, -1, -1, -1, -1}, "no_cache no_cache_fields "},
    /* section 4.2.1: invalid freshness, alone or beside a valid one */
    {CC "max-age\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=\"\"\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=-1\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=1.5\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=60s\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=0x3c\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age==60\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age =60\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age= 60\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age='60'\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=\"60\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=60 no-store\n", {-1, -1, -1, -1, -1, -1}, "invalid "},
    {CC "max-age=60, max-age=x\n", {60, -1, -1, -1, -1, -1}, "invalid "},
    {CC "s-maxage=x, max-age=60\n", {60, -1, -1, -1, -1, -1}, "invalid "},
    /* what is not freshness is ignored when invalid */
    {CC "min-fresh=x, max-stale=x, stale-if-error=x, stale-while-revalidate\n", {-1, -1, -1, -1, -1, -1}, ""},
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
    struct http_fields fields = fields_of(controls[_i].fields);
    struct http_cache_control cc;
    char buffer[256];
    struct http_text flags = http_text_into(buffer, sizeof buffer);

    http_cache_control_parse(&cc, &fields);
    ck_assert_int_eq(cc.max_age, controls[_i].durations[0]);
    ck_assert_int_eq(cc.s_maxage, controls[_i].durations[1]);
    ck_assert_int_eq(cc.min_fresh, controls[_i].durations[2]);
    ck_assert_int_eq(cc.max_stale, controls[_i].durations[3]);
    ck_assert_int_eq(cc.stale_while_revalidate, controls[_i].durations[4]);
    ck_assert_int_eq(cc.stale_if_error, controls[_i].durations[5]);
    flags_text(&cc, &flags);
    ck_assert_str_eq(text_end(&flags), controls[_i].flags);
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

/* ---- Requests ---- */

#define LOOKUP     HTTP_REQUEST_LOOKUP
#define REVALIDATE HTTP_REQUEST_REVALIDATE
#define BYPASS     HTTP_REQUEST_BYPASS
#define UNSAFE     HTTP_REQUEST_UNSAFE

static const struct {
    const char *method, *fields;
    enum http_request_verdict verdict;
    const char *reason;
} requests[] = {
    {"GET", "Host: x\nAccept: */*\n", LOOKUP, "lookup"},
    {"HEAD", "", LOOKUP, "lookup"},
    /* section 4: only the request methods that are understood; RFC 9110 section 9.1: they have case */
    {"OPTIONS", "", BYPASS, "method"},
    {"TRACE", "", BYPASS, "method"},
    {"POST", "", UNSAFE, "method"},
    {"PUT", "", UNSAFE, "method"},
    {"PATCH", "", UNSAFE, "method"},
    {"DELETE", "", UNSAFE, "method"},
    {"PROPPATCH", "", UNSAFE, "method"},
    {"get", "", UNSAFE, "method"},
    {"", "", UNSAFE, "method"},
    {"POST", "Range: bytes=0-1\n" CC "no-store\n", UNSAFE, "method"},
    /* section 5.2.1.5 */
    {"GET", CC "no-store\n", BYPASS, "no-store"},
    {"GET", CC "max-age=0, no-cache, no-store\n", BYPASS, "no-store"},
    /* section 5.2.1.4 */
    {"GET", CC "no-cache\n", REVALIDATE, "no-cache"},
    {"GET", CC "no-cache=\"x\"\n", REVALIDATE, "no-cache"},
    /* section 5.2.1.1 */
    {"GET", CC "max-age=0\n", REVALIDATE, "max-age=0"},
    {"GET", CC "max-age=9, max-age=0\n", REVALIDATE, "max-age=0"},
    {"GET", CC "max-age=1\n", LOOKUP, "lookup"},
    {"GET", CC "max-age=x\n", LOOKUP, "lookup"},
    {"GET", CC "max-stale, min-fresh=5, only-if-cached\n", LOOKUP, "lookup"},
    /* section 5.4: Pragma only without Cache-Control */
    {"GET", "Pragma: no-cache\n", REVALIDATE, "pragma"},
    {"GET", "pragma: x, No-Cache\n", REVALIDATE, "pragma"},
    {"GET", "Pragma: x\n", LOOKUP, "lookup"},
    {"GET", "Pragma: no-cache\n" CC "max-age=60\n", LOOKUP, "lookup"},
    {"GET", "Pragma: no-cache\n" CC "\n", LOOKUP, "lookup"},
    /* section 3.3: partial responses are not stored */
    {"GET", "Range: bytes=0-1\n", BYPASS, "range"},
    {"GET", "rAnGe: bytes=0-1\n" CC "no-cache\n", BYPASS, "range"},
    {"GET", "If-Range: \"a\"\n", LOOKUP, "lookup"},
    /* RFC 9110 section 9.3.1: a body on GET */
    {"GET", "Content-Length: 0\n", LOOKUP, "lookup"},
    {"GET", "Content-Length: 5\n", BYPASS, "body"},
    {"GET", "Content-Length: x\n", BYPASS, "body"},
    {"GET", "Content-Length:\n", BYPASS, "body"},
    {"GET", "Content-Length: 0\nContent-Length: 5\n", BYPASS, "body"},
    {"GET", "Transfer-Encoding: chunked\n", BYPASS, "body"},
    /* section 4.3.2: conditions that are the origin's to check, and those that are the cache's */
    {"GET", "If-Match: \"a\"\n", BYPASS, "precondition"},
    {"GET", "If-Unmodified-Since: " MINUTE "\n", BYPASS, "precondition"},
    {"GET", "If-None-Match: \"a\"\nIf-Modified-Since: " MINUTE "\n", LOOKUP, "lookup"},
    /* section 3.5 concerns storing */
    {"GET", "Authorization: Basic x\n", LOOKUP, "lookup"},
    /* names of the same length as those that decide */
    {"GET", "Hosts: x\nAccept: x\nIf-Catch: x\nAccept-Chars1: x\nContent-Langth: 5\nXransfer-Encoding: x\n",
     LOOKUP, "lookup"},
};

START_TEST(request_is_judged)
{
    struct http_fields fields = fields_of(requests[_i].fields);
    struct http_request request = {span(requests[_i].method), span("/"), &fields};
    const char *reason = NULL;

    ck_assert_int_eq(http_request_verdict(&request, &reason), requests[_i].verdict);
    ck_assert_str_eq(reason, requests[_i].reason);
    ck_assert_int_eq(http_request_verdict(&request, NULL), requests[_i].verdict);
}
END_TEST

/* ---- Storing ---- */

/* A row with `refused` is not stored, for that reason; any other is stored with the numbers that follow. */
struct storing_row {
    const char *request; /* fields */
    int status;
    const char *response; /* fields */
    const char *refused;
    int64_t lifetime, initial_age, keep;
    const char *marks; /* h heuristic, v must_validate, s strict, t no_transform */
};

static const struct storing_row storings[] = {
    /* section 4.2.1: s-maxage before max-age before Expires before the heuristic */
    {"", 200, DATE CC "max-age=60\n", NULL, 60, 0, 0, ""},
    {"", 200, DATE CC "max-age=60, s-maxage=10\n", NULL, 10, 0, 0, "s"},
    {"", 200, DATE CC "max-age=10, s-maxage=60\n", NULL, 60, 0, 0, "s"},
    {"", 200, DATE CC "s-maxage=0, max-age=60\n" TAG, NULL, 0, 0, DAY, "s"},
    {"", 200, DATE CC "max-age=10\nExpires: " MINUTE "\n", NULL, 10, 0, 0, ""},
    {"", 200, DATE "Expires: " MINUTE "\n", NULL, 60, 0, 0, ""},
    {"", 200, DATE "Expires: " MINUTE "\n" CHANGED, NULL, 60, 0, DAY, ""},
    {"", 200, DATE CHANGED, NULL, 100, 0, DAY, "h"},
    {"", 200, DATE CC "max-age=99999999999999\n", NULL, MAX, 0, 0, ""},
    /* section 5.3: Expires against Date, not against the clock; repeated or invalid is stale */
    {"", 200, "Date: " BEFORE "\nExpires: " MINUTE "\n", NULL, 120, 60, 0, ""},
    {"", 200, "Expires: " MINUTE "\n", NULL, 60, 0, 0, ""},
    {"", 200, DATE "Expires: 0\n" TAG, NULL, 0, 0, DAY, ""},
    {"", 200, DATE "Expires:\n" TAG CHANGED, NULL, 0, 0, DAY, ""},
    {"", 200, DATE "Expires: " BEFORE "\n" TAG, NULL, 0, 0, DAY, ""},
    {"", 200, DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT\n", NULL, MAX, 0, 0, ""},
    {"", 200, DATE "Expires: " MINUTE "\nExpires: " MINUTE "\n", NULL, 60, 0, 0, ""},
    {"", 200, DATE "Expires: " MINUTE "\nExpires: " BEFORE "\n" TAG, NULL, 0, 0, DAY, ""},
    {"", 200, DATE "Expires: 0\n", "no-freshness", 0, 0, 0, ""},
    /* section 4.2.1: invalid freshness is stale, and no heuristic takes its place */
    {"", 200, DATE CC "max-age=x\n" CHANGED, NULL, 0, 0, DAY, ""},
    {"", 200, DATE CC "max-age=x, s-maxage=60\n" TAG, NULL, 0, 0, DAY, "s"},
    {"", 200, DATE CC "max-age=x\nExpires: " MINUTE "\n", "no-freshness", 0, 0, 0, ""},
    /* section 4.2.2: a tenth of the age of the last change, a day at most, only where the status allows */
    {"", 200, DATE ANCIENT, NULL, DAY, 0, DAY, "h"},
    {"", 200, DATE "Last-Modified: " MINUTE "\n", NULL, 0, 0, DAY, "h"},
    {"", 200, DATE "Last-Modified: x\n", "no-freshness", 0, 0, 0, ""},
    {"", 200, DATE "Last-Modified: x\n" TAG, NULL, 0, 0, DAY, "h"},
    {"", 200, DATE CC "public\n" CHANGED, NULL, 100, 0, DAY, "h"},
    {"", 302, DATE CC "public\n" CHANGED, NULL, 100, 0, DAY, "h"},
    {"", 302, DATE CHANGED, "status", 0, 0, 0, ""},
    /* section 3: neither freshness nor validator, or only one of them */
    {"", 200, DATE, "no-freshness", 0, 0, 0, ""},
    {"", 200, "", "no-freshness", 0, 0, 0, ""},
    {"", 200, DATE CC "public\n", "no-freshness", 0, 0, 0, ""},
    {"", 200, DATE TAG, NULL, 0, 0, DAY, "h"},
    {"", 200, DATE "ETag:\n", "no-freshness", 0, 0, 0, ""},
    {"", 200, DATE CC "max-age=0\n", "no-freshness", 0, 0, 0, ""},
    {"", 200, DATE CC "max-age=0\n" TAG, NULL, 0, 0, DAY, ""},
    {"", 200, DATE CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
    {"", 200, DATE CC "max-age=60\nETag: W/\"a\"\n", NULL, 60, 0, DAY, ""},
    /* section 4.2.3: the age of what arrives; section 5.1: several, bad and huge values */
    {"", 200, "Date: " BEFORE "\n" CC "max-age=90\n", NULL, 90, 60, 0, ""},
    {"", 200, "Date: " MINUTE "\n" CC "max-age=90\n", NULL, 90, 0, 0, ""},
    {"", 200, "Date: x\n" CC "max-age=90\n", NULL, 90, 0, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: 30\n", NULL, 90, 30, 0, ""},
    {"", 200, "Date: " BEFORE "\n" CC "max-age=90\nAge: 30\n", NULL, 90, 60, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: 30, 5\nAge: 60\n", NULL, 90, 30, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: x, 5\nAge: 60\n", NULL, 90, 0, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: -5\n", NULL, 90, 0, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: 1.5\n", NULL, 90, 0, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge:\n", NULL, 90, 0, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: 90\n", "stale", 0, 0, 0, ""},
    {"", 200, DATE CC "max-age=90\nAge: 89\n", NULL, 90, 89, 0, ""},
    /* keep is counted from expiry; what arrives stale is still kept for a day */
    {"", 200, DATE CC "max-age=90\nAge: 100\n" TAG, NULL, 90, 100, DAY + 10, ""},
    {"", 200, DATE CC "max-age=90\nAge: 99999999999999\n" TAG, NULL, 90, MAX, DAY + MAX - 90, ""},
    {"", 200, "Date: Sat, 01 Jan 0000 00:00:00 GMT\n" CC "max-age=90\n" TAG, NULL, 90, MAX, DAY + MAX - 90,
     ""},
    /* section 5.2.2.5, and of the request: 5.2.1.5 */
    {"", 200, DATE CC "no-store, max-age=60\n", "no-store", 0, 0, 0, ""},
    {CC "no-store\n", 200, DATE CC "max-age=60\n", "no-store", 0, 0, 0, ""},
    {CC "no-cache\n", 200, DATE CC "max-age=60\n", NULL, 60, 0, 0, ""},
    {"Range: bytes=0-\n", 200, DATE CC "max-age=60\n", "range", 0, 0, 0, ""},
    /* section 5.2.2.7; a qualified private is as strict */
    {"", 200, DATE CC "private, max-age=60\n", "private", 0, 0, 0, ""},
    {"", 200, DATE CC "private=\"x\", max-age=60\n", "private", 0, 0, 0, ""},
    {"", 200, DATE CC "public, private, max-age=60\n", "private", 0, 0, 0, ""},
    /* section 5.2.2.4: stored to be validated; with no validator it would be of no use */
    {"", 200, DATE CC "no-cache\n" TAG, NULL, 0, 0, DAY, "vs"},
    {"", 200, DATE CC "no-cache, max-age=60\n" TAG, NULL, 0, 0, DAY, "vs"},
    {"", 200, DATE CC "no-cache=\"x\", max-age=60\n" CHANGED, NULL, 0, 0, DAY, "vs"},
    {"", 200, DATE CC "no-cache, max-age=60\n", "no-cache", 0, 0, 0, ""},
    /* sections 5.2.2.2, 5.2.2.8, 5.2.2.6 */
    {"", 200, DATE CC "must-revalidate, max-age=60\n", NULL, 60, 0, 0, "s"},
    {"", 200, DATE CC "proxy-revalidate, max-age=60\n", NULL, 60, 0, 0, "s"},
    {"", 200, DATE CC "no-transform, max-age=60\n", NULL, 60, 0, 0, "t"},
    /* section 5.2.2.3: must-understand replaces no-store where the status is understood */
    {"", 200, DATE CC "must-understand, no-store, max-age=60\n", NULL, 60, 0, 0, ""},
    {"", 599, DATE CC "must-understand, no-store, max-age=60\n", "must-understand", 0, 0, 0, ""},
    {"", 299, DATE CC "must-understand, max-age=60\n", "must-understand", 0, 0, 0, ""},
    {"", 200, DATE CC "must-understand, private, max-age=60\n", "private", 0, 0, 0, ""},
    /* section 3.5 */
    {"Authorization: x\n", 200, DATE CC "max-age=60\n", "authorization", 0, 0, 0, ""},
    {"Authorization: x\n", 200, DATE CHANGED, "authorization", 0, 0, 0, ""},
    {"Authorization: x\n", 200, DATE CC "proxy-revalidate, max-age=60\n", "authorization", 0, 0, 0, ""},
    {"Authorization: x\n", 200, DATE CC "max-age=60, public\n", NULL, 60, 0, 0, ""},
    {"Authorization: x\n", 200, DATE CC "s-maxage=60\n", NULL, 60, 0, 0, "s"},
    {"Authorization: x\n", 200, DATE CC "max-age=60, must-revalidate\n", NULL, 60, 0, 0, "s"},
    /* section 4.1: one response per URI is kept */
    {"", 200, DATE CC "max-age=60\nVary: Accept\n", NULL, 60, 0, 0, ""},
    {"", 200, DATE CC "max-age=60\nVary: *\n", "vary", 0, 0, 0, ""},
    {"", 200, DATE CC "max-age=60\nVary: ,\nVary: Accept, *\n", "vary", 0, 0, 0, ""},
    {"", 200, DATE CC "max-age=60\nVary:\nVary: ,\n", NULL, 60, 0, 0, ""},
    /* section 7.3: a cookie is shared only where the origin clearly says so */
    {"", 200, DATE CC "max-age=60\nSet-Cookie: a=b\n" TAG, NULL, 60, 0, DAY, ""},
    {"", 200, DATE CC "public\nSet-Cookie: a=b\n" CHANGED, NULL, 100, 0, DAY, "h"},
    {"", 200, DATE "Set-Cookie: a=b\n" CHANGED, "set-cookie", 0, 0, 0, ""},
    {"", 200, DATE CC "no-cache\nSet-Cookie: a=b\n" TAG, "set-cookie", 0, 0, 0, ""},
    {"", 200, DATE CC "max-age=0\nSet-Cookie: a=b\n" TAG, "set-cookie", 0, 0, 0, ""},
};

static void check_storing(const struct storing_row *row, const struct http_storing *storing)
{
    char buffer[8];
    struct http_text marks = http_text_into(buffer, sizeof buffer);

    if (row->refused) {
        ck_assert_msg(!storing->store, "stored: %s", storing->reason);
        ck_assert_str_eq(storing->reason, row->refused);
        return;
    }
    ck_assert_msg(storing->store, "refused: %s", storing->reason);
    ck_assert_ptr_nonnull(storing->reason);
    ck_assert_int_eq(storing->lifetime, row->lifetime);
    ck_assert_int_eq(storing->initial_age, row->initial_age);
    ck_assert_int_eq(storing->keep, row->keep);
    http_text_add(&marks, span(storing->heuristic ? "h" : ""));
    http_text_add(&marks, span(storing->must_validate ? "v" : ""));
    http_text_add(&marks, span(storing->strict ? "s" : ""));
    http_text_add(&marks, span(storing->no_transform ? "t" : ""));
    ck_assert_str_eq(text_end(&marks), row->marks);
}

START_TEST(storing_is_decided)
{
    const struct storing_row *row = &storings[_i];
    struct http_fields asked = fields_of(row->request), answered = fields_of(row->response);
    struct http_request request = {span("GET"), span("/"), &asked};
    struct http_response response = {row->status, &answered};
    struct http_storing storing = http_storing(&request, &response, NOW, NOW);

    check_storing(row, &storing);
}
END_TEST

/* Methods (section 3: "the response to HEAD lacks the body"). */
static const struct {
    const char *method, *refused;
} methods[] = {{"GET", NULL},     {"HEAD", "method"}, {"POST", "method"},
               {"PUT", "method"}, {"get", "method"},  {"OPTIONS", "method"}};

START_TEST(methods_decide_storing)
{
    struct http_fields asked = {.count = 0}, answered = fields_of(DATE CC "public, max-age=60\n");
    struct http_request request = {span(methods[_i].method), span("/"), &asked};
    struct http_response response = {200, &answered};
    struct http_storing storing = http_storing(&request, &response, NOW, NOW);

    ck_assert(storing.store == !methods[_i].refused);
    if (methods[_i].refused)
        ck_assert_str_eq(storing.reason, methods[_i].refused);
}
END_TEST

static bool is_in(int status, const int *list)
{
    while (*list && *list != status)
        list++;
    return *list != 0;
}

/* Every status code there can be, with explicit freshness, with a heuristic, and with must-understand. */
START_TEST(statuses_decide_storing)
{
    /* RFC 9110 section 15.1, without 206 */
    static const int heuristic[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501, 0};
    /* parts, answers to conditions, RFC 6585 sections 3 to 6 */
    static const int never[] = {206, 304, 412, 416, 428, 429, 431, 511, 0};
    /* of RFC 9110, or not */
    static const int known[] = {200, 205, 307, 404, 505, 0};
    static const int unknown[] = {207, 226, 299, 304, 306, 309, 418, 423, 451, 499, 506, 599, 0};
    struct http_fields asked = {.count = 0}, with_age = fields_of(DATE CC "max-age=60\n");
    struct http_fields modified = fields_of(DATE CHANGED),
                       understood = fields_of(DATE CC "must-understand, max-age=60\n");
    struct http_request request = {span("GET"), span("/"), &asked};

    for (int status = -1; status <= 1000; status++) {
        bool may = status >= 200 && status <= 599 && !is_in(status, never);
        struct http_storing storing =
            http_storing(&request, &(struct http_response){status, &with_age}, NOW, NOW);

        ck_assert_msg(storing.store == may, "%d with max-age", status);
        storing = http_storing(&request, &(struct http_response){status, &modified}, NOW, NOW);
        ck_assert_msg(storing.store == is_in(status, heuristic), "%d with Last-Modified", status);
        storing = http_storing(&request, &(struct http_response){status, &understood}, NOW, NOW);
        ck_assert_msg(may || !storing.store, "%d", status);
        ck_assert_msg(!is_in(status, unknown) || !storing.store, "%d with must-understand", status);
        ck_assert_msg(!is_in(status, known) || storing.store, "%d with must-understand", status);
    }
}
END_TEST

/* Section 4.2.3, response_delay: request time, response time, Age of the response, initial age */
static const struct {
    int64_t request_time, response_time, initial_age;
    const char *response;
} delays[] = {
    {NOW - 7, NOW, 7, DATE CC "max-age=99999\n"},
    {NOW - 7, NOW, 27, DATE CC "max-age=99999\nAge: 20\n"},
    {NOW - 7, NOW, 60, "Date: " BEFORE "\n" CC "max-age=99999\nAge: 20\n"},
    {NOW + 7, NOW, 20, DATE CC "max-age=99999\nAge: 20\n"}, /* the clock was set back meanwhile */
    {NOW - 7, NOW + 53, 60, DATE CC "max-age=99999\n"},
    {0, NOW, NOW, DATE CC "max-age=999999999\n"},
};

START_TEST(delay_counts_as_age)
{
    struct http_fields asked = {.count = 0}, answered = fields_of(delays[_i].response);
    struct http_request request = {span("GET"), span("/"), &asked};
    struct http_response response = {200, &answered};
    struct http_storing storing =
        http_storing(&request, &response, delays[_i].request_time, delays[_i].response_time);

    ck_assert(storing.store);
    ck_assert_int_eq(storing.initial_age, delays[_i].initial_age);
}
END_TEST

/* Section 4.3.4: age and date of a confirmed response are those of the 304. The row's `response` has the
 * merged fields, `request` those of the 304. */
static const struct storing_row updates[] = {
    {DATE, 200, DATE CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
    {DATE "Age: 9\n", 200, DATE CC "max-age=60\n" TAG, NULL, 60, 9, DAY, ""},
    {"", 200, "Date: " BEFORE "\n" CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
    {DATE, 200, DATE CC "max-age=60\nAge: 9\n" TAG, NULL, 60, 0, DAY, ""},
    {DATE CC "no-store\n", 200, DATE CC "no-store\n" TAG, "no-store", 0, 0, 0, ""},
    {DATE "Vary: *\n", 200, DATE CC "max-age=60\nVary: *\n" TAG, "vary", 0, 0, 0, ""},
    {DATE, 404, DATE CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
};

START_TEST(update_is_decided)
{
    struct http_fields asked = {.count = 0}, update = fields_of(updates[_i].request),
                       merged = fields_of(updates[_i].response);
    struct http_request request = {span("GET"), span("/"), &asked};
    struct http_response stored = {updates[_i].status, &merged};
    struct http_storing storing = http_storing_updated(&request, &stored, &update, NOW, NOW);

    check_storing(&updates[_i], &storing);
}
END_TEST

/* ---- Serving, sections 4.2 and 5.2.1 ---- */

static const struct {
    const char *request;
    int64_t age, lifetime;
    bool strict, serve;
} servings[] = {
    {"", 0, 60, false, true},
    {"", 59, 60, true, true},
    {"", 60, 60, false, false}, /* section 4.2: lifetime > age */
    {"", 0, 0, false, false},
    {"", MAX, MAX, false, false},
    /* max-age */
    {CC "max-age=10\n", 10, 60, false, true},
    {CC "max-age=10\n", 11, 60, false, false},
    {CC "max-age=0\n", 1, 60, false, false},
    {CC "max-age=100\n", 60, 60, false, false},
    {CC "max-age=x\n", 11, 60, false, true},
    /* min-fresh */
    {CC "min-fresh=20\n", 40, 60, false, true},
    {CC "min-fresh=20\n", 41, 60, false, false},
    {CC "min-fresh=20, max-stale\n", 41, 60, false, false},
    {CC "min-fresh=99999999999\n", 0, MAX, false, true},
    {CC "min-fresh=99999999999\n", 1, MAX, false, false},
    /* max-stale, and what forbids it (section 4.2.4) */
    {CC "max-stale\n", MAX, 0, false, true},
    {CC "max-stale\n", 60, 60, true, false},
    {CC "max-stale=10\n", 70, 60, false, true},
    {CC "max-stale=10\n", 71, 60, false, false},
    {CC "max-stale=10\n", 70, 60, true, false},
    {CC "max-stale=0\n", 60, 60, false, true},
    {CC "max-stale=x\n", 60, 60, false, false},
    /* together: each binds */
    {CC "max-age=65, max-stale=10\n", 65, 60, false, true},
    {CC "max-age=65, max-stale=10\n", 66, 60, false, false},
    /* no-cache */
    {CC "no-cache\n", 0, 60, false, false},
    {CC "no-cache, max-stale\n", 70, 60, false, false},
    {CC "no-cache=\"x\"\n", 0, 60, false, false},
};

START_TEST(serving_is_decided)
{
    struct http_fields fields = fields_of(servings[_i].request);
    struct http_cache_control cc;

    http_cache_control_parse(&cc, &fields);
    ck_assert(http_may_serve(&cc, servings[_i].age, servings[_i].lifetime, servings[_i].strict) ==
              servings[_i].serve);
}
END_TEST

/* ---- Conditional requests, RFC 9110 section 13 ---- */

#define INM "If-None-Match: "
#define IMS "If-Modified-Since: "

static const struct {
    const char *request, *stored;
    bool not_modified;
} conditions[] = {
    {"", TAG CHANGED, false},
    /* section 13.1.2: weak comparison (8.8.3.2), lists, "*" */
    {INM "\"a\"\n", TAG, true},
    {INM "W/\"a\"\n", TAG, true},
    {INM "\"a\"\n", "ETag: W/\"a\"\n", true},
    {INM "W/\"a\"\n", "ETag: W/\"a\"\n", true},
    {INM "\"b\"\n", TAG, false},
    {INM "\"A\"\n", TAG, false},
    {INM "w/\"a\"\n", TAG, false},
    {INM "\"b\", W/\"c\",\"a\"\n", TAG, true},
    {INM ", ,\t\"a\" ,\n", TAG, true},
    {INM "\"b\"\n" INM "\"a\"\n", TAG, true},
    {INM "\"b, a\", \"c\"\n", "ETag: \"b, a\"\n", true},
    {INM "\"b,\"a\"\n", TAG, false},
    {INM "*\n", TAG, true},
    {INM "*\n", "", true},
    {INM "*\n", "ETag: \"*\"\n", true},
    {INM "\"*\"\n", TAG, false},
    {INM "\"x\", *\n", TAG, false},
    {INM "\"a\"\n", "", false},
    {INM "\n", TAG, false},
    {INM "\"\"\n", "ETag: \"\"\n", true},
    {INM "\"\"\n", "ETag:\n", false},
    {INM "\n", "ETag:\n", false},
    {INM "W/\n", "ETag: W/\n", false},
    /* section 8.8.3: no escapes */
    {INM "\"a\\\", \"b\"\n", "ETag: \"a\\\"\n", true},
    {INM "\"a\\\", \"b\"\n", "ETag: \"b\"\n", true},
    /* damaged tags match nothing but themselves */
    {INM "\"a\n", TAG, false},
    {INM "\"a\"x\n", TAG, false},
    {INM "a\n", TAG, false},
    {INM "a\n", "ETag: a\n", true},
    {INM "\"b\", a\n", "ETag: a\n", true},
    /* section 13.1.3: If-Modified-Since only where there is no If-None-Match */
    {IMS BEFORE "\n", "Last-Modified: " BEFORE "\n", true},
    {IMS MINUTE "\n", "Last-Modified: " BEFORE "\n", true},
    {IMS BEFORE "\n", "Last-Modified: " MINUTE "\n", false},
    {IMS "Sunday, 06-Nov-94 08:48:37 GMT\n", "Last-Modified: " BEFORE "\n", true},
    {INM "\"b\"\n" IMS MINUTE "\n", TAG "Last-Modified: " BEFORE "\n", false},
    {IMS MINUTE "\n" INM "\"b\"\n", "Last-Modified: " BEFORE "\n", false},
    {INM "\"a\"\n" IMS BEFORE "\n", TAG "Last-Modified: " MINUTE "\n", true},
    {IMS "x\n", "Last-Modified: " BEFORE "\n", false},
    {IMS "\n", "Last-Modified: " BEFORE "\n", false},
    {IMS MINUTE "\n" IMS MINUTE "\n", "Last-Modified: " BEFORE "\n", false},
    {IMS MINUTE "\n", "Last-Modified: x\n" DATE, false},
    /* RFC 9111 section 4.3.2: Date takes the place of Last-Modified */
    {IMS MINUTE "\n", DATE, true},
    {IMS BEFORE "\n", DATE, false},
    {IMS MINUTE "\n", TAG, false},
};

START_TEST(conditions_are_answered)
{
    struct http_fields request = fields_of(conditions[_i].request), stored = fields_of(conditions[_i].stored);

    ck_assert(http_not_modified(&request, &stored, NOW) == conditions[_i].not_modified);
}
END_TEST

START_TEST(hostile_conditions_are_answered)
{
    struct http_fields request = {.count = 0}, stored = fields_of(TAG);
    char *quotes = malloc(16384);

    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){"\"a\0\"", 4}));
    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){NULL, 0}));
    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){"W", 1}));
    ck_assert(http_field_add(&request, span("If-None-Match"), (struct http_span){"W/", 2}));
    memset(quotes, '"', 16384);
    while (http_field_add(&request, span("If-None-Match"), (struct http_span){quotes, 16383}))
        ;
    ck_assert(!http_not_modified(&request, &stored, NOW));
    request.items[HTTP_MAX_FIELDS - 1].value = span("\"a\"");
    ck_assert(http_not_modified(&request, &stored, NOW));
    free(quotes);
}
END_TEST

/* ---- 304, sections 4.3.4 and 3.2 ---- */

static const struct {
    const char *stored, *update;
    bool matches;
} matches[] = {
    {TAG, TAG, true},
    {TAG, "ETag: \"b\"\n", false},
    {TAG, "ETag: W/\"a\"\n", true},
    {"ETag: W/\"a\"\n", "ETag: W/\"a\"\n", true},
    {"ETag: W/\"a\"\n", TAG, false},
    {CHANGED, TAG, false},
    {TAG CHANGED, TAG ANCIENT, true},
    {CHANGED, CHANGED, true},
    {CHANGED, ANCIENT, false},
    {TAG, CHANGED, false},
    {TAG CHANGED, DATE, true},
    {"", "", true},
};

START_TEST(update_is_matched)
{
    struct http_fields stored = fields_of(matches[_i].stored), update = fields_of(matches[_i].update);

    ck_assert(http_update_matches(&stored, &update) == matches[_i].matches);
}
END_TEST

static const struct {
    const char *stored, *update, *merged; /* NULL: refused */
} merges[] = {
    {"A: 1\nB: 2\n", "", "A: 1\r\nB: 2\r\n"},
    {"", "A: 1\n", "A: 1\r\n"},
    /* replaced in place, whatever the case; new ones behind */
    {"Date: x\nA: 1\nB: 2\n", "C: 9\na: 8\nDate: y\n", "Date: y\r\na: 8\r\nB: 2\r\nC: 9\r\n"},
    /* all lines of one name by all lines of that name */
    {"A: 1\nB: 2\nA: 3\n", "A: 4\n", "A: 4\r\nB: 2\r\n"},
    {"A: 1\nB: 2\n", "A: 4\nC: 5\nA: 6\n", "A: 4\r\nA: 6\r\nB: 2\r\nC: 5\r\n"},
    {"B: 2\n", "A: 4\nA: 6\n", "B: 2\r\nA: 4\r\nA: 6\r\n"},
    {"A: 1\n", "A:\n", "A: \r\n"},
    /* what describes the stored body stays, and is not added either */
    {"Content-Type: a\nContent-Encoding: gzip\n",
     "content-type: b\nContent-Encoding: br\nContent-Range: bytes 0-1/2\nContent-Length: 0\n",
     "Content-Type: a\r\nContent-Encoding: gzip\r\n"},
    {"A: 1\n", "Content-Type: b\nContent-Location: /c\n", "A: 1\r\nContent-Location: /c\r\n"},
    /* hop-by-hop fields and the 304's Age do not enter */
    {"A: 1\nX: 2\n", "Connection: x\nX: 3\nKeep-Alive: 5\nTransfer-Encoding: chunked\nAge: 5\n",
     "A: 1\r\nX: 2\r\n"},
    {"A: 1\nAge: 7\nContent-Length: 3\n", "", "A: 1\r\n"},
    /* a line that would not read back */
    {"A: 1\n", "B: x\ry\n", NULL},
    {"A B: 1\n", "", NULL},
};

START_TEST(update_is_merged)
{
    struct http_fields stored = fields_of(merges[_i].stored), update = fields_of(merges[_i].update);
    char out[256];
    int length = http_update_fields(&stored, &update, out, sizeof out);

    if (!merges[_i].merged) {
        ck_assert_int_eq(length, -1);
        return;
    }
    ck_assert_int_ge(length, 0);
    ck_assert(http_span_equal((struct http_span){out, (uint32_t)length}, span(merges[_i].merged)));
    for (size_t size = 0; size < (size_t)length; size++) {
        char *small = malloc(size + !size);

        ck_assert_int_eq(http_update_fields(&stored, &update, small, size), -1);
        free(small);
    }
}
END_TEST

START_TEST(largest_update_is_merged)
{
    struct http_fields stored = {.count = 0}, update = {.count = 0};
    static char out[2 * HTTP_MAX_FIELDS * 6];

    while (http_field_add(&stored, span("A"), span("1")) && http_field_add(&update, span("B"), span("2")))
        ;
    ck_assert_int_eq(http_update_fields(&stored, &update, out, sizeof out), (int)sizeof out);
    ck_assert_int_eq(http_update_fields(&stored, &stored, out, sizeof out), (int)sizeof out / 2);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, cache_control_is_parsed, controls);
    tcase_add_test(tcase, hostile_cache_control_is_parsed);
    ADD_ROWS(tcase, request_is_judged, requests);
    ADD_ROWS(tcase, storing_is_decided, storings);
    ADD_ROWS(tcase, methods_decide_storing, methods);
    tcase_add_test(tcase, statuses_decide_storing);
    ADD_ROWS(tcase, delay_counts_as_age, delays);
    ADD_ROWS(tcase, update_is_decided, updates);
    ADD_ROWS(tcase, serving_is_decided, servings);
    ADD_ROWS(tcase, conditions_are_answered, conditions);
    tcase_add_test(tcase, hostile_conditions_are_answered);
    ADD_ROWS(tcase, update_is_matched, matches);
    ADD_ROWS(tcase, update_is_merged, merges);
    tcase_add_test(tcase, largest_update_is_merged);
}

int main(void)
{
    return run_suite("http_policy", add_cases);
}
