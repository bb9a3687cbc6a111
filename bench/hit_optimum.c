#include "hit_optimum.h"

#include <stdlib.h>

#define NEVER UINT64_MAX

/* A heap of (next use, object), the latest on top. An object has an entry for each of its uses; those that
 * are not about its next one are out of date. */
struct entry {
    uint64_t next;
    uint32_t object;
};
struct future {
    struct entry *heap;
    uint64_t count;
    uint64_t *next;   /* of each object that is stored; 0: it is not */
    uint64_t *follow; /* of each request: the next one for the same object */
    uint64_t used;
};

static void *allocate(uint64_t count, size_t size)
{
    void *block = calloc(count, size);

    if (!block)
        hit_fail("no memory");
    return block;
}

static void push(struct future *future, struct entry entry)
{
    uint64_t at = future->count++;

    while (at > 0 && future->heap[(at - 1) / 2].next < entry.next) {
        future->heap[at] = future->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    future->heap[at] = entry;
}

static struct entry pop(struct future *future)
{
    struct entry top = future->heap[0], last = future->heap[--future->count];
    uint64_t at = 0;

    for (;;) {
        uint64_t child = at * 2 + 1;
        if (child >= future->count)
            break;
        if (child + 1 < future->count && future->heap[child + 1].next > future->heap[child].next)
            child++;
        if (future->heap[child].next <= last.next)
            break;
        future->heap[at] = future->heap[child];
        at = child;
    }
    future->heap[at] = last;
    return top;
}

/* Requests count from 1 here, so that 0 is none. */
static void look_ahead(struct future *future, const struct hit_trace *trace)
{
    uint64_t *seen = allocate(trace->objects, sizeof(*seen));

    for (uint64_t i = trace->requests; i > 0; i--) {
        uint32_t object = trace->order[i - 1];
        future->follow[i - 1] = seen[object] ? seen[object] : NEVER;
        seen[object] = i;
    }
    free(seen);
}

static void store(struct future *future, const uint64_t *weights, uint64_t memory, uint32_t object,
                  uint64_t next)
{
    if (!future->next[object])
        future->used += weights[object];
    future->next[object] = next;
    push(future, (struct entry){next, object});
    while (future->used > memory) {
        struct entry latest = pop(future);
        if (future->next[latest.object] != latest.next)
            continue;
        future->used -= weights[latest.object];
        future->next[latest.object] = 0;
    }
}

void hit_optimum_find(struct hit_optimum *optimum, const struct hit_trace *trace, const uint64_t *weights,
                      uint64_t memory)
{
    struct future future = {
        .heap = allocate(trace->requests, sizeof(*future.heap)),
        .next = allocate(trace->objects, sizeof(*future.next)),
        .follow = allocate(trace->requests, sizeof(*future.follow)),
    };

    *optimum = (struct hit_optimum){0};
    look_ahead(&future, trace);
    for (uint64_t i = 0; i < trace->requests; i++) {
        uint32_t object = trace->order[i];
        if (future.next[object]) {
            optimum->hits++;
            optimum->bytes += trace->sizes[object];
        }
        store(&future, weights, memory, object, future.follow[i]);
    }
    free(future.heap);
    free(future.next);
    free(future.follow);
}
