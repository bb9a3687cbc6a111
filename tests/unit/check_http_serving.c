#include "http_serving.h"

#include "check_policy.h"

#define FRESH    HTTP_SERVING_FRESH
#define STALE    HTTP_SERVING_STALE
#define REFRESH  HTTP_SERVING_REFRESH
#define VALIDATE HTTP_SERVING_VALIDATE

/* Flags of what is stored: v must_validate, s strict, i immutable. */
struct stored {
    int64_t age, lifetime;
    const char *flags;
    int64_t stale_while_revalidate, stale_if_error; /* 0 stands for none, -1 for 0 */
};

static int64_t window(int64_t seconds)
{
    return seconds == 0 ? -1 : seconds < 0 ? 0 : seconds;
}

static struct http_stored stored_of(const struct stored *from)
{
    return (struct http_stored){.age = from->age,
                                .lifetime = from->lifetime,
                                .stale_while_revalidate = window(from->stale_while_revalidate),
                                .stale_if_error = window(from->stale_if_error),
                                .must_validate = strchr(from->flags, 'v') != NULL,
                                .strict = strchr(from->flags, 's') != NULL,
                                .immutable = strchr(from->flags, 'i') != NULL};
}

static const struct {
    const char *name, *request;
    struct stored stored;
    enum http_serving serving;
} servings[] = {
    /* section 4.2: lifetime > age */
    {"fresh", "", {0, 60, "", 0, 0}, FRESH},
    {"fresh-last-second", "", {59, 60, "s", 0, 0}, FRESH},
    {"stale-first-second", "", {60, 60, "", 0, 0}, VALIDATE},
    {"stale-no-lifetime", "", {0, 0, "", 0, 0}, VALIDATE},
    {"stale-saturated", "", {MAX, MAX, "", 0, 0}, VALIDATE},
    /* section 5.2.2.4 */
    {"response-no-cache", "", {0, 60, "vs", 0, 0}, VALIDATE},
    {"response-no-cache-immutable", "", {0, 60, "vsi", 0, 0}, VALIDATE},
    /* section 5.2.1.1 */
    {"max-age", CC "max-age=10\n", {10, 60, "", 0, 0}, FRESH},
    {"max-age-exceeded", CC "max-age=10\n", {11, 60, "", 0, 0}, VALIDATE},
    {"max-age-zero", CC "max-age=0\n", {1, 60, "", 0, 0}, VALIDATE},
    {"max-age-zero-age-zero", CC "max-age=0\n", {0, 60, "", 0, 0}, VALIDATE},
    {"max-age-stale", CC "max-age=100\n", {60, 60, "", 0, 0}, VALIDATE},
    {"max-age-invalid", CC "max-age=x\n", {11, 60, "", 0, 0}, FRESH},
    /* section 5.2.1.3 */
    {"min-fresh", CC "min-fresh=20\n", {40, 60, "", 0, 0}, FRESH},
    {"min-fresh-missed", CC "min-fresh=20\n", {41, 60, "", 0, 0}, VALIDATE},
    {"min-fresh-max-stale", CC "min-fresh=20, max-stale\n", {41, 60, "", 0, 0}, VALIDATE},
    {"min-fresh-saturated", CC "min-fresh=99999999999\n", {0, MAX, "", 0, 0}, FRESH},
    {"min-fresh-saturated-missed", CC "min-fresh=99999999999\n", {1, MAX, "", 0, 0}, VALIDATE},
    {"min-fresh-immutable", CC "min-fresh=20\n", {41, 60, "i", 0, 0}, VALIDATE},
    /* section 5.2.1.2, and what forbids it (sections 4.2.4, 5.2.2.2, 5.2.2.8, 5.2.2.10) */
    {"max-stale-any", CC "max-stale\n", {MAX, 0, "", 0, 0}, STALE},
    {"max-stale-any-strict", CC "max-stale\n", {60, 60, "s", 0, 0}, VALIDATE},
    {"max-stale", CC "max-stale=10\n", {70, 60, "", 0, 0}, STALE},
    {"max-stale-exceeded", CC "max-stale=10\n", {71, 60, "", 0, 0}, VALIDATE},
    {"max-stale-strict", CC "max-stale=10\n", {70, 60, "s", 0, 0}, VALIDATE},
    {"max-stale-zero", CC "max-stale=0\n", {60, 60, "", 0, 0}, STALE},
    {"max-stale-invalid", CC "max-stale=x\n", {60, 60, "", 0, 0}, VALIDATE},
    {"max-stale-fresh", CC "max-stale\n", {10, 60, "", 0, 0}, FRESH},
    /* together: each binds */
    {"max-age-max-stale", CC "max-age=65, max-stale=10\n", {65, 60, "", 0, 0}, STALE},
    {"max-age-max-stale-exceeded", CC "max-age=65, max-stale=10\n", {66, 60, "", 0, 0}, VALIDATE},
    /* sections 5.2.1.4 and 5.4 */
    {"no-cache", CC "no-cache\n", {0, 60, "", 0, 0}, VALIDATE},
    {"no-cache-max-stale", CC "no-cache, max-stale\n", {70, 60, "", 0, 0}, VALIDATE},
    {"no-cache-qualified", CC "no-cache=\"x\"\n", {0, 60, "", 0, 0}, VALIDATE},
    {"pragma", "Pragma: no-cache\n", {0, 60, "", 0, 0}, VALIDATE},
    /* RFC 8246 section 2.1: while fresh, and unless the client forces it */
    {"immutable-reload", CC "max-age=0\n", {10, 60, "i", 0, 0}, FRESH},
    {"immutable-max-age", CC "max-age=5\n", {10, 60, "i", 0, 0}, FRESH},
    {"immutable-stale", CC "max-age=0\n", {60, 60, "i", 0, 0}, VALIDATE},
    {"immutable-stale-max-stale", CC "max-age=5, max-stale\n", {65, 60, "i", 0, 0}, VALIDATE},
    {"immutable-no-cache", CC "no-cache\n", {10, 60, "i", 0, 0}, VALIDATE},
    {"immutable-pragma", "Pragma: no-cache\n", {10, 60, "i", 0, 0}, VALIDATE},
    {"immutable-in-request", CC "max-age=0, immutable\n", {10, 60, "", 0, 0}, VALIDATE},
    /* RFC 5861 section 3 */
    {"while-revalidate", "", {60, 60, "", 10, 0}, REFRESH},
    {"while-revalidate-end", "", {70, 60, "", 10, 0}, REFRESH},
    {"while-revalidate-over", "", {71, 60, "", 10, 0}, VALIDATE},
    {"while-revalidate-zero", "", {60, 60, "", -1, 0}, REFRESH},
    {"while-revalidate-zero-over", "", {61, 60, "", -1, 0}, VALIDATE},
    {"while-revalidate-fresh", "", {59, 60, "", 10, 0}, FRESH},
    {"while-revalidate-strict", "", {65, 60, "s", 10, 0}, VALIDATE},
    {"while-revalidate-no-cache", CC "no-cache\n", {65, 60, "", 10, 0}, VALIDATE},
    {"while-revalidate-min-fresh", CC "min-fresh=0\n", {65, 60, "", 10, 0}, VALIDATE},
    {"while-revalidate-max-age", CC "max-age=100\n", {65, 60, "", 10, 0}, VALIDATE},
    {"while-revalidate-max-stale", CC "max-stale=20\n", {65, 60, "", 10, 0}, STALE},
    {"while-revalidate-in-request", CC "stale-while-revalidate=50\n", {65, 60, "", 0, 0}, VALIDATE},
};

