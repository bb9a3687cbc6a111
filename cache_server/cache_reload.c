#include "cache_reload.h"

#include "invariant.h"
#include "log.h"
#include "shards.h"
#include "size.h"
#include "touch.h"

#include <string.h>

static bool load(struct cache *cache, struct cache_conf *wanted, struct conf_report *report)
{
    const struct cache_command *command = cache->conf.command;

    conf_report_clear(report, command ? command->common.config : NULL);
    if (!command || !command->common.config) {
        conf_complain(report, 0, "there is nothing to read again: the cache was started without --config");
        return false;
    }
    if (!cache_conf_load(wanted, command, &cache->conf, report))
        return false;
    cache_conf_compare(&cache->conf, wanted, report);
    if (report->count == 0)
        return true;
    cache_conf_free(wanted);
    return false;
}

void cache_apply(struct cache *cache, const struct cache_conf *wanted)
{
    char problem[256];

    cache->conf = *wanted;
    store_resize(&cache->store, cache_conf_shard_memory(wanted, cache->place.shard),
                 cache_conf_shard_object(wanted));
    INVARIANT(tenants_configure(&cache->tenants, &cache->store.memory, wanted->settings, wanted->tenant_count,
                                problem, sizeof(problem)) == 0); /* cache_conf has checked more */
    cache_expel(cache);
}

bool cache_reload(struct cache *cache, struct conf_report *report)
{
    struct cache_conf wanted, before = cache->conf;
    char memory[SIZE_TEXT_BYTES], object[SIZE_TEXT_BYTES];

    if (!load(cache, &wanted, report)) {
        conf_report_log(report);
        return false;
    }
    log_set_level(wanted.log_level);
    cache_apply(cache, &wanted);
    if (cache->place.others)
        shards_apply(cache->place.others, &wanted);
    cache_conf_free(&before);
    log_info("configuration applied", "file=\"%s\" memory=%s max_object=%s tenants=%u",
             wanted.command->common.config, size_format(wanted.memory, memory),
             size_format(wanted.max_object, object), wanted.tenant_count);
    return true;
}

bool cache_reload_into(struct cache *cache, struct session *session, uint32_t segment, uint32_t *problems,
                       uint32_t *length, bool *is_faulted)
{
    struct segment_pool *pool = &session->pool;
    struct conf_report report;

    *is_faulted = false;
    if (segment >= pool->shape.segments)
        return false;
    struct pause_touch touch = touch_begin(session);
    bool won = segment_win_write(pool, segment);
    *is_faulted = !touch_end(session, &touch);
    if (!won || *is_faulted)
        return false;
    cache_reload(cache, &report);
    *problems = report.count;
    *length = (uint32_t)report.length;
    if (*length > pool->shape.segment_bytes)
        *length = pool->shape.segment_bytes;
    touch = touch_begin(session);
    memcpy(segment_payload(pool, segment), report.text, *length);
    segment_post_read(pool, segment);
    *is_faulted = !touch_end(session, &touch);
    return !*is_faulted;
}
