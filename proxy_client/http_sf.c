/* Every take_ function reads one thing from the front of *in and moves it on; false: it is not there, or not
 * as the grammar has it, and the whole value is invalid. The structure nests twice at most (a list, an inner
 * list, its items), so nothing recurses. */
#include "http_sf.h"

#include <string.h>

#define INTEGER_DIGITS  15
#define DECIMAL_DIGITS  12 /* before the point */
#define FRACTION_DIGITS 3

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool starts_with(const struct http_span *in, char c)
{
    return in->length > 0 && in->at[0] == c;
}

static void skip(struct http_span *in, uint32_t bytes)
{
    in->at += bytes;
    in->length -= bytes;
}

static bool take_char(struct http_span *in, char c)
{
    if (!starts_with(in, c))
        return false;
    skip(in, 1);
    return true;
}

static void skip_spaces(struct http_span *in)
{
    while (take_char(in, ' '))
        ;
}

static void skip_ows(struct http_span *in)
{
    while (take_char(in, ' ') || take_char(in, '\t'))
        ;
}

static struct http_span front(const struct http_span *before, const struct http_span *after)
{
    return (struct http_span){before->at, before->length - after->length};
}

static uint32_t count_digits(const struct http_span *in)
{
    uint32_t digits = 0;

    while (digits < in->length && http_is_digit(in->at[digits]))
        digits++;
    return digits;
}

/* Section 4.2.3.3 */
static bool take_key(struct http_span *in, struct http_span *key)
{
    struct http_span start = *in;

    if (in->length == 0 || !(is_lower(in->at[0]) || in->at[0] == '*'))
        return false;
    while (in->length > 0 &&
           (is_lower(in->at[0]) || http_is_digit(in->at[0]) || (in->at[0] && strchr("_-.*", in->at[0]))))
        skip(in, 1);
    *key = front(&start, in);
    return true;
}

/* Section 4.2.4 */
static bool take_number(struct http_span *in, struct http_sf_item *item)
{
    struct http_span start = *in;
    uint32_t digits, fraction;

    take_char(in, '-');
    digits = count_digits(in);
    skip(in, digits);
    item->type = HTTP_SF_INTEGER;
    if (digits == 0 || digits > INTEGER_DIGITS)
        return false;
    if (take_char(in, '.')) {
        item->type = HTTP_SF_DECIMAL;
        fraction = count_digits(in);
        skip(in, fraction);
        if (digits > DECIMAL_DIGITS || fraction == 0 || fraction > FRACTION_DIGITS)
            return false;
    }
    item->text = front(&start, in);
    return true;
}

/* Section 4.2.5 */
static bool take_string(struct http_span *in, struct http_sf_item *item)
{
    struct http_span start;

    skip(in, 1);
    start = *in;
    item->type = HTTP_SF_STRING;
    while (in->length > 0 && in->at[0] >= ' ' && in->at[0] <= '~') {
        if (in->at[0] == '"') {
            item->text = front(&start, in);
            skip(in, 1);
            return true;
        }
        if (take_char(in, '\\') && !starts_with(in, '"') && !starts_with(in, '\\'))
            return false;
        skip(in, 1);
    }
    return false;
}

/* Section 4.2.6 */
static bool take_token(struct http_span *in, struct http_sf_item *item)
{
    struct http_span start = *in;

    while (in->length > 0 &&
           (http_is_token((struct http_span){in->at, 1}) || in->at[0] == ':' || in->at[0] == '/'))
        skip(in, 1);
    item->type = HTTP_SF_TOKEN;
    item->text = front(&start, in);
    return true;
}

/* Missing padding is made up for (section 4.2.7). */
static bool is_base64(struct http_span text)
{
    uint32_t data = 0, padding = 0;

    for (uint32_t i = 0; i < text.length; i++) {
        char c = text.at[i];

        if (c == '=')
            padding++;
        else if (padding == 0 && (is_alpha(c) || http_is_digit(c) || c == '+' || c == '/'))
            data++;
        else
            return false;
    }
    return data % 4 != 1 && (padding == 0 || (padding <= 2 && (data + padding) % 4 == 0));
}

