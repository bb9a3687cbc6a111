/* A fetch object:
 *
 *     free ── origin_fetch() ──> RUNNING ── libcurl is done, or time is up ──> ENDED
 *      ^                            │ origin_close()                             │ origin_close()
 *      └──────── task ──────────────┴────────────────────────────────────────────┘
 *
 * libcurl's callbacks may not remove or resume the handle that they are called for, nor add another, so all
 * that is put off to a task. A closed fetch calls nobody any more. */
#include "origin.h"

#include "invariant.h"
#include "libcurl.h"
#include "log.h"
#include "origin_head.h"
#include "origin_url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 5000L
#define IDLE_CONNECTIONS   128L /* kept open towards the origin */
#define FREE_FETCHES_KEPT  64
#define HEADERS_KEPT       (8u * 1024) /* by a fetch that waits for its next use */
#define RECEIVE_BUFFER     (64L * 1024)

enum fetch_state { FETCH_FREE, FETCH_RUNNING, FETCH_ENDED };

struct origin {
    struct proxy_loop *loop;
    struct origin_url url;
    CURLM *multi; /* NULL until the first fetch */
    char *ca_file;
    struct deadline_list curl_timer; /* holds at most curl_deadline */
    struct deadline curl_deadline;
    struct deadline_list progress; /* fetches that wait for the origin */
    struct origin_fetch *fetches;  /* every one that was ever made and not freed */
    struct origin_fetch *free_fetches;
    unsigned free_count;
    struct origin_socket **sockets; /* by descriptor: those that open_socket() made */
    size_t socket_places;
    bool is_lame; /* libcurl cannot be loaded, which was said */
};

struct origin_fetch {
    struct origin_fetch *prev, *next; /* in origin->fetches */
    struct origin_fetch *next_free;
    struct origin *origin;
    CURL *easy;
    struct curl_slist *headers; /* and their text behind them, in one block of headers_room bytes */
    size_t headers_room;
    const struct origin_calls *calls; /* NULL once closed */
    void *owner;
    struct deadline deadline;
    struct loop_task task;
    struct origin_head_reader response;
    enum fetch_state state;
    bool receive_paused, send_paused, resume_wanted;
    bool start_wanted; /* it was asked for by a handler */
    bool timed_out;
    bool head_held;       /* collected, but not given yet */
    bool awaits_continue; /* the body is not asked for before the origin's 100, or time is up */
    char problem[CURL_ERROR_SIZE];
};

/* One socket of libcurl's. A connection is wanted and not wanted with every fetch: it stays in the loop as it
 * is until something happens on it that nobody waits for, so that a fetch costs no epoll_ctl(2). That takes
 * knowing when it is closed, so it goes for those that open_socket() made; what libcurl opens by itself (its
 * resolver) comes and goes as it says. */
struct origin_socket {
    struct loop_watch watch;
    struct loop_task free_later;
    struct origin *origin;
    uint32_t watched; /* for these it is in the loop; 0: it is not */
    bool wanted;      /* by libcurl */
    bool lasting;     /* until close_socket() */
};

static void fetch_ended(struct origin_fetch *fetch, CURLcode code);

static struct origin_fetch *fetch_of_easy(CURL *easy)
{
    char *fetch = NULL;

    curl->easy_getinfo(easy, CURLINFO_PRIVATE, &fetch);
    return (struct origin_fetch *)(void *)fetch;
}

static void take_results(struct origin *origin)
{
    CURLMsg *message;
    int left;

    while ((message = curl->multi_info_read(origin->multi, &left))) {
        if (message->msg == CURLMSG_DONE)
            fetch_ended(fetch_of_easy(message->easy_handle), message->data.result);
    }
}

static void socket_ready(struct loop_watch *watch, uint32_t events);

static void leave_loop(struct origin_socket *socket)
{
    if (socket->watched)
        loop_unwatch(socket->origin->loop, &socket->watch);
    socket->watched = 0;
}

