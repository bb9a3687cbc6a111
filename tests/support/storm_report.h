/* storm_report.h: the table at the end, and the verdict. */
#ifndef STORM_REPORT_H
#define STORM_REPORT_H

#include "storm_fleet.h"
#include "storm_inspect.h"
#include "storm_machine.h"

#include <stdio.h>

struct report {
    const struct storm_conf *conf;
    const struct load_numbers *warm, *quiet, *storm;
    const struct fleet_counts *counts;
    struct inspection found;
    struct memory before, after;
    struct reclaims reclaims;
    unsigned names_left; /* after everything had ended */
    double seconds;      /* of the storm */
    struct machine_use quiet_machine, storm_machine;
    unsigned problems;
};

void report_print(const struct report *report, FILE *to);
bool report_is_good(const struct report *report);

#endif
