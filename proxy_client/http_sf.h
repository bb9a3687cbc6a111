/* http_sf.h: Structured Fields (RFC 9651, which is RFC 8941 with two more types): dictionaries, lists, items.
 *
 * A value is read from its front, member by member; it is valid only if the end is reached without BAD, and
 * nothing of an invalid one may be used (section 4.2). So whoever wants a whole field reads it twice, or
 * keeps what it reads until the end. Of a key that repeats the last member counts (section 4.2.2).
 *
 * The value of a field that has several lines is made of all of them; section 4.2 allows that each line has
 * to parse by itself. An empty line between others makes the whole invalid, as an empty member does.
 *
 * Sections are those of RFC 9651. Trust: any bytes. Pure; spans point into what is parsed. */
#ifndef LARDER_HTTP_SF_H
#define LARDER_HTTP_SF_H

#include "http_message.h"

enum http_sf_type {
    HTTP_SF_INTEGER, /* text: the number */
    HTTP_SF_DECIMAL, /* text: the number */
    HTTP_SF_STRING,  /* text: between the quotes, escapes as they stand */
    HTTP_SF_TOKEN,
    HTTP_SF_BYTES,   /* text: the base64 */
    HTTP_SF_BOOLEAN, /* text: "0" or "1" */
    HTTP_SF_DATE,    /* text: the number */
    HTTP_SF_DISPLAY, /* text: between the quotes, percent-encoded */
    HTTP_SF_INNER,   /* text: between the parentheses */
};

struct http_sf_item {
    enum http_sf_type type;
    struct http_span text;
    struct http_span parameters; /* as they stand, with the first ";"; may be empty */
};

struct http_sf_member {
    struct http_span key; /* lower case, as the grammar has it */
    struct http_sf_item value;
};

enum http_sf_result { HTTP_SF_END, HTTP_SF_MEMBER, HTTP_SF_BAD };
/* *rest starts as the whole value; the result stays END or BAD from then on. */
enum http_sf_result http_sf_dictionary_next(struct http_span *rest, struct http_sf_member *member);
enum http_sf_result http_sf_list_next(struct http_span *rest, struct http_sf_item *item);
bool http_sf_item(struct http_span value, struct http_sf_item *item);

/* Is it a dictionary? *members (unless NULL) becomes how many members it has, repeated keys included. */
bool http_sf_is_dictionary(struct http_span value, uint32_t *members);

#endif
