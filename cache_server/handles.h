/* handles.h: numbered places for what one peer may name. A handle carries the place and its generation, so
 * that one used after it was given back is recognised.
 *
 * Ownership: the items are somebody else's. Bound: `capacity`, fixed at creation. Handles are never 0. */
#ifndef LARDER_HANDLES_H
#define LARDER_HANDLES_H

#include <stdbool.h>
#include <stdint.h>

struct handle_place {
    void *item; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
    void *note; /* the owner's; NULL at first */
};

struct handles {
    struct handle_place *places;
    uint32_t capacity;
    uint32_t first_free;
    uint32_t used;
    uint32_t looked; /* where handles_any() goes on */
};

bool handles_create(struct handles *handles, uint32_t capacity); /* false: no memory */
void handles_destroy(struct handles *handles);

uint64_t handles_put(struct handles *handles, void *item);         /* 0: all places are taken */
void *handles_get(const struct handles *handles, uint64_t handle); /* NULL: not (any more) a handle of ours */
void *handles_take(struct handles *handles, uint64_t handle);      /* as get, and frees the place */
void **handles_note(struct handles *handles, uint64_t handle);     /* NULL as handles_get() */
/* Some handle that is in use; 0: none. Who takes them one after the other looks at each place once. */
uint64_t handles_any(struct handles *handles);

#endif
