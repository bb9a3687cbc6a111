/* eviction: each policy on sequences worked out by hand, admission, a change of policy, the bound on the work
 * of one call; and what is remembered of those that have gone. */
#include "eviction.h"

#include "check_unit.h"

#include <string.h>

enum { NODES = 4096, WEIGHT = 10, LARGE = 1000 };

static struct {
    struct memory memory;
    struct account account;
    struct eviction eviction;
    struct eviction_node nodes[NODES];
    uint64_t weights[NODES];
    unsigned asked; /* weights, that is steps of s3fifo */
} here;

static bool no_room(void *context, struct account *account, uint64_t bytes, uint64_t own)
{
    (void)context;
    (void)account;
    (void)bytes;
    (void)own;
    return false;
}

static void begin(enum eviction_policy policy, bool admission)
{
    memset(&here, 0, sizeof(here));
    here.memory = (struct memory){.limit = (uint64_t)1 << 30, .make_room = no_room};
    eviction_configure(&here.eviction, policy, admission);
    here.eviction.large = LARGE;
}

static uint64_t weight_of(const struct eviction_node *node)
{
    here.asked++;
    return here.weights[node - here.nodes];
}

static uint64_t hash_of(int i)
{
    uint64_t state = (uint64_t)i;

    return next_random(&state);
}

static void add_heavy(int i, uint64_t weight)
{
    here.weights[i] = weight;
    here.nodes[i].queue = EVICTION_NEW;
    eviction_prepare(&here.eviction, &here.memory, &here.account, weight);
    eviction_add(&here.eviction, &here.nodes[i], weight, hash_of(i));
}

static void add(int i)
{
    add_heavy(i, WEIGHT);
}

static void add_from_to(int from, int to)
{
    for (int i = from; i <= to; i++)
        add(i);
}

static void use(int i)
{
    eviction_used(&here.eviction, &here.nodes[i], true, weight_of);
}

static void leave(int i)
{
    eviction_leave(&here.eviction, &here.nodes[i], here.weights[i]);
}

static int evict(void)
{
    struct eviction_node *node = eviction_next(&here.eviction, weight_of);

    if (!node)
        return -1;
    ck_assert_ptr_eq(eviction_next(&here.eviction, weight_of),
                     node); /* the same again, until something changes */
    int i = (int)(node - here.nodes);
    eviction_evict(&here.eviction, node, here.weights[i], hash_of(i));
    return i;
}

/* -1 ends the list, and says that nothing is left. */
static void expect(const int order[])
{
    for (;; order++) {
        ck_assert_int_eq(evict(), *order);
        if (*order < 0)
            break;
    }
    for (int i = 0; i < EVICTION_QUEUES; i++)
        ck_assert_uint_eq(here.eviction.queues[i].bytes + here.eviction.queues[i].count, 0);
    eviction_forget(&here.eviction, &here.memory, &here.account);
    ck_assert_uint_eq(here.memory.used + here.account.used, 0);
}
#define EXPECT(...) expect((const int[]){__VA_ARGS__, -1})

/* ---- each policy by hand ------------------------------------------------------------------------------ */

START_TEST(lru_in_the_order_of_use)
{
    begin(EVICTION_lru, false);
    add_from_to(0, 5);
    use(1);
    use(0);
    leave(3);
    eviction_return(&here.eviction, &here.nodes[3], WEIGHT, hash_of(3), weight_of);
    EXPECT(2, 4, 5, 1, 0, 3);
}
END_TEST

/* The example of the paper's figure: the hand goes from old to new, takes the mark from who has one, and
 * stays where it was; newcomers come behind it. */
START_TEST(sieve_passes_over_what_was_used)
{
    begin(EVICTION_sieve, false);
    add_from_to(0, 6);
    use(0);
    use(1);
    use(6);
    ck_assert_int_eq(evict(), 2); /* 0 and 1 lose their marks; the hand is at 3 */
    add(7);
    use(0);
    ck_assert_int_eq(evict(), 3);
    use(4);
    ck_assert_int_eq(evict(), 5); /* 4 is passed over, */
    ck_assert_int_eq(evict(), 7); /*   and 6 */
    /* From the beginning: 0 has been used again, 1 not. */
    EXPECT(1, 4, 6, 0);
}
END_TEST

START_TEST(sieve_loses_the_one_under_its_hand)
{
    begin(EVICTION_sieve, false);
    add_from_to(0, 4);
    use(0);
    ck_assert_int_eq(evict(), 1); /* the hand is at 2 */
    leave(2);
    ck_assert_int_eq(evict(), 3);
    leave(4); /* the last: the hand begins anew */
    EXPECT(0);
}
END_TEST

