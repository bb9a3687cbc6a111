/* shm_guard.h: touching memory that somebody else can take away.
 *
 * A shared-memory object can be truncated by whoever may write it; touching a page behind its end raises
 * SIGBUS. Between shm_guard_enter() and shm_guard_leave() such a fault inside the named range is survived:
 * the handler maps a private zero page over each page that is touched, so that the operation finishes on dead
 * memory, and leave() reports it. The caller then drops the peer and unmaps the range.
 *
 * A SIGBUS outside the named range, or one that was sent by a process (not raised by a page), is a real crash
 * and ends the process as without us. One range at a time, and one other while a word of another pool is
 * touched, whether or not the first is entered; the process's thread that enters must leave. A fault in a
 * page of both counts for both. */
#ifndef LARDER_SHM_GUARD_H
#define LARDER_SHM_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the handler; once, at start. 0 or -errno. */
int shm_guard_setup(void);

void shm_guard_enter(void *base, size_t length);
/* Inside: has the range faulted by now? What was read from it since is then not to be trusted. */
bool shm_guard_faulted(void);
/* True: all memory touched was there. False: some of it is now private zeroes. */
bool shm_guard_leave(void);

/* The same for the other range. */
void shm_guard_enter_other(void *base, size_t length);
bool shm_guard_leave_other(void);

#endif
