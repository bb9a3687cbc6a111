#include "shm_guard.h"

#include "invariant.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Read by the handler on the thread that faulted, so plain thread-local storage is enough; volatile keeps the
 * stores where they are written. initial-exec: the handler must not allocate the block on first use. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    volatile uintptr_t base;
    volatile size_t length;
    volatile sig_atomic_t faulted;
} guard;

static size_t page; /* bytes */

static void die_of(int signal_number)
{
    signal(signal_number, SIG_DFL);
    raise(signal_number); /* delivered when the handler returns */
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)info->si_addr;
    int saved = errno;

    (void)context;
    if (info->si_code <= 0 || guard.length == 0 || address < guard.base ||
        address - guard.base >= guard.length) {
        die_of(signal_number);
        return;
    }
    /* Only the page that was touched: a pool may be large, and where memory is not overcommitted
     * (vm.overcommit_memory=2) all of it might not be had. mmap is not on POSIX's list of async-signal-safe
     * functions; on Linux it is a bare system call. */
    if (mmap((void *)(address & ~(uintptr_t)(page - 1)), page, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        die_of(signal_number);
    guard.faulted = 1;
    errno = saved;
}

int shm_guard_setup(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

    page = (size_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

void shm_guard_enter(void *base, size_t length)
{
    INVARIANT(guard.length == 0);
    guard.faulted = 0;
    guard.base = (uintptr_t)base;
    guard.length = length;
}

bool shm_guard_faulted(void)
{
    return guard.faulted != 0;
}

bool shm_guard_leave(void)
{
    INVARIANT(guard.length != 0);
    guard.length = 0;
    return !guard.faulted;
}
