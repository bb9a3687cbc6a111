/* proxy_conf.h: what the command line of proxy_client and its configuration file say.
 *
 * The file is read at the start and again for each reload (reload.h); the command line stays as it was.
 * Ownership: what a struct proxy_conf points to is its own (proxy_conf_free()). */
#ifndef LARDER_PROXY_CONF_H
#define LARDER_PROXY_CONF_H

#include "address_list.h"
#include "conf.h"
#include "conf_command.h"
#include "http_overrides.h"
#include "http_tags.h"
#include "http_targeted.h"
#include "listener.h"
#include "names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PROXY_CONF_ADDRESSES 8

struct listen_addresses {
    uint32_t count;
    struct listen_address items[PROXY_CONF_ADDRESSES];
};

struct proxy_command {
    struct conf_command common;
    bool is_running; /* set when the proxy serves: no directory of users is waited for any more */
};

struct proxy_conf {
    char instance[NAMES_INSTANCE_MAX + 1];
    char tenant[NAMES_TENANT_MAX + 1];
    const char *origin, *origin_ca, *access_log, *log_level, *user, *group, *cache_user; /* NULL: not set */
    /* Of the last two, looked up at the start. */
    uint32_t group_id, cache_user_id;
    struct http_targets targets;
    struct http_tag_fields tag_fields;
    struct purgers {
        uint32_t count;                      /* of texts; 0: nobody */
        const char *texts[ADDRESS_LIST_MAX]; /* as they were given */
        struct address_list list;
    } purge_from;
    struct http_overrides rules;
    struct listen_addresses http, getfile;
    uint64_t segments, segment_bytes; /* 0: the library's default */
    uint64_t max_request_body;
    uint64_t max_spool;
    uint64_t max_connections; /* 0: what the descriptors allow */
    int64_t cache_timeout_ms;
    uint64_t spin; /* percent */
    uint64_t origin_timeout_s, header_timeout_s, idle_timeout_s, body_timeout_s;
    struct conf_texts texts;
};

enum proxy_conf_result { PROXY_CONF_RUN, PROXY_CONF_HELP, PROXY_CONF_VERSION, PROXY_CONF_BAD };

/* BAD: `report` says what is wrong with argv as such; values are looked at by proxy_conf_load(). */
enum proxy_conf_result proxy_conf_command(struct proxy_command *command, int argc, char **argv,
                                          struct conf_report *report);
void proxy_conf_help(FILE *out);

/* Defaults, file and command line together. False: `report` has every mistake, and `conf` is empty. */
bool proxy_conf_load(struct proxy_conf *conf, const struct proxy_command *command,
                     struct conf_report *report);
/* The same for a text in memory (NULL: none), which tests have. `command` may be NULL. */
bool proxy_conf_from_text(struct proxy_conf *conf, const struct proxy_command *command, const char *text,
                          size_t length, struct conf_report *report);
/* Who may use the method PURGE; NULL: nobody, it is a method like others. */
const struct address_list *proxy_conf_purgers(const struct proxy_conf *conf);
void proxy_conf_free(struct proxy_conf *conf);

/* As a file that says all that is in force. */
void proxy_conf_show(const struct proxy_conf *conf, FILE *out);
/* Complains of all that `wanted` says otherwise but that cannot change any more. */
void proxy_conf_compare(const struct proxy_conf *running, const struct proxy_conf *wanted,
                        struct conf_report *report);

#endif