/* Section 4.2.7 */
static bool take_bytes(struct http_span *in, struct http_sf_item *item)
{
    const char *end;

    skip(in, 1);
    end = in->length > 0 ? memchr(in->at, ':', in->length) : NULL;
    if (!end)
        return false;
    item->type = HTTP_SF_BYTES;
    item->text = (struct http_span){in->at, (uint32_t)(end - in->at)};
    skip(in, item->text.length + 1);
    return is_base64(item->text);
}

/* Section 4.2.8 */
static bool take_boolean(struct http_span *in, struct http_sf_item *item)
{
    skip(in, 1);
    item->type = HTTP_SF_BOOLEAN;
    item->text = (struct http_span){in->at, 1};
    return take_char(in, '0') || take_char(in, '1');
}

/* Section 4.2.9 */
static bool take_date(struct http_span *in, struct http_sf_item *item)
{
    skip(in, 1);
    if (!take_number(in, item) || item->type != HTTP_SF_INTEGER)
        return false;
    item->type = HTTP_SF_DATE;
    return true;
}

/* UTF-8, fed byte by byte: shortest forms only, no surrogates, nothing above U+10FFFF (RFC 3629). */
struct utf8 {
    unsigned left;
    unsigned char low, high; /* what the next byte may be */
};

static bool utf8_first(struct utf8 *state, unsigned char byte)
{
    *state = (struct utf8){.low = 0x80, .high = 0xbf};
    if (byte < 0x80)
        return true;
    if (byte < 0xc2 || byte > 0xf4)
        return false;
    state->left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte == 0xe0)
        state->low = 0xa0;
    else if (byte == 0xf0)
        state->low = 0x90;
    else if (byte == 0xed)
        state->high = 0x9f;
    else if (byte == 0xf4)
        state->high = 0x8f;
    return true;
}

static bool utf8_feed(struct utf8 *state, unsigned char byte)
{
    if (state->left == 0)
        return utf8_first(state, byte);
    if (byte < state->low || byte > state->high)
        return false;
    *state = (struct utf8){.left = state->left - 1, .low = 0x80, .high = 0xbf};
    return true;
}

