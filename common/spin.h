/* spin.h: looking at shared memory for some microseconds before sleeping.
 *
 * A sleeper costs whoever wakes it a message and waits for the scheduler, tens of microseconds in all. Who
 * expects an answer sooner than that does better to look for it, if a processor is free to do nothing else:
 *
 *     spin_length()   how long to look now; 0: sleep at once
 *     spin_note()     how that went
 *     spin_slept()    how long it took until there was something, for who did sleep
 *
 * Bounds, whatever peers do:
 *     share      of all time at most `percent` of a hundred goes into looking (and SPIN_WINDOW_NS' worth of
 *                it at once); what a spin takes longer than it should is paid back
 *     success    only while most waits lately were short; twice as long as these usually are
 *     room       never where the host has, or the control groups allow, less than two processors; not for a
 * while after somebody else was given ours, in a spin or outside (who shares a processor with its peer is
 * such a case), unless that is rare
 *
 * The first part is pure: times are arguments, in nanoseconds of a clock that never goes back. Ownership: the
 * caller's. Threads: one. */
#ifndef LARDER_SPIN_H
#define LARDER_SPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPIN_DEFAULT_PERCENT 5u
#define SPIN_LEAST_NS        2000
#define SPIN_MOST_NS         50000
#define SPIN_WINDOW_NS       100000000  /* a share of this may be spent at once */
#define SPIN_WAKE_NS         50000      /* of a sleep: what is taken for waking up, at most */
#define SPIN_PAUSE_NS        10000000   /* after having been in somebody's way; twice as long each time, */
#define SPIN_CALM_NS         10000000   /* being displaced once in so long is nothing */
#define SPIN_MOST_PAUSE_NS   1000000000 /* up to this */
#define SPIN_FULL            256        /* of `success` */

struct spin {
    unsigned percent;
    unsigned room;     /* hundredths of a processor that the process may use */
    int64_t credit_ns; /* may be spent now, */
    int64_t remainder; /*   and hundredths of a nanosecond */
    int64_t at_ns;     /* when that was last reckoned */
    int64_t usual_ns;  /* of short waits lately */
    int32_t success;   /* 0 .. SPIN_FULL: how many waits lately were short */
    int64_t paused_until_ns;
    uint64_t displaced;      /* times, when last asked, */
    int64_t displaced_at_ns; /* and when that was */
    int64_t pause_ns;        /* the next one */
    uint64_t spins, found;   /* statistics */
    int64_t spent_ns;
};

/* `percent` 0: never. */
void spin_setup(struct spin *spin, unsigned percent, unsigned room, int64_t now_ns);
int64_t spin_length(struct spin *spin, int64_t now_ns);
/* How often the kernel has taken the processor away from us so far, for somebody else. False: too often since
 * this was last called, so there is no processor to spare. */
bool spin_is_free(struct spin *spin, uint64_t displaced, int64_t now_ns);

struct spin_outcome {
    int64_t length_ns; /* as it was asked for */
    int64_t took_ns;
    bool found; /* what was looked for */
};
void spin_note(struct spin *spin, const struct spin_outcome *outcome, int64_t now_ns);
/* `spun`: it had looked first, in vain. */
void spin_slept(struct spin *spin, int64_t waited_ns, bool spun);

/* "max 100000", "150000 100000" (cgroup's cpu.max): hundredths of a processor; UINT32_MAX: no quota, or not
 * understood. */
unsigned spin_parse_quota(const char *text);

/* ---- what is asked of the system ---- */

/* Processors that this process may use, in hundredths: those of the host, within its control groups' quotas.
 */
unsigned spin_room(void);
/* Looks as long as spin_length() says. True: found() said so. */
bool spin_look(struct spin *spin, bool (*found)(void *context), void *context);

#endif
