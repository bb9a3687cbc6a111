/* memory and body: what is charged, what is refused, and the bytes around every chunk's edge. */
#include "body.h"

#include "check_unit.h"

#include <malloc.h>
#include <string.h>

#define CHUNK BODY_CHUNK

/* ---- memory ------------------------------------------------------------------------------------------- */

struct room {
    unsigned asked;
    uint64_t wanted, wanted_of_own;
    const struct account *asks;
    struct memory *memory;
    struct account *account;
    void *spare; /* freed when room is asked for */
};

static bool make_room(void *context, struct account *account, uint64_t bytes, uint64_t own)
{
    struct room *room = context;

    room->asked++;
    room->wanted = bytes;
    room->wanted_of_own = own;
    room->asks = account;
    if (room->spare)
        memory_free(room->memory, room->account, room->spare);
    room->spare = NULL;
    return room->memory->used + bytes <= room->memory->limit;
}

static bool no_room(void *context, struct account *account, uint64_t bytes, uint64_t own)
{
    (void)context;
    (void)account;
    (void)bytes;
    (void)own;
    return false;
}

START_TEST(charge_is_what_the_allocator_gave)
{
    struct memory memory = {.limit = UINT64_MAX / 2, .make_room = no_room};
    struct account account = {0};
    void *blocks[64];
    uint64_t sum = 0;

    for (size_t i = 0; i < 64; i++) {
        blocks[i] = memory_alloc(&memory, &account, 1 + i * i * 37);
        ck_assert_ptr_nonnull(blocks[i]);
        sum += malloc_usable_size(blocks[i]) + sizeof(size_t);
        ck_assert_uint_eq(memory.used, sum);
        ck_assert_uint_eq(account.used, sum);
    }
    for (size_t i = 0; i < 64; i++)
        memory_free(&memory, &account, blocks[(i * 7) % 64]);
    memory_free(&memory, &account, NULL);
    ck_assert_uint_eq(memory.used, 0);
    ck_assert_uint_eq(account.used, 0);
}
END_TEST

START_TEST(limit_is_kept_by_asking_for_room)
{
    struct account account = {0};
    struct memory memory = {.limit = 10000, .make_room = make_room};
    struct room room = {.memory = &memory, .account = &account};

    memory.context = &room;
    room.spare = memory_alloc(&memory, &account, 6000);
    ck_assert_ptr_nonnull(room.spare);
    ck_assert_uint_eq(room.asked, 0);
    void *second = memory_alloc(&memory, &account, 6000); /* takes the first one's room */
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_null(room.spare);
    ck_assert_uint_eq(room.asked, 1);
    ck_assert_uint_ge(room.wanted, 6000);
    ck_assert_uint_le(memory.used, memory.limit);
    ck_assert_ptr_null(memory_alloc(&memory, &account, 6000)); /* nothing more to free */
    ck_assert_uint_eq(room.asked, 2);
    ck_assert_uint_le(memory.used, memory.limit);
    memory_free(&memory, &account, second);
    ck_assert_uint_eq(memory.used, 0);
}
END_TEST

/* It asks nobody: whoever allocates it has asked for the room. */
START_TEST(room_for_an_index_is_asked_for_before)
{
    struct account index = {0}, account = {0};
    struct memory memory = {.limit = 10000, .make_room = make_room};
    struct room room = {.memory = &memory, .account = &account};

    memory.context = &room;
    room.spare = memory_alloc(&memory, &account, 6000);
    ck_assert(memory_room(&memory, &account, 2000, 0)); /* it is there: nobody is asked */
    ck_assert_uint_eq(room.asked, 0);
    ck_assert(memory_room(&memory, &account, 8020, 24));
    ck_assert_uint_eq(room.asked, 1);
    ck_assert_ptr_eq(room.asks, &account);
    ck_assert_uint_eq(room.wanted, 8020);
    ck_assert_uint_eq(room.wanted_of_own, 24);
    void *table = memory_alloc_index(&memory, &index, 8000);
    ck_assert_ptr_nonnull(table);
    ck_assert_uint_eq(room.asked, 1);
    ck_assert_uint_le(memory.used, memory.limit);
    ck_assert(!memory_room(&memory, &account, 8020, 24));
    memory_free(&memory, &index, table);
    ck_assert_uint_eq(memory.used + index.used + account.used, 0);
}
END_TEST

