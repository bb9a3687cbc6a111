/* ipc_load.h: the load that bench_ipc and bench_memcached put on their caches: the same keys, in the same
 * order, as many at a time, and the options that say so. */
#ifndef LARDER_BENCH_IPC_LOAD_H
#define LARDER_BENCH_IPC_LOAD_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define IPC_LOAD_MAX_DEPTH 1024u

struct ipc_load {
    uint32_t depth; /* operations under way */
    uint32_t size;  /* bytes of each object */
    uint32_t keys;
    double seconds;
    pid_t server; /* whose processor time is measured too; 0: nobody's */
    uint32_t random;
};

#define IPC_LOAD_DEFAULTS                                                                                    \
    {                                                                                                        \
        .depth = 32, .size = 1024, .keys = 1000, .seconds = 3, .random = 1                                   \
    }

/* For getopt_long(3), beside the program's own, whose codes are none of these letters. */
/* clang-format off */
#define IPC_LOAD_OPTIONS                       \
    {"depth", required_argument, NULL, 'd'},   \
    {"size", required_argument, NULL, 's'},    \
    {"keys", required_argument, NULL, 'k'},    \
    {"seconds", required_argument, NULL, 't'}, \
    {"server", required_argument, NULL, 'p'}
/* clang-format on */

/* False: it is none of IPC_LOAD_OPTIONS. */
bool ipc_load_take(struct ipc_load *load, int option, const char *argument);
bool ipc_load_is_valid(const struct ipc_load *load);

/* At random, but in every run the same. */
uint32_t ipc_load_next_key(struct ipc_load *load);

#endif
