#include "sandbox.h"

#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int refuse(int error, const char *why, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size,
             "cannot set up the sandbox: %s; where the host does not allow one, start with --no-sandbox",
             why);
    return error;
}

static int explain(int error, const char *what, char *problem, size_t problem_size)
{
    char why[160];

    snprintf(why, sizeof(why), "%s: %s", what, strerror(-error));
    return refuse(error, why, problem, problem_size);
}

/* ---- before the first thread ---- */

static int forbid_dumps(char *problem, size_t problem_size)
{
    const struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return explain(-errno, "RLIMIT_CORE", problem, problem_size);
#ifndef LARDER_SANITIZED
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return explain(-errno, "PR_SET_DUMPABLE", problem, problem_size);
#endif
    return 0;
}

int sandbox_prepare(char *problem, size_t problem_size)
{
    char why[160];

    int error = privileges_drop_capabilities(why, sizeof(why));
    if (!error)
        error = privileges_forbid_new(why, sizeof(why));
    if (error)
        return refuse(error, why, problem, problem_size);
    return forbid_dumps(problem, problem_size);
}

/* ---- the filter ---- */

#ifndef LARDER_SANITIZED

/* Allowed whatever their arguments. The kernel knows these without running the filter (since Linux 5.11), and
 * all that a busy cache calls is among them. */
static const int always[] = {
    /* the loop */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), /* what epoll_wait(2) is on newer architectures */
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(signalfd4),
    SCMP_SYS(read),
    SCMP_SYS(close),
    /* queues and pools; mq_open and openat are below */
    SCMP_SYS(mq_timedsend),
    SCMP_SYS(mq_timedreceive),
    SCMP_SYS(mq_getsetattr),
    SCMP_SYS(mq_unlink),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(pread64), /* heartbeats, and the headers of pools */
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek), /* by fdopen(3), opendir(3) and their like */
    SCMP_SYS(pidfd_open),
    SCMP_SYS(geteuid),
    /* memory; mmap and mprotect are below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* the log: standard error, and its time where the vDSO has none */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll), /* what poll(2) is on newer architectures */
    SCMP_SYS(write),
    SCMP_SYS(writev), /* glibc's last words */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getpid),
    SCMP_SYS(getrusage),
    /* threads: their locks, and the first steps of one that was created but has not run yet */
    SCMP_SYS(futex),
    SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrandom),
    /* signals: the SIGBUS guard, abort(3) */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    /* the end */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* Flags of openat: pools are opened to read and write, or just to be there (O_PATH), directories and
 * /proc/self to read. Nothing is created, cut off or opened to be written only. */
#define OPEN_FLAGS    (O_RDWR | O_NONBLOCK | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW | O_PATH)
#define MQ_OPEN_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC)

/* Allowed when `argument` has no bit outside `allowed_bits`, or is `value`. Arguments that are int are
 * compared by their 32 bits: the upper half of a register that holds one is undefined. */
#define NO_BITS_BUT(number, allowed_bits)                                                                    \
    {                                                                                                        \
        .arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = UINT32_MAX & ~(uint64_t)(allowed_bits),        \
        .datum_b = 0                                                                                         \
    }
#define INT_IS(number, value)                                                                                \
    {                                                                                                        \
        .arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = UINT32_MAX, .datum_b = (value)                 \
    }
#define POINTER_IS_NULL(number)                                                                              \
    {                                                                                                        \
        .arg = (number), .op = SCMP_CMP_EQ, .datum_a = 0                                                     \
    }

static const struct rule {
    int call;
    unsigned count;
    struct scmp_arg_cmp compare[2];
} rules[] = {
    {SCMP_SYS(openat), 1, {NO_BITS_BUT(2, OPEN_FLAGS)}},
    {SCMP_SYS(mq_open), 1, {NO_BITS_BUT(1, MQ_OPEN_FLAGS)}},
    {SCMP_SYS(fcntl), 1, {INT_IS(1, F_GETLK)}},
    {SCMP_SYS(fcntl), 1, {INT_IS(1, F_SETLK)}},
    {SCMP_SYS(fcntl), 1, {INT_IS(1, F_GETFL)}},
    /* Memory is never executable. */
    {SCMP_SYS(mmap), 1, {NO_BITS_BUT(2, PROT_READ | PROT_WRITE)}},
    {SCMP_SYS(mprotect), 1, {NO_BITS_BUT(2, PROT_READ | PROT_WRITE)}},
    /* getrlimit(3) of ourselves; nothing is set. */
    {SCMP_SYS(prlimit64), 2, {INT_IS(0, 0), POINTER_IS_NULL(2)}},
};

static int allow_always(scmp_filter_ctx filter)
{
    int error = 0;

    for (size_t i = 0; !error && i < sizeof(always) / sizeof(*always); i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, always[i], 0);
    return error;
}

static int allow_by_argument(scmp_filter_ctx filter)
{
    /* raise(3) and abort(3) signal the process itself, and nobody else. */
    const struct scmp_arg_cmp ourselves = INT_IS(0, (uint32_t)getpid());
    int error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &ourselves);

    for (size_t i = 0; !error && i < sizeof(rules) / sizeof(*rules); i++)
        error =
            seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count, rules[i].compare);
    return error;
}

/* A queue may be given to this group, and be opened to it for sending (claim.c); nothing else. */
static int allow_sharing(scmp_filter_ctx filter, gid_t group)
{
    const struct scmp_arg_cmp owner[] = {INT_IS(1, UINT32_MAX), INT_IS(2, group)}, mode = INT_IS(1, 0620);
    int error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fchown), 2, owner);

    return error ? error : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fchmod), 1, &mode);
}

/* Threads that are there already get it too. */
static int load(scmp_filter_ctx filter, const gid_t *group)
{
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!error)
        error = allow_always(filter);
    if (!error)
        error = allow_by_argument(filter);
    if (!error && group)
        error = allow_sharing(filter, *group);
    return error ? error : seccomp_load(filter);
}

int sandbox_enter(const gid_t *group, char *problem, size_t problem_size)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int error = filter ? load(filter, group) : -EINVAL; /* the action needs Linux 4.14 */

    seccomp_release(filter);
    return error ? explain(error, "seccomp(2)", problem, problem_size) : 0;
}

#else

int sandbox_enter(const gid_t *group, char *problem, size_t problem_size)
{
    (void)group;
    (void)problem;
    (void)problem_size;
    return 0;
}

#endif