START_TEST(serving_is_decided)
{
    struct http_fields fields = fields_of(servings[_i].request);
    struct http_stored stored = stored_of(&servings[_i].stored);
    struct http_cache_control cc;

    http_request_control_parse(&cc, &fields);
    ROW_EQ(&servings[_i], http_serving(&cc, &stored), servings[_i].serving);
}
END_TEST

static const struct {
    const char *name, *request;
    struct stored stored;
    bool disconnected, status; /* may be served then */
} troubles[] = {
    /* section 4.2.4: disconnected, whatever its age; an answer of the origin is passed on */
    {"trouble", "", {1000, 60, "", 0, 0}, true, false},
    {"trouble-fresh", CC "min-fresh=99\n", {0, 60, "", 0, 0}, true, false},
    {"trouble-strict", "", {61, 60, "s", 0, 0}, false, false},
    {"trouble-no-cache-response", "", {61, 60, "vs", 0, 0}, false, false},
    {"trouble-request-no-cache", CC "no-cache\n", {61, 60, "", 0, 0}, false, false},
    {"trouble-request-pragma", "Pragma: no-cache\n", {61, 60, "", 0, 0}, false, false},
    {"trouble-request-reload", CC "max-age=0\n", {61, 60, "", 0, 0}, false, false},
    {"trouble-request-max-age", CC "max-age=5\n", {61, 60, "", 0, 0}, true, false},
    /* RFC 5861 section 4: the response's, up to and with its limit */
    {"if-error", "", {70, 60, "", 0, 10}, true, true},
    {"if-error-over", "", {71, 60, "", 0, 10}, false, false},
    {"if-error-zero", "", {61, 60, "", 0, -1}, false, false},
    {"if-error-strict", "", {61, 60, "s", 0, 10}, false, false},
    {"if-error-reload", CC "max-age=0\n", {61, 60, "", 0, 10}, false, false},
    {"if-error-fresh", "", {0, 60, "", 0, 10}, true, true},
    /* and the request's, which says more about itself */
    {"if-error-request", CC "stale-if-error=10\n", {70, 60, "", 0, 0}, true, true},
    {"if-error-request-over", CC "stale-if-error=10\n", {71, 60, "", 0, 0}, false, false},
    {"if-error-request-smaller", CC "stale-if-error=5\n", {70, 60, "", 0, 10}, false, false},
    {"if-error-request-larger", CC "stale-if-error=20\n", {75, 60, "", 0, 10}, true, true},
    {"if-error-request-strict", CC "stale-if-error=10\n", {61, 60, "s", 0, 0}, false, false},
    {"if-error-request-no-cache", CC "no-cache, stale-if-error=10\n", {61, 60, "", 0, 0}, true, true},
    {"if-error-request-reload", CC "max-age=0, stale-if-error=10\n", {61, 60, "", 0, 0}, true, true},
};

