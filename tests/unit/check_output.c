/* output: bytes come out as they went in, segments go back once and only when they are sent. */
#include "output.h"

#include "check_unit.h"

#include <string.h>

#define SEGMENTS      8
#define SHARED_OFFSET 100000 /* of the shared segment in its file */
#define STREAM        (4u * 1024 * 1024)

static uint8_t memory[SEGMENTS][1000], large[64 * 1024];
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

/* Those whose segments several outputs may read. */
struct shared {
    struct output_source source;
    unsigned references, lent;
    int fd;
};
static struct shared shared;

static int shared_file(struct output_source *source, const struct larder_segment *segment, off_t *offset)
{
    ck_assert_ptr_eq(source, &shared.source);
    (void)segment;
    *offset = SHARED_OFFSET;
    return shared.fd;
}

static void shared_lent(struct output_source *source, struct larder_segment *segment)
{
    ck_assert_ptr_eq(source, &shared.source);
    ck_assert_ptr_eq(segment->data, large);
    shared.lent++;
}

static void shared_drop(struct output_source *source)
{
    ck_assert_ptr_eq(source, &shared.source);
    ck_assert_uint_gt(shared.references, 0);
    shared.references--;
}

static const struct output_source_calls shared_calls = {
    .file = shared_file, .lent = shared_lent, .drop = shared_drop};

static void add_shared_from(uint32_t offset, uint64_t at, uint32_t size)
{
    static struct larder_segment segment = {large, sizeof large};

    fill_pattern(large + offset, 1, at, size);
    shared.references++;
    output_add_shared(&output, &shared.source, &segment, offset, size);
}

static void add_shared(uint64_t at, uint32_t size)
{
    add_shared_from(5, at, size);
}

static void begin(void)
{
    shared = (struct shared){.source = {&shared_calls}, .fd = 77};
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
    ck_assert_uint_eq(shared.references, 0);
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

/* ---- what others read as well ---- */

START_TEST(small_shared_bytes_are_gathered)
{
    begin();
    add_copied(0, 10);
    add_shared(10, OUTPUT_FILE_MIN - 1);
    ck_assert(!output_file(&output, &(struct output_file){0}));
    ck_assert_uint_eq(drain(0, 500), 500);
    ck_assert_uint_eq(shared.references, 1);
    output_free_segments(&output); /* it is no segment of ours that somebody could wait for */
    ck_assert_uint_eq(shared.references, 1);
    ck_assert_uint_eq(drain(500, SIZE_MAX), OUTPUT_FILE_MIN - 1 + 10 - 500);
    ck_assert_uint_eq(shared.references, 0);
    ck_assert_uint_eq(shared.lent, 0);
    end();
}
END_TEST

START_TEST(large_shared_bytes_leave_by_file)
{
    struct output_file file;

    begin();
    add_copied(0, 10);
    add_shared(10, OUTPUT_FILE_MIN + 1);
    add_copied(10 + OUTPUT_FILE_MIN + 1, 20);
    ck_assert(!output_file(&output, &file));   /* the first bytes come first, */
    ck_assert_uint_eq(drain(0, SIZE_MAX), 10); /* and nothing behind the file with them */
    ck_assert(output_file(&output, &file));
    ck_assert_int_eq(file.fd, 77);
    ck_assert_int_eq(file.offset, SHARED_OFFSET + 5);
    ck_assert_uint_eq(file.size, OUTPUT_FILE_MIN + 1);
    output_file_sent(&output, OUTPUT_FILE_MIN); /* the rest is below the limit, and in the same file still */
    ck_assert_uint_eq(shared.lent, 1);
    ck_assert_uint_eq(shared.references, 1);
    output_free_segments(&output);
    ck_assert(output_file(&output, &file));
    ck_assert_int_eq(file.offset, SHARED_OFFSET + 5 + OUTPUT_FILE_MIN);
    ck_assert_uint_eq(file.size, 1);
    output_file_sent(&output, 1);
    ck_assert_uint_eq(shared.references, 0);
    ck_assert(!output_file(&output, &file));
    ck_assert_uint_eq(drain(10 + OUTPUT_FILE_MIN + 1, SIZE_MAX), 20);
    end();
}
END_TEST

/* Few bytes leave with those that they stand behind, and by a copy behind others. */
START_TEST(end_of_a_row_leaves_with_it)
{
    struct output_file file;

    begin();
    add_shared(0, OUTPUT_FILE_MIN);
    add_shared_from(5 + OUTPUT_FILE_MIN + (unsigned)_i, OUTPUT_FILE_MIN, 7);
    ck_assert(output_file(&output, &file));
    ck_assert_uint_eq(file.size, OUTPUT_FILE_MIN + (_i == 0 ? 7 : 0));
    output_file_sent(&output, file.size);
    ck_assert_uint_eq(shared.lent, _i == 0 ? 2 : 1);
    ck_assert_uint_eq(drain(OUTPUT_FILE_MIN, SIZE_MAX), _i == 0 ? 0 : 7);
    ck_assert_uint_eq(shared.references, 0);
    end();
}
END_TEST

/* Refused by the kernel, or no longer there: then it is copied. */
START_TEST(file_that_cannot_be_sent_is_gathered)
{
    struct output_file file;

    begin();
    shared.fd = _i == 0 ? -1 : 77;
    add_shared(0, OUTPUT_FILE_MIN);
    if (_i == 1) {
        ck_assert(output_file(&output, &file));
        output_refuse_file(&output);
    }
    ck_assert(!output_file(&output, &file));
    ck_assert_uint_eq(drain(0, SIZE_MAX), OUTPUT_FILE_MIN);
    ck_assert_uint_eq(shared.lent, 0);
    end();
}
END_TEST

START_TEST(references_are_dropped_with_the_output)
{
    begin();
    add_shared(0, 100);
    add_shared(0, OUTPUT_FILE_MIN);
    output_clear(&output);
    ck_assert_uint_eq(shared.references, 0);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, small_shared_bytes_are_gathered);
    tcase_add_test(tcase, large_shared_bytes_leave_by_file);
    tcase_add_loop_test(tcase, end_of_a_row_leaves_with_it, 0, 2);
    tcase_add_loop_test(tcase, file_that_cannot_be_sent_is_gathered, 0, 2);
    tcase_add_test(tcase, references_are_dropped_with_the_output);
    tcase_add_test(tcase, bytes_keep_their_order);
    tcase_add_test(tcase, segments_go_back_when_they_are_sent);
    tcase_add_test(tcase, segments_can_be_freed_early);
    tcase_add_test(tcase, what_is_reserved_is_contiguous);
}

int main(void)
{
    return run_suite("output", add_cases);
}
