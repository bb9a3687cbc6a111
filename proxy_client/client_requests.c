/* What is asked of the cache: operations, which are answered (client_events.c), and requests that are not.
 *
 * An operation takes a place, an entry in the ring of the shard whose the key or the handle is, and room for
 * its completion; larder_client_flush() shows what was put to the shards. */
#include "client_internal.h"

#include "log.h"
#include "shard_key.h"

#include <errno.h>
#include <string.h>

#define BROKEN_REQUESTS "the cache scribbled over the request ring"

_Static_assert(LARDER_MAX_KEY == WIRE_MAX_KEY, "one limit");
_Static_assert(LARDER_LOOKUP_LEASE == WIRE_LOOKUP_LEASE && LARDER_LOOKUP_NO_BODY == WIRE_LOOKUP_NO_BODY &&
                   LARDER_LOOKUP_REVALIDATE == WIRE_LOOKUP_REVALIDATE &&
                   LARDER_LOOKUP_FOLLOW == WIRE_LOOKUP_FOLLOW && LARDER_LOOKUP_KEEP == WIRE_LOOKUP_KEEP,
               "flags travel as they are");
_Static_assert(LARDER_FOLLOW_NOTHING == WIRE_FOLLOW_NOTHING && LARDER_SIZE_UNKNOWN == WIRE_SIZE_UNKNOWN,
               "and so do these values");

/* ---- operations ---- */

/* False if the handle belongs to an earlier registration. */
static bool wire_handle(const struct larder_client *client, uint64_t handle, uint32_t *shard, uint64_t *out)
{
    *out = handle & ~(uint64_t)(0xffffffffu & ~HANDLE_PLACE_MASK);
    *shard = (uint32_t)handle >> HANDLE_PLACE_BITS & (WIRE_MAX_SHARDS - 1);
    return handle != 0 && (handle & HANDLE_ATTACH_MASK) == client->attachment && *shard < shards_of(client);
}

/* As many as its completions have room. */
static bool has_room(const struct larder_client *client, uint32_t shard)
{
    return client->first_free_operation < client->operation_count &&
           client->links[shard].under_way < client->shape.ring_entries;
}

/* The entry is not published yet, so the cache cannot look before the semaphore is up. */
static void hand_over(const struct segment_pool *pool, const struct segment *segment, uint8_t op)
{
    if (op == WIRE_OP_READ)
        segment_post_write(pool, segment->index);
    else
        segment_post_read(pool, segment->index);
}

/* A lent segment gets pages that may be written to; there is nothing of the caller's in it. */
static int make_writable(struct segment *segment, uint8_t op)
{
    if (!segment || !segment->lent)
        return 0;
    if (op != WIRE_OP_READ)
        return -EINVAL;
    segment->guard = POOL_STALE;
    return client_replace_pages(segment) ? 0 : -ENOSPC;
}

static void forget_kept(struct larder_client *client, struct segment *segment, uint32_t shard);

/* Announces an operation with the segment's bytes handed over (or, for READ, its room). */
static int submit(struct larder_client *client, uint32_t shard, struct wire_request *request,
                  struct larder_segment **pointer, void *user)
{
    struct segment *segment = pointer ? (struct segment *)(void *)*pointer : NULL;
    struct shard_link *link = &client->links[shard];
    uint32_t index = client->first_free_operation;

    if (segment && segment->connection != client->connection)
        return -ENOTCONN; /* of an earlier registration: still readable, not usable */
    if (!has_room(client, shard))
        return -EAGAIN;
    int error = make_writable(segment, request->op);
    if (error)
        return error;
    struct operation *operation = &client->operations[index];
    request->registration = link->registration;
    request->segment = segment ? segment->index : WIRE_NO_SEGMENT;
    request->cookie = (uint64_t)operation->generation << 32 | index;
    switch (ring_put(&link->requests, request)) {
    case RING_OK:
        break;
    case RING_NONE:
        return -EAGAIN;
    case RING_BROKEN:
        client_lose(client, BROKEN_REQUESTS);
        return -ENOTCONN;
    }
    client->first_free_operation = operation->next_free;
    client->under_way++;
    link->under_way++;
    link->unpublished = true;
    operation->op = request->op;
    operation->shard = (uint8_t)shard;
    operation->user = user;
    operation->offset = request->value;
    operation->segment = segment;
    if (segment) {
        hand_over(&client->connection->endpoint.pool, segment, request->op);
        segment->state = SEGMENT_PASSED;
        segment->guard = POOL_STALE;
        forget_kept(client, segment, shard);
        client->connection->held--;
        *pointer = NULL;
    }
    return 0;
}

