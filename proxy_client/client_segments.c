/* The segments of the pool.
 *
 *                borrow                 to the cache
 *     FREE ------------------> HELD ------------------> PASSED
 *      ^  ^       return        |  ^  its answer, or lost  |
 *      |  +---------------------+  +-----------------------+
 *      |  new pages             | return of one that was lent, without new pages at hand
 *      +------------ SPENT <----+
 *
 * Lent: sockets still read its pages (sendfile(2), vmsplice(2)), so nobody writes to them any more. */
#include "client_internal.h"

#include "invariant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPENT_STEP 64u /* segments at a time that are given new pages */

/* A tmpfs with huge pages says so by its block size. Segments are whole pages of POOL_PAGE bytes; the
 * kernel's may be larger. */
static bool has_small_pages(const struct segment_pool *pool)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct stat about;

    return fstat(pool->fd, &about) == 0 && (size_t)about.st_blksize <= page && pool->stride % page == 0 &&
           (size_t)(pool->payloads - pool->base) % page == 0;
}

bool client_number_segments(struct connection *connection)
{
    const struct segment_pool *pool = &connection->endpoint.pool;

    connection->small_pages = has_small_pages(pool);

    connection->first_spent = pool->shape.segments;
    connection->segments = calloc(pool->shape.segments, sizeof(*connection->segments));
    if (!connection->segments || !free_map_setup(&connection->free, pool->shape.segments))
        return false;
    for (uint32_t i = 0; i < pool->shape.segments; i++) {
        connection->segments[i] = (struct segment){
            .public = {segment_payload(pool, i), pool->shape.segment_bytes},
            .connection = connection,
            .index = i,
            .kept_by = NOBODY,
        };
    }
    return true;
}

static off_t offset_of(const struct segment *segment)
{
    return (off_t)(segment->public.data - segment->connection->endpoint.pool.base);
}

bool client_replace_pages(struct segment *segment)
{
    const struct segment_pool *pool = &segment->connection->endpoint.pool;
    off_t offset = offset_of(segment), bytes = (off_t)pool->stride;

    if (fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) != 0 ||
        fallocate(pool->fd, 0, offset, bytes) != 0)
        return false;
    segment->lent = false;
    return true;
}

static bool is_held(const struct connection *connection, uint32_t i)
{
    return connection->segments[i].state == SEGMENT_HELD;
}

/* Neighbours at once. Without success it is the memory that stays, for as long as the pool does. */
void client_free_pages(struct connection *connection)
{
    const struct segment_pool *pool = &connection->endpoint.pool;

    for (uint32_t i = 0, end; connection->small_pages && i < pool->shape.segments; i = end + 1) {
        for (end = i; end < pool->shape.segments && !is_held(connection, end);)
            end++;
        if (end > i)
            (void)fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            offset_of(&connection->segments[i]), (off_t)pool->stride * (end - i));
    }
}

/* Into circulation. */
static void free_segment(struct segment *segment)
{
    struct connection *connection = segment->connection;

    segment->state = SEGMENT_FREE;
    free_map_give(&connection->free, segment->index);
    segment_post_write(&connection->endpoint.pool, segment->index);
}

static void put_aside(struct segment *segment)
{
    struct connection *connection = segment->connection;

    segment->state = SEGMENT_SPENT;
    segment->next_spent = connection->first_spent;
    connection->first_spent = segment->index;
}

void client_restore_spent(struct connection *connection)
{
    for (uint32_t i = 0; i < SPENT_STEP && connection->first_spent < connection->endpoint.pool.shape.segments;
         i++) {
        struct segment *segment = &connection->segments[connection->first_spent];

        if (!client_replace_pages(segment))
            return;
        connection->first_spent = segment->next_spent;
        free_segment(segment);
    }
}

/* ---- public ---- */

/* At `place`; FREE_MAP_NONE: there is none. */
static int borrow(struct larder_client *client, struct larder_segment **out, uint32_t place)
{
    struct connection *connection = client->connection;

    if (place == FREE_MAP_NONE)
        return -EAGAIN;
    struct segment *segment = &connection->segments[place];
    if (!segment_win_write(&connection->endpoint.pool, segment->index)) {
        client_lose(client, "the cache left a segment in a state that the protocol does not know");
        return -ENOTCONN;
    }
    free_map_take(&connection->free, place);
    connection->held++;
    segment->state = SEGMENT_HELD;
    *out = &segment->public;
    return 0;
}

int larder_segment_borrow(struct larder_client *client, struct larder_segment **out)
{
    *out = NULL;
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    return borrow(client, out, free_map_lowest(&client->connection->free));
}

int larder_segment_borrow_next(struct larder_client *client, struct larder_segment **out, uint32_t *place,
                               uint32_t count)
{
    uint32_t at = *place;
    int error;

    *out = NULL;
    if (client->state != CLIENT_ATTACHED)
        return -ENOTCONN;
    if (at == 0 || !free_map_has(&client->connection->free, at))
        at = free_map_row(&client->connection->free, count);
    if (at == FREE_MAP_NONE)
        at = free_map_lowest(&client->connection->free);
    error = borrow(client, out, at);
    if (!error)
        *place = at + 1;
    return error;
}

void larder_segment_return(struct larder_client *client, struct larder_segment **pointer)
{
    struct segment *segment = (struct segment *)(void *)*pointer;
    struct connection *connection = segment->connection;

    (void)client;
    *pointer = NULL;
    INVARIANT(segment->state == SEGMENT_HELD && connection->held > 0);
    segment->guard = POOL_STALE;
    connection->held--;
    if (connection->retired) { /* nobody writes into it any more */
        segment->state = SEGMENT_FREE;
        if (connection->held == 0)
            client_free_connection(connection);
        else if (connection->small_pages)
            (void)fallocate(connection->endpoint.pool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            offset_of(segment), (off_t)connection->endpoint.pool.stride);
        return;
    }
    if (segment->lent && !client_replace_pages(segment))
        put_aside(segment);
    else
        free_segment(segment);
}

static bool shows_current(const struct segment *segment)
{
    const struct connection *connection = segment->connection;

    return segment->guard != POOL_STALE && !connection->retired &&
           segment_guard(&connection->endpoint.pool, segment->index) == segment->guard &&
           !pool_has_ended(&connection->endpoint.pool);
}

/* A cache that was killed says nothing, and who was frozen has not noticed. */
bool larder_segment_is_current(const struct larder_segment *public)
{
    const struct segment *segment = (const struct segment *)(const void *)public;
    struct larder_client *client = segment->connection->client;

    if (!shows_current(segment))
        return false;
    if (!client_is_late(client->checked_ms))
        return true;
    client_check_cache(client);
    return shows_current(segment);
}

void larder_segment_used(struct larder_segment *public)
{
    const struct segment *segment = (const struct segment *)(const void *)public;

    segment_count_use(&segment->connection->endpoint.pool, segment->index);
}

int larder_segment_file(const struct larder_segment *public, off_t *offset)
{
    const struct segment *segment = (const struct segment *)(const void *)public;

    *offset = offset_of(segment);
    return segment->connection->small_pages ? segment->connection->endpoint.pool.fd : -1;
}

void larder_segment_lent(struct larder_segment *public)
{
    ((struct segment *)(void *)public)->lent = true;
}
