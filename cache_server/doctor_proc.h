/* doctor_proc.h: reading /proc and small files. What may not be read is a result like any other. */
#ifndef LARDER_DOCTOR_PROC_H
#define LARDER_DOCTOR_PROC_H

#include "doctor_parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The beginning of a file as text (always terminated). Its length or -errno. */
int proc_read(char *out, size_t size, const char *path);
/* /proc/PID/NAME, of this process for pid 0. Large files (mountinfo, locks) are read whole: the caller frees.
 * NULL with errno. */
char *proc_read_whole(pid_t pid, const char *name);

/* Is this a number in a file like those of /proc/sys? */
bool proc_number(const char *path, uint64_t *value);

enum same_namespace { NAMESPACE_SAME, NAMESPACE_OTHER, NAMESPACE_UNSEEN /* errno says why */ };
enum same_namespace proc_same_namespace(pid_t pid, const char *kind);

/* 'T' for a stopped process, '?' when it cannot be seen. */
char proc_state(pid_t pid);

/* A process called cache_server that serves this instance, other than `but`; 0 if none can be seen. */
pid_t proc_find_cache(const char *instance, pid_t but, uid_t *uid);

/* "1000 (alice)", or the number alone. */
#define USER_TEXT_BYTES 48
const char *proc_user(uid_t uid, char out[USER_TEXT_BYTES]);
/* What to put before a command so that it runs as that user: "", "sudo " or "sudo -u NAME ". */
const char *proc_sudo(uid_t uid, char out[USER_TEXT_BYTES]);

#endif
