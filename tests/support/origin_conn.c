/* The life of a connection:
 *
 *   READ_HEAD --> READ_BODY --> WAIT (delay, gate) --> SEND --+--> READ_HEAD     AFTER_KEEP
 *       |  not HTTP, too long                           ^     +--> LINGER        AFTER_CLOSE
 *       +-----------------------------------------------+     +--> over          AFTER_BREAK, AFTER_RESET
 *
 * Each state has one function; it returns GO_ON after it has changed the state or made progress. */
#include "origin_conn.h"

#include "origin_script.h"
#include "origin_stats.h"

#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES        65536
#define HEAD_BYTES_MAX    (256 * 1024)
#define REQUEST_BODY_KEPT (16 * 1024 * 1024) /* for echo=1 */
#define OUT_BYTES         65536
#define TURN_BYTES        (1024 * 1024) /* then others have their turn */
#define SENDFILE_BYTES    (256 * 1024)
#define PACE_STEP_MS      10
#define LINGER_MS         2000

enum state { READ_HEAD, READ_BODY, WAIT, SEND, LINGER };
enum step { GO_ON, PAUSE, OVER };

struct conn {
    struct stream stream;
    const struct origin_conf *conf;
    enum state state;
    llhttp_t parser;
    bool method_told; /* to the parser */
    bool head_done, message_done;
    bool counted;   /* among the connections */
    bool under_way; /* a request that counts is */
    bool took_release;
    struct bytes in; /* read and not yet consumed */
    size_t parsed;   /* of `in` */
    struct origin_request request;
    struct origin_response response;
    struct bytes out; /* made and not yet sent */
    bool last_chunk_made;
    int64_t started_ms; /* of the body, for pacing */
    int64_t paced_from; /* position at that time */
    int64_t not_before; /* end of the delay, or of lingering */
    int64_t wake_at;
    size_t moved;         /* bytes in this turn */
    struct gate *held_at; /* the gate it waits at */
};

static llhttp_settings_t settings;

static int on_headers_complete(llhttp_t *parser)
{
    ((struct conn *)parser->data)->head_done = true;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *parser)
{
    ((struct conn *)parser->data)->message_done = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *data, size_t size)
{
    struct conn *conn = parser->data;

    origin_counters.received += size;
    if (conn->request.body.size + size <= REQUEST_BODY_KEPT)
        bytes_add(&conn->request.body, data, size);
    return 0;
}

static void init_settings(void)
{
    if (settings.on_body)
        return;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_headers_complete;
    settings.on_body = on_body;
    settings.on_message_complete = on_message_complete;
}

struct conn *conn_create(int fd, SSL_CTX *tls, const struct origin_conf *conf)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        abort();
    init_settings();
    conn->conf = conf;
    conn->wake_at = INT64_MAX;
    conn->response.body.file = -1;
    llhttp_init(&conn->parser, HTTP_REQUEST, &settings);
    conn->parser.data = conn;
    if (stream_open(&conn->stream, fd, tls)) {
        free(conn);
        return NULL;
    }
    return conn;
}

static void stop_holding(struct conn *conn)
{
    if (conn->held_at)
        gate_held(conn->held_at, -1);
    conn->held_at = NULL;
}

static void set_under_way(struct conn *conn, bool under_way)
{
    if (conn->under_way != under_way)
        stats_under_way(under_way ? 1 : -1);
    conn->under_way = under_way;
}

static void clear_request(struct conn *conn)
{
    set_under_way(conn, false);
    bytes_free(&conn->request.head);
    bytes_free(&conn->request.body);
    bytes_free(&conn->request.target);
    conn->request = (struct origin_request){0};
}

void conn_destroy(struct conn *conn)
{
    stop_holding(conn);
    clear_request(conn);
    response_clear(&conn->response);
    bytes_free(&conn->in);
    bytes_free(&conn->out);
    stream_close(&conn->stream);
    free(conn);
}

int64_t conn_wake_at(const struct conn *conn)
{
    return conn->wake_at;
}

