#include "http_message.h"

#include <endian.h>
#include <string.h>

#define DELTA_SECONDS_MAX ((int64_t)1 << 31) /* RFC 9111 section 1.2.2 */

unsigned char http_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* tchar, RFC 9110 section 5.6.2 */
static bool is_tchar(unsigned char c)
{
    static const bool table[256] = {
        ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
        ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
    };

    return table[c];
}

static struct http_span span_between(const char *from, const char *to)
{
    return (struct http_span){from, (uint32_t)(to - from)};
}

static struct http_span span_of(const char *text)
{
    return (struct http_span){text, (uint32_t)strlen(text)};
}

bool http_span_equal(struct http_span a, struct http_span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

bool http_span_equal_nocase(struct http_span a, struct http_span b)
{
    if (a.length != b.length)
        return false;
    for (uint32_t i = 0; i < a.length; i++) {
        if (a.at[i] != b.at[i] && http_lower(a.at[i]) != http_lower(b.at[i]))
            return false;
    }
    return true;
}

bool http_name_is(const struct http_field *field, const char *name)
{
    return http_span_equal_nocase(field->name, span_of(name));
}

struct http_span http_span_trim(struct http_span span)
{
    while (span.length > 0 && is_blank(span.at[span.length - 1]))
        span.length--;
    while (span.length > 0 && is_blank(span.at[0])) {
        span.at++;
        span.length--;
    }
    return span;
}

bool http_is_token(struct http_span span)
{
    uint32_t i = 0;

    while (i < span.length && is_tchar((unsigned char)span.at[i]))
        i++;
    return i > 0 && i == span.length;
}

const struct http_field *http_field_find(const struct http_fields *fields, const char *name,
                                         const struct http_field *after)
{
    struct http_span wanted = span_of(name);
    const struct http_field *end = fields->items + fields->count;

    for (const struct http_field *field = after ? after + 1 : fields->items; field < end; field++) {
        if (http_span_equal_nocase(field->name, wanted))
            return field;
    }
    return NULL;
}

uint32_t http_field_count(const struct http_fields *fields, const char *name)
{
    uint32_t count = 0;

    for (const struct http_field *field = NULL; (field = http_field_find(fields, name, field));)
        count++;
    return count;
}

bool http_field_add(struct http_fields *fields, struct http_span name, struct http_span value)
{
    if (fields->count >= HTTP_MAX_FIELDS)
        return false;
    fields->items[fields->count++] = (struct http_field){name, http_span_trim(value)};
    return true;
}

/* Behind the quoted-string that starts at `at` (RFC 9110 section 5.6.4); the end if it is not closed. */
static const char *skip_quoted(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return end;
}

static const char *skip_element(const char *at, const char *end)
{
    while (at < end && *at != ',')
        at = *at == '"' ? skip_quoted(at, end) : at + 1;
    return at;
}

bool http_list_next(struct http_span *rest, struct http_span *element)
{
    const char *at = rest->at;
    const char *end;

    if (rest->length == 0)
        return false;
    end = at + rest->length;
    while (at < end) {
        const char *comma = skip_element(at, end);

        *element = http_span_trim(span_between(at, comma));
        at = comma < end ? comma + 1 : end;
        if (element->length > 0) {
            *rest = span_between(at, end);
            return true;
        }
    }
    *rest = span_between(end, end);
    return false;
}

static bool list_has(struct http_span list, struct http_span wanted)
{
    struct http_span element;

    while (http_list_next(&list, &element)) {
        if (http_span_equal_nocase(element, wanted))
            return true;
    }
    return false;
}

static bool fields_list_has(const struct http_fields *fields, const char *name, struct http_span wanted)
{
    for (const struct http_field *field = NULL; (field = http_field_find(fields, name, field));) {
        if (list_has(field->value, wanted))
            return true;
    }
    return false;
}

bool http_list_has(const struct http_fields *fields, const char *name, const char *element)
{
    return fields_list_has(fields, name, span_of(element));
}

bool http_parse_seconds(struct http_span span, int64_t *out)
{
    int64_t seconds = 0;

    if (span.length == 0)
        return false;
    for (uint32_t i = 0; i < span.length; i++) {
        if (!http_is_digit(span.at[i]))
            return false;
        seconds = seconds * 10 + (span.at[i] - '0');
        if (seconds > DELTA_SECONDS_MAX)
            seconds = DELTA_SECONDS_MAX;
    }
    *out = seconds;
    return true;
}

bool http_parse_length(struct http_span span, uint64_t *out)
{
    uint64_t length = 0;

    if (span.length == 0)
        return false;
    for (uint32_t i = 0; i < span.length; i++) {
        if (!http_is_digit(span.at[i]) || __builtin_mul_overflow(length, 10u, &length) ||
            __builtin_add_overflow(length, (unsigned)(span.at[i] - '0'), &length))
            return false;
    }
    *out = length;
    return true;
}

/* Known to end at one hop whether Connection names them or not (RFC 9110 section 7.6.1). Trailer is among
 * them because trailers are not forwarded. */
static bool name_ends_here(struct http_span name)
{
    switch (name.length) {
    case 2:
        return http_span_equal_nocase(name, HTTP_SPAN("te"));
    case 7:
        return http_span_equal_nocase(name, HTTP_SPAN("upgrade")) ||
               http_span_equal_nocase(name, HTTP_SPAN("trailer"));
    case 10:
        return http_span_equal_nocase(name, HTTP_SPAN("connection")) ||
               http_span_equal_nocase(name, HTTP_SPAN("keep-alive"));
    case 16:
        return http_span_equal_nocase(name, HTTP_SPAN("proxy-connection"));
    case 17:
        return http_span_equal_nocase(name, HTTP_SPAN("transfer-encoding"));
    default:
        return false;
    }
}

/* Connection must not name fields that are meant for every recipient (RFC 9110 section 7.6.1). Whoever names
 * these three wants the next hop to cache, route or delimit the message in another way than this one does. */
static bool name_goes_all_the_way(struct http_span name)
{
    return http_span_equal_nocase(name, HTTP_SPAN("cache-control")) ||
           http_span_equal_nocase(name, HTTP_SPAN("host")) ||
           http_span_equal_nocase(name, HTTP_SPAN("content-length"));
}

bool http_connection_is_bounded(const struct http_fields *fields)
{
    uint32_t names = 0, bytes = 0;

    for (const struct http_field *field = NULL; (field = http_field_find(fields, "connection", field));) {
        struct http_span rest = field->value, name;

        bytes += field->value.length; /* of a head, whose length is bounded */
        while (bytes <= HTTP_CONNECTION_BYTES && http_list_next(&rest, &name))
            names++;
    }
    return names <= HTTP_CONNECTION_NAMES && bytes <= HTTP_CONNECTION_BYTES;
}

bool http_field_is_hop_by_hop(const struct http_fields *fields, const struct http_field *field)
{
    if (name_ends_here(field->name))
        return true;
    return fields_list_has(fields, "connection", field->name) && !name_goes_all_the_way(field->name);
}

bool http_name_is_never_stored(struct http_span name)
{
    switch (name.length) {
    case 3:
        return http_span_equal_nocase(name, HTTP_SPAN("age"));
    case 14:
        return http_span_equal_nocase(name, HTTP_SPAN("content-length"));
    case 18:
        return http_span_equal_nocase(name, HTTP_SPAN("proxy-authenticate"));
    case 19:
        return http_span_equal_nocase(name, HTTP_SPAN("proxy-authorization"));
    case 25:
        return http_span_equal_nocase(name, HTTP_SPAN("proxy-authentication-info"));
    default:
        return name_ends_here(name);
    }
}

/* One Content-Length value, itself perhaps a list of one repeated number (RFC 9110 section 8.6). Empty
 * elements, which other lists may have, are refused: two recipients that disagree here disagree about where
 * the message ends. */
static bool length_value_agrees(struct http_span value, enum http_length_result *seen, uint64_t *length)
{
    const char *at = value.at;
    const char *end;

    if (value.length == 0)
        return false;
    end = at + value.length;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        uint64_t number;

        if (!http_parse_length(http_span_trim(span_between(at, comma ? comma : end)), &number))
            return false;
        if (*seen == HTTP_LENGTH_KNOWN && number != *length)
            return false;
        *seen = HTTP_LENGTH_KNOWN;
        *length = number;
        if (!comma)
            return true;
        at = comma + 1;
    }
}

