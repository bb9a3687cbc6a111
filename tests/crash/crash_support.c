#include "crash_support.h"

#include "ctl_merge.h"

#include "log.h"
#include "shm_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROWS_MAX         512
/* Peers that a test does nothing with are silent for longer than proxies that run. */
#define STORY_STALL_TIME "60"
#define STORY_ARGUMENTS  7 /* before those of the test */
#define INSTANCES_MAX    512

/* Instances that were begun and have not ended, shared with the processes that tests run in. */
static char (*begun)[TEST_INSTANCE_BYTES];

uint8_t pattern_byte(uint64_t seed, uint64_t offset)
{
    return (uint8_t)((offset % 251) * 7 + offset / 65536 * 13 + seed * 101 + 1);
}

void fill_pattern(uint8_t *out, uint64_t seed, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        out[i] = pattern_byte(seed, offset + i);
}

bool is_pattern(const uint8_t *bytes, uint64_t seed, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++) {
        if (bytes[i] != pattern_byte(seed, offset + i))
            return false;
    }
    return true;
}

int64_t soon_ms(int64_t from_now_ms)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + from_now_ms;
}

/* ---- story -------------------------------------------------------------------------------------------- */

static void note_begun(const char *instance)
{
    for (int i = 0; i < INSTANCES_MAX; i++) {
        if (begun[i][0] == '\0') {
            snprintf(begun[i], sizeof(begun[i]), "%s", instance);
            return;
        }
    }
}

static void note_ended(const char *instance)
{
    for (int i = 0; i < INSTANCES_MAX; i++) {
        if (strcmp(begun[i], instance) == 0)
            begun[i][0] = '\0';
    }
}

void story_begin(struct story *story, const char *name)
{
    *story = (struct story){.runs = false};
    test_instance_name(story->instance, name);
    note_begun(story->instance);
    story->before = test_footprint(story->instance);
}

void story_start_program(struct story *story, const char *program, const char *const arguments[])
{
    char name[64];
    char *argv[20] = {name,
                      (char[]){"--instance"},
                      story->instance,
                      (char[]){"--log-level"},
                      (char[]){"error"},
                      (char[]){"--stall-time"},
                      (char[]){STORY_STALL_TIME}};
    char line[256];

    const char *shards = getenv("LARDER_SHARDS");
    int count = STORY_ARGUMENTS;

    snprintf(name, sizeof(name), "%s", program);
    for (int i = 0; arguments && arguments[i]; i++) {
        argv[count++] = strdup(arguments[i]);
        if (strcmp(arguments[i], "--shards") == 0)
            shards = NULL; /* the story has its own */
    }
    if (shards) {
        argv[count++] = strdup("--shards");
        argv[count++] = strdup(shards);
    }
    ck_assert_int_eq(test_child_start(&story->cache, argv), 0);
    for (int i = STORY_ARGUMENTS; argv[i]; i++)
        free(argv[i]);
    ck_assert(test_child_line(&story->cache, line, sizeof(line), TEST_DEADLINE_MS));
    ck_assert_str_eq(line, "ready");
    story->runs = true;
}

void story_start_cache(struct story *story, const char *const arguments[])
{
    story_start_program(story, "cache_server", arguments);
}

void story_kill_cache(struct story *story)
{
    ck_assert_int_eq(test_child_stop(&story->cache, SIGKILL, TEST_DEADLINE_MS), 128 + SIGKILL);
    story->runs = false;
}

bool story_queue_exists(const struct story *story)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, story->instance);
    if (mq_open_existing(&queue, name, O_WRONLY))
        return false;
    mq_close(queue);
    return true;
}

void story_stop_cache(struct story *story)
{
    ck_assert_int_eq(test_child_stop(&story->cache, SIGTERM, TEST_DEADLINE_MS), 0);
    story->runs = false;
    ck_assert(!story_queue_exists(story));
}

void story_end(struct story *story)
{
    if (story->runs)
        story_stop_cache(story);
    ck_assert(test_nothing_left(story->instance, &story->before));
    note_ended(story->instance);
}

/* Calls `each` with every number that it has open. How many, or -1. */
static int list_descriptors(const struct story *story, void (*each)(void *context, unsigned number),
                            void *context)
{
    char path[64];
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)story->cache.pid);
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        if (each)
            each(context, (unsigned)strtoul(entry->d_name, NULL, 10));
        count++;
    }
    closedir(directory);
    return count;
}

int story_descriptors(const struct story *story)
{
    return list_descriptors(story, NULL, NULL);
}

int story_least_descriptors(const struct story *story)
{
    int least = story_descriptors(story);

    for (int looks = 0; looks < 20; looks++) {
        poll(NULL, 0, 1);
        int seen = story_descriptors(story);
        least = seen < least ? seen : least;
    }
    return least;
}

uint64_t story_resident(const struct story *story)
{
    char path[64], text[128] = "";
    char *second;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)story->cache.pid);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
    fclose(file);
    strtoull(text, &second, 10); /* all of its pages, then those in memory: proc(5) */
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct held {
    const struct story *story;
    int count;
};

static bool holds_no_more(void *context)
{
    const struct held *held = context;

    return story_descriptors(held->story) <= held->count; /* some of which may have been on their way out */
}

void story_await_descriptors(const struct story *story, int count)
{
    struct held held = {story, count};

    ck_assert_msg(test_wait_until(holds_no_more, &held, TEST_DEADLINE_MS),
                  "the cache holds %d descriptors, more than %d", story_descriptors(story), count);
}

enum { NUMBERS = 4096 };

static void note_number(void *context, unsigned number)
{
    bool *used = context;

    if (number < NUMBERS)
        used[number] = true;
}