static bool enter_loop(struct origin_socket *socket, uint32_t events)
{
    struct proxy_loop *loop = socket->origin->loop;

    if (socket->watched == events)
        return true;
    socket->watch.ready = socket_ready;
    if ((socket->watched ? loop_change : loop_watch)(loop, &socket->watch, events) != 0)
        return false;
    socket->watched = events;
    return true;
}

static void socket_ready(struct loop_watch *watch, uint32_t events)
{
    struct origin_socket *socket = (struct origin_socket *)watch;
    struct origin *origin = socket->origin;
    int mask = 0;
    int running;

    if (!socket->wanted) { /* libcurl finds out when it wants it again */
        leave_loop(socket);
        return;
    }
    mask |= events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0;
    mask |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
    mask |= events & EPOLLERR ? CURL_CSELECT_ERR : 0;
    curl->multi_socket_action(origin->multi, watch->fd, mask, &running);
    take_results(origin);
}

static void free_socket(struct loop_task *task)
{
    free((char *)task - offsetof(struct origin_socket, free_later));
}

static struct origin_socket *new_socket(struct origin *origin, curl_socket_t fd)
{
    struct origin_socket *socket = malloc(sizeof *socket);

    INVARIANT(socket);
    *socket = (struct origin_socket){
        .watch = {.ready = socket_ready, .fd = fd}, .free_later = {.run = free_socket}, .origin = origin};
    return socket;
}

static void forget_socket(struct origin_socket *socket)
{
    leave_loop(socket);
    socket->wanted = false;
    loop_put_off(socket->origin->loop, &socket->free_later);
}

static struct origin_socket *lasting_socket(const struct origin *origin, curl_socket_t fd)
{
    return (size_t)fd < origin->socket_places ? origin->sockets[fd] : NULL;
}

static void remember_socket(struct origin *origin, curl_socket_t fd)
{
    size_t places = origin->socket_places ? origin->socket_places : 64;

    while (places <= (size_t)fd)
        places *= 2;
    if (places > origin->socket_places) {
        origin->sockets = reallocarray(origin->sockets, places, sizeof(struct origin_socket *));
        INVARIANT(origin->sockets);
        memset(origin->sockets + origin->socket_places, 0,
               (places - origin->socket_places) * sizeof(struct origin_socket *));
        origin->socket_places = places;
    }
    /* One that was closed by other means than close_socket(), and so left the loop with that. */
    if (origin->sockets[fd])
        forget_socket(origin->sockets[fd]);
    origin->sockets[fd] = new_socket(origin, fd);
    origin->sockets[fd]->lasting = true;
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    if (fd < 0)
        return CURL_SOCKET_BAD;
    remember_socket(user, fd);
    return fd;
}

static int close_socket(void *user, curl_socket_t fd)
{
    struct origin *origin = user;
    struct origin_socket *socket = lasting_socket(origin, fd);

    if (socket) {
        origin->sockets[fd] = NULL;
        forget_socket(socket);
    }
    return close(fd);
}

static void unwanted(struct origin_socket *socket)
{
    socket->wanted = false;
    if (!socket->lasting)
        forget_socket(socket);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct origin *origin = user;
    struct origin_socket *socket = known ? known : lasting_socket(origin, fd);
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            unwanted(socket);
        return 0;
    }
    if (!socket)
        socket = new_socket(origin, fd);
    if (!known)
        curl->multi_assign(origin->multi, fd, socket);
    socket->wanted = true;
    if (enter_loop(socket, events))
        return 0;
    curl->multi_assign(origin->multi, fd, NULL);
    unwanted(socket);
    return -1;
}

