/* proxy_conf.h: the command line of proxy_client. */
#ifndef LARDER_PROXY_CONF_H
#define LARDER_PROXY_CONF_H

#include "address_list.h"
#include "listener.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct proxy_conf {
    const char *instance, *tenant, *origin, *origin_ca, *access_log, *log_level, *user;
    const char *targeted_fields; /* as http_targets_parse() takes them */
    const char *tag_fields;      /* as http_tag_fields_parse() takes them */
    const char *purge_from;      /* NULL: nobody; as it is parsed: */
    struct address_list purge_addresses;
    struct listen_address http, getfile;
    bool has_http, has_getfile;
    uint64_t segments, segment_bytes; /* 0: the library's default */
    uint64_t max_request_body;
    uint64_t max_connections; /* 0: what the descriptors allow */
    uint64_t cache_timeout_ms;
    uint64_t origin_timeout_s, header_timeout_s, idle_timeout_s, body_timeout_s;
};

enum proxy_conf_result { PROXY_CONF_RUN, PROXY_CONF_HELP, PROXY_CONF_VERSION, PROXY_CONF_BAD };

#define PROXY_CONF_PROBLEM_BYTES 320
/* BAD: `problem` says in one line what is wrong. Strings point into argv. */
enum proxy_conf_result proxy_conf_parse(struct proxy_conf *conf, int argc, char **argv,
                                        char problem[PROXY_CONF_PROBLEM_BYTES]);
void proxy_conf_help(FILE *out);

#endif
