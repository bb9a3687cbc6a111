/* getfile_request: what is a request, byte by byte, and how its path becomes a request target. */
#include "getfile_request.h"

#include "check_unit.h"

#include <string.h>

static const struct {
    const char *bytes;
    enum getfile_result result;
    const char *target;
} rows[] = {
    {"GETFILE GET /a\r\n\r\n", GETFILE_REQUEST, "/a"},
    {"GETFILE GET /\r\n\r\n", GETFILE_REQUEST, "/"},
    {"GETFILE GET /a \r\n\r\n", GETFILE_REQUEST, "/a"},
    {"GETFILE GET /a  \r\n\r\n", GETFILE_REQUEST, "/a%20"},
    {"GETFILE GET /a b\r\n\r\n", GETFILE_REQUEST, "/a%20b"},
    {"GETFILE GET /a%2Fb%20c\r\n\r\n", GETFILE_REQUEST, "/a%2Fb%20c"},
    {"GETFILE GET /a?size=1&x=%\r\n\r\n", GETFILE_REQUEST, "/a?size=1&x=%"},
    {"GETFILE GET /\"<>\\^`{|}#[]\r\n\r\n", GETFILE_REQUEST, "/%22%3C%3E%5C%5E%60%7B%7C%7D%23%5B%5D"},
    {"GETFILE GET /\xc3\xa4\x01\x7f\t\r\n\r\n", GETFILE_REQUEST, "/%C3%A4%01%7F%09"},
    {"GETFILE GET /a\r\n\r\nmore", GETFILE_REQUEST, "/a"},
    {"", GETFILE_MORE, NULL},
    {"G", GETFILE_MORE, NULL},
    {"GETFILE GET ", GETFILE_MORE, NULL},
    {"GETFILE GET /a", GETFILE_MORE, NULL},
    {"GETFILE GET /a\r", GETFILE_MORE, NULL},
    {"GETFILE GET /a\r\n", GETFILE_MORE, NULL},
    {"GETFILE GET /a\r\n\r", GETFILE_MORE, NULL},
    {"g", GETFILE_INVALID, NULL},
    {"GETFILE PUT /a\r\n\r\n", GETFILE_INVALID, NULL},
    {"GETFILE GET a\r\n\r\n", GETFILE_INVALID, NULL},
    {"GETFILE GET  /a\r\n\r\n", GETFILE_INVALID, NULL},
    {"GETFILE GET \r\n\r\n", GETFILE_INVALID, NULL},
    {"GETFILE GET\r\n\r\n", GETFILE_INVALID, NULL},
    {"GETFILE GET /a\n\n", GETFILE_INVALID, NULL},
    {"GETFILE GET /a\r\r\n\n", GETFILE_INVALID, NULL},
    {"GETFILE GET /a\r\nHost: x\r\n\r\n", GETFILE_INVALID, NULL},
    {"GETFILE GET /a\rb\r\n\r\n", GETFILE_INVALID, NULL},
    {"GET / HTTP/1.1\r\n\r\n", GETFILE_INVALID, NULL},
};

START_TEST(request_is_parsed)
{
    char target[GETFILE_MAX_TARGET];
    uint32_t length = 0;

    ck_assert_int_eq(getfile_request_parse(rows[_i].bytes, (uint32_t)strlen(rows[_i].bytes), target, &length),
                     rows[_i].result);
    if (rows[_i].target) {
        ck_assert_uint_eq(length, strlen(rows[_i].target));
        ck_assert_mem_eq(target, rows[_i].target, length);
    }
}
END_TEST

/* A request of exactly the limit is one; a byte more is not, however much of it has arrived. */
static void make_request(char *bytes, uint32_t size)
{
    memset(bytes, 'a', size);
    memcpy(bytes, "GETFILE GET /", 13);
    memcpy(bytes + size - 4, "\r\n\r\n", 4);
}

START_TEST(length_is_limited)
{
    static char bytes[GETFILE_MAX_REQUEST + 1], target[GETFILE_MAX_TARGET];
    uint32_t length;

    make_request(bytes, GETFILE_MAX_REQUEST);
    ck_assert_int_eq(getfile_request_parse(bytes, GETFILE_MAX_REQUEST, target, &length), GETFILE_REQUEST);
    ck_assert_uint_eq(length, GETFILE_MAX_REQUEST - 16);
    for (uint32_t size = 0; size < GETFILE_MAX_REQUEST; size++)
        ck_assert_int_eq(getfile_request_parse(bytes, size, target, &length), GETFILE_MORE);
    make_request(bytes, GETFILE_MAX_REQUEST + 1);
    for (uint32_t size = GETFILE_MAX_REQUEST; size <= GETFILE_MAX_REQUEST + 1; size++)
        ck_assert_int_eq(getfile_request_parse(bytes, size, target, &length), GETFILE_INVALID);
}
END_TEST

/* The target has room for the worst case. */
START_TEST(encoding_fits)
{
    static char bytes[GETFILE_MAX_REQUEST], target[GETFILE_MAX_TARGET];
    uint32_t length;

    make_request(bytes, sizeof bytes);
    memset(bytes + 13, 0xff, sizeof bytes - 17);
    ck_assert_int_eq(getfile_request_parse(bytes, sizeof bytes, target, &length), GETFILE_REQUEST);
    ck_assert_uint_eq(length, 1 + 3 * (sizeof bytes - 17));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, request_is_parsed, rows);
    tcase_add_test(tcase, length_is_limited);
    tcase_add_test(tcase, encoding_fits);
}

int main(void)
{
    return run_suite("getfile_request", add_cases);
}
