#include "doctor_names.h"

#include "doctor_proc.h"
#include "identity.h"
#include "mq.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct look {
    struct survey *survey;
    int shm;     /* directories, -1 if they cannot be opened */
    int queues;  /* -1: unlisted */
    char *locks; /* /proc/locks, or NULL */
    int error;
};

/* ---- one object ---- */

static void see_status(struct object_view *view, const struct stat *status)
{
    view->there = true;
    view->known = true;
    view->regular = S_ISREG(status->st_mode);
    view->uid = status->st_uid;
    view->mode = status->st_mode & 07777;
    view->age_s = (int64_t)(time(NULL) - status->st_ctime);
    view->bytes = (uint64_t)status->st_blocks * 512;
}

static void see_holder(struct object_view *view, int fd)
{
    static const enum hold holds[] = {
        [IDENTITY_ALIVE] = HOLD_PROCESS,      [IDENTITY_UNSEEN] = HOLD_ELSEWHERE,
        [IDENTITY_NAMELESS] = HOLD_ELSEWHERE, [IDENTITY_UNLOCKED] = HOLD_NONE,
        [IDENTITY_FAILED] = HOLD_UNKNOWN,
    };

    view->hold = holds[identity_holder(fd, &view->holder, NULL)];
}

/* For an object that may not be opened. The list shows only holders that have a pid here, so the absence of a
 * line proves nothing. */
static void see_listed_holder(struct object_view *view, const struct look *look, const struct stat *status)
{
    view->holder = look->locks ? parse_lock_holder(look->locks, status->st_dev, status->st_ino) : 0;
    view->hold = view->holder ? HOLD_PROCESS : HOLD_UNKNOWN;
}

/* The beginning of a pool as segment_pool_create() writes it. */
struct pool_beginning {
    uint64_t magic;
    uint64_t secret;
    uint32_t shape[4];
    uint32_t pid;
};
#define POOL_BEGINNING_MAGIC 0x4c4f4f5052445241u

static pid_t creator_of(int fd)
{
    struct pool_beginning beginning;

    if (pread(fd, &beginning, sizeof(beginning), 0) != (ssize_t)sizeof(beginning) ||
        beginning.magic != POOL_BEGINNING_MAGIC || beginning.pid > INT32_MAX)
        return 0;
    return (pid_t)beginning.pid;
}

