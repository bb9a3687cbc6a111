#include "hostile_stage.h"

#include "identity.h"
#include "shm_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CORES       2
#define READY_S     30.0
#define CALM_S      20.0
#define ANSWER_MS   20000
#define STEP_MS     5
#define ASK_STEP_MS 100
#define FILL_S      1.0

static volatile sig_atomic_t interrupted;

static void clean_up(struct stage *stage);

static _Noreturn void give_up(struct stage *stage, const char *what, const char *why)
{
    fprintf(stderr, "bench_hostile: %s: %s\n", what, why);
    clean_up(stage);
    exit(2);
}

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

bool stage_interrupted(void)
{
    return interrupted != 0;
}

void stage_pause(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    while (!interrupted && nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static uint64_t deadline_in(double seconds)
{
    return now_ns() + (uint64_t)(seconds * 1e9);
}

/* ---- processes ---- */

/* The weight of this process's session among the others of the machine (sched(7), autogroup). */
static void take_priority(int priority)
{
    int fd = priority == 0 ? -1 : open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (dprintf(fd, "%d", priority) < 0)
        fprintf(stderr, "bench_hostile: --priority: %s\n", strerror(errno));
    close(fd);
}

/* A child in a session of its own that dies with us. */
static pid_t start(struct stage *stage)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid < 0)
        give_up(stage, "fork", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_DFL);
        setsid();
        take_priority(stage->options.priority);
    }
    return pid;
}

/* The cache_server beside this program. */
static _Noreturn void become_cache(char *instance, int out)
{
    char path[4096], option[] = "--instance", level[] = "--log-level", error[] = "error";
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof("cache_server"));
    char *slash = length > 0 ? memrchr(path, '/', (size_t)length) : NULL;

    if (!slash)
        _exit(127);
    memcpy(slash + 1, "cache_server", sizeof("cache_server"));
    dup2(out, STDOUT_FILENO);
    execv(path, (char *[]){path, option, instance, level, error, NULL});
    _exit(127);
}

static void start_cache(struct stage *stage)
{
    struct pollfd fd;
    int out[2];
    char line[16] = "";

    if (pipe2(out, O_CLOEXEC))
        give_up(stage, "pipe", strerror(errno));
    stage->cache = start(stage);
    if (stage->cache == 0)
        become_cache(stage->instance, out[1]);
    close(out[1]);
    fd = (struct pollfd){.fd = out[0], .events = POLLIN};
    if (poll(&fd, 1, ANSWER_MS) != 1 || read(out[0], line, sizeof(line) - 1) <= 0 ||
        strncmp(line, "ready", 5) != 0)
        give_up(stage, "cache_server", "does not get ready");
    close(out[0]);
}

/* Has it ended? It stays to be waited for, so that its number is nobody else's. */
static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

bool stage_cache_lives(const struct stage *stage)
{
    return !has_ended(stage->cache);
}

static void start_load(struct stage *stage, enum phase last_phase, const char *tenant)
{
    struct load_options options = {
        .instance = stage->instance,
        .tenant = tenant,
        .depth = stage->options.depth,
        .size = stage->options.size,
        .keys = stage->options.keys,
        .last_phase = last_phase,
    };
    uint32_t place = stage->load_count++;

    stage->loads[place] = start(stage);
    if (stage->loads[place] == 0)
        _exit(load_run(&options, stage->board, &stage->board->loads[place]));
}

static void start_loads(struct stage *stage)
{
    uint64_t deadline = deadline_in(READY_S);

    for (uint32_t i = 0; i < stage->options.victims; i++)
        start_load(stage, PHASE_ATTACK, TENANT_VICTIM);
    start_load(stage, PHASE_NEIGHBOUR, TENANT_NEIGHBOUR);
    for (uint32_t i = 0; i < stage->load_count; i++) {
        while (atomic_load(&stage->board->loads[i].attached) == 0) {
            if (now_ns() > deadline || has_ended(stage->loads[i]))
                give_up(stage, "load", "is not registered in time");
            poll(NULL, 0, STEP_MS);
        }
    }
}

