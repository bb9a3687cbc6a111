#include "http1_request.h"

#include <string.h>

/* Callbacks return 0 to go on; anything else ends llhttp_execute(). */
static int refuse(struct http1_request *request, int status, const char *problem)
{
    request->refusal = status;
    request->problem = problem;
    return HPE_USER;
}

static void extend(struct http_span *span, const char *at, size_t length)
{
    if (span->length == 0)
        span->at = at;
    span->length += (uint32_t)length;
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    struct http1_request *request = parser->data;

    extend(&request->line_target, at, length);
    if (request->line_target.length > HTTP1_MAX_TARGET)
        return refuse(request, 414, "request target is longer than 8192 bytes");
    return 0;
}

static int check_fields_size(struct http1_request *request, const char *end)
{
    if (!request->fields_start)
        request->fields_start = end;
    if ((size_t)(end - request->fields_start) > HTTP1_MAX_FIELDS)
        return refuse(request, 431, "header fields are larger than 32768 bytes");
    return 0;
}

/* Trailers are dropped, but they may not go on for ever. */
static int skip_trailer(struct http1_request *request, size_t length)
{
    request->trailer_size += length + 1;
    if (request->trailer_size > HTTP1_MAX_FIELDS)
        return refuse(request, 431, "trailer fields are larger than 32768 bytes");
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t length)
{
    struct http1_request *request = parser->data;

    if (request->body_begun)
        return skip_trailer(request, length);
    extend(&request->name, at, length);
    return check_fields_size(request, at + length);
}

static int on_value(llhttp_t *parser, const char *at, size_t length)
{
    struct http1_request *request = parser->data;

    if (request->body_begun)
        return skip_trailer(request, length);
    if (request->value.length > 0 && request->value.at + request->value.length != at)
        return refuse(request, 400, "folded header field"); /* RFC 9112 section 5.2 */
    extend(&request->value, at, length);
    return check_fields_size(request, at + length);
}

/* What may stand in host and port (RFC 3986 section 3.2.2): no white space, nothing that ends an authority.
 */
static bool is_host_byte(unsigned char byte)
{
    static const bool forbidden[256] = {
        ['/'] = true, ['?'] = true, ['#'] = true, ['@'] = true, ['\\'] = true,
        ['"'] = true, ['<'] = true, ['>'] = true, [','] = true, [0x7f] = true};

    return byte > ' ' && byte < 0x80 && !forbidden[byte];
}

static int note_host(struct http1_request *request, const struct http_field *field)
{
    if (request->host_seen)
        return refuse(request, 400, "several Host fields");
    for (uint32_t i = 0; i < field->value.length; i++) {
        if (!is_host_byte((unsigned char)field->value.at[i]))
            return refuse(request, 400, "malformed Host field");
    }
    request->host_seen = true;
    request->host = field->value;
    return 0;
}

static int note_coding(struct http1_request *request, const struct http_field *field)
{
    if (request->coding_seen || !http_span_equal_nocase(field->value, HTTP_SPAN("chunked")))
        return refuse(request, 501, "Transfer-Encoding other than chunked");
    request->coding_seen = true;
    return 0;
}

static int note_expect(struct http1_request *request, const struct http_field *field)
{
    if (!http_span_equal_nocase(field->value, HTTP_SPAN("100-continue")))
        return refuse(request, 417, "Expect other than 100-continue");
    request->expect_seen = true;
    return 0;
}

/* The few fields that matter to framing; by length first, because every field of every request comes by. */
static int note_field(struct http1_request *request, const struct http_field *field)
{
    switch (field->name.length) {
    case 4:
        return http_name_is(field, "host") ? note_host(request, field) : 0;
    case 6:
        return http_name_is(field, "expect") ? note_expect(request, field) : 0;
    case 10:
        request->connection_seen |= http_name_is(field, "connection");
        return 0;
    case 14:
        request->length_seen |= http_name_is(field, "content-length");
        return 0;
    case 17:
        return http_name_is(field, "transfer-encoding") ? note_coding(request, field) : 0;
    default:
        return 0;
    }
}

