/* http_overrides: what rules make of freshness, requests, keys and methods; each row is a rule at work. */
#include "http_overrides.h"

#include "check_http.h"
#include "http_storing.h"

#include <stdio.h>
#include <string.h>

static struct http_overrides with(void)
{
    struct http_overrides overrides;

    http_overrides_setup(&overrides);
    return overrides;
}

/* ---- keys ---- */

static const struct {
    const char *ignored; /* NULL: none */
    bool sorted;
    const char *target, *key;
} keys[] = {
    {NULL, false, "/a?b=1&a=2", "/a?b=1&a=2"},
    {"utm_*, fbclid", false, "/a", "/a"},
    {"utm_*, fbclid", false, "/a?b=1&a=2", "/a?b=1&a=2"},
    {"utm_*, fbclid", false, "/a?utm_source=x", "/a"},
    {"utm_*, fbclid", false, "/a?utm_source=x&b=1", "/a?b=1"},
    {"utm_*, fbclid", false, "/a?b=1&utm_source=x&fbclid&c", "/a?b=1&c"},
    {"utm_*, fbclid", false, "/a?b=utm_x&xutm_=1", "/a?b=utm_x&xutm_=1"},
    {"utm_*, fbclid", false, "/a?fbclid2=1", "/a?fbclid2=1"},
    {"utm_*, fbclid", false, "/a?UTM_source=1", "/a?UTM_source=1"},
    {"utm_*, fbclid", false, "/a?%75tm_x=1", "/a?%75tm_x=1"},
    {"utm_*", false, "/a?utm_", "/a"},
    {"utm_*", false, "/a?", "/a?"},
    {"utm_*", false, "/a?&", "/a?&"},
    {"utm_*", false, "/a??utm_x", "/a??utm_x"},
    {"utm_*", false, "/a?b?utm_x&utm_y?c", "/a?b?utm_x"},
    {"utm_*", false, "/utm_x/utm_y", "/utm_x/utm_y"},
    {"*", false, "/a?b=1&c", "/a"},
    {"*", false, "*", "*"},
    {NULL, true, "/a?b=1&a=2", "/a?a=2&b=1"},
    {NULL, true, "/a?b=2&a=1&b=1", "/a?a=1&b=2&b=1"},
    {NULL, true, "/a?b&a", "/a?a&b"},
    {NULL, true, "/a?ab=1&a=2&a", "/a?a=2&a&ab=1"},
    {NULL, true, "/a?b&&a", "/a?&a&b"},
    {"x", true, "/a?c&x=1&b&x&a", "/a?a&b&c"},
};

START_TEST(key_is_made)
{
    struct http_overrides overrides = with();
    char out[256];
    struct http_span target = span(keys[_i].target), key;

    if (keys[_i].ignored)
        ck_assert(http_names_add(&overrides.ignored_parameters, span(keys[_i].ignored)));
    overrides.sorted_parameters = keys[_i].sorted;
    memset(out, '!', sizeof out);
    key = http_overrides_key(&overrides, target, out);
    ck_assert_msg(http_span_equal(key, span(keys[_i].key)), "%s: %.*s", keys[_i].target, (int)key.length,
                  key.at);
    ck_assert_int_eq(out[target.length], '!');
}
END_TEST

START_TEST(many_parameters_keep_their_order)
{
    struct http_overrides overrides = with();
    char target[1024] = "/a?", out[1024];
    struct http_span key;

    overrides.sorted_parameters = true;
    for (int i = HTTP_OVERRIDES_SORT_MAX; i > 0; i--)
        snprintf(target + strlen(target), 16, "%02d&", i % 100);
    key = http_overrides_key(&overrides, span(target), out); /* one more: the empty one at the end */
    ck_assert(http_span_equal(key, span(target)));
    target[strlen(target) - 1] = '\0';
    key = http_overrides_key(&overrides, span(target), out);
    ck_assert(http_span_equal((struct http_span){key.at, 8}, span("/a?01&02")));
    ck_assert_uint_eq(key.length, strlen(target));
}
END_TEST

/* ---- freshness ---- */

