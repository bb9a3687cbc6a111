/* doctor_cache.c: is the cache there, whose is it, does it answer, has it room for descriptors and proxies.
 */
#include "doctor_internal.h"

#include "counters.h"
#include "ctl_client.h"
#include "ctl_stats.h"
#include "doctor_proc.h"
#include "mq.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- presence ---- */

/* A process serves the instance, but its queue has no name here. */
static void explain_unnamed(struct doctor *doctor, pid_t pid, uid_t uid)
{
    struct report *report = &doctor->report;
    char user[USER_TEXT_BYTES], sudo[USER_TEXT_BYTES];
    enum same_namespace same = proc_same_namespace(pid, "ipc");
    const char *reason = strerror(errno);

    proc_user(uid, user);
    if (same == NAMESPACE_OTHER) {
        report_add(report, FINDING_FAIL, "cache",
                   "pid %d of uid %s serves this instance in another IPC namespace: its queue %s cannot be "
                   "seen from here",
                   (int)pid, user, doctor->queue_name);
        report_mend(
            report,
            "sudo nsenter --target %d --ipc --mount -- proxy_client --instance %s ...   # containers: "
            "docker run --ipc=container:NAME",
            (int)pid, doctor->instance);
    } else if (same == NAMESPACE_SAME) {
        report_add(report, FINDING_FAIL, "cache",
                   "pid %d of uid %s serves this instance, but its queue %s has no name: it is starting or "
                   "ending, or somebody has removed the name (RemoveIPC= in logind.conf does)",
                   (int)pid, user, doctor->queue_name);
        report_mend(report, "%skill %d; %scache_server --instance %s   # unless the name is back in a second",
                    proc_sudo(uid, sudo), (int)pid, sudo, doctor->instance);
    } else {
        report_add(report, FINDING_FAIL, "cache",
                   "pid %d of uid %s serves this instance, but there is no queue %s here: its namespaces "
                   "cannot be seen (%s), probably it lives in another IPC namespace",
                   (int)pid, user, doctor->queue_name, reason);
        report_mend(report, "sudo cache_ctl --instance %s doctor", doctor->instance);
    }
}

/* A living proxy of this instance, or NULL. */
static const struct name_view *living_proxy(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        if (view->token && strcmp(view->instance, doctor->instance) == 0 && view->state == NAME_ALIVE &&
            view->pool.known)
            return view;
    }
    return NULL;
}

/* Only a cache of the proxies' user, or of root, is trusted by them, and it serves its own user alone. */
static void explain_absent(struct doctor *doctor)
{
    uid_t uid = 0;
    pid_t pid = proc_find_cache(doctor->instance, 0, &uid);
    const struct name_view *proxy = living_proxy(doctor);
    char sudo[USER_TEXT_BYTES];

    if (pid) {
        explain_unnamed(doctor, pid, uid);
        return;
    }
    report_add(&doctor->report, FINDING_FAIL, "cache",
               "no cache serves this instance: there is no queue %s; proxies serve from their origins",
               doctor->queue_name);
    report_mend(&doctor->report, "%scache_server --instance %s",
                proc_sudo(proxy ? proxy->pool.uid : geteuid(), sudo), doctor->instance);
}

static void explain_unheld(struct doctor *doctor)
{
    const struct object_view *queue = &doctor->command->queue;
    char user[USER_TEXT_BYTES], sudo[USER_TEXT_BYTES];
    bool young = doctor->command->state == NAME_YOUNG;

    report_add(&doctor->report, FINDING_FAIL, "cache",
               "%snobody holds queue %s of uid %s, last used %" PRId64 " s ago%s%s",
               young ? "" : "the cache is dead: ", doctor->queue_name, proc_user(queue->uid, user),
               queue->age_s, young ? ": a cache is starting, or has just died" : "",
               queue->uid == geteuid() ? "" : "; no cache of another uid can take it over");
    report_mend(&doctor->report, "%scache_server --instance %s   # takes the queue over",
                proc_sudo(queue->uid, sudo), doctor->instance);
}

