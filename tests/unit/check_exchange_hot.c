/* Exchanges that are answered out of what the proxy keeps, or waits for; against a client library and an
 * origin that the test plays itself. */
#include "exchange.h"
#include "http_meta.h"
#include "http_vary.h"

#include "played_clients.h"

#include <string.h>

/* ---- waiting for what becomes hot ---- */

#define HOT_QUESTIONS 4 /* after which a look-up keeps what it finds */

static void find_kept(const struct http_meta_head *head, const struct http_fields *fields, uint32_t size)
{
    struct larder_event *event = reply(LARDER_EVENT_LOOKUP, LARDER_HIT);

    put_meta(event, head, fields);
    fill_pattern(event->segment->data + event->meta_length, BODY, 0, size);
    event->length = size;
    event->object_size = size;
    event->kept = true;
    deliver();
}

/* Client 1 waits in line for a segment, until what client 0 finds is hot. */
static void wait_for_hot(const struct http_meta_head *head, const struct http_fields *fields, uint32_t size)
{
    for (unsigned i = 1; i < HOT_QUESTIONS; i++) {
        request(0, "GET");
        exchange_abandon(&clients[0].exchange);
        miss(0, 0);
    }
    request(0, "GET");
    ck_assert(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_KEEP);
    hold_segments(SEGMENTS - 1);
    request(1, "GET");
    ck_assert_uint_eq(cache.waiting_count, 1);
    clients[1].room = 0;
    find_kept(head, fields, size);
    return_segments();
    ck_assert_uint_eq(cache.waiting_count, 0);
    ck_assert_uint_eq(asked_count, 0);
    ck_assert_uint_eq(times_used, 1);
}

/* Its client may take longer than it would have waited in line. */
START_TEST(what_is_hot_by_now_is_given_in_any_time)
{
    struct http_meta_head head = fresh_head();
    struct http_fields fields = stored_fields();

    begin();
    wait_for_hot(&head, &fields, 3000);
    ck_assert_whole(0, 3000);
    ck_assert_uint_eq(clients[1].heads, 1);
    ck_assert(clients[1].head.cache_status.hit);
    pass_time(EXCHANGE_CACHE_TIMEOUT_MS);
    ck_assert_uint_eq(clients[1].heads, 1);
    ck_assert_uint_eq(clients[1].finished + clients[1].broken, 0);
    clients[1].room = SIZE_MAX;
    exchange_room(clients[1].exchange);
    ck_assert_whole(1, 3000);
    ck_assert_uint_eq(fetches_begun, 0);
    end();
}
END_TEST

/* An index, and the request's variant has no key: the origin is asked, and may take its time. */
START_TEST(what_a_hot_index_has_no_key_for_is_fetched_in_any_time)
{
    static char longer[HTTP_VARY_KEY_MAX + 1];
    struct http_vary_index index = {0};
    struct http_vary_spec spec;
    struct http_meta_head head = fresh_head();
    struct http_fields fields = {0};

    ck_assert(http_vary_spec_parse(HTTP_SPAN("x"), &spec));
    http_vary_index_put(&index, &spec);
    memset(index.generation, '0', sizeof index.generation);
    http_vary_index_fields(&index, &fields);
    head.flags = HTTP_META_INDEX;
    memset(longer, 'x', sizeof longer - 1);
    begin();
    add_field(0, "X", longer);
    add_field(1, "X", longer);
    wait_for_hot(&head, &fields, 0);
    ck_assert_uint_eq(fetches_open(), 2);
    exchange_abandon(&clients[0].exchange);
    pass_time(EXCHANGE_CACHE_TIMEOUT_MS);
    ck_assert_uint_eq(clients[1].heads, 0);
    clients[1].room = SIZE_MAX;
    answer_head(fetch, 200, 10, "max-age=100");
    ck_assert_int_eq(clients[1].head.status, 200);
    ck_assert_int_eq(clients[1].head.cache_status.fwd, HTTP_FWD_VARY_MISS);
    ck_assert(send_body(fetch, 0, 10));
    end_fetch(fetch, ORIGIN_OK);
    ck_assert_whole(1, 10);
    ck_assert_uint_eq(fetches_begun, 2);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, what_is_hot_by_now_is_given_in_any_time);
    tcase_add_test(tcase, what_a_hot_index_has_no_key_for_is_fetched_in_any_time);
}

int main(void)
{
    return run_suite("exchange_hot", add_cases);
}
