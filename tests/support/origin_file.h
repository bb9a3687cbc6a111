/* origin_file.h: regular files below the root, and nothing else.
 *
 * A path is walked name by name and no symbolic link is followed, so nothing outside of the root is
 * reachable. %2F may be part of a file's name or a separator: the name that has it literally is tried first.
 */
#ifndef ORIGIN_FILE_H
#define ORIGIN_FILE_H

#include <sys/stat.h>

/* Opens what a request path (still percent-encoded, beginning with '/') names below the directory `root`.
 * The descriptor, or -errno: -EINVAL for a malformed path, -ENOENT, -EACCES ... */
int file_open(int root, const char *path, struct stat *about);

const char *file_content_type(const char *path);

#endif
