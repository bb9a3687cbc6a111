#include "getfile_request.h"

#include <stdbool.h>
#include <string.h>

#define START        "GETFILE GET "
#define START_LENGTH 12u
#define END          "\r\n\r\n"
#define END_LENGTH   4u

/* Legal in a request target as it is: RFC 3986's unreserved and reserved characters but '#' (a fragment), '['
 * and
 * ']', which stand for themselves nowhere in a path; and '%'. */
static bool stays(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("-._~:/?@!$&'()*+,;=%", byte));
}

static uint32_t encode(const char *path, uint32_t size, char *target)
{
    static const char digits[] = "0123456789ABCDEF";
    uint32_t length = 0;

    for (uint32_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)path[i];

        if (stays(byte)) {
            target[length++] = (char)byte;
        } else {
            target[length++] = '%';
            target[length++] = digits[byte >> 4];
            target[length++] = digits[byte & 15];
        }
    }
    return length;
}

static enum getfile_result parse_path(const char *path, uint32_t size, char *target, uint32_t *length)
{
    if (size > 0 && path[size - 1] == ' ')
        size--;
    if (size == 0 || path[0] != '/')
        return GETFILE_INVALID;
    *length = encode(path, size, target);
    return GETFILE_REQUEST;
}

enum getfile_result getfile_request_parse(const char *bytes, uint32_t size, char *target, uint32_t *length)
{
    uint32_t start = size < START_LENGTH ? size : START_LENGTH;
    const char *line_end;

    if (size > GETFILE_MAX_REQUEST)
        size = GETFILE_MAX_REQUEST;
    if (memcmp(bytes, START, start) != 0)
        return GETFILE_INVALID;
    line_end = memchr(bytes, '\r', size);
    if (memchr(bytes, '\n', line_end ? (size_t)(line_end - bytes) : size))
        return GETFILE_INVALID;
    if (!line_end)
        return size < GETFILE_MAX_REQUEST ? GETFILE_MORE : GETFILE_INVALID;
    if ((uint32_t)(line_end - bytes) + END_LENGTH > size) {
        uint32_t there = size - (uint32_t)(line_end - bytes);
        bool so_far = memcmp(line_end, END, there) == 0;

        return so_far && size < GETFILE_MAX_REQUEST ? GETFILE_MORE : GETFILE_INVALID;
    }
    if (memcmp(line_end, END, END_LENGTH) != 0 || line_end < bytes + START_LENGTH)
        return GETFILE_INVALID;
    return parse_path(bytes + START_LENGTH, (uint32_t)(line_end - bytes) - START_LENGTH, target, length);
}
