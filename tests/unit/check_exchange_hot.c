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

/* The next look-up keeps what it finds. */
static void ask_often(void)
{
    for (unsigned i = 1; i < HOT_QUESTIONS; i++) {
        request(0, "GET");
        exchange_abandon(&clients[0].exchange);
        miss(0, 0);
    }
}

/* Client 1 waits in line for a segment, until what client 0 finds is hot. */
static void wait_for_hot(const struct http_meta_head *head, const struct http_fields *fields, uint32_t size)
{
    ask_often();
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

/* ---- what is being loaded ---- */

#define POOL   16u
#define LARGE  21000u
#define READS  5  /* beside what the look-up brings */
#define HANDLE 50 /* of the first look-up; the next ones follow */

static uint64_t next_handle;
static const struct larder_segment *shown; /* by the last look-up */
static uint32_t shown_bytes;               /* of the body */
static struct http_fields large_fields;

static void begin_large(void)
{
    played_segments = POOL;
    next_handle = HANDLE;
    large_fields = stored_fields();
    begin();
    ask_often();
}

/* The oldest look-up is answered. */
static void find_large(void)
{
    struct larder_event *event = reply(LARDER_EVENT_LOOKUP, LARDER_HIT);
    struct http_meta_head head = fresh_head();

    put_meta(event, &head, &large_fields);
    shown = event->segment;
    shown_bytes = event->length = SEGMENT_BYTES - event->meta_length;
    fill_pattern(event->segment->data + event->meta_length, BODY, 0, event->length);
    event->object_size = LARGE;
    event->handle = next_handle++;
    event->kept = true;
    deliver();
}

/* Client 0 has what the look-up brought; the rest is being read. */
static void begin_loading(void)
{
    begin_large();
    request(0, "GET");
    ck_assert(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_KEEP);
    find_large();
    ck_assert_uint_eq(clients[0].size, shown_bytes);
    ck_assert_uint_eq(asked_count, 4);
}

static void read_one(unsigned number)
{
    ck_assert_int_eq(asked[number].kind, LARDER_EVENT_READ);
    ck_assert_uint_eq(asked[number].handle, HANDLE);
    fill_pattern(asked[number].segment->data, BODY, asked[number].offset, asked[number].length);
    answer(number, LARDER_OK);
    deliver();
}

/* Of the one object that was loaded, and that nobody is being served from any more. */
static void expect_loaded(void)
{
    ck_assert_int_eq(segments_out(), 1 + READS);
    ck_assert_uint_eq(cache.kept, 1 + READS);
    for (uint64_t handle = HANDLE; handle < next_handle; handle++)
        ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, handle), 1);
    ck_assert_uint_eq(fetches_begun, 0);
}

static void expect_range(unsigned number, size_t first, size_t size)
{
    ck_assert_uint_eq(clients[number].heads, 1);
    ck_assert_int_eq(clients[number].head.status, 206);
    ck_assert_uint_eq(clients[number].finished, 1);
    ck_assert_uint_eq(clients[number].size, size);
    ck_assert(is_pattern(clients[number].body, BODY, first, size));
}

/* So many at once: all have asked before the first is answered, or (odd) the others ask while it is loaded.
 */
START_TEST(a_crowd_needs_one_set_of_segments)
{
    unsigned count = _i < 2 ? 2 : CLIENTS, reads;
    bool later = _i & 1;

    begin_large();
    request(0, "GET");
    if (later)
        find_large();
    for (unsigned i = 1; i < count; i++)
        request(i, "GET");
    for (unsigned i = 0; !later && i < count; i++)
        find_large();
    ck_assert_uint_eq(the_asked(LARDER_EVENT_READ)->handle, HANDLE);
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(clients[i].size, shown_bytes);
    for (uint64_t handle = HANDLE + 1; handle < next_handle; handle++) /* it needs none of its own */
        ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, handle), 1);
    for (reads = 0; asked_count > 0; reads++)
        read_one((reads * 7) % asked_count);
    ck_assert_uint_eq(reads, READS);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_whole(i, LARGE);
        ck_assert(clients[i].head.cache_status.hit);
        ck_assert_uint_eq(clients[i].head.length, LARGE);
    }
    ck_assert_uint_eq(times_used, later ? count - 1 : 0); /* hits that the cache does not know of */
    expect_loaded();
    end();
}
END_TEST

