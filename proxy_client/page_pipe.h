/* page_pipe.h: pages of this process on their way into a socket, by reference: vmsplice(2) puts them into a
 * pipe, and splice(2) takes them out of it. For many pages that costs less than sendfile(2), which looks each
 * of them up in the file (docs/performance.md).
 *
 *     fill ──> send, as long as something is in it ──> fill ...
 *
 * As with sendfile(2) nothing is copied, and nobody tells when a socket lets go of a page: see
 * larder_segment_lent(). What stands in a pipe is nobody's but the socket's that it is for, so a pipe is
 * taken for one connection and given back when it is empty, or when the connection is gone; or earlier, when
 * others need one: what is dropped with it is referred to again.
 *
 * Bounds: PAGE_PIPES_MAX of them, half of what pipe-user-pages-soft (pipe(7)) allows all processes of a user
 * together, and two descriptors each. Who finds none uses sendfile(2), and so does a proxy whose kernel,
 * sandbox or limits refuse them; for one that could not be had it asks again after a second.
 *
 * Threads: one. */
#ifndef LARDER_PAGE_PIPE_H
#define LARDER_PAGE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef PAGE_PIPE_MIN               /* the fuzzers have smaller segments */
#define PAGE_PIPE_MIN (192u * 1024) /* bytes: below, sendfile(2) costs no more */
#endif
#define PAGE_PIPE_BYTES (512u * 1024) /* of whole pages; pipe-max-size allows everybody that much */
#define PAGE_PIPES_MAX  64u

struct page_pipe {
    int in, out;
    size_t filled; /* bytes that are in it */
    struct page_pipe *next;
};

struct page_pipes {
    struct page_pipe *idle; /* empty ones */
    unsigned count, idle_count;
    bool used;        /* one was taken since page_pipes_close_unused() */
    int64_t retry_ms; /* none is asked for before */
    bool refused;     /* there will be none in this process */
};

void page_pipes_setup(struct page_pipes *pipes);
void page_pipes_teardown(struct page_pipes *pipes); /* all have been given back */

/* An empty one. NULL: there is none now. `now_ms` is monotonic. */
struct page_pipe *page_pipes_take(struct page_pipes *pipes, int64_t now_ms);
/* All that there may be are in use. */
bool page_pipes_are_scarce(const struct page_pipes *pipes);
/* Nulls the caller's pointer, which may be NULL. What is still in it is dropped. */
void page_pipes_give(struct page_pipes *pipes, struct page_pipe **pipe);
/* Gives it back; others are not to be had from now on, because this kernel does not do what they are for. */
void page_pipes_refuse(struct page_pipes *pipes, struct page_pipe **pipe);

/* To be called now and then, while there are any: idle ones go if none was taken since. False: there are none
 * any more. */
bool page_pipes_close_unused(struct page_pipes *pipes);

/* Refers to the pages of as many of these bytes as there is room for; the pipe is empty. False: none, and
 * errno. */
bool page_pipe_fill(struct page_pipe *pipe, const struct iovec *bytes, int count);
/* Bytes that the socket has taken, or -1 and errno: see send(2). `more` will follow at once. */
ssize_t page_pipe_send(struct page_pipe *pipe, int socket, bool more);

#endif
