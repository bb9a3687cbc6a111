#include "doctor.h"

#include "doctor_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* In the order of the report. check_answer() fetches the statistics that others read. */
static void (*const checks[])(struct doctor *) = {
    check_presence,    check_permissions, check_answer,           check_registrations, check_descriptors,
    check_namespaces,  check_shm_mount,   check_hidden_processes, check_halves,        check_queue_sizes,
    check_queue_count, check_queue_bytes, check_queue_listing,    check_shm,           check_remove_ipc,
    check_living,      check_stale,
};

static int look(struct doctor *doctor)
{
    int error = survey_take(&doctor->survey, doctor->instance);

    if (error)
        return error;
    doctor->command = survey_command(&doctor->survey, doctor->instance);
    doctor->cache_pid = doctor_cache_lives(doctor) ? doctor->command->queue.holder : 0;
    doctor->user = doctor->command->queue.known ? doctor->command->queue.uid : geteuid();
    return 0;
}

static int examine(struct doctor *doctor)
{
    int error = look(doctor);

    if (!error && doctor->options->sweep) {
        doctor_sweep(doctor);
        survey_release(&doctor->survey);
        error = look(doctor);
    }
    for (size_t i = 0; !error && i < sizeof(checks) / sizeof(*checks); i++)
        checks[i](doctor);
    return error;
}

int doctor_run(const struct doctor_options *options)
{
    struct doctor *doctor = calloc(1, sizeof(*doctor));
    int status = 1;

    if (!doctor) {
        fputs("cache_ctl: out of memory\n", stderr);
        return status;
    }
    doctor->options = options;
    doctor->instance = options->instance;
    names_command_queue(doctor->queue_name, options->instance);
    if (examine(doctor))
        report_add(&doctor->report, FINDING_FAIL, "doctor", "out of memory");
    if (options->json)
        report_print_json(&doctor->report, options->instance);
    else
        report_print(&doctor->report, options->instance);
    status = report_is_bad(&doctor->report) ? 1 : 0;
    survey_release(&doctor->survey);
    free(doctor->rows);
    free(doctor);
    return status;
}
