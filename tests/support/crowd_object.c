#include "crowd_object.h"

#include <stdlib.h>
#include <string.h>

void crowd_object_create(struct crowd_object *object, size_t size)
{
    object->size = size;
    for (unsigned i = 0; i < CROWD_VERSIONS; i++) {
        struct body body = {.kind = BODY_GENERATED, .size = (int64_t)size, .version = i};

        object->body[i] = malloc(size);
        if (!object->body[i])
            abort();
        body_generate(object->body[i], size, body.seed, body.version, 0);
        response_etag(&body, object->etag[i]);
    }
}

void crowd_object_destroy(struct crowd_object *object)
{
    for (unsigned i = 0; i < CROWD_VERSIONS; i++)
        free(object->body[i]);
}

int crowd_object_version(const struct crowd_object *object, const char *etag)
{
    for (int i = 0; i < CROWD_VERSIONS; i++)
        if (strcmp(object->etag[i], etag) == 0)
            return i;
    return -1;
}
