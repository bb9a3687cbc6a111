/* doctor_leftovers.c: names that exist: whose they are, who left them, and removing what is provably dead. */
#include "doctor_internal.h"

#include "doctor_proc.h"
#include "endpoint.h"
#include "identity.h"
#include "mq.h"
#include "size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DETAILS_MAX       20 /* stale names that get a line of their own */

#define DESCRIPTION_BYTES 320

/* Who left it: the pid is the one that its process knew itself by. */
static void describe(const struct name_view *view, char out[DESCRIPTION_BYTES])
{
    const struct object_view *first = view->pool.there ? &view->pool : &view->queue;
    char name[NAMES_BYTES], user[USER_TEXT_BYTES], size[SIZE_TEXT_BYTES], maker[32] = "";

    survey_name(view, name);
    if (view->pool.creator)
        snprintf(maker, sizeof(maker), "pid %d of ", (int)view->pool.creator);
    snprintf(out, DESCRIPTION_BYTES, "%s (%s, %s), left by %suid %s, %s %" PRId64 " s ago", name,
             !view->token         ? "command queue of a dead cache"
             : !view->pool.there  ? "queue without a pool"
             : !view->queue.there ? "pool without a queue"
                                  : "pool and queue",
             size_human(view->pool.bytes + view->queue.bytes, size), maker, proc_user(first->uid, user),
             view->pool.there ? "made" : "last used", first->age_s);
}

static bool is_of_instance(const struct doctor *doctor, const struct name_view *view)
{
    return strcmp(view->instance, doctor->instance) == 0;
}

/* ---- removing ---- */

bool doctor_remove_command_queue(const char *instance, uint32_t shard)
{
    char name[NAMES_BYTES];
    struct stat status;
    mqd_t queue;

    names_shard_queue(name, instance, shard);
    if (mq_open_existing(&queue, name, O_RDWR))
        return false;
    bool ours = identity_lock(queue) == 0 && fstat(queue, &status) == 0 && status.st_uid == geteuid() &&
                S_ISREG(status.st_mode) && status.st_nlink > 0;
    bool removed = ours && mq_unlink(name) == 0;
    mq_close(queue);
    return removed;
}

static bool sweep(const struct name_view *view)
{
    char name[NAMES_BYTES];

    if (!view->token)
        return doctor_remove_command_queue(view->instance, view->shard);
    survey_name(view, name);
    return endpoint_sweep_peer(name);
}

static bool is_ours(const struct object_view *object)
{
    return !object->there || object->uid == geteuid();
}

void doctor_sweep(struct doctor *doctor)
{
    char text[DESCRIPTION_BYTES];
    unsigned removed = 0;

    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        if (view->state != NAME_STALE || !is_ours(&view->pool) || !is_ours(&view->queue) ||
            !(doctor->options->all_instances || is_of_instance(doctor, view)) || !sweep(view))
            continue;
        removed++;
        describe(view, text);
        if (removed <= DETAILS_MAX)
            report_add(&doctor->report, FINDING_OK, "swept", "removed %s", text);
    }
    if (removed > DETAILS_MAX)
        report_add(&doctor->report, FINDING_OK, "swept", "removed %u names in all", removed);
    else if (removed == 0)
        report_add(&doctor->report, FINDING_OK, "swept", "nothing to remove");
}

/* ---- reporting ---- */

void check_living(struct doctor *doctor)
{
    char pids[160] = "", size[SIZE_TEXT_BYTES];
    unsigned living = 0, hidden = 0;
    size_t length = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        pid_t pid = view->pool.holder ? view->pool.holder : view->queue.holder;
        if (!view->token || view->state != NAME_ALIVE || !is_of_instance(doctor, view))
            continue;
        living++;
        bytes += view->pool.bytes;
        if (pid == 0)
            hidden++;
        else if (length + 16 < sizeof(pids))
            length += (size_t)snprintf(pids + length, sizeof(pids) - length, " %d", (int)pid);
        else if (pids[length - 1] != '.')
            length += (size_t)snprintf(pids + length, sizeof(pids) - length, " ...");
    }
    report_add(&doctor->report, FINDING_OK, "living names", "%s%u %s with pools of %s%s%s%s",
               doctor_cache_lives(doctor) ? "the cache's queue, " : "", living,
               living == 1 ? "peer" : "peers", size_human(bytes, size), length ? ": pids" : "", pids,
               hidden ? "; some in a pid namespace that cannot be seen from here" : "");
}

