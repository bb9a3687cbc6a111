/* Exchanges that never had a client:
 *
 *     what is served stale while it is refreshed ──> LOOKUP (for the lease) ──> VALIDATE ──> ENDED
 *     a fill that another proxy has left to us ────> RESUME ──> (fills the rest) ──> ENDED
 * Each has a copy of a client's request, because it outlives that client's. */
#include "exchange_internal.h"

#include "invariant.h"

#include <stdlib.h>
#include <string.h>

struct exchange_request_copy {
    struct http_fields fields;
    char text[];
};

/* What asks for less than the whole stays behind. */
static bool is_copied(const struct http_field *field)
{
    static const char *const left_out[] = {
        "range",         "if-range", "if-none-match", "if-match", "if-modified-since", "if-unmodified-since",
        "cache-control", "pragma"};

    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++) {
        if (http_name_is(field, left_out[i]))
            return false;
    }
    return true;
}

static size_t size_of(const struct exchange_request *request)
{
    size_t size = (size_t)request->target.length + request->host.length + request->client.length +
                  request->scheme.length + request->via.length;

    for (uint32_t i = 0; i < request->fields->count; i++)
        size += (size_t)request->fields->items[i].name.length + request->fields->items[i].value.length;
    return size;
}

static struct http_span copy_span(char **at, struct http_span span)
{
    struct http_span copy = {*at, span.length};

    if (span.length > 0)
        memcpy(*at, span.at, span.length);
    *at += span.length;
    return copy;
}

static struct exchange_request_copy *copy_request(struct exchange_request *out,
                                                  const struct exchange_request *request)
{
    struct exchange_request_copy *copy = malloc(sizeof *copy + size_of(request));
    char *at;

    INVARIANT(copy);
    at = copy->text;
    copy->fields.count = 0;
    for (uint32_t i = 0; i < request->fields->count; i++) {
        const struct http_field *field = &request->fields->items[i];

        if (is_copied(field))
            copy->fields.items[copy->fields.count++] =
                (struct http_field){copy_span(&at, field->name), copy_span(&at, field->value)};
    }
    *out = (struct exchange_request){.method = HTTP_SPAN("GET"),
                                     .target = copy_span(&at, request->target),
                                     .fields = &copy->fields,
                                     .host = copy_span(&at, request->host),
                                     .client = copy_span(&at, request->client),
                                     .scheme = copy_span(&at, request->scheme),
                                     .via = copy_span(&at, request->via)};
    return copy;
}

struct exchange *background_create(struct exchange *from)
{
    struct exchange *exchange = exchange_take(from->home);

    exchange->background = true;
    exchange_goes_on_alone(exchange);
    exchange->is_get = true;
    exchange->copy = copy_request(&exchange->request, &from->request);
    rules_take_key(exchange, from);
    http_request_control_parse(&exchange->directives, exchange->request.fields);
    return exchange;
}

void background_forget(struct exchange *exchange)
{
    free(exchange->copy);
    exchange->copy = NULL;
}

void background_refresh(struct exchange *from)
{
    struct exchange *exchange;
    enum http_trouble trouble;

    if (stored_failed_lately(from, &trouble) || from->home->alone >= EXCHANGE_ALONE_MAX)
        return;
    exchange = background_create(from);
    exchange->verdict = HTTP_REQUEST_REVALIDATE;
    exchange->lookup_flags = LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE;
    exchange_look_up(exchange);
}

/* All bytes are there, and only the end is missing. */
static void finish_fill(struct exchange *exchange)
{
    exchange->state = EXCHANGE_FETCH;
    fill_writer_resume(&exchange->fill, &exchange->lease, exchange->position, exchange->object_size,
                       exchange->meta.head.flags & HTTP_META_PARTS);
    fetch_commit(exchange);
}

void background_resume(struct exchange *from, uint64_t lease)
{
    const struct following *following = from->seat.following;
    struct exchange *exchange = background_create(from);
    struct http_span meta = following_meta(following);

    exchange->state = EXCHANGE_RESUME;
    exchange->lease = lease;
    exchange->object_size = exchange->end = following_size(following);
    exchange->position = following_filled(following);
    if (!http_meta_decode(&exchange->meta, meta.at, meta.length)) {
        exchange_end(exchange);
        return;
    }
    stored_keep_meta(exchange);
    if (exchange->object_size == LARDER_SIZE_UNKNOWN)
        exchange_end(exchange); /* nobody can say what the rest is */
    else if (exchange->position == exchange->object_size)
        finish_fill(exchange);
    else
        fetch_start(exchange, EXCHANGE_RESUME);
}
