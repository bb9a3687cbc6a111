#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- who ---- */

/* All digits, and not -1, which means "leave it" to setresuid(2). */
static bool parse_id(const char *text, uid_t *id)
{
    unsigned long number;

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    number = strtoul(text, NULL, 10);
    if (errno || number >= UINT_MAX)
        return false;
    *id = (uid_t)number;
    return true;
}

static int refuse(int error, const char *text, const char *why, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size, "--user %.100s: %s", text, why);
    return error;
}

static int find_group(gid_t *gid, const char *text, char *problem, size_t problem_size)
{
    const struct group *group = getgrnam(text);

    if (group)
        *gid = group->gr_gid;
    else if (!parse_id(text, gid))
        return refuse(-EINVAL, text, "no such group", problem, problem_size);
    return 0;
}

static const struct passwd *find_entry(const char *text, uid_t *uid)
{
    const struct passwd *entry = getpwnam(text);

    return entry || !parse_id(text, uid) ? entry : getpwuid(*uid);
}

static int find_user(struct privileges_user *out, const char *text, bool has_group, char *problem,
                     size_t problem_size)
{
    uid_t uid = (uid_t)-1;
    const struct passwd *entry = find_entry(text, &uid);

    if (entry) {
        size_t length = strlen(entry->pw_name);
        if (length >= sizeof(out->name))
            return refuse(-EINVAL, text, "the name is too long", problem, problem_size);
        memcpy(out->name, entry->pw_name, length + 1);
        out->uid = entry->pw_uid;
        out->gid = entry->pw_gid;
        return 0;
    }
    if (uid == (uid_t)-1)
        return refuse(-EINVAL, text, "no such user", problem, problem_size);
    if (!has_group)
        return refuse(-EINVAL, text, "this number has no name, hence no group; write UID:GID", problem,
                      problem_size);
    out->uid = uid;
    return 0;
}

int privileges_find(struct privileges_user *out, const char *text, char *problem, size_t problem_size)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    char user[PRIVILEGES_NAME_MAX];
    int error;

    memset(out, 0, sizeof(*out));
    if (geteuid() != 0)
        return refuse(-EPERM, text,
                      "only root can become another user; start the program as that user instead", problem,
                      problem_size);
    if (length >= sizeof(user))
        return refuse(-EINVAL, text, "the name is too long", problem, problem_size);
    memcpy(user, text, length);
    user[length] = '\0';
    error = find_user(out, user, colon != NULL, problem, problem_size);
    if (!error && colon)
        error = find_group(&out->gid, colon + 1, problem, problem_size);
    if (!error && out->uid == 0)
        error = refuse(-EINVAL, text, "this is root, so nothing would be given up", problem, problem_size);
    return error;
}

/* ---- capabilities ---- */

static int explain(int error, const char *what, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size, "cannot %s: %s", what, strerror(-error));
    return error;
}

static int drop_bounding_set(void)
{
    if (capng_get_caps_process() != 0)
        return -EIO;
    if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
        return 0; /* not ours to change, and without new privileges it has no effect */
    capng_clear(CAPNG_SELECT_ALL);
    return capng_apply(CAPNG_SELECT_BOUNDS) == 0 ? 0 : -EPERM;
}

static int drop_sets(void)
{
    capng_clear(CAPNG_SELECT_ALL);
    if (capng_apply(CAPNG_SELECT_CAPS) != 0 || capng_apply(CAPNG_SELECT_AMBIENT) != 0)
        return -EPERM;
    if (capng_get_caps_process() != 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
        return -EPERM;
    return 0;
}

int privileges_drop_capabilities(char *problem, size_t problem_size)
{
    int error = drop_bounding_set();

    if (!error)
        error = drop_sets();
    return error ? explain(error, "drop the capabilities", problem, problem_size) : 0;
}

/* ---- becoming somebody else ---- */

static int set_groups(const struct privileges_user *user)
{
    int result = user->name[0] != '\0' ? initgroups(user->name, user->gid) : setgroups(0, NULL);

    return result == 0 ? 0 : -errno;
}

/* All three ids at once, and no way back. */
static bool is_for_good(const struct privileges_user *user)
{
    uid_t uid, effective_uid, saved_uid;
    gid_t gid, effective_gid, saved_gid;

    if (getresuid(&uid, &effective_uid, &saved_uid) != 0 || getresgid(&gid, &effective_gid, &saved_gid) != 0)
        return false;
    if (uid != user->uid || effective_uid != user->uid || saved_uid != user->uid)
        return false;
    if (gid != user->gid || effective_gid != user->gid || saved_gid != user->gid)
        return false;
    return setresuid((uid_t)-1, 0, (uid_t)-1) != 0 && setuid(0) != 0 && setgroups(0, NULL) != 0;
}

int privileges_become(const struct privileges_user *user, char *problem, size_t problem_size)
{
    int error = set_groups(user);

    if (!error && setresgid(user->gid, user->gid, user->gid) != 0)
        error = -errno;
    if (!error)
        error = drop_bounding_set(); /* while we may */
    if (!error && setresuid(user->uid, user->uid, user->uid) != 0)
        error = -errno;
    if (!error)
        error = drop_sets(); /* a set-up with SECBIT_NO_SETUID_FIXUP or KEEP_CAPS would have left them */
    if (!error && !is_for_good(user))
        error = -EPERM;
    return error ? explain(error, "become the user of --user for good", problem, problem_size) : 0;
}

int privileges_forbid_new(char *problem, size_t problem_size)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        return 0;
    return explain(-errno, "forbid new privileges (PR_SET_NO_NEW_PRIVS)", problem, problem_size);
}
