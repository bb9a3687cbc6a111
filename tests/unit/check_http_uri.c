#include "http_uri.h"

#include "check_policy.h"

/* The request went to /a/b/c?q of an origin without or with a base path. Sections are those of RFC 3986. */
static const struct {
    const char *name, *base_path, *reference, *target; /* NULL: of another origin, or no reference */
} rows[] = {
    {"uri-absolute-path", "", "/x/y", "/x/y"},
    {"uri-query", "", "/x?y=/../z", "/x?y=/../z"},
    {"uri-fragment", "", "/x#y?z", "/x"},
    {"uri-relative", "", "x", "/a/b/x"},
    {"uri-relative-query", "", "x?y", "/a/b/x?y"},
    {"uri-empty", "", "", "/a/b/c?q"},
    {"uri-fragment-only", "", "#x", "/a/b/c?q"},
    {"uri-query-only", "", "?x", "/a/b/c?x"},
    {"uri-query-empty", "", "?", "/a/b/c?"},
    /* section 5.4, with the base above */
    {"uri-dot", "", ".", "/a/b/"},
    {"uri-dot-slash", "", "./x", "/a/b/x"},
    {"uri-dots", "", "..", "/a/"},
    {"uri-dots-slash", "", "../x", "/a/x"},
    {"uri-dots-twice", "", "../../x", "/x"},
    {"uri-dots-too-many", "", "../../../../x", "/x"},
    {"uri-dots-inside", "", "/x/./y/../z", "/x/z"},
    {"uri-dots-at-end", "", "/x/y/..", "/x/"},
    {"uri-dots-in-name", "", "/x/..y/.z/w..", "/x/..y/.z/w.."},
    {"uri-empty-segments", "", "/x//y/", "/x//y/"},
    {"uri-dots-behind-empty-segments", "", "/x//../y", "/x/y"},
    {"uri-colon-in-path", "", "/x:y", "/x:y"},
    {"uri-colon-in-segment", "", "./x:y", "/a/b/x:y"},
    /* by either name (RFC 9110 section 4.3.1: scheme and host have no case, ports have defaults) */
    {"uri-origin", "", "http://origin:8080/x", "/x"},
    {"uri-origin-case", "", "HTTP://ORIGIN:8080/X", "/X"},
    {"uri-origin-no-path", "", "http://origin:8080", "/"},
    {"uri-origin-no-path-query", "", "http://origin:8080?x", "/?x"},
    {"uri-origin-authority-only", "", "//origin:8080/x", "/x"},
    {"uri-client", "", "http://shop.example/x", "/x"},
    {"uri-client-port", "", "http://shop.example:80/x", "/x"},
    {"uri-client-empty-port", "", "http://shop.example:/x", "/x"},
    {"uri-client-authority-only", "", "//shop.example/x", "/x"},
    {"uri-other-host", "", "http://other/x", NULL},
    {"uri-other-port", "", "http://origin:8081/x", NULL},
    {"uri-other-default-port", "", "http://origin/x", NULL},
    {"uri-other-scheme", "", "https://origin:8080/x", NULL},
    {"uri-other-user", "", "http://u@origin:8080/x", NULL},
    {"uri-host-prefix", "", "http://shop.example.evil/x", NULL},
    {"uri-no-host", "", "http:///x", NULL},
    {"uri-no-authority", "", "http:/x", NULL},
    {"uri-other-kind", "", "mailto:a@b", NULL},
    {"uri-bad-scheme", "", "1:x", NULL},
    {"uri-space", "", "/x y", NULL},
    {"uri-non-ascii", "", "/\xc3\xa9", NULL},
    /* with a base path: the origin's view is one longer */
    {"base-inside", "/base", "/base/x", "/x"},
    {"base-itself", "/base", "/base", "/"},
    {"base-similar", "/base", "/based/x", "/based/x"},
    {"base-clients-view", "/base", "/x", "/x"},
    {"base-relative", "/base", "x", "/a/b/x"},
    {"base-relative-up", "/base", "../../x", "/x"},
    {"base-absolute", "/base", "http://origin:8080/base/x", "/x"},
    {"base-client", "/base", "http://shop.example/base/x", "/base/x"},
    {"base-empty", "/base", "", "/a/b/c?q"},
};

static struct http_place place_of(const char *base_path, char *base, size_t size)
{
    struct http_text text = http_text_into(base, size);

    http_text_add(&text, span("http://origin:8080"));
    http_text_add(&text, span(base_path));
    return (struct http_place){
        {base, (uint32_t)text.length}, span("/a/b/c?q"), span("http"), span("shop.example")};
}

START_TEST(reference_is_resolved)
{
    char base[64], out[128];
    struct http_place place = place_of(rows[_i].base_path, base, sizeof base);
    int length = http_uri_target(&place, span(rows[_i].reference), out, sizeof out);

    if (!rows[_i].target) {
        ROW_EQ(&rows[_i], length, -1);
        return;
    }
    ROW_HOLDS(&rows[_i], length >= 0 && http_span_equal((struct http_span){out, (uint32_t)length},
                                                        span(rows[_i].target)));
    ROW_EQ(&rows[_i], http_uri_is_target(&place, span(rows[_i].reference)),
           strcmp(rows[_i].target, "/a/b/c?q") == 0);
    for (int size = 0; size < length; size++) {
        char *small = malloc((size_t)size + !size);

        ROW_EQ(&rows[_i], http_uri_target(&place, span(rows[_i].reference), small, (size_t)size), -1);
        free(small);
    }
}
END_TEST

START_TEST(odd_places_are_survived)
{
    struct http_place place = {span("http://[::1]:80"), span("//x/../y"), span(""), span("")};
    char out[64];

    ck_assert_int_eq(http_uri_target(&place, span("http://[::1]/z"), out, sizeof out), 2);
    ck_assert_int_eq(http_uri_target(&place, span("http:///z"), out, sizeof out), -1);
    ck_assert_int_eq(http_uri_target(&place, span("w"), out, sizeof out), 3); /* "//w" */
    place.target = span("/a#b");
    ck_assert_int_eq(http_uri_target(&place, span("/z"), out, sizeof out), -1);
    place.target = span("*");
    ck_assert_int_eq(http_uri_target(&place, span("/z"), out, sizeof out), -1);
    place.target = (struct http_span){NULL, 0};
    ck_assert_int_eq(http_uri_target(&place, span("/z"), out, sizeof out), -1);
    place.target = span("/a");
    ck_assert_int_eq(http_uri_target(&place, (struct http_span){NULL, 0}, out, sizeof out), 2);
    ck_assert_int_eq(http_uri_target(&place, (struct http_span){"/\0", 2}, out, sizeof out), -1);
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(rows);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, reference_is_resolved, rows);
    tcase_add_test(tcase, odd_places_are_survived);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_uri", add_cases);
}
