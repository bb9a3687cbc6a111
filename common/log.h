/* log.h: one line of logfmt a message on standard error.
 *
 *     ts=2026-01-31T12:00:00.123Z level=info proc=cache_server pid=17 msg="proxy registered" tenant=news
 *
 * `message` is a constant sentence, `format` the key=value pairs behind it. A line is one write(2), so lines
 * of several processes do not mix. Never blocks: lines that nobody takes are dropped and counted, and so are
 * those beyond LOG_MAX_LINES_A_SECOND. */
#ifndef LARDER_LOG_H
#define LARDER_LOG_H

#include <stdbool.h>

#define LOG_MAX_LINES_A_SECOND 500u

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_setup(const char *process);
/* "error", "warn", "info" or "debug"; false if it is none of them. */
bool log_set_level(const char *name);
bool log_enabled(enum log_level level);

__attribute__((format(printf, 3, 4))) void log_write(enum log_level level, const char *message,
                                                     const char *format, ...);

/* Makes bytes of a stranger fit for a value in quotes: printable ASCII without '"' and '\\', the rest as
 * \xHH, cut with "..." when it does not fit. Returns `out`. */
const char *log_quote(const char *text, unsigned length, char *out, unsigned out_size);

#define log_at(level, message, ...)                                                                          \
    do {                                                                                                     \
        if (log_enabled(level))                                                                              \
            log_write(level, message, __VA_ARGS__);                                                          \
    } while (0)
/* The empty literal makes the pairs optional: log_info("ready"). */
#define log_error(message, ...) log_at(LOG_LEVEL_ERROR, message, "" __VA_ARGS__)
#define log_warn(message, ...)  log_at(LOG_LEVEL_WARN, message, "" __VA_ARGS__)
#define log_info(message, ...)  log_at(LOG_LEVEL_INFO, message, "" __VA_ARGS__)
#define log_debug(message, ...) log_at(LOG_LEVEL_DEBUG, message, "" __VA_ARGS__)

#endif
