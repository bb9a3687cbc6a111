/* crowd_report.h: a round in one line of JSON.
 *
 *     round, clients
 *     whole, wrong, broken, broken_of_killed, errors, unfinished     clients by what became of them
 *     whole_of_version                                               the whole ones, [first, changed]
 *     broken_begun                                                   broken ones that had bytes of the body
 *     wrong_bytes
 *     statuses, cache_status                                         how often each status and parameter came
 *     origin        requests, ranges, if_ranges, conditional, not_modified, bytes, most_under_way
 *     filler        pid and at: how much had been sent when it was killed or stopped; or null
 *     first_byte_ms, last_byte_ms, last_byte_of_slow_ms              p50, p99, max from the origin's first
 *                   write of a body (without one: from the asking) to the clients' first and last byte
 *
 * `last_byte_ms` is of those that are not slow. */
#ifndef CROWD_REPORT_H
#define CROWD_REPORT_H

#include "crowd_round.h"

/* Prints it; true if nothing was wrong. */
bool crowd_report(const struct crowd_round *round);

#endif
