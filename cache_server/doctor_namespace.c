/* doctor_namespace.c: do cache and proxies see the same queues, the same shared memory, each other. The cache
 * is not dumpable, so other users, and its own, may not look at its namespaces; its mounts are open to all.
 */
#include "doctor_internal.h"

#include "doctor_proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *kind;
    enum finding_level level; /* when it is another one */
    const char *meaning;
} kinds[] = {
    {"ipc", FINDING_FAIL, "its queues cannot be seen from here"},
    {"pid", FINDING_NOTE, "pids in its log and statistics are others than here"},
    {"user", FINDING_NOTE, "uids in its log may be others than here"},
    {"mnt", FINDING_NOTE, "that matters only where " NAMES_SHM_DIRECTORY " differs"},
};

static void tell_unseen(struct doctor *doctor, int error)
{
    report_add(&doctor->report, FINDING_NOTE, "namespaces", "those of pid %d cannot be seen (%s)",
               (int)doctor->cache_pid, strerror(error));
    if (error == EACCES || error == EPERM)
        report_mend(&doctor->report, "sudo cache_ctl --instance %s doctor", doctor->instance);
}

void check_namespaces(struct doctor *doctor)
{
    bool same = true;

    if (doctor->cache_pid == 0)
        return;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        switch (proc_same_namespace(doctor->cache_pid, kinds[i].kind)) {
        case NAMESPACE_SAME:
            break;
        case NAMESPACE_OTHER:
            same = false;
            report_add(&doctor->report, kinds[i].level, "namespaces",
                       "pid %d lives in another %s namespace: %s", (int)doctor->cache_pid, kinds[i].kind,
                       kinds[i].meaning);
            break;
        case NAMESPACE_UNSEEN:
            tell_unseen(doctor, errno);
            return;
        }
    }
    if (same)
        report_add(&doctor->report, FINDING_OK, "namespaces", "ipc, pid, user and mnt are the cache's");
}

/* ---- /dev/shm ---- */

static bool shm_mount_of(pid_t pid, struct mount_info *mount)
{
    char *text = proc_read_whole(pid, "mountinfo");
    bool found = text && parse_mount(text, NAMES_SHM_DIRECTORY, mount);

    free(text);
    return found;
}

void check_shm_mount(struct doctor *doctor)
{
    struct mount_info ours, theirs;

    if (doctor->cache_pid == 0)
        return;
    if (!shm_mount_of(0, &ours) || !shm_mount_of(doctor->cache_pid, &theirs)) {
        report_add(&doctor->report, FINDING_NOTE, "shm mount",
                   "whether " NAMES_SHM_DIRECTORY " is the cache's cannot be seen");
        return;
    }
    if (ours.major == theirs.major && ours.minor == theirs.minor) {
        report_add(&doctor->report, FINDING_OK, "shm mount", NAMES_SHM_DIRECTORY " is the cache's");
        return;
    }
    report_add(&doctor->report, FINDING_FAIL, "shm mount",
               NAMES_SHM_DIRECTORY " is another mount (%u:%u) than the cache's (%u:%u): it cannot open the "
                                   "pools of proxies here",
               ours.major, ours.minor, theirs.major, theirs.minor);
    report_mend(&doctor->report,
                "sudo nsenter --target %d --mount -- proxy_client --instance %s ...   # containers: "
                "docker run --ipc=container:NAME",
                (int)doctor->cache_pid, doctor->instance);
}

/* ---- /proc ---- */

void check_hidden_processes(struct doctor *doctor)
{
    struct mount_info mount;
    char value[32];
    char *text = proc_read_whole(0, "mountinfo");
    bool found = text && parse_mount(text, "/proc", &mount);

    free(text);
    if (!found || !parse_option(mount.options, "hidepid", value, sizeof(value)) || strcmp(value, "0") == 0 ||
        strcmp(value, "off") == 0)
        return;
    report_add(&doctor->report, FINDING_NOTE, "hidepid",
               "/proc is mounted with hidepid=%s: processes of other users cannot be seen here; proxies and "
               "cache do not mind",
               value);
}

/* ---- peers of which only a half can be seen ---- */

/* endpoint_create() makes the pool first, endpoint_retire() removes the queue first, both at once: a living
 * peer that is older and has one of them alone has the other one elsewhere, or has lost its name. */
static void explain_half(struct doctor *doctor, const struct name_view *view)
{
    struct report *report = &doctor->report;
    bool has_pool = view->pool.there;
    const struct object_view *half = has_pool ? &view->pool : &view->queue;
    const char *missing = has_pool ? "queue" : "pool";
    enum same_namespace same =
        half->holder ? proc_same_namespace(half->holder, has_pool ? "ipc" : "mnt") : NAMESPACE_UNSEEN;
    char who[32] = "of a hidden pid namespace", sudo[USER_TEXT_BYTES];

    if (half->holder)
        snprintf(who, sizeof(who), "pid %d", (int)half->holder);
    if (same == NAMESPACE_OTHER) {
        report_add(report, FINDING_FAIL, "proxy",
                   "%s has its %s in another %s namespace: it cannot register with a cache here", who,
                   missing, has_pool ? "IPC" : "mount");
        report_mend(report, "docker run --ipc=container:NAME ...   # or start it beside the cache");
        return;
    }
    report_add(report, FINDING_WARN, "proxy",
               "%s: its %s has no name here: %s, or somebody has removed the name (RemoveIPC= in logind.conf "
               "does)",
               who, missing,
               has_pool ? "it lives in another IPC namespace" : "its " NAMES_SHM_DIRECTORY " is another");
    if (half->holder)
        report_mend(report, "%skill %d   # and start it again", proc_sudo(half->uid, sudo),
                    (int)half->holder);
}

void check_halves(struct doctor *doctor)
{
    enum { SETTLED_S = 2 };

    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        const struct object_view *half = view->pool.there ? &view->pool : &view->queue;
        if (view->token && view->state == NAME_ALIVE && view->pool.there != view->queue.there &&
            half->age_s >= SETTLED_S && strcmp(view->instance, doctor->instance) == 0)
            explain_half(doctor, view);
    }
}
