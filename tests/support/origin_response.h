/* origin_response.h: from a request to the response that the files, the script and RFC 9110 call for.
 *
 * response_build() decides everything; the connection then sends head and body and does what `after` says.
 * Ownership: a response owns its body and texts until response_clear(). */
#ifndef ORIGIN_RESPONSE_H
#define ORIGIN_RESPONSE_H

#include "origin_body.h"
#include "origin_bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct origin_conf {
    int root;        /* directory of the files; -1: none */
    int64_t max_age; /* -1: no Cache-Control */
};

struct origin_request {
    char method[40];     /* longer ones are not read */
    struct bytes head;   /* request line, fields and blank line as received */
    struct bytes body;   /* decoded, as far as it is kept */
    struct bytes target; /* path, NUL, query */
    const char *query;   /* into the target; "" if there is none */
    bool http10;
    bool keep_alive;
    bool unread; /* its body was not read, because the answer does not wait for it */
};

enum after_response {
    AFTER_KEEP,  /* next request */
    AFTER_CLOSE, /* orderly: what was sent arrives */
    AFTER_BREAK, /* close at once */
    AFTER_RESET, /* close with a TCP reset */
};

struct origin_response {
    struct bytes head;
    struct body body;
    struct bytes trailers; /* field lines behind the last chunk */
    int64_t position;      /* offset in the body of the next byte to send */
    int64_t end;           /* where sending stops */
    bool chunked;
    bool complete; /* `end` is the true end, so the last chunk may follow */
    bool counted;  /* its bytes are; those of control pages are not */
    enum after_response after;
    int64_t delay_ms;
    int64_t rate;    /* bytes a second; 0: unpaced */
    char *hold;      /* name of the gate; NULL: none, or passed */
    int64_t hold_at; /* position, or SCRIPT_HOLD_HEAD */
};

/* Copies the value of the first field of this name; false if there is none or it does not fit. */
bool request_field(const struct origin_request *request, const char *name, char *value, size_t size);

/* Whether the answer to a request with this query does not wait for its body. */
bool response_is_early(const char *query);

/* Counts the request and builds the response; `released` is set if a control request opened a gate. */
void response_build(struct origin_response *response, const struct origin_request *request,
                    const struct origin_conf *conf, bool *released);

/* The entity tag of a generated body. */
#define RESPONSE_ETAG_BYTES 80
void response_etag(const struct body *generated, char out[RESPONSE_ETAG_BYTES]);

/* A response to what is not HTTP; the connection ends after it. */
void response_refuse(struct origin_response *response, int status);
void response_clear(struct origin_response *response);

#endif
