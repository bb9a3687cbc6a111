#include "played.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SILENT_MAX 4096

static uint8_t memory[PLAYED_SEGMENTS_MAX][SEGMENT_BYTES];
static struct larder_segment segments[PLAYED_SEGMENTS_MAX];
static bool out[PLAYED_SEGMENTS_MAX], stale[PLAYED_SEGMENTS_MAX];
uint32_t played_segments = SEGMENTS;
unsigned times_used;
uint32_t row_asked;
bool attached;
uint64_t max_object = UINT64_MAX;
int refuse_with;
struct asked asked[PLAYED_OPS];
unsigned asked_count;
static struct larder_event answers[PLAYED_OPS];
static unsigned answer_count, answer_at;
uint64_t released, aborted, discarded, kept, unfollowed;
static struct {
    enum played_silent how;
    uint64_t name;
} silent[SILENT_MAX];
static unsigned silent_count;

int larder_client_create_shared(struct larder_client **client, const struct larder_options *options,
                                const struct larder_sharing *sharing, char *problem, size_t problem_size)
{
    (void)sharing;
    (void)options;
    (void)problem;
    (void)problem_size;
    *client = (struct larder_client *)(void *)memory;
    return 0;
}

void larder_client_destroy(struct larder_client **client)
{
    *client = NULL;
}

int larder_client_fd(const struct larder_client *client)
{
    (void)client;
    return STDIN_FILENO;
}

void larder_client_wake(struct larder_client *client)
{
    (void)client;
}

void larder_client_flush(struct larder_client *client)
{
    (void)client;
}

bool larder_client_has_answer(const struct larder_client *client)
{
    (void)client;
    return false;
}

bool larder_client_may_sleep(struct larder_client *client)
{
    (void)client;
    return true;
}

const char *larder_client_problem(const struct larder_client *client)
{
    (void)client;
    return "";
}

uint64_t larder_client_max_object(const struct larder_client *client)
{
    (void)client;
    return max_object;
}

bool larder_client_attached(const struct larder_client *client)
{
    (void)client;
    return attached;
}

bool larder_client_next(struct larder_client *client, struct larder_event *event)
{
    (void)client;
    if (answer_at == answer_count) {
        answer_at = answer_count = 0;
        return false;
    }
    *event = answers[answer_at++];
    return true;
}

int larder_segment_borrow(struct larder_client *client, struct larder_segment **segment)
{
    (void)client;
    for (uint32_t i = 0; i < played_segments; i++) {
        if (out[i])
            continue;
        out[i] = true;
        stale[i] = false;
        *segment = &segments[i];
        return 0;
    }
    return -EAGAIN;
}

int larder_segment_borrow_next(struct larder_client *client, struct larder_segment **segment, uint32_t *place,
                               uint32_t count)
{
    int error = larder_segment_borrow(client, segment);

    ck_assert_uint_gt(count, 0);
    row_asked = *place == 0 ? count : row_asked;
    if (!error)
        *place = (uint32_t)(*segment - segments) + 1;
    return error;
}

void larder_segment_return(struct larder_client *client, struct larder_segment **segment)
{
    size_t number = (size_t)(*segment - segments);

    (void)client;
    ck_assert(out[number]);
    memset(memory[number], 0xdd, SEGMENT_BYTES); /* nobody reads it any more */
    out[number] = false;
    *segment = NULL;
}

void make_stale(const struct larder_segment *segment)
{
    stale[segment - segments] = true;
}

bool larder_segment_is_current(const struct larder_segment *segment)
{
    return attached && !stale[segment - segments];
}

void larder_segment_used(struct larder_segment *segment)
{
    ck_assert(out[segment - segments]);
    times_used++;
}

int larder_segment_file(const struct larder_segment *segment, off_t *offset)
{
    (void)segment;
    *offset = 0;
    return -1;
}

void larder_segment_lent(struct larder_segment *segment)
{
    (void)segment;
    ck_abort_msg("there is no file to send");
}

static int take(struct asked op, struct larder_segment **segment)
{
    if (!attached)
        return -ENOTCONN;
    if (refuse_with)
        return refuse_with;
    if (segment) {
        op.segment = *segment;
        *segment = NULL;
    }
    ck_assert_uint_lt(asked_count, PLAYED_OPS);
    asked[asked_count++] = op;
    return 0;
}

int larder_lookup(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  uint32_t flags, void *user)
{
    (void)client;
    return take(
        (struct asked){.kind = LARDER_EVENT_LOOKUP, .key_length = key_length, .flags = flags, .user = user},
        segment);
}

int larder_lookup_asked(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                        uint32_t flags, int64_t asked_ms, void *user)
{
    (void)asked_ms;
    return larder_lookup(client, segment, key_length, flags, user);
}

