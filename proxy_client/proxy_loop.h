/* proxy_loop.h: the one epoll loop of a proxy: descriptors, time-outs, and work put off to the end of a turn.
 *
 * A turn:
 *     source->drain()        events of the cache client are handled
 *     tasks                  what was put off: sockets are written, fetches resumed, the dead freed
 *     source->may_sleep()    commands to the cache are handed over; is there nothing left to do?
 *     epoll_wait             until a descriptor is ready or the first time-out expires
 *     watches, time-outs     the handlers
 *
 * Tasks are what keeps handlers from calling each other in circles: a handler notes what is to be done and
 * returns; nothing is freed while a handler of the same turn may still point to it.
 *
 * Ownership: watches, tasks and deadline lists are embedded in what they serve. A watch is removed before its
 * descriptor is closed, and its memory is freed in a task, never directly from a handler.
 * Threads: one. Errors: 0 or -errno. */
#ifndef LARDER_PROXY_LOOP_H
#define LARDER_PROXY_LOOP_H

#include "deadline.h"

#include <stdbool.h>
#include <stdint.h>

struct loop_watch {
    void (*ready)(struct loop_watch *watch, uint32_t events); /* EPOLL... bits */
    int fd;
};

struct loop_task {
    void (*run)(struct loop_task *task);
    struct loop_task *next;
    bool queued;
};

struct loop_source {
    void (*drain)(struct loop_source *source);
    bool (*may_sleep)(struct loop_source *source);
};

#define LOOP_MAX_LISTS 40

struct proxy_loop {
    int epoll_fd;
    bool stopped;
    int64_t now_ms;  /* monotonic, taken once a turn */
    int64_t wall_ms; /* since the Unix epoch, taken once a turn */
    int64_t next_ms; /* no time-out that is set expires earlier; most turns need not look at the lists */
    struct loop_source *source;
    struct loop_task *first_task, **last_task;
    struct deadline_list *lists[LOOP_MAX_LISTS];
    unsigned list_count;
};

int proxy_loop_setup(struct proxy_loop *loop);
void proxy_loop_teardown(struct proxy_loop *loop);
void loop_set_source(struct proxy_loop *loop, struct loop_source *source);

int loop_watch(struct proxy_loop *loop, struct loop_watch *watch, uint32_t events);
int loop_change(struct proxy_loop *loop, struct loop_watch *watch, uint32_t events);
void loop_unwatch(struct proxy_loop *loop, struct loop_watch *watch);

/* The list is looked after until the loop ends. */
void loop_add_deadlines(struct proxy_loop *loop, struct deadline_list *list, int64_t after_ms,
                        void (*expired)(struct deadline *));
void loop_arm(struct proxy_loop *loop, struct deadline_list *list, struct deadline *deadline);

/* Runs task->run() once before the loop sleeps; nothing happens if it is queued already. */
void loop_put_off(struct proxy_loop *loop, struct loop_task *task);

void proxy_loop_run(struct proxy_loop *loop); /* until proxy_loop_stop() */
void proxy_loop_stop(struct proxy_loop *loop);
/* Runs tasks until there are none: the last act before modules are torn down. */
void loop_finish_tasks(struct proxy_loop *loop);

#endif
