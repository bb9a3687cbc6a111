#include "connection.h"

#include "cache_link.h"
#include "invariant.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_TIMEOUT_MS  60000
#define LINGER_TIMEOUT_MS 2000
#define UNUSED_PIPES_MS   1000
#define DROPS_A_TURN      64 /* reads that drop what a client still sends; then others have their turn */
#define SILENT_MS         1000
#define IDLE_LOOKED_AT    64 /* connections, in search of one that may be dropped */

static void remove_from_home(struct connection *connection)
{
    struct connection_home *home = connection->home;

    if (connection->prev)
        connection->prev->next = connection->next;
    else
        home->first = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    home->count--;
    if (home->closed)
        home->closed(home->closed_owner);
}

/* The end that is sent is a reset: an orderly one would make half a body look whole (RFC 9112 section 8). */
static void close_with_reset(struct connection *connection)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(connection->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void connection_close(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (connection->close_ends_body)
        close_with_reset(connection);
    connection->state = CONNECTION_CLOSED;
    deadline_clear(&connection->read_deadline);
    deadline_clear(&connection->write_deadline);
    page_pipes_give(&connection->home->pipes,
                    &connection->pipe); /* refers to pages of the output's segments */
    output_clear(&connection->output);
    loop_unwatch(connection->home->loop, &connection->watch);
    close(connection->watch.fd);
    remove_from_home(connection);
    loop_put_off(connection->home->loop, &connection->task); /* which frees it */
}

static void lose(struct connection *connection)
{
    enum connection_state before = connection->state;

    connection_close(connection);
    if (before == CONNECTION_OPEN)
        connection->front->gone(connection);
}

enum connection_read connection_read(struct connection *connection)
{
    uint32_t room = connection->input_size - connection->input_used;
    ssize_t got;

    if (!connection->may_read || room == 0)
        return connection->peer_ended && room > 0 ? CONNECTION_READ_ENDED : CONNECTION_READ_NOTHING;
    do {
        got = recv(connection->watch.fd, connection->input + connection->input_used, room, 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        connection->input_used += (uint32_t)got;
        /* A read that fills less than the room has emptied the socket: the next edge tells of more. The
         * client's end raises no second edge if it has been announced already, and a read stops short at
         * urgent data. */
        connection->may_read = (uint32_t)got == room || connection->peer_ended || connection->urgent;
        return CONNECTION_READ_BYTES;
    }
    connection->may_read = false;
    if (got < 0 && errno == EAGAIN)
        return CONNECTION_READ_NOTHING;
    connection->peer_ended = true;
    return CONNECTION_READ_ENDED;
}

void connection_grow_input(struct connection *connection, uint32_t size)
{
    char *larger;

    if (size <= connection->input_size)
        return;
    larger = realloc(connection->input, size);
    INVARIANT(larger);
    connection->input = larger;
    connection->input_size = size;
}

static void drop_input(struct connection *connection)
{
    enum connection_read result = CONNECTION_READ_BYTES;

    for (int i = 0; i < DROPS_A_TURN && result == CONNECTION_READ_BYTES; i++) {
        connection->input_used = 0;
        result = connection_read(connection);
    }
    if (result == CONNECTION_READ_BYTES)
        connection_wake(connection);
    else if (result == CONNECTION_READ_ENDED)
        connection_close(connection);
}

static void linger(struct connection *connection)
{
    connection->state = CONNECTION_LINGERING;
    connection->close_ends_body = false; /* all of it is sent */
    shutdown(connection->watch.fd, SHUT_WR);
    deadline_clear(&connection->write_deadline);
    loop_arm(connection->home->loop, &connection->home->linger, &connection->read_deadline);
    drop_input(connection);
}

/* A slow client: watch its progress, and let it keep no segments that others wait for. */
static void output_waits(struct connection *connection, bool progress)
{
    if (progress || !deadline_is_set(&connection->write_deadline))
        loop_arm(connection->home->loop, &connection->home->write, &connection->write_deadline);
    if (cache_link_is_scarce(connection->home->link))
        output_free_segments(&connection->output);
}

/* One piece, as most answers are, without the kernel's reading a list of one. */
static ssize_t send_pieces(int fd, struct iovec *vectors, int count, int flags)
{
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};

    return count == 1 ? send(fd, vectors->iov_base, vectors->iov_len, flags) : sendmsg(fd, &message, flags);
}

/* False: the connection is lost. */
static bool send_copied(struct connection *connection)
{
    struct iovec vectors[OUTPUT_IOVECS];
    int count = output_gather(&connection->output, vectors, OUTPUT_IOVECS);
    size_t offered = 0;
    ssize_t sent;

    for (int i = 0; i < count; i++)
        offered += vectors[i].iov_len;
    sent = send_pieces(connection->watch.fd, vectors, count,
                       MSG_NOSIGNAL | (offered < connection->output.bytes ? MSG_MORE : 0));
    if (sent < 0 && errno == EINTR)
        return true;
    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent > 0)
        output_consume(&connection->output, (size_t)sent);
    connection->may_write = sent == (ssize_t)offered;
    return true;
}

