#include "handles.h"

#include <stdlib.h>

bool handles_create(struct handles *handles, uint32_t capacity)
{
    *handles = (struct handles){.capacity = capacity};
    handles->places = calloc(capacity, sizeof(*handles->places));
    if (!handles->places)
        return false;
    for (uint32_t i = 0; i < capacity; i++)
        handles->places[i].next_free = i + 1;
    return true;
}

void handles_destroy(struct handles *handles)
{
    free(handles->places);
    *handles = (struct handles){0};
}

static uint64_t handle_of(const struct handles *handles, uint32_t index)
{
    return (uint64_t)handles->places[index].generation << 32 | (index + 1);
}

uint64_t handles_put(struct handles *handles, void *item)
{
    uint32_t index = handles->first_free;

    if (index >= handles->capacity)
        return 0;
    handles->first_free = handles->places[index].next_free;
    handles->places[index].item = item;
    handles->used++;
    return handle_of(handles, index);
}

void *handles_get(const struct handles *handles, uint64_t handle)
{
    uint32_t index = (uint32_t)handle - 1;

    if (index >= handles->capacity || handle_of(handles, index) != handle)
        return NULL;
    return handles->places[index].item;
}

static void *free_place(struct handles *handles, uint32_t index)
{
    struct handle_place *place = &handles->places[index];
    void *item = place->item;

    place->item = NULL;
    place->note = NULL;
    place->generation++;
    place->next_free = handles->first_free;
    handles->first_free = index;
    handles->used--;
    return item;
}

void *handles_take(struct handles *handles, uint64_t handle)
{
    return handles_get(handles, handle) ? free_place(handles, (uint32_t)handle - 1) : NULL;
}

void **handles_note(struct handles *handles, uint64_t handle)
{
    return handles_get(handles, handle) ? &handles->places[(uint32_t)handle - 1].note : NULL;
}

uint64_t handles_any(struct handles *handles)
{
    if (handles->used == 0)
        return 0;
    while (!handles->places[handles->looked].item)
        handles->looked = (handles->looked + 1) % handles->capacity;
    return handle_of(handles, handles->looked);
}
