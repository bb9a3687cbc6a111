/* output: bytes come out as they went in, segments go back once and only when they are sent. */
#include "output.h"

#include "check_unit.h"

#include <string.h>

#define SEGMENTS 8
#define STREAM   (4u * 1024 * 1024)

static uint8_t memory[SEGMENTS][1000];
static struct larder_segment segments[SEGMENTS];
static bool out[SEGMENTS];
static struct output_pool pool;
static struct output output;

static void return_segment(void *owner, struct larder_segment **segment)
{
    size_t number = (size_t)(*segment - segments);

    ck_assert_ptr_eq(owner, memory);
    ck_assert(out[number]);
    out[number] = false;
    *segment = NULL;
}

static void begin(void)
{
    for (int i = 0; i < SEGMENTS; i++) {
        segments[i] = (struct larder_segment){memory[i], sizeof memory[i]};
        out[i] = false;
    }
    output_pool_setup(&pool, return_segment, memory);
    output_setup(&output, &pool);
}

static void end(void)
{
    output_clear(&output);
    ck_assert_uint_eq(output.bytes, 0);
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert(!out[i]);
    output_pool_teardown(&pool);
}

static void add_copied(uint64_t at, uint32_t size)
{
    uint8_t bytes[3000];

    fill_pattern(bytes, 1, at, size);
    output_add(&output, bytes, size);
}

static bool add_segment(uint64_t at, uint32_t size)
{
    for (int i = 0; i < SEGMENTS; i++) {
        struct larder_segment *segment = &segments[i];

        if (out[i])
            continue;
        out[i] = true;
        fill_pattern(memory[i] + 7, 1, at, size);
        output_add_segment(&output, &segment, 7, size);
        ck_assert_ptr_null(segment);
        return true;
    }
    return false;
}

/* Takes some of what waits, as a socket would; checks it. Returns how much. */
static size_t drain(uint64_t at, size_t most)
{
    struct iovec vectors[OUTPUT_IOVECS];
    int count = output_gather(&output, vectors, OUTPUT_IOVECS);
    size_t taken = 0;

    for (int i = 0; i < count && taken < most; i++) {
        size_t size = vectors[i].iov_len < most - taken ? vectors[i].iov_len : most - taken;

        ck_assert(is_pattern(vectors[i].iov_base, 1, at + taken, size));
        taken += size;
    }
    output_consume(&output, taken);
    return taken;
}

START_TEST(bytes_keep_their_order)
{
    uint64_t state = 1, put = 0, got = 0;

    begin();
    while (got < STREAM) {
        uint32_t size = (uint32_t)random_below(&state, 900) + 1;

        if (random_below(&state, 3) == 0 && add_segment(put, size)) {
            put += size;
        } else {
            add_copied(put, size);
            put += size;
        }
        if (random_below(&state, 50) == 0)
            output_free_segments(&output);
        while (random_below(&state, 2) && got < put)
            got += drain(got, (size_t)random_below(&state, 2500) + 1);
        ck_assert_uint_eq(output.bytes, put - got);
    }
    end();
}
END_TEST

START_TEST(segments_go_back_when_they_are_sent)
{
    begin();
    add_segment(0, 500);
    output_consume(&output, 499);
    ck_assert(out[0]);
    output_consume(&output, 1);
    ck_assert(!out[0]);
    end();
}
END_TEST

START_TEST(segments_can_be_freed_early)
{
    begin();
    add_copied(0, 10);
    add_segment(10, 500);
    output_consume(&output, 100);
    output_free_segments(&output);
    ck_assert(!out[0]);
    ck_assert_uint_eq(drain(100, 1000), 410);
    end();
}
END_TEST

START_TEST(what_is_reserved_is_contiguous)
{
    begin();
    add_copied(0, 2000);
    fill_pattern((uint8_t *)output_reserve(&output, OUTPUT_BLOCK_BYTES), 1, 2000, OUTPUT_BLOCK_BYTES);
    output_commit(&output, OUTPUT_BLOCK_BYTES);
    ck_assert_uint_eq(drain(0, SIZE_MAX), 2000 + OUTPUT_BLOCK_BYTES);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, bytes_keep_their_order);
    tcase_add_test(tcase, segments_go_back_when_they_are_sent);
    tcase_add_test(tcase, segments_can_be_freed_early);
    tcase_add_test(tcase, what_is_reserved_is_contiguous);
}

int main(void)
{
    return run_suite("output", add_cases);
}
