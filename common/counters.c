#include "counters.h"

enum { C = COUNTER_SCOPE_CACHE, T = COUNTER_SCOPE_TENANT, P = COUNTER_SCOPE_PROXY };

const struct counter_info counter_infos[COUNTER_COUNT + GAUGE_COUNT] = {
#define COUNTER(name, scopes, help) {#name, help, scopes},
#define GAUGE(name, scopes, help)
#include "counters.def"
#undef COUNTER
#undef GAUGE
#define COUNTER(name, scopes, help)
#define GAUGE(name, scopes, help) {#name, help, scopes},
#include "counters.def"
#undef COUNTER
#undef GAUGE
};
