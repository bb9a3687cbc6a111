/* starve.c: linked into cache_server_starved in front of the allocator, so that a test can make allocations
 * of the cache's own code fail (starve.h). The linker sends malloc, calloc and realloc here (ld(1), --wrap);
 * what libraries allocate for themselves is not touched.
 *
 * Threads: any may allocate; which of them is refused may then depend on the weather. */
#include "starve.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

static struct starve *orders;

__attribute__((constructor)) static void take_orders(void)
{
    const char *text = getenv("STARVE_FD");

    if (!text)
        return;
    int fd = (int)strtol(text, NULL, 10);
    void *memory = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        orders = memory;
}

static bool draws_the_blank(uint64_t every)
{
    uint64_t state = atomic_load(&orders->seed) * 6364136223846793005u + 1442695040888963407u;

    atomic_store(&orders->seed, state);
    return (state >> 33) % every == 0;
}

static bool fails(void)
{
    if (!orders)
        return false;
    uint64_t every = atomic_load(&orders->every);
    uint64_t next = atomic_load(&orders->next);
    bool blank = every != 0 && draws_the_blank(every);

    atomic_fetch_add(&orders->asked, 1);
    if (next != 0) {
        atomic_store(&orders->next, next - 1);
        blank = blank || next == 1;
    }
    if (!blank)
        return false;
    atomic_fetch_add(&orders->failed, 1);
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}
