/* bench_hostile: what a hostile proxy at full speed costs the others.
 *
 *     bench_hostile [--attacks NAME,...] [--seconds S] [--rounds N] [--victims 1|2] [--depth N] [--size
 * BYTES]
 *                   [--keys N] [--priority NICE] [--list]
 *
 * One cache with its defaults, one or two victims (lookups of small objects at full speed, every byte
 * compared), and as the third on the same two cores either a well-behaved neighbour with the same load, or a
 * hostile proxy. The two are measured in turns, `rounds` times for each attack; the ratio is the median of
 * the rounds'. Each process is a session of its own, so that where the kernel groups processes by session
 * (sched_autogroup_enabled) an attack of many processes gets no more of the processor than one. `--priority`
 * (below 0: root only) sets the nice value of these sessions, for a machine that has other things to do as
 * well.
 *
 * After each attack its processes are killed and the honest ones pause: pins, leases, registrations, pools
 * and descriptors of the cache must come back to what the honest ones hold.
 *
 * Half-way through each slice somebody new registers, and a proxy of the victim's tenant that stores an
 * object and finds it.
 *
 * Exit status: 0 every ratio is at least 0.45, the victim hits at least nine tenths as often (but for attacks
 * that say why not), newcomers are registered within two seconds and can store, no byte was wrong, the cache
 * is the one that was started and nothing is left; 1 otherwise; 2 wrong usage, or something could not be
 * measured. */
#include "hostile.h"

#include "hostile_table.h"
#include "log.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conf {
    const char *attacks; /* NULL: all */
    double seconds;
    int rounds;
    struct stage_options stage;
};

static const struct {
    const struct attack *attacks;
    const unsigned *count;
} groups[] = {
    {message_attacks, &message_attack_count}, {ring_attacks, &ring_attack_count},
    {pool_attacks, &pool_attack_count},       {store_attacks, &store_attack_count},
    {purge_attacks, &purge_attack_count},
};

/* The attack at this place of all; NULL behind the last. */
static const struct attack *attack_at(unsigned place)
{
    for (unsigned group = 0; group < ROWS(groups); group++) {
        if (place < *groups[group].count)
            return &groups[group].attacks[place];
        place -= *groups[group].count;
    }
    return NULL;
}

static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static int list_attacks(void)
{
    const struct attack *attack;

    for (unsigned place = 0; (attack = attack_at(place)); place++)
        printf("  %-14s %s\n", attack->name, attack->what);
    return 0;
}

/* ---- options ---- */

static const struct option options[] = {
    {"attacks", required_argument, NULL, 'a'}, {"seconds", required_argument, NULL, 't'},
    {"rounds", required_argument, NULL, 'r'},  {"victims", required_argument, NULL, 'v'},
    {"depth", required_argument, NULL, 'd'},   {"size", required_argument, NULL, 's'},
    {"keys", required_argument, NULL, 'k'},    {"priority", required_argument, NULL, 'p'},
    {"list", no_argument, NULL, 'l'},          {0},
};

static int usage(void)
{
    fputs("usage: bench_hostile [--attacks NAME,...] [--seconds S] [--rounds N] [--victims 1|2] [--depth N]\n"
          "                     [--size BYTES] [--keys N] [--priority NICE] [--list]\n",
          stderr);
    return 2;
}

static bool take_number(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *out = (uint32_t)value;
    return end != text && *end == '\0' && value >= least && value <= most;
}

static bool take_option(struct conf *conf, int option, const char *text)
{
    uint32_t number = 0;

    switch (option) {
    case 'a':
        conf->attacks = text;
        return true;
    case 't':
        conf->seconds = strtod(text, NULL);
        return conf->seconds >= 0.1 && conf->seconds <= 3600;
    case 'r':
        if (!take_number(text, 1, TABLE_ROUNDS_MAX, &number))
            return false;
        conf->rounds = (int)number;
        return true;
    case 'v':
        return take_number(text, 1, LOADS_MAX - 1, &conf->stage.victims);
    case 'd':
        return take_number(text, 1, 1024, &conf->stage.depth);
    case 's':
        return take_number(text, 8, 4096, &conf->stage.size);
    case 'k':
        return take_number(text, 1, 1000000, &conf->stage.keys);
    case 'p':
        conf->stage.priority = (int)strtol(text, NULL, 10);
        return conf->stage.priority >= -20 && conf->stage.priority < 20;
    default:
        return false;
    }
}

/* ---- program ---- */

/* How many of the attacks did more than they may; `*tried` is how many there were. */
static unsigned measure_all(struct stage *stage, const struct conf *conf, unsigned *tried)
{
    const struct attack *attack;
    unsigned failed = 0;

    *tried = 0;
    for (unsigned place = 0; (attack = attack_at(place)) && !stage_interrupted(); place++) {
        if (conf->attacks && !is_listed(conf->attacks, attack->name))
            continue;
        ++*tried;
        failed += !table_measure(stage, attack, conf->seconds, conf->rounds);
    }
    return failed;
}

static int run(const struct conf *conf)
{
    static struct stage stage;
    unsigned tried;

    stage_set_up(&stage, &conf->stage);
    printf("%" PRIu32 " victim(s), depth %" PRIu32 ", %" PRIu32 " objects of %" PRIu32
           " bytes; rounds: %d of %g s\n",
           conf->stage.victims, conf->stage.depth, conf->stage.keys, conf->stage.size, conf->rounds,
           conf->seconds);
    table_head();
    unsigned failed = measure_all(&stage, conf, &tried);
    bool ended_well = stage_tear_down(&stage);
    if (tried == 0 || stage_interrupted())
        return 2;
    printf("%u of %u attacks left the others at least %.0f %% of their throughput, their hits and their "
           "room%s\n",
           tried - failed, tried, 100 * TABLE_LEAST_RATIO,
           ended_well ? "" : "; the cache did not end in good order");
    return failed > 0 || !ended_well;
}

int main(int argc, char **argv)
{
    struct conf conf = {
        .seconds = 3,
        .rounds = 3,
        .stage = {.victims = 1, .depth = 32, .size = 1024, .keys = 1000},
    };
    int option;

    log_setup("bench_hostile");
    log_set_level("error");
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'l')
            return list_attacks();
        if (!take_option(&conf, option, optarg))
            return usage();
    }
    return optind == argc ? run(&conf) : usage();
}
