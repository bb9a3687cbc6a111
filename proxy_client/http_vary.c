#include "http_vary.h"

#include <string.h>

static const struct http_span generation_name = {"Larder-Generation", 17};
static const struct http_span spec_name = {"Larder-Vary", 11};

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static void add_char(struct http_text *text, char c)
{
    http_text_add(text, (struct http_span){&c, 1});
}

static void add_lower(struct http_text *text, struct http_span span)
{
    for (uint32_t i = 0; i < span.length; i++)
        add_char(text, lower(span.at[i]));
}

/* A line's end within a value would let one request forge the key of another. */
static void add_value(struct http_text *text, struct http_span value)
{
    for (uint32_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.at[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            text->failed = true;
    }
    http_text_add(text, value);
}

static int compare(struct http_span a, struct http_span b)
{
    uint32_t length = a.length < b.length ? a.length : b.length;
    int order = length > 0 ? memcmp(a.at, b.at, length) : 0;

    return order ? order : a.length < b.length ? -1 : a.length > b.length;
}

static int compare_nocase(struct http_span a, struct http_span b)
{
    for (uint32_t i = 0; i < a.length && i < b.length; i++) {
        int order = (unsigned char)lower(a.at[i]) - (unsigned char)lower(b.at[i]);

        if (order)
            return order;
    }
    return a.length < b.length ? -1 : a.length > b.length;
}

/* ---- specs ---- */

struct names {
    uint32_t count;
    struct http_span items[HTTP_VARY_NAMES_MAX];
};

/* In its place, unless it is there already. */
static bool put_name(struct names *names, struct http_span name)
{
    uint32_t at = 0;

    while (at < names->count && compare_nocase(names->items[at], name) < 0)
        at++;
    if (at < names->count && compare_nocase(names->items[at], name) == 0)
        return true;
    if (names->count == HTTP_VARY_NAMES_MAX)
        return false;
    memmove(&names->items[at + 1], &names->items[at], (names->count - at) * sizeof *names->items);
    names->items[at] = name;
    names->count++;
    return true;
}

static bool put_names(struct names *names, struct http_span list)
{
    struct http_span name;

    while (http_list_next(&list, &name)) {
        if (!http_is_token(name) || http_span_equal(name, HTTP_SPAN("*")) || !put_name(names, name))
            return false;
    }
    return true;
}

static bool write_spec(const struct names *names, struct http_vary_spec *out)
{
    struct http_text text = http_text_into(out->text, sizeof out->text);

    for (uint32_t i = 0; i < names->count; i++) {
        if (i > 0)
            add_char(&text, ',');
        add_lower(&text, names->items[i]);
    }
    out->length = (uint32_t)text.length;
    return !text.failed;
}

enum http_vary http_vary_of(const struct http_fields *response, struct http_vary_spec *out)
{
    struct names names = {.count = 0};

    out->length = 0;
    for (const struct http_field *field = NULL; (field = http_field_find(response, "vary", field));) {
        if (!put_names(&names, field->value))
            return HTTP_VARY_NEVER;
    }
    if (names.count == 0)
        return HTTP_VARY_NONE;
    return write_spec(&names, out) ? HTTP_VARY_SPEC : HTTP_VARY_NEVER;
}

static struct http_span text_of(const struct http_vary_spec *spec)
{
    return (struct http_span){spec->text, spec->length};
}

bool http_vary_spec_equal(const struct http_vary_spec *a, const struct http_vary_spec *b)
{
    return http_span_equal(text_of(a), text_of(b));
}

/* Writing what was read must give the same bytes: then it was canonical. */
bool http_vary_spec_parse(struct http_span text, struct http_vary_spec *out)
{
    struct names names = {.count = 0};

    return text.length > 0 && put_names(&names, text) && write_spec(&names, out) &&
           http_span_equal(text, text_of(out));
}

/* ---- lists with weights (RFC 9110 section 12.4.2) ---- */

#define ELEMENTS_MAX 64
#define WEIGHT_ONE   1000

struct element {
    struct http_span text; /* canonical, without its weight */
    int weight;            /* thousandths */
};

struct elements {
    uint32_t count;
    struct element items[ELEMENTS_MAX];
};

enum list_kind {
    LIST_NONE,    /* no list of that kind: bytes */
    LIST_PLAIN,   /* the only parameter is the weight */
    LIST_ORDERED, /* the same, and order may have a meaning among equal weights */
    LIST_MEDIA,   /* other parameters may stand before the weight */
};

static enum list_kind kind_of(struct http_span name)
{
    if (http_span_equal(name, HTTP_SPAN("accept")))
        return LIST_MEDIA;
    if (http_span_equal(name, HTTP_SPAN("accept-language")))
        return LIST_ORDERED;
    if (http_span_equal(name, HTTP_SPAN("accept-encoding")) ||
        http_span_equal(name, HTTP_SPAN("accept-charset")))
        return LIST_PLAIN;
    return LIST_NONE;
}

/* What stands before the next semicolon that is not within quotes. */
static struct http_span next_part(struct http_span *rest)
{
    struct http_span part = {rest->at, 0};
    bool quoted = false;

    while (part.length < rest->length && (quoted || rest->at[part.length] != ';')) {
        char c = rest->at[part.length++];

        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted && part.length < rest->length)
            part.length++;
    }
    rest->at += part.length;
    rest->length -= part.length;
    if (rest->length > 0) {
        rest->at++;
        rest->length--;
    }
    return http_span_trim(part);
}

