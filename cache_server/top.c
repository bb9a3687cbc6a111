#include "top.h"

#include <stdlib.h>
#include <string.h>

static uint32_t at_most(uint32_t number, uint32_t most)
{
    return number < most ? number : most;
}

/* ---- one summary ---- */

/* What has faded away is no longer counted. */
static void halve(struct top_summary *summary)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < summary->used; i++) {
        struct top_item *item = &summary->items[i];
        item->count /= 2;
        item->error /= 2;
        if (item->count == 0)
            continue;
        if (kept != i) {
            summary->items[kept] = *item;
            summary->hashes[kept] = summary->hashes[i];
        }
        kept++;
    }
    summary->used = kept;
}

static uint32_t find_least(const struct top_summary *summary)
{
    uint32_t least = 0;

    for (uint32_t i = 1; i < summary->used; i++) {
        if (summary->items[i].count < summary->items[least].count)
            least = i;
    }
    return least;
}

/* A place for what is not counted yet. */
static struct top_item *make_place(struct top_summary *summary, uint64_t hash)
{
    uint32_t place = summary->used < WIRE_TOP_MOST ? summary->used++ : WIRE_TOP_MOST;
    uint64_t inherited = 0;

    if (place == WIRE_TOP_MOST) {
        place = find_least(summary);
        inherited = summary->items[place].count;
    }
    summary->hashes[place] = hash;
    summary->items[place] = (struct top_item){.count = inherited, .error = inherited};
    return &summary->items[place];
}

static void note(struct top_summary *summary, uint64_t hash, const uint8_t *text, uint32_t length,
                 uint32_t count)
{
    for (uint32_t i = 0; i < summary->used; i++) {
        if (summary->hashes[i] == hash) {
            summary->items[i].count += count;
            return;
        }
    }
    struct top_item *item = make_place(summary, hash);
    item->count += count;
    item->length = length;
    if (length > 0)
        memcpy(item->text, text, at_most(length, WIRE_TOP_TEXT));
}

void top_note_key(struct top *top, uint64_t hash, const uint8_t *key, uint32_t length, uint32_t count)
{
    top->total += count;
    note(&top->keys, hash, key, length, count);
}

void top_note_tag(struct top *top, uint64_t tag, uint32_t count)
{
    note(&top->tags, tag, NULL, 0, count);
}

/* ---- those of the tenants ---- */

static void fade(struct top *top, int64_t now_ms)
{
    for (int i = 0; i < 64 && now_ms - top->halved_ms >= TOP_HALF_LIFE_MS; i++) {
        halve(&top->keys);
        halve(&top->tags);
        top->total /= 2;
        top->halved_ms += TOP_HALF_LIFE_MS;
    }
    if (now_ms - top->halved_ms >= TOP_HALF_LIFE_MS) /* there is nothing left to halve */
        top->halved_ms = now_ms;
}

static struct top *make_room(struct tops *tops)
{
    uint32_t oldest = 0;

    if (tops->count < TOP_TENANTS) {
        struct top *made = calloc(1, sizeof(*made));
        if (made)
            tops->list[tops->count++] = made;
        return made;
    }
    for (uint32_t i = 1; i < TOP_TENANTS; i++) {
        if (tops->list[i]->fed_ms < tops->list[oldest]->fed_ms)
            oldest = i;
    }
    memset(tops->list[oldest], 0, sizeof(*tops->list[oldest]));
    return tops->list[oldest];
}

struct top *tops_find(struct tops *tops, uint32_t tenant, int64_t now_ms, bool create)
{
    struct top *top = NULL;

    for (uint32_t i = 0; i < tops->count && !top; i++) {
        if (tops->list[i]->tenant == tenant)
            top = tops->list[i];
    }
    if (!top && create) {
        top = make_room(tops);
        if (top) {
            top->tenant = tenant;
            top->halved_ms = now_ms;
        }
    }
    if (!top)
        return NULL;
    fade(top, now_ms);
    if (create)
        top->fed_ms = now_ms;
    return top;
}

void tops_free(struct tops *tops)
{
    while (tops->count > 0)
        free(tops->list[--tops->count]);
}

/* ---- texts of tags ---- */

void tops_name(struct tops *tops, uint64_t tag, const uint8_t *text, uint32_t length)
{
    struct top_name *name = &tops->names[tag % TOP_NAMES];

    if (name->length > 0 && name->tag == tag)
        return;
    name->tag = tag;
    name->length = length;
    memcpy(name->text, text, at_most(length, TOP_NAME_BYTES));
}

/* ---- rows ---- */

static void key_row(const struct top_item *item, struct wire_top_row *row)
{
    row->kind = WIRE_TOP_KEY;
    row->length = item->length;
    row->text_length = at_most(item->length, WIRE_TOP_TEXT);
    memcpy(row->text, item->text, row->text_length);
}

static void tag_row(const struct tops *tops, uint64_t tag, struct wire_top_row *row)
{
    const struct top_name *name = &tops->names[tag % TOP_NAMES];

    row->kind = WIRE_TOP_TAG;
    if (name->length == 0 || name->tag != tag)
        return;
    row->length = name->length;
    row->text_length = at_most(name->length, TOP_NAME_BYTES);
    memcpy(row->text, name->text, row->text_length);
}

static int compare(const void *a, const void *b)
{
    const struct wire_top_row *one = a, *other = b;

    return (one->count < other->count) - (one->count > other->count);
}

static uint32_t give(const struct tops *tops, const struct top *top, const struct top_summary *summary,
                     const char *tenant, uint32_t most, struct wire_top_row *rows)
{
    for (uint32_t i = 0; i < summary->used; i++) {
        const struct top_item *item = &summary->items[i];
        memset(&rows[i], 0, sizeof(rows[i]));
        memcpy(rows[i].tenant, tenant, strnlen(tenant, sizeof(rows[i].tenant) - 1));
        rows[i].count = item->count;
        rows[i].error = item->error;
        rows[i].total = top->total;
        if (summary == &top->keys)
            key_row(item, &rows[i]);
        else
            tag_row(tops, summary->hashes[i], &rows[i]);
    }
    qsort(rows, summary->used, sizeof(*rows), compare);
    return at_most(summary->used, most);
}

uint32_t top_rows(const struct tops *tops, const struct top *top, const char *tenant, uint32_t most,
                  struct wire_top_row *rows)
{
    uint32_t keys = give(tops, top, &top->keys, tenant, most, rows);

    return keys + give(tops, top, &top->tags, tenant, most, rows + keys);
}
