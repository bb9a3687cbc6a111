#include "doctor_report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const level_names[FINDING_LEVELS] = {"ok", "note", "WARN", "FAIL"};

static unsigned total(const struct report *report)
{
    unsigned sum = 0;

    for (int level = 0; level < FINDING_LEVELS; level++)
        sum += report->levels[level];
    return sum;
}

void report_add(struct report *report, enum finding_level level, const char *subject, const char *format, ...)
{
    va_list arguments;

    report->levels[level]++;
    if (total(report) > REPORT_MAX)
        return;
    struct finding *finding = &report->findings[report->count++];
    finding->level = level;
    snprintf(finding->subject, sizeof(finding->subject), "%s", subject);
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof(finding->text), format, arguments);
    va_end(arguments);
    finding->mend[0] = '\0';
}

void report_mend(struct report *report, const char *format, ...)
{
    va_list arguments;

    if (report->count == 0 || total(report) > REPORT_MAX)
        return;
    struct finding *finding = &report->findings[report->count - 1];
    va_start(arguments, format);
    vsnprintf(finding->mend, sizeof(finding->mend), format, arguments);
    va_end(arguments);
}

bool report_is_bad(const struct report *report)
{
    return report->levels[FINDING_WARN] + report->levels[FINDING_FAIL] > 0;
}

static const char *summary(const struct report *report)
{
    return report->levels[FINDING_FAIL]   ? "proxies cannot use this cache"
           : report->levels[FINDING_WARN] ? "it works, but see the warnings"
                                          : "all is well";
}

void report_print(const struct report *report, const char *instance)
{
    const unsigned *levels = report->levels;

    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->findings[i];
        printf("%-5s %-14s %s\n", level_names[finding->level], finding->subject, finding->text);
        if (finding->mend[0])
            printf("        mend: %s\n", finding->mend);
    }
    if (total(report) > report->count)
        printf("      and %u more\n", total(report) - (unsigned)report->count);
    printf("instance %s: %u ok, %u %s, %u %s, %u %s: %s\n", instance, levels[FINDING_OK],
           levels[FINDING_NOTE], levels[FINDING_NOTE] == 1 ? "note" : "notes", levels[FINDING_WARN],
           levels[FINDING_WARN] == 1 ? "warning" : "warnings", levels[FINDING_FAIL],
           levels[FINDING_FAIL] == 1 ? "failure" : "failures", summary(report));
}

static json_t *finding_json(const struct finding *finding)
{
    json_t *object = json_object();

    json_object_set_new(object, "level", json_string(level_names[finding->level]));
    json_object_set_new(object, "subject", json_string(finding->subject));
    json_object_set_new(object, "text", json_string(finding->text));
    json_object_set_new(object, "mend", finding->mend[0] ? json_string(finding->mend) : json_null());
    return object;
}

void report_print_json(const struct report *report, const char *instance)
{
    json_t *root = json_object(), *findings = json_array();

    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(findings, finding_json(&report->findings[i]));
    json_object_set_new(root, "instance", json_string(instance));
    json_object_set_new(root, "findings", findings);
    json_object_set_new(root, "ok", json_integer(report->levels[FINDING_OK]));
    json_object_set_new(root, "notes", json_integer(report->levels[FINDING_NOTE]));
    json_object_set_new(root, "warnings", json_integer(report->levels[FINDING_WARN]));
    json_object_set_new(root, "failures", json_integer(report->levels[FINDING_FAIL]));
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}
