/* check_valgrind.h: what the unit tests do otherwise under scripts/valgrind.sh, which says so by setting
 * LARDER_VALGRIND. There everything is some thirty times slower, so long runs take fewer rounds; and what
 * valgrind cannot represent is left out, which is said on stderr and repeated by the script. */
#ifndef LARDER_CHECK_VALGRIND_H
#define LARDER_CHECK_VALGRIND_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline bool under_valgrind(void)
{
    return getenv("LARDER_VALGRIND") != NULL;
}

/* `rounds`, or under valgrind the `divisor`th part of them. */
static inline unsigned fewer_rounds(unsigned rounds, unsigned divisor)
{
    return under_valgrind() ? rounds / divisor : rounds;
}

/* True under valgrind: the caller returns. `why`: what valgrind does otherwise than the kernel. */
static inline bool left_out(const char *test, const char *why)
{
    if (under_valgrind())
        fprintf(stderr, "left out: %s: %s\n", test, why);
    return under_valgrind();
}

#endif
