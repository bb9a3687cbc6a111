/* How a response comes about:
 *
 *   control_response()             /_control/...: uncounted
 *   choose_content()               echo, generated body, file or a line of text, with its validators
 *   apply_preconditions()          If-None-Match, If-Modified-Since (RFC 9110 section 13)
 *   apply_range()                  Range, If-Range (section 14)
 *   frame_body(), write_head()     how much is sent, and how it is delimited
 */
#include "origin_response.h"

#include "origin_file.h"
#include "origin_script.h"
#include "origin_stats.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CONTROL_PREFIX       "/_control/"
#define GENERATED_SINCE      INT64_C(1577836800) /* 1 January 2020: the Last-Modified of version 0 */
#define FIELD_VALUE_BYTES    1024
#define HTTP_DATE_BYTES      40
#define MILLISECONDS_FOREVER 86400000

/* What has been decided so far about one response. */
struct plan {
    const struct origin_request *request;
    const struct origin_conf *conf;
    struct origin_script script;
    int status;
    bool head_only;  /* a response to HEAD */
    bool validators; /* the two following are there */
    char etag[RESPONSE_ETAG_BYTES];
    int64_t modified; /* seconds */
    const char *type;
    bool gzipped;
    int64_t from, to; /* part of the body that is the content of the response */
};

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Content Too Large"},
        {416, "Range Not Satisfiable"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Scripted";
}

static void http_date(char out[HTTP_DATE_BYTES], int64_t when)
{
    time_t seconds = (time_t)when;
    struct tm parts;

    gmtime_r(&seconds, &parts);
    strftime(out, HTTP_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

/* -1 if the text is no IMF-fixdate. */
static int64_t parse_http_date(const char *text)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts);

    return end && *end == '\0' ? (int64_t)timegm(&parts) : -1;
}

bool request_field(const struct origin_request *request, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    const char *line = strstr(request->head.data, "\r\n");

    for (; line && line[2] != '\r' && line[2] != '\0'; line = strstr(line + 2, "\r\n")) {
        const char *field = line + 2, *from = field + length + 1, *to = strstr(field, "\r\n");

        if (strncasecmp(field, name, length) != 0 || field[length] != ':' || !to)
            continue;
        while (from < to && (*from == ' ' || *from == '\t'))
            from++;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        return snprintf(value, size, "%.*s", (int)(to - from), from) < (int)size;
    }
    return false;
}

static bool is_method(const struct origin_request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}

static bool is_read(const struct origin_request *request)
{
    return is_method(request, "GET") || is_method(request, "HEAD");
}

static void text_body(struct origin_response *response, const char *text)
{
    response->body.kind = BODY_TEXT;
    bytes_add(&response->body.text, text, strlen(text));
}

static void choose_echo(struct plan *plan, struct origin_response *response)
{
    struct bytes *text = &response->body.text;

    response->body.kind = BODY_TEXT;
    bytes_add(text, plan->request->head.data, plan->request->head.size);
    bytes_add(text, plan->request->body.data, plan->request->body.size);
    plan->type = "text/plain";
    plan->status = 200;
}

void response_etag(const struct body *generated, char out[RESPONSE_ETAG_BYTES])
{
    snprintf(out, RESPONSE_ETAG_BYTES, "\"g-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", (uint64_t)generated->size,
             generated->seed, generated->version);
}

static void choose_generated(struct plan *plan, struct origin_response *response)
{
    struct body *body = &response->body;

    body->kind = BODY_GENERATED;
    body->size = plan->script.size;
    body->seed = (uint64_t)plan->script.seed;
    body->version = plan->script.version < 0 ? origin_version : (uint64_t)plan->script.version;
    plan->type = "application/octet-stream";
    plan->status = 200;
    plan->validators = true;
    plan->modified = GENERATED_SINCE + (int64_t)(body->version % 100000000);
    response_etag(body, plan->etag);
}

