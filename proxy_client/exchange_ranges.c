/* Parts of what is stored (RFC 9110 section 14).
 *
 *     Range of a GET ── what would be a 200 comes out of the cache ─┬─ one piece ───────> 206
 *                  │                                                ├─ several ─────────> 206, multipart
 *                  │                                                ├─ none of it there ─> 416
 *                  │                                                └─ to be ignored ───> 200
 *                  └─ nothing stored ──> passed on as it is; a part is stored (exchange_parts.c)
 * A piece is sent like a whole body: exchange->position runs to exchange->end. Between the pieces of a
 * multipart response stand the heads of its parts. */
#include "exchange_internal.h"

#include "http_date.h"
#include "invariant.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define BOUNDARY_BYTES 16 /* random: nobody can have put it into the bytes beforehand */

struct exchange_parts {
    struct http_ranges ranges;
    uint32_t next; /* the piece whose head comes next */
    char boundary[2 * BOUNDARY_BYTES + 1];
    uint32_t type_length; /* of Content-Type: the metadata may be gone when a part begins */
    char type[];
};

static bool is_range_field(const struct http_field *field)
{
    return http_name_is(field, "range") || http_name_is(field, "if-range");
}

const struct http_fields *ranges_left_out(struct exchange *exchange)
{
    struct http_fields *out = &exchange->home->asked_fields;
    const struct http_fields *request = exchange->request.fields;

    out->count = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        if (!is_range_field(&request->items[i]))
            out->items[out->count++] = request->items[i];
    }
    return out;
}

static struct http_span content_type(const struct http_fields *stored)
{
    const struct http_field *field = http_field_find(stored, "content-type", NULL);

    return field ? field->value : (struct http_span){NULL, 0};
}

static struct http_multipart multipart_of(const struct exchange *exchange)
{
    return (struct http_multipart){.boundary = {exchange->parts->boundary, 2 * BOUNDARY_BYTES},
                                   .content_type = {exchange->parts->type, exchange->parts->type_length},
                                   .length = exchange->object_size};
}

static void give_part_head(struct exchange *exchange, const struct http_multipart *multipart)
{
    struct exchange_parts *parts = exchange->parts;
    const struct http_range *range = &parts->ranges.items[parts->next];
    struct http_text text = http_text_into(exchange->home->lines, sizeof exchange->home->lines);

    http_multipart_add_head(&text, multipart, range, parts->next == 0);
    INVARIANT(!text.failed); /* Content-Type was stored, so it is shorter than HTTP_META_MAX */
    exchange->sink->body(exchange->owner, text.at, text.length);
    exchange->position = range->first;
    exchange->end = range->end;
    parts->next++;
}

static void give_end(struct exchange *exchange, const struct http_multipart *multipart)
{
    struct http_text text = http_text_into(exchange->home->lines, sizeof exchange->home->lines);

    http_multipart_add_end(&text, multipart);
    INVARIANT(!text.failed);
    exchange->sink->body(exchange->owner, text.at, text.length);
}

bool ranges_next(struct exchange *exchange)
{
    struct http_multipart multipart;

    if (!exchange->parts)
        return false;
    multipart = multipart_of(exchange);
    if (exchange->parts->next < exchange->parts->ranges.count) {
        give_part_head(exchange, &multipart);
        return true;
    }
    give_end(exchange, &multipart);
    ranges_forget(exchange);
    return false;
}

void ranges_forget(struct exchange *exchange)
{
    free(exchange->parts);
    exchange->parts = NULL;
}

void ranges_wanted(const struct exchange *exchange, struct http_ranges *out)
{
    if (exchange->parts)
        *out = exchange->parts->ranges;
    else
        *out = (struct http_ranges){.count = 1, .items = {{exchange->position, exchange->end}}};
}

/* ---- heads ---- */

static void add_line_start(struct http_text *text, const char *name)
{
    http_text_add(text, (struct http_span){name, (uint32_t)strlen(name)});
    http_text_add(text, HTTP_SPAN(": "));
}

/* With If-Range the client has the other fields of the representation already (RFC 9110 section 15.3.7). */
static bool belongs_to_206(const struct exchange *exchange, const struct http_fields *stored,
                           const struct http_field *field)
{
    if (http_name_is(field, "content-range") || http_is_digest_of_content(field) ||
        (exchange->parts && http_name_is(field, "content-type")))
        return false;
    return !http_field_find(exchange->request.fields, "if-range", NULL) || http_guides_update(stored, field);
}

