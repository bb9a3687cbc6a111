#include "http_meta.h"

#include <string.h>

#include "http_date.h"

#define SECONDS_MAX META_HEAD_SECONDS
#define KEEP_MAX    ((int64_t)1 << 32) /* twice that: what may be late as well */
#define TIME_MAX    META_HEAD_TIME
#define KNOWN_FLAGS                                                                                          \
    (HTTP_META_MUST_VALIDATE | HTTP_META_STRICT | HTTP_META_HEURISTIC | HTTP_META_NO_TRANSFORM |             \
     HTTP_META_IMMUTABLE | HTTP_META_INDEX | HTTP_META_PARTS | HTTP_META_MARK | HTTP_META_FAILED_STATUS |    \
     HTTP_META_FAILED_REQUEST)
#define HEAD_BYTES sizeof(struct http_meta_head)
#define FIELDS_MAX (HTTP_META_MAX - HEAD_BYTES)

static bool in_range(int64_t number, int64_t low, int64_t high)
{
    return number >= low && number <= high;
}

static bool head_is_sound(const struct http_meta_head *head)
{
    return in_range(head->status, 200, 599) && (head->flags & ~KNOWN_FLAGS) == 0 &&
           in_range(head->response_time, 0, TIME_MAX) && in_range(head->initial_age, 0, SECONDS_MAX) &&
           in_range(head->lifetime, 0, SECONDS_MAX) &&
           in_range(head->stale_while_revalidate, -1, SECONDS_MAX) &&
           in_range(head->stale_if_error, -1, SECONDS_MAX) && in_range(head->keep, 0, KEEP_MAX);
}

/* A stored Content-Length or Transfer-Encoding would let whoever wrote the blob decide where the response
 * ends on another proxy's connections, so the names are checked as strictly as the bytes. */
static bool lines_are_sound(struct http_span rest)
{
    struct http_field field;
    enum http_line_result result;
    uint32_t count = 0;

    while ((result = http_line_next(&rest, &field)) == HTTP_LINE_FIELD) {
        if (http_name_is_never_stored(field.name) || ++count > HTTP_MAX_FIELDS)
            return false;
    }
    return result == HTTP_LINE_END;
}

/* Only a 200 has parts (RFC 9111 section 3.3). */
static bool parts_are_sound(const struct http_meta_head *head, struct http_span bytes)
{
    struct http_parts parts;

    if (!(head->flags & HTTP_META_PARTS))
        return bytes.length == 0;
    return head->status == 200 && !(head->flags & (HTTP_META_INDEX | HTTP_META_MARK)) &&
           http_parts_decode(&parts, bytes.at, bytes.length);
}

bool http_meta_decode(struct http_meta *out, const void *blob, size_t length)
{
    const char *behind = (const char *)blob + HEAD_BYTES;

    if (length < HEAD_BYTES || length > HTTP_META_MAX)
        return false;
    memcpy(&out->head, blob, HEAD_BYTES);
    if (out->head.magic != HTTP_META_MAGIC || out->head.fields_length > length - HEAD_BYTES ||
        !head_is_sound(&out->head))
        return false;
    out->fields = (struct http_span){behind, out->head.fields_length};
    out->parts = (struct http_span){behind + out->head.fields_length,
                                    (uint32_t)(length - HEAD_BYTES) - out->head.fields_length};
    return lines_are_sound(out->fields) && parts_are_sound(&out->head, out->parts);
}

static void add_fields(struct http_text *text, const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        if (!http_name_is_never_stored(field->name) && !http_field_is_hop_by_hop(fields, field))
            http_text_add_field(text, field);
    }
}

int http_meta_encode(const struct http_meta_head *head, const struct http_fields *fields, void *out,
                     size_t size)
{
    struct http_meta_head written = *head;
    struct http_text text;

    written.magic = HTTP_META_MAGIC;
    if (size < HEAD_BYTES || !head_is_sound(&written))
        return -1;
    text = http_text_into((char *)out + HEAD_BYTES,
                          size - HEAD_BYTES < FIELDS_MAX ? size - HEAD_BYTES : FIELDS_MAX);
    add_fields(&text, fields);
    /* A response must not be stored without the time it was made (RFC 9110 section 6.6.1). */
    if (!http_field_find(fields, "date", NULL))
        http_date_add_field(&text, head->response_time);
    if (text.failed || !lines_are_sound((struct http_span){text.at, (uint32_t)text.length}))
        return -1;
    written.fields_length = (uint32_t)text.length;
    memcpy(out, &written, HEAD_BYTES);
    return (int)(HEAD_BYTES + text.length);
}

int http_meta_add_parts(void *blob, int length, size_t size, const struct http_parts *parts)
{
    struct http_meta_head head;
    int added;

    if (length < (int)HEAD_BYTES || (size_t)length > size)
        return -1;
    memcpy(&head, blob, HEAD_BYTES);
    added = http_parts_encode(parts, (char *)blob + length, size - (size_t)length);
    if (added < 0 || length + added > (int)HTTP_META_MAX)
        return -1;
    head.flags |= HTTP_META_PARTS;
    memcpy(blob, &head, HEAD_BYTES);
    return length + added;
}

int64_t http_meta_age(const struct http_meta_head *head, int64_t now)
{
    return meta_head_age(head, now);
}
