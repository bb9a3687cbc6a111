/* exchange.h: one request and its response, whichever front-end it came through: cache, policy, origin.
 *
 *     front-end                         exchange
 *     exchange_begin()          ──>
 *                               <──     interim()        any number of times before the head; may be NULL
 *                               <──     head()           once, unless broken() or abandoned
 *     exchange_room()           ──>                      whenever the front-end has room again
 *     exchange_body_ready()     ──>     (read_body())    whenever more of the request's body is there
 *                               <──     body(), body_segment(), body_shared()
 *                               <──     finished()       the response is whole: the exchange is gone
 *                               <──     broken()         the rest cannot be had: the exchange is gone
 *     exchange_abandon()        ──>                      the client is gone: so is the exchange
 * Every call of the sink may come from within exchange_begin(), exchange_room() or exchange_body_ready(). The
 * sink calls nothing of the exchange in turn; least of all exchange_abandon().
 *
 * Ownership: the exchange belongs to itself. After finished(), broken() or exchange_abandon() neither side
 * touches the other; a fill that was begun goes on to its end without the client. The spans of the request
 * must stay until then. Threads: one. */
#ifndef LARDER_EXCHANGE_H
#define LARDER_EXCHANGE_H

#include "cache_link.h"
#include "http_cache_status.h"
#include "http_message.h"
#include "http_overrides.h"
#include "http_tags.h"
#include "http_targeted.h"
#include "origin.h"
#include "output.h"
#include "repeats.h"

struct exchange;

#define EXCHANGE_LENGTH_UNKNOWN UINT64_MAX

enum exchange_purging { EXCHANGE_NO_PURGE, EXCHANGE_PURGE_ALLOWED, EXCHANGE_PURGE_FORBIDDEN };

struct exchange_request {
    struct http_span method;
    struct http_span target; /* origin-form, or "*" */
    const struct http_fields *fields;
    struct http_span host;   /* as the client said it; may be empty */
    struct http_span client; /* its address */
    struct http_span scheme; /* by which it came: "http", or empty for what is not HTTP */
    struct http_span via;    /* what this hop received, for Via (RFC 9110 section 7.6.3): "1.1" */
    bool has_body;
    bool expects_continue; /* so does the request to the origin: it may answer before there is a body */
    uint64_t body_length;
    enum exchange_purging purge; /* it is about the cache (exchange_purge.c) */
    int64_t max_forwards; /* of OPTIONS and TRACE, as received, when above 0 (RFC 9110 section 7.6.2) */
};

#define EXCHANGE_MEMO_BYTES 2048u

/* The head as the front-end has written it, for the next time. Whoever gives the head empties it as soon as
 * it would be written differently. */
struct exchange_memo {
    uint32_t length; /* 0: it has not been written */
    char text[EXCHANGE_MEMO_BYTES];
};

struct exchange_head {
    int status;
    struct http_span lines; /* "Name: value\r\n" each; no Content-Length, nothing hop-by-hop */
    bool has_body;          /* else none follows, whatever the length says (HEAD, 204, 304) */
    bool length_known;
    uint64_t length;
    int64_t age; /* -1: no Age of ours */
    struct http_cache_status cache_status;
    struct exchange_memo *memo; /* NULL: it is not the same again */
    struct hot_entry *again;    /* not NULL: see exchange_remember() */
};

/* ---- the same request again ----
 *
 * A front-end that finds the bytes of a request to be those of an earlier one need not read them, and no
 * exchange is begun, when the answer is something hot that would be given without any question. This second's
 * answer, that is: within it neither age nor freshness change. */

struct exchange_again {
    uint64_t hash; /* of the bytes, also when they are not known */
    const struct exchange_memo *memo;
    struct output_source *source; /* a reference, the caller's; NULL: the body is to be copied, and at once */
    struct larder_segment *segment;
    uint32_t offset, size; /* the whole body, in the segment */
};
#define EXCHANGE_AGAIN_MAX REPEATS_HEAD_MAX /* bytes */

