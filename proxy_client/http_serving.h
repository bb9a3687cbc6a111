/* http_serving.h: may what is stored be served (RFC 9111 sections 4.2.4 and 5.2.1, RFC 5861, RFC 8246)?
 *
 * Ages and lifetimes are seconds between 0 and HTTP_SECONDS_MAX. Pure. */
#ifndef LARDER_HTTP_SERVING_H
#define LARDER_HTTP_SERVING_H

#include "http_cache_control.h"

/* What is known of the stored response. */
struct http_stored {
    int64_t age, lifetime;
    int64_t stale_while_revalidate, stale_if_error; /* -1: none */
    bool must_validate, strict, immutable;          /* as in struct http_storing */
};

enum http_serving {
    HTTP_SERVING_FRESH,    /* as it is */
    HTTP_SERVING_STALE,    /* as it is, because the request allows that (max-stale) */
    HTTP_SERVING_REFRESH,  /* as it is, while it is validated in the background (stale-while-revalidate) */
    HTTP_SERVING_VALIDATE, /* only after the origin has confirmed it */
};
/* `request` as http_request_control_parse() made it. Its directives are honoured, save that max-age does not
 * make a fresh immutable response be validated (RFC 8246 section 2.1: the content cannot have changed);
 * max-age=0 asks for validation even of what has no age. Stale is served only where the request or the
 * response allows it and the response does not forbid it. */
enum http_serving http_serving(const struct http_cache_control *request, const struct http_stored *stored);

/* When the origin cannot be asked, or answers an error. */
enum http_trouble {
    HTTP_TROUBLE_DISCONNECTED, /* not reached, too slow, or what came back makes no sense */
    HTTP_TROUBLE_STATUS,       /* 500, 502, 503 or 504 (RFC 5861 section 4) */
};
bool http_status_is_trouble(int status);
/* May the stored response take the error's place? stale-if-error of the request, or else of the response,
 * says how stale it may be; without it a disconnected cache may serve it however stale (section 4.2.4), and
 * an answer of the origin is passed on. Never where the response forbids it, and where the request asks for
 * validation only if it has stale-if-error itself. */
bool http_may_serve_in_trouble(const struct http_cache_control *request, const struct http_stored *stored,
                               enum http_trouble trouble);

#endif
