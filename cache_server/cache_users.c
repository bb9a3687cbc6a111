#include "cache_users.h"

#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWD "/etc/passwd"
#define GROUP  "/etc/group"

static bool parse_number(const char *text, uid_t *uid)
{
    unsigned long long number;

    if (*text == '\0' || strlen(text) > 10 || strspn(text, "0123456789") != strlen(text))
        return false;
    number = strtoull(text, NULL, 10);
    *uid = (uid_t)number;
    return number < UINT32_MAX; /* (uid_t)-1 is nobody: chown(2) */
}

static bool find_in_file(const char *name, uid_t *uid)
{
    FILE *file = fopen(PASSWD, "re");
    char buffer[4096];
    struct passwd entry, *found = NULL;
    bool there = false;

    if (!file)
        return false;
    while (!there && fgetpwent_r(file, &entry, buffer, sizeof(buffer), &found) == 0 && found) {
        there = strcmp(found->pw_name, name) == 0;
        *uid = found->pw_uid;
    }
    fclose(file);
    return there;
}

bool cache_users_find(const char *name, bool in_sandbox, uid_t *uid)
{
    const struct passwd *entry;

    if (parse_number(name, uid))
        return true;
    if (in_sandbox)
        return find_in_file(name, uid);
    entry = getpwnam(name);
    if (entry)
        *uid = entry->pw_uid;
    return entry != NULL;
}

static bool find_group_in_file(const char *name, gid_t *gid)
{
    FILE *file = fopen(GROUP, "re");
    char buffer[16384]; /* with all its members */
    struct group entry, *found = NULL;
    bool there = false;

    if (!file)
        return false;
    while (!there && fgetgrent_r(file, &entry, buffer, sizeof(buffer), &found) == 0 && found) {
        there = strcmp(found->gr_name, name) == 0;
        *gid = found->gr_gid;
    }
    fclose(file);
    return there;
}

bool cache_users_find_group(const char *name, bool in_sandbox, gid_t *gid)
{
    const struct group *entry;

    if (parse_number(name, gid))
        return true;
    if (in_sandbox)
        return find_group_in_file(name, gid);
    entry = getgrnam(name);
    if (entry)
        *gid = entry->gr_gid;
    return entry != NULL;
}
