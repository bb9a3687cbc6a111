/* storm_conf.h: the options of larder_storm. */
#ifndef STORM_CONF_H
#define STORM_CONF_H

#include "names.h"

#include <stdbool.h>
#include <stdint.h>

enum storm_spoil {
    SPOIL_NOTHING,
    SPOIL_BYTES,
    SPOIL_BREAK,
    SPOIL_NAME,
    SPOIL_VANISH,
    SPOIL_SEGMENT,
    SPOIL_DESCRIPTOR,
    SPOIL_END
};

struct storm_conf {
    char instance[NAMES_INSTANCE_MAX + 1];
    char bin[4096]; /* directory of the executables */
    const char *memory;
    double seconds;     /* of the storm; 0: until `kills` */
    uint64_t kills;     /* 0: no limit */
    double rate;        /* kills a second */
    double cache_every; /* seconds between kills of the cache */
    double load;        /* requests a second and proxy */
    unsigned proxies, witnesses;
    uint64_t seed;
    bool keep_cache, quiet;
    enum storm_spoil spoil;
};

/* -1 to go on, else the exit status. */
int storm_conf_parse(struct storm_conf *conf, int argc, char **argv);

#endif