/* The limit is one of numbers, and there are free ones between those in use. */
void story_leave_descriptors(const struct story *story, uint32_t free)
{
    bool used[NUMBERS] = {false};
    struct rlimit limit;
    uint32_t most = 0;

    ck_assert_int_gt(list_descriptors(story, note_number, used), 0);
    for (uint32_t found = 0; most < NUMBERS; most++) {
        if (!used[most] && found++ == free)
            break;
    }
    ck_assert_int_eq(prlimit(story->cache.pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = free == UINT32_MAX ? limit.rlim_max : most;
    ck_assert_int_eq(prlimit(story->cache.pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

void freeze_process(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
}

/* ---- asking the cache --------------------------------------------------------------------------------- */

static const struct pool_shape asker_shape = {.segments = 1, .segment_bytes = 65536, .ring_entries = 16};

static void begin_rings(struct segment_pool *pool, uint32_t index)
{
    pool->requests.own = pool->requests.other = index;
    pool->completions.own = pool->completions.other = index;
    atomic_store(&pool->requests.shared->tail, index);
    atomic_store(&pool->requests.shared->head, index);
    atomic_store(&pool->completions.shared->tail, index);
    atomic_store(&pool->completions.shared->head, index);
}

static void asker_appear(struct liar *asker, const struct story *story)
{
    *asker = (struct liar){.registration = 0};
    ck_assert_msg(endpoint_create(&asker->endpoint, story->instance, &asker_shape) == 0, "%s",
                  asker->endpoint.problem);
    begin_rings(&asker->endpoint.pool, story->ring_begin);
    ck_assert_msg(endpoint_reach(&asker->endpoint) == ENDPOINT_REACHED, "%s", asker->endpoint.problem);
}

static void expect(struct liar *liar, enum wire_type type, union wire_message *message)
{
    ck_assert_msg(liar_receive(liar, message, TEST_DEADLINE_MS), "the cache does not answer");
    ck_assert_msg(message->header.type == type, "%s instead of %s: %s", wire_type_name(message->header.type),
                  wire_type_name(type),
                  message->header.type == WIRE_REFUSED ? wire_refusal_text(message->wire_refused.reason)
                                                       : "");
}

size_t liar_hello(const struct liar *liar, const char *tenant, union wire_message *message)
{
    size_t length = wire_prepare(message, WIRE_HELLO, liar->endpoint.token);
    struct wire_hello *hello = &message->wire_hello;

    hello->secret = liar->endpoint.secret;
    hello->segments = liar->endpoint.pool.shape.segments;
    hello->segment_bytes = liar->endpoint.pool.shape.segment_bytes;
    hello->ring_entries = liar->endpoint.pool.shape.ring_entries;
    hello->ring_pairs = liar->endpoint.pool.shape.ring_pairs;
    snprintf(hello->tenant, sizeof(hello->tenant), "%s", tenant);
    return length;
}

/* A proxy registers with all shards; only the first one is asked anything. */
static void greet_others(struct liar *liar, const char *tenant)
{
    union wire_message message;
    mqd_t command;

    for (uint32_t shard = 1; shard < liar->shards; shard++) {
        size_t length = liar_hello(liar, tenant, &message);
        ck_assert_int_eq(endpoint_reach_shard(&liar->endpoint, shard, &command), 0);
        ck_assert_int_eq(mq_send_message(command, &message, length), 0);
        expect(liar, WIRE_WELCOME, &message);
        mq_close(command);
    }
}

static void say_hello(struct liar *liar, enum wire_role role, const char *tenant)
{
    union wire_message message;
    size_t length = liar_hello(liar, tenant, &message);

    message.wire_hello.role = role;
    liar_send(liar, &message, length);
    expect(liar, WIRE_WELCOME, &message);
    liar->registration = message.wire_welcome.registration;
    liar->shards = message.wire_welcome.shards;
    if (role == WIRE_ROLE_PROXY)
        greet_others(liar, tenant);
}

static uint32_t ask_for_rows(struct liar *asker, struct wire_row *rows, int most, int *count, uint32_t cursor)
{
    struct segment_pool *pool = &asker->endpoint.pool;
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_STATS, asker->endpoint.token);

    message.wire_stats.registration = asker->registration;
    message.wire_stats.secret = asker->endpoint.secret;
    message.wire_stats.cursor = cursor;
    liar_send(asker, &message, length);
    expect(asker, WIRE_STATS_ROWS, &message);
    ck_assert(segment_win_read(pool, 0));
    for (uint32_t i = 0; i < message.wire_stats_rows.rows && *count < most; i++)
        memcpy(&rows[(*count)++], segment_payload(pool, 0) + i * sizeof(*rows), sizeof(*rows));
    segment_post_write(pool, 0);
    return message.wire_stats_rows.next_cursor;
}

void asker_open(struct liar *asker, const struct story *story)
{
    asker_appear(asker, story);
    say_hello(asker, WIRE_ROLE_ADMIN, NAMES_DEFAULT);
}

static int rows_of_one(struct liar *asker, struct wire_row *rows, int most)
{
    uint32_t cursor = 0;
    int count = 0;

    do
        cursor = ask_for_rows(asker, rows, most, &count, cursor);
    while (cursor != 0);
    return count;
}

int story_shard_rows(const struct story *story, uint32_t shard, struct wire_row *rows, int most)
{
    struct liar asker;
    mqd_t command;

    asker_appear(&asker, story);
    ck_assert_int_eq(endpoint_reach_shard(&asker.endpoint, shard, &command), 0);
    mq_close(asker.endpoint.command);
    asker.endpoint.command = command;
    say_hello(&asker, WIRE_ROLE_ADMIN, NAMES_DEFAULT);
    int count = rows_of_one(&asker, rows, most);
    asker_close(&asker);
    return count;
}

int asker_rows(struct liar *asker, struct wire_row *out, int most)
{
    static struct wire_row rows[2 * ROWS_MAX]; /* those so far, and another shard's */
    struct story story = {.ring_begin = asker->endpoint.pool.requests.own}; /* it asks by message alone */
    int count = rows_of_one(asker, rows, ROWS_MAX);

    snprintf(story.instance, sizeof(story.instance), "%s", asker->endpoint.instance);
    for (uint32_t shard = 1; shard < asker->shards; shard++) {
        int more = story_shard_rows(&story, shard, rows + count, ROWS_MAX);
        count = (int)ctl_merge_rows(rows, (size_t)count, (size_t)count + (size_t)more);
    }
    count = count < most ? count : most;
    memcpy(out, rows, (size_t)count * sizeof(*rows));
    return count;
}

struct wire_row asker_numbers(struct liar *asker)
{
    static struct wire_row rows[ROWS_MAX];

    ck_assert_int_ge(asker_rows(asker, rows, ROWS_MAX), 1);
    ck_assert_uint_eq(rows[0].kind, WIRE_ROW_CACHE);
    return rows[0];
}

void asker_close(struct liar *asker)
{
    liar_end(asker, true);
}

int story_rows(const struct story *story, struct wire_row *rows, int most)
{
    struct liar asker;

    asker_open(&asker, story);
    int count = asker_rows(&asker, rows, most);
    asker_close(&asker);
    return count;
}

struct wire_row story_numbers(const struct story *story)
{
    static struct wire_row rows[ROWS_MAX];

    ck_assert_int_ge(story_rows(story, rows, ROWS_MAX), 1);
    ck_assert_uint_eq(rows[0].kind, WIRE_ROW_CACHE);
    return rows[0];
}

struct wire_row story_tenant(const struct story *story, const char *name)
{
    static struct wire_row rows[ROWS_MAX];
    int count = story_rows(story, rows, ROWS_MAX);

    for (int i = 0; i < count; i++) {
        if (rows[i].kind == WIRE_ROW_TENANT && strcmp(rows[i].name, name) == 0)
            return rows[i];
    }
    ck_abort_msg("there is no tenant %s", name);
}

uint64_t gauge_of(const struct wire_row *row, enum gauge gauge)
{
    return row->values[COUNTER_COUNT + gauge];
}

uint64_t story_counter(const struct story *story, enum counter counter)
{
    return story_numbers(story).values[counter];
}

uint64_t story_gauge(const struct story *story, enum gauge gauge)
{
    struct wire_row row = story_numbers(story);

    return gauge_of(&row, gauge);
}

struct awaited {
    const struct story *story;
    int place;
    uint64_t value, seen;
};

static bool has_value(void *context)
{
    struct awaited *awaited = context;

    awaited->seen = story_numbers(awaited->story).values[awaited->place];
    return awaited->seen == awaited->value;
}

static void await_value(const struct story *story, int place, uint64_t value)
{
    struct awaited awaited = {story, place, value, 0};

    ck_assert_msg(test_wait_until(has_value, &awaited, TEST_DEADLINE_MS), "%s is %llu and never %llu",
                  counter_infos[place].name, (unsigned long long)awaited.seen, (unsigned long long)value);
}

void story_await_counter(const struct story *story, enum counter counter, uint64_t value)
{
    await_value(story, (int)counter, value);
}

void story_await_gauge(const struct story *story, enum gauge gauge, uint64_t value)
{
    await_value(story, COUNTER_COUNT + (int)gauge, value);
}

static bool is_summed(int place)
{
    unsigned both = COUNTER_SCOPE_CACHE | COUNTER_SCOPE_TENANT;

    /* The index belongs to nobody, and all tenants may use all of the memory. */
    return (counter_infos[place].scopes & both) == both && place != COUNTER_COUNT + GAUGE_bytes_used &&
           place != COUNTER_COUNT + GAUGE_bytes_allowed;
}

/* An admin client, who has no tenant, may have added to it as well. */
static bool may_be_of_an_asker(int place)
{
    return place == COUNTER_faults_caught || place == COUNTER_pauses;
}

void story_adds_up(const struct story *story)
{
    static struct wire_row rows[ROWS_MAX];
    int count = story_rows(story, rows, ROWS_MAX);

    for (int place = 0; place < COUNTER_COUNT + GAUGE_COUNT; place++) {
        uint64_t sum = 0;

        if (!is_summed(place))
            continue;
        for (int i = 1; i < count; i++)
            sum += rows[i].kind == WIRE_ROW_TENANT ? rows[i].values[place] : 0;
        ck_assert_msg(sum == rows[0].values[place] ||
                          (may_be_of_an_asker(place) && sum < rows[0].values[place]),
                      "%s: the cache says %llu, its tenants together %llu", counter_infos[place].name,
                      (unsigned long long)rows[0].values[place], (unsigned long long)sum);
    }
}

struct settling {
    const struct story *story;
    uint64_t proxies;
    struct wire_row row;
};

static bool is_settled(void *context)
{
    struct settling *settling = context;
    const struct wire_row *row = &settling->row;

    settling->row = story_numbers(settling->story);
    return gauge_of(row, GAUGE_proxies) == settling->proxies && gauge_of(row, GAUGE_pins) == 0 &&
           gauge_of(row, GAUGE_leases) == 0 && gauge_of(row, GAUGE_bytes_held) == 0 &&
           gauge_of(row, GAUGE_stalled) == 0 && gauge_of(row, GAUGE_followers) == 0 &&
           gauge_of(row, GAUGE_pools) <= settling->proxies + 1; /* the asker's */
}

void story_is_settled(const struct story *story, uint64_t proxies)
{
    struct settling settling = {story, proxies, {0}};

    ck_assert_msg(
        test_wait_until(is_settled, &settling, TEST_DEADLINE_MS),
        "not settled: %llu proxies, %llu pins, %llu leases, %llu bytes held, %llu stalled, %llu followers, "
        "%llu pools",
        (unsigned long long)gauge_of(&settling.row, GAUGE_proxies),
        (unsigned long long)gauge_of(&settling.row, GAUGE_pins),
        (unsigned long long)gauge_of(&settling.row, GAUGE_leases),
        (unsigned long long)gauge_of(&settling.row, GAUGE_bytes_held),
        (unsigned long long)gauge_of(&settling.row, GAUGE_stalled),
        (unsigned long long)gauge_of(&settling.row, GAUGE_followers),
        (unsigned long long)gauge_of(&settling.row, GAUGE_pools));
}

#define PING_AGAIN_MS 500

/* A PING may find the queue full, and a cache with many strangers to answer leaves some out: it is asked
 * again.
 */
static bool is_answered(void *context)
{
    struct liar *asker = context;
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_PING, asker->endpoint.token);

    message.wire_ping.cookie = asker->cookie;
    return mq_send_message(asker->endpoint.command, &message, length) == 0 &&
           liar_receive(asker, &message, PING_AGAIN_MS) && message.header.type == WIRE_PONG &&
           message.wire_pong.cookie == asker->cookie &&
           message.wire_pong.pid == (uint32_t)asker->registration;
}

bool story_answers(const struct story *story)
{
    struct liar asker;

    asker_appear(&asker, story);
    asker.cookie = 77;
    asker.registration = (uint64_t)story->cache.pid; /* nothing else is registered here */
    bool answered = test_wait_until(is_answered, &asker, TEST_DEADLINE_MS);
    asker.registration = 0;
    liar_end(&asker, false);
    return answered;
}

/* ---- peer --------------------------------------------------------------------------------------------- */

void peer_create_with(struct peer *peer, const struct story *story, const char *tenant, uint32_t segments,
                      uint32_t segment_bytes)
{
    struct larder_options options = {story->instance, tenant, segments, segment_bytes};
    char problem[512];

    ck_assert_msg(larder_client_create(&peer->client, &options, problem, sizeof(problem)) == 0, "%s",
                  problem);
    if (story->runs)
        peer_expect(peer, LARDER_EVENT_ATTACHED);
}

void peer_create(struct peer *peer, const struct story *story, const char *tenant)
{
    peer_create_with(peer, story, tenant, PEER_SEGMENTS, PEER_SEGMENT_BYTES);
}

void peer_destroy(struct peer *peer)
{
    larder_client_destroy(&peer->client);
    ck_assert_ptr_null(peer->client);
}

bool peer_next(struct peer *peer, struct larder_event *event, int deadline_ms)
{
    int64_t deadline = test_now_ms() + deadline_ms;

    while (!larder_client_next(peer->client, event)) {
        struct pollfd wait = {.fd = larder_client_fd(peer->client), .events = POLLIN};
        int64_t left = deadline - test_now_ms();

        if (left < 0)
            return false;
        larder_client_flush(peer->client);
        if (poll(&wait, 1, larder_client_may_sleep(peer->client) ? (int)left : 0) > 0)
            larder_client_wake(peer->client);
    }
    return true;
}

struct larder_event peer_expect(struct peer *peer, enum larder_event_kind kind)
{
    struct larder_event event;

    ck_assert_msg(peer_next(peer, &event, TEST_DEADLINE_MS), "no event of kind %d; %s", (int)kind,
                  larder_client_problem(peer->client));
    ck_assert_msg(event.kind == kind, "event of kind %d and status %d instead of kind %d; %s",
                  (int)event.kind, (int)event.status, (int)kind, larder_client_problem(peer->client));
    return event;
}

static void give_back(struct peer *peer, struct larder_event *event)
{
    if (event->segment)
        larder_segment_return(peer->client, &event->segment);
}

struct larder_segment *peer_borrow(struct peer *peer)
{
    struct larder_segment *segment;

    ck_assert_int_eq(larder_segment_borrow(peer->client, &segment), 0);
    return segment;
}

struct larder_segment *peer_key(struct peer *peer, const char *key)
{
    struct larder_segment *segment = peer_borrow(peer);

    memcpy(segment->data, key, strlen(key));
    return segment;
}

struct larder_event peer_lookup(struct peer *peer, const char *key, uint32_t flags)
{
    struct larder_segment *segment = peer_key(peer, key);

    ck_assert_int_eq(larder_lookup(peer->client, &segment, (uint32_t)strlen(key), flags, peer), 0);
    ck_assert_ptr_null(segment);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_LOOKUP);
    ck_assert_ptr_eq(event.user, peer);
    return event;
}

uint64_t peer_lease(struct peer *peer, const char *key)
{
    struct larder_event event = peer_lookup(peer, key, LARDER_LOOKUP_LEASE);

    ck_assert_int_eq(event.status, LARDER_MISS);
    ck_assert_uint_ne(event.lease, 0);
    give_back(peer, &event);
    return event.lease;
}

enum larder_status peer_begin_fill(struct peer *peer, uint64_t lease, const char *key, uint64_t size)
{
    struct larder_segment *segment = peer_key(peer, key);
    uint32_t key_length = (uint32_t)strlen(key);
    struct larder_fill fill = {
        .lease = lease,
        .key_length = key_length,
        .meta_length = 4,
        .object_size = size,
        .fresh_until = soon_ms(3600000),
        .keep_until = soon_ms(7200000),
    };

    memcpy(segment->data + key_length, "meta", 4);
    ck_assert_int_eq(larder_fill_begin(peer->client, &fill, &segment, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_FILL_BEGIN);
    give_back(peer, &event);
    return event.status;
}

enum larder_status peer_fill_data(struct peer *peer, uint64_t lease, uint64_t seed, uint64_t offset,
                                  uint32_t length)
{
    struct larder_segment *segment = peer_borrow(peer);

    fill_pattern(segment->data, seed, offset, length);
    ck_assert_int_eq(larder_fill_data(peer->client, lease, offset, &segment, length, NULL), 0);
    struct larder_event event = peer_expect(peer, LARDER_EVENT_FILL_DATA);
    give_back(peer, &event);
    return event.status;
}

enum larder_status peer_end_fill(struct peer *peer, uint64_t lease, uint64_t size)
{
    ck_assert_int_eq(larder_fill_end(peer->client, lease, size, NULL), 0);
    return peer_expect(peer, LARDER_EVENT_FILL_END).status;
}

void peer_store(struct peer *peer, const char *key, uint64_t seed, uint64_t size)
{
    uint64_t lease = peer_lease(peer, key);

    ck_assert_int_eq(peer_begin_fill(peer, lease, key, size), LARDER_OK);
    for (uint64_t offset = 0; offset < size;) {
        uint64_t length = size - offset < PEER_SEGMENT_BYTES ? size - offset : PEER_SEGMENT_BYTES;
        ck_assert_int_eq(peer_fill_data(peer, lease, seed, offset, (uint32_t)length), LARDER_OK);
        offset += length;
    }
    if (size > 0)
        ck_assert_int_eq(peer_end_fill(peer, lease, size), LARDER_OK);
}

static void read_rest(struct peer *peer, uint64_t handle, uint64_t seed, uint64_t offset, uint64_t size)
{
    while (offset < size) {
        struct larder_segment *segment = peer_borrow(peer);
        ck_assert_int_eq(larder_read(peer->client, handle, offset, &segment, PEER_SEGMENT_BYTES, NULL), 0);
        struct larder_event event = peer_expect(peer, LARDER_EVENT_READ);
        ck_assert_int_eq(event.status, LARDER_OK);
        ck_assert_uint_eq(event.offset, offset);
        ck_assert_uint_gt(event.length, 0);
        ck_assert(is_pattern(event.segment->data, seed, offset, event.length));
        offset += event.length;
        give_back(peer, &event);
    }
    ck_assert_uint_eq(offset, size);
}

void peer_check(struct peer *peer, const char *key, uint64_t seed, uint64_t size)
{
    struct larder_event event = peer_lookup(peer, key, 0);

    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_eq(event.object_size, size);
    ck_assert_uint_eq(event.meta_length, 4);
    ck_assert_mem_eq(event.segment->data, "meta", 4);
    ck_assert(is_pattern(event.segment->data + 4, seed, 0, event.length));
    give_back(peer, &event);
    if (event.handle == 0) {
        ck_assert_uint_eq(event.length, size);
        return;
    }
    read_rest(peer, event.handle, seed, event.length, size);
    larder_release(peer->client, event.handle);
    larder_client_flush(peer->client);
}

void peer_check_miss(struct peer *peer, const char *key)
{
    struct larder_event event = peer_lookup(peer, key, 0);

    ck_assert_int_eq(event.status, LARDER_MISS);
    ck_assert_uint_eq(event.handle + event.lease, 0);
    give_back(peer, &event);
}

uint64_t peer_pin(struct peer *peer, const char *key)
{
    struct larder_event event = peer_lookup(peer, key, 0);

    ck_assert_int_eq(event.status, LARDER_HIT);
    ck_assert_uint_ne(event.handle, 0);
    give_back(peer, &event);
    return event.handle;
}

void peer_is_served(struct peer *peer)
{
    static uint64_t number;
    char key[64];

    number++;
    snprintf(key, sizeof(key), "served-%d-%llu", (int)getpid(), (unsigned long long)number);
    peer_store(peer, key, number, 3 * PEER_SEGMENT_BYTES + 5);
    peer_check(peer, key, number, 3 * PEER_SEGMENT_BYTES + 5);
}

void peer_is_undisturbed(struct peer *peer)
{
    struct larder_event event;

    larder_client_wake(peer->client);
    if (larder_client_next(peer->client, &event))
        ck_abort_msg("an honest proxy was disturbed: event %d; %s", (int)event.kind,
                     larder_client_problem(peer->client));
    ck_assert(larder_client_attached(peer->client));
}

/* ---- liar --------------------------------------------------------------------------------------------- */

static const struct pool_shape liar_shape = {.segments = 8, .segment_bytes = 4096, .ring_entries = 16};

struct appearing {
    struct liar *liar;
    const struct story *story;
    const struct pool_shape *shape;
};

/* The host's room for queues is shared with all that runs on it, and the cache lets go of those of the dead a
 * moment later. */
static bool has_appeared(void *context)
{
    struct appearing *appearing = context;
    int error = endpoint_create(&appearing->liar->endpoint, appearing->story->instance, appearing->shape);

    ck_assert_msg(error == 0 || error == -EMFILE || error == -ENOSPC, "%s",
                  appearing->liar->endpoint.problem);
    return error == 0;
}

void liar_appear_with(struct liar *liar, const struct story *story, const struct pool_shape *shape)
{
    const char *shards = getenv("LARDER_SHARDS");
    struct pool_shape with_rings = *shape;
    struct appearing appearing = {liar, story, &with_rings};

    if (shards && shape->ring_pairs == 0)
        with_rings.ring_pairs = (uint32_t)strtoul(shards, NULL, 10);
    *liar = (struct liar){.registration = 0};
    ck_assert_msg(test_wait_until(has_appeared, &appearing, TEST_DEADLINE_MS), "%s", liar->endpoint.problem);
    begin_rings(&liar->endpoint.pool, story->ring_begin);
    ck_assert_msg(endpoint_reach(&liar->endpoint) == ENDPOINT_REACHED, "%s", liar->endpoint.problem);
}

void liar_appear(struct liar *liar, const struct story *story)
{
    liar_appear_with(liar, story, &liar_shape);
}

void liar_register_with(struct liar *liar, const struct story *story, const char *tenant,
                        const struct pool_shape *shape)
{
    liar_appear_with(liar, story, shape);
    say_hello(liar, WIRE_ROLE_PROXY, tenant);
}

void liar_say_hello(struct liar *liar, const char *tenant)
{
    say_hello(liar, WIRE_ROLE_PROXY, tenant);
}

uint64_t liar_finds_token(const struct liar *liar, const struct story *story)
{
    DIR *directory = opendir("/dev/shm");
    const struct dirent *entry;
    uint64_t token = 0, found;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory))) {
        if (names_peer_parse(entry->d_name, story->instance, &found) && found != liar->endpoint.token)
            token = found;
    }
    closedir(directory);
    return token;
}

