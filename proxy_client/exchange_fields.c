#include "exchange_internal.h"

#include "http_date.h"

#include <string.h>

static const char *const conditions[] = {"if-none-match", "if-modified-since", "if-range", "range"};
static const char *const made_anew[] = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"};

/* Origins that hand fields on as variables (CGI, RFC 3875 section 4.1.18, and what has come of it) cannot
 * tell '_' from '-': X_Forwarded_For is X-Forwarded-For to them. */
static bool begins_like(struct http_span name, const char *with, uint32_t length)
{
    if (name.length < length)
        return false;
    for (uint32_t i = 0; i < length; i++) {
        if (http_lower(name.at[i] == '_' ? '-' : name.at[i]) != (unsigned char)with[i])
            return false;
    }
    return true;
}

static bool is_like(struct http_span name, const char *other)
{
    uint32_t length = (uint32_t)strlen(other);

    return name.length == length && begins_like(name, other, length);
}

static bool is_one_of(const struct http_field *field, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_like(field->name, names[i]))
            return true;
    }
    return false;
}

bool fields_have_conditions(const struct http_fields *request)
{
    return http_field_find(request, "if-none-match", NULL) ||
           http_field_find(request, "if-modified-since", NULL);
}

/* What a client says of the address under which it reaches us is not part of the key, and origins write it
 * into links and redirects: where the response may be stored one client would choose it for all. */
static bool is_said_of_address(const struct http_field *field)
{
    return is_like(field->name, "forwarded") || is_like(field->name, "x-forwarded") ||
           begins_like(field->name, "x-forwarded-", 12);
}

static bool goes_to_origin(const struct http_fields *fields, const struct http_field *field,
                           enum fields_purpose purpose, bool forwards_limited)
{
    if (http_field_is_hop_by_hop(fields, field) || is_one_of(field, made_anew, 3))
        return false;
    if (forwards_limited && http_name_is(field, "max-forwards"))
        return false;
    if (http_name_is(field, "host") || http_name_is(field, "content-length") || http_name_is(field, "expect"))
        return false;
    if (purpose == FIELDS_PASS)
        return true;
    return !is_said_of_address(field) && (purpose == FIELDS_PART || !is_one_of(field, conditions, 4));
}

static bool add(struct http_fields *fields, struct http_span name, struct http_span value)
{
    return value.length == 0 || http_field_add(fields, name, value);
}

/* Every X-Forwarded-For of the client in one list, its own address at the end; the address alone where what
 * the client says does not go along. */
static bool add_forwarded_for(struct exchange *exchange, enum fields_purpose purpose, struct http_text *text)
{
    const struct http_fields *request = exchange->request.fields;
    const struct http_field *field = NULL;
    size_t start = text->length;

    while (purpose == FIELDS_PASS && (field = http_field_find(request, "x-forwarded-for", field))) {
        http_text_add(text, field->value);
        http_text_add(text, HTTP_SPAN(", "));
    }
    http_text_add(text, exchange->request.client);
    return !text->failed && add(&exchange->home->fields, HTTP_SPAN("X-Forwarded-For"),
                                (struct http_span){text->at + start, (uint32_t)(text->length - start)});
}

static bool add_via(struct exchange *exchange, struct http_text *text)
{
    size_t start = text->length;

    if (exchange->request.via.length == 0)
        return true;
    http_text_add(text, exchange->request.via);
    http_text_add(text, HTTP_SPAN(" larder"));
    return !text->failed && add(&exchange->home->fields, HTTP_SPAN("Via"),
                                (struct http_span){text->at + start, (uint32_t)(text->length - start)});
}

/* One hop less (RFC 9110 section 7.6.2); 0 was answered by the front-end. */
static bool add_max_forwards(struct exchange *exchange, struct http_text *text)
{
    size_t start = text->length;

    if (exchange->request.max_forwards <= 0)
        return true;
    http_text_add_number(text, exchange->request.max_forwards - 1);
    return !text->failed && add(&exchange->home->fields, HTTP_SPAN("Max-Forwards"),
                                (struct http_span){text->at + start, (uint32_t)(text->length - start)});
}

static const struct http_field *stored_field(struct exchange *exchange, const char *name)
{
    return http_field_find(&exchange->home->more_fields, name, NULL);
}

static bool add_validators(struct exchange *exchange)
{
    struct http_fields *fields = &exchange->home->fields;
    struct http_validators validators;

    if (!http_fields_parse(&exchange->home->more_fields, exchange->meta.fields))
        return false;
    validators = http_validators(&exchange->home->more_fields);
    return add(fields, HTTP_SPAN("If-None-Match"), validators.none_match) &&
           add(fields, HTTP_SPAN("If-Modified-Since"), validators.modified_since);
}

static bool add_continuation(struct exchange *exchange, struct http_text *text)
{
    struct http_fields *fields = &exchange->home->fields;
    struct http_span validator;
    size_t start = text->length;

    if (exchange->meta.head.status != 200 ||
        !http_fields_parse(&exchange->home->more_fields, exchange->meta.fields) ||
        !http_strong_validator(&exchange->home->more_fields, exchange_now_s(exchange), &validator))
        return false;
    http_text_add(text, HTTP_SPAN("bytes="));
    http_text_add_number(text, (int64_t)exchange->position);
    http_text_add(text, HTTP_SPAN("-"));
    if (exchange->end < exchange->object_size)
        http_text_add_number(text, (int64_t)exchange->end - 1);
    return !text->failed &&
           add(fields, HTTP_SPAN("Range"),
               (struct http_span){text->at + start, (uint32_t)(text->length - start)}) &&
           add(fields, HTTP_SPAN("If-Range"), validator);
}

