#include "http1_target.h"

enum { PATH = 1, QUERY = 2, NAME = 4, ADDRESS = 8 };

static bool may_stand(unsigned char byte, unsigned where)
{
    static const unsigned char table[256] = {
        ['0' ... '9'] = PATH | QUERY | NAME | ADDRESS,
        ['a' ... 'f'] = PATH | QUERY | NAME | ADDRESS,
        ['A' ... 'F'] = PATH | QUERY | NAME | ADDRESS,
        ['g' ... 'z'] = PATH | QUERY | NAME,
        ['G' ... 'Z'] = PATH | QUERY | NAME,
        /* unreserved and sub-delims; no comma in names, see the header */
        ['-'] = PATH | QUERY | NAME,
        ['.'] = PATH | QUERY | NAME | ADDRESS,
        ['_'] = PATH | QUERY | NAME,
        ['~'] = PATH | QUERY | NAME,
        ['!'] = PATH | QUERY | NAME,
        ['$'] = PATH | QUERY | NAME,
        ['&'] = PATH | QUERY | NAME,
        ['\''] = PATH | QUERY | NAME,
        ['('] = PATH | QUERY | NAME,
        [')'] = PATH | QUERY | NAME,
        ['*'] = PATH | QUERY | NAME,
        ['+'] = PATH | QUERY | NAME,
        [';'] = PATH | QUERY | NAME,
        ['='] = PATH | QUERY | NAME,
        [','] = PATH | QUERY,
        /* pchar and "/" */
        [':'] = PATH | QUERY | ADDRESS,
        ['@'] = PATH | QUERY,
        ['/'] = PATH | QUERY,
        ['?'] = QUERY,
        /* not in URIs, but sent by browsers */
        ['['] = PATH | QUERY,
        [']'] = PATH | QUERY,
        ['^'] = PATH | QUERY,
        ['|'] = PATH | QUERY,
        ['\\'] = QUERY,
        ['`'] = QUERY,
        ['{'] = QUERY,
        ['}'] = QUERY,
    };

    return table[byte] & where;
}

static bool is_hex(unsigned char byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

/* Three bytes from here on are pct-encoded (RFC 3986 section 2.1). */
static bool is_encoded(struct http_span span, uint32_t at)
{
    return span.length - at >= 3 && is_hex((unsigned char)span.at[at + 1]) &&
           is_hex((unsigned char)span.at[at + 2]);
}

static struct http_span from(struct http_span span, uint32_t at)
{
    return (struct http_span){span.at + at, span.length - at};
}

static bool is_path_and_query(struct http_span span)
{
    unsigned where = PATH;

    for (uint32_t i = 0; i < span.length; i++) {
        unsigned char byte = (unsigned char)span.at[i];

        if (may_stand(byte, where)) /* '%' may not */
            continue;
        if (byte == '?')
            where = QUERY;
        else if (byte != '%' || (where == PATH && !is_encoded(span, i)))
            return false;
    }
    return true;
}

/* *span continues behind the host; an IP-literal keeps its brackets (RFC 3986 section 3.2.2). */
static bool skip_host(struct http_span *span)
{
    bool literal = span->length > 0 && span->at[0] == '[';
    uint32_t i = literal ? 1 : 0;

    for (; i < span->length && span->at[i] != (literal ? ']' : ':'); i++) {
        unsigned char byte = (unsigned char)span->at[i];

        if (byte == '%' ? literal || !is_encoded(*span, i) : !may_stand(byte, literal ? ADDRESS : NAME))
            return false;
    }
    if (literal && (i < 3 || i++ == span->length))
        return false;
    *span = from(*span, i);
    return i > 0;
}

static bool is_port(struct http_span port)
{
    uint64_t number = 0;

    return port.length == 0 || (http_parse_length(port, &number) && number <= 65535);
}

bool http1_authority_is_sound(struct http_span authority)
{
    if (!skip_host(&authority))
        return false;
    return authority.length == 0 || (authority.at[0] == ':' && is_port(from(authority, 1)));
}

static bool starts_with(struct http_span span, struct http_span prefix)
{
    return span.length >= prefix.length &&
           http_span_equal_nocase((struct http_span){span.at, prefix.length}, prefix);
}

static enum http1_form read_absolute(struct http1_target *out, struct http_span target)
{
    struct http_span rest;
    uint32_t end = 0;

    out->https = starts_with(target, HTTP_SPAN("https://"));
    if (!out->https && !starts_with(target, HTTP_SPAN("http://")))
        return HTTP1_FORM_BAD;
    rest = from(target, out->https ? 8 : 7);
    while (end < rest.length && rest.at[end] != '/' && rest.at[end] != '?')
        end++;
    out->authority = (struct http_span){rest.at, end};
    out->path = from(rest, end);
    return http1_authority_is_sound(out->authority) && is_path_and_query(out->path) ? HTTP1_FORM_ABSOLUTE
                                                                                    : HTTP1_FORM_BAD;
}

/* Section 3.2.3: a port has to be there. */
static enum http1_form read_authority(struct http1_target *out, struct http_span target)
{
    struct http_span port = target;

    out->authority = target;
    if (!http1_authority_is_sound(target) || !skip_host(&port) || port.length < 2)
        return HTTP1_FORM_BAD;
    return HTTP1_FORM_AUTHORITY;
}

enum http1_form http1_target_read(struct http1_target *out, struct http_span method, struct http_span target)
{
    *out = (struct http1_target){.form = HTTP1_FORM_BAD};
    if (http_span_equal(method, HTTP_SPAN("CONNECT"))) {
        out->form = read_authority(out, target);
    } else if (http_span_equal(target, HTTP_SPAN("*"))) {
        out->form =
            http_span_equal(method, HTTP_SPAN("OPTIONS")) ? HTTP1_FORM_ASTERISK : HTTP1_FORM_BAD; /* 3.2.4 */
    } else if (target.length > 0 && target.at[0] == '/') {
        out->path = target;
        out->form = is_path_and_query(target) ? HTTP1_FORM_ORIGIN : HTTP1_FORM_BAD;
    } else {
        out->form = read_absolute(out, target);
    }
    return out->form;
}
