/* Exchanges that follow others, hand their clients over, fill the rest of what others began, refresh without
 * a client, and leave word of what came of a fetch; against a client library and an origin that the test
 * plays itself. */
#include "exchange.h"
#include "http_meta.h"

#include "played_clients.h"

#include <errno.h>
#include <string.h>

/* ---- the cache ---- */

static void grow(uint64_t follow, uint64_t handle, uint64_t filled, uint64_t size)
{
    struct larder_event *event = reply(LARDER_EVENT_FOLLOW, LARDER_OK);

    event->follow = follow;
    event->handle = handle;
    event->filled = filled;
    event->object_size = size;
    deliver();
}

static void complete(uint64_t handle, uint64_t size)
{
    struct larder_event *event = reply(LARDER_EVENT_FOLLOW, LARDER_HIT);

    event->handle = handle;
    event->filled = event->object_size = size;
    deliver();
}

static void promote(uint64_t handle, uint64_t lease, uint64_t filled, uint64_t size, bool filling)
{
    struct larder_event *event = reply(LARDER_EVENT_FOLLOW, filling ? LARDER_OK : LARDER_MISS);

    event->promoted = true;
    event->handle = handle;
    event->lease = lease;
    event->filled = filled;
    event->object_size = size;
    deliver();
}

static void give_meta(const struct http_meta_head *head)
{
    struct http_fields fields = stored_fields();
    unsigned number;

    for (number = 0; number < asked_count; number++) {
        if (asked[number].kind == LARDER_EVENT_READ && asked[number].flags == 1)
            break;
    }
    put_meta(answer(number, LARDER_OK), head, &fields);
    deliver();
}

/* What is found under the key; `body` bytes of it, all in the segment. */
static void find(enum larder_status status, const struct http_meta_head *head, uint64_t handle,
                 uint64_t lease, uint64_t follow)
{
    struct larder_event *event = reply(LARDER_EVENT_LOOKUP, status);
    struct http_fields fields = stored_fields();

    put_meta(event, head, &fields);
    fill_pattern(event->segment->data + event->meta_length, BODY, 0, 10);
    event->length = 10;
    event->object_size = 10;
    event->handle = handle;
    event->lease = lease;
    event->follow = follow;
    deliver();
}

/* What the oldest fill or update brings as metadata; it is answered. */
static struct http_meta_head take_written(enum larder_event_kind kind)
{
    const struct asked *op = the_asked(kind);
    static char copy[SEGMENT_BYTES];
    struct http_meta meta;

    memcpy(copy, op->segment->data + op->key_length, op->meta_length);
    ck_assert(http_meta_decode(&meta, copy, op->meta_length));
    reply(kind, LARDER_OK);
    deliver();
    return meta.head;
}

/* Answers fills until there are none; the bytes must follow on `*filled`. */
static void take_fill(uint64_t *filled)
{
    unsigned number;

    while (is_asked(LARDER_EVENT_FILL_BEGIN, &number) || is_asked(LARDER_EVENT_FILL_DATA, &number)) {
        const struct asked *op = &asked[number];
        uint32_t before = op->key_length + op->meta_length;

        if (op->kind == LARDER_EVENT_FILL_DATA)
            ck_assert_uint_eq(op->offset, *filled);
        ck_assert(is_pattern(op->segment->data + before, BODY, *filled, op->length));
        *filled += op->length;
        answer(number, LARDER_OK);
        deliver();
    }
}

/* ---- followers ---- */

static void follow(unsigned number)
{
    request(number, "GET");
    ck_assert(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_FOLLOW);
    miss(0, 5);
    ck_assert_uint_eq(clients[number].heads, 0);
}

START_TEST(a_follower_is_served_what_grows)
{
    uint64_t size = _i == 0 ? 9000 : LARDER_SIZE_UNKNOWN;
    struct http_meta_head head = fresh_head();

    begin();
    follow(0);
    grow(5, 7, 5000, size);
    give_meta(&head);
    ck_assert_uint_eq(clients[0].heads, 1);
    ck_assert(clients[0].head.cache_status.collapsed);
    ck_assert_int_eq(clients[0].head.cache_status.fwd, HTTP_FWD_URI_MISS);
    ck_assert_int_eq(clients[0].head.length_known, _i == 0);
    serve_reads();
    ck_assert_uint_eq(clients[0].size, 5000);
    grow(5, 0, 9000, size);
    serve_reads();
    ck_assert_uint_eq(clients[0].size, _i == 0 ? 8999 : 9000);
    ck_assert_uint_eq(clients[0].finished, 0);
    pass_time(5000); /* it may take any time */
    while (is_asked(LARDER_EVENT_LOOKUP, &(unsigned){0}))
        miss(0, 0);
    complete(0, 9000);
    serve_reads();
    ck_assert_whole(0, 9000);
    ck_assert_uint_eq(fetches_begun, 0);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
}
END_TEST

START_TEST(a_follower_is_served_what_is_complete)
{
    struct http_meta_head head = fresh_head();
    uint64_t size = _i == 0 ? 0 : 9000;

    begin();
    follow(0);
    complete(7, size);
    give_meta(&head);
    serve_reads();
    ck_assert_whole(0, size);
    ck_assert(clients[0].head.length_known);
    end();
}
END_TEST

