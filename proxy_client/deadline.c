#include "deadline.h"

#include <stddef.h>

void deadline_list_setup(struct deadline_list *list, int64_t after_ms, void (*expired)(struct deadline *))
{
    list->head.prev = list->head.next = &list->head;
    list->head.at = DEADLINE_NEVER;
    list->after_ms = after_ms;
    list->expired = expired;
}

bool deadline_is_set(const struct deadline *deadline)
{
    return deadline->next != NULL;
}

void deadline_clear(struct deadline *deadline)
{
    if (!deadline_is_set(deadline))
        return;
    deadline->prev->next = deadline->next;
    deadline->next->prev = deadline->prev;
    deadline->prev = deadline->next = NULL;
}

void deadline_set(struct deadline_list *list, struct deadline *deadline, int64_t now)
{
    deadline_clear(deadline);
    deadline->at = now + list->after_ms;
    deadline->prev = list->head.prev;
    deadline->next = &list->head;
    list->head.prev->next = deadline;
    list->head.prev = deadline;
}

struct deadline *deadline_first(const struct deadline_list *list)
{
    return list->head.next == &list->head ? NULL : list->head.next;
}

int64_t deadline_next(const struct deadline_list *list)
{
    return list->head.next->at; /* the head's own time is DEADLINE_NEVER */
}

void deadline_expire(struct deadline_list *list, int64_t now)
{
    while (deadline_next(list) <= now) {
        struct deadline *deadline = list->head.next;

        deadline_clear(deadline);
        list->expired(deadline);
    }
}
