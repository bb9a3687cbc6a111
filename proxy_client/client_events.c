/* What the caller is told: completions of operations, and the beginnings and ends of registrations.
 *
 * What the cache writes is looked at once, copied, and checked before it is used: a completion of nothing
 * that is under way, or a segment that was not handed back, ends the registration. */
#include "client_internal.h"

static const enum larder_status status_map[WIRE_STATUS_END] = {
    [WIRE_STATUS_OK] = LARDER_OK,
    [WIRE_STATUS_HIT] = LARDER_HIT,
    [WIRE_STATUS_STALE] = LARDER_STALE,
    [WIRE_STATUS_MISS] = LARDER_MISS,
    [WIRE_STATUS_BUSY] = LARDER_BUSY,
    [WIRE_STATUS_TOO_LARGE] = LARDER_TOO_LARGE,
    [WIRE_STATUS_NO_MEMORY] = LARDER_NO_MEMORY,
    [WIRE_STATUS_FENCED] = LARDER_FENCED,
    [WIRE_STATUS_BAD] = LARDER_BAD,
};

static const enum larder_event_kind kind_map[WIRE_OP_END] = {
    [WIRE_OP_LOOKUP] = LARDER_EVENT_LOOKUP,         [WIRE_OP_READ] = LARDER_EVENT_READ,
    [WIRE_OP_FILL_BEGIN] = LARDER_EVENT_FILL_BEGIN, [WIRE_OP_FILL_DATA] = LARDER_EVENT_FILL_DATA,
    [WIRE_OP_FILL_END] = LARDER_EVENT_FILL_END,     [WIRE_OP_UPDATE] = LARDER_EVENT_UPDATE,
    [WIRE_OP_REMOVE] = LARDER_EVENT_REMOVE,         [WIRE_OP_FOLLOW] = LARDER_EVENT_FOLLOW,
    [WIRE_OP_PURGE] = LARDER_EVENT_PURGE,
};

static uint64_t public_handle(const struct larder_client *client, uint32_t shard, uint64_t handle)
{
    return handle ? handle | client->attachment | (uint64_t)shard << HANDLE_PLACE_BITS : 0;
}

static void free_operation(struct larder_client *client, struct operation *operation)
{
    operation->op = 0;
    operation->generation++;
    operation->segment = NULL;
    operation->waits = false;
    operation->next_free = client->first_free_operation;
    client->first_free_operation = (uint32_t)(operation - client->operations);
    client->under_way--;
}

/* The segment is the caller's again. */
static void give_back(struct segment *segment, struct larder_event *event)
{
    segment->state = SEGMENT_HELD;
    segment->connection->held++;
    event->segment = &segment->public;
}

bool client_next_lost(struct larder_client *client, struct larder_event *event)
{
    while (client->lost_cursor < client->operation_count) {
        struct operation *operation = &client->operations[client->lost_cursor++];
        if (operation->op == 0)
            continue;
        *event = (struct larder_event){
            .kind = kind_map[operation->op],
            .status = LARDER_LOST,
            .user = operation->user,
            .segment = operation->segment ? &operation->segment->public : NULL,
        };
        free_operation(client, operation);
        return true;
    }
    client->losing = false;
    return false;
}

static bool next_announcement(struct larder_client *client, struct larder_event *event)
{
    *event = (struct larder_event){.kind = LARDER_EVENT_DETACHED};
    if (client->tell_detached) {
        client->tell_detached = false;
        return true;
    }
    event->kind = LARDER_EVENT_ATTACHED;
    if (client->tell_attached) {
        client->tell_attached = false;
        return true;
    }
    event->kind = client->drained ? LARDER_EVENT_DRAIN : LARDER_EVENT_UNDRAIN;
    if (client->tell_drained) {
        client->tell_drained = false;
        return true;
    }
    return false;
}

static struct operation *find_operation(const struct larder_client *client, uint32_t shard,
                                        const struct wire_completion *completion)
{
    uint32_t index = (uint32_t)completion->cookie;

    if (completion->registration != client->links[shard].registration || index >= client->operation_count)
        return NULL;
    struct operation *operation = &client->operations[index];
    return operation->op != 0 && operation->generation == completion->cookie >> 32 &&
                   operation->shard == shard && !operation->waits
               ? operation
               : NULL;
}

/* Wins the segment back: to read if the cache wrote into it, else to write. */
static bool win_back(struct larder_client *client, const struct segment *segment,
                     const struct wire_completion *completion)
{
    const struct segment_pool *pool = &client->connection->endpoint.pool;

    if (completion->flags & WIRE_HAS_DATA)
        return segment_win_read(pool, segment->index) &&
               (uint64_t)completion->meta_length + completion->length <= pool->shape.segment_bytes;
    return segment_win_write(pool, segment->index) || segment_win_read(pool, segment->index);
}

