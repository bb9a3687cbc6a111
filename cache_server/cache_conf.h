/* cache_conf.h: what the command line of cache_server says. */
#ifndef LARDER_CACHE_CONF_H
#define LARDER_CACHE_CONF_H

#include "names.h"

#include <stdint.h>

#define CACHE_DEFAULT_MEMORY ((uint64_t)512 << 20)
#define CACHE_MIN_MEMORY     ((uint64_t)4 << 20)
/* Without --max-object, one object may take this part of the memory. */
#define CACHE_OBJECT_SHARE   4

struct cache_conf {
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t memory;     /* bytes */
    uint64_t max_object; /* bytes */
};

/* Reads argv. Returns -1 to go on, otherwise the status to exit with (0 after --help and --version, 2 after a
 * mistake, which has been explained on standard error). */
int cache_conf_parse(struct cache_conf *conf, int argc, char **argv);

#endif
