/* Responses to POST that say what its target has become (RFC 9110 section 9.3.3): stored under the key of
 * GET, they answer later requests for it.
 *
 *     head ──> what is stored for the target is removed ──> ask for its lease ─┬─ a miss: fill
 *                                                                              └─ anything else: pass on
 *
 * What another one has stored since the removal stays: nobody knows which of the two is newer. With the lease
 * the response is like one to GET that was missed; if it varies, its variant is found in the same way. */
#include "exchange_internal.h"

#include <errno.h>

bool post_may_be_stored(const struct exchange *exchange)
{
    return exchange->home->overrides.stores_post &&
           http_span_equal(exchange->request.method, HTTP_SPAN("POST"));
}

static bool is_storable(struct exchange *exchange)
{
    const struct origin_head *head = origin_response(exchange->fetch);
    struct http_request request = exchange_http_request(exchange);
    struct http_response response = {head->status, &head->fields};
    struct http_rules rules = exchange_rules(exchange);

    return post_may_be_stored(exchange) &&
           !http_overrides_bypass(&exchange->home->overrides, request.fields) &&
           http_storing(&rules, &request, &response, exchange->request_time, exchange_now_s(exchange)).store;
}

static void answered(void *owner, struct cache_op *op, struct larder_event *event)
{
    struct exchange *exchange = owner;

    (void)op;
    if (event->status == LARDER_MISS) {
        exchange->lease = event->lease;
        event->lease = 0;
    }
    fetch_lease_decided(exchange);
}

static int ask(struct exchange *exchange)
{
    struct cache_key key = exchange_key(exchange);

    return cache_link_lookup_asked(exchange->home->link, &exchange->ops, &key,
                                   LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY,
                                   exchange->fetched_ms, answered, exchange);
}

bool post_ask_for_lease(struct exchange *exchange)
{
    int error;

    if (!is_storable(exchange))
        return false;
    error = ask(exchange);
    if (error == -EAGAIN)
        error = cache_link_wait(exchange->home->link, &exchange->wait);
    return !error;
}

bool post_retry(struct exchange *exchange)
{
    int error = ask(exchange);

    if (error && error != -EAGAIN)
        fetch_lease_decided(exchange);
    return error != -EAGAIN;
}