/* What a call that sends by reference said. Fewer bytes than there are do not mean that the socket is full: a
 * signal, or being frozen, cuts the call short, and no edge would follow. 0 bytes: the file is shorter than
 * it was, which nobody who means well does to his own pool. False: the connection is lost. */
static bool took_by_reference(struct connection *connection, ssize_t sent)
{
    if (sent < 0 && errno == EINTR)
        return true;
    if (sent == 0 || (sent < 0 && errno != EAGAIN))
        return false;
    if (sent > 0)
        output_file_sent(&connection->output, (size_t)sent);
    connection->may_write = sent > 0;
    return true;
}

/* What this kernel does not send so is copied. */
static bool send_file(struct connection *connection, const struct output_file *file)
{
    off_t offset = file->offset;
    ssize_t sent = sendfile(connection->watch.fd, file->fd, &offset, file->size);

    if (sent < 0 && (errno == EINVAL || errno == ENOSYS)) {
        output_refuse_file(&connection->output);
        return true;
    }
    return took_by_reference(connection, sent);
}

static bool is_unsupported(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM;
}

/* Many pages. False: there are few, or they cannot leave so. */
static bool fill_pipe(struct connection *connection)
{
    struct page_pipes *pipes = &connection->home->pipes;
    struct iovec vectors[OUTPUT_IOVECS];
    size_t size = 0;
    int count;

    if (connection->output.by_file < PAGE_PIPE_MIN || pipes->refused)
        return false;
    count = output_pages(&connection->output, vectors, OUTPUT_IOVECS, PAGE_PIPE_BYTES);
    for (int i = 0; i < count; i++)
        size += vectors[i].iov_len;
    if (size < PAGE_PIPE_MIN)
        return false;
    connection->pipe = page_pipes_take(pipes, connection->home->loop->now_ms);
    if (!connection->pipe)
        return false;
    if (!deadline_is_set(&connection->home->pipes_deadline))
        loop_arm(connection->home->loop, &connection->home->unused, &connection->home->pipes_deadline);
    if (page_pipe_fill(connection->pipe, vectors, count))
        return true;
    if (is_unsupported(errno))
        page_pipes_refuse(pipes, &connection->pipe);
    else
        page_pipes_give(pipes, &connection->pipe);
    return false;
}

/* A socket that is full, and takes its time, keeps no pipe that others want: the pages are referred to anew
 * when it has room. */
static bool send_pages(struct connection *connection)
{
    struct page_pipe *pipe = connection->pipe;
    size_t offered = pipe->filled;
    ssize_t sent = page_pipe_send(pipe, connection->watch.fd, offered < connection->output.bytes);

    if (sent < 0 && is_unsupported(errno)) {
        page_pipes_refuse(&connection->home->pipes, &connection->pipe);
        return true;
    }
    if (!took_by_reference(connection, sent))
        return false;
    if (pipe->filled == 0 || (!connection->may_write && page_pipes_are_scarce(&connection->home->pipes)))
        page_pipes_give(&connection->home->pipes, &connection->pipe);
    return true;
}

static bool send_once(struct connection *connection)
{
    struct output_file file;

    if (connection->pipe || fill_pipe(connection))
        return send_pages(connection);
    return output_file(&connection->output, &file) ? send_file(connection, &file) : send_copied(connection);
}

static bool send_output(struct connection *connection)
{
    size_t before = connection->output.bytes;

    if (connection->held)
        return true;
    while (connection->output.bytes > 0 && connection->may_write) {
        if (!send_once(connection))
            return false;
    }
    if (connection->output.bytes > 0)
        output_waits(connection, connection->output.bytes < before);
    else
        deadline_clear(&connection->write_deadline);
    return true;
}

/* What is answered at once is sent at once: its client need not wait for the others of this turn. */
static void proceed(struct connection *connection)
{
    connection->front->proceed(connection);
    if (connection->state != CONNECTION_CLOSED && !send_output(connection))
        lose(connection);
}