static int on_value_complete(llhttp_t *parser)
{
    struct http1_request *request = parser->data;
    struct http_fields *fields = request->fields;

    if (request->body_begun)
        return 0;
    if (!http_is_token(
            request->name)) /* llhttp lets spaces pass, also before the colon (RFC 9112 section 5.1) */
        return refuse(request, 400, "malformed field name");
    if (fields->count >= HTTP1_MAX_FIELD_COUNT || !http_field_add(fields, request->name, request->value))
        return refuse(request, 431, "more header fields than are accepted");
    request->name.length = request->value.length = 0;
    return note_field(request, &fields->items[fields->count - 1]);
}

static int check_version(struct http1_request *request)
{
    if (request->parser.http_major != 1 || request->parser.http_minor > 1)
        return refuse(request, 505, "HTTP version other than 1.0 and 1.1");
    request->minor = request->parser.http_minor;
    return 0;
}

static int check_host(struct http1_request *request)
{
    if (!request->host_seen && request->minor == 1) /* RFC 9112 section 3.2 */
        return refuse(request, 400, "no Host field");
    return 0;
}

static bool target_is_sound(struct http_span target)
{
    for (uint32_t i = 0; i < target.length; i++) {
        unsigned char byte = (unsigned char)target.at[i];

        if (byte <= ' ' || byte >= 0x7f || byte == '#')
            return false;
    }
    return target.length > 0;
}

/* absolute-form: what counts is the path; where it goes is our own decision (RFC 9112 section 3.2.2). */
static bool drop_authority(struct http_span *target)
{
    bool https = target->length > 8 &&
                 http_span_equal_nocase((struct http_span){target->at, 8}, HTTP_SPAN("https://"));
    bool http =
        target->length > 7 && http_span_equal_nocase((struct http_span){target->at, 7}, HTTP_SPAN("http://"));
    uint32_t at = https ? 8 : 7;

    if (!http && !https)
        return false;
    while (at < target->length && target->at[at] != '/' && target->at[at] != '?')
        at++;
    if (at == target->length)
        *target =
            (struct http_span){target->at + (https ? 6 : 5), 1}; /* "/", one of those behind the scheme */
    else if (target->at[at] == '/')
        *target = (struct http_span){target->at + at, target->length - at};
    else
        return false; /* "http://host?query" has no path to pass on */
    return true;
}

static int check_target(struct http1_request *request)
{
    bool options = request->parser.method == HTTP_OPTIONS;

    request->target = request->line_target;
    if (request->parser.method == HTTP_CONNECT)
        return refuse(request, 501, "CONNECT is not offered");
    if (!target_is_sound(request->target))
        return refuse(request, 400, "malformed request target");
    if (request->target.at[0] == '/' || drop_authority(&request->target))
        return 0;
    if (options && http_span_equal(request->target, HTTP_SPAN("*")))
        return 0;
    return refuse(request, 400, "request target is neither a path nor an http URL");
}

static int check_body(struct http1_request *request)
{
    if (request->coding_seen && request->length_seen) /* RFC 9112 section 6.1 */
        return refuse(request, 400, "both Content-Length and Transfer-Encoding");
    if (request->coding_seen && request->minor == 0)
        return refuse(request, 400, "Transfer-Encoding in HTTP/1.0");
    request->chunked = request->coding_seen;
    if (request->length_seen && http_content_length(request->fields, &request->length) != HTTP_LENGTH_KNOWN)
        return refuse(request, 400, "malformed Content-Length");
    request->has_body = request->chunked || request->length > 0;
    request->expects_continue = request->expect_seen && request->has_body && request->minor == 1;
    return 0;
}

static void note_persistence(struct http1_request *request)
{
    bool close = request->connection_seen && http_list_has(request->fields, "connection", "close");

    request->keep_alive =
        !close && (request->minor == 1 ||
                   (request->connection_seen && http_list_has(request->fields, "connection", "keep-alive")));
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http1_request *request = parser->data;
    const char *method = llhttp_method_name((llhttp_method_t)parser->method);

    request->method = (struct http_span){method, (uint32_t)strlen(method)};
    if (check_version(request) || check_target(request) || check_host(request) || check_body(request))
        return -1;
    note_persistence(request);
    parser->upgrade = 0; /* an offer to change protocols is declined by not answering it */
    return request->has_body ? HPE_PAUSED : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct http1_request *request = parser->data;

    memcpy(request->body_out + request->body_size, at, length);
    request->body_size += length;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http1_request *request = parser->data;

    request->body_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t calls;

    if (!calls.on_url) {
        llhttp_settings_init(&calls);
        calls.on_url = on_url;
        calls.on_header_field = on_field;
        calls.on_header_value = on_value;
        calls.on_header_value_complete = on_value_complete;
        calls.on_headers_complete = on_headers_complete;
        calls.on_body = on_body;
        calls.on_message_complete = on_message_complete;
    }
    return &calls;
}

