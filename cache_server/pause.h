/* pause.h: sessions whose pools make the cache wait.
 *
 * A page of a pool that its owner is just punching out (fallocate(2), madvise(2) MADV_REMOVE) lets nobody
 * touch it until that has ended, which may be long after the owner has lost its processor. An honest proxy
 * changes no page of a segment that it has handed over, so the cache never waits for it. Who makes it wait is
 * not served for a while: twice as long as it took, doubled each time up to a second, times the registrations
 * of its process, so that waiting soon takes less than a hundredth of the cache's time. How often that was is
 * remembered of the tenant, and half forgotten every PAUSE_HALVING_NS; and whoever is registered during a
 * pause begins with the rest of it (of one registration), so that nobody begins anew by registering again.
 * Those of the tenant that were there and do not make the cache wait are not passed over. Being passed over
 * by the scheduler, or stopped, is no waiting, and nobody's fault: the kernel counts it apart (getrusage(2),
 * ru_nvcsw and ru_nivcsw), and who waits for a page counts a fault then.
 *
 * Memory that the cache touches for the first time costs as well: the kernel clears it, a huge page at a
 * time, and a hypervisor may have to find it first, which was seen to take milliseconds. The credit of
 * process.h does not catch that, for it is worked off within some dozens of short turns, and forgiven once
 * the others wait for nothing; and those others are clients that wait for answers before they ask again. So
 * whose batch faulted and was long is passed over for as long as it took, while there is company: another
 * process that was served just before. That is an honest proxy's lot as well, and nobody's fault, so it
 * neither counts nor grows.
 *
 * Being passed over does not help where the cache touches the pool for somebody else: what the proxy keeps
 * has changed (holds.h), or its registration ends. Once a tenant's pools have made it wait there for more
 * than PAUSE_PATIENCE_NS within about a second, the last of them OBSTRUCTS: all registrations of its process
 * are ended (touch.h), and for PAUSE_BAR_FACTOR times as long as the waits, doubled each time, the tenant
 * gets no new registration. A single wait that is longer than that by itself is forgiven, once in
 * PAUSE_FORGIVING_NS: a signal may have stopped the cache just then. Waits during which the cache read from a
 * disk do not count, nor does the time for which it stood in line for a processor. (A page that somebody else
 * is reading from there, or that the kernel is just moving, is not told from one that is being punched out.)
 * What is waited is taken off what is charged to whoever was being served, unless it was for a pool of the
 * same tenant.
 *
 * Asking the kernel costs a system call, so the sessions of a tenant are watched only after a batch of one of
 * them, or a touch of its pool, that took PAUSE_LONG_NS: for a second, or PAUSE_WATCH_FACTOR times as long as
 * it took; the first wait costs nothing. Clients that only ask have no tenant; those of the cache's own user
 * and of root are watched as one, all others as another. Nobody keeps these out: what they ask comes by
 * message, and messages get a share of the loop's time (dispatch.c). Times are CLOCK_MONOTONIC, in
 * nanoseconds. */
#ifndef LARDER_PAUSE_H
#define LARDER_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#define PAUSE_LONG_NS       300000              /* batches end long before that */
#define PAUSE_WATCH_NS      INT64_C(1000000000) /* for so long a session is watched after one that did not, */
#define PAUSE_WATCH_FACTOR  100                 /*   or so many times its length, */
#define PAUSE_WATCH_MOST_NS INT64_C(60000000000) /* but no longer */
#define PAUSE_FACTOR        2
#define PAUSE_LONGEST_NS    INT64_C(1000000000)
#define PAUSE_HALVING_NS    INT64_C(10000000000)
#define PAUSE_TOUCH_NS      20000 /* shorter ones are not added up */
#define PAUSE_PATIENCE_NS   20000000
#define PAUSE_FORGIVING_NS  INT64_C(600000000000)
#define PAUSE_BAR_FACTOR    16
#define PAUSE_BAR_MOST_NS   INT64_C(60000000000)
#define PAUSE_FAULTS_NS     20000000 /* the longest for faults: the batch may have been held up by others too */
#define PAUSE_COMPANY_NS    10000000 /* whoever was served so short a time ago will want more */

