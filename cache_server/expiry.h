/* expiry.h: a binary heap of things that end at a known time; the earliest is on top.
 *
 * Ownership: nodes are embedded in their owners, which also say how the heap's array is charged.
 * Cost:      O(log n) to add, move or remove; the top is free to look at. */
#ifndef LARDER_EXPIRY_H
#define LARDER_EXPIRY_H

#include "memory.h"

#define EXPIRY_NOT_IN UINT32_MAX

struct expiry_node {
    int64_t at;     /* milliseconds since the epoch */
    uint32_t index; /* in the heap, or EXPIRY_NOT_IN */
    uint32_t owner; /* the owner's, where padding would be */
};

struct expiry {
    struct expiry_node **nodes;
    uint32_t count;
    uint32_t capacity;
};

/* False: out of memory. The array is charged through memory_alloc_index(). */
bool expiry_add(struct expiry *expiry, struct memory *memory, struct account *account,
                struct expiry_node *node);
/* What the array will take more when the next is added; 0: there is a place. */
uint64_t expiry_growth(const struct expiry *expiry);
void expiry_remove(struct expiry *expiry, struct expiry_node *node);
/* The node's time has changed. */
void expiry_moved(struct expiry *expiry, struct expiry_node *node);
/* NULL when empty. */
struct expiry_node *expiry_first(const struct expiry *expiry);
void expiry_free(struct expiry *expiry, struct memory *memory, struct account *account);

#endif
