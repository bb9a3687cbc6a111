#include "http_invalidation.h"

static bool is_known(const struct http_invalidation *out, const struct http_place *place,
                     struct http_span target)
{
    if (http_span_equal(target, place->target))
        return true;
    for (uint32_t i = 0; i < out->count; i++) {
        if (http_span_equal(target, out->others[i]))
            return true;
    }
    return false;
}

/* Adds what the field names; returns how much of the buffer that takes. */
static size_t add_named(struct http_invalidation *out, const struct http_place *place,
                        const struct http_fields *fields, const char *name, char *buffer, size_t size)
{
    const struct http_field *field = http_field_find(fields, name, NULL);
    struct http_span target;
    int length;

    if (!field || (length = http_uri_target(place, field->value, buffer, size)) < 0)
        return 0;
    target = (struct http_span){buffer, (uint32_t)length};
    if (is_known(out, place, target))
        return 0;
    out->others[out->count++] = target;
    return target.length;
}

struct http_invalidation http_invalidation(enum http_request_verdict verdict, const struct http_place *place,
                                           const struct http_response *response, char *buffer, size_t size)
{
    struct http_invalidation out = {0};
    size_t used;

    if (verdict != HTTP_REQUEST_UNSAFE || response->status < 200 || response->status > 399)
        return out;
    out.target = true;
    used = add_named(&out, place, response->fields, "location", buffer, size);
    add_named(&out, place, response->fields, "content-location", buffer + used, size - used);
    return out;
}
