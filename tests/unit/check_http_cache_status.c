#include "http_cache_status.h"

#include "check_http.h"

#define KEY_OF_32  "0123456789abcdef0123456789abcdef"
#define KEY_OF_128 KEY_OF_32 KEY_OF_32 KEY_OF_32 KEY_OF_32

static const struct {
    struct http_cache_status status;
    const char *text; /* NULL: refused */
} rows[] = {
    /* RFC 9211 section 2: the cache's name alone is a valid member */
    {{0}, "larder"},
    /* section 2.1 */
    {{.hit = true}, "larder; hit"},
    {{.hit = true, .has_ttl = true, .ttl = 376}, "larder; hit; ttl=376"},
    /* section 2.1: hit excludes fwd, and with it what only a forwarded request has */
    {{.hit = true, .fwd = HTTP_FWD_MISS, .fwd_status = 200, .stored = true, .collapsed = true},
     "larder; hit"},
    /* section 2.2, every reason */
    {{.fwd = HTTP_FWD_BYPASS}, "larder; fwd=bypass"},
    {{.fwd = HTTP_FWD_METHOD}, "larder; fwd=method"},
    {{.fwd = HTTP_FWD_URI_MISS}, "larder; fwd=uri-miss"},
    {{.fwd = HTTP_FWD_VARY_MISS}, "larder; fwd=vary-miss"},
    {{.fwd = HTTP_FWD_MISS}, "larder; fwd=miss"},
    {{.fwd = HTTP_FWD_REQUEST}, "larder; fwd=request"},
    {{.fwd = HTTP_FWD_STALE}, "larder; fwd=stale"},
    {{.fwd = HTTP_FWD_PARTIAL}, "larder; fwd=partial"},
    /* sections 2.3, 2.5, 2.6 */
    {{.fwd = HTTP_FWD_STALE, .fwd_status = 304}, "larder; fwd=stale; fwd-status=304"},
    {{.fwd = HTTP_FWD_URI_MISS, .fwd_status = 200, .stored = true},
     "larder; fwd=uri-miss; fwd-status=200; stored"},
    {{.fwd = HTTP_FWD_URI_MISS, .collapsed = true}, "larder; fwd=uri-miss; collapsed"},
    /* stored and collapsed have no meaning when nothing went forward */
    {{.stored = true, .collapsed = true, .fwd_status = 200}, "larder"},
    /* section 2.4: negative when stale; sf-integer has 15 digits (RFC 8941 section 3.3.1) */
    {{.has_ttl = true, .ttl = -412}, "larder; ttl=-412"},
    {{.has_ttl = true}, "larder; ttl=0"},
    {{.has_ttl = true, .ttl = INT64_MAX}, "larder; ttl=999999999999999"},
    {{.has_ttl = true, .ttl = INT64_MIN}, "larder; ttl=-999999999999999"},
    /* section 2.8: sf-token where it can be one, else sf-string */
    {{.detail = "no-store"}, "larder; detail=no-store"},
    {{.detail = "*x"}, "larder; detail=*x"},
    {{.detail = "max-age=0"}, "larder; detail=\"max-age=0\""},
    {{.detail = "0day"}, "larder; detail=\"0day\""},
    {{.detail = "-x"}, "larder; detail=\"-x\""},
    {{.detail = "two words"}, "larder; detail=\"two words\""},
    {{.detail = "a\"b\\c"}, "larder; detail=\"a\\\"b\\\\c\""},
    {{.detail = ""}, "larder; detail=\"\""},
    {{.detail = "a\r\nSet-Cookie: x"}, NULL},
    {{.detail = "tab\there"}, NULL},
    {{.detail = "caf\xc3\xa9"}, NULL},
    {{.detail = "del\x7f"}, NULL},
    /* section 2.7: always an sf-string; left out when it cannot be one, or would be long */
    {{.hit = true, .key = "accept-encoding:gzip"}, "larder; hit; key=\"accept-encoding:gzip\""},
    {{.fwd = HTTP_FWD_VARY_MISS, .key = "token"}, "larder; fwd=vary-miss; key=\"token\""},
    {{.hit = true, .key = "a\"b\\c"}, "larder; hit; key=\"a\\\"b\\\\c\""},
    {{.hit = true, .key = ""}, "larder; hit; key=\"\""},
    {{.hit = true, .key = "caf\xc3\xa9"}, "larder; hit"},
    {{.hit = true, .key = "a\nb"}, "larder; hit"},
    {{.hit = true, .key = KEY_OF_128}, "larder; hit; key=\"" KEY_OF_128 "\""},
    {{.hit = true, .key = KEY_OF_128 "x"}, "larder; hit"},
    {{.hit = true, .key = "k", .detail = "d"}, "larder; hit; key=\"k\"; detail=d"},
    {{.fwd = HTTP_FWD_URI_MISS,
      .fwd_status = 200,
      .stored = true,
      .collapsed = true,
      .has_ttl = true,
      .ttl = 60,
      .detail = "explicit"},
     "larder; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60; detail=explicit"},
};

START_TEST(value_is_formatted)
{
    char out[HTTP_CACHE_STATUS_MAX];
    int length = http_cache_status_format(&rows[_i].status, out, sizeof out);

    if (!rows[_i].text) {
        ck_assert_int_eq(length, -1);
        return;
    }
    ck_assert_int_eq(length, (int)strlen(rows[_i].text));
    ck_assert_str_eq(out, rows[_i].text);
}
END_TEST

/* Every buffer that is too small is refused and not overrun. */
START_TEST(small_buffers_are_refused)
{
    const struct http_cache_status status = {
        .fwd = HTTP_FWD_STALE, .fwd_status = 304, .has_ttl = true, .ttl = -1, .detail = "a \"b\""};
    char whole[HTTP_CACHE_STATUS_MAX];
    int length = http_cache_status_format(&status, whole, sizeof whole);

    ck_assert_int_gt(length, 0);
    for (size_t size = 0; size <= (size_t)length; size++) {
        char *small = malloc(size + 1);

        small[size] = '#';
        ck_assert_int_eq(http_cache_status_format(&status, small, size), -1);
        ck_assert_int_eq(small[size], '#');
        free(small);
    }
    ck_assert_int_eq(http_cache_status_format(&status, whole, (size_t)length + 1), length);
}
END_TEST

/* HTTP_CACHE_STATUS_MAX keeps its promise. */
START_TEST(longest_value_fits)
{
    char detail[65], key[HTTP_CACHE_STATUS_KEY_MAX + 1];
    struct http_cache_status status = {.fwd = HTTP_FWD_VARY_MISS,
                                       .fwd_status = 599,
                                       .stored = true,
                                       .collapsed = true,
                                       .has_ttl = true,
                                       .ttl = INT64_MIN,
                                       .key = key,
                                       .detail = detail};
    char out[HTTP_CACHE_STATUS_MAX];

    memset(detail, '"', 64);
    detail[64] = '\0';
    memset(key, '\\', HTTP_CACHE_STATUS_KEY_MAX);
    key[HTTP_CACHE_STATUS_KEY_MAX] = '\0';
    ck_assert_int_gt(http_cache_status_format(&status, out, sizeof out), 0);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, value_is_formatted, rows);
    tcase_add_test(tcase, small_buffers_are_refused);
    tcase_add_test(tcase, longest_value_fits);
}

int main(void)
{
    return run_suite("http_cache_status", add_cases);
}