/* Small: a tenth of 20, so two. */
START_TEST(s3fifo_sorts_out_newcomers)
{
    begin(EVICTION_s3fifo, false);
    add_from_to(0, 19);
    use(0);
    use(2);
    ck_assert_int_eq(evict(), 1);
    ck_assert_int_eq(here.nodes[0].queue, EVICTION_MAIN);
    for (int i = 3; i <= 18; i++)
        ck_assert_int_eq(evict(), i);
    ck_assert_int_eq(here.nodes[2].queue, EVICTION_MAIN);
    ck_assert_uint_eq(here.eviction.queues[EVICTION_SMALL].count, 1);
    /* 17 comes back while it is remembered (as many are as the main queue has): into the main queue at once.
     * 3 is forgotten; 20 is new. */
    add(17);
    ck_assert_int_eq(here.nodes[17].queue, EVICTION_MAIN);
    add(3);
    ck_assert_int_eq(here.nodes[3].queue, EVICTION_SMALL);
    add(20);
    ck_assert_int_eq(here.nodes[20].queue, EVICTION_SMALL);
    ck_assert_int_eq(evict(), 19);
    ck_assert_int_eq(evict(), 3);
    /* The main queue: 0, 2, 17. A use in it is worth one more round. */
    use(0);
    ck_assert_int_eq(evict(), 20);
    EXPECT(2, 17, 0);
}
END_TEST

START_TEST(s3fifo_forgets_in_the_end)
{
    begin(EVICTION_s3fifo, false);
    add_from_to(0, 9);
    ck_assert_int_eq(evict(), 0);
    ck_assert_int_eq(evict(), 1);
    /* The main queue is empty: one is remembered. */
    add(0);
    ck_assert_int_eq(here.nodes[0].queue, EVICTION_SMALL);
    leave(0);
    add(1);
    ck_assert_int_eq(here.nodes[1].queue, EVICTION_MAIN);
    while (evict() >= 0)
        ;
    EXPECT(-1);
}
END_TEST

/* ---- admission ---------------------------------------------------------------------------------------- */

/* A scan of large objects passes through the memory of one of them. */
START_TEST(large_objects_are_on_probation)
{
    begin((enum eviction_policy)_i, true);
    add_from_to(0, 9);
    for (int i = 100; i < 200; i++) {
        add_heavy(i, LARGE + 1);
        ck_assert_int_eq(here.nodes[i].queue, EVICTION_PROBATION);
        ck_assert_int_eq(evict(), i);
    }
    add_heavy(10, LARGE); /* is not large */
    ck_assert_int_ne(here.nodes[10].queue, EVICTION_PROBATION);
    add_heavy(150, LARGE + 1); /* was asked for lately */
    ck_assert_int_ne(here.nodes[150].queue, EVICTION_PROBATION);
    add_heavy(300, LARGE + 1); /* is found while it is on probation */
    use(300);
    ck_assert_int_ne(here.nodes[300].queue, EVICTION_PROBATION);
    add_heavy(301, LARGE + 1); /* the same, while it is pinned */
    leave(301);
    eviction_used(&here.eviction, &here.nodes[301], false, weight_of);
    eviction_return(&here.eviction, &here.nodes[301], here.weights[301], hash_of(301), weight_of);
    ck_assert_int_ne(here.nodes[301].queue, EVICTION_PROBATION);
    add_heavy(302, LARGE + 1);
    leave(302); /* pinned and not found */
    eviction_return(&here.eviction, &here.nodes[302], here.weights[302], hash_of(302), weight_of);
    ck_assert_int_eq(here.nodes[302].queue, EVICTION_PROBATION);
    ck_assert_int_eq(evict(), 302);
    while (evict() >= 0)
        ;
    EXPECT(-1);
}
END_TEST

START_TEST(admission_can_be_off)
{
    begin(EVICTION_lru, false);
    add(0);
    add_heavy(1, LARGE * 100);
    EXPECT(0, 1);
}
END_TEST

/* ---- pins, and a change of policy ---------------------------------------------------------------------- */

START_TEST(never_queued_but_pinned)
{
    begin((enum eviction_policy)_i, true);
    add_from_to(0, 1);
    here.weights[2] = WEIGHT; /* filled, and pinned by those who followed the fill */
    eviction_return(&here.eviction, &here.nodes[2], WEIGHT, hash_of(2), weight_of);
    EXPECT(0, 1, 2);
}
END_TEST

START_TEST(policy_can_change_at_any_time)
{
    uint64_t state = 7;
    unsigned in = 0;

    begin(EVICTION_lru, true);
    for (unsigned step = 0; step < fewer_rounds(200000, 10); step++) {
        int i = (int)random_below(&state, NODES);

        if (step % 1000 == 0)
            eviction_configure(&here.eviction,
                               (enum eviction_policy)random_below(&state, EVICTION_POLICY_COUNT),
                               random_below(&state, 2));
        if (here.weights[i] == 0) {
            add_heavy(i, 1 + random_below(&state, 2 * LARGE));
            in++;
        } else if (random_below(&state, 4) > 0) {
            use(i);
        } else {
            leave(i);
            here.weights[i] = 0;
            in--;
        }
        while (in > NODES / 2) {
            i = evict();
            ck_assert_int_ge(i, 0);
            ck_assert_uint_ne(here.weights[i], 0);
            here.weights[i] = 0;
            in--;
        }
    }
    while (in-- > 0)
        ck_assert_int_ge(evict(), 0);
    EXPECT(-1);
}
END_TEST

