/* memory.h: the accountant. Every byte that the store keeps is allocated here and charged with what the
 * allocator really gave: usable size plus its own header.
 *
 * Ownership: memory_alloc() hands out, memory_free() takes back with the same account.
 * Bound:     an allocation that would exceed the limit, or that of its account, first asks `make_room` to
 * free something, and fails when that cannot. memory_alloc_index() is for tables that must not be changed
 * underneath by an eviction: it asks nobody, so its callers ask for room before they begin (memory_room()).
 */
#ifndef LARDER_MEMORY_H
#define LARDER_MEMORY_H

#include "shares.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory {
    uint64_t used;
    uint64_t limit;
    struct shares shares;
    /* Frees until `used` + bytes <= `limit`, and the same for the account with `own`; false if it cannot. */
    bool (*make_room)(void *context, struct account *account, uint64_t bytes, uint64_t own);
    void *context;
    bool huge_pages; /* asks the kernel for them, for what the heap grows by; it may not have any */
    uintptr_t asked; /* up to there */
};

/* NULL when there is no room or the allocator has none. */
void *memory_alloc(struct memory *memory, struct account *account, size_t size);
void *memory_alloc_index(struct memory *memory, struct account *account, size_t size);
/* Is there room for so many bytes more, of which `own` will be the account's? Makes it if need be. */
bool memory_room(struct memory *memory, struct account *account, uint64_t bytes, uint64_t own);
void memory_free(struct memory *memory, struct account *account, void *block);
/* Shrinks in place; the block may move. Never fails (the old block stays if the allocator refuses). */
void *memory_shrink(struct memory *memory, struct account *account, void *block, size_t size);
/* What a block is charged with; 0 for NULL. */
uint64_t memory_charge(void *block);

#endif