int larder_read(struct larder_client *client, uint64_t handle, uint64_t offset,
                struct larder_segment **segment, uint32_t length, void *user)
{
    (void)client;
    return take(
        (struct asked){
            .kind = LARDER_EVENT_READ, .handle = handle, .offset = offset, .length = length, .user = user},
        segment);
}

static void give_back(enum played_silent how, uint64_t name)
{
    ck_assert_uint_ne(name, 0);
    ck_assert_uint_lt(silent_count, SILENT_MAX);
    silent[silent_count].how = how;
    silent[silent_count++].name = name;
}

unsigned times_given_back(enum played_silent how, uint64_t name)
{
    unsigned times = 0;

    for (unsigned i = 0; i < silent_count; i++)
        times += silent[i].how == how && silent[i].name == name;
    return times;
}

void larder_release(struct larder_client *client, uint64_t handle)
{
    (void)client;
    released = handle;
    give_back(PLAYED_RELEASE, handle);
}

int larder_fill_begin(struct larder_client *client, const struct larder_fill *fill,
                      struct larder_segment **segment, void *user)
{
    (void)client;
    return take((struct asked){.kind = LARDER_EVENT_FILL_BEGIN,
                               .lease = fill->lease,
                               .key_length = fill->key_length,
                               .meta_length = fill->meta_length,
                               .length = fill->body_length,
                               .object_size = fill->object_size,
                               .user = user},
                segment);
}

int larder_fill_data(struct larder_client *client, uint64_t lease, uint64_t offset,
                     struct larder_segment **segment, uint32_t length, void *user)
{
    (void)client;
    return take(
        (struct asked){
            .kind = LARDER_EVENT_FILL_DATA, .lease = lease, .offset = offset, .length = length, .user = user},
        segment);
}

int larder_fill_end(struct larder_client *client, uint64_t lease, uint64_t object_size, void *user)
{
    (void)client;
    return take(
        (struct asked){
            .kind = LARDER_EVENT_FILL_END, .lease = lease, .object_size = object_size, .user = user},
        NULL);
}

void larder_fill_abort(struct larder_client *client, uint64_t lease)
{
    (void)client;
    aborted = lease;
    give_back(PLAYED_ABORT, lease);
}

void larder_fill_discard(struct larder_client *client, uint64_t lease)
{
    (void)client;
    discarded = lease;
    give_back(PLAYED_DISCARD, lease);
}

void larder_fill_keep(struct larder_client *client, uint64_t lease)
{
    (void)client;
    kept = lease;
    give_back(PLAYED_KEEP, lease);
}

/* READ as well, but with metadata in front; `flags` tells them apart. */
int larder_read_meta(struct larder_client *client, uint64_t handle, struct larder_segment **segment,
                     uint32_t length, void *user)
{
    (void)client;
    return take(
        (struct asked){
            .kind = LARDER_EVENT_READ, .handle = handle, .length = length, .flags = 1, .user = user},
        segment);
}

int larder_follow(struct larder_client *client, uint64_t follow, uint64_t known, void *user)
{
    (void)client;
    for (unsigned i = 0; i < asked_count; i++) /* once at a time */
        ck_assert(asked[i].kind != LARDER_EVENT_FOLLOW || asked[i].follow != follow);
    return take((struct asked){.kind = LARDER_EVENT_FOLLOW, .follow = follow, .offset = known, .user = user},
                NULL);
}

void larder_unfollow(struct larder_client *client, uint64_t follow)
{
    (void)client;
    unfollowed = follow;
    give_back(PLAYED_UNFOLLOW, follow);
}

int larder_update_tagged(struct larder_client *client, uint64_t handle, uint64_t lease,
                         struct larder_segment **segment, uint32_t tags_length, uint32_t meta_length,
                         int64_t fresh_until, int64_t keep_until, void *user)
{
    (void)client;
    (void)tags_length;
    ck_assert_int_ge(keep_until, fresh_until);
    return take((struct asked){.kind = LARDER_EVENT_UPDATE,
                               .handle = handle,
                               .lease = lease,
                               .meta_length = meta_length,
                               .user = user},
                segment);
}

int larder_remove(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  void *user)
{
    (void)client;
    return take((struct asked){.kind = LARDER_EVENT_REMOVE, .key_length = key_length, .user = user}, segment);
}

int larder_purge(struct larder_client *client, struct larder_segment **segment, uint32_t length,
                 uint32_t flags, void *user)
{
    (void)client;
    (void)flags;
    return take((struct asked){.kind = LARDER_EVENT_PURGE, .key_length = length, .user = user}, segment);
}

/* ---- the origin ---- */

