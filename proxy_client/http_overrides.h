/* http_overrides.h: what the operator of a proxy knows better than the responses say ([cache-rules] of
 * larder.conf(5)). All zero but for http_overrides_setup(): nothing, RFC 9111 as it stands.
 *
 * Where a rule departs from RFC 9111 its comment says so; docs/http.md has the list. No rule stores what a
 * response forbids to store (no-store, private, Vary: *, Authorization), and explicit freshness always
 * counts.
 *
 * Trust: any bytes in requests and responses; the rules are the operator's. Pure; spans are borrowed. */
#ifndef LARDER_HTTP_OVERRIDES_H
#define LARDER_HTTP_OVERRIDES_H

#include "http_freshness.h"

#define HTTP_OVERRIDES_LIST     64 /* names in one list */
#define HTTP_OVERRIDES_STATUSES 32
#define HTTP_HEURISTIC_MAX      86400 /* without a rule */
/* A query with more parameters is left as it is, but for those that are left out. */
#define HTTP_OVERRIDES_SORT_MAX 64

struct http_names {
    uint32_t count;
    struct http_span items[HTTP_OVERRIDES_LIST]; /* one with '*' at its end stands for all that begin so */
};

struct http_overrides {
    bool no_heuristic;         /* no lifetime is guessed from Last-Modified */
    int64_t heuristic_max;     /* seconds that a guess may come to, at most HTTP_HEURISTIC_MAX */
    int64_t default_freshness; /* seconds, where nothing can be told or guessed; 0: none */
    uint32_t negative_count;
    struct {
        int status;      /* 400 to 599 */
        int64_t seconds; /* 0: fresh for no time */
    } negative[HTTP_OVERRIDES_STATUSES];
    struct http_names ignored_parameters; /* of the query: not in the key */
    bool sorted_parameters;               /* in the key */
    struct http_names bypass_cookies, bypass_fields;
    struct http_names refused_methods; /* of those that would be passed on */
    bool stores_post;                  /* what a POST is answered may be stored for its target */
    struct http_names allowed_methods; /* if there are any: all others are refused, but GET and HEAD */
};
void http_overrides_setup(struct http_overrides *overrides);

/* A comma-separated list of words of visible characters. False: too many in all, or none. */
bool http_names_add(struct http_names *names, struct http_span list);
bool http_names_have(const struct http_names *names, struct http_span name, bool nocase);

/* The freshness that counts, where `said` is what RFC 9111 makes of the response. Lifetimes of rules are like
 * heuristic ones: a response with Set-Cookie is not stored on their account. `said->kind` NONE means that the
 * status may not be stored without explicit freshness (section 3): `negative` rules depart from that. */
struct http_freshness http_overrides_freshness(const struct http_overrides *overrides,
                                               const struct http_freshness *said, int status,
                                               bool *is_negative);

/* Why a request is neither answered from the cache nor its response stored; NULL: no rule says so. */
const char *http_overrides_bypass(const struct http_overrides *overrides, const struct http_fields *request);

/* The target as it stands in keys: without the parameters that are ignored, and with the others in the order
 * of their names, if so wished. Departs from RFC 9111 section 4, where the key is the target URI. Names are
 * compared as they are written. `out` has room for as many bytes as the target; the result is the target
 * itself where nothing changes. */
struct http_span http_overrides_key(const struct http_overrides *overrides, struct http_span target,
                                    char *out);
bool http_overrides_change_keys(const struct http_overrides *overrides);

bool http_overrides_refuse(const struct http_overrides *overrides, struct http_span method);
/* The value of Allow (RFC 9110 section 15.5.6). */
void http_overrides_allow(const struct http_overrides *overrides, struct http_text *out);

#endif