/* Whose the key in front of the segment is. */
static uint32_t shard_of(const struct larder_client *client, const struct larder_segment *segment,
                         uint32_t key_length)
{
    return shard_of_key(client->shard_key, shards_of(client), segment->data, key_length);
}

static int check_key(const struct larder_client *client, uint32_t key_length)
{
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    return key_length == 0 || key_length > LARDER_MAX_KEY || key_length > client->shape.segment_bytes
               ? -EINVAL
               : 0;
}

int larder_lookup(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  uint32_t flags, void *user)
{
    return larder_lookup_asked(client, segment, key_length, flags, 0, user);
}

int larder_lookup_asked(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                        uint32_t flags, int64_t asked_ms, void *user)
{
    struct wire_request request = {
        .op = WIRE_OP_LOOKUP,
        .flags = (uint8_t)flags,
        .key_length = (uint16_t)key_length,
        .value = (uint64_t)asked_ms,
    };
    int error = check_key(client, key_length);

    return error ? error : submit(client, shard_of(client, *segment, key_length), &request, segment, user);
}

int larder_remove(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  void *user)
{
    struct wire_request request = {.op = WIRE_OP_REMOVE, .key_length = (uint16_t)key_length};
    int error = check_key(client, key_length);

    return error ? error : submit(client, shard_of(client, *segment, key_length), &request, segment, user);
}

/* Fills in request->handle and whose it is; 0 or why the operation cannot be. */
static int take_handle(const struct larder_client *client, uint64_t handle, struct wire_request *request,
                       uint32_t *shard)
{
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    return wire_handle(client, handle, shard, &request->handle) ? 0 : -ESTALE;
}