static struct origin_fetch fetches[PLAYED_FETCHES];
struct origin_fetch *fetch;
unsigned fetches_begun;

unsigned fetches_open(void)
{
    unsigned open = 0;

    for (unsigned i = 0; i < fetches_begun; i++)
        open += fetches[i].open;
    return open;
}

enum origin_body play_no_body(void *owner, char *to, size_t size, size_t *got, int *status)
{
    (void)owner;
    (void)to;
    (void)size;
    (void)got;
    (void)status;
    return ORIGIN_BODY_END;
}

int origin_fetch(struct origin *origin, struct origin_fetch **out_fetch, const struct origin_request *request,
                 const struct origin_calls *calls, void *owner)
{
    struct http_text text;

    (void)origin;
    ck_assert_uint_lt(fetches_begun, PLAYED_FETCHES);
    fetch = &fetches[fetches_begun++];
    *fetch = (struct origin_fetch){.calls = calls, .owner = owner, .open = true};
    text = http_text_into(fetch->fields, sizeof fetch->fields - 1);
    for (uint32_t i = 0; i < request->field_count; i++)
        http_text_add_field(&text, &request->fields[i]);
    ck_assert_uint_lt(request->target.length, sizeof fetch->target);
    memcpy(fetch->target, request->target.at, request->target.length);
    *out_fetch = fetch;
    return 0;
}

const struct origin_head *origin_response(const struct origin_fetch *of)
{
    return &of->head;
}

const char *origin_problem(const struct origin_fetch *of)
{
    (void)of;
    return "it is played";
}

struct http_span origin_base(const struct origin *origin)
{
    (void)origin;
    return HTTP_SPAN("http://origin:80");
}

void origin_resume(struct origin_fetch *of)
{
    ck_assert(of->open);
    of->resumed++;
}

void origin_close(struct origin_fetch **of)
{
    if (*of)
        (*of)->open = false;
    *of = NULL;
}

/* ---- the test's side ---- */

struct proxy_loop loop;
struct cache_link cache;
struct deadline_list stalls;
struct cache_ops ops;
static struct larder_segment *held[PLAYED_SEGMENTS_MAX];

void play_begin(void (*stalled)(struct deadline *))
{
    struct larder_options options = {.segments = played_segments, .segment_bytes = SEGMENT_BYTES};
    int pipe_ends[2];

    for (uint32_t i = 0; i < played_segments; i++)
        segments[i] = (struct larder_segment){memory[i], SEGMENT_BYTES};
    attached = true;
    ck_assert_int_eq(pipe(pipe_ends), 0);
    ck_assert_int_eq(dup2(pipe_ends[0], STDIN_FILENO), STDIN_FILENO);
    ck_assert_int_eq(proxy_loop_setup(&loop), 0);
    ck_assert_int_eq(cache_link_setup(&cache, &loop, &options, NULL, NULL, 0), 0);
    loop_add_deadlines(&loop, &stalls, 1000, stalled);
}

int segments_out(void)
{
    int count = 0;

    for (uint32_t i = 0; i < played_segments; i++)
        count += out[i];
    return count;
}

void play_end(void)
{
    loop_finish_tasks(&loop);
    ck_assert_int_eq(segments_out(), 0);
    ck_assert_uint_eq(cache.held, 0);
    ck_assert_uint_eq(ops.count, 0);
    cache_link_teardown(&cache);
    proxy_loop_teardown(&loop);
}

struct larder_event *answer(unsigned number, enum larder_status status)
{
    struct larder_event *event = &answers[answer_count++];
    struct asked op;

    ck_assert_uint_lt(number, asked_count);
    op = asked[number];
    memmove(asked + number, asked + number + 1, (--asked_count - number) * sizeof *asked);
    *event = (struct larder_event){.kind = op.kind,
                                   .status = status,
                                   .user = op.user,
                                   .segment = op.segment,
                                   .length = op.length,
                                   .offset = op.offset};
    if (op.kind == LARDER_EVENT_LOOKUP)
        event->fresh_until = INT64_MAX;
    return event;
}

void deliver(void)
{
    cache.source.drain(&cache.source);
    loop_finish_tasks(&loop);
}

void pass_time(int64_t ms)
{
    loop.now_ms += ms;
    for (unsigned i = 0; i < loop.list_count; i++)
        deadline_expire(loop.lists[i], loop.now_ms);
    loop_finish_tasks(&loop);
}

void hold_segments(int count)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(cache_link_borrow(&cache, &held[i]), 0);
}

void put_segments_back(void)
{
    for (uint32_t i = 0; i < played_segments; i++)
        cache_link_return(&cache, &held[i]);
}

void return_segments(void)
{
    put_segments_back();
    loop_finish_tasks(&loop);
}
