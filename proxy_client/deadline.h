/* deadline.h: many time-outs of few lengths, so cheap that every request can set and clear one.
 *
 * A deadline_list is one class of time-outs that all have the same length: setting one appends it to the
 * tail, so the list is always ordered by time and every operation is O(1). Where the length is changed, those
 * that were set before keep theirs, and what is set shorter behind them expires with them.
 *
 * Ownership: a deadline is embedded in what it guards and is cleared before that is freed.
 * Times are milliseconds on the monotonic clock and are passed in; nothing here reads a clock. */
#ifndef LARDER_DEADLINE_H
#define LARDER_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

struct deadline {
    struct deadline *prev, *next; /* NULL while it is not set */
    int64_t at;
};

struct deadline_list {
    struct deadline head; /* head.next expires first */
    int64_t after_ms;
    void (*expired)(struct deadline *deadline); /* it is no longer set when this is called */
};

#define DEADLINE_NEVER INT64_MAX

void deadline_list_setup(struct deadline_list *list, int64_t after_ms, void (*expired)(struct deadline *));
/* Sets it, or sets it anew; it may have been in another list. */
void deadline_set(struct deadline_list *list, struct deadline *deadline, int64_t now);
void deadline_clear(struct deadline *deadline);
bool deadline_is_set(const struct deadline *deadline);
/* The one that expires first, or NULL. */
struct deadline *deadline_first(const struct deadline_list *list);
/* When the first one expires, or DEADLINE_NEVER. */
int64_t deadline_next(const struct deadline_list *list);
void deadline_expire(struct deadline_list *list, int64_t now);

#endif