int larder_read(struct larder_client *client, uint64_t handle, uint64_t offset,
                struct larder_segment **segment, uint32_t length, void *user)
{
    struct wire_request request = {.op = WIRE_OP_READ, .value = offset, .length = length};
    uint32_t shard;
    int error = take_handle(client, handle, &request, &shard);

    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_read_meta(struct larder_client *client, uint64_t handle, struct larder_segment **segment,
                     uint32_t length, void *user)
{
    struct wire_request request = {.op = WIRE_OP_READ, .flags = WIRE_READ_META, .length = length};
    uint32_t shard;
    int error = take_handle(client, handle, &request, &shard);

    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_follow(struct larder_client *client, uint64_t follow, uint64_t known, void *user)
{
    struct wire_request request = {.op = WIRE_OP_FOLLOW, .value = known};
    uint32_t shard;
    int error = take_handle(client, follow, &request, &shard);

    return error ? error : submit(client, shard, &request, NULL, user);
}

int larder_fill_begin(struct larder_client *client, const struct larder_fill *fill,
                      struct larder_segment **segment, void *user)
{
    struct wire_request request = {
        .op = WIRE_OP_FILL_BEGIN,
        .value = fill->object_size,
        .key_length = (uint16_t)fill->key_length,
        .flags = fill->lasting ? WIRE_FILL_LASTING : 0,
        .tags_length = (uint16_t)fill->tags_length,
        .meta_length = (uint16_t)fill->meta_length,
        .length = fill->body_length,
        .fresh_until = fill->fresh_until,
        .keep_until = fill->keep_until,
    };
    uint32_t shard = 0;
    int error = check_key(client, fill->key_length);

    if (!error)
        error = take_handle(client, fill->lease, &request, &shard);
    if (!error && (fill->meta_length > WIRE_MAX_META || fill->tags_length > WIRE_TAGS_BYTES ||
                   (uint64_t)fill->key_length + fill->tags_length + fill->meta_length + fill->body_length >
                       client->shape.segment_bytes))
        error = -EINVAL;
    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_fill_data(struct larder_client *client, uint64_t lease, uint64_t offset,
                     struct larder_segment **segment, uint32_t length, void *user)
{
    struct wire_request request = {.op = WIRE_OP_FILL_DATA, .value = offset, .length = length};
    uint32_t shard;
    int error = take_handle(client, lease, &request, &shard);

    if (!error && length > client->shape.segment_bytes)
        error = -EINVAL;
    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_fill_end(struct larder_client *client, uint64_t lease, uint64_t object_size, void *user)
{
    struct wire_request request = {.op = WIRE_OP_FILL_END, .value = object_size};
    uint32_t shard;
    int error = take_handle(client, lease, &request, &shard);

    return error ? error : submit(client, shard, &request, NULL, user);
}

int larder_update_tagged(struct larder_client *client, uint64_t handle, uint64_t lease,
                         struct larder_segment **segment, uint32_t tags_length, uint32_t meta_length,
                         int64_t fresh_until, int64_t keep_until, void *user)
{
    struct wire_request request = {
        .op = WIRE_OP_UPDATE,
        .tags_length = (uint16_t)tags_length,
        .meta_length = (uint16_t)meta_length,
        .fresh_until = fresh_until,
        .keep_until = keep_until,
    };
    uint32_t shard, shard_of_lease;
    int error = take_handle(client, handle, &request, &shard);

    if (!error && (meta_length > WIRE_MAX_META || tags_length > WIRE_TAGS_BYTES ||
                   (uint64_t)tags_length + meta_length > client->shape.segment_bytes))
        error = -EINVAL;
    if (!error && lease && !wire_handle(client, lease, &shard_of_lease, &request.value))
        error = -ESTALE;
    if (!error && lease && shard_of_lease != shard)
        error = -EINVAL; /* not of the same key */
    return error ? error : submit(client, shard, &request, segment, user);
}

int larder_update(struct larder_client *client, uint64_t handle, uint64_t lease,
                  struct larder_segment **segment, uint32_t meta_length, int64_t fresh_until,
                  int64_t keep_until, void *user)
{
    return larder_update_tagged(client, handle, lease, segment, 0, meta_length, fresh_until, keep_until,
                                user);
}

_Static_assert(LARDER_PURGE_KEY == WIRE_PURGE_KEY && LARDER_PURGE_PREFIX == WIRE_PURGE_PREFIX &&
                   LARDER_PURGE_TAGS == WIRE_PURGE_TAGS && LARDER_PURGE_SOFT == WIRE_PURGE_SOFT &&
                   LARDER_MAX_TAGS == WIRE_MAX_TAGS && LARDER_MAX_TAG == WIRE_MAX_TAG &&
                   LARDER_KEY_PART == WIRE_KEY_PART,
               "what is public has the wire's values");

static struct wire_request purge_request(uint32_t flags, uint32_t length)
{
    struct wire_request request = {.op = WIRE_OP_PURGE, .flags = (uint8_t)flags};
    uint32_t scope = flags & WIRE_PURGE_SCOPE;

    request.value = scope == WIRE_PURGE_PREFIX ? WIRE_PURGE_SURE : 0;
    *(scope == WIRE_PURGE_TAGS ? &request.tags_length : &request.key_length) = (uint16_t)length;
    return request;
}

int larder_purge(struct larder_client *client, struct larder_segment **segment, uint32_t length,
                 uint32_t flags, void *user)
{
    struct wire_request request = purge_request(flags, length);
    uint32_t scope = flags & WIRE_PURGE_SCOPE, shard = 0;
    uint32_t most = scope == WIRE_PURGE_TAGS ? WIRE_TAGS_BYTES : WIRE_MAX_KEY;

    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    if (length > most || length > client->shape.segment_bytes || (length == 0 && scope != WIRE_PURGE_PREFIX))
        return -EINVAL;
    if (scope == WIRE_PURGE_KEY)
        shard = shard_of(client, *segment, length);
    struct operation *operation = client->first_free_operation < client->operation_count
                                      ? &client->operations[client->first_free_operation]
                                      : NULL;
    int error = submit(client, shard, &request, segment, user);
    if (!error) {
        operation->purge_flags = (uint8_t)flags;
        operation->purge_length = (uint16_t)length;
        operation->purged = operation->cancelled = 0;
        operation->goes_on = false;
    }
    return error;
}

/* To the shard that is next; if its ring is full larder_client_flush() tries again. */
static enum ring_result put_purge(struct larder_client *client, struct operation *operation)
{
    struct wire_request request = purge_request(operation->purge_flags, operation->purge_length);
    struct shard_link *link = &client->links[operation->shard];

    request.registration = link->registration;
    request.segment = operation->segment->index;
    request.cookie = (uint64_t)operation->generation << 32 | (uint32_t)(operation - client->operations);
    if (link->under_way == client->shape.ring_entries)
        return RING_NONE;
    enum ring_result result = ring_put(&link->requests, &request);
    if (result != RING_OK)
        return result;
    hand_over(&client->connection->endpoint.pool, operation->segment, request.op);
    link->under_way++;
    link->unpublished = true;
    return RING_OK;
}

/* False: a ring is broken. */
static bool put_waiting_purges(struct larder_client *client)
{
    for (uint32_t i = 0; i < client->operation_count && client->purges_waiting > 0; i++) {
        struct operation *operation = &client->operations[i];
        if (!operation->op || !operation->waits)
            continue;
        enum ring_result result = put_purge(client, operation);
        if (result == RING_BROKEN)
            return false;
        if (result != RING_OK)
            continue;
        operation->waits = false;
        client->purges_waiting--;
    }
    return true;
}

void client_pass_purge_on(struct larder_client *client, struct operation *operation)
{
    operation->shard++;
    if (put_purge(client, operation) == RING_OK)
        return;
    operation->waits = true;
    client->purges_waiting++;
    client_tick_soon(client);
}

/* ---- requests without an answer ---- */

/* These leave half of the ring to operations: with none of those under way there would be no event after
 * which a caller that was told -EAGAIN could try again. */
static enum ring_result put_silent(struct larder_client *client, const struct silent_request *silent)
{
    struct shard_link *link = &client->links[silent->shard];
    struct ring *requests = &link->requests;
    struct wire_request request = {
        .op = silent->op,
        .flags = silent->flags,
        .segment = silent->segment,
        .registration = link->registration,
        .handle = silent->handle,
        .value = silent->value,
    };

    if (ring_room(requests) <= requests->capacity / 2)
        return ring_is_broken(requests) ? RING_BROKEN : RING_NONE;
    enum ring_result result = ring_put(requests, &request);
    if (result == RING_OK)
        link->unpublished = true;
    return result;
}

/* A follow handle that was given several times is given back several times: one request tells how often. */
static bool join_deferred(struct larder_client *client, const struct silent_request *silent)
{
    for (uint32_t i = 0; silent->op == WIRE_OP_UNFOLLOW && i < client->deferred_count; i++) {
        struct silent_request *deferred = &client->deferred[i];

        if (deferred->op == silent->op && deferred->shard == silent->shard &&
            deferred->segment == silent->segment && deferred->handle == silent->handle) {
            deferred->value += silent->value;
            return true;
        }
    }
    return false;
}

static void post_silent(struct larder_client *client, struct silent_request silent)
{
    struct shard_link *link = &client->links[silent.shard];

    if (link->deferred == 0 && put_silent(client, &silent) == RING_OK)
        return;
    if (join_deferred(client, &silent))
        return;
    if (client->deferred_count < client->deferred_room) {
        client->deferred[client->deferred_count++] = silent;
        link->deferred++;
        client_tick_soon(client);
    } else /* only a caller that gives the same handle back twice gets here */
    {
        log_error("a handle was released twice");
    }
}

static void send_silent(struct larder_client *client, struct silent_request silent)
{
    uint64_t handle = silent.handle;
    uint32_t shard;

    if (client->state != CLIENT_ATTACHED || !wire_handle(client, handle, &shard, &silent.handle))
        return;
    silent.shard = (uint8_t)shard;
    silent.segment = WIRE_NO_SEGMENT;
    post_silent(client, silent);
}

static bool is_word_of_move(const struct silent_request *silent, uint32_t segment, uint32_t shard)
{
    return silent->op == WIRE_OP_UNFOLLOW && (silent->flags & WIRE_UNFOLLOW_MOVED) &&
           silent->segment == segment && silent->shard == shard;
}

/* The segment goes to that shard now, which ends what it counts as kept there. The word that it had moved
 * must not come after that: it would end what is kept next. */
static void drop_word_of_move(struct larder_client *client, uint32_t segment, uint32_t shard)
{
    for (uint32_t i = 0; i < client->deferred_count; i++) {
        struct silent_request *deferred = &client->deferred[i];

        if (!is_word_of_move(deferred, segment, shard))
            continue;
        client->deferred_count--;
        client->links[shard].deferred--;
        memmove(deferred, deferred + 1, (client->deferred_count - i) * sizeof(*deferred));
        return;
    }
}

/* The shard that answered notices by itself when a segment that it counts as kept is used for something else;
 * another one has to be told. */
static void forget_kept(struct larder_client *client, struct segment *segment, uint32_t shard)
{
    uint8_t keeper = segment->kept_by;

    if (client->deferred_count > 0)
        drop_word_of_move(client, segment->index, shard);
    segment->kept_by = NOBODY;
    if (keeper != NOBODY && keeper != shard)
        post_silent(client, (struct silent_request){.op = WIRE_OP_UNFOLLOW,
                                                    .flags = WIRE_UNFOLLOW_MOVED,
                                                    .shard = keeper,
                                                    .segment = segment->index});
}

void larder_release(struct larder_client *client, uint64_t handle)
{
    send_silent(client, (struct silent_request){.op = WIRE_OP_RELEASE, .handle = handle});
}

void larder_fill_abort(struct larder_client *client, uint64_t lease)
{
    send_silent(client, (struct silent_request){.op = WIRE_OP_FILL_ABORT, .handle = lease});
}

void larder_fill_discard(struct larder_client *client, uint64_t lease)
{
    send_silent(client, (struct silent_request){
                            .op = WIRE_OP_FILL_ABORT, .flags = WIRE_ABORT_DISCARD, .handle = lease});
}

void larder_fill_keep(struct larder_client *client, uint64_t lease)
{
    send_silent(client,
                (struct silent_request){.op = WIRE_OP_FILL_ABORT, .flags = WIRE_ABORT_KEEP, .handle = lease});
}

void larder_unfollow(struct larder_client *client, uint64_t follow)
{
    send_silent(client, (struct silent_request){.op = WIRE_OP_UNFOLLOW, .handle = follow, .value = 1});
}

/* In their order to each shard; one whose ring is full is in nobody else's way. False: a ring is broken. */
static bool put_deferred(struct larder_client *client)
{
    bool is_full[WIRE_MAX_SHARDS] = {false};
    uint32_t left = 0;

    for (uint32_t i = 0; i < client->deferred_count; i++) {
        const struct silent_request *silent = &client->deferred[i];
        enum ring_result result = is_full[silent->shard] ? RING_NONE : put_silent(client, silent);

        if (result == RING_BROKEN)
            return false;
        if (result == RING_OK) {
            client->links[silent->shard].deferred--;
            continue;
        }
        is_full[silent->shard] = true;
        client->deferred[left++] = *silent;
    }
    client->deferred_count = left;
    return true;
}

void larder_client_flush(struct larder_client *client)
{
    if (client->state != CLIENT_ATTACHED)
        return;
    if ((client->deferred_count > 0 && !put_deferred(client)) ||
        (client->purges_waiting > 0 && !put_waiting_purges(client))) {
        client_lose(client, BROKEN_REQUESTS);
        return;
    }
    for (uint32_t i = 0; i < shards_of(client); i++) {
        if (client->links[i].unpublished)
            shard_link_publish(&client->links[i], &client->connection->endpoint);
    }
}
