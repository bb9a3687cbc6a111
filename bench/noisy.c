/* bench_noisy: what a tenant that scans costs one that stays within its reserve.
 *
 *     bench_noisy --instance NAME [--keys N] [--size BYTES] [--scan MIB] [--seconds S] [--depth N]
 *
 * beside a cache with room for both, such as
 *
 *     cache_server --instance NAME --memory 64M --tenant quiet:reserve=8M --tenant noisy:weight=1
 *
 * The tenant "quiet" stores N objects and looks them up at random, `depth` at a time: alone for S seconds,
 * then while a process of the tenant "noisy" looks up and stores objects that nobody asks for again, as fast
 * as it can, until it has stored so many MiB, and alone again. Prints hits and latencies of each, and the
 * ratios of the second to the first. */
#include "clock.h"
#include "larder.h"
#include "schedule.h"

#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH_MAX   32u
#define SAMPLES_MAX (1u << 24)

static struct {
    const char *instance;
    uint32_t keys, size, depth, scan_mib;
    double seconds;
} conf = {.instance = "default", .keys = 4000, .size = 1024, .depth = 1, .scan_mib = 640, .seconds = 3};

struct player {
    struct larder_client *client;
    const char *tenant;
    uint64_t random;
};

struct outcome {
    double p50, p99, hits; /* microseconds; share */
    uint32_t count;
};

static float *samples;

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_noisy: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void must(int error, const char *what)
{
    if (error != 0)
        give_up(what, strerror(-error));
}

/* With the short turns that a proxy asks for. */
static struct player join(const char *tenant)
{
    struct larder_options options = {.instance = conf.instance, .tenant = tenant};
    struct player player = {.tenant = tenant, .random = 1};
    char problem[512] = "";
    int error = larder_client_create(&player.client, &options, problem, sizeof(problem));

    if (error)
        give_up("client", problem);
    schedule_short_turns();
    return player;
}

static struct larder_event next_event(struct player *player)
{
    struct pollfd fd = {.fd = larder_client_fd(player->client), .events = POLLIN};
    struct larder_event event;

    while (!larder_client_next(player->client, &event)) {
        larder_client_flush(player->client);
        if (!larder_client_may_sleep(player->client))
            continue;
        if (poll(&fd, 1, 10000) <= 0)
            give_up("no answer", larder_client_problem(player->client));
        larder_client_wake(player->client);
    }
    return event;
}

static void attach(struct player *player)
{
    while (!larder_client_attached(player->client))
        next_event(player);
}

static uint32_t write_key(const struct player *player, struct larder_segment *segment, uint64_t number)
{
    return (uint32_t)snprintf((char *)segment->data, segment->size, "GET http://%s:80/%012" PRIu64,
                              player->tenant, number);
}

static void look_up(struct player *player, uint64_t number, uint32_t flags, uint64_t user)
{
    struct larder_segment *segment;

    must(larder_segment_borrow(player->client, &segment), "segment");
    must(larder_lookup(player->client, &segment, write_key(player, segment, number), flags,
                       (void *)(uintptr_t)user),
         "lookup");
}

static void fill(struct player *player, const struct larder_event *event, struct larder_segment **segment,
                 uint64_t number)
{
    struct larder_fill order = {.lease = event->lease,
                                .key_length = write_key(player, *segment, number),
                                .body_length = conf.size,
                                .object_size = conf.size,
                                .fresh_until = clock_wall_ms() + 3600000,
                                .keep_until = clock_wall_ms() + 3600000};

    memset((*segment)->data + order.key_length, 'x', conf.size);
    must(larder_fill_begin(player->client, &order, segment, NULL), "fill");
}

/* Looks up and stores the keys below `count`. */
static void store(struct player *player, uint64_t count)
{
    uint64_t asked = 0, done = 0;

    while (done < count) {
        while (asked < count && asked - done < DEPTH_MAX) {
            look_up(player, asked, LARDER_LOOKUP_LEASE, asked);
            asked++;
        }
        struct larder_event event = next_event(player);
        if (event.kind == LARDER_EVENT_LOOKUP && event.lease)
            fill(player, &event, &event.segment, (uint64_t)(uintptr_t)event.user);
        else
            done += event.kind == LARDER_EVENT_LOOKUP || event.kind == LARDER_EVENT_FILL_BEGIN;
        if (event.segment)
            larder_segment_return(player->client, &event.segment);
    }
}