static bool lines_of_206(struct exchange *exchange, const struct http_fields *stored,
                         const struct http_range *range, struct http_span *lines)
{
    struct http_text text = http_text_into(exchange->home->lines, sizeof exchange->home->lines);

    for (uint32_t i = 0; i < stored->count; i++) {
        if (belongs_to_206(exchange, stored, &stored->items[i]))
            http_text_add_field(&text, &stored->items[i]);
    }
    if (exchange->parts) {
        add_line_start(&text, "Content-Type");
        http_text_add(&text, HTTP_SPAN("multipart/byteranges; boundary="));
        http_text_add(&text, (struct http_span){exchange->parts->boundary, 2 * BOUNDARY_BYTES});
    } else {
        add_line_start(&text, "Content-Range");
        http_content_range_add(&text, range, exchange->object_size);
    }
    http_text_add(&text, HTTP_SPAN("\r\n"));
    *lines = (struct http_span){text.at, (uint32_t)text.length};
    return !text.failed;
}

static void one_piece(struct exchange *exchange, const struct http_fields *stored,
                      const struct http_range *range, struct exchange_head *head)
{
    if (!lines_of_206(exchange, stored, range, &head->lines))
        return;
    head->status = 206;
    head->length = range->end - range->first;
    exchange->position = range->first;
    exchange->end = range->end;
}

static void make_parts(struct exchange *exchange, const struct http_fields *stored,
                       const struct http_ranges *ranges)
{
    struct http_span type = content_type(stored);
    unsigned char random[BOUNDARY_BYTES];

    ranges_forget(exchange);
    exchange->parts = malloc(sizeof *exchange->parts + type.length);
    INVARIANT(exchange->parts);
    if (type.length > 0)
        memcpy(exchange->parts->type, type.at, type.length);
    exchange->parts->type_length = type.length;
    exchange->parts->ranges = *ranges;
    exchange->parts->next = 0;
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(exchange->parts->boundary, sizeof exchange->parts->boundary, random, sizeof random);
}

static void several_pieces(struct exchange *exchange, const struct http_fields *stored,
                           const struct http_ranges *ranges, struct exchange_head *head)
{
    struct http_multipart multipart;
    uint64_t length;

    make_parts(exchange, stored, ranges);
    multipart = multipart_of(exchange);
    if (!http_multipart_length(&multipart, ranges, &length) || length > INT64_MAX ||
        !lines_of_206(exchange, stored, NULL, &head->lines)) {
        ranges_forget(exchange);
        return;
    }
    head->status = 206;
    head->length = length;
    exchange->position = exchange->end = 0; /* the head of the first part comes first */
}

/* A response of our own, without the fields of the representation. */
static void none_of_it(struct exchange *exchange, struct exchange_head *head)
{
    struct http_text text = http_text_into(exchange->home->lines, sizeof exchange->home->lines);
    char date[HTTP_DATE_BYTES + 1];

    http_date_format(exchange_now_s(exchange), date);
    http_text_add_field(&text, &(struct http_field){HTTP_SPAN("Date"), {date, HTTP_DATE_BYTES}});
    add_line_start(&text, "Content-Range");
    http_content_range_add_unsatisfied(&text, exchange->object_size);
    http_text_add(&text, HTTP_SPAN("\r\n"));
    head->lines = (struct http_span){text.at, (uint32_t)text.length};
    head->status = 416;
    head->has_body = false;
    head->length = 0;
    head->age = -1;
}

void ranges_apply(struct exchange *exchange, struct exchange_head *head)
{
    struct http_fields *stored = &exchange->home->fields;
    struct http_ranges ranges;

    if (!exchange->has_range || !exchange->is_get || head->status != 200 ||
        !http_fields_parse(stored, exchange->meta.fields) ||
        !http_if_range_holds(exchange->request.fields, stored, exchange_now_s(exchange)))
        return;
    switch (http_ranges_select(exchange->request.fields, exchange->object_size, &ranges)) {
    case HTTP_RANGE_WHOLE:
        break;
    case HTTP_RANGE_UNSATISFIABLE:
        none_of_it(exchange, head);
        break;
    case HTTP_RANGE_PARTIAL:
        if (ranges.count == 1)
            one_piece(exchange, stored, &ranges.items[0], head);
        else
            several_pieces(exchange, stored, &ranges, head);
    }
}
