/* http_policy.c: RFC 9111 for a shared cache that keeps one response per URI.
 *
 *   request ---> http_request_verdict()
 *                  LOOKUP, REVALIDATE --> stored response? -- http_may_serve() --> serve, or
 *                                                                                  http_not_modified(): 304
 *                  |                      not there, stale or to be validated
 *                  v                      v
 *                forward <----------------+
 *                  |
 *                  +-- 304 to our validators --> http_update_matches(), http_update_fields(),
 *                  |                             http_storing_updated()
 *                  +-- anything else ----------> http_storing()
 *
 * Section numbers without an RFC are RFC 9111's. */
#include "http_policy.h"

#include <string.h>

#include "http_date.h"

/* A stale response that can be validated is kept for a day: long enough for something asked for daily to cost
 * a 304 instead of a body, and the cache evicts what nobody uses anyway. */
#define KEEP_FOR_VALIDATION 86400
/* Section 4.2.2 leaves the heuristic open; a tenth of the time since the last change is its example. The
 * bound keeps a file that was old when it was first seen from being taken as unchanging for weeks. */
#define HEURISTIC_FRACTION  10
#define HEURISTIC_MAX       86400

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

/* ---- Cache-Control ---- */

enum directive_kind {
    FLAG,      /* bool */
    FRESHNESS, /* duration; the smallest counts, an invalid one means stale */
    SHORTEST,  /* duration; the smallest counts */
    LONGEST,   /* duration; the largest counts */
    MAX_STALE, /* as SHORTEST, the argument is optional */
};

struct directive {
    const char *name;
    uint32_t name_length;
    enum directive_kind kind;
    size_t member;        /* of struct http_cache_control: its offset */
    size_t member_listed; /* the same for a FLAG that has an argument, as in no-cache="a, b" */
};

#define AT(member)                 offsetof(struct http_cache_control, member)
#define NAME(name)                 (name), sizeof(name) - 1
#define FLAGGED(name, flag)        NAME(name), FLAG, AT(flag), AT(flag)
#define LISTED(name, flag, listed) NAME(name), FLAG, AT(flag), AT(listed)
#define TIMED(name, kind, slot)    NAME(name), kind, AT(slot), 0

static const struct directive directives[] = {
    {TIMED("max-age", FRESHNESS, max_age)},
    {TIMED("s-maxage", FRESHNESS, s_maxage)},
    {FLAGGED("public", public_)},
    {LISTED("no-cache", no_cache, no_cache_fields)},
    {FLAGGED("no-store", no_store)},
    {LISTED("private", private_, private_fields)},
    {FLAGGED("must-revalidate", must_revalidate)},
    {FLAGGED("proxy-revalidate", proxy_revalidate)},
    {FLAGGED("must-understand", must_understand)},
    {FLAGGED("no-transform", no_transform)},
    {FLAGGED("immutable", immutable)},
    {TIMED("stale-while-revalidate", SHORTEST, stale_while_revalidate)},
    {TIMED("stale-if-error", SHORTEST, stale_if_error)},
    {FLAGGED("only-if-cached", only_if_cached)},
    {TIMED("max-stale", MAX_STALE, max_stale)},
    {TIMED("min-fresh", LONGEST, min_fresh)},
};

struct argument {
    bool present;
    struct http_span text; /* without the quotes of a quoted-string */
};

/* Splits name[=argument] and reads both argument forms (section 5.2). White space around "=" is not in the
 * grammar: the name still counts, so that "max-age = 60" is invalid freshness and not an unknown directive,
 * but the argument reads as empty. */
static struct argument split_directive(struct http_span *name)
{
    const char *equals = memchr(name->at, '=', name->length);
    struct argument argument = {.present = equals != NULL};
    struct http_span whole = *name;

    if (!equals)
        return argument;
    name->length = (uint32_t)(equals - whole.at);
    argument.text = (struct http_span){equals + 1, whole.length - name->length - 1};
    if (http_span_trim(*name).length != name->length ||
        http_span_trim(argument.text).length != argument.text.length) {
        *name = http_span_trim(*name);
        argument.text.length = 0;
    } else if (argument.text.length >= 2 && argument.text.at[0] == '"' &&
               argument.text.at[argument.text.length - 1] == '"') {
        argument.text.at++;
        argument.text.length -= 2;
    }
    return argument;
}