static void curl_time_has_come(struct deadline *deadline)
{
    struct origin *origin =
        (struct origin *)(void *)((char *)deadline - offsetof(struct origin, curl_deadline));
    int running;

    curl->multi_socket_action(origin->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(origin);
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct origin *origin = user;

    (void)multi;
    deadline_clear(&origin->curl_deadline);
    if (timeout_ms >= 0) {
        origin->curl_timer.after_ms = timeout_ms;
        loop_arm(origin->loop, &origin->curl_timer, &origin->curl_deadline);
    }
    return 0;
}

/* The time-out runs while it is the origin's turn to do something. */
static void watch_progress(struct origin_fetch *fetch)
{
    if (fetch->state != FETCH_RUNNING || fetch->receive_paused || fetch->send_paused)
        deadline_clear(&fetch->deadline);
    else
        loop_arm(fetch->origin->loop, &fetch->origin->progress, &fetch->deadline);
}

static void give_interim(struct origin_fetch *fetch)
{
    const struct origin_head *head = &fetch->response.head;

    if (fetch->calls->interim)
        fetch->calls->interim(fetch->owner, head->status, &head->fields);
}

/* A 417 that comes while libcurl waits for 100 may make it ask again, without an expectation (RFC 9110
 * section 10.1.1) and without telling. The head is held back until it shows: by a body, the end, or another
 * head. */
static bool may_be_repeated(const struct origin_fetch *fetch)
{
    return fetch->awaits_continue && fetch->response.head.status == 417;
}

static void give_held_head(struct origin_fetch *fetch)
{
    bool held = fetch->head_held;

    fetch->head_held = false;
    if (held)
        fetch->calls->head(fetch->owner);
}

static void drop_held_head(struct origin_fetch *fetch, const char *line, size_t size)
{
    if (!fetch->head_held || size < 5 || memcmp(line, "HTTP/", 5) != 0)
        return;
    origin_head_reset(&fetch->response);
    fetch->head_held = false;
}

static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    struct origin_fetch *fetch = user;
    size_t bytes = size * count;

    if (!fetch->calls)
        return 0;
    watch_progress(fetch);
    drop_held_head(fetch, line, bytes);
    switch (origin_head_line(&fetch->response, line, bytes)) {
    case ORIGIN_LINE_MORE:
        return bytes;
    case ORIGIN_LINE_INTERIM:
        give_interim(fetch);
        return bytes;
    case ORIGIN_LINE_HEAD:
        fetch->head_held = true;
        if (!may_be_repeated(fetch))
            give_held_head(fetch);
        return bytes;
    case ORIGIN_LINE_BAD:
        break;
    }
    snprintf(fetch->problem, sizeof fetch->problem, "response head is malformed or too large");
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct origin_fetch *fetch = user;
    size_t bytes = size * count;

    if (!fetch->calls || !fetch->response.complete)
        return 0;
    give_held_head(fetch);
    if (!fetch->calls)
        return 0;
    fetch->receive_paused = !fetch->calls->body(fetch->owner, data, bytes);
    watch_progress(fetch);
    return fetch->receive_paused ? CURL_WRITEFUNC_PAUSE : bytes;
}

static size_t on_read(char *out, size_t size, size_t count, void *user)
{
    struct origin_fetch *fetch = user;
    enum origin_body state = ORIGIN_BODY_BAD;
    size_t got = 0;

    if (fetch->calls)
        state = fetch->calls->read_body(fetch->owner, out, size * count, &got);
    if (state != ORIGIN_BODY_WAIT) /* libcurl counts only what it has got */
        fetch->awaits_continue = false;
    fetch->send_paused = state == ORIGIN_BODY_WAIT;
    watch_progress(fetch);
    if (state == ORIGIN_BODY_BYTES)
        return got;
    if (state == ORIGIN_BODY_END)
        return 0;
    return state == ORIGIN_BODY_WAIT ? CURL_READFUNC_PAUSE : CURL_READFUNC_ABORT;
}