enum http_length_result http_content_length(const struct http_fields *fields, uint64_t *out)
{
    enum http_length_result seen = HTTP_LENGTH_NONE;
    uint64_t length = 0;

    for (const struct http_field *field = NULL; (field = http_field_find(fields, "content-length", field));) {
        if (!length_value_agrees(field->value, &seen, &length))
            return HTTP_LENGTH_BAD;
    }
    if (seen == HTTP_LENGTH_NONE)
        return HTTP_LENGTH_NONE;
    if (http_field_find(fields, "transfer-encoding", NULL))
        return HTTP_LENGTH_BAD;
    *out = length;
    return HTTP_LENGTH_KNOWN;
}

/* Which of eight bytes are below 0x20 or 0x7f (DEL): the lowest bit that is set lies in the first of them;
 * bits above it may be wrong, because the subtractions borrow upwards. */
static uint64_t control_bits(uint64_t bytes)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    uint64_t is_del = bytes ^ (ones * 0x7f);

    return (((bytes - ones * 0x20) & ~bytes) | ((is_del - ones) & ~is_del)) & high;
}

/* Moves to the first byte that `bits_of` finds, in steps of eight: every byte of stored metadata goes through
 * here on every hit. Stops at the last seven bytes if there is none before. Inlined with its argument. */