static bool add_clients_own(struct exchange *exchange, enum fields_purpose purpose)
{
    const struct http_fields *request = exchange->request.fields;

    for (uint32_t i = 0; i < request->count; i++) {
        const struct http_field *field = &request->items[i];

        if (goes_to_origin(request, field, purpose, exchange->request.max_forwards > 0) &&
            !http_field_add(&exchange->home->fields, field->name, field->value))
            return false;
    }
    return true;
}

bool fields_to_origin(struct exchange *exchange, enum fields_purpose purpose)
{
    struct exchange_home *home = exchange->home;
    struct http_text text = http_text_into(home->lines, sizeof home->lines);

    home->fields.count = 0;
    if (!add_clients_own(exchange, purpose))
        return false;
    if (purpose == FIELDS_VALIDATE && !add_validators(exchange))
        return false;
    if (purpose == FIELDS_CONTINUE && !add_continuation(exchange, &text))
        return false;
    if (purpose == FIELDS_PASS && !add(&home->fields, HTTP_SPAN("X-Forwarded-Host"), exchange->request.host))
        return false;
    return add_forwarded_for(exchange, purpose, &text) && add_via(exchange, &text) &&
           add_max_forwards(exchange, &text) &&
           add(&home->fields, HTTP_SPAN("X-Forwarded-Proto"), exchange->request.scheme);
}

static bool text_done(struct http_text *text, struct http_span *lines)
{
    *lines = (struct http_span){text->at, (uint32_t)text->length};
    return !text->failed;
}

/* Content-Length is made anew; an interim response has none (RFC 9110 section 8.6). Tags are for this cache.
 */
static void add_end_to_end(const struct exchange *exchange, struct http_text *text,
                           const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        if (!http_name_is(field, "content-length") && !http_field_is_hop_by_hop(fields, field) &&
            !http_is_tag_field(&exchange->home->tag_fields, field->name))
            http_text_add_field(text, field);
    }
}

/* RFC 9110 section 6.6.1 */
static void add_missing_date(const struct exchange *exchange, struct http_text *text,
                             const struct http_fields *fields)
{
    if (!http_field_find(fields, "date", NULL))
        http_date_add_field(text, exchange_now_s(exchange));
}

bool fields_to_client(struct exchange *exchange, const struct http_fields *fields, struct http_span *lines)
{
    struct exchange_home *home = exchange->home;
    struct http_text text = http_text_into(home->lines, sizeof home->lines);

    add_end_to_end(exchange, &text, fields);
    add_missing_date(exchange, &text, fields);
    return text_done(&text, lines);
}

bool fields_of_interim(struct exchange *exchange, const struct http_fields *fields, struct http_span *lines)
{
    struct exchange_home *home = exchange->home;
    struct http_text text = http_text_into(home->lines, sizeof home->lines);

    add_end_to_end(exchange, &text, fields);
    return text_done(&text, lines);
}

bool fields_of_not_modified(struct exchange *exchange, const struct http_fields *fields,
                            struct http_span *lines)
{
    struct exchange_home *home = exchange->home;
    struct http_text text = http_text_into(home->lines, sizeof home->lines);

    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        if (http_guides_update(fields, field) && !http_field_is_hop_by_hop(fields, field) &&
            !http_is_tag_field(&home->tag_fields, field->name))
            http_text_add_field(&text, field);
    }
    add_missing_date(exchange, &text, fields);
    return text_done(&text, lines);
}

/* Exactly what was asked for, of what is stored (RFC 9110 section 14.4). */
static bool range_is_wanted(const struct exchange *exchange, struct http_span value)
{
    struct http_content_range got;

    return http_content_range_parse(value, &got) && !got.unsatisfied && got.length_known &&
           got.length == exchange->object_size && got.range.first == exchange->position &&
           got.range.end == exchange->end;
}

static bool same_value(const struct http_field *a, const struct http_field *b)
{
    return a && b && http_span_equal(a->value, b->value);
}

static bool same_validator(struct exchange *exchange, const struct http_fields *fields)
{
    const struct http_field *etag;

    if (!http_fields_parse(&exchange->home->more_fields, exchange->meta.fields))
        return false;
    etag = stored_field(exchange, "etag");
    if (etag)
        return same_value(etag, http_field_find(fields, "etag", NULL));
    return same_value(stored_field(exchange, "last-modified"),
                      http_field_find(fields, "last-modified", NULL));
}

/* A 206 must repeat the ETag that the whole has, and need not repeat Last-Modified (RFC 9110 section 15.3.7).
 * What it says must be what is stored: the origin may not have heeded If-Range. */
static bool no_other_validator(struct exchange *exchange, const struct http_fields *fields)
{
    const struct http_field *etag = http_field_find(fields, "etag", NULL);
    const struct http_field *modified = http_field_find(fields, "last-modified", NULL);

    if (!http_fields_parse(&exchange->home->more_fields, exchange->meta.fields))
        return false;
    if (etag || stored_field(exchange, "etag"))
        return same_value(stored_field(exchange, "etag"), etag);
    return !modified || same_value(stored_field(exchange, "last-modified"), modified);
}

bool fields_continue(struct exchange *exchange, const struct origin_head *head, uint64_t *skip)
{
    const struct http_field *range = http_field_find(&head->fields, "content-range", NULL);

    if (head->status == 200) {
        *skip = exchange->position;
        return head->length_known && head->length == exchange->object_size &&
               same_validator(exchange, &head->fields);
    }
    *skip = 0;
    if (head->status != 206 || !range || !range_is_wanted(exchange, range->value))
        return false;
    return no_other_validator(exchange, &head->fields);
}