double stage_cache_seconds(const struct stage *stage)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)stage->cache);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    /* The name in parentheses may hold anything; utime and stime are the 12th and 13th behind it (proc(5)).
     */
    char *at = strrchr(text, ')');
    for (int field = 0; at && field < 12; field++)
        at = strchr(at + 1, ' ');
    if (at) {
        user = strtoul(at, &at, 10);
        system = strtoul(at, NULL, 10);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- names ---- */

static bool is_dead(const char *name)
{
    pid_t pid;
    mqd_t queue;

    if (mq_open_existing(&queue, name, O_RDONLY))
        return true;
    bool dead = identity_holder(queue, &pid, NULL) == IDENTITY_UNLOCKED;
    mq_close(queue);
    return dead;
}

static void remove_queue(const char *instance, uint64_t token)
{
    char name[NAMES_BYTES];

    names_peer(name, instance, token);
    mq_unlink(name);
}

static void remove_name(const struct stage *stage, const char *file, bool all)
{
    char name[NAMES_BYTES], path[sizeof("/dev/shm/") + 256];
    uint64_t token;

    snprintf(path, sizeof(path), "/dev/shm/%s", file);
    if (names_peer_parse(file, stage->instance, &token)) {
        names_peer(name, stage->instance, token);
        if (!all && !is_dead(name))
            return;
        remove_queue(stage->instance, token);
    }
    if (remove(path) != 0 && errno != ENOENT)
        fprintf(stderr, "bench_hostile: %s: %s\n", path, strerror(errno));
}

/* Names of the attack's that nobody was there to remove, of whatever kind. The cache would find those that
 * are files within seconds; the next attack shall not wait for it. */
static void remove_names(const struct stage *stage, bool all)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    char prefix[NAMES_BYTES];

    for (unsigned i = 0; stage->board && i < ORPHANS_MAX; i++) {
        uint64_t token = atomic_exchange(&stage->board->orphans[i], 0);
        if (token)
            remove_queue(stage->instance, token);
    }
    snprintf(prefix, sizeof(prefix), "larder.%s.", stage->instance);
    while (directory && (entry = readdir(directory))) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            remove_name(stage, entry->d_name, all);
    }
    if (directory)
        closedir(directory);
}

/* Ends what runs, in whatever state, and removes every name. */
static void clean_up(struct stage *stage)
{
    const pid_t all[] = {stage->attack, stage->cache, stage->loads[0], stage->loads[1], stage->loads[2]};
    char name[NAMES_BYTES];

    for (unsigned i = 0; i < ROWS(all); i++) {
        if (all[i] > 0)
            kill(all[i] == stage->attack ? -all[i] : all[i], SIGKILL);
        if (all[i] > 0)
            waitpid(all[i], NULL, 0);
    }
    if (stage->instance[0] == '\0')
        return;
    remove_names(stage, true);
    names_command_queue(name, stage->instance);
    mq_unlink(name);
}

/* ---- attacks ---- */

static bool await_attack(const struct stage *stage)
{
    uint64_t deadline = deadline_in(READY_S);

    while (!atomic_load(&stage->board->under_attack)) {
        if (now_ns() > deadline || interrupted || has_ended(stage->attack))
            return false;
        poll(NULL, 0, STEP_MS);
    }
    return true;
}

bool stage_begin(struct stage *stage, const struct attack *attack)
{
    const struct hostile hostile = {stage->instance, stage->board, stage->options.keys};

    atomic_store(&stage->board->under_attack, 0);
    atomic_store(&stage->board->attacks, 0);
    stage->attack = start(stage);
    if (stage->attack == 0) {
        shm_guard_setup();
        attack->run(&hostile);
        _exit(0);
    }
    return await_attack(stage);
}

bool stage_end(struct stage *stage)
{
    bool lasted = !has_ended(stage->attack);

    kill(-stage->attack, SIGKILL); /* and what it has forked */
    waitpid(stage->attack, NULL, 0);
    stage->attack = 0;
    remove_names(stage, false);
    return lasted;
}

/* ---- rest ---- */

static bool all_idle(const struct stage *stage)
{
    for (uint32_t i = 0; i < stage->load_count; i++) {
        if (!atomic_load(&stage->board->loads[i].idle))
            return false;
    }
    return true;
}

bool stage_calm(struct stage *stage)
{
    uint64_t deadline = deadline_in(CALM_S);

    for (uint32_t i = 0; i < stage->load_count; i++)
        atomic_store(&stage->board->loads[i].idle, 0);
    atomic_store(&stage->board->phase, PHASE_IDLE);
    while (!all_idle(stage)) {
        if (now_ns() > deadline)
            return false;
        poll(NULL, 0, STEP_MS);
    }
    return true;
}

/* What the cache holds while the honest ones pause: their registrations, and ours that asks. The first gauge
 * that differs, or -1. */