/* It leaves while it waits, or while it reads. */
START_TEST(a_follower_may_leave)
{
    struct http_meta_head head = fresh_head();

    begin();
    follow(0);
    if (_i > 0) {
        grow(5, 7, 5000, 9000);
        if (_i > 1)
            give_meta(&head);
    }
    exchange_abandon(&clients[0].exchange);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), _i > 0);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
}
END_TEST

static const struct {
    const char *control; /* of the request */
    uint16_t flags;
    int64_t initial_age;
    bool served;
} uses[] = {
    {"max-age=50", 0, 0, true},
    {"max-age=50", 0, 60, false},
    {"min-fresh=50", 0, 60, false},
    {"x", HTTP_META_MUST_VALIDATE, 0, false},
    {"x", 0, 200, false}, /* stale as it comes */
    {"max-stale=500", 0, 200, true},
    {"max-stale=500", HTTP_META_STRICT, 200, false},
};

/* `_i` beyond the table: the same, complete. */
START_TEST(a_follower_gets_only_what_it_may_use)
{
    unsigned row = (unsigned)_i % (unsigned)ROWS(uses);
    bool whole = _i >= ROWS(uses);
    struct http_meta_head head = fresh_head();

    head.flags = uses[row].flags;
    head.initial_age = uses[row].initial_age;
    begin();
    add_field(0, "Cache-Control", uses[row].control);
    follow(0);
    if (whole)
        complete(7, 100);
    else
        grow(5, 7, 50, 100);
    give_meta(&head);
    ck_assert_int_eq(clients[0].heads, uses[row].served);
    if (uses[row].served) {
        exchange_abandon(&clients[0].exchange);
    } else if (whole) { /* found like anything that is stored, and waiting would not help */
        ck_assert(!(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_FOLLOW));
        exchange_abandon(&clients[0].exchange);
    } else {
        ck_assert_uint_eq(fetches_open(), 1);
        exchange_abandon(&clients[0].exchange);
    }
    end();
}
END_TEST

START_TEST(who_must_not_wait_does_not)
{
    static const char *const rows[][3] = {{"HEAD", "X", "x"},
                                          {"GET", "Range", "bytes=0-1"},
                                          {"GET", "Cache-Control", "only-if-cached"},
                                          {"GET", "Cache-Control", "no-cache"}};

    begin();
    add_field(0, rows[_i][1], rows[_i][2]);
    request(0, rows[_i][0]);
    ck_assert(!(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_FOLLOW));
    miss(0, 0);
    if (clients[0].exchange)
        exchange_abandon(&clients[0].exchange);
    end();
}
END_TEST

START_TEST(the_lease_is_left_to_a_follower)
{
    begin();
    follow(0);
    promote(0, 9, 0, LARDER_SIZE_UNKNOWN, false);
    ck_assert(!(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_FOLLOW));
    miss(0, 0);
    ck_assert_uint_eq(fetches_open(), 1);
    answer_head(fetch, 200, 10, "max-age=100");
    ck_assert(send_body(fetch, 0, 10));
    end_fetch(fetch, ORIGIN_OK);
    ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_BEGIN)->lease, 9);
    take_written(LARDER_EVENT_FILL_BEGIN);
    ck_assert_whole(0, 10);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 0);
}
END_TEST

/* Not one after the other: whoever comes next would not be able to store it either. */
START_TEST(what_broke_is_fetched_by_each)
{
    begin();
    follow(0);
    follow(1);
    reply(LARDER_EVENT_FOLLOW, LARDER_MISS)->broken = true;
    deliver();
    ck_assert_uint_eq(asked_count, 0);
    ck_assert_uint_eq(fetches_open(), 2);
    exchange_abandon(&clients[0].exchange);
    exchange_abandon(&clients[1].exchange);
    end();
}
END_TEST

/* Within a body: the rest comes from the origin, if anybody can say what it is. */
START_TEST(what_grows_no_more_is_continued)
{
    struct http_meta_head head = fresh_head();
    uint64_t size = _i == 0 ? 9000 : LARDER_SIZE_UNKNOWN;

    begin();
    follow(0);
    grow(5, 7, 3000, size);
    give_meta(&head);
    serve_reads();
    reply(LARDER_EVENT_FOLLOW, LARDER_MISS)->broken = true;
    deliver();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
    if (_i == 1) {
        ck_assert_uint_eq(clients[0].broken, 1);
        end();
        return;
    }
    ck_assert_ptr_nonnull(strstr(fetch->fields, "Range: bytes=3000-\r\n"));
    ck_assert_ptr_nonnull(strstr(fetch->fields, "If-Range: \"a\"\r\n"));
    http_field_add(&fetch->head.fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
    http_field_add(&fetch->head.fields, HTTP_SPAN("Content-Range"), HTTP_SPAN("bytes 3000-8999/9000"));
    answer_head(fetch, 206, 6000, "max-age=100");
    send_body(fetch, 3000, 6000);
    end_fetch(fetch, ORIGIN_OK);
    ck_assert_whole(0, 9000);
    end();
}
END_TEST

/* A follower that waits, or reads, notices a cache that is frozen. */
START_TEST(a_frozen_cache_holds_no_client)
{
    struct http_meta_head head = fresh_head();

    begin();
    follow(0);
    if (_i > 0)
        grow(5, 7, 3000, 9000);
    if (_i > 1) {
        give_meta(&head);
        serve_reads();
    }
    pass_time(1000);
    pass_time(100);
    ck_assert(cache.silent);
    ck_assert_uint_eq(fetches_open(), 1);
    ck_assert_int_eq(strstr(fetch->fields, "Range: bytes=3000-") != NULL, _i > 1);
    exchange_abandon(&clients[0].exchange);
    end();
}
END_TEST

/* ---- marks ---- */

START_TEST(what_cannot_be_stored_leaves_a_mark)
{
    static const char *const controls[] = {"no-store", "private", "max-age=100", "max-age=1"};
    static char large[3990];
    struct http_meta_head mark;

    begin();
    request(0, "GET");
    miss(9, 0);
    memset(large, 'a', sizeof large);
    if (_i == 2) /* its metadata do not fit into a segment */
        http_field_add(&fetch->head.fields, HTTP_SPAN("X"), (struct http_span){large, sizeof large});
    if (_i == 3) /* of no use any more when it arrives */
        http_field_add(&fetch->head.fields, HTTP_SPAN("Age"), HTTP_SPAN("5"));
    answer_head(fetch, 200, 10, controls[_i]);
    ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_BEGIN)->lease, 9);
    mark = take_written(LARDER_EVENT_FILL_BEGIN);
    ck_assert(mark.flags & HTTP_META_MARK);
    ck_assert_int_eq(mark.status, 200);
    ck_assert_uint_ne(mark.id, 0);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 0);
    send_body(fetch, 0, 10);
    end_fetch(fetch, ORIGIN_OK);
    ck_assert_whole(0, 10);
    end();
}
END_TEST

