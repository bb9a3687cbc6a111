#include "http_parts.h"

#include <string.h>

/* ---- as it is stored ---- */

struct stored_head { /* then the extents */
    uint64_t length;
    unsigned char generation[HTTP_PARTS_GENERATION];
    uint32_t count;
    uint32_t reserved; /* 0 */
};
_Static_assert(sizeof(struct stored_head) == HTTP_PARTS_BYTES(0), "no padding: every byte is written");
_Static_assert(sizeof(struct http_range) == HTTP_PARTS_BYTES(1) - HTTP_PARTS_BYTES(0), "the same");

static bool items_are_sound(const struct http_parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct http_range *item = &parts->items[i];

        if (item->first >= item->end || item->end > parts->length)
            return false;
        if (i > 0 && (item->first <= item[-1].first || item->end <= item[-1].end))
            return false;
    }
    return true;
}

static bool is_sound(const struct http_parts *parts)
{
    return parts->length > 0 && parts->length <= INT64_MAX && parts->count <= HTTP_PARTS_MAX &&
           items_are_sound(parts);
}

int http_parts_encode(const struct http_parts *parts, void *out, size_t size)
{
    struct stored_head head = {.length = parts->length, .count = parts->count};

    if (!is_sound(parts) || size < HTTP_PARTS_BYTES(parts->count))
        return -1;
    memcpy(head.generation, parts->generation, sizeof head.generation);
    memcpy(out, &head, sizeof head);
    memcpy((char *)out + sizeof head, parts->items, parts->count * sizeof *parts->items);
    return (int)HTTP_PARTS_BYTES(parts->count);
}

bool http_parts_decode(struct http_parts *out, const void *bytes, size_t length)
{
    struct stored_head head;

    if (length < sizeof head)
        return false;
    memcpy(&head, bytes, sizeof head);
    if (head.count > HTTP_PARTS_MAX || length != HTTP_PARTS_BYTES(head.count) || head.reserved != 0)
        return false;
    *out = (struct http_parts){.length = head.length, .count = head.count};
    memcpy(out->generation, head.generation, sizeof out->generation);
    memcpy(out->items, (const char *)bytes + sizeof head, head.count * sizeof *out->items);
    return is_sound(out);
}

/* ---- what is added ---- */

static uint64_t size_of(const struct http_range *range)
{
    return range->end - range->first;
}

static bool lies_within(const struct http_range *inner, const struct http_range *outer)
{
    return inner->first >= outer->first && inner->end <= outer->end;
}

bool http_parts_has(const struct http_parts *parts, const struct http_range *range)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        if (parts->items[i].first == range->first && parts->items[i].end == range->end)
            return true;
    }
    return false;
}

static bool is_known(const struct http_parts *parts, uint64_t own, const struct http_range *range)
{
    if (range->end <= own)
        return true;
    for (uint32_t i = 0; i < parts->count; i++) {
        if (lies_within(range, &parts->items[i]))
            return true;
    }
    return false;
}

static void remove_at(struct http_parts *parts, uint32_t at)
{
    parts->count--;
    memmove(&parts->items[at], &parts->items[at + 1], (parts->count - at) * sizeof *parts->items);
}

void http_parts_remove(struct http_parts *parts, const struct http_range *range)
{
    for (uint32_t i = parts->count; i > 0; i--) {
        if (parts->items[i - 1].first == range->first && parts->items[i - 1].end == range->end)
            remove_at(parts, i - 1);
    }
}

static void remove_within(struct http_parts *parts, const struct http_range *range)
{
    for (uint32_t i = parts->count; i > 0; i--) {
        if (lies_within(&parts->items[i - 1], range))
            remove_at(parts, i - 1);
    }
}

static uint32_t smallest_of(const struct http_parts *parts)
{
    uint32_t smallest = 0;

    for (uint32_t i = 1; i < parts->count; i++) {
        if (size_of(&parts->items[i]) < size_of(&parts->items[smallest]))
            smallest = i;
    }
    return smallest;
}