/* What is the same for every fetch is set once; curl_easy_reset() is never called. */
static void easy_setup(struct origin_fetch *fetch)
{
    struct origin *origin = fetch->origin;
    CURL *easy = fetch->easy;

    curl->easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->problem);
    curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl->easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl->easy_setopt(easy, CURLOPT_READDATA, fetch);
    curl->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl->easy_setopt(easy, CURLOPT_OPENSOCKETDATA, origin);
    curl->easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl->easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, origin);
    curl->easy_setopt(easy, CURLOPT_URL, origin->url.connect);
    curl->easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl->easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl->easy_setopt(easy, CURLOPT_PROXY, ""); /* else http_proxy of the environment counts */
    curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl->easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (origin->ca_file)
        curl->easy_setopt(easy, CURLOPT_CAINFO, origin->ca_file);
}

static void fetch_task(struct loop_task *task);

static struct origin_fetch *fetch_new(struct origin *origin)
{
    struct origin_fetch *fetch = calloc(1, sizeof *fetch);

    INVARIANT(fetch);
    fetch->easy = curl->easy_init();
    if (!fetch->easy) {
        free(fetch);
        return NULL;
    }
    fetch->origin = origin;
    fetch->task.run = fetch_task;
    fetch->next = origin->fetches;
    if (fetch->next)
        fetch->next->prev = fetch;
    origin->fetches = fetch;
    easy_setup(fetch);
    return fetch;
}

static void fetch_destroy(struct origin_fetch *fetch)
{
    struct origin *origin = fetch->origin;

    if (fetch->prev)
        fetch->prev->next = fetch->next;
    else
        origin->fetches = fetch->next;
    if (fetch->next)
        fetch->next->prev = fetch->prev;
    deadline_clear(&fetch->deadline);
    curl->easy_cleanup(fetch->easy);
    free(fetch->headers);
    origin_head_free(&fetch->response);
    free(fetch);
}

static struct origin_fetch *fetch_take(struct origin *origin)
{
    struct origin_fetch *fetch = origin->free_fetches;

    if (!fetch)
        return fetch_new(origin);
    origin->free_fetches = fetch->next_free;
    origin->free_count--;
    return fetch;
}

static void fetch_give(struct origin_fetch *fetch)
{
    struct origin *origin = fetch->origin;

    fetch->state = FETCH_FREE;
    if (fetch->headers_room > HEADERS_KEPT) {
        free(fetch->headers);
        fetch->headers = NULL;
        fetch->headers_room = 0;
    }
    if (origin->free_count >= FREE_FETCHES_KEPT) {
        fetch_destroy(fetch);
        return;
    }
    origin->free_count++;
    fetch->next_free = origin->free_fetches;
    origin->free_fetches = fetch;
}

static void leave_multi(struct origin_fetch *fetch)
{
    if (fetch->state != FETCH_RUNNING)
        return;
    fetch->state = FETCH_ENDED;
    deadline_clear(&fetch->deadline);
    curl->multi_remove_handle(fetch->origin->multi, fetch->easy);
}

static void resume_now(struct origin_fetch *fetch)
{
    if (!fetch->receive_paused && !fetch->send_paused)
        return;
    fetch->receive_paused = fetch->send_paused = false;
    watch_progress(fetch);
    curl->easy_pause(fetch->easy, CURLPAUSE_CONT); /* calls on_body() for what it kept */
    take_results(fetch->origin);
}

static void start_now(struct origin_fetch *fetch)
{
    fetch->start_wanted = false;
    if (curl->multi_add_handle(fetch->origin->multi, fetch->easy) == CURLM_OK)
        return;
    snprintf(fetch->problem, sizeof fetch->problem, "cannot be asked");
    leave_multi(fetch);
    fetch->calls->ended(fetch->owner, ORIGIN_UNREACHABLE);
}

static void fetch_task(struct loop_task *task)
{
    struct origin_fetch *fetch = (struct origin_fetch *)((char *)task - offsetof(struct origin_fetch, task));

    if (!fetch->calls) {
        leave_multi(fetch);
        fetch_give(fetch);
    } else if (fetch->start_wanted) {
        start_now(fetch);
    } else if (fetch->resume_wanted && fetch->state == FETCH_RUNNING) {
        fetch->resume_wanted = false;
        resume_now(fetch);
    }
}