/* Its account has a limit, which is reached before that of the memory. */
START_TEST(limit_of_an_account_is_kept_by_asking_too)
{
    struct account account = {.limit = 10000}, other = {0};
    struct memory memory = {.limit = 100000, .make_room = make_room};
    struct room room = {.memory = &memory, .account = &account};

    memory.context = &room;
    room.spare = memory_alloc(&memory, &account, 6000);
    void *others = memory_alloc(&memory, &other, 20000);
    ck_assert_uint_eq(room.asked, 0);
    void *second = memory_alloc(&memory, &account, 6000);
    ck_assert_ptr_nonnull(second);
    ck_assert_uint_eq(room.asked, 1);
    ck_assert_uint_le(account.used, account.limit);
    memory_free(&memory, &account, second);
    memory_free(&memory, &other, others);
}
END_TEST

START_TEST(shrinking_gives_back_and_keeps_the_bytes)
{
    struct memory memory = {.limit = UINT64_MAX / 2, .make_room = no_room};
    struct account account = {0};
    uint8_t *block = memory_alloc(&memory, &account, 65536);

    fill_pattern(block, 1, 0, 65536);
    block = memory_shrink(&memory, &account, block, 100);
    ck_assert(is_pattern(block, 1, 0, 100));
    ck_assert_uint_eq(memory.used, malloc_usable_size(block) + sizeof(size_t));
    ck_assert_uint_eq(account.used, memory.used);
    ck_assert_uint_lt(memory.used, 60000);
    memory_free(&memory, &account, block);
    ck_assert_uint_eq(memory.used, 0);
}
END_TEST

/* ---- body --------------------------------------------------------------------------------------------- */

static struct {
    struct memory memory;
    struct account account;
    uint8_t bytes[3 * CHUNK + 1 + CHUNK];
    uint8_t out[3 * CHUNK + 1 + CHUNK];
} here;

static void begin(uint64_t limit)
{
    here.memory = (struct memory){.limit = limit, .make_room = no_room};
    here.account = (struct account){0};
    if (here.bytes[1] == 0)
        fill_pattern(here.bytes, 5, 0, sizeof(here.bytes));
}

static const uint64_t sizes[] = {
    0,
    1,
    4096,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK - 1,
    2 * CHUNK,
    2 * CHUNK + 1,
    3 * CHUNK,
    3 * CHUNK + 1,
};
static const uint64_t pieces[] = {1021, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK};

static bool append_all(struct body *body, uint64_t expected, uint64_t size, uint64_t piece)
{
    for (uint64_t at = 0; at < size;) {
        uint64_t length = size - at < piece ? size - at : piece;

        if (!body_append(body, &here.memory, &here.account, expected, here.bytes + at, length))
            return false;
        at += length;
        ck_assert_uint_eq(body->size, at);
    }
    return true;
}

static void check_reads(const struct body *body)
{
    uint64_t state = 6;

    memset(here.out, 0, sizeof(here.out));
    body_read(body, 0, here.out, body->size);
    ck_assert_mem_eq(here.out, here.bytes, body->size);
    body_read(body, body->size, here.out, 0);
    for (int i = 0; i < 50 && body->size > 0; i++) {
        uint64_t offset = random_below(&state, body->size);
        uint64_t length = random_below(&state, body->size - offset + 1);

        here.out[length] = 0xa5;
        body_read(body, offset, here.out, length);
        ck_assert_mem_eq(here.out, here.bytes + offset, length);
        ck_assert_uint_eq(here.out[length], 0xa5);
    }
}

static void check_body(uint64_t expected, uint64_t size, uint64_t piece)
{
    struct body body = {0};

    begin(UINT64_MAX / 2);
    ck_assert(append_all(&body, expected, size, piece));
    ck_assert_uint_eq(body.size, size);
    check_reads(&body);
    body_finish(&body, &here.memory, &here.account);
    ck_assert_uint_eq(body.size, size);
    check_reads(&body);
    ck_assert_uint_eq(here.memory.used, here.account.used);
    /* What is charged is the bytes and a little: no unused chunk hides behind the last byte. */
    ck_assert_uint_ge(here.memory.used, size);
    ck_assert_uint_le(here.memory.used, size + 64 * body_chunks(&body) + 8 * body.table_size + 128);
    body_free(&body, &here.memory, &here.account);
    ck_assert_uint_eq(here.memory.used, 0);
    ck_assert_uint_eq(here.account.used, 0);
    ck_assert_uint_eq(body.size, 0);
    ck_assert_uint_eq(body_chunks(&body), 0);
}

START_TEST(body_of_known_size)
{
    for (int p = 0; p < ROWS(pieces); p++)
        check_body(sizes[_i], sizes[_i], pieces[p]);
}
END_TEST

START_TEST(body_of_unknown_size)
{
    for (int p = 0; p < ROWS(pieces); p++)
        check_body(BODY_SIZE_UNKNOWN, sizes[_i], pieces[p]);
}
END_TEST

