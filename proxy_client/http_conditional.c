/* Section numbers without an RFC are RFC 9111's. */
#include "http_conditional.h"

#include "http_date.h"

#include <string.h>

static bool date_of(const struct http_field *field, int64_t now, int64_t *out)
{
    return field && http_date_parse(field->value, now, out);
}

/* One element of an ETag or If-None-Match value. entity-tag has no escapes (RFC 9110 section 8.8.3), so a
 * backslash means nothing in it and http_list_next() does not fit. A tag without quotes, which some origins
 * send, reaches to the next comma. */
struct entity_tag {
    bool weak;
    struct http_span opaque; /* with its quotes */
};

static bool entity_tag_next(struct http_span *rest, struct entity_tag *tag)
{
    const char *at = rest->at;
    const char *end, *stop;

    if (rest->length == 0)
        return false;
    end = at + rest->length;
    while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
        at++;
    tag->weak = end - at >= 2 && at[0] == 'W' && at[1] == '/'; /* case-sensitive */
    if (tag->weak)
        at += 2;
    stop = at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at) - 1) : at;
    if (!stop) /* an open quote: the rest is no tag */
        return false;
    stop = stop < end ? memchr(stop, ',', (size_t)(end - stop)) : NULL;
    if (!stop)
        stop = end;
    tag->opaque = http_span_trim((struct http_span){at, (uint32_t)(stop - at)});
    *rest = (struct http_span){stop, (uint32_t)(end - stop)};
    return tag->opaque.length > 0;
}

static bool entity_tag_of(const struct http_fields *fields, struct entity_tag *tag)
{
    const struct http_field *field = http_field_find(fields, "etag", NULL);
    struct http_span rest;

    if (!field)
        return false;
    rest = field->value;
    return entity_tag_next(&rest, tag);
}

/* RFC 9110 section 13.1.2: does the list name the stored tag by weak comparison, or is it "*"? */
static bool none_match_names(struct http_span list, const struct entity_tag *stored)
{
    struct entity_tag tag;

    if (http_span_equal(list, HTTP_SPAN("*")))
        return true;
    while (entity_tag_next(&list, &tag)) {
        if (stored && http_span_equal(tag.opaque, stored->opaque))
            return true;
    }
    return false;
}

/* RFC 9110 section 13.1.3: more than one value, or no date, is as if the field were not there. */
static const struct http_field *date_field(const struct http_fields *request, const char *name)
{
    const struct http_field *field = http_field_find(request, name, NULL);

    return field && !http_field_find(request, name, field) ? field : NULL;
}

/* Section 4.3.2: without Last-Modified the Date takes its place, or else the time of arrival. */
static bool not_modified_since(const struct http_field *since, const struct http_fields *stored, int64_t now)
{
    const struct http_field *field = http_field_find(stored, "last-modified", NULL);
    int64_t bound, modified = now;

    if (!date_of(since, now, &bound))
        return false;
    if (!field)
        field = http_field_find(stored, "date", NULL);
    return (!field || date_of(field, now, &modified)) && modified <= bound;
}

bool http_not_modified(const struct http_fields *request, const struct http_fields *stored, int64_t now)
{
    const struct http_field *field = http_field_find(request, "if-none-match", NULL);
    struct entity_tag tag;
    bool has_tag;

    if (!field)
        return not_modified_since(date_field(request, "if-modified-since"), stored, now);
    has_tag = entity_tag_of(stored, &tag);
    for (; field; field = http_field_find(request, "if-none-match", field)) {
        if (none_match_names(field->value, has_tag ? &tag : NULL))
            return true;
    }
    return false;
}

enum http_precondition http_precondition(const struct http_request *request, const struct http_fields *stored,
                                         int64_t now)
{
    bool retrieves = http_span_equal(request->method, HTTP_SPAN("GET")) ||
                     http_span_equal(request->method, HTTP_SPAN("HEAD"));

    if (!retrieves || http_field_find(request->fields, "if-match", NULL) ||
        http_field_find(request->fields, "if-unmodified-since", NULL))
        return HTTP_PRECONDITION_ORIGIN;
    return http_not_modified(request->fields, stored, now) ? HTTP_PRECONDITION_NOT_MODIFIED
                                                           : HTTP_PRECONDITION_NONE;
}

/* ---- Validators ---- */

bool http_has_validator(const struct http_fields *fields, int64_t now)
{
    const struct http_field *etag = http_field_find(fields, "etag", NULL);
    int64_t modified;

    return (etag && etag->value.length > 0) ||
           date_of(http_field_find(fields, "last-modified", NULL), now, &modified);
}

struct http_validators http_validators(const struct http_fields *stored)
{
    const struct http_field *etag = http_field_find(stored, "etag", NULL);
    const struct http_field *modified = http_field_find(stored, "last-modified", NULL);
    struct http_validators validators = {.none_match = {"", 0}, .modified_since = {"", 0}};
    int64_t when;

    if (etag)
        validators.none_match = etag->value;
    /* The very words: some origins compare them as text. What is no date they would have to ignore. */
    if (date_of(modified, 0, &when))
        validators.modified_since = modified->value;
    return validators;
}

/* ---- Updating ---- */

