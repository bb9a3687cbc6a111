/* ctl_client.h: cache_ctl as a peer of the cache, with a reply queue and a small pool of its own.
 *
 *     ctl_open()   names made, the cache found
 *     ctl_ping(), ctl_stats(), ctl_reload(), ctl_purge()
 *     ctl_close()  names removed
 *
 * Every call returns an exit status; unless it is CTL_DONE, `problem` says why in one line. */
#ifndef LARDER_CTL_CLIENT_H
#define LARDER_CTL_CLIENT_H

#include "ctl_purge.h"
#include "endpoint.h"
#include "wire.h"

enum ctl_status { CTL_DONE = 0, CTL_FAILED = 1, CTL_REFUSED = 2, CTL_NO_CACHE = 75 /* EX_TEMPFAIL */ };

struct ctl_client {
    const char *instance;
    double timeout; /* seconds for an answer, from ctl_open() on */
    struct endpoint endpoint;
    int64_t deadline_ms;
    uint64_t registration;
    struct wire_row *rows; /* of ctl_stats(), names terminated; freed by ctl_close() */
    size_t row_count;
    uint32_t refusal;       /* enum wire_refusal of the last CTL_REFUSED, or WIRE_REFUSAL_NONE */
    uint16_t cache_version; /* of the protocol, when refusal is WIRE_REFUSAL_VERSION */
    int error;              /* -errno when ctl_open() could not make its names, else 0 */
    char problem[ENDPOINT_PROBLEM_BYTES];
};

/* `sharing` (NULL: nothing) for a cache of another user. */
enum ctl_status ctl_open(struct ctl_client *client, const char *instance, double timeout,
                         const struct endpoint_sharing *sharing);
void ctl_close(struct ctl_client *client);

enum ctl_status ctl_ping(struct ctl_client *client, struct wire_pong *pong, int64_t *answered_us);
/* Registers as an administrator and has the cache purge that of the tenant's. */
enum ctl_status ctl_purge(struct ctl_client *client, const char *tenant, const struct ctl_purge_order *order,
                          struct wire_purged *purged);
/* Registers as an administrator and collects all rows. */
enum ctl_status ctl_stats(struct ctl_client *client);
/* Registers as an administrator and has the cache read its configuration again. CTL_REFUSED with `problems`:
 * what is wrong with it, a line each, to be freed by the caller. */
enum ctl_status ctl_reload(struct ctl_client *client, char **problems);

#endif
