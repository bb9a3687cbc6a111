/* origin_url and origin_head: what --origin may say, and which response heads are passed on. */
#include "check_unit.h"

#include "origin_head.h"
#include "origin_url.h"

#include <string.h>

static const struct {
    const char *text;
    const char *base, *authority, *path; /* NULL: refused */
} urls[] = {
    {"http://h", "http://h:80", "h", ""},
    {"http://h/", "http://h:80", "h", ""},
    {"HTTP://Host.Example:80/", "http://host.example:80", "host.example", ""},
    {"http://h:8080/base/", "http://h:8080/base", "h:8080", "/base"},
    {"https://h/a/B", "https://h:443/a/B", "h", "/a/B"},
    {"https://h:80", "https://h:80", "h:80", ""},
    {"http://[::1]:81/x", "http://[::1]:81/x", "[::1]:81", "/x"},
    {"http://[::1]", "http://[::1]:80", "[::1]", ""},
    {"", NULL, NULL, NULL},
    {"h:80", NULL, NULL, NULL},
    {"ftp://h/", NULL, NULL, NULL},
    {"http://", NULL, NULL, NULL},
    {"http:///x", NULL, NULL, NULL},
    {"http://u@h/", NULL, NULL, NULL},
    {"http://u:p@h/", NULL, NULL, NULL},
    {"http://h:0", NULL, NULL, NULL},
    {"http://h:65536", NULL, NULL, NULL},
    {"http://h:", NULL, NULL, NULL},
    {"http://h:8a", NULL, NULL, NULL},
    {"http://h?q", NULL, NULL, NULL},
    {"http://h/#f", NULL, NULL, NULL},
    {"http://h/a b", NULL, NULL, NULL},
    {"http://h h/", NULL, NULL, NULL},
    {"http://[::1/", NULL, NULL, NULL},
    {"http://[]:80/", NULL, NULL, NULL},
};

START_TEST(url_is_taken_apart)
{
    struct origin_url url;
    char problem[256] = "";
    int error = origin_url_parse(&url, urls[_i].text, problem, sizeof problem);

    if (!urls[_i].base) {
        ck_assert_int_ne(error, 0);
        ck_assert_str_ne(problem, "");
        ck_assert_ptr_null(strstr(problem, "u:p"));
        return;
    }
    ck_assert_int_eq(error, 0);
    ck_assert_str_eq(url.base, urls[_i].base);
    ck_assert_str_eq(url.authority, urls[_i].authority);
    ck_assert_str_eq(url.base_path, urls[_i].path);
}
END_TEST