/* Announced as larger than what has come so far, then given up: all of it comes back. */
START_TEST(body_of_known_size_given_up)
{
    for (int p = 0; p < ROWS(pieces); p++) {
        struct body body = {0};

        begin(UINT64_MAX / 2);
        ck_assert(append_all(&body, 10 * CHUNK + 5, sizes[_i], pieces[p]));
        check_reads(&body);
        body_free(&body, &here.memory, &here.account);
        ck_assert_uint_eq(here.memory.used, 0);
        ck_assert_uint_eq(here.account.used, 0);
    }
}
END_TEST

START_TEST(large_body_of_unknown_size)
{
    enum { CHUNKS = 100 };
    struct body body = {0};

    begin(UINT64_MAX / 2);
    for (uint64_t i = 0; i < CHUNKS; i++) {
        fill_pattern(here.bytes, i, 0, CHUNK);
        ck_assert(body_append(&body, &here.memory, &here.account, BODY_SIZE_UNKNOWN, here.bytes, CHUNK));
    }
    ck_assert_uint_eq(body.size, CHUNKS * CHUNK);
    for (uint64_t i = CHUNKS; i-- > 0;) {
        body_read(&body, i * CHUNK, here.out, CHUNK);
        ck_assert(is_pattern(here.out, i, 0, CHUNK));
    }
    body_free(&body, &here.memory, &here.account);
    ck_assert_uint_eq(here.memory.used, 0);
}
END_TEST

/* Out of memory at every step of growing: what had been appended before is intact, and everything comes
 * back. The limits step through each single allocation: chunk, table, chunk ... */
static void check_starved_body(uint64_t limit, uint64_t expected, uint64_t size)
{
    struct body body = {0};
    uint64_t whole = 0;

    begin(limit);
    while (whole < size) {
        uint64_t length = size - whole < 5000 ? size - whole : 5000;
        if (!body_append(&body, &here.memory, &here.account, expected, here.bytes + whole, length))
            break;
        whole += length;
    }
    ck_assert_uint_ge(body.size, whole);
    ck_assert_uint_le(here.memory.used, limit);
    body_read(&body, 0, here.out, whole);
    ck_assert_mem_eq(here.out, here.bytes, whole);
    body_free(&body, &here.memory, &here.account);
    ck_assert_uint_eq(here.memory.used, 0);
    ck_assert_uint_eq(here.account.used, 0);
}

static const uint64_t announcements[] = {CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1, BODY_SIZE_UNKNOWN};

START_TEST(out_of_memory_at_every_step)
{
    uint64_t expected = announcements[_i];
    uint64_t size = expected == BODY_SIZE_UNKNOWN ? 3 * CHUNK + 1 : expected;

    const uint64_t step = under_valgrind() ? 560 : 80;

    for (uint64_t limit = 0; limit < 4 * CHUNK; limit += step)
        check_starved_body(limit, expected, size);
}
END_TEST

static void read_behind_the_end(void *context)
{
    const uint64_t *range = context;
    struct body body = {0};

    close(STDERR_FILENO);
    begin(UINT64_MAX / 2);
    append_all(&body, 100, 100, 100);
    body_read(&body, range[0], here.out, range[1]);
}

static const uint64_t ranges[][2] = {{0, 101}, {100, 1}, {101, 0}, {UINT64_MAX, 2}, {1, UINT64_MAX}};

START_TEST(reading_behind_the_end_is_a_bug)
{
    uint64_t range[2] = {ranges[_i][0], ranges[_i][1]};

    ck_assert_int_eq(status_of_child(read_behind_the_end, range), 128 + SIGABRT);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, charge_is_what_the_allocator_gave);
    tcase_add_test(tcase, limit_is_kept_by_asking_for_room);
    tcase_add_test(tcase, room_for_an_index_is_asked_for_before);
    tcase_add_test(tcase, limit_of_an_account_is_kept_by_asking_too);
    tcase_add_test(tcase, shrinking_gives_back_and_keeps_the_bytes);
    ADD_ROWS(tcase, body_of_known_size, sizes);
    ADD_ROWS(tcase, body_of_unknown_size, sizes);
    ADD_ROWS(tcase, body_of_known_size_given_up, sizes);
    tcase_add_test(tcase, large_body_of_unknown_size);
    ADD_ROWS(tcase, out_of_memory_at_every_step, announcements);
    ADD_ROWS(tcase, reading_behind_the_end_is_a_bug, ranges);
}

int main(void)
{
    return run_suite("body", add_cases);
}