static const struct directive *directive_find(struct http_span name)
{
    for (size_t i = 0; i < sizeof directives / sizeof *directives; i++) {
        struct http_span known = {directives[i].name, directives[i].name_length};

        if (http_span_equal_nocase(name, known))
            return &directives[i];
    }
    return NULL;
}

static void duration_set(int64_t *slot, int64_t seconds, enum directive_kind kind)
{
    if (*slot < 0 || (kind == LONGEST ? seconds > *slot : seconds < *slot))
        *slot = seconds;
}

static void directive_apply(struct http_cache_control *out, const struct directive *directive,
                            struct argument argument)
{
    char *members = (char *)out;
    int64_t seconds = HTTP_SECONDS_MAX;

    if (directive->kind == FLAG)
        *(bool *)(members + (argument.present ? directive->member_listed : directive->member)) = true;
    else if ((directive->kind == MAX_STALE && !argument.present) ||
             http_parse_seconds(argument.text, &seconds))
        duration_set((int64_t *)(void *)(members + directive->member), seconds, directive->kind);
    else if (directive->kind == FRESHNESS)
        out->invalid = true;
}

static void directives_parse(struct http_cache_control *out, struct http_span list)
{
    struct http_span name;

    while (http_list_next(&list, &name)) {
        struct argument argument = split_directive(&name);
        const struct directive *directive = directive_find(name);

        if (directive)
            directive_apply(out, directive, argument);
    }
}

void http_cache_control_parse(struct http_cache_control *out, const struct http_fields *fields)
{
    *out = (struct http_cache_control){.max_age = -1,
                                       .s_maxage = -1,
                                       .min_fresh = -1,
                                       .stale_while_revalidate = -1,
                                       .stale_if_error = -1,
                                       .max_stale = -1};
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->items[i];

        /* The length alone rules out most fields, without a call: this runs for every request. */
        if (field->name.length == 13 && http_span_equal_nocase(field->name, HTTP_SPAN("cache-control")))
            directives_parse(out, field->value);
    }
}

/* ---- Requests ---- */

/* What the fields of a request say, found in one pass. */
struct request_signs {
    bool range, precondition, body, pragma_no_cache, cache_control;
};

static bool list_has_no_cache(struct http_span list)
{
    struct http_span element;

    while (http_list_next(&list, &element)) {
        if (http_span_equal_nocase(element, HTTP_SPAN("no-cache")))
            return true;
    }
    return false;
}

static void request_sign_note(struct request_signs *signs, const struct http_field *field)
{
    uint64_t length;

    switch (field->name.length) {
    case 5:
        signs->range |= http_span_equal_nocase(field->name, HTTP_SPAN("range"));
        break;
    case 6:
        if (http_span_equal_nocase(field->name, HTTP_SPAN("pragma")))
            signs->pragma_no_cache |= list_has_no_cache(field->value);
        break;
    case 8:
        signs->precondition |= http_span_equal_nocase(field->name, HTTP_SPAN("if-match"));
        break;
    case 13:
        signs->cache_control |= http_span_equal_nocase(field->name, HTTP_SPAN("cache-control"));
        break;
    case 14:
        if (http_span_equal_nocase(field->name, HTTP_SPAN("content-length")))
            signs->body |= !http_parse_length(field->value, &length) || length > 0;
        break;
    case 17:
        signs->body |= http_span_equal_nocase(field->name, HTTP_SPAN("transfer-encoding"));
        break;
    case 19:
        signs->precondition |= http_span_equal_nocase(field->name, HTTP_SPAN("if-unmodified-since"));
        break;
    }
}

static bool method_is(const struct http_request *request, struct http_span method)
{
    return http_span_equal(request->method, method);
}

/* Safe methods whose responses are not cached; every other method but GET and HEAD is unsafe or of unknown
 * safety, and both invalidate (section 4.4). */
static bool method_is_safe(const struct http_request *request)
{
    return method_is(request, HTTP_SPAN("OPTIONS")) || method_is(request, HTTP_SPAN("TRACE"));
}