static enum origin_result result_of_code(const struct origin_fetch *fetch, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return fetch->response.complete ? ORIGIN_OK : ORIGIN_MALFORMED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_INTERFACE_FAILED:
        return ORIGIN_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT:
        return ORIGIN_TIMED_OUT;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
        return ORIGIN_BROKEN;
    case CURLE_ABORTED_BY_CALLBACK:
        return ORIGIN_REFUSED;
    default:
        return ORIGIN_MALFORMED;
    }
}

static void fetch_ended(struct origin_fetch *fetch, CURLcode code)
{
    enum origin_result result = fetch->timed_out ? ORIGIN_TIMED_OUT : result_of_code(fetch, code);

    leave_multi(fetch);
    if (!fetch->calls)
        return; /* closed; its task is on the way */
    if (result != ORIGIN_OK && fetch->problem[0] == '\0')
        snprintf(fetch->problem, sizeof fetch->problem, "%s", curl->easy_strerror(code));
    if (result == ORIGIN_OK)
        give_held_head(fetch);
    if (fetch->calls)
        fetch->calls->ended(fetch->owner, result);
}

static void no_progress(struct deadline *deadline)
{
    struct origin_fetch *fetch =
        (struct origin_fetch *)((char *)deadline - offsetof(struct origin_fetch, deadline));

    fetch->timed_out = true;
    snprintf(fetch->problem, sizeof fetch->problem, "no answer within %d s",
             (int)(fetch->origin->progress.after_ms / 1000));
    fetch_ended(fetch, CURLE_OPERATION_TIMEDOUT);
}

/* Fields that libcurl makes itself, or that we forbid it to make up. */
static bool is_made_here(const struct http_field *field)
{
    return http_name_is(field, "host") || http_name_is(field, "content-length") ||
           http_name_is(field, "transfer-encoding") || http_name_is(field, "expect") ||
           http_name_is(field, "connection");
}

/* Lines for libcurl, which only reads them (CURLOPT_HTTPHEADER(3)): each a string and a node of its list, in
 * one block that serves fetch after fetch. */
struct line_writer {
    struct curl_slist *node;
    char *at;
};

static void write_span(struct line_writer *to, const char *bytes, size_t length)
{
    if (length > 0)
        memcpy(to->at, bytes, length);
    to->at += length;
}

static void write_line(struct line_writer *to, struct http_span name, const char *between,
                       struct http_span value)
{
    to->node->data = to->at;
    to->node->next = to->node + 1;
    write_span(to, name.at, name.length);
    write_span(to, between, strlen(between));
    write_span(to, value.at, value.length);
    *to->at++ = '\0';
    to->node++;
}

/* libcurl's grammar: "Name: value", and "Name;" for a field with an empty value. */
static void write_field(struct line_writer *to, const struct http_field *field)
{
    write_line(to, field->name, field->value.length > 0 ? ": " : ";", field->value);
}

#define MADE_LINES      3u /* Host, Expect and Accept */
#define MADE_LINE_BYTES 32u

static struct line_writer line_writer_begin(struct origin_fetch *fetch, const struct origin_request *request)
{
    size_t lines = (size_t)request->field_count + MADE_LINES;
    size_t bytes = lines * sizeof(struct curl_slist) + MADE_LINES * MADE_LINE_BYTES +
                   sizeof fetch->origin->url.authority;

    for (uint32_t i = 0; i < request->field_count; i++)
        bytes += (size_t)request->fields[i].name.length + request->fields[i].value.length + sizeof ": ";
    if (bytes > fetch->headers_room) {
        free(fetch->headers);
        fetch->headers = malloc(bytes);
        INVARIANT(fetch->headers);
        fetch->headers_room = bytes;
    }
    return (struct line_writer){fetch->headers, (char *)(fetch->headers + lines)};
}

