#include "origin_stats.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define PATHS_MAX 16384
#define GATES_MAX 1024

struct path_count {
    UT_hash_handle hh;
    uint64_t count;
    char path[];
};

struct gate {
    UT_hash_handle hh;
    bool open;
    int held;
    char name[];
};

struct origin_counters origin_counters;
uint64_t origin_version;
int origin_failure;
int64_t origin_cut = -1;
static struct bytes last_head;
static struct path_count *paths;
static struct gate *gates;

void stats_count_path(const char *path)
{
    struct path_count *entry;
    size_t length = strlen(path);

    HASH_FIND_STR(paths, path, entry);
    if (!entry) {
        if (HASH_COUNT(paths) >= PATHS_MAX)
            return;
        entry = calloc(1, sizeof(*entry) + length + 1);
        if (!entry)
            abort();
        memcpy(entry->path, path, length);
        HASH_ADD_KEYPTR(hh, paths, entry->path, length, entry);
    }
    entry->count++;
}

void stats_keep_head(const char *head, size_t size)
{
    last_head.size = 0;
    bytes_add(&last_head, head, size);
}

void stats_last_head(struct bytes *out)
{
    bytes_add(out, last_head.data, last_head.size);
}

static void forget_path(struct path_count *entry)
{
    HASH_DEL(paths, entry);
    free(entry);
}

static void forget_gate(struct gate *gate)
{
    if (gate->held)
        return; /* a connection points at it */
    HASH_DEL(gates, gate);
    free(gate);
}

void stats_under_way(int change)
{
    origin_counters.under_way += (uint64_t)change;
    if (origin_counters.under_way > origin_counters.most_under_way)
        origin_counters.most_under_way = origin_counters.under_way;
}

void stats_reset(void)
{
    origin_counters = (struct origin_counters){.under_way = origin_counters.under_way,
                                               .most_under_way = origin_counters.under_way};
    origin_version = 0;
    origin_failure = 0;
    origin_cut = -1;
    bytes_free(&last_head);
    while (paths)
        forget_path(paths);
    for (struct gate *gate = gates, *next; gate; gate = next) {
        next = gate->hh.next;
        forget_gate(gate);
    }
}

static json_t *paths_json(void)
{
    json_t *object = json_object();

    /* A path that is not UTF-8 cannot be a JSON key; json_object_set_new() refuses it, and it is left out. */
    for (struct path_count *entry = paths; entry; entry = entry->hh.next)
        json_object_set_new(object, entry->path, json_integer((json_int_t)entry->count));
    return object;
}

static json_t *gates_json(void)
{
    json_t *object = json_object();

    for (struct gate *gate = gates; gate; gate = gate->hh.next)
        json_object_set_new(object, gate->name, json_integer(gate->held));
    return object;
}

static void add_counter(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

void stats_json(struct bytes *out)
{
    json_t *object = json_object();
    char *text;

    add_counter(object, "requests", origin_counters.requests);
    add_counter(object, "connections", origin_counters.connections);
    add_counter(object, "heads", origin_counters.heads);
    add_counter(object, "ranges", origin_counters.ranges);
    add_counter(object, "if_ranges", origin_counters.if_ranges);
    add_counter(object, "conditional", origin_counters.conditional);
    add_counter(object, "under_way", origin_counters.under_way);
    add_counter(object, "most_under_way", origin_counters.most_under_way);
    add_counter(object, "not_modified", origin_counters.not_modified);
    add_counter(object, "bytes", origin_counters.bytes);
    add_counter(object, "received", origin_counters.received);
    add_counter(object, "version", origin_version);
    json_object_set_new(object, "held", gates_json());
    json_object_set_new(object, "by_path", paths_json());
    text = json_dumps(object, JSON_COMPACT);
    if (!text)
        abort();
    bytes_print(out, "%s\n", text);
    free(text);
    json_decref(object);
}

struct gate *gate_find(const char *name)
{
    struct gate *gate;
    size_t length = strlen(name);

    HASH_FIND_STR(gates, name, gate);
    if (gate || HASH_COUNT(gates) >= GATES_MAX)
        return gate;
    gate = calloc(1, sizeof(*gate) + length + 1);
    if (!gate)
        abort();
    memcpy(gate->name, name, length);
    HASH_ADD_KEYPTR(hh, gates, gate->name, length, gate);
    return gate;
}

bool gate_is_open(const struct gate *gate)
{
    return gate->open;
}

void gate_open(struct gate *gate)
{
    gate->open = true;
}

void gate_close(struct gate *gate)
{
    gate->open = false;
}

void gate_held(struct gate *gate, int change)
{
    gate->held += change;
}
