/* serve.h: requests out of rings, completions into rings. */
#ifndef LARDER_SERVE_H
#define LARDER_SERVE_H

#include "session.h"

/* One batch of one ring; process.h divides the time between batches. Keys and metadata count as bytes. */
#define SERVE_MAX_REQUESTS 64u
#define SERVE_MAX_BYTES    ((uint64_t)64 << 10)
/* Longer bodies of READ and FILL_* are moved in pieces of so many bytes, in as many batches as it takes, so
 * that nobody waits for a whole MiB; LOOKUP gives no more. Segments have as many by default. */
#define SERVE_PIECE        ((uint64_t)68 << 10)

enum serve_result {
    SERVE_IDLE,    /* the ring is empty */
    SERVE_MORE,    /* something was served; there may be more */
    SERVE_BROKEN,  /* the proxy broke the protocol: end it */
    SERVE_FAULTED, /* its pool lost pages: end it */
};
/* Serves what is in the session's request ring, within the bound, publishes the completions and rings its
 * bell. */
enum serve_result serve_session(struct session *session);

#endif
