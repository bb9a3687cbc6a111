/* privileges.h: giving up what a program was started with.
 *
 * On Linux user, groups and capabilities belong to a thread, and only glibc's set*id() functions reach the
 * others. So all of this is called while there is one thread; threads that start later inherit it.
 *
 * Errors: 0 or -errno; `problem` then says in one line what is wrong. */
#ifndef LARDER_PRIVILEGES_H
#define LARDER_PRIVILEGES_H

#include <stddef.h>
#include <sys/types.h>

#define PRIVILEGES_NAME_MAX 64

struct privileges_user {
    char name[PRIVILEGES_NAME_MAX]; /* for its supplementary groups; empty: it has none */
    uid_t uid;
    gid_t gid;
};

/* Looks up what --user says: NAME or NAME:GROUP, each also as a number. Without GROUP it is the user's own.
 * -EPERM unless this process is root's; -EINVAL when there is no such user or group, and for root itself. */
int privileges_find(struct privileges_user *out, const char *text, char *problem, size_t problem_size);

/* Becomes that user, for good: with its groups, without capabilities, and without the bounding set, so that
 * nothing executed later could have them either. */
int privileges_become(const struct privileges_user *user, char *problem, size_t problem_size);

/* Drops all capabilities: effective, permitted, inheritable, ambient, and the bounding set where the kernel
 * lets us. Root keeps its uid and what its files are worth, but no power over others'. */
int privileges_drop_capabilities(char *problem, size_t problem_size);

/* From now on execve(2) gives no privileges: no set-user-ID, no file capabilities (PR_SET_NO_NEW_PRIVS). */
int privileges_forbid_new(char *problem, size_t problem_size);

#endif
