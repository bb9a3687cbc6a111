/* cache_server: see docs/design.md. This file is the map: what is set up, in order, and torn down, reversed.
 */
#include "log.h"
#include "privileges.h"
#include "sandbox.h"
#include "schedule.h"
#include "shards.h"
#include "size.h"
#include "turn.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Chunks come from the heap, not from mappings of their own, and what has been freed is kept for the next
 * object. The heap grows by so much at a time that huge pages fit in. */
static void tune_allocator(uint32_t shards)
{
    mallopt(M_ARENA_MAX, (int)shards); /* each its own, so that they do not wait for each other */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 16 << 20);
}

/* -1 to go on, or the status to exit with. */
static int load(struct cache_conf *conf, const struct cache_command *command)
{
    static struct conf_report report;

    if (!cache_conf_load(conf, command, NULL, &report)) {
        conf_report_print(&report, "cache_server", stderr);
        return 2;
    }
    log_set_level(conf->log_level);
    if (!command->common.check)
        return -1;
    cache_conf_show(conf, stdout);
    cache_conf_free(conf);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int cannot_start(const struct cache_conf *conf, const char *why, int status)
{
    log_error("cannot start", "instance=%s reason=\"%s\"", conf->instance, why);
    return status;
}

/* Before anything is created, and while there is one thread. -1 to go on, or the status to exit with. */
static int give_up_privileges(const struct cache_conf *conf)
{
    char problem[512];
    struct privileges_user user;

    if (conf->user) {
        if (privileges_find(&user, conf->user, problem, sizeof(problem)) != 0)
            return cannot_start(conf, problem, 2);
        if (privileges_become(&user, problem, sizeof(problem)) != 0)
            return cannot_start(conf, problem, 1);
    }
    if (conf->command->common.config && access(conf->command->common.config, R_OK) != 0)
        log_warn("the configuration file cannot be read again by the cache's user", "file=\"%s\"",
                 conf->command->common.config);
    if (!conf->no_sandbox && sandbox_prepare(problem, sizeof(problem)) != 0)
        return cannot_start(conf, problem, 1);
    return -1;
}

/* What the configuration owns is the cache's afterwards, or gone. */
static int set_up(struct shards *shards, struct cache_conf *conf, char *problem, size_t problem_size)
{
    int error = shards_setup(shards, conf, problem, problem_size);

    if (error)
        cache_conf_free(conf);
    if (error || conf->no_sandbox)
        return error;
    error = sandbox_enter(conf->group.name ? &conf->group.gid : NULL, problem, problem_size);
    if (error)
        shards_teardown(shards);
    return error;
}

/* Standard output says so to whoever started us. Not by stdio, which asks what kind of file it is: the filter
 * would not let it. */
static void announce(const struct cache_conf *conf)
{
    static const char ready[] = "ready\n";
    char memory[SIZE_TEXT_BYTES], object[SIZE_TEXT_BYTES];

    log_info("ready", "instance=%s memory=%s max_object=%s shards=%u sandbox=%s version=" LARDER_VERSION,
             conf->instance, size_format(conf->memory, memory), size_format(conf->max_object, object),
             conf->shards, conf->no_sandbox ? "off" : SANDBOX_KIND);
    if (write(STDOUT_FILENO, ready, sizeof(ready) - 1) < 0)
        log_warn("cannot write to standard output", "reason=\"%s\"", strerror(errno));
}

static int serve(struct cache_conf *conf)
{
    char problem[512] = "";
    static struct shards shards;
    int error = set_up(&shards, conf, problem, sizeof(problem));

    if (error)
        return cannot_start(conf, problem[0] ? problem : "out of memory", error == -EBUSY ? 2 : 1);
    announce(conf);
    error = shards_run(&shards);
    shards_teardown(&shards);
    if (error)
        log_error("cannot run", "instance=%s reason=\"%s\"", conf->instance, strerror(-error));
    else
        log_info("stopped", "instance=%s", conf->instance);
    return error ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct cache_command command;
    struct cache_conf conf;

    log_setup("cache_server");
    int status = cache_conf_command(&command, argc, argv);
    if (status < 0)
        status = load(&conf, &command);
    if (status >= 0)
        return status;
    status = give_up_privileges(&conf);
    if (status >= 0) {
        cache_conf_free(&conf);
        return status;
    }
    turn_hold_signals();
    raise_descriptor_limit();
    tune_allocator(conf.shards);
    schedule_short_turns();
    return serve(&conf);
}