/* The process list may still tell whose it is. */
static void explain_unknown(struct doctor *doctor)
{
    char user[USER_TEXT_BYTES], sudo[USER_TEXT_BYTES];
    uid_t uid = (uid_t)-1;
    pid_t pid = proc_find_cache(doctor->instance, 0, &uid);

    if (pid && uid != (uid_t)-1) {
        report_add(&doctor->report, FINDING_FAIL, "cache",
                   "queue %s may not be opened by uid %u; it seems to be that of pid %d, which takes only "
                   "proxies of its own uid %s",
                   doctor->queue_name, (unsigned)geteuid(), (int)pid, proc_user(uid, user));
        report_mend(&doctor->report, "%sproxy_client --instance %s ...", proc_sudo(uid, sudo),
                    doctor->instance);
        return;
    }
    report_add(&doctor->report, FINDING_FAIL, "cache",
               "queue %s may not be opened by uid %u, so nothing more can be seen of its cache",
               doctor->queue_name, (unsigned)geteuid());
    report_mend(&doctor->report, "sudo cache_ctl --instance %s doctor", doctor->instance);
}

static void explain_alive(struct doctor *doctor)
{
    char user[USER_TEXT_BYTES];

    if (doctor->command->queue.hold == HOLD_ELSEWHERE)
        report_add(&doctor->report, FINDING_NOTE, "cache",
                   "alive in a pid namespace that cannot be seen from here, of uid %s: proxies ask for its "
                   "lock ten times a second to notice its death",
                   proc_user(doctor->user, user));
    else
        report_add(&doctor->report, FINDING_OK, "cache", "alive: pid %d of uid %s holds queue %s",
                   (int)doctor->cache_pid, proc_user(doctor->user, user), doctor->queue_name);
}

void check_presence(struct doctor *doctor)
{
    static void (*const explain[])(struct doctor *) = {
        [NAME_ABSENT] = explain_absent, [NAME_ALIVE] = explain_alive,     [NAME_YOUNG] = explain_unheld,
        [NAME_STALE] = explain_unheld,  [NAME_UNKNOWN] = explain_unknown, [NAME_STRANGE] = explain_unknown,
    };

    explain[doctor->command->state](doctor);
}

/* ---- permissions ---- */

static void check_owner(struct doctor *doctor)
{
    char owner[USER_TEXT_BYTES], self[USER_TEXT_BYTES], sudo[USER_TEXT_BYTES];
    uid_t uid = doctor->command->queue.uid;

    proc_user(uid, owner);
    if (uid == geteuid()) {
        report_add(&doctor->report, FINDING_OK, "user",
                   "queue %s is of this uid, %s: its proxies may register", doctor->queue_name, owner);
        return;
    }
    /* root may open the queue, but the cache takes only proxies of its own user. */
    report_add(&doctor->report, geteuid() == 0 ? FINDING_NOTE : FINDING_FAIL, "user",
               "queue %s is of uid %s: proxies of this uid, %s, are refused%s", doctor->queue_name, owner,
               proc_user(geteuid(), self),
               geteuid() == 0 ? ", unless they become that user with --user" : "");
    report_mend(&doctor->report, "%sproxy_client --instance %s ...", proc_sudo(uid, sudo), doctor->instance);
}

static void check_mode(struct doctor *doctor)
{
    const struct survey *survey = &doctor->survey;
    char sudo[USER_TEXT_BYTES];
    mode_t mode = doctor->command->queue.mode;
    bool mounted = survey->listing == LISTING_MOUNT;

    if (mode == 0600 || mode == 0620) /* the latter: the cache has a group */
        return;
    report_add(&doctor->report, (mode & 0600) == 0600 ? FINDING_WARN : FINDING_FAIL, "mode",
               "queue %s has mode %04o instead of 0600: %s", doctor->queue_name, (unsigned)mode,
               (mode & 0600) == 0600 ? "strangers may send to the cache or take its messages"
                                     : "proxies may not send to the cache");
    report_mend(&doctor->report, "%s%schmod 600 %s%s",
                mounted ? ""
                        : "sudo mkdir -p " NAMES_QUEUE_DIRECTORY
                          "; sudo mount -t mqueue none " NAMES_QUEUE_DIRECTORY "; ",
                proc_sudo(doctor->command->queue.uid, sudo), mounted ? survey->mount : NAMES_QUEUE_DIRECTORY,
                doctor->queue_name);
}

