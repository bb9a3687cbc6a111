/* doctor_parse.h: texts of the kernel and of systemd, read without touching a file. All texts end with '\0'.
 */
#ifndef LARDER_DOCTOR_PARSE_H
#define LARDER_DOCTOR_PARSE_H

#include "names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PARSE_UNLIMITED UINT64_MAX

/* A line of /proc/PID/limits, e.g. "Max open files"; "unlimited" is PARSE_UNLIMITED. */
bool parse_limit(const char *text, const char *name, uint64_t *soft, uint64_t *hard);

/* What is mounted at `point`, by /proc/PID/mountinfo: the last line wins, it lies on top. */
struct mount_info {
    unsigned major, minor;
    char type[32];
    char options[256]; /* of the file system, behind its source */
};
bool parse_mount(const char *text, const char *point, struct mount_info *out);

/* Where is a file system of this type mounted? The first place. */
bool parse_mount_of_type(const char *text, const char *type, char *point, size_t size);

/* The value of an option in a list like "rw,hidepid=2,gid=4"; false if it is not there. */
bool parse_option(const char *options, const char *name, char *value, size_t size);

/* Who holds a POSIX lock on this inode, by /proc/locks: 0 if nobody whom this pid namespace can see does. */
pid_t parse_lock_holder(const char *text, dev_t device, ino_t inode);

/* [Login] RemoveIPC= of a logind.conf or a drop-in. False: it says nothing, *value stays. */
bool parse_remove_ipc(const char *text, bool *value);

/* SYS_UID_MAX of login.defs(5). */
bool parse_sys_uid_max(const char *text, uint64_t *value);

/* The instance that a cache_server serves, by its /proc/PID/cmdline. False if it cannot be told. */
bool parse_cmdline(const char *arguments, size_t length, char instance[NAMES_INSTANCE_MAX + 1]);

/* The state letter of /proc/PID/stat, '?' if there is none. The name in it may hold anything. */
char parse_state(const char *text);

/* The effective uid of a process, by its /proc/PID/status. */
bool parse_effective_uid(const char *text, uid_t *uid);

/* What a name in /dev/shm or a queue's name (without '/') is: the command queue of an instance or, with its
 * number, that of another of its shards
 * (*token and *shard are 0 where they do not apply), or a peer's. */
bool parse_name(const char *name, char instance[NAMES_INSTANCE_MAX + 1], uint64_t *token, uint32_t *shard);

#endif
