#include "http_cache_control.h"

#include <string.h>

struct directive {
    const char *name;
    uint32_t name_length;
    enum http_directive_kind kind;
    size_t member;        /* of struct http_cache_control: its offset */
    size_t member_listed; /* the same for a list of field names */
};

#define AT(member)                 offsetof(struct http_cache_control, member)
#define NAME(name)                 (name), sizeof(name) - 1
#define FLAGGED(name, flag)        NAME(name), HTTP_DIRECTIVE_FLAG, AT(flag), 0
#define GRANTED(name, flag)        NAME(name), HTTP_DIRECTIVE_GRANT, AT(flag), 0
#define LISTED(name, flag, listed) NAME(name), HTTP_DIRECTIVE_LISTED, AT(flag), AT(listed)
#define TIMED(name, kind, slot)    NAME(name), HTTP_DIRECTIVE_##kind, AT(slot), 0

static const struct directive directives[] = {
    {TIMED("max-age", FRESHNESS, max_age)},
    {TIMED("s-maxage", FRESHNESS, s_maxage)},
    {GRANTED("public", public_)},
    {LISTED("no-cache", no_cache, no_cache_fields)},
    {FLAGGED("no-store", no_store)},
    {LISTED("private", private_, private_fields)},
    {FLAGGED("must-revalidate", must_revalidate)},
    {FLAGGED("proxy-revalidate", proxy_revalidate)},
    {GRANTED("must-understand", must_understand)}, /* it can lift no-store */
    {FLAGGED("no-transform", no_transform)},
    {FLAGGED("immutable", immutable)}, /* RFC 8246 section 2: arguments are ignored */
    {TIMED("stale-while-revalidate", SHORTEST, stale_while_revalidate)},
    {TIMED("stale-if-error", SHORTEST, stale_if_error)},
    {FLAGGED("only-if-cached", only_if_cached)},
    {TIMED("max-stale", MAX_STALE, max_stale)},
    {TIMED("min-fresh", LONGEST, min_fresh)},
};
_Static_assert(sizeof directives / sizeof *directives == HTTP_DIRECTIVES, "the header says how many");

/* Reuse, what the stored bytes mean, and which fields are not to be stored depend on these: a stored response
 * without them would be another. */
static const char *const indispensable[] = {
    "cache-control", "connection", "content-encoding", "content-range", "content-type",
    "date",          "etag",       "expires",          "last-modified", "vary"};

static bool is_indispensable(struct http_span name)
{
    const struct http_field field = {.name = name};

    for (size_t i = 0; i < sizeof indispensable / sizeof *indispensable; i++) {
        if (http_name_is(&field, indispensable[i]))
            return true;
    }
    return false;
}

static bool may_be_withheld(struct http_span list)
{
    struct http_span name;
    bool any = false;

    while (http_list_next(&list, &name)) {
        if (!http_is_token(name) || is_indispensable(name))
            return false;
        any = true;
    }
    return any;
}

bool http_withheld_has(const struct http_withheld *withheld, struct http_span name)
{
    for (uint32_t i = 0; i < withheld->count; i++) {
        struct http_span rest = withheld->lists[i], listed;

        while (http_list_next(&rest, &listed)) {
            if (http_span_equal_nocase(listed, name))
                return true;
        }
    }
    return false;
}

static bool withhold(struct http_withheld *withheld, struct http_span list)
{
    if (withheld->count == HTTP_WITHHELD_MAX || !may_be_withheld(list))
        return false;
    withheld->lists[withheld->count++] = list;
    return true;
}

static void set_flag(struct http_cache_control *out, size_t member)
{
    *(bool *)((char *)out + member) = true;
}

static void set_duration(struct http_cache_control *out, const struct directive *directive, int64_t seconds)
{
    int64_t *slot = (int64_t *)(void *)((char *)out + directive->member);
    bool longest = directive->kind == HTTP_DIRECTIVE_LONGEST;

    if (*slot < 0 || (longest ? seconds > *slot : seconds < *slot))
        *slot = seconds;
}

static void apply_duration(struct http_cache_control *out, const struct directive *directive,
                           const struct http_argument *argument)
{
    int64_t seconds;

    if (argument->kind == HTTP_ARGUMENT_NONE && directive->kind == HTTP_DIRECTIVE_MAX_STALE)
        set_duration(out, directive, HTTP_SECONDS_MAX);
    else if (argument->kind == HTTP_ARGUMENT_TEXT && http_parse_seconds(argument->text, &seconds))
        set_duration(out, directive, seconds);
    else if (directive->kind == HTTP_DIRECTIVE_FRESHNESS)
        out->invalid = true;
}