void liar_register(struct liar *liar, const struct story *story, const char *tenant)
{
    liar_register_with(liar, story, tenant, &liar_shape);
}

void liar_end(struct liar *liar, bool bye)
{
    if (bye) {
        union wire_message message;
        size_t length = wire_prepare(&message, WIRE_BYE, liar->endpoint.token);

        message.wire_bye.registration = liar->registration;
        message.wire_bye.secret = liar->endpoint.secret;
        liar_send(liar, &message, length);
    }
    endpoint_destroy(&liar->endpoint);
}

/* In the kernel's line of senders: where others stand in it, there is never room for one who only looks. */
static int send_in_line(mqd_t queue, const void *bytes, size_t length)
{
    struct mq_attr waiting = {.mq_flags = 0}, before;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TEST_DEADLINE_MS / 1000;
    ck_assert_int_eq(mq_setattr(queue, &waiting, &before), 0);
    int error = mq_timedsend(queue, bytes, length, 0, &until) == 0 ? 0 : -errno;
    ck_assert_int_eq(mq_setattr(queue, &before, NULL), 0);
    return error;
}

void liar_send(struct liar *liar, const void *bytes, size_t length)
{
    int error = mq_send_message(liar->endpoint.command, bytes, length);

    if (error == -EAGAIN)
        error = send_in_line(liar->endpoint.command, bytes, length);
    ck_assert_msg(error == 0, "the cache does not read its queue: %s", strerror(-error));
}

