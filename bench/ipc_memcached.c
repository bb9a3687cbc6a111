/* bench_memcached: bench_ipc's counterpart: gets from a memcached on a unix socket.
 *
 *     bench_memcached --socket PATH [--depth N] [--size BYTES] [--keys N] [--seconds S] [--server PID]
 *
 * The text protocol; as few system calls as it allows: the socket is read as full as a large buffer takes it,
 * and as many new requests as answers have come are sent in one write, so that `depth` are always under way.
 * Of every answer the length and the first and last byte are compared with what was set. The requests under
 * way always fit into the socket's buffer, so that writing cannot wait for memcached. */
#include "ipc_load.h"
#include "measure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_BYTES 64u
#define BUFFER_BYTES  (1024u * 1024)
#define LINE_BYTES    128u
#define MAX_SIZE      (64u * 1024 * 1024)

static struct ipc_load load = IPC_LOAD_DEFAULTS;

static struct {
    const char *path;
    int fd;
    struct measure_run run;
    uint32_t under_way;
    double sent_at; /* depth 1: when the request under way was written */
    char requests[IPC_LOAD_MAX_DEPTH * REQUEST_BYTES];
    char buffer[BUFFER_BYTES];
    /* Where the answers have been read to. */
    char line[LINE_BYTES];
    uint32_t line_length;
    uint32_t body_left; /* of the value under way, with the line end behind it */
    uint8_t expected;
} bench = {.fd = -1};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_memcached: %s: %s\n", what, why);
    exit(1);
}

static void connect_to_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};

    if (strlen(bench.path) >= sizeof(address.sun_path))
        fail(bench.path, "too long for a socket");
    memcpy(address.sun_path, bench.path, strlen(bench.path) + 1);
    bench.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bench.fd < 0 || connect(bench.fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail(bench.path, strerror(errno));
    setsockopt(bench.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(bench.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static void send_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(bench.fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0)
            fail("send", strerror(errno));
        bytes += sent;
        length -= (size_t)sent;
    }
}

static size_t receive(char *into, size_t room)
{
    ssize_t got = recv(bench.fd, into, room, 0);

    if (got <= 0)
        fail("receive", got == 0 ? "memcached has closed the connection" : strerror(errno));
    return (size_t)got;
}

/* ---- filling: one set at a time ---- */

static void expect_stored(void)
{
    char answer[LINE_BYTES];
    size_t length = 0;

    while (length == 0 || answer[length - 1] != '\n')
        length += receive(answer + length, sizeof(answer) - 1 - length);
    answer[length] = '\0';
    if (strcmp(answer, "STORED\r\n") != 0)
        fail("set", answer);
}

static void set_all(void)
{
    char head[REQUEST_BYTES];
    char *body = malloc((size_t)load.size + 2);

    if (!body)
        fail("set", "out of memory");
    memcpy(body + load.size, "\r\n", 2);
    for (uint32_t key = 0; key < load.keys; key++) {
        int length =
            snprintf(head, sizeof(head), "set bench-%" PRIu32 " 0 0 %" PRIu32 "\r\n", key, load.size);
        memset(body, (int)(key & 0xff), load.size);
        send_all(head, (size_t)length);
        send_all(body, (size_t)load.size + 2);
        expect_stored();
    }
    free(body);
}

/* ---- getting ---- */

static void send_gets(uint32_t count)
{
    size_t length = 0;

    for (uint32_t i = 0; i < count; i++)
        length += (size_t)snprintf(bench.requests + length, REQUEST_BYTES, "get bench-%" PRIu32 "\r\n",
                                   ipc_load_next_key(&load));
    if (load.depth == 1)
        bench.sent_at = measure_now();
    send_all(bench.requests, length);
    bench.under_way += count;
}

static void end_of_answer(void)
{
    if (load.depth == 1)
        measure_latency_add(&bench.run.latency, measure_now() - bench.sent_at);
    bench.run.done++;
    bench.under_way--;
}

/* "VALUE bench-KEY FLAGS LENGTH" begins a body, "END" ends an answer. */
static void take_line(void)
{
    static const char value[] = "VALUE bench-";
    char *end = NULL;

    bench.line[bench.line_length] = '\0';
    if (strncmp(bench.line, value, sizeof(value) - 1) == 0) {
        bench.expected = (uint8_t)strtoul(bench.line + sizeof(value) - 1, &end, 10);
        if (strtoul(end, &end, 10) != 0 || strtoul(end, &end, 10) != load.size)
            fail("get", bench.line);
        bench.body_left = load.size + 2;
    } else if (strcmp(bench.line, "END\r\n") == 0) {
        end_of_answer();
    } else {
        fail("get", bench.line);
    }
    bench.line_length = 0;
}

/* Bytes of a line; how many of them there were. */
static size_t take_line_bytes(const char *at, size_t length)
{
    const char *end = memchr(at, '\n', length);
    size_t taken = end ? (size_t)(end - at) + 1 : length;

    if (bench.line_length + taken >= LINE_BYTES)
        fail("get", "a line that is too long");
    memcpy(bench.line + bench.line_length, at, taken);
    bench.line_length += (uint32_t)taken;
    if (end)
        take_line();
    return taken;
}

static size_t take_body_bytes(const char *at, size_t length)
{
    size_t taken = length < bench.body_left ? length : bench.body_left;
    uint32_t before = load.size + 2 - bench.body_left;

    if (before == 0)
        bench.run.wrong += (uint8_t)at[0] != bench.expected;
    if (before < load.size && before + taken >= load.size) {
        bench.run.wrong += (uint8_t)at[load.size - 1 - before] != bench.expected;
        bench.run.bytes += load.size;
    }
    bench.body_left -= (uint32_t)taken;
    return taken;
}

static void take(const char *at, size_t length)
{
    while (length > 0) {
        size_t taken = bench.body_left > 0 ? take_body_bytes(at, length) : take_line_bytes(at, length);
        at += taken;
        length -= taken;
    }
}

static void get_at_random(void)
{
    double end = bench.run.start + load.seconds;

    while (measure_now() < end) {
        if (bench.under_way < load.depth)
            send_gets(load.depth - bench.under_way);
        take(bench.buffer, receive(bench.buffer, sizeof(bench.buffer)));
    }
}

static const struct option options[] = {
    {"socket", required_argument, NULL, 'u'},
    IPC_LOAD_OPTIONS,
    {0},
};

static bool parse_options(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'u')
            bench.path = optarg;
        else if (!ipc_load_take(&load, option, optarg))
            return false;
    }
    return ipc_load_is_valid(&load) && load.size <= MAX_SIZE && optind == argc;
}

int main(int argc, char **argv)
{
    if (!parse_options(argc, argv) || !bench.path) {
        fprintf(stderr,
                "usage: bench_memcached --socket PATH [--depth N] [--size BYTES] [--keys N] [--seconds S]\n"
                "                       [--server PID]\n");
        return 2;
    }
    connect_to_server();
    set_all();
    measure_begin(&bench.run, load.server);
    get_at_random();
    measure_print(&bench.run, load.depth, load.size);
    close(bench.fd);
    return bench.run.wrong != 0;
}
