/* Section numbers without an RFC are RFC 9111's. */
#include "http_storing.h"

#include "http_conditional.h"
#include "http_freshness.h"
#include "http_range.h"
#include "http_verdict.h"

#include <string.h>

/* A stale response that can be validated is kept for a day: long enough for something asked for daily to cost
 * a 304 instead of a body, and the cache evicts what nobody uses anyway. */
#define KEEP_FOR_VALIDATION 86400

/* One decision under way. */
struct storing_case {
    const struct http_rules *rules;
    const struct http_request *request;
    const struct http_response *response;
    const struct http_fields *clock; /* has the Date and Age that belong to response_time */
    int64_t request_time, response_time;
    struct http_cache_control control;
    bool targeted;
    struct http_freshness freshness;
    bool negative; /* the freshness is that of a rule */
};

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool method_is(const struct http_request *request, struct http_span method)
{
    return http_span_equal(request->method, method);
}

/* Status codes that are never stored, whatever the response says: interim and invalid ones (RFC 9110 section
 * 15), those that describe a part (206, 416) or another response (304, 412), and those that RFC 6585 forbids.
 */
static bool status_is_storable(int status)
{
    switch (status) {
    case 206:
    case 304:
    case 412:
    case 416:
    case 428:
    case 429:
    case 431:
    case 511:
        return false;
    default:
        return status >= 200 && status <= 599;
    }
}

/* Final status codes of RFC 9110, all of whose caching requirements are met here (section 5.2.2.3). */
static bool status_is_understood(int status)
{
    return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||
           status == 307 || status == 308 || (status >= 400 && status <= 417) || status == 421 ||
           status == 422 || status == 426 || (status >= 500 && status <= 505);
}

/* Other registered ones: RFC 4918 (WebDAV), 5842, 7725, 8297, 8470, 9110. Nothing forbids to store them. */
static bool status_is_registered(int status)
{
    return status_is_understood(status) || status == 207 || status == 208 || status == 226 || status == 423 ||
           status == 424 || status == 425 || status == 451 || (status >= 506 && status <= 508) ||
           status == 510;
}

/* "bytes FIRST-LAST/SIZE" of one part, with the size known or not; other units are not understood (section
 * 3.3), and several parts are not stored. */
static bool is_one_part(const struct http_fields *fields)
{
    const struct http_field *range = http_field_find(fields, "content-range", NULL);
    struct http_span unit = HTTP_SPAN("bytes ");

    return range && http_field_count(fields, "content-range") == 1 && range->value.length > unit.length &&
           http_span_equal_nocase((struct http_span){range->value.at, unit.length}, unit) &&
           range->value.at[unit.length] != '*';
}

/* RFC 9110 section 9.3.3: a response to POST represents its target where Content-Location says so; a later
 * GET or HEAD may then use it. With a fragment it is no Content-Location (section 8.7). */
static bool post_is_storable(const struct storing_case *it)
{
    const struct http_field *location = http_field_find(it->response->fields, "content-location", NULL);
    struct http_cache_control asked;

    http_request_control_parse(&asked, it->request->fields);
    return it->rules->place && it->response->status == 200 && !asked.no_store && location &&
           location->value.length > 0 && !memchr(location->value.at, '#', location->value.length) &&
           !http_field_find(it->response->fields, "content-location", location) &&
           http_uri_is_target(it->rules->place, location->value);
}

/* Section 3, the request's part. The response to HEAD lacks the body. */
static const char *refused_by_request(const struct storing_case *it)
{
    const char *reason;
    bool is_get = method_is(it->request, HTTP_SPAN("GET"));

    if (method_is(it->request, HTTP_SPAN("POST")))
        return post_is_storable(it) ? NULL : "method";
    if (http_request_verdict(it->request, &reason) < HTTP_REQUEST_BYPASS)
        return is_get ? NULL : "method";
    if (is_get && it->rules->parts && it->response->status == 206 && strcmp(reason, "range") == 0)
        return NULL;
    return reason;
}

/* Section 3, the status code's part. */
static const char *refused_by_status(const struct storing_case *it)
{
    int status = it->response->status;

    if (status == 206 && it->rules->parts)
        return is_one_part(it->response->fields) ? NULL : "part";
    if (!status_is_storable(status))
        return "status";
    if (it->control.must_understand && !status_is_understood(status))
        return "must-understand";
    return status_is_registered(status) || it->rules->unknown_statuses ? NULL : "status";
}

/* Section 3.5 */
static bool authorization_allows(const struct storing_case *it)
{
    return it->control.public_ || it->control.must_revalidate || it->control.s_maxage >= 0 ||
           !http_field_find(it->request->fields, "authorization", NULL);
}

/* Section 5.2.2.3: must-understand lifts no-store. */
static bool forbids_storing(const struct http_cache_control *control)
{
    return control->no_store && !control->must_understand;
}

/* Section 4.1: never matches. */
static bool varies_by_anything(const struct storing_case *it)
{
    return http_list_has(it->response->fields, "vary", "*");
}

static bool is_forbidden(const struct storing_case *it)
{
    return forbids_storing(&it->control) || it->control.private_ || varies_by_anything(it);
}

/* Section 3, the part of the response's fields. */
static const char *refused_by_fields(const struct storing_case *it)
{
    if (forbids_storing(&it->control))
        return "no-store";
    if (it->control.private_)
        return "private";
    if (!authorization_allows(it))
        return "authorization";
    return varies_by_anything(it) ? "vary" : NULL;
}