static struct http_meta_head mark_head(void)
{
    struct http_meta_head head = fresh_head();

    head.flags = HTTP_META_MARK;
    return head;
}

enum { SAME_MARK, OTHER_MARK, NO_MARK, NO_LEASE, NOT_STORABLE, UNANSWERED, MARK_ENDS };

/* Whoever finds one fetches at once. If it comes to storing after all, only in the place of that very mark.
 */
START_TEST(a_mark_keeps_nobody_waiting)
{
    struct http_meta_head head = mark_head();

    begin();
    add_field(0, "X-Forwarded-Host", "evil");
    add_field(0, "Forwarded", "host=evil");
    request(0, "GET");
    find(LARDER_HIT, &head, 0, 0, 0);
    ck_assert_uint_eq(fetches_open(), 1);
    ck_assert_uint_eq(asked_count, 0);
    /* What may be stored must not depend on what is not in the key. */
    ck_assert_ptr_null(strstr(fetch->fields, "evil"));
    ck_assert_ptr_null(strstr(fetch->fields, "named.by.client"));
    answer_head(fetch, 200, 10, _i == NOT_STORABLE ? "no-store" : "max-age=100");
    if (_i != NOT_STORABLE) {
        ck_assert_uint_eq(clients[0].heads, 0);
        ck_assert_uint_eq(the_asked(LARDER_EVENT_LOOKUP)->flags,
                          LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY);
    }
    ck_assert_int_eq(send_body(fetch, 0, 10), _i == NOT_STORABLE);
    head.id += _i == OTHER_MARK;
    if (_i == NO_MARK)
        miss(9, 0);
    else if (_i == UNANSWERED)
        pass_time(100);
    else if (_i != NOT_STORABLE)
        find(LARDER_STALE, &head, 7, _i == NO_LEASE ? 0 : 9, 0);
    if (_i != NOT_STORABLE)
        ck_assert(send_body(fetch, 0, 10));
    end_fetch(fetch, ORIGIN_OK);
    if (_i == SAME_MARK) {
        ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_BEGIN)->lease, 9);
        take_written(LARDER_EVENT_FILL_BEGIN);
    }
    ck_assert_whole(0, 10);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), _i == OTHER_MARK || _i == NO_MARK);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7),
                      _i != NO_MARK && _i != NOT_STORABLE && _i != UNANSWERED);
    end();
}
END_TEST

/* A head is nothing to be stored: the client's own fields go along. */
START_TEST(a_mark_is_of_no_account_for_heads)
{
    struct http_meta_head head = mark_head();

    begin();
    request(0, "HEAD");
    find(LARDER_HIT, &head, 0, 0, 0);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "named.by.client"));
    answer_head(fetch, 200, 10, "max-age=100");
    ck_assert_uint_eq(asked_count, 0);
    ck_assert_uint_eq(clients[0].heads, 1);
    exchange_abandon(&clients[0].exchange);
    end();
}
END_TEST

/* `_i`: it may be stored; it may not, for its validator is weak, and the mark stays. */
START_TEST(a_part_takes_the_place_of_a_mark)
{
    struct http_meta_head head = mark_head();

    begin();
    add_field(0, "Range", "bytes=1000-1999");
    request(0, "GET");
    find(LARDER_HIT, &head, 0, 0, 0);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "Range: bytes=1000-1999"));
    ck_assert_ptr_null(strstr(fetch->fields, "named.by.client"));
    http_field_add(&fetch->head.fields, HTTP_SPAN("ETag"),
                   _i == 0 ? HTTP_SPAN("\"a\"") : HTTP_SPAN("W/\"a\""));
    http_field_add(&fetch->head.fields, HTTP_SPAN("Content-Range"), HTTP_SPAN("bytes 1000-1999/9000"));
    answer_head(fetch, 206, 1000, "max-age=100");
    ck_assert_uint_eq(the_asked(LARDER_EVENT_LOOKUP)->flags,
                      LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE | LARDER_LOOKUP_NO_BODY);
    find(LARDER_STALE, &head, 7, 9, 0);
    if (_i == 0) {
        ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_BEGIN)->lease, 9);
        ck_assert(take_written(LARDER_EVENT_FILL_BEGIN).flags & HTTP_META_PARTS);
        miss(10, 0); /* of the extent */
    }
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), _i);
    ck_assert_uint_eq(clients[0].heads, 1);
    ck_assert_int_eq(clients[0].head.status, 206);
    exchange_abandon(&clients[0].exchange);
    if (_i == 0)
        end_fetch(fetch, ORIGIN_BROKEN);
    end();
}
END_TEST

