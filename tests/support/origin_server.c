#include "origin_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define EVENTS       64
#define BACKLOG      1024
#define ACCEPT_BOUND 64

struct origin_client {
    int fd; /* the connection's */
    struct conn *conn;
    struct origin_client *prev, *next;
};

_Noreturn void origin_die(int status, const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, detail);
    exit(status);
}

/* ---- set-up ---- */

static struct addrinfo *resolve(const char *listen)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *address = strdup(listen), *host = address, *colon = address ? strrchr(address, ':') : NULL;
    int problem;

    if (!colon)
        origin_die(ORIGIN_EXIT_USAGE, "--listen wants ADDR:PORT, not", listen);
    *colon = '\0';
    if (*host == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        host++;
    }
    problem = getaddrinfo(host, colon + 1, &hints, &found);
    if (problem)
        origin_die(ORIGIN_EXIT_USAGE, listen, gai_strerror(problem));
    free(address);
    return found;
}

static int listen_on(const char *address)
{
    struct addrinfo *found = resolve(address);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        origin_die(1, "socket", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, BACKLOG))
        origin_die(1, address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

void origin_raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void watch(const struct origin_server *server, int fd, uint32_t events, void *tag)
{
    struct epoll_event event = {.events = events, .data.ptr = tag};

    if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event))
        origin_die(1, "epoll_ctl", strerror(errno));
}

void origin_server_open(struct origin_server *server, const char *address)
{
    server->clients = NULL;
    server->released = false;
    server->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->listener = listen_on(address);
    if (server->stop >= 0)
        watch(server, server->stop, EPOLLIN, &server->stop);
    watch(server, server->listener, EPOLLIN, &server->listener);
}

void origin_server_address(const struct origin_server *server, struct origin_address *address)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);

    if (getsockname(server->listener, (struct sockaddr *)&bound, &size) ||
        getnameinfo((struct sockaddr *)&bound, size, address->host, sizeof(address->host), address->port,
                    sizeof(address->port), NI_NUMERICHOST | NI_NUMERICSERV))
        origin_die(1, "cannot tell the address", strerror(errno));
    address->family = bound.ss_family;
}

/* ---- clients ---- */

static void drop_client(struct origin_server *server, struct origin_client *client)
{
    DL_DELETE(server->clients, client);
    conn_destroy(client->conn);
    free(client);
}

static void run_client(struct origin_server *server, struct origin_client *client, int64_t now)
{
    enum conn_wish wish = conn_run(client->conn, now);

    server->released |= conn_took_release(client->conn);
    if (server->worked)
        server->worked(server->user, client->fd);
    if (wish == CONN_OVER)
        drop_client(server, client);
}

/* Without a free descriptor the connection is taken with the spare one and closed, so that it does not spin.
 */
static int accept_one(struct origin_server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        close(server->spare);
        fd = accept(server->listener, NULL, NULL);
        if (fd >= 0)
            close(fd);
        server->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        fd = -1;
    }
    return fd;
}

static void accept_clients(struct origin_server *server)
{
    int fd, on = 1;

    for (int i = 0; i < ACCEPT_BOUND && (fd = accept_one(server)) >= 0; i++) {
        struct origin_client *client = calloc(1, sizeof(*client));

        if (!client)
            abort();
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        client->fd = fd;
        client->conn = conn_create(fd, server->tls, &server->conf);
        if (!client->conn) {
            free(client);
            continue;
        }
        DL_APPEND(server->clients, client);
        watch(server, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, client);
    }
}

static void client_event(struct origin_server *server, struct origin_client *client, uint32_t events,
                         int64_t now)
{
    bool broken = events & (EPOLLHUP | EPOLLERR);

    if (broken || ((events & EPOLLRDHUP) && conn_client_left(client->conn) == CONN_OVER))
        drop_client(server, client);
    else
        run_client(server, client, now);
}

/* ---- loop ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int origin_server_wait(const struct origin_server *server)
{
    int64_t first = INT64_MAX, now = now_ms();

    for (const struct origin_client *client = server->clients; client; client = client->next) {
        int64_t at = conn_wake_at(client->conn);

        first = at < first ? at : first;
    }
    if (first == INT64_MAX)
        return -1;
    return first <= now ? 0 : (int)(first - now);
}

static void run_due(struct origin_server *server, int64_t now)
{
    bool released = server->released;

    server->released = false;
    for (struct origin_client *client = server->clients, *next; client; client = next) {
        next = client->next;
        if (conn_wake_at(client->conn) <= now || (released && conn_is_held(client->conn)))
            run_client(server, client, now);
    }
}

bool origin_server_turn(struct origin_server *server, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(server->epoll, events, EVENTS, wait_ms);
    int64_t now = now_ms();

    for (int i = 0; i < count; i++) {
        void *tag = events[i].data.ptr;

        if (tag == &server->stop)
            return false;
        if (tag == &server->listener)
            accept_clients(server);
        else
            client_event(server, tag, events[i].events, now);
    }
    run_due(server, now);
    return true;
}

void origin_server_close(struct origin_server *server)
{
    while (server->clients)
        drop_client(server, server->clients);
    close(server->listener);
    close(server->epoll);
    close(server->spare);
}
