#include "eviction.h"

#include "invariant.h"

#include <string.h>
#include <utlist.h>

/* s3fifo: newcomers may have this part of the bytes. */
#define SMALL_PART 10u

static const char *const names[EVICTION_POLICY_COUNT] = {
#define EVICTION_NAME(name) #name,
    EVICTION_POLICIES(EVICTION_NAME)
#undef EVICTION_NAME
};

const char *eviction_policy_name(enum eviction_policy policy)
{
    return names[policy];
}

bool eviction_policy_find(const char *name, enum eviction_policy *out)
{
    for (unsigned i = 0; i < EVICTION_POLICY_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum eviction_policy)i;
            return true;
        }
    }
    return false;
}

/* ---- queues ---- */

static void join(struct eviction *eviction, struct eviction_node *node, enum eviction_queue queue,
                 uint64_t bytes)
{
    DL_APPEND(eviction->queues[queue].first, node);
    eviction->queues[queue].bytes += bytes;
    eviction->queues[queue].count++;
    node->queue = (uint8_t)queue;
}

void eviction_leave(struct eviction *eviction, struct eviction_node *node, uint64_t bytes)
{
    INVARIANT(node->queue != EVICTION_NEW);
    if (eviction->hand == node)
        eviction->hand = node->next;
    DL_DELETE(eviction->queues[node->queue].first, node);
    eviction->queues[node->queue].bytes -= bytes;
    eviction->queues[node->queue].count--;
}

static void move(struct eviction *eviction, struct eviction_node *node, enum eviction_queue queue,
                 uint64_t bytes)
{
    eviction_leave(eviction, node, bytes);
    join(eviction, node, queue, bytes);
}

static uint64_t count_all(const struct eviction *eviction)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < EVICTION_QUEUES; i++)
        count += eviction->queues[i].count;
    return count;
}

/* ---- set-up ---- */

void eviction_configure(struct eviction *eviction, enum eviction_policy policy, bool admission)
{
    eviction->policy = policy;
    eviction->admission = admission;
    eviction->hand = NULL;
}

static bool is_large(const struct eviction *eviction, uint64_t bytes)
{
    return eviction->admission && bytes > eviction->large;
}

void eviction_prepare(struct eviction *eviction, struct memory *memory, struct account *account,
                      uint64_t bytes)
{
    if (is_large(eviction, bytes))
        ghost_reserve(&eviction->door, memory, account, EVICTION_DOOR);
    if (eviction->policy == EVICTION_s3fifo)
        ghost_reserve(&eviction->gone, memory, account, count_all(eviction));
}

void eviction_forget(struct eviction *eviction, struct memory *memory, struct account *account)
{
    INVARIANT(count_all(eviction) == 0);
    ghost_free(&eviction->door, memory, account);
    ghost_free(&eviction->gone, memory, account);
}

/* ---- objects come and are used ---- */

static enum eviction_queue queue_for(struct eviction *eviction, uint64_t bytes, uint64_t hash)
{
    if (is_large(eviction, bytes) && !ghost_take(&eviction->door, hash, EVICTION_DOOR))
        return EVICTION_PROBATION;
    if (eviction->policy != EVICTION_s3fifo ||
        ghost_take(&eviction->gone, hash, eviction->queues[EVICTION_MAIN].count + 1))
        return EVICTION_MAIN;
    return EVICTION_SMALL;
}

void eviction_add(struct eviction *eviction, struct eviction_node *node, uint64_t bytes, uint64_t hash)
{
    node->uses = 0;
    join(eviction, node, queue_for(eviction, bytes, hash), bytes);
}

/* Whoever was on probation, or is left over from a policy with a small queue, has shown to be wanted. */
static enum eviction_queue next_queue(const struct eviction *eviction, const struct eviction_node *node)
{
    if (eviction->policy != EVICTION_s3fifo)
        return EVICTION_MAIN;
    return node->queue == EVICTION_PROBATION ? EVICTION_SMALL : (enum eviction_queue)node->queue;
}