bool conn_is_held(const struct conn *conn)
{
    return conn->held_at != NULL;
}

enum conn_wish conn_client_left(struct conn *conn)
{
    return conn->state == WAIT || conn->held_at ? CONN_OVER : CONN_WAITS;
}

bool conn_took_release(struct conn *conn)
{
    bool took = conn->took_release;

    conn->took_release = false;
    return took;
}

/* ---- reading ---- */

static enum step fill(struct conn *conn)
{
    ssize_t got = stream_read(&conn->stream, bytes_reserve(&conn->in, READ_BYTES), READ_BYTES);

    if (got == -EAGAIN)
        return PAUSE;
    if (got <= 0)
        return OVER;
    conn->in.size += (size_t)got;
    return GO_ON;
}

static void begin_response(struct conn *conn, int64_t now)
{
    conn->not_before = now + conn->response.delay_ms;
    conn->last_chunk_made = false;
    bytes_add(&conn->out, conn->response.head.data, conn->response.head.size);
    conn->state = WAIT;
}

static enum step refuse(struct conn *conn, int status, int64_t now)
{
    response_refuse(&conn->response, status);
    begin_response(conn, now);
    return GO_ON;
}

static const char *end_of_method(const struct conn *conn)
{
    return conn->in.size ? memchr(conn->in.data, ' ', conn->in.size) : NULL;
}

static bool waits_for_method(const struct conn *conn)
{
    return !conn->method_told && !end_of_method(conn) && conn->in.size < sizeof(conn->request.method);
}

/* Any token is a method (RFC 9110 section 9.1), but llhttp knows a list: it is told of PUT in its place. */
static bool tell_method(struct conn *conn)
{
    const char *end = end_of_method(conn);
    size_t length = end ? (size_t)(end - conn->in.data) : 0;

    if (length == 0 || length >= sizeof(conn->request.method))
        return false;
    memcpy(conn->request.method, conn->in.data, length);
    conn->request.method[length] = '\0';
    conn->parsed = length;
    conn->method_told = true;
    return llhttp_execute(&conn->parser, "PUT", 3) == HPE_OK;
}

/* Feeds the parser with what it has not seen. False: it found something that is not HTTP. */
static bool parse(struct conn *conn)
{
    const char *from;
    llhttp_errno_t result;

    if (!conn->method_told && !tell_method(conn))
        return false;
    from = conn->in.data + conn->parsed;
    result = llhttp_execute(&conn->parser, from, conn->in.size - conn->parsed);
    if (result == HPE_OK) {
        conn->parsed = conn->in.size;
        return true;
    }
    if (result == HPE_PAUSED_UPGRADE) {
        /* CONNECT, or a request that asks for another protocol: answered as plain HTTP, and then it is over.
         */
        llhttp_resume_after_upgrade(&conn->parser);
        conn->message_done = true;
        conn->request.keep_alive = false;
    } else if (result == HPE_PAUSED) {
        conn->parsed = (size_t)(llhttp_get_error_pos(&conn->parser) - conn->in.data);
        llhttp_resume(&conn->parser);
    } else {
        return false;
    }
    return true;
}

/* The target is the second word of the request line, which llhttp has accepted. */
static bool keep_target(struct origin_request *request)
{
    const char *from = strchr(request->head.data, ' '), *to = from ? strchr(from + 1, ' ') : NULL;
    char *query;

    if (!to)
        return false;
    bytes_add(&request->target, from + 1, (size_t)(to - from - 1));
    query = strchr(request->target.data, '?');
    if (query)
        *query++ = '\0';
    request->query = query ? query : "";
    return true;
}

static void keep_head(struct conn *conn)
{
    struct origin_request *request = &conn->request;

    bytes_add(&request->head, conn->in.data, conn->parsed);
    bytes_drop_front(&conn->in, conn->parsed);
    conn->parsed = 0;
    request->http10 = conn->parser.http_major == 1 && conn->parser.http_minor == 0;
    request->keep_alive = llhttp_should_keep_alive(&conn->parser);
}