void http_directive_apply(struct http_cache_control *out, int directive, const struct http_argument *argument)
{
    const struct directive *row = &directives[directive];

    switch (row->kind) {
    case HTTP_DIRECTIVE_FLAG:
        set_flag(out, row->member);
        break;
    case HTTP_DIRECTIVE_GRANT:
        if (argument->kind != HTTP_ARGUMENT_WRONG)
            set_flag(out, row->member);
        break;
    case HTTP_DIRECTIVE_LISTED:
        if (argument->kind == HTTP_ARGUMENT_TEXT && withhold(&out->withheld, argument->text))
            set_flag(out, row->member_listed);
        else
            set_flag(out, row->member);
        break;
    default:
        apply_duration(out, row, argument);
    }
}

int http_directive_find(struct http_span name)
{
    for (int i = 0; i < HTTP_DIRECTIVES; i++) {
        struct http_span known = {directives[i].name, directives[i].name_length};

        if (http_span_equal_nocase(name, known))
            return i;
    }
    return -1;
}

enum http_directive_kind http_directive_kind(int directive)
{
    return directives[directive].kind;
}

/* Splits name[=argument] and reads both argument forms (section 5.2). White space around "=" is not in the
 * grammar: the name still counts, so that "max-age = 60" is invalid freshness and not an unknown directive,
 * but the argument reads as empty. No argument that has a meaning needs the escapes of a quoted-string, so
 * one that has them reads as it stands, which is invalid. */
static struct http_argument split_directive(struct http_span *name)
{
    const char *equals = memchr(name->at, '=', name->length);
    struct http_argument argument = {.kind = equals ? HTTP_ARGUMENT_TEXT : HTTP_ARGUMENT_NONE};
    struct http_span whole = *name;

    if (!equals)
        return argument;
    name->length = (uint32_t)(equals - whole.at);
    argument.text = (struct http_span){equals + 1, whole.length - name->length - 1};
    if (http_span_trim(*name).length != name->length ||
        http_span_trim(argument.text).length != argument.text.length) {
        *name = http_span_trim(*name);
        argument.text.length = 0;
    } else if (argument.text.length >= 2 && argument.text.at[0] == '"' &&
               argument.text.at[argument.text.length - 1] == '"') {
        argument.text.at++;
        argument.text.length -= 2;
    }
    return argument;
}

static void directives_parse(struct http_cache_control *out, struct http_span list)
{
    struct http_span name;

    while (http_list_next(&list, &name)) {
        struct http_argument argument = split_directive(&name);
        int directive = http_directive_find(name);

        if (directive >= 0)
            http_directive_apply(out, directive, &argument);
    }
}

void http_cache_control_clear(struct http_cache_control *out)
{
    *out = (struct http_cache_control){.max_age = -1,
                                       .s_maxage = -1,
                                       .min_fresh = -1,
                                       .stale_while_revalidate = -1,
                                       .stale_if_error = -1,
                                       .max_stale = -1};
}

/* True if there is any such field. */
static bool parse_all(struct http_cache_control *out, const struct http_fields *fields)
{
    bool any = false;

    http_cache_control_clear(out);
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        /* The length alone rules out most fields, without a call: this runs for every request. */
        if (field->name.length == 13 && http_span_equal_nocase(field->name, HTTP_SPAN("cache-control"))) {
            directives_parse(out, field->value);
            any = true;
        }
    }
    return any;
}

void http_cache_control_parse(struct http_cache_control *out, const struct http_fields *fields)
{
    parse_all(out, fields);
}

static bool pragma_says_no_cache(const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];
        struct http_span rest = field->value, element;

        if (field->name.length != 6 || !http_span_equal_nocase(field->name, HTTP_SPAN("pragma")))
            continue;
        while (http_list_next(&rest, &element)) {
            if (http_span_equal_nocase(element, HTTP_SPAN("no-cache")))
                return true;
        }
    }
    return false;
}

void http_request_control_parse(struct http_cache_control *out, const struct http_fields *fields)
{
    if (!parse_all(out, fields))
        out->no_cache = pragma_says_no_cache(fields);
    out->no_cache |= out->no_cache_fields;
}