static enum http_request_verdict directives_verdict(const struct http_fields *fields, const char **reason)
{
    struct http_cache_control cc;

    http_cache_control_parse(&cc, fields);
    if (cc.no_store) { /* section 5.2.1.5 */
        *reason = "no-store";
        return HTTP_REQUEST_BYPASS;
    }
    if (cc.no_cache || cc.no_cache_fields) { /* section 5.2.1.4 */
        *reason = "no-cache";
        return HTTP_REQUEST_REVALIDATE;
    }
    if (cc.max_age == 0) { /* section 5.2.1.1 */
        *reason = "max-age=0";
        return HTTP_REQUEST_REVALIDATE;
    }
    *reason = "lookup";
    return HTTP_REQUEST_LOOKUP;
}

static enum http_request_verdict fields_verdict(const struct http_fields *fields, const char **reason)
{
    struct request_signs signs = {0};

    for (uint32_t i = 0; i < fields->count; i++)
        request_sign_note(&signs, &fields->items[i]);

    *reason = NULL;
    if (signs.range) /* only whole responses are stored */
        *reason = "range";
    else if (signs.body) /* RFC 9110 section 9.3.1: no defined meaning, yet an origin may heed it */
        *reason = "body";
    else if (signs.precondition) /* section 4.3.2: If-Match, If-Unmodified-Since are the origin's to answer */
        *reason = "precondition";
    if (*reason)
        return HTTP_REQUEST_BYPASS;
    if (signs.cache_control)
        return directives_verdict(fields, reason);
    if (signs.pragma_no_cache) { /* section 5.4: counts only without Cache-Control */
        *reason = "pragma";
        return HTTP_REQUEST_REVALIDATE;
    }
    *reason = "lookup";
    return HTTP_REQUEST_LOOKUP;
}

enum http_request_verdict http_request_verdict(const struct http_request *request, const char **reason)
{
    const char *ignored;

    if (!reason)
        reason = &ignored;
    if (method_is(request, HTTP_SPAN("GET")) || method_is(request, HTTP_SPAN("HEAD")))
        return fields_verdict(request->fields, reason);
    *reason = "method";
    return method_is_safe(request) ? HTTP_REQUEST_BYPASS : HTTP_REQUEST_UNSAFE;
}

/* ---- Storing ---- */

