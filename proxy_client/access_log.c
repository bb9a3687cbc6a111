#include "access_log.h"

#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES   (64u * 1024)
#define LINE_MAX_BYTES (16u * 1024) /* longer ones are cut */
#define FLUSH_MS       1000

struct access_log {
    struct proxy_loop *loop;
    const char *path;
    int fd;
    bool complained;
    size_t piece;       /* the most that is written at once */
    unsigned long lost; /* lines since the last one that was taken */
    struct deadline_list flushes;
    struct deadline deadline;
    int64_t date_s; /* of `date` */
    char date[40];
    size_t used;
    char buffer[BUFFER_BYTES];
};

static int open_path(const char *path)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDOUT_FILENO)
                                    : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);

    return fd < 0 ? -errno : fd;
}

/* A pipe that polls writable takes PIPE_BUF bytes without waiting (pipe(7)). */
static size_t piece_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? BUFFER_BYTES : PIPE_BUF;
}

static void complain(struct access_log *log, int error)
{
    if (!log->complained)
        log_warn("access log cannot be written", "path=\"%s\" error=\"%s\"", log->path, strerror(error));
    log->complained = true;
}

/* Whoever reads the log at the other end of a pipe must not stop the proxy. */
static bool takes_bytes(const struct access_log *log)
{
    struct pollfd out = {.fd = log->fd, .events = POLLOUT};

    return poll(&out, 1, 0) == 1;
}

static void tell_lost(struct access_log *log)
{
    if (log->lost > 0)
        log_warn("access log lines were dropped because nobody took them", "path=\"%s\" lines=%lu", log->path,
                 log->lost);
    log->lost = 0;
}

/* How much of the buffer is dealt with: written, or dropped because of an error. */
static size_t write_buffer(struct access_log *log)
{
    size_t done = 0;

    while (done < log->used && takes_bytes(log)) {
        size_t left = log->used - done;
        ssize_t written = write(log->fd, log->buffer + done, left < log->piece ? left : log->piece);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            break;
        if (written < 0) {
            complain(log, errno);
            return log->used;
        }
        done += (size_t)written;
    }
    return done;
}

/* What is not taken stays: a line that was begun is still to be ended. */
static void flush(struct access_log *log)
{
    size_t done = write_buffer(log);

    deadline_clear(&log->deadline);
    if (done > 0) {
        log->used -= done;
        memmove(log->buffer, log->buffer + done, log->used);
        tell_lost(log);
    }
    if (log->used > 0)
        loop_arm(log->loop, &log->flushes, &log->deadline);
}

static void flush_is_due(struct deadline *deadline)
{
    flush((struct access_log *)(void *)((char *)deadline - offsetof(struct access_log, deadline)));
}

int access_log_create(struct access_log **out, struct proxy_loop *loop, const char *path)
{
    struct access_log *log;
    int fd = open_path(path);

    if (fd < 0)
        return fd;
    log = calloc(1, sizeof *log);
    INVARIANT(log);
    log->loop = loop;
    log->path = path;
    log->fd = fd;
    log->piece = piece_of(fd);
    log->date_s = -1;
    loop_add_deadlines(loop, &log->flushes, FLUSH_MS, flush_is_due);
    *out = log;
    return 0;
}

void access_log_destroy(struct access_log **log)
{
    if (!*log)
        return;
    flush(*log);
    deadline_clear(&(*log)->deadline);
    close((*log)->fd);
    free(*log);
    *log = NULL;
}

void access_log_reopen(struct access_log *log)
{
    int fd = open_path(log->path);

    flush(log);
    if (fd < 0) {
        complain(log, -fd);
        return;
    }
    close(log->fd);
    log->fd = fd;
    log->piece = piece_of(fd);
    log->complained = false;
}

static void add(struct http_text *text, const char *words)
{
    http_text_add(text, (struct http_span){words, (uint32_t)strlen(words)});
}

static void add_escaped(struct http_text *text, struct http_span span)
{
    char hex[5];

    if (span.length == 0)
        add(text, "-");
    for (uint32_t i = 0; i < span.length; i++) {
        unsigned char byte = (unsigned char)span.at[i];

        if (byte > ' ' - 1 && byte < 0x7f && byte != '"' && byte != '\\') {
            http_text_add(text, (struct http_span){span.at + i, 1});
            continue;
        }
        snprintf(hex, sizeof hex, "\\x%02X", byte);
        add(text, hex);
    }
}

static void add_field(struct http_text *text, const struct http_fields *fields, const char *name)
{
    const struct http_field *field = fields ? http_field_find(fields, name, NULL) : NULL;

    add(text, "\"");
    add_escaped(text, field ? field->value : HTTP_SPAN("-"));
    add(text, "\"");
}

static void add_date(struct http_text *text, struct access_log *log)
{
    time_t now = (time_t)(log->loop->wall_ms / 1000);
    struct tm local;

    if (log->date_s != now) {
        localtime_r(&now, &local);
        strftime(log->date, sizeof log->date, " - - [%d/%b/%Y:%H:%M:%S %z] \"", &local);
        log->date_s = now;
    }
    add(text, log->date);
}

static void add_duration(struct http_text *text, int64_t duration_us)
{
    char digits[32];

    snprintf(digits, sizeof digits, " %lld.%06lld", (long long)(duration_us / 1000000),
             (long long)(duration_us % 1000000));
    add(text, digits);
}

static void write_line(struct http_text *text, struct access_log *log, const struct access_entry *entry)
{
    add(text, entry->client);
    add_date(text, log);
    add_escaped(text, entry->method);
    add(text, " ");
    add_escaped(text, entry->target);
    add(text, " ");
    add(text, entry->protocol);
    add(text, "\" ");
    http_text_add_number(text, entry->status);
    add(text, " ");
    http_text_add_number(text, (int64_t)entry->bytes);
    add(text, " ");
    add_field(text, entry->fields, "referer");
    add(text, " ");
    add_field(text, entry->fields, "user-agent");
    add(text, " ");
    add(text, entry->cache);
    add_duration(text, entry->duration_us);
}

void access_log_add(struct access_log *log, const struct access_entry *entry)
{
    struct http_text text;

    if (BUFFER_BYTES - log->used < LINE_MAX_BYTES)
        flush(log);
    if (BUFFER_BYTES - log->used < LINE_MAX_BYTES) {
        log->lost++;
        return;
    }
    text = http_text_into(log->buffer + log->used, LINE_MAX_BYTES - 1);
    write_line(&text, log, entry); /* stops at the end of its room */
    log->used += text.length;
    log->buffer[log->used++] = '\n';
    if (!deadline_is_set(&log->deadline))
        loop_arm(log->loop, &log->flushes, &log->deadline);
}
