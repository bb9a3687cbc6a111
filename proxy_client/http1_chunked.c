/*     SIZE_START ─> SIZE ─┬───────────────────────────────────────────┬─> SIZE_LF ─┬─> DATA ─> DATA_CR ─>
 * DATA_LF ─┐ ^               └─ BWS ";" BWS name [BWS "=" BWS value] ... ┘            │ │
 *         └────────────────────────────────────────────────────────────────────────│───────────────────────────────┘
 *                                                                                  └ 0 ─> TRAILER_START ─>
 * ... TRAILER_START ─┬─ name ":" value CRLF ─> TRAILER_START └─ CRLF ─> complete */
#include "http1_chunked.h"

#include "http_message.h"

#include <string.h>

enum state {
    SIZE_START,
    SIZE,
    EXT_BWS, /* behind a size, name or value: nothing but ";" goes on */
    EXT_START,
    EXT_NAME,
    EXT_NAME_BWS, /* "=" as well */
    EXT_VALUE_START,
    EXT_TOKEN,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    COMPLETE,
    BAD,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_tchar(char c)
{
    return http_is_token((struct http_span){&c, 1});
}

/* field-vchar, SP and HTAB (RFC 9110 section 5.5); also what quoted-string and quoted-pair are made of. */
static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && (unsigned char)c != 0x7f);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum state read_size(struct http1_chunked *chunked, char c)
{
    int value = hex_value(c);

    if (value >= 0) {
        chunked->left = chunked->left << 4 | (unsigned)value;
        return ++chunked->digits <= HTTP1_MAX_SIZE_DIGITS && chunked->left <= INT64_MAX ? SIZE : BAD;
    }
    if (chunked->digits == 0)
        return BAD;
    return c == '\r' ? SIZE_LF : c == ';' ? EXT_START : is_blank(c) ? EXT_BWS : BAD;
}

static enum state read_extension(enum state state, char c)
{
    switch (state) {
    case EXT_BWS:
        return is_blank(c) ? EXT_BWS : c == ';' ? EXT_START : BAD;
    case EXT_START:
        return is_blank(c) ? EXT_START : is_tchar(c) ? EXT_NAME : BAD;
    case EXT_NAME:
        if (is_tchar(c))
            return EXT_NAME;
        return c == '\r'     ? SIZE_LF
               : c == ';'    ? EXT_START
               : c == '='    ? EXT_VALUE_START
               : is_blank(c) ? EXT_NAME_BWS
                             : BAD;
    case EXT_NAME_BWS:
        return is_blank(c) ? EXT_NAME_BWS : c == ';' ? EXT_START : c == '=' ? EXT_VALUE_START : BAD;
    case EXT_VALUE_START:
        return is_blank(c) ? EXT_VALUE_START : c == '"' ? EXT_QUOTED : is_tchar(c) ? EXT_TOKEN : BAD;
    case EXT_TOKEN:
        if (is_tchar(c))
            return EXT_TOKEN;
        return c == '\r' ? SIZE_LF : c == ';' ? EXT_START : is_blank(c) ? EXT_BWS : BAD;
    case EXT_QUOTED:
        return c == '"' ? EXT_QUOTED_END : c == '\\' ? EXT_ESCAPED : is_text(c) ? EXT_QUOTED : BAD;
    case EXT_ESCAPED:
        return is_text(c) ? EXT_QUOTED : BAD;
    default: /* EXT_QUOTED_END */
        return c == '\r' ? SIZE_LF : c == ';' ? EXT_START : is_blank(c) ? EXT_BWS : BAD;
    }
}

static enum state read_trailer(enum state state, char c)
{
    switch (state) {
    case TRAILER_START:
        return c == '\r' ? END_LF : is_tchar(c) ? TRAILER_NAME : BAD;
    case TRAILER_NAME:
        return c == ':' ? TRAILER_VALUE : is_tchar(c) ? TRAILER_NAME : BAD;
    case TRAILER_VALUE:
        return c == '\r' ? TRAILER_LF : is_text(c) ? TRAILER_VALUE : BAD;
    case TRAILER_LF:
        return c == '\n' ? TRAILER_START : BAD;
    default: /* END_LF */
        return c == '\n' ? COMPLETE : BAD;
    }
}

static enum state begin_chunk(struct http1_chunked *chunked)
{
    chunked->digits = 0;
    return chunked->left > 0 ? DATA : TRAILER_START;
}

/* Every byte but those of the content. */
static enum state read_byte(struct http1_chunked *chunked, char c)
{
    switch (chunked->state) {
    case SIZE_START:
    case SIZE:
        return read_size(chunked, c);
    case SIZE_LF:
        return c == '\n' ? begin_chunk(chunked) : BAD;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return c == '\n' ? SIZE_START : BAD;
    case COMPLETE:
    case BAD:
        return BAD;
    default:
        break;
    }
    if (chunked->state >= TRAILER_START) {
        chunked->trailers++;
        return read_trailer(chunked->state, c);
    }
    return ++chunked->extensions <= HTTP1_MAX_EXTENSIONS ? read_extension(chunked->state, c) : BAD;
}

static size_t take_content(struct http1_chunked *chunked, const char *raw, size_t size, char *out)
{
    size_t piece = chunked->left < size ? (size_t)chunked->left : size;

    memcpy(out, raw, piece);
    chunked->left -= piece;
    if (chunked->left == 0)
        chunked->state = DATA_CR;
    return piece;
}

enum http1_chunked_result http1_chunked_decode(struct http1_chunked *chunked, const char *raw, size_t size,
                                               char *out, size_t *used, size_t *got)
{
    *used = *got = 0;
    while (*used < size && chunked->state != COMPLETE) {
        if (chunked->state == DATA) {
            size_t piece = take_content(chunked, raw + *used, size - *used, out + *got);

            *used += piece;
            *got += piece;
            continue;
        }
        chunked->state = read_byte(chunked, raw[*used]);
        ++*used;
        if (chunked->state == BAD)
            return HTTP1_CHUNKED_BAD;
        if (chunked->trailers > HTTP1_MAX_TRAILERS)
            return HTTP1_CHUNKED_TRAILERS_TOO_LARGE;
    }
    return chunked->state == COMPLETE ? HTTP1_CHUNKED_COMPLETE : HTTP1_CHUNKED_GOES_ON;
}
