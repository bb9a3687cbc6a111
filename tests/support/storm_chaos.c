#include "storm_chaos.h"

#include "storm_time.h"

#define STALLS_PER_KILL       0.12
#define TERMINATIONS_PER_KILL 0.1
#define LONG_STALLS           0.2 /* the share that lasts longer than the cache's --stall-time of 1 s */
#define KILLED_FROZEN         0.25
#define RETRY                 (2 * STORM_MS)

enum harm { HARM_KILL, HARM_STALL, HARM_TERMINATION, HARM_CACHE, HARMS };

struct chaos {
    struct fleet *fleet;
    struct storm_random random;
    double mean[HARMS]; /* seconds between two; 0: never */
    int64_t due[HARMS];
};

static unsigned pick_victim(struct chaos *chaos)
{
    const struct storm_conf *conf = chaos->fleet->conf;

    return conf->witnesses + (unsigned)random_below(&chaos->random, conf->proxies - conf->witnesses);
}

static bool stall(struct chaos *chaos, unsigned victim)
{
    bool is_long = random_unit(&chaos->random) < LONG_STALLS;
    double seconds =
        is_long ? random_between(&chaos->random, 1.1, 2.5) : random_between(&chaos->random, 0.001, 0.4);

    return fleet_freeze(chaos->fleet, victim, storm_seconds(seconds),
                        random_unit(&chaos->random) < KILLED_FROZEN);
}

/* A victim may be in no state for that: then the next in turn. */
static bool harm_a_proxy(struct chaos *chaos, enum harm harm)
{
    const struct storm_conf *conf = chaos->fleet->conf;
    unsigned victims = conf->proxies - conf->witnesses, first = pick_victim(chaos) - conf->witnesses;
    bool done = false;

    for (unsigned i = 0; i < victims && !done; i++) {
        unsigned victim = conf->witnesses + (first + i) % victims;

        if (harm == HARM_KILL)
            done = fleet_kill(chaos->fleet, victim);
        else if (harm == HARM_STALL)
            done = stall(chaos, victim);
        else
            done = fleet_terminate(chaos->fleet, victim);
    }
    return done;
}

static void schedule(struct chaos *chaos, enum harm harm, int64_t from)
{
    chaos->due[harm] = STORM_FOREVER;
    if (chaos->mean[harm] > 0)
        chaos->due[harm] = from + storm_seconds(random_exponential(&chaos->random, chaos->mean[harm]));
}

/* Due times follow from one another, so that the rate is kept where one had to wait for a victim; but not
 * from long ago, so that there is no burst after a pause. */
static void do_harm(struct chaos *chaos, enum harm harm, int64_t now)
{
    bool done = harm == HARM_CACHE ? fleet_kill_cache(chaos->fleet) : harm_a_proxy(chaos, harm);
    int64_t from = chaos->due[harm] > now - STORM_SECOND ? chaos->due[harm] : now - STORM_SECOND;

    if (done)
        schedule(chaos, harm, from);
}

static int64_t next_due(const struct chaos *chaos, int64_t deadline)
{
    int64_t now = storm_now();

    for (int i = 0; i < HARMS; i++)
        deadline = chaos->due[i] < deadline ? chaos->due[i] : deadline;
    return deadline > now ? deadline : now + RETRY;
}

static void set_up(struct chaos *chaos, struct fleet *fleet)
{
    const struct storm_conf *conf = fleet->conf;

    *chaos = (struct chaos){.fleet = fleet, .random = {conf->seed ^ UINT64_C(0xc4a05)}};
    chaos->mean[HARM_KILL] = 1 / conf->rate;
    chaos->mean[HARM_STALL] = 1 / (conf->rate * STALLS_PER_KILL);
    chaos->mean[HARM_TERMINATION] = 1 / (conf->rate * TERMINATIONS_PER_KILL);
    chaos->mean[HARM_CACHE] = conf->keep_cache ? 0 : conf->cache_every;
    for (int i = 0; i < HARMS; i++)
        schedule(chaos, (enum harm)i, storm_now());
}

bool chaos_run(struct fleet *fleet, int64_t deadline, uint64_t kills)
{
    struct chaos chaos;

    set_up(&chaos, fleet);
    while (storm_now() < deadline && (kills == 0 || fleet->counts.kills < kills)) {
        int64_t now;

        if (!fleet_run(fleet, next_due(&chaos, deadline)))
            return false;
        now = storm_now();
        for (int i = 0; i < HARMS; i++)
            if (chaos.due[i] <= now)
                do_harm(&chaos, (enum harm)i, now);
    }
    return true;
}
