/* ctl_client.h: cache_ctl as a peer of the cache, with a reply queue and a small pool of its own.
 *
 *     ctl_open()   names made, the cache found
 *     ctl_ping(), ctl_stats(), ctl_reload(), ctl_purge(), ctl_top(), ctl_show(), ctl_drain()
 *     ctl_close()  names removed
 *
 * A cache of several shards is asked shard by shard, and answers as one (ctl_merge.h).
 *
 * Every call returns an exit status; unless it is CTL_DONE, `problem` says why in one line. */
#ifndef LARDER_CTL_CLIENT_H
#define LARDER_CTL_CLIENT_H

#include "ctl_purge.h"
#include "endpoint.h"
#include "wire.h"

enum ctl_status {
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_REFUSED = 2,
    CTL_NO_CACHE = 75, /* EX_TEMPFAIL */
};

/* Of metadata, as much as is shown. */
#define CTL_META_BYTES 65536u

struct ctl_client {
    const char *instance;
    double timeout; /* seconds for an answer, from ctl_open() on */
    struct endpoint endpoint;
    int64_t deadline_ms;
    struct {
        mqd_t command; /* that of shard 0 is the endpoint's */
        uint64_t registration;
    } links[WIRE_MAX_SHARDS];
    uint32_t shards, at; /* known by ctl_ping() or registration; which one is asked */
    uint8_t shard_key[WIRE_SHARD_KEY];
    struct wire_row *rows; /* of ctl_stats(), names terminated; freed by ctl_close() */
    size_t row_count;
    struct wire_top_row *top_rows; /* of ctl_top(), the same way */
    size_t top_count;
    uint32_t refusal;       /* enum wire_refusal of the last CTL_REFUSED, or WIRE_REFUSAL_NONE */
    uint16_t cache_version; /* of the protocol, when refusal is WIRE_REFUSAL_VERSION */
    bool interrupted;       /* by a signal */
    int error;              /* -errno when ctl_open() could not make its names, else 0 */
    char problem[ENDPOINT_PROBLEM_BYTES];
};

/* `sharing` (NULL: nothing) for a cache of another user. */
enum ctl_status ctl_open(struct ctl_client *client, const char *instance, double timeout,
                         const struct endpoint_sharing *sharing);
void ctl_close(struct ctl_client *client);

enum ctl_status ctl_ping(struct ctl_client *client, struct wire_pong *pong, int64_t *answered_us);
/* This and the next ones register as an administrator first. The cache purges that of the tenant's. */
enum ctl_status ctl_purge(struct ctl_client *client, const char *tenant, const struct ctl_purge_order *order,
                          struct wire_purged *purged);
/* Collects all rows; those of an earlier call are gone. Each call has the whole time-out. */
enum ctl_status ctl_stats(struct ctl_client *client);
/* Registers as an administrator and has the cache read its configuration again. CTL_REFUSED with `problems`:
 * what is wrong with it, a line each, to be freed by the caller. */
enum ctl_status ctl_reload(struct ctl_client *client, char **problems);
/* Waits. CTL_FAILED: a signal came; CTL_NO_CACHE: the cache has ended. */
enum ctl_status ctl_rest(struct ctl_client *client, double seconds);
/* At most `most` keys and tags of each tenant (1 .. WIRE_TOP_MOST); NULL: of all. */
enum ctl_status ctl_top(struct ctl_client *client, const char *tenant, uint32_t most);
enum ctl_status ctl_show(struct ctl_client *client, const char *tenant, const void *key, uint32_t length,
                         struct wire_shown *shown, uint8_t meta[CTL_META_BYTES]);
/* The proxy with this registration, or (0) all of this process. Tells how many there are. */
enum ctl_status ctl_drain(struct ctl_client *client, uint64_t proxy, uint32_t pid, bool on,
                          uint32_t *proxies);

#endif
