/* tenant.h: name spaces, each with its own account and statistics.
 *
 * Ownership: a tenant lives from the first registration that names it until its place is needed and it has no
 * proxy left. Those with nothing stored go first, then the one with least; its objects are then to be removed
 * in steps (store_purge()), and it is freed by tenants_free_doomed() when the last has gone.
 * A tenant with settings of its own keeps its place. Pointers to a tenant are held by sessions, objects and
 * leases, all of which are counted. Bound:     TENANTS_MAX of them, and TENANTS_DOOMED_MAX whose objects are
 * being removed. */
#ifndef LARDER_TENANT_H
#define LARDER_TENANT_H

#include "counters.h"
#include "eviction.h"
#include "memory.h"
#include "names.h"
#include "pause.h"
#include "purges.h"

#define TENANTS_MAX        256u
#define TENANTS_DOOMED_MAX 256u

/* What a tenant may have; see shares.h for the first three. Those without settings have the defaults. The
 * counts are for all its proxies together; 0: only what each proxy may have anyway. */
struct tenant_settings {
    uint64_t reserve; /* bytes */
    uint64_t limit;   /* bytes; 0: none */
    uint32_t weight;  /* 1 .. SHARES_MAX_WEIGHT: of the memory beyond reserves, and of the loop's time */
    enum eviction_policy policy;
    bool admission; /* large objects have to be asked for twice; see eviction.h */
    uint32_t max_fills;
    uint32_t max_waiters;
    uint32_t max_pins;
    uint32_t max_proxies;
};
#define TENANT_DEFAULTS ((struct tenant_settings){.weight = 1, .policy = EVICTION_lru, .admission = true})

struct tenant_config {
    char name[NAMES_TENANT_MAX + 1];
    struct tenant_settings settings;
};

struct lease;
struct object;

struct tenant {
    char name[NAMES_TENANT_MAX + 1];
    uint32_t id; /* no other tenant's, nor that of one whose objects are still there; part of every key */
    uint32_t proxies;
    uint32_t stalled; /* of the proxies */
    uint32_t pins;
    uint32_t leases;
    struct lease *granted;    /* utlist, the leases': those not cancelled */
    struct hold_table *holds; /* what its proxies keep (holds.h); NULL: nothing */
    uint32_t followers;
    uint64_t objects;
    struct tenant_settings settings;
    bool configured; /* they are its own */
    /* The store's: */
    struct eviction eviction;               /* its objects that can be found and are not pinned, */
    struct eviction_node *pinned;           /*   and those that are (utlist) */
    struct eviction_node *dying;            /* utlist; oldest first */
    struct tenant *prev_dying, *next_dying; /* in the store's list, while something of it is */
    bool doomed; /* its name is free again; its objects are found no more and are being removed */
    /* The loop's: */
    struct tenant *prev_busy, *next_busy; /* in its list, while rings of its proxies are polled */
    uint32_t active;                      /* so many of them */
    int64_t credit_ns;
    int64_t quantum_ns; /* what a turn adds to it */
    struct pause_watch pauses;
    struct pause_patience patience;
    struct purges purges;
    struct account account;
    struct counters counters;
};

struct tenants {
    struct tenant *list[TENANTS_MAX]; /* dense */
    uint32_t count;
    uint32_t next_id;
    struct tenant *doomed[TENANTS_DOOMED_MAX]; /* dense */
    uint32_t doomed_count;
    struct tenant_config configs[TENANTS_MAX]; /* whether these tenants are there or not */
    uint32_t config_count;
};

/* Finds or creates. NULL: the name is not valid or there are too many tenants (errno is EINVAL), or no memory
 * (ENOMEM). */
struct tenant *tenants_get(struct tenants *tenants, const char *name);
/* NULL: there is none. */
struct tenant *tenants_find(const struct tenants *tenants, const char *name);
/* 0, or -EINVAL with `problem`: may these settings be, where all have so many bytes together? */
int tenants_check(const struct tenant_config *configs, uint32_t count, uint64_t bytes, char *problem,
                  size_t problem_size);
/* The settings of these tenants from now on, whether they are there or come later; all others have the
 * defaults. Checks first; after a mistake nothing has changed. At any time: a tenant that has more than its
 * new limit gives it back in steps (store_shrink()). */
int tenants_configure(struct tenants *tenants, struct memory *memory, const struct tenant_config *configs,
                      uint32_t count, char *problem, size_t problem_size);
/* Is it to give back what it has beyond its limit? */
bool tenant_is_over(const struct tenant *tenant);
void tenant_count(struct tenant *tenant, struct counters *all, enum counter counter);
/* Has it as many as it may? Counts the refusal. */
bool tenant_refuses(struct tenant *tenant, struct counters *all, uint32_t has, uint32_t most,
                    enum counter counter);
/* Frees the doomed whose objects have all gone. */
void tenants_free_doomed(struct tenants *tenants);
void tenants_free(struct tenants *tenants);

#endif