/* What is said about a range is nothing to those who wait for the whole. */
START_TEST(an_answer_to_a_range_leaves_no_mark)
{
    static const int statuses[] = {206, 304, 416};

    begin();
    add_field(0, "Range", "bytes=1000-1999");
    request(0, "GET");
    miss(9, 0);
    answer_head(fetch, statuses[_i], 0, "max-age=100");
    ck_assert_uint_eq(asked_count, 0);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 1);
    exchange_abandon(&clients[0].exchange);
    end();
}
END_TEST

static const struct {
    enum origin_result result;
    int status;
    const char *detail;
    bool for_all;
} failures[] = {
    {ORIGIN_UNREACHABLE, 502, "origin-unreachable", true},
    {ORIGIN_BROKEN, 502, "origin-unreachable", false},
    {ORIGIN_TIMED_OUT, 504, "origin-timeout", false},
    {ORIGIN_MALFORMED, 502, "malformed-response", false},
};

/* The answer to those who waited for it; to those who come later only if it cannot have been the request that
 * the origin choked on. */
START_TEST(a_failure_is_the_answer_to_others)
{
    struct http_meta_head mark;
    bool follower = _i >= ROWS(failures);
    unsigned row = (unsigned)_i % (unsigned)ROWS(failures);

    begin();
    request(0, "GET");
    miss(9, 0);
    end_fetch(fetch, failures[row].result);
    ck_assert_int_eq(clients[0].head.status, failures[row].status);
    ck_assert_uint_eq(clients[0].finished, 1);
    mark = take_written(LARDER_EVENT_FILL_BEGIN);
    ck_assert(mark.flags & HTTP_META_MARK);
    ck_assert_int_eq(mark.status, failures[row].status);
    if (follower) {
        follow(1);
        complete(7, 0);
        give_meta(&mark);
        ck_assert_uint_eq(clients[1].heads, 0);
    } else {
        request(1, "GET");
    }
    find(LARDER_HIT, &mark, 0, 0, 0);
    if (follower || failures[row].for_all) {
        ck_assert_uint_eq(fetches_begun, 1);
        ck_assert_int_eq(clients[1].head.status, failures[row].status);
        ck_assert_uint_eq(clients[1].finished, 1);
    } else { /* one of them tries again, the others wait for it */
        ck_assert_uint_eq(fetches_begun, 1);
        ck_assert_uint_eq(asked[0].flags & LARDER_LOOKUP_REVALIDATE, LARDER_LOOKUP_REVALIDATE);
        find(LARDER_STALE, &mark, 0, 11, 0);
        ck_assert_uint_eq(fetches_begun, 2);
        exchange_abandon(&clients[1].exchange);
    }
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 0);
}
END_TEST

/* ---- the rest ---- */

enum {
    REST_206,
    REST_200,
    REST_CHANGED,
    REST_REFUSED,
    REST_UNREACHABLE,
    REST_BREAKS,
    REST_UNKNOWN,
    REST_NO_VALIDATOR,
    REST_IS_NOTHING,
    REST_ENDS
};

static void meet_rest(int how, uint64_t *filled)
{
    if (how == REST_UNREACHABLE) {
        end_fetch(fetch, ORIGIN_UNREACHABLE);
        return;
    }
    http_field_add(&fetch->head.fields, HTTP_SPAN("ETag"),
                   how == REST_CHANGED ? HTTP_SPAN("\"b\"") : HTTP_SPAN("\"a\""));
    if (how == REST_206 || how == REST_BREAKS)
        http_field_add(&fetch->head.fields, HTTP_SPAN("Content-Range"), HTTP_SPAN("bytes 3000-8999/9000"));
    answer_head(fetch,
                how == REST_206 || how == REST_BREAKS ? 206
                : how == REST_REFUSED                 ? 503
                                                      : 200,
                how == REST_206 ? 6000 : 9000, "max-age=100");
    if (how == REST_200)
        ck_assert(send_body(fetch, 0, 1000)); /* which is there already */
    if (how == REST_200)
        ck_assert(send_body(fetch, 1000, 3000));
    else if (how == REST_206 || how == REST_BREAKS)
        ck_assert(send_body(fetch, 3000, 1000));
    take_fill(filled);
    if (how == REST_BREAKS)
        end_fetch(fetch, ORIGIN_BROKEN);
    if (how != REST_206 && how != REST_200)
        return;
    ck_assert(send_body(fetch, 4000, 5000));
    end_fetch(fetch, ORIGIN_OK);
    take_fill(filled);
}

