/* process.h: what all registrations of one process have in common: its share of the loop's time.
 *
 * Time is divided by deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) between processes, not
 * between registrations, so that forty registrations of one process get what one gets. Each turn adds
 * PROCESS_QUANTUM_NS to the credit of a process with something to do (times the weight of the tenant that it
 * serves), what it cost is taken off, and who has no credit is passed over. The credit is capped at what a
 * turn adds, so that idling saves nothing up. Tenants have a credit of the same kind for all their processes
 * (turn.c), which counts when several of them are busy; a batch needs both, so that neither many processes
 * nor many tenants gain anything.
 *
 * Processes of other pid namespaces have no pid that we see (0): nothing tells those of a user from each
 * other, so they count as one process.
 *
 * Ownership: a process is created by its first registration and freed by its last. Bound: the registry's.
 * Knows no queue, no ring and no clock: times are arguments, in nanoseconds. */
#ifndef LARDER_PROCESS_H
#define LARDER_PROCESS_H

#include "pause.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_QUANTUM_NS   10000
#define PROCESS_MOST_QUANTA  16u
#define PROCESS_DEBT_NS      300000 /* see credit_earn() */
#define PROCESS_MAX_SESSIONS 64u    /* of proxies, */
#define PROCESS_MAX_ADMINS   2u     /* and of those who only ask */

struct session;

struct process {
    struct process *prev, *next;               /* utlist of those with something to do */
    struct process *prev_of_all, *next_of_all; /* utlist */
    struct session *active; /* utlist: its sessions whose rings are polled; the head is next */
    pid_t pid;
    uid_t owner;
    uint32_t sessions;
    uint32_t admins; /* of them */
    uint32_t active_count;
    struct holding *holdings; /* uthash: see holding.h */
    uint64_t held;            /* what its holdings weigh, and its leases */
    int64_t credit_ns;
    struct pause_patience patience; /* with those of its sessions that have no tenant */
};

struct processes {
    struct process *all;        /* utlist; searched only when somebody registers */
    struct process *busy;       /* utlist: those with active sessions */
    const struct process *last; /* who was served last (it may be gone: an address to compare), until */
    int64_t last_ns;
    int64_t other_ns; /* and until when another one was, before; 0: nobody yet */
};

/* Counts one registration more. Of the process that holds the locks and of the user who owns queue and pool:
 * nobody can pass his own off as another user's. NULL: no memory. */
struct process *process_join(struct processes *processes, pid_t pid, uid_t owner);
/* Keeps it for a moment, as a registration would; process_leave() ends that. */
void process_hold(struct process *process);
/* One less; its session is not active any more. Nulls the pointer. */
void process_leave(struct processes *processes, struct process **process);

/* A turn adds to a credit: a quantum. Of a debt beyond PROCESS_DEBT_NS, which batches do not make as a rule,
 * it pays no more than the time that has passed since the last turn: turns in which hardly anybody wants
 * anything pay off nothing that others have waited for. True: there is some. */
bool credit_earn(int64_t *credit_ns, int64_t quantum_ns, int64_t passed_ns);
/* What a turn adds by weight, where those with something to do have weights from `least` to `most`:
 * PROCESS_QUANTUM_NS for the least, unless the most would have more than PROCESS_MOST_QUANTA of them. So a
 * turn stays short whatever the weights. */
int64_t credit_quantum(uint32_t weight, uint32_t least, uint32_t most);
/* A turn begins: may it be served? */
bool process_earn(struct process *process, int64_t quantum_ns, int64_t passed_ns);
void process_spend(struct process *process, int64_t ns);
/* It was served until now. */
void processes_served(struct processes *processes, const struct process *process, int64_t now_ns);
/* When any other one was served last; 0: never. */
int64_t processes_others_served(const struct processes *processes, const struct process *process);

#endif