static const struct {
    const char *rules; /* words: off, max=, default=, STATUS= */
    int status;
    enum http_freshness_kind kind;
    int64_t lifetime;
    enum http_freshness_kind wanted_kind;
    int64_t wanted;
    bool negative;
} freshness[] = {
    {"", 200, HTTP_FRESHNESS_HEURISTIC, 77, HTTP_FRESHNESS_HEURISTIC, 77, false},
    {"", 200, HTTP_FRESHNESS_HEURISTIC, 0, HTTP_FRESHNESS_HEURISTIC, 0, false},
    {"off", 200, HTTP_FRESHNESS_HEURISTIC, 77, HTTP_FRESHNESS_HEURISTIC, 0, false},
    {"off", 200, HTTP_FRESHNESS_EXPLICIT, 77, HTTP_FRESHNESS_EXPLICIT, 77, false},
    {"max=50", 200, HTTP_FRESHNESS_HEURISTIC, 77, HTTP_FRESHNESS_HEURISTIC, 50, false},
    {"max=50", 200, HTTP_FRESHNESS_EXPLICIT, 77, HTTP_FRESHNESS_EXPLICIT, 77, false},
    {"default=9", 200, HTTP_FRESHNESS_HEURISTIC, 77, HTTP_FRESHNESS_HEURISTIC, 77, false},
    {"default=9", 200, HTTP_FRESHNESS_HEURISTIC, 0, HTTP_FRESHNESS_HEURISTIC, 9, false},
    {"default=9", 200, HTTP_FRESHNESS_EXPLICIT, 0, HTTP_FRESHNESS_EXPLICIT, 0, false},
    {"default=9", 302, HTTP_FRESHNESS_NONE, 0, HTTP_FRESHNESS_NONE, 0, false},
    {"off default=9", 200, HTTP_FRESHNESS_HEURISTIC, 77, HTTP_FRESHNESS_HEURISTIC, 9, false},
    {"max=5 default=9", 200, HTTP_FRESHNESS_HEURISTIC, 0, HTTP_FRESHNESS_HEURISTIC, 9, false},
    {"404=10", 404, HTTP_FRESHNESS_HEURISTIC, 0, HTTP_FRESHNESS_HEURISTIC, 10, true},
    {"404=10", 404, HTTP_FRESHNESS_HEURISTIC, 99, HTTP_FRESHNESS_HEURISTIC, 10, true},
    {"404=10", 404, HTTP_FRESHNESS_EXPLICIT, 3, HTTP_FRESHNESS_EXPLICIT, 3, false},
    {"404=10", 404, HTTP_FRESHNESS_EXPLICIT, 0, HTTP_FRESHNESS_EXPLICIT, 0, false},
    {"404=10", 410, HTTP_FRESHNESS_HEURISTIC, 0, HTTP_FRESHNESS_HEURISTIC, 0, false},
    {"404=10", 200, HTTP_FRESHNESS_HEURISTIC, 0, HTTP_FRESHNESS_HEURISTIC, 0, false},
    {"404=0 default=9", 404, HTTP_FRESHNESS_HEURISTIC, 5, HTTP_FRESHNESS_HEURISTIC, 0, true},
    {"404=10 503=2", 503, HTTP_FRESHNESS_NONE, 0, HTTP_FRESHNESS_HEURISTIC, 2, true},
};

static void read_rules(struct http_overrides *overrides, const char *rules)
{
    char words[64];

    snprintf(words, sizeof words, "%s", rules);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "off") == 0) {
            overrides->no_heuristic = true;
        } else if (strncmp(word, "max=", 4) == 0) {
            overrides->heuristic_max = strtol(word + 4, NULL, 10);
        } else if (strncmp(word, "default=", 8) == 0) {
            overrides->default_freshness = strtol(word + 8, NULL, 10);
        } else {
            overrides->negative[overrides->negative_count].status = (int)strtol(word, NULL, 10);
            overrides->negative[overrides->negative_count++].seconds =
                strtol(strchr(word, '=') + 1, NULL, 10);
        }
    }
}

