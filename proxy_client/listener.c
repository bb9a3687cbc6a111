#include "listener.h"

#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG       1024
#define ACCEPT_A_TURN 64
#define PAUSE_MS      100

static bool parse_port(const char *text, in_port_t *port)
{
    size_t length = strlen(text);
    long number = strtol(text, NULL, 10);

    if (length == 0 || length > 5 || strspn(text, "0123456789") != length || number > 65535)
        return false;
    *port = htons((uint16_t)number);
    return true;
}

static int parse_v6(const char *text, struct listen_address *out)
{
    const char *end = strchr(text, ']');
    char host[INET6_ADDRSTRLEN];
    size_t length = end ? (size_t)(end - text - 1) : 0;

    if (!end || end[1] != ':' || length >= sizeof host)
        return -EINVAL;
    memcpy(host, text + 1, length);
    host[length] = '\0';
    out->address.v6.sin6_family = AF_INET6;
    out->size = sizeof out->address.v6;
    return inet_pton(AF_INET6, host, &out->address.v6.sin6_addr) == 1 &&
                   parse_port(end + 2, &out->address.v6.sin6_port)
               ? 0
               : -EINVAL;
}

static int parse_v4(const char *text, struct listen_address *out)
{
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN];
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (!colon || length >= sizeof host)
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    out->address.v4.sin_family = AF_INET;
    out->size = sizeof out->address.v4;
    return inet_pton(AF_INET, host, &out->address.v4.sin_addr) == 1 &&
                   parse_port(colon + 1, &out->address.v4.sin_port)
               ? 0
               : -EINVAL;
}

int listen_address_parse(const char *text, struct listen_address *out)
{
    memset(out, 0, sizeof *out);
    return text[0] == '[' ? parse_v6(text, out) : parse_v4(text, out);
}

const char *listen_address_format(const struct listen_address *address, char out[LISTEN_ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    const union connection_peer *at = &address->address;

    if (at->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &at->v6.sin6_addr, host, sizeof host);
        snprintf(out, LISTEN_ADDRESS_BYTES, "[%s]:%u", host, ntohs(at->v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &at->v4.sin_addr, host, sizeof host);
        snprintf(out, LISTEN_ADDRESS_BYTES, "%s:%u", host, ntohs(at->v4.sin_port));
    }
    return out;
}

static void pause_listening(struct listener *listener)
{
    if (listener->paused)
        return;
    listener->paused = true;
    loop_change(listener->connections->loop, &listener->watch, 0);
    loop_arm(listener->connections->loop, &listener->pauses, &listener->deadline);
}

void listener_resume(struct listener *listener)
{
    if (!listener->open || !listener->paused)
        return;
    listener->paused = false;
    deadline_clear(&listener->deadline);
    loop_change(listener->connections->loop, &listener->watch, EPOLLIN);
}

static void pause_is_over(struct deadline *deadline)
{
    listener_resume((struct listener *)(void *)((char *)deadline - offsetof(struct listener, deadline)));
}

static void complain(struct listener *listener, const char *what)
{
    if (!listener->complained)
        log_warn("connections have to wait", "why=\"%s\" connections=%u", what, listener->connections->count);
    listener->complained = true;
}

static bool have_room(struct listener *listener)
{
    struct connection_home *connections = listener->connections;

    if (connections->count < connections->limit || connection_home_drop_idle(connections))
        return true;
    complain(listener, "limit of --max-connections reached");
    pause_listening(listener);
    return false;
}

static void accept_failed(struct listener *listener, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
        return; /* nobody there any more, or this client died before we looked */
    complain(listener, strerror(error));
    if (!connection_home_drop_idle(listener->connections))
        pause_listening(listener);
}

static bool accept_one(struct listener *listener)
{
    union connection_peer peer;
    socklen_t size = sizeof peer;
    int fd = accept4(listener->watch.fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        accept_failed(listener, errno);
        return false;
    }
    if (listener->accepted(listener->front, fd, &peer) != 0)
        close(fd);
    return true;
}

static void clients_wait(struct loop_watch *watch, uint32_t events)
{
    struct listener *listener = (struct listener *)watch;

    _Static_assert(offsetof(struct listener, watch) == 0, "the watch is cast to its listener");
    (void)events;
    for (int i = 0; i < ACCEPT_A_TURN; i++) {
        if (!have_room(listener) || !accept_one(listener))
            return;
    }
}

static int take_address(struct listener *listener, const struct listen_address *address)
{
    int fd = listener->watch.fd;
    int one = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
        bind(fd, &address->address.any, address->size) != 0)
        return -errno;
    /* Accepted sockets inherit it: urgent bytes stay in their place in the stream (RFC 6093 section 4). */
    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    return 0;
}

int listener_bind(struct listener *listener, const struct listen_address *address)
{
    int fd = socket(address->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -errno;
    *listener = (struct listener){.watch = {.ready = clients_wait, .fd = fd}, .bound = *address};
    error = take_address(listener, address);
    if (error)
        close(fd);
    else
        listener->bound_here = true;
    return error;
}

static int begin_listening(struct listener *listener)
{
    int fd = listener->watch.fd;

    /* The kernel may tell only here that another socket listens on this address. */
    if (listen(fd, BACKLOG) != 0 || getsockname(fd, &listener->bound.address.any, &listener->bound.size) != 0)
        return -errno;
    return loop_watch(listener->connections->loop, &listener->watch, EPOLLIN);
}

int listener_open(struct listener *listener, struct connection_home *connections,
                  int (*accepted)(void *front, int fd, const union connection_peer *peer), void *front)
{
    int error;

    listener->connections = connections;
    listener->accepted = accepted;
    listener->front = front;
    error = begin_listening(listener);
    if (error)
        return error;
    loop_add_deadlines(connections->loop, &listener->pauses, PAUSE_MS, pause_is_over);
    listener->open = true;
    return 0;
}

/* shutdown() ends listening, and lets go of a port that the kernel chose. EINVAL: it is still bound. */
static int bind_again(const struct listener *listener)
{
    const struct listen_address *bound = &listener->bound;

    return bind(listener->watch.fd, &bound->address.any, bound->size) == 0 || errno == EINVAL ? 0 : -errno;
}

void listener_suspend(struct listener *listener)
{
    if (!listener->open || listener->suspended)
        return;
    while (have_room(listener) && accept_one(listener))
        ;
    deadline_clear(&listener->deadline);
    loop_unwatch(listener->connections->loop, &listener->watch);
    listener->paused = false;
    listener->suspended = true;
    shutdown(listener->watch.fd, SHUT_RD);
    (void)bind_again(listener); /* if it fails now, it may not when we go on */
}

int listener_go_on(struct listener *listener)
{
    int error;

    if (!listener->suspended)
        return 0;
    error = bind_again(listener);
    listener->watch.ready = clients_wait;
    if (!error)
        error = begin_listening(listener);
    listener->suspended = error != 0;
    return error;
}

void listener_close(struct listener *listener)
{
    if (listener->open) {
        deadline_clear(&listener->deadline);
        loop_unwatch(listener->connections->loop, &listener->watch);
    }
    if (listener->bound_here)
        close(listener->watch.fd);
    listener->open = listener->bound_here = false;
}