/* Lower case only (section 4.2.10). */
static int hex_digit(char c)
{
    return http_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_display_byte(struct http_span *in, unsigned char *byte)
{
    *byte = (unsigned char)in->at[0];
    if (!take_char(in, '%')) {
        skip(in, 1);
        return true;
    }
    if (in->length < 2 || hex_digit(in->at[0]) < 0 || hex_digit(in->at[1]) < 0)
        return false;
    *byte = (unsigned char)(hex_digit(in->at[0]) * 16 + hex_digit(in->at[1]));
    skip(in, 2);
    return true;
}

/* Section 4.2.10 */
static bool take_display(struct http_span *in, struct http_sf_item *item)
{
    struct utf8 state = {0};
    struct http_span start;
    unsigned char byte;

    skip(in, 1);
    if (!take_char(in, '"'))
        return false;
    start = *in;
    item->type = HTTP_SF_DISPLAY;
    while (in->length > 0 && in->at[0] >= ' ' && in->at[0] <= '~') {
        if (in->at[0] == '"') {
            item->text = front(&start, in);
            skip(in, 1);
            return state.left == 0;
        }
        if (!take_display_byte(in, &byte) || !utf8_feed(&state, byte))
            return false;
    }
    return false;
}

/* Section 4.2.3.1 */
static bool take_bare_item(struct http_span *in, struct http_sf_item *item)
{
    if (in->length == 0)
        return false;
    switch (in->at[0]) {
    case '"':
        return take_string(in, item);
    case ':':
        return take_bytes(in, item);
    case '?':
        return take_boolean(in, item);
    case '@':
        return take_date(in, item);
    case '%':
        return take_display(in, item);
    case '-':
        return take_number(in, item);
    default:
        if (http_is_digit(in->at[0]))
            return take_number(in, item);
        return (is_alpha(in->at[0]) || in->at[0] == '*') && take_token(in, item);
    }
}

/* Section 4.2.3.2 */
static bool take_parameters(struct http_span *in, struct http_span *parameters)
{
    struct http_span start = *in, key;
    struct http_sf_item value;

    while (take_char(in, ';')) {
        skip_spaces(in);
        if (!take_key(in, &key) || (take_char(in, '=') && !take_bare_item(in, &value)))
            return false;
    }
    *parameters = front(&start, in);
    return true;
}

/* Section 4.2.3 */
static bool take_item(struct http_span *in, struct http_sf_item *item)
{
    return take_bare_item(in, item) && take_parameters(in, &item->parameters);
}

/* Section 4.2.1.2 */
static bool take_inner(struct http_span *in, struct http_sf_item *item)
{
    struct http_span start;
    struct http_sf_item element;

    skip(in, 1);
    start = *in;
    item->type = HTTP_SF_INNER;
    while (in->length > 0) {
        skip_spaces(in);
        item->text = front(&start, in);
        if (take_char(in, ')'))
            return take_parameters(in, &item->parameters);
        if (!take_item(in, &element) || !(starts_with(in, ' ') || starts_with(in, ')')))
            return false;
    }
    return false;
}

/* Section 4.2.1.1 */
static bool take_item_or_inner(struct http_span *in, struct http_sf_item *item)
{
    return starts_with(in, '(') ? take_inner(in, item) : take_item(in, item);
}

/* Section 4.2.2, one turn of its loop, up to the separator */
static bool take_member(struct http_span *in, struct http_sf_member *member)
{
    if (!take_key(in, &member->key))
        return false;
    if (take_char(in, '='))
        return take_item_or_inner(in, &member->value);
    member->value.type = HTTP_SF_BOOLEAN;
    member->value.text = HTTP_SPAN("1");
    return take_parameters(in, &member->value.parameters);
}

/* What stands between members; a comma with nothing behind it is an error. */
static bool take_separator(struct http_span *in)
{
    skip_ows(in);
    if (in->length == 0)
        return true;
    if (!take_char(in, ','))
        return false;
    skip_ows(in);
    return in->length > 0;
}

/* A value that no grammar has, so that whoever asks again gets BAD again. */
static enum http_sf_result bad(struct http_span *rest)
{
    *rest = HTTP_SPAN(",");
    return HTTP_SF_BAD;
}

enum http_sf_result http_sf_dictionary_next(struct http_span *rest, struct http_sf_member *member)
{
    skip_spaces(rest);
    if (rest->length == 0)
        return HTTP_SF_END;
    return take_member(rest, member) && take_separator(rest) ? HTTP_SF_MEMBER : bad(rest);
}

enum http_sf_result http_sf_list_next(struct http_span *rest, struct http_sf_item *item)
{
    skip_spaces(rest);
    if (rest->length == 0)
        return HTTP_SF_END;
    return take_item_or_inner(rest, item) && take_separator(rest) ? HTTP_SF_MEMBER : bad(rest);
}

bool http_sf_item(struct http_span value, struct http_sf_item *item)
{
    skip_spaces(&value);
    if (!take_item(&value, item))
        return false;
    skip_spaces(&value);
    return value.length == 0;
}

bool http_sf_is_dictionary(struct http_span value, uint32_t *members)
{
    struct http_sf_member member;
    enum http_sf_result result;
    uint32_t count = 0;

    while ((result = http_sf_dictionary_next(&value, &member)) == HTTP_SF_MEMBER)
        count++;
    if (members)
        *members = count;
    return result == HTTP_SF_END;
}
