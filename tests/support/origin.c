/* origin.c: a small static file server, and the origin that tests script through query parameters.
 *
 * One thread; origin_server.h is its loop. Set-up in order, teardown reversed: see main(). */
#include "origin_body.h"
#include "origin_script.h"
#include "origin_server.h"
#include "origin_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct options {
    const char *listen, *root, *port_file, *pid_file, *certificate, *key;
    int64_t max_age;
};

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
          "trailer, nolength, length, noifrange, close, reset, drop, delay, rate, hold, hold_at, interim,\n"
          "interims, hint, early, garbage, raw, echo, by, gzip, self).\n"
          "/_control/stats counts, /_control/reset forgets, /_control/release?name=NAME opens a gate,\n"
          "/_control/close?name=NAME closes it again,\n"
          "/_control/version?n=N changes what is generated, /_control/fail?n=STATUS answers everything\n"
          "with that status until n=0, /_control/cut?n=N breaks off the next\n"
          "body after N bytes, /_control/last is the head of the last request as it was received.\n",
          to);
}

/* Prints a generated body, so that tests can know checksums without fetching. */
static _Noreturn void generate(const char *spec)
{
    char part[3][32] = {"", "0", "0"}, block[65536];
    int64_t number[3];

    if (sscanf(spec, "%31[^:]:%31[^:]:%31[^:]", part[0], part[1], part[2]) < 1)
        origin_die(ORIGIN_EXIT_USAGE, "--generate wants SIZE[:SEED[:VERSION]], not", spec);
    for (int i = 0; i < 3; i++)
        if ((number[i] = script_number(part[i])) < 0)
            origin_die(ORIGIN_EXIT_USAGE, "no such number", part[i]);
    for (int64_t at = 0; at < number[0]; at += (int64_t)sizeof(block)) {
        int64_t left = number[0] - at;
        size_t size = left < (int64_t)sizeof(block) ? (size_t)left : sizeof(block);

        body_generate(block, size, (uint64_t)number[1], (uint64_t)number[2], at);
        if (fwrite(block, 1, size, stdout) != size)
            origin_die(1, "cannot write", strerror(errno));
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
            origin_die(ORIGIN_EXIT_USAGE, "--max-age wants seconds, not", optarg);
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
            origin_die(ORIGIN_EXIT_USAGE, "unknown or incomplete option", "see --help");
    }
    if (!options->listen || optind < argc)
        origin_die(ORIGIN_EXIT_USAGE, "wrong usage",
                   "--listen ADDR:PORT is needed, and options only; see --help");
}

/* Readers see the whole number or no file: written beside it and renamed. */
static void write_number_file(const char *path, long number)
{
    char beside[4096];
    FILE *file;

    if (!path)
        return;
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        origin_die(1, path, strerror(ENAMETOOLONG));
    file = fopen(beside, "we");
    if (!file || fprintf(file, "%ld\n", number) < 0 || fclose(file) || rename(beside, path))
        origin_die(1, path, strerror(errno));
}

static void announce(const struct origin_server *server, const struct options *options)
{
    struct origin_address address;

    origin_server_address(server, &address);
    write_number_file(options->port_file, (long)script_number(address.port));
    write_number_file(options->pid_file, getpid());
    printf(address.family == AF_INET6 ? "listening [%s]:%s\n" : "listening %s:%s\n", address.host,
           address.port);
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
        origin_die(1, "signalfd", strerror(errno));
    return fd;
}

static void open_origin(struct origin_server *server, const struct options *options)
{
    *server = (struct origin_server){.conf = {.root = -1, .max_age = options->max_age}};
    if (options->root)
        server->conf.root = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (options->root && server->conf.root < 0)
        origin_die(ORIGIN_EXIT_USAGE, options->root, strerror(errno));
    if (options->certificate && !(server->tls = stream_tls_context(options->certificate, options->key)))
        origin_die(ORIGIN_EXIT_USAGE, options->certificate, "not a usable certificate and key");
    origin_raise_descriptor_limit();
    server->stop = open_signals();
    origin_server_open(server, options->listen);
}

static void close_origin(struct origin_server *server)
{
    origin_server_close(server);
    close(server->stop);
    SSL_CTX_free(server->tls);
    if (server->conf.root >= 0)
        close(server->conf.root);
}

int main(int argc, char **argv)
{
    struct options options;
    struct origin_server server;

    parse_options(&options, argc, argv);
    open_origin(&server, &options);
    announce(&server, &options);
    while (origin_server_turn(&server, origin_server_wait(&server)))
        ;
    close_origin(&server);
    stats_reset();
    if (options.port_file)
        unlink(options.port_file);
    if (options.pid_file)
        unlink(options.pid_file);
    return 0;
}
