/* ctl_purge: keys as the proxies make them, out of what people write. */
#include "ctl_purge.h"

#include "check_unit.h"

static const struct row {
    const char *key, *origin, *made; /* NULL: it is refused */
} rows[] = {
    {"http://a/x", NULL, "GET http://a:80/x"},
    {"HTTP://A/X?Y", NULL, "GET http://a:80/X?Y"},
    {"https://a.b/", NULL, "GET https://a.b:443/"},
    {"http://a:8080/x", NULL, "GET http://a:8080/x"},
    {"http://[::1]/x", NULL, "GET http://[::1]:80/x"},
    {"http://[::1]:81/x", NULL, "GET http://[::1]:81/x"},
    {"/x", "http://a", "GET http://a:80/x"},
    {"/x", "http://A:81/base/", "GET http://a:81/base/x"},
    {"/a%2Fb//c", "http://a/", "GET http://a:80/a%2Fb//c"},
    {"/x", NULL, NULL},
    {"x", "http://a", NULL},
    {"http://a/x", "http://a", NULL},
    {"http://a", NULL, NULL},
    {"http://a?x", NULL, NULL},
    {"http:///x", NULL, NULL},
    {"http://u@a/x", NULL, NULL},
    {"ftp://a/x", NULL, NULL},
    {"/x", "ftp://a", NULL},
    {"http://a/x#y", NULL, NULL},
    {"http://a/x y", NULL, NULL},
    {"http://a/x\n1", NULL, NULL},
    {"", NULL, NULL},
};

START_TEST(keys)
{
    static struct ctl_purge_order order;
    char problem[CTL_PURGE_PROBLEM_BYTES] = "";

    for (int kind = 0; kind < 4; kind++) {
        struct ctl_purge purge = {.origin = rows[_i].origin, .soft = kind & 2};
        *(kind & 1 ? &purge.key : &purge.prefix) = rows[_i].key;
        bool made = ctl_purge_make(&purge, &order, problem);
        ck_assert_msg(made == (rows[_i].made != NULL), "%s: %s", rows[_i].key, problem);
        if (!made) {
            ck_assert_uint_gt(strlen(problem), 0);
            continue;
        }
        ck_assert_uint_eq(order.length, strlen(rows[_i].made));
        ck_assert_mem_eq(order.bytes, rows[_i].made, order.length);
        ck_assert_uint_eq(order.flags,
                          (kind & 1 ? 0u : WIRE_PURGE_PREFIX) | (kind & 2 ? WIRE_PURGE_SOFT : 0u));
    }
}
END_TEST

START_TEST(lengths)
{
    static struct ctl_purge_order order;
    static char path[WIRE_MAX_KEY + 2];
    char problem[CTL_PURGE_PROBLEM_BYTES];
    struct ctl_purge purge = {.origin = "http://a", .key = path};
    size_t most = WIRE_MAX_KEY - strlen("GET http://a:80");

    memset(path, '/', most);
    ck_assert(ctl_purge_make(&purge, &order, problem));
    ck_assert_uint_eq(order.length, WIRE_MAX_KEY);
    path[most] = '/';
    ck_assert(!ctl_purge_make(&purge, &order, problem));
}
END_TEST

START_TEST(tags)
{
    static struct ctl_purge_order order;
    static char longest[WIRE_MAX_TAG + 2];
    char problem[CTL_PURGE_PROBLEM_BYTES];
    struct ctl_purge purge = {.tags = {"a", "bc"}, .tag_count = 2, .soft = true};

    ck_assert(ctl_purge_make(&purge, &order, problem));
    ck_assert_uint_eq(order.flags, WIRE_PURGE_TAGS | WIRE_PURGE_SOFT);
    ck_assert_uint_eq(order.length, 5);
    ck_assert_mem_eq(order.bytes, "a\0bc\0", 5);
    memset(longest, 'x', WIRE_MAX_TAG);
    purge.tag_count = WIRE_MAX_TAGS;
    for (uint32_t i = 0; i < WIRE_MAX_TAGS; i++)
        purge.tags[i] = longest;
    ck_assert(ctl_purge_make(&purge, &order, problem));
    ck_assert_uint_eq(order.length, WIRE_TAGS_BYTES);
    longest[WIRE_MAX_TAG] = 'x';
    ck_assert(!ctl_purge_make(&purge, &order, problem));
    purge = (struct ctl_purge){.tags = {"a b"}, .tag_count = 1};
    ck_assert(!ctl_purge_make(&purge, &order, problem));
    purge.tags[0] = "";
    ck_assert(!ctl_purge_make(&purge, &order, problem));
}
END_TEST

START_TEST(exactly_one)
{
    static struct ctl_purge_order order;
    char problem[CTL_PURGE_PROBLEM_BYTES];
    struct ctl_purge all = {.all = true}, none = {.soft = true}, both = {.all = true, .key = "http://a/x"};
    struct ctl_purge tenant = {.all = true, .tenant = "a/b"};

    ck_assert(ctl_purge_make(&all, &order, problem));
    ck_assert_uint_eq(order.flags, WIRE_PURGE_PREFIX);
    ck_assert_uint_eq(order.length, 0);
    ck_assert(!ctl_purge_make(&none, &order, problem));
    ck_assert(!ctl_purge_make(&both, &order, problem));
    ck_assert(!ctl_purge_make(&tenant, &order, problem));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, keys, rows);
    tcase_add_test(tcase, lengths);
    tcase_add_test(tcase, tags);
    tcase_add_test(tcase, exactly_one);
}

int main(void)
{
    return run_suite("ctl_purge", add_cases);
}
