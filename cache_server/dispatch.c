#include "dispatch.h"

#include "admin.h"
#include "cache.h"
#include "cache_reload.h"
#include "clock.h"
#include "identity.h"
#include "log.h"
#include "purge.h"
#include "stats.h"
#include "touch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* In one go; more wait for the next turn, after the rings have been served. */
#define DISPATCH_MAX         16
#define DISPATCH_MAX_NS      200000
/* For each nanosecond that messages take while rings are busy, rings get so many before the next message. */
#define DISPATCH_RINGS_SHARE 3

/* ---- answers ---- */

/* Those whom it could serve: of our user, root, or of one that a tenant names, with whatever group. */
static bool may_be_answered(const struct cache *cache, mqd_t queue)
{
    struct identity_owner owner;

    if (!identity_owner(queue, &owner))
        return false;
    owner.shared = false;
    return owner.uid == geteuid() || owner.uid == 0 || cache_conf_admits(&cache->conf, NULL, &owner);
}

/* To a peer that is not registered: its queue is opened for this one message, if it is that of somebody whom
 * we know. The reaper closes it: that takes as long as there are record locks on the queue. */
static void answer_stranger(struct cache *cache, const union wire_message *message)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_peer(name, cache->conf.instance, message->header.token);
    if (!reaper_takes_strangers(&cache->reaper) || mq_open_existing(&queue, name, O_WRONLY))
        return;
    if (may_be_answered(cache, queue))
        (void)mq_send_message(queue, message, message->header.length);
    reaper_close_stranger(&cache->reaper, queue);
}

/* Never waits: whoever lets its reply queue fill up misses the answer. */
static void answer(struct cache *cache, const union wire_message *message)
{
    const struct session *session = registry_find_token(&cache->registry, message->header.token);

    if (session)
        (void)mq_send_message(session->reply, message, message->header.length);
    else
        answer_stranger(cache, message);
}

static void make_refusal(const struct cache *cache, union wire_message *message,
                         const struct wire_header *asked, enum wire_refusal reason, uint64_t echo)
{
    wire_prepare(message, WIRE_REFUSED, asked->token);
    message->wire_refused.type = asked->type;
    message->wire_refused.reason = reason;
    message->wire_refused.echo = echo;
    message->wire_refused.shards = cache->place.shards;
}

static void refuse_with(struct cache *cache, const struct wire_header *asked, enum wire_refusal reason,
                        uint64_t echo)
{
    union wire_message message;

    cache->counters.values[COUNTER_bad_messages]++;
    log_debug("message refused", "type=%s reason=\"%s\"", wire_type_name(asked->type),
              wire_refusal_text(reason));
    make_refusal(cache, &message, asked, reason, echo);
    answer(cache, &message);
}

/* A message that could not be decoded. */
static void refuse(struct cache *cache, const struct wire_header *asked, enum wire_refusal reason)
{
    refuse_with(cache, asked, reason, 0);
}

/* ---- one handler a message ---- */

static void ask_for_rings(struct cache *cache, const struct wire_hello *hello)
{
    union wire_message message;

    make_refusal(cache, &message, &hello->header, WIRE_REFUSAL_SHARDS, hello->secret);
    answer(cache, &message);
}

static void on_hello(struct cache *cache, const union wire_message *message)
{
    const struct wire_hello *hello = &message->wire_hello;
    struct session *session;
    union wire_message reply;

    enum wire_refusal refusal = cache_admit(cache, hello, &session);
    if (refusal == WIRE_REFUSAL_SHARDS) { /* it comes again at once, with what it has learnt */
        ask_for_rings(cache, hello);
        return;
    }
    if (refusal != WIRE_REFUSAL_NONE) {
        cache->counters.values[COUNTER_registrations_refused]++;
        log_warn("registration refused", "reason=\"%s\"", wire_refusal_text(refusal));
        refuse_with(cache, &hello->header, refusal, hello->secret);
        return;
    }
    wire_prepare(&reply, WIRE_WELCOME, session->token);
    reply.wire_welcome.epoch = cache->epoch;
    reply.wire_welcome.registration = session->registration;
    reply.wire_welcome.max_object = cache->store.max_object;
    reply.wire_welcome.max_handles = SESSION_MAX_HANDLES;
    reply.wire_welcome.max_fills = SESSION_MAX_FILLS;
    reply.wire_welcome.max_follows = SESSION_MAX_FOLLOWS;
    reply.wire_welcome.shard = cache->place.shard;
    reply.wire_welcome.shards = cache->place.shards;
    memcpy(reply.wire_welcome.shard_key, cache->place.shard_key, WIRE_SHARD_KEY);
    reply.wire_welcome.heartbeat_ms = (uint32_t)(cache->conf.stall_ms / CACHE_BEATS);
    answer(cache, &reply);
}

