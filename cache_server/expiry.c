#include "expiry.h"

#include "invariant.h"

#include <string.h>

static void place(struct expiry *expiry, uint32_t index, struct expiry_node *node)
{
    expiry->nodes[index] = node;
    node->index = index;
}

static void rise(struct expiry *expiry, struct expiry_node *node)
{
    uint32_t index = node->index;

    while (index > 0 && expiry->nodes[(index - 1) / 2]->at > node->at) {
        place(expiry, index, expiry->nodes[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(expiry, index, node);
}

static void sink(struct expiry *expiry, struct expiry_node *node)
{
    uint32_t index = node->index;

    for (;;) {
        uint32_t child = index * 2 + 1;
        if (child >= expiry->count)
            break;
        if (child + 1 < expiry->count && expiry->nodes[child + 1]->at < expiry->nodes[child]->at)
            child++;
        if (expiry->nodes[child]->at >= node->at)
            break;
        place(expiry, index, expiry->nodes[child]);
        index = child;
    }
    place(expiry, index, node);
}

static uint32_t next_capacity(const struct expiry *expiry)
{
    return expiry->capacity ? expiry->capacity * 2 : 256;
}

uint64_t expiry_growth(const struct expiry *expiry)
{
    return expiry->count < expiry->capacity ? 0 : (next_capacity(expiry) + 8) * sizeof(struct expiry_node *);
}

static bool grow(struct expiry *expiry, struct memory *memory, struct account *account)
{
    uint32_t capacity = next_capacity(expiry);
    struct expiry_node **nodes = memory_alloc_index(memory, account, capacity * sizeof(*nodes));

    if (!nodes)
        return false;
    if (expiry->count > 0)
        memcpy(nodes, expiry->nodes, expiry->count * sizeof(*nodes));
    memory_free(memory, account, expiry->nodes);
    expiry->nodes = nodes;
    expiry->capacity = capacity;
    return true;
}

bool expiry_add(struct expiry *expiry, struct memory *memory, struct account *account,
                struct expiry_node *node)
{
    if (expiry->count == expiry->capacity && !grow(expiry, memory, account))
        return false;
    place(expiry, expiry->count++, node);
    rise(expiry, node);
    return true;
}

void expiry_remove(struct expiry *expiry, struct expiry_node *node)
{
    uint32_t index = node->index;

    INVARIANT(index < expiry->count && expiry->nodes[index] == node);
    struct expiry_node *last = expiry->nodes[--expiry->count];
    node->index = EXPIRY_NOT_IN;
    if (last == node)
        return;
    place(expiry, index, last);
    expiry_moved(expiry, last);
}

void expiry_moved(struct expiry *expiry, struct expiry_node *node)
{
    rise(expiry, node);
    sink(expiry, node);
}

struct expiry_node *expiry_first(const struct expiry *expiry)
{
    return expiry->count > 0 ? expiry->nodes[0] : NULL;
}

void expiry_free(struct expiry *expiry, struct memory *memory, struct account *account)
{
    memory_free(memory, account, expiry->nodes);
    memset(expiry, 0, sizeof(*expiry));
}
