/* storm_response.h: reads the responses of one connection and compares every byte with what it should be.
 *
 * One request is under way at a time. Pure: no sockets, no clock. Parsed by llhttp, so framing is checked as
 * well. */
#ifndef STORM_RESPONSE_H
#define STORM_RESPONSE_H

#include "storm_corpus.h"

#include <llhttp.h>
#include <stdbool.h>

enum response_result {
    RESPONSE_MORE,
    RESPONSE_WHOLE,
    RESPONSE_BROKEN, /* not what HTTP allows, or not status 200; `why` says it */
};

struct response {
    llhttp_t parser;
    const struct storm_object *object; /* NULL: nothing was asked for */
    size_t received;                   /* bytes of the body */
    uint64_t wrong;                    /* of them, or missing, or too many */
    bool begun;                        /* a byte of it has come */
    bool attached;                     /* Cache-Status says that the proxy had a cache */
    bool whole, keep_alive;
    unsigned name_length, value_length;
    char name[16], value[64]; /* of the field being read, as far as it matters */
    char why[96];
};

void response_setup(struct response *response);
void response_expect(struct response *response, const struct storm_object *object);
enum response_result response_take(struct response *response, const char *data, size_t size);

#endif
