/* http_freshness.h: how old a response is, and for how long it is fresh (RFC 9111 sections 4.2.1 to 4.2.3).
 *
 * Times are seconds since the Unix epoch, by the caller's own clock; durations are seconds between 0 and
 * HTTP_SECONDS_MAX. Trust: fields may hold any bytes. Pure. */
#ifndef LARDER_HTTP_FRESHNESS_H
#define LARDER_HTTP_FRESHNESS_H

#include "http_cache_control.h"

/* Heuristically cacheable (RFC 9110 section 15.1), 206 among them. */
bool http_status_is_heuristic(int status);

/* When the response was made. A Date that is missing or invalid is replaced by the time of arrival (RFC 9110
 * section 6.6.1); of several the earliest counts, which makes the response oldest. */
int64_t http_date_value(const struct http_fields *fields, int64_t response_time);

/* corrected_initial_age (section 4.2.3). Of Age only the first member of the first line counts, and nothing
 * of it if that is no number (section 5.1). Date and clock may be arbitrarily wrong. */
int64_t http_initial_age(const struct http_fields *fields, int64_t request_time, int64_t response_time);

enum http_freshness_kind {
    HTTP_FRESHNESS_NONE, /* nothing says anything, and no guess is allowed: not to be stored (section 3) */
    HTTP_FRESHNESS_EXPLICIT,
    HTTP_FRESHNESS_HEURISTIC,
};
struct http_freshness {
    enum http_freshness_kind kind;
    int64_t lifetime; /* freshness_lifetime; 0 when there is nothing to guess from */
};
/* `control` governs the response; `ignore_expires` because it comes from a targeted field (RFC 9213 section
 * 2.2). `clock` has the Date that belongs to response_time; elsewhere it is `fields`. Repeated Expires that
 * differ, invalid dates and invalid directives make the response stale. */
struct http_freshness http_freshness(const struct http_cache_control *control, bool ignore_expires,
                                     int status, const struct http_fields *fields,
                                     const struct http_fields *clock, int64_t response_time);

#endif
