/* ghost.h: which keys have gone lately, by fingerprint: a table of fixed size that forgets the oldest.
 *
 *     a bucket      GHOST_WAYS places of fingerprint and number, in which the oldest is overwritten
 *     remembered    while fewer than `span` others have been put since
 *
 * A fingerprint has 32 bits, so that one in some hundred million questions is answered wrongly; an object is
 * then admitted to another queue than it deserves, and nothing else happens.
 *
 * Ownership: whoever embeds it; the table is charged to the account given (always the same one). Bound: 8
 * bytes a place, GHOST_MAX places. Cost: one bucket, whatever is asked. */
#ifndef LARDER_GHOST_H
#define LARDER_GHOST_H

#include "memory.h"

#define GHOST_WAYS 4u
#define GHOST_MIN  1024u      /* places */
#define GHOST_MAX  (1u << 20) /* places */

struct ghost_place {
    uint32_t print;
    uint32_t number; /* when it was put; 0: free */
};

struct ghost {
    struct ghost_place *places; /* NULL: none, and nothing is remembered */
    uint32_t capacity;          /* a power of two */
    uint32_t numbers;           /* given out so far */
};

/* Room for so many, or as many as a table may have: what was remembered in a smaller one is forgotten. Where
 * there is no memory all stays as it is. May make room: nothing that eviction changes may be held across it.
 */
void ghost_reserve(struct ghost *ghost, struct memory *memory, struct account *account, uint64_t places);
void ghost_free(struct ghost *ghost, struct memory *memory, struct account *account);
void ghost_put(struct ghost *ghost, uint64_t hash);
/* Was it put and is it remembered? It is forgotten then. */
bool ghost_take(struct ghost *ghost, uint64_t hash, uint64_t span);

#endif
