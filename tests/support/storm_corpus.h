/* storm_corpus.h: what the stress test asks for, and every byte of the right answers.
 *
 * An object's bytes follow from its number alone, the same way in the origin (origin_body.h) and here; they
 * are made once, so that checking a response is one memcmp. Sizes go from nothing over the edges of a segment
 * to some MiB; popularity falls like Zipf's law. Most may be kept for long, some for a second, some not at
 * all, and of some the origin does not tell the length.
 *
 * Ownership: the corpus owns its objects until corpus_destroy(); constant in between, so threads may share
 * it.
 */
#ifndef STORM_CORPUS_H
#define STORM_CORPUS_H

#include "storm_random.h"

#include <stddef.h>
#include <stdint.h>

#define CORPUS_OBJECTS 400

struct storm_object {
    char request[256]; /* head of the request for it */
    size_t request_length;
    uint8_t *body;
    size_t size;
};

struct corpus {
    struct storm_object objects[CORPUS_OBJECTS];
    double popularity[CORPUS_OBJECTS]; /* of this object and all before it */
    size_t bytes;
};

/* Objects are numbered from the most popular on. */
void corpus_create(struct corpus *corpus, uint64_t seed);
void corpus_destroy(struct corpus *corpus);
unsigned corpus_pick(const struct corpus *corpus, struct storm_random *random);

#endif
