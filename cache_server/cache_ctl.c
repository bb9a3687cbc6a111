/* cache_ctl: asks a running cache by command message. A small client with a reply queue and a pool of its
 * own. */
#include "clock.h"
#include "counters.h"
#include "endpoint.h"
#include "log.h"
#include "size.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_REFUSED = 2, EXIT_NO_CACHE = 75 /* EX_TEMPFAIL, sysexits.h */ };

static const char help[] =
    "usage: cache_ctl [--instance NAME] [--timeout SECONDS] COMMAND\n"
    "\n"
    "Commands:\n"
    "  ping            is the cache there, and how fast does it answer\n"
    "  stats [--json]  numbers of the whole cache, each tenant and each live proxy\n"
    "\n"
    "  --instance NAME    which cache (default: default)\n"
    "  --timeout SECONDS  how long to wait for an answer (default: 5)\n"
    "  --version, --help\n"
    "\n"
    "Exit status: 0 done, 1 something failed, 2 refused or wrong usage, 75 the cache is not\n"
    "there or does not answer in time.\n";

struct control {
    const char *instance;
    double timeout;
    bool json;
    struct endpoint endpoint;
    int64_t deadline_ms;
    uint64_t registration;
    struct wire_row *rows;
    size_t row_count;
};

/* ---- talking to the cache ---- */

static const struct pool_shape shape = {.segments = 1, .segment_bytes = 65536, .ring_entries = POOL_MIN_RING};

static int complain(int status, const char *text)
{
    fprintf(stderr, "cache_ctl: %s\n", text);
    return status;
}

static int reach(struct control *control)
{
    if (endpoint_create(&control->endpoint, control->instance, &shape))
        return complain(EXIT_FAILED, control->endpoint.problem);
    enum endpoint_reach result = endpoint_reach(&control->endpoint);
    if (result == ENDPOINT_REACHED)
        return EXIT_DONE;
    endpoint_destroy(&control->endpoint);
    return complain(result == ENDPOINT_NO_CACHE ? EXIT_NO_CACHE : EXIT_REFUSED, control->endpoint.problem);
}

/* Waits for `events` on the queue, the cache's death or the deadline. */
static int wait_for(struct control *control, mqd_t queue, short events)
{
    struct pollfd fds[] = {{.fd = queue, .events = events},
                           {.fd = control->endpoint.cache_pidfd, .events = POLLIN}};
    int64_t left = control->deadline_ms - clock_mono_ms();

    int ready = left > 0 ? poll(fds, 2, (int)left) : 0;

    if (ready < 0)
        return complain(EXIT_FAILED, "interrupted");
    if (ready == 0)
        return complain(EXIT_NO_CACHE, "the cache does not answer in time; see --timeout");
    if (!(fds[0].revents) && fds[1].revents)
        return complain(EXIT_NO_CACHE, "the cache has just ended");
    return EXIT_DONE;
}

static int send(struct control *control, const union wire_message *message)
{
    for (;;) {
        int error = mq_send_message(control->endpoint.command, message, message->header.length);
        if (!error)
            return EXIT_DONE;
        if (error != -EAGAIN)
            return complain(EXIT_FAILED, strerror(-error));
        int status = wait_for(control, control->endpoint.command, POLLOUT);
        if (status)
            return status;
    }
}

/* Receives the answer of that type; a refusal is explained. */
static int receive(struct control *control, enum wire_type type, union wire_message *message)
{
    for (;;) {
        int status = wait_for(control, control->endpoint.reply, POLLIN);
        if (status)
            return status;
        int length = mq_receive_message(control->endpoint.reply, message);
        if (length < 0)
            continue;
        enum wire_decoded decoded = wire_decode(message, (size_t)length);
        if (decoded == WIRE_BAD_VERSION)
            return complain(EXIT_REFUSED, wire_refusal_text(WIRE_REFUSAL_VERSION));
        if (decoded != WIRE_DECODED)
            continue;
        if (message->header.type == WIRE_REFUSED && message->wire_refused.echo == control->endpoint.secret)
            return complain(EXIT_REFUSED, wire_refusal_text(message->wire_refused.reason));
        if (message->header.type == type)
            return EXIT_DONE;
    }
}

static int ask(struct control *control, const union wire_message *question, enum wire_type type,
               union wire_message *reply)
{
    int status = send(control, question);

    return status ? status : receive(control, type, reply);
}

