#include "fuzz_random.h"

#include "fuzz.h"

#include <sodium.h>

static uint64_t state;

static const char *name(void)
{
    return "fuzz";
}

static uint32_t number(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static void bytes(void *const out, const size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)number();
}

void fuzz_random_initialize(void)
{
    static randombytes_implementation numbers = {.implementation_name = name, .random = number, .buf = bytes};

    REQUIRE(randombytes_set_implementation(&numbers) == 0 && sodium_init() >= 0);
}

void fuzz_random_reset(void)
{
    state = 1;
}
