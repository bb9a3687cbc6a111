#include "memory.h"

#include "invariant.h"

#include <malloc.h>
#include <stdlib.h>

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
}

static void credit(struct memory *memory, struct account *account, void *block)
{
    uint64_t size = memory_charge(block);

    INVARIANT(memory->used >= size && account->used >= size);
    memory->used -= size;
    account->used -= size;
}

void *memory_alloc_index(struct memory *memory, struct account *account, size_t size)
{
    void *block = malloc(size);

    if (block)
        charge(memory, account, block);
    return block;
}

void *memory_alloc(struct memory *memory, struct account *account, size_t size)
{
    uint64_t need = (uint64_t)size + BLOCK_HEADER + BLOCK_ROUNDING;

    if (memory->used + need > memory->limit && !memory->make_room(memory->context, need))
        return NULL;
    return memory_alloc_index(memory, account, size);
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

void memory_settle(struct memory *memory)
{
    if (memory->used > memory->limit)
        memory->make_room(memory->context, 0);
}