START_TEST(freshness_is_ruled)
{
    struct http_overrides overrides = with();
    struct http_freshness said = {freshness[_i].kind, freshness[_i].lifetime}, got;
    bool negative;

    read_rules(&overrides, freshness[_i].rules);
    got = http_overrides_freshness(&overrides, &said, freshness[_i].status, &negative);
    ck_assert_int_eq(got.kind, freshness[_i].wanted_kind);
    ck_assert_int_eq(got.lifetime, freshness[_i].wanted);
    ck_assert_int_eq(negative, freshness[_i].negative);
    got = http_overrides_freshness(NULL, &said, freshness[_i].status, &negative);
    ck_assert_int_eq(got.lifetime, said.lifetime);
}
END_TEST

/* A rule gives what is not said, and overrules nothing that is. */
static const struct {
    const char *rules;
    int status;
    const char *request, *response;
    bool store;
    int64_t lifetime;
} storings[] = {
    {"", 503, "", "", false, 0},
    {"503=5", 503, "", "", true, 5},
    {"503=0", 503, "", "", false, 0},
    {"503=5", 503, "", "Cache-Control: max-age=9\n", true, 9},
    {"503=5", 503, "", "Cache-Control: max-age=0\n", false, 0},
    {"503=5", 503, "", "Cache-Control: no-store\n", false, 0},
    {"503=5", 503, "", "Cache-Control: private\n", false, 0},
    {"503=5", 503, "", "Cache-Control: no-cache\n", false, 0},
    {"503=5", 503, "", "Vary: *\n", false, 0},
    {"503=5", 503, "", "Set-Cookie: a=b\n", false, 0},
    {"503=5", 503, "Authorization: x\n", "", false, 0},
    {"503=5", 503, "Cache-Control: no-store\n", "", false, 0},
    {"503=5", 429, "", "", false, 0},
    {"404=5", 404, "", "", true, 5},
    {"default=5", 200, "", "", true, 5},
    {"default=5", 200, "", "Set-Cookie: a=b\n", false, 0},
    {"default=5", 302, "", "", false, 0},
    {"", 200, "", "Last-Modified: Sun, 01 Jan 2023 00:00:00 GMT\n", true, 86400},
    {"max=60", 200, "", "Last-Modified: Sun, 01 Jan 2023 00:00:00 GMT\n", true, 60},
    {"off", 200, "", "Last-Modified: Sun, 01 Jan 2023 00:00:00 GMT\n", true, 0}, /* to be validated */
};

START_TEST(storing_is_ruled)
{
    struct http_overrides overrides = with();
    struct http_rules rules = {.overrides = &overrides};
    struct http_fields asked = fields_of(storings[_i].request), answered = fields_of(storings[_i].response);
    struct http_request request = {HTTP_SPAN("GET"), HTTP_SPAN("/"), &asked};
    struct http_response response = {storings[_i].status, &answered};
    struct http_storing storing;

    read_rules(&overrides, storings[_i].rules);
    storing = http_storing(&rules, &request, &response, 1800000000, 1800000000);
    ck_assert_msg(storing.store == storings[_i].store, "%s", storing.reason);
    if (storing.store)
        ck_assert_int_eq(storing.lifetime, storings[_i].lifetime);
}
END_TEST

/* ---- requests ---- */

static const struct {
    const char *cookies, *fields, *lines, *reason;
} requests[] = {
    {NULL, NULL, "Cookie: a=1\r\n", NULL},
    {"session, wp_*", NULL, "Accept: session\r\n", NULL},
    {"session, wp_*", NULL, "Cookie: a=session; session2=1\r\n", NULL},
    {"session, wp_*", NULL, "Cookie: session=1\r\n", "bypass-cookie"},
    {"session, wp_*", NULL, "cookie: a=1;session=\r\n", "bypass-cookie"},
    {"session, wp_*", NULL, "Cookie: a=1\r\nCookie: b=1; wp_x=2\r\n", "bypass-cookie"},
    {"session, wp_*", NULL, "Cookie: Session=1\r\n", NULL},
    {"session, wp_*", NULL, "Cookie: session\r\n", "bypass-cookie"},
    {"session, wp_*", NULL, "Cookie: ;;\r\nX: wp_\r\n", NULL},
    {NULL, "X-Preview, X-Debug-*", "x-preview: 0\r\n", "bypass-header"},
    {NULL, "X-Preview, X-Debug-*", "X-Debug-1:\r\n", "bypass-header"},
    {NULL, "X-Preview, X-Debug-*", "X-Prev: 1\r\nX-Debug: 1\r\n", NULL},
    {"s", "X", "Cookie: t=1\r\nX: 1\r\n", "bypass-header"},
};