/* The session that registration, token and secret name together, or NULL after a refusal. */
static struct session *authenticate(struct cache *cache, const struct wire_header *header,
                                    uint64_t registration, uint64_t secret)
{
    struct session *session = registry_find(&cache->registry, registration);

    if (session && session->token == header->token && session->secret == secret)
        return session;
    refuse_with(cache, header, WIRE_REFUSAL_STALE, secret);
    return NULL;
}

static void on_bye(struct cache *cache, const union wire_message *message)
{
    const struct wire_bye *bye = &message->wire_bye;
    struct session *session = authenticate(cache, &bye->header, bye->registration, bye->secret);

    if (session)
        cache_part(cache, &session, DEPARTURE_BYE);
}

/* Needs no secret: the worst that a forged one does is to make us look at a ring. */
static void on_bell(struct cache *cache, const union wire_message *message)
{
    struct session *session = registry_find(&cache->registry, message->wire_bell.registration);

    if (session)
        cache_activate(cache, session);
    else
        refuse_with(cache, &message->header, WIRE_REFUSAL_STALE, message->wire_bell.registration);
}

static void on_ping(struct cache *cache, const union wire_message *message)
{
    union wire_message reply;

    wire_prepare(&reply, WIRE_PONG, message->header.token);
    reply.wire_pong.cookie = message->wire_ping.cookie;
    reply.wire_pong.epoch = cache->epoch;
    reply.wire_pong.uptime_ms = (uint64_t)(clock_mono_ms() - cache->since_mono_ms);
    reply.wire_pong.pid = (uint32_t)getpid();
    reply.wire_pong.shards = cache->place.shards;
    answer(cache, &reply);
}

static void on_stats(struct cache *cache, const union wire_message *message)
{
    const struct wire_stats *stats = &message->wire_stats;
    struct session *session = authenticate(cache, &stats->header, stats->registration, stats->secret);
    union wire_message reply;

    if (!session)
        return;
    if (session->role != WIRE_ROLE_ADMIN) {
        refuse_with(cache, &stats->header, WIRE_REFUSAL_ROLE, stats->secret);
        return;
    }
    wire_prepare(&reply, WIRE_STATS_ROWS, session->token);
    reply.wire_stats_rows.segment = stats->segment;
    switch (stats_give(cache, session, stats->segment, stats->cursor, &reply.wire_stats_rows.rows,
                       &reply.wire_stats_rows.next_cursor)) {
    case STATS_GIVEN:
        answer(cache, &reply);
        return;
    case STATS_BAD_SEGMENT:
        refuse_with(cache, &stats->header, WIRE_REFUSAL_MALFORMED, stats->secret);
        return;
    case STATS_FAULTED:
        cache_part(cache, &session, DEPARTURE_FAULTED);
        return;
    }
}

/* Only for those who could as well stop the cache, and by the first shard, for all of them. */
static void on_reload(struct cache *cache, const union wire_message *message)
{
    const struct wire_reload *reload = &message->wire_reload;
    struct session *session = authenticate(cache, &reload->header, reload->registration, reload->secret);
    union wire_message reply;
    bool is_faulted;

    if (!session)
        return;
    if (session->role != WIRE_ROLE_ADMIN || !cache_is_ruled_by(session) || cache->place.shard > 0) {
        refuse_with(cache, &reload->header, WIRE_REFUSAL_ROLE, reload->secret);
        return;
    }
    wire_prepare(&reply, WIRE_RELOADED, session->token);
    reply.wire_reloaded.segment = reload->segment;
    if (cache_reload_into(cache, session, reload->segment, &reply.wire_reloaded.problems,
                          &reply.wire_reloaded.length, &is_faulted))
        answer(cache, &reply);
    else if (is_faulted)
        cache_part(cache, &session, DEPARTURE_FAULTED);
    else
        refuse_with(cache, &reload->header, WIRE_REFUSAL_MALFORMED, reload->secret);
}

enum taking { TAKEN, TAKEN_MALFORMED, TAKEN_FAULTED };

