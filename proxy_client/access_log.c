#include "access_log.h"

#include "invariant.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void complain(struct access_log *log, int error)
{
    if (!log->complained)
        log_warn("access log cannot be written", "path=\"%s\" error=\"%s\"", log->path, strerror(error));
    log->complained = true;
}

static void flush(struct access_log *log)
{
    size_t done = 0;

    deadline_clear(&log->deadline);
    while (done < log->used) {
        ssize_t written = write(log->fd, log->buffer + done, log->used - done);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            complain(log, errno);
            break;
        }
        done += (size_t)written;
    }
    log->used = 0;
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
    text = http_text_into(log->buffer + log->used, LINE_MAX_BYTES - 1);
    write_line(&text, log, entry); /* stops at the end of its room */
    log->used += text.length;
    log->buffer[log->used++] = '\n';
    if (!deadline_is_set(&log->deadline))
        loop_arm(log->loop, &log->flushes, &log->deadline);
}
