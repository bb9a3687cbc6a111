/* loop.h: one epoll instance and who is called for which descriptor.
 *
 * Ownership: sources and descriptors are the caller's; a source stays where it is while it is in the loop. A
 * source may be removed (and freed) at any time, from within any callback: an event of it that is already at
 * hand is dropped. Level-triggered, for reading. */
#ifndef LARDER_LOOP_H
#define LARDER_LOOP_H

#include <sys/epoll.h>

#define LOOP_BATCH 64

struct loop_source {
    int fd;
    void (*ready)(void *context);
    void *context;
};

struct loop {
    int epoll;
    int at, count; /* of the batch being delivered */
    struct epoll_event batch[LOOP_BATCH];
};

int loop_setup(struct loop *loop); /* 0 or -errno */
void loop_teardown(struct loop *loop);
int loop_add(struct loop *loop, struct loop_source *source); /* 0 or -errno */
void loop_remove(struct loop *loop, struct loop_source *source);
/* Waits at most timeout_ms (-1: without limit) and delivers one batch. */
void loop_poll(struct loop *loop, int timeout_ms);

#endif