static void take_names(const struct larder_client *client, const struct operation *operation,
                       const struct wire_completion *completion, struct larder_event *event)
{
    uint64_t lease = public_handle(client, operation->shard, completion->lease);

    event->handle = public_handle(client, operation->shard, completion->handle);
    if (completion->flags & WIRE_FOLLOWS)
        event->follow = lease;
    else
        event->lease = lease;
    if (completion->op == WIRE_OP_FOLLOW) {
        event->filled = completion->filled;
        event->promoted = completion->flags & WIRE_PROMOTED;
        event->broken = completion->flags & WIRE_BROKEN;
        event->changed = completion->flags & WIRE_CHANGED;
    } else if (completion->op == WIRE_OP_PURGE) {
        event->purged = operation->purged;
        event->cancelled = operation->cancelled;
        event->goes_on = operation->goes_on;
    } else {
        event->fresh_until = completion->fresh_until;
        event->lapsed = completion->flags & WIRE_LAPSED;
    }
}

/* The word is read before what stands in the segment is used, so that whatever changes later is noticed. */
static void keep(struct segment *segment, uint32_t shard, const struct wire_completion *completion,
                 struct larder_event *event)
{
    if (!(completion->flags & WIRE_KEPT))
        return;
    segment->kept_by = (uint8_t)shard;
    segment->guard = segment_guard(&segment->connection->endpoint.pool, segment->index);
    event->kept = segment->guard != POOL_STALE;
}

enum delivery { DELIVERY_EVENT, DELIVERY_NONE /* there is more to be done for it */, DELIVERY_LIE };

/* Adds up what the shards say. True: there is another to be asked. One that cannot do its part ends it. */
static bool purge_goes_on(struct larder_client *client, struct operation *operation,
                          const struct wire_completion *completion)
{
    operation->purged += completion->object_size;
    operation->cancelled += completion->cancelled;
    operation->goes_on |= (completion->flags & WIRE_GOES_ON) != 0;
    if (completion->status != WIRE_STATUS_OK || operation->shard + 1u == shards_of(client) ||
        (operation->purge_flags & WIRE_PURGE_SCOPE) == WIRE_PURGE_KEY)
        return false;
    client_pass_purge_on(client, operation);
    return true;
}

static enum delivery deliver(struct larder_client *client, uint32_t shard,
                             const struct wire_completion *completion, struct larder_event *event)
{
    struct operation *operation = find_operation(client, shard, completion);

    if (!operation || completion->op != operation->op || completion->status >= WIRE_STATUS_END)
        return DELIVERY_LIE;
    struct segment *segment = operation->segment;
    if (segment && !win_back(client, segment, completion))
        return DELIVERY_LIE;
    client->links[shard].under_way--;
    if (operation->op == WIRE_OP_PURGE && purge_goes_on(client, operation, completion))
        return DELIVERY_NONE;
    *event = (struct larder_event){
        .kind = kind_map[operation->op],
        .status = status_map[completion->status],
        .user = operation->user,
        .offset = operation->op == WIRE_OP_READ ? operation->offset : 0,
        .object_size = completion->object_size,
    };
    take_names(client, operation, completion, event);
    if (segment)
        give_back(segment, event);
    if (segment && (completion->flags & WIRE_HAS_DATA)) {
        event->meta_length = completion->meta_length;
        event->length = completion->length;
        keep(segment, shard, completion, event);
    }
    free_operation(client, operation);
    return DELIVERY_EVENT;
}

/* Of one shard until it has none, then of the next. False: none of them has. */
static bool next_completion(struct larder_client *client, struct larder_event *event)
{
    enum ring_result result = RING_NONE;
    enum delivery delivery = DELIVERY_NONE;
    struct wire_completion completion;

    for (uint32_t empty = 0; empty < shards_of(client) && delivery == DELIVERY_NONE;) {
        struct shard_link *link = &client->links[client->turn];
        result = link->under_way > 0 ? shard_link_take(link, &completion) : RING_NONE;
        if (result == RING_BROKEN)
            break;
        if (result == RING_OK) {
            delivery = deliver(client, client->turn, &completion, event);
        } else {
            client->turn = client->turn + 1 < shards_of(client) ? client->turn + 1 : 0;
            empty++;
        }
    }
    if (result != RING_BROKEN && delivery != DELIVERY_LIE)
        return delivery == DELIVERY_EVENT;
    client_lose(client, "the cache sent what the protocol does not know");
    return larder_client_next(client, event);
}

bool larder_client_next(struct larder_client *client, struct larder_event *event)
{
    if (client->losing && client_next_lost(client, event))
        return true;
    if (next_announcement(client, event))
        return true;
    if (client->state != CLIENT_ATTACHED || client->under_way == 0)
        return false;
    if (client->armed) {
        ring_disarm(&client->links[0].completions);
        client->armed = false;
    }
    return next_completion(client, event);
}

bool larder_client_has_answer(const struct larder_client *client)
{
    if (client->state != CLIENT_ATTACHED || client->under_way == 0)
        return false;
    for (uint32_t i = 0; i < shards_of(client); i++)
        if (ring_has_more(&client->links[i].completions))
            return true;
    return false;
}

bool larder_client_may_sleep(struct larder_client *client)
{
    if (client->losing || client->tell_attached || client->tell_detached)
        return false;
    if (client->state != CLIENT_ATTACHED || client->under_way == 0)
        return true;
    client->armed = true;
    bool empty = ring_arm(&client->links[0].completions);
    for (uint32_t i = 1; i < shards_of(client) && empty; i++)
        empty = ring_arm_too(&client->links[i].completions);
    return empty;
}
