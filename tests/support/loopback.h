/* loopback.h: a client's connection to a port of 127.0.0.1. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <stdint.h>

/* A non-blocking socket that is connected or about to be, without Nagle's delay; or -errno. */
int loopback_connect(uint16_t port);

#endif