bool liar_receive(struct liar *liar, union wire_message *message, int deadline_ms)
{
    int64_t deadline = test_now_ms() + deadline_ms;

    for (;;) {
        struct pollfd wait = {.fd = liar->endpoint.reply, .events = POLLIN};
        int64_t left = deadline - test_now_ms();

        if (left < 0 || poll(&wait, 1, (int)left) != 1)
            return false;
        int length = mq_receive_message(liar->endpoint.reply, message);
        ck_assert_int_ge(length, 0);
        ck_assert_int_eq(wire_decode(message, (size_t)length), WIRE_DECODED);
        ck_assert_uint_eq(message->header.token, liar->endpoint.token);
        if (message->header.type != WIRE_CACHE_BELL)
            return true;
    }
}

void liar_expect_refusal(struct liar *liar, uint32_t type, enum wire_refusal reason)
{
    union wire_message message;

    expect(liar, WIRE_REFUSED, &message);
    ck_assert_uint_eq(message.wire_refused.type, type);
    ck_assert_uint_eq(message.wire_refused.reason, reason);
}

void liar_bell(struct liar *liar)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BELL, liar->endpoint.token);

    message.wire_bell.registration = liar->registration;
    liar_send(liar, &message, length);
}

void liar_put(struct liar *liar, const struct wire_request *request)
{
    struct ring *requests = &liar->endpoint.pool.requests;

    ck_assert_int_eq(ring_put(requests, request), RING_OK);
    ring_publish(requests);
    liar_bell(liar);
}

