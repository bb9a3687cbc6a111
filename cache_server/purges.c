#include "purges.h"

#include <string.h>
#include <utlist.h>

/* ---- records ---- */

size_t purge_record_bytes(uint32_t prefix_length)
{
    return sizeof(struct purge_record) + prefix_length;
}

static void add(struct purges *purges, struct purge_record *record)
{
    record->stamp = ++purges->clock;
    DL_APPEND(purges->records, record);
    purges->count++;
}

void purges_add_prefix(struct purges *purges, struct purge_record *record, const uint8_t *prefix,
                       uint32_t length, bool soft, int64_t at)
{
    *record = (struct purge_record){.kind = PURGE_PREFIX, .length = length, .soft = soft, .at = at};
    if (length > 0)
        memcpy(record->prefix, prefix, length);
    add(purges, record);
    purges->prefixes++;
    purges->prefix_bytes += length;
}

void purges_add_tag(struct purges *purges, struct purge_record *record, uint64_t tag, struct tag_node *newest,
                    bool soft, int64_t at)
{
    *record = (struct purge_record){.kind = PURGE_TAG, .tag = tag, .cursor = newest, .soft = soft, .at = at};
    add(purges, record);
}

void purges_remove(struct purges *purges, struct purge_record *record)
{
    DL_DELETE(purges->records, record);
    purges->count--;
    purges->prefixes -= record->kind == PURGE_PREFIX;
    purges->prefix_bytes -= record->length; /* 0: it is of a tag */
}

static bool begins_with(const uint8_t *bytes, uint32_t length, const struct purge_record *record)
{
    return length >= record->length && memcmp(bytes, record->prefix, record->length) == 0;
}

/* All that the older one hits, the younger one hits as well, and as hard. */
static bool supersedes(const struct purge_record *by, const struct purge_record *record)
{
    if (by == record || by->kind != record->kind || (by->soft && !record->soft))
        return false;
    return by->kind == PURGE_TAG ? by->tag == record->tag : begins_with(record->prefix, record->length, by);
}

struct purge_record *purges_superseded(const struct purges *purges, const struct purge_record *by)
{
    struct purge_record *record;

    DL_FOREACH(purges->records, record)
    {
        if (supersedes(by, record))
            return record;
    }
    return NULL;
}

static bool matches(const struct purge_record *record, const uint8_t *key, uint32_t length,
                    const struct tag_set *tags)
{
    return record->kind == PURGE_TAG ? tag_set_has(tags, record->tag) : begins_with(key, length, record);
}

enum purges_verdict purges_judge(const struct purges *purges, const uint8_t *key, uint32_t length,
                                 const struct tag_set *tags, uint64_t stamp, int64_t *at)
{
    enum purges_verdict verdict = PURGES_SPARED;
    const struct purge_record *record;

    DL_FOREACH(purges->records, record)
    {
        if (stamp >= record->stamp || !matches(record, key, length, tags))
            continue;
        if (!record->soft)
            return PURGES_GONE;
        if (verdict == PURGES_SPARED)
            *at = record->at;
        verdict = PURGES_STALE;
    }
    return verdict;
}

/* ---- what is being visited goes ---- */

/* Is it a node of the set? They stand side by side. */
static bool is_of(const struct tag_node *node, const struct tag_set *set)
{
    uintptr_t first = (uintptr_t)set->nodes, end = (uintptr_t)(set->nodes + set->count);

    return (uintptr_t)node >= first && (uintptr_t)node < end;
}

void purges_set_goes(struct purges *purges, const struct tag_set *set)
{
    struct purge_record *record;

    if (!set || purges->count == purges->prefixes)
        return;
    DL_FOREACH(purges->records, record)
    {
        if (is_of(record->cursor, set))
            record->cursor = record->cursor->next; /* another object's: of a tag it has one node */
    }
}

/* ---- what comes later ---- */

static uint32_t place_for(const struct purges *purges, uint64_t tag)
{
    uint32_t oldest = 0;

    for (uint32_t i = 0; i < purges->recent_count; i++) {
        if (purges->recent[i].tag == tag)
            return i;
        if (purges->recent[i].stamp < purges->recent[oldest].stamp)
            oldest = i;
    }
    return purges->recent_count < PURGES_RECENT ? purges->recent_count : oldest;
}

void purges_note_tag(struct purges *purges, uint64_t tag)
{
    uint32_t place = place_for(purges, tag);

    if (place == purges->recent_count)
        purges->recent_count++;
    else if (purges->recent[place].tag != tag)
        purges->tag_floor = purges->recent[place].stamp;
    purges->tag_latest = ++purges->clock;
    purges->recent[place].tag = tag;
    purges->recent[place].stamp = purges->tag_latest;
}

bool purges_since(const struct purges *purges, const struct tag_list *list, uint64_t stamp)
{
    if (list->count == 0 || stamp >= purges->tag_latest)
        return false;
    if (stamp < purges->tag_floor)
        return true;
    for (uint32_t i = 0; i < purges->recent_count; i++) {
        if (purges->recent[i].stamp > stamp && tag_list_has(list, purges->recent[i].tag))
            return true;
    }
    return false;
}