START_TEST(the_rest_is_filled)
{
    struct http_meta_head head = fresh_head();
    uint64_t filled = _i == REST_IS_NOTHING ? 9000 : 3000;
    uint64_t size = _i == REST_UNKNOWN ? LARDER_SIZE_UNKNOWN : 9000;
    bool done = _i == REST_206 || _i == REST_200 || _i == REST_IS_NOTHING;

    if (_i == REST_NO_VALIDATOR)
        head.status = 203; /* of which no rest can be asked for */
    begin();
    add_field(0, "Cache-Control", "max-stale=5");
    add_field(0, "Cookie", "c=1");
    follow(0);
    grow(5, 7, 2000, size);
    give_meta(&head);
    serve_reads();
    promote(0, 9, filled, size, true);
    if (_i == REST_UNKNOWN || _i == REST_NO_VALIDATOR || _i == REST_IS_NOTHING) {
        ck_assert_uint_eq(fetches_begun, 0);
    } else {
        ck_assert_uint_eq(fetches_begun, 1);
        ck_assert_ptr_nonnull(strstr(fetch->fields, "Range: bytes=3000-\r\n"));
        ck_assert_ptr_nonnull(strstr(fetch->fields, "If-Range: \"a\"\r\n"));
        ck_assert_ptr_nonnull(strstr(fetch->fields, "Cookie: c=1\r\n"));
        ck_assert_ptr_null(strstr(fetch->fields, "max-stale"));
        meet_rest(_i, &filled);
    }
    ck_assert_uint_eq(times_given_back(PLAYED_DISCARD, 9), !done && _i != REST_BREAKS);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), _i == REST_BREAKS);
    if (done) {
        ck_assert_uint_eq(filled, 9000);
        ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_END)->object_size, 9000);
        ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_END)->lease, 9);
        reply(LARDER_EVENT_LOOKUP, LARDER_MISS)->follow = 6;
        reply(LARDER_EVENT_FILL_END, LARDER_OK);
        deliver();
        complete(8, 9000);
        give_meta(&head);
        serve_reads();
        ck_assert_whole(0, 9000);
    } else {
        exchange_abandon(&clients[0].exchange);
    }
    end();
}
END_TEST

/* ---- clients that are slow ---- */

static uint64_t slow_filled;
static struct http_meta_head slow_head;

static void lead_slowly(uint64_t size)
{
    begin();
    clients[0].room = 1000;
    request(0, "GET");
    miss(9, 0);
    http_field_add(&fetch->head.fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
    answer_head(fetch, 200, size, "max-age=100");
    if (size != LARDER_SIZE_UNKNOWN) /* accepted */
        slow_head = take_written(LARDER_EVENT_FILL_BEGIN);
    ck_assert(send_body(fetch, 0, 1000));
    if (size == LARDER_SIZE_UNKNOWN) {
        slow_filled = the_asked(LARDER_EVENT_FILL_BEGIN)->length;
        slow_head = take_written(LARDER_EVENT_FILL_BEGIN);
    }
    take_fill(&slow_filled);
    ck_assert(!send_body(fetch, 1000, 1000));
    ck_assert_uint_eq(asked_count, 0);
    fetch->resumed = 0;
}

/* Its client is too slow for longer than it may. */
static void lose_patience(void)
{
    pass_time(5);
    ck_assert_uint_gt(fetch->resumed, 0);
    ck_assert(!send_body(fetch, 1000, 1000));
}

static void end_slowly(void)
{
    ck_assert(send_body(fetch, 1000, 3000));
    take_fill(&slow_filled);
    ck_assert(send_body(fetch, 4000, 5000));
    end_fetch(fetch, ORIGIN_OK);
    take_fill(&slow_filled);
    ck_assert_uint_eq(slow_filled, 9000);
}

START_TEST(a_slow_client_is_handed_over)
{
    uint64_t size = _i == 0 ? 9000 : LARDER_SIZE_UNKNOWN;
    struct exchange *first;

    lead_slowly(size);
    first = clients[0].exchange;
    lose_patience();
    ck_assert_uint_eq(the_asked(LARDER_EVENT_LOOKUP)->flags, LARDER_LOOKUP_FOLLOW | LARDER_LOOKUP_NO_BODY);
    miss(0, 5);
    ck_assert_ptr_eq(clients[0].exchange, first);
    grow(5, 7, 1000, size);
    give_meta(&slow_head);
    ck_assert_ptr_ne(clients[0].exchange, first);
    end_slowly(); /* without the client */
    ck_assert_uint_eq(clients[0].size, 1000);
    grow(5, 0, 9000, size);
    reply(LARDER_EVENT_FILL_END, LARDER_OK);
    deliver();
    clients[0].room = SIZE_MAX;
    exchange_room(clients[0].exchange);
    complete(0, 9000);
    serve_reads();
    ck_assert_whole(0, 9000);
    end();
}
END_TEST

/* What was to be handed over is told that the fill is no more. */
START_TEST(a_client_that_was_handed_over_is_continued)
{
    lead_slowly(9000);
    lose_patience();
    miss(0, 5);
    grow(5, 7, 1000, 9000);
    give_meta(&slow_head);
    end_fetch(fetch, ORIGIN_BROKEN);
    reply(LARDER_EVENT_FOLLOW, LARDER_MISS)->broken = true;
    deliver();
    ck_assert_uint_eq(fetches_open(), 1);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "Range: bytes=1000-\r\n"));
    exchange_abandon(&clients[0].exchange);
    end();
}
END_TEST

enum {
    HEIR_NO_HANDLE,
    HEIR_LOST,
    HEIR_UNANSWERED,
    HEIR_OTHER_BODY,
    HEIR_MISS,
    HEIR_ALONE,
    HEIR_LEASE,
    HEIR_FILL_FAILED,
    HEIR_ENDS
};

