/* sandbox.h: what the cache's process may still do once it serves.
 *
 * The cache reads what others write into memory. Should one of them find a mistake in it, what it has taken
 * over is a process that has no capabilities, cannot execute anything, has no sockets, cannot write files,
 * start processes or signal others, and whose memory nobody of its user can read or trace.
 *
 * Two steps, because capabilities belong to threads and the filter is too tight to set anything up:
 *   sandbox_prepare()  before the first thread: capabilities, no_new_privs, dumpable, core limit
 *   sandbox_enter()    when everything exists, before serving: the seccomp filter, for all threads
 *
 * A system call that is not on the list ends the process with SIGSYS: it is a mistake of ours or an attack,
 * and neither may go on. `cache_server --no-sandbox` leaves out both steps.
 *
 * In builds with sanitizers (LARDER_SANITIZED) the process stays dumpable and gets no filter: the leak check
 * at exit starts a thread that traces its own process, and the runtimes call what they like.
 *
 * Errors: 0 or -errno; `problem` then says in one line what is wrong and what to do. */
#ifndef LARDER_SANDBOX_H
#define LARDER_SANDBOX_H

#include <stddef.h>
#include <sys/types.h>

/* For the log: what this build's sandbox is. */
#ifdef LARDER_SANITIZED
#define SANDBOX_KIND "partial"
#else
#define SANDBOX_KIND "on"
#endif

int sandbox_prepare(char *problem, size_t problem_size);
/* `group`: a command queue that is made anew has to be opened to it; NULL: to nobody. */
int sandbox_enter(const gid_t *group, char *problem, size_t problem_size);

#endif