struct taking {
    struct liar *liar;
    struct wire_completion completion;
};

static bool completion_is_there(void *context)
{
    struct taking *taking = context;

    return ring_take(&taking->liar->endpoint.pool.completions, &taking->completion) == RING_OK;
}

struct wire_completion liar_completion(struct liar *liar)
{
    struct taking taking = {.liar = liar};
    bool there = false;

    for (int i = 0; !there && i < 2000; i++) { /* most come at once */
        there = completion_is_there(&taking);
        if (!there)
            sched_yield();
    }
    ck_assert_msg(there || test_wait_until(completion_is_there, &taking, TEST_DEADLINE_MS), "no completion");
    ring_consumed(&liar->endpoint.pool.completions);
    return taking.completion;
}

struct wire_completion liar_expect(struct liar *liar, const struct wire_request *request,
                                   enum wire_status status)
{
    liar_put(liar, request);
    struct wire_completion completion = liar_completion(liar);
    ck_assert_msg(completion.status == status, "operation %d: status %d instead of %d", (int)request->op,
                  (int)completion.status, (int)status);
    ck_assert_uint_eq(completion.cookie, request->cookie);
    ck_assert_uint_eq(completion.registration, request->registration);
    ck_assert_uint_eq(completion.op, request->op);
    return completion;
}