static bool same_value(const struct http_field *a, const struct http_field *b)
{
    return a && b && http_span_equal(a->value, b->value);
}

static bool names_itself(const struct http_fields *stored)
{
    struct entity_tag tag;

    return entity_tag_of(stored, &tag) || http_field_find(stored, "last-modified", NULL);
}

enum http_update_match http_update_match(const struct http_fields *stored, const struct http_fields *update)
{
    const struct http_field *modified = http_field_find(update, "last-modified", NULL);
    struct entity_tag tag, old_tag;

    if (entity_tag_of(update, &tag)) {
        if (!entity_tag_of(stored, &old_tag) || !http_span_equal(tag.opaque, old_tag.opaque))
            return HTTP_UPDATE_NO;
        if (tag.weak)
            return HTTP_UPDATE_WEAK;
        /* A strong tag names one representation byte for byte, so a weak one does not stand for it. */
        return old_tag.weak ? HTTP_UPDATE_NO : HTTP_UPDATE_STRONG;
    }
    if (!modified)
        return names_itself(stored) ? HTTP_UPDATE_CONFIRMED : HTTP_UPDATE_UNNAMED;
    return same_value(modified, http_field_find(stored, "last-modified", NULL)) ? HTTP_UPDATE_WEAK
                                                                                : HTTP_UPDATE_NO;
}

bool http_update_matches(const struct http_fields *stored, const struct http_fields *update)
{
    return http_update_match(stored, update) != HTTP_UPDATE_NO;
}

/* Section 3.2: what the stored response depends upon. The cache keeps the bytes as they came, in their
 * coding, so Content-Encoding is one; Content-Type only says how they are to be taken, and is updated. */
static bool is_depended_on(struct http_span name)
{
    return http_span_equal_nocase(name, HTTP_SPAN("content-encoding")) ||
           http_span_equal_nocase(name, HTTP_SPAN("content-range"));
}

static const char *const content_fields[] = {"content-type",   "content-encoding",   "content-language",
                                             "content-length", "content-range",      "content-md5",
                                             "content-digest", "content-disposition"};

bool http_guides_update(const struct http_fields *fields, const struct http_field *field)
{
    for (size_t i = 0; i < sizeof content_fields / sizeof *content_fields; i++) {
        if (http_name_is(field, content_fields[i]))
            return false;
    }
    return !http_name_is(field, "last-modified") || !http_field_find(fields, "etag", NULL);
}

bool http_is_digest_of_content(const struct http_field *field)
{
    return http_name_is(field, "content-digest") || http_name_is(field, "content-md5");
}

/* Leaves in *out what of the update counts. */
static void update_select(struct http_fields *out, const struct http_fields *update)
{
    out->count = 0;
    for (uint32_t i = 0; i < update->count; i++) {
        const struct http_field *field = &update->items[i];

        if (!http_name_is_never_stored(field->name) && !is_depended_on(field->name) &&
            !http_is_digest_of_content(field) && !http_field_is_hop_by_hop(update, field))
            out->items[out->count++] = *field;
    }
}

/* True if one of the first `count` fields has that name. */
static bool named_among(const struct http_fields *fields, uint32_t count, struct http_span name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (http_span_equal_nocase(fields->items[i].name, name))
            return true;
    }
    return false;
}

static void write_named(struct http_text *text, const struct http_fields *fields, struct http_span name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (http_span_equal_nocase(fields->items[i].name, name))
            http_text_add_field(text, &fields->items[i]);
    }
}

int http_update_fields(const struct http_fields *stored, const struct http_fields *update, char *out,
                       size_t out_size)
{
    struct http_text text = http_text_into(out, out_size);
    struct http_fields fresh;

    update_select(&fresh, update);
    for (uint32_t i = 0; i < stored->count; i++) {
        const struct http_field *field = &stored->items[i];

        if (http_name_is_never_stored(field->name))
            continue;
        if (!named_among(&fresh, fresh.count, field->name))
            http_text_add_field(&text, field);
        else if (!named_among(stored, i, field->name)) /* the first old value's place is all new ones' */
            write_named(&text, &fresh, field->name);
    }
    for (uint32_t i = 0; i < fresh.count; i++) {
        if (!named_among(stored, stored->count, fresh.items[i].name))
            http_text_add_field(&text, &fresh.items[i]);
    }
    return text.failed ? -1 : (int)text.length;
}

/* ---- HEAD ---- */

static bool agrees(const struct http_fields *head, const struct http_fields *stored, const char *name)
{
    const struct http_field *field = http_field_find(head, name, NULL);

    return !field || same_value(field, http_field_find(stored, name, NULL));
}

enum http_head_effect http_head_effect(int stored_status, const struct http_fields *stored,
                                       uint64_t stored_length, const struct http_response *head)
{
    enum http_length_result result;
    uint64_t length = stored_length;

    if (head->status != 200)
        return HTTP_HEAD_NOTHING;
    result = http_content_length(head->fields, &length);
    if (stored_status == 200 && result != HTTP_LENGTH_BAD && length == stored_length &&
        agrees(head->fields, stored, "etag") && agrees(head->fields, stored, "last-modified"))
        return HTTP_HEAD_FRESHENS;
    return HTTP_HEAD_INVALIDATES;
}
