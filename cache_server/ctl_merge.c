#include "ctl_merge.h"

#include "counters.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- statistics ---- */

enum merging {
    ADDED_UP,
    LEAST_OF_ALL, /* what every shard has to have seen */
    MOST_OF_ALL,  /* what one of them has seen */
};

/* By position in a row; all others are added up. */
static const struct {
    unsigned number;
    enum merging merging;
} kinds[] = {
    {COUNTER_registrations, LEAST_OF_ALL},
    {COUNTER_departures, LEAST_OF_ALL},
    {COUNTER_proxies_reclaimed, LEAST_OF_ALL},
    {COUNTER_proxies_dropped, MOST_OF_ALL},
    {COUNTER_faults_caught, MOST_OF_ALL},
    {COUNTER_stalls, LEAST_OF_ALL},
    {COUNTER_thaws, LEAST_OF_ALL},
    {COUNTER_stalled_dropped, MOST_OF_ALL},
    {COUNTER_COUNT + GAUGE_proxies, MOST_OF_ALL},
    {COUNTER_COUNT + GAUGE_stalled, LEAST_OF_ALL},
    {COUNTER_COUNT + GAUGE_pools, MOST_OF_ALL},
    {COUNTER_COUNT + GAUGE_descriptors, MOST_OF_ALL},
    {COUNTER_COUNT + GAUGE_bytes_resident, MOST_OF_ALL},
    {COUNTER_COUNT + GAUGE_weight, MOST_OF_ALL},
    {COUNTER_COUNT + GAUGE_shards, MOST_OF_ALL},
};

static enum merging merging_of(const struct wire_row *row, unsigned number)
{
    for (size_t i = 0; row->kind != WIRE_ROW_TIMES && i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (kinds[i].number == number)
            return kinds[i].merging;
    }
    return ADDED_UP;
}

static uint64_t merged_value(uint64_t so_far, uint64_t value, enum merging merging)
{
    switch (merging) {
    case LEAST_OF_ALL:
        return value < so_far ? value : so_far;
    case MOST_OF_ALL:
        return value > so_far ? value : so_far;
    case ADDED_UP:
        break;
    }
    return so_far + value;
}

static bool is_same(const struct wire_row *a, const struct wire_row *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case WIRE_ROW_TENANT:
        return strcmp(a->name, b->name) == 0;
    case WIRE_ROW_PROXY:
        return a->token == b->token;
    case WIRE_ROW_TIMES:
        return a->state == b->state;
    default:
        return true;
    }
}

static void add(struct wire_row *sum, const struct wire_row *row)
{
    for (unsigned i = 0; i < WIRE_ROW_VALUES; i++)
        sum->values[i] = merged_value(sum->values[i], row->values[i], merging_of(row, i));
    if (row->kind == WIRE_ROW_PROXY && (row->state & WIRE_STATE_LIFE) == WIRE_STATE_ALIVE)
        sum->state = (sum->state & ~WIRE_STATE_LIFE) | WIRE_STATE_ALIVE;
}

size_t ctl_merge_rows(struct wire_row *rows, size_t merged, size_t count)
{
    size_t kept = merged;

    for (size_t i = merged; i < count; i++) {
        size_t at = 0;
        while (at < merged && !is_same(&rows[at], &rows[i]))
            at++;
        if (at < merged)
            add(&rows[at], &rows[i]);
        else
            rows[kept++] = rows[i];
    }
    return kept;
}

/* ---- the most used ---- */

static bool is_of_tenant(const struct wire_top_row *a, const struct wire_top_row *b)
{
    return strcmp(a->tenant, b->tenant) == 0;
}

/* What stands in a row may be cut; then a length in common is taken for the same text. */
static bool is_same_text(const struct wire_top_row *a, const struct wire_top_row *b)
{
    return a->kind == b->kind && a->length > 0 && a->length == b->length &&
           a->text_length == b->text_length && memcmp(a->text, b->text, a->text_length) == 0 &&
           is_of_tenant(a, b);
}

/* 0: none of these rows is of that tenant. */
static uint64_t total_of(const struct wire_top_row *rows, size_t from, size_t to,
                         const struct wire_top_row *tenant)
{
    for (size_t i = from; i < to; i++) {
        if (is_of_tenant(&rows[i], tenant))
            return rows[i].total;
    }
    return 0;
}

/* All rows of a tenant have its total in all shards so far. */
static void add_totals(struct wire_top_row *rows, size_t merged, size_t count)
{
    uint64_t *totals = calloc(count ? count : 1, sizeof(*totals));

    if (!totals) /* shares of the whole are then those of a shard */
        return;
    for (size_t i = 0; i < count; i++)
        totals[i] = total_of(rows, 0, merged, &rows[i]) + total_of(rows, merged, count, &rows[i]);
    for (size_t i = 0; i < count; i++)
        rows[i].total = totals[i];
    free(totals);
}

/* By tenant and kind, then the most used first. */
static int compare(const void *a, const void *b)
{
    const struct wire_top_row *one = a, *other = b;
    int order = strcmp(one->tenant, other->tenant);

    if (order == 0)
        order = (one->kind > other->kind) - (one->kind < other->kind);
    return order ? order : (one->count < other->count) - (one->count > other->count);
}

static size_t cut(struct wire_top_row *rows, size_t count, uint32_t most)
{
    size_t kept = 0;
    uint32_t run = 0;

    for (size_t i = 0; i < count; i++) {
        bool begins =
            kept == 0 || rows[kept - 1].kind != rows[i].kind || !is_of_tenant(&rows[kept - 1], &rows[i]);
        run = begins ? 1 : run + 1;
        if (run <= most)
            rows[kept++] = rows[i];
    }
    return kept;
}

size_t ctl_merge_top(struct wire_top_row *rows, size_t merged, size_t count, uint32_t most)
{
    size_t kept = merged;

    add_totals(rows, merged, count);
    for (size_t i = merged; i < count; i++) {
        size_t at = 0;
        while (at < merged && !is_same_text(&rows[at], &rows[i]))
            at++;
        if (at < merged) {
            rows[at].count += rows[i].count;
            rows[at].error += rows[i].error;
        } else {
            rows[kept++] = rows[i];
        }
    }
    qsort(rows, kept, sizeof(*rows), compare);
    return cut(rows, kept, most);
}
