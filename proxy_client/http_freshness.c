/* Section numbers without an RFC are RFC 9111's. */
#include "http_freshness.h"

#include "http_date.h"

/* Section 4.2.2 leaves the heuristic open; a tenth of the time since the last change is its example. The
 * bound keeps a file that was old when it was first seen from being taken as unchanging for weeks. */
#define HEURISTIC_FRACTION 10
#define HEURISTIC_MAX      86400

static int64_t at_least_zero(int64_t seconds)
{
    return seconds > 0 ? seconds : 0;
}

static int64_t at_most(int64_t seconds, int64_t bound)
{
    return seconds < bound ? seconds : bound;
}

static int64_t saturated(int64_t seconds)
{
    return at_most(at_least_zero(seconds), HTTP_SECONDS_MAX);
}

/* later - earlier, saturated; the clocks may be anything. */
static int64_t elapsed(int64_t earlier, int64_t later)
{
    int64_t seconds;

    if (__builtin_sub_overflow(later, earlier, &seconds))
        return later > earlier ? HTTP_SECONDS_MAX : 0;
    return saturated(seconds);
}

bool http_status_is_heuristic(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default:
        return false;
    }
}

int64_t http_date_value(const struct http_fields *fields, int64_t response_time)
{
    int64_t earliest = response_time, date;
    bool any = false;

    for (const struct http_field *field = NULL; (field = http_field_find(fields, "date", field));) {
        if (!http_date_parse(field->value, response_time, &date))
            continue;
        earliest = any ? at_most(date, earliest) : date;
        any = true;
    }
    return earliest;
}

static int64_t age_value(const struct http_fields *fields)
{
    const struct http_field *field = http_field_find(fields, "age", NULL);
    struct http_span rest, first;
    int64_t seconds;

    if (!field)
        return 0;
    rest = field->value;
    return http_list_next(&rest, &first) && http_parse_seconds(first, &seconds) ? seconds : 0;
}

int64_t http_initial_age(const struct http_fields *fields, int64_t request_time, int64_t response_time)
{
    int64_t apparent_age = elapsed(http_date_value(fields, response_time), response_time);
    int64_t corrected_age = saturated(age_value(fields) + elapsed(request_time, response_time));

    return apparent_age > corrected_age ? apparent_age : corrected_age;
}

/* Section 5.3: an invalid date, "0" above all, is in the past. Section 4.2.1: of several values, the first
 * counts or the response is stale; it is stale. */
static int64_t expires_lifetime(const struct http_fields *fields, int64_t date, int64_t now)
{
    const struct http_field *first = http_field_find(fields, "expires", NULL);
    int64_t expires;

    if (!http_date_parse(first->value, now, &expires))
        return 0;
    for (const struct http_field *field = first; (field = http_field_find(fields, "expires", field));) {
        if (!http_span_equal(field->value, first->value))
            return 0;
    }
    return elapsed(date, expires);
}

/* Section 4.2.2 */
static int64_t heuristic_lifetime(const struct http_fields *fields, int64_t date, int64_t now)
{
    const struct http_field *field = http_field_find(fields, "last-modified", NULL);
    int64_t modified;

    if (!field || !http_date_parse(field->value, now, &modified))
        return 0;
    return at_most(elapsed(modified, date) / HEURISTIC_FRACTION, HEURISTIC_MAX);
}

/* Section 4.2.1: for a shared cache s-maxage, then max-age, then Expires; -1 if there is none of them. */
static int64_t explicit_lifetime(const struct http_cache_control *control, bool ignore_expires,
                                 const struct http_fields *fields, int64_t date, int64_t now)
{
    if (control->invalid)
        return 0;
    if (control->s_maxage >= 0)
        return control->s_maxage;
    if (control->max_age >= 0)
        return control->max_age;
    return !ignore_expires && http_field_find(fields, "expires", NULL) ? expires_lifetime(fields, date, now)
                                                                       : -1;
}

struct http_freshness http_freshness(const struct http_cache_control *control, bool ignore_expires,
                                     int status, const struct http_fields *fields,
                                     const struct http_fields *clock, int64_t response_time)
{
    int64_t date = http_date_value(clock, response_time);
    int64_t lifetime = explicit_lifetime(control, ignore_expires, fields, date, response_time);

    if (lifetime >= 0)
        return (struct http_freshness){HTTP_FRESHNESS_EXPLICIT, lifetime};
    if (!control->public_ && !http_status_is_heuristic(status)) /* section 5.2.2.9 */
        return (struct http_freshness){HTTP_FRESHNESS_NONE, 0};
    return (struct http_freshness){HTTP_FRESHNESS_HEURISTIC, heuristic_lifetime(fields, date, response_time)};
}