START_TEST(trouble_is_decided)
{
    struct http_fields fields = fields_of(troubles[_i].request);
    struct http_stored stored = stored_of(&troubles[_i].stored);
    struct http_cache_control cc;

    http_request_control_parse(&cc, &fields);
    ROW_EQ(&troubles[_i], http_may_serve_in_trouble(&cc, &stored, HTTP_TROUBLE_DISCONNECTED),
           troubles[_i].disconnected);
    ROW_EQ(&troubles[_i], http_may_serve_in_trouble(&cc, &stored, HTTP_TROUBLE_STATUS), troubles[_i].status);
}
END_TEST

/* RFC 5861 section 4 */
START_TEST(statuses_are_trouble)
{
    for (int status = 0; status < 700; status++) {
        bool is = status == 500 || status == 502 || status == 503 || status == 504;

        ck_assert_msg(http_status_is_trouble(status) == is, "%d", status);
    }
}
END_TEST

START_TEST(names_are_unique)
{
    CHECK_NAMES(servings);
    CHECK_NAMES(troubles);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, serving_is_decided, servings);
    ADD_ROWS(tcase, trouble_is_decided, troubles);
    tcase_add_test(tcase, statuses_are_trouble);
    tcase_add_test(tcase, names_are_unique);
}

int main(void)
{
    return run_suite("http_serving", add_cases);
}
