/* free_map: which place is next, and where a row begins, against an array of truth values. */
#include "free_map.h"

#include "check_unit.h"

#define MOST 200u

static struct free_map map;
static bool model[MOST];
static uint32_t count;

static const uint32_t counts[] = {1, 2, 63, 64, 65, 128, MOST};

static void begin(uint32_t places)
{
    count = places;
    ck_assert(free_map_setup(&map, count));
    memset(model, true, sizeof(model));
}

static uint32_t model_lowest(void)
{
    for (uint32_t place = 0; place < count; place++) {
        if (model[place])
            return place;
    }
    return FREE_MAP_NONE;
}

static bool model_row_at(uint32_t place, uint32_t length)
{
    for (uint32_t i = place; i < place + length; i++) {
        if (i >= count || !model[i])
            return false;
    }
    return true;
}

static uint32_t model_row(uint32_t length)
{
    for (uint32_t place = count; place-- > 0;) {
        if (model_row_at(place, length))
            return place;
    }
    return FREE_MAP_NONE;
}

static void compare(void)
{
    for (uint32_t place = 0; place < count + 70; place++)
        ck_assert_int_eq(free_map_has(&map, place), place < count && model[place]);
    ck_assert_uint_eq(free_map_lowest(&map), model_lowest());
    for (uint32_t length = 1; length < count + 2; length = length < 8 ? length + 1 : length * 2)
        ck_assert_uint_eq(free_map_row(&map, length), model_row(length));
    ck_assert_uint_eq(free_map_row(&map, count), model_row(count));
}

static void flip(uint32_t place)
{
    if (model[place])
        free_map_take(&map, place);
    else
        free_map_give(&map, place);
    model[place] = !model[place];
}

START_TEST(all_are_free_at_first)
{
    begin(counts[_i]);
    compare();
    ck_assert_uint_eq(free_map_row(&map, count), 0);
    free_map_teardown(&map);
}
END_TEST

START_TEST(lowest_goes_first)
{
    begin(counts[_i]);
    for (uint32_t place = 0; place < count; place++) {
        ck_assert_uint_eq(free_map_lowest(&map), place);
        flip(place);
    }
    compare();
    flip(count - 1);
    flip(count / 2 == count - 1 ? 0 : count / 2);
    compare();
    free_map_teardown(&map);
}
END_TEST

/* Few, half and most of the places free. */
START_TEST(is_as_the_model_says)
{
    uint64_t state = (uint64_t)_i;

    begin(counts[(unsigned)_i % ROWS(counts)]);
    for (int i = 0; i < 600; i++) {
        uint32_t place = (uint32_t)(next_random(&state) % count);
        if (model[place] || next_random(&state) % 4 <= (unsigned)_i % 5)
            flip(place);
        compare();
    }
    free_map_teardown(&map);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, all_are_free_at_first, counts);
    ADD_ROWS(tcase, lowest_goes_first, counts);
    tcase_add_loop_test(tcase, is_as_the_model_says, 0, 5 * ROWS(counts));
}

int main(void)
{
    return run_suite("free_map", add_cases);
}