static int run_ping(struct control *control)
{
    union wire_message question, reply;
    int64_t start = clock_mono_us();

    wire_prepare(&question, WIRE_PING, control->endpoint.token);
    question.wire_ping.cookie = control->endpoint.secret;
    int status = ask(control, &question, WIRE_PONG, &reply);
    if (status)
        return status;
    printf("instance %s: alive, pid %" PRIu32 ", up %" PRIu64 " s, epoch %016" PRIx64 ", answered in %" PRId64
           " us\n",
           control->instance, reply.wire_pong.pid, reply.wire_pong.uptime_ms / 1000, reply.wire_pong.epoch,
           clock_mono_us() - start);
    return EXIT_DONE;
}

/* ---- statistics: fetching ---- */

static int register_admin(struct control *control)
{
    union wire_message reply;
    int error;

    while ((error = endpoint_hello(&control->endpoint, WIRE_ROLE_ADMIN, NAMES_DEFAULT)) == -EAGAIN) {
        int status = wait_for(control, control->endpoint.command, POLLOUT);
        if (status)
            return status;
    }
    if (error)
        return complain(EXIT_FAILED, strerror(-error));
    int status = receive(control, WIRE_WELCOME, &reply);
    if (!status)
        control->registration = reply.wire_welcome.registration;
    return status;
}

static int take_rows(struct control *control, uint32_t count)
{
    struct segment_pool *pool = &control->endpoint.pool;

    if (count > pool->shape.segment_bytes / sizeof(struct wire_row) || !segment_win_read(pool, 0))
        return complain(EXIT_FAILED, "the cache answered without statistics");
    struct wire_row *rows = realloc(control->rows, (control->row_count + count + 1) * sizeof(*rows));
    if (!rows)
        return complain(EXIT_FAILED, "out of memory");
    memcpy(rows + control->row_count, segment_payload(pool, 0), count * sizeof(*rows));
    control->rows = rows;
    control->row_count += count;
    segment_post_write(pool, 0);
    return EXIT_DONE;
}

static int fetch_rows(struct control *control)
{
    union wire_message question, reply;
    uint32_t cursor = 0;

    do {
        wire_prepare(&question, WIRE_STATS, control->endpoint.token);
        question.wire_stats.registration = control->registration;
        question.wire_stats.secret = control->endpoint.secret;
        question.wire_stats.cursor = cursor;
        int status = ask(control, &question, WIRE_STATS_ROWS, &reply);
        if (!status)
            status = take_rows(control, reply.wire_stats_rows.rows);
        if (status)
            return status;
        cursor = reply.wire_stats_rows.next_cursor;
    } while (cursor != 0);
    for (size_t i = 0; i < control->row_count; i++)
        control->rows[i].name[sizeof(control->rows[i].name) - 1] = '\0';
    return EXIT_DONE;
}

/* ---- statistics: JSON ---- */

static const char *state_name(uint32_t state)
{
    return state == WIRE_STATE_ALIVE ? "alive" : state == WIRE_STATE_STALLED ? "stalled" : "unknown";
}

