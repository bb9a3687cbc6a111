#include "reload.h"

#include "log.h"
#include "page_pipe.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Descriptors that are not clients: listeners, the loop, logs, queues, connections to the origin, and pipes.
 */
#define DESCRIPTORS_RESERVED (64u + EXCHANGE_ALONE_MAX + 2 * PAGE_PIPES_MAX)

/* A client and the fetch for it take two descriptors. */
unsigned reload_connection_limit(const struct proxy_conf *conf)
{
    struct rlimit limit;
    uint64_t allowed = 1024;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        allowed = limit.rlim_cur;
    }
    if (conf->max_connections)
        return (unsigned)conf->max_connections;
    allowed = allowed > 2 * DESCRIPTORS_RESERVED ? (allowed - DESCRIPTORS_RESERVED) / 2 : allowed / 4;
    return allowed < 1000000 ? (unsigned)allowed : 1000000;
}

static bool load(const struct reload *reload, struct proxy_conf *wanted, struct conf_report *report)
{
    if (!proxy_conf_load(wanted, reload->command, report))
        return false;
    proxy_conf_compare(reload->conf, wanted, report);
    if (report->count == 0)
        return true;
    proxy_conf_free(wanted);
    return false;
}

static void apply(const struct reload *reload)
{
    const struct proxy_conf *conf = reload->conf;
    struct connection_timeouts timeouts = {.header_s = (int)conf->header_timeout_s,
                                           .idle_s = (int)conf->idle_timeout_s,
                                           .body_s = (int)conf->body_timeout_s,
                                           .limit = reload_connection_limit(conf)};

    log_set_level(conf->log_level);
    exchange_home_set_targets(reload->exchanges, &conf->targets);
    exchange_home_set_tag_fields(reload->exchanges, &conf->tag_fields);
    exchange_home_set_overrides(reload->exchanges, &conf->rules);
    exchange_home_set_timeout(reload->exchanges, (unsigned)conf->cache_timeout_ms);
    origin_set_timeout(reload->origin, (int)conf->origin_timeout_s);
    connection_home_set_timeouts(reload->connections, &timeouts);
    reload->http->max_request_body = conf->max_request_body;
    reload->getfile->spools.limit = conf->max_spool;
    reload->http->purge_from = proxy_conf_purgers(conf);
}

bool reload_configuration(struct reload *reload)
{
    struct proxy_conf wanted, before = *reload->conf;
    struct conf_report report;

    if (!load(reload, &wanted, &report)) {
        conf_report_log(&report);
        return false;
    }
    *reload->conf = wanted;
    apply(reload);
    proxy_conf_free(&before); /* nothing refers to its texts any more */
    log_info("configuration applied", "file=\"%s\"", reload->command->common.config);
    return true;
}
