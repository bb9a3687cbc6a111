/* ctl_purge.h: what `cache_ctl purge` is asked for, as the bytes that the cache is told.
 *
 * Keys are made as proxies make them: "GET ", the origin's URL with its port, and the target exactly as
 * clients send it. So a URL is that of the origin, whatever address the proxies listen on. Pure. */
#ifndef LARDER_CTL_PURGE_H
#define LARDER_CTL_PURGE_H

#include "wire.h"

#define CTL_PURGE_PROBLEM_BYTES 320

/* As the command line says it; exactly one of key, prefix, tags and all. */
struct ctl_purge {
    const char *tenant; /* NULL: the default one */
    const char *origin; /* in front of a key or prefix that is a path; NULL: it is a whole URL */
    const char *key, *prefix;
    const char *tags[WIRE_MAX_TAGS];
    uint32_t tag_count;
    bool all, soft;
};

struct ctl_purge_order {
    uint32_t flags; /* WIRE_PURGE_... */
    uint32_t length;
    uint8_t bytes[WIRE_TAGS_BYTES];
};

/* False: `problem` says in one line what is wrong with it. */
bool ctl_purge_make(const struct ctl_purge *purge, struct ctl_purge_order *out,
                    char problem[CTL_PURGE_PROBLEM_BYTES]);

#endif