struct wire_request liar_request(struct liar *liar, enum wire_op op)
{
    return (struct wire_request){
        .op = (uint8_t)op,
        .segment = WIRE_NO_SEGMENT,
        .registration = liar->registration,
        .cookie = ++liar->cookie * 0x100000001u,
    };
}

void liar_hand_over(struct liar *liar, uint32_t segment, const char *bytes)
{
    ck_assert(segment_win_write(&liar->endpoint.pool, segment));
    memcpy(segment_payload(&liar->endpoint.pool, segment), bytes, strlen(bytes));
    segment_post_read(&liar->endpoint.pool, segment);
}

void liar_take_back(struct liar *liar, uint32_t segment)
{
    const struct segment_pool *pool = &liar->endpoint.pool;

    ck_assert(segment_win_read(pool, segment) || segment_win_write(pool, segment));
    segment_post_write(pool, segment);
}

struct wire_completion liar_look_up(struct liar *liar, uint32_t segment, const char *key, uint8_t flags,
                                    enum wire_status status)
{
    struct wire_request request = liar_request(liar, WIRE_OP_LOOKUP);

    request.segment = segment;
    request.flags = flags;
    request.key_length = (uint16_t)strlen(key);
    liar_hand_over(liar, segment, key);
    return liar_expect(liar, &request, status);
}

uint64_t liar_lease(struct liar *liar, const char *key)
{
    struct wire_completion completion = liar_look_up(liar, 0, key, WIRE_LOOKUP_LEASE, WIRE_STATUS_MISS);

    ck_assert_uint_ne(completion.lease, 0);
    return completion.lease;
}

struct wire_completion liar_check(struct liar *liar, uint32_t segment, const char *key, uint64_t seed)
{
    struct wire_completion completion = liar_look_up(liar, segment, key, 0, WIRE_STATUS_HIT);

    ck_assert(is_pattern(segment_payload(&liar->endpoint.pool, segment) + completion.meta_length, seed, 0,
                         completion.length));
    liar_take_back(liar, segment);
    return completion;
}

void liar_release(struct liar *liar, uint64_t handle)
{
    struct wire_request request = liar_request(liar, WIRE_OP_RELEASE);

    request.handle = handle;
    liar_put(liar, &request);
}

/* ---- workers ------------------------------------------------------------------------------------------ */

struct worker_board {
    struct worker_account accounts[WORKERS_MAX];
    _Atomic bool enough;
};

struct worker {
    struct peer peer;
    struct worker_account *account;
    const struct worker_board *board;
    uint64_t state; /* of its random numbers */
};

