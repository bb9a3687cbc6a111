/* http_storing.h: may a response be stored, and for how long is it of use (RFC 9111 section 3).
 *
 * Set-Cookie (section 7.3) does not keep a response from being stored, and is stored with it untouched, where
 * the origin says that the response may be reused: explicit freshness that has not run out, or public. On a
 * guess, or for use after validation only, it is not stored: a 304 to somebody else's request would hand one
 * visitor's session to the next. The RFC leaves that choice to the cache.
 *
 * Times and trust as in http_freshness.h. Pure. */
#ifndef LARDER_HTTP_STORING_H
#define LARDER_HTTP_STORING_H

#include "http_targeted.h"
#include "http_uri.h"

/* What the caller can do and wants. */
struct http_rules {
    const struct http_targets *targets; /* NULL: none */
    /* Where the request went; NULL: no response to POST is stored. */
    const struct http_place *place;
    /* Final status codes that no RFC known here defines are stored too, if the response says for how long it
     * is fresh. Never on a guess. */
    bool unknown_statuses;
    /* 206 can be stored as a part of a 200 (section 3.3). */
    bool parts;
};

struct http_storing {
    bool store;
    int64_t lifetime;    /* freshness_lifetime, section 4.2.1; 0 when always to be validated */
    int64_t initial_age; /* corrected_initial_age, section 4.2.3 */
    /* Seconds of use after expiry, for validation or to be served stale; at most maximum + a day. 0: none */
    int64_t keep;
    int64_t stale_while_revalidate, stale_if_error; /* RFC 5861; -1: none, or forbidden */
    bool heuristic;                                 /* lifetime was guessed, section 4.2.2 */
    bool must_validate;                             /* never serve without validation (no-cache) */
    bool strict;                                    /* never serve stale; implied by must_validate */
    bool no_transform;
    bool immutable; /* RFC 8246 */
    bool partial;   /* a part of a 200, to be recorded as such */
    /* Of a response that is not to be stored: its own fields say so, whoever asks. What is stored in its
     * place is not to be kept either. */
    bool forbidden;
    struct http_withheld withheld;
    const char *reason; /* short token for logs and Cache-Status detail, never NULL */
};
struct http_storing http_storing(const struct http_rules *rules, const struct http_request *request,
                                 const struct http_response *response, int64_t request_time,
                                 int64_t response_time);

/* The same for a stored response that the response with the fields `update` (a 304, or one to HEAD) has just
 * confirmed: `stored` has its old status and the fields that http_update_fields() made; Age and Date are
 * those of the update. */
struct http_storing http_storing_updated(const struct http_rules *rules, const struct http_request *request,
                                         const struct http_response *stored, const struct http_fields *update,
                                         int64_t request_time, int64_t response_time);

/* May what has arrived of a response that broke off be kept, to be completed by a range request (sections 3.3
 * and 3.4)? Only for a 200 to GET that may be stored whole and has a strong validator, without which its
 * parts could never be put together. */
bool http_may_store_incomplete(const struct http_storing *storing, const struct http_request *request,
                               const struct http_response *response, int64_t response_time);

/* The fields to be stored: all that `response` has but those of `withheld`. A 200 gets Accept-Ranges where
 * the origin sent none, because parts of it are served out of the cache (RFC 9110 section 14.3). */
void http_storing_fields(struct http_fields *out, const struct http_response *response,
                         const struct http_storing *storing);

#endif
