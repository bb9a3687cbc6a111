/* Requests to purge: nothing goes to the origin, the cache is told what to forget, and the answer says how
 * much that was.
 *
 *     PURGE /path           what is stored under that target, with its variants and parts; of a query what
 *                           the operator has ignored (exchange_rules.c) does not count
 *     PURGE /path*          under all targets that begin so, as they are stored
 *     PURGE /, Cache-Tag: a what bears one of the tags, whatever the target
 *     Soft-Purge: 1         stale instead of gone
 *
 *     EXCHANGE_PURGE ── the cache says that it is done ──> 200 with the numbers
 *                   └── busy, silent, not there ─────────> 503: some of it may have happened */
#include "exchange_internal.h"

#include "http_date.h"

#include <errno.h>
#include <stdio.h>

static void answered(void *owner, struct cache_op *op, struct larder_event *event);

static bool is_soft(const struct http_fields *fields)
{
    const struct http_field *field = http_field_find(fields, "soft-purge", NULL);

    if (!field)
        field = http_field_find(fields, "fastly-soft-purge", NULL);
    return field && http_span_equal(field->value, HTTP_SPAN("1"));
}

/* False: there is something wrong with the tags. */
static bool make_order(struct exchange *exchange, struct cache_purge *out)
{
    struct exchange_home *home = exchange->home;
    struct http_span target = exchange->request.target;
    int tags;

    out->flags = is_soft(exchange->request.fields) ? LARDER_PURGE_SOFT : 0;
    if (http_has_tags(&home->tag_fields, exchange->request.fields)) {
        tags = http_tags_collect(&home->tag_fields, exchange->request.fields, home->tags);
        out->what = (struct cache_key){{home->tags, tags > 0 ? (uint32_t)tags : 0}, HTTP_SPAN("")};
        out->flags |= LARDER_PURGE_TAGS;
        return tags > 0;
    }
    if (target.length > 0 && target.at[target.length - 1] == '*') {
        target.length--;
        out->flags |= LARDER_PURGE_PREFIX;
    } else {
        target = rules_key_target(exchange);
    }
    out->what = (struct cache_key){home->key_prefix, target};
    return true;
}

static void fail(struct exchange *exchange, int status, const char *detail, const char *text)
{
    deadline_clear(&exchange->deadline);
    exchange_fail(exchange, status, detail, text);
}

static void ask(struct exchange *exchange)
{
    struct cache_link *link = exchange->home->link;
    struct cache_purge order;
    int error = -EBADMSG;

    if (make_order(exchange, &order))
        error = cache_link_purge(link, &exchange->ops, &order, answered, exchange);
    if (error == -EAGAIN)
        error = cache_link_wait(link, &exchange->wait);
    if (error == -EBADMSG)
        fail(exchange, 400, "tags", "no tags, more than 64, or one of more than 256 bytes");
    else if (error == -EINVAL)
        fail(exchange, 400, "key-too-long", "what is to be purged does not fit in a segment");
    else if (error)
        fail(exchange, 503, error == -ENOTCONN ? "no-cache-server" : "cache-busy",
             "the cache cannot be asked");
}

static void give_numbers(struct exchange *exchange, const struct larder_event *event)
{
    char lines[128], body[160], date[HTTP_DATE_BYTES + 1];
    struct exchange_head head = {.status = 200, .has_body = true, .length_known = true, .age = -1};
    int length = snprintf(body, sizeof body, "{\"purged\":%llu,\"cancelled\":%llu,\"collecting\":%s}\n",
                          (unsigned long long)event->purged, (unsigned long long)event->cancelled,
                          event->goes_on ? "true" : "false");

    http_date_format(exchange_now_s(exchange), date);
    head.lines.at = lines;
    head.lines.length =
        (uint32_t)snprintf(lines, sizeof lines, "Content-Type: application/json\r\nDate: %s\r\n", date);
    head.length = (uint64_t)length;
    exchange_give_head(exchange, &head);
    if (exchange->sink)
        exchange->sink->body(exchange->owner, body, (size_t)length);
    exchange_finish(exchange);
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    deadline_clear(&exchange->deadline);
    if (event->status == LARDER_OK)
        give_numbers(exchange, event);
    else if (event->status == LARDER_BUSY)
        fail(exchange, 503, "cache-busy", "too many purges are under way, nothing was purged; try again");
    else
        fail(exchange, 503, event->status == LARDER_LOST ? "no-cache-server" : "cache-refused",
             "the cache has not purged it");
}

void purge_begin(struct exchange *exchange)
{
    exchange->state = EXCHANGE_PURGE;
    if (exchange->request.purge == EXCHANGE_PURGE_FORBIDDEN) {
        fail(exchange, 403, "purge", "this address may not purge");
        return;
    }
    exchange_await_answer(exchange);
    ask(exchange);
}

bool purge_retry(struct exchange *exchange)
{
    ask(exchange);
    return cache_link_retried(exchange->home->link, &exchange->wait);
}

void purge_deadline_passed(struct exchange *exchange)
{
    if (exchange->ops.count > 0)
        cache_link_timed_out(exchange->home->link, exchange->asked_ms);
    cache_link_unwait(exchange->home->link, &exchange->wait);
    cache_ops_sever(&exchange->ops);
    fail(exchange, 503, "cache-timeout", "the cache has not said in time that it is purged");
}
