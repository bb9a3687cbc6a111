#include "shares.h"

#include "invariant.h"

#include <stddef.h>

/* ---- the heap ---- */

static void place(struct shares *shares, uint32_t index, struct account *account)
{
    shares->heap[index] = account;
    account->place = index + 1;
}

static void rise(struct shares *shares, struct account *account)
{
    uint32_t index = account->place - 1;

    while (index > 0 && shares->heap[(index - 1) / 2]->excess < account->excess) {
        place(shares, index, shares->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(shares, index, account);
}

static void sink(struct shares *shares, struct account *account)
{
    uint32_t index = account->place - 1;

    for (;;) {
        uint32_t child = index * 2 + 1;
        if (child >= shares->count)
            break;
        if (child + 1 < shares->count && shares->heap[child + 1]->excess > shares->heap[child]->excess)
            child++;
        if (shares->heap[child]->excess <= account->excess)
            break;
        place(shares, index, shares->heap[child]);
        index = child;
    }
    place(shares, index, account);
}

static void enter(struct shares *shares, struct account *account)
{
    INVARIANT(shares->count < SHARES_MAX);
    place(shares, shares->count++, account);
}

static void take_out(struct shares *shares, struct account *account)
{
    struct account *last = shares->heap[--shares->count];
    uint32_t index = account->place - 1;

    account->place = 0;
    if (last == account)
        return;
    place(shares, index, last);
    rise(shares, last);
    sink(shares, last);
}

/* ---- accounts ---- */

static uint64_t above(uint64_t bytes, uint64_t floor)
{
    return bytes > floor ? bytes - floor : 0;
}

static uint64_t spare_of(const struct account *account)
{
    uint64_t excess = above(account->used, account->reserve + account->dying);

    return excess < account->evictable ? excess : account->evictable;
}

void shares_moved(struct shares *shares, struct account *account)
{
    uint64_t excess = above(account->used, account->reserve), spare = spare_of(account);

    shares->spare += spare - account->spare;
    account->spare = spare;
    account->excess = account->weight > 1 ? excess / account->weight : excess;
    if (account->evictable == 0 || excess == 0 || account->used < account->wanted) {
        if (account->place)
            take_out(shares, account);
        return;
    }
    if (!account->place)
        enter(shares, account);
    rise(shares, account);
    sink(shares, account);
}

void shares_configure(struct shares *shares, struct account *account, uint64_t reserve, uint64_t limit,
                      uint32_t weight)
{
    shares->held_over -= above(account->held, account->reserve);
    account->reserve = reserve;
    account->limit = limit;
    account->weight = weight;
    shares->held_over += above(account->held, account->reserve);
    shares_open(shares, account);
}

uint64_t shares_over_with(const struct shares *shares, const struct account *account, uint64_t bytes)
{
    return shares->held_over - above(account->held, account->reserve) +
           above(account->held + bytes, account->reserve);
}

void shares_hold(struct shares *shares, struct account *account, uint64_t bytes)
{
    shares->held_over = shares_over_with(shares, account, bytes);
    shares->held += bytes;
    account->held += bytes;
}

void shares_let_go(struct shares *shares, struct account *account, uint64_t bytes)
{
    INVARIANT(account->held >= bytes);
    shares->held_over -=
        above(account->held, account->reserve) - above(account->held - bytes, account->reserve);
    shares->held -= bytes;
    account->held -= bytes;
}

struct account *shares_first(const struct shares *shares)
{
    return shares->count > 0 ? shares->heap[0] : NULL;
}

void shares_pass_over(struct shares *shares, struct account *account, uint64_t bytes)
{
    account->wanted = account->reserve + bytes;
    shares_moved(shares, account);
}

void shares_open(struct shares *shares, struct account *account)
{
    account->wanted = 0;
    shares_moved(shares, account);
}
