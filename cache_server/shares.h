/* shares.h: whose memory is it, and who gives way when there is none left.
 *
 *     reserve   is never taken from an account that uses it
 *     limit     is never exceeded; 0: there is none but that of the memory
 *     excess    what is used beyond the reserve, divided by the weight: the larger, the sooner it gives way
 *
 * A heap by excess holds the accounts that can give: those with something to evict and more in use than their
 * reserve. It is touched where bytes are charged or given back, and costs a comparison or three unless the
 * order has changed; a hit charges nothing.
 *
 * Ownership: accounts are embedded in their owners. Bound: SHARES_MAX accounts that can give. */
#ifndef LARDER_SHARES_H
#define LARDER_SHARES_H

#include <stdbool.h>
#include <stdint.h>

#define SHARES_MAX        1024u
#define SHARES_MAX_WEIGHT 1000u

/* All zero is an account without reserve and limit, of weight 1. */
struct account {
    uint64_t used; /* bytes charged */
    uint64_t reserve;
    uint64_t limit;
    uint32_t weight;
    uint32_t place;     /* in the heap, from 1; 0: not in it */
    uint64_t evictable; /* of what is used: stored and not pinned, and */
    uint64_t dying;     /*   on its way out already */
    uint64_t held;      /* what cannot be evicted: see store.h */
    uint64_t excess;
    uint64_t spare;  /* what others can have of what is evictable */
    uint64_t wanted; /* must be used before it can give: the next to go would cut into the reserve */
};

struct shares {
    struct account *heap[SHARES_MAX];
    uint32_t count;
    uint64_t spare;     /* of all */
    uint64_t reserves;  /* of all that have one, whether they are there or not: set by whoever configures */
    uint64_t held;      /* by all, */
    uint64_t held_over; /*   and beyond the reserve of who holds it: that much less can be reserved */
};

/* Something in the account has changed. */
void shares_moved(struct shares *shares, struct account *account);
void shares_configure(struct shares *shares, struct account *account, uint64_t reserve, uint64_t limit,
                      uint32_t weight);
void shares_hold(struct shares *shares, struct account *account, uint64_t bytes);
void shares_let_go(struct shares *shares, struct account *account, uint64_t bytes);
/* What held_over would become. */
uint64_t shares_over_with(const struct shares *shares, const struct account *account, uint64_t bytes);
/* The one to give way; NULL: nobody can. */
struct account *shares_first(const struct shares *shares);
/* It could not give so many bytes, which were the next to go: passed over until it uses more, or something
 * comes into or leaves its queues (shares_open()). */
void shares_pass_over(struct shares *shares, struct account *account, uint64_t bytes);
void shares_open(struct shares *shares, struct account *account);

#endif
