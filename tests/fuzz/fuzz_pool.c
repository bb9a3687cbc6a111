#include "fuzz_pool.h"

#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STRIDE ((size_t)2 * FUZZ_SEGMENT_BYTES)

static char *memory;
static int file = -1;

static char *at(unsigned number)
{
    REQUIRE(number < FUZZ_SEGMENTS);
    return memory + number * STRIDE;
}

static off_t offset_of(unsigned number)
{
    return (off_t)number * FUZZ_SEGMENT_BYTES;
}

static void map(void)
{
    file = memfd_create("fuzz-pool", MFD_CLOEXEC);
    REQUIRE(file >= 0 && ftruncate(file, offset_of(FUZZ_SEGMENTS)) == 0);
    memory = mmap(NULL, FUZZ_SEGMENTS * STRIDE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    for (unsigned i = 0; i < FUZZ_SEGMENTS; i++)
        REQUIRE(mmap(at(i), FUZZ_SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
                     offset_of(i)) != MAP_FAILED);
}

void fuzz_pool_setup(struct larder_segment *segments)
{
    if (file < 0)
        map();
    for (unsigned i = 0; i < FUZZ_SEGMENTS; i++) {
        fuzz_pool_unseal(i);
        fuzz_pool_renew(i);
        segments[i].size = FUZZ_SEGMENT_BYTES;
        segments[i].data = (void *)at(i);
        memset(at(i), 's', FUZZ_SEGMENT_BYTES);
    }
}

void fuzz_pool_seal(unsigned number)
{
    REQUIRE(mprotect(at(number), FUZZ_SEGMENT_BYTES, PROT_READ) == 0);
}

void fuzz_pool_unseal(unsigned number)
{
    REQUIRE(mprotect(at(number), FUZZ_SEGMENT_BYTES, PROT_READ | PROT_WRITE) == 0);
}

void fuzz_pool_renew(unsigned number)
{
    REQUIRE(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_of(number),
                      FUZZ_SEGMENT_BYTES) == 0);
}

int fuzz_pool_file(unsigned number, off_t *offset)
{
    *offset = offset_of(number);
    return file;
}
