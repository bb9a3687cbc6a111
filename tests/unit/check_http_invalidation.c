#include "http_invalidation.h"

#include "check_policy.h"

/* Section 4.4. A request for /a/b of http://origin:80, by clients at http://shop. */
static const struct {
    const char *name, *method;
    int status;
    const char *fields;
    const char *invalid; /* "target" and what else */
} rows[] = {
    {"post", "POST", 200, "", "target "},
    {"put-created", "PUT", 201, "", "target "},
    {"delete-no-content", "DELETE", 204, "", "target "},
    {"unknown-method", "FROB", 200, "", "target "},
    {"redirect", "POST", 303, "Location: /c\n", "target /c "},
    {"not-modified", "PUT", 304, "", "target "},
    /* errors invalidate nothing */
    {"client-error", "POST", 400, "Location: /c\n", ""},
    {"server-error", "PUT", 500, "Content-Location: /c\n", ""},
    {"interim", "PUT", 103, "Location: /c\n", ""},
    {"beyond", "PUT", 600, "Location: /c\n", ""},
    /* safe methods neither */
    {"get", "GET", 200, "Content-Location: /c\n", ""},
    {"head", "HEAD", 200, "Location: /c\n", ""},
    {"options", "OPTIONS", 200, "Location: /c\n", ""},
    {"trace", "TRACE", 200, "", ""},
    /* Location and Content-Location, of the same origin only */
    {"location", "POST", 201, "Location: /c?x=1#y\n", "target /c?x=1 "},
    {"content-location", "POST", 200, "Content-Location: d\n", "target /a/d "},
    {"both", "POST", 201, "Location: /c\nContent-Location: /d\n", "target /c /d "},
    {"both-same", "POST", 201, "Location: /c\nContent-Location: http://origin/c\n", "target /c "},
    {"location-is-target", "PUT", 201, "Location: b\nContent-Location: /a/b\n", "target "},
    {"location-client-name", "POST", 201, "Location: http://shop/c\n", "target /c "},
    {"location-other-origin", "POST", 201, "Location: http://elsewhere/c\n", "target "},
    {"location-other-port", "POST", 201, "Location: http://origin:81/c\n", "target "},
    {"location-other-scheme", "POST", 201, "Location: https://origin/c\n", "target "},
    {"location-no-uri", "POST", 201, "Location: /c d\n", "target "},
    {"location-empty", "POST", 201, "Location:\n", "target "},
    {"location-repeated", "POST", 201, "Location: /c\nLocation: /d\n", "target /c "},
};

static void describe(struct http_text *out, const struct http_invalidation *found)
{
    http_text_add(out, span(found->target ? "target " : ""));
    for (uint32_t i = 0; i < found->count; i++) {
        http_text_add(out, found->others[i]);
        http_text_add(out, span(" "));
    }
}

static struct http_invalidation invalidation_of(const char *method, int status,
                                                const struct http_fields *fields, char *buffer, size_t size)
{
    static const struct http_fields none = {.count = 0};
    struct http_place place = {span("http://origin:80"), span("/a/b"), span("http"), span("shop")};
    struct http_request request = {span(method), span("/a/b"), &none};
    struct http_response response = {status, fields};

    return http_invalidation(http_request_verdict(&request, NULL), &place, &response, buffer, size);
}

START_TEST(invalidation_is_decided)
{
    struct http_fields fields = fields_of(rows[_i].fields);
    char buffer[256], described[128];
    struct http_text got = http_text_into(described, sizeof described);
    struct http_invalidation found =
        invalidation_of(rows[_i].method, rows[_i].status, &fields, buffer, sizeof buffer);

    describe(&got, &found);
    ROW_TEXT(&rows[_i], text_end(&got), rows[_i].invalid);
}
END_TEST

START_TEST(small_buffers_leave_out_others)
{
    struct http_fields fields = fields_of("Location: /cc\nContent-Location: /d\n");

    for (size_t size = 0; size <= 5; size++) {
        char *buffer = malloc(size + !size);
        struct http_invalidation found = invalidation_of("POST", 201, &fields, buffer, size);

        ck_assert(found.target);
        ck_assert_uint_eq(found.count, size < 2 ? 0 : size < 5 ? 1 : 2);
        free(buffer);
    }
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(rows);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, invalidation_is_decided, rows);
    tcase_add_test(tcase, small_buffers_leave_out_others);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_invalidation", add_cases);
}
