/* http_cache_status.h: the value of one Cache-Status field line (RFC 9211) for the cache named "larder".
 *
 * An upstream's Cache-Status stays as it is: the caller sends it first and this value on a field line of its
 * own behind it, so that the list reads from the origin to the client (RFC 9211 section 2). Pure; no
 * allocation. */
#ifndef LARDER_HTTP_CACHE_STATUS_H
#define LARDER_HTTP_CACHE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why the request went forward (RFC 9211 section 2.2). */
enum http_cache_fwd {
    HTTP_FWD_NONE,      /* it did not */
    HTTP_FWD_BYPASS,    /* the cache was not to handle it, e.g. it is absent */
    HTTP_FWD_METHOD,    /* the method's semantics require it */
    HTTP_FWD_URI_MISS,  /* nothing stored under that URI */
    HTTP_FWD_VARY_MISS, /* the URI is there, but not for these request fields */
    HTTP_FWD_MISS,      /* nothing to use, and no telling which of the two above */
    HTTP_FWD_REQUEST,   /* fresh, but the request's directives did not allow it */
    HTTP_FWD_STALE,     /* there, but stale */
    HTTP_FWD_PARTIAL,   /* only a part of it is there */
};

struct http_cache_status {
    bool hit; /* answered without going forward; excludes fwd (RFC 9211 section 2.1) */
    enum http_cache_fwd fwd;
    int fwd_status; /* what the next hop answered; 0: do not say */
    bool stored;
    bool collapsed; /* waited for another request's answer */
    bool has_ttl;
    int64_t ttl;        /* seconds; negative when stale */
    const char *key;    /* of what was looked up, for those who debug it; NULL: do not say (section 2.7) */
    const char *detail; /* printable ASCII, NULL: none */
};

#define HTTP_CACHE_STATUS_KEY_MAX                                                                            \
    128                           /* a longer key is left out, and so is one of other than printable ASCII */
#define HTTP_CACHE_STATUS_MAX 512 /* a buffer that holds any value whose detail is at most 64 bytes */

/* Writes the value and a terminating zero. Returns its length without the zero; -1 if it does not fit or
 * detail is not printable ASCII. `fwd` and what belongs to it are left out of a hit. */
int http_cache_status_format(const struct http_cache_status *status, char *out, size_t size);

#endif
