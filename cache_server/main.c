/* cache_server: see docs/design.md. This file is the map: what is set up, in order, and torn down, reversed.
 */
#include "cache.h"
#include "log.h"
#include "size.h"
#include "turn.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Chunks come from the heap, not from mappings of their own, and what has been freed is kept for the next
 * object. */
static void tune_allocator(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

static int serve(const struct cache_conf *conf)
{
    char problem[512] = "";
    char memory[SIZE_TEXT_BYTES], object[SIZE_TEXT_BYTES];
    struct cache *cache = calloc(1, sizeof(*cache));
    int error = cache ? cache_setup(cache, conf, problem, sizeof(problem)) : -ENOMEM;

    if (error) {
        log_error("cannot start", "instance=%s reason=\"%s\"", conf->instance,
                  problem[0] ? problem : "out of memory");
        free(cache);
        return error == -EBUSY ? 2 : 1;
    }
    log_info("ready", "instance=%s memory=%s max_object=%s version=" LARDER_VERSION, conf->instance,
             size_format(conf->memory, memory), size_format(conf->max_object, object));
    puts("ready");
    fflush(stdout);
    error = turn_run(cache);
    cache_teardown(cache);
    if (error)
        log_error("cannot run", "instance=%s reason=\"%s\"", conf->instance, strerror(-error));
    else
        log_info("stopped", "instance=%s", conf->instance);
    free(cache);
    return error ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct cache_conf conf;

    log_setup("cache_server");
    int status = cache_conf_parse(&conf, argc, argv);
    if (status >= 0)
        return status;
    turn_hold_signals();
    raise_descriptor_limit();
    tune_allocator();
    return serve(&conf);
}