static void json_number(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void json_values(json_t *object, const struct wire_row *row, unsigned scope)
{
    for (unsigned i = 0; i < COUNTER_COUNT + GAUGE_COUNT; i++) {
        if (counter_infos[i].scopes & scope)
            json_number(object, counter_infos[i].name, row->values[i]);
    }
}

/* As text: a JSON reader may keep numbers in 53 bits. */
static void json_id(json_t *object, const char *name, uint64_t value)
{
    char text[17];

    snprintf(text, sizeof(text), "%016" PRIx64, value);
    json_object_set_new(object, name, json_string(text));
}

static json_t *json_cache(const struct wire_row *row)
{
    json_t *object = json_object();

    json_object_set_new(object, "instance", json_string(row->name));
    json_number(object, "pid", row->pid);
    json_number(object, "uid", row->uid);
    json_id(object, "epoch", row->epoch);
    json_number(object, "protocol", WIRE_VERSION);
    json_object_set_new(object, "uptime_seconds", json_real((double)row->uptime_ms / 1000));
    json_values(object, row, COUNTER_SCOPE_CACHE);
    return object;
}

static json_t *json_tenant(const struct wire_row *row)
{
    json_t *object = json_object();

    json_object_set_new(object, "name", json_string(row->name));
    json_values(object, row, COUNTER_SCOPE_TENANT);
    return object;
}

static json_t *json_proxy(const struct wire_row *row)
{
    json_t *object = json_object();

    json_number(object, "pid", row->pid);
    json_number(object, "uid", row->uid);
    json_object_set_new(object, "tenant", json_string(row->name));
    json_object_set_new(object, "state", json_string(state_name(row->state)));
    json_id(object, "registration", row->epoch);
    json_object_set_new(object, "uptime_seconds", json_real((double)row->uptime_ms / 1000));
    json_values(object, row, COUNTER_SCOPE_PROXY);
    return object;
}

static void print_json(const struct control *control)
{
    json_t *root = json_object(), *tenants = json_array(), *proxies = json_array();

    for (size_t i = 0; i < control->row_count; i++) {
        const struct wire_row *row = &control->rows[i];
        if (row->kind == WIRE_ROW_CACHE)
            json_object_set_new(root, "cache", json_cache(row));
        else if (row->kind == WIRE_ROW_TENANT)
            json_array_append_new(tenants, json_tenant(row));
        else if (row->kind == WIRE_ROW_PROXY)
            json_array_append_new(proxies, json_proxy(row));
    }
    json_object_set_new(root, "tenants", tenants);
    json_object_set_new(root, "proxies", proxies);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

/* ---- statistics: tables ---- */

static uint64_t value_of(const struct wire_row *row, enum counter counter)
{
    return row->values[counter];
}

static uint64_t gauge_of(const struct wire_row *row, enum gauge gauge)
{
    return row->values[COUNTER_COUNT + gauge];
}

static double hit_percent(const struct wire_row *row)
{
    uint64_t hits = value_of(row, COUNTER_hits);
    uint64_t all = hits + value_of(row, COUNTER_stale) + value_of(row, COUNTER_misses);

    return all ? 100.0 * (double)hits / (double)all : 0;
}

static void print_cache(const struct wire_row *row)
{
    char used[SIZE_TEXT_BYTES], allowed[SIZE_TEXT_BYTES], served[SIZE_TEXT_BYTES], filled[SIZE_TEXT_BYTES];

    printf("instance %s   pid %" PRIu32 "   up %" PRIu64 " s   epoch %016" PRIx64 "\n", row->name, row->pid,
           row->uptime_ms / 1000, row->epoch);
    printf("  memory   %s of %s in %" PRIu64 " objects\n", size_human(gauge_of(row, GAUGE_bytes_used), used),
           size_human(gauge_of(row, GAUGE_bytes_allowed), allowed), gauge_of(row, GAUGE_objects));
    printf("  lookups  %" PRIu64 " hits, %" PRIu64 " stale, %" PRIu64 " misses (%.1f %% hits)\n",
           value_of(row, COUNTER_hits), value_of(row, COUNTER_stale), value_of(row, COUNTER_misses),
           hit_percent(row));
    printf("  bytes    %s served, %s filled\n", size_human(value_of(row, COUNTER_bytes_served), served),
           size_human(value_of(row, COUNTER_bytes_filled), filled));
    printf("  objects  %" PRIu64 " fills, %" PRIu64 " aborted, %" PRIu64 " evicted, %" PRIu64 " expired\n",
           value_of(row, COUNTER_fills), value_of(row, COUNTER_fill_aborts), value_of(row, COUNTER_evictions),
           value_of(row, COUNTER_expired));
    printf("  proxies  %" PRIu64 " live, %" PRIu64 " registrations, %" PRIu64 " reclaimed, %" PRIu64
           " dropped, %" PRIu64 " faults caught\n",
           gauge_of(row, GAUGE_proxies), value_of(row, COUNTER_registrations),
           value_of(row, COUNTER_proxies_reclaimed), value_of(row, COUNTER_proxies_dropped),
           value_of(row, COUNTER_faults_caught));
}

static void print_tenant(const struct wire_row *row)
{
    char used[SIZE_TEXT_BYTES], allowed[SIZE_TEXT_BYTES], served[SIZE_TEXT_BYTES];

    printf("%-16s %7" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %6.1f %9" PRIu64 " %9" PRIu64
           " %10s %10s %10s\n",
           row->name, gauge_of(row, GAUGE_proxies), value_of(row, COUNTER_hits),
           value_of(row, COUNTER_misses), value_of(row, COUNTER_fills), hit_percent(row),
           value_of(row, COUNTER_evictions), gauge_of(row, GAUGE_objects),
           size_human(gauge_of(row, GAUGE_bytes_used), used),
           size_human(gauge_of(row, GAUGE_bytes_allowed), allowed),
           size_human(value_of(row, COUNTER_bytes_served), served));
}

static void print_proxy(const struct wire_row *row)
{
    char served[SIZE_TEXT_BYTES];

    printf("%-8" PRIu32 " %6" PRIu32 " %-16s %-8s %8" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64
           " %6" PRIu64 " %10s\n",
           row->pid, row->uid, row->name, state_name(row->state), row->uptime_ms / 1000,
           value_of(row, COUNTER_hits), value_of(row, COUNTER_misses), value_of(row, COUNTER_fills),
           gauge_of(row, GAUGE_pins), size_human(value_of(row, COUNTER_bytes_served), served));
}

static void print_kind(const struct control *control, uint32_t kind, const char *heading,
                       void (*print)(const struct wire_row *))
{
    puts(heading);
    for (size_t i = 0; i < control->row_count; i++) {
        if (control->rows[i].kind == kind)
            print(&control->rows[i]);
    }
}

static void print_tables(const struct control *control)
{
    for (size_t i = 0; i < control->row_count; i++) {
        if (control->rows[i].kind == WIRE_ROW_CACHE)
            print_cache(&control->rows[i]);
    }
    print_kind(control, WIRE_ROW_TENANT,
               "\ntenant           proxies       hits     misses      fills  hit %   evicted   objects       "
               "used    "
               "allowed     served",
               print_tenant);
    print_kind(control, WIRE_ROW_PROXY,
               "\nproxy       uid tenant           state         up s       hits     misses      fills   "
               "pins     served",
               print_proxy);
}

static int run_stats(struct control *control)
{
    int status = register_admin(control);

    if (!status)
        status = fetch_rows(control);
    if (!status) {
        if (control->json)
            print_json(control);
        else
            print_tables(control);
    }
    if (control->registration)
        (void)endpoint_bye(&control->endpoint, control->registration);
    free(control->rows);
    return status;
}

/* ---- command line ---- */

enum { OPTION_INSTANCE = 1, OPTION_TIMEOUT, OPTION_JSON, OPTION_VERSION, OPTION_HELP };

static const struct option options[] = {
    {"instance", required_argument, NULL, OPTION_INSTANCE},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"json", no_argument, NULL, OPTION_JSON},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static int set_timeout(struct control *control, const char *text)
{
    char *end;

    control->timeout = strtod(text, &end);
    if (end != text && *end == '\0' && isfinite(control->timeout) && control->timeout > 0 &&
        control->timeout <= 3600)
        return -1;
    return complain(EXIT_REFUSED, "--timeout: not a number of seconds between 0 and 3600");
}

static int apply(struct control *control, int option)
{
    switch (option) {
    case OPTION_INSTANCE:
        control->instance = optarg;
        if (names_instance_valid(optarg))
            return -1;
        return complain(EXIT_REFUSED, "--instance: 1 to 32 letters, digits, '-' or '_' are allowed");
    case OPTION_TIMEOUT:
        return set_timeout(control, optarg);
    case OPTION_JSON:
        control->json = true;
        return -1;
    case OPTION_VERSION:
        puts("cache_ctl (larder) " LARDER_VERSION);
        return EXIT_DONE;
    case OPTION_HELP:
        fputs(help, stdout);
        return EXIT_DONE;
    default: /* getopt has said what is wrong */
        return complain(EXIT_REFUSED, "try --help");
    }
}

static const struct command {
    const char *name;
    int (*run)(struct control *);
    bool json;
} commands[] = {{"ping", run_ping, false}, {"stats", run_stats, true}};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* -1 to go on, else the exit status. */
static int parse(struct control *control, int argc, char **argv, const struct command **command)
{
    int option, status = -1;

    while (status < 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
        status = apply(control, option);
    if (status >= 0)
        return status;
    if (optind != argc - 1)
        return complain(EXIT_REFUSED, "exactly one command is needed; try --help");
    *command = find_command(argv[optind]);
    if (!*command)
        return complain(EXIT_REFUSED, "unknown command; try --help");
    if (control->json && !(*command)->json)
        return complain(EXIT_REFUSED, "--json goes with stats");
    return -1;
}

/* SIGINT and SIGTERM interrupt the wait for an answer, so that our names are removed on the way out. */
static void on_signal(int number)
{
    (void)number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int serve(struct control *control, const struct command *command)
{
    int status;

    catch_signals();
    log_set_level("error");
    endpoint_sweep(control->instance, NULL, NULL);
    status = reach(control);
    if (status)
        return status;
    control->deadline_ms = clock_mono_ms() + (int64_t)(control->timeout * 1000);
    status = command->run(control);
    endpoint_destroy(&control->endpoint);
    if (fflush(stdout) != 0)
        return complain(EXIT_FAILED, "cannot write the answer to standard output");
    return status;
}

int main(int argc, char **argv)
{
    struct control control = {.instance = NAMES_DEFAULT, .timeout = 5};
    const struct command *command = NULL;

    log_setup("cache_ctl");
    int status = parse(&control, argc, argv, &command);
    return status >= 0 ? status : serve(&control, command);
}
