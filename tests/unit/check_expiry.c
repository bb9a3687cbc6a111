/* expiry: the heap against a model that simply looks at every node. */
#include "expiry.h"

#include "check_unit.h"

#define NODES 1000

static bool no_room(void *context, struct account *account, uint64_t bytes, uint64_t own)
{
    (void)context;
    (void)account;
    (void)bytes;
    (void)own;
    return false;
}

static struct {
    struct memory memory;
    struct account account;
    struct expiry expiry;
    struct expiry_node nodes[NODES];
    bool in[NODES];
} here;

static void begin(void)
{
    here.memory = (struct memory){.limit = UINT64_MAX / 2, .make_room = no_room};
    for (int i = 0; i < NODES; i++)
        here.nodes[i].index = EXPIRY_NOT_IN;
}

static void add(int i, int64_t at)
{
    here.nodes[i].at = at;
    ck_assert(expiry_add(&here.expiry, &here.memory, &here.account, &here.nodes[i]));
    here.in[i] = true;
}

static void take_out(int i)
{
    expiry_remove(&here.expiry, &here.nodes[i]);
    ck_assert_uint_eq(here.nodes[i].index, EXPIRY_NOT_IN);
    here.in[i] = false;
}

static void move(int i, int64_t at)
{
    here.nodes[i].at = at;
    expiry_moved(&here.expiry, &here.nodes[i]);
}

static bool node_is_right(const struct expiry_node *node, const struct expiry_node *first)
{
    return first && first->at <= node->at && node->index < here.expiry.count &&
           here.expiry.nodes[node->index] == node &&
           (node->index == 0 || here.expiry.nodes[(node->index - 1) / 2]->at <= node->at);
}

/* The first one is one of the earliest, no node is earlier than the one above it, and every node knows its
 * place. */
static void check_heap(void)
{
    const struct expiry_node *first = expiry_first(&here.expiry);
    uint32_t count = 0, wrong = 0;

    for (int i = 0; i < NODES; i++) {
        count += here.in[i];
        wrong += here.in[i] && !node_is_right(&here.nodes[i], first);
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(here.expiry.count, count);
    ck_assert_int_eq(first != NULL, count > 0);
}

static void end(void)
{
    expiry_free(&here.expiry, &here.memory, &here.account);
    ck_assert_uint_eq(here.memory.used, 0);
    ck_assert_uint_eq(here.account.used, 0);
    ck_assert_ptr_null(expiry_first(&here.expiry));
}

static int64_t random_time(uint64_t *state)
{
    switch (random_below(state, 10)) {
    case 0:
        return INT64_MIN;
    case 1:
        return INT64_MAX;
    case 2:
        return 0;
    case 3:
        return (int64_t)next_random(state);
    default: /* many equal ones */
        return (int64_t)random_below(state, 50);
    }
}

START_TEST(random_operations_agree_with_the_model)
{
    uint64_t state = (uint64_t)_i;

    begin();
    for (int step = 0; step < 20000; step++) {
        int i = (int)random_below(&state, NODES);

        if (!here.in[i])
            add(i, random_time(&state));
        else if (random_below(&state, 2))
            take_out(i);
        else
            move(i, random_time(&state));
        if (step % 100 == 0)
            check_heap();
    }
    check_heap();
    end();
}
END_TEST

START_TEST(what_comes_out_is_sorted)
{
    uint64_t state = 7;
    int64_t last = INT64_MIN;

    begin();
    for (int i = 0; i < NODES; i++)
        add(i, random_time(&state));
    for (int left = NODES; left > 0; left--) {
        struct expiry_node *first = expiry_first(&here.expiry);

        ck_assert_int_ge(first->at, last);
        last = first->at;
        take_out((int)(first - here.nodes));
        if (left % 50 == 0)
            check_heap();
    }
    ck_assert_ptr_null(expiry_first(&here.expiry));
    end();
}
END_TEST

START_TEST(each_place_can_be_emptied)
{
    begin();
    for (int hole = 0; hole < 40; hole++) {
        for (int i = 0; i < 40; i++)
            add(i, (i * 17) % 40);
        take_out(hole);
        check_heap();
        for (int i = 0; i < 40; i++) {
            if (here.in[i])
                take_out(i);
        }
    }
    check_heap();
    end();
}
END_TEST

START_TEST(array_is_charged)
{
    begin();
    add(0, 1);
    uint64_t first = here.memory.used;
    ck_assert_uint_gt(first, 0);
    ck_assert_uint_eq(here.account.used, first);
    for (int i = 1; i < NODES; i++)
        add(i, i);
    ck_assert_uint_ge(here.memory.used, NODES * sizeof(struct expiry_node *));
    ck_assert_uint_le(here.memory.used, 2 * NODES * sizeof(struct expiry_node *) + 64);
    ck_assert_uint_eq(here.account.used, here.memory.used);
    end();
}
END_TEST

static void remove_twice(void *context)
{
    (void)context;
    close(STDERR_FILENO);
    begin();
    add(0, 1);
    add(1, 2);
    take_out(0);
    expiry_remove(&here.expiry, &here.nodes[0]);
}

START_TEST(removing_twice_is_a_bug)
{
    ck_assert_int_eq(status_of_child(remove_twice, NULL), 128 + SIGABRT);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, random_operations_agree_with_the_model, 1, 6);
    tcase_add_test(tcase, what_comes_out_is_sorted);
    tcase_add_test(tcase, each_place_can_be_emptied);
    tcase_add_test(tcase, array_is_charged);
    tcase_add_test(tcase, removing_twice_is_a_bug);
}

int main(void)
{
    return run_suite("expiry", add_cases);
}