/* Two of them are slow: one takes a piece now and then, one stops when most of it is there. */
START_TEST(each_is_served_at_the_speed_of_its_client)
{
    begin_loading();
    clients[1].room = 1;
    request(1, "GET");
    clients[2].room = shown_bytes + 1;
    request(2, "GET");
    while (asked_count > 0)
        read_one(0);
    ck_assert_whole(0, LARGE);
    ck_assert_uint_eq(clients[1].size, shown_bytes);
    ck_assert_uint_eq(clients[2].size, shown_bytes + SEGMENT_BYTES);
    pass_time(100000);
    for (unsigned i = 1; i < 3; i++) {
        for (unsigned pieces = i; pieces <= READS; pieces++) {
            ck_assert_uint_eq(clients[i].finished, 0);
            clients[i].room = 1;
            exchange_room(clients[i].exchange);
        }
        ck_assert_whole(i, LARGE);
    }
    end();
}
END_TEST

/* Room comes while the next piece does not; then the client goes on, or is gone. */
START_TEST(a_client_may_leave_while_it_waits)
{
    begin_loading();
    for (unsigned i = 1; i < 4; i++)
        request(i, "GET");
    exchange_room(clients[1].exchange);
    read_one(0);
    exchange_room(clients[2].exchange);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(clients[i].size, shown_bytes + SEGMENT_BYTES);
        if (_i == 4 || (unsigned)_i == i)
            exchange_abandon(&clients[i].exchange);
    }
    while (asked_count > 0)
        read_one(0);
    for (unsigned i = 0; i < 4; i++) {
        if (_i != 4 && (unsigned)_i != i)
            ck_assert_whole(i, LARGE);
        else
            ck_assert_uint_eq(clients[i].size, shown_bytes + SEGMENT_BYTES);
    }
    loop_finish_tasks(&loop);
    expect_loaded();
    request(5, "GET"); /* hot now */
    ck_assert_whole(5, LARGE);
    end();
}
END_TEST

/* Who has it may finish; who asks now does not get it. */
START_TEST(what_is_purged_meanwhile_is_given_to_nobody_new)
{
    begin_loading();
    request(1, "GET");
    request(2, "GET"); /* it is hot still */
    make_stale(shown);
    request(3, "GET");
    read_one(0);
    miss(0, 0);
    ck_assert_uint_eq(fetches_begun, 1);
    ck_assert_uint_eq(clients[3].heads, 0);
    while (asked_count > 0)
        read_one(0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_whole(i, LARGE);
    ck_assert_int_eq(segments_out(), 0);
    exchange_abandon(&clients[3].exchange);
    end();
}
END_TEST

/* It had asked before, and the cache has answered before, but only now it sees the answer. */
START_TEST(what_was_purged_is_joined_by_nobody)
{
    begin_large();
    request(0, "GET");
    request(1, "GET");
    find_large();
    make_stale(shown);
    find_large();
    ck_assert_uint_eq(clients[1].size, shown_bytes);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, HANDLE + 1), 0);
    serve_reads();
    ck_assert_whole(0, LARGE);
    ck_assert_whole(1, LARGE);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, HANDLE + 1), 1);
    ck_assert_int_eq(segments_out(), 0);
    end();
}
END_TEST

START_TEST(who_wants_it_fresher_does_not_get_it)
{
    static const char *const wants[] = {"min-fresh=1000", "no-cache", "max-age=0"};

    begin_loading();
    add_field(1, "Cache-Control", wants[_i]);
    request(1, "GET");
    ck_assert_uint_eq(clients[1].heads, 0);
    miss(0, 0);
    ck_assert_uint_eq(fetches_begun, 1);
    exchange_abandon(&clients[1].exchange);
    while (asked_count > 0)
        read_one(0);
    ck_assert_whole(0, LARGE);
    end();
}
END_TEST

static const struct {
    const char *range;
    size_t first, size;
    unsigned waits_for; /* answers, the oldest first, before there is a head */
} ranges[] = {
    {"bytes=0-99", 0, 100, 0},         {"bytes=100-", 100, LARGE - 100, 0},
    {"bytes=9000-9099", 9000, 100, 2}, {"bytes=9000-20000", 9000, 11001, 2},
    {"bytes=-1", LARGE - 1, 1, 5},
};

START_TEST(a_range_of_it_waits_for_its_pieces)
{
    begin_loading();
    add_field(1, "Range", ranges[_i].range);
    request(1, "GET");
    for (unsigned answers = 0; answers < READS; answers++) {
        ck_assert_uint_eq(clients[1].heads, answers >= ranges[_i].waits_for);
        if (clients[1].exchange)
            exchange_room(clients[1].exchange);
        read_one(0);
    }
    expect_range(1, ranges[_i].first, ranges[_i].size);
    ck_assert_whole(0, LARGE);
    expect_loaded();
    end();
}
END_TEST