/* Section 3: something must say that the response may be cached: a directive, Expires, or the status code. */
static const char *refused_by_freshness(const struct storing_case *it)
{
    bool is_post = method_is(it->request, HTTP_SPAN("POST"));

    if (it->freshness.kind == HTTP_FRESHNESS_NONE)
        return "status";
    return is_post && it->freshness.kind != HTTP_FRESHNESS_EXPLICIT ? "method" : NULL;
}

static void note_directives(struct http_storing *storing, const struct http_cache_control *control)
{
    storing->must_validate = control->no_cache;
    storing->strict = control->no_cache || control->must_revalidate || control->proxy_revalidate ||
                      control->s_maxage >= 0; /* section 5.2.2.10: s-maxage implies proxy-revalidate */
    storing->no_transform = control->no_transform;
    storing->immutable = control->immutable;
    storing->withheld = control->withheld;
    /* Section 4.2.4: a directive that forbids stale responses outweighs one that allows them. */
    storing->stale_while_revalidate = storing->strict ? -1 : control->stale_while_revalidate;
    storing->stale_if_error = storing->strict ? -1 : control->stale_if_error;
}

static void note_freshness(struct http_storing *storing, const struct storing_case *it)
{
    storing->initial_age = http_initial_age(it->clock, it->request_time, it->response_time);
    if (storing->must_validate) /* the most restrictive directive counts (section 4.2.1) */
        return;
    storing->heuristic = it->freshness.kind == HTTP_FRESHNESS_HEURISTIC;
    storing->negative = it->negative;
    storing->lifetime = it->freshness.lifetime;
}

static bool cookie_allows(const struct http_storing *storing, const struct storing_case *it)
{
    bool clear = !storing->heuristic && storing->lifetime > 0;

    return clear || it->control.public_ || http_withheld_has(&storing->withheld, HTTP_SPAN("set-cookie")) ||
           !http_field_find(it->response->fields, "set-cookie", NULL);
}

static void note_keep(struct http_storing *storing, const struct storing_case *it)
{
    int64_t late = greater(storing->initial_age - storing->lifetime, 0);

    storing->keep = greater(greater(storing->stale_while_revalidate, storing->stale_if_error), 0);
    /* Counted from expiry, which lies in the past for a response that arrives stale. */
    if (http_has_validator(it->response->fields, it->response_time))
        storing->keep = greater(storing->keep, KEEP_FOR_VALIDATION + late);
}

/* Why the response could never be served without fetching it again; NULL if it is of use. */
static const char *useless(const struct http_storing *storing)
{
    if (storing->lifetime + storing->keep > storing->initial_age)
        return NULL;
    if (storing->must_validate)
        return "no-cache";
    return storing->lifetime == 0 ? "no-freshness" : "stale";
}

/* Fills in *storing; returns why the response is not to be stored, or NULL. */
static const char *decide(struct http_storing *storing, struct storing_case *it)
{
    const char *refused;

    it->targeted = http_response_control_parse(&it->control, it->response->fields, it->rules->targets);
    it->freshness = http_freshness(&it->control, it->targeted, it->response->status, it->response->fields,
                                   it->clock, it->response_time);
    it->freshness =
        http_overrides_freshness(it->rules->overrides, &it->freshness, it->response->status, &it->negative);
    if ((refused = refused_by_request(it)) || (refused = refused_by_status(it)) ||
        (refused = refused_by_fields(it)) || (refused = refused_by_freshness(it)))
        return refused;
    storing->partial = it->response->status == 206;
    note_directives(storing, &it->control);
    note_freshness(storing, it);
    note_keep(storing, it);
    return cookie_allows(storing, it) ? useless(storing) : "set-cookie";
}

struct http_storing http_storing_updated(const struct http_rules *rules, const struct http_request *request,
                                         const struct http_response *stored, const struct http_fields *update,
                                         int64_t request_time, int64_t response_time)
{
    struct http_storing storing = {.store = true};
    struct storing_case it = {.rules = rules,
                              .request = request,
                              .response = stored,
                              .clock = update,
                              .request_time = request_time,
                              .response_time = response_time};
    const char *refused = decide(&storing, &it);

    if (refused)
        return (struct http_storing){.reason = refused,
                                     .initial_age = http_initial_age(update, request_time, response_time),
                                     .forbidden = is_forbidden(&it),
                                     .stale_while_revalidate = -1,
                                     .stale_if_error = -1};
    storing.reason = storing.lifetime == 0 ? "validate" : storing.heuristic ? "heuristic" : "explicit";
    return storing;
}

struct http_storing http_storing(const struct http_rules *rules, const struct http_request *request,
                                 const struct http_response *response, int64_t request_time,
                                 int64_t response_time)
{
    return http_storing_updated(rules, request, response, response->fields, request_time, response_time);
}

bool http_may_store_incomplete(const struct http_storing *storing, const struct http_request *request,
                               const struct http_response *response, int64_t response_time)
{
    struct http_span validator;

    return storing->store && response->status == 200 && method_is(request, HTTP_SPAN("GET")) &&
           http_strong_validator(response->fields, response_time, &validator);
}

void http_storing_fields(struct http_fields *out, const struct http_response *response,
                         const struct http_storing *storing)
{
    const struct http_fields *fields = response->fields;

    out->count = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        if (!http_withheld_has(&storing->withheld, fields->items[i].name))
            out->items[out->count++] = fields->items[i];
    }
    if (response->status == 200 && !http_field_find(fields, "accept-ranges", NULL))
        http_field_add(out, HTTP_SPAN("Accept-Ranges"), HTTP_SPAN("bytes")); /* or there is no room for it */
}
