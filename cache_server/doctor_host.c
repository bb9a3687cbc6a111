/* doctor_host.c: limits of queues and of /dev/shm, and who may delete names. */
#include "doctor_internal.h"

#include "doctor_proc.h"
#include "mq.h"
#include "size.h"

#include <glob.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MQUEUE_SYSCTL "/proc/sys/fs/mqueue/"

/* ---- queues ---- */

static void judge_sysctl(struct doctor *doctor, const char *name, uint64_t value, uint64_t needed)
{
    if (value >= needed)
        return;
    report_add(&doctor->report, FINDING_FAIL, "queue sizes",
               "fs.mqueue.%s is %" PRIu64 ", Larder needs %" PRIu64 "; only root may exceed it", name, value,
               needed);
    report_mend(&doctor->report, "sudo sysctl -w fs.mqueue.%s=%" PRIu64, name, needed);
}

void check_queue_sizes(struct doctor *doctor)
{
    uint64_t messages, bytes;

    if (!proc_number(MQUEUE_SYSCTL "msg_max", &messages) ||
        !proc_number(MQUEUE_SYSCTL "msgsize_max", &bytes)) {
        report_add(&doctor->report, FINDING_NOTE, "queue sizes",
                   "limits of queues cannot be read: /proc/sys is hidden, or the kernel has no "
                   "CONFIG_POSIX_MQUEUE");
        return;
    }
    judge_sysctl(doctor, "msg_max", messages, MQ_COMMAND_DEPTH);
    judge_sysctl(doctor, "msgsize_max", bytes, MQ_MESSAGE_BYTES);
    if (messages >= MQ_COMMAND_DEPTH && bytes >= MQ_MESSAGE_BYTES)
        report_add(&doctor->report, FINDING_OK, "queue sizes",
                   "%" PRIu64 " messages of %" PRIu64
                   " bytes are allowed (fs.mqueue.msg_max, msgsize_max), %d "
                   "of %d are needed",
                   messages, bytes, MQ_COMMAND_DEPTH, MQ_MESSAGE_BYTES);
}

void check_queue_count(struct doctor *doctor)
{
    bool listed = doctor->survey.listing != LISTING_NONE;
    uint64_t most, used = doctor->survey.charge_count;

    if (!proc_number(MQUEUE_SYSCTL "queues_max", &most))
        return;
    enum finding_level level = judge_room(used, most, 1);
    report_add(&doctor->report, level, "queues",
               "%s%" PRIu64 " of %" PRIu64 " exist in this IPC namespace (fs.mqueue.queues_max)%s",
               listed ? "" : "at least ", used, most,
               level == FINDING_FAIL ? ": no proxy can register; only root may exceed it" : "");
    if (level != FINDING_OK)
        report_mend(&doctor->report, "sudo sysctl -w fs.mqueue.queues_max=%" PRIu64, 4 * most);
}

/* What the queues of a user are charged with; *complete: all of them are known. */
static uint64_t charged_to(const struct survey *survey, uid_t uid, bool *complete)
{
    uint64_t sum = 0;

    *complete = survey->listing != LISTING_NONE;
    for (size_t i = 0; i < survey->charge_count; i++) {
        if (survey->charges[i].uid != uid)
            continue;
        sum += survey->charges[i].bytes;
        *complete &= survey->charges[i].bytes > 0;
    }
    return sum;
}

/* `whose`: that of this shell, or of a process of that user; `most` is what it says. */
static void judge_bytes_of(struct doctor *doctor, uid_t uid, uint64_t most, const char *whose)
{
    char user[USER_TEXT_BYTES], limit_text[SIZE_TEXT_BYTES] = "unlimited", used_text[SIZE_TEXT_BYTES];
    bool complete;
    uint64_t used = charged_to(&doctor->survey, uid, &complete);
    enum finding_level level = judge_room(used, most, judge_queue_bytes(MQ_REPLY_DEPTH, MQ_MESSAGE_BYTES));

    if (most != UINT64_MAX)
        size_human(most, limit_text);
    report_add(&doctor->report, level, "queue bytes",
               "queues of uid %s in this IPC namespace take %s%s of %s (RLIMIT_MSGQUEUE of %s)%s",
               proc_user(uid, user), complete ? "" : "at least ", size_human(used, used_text), limit_text,
               whose, level == FINDING_FAIL ? ": no room for one more proxy" : "");
    if (level != FINDING_OK)
        report_mend(&doctor->report, "ulimit -q %" PRIu64 "   # as root; LimitMSGQUEUE= in systemd",
                    4 * most);
}

/* The limit is each process's own; what it has been told is what counts for its next queue. */
static void judge_bytes_of_holder(struct doctor *doctor, const struct object_view *queue)
{
    uint64_t soft, hard;
    char whose[32];
    char *limits = proc_read_whole(queue->holder, "limits");

    if (limits && parse_limit(limits, "Max msgqueue size", &soft, &hard)) {
        snprintf(whose, sizeof(whose), "process %d", (int)queue->holder);
        judge_bytes_of(doctor, queue->uid, soft == PARSE_UNLIMITED ? UINT64_MAX : soft, whose);
    }
    free(limits);
}

