/* origin.c: a small static file server, and the origin that tests script through query parameters.
 *
 * One thread, one epoll loop. Every client socket is registered once, edge-triggered, for both directions;
 * origin_conn.h has what happens on it. Set-up in order, teardown reversed: see main(). */
#include "origin_body.h"
#include "origin_conn.h"
#include "origin_script.h"
#include "origin_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define EVENTS       64
#define BACKLOG      1024
#define ACCEPT_BOUND 64
#define EXIT_USAGE   2

struct client {
    struct conn *conn;
    struct client *prev, *next;
};

struct origin {
    int epoll, listener, signals, spare;
    SSL_CTX *tls;
    struct origin_conf conf;
    struct client *clients;
    bool released;
};

struct options {
    const char *listen, *root, *port_file, *pid_file, *certificate, *key;
    int64_t max_age;
};

static _Noreturn void die(int status, const char *what, const char *detail)
{
    fprintf(stderr, "larder_origin: %s: %s\n", what, detail);
    exit(status);
}

static void usage(FILE *to)
{
    fputs("usage: larder_origin --listen ADDR:PORT [--root DIR] [--max-age SECONDS] [--tls CERTIFICATE KEY]\n"
          "                     [--port-file FILE] [--pid-file FILE]\n"
          "       larder_origin --generate SIZE[:SEED[:VERSION]]\n"
          "\n"
          "  --listen ADDR:PORT  where to serve; port 0 lets the kernel choose. When it is ready, a line\n"
          "                      \"listening ADDR:PORT\" is printed\n"
          "  --root DIR          serve the regular files below DIR (symbolic links are not followed)\n"
          "  --max-age SECONDS   add Cache-Control: max-age=SECONDS\n"
          "  --tls CERT KEY      serve HTTPS with this certificate (chain) and key, both PEM\n"
          "  --port-file FILE    write the port into FILE when ready\n"
          "  --pid-file FILE     write the process id into FILE when ready\n"
          "  --generate SPEC     print the body that ?size=SIZE&seed=SEED&version=VERSION gives, and end\n"
          "  --help              this text\n"
          "\n"
          "Query parameters script the response (size, seed, version, status, header, noheader, chunked,\n"
          "trailer, nolength, length, close, reset, drop, delay, rate, hold, hold_at, interim, interims,\n"
          "hint, early, garbage, raw, echo, by, gzip, self).\n"
          "/_control/stats counts, /_control/reset forgets, /_control/release?name=NAME opens a gate,\n"
          "/_control/close?name=NAME closes it again,\n"
          "/_control/version?n=N changes what is generated, /_control/fail?n=STATUS answers everything\n"
          "with that status until n=0, /_control/last is the head of the last request as it was received.\n",
          to);
}

/* Prints a generated body, so that tests can know checksums without fetching. */
static _Noreturn void generate(const char *spec)
{
    char part[3][32] = {"", "0", "0"}, block[65536];
    int64_t number[3];

    if (sscanf(spec, "%31[^:]:%31[^:]:%31[^:]", part[0], part[1], part[2]) < 1)
        die(EXIT_USAGE, "--generate wants SIZE[:SEED[:VERSION]], not", spec);
    for (int i = 0; i < 3; i++)
        if ((number[i] = script_number(part[i])) < 0)
            die(EXIT_USAGE, "no such number", part[i]);
    for (int64_t at = 0; at < number[0]; at += (int64_t)sizeof(block)) {
        int64_t left = number[0] - at;
        size_t size = left < (int64_t)sizeof(block) ? (size_t)left : sizeof(block);

        body_generate(block, size, (uint64_t)number[1], (uint64_t)number[2], at);
        if (fwrite(block, 1, size, stdout) != size)
            die(1, "cannot write", strerror(errno));
    }
    exit(fflush(stdout) ? 1 : 0);
}

/* ---- set-up ---- */

