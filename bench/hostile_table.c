#include "hostile_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP_S        0.25
#define NEIGHBOUR_MOST_S 10.0 /* a minute's attack is compared with ten seconds of neighbourliness */
#define MOVED_BYTES      512

/* ---- slices ---- */

struct totals {
    uint64_t answered, hits, misses, attacks;
    double cache_seconds, time;
};

struct slice_numbers {
    double rate, hit_share, attack_rate, cache_share;
    double hello_ms; /* how long a newcomer took to register; negative: no answer */
    bool stores;     /* it can store an object, and find it */
};

struct round {
    struct slice_numbers with_neighbour, with_hostile;
    double ratio;
    bool attacked; /* it got ready and lasted */
    bool calm;     /* all answers came */
};

static struct totals totals(const struct stage *stage)
{
    const struct board *board = stage->board;
    struct totals sum = {
        .attacks = atomic_load(&board->attacks),
        .cache_seconds = stage_cache_seconds(stage),
        .time = (double)now_ns() / 1e9,
    };

    for (uint32_t i = 0; i < stage->options.victims; i++) {
        sum.answered += atomic_load(&board->loads[i].answered);
        sum.hits += atomic_load(&board->loads[i].hits);
        sum.misses += atomic_load(&board->loads[i].misses);
    }
    return sum;
}

/* What happens in so many seconds; half-way somebody new registers. */
static struct slice_numbers measure(const struct stage *stage, enum slice slice, double seconds)
{
    stage_pause(WARM_UP_S);
    struct totals first = totals(stage);
    atomic_store(&stage->board->slice, slice);
    stage_pause(seconds / 2);
    double hello_ms = ask_newcomer_ms(stage->instance);
    bool stores = ask_to_store(stage->instance);
    stage_pause(seconds / 2);
    atomic_store(&stage->board->slice, SLICE_NONE);
    struct totals last = totals(stage);

    double time = last.time - first.time;
    uint64_t lookups = last.hits + last.misses - first.hits - first.misses;
    return (struct slice_numbers){
        .rate = (double)(last.answered - first.answered) / time,
        .hit_share = lookups ? (double)(last.hits - first.hits) / (double)lookups : 0,
        .attack_rate = (double)(last.attacks - first.attacks) / time,
        .cache_share = (last.cache_seconds - first.cache_seconds) / time,
        .hello_ms = hello_ms,
        .stores = stores,
    };
}

static void run_round(struct stage *stage, const struct attack *attack, double seconds, struct round *round)
{
    atomic_store(&stage->board->phase, PHASE_NEIGHBOUR);
    round->with_neighbour =
        measure(stage, SLICE_NEIGHBOUR, seconds < NEIGHBOUR_MOST_S ? seconds : NEIGHBOUR_MOST_S);
    round->calm = stage_calm(stage);
    round->attacked = stage_begin(stage, attack);
    atomic_store(&stage->board->phase, PHASE_ATTACK);
    if (round->attacked)
        round->with_hostile = measure(stage, SLICE_ATTACK, seconds);
    round->attacked &= stage_end(stage) && atomic_load(&stage->board->attacks) > 0;
    round->calm &= stage_calm(stage);
    if (round->with_neighbour.rate > 0)
        round->ratio = round->with_hostile.rate / round->with_neighbour.rate;
}

/* ---- sums ---- */

static uint64_t wrong_bytes(const struct stage *stage)
{
    uint64_t wrong = 0;

    for (uint32_t i = 0; i < stage->load_count; i++)
        wrong += atomic_load(&stage->board->loads[i].wrong);
    return wrong;
}

static uint32_t lost_registrations(const struct stage *stage)
{
    uint32_t lost = 0;

    for (uint32_t i = 0; i < stage->load_count; i++)
        lost += atomic_load(&stage->board->loads[i].detached);
    return lost;
}

