/* proxy_client: see docs/design.md. This file is the map: what is set up, in order, and torn down, reversed.
 */
#include "access_log.h"
#include "cache_link.h"
#include "connection.h"
#include "exchange.h"
#include "front_getfile.h"
#include "front_http.h"
#include "listener.h"
#include "log.h"
#include "origin.h"
#include "privileges.h"
#include "proxy_conf.h"
#include "reload.h"
#include "schedule.h"
#include "shutdown.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTENERS_MAX (2 * PROXY_CONF_ADDRESSES)

struct proxy {
    struct proxy_loop loop;
    struct cache_link link;
    struct origin *origin;
    struct exchange_home *exchanges;
    struct connection_home connections;
    struct access_log *log;
    struct front_http http;
    struct front_getfile getfile;
    struct listener listeners[LISTENERS_MAX]; /* HTTP's, then GETFILE's */
    struct reload reload;
    struct shutdown shutdown;
};

static int cannot(const char *what, const char *why)
{
    log_error("cannot start", "what=\"%s\" why=\"%s\"", what, why);
    return 1;
}

static int set_up_cache(struct proxy *proxy, const struct proxy_conf *conf)
{
    struct larder_options options = {.instance = conf->instance,
                                     .tenant = conf->tenant,
                                     .segments = (uint32_t)conf->segments,
                                     .segment_bytes = (uint32_t)conf->segment_bytes};
    struct larder_sharing sharing = {.shared = conf->group != NULL,
                                     .group = conf->group_id,
                                     .has_cache_user = conf->cache_user != NULL,
                                     .cache_user = conf->cache_user_id};
    char problem[512] = "";
    int error = cache_link_setup(&proxy->link, &proxy->loop, &options, &sharing, problem, sizeof problem);

    if (error)
        return cannot("cache client", problem[0] ? problem : strerror(-error));
    cache_link_set_spin(&proxy->link, (unsigned)conf->spin);
    return 0;
}

static int set_up_origin(struct proxy *proxy, const struct proxy_conf *conf)
{
    struct origin_options options = {
        .url = conf->origin, .ca_file = conf->origin_ca, .timeout_s = (int)conf->origin_timeout_s};
    char problem[512] = "";

    return origin_create(&proxy->origin, &proxy->loop, &options, problem, sizeof problem) == 0
               ? 0
               : cannot("origin", problem);
}

static int set_up_log(struct proxy *proxy, const struct proxy_conf *conf)
{
    int error = conf->access_log ? access_log_create(&proxy->log, &proxy->loop, conf->access_log) : 0;

    return error ? cannot(conf->access_log, strerror(-error)) : 0;
}

static void set_up_fronts(struct proxy *proxy, const struct proxy_conf *conf)
{
    struct connection_timeouts timeouts = {.header_s = (int)conf->header_timeout_s,
                                           .idle_s = (int)conf->idle_timeout_s,
                                           .body_s = (int)conf->body_timeout_s,
                                           .limit = reload_connection_limit(conf)};

    connection_home_setup(&proxy->connections, &proxy->loop, &proxy->link, &timeouts);
    front_http_setup(&proxy->http, &proxy->connections, proxy->exchanges, proxy->log, conf->max_request_body);
    proxy->http.purge_from = proxy_conf_purgers(conf);
    front_getfile_setup(&proxy->getfile, &proxy->connections, proxy->exchanges, proxy->log, conf->max_spool);
}

static void connection_closed(void *owner)
{
    struct proxy *proxy = owner;

    for (int i = 0; i < LISTENERS_MAX; i++)
        listener_resume(&proxy->listeners[i]);
}

static int cannot_listen(const struct listen_address *address, int error)
{
    char text[LISTEN_ADDRESS_BYTES], why[160];

    listen_address_format(address, text);
    snprintf(why, sizeof why, "cannot listen on %s: %s%s", text, strerror(-error),
             error == -EACCES ? "; start as root with --user, or grant CAP_NET_BIND_SERVICE" : "");
    return cannot("listener", why);
}

static unsigned listener_count(const struct proxy_conf *conf)
{
    return conf->http.count + conf->getfile.count;
}

static const struct listen_address *address_of(const struct proxy_conf *conf, unsigned i)
{
    return i < conf->http.count ? &conf->http.items[i] : &conf->getfile.items[i - conf->http.count];
}

