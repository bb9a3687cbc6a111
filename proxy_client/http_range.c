#include "http_range.h"

#include "http_date.h"

#include <string.h>

static struct http_span behind(struct http_span span, uint32_t count)
{
    return (struct http_span){span.at + count, span.length - count};
}

/* ---- What is asked for ---- */

/* Takes the digits off the front; more than fits is as much as fits, which lies behind the end of everything
 * (section 14.1.2). False: no digits. */
static bool take_position(struct http_span *rest, uint64_t *out)
{
    uint32_t i = 0;

    *out = 0;
    for (; i < rest->length && http_is_digit(rest->at[i]); i++) {
        if (__builtin_mul_overflow(*out, 10u, out) ||
            __builtin_add_overflow(*out, (unsigned)(rest->at[i] - '0'), out))
            *out = UINT64_MAX;
    }
    *rest = behind(*rest, i);
    return i > 0;
}

static bool take_char(struct http_span *rest, char c)
{
    if (rest->length == 0 || rest->at[0] != c)
        return false;
    *rest = behind(*rest, 1);
    return true;
}

enum spec { SPEC_BAD, SPEC_UNSATISFIABLE, SPEC_RANGE };

static enum spec suffix_range(uint64_t size, uint64_t length, struct http_range *out)
{
    *out = (struct http_range){size < length ? length - size : 0, length};
    return size > 0 ? SPEC_RANGE : SPEC_UNSATISFIABLE;
}

static enum spec int_range(uint64_t first, uint64_t last, uint64_t length, struct http_range *out)
{
    if (last < first)
        return SPEC_BAD;
    *out = (struct http_range){first, last < length ? last + 1 : length};
    return first < length ? SPEC_RANGE : SPEC_UNSATISFIABLE;
}

/* One range-spec (section 14.1.1), without white space around it. */
static enum spec read_spec(struct http_span spec, uint64_t length, struct http_range *out)
{
    uint64_t first, last = UINT64_MAX;
    bool has_first = take_position(&spec, &first);
    bool has_last;

    if (!take_char(&spec, '-'))
        return SPEC_BAD;
    has_last = spec.length > 0;
    if (has_last && (!take_position(&spec, &last) || spec.length > 0))
        return SPEC_BAD;
    if (has_first)
        return int_range(first, last, length, out);
    return has_last ? suffix_range(last, length, out) : SPEC_BAD;
}

struct asked {
    uint32_t count;
    struct http_range items[HTTP_RANGES_ASKED];
};

static bool are_close(const struct http_range *a, const struct http_range *b)
{
    const struct http_range *left = a->first <= b->first ? a : b;
    const struct http_range *right = left == a ? b : a;

    return right->first < left->end || right->first - left->end < HTTP_RANGE_GAP;
}

static void unite(struct http_range *into, const struct http_range *other)
{
    if (other->first < into->first)
        into->first = other->first;
    if (other->end > into->end)
        into->end = other->end;
}

static void remove_at(struct asked *asked, uint32_t at)
{
    asked->count--;
    memmove(&asked->items[at], &asked->items[at + 1], (asked->count - at) * sizeof *asked->items);
}

/* What is close to items[at] and lies behind it in the list becomes a part of it. True: there was something,
 * and items[at] has grown. */
static bool absorb(struct asked *asked, uint32_t at)
{
    for (uint32_t i = at + 1; i < asked->count; i++) {
        if (!are_close(&asked->items[at], &asked->items[i]))
            continue;
        unite(&asked->items[at], &asked->items[i]);
        remove_at(asked, i);
        return true;
    }
    return false;
}

/* A piece that grows may reach one that stands before it in the list: that one absorbs it when the list is
 * gone through again. Each turn takes one away, so this ends. */
static void coalesce(struct asked *asked)
{
    for (uint32_t at = 0; at < asked->count;)
        at = absorb(asked, at) ? 0 : at + 1;
}

/* False: the whole field is invalid (section 14.1.1), or asks for too much. */
static bool read_set(struct http_span set, uint64_t length, struct asked *asked)
{
    struct http_span spec;
    uint32_t specs = 0;

    asked->count = 0;
    while (http_list_next(&set, &spec)) {
        struct http_range range;
        enum spec kind = read_spec(spec, length, &range);

        if (kind == SPEC_BAD || ++specs > HTTP_RANGES_ASKED)
            return false;
        if (kind == SPEC_RANGE)
            asked->items[asked->count++] = range;
    }
    return specs > 0;
}