/* Fields are counted with the Via that is added. Sections are RFC 9112's where no RFC is named. */
static const struct {
    const char *head;
    enum origin_line result;
    int status;
    uint32_t fields;
    int64_t length; /* -1: unknown */
} heads[] = {
    {"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 7\r\n\r\n", ORIGIN_LINE_HEAD, 200, 3, 7},
    {"HTTP/1.1 200 OK\nA: b\n\n", ORIGIN_LINE_HEAD, 200, 2, -1}, /* 2.2: may be read as a line end */
    {"HTTP/1.1 204\r\n\r\n", ORIGIN_LINE_HEAD, 204, 1, -1},
    {"HTTP/1.0 404 Not Found\r\n\r\n", ORIGIN_LINE_HEAD, 404, 1, -1},
    {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", ORIGIN_LINE_HEAD, 200, 3, 7},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ORIGIN_LINE_HEAD, 200, 2, -1},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", ORIGIN_LINE_HEAD, 200, 2, INT64_MAX},
    /* 2.1: one status line; libcurl goes by the first */
    {"HTTP/1.1 200 OK\r\nContent-Length: 90\r\nHTTP/1.1 304 a:b\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 100 Continue\r\nHTTP/1.1 200 a:b\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    /* Each field is looked for in Connection */
    {"HTTP/1.1 200 OK\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\nConnection: "
     "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\n\r\n",
     ORIGIN_LINE_HEAD, 200, 3, -1},
    {"HTTP/1.1 200 OK\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\nConnection: "
     "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n",
     ORIGIN_LINE_BAD, 0, 0, 0},
    /* RFC 9110 15.2: interim responses */
    {"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early\r\nL: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n",
     ORIGIN_LINE_HEAD, 200, 2, -1},
    {"HTTP/1.1 103 Early\r\nA: b\r\n c\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 101 Switching\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    /* 6.3: lengths that contradict */
    {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 7, 8\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: +7\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    /* 6.1: codings that were not asked for, or stand in HTTP/1.0 */
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ORIGIN_LINE_BAD,
     0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    /* 4: status lines */
    {"HTTP/1.1 099 Odd\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 600 Odd\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 2x0 Odd\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 2000 Odd\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200OK\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1  200 OK\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/2 200 OK\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/2.0 200 OK\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.x 200 OK\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    /* 5.1, 5.2, RFC 9110 5.5 */
    {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\n: b\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nA: b\rB: c\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
    {"HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n", ORIGIN_LINE_BAD, 0, 0, 0},
};

/* Line by line, as libcurl hands them out; the last answer that was not MORE. */
static enum origin_line feed(struct origin_head_reader *response, const char *text)
{
    enum origin_line result = ORIGIN_LINE_MORE;

    while (*text && (result == ORIGIN_LINE_MORE || result == ORIGIN_LINE_INTERIM)) {
        size_t size = (size_t)(strchr(text, '\n') - text) + 1;

        result = origin_head_line(response, text, size);
        text += size;
    }
    return result;
}

START_TEST(head_is_collected)
{
    struct origin_head_reader response = {0};

    origin_head_reset(&response);
    ck_assert_int_eq(feed(&response, heads[_i].head), heads[_i].result);
    if (heads[_i].result == ORIGIN_LINE_HEAD) {
        ck_assert_int_eq(response.head.status, heads[_i].status);
        ck_assert_uint_eq(response.head.fields.count, heads[_i].fields);
        ck_assert_int_eq(response.head.length_known, heads[_i].length >= 0);
        if (heads[_i].length >= 0)
            ck_assert_uint_eq(response.head.length, (uint64_t)heads[_i].length);
        /* Trailers are not fields of the head. */
        ck_assert_int_eq(feed(&response, "Trailer: x\r\n"), ORIGIN_LINE_MORE);
        ck_assert_uint_eq(response.head.fields.count, heads[_i].fields);
    }
    origin_head_free(&response);
}
END_TEST

/* RFC 9110 section 15.2: each is there when its head ends, and they do not go on for ever. */
START_TEST(interims_are_told_and_limited)
{
    struct origin_head_reader response = {0};

    origin_head_reset(&response);
    for (unsigned i = 0; i <= ORIGIN_INTERIMS_MAX; i++) {
        enum origin_line wanted = i < ORIGIN_INTERIMS_MAX ? ORIGIN_LINE_INTERIM : ORIGIN_LINE_BAD;

        ck_assert_int_eq(feed(&response, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"), ORIGIN_LINE_MORE);
        ck_assert_int_eq(origin_head_line(&response, "\r\n", 2), wanted);
        ck_assert_int_eq(response.head.status, 103);
        ck_assert_uint_eq(response.head.fields.count, 1);
    }
    origin_head_free(&response);
}
END_TEST

static const struct {
    const char *head, *via;
} vias[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", "1.1 larder"},
    {"HTTP/1.0 200 OK\r\n\r\n", "1.0 larder"},
    {"HTTP/1.0 200 OK\r\nVia: 1.1 a\r\n\r\n", "1.0 larder"},
};

/* RFC 9110 section 7.6.3: the version that this hop received, behind what earlier hops say. */
START_TEST(via_is_added)
{
    struct origin_head_reader response = {0};
    const struct http_field *last;

    origin_head_reset(&response);
    ck_assert_int_eq(feed(&response, vias[_i].head), ORIGIN_LINE_HEAD);
    last = &response.head.fields.items[response.head.fields.count - 1];
    ck_assert(http_name_is(last, "via"));
    ck_assert_int_eq((int)last->value.length, (int)strlen(vias[_i].via));
    ck_assert_mem_eq(last->value.at, vias[_i].via, last->value.length);
    origin_head_free(&response);
}
END_TEST

START_TEST(head_is_limited)
{
    static char line[1024];
    struct origin_head_reader response = {0};
    enum origin_line result = ORIGIN_LINE_MORE;
    unsigned lines = 0;

    memset(line, 'a', sizeof line);
    memcpy(line, "A: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    origin_head_reset(&response);
    while (result == ORIGIN_LINE_MORE && lines++ < 1000)
        result = origin_head_line(&response, line, sizeof line);
    ck_assert_int_eq(result, ORIGIN_LINE_BAD);
    ck_assert_uint_eq(lines, ORIGIN_HEAD_MAX / sizeof line + 1);
    origin_head_free(&response);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, url_is_taken_apart, urls);
    ADD_ROWS(tcase, head_is_collected, heads);
    tcase_add_test(tcase, interims_are_told_and_limited);
    ADD_ROWS(tcase, via_is_added, vias);
    tcase_add_test(tcase, head_is_limited);
}

int main(void)
{
    return run_suite("origin", add_cases);
}
