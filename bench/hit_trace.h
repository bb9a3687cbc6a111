/* hit_trace.h: sequences of requests, read from a file or made from a seed. */
#ifndef LARDER_HIT_TRACE_H
#define LARDER_HIT_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define HIT_MAX_SIZE (4u << 20) /* larger objects of a file count as this large */

struct hit_trace {
    uint32_t *order; /* object of each request */
    uint32_t *sizes; /* of each object */
    uint32_t objects;
    uint64_t requests;
    uint64_t bytes; /* of all requests */
    bool has_large; /* some are so large that admission looks at them */
};

/* Each ends the program with a message if it cannot be done. */
void hit_trace_read(struct hit_trace *trace, const char *file);
/* By number from 0; the kinds are
 *     zipf      popularity falls with the 0.9th power of the rank
 *     scan      the same, and three of ten requests belong to runs over objects that are never asked for
 * again shift     the same as zipf, but each twentieth of the trace the hundredth most popular part is
 * replaced large     zipf, and one of three hundred requests is for an object of 1 MB that is never asked for
 * again */
const char *hit_trace_kind(unsigned kind); /* NULL: there are no more */
void hit_trace_make(struct hit_trace *trace, unsigned kind, uint32_t objects, uint64_t requests,
                    uint64_t seed);
void hit_trace_free(struct hit_trace *trace);
_Noreturn void hit_fail(const char *what);

#endif
