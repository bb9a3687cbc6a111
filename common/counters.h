/* counters.h: the numbers of counters.def as enums, names and an array that is cheap to count in. */
#ifndef LARDER_COUNTERS_H
#define LARDER_COUNTERS_H

#include "wire.h"

#include <stdint.h>

enum counter {
#define COUNTER(name, scopes, help) COUNTER_##name,
#define GAUGE(name, scopes, help)
#include "counters.def"
#undef COUNTER
#undef GAUGE
    COUNTER_COUNT
};

enum gauge {
#define COUNTER(name, scopes, help)
#define GAUGE(name, scopes, help) GAUGE_##name,
#include "counters.def"
#undef COUNTER
#undef GAUGE
    GAUGE_COUNT
};
_Static_assert(COUNTER_COUNT + GAUGE_COUNT <= WIRE_ROW_VALUES, "a row has room for every number");

struct counters {
    uint64_t values[COUNTER_COUNT];
};

enum { COUNTER_SCOPE_CACHE = 1, COUNTER_SCOPE_TENANT = 2, COUNTER_SCOPE_PROXY = 4 };

struct counter_info {
    const char *name;
    const char *help;
    unsigned scopes;
};
/* By position in wire_row.values: the counters, then the gauges. */
extern const struct counter_info counter_infos[COUNTER_COUNT + GAUGE_COUNT];

#endif