static inline const char *skip_words(const char *at, const char *end, uint64_t (*bits_of)(uint64_t bytes))
{
    while (end - at >= (ptrdiff_t)sizeof(uint64_t)) {
        uint64_t bytes, bits;

        memcpy(&bytes, at, sizeof bytes);
        bits = bits_of(le64toh(bytes));
        if (bits)
            return at + __builtin_ctzll(bits) / 8;
        at += sizeof bytes;
    }
    return at;
}

/* As control_bits(), for bytes that are not visible: up to 0x20, and from 0x7f on. */
static uint64_t invisible_bits(uint64_t bytes)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t high = 0x8080808080808080u;
    uint64_t is_del = bytes ^ (ones * 0x7f);

    return (((bytes - ones * 0x21) & ~bytes) | ((is_del - ones) & ~is_del) | bytes) & high;
}

const char *http_skip_visible(const char *at, const char *end)
{
    at = skip_words(at, end, invisible_bits);
    while (at < end && at[0] > ' ' && at[0] < 0x7f)
        at++;
    return at;
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* The first control character other than HTAB, or the end. */
static const char *skip_text(const char *at, const char *end)
{
    for (at = skip_words(at, end, control_bits); at < end && !is_control((unsigned char)*at); at++) {
        if (*at == '\t')
            at = skip_words(at + 1, end, control_bits) - 1;
    }
    return at;
}

enum http_line_result http_line_next(struct http_span *rest, struct http_field *field)
{
    const char *at = rest->at;
    const char *colon = at;
    const char *end, *stop;

    if (rest->length == 0)
        return HTTP_LINE_END;
    end = at + rest->length;
    while (colon < end && is_tchar((unsigned char)*colon))
        colon++;
    if (colon == at || colon == end || *colon != ':')
        return HTTP_LINE_BAD;
    stop = skip_text(colon + 1, end);
    if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return HTTP_LINE_BAD;
    field->name = span_between(at, colon);
    field->value = http_span_trim(span_between(colon + 1, stop));
    *rest = span_between(stop + 2, end);
    return HTTP_LINE_FIELD;
}

bool http_fields_parse(struct http_fields *fields, struct http_span block)
{
    struct http_field field;

    fields->count = 0;
    for (;;) {
        switch (http_line_next(&block, &field)) {
        case HTTP_LINE_END:
            return true;
        case HTTP_LINE_BAD:
            return http_span_equal(block, HTTP_SPAN("\r\n"));
        case HTTP_LINE_FIELD:
            if (!http_field_add(fields, field.name, field.value))
                return false;
        }
    }
}

struct http_text http_text_into(char *buffer, size_t size)
{
    struct http_text text = {.size = size < INT32_MAX ? size : INT32_MAX};

    text.at = buffer;
    return text;
}

void http_text_add(struct http_text *text, struct http_span span)
{
    if (text->failed || span.length > text->size - text->length) {
        text->failed = true;
        return;
    }
    if (span.length > 0)
        memcpy(text->at + text->length, span.at, span.length);
    text->length += span.length;
}

void http_text_add_number(struct http_text *text, int64_t number)
{
    char digits[20]; /* the longest is INT64_MIN: a sign and 19 digits */
    char *end = digits + sizeof digits;
    char *at = end;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0)
        *--at = '-';
    http_text_add(text, span_between(at, end));
}

static bool is_text(struct http_span span)
{
    return span.length == 0 || skip_text(span.at, span.at + span.length) == span.at + span.length;
}

void http_text_add_field(struct http_text *text, const struct http_field *field)
{
    if (!http_is_token(field->name) || !is_text(field->value)) {
        text->failed = true;
        return;
    }
    http_text_add(text, field->name);
    http_text_add(text, HTTP_SPAN(": "));
    http_text_add(text, field->value);
    http_text_add(text, HTTP_SPAN("\r\n"));
}
