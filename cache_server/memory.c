#include "memory.h"

#include "invariant.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc keeps one size_t in front of each block; blocks that it maps on their own are rounded up to pages. */
#define BLOCK_HEADER   sizeof(size_t)
#define BLOCK_ROUNDING 64

uint64_t memory_charge(void *block)
{
    return block ? malloc_usable_size(block) + BLOCK_HEADER : 0;
}

static void charge(struct memory *memory, struct account *account, void *block)
{
    uint64_t size = memory_charge(block);

    memory->used += size;
    account->used += size;
    shares_moved(&memory->shares, account);
}

static void credit(struct memory *memory, struct account *account, void *block)
{
    uint64_t size = memory_charge(block);

    INVARIANT(memory->used >= size && account->used >= size);
    memory->used -= size;
    account->used -= size;
    shares_moved(&memory->shares, account);
}

/* Half of a cache miss among millions of objects is the translation of its address. Before the heap has been
 * touched, a huge page is made in one go; blocks with a mapping of their own are rare, and left alone. */
static void ask_for_huge_pages(struct memory *memory, const void *block)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)block + page - 1) & ~(page - 1), end = (uintptr_t)sbrk(0) & ~(page - 1);

    if (from >= end)
        return;
    (void)madvise((void *)from, end - from, MADV_HUGEPAGE); /* refused: it has small ones */
    memory->asked = end;
}

void *memory_alloc_index(struct memory *memory, struct account *account, size_t size)
{
    void *block = malloc(size);

    if (!block)
        return NULL;
    charge(memory, account, block);
    if (memory->huge_pages && (uintptr_t)block >= memory->asked)
        ask_for_huge_pages(memory, block);
    return block;
}

bool memory_room(struct memory *memory, struct account *account, uint64_t bytes, uint64_t own)
{
    bool own_room = account->limit == 0 || account->used + own <= account->limit;

    return (own_room && memory->used + bytes <= memory->limit) ||
           memory->make_room(memory->context, account, bytes, own);
}

void *memory_alloc(struct memory *memory, struct account *account, size_t size)
{
    uint64_t need = (uint64_t)size + BLOCK_HEADER + BLOCK_ROUNDING;

    return memory_room(memory, account, need, need) ? memory_alloc_index(memory, account, size) : NULL;
}

void memory_free(struct memory *memory, struct account *account, void *block)
{
    if (!block)
        return;
    credit(memory, account, block);
    free(block);
}

void *memory_shrink(struct memory *memory, struct account *account, void *block, size_t size)
{
    credit(memory, account, block);
    void *smaller = realloc(block, size);
    if (!smaller)
        smaller = block;
    charge(memory, account, smaller);
    return smaller;
}
