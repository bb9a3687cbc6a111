/* memory.h: the accountant. Every byte that the store keeps is allocated here and charged with what the
 * allocator really gave: usable size plus its own header.
 *
 * Ownership: memory_alloc() hands out, memory_free() takes back with the same account.
 * Bound:     an allocation that would exceed the limit first asks `make_room` to free something, and fails
 * when that cannot. memory_alloc_index() is for tables that must not be changed underneath by an eviction: it
 * may overshoot, and the caller calls memory_settle() as soon as its table is consistent. */
#ifndef LARDER_MEMORY_H
#define LARDER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct account {
    uint64_t used; /* bytes charged */
};

struct memory {
    uint64_t used;
    uint64_t limit;
    /* Frees until `used` + bytes <= `limit`; false if it cannot. */
    bool (*make_room)(void *context, uint64_t bytes);
    void *context;
};

/* NULL when there is no room or the allocator has none. */
void *memory_alloc(struct memory *memory, struct account *account, size_t size);
void *memory_alloc_index(struct memory *memory, struct account *account, size_t size);
void memory_free(struct memory *memory, struct account *account, void *block);
/* Shrinks in place; the block may move. Never fails (the old block stays if the allocator refuses). */
void *memory_shrink(struct memory *memory, struct account *account, void *block, size_t size);
void memory_settle(struct memory *memory);
/* What a block is charged with; 0 for NULL. */
uint64_t memory_charge(void *block);

#endif
