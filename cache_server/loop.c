#include "loop.h"

#include "invariant.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

int loop_setup(struct loop *loop)
{
    *loop = (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return loop->epoll < 0 ? -errno : 0;
}

void loop_teardown(struct loop *loop)
{
    close(loop->epoll);
}

int loop_add(struct loop *loop, struct loop_source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0 ? 0 : -errno;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
    INVARIANT(epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL) == 0);
    for (int i = loop->at; i < loop->count; i++) {
        if (loop->batch[i].data.ptr == source)
            loop->batch[i].data.ptr = NULL;
    }
}

void loop_poll(struct loop *loop, int timeout_ms)
{
    int count = epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, timeout_ms);

    INVARIANT(count >= 0 || errno == EINTR);
    loop->count = count > 0 ? count : 0;
    for (loop->at = 0; loop->at < loop->count;) {
        struct loop_source *source = loop->batch[loop->at++].data.ptr;
        if (source)
            source->ready(source->context);
    }
    loop->at = loop->count = 0;
}