struct cache;
struct session;

/* Part of a tenant; all zero at first, as are the next ones. */
struct pause_watch {
    int64_t until_ns;
    int64_t paused_ns; /* until then whoever is registered is paused */
    int64_t halved_at_ns;
    uint32_t waits;   /* in batches; halved every PAUSE_HALVING_NS */
    int64_t short_ns; /* touches of less than PAUSE_LONG_NS, since they came to that */
};

/* Part of a tenant, and of a process for its clients that only ask. */
struct pause_patience {
    int64_t waited_ns; /* in touches; forgotten at PAUSE_PATIENCE_NS a second */
    int64_t waited_at_ns;
    int64_t forgave_ns; /* when a long one was; 0: never */
    int64_t barred_ns;  /* until then nobody of the tenant is registered */
    uint32_t bars;      /* one after the other */
};

/* Part of a cache. */
struct pauses {
    struct session *list;         /* utlist: those who are paused */
    struct pause_watch askers[2]; /* clients that only ask: of strange users, of ours and root */
    int64_t watching_ns;          /* until then somebody may be watched */
    /* While a batch is served: */
    const struct pause_watch *serving;
    int64_t held_up_ns, own_ns; /* by touches; of these by those of whoever is served */
    bool knows_queued;
    int schedstat; /* a descriptor, where it does */
};

/* Part of a session; all zero at first. */
struct pause {
    struct session *prev, *next; /* in the cache's list of paused sessions, while `until_ns` */
    int64_t until_ns;            /* 0: it is not paused */
};

/* How often this thread has waited, met a page that was not there, read from a disk and lost its processor
 * while it wanted it, and its processor time. */
struct pause_mark {
    int64_t waits, faults; /* -1: unknown */
    int64_t reads, preemptions;
    int64_t queued_ns;    /* for a processor; 0: not known */
    int64_t processor_ns; /* of batches only */
};

/* A touch for somebody else's sake. */
struct pause_touch {
    struct pause_mark before;
    int64_t began_ns;
    int64_t held_up_ns; /* by touches within others, by then */
};

/* A batch of the session begins, and nothing of its pool has been touched yet. What pause_after() needs. */
struct pause_mark pause_before(const struct session *session, int64_t now_ns);
/* It has ended, and the session still stands. May end its being active. Returns what the batch cost, in
 * nanoseconds: waiting is the session's doing, and being passed over by the scheduler is not, where that is
 * known: of a session that was watched. */
int64_t pause_after(struct session *session, const struct pause_mark *before, int64_t began_ns,
                    int64_t now_ns);
/* Is what it does being watched, so that waiting for it counts? */
bool pause_watches(const struct session *session, int64_t now_ns);
/* Something took so long, and this one's pool may be why: watch it. */
void pause_suspect(struct session *session, int64_t took_ns, int64_t now_ns);
/* By the thread that will serve, before it may open nothing more: what is waited for a processor is known
 * from then on (/proc/thread-self/schedstat, proc(5)). Where that cannot be read waits during which the
 * scheduler passed us over do not count. */
void pause_open(struct pauses *pauses);
void pause_close(struct pauses *pauses);
/* Of this moment, for a touch that is made up of its parts. Without the processor time. */
struct pause_mark pause_mark(const struct pauses *pauses);
/* Around a touch of the session's pool, of a word or two, while it is not its turn. */
struct pause_touch pause_touch(const struct session *session);
/* False: the session obstructs, for the first time. What that means for its process is touch.h's affair. */
bool pause_touched(struct session *session, const struct pause_touch *touch);
/* May it not be registered now? Its tenant and owner are known. */
bool pause_bars(const struct session *session);
/* It has been: is another of its tenant paused for having us wait, it is so as well. */
void pause_enrol(struct session *session);
/* Ends the pauses that are over; in a turn's housekeeping. */
void pause_step(struct cache *cache);
/* Until the first of them is over, in milliseconds rounded up; -1: there is none. */
int pause_left_ms(const struct cache *cache);
/* The session goes. */
void pause_part(struct session *session);

#endif
