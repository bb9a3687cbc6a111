/* Section numbers without an RFC are RFC 9111's. */
#include "http_overrides.h"

#include <string.h>

void http_overrides_setup(struct http_overrides *overrides)
{
    memset(overrides, 0, sizeof *overrides);
    overrides->heuristic_max = HTTP_HEURISTIC_MAX;
}

/* ---- lists ---- */

static bool is_word(struct http_span word)
{
    for (uint32_t i = 0; i < word.length; i++) {
        if (word.at[i] <= 0x20 || word.at[i] >= 0x7f)
            return false;
    }
    return word.length > 0;
}

bool http_names_add(struct http_names *names, struct http_span list)
{
    struct http_span word;
    bool any = false;

    while (http_list_next(&list, &word)) {
        if (names->count == HTTP_OVERRIDES_LIST || !is_word(word))
            return false;
        names->items[names->count++] = word;
        any = true;
    }
    return any;
}

static bool matches(struct http_span pattern, struct http_span name, bool nocase)
{
    if (pattern.at[pattern.length - 1] == '*') {
        pattern.length--;
        if (name.length < pattern.length)
            return false;
        name.length = pattern.length;
    }
    return nocase ? http_span_equal_nocase(pattern, name) : http_span_equal(pattern, name);
}

bool http_names_have(const struct http_names *names, struct http_span name, bool nocase)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (matches(names->items[i], name, nocase))
            return true;
    }
    return false;
}

/* ---- freshness ---- */

struct http_freshness http_overrides_freshness(const struct http_overrides *overrides,
                                               const struct http_freshness *said, int status,
                                               bool *is_negative)
{
    struct http_freshness freshness = *said;

    *is_negative = false;
    if (!overrides || said->kind == HTTP_FRESHNESS_EXPLICIT)
        return freshness;
    for (uint32_t i = 0; i < overrides->negative_count; i++) {
        if (overrides->negative[i].status == status) {
            *is_negative = true;
            return (struct http_freshness){HTTP_FRESHNESS_HEURISTIC, overrides->negative[i].seconds};
        }
    }
    if (said->kind == HTTP_FRESHNESS_NONE)
        return freshness;
    /* Section 4.2.2 leaves the guess to the cache. */
    if (overrides->no_heuristic)
        freshness.lifetime = 0;
    if (freshness.lifetime > overrides->heuristic_max)
        freshness.lifetime = overrides->heuristic_max;
    if (freshness.lifetime == 0)
        freshness.lifetime = overrides->default_freshness;
    return freshness;
}

/* ---- requests ---- */

static struct http_span name_of_cookie(struct http_span pair)
{
    const char *equals = pair.length ? memchr(pair.at, '=', pair.length) : NULL;

    return http_span_trim((struct http_span){pair.at, equals ? (uint32_t)(equals - pair.at) : pair.length});
}

/* RFC 6265 section 4.2.1: name=value; name=value */
static bool has_cookie(const struct http_names *names, struct http_span cookies)
{
    while (cookies.length > 0) {
        const char *end = memchr(cookies.at, ';', cookies.length);
        uint32_t length = end ? (uint32_t)(end - cookies.at) : cookies.length;
        uint32_t step = end ? length + 1 : length;

        if (http_names_have(names, name_of_cookie((struct http_span){cookies.at, length}), false))
            return true;
        cookies.at += step;
        cookies.length -= step;
    }
    return false;
}

const char *http_overrides_bypass(const struct http_overrides *overrides, const struct http_fields *request)
{
    if (!overrides || overrides->bypass_cookies.count + overrides->bypass_fields.count == 0)
        return NULL;
    for (uint32_t i = 0; i < request->count; i++) {
        const struct http_field *field = &request->items[i];

        if (http_names_have(&overrides->bypass_fields, field->name, true))
            return "bypass-header";
        if (overrides->bypass_cookies.count > 0 && http_name_is(field, "cookie") &&
            has_cookie(&overrides->bypass_cookies, field->value))
            return "bypass-cookie";
    }
    return NULL;
}

/* ---- keys ---- */

bool http_overrides_change_keys(const struct http_overrides *overrides)
{
    return overrides && (overrides->ignored_parameters.count > 0 || overrides->sorted_parameters);
}

