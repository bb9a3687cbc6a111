/* http1_request: heads whole and in pieces, what is refused and with which status, bodies of both framings.
 */
#include "http1_request.h"

#include "check_unit.h"

#include <stdio.h>
#include <string.h>

static struct http_fields fields;
static struct http1_request request;

/* `size` bytes in a buffer of their own, which stays until the next call. */
static enum http1_head parse_bytes(const char *bytes, size_t size, uint32_t *end)
{
    static char *buffer;

    free(buffer);
    buffer = malloc(size + 1);
    memcpy(buffer, bytes, size);
    http1_request_begin(&request, &fields);
    return http1_request_head(&request, buffer, (uint32_t)size, end);
}

static enum http1_head parse(const char *bytes, uint32_t *end)
{
    return parse_bytes(bytes, strlen(bytes), end);
}

static bool is(struct http_span span, const char *text)
{
    return span.length == strlen(text) && (span.length == 0 || memcmp(span.at, text, span.length) == 0);
}

/* The section is of RFC 9112 where no RFC is named. */
static const struct {
    const char *bytes, *method, *target, *host;
    bool keep_alive, has_body, chunked, expects_continue;
    uint64_t length;
    int minor;
} accepted[] = {
    {"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "h", true, false, false, false, 0, 1},
    {"HEAD /a?b=c HTTP/1.1\r\nhOST:\t h:1 \r\n\r\n", "HEAD", "/a?b=c", "h:1", true, false, false, false, 0,
     1},
    /* 2.2: empty lines in front of the request line */
    {"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "h", true, false, false, false, 0, 1},
    {"\r\n\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "h", true, false, false, false, 0, 1},
    /* RFC 9110 9.1: any token, case-sensitive */
    {"FROB /a HTTP/1.1\r\nHost: h\r\n\r\n", "FROB", "/a", "h", true, false, false, false, 0, 1},
    {"get /a HTTP/1.1\r\nHost: h\r\n\r\n", "get", "/a", "h", true, false, false, false, 0, 1},
    {"!#$%&'*+-.^_`|~09AZaz /a HTTP/1.1\r\nHost: h\r\n\r\n", "!#$%&'*+-.^_`|~09AZaz", "/a", "h", true, false,
     false, false, 0, 1},
    {"PROPFIND /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", "PROPFIND", "/a", "h", true, true, false,
     false, 1, 1},
    {"TRACE /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "TRACE", "/a", "h", true, false, false,
     false, 0, 1},
    /* RFC 9110 2.5: a later minor version is read as the highest that is known */
    {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", "GET", "/", "h", true, false, false, false, 0, 1},
    {"GET / HTTP/1.9\r\nHost: h\r\n\r\n", "GET", "/", "h", true, false, false, false, 0, 1},
    /* 9.3: persistence */
    {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", "GET", "/", "h", false, false, false, false,
     0, 1},
    {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", false, false, false, false, 0, 0},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", "", true, false, false, false, 0, 0},
    /* 3.2: an empty Host; IP literals */
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "", true, false, false, false, 0, 1},
    {"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET", "/", "[::1]:8080", true, false, false, false, 0, 1},
    {"GET / HTTP/1.1\r\nHost: h:\r\n\r\n", "GET", "/", "h:", true, false, false, false, 0, 1},
    {"GET / HTTP/1.1\r\nHost: %41b-c_d~!$&'()*+;=\r\n\r\n", "GET", "/", "%41b-c_d~!$&'()*+;=", true, false,
     false, false, 0, 1},
    /* 3.2.1: origin-form; RFC 3986, and what browsers send besides */
    {"GET //a:@-._~!$&'()*+,;=%2F%2f HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "//a:@-._~!$&'()*+,;=%2F%2f", "h",
     true, false, false, false, 0, 1},
    {"GET /a[1]^|?/?[2]^|\\`{}%zz%4 HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a[1]^|?/?[2]^|\\`{}%zz%4", "h",
     true, false, false, false, 0, 1},
    /* 3.2.2: absolute-form; its host counts */
    {"GET http://o/p?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/p?q", "o", true, false, false, false, 0, 1},
    {"GET HTTP://o:81/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "o:81", true, false, false, false, 0, 1},
    {"GET http://o HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "o", true, false, false, false, 0, 1},
    {"GET http://o?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/?q", "o", true, false, false, false, 0, 1},
    {"GET http://[::1]:81?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/?q", "[::1]:81", true, false, false, false,
     0, 1},
    {"GET http://o/ HTTP/1.0\r\n\r\n", "GET", "/", "o", false, false, false, false, 0, 0},
    /* 3.2.4: asterisk-form */
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", "h", true, false, false, false, 0, 1},
    {"OPTIONS http://o HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", "o", true, false, false, false, 0, 1},
    {"OPTIONS http://o/ HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "/", "o", true, false, false, false, 0, 1},
    {"OPTIONS http://o?q HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "/?q", "o", true, false, false, false, 0,
     1},
    /* 6: framing */
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST", "/", "h", true, true, false, false,
     3, 1},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "POST", "/", "h", true, false, false, false,
     0, 1},
    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n", "POST", "/", "h", true,
     true, false, false, INT64_MAX, 1},
    {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST", "/", "h", true, true, true,
     false, 0, 1},
    /* RFC 9110 10.1.1: nothing to continue with; ignored in HTTP/1.0 */
    {"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n", "PUT", "/", "h", true,
     true, false, true, 3, 1},
    {"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", "GET", "/", "h", true, false, false, false,
     0, 1},
    {"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "PUT", "/", "", false, true,
     false, false, 3, 0},
    /* RFC 9110 7.8: an upgrade may be ignored */
    {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "GET", "/", "h", true, false,
     false, false, 0, 1},
    /* 5.1: white space around a value, and none of it */
    {"GET / HTTP/1.1\r\nHost:h\r\nX:\r\nY: \t \r\nZ:\t a\tb \xff \r\n\r\n", "GET", "/", "h", true, false,
     false, false, 0, 1},
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
    ck_assert_int_eq(request.minor, accepted[row].minor);
}

static const char *end_of_head(const char *bytes)
{
    return strstr(strstr(bytes, "HTTP/1."), "\r\n\r\n") + 4;
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
        if (buffer)
            memcpy(moved, buffer, have - 1); /* the parser may have changed it */
        moved[have - 1] = bytes[have - 1];
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

#define REFUSED(kind, status, bytes)                                                                         \
    {                                                                                                        \
        bytes, sizeof bytes - 1, status, HTTP1_REFUSAL_##kind                                                \
    }
#define GET(target, rest) "GET " target " HTTP/1.1\r\nHost: a\r\n" rest "\r\n"
#define POST(rest)        "POST / HTTP/1.1\r\nHost: a\r\n" rest "\r\n"

static const struct {
    const char *bytes;
    size_t size;
    int status;
    enum http1_refusal_kind kind;
} refusals[] = {
    /* 3: request lines that are none */
    REFUSED(line, 400, "GARBAGE\r\n\r\n"),
    REFUSED(line, 400, "\x16\x03\x01\x02"), /* TLS */
    REFUSED(line, 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET / a HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET /\r\n\r\n"),                     /* HTTP/0.9 */
    REFUSED(line, 400, "GET / http/1.1\r\nHost: a\r\n\r\n"), /* 2.3 */
    REFUSED(line, 400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET / HTTP/x.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    /* 2.2: what is no CRLF ends no line; empty lines are bounded */
    REFUSED(line, 400, "GET / HTTP/1.1\nHost: a\n\n"),
    REFUSED(line, 400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    REFUSED(line, 400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(line, 400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    /* 2.3, RFC 9110 15.6.6 */
    REFUSED(version, 505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    REFUSED(version, 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    REFUSED(version, 505, "GET / HTTP/3.1\r\nHost: a\r\n\r\n"),
    REFUSED(version, 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), /* RFC 9113 3.4 */
    /* RFC 9110 9.1, 9.3.6, RFC 9113 11.6 */
    REFUSED(method, 501, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(method, 501, "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(method, 501, "PRI / HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(method, 501, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\nHost: a\r\n\r\n"),
    /* 3.2.3, 3.2.4: forms that belong to other methods */
    REFUSED(target, 400, "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(target, 400, "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(target, 400, "CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(target, 400, "CONNECT u@a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(target, 400, "CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    REFUSED(target, 400, GET("*", "")),
    REFUSED(target, 400, GET("a:80", "")),
    REFUSED(target, 400, GET("a", "")),
    REFUSED(target, 400, GET("?q", "")),
    REFUSED(target, 400, "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"),
    /* 3.2: bytes that no target has */
    REFUSED(target, 400, GET("/a#b", "")),
    REFUSED(target, 400, GET("/a?b#c", "")),
    REFUSED(target, 400, GET("/\xc3\xa4", "")),
    REFUSED(target, 400, GET("/a\tb", "")),
    REFUSED(target, 400, GET("/a\0b", "")),
    REFUSED(target, 400, GET("/a\x7f", "")),
    REFUSED(target, 400, GET("/a\\b", "")),
    REFUSED(target, 400, GET("/a\"b", "")),
    REFUSED(target, 400, GET("/<a>", "")),
    REFUSED(target, 400, GET("/a?\"", "")),
    REFUSED(target, 400, GET("/a?<", "")),
    REFUSED(target, 400, GET("/{a}", "")),
    REFUSED(target, 400, GET("/a%", "")),
    REFUSED(target, 400, GET("/a%4", "")),
    REFUSED(target, 400, GET("/a%4g", "")),
    /* RFC 9110 4.2: absolute-form */
    REFUSED(target, 400, GET("ftp://a/", "")),
    REFUSED(target, 400, GET("http:/a", "")),
    REFUSED(target, 400, GET("http://", "")),
    REFUSED(target, 400, GET("http:///x", "")),
    REFUSED(target, 400, GET("http://:80/x", "")),
    REFUSED(target, 400, GET("http://u@a/", "")),
    REFUSED(target, 400, GET("http://u:p@a/", "")),
    REFUSED(target, 400, GET("http://a:x/", "")),
    REFUSED(target, 400, GET("http://a:65536/", "")),
    REFUSED(target, 400, GET("http://a,b/", "")),
    REFUSED(target, 400, GET("http://a\\b/", "")),
    REFUSED(target, 400, GET("http://[::1/", "")),
    REFUSED(target, 400, GET("http://[]/", "")),
    REFUSED(target, 400, GET("http://[::1]x/", "")),
    REFUSED(target, 400, GET("http://a/#f", "")),
    REFUSED(target, 400, GET("http://a#f", "")),
    REFUSED(target, 421, GET("https://a/", "")), /* RFC 9110 7.4 */
    /* 3.2: Host */
    REFUSED(host, 400, "GET / HTTP/1.1\r\n\r\n"),
    REFUSED(host, 400, "GET http://a/ HTTP/1.1\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.2\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    REFUSED(host, 400, "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n"),
    REFUSED(host, 400, "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
    /* 5.1, RFC 9110 5.5 */
    REFUSED(fields, 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    REFUSED(fields, 400, GET("/", "X\t: b\r\n")),
    REFUSED(fields, 400, GET("/", "X Y: b\r\n")),
    REFUSED(fields, 400, GET("/", ": b\r\n")),
    REFUSED(fields, 400, GET("/", "no colon\r\n")),
    REFUSED(fields, 400, GET("/", "X\r\n")),
    REFUSED(fields, 400, GET("/", "X(: b\r\n")),
    REFUSED(fields, 400, GET("/", "X\0: b\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\x01\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\x7f\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\0c\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\rc\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\r\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\nY: c\r\n")),
    REFUSED(fields, 400, GET("/", "X:\nY: c\r\n")),
    REFUSED(fields, 400, GET("/", "X:\rY: c\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\r\n\n")),
    REFUSED(fields, 400, GET("/", "\rX: b\r\n")),
    /* 5.2, 2.2: folded lines, white space before the first field */
    REFUSED(fields, 400, GET("/", "X: b\r\n c\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\r\n\tc\r\n")),
    REFUSED(fields, 400, GET("/", "X:\r\n c\r\n")),
    REFUSED(fields, 400, GET("/", "X: b\r\n \r\n")),
    REFUSED(fields, 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    REFUSED(fields, 400, "GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n"),
    /* 6.1, 6.2, 6.3: framing */
    REFUSED(framing, 400, POST("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 1\r\nContent-Length: 2\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 1\r\nContent-Length: 1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 1, 1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 1, 2\r\n")),
    REFUSED(framing, 400, POST("Content-Length: +1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: -1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 0x1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 1 1\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 1.0\r\n")),
    REFUSED(framing, 400, POST("Content-Length: \"1\"\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 9223372036854775808\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 18446744073709551616\r\n")),
    REFUSED(framing, 400, POST("Content-Length: 99999999999999999999\r\n")),
    REFUSED(framing, 400, POST("Content-Length: \r\n")),
    REFUSED(framing, 400, GET("/", "Content-Length: x\r\n")),
    REFUSED(framing, 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    REFUSED(framing, 400, POST("Transfer-Encoding: \r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: \r\nTransfer-Encoding: chunked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked, chunked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked, gzip\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked, identity\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: identity\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: gzip\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: xchunked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunkedx\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: \"chunked\"\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked;q=1\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chun ked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: ,chunked\r\n")),
    REFUSED(framing, 400, POST("Transfer-Encoding: chunked,\r\n")),
    REFUSED(framing, 501, POST("Transfer-Encoding: gzip, chunked\r\n")),
    REFUSED(framing, 501, POST("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")),
    REFUSED(fields, 400, POST("Transfer-Encoding : chunked\r\n")),
    REFUSED(fields, 400,
            POST("Transfer-Encoding: \x0b"
                 "chunked\r\n")),
    REFUSED(fields, 400, POST("Transfer-Encoding:\r\n chunked\r\n")),
    REFUSED(fields, 400, POST("Content-Length: 1\r\n 0\r\n")),
    /* RFC 9110 9.3.8, 7.6.2, 10.1.1 */
    REFUSED(body, 400, "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"),
    REFUSED(body, 400, "TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    REFUSED(fields, 400, "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n"),
    REFUSED(fields, 400, "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n"),
    REFUSED(fields, 400, "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n"),
    REFUSED(expectation, 417, GET("/", "Expect: the unexpected\r\n")),
    REFUSED(expectation, 417, GET("/", "Expect: 100-continue, x\r\n")),
};

static void expect_refused(int row)
{
    ck_assert_msg(request.refusal.status == refusals[row].status, "%s", refusals[row].bytes);
    ck_assert_msg(request.refusal.kind == refusals[row].kind, "kind %d: %s: %s", request.refusal.kind,
                  request.refusal.problem, refusals[row].bytes);
    ck_assert_ptr_nonnull(request.refusal.problem);
}

START_TEST(head_is_refused)
{
    uint32_t end;

    ck_assert_msg(parse_bytes(refusals[_i].bytes, refusals[_i].size, &end) == HTTP1_REFUSED, "%s",
                  refusals[_i].bytes);
    expect_refused(_i);
}
END_TEST

/* The same status and kind when it comes byte by byte. */
START_TEST(refusal_does_not_depend_on_pieces)
{
    char buffer[512];
    enum http1_head result = HTTP1_MORE;
    uint32_t end, have = 0;

    http1_request_begin(&request, &fields);
    while (result == HTTP1_MORE && have < refusals[_i].size) {
        buffer[have] = refusals[_i].bytes[have];
        result = http1_request_head(&request, buffer, ++have, &end);
    }
    ck_assert_int_eq(result, HTTP1_REFUSED);
    expect_refused(_i);
}
END_TEST

static const struct {
    const char *bytes;
    int64_t max_forwards;
} limits[] = {
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", -1},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 0},
    {"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 7\r\n\r\n", 7},
    {"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 99999999999999999999\r\n\r\n", INT64_C(1) << 31},
    {"GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", -1}, /* may be ignored */
};

START_TEST(max_forwards_is_read)
{
    uint32_t end;

    ck_assert_int_eq(parse(limits[_i].bytes, &end), HTTP1_COMPLETE);
    ck_assert_int_eq(request.max_forwards, limits[_i].max_forwards);
}
END_TEST

static int status_of(const char *bytes)
{
    uint32_t end;

    switch (parse(bytes, &end)) {
    case HTTP1_COMPLETE:
        return 200;
    case HTTP1_REFUSED:
        return request.refusal.status;
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
    {POST_CHUNKED, "-1\r\n", "", HTTP1_BODY_BAD, 0},
    /* RFC 9112 section 7.1: what ends a chunk and its size is CRLF, no other two bytes */
    {POST_CHUNKED, "5\r\nhelloXX0\r\n\r\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\r\nhello\rX0\r\n\r\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\r\nhelloX\n0\r\n\r\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\n\rX", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\rXhello\r\n0\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\nhello\r\n0\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\r\nhello\n0\r\n\r\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\r\nhello\r\n0\n\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5\r\nhello\r\n0\r\n\n", "hello", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "\r\n5\r\nhello\r\n0\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    /* sizes */
    {POST_CHUNKED, "\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, ";a\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, " 5\r\nhello", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5 \r\nhello", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0x5\r\nhello", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "+5\r\nhello", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "5,5\r\nhello", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", HTTP1_BODY_COMPLETE, 30},
    {POST_CHUNKED, "00000000000000005\r\nhello\r\n0\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "7fffffffffffffff\r\nabc", "abc", HTTP1_BODY_GOES_ON, 0},
    {POST_CHUNKED, "8000000000000000\r\nabc", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "fffffffffffffffff\r\n", "", HTTP1_BODY_BAD, 0},
    /* 7.1.1: extensions are ignored, white space where RFC 9110 section 5.6.3 has it */
    {POST_CHUNKED, "1;a\r\nx\r\n0;b=\"c\\\"d;\"\r\n\r\n", "x", HTTP1_BODY_COMPLETE, 23},
    {POST_CHUNKED, "1 ; a\t= b ;c=\"d\" ;e\r\nx\r\n0\r\n\r\n", "x", HTTP1_BODY_COMPLETE, 29},
    {POST_CHUNKED, "1;\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a=\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a \r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;=b\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a b\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a=\"b\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a=\"b\"c\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a\rb\r\nx", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "1;a=\"\x01\"\r\nx", "", HTTP1_BODY_BAD, 0},
    /* 7.1.2: trailers are fields */
    {POST_CHUNKED, "0\r\nX:\r\nContent-Length: 3\r\n\r\nabc", "", HTTP1_BODY_COMPLETE, 28},
    {POST_CHUNKED, "0\r\nX y: z\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\nX : z\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\n: z\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\n X: z\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\nX: z\r\n y\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\nX: z\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\nX: z\rY: z\r\n\r\n", "", HTTP1_BODY_BAD, 0},
    {POST_CHUNKED, "0\r\nno colon\r\n\r\n", "", HTTP1_BODY_BAD, 0},
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
    ck_assert_int_eq(request.refusal.status, 431);
}
END_TEST

/* RFC 9112 section 7.1.1: over the whole body, not each chunk. */
START_TEST(extensions_are_limited)
{
    static const char chunk[] = "1;aaaaaaaaa\r\nx\r\n"; /* nine bytes behind the semicolon, and CR */
    enum http1_body result = HTTP1_BODY_GOES_ON;
    unsigned chunks = 0;
    char out[sizeof chunk];
    uint32_t end;
    size_t used, got;

    ck_assert_int_eq(parse(POST_CHUNKED, &end), HTTP1_COMPLETE);
    while (result == HTTP1_BODY_GOES_ON && chunks++ < HTTP1_MAX_EXTENSIONS)
        result = http1_request_body(&request, chunk, sizeof chunk - 1, out, &used, &got);
    ck_assert_int_eq(result, HTTP1_BODY_BAD);
    ck_assert_uint_eq(chunks, HTTP1_MAX_EXTENSIONS / 10 + 1);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, head_is_accepted, accepted);
    ADD_ROWS(tcase, head_arrives_in_pieces, accepted);
    ADD_ROWS(tcase, head_is_refused, refusals);
    ADD_ROWS(tcase, refusal_does_not_depend_on_pieces, refusals);
    ADD_ROWS(tcase, max_forwards_is_read, limits);
    tcase_add_test(tcase, target_is_limited);
    tcase_add_test(tcase, fields_are_limited);
    tcase_add_test(tcase, field_count_is_limited);
    ADD_ROWS(tcase, body_is_decoded, bodies);
    tcase_add_test(tcase, extensions_are_limited);
    tcase_add_test(tcase, trailers_are_limited);
}

int main(void)
{
    return run_suite("http1_request", add_cases);
}
