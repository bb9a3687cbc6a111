/* http1_target.h: the four forms of a request target (RFC 9112 section 3.2) and the authority of Host. Pure.
 *
 * Trust: the bytes are a client's. */
#ifndef LARDER_HTTP1_TARGET_H
#define LARDER_HTTP1_TARGET_H

#include "http_message.h"

enum http1_form {
    HTTP1_FORM_BAD,
    HTTP1_FORM_ORIGIN,    /* "/path?query" */
    HTTP1_FORM_ABSOLUTE,  /* "http://host/path?query" */
    HTTP1_FORM_AUTHORITY, /* "host:port" */
    HTTP1_FORM_ASTERISK,  /* "*" */
};

struct http1_target {
    enum http1_form form;
    bool https;
    struct http_span authority; /* of ABSOLUTE and AUTHORITY */
    struct http_span path; /* of ORIGIN and ABSOLUTE; empty, or begins with '?', where there is no path */
};

/* Form and parts of a target in a request with this method: authority-form for CONNECT alone, asterisk-form
 * for OPTIONS alone. A fragment, user information (RFC 9110 section 4.2.4), an empty host (section 4.2.1),
 * schemes other than http and https, and bytes that no URI has make it BAD. What URIs may not have either but
 * browsers send as it is (URL Standard: "[]^|" in paths, those and "\\`{}" and "%" in queries) is accepted.
 */
enum http1_form http1_target_read(struct http1_target *out, struct http_span method, struct http_span target);

/* uri-host [ ":" port ] (RFC 3986 section 3.2.2): no user information; a port, if any, of at most 65535; no
 * comma, which is how two Host fields look when somebody has joined them. The empty one is refused. */
bool http1_authority_is_sound(struct http_span authority);

#endif