struct exchange_sink {
    /* A 1xx of the origin (RFC 9110 section 15.2), lines as in the head. */
    void (*interim)(void *owner, int status, const struct http_span *lines);
    void (*head)(void *owner, const struct exchange_head *head);
    void (*body)(void *owner, const char *data, size_t size);
    /* Takes the segment and nulls the caller's pointer. */
    void (*body_segment)(void *owner, struct larder_segment **segment, uint32_t offset, uint32_t size);
    /* Bytes that others read as well, in a segment that is not written into while there are references to its
     * source: takes one. */
    void (*body_shared)(void *owner, struct output_source *source, struct larder_segment *segment,
                        uint32_t offset, uint32_t size);
    /* What was given need not leave before what comes next, which will not be long. May be NULL. */
    void (*hold)(void *owner);
    void (*finished)(void *owner);
    void (*broken)(void *owner);
    /* Bytes that the front-end takes without hoarding; 0: wait for exchange_room(). */
    size_t (*room)(void *owner);
    /* As origin_calls.read_body; BAD sets *status to that of the answer (400, 413). */
    enum origin_body (*read_body)(void *owner, char *out, size_t size, size_t *got, int *status);
};

struct exchange_home; /* what all exchanges of a proxy share */

/* Milliseconds that a lookup may wait for the cache's answer; it needs microseconds when the cache is well.
 */
#define EXCHANGE_CACHE_TIMEOUT_MS 100
/* A fill or a read may wait for ten times `cache_timeout_ms` to get on. */
int exchange_home_create(struct exchange_home **out, struct proxy_loop *loop, struct cache_link *link,
                         struct origin *origin, unsigned cache_timeout_ms);
/* The targeted fields that this cache obeys (RFC 9213), instead of HTTP_TARGETS_DEFAULT; their names stay the
 * caller's. */
void exchange_home_set_targets(struct exchange_home *home, const struct http_targets *targets);
/* Fetches without a client, of what is refreshed or stored for others: each has a descriptor. When there are
 * as many, what is stale is refreshed for a later request, and a fill whose client has gone is given up; what
 * has come of it may be gone on with. */
#define EXCHANGE_ALONE_MAX 64u
/* May requests with this method not be passed on? */
bool exchange_home_refuses(const struct exchange_home *home, struct http_span method);
/* What the operator wants otherwise (http_overrides.h), from now on; the names in it stay the caller's. */
void exchange_home_set_overrides(struct exchange_home *home, const struct http_overrides *overrides);
/* For what begins to wait from now on. */
void exchange_home_set_timeout(struct exchange_home *home, unsigned cache_timeout_ms);
/* The fields that carry tags, instead of HTTP_TAG_FIELDS_DEFAULT; as above. */
void exchange_home_set_tag_fields(struct exchange_home *home, const struct http_tag_fields *fields);
void exchange_home_destroy(struct exchange_home **home); /* ends what still goes on */
/* How many there are, those included that only finish a fill. */
unsigned exchange_count(const struct exchange_home *home);

/* True: the answer is in *again; it counts as given. */
bool exchange_recall(struct exchange_home *home, const char *bytes, uint32_t length,
                     struct exchange_again *again);
/* The request of these bytes, for which exchange_recall() has given the hash, is being answered with that
 * head, whose `again` is set: in a way that depends on nothing but the bytes. */
void exchange_remember(struct exchange_home *home, const struct exchange_head *head, uint64_t hash,
                       const char *bytes, uint32_t length, const struct http_fields *fields);

/* *out is set before anything of the sink is called; finished() and broken() are the owner's cue to forget
 * it. It stays where it is until then: it is set anew when another exchange takes the client over. */
void exchange_begin(struct exchange_home *home, struct exchange **out, const struct exchange_request *request,
                    const struct exchange_sink *sink, void *owner);
void exchange_room(struct exchange *exchange);
void exchange_body_ready(struct exchange *exchange);
void exchange_abandon(struct exchange **exchange); /* nulls the caller's pointer; NULL is allowed */

#endif
