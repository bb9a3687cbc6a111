#include "http_tags.h"

#include <string.h>

bool http_tag_fields_parse(struct http_tag_fields *out, struct http_span list)
{
    struct http_span name;

    out->count = 0;
    while (http_list_next(&list, &name)) {
        if (out->count == HTTP_TAG_FIELDS_MAX || !http_is_token(name))
            return false;
        out->names[out->count++] = name;
    }
    return true;
}

bool http_is_tag_field(const struct http_tag_fields *names, struct http_span name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (http_span_equal_nocase(names->names[i], name))
            return true;
    }
    return false;
}

bool http_has_tags(const struct http_tag_fields *names, const struct http_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (http_is_tag_field(names, fields->items[i].name))
            return true;
    }
    return false;
}

void http_leave_out_tags(const struct http_tag_fields *names, struct http_fields *fields)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < fields->count; i++) {
        if (!http_is_tag_field(names, fields->items[i].name))
            fields->items[kept++] = fields->items[i];
    }
    fields->count = kept;
}

/* ---- collecting ---- */

struct tags {
    char *at;
    uint32_t length;
    uint32_t count;
};

static bool is_separator(char c)
{
    return c == ' ' || c == ',' || c == '\t' || c == '\0';
}

static bool next_tag(struct http_span *rest, struct http_span *tag)
{
    while (rest->length > 0 && is_separator(*rest->at)) {
        rest->at++;
        rest->length--;
    }
    *tag = (struct http_span){rest->at, 0};
    while (rest->length > 0 && !is_separator(*rest->at)) {
        rest->at++;
        rest->length--;
        tag->length++;
    }
    return tag->length > 0;
}

static bool is_known(const struct tags *tags, struct http_span tag)
{
    for (uint32_t at = 0; at < tags->length;) {
        uint32_t length = (uint32_t)strlen(tags->at + at);

        if (http_span_equal((struct http_span){tags->at + at, length}, tag))
            return true;
        at += length + 1;
    }
    return false;
}

static bool add(struct tags *tags, struct http_span tag)
{
    if (tag.length > HTTP_TAG_MAX)
        return false;
    if (is_known(tags, tag))
        return true;
    if (tags->count == HTTP_TAGS_MAX)
        return false;
    memcpy(tags->at + tags->length, tag.at, tag.length);
    tags->at[tags->length + tag.length] = '\0';
    tags->length += tag.length + 1;
    tags->count++;
    return true;
}

int http_tags_collect(const struct http_tag_fields *names, const struct http_fields *fields, char *out)
{
    struct tags tags = {.at = out};

    for (uint32_t i = 0; i < fields->count; i++) {
        struct http_span rest = fields->items[i].value, tag;

        if (!http_is_tag_field(names, fields->items[i].name))
            continue;
        while (next_tag(&rest, &tag)) {
            if (!add(&tags, tag))
                return -1;
        }
    }
    return (int)tags.length;
}