static void parse_options(struct options *options, int argc, char **argv)
{
    static const struct option table[] = {
        {"listen", required_argument, NULL, 'l'},
        {"root", required_argument, NULL, 'r'},
        {"max-age", required_argument, NULL, 'm'},
        {"tls", required_argument, NULL, 't'},
        {"port-file", required_argument, NULL, 'P'},
        {"pid-file", required_argument, NULL, 'p'},
        {"generate", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    *options = (struct options){.max_age = -1};
    while ((option = getopt_long(argc, argv, "", table, NULL)) >= 0) {
        if (option == 'l')
            options->listen = optarg;
        else if (option == 'r')
            options->root = optarg;
        else if (option == 'm' && (options->max_age = script_number(optarg)) < 0)
            die(EXIT_USAGE, "--max-age wants seconds, not", optarg);
        else if (option == 't' && optind < argc) {
            options->certificate = optarg;
            options->key = argv[optind++];
        } else if (option == 'P')
            options->port_file = optarg;
        else if (option == 'p')
            options->pid_file = optarg;
        else if (option == 'g')
            generate(optarg);
        else if (option == 'h') {
            usage(stdout);
            exit(0);
        } else if (option != 'm')
            die(EXIT_USAGE, "unknown or incomplete option", "see --help");
    }
    if (!options->listen || optind < argc)
        die(EXIT_USAGE, "wrong usage", "--listen ADDR:PORT is needed, and options only; see --help");
}

static struct addrinfo *resolve(const char *listen)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *address = strdup(listen), *host = address, *colon = address ? strrchr(address, ':') : NULL;
    int problem;

    if (!colon)
        die(EXIT_USAGE, "--listen wants ADDR:PORT, not", listen);
    *colon = '\0';
    if (*host == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        host++;
    }
    problem = getaddrinfo(host, colon + 1, &hints, &found);
    if (problem)
        die(EXIT_USAGE, listen, gai_strerror(problem));
    free(address);
    return found;
}

static int listen_on(const char *address)
{
    struct addrinfo *found = resolve(address);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        die(1, "socket", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, BACKLOG))
        die(1, address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

/* Readers see the whole number or no file: written beside it and renamed. */
static void write_number_file(const char *path, long number)
{
    char beside[4096];
    FILE *file;

    if (!path)
        return;
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        die(1, path, strerror(ENAMETOOLONG));
    file = fopen(beside, "we");
    if (!file || fprintf(file, "%ld\n", number) < 0 || fclose(file) || rename(beside, path))
        die(1, path, strerror(errno));
}

static void announce(const struct origin *origin, const struct options *options)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getsockname(origin->listener, (struct sockaddr *)&address, &size) ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV))
        die(1, "cannot tell the address", strerror(errno));
    write_number_file(options->port_file, (long)script_number(port));
    write_number_file(options->pid_file, getpid());
    printf(address.ss_family == AF_INET6 ? "listening [%s]:%s\n" : "listening %s:%s\n", host, port);
    fflush(stdout);
}

