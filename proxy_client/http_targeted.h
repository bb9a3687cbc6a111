/* http_targeted.h: cache directives for this cache among others: targeted fields (RFC 9213), such as
 * CDN-Cache-Control.
 *
 * The target list says which, the most applicable first. The first that is there, parses as a Dictionary and
 * is not empty replaces Cache-Control and Expires; one that does not is as if it were not there (sections 2.1
 * and 2.2). Directives mean what they mean in Cache-Control. A value of another type than the directive's is
 * not used (section 2.1): freshness counts as invalid, no-store, no-cache, private and the like as the plain
 * directive, everything else as absent; a false Boolean takes a directive away. Parameters are ignored.
 *
 * Trust: any bytes. Pure; spans point into what is parsed. */
#ifndef LARDER_HTTP_TARGETED_H
#define LARDER_HTTP_TARGETED_H

#include "http_cache_control.h"

#define HTTP_TARGETS_MAX 8
struct http_targets {
    uint32_t count;
    struct http_span names[HTTP_TARGETS_MAX];
};

#define HTTP_TARGETS_DEFAULT "CDN-Cache-Control"
/* A comma-separated list of field names; empty: none. False: too many, or not names. The names point into
 * `list`. */
bool http_targets_parse(struct http_targets *out, struct http_span list);

/* The directives that govern a response: those of a targeted field, else of Cache-Control. True: a targeted
 * field has been used, so Expires does not count either. `targets` may be NULL. */
bool http_response_control_parse(struct http_cache_control *out, const struct http_fields *response,
                                 const struct http_targets *targets);

#endif
