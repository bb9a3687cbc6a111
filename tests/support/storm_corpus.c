#include "storm_corpus.h"

#include "origin_body.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define KIB        1024.0
#define MIB        (1024 * KIB)
#define ZIPF       0.9
#define HUGE_FROM  (CORPUS_OBJECTS - 8) /* of the least popular ones a few are huge */
#define EDGES_FROM 10                   /* sizes at the edges of segments begin here, EDGE_STEP apart */
#define EDGE_STEP  6

static const size_t edges[] = {0,     1,     63,    64,    4095,   4096,   32768,
                               65024, 65535, 65536, 65537, 131071, 131073, 196608};

/* Anywhere between the two, each power of two as likely as the next. */
static size_t log_uniform(struct storm_random *random, double low, double high)
{
    return (size_t)(low * exp(random_unit(random) * log(high / low)));
}

static size_t pick_size(struct storm_random *random, unsigned number)
{
    unsigned edge = (number - EDGES_FROM) / EDGE_STEP;
    double share = random_unit(random);

    if (number >= HUGE_FROM)
        return log_uniform(random, MIB, 4 * MIB);
    if (number >= EDGES_FROM && (number - EDGES_FROM) % EDGE_STEP == 0 &&
        edge < sizeof(edges) / sizeof(*edges))
        return edges[edge];
    if (share < 0.72)
        return log_uniform(random, 200, 32 * KIB);
    return share < 0.94 ? log_uniform(random, 32 * KIB, 128 * KIB)
                        : log_uniform(random, 128 * KIB, 512 * KIB);
}

static const char *pick_lifetime(struct storm_random *random)
{
    double share = random_unit(random);

    if (share < 0.08)
        return "no-store";
    return share < 0.2 ? "max-age=1" : "max-age=86400";
}

static void create_object(struct storm_object *object, struct storm_random *random, unsigned number)
{
    const char *lifetime, *framing;

    object->size = pick_size(random, number);
    lifetime = pick_lifetime(random);
    framing = random_unit(random) < 0.08 ? "&chunked=1" : "";
    object->body = malloc(object->size + 1);
    if (!object->body)
        abort();
    body_generate(object->body, object->size, number + 1, 0, 0);
    object->request_length = (size_t)snprintf(
        object->request, sizeof(object->request),
        "GET /storm/%u?size=%zu&seed=%u&header=Cache-Control:%%20%s%s HTTP/1.1\r\nHost: storm\r\n\r\n",
        number, object->size, number + 1, lifetime, framing);
}

void corpus_create(struct corpus *corpus, uint64_t seed)
{
    struct storm_random random = {seed};
    double sum = 0;

    corpus->bytes = 0;
    for (unsigned i = 0; i < CORPUS_OBJECTS; i++) {
        create_object(&corpus->objects[i], &random, i);
        corpus->bytes += corpus->objects[i].size;
        sum += pow(i + 1, -ZIPF);
        corpus->popularity[i] = sum;
    }
}

void corpus_destroy(struct corpus *corpus)
{
    for (unsigned i = 0; i < CORPUS_OBJECTS; i++)
        free(corpus->objects[i].body);
}

unsigned corpus_pick(const struct corpus *corpus, struct storm_random *random)
{
    double wanted = random_unit(random) * corpus->popularity[CORPUS_OBJECTS - 1];
    unsigned low = 0, high = CORPUS_OBJECTS - 1;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (corpus->popularity[middle] > wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
