/* bench_fill: fetches numbered URLs, each once, over a few keep-alive connections, to warm a cache.
 *
 *     bench_fill [--connections N] ADDRESS:PORT PREFIX FROM TO [SUFFIX]
 *
 * GET PREFIX<number>SUFFIX for FROM <= number < TO. Every answer must be a 200 with a Content-Length; prints
 * how many there were and their bytes. A connection that the server closes between two answers is opened
 * again. One thread, epoll; ends with an error after a minute without an answer. */
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 256,
    HEAD_BYTES = 8192,
    BUFFER_BYTES = 256 * 1024,
    PATIENCE_MS = 60000,
};

struct connection {
    int fd;
    uint64_t number;      /* of what it fetches */
    bool busy, fresh;     /* fresh: nothing has been answered on it yet */
    uint32_t head_length; /* bytes of the head so far; */
    bool in_body;         /*   then the body, */
    uint64_t body_left;   /*   of which so much is to come */
    char head[HEAD_BYTES + 1];
};

static struct {
    struct sockaddr_in address;
    const char *host, *prefix, *suffix;
    uint64_t next, end, fetched, bytes;
    uint32_t count, busy;
    int epoll;
    struct connection connections[MAX_CONNECTIONS];
} fill = {.suffix = "", .count = 32};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_fill: %s: %s\n", what, why);
    exit(1);
}

static void send_request(struct connection *connection)
{
    char request[2048];
    int length = snprintf(request, sizeof(request), "GET %s%" PRIu64 "%s HTTP/1.1\r\nHost: %s\r\n\r\n",
                          fill.prefix, connection->number, fill.suffix, fill.host);

    if (length >= (int)sizeof(request))
        fail("request", "too long");
    connection->head_length = 0;
    connection->in_body = false;
    if (send(connection->fd, request, (size_t)length, MSG_NOSIGNAL) != length && errno != EPIPE &&
        errno != ECONNRESET)
        fail("send", strerror(errno));
}

static void open_connection(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int on = 1;

    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&fill.address, sizeof(fill.address)) != 0 ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(fill.epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        fail(fill.host, strerror(errno));
    connection->fresh = true;
}

static void fetch_next(struct connection *connection)
{
    connection->busy = fill.next < fill.end;
    fill.busy += connection->busy;
    if (!connection->busy)
        return;
    connection->number = fill.next++;
    send_request(connection);
}

/* The server has closed: a request that it had not begun to answer is sent again, but not twice at once. */
static void open_again(struct connection *connection)
{
    if (connection->busy && (connection->fresh || connection->head_length > 0))
        fail(fill.host, "closed a connection instead of answering");
    close(connection->fd);
    open_connection(connection);
    if (connection->busy)
        send_request(connection);
}

static void take_head(struct connection *connection)
{
    connection->head[connection->head_length] = '\0';
    const char *length = strcasestr(connection->head, "\r\ncontent-length:");
    if (strncmp(connection->head, "HTTP/1.1 200", 12) != 0 || !length) {
        connection->head[strcspn(connection->head, "\r\n")] = '\0';
        fail(connection->head, "not a 200 with a Content-Length");
    }
    connection->body_left = strtoull(length + strlen("\r\ncontent-length:"), NULL, 10);
    connection->in_body = true;
    fill.bytes += connection->body_left;
}

/* Bytes of a head; how many of them there were. */
static size_t take_head_bytes(struct connection *connection, const char *at, size_t length)
{
    size_t taken = 0;

    while (taken < length) {
        if (connection->head_length == HEAD_BYTES)
            fail("answer", "a head that is too long");
        connection->head[connection->head_length++] = at[taken++];
        if (connection->head_length >= 4 &&
            memcmp(connection->head + connection->head_length - 4, "\r\n\r\n", 4) == 0) {
            take_head(connection);
            break;
        }
    }
    return taken;
}

static void take(struct connection *connection, const char *at, size_t length)
{
    while (length > 0) {
        size_t taken;
        if (!connection->busy)
            fail("answer", "more than was asked for");
        if (!connection->in_body) {
            taken = take_head_bytes(connection, at, length);
        } else {
            taken = length < connection->body_left ? length : (size_t)connection->body_left;
            connection->body_left -= taken;
        }
        at += taken;
        length -= taken;
        if (connection->in_body && connection->body_left == 0) {
            fill.fetched++;
            fill.busy--;
            connection->fresh = connection->in_body = false;
            fetch_next(connection);
        }
    }
}

static void serve(struct connection *connection)
{
    static char buffer[BUFFER_BYTES];
    ssize_t got = recv(connection->fd, buffer, sizeof(buffer), 0);

    if (got < 0 && errno != ECONNRESET)
        fail("receive", strerror(errno));
    if (got <= 0)
        open_again(connection);
    else
        take(connection, buffer, (size_t)got);
}

static void fetch_all(void)
{
    struct epoll_event events[64];

    for (uint32_t i = 0; i < fill.count; i++) {
        open_connection(&fill.connections[i]);
        fetch_next(&fill.connections[i]);
    }
    while (fill.busy > 0) {
        int count = epoll_wait(fill.epoll, events, 64, PATIENCE_MS);
        if (count == 0)
            fail(fill.host, "silent for a minute");
        for (int i = 0; i < count; i++)
            serve(events[i].data.ptr);
    }
}

static bool parse_options(int argc, char **argv)
{
    static const struct option options[] = {{"connections", required_argument, NULL, 'c'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'c')
            return false;
        fill.count = (uint32_t)strtoul(optarg, NULL, 10);
    }
    if (argc - optind < 4 || argc - optind > 5 || fill.count == 0 || fill.count > MAX_CONNECTIONS)
        return false;
    fill.prefix = argv[optind + 1];
    fill.next = strtoull(argv[optind + 2], NULL, 10);
    fill.end = strtoull(argv[optind + 3], NULL, 10);
    if (argc - optind == 5)
        fill.suffix = argv[optind + 4];
    fill.host = argv[optind];
    return measure_address(fill.host, &fill.address);
}

int main(int argc, char **argv)
{
    if (!parse_options(argc, argv)) {
        fprintf(stderr, "usage: bench_fill [--connections N] ADDRESS:PORT PREFIX FROM TO [SUFFIX]\n");
        return 2;
    }
    fill.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (fill.epoll < 0)
        fail("epoll_create1", strerror(errno));
    fetch_all();
    printf("fetched=%" PRIu64 " bytes=%" PRIu64 "\n", fill.fetched, fill.bytes);
    return 0;
}