/* Microseconds that this share of the victims' answers took at most. */
static double percentile(const struct stage *stage, enum slice slice, double share)
{
    uint64_t rooms[LATENCY_ROOMS] = {0}, sum = 0, seen = 0;

    for (uint32_t i = 0; i < stage->options.victims; i++) {
        for (unsigned room = 0; room < LATENCY_ROOMS; room++)
            rooms[room] += atomic_load(&stage->board->loads[i].latency[slice][room]);
    }
    for (unsigned room = 0; room < LATENCY_ROOMS; room++)
        sum += rooms[room];
    for (unsigned room = LATENCY_FIRST; room < LATENCY_ROOMS && sum > 0; room++) {
        seen += rooms[room];
        if ((double)seen >= share * (double)sum)
            return load_room_us(room);
    }
    return 0;
}

static void forget_latencies(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->load_count; i++) {
        for (unsigned room = 0; room < LATENCY_ROOMS; room++) {
            atomic_store(&stage->board->loads[i].latency[SLICE_NEIGHBOUR][room], 0);
            atomic_store(&stage->board->loads[i].latency[SLICE_ATTACK][room], 0);
        }
    }
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double median(const struct round *rounds, int count, double (*value)(const struct round *))
{
    double values[TABLE_ROUNDS_MAX];

    for (int i = 0; i < count; i++)
        values[i] = value(&rounds[i]);
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double ratio_of(const struct round *round)
{
    return round->ratio;
}

static double honest_rate(const struct round *round)
{
    return round->with_neighbour.rate;
}

static double rate_under_attack(const struct round *round)
{
    return round->with_hostile.rate;
}

static double attack_rate(const struct round *round)
{
    return round->with_hostile.attack_rate;
}

static double honest_hit_share(const struct round *round)
{
    return round->with_neighbour.hit_share;
}

static double hit_share(const struct round *round)
{
    return round->with_hostile.hit_share;
}

static double cache_share(const struct round *round)
{
    return round->with_hostile.cache_share;
}

static double hello_ms(const struct round *round)
{
    return round->with_hostile.hello_ms;
}

/* ---- the line ---- */

static const enum counter watched[] = {
    COUNTER_bad_messages,
    COUNTER_registrations,
    COUNTER_registrations_refused,
    COUNTER_departures,
    COUNTER_proxies_reclaimed,
    COUNTER_proxies_dropped,
    COUNTER_faults_caught,
    COUNTER_bad_requests,
    COUNTER_fenced,
    COUNTER_busy,
    COUNTER_no_memory,
    COUNTER_too_large,
    COUNTER_evictions,
    COUNTER_expired,
    COUNTER_stalls,
    COUNTER_stalled_dropped,
    COUNTER_promoted,
};

static void describe_moves(const struct wire_row *before, const struct wire_row *after, char *out,
                           size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < ROWS(watched) && used < size; i++) {
        uint64_t moved = after->values[watched[i]] - before->values[watched[i]];
        if (moved > 0)
            used += (size_t)snprintf(out + used, size - used, " %s+%" PRIu64, counter_infos[watched[i]].name,
                                     moved);
    }
}

struct verdict {
    bool fine;
    char text[384];
};

static void find_fault(struct verdict *verdict, const char *text)
{
    size_t used = strlen(verdict->text);

    verdict->fine = false;
    snprintf(verdict->text + used, sizeof(verdict->text) - used, "%s%s", used ? ", " : "FAIL: ", text);
}

static bool is_quick(double hello_ms)
{
    return hello_ms >= 0 && hello_ms <= TABLE_MOST_HELLO_MS;
}

