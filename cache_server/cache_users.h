/* cache_users.h: the users and groups that a configuration names.
 *
 * At the start every source that the host knows is asked (getpwnam(3)). The sandbox permits no sockets, so
 * later only /etc/passwd and /etc/group are. */
#ifndef LARDER_CACHE_USERS_H
#define LARDER_CACHE_USERS_H

#include <stdbool.h>
#include <sys/types.h>

/* NAME, or a number, whether a user has it or not. False: there is none. */
bool cache_users_find(const char *name, bool in_sandbox, uid_t *uid);
bool cache_users_find_group(const char *name, bool in_sandbox, gid_t *gid);

#endif