static pid_t start_noise(void)
{
    pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    struct player noisy = join("noisy");
    attach(&noisy);
    store(&noisy, ((uint64_t)conf.scan_mib << 20) / conf.size);
    larder_client_destroy(&noisy.client);
    _exit(EXIT_SUCCESS);
}

static uint32_t next_key(struct player *player)
{
    player->random = player->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((player->random >> 33) % conf.keys);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static bool is_over(pid_t noise, int64_t end_ns)
{
    int status;

    if (noise == 0)
        return clock_mono_ns() >= end_ns;
    if (waitpid(noise, &status, WNOHANG) != noise)
        return false;
    if (status != 0)
        give_up("the noisy tenant", "failed");
    return true;
}

static void begin_one(struct player *player, int64_t *started, uint32_t slot)
{
    started[slot] = clock_mono_ns();
    look_up(player, next_key(player), 0, slot);
}

/* Until `noise` has ended; 0: for some seconds. */
static struct outcome load(struct player *player, pid_t noise)
{
    int64_t started[DEPTH_MAX], end = clock_mono_ns() + (int64_t)(conf.seconds * 1e9);
    uint32_t count = 0, hits = 0, under_way = 0;
    bool over = false;

    while (under_way < conf.depth)
        begin_one(player, started, under_way++);
    while (under_way > 0) {
        struct larder_event event = next_event(player);
        uint32_t slot = (uint32_t)(uintptr_t)event.user;

        hits += event.status == LARDER_HIT;
        samples[count % SAMPLES_MAX] = (float)((double)(clock_mono_ns() - started[slot]) / 1000);
        larder_segment_return(player->client, &event.segment);
        over = over || (count++ % 16 == 0 && is_over(noise, end));
        if (over)
            under_way--;
        else
            begin_one(player, started, slot);
    }
    uint32_t kept = count < SAMPLES_MAX ? count : SAMPLES_MAX;
    qsort(samples, kept, sizeof(*samples), by_size);
    return (struct outcome){.p50 = (double)samples[kept / 2],
                            .p99 = (double)samples[(uint32_t)((double)kept * 0.99)],
                            .hits = (double)hits / count,
                            .count = count};
}

static struct outcome report(const char *when, struct outcome outcome)
{
    printf("%-9s %9" PRIu32 " look-ups, hits %6.2f %%, p50 %7.1f us, p99 %7.1f us\n", when, outcome.count,
           100 * outcome.hits, outcome.p50, outcome.p99);
    fflush(stdout);
    return outcome;
}

static void run(void)
{
    struct player quiet = join("quiet");

    attach(&quiet);
    store(&quiet, conf.keys);
    load(&quiet, 0); /* warm */
    struct outcome before = report("alone", load(&quiet, 0));
    struct outcome during = report("beside", load(&quiet, start_noise()));
    report("alone", load(&quiet, 0));
    printf("p50 %.2f times, p99 %.2f times, hits %+.2f points\n", during.p50 / before.p50,
           during.p99 / before.p99, 100 * (during.hits - before.hits));
    larder_client_destroy(&quiet.client);
}

static const struct option options[] = {
    {"instance", required_argument, NULL, 'i'},
    {"keys", required_argument, NULL, 'k'},
    {"size", required_argument, NULL, 's'},
    {"scan", required_argument, NULL, 'm'},
    {"seconds", required_argument, NULL, 't'},
    {"depth", required_argument, NULL, 'd'},
    {0},
};

static bool parse(int argc, char **argv)
{
    uint32_t *numbers['t' + 1] = {
        ['k'] = &conf.keys, ['s'] = &conf.size, ['m'] = &conf.scan_mib, ['d'] = &conf.depth};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'i')
            conf.instance = optarg;
        else if (option == 't')
            conf.seconds = strtod(optarg, NULL);
        else if (option == '?')
            return false;
        else
            *numbers[option] = (uint32_t)strtoul(optarg, NULL, 10);
    }
    return optind == argc && conf.keys >= 1 && conf.depth >= 1 && conf.depth <= DEPTH_MAX &&
           conf.seconds > 0 && conf.size >= 1 && conf.size <= 32768;
}

int main(int argc, char **argv)
{
    samples = calloc(SAMPLES_MAX, sizeof(*samples));
    if (!samples || !parse(argc, argv)) {
        fprintf(stderr,
                "usage: bench_noisy --instance NAME [--keys N] [--size BYTES] [--scan MIB] [--seconds S] "
                "[--depth N]\n");
        return 2;
    }
    run();
    free(samples);
    return 0;
}
