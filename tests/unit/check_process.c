/* process: what registrations of one process share, and how time is divided. */
#include "process.h"

#include "check_unit.h"

static struct processes processes;

START_TEST(registrations_of_one_pid_are_one_process)
{
    struct process *a = process_join(&processes, 100, 0), *b = process_join(&processes, 100, 0);
    struct process *other = process_join(&processes, 101, 0);

    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_ne(a, other);
    ck_assert_uint_eq(a->sessions, 2);
    process_leave(&processes, &b);
    ck_assert_ptr_null(b);
    ck_assert_uint_eq(a->sessions, 1);
    ck_assert_ptr_eq(process_join(&processes, 100, 0), a);
    process_leave(&processes, &other);
    b = a;
    process_leave(&processes, &a);
    process_leave(&processes, &b);
    ck_assert_ptr_null(processes.all);
}
END_TEST

START_TEST(those_without_a_pid_are_one)
{
    struct process *a = process_join(&processes, 0, 0), *b = process_join(&processes, 0, 0);

    ck_assert_ptr_eq(a, b);
    process_leave(&processes, &a);
    process_leave(&processes, &b);
    ck_assert_ptr_null(processes.all);
}
END_TEST

/* Turns of a loop in which each process that may is served for `cost` nanoseconds. */
static void take_turns(struct process *const list[], const int64_t cost[], int64_t spent[], int count,
                       int turns)
{
    for (int turn = 0; turn < turns; turn++) {
        for (int i = 0; i < count; i++) {
            if (!process_earn(list[i], PROCESS_QUANTUM_NS, PROCESS_QUANTUM_NS))
                continue;
            process_spend(list[i], cost[i]);
            spent[i] += cost[i];
        }
    }
}

/* One whose batches cost twenty times as much gets no more time than the others. */
START_TEST(time_is_shared_whatever_a_batch_costs)
{
    struct process *list[] = {process_join(&processes, 1, 0), process_join(&processes, 2, 0),
                              process_join(&processes, 3, 0)};
    const int64_t cost[] = {PROCESS_QUANTUM_NS, 20 * PROCESS_QUANTUM_NS, 3 * PROCESS_QUANTUM_NS / 2};
    int64_t spent[3] = {0};

    take_turns(list, cost, spent, 3, 6000);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_ge(spent[i], (int64_t)5900 * PROCESS_QUANTUM_NS);
        ck_assert_int_le(spent[i], (int64_t)6040 * PROCESS_QUANTUM_NS);
        process_leave(&processes, &list[i]);
    }
}
END_TEST

/* Other turns are short, because who asks in them waits for answers: what was overdrawn takes its time. */
START_TEST(debts_are_paid_by_time_and_not_by_turns)
{
    struct process *process = process_join(&processes, 1, 0);
    int turns = 0;

    ck_assert(process_earn(process, PROCESS_QUANTUM_NS, PROCESS_QUANTUM_NS));
    process_spend(process, 4000 * (int64_t)PROCESS_QUANTUM_NS);
    while (!process_earn(process, PROCESS_QUANTUM_NS, PROCESS_QUANTUM_NS / 10))
        turns++;
    ck_assert_int_ge(turns, 39600); /* but for the end of it */
    ck_assert_int_le(turns, 39800);
    process_leave(&processes, &process);
}
END_TEST

/* Who passes for another user's process is none of it. */
START_TEST(users_are_apart)
{
    struct process *a = process_join(&processes, 100, 1000), *b = process_join(&processes, 100, 1001);

    ck_assert_ptr_ne(a, b);
    process_leave(&processes, &a);
    process_leave(&processes, &b);
    ck_assert_ptr_null(processes.all);
}
END_TEST

START_TEST(idling_saves_nothing_up)
{
    struct process *process = process_join(&processes, 1, 0);

    for (int i = 0; i < 1000; i++)
        ck_assert(process_earn(process, PROCESS_QUANTUM_NS, PROCESS_QUANTUM_NS));
    process_spend(process, 2 * PROCESS_QUANTUM_NS);
    ck_assert(!process_earn(process, PROCESS_QUANTUM_NS, PROCESS_QUANTUM_NS));
    ck_assert(process_earn(process, PROCESS_QUANTUM_NS, PROCESS_QUANTUM_NS));
    process_leave(&processes, &process);
}
END_TEST

/* As the loop has it: a batch needs the credit of its process and that of its tenant. Three processes of one
 * tenant have together what its weight gives, whatever the batches cost, and no turn is long. */
static const uint32_t weights[][2] = {{1, 1}, {4, 1}, {1, 16}, {1000, 1}, {1000, 1000}, {900, 300}};

START_TEST(time_is_shared_by_weight_of_tenants)
{
    enum { COUNT = 4 };
    static const int tenant_of[COUNT] = {0, 1, 1, 1};
    const uint32_t *weight = weights[_i], most = weight[0] > weight[1] ? weight[0] : weight[1];
    const uint32_t least = weight[0] + weight[1] - most;
    struct process *list[COUNT];
    int64_t credits[2] = {0}, spent[2] = {0}, each[COUNT] = {0};

    for (int i = 0; i < COUNT; i++)
        list[i] = process_join(&processes, i + 1, 0);
    for (int turn = 0; turn < 200000; turn++) {
        int64_t before = spent[0] + spent[1];
        for (int i = 0; i < 2; i++)
            credit_earn(&credits[i], credit_quantum(weight[i], least, most), INT64_MAX);
        for (int at = 0; at < COUNT; at++) { /* begins with another each time */
            int i = (at + turn) % COUNT, tenant = tenant_of[i];
            int64_t quantum = credit_quantum(weight[tenant], least, most),
                    cost = (i + 1) * PROCESS_QUANTUM_NS / 2;
            if (!process_earn(list[i], quantum, quantum))
                continue;
            for (int64_t batch = 0; (batch == 0 || batch < quantum / PROCESS_QUANTUM_NS * 2) &&
                                    list[i]->credit_ns > 0 && credits[tenant] > 0;
                 batch++) {
                process_spend(list[i], cost);
                credits[tenant] -= cost;
                spent[tenant] += cost;
                each[i] += cost;
            }
        }
        ck_assert_int_le(spent[0] + spent[1] - before, 2 * (PROCESS_MOST_QUANTA + 2) * PROCESS_QUANTUM_NS);
    }
    double ratio = (double)spent[0] / (double)spent[1], wanted = (double)weight[0] / (double)weight[1];
    ck_assert_msg(ratio > wanted * 0.95 && ratio < wanted * 1.05, "%f, not %f", ratio, wanted);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_gt(each[i], spent[tenant_of[i]] / 10);
        process_leave(&processes, &list[i]);
    }
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, registrations_of_one_pid_are_one_process);
    tcase_add_test(tcase, those_without_a_pid_are_one);
    tcase_add_test(tcase, time_is_shared_whatever_a_batch_costs);
    tcase_add_test(tcase, debts_are_paid_by_time_and_not_by_turns);
    tcase_add_test(tcase, users_are_apart);
    tcase_add_test(tcase, idling_saves_nothing_up);
    ADD_ROWS(tcase, time_is_shared_by_weight_of_tenants, weights);
}

int main(void)
{
    return run_suite("process", add_cases);
}