static int bind_listeners(struct proxy *proxy, const struct proxy_conf *conf)
{
    for (unsigned i = 0; i < listener_count(conf); i++) {
        int error = listener_bind(&proxy->listeners[i], address_of(conf, i));

        if (error)
            return cannot_listen(address_of(conf, i), error);
    }
    return 0;
}

static int open_listener(struct proxy *proxy, const struct proxy_conf *conf, unsigned i)
{
    struct listener *listener = &proxy->listeners[i];

    return i < conf->http.count
               ? listener_open(listener, &proxy->connections, front_http_accept, &proxy->http)
               : listener_open(listener, &proxy->connections, front_getfile_accept, &proxy->getfile);
}

static int open_listeners(struct proxy *proxy, const struct proxy_conf *conf)
{
    proxy->connections.closed = connection_closed;
    proxy->connections.closed_owner = proxy;
    for (unsigned i = 0; i < listener_count(conf); i++) {
        int error = open_listener(proxy, conf, i);

        if (error)
            return cannot_listen(address_of(conf, i), error);
    }
    return 0;
}

/* The addresses are bound, and nothing else needs a privilege: queue, pool and access log belong to the user
 * who has to open them again, and curl, which speaks to strangers, does not even start with more. A proxy
 * that root runs without --user stays as it was started. */
static int give_up_privileges(const struct privileges_user *user)
{
    char problem[512];
    int error = user->uid ? privileges_become(user, problem, sizeof problem) : 0;

    if (!error && geteuid() != 0)
        error = privileges_drop_capabilities(problem, sizeof problem);
    if (!error)
        error = privileges_forbid_new(problem, sizeof problem);
    return error ? cannot("privileges", problem) : 0;
}

/* An administrator wants it, through the cache. */
static void drain(void *owner, bool on)
{
    struct proxy *proxy = owner;
    int error = 0;

    if (proxy->shutdown.stopping)
        return;
    log_info(on ? "taking no new clients" : "taking clients again", "connections=%u",
             proxy->connections.count);
    for (int i = 0; i < LISTENERS_MAX; i++) {
        if (on)
            listener_suspend(&proxy->listeners[i]);
        else if (!error)
            error = listener_go_on(&proxy->listeners[i]);
    }
    if (error)
        log_error("cannot listen again", "why=\"%s\"", strerror(-error));
    if (on)
        connection_home_stop(&proxy->connections);
    else
        connection_home_go_on(&proxy->connections);
}

static void tear_down_listeners(struct proxy *proxy)
{
    for (int i = 0; i < LISTENERS_MAX; i++)
        listener_close(&proxy->listeners[i]);
}

static int set_up_shutdown(struct proxy *proxy, struct proxy_conf *conf, const struct proxy_command *command)
{
    int error;

    proxy->reload = (struct reload){.command = command,
                                    .conf = conf,
                                    .exchanges = proxy->exchanges,
                                    .origin = proxy->origin,
                                    .connections = &proxy->connections,
                                    .http = &proxy->http,
                                    .getfile = &proxy->getfile};
    proxy->shutdown = (struct shutdown){.loop = &proxy->loop,
                                        .connections = &proxy->connections,
                                        .exchanges = proxy->exchanges,
                                        .log = proxy->log,
                                        .http = &proxy->http,
                                        .listeners = proxy->listeners,
                                        .listener_count = LISTENERS_MAX,
                                        .reload = command->common.config ? &proxy->reload : NULL};
    error = shutdown_setup(&proxy->shutdown);
    return error ? cannot("signals", strerror(-error)) : 0;
}

/* Standard output says where, once clients may come: whoever started us reads it. */
static void announce(const struct proxy *proxy, const struct proxy_conf *conf)
{
    char text[LISTEN_ADDRESS_BYTES];

    for (unsigned i = 0; i < listener_count(conf); i++)
        printf("listening %s %s\n", i < conf->http.count ? "http" : "getfile",
               listen_address_format(&proxy->listeners[i].bound, text));
    log_info("ready", "instance=%s tenant=%s origin=%s listen=%s version=" LARDER_VERSION, conf->instance,
             conf->tenant, conf->origin, listen_address_format(&proxy->listeners[0].bound, text));
    fflush(stdout);
}