static void choose_field(struct plan *plan, struct origin_response *response)
{
    char value[FIELD_VALUE_BYTES], line[FIELD_VALUE_BYTES + 80];
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    bool there = request_field(plan->request, plan->script.by, value, sizeof(value));

    snprintf(line, sizeof(line), "%.64s%s%s\n", plan->script.by, there ? ": " : "", there ? value : "");
    text_body(response, line);
    for (const char *at = line; *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    plan->type = "text/plain";
    plan->status = 200;
    plan->validators = true;
    plan->modified = GENERATED_SINCE;
    snprintf(plan->etag, sizeof(plan->etag), "\"b-%" PRIx64 "\"", hash);
}

/* The file, or the one with .gz behind its name. */
static int open_variant(struct plan *plan, struct stat *about)
{
    const char *path = plan->request->target.data;
    char encoded[1024], accepted[FIELD_VALUE_BYTES];
    int fd = -1;

    if (plan->script.gzip && request_field(plan->request, "Accept-Encoding", accepted, sizeof(accepted)) &&
        strstr(accepted, "gzip") && snprintf(encoded, sizeof(encoded), "%s.gz", path) < (int)sizeof(encoded))
        fd = file_open(plan->conf->root, encoded, about);
    plan->gzipped = fd >= 0;
    return fd >= 0 ? fd : file_open(plan->conf->root, path, about);
}

/* False if the path names no file. */
static bool choose_file(struct plan *plan, struct origin_response *response)
{
    struct stat about;
    int fd;

    if (plan->conf->root < 0 || !is_read(plan->request))
        return false;
    fd = open_variant(plan, &about);
    if (fd < 0)
        return false;
    response->body.kind = BODY_FILE;
    response->body.file = fd;
    response->body.size = about.st_size;
    plan->type = file_content_type(plan->request->target.data);
    plan->status = 200;
    plan->validators = true;
    plan->modified = about.st_mtim.tv_sec;
    snprintf(plan->etag, sizeof(plan->etag), "\"f-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%09ld\"",
             (uint64_t)about.st_ino, (uint64_t)about.st_size, (uint64_t)about.st_mtim.tv_sec,
             about.st_mtim.tv_nsec);
    return true;
}

static void choose_line(struct plan *plan, struct origin_response *response)
{
    char text[64];

    plan->status = plan->script.status ? (int)plan->script.status : 404;
    if (!is_read(plan->request) && !plan->script.status)
        plan->status = 405;
    snprintf(text, sizeof(text), "%d %s\n", plan->status, reason(plan->status));
    text_body(response, text);
    plan->type = "text/plain";
}

static void choose_content(struct plan *plan, struct origin_response *response)
{
    if (plan->script.echo)
        choose_echo(plan, response);
    else if (plan->script.by)
        choose_field(plan, response);
    else if (plan->script.size >= 0)
        choose_generated(plan, response);
    else if (!choose_file(plan, response))
        choose_line(plan, response);
    if (response->body.kind == BODY_TEXT)
        response->body.size = (int64_t)response->body.text.size;
    if (plan->script.status)
        plan->status = (int)plan->script.status;
    plan->to = response->body.size;
}

/* Weak comparison with each member of a list (RFC 9110 sections 8.8.3.2 and 13.1.2). */
static bool etag_listed(const char *list, const char *etag)
{
    size_t length = strlen(etag);

    if (strcmp(list, "*") == 0)
        return true;
    for (const char *at = strchr(list, '"'); at; at = strchr(at, '"')) {
        const char *end = strchr(at + 1, '"');

        if (!end)
            return false;
        if ((size_t)(end + 1 - at) == length && strncmp(at, etag, length) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

static bool not_modified(const struct plan *plan)
{
    char value[FIELD_VALUE_BYTES];

    if (request_field(plan->request, "If-None-Match", value, sizeof(value)))
        return script_allows(&plan->script, "ETag") && etag_listed(value, plan->etag);
    return request_field(plan->request, "If-Modified-Since", value, sizeof(value)) &&
           script_allows(&plan->script, "Last-Modified") && parse_http_date(value) >= plan->modified;
}

static void apply_preconditions(struct plan *plan)
{
    if (plan->status != 200 || !plan->validators || !is_read(plan->request) || !not_modified(plan))
        return;
    plan->status = 304;
    origin_counters.not_modified++;
}

/* "bytes=A-B", "bytes=A-" or "bytes=-N"; false for anything else, which is then ignored. */
static bool parse_range(const char *text, int64_t size, int64_t *from, int64_t *to)
{
    char *end;

    if (strncasecmp(text, "bytes=", 6) != 0)
        return false;
    text += 6;
    if (*text == '-') {
        int64_t last = script_number(text + 1);

        *from = last < size ? size - last : 0;
        *to = last ? size : 0;
        return last >= 0;
    }
    if (!isdigit((unsigned char)*text))
        return false;
    *from = strtoll(text, &end, 10);
    *to = size;
    if (*end != '-')
        return false;
    if (end[1] == '\0')
        return true;
    *to = script_number(end + 1);
    if (*to < *from)
        return false;
    *to = *to >= size ? size : *to + 1;
    return true;
}

/* RFC 9110 section 13.1.5: a strong entity tag, or exactly the date. */
static bool if_range_holds(const struct plan *plan)
{
    char value[FIELD_VALUE_BYTES];

    if (plan->script.no_if_range || !request_field(plan->request, "If-Range", value, sizeof(value)))
        return true;
    if (*value == '"')
        return strcmp(value, plan->etag) == 0;
    return parse_http_date(value) == plan->modified;
}

static void apply_range(struct plan *plan, int64_t size)
{
    char value[FIELD_VALUE_BYTES];
    int64_t from, to;

    if (plan->status != 200 || !plan->validators || !is_method(plan->request, "GET"))
        return;
    if (!script_allows(&plan->script, "Accept-Ranges") || plan->script.no_length)
        return;
    if (!request_field(plan->request, "Range", value, sizeof(value)) || !if_range_holds(plan))
        return;
    if (!parse_range(value, size, &from, &to))
        return;
    plan->status = from < to ? 206 : 416;
    plan->from = from < to ? from : 0;
    plan->to = from < to ? to : 0;
}

static bool has_body(const struct plan *plan)
{
    return !plan->head_only && plan->status >= 200 && plan->status != 204 && plan->status != 304;
}

/* How much of the body is sent, how it is delimited, and what follows. */
static void frame_body(struct plan *plan, struct origin_response *response)
{
    const struct origin_script *script = &plan->script;
    int64_t stop = script->reset_at >= 0 ? script->reset_at : script->close_at;

    response->position = plan->from;
    response->end = has_body(plan) ? plan->to : plan->from;
    response->complete = true;
    response->chunked = script->chunked && has_body(plan) && !plan->request->http10;
    response->after = plan->request->keep_alive ? AFTER_KEEP : AFTER_CLOSE;
    if (plan->request->unread || script->no_length || script->length >= 0 ||
        (script->chunked && plan->request->http10))
        response->after = AFTER_CLOSE;
    if (stop < 0)
        return;
    response->complete = false;
    response->after = script->reset_at >= 0 ? AFTER_RESET : AFTER_BREAK;
    if (plan->from + stop < response->end)
        response->end = plan->from + stop;
}

static void order_waits(struct plan *plan, struct origin_response *response)
{
    struct origin_script *script = &plan->script;

    response->delay_ms = script->delay_ms < MILLISECONDS_FOREVER ? script->delay_ms : MILLISECONDS_FOREVER;
    response->rate = script->rate;
    if (!script->hold)
        return;
    response->hold = strdup(script->hold);
    response->hold_at = script->hold_at;
    if (script->hold_at == SCRIPT_HOLD_HALF)
        response->hold_at = plan->from + (plan->to - plan->from) / 2;
    else if (script->hold_at >= 0)
        response->hold_at = plan->from + script->hold_at;
}

static void add_field(struct plan *plan, struct bytes *head, const char *name, const char *value)
{
    if (script_allows(&plan->script, name))
        bytes_print(head, "%s: %s\r\n", name, value);
}

static void add_date_field(struct plan *plan, struct bytes *head, const char *name, int64_t when)
{
    char date[HTTP_DATE_BYTES];

    http_date(date, when);
    add_field(plan, head, name, date);
}

static void add_length_fields(struct plan *plan, struct origin_response *response)
{
    const struct origin_script *script = &plan->script;
    bool bodiless = plan->status == 204 || plan->status == 304;
    char number[32];

    snprintf(number, sizeof(number), "%" PRId64,
             script->length >= 0 ? script->length : plan->to - plan->from);
    if (response->chunked || (script->chunked && plan->head_only && !bodiless))
        add_field(plan, &response->head, "Transfer-Encoding", "chunked");
    else if (!script->no_length && !script->chunked && !bodiless)
        add_field(plan, &response->head, "Content-Length", number);
}

static void add_content_fields(struct plan *plan, struct origin_response *response)
{
    char text[80];

    if (plan->type && plan->status != 304)
        add_field(plan, &response->head, "Content-Type", plan->type);
    if (plan->gzipped && plan->status != 304)
        add_field(plan, &response->head, "Content-Encoding", "gzip");
    if (plan->validators) {
        add_field(plan, &response->head, "ETag", plan->etag);
        add_date_field(plan, &response->head, "Last-Modified", plan->modified);
        add_field(plan, &response->head, "Accept-Ranges", "bytes");
    }
    if (plan->conf->max_age >= 0 && (plan->status == 200 || plan->status == 206 || plan->status == 304)) {
        snprintf(text, sizeof(text), "max-age=%" PRId64, plan->conf->max_age);
        add_field(plan, &response->head, "Cache-Control", text);
    }
    snprintf(text, sizeof(text), "bytes %" PRId64 "-%" PRId64 "/%" PRId64, plan->from, plan->to - 1,
             response->body.size);
    if (plan->status == 416)
        snprintf(text, sizeof(text), "bytes */%" PRId64, response->body.size);
    if ((plan->status == 206 && !plan->script.status) || plan->status == 416)
        add_field(plan, &response->head, "Content-Range", text);
}

static void write_interims(const struct plan *plan, struct bytes *head)
{
    for (int64_t i = 0; i < plan->script.interims && i < 100; i++) {
        bytes_print(head, "HTTP/1.1 %d Interim\r\n", (int)plan->script.interim);
        for (size_t k = 0; k < plan->script.hints; k++)
            bytes_print(head, "%s\r\n", plan->script.hint[k]);
        bytes_add(head, "\r\n", 2);
    }
}

static void write_head(struct plan *plan, struct origin_response *response)
{
    struct bytes *head = &response->head;

    if (plan->script.interim >= 100 && plan->script.interim < 200)
        write_interims(plan, head);
    bytes_print(head, "HTTP/1.1 %d %s\r\n", plan->status, reason(plan->status));
    add_date_field(plan, head, "Date", (int64_t)time(NULL));
    add_content_fields(plan, response);
    add_length_fields(plan, response);
    if (response->after != AFTER_KEEP)
        add_field(plan, head, "Connection", "close");
    else if (plan->request->http10)
        add_field(plan, head, "Connection", "keep-alive");
    if (plan->script.self)
        bytes_print(head, "Content-Location: %s?%s\r\n", plan->request->target.data, plan->request->query);
    for (size_t i = 0; i < plan->script.added; i++)
        bytes_print(head, "%s\r\n", plan->script.add[i]);
    bytes_add(head, "\r\n", 2);
    for (size_t i = 0; i < plan->script.trailers; i++)
        bytes_print(&response->trailers, "%s\r\n", plan->script.trailer[i]);
}

/* The pages below /_control/. False if there is no such page. */
static bool control_page(struct plan *plan, struct bytes *text, bool *released)
{
    const char *page = plan->request->target.data + strlen(CONTROL_PREFIX);
    struct gate *gate = NULL, *closed;

    if (strcmp(page, "stats") == 0) {
        stats_json(text);
        return true;
    }
    if (strcmp(page, "last") == 0) {
        stats_last_head(text);
        return true;
    }
    if (strcmp(page, "reset") == 0)
        stats_reset();
    else if (strcmp(page, "version") == 0)
        origin_version = (uint64_t)plan->script.n;
    else if (strcmp(page, "cut") == 0)
        origin_cut = plan->script.n;
    else if (strcmp(page, "fail") == 0 && plan->script.n < 1000)
        origin_failure = (int)plan->script.n;
    else if (strcmp(page, "release") == 0 && plan->script.name && (gate = gate_find(plan->script.name)))
        gate_open(gate);
    else if (strcmp(page, "close") == 0 && plan->script.name && (closed = gate_find(plan->script.name)))
        gate_close(closed);
    else
        return false;
    *released = gate != NULL;
    bytes_print(text, "{\"done\":\"%s\"}\n", page);
    return true;
}

static void control_response(struct plan *plan, struct origin_response *response, bool *released)
{
    response->body.kind = BODY_TEXT;
    plan->status = 200;
    if (!control_page(plan, &response->body.text, released)) {
        plan->status = 404;
        text_body(response, "no such control page, or a parameter is missing\n");
    }
    response->body.size = plan->to = (int64_t)response->body.text.size;
    plan->type = "application/json";
    frame_body(plan, response);
    write_head(plan, response);
}

static void text_response(struct plan *plan, struct origin_response *response, int status, const char *text)
{
    plan->script = (struct origin_script){.size = -1, .length = -1, .close_at = -1, .reset_at = -1};
    plan->status = status;
    plan->type = "text/plain";
    text_body(response, text);
    response->body.size = plan->to = (int64_t)response->body.text.size;
    frame_body(plan, response);
    write_head(plan, response);
}

/* An answer that is none: nothing at all, or bytes that are not HTTP. */
static void no_http_response(struct plan *plan, struct origin_response *response)
{
    response->after = AFTER_BREAK;
    if (plan->script.garbage) {
        bytes_print(&response->head, "\x01\x02 this is not HTTP\r\n\r\n");
        response->after = AFTER_CLOSE;
    }
    if (plan->script.raw) {
        bytes_print(&response->head, "%s", plan->script.raw);
        response->after = AFTER_CLOSE;
    }
    order_waits(plan, response);
}

static bool has_field(const struct origin_request *request, const char *name)
{
    char value[FIELD_VALUE_BYTES];

    return request_field(request, name, value, sizeof(value));
}

static void count(const struct origin_request *request)
{
    origin_counters.requests++;
    origin_counters.ranges += has_field(request, "Range");
    origin_counters.if_ranges += has_field(request, "If-Range");
    origin_counters.conditional +=
        has_field(request, "If-None-Match") || has_field(request, "If-Modified-Since");
    origin_counters.heads += is_method(request, "HEAD");
    stats_count_path(request->target.data);
    stats_keep_head(request->head.data, request->head.size);
}

/* Once, so that the same request may be answered whole the next time. */
static void apply_cut(struct plan *plan)
{
    if (origin_cut < 0 || !has_body(plan))
        return;
    plan->script.close_at = origin_cut;
    origin_cut = -1;
}

static void content_response(struct plan *plan, struct origin_response *response)
{
    choose_content(plan, response);
    apply_preconditions(plan);
    apply_range(plan, response->body.size);
    apply_cut(plan);
    frame_body(plan, response);
    order_waits(plan, response);
    write_head(plan, response);
}

bool response_is_early(const char *query)
{
    struct origin_script script;
    const char *problem;
    bool early = script_parse(&script, query, &problem) == 0 && script.early;

    script_clear(&script);
    return early;
}

void response_build(struct origin_response *response, const struct origin_request *request,
                    const struct origin_conf *conf, bool *released)
{
    struct plan plan = {.request = request, .conf = conf, .head_only = is_method(request, "HEAD")};
    bool control = strncmp(request->target.data, CONTROL_PREFIX, strlen(CONTROL_PREFIX)) == 0;
    const char *problem;

    *response = (struct origin_response){.body.file = -1};
    if (script_parse(&plan.script, request->query, &problem)) {
        char text[80];

        script_clear(&plan.script);
        snprintf(text, sizeof(text), "the parameter %s makes no sense\n", problem);
        text_response(&plan, response, 400, text);
        return;
    }
    response->counted = !control;
    if (!control)
        count(request);
    if (control) {
        control_response(&plan, response, released);
    } else if (origin_failure) {
        script_clear(&plan.script);
        text_response(&plan, response, origin_failure, "it was told to fail\n");
        return;
    } else if (plan.script.drop || plan.script.garbage || plan.script.raw) {
        no_http_response(&plan, response);
    } else {
        content_response(&plan, response);
    }
    script_clear(&plan.script);
}

void response_refuse(struct origin_response *response, int status)
{
    struct origin_request nothing = {0};
    struct origin_conf conf = {.max_age = -1};
    struct plan plan = {.request = &nothing, .conf = &conf};

    *response = (struct origin_response){.body.file = -1};
    text_response(&plan, response, status, "the request was not understood\n");
}

void response_clear(struct origin_response *response)
{
    bytes_free(&response->head);
    bytes_free(&response->trailers);
    body_clear(&response->body);
    free(response->hold);
    *response = (struct origin_response){.body.file = -1};
}