START_TEST(request_is_passed_by)
{
    struct http_overrides overrides = with();
    struct http_fields fields;
    const char *reason;

    if (requests[_i].cookies)
        ck_assert(http_names_add(&overrides.bypass_cookies, span(requests[_i].cookies)));
    if (requests[_i].fields)
        ck_assert(http_names_add(&overrides.bypass_fields, span(requests[_i].fields)));
    ck_assert(http_fields_parse(&fields, span(requests[_i].lines)));
    reason = http_overrides_bypass(&overrides, &fields);
    ck_assert_msg((!reason && !requests[_i].reason) ||
                      (reason && requests[_i].reason && strcmp(reason, requests[_i].reason) == 0),
                  "%s: %s", requests[_i].lines, reason ? reason : "-");
    ck_assert_ptr_null(http_overrides_bypass(NULL, &fields));
}
END_TEST

/* ---- methods ---- */

static const struct {
    const char *refused, *allowed, *method;
    bool is_refused;
    const char *allow;
} methods[] = {
    {NULL, NULL, "FROB", false, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"},
    {"TRACE, PUT", NULL, "TRACE", true, "GET, HEAD, POST, PATCH, DELETE, OPTIONS"},
    {"TRACE, PUT", NULL, "put", false, "GET, HEAD, POST, PATCH, DELETE, OPTIONS"},
    {"*", NULL, "POST", true, "GET, HEAD"},
    {"*", NULL, "GET", false, "GET, HEAD"},
    {NULL, "POST", "POST", false, "GET, HEAD, POST"},
    {NULL, "POST", "PUT", true, "GET, HEAD, POST"},
    {NULL, "POST", "HEAD", false, "GET, HEAD, POST"},
    {NULL, "GET, POST, M-*", "M-SEARCH", false, "GET, HEAD, POST"},
    {"PUT", "POST, PUT", "PUT", true, "GET, HEAD, POST"},
};

START_TEST(method_is_refused)
{
    struct http_overrides overrides = with();
    char line[128];
    struct http_text text = http_text_into(line, sizeof line);

    if (methods[_i].refused)
        ck_assert(http_names_add(&overrides.refused_methods, span(methods[_i].refused)));
    if (methods[_i].allowed)
        ck_assert(http_names_add(&overrides.allowed_methods, span(methods[_i].allowed)));
    ck_assert_int_eq(http_overrides_refuse(&overrides, span(methods[_i].method)), methods[_i].is_refused);
    http_overrides_allow(&overrides, &text);
    ck_assert(http_span_equal((struct http_span){text.at, (uint32_t)text.length}, span(methods[_i].allow)));
}
END_TEST

START_TEST(lists_are_bounded)
{
    struct http_names names = {0};

    for (int i = 0; i < HTTP_OVERRIDES_LIST / 2; i++)
        ck_assert(http_names_add(&names, HTTP_SPAN("a,b*")));
    ck_assert(!http_names_add(&names, HTTP_SPAN("c")));
    names.count = 0;
    ck_assert(!http_names_add(&names, HTTP_SPAN("")));
    ck_assert(!http_names_add(&names, HTTP_SPAN(" , ")));
    ck_assert(!http_names_add(&names, HTTP_SPAN("a b")));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, key_is_made, keys);
    tcase_add_test(tcase, many_parameters_keep_their_order);
    ADD_ROWS(tcase, freshness_is_ruled, freshness);
    ADD_ROWS(tcase, storing_is_ruled, storings);
    ADD_ROWS(tcase, request_is_passed_by, requests);
    ADD_ROWS(tcase, method_is_refused, methods);
    tcase_add_test(tcase, lists_are_bounded);
}

int main(void)
{
    return run_suite("http_overrides", add_cases);
}
