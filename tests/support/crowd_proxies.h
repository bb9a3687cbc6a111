/* crowd_proxies.h: the proxies of a round, as its file names them: a line "127.0.0.1:PORT PID" for each. */
#ifndef CROWD_PROXIES_H
#define CROWD_PROXIES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CROWD_PROXIES_MAX 64

struct crowd_proxy {
    uint16_t port;
    pid_t pid;
    bool killed; /* by us */
};

struct crowd_proxies {
    unsigned count;
    struct crowd_proxy proxy[CROWD_PROXIES_MAX];
};

/* 0, -errno, or -EINVAL for a file that names none or says something else. */
int crowd_proxies_read(struct crowd_proxies *proxies, const char *path);

#endif
