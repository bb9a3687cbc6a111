/* fuzz.h: what the fuzz targets have in common.
 *
 * A target is one function that takes any bytes and must survive them. Built with LARDER_FUZZ (clang)
 * libFuzzer calls it; otherwise replay.c calls it for each file named on the command line, so that every
 * build runs the seeds. What a target finds out to be wrong ends the process through REQUIRE(), in both
 * cases. */
#ifndef LARDER_FUZZ_H
#define LARDER_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Once, before the first input; a target need not have it. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                   \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The input, read from its front; behind its end everything is 0. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline void fuzz_read(struct fuzz_input *input, void *out, size_t size)
{
    size_t there = size < input->left ? size : input->left;

    if (there > 0)
        memcpy(out, input->at, there);
    memset((char *)out + there, 0, size - there);
    input->at += there;
    input->left -= there;
}

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
    uint8_t value;

    fuzz_read(input, &value, sizeof value);
    return value;
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
    uint16_t value;

    fuzz_read(input, &value, sizeof value);
    return value;
}

static inline uint32_t fuzz_u32(struct fuzz_input *input)
{
    uint32_t value;

    fuzz_read(input, &value, sizeof value);
    return value;
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
    uint64_t value;

    fuzz_read(input, &value, sizeof value);
    return value;
}

/* The next `size` bytes, or fewer at the end; they stay where they are. */
static inline const uint8_t *fuzz_take(struct fuzz_input *input, size_t size, size_t *got)
{
    const uint8_t *at = input->at;

    *got = size < input->left ? size : input->left;
    input->at += *got;
    input->left -= *got;
    return at;
}

#endif
