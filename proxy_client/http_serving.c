/* Section numbers without an RFC are RFC 9111's. */
#include "http_serving.h"

static bool is_fresh(const struct http_stored *stored)
{
    return stored->lifetime > stored->age; /* section 4.2 */
}

static int64_t staleness(const struct http_stored *stored)
{
    return stored->age - stored->lifetime;
}

/* Section 5.2.1.1. Age 0 is not young enough for max-age=0, by which clients reload. */
static bool is_young_enough(const struct http_cache_control *request, const struct http_stored *stored)
{
    if (request->max_age < 0 || (stored->immutable && is_fresh(stored)))
        return true;
    return request->max_age > 0 && stored->age <= request->max_age;
}

/* Section 5.2.1.3 */
static bool stays_fresh_enough(const struct http_cache_control *request, const struct http_stored *stored)
{
    return request->min_fresh < 0 || stored->lifetime - stored->age >= request->min_fresh;
}

enum http_serving http_serving(const struct http_cache_control *request, const struct http_stored *stored)
{
    if (request->no_cache || stored->must_validate) /* sections 5.2.1.4 and 5.2.2.4 */
        return HTTP_SERVING_VALIDATE;
    if (!is_young_enough(request, stored) || !stays_fresh_enough(request, stored))
        return HTTP_SERVING_VALIDATE;
    if (is_fresh(stored))
        return HTTP_SERVING_FRESH;
    if (stored->strict) /* section 4.2.4 */
        return HTTP_SERVING_VALIDATE;
    if (request->max_stale >= 0 && staleness(stored) <= request->max_stale) /* section 5.2.1.2 */
        return HTTP_SERVING_STALE;
    /* Section 5.2.1.1: with max-age and no max-stale the client does not want what is stale. */
    if (request->max_age < 0 && staleness(stored) <= stored->stale_while_revalidate)
        return HTTP_SERVING_REFRESH;
    return HTTP_SERVING_VALIDATE;
}

bool http_status_is_trouble(int status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

bool http_may_serve_in_trouble(const struct http_cache_control *request, const struct http_stored *stored,
                               enum http_trouble trouble)
{
    bool asks = request->no_cache || request->max_age == 0;
    int64_t limit = request->stale_if_error >= 0 ? request->stale_if_error : stored->stale_if_error;

    if (stored->must_validate || stored->strict || (asks && request->stale_if_error < 0))
        return false;
    return limit >= 0 ? staleness(stored) <= limit : trouble == HTTP_TROUBLE_DISCONNECTED;
}