/* qvalue: 0 to 1 with at most three digits behind the point; thousandths or -1. */
static int read_weight(struct http_span text)
{
    int weight = 0, digit = WEIGHT_ONE;

    if (text.length == 0 || text.length > 5 || (text.length > 1 && text.at[1] != '.'))
        return -1;
    for (uint32_t i = 0; i < text.length; i++) {
        if (i == 1)
            continue;
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        weight += (text.at[i] - '0') * digit;
        digit /= 10;
    }
    return weight <= WEIGHT_ONE ? weight : -1;
}

/* A range of media types, languages, codings or character sets. */
static bool is_range(struct http_span text, enum list_kind kind)
{
    const char *slash = text.length > 0 ? memchr(text.at, '/', text.length) : NULL;
    uint32_t before;

    if (kind != LIST_MEDIA)
        return http_is_token(text);
    if (!slash)
        return false;
    before = (uint32_t)(slash - text.at);
    return http_is_token((struct http_span){text.at, before}) &&
           http_is_token((struct http_span){slash + 1, text.length - before - 1});
}

/* RFC 9110 section 8.4.1: x-gzip and x-compress are old names of the same. */
static struct http_span without_alias(struct http_span range)
{
    if (http_span_equal_nocase(range, HTTP_SPAN("x-gzip")) ||
        http_span_equal_nocase(range, HTTP_SPAN("x-compress")))
        return (struct http_span){range.at + 2, range.length - 2};
    return range;
}

static bool is_quoted_or_token(struct http_span value)
{
    return http_is_token(value) ||
           (value.length >= 2 && value.at[0] == '"' && value.at[value.length - 1] == '"');
}

/* ";name=value" of a media range: the value's case may count. */
static bool add_parameter(struct http_text *text, struct http_span name, struct http_span value)
{
    if (!http_is_token(name) || !is_quoted_or_token(value))
        return false;
    add_char(text, ';');
    add_lower(text, name);
    add_char(text, '=');
    add_value(text, value);
    return true;
}

/* One parameter; the weight is the last. False: malformed. */
static bool read_parameter(struct http_span part, enum list_kind kind, struct http_text *text, int *weight)
{
    const char *equals = memchr(part.at, '=', part.length);
    struct http_span name, value;

    if (!equals || *weight >= 0)
        return false;
    name = (struct http_span){part.at, (uint32_t)(equals - part.at)};
    value = (struct http_span){equals + 1, part.length - name.length - 1};
    if (!http_span_equal_nocase(name, HTTP_SPAN("q")))
        return kind == LIST_MEDIA && add_parameter(text, name, value);
    *weight = read_weight(value);
    return *weight >= 0;
}

static bool read_element(struct http_span rest, enum list_kind kind, struct http_text *text,
                         struct element *out)
{
    size_t start = text->length;
    struct http_span range = next_part(&rest);

    out->weight = -1;
    if (!is_range(range, kind))
        return false;
    add_lower(text, kind == LIST_PLAIN ? without_alias(range) : range);
    while (rest.length > 0) {
        struct http_span part = next_part(&rest);

        if (part.length > 0 && !read_parameter(part, kind, text, &out->weight))
            return false;
    }
    if (out->weight < 0)
        out->weight = WEIGHT_ONE;
    out->text = (struct http_span){text->at + start, (uint32_t)(text->length - start)};
    return !text->failed;
}

static bool has_element(const struct elements *list, const struct element *element)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].weight == element->weight && http_span_equal(list->items[i].text, element->text))
            return true;
    }
    return false;
}

static bool goes_before(const struct element *a, const struct element *b, enum list_kind kind)
{
    if (a->weight != b->weight)
        return a->weight > b->weight;
    return kind != LIST_ORDERED && compare(a->text, b->text) < 0;
}

