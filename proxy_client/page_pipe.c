#include "page_pipe.h"

#include "invariant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define IDLE_KEPT   8u
#define RETRY_AFTER 1000 /* milliseconds */

void page_pipes_setup(struct page_pipes *pipes)
{
    *pipes = (struct page_pipes){0};
}

static void destroy(struct page_pipes *pipes, struct page_pipe *pipe)
{
    close(pipe->in);
    close(pipe->out);
    free(pipe);
    pipes->count--;
}

static void destroy_idle(struct page_pipes *pipes)
{
    while (pipes->idle) {
        struct page_pipe *pipe = pipes->idle;

        pipes->idle = pipe->next;
        destroy(pipes, pipe);
    }
    pipes->idle_count = 0;
}

void page_pipes_teardown(struct page_pipes *pipes)
{
    destroy_idle(pipes);
    INVARIANT(pipes->count == 0);
}

/* Who has more in pipes than his share gets small ones, which would cost more than they save. */
static bool open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    if (fcntl(ends[1], F_SETPIPE_SZ, (int)PAGE_PIPE_BYTES) >= (int)PAGE_PIPE_BYTES)
        return true;
    close(ends[0]);
    close(ends[1]);
    return false;
}

static struct page_pipe *create(struct page_pipes *pipes, int64_t now_ms)
{
    struct page_pipe *pipe;
    int ends[2];

    if (pipes->count == PAGE_PIPES_MAX || pipes->refused || now_ms < pipes->retry_ms)
        return NULL;
    if (!open_pipe(ends)) {
        pipes->retry_ms = now_ms + RETRY_AFTER;
        return NULL;
    }
    pipe = malloc(sizeof *pipe);
    INVARIANT(pipe);
    *pipe = (struct page_pipe){.out = ends[0], .in = ends[1]};
    pipes->count++;
    return pipe;
}

struct page_pipe *page_pipes_take(struct page_pipes *pipes, int64_t now_ms)
{
    struct page_pipe *pipe = pipes->idle;

    pipes->used = true;
    if (!pipe)
        return create(pipes, now_ms);
    pipes->idle = pipe->next;
    pipes->idle_count--;
    return pipe;
}

bool page_pipes_are_scarce(const struct page_pipes *pipes)
{
    return !pipes->idle && pipes->count == PAGE_PIPES_MAX;
}

void page_pipes_give(struct page_pipes *pipes, struct page_pipe **pointer)
{
    struct page_pipe *pipe = *pointer;

    *pointer = NULL;
    if (!pipe)
        return;
    if (pipe->filled > 0 || pipes->idle_count == IDLE_KEPT || pipes->refused) {
        destroy(pipes, pipe);
        return;
    }
    pipe->next = pipes->idle;
    pipes->idle = pipe;
    pipes->idle_count++;
}

void page_pipes_refuse(struct page_pipes *pipes, struct page_pipe **pipe)
{
    pipes->refused = true;
    page_pipes_give(pipes, pipe);
    destroy_idle(pipes);
}

bool page_pipes_close_unused(struct page_pipes *pipes)
{
    if (!pipes->used)
        destroy_idle(pipes);
    pipes->used = false;
    return pipes->count > 0;
}

bool page_pipe_fill(struct page_pipe *pipe, const struct iovec *bytes, int count)
{
    ssize_t filled;

    INVARIANT(pipe->filled == 0);
    do {
        filled = vmsplice(pipe->in, bytes, (size_t)count, SPLICE_F_NONBLOCK);
    } while (filled < 0 && errno == EINTR);
    if (filled > 0)
        pipe->filled = (size_t)filled;
    return filled > 0;
}

ssize_t page_pipe_send(struct page_pipe *pipe, int socket, bool more)
{
    ssize_t sent =
        splice(pipe->out, NULL, socket, NULL, pipe->filled, SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));

    if (sent > 0)
        pipe->filled -= (size_t)sent;
    return sent;
}
