#include "output.h"

#include "invariant.h"

#include <stdlib.h>
#include <string.h>

#define FREE_BLOCKS_KEPT 256

struct output_block {
    struct output_block *next;
    const char *at; /* what waits */
    size_t size;
    struct larder_segment *segment; /* NULL: the bytes stand in storage */
    struct output_source *source;   /* whose segment it is; NULL: ours */
    bool by_file;                   /* leaves by reference */
    char storage[];                 /* OUTPUT_BLOCK_BYTES, or nothing in a block that borrows */
};

void output_pool_setup(struct output_pool *pool, void (*return_segment)(void *, struct larder_segment **),
                       void *segments_owner)
{
    *pool = (struct output_pool){.return_segment = return_segment, .segments_owner = segments_owner};
}

static void free_all(struct output_block *block)
{
    while (block) {
        struct output_block *next = block->next;

        free(block);
        block = next;
    }
}

void output_pool_teardown(struct output_pool *pool)
{
    free_all(pool->free_blocks);
    free_all(pool->free_borrowed);
    pool->free_blocks = pool->free_borrowed = NULL;
}

static struct output_block *take_free(struct output_block **list, size_t storage)
{
    struct output_block *block = *list;

    if (block) {
        *list = block->next;
    } else {
        block = malloc(sizeof *block + storage);
        INVARIANT(block);
    }
    block->next = NULL;
    block->segment = NULL;
    block->source = NULL;
    block->by_file = false;
    block->size = 0;
    return block;
}

static struct output_block *block_take(struct output_pool *pool)
{
    struct output_block *block;

    if (pool->free_blocks)
        pool->free_block_count--;
    block = take_free(&pool->free_blocks, OUTPUT_BLOCK_BYTES);
    block->at = block->storage;
    return block;
}

static void let_segment_go(struct output_pool *pool, struct output_block *block)
{
    if (block->source)
        block->source->calls->drop(block->source);
    else
        pool->return_segment(pool->segments_owner, &block->segment);
}

static void block_give(struct output_pool *pool, struct output_block *block)
{
    if (block->segment) {
        let_segment_go(pool, block);
        block->next = pool->free_borrowed;
        pool->free_borrowed = block;
    } else if (pool->free_block_count < FREE_BLOCKS_KEPT) {
        pool->free_block_count++;
        block->next = pool->free_blocks;
        pool->free_blocks = block;
    } else {
        free(block);
    }
}

void output_setup(struct output *output, struct output_pool *pool)
{
    *output = (struct output){.pool = pool};
}

static void drop_first(struct output *output)
{
    struct output_block *block = output->first;

    output->first = block->next;
    if (!output->first)
        output->last = NULL;
    if (block->by_file)
        output->by_file -= block->size;
    block_give(output->pool, block);
}

void output_clear(struct output *output)
{
    while (output->first)
        drop_first(output);
    output->bytes = 0;
}

static void append_block(struct output *output, struct output_block *block)
{
    if (output->last)
        output->last->next = block;
    else
        output->first = block;
    output->last = block;
}

static size_t room_behind(const struct output_block *block)
{
    return (size_t)(block->storage + OUTPUT_BLOCK_BYTES - (block->at + block->size));
}

/* The end of the last block, which is made if there is none with that much room. */
char *output_reserve(struct output *output, size_t size)
{
    struct output_block *last = output->last;

    INVARIANT(size <= OUTPUT_BLOCK_BYTES);
    if (!last || last->segment || room_behind(last) < size) {
        last = block_take(output->pool);
        append_block(output, last);
    }
    return last->storage + (last->at - last->storage) + last->size;
}

void output_commit(struct output *output, size_t size)
{
    output->last->size += size;
    output->bytes += size;
}

void output_add(struct output *output, const void *data, size_t size)
{
    const char *from = data;

    while (size > 0) {
        char *to = output_reserve(output, 1);
        size_t room = room_behind(output->last);
        size_t piece = size < room ? size : room;

        memcpy(to, from, piece);
        output_commit(output, piece);
        from += piece;
        size -= piece;
    }
}

