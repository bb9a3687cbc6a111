#include "schedule.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The shortest and the longest that there are. */
#define SHORT_NS 100000u
#define LONG_NS  100000000u

static void set_slice(uint32_t slice_ns)
{
    struct sched_attr attributes = {.size = sizeof(attributes)};
    int kept = errno;

    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) == 0 &&
        (attributes.sched_policy == SCHED_NORMAL || attributes.sched_policy == SCHED_BATCH)) {
        attributes.sched_flags |= SCHED_FLAG_RESET_ON_FORK;
        attributes.sched_runtime = slice_ns;
        syscall(SYS_sched_setattr, 0, &attributes, 0);
    }
    errno = kept;
}

void schedule_short_turns(void)
{
    set_slice(SHORT_NS);
}

void schedule_long_turns(void)
{
    set_slice(LONG_NS);
}