/* Nothing comes of it: the client stays where it is, and gets all of it. */
START_TEST(a_client_that_cannot_be_handed_over_stays)
{
    struct http_meta_head other = slow_head;

    lead_slowly(9000);
    lose_patience();
    if (_i == HEIR_NO_HANDLE)
        miss(0, 0);
    else if (_i == HEIR_LOST)
        reply(LARDER_EVENT_LOOKUP, LARDER_LOST);
    else if (_i == HEIR_UNANSWERED)
        pass_time(100);
    else
        miss(0, 5);
    deliver();
    if (_i == HEIR_MISS)
        reply(LARDER_EVENT_FOLLOW, LARDER_MISS);
    if (_i == HEIR_ALONE)
        reply(LARDER_EVENT_FOLLOW, LARDER_BUSY);
    deliver();
    if (_i == HEIR_LEASE)
        promote(0, 19, 0, LARDER_SIZE_UNKNOWN, false);
    if (_i == HEIR_FILL_FAILED) {
        clients[0].room = 100;
        ck_assert(send_body(fetch, 1000, 100));
        slow_filled = 1000;
        reply(LARDER_EVENT_FILL_DATA, LARDER_NO_MEMORY);
        deliver();
        ck_assert(!send_body(fetch, 1100, 100));
        pass_time(5);
        ck_assert(!send_body(fetch, 1100, 100));
    }
    if (_i == HEIR_OTHER_BODY) {
        other = slow_head;
        other.id++;
        grow(5, 7, 1000, 9000);
        give_meta(&other);
    }
    ck_assert_uint_eq(clients[0].broken, 0);
    ck_assert_ptr_nonnull(clients[0].exchange);
    ck_assert(!send_body(fetch, 1000, 1000)); /* and is not tried again */
    clients[0].room = SIZE_MAX;
    exchange_room(clients[0].exchange);
    if (_i == HEIR_FILL_FAILED) {
        ck_assert(send_body(fetch, 1100, 7900));
        end_fetch(fetch, ORIGIN_OK);
    } else {
        end_slowly();
        reply(LARDER_EVENT_FILL_END, LARDER_OK);
        deliver();
    }
    ck_assert_whole(0, 9000);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 19), _i == HEIR_LEASE);
}
END_TEST

/* The fill is over when patience ends: there is nobody to wait for. */
START_TEST(without_a_fill_a_slow_client_stays)
{
    lead_slowly(LARDER_SIZE_UNKNOWN);
    clients[0].room = 100;
    ck_assert(send_body(fetch, 1000, 100));
    ck_assert(!send_body(fetch, 1100, 100));
    reply(LARDER_EVENT_FILL_DATA, LARDER_TOO_LARGE);
    deliver();
    pass_time(5);
    ck_assert(!send_body(fetch, 1100, 100));
    ck_assert_uint_eq(asked_count, 0);
    clients[0].room = SIZE_MAX;
    ck_assert(send_body(fetch, 1100, 7900));
    end_fetch(fetch, ORIGIN_OK);
    ck_assert_whole(0, 9000);
    end();
}
END_TEST

/* No segment to ask with: when there is one the client has had all of it. */
START_TEST(a_client_that_catches_up_is_not_handed_over)
{
    lead_slowly(9000);
    hold_segments(SEGMENTS);
    lose_patience();
    ck_assert_uint_eq(cache.waiting_count, 1);
    clients[0].room = SIZE_MAX;
    ck_assert(send_body(fetch, 1000, 8000));
    ck_assert(fetch->open);
    end_fetch(fetch, ORIGIN_OK);
    pass_time(100); /* the fill cannot be confirmed in time */
    ck_assert_whole(0, 9000);
    return_segments();
    take_fill(&slow_filled);
    reply(LARDER_EVENT_FILL_END, LARDER_OK);
    deliver();
    end();
}
END_TEST

/* It goes, or gets on, while the heir is on its way. */
START_TEST(a_client_may_leave_its_heir)
{
    lead_slowly(9000);
    lose_patience();
    if (_i & 1)
        miss(0, 5);
    if (_i & 2) {
        exchange_abandon(&clients[0].exchange);
    } else {
        clients[0].room = SIZE_MAX;
        exchange_room(clients[0].exchange);
    }
    end_slowly();
    reply(LARDER_EVENT_FILL_END, LARDER_OK);
    deliver();
    if (!(_i & 2))
        ck_assert_whole(0, 9000);
    if (!(_i & 1))
        miss(0, 5);
    else
        ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_UNFOLLOW, 5), 1);
    end();
}
END_TEST

/* It turns out to be more than the cache takes, when its client has been handed over. */
START_TEST(a_client_is_had_back_when_the_cache_takes_no_more)
{
    struct exchange *first;

    max_object = 4000;
    lead_slowly(LARDER_SIZE_UNKNOWN);
    first = clients[0].exchange;
    lose_patience();
    miss(0, 5);
    grow(5, 7, 1000, LARDER_SIZE_UNKNOWN);
    give_meta(&slow_head);
    ck_assert_ptr_ne(clients[0].exchange, first);
    ck_assert(send_body(fetch, 1000, 3000));
    take_fill(&slow_filled);
    ck_assert(!send_body(fetch, 4000, 1000)); /* the client has not had what is before it */
    if (_i == 1) { /* nor will it want it: what becomes of the fill is the cache's to say */
        exchange_abandon(&clients[0].exchange);
        loop_finish_tasks(&loop);
        ck_assert(send_body(fetch, 4000, 1000));
        reply(LARDER_EVENT_FILL_DATA, LARDER_TOO_LARGE);
        deliver();
        end();
        return;
    }
    grow(5, 0, 4000, LARDER_SIZE_UNKNOWN);
    clients[0].room = SIZE_MAX;
    fetch->resumed = 0;
    exchange_room(clients[0].exchange);
    serve_reads();
    ck_assert_uint_eq(clients[0].size, 4000);
    ck_assert_uint_gt(fetch->resumed, 0);
    ck_assert(send_body(fetch, 4000, 5000));
    ck_assert_ptr_eq(clients[0].exchange, first);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), 1);
    end_fetch(fetch, ORIGIN_OK);
    ck_assert_whole(0, 9000);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), 1);
}
END_TEST