/* RFC 9110 section 15.1, without 206: partial responses are not stored. */
static bool status_is_heuristic(int status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
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

static bool date_of(const struct http_fields *fields, const char *name, int64_t now, int64_t *out)
{
    const struct http_field *field = http_field_find(fields, name, NULL);

    return field && http_date_parse(field->value, now, out);
}

/* A response without a usable Date was made when it arrived (RFC 9110 section 6.6.1). */
static int64_t date_value(const struct http_fields *fields, int64_t response_time)
{
    int64_t date;

    return date_of(fields, "date", response_time, &date) ? date : response_time;
}

/* Section 5.1: the first member of the first field line; anything but a number is ignored. */
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

/* Section 4.2.3: corrected_initial_age */
static int64_t initial_age(const struct http_fields *fields, int64_t request_time, int64_t response_time)
{
    int64_t apparent_age = at_least_zero(response_time - date_value(fields, response_time));
    int64_t response_delay = at_least_zero(response_time - request_time);
    int64_t corrected_age = age_value(fields) + response_delay;

    return saturated(apparent_age > corrected_age ? apparent_age : corrected_age);
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
    return saturated(expires - date);
}

/* Section 4.2.2 */
static int64_t heuristic_lifetime(const struct http_fields *fields, int64_t date, int64_t now)
{
    int64_t modified;

    if (!date_of(fields, "last-modified", now, &modified))
        return 0;
    return at_most(at_least_zero(date - modified) / HEURISTIC_FRACTION, HEURISTIC_MAX);
}

/* Section 4.2.1: for a shared cache s-maxage, then max-age, then Expires; -1 if there is none of them. */
static int64_t explicit_lifetime(const struct http_cache_control *cc, const struct http_fields *fields,
                                 int64_t date, int64_t now)
{
    if (cc->invalid)
        return 0;
    if (cc->s_maxage >= 0)
        return cc->s_maxage;
    if (cc->max_age >= 0)
        return cc->max_age;
    return http_field_find(fields, "expires", NULL) ? expires_lifetime(fields, date, now) : -1;
}

/* Section 3, the parts that the request and the status code decide. */
static const char *refused_by_message(const struct http_request *request,
                                      const struct http_response *response,
                                      const struct http_cache_control *cc)
{
    const char *reason;

    if (http_request_verdict(request, &reason) >= HTTP_REQUEST_BYPASS)
        return reason;
    if (!method_is(request, HTTP_SPAN("GET"))) /* the response to HEAD lacks the body */
        return "method";
    if (!status_is_storable(response->status))
        return "status";
    if (cc->must_understand && !status_is_understood(response->status))
        return "must-understand";
    return NULL;
}

/* Section 3.5 */
static bool authorization_allows(const struct http_request *request, const struct http_cache_control *cc)
{
    return cc->public_ || cc->must_revalidate || cc->s_maxage >= 0 ||
           !http_field_find(request->fields, "authorization", NULL);
}

/* Section 3, the parts that the response's fields decide. private="field" counts as private (section 5.2.2.7
 * allows it). */
static const char *refused_by_fields(const struct http_request *request, const struct http_response *response,
                                     const struct http_cache_control *cc)
{
    if (cc->no_store && !cc->must_understand) /* section 5.2.2.3: must-understand overrides no-store */
        return "no-store";
    if (cc->private_ || cc->private_fields)
        return "private";
    if (!authorization_allows(request, cc))
        return "authorization";
    if (http_list_has(response->fields, "vary", "*")) /* section 4.1: never matches */
        return "vary";
    return NULL;
}

/* no-cache="field" counts as no-cache (section 5.2.2.4 allows it). s-maxage implies proxy-revalidate (section
 * 5.2.2.10). */
static void note_directives(struct http_storing *storing, const struct http_cache_control *cc)
{
    storing->must_validate = cc->no_cache || cc->no_cache_fields;
    storing->strict =
        storing->must_validate || cc->must_revalidate || cc->proxy_revalidate || cc->s_maxage >= 0;
    storing->no_transform = cc->no_transform;
}

/* Section 3: something must say that the response may be cached: a directive, Expires, or the status code.
 * Returns false if nothing does. */
static bool note_lifetime(struct http_storing *storing, const struct http_response *response,
                          const struct http_cache_control *cc, int64_t date, int64_t now)
{
    int64_t lifetime = explicit_lifetime(cc, response->fields, date, now);

    if (lifetime < 0 && !cc->public_ && !status_is_heuristic(response->status))
        return false;
    if (storing->must_validate) /* the most restrictive directive counts (section 4.2.1) */
        return true;
    storing->heuristic = lifetime < 0;
    storing->lifetime = lifetime < 0 ? heuristic_lifetime(response->fields, date, now) : lifetime;
    return true;
}

static bool has_validator(const struct http_fields *fields, int64_t now)
{
    const struct http_field *etag = http_field_find(fields, "etag", NULL);
    int64_t modified;

    return (etag && etag->value.length > 0) || date_of(fields, "last-modified", now, &modified);
}

/* Section 7.3 lets Set-Cookie be cached. It is only where the origin clearly says so, because a guess, or a
 * 304 to somebody else's request, would hand one visitor's session to the next. */
static bool cookie_allows(const struct http_storing *storing, const struct http_cache_control *cc,
                          const struct http_fields *fields)
{
    bool clear = !storing->heuristic && storing->lifetime > 0;

    return clear || cc->public_ || !http_field_find(fields, "set-cookie", NULL);
}

/* Why the response could never be served without fetching it again; NULL if it is of use. */
static const char *useless(const struct http_storing *storing)
{
    if (storing->must_validate)
        return "no-cache";
    if (storing->lifetime == 0)
        return "no-freshness";
    return storing->lifetime <= storing->initial_age ? "stale" : NULL;
}

/* Fills in *storing; returns why the response is not to be stored, or NULL. `clock` has the Date and Age that
 * belong to response_time. */
static const char *storing_decide(struct http_storing *storing, const struct http_request *request,
                                  const struct http_response *response, const struct http_fields *clock,
                                  int64_t request_time, int64_t response_time)
{
    struct http_cache_control cc;
    const char *reason;

    http_cache_control_parse(&cc, response->fields);
    if ((reason = refused_by_message(request, response, &cc)) ||
        (reason = refused_by_fields(request, response, &cc)))
        return reason;
    note_directives(storing, &cc);
    storing->initial_age = initial_age(clock, request_time, response_time);
    if (!note_lifetime(storing, response, &cc, date_value(clock, response_time), response_time))
        return "status";
    if (!cookie_allows(storing, &cc, response->fields))
        return "set-cookie";
    if (!has_validator(response->fields, response_time))
        return useless(storing);
    /* Counted from expiry, which lies in the past for a response that arrives stale. */
    storing->keep = KEEP_FOR_VALIDATION + at_least_zero(storing->initial_age - storing->lifetime);
    return NULL;
}

struct http_storing http_storing_updated(const struct http_request *request,
                                         const struct http_response *stored, const struct http_fields *update,
                                         int64_t request_time, int64_t response_time)
{
    struct http_storing storing = {.store = true};
    const char *refused = storing_decide(&storing, request, stored, update, request_time, response_time);

    if (refused)
        return (struct http_storing){.reason = refused};
    storing.reason = storing.lifetime == 0 ? "validate" : storing.heuristic ? "heuristic" : "explicit";
    return storing;
}

struct http_storing http_storing(const struct http_request *request, const struct http_response *response,
                                 int64_t request_time, int64_t response_time)
{
    return http_storing_updated(request, response, response->fields, request_time, response_time);
}

/* ---- Serving ---- */

bool http_may_serve(const struct http_cache_control *request, int64_t current_age, int64_t lifetime,
                    bool strict)
{
    if (request->no_cache || request->no_cache_fields) /* section 5.2.1.4 */
        return false;
    if (request->max_age >= 0 && current_age > request->max_age) /* section 5.2.1.1 */
        return false;
    if (request->min_fresh >= 0 && lifetime - current_age < request->min_fresh) /* section 5.2.1.3 */
        return false;
    if (lifetime > current_age) /* section 4.2 */
        return true;
    return !strict && request->max_stale >= 0 && current_age - lifetime <= request->max_stale; /* 5.2.1.2 */
}

/* One element of an ETag or If-None-Match value. entity-tag has no escapes (RFC 9110 section 8.8.3), so a
 * backslash means nothing in it and http_list_next() does not fit. A tag without quotes, which some origins
 * send, reaches to the next comma. */
struct entity_tag {
    bool weak;
    struct http_span opaque; /* with its quotes */
};

static bool entity_tag_next(struct http_span *rest, struct entity_tag *tag)
{
    const char *at = rest->at;
    const char *end, *stop;

    if (rest->length == 0)
        return false;
    end = at + rest->length;
    while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
        at++;
    tag->weak = end - at >= 2 && at[0] == 'W' && at[1] == '/'; /* case-sensitive */
    if (tag->weak)
        at += 2;
    stop = at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at) - 1) : at;
    if (!stop) /* an open quote: the rest is no tag */
        return false;
    stop = stop < end ? memchr(stop, ',', (size_t)(end - stop)) : NULL;
    if (!stop)
        stop = end;
    tag->opaque = http_span_trim((struct http_span){at, (uint32_t)(stop - at)});
    *rest = (struct http_span){stop, (uint32_t)(end - stop)};
    return tag->opaque.length > 0;
}