/* ---- the bound ---------------------------------------------------------------------------------------- */

/* Everything was used, as often as is counted: still some goes, after EVICTION_STEPS steps. */
START_TEST(work_of_one_call_is_bounded)
{
    begin((enum eviction_policy)_i, false);
    add_from_to(0, NODES - 1);
    for (int i = 0; i < NODES; i++) {
        for (int times = 0; times < 5; times++)
            use(i);
    }
    unsigned marked_before = NODES, marked = 0;
    here.asked = 0;
    ck_assert_int_ge(evict(), 0);
    ck_assert_uint_le(here.asked, EVICTION_STEPS);
    for (int i = 0; i < NODES; i++)
        marked += here.nodes[i].uses > 0;
    ck_assert_uint_le(marked_before - marked, EVICTION_STEPS + 1);
    while (evict() >= 0)
        ;
    EXPECT(-1);
}
END_TEST

/* ---- what is remembered -------------------------------------------------------------------------------- */

START_TEST(ghosts_are_remembered_for_a_while_and_once)
{
    struct ghost ghost = {0};
    unsigned remembered = 0;

    begin(EVICTION_lru, false);
    ghost_put(&ghost, 1); /* without a table: nothing */
    ck_assert(!ghost_take(&ghost, 1, 100));
    ghost_reserve(&ghost, &here.memory, &here.account, 3000);
    ck_assert_uint_eq(ghost.capacity, 4096);
    ck_assert_uint_ge(here.account.used, 4096 * sizeof(struct ghost_place));
    for (int i = 0; i < 3000; i++)
        ghost_put(&ghost, hash_of(i));
    for (int i = 0; i < 3000; i++)
        remembered += ghost_take(&ghost, hash_of(i), 3000);
    ck_assert_uint_gt(remembered, 2500); /* some buckets were full */
    for (int i = 0; i < 3000; i++)
        ck_assert(!ghost_take(&ghost, hash_of(i), 3000));
    for (int i = 0; i < 100; i++)
        ghost_put(&ghost, hash_of(i));
    ck_assert(!ghost_take(&ghost, hash_of(49), 50));
    ck_assert(ghost_take(&ghost, hash_of(50), 50));
    ck_assert(!ghost_take(&ghost, hash_of(100), 50));
    ghost.numbers = UINT32_MAX - 1; /* the numbers begin anew */
    for (int i = 200; i < 204; i++)
        ghost_put(&ghost, hash_of(i));
    for (int i = 200; i < 204; i++)
        ck_assert(ghost_take(&ghost, hash_of(i), 10));
    ghost_free(&ghost, &here.memory, &here.account);
    ck_assert_uint_eq(here.account.used, 0);
}
END_TEST

START_TEST(ghosts_without_memory_are_none)
{
    struct ghost ghost = {0};

    begin(EVICTION_lru, false);
    here.memory.limit = 100;
    ghost_reserve(&ghost, &here.memory, &here.account, 3000);
    ck_assert_ptr_null(ghost.places);
    ghost_put(&ghost, 1);
    ck_assert(!ghost_take(&ghost, 1, 100));
    here.memory.limit = 1 << 20;
    ghost_reserve(&ghost, &here.memory, &here.account, 10);
    ghost_put(&ghost, 1);
    here.memory.limit = 100;
    ghost_reserve(&ghost, &here.memory, &here.account, GHOST_MAX); /* what is there stays */
    ck_assert(ghost_take(&ghost, 1, 100));
    ghost_free(&ghost, &here.memory, &here.account);
}
END_TEST

START_TEST(policies_have_names)
{
    enum eviction_policy policy;

    for (int i = 0; i < EVICTION_POLICY_COUNT; i++) {
        ck_assert(eviction_policy_find(eviction_policy_name((enum eviction_policy)i), &policy));
        ck_assert_int_eq((int)policy, i);
    }
    ck_assert(!eviction_policy_find("fifo", &policy));
    ck_assert(!eviction_policy_find("", &policy));
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, lru_in_the_order_of_use);
    tcase_add_test(tcase, sieve_passes_over_what_was_used);
    tcase_add_test(tcase, sieve_loses_the_one_under_its_hand);
    tcase_add_test(tcase, s3fifo_sorts_out_newcomers);
    tcase_add_test(tcase, s3fifo_forgets_in_the_end);
    tcase_add_loop_test(tcase, large_objects_are_on_probation, 0, EVICTION_POLICY_COUNT);
    tcase_add_test(tcase, admission_can_be_off);
    tcase_add_loop_test(tcase, never_queued_but_pinned, 0, EVICTION_POLICY_COUNT);
    tcase_add_test(tcase, policy_can_change_at_any_time);
    tcase_add_loop_test(tcase, work_of_one_call_is_bounded, 0, EVICTION_POLICY_COUNT);
    tcase_add_test(tcase, ghosts_are_remembered_for_a_while_and_once);
    tcase_add_test(tcase, ghosts_without_memory_are_none);
    tcase_add_test(tcase, policies_have_names);
}

int main(void)
{
    return run_suite("eviction", add_cases);
}
