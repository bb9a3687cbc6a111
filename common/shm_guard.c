#include "shm_guard.h"

#include "invariant.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Read by the handler on the thread that faulted, so plain thread-local storage is enough. volatile keeps the
 * stores in their order; the fences keep the accesses to shared memory between them, also where these
 * functions are inlined into their callers (cmake/WholeProgram.cmake). initial-exec: the handler must not
 * allocate the block on first use. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct range {
    volatile uintptr_t base;
    volatile size_t length; /* 0: not entered */
    volatile sig_atomic_t faulted;
} guard, other;

static size_t page; /* bytes */

static void die_of(int signal_number)
{
    signal(signal_number, SIG_DFL);
    raise(signal_number); /* delivered when the handler returns */
}

static bool contains(const struct range *range, uintptr_t address)
{
    return range->length != 0 && address >= range->base && address - range->base < range->length;
}

/* mmap is not on POSIX's list of async-signal-safe functions; on Linux it is a bare system call. */
static bool replace(uintptr_t address, size_t length)
{
    return mmap((void *)address, length, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)info->si_addr;
    int saved = errno;

    (void)context;
    bool is_in_guard = contains(&guard, address), is_in_other = contains(&other, address);
    if (info->si_code <= 0 || (!is_in_guard && !is_in_other)) {
        die_of(signal_number);
        return;
    }
    /* Only the page that was touched: a pool may be large, and where memory is not overcommitted
     * (vm.overcommit_memory=2) all of it might not be had. But a page in its middle makes three mappings of
     * one, and of these there may be too many (vm.max_map_count): then all of it, which takes none. */
    const struct range *range = is_in_guard ? &guard : &other;
    if (!replace(address & ~(uintptr_t)(page - 1), page) &&
        !replace(range->base, (range->length + page - 1) & ~(page - 1)))
        die_of(signal_number);
    if (is_in_guard)
        guard.faulted = 1;
    if (is_in_other)
        other.faulted = 1;
    errno = saved;
}

int shm_guard_setup(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

    page = (size_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

static void enter(struct range *range, void *base, size_t length)
{
    INVARIANT(range->length == 0);
    range->faulted = 0;
    range->base = (uintptr_t)base;
    range->length = length;
    atomic_signal_fence(memory_order_seq_cst);
}

static bool leave(struct range *range)
{
    INVARIANT(range->length != 0);
    atomic_signal_fence(memory_order_seq_cst);
    range->length = 0;
    return !range->faulted;
}

void shm_guard_enter(void *base, size_t length)
{
    enter(&guard, base, length);
}

bool shm_guard_faulted(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    return guard.faulted != 0;
}

bool shm_guard_leave(void)
{
    return leave(&guard);
}

void shm_guard_enter_other(void *base, size_t length)
{
    enter(&other, base, length);
}

bool shm_guard_leave_other(void)
{
    return leave(&other);
}
