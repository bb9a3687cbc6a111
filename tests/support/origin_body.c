#include "origin_body.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void body_generate(void *out, size_t size, uint64_t seed, uint64_t version, int64_t offset)
{
    uint64_t start = mix(mix(seed + 1) + version);
    uint64_t index = (uint64_t)offset / 8;
    size_t skip = (size_t)offset % 8;
    char *to = out;

    while (size) {
        uint64_t word = htole64(mix(start + (index++ + 1) * GOLDEN_GAMMA));
        size_t part = 8 - skip < size ? 8 - skip : size;

        memcpy(to, (char *)&word + skip, part);
        to += part;
        size -= part;
        skip = 0;
    }
}

ssize_t body_read(const struct body *body, void *out, size_t size, int64_t offset)
{
    ssize_t got;

    if ((int64_t)size > body->size - offset)
        size = (size_t)(body->size - offset);
    switch (body->kind) {
    case BODY_TEXT:
        memcpy(out, body->text.data + offset, size);
        return (ssize_t)size;
    case BODY_GENERATED:
        body_generate(out, size, body->seed, body->version, offset);
        return (ssize_t)size;
    case BODY_FILE:
        got = pread(body->file, out, size, offset);
        return got < 0 ? -errno : got;
    case BODY_NONE:
        break;
    }
    return -EINVAL;
}

void body_clear(struct body *body)
{
    if (body->kind == BODY_FILE)
        close(body->file);
    bytes_free(&body->text);
    *body = (struct body){.file = -1};
}
