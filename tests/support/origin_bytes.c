#include "origin_bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *bytes_reserve(struct bytes *bytes, size_t more)
{
    size_t wanted = bytes->size + more + 1;

    if (wanted > bytes->room) {
        size_t room = wanted > 2 * bytes->room ? wanted : 2 * bytes->room;

        bytes->data = realloc(bytes->data, room);
        if (!bytes->data)
            abort();
        bytes->room = room;
    }
    return bytes->data + bytes->size;
}

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    char *end = bytes_reserve(bytes, size);

    if (size)
        memcpy(end, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
}

void bytes_print(struct bytes *bytes, const char *format, ...)
{
    va_list arguments;
    char *text;
    int size;

    va_start(arguments, format);
    size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0)
        abort();
    bytes_add(bytes, text, (size_t)size);
    free(text);
}

void bytes_drop_front(struct bytes *bytes, size_t size)
{
    if (size == 0)
        return;
    bytes->size -= size;
    memmove(bytes->data, bytes->data + size, bytes->size);
    bytes->data[bytes->size] = '\0';
}

void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

static uint64_t bytes_differing(const void *a, const void *b, size_t size)
{
    const unsigned char *left = a, *right = b;
    uint64_t count = 0;

    if (memcmp(a, b, size) == 0)
        return 0;
    for (size_t i = 0; i < size; i++)
        count += left[i] != right[i];
    return count;
}

uint64_t bytes_wrong(const uint8_t *body, size_t body_size, size_t offset, const void *part, size_t size)
{
    size_t left = offset < body_size ? body_size - offset : 0;
    size_t inside = size < left ? size : left;

    return size - inside + (inside > 0 ? bytes_differing(body + offset, part, inside) : 0);
}
