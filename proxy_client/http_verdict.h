/* http_verdict.h: what to do with a request before anything is looked up (RFC 9111 sections 4, 5.2.1, 5.4).
 * Pure; no allocation. Trust: fields may hold any bytes. */
#ifndef LARDER_HTTP_VERDICT_H
#define LARDER_HTTP_VERDICT_H

#include "http_message.h"

enum http_request_verdict {
    HTTP_REQUEST_LOOKUP,     /* the cache may answer it, and its response may be stored */
    HTTP_REQUEST_REVALIDATE, /* as LOOKUP, but what is stored must be validated first (no-cache, max-age=0,
                                ...), which http_serving() has the last word about */
    HTTP_REQUEST_BYPASS,     /* neither looked up nor stored (no-store, Range, ...) */
    HTTP_REQUEST_UNSAFE,     /* as BYPASS, and a non-error response invalidates the target (section 4.4) */
};
/* *reason (unless `reason` is NULL) becomes the name of what decided, such as "no-store", or "lookup". */
enum http_request_verdict http_request_verdict(const struct http_request *request, const char **reason);

#endif