void eviction_used(struct eviction *eviction, struct eviction_node *node, bool queued,
                   eviction_weight *weight)
{
    enum eviction_queue next = next_queue(eviction, node);

    if (!queued) {
        if (node->queue != EVICTION_NEW)
            node->queue = (uint8_t)next;
    } else if (node->queue != next) {
        move(eviction, node, next, weight(node));
    } else if (eviction->policy == EVICTION_lru) {
        move(eviction, node, next, 0); /* to the end of its queue, whose bytes stay what they are */
    }
    if (node->uses < EVICTION_MAX_USES)
        node->uses++;
}

void eviction_return(struct eviction *eviction, struct eviction_node *node, uint64_t bytes, uint64_t hash,
                     eviction_weight *weight)
{
    bool found = node->uses > 0;

    if (node->queue != EVICTION_NEW) {
        join(eviction, node, (enum eviction_queue)node->queue, bytes);
        return;
    }
    eviction_add(eviction, node, bytes, hash);
    if (found)
        eviction_used(eviction, node, true, weight);
}

/* ---- and go ---- */

static struct eviction_node *oldest(const struct eviction *eviction, enum eviction_queue queue)
{
    return eviction->queues[queue].first;
}

/* Who was used is passed over once. */
static struct eviction_node *next_by_sieve(struct eviction *eviction)
{
    struct eviction_node *node = eviction->hand ? eviction->hand : oldest(eviction, EVICTION_MAIN);

    for (unsigned steps = 0; node->uses > 0 && steps < EVICTION_STEPS; steps++) {
        node->uses = 0;
        node = node->next ? node->next : oldest(eviction, EVICTION_MAIN);
    }
    node->uses = 0;
    eviction->hand = node;
    return node;
}

static bool small_is_full(const struct eviction *eviction)
{
    uint64_t small = eviction->queues[EVICTION_SMALL].bytes;

    return small > (small + eviction->queues[EVICTION_MAIN].bytes) / SMALL_PART ||
           eviction->queues[EVICTION_MAIN].count == 0;
}

/* Each step moves one on, and takes a use from it, so that who is met again is worth less. One use leads from
 * the small queue to the main one, where the paper asks for two: its authors' simulator does so too, and
 * docs/eviction.md has what it gains. */
static struct eviction_node *next_by_s3fifo(struct eviction *eviction, eviction_weight *weight)
{
    for (unsigned steps = 0;; steps++) {
        bool small = eviction->queues[EVICTION_SMALL].count > 0 && small_is_full(eviction);
        struct eviction_node *node = oldest(eviction, small ? EVICTION_SMALL : EVICTION_MAIN);

        if (node->uses == 0 || steps == EVICTION_STEPS) {
            node->uses = 0;
            return node;
        }
        node->uses = small ? 0 : node->uses - 1;
        move(eviction, node, EVICTION_MAIN, weight(node));
    }
}

struct eviction_node *eviction_next(struct eviction *eviction, eviction_weight *weight)
{
    if (oldest(eviction, EVICTION_PROBATION))
        return oldest(eviction, EVICTION_PROBATION);
    if (eviction->policy == EVICTION_s3fifo && count_all(eviction) > 0)
        return next_by_s3fifo(eviction, weight);
    if (oldest(eviction, EVICTION_SMALL))
        return oldest(eviction, EVICTION_SMALL);
    if (eviction->policy == EVICTION_sieve && oldest(eviction, EVICTION_MAIN))
        return next_by_sieve(eviction);
    return oldest(eviction, EVICTION_MAIN);
}

void eviction_evict(struct eviction *eviction, struct eviction_node *node, uint64_t bytes, uint64_t hash)
{
    if (node->queue == EVICTION_PROBATION)
        ghost_put(&eviction->door, hash);
    else if (node->queue == EVICTION_SMALL)
        ghost_put(&eviction->gone, hash);
    eviction_leave(eviction, node, bytes);
}

struct eviction_node *eviction_any(const struct eviction *eviction)
{
    for (unsigned i = 0; i < EVICTION_QUEUES; i++) {
        if (eviction->queues[i].first)
            return eviction->queues[i].first;
    }
    return NULL;
}