static void view_pool(const struct look *look, const char *name, struct object_view *view)
{
    struct stat status;

    if (look->shm < 0 || fstatat(look->shm, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    see_status(view, &status);
    if (!view->regular)
        return;
    int fd = openat(look->shm, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        see_listed_holder(view, look, &status);
        return;
    }
    see_holder(view, fd);
    view->creator = creator_of(fd);
    close(fd);
}

static uint64_t charge_of(mqd_t queue)
{
    struct mq_attr attributes;

    if (mq_getattr(queue, &attributes) < 0)
        return 0;
    return judge_queue_bytes((uint64_t)attributes.mq_maxmsg, (uint64_t)attributes.mq_msgsize);
}

static void view_closed_queue(const struct look *look, const char *name, int error, struct object_view *view)
{
    struct stat status;

    if (look->queues >= 0 && fstatat(look->queues, name + 1, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        see_status(view, &status);
        see_listed_holder(view, look, &status);
        view->bytes = 0;
    } else {
        view->there = error != -ENOENT;
    }
}

static void view_queue(const struct look *look, const char *name, struct object_view *view)
{
    struct stat status;
    mqd_t queue;
    int error = mq_open_existing(&queue, name, O_RDONLY);

    if (error) {
        view_closed_queue(look, name, error, view);
        return;
    }
    if (fstat(queue, &status) == 0)
        see_status(view, &status);
    see_holder(view, queue);
    view->bytes = charge_of(queue);
    mq_close(queue);
}

/* ---- all of them ---- */

static struct name_view *find(const struct survey *survey, const char *instance, uint64_t token,
                              uint32_t shard)
{
    for (size_t i = 0; i < survey->count; i++) {
        struct name_view *view = &survey->names[i];
        if (view->token == token && view->shard == shard && strcmp(view->instance, instance) == 0)
            return view;
    }
    return NULL;
}

/* Grows by doubling: `count` elements are there. */
static void *room_for_one(void *list, size_t count, size_t bytes)
{
    if ((count & (count - 1)) != 0)
        return list;
    return realloc(list, (count ? 2 * count : 1) * bytes);
}

static void add_name(struct look *look, const char *instance, uint64_t token, uint32_t shard)
{
    struct survey *survey = look->survey;
    char name[NAMES_BYTES];

    if (find(survey, instance, token, shard))
        return;
    struct name_view *grown = room_for_one(survey->names, survey->count, sizeof(*grown));
    if (!grown) {
        look->error = -ENOMEM;
        return;
    }
    survey->names = grown;
    struct name_view *view = &grown[survey->count++];
    *view = (struct name_view){.token = token, .shard = shard};
    snprintf(view->instance, sizeof(view->instance), "%s", instance);
    survey_name(view, name);
    if (token)
        view_pool(look, name + 1, &view->pool);
    view_queue(look, name, &view->queue);
    view->state = judge_names(&view->pool, &view->queue);
}

static void add_charge(struct look *look, uid_t uid, uint64_t bytes)
{
    struct survey *survey = look->survey;
    struct queue_charge *grown = room_for_one(survey->charges, survey->charge_count, sizeof(*grown));

    if (!grown) {
        look->error = -ENOMEM;
        return;
    }
    survey->charges = grown;
    grown[survey->charge_count++] = (struct queue_charge){uid, bytes};
}

/* Calls back with each name of a directory. */
static void each_name(int directory, struct look *look, void (*visit)(struct look *, const char *))
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;

    if (!list && copy >= 0)
        close(copy);
    while (list && (entry = readdir(list))) {
        if (entry->d_name[0] != '.')
            visit(look, entry->d_name);
    }
    if (list)
        closedir(list);
}

static void visit_name(struct look *look, const char *name)
{
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t token;
    uint32_t shard;

    if (parse_name(name, instance, &token, &shard))
        add_name(look, instance, token, shard);
}

/* A file in /dev/shm that is called like a command queue is nothing of Larder's. */
static void visit_pool(struct look *look, const char *name)
{
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t token;
    uint32_t shard;

    if (parse_name(name, instance, &token, &shard) && token)
        add_name(look, instance, token, 0);
}

static void visit_charge(struct look *look, const char *name)
{
    char path[NAME_MAX + 2];
    struct object_view view = {0};

    snprintf(path, sizeof(path), "/%s", name);
    view_queue(look, path, &view);
    if (view.there && view.known)
        add_charge(look, view.uid, view.bytes);
}

/* ---- where queues are listed ---- */

/* A mount can show another IPC namespace than the one in which mq_open() works: after unshare(1) --ipc, say.
 * The first name that tells decides. */
static void visit_for_foreignness(struct look *look, const char *name)
{
    char path[NAME_MAX + 2];
    struct stat listed, opened;
    mqd_t queue;

    if (look->survey->foreign || fstatat(look->queues, name, &listed, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    snprintf(path, sizeof(path), "/%s", name);
    int error = mq_open_existing(&queue, path, O_RDONLY);
    if (error) {
        look->survey->foreign =
            error == -ENOENT && fstatat(look->queues, name, &listed, AT_SYMLINK_NOFOLLOW) == 0;
        return;
    }
    if (fstat(queue, &opened) == 0)
        look->survey->foreign = opened.st_dev != listed.st_dev;
    mq_close(queue);
}

/* An empty list can betray itself too: when the command queue is there, but elsewhere. */
static void compare_with_command_queue(struct look *look, const char *instance)
{
    char name[NAMES_BYTES];
    struct stat listed, opened;
    mqd_t queue;

    names_command_queue(name, instance);
    if (mq_open_existing(&queue, name, O_RDONLY))
        return;
    if (fstat(look->queues, &listed) == 0 && fstat(queue, &opened) == 0 && listed.st_dev != opened.st_dev)
        look->survey->foreign = true;
    mq_close(queue);
}

static bool list_through_mount(struct look *look, const char *instance)
{
    struct survey *survey = look->survey;
    char *mounts = proc_read_whole(0, "mountinfo");
    bool found = mounts && parse_mount_of_type(mounts, "mqueue", survey->mount, sizeof(survey->mount));

    free(mounts);
    look->queues = found ? open(survey->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (look->queues < 0)
        return false;
    compare_with_command_queue(look, instance);
    each_name(look->queues, look, visit_for_foreignness);
    if (!survey->foreign)
        return true;
    close(look->queues);
    look->queues = -1;
    return false;
}

/* The new mount API gives a directory that is attached nowhere. It takes CAP_SYS_ADMIN and always shows our
 * own IPC namespace. */
static bool list_privately(struct look *look)
{
    int mount = -1, context = (int)syscall(SYS_fsopen, "mqueue", FSOPEN_CLOEXEC);

    if (context < 0)
        return false;
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    close(context);
    if (mount < 0)
        return false;
    look->queues = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(mount);
    return look->queues >= 0;
}

static enum queue_listing find_listing(struct look *look, const char *instance)
{
    return list_through_mount(look, instance) ? LISTING_MOUNT
           : list_privately(look)             ? LISTING_PRIVATE
                                              : LISTING_NONE;
}

static void charge_known_names(struct look *look)
{
    for (size_t i = 0; i < look->survey->count; i++) {
        const struct object_view *queue = &look->survey->names[i].queue;
        if (queue->there && queue->known)
            add_charge(look, queue->uid, queue->bytes);
    }
}

/* Where queues are not listed they are asked for. */
static void add_shards(struct look *look, const char *instance)
{
    char name[NAMES_BYTES];

    for (uint32_t shard = 1; shard < NAMES_SHARDS_MAX; shard++) {
        struct object_view view = {0};
        names_shard_queue(name, instance, shard);
        view_queue(look, name, &view);
        if (view.there)
            add_name(look, instance, 0, shard);
    }
}

int survey_take(struct survey *survey, const char *instance)
{
    struct look look = {.survey = survey, .queues = -1};

    *survey = (struct survey){0};
    look.shm = open(NAMES_SHM_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    look.locks = proc_read_whole(0, "/proc/locks");
    survey->listing = find_listing(&look, instance);
    add_name(&look, instance, 0, 0);
    add_shards(&look, instance);
    if (look.shm >= 0)
        each_name(look.shm, &look, visit_pool);
    if (look.queues >= 0) {
        each_name(look.queues, &look, visit_name);
        each_name(look.queues, &look, visit_charge);
        close(look.queues);
    } else {
        charge_known_names(&look);
    }
    if (look.shm >= 0)
        close(look.shm);
    free(look.locks);
    return look.error;
}

void survey_release(struct survey *survey)
{
    free(survey->names);
    free(survey->charges);
    *survey = (struct survey){0};
}

const struct name_view *survey_command(const struct survey *survey, const char *instance)
{
    return find(survey, instance, 0, 0);
}

void survey_name(const struct name_view *view, char out[NAMES_BYTES])
{
    if (view->token)
        names_peer(out, view->instance, view->token);
    else
        names_shard_queue(out, view->instance, view->shard);
}
