#include "doctor_parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define LINE_BYTES 4096

/* Copies the next line without its end; a longer one is cut. */
static bool next_line(const char **text, char *line, size_t size)
{
    if (**text == '\0')
        return false;
    size_t length = strcspn(*text, "\n"), kept = length < size ? length : size - 1;
    memcpy(line, *text, kept);
    line[kept] = '\0';
    *text += length + ((*text)[length] == '\n');
    return true;
}

static bool take_number(char **at, uint64_t *value)
{
    char *end;

    *at += strspn(*at, " \t");
    if (strncmp(*at, "unlimited", 9) == 0) {
        *value = PARSE_UNLIMITED;
        *at += 9;
        return true;
    }
    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    *value = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

bool parse_limit(const char *text, const char *name, uint64_t *soft, uint64_t *hard)
{
    char line[LINE_BYTES];
    size_t length = strlen(name);

    while (next_line(&text, line, sizeof(line))) {
        char *at = line + length;
        if (strncmp(line, name, length) == 0 && isspace((unsigned char)*at))
            return take_number(&at, soft) && take_number(&at, hard);
    }
    return false;
}

/* Takes a line apart at its spaces. */
static size_t split(char *line, char *fields[], size_t most)
{
    char *rest = NULL;
    size_t count = 0;

    for (char *field = strtok_r(line, " \t", &rest); field && count < most;
         field = strtok_r(NULL, " \t", &rest))
        fields[count++] = field;
    return count;
}

/* "MAJOR:MINOR", followed by `end`. */
static bool read_device(const char *text, int base, char end, unsigned *major_number, unsigned *minor_number,
                        const char **behind)
{
    char *at;

    *major_number = (unsigned)strtoul(text, &at, base);
    if (at == text || *at != ':')
        return false;
    text = at + 1;
    *minor_number = (unsigned)strtoul(text, &at, base);
    *behind = at;
    return at != text && *at == end;
}

/* ---- mountinfo: "36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw" (proc_pid_mountinfo(5))
 */

struct mount_line {
    struct mount_info info;
    char point[256];
};

/* Spaces in paths are written \040; Larder's own paths have none, so nothing is undone. */
static bool read_mount_line(char *line, struct mount_line *out)
{
    enum { DEVICE = 2, POINT = 4, TYPE = 0, OPTIONS = 2 };
    char *fields[5], *behind_fields[3], *behind = strstr(line, " - ");
    const char *end;

    if (!behind)
        return false;
    *behind = '\0';
    if (split(line, fields, 5) != 5 ||
        !read_device(fields[DEVICE], 10, '\0', &out->info.major, &out->info.minor, &end))
        return false;
    size_t count = split(behind + 3, behind_fields, 3);
    snprintf(out->point, sizeof(out->point), "%s", fields[POINT]);
    snprintf(out->info.type, sizeof(out->info.type), "%s", count > TYPE ? behind_fields[TYPE] : "");
    snprintf(out->info.options, sizeof(out->info.options), "%s",
             count > OPTIONS ? behind_fields[OPTIONS] : "");
    return count > TYPE;
}

bool parse_mount(const char *text, const char *point, struct mount_info *out)
{
    char line[LINE_BYTES];
    struct mount_line mount;
    bool found = false;

    while (next_line(&text, line, sizeof(line))) {
        if (read_mount_line(line, &mount) && strcmp(mount.point, point) == 0) {
            *out = mount.info;
            found = true;
        }
    }
    return found;
}

bool parse_mount_of_type(const char *text, const char *type, char *point, size_t size)
{
    char line[LINE_BYTES];
    struct mount_line mount;

    while (next_line(&text, line, sizeof(line))) {
        if (read_mount_line(line, &mount) && strcmp(mount.info.type, type) == 0) {
            snprintf(point, size, "%s", mount.point);
            return true;
        }
    }
    return false;
}

bool parse_option(const char *options, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);

    while (*options) {
        size_t whole = strcspn(options, ",");
        if (whole > length && strncmp(options, name, length) == 0 && options[length] == '=') {
            snprintf(value, size, "%.*s", (int)(whole - length - 1), options + length + 1);
            return true;
        }
        options += whole + (options[whole] == ',');
    }
    return false;
}

/* "1: POSIX  ADVISORY  WRITE 17 00:14:2403482 0 EOF"; waiters have "->" behind the number (proc_locks(5)). */
static pid_t holder_in_line(char *line, dev_t device, ino_t inode)
{
    enum { KIND = 1, PID = 4, FILE_ID = 5, FIELDS = 6 };
    char *fields[FIELDS], *end;
    const char *at;
    unsigned major_number, minor_number;

    if (split(line, fields, FIELDS) != FIELDS || strcmp(fields[KIND], "POSIX") != 0 ||
        !read_device(fields[FILE_ID], 16, ':', &major_number, &minor_number, &at) ||
        major_number != major(device) || minor_number != minor(device) || strtoull(at + 1, &end, 10) != inode)
        return 0;
    long pid = strtol(fields[PID], NULL, 10);
    return pid > 0 ? (pid_t)pid : 0;
}