static void run(struct connection *connection)
{
    if (!send_output(connection)) {
        lose(connection);
        return;
    }
    if (connection->state == CONNECTION_OPEN)
        proceed(connection);
    else if (connection->state == CONNECTION_FLUSHING && connection->output.bytes == 0)
        linger(connection);
    else if (connection->state == CONNECTION_LINGERING)
        drop_input(connection);
    else if (connection->state == CONNECTION_BREAKING)
        connection_close(connection);
}

static struct connection *connection_of_task(struct loop_task *task)
{
    return (struct connection *)((char *)task - offsetof(struct connection, task));
}

static void run_task(struct loop_task *task)
{
    struct connection *connection = connection_of_task(task);

    if (connection->state != CONNECTION_CLOSED) {
        run(connection);
        return;
    }
    free(connection->input);
    connection->front->destroy(connection);
}

static void socket_ready(struct loop_watch *watch, uint32_t events)
{
    struct connection *connection = (struct connection *)watch;

    _Static_assert(offsetof(struct connection, watch) == 0, "the watch is cast to its connection");
    if (events & (EPOLLERR | EPOLLHUP)) {
        lose(connection);
        return;
    }
    if (events & EPOLLOUT)
        connection->may_write = true;
    if (events & EPOLLRDHUP)
        connection->peer_ended = true;
    if (events & EPOLLPRI)
        connection->urgent = true;
    if (events & (EPOLLIN | EPOLLRDHUP))
        connection->may_read = true;
    run(connection);
}

