/* http_conditional.h: validators and conditional requests (RFC 9110 sections 8.8 and 13, RFC 9111
 * section 4.3), and what a 304 or a response to HEAD does to what is stored (RFC 9111
 * sections 3.2, 4.3.4, 4.3.5).
 *
 * Trust: fields may hold any bytes; `now` is the caller's clock, in seconds since the Unix epoch. Pure. */
#ifndef LARDER_HTTP_CONDITIONAL_H
#define LARDER_HTTP_CONDITIONAL_H

#include "http_message.h"

/* An ETag that is not empty, or a Last-Modified that is a date. */
bool http_has_validator(const struct http_fields *fields, int64_t now);
/* What is sent to the origin to validate a stored response (RFC 9111 section 4.3.1): If-None-Match has the
 * ETag, If-Modified-Since the Last-Modified if it is a date; empty: there is none. */
struct http_validators {
    struct http_span none_match, modified_since;
};
struct http_validators http_validators(const struct http_fields *stored);

/* The preconditions of a request that a stored or fetched 200 could answer, in the order of RFC 9110 section
 * 13.2.2: If-Match and If-Unmodified-Since are the origin's to evaluate (RFC 9111 section 4.3.2), then
 * If-None-Match (weak comparison, lists, "*"), and only without it If-Modified-Since, for GET and HEAD. A
 * date that is none, or a field that repeats, is as if it were not there. Without Last-Modified the Date of
 * the response takes its place, and without that `now`. */
enum http_precondition {
    HTTP_PRECONDITION_NONE,         /* there is none that counts, or it holds: the whole response */
    HTTP_PRECONDITION_NOT_MODIFIED, /* 304 */
    HTTP_PRECONDITION_ORIGIN,       /* forward the request */
};
enum http_precondition http_precondition(const struct http_request *request, const struct http_fields *stored,
                                         int64_t now);
/* For GET and HEAD: may a 304 be sent? If-Match and If-Unmodified-Since are not looked at. */
bool http_not_modified(const struct http_fields *request, const struct http_fields *stored, int64_t now);

/* Which stored response is the 304 with the fields `update` about (RFC 9111 section 4.3.4)? Of the stored
 * responses that could have answered the request: all that are STRONG, if `update` has a strong validator;
 * else the most recent that is WEAK; else the only one, if there is no other and it is UNNAMED. */
enum http_update_match {
    HTTP_UPDATE_NO,
    HTTP_UPDATE_STRONG,    /* the same strong ETag */
    HTTP_UPDATE_WEAK,      /* the same ETag by weak comparison, or without one the same Last-Modified */
    HTTP_UPDATE_UNNAMED,   /* neither has any validator */
    HTTP_UPDATE_CONFIRMED, /* the 304 has none: it speaks of those that were sent, but updates nothing */
};
enum http_update_match http_update_match(const struct http_fields *stored, const struct http_fields *update);
/* The same where validators of this one response only were sent. False: fetch anew, without conditions. */
bool http_update_matches(const struct http_fields *stored, const struct http_fields *update);

/* Stored fields updated by a 304 or a response to HEAD (section 3.2): writes the new header block, stored
 * order kept, fields of `update` replacing those of the same name except Content-Length, Transfer-Encoding,
 * the hop-by-hop ones, and Content-Encoding and Content-Range, without which the stored bytes would read
 * differently. Age is left out. The caller adds Date to an update that has none (RFC 9110 section 6.6.1), and
 * removes what the new directives withhold. Returns bytes written, or -1 if it does not fit or a field is not
 * fit to be written (see http_text_add_field()). */
int http_update_fields(const struct http_fields *stored, const struct http_fields *update, char *out,
                       size_t out_size);

/* Of the fields of a 200, those that go along with a 304 (RFC 9110 section 15.4.5), and with a 206 whose
 * client has the rest (section 15.3.7): all but the metadata of the representation that update nothing, which
 * are the fields of the content and, where there is an ETag, Last-Modified. Hop-by-hop fields are the
 * caller's. */
/* Of this message's content alone (RFC 9530 section 2): true of no other part, and of no other coding of it.
 */
bool http_is_digest_of_content(const struct http_field *field);
bool http_guides_update(const struct http_fields *fields, const struct http_field *field);
/* Of this message's content alone (RFC 9530 section 2): true of no other part, and of no other coding of it.
 */
bool http_is_digest_of_content(const struct http_field *field);

/* What a response to HEAD says about the stored response to GET (section 4.3.5). Every validator that it has,
 * and its Content-Length, must be those of what is stored; `stored_length` is the body's. */
enum http_head_effect {
    HTTP_HEAD_NOTHING,     /* no 200 */
    HTTP_HEAD_FRESHENS,    /* update the stored fields */
    HTTP_HEAD_INVALIDATES, /* it is something else by now */
};
enum http_head_effect http_head_effect(int stored_status, const struct http_fields *stored,
                                       uint64_t stored_length, const struct http_response *head);

#endif
