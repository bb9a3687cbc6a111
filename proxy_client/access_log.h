/* access_log.h: one line a request, in the combined format with cache status and duration behind it:
 *
 *     ADDRESS - - [DATE] "REQUEST" STATUS BYTES "REFERER" "USER-AGENT" CACHE SECONDS
 *
 * Lines are collected and written once a second, when the buffer is full, and at the end. What a client sent
 * is escaped, so that a line stays a line. A pipe that nobody empties is not waited for: lines are dropped,
 * and counted in a warning once the reader goes on.
 *
 * Errors: a log that cannot be written is reported once and costs lines, never a request. */
#ifndef LARDER_ACCESS_LOG_H
#define LARDER_ACCESS_LOG_H

#include "http_message.h"
#include "proxy_loop.h"

struct access_log;

struct access_entry {
    const char *client;
    const char *protocol; /* "HTTP/1.1", "GETFILE" */
    struct http_span method, target;
    const struct http_fields *fields; /* NULL: none */
    int status;
    uint64_t bytes; /* of the body */
    const char *cache;
    int64_t duration_us;
};

/* `path` "-" is standard output. 0 or -errno. */
int access_log_create(struct access_log **out, struct proxy_loop *loop, const char *path);
void access_log_destroy(struct access_log **log); /* NULL is allowed */
/* After the file was renamed by somebody who rotates logs. */
void access_log_reopen(struct access_log *log);
void access_log_add(struct access_log *log, const struct access_entry *entry);

#endif
