/* crowd_conf.h: the options of larder_crowd. */
#ifndef CROWD_CONF_H
#define CROWD_CONF_H

#include "origin_bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct crowd_conf {
    const char *proxies; /* file; read when a round begins */
    int64_t size, rate, max_age;
    int64_t clients, slow, slow_for; /* milliseconds; 0: until the others are over */
    int64_t rounds, timeout;         /* seconds */
    int64_t kill_at, stop_at;        /* bytes that the origin has sent; 0: never */
    bool lead, change_on_resume;
    struct bytes target; /* of every request; what it orders is in origin_script.h */
};

/* -1 to go on, else the exit status. */
int crowd_conf_parse(struct crowd_conf *conf, int argc, char **argv);
void crowd_conf_clear(struct crowd_conf *conf);

#endif
