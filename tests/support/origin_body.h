/* origin_body.h: where the bytes of a response come from.
 *
 * A generated body is a function of (seed, version, offset) alone, so any part of it can be made anywhere:
 * the 8 bytes at offset 8*i are splitmix64's output for its i-th state, little-endian.
 *
 * Ownership: a body owns its file or text; body_clear() gives them back. */
#ifndef ORIGIN_BODY_H
#define ORIGIN_BODY_H

#include "origin_bytes.h"

#include <stdint.h>
#include <sys/types.h>

enum body_kind { BODY_NONE, BODY_TEXT, BODY_GENERATED, BODY_FILE };

struct body {
    enum body_kind kind;
    int64_t size;
    uint64_t seed, version;
    int file;
    struct bytes text;
};

void body_generate(void *out, size_t size, uint64_t seed, uint64_t version, int64_t offset);

/* Bytes at an offset below the size; at most `size` of them. Negative or 0: the file failed or has shrunk. */
ssize_t body_read(const struct body *body, void *out, size_t size, int64_t offset);
void body_clear(struct body *body);

#endif