static struct verdict judge(const struct stage *stage, const struct attack *attack,
                            const struct round *rounds, int count, const char *left, uint64_t wrong)
{
    struct verdict verdict = {.fine = true};
    bool attacked = true, calm = true, stores = true, quick = true;

    for (int i = 0; i < count; i++) {
        attacked &= rounds[i].attacked;
        calm &= rounds[i].calm;
        stores &= rounds[i].with_hostile.stores;
        quick &= is_quick(rounds[i].with_hostile.hello_ms);
    }
    if (!attacked)
        find_fault(&verdict, "no attack");
    if (median(rounds, count, ratio_of) < TABLE_LEAST_RATIO)
        find_fault(&verdict, "too slow");
    if (!attack->fewer_hits &&
        median(rounds, count, hit_share) < TABLE_LEAST_HITS * median(rounds, count, honest_hit_share))
        find_fault(&verdict, "fewer hits");
    if (!stores)
        find_fault(&verdict, "a newcomer cannot store");
    if (!quick)
        find_fault(&verdict, "a newcomer is not registered in time");
    if (!calm)
        find_fault(&verdict, "answers are missing");
    if (left[0])
        find_fault(&verdict, left);
    if (wrong)
        find_fault(&verdict, "wrong bytes");
    if (!stage_cache_lives(stage))
        find_fault(&verdict, "the cache has ended");
    if (verdict.fine)
        snprintf(verdict.text, sizeof(verdict.text), "ok");
    return verdict;
}

void table_head(void)
{
    printf("%-14s %9s %9s %6s %6s %18s %18s %6s %6s %8s %10s  %s\n", "attack", "neighbour", "hostile",
           "ratio", "least", "us p50/p99/max", "us p50/p99/max", "hits %", "cpu %", "hello ms", "attacks/s",
           "verdict; what the cache has counted");
}

static void describe_latencies(const struct stage *stage, enum slice slice, char *out, size_t size)
{
    snprintf(out, size, "%.0f/%.0f/%.0f", percentile(stage, slice, 0.5), percentile(stage, slice, 0.99),
             percentile(stage, slice, 1));
}

static void print_numbers(const struct stage *stage, const struct round *rounds, int count)
{
    char honest[48], hostile[48];
    double least = rounds[0].ratio;

    for (int i = 1; i < count; i++)
        least = rounds[i].ratio < least ? rounds[i].ratio : least;
    describe_latencies(stage, SLICE_NEIGHBOUR, honest, sizeof(honest));
    describe_latencies(stage, SLICE_ATTACK, hostile, sizeof(hostile));
    printf("%9.0f %9.0f %6.2f %6.2f %18s %18s %6.1f %6.0f %8.1f %10.0f", median(rounds, count, honest_rate),
           median(rounds, count, rate_under_attack), median(rounds, count, ratio_of), least, honest, hostile,
           100 * median(rounds, count, hit_share), 100 * median(rounds, count, cache_share),
           median(rounds, count, hello_ms), median(rounds, count, attack_rate));
}

bool table_measure(struct stage *stage, const struct attack *attack, double seconds, int rounds)
{
    static struct wire_row before, after;
    struct round done[TABLE_ROUNDS_MAX] = {0};
    char left[128], moved[MOVED_BYTES];
    uint64_t wrong = wrong_bytes(stage);
    uint32_t lost = lost_registrations(stage);
    int count = 0;

    stage_await_rest(stage, &before, left, sizeof(left));
    forget_latencies(stage);
    do
        run_round(stage, attack, seconds, &done[count++]);
    while (count < rounds && done[count - 1].calm && !stage_interrupted());
    after = before; /* unless it answers */
    stage_await_rest(stage, &after, left, sizeof(left));
    describe_moves(&before, &after, moved, sizeof(moved));
    struct verdict verdict = judge(stage, attack, done, count, left, wrong_bytes(stage) - wrong);
    printf("%-14s ", attack->name);
    print_numbers(stage, done, count);
    printf("  %s;%s", verdict.text, moved);
    lost = lost_registrations(stage) - lost;
    if (lost > 0)
        printf(" honest registrations lost: %" PRIu32, lost);
    printf("\n");
    fflush(stdout);
    return verdict.fine;
}