void check_permissions(struct doctor *doctor)
{
    if (!doctor_cache_lives(doctor) || !doctor->command->queue.known)
        return;
    check_owner(doctor);
    check_mode(doctor);
}

/* ---- answer ---- */

static void explain_no_name(struct doctor *doctor, const struct ctl_client *client)
{
    struct report *report = &doctor->report;

    report_add(report, FINDING_FAIL, "answer", "the cache was not asked: %s", client->problem);
    if (!client->endpoint.lacks_queue)
        report_mend(report, "sudo mount -o remount,size=1G " NAMES_SHM_DIRECTORY
                            "   # Docker: docker run --shm-size=1g");
    else if (client->error == -ENOSPC)
        report_mend(report, "sudo sysctl -w fs.mqueue.queues_max=1024");
    else if (client->error == -EMFILE)
        report_mend(report,
                    "ulimit -q unlimited   # as root, or LimitMSGQUEUE= in systemd; remove stale names");
}

static void explain_silence(struct doctor *doctor, const struct ctl_client *client)
{
    struct report *report = &doctor->report;
    char sudo[USER_TEXT_BYTES];
    char state = doctor->cache_pid ? proc_state(doctor->cache_pid) : '?';

    proc_sudo(doctor->user, sudo);
    if (state == 'T' || state == 't') {
        report_add(report, FINDING_FAIL, "answer", "the cache is stopped: pid %d does not run",
                   (int)doctor->cache_pid);
        report_mend(report, "%skill -CONT %d", sudo, (int)doctor->cache_pid);
        return;
    }
    report_add(report, FINDING_FAIL, "answer", "the cache is alive and does not answer: %s", client->problem);
    if (doctor->cache_pid)
        report_mend(report, "%skill %d; %scache_server --instance %s", sudo, (int)doctor->cache_pid, sudo,
                    doctor->instance);
}

static void explain_refusal(struct doctor *doctor, const struct ctl_client *client)
{
    struct report *report = &doctor->report;

    if (client->refusal == WIRE_REFUSAL_VERSION) {
        report_add(
            report, FINDING_FAIL, "protocol",
            "the cache speaks version %u, this program version %u: proxies of this release are refused",
            (unsigned)client->cache_version, (unsigned)WIRE_VERSION);
        report_mend(report,
                    "cache_server --version; proxy_client --version   # install one release, restart");
        return;
    }
    report_add(report, FINDING_FAIL, "registration", "refused: %s", client->problem);
    if (client->refusal == WIRE_REFUSAL_POOL || client->refusal == WIRE_REFUSAL_QUEUE)
        report_mend(report,
                    "docker run --ipc=container:NAME ...   # cache and proxies need one IPC namespace and "
                    "one " NAMES_SHM_DIRECTORY);
}

static void explain(struct doctor *doctor, const struct ctl_client *client, enum ctl_status status)
{
    if (client->error)
        explain_no_name(doctor, client);
    else if (client->refusal)
        explain_refusal(doctor, client);
    else if (status == CTL_NO_CACHE)
        explain_silence(doctor, client);
    else
        report_add(&doctor->report, FINDING_FAIL, "answer", "%s", client->problem);
}

static void keep_rows(struct doctor *doctor, struct ctl_client *client)
{
    doctor->rows = client->rows;
    doctor->row_count = client->row_count;
    client->rows = NULL;
}