static void set_headers(struct origin_fetch *fetch, const struct origin_request *request)
{
    static const struct http_span nothing = {"", 0};
    const char *authority = fetch->origin->url.authority;
    struct line_writer to = line_writer_begin(fetch, request);
    bool accept = false;

    write_line(&to, HTTP_SPAN("Host"), ": ", (struct http_span){authority, (uint32_t)strlen(authority)});
    for (uint32_t i = 0; i < request->field_count; i++) {
        const struct http_field *field = &request->fields[i];

        accept = accept || http_name_is(field, "accept");
        if (!is_made_here(field))
            write_field(&to, field);
    }
    /* libcurl's own additions: a name with nothing behind the colon removes them. */
    if (!accept)
        write_line(&to, HTTP_SPAN("Accept"), ":", nothing);
    write_line(&to, HTTP_SPAN("Expect"), ":", fetch->awaits_continue ? HTTP_SPAN(" 100-continue") : nothing);
    to.node[-1].next = NULL;
    curl->easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->headers);
}

static bool set_target(struct origin_fetch *fetch, struct http_span target)
{
    const char *base = fetch->origin->url.base_path;
    size_t base_length = target.length == 1 && target.at[0] == '*' ? 0 : strlen(base);
    char *text = malloc(base_length + target.length + 1);
    CURLcode code;

    INVARIANT(text);
    memcpy(text, base, base_length);
    memcpy(text + base_length, target.at, target.length);
    text[base_length + target.length] = '\0';
    code = curl->easy_setopt(fetch->easy, CURLOPT_REQUEST_TARGET, text);
    free(text);
    return code == CURLE_OK;
}

/* RFC 9110 section 9.2.2: only these may be sent twice. */
static bool is_idempotent(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(method, methods[i]) == 0)
            return true;
    }
    return false;
}

static bool set_method(struct origin_fetch *fetch, const struct origin_request *request)
{
    CURL *easy = fetch->easy;
    char method[32];

    if (request->method.length >= sizeof method)
        return false;
    memcpy(method, request->method.at, request->method.length);
    method[request->method.length] = '\0';
    curl->easy_setopt(easy, CURLOPT_NOBODY, 0L);
    curl->easy_setopt(easy, CURLOPT_UPLOAD, 0L);
    curl->easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* undoes whatever the last fetch was */
    curl->easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)-1);
    /* libcurl repeats a request by itself when a kept connection ends without an answer. */
    curl->easy_setopt(easy, CURLOPT_FRESH_CONNECT, is_idempotent(method) ? 0L : 1L);
    if (strcmp(method, "HEAD") ==
        0) { /* a response to HEAD has no body, and a body of its own means nothing */
        curl->easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->has_body) {
        curl->easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        if (request->body_length != ORIGIN_LENGTH_UNKNOWN)
            curl->easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_length);
    }
    return curl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool start(struct origin_fetch *fetch)
{
    CURLMcode code = curl->multi_add_handle(fetch->origin->multi, fetch->easy);

    fetch->start_wanted = code == CURLM_RECURSIVE_API_CALL;
    if (fetch->start_wanted)
        loop_put_off(fetch->origin->loop, &fetch->task);
    return code == CURLM_OK || fetch->start_wanted;
}

