/* http_uri.h: URI references in a response, as targets of this proxy's keys (RFC 3986 section 5).
 *
 * Two names lead to the same resources: the origin's own ("http://HOST:PORT/BASE"), of which keys are made,
 * and the one under which the client reaches the proxy. A reference may use either. One without an authority
 * is resolved against the URI that the origin was asked for; if its path then lies outside of the base path
 * it is taken as the client's. Everything else is of another origin. Apart from dot segments nothing is
 * normalised, because keys are not.
 *
 * Trust: any bytes. Pure. */
#ifndef LARDER_HTTP_URI_H
#define LARDER_HTTP_URI_H

#include "http_message.h"

struct http_place {
    struct http_span base;   /* of the origin: scheme, authority and perhaps a path; no slash at its end */
    struct http_span target; /* of the request: origin-form, behind the base's path */
    struct http_span scheme; /* by which the client came, and the authority that it named; may be empty */
    struct http_span host;
};

#define HTTP_TARGET_MAX 8192 /* as long as a request's may be */

/* Writes the target (origin-form, without a fragment) and returns its length; -1: of another origin, no URI
 * reference, or longer than `size`. */
int http_uri_target(const struct http_place *place, struct http_span reference, char *out, size_t size);

/* Does the reference name the target of the request itself? */
bool http_uri_is_target(const struct http_place *place, struct http_span reference);

#endif
