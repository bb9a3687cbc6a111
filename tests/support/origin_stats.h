/* origin_stats.h: what the origin counts, the version of its generated content, and the gates of `hold=`.
 *
 * Gates: one per name. A request that reaches a closed gate waits; /_control/release opens it, until
 * /_control/close, so a release may come before the request. At most GATES_MAX names; a reset forgets open
 * ones. */
#ifndef ORIGIN_STATS_H
#define ORIGIN_STATS_H

#include "origin_bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct origin_counters {
    uint64_t requests;
    uint64_t connections; /* that carried a counted request */
    uint64_t heads;       /* requests with the method HEAD */
    uint64_t ranges;      /* requests with Range */
    uint64_t if_ranges;   /* and with If-Range */
    uint64_t conditional; /* requests with If-None-Match or If-Modified-Since */
    uint64_t not_modified;
    uint64_t under_way;      /* requests that have been read and not been answered to the end */
    uint64_t most_under_way; /* at the same time */
    uint64_t bytes;          /* of response bodies, as far as handed to the kernel */
    uint64_t received;       /* bytes of request bodies */
};

struct gate;

extern struct origin_counters origin_counters;
extern uint64_t origin_version;
extern int64_t origin_cut; /* the next body breaks off after so many bytes; -1: it does not */
extern int origin_failure; /* every answer is a short text with this status; 0: what was asked for */

void stats_count_path(const char *path); /* without its query; a bounded number of paths */
void stats_under_way(int change);        /* one request more (1) or less (-1) is under way */
void stats_reset(void);                  /* counters, paths, version, failure, cut and open gates */
void stats_keep_head(const char *head, size_t size); /* of the last request that counts */
void stats_last_head(struct bytes *out);
void stats_json(struct bytes *out);

struct gate *gate_find(const char *name); /* made if it is new; NULL when there are too many */
bool gate_is_open(const struct gate *gate);
void gate_open(struct gate *gate);
void gate_close(struct gate *gate);
void gate_held(struct gate *gate, int change); /* one more (1) or one less (-1) request waits */

#endif
