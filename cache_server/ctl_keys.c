#include "ctl_keys.h"

#include "meta_head.h"
#include "size.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES (4 * WIRE_MAX_KEY + 1)
#define META_HEAD  ((uint32_t)sizeof(struct http_meta_head))

const char *ctl_printable(const uint8_t *bytes, uint32_t length, char *out, size_t size)
{
    size_t at = 0;

    for (uint32_t i = 0; i < length && at + 5 <= size; i++) {
        if (bytes[i] == '\\')
            at += (size_t)snprintf(out + at, size - at, "\\\\");
        else if (bytes[i] < ' ' || bytes[i] > '~')
            at += (size_t)snprintf(out + at, size - at, "\\x%02x", bytes[i]);
        else
            out[at++] = (char)bytes[i];
    }
    out[at] = '\0';
    return out;
}

/* ---- the most used ---- */

static double share_of(const struct wire_top_row *row)
{
    return row->total ? 100.0 * (double)row->count / (double)row->total : 0;
}

static const char *text_of(const struct wire_top_row *row, char *out, size_t size)
{
    if (row->length == 0)
        return "(a tag whose text has not passed by lately)";
    return ctl_printable(row->text, row->text_length, out, size);
}

void ctl_print_top(const struct ctl_client *client)
{
    char text[4 * WIRE_TOP_TEXT + 8];

    puts("tenant           kind   look-ups  at least       %  key or tag");
    for (size_t i = 0; i < client->top_count; i++) {
        const struct wire_top_row *row = &client->top_rows[i];
        printf("%-16s %-4s %10" PRIu64 " %9" PRIu64 " %7.1f  %s%s\n", row->tenant,
               row->kind == WIRE_TOP_KEY ? "key" : "tag", row->count * WIRE_SAMPLE,
               (row->count - row->error) * WIRE_SAMPLE, share_of(row), text_of(row, text, sizeof(text)),
               row->length > row->text_length ? "..." : "");
    }
}

static json_t *json_text(const uint8_t *bytes, uint32_t length)
{
    static char text[TEXT_BYTES];

    return json_string(ctl_printable(bytes, length, text, sizeof(text)));
}

static json_t *json_integer_of(uint64_t number)
{
    return json_integer((json_int_t)number);
}