static void insert(struct http_parts *parts, const struct http_range *range)
{
    uint32_t at = parts->count;

    for (; at > 0 && parts->items[at - 1].first > range->first; at--)
        parts->items[at] = parts->items[at - 1];
    parts->items[at] = *range;
    parts->count++;
}

bool http_parts_add(struct http_parts *parts, uint64_t own, const struct http_range *range)
{
    if (is_known(parts, own, range))
        return false;
    remove_within(parts, range);
    if (parts->count == HTTP_PARTS_MAX)
        remove_at(parts, smallest_of(parts));
    insert(parts, range);
    return true;
}

/* ---- what a range consists of ---- */

/* The source that has the byte `at` and reaches furthest, or up to where nothing has it. */
static struct http_piece piece_at(const struct http_parts *parts, uint64_t own, const bool *lost, uint64_t at,
                                  uint64_t end)
{
    struct http_piece best = {HTTP_PIECE_GAP, {at, at}};
    uint64_t next = end;

    if (at < own)
        best = (struct http_piece){HTTP_PIECE_OWN, {at, own}};
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct http_range *item = &parts->items[i];

        if (lost && lost[i])
            continue;
        if (item->first <= at && item->end > best.range.end)
            best = (struct http_piece){(int)i, {at, item->end}};
        else if (item->first > at && item->first < next)
            next = item->first;
    }
    if (best.source == HTTP_PIECE_GAP)
        best.range.end = next;
    if (best.range.end > end)
        best.range.end = end;
    return best;
}

void http_parts_cover(const struct http_parts *parts, uint64_t own, const bool *lost,
                      const struct http_range *wanted, struct http_pieces *out)
{
    uint64_t at = wanted->first;

    /* Each source is left behind where it ends, so it serves once, and gaps lie between sources. */
    for (out->count = 0; at < wanted->end && out->count < HTTP_PIECES_MAX; out->count++) {
        out->items[out->count] = piece_at(parts, own, lost, at, wanted->end);
        at = out->items[out->count].range.end;
    }
}

bool http_pieces_gap(const struct http_pieces *pieces, struct http_range *gap)
{
    bool found = false;

    for (uint32_t i = 0; i < pieces->count; i++) {
        const struct http_piece *piece = &pieces->items[i];

        if (piece->source != HTTP_PIECE_GAP)
            continue;
        if (!found)
            *gap = piece->range;
        gap->end = piece->range.end;
        found = true;
    }
    return found;
}

uint64_t http_pieces_spared(const struct http_pieces *pieces, const struct http_range *gap)
{
    uint64_t wanted = 0;

    for (uint32_t i = 0; i < pieces->count; i++)
        wanted += size_of(&pieces->items[i].range);
    return wanted - size_of(gap);
}

/* ---- what an origin sent ---- */

static bool is_worth_it(const struct http_part *part)
{
    return size_of(&part->range) >= HTTP_PARTS_SMALLEST || size_of(&part->range) == part->length;
}

bool http_part_of(const struct http_response *response, uint64_t content_length, int64_t now,
                  struct http_part *out)
{
    const struct http_field *field = http_field_find(response->fields, "content-range", NULL);
    struct http_content_range range;
    struct http_span validator;

    /* RFC 9110 section 15.3.7.2: with multipart/byteranges there is none in the head. */
    if (response->status != 206 || !field || http_field_find(response->fields, "content-range", field) ||
        !http_content_range_parse(field->value, &range) || range.unsatisfied || !range.length_known ||
        size_of(&range.range) != content_length || !http_strong_validator(response->fields, now, &validator))
        return false;
    *out = (struct http_part){range.range, range.length};
    return is_worth_it(out);
}

bool http_parts_match(const struct http_fields *stored, const struct http_fields *response, int64_t now)
{
    struct http_span mine, other;

    /* One is a quoted tag and the other a date, where they are of different kinds. */
    return http_strong_validator(stored, now, &mine) && http_strong_validator(response, now, &other) &&
           http_span_equal(mine, other);
}
