/* http_policy.h: the decisions of a shared HTTP cache (RFC 9111) as pure functions; time is an argument.
 *
 * Times are seconds since the Unix epoch; durations are seconds, saturated at HTTP_SECONDS_MAX (RFC 9111
 * section 1.2.2). Nothing here allocates, does I/O or keeps state. Each rule names its section in the .c.
 * Trust: fields may hold any bytes; the times are the caller's own clock. */
#ifndef LARDER_HTTP_POLICY_H
#define LARDER_HTTP_POLICY_H

#include "http_message.h"

#define HTTP_SECONDS_MAX ((int64_t)1 << 31)

/* Cache-Control (RFC 9111 section 5.2). Durations are -1 when the directive is absent or its argument
 * invalid; an invalid freshness argument makes the response stale (section 4.2.1), which `invalid` reports,
 * even when the directive also occurs with a valid one. When a directive repeats, the strictest counts: the
 * smallest max-age, s-maxage, max-stale and stale-*, the largest min-fresh. Section 4.2.1 allows the first
 * occurrence or staleness; the smallest is never fresher than the first. Unknown directives are ignored, and
 * so are arguments of directives that take none. */
struct http_cache_control {
    int64_t max_age, s_maxage, min_fresh, stale_while_revalidate, stale_if_error;
    int64_t max_stale; /* -1 absent, HTTP_SECONDS_MAX when it has no argument */
    bool no_store, no_cache, no_cache_fields, private_, private_fields, public_, must_revalidate,
        proxy_revalidate, must_understand, no_transform, only_if_cached, immutable, invalid;
};
void http_cache_control_parse(struct http_cache_control *out, const struct http_fields *fields);

/* What to do with a request before anything is looked up. */
enum http_request_verdict {
    HTTP_REQUEST_LOOKUP,     /* the cache may answer it, and its response may be stored */
    HTTP_REQUEST_REVALIDATE, /* as LOOKUP, but what is stored must be validated first (no-cache, max-age=0,
                                ...) */
    HTTP_REQUEST_BYPASS,     /* neither looked up nor stored (no-store, Range, ...) */
    HTTP_REQUEST_UNSAFE,     /* as BYPASS, and a non-error response invalidates the target (section 4.4) */
};
/* *reason (unless `reason` is NULL) becomes the name of what decided, such as "no-store", or "lookup". */
enum http_request_verdict http_request_verdict(const struct http_request *request, const char **reason);

/* May this response be stored (section 3), and until when is it fresh and worth keeping. `reason` is a short
 * token for logs and Cache-Status detail, never NULL. */
struct http_storing {
    bool store;
    int64_t lifetime;    /* freshness_lifetime, section 4.2.1; 0 when always to be validated */
    int64_t initial_age; /* corrected_initial_age, section 4.2.3 */
    int64_t keep;        /* seconds of use for validation after expiry; 0: none, at most maximum + a day */
    bool heuristic;      /* lifetime was guessed, section 4.2.2 */
    bool must_validate;  /* never serve without validation (no-cache) */
    bool strict;         /* never serve stale: for http_may_serve(); implied by must_validate */
    bool no_transform;
    const char *reason;
};
struct http_storing http_storing(const struct http_request *request, const struct http_response *response,
                                 int64_t request_time, int64_t response_time);

/* The same for a stored response that the 304 with the fields `update` has just confirmed: `stored` has its
 * old status and the fields that http_update_fields() made; Age and Date are those of the 304. */
struct http_storing http_storing_updated(const struct http_request *request,
                                         const struct http_response *stored, const struct http_fields *update,
                                         int64_t request_time, int64_t response_time);

/* Request directives against a stored response (section 5.2.1: no-cache, max-age, min-fresh, max-stale): may
 * it be served without validation at this age? A stale response is served only where the request allows it
 * and `strict` (must-revalidate, proxy-revalidate, s-maxage, no-cache) does not forbid it. */
bool http_may_serve(const struct http_cache_control *request, int64_t current_age, int64_t lifetime,
                    bool strict);

/* Conditional requests answered by the cache (RFC 9110 section 13.2.2): If-None-Match (weak comparison,
 * lists, *) before If-Modified-Since. True: 304 may be sent. For GET and HEAD on a stored 200 only. */
bool http_not_modified(const struct http_fields *request, const struct http_fields *stored, int64_t now);

/* Is the 304 with the fields `update` about this stored response (section 4.3.4)? Its ETag, or else its
 * Last-Modified, must be the stored one. A 304 with neither is taken as an answer to the validators that were
 * sent. False: fetch anew, without conditions. */
bool http_update_matches(const struct http_fields *stored, const struct http_fields *update);

/* Stored fields updated by a 304 (RFC 9111 section 3.2): writes the new header block, stored order kept,
 * fields of `update` replacing those of the same name except the ones that must not change (Content-Length,
 * Content-Encoding, Content-Type, Content-Range, Transfer-Encoding, hop-by-hop). Age is left out. The caller
 * adds Date to an update that has none (RFC 9110 section 6.6.1). Returns bytes written, or -1 if it does not
 * fit or a field is not fit to be written (see http_text_add_field()). */
int http_update_fields(const struct http_fields *stored, const struct http_fields *update, char *out,
                       size_t out_size);

#endif