static bool is_in_bytes(struct http_span *value)
{
    static const struct http_span unit = {"bytes=", 6};

    if (value->length < unit.length ||
        !http_span_equal_nocase((struct http_span){value->at, unit.length}, unit))
        return false;
    *value = behind(*value, unit.length);
    return true;
}

enum http_range_verdict http_ranges_select(const struct http_fields *request, uint64_t length,
                                           struct http_ranges *out)
{
    const struct http_field *field = http_field_find(request, "range", NULL);
    struct http_span value;
    struct asked asked;

    if (!field || http_field_find(request, "range", field) || length == 0)
        return HTTP_RANGE_WHOLE;
    value = field->value;
    if (!is_in_bytes(&value) || !read_set(value, length, &asked))
        return HTTP_RANGE_WHOLE;
    if (asked.count == 0)
        return HTTP_RANGE_UNSATISFIABLE;
    coalesce(&asked);
    if (asked.count > HTTP_RANGES_MAX) /* section 17.15 */
        return HTTP_RANGE_WHOLE;
    out->count = asked.count;
    memcpy(out->items, asked.items, asked.count * sizeof *asked.items);
    return HTTP_RANGE_PARTIAL;
}

/* ---- Content-Range ---- */

static bool take_number(struct http_span *rest, uint64_t *out)
{
    uint32_t i = 0;

    while (i < rest->length && http_is_digit(rest->at[i]))
        i++;
    if (!http_parse_length((struct http_span){rest->at, i}, out))
        return false;
    *rest = behind(*rest, i);
    return true;
}

static bool read_range(struct http_span *rest, struct http_range *out)
{
    uint64_t last;

    if (!take_number(rest, &out->first) || !take_char(rest, '-') || !take_number(rest, &last))
        return false;
    out->end = last + 1;
    return last >= out->first && last < UINT64_MAX;
}

bool http_content_range_parse(struct http_span value, struct http_content_range *out)
{
    static const struct http_span unit = {"bytes ", 6};
    struct http_content_range read = {.length_known = true};
    struct http_span rest;

    if (value.length < unit.length ||
        !http_span_equal_nocase((struct http_span){value.at, unit.length}, unit))
        return false;
    rest = behind(value, unit.length);
    read.unsatisfied = take_char(&rest, '*');
    if ((!read.unsatisfied && !read_range(&rest, &read.range)) || !take_char(&rest, '/'))
        return false;
    if (!read.unsatisfied && take_char(&rest, '*'))
        read.length_known = false;
    else if (!take_number(&rest, &read.length) || (!read.unsatisfied && read.length < read.range.end))
        return false;
    if (rest.length > 0)
        return false;
    *out = read;
    return true;
}

static unsigned digits_of(uint64_t number)
{
    unsigned count = 1;

    for (; number > 9; number /= 10)
        count++;
    return count;
}

static void add_count(struct http_text *text, uint64_t number)
{
    char digits[20];
    unsigned count = digits_of(number);

    for (unsigned i = count; i > 0; number /= 10)
        digits[--i] = (char)('0' + number % 10);
    http_text_add(text, (struct http_span){digits, count});
}

void http_content_range_add(struct http_text *text, const struct http_range *range, uint64_t length)
{
    http_text_add(text, HTTP_SPAN("bytes "));
    add_count(text, range->first);
    http_text_add(text, HTTP_SPAN("-"));
    add_count(text, range->end - 1);
    http_text_add(text, HTTP_SPAN("/"));
    add_count(text, length);
}

void http_content_range_add_unsatisfied(struct http_text *text, uint64_t length)
{
    http_text_add(text, HTTP_SPAN("bytes */"));
    add_count(text, length);
}

/* ---- If-Range ---- */

/* The only field of that name, or NULL: which of several is meant nobody knows. */
static const struct http_field *only(const struct http_fields *fields, const char *name)
{
    const struct http_field *field = http_field_find(fields, name, NULL);

    return field && !http_field_find(fields, name, field) ? field : NULL;
}