/* A living queue of this instance that belongs to somebody else. */
static bool is_of_another(const struct doctor *doctor, const struct name_view *name)
{
    return strcmp(name->instance, doctor->instance) == 0 && name->queue.there && name->queue.known &&
           name->queue.hold == HOLD_PROCESS && name->queue.holder > 0 && name->queue.uid != doctor->user;
}

static bool was_judged(const struct doctor *doctor, size_t place)
{
    const struct name_view *names = doctor->survey.names;

    for (size_t i = 0; i < place; i++) {
        if (is_of_another(doctor, &names[i]) && names[i].queue.uid == names[place].queue.uid)
            return true;
    }
    return false;
}

/* Of the cache's user, and of each whose proxies can be seen: a tenant may be served by several. */
void check_queue_bytes(struct doctor *doctor)
{
    const struct survey *survey = &doctor->survey;
    struct rlimit limit;

    if (getrlimit(RLIMIT_MSGQUEUE, &limit) == 0)
        judge_bytes_of(doctor, doctor->user,
                       limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur, "this shell");
    for (size_t i = 0; i < survey->count; i++) {
        if (is_of_another(doctor, &survey->names[i]) && !was_judged(doctor, i))
            judge_bytes_of_holder(doctor, &survey->names[i].queue);
    }
}

void check_queue_listing(struct doctor *doctor)
{
    static const char mend[] =
        "sudo mkdir -p " NAMES_QUEUE_DIRECTORY " && sudo mount -t mqueue none " NAMES_QUEUE_DIRECTORY;
    const struct survey *survey = &doctor->survey;
    struct report *report = &doctor->report;

    if (survey->listing == LISTING_MOUNT) {
        report_add(report, FINDING_OK, "queue names", "listed in %s", survey->mount);
        return;
    }
    if (survey->foreign)
        report_add(report, FINDING_NOTE, "queue names", "%s shows the queues of another IPC namespace%s",
                   survey->mount,
                   survey->listing == LISTING_PRIVATE ? "; looked through a private mount" : "");
    else if (survey->listing == LISTING_PRIVATE)
        report_add(report, FINDING_OK, "queue names", "no mount shows them; looked through a private one");
    else
        report_add(report, FINDING_NOTE, "queue names",
                   "no mount shows them: only queues of pools in " NAMES_SHM_DIRECTORY
                   " and the cache's are known");
    if (survey->foreign || survey->listing == LISTING_NONE)
        report_mend(report, "%s", mend);
}

/* ---- /dev/shm ---- */

static uint64_t pool_bytes(const struct survey *survey, const char *instance)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < survey->count; i++) {
        if (!instance || strcmp(survey->names[i].instance, instance) == 0)
            sum += survey->names[i].pool.bytes;
    }
    return sum;
}

/* Twice as much, in whole MiB, and enough for a few proxies. */
static uint64_t larger_than(uint64_t size)
{
    uint64_t twice = (2 * size) >> 20 << 20;

    return twice < JUDGE_DOCKER_SHM ? 2 * JUDGE_DOCKER_SHM : twice;
}

static void judge_shm_room(struct doctor *doctor, uint64_t size, uint64_t room)
{
    struct report *report = &doctor->report;
    char text[4][SIZE_TEXT_BYTES];
    enum finding_level level = judge_shm(room);
    bool docker = size == JUDGE_DOCKER_SHM;

    if (level == FINDING_OK && docker)
        level = FINDING_NOTE;
    report_add(report, level, "shm",
               NAMES_SHM_DIRECTORY
               " has %s, %s free%s; pools of this instance take %s, of all instances %s%s",
               size_human(size, text[0]), size_human(room, text[1]),
               level == FINDING_FAIL   ? ": no pool fits"
               : level == FINDING_WARN ? ": a proxy's pool of the default size does not fit"
                                       : "",
               size_human(pool_bytes(&doctor->survey, doctor->instance), text[2]),
               size_human(pool_bytes(&doctor->survey, NULL), text[3]),
               docker ? "; 64 MiB is what Docker gives, enough for some 25 proxies" : "");
    if (docker && level != FINDING_OK)
        report_mend(
            report,
            "docker run --shm-size=1g ...   # or, as root: mount -o remount,size=1G " NAMES_SHM_DIRECTORY);
    else if (level != FINDING_OK)
        report_mend(report,
                    "sudo mount -o remount,size=%s " NAMES_SHM_DIRECTORY "   # or remove what fills it",
                    size_format(larger_than(size), text[0]));
}

