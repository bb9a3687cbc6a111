/* invariant.h: assertions about our own state that stay in release builds.
 *
 * A false invariant is a bug of ours and ends the process. Nothing that a peer, a client or an origin sends
 * may trip one: such input is checked and refused instead. */
#ifndef LARDER_INVARIANT_H
#define LARDER_INVARIANT_H

_Noreturn void invariant_failed(const char *condition, const char *file, int line);

#define INVARIANT(condition)                                                                                 \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0))                                                               \
            invariant_failed(#condition, __FILE__, __LINE__);                                                \
    } while (0)

#endif
