#include "body.h"

#include "invariant.h"

#include <string.h>

#define TABLE_MAX ((UINT64_C(1) << 23) - 1)

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint8_t *chunk_at(const struct body *body, uint64_t index)
{
    return body->table_size == 0 ? body->single : body->table[index];
}

void body_lend(struct body *body, uint8_t *room)
{
    body->single = room;
    body->lent = 1;
}

static bool grow_table(struct body *body, struct memory *memory, struct account *account, uint64_t expected)
{
    uint64_t wanted = body->table_size ? (uint64_t)body->table_size * 2 : 8;

    if (expected != BODY_SIZE_UNKNOWN)
        wanted = (expected + BODY_CHUNK - 1) / BODY_CHUNK;
    if (wanted <= body_chunks(body) || wanted > TABLE_MAX)
        return false;
    uint8_t **table = memory_alloc(memory, account, wanted * sizeof(*table));
    if (!table)
        return false;
    body->charge += memory_charge(table);
    if (body->table_size == 0) {
        table[0] = body->single;
    } else {
        memcpy(table, body->table, body_chunks(body) * sizeof(*table));
        body->charge -= memory_charge(body->table);
        memory_free(memory, account, body->table);
    }
    body->table = table;
    body->table_size = wanted & TABLE_MAX;
    return true;
}

/* Behind those that are full. */
static bool add_chunk(struct body *body, struct memory *memory, struct account *account, uint64_t expected)
{
    uint32_t chunks = body_chunks(body);
    uint64_t capacity = BODY_CHUNK;

    if (body->lent) {
        INVARIANT(chunks == 0);
        return true;
    }
    if (expected != BODY_SIZE_UNKNOWN)
        capacity = min(capacity, expected - body->size);
    if (chunks > 0 && chunks >= body->table_size && !grow_table(body, memory, account, expected))
        return false;
    uint8_t *chunk = memory_alloc(memory, account, capacity);
    if (!chunk)
        return false;
    if (chunks == 0)
        body->single = chunk;
    else
        body->table[chunks] = chunk;
    body->charge += memory_charge(chunk);
    return true;
}

bool body_append(struct body *body, struct memory *memory, struct account *account, uint64_t expected,
                 const uint8_t *bytes, uint64_t length)
{
    while (length > 0) {
        uint64_t index = body->size / BODY_CHUNK;
        uint64_t start = body->size % BODY_CHUNK;

        if (start == 0 && !add_chunk(body, memory, account, expected))
            return false;
        uint64_t piece = min(length, BODY_CHUNK - start);
        memcpy(chunk_at(body, index) + start, bytes, piece);
        body->size += piece;
        bytes += piece;
        length -= piece;
    }
    return true;
}

void body_finish(struct body *body, struct memory *memory, struct account *account)
{
    uint64_t last = body->size % BODY_CHUNK;

    if (last == 0 || body->lent)
        return;
    uint8_t *chunk = chunk_at(body, body->size / BODY_CHUNK);
    body->charge -= memory_charge(chunk);
    chunk = memory_shrink(memory, account, chunk, last);
    body->charge += memory_charge(chunk);
    if (body->table_size == 0)
        body->single = chunk;
    else
        body->table[body->size / BODY_CHUNK] = chunk;
}

uint32_t body_free_some(struct body *body, struct memory *memory, struct account *account, uint32_t most)
{
    uint32_t freed = 0;

    for (uint32_t left = body_chunks(body); freed < most && left > 0; freed++) {
        uint8_t *chunk = body->lent ? NULL : chunk_at(body, left - 1);

        body->charge -= memory_charge(chunk);
        memory_free(memory, account, chunk);
        left--; /* what is lent is one */
        body->size = left * BODY_CHUNK;
    }
    if (body->size > 0)
        return freed;
    if (body->table_size > 0)
        memory_free(memory, account, body->table);
    memset(body, 0, sizeof(*body));
    return freed;
}

void body_free(struct body *body, struct memory *memory, struct account *account)
{
    body_free_some(body, memory, account, UINT32_MAX);
}

void body_read(const struct body *body, uint64_t offset, uint8_t *out, uint64_t length)
{
    INVARIANT(offset <= body->size && length <= body->size - offset);
    while (length > 0) {
        uint64_t start = offset % BODY_CHUNK;
        uint64_t piece = min(length, BODY_CHUNK - start);

        memcpy(out, chunk_at(body, offset / BODY_CHUNK) + start, piece);
        out += piece;
        offset += piece;
        length -= piece;
    }
}