/* What follows a variant stands under the variant's key. */
START_TEST(a_slow_client_of_a_variant_is_handed_over)
{
    const struct asked *op;
    static char variant[1024];
    uint32_t length;

    begin();
    clients[0].room = 1000;
    request(0, "GET");
    miss(9, 0);
    http_field_add(&fetch->head.fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
    http_field_add(&fetch->head.fields, HTTP_SPAN("Vary"), HTTP_SPAN("Accept-Encoding"));
    answer_head(fetch, 200, 9000, "max-age=100");
    ck_assert_uint_eq(the_asked(LARDER_EVENT_FILL_BEGIN)->lease, 9);
    ck_assert(take_written(LARDER_EVENT_FILL_BEGIN).flags & HTTP_META_INDEX);
    op = the_asked(LARDER_EVENT_LOOKUP);
    length = op->key_length;
    ck_assert_uint_lt(length, sizeof variant);
    memcpy(variant, op->segment->data, length);
    miss(10, 0);
    slow_head = take_written(LARDER_EVENT_FILL_BEGIN);
    ck_assert(send_body(fetch, 0, 1000));
    take_fill(&slow_filled);
    ck_assert(!send_body(fetch, 1000, 1000));
    lose_patience();
    ck_assert_uint_eq(the_asked(LARDER_EVENT_LOOKUP)->key_length, length);
    ck_assert_mem_eq(the_asked(LARDER_EVENT_LOOKUP)->segment->data, variant, length);
    miss(0, 5);
    grow(5, 7, 1000, 9000);
    give_meta(&slow_head);
    end_fetch(fetch, ORIGIN_BROKEN);
    ck_assert_uint_eq(times_given_back(PLAYED_KEEP, 10), 1); /* if nobody followed */
    promote(0, 19, 1000, 9000, true);
    ck_assert_uint_eq(the_asked(LARDER_EVENT_LOOKUP)->key_length, length);
    ck_assert_mem_eq(the_asked(LARDER_EVENT_LOOKUP)->segment->data, variant, length);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "Range: bytes=1000-\r\n"));
    end_fetch(fetch, ORIGIN_UNREACHABLE);
    exchange_abandon(&clients[0].exchange);
    end();
}
END_TEST

/* ---- refreshing ---- */

enum {
    REFRESH_304,
    REFRESH_200,
    REFRESH_503,
    REFRESH_UNREACHABLE,
    REFRESH_NO_LEASE,
    REFRESH_FRESH,
    REFRESH_FAILED_LATELY,
    REFRESH_GONE,
    REFRESH_UNANSWERED,
    REFRESH_ENDS
};

static void validate_in_background(int how, const struct http_meta_head *stale)
{
    struct http_meta_head written;
    uint64_t filled = 0;

    find(LARDER_STALE, stale, 7, 9, 0);
    ck_assert_uint_eq(fetches_open(), 1);
    ck_assert_ptr_nonnull(strstr(fetch->fields, "If-None-Match: \"a\"\r\n"));
    ck_assert_ptr_null(strstr(fetch->fields, "If-None-Match: \"mine\""));
    if (how == REFRESH_UNREACHABLE) {
        end_fetch(fetch, ORIGIN_UNREACHABLE);
    } else if (how == REFRESH_200) {
        answer_head(fetch, 200, 10, "max-age=100");
        ck_assert(send_body(fetch, 0, 10));
        end_fetch(fetch, ORIGIN_OK);
        take_fill(&filled);
        ck_assert_uint_eq(filled, 10);
        return;
    } else {
        answer_head(fetch, how == REFRESH_304 ? 304 : 503, 0, "max-age=100");
        if (fetch->open)
            end_fetch(fetch, ORIGIN_OK);
    }
    ck_assert_uint_eq(the_asked(LARDER_EVENT_UPDATE)->lease, 9);
    written = take_written(LARDER_EVENT_UPDATE);
    ck_assert_uint_eq(written.id, stale->id);
    ck_assert_int_eq(written.failed_at != 0, how != REFRESH_304);
    ck_assert_int_eq((written.flags & HTTP_META_FAILED_STATUS) != 0, how == REFRESH_503);
}

