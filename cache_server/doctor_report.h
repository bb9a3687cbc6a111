/* doctor_report.h: what cache_ctl doctor has found, in order: one line each, and what to type to mend it. */
#ifndef LARDER_DOCTOR_REPORT_H
#define LARDER_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>

enum finding_level {
    FINDING_OK,
    FINDING_NOTE, /* worth knowing, nothing is wrong */
    FINDING_WARN, /* it works, but something will not, or is left over */
    FINDING_FAIL, /* a proxy cannot use this cache */
    FINDING_LEVELS
};

struct finding {
    enum finding_level level;
    char subject[24];
    char text[512];
    char mend[320]; /* a command, or empty */
};

/* More findings than this are counted, not kept. */
#define REPORT_MAX 128

struct report {
    struct finding findings[REPORT_MAX];
    size_t count;
    unsigned levels[FINDING_LEVELS]; /* how many of each, with those that are not kept */
};

__attribute__((format(printf, 4, 5))) void report_add(struct report *report, enum finding_level level,
                                                      const char *subject, const char *format, ...);
/* What to type; belongs to the finding that was added last. */
__attribute__((format(printf, 2, 3))) void report_mend(struct report *report, const char *format, ...);

/* Is something wrong? Notes are not. */
bool report_is_bad(const struct report *report);

void report_print(const struct report *report, const char *instance);
void report_print_json(const struct report *report, const char *instance);

#endif