/* What the first fetch finds not done. A library that cannot be had is said once. */
static int multi_setup(struct origin *origin)
{
    char problem[512];
    int error = libcurl_load(problem, sizeof problem);

    if (error) {
        if (!origin->is_lame)
            log_error("nothing can be fetched", "why=\"%s\"", problem);
        origin->is_lame = true;
        return error;
    }
    origin->multi = curl->multi_init();
    if (!origin->multi) {
        libcurl_release();
        return -ENOMEM;
    }
    curl->multi_setopt(origin->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl->multi_setopt(origin->multi, CURLMOPT_SOCKETDATA, origin);
    curl->multi_setopt(origin->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl->multi_setopt(origin->multi, CURLMOPT_TIMERDATA, origin);
    curl->multi_setopt(origin->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
    return 0;
}

int origin_fetch(struct origin *origin, struct origin_fetch **out, const struct origin_request *request,
                 const struct origin_calls *calls, void *owner)
{
    struct origin_fetch *fetch;
    int error = origin->multi ? 0 : multi_setup(origin);

    if (error)
        return error;
    fetch = fetch_take(origin);
    if (!fetch)
        return -ENOMEM;
    fetch->calls = calls;
    fetch->owner = owner;
    fetch->receive_paused = fetch->send_paused = fetch->resume_wanted = fetch->timed_out = false;
    fetch->awaits_continue = request->has_body && request->expects_continue;
    fetch->head_held = false;
    fetch->problem[0] = '\0';
    origin_head_reset(&fetch->response);
    set_headers(fetch, request);
    if (!set_target(fetch, request->target) || !set_method(fetch, request) || !start(fetch)) {
        fetch_give(fetch);
        return -ENOMEM;
    }
    fetch->state = FETCH_RUNNING;
    watch_progress(fetch);
    *out = fetch;
    return 0;
}

const struct origin_head *origin_response(const struct origin_fetch *fetch)
{
    return &fetch->response.head;
}

const char *origin_problem(const struct origin_fetch *fetch)
{
    return fetch->problem;
}

void origin_resume(struct origin_fetch *fetch)
{
    if (fetch->state != FETCH_RUNNING)
        return;
    fetch->resume_wanted = true;
    loop_put_off(fetch->origin->loop, &fetch->task);
}

void origin_close(struct origin_fetch **fetch)
{
    if (!*fetch)
        return;
    (*fetch)->calls = NULL;
    deadline_clear(&(*fetch)->deadline);
    loop_put_off((*fetch)->origin->loop, &(*fetch)->task);
    *fetch = NULL;
}

struct http_span origin_base(const struct origin *origin)
{
    return (struct http_span){origin->url.base, (uint32_t)strlen(origin->url.base)};
}

const char *origin_scheme(const struct origin *origin)
{
    return origin->url.scheme;
}

int origin_create(struct origin **out, struct proxy_loop *loop, const struct origin_options *options,
                  char *problem, size_t problem_size)
{
    struct origin *origin = calloc(1, sizeof *origin);
    int error;

    *out = NULL;
    INVARIANT(origin);
    error = origin_url_parse(&origin->url, options->url, problem, problem_size);
    if (error)
        goto err_free;
    if (options->ca_file && access(options->ca_file, R_OK) != 0) {
        error = -errno;
        snprintf(problem, problem_size, "certificates in %s cannot be read: %s", options->ca_file,
                 strerror(errno));
        goto err_free;
    }
    origin->loop = loop;
    origin->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
    loop_add_deadlines(loop, &origin->curl_timer, 0, curl_time_has_come);
    loop_add_deadlines(loop, &origin->progress, (int64_t)options->timeout_s * 1000, no_progress);
    libcurl_load_early();
    *out = origin;
    return 0;

err_free:
    free(origin);
    return error;
}

void origin_set_timeout(struct origin *origin, int timeout_s)
{
    origin->progress.after_ms = (int64_t)timeout_s * 1000;
}

void origin_destroy(struct origin **origin)
{
    struct origin *dying = *origin;

    if (!dying)
        return;
    for (struct origin_fetch *fetch = dying->fetches; fetch; fetch = fetch->next)
        leave_multi(fetch);
    while (dying->fetches)
        fetch_destroy(dying->fetches);
    if (dying->multi)
        curl->multi_cleanup(dying->multi); /* closes the connections, which gives their sockets to tasks */
    loop_finish_tasks(dying->loop);
    deadline_clear(&dying->curl_deadline);
    libcurl_settle();
    if (dying->multi)
        libcurl_release();
    free(dying->sockets);
    free(dying->ca_file);
    free(dying);
    *origin = NULL;
}
