/* storm_load.h: the clients of the stress test: keep-alive connections to every proxy, a fixed rate each.
 *
 * Requests are due at fixed times whether earlier ones were answered or not, and latency counts from the time
 * at which a request was due: a server that stops does not stop the clock. Requests to a proxy that is known
 * to be down are not made.
 *
 * Threads: a thread of its own does it all; the functions below may be called by one other thread. What that
 * one does to a proxy is told before it is done (load_proxy_killed() before kill(2)), so that a connection
 * that breaks afterwards is excused and one that breaks before is not.
 *
 * Excused: all that breaks at a killed proxy; at a terminated one, what has not begun to arrive. */
#ifndef STORM_LOAD_H
#define STORM_LOAD_H

#include "storm_corpus.h"
#include "storm_histogram.h"
#include "storm_machine.h"

#include <stdbool.h>
#include <stdint.h>

enum load_phase { LOAD_WARM, LOAD_QUIET, LOAD_STORM, LOAD_PHASES };

struct load_conf {
    const struct corpus *corpus;
    unsigned proxies;
    unsigned witnesses; /* the first ones: their latency is kept */
    unsigned connections;
    double rate; /* requests a second and proxy */
    uint64_t seed;
    struct machine *machine; /* outlives the load */
};

struct load_numbers {
    uint64_t requests; /* sent */
    uint64_t answered; /* whole, whether right or wrong */
    uint64_t excused;  /* broken, but their proxy had been killed or terminated */
    uint64_t broken;   /* broken without excuse */
    uint64_t unserved; /* due, but not made: the proxy was down, or too many waited for it */
    uint64_t wrong_responses, wrong_bytes;
    uint64_t witnesses_unserved; /* of the unserved, those of witnesses */
    struct histogram latency;    /* witnesses */
    struct histogram present;    /* the same, less what a processor was away (machine_away()) */
};

struct load;

struct load *load_create(const struct load_conf *conf);
void load_destroy(struct load **load);

/* A new process, its `life`-th, serves at this port of 127.0.0.1. */
void load_proxy_up(struct load *load, unsigned proxy, uint16_t port, uint32_t life);
void load_proxy_killed(struct load *load, unsigned proxy, uint32_t life);
void load_proxy_terminated(struct load *load, unsigned proxy, uint32_t life);
/* It has ended, for whatever reason; excuses nothing. */
void load_proxy_gone(struct load *load, unsigned proxy, uint32_t life);

/* The run of the cache that is up, 0 for none. */
void load_cache_is(struct load *load, uint32_t run);
/* Has a response of this life shown that it is registered with this run of the cache? */
bool load_attached(const struct load *load, unsigned proxy, uint32_t life, uint32_t run);

/* Begins to ask; LOAD_WARM asks for each object in turn. */
void load_resume(struct load *load, enum load_phase phase);
/* Asks no more; connections are closed as soon as nothing is under way on them. */
void load_pause(struct load *load);
bool load_idle(const struct load *load);

/* While idle. */
const struct load_numbers *load_numbers(const struct load *load, enum load_phase phase);

#endif
