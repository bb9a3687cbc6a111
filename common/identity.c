#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IDENTITY_TRIES 3

static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

int identity_lock(int fd)
{
    struct flock lock = whole_file();

    if (fcntl(fd, F_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

/* 0 and *pid (0 for a process that has no pid here, -1 for an open file description: fcntl(2)), or -ENOENT
 * when nobody holds the lock. */
static int ask(int fd, pid_t *pid)
{
    struct flock lock = whole_file();

    if (fcntl(fd, F_GETLK, &lock) < 0)
        return -errno;
    if (lock.l_type == F_UNLCK)
        return -ENOENT;
    *pid = lock.l_pid;
    return 0;
}

static enum identity_result from_error(int error)
{
    return error == -ENOENT ? IDENTITY_UNLOCKED : IDENTITY_FAILED;
}

static enum identity_result attempt(int fd, pid_t *pid, int *pidfd, bool *again)
{
    pid_t second = 0;
    int error = ask(fd, pid);

    *again = false;
    if (error)
        return from_error(error);
    if (*pid <= 0) {
        enum identity_result result = *pid == 0 ? IDENTITY_UNSEEN : IDENTITY_NAMELESS;
        *pid = 0;
        return result;
    }
    if (!pidfd)
        return IDENTITY_ALIVE;
    *pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (*pidfd < 0) {
        *again = errno == ESRCH; /* died between the two calls */
        return IDENTITY_FAILED;
    }
    error = ask(fd, &second);
    if (!error && second == *pid)
        return IDENTITY_ALIVE;
    close(*pidfd);
    *pidfd = -1;
    *again = !error;
    return error ? from_error(error) : IDENTITY_FAILED;
}

enum identity_result identity_holder(int fd, pid_t *pid, int *pidfd)
{
    enum identity_result result = IDENTITY_FAILED;
    bool again = true;

    *pid = 0;
    if (pidfd)
        *pidfd = -1;
    for (int i = 0; i < IDENTITY_TRIES && again; i++)
        result = attempt(fd, pid, pidfd, &again);
    return result;
}

bool identity_is_private(int fd, uid_t owner)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
           status.st_uid == owner && (status.st_mode & 07777) == 0600;
}

bool identity_owner(int fd, struct identity_owner *out)
{
    struct stat status;

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1)
        return false;
    *out = (struct identity_owner){.uid = status.st_uid, .shared = (status.st_mode & 07777) == 0660};
    if (out->shared)
        out->group = status.st_gid;
    return out->shared || (status.st_mode & 07777) == 0600;
}

bool identity_is_owned(int fd, const struct identity_owner *owner)
{
    struct identity_owner is;

    return identity_owner(fd, &is) && is.uid == owner->uid && is.shared == owner->shared &&
           is.group == owner->group;
}

/* The group first: nobody of another one gets in between. */
int identity_share(int fd, gid_t group, mode_t mode)
{
    return fchown(fd, (uid_t)-1, group) == 0 && fchmod(fd, mode) == 0 ? 0 : -errno;
}
