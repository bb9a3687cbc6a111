/* Where the operator's rules (http_overrides.h) meet an exchange: at its beginning. */
#include "exchange_internal.h"

#include "http_date.h"
#include "invariant.h"

#include <stdlib.h>
#include <string.h>

bool rules_refuse(struct exchange *exchange)
{
    const struct http_overrides *overrides = &exchange->home->overrides;
    static const char body[] = "405: this method is not allowed here\n";
    char lines[HTTP_OVERRIDES_LIST * 64];
    struct http_text text = http_text_into(lines, sizeof lines);
    struct exchange_head head = {.status = 405, .has_body = true, .length_known = true, .age = -1};

    if (!http_overrides_refuse(overrides, exchange->request.method))
        return false;
    http_text_add(&text, HTTP_SPAN("Allow: "));
    http_overrides_allow(overrides, &text);
    http_text_add(&text, HTTP_SPAN("\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    http_date_add_field(&text, exchange_now_s(exchange));
    INVARIANT(!text.failed); /* a method of a list is a word of a line of a file, shorter than 64 */
    head.lines = (struct http_span){text.at, (uint32_t)text.length};
    head.length = sizeof body - 1;
    head.cache_status = (struct http_cache_status){.fwd = HTTP_FWD_NONE, .detail = "method-refused"};
    exchange_give_head(exchange, &head);
    exchange->sink->body(exchange->owner, body, sizeof body - 1);
    exchange_finish(exchange);
    return true;
}

void rules_make_key(struct exchange *exchange)
{
    struct http_span target = exchange->request.target, key;

    if (!http_overrides_change_keys(&exchange->home->overrides) || !memchr(target.at, '?', target.length))
        return;
    exchange->key_target = malloc(target.length);
    INVARIANT(exchange->key_target);
    key = http_overrides_key(&exchange->home->overrides, target, exchange->key_target);
    exchange->key_target_length = key.length;
}

void rules_take_key(struct exchange *exchange, const struct exchange *from)
{
    if (!from->key_target)
        return;
    exchange->key_target = malloc(from->key_target_length);
    INVARIANT(exchange->key_target);
    memcpy(exchange->key_target, from->key_target, from->key_target_length);
    exchange->key_target_length = from->key_target_length;
}

void rules_forget(struct exchange *exchange)
{
    free(exchange->key_target);
    exchange->key_target = NULL;
}

struct http_span rules_key_target(const struct exchange *exchange)
{
    return exchange->key_target ? (struct http_span){exchange->key_target, exchange->key_target_length}
                                : exchange->request.target;
}

enum http_request_verdict rules_verdict(const struct exchange *exchange, const struct http_request *request,
                                        const char **reason)
{
    enum http_request_verdict verdict = http_request_verdict(request, reason);
    const char *ruled;

    if (verdict >= HTTP_REQUEST_BYPASS ||
        !(ruled = http_overrides_bypass(&exchange->home->overrides, request->fields)))
        return verdict;
    *reason = ruled;
    return HTTP_REQUEST_BYPASS;
}