static void ask(struct doctor *doctor)
{
    struct ctl_client client;
    struct wire_pong pong;
    int64_t answered_us;
    enum ctl_status status = ctl_open(&client, doctor->instance, doctor->options->timeout, NULL);

    if (status) {
        explain(doctor, &client, status);
        return;
    }
    status = ctl_ping(&client, &pong, &answered_us);
    if (!status) {
        report_add(&doctor->report, FINDING_OK, "answer", "in %" PRId64 " us; up %" PRIu64 " s", answered_us,
                   pong.uptime_ms / 1000);
        report_add(&doctor->report, FINDING_OK, "protocol", "version %u, as this program",
                   (unsigned)WIRE_VERSION);
        status = ctl_stats(&client);
    }
    if (!status)
        keep_rows(doctor, &client);
    else
        explain(doctor, &client, status);
    ctl_close(&client);
}

/* The cache answers only its own user, so root asks as that user. */
void check_answer(struct doctor *doctor)
{
    bool change = geteuid() == 0 && doctor->user != 0;

    if (!doctor_cache_lives(doctor) || (geteuid() != 0 && doctor->user != geteuid()))
        return;
    if (change && seteuid(doctor->user) < 0) {
        report_add(&doctor->report, FINDING_NOTE, "answer",
                   "the cache was not asked: this process may not become uid %u (%s)", (unsigned)doctor->user,
                   strerror(errno));
        return;
    }
    ask(doctor);
    if (change && seteuid(0) < 0)
        report_add(&doctor->report, FINDING_NOTE, "doctor", "cannot become root again (%s)", strerror(errno));
}

/* ---- what the statistics tell ---- */

static const struct wire_row *cache_row(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->row_count; i++) {
        if (doctor->rows[i].kind == WIRE_ROW_CACHE)
            return &doctor->rows[i];
    }
    return NULL;
}

static void explain_stalled(struct doctor *doctor, const struct wire_row *row)
{
    struct report *report = &doctor->report;
    char sudo[USER_TEXT_BYTES];
    char state = row->pid ? proc_state((pid_t)row->pid) : '?';

    report_add(report, FINDING_WARN, "proxy",
               "pid %" PRIu32 " of tenant %s is stalled: %s; it keeps its registration and is not served",
               row->pid, row->name,
               state == 'T' || state == 't' ? "it is stopped" : "the cache hears nothing from it");
    if (state == 'T' || state == 't')
        report_mend(report, "%skill -CONT %" PRIu32, proc_sudo((uid_t)row->uid, sudo), row->pid);
    else if (row->pid)
        report_mend(report, "%skill %" PRIu32 "   # and start it again", proc_sudo((uid_t)row->uid, sudo),
                    row->pid);
}

static bool is_registered(const struct doctor *doctor, pid_t pid)
{
    for (size_t i = 0; i < doctor->row_count; i++) {
        if (doctor->rows[i].kind == WIRE_ROW_PROXY && doctor->rows[i].pid == (uint32_t)pid)
            return true;
    }
    return false;
}

static void explain_other_user(struct doctor *doctor, const struct name_view *view)
{
    char theirs[USER_TEXT_BYTES], its[USER_TEXT_BYTES], sudo[USER_TEXT_BYTES];

    report_add(&doctor->report, FINDING_WARN, "proxy",
               "pid %d has a pool of uid %s, but the cache serves only uid %s, its own",
               (int)view->pool.holder, proc_user(view->pool.uid, theirs), proc_user(doctor->user, its));
    report_mend(&doctor->report, "%sproxy_client --instance %s ...   # or both as another user",
                proc_sudo(doctor->user, sudo), doctor->instance);
}

