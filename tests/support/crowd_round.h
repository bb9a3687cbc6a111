/* crowd_round.h: one round: a crowd, what the origin did for it, and what was done to the filling proxy.
 *
 * The same process is origin and clients, so both ends of a duration are read from one clock. */
#ifndef CROWD_ROUND_H
#define CROWD_ROUND_H

#include "crowd_client.h"
#include "origin_stats.h"

struct crowd_round {
    const struct crowd_conf *conf;
    unsigned number;
    int64_t deadline;
    struct crowd_proxies proxies;
    struct crowd crowd;
    struct origin_counters before; /* when it began */
    int64_t first_write;           /* of a body by the origin; 0: none yet */
    bool struck;                   /* the filler was to be killed or stopped */
    pid_t filler;                  /* 0: it was not found */
    uint64_t struck_at;            /* bytes sent */
};

/* 0 or -errno: the file of the proxies cannot be used. */
int crowd_round_begin(struct crowd_round *round, const struct crowd_conf *conf,
                      const struct crowd_object *object, unsigned number);
void crowd_round_end(struct crowd_round *round);

/* The origin has worked on this connection. */
void crowd_round_observe(struct crowd_round *round, int fd);

/* False when it is over, or its time is. */
bool crowd_round_turn(struct crowd_round *round);
int64_t crowd_round_wake_at(const struct crowd_round *round);

#endif
