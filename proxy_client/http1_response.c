#include "http1_response.h"

#include "http_date.h"

#include <stdio.h>
#include <string.h>

/* Status line and the lines of our own, without Cache-Status' detail of at most 64 bytes. */
#define OWN_LINES_MAX 1024

struct reason {
    int status;
    const char *text;
};

const char *http1_reason(int status)
{
    static const struct reason reasons[] = {
        {100, "Continue"},
        {102, "Processing"},
        {103, "Early Hints"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {207, "Multi-Status"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {511, "Network Authentication Required"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "";
}

static void add(struct http_text *text, const char *words)
{
    http_text_add(text, (struct http_span){words, (uint32_t)strlen(words)});
}

void http1_choose_framing(struct http1_framing *framing, const struct exchange_head *head)
{
    bool unknown = head->has_body && !head->length_known;

    framing->chunked = unknown && framing->minor == 1;
    framing->until_close = unknown && !framing->chunked;
    if (framing->until_close)
        framing->keep_alive = false; /* RFC 9112 section 6.3: the close ends the body */
}

static void add_status_line(struct http_text *text, int status)
{
    if (status == 200) { /* nearly always */
        http_text_add(text, HTTP_SPAN("HTTP/1.1 200 OK\r\n"));
        return;
    }
    http_text_add(text, HTTP_SPAN("HTTP/1.1 "));
    http_text_add_number(text, status);
    http_text_add(text, HTTP_SPAN(" "));
    add(text, http1_reason(status));
    http_text_add(text, HTTP_SPAN("\r\n"));
}

static void add_number_line(struct http_text *text, struct http_span name, int64_t number)
{
    http_text_add(text, name);
    http_text_add_number(text, number);
    http_text_add(text, HTTP_SPAN("\r\n"));
}

static void add_connection(struct http_text *text, const struct http1_framing *framing)
{
    if (!framing->keep_alive)
        http_text_add(text, HTTP_SPAN("Connection: close\r\n"));
    else if (framing->minor == 0)
        http_text_add(text, HTTP_SPAN("Connection: keep-alive\r\n"));
}

static void add_cache_status(struct http_text *text, const struct http_cache_status *status)
{
    char value[HTTP_CACHE_STATUS_MAX];
    int length = http_cache_status_format(status, value, sizeof value);

    if (length < 0)
        return;
    http_text_add(text, HTTP_SPAN("Cache-Status: "));
    http_text_add(text, (struct http_span){value, (uint32_t)length});
    http_text_add(text, HTTP_SPAN("\r\n"));
}

static void add_own_lines(struct http_text *text, const struct exchange_head *head,
                          const struct http1_framing *framing)
{
    if (head->length_known)
        add_number_line(text, HTTP_SPAN("Content-Length: "), (int64_t)head->length);
    else if (framing->chunked)
        http_text_add(text, HTTP_SPAN("Transfer-Encoding: chunked\r\n"));
    if (head->age >= 0)
        add_number_line(text, HTTP_SPAN("Age: "), head->age);
    add_cache_status(text, &head->cache_status);
}

static void add_end(struct http_text *text, const struct http1_framing *framing)
{
    add_connection(text, framing);
    http_text_add(text, HTTP_SPAN("\r\n"));
}

/* All but the lines that depend on the connection. */
static void write_memo(struct exchange_memo *memo, const struct exchange_head *head,
                       const struct http1_framing *framing)
{
    struct http_text text = http_text_into(memo->text, sizeof memo->text);

    add_status_line(&text, head->status);
    http_text_add(&text, head->lines);
    add_own_lines(&text, head, framing);
    memo->length = text.failed ? 0 : (uint32_t)text.length;
}

void http1_write_again(struct output *output, const struct exchange_memo *memo,
                       const struct http1_framing *framing)
{
    size_t size = memo->length + OWN_LINES_MAX;
    struct http_text text = http_text_into(output_reserve(output, size), size);

    http_text_add(&text, (struct http_span){memo->text, memo->length});
    add_end(&text, framing);
    output_commit(output, text.length);
}

void http1_write_head(struct output *output, const struct exchange_head *head,
                      const struct http1_framing *framing)
{
    struct http_text text;

    if (head->memo && head->memo->length == 0)
        write_memo(head->memo, head, framing);
    if (head->memo && head->memo->length > 0) {
        http1_write_again(output, head->memo, framing);
        return;
    }
    text = http_text_into(output_reserve(output, OWN_LINES_MAX), OWN_LINES_MAX);
    add_status_line(&text, head->status);
    output_commit(output, text.length);
    output_add(output, head->lines.at, head->lines.length);
    text = http_text_into(output_reserve(output, OWN_LINES_MAX), OWN_LINES_MAX);
    add_own_lines(&text, head, framing);
    add_end(&text, framing);
    output_commit(output, text.length);
}

void http1_write_interim(struct output *output, int status, const struct http_span *lines)
{
    struct http_text text = http_text_into(output_reserve(output, OWN_LINES_MAX), OWN_LINES_MAX);

    add_status_line(&text, status);
    output_commit(output, text.length);
    output_add(output, lines->at, lines->length);
    output_add(output, "\r\n", 2);
}

void http1_write_chunk_start(struct output *output, size_t size)
{
    char line[24];
    int length = snprintf(line, sizeof line, "%zx\r\n", size);

    output_add(output, line, (size_t)length);
}

void http1_write_chunk_end(struct output *output)
{
    output_add(output, "\r\n", 2);
}

void http1_write_last_chunk(struct output *output)
{
    output_add(output, "0\r\n\r\n", 5);
}

void http1_write_error(struct output *output, int status, const char *text, int64_t now_s,
                       const struct http1_framing *framing, bool head_only)
{
    char body[512];
    char lines[128];
    char date[HTTP_DATE_BYTES + 1];
    int body_length = snprintf(body, sizeof body, "%d %s: %.400s\n", status, http1_reason(status), text);
    int lines_length;
    struct exchange_head head = {.status = status,
                                 .has_body = !head_only,
                                 .length_known = true,
                                 .length = (uint64_t)body_length,
                                 .age = -1,
                                 .cache_status = {.detail = "request-refused"}};

    http_date_format(now_s, date);
    lines_length =
        snprintf(lines, sizeof lines, "Content-Type: text/plain; charset=utf-8\r\nDate: %s\r\n", date);
    head.lines = (struct http_span){lines, (uint32_t)lines_length};
    http1_write_head(output, &head, framing);
    if (!head_only)
        output_add(output, body, (size_t)body_length);
}

static void write_own_head(struct output *output, const char *fields, uint64_t length, int64_t now_s,
                           const struct http1_framing *framing)
{
    char lines[256], date[HTTP_DATE_BYTES + 1];
    struct exchange_head head = {.status = 200,
                                 .has_body = length > 0,
                                 .length_known = true,
                                 .length = length,
                                 .age = -1,
                                 .cache_status = {.detail = "max-forwards"}};
    int lines_length;

    http_date_format(now_s, date);
    lines_length = snprintf(lines, sizeof lines, "%s\r\nDate: %s\r\n", fields, date);
    head.lines = (struct http_span){lines, (uint32_t)lines_length};
    http1_write_head(output, &head, framing);
}

/* Without an output it is only measured. */
static uint64_t write_span(struct output *output, struct http_span span)
{
    if (output && span.length > 0)
        output_add(output, span.at, span.length);
    return span.length;
}

static bool is_sensitive(const struct http_field *field)
{
    return http_name_is(field, "authorization") || http_name_is(field, "proxy-authorization") ||
           http_name_is(field, "cookie");
}

static uint64_t write_echo(struct output *output, const struct http1_request *request)
{
    uint64_t length = write_span(output, request->method);

    length += write_span(output, HTTP_SPAN(" "));
    length += write_span(output, request->line_target);
    length +=
        write_span(output, request->minor == 0 ? HTTP_SPAN(" HTTP/1.0\r\n") : HTTP_SPAN(" HTTP/1.1\r\n"));
    for (uint32_t i = 0; i < request->fields->count; i++) {
        const struct http_field *field = &request->fields->items[i];

        if (is_sensitive(field))
            continue;
        length += write_span(output, field->name);
        length += write_span(output, HTTP_SPAN(": "));
        length += write_span(output, field->value);
        length += write_span(output, HTTP_SPAN("\r\n"));
    }
    return length + write_span(output, HTTP_SPAN("\r\n"));
}

uint64_t http1_write_own(struct output *output, const struct http1_request *request, int64_t now_s,
                         const struct http1_framing *framing)
{
    uint64_t length;

    if (request->is_options) {
        write_own_head(output, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE", 0, now_s,
                       framing);
        return 0;
    }
    length = write_echo(NULL, request);
    write_own_head(output, "Content-Type: message/http", length, now_s, framing);
    return write_echo(output, request);
}