static struct http_span name_of_parameter(struct http_span parameter)
{
    const char *equals = parameter.length ? memchr(parameter.at, '=', parameter.length) : NULL;

    return (struct http_span){parameter.at, equals ? (uint32_t)(equals - parameter.at) : parameter.length};
}

static int compare_spans(struct http_span a, struct http_span b)
{
    uint32_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter ? memcmp(a.at, b.at, shorter) : 0;

    return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* Those of one name keep their order, which origins may heed. */
static void sort_parameters(struct http_span *parameters, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct http_span moved = parameters[i];
        uint32_t j = i;

        for (; j > 0 && compare_spans(name_of_parameter(parameters[j - 1]), name_of_parameter(moved)) > 0;
             j--)
            parameters[j] = parameters[j - 1];
        parameters[j] = moved;
    }
}

/* False at the end. */
static bool next_parameter(struct http_span *query, bool *more, struct http_span *parameter)
{
    const char *end;

    if (!*more)
        return false;
    end = query->length ? memchr(query->at, '&', query->length) : NULL;
    *parameter = (struct http_span){query->at, end ? (uint32_t)(end - query->at) : query->length};
    *more = end != NULL;
    if (end) {
        query->at += parameter->length + 1;
        query->length -= parameter->length + 1;
    }
    return true;
}

static uint32_t write_parameter(char *out, uint32_t length, uint32_t start, struct http_span parameter)
{
    out[length] = length == start ? '?' : '&';
    length++;
    if (parameter.length > 0)
        memcpy(out + length, parameter.at, parameter.length);
    return length + parameter.length;
}

struct http_span http_overrides_key(const struct http_overrides *overrides, struct http_span target,
                                    char *out)
{
    const char *mark = target.length ? memchr(target.at, '?', target.length) : NULL;
    struct http_span query, parameter, kept[HTTP_OVERRIDES_SORT_MAX];
    uint32_t start, length, count = 0;
    bool more = true, sorts;

    if (!http_overrides_change_keys(overrides) || !mark)
        return target;
    start = length = (uint32_t)(mark - target.at);
    query = (struct http_span){mark + 1, target.length - start - 1};
    memcpy(out, target.at, start);
    sorts = overrides->sorted_parameters;
    for (struct http_span rest = query; sorts && next_parameter(&rest, &more, &parameter); count++)
        sorts = count < HTTP_OVERRIDES_SORT_MAX;
    count = 0;
    more = true;
    while (next_parameter(&query, &more, &parameter)) {
        if (http_names_have(&overrides->ignored_parameters, name_of_parameter(parameter), false))
            continue;
        if (sorts)
            kept[count++] = parameter;
        else
            length = write_parameter(out, length, start, parameter);
    }
    sort_parameters(kept, count);
    for (uint32_t i = 0; i < count; i++)
        length = write_parameter(out, length, start, kept[i]);
    return (struct http_span){out, length};
}

/* ---- methods ---- */

static bool is_always_allowed(struct http_span method)
{
    return http_span_equal(method, HTTP_SPAN("GET")) || http_span_equal(method, HTTP_SPAN("HEAD"));
}

bool http_overrides_refuse(const struct http_overrides *overrides, struct http_span method)
{
    if (!overrides || is_always_allowed(method))
        return false;
    return http_names_have(&overrides->refused_methods, method, false) ||
           (overrides->allowed_methods.count > 0 &&
            !http_names_have(&overrides->allowed_methods, method, false));
}

static void allow(const struct http_overrides *overrides, struct http_span method, struct http_text *out)
{
    if (is_always_allowed(method) || http_overrides_refuse(overrides, method) ||
        memchr(method.at, '*', method.length))
        return;
    http_text_add(out, HTTP_SPAN(", "));
    http_text_add(out, method);
}

void http_overrides_allow(const struct http_overrides *overrides, struct http_text *out)
{
    static const char *const usual[] = {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"};

    http_text_add(out, HTTP_SPAN("GET, HEAD"));
    for (uint32_t i = 0; i < overrides->allowed_methods.count; i++)
        allow(overrides, overrides->allowed_methods.items[i], out);
    for (size_t i = 0; overrides->allowed_methods.count == 0 && i < sizeof usual / sizeof *usual; i++)
        allow(overrides, (struct http_span){usual[i], (uint32_t)strlen(usual[i])}, out);
}
