/* pause.h: sessions whose pools make the cache wait.
 *
 * A page of a pool that its owner is just punching out (fallocate(2), madvise(2) MADV_REMOVE) lets nobody
 * touch it until that has ended, which may be long after the owner has lost its processor. An honest proxy
 * changes no page of a segment that it has handed over, so the cache never waits for it. Who makes it wait is
 * not served for a while: twice as long as it took, doubled each time up to a second, so that waiting soon
 * takes less than a hundredth of the cache's time. How often that was is remembered of the tenant, so that
 * nobody begins anew by registering again; but only who makes the cache wait is passed over. Being passed
 * over by the scheduler is no waiting, and nobody's fault: the kernel counts it apart (getrusage(2), ru_nvcsw
 * and ru_nivcsw).
 *
 * Memory that the cache touches for the first time costs as well: the kernel clears it, a huge page at a
 * time, and a hypervisor may have to find it first, which was seen to take milliseconds. The credit of
 * process.h does not catch that, for it is worked off within some dozens of short turns, and forgiven once
 * the others wait for nothing; and those others are clients that wait for answers before they ask again. So
 * whose batch faulted and was long is passed over for as long as it took, while there is company: another
 * process that was served just before. That is an honest proxy's lot as well, and nobody's fault, so it
 * neither counts nor grows.
 *
 * Asking the kernel costs a system call, so the sessions of a tenant are watched only for a second after a
 * batch of one of them that took PAUSE_LONG_NS; the first wait costs nothing. Clients that only ask have no
 * tenant and are not watched: they get little of the loop's time, and few of them are let in. Times are
 * CLOCK_MONOTONIC, in nanoseconds. */
#ifndef LARDER_PAUSE_H
#define LARDER_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#define PAUSE_LONG_NS    300000     /* batches end long before that */
#define PAUSE_WATCH_NS   1000000000 /* for so long a session is watched after one that did not */
#define PAUSE_FACTOR     2
#define PAUSE_LONGEST_NS 1000000000
#define PAUSE_FAULTS_NS  20000000 /* the longest for faults: the batch may have been held up by others too */
#define PAUSE_COMPANY_NS 10000000 /* whoever was served so short a time ago will want more */

struct cache;
struct session;

/* Part of a tenant; all zero at first. */
struct pause_watch {
    int64_t until_ns;
    uint32_t waits; /* since it has begun */
};

/* Part of a session; all zero at first. */
struct pause {
    struct session *prev, *next; /* in the cache's list of paused sessions, while `until_ns` */
    int64_t until_ns;            /* 0: it is not paused */
};

/* How often this thread has waited, and met a page that was not there, and its processor time. */
struct pause_mark {
    int64_t waits, faults; /* -1: unknown */
    int64_t processor_ns;
};

/* A batch of the session begins, and nothing of its pool has been touched yet. What pause_after() needs. */
struct pause_mark pause_before(const struct session *session, int64_t now_ns);
/* It has ended, and the session still stands. May end its being active. Returns what the batch cost, in
 * nanoseconds: waiting is the session's doing, and being passed over by the scheduler is not, where that is
 * known: of a session that was watched. */
int64_t pause_after(struct session *session, const struct pause_mark *before, int64_t began_ns,
                    int64_t now_ns);
/* Ends the pauses that are over; in a turn's housekeeping. */
void pause_step(struct cache *cache);
/* Until the first of them is over, in milliseconds rounded up; -1: there is none. */
int pause_left_ms(const struct cache *cache);
/* The session goes. */
void pause_part(struct session *session);

#endif
