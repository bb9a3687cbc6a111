/* A head:
 *
 *     line ── check_line() ──> fields ── note_field() each ──> empty line ── check_head() ──> COMPLETE
 *
 * Each part is checked as soon as it is whole, and by nothing else than its own bytes, so the outcome does
 * not depend on how they were cut into pieces. */
#include "http1_request.h"

#include "http1_target.h"

#include <string.h>

static bool refuse(struct http1_request *request, int status, enum http1_refusal_kind kind,
                   const char *problem)
{
    request->refusal = (struct http1_refusal){status, kind, problem};
    return false;
}

/* ---- the request line ---- */

/* A path that is not there is "/"; OPTIONS with neither path nor query is about the server as a whole (RFC
 * 9112 sections 3.2.1 and 3.2.4). */
static void give_path(struct http1_request *request, struct http1_target *target)
{
    char *authority;

    if (target->path.length == 0) {
        request->target = request->is_options ? HTTP_SPAN("*") : HTTP_SPAN("/");
        request->target_is_literal = true;
        return;
    }
    if (target->path.at[0] == '?') { /* the authority moves over one of the slashes in front of it */
        authority = (char *)(uintptr_t)target->authority.at - 1;
        memmove(authority, target->authority.at, target->authority.length);
        authority[target->authority.length] = '/';
        target->authority.at--;
        target->path = (struct http_span){target->path.at - 1, target->path.length + 1};
        request->line_target = target->path; /* what was received is gone */
    }
    request->target = target->path;
}

static bool check_target(struct http1_request *request)
{
    struct http1_target target;

    switch (http1_target_read(&target, request->method, request->line_target)) {
    case HTTP1_FORM_AUTHORITY:
        return refuse(request, 501, HTTP1_REFUSAL_method, "CONNECT is not offered");
    case HTTP1_FORM_ASTERISK:
    case HTTP1_FORM_ORIGIN:
        request->target = request->line_target;
        return true;
    case HTTP1_FORM_ABSOLUTE:
        if (target.https) /* RFC 9110 section 7.4: such a request must come over a secured connection */
            return refuse(request, 421, HTTP1_REFUSAL_target, "https is not served on this connection");
        give_path(request, &target);
        request->host = target.authority; /* RFC 9112 section 3.2.2: whatever Host says */
        return true;
    default:
        return refuse(request, 400, HTTP1_REFUSAL_target, "malformed request target");
    }
}

static bool check_line(struct http1_request *request)
{
    const struct http1_line *line = &request->line;

    if (line->major != 1)
        return refuse(request, 505, HTTP1_REFUSAL_version, "HTTP version other than 1.x");
    request->minor = line->minor > 0;
    if (http_span_equal(request->method, HTTP_SPAN("PRI"))) /* RFC 9113 section 11.6: never to be used */
        return refuse(request, 501, HTTP1_REFUSAL_method, "PRI is not a method");
    return check_target(request);
}

static void take_line(struct http1_request *request, const char *buffer)
{
    const struct http1_line *line = &request->line;

    request->method = (struct http_span){buffer + line->method_at, line->method_length};
    request->line_target = (struct http_span){buffer + line->target_at, line->target_length};
    request->is_get = http_span_equal(request->method, HTTP_SPAN("GET"));
    request->is_head = http_span_equal(request->method, HTTP_SPAN("HEAD"));
    request->is_options = http_span_equal(request->method, HTTP_SPAN("OPTIONS"));
    request->is_trace = http_span_equal(request->method, HTTP_SPAN("TRACE"));
    request->parsed = request->field_at = line->at;
}

/* ---- the fields ---- */

/* An empty one is sound: a target URI without authority has such (RFC 9112 section 3.2). */
static bool note_host(struct http1_request *request, const struct http_field *field)
{
    if (request->host_seen)
        return refuse(request, 400, HTTP1_REFUSAL_host, "several Host fields");
    if (field->value.length > 0 && !http1_authority_is_sound(field->value))
        return refuse(request, 400, HTTP1_REFUSAL_host, "malformed Host field");
    request->host_seen = true;
    if (request->host.length == 0)
        request->host = field->value;
    return true;
}

static bool note_expect(struct http1_request *request, const struct http_field *field)
{
    if (!http_span_equal_nocase(field->value, HTTP_SPAN("100-continue")))
        return refuse(request, 417, HTTP1_REFUSAL_expectation, "Expect other than 100-continue");
    request->expect_seen = true;
    return true;
}

/* The few fields that matter to framing; by length first, because every field of every request comes by. */
static bool note_field(struct http1_request *request, const struct http_field *field)
{
    switch (field->name.length) {
    case 4:
        return !http_name_is(field, "host") || note_host(request, field);
    case 6:
        return !http_name_is(field, "expect") || note_expect(request, field);
    case 10:
        request->connection_seen |= http_name_is(field, "connection");
        return true;
    case 14:
        request->length_seen |= http_name_is(field, "content-length");
        return true;
    case 17:
        request->coding_seen |= http_name_is(field, "transfer-encoding");
        return true;
    default:
        return true;
    }
}

