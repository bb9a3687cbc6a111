#include "log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static struct {
    const char *process;
    _Atomic enum log_level level; /* read without the mutex */
    unsigned long lost;           /* lines since the last one that was taken */
    time_t second;                /* of the last line, and how many there were in it */
    unsigned lines;
    unsigned long left_out; /* lines beyond LOG_MAX_LINES_A_SECOND */
} logger = {.process = "larder", .level = LOG_LEVEL_INFO};

void log_setup(const char *process)
{
    logger.process = process;
}

bool log_set_level(const char *name)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(*level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            atomic_store_explicit(&logger.level, (enum log_level)i, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

/* snprintf's answer as the bytes that really stand in the buffer. */
static size_t clamp(int printed, size_t room)
{
    if (printed < 0)
        return 0;
    return (size_t)printed < room ? (size_t)printed : room - 1;
}

static size_t prefix(char *line, enum log_level level, const char *message)
{
    struct timespec now;
    struct tm utc;
    char stamp[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    return clamp(snprintf(line, LINE_BYTES, "ts=%s.%03ldZ level=%s proc=%s pid=%d msg=\"%s\"", stamp,
                          now.tv_nsec / 1000000, level_names[level], logger.process, (int)getpid(), message),
                 LINE_BYTES);
}

/* A pipe that nobody empties must not stop us. A pipe that polls writable takes PIPE_BUF bytes at once
 * (pipe(7)), which is more than a line; other kinds of file do not wait. Making the descriptor non-blocking
 * instead would do so for everybody who shares it. */
static void emit(const char *line, size_t length)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT) || write(STDERR_FILENO, line, length) < 0)
        logger.lost++; /* told when somebody listens again */
}

static void tell_missing(const char *why, unsigned long lines)
{
    char line[LINE_BYTES + 1];
    size_t length = prefix(line, LOG_LEVEL_WARN, why);

    length += clamp(snprintf(line + length, LINE_BYTES - length, " lines=%lu\n", lines), LINE_BYTES - length);
    emit(line, length);
}

static void tell_lost(void)
{
    unsigned long lost = logger.lost;

    logger.lost = 0;
    tell_missing("log lines were dropped because nobody took them", lost);
    if (logger.lost > 0)
        logger.lost = lost;
}

/* Whoever can make us log must not be able to fill the disk, or our time. */
static bool is_within_rate(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != logger.second) {
        unsigned long left_out = logger.left_out;
        logger.second = now.tv_sec;
        logger.lines = 0;
        logger.left_out = 0;
        if (left_out > 0)
            tell_missing("log lines were left out because there were too many in a second", left_out);
    }
    if (logger.lines == LOG_MAX_LINES_A_SECOND) {
        logger.left_out++;
        return false;
    }
    logger.lines++;
    return true;
}

static void write_line(enum log_level level, const char *message, const char *format, va_list arguments)
{
    char line[LINE_BYTES + 1];

    if (!is_within_rate())
        return;
    if (logger.lost > 0)
        tell_lost();
    size_t length = prefix(line, level, message);
    if (format[0] != '\0' && length + 2 < LINE_BYTES) {
        line[length++] = ' ';
        length +=
            clamp(vsnprintf(line + length, LINE_BYTES - length, format, arguments), LINE_BYTES - length);
    }
    while (length > 0 && line[length - 1] == ' ')
        length--;
    line[length++] = '\n';
    emit(line, length);
}

void log_write(enum log_level level, const char *message, const char *format, ...)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* nothing waits while it is held */
    va_list arguments;

    va_start(arguments, format);
    pthread_mutex_lock(&mutex);
    write_line(level, message, format, arguments);
    pthread_mutex_unlock(&mutex);
    va_end(arguments);
}

const char *log_quote(const char *text, unsigned length, char *out, unsigned out_size)
{
    static const char hex[] = "0123456789abcdef";
    unsigned at = 0;

    for (unsigned i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (at + 8 > out_size) {
            memcpy(out + at, "...", out_size - at < 3 ? out_size - at : 3);
            at = at + 3 < out_size ? at + 3 : out_size - 1;
            break;
        }
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            out[at++] = (char)byte;
        } else {
            out[at++] = '\\';
            out[at++] = 'x';
            out[at++] = hex[byte >> 4];
            out[at++] = hex[byte & 15];
        }
    }
    out[at] = '\0';
    return out;
}