static void print(json_t *root)
{
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

void ctl_print_top_json(const struct ctl_client *client)
{
    json_t *array = json_array();

    for (size_t i = 0; i < client->top_count; i++) {
        const struct wire_top_row *row = &client->top_rows[i];
        json_t *object = json_object();
        json_object_set_new(object, "tenant", json_string(row->tenant));
        json_object_set_new(object, "kind", json_string(row->kind == WIRE_TOP_KEY ? "key" : "tag"));
        json_object_set_new(object, "text",
                            row->length ? json_text(row->text, row->text_length) : json_null());
        json_object_set_new(object, "length", json_integer_of(row->length));
        json_object_set_new(object, "lookups", json_integer_of(row->count * WIRE_SAMPLE));
        json_object_set_new(object, "at_least", json_integer_of((row->count - row->error) * WIRE_SAMPLE));
        json_object_set_new(object, "percent", json_real(share_of(row)));
        json_array_append_new(array, object);
    }
    print(array);
}

/* ---- metadata ---- */

static bool is_name_byte(uint8_t byte)
{
    return isalnum(byte) || (byte > ' ' && byte < 0x7f && strchr("!#$%&'*+-.^_`|~", byte));
}

static bool is_value_byte(uint8_t byte)
{
    return (byte >= ' ' && byte != 0x7f) || byte == '\t';
}

/* Where the field line begins that ends at `end` with CR LF: behind the line before, or at the first byte
 * from which on it is one. `end`: nowhere. */
static uint32_t line_before(const uint8_t *meta, uint32_t end)
{
    uint32_t begin = end - 2, colon;

    while (begin > 0 && is_value_byte(meta[begin - 1]))
        begin--;
    for (colon = begin; colon < end - 2; colon++) {
        if (meta[colon] == ':' && colon > begin && is_name_byte(meta[colon - 1]))
            break;
    }
    if (colon == end - 2)
        return end;
    while (colon > begin && is_name_byte(meta[colon - 1]))
        colon--;
    return colon;
}

/* proxy_client's layout (http_meta.h): a head, whose last 8 bytes begin with the length of the lines. */
static bool is_behind_head(const uint8_t *meta, uint32_t length)
{
    uint32_t lines;

    if (length < META_HEAD)
        return false;
    memcpy(&lines, meta + META_HEAD - 8, sizeof(lines));
    return lines == length - META_HEAD;
}

uint32_t ctl_meta_lines(const uint8_t *meta, uint32_t length)
{
    uint32_t at = length;

    while (at >= 2 && meta[at - 2] == '\r' && meta[at - 1] == '\n') {
        uint32_t begin = line_before(meta, at);
        if (begin == at)
            break;
        at = begin;
        if (at < 2 || meta[at - 2] != '\r') /* it stands behind something else */
            break;
    }
    return at < META_HEAD && is_behind_head(meta, length) ? META_HEAD : at;
}

/* ---- one key ---- */

static double seconds_until(int64_t time, int64_t now)
{
    return (double)time / 1000 - (double)now / 1000;
}

static void print_time(const char *what, int64_t time, int64_t now)
{
    double left = seconds_until(time, now);

    if (left > 1e9)
        printf("  %-12s without end\n", what);
    else
        printf("  %-12s %.3f s %s\n", what, left < 0 ? -left : left, left < 0 ? "ago" : "from now");
}

/* Of the response; -1: what is stored does not tell. */
static int64_t age_of(const struct ctl_shown *what)
{
    int64_t age;

    return meta_head_read_age(what->meta, what->shown->meta_length, what->shown->now / 1000, &age) ? age : -1;
}

static void print_age(const struct ctl_shown *what)
{
    int64_t age = age_of(what);

    if (age >= 0)
        printf("  age          %" PRId64 " s\n", age);
}

static void print_lease(const struct wire_shown *shown)
{
    if (!(shown->flags & WIRE_SHOWN_LEASED)) {
        puts("  lease        nobody has it");
        return;
    }
    if (shown->holder)
        printf("  lease        process %" PRIu32 " has it", shown->holder);
    else
        printf("  lease        its holder has gone");
    if (shown->flags & WIRE_SHOWN_FILLING)
        printf(", %" PRIu64 " body bytes so far", shown->filled);
    printf(", %" PRIu32 " follow, last progress %.3f s ago\n", shown->followers,
           (double)shown->quiet_ms / 1000);
}

static void print_meta(const struct wire_shown *shown, const uint8_t *meta)
{
    static char text[TEXT_BYTES];
    uint32_t at = ctl_meta_lines(meta, shown->meta_length), line = at;

    if (at > 0)
        printf("  metadata     %" PRIu32 " bytes%s\n", shown->meta_whole,
               at == shown->meta_length ? "" : ", and in them:");
    for (uint32_t i = at; i + 1 < shown->meta_length; i++) {
        if (meta[i] != '\r' || meta[i + 1] != '\n')
            continue;
        printf("    %s\n", ctl_printable(meta + line, i - line, text, sizeof(text)));
        line = i + 2;
    }
}

static const char *freshness(const struct wire_shown *shown)
{
    if (shown->flags & WIRE_SHOWN_LAPSED)
        return "stale by a soft purge";
    return shown->fresh_until > shown->now ? "fresh" : "stale";
}

void ctl_print_shown(const struct ctl_shown *what)
{
    static char text[TEXT_BYTES];
    const struct wire_shown *shown = what->shown;
    char size[SIZE_TEXT_BYTES], charge[SIZE_TEXT_BYTES];

    printf("%s, tenant %s: %s\n", ctl_printable(what->key, what->key_length, text, sizeof(text)),
           what->tenant, shown->flags & WIRE_SHOWN_STORED ? "stored" : "not stored");
    if (shown->flags & WIRE_SHOWN_STORED) {
        printf("  size         %" PRIu64 " bytes (%s), charged %s\n", shown->size,
               size_human(shown->size, size), size_human(shown->charge, charge));
        printf("  state        %s, %" PRIu32 " pins, %" PRIu32 " tags\n", freshness(shown), shown->pins,
               shown->tags);
        printf("  eviction     %s, in queue %s, %" PRIu32 " uses remembered\n", shown->policy, shown->queue,
               shown->uses);
        print_age(what);
        print_time("fresh until", shown->fresh_until, shown->now);
        print_time("kept until", shown->keep_until, shown->now);
    }
    print_lease(shown);
    if (shown->flags & WIRE_SHOWN_STORED)
        print_meta(shown, what->meta);
}

static json_t *json_fields(const struct wire_shown *shown, const uint8_t *meta)
{
    json_t *array = json_array();
    uint32_t at = ctl_meta_lines(meta, shown->meta_length), line = at;

    for (uint32_t i = at; i + 1 < shown->meta_length; i++) {
        if (meta[i] != '\r' || meta[i + 1] != '\n')
            continue;
        json_array_append_new(array, json_text(meta + line, i - line));
        line = i + 2;
    }
    return array;
}

static void json_object_part(json_t *root, const struct ctl_shown *what)
{
    const struct wire_shown *shown = what->shown;

    json_object_set_new(root, "size", json_integer_of(shown->size));
    json_object_set_new(root, "charged", json_integer_of(shown->charge));
    json_object_set_new(root, "age_seconds", age_of(what) < 0 ? json_null() : json_integer(age_of(what)));
    json_object_set_new(root, "fresh", json_boolean(shown->fresh_until > shown->now));
    json_object_set_new(root, "soft_purged", json_boolean(shown->flags & WIRE_SHOWN_LAPSED));
    json_object_set_new(root, "fresh_seconds", json_real(seconds_until(shown->fresh_until, shown->now)));
    json_object_set_new(root, "keep_seconds", json_real(seconds_until(shown->keep_until, shown->now)));
    json_object_set_new(root, "pins", json_integer_of(shown->pins));
    json_object_set_new(root, "tags", json_integer_of(shown->tags));
    json_object_set_new(root, "policy", json_string(shown->policy));
    json_object_set_new(root, "queue", json_string(shown->queue));
    json_object_set_new(root, "uses", json_integer_of(shown->uses));
    json_object_set_new(root, "metadata_bytes", json_integer_of(shown->meta_whole));
    json_object_set_new(root, "fields", json_fields(shown, what->meta));
}

void ctl_print_shown_json(const struct ctl_shown *what)
{
    const struct wire_shown *shown = what->shown;
    json_t *root = json_object();

    json_object_set_new(root, "tenant", json_string(what->tenant));
    json_object_set_new(root, "key", json_text(what->key, what->key_length));
    json_object_set_new(root, "stored", json_boolean(shown->flags & WIRE_SHOWN_STORED));
    if (shown->flags & WIRE_SHOWN_STORED)
        json_object_part(root, what);
    json_object_set_new(root, "leased", json_boolean(shown->flags & WIRE_SHOWN_LEASED));
    if (shown->flags & WIRE_SHOWN_LEASED) {
        json_object_set_new(root, "holder", json_integer_of(shown->holder));
        json_object_set_new(root, "filling", json_boolean(shown->flags & WIRE_SHOWN_FILLING));
        json_object_set_new(root, "filled", json_integer_of(shown->filled));
        json_object_set_new(root, "followers", json_integer_of(shown->followers));
    }
    print(root);
}