static bool has_part(const struct client *client, size_t first, size_t size)
{
    static uint8_t part[LARGE];

    fill_pattern(part, BODY, first, size);
    return memmem(client->body, client->size, part, size);
}

START_TEST(several_ranges_of_it_wait_for_theirs)
{
    begin_loading();
    add_field(1, "Range", "bytes=10000-15000,50-149,-300");
    request(1, "GET");
    ck_assert_uint_eq(clients[1].finished, 0);
    while (asked_count > 0)
        read_one(asked_count - 1);
    ck_assert_int_eq(clients[1].head.status, 206);
    ck_assert_uint_eq(clients[1].finished, 1);
    ck_assert_uint_eq(clients[1].size, clients[1].head.length);
    ck_assert(has_part(&clients[1], 10000, 5001));
    ck_assert(has_part(&clients[1], 50, 100));
    ck_assert(has_part(&clients[1], LARGE - 300, 300));
    expect_loaded();
    end();
}
END_TEST

START_TEST(what_has_no_body_waits_for_nothing)
{
    begin_loading();
    add_field(1, "Range", "bytes=9000-9099");
    request(1, "HEAD");
    add_field(2, "If-None-Match", "\"a\"");
    request(2, "GET");
    add_field(3, "Range", "bytes=100000-");
    request(3, "GET");
    for (unsigned i = 1; i < 4; i++) {
        ck_assert_uint_eq(clients[i].finished, 1);
        ck_assert_uint_eq(clients[i].size, 0);
    }
    ck_assert_int_eq(clients[1].head.status, 200);
    ck_assert_uint_eq(clients[1].head.length, LARGE);
    ck_assert_int_eq(clients[2].head.status, 304);
    ck_assert_int_eq(clients[3].head.status, 416);
    while (asked_count > 0)
        read_one(0);
    ck_assert_whole(0, LARGE);
    end();
}
END_TEST

/* ---- what cannot be loaded ---- */

enum trouble { BAD_ANSWER, NO_ANSWER, CACHE_LOST, TROUBLES };

static void make_trouble(int trouble)
{
    if (trouble == BAD_ANSWER)
        answer(0, LARDER_FENCED);
    else if (trouble == NO_ANSWER)
        pass_time(10 * EXCHANGE_CACHE_TIMEOUT_MS);
    else {
        attached = false;
        cache.keeper->lost(cache.keeper);
    }
    deliver();
}

/* What was under way comes late, and is of no account. */
static void answer_reads_late(unsigned count)
{
    while (count-- > 0) {
        ck_assert_uint_eq(asked[0].handle, HANDLE);
        answer(0, LARDER_LOST);
        deliver();
    }
}

/* Each goes on where it is, as after a body that was lost otherwise. */
START_TEST(what_cannot_be_loaded_is_continued)
{
    struct origin_fetch *continuing[2];
    char wanted[64];

    begin_loading();
    clients[1].room = 1;
    request(1, "GET");
    read_one(0);
    make_trouble(_i);
    ck_assert_uint_eq(fetches_begun, 1);
    continuing[0] = fetch;
    clients[1].room = SIZE_MAX;
    exchange_room(clients[1].exchange); /* it has not been waiting, but for its client */
    ck_assert_uint_eq(clients[1].size, shown_bytes + SEGMENT_BYTES);
    ck_assert_uint_eq(fetches_begun, 2);
    continuing[1] = fetch;
    ck_assert_int_eq(segments_out(), (int)asked_count);
    ck_assert_uint_eq(times_given_back(PLAYED_RELEASE, HANDLE), 1);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t from = shown_bytes + SEGMENT_BYTES;

        snprintf(wanted, sizeof wanted, "Range: bytes=%u-", from);
        ck_assert_ptr_nonnull(strstr(continuing[i]->fields, wanted));
        ck_assert_ptr_nonnull(strstr(continuing[i]->fields, "If-Range: \"a\"\r\n"));
        snprintf(wanted, sizeof wanted, "bytes %u-%u/%u", from, LARGE - 1, LARGE);
        http_field_add(&continuing[i]->head.fields, HTTP_SPAN("ETag"), HTTP_SPAN("\"a\""));
        http_field_add(&continuing[i]->head.fields, HTTP_SPAN("Content-Range"),
                       (struct http_span){wanted, (uint32_t)strlen(wanted)});
        answer_head(continuing[i], 206, LARGE - from, "max-age=100");
        send_body(continuing[i], from, LARGE - from);
        end_fetch(continuing[i], ORIGIN_OK);
        ck_assert_whole(i, LARGE);
    }
    answer_reads_late(asked_count);
    end();
}
END_TEST