static void respond(struct conn *conn, int64_t now)
{
    uint64_t before = origin_counters.requests;

    response_build(&conn->response, &conn->request, conn->conf, &conn->took_release);
    if (!conn->counted && origin_counters.requests != before) {
        conn->counted = true;
        origin_counters.connections++;
    }
    set_under_way(conn, origin_counters.requests != before);
    begin_response(conn, now);
}

static enum step read_head(struct conn *conn, int64_t now)
{
    char expect[32];

    if (conn->parsed == conn->in.size || waits_for_method(conn)) {
        if (conn->in.size > HEAD_BYTES_MAX)
            return refuse(conn, 431, now);
        return fill(conn);
    }
    if (!parse(conn))
        return refuse(conn, 400, now);
    if (!conn->head_done)
        return GO_ON;
    keep_head(conn);
    if (!keep_target(&conn->request))
        return refuse(conn, 400, now);
    if (response_is_early(conn->request.query)) {
        conn->request.unread = !conn->message_done;
        respond(conn, now);
        return GO_ON;
    }
    /* RFC 9110 section 10.1.1 */
    if (request_field(&conn->request, "Expect", expect, sizeof(expect)) && !conn->message_done)
        bytes_add(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    conn->state = READ_BODY;
    return GO_ON;
}

static enum step flush(struct conn *conn)
{
    ssize_t put = stream_write(&conn->stream, conn->out.data, conn->out.size);

    if (put == -EAGAIN)
        return PAUSE;
    if (put <= 0)
        return OVER;
    bytes_drop_front(&conn->out, (size_t)put);
    conn->moved += (size_t)put;
    return GO_ON;
}

static enum step read_body(struct conn *conn, int64_t now)
{
    if (!parse(conn))
        return refuse(conn, 400, now);
    bytes_drop_front(&conn->in, conn->parsed);
    conn->parsed = 0;
    if (conn->message_done) {
        respond(conn, now);
        return GO_ON;
    }
    return conn->out.size ? flush(conn) : fill(conn);
}

/* ---- sending ---- */

/* True when no gate is closed at this point of the response. */
static bool pass_gate(struct conn *conn)
{
    struct gate *gate = gate_find(conn->response.hold);

    if (gate && !gate_is_open(gate)) {
        if (!conn->held_at)
            gate_held(gate, 1);
        conn->held_at = gate;
        return false;
    }
    stop_holding(conn);
    free(conn->response.hold);
    conn->response.hold = NULL;
    return true;
}

static enum step wait_before_head(struct conn *conn, int64_t now)
{
    if (now < conn->not_before) {
        conn->wake_at = conn->not_before;
        return PAUSE;
    }
    if (conn->response.hold && conn->response.hold_at == SCRIPT_HOLD_HEAD && !pass_gate(conn))
        return PAUSE;
    conn->started_ms = now;
    conn->paced_from = conn->response.position;
    conn->state = SEND;
    return GO_ON;
}

/* Up to where the body may be sent at this moment. */
static int64_t send_limit(const struct conn *conn, int64_t now)
{
    const struct origin_response *response = &conn->response;
    int64_t limit = response->end;

    if (response->hold && response->hold_at < limit)
        limit = response->hold_at;
    if (response->rate) {
        int64_t allowed = conn->paced_from + (now - conn->started_ms + PACE_STEP_MS) * response->rate / 1000;

        limit = allowed < limit ? allowed : limit;
    }
    return limit;
}

static void count_sent(struct origin_response *response, size_t size)
{
    response->position += (int64_t)size;
    if (response->counted)
        origin_counters.bytes += size;
}

static enum step send_file(struct conn *conn, int64_t limit)
{
    struct origin_response *response = &conn->response;
    int64_t left = limit - response->position;
    ssize_t put = stream_sendfile(&conn->stream, response->body.file, response->position,
                                  left < SENDFILE_BYTES ? (size_t)left : SENDFILE_BYTES);