START_TEST(what_is_served_stale_is_refreshed)
{
    struct http_meta_head head = fresh_head(), stale;

    head.initial_age = 110;
    head.stale_while_revalidate = 60;
    stale = head;
    begin();
    add_field(0, "If-None-Match", "\"mine\"");
    request(0, "GET");
    find(LARDER_STALE, &head, 6, 8, 0);
    ck_assert_whole(0, 10);
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 8), 1);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 6), 1);
    memset(&clients[0].fields, 0xff, sizeof clients[0].fields); /* gone with the client */
    ck_assert_uint_eq(the_asked(LARDER_EVENT_LOOKUP)->flags, LARDER_LOOKUP_LEASE | LARDER_LOOKUP_REVALIDATE);
    if (_i <= REFRESH_UNREACHABLE) {
        validate_in_background(_i, &stale);
    } else if (_i == REFRESH_UNANSWERED) {
        pass_time(100);
    } else if (_i == REFRESH_GONE) {
        miss(0, 0);
    } else {
        if (_i == REFRESH_FRESH)
            head.initial_age = 0;
        if (_i == REFRESH_FAILED_LATELY)
            head.failed_at = (uint32_t)(loop.wall_ms / 1000);
        find(LARDER_STALE, &head, 7, _i == REFRESH_NO_LEASE ? 0 : 9, 0);
        ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 9), _i != REFRESH_NO_LEASE);
    }
    ck_assert_uint_le(fetches_begun, 1);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, 7), _i != REFRESH_GONE && _i != REFRESH_UNANSWERED);
}
END_TEST

/* Nobody asks again for a second. */
START_TEST(what_failed_lately_is_not_refreshed)
{
    struct http_meta_head head = fresh_head();

    head.initial_age = 110;
    head.stale_while_revalidate = 60;
    head.failed_at = (uint32_t)(loop.wall_ms / 1000);
    begin();
    head.failed_at = (uint32_t)(loop.wall_ms / 1000);
    head.response_time = loop.wall_ms / 1000;
    request(0, "GET");
    find(LARDER_STALE, &head, 6, 8, 0);
    ck_assert_whole(0, 10);
    ck_assert_uint_eq(asked_count, 0);
    end();
}
END_TEST

static const struct {
    uint16_t flags;
    bool follower, served;
} lately[] = {
    {0, false, true},
    {0, true, true},
    {HTTP_META_FAILED_REQUEST, false, false},
    {HTTP_META_FAILED_REQUEST, true, true},
    {HTTP_META_FAILED_STATUS, false, false},
    {HTTP_META_FAILED_STATUS, true, false}, /* without stale-if-error */
};

/* What one request has brought upon itself does not keep others from asking. */
START_TEST(a_failed_validation_is_the_answer_to_others)
{
    struct http_meta_head head;

    begin();
    head = fresh_head();
    head.initial_age = 110;
    head.failed_at = (uint32_t)(loop.wall_ms / 1000);
    head.flags = lately[_i].flags;
    if (lately[_i].follower) {
        follow(0);
        complete(7, 10);
        give_meta(&head);
    } else {
        request(0, "GET");
    }
    find(LARDER_STALE, &head, 6, 8, 0);
    serve_reads();
    ck_assert_uint_eq(fetches_open(), !lately[_i].served);
    if (lately[_i].served)
        ck_assert_whole(0, 10);
    else
        exchange_abandon(&clients[0].exchange);
    end();
    ck_assert_uint_eq(times_given_back(PLAYED_ABORT, 8), 1);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_follower_is_served_what_grows, 0, 2);
    tcase_add_loop_test(tcase, a_follower_is_served_what_is_complete, 0, 2);
    tcase_add_loop_test(tcase, a_follower_may_leave, 0, 3);
    tcase_add_loop_test(tcase, a_follower_gets_only_what_it_may_use, 0, 2 * ROWS(uses));
    tcase_add_loop_test(tcase, who_must_not_wait_does_not, 0, 4);
    tcase_add_test(tcase, the_lease_is_left_to_a_follower);
    tcase_add_test(tcase, what_broke_is_fetched_by_each);
    tcase_add_loop_test(tcase, what_grows_no_more_is_continued, 0, 2);
    tcase_add_loop_test(tcase, a_frozen_cache_holds_no_client, 0, 3);
    tcase_add_loop_test(tcase, what_cannot_be_stored_leaves_a_mark, 0, 4);
    tcase_add_loop_test(tcase, a_mark_keeps_nobody_waiting, 0, MARK_ENDS);
    tcase_add_test(tcase, a_mark_is_of_no_account_for_heads);
    tcase_add_loop_test(tcase, a_part_takes_the_place_of_a_mark, 0, 2);
    tcase_add_loop_test(tcase, an_answer_to_a_range_leaves_no_mark, 0, 3);
    tcase_add_loop_test(tcase, a_failure_is_the_answer_to_others, 0, 2 * ROWS(failures));
    tcase_add_loop_test(tcase, the_rest_is_filled, 0, REST_ENDS);
    tcase_add_loop_test(tcase, a_slow_client_is_handed_over, 0, 2);
    tcase_add_test(tcase, a_client_that_was_handed_over_is_continued);
    tcase_add_loop_test(tcase, a_client_that_cannot_be_handed_over_stays, 0, HEIR_ENDS);
    tcase_add_test(tcase, without_a_fill_a_slow_client_stays);
    tcase_add_test(tcase, a_client_that_catches_up_is_not_handed_over);
    tcase_add_loop_test(tcase, a_client_may_leave_its_heir, 0, 4);
    tcase_add_loop_test(tcase, a_client_is_had_back_when_the_cache_takes_no_more, 0, 2);
    tcase_add_test(tcase, a_slow_client_of_a_variant_is_handed_over);
    tcase_add_loop_test(tcase, what_is_served_stale_is_refreshed, 0, REFRESH_ENDS);
    tcase_add_test(tcase, what_failed_lately_is_not_refreshed);
    ADD_ROWS(tcase, a_failed_validation_is_the_answer_to_others, lately);
}

int main(void)
{
    return run_suite("exchange_follow", add_cases);
}