static bool entity_tag_of(const struct http_fields *fields, struct entity_tag *tag)
{
    const struct http_field *field = http_field_find(fields, "etag", NULL);
    struct http_span rest;

    if (!field)
        return false;
    rest = field->value;
    return entity_tag_next(&rest, tag);
}

/* RFC 9110 section 13.1.2: does the list name the stored tag by weak comparison, or is it "*"? */
static bool none_match_names(struct http_span list, const struct entity_tag *stored)
{
    struct entity_tag tag;

    if (http_span_equal(list, HTTP_SPAN("*")))
        return true;
    while (entity_tag_next(&list, &tag)) {
        if (stored && http_span_equal(tag.opaque, stored->opaque))
            return true;
    }
    return false;
}

/* Section 4.3.2: without Last-Modified the stored Date takes its place. RFC 9110 section 13.1.3: more than
 * one value, or no date, is as if the field were not there. */
static bool not_modified_since(const struct http_field *field, const struct http_fields *request,
                               const struct http_fields *stored, int64_t now)
{
    int64_t since, modified;
    const char *name = http_field_find(stored, "last-modified", NULL) ? "last-modified" : "date";

    return !http_field_find(request, "if-modified-since", field) &&
           http_date_parse(field->value, now, &since) && date_of(stored, name, now, &modified) &&
           modified <= since;
}

