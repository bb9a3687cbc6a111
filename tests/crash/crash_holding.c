/* A process keeps as much from being evicted as it can, in ways that are not bodies. It gets a quarter of the
 * memory, and whoever else comes is served and can store. */
#include "crash_support.h"

#include <string.h>

#define MEMORY ((uint64_t)8 << 20)
#define SLACK                                                                                                \
    ((uint64_t)512 << 10) /* what an object of the largest size takes beside its body, and a block */
#define META    65535u
#define LONGEST WIRE_MAX_KEY
#define TRIES   1000u

static const struct pool_shape wide = {.segments = 2, .segment_bytes = 128 * 1024, .ring_entries = 16};

static struct story story;
static struct liar liar;

/* A key of so many bytes for each number. */
static void write_key(uint32_t segment, uint16_t length, uint32_t number)
{
    uint8_t *payload = segment_payload(&liar.endpoint.pool, segment);

    ck_assert(segment_win_write(&liar.endpoint.pool, segment));
    memset(payload, 'k', length);
    memcpy(payload, &number, sizeof(number));
    segment_post_read(&liar.endpoint.pool, segment);
}

static struct wire_completion look_up(uint16_t key_length, uint32_t number, uint8_t flags)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);

    request.segment = 0;
    request.flags = flags;
    request.key_length = key_length;
    write_key(0, key_length, number);
    liar_put(&liar, &request);
    struct wire_completion completion = liar_completion(&liar);
    liar_take_back(&liar, 0);
    return completion;
}

/* `size`: of the object; nothing of it comes here. */
static bool begin_fill(uint32_t number, uint64_t size)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_FILL_BEGIN);

    request.handle = look_up(8, number, WIRE_LOOKUP_LEASE).lease;
    request.segment = 1;
    request.key_length = 8;
    request.meta_length = META;
    request.value = size;
    request.fresh_until = request.keep_until = soon_ms(600000);
    if (!request.handle)
        return false;
    write_key(1, 8, number);
    liar_put(&liar, &request);
    enum wire_status status = (enum wire_status)liar_completion(&liar).status;
    liar_take_back(&liar, 1);
    return status == WIRE_STATUS_OK;
}

static bool lease(uint32_t number)
{
    return look_up(LONGEST, number, WIRE_LOOKUP_LEASE).lease != 0;
}

static bool fill(uint32_t number)
{
    return begin_fill(number, UINT64_MAX);
}

static bool pin(uint32_t number)
{
    return begin_fill(number, 0) && look_up(8, number, WIRE_LOOKUP_REVALIDATE).handle != 0;
}

/* As many that are pinned already, with more metadata each. */
static bool update(uint32_t number)
{
    struct wire_request request = liar_request(&liar, WIRE_OP_UPDATE);

    if (!begin_fill(number, 0))
        return false;
    request.handle = look_up(8, number, WIRE_LOOKUP_REVALIDATE).handle;
    request.segment = 1;
    request.meta_length = META;
    request.fresh_until = request.keep_until = soon_ms(600000);
    write_key(1, 8, number);
    liar_put(&liar, &request);
    enum wire_status status = (enum wire_status)liar_completion(&liar).status;
    liar_take_back(&liar, 1);
    return request.handle && status == WIRE_STATUS_OK;
}

static bool (*const kinds[])(uint32_t number) = {lease, fill, pin, update};

/* Of another process, and of the same tenant. */
static void be_served(void *context)
{
    struct peer peer;

    (void)context;
    peer_create(&peer, &story, "news");
    peer_is_served(&peer);
    peer_is_served(&peer);
    peer_destroy(&peer);
}

START_TEST(what_a_process_holds_is_bounded_whatever_it_is)
{
    uint32_t number = 0;

    story_begin(&story, "holding");
    story_start_cache(&story, (const char *const[]){"--memory", "8M", NULL});
    liar_register_with(&liar, &story, "news", &wide);
    while (number < TRIES && kinds[_i](number))
        number++;
    ck_assert_uint_lt(number, TRIES);
    uint64_t held = story_gauge(&story, GAUGE_bytes_held);
    ck_assert_uint_le(held, MEMORY / 4 + SLACK);
    ck_assert_uint_ge(held, MEMORY / 4 - SLACK);
    ck_assert_int_eq(end_child(start_child(be_served, NULL), 0), 0);
    liar_end(&liar, true);
    story_is_settled(&story, 0);
    story_adds_up(&story);
    story_end(&story);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, what_a_process_holds_is_bounded_whatever_it_is, 0, ROWS(kinds));
}

int main(void)
{
    return crash_main("crash_holding", add_cases);
}
