/* origin.h: fetches from the origin, with libcurl's multi interface driven by the proxy's loop.
 *
 * A fetch:
 *     origin_fetch()  ──> interim() ... ──> head() once ──> body() any number of times ──> ended() once ──>
 * origin_close() └───────────────────────────────────────────────────────┘ (failed before its head) The owner
 * may call origin_close() at any time, from a handler too; no handler is called afterwards. The response head
 * stays readable until then.
 *
 * Back-pressure: body() returning false leaves the bytes with libcurl and stops reading from the origin;
 * read_body() returning ORIGIN_BODY_WAIT stops sending. origin_resume() makes both ask again.
 *
 * What is sent is made from parsed parts: method, target and fields. Hop-by-hop fields are the caller's to
 * drop. Redirects are not followed, nothing is decoded, no proxy, cookie or .netrc of the environment is
 * used.
 *
 * Trust: everything that the origin sends is checked here for what HTTP/1.1 framing needs; values of fields
 * are not. Threads: one. Errors: 0 or -errno. */
#ifndef LARDER_ORIGIN_H
#define LARDER_ORIGIN_H

#include "http_message.h"
#include "proxy_loop.h"

#include <sys/types.h>

struct origin;
struct origin_fetch;

struct origin_options {
    const char *url;     /* http://HOST[:PORT][/BASE] or https://... */
    const char *ca_file; /* NULL: the system's */
    int timeout_s;       /* for the response head, and between bytes */
};

enum origin_result {
    ORIGIN_OK,
    ORIGIN_UNREACHABLE, /* not resolved, refused, TLS failed */
    ORIGIN_TIMED_OUT,
    ORIGIN_MALFORMED, /* what came back is not an HTTP response that can be passed on */
    ORIGIN_BROKEN,    /* the connection ended before the response did */
    ORIGIN_REFUSED,   /* read_body() returned ORIGIN_BODY_BAD */
};

enum origin_body { ORIGIN_BODY_BYTES, ORIGIN_BODY_END, ORIGIN_BODY_WAIT, ORIGIN_BODY_BAD };

struct origin_calls {
    /* A 1xx other than 101, before the head; the fields are valid within the call only. May be NULL. */
    void (*interim)(void *owner, int status, const struct http_fields *fields);
    void (*head)(void *owner);
    bool (*body)(void *owner, const char *data, size_t size); /* all or nothing */
    enum origin_body (*read_body)(void *owner, char *out, size_t size, size_t *got);
    void (*ended)(void *owner, enum origin_result result);
};

#define ORIGIN_LENGTH_UNKNOWN UINT64_MAX

struct origin_request {
    struct http_span method;
    struct http_span target;         /* behind the origin's base path; "*" stands for itself */
    const struct http_field *fields; /* end-to-end, without Host, Content-Length, Transfer-Encoding, Expect */
    uint32_t field_count;
    bool has_body;
    bool expects_continue; /* read_body() waits for the origin's 100, or a second */
    uint64_t body_length;
};

struct origin_head {
    int status;
    struct http_fields fields;
    bool length_known; /* by Content-Length */
    uint64_t length;
};

/* `problem` says in one line what is wrong with the options. */
int origin_create(struct origin **out, struct proxy_loop *loop, const struct origin_options *options,
                  char *problem, size_t problem_size);
void origin_destroy(struct origin **origin);

/* "http://HOST:PORT/BASE", normalised, for keys and logs; lives as long as the origin. */
struct http_span origin_base(const struct origin *origin);
const char *origin_scheme(const struct origin *origin);

/* The fields are copied. Nothing is called before the loop's next turn. A handler may call it, too. */
int origin_fetch(struct origin *origin, struct origin_fetch **out, const struct origin_request *request,
                 const struct origin_calls *calls, void *owner);
/* Valid once head() was called. */
const struct origin_head *origin_response(const struct origin_fetch *fetch);
/* Why it failed, for people: "connection refused". */
const char *origin_problem(const struct origin_fetch *fetch);
void origin_resume(struct origin_fetch *fetch);
/* Ends it if it has not ended; nulls the caller's pointer. */
void origin_close(struct origin_fetch **fetch);

#endif
