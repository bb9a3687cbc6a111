#include "origin_file.h"

#include "origin_script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static int open_name(int dir, const char *name, bool last)
{
    int flags = O_NOFOLLOW | O_CLOEXEC | (last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY);
    int fd;

    if (strcmp(name, "..") == 0)
        return -EACCES;
    fd = openat(dir, name, flags);
    return fd < 0 ? -errno : fd;
}

/* Walks the decoded path; consumes `path`. */
static int walk(int root, char *path)
{
    int dir = root, fd = -ENOENT;
    char *name;

    while ((name = strsep(&path, "/"))) {
        if (*name == '\0' && path)
            continue;
        fd = open_name(dir, *name ? name : ".", !path);
        if (dir != root)
            close(dir);
        if (fd < 0)
            return fd;
        dir = fd;
    }
    return fd;
}

static int open_regular(int root, char *path, struct stat *about)
{
    int fd = walk(root, path);

    if (fd < 0)
        return fd;
    if (fstat(fd, about) == 0 && S_ISREG(about->st_mode))
        return fd;
    close(fd);
    return -ENOENT;
}

static int open_decoded(int root, const char *path, bool keep_slash, struct stat *about)
{
    char *decoded = strdup(path);
    int fd = -EINVAL;

    if (!decoded)
        return -ENOMEM;
    if (percent_decode(decoded, keep_slash))
        fd = open_regular(root, decoded, about);
    free(decoded);
    return fd;
}

int file_open(int root, const char *path, struct stat *about)
{
    int fd = open_decoded(root, path, true, about);

    return fd < 0 ? open_decoded(root, path, false, about) : fd;
}

const char *file_content_type(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".css", "text/css"},
        {".js", "text/javascript"},
        {".json", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".gif", "image/gif"},
        {".pdf", "application/pdf"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(types[i][0], dot) == 0)
            return types[i][1];
    return "application/octet-stream";
}
