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

void *memory_alloc_index(struct memory *memory, struct account *account, size_t size)
{
    void *block = malloc(size);

    if (block)
        charge(memory, account, block);
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
