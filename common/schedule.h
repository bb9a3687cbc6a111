/* schedule.h: asks the kernel for short turns on the processor, so that a thread is woken at once.
 *
 * A program that answers in microseconds wants its turn soon, not long. Linux gives both from one figure, the
 * slice: a thread with a shorter one runs before threads with longer ones that came earlier, and gives way
 * after it. It takes nothing from others and needs no privilege. (sched_setattr(2), sched_runtime of
 * SCHED_OTHER, since Linux 6.12; the shortest is 0.1 ms.) */
#ifndef LARDER_SCHEDULE_H
#define LARDER_SCHEDULE_H

/* For the calling thread; threads and processes that it creates later have the usual slice. Older kernels,
 * and threads that somebody gave a real-time policy, go on as they are. Errno is unchanged. */
void schedule_short_turns(void);
/* The opposite, for work that nobody waits for by the microsecond, such as starting: every thread with
 * shorter turns that wants the processor has it first. */
void schedule_long_turns(void);

#endif
