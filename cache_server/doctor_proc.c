#include "doctor_proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES    128
#define CMDLINE_BYTES 8192
#define WHOLE_BYTES   ((size_t)4 << 20) /* of a file of /proc, at most */

int proc_read(char *out, size_t size, const char *path)
{
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    out[0] = '\0';
    if (fd < 0)
        return -errno;
    while (length < size - 1) {
        ssize_t got = read(fd, out + length, size - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(fd);
    out[length] = '\0';
    return (int)length;
}

static void proc_path(char out[PATH_BYTES], pid_t pid, const char *name)
{
    if (pid > 0)
        snprintf(out, PATH_BYTES, "/proc/%d/%s", (int)pid, name);
    else
        snprintf(out, PATH_BYTES, "/proc/self/%s", name);
}

char *proc_read_whole(pid_t pid, const char *name)
{
    char path[PATH_BYTES];

    if (name[0] == '/')
        snprintf(path, sizeof(path), "%s", name);
    else
        proc_path(path, pid, name);
    for (size_t size = (size_t)64 << 10;; size *= 4) {
        char *text = malloc(size);
        if (!text)
            return NULL;
        int length = proc_read(text, size, path);
        if (length >= 0 && ((size_t)length < size - 1 || size >= WHOLE_BYTES))
            return text;
        free(text);
        if (length < 0) {
            errno = -length;
            return NULL;
        }
    }
}

bool proc_number(const char *path, uint64_t *value)
{
    char text[64], *end;

    if (proc_read(text, sizeof(text), path) <= 0 || !isdigit((unsigned char)text[0]))
        return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0' || *end == '\n';
}

enum same_namespace proc_same_namespace(pid_t pid, const char *kind)
{
    char name[32], path[PATH_BYTES];
    struct stat ours, theirs;

    snprintf(name, sizeof(name), "ns/%s", kind);
    proc_path(path, 0, name);
    if (stat(path, &ours) < 0)
        return NAMESPACE_UNSEEN;
    proc_path(path, pid, name);
    if (stat(path, &theirs) < 0)
        return NAMESPACE_UNSEEN;
    return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino ? NAMESPACE_SAME : NAMESPACE_OTHER;
}

char proc_state(pid_t pid)
{
    char path[PATH_BYTES], text[512];

    proc_path(path, pid, "stat");
    return proc_read(text, sizeof(text), path) > 0 ? parse_state(text) : '?';
}

static bool serves(pid_t pid, const char *instance)
{
    static const char name[] = "cache_server\n";
    char path[PATH_BYTES], text[CMDLINE_BYTES], found[NAMES_INSTANCE_MAX + 1];

    proc_path(path, pid, "comm");
    if (proc_read(text, sizeof(text), path) <= 0 || strcmp(text, name) != 0)
        return false;
    proc_path(path, pid, "cmdline");
    int length = proc_read(text, sizeof(text), path);
    return length > 0 && parse_cmdline(text, (size_t)length, found) && strcmp(found, instance) == 0;
}

/* The owner of /proc/PID is root when the process is not dumpable; its status tells the truth. */
static uid_t uid_of(pid_t pid)
{
    char path[PATH_BYTES], text[4096];
    uid_t uid;

    proc_path(path, pid, "status");
    return proc_read(text, sizeof(text), path) > 0 && parse_effective_uid(text, &uid) ? uid : (uid_t)-1;
}

pid_t proc_find_cache(const char *instance, pid_t but, uid_t *uid)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;

    while (directory && found == 0 && (entry = readdir(directory))) {
        long number = strtol(entry->d_name, NULL, 10);
        if (number > 0 && (pid_t)number != but && serves((pid_t)number, instance))
            found = (pid_t)number;
    }
    if (directory)
        closedir(directory);
    if (found)
        *uid = uid_of(found);
    return found;
}

const char *proc_user(uid_t uid, char out[USER_TEXT_BYTES])
{
    const struct passwd *user = getpwuid(uid);

    if (user)
        snprintf(out, USER_TEXT_BYTES, "%u (%.32s)", (unsigned)uid, user->pw_name);
    else
        snprintf(out, USER_TEXT_BYTES, "%u", (unsigned)uid);
    return out;
}

const char *proc_sudo(uid_t uid, char out[USER_TEXT_BYTES])
{
    const struct passwd *user = getpwuid(uid);

    if (uid == geteuid())
        out[0] = '\0';
    else if (uid == 0)
        snprintf(out, USER_TEXT_BYTES, "sudo ");
    else if (user)
        snprintf(out, USER_TEXT_BYTES, "sudo -u %.32s ", user->pw_name);
    else
        snprintf(out, USER_TEXT_BYTES, "sudo -u '#%u' ", (unsigned)uid);
    return out;
}
