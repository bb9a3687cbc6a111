/* fuzz_proxy.h: a whole proxy in this process for one input: loop, front-end, exchange and cache link are the
 * real ones; the client is a socket pair, the origin (fuzz_origin.c) and the client library (fuzz_client.c)
 * are models that the input drives, and so is time.
 *
 * The input: struct fuzz_script, then up to three texts with a line "====" between them:
 *     what the client sends; at a line "----" it waits until nothing comes any more
 *     what the origin answers: whole responses with a line "----" between them, one for each fetch; from the
 * start again when there are more fetches metadata that the cache has stored (lines only, or a blob with
 * FUZZ_RAW_META; a line with # in front describes parts, see fuzz_client.c) */
#ifndef LARDER_FUZZ_PROXY_H
#define LARDER_FUZZ_PROXY_H

#include "connection.h"
#include "exchange.h"
#include "fuzz.h"

/* About so many pieces, at most, make up what one side sends, so that an input takes a bounded number of
 * turns. */
#define FUZZ_PIECES 500u

enum {
    FUZZ_CACHE = 1,    /* there is one */
    FUZZ_STORED = 2,   /* and it has something stored */
    FUZZ_RAW_META = 4, /* whose metadata is the third text as it is */
    FUZZ_STALE = 8,    /* and that is stale */
    FUZZ_SLOW_READER = 16,
    FUZZ_HANG_UP = 32, /* the client closes when it has sent all, without waiting for answers */
    FUZZ_STOP = 64,    /* the operator stops the proxy in the middle */
    FUZZ_SLOW_CLIENT = 128,
};

enum {
    FUZZ_META_MARK = 1,
    FUZZ_META_FAILED = 2, /* a moment ago, */
    FUZZ_META_FAILED_STATUS = 4,
    FUZZ_META_FAILED_REQUEST = 8,
    FUZZ_META_REFRESH = 16,
    FUZZ_META_MUST_VALIDATE = 32,
    FUZZ_META_UNKNOWN_SIZE = 64, /* while it grows */
    FUZZ_META_502 = 128,
};

struct fuzz_script {
    uint64_t cutting; /* how the client's bytes are cut into writes */
    uint8_t flags;
    uint8_t body_limit;  /* of a request, in units of 64 bytes */
    uint8_t stored_size; /* of the stored body, in units of 128 bytes */
    uint8_t meta_kind;   /* FUZZ_META_...: what is stored, and what another proxy fills */
    uint8_t cache[10];   /* how operations go, one after the other; see fuzz_client.c */
    uint8_t origin[10];  /* how fetches go; see fuzz_origin.c */
};

struct fuzz_text {
    const uint8_t *at;
    size_t size;
};

/* ---- the front-end under test ---- */

struct fuzz_front {
    void *(*setup)(struct connection_home *connections, struct exchange_home *exchanges, uint64_t max_body);
    int (*accept)(void *front, int fd, const union connection_peer *peer);
    void (*teardown)(void *front);
    /* All that the client received. */
    void (*check)(const struct fuzz_text *received);
};
void fuzz_proxy_run(const struct fuzz_front *front, const uint8_t *data, size_t size);
void fuzz_proxy_initialize(void);
/* Was the request with this number, of those that reached an exchange, one for a head only? */
bool fuzz_proxy_was_head(unsigned number);

/* May what begins like the body that is stored go on otherwise: with an origin's rest, or with parts? */
bool fuzz_proxy_bodies_may_mix(void);
void fuzz_proxy_mix_bodies(void); /* from now on */

/* ---- fuzz_client.c ---- */

#define FUZZ_STORED_MARK 4u /* bytes of it that text never has */
/* What stands at that place of the body that is stored from the beginning. */
uint8_t fuzz_stored_byte(uint64_t at);
void fuzz_client_prepare(const struct fuzz_script *script, const struct fuzz_text *meta);
/* Answers what has been asked; `all`: also what would never be answered. */
void fuzz_client_answer(bool all);
/* Segments, pins and leases must all be back. */
void fuzz_client_expect_nothing_held(void);

/* ---- fuzz_origin.c ---- */

void fuzz_origin_prepare(const struct fuzz_script *script, const struct fuzz_text *responses);
/* Each fetch gets on by one step. True: there are some. */
bool fuzz_origin_turn(void);

#endif