static struct output_block *append_segment(struct output *output, struct larder_segment *segment,
                                           uint32_t offset, uint32_t size)
{
    struct output_block *block = take_free(&output->pool->free_borrowed, 0);

    block->segment = segment;
    block->at = (const char *)segment->data + offset;
    block->size = size;
    append_block(output, block);
    output->bytes += size;
    return block;
}

void output_add_segment(struct output *output, struct larder_segment **segment, uint32_t offset,
                        uint32_t size)
{
    append_segment(output, *segment, offset, size);
    *segment = NULL;
}

/* Both in one call, if they stand so in the file. */
static bool goes_on(const struct output_block *last, const struct output_block *block)
{
    return last && last->by_file && last->at + last->size == block->at;
}

void output_add_shared(struct output *output, struct output_source *source, struct larder_segment *segment,
                       uint32_t offset, uint32_t size)
{
    const struct output_block *last = output->last;
    struct output_block *block = append_segment(output, segment, offset, size);

    block->source = source;
    block->by_file = size >= OUTPUT_FILE_MIN || goes_on(last, block);
    output->by_file += block->by_file ? size : 0;
}

static void by_copy(struct output *output, struct output_block *block)
{
    if (block->by_file)
        output->by_file -= block->size;
    block->by_file = false;
}

static bool find_file(const struct output_block *block, struct output_file *file)
{
    off_t begin;

    if (!block || !block->by_file)
        return false;
    file->fd = block->source->calls->file(block->source, block->segment, &begin);
    file->offset = begin + (block->at - (const char *)block->segment->data);
    file->size = block->size;
    return file->fd >= 0;
}

/* One system call for all that stands in one row. */
bool output_file(struct output *output, struct output_file *file)
{
    struct output_block *block = output->first;
    struct output_file next;

    if (!find_file(block, file)) {
        if (block)
            by_copy(output, block);
        return false;
    }
    while ((block = block->next) && find_file(block, &next) && next.fd == file->fd &&
           next.offset == file->offset + (off_t)file->size)
        file->size += next.size;
    return true;
}

int output_pages(const struct output *output, struct iovec *vectors, int count, size_t most)
{
    struct output_file file;
    int used = 0;

    for (const struct output_block *block = output->first;
         used < count && most > 0 && find_file(block, &file); block = block->next) {
        size_t size = block->size < most ? block->size : most;

        /* vmsplice() does not write through the vectors it is given. */
        vectors[used++] = (struct iovec){.iov_base = (void *)(uintptr_t)block->at, .iov_len = size};
        most -= size;
    }
    return used;
}

void output_file_sent(struct output *output, size_t size)
{
    size_t seen = 0;

    for (struct output_block *block = output->first; block && (seen == 0 || seen < size);
         block = block->next) {
        INVARIANT(block->by_file);
        block->source->calls->lent(block->source, block->segment);
        seen += block->size;
    }
    output_consume(output, size);
}

void output_refuse_file(struct output *output)
{
    by_copy(output, output->first);
}

int output_gather(const struct output *output, struct iovec *vectors, int count)
{
    int used = 0;

    for (const struct output_block *block = output->first; block && !block->by_file && used < count;
         block = block->next) {
        /* sendmsg() does not write through the vectors it is given. */
        vectors[used].iov_base = (void *)(uintptr_t)block->at;
        vectors[used].iov_len = block->size;
        used++;
    }
    return used;
}

void output_consume(struct output *output, size_t size)
{
    INVARIANT(size <= output->bytes);
    output->bytes -= size;
    while (output->first && size >= output->first->size) {
        size -= output->first->size;
        drop_first(output);
    }
    if (size > 0) {
        INVARIANT(output->first);
        output->first->at += size;
        output->first->size -= size;
        output->by_file -= output->first->by_file ? size : 0;
    }
}

void output_free_segments(struct output *output)
{
    struct output_block *block = output->first;

    output->first = output->last = NULL;
    output->bytes = 0;
    while (block) {
        struct output_block *next = block->next;

        block->next = NULL;
        if (block->segment && !block->source) {
            output_add(output, block->at, block->size);
            block_give(output->pool, block);
        } else {
            append_block(output, block);
            output->bytes += block->size;
        }
        block = next;
    }
}
