/* bench_floor: the least that an HTTP server on epoll can cost.
 *
 * One thread answers every request with the same bytes from its own memory: no parsing beyond the end of the
 * request head, no cache, no second process. bench/run.sh measures it as the floor below which no proxy can
 * get on the same machine with answers of some KiB; large ones are cheaper where they are not copied. It
 * trusts its client and is of no other use. Several of them may share a port: the kernel divides the
 * connections among them, as it does among proxies. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_EVENTS = 64,
    MAX_CONNECTIONS = 4096,
    MAX_BODY = 16 * 1024 * 1024,
    HEAD_BYTES = 256,
};

struct connection {
    int matched;   /* bytes of the blank line that ends a request head, seen so far */
    size_t unsent; /* bytes of answers that the socket has not taken */
};

static struct connection connections[MAX_CONNECTIONS];
static char *answer;
static size_t answer_bytes;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void prepare_answer(size_t body_bytes)
{
    answer = malloc(HEAD_BYTES + body_bytes);
    if (answer == NULL)
        die("malloc");
    int head = snprintf(answer, HEAD_BYTES,
                        "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: application/octet-stream\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        body_bytes);
    memset(answer + head, 'x', body_bytes);
    answer_bytes = (size_t)head + body_bytes;
}

static int listen_on_loopback(uint16_t port) /* 0: one that is free */
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        die("listen");
    printf("listening 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
    int fd;
    int on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        connections[fd] = (struct connection){0};
        watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET);
    }
}

/* Counts the request heads that end in these bytes. */
static size_t heads_ended(struct connection *connection, const char *bytes, size_t length)
{
    static const char blank_line[] = "\r\n\r\n";
    size_t ended = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == blank_line[connection->matched])
            connection->matched++;
        else
            connection->matched = bytes[i] == '\r';
        if (connection->matched == 4) {
            connection->matched = 0;
            ended++;
        }
    }
    return ended;
}

/* False: the connection is broken. Answers are all alike, so what is left to send is only counted. */
static int send_answers(int fd)
{
    struct connection *connection = &connections[fd];
    while (connection->unsent > 0) {
        size_t rest = (connection->unsent - 1) % answer_bytes + 1; /* of the answer under way */
        ssize_t sent = send(fd, answer + answer_bytes - rest, rest, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN;
        connection->unsent -= (size_t)sent;
    }
    return 1;
}

/* False: the connection has ended. A read that fills less than the buffer has emptied the socket. */
static int serve(int fd)
{
    char buffer[4096];
    ssize_t got;
    do {
        got = recv(fd, buffer, sizeof(buffer), 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return 0;
        if (got > 0)
            connections[fd].unsent += answer_bytes * heads_ended(&connections[fd], buffer, (size_t)got);
    } while (got == (ssize_t)sizeof(buffer));
    return send_answers(fd);
}

int main(int argc, char **argv)
{
    long body_bytes = argc >= 2 ? strtol(argv[1], NULL, 10) : -1;
    long port = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (argc > 3 || body_bytes < 0 || body_bytes > MAX_BODY || port < 0 || port > UINT16_MAX) {
        fprintf(stderr, "usage: bench_floor BODY_BYTES [PORT]\n");
        return 2;
    }
    prepare_answer((size_t)body_bytes);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    int listener = listen_on_loopback((uint16_t)port);
    watch(epoll, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(epoll, listener);
            else if (!serve(fd))
                close(fd);
        }
    }
}