/* Without a validator nobody can tell whether the rest would be of the same. */
START_TEST(what_cannot_be_continued_is_broken)
{
    begin_large();
    large_fields.count = 0;
    request(0, "GET");
    find_large();
    make_trouble(_i);
    ck_assert_uint_eq(clients[0].broken, 1);
    ck_assert_uint_eq(clients[0].size, shown_bytes);
    ck_assert_uint_eq(fetches_begun, 0);
    answer_reads_late(asked_count);
    end();
}
END_TEST

/* Nothing has been said yet: anything may be answered. What is found is read by each for itself. */
START_TEST(who_has_been_given_nothing_looks_up_anew)
{
    unsigned under_way;

    begin_large();
    large_fields.count = 0;
    for (unsigned i = 0; i < 3; i++) {
        add_field(i, "Range", "bytes=9000-9099");
        request(i, "GET");
    }
    for (unsigned i = 0; i < 3; i++)
        find_large();
    read_one(0);
    under_way = asked_count;
    make_trouble(_i);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(clients[i].heads, 0);
    if (_i == CACHE_LOST) {
        ck_assert_uint_eq(fetches_open(), 3);
        for (unsigned i = 0; i < 3; i++)
            exchange_abandon(&clients[i].exchange);
        answer_reads_late(under_way);
        end();
        return;
    }
    ck_assert(!(the_asked(LARDER_EVENT_LOOKUP)->flags & LARDER_LOOKUP_KEEP)); /* it would fail again */
    answer_reads_late(under_way - (_i == BAD_ANSWER));
    for (unsigned i = 0; i < 3; i++)
        find_large();
    ck_assert_uint_eq(the_asked(LARDER_EVENT_READ)->handle, HANDLE + 3);
    serve_reads();
    for (unsigned i = 0; i < 3; i++)
        expect_range(i, 9000, 100);
    ck_assert_int_eq(segments_out(), 0);
    ck_assert_uint_eq(fetches_begun, 0);
    end();
}
END_TEST

/* ---- the same request again ---- */

#define BYTES "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

static struct exchange_again again;

static bool recall(void)
{
    return exchange_recall(home, BYTES, sizeof BYTES - 1, &again);
}

/* As a front-end does, which has written the head. */
static void remember(unsigned number)
{
    struct client *client = &clients[number];

    ck_assert_ptr_nonnull(client->head.again);
    client->head.memo->length = 4;
    exchange_remember(home, &client->head, again.hash, BYTES, sizeof BYTES - 1, &client->fields);
}

/* Clients 0 and 1 have had it. */
static void begin_known(uint32_t size)
{
    struct http_meta_head head = fresh_head();
    struct http_fields fields = stored_fields();

    begin();
    ask_often();
    request(0, "GET");
    find_kept(&head, &fields, size);
    ck_assert(!recall());
    remember(0);
    ck_assert(!recall()); /* heads that come once are not kept */
    request(1, "GET");
    remember(1);
    ck_assert_whole(1, size);
}

/* Small: to be copied; larger: a reference. */
START_TEST(same_request_has_the_same_answer)
{
    const uint32_t size = _i == 0 ? 100 : 3 * SEGMENT_BYTES / 4;
    unsigned before;

    begin_known(size);
    before = exchange_count(home);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(recall());
        ck_assert_uint_eq(times_used, 2 + i); /* counted as any hit */
        ck_assert_ptr_eq(again.memo, clients[1].head.memo);
        ck_assert_uint_eq(again.size, size);
        ck_assert(is_pattern(again.segment->data + again.offset, BODY, 0, size));
        ck_assert_int_eq(again.source != NULL, size > 4096);
        if (again.source)
            again.source->calls->drop(again.source);
    }
    ck_assert_uint_eq(asked_count, 0);
    ck_assert_uint_eq(exchange_count(home), before);
    end();
}
END_TEST

enum change {
    STALE_NOW,
    NEXT_SECOND,
    OTHER_RULES,
    OTHER_TARGETS,
    OTHER_TAGS,
    NO_CACHE,
    CACHE_SILENT,
    CHANGES
};

