/* http_cache_control.h: the directives of Cache-Control (RFC 9111 section 5.2), and Pragma (section 5.4).
 *
 * Durations are seconds, saturated at HTTP_SECONDS_MAX (section 1.2.2); -1 when the directive is absent or
 * its argument invalid. An invalid freshness argument makes the response stale (section 4.2.1), which
 * `invalid` reports, even when the directive also occurs with a valid one. When a directive repeats, the
 * strictest counts: the smallest max-age, s-maxage, max-stale and stale-*, the largest min-fresh.
 * Section 4.2.1 allows the first occurrence or staleness; the smallest is never fresher than the first.
 * Unknown directives are ignored (section 5.2.3), and so are arguments of directives that take none.
 *
 * Qualified directives (private="a, b", no-cache="a, b"; sections 5.2.2.4 and 5.2.2.7): the named fields are
 * withheld from what is stored, which meets both. A list that is no list of field names, or names a field on
 * which reuse or the reading of the body depends (such as Vary or Content-Encoding), or does not fit, counts
 * as the unqualified directive; the RFC allows that as well.
 *
 * Trust: fields may hold any bytes. Pure; spans point into the parsed fields. */
#ifndef LARDER_HTTP_CACHE_CONTROL_H
#define LARDER_HTTP_CACHE_CONTROL_H

#include "http_message.h"

#define HTTP_SECONDS_MAX  ((int64_t)1 << 31)
#define HTTP_WITHHELD_MAX 4

/* Lists of field names that are not to be stored. */
struct http_withheld {
    uint32_t count;
    struct http_span lists[HTTP_WITHHELD_MAX];
};
bool http_withheld_has(const struct http_withheld *withheld, struct http_span name);

struct http_cache_control {
    int64_t max_age, s_maxage, min_fresh, stale_while_revalidate, stale_if_error;
    int64_t max_stale; /* -1 absent, HTTP_SECONDS_MAX when it has no argument */
    bool no_store, no_cache, no_cache_fields, private_, private_fields, public_, must_revalidate,
        proxy_revalidate, must_understand, no_transform, only_if_cached, immutable, invalid;
    struct http_withheld withheld; /* of no_cache_fields and private_fields */
};
void http_cache_control_parse(struct http_cache_control *out, const struct http_fields *fields);

/* The same for a request: Pragma: no-cache counts as no-cache where there is no Cache-Control, and so does
 * the qualified form, which requests do not have. */
void http_request_control_parse(struct http_cache_control *out, const struct http_fields *fields);

/* For fields that say the same in another syntax (http_targeted.h): one directive at a time. */
#define HTTP_DIRECTIVES 16
enum http_directive_kind {
    HTTP_DIRECTIVE_FLAG,      /* forbids or asks something; no argument */
    HTTP_DIRECTIVE_GRANT,     /* permits something; no argument */
    HTTP_DIRECTIVE_LISTED,    /* a flag, or a list of field names */
    HTTP_DIRECTIVE_FRESHNESS, /* duration; the smallest counts, an invalid one means stale */
    HTTP_DIRECTIVE_SHORTEST,  /* duration; the smallest counts */
    HTTP_DIRECTIVE_LONGEST,   /* duration; the largest counts */
    HTTP_DIRECTIVE_MAX_STALE, /* as SHORTEST, the argument is optional */
};
enum http_argument_kind {
    HTTP_ARGUMENT_NONE,
    HTTP_ARGUMENT_TEXT,
    HTTP_ARGUMENT_WRONG, /* of a type that the directive cannot have: the strictest reading counts */
};
struct http_argument {
    enum http_argument_kind kind;
    struct http_span text; /* without quotes */
};
void http_cache_control_clear(struct http_cache_control *out); /* no directive at all */
int http_directive_find(struct http_span name);                /* 0 .. HTTP_DIRECTIVES - 1; -1: unknown */
enum http_directive_kind http_directive_kind(int directive);
void http_directive_apply(struct http_cache_control *out, int directive,
                          const struct http_argument *argument);

#endif
