/* Section numbers without an RFC are RFC 9111's. */
#include "http_verdict.h"

#include "http_cache_control.h"

/* What the fields of a request say, found in one pass. */
struct request_signs {
    bool range, precondition, body, pragma_no_cache, cache_control;
};

static bool list_has_no_cache(struct http_span list)
{
    struct http_span element;

    while (http_list_next(&list, &element)) {
        if (http_span_equal_nocase(element, HTTP_SPAN("no-cache")))
            return true;
    }
    return false;
}

static void request_sign_note(struct request_signs *signs, const struct http_field *field)
{
    uint64_t length;

    switch (field->name.length) {
    case 5:
        signs->range |= http_span_equal_nocase(field->name, HTTP_SPAN("range"));
        break;
    case 6:
        if (http_span_equal_nocase(field->name, HTTP_SPAN("pragma")))
            signs->pragma_no_cache |= list_has_no_cache(field->value);
        break;
    case 8:
        signs->precondition |= http_span_equal_nocase(field->name, HTTP_SPAN("if-match"));
        break;
    case 13:
        signs->cache_control |= http_span_equal_nocase(field->name, HTTP_SPAN("cache-control"));
        break;
    case 14:
        if (http_span_equal_nocase(field->name, HTTP_SPAN("content-length")))
            signs->body |= !http_parse_length(field->value, &length) || length > 0;
        break;
    case 17:
        signs->body |= http_span_equal_nocase(field->name, HTTP_SPAN("transfer-encoding"));
        break;
    case 19:
        signs->precondition |= http_span_equal_nocase(field->name, HTTP_SPAN("if-unmodified-since"));
        break;
    }
}

static bool method_is(const struct http_request *request, struct http_span method)
{
    return http_span_equal(request->method, method);
}

/* Safe methods whose responses are not cached; every other method but GET and HEAD is unsafe or of unknown
 * safety, and both invalidate (section 4.4). */
static bool method_is_safe(const struct http_request *request)
{
    return method_is(request, HTTP_SPAN("OPTIONS")) || method_is(request, HTTP_SPAN("TRACE"));
}

static enum http_request_verdict directives_verdict(const struct http_fields *fields, const char **reason)
{
    struct http_cache_control cc;

    http_cache_control_parse(&cc, fields);
    if (cc.no_store) { /* section 5.2.1.5 */
        *reason = "no-store";
        return HTTP_REQUEST_BYPASS;
    }
    if (cc.no_cache || cc.no_cache_fields) { /* section 5.2.1.4 */
        *reason = "no-cache";
        return HTTP_REQUEST_REVALIDATE;
    }
    if (cc.max_age == 0) { /* section 5.2.1.1 */
        *reason = "max-age=0";
        return HTTP_REQUEST_REVALIDATE;
    }
    *reason = "lookup";
    return HTTP_REQUEST_LOOKUP;
}

static enum http_request_verdict lookup_verdict(const struct http_fields *fields,
                                                const struct request_signs *signs, const char **reason)
{
    if (signs->cache_control)
        return directives_verdict(fields, reason);
    *reason = signs->pragma_no_cache ? "pragma" : "lookup"; /* section 5.4: only without Cache-Control */
    return signs->pragma_no_cache ? HTTP_REQUEST_REVALIDATE : HTTP_REQUEST_LOOKUP;
}

/* "range" is the last of the reasons: who can store parts may take it for no reason. */
static enum http_request_verdict fields_verdict(const struct http_fields *fields, const char **reason)
{
    struct request_signs signs = {0};
    enum http_request_verdict verdict;

    for (uint32_t i = 0; i < fields->count; i++)
        request_sign_note(&signs, &fields->items[i]);

    *reason = NULL;
    if (signs.body) /* RFC 9110 section 9.3.1: no defined meaning, yet an origin may heed it */
        *reason = "body";
    else if (signs.precondition) /* section 4.3.2: If-Match, If-Unmodified-Since are the origin's to answer */
        *reason = "precondition";
    if (*reason)
        return HTTP_REQUEST_BYPASS;
    verdict = lookup_verdict(fields, &signs, reason);
    if (signs.range && verdict != HTTP_REQUEST_BYPASS) { /* only whole responses are served */
        *reason = "range";
        verdict = HTTP_REQUEST_BYPASS;
    }
    return verdict;
}

enum http_request_verdict http_request_verdict(const struct http_request *request, const char **reason)
{
    const char *ignored;

    if (!reason)
        reason = &ignored;
    if (method_is(request, HTTP_SPAN("GET")) || method_is(request, HTTP_SPAN("HEAD")))
        return fields_verdict(request->fields, reason);
    *reason = "method";
    return method_is_safe(request) ? HTTP_REQUEST_BYPASS : HTTP_REQUEST_UNSAFE;
}