static int open_signals(void)
{
    sigset_t wanted;
    int fd;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        die(1, "signalfd", strerror(errno));
    return fd;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void watch(struct origin *origin, int fd, uint32_t events, void *tag)
{
    struct epoll_event event = {.events = events, .data.ptr = tag};

    if (epoll_ctl(origin->epoll, EPOLL_CTL_ADD, fd, &event))
        die(1, "epoll_ctl", strerror(errno));
}

static void open_origin(struct origin *origin, const struct options *options)
{
    *origin = (struct origin){.conf = {.root = -1, .max_age = options->max_age}};
    if (options->root)
        origin->conf.root = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (options->root && origin->conf.root < 0)
        die(EXIT_USAGE, options->root, strerror(errno));
    if (options->certificate && !(origin->tls = stream_tls_context(options->certificate, options->key)))
        die(EXIT_USAGE, options->certificate, "not a usable certificate and key");
    raise_descriptor_limit();
    origin->signals = open_signals();
    origin->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    origin->epoll = epoll_create1(EPOLL_CLOEXEC);
    origin->listener = listen_on(options->listen);
    watch(origin, origin->signals, EPOLLIN, &origin->signals);
    watch(origin, origin->listener, EPOLLIN, &origin->listener);
}

/* ---- clients ---- */

static void drop_client(struct origin *origin, struct client *client)
{
    DL_DELETE(origin->clients, client);
    conn_destroy(client->conn);
    free(client);
}

static void run_client(struct origin *origin, struct client *client, int64_t now)
{
    enum conn_wish wish = conn_run(client->conn, now);

    origin->released |= conn_took_release(client->conn);
    if (wish == CONN_OVER)
        drop_client(origin, client);
}

/* Without a free descriptor the connection is taken with the spare one and closed, so that it does not spin.
 */
static int accept_one(struct origin *origin)
{
    int fd = accept4(origin->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        close(origin->spare);
        fd = accept(origin->listener, NULL, NULL);
        if (fd >= 0)
            close(fd);
        origin->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        fd = -1;
    }
    return fd;
}

static void accept_clients(struct origin *origin)
{
    int fd, on = 1;

    for (int i = 0; i < ACCEPT_BOUND && (fd = accept_one(origin)) >= 0; i++) {
        struct client *client = calloc(1, sizeof(*client));

        if (!client)
            abort();
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        client->conn = conn_create(fd, origin->tls, &origin->conf);
        if (!client->conn) {
            free(client);
            continue;
        }
        DL_APPEND(origin->clients, client);
        watch(origin, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, client);
    }
}

static void client_event(struct origin *origin, struct client *client, uint32_t events, int64_t now)
{
    bool broken = events & (EPOLLHUP | EPOLLERR);

    if (broken || ((events & EPOLLRDHUP) && conn_client_left(client->conn) == CONN_OVER))
        drop_client(origin, client);
    else
        run_client(origin, client, now);
}

/* ---- loop ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int time_to_sleep(const struct origin *origin, int64_t now)
{
    int64_t first = INT64_MAX;

    for (const struct client *client = origin->clients; client; client = client->next) {
        int64_t at = conn_wake_at(client->conn);

        first = at < first ? at : first;
    }
    if (first == INT64_MAX)
        return -1;
    return first <= now ? 0 : (int)(first - now);
}

static void run_due(struct origin *origin, int64_t now)
{
    bool released = origin->released;

    origin->released = false;
    for (struct client *client = origin->clients, *next; client; client = next) {
        next = client->next;
        if (conn_wake_at(client->conn) <= now || (released && conn_is_held(client->conn)))
            run_client(origin, client, now);
    }
}

/* False when a signal asked for the end. */
static bool turn(struct origin *origin)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(origin->epoll, events, EVENTS, time_to_sleep(origin, now_ms()));
    int64_t now = now_ms();

    for (int i = 0; i < count; i++) {
        void *tag = events[i].data.ptr;

        if (tag == &origin->signals)
            return false;
        if (tag == &origin->listener)
            accept_clients(origin);
        else
            client_event(origin, tag, events[i].events, now);
    }
    run_due(origin, now);
    return true;
}

static void close_origin(struct origin *origin)
{
    while (origin->clients)
        drop_client(origin, origin->clients);
    close(origin->listener);
    close(origin->epoll);
    close(origin->spare);
    close(origin->signals);
    SSL_CTX_free(origin->tls);
    if (origin->conf.root >= 0)
        close(origin->conf.root);
}

int main(int argc, char **argv)
{
    struct options options;
    struct origin origin;

    parse_options(&options, argc, argv);
    open_origin(&origin, &options);
    announce(&origin, &options);
    while (turn(&origin))
        ;
    close_origin(&origin);
    stats_reset();
    if (options.port_file)
        unlink(options.port_file);
    if (options.pid_file)
        unlink(options.pid_file);
    return 0;
}
