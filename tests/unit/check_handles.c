/* handles: full, stale, reused, and guessed ones. */
#include "handles.h"

#include "check_unit.h"

#define CAPACITY 8u

static int items[64];

static struct handles make(uint32_t capacity)
{
    struct handles handles;

    ck_assert(handles_create(&handles, capacity));
    return handles;
}

START_TEST(what_is_put_is_found_and_taken_once)
{
    struct handles handles = make(CAPACITY);
    uint64_t put[CAPACITY];

    for (uint32_t i = 0; i < CAPACITY; i++) {
        put[i] = handles_put(&handles, &items[i]);
        ck_assert_uint_ne(put[i], 0);
        ck_assert_uint_eq(handles.used, i + 1);
        for (uint32_t j = 0; j < i; j++)
            ck_assert_uint_ne(put[i], put[j]);
    }
    ck_assert_uint_eq(handles_put(&handles, &items[60]), 0); /* full */
    ck_assert_uint_eq(handles.used, CAPACITY);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        ck_assert_ptr_eq(handles_get(&handles, put[i]), &items[i]);
        ck_assert_ptr_eq(handles_take(&handles, put[i]), &items[i]);
        ck_assert_ptr_null(handles_take(&handles, put[i]));
        ck_assert_ptr_null(handles_get(&handles, put[i]));
    }
    ck_assert_uint_eq(handles.used, 0);
    handles_destroy(&handles);
}
END_TEST

START_TEST(reused_place_refuses_earlier_handles)
{
    struct handles handles = make(1);
    uint64_t earlier[100];

    for (int i = 0; i < 100; i++) {
        earlier[i] = handles_put(&handles, &items[0]);
        ck_assert_uint_ne(earlier[i], 0);
        for (int j = 0; j < i; j++) {
            ck_assert_ptr_null(handles_get(&handles, earlier[j]));
            ck_assert_ptr_null(handles_take(&handles, earlier[j]));
        }
        ck_assert_ptr_eq(handles_take(&handles, earlier[i]), &items[0]);
    }
    handles_destroy(&handles);
}
END_TEST

START_TEST(guessed_handles_are_refused)
{
    struct handles handles = make(CAPACITY);
    uint64_t real = handles_put(&handles, &items[0]), state = 8;
    static const uint64_t guesses[] = {
        0, CAPACITY + 1, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 32, UINT64_C(0xffffffff00000001), 2,
    };

    for (int i = 0; i < ROWS(guesses); i++)
        ck_assert_ptr_null(handles_get(&handles, guesses[i]));
    for (int bit = 0; bit < 64; bit++)
        ck_assert_ptr_null(handles_take(&handles, real ^ UINT64_C(1) << bit));
    for (int i = 0; i < 100000; i++) {
        uint64_t guess = next_random(&state);
        if (guess != real && handles_get(&handles, guess))
            ck_abort_msg("found %llx", (unsigned long long)guess);
    }
    ck_assert_ptr_eq(handles_take(&handles, real), &items[0]);
    handles_destroy(&handles);
}
END_TEST

START_TEST(generation_wraps_around)
{
    struct handles handles = make(1);

    handles.places[0].generation = UINT32_MAX;
    uint64_t last = handles_put(&handles, &items[0]);
    ck_assert_uint_ne(last, 0);
    ck_assert_ptr_eq(handles_take(&handles, last), &items[0]);
    uint64_t next = handles_put(&handles, &items[1]);
    ck_assert_uint_ne(next, 0);
    ck_assert_uint_ne(next, last);
    ck_assert_ptr_null(handles_get(&handles, last));
    ck_assert_ptr_eq(handles_get(&handles, next), &items[1]);
    handles_destroy(&handles);
}
END_TEST

START_TEST(taking_any_empties)
{
    struct handles handles = make(64);
    bool seen[64] = {false};
    uint64_t put[64];
    uint64_t handle;

    ck_assert_uint_eq(handles_any(&handles), 0);
    for (int i = 0; i < 64; i++)
        put[i] = handles_put(&handles, &items[i]);
    for (int i = 0; i < 64; i += 3)
        handles_take(&handles, put[i]);
    while ((handle = handles_any(&handles))) {
        ck_assert_uint_eq(handles_any(&handles), handle);
        int i = (int)((int *)handles_take(&handles, handle) - items);
        ck_assert(i % 3 != 0 && !seen[i]);
        seen[i] = true;
        ck_assert_ptr_null(handles_get(&handles, put[i]));
    }
    ck_assert_uint_eq(handles.used, 0);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(seen[i], i % 3 != 0);
    ck_assert_uint_ne(handles_put(&handles, &items[0]), 0);
    handles_destroy(&handles);
}
END_TEST

START_TEST(notes_belong_to_one_use_of_a_place)
{
    struct handles handles = make(2);

    ck_assert_uint_eq(handles_any(&handles), 0);
    ck_assert_ptr_null(handles_note(&handles, 0));
    uint64_t first = handles_put(&handles, &items[0]), second = handles_put(&handles, &items[1]);
    ck_assert_ptr_null(*handles_note(&handles, first));
    *handles_note(&handles, first) = &first;
    *handles_note(&handles, second) = &second;
    ck_assert_ptr_eq(*handles_note(&handles, first), &first);
    ck_assert_ptr_eq(handles_take(&handles, first), &items[0]);
    ck_assert_ptr_null(handles_note(&handles, first));
    ck_assert_uint_eq(handles_any(&handles), second);
    uint64_t next = handles_put(&handles, &items[0]);
    ck_assert_ptr_null(*handles_note(&handles, next));
    ck_assert_ptr_eq(*handles_note(&handles, second), &second);
    handles_destroy(&handles);
}
END_TEST

START_TEST(random_operations_agree_with_the_model)
{
    enum { PLACES = 16 };
    struct handles handles = make(PLACES);
    uint64_t live[PLACES] = {0}, dead[256] = {0}, state = 9;
    uint32_t used = 0;

    for (int step = 0; step < 10000; step++) {
        uint32_t slot = (uint32_t)random_below(&state, PLACES);

        if (live[slot] == 0) {
            live[slot] = handles_put(&handles, &items[slot]);
            ck_assert_uint_ne(live[slot], 0);
            used++;
        } else {
            ck_assert_ptr_eq(handles_get(&handles, live[slot]), &items[slot]);
            ck_assert_ptr_eq(handles_take(&handles, live[slot]), &items[slot]);
            dead[random_below(&state, 256)] = live[slot];
            live[slot] = 0;
            used--;
        }
        ck_assert_ptr_null(handles_get(&handles, dead[random_below(&state, 256)]));
        ck_assert_uint_eq(handles.used, used);
        if (used == PLACES)
            ck_assert_uint_eq(handles_put(&handles, items), 0);
    }
    handles_destroy(&handles);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, what_is_put_is_found_and_taken_once);
    tcase_add_test(tcase, reused_place_refuses_earlier_handles);
    tcase_add_test(tcase, guessed_handles_are_refused);
    tcase_add_test(tcase, generation_wraps_around);
    tcase_add_test(tcase, taking_any_empties);
    tcase_add_test(tcase, notes_belong_to_one_use_of_a_place);
    tcase_add_test(tcase, random_operations_agree_with_the_model);
}

int main(void)
{
    return run_suite("handles", add_cases);
}