/* An entity tag without W/ (section 8.8.3). */
static bool is_strong_tag(struct http_span tag)
{
    if (tag.length < 2 || tag.at[0] != '"' || tag.at[tag.length - 1] != '"')
        return false;
    for (uint32_t i = 1; i + 1 < tag.length; i++) {
        unsigned char c = (unsigned char)tag.at[i];

        if (c <= ' ' || c == '"' || c == 0x7f)
            return false;
    }
    return true;
}

/* Section 8.8.2.2: by then the clock had moved on, so nothing else has that Last-Modified. */
static bool strong_date(const struct http_fields *response, int64_t now, int64_t *modified)
{
    const struct http_field *field = only(response, "last-modified");
    const struct http_field *date = only(response, "date");
    int64_t made;

    return field && date && http_date_parse(field->value, now, modified) &&
           http_date_parse(date->value, now, &made) && made > *modified;
}

bool http_strong_validator(const struct http_fields *response, int64_t now, struct http_span *validator)
{
    int64_t modified;

    if (http_field_find(response, "etag", NULL)) {
        const struct http_field *tag = only(response, "etag");

        if (!tag || !is_strong_tag(tag->value))
            return false;
        *validator = tag->value;
        return true;
    }
    if (!strong_date(response, now, &modified))
        return false;
    *validator = http_field_find(response, "last-modified", NULL)->value;
    return true;
}

static bool tag_holds(struct http_span tag, const struct http_fields *stored)
{
    const struct http_field *own = only(stored, "etag");

    return own && is_strong_tag(tag) && http_span_equal(tag, own->value);
}

bool http_if_range_holds(const struct http_fields *request, const struct http_fields *stored, int64_t now)
{
    const struct http_field *field = http_field_find(request, "if-range", NULL);
    int64_t asked, modified;

    if (!field)
        return true;
    if (http_field_find(request, "if-range", field) || field->value.length == 0)
        return false;
    if (field->value.at[0] == '"')
        return tag_holds(field->value, stored);
    return http_date_parse(field->value, now, &asked) && strong_date(stored, now, &modified) &&
           asked == modified;
}

/* ---- multipart/byteranges ---- */

static const struct http_span type_name = {"Content-Type: ", 14};
static const struct http_span range_name = {"Content-Range: ", 15};

void http_multipart_add_head(struct http_text *text, const struct http_multipart *multipart,
                             const struct http_range *range, bool is_first)
{
    http_text_add(text, is_first ? HTTP_SPAN("--") : HTTP_SPAN("\r\n--"));
    http_text_add(text, multipart->boundary);
    http_text_add(text, HTTP_SPAN("\r\n"));
    if (multipart->content_type.length > 0) {
        http_text_add(text, type_name);
        http_text_add(text, multipart->content_type);
        http_text_add(text, HTTP_SPAN("\r\n"));
    }
    http_text_add(text, range_name);
    http_content_range_add(text, range, multipart->length);
    http_text_add(text, HTTP_SPAN("\r\n\r\n"));
}

void http_multipart_add_end(struct http_text *text, const struct http_multipart *multipart)
{
    http_text_add(text, HTTP_SPAN("\r\n--"));
    http_text_add(text, multipart->boundary);
    http_text_add(text, HTTP_SPAN("--\r\n"));
}

/* As http_multipart_add_head() writes it. */
static uint64_t head_length(const struct http_multipart *multipart, const struct http_range *range,
                            bool is_first)
{
    uint64_t length = (is_first ? 2 : 4) + multipart->boundary.length + 2;

    if (multipart->content_type.length > 0)
        length += type_name.length + multipart->content_type.length + 2;
    return length + range_name.length + 6 + digits_of(range->first) + 1 + digits_of(range->end - 1) + 1 +
           digits_of(multipart->length) + 4;
}

bool http_multipart_length(const struct http_multipart *multipart, const struct http_ranges *ranges,
                           uint64_t *out)
{
    uint64_t length = 4 + (uint64_t)multipart->boundary.length + 4;

    for (uint32_t i = 0; i < ranges->count; i++) {
        const struct http_range *range = &ranges->items[i];

        if (__builtin_add_overflow(length, head_length(multipart, range, i == 0), &length) ||
            __builtin_add_overflow(length, range->end - range->first, &length))
            return false;
    }
    *out = length;
    return true;
}
