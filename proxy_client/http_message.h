/* http_message.h: HTTP fields as borrowed spans, and the small parsers that every other http_ module shares.
 *
 * Ownership: spans point into somebody else's buffer and live as long as it does; nothing is copied or freed.
 * Trust:     names and values come from clients, origins and stored metadata; every function accepts any
 * bytes. Pure:      no I/O, no clock, no globals. */
#ifndef LARDER_HTTP_MESSAGE_H
#define LARDER_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_span {
    const char *at;
    uint32_t length;
};

struct http_field {
    struct http_span name;  /* as received; compare with http_name_is() */
    struct http_span value; /* without surrounding white space (RFC 9110 section 5.5) */
};

#define HTTP_MAX_FIELDS 128
struct http_fields {
    uint32_t count;
    struct http_field items[HTTP_MAX_FIELDS];
};

struct http_request {
    struct http_span method; /* case-sensitive (RFC 9110 section 9.1) */
    struct http_span target; /* as received, origin-form or "*" */
    const struct http_fields *fields;
};

struct http_response {
    int status;
    const struct http_fields *fields;
};

#define HTTP_SPAN(literal) ((struct http_span){(literal), sizeof(literal) - 1})

bool http_span_equal(struct http_span a, struct http_span b);        /* bytes */
unsigned char http_lower(char c);                                    /* of ASCII */
bool http_span_equal_nocase(struct http_span a, struct http_span b); /* ASCII letters */
bool http_name_is(const struct http_field *field, const char *name); /* case-insensitive */
struct http_span http_span_trim(struct http_span span);              /* SP and HTAB on both sides */
static inline bool http_is_digit(char c)                             /* ASCII, whatever the locale */
{
    return c >= '0' && c <= '9';
}
/* Past the bytes that are visible ASCII: neither white space, nor control characters, nor above 0x7e. */
const char *http_skip_visible(const char *at, const char *end);
bool http_is_token(struct http_span span); /* RFC 9110 section 5.6.2, not empty */

/* First field of that name, or NULL. `after` continues behind an earlier result (NULL: from the start). */
const struct http_field *http_field_find(const struct http_fields *fields, const char *name,
                                         const struct http_field *after);
uint32_t http_field_count(const struct http_fields *fields, const char *name);
/* False when full; name and value are not copied, white space around the value is left out. */
bool http_field_add(struct http_fields *fields, struct http_span name, struct http_span value);

/* Next element of a comma-separated list (RFC 9110 section 5.6.1): skips empty elements, honours
 * quoted-string (one that is not closed takes the rest of the value). *rest starts as the whole value. False
 * at the end. */
bool http_list_next(struct http_span *rest, struct http_span *element);

/* True if any field of that name has the list element (case-insensitive), e.g. Connection: close. */
bool http_list_has(const struct http_fields *fields, const char *name, const char *element);

/* Non-negative decimal; false unless all of the span is digits. http_parse_seconds() saturates at 2^31 (RFC
 * 9111 section 1.2.2); http_parse_length() returns false on overflow. */
bool http_parse_seconds(struct http_span span, int64_t *out);
bool http_parse_length(struct http_span span, uint64_t *out);

/* Fields that end at this hop: those of RFC 9110 section 7.6.1, Trailer, and whatever Connection names, save
 * Cache-Control, Host and Content-Length (see the .c). */
/* Each field is looked for in what Connection names, so that is bounded: HTTP_CONNECTION_NAMES, in
 * HTTP_CONNECTION_BYTES. */
#define HTTP_CONNECTION_NAMES 32u
#define HTTP_CONNECTION_BYTES 1024u
bool http_connection_is_bounded(const struct http_fields *fields);
bool http_field_is_hop_by_hop(const struct http_fields *fields, const struct http_field *field);

/* Fields that never go into a cache (RFC 9111 section 3.1), or that this cache makes anew for each response:
 * the hop-by-hop ones that need no Connection to be known, Proxy-Authenticate, Proxy-Authentication-Info,
 * Proxy-Authorization, Age, Content-Length. */
bool http_name_is_never_stored(struct http_span name);

/* The body of a message by RFC 9112 section 6.3: Content-Length repeated with one same value is one value;
 * different or unparsable values, or together with Transfer-Encoding, are an error. NONE: no Content-Length;
 * Transfer-Encoding or the end of the connection delimits the body, if there is one. */
enum http_length_result { HTTP_LENGTH_NONE, HTTP_LENGTH_KNOWN, HTTP_LENGTH_BAD };
enum http_length_result http_content_length(const struct http_fields *fields, uint64_t *out);

/* Takes one "Name: value\r\n" line off the front of *rest. BAD: anything else, such as an empty line, a
 * folded line, white space before the colon, or a control character other than HTAB in the value. */
enum http_line_result { HTTP_LINE_END, HTTP_LINE_FIELD, HTTP_LINE_BAD };
enum http_line_result http_line_next(struct http_span *rest, struct http_field *field);

/* Splits a block of such lines into fields; one empty line may end it. False if it is made of anything else
 * or has more than HTTP_MAX_FIELDS. */
bool http_fields_parse(struct http_fields *fields, struct http_span block);

/* Text written into a caller's buffer. What does not fit, and a field that would not read back as one line,
 * sets `failed`, and nothing is written from then on: check once, at the end. */
struct http_text {
    char *at;
    size_t size;
    size_t length;
    bool failed;
};
/* Starts empty; at most INT32_MAX bytes of the buffer are used, so that every length fits in an int. */
struct http_text http_text_into(char *buffer, size_t size);
void http_text_add(struct http_text *text, struct http_span span);
void http_text_add_number(struct http_text *text, int64_t number);
/* "Name: value\r\n" */
void http_text_add_field(struct http_text *text, const struct http_field *field);

#endif