/* RFC 9112 sections 5.1 and 5.2: a name and a colon behind it at once, no line that goes on. */
static bool read_field(struct http1_request *request, struct http_span line)
{
    struct http_fields *fields = request->fields;
    bool folded = line.at[0] == ' ' || line.at[0] == '\t';
    struct http_field field;

    if (http_line_next(&line, &field) != HTTP_LINE_FIELD || line.length > 0)
        return refuse(request, 400, HTTP1_REFUSAL_fields,
                      folded ? "folded header field" : "malformed header field");
    if (fields->count >= HTTP1_MAX_FIELD_COUNT || !http_field_add(fields, field.name, field.value))
        return refuse(request, 431, HTTP1_REFUSAL_fields, "more header fields than are accepted");
    return note_field(request, &fields->items[fields->count - 1]);
}

/* ---- what the whole head has to say ---- */

static bool check_host(struct http1_request *request)
{
    if (!request->host_seen && request->minor == 1) /* RFC 9112 section 3.2 */
        return refuse(request, 400, HTTP1_REFUSAL_host, "no Host field");
    return true;
}

/* The codings of all Transfer-Encoding lines: RFC 9112 section 6.3 wants chunked last, section 6.1 wants it
 * once, and codings in front of it are not understood. Lists with empty elements are refused: two recipients
 * that disagree here disagree about where the message ends. */
static bool check_coding(struct http1_request *request)
{
    unsigned others = 0, chunked = 0;
    struct http_span coding = {NULL, 0};

    for (const struct http_field *field = NULL;
         (field = http_field_find(request->fields, "transfer-encoding", field));) {
        struct http_span rest = field->value;

        if (rest.length == 0)
            return refuse(request, 400, HTTP1_REFUSAL_framing, "Transfer-Encoding is malformed");
        while (http_list_next(&rest, &coding)) {
            bool is_chunked = http_span_equal_nocase(coding, HTTP_SPAN("chunked"));

            if (chunked > 0 || (is_chunked && others == 0 && coding.length != field->value.length))
                return refuse(request, 400, HTTP1_REFUSAL_framing, "Transfer-Encoding is malformed");
            chunked += is_chunked;
            others += !is_chunked;
        }
    }
    if (chunked == 0)
        return refuse(request, 400, HTTP1_REFUSAL_framing, "Transfer-Encoding does not end with chunked");
    if (others > 0)
        return refuse(request, 501, HTTP1_REFUSAL_framing, "Transfer-Encoding other than chunked");
    return true;
}

/* RFC 9110 section 8.6 lets repeated equal values pass or be refused; nobody who is well sends them. */
static bool check_length(struct http1_request *request)
{
    const struct http_field *field = http_field_find(request->fields, "content-length", NULL);

    if (!http_parse_length(field->value, &request->length) || request->length > INT64_MAX ||
        http_field_find(request->fields, "content-length", field))
        return refuse(request, 400, HTTP1_REFUSAL_framing, "malformed or repeated Content-Length");
    return true;
}

static bool check_framing(struct http1_request *request)
{
    if (request->coding_seen && request->length_seen) /* RFC 9112 section 6.1 */
        return refuse(request, 400, HTTP1_REFUSAL_framing, "both Content-Length and Transfer-Encoding");
    if (request->coding_seen && request->minor == 0)
        return refuse(request, 400, HTTP1_REFUSAL_framing, "Transfer-Encoding in HTTP/1.0");
    if (request->coding_seen && !check_coding(request))
        return false;
    request->chunked = request->coding_seen;
    if (request->length_seen && !check_length(request))
        return false;
    request->has_body = request->chunked || request->length > 0;
    request->length_left = request->length;
    request->expects_continue = request->expect_seen && request->has_body && request->minor == 1;
    if (request->is_trace && request->has_body) /* RFC 9110 section 9.3.8 */
        return refuse(request, 400, HTTP1_REFUSAL_body, "TRACE with content");
    return true;
}

/* RFC 9110 section 7.6.2 */
static bool check_max_forwards(struct http1_request *request)
{
    const struct http_field *field;

    request->max_forwards = -1;
    if (!request->is_options && !request->is_trace)
        return true;
    field = http_field_find(request->fields, "max-forwards", NULL);
    if (!field)
        return true;
    if (!http_parse_seconds(field->value, &request->max_forwards) ||
        http_field_find(request->fields, "max-forwards", field))
        return refuse(request, 400, HTTP1_REFUSAL_fields, "malformed Max-Forwards");
    return true;
}

