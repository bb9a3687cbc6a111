#include "http_storing.h"

#include "check_policy.h"

/* What the caller can do: a row's request is to /p of http://origin:80, as clients at http://shop know it. */
static const struct http_place place = {{"http://origin:80", 16}, {"/p", 2}, {"http", 4}, {"shop", 4}};

static struct http_storing storing_of(const struct http_rules *rules, const char *method, const char *request,
                                      int status, const struct http_fields *answered)
{
    struct http_fields asked = fields_of(request);
    struct http_request http_request = {span(method), span("/p"), &asked};
    struct http_response response = {status, answered};

    return http_storing(rules, &http_request, &response, NOW, NOW);
}

/* A row with `refused` is not stored, for that reason; any other is stored with the numbers that follow. */
struct storing_row {
    const char *name;
    const char *request; /* fields */
    int status;
    const char *response; /* fields */
    const char *refused;
    int64_t lifetime, initial_age, keep;
    const char *marks; /* h heuristic, v must_validate, s strict, t no_transform, i immutable, w withheld,
                        * p partial; of a refused one: f forbidden */
};

static const struct storing_row rows[] = {
    {"max-age", "", 200, DATE CC "max-age=60\n", NULL, 60, 0, 0, ""},
    {"s-maxage", "", 200, DATE CC "max-age=60, s-maxage=10\n", NULL, 10, 0, 0, "s"},
    {"s-maxage-zero", "", 200, DATE CC "s-maxage=0, max-age=60\n" TAG, NULL, 0, 0, DAY, "s"},
    {"expires", "", 200, DATE "Expires: " MINUTE "\n", NULL, 60, 0, 0, ""},
    {"expires-and-validator", "", 200, DATE "Expires: " MINUTE "\n" CHANGED, NULL, 60, 0, DAY, ""},
    {"expires-invalid", "", 200, DATE "Expires: 0\n" TAG, NULL, 0, 0, DAY, ""},
    {"expires-invalid-useless", "", 200, DATE "Expires: 0\n", "no-freshness", 0, 0, 0, ""},
    {"heuristic", "", 200, DATE CHANGED, NULL, 100, 0, DAY, "h"},
    {"saturated", "", 200, DATE CC "max-age=99999999999999\n", NULL, MAX, 0, 0, ""},
    /* section 4.2.1: invalid freshness is stale, and no heuristic takes its place */
    {"invalid", "", 200, DATE CC "max-age=x\n" CHANGED, NULL, 0, 0, DAY, ""},
    {"invalid-s-maxage-strict", "", 200, DATE CC "max-age=x, s-maxage=60\n" TAG, NULL, 0, 0, DAY, "s"},
    {"invalid-useless", "", 200, DATE CC "max-age=x\nExpires: " MINUTE "\n", "no-freshness", 0, 0, 0, ""},
    /* section 3: something must allow it */
    {"allowed-by-status", "", 301, DATE CHANGED, NULL, 100, 0, DAY, "h"},
    {"allowed-by-public", "", 302, DATE CC "public\n" CHANGED, NULL, 100, 0, DAY, "h"},
    {"allowed-by-expires", "", 302, DATE "Expires: " MINUTE "\n", NULL, 60, 0, 0, ""},
    {"allowed-by-max-age", "", 302, DATE CC "max-age=60\n", NULL, 60, 0, 0, ""},
    {"allowed-by-s-maxage", "", 302, DATE CC "s-maxage=60\n", NULL, 60, 0, 0, "s"},
    {"allowed-by-nothing", "", 302, DATE CHANGED TAG, "status", 0, 0, 0, ""},
    /* section 3: neither freshness nor validator, or only one of them */
    {"useless", "", 200, DATE, "no-freshness", 0, 0, 0, ""},
    {"useless-no-date", "", 200, "", "no-freshness", 0, 0, 0, ""},
    {"useless-public", "", 200, DATE CC "public\n", "no-freshness", 0, 0, 0, ""},
    {"useless-empty-etag", "", 200, DATE "ETag:\n", "no-freshness", 0, 0, 0, ""},
    {"useless-bad-last-modified", "", 200, DATE "Last-Modified: x\n", "no-freshness", 0, 0, 0, ""},
    {"useless-max-age-zero", "", 200, DATE CC "max-age=0\n", "no-freshness", 0, 0, 0, ""},
    {"useless-stale", "", 200, DATE CC "max-age=90\nAge: 90\n", "stale", 0, 90, 0, ""},
    {"etag-only", "", 200, DATE TAG, NULL, 0, 0, DAY, "h"},
    {"etag-and-bad-last-modified", "", 200, DATE "Last-Modified: x\n" TAG, NULL, 0, 0, DAY, "h"},
    {"last-modified-ahead", "", 200, DATE "Last-Modified: " MINUTE "\n", NULL, 0, 0, DAY, "h"},
    {"max-age-zero", "", 200, DATE CC "max-age=0\n" TAG, NULL, 0, 0, DAY, ""},
    {"max-age-and-etag", "", 200, DATE CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
    {"max-age-and-weak-etag", "", 200, DATE CC "max-age=60\nETag: W/\"a\"\n", NULL, 60, 0, DAY, ""},
    /* section 4.2.3: the age of what arrives */
    {"age", "", 200, DATE CC "max-age=90\nAge: 89\n", NULL, 90, 89, 0, ""},
    {"age-apparent", "", 200, "Date: " BEFORE "\n" CC "max-age=90\n", NULL, 90, 60, 0, ""},
    /* keep is counted from expiry; what arrives stale is still kept for a day */
    {"keep-late", "", 200, DATE CC "max-age=90\nAge: 100\n" TAG, NULL, 90, 100, DAY + 10, ""},
    {"keep-saturated", "", 200, DATE CC "max-age=90\nAge: 99999999999999\n" TAG, NULL, 90, MAX,
     DAY + MAX - 90, ""},
    /* section 5.2.2.5 */
    {"no-store", "", 200, DATE CC "no-store, max-age=60\n", "no-store", 0, 0, 0, "f"},
    /* section 5.2.1.5, of the request */
    {"request-no-store", CC "no-store\n", 200, DATE CC "max-age=60\n", "no-store", 0, 0, 0, ""},
    {"request-no-cache", CC "no-cache\n", 200, DATE CC "max-age=60\n", NULL, 60, 0, 0, ""},
    {"request-range", "Range: bytes=0-\n", 200, DATE CC "max-age=60\n", "range", 0, 0, 0, ""},
    /* section 5.2.2.7; the most restrictive directive counts (section 4.2.1) */
    {"private", "", 200, DATE CC "private, max-age=60\n", "private", 0, 0, 0, "f"},
    {"private-and-public", "", 200, DATE CC "public, private, max-age=60\n", "private", 0, 0, 0, "f"},
    {"private-qualified", "", 200, DATE CC "private=\"x\", max-age=60\n", NULL, 60, 0, 0, "w"},
    {"private-qualified-vary", "", 200, DATE CC "private=\"vary\", max-age=60\n", "private", 0, 0, 0, "f"},
    {"private-qualified-and-plain", "", 200, DATE CC "private=\"x\", private, max-age=60\n", "private", 0, 0,
     0, "f"},
    /* section 5.2.2.4: stored to be validated; with no validator it would be of no use */
    {"no-cache", "", 200, DATE CC "no-cache\n" TAG, NULL, 0, 0, DAY, "vs"},
    {"no-cache-max-age", "", 200, DATE CC "no-cache, max-age=60\n" TAG, NULL, 0, 0, DAY, "vs"},
    {"no-cache-useless", "", 200, DATE CC "no-cache, max-age=60\n", "no-cache", 0, 0, 0, ""},
    {"no-cache-qualified", "", 200, DATE CC "no-cache=\"x\", max-age=60\n", NULL, 60, 0, 0, "w"},
    {"no-cache-qualified-etag", "", 200, DATE CC "no-cache=\"etag\", max-age=60\n" TAG, NULL, 0, 0, DAY,
     "vs"},
    /* sections 5.2.2.2, 5.2.2.8, 5.2.2.6 */
    {"must-revalidate", "", 200, DATE CC "must-revalidate, max-age=60\n", NULL, 60, 0, 0, "s"},
    {"proxy-revalidate", "", 200, DATE CC "proxy-revalidate, max-age=60\n", NULL, 60, 0, 0, "s"},
    {"proxy-revalidate-alone", "", 302, DATE CC "proxy-revalidate\n" TAG, "status", 0, 0, 0, ""},
    {"no-transform", "", 200, DATE CC "no-transform, max-age=60\n", NULL, 60, 0, 0, "t"},
    /* section 5.2.2.3: must-understand replaces no-store where the status is understood */
    {"must-understand", "", 200, DATE CC "must-understand, no-store, max-age=60\n", NULL, 60, 0, 0, ""},
    {"must-understand-unknown", "", 599, DATE CC "must-understand, no-store, max-age=60\n", "must-understand",
     0, 0, 0, ""},
    {"must-understand-no-no-store", "", 299, DATE CC "must-understand, max-age=60\n", "must-understand", 0, 0,
     0, ""},
    {"must-understand-private", "", 200, DATE CC "must-understand, private, max-age=60\n", "private", 0, 0, 0,
     "f"},
    /* section 5.4: Pragma has a meaning in requests only */
    {"pragma-response", "", 200, DATE "Pragma: no-cache\n" CHANGED, NULL, 100, 0, DAY, "h"},
    /* section 3.5 */
    {"authorization", "Authorization: x\n", 200, DATE CC "max-age=60\n", "authorization", 0, 0, 0, ""},
    {"authorization-heuristic", "Authorization: x\n", 200, DATE CHANGED, "authorization", 0, 0, 0, ""},
    {"authorization-proxy-revalidate", "Authorization: x\n", 200, DATE CC "proxy-revalidate, max-age=60\n",
     "authorization", 0, 0, 0, ""},
    {"authorization-expires", "Authorization: x\n", 200, DATE "Expires: " MINUTE "\n", "authorization", 0, 0,
     0, ""},
    {"authorization-public", "Authorization: x\n", 200, DATE CC "max-age=60, public\n", NULL, 60, 0, 0, ""},
    {"authorization-s-maxage", "Authorization: x\n", 200, DATE CC "s-maxage=60\n", NULL, 60, 0, 0, "s"},
    {"authorization-must-revalidate", "Authorization: x\n", 200, DATE CC "max-age=60, must-revalidate\n",
     NULL, 60, 0, 0, "s"},
    /* section 4.1: one response per URI is kept */
    {"vary", "", 200, DATE CC "max-age=60\nVary: Accept\n", NULL, 60, 0, 0, ""},
    {"vary-star", "", 200, DATE CC "max-age=60\nVary: *\n", "vary", 0, 0, 0, "f"},
    {"vary-star-second-line", "", 200, DATE CC "max-age=60\nVary: ,\nVary: Accept, *\n", "vary", 0, 0, 0,
     "f"},
    {"vary-empty", "", 200, DATE CC "max-age=60\nVary:\nVary: ,\n", NULL, 60, 0, 0, ""},
    /* section 7.3: Set-Cookie is stored where the origin says that the response may be reused */
    {"cookie-max-age", "", 200, DATE CC "max-age=60\nSet-Cookie: a=b\n" TAG, NULL, 60, 0, DAY, ""},
    {"cookie-expires", "", 200, DATE "Expires: " MINUTE "\nSet-Cookie: a=b\n", NULL, 60, 0, 0, ""},
    {"cookie-public", "", 200, DATE CC "public\nSet-Cookie: a=b\n" CHANGED, NULL, 100, 0, DAY, "h"},
    {"cookie-heuristic", "", 200, DATE "Set-Cookie: a=b\n" CHANGED, "set-cookie", 0, 0, 0, ""},
    {"cookie-no-cache", "", 200, DATE CC "no-cache\nSet-Cookie: a=b\n" TAG, "set-cookie", 0, 0, 0, ""},
    {"cookie-max-age-zero", "", 200, DATE CC "max-age=0\nSet-Cookie: a=b\n" TAG, "set-cookie", 0, 0, 0, ""},
    {"cookie-withheld", "", 200, DATE CC "no-cache=\"set-cookie\"\nSet-Cookie: a=b\n" CHANGED, NULL, 100, 0,
     DAY, "hw"},
    /* RFC 8246 */
    {"immutable", "", 200, DATE CC "max-age=60, immutable\n", NULL, 60, 0, 0, "i"},
    /* RFC 5861: kept for as long as it may be served stale */
    {"stale-while-revalidate", "", 200, DATE CC "max-age=60, stale-while-revalidate=30\n", NULL, 60, 0, 30,
     ""},
    {"stale-if-error", "", 200, DATE CC "max-age=60, stale-if-error=90000\n" TAG, NULL, 60, 0, 90000, ""},
    {"stale-if-error-shorter", "", 200, DATE CC "max-age=60, stale-if-error=30\n" TAG, NULL, 60, 0, DAY, ""},
    {"stale-if-error-arrives-stale", "", 200, DATE CC "max-age=60, stale-if-error=30\nAge: 80\n", NULL, 60,
     80, 30, ""},
    {"stale-if-error-arrives-late", "", 200, DATE CC "max-age=60, stale-if-error=30\nAge: 90\n", "stale", 0,
     90, 0, ""},
    {"stale-if-error-saturated", "", 200, DATE CC "max-age=60, stale-if-error=99999999999\n", NULL, 60, 0,
     MAX, ""},
    {"stale-if-error-strict", "", 200, DATE CC "s-maxage=60, stale-if-error=90000\n" TAG, NULL, 60, 0, DAY,
     "s"},
    /* RFC 9213 section 2.2: instead of Cache-Control and Expires */
    {"targeted", "", 200, DATE CDN "max-age=60\n" CC "no-store\n", NULL, 60, 0, 0, ""},
    {"targeted-no-store", "", 200, DATE CDN "no-store\n" CC "max-age=60\n", "no-store", 0, 0, 0, "f"},
    {"targeted-private", "", 200, DATE CDN "private\n" CC "max-age=60\n", "private", 0, 0, 0, "f"},
    {"targeted-no-cache", "", 200, DATE CDN "no-cache\n" CC "max-age=60\n" TAG, NULL, 0, 0, DAY, "vs"},
    {"targeted-must-revalidate", "", 200, DATE CDN "max-age=60, must-revalidate\n", NULL, 60, 0, 0, "s"},
    {"targeted-not-expires", "", 200, DATE CDN "none\nExpires: " MINUTE "\n" CHANGED, NULL, 100, 0, DAY, "h"},
    {"targeted-invalid", "", 200, DATE CDN "no-store,\n" CC "max-age=60\n", NULL, 60, 0, 0, ""},
    {"targeted-authorization", "Authorization: x\n", 200, DATE CDN "max-age=60\n" CC "public\n",
     "authorization", 0, 0, 0, ""},
};

static void check_storing(const struct storing_row *row, const struct http_storing *storing)
{
    char buffer[16];
    struct http_text marks = http_text_into(buffer, sizeof buffer);

    ck_assert_msg(storing->store == !row->refused, "%s: %s", row->name, storing->reason);
    ck_assert_ptr_nonnull(storing->reason);
    if (row->refused)
        ROW_TEXT(row, storing->reason, row->refused);
    ROW_EQ(row, storing->lifetime, row->lifetime);
    ROW_EQ(row, storing->initial_age, row->initial_age);
    ROW_EQ(row, storing->keep, row->keep);
    http_text_add(&marks, span(storing->heuristic ? "h" : ""));
    http_text_add(&marks, span(storing->must_validate ? "v" : ""));
    http_text_add(&marks, span(storing->strict ? "s" : ""));
    http_text_add(&marks, span(storing->no_transform ? "t" : ""));
    http_text_add(&marks, span(storing->immutable ? "i" : ""));
    http_text_add(&marks, span(storing->withheld.count > 0 ? "w" : ""));
    http_text_add(&marks, span(storing->partial ? "p" : ""));
    http_text_add(&marks, span(storing->forbidden ? "f" : ""));
    ROW_TEXT(row, text_end(&marks), row->marks);
}

static struct http_targets cdn(void)
{
    struct http_targets targets;

    ck_assert(http_targets_parse(&targets, span(HTTP_TARGETS_DEFAULT)));
    return targets;
}

START_TEST(storing_is_decided)
{
    const struct storing_row *row = &rows[_i];
    struct http_targets targets = cdn();
    struct http_rules rules = {.targets = &targets, .unknown_statuses = true};
    struct http_fields answered = fields_of(row->response);
    struct http_storing storing = storing_of(&rules, "GET", row->request, row->status, &answered);

    check_storing(row, &storing);
}
END_TEST

/* RFC 5861: what may be served stale, and what forbids it (section 4.2.4). */
static const struct {
    const char *name, *response;
    int64_t while_revalidate, if_error;
} windows[] = {
    {"window-none", DATE CC "max-age=60\n", -1, -1},
    {"window-both", DATE CC "max-age=60, stale-while-revalidate=3, stale-if-error=4\n", 3, 4},
    {"window-zero", DATE CC "max-age=60, stale-while-revalidate=0, stale-if-error=0\n", 0, 0},
    {"window-must-revalidate",
     DATE CC "max-age=60, must-revalidate, stale-while-revalidate=3, stale-if-error=4\n", -1, -1},
    {"window-proxy-revalidate", DATE CC "max-age=60, proxy-revalidate, stale-if-error=4\n", -1, -1},
    {"window-s-maxage", DATE CC "s-maxage=60, stale-while-revalidate=3\n", -1, -1},
    {"window-no-cache", DATE CC "no-cache, stale-if-error=4\n" TAG, -1, -1},
    {"window-refused", DATE CC "no-store, stale-if-error=4\n" TAG, -1, -1},
};

START_TEST(windows_are_decided)
{
    struct http_rules rules = {.unknown_statuses = true};
    struct http_fields answered = fields_of(windows[_i].response);
    struct http_storing storing = storing_of(&rules, "GET", "", 200, &answered);

    ROW_EQ(&windows[_i], storing.stale_while_revalidate, windows[_i].while_revalidate);
    ROW_EQ(&windows[_i], storing.stale_if_error, windows[_i].if_error);
}
END_TEST

/* Section 3: methods. RFC 9110 section 9.3.3: POST with explicit freshness and its own Content-Location. */
static const struct {
    const char *name, *method, *request;
    int status;
    const char *response;
    const char *refused;
} methods[] = {
    {"method-get", "GET", "", 200, DATE CC "public, max-age=60\n", NULL},
    {"method-head", "HEAD", "", 200, DATE CC "public, max-age=60\n", "method"},
    {"method-put", "PUT", "", 200, DATE CC "max-age=60\nContent-Location: /p\n", "method"},
    {"method-case", "get", "", 200, DATE CC "public, max-age=60\n", "method"},
    {"method-options", "OPTIONS", "", 200, DATE CC "public, max-age=60\n", "method"},
    {"post", "POST", "", 200, DATE CC "max-age=60\nContent-Location: /p\n", NULL},
    {"post-expires", "POST", "", 200, DATE "Expires: " MINUTE "\nContent-Location: /p\n", NULL},
    {"post-absolute", "POST", "", 200, DATE CC "max-age=60\nContent-Location: http://origin/p\n", NULL},
    {"post-client-name", "POST", "", 200, DATE CC "max-age=60\nContent-Location: http://shop/p\n", NULL},
    {"post-no-location", "POST", "", 200, DATE CC "public, max-age=60\n", "method"},
    {"post-other-location", "POST", "", 200, DATE CC "max-age=60\nContent-Location: /q\n", "method"},
    {"post-other-origin", "POST", "", 200, DATE CC "max-age=60\nContent-Location: http://x/p\n", "method"},
    {"post-two-locations", "POST", "", 200,
     DATE CC "max-age=60\nContent-Location: /p\nContent-Location: /p\n", "method"},
    {"post-fragment", "POST", "", 200, DATE CC "max-age=60\nContent-Location: /p#x\n", "method"},
    {"post-relative", "POST", "", 200, DATE CC "max-age=60\nContent-Location: p\n", NULL},
    {"post-empty-location", "POST", "", 200, DATE CC "max-age=60\nContent-Location:\n", "method"},
    {"post-heuristic", "POST", "", 200, DATE CHANGED "Content-Location: /p\n", "method"},
    {"post-public-only", "POST", "", 200, DATE CC "public\nContent-Location: /p\n" CHANGED, "method"},
    {"post-created", "POST", "", 201, DATE CC "max-age=60\nContent-Location: /p\n", "method"},
    {"post-request-no-store", "POST", CC "no-store\n", 200, DATE CC "max-age=60\nContent-Location: /p\n",
     "method"},
    {"post-no-store", "POST", "", 200, DATE CC "no-store\nContent-Location: /p\n", "no-store"},
    {"post-authorization", "POST", "Authorization: x\n", 200, DATE CC "max-age=60\nContent-Location: /p\n",
     "authorization"},
};

START_TEST(methods_decide_storing)
{
    struct http_rules rules = {.place = &place, .unknown_statuses = true};
    struct http_fields answered = fields_of(methods[_i].response);
    struct http_storing storing =
        storing_of(&rules, methods[_i].method, methods[_i].request, methods[_i].status, &answered);

    ROW_EQ(&methods[_i], storing.store, !methods[_i].refused);
    if (methods[_i].refused)
        ROW_TEXT(&methods[_i], storing.reason, methods[_i].refused);
    rules.place = NULL;
    storing = storing_of(&rules, methods[_i].method, methods[_i].request, methods[_i].status, &answered);
    ROW_EQ(&methods[_i], storing.store, strcmp(methods[_i].method, "GET") == 0);
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
    /* in no registry; stored only when told */
    static const int strange[] = {209, 299, 306, 309, 399, 418, 420, 430, 499, 509, 512, 599, 0};
    struct http_fields with_age = fields_of(DATE CC "max-age=60\n"), modified = fields_of(DATE CHANGED);
    struct http_fields understood = fields_of(DATE CC "must-understand, max-age=60\n");
    struct http_rules told = {.unknown_statuses = true}, untold = {.unknown_statuses = false};

    for (int status = -1; status <= 1000; status++) {
        bool may = status >= 200 && status <= 599 && !is_in(status, never);

        ck_assert_msg(storing_of(&told, "GET", "", status, &with_age).store == may, "%d max-age", status);
        ck_assert_msg(may || !storing_of(&untold, "GET", "", status, &with_age).store, "%d untold", status);
        ck_assert_msg(!is_in(status, strange) || !storing_of(&untold, "GET", "", status, &with_age).store,
                      "%d untold", status);
        ck_assert_msg(!is_in(status, known) || storing_of(&untold, "GET", "", status, &with_age).store,
                      "%d untold", status);
        ck_assert_msg(storing_of(&told, "GET", "", status, &modified).store == is_in(status, heuristic),
                      "%d with Last-Modified", status);
        bool stored = storing_of(&told, "GET", "", status, &understood).store;
        ck_assert_msg(may || !stored, "%d", status);
        ck_assert_msg(!is_in(status, unknown) || !stored, "%d with must-understand", status);
        ck_assert_msg(!is_in(status, known) || stored, "%d with must-understand", status);
    }
}
END_TEST

/* Section 3.3: parts, where the caller can store them. */
#define PART DATE CC "max-age=60\n" TAG "Content-Range: "
static const struct storing_row parts[] = {
    {"part", "Range: bytes=0-1\n", 206, PART "bytes 0-1/5\n", NULL, 60, 0, DAY, "p"},
    {"part-unknown-size", "Range: bytes=0-1\n", 206, PART "bytes 0-1/*\n", NULL, 60, 0, DAY, "p"},
    {"part-heuristic", "Range: bytes=0-1\n", 206, DATE CHANGED "Content-Range: bytes 0-1/5\n", NULL, 100, 0,
     DAY, "hp"},
    {"part-not-asked-for", "", 206, PART "bytes 0-1/5\n", NULL, 60, 0, DAY, "p"},
    {"part-other-unit", "Range: x=0-1\n", 206, PART "x 0-1/5\n", "part", 0, 0, 0, ""},
    {"part-several", "Range: bytes=0-1,3-4\n", 206,
     DATE CC "max-age=60\nContent-Type: multipart/byteranges; boundary=x\n", "part", 0, 0, 0, ""},
    {"part-unsatisfied", "Range: bytes=9-\n", 206, PART "bytes */5\n", "part", 0, 0, 0, ""},
    {"part-repeated", "Range: bytes=0-1\n", 206, PART "bytes 0-1/5\nContent-Range: bytes 0-1/5\n", "part", 0,
     0, 0, ""},
    {"part-no-store", "Range: bytes=0-1\n", 206, DATE CC "no-store\nContent-Range: bytes 0-1/5\n", "no-store",
     0, 0, 0, "f"},
    {"part-request-no-store", "Range: bytes=0-1\n" CC "no-store\n", 206, PART "bytes 0-1/5\n", "no-store", 0,
     0, 0, ""},
    {"whole-for-range", "Range: bytes=0-1\n", 200, DATE CC "max-age=60\n", "range", 0, 0, 0, ""},
    {"unsatisfiable", "Range: bytes=9-\n", 416, PART "bytes */5\n", "range", 0, 0, 0, ""},
};

START_TEST(parts_are_decided)
{
    const struct storing_row *row = &parts[_i];
    struct http_fields answered = fields_of(row->response);
    struct http_storing storing =
        storing_of(&(struct http_rules){.parts = true}, "GET", row->request, row->status, &answered);

    check_storing(row, &storing);
    storing = storing_of(&(struct http_rules){.parts = false}, "GET", row->request, row->status, &answered);
    ROW_HOLDS(row, !storing.store);
}
END_TEST

/* Section 3.3: what broke off. */
static const struct {
    const char *name, *method;
    int status;
    const char *response;
    bool may;
} incompletes[] = {
    {"incomplete-etag", "GET", 200, DATE CC "max-age=60\n" TAG, true},
    {"incomplete-last-modified", "GET", 200, DATE CC "max-age=60\n" CHANGED, true},
    {"incomplete-weak-etag", "GET", 200, DATE CC "max-age=60\nETag: W/\"a\"\n", false},
    {"incomplete-weak-date", "GET", 200, DATE "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n", false},
    {"incomplete-no-validator", "GET", 200, DATE CC "max-age=60\n", false},
    {"incomplete-other-status", "GET", 404, DATE CC "max-age=60\n" TAG, false},
    {"incomplete-post", "POST", 200, DATE CC "max-age=60\nContent-Location: /p\n" TAG, false},
    {"incomplete-not-storable", "GET", 200, DATE CC "no-store\n" TAG, false},
};

START_TEST(incomplete_is_decided)
{
    struct http_rules rules = {.place = &place};
    struct http_fields none = {.count = 0}, answered = fields_of(incompletes[_i].response);
    struct http_storing storing =
        storing_of(&rules, incompletes[_i].method, "", incompletes[_i].status, &answered);
    struct http_request request = {span(incompletes[_i].method), span("/p"), &none};
    struct http_response response = {incompletes[_i].status, &answered};

    ROW_EQ(&incompletes[_i], http_may_store_incomplete(&storing, &request, &response, NOW),
           incompletes[_i].may);
}
END_TEST

/* Section 4.3.4: age and date of a confirmed response are those of the 304. The row's `response` has the
 * merged fields, `request` those of the 304. */
static const struct storing_row updates[] = {
    {"update", DATE, 200, DATE CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
    {"update-age", DATE "Age: 9\n", 200, DATE CC "max-age=60\n" TAG, NULL, 60, 9, DAY, ""},
    {"update-date", "", 200, "Date: " BEFORE "\n" CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
    {"update-old-age", DATE, 200, DATE CC "max-age=60\nAge: 9\n" TAG, NULL, 60, 0, DAY, ""},
    {"update-no-store", DATE CC "no-store\n", 200, DATE CC "no-store\n" TAG, "no-store", 0, 0, 0, "f"},
    {"update-vary-star", DATE "Vary: *\n", 200, DATE CC "max-age=60\nVary: *\n" TAG, "vary", 0, 0, 0, "f"},
    {"update-other-status", DATE, 404, DATE CC "max-age=60\n" TAG, NULL, 60, 0, DAY, ""},
};

START_TEST(update_is_decided)
{
    struct http_rules rules = {.unknown_statuses = true};
    struct http_fields asked = {.count = 0}, update = fields_of(updates[_i].request),
                       merged = fields_of(updates[_i].response);
    struct http_request request = {span("GET"), span("/"), &asked};
    struct http_response stored = {updates[_i].status, &merged};
    struct http_storing storing = http_storing_updated(&rules, &request, &stored, &update, NOW, NOW);

    check_storing(&updates[_i], &storing);
}
END_TEST

/* Sections 5.2.2.4 and 5.2.2.7 */
START_TEST(named_fields_are_not_stored)
{
    struct http_fields answered = fields_of(
        DATE CC "private=\"set-cookie\", no-cache=\"X-A\", max-age=60\nSet-Cookie: a=b\nx-a: 1\nX-B: 2\n");
    struct http_storing storing = storing_of(&(struct http_rules){0}, "GET", "", 200, &answered);
    struct http_fields kept;

    ck_assert(storing.store);
    http_storing_fields(&kept, &(struct http_response){404, &answered}, &storing);
    ck_assert_uint_eq(kept.count, 3);
    ck_assert(http_field_find(&kept, "x-b", NULL) && http_field_find(&kept, "cache-control", NULL) &&
              http_field_find(&kept, "date", NULL));
}
END_TEST

/* RFC 9110 section 14.3 */
static const struct {
    const char *name;
    int status;
    const char *fields, *accept_ranges; /* NULL: none is stored */
} unit_rows[] = {
    {"ranges-none-said", 200, DATE, "bytes"},
    {"ranges-said", 200, "accept-ranges: bytes\n", "bytes"},
    {"ranges-denied", 200, "Accept-Ranges: none\n", "none"},
    {"ranges-other-status", 404, DATE, NULL},
};

START_TEST(ranges_are_offered)
{
    struct http_fields answered = fields_of(unit_rows[_i].fields), kept;
    struct http_storing storing = {.store = true};
    const struct http_field *field;

    http_storing_fields(&kept, &(struct http_response){unit_rows[_i].status, &answered}, &storing);
    ROW_EQ(&unit_rows[_i], http_field_count(&kept, "accept-ranges"), unit_rows[_i].accept_ranges != NULL);
    field = http_field_find(&kept, "accept-ranges", NULL);
    if (field)
        ROW_HOLDS(&unit_rows[_i], http_span_equal(field->value, span(unit_rows[_i].accept_ranges)));
    while (http_field_add(&answered, span("A"), span("1")))
        ;
    http_storing_fields(&kept, &(struct http_response){unit_rows[_i].status, &answered}, &storing);
    ROW_EQ(&unit_rows[_i], kept.count, HTTP_MAX_FIELDS);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(rows);
    CHECK_NAMES(windows);
    CHECK_NAMES(methods);
    CHECK_NAMES(parts);
    CHECK_NAMES(incompletes);
    CHECK_NAMES(updates);
    CHECK_NAMES(unit_rows);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, storing_is_decided, rows);
    ADD_ROWS(tcase, windows_are_decided, windows);
    ADD_ROWS(tcase, methods_decide_storing, methods);
    tcase_add_test(tcase, statuses_decide_storing);
    ADD_ROWS(tcase, parts_are_decided, parts);
    ADD_ROWS(tcase, incomplete_is_decided, incompletes);
    ADD_ROWS(tcase, update_is_decided, updates);
    tcase_add_test(tcase, named_fields_are_not_stored);
    ADD_ROWS(tcase, ranges_are_offered, unit_rows);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_storing", add_cases);
}