static bool put_element(struct elements *list, const struct element *element, enum list_kind kind)
{
    uint32_t at = list->count;

    if (has_element(list, element))
        return true;
    if (list->count == ELEMENTS_MAX)
        return false;
    for (; at > 0 && goes_before(element, &list->items[at - 1], kind); at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = *element;
    list->count++;
    return true;
}

static bool read_list(const struct http_fields *request, const char *name, enum list_kind kind,
                      struct http_text *text, struct elements *list)
{
    struct http_span rest, item;
    struct element element;

    for (const struct http_field *field = NULL; (field = http_field_find(request, name, field));) {
        rest = field->value;
        while (http_list_next(&rest, &item)) {
            if (!read_element(item, kind, text, &element) || !put_element(list, &element, kind))
                return false;
        }
    }
    return true;
}

static void add_weight(struct http_text *text, int weight)
{
    if (weight == WEIGHT_ONE)
        return;
    http_text_add(text, HTTP_SPAN(";q=0"));
    for (int digit = 100, rest = weight; rest > 0; digit /= 10) {
        if (digit == 100)
            add_char(text, '.');
        add_char(text, (char)('0' + rest / digit));
        rest %= digit;
    }
}

/* False: not well-formed, or too long to be looked at; nothing is written. */
static bool add_list(struct http_text *text, const struct http_fields *request, const char *name,
                     enum list_kind kind)
{
    char buffer[HTTP_VARY_KEY_MAX];
    struct http_text words = http_text_into(buffer, sizeof buffer);
    struct elements list = {.count = 0};

    if (kind == LIST_NONE || !read_list(request, name, kind, &words, &list))
        return false;
    for (uint32_t i = 0; i < list.count; i++) {
        if (i > 0)
            add_char(text, ',');
        http_text_add(text, list.items[i].text);
        add_weight(text, list.items[i].weight);
    }
    return true;
}

/* ---- secondary keys ---- */

/* Several lines of one field are one list (RFC 9110 section 5.3). */
static void add_bytes(struct http_text *text, const struct http_fields *request, const char *name)
{
    const struct http_field *first = http_field_find(request, name, NULL);

    for (const struct http_field *field = first; field; field = http_field_find(request, name, field)) {
        if (field != first)
            http_text_add(text, HTTP_SPAN(", "));
        add_value(text, field->value);
    }
}

static void add_line(struct http_text *text, const struct http_fields *request, struct http_span name)
{
    char zero_ended[HTTP_VARY_SPEC_MAX + 1];

    memcpy(zero_ended, name.at, name.length);
    zero_ended[name.length] = '\0';
    http_text_add(text, name);
    if (http_field_find(request, zero_ended, NULL)) {
        add_char(text, ':');
        if (!add_list(text, request, zero_ended, kind_of(name)))
            add_bytes(text, request, zero_ended);
    }
    add_char(text, '\n');
}

int http_vary_key(const struct http_vary_spec *spec, const struct http_fields *request, char *out,
                  size_t size)
{
    struct http_text text = http_text_into(out, size < HTTP_VARY_KEY_MAX ? size : HTTP_VARY_KEY_MAX);
    struct http_span rest = text_of(spec), name;

    while (http_list_next(&rest, &name))
        add_line(&text, request, name);
    return text.failed ? -1 : (int)text.length;
}

bool http_vary_may_be_shown(const struct http_vary_spec *spec)
{
    struct http_span rest = text_of(spec), name;

    while (http_list_next(&rest, &name)) {
        if (kind_of(name) == LIST_NONE)
            return false;
    }
    return true;
}

/* ---- the index ---- */

static uint32_t find_spec(const struct http_vary_index *index, const struct http_vary_spec *spec)
{
    uint32_t at = 0;

    while (at < index->count && !http_vary_spec_equal(&index->specs[at], spec))
        at++;
    return at;
}

void http_vary_index_put(struct http_vary_index *index, const struct http_vary_spec *spec)
{
    struct http_vary_spec first = *spec; /* it may be one of those that move */
    uint32_t at = find_spec(index, spec);

    if (at == HTTP_VARY_SPECS_MAX)
        at--;
    else if (at == index->count)
        index->count++;
    memmove(&index->specs[1], &index->specs[0], at * sizeof *index->specs);
    index->specs[0] = first;
}

void http_vary_index_fields(const struct http_vary_index *index, struct http_fields *out)
{
    out->count = 0;
    http_field_add(out, generation_name, (struct http_span){index->generation, HTTP_VARY_GENERATION});
    for (uint32_t i = 0; i < index->count; i++)
        http_field_add(out, spec_name, text_of(&index->specs[i]));
}

static bool take_generation(struct http_span value, struct http_vary_index *out)
{
    if (value.length != HTTP_VARY_GENERATION)
        return false;
    for (uint32_t i = 0; i < value.length; i++) {
        char c = value.at[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
    }
    memcpy(out->generation, value.at, HTTP_VARY_GENERATION);
    return true;
}

static bool take_spec(struct http_span value, struct http_vary_index *out)
{
    if (out->count == HTTP_VARY_SPECS_MAX || !http_vary_spec_parse(value, &out->specs[out->count]) ||
        find_spec(out, &out->specs[out->count]) < out->count)
        return false;
    out->count++;
    return true;
}

bool http_vary_index_parse(const struct http_fields *fields, struct http_vary_index *out)
{
    uint32_t generations = 0;

    out->count = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];
        bool is_good = true;

        if (http_span_equal(field->name, generation_name))
            is_good = take_generation(field->value, out) && generations++ == 0;
        else if (http_span_equal(field->name, spec_name))
            is_good = take_spec(field->value, out);
        else
            is_good = http_name_is(field, "date");
        if (!is_good)
            return false;
    }
    return generations == 1 && out->count > 0;
}