    if (put == -EAGAIN)
        return PAUSE;
    if (put <= 0)
        return OVER; /* broken, or the file has shrunk */
    count_sent(response, (size_t)put);
    conn->moved += (size_t)put;
    return GO_ON;
}

/* Puts a piece of the body, in a chunk of its own if the body is chunked, behind what waits to be sent. */
static enum step make_output(struct conn *conn, int64_t limit)
{
    struct origin_response *response = &conn->response;
    int64_t left = limit - response->position;
    size_t size = left < OUT_BYTES ? (size_t)left : OUT_BYTES;
    ssize_t got;

    if (response->chunked)
        bytes_print(&conn->out, "%zx\r\n", size);
    got = body_read(&response->body, bytes_reserve(&conn->out, size), size, response->position);
    if (got <= 0 || (response->chunked && (size_t)got < size))
        return OVER;
    conn->out.size += (size_t)got;
    if (response->chunked)
        bytes_add(&conn->out, "\r\n", 2);
    count_sent(response, (size_t)got);
    return GO_ON;
}

static void next_request(struct conn *conn)
{
    clear_request(conn);
    response_clear(&conn->response);
    conn->method_told = conn->head_done = conn->message_done = false;
    conn->state = READ_HEAD;
}

static enum step finish(struct conn *conn, int64_t now)
{
    switch (conn->response.after) {
    case AFTER_KEEP:
        next_request(conn);
        return GO_ON;
    case AFTER_CLOSE:
        stream_end_output(&conn->stream);
        conn->not_before = now + LINGER_MS;
        conn->state = LINGER;
        return GO_ON;
    case AFTER_RESET:
        stream_reset_on_close(&conn->stream);
        return OVER;
    case AFTER_BREAK:
        break;
    }
    return OVER;
}

/* The body is out, as far as it may be: it waits, or it has ended. */
static enum step end_or_wait(struct conn *conn, int64_t now)
{
    struct origin_response *response = &conn->response;

    if (response->hold && response->hold_at <= response->position)
        return pass_gate(conn) ? GO_ON : PAUSE;
    if (response->position < response->end) {
        conn->wake_at = now + PACE_STEP_MS;
        return PAUSE;
    }
    if (response->chunked && response->complete && !conn->last_chunk_made) {
        bytes_add(&conn->out, "0\r\n", 3);
        bytes_add(&conn->out, response->trailers.data, response->trailers.size);
        bytes_add(&conn->out, "\r\n", 2);
        conn->last_chunk_made = true;
        return GO_ON;
    }
    return finish(conn, now);
}

static enum step send_response(struct conn *conn, int64_t now)
{
    struct origin_response *response = &conn->response;
    int64_t limit = send_limit(conn, now);
    bool whole_file = response->body.kind == BODY_FILE && !conn->stream.tls && !response->chunked &&
                      limit - response->position > OUT_BYTES;

    if (response->position < limit && !whole_file && conn->out.size < OUT_BYTES)
        return make_output(conn, limit) == OVER ? OVER : conn->out.size ? flush(conn) : GO_ON;
    if (conn->out.size)
        return flush(conn);
    if (response->position < limit)
        return send_file(conn, limit);
    return end_or_wait(conn, now);
}

static enum step linger(struct conn *conn, int64_t now)
{
    if (now >= conn->not_before)
        return OVER;
    conn->wake_at = conn->not_before;
    conn->in.size = 0;
    return fill(conn);
}

enum conn_wish conn_run(struct conn *conn, int64_t now_ms)
{
    static enum step (*const states[])(struct conn *, int64_t) = {
        [READ_HEAD] = read_head, [READ_BODY] = read_body, [WAIT] = wait_before_head,
        [SEND] = send_response,  [LINGER] = linger,
    };

    conn->wake_at = INT64_MAX;
    conn->moved = 0;
    while (conn->moved < TURN_BYTES) {
        switch (states[conn->state](conn, now_ms)) {
        case GO_ON:
            break;
        case PAUSE:
            return CONN_WAITS;
        case OVER:
            return CONN_OVER;
        }
    }
    conn->wake_at = now_ms;
    return CONN_WAITS;
}
