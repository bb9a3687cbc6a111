/* crowd_object.h: what the responses must be: the bytes of both versions of the object, and their ETags. */
#ifndef CROWD_OBJECT_H
#define CROWD_OBJECT_H

#include "origin_response.h"

#include <stddef.h>
#include <stdint.h>

#define CROWD_VERSIONS 2

struct crowd_object {
    size_t size;
    uint8_t *body[CROWD_VERSIONS];
    char etag[CROWD_VERSIONS][RESPONSE_ETAG_BYTES];
};

/* Errors: out of memory ends the program. */
void crowd_object_create(struct crowd_object *object, size_t size);
void crowd_object_destroy(struct crowd_object *object);

/* -1: no version has this ETag. */
int crowd_object_version(const struct crowd_object *object, const char *etag);

#endif
