/* ctl_merge: what the shards say of one thing is one row; what each has for itself is not counted twice. */
#include "ctl_merge.h"

#include "check_unit.h"
#include "counters.h"

#include <string.h>

static struct wire_row a_row(uint32_t kind, const char *name, uint64_t token, uint64_t hits, uint64_t stalls)
{
    struct wire_row row = {.kind = kind, .token = token};

    memcpy(row.name, name, strlen(name) + 1);
    row.values[COUNTER_hits] = hits;
    row.values[COUNTER_stalls] = stalls;
    row.values[COUNTER_registrations] = 10 - stalls;
    row.values[COUNTER_COUNT + GAUGE_proxies] = 3;
    row.values[COUNTER_COUNT + GAUGE_bytes_allowed] = 100;
    return row;
}

START_TEST(rows_of_one_thing_become_one)
{
    struct wire_row rows[] = {
        a_row(WIRE_ROW_CACHE, "instance", 0, 10, 1), a_row(WIRE_ROW_TENANT, "news", 0, 4, 1),
        a_row(WIRE_ROW_TENANT, "blog", 0, 6, 0),     a_row(WIRE_ROW_PROXY, "news", 77, 4, 1),
        a_row(WIRE_ROW_PROXY, "blog", 78, 6, 0),     a_row(WIRE_ROW_CACHE, "instance", 0, 20, 2),
        a_row(WIRE_ROW_TENANT, "blog", 0, 15, 2),    a_row(WIRE_ROW_TENANT, "only", 0, 5, 0),
        a_row(WIRE_ROW_PROXY, "blog", 78, 15, 2),    a_row(WIRE_ROW_PROXY, "blog", 79, 5, 0),
    };

    ck_assert_uint_eq(ctl_merge_rows(rows, 5, 10), 7);
    ck_assert_uint_eq(rows[0].values[COUNTER_hits], 30);
    ck_assert_uint_eq(rows[0].values[COUNTER_stalls], 1);
    ck_assert_uint_eq(rows[0].values[COUNTER_registrations], 8);
    ck_assert_uint_eq(rows[0].values[COUNTER_COUNT + GAUGE_proxies], 3);
    ck_assert_uint_eq(rows[0].values[COUNTER_COUNT + GAUGE_bytes_allowed], 200);
    ck_assert_uint_eq(rows[1].values[COUNTER_hits], 4);
    ck_assert_uint_eq(rows[2].values[COUNTER_hits], 21);
    ck_assert_uint_eq(rows[3].values[COUNTER_hits], 4);
    ck_assert_uint_eq(rows[4].values[COUNTER_hits], 21);
    ck_assert_uint_eq(rows[4].values[COUNTER_stalls], 0);
    ck_assert_str_eq(rows[5].name, "only"); /* what only the other shard has stands behind */
    ck_assert_uint_eq(rows[6].token, 79);
}
END_TEST

/* Values of a row of times are no counters, whatever their place. */
START_TEST(alive_for_one_is_alive)
{
    static const uint32_t states[][3] = {
        {WIRE_STATE_STALLED, WIRE_STATE_STALLED, WIRE_STATE_STALLED},
        {WIRE_STATE_STALLED, WIRE_STATE_ALIVE, WIRE_STATE_ALIVE},
        {WIRE_STATE_STALLED | WIRE_STATE_DRAINED, WIRE_STATE_ALIVE, WIRE_STATE_ALIVE | WIRE_STATE_DRAINED},
        {WIRE_STATE_ALIVE, WIRE_STATE_STALLED | WIRE_STATE_DRAINED, WIRE_STATE_ALIVE},
    };

    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        struct wire_row rows[] = {{.kind = WIRE_ROW_PROXY, .state = states[i][0]},
                                  {.kind = WIRE_ROW_PROXY, .state = states[i][1]}};
        ck_assert_uint_eq(ctl_merge_rows(rows, 1, 2), 1);
        ck_assert_uint_eq(rows[0].state, states[i][2]);
    }
}
END_TEST