/* What is to be purged, out of the asker's segment into cache->block. */
static enum taking take_purge(struct cache *cache, struct session *session, const struct wire_purge *purge)
{
    struct segment_pool *pool = &session->pool;

    if (purge->segment >= pool->shape.segments || purge->length > pool->shape.segment_bytes)
        return TAKEN_MALFORMED;
    struct pause_touch touch = touch_begin(session);
    bool won = segment_win_read(pool, purge->segment);
    if (won) {
        memcpy(cache->block, segment_payload(pool, purge->segment), purge->length);
        segment_post_write(pool, purge->segment);
    }
    if (!touch_end(session, &touch))
        return TAKEN_FAULTED;
    return won ? TAKEN : TAKEN_MALFORMED;
}

static enum wire_refusal carry_out(struct cache *cache, const struct purge_order *order,
                                   struct wire_purged *purged)
{
    struct purge_effect effect;

    switch (purge_carry_out(cache, order, &effect)) {
    case PURGE_NO_PLACE:
        return WIRE_REFUSAL_BUSY;
    case PURGE_NO_MEMORY:
        return WIRE_REFUSAL_RESOURCES;
    case PURGE_DONE:
        break;
    }
    purged->objects = effect.objects;
    purged->leases = effect.leases;
    purged->flags = effect.goes_on ? WIRE_GOES_ON : 0;
    return WIRE_REFUSAL_NONE;
}

/* WIRE_REFUSAL_NONE: the answer is made. Nulls the pointer if the asker's pool lost pages. */
static enum wire_refusal purge_for(struct cache *cache, struct session **session,
                                   const struct wire_purge *purge, struct wire_purged *purged)
{
    struct purge_order order = {.tenant = tenants_find(&cache->tenants, purge->tenant)};

    if ((*session)->role != WIRE_ROLE_ADMIN)
        return WIRE_REFUSAL_ROLE;
    if (!cache_lets_manage(cache, *session, purge->tenant))
        return WIRE_REFUSAL_USER;
    if (!purge_order_flags(&order, purge->flags) || !purge_length_is_sound(order.scope, purge->length))
        return WIRE_REFUSAL_MALFORMED;
    switch (take_purge(cache, *session, purge)) {
    case TAKEN_FAULTED:
        cache_part(cache, session, DEPARTURE_FAULTED);
        return WIRE_REFUSAL_NONE;
    case TAKEN_MALFORMED:
        return WIRE_REFUSAL_MALFORMED;
    case TAKEN:
        break;
    }
    if (!order.tenant)
        return WIRE_REFUSAL_NO_TENANT;
    return purge_order_fill(cache, &order, purge->length) ? carry_out(cache, &order, purged)
                                                          : WIRE_REFUSAL_MALFORMED;
}

static void on_purge(struct cache *cache, const union wire_message *message)
{
    const struct wire_purge *purge = &message->wire_purge;
    struct session *session = authenticate(cache, &purge->header, purge->registration, purge->secret);
    union wire_message reply;

    if (!session)
        return;
    wire_prepare(&reply, WIRE_PURGED, session->token);
    enum wire_refusal refusal = purge_for(cache, &session, purge, &reply.wire_purged);
    if (refusal != WIRE_REFUSAL_NONE)
        refuse_with(cache, &purge->header, refusal, purge->secret);
    else if (session)
        answer(cache, &reply);
}

/* The session of an administrator that is who it says it is, or NULL after a refusal. */
/* What is asked concerns this tenant; "": all of them, which is for those alone who could as well stop the
 * cache. */
static struct session *authenticate_admin(struct cache *cache, const struct wire_header *header,
                                          uint64_t registration, uint64_t secret, const char *tenant)
{
    struct session *session = authenticate(cache, header, registration, secret);

    if (!session)
        return NULL;
    if (session->role != WIRE_ROLE_ADMIN) {
        refuse_with(cache, header, WIRE_REFUSAL_ROLE, secret);
        return NULL;
    }
    if (!cache_is_ruled_by(session) && (tenant[0] == '\0' || !cache_lets_manage(cache, session, tenant))) {
        refuse_with(cache, header, WIRE_REFUSAL_USER, secret);
        return NULL;
    }
    return session;
}

static void answer_admin(struct cache *cache, struct session *session, const struct wire_header *header,
                         enum admin_result result, const union wire_message *reply)
{
    static const enum wire_refusal refusals[] = {[ADMIN_MALFORMED] = WIRE_REFUSAL_MALFORMED,
                                                 [ADMIN_NO_TENANT] = WIRE_REFUSAL_NO_TENANT,
                                                 [ADMIN_NO_PROXY] = WIRE_REFUSAL_NO_PROXY};