static uint64_t worker_random(struct worker *worker, uint64_t below)
{
    worker->state = worker->state * 6364136223846793005u + 1442695040888963407u;
    return (worker->state >> 33) % below;
}

static uint64_t size_of_key(uint64_t key)
{
    return key % 3 == 0 ? key * 9000 + 17 : key * 100;
}

/* The event of the one operation under way. A loss is heard before the news of it. */
static struct larder_event worker_await(struct worker *worker, enum larder_event_kind kind)
{
    struct larder_event event;

    do {
        ck_assert_msg(peer_next(&worker->peer, &event, TEST_DEADLINE_MS), "no answer; %s",
                      larder_client_problem(worker->peer.client));
        if (event.kind == LARDER_EVENT_ATTACHED)
            atomic_fetch_add(&worker->account->attached, 1);
    } while (event.kind != kind);
    return event;
}

/* A segment, once there is a cache; NULL when it is time to go. */
static struct larder_segment *worker_borrow(struct worker *worker)
{
    struct larder_segment *segment;
    struct larder_event event;

    while (larder_segment_borrow(worker->peer.client, &segment)) {
        if (atomic_load(&worker->board->enough))
            return NULL;
        if (peer_next(&worker->peer, &event, 20) && event.kind == LARDER_EVENT_ATTACHED)
            atomic_fetch_add(&worker->account->attached, 1);
    }
    return segment;
}

static void worker_note(struct worker *worker, enum larder_status status, bool found)
{
    if (status == LARDER_OK || status == LARDER_HIT) {
        atomic_fetch_add(&worker->account->hits, found);
        atomic_fetch_add(&worker->account->served, 1);
    } else if (status != LARDER_LOST && status != LARDER_MISS) {
        ck_assert_int_ne(status, LARDER_BAD);
        atomic_fetch_add(&worker->account->refused, 1);
    }
}

static enum larder_status worker_read(struct worker *worker, uint64_t key, uint64_t handle, uint64_t offset)
{
    while (offset < size_of_key(key)) {
        struct larder_segment *segment = worker_borrow(worker);
        if (!segment)
            return LARDER_LOST;
        if (larder_read(worker->peer.client, handle, offset, &segment, PEER_SEGMENT_BYTES, NULL)) {
            larder_segment_return(worker->peer.client, &segment); /* the handle is an earlier cache's */
            return LARDER_LOST;
        }
        struct larder_event event = worker_await(worker, LARDER_EVENT_READ);
        if (event.status == LARDER_OK)
            ck_assert_msg(event.length > 0 && is_pattern(event.segment->data, key, offset, event.length),
                          "wrong bytes of key %llu", (unsigned long long)key);
        offset += event.length;
        larder_segment_return(worker->peer.client, &event.segment);
        if (event.status != LARDER_OK)
            return event.status;
    }
    larder_release(worker->peer.client, handle);
    return LARDER_HIT;
}

static enum larder_status worker_pass(struct worker *worker, struct larder_segment **segment, int error,
                                      enum larder_event_kind kind)
{
    if (error) {
        larder_segment_return(worker->peer.client, segment);
        return LARDER_LOST;
    }
    struct larder_event event = worker_await(worker, kind);
    larder_segment_return(worker->peer.client, &event.segment);
    return event.status;
}

static enum larder_status worker_append(struct worker *worker, uint64_t key, uint64_t lease)
{
    uint64_t size = size_of_key(key);

    for (uint64_t offset = 0; offset < size;) {
        uint64_t length = size - offset < PEER_SEGMENT_BYTES ? size - offset : PEER_SEGMENT_BYTES;
        struct larder_segment *segment = worker_borrow(worker);
        if (!segment)
            return LARDER_LOST;
        fill_pattern(segment->data, key, offset, length);
        int error = larder_fill_data(worker->peer.client, lease, offset, &segment, (uint32_t)length, NULL);
        enum larder_status status = worker_pass(worker, &segment, error, LARDER_EVENT_FILL_DATA);
        if (status != LARDER_OK)
            return status;
        offset += length;
    }
    if (size == 0) /* whole with its beginning */
        return LARDER_OK;
    return larder_fill_end(worker->peer.client, lease, size, NULL)
               ? LARDER_LOST
               : worker_await(worker, LARDER_EVENT_FILL_END).status;
}

static enum larder_status worker_fill(struct worker *worker, uint64_t key, const char *name, uint64_t lease)
{
    struct larder_segment *segment = worker_borrow(worker);
    struct larder_fill fill = {
        .lease = lease,
        .key_length = (uint32_t)strlen(name),
        .object_size = size_of_key(key),
        .fresh_until = soon_ms(3600000),
        .keep_until = soon_ms(3600000),
    };

    if (!segment)
        return LARDER_LOST;
    memcpy(segment->data, name, strlen(name));
    int error = larder_fill_begin(worker->peer.client, &fill, &segment, NULL);
    enum larder_status status = worker_pass(worker, &segment, error, LARDER_EVENT_FILL_BEGIN);
    return status == LARDER_OK ? worker_append(worker, key, lease) : status;
}

static void worker_round(struct worker *worker)
{
    uint64_t key = worker_random(worker, WORKER_KEYS);
    struct larder_segment *segment = worker_borrow(worker);
    char name[32];

    if (!segment)
        return;
    snprintf(name, sizeof(name), "worker-key-%llu", (unsigned long long)key);
    memcpy(segment->data, name, strlen(name));
    if (larder_lookup(worker->peer.client, &segment, (uint32_t)strlen(name), LARDER_LOOKUP_LEASE, NULL)) {
        larder_segment_return(worker->peer.client, &segment);
        return;
    }
    struct larder_event event = worker_await(worker, LARDER_EVENT_LOOKUP);
    enum larder_status status = event.status;
    if (status == LARDER_HIT) {
        ck_assert_uint_eq(event.object_size, size_of_key(key));
        ck_assert(is_pattern(event.segment->data, key, 0, event.length));
    }
    larder_segment_return(worker->peer.client, &event.segment);
    if (status == LARDER_HIT && event.handle)
        status = worker_read(worker, key, event.handle, event.length);
    else if (status == LARDER_MISS && event.lease)
        status = worker_fill(worker, key, name, event.lease);
    worker_note(worker, status, event.status == LARDER_HIT);
    if (worker_random(worker, 50) == 0) { /* so that there is always something to fill */
        segment = worker_borrow(worker);
        if (!segment)
            return;
        memcpy(segment->data, name, strlen(name));
        int error = larder_remove(worker->peer.client, &segment, (uint32_t)strlen(name), NULL);
        worker_pass(worker, &segment, error, LARDER_EVENT_REMOVE);
    }
}

