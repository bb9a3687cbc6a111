#include "spin.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Weights of what was just seen among what was seen before: a spin that found nothing counts most, because
 * it cost something; a sleep least, because it tells little. */
#define FOUND_WEIGHT    8
#define FAILED_WEIGHT   4
#define SLEPT_WEIGHT    16

#define LOOKS_PER_CLOCK 16
#define TWO_PROCESSORS  200u

void spin_setup(struct spin *spin, unsigned percent, unsigned room, int64_t now_ns)
{
    *spin = (struct spin){
        .percent = percent < 100 ? percent : 100, .room = room, .at_ns = now_ns, .pause_ns = SPIN_PAUSE_NS};
}

static int64_t between(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Time that passes earns its share; more than a window's is not saved up. */
static void earn(struct spin *spin, int64_t now_ns)
{
    int64_t most = SPIN_WINDOW_NS / 100 * (int64_t)spin->percent;
    int64_t passed = between(now_ns - spin->at_ns, 0, INT64_MAX / 200);
    int64_t earned = passed * (int64_t)spin->percent + spin->remainder;

    spin->at_ns = now_ns;
    spin->remainder = earned % 100;
    spin->credit_ns = spin->credit_ns + earned / 100 < most ? spin->credit_ns + earned / 100 : most;
}

int64_t spin_length(struct spin *spin, int64_t now_ns)
{
    if (spin->percent == 0 || spin->room < TWO_PROCESSORS)
        return 0;
    earn(spin, now_ns);
    int64_t length = between(2 * spin->usual_ns, SPIN_LEAST_NS, SPIN_MOST_NS);
    bool worth_it = spin->success >= SPIN_FULL / 2 && now_ns >= spin->paused_until_ns;

    return worth_it && spin->credit_ns >= length ? length : 0;
}

static void move_success(struct spin *spin, bool was_short, int weight)
{
    int32_t step = ((was_short ? SPIN_FULL : 0) - spin->success) / weight;

    if (step == 0)
        step = was_short ? 1 : -1;
    spin->success = (int32_t)between(spin->success + step, 0, SPIN_FULL);
}

static void move_usual(struct spin *spin, int64_t waited_ns)
{
    spin->usual_ns += (between(waited_ns, 0, SPIN_MOST_NS) - spin->usual_ns) / 4;
}

static void rest_a_while(struct spin *spin, int64_t now_ns)
{
    spin->paused_until_ns = now_ns + spin->pause_ns;
    spin->pause_ns = between(spin->pause_ns * 2, SPIN_PAUSE_NS, SPIN_MOST_PAUSE_NS);
}

/* After as much calm as the last pause was long, the next one is shorter. */
static void calm_down(struct spin *spin, int64_t now_ns)
{
    if (spin->pause_ns == SPIN_PAUSE_NS || now_ns - spin->paused_until_ns < spin->pause_ns / 2)
        return;
    spin->pause_ns = between(spin->pause_ns / 2, SPIN_PAUSE_NS, SPIN_MOST_PAUSE_NS);
    spin->paused_until_ns = now_ns;
}

bool spin_is_free(struct spin *spin, uint64_t displaced, int64_t now_ns)
{
    uint64_t times = displaced - spin->displaced;
    int64_t passed = between(now_ns - spin->displaced_at_ns, 0, INT64_MAX);
    bool is_free = times <= (uint64_t)(passed / SPIN_CALM_NS);

    spin->displaced = displaced;
    spin->displaced_at_ns = now_ns;
    if (is_free)
        calm_down(spin, now_ns);
    else
        rest_a_while(spin, now_ns);
    return is_free;
}

void spin_note(struct spin *spin, const struct spin_outcome *outcome, int64_t now_ns)
{
    bool overlong = outcome->took_ns > 2 * outcome->length_ns + SPIN_MOST_NS / 2;

    spin->spins++;
    spin->found += outcome->found;
    spin->spent_ns += outcome->took_ns;
    earn(spin, now_ns);
    spin->credit_ns -= outcome->took_ns;
    move_success(spin, outcome->found && !overlong, outcome->found ? FOUND_WEIGHT : FAILED_WEIGHT);
    if (outcome->found)
        move_usual(spin, outcome->took_ns);
    if (overlong)
        rest_a_while(spin, now_ns);
}

void spin_slept(struct spin *spin, int64_t waited_ns, bool spun)
{
    bool was_short = waited_ns <= SPIN_MOST_NS + SPIN_WAKE_NS;

    if (was_short)
        move_usual(spin, waited_ns);
    if (!spun) /* otherwise the spin has told */
        move_success(spin, was_short, SLEPT_WEIGHT);
}

unsigned spin_parse_quota(const char *text)
{
    char *after_quota, *after_period;
    unsigned long long quota = strtoull(text, &after_quota, 10);
    unsigned long long period = strtoull(after_quota, &after_period, 10);

    if (after_quota == text || after_period == after_quota || period == 0 || quota > UINT32_MAX)
        return UINT32_MAX;
    return (unsigned)between((int64_t)(quota * 100 / period), 0, UINT32_MAX - 1);
}

/* ---- what is asked of the system ---- */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Of the host, not of our affinity: who has a processor to himself may well look on it, and who shares it
 * with his peer is soon displaced. */
static unsigned host_room(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return processors > 0 ? 100 * (unsigned)processors : UINT32_MAX;
}

static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    bool any = file && fgets(line, size, file);

    if (file)
        fclose(file);
    return any;
}

/* The quota of each control group from the process's own up to the root: the least counts. */
static unsigned quota_room(void)
{
    char line[512], group[512], path[600];
    unsigned room = UINT32_MAX;

    if (!read_line("/proc/self/cgroup", line, sizeof(line)) || sscanf(line, "0::%511s", group) != 1)
        return room;
    for (;;) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", group);
        if (read_line(path, line, sizeof(line)))
            room = least(room, spin_parse_quota(line));
        char *end = strrchr(group, '/');
        if (!end)
            return room;
        *end = '\0';
    }
}

unsigned spin_room(void)
{
    return least(host_room(), quota_room());
}

static void rest_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* How often the kernel has given the processor to somebody else. */
static uint64_t times_displaced(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

bool spin_look(struct spin *spin, bool (*found)(void *context), void *context)
{
    int64_t began = clock_mono_ns(), now = began;
    struct spin_outcome outcome = {.length_ns = spin_length(spin, began)};

    if (outcome.length_ns == 0 || !spin_is_free(spin, times_displaced(), began))
        return false;
    while (!outcome.found && now - began < outcome.length_ns) {
        for (int i = 0; !outcome.found && i < LOOKS_PER_CLOCK; i++) {
            outcome.found = found(context);
            rest_a_moment();
        }
        now = clock_mono_ns();
    }
    outcome.took_ns = now - began;
    spin_note(spin, &outcome, now);
    return outcome.found;
}
