#include "storm_inspect.h"

#include "segment_pool.h"
#include "storm_problems.h"
#include "storm_time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATS_BYTES (512 * 1024)
#define LOOK_EVERY  (100 * STORM_MS)

static void find(struct inspection *found, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void find(struct inspection *found, const char *format, ...)
{
    va_list arguments;

    if (found->findings++ >= FINDINGS)
        return;
    va_start(arguments, format);
    vsnprintf(found->text[found->findings - 1], sizeof(found->text[0]), format, arguments);
    va_end(arguments);
}

void inspection_report(const struct inspection *found, const char *when)
{
    for (unsigned i = 0; i < found->findings && i < FINDINGS; i++)
        problem_note("%s: %s", when, found->text[i]);
    if (found->findings > FINDINGS)
        problem_note("%s: %u more findings", when, found->findings - FINDINGS);
}

/* ---- the cache's account ---- */

/* NULL when it does not answer. */
static json_t *ask_cache(const struct fleet *fleet)
{
    char path[4096 + 16];
    const char *argv[] = {path, "--instance", fleet->conf->instance, "stats", "--json", NULL};
    char *text = malloc(STATS_BYTES);
    json_t *answer = NULL;

    if (!text)
        abort();
    snprintf(path, sizeof(path), "%s/cache_ctl", fleet->conf->bin);
    if (process_capture(argv, fleet->cache_log, text, STATS_BYTES, 5 * STORM_SECOND) == 0)
        answer = json_loads(text, 0, NULL);
    free(text);
    return answer;
}

static int64_t number(const json_t *stats, const char *name)
{
    const json_t *value = json_object_get(json_object_get(stats, "cache"), name);

    return json_is_integer(value) ? json_integer_value(value) : UNKNOWN;
}

bool inspect_await_registered(struct fleet *fleet, int64_t deadline)
{
    int64_t registered = 0;

    while (registered != fleet->conf->proxies && storm_now() < deadline) {
        json_t *stats = ask_cache(fleet);

        registered = number(stats, "proxies");
        json_decref(stats);
        if (!fleet_run(fleet, storm_now() + 20 * STORM_MS))
            return false;
    }
    return registered == fleet->conf->proxies;
}

/* ---- segments ---- */

/* How a pool begins (docs/protocol.md, Pool). */
struct pool_start {
    uint64_t magic, secret;
    struct pool_shape shape;
};

static bool read_start(const char *name, struct pool_start *start, uid_t *owner)
{
    struct stat about;
    int fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
    bool good;

    if (fd < 0)
        return false;
    good = pread(fd, start, sizeof(*start), 0) == (ssize_t)sizeof(*start) && fstat(fd, &about) == 0;
    *owner = good ? about.st_uid : 0;
    close(fd);
    return good;
}

/* Mapped as the cache does, then made read-only. */
static bool map_pool(const char *name, struct segment_pool *pool)
{
    struct pool_start start;
    uid_t owner;

    if (!read_start(name, &start, &owner) ||
        segment_pool_attach(pool, name, &start.shape, owner, -1, start.secret) != 0)
        return false;
    mprotect(pool->base, pool->bytes, PROT_READ);
    return true;
}

static void look_at_segments(struct inspection *found, const char *name, pid_t pid)
{
    struct segment_pool pool;

    if (!map_pool(name, &pool)) {
        found->vanished_names++;
        find(found, "pool %s of process %ld cannot be looked at", name, (long)pid);
        return;
    }
    found->pools++;
    for (uint32_t i = 0; i < pool.shape.segments; i++) {
        uint32_t wsem = atomic_load(&segment_header(&pool, i)->wsem.value);
        uint32_t rsem = atomic_load(&segment_header(&pool, i)->rsem.value);

        found->segments++;
        if (wsem == 1 && rsem == 0)
            continue;
        found->leaked_segments++;
        find(found, "segment %u of process %ld is (%u,%u)", i, (long)pid, wsem, rsem);
    }
    segment_pool_detach(&pool);
}

/* ---- names ---- */

struct name_look {
    struct fleet *fleet;
    struct inspection *found;
    bool owners[64]; /* proxies whose pool has been met */
};

static int owner_of(const struct fleet *fleet, pid_t pid)
{
    for (unsigned i = 0; i < fleet->conf->proxies; i++)
        if (pid && fleet->proxies[i].process.pid == pid)
            return (int)i;
    return -1;
}

static void look_at_stray(struct name_look *look, const char *name, uint64_t token)
{
    bool pool = names_pool_exists(look->fleet->conf->instance, token);
    bool queue = names_queue_exists(look->fleet->conf->instance, token);

    look->found->lost_names += (unsigned)pool + (unsigned)queue;
    if (pool || queue)
        find(look->found, "%s%s%s %s belongs to no living proxy", pool ? "pool" : "",
             pool && queue ? " and " : "", queue ? "queue" : "", name);
}

static void look_at_name(void *context, uint64_t token)
{
    struct name_look *look = context;
    const char *instance = look->fleet->conf->instance;
    pid_t pid = names_watch_holder(look->fleet->names, token);
    int owner = owner_of(look->fleet, pid);
    char name[NAMES_BYTES];

    names_peer(name, instance, token);
    if (owner < 0 || look->owners[owner]) {
        look_at_stray(look, name, token);
        return;
    }
    look->owners[owner] = true;
    if (!names_queue_exists(instance, token)) {
        look->found->vanished_names++;
        find(look->found, "queue %s of proxy %d is gone", name, owner);
    }
    look_at_segments(look->found, name, pid);
}

static void look_at_names(struct fleet *fleet, struct inspection *found)
{
    struct name_look look = {.fleet = fleet, .found = found};

    names_watch_each(fleet->names, look_at_name, &look);
    for (unsigned i = 0; i < fleet->conf->proxies; i++) {
        if (look.owners[i])
            continue;
        found->vanished_names++;
        find(found, "the pool of proxy %u is gone", i);
    }
    if (!names_command_queue_exists(fleet->conf->instance)) {
        found->vanished_names++;
        find(found, "the command queue is gone");
    }
}

static void count_left(void *context, uint64_t token)
{
    struct name_look *look = context;
    char name[NAMES_BYTES];

    names_peer(name, look->fleet->conf->instance, token);
    look_at_stray(look, name, token);
}

void inspect_names_left(struct fleet *fleet, struct inspection *found)
{
    struct name_look look = {.fleet = fleet, .found = found};

    *found = (struct inspection){0};
    names_watch_each(fleet->names, count_left, &look);
    if (names_command_queue_exists(fleet->conf->instance)) {
        found->lost_names++;
        find(found, "the cache has left its command queue");
    }
}

/* ---- descriptors ---- */

/* Inodes of TCP sockets that are connected to this port: connections that a proxy keeps to its origin come
 * and go with the load, within a bound of their own. Columns of /proc/net/tcp: number, local address, remote
 * address, state, queues, timer, retransmissions, user, timeout, inode. */
static size_t origin_sockets(uint16_t port, uint64_t *inodes, size_t room)
{
    FILE *file = fopen("/proc/net/tcp", "re");
    char line[512], *column[10], *rest;
    size_t count = 0, columns;

    while (file && count < room && fgets(line, sizeof(line), file)) {
        columns = 0;
        for (char *at = strtok_r(line, " ", &rest); at && columns < 10; at = strtok_r(NULL, " ", &rest))
            column[columns++] = at;
        if (columns == 10 && strlen(column[2]) == 13 && strtoul(column[2] + 9, NULL, 16) == port)
            inodes[count++] = strtoull(column[9], NULL, 10);
    }
    if (file)
        fclose(file);
    return count;
}

static bool is_origin_socket(int directory, const char *name, const uint64_t *inodes, size_t count)
{
    static const char kind[] = "socket:[";
    char target[64];
    ssize_t length = readlinkat(directory, name, target, sizeof(target) - 1);
    uint64_t inode;

    target[length > 0 ? length : 0] = '\0';
    if (strncmp(target, kind, sizeof(kind) - 1) != 0)
        return false;
    inode = strtoull(target + sizeof(kind) - 1, NULL, 10);
    for (size_t i = 0; i < count; i++)
        if (inodes[i] == inode)
            return true;
    return false;
}

/* Without connections to the origin; UNKNOWN if the kernel does not show them. */
static int descriptors_of(pid_t pid, uint16_t origin_port)
{
    static uint64_t inodes[4096];
    size_t origins = origin_sockets(origin_port, inodes, sizeof(inodes) / sizeof(*inodes));
    struct dirent *entry;
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return UNKNOWN;
    while ((entry = readdir(directory)))
        count +=
            entry->d_name[0] != '.' && !is_origin_socket(dirfd(directory), entry->d_name, inodes, origins);
    closedir(directory);
    return count;
}

/* What the cache says itself serves where the kernel does not show it. */
static int cache_descriptors(const struct fleet *fleet, const json_t *stats)
{
    int seen = descriptors_of(fleet->cache.pid, 0);
    int64_t told = number(stats, "descriptors");

    if (seen == UNKNOWN && told > 0)
        return (int)told;
    return seen;
}

static void compare(struct inspection *found, const char *who, int before, int now)
{
    if (before == UNKNOWN || now == UNKNOWN) {
        found->descriptors_known = false;
        return;
    }
    if (now <= before)
        return;
    found->leaked_descriptors += now - before;
    find(found, "%s has %d descriptors, %d before", who, now, before);
}

static void look_at_descriptors(struct fleet *fleet, const struct baseline *baseline, const json_t *stats,
                                struct inspection *found)
{
    char who[32];

    found->descriptors_known = true;
    compare(found, "the cache", baseline->cache_descriptors, cache_descriptors(fleet, stats));
    for (unsigned i = 0; i < fleet->conf->witnesses; i++) {
        snprintf(who, sizeof(who), "proxy %u", i);
        compare(found, who, baseline->witness_descriptors[i],
                descriptors_of(fleet->proxies[i].process.pid, fleet->origin_port));
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* The least of some looks: a sweep of /dev/shm holds a descriptor for a moment. */
void inspect_baseline(struct fleet *fleet, struct baseline *baseline)
{
    for (int look = 0; look < 5; look++) {
        json_t *stats = ask_cache(fleet);
        int seen = cache_descriptors(fleet, stats);

        baseline->cache_descriptors = look ? least(baseline->cache_descriptors, seen) : seen;
        for (unsigned i = 0; i < fleet->conf->witnesses; i++) {
            seen = descriptors_of(fleet->proxies[i].process.pid, fleet->origin_port);
            baseline->witness_descriptors[i] = look ? least(baseline->witness_descriptors[i], seen) : seen;
        }
        json_decref(stats);
        fleet_run(fleet, storm_now() + 30 * STORM_MS);
    }
}

/* ---- memory ---- */

static int64_t memory_line(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtoll(at + strlen(name), NULL, 10) * 1024 : UNKNOWN;
}

void inspect_memory(const struct fleet *fleet, struct memory *memory)
{
    char path[64], text[4096];
    ssize_t got = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)fleet->cache.pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        got = read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    memory->resident = memory_line(text, "\nVmRSS:");
    memory->anonymous = memory_line(text, "\nRssAnon:");
}

/* ---- all of it ---- */

static void look_at_account(const json_t *stats, struct inspection *found)
{
    found->pins = number(stats, "pins");
    found->leases = number(stats, "leases");
    found->bytes_held = number(stats, "bytes_held");
    found->proxies = number(stats, "proxies");
    if (!stats)
        find(found, "the cache does not answer");
    else if (found->pins || found->leases || found->bytes_held)
        find(found, "the cache counts %" PRId64 " pins, %" PRId64 " leases, %" PRId64 " bytes held",
             found->pins, found->leases, found->bytes_held);
}

/* One pool a proxy, and that of cache_ctl, which asks. */
static void count_pools(const json_t *stats, struct inspection *found)
{
    int64_t pools = number(stats, "pools");

    if (pools == UNKNOWN || pools <= found->proxies + 1)
        return;
    found->leaked_pools = pools - found->proxies - 1;
    find(found, "%" PRId64 " pools are mapped for %" PRId64 " proxies and cache_ctl", pools, found->proxies);
}

static void look(struct fleet *fleet, const struct baseline *baseline, struct inspection *found)
{
    json_t *stats = ask_cache(fleet);

    *found = (struct inspection){0};
    look_at_account(stats, found);
    count_pools(stats, found);
    look_at_names(fleet, found);
    look_at_descriptors(fleet, baseline, stats, found);
    json_decref(stats);
    if (found->proxies != fleet->conf->proxies)
        find(found, "%" PRId64 " proxies are registered, %u run", found->proxies, fleet->conf->proxies);
}

bool inspection_is_clean(const struct inspection *found)
{
    return found->findings == 0;
}

bool inspect_until_clean(struct fleet *fleet, const struct baseline *baseline, int64_t deadline,
                         struct inspection *found)
{
    for (;;) {
        look(fleet, baseline, found);
        if (inspection_is_clean(found) || storm_now() > deadline)
            return true;
        if (!fleet_run(fleet, storm_now() + LOOK_EVERY))
            return false;
    }
}
