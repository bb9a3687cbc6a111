#include "storm_report.h"

#include "size.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>

static void row(FILE *to, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void row(FILE *to, const char *name, const char *format, ...)
{
    va_list arguments;

    fprintf(to, "  %-34s ", name);
    va_start(arguments, format);
    vfprintf(to, format, arguments);
    va_end(arguments);
    fputc('\n', to);
}

static uint64_t sum(const struct report *report, size_t offset)
{
    const struct load_numbers *all[] = {report->warm, report->quiet, report->storm};
    uint64_t total = 0;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        total += *(const uint64_t *)(const void *)((const char *)all[i] + offset);
    return total;
}

#define SUM(report, member) sum(report, offsetof(struct load_numbers, member))

static double ms(int64_t nanoseconds)
{
    return (double)nanoseconds / 1e6;
}

static void print_harm(const struct report *report, FILE *to)
{
    const struct fleet_counts *counts = report->counts;

    row(to, "proxies killed", "%" PRIu64 "  (%.1f a second; %" PRIu64 " while frozen)", counts->kills,
        (double)counts->kills / report->seconds, counts->kills_frozen);
    row(to, "stalls", "%" PRIu64, counts->stalls);
    row(to, "terminations", "%" PRIu64, counts->terminations);
    row(to, "restarts", "%" PRIu64, counts->restarts);
    row(to, "cache kills", "%" PRIu64, counts->cache_kills);
}

static void print_answers(const struct report *report, FILE *to)
{
    row(to, "requests", "%" PRIu64 "  (%" PRIu64 " broke with a proxy that was killed or terminated)",
        SUM(report, requests), SUM(report, excused));
    row(to, "wrong bytes", "%" PRIu64, SUM(report, wrong_bytes));
    row(to, "broken responses, unharmed proxies", "%" PRIu64, SUM(report, broken));
}

static void print_account(const struct report *report, FILE *to)
{
    const struct inspection *found = &report->found;

    row(to, "lost names", "%u", found->lost_names + found->vanished_names + report->names_left);
    row(to, "leaked segments", "%u  (of %u in %u pools)", found->leaked_segments, found->segments,
        found->pools);
    row(to, "leaked pins, leases, pools", "%" PRId64 ", %" PRId64 ", %" PRId64 "  (%" PRId64 " bytes held)",
        found->pins, found->leases, found->leaked_pools, found->bytes_held);
    row(to, "leaked descriptors", "%d%s", found->leaked_descriptors,
        found->descriptors_known ? "" : "  (some are not visible to this user)");
}

static void print_memory_row(FILE *to, const char *name, int64_t before, int64_t after)
{
    char a[SIZE_TEXT_BYTES], b[SIZE_TEXT_BYTES];

    if (before <= 0 || after <= 0)
        row(to, name, "not visible");
    else
        row(to, name, "%s, %s  (%+.1f %%)", size_human((uint64_t)before, a), size_human((uint64_t)after, b),
            100 * ((double)after / (double)before - 1));
}

static void print_memory(const struct report *report, FILE *to)
{
    print_memory_row(to, "cache's resident memory", report->before.resident, report->after.resident);
    print_memory_row(to, "  without mapped pools and files", report->before.anonymous,
                     report->after.anonymous);
}

/* Nothing is known of it where nobody may have a real-time priority. */
static bool machine_is_known(const struct report *report)
{
    return report->storm_machine.late.count > 0;
}

static void print_reclaims_row(FILE *to, const char *name, const struct histogram *reclaims)
{
    row(to, name, "%.2f, %.2f, %.2f ms  (of %" PRIu64 " registered proxies)",
        ms(histogram_quantile(reclaims, 0.5)), ms(histogram_quantile(reclaims, 0.99)), ms(reclaims->max),
        reclaims->count);
}

static void print_reclaims(const struct report *report, FILE *to)
{
    const struct reclaims *reclaims = &report->reclaims;

    if (reclaims->times.count == 0) {
        row(to, "reclaim time", "no proxy was killed while known to be registered");
        return;
    }
    print_reclaims_row(to, "reclaim time p50, p99, max", &reclaims->times);
    if (machine_is_known(report))
        print_reclaims_row(to, "  less what the machine was away", &reclaims->present);
}

static void print_latency_row(FILE *to, const char *name, const struct histogram *storm,
                              const struct histogram *quiet, double share)
{
    double in_storm = ms(histogram_quantile(storm, share)), in_quiet = ms(histogram_quantile(quiet, share));

    if (quiet->count == 0)
        row(to, name, "%.3f ms", in_storm);
    else
        row(to, name, "%.3f ms; quiet run %.3f ms; ratio %.2f", in_storm, in_quiet, in_storm / in_quiet);
}

static void print_latency(const struct report *report, FILE *to)
{
    const struct load_numbers *storm = report->storm, *quiet = report->quiet;

    print_latency_row(to, "latency p50, unharmed proxies", &storm->latency, &quiet->latency, 0.5);
    print_latency_row(to, "latency p99, unharmed proxies", &storm->latency, &quiet->latency, 0.99);
    if (machine_is_known(report))
        print_latency_row(to, "  less what the machine was away", &storm->present, &quiet->present, 0.99);
    if (storm->witnesses_unserved + quiet->witnesses_unserved)
        row(to, "left out of these for want of time", "%" PRIu64 "; quiet run %" PRIu64,
            storm->witnesses_unserved, quiet->witnesses_unserved);
}

static void print_share(FILE *to, const char *name, double storm, double quiet, bool had_quiet)
{
    if (had_quiet)
        row(to, name, "%.0f %%; quiet run %.0f %%", 100 * storm, 100 * quiet);
    else
        row(to, name, "%.0f %%", 100 * storm);
}

/* What the times above have to be read with. */
static void print_machine(const struct report *report, FILE *to)
{
    const struct machine_use *storm = &report->storm_machine, *quiet = &report->quiet_machine;
    bool had_quiet = report->conf->quiet;
    double late = ms(histogram_quantile(&storm->late, 0.99));

    if (!isnan(storm->used)) {
        print_share(to, "processors' time used", storm->used, quiet->used, had_quiet);
        print_share(to, "  of it taken by the host", storm->stolen, quiet->stolen, had_quiet);
    }
    if (machine_is_known(report) && had_quiet)
        row(to, "a timer was late p99, max", "%.2f, %.2f ms; quiet run %.2f, %.2f ms", late,
            ms(storm->late.max), ms(histogram_quantile(&quiet->late, 0.99)), ms(quiet->late.max));
    else if (machine_is_known(report))
        row(to, "a timer was late p99, max", "%.2f, %.2f ms", late, ms(storm->late.max));
}

void report_print(const struct report *report, FILE *to)
{
    fprintf(to, "\n");
    print_harm(report, to);
    print_answers(report, to);
    print_account(report, to);
    print_memory(report, to);
    print_reclaims(report, to);
    print_latency(report, to);
    print_machine(report, to);
    row(to, "seed", "%" PRIu64, report->conf->seed);
}

bool report_is_good(const struct report *report)
{
    return report->problems == 0 && SUM(report, wrong_bytes) == 0 && SUM(report, broken) == 0 &&
           inspection_is_clean(&report->found) && report->names_left == 0 &&
           report->reclaims.outstanding == 0;
}
