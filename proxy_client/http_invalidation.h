/* http_invalidation.h: what a response to an unsafe method makes invalid (RFC 9111 section 4.4).
 * Pure. Trust: any bytes. */
#ifndef LARDER_HTTP_INVALIDATION_H
#define LARDER_HTTP_INVALIDATION_H

#include "http_uri.h"
#include "http_verdict.h"

#define HTTP_INVALIDATION_MAX 2

struct http_invalidation {
    bool target; /* what is stored for the request's target */
    /* Targets of the same origin that Location and Content-Location name, apart from that one. */
    uint32_t count;
    struct http_span others[HTTP_INVALIDATION_MAX];
};
/* Nothing unless the method is unsafe, or of unknown safety, and the response no error (2xx or 3xx). The
 * texts of `others` are written into `buffer`; what does not fit is left out, as the RFC allows for all but
 * the target. */
struct http_invalidation http_invalidation(enum http_request_verdict verdict, const struct http_place *place,
                                           const struct http_response *response, char *buffer, size_t size);

#endif
