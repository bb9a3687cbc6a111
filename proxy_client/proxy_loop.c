#include "proxy_loop.h"

#include "clock.h"
#include "invariant.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_A_TURN 256
/* Tasks may put off further tasks. A few rounds are run at once; what is left then waits for a look at the
 * descriptors, so that no chain of tasks shuts the rest out. */
#define TASK_ROUNDS   4

static void take_time(struct proxy_loop *loop)
{
    loop->now_ms = clock_mono_ms();
    loop->wall_ms = clock_wall_ms();
}

int proxy_loop_setup(struct proxy_loop *loop)
{
    *loop = (struct proxy_loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    if (loop->epoll_fd < 0)
        return -errno;
    loop->last_task = &loop->first_task;
    loop->next_ms = DEADLINE_NEVER;
    take_time(loop);
    return 0;
}

void proxy_loop_teardown(struct proxy_loop *loop)
{
    close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

void loop_set_source(struct proxy_loop *loop, struct loop_source *source)
{
    loop->source = source;
}

static int control(struct proxy_loop *loop, int operation, struct loop_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) == 0 ? 0 : -errno;
}

int loop_watch(struct proxy_loop *loop, struct loop_watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, watch, events);
}

int loop_change(struct proxy_loop *loop, struct loop_watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, watch, events);
}

static void ignore(struct loop_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
}

void loop_unwatch(struct proxy_loop *loop, struct loop_watch *watch)
{
    control(loop, EPOLL_CTL_DEL, watch, 0);
    watch->ready = ignore; /* its events may be among those of this turn */
}

void loop_add_deadlines(struct proxy_loop *loop, struct deadline_list *list, int64_t after_ms,
                        void (*expired)(struct deadline *))
{
    INVARIANT(loop->list_count < LOOP_MAX_LISTS);
    deadline_list_setup(list, after_ms, expired);
    loop->lists[loop->list_count++] = list;
}

void loop_arm(struct proxy_loop *loop, struct deadline_list *list, struct deadline *deadline)
{
    deadline_set(list, deadline, loop->now_ms);
    if (deadline->at < loop->next_ms)
        loop->next_ms = deadline->at;
}

void loop_put_off(struct proxy_loop *loop, struct loop_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->last_task = task;
    loop->last_task = &task->next;
}

static void run_task_round(struct proxy_loop *loop)
{
    struct loop_task *task = loop->first_task;

    loop->first_task = NULL;
    loop->last_task = &loop->first_task;
    while (task) {
        struct loop_task *next = task->next;

        task->queued = false;
        task->run(task); /* may free it */
        task = next;
    }
}

static void run_tasks(struct proxy_loop *loop)
{
    for (int round = 0; loop->first_task && round < TASK_ROUNDS; round++)
        run_task_round(loop);
}

void loop_finish_tasks(struct proxy_loop *loop)
{
    while (loop->first_task)
        run_task_round(loop);
}

static int sleep_limit(const struct proxy_loop *loop)
{
    if (loop->next_ms == DEADLINE_NEVER)
        return -1;
    if (loop->next_ms <= loop->now_ms)
        return 0;
    return loop->next_ms - loop->now_ms < 60000 ? (int)(loop->next_ms - loop->now_ms) : 60000;
}

static void wait_and_dispatch(struct proxy_loop *loop, int limit_ms)
{
    struct epoll_event events[EVENTS_A_TURN];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_A_TURN, limit_ms);

    INVARIANT(count >= 0 || errno == EINTR);
    take_time(loop);
    for (int i = 0; i < count; i++) {
        struct loop_watch *watch = events[i].data.ptr;

        watch->ready(watch, events[i].events);
    }
}

/* One that was cleared may have been the next: then nothing expires, and the next is found. */
static void expire_deadlines(struct proxy_loop *loop)
{
    int64_t next = DEADLINE_NEVER;

    if (loop->now_ms < loop->next_ms)
        return;
    for (unsigned i = 0; i < loop->list_count; i++)
        deadline_expire(loop->lists[i], loop->now_ms);
    for (unsigned i = 0; i < loop->list_count; i++) {
        int64_t at = deadline_next(loop->lists[i]);

        next = at < next ? at : next;
    }
    loop->next_ms = next;
}

void proxy_loop_run(struct proxy_loop *loop)
{
    while (!loop->stopped) {
        bool may_sleep = true;

        if (loop->source)
            loop->source->drain(loop->source);
        run_tasks(loop);
        if (loop->source)
            may_sleep = loop->source->may_sleep(loop->source);
        may_sleep = may_sleep && !loop->first_task && !loop->stopped;
        wait_and_dispatch(loop, may_sleep ? sleep_limit(loop) : 0);
        expire_deadlines(loop);
    }
}

void proxy_loop_stop(struct proxy_loop *loop)
{
    loop->stopped = true;
}