int connection_open(struct connection *connection, struct connection_home *home,
                    const struct front_calls *front, int fd, const union connection_peer *peer)
{
    int one = 1;
    int error;

    connection->watch = (struct loop_watch){.ready = socket_ready, .fd = fd};
    error = loop_watch(home->loop, &connection->watch, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    if (error) {
        front->destroy(connection);
        return error;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->task = (struct loop_task){.run = run_task};
    connection->front = front;
    connection->home = home;
    connection->peer = *peer;
    connection->state = CONNECTION_OPEN;
    connection->may_write = true;
    connection->accepted_ms = home->loop->now_ms;
    output_setup(&connection->output, &home->outputs);
    connection_grow_input(connection, CONNECTION_INPUT_FIRST);
    connection->next = home->first;
    if (connection->next)
        connection->next->prev = connection;
    home->first = connection;
    home->count++;
    loop_arm(home->loop, &home->idle, &connection->read_deadline);
    return 0;
}

void connection_wake(struct connection *connection)
{
    connection->held = false;
    loop_put_off(connection->home->loop, &connection->task);
}

void connection_hold(struct connection *connection)
{
    connection->held = true;
}

size_t connection_room(const struct connection *connection)
{
    size_t waiting = connection->output.bytes - connection->output.by_file;

    if (connection->output.by_file >= CONNECTION_FILE_BOUND)
        return 0;
    return waiting < CONNECTION_OUTPUT_BOUND ? CONNECTION_OUTPUT_BOUND - waiting : 0;
}

void connection_finish(struct connection *connection)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    connection->state = CONNECTION_FLUSHING;
    deadline_clear(&connection->read_deadline);
    connection_wake(connection);
}

void connection_break(struct connection *connection)
{
    connection_finish(connection);
    if (connection->state == CONNECTION_FLUSHING && connection->close_ends_body)
        connection->state = CONNECTION_BREAKING;
}

void connection_expect_request(struct connection *connection)
{
    connection->served = true;
    loop_arm(connection->home->loop, &connection->home->idle, &connection->read_deadline);
}

void connection_expect_header(struct connection *connection)
{
    loop_arm(connection->home->loop, &connection->home->header, &connection->read_deadline);
}

void connection_expect_body(struct connection *connection)
{
    loop_arm(connection->home->loop, &connection->home->body, &connection->read_deadline);
}

void connection_expect_nothing(struct connection *connection)
{
    deadline_clear(&connection->read_deadline);
}

static struct connection *connection_of_read(struct deadline *deadline)
{
    return (struct connection *)(void *)((char *)deadline - offsetof(struct connection, read_deadline));
}

static void idle_expired(struct deadline *deadline)
{
    struct connection *connection = connection_of_read(deadline);

    if (connection->output.bytes > 0) /* the last response is still on its way, and has its own time-out */
        loop_arm(connection->home->loop, &connection->home->idle, &connection->read_deadline);
    else
        connection_close(connection);
}

static void linger_expired(struct deadline *deadline)
{
    connection_close(connection_of_read(deadline));
}

static void header_expired(struct deadline *deadline)
{
    struct connection *connection = connection_of_read(deadline);

    connection->front->timed_out(connection, CONNECTION_TIMEOUT_HEADER);
}

static void body_expired(struct deadline *deadline)
{
    struct connection *connection = connection_of_read(deadline);

    connection->front->timed_out(connection, CONNECTION_TIMEOUT_BODY);
}

static void write_expired(struct deadline *deadline)
{
    lose((struct connection *)(void *)((char *)deadline - offsetof(struct connection, write_deadline)));
}

static void look_at_pipes(struct deadline *deadline)
{
    struct connection_home *home =
        (struct connection_home *)(void *)((char *)deadline -
                                           offsetof(struct connection_home, pipes_deadline));

    if (page_pipes_close_unused(&home->pipes))
        loop_arm(home->loop, &home->unused, &home->pipes_deadline);
}

static void return_segment(void *owner, struct larder_segment **segment)
{
    cache_link_return(owner, segment);
}

void connection_home_setup(struct connection_home *home, struct proxy_loop *loop, struct cache_link *link,
                           const struct connection_timeouts *timeouts)
{
    *home = (struct connection_home){.loop = loop, .link = link, .limit = timeouts->limit};
    output_pool_setup(&home->outputs, return_segment, link);
    page_pipes_setup(&home->pipes);
    loop_add_deadlines(loop, &home->idle, (int64_t)timeouts->idle_s * 1000, idle_expired);
    loop_add_deadlines(loop, &home->header, (int64_t)timeouts->header_s * 1000, header_expired);
    loop_add_deadlines(loop, &home->body, (int64_t)timeouts->body_s * 1000, body_expired);
    loop_add_deadlines(loop, &home->write, WRITE_TIMEOUT_MS, write_expired);
    loop_add_deadlines(loop, &home->unused, UNUSED_PIPES_MS, look_at_pipes);
    loop_add_deadlines(loop, &home->linger, LINGER_TIMEOUT_MS, linger_expired);
}

void connection_home_set_timeouts(struct connection_home *home, const struct connection_timeouts *timeouts)
{
    home->idle.after_ms = (int64_t)timeouts->idle_s * 1000;
    home->header.after_ms = (int64_t)timeouts->header_s * 1000;
    home->body.after_ms = (int64_t)timeouts->body_s * 1000;
    home->limit = timeouts->limit;
}

void connection_home_teardown(struct connection_home *home)
{
    home->closed = NULL;
    while (home->first)
        lose(home->first);
    loop_finish_tasks(home->loop);
    output_pool_teardown(&home->outputs);
    deadline_clear(&home->pipes_deadline);
    page_pipes_teardown(&home->pipes);
}

void connection_home_stop(struct connection_home *home)
{
    struct connection *next;

    home->stopping = true;
    for (struct connection *connection = home->first; connection; connection = next) {
        next = connection->next;
        connection->may_read = true; /* what has been sent before the stop is still answered */
        if (connection->state == CONNECTION_OPEN)
            proceed(connection);
    }
}

void connection_home_go_on(struct connection_home *home)
{
    home->stopping = false;
}

/* It may have asked since it was read last, and a close would take what is on its way to it, too (RST). */
static bool has_asked(const struct connection *connection)
{
    char byte;

    return recv(connection->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool is_idle(const struct connection *connection)
{
    return connection->served && connection->output.bytes == 0 && connection->input_used == 0 &&
           !has_asked(connection);
}

/* And who has not said anything yet, though there was time to. */
static bool is_silent(const struct connection *connection)
{
    const struct connection_home *home = connection->home;

    return !connection->served && connection->input_used == 0 &&
           home->loop->now_ms - connection->accepted_ms >= SILENT_MS && !has_asked(connection);
}

bool connection_home_drop_idle(struct connection_home *home)
{
    struct deadline *end = &home->idle.head, *at = end->next;

    for (int i = 0; i < IDLE_LOOKED_AT && at != end; i++, at = at->next) {
        struct connection *connection = connection_of_read(at);

        if (is_idle(connection) || is_silent(connection)) {
            connection_close(connection);
            return true;
        }
    }
    return false;
}

const char *connection_peer_text(struct connection *connection)
{
    const union connection_peer *peer = &connection->peer;
    const void *address = peer->any.sa_family == AF_INET6 ? (const void *)&peer->v6.sin6_addr
                                                          : (const void *)&peer->v4.sin_addr;
    char *text = connection->peer_text;

    if (!text[0] && !inet_ntop(peer->any.sa_family, address, text, sizeof connection->peer_text))
        memcpy(text, "unknown", sizeof "unknown");
    return text;
}
