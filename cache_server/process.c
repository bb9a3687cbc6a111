#include "process.h"

#include "invariant.h"

#include <stdlib.h>
#include <utlist.h>

static struct process *find(const struct processes *processes, pid_t pid, uid_t owner)
{
    struct process *process;

    DL_FOREACH2(processes->all, process, next_of_all)
    {
        if (process->pid == pid && process->owner == owner)
            return process;
    }
    return NULL;
}

static struct process *create(struct processes *processes, pid_t pid, uid_t owner)
{
    struct process *process = calloc(1, sizeof(*process));

    if (!process)
        return NULL;
    process->pid = pid;
    process->owner = owner;
    DL_APPEND2(processes->all, process, prev_of_all, next_of_all);
    return process;
}

struct process *process_join(struct processes *processes, pid_t pid, uid_t owner)
{
    struct process *process = find(processes, pid, owner);

    if (!process)
        process = create(processes, pid, owner);
    if (process)
        process->sessions++;
    return process;
}

void process_hold(struct process *process)
{
    process->sessions++;
}

void process_leave(struct processes *processes, struct process **pointer)
{
    struct process *process = *pointer;

    *pointer = NULL;
    if (--process->sessions > 0)
        return;
    INVARIANT(!process->active && !process->holdings && process->held == 0);
    DL_DELETE2(processes->all, process, prev_of_all, next_of_all);
    free(process);
}

int64_t credit_quantum(uint32_t weight, uint32_t least, uint32_t most)
{
    if (most / least < PROCESS_MOST_QUANTA)
        return (int64_t)PROCESS_QUANTUM_NS * weight / least;
    return (int64_t)PROCESS_QUANTUM_NS * PROCESS_MOST_QUANTA * weight / most;
}

bool credit_earn(int64_t *credit_ns, int64_t quantum_ns, int64_t passed_ns)
{
    bool by_time = *credit_ns < -PROCESS_DEBT_NS && passed_ns < quantum_ns;

    *credit_ns += by_time ? passed_ns : quantum_ns;
    if (*credit_ns > quantum_ns)
        *credit_ns = quantum_ns;
    return *credit_ns > 0;
}

bool process_earn(struct process *process, int64_t quantum_ns, int64_t passed_ns)
{
    return credit_earn(&process->credit_ns, quantum_ns, passed_ns);
}

void process_spend(struct process *process, int64_t ns)
{
    process->credit_ns -= ns;
}

void processes_served(struct processes *processes, const struct process *process, int64_t now_ns)
{
    if (processes->last != process) {
        processes->other_ns = processes->last_ns;
        processes->last = process;
    }
    processes->last_ns = now_ns;
}

int64_t processes_others_served(const struct processes *processes, const struct process *process)
{
    return processes->last == process ? processes->other_ns : processes->last_ns;
}
