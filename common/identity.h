/* identity.h: who is at the other end, as the kernel says.
 *
 * The owner of a queue or pool holds a classic record lock (fcntl(2), F_SETLK) on it for as long as it lives.
 * The kernel drops the lock with the process, however it dies, and tells the holder's pid to whoever asks.
 * Nothing that a message claims about pids or uids is believed.
 *
 * Pitfall: closing *any* descriptor of a file drops the process's record locks on it (fcntl_locking(2)), so
 * the owner never opens its own object twice. */
#ifndef LARDER_IDENTITY_H
#define LARDER_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

/* Takes the write lock on the whole file. 0, -EAGAIN (another process holds it) or -errno. */
int identity_lock(int fd);

enum identity_result {
    IDENTITY_ALIVE,    /* *pid holds the lock and *pidfd (if asked for) watches it */
    IDENTITY_UNSEEN,   /* locked by a process of another pid namespace: *pid is 0, *pidfd is -1 */
    IDENTITY_NAMELESS, /* locked, but by an open file description (F_OFD_SETLK), which has no pid: nobody can
                          say who that is. *pid and *pidfd as above */
    IDENTITY_UNLOCKED, /* nobody holds it: its owner is dead, or has not got so far */
    IDENTITY_FAILED,   /* the kernel refused the question */
};
/* Asks for the holder, opens a pidfd, asks again, so that a recycled pid cannot slip in between. `pidfd` may
 * be NULL. The caller closes *pidfd. */
enum identity_result identity_holder(int fd, pid_t *pid, int *pidfd);

/* Regular file under one name, of exactly this owner, that only the owner may use (mode 0600). */
bool identity_is_private(int fd, uid_t owner);

/* Whose a queue or pool is, and who else may use it. */
struct identity_owner {
    uid_t uid;
    bool shared; /* with a group (mode 0660); else with nobody (mode 0600) */
    gid_t group; /* 0 unless shared */
};
/* Of a regular file under one name. False: it is none, or open to others than these. */
bool identity_owner(int fd, struct identity_owner *out);
bool identity_is_owned(int fd, const struct identity_owner *owner); /* exactly so */
/* Hands it to the group: mode `mode`, for the owner and the group. 0 or -errno; -EPERM: this process is not
 * in it. */
int identity_share(int fd, gid_t group, mode_t mode);

#endif
