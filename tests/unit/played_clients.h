/* played_clients.h: clients of exchanges that ask for one object, beside the cache and the origin that are
 * played (played.h). Link with played.c and played_clients.c. */
#ifndef LARDER_PLAYED_CLIENTS_H
#define LARDER_PLAYED_CLIENTS_H

#include "exchange.h"
#include "http_meta.h"

#include "played.h"

#define CLIENTS  12
#define BODY_MAX 40000
#define BODY     5u /* which pattern */

struct client {
    struct exchange *exchange;
    struct http_fields fields;
    struct exchange_head head; /* without its spans */
    char lines[8192], detail[64];
    unsigned heads, finished, broken;
    uint8_t body[BODY_MAX];
    size_t size, room;
};

extern struct exchange_home *home;
extern struct client clients[CLIENTS];

void begin(void);
void end(void); /* nothing goes on any more */
void add_field(unsigned number, const char *name, const char *value);
void request(unsigned number, const char *method);

#define ck_assert_whole(number, size_)                                                                       \
    do {                                                                                                     \
        ck_assert_uint_eq(clients[number].heads, 1);                                                         \
        ck_assert_uint_eq(clients[number].finished, 1);                                                      \
        ck_assert_uint_eq(clients[number].broken, 0);                                                        \
        ck_assert_uint_eq(clients[number].size, (size_));                                                    \
        ck_assert(is_pattern(clients[number].body, BODY, 0, (size_)));                                       \
    } while (0)

/* ---- the cache ---- */

bool is_asked(enum larder_event_kind kind, unsigned *number);
const struct asked *the_asked(enum larder_event_kind kind); /* the oldest */
struct larder_event *reply(enum larder_event_kind kind, enum larder_status status);
void miss(uint64_t lease, uint64_t follow); /* answers the oldest look-up */
void serve_reads(void);                     /* all that is read of the body */

extern struct http_parts parts; /* of what has HTTP_META_PARTS */
struct http_meta_head fresh_head(void);
struct http_fields stored_fields(void);
void put_meta(struct larder_event *event, const struct http_meta_head *head,
              const struct http_fields *fields);

/* ---- the origin ---- */

void answer_head(struct origin_fetch *of, int status, uint64_t length, const char *cache_control);
bool send_body(struct origin_fetch *of, uint64_t offset, size_t size);
void end_fetch(struct origin_fetch *of, enum origin_result result);

#endif
