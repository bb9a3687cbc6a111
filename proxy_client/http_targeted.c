#include "http_targeted.h"

#include "http_sf.h"

bool http_targets_parse(struct http_targets *out, struct http_span list)
{
    struct http_span name;

    out->count = 0;
    while (http_list_next(&list, &name)) {
        if (out->count == HTTP_TARGETS_MAX || !http_is_token(name))
            return false;
        out->names[out->count++] = name;
    }
    return true;
}

static const struct http_field *next_line(const struct http_fields *fields, struct http_span name,
                                          const struct http_field *after)
{
    const struct http_field *end = fields->items + fields->count;

    for (const struct http_field *field = after ? after + 1 : fields->items; field < end; field++) {
        if (http_span_equal_nocase(field->name, name))
            return field;
    }
    return NULL;
}

/* RFC 9651 section 4.2: all lines make one value. An empty line among several is an empty member. */
static bool is_usable(const struct http_fields *fields, struct http_span name)
{
    uint32_t lines = 0, empty = 0, members;

    for (const struct http_field *line = NULL; (line = next_line(fields, name, line)); lines++) {
        if (!http_sf_is_dictionary(line->value, &members))
            return false;
        empty += members == 0;
    }
    return lines > 0 && empty == 0;
}

/* Of a key that repeats the last member counts. */
struct last_values {
    bool there[HTTP_DIRECTIVES];
    struct http_sf_item values[HTTP_DIRECTIVES];
};

static void note_line(struct last_values *last, struct http_span line)
{
    struct http_sf_member member;

    while (http_sf_dictionary_next(&line, &member) == HTTP_SF_MEMBER) {
        int directive = http_directive_find(member.key);

        if (directive >= 0) {
            last->there[directive] = true;
            last->values[directive] = member.value;
        }
    }
}

/* RFC 9213 section 2.1: which types a directive can have. */
static struct http_argument argument_of(enum http_directive_kind kind, const struct http_sf_item *value)
{
    struct http_argument argument = {.kind = HTTP_ARGUMENT_WRONG, .text = value->text};
    bool flag = kind <= HTTP_DIRECTIVE_LISTED || kind == HTTP_DIRECTIVE_MAX_STALE;
    bool timed = kind > HTTP_DIRECTIVE_LISTED;

    if (flag && value->type == HTTP_SF_BOOLEAN)
        argument.kind = HTTP_ARGUMENT_NONE;
    else if ((timed && value->type == HTTP_SF_INTEGER) ||
             (kind == HTTP_DIRECTIVE_LISTED && value->type == HTTP_SF_STRING))
        argument.kind = HTTP_ARGUMENT_TEXT;
    return argument;
}

static bool is_false(const struct http_sf_item *value)
{
    return value->type == HTTP_SF_BOOLEAN && value->text.at[0] == '0';
}

static void use(struct http_cache_control *out, const struct http_fields *fields, struct http_span name)
{
    struct last_values last = {0};

    http_cache_control_clear(out);
    for (const struct http_field *line = NULL; (line = next_line(fields, name, line));)
        note_line(&last, line->value);
    for (int i = 0; i < HTTP_DIRECTIVES; i++) {
        const struct http_sf_item *value = &last.values[i];
        struct http_argument argument;

        if (!last.there[i] || (is_false(value) && http_directive_kind(i) <= HTTP_DIRECTIVE_LISTED))
            continue;
        argument = argument_of(http_directive_kind(i), value);
        http_directive_apply(out, i, &argument);
    }
}

bool http_response_control_parse(struct http_cache_control *out, const struct http_fields *response,
                                 const struct http_targets *targets)
{
    for (uint32_t i = 0; targets && i < targets->count; i++) {
        if (is_usable(response, targets->names[i])) {
            use(out, response, targets->names[i]);
            return true;
        }
    }
    http_cache_control_parse(out, response);
    return false;
}
