/* top.h: what is asked for most, of each tenant, from samples of look-ups.
 *
 * A space-saving summary (Metwally, Agrawal and El Abbadi, ICDT 2005): of WIRE_TOP_MOST counted items the
 * one with least gives its place, and its count as the newcomer's error, to one that is not counted. Whatever
 * is asked for more often than one in WIRE_TOP_MOST is among them; `count` is at most `error` too high.
 * Counts are halved each minute, so old fame fades.
 *
 * Tags come as hashes. Their texts are known if they passed by lately (tops_name()).
 *
 * Bound: TOP_TENANTS summaries, made when they are first needed; the one that was fed least recently gives
 * way. Knows no queue, no ring and no clock: times are arguments, in milliseconds. */
#ifndef LARDER_TOP_H
#define LARDER_TOP_H

#include "wire.h"

#define TOP_TENANTS      64u
#define TOP_HALF_LIFE_MS 60000
#define TOP_NAMES        512u /* tags */
#define TOP_NAME_BYTES   64u

struct top_item {
    uint64_t count, error;
    uint32_t length;
    uint8_t text[WIRE_TOP_TEXT]; /* as much as fits */
};

struct top_summary {
    uint64_t hashes[WIRE_TOP_MOST]; /* apart from the items: they are searched for each sample */
    struct top_item items[WIRE_TOP_MOST];
    uint32_t used;
};

struct top {
    uint32_t tenant; /* id */
    int64_t fed_ms;
    int64_t halved_ms;
    uint64_t total; /* samples of keys, fading as well */
    struct top_summary keys, tags;
};

struct top_name {
    uint64_t tag;
    uint32_t length; /* 0: none */
    uint8_t text[TOP_NAME_BYTES];
};

struct tops {
    struct top *list[TOP_TENANTS];
    uint32_t count;
    struct top_name names[TOP_NAMES]; /* by low bits of the tag; the newer takes the place */
};

/* The summary of a tenant, to be fed or read now. NULL: it has none, and `create` is false or there is no
 * memory. */
struct top *tops_find(struct tops *tops, uint32_t tenant, int64_t now_ms, bool create);
void tops_free(struct tops *tops);
/* `count`: so many samples. */
void top_note_key(struct top *top, uint64_t hash, const uint8_t *key, uint32_t length, uint32_t count);
void top_note_tag(struct top *top, uint64_t tag, uint32_t count);
/* So the tag is called. */
void tops_name(struct tops *tops, uint64_t tag, const uint8_t *text, uint32_t length);

/* At most `most` rows of each kind, the most used first; returns how many. `rows` has room for 2 *
 * WIRE_TOP_MOST. */
uint32_t top_rows(const struct tops *tops, const struct top *top, const char *tenant, uint32_t most,
                  struct wire_top_row *rows);

#endif