static int differs(const struct stage *stage, const struct wire_row *row)
{
    const struct {
        enum gauge gauge;
        uint64_t value;
    } kept[] = {
        {GAUGE_proxies, stage->load_count},   {GAUGE_pins, 0},       {GAUGE_leases, 0},
        {GAUGE_pools, stage->load_count + 1}, {GAUGE_bytes_held, 0}, {GAUGE_descriptors, stage->descriptors},
    };

    for (unsigned i = 0; i < ROWS(kept); i++) {
        if (row->values[COUNTER_COUNT + kept[i].gauge] != kept[i].value)
            return (int)(COUNTER_COUNT + kept[i].gauge);
    }
    return -1;
}

void stage_await_rest(struct stage *stage, struct wire_row *row, char *problem, size_t size)
{
    uint64_t deadline = deadline_in(CALM_S);
    int place = -1;

    problem[0] = '\0';
    do {
        poll(NULL, 0, ASK_STEP_MS);
        if (!ask_numbers(stage->instance, row, ANSWER_MS)) {
            snprintf(problem, size, "no answer");
            return;
        }
        place = differs(stage, row);
    } while (place >= 0 && now_ns() < deadline);
    if (place >= 0)
        snprintf(problem, size, "%s %" PRIu64, counter_infos[place].name, row->values[place]);
    else if (row->pid != (uint32_t)stage->cache || row->epoch != stage->epoch)
        snprintf(problem, size, "another cache");
}

/* ---- life ---- */

static void keep_to_two_cores(struct stage *stage)
{
    cpu_set_t allowed, chosen;
    int count = 0;

    CPU_ZERO(&chosen);
    if (sched_getaffinity(0, sizeof(allowed), &allowed))
        give_up(stage, "sched_getaffinity", strerror(errno));
    for (int cpu = 0; cpu < CPU_SETSIZE && count < CORES; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_SET(cpu, &chosen);
            count++;
        }
    }
    if (sched_setaffinity(0, sizeof(chosen), &chosen))
        give_up(stage, "sched_setaffinity", strerror(errno));
}

/* What the cache has open at rest: taken once all else is as at rest and two askings agree, for a
 * registration that is about to come or go holds descriptors too. */
static void find_rest(struct stage *stage)
{
    uint64_t deadline = deadline_in(CALM_S);
    struct wire_row row;
    int place;

    do {
        poll(NULL, 0, ASK_STEP_MS);
        if (!ask_numbers(stage->instance, &row, ANSWER_MS))
            give_up(stage, "cache_server", "does not answer");
        if (now_ns() > deadline)
            give_up(stage, "cache_server", "does not come to rest");
        place = differs(stage, &row);
        stage->descriptors = row.values[COUNTER_COUNT + GAUGE_descriptors];
    } while (place >= 0);
    stage->epoch = row.epoch;
}

/* At rest with all of the loads' objects stored. */
static void fill_cache(struct stage *stage)
{
    atomic_store(&stage->board->phase, PHASE_NEIGHBOUR);
    stage_pause(FILL_S);
    if (!stage_calm(stage))
        give_up(stage, "loads", "do not come to rest");
    find_rest(stage);
}

void stage_set_up(struct stage *stage, const struct stage_options *options)
{
    struct sigaction action = {.sa_handler = on_interrupt};

    *stage = (struct stage){.options = *options};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    shm_guard_setup();
    keep_to_two_cores(stage);
    snprintf(stage->instance, sizeof(stage->instance), "hostile-%d", (int)getpid());
    stage->board =
        mmap(NULL, sizeof(*stage->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage->board == MAP_FAILED) {
        stage->board = NULL;
        give_up(stage, "mmap", strerror(errno));
    }
    atomic_store(&stage->board->slice, SLICE_NONE);
    start_cache(stage);
    start_loads(stage);
    fill_cache(stage);
}

bool stage_tear_down(struct stage *stage)
{
    bool lives = stage_cache_lives(stage);
    int status = 0;

    atomic_store(&stage->board->phase, PHASE_END);
    for (uint32_t i = 0; i < stage->load_count; i++) {
        waitpid(stage->loads[i], NULL, 0);
        stage->loads[i] = 0;
    }
    if (lives)
        kill(stage->cache, SIGTERM);
    waitpid(stage->cache, &status, 0);
    stage->cache = 0;
    clean_up(stage);
    munmap(stage->board, sizeof(*stage->board));
    return lives && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
