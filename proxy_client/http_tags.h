/* http_tags.h: the tags under which responses are purged together (Surrogate-Key, Cache-Tag).
 *
 * The fields' names are the operator's; in all of them spaces and commas part the tags. Tags are compared
 * byte for byte. They are for this cache: what goes on to clients and what is stored has the fields no more,
 * the cache keeps the tags beside the object.
 *
 * Trust: any bytes. Pure. */
#ifndef LARDER_HTTP_TAGS_H
#define LARDER_HTTP_TAGS_H

#include "http_message.h"

#define HTTP_TAGS_MAX           64u  /* of a response */
#define HTTP_TAG_MAX            256u /* bytes */
#define HTTP_TAGS_BYTES         (HTTP_TAGS_MAX * (HTTP_TAG_MAX + 1))

#define HTTP_TAG_FIELDS_MAX     8
#define HTTP_TAG_FIELDS_DEFAULT "Surrogate-Key, Cache-Tag"
struct http_tag_fields {
    uint32_t count;
    struct http_span names[HTTP_TAG_FIELDS_MAX];
};

/* A comma-separated list of field names; empty: none. False: too many, or not names. The names point into
 * `list`. */
bool http_tag_fields_parse(struct http_tag_fields *out, struct http_span list);
bool http_is_tag_field(const struct http_tag_fields *names, struct http_span name);
bool http_has_tags(const struct http_tag_fields *names, const struct http_fields *fields);
/* Takes the tag fields out. */
void http_leave_out_tags(const struct http_tag_fields *names, struct http_fields *fields);

/* Writes the tags, each once and with a zero byte behind it, into `out` of HTTP_TAGS_BYTES. Bytes written, or
 * -1: there are more than HTTP_TAGS_MAX, or one is longer than HTTP_TAG_MAX. A response whose tags are not
 * all known could not be purged by all of them. */
int http_tags_collect(const struct http_tag_fields *names, const struct http_fields *fields, char *out);

#endif