void http1_request_begin(struct http1_request *request, struct http_fields *fields)
{
    memset(request, 0, sizeof *request);
    llhttp_init(&request->parser, HTTP_REQUEST, settings());
    request->parser.data = request;
    request->fields = fields;
    fields->count = 0;
}

static void move(struct http_span *span, const char *from, const char *to)
{
    if (span->at)
        span->at = to + ((uintptr_t)span->at - (uintptr_t)from);
}

void http1_request_moved(struct http1_request *request, const char *from, const char *to)
{
    struct http_span fields_start = {request->fields_start, 0};

    move(&request->line_target, from, to);
    move(&request->target, from, to);
    move(&request->host, from, to);
    move(&request->name, from, to);
    move(&request->value, from, to);
    move(&fields_start, from, to);
    request->fields_start = fields_start.at;
    for (uint32_t i = 0; i < request->fields->count; i++) {
        move(&request->fields->items[i].name, from, to);
        move(&request->fields->items[i].value, from, to);
    }
}

/* "FROB /x HTTP/1.1": a sound request line whose method llhttp does not know. */
static bool is_unknown_method(const char *buffer, uint32_t size)
{
    const char *end = memchr(buffer, '\n', size);
    const char *space = end ? memchr(buffer, ' ', (size_t)(end - buffer)) : NULL;
    const char *version = end ? memrchr(buffer, ' ', (size_t)(end - buffer)) : NULL;

    return space && version > space + 1 && end - version > 8 && memcmp(version + 1, "HTTP/1.", 7) == 0 &&
           http_is_token((struct http_span){buffer, (uint32_t)(space - buffer)});
}

static enum http1_head refused(struct http1_request *request, const char *buffer, uint32_t size,
                               llhttp_errno_t error)
{
    if (request->refusal)
        return HTTP1_REFUSED;
    request->refusal = 400;
    request->problem = llhttp_get_error_reason(&request->parser);
    if (error == HPE_INVALID_VERSION || error == HPE_PAUSED_H2_UPGRADE) {
        refuse(request, 505, "HTTP version other than 1.0 and 1.1");
    } else if (error == HPE_INVALID_METHOD && is_unknown_method(buffer, size)) {
        refuse(request, 501, "method is not known");
    }
    if (!request->problem || !*request->problem)
        request->problem = "malformed request";
    return HTTP1_REFUSED;
}

enum http1_head http1_request_head(struct http1_request *request, const char *buffer, uint32_t size,
                                   uint32_t *end)
{
    llhttp_errno_t error = llhttp_execute(&request->parser, buffer + request->parsed, size - request->parsed);

    request->parsed = size;
    if (error == HPE_OK)
        return HTTP1_MORE;
    if (error != HPE_PAUSED)
        return refused(request, buffer, size, error);
    *end = (uint32_t)(llhttp_get_error_pos(&request->parser) - buffer);
    return HTTP1_COMPLETE;
}

enum http1_body http1_request_body(struct http1_request *request, const char *raw, size_t size, char *out,
                                   size_t *used, size_t *got)
{
    llhttp_errno_t error;

    if (!request->body_begun)
        llhttp_resume(&request->parser);
    request->body_begun = true;
    request->body_out = out;
    request->body_size = 0;
    error = llhttp_execute(&request->parser, raw, size);
    *got = request->body_size;
    *used = size;
    if (error == HPE_OK)
        return HTTP1_BODY_GOES_ON;
    if (error != HPE_PAUSED || !request->body_complete) {
        if (!request->refusal)
            refuse(request, 400, "malformed request body");
        return HTTP1_BODY_BAD;
    }
    *used = (size_t)(llhttp_get_error_pos(&request->parser) - raw);
    return HTTP1_BODY_COMPLETE;
}