static int serve(struct proxy *proxy, struct proxy_conf *conf, const struct proxy_command *command,
                 const struct privileges_user *user)
{
    int status;

    if ((status = bind_listeners(proxy, conf)) != 0)
        goto err_listeners;
    if ((status = give_up_privileges(user)) != 0)
        goto err_listeners;
    status = proxy_loop_setup(&proxy->loop) == 0 ? 0 : cannot("event loop", strerror(errno));
    if (status)
        goto err_listeners;
    if ((status = set_up_cache(proxy, conf)) != 0)
        goto err_loop;
    if ((status = set_up_origin(proxy, conf)) != 0)
        goto err_cache;
    if ((status = exchange_home_create(&proxy->exchanges, &proxy->loop, &proxy->link, proxy->origin,
                                       (unsigned)conf->cache_timeout_ms)) != 0)
        goto err_origin;
    exchange_home_set_targets(proxy->exchanges, &conf->targets);
    exchange_home_set_tag_fields(proxy->exchanges, &conf->tag_fields);
    exchange_home_set_overrides(proxy->exchanges, &conf->rules);
    if ((status = set_up_log(proxy, conf)) != 0)
        goto err_exchanges;
    set_up_fronts(proxy, conf);
    if ((status = open_listeners(proxy, conf)) != 0)
        goto err_fronts;
    if ((status = set_up_shutdown(proxy, conf, command)) != 0)
        goto err_fronts;
    proxy->link.drain = drain;
    proxy->link.drain_owner = proxy;
    announce(proxy, conf);
    schedule_short_turns();
    proxy_loop_run(&proxy->loop);

    front_http_report(&proxy->http);
    log_info("stopped");
    shutdown_teardown(&proxy->shutdown);
err_fronts:
    tear_down_listeners(proxy);
    connection_home_teardown(&proxy->connections);
    front_http_teardown(&proxy->http);
    access_log_destroy(&proxy->log);
err_exchanges:
    exchange_home_destroy(&proxy->exchanges);
err_origin:
    origin_destroy(&proxy->origin);
err_cache:
    cache_link_teardown(&proxy->link);
err_loop:
    proxy_loop_teardown(&proxy->loop);
err_listeners:
    tear_down_listeners(proxy);
    return status ? 1 : 0;
}

static int bad_usage(const struct conf_report *report)
{
    conf_report_print(report, "proxy_client", stderr);
    fputs("proxy_client: see --help\n", stderr);
    return 2;
}

static int show(const struct proxy_conf *conf)
{
    proxy_conf_show(conf, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* -1 to go on, or the status to exit with. */
static int parse(struct proxy_command *command, struct proxy_conf *conf, int argc, char **argv)
{
    static struct conf_report report;

    switch (proxy_conf_command(command, argc, argv, &report)) {
    case PROXY_CONF_HELP:
        proxy_conf_help(stdout);
        return 0;
    case PROXY_CONF_VERSION:
        puts("proxy_client " LARDER_VERSION);
        return 0;
    case PROXY_CONF_BAD:
        return bad_usage(&report);
    case PROXY_CONF_RUN:
        break;
    }
    if (!proxy_conf_load(conf, command, &report))
        return bad_usage(&report);
    log_set_level(conf->log_level);
    return command->common.check ? show(conf) : -1;
}

static int find_user(const struct proxy_conf *conf, struct privileges_user *user)
{
    char problem[512];

    if (!conf->user || privileges_find(user, conf->user, problem, sizeof problem) == 0)
        return -1;
    fprintf(stderr, "proxy_client: %s (see --help)\n", problem);
    return 2;
}

int main(int argc, char **argv)
{
    static struct proxy proxy;
    static struct proxy_conf conf; /* what cannot be loaded is not to be freed */
    struct privileges_user user = {.uid = 0};
    struct proxy_command command;
    int status;

    schedule_long_turns();
    /* What is stored has random names: from a generator in this process, not a system call each. */
    randombytes_set_implementation(&randombytes_internal_implementation);
    log_setup("proxy_client");
    status = parse(&command, &conf, argc, argv);
    if (status < 0)
        status = find_user(&conf, &user);
    if (status < 0) {
        command.is_running = true;
        shutdown_block_signals();
        status = serve(&proxy, &conf, &command, &user);
    }
    proxy_conf_free(&conf);
    return status;
}
