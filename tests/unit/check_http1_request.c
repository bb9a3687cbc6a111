/* http1_request: heads whole and in pieces, what is refused and with which status, bodies of both framings.
 */
#include "http1_request.h"

#include "check_unit.h"

#include <stdio.h>
#include <string.h>

static struct http_fields fields;
static struct http1_request request;

static enum http1_head parse(const char *bytes, uint32_t *end)
{
    http1_request_begin(&request, &fields);
    return http1_request_head(&request, bytes, (uint32_t)strlen(bytes), end);
}

static bool is(struct http_span span, const char *text)
{
    return span.length == strlen(text) && (span.length == 0 || memcmp(span.at, text, span.length) == 0);
}

static const struct {
    const char *bytes, *method, *target, *host;
    bool keep_alive, has_body, chunked, expects_continue;
    uint64_t length;
} accepted[] = {
    {"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "h", true, false, false, false, 0},
    {"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "h", true, false, false, false, 0},
    {"HEAD /a?b=c HTTP/1.1\r\nhOST:\t h:1 \r\n\r\n", "HEAD", "/a?b=c", "h:1", true, false, false, false, 0},
    {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", "GET", "/", "h", false, false, false, false,
     0},
    {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", false, false, false, false, 0},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", true, false, false, false, 0},
    /* RFC 9112 section 3.2.2 */
    {"GET http://o/p?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/p?q", "h", true, false, false, false, 0},
    {"GET HTTPS://o/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "h", true, false, false, false, 0},
    {"GET http://o HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "h", true, false, false, false, 0},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", "h", true, false, false, false, 0},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST", "/", "h", true, true, false, false,
     3},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "POST", "/", "h", true, false, false, false,
     0},
    {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST", "/", "h", true, true, true,
     false, 0},
    {"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n", "PUT", "/", "h", true,
     true, false, true, 3},
    /* nothing to continue with, and RFC 9110 section 10.1.1: ignored in HTTP/1.0 */
    {"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", "GET", "/", "h", true, false, false, false,
     0},
    {"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "PUT", "/", "", false, true,
     false, false, 3},
    {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "GET", "/", "h", true, false,
     false, false, 0},
};

static void expect_accepted(int row)
{
    ck_assert_msg(is(request.method, accepted[row].method), "method");
    ck_assert_msg(is(request.target, accepted[row].target), "target");
    ck_assert_msg(is(request.host, accepted[row].host), "host");
    ck_assert_int_eq(request.keep_alive, accepted[row].keep_alive);
    ck_assert_int_eq(request.has_body, accepted[row].has_body);
    ck_assert_int_eq(request.chunked, accepted[row].chunked);
    ck_assert_int_eq(request.expects_continue, accepted[row].expects_continue);
    ck_assert_uint_eq(request.length, accepted[row].length);
}

static const char *end_of_head(const char *bytes)
{
    return strstr(bytes + 2, "\r\n\r\n") + 4;
}

START_TEST(head_is_accepted)
{
    uint32_t end = 0;

    ck_assert_int_eq(parse(accepted[_i].bytes, &end), HTTP1_COMPLETE);
    expect_accepted(_i);
    ck_assert_uint_eq(end, end_of_head(accepted[_i].bytes) - accepted[_i].bytes);
}
END_TEST

/* Byte by byte, in a buffer that moves each time. */
START_TEST(head_arrives_in_pieces)
{
    const char *bytes = accepted[_i].bytes;
    uint32_t size = (uint32_t)(end_of_head(bytes) - bytes);
    enum http1_head result = HTTP1_MORE;
    char *buffer = NULL;
    uint32_t end = 0;

    http1_request_begin(&request, &fields);
    for (uint32_t have = 1; have <= size; have++) {
        char *moved = malloc(have);

        ck_assert_int_eq(result, HTTP1_MORE);
        memcpy(moved, bytes, have);
        if (buffer)
            http1_request_moved(&request, buffer, moved);
        free(buffer);
        buffer = moved;
        result = http1_request_head(&request, buffer, have, &end);
    }
    ck_assert_int_eq(result, HTTP1_COMPLETE);
    ck_assert_uint_eq(end, size);
    expect_accepted(_i);
    free(buffer);
}
END_TEST

static const struct {
    const char *bytes;
    int status;
} refusals[] = {
    {"GARBAGE\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400}, /* RFC 9112 section 3.2 */
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400}, /* section 5.1 */
    {"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400}, /* section 5.2 */
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400},
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
    {"GET /\r\n\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     400}, /* section 6.1 */
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400}, /* section 6.3 */
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: the unexpected\r\n\r\n", 417},
};

START_TEST(head_is_refused)
{
    uint32_t end;

    ck_assert_int_eq(parse(refusals[_i].bytes, &end), HTTP1_REFUSED);
    ck_assert_int_eq(request.refusal, refusals[_i].status);
    ck_assert_ptr_nonnull(request.problem);
}
END_TEST

static int status_of(const char *bytes)
{
    uint32_t end;

    switch (parse(bytes, &end)) {
    case HTTP1_COMPLETE:
        return 200;
    case HTTP1_REFUSED:
        return request.refusal;
    default:
        return 0;
    }
}

static char *text_with(const char *before, uint32_t count, const char *after)
{
    static char bytes[2 * HTTP1_MAX_HEAD];
    size_t start = strlen(before);

    memcpy(bytes, before, start);
    memset(bytes + start, 'a', count);
    memcpy(bytes + start + count, after, strlen(after) + 1);
    return bytes;
}

START_TEST(target_is_limited)
{
    const char *rest = " HTTP/1.1\r\nHost: h\r\n\r\n";

    ck_assert_int_eq(status_of(text_with("GET /", HTTP1_MAX_TARGET - 1, rest)), 200);
    ck_assert_uint_eq(request.target.length, HTTP1_MAX_TARGET);
    ck_assert_int_eq(status_of(text_with("GET /", HTTP1_MAX_TARGET, rest)), 414);
    ck_assert_int_eq(status_of(text_with("GET /", HTTP1_MAX_TARGET, "")),
                     414); /* without waiting for its end */
}
END_TEST

START_TEST(fields_are_limited)
{
    const char *before = "GET / HTTP/1.1\r\nHost: h\r\nX: ";

    ck_assert_int_eq(status_of(text_with(before, HTTP1_MAX_FIELDS - 64, "\r\n\r\n")), 200);
    ck_assert_int_eq(status_of(text_with(before, HTTP1_MAX_FIELDS, "\r\n\r\n")), 431);
    ck_assert_int_eq(status_of(text_with(before, HTTP1_MAX_FIELDS, "")), 431);
}
END_TEST

START_TEST(field_count_is_limited)
{
    char bytes[HTTP_MAX_FIELDS * 8 + 64];
    size_t length = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\nHost: h\r\n");

    for (int i = 1; i < HTTP1_MAX_FIELD_COUNT; i++)
        length += (size_t)sprintf(bytes + length, "a: b\r\n");
    memcpy(bytes + length, "\r\n", 3);
    ck_assert_int_eq(status_of(bytes), 200);
    memcpy(bytes + length, "a: b\r\n\r\n", 9);
    ck_assert_int_eq(status_of(bytes), 431);
}
END_TEST

/* A head that is accepted fits into a buffer of HTTP1_MAX_HEAD bytes. */
_Static_assert(HTTP1_MAX_HEAD >= HTTP1_MAX_TARGET + HTTP1_MAX_FIELDS + 64,
               "target, fields, and the rest of the line");

#define POST_LENGTH  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
#define POST_CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define NEXT         "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

static const struct {
    const char *head, *raw, *body;
    enum http1_body result;
    size_t used; /* when COMPLETE */
} bodies[] = {
    {POST_LENGTH, "abcde", "abcde", HTTP1_BODY_COMPLETE, 5},
    {POST_LENGTH, "abcde" NEXT, "abcde", HTTP1_BODY_COMPLETE, 5},
    {POST_LENGTH, "abcd", "abcd", HTTP1_BODY_GOES_ON, 0},
    {POST_CHUNKED, "0\r\n\r\n" NEXT, "", HTTP1_BODY_COMPLETE, 5},
    {POST_CHUNKED, "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n" NEXT, "abcde", HTTP1_BODY_COMPLETE, 24},
    {POST_CHUNKED, "0005\r\nabcde\r\n0\r\nX: y\r\nZ: q\r\n\r\n" NEXT, "abcde", HTTP1_BODY_COMPLETE, 30},
    {POST_CHUNKED, "5\r\nabc", "abc", HTTP1_BODY_GOES_ON, 0},
    {POST_CHUNKED, "zz\r\nabc", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "3\r\nabcd\r\n", "abc", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "fffffffffffffffff\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "-1\r\n", "", HTTP1_BODY_BAD, 0},
    /* RFC 9112 section 7.1: what ends a chunk and its size is CRLF, no other two bytes */
    {POST_CHUNKED, "5\r\nhelloXX0\r\n\r\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\rXhello\r\n0\r\n\r\n", "", HTTP1_BODY_BAD, 0},
};

/* `step` raw bytes at a time. */
static enum http1_body decode(int row, size_t step, char *out, size_t *got, size_t *used)
{
    const char *raw = bodies[row].raw;
    size_t size = strlen(raw);
    enum http1_body result = HTTP1_BODY_GOES_ON;
    uint32_t end;

    *used = *got = 0;
    ck_assert_int_eq(parse(bodies[row].head, &end), HTTP1_COMPLETE);
    while (result == HTTP1_BODY_GOES_ON && *used < size) {
        size_t piece = size - *used < step ? size - *used : step;
        size_t now_used, now_got;

        result = http1_request_body(&request, raw + *used, piece, out + *got, &now_used, &now_got);
        *used += now_used;
        *got += now_got;
    }
    return result;
}

START_TEST(body_is_decoded)
{
    char out[256];
    size_t got, used;

    for (size_t step = 1; step <= strlen(bodies[_i].raw); step++) {
        ck_assert_int_eq(decode(_i, step, out, &got, &used), bodies[_i].result);
        ck_assert_uint_eq(got, strlen(bodies[_i].body));
        ck_assert_mem_eq(out, bodies[_i].body, got);
        if (bodies[_i].result == HTTP1_BODY_COMPLETE)
            ck_assert_uint_eq(used, bodies[_i].used);
    }
}
END_TEST

START_TEST(trailers_are_limited)
{
    static char trailer[HTTP1_MAX_FIELDS + 16], out[sizeof trailer];
    uint32_t end;
    size_t used, got;

    ck_assert_int_eq(parse(POST_CHUNKED, &end), HTTP1_COMPLETE);
    memset(trailer, 'a', sizeof trailer);
    memcpy(trailer, "0\r\nX: ", 6);
    ck_assert_int_eq(http1_request_body(&request, trailer, sizeof trailer, out, &used, &got), HTTP1_BODY_BAD);
    ck_assert_int_eq(request.refusal, 431);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, head_is_accepted, accepted);
    ADD_ROWS(tcase, head_arrives_in_pieces, accepted);
    ADD_ROWS(tcase, head_is_refused, refusals);
    tcase_add_test(tcase, target_is_limited);
    tcase_add_test(tcase, fields_are_limited);
    tcase_add_test(tcase, field_count_is_limited);
    ADD_ROWS(tcase, body_is_decoded, bodies);
    tcase_add_test(tcase, trailers_are_limited);
}

int main(void)
{
    return run_suite("http1_request", add_cases);
}
