/* origin_bytes.h: a growing array of bytes, always followed by a NUL.
 *
 * Ownership: the bytes belong to the struct; bytes_free() leaves it empty and usable.
 * Errors:    out of memory ends the program. */
#ifndef ORIGIN_BYTES_H
#define ORIGIN_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
    char *data;
    size_t size;
    size_t room;
};

char *bytes_reserve(struct bytes *bytes, size_t more); /* where `more` bytes may be written; size unchanged */
void bytes_add(struct bytes *bytes, const void *data, size_t size);
void bytes_print(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bytes_drop_front(struct bytes *bytes, size_t size);
void bytes_free(struct bytes *bytes);

/* How many bytes of a part of a body are wrong: those that differ from `body` at this offset, and those
 * behind its end. */
uint64_t bytes_wrong(const uint8_t *body, size_t body_size, size_t offset, const void *part, size_t size);

#endif
