/* storm_fleet.h: the processes of the stress test: one origin, one cache, the proxies; what is done to them.
 *
 *     proxy:  DOWN --start--> STARTING --"listening"--> UP        killed, terminated: ENDING --reaped--> DOWN
 *
 * A proxy that has ended is started anew after a moment, and so is the cache; what ends without having been
 * told to is a problem (storm_problems.h). STARTING and UP ones may be frozen. Every start of a proxy is a
 * new `life`, every start of the cache a new `run`.
 *
 * Threads: the main thread's. SIGCHLD, SIGINT, SIGTERM and SIGHUP are blocked by fleet_create(). */
#ifndef STORM_FLEET_H
#define STORM_FLEET_H

#include "storm_conf.h"
#include "storm_load.h"
#include "storm_names.h"
#include "storm_process.h"

#include <stdbool.h>
#include <stdint.h>

enum proxy_state { PROXY_DOWN, PROXY_STARTING, PROXY_UP, PROXY_ENDING };

struct storm_proxy {
    struct process process;
    enum proxy_state state;
    bool frozen, kill_at_thaw, killed, terminated;
    uint32_t life;
    uint16_t port;
    int64_t start_at;  /* DOWN */
    int64_t thaw_at;   /* frozen */
    int64_t expire_at; /* STARTING, ENDING: longer is a problem */
};

struct fleet_counts {
    uint64_t kills, kills_frozen, stalls, terminations, restarts, cache_kills;
};

struct fleet {
    const struct storm_conf *conf;
    struct load *load;
    struct names_watch *names;
    struct storm_random random;
    int signals;
    int interrupted; /* the signal's number */
    bool broken;     /* origin or cache is beyond repair */
    char directory[128];
    char origin_url[64];
    uint16_t origin_port;
    struct process origin, cache;
    int origin_log, cache_log;
    uint32_t cache_run;
    bool cache_up, cache_killed;
    int64_t cache_at; /* when to start it, or when it should have started */
    struct fleet_counts counts;
    struct storm_proxy *proxies;
    int *proxy_logs;
};

/* False after a problem: nothing has been started. */
bool fleet_create(struct fleet *fleet, const struct storm_conf *conf, struct load *load,
                  struct names_watch *names);
/* Starts everything; true when everything serves. */
bool fleet_start(struct fleet *fleet);
/* Ends everything that runs, in order, and waits for it. */
void fleet_stop(struct fleet *fleet);
void fleet_print_logs(const struct fleet *fleet);
void fleet_destroy(struct fleet *fleet);

/* Does what is due until that time. False when interrupted or beyond repair. */
bool fleet_run(struct fleet *fleet, int64_t until);
bool fleet_all_up(const struct fleet *fleet);

/* What can be done to a proxy or the cache. False if it is in no state for that. */
bool fleet_kill(struct fleet *fleet, unsigned index);
bool fleet_freeze(struct fleet *fleet, unsigned index, int64_t nanoseconds, bool then_kill);
bool fleet_terminate(struct fleet *fleet, unsigned index);
bool fleet_kill_cache(struct fleet *fleet);

#endif
