/* reload.h: another configuration for a proxy that runs, all of it or nothing.
 *
 * SIGHUP has the file read and checked again, in the loop: it is small and local. What is wrong with it, or
 * cannot change any more, is logged and leaves everything as it was. Requests that are under way go on by the
 * rules that they have met so far; time-outs count from what begins to wait afterwards. */
#ifndef LARDER_RELOAD_H
#define LARDER_RELOAD_H

#include "connection.h"
#include "exchange.h"
#include "front_getfile.h"
#include "front_http.h"
#include "origin.h"
#include "proxy_conf.h"

struct reload {
    const struct proxy_command *command;
    struct proxy_conf *conf; /* in force; replaced */
    struct exchange_home *exchanges;
    struct origin *origin;
    struct connection_home *connections;
    struct front_http *http;
    struct front_getfile *getfile;
};

/* True: what the file says is in force. */
bool reload_configuration(struct reload *reload);

/* Clients at a time: what the configuration says, else what the descriptor limit, which is raised, allows. */
unsigned reload_connection_limit(const struct proxy_conf *conf);

#endif