START_TEST(times_add_up)
{
    struct wire_row rows[3] = {{.kind = WIRE_ROW_TIMES, .state = WIRE_OP_READ},
                               {.kind = WIRE_ROW_TIMES, .state = WIRE_OP_READ},
                               {.kind = WIRE_ROW_TIMES, .state = WIRE_OP_LOOKUP}};

    for (unsigned i = 0; i <= WIRE_TIMES_BUCKETS; i++) {
        rows[0].values[i] = i;
        rows[1].values[i] = 100;
    }
    ck_assert_uint_eq(ctl_merge_rows(rows, 1, 3), 2);
    for (unsigned i = 0; i <= WIRE_TIMES_BUCKETS; i++)
        ck_assert_uint_eq(rows[0].values[i], 100 + i);
    ck_assert_uint_eq(rows[1].state, WIRE_OP_LOOKUP);
}
END_TEST

static struct wire_top_row top_row(const char *tenant, uint32_t kind, const char *text, uint64_t count,
                                   uint64_t total)
{
    struct wire_top_row row = {.kind = kind, .count = count, .error = 1, .total = total};

    memcpy(row.tenant, tenant, strlen(tenant) + 1);
    row.length = row.text_length = (uint32_t)strlen(text);
    memcpy(row.text, text, row.length);
    return row;
}

static void expect_top(const struct wire_top_row *row, const char *text, uint64_t count, uint64_t total)
{
    ck_assert_uint_eq(row->text_length, strlen(text));
    ck_assert_mem_eq(row->text, text, row->text_length);
    ck_assert_uint_eq(row->count, count);
    ck_assert_uint_eq(row->total, total);
}

START_TEST(most_used_of_all_shards)
{
    struct wire_top_row rows[] = {
        top_row("news", WIRE_TOP_KEY, "a", 50, 100), top_row("news", WIRE_TOP_KEY, "b", 20, 100),
        top_row("news", WIRE_TOP_TAG, "t", 30, 100), top_row("news", WIRE_TOP_KEY, "c", 40, 60),
        top_row("news", WIRE_TOP_KEY, "d", 10, 60),  top_row("news", WIRE_TOP_TAG, "u", 45, 60),
        top_row("news", WIRE_TOP_TAG, "t", 25, 60),  top_row("zeta", WIRE_TOP_KEY, "a", 1, 7),
    };

    ck_assert_uint_eq(ctl_merge_top(rows, 3, 8, 2), 5);
    expect_top(&rows[0], "a", 50, 160);
    expect_top(&rows[1], "c", 40, 160);
    expect_top(&rows[2], "t", 55, 160); /* a tag is in several shards */
    ck_assert_uint_eq(rows[2].error, 2);
    expect_top(&rows[3], "u", 45, 160);
    expect_top(&rows[4], "a", 1, 7);
    ck_assert_str_eq(rows[4].tenant, "zeta");
}
END_TEST

/* Two tags whose texts are not known need not be the same. */
START_TEST(what_has_no_text_stays_apart)
{
    struct wire_top_row rows[] = {top_row("news", WIRE_TOP_TAG, "", 5, 9),
                                  top_row("news", WIRE_TOP_TAG, "", 4, 9)};

    ck_assert_uint_eq(ctl_merge_top(rows, 1, 2, 10), 2);
    expect_top(&rows[0], "", 5, 18);
    expect_top(&rows[1], "", 4, 18);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, rows_of_one_thing_become_one);
    tcase_add_test(tcase, alive_for_one_is_alive);
    tcase_add_test(tcase, times_add_up);
    tcase_add_test(tcase, most_used_of_all_shards);
    tcase_add_test(tcase, what_has_no_text_stays_apart);
}

int main(void)
{
    return run_suite("ctl_merge", add_cases);
}