void check_shm(struct doctor *doctor)
{
    struct report *report = &doctor->report;
    struct statvfs status;
    char text[SIZE_TEXT_BYTES];

    if (statvfs(NAMES_SHM_DIRECTORY, &status) < 0) {
        report_add(report, FINDING_FAIL, "shm", NAMES_SHM_DIRECTORY " is not there: no pool can be made");
        report_mend(report, "sudo mkdir -p " NAMES_SHM_DIRECTORY
                            " && sudo mount -t tmpfs -o mode=1777 none " NAMES_SHM_DIRECTORY);
        return;
    }
    if (access(NAMES_SHM_DIRECTORY, W_OK | X_OK) < 0) {
        report_add(report, FINDING_FAIL, "shm", NAMES_SHM_DIRECTORY " may not be written by this user");
        report_mend(report, "sudo chmod 1777 " NAMES_SHM_DIRECTORY);
    }
    if (status.f_files > 0 && status.f_favail == 0) {
        report_add(report, FINDING_FAIL, "shm", NAMES_SHM_DIRECTORY " has no inode left: too many files");
        report_mend(report, "sudo mount -o remount,nr_inodes=0 " NAMES_SHM_DIRECTORY);
    }
    if (status.f_blocks == 0) /* mounted with size=0: no limit but the memory */
        report_add(report, FINDING_OK, "shm",
                   NAMES_SHM_DIRECTORY " has no limit; pools of all instances take %s",
                   size_human(pool_bytes(&doctor->survey, NULL), text));
    else
        judge_shm_room(doctor, (uint64_t)status.f_blocks * status.f_frsize,
                       (uint64_t)status.f_bavail * status.f_frsize);
}

/* ---- logind ---- */

static void read_setting(const char *path, bool *remove_ipc)
{
    char text[16384];

    if (proc_read(text, sizeof(text), path) > 0)
        parse_remove_ipc(text, remove_ipc);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* By name, whatever the directory; of one name the one that was found later, in the stronger directory, goes
 * last (systemd.syntax(7)). */
static void sort_drop_ins(char **paths, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && strcmp(base_name(paths[j - 1]), base_name(paths[j])) > 0; j--) {
            char *path = paths[j];
            paths[j] = paths[j - 1];
            paths[j - 1] = path;
        }
    }
}

static bool removes_ipc(void)
{
    static const char *const mains[] = {"/etc/systemd/logind.conf", "/run/systemd/logind.conf",
                                        "/usr/local/lib/systemd/logind.conf", "/usr/lib/systemd/logind.conf"};
    static const char *const drop_ins[] = {
        "/usr/lib/systemd/logind.conf.d/*.conf", "/usr/local/lib/systemd/logind.conf.d/*.conf",
        "/run/systemd/logind.conf.d/*.conf", "/etc/systemd/logind.conf.d/*.conf"};
    bool remove_ipc = true; /* the default */
    glob_t found = {0};

    for (size_t i = 0; i < sizeof(mains) / sizeof(*mains); i++) {
        if (access(mains[i], R_OK) == 0) {
            read_setting(mains[i], &remove_ipc);
            break;
        }
    }
    for (size_t i = 0; i < sizeof(drop_ins) / sizeof(*drop_ins); i++)
        (void)glob(drop_ins[i], i ? GLOB_APPEND : 0, NULL, &found);
    sort_drop_ins(found.gl_pathv, found.gl_pathc);
    for (size_t i = 0; i < found.gl_pathc; i++)
        read_setting(found.gl_pathv[i], &remove_ipc);
    globfree(&found);
    return remove_ipc;
}

static uint64_t sys_uid_max(void)
{
    char *text = proc_read_whole(0, "/etc/login.defs");
    uint64_t most = 999;

    if (text)
        parse_sys_uid_max(text, &most);
    free(text);
    return most;
}

static bool lingers(const char *user)
{
    char path[128];

    snprintf(path, sizeof(path), "/var/lib/systemd/linger/%.64s", user);
    return access(path, F_OK) == 0;
}

void check_remove_ipc(struct doctor *doctor)
{
    char text[USER_TEXT_BYTES], name[64];
    const struct passwd *user = getpwuid(doctor->user);

    snprintf(name, sizeof(name), "%s", user ? user->pw_name : "");
    if (!judge_remove_ipc(access("/run/systemd/system", F_OK) == 0, removes_ipc(), sys_uid_max(),
                          doctor->user, name[0] && lingers(name)))
        return;
    report_add(
        &doctor->report, FINDING_WARN, "RemoveIPC",
        "systemd-logind removes all queues and pools of uid %s when its last session ends, whoever uses "
        "them",
        proc_user(doctor->user, text));
    if (name[0])
        report_mend(&doctor->report, "sudo loginctl enable-linger %s   # or run Larder as a system user",
                    name);
    else
        report_mend(&doctor->report, "printf '[Login]\\nRemoveIPC=no\\n' | sudo tee "
                                     "/etc/systemd/logind.conf.d/larder.conf && sudo systemctl restart "
                                     "systemd-logind");
}
