#include "holding.h"

#include "invariant.h"

#include <stdlib.h>

/* Addresses are nobody's to choose; their low bits are all alike. */
static unsigned hash_of(const struct object *object)
{
    return (unsigned)(((uint64_t)(uintptr_t)object >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static struct holding *find(const struct process *process, const struct object *object)
{
    struct holding *holding;

    HASH_FIND_BYHASHVALUE(hh, process->holdings, &object, sizeof(object), hash_of(object), holding);
    return holding;
}

static uint64_t weight_when_whole(const struct object *object)
{
    uint64_t expected = object_expected(object), size = object_size(object);

    return object_charge(object) + (expected != BODY_SIZE_UNKNOWN && expected > size ? expected - size : 0);
}

static void weigh(struct process *process, struct holding *holding)
{
    uint64_t weight = holding->pins > 0 ? weight_when_whole(holding->object) : object_charge(holding->object);

    process->held += weight - holding->weight;
    holding->weight = weight;
}

uint64_t holding_weight(const struct process *process, const struct object *object)
{
    const struct holding *holding = find(process, object);
    uint64_t weight = weight_when_whole(object);

    if (!holding)
        return weight;
    return weight > holding->weight ? weight - holding->weight : 0;
}

static struct holding *create(struct process *process, const struct object *object)
{
    struct holding *holding = calloc(1, sizeof(*holding));

    if (!holding)
        return NULL;
    holding->object = object;
    HASH_ADD_BYHASHVALUE(hh, process->holdings, object, sizeof(holding->object), hash_of(object), holding);
    if (holding->hh.tbl)
        return holding;
    free(holding);
    return NULL;
}

struct holding *holding_take(struct process *process, const struct object *object, enum holding_use use)
{
    struct holding *holding = find(process, object);

    if (!holding)
        holding = create(process, object);
    if (!holding)
        return NULL;
    holding->pins += use == HOLDING_PIN;
    holding->fills += use == HOLDING_FILL;
    weigh(process, holding);
    return holding;
}

void holding_recount(struct process *process, struct holding *holding)
{
    weigh(process, holding);
}

void holding_drop(struct process *process, struct holding *holding, enum holding_use use)
{
    uint32_t *uses = use == HOLDING_PIN ? &holding->pins : &holding->fills;

    INVARIANT(*uses > 0);
    --*uses;
    if (holding->pins + holding->fills > 0) {
        weigh(process, holding);
        return;
    }
    process->held -= holding->weight;
    HASH_DELETE(hh, process->holdings, holding);
    free(holding);
}