pid_t parse_lock_holder(const char *text, dev_t device, ino_t inode)
{
    char line[LINE_BYTES];
    pid_t holder = 0;

    while (holder == 0 && next_line(&text, line, sizeof(line)))
        holder = holder_in_line(line, device, inode);
    return holder;
}

/* ---- systemd and login.defs ---- */

static char *trim(char *text)
{
    size_t length;

    text += strspn(text, " \t\r");
    length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

static bool truth(const char *word, bool *value)
{
    static const char *const yes[] = {"yes", "y", "true", "t", "on", "1"};
    static const char *const no[] = {"no", "n", "false", "f", "off", "0"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        if (strcasecmp(word, yes[i]) == 0 || strcasecmp(word, no[i]) == 0) {
            *value = strcasecmp(word, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

bool parse_remove_ipc(const char *text, bool *value)
{
    char line[LINE_BYTES];
    bool in_login = false, found = false;

    while (next_line(&text, line, sizeof(line))) {
        char *at = trim(line), *equals = strchr(at, '=');
        if (*at == '[')
            in_login = strcmp(at, "[Login]") == 0;
        if (!in_login || !equals || *at == '#' || *at == ';')
            continue;
        *equals = '\0';
        if (strcmp(trim(at), "RemoveIPC") == 0 && truth(trim(equals + 1), value))
            found = true;
    }
    return found;
}

bool parse_sys_uid_max(const char *text, uint64_t *value)
{
    static const char name[] = "SYS_UID_MAX";
    char line[LINE_BYTES];

    while (next_line(&text, line, sizeof(line))) {
        char *at = trim(line);
        if (strncmp(at, name, sizeof(name) - 1) != 0 || !isspace((unsigned char)at[sizeof(name) - 1]))
            continue;
        at += sizeof(name) - 1;
        return take_number(&at, value);
    }
    return false;
}

/* ---- processes and names ---- */

/* getopt_long() takes a unique beginning of an option too, and --name=value as well as two arguments. */
static const char *value_of_option(const char *argument, const char *next)
{
    static const char option[] = "--instance";
    size_t length = strcspn(argument, "=");

    if (length < 4 || length > sizeof(option) - 1 || strncmp(argument, option, length) != 0)
        return NULL;
    return argument[length] == '=' ? argument + length + 1 : next;
}

bool parse_cmdline(const char *arguments, size_t length, char instance[NAMES_INSTANCE_MAX + 1])
{
    const char *end = arguments + length, *at = arguments, *found = NAMES_DEFAULT;

    if (length == 0 || arguments[length - 1] != '\0')
        return false;
    for (at += strlen(at) + 1; at < end; at += strlen(at) + 1) {
        const char *next = at + strlen(at) + 1;
        const char *value = value_of_option(at, next < end ? next : NULL);
        if (value)
            found = value;
    }
    if (!names_instance_valid(found))
        return false;
    snprintf(instance, NAMES_INSTANCE_MAX + 1, "%s", found);
    return true;
}

char parse_state(const char *text)
{
    const char *behind = strrchr(text, ')');

    return behind && behind[1] == ' ' && behind[2] ? behind[2] : '?';
}

bool parse_effective_uid(const char *text, uid_t *uid)
{
    static const char name[] = "Uid:";
    char line[LINE_BYTES];
    uint64_t real, effective;

    while (next_line(&text, line, sizeof(line))) {
        char *at = line + sizeof(name) - 1;
        if (strncmp(line, name, sizeof(name) - 1) != 0 || !take_number(&at, &real) ||
            !take_number(&at, &effective))
            continue;
        *uid = (uid_t)effective;
        return true;
    }
    return false;
}

bool parse_name(const char *name, char instance[NAMES_INSTANCE_MAX + 1], uint64_t *token, uint32_t *shard)
{
    static const char prefix[] = "larder.";
    const char *at = name + sizeof(prefix) - 1;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return false;
    size_t length = strcspn(at, ".");
    if (length > NAMES_INSTANCE_MAX)
        return false;
    snprintf(instance, NAMES_INSTANCE_MAX + 1, "%.*s", (int)length, at);
    if (!names_instance_valid(instance))
        return false;
    *token = 0;
    *shard = 0;
    return at[length] == '\0' || names_shard_parse(name, instance, shard) ||
           (names_peer_parse(name, instance, token) && *token != 0);
}
