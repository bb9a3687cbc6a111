/* size.h: sizes as people write them. */
#ifndef LARDER_SIZE_H
#define LARDER_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* Reads a decimal number of bytes with an optional binary suffix K, M, G or T (either case): "512M", "65536".
 * 0, -EINVAL (not such a text) or -ERANGE (does not fit in 64 bits). */
int size_parse(const char *text, uint64_t *out);

/* Writes e.g. "512M" when the number is a whole multiple of a unit, else the bytes; returns `out`. */
#define SIZE_TEXT_BYTES 32
const char *size_format(uint64_t bytes, char out[SIZE_TEXT_BYTES]);
/* For people: about three digits, e.g. "1.5 MiB". */
const char *size_human(uint64_t bytes, char out[SIZE_TEXT_BYTES]);

#endif