    if (result == ADMIN_DONE)
        answer(cache, reply);
    else if (result == ADMIN_FAULTED)
        cache_part(cache, &session, DEPARTURE_FAULTED);
    else
        refuse_with(cache, header, refusals[result], session->secret);
}

static void on_top(struct cache *cache, const union wire_message *message)
{
    const struct wire_top *top = &message->wire_top;
    struct session *session =
        authenticate_admin(cache, &top->header, top->registration, top->secret, top->tenant);
    union wire_message reply;

    if (!session)
        return;
    wire_prepare(&reply, WIRE_TOP_ROWS, session->token);
    answer_admin(cache, session, &top->header, admin_top(cache, session, top, &reply.wire_top_rows), &reply);
}

static void on_show(struct cache *cache, const union wire_message *message)
{
    const struct wire_show *show = &message->wire_show;
    struct session *session =
        authenticate_admin(cache, &show->header, show->registration, show->secret, show->tenant);
    union wire_message reply;

    if (!session)
        return;
    wire_prepare(&reply, WIRE_SHOWN, session->token);
    answer_admin(cache, session, &show->header, admin_show(cache, session, show, &reply.wire_shown), &reply);
}

static void on_drain(struct cache *cache, const union wire_message *message)
{
    const struct wire_drain *drain = &message->wire_drain;
    struct session *session =
        authenticate_admin(cache, &drain->header, drain->registration, drain->secret, "");
    union wire_message reply;

    if (!session)
        return;
    wire_prepare(&reply, WIRE_DRAINED, session->token);
    answer_admin(cache, session, &drain->header, admin_drain(cache, drain, &reply.wire_drained), &reply);
}

/* ---- the queue ---- */

static void (*const handlers[])(struct cache *, const union wire_message *) = {
    [WIRE_HELLO] = on_hello, [WIRE_BYE] = on_bye,     [WIRE_BELL] = on_bell,     [WIRE_PING] = on_ping,
    [WIRE_STATS] = on_stats, [WIRE_PURGE] = on_purge, [WIRE_RELOAD] = on_reload, [WIRE_TOP] = on_top,
    [WIRE_SHOW] = on_show,   [WIRE_DRAIN] = on_drain,
};

static void dispatch(struct cache *cache, union wire_message *message, size_t length)
{
    const struct wire_header *header = &message->header;

    cache->counters.values[COUNTER_messages]++;
    switch (wire_decode(message, length)) {
    case WIRE_DECODED:
        if (header->type < sizeof(handlers) / sizeof(*handlers))
            handlers[header->type](cache, message);
        else /* a message for peers, sent to us */
            refuse(cache, header, WIRE_REFUSAL_TYPE);
        return;
    case WIRE_GARBAGE:
        cache->counters.values[COUNTER_bad_messages]++;
        return;
    case WIRE_BAD_VERSION:
        refuse(cache, header, WIRE_REFUSAL_VERSION);
        return;
    case WIRE_BAD_TYPE:
        refuse(cache, header, WIRE_REFUSAL_TYPE);
        return;
    case WIRE_MALFORMED:
        refuse(cache, header, WIRE_REFUSAL_MALFORMED);
        return;
    }
}

/* False: the queue was seen empty (-EAGAIN). */
static bool take_message(struct cache *cache, mqd_t queue)
{
    union wire_message message;
    int length = mq_receive_message(queue, &message);

    if (length < 0) {
        cache->unanswered = 0;
        cache->flooded = false;
        return false;
    }
    if (++cache->unanswered >= MQ_COMMAND_DEPTH) {
        cache->unanswered = 0;
        cache->flooded = true;
        cache_activate_all(cache); /* a BELL may have found the queue full */
    }
    dispatch(cache, &message, (size_t)length);
    return true;
}

void dispatch_messages(struct cache *cache, mqd_t queue)
{
    int64_t start = clock_mono_ns(), spent = 0;

    if (cache->processes.busy && start < cache->messages_after_ns)
        return;
    for (int i = 0; i < DISPATCH_MAX && spent < DISPATCH_MAX_NS && take_message(cache, queue); i++)
        spent = clock_mono_ns() - start;
    cache->messages_after_ns = start + spent * (1 + DISPATCH_RINGS_SHARE);
}