bool http_not_modified(const struct http_fields *request, const struct http_fields *stored, int64_t now)
{
    const struct http_field *field = http_field_find(request, "if-none-match", NULL);
    struct entity_tag tag;
    bool has_tag;

    if (!field) {
        field = http_field_find(request, "if-modified-since", NULL);
        return field && not_modified_since(field, request, stored, now);
    }
    has_tag = entity_tag_of(stored, &tag);
    for (; field; field = http_field_find(request, "if-none-match", field)) {
        if (none_match_names(field->value, has_tag ? &tag : NULL))
            return true;
    }
    return false;
}

/* ---- Updating ---- */

bool http_update_matches(const struct http_fields *stored, const struct http_fields *update)
{
    const struct http_field *modified = http_field_find(update, "last-modified", NULL);
    const struct http_field *old_modified = http_field_find(stored, "last-modified", NULL);
    struct entity_tag tag, old_tag;

    if (entity_tag_of(update, &tag)) {
        /* A strong tag names one representation byte for byte, so a weak one does not stand for it. */
        return entity_tag_of(stored, &old_tag) && http_span_equal(tag.opaque, old_tag.opaque) &&
               (tag.weak || !old_tag.weak);
    }
    return !modified || (old_modified && http_span_equal(modified->value, old_modified->value));
}

/* Section 3.2: these describe the stored body, which stays. */
static bool describes_body(struct http_span name)
{
    return http_span_equal_nocase(name, HTTP_SPAN("content-encoding")) ||
           http_span_equal_nocase(name, HTTP_SPAN("content-type")) ||
           http_span_equal_nocase(name, HTTP_SPAN("content-range"));
}

/* Leaves in *out what of the update counts. */
static void update_select(struct http_fields *out, const struct http_fields *update)
{
    out->count = 0;
    for (uint32_t i = 0; i < update->count; i++) {
        const struct http_field *field = &update->items[i];

        if (!http_name_is_never_stored(field->name) && !describes_body(field->name) &&
            !http_field_is_hop_by_hop(update, field))
            out->items[out->count++] = *field;
    }
}

/* True if one of the first `count` fields has that name. */
static bool named_among(const struct http_fields *fields, uint32_t count, struct http_span name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (http_span_equal_nocase(fields->items[i].name, name))
            return true;
    }
    return false;
}

static void write_named(struct http_text *text, const struct http_fields *fields, struct http_span name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (http_span_equal_nocase(fields->items[i].name, name))
            http_text_add_field(text, &fields->items[i]);
    }
}

int http_update_fields(const struct http_fields *stored, const struct http_fields *update, char *out,
                       size_t out_size)
{
    struct http_text text = http_text_into(out, out_size);
    struct http_fields fresh;

    update_select(&fresh, update);
    for (uint32_t i = 0; i < stored->count; i++) {
        const struct http_field *field = &stored->items[i];

        if (http_name_is_never_stored(field->name))
            continue;
        if (!named_among(&fresh, fresh.count, field->name))
            http_text_add_field(&text, field);
        else if (!named_among(stored, i, field->name)) /* the first old value's place is all new ones' */
            write_named(&text, &fresh, field->name);
    }
    for (uint32_t i = 0; i < fresh.count; i++) {
        if (!named_among(stored, stored->count, fresh.items[i].name))
            http_text_add_field(&text, &fresh.items[i]);
    }
    return text.failed ? -1 : (int)text.length;
}