static void note_persistence(struct http1_request *request)
{
    bool close = request->connection_seen && http_list_has(request->fields, "connection", "close");

    request->keep_alive =
        !close && (request->minor == 1 ||
                   (request->connection_seen && http_list_has(request->fields, "connection", "keep-alive")));
}

static bool check_connection(struct http1_request *request)
{
    return !request->connection_seen || http_connection_is_bounded(request->fields) ||
           refuse(request, 431, HTTP1_REFUSAL_fields, "Connection names more than is accepted");
}

static bool check_head(struct http1_request *request)
{
    if (!check_connection(request) || !check_host(request) || !check_framing(request) ||
        !check_max_forwards(request))
        return false;
    note_persistence(request);
    request->body_complete = !request->has_body;
    return true;
}

void http1_request_begin(struct http1_request *request, struct http_fields *fields)
{
    memset(request, 0, sizeof *request);
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
    move(&request->method, from, to);
    move(&request->line_target, from, to);
    if (!request->target_is_literal)
        move(&request->target, from, to);
    move(&request->host, from, to);
    for (uint32_t i = 0; i < request->fields->count; i++) {
        move(&request->fields->items[i].name, from, to);
        move(&request->fields->items[i].value, from, to);
    }
}

/* COMPLETE: the fields may be read. */
static enum http1_head read_line(struct http1_request *request, const char *buffer, uint32_t size)
{
    switch (http1_line_read(&request->line, buffer, size, &request->refusal)) {
    case HTTP1_LINE_MORE:
        request->parsed = size;
        return HTTP1_MORE;
    case HTTP1_LINE_REFUSED:
        return HTTP1_REFUSED;
    case HTTP1_LINE_COMPLETE:
        break;
    }
    take_line(request, buffer);
    return check_line(request) ? HTTP1_COMPLETE : HTTP1_REFUSED;
}

/* COMPLETE: *line is a field line, or the empty one. */
static enum http1_head next_line(struct http1_request *request, const char *buffer, uint32_t size,
                                 struct http_span *line)
{
    const char *newline = memchr(buffer + request->parsed, '\n', size - request->parsed);
    uint32_t end = newline ? (uint32_t)(newline - buffer) + 1 : size;

    if (end - request->line.at > HTTP1_MAX_FIELDS) {
        refuse(request, 431, HTTP1_REFUSAL_fields, "header fields are larger than 32768 bytes");
        return HTTP1_REFUSED;
    }
    *line = (struct http_span){buffer + request->field_at, end - request->field_at};
    request->parsed = end;
    if (!newline)
        return HTTP1_MORE;
    request->field_at = end;
    return HTTP1_COMPLETE;
}

static enum http1_head read_fields(struct http1_request *request, const char *buffer, uint32_t size)
{
    enum http1_head result;
    struct http_span line;

    while ((result = next_line(request, buffer, size, &line)) == HTTP1_COMPLETE) {
        if (http_span_equal(line, HTTP_SPAN("\r\n")))
            return check_head(request) ? HTTP1_COMPLETE : HTTP1_REFUSED;
        if (!read_field(request, line))
            return HTTP1_REFUSED;
    }
    return result;
}

enum http1_head http1_request_head(struct http1_request *request, char *buffer, uint32_t size, uint32_t *end)
{
    enum http1_head result = request->method.length > 0 ? HTTP1_COMPLETE : read_line(request, buffer, size);

    if (result == HTTP1_COMPLETE)
        result = read_fields(request, buffer, size);
    *end = request->field_at;
    return result;
}

static enum http1_body take_content(struct http1_request *request, const char *raw, size_t size, char *out,
                                    size_t *used, size_t *got)
{
    *used = *got = request->length_left < size ? (size_t)request->length_left : size;
    memcpy(out, raw, *used);
    request->length_left -= *used;
    request->body_complete = request->length_left == 0;
    return request->body_complete ? HTTP1_BODY_COMPLETE : HTTP1_BODY_GOES_ON;
}

enum http1_body http1_request_body(struct http1_request *request, const char *raw, size_t size, char *out,
                                   size_t *used, size_t *got)
{
    if (!request->chunked)
        return take_content(request, raw, size, out, used, got);
    switch (http1_chunked_decode(&request->decoder, raw, size, out, used, got)) {
    case HTTP1_CHUNKED_GOES_ON:
        return HTTP1_BODY_GOES_ON;
    case HTTP1_CHUNKED_COMPLETE:
        request->body_complete = true;
        return HTTP1_BODY_COMPLETE;
    case HTTP1_CHUNKED_BAD:
        refuse(request, 400, HTTP1_REFUSAL_body, "malformed chunk");
        return HTTP1_BODY_BAD;
    case HTTP1_CHUNKED_TRAILERS_TOO_LARGE:
        break;
    }
    refuse(request, 431, HTTP1_REFUSAL_body, "trailer fields are larger than 32768 bytes");
    return HTTP1_BODY_BAD;
}