static void tell_stale(struct doctor *doctor, const struct name_view *view)
{
    char text[DESCRIPTION_BYTES], sudo[USER_TEXT_BYTES], name[NAMES_BYTES];
    uid_t uid = view->pool.there ? view->pool.uid : view->queue.uid;
    bool lone_queue = view->token && !view->pool.there;

    describe(view, text);
    report_add(&doctor->report, FINDING_WARN, "stale name", "%s", text);
    survey_name(view, name);
    /* Its owner could not find it: only root lists queues without a mount. */
    if (lone_queue && uid != geteuid() && doctor->survey.listing == LISTING_PRIVATE)
        report_mend(&doctor->report,
                    "mkdir -p " NAMES_QUEUE_DIRECTORY "; mount -t mqueue none " NAMES_QUEUE_DIRECTORY
                    "; rm " NAMES_QUEUE_DIRECTORY "%s",
                    name);
    else
        report_mend(&doctor->report, "%scache_ctl --instance %s doctor --sweep", proc_sudo(uid, sudo),
                    view->instance);
}

static void tell_strange(struct doctor *doctor, const struct name_view *view)
{
    char name[NAMES_BYTES];

    survey_name(view, name);
    report_add(&doctor->report, FINDING_WARN, "strange name",
               NAMES_SHM_DIRECTORY "%s is no regular file: Larder did not make it", name);
    report_mend(&doctor->report, "sudo rm -r " NAMES_SHM_DIRECTORY "%s", name);
}

static void tell_unknown(struct doctor *doctor, unsigned unknown)
{
    if (unknown == 0)
        return;
    report_add(&doctor->report, FINDING_NOTE, "other names",
               "%u of this instance belong to others and may not be opened by uid %u: alive or stale, that "
               "cannot be seen",
               unknown, (unsigned)geteuid());
    report_mend(&doctor->report, "sudo cache_ctl --instance %s doctor", doctor->instance);
}

static void tell_others(struct doctor *doctor)
{
    char size[SIZE_TEXT_BYTES], sudo[USER_TEXT_BYTES];
    const struct object_view *first = NULL;
    unsigned stale = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        if (view->state != NAME_STALE || is_of_instance(doctor, view))
            continue;
        stale++;
        bytes += view->pool.bytes;
        if (!first)
            first = view->pool.there ? &view->pool : &view->queue;
    }
    if (!first)
        return;
    report_add(&doctor->report, FINDING_NOTE, "other names",
               "%u of other instances are stale, with pools of %s", stale, size_human(bytes, size));
    report_mend(&doctor->report, "%scache_ctl doctor --sweep --all-instances", proc_sudo(first->uid, sudo));
}

void check_stale(struct doctor *doctor)
{
    unsigned stale = 0, unknown = 0;

    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        if (!is_of_instance(doctor, view))
            continue;
        if (view->state == NAME_STALE && ++stale <= DETAILS_MAX)
            tell_stale(doctor, view);
        if (view->state == NAME_STRANGE)
            tell_strange(doctor, view);
        unknown += view->token && view->state == NAME_UNKNOWN;
    }
    if (stale > DETAILS_MAX)
        report_add(&doctor->report, FINDING_WARN, "stale name", "and %u more", stale - DETAILS_MAX);
    if (stale == 0)
        report_add(&doctor->report, FINDING_OK, "stale names", "none of this instance");
    tell_unknown(doctor, unknown);
    tell_others(doctor);
}