START_TEST(it_is_decided_anew_when_anything_has_changed)
{
    struct http_overrides overrides;
    struct http_targets targets = {0};
    struct http_tag_fields tags = {0};

    begin_known(100);
    ck_assert(recall());
    switch ((enum change)_i) {
    case STALE_NOW:
        make_stale(again.segment);
        break;
    case NEXT_SECOND:
        loop.wall_ms += 1000;
        break;
    case OTHER_RULES:
        http_overrides_setup(&overrides);
        exchange_home_set_overrides(home, &overrides);
        break;
    case OTHER_TARGETS:
        exchange_home_set_targets(home, &targets);
        break;
    case OTHER_TAGS:
        exchange_home_set_tag_fields(home, &tags);
        break;
    case NO_CACHE:
        attached = false;
        break;
    default:
        cache.silent = true;
        cache.outstanding = 1;
    }
    ck_assert(!recall());
    attached = true;
    cache.silent = false;
    cache.outstanding = 0;
    if (_i == NEXT_SECOND) {
        request(2, "GET");
        clients[2].head.memo->length = 4;
        ck_assert(!recall()); /* those were other bytes, perhaps */
        remember(2);
        ck_assert(recall());
    }
    end();
}
END_TEST

/* Whatever is stored under a status that has no body, none follows its head. */
START_TEST(what_has_no_body_is_not_repeated)
{
    struct http_meta_head head = fresh_head();
    struct http_fields fields = stored_fields();

    begin();
    ask_often();
    head.status = 204;
    request(0, "GET");
    find_kept(&head, &fields, 100);
    for (unsigned i = 0; i < 2; i++) {
        if (i > 0)
            request(i, "GET");
        ck_assert_uint_eq(clients[i].heads, 1);
        ck_assert_int_eq(clients[i].head.status, 204);
        ck_assert_uint_eq(clients[i].size, 0);
        ck_assert_ptr_null(clients[i].head.again);
    }
    end();
}
END_TEST

/* Whose answer is weighed, is another's, or is more than one piece. */
static const struct {
    const char *method, *field, *value;
    bool offered;
} not_repeated[] = {
    {"GET", "Cache-Control", "max-stale", true},
    {"GET", "Pragma", "x", true},
    {"HEAD", NULL, NULL, false},
    {"GET", "Range", "bytes=0-9", false},
    {"GET", "If-None-Match", "\"a\"", false},
};

START_TEST(what_depends_on_more_is_not_remembered)
{
    struct http_meta_head head = fresh_head();
    struct http_fields fields = stored_fields();

    begin();
    ask_often();
    request(0, "GET");
    find_kept(&head, &fields, 100);
    ck_assert(!recall());
    for (unsigned i = 1; i < 4; i++) {
        if (not_repeated[_i].field)
            add_field(i, not_repeated[_i].field, not_repeated[_i].value);
        request(i, not_repeated[_i].method);
        ck_assert_uint_eq(clients[i].heads, 1);
        ck_assert_int_eq(clients[i].head.again != NULL, not_repeated[_i].offered);
        if (clients[i].head.again)
            remember(i);
        ck_assert(!recall());
    }
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, what_is_hot_by_now_is_given_in_any_time);
    tcase_add_test(tcase, what_a_hot_index_has_no_key_for_is_fetched_in_any_time);
    tcase_add_loop_test(tcase, a_crowd_needs_one_set_of_segments, 0, 4);
    tcase_add_test(tcase, each_is_served_at_the_speed_of_its_client);
    tcase_add_loop_test(tcase, a_client_may_leave_while_it_waits, 0, 5);
    tcase_add_test(tcase, what_is_purged_meanwhile_is_given_to_nobody_new);
    tcase_add_test(tcase, what_was_purged_is_joined_by_nobody);
    tcase_add_loop_test(tcase, who_wants_it_fresher_does_not_get_it, 0, 3);
    ADD_ROWS(tcase, a_range_of_it_waits_for_its_pieces, ranges);
    tcase_add_test(tcase, several_ranges_of_it_wait_for_theirs);
    tcase_add_test(tcase, what_has_no_body_waits_for_nothing);
    tcase_add_loop_test(tcase, what_cannot_be_loaded_is_continued, 0, TROUBLES);
    tcase_add_loop_test(tcase, what_cannot_be_continued_is_broken, 0, TROUBLES);
    tcase_add_loop_test(tcase, who_has_been_given_nothing_looks_up_anew, 0, TROUBLES);
    tcase_add_loop_test(tcase, same_request_has_the_same_answer, 0, 2);
    tcase_add_loop_test(tcase, it_is_decided_anew_when_anything_has_changed, 0, CHANGES);
    tcase_add_test(tcase, what_has_no_body_is_not_repeated);
    ADD_ROWS(tcase, what_depends_on_more_is_not_remembered, not_repeated);
}

int main(void)
{
    return run_suite("exchange_hot", add_cases);
}
