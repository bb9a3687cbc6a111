/* fuzz_numbers.h: what a cache counts twice must agree: store, tenants, leases and sessions. */
#ifndef LARDER_FUZZ_NUMBERS_H
#define LARDER_FUZZ_NUMBERS_H

#include "cache.h"

void check_numbers(const struct cache *cache);

#endif