struct worker_start {
    const struct story *story;
    struct worker_board *board;
    int number;
};

static void work(void *context)
{
    const struct worker_start *start = context;
    struct worker worker = {
        .account = &start->board->accounts[start->number],
        .board = start->board,
        .state = (uint64_t)start->number + 1,
    };
    struct larder_options options = {start->story->instance, "work", PEER_SEGMENTS, PEER_SEGMENT_BYTES};
    char problem[512];

    ck_assert_msg(larder_client_create(&worker.peer.client, &options, problem, sizeof(problem)) == 0, "%s",
                  problem);
    while (!atomic_load(&start->board->enough))
        worker_round(&worker);
    larder_client_destroy(&worker.peer.client);
}

struct worker_account *workers_account(const struct workers *workers, int worker)
{
    return &workers->board->accounts[worker];
}

void workers_start(struct workers *workers, const struct story *story, int count)
{
    ck_assert_int_le(count, WORKERS_MAX);
    *workers = (struct workers){.count = count};
    workers->board =
        mmap(NULL, sizeof(*workers->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(workers->board, MAP_FAILED);
    for (int i = 0; i < count; i++) {
        struct worker_start start = {story, workers->board, i};
        workers->pids[i] = start_child(work, &start);
    }
    workers_await_attached(workers, 1);
}

struct progress {
    const struct workers *workers;
    uint64_t wanted[WORKERS_MAX];
    bool attached;
};

static bool all_have_come_so_far(void *context)
{
    const struct progress *progress = context;

    for (int i = 0; i < progress->workers->count; i++) {
        const struct worker_account *account = workers_account(progress->workers, i);
        if (atomic_load(progress->attached ? &account->attached : &account->served) < progress->wanted[i])
            return false;
    }
    return true;
}

void workers_go_on(const struct workers *workers, uint64_t rounds)
{
    struct progress progress = {.workers = workers};

    for (int i = 0; i < workers->count; i++)
        progress.wanted[i] = atomic_load(&workers_account(workers, i)->served) + rounds;
    ck_assert_msg(test_wait_until(all_have_come_so_far, &progress, 2 * TEST_DEADLINE_MS),
                  "a worker is not served");
}

void workers_await_attached(const struct workers *workers, uint64_t times)
{
    struct progress progress = {.workers = workers, .attached = true};

    for (int i = 0; i < workers->count; i++)
        progress.wanted[i] = times;
    ck_assert_msg(test_wait_until(all_have_come_so_far, &progress, TEST_DEADLINE_MS),
                  "a worker does not get registered");
}

void workers_stop(struct workers *workers)
{
    atomic_store(&workers->board->enough, true);
    for (int i = 0; i < workers->count; i++)
        ck_assert_int_eq(end_child(workers->pids[i], 0), 0);
    munmap(workers->board, sizeof(*workers->board));
}

/* ---- program ------------------------------------------------------------------------------------------ */

pid_t start_child(void (*act)(void *), void *context)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        act(context);
        _exit(0);
    }
    return pid;
}

int end_child(pid_t pid, int signal)
{
    int status;

    if (signal)
        kill(pid, signal);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- puppets ------------------------------------------------------------------------------------------ */

void puppet_start(struct puppet *puppet, void (*dance)(void *))
{
    struct puppet inside = {.pid = 0};
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    inside.wire = ends[1];
    puppet->wire = ends[0];
    puppet->pid = start_child(dance, &inside);
    close(ends[1]);
}

void puppet_ask(const struct puppet *puppet, const void *order, size_t order_size, void *answer,
                size_t answer_size)
{
    struct pollfd wait = {.fd = puppet->wire, .events = POLLIN};

    ck_assert_int_eq(write(puppet->wire, order, order_size), (ssize_t)order_size);
    ck_assert_msg(poll(&wait, 1, 2 * TEST_DEADLINE_MS) == 1, "a puppet does not answer");
    ck_assert_msg(read(puppet->wire, answer, answer_size) == (ssize_t)answer_size, "a puppet has failed");
}

void puppet_end(const struct puppet *puppet)
{
    close(puppet->wire);
    ck_assert_int_eq(end_child(puppet->pid, 0), 0);
}

void puppet_kill(const struct puppet *puppet)
{
    ck_assert_int_eq(end_child(puppet->pid, SIGKILL), 128 + SIGKILL);
    close(puppet->wire);
}

void puppet_thaw(const struct puppet *puppet)
{
    ck_assert_int_eq(kill(puppet->pid, SIGCONT), 0);
}

/* What a failed test has left. Its processes are dead: Check has killed its process group. */
static void remove_names(const char *instance)
{
    char name[NAMES_BYTES];
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    uint64_t token;

    for (uint32_t shard = 0; shard < NAMES_SHARDS_MAX; shard++) {
        names_shard_queue(name, instance, shard);
        mq_unlink(name);
    }
    while (directory && (entry = readdir(directory))) {
        if (!names_peer_parse(entry->d_name, instance, &token))
            continue;
        names_peer(name, instance, token);
        mq_unlink(name);
        shm_unlink(name);
    }
    if (directory)
        closedir(directory);
}

int crash_main(const char *name, void (*add_cases)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);

    log_set_level("error");
    shm_guard_setup();
    begun =
        mmap(NULL, sizeof(*begun) * INSTANCES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (begun == MAP_FAILED)
        return EXIT_FAILURE;
    tcase_set_timeout(tcase, 60);
    add_cases(tcase);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    for (int i = 0; i < INSTANCES_MAX; i++) {
        if (begun[i][0] != '\0')
            remove_names(begun[i]);
    }
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
