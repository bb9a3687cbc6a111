/* crowd_response.h: reads one response and compares every byte with the object's version that its ETag names.
 *
 * Pure: no sockets, no clock. Parsed by llhttp, so framing is checked as well. */
#ifndef CROWD_RESPONSE_H
#define CROWD_RESPONSE_H

#include "crowd_object.h"

#include <llhttp.h>
#include <stdbool.h>

struct crowd_response {
    llhttp_t parser;
    const struct crowd_object *object;
    int status;      /* 0: no head yet */
    int version;     /* of the object; 0 if no ETag says another */
    size_t received; /* bytes of the body */
    uint64_t wrong;  /* of them, or too few or too many; one more for a wrong length or ETag in the head */
    bool whole;      /* to its end, whatever it is */
    bool malformed;  /* not HTTP */
    unsigned name_length, value_length;
    char name[16], value[256]; /* of the field being read, as far as it matters */
    char cache_status[256];    /* the last one */
};

void crowd_response_setup(struct crowd_response *response, const struct crowd_object *object);

/* True when nothing more is to come: it is whole or malformed. */
bool crowd_response_take(struct crowd_response *response, const char *data, size_t size);

#endif