/* The cache counts pids of its own namespace; they can be compared where it has the pid that it tells. */
static void check_unregistered(struct doctor *doctor, const struct wire_row *cache)
{
    enum { PATIENCE_S = 5 }; /* a refused proxy tries again within 1.5 s */

    if (doctor->cache_pid == 0 || cache->pid != (uint32_t)doctor->cache_pid)
        return;
    for (size_t i = 0; i < doctor->survey.count; i++) {
        const struct name_view *view = &doctor->survey.names[i];
        if (!view->token || strcmp(view->instance, doctor->instance) != 0 || view->pool.hold != HOLD_PROCESS)
            continue;
        if (view->pool.known && view->pool.uid != doctor->user) {
            explain_other_user(doctor, view);
            continue;
        }
        if (view->pool.age_s < PATIENCE_S || is_registered(doctor, view->pool.holder))
            continue;
        report_add(&doctor->report, FINDING_WARN, "proxy",
                   "pid %d has a pool, but is not registered with the cache: its log and the cache's say why",
                   (int)view->pool.holder);
    }
}

void check_registrations(struct doctor *doctor)
{
    const struct wire_row *cache = cache_row(doctor);

    if (!cache)
        return;
    report_add(&doctor->report, FINDING_OK, "proxies",
               "%" PRIu64 " registered, %" PRIu64 " of them stalled; so far %" PRIu64 " died, %" PRIu64
               " were dropped, %" PRIu64 " faults were caught",
               ctl_gauge(cache, GAUGE_proxies), ctl_gauge(cache, GAUGE_stalled),
               ctl_value(cache, COUNTER_proxies_reclaimed), ctl_value(cache, COUNTER_proxies_dropped),
               ctl_value(cache, COUNTER_faults_caught));
    for (size_t i = 0; i < doctor->row_count; i++) {
        if (doctor->rows[i].kind == WIRE_ROW_PROXY && doctor->rows[i].state == WIRE_STATE_STALLED)
            explain_stalled(doctor, &doctor->rows[i]);
    }
    check_unregistered(doctor, cache);
}

#define LIMIT_TEXT_BYTES 24
static const char *limit_text(uint64_t limit, char out[LIMIT_TEXT_BYTES])
{
    if (limit == PARSE_UNLIMITED)
        return "unlimited";
    snprintf(out, LIMIT_TEXT_BYTES, "%" PRIu64, limit);
    return out;
}

static void judge_descriptors(struct doctor *doctor, uint64_t used, uint64_t shards, uint64_t soft,
                              uint64_t hard)
{
    enum { FOR_ONE_PROXY = 3 };
    char soft_text[LIMIT_TEXT_BYTES], hard_text[LIMIT_TEXT_BYTES], sudo[USER_TEXT_BYTES];
    enum finding_level level = used ? judge_room(used, soft, FOR_ONE_PROXY * shards) : FINDING_OK;

    limit_text(soft, soft_text);
    limit_text(hard, hard_text);
    if (used)
        report_add(&doctor->report, level, "descriptors",
                   "the cache has %" PRIu64 " open, may have %s (hard limit %s), three for each proxy%s",
                   used, soft_text, hard_text, shards > 1 ? " and shard" : "");
    else
        report_add(
            &doctor->report, level, "descriptors",
            "the cache may have %s open (hard limit %s), three for each proxy; how many it has is not known",
            soft_text, hard_text);
    if (level != FINDING_OK)
        report_mend(&doctor->report,
                    "%sprlimit --pid %d --nofile=65536:65536   # for good: LimitNOFILE= in systemd",
                    proc_sudo(hard < 65536 ? 0 : doctor->user, sudo), (int)doctor->cache_pid);
}

void check_descriptors(struct doctor *doctor)
{
    const struct wire_row *cache = cache_row(doctor);
    uint64_t soft, hard;

    if (doctor->cache_pid == 0)
        return;
    char *limits = proc_read_whole(doctor->cache_pid, "limits");
    if (limits && parse_limit(limits, "Max open files", &soft, &hard))
        judge_descriptors(doctor, cache ? ctl_gauge(cache, GAUGE_descriptors) : 0,
                          cache && ctl_gauge(cache, GAUGE_shards) > 0 ? ctl_gauge(cache, GAUGE_shards) : 1,
                          soft, hard);
    else
        report_add(&doctor->report, FINDING_NOTE, "descriptors", "the limits of pid %d cannot be seen (%s)",
                   (int)doctor->cache_pid, strerror(errno));
    free(limits);
}
