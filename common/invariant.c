#include "invariant.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>

void invariant_failed(const char *condition, const char *file, int line)
{
    const char *base = strrchr(file, '/');

    log_error("internal error: an invariant does not hold; please report this", "condition=\"%s\" at=%s:%d",
              condition, base ? base + 1 : file, line);
    abort();
}
