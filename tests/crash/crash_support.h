/* crash_support.h: a cache in a process of its own, honest clients, and liars.
 *
 *     story    one instance: its cache is started, killed, asked for its numbers, and leaves nothing
 *     peer     an honest client through larder.h, one operation at a time
 *     liar     a registration made by hand, which may say and write what it likes
 *     workers  processes of their own that store and check without end, whatever happens to the cache
 *     puppets  processes of their own that do what the test tells them, one order at a time
 *
 * All of it asserts by itself, so that a test reads as what happens. A test runs in a process (and process
 * group) of its own; what a failed one leaves is removed by crash_main(), so that it cannot disturb others.
 */
#ifndef LARDER_CRASH_SUPPORT_H
#define LARDER_CRASH_SUPPORT_H

#include "counters.h"
#include "endpoint.h"
#include "larder.h"
#include "test_support.h"
#include "wire.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

/* Byte `offset` of body number `seed`. */
uint8_t pattern_byte(uint64_t seed, uint64_t offset);
void fill_pattern(uint8_t *out, uint64_t seed, uint64_t offset, uint64_t length);
bool is_pattern(const uint8_t *bytes, uint64_t seed, uint64_t offset, uint64_t length);
int64_t soon_ms(int64_t from_now_ms); /* wall clock */

/* ---- story -------------------------------------------------------------------------------------------- */

struct story {
    char instance[TEST_INSTANCE_BYTES];
    struct test_footprint before;
    struct test_child cache;
    bool runs;
    uint32_t ring_begin; /* where the cache has every ring begin: 0 but for cache_server_late, of one shard */
};

void story_begin(struct story *story, const char *name);
/* `arguments`: up to twelve more for cache_server, ended with NULL; may be NULL itself. Nobody counts as
 * stalled unless they say `--stall-time`. Returns when it is ready. LARDER_SHARDS=N has every story tell of a
 * cache of so many shards, unless it says --shards itself. */
void story_start_cache(struct story *story, const char *const arguments[]);
/* The same with another program, of those that CMakeLists.txt builds for tests only. */
void story_start_program(struct story *story, const char *program, const char *const arguments[]);
void story_kill_cache(struct story *story);
/* SIGTERM; the cache must end with status 0 and take its queue's name with it. */
void story_stop_cache(struct story *story);
/* Stops the cache if it runs; nothing may be left. */
void story_end(struct story *story);
bool story_queue_exists(const struct story *story);
/* Of the cache's process, from /proc. Whoever has just asked for its numbers may still be in them. -1: we may
 * not look (a process that is not dumpable shows its descriptors to root alone). */
int story_descriptors(const struct story *story);
/* At rest: the least of some looks, because its other threads let go of theirs a moment later. */
int story_least_descriptors(const struct story *story);
uint64_t story_resident(const struct story *story); /* bytes */
void story_await_descriptors(const struct story *story, int count);
/* Leaves it so many that are free; UINT32_MAX lifts the limit. */
void story_leave_descriptors(const struct story *story, uint32_t free);
/* SIGSTOP, seen to have worked; kill(SIGCONT) undoes it. For children of the test only. */
void freeze_process(pid_t pid);

/* The cache's numbers. All rows; returns how many. */
int story_rows(const struct story *story, struct wire_row *rows, int most);
/* The rows of one shard alone. */
int story_shard_rows(const struct story *story, uint32_t shard, struct wire_row *rows, int most);
struct wire_row story_numbers(const struct story *story); /* the cache's row */
struct wire_row story_tenant(const struct story *story, const char *name);
uint64_t gauge_of(const struct wire_row *row, enum gauge gauge);
uint64_t story_counter(const struct story *story, enum counter counter);
/* What is counted for the cache and for each tenant: the tenants' numbers add up to the cache's. Of a cache
 * of one shard: of several, some numbers are the largest of theirs. */
void story_adds_up(const struct story *story);
/* `proxies` are registered, and nothing is held by anybody: no pin, no lease, no place among those who
 * follow, no pool of somebody who has gone. Waits for it. */
void story_is_settled(const struct story *story, uint64_t proxies);
uint64_t story_gauge(const struct story *story, enum gauge gauge);
void story_await_counter(const struct story *story, enum counter counter, uint64_t value);
void story_await_gauge(const struct story *story, enum gauge gauge, uint64_t value);
/* PING, answered in time: the cache lives and its loop turns. */
bool story_answers(const struct story *story);

/* ---- peer --------------------------------------------------------------------------------------------- */

struct peer {
    struct larder_client *client;
};

#define PEER_SEGMENTS      16u
#define PEER_SEGMENT_BYTES 16384u

void peer_create(struct peer *peer, const struct story *story, const char *tenant);
void peer_create_with(struct peer *peer, const struct story *story, const char *tenant, uint32_t segments,
                      uint32_t segment_bytes);
void peer_destroy(struct peer *peer);
/* The next event, whatever it is; false at the deadline. Flushes, arms and sleeps as larder.h says. */
bool peer_next(struct peer *peer, struct larder_event *event, int deadline_ms);
/* The next event, which must be of this kind. */
struct larder_event peer_expect(struct peer *peer, enum larder_event_kind kind);
struct larder_segment *peer_borrow(struct peer *peer);
/* Borrows a segment and writes the key into it; NULL while not attached. */
struct larder_segment *peer_key(struct peer *peer, const char *key);
struct larder_event peer_lookup(struct peer *peer, const char *key, uint32_t flags);
/* Looks up for a lease, which must be granted. */
uint64_t peer_lease(struct peer *peer, const char *key);
enum larder_status peer_begin_fill(struct peer *peer, uint64_t lease, const char *key, uint64_t size);
enum larder_status peer_fill_data(struct peer *peer, uint64_t lease, uint64_t seed, uint64_t offset,
                                  uint32_t length);
enum larder_status peer_end_fill(struct peer *peer, uint64_t lease, uint64_t size);
/* Stores the pattern `seed` under the key, fresh for an hour. */
void peer_store(struct peer *peer, const char *key, uint64_t seed, uint64_t size);
/* Looks up and reads all of it; every byte must be right, and nothing stays pinned. */
void peer_check(struct peer *peer, const char *key, uint64_t seed, uint64_t size);
void peer_check_miss(struct peer *peer, const char *key);
/* Looks up an object larger than a segment and keeps it pinned. */
uint64_t peer_pin(struct peer *peer, const char *key);
/* Stores and reads back something of its own: this peer is served as if nothing had happened. */
void peer_is_served(struct peer *peer);
/* It has been told nothing, and is still registered. */
void peer_is_undisturbed(struct peer *peer);

/* ---- liar --------------------------------------------------------------------------------------------- */

struct liar {
    struct endpoint endpoint;
    uint64_t registration;
    uint32_t shards; /* of an asker's cache */
    uint64_t cookie;
};

/* Queue and pool only; the command queue is reached. */
void liar_appear(struct liar *liar, const struct story *story);
void liar_appear_with(struct liar *liar, const struct story *story, const struct pool_shape *shape);
/* A HELLO as an honest proxy of this endpoint would send it; returns its length. */
size_t liar_hello(const struct liar *liar, const char *tenant, union wire_message *message);
/* Registers one that has appeared. */
void liar_say_hello(struct liar *liar, const char *tenant);
/* The token of a peer of this instance other than the liar, from /dev/shm; 0: none. */
uint64_t liar_finds_token(const struct liar *liar, const struct story *story);
/* And registered. */
void liar_register(struct liar *liar, const struct story *story, const char *tenant);
void liar_register_with(struct liar *liar, const struct story *story, const char *tenant,
                        const struct pool_shape *shape);
/* Removes its objects; says BYE if `bye`. */
void liar_end(struct liar *liar, bool bye);
/* Any bytes, as a message to the cache. Waits for room in the queue. */
void liar_send(struct liar *liar, const void *bytes, size_t length);
/* The next message but bells; false at the deadline. */
bool liar_receive(struct liar *liar, union wire_message *message, int deadline_ms);
void liar_expect_refusal(struct liar *liar, uint32_t type, enum wire_refusal reason);
/* Puts an entry, publishes, and rings whether or not the cache sleeps. */
void liar_put(struct liar *liar, const struct wire_request *request);
void liar_bell(struct liar *liar);
struct wire_completion liar_completion(struct liar *liar);
/* Both: the completion's status must be this one. */
struct wire_completion liar_expect(struct liar *liar, const struct wire_request *request,
                                   enum wire_status status);
/* A request of this registration with a cookie of its own and no segment. */
struct wire_request liar_request(struct liar *liar, enum wire_op op);
/* Writes the key into a segment and hands it over. */
void liar_hand_over(struct liar *liar, uint32_t segment, const char *bytes);
/* Takes back what a completion gave, to read or to write. */
void liar_take_back(struct liar *liar, uint32_t segment);
/* Looks the key up as an honest proxy would; the answer must be this one. The segment is still to be taken
 * back.
 */
struct wire_completion liar_look_up(struct liar *liar, uint32_t segment, const char *key, uint8_t flags,
                                    enum wire_status status);
/* Looks up what is not there, through segment 0, and has the lease. */
uint64_t liar_lease(struct liar *liar, const char *key);
/* Looks up what is there; the bytes that came with the answer must be those of `seed`. */
struct wire_completion liar_check(struct liar *liar, uint32_t segment, const char *key, uint64_t seed);
/* Lets go of a pinned object; there is no answer. */
void liar_release(struct liar *liar, uint64_t handle);

/* ---- asker -------------------------------------------------------------------------------------------- */

/* story_rows() registers for each question. This one stays: for a cache that can register nobody else. */
void asker_open(struct liar *asker, const struct story *story);
int asker_rows(struct liar *asker, struct wire_row *rows, int most);
struct wire_row asker_numbers(struct liar *asker); /* the cache's row */
void asker_close(struct liar *asker);

/* ---- workers ------------------------------------------------------------------------------------------ */

#define WORKERS_MAX 32
#define WORKER_KEYS 24u

/* One worker's account, in shared memory. */
struct worker_account {
    _Atomic uint64_t served;   /* rounds in which a whole object was stored or found right */
    _Atomic uint64_t hits;     /* of them: found */
    _Atomic uint64_t refused;  /* rounds that the cache ended with a status (no memory, busy, fenced) */
    _Atomic uint64_t attached; /* how often it has registered */
};
struct workers {
    struct worker_board *board;
    pid_t pids[WORKERS_MAX];
    int count;
};
/* `count` processes that share one tenant's keys; each checks every byte that it gets. Returns when all have
 * registered. */
void workers_start(struct workers *workers, const struct story *story, int count);
struct worker_account *workers_account(const struct workers *workers, int worker);
/* Until each has been served so many rounds more. */
void workers_go_on(const struct workers *workers, uint64_t rounds);
/* Until each has registered that often. */
void workers_await_attached(const struct workers *workers, uint64_t times);
/* Each ends when told to, with status 0: it was never restarted and has seen no wrong byte. */
void workers_stop(struct workers *workers);

/* ---- puppets ------------------------------------------------------------------------------------------ */

/* A child of the test that does what it is told: orders and answers are records on a wire. */
struct puppet {
    pid_t pid;
    int wire;
};

/* `dance` runs in the child; its context is a struct puppet that has the child's end of the wire. */
void puppet_start(struct puppet *puppet, void (*dance)(void *));
void puppet_ask(const struct puppet *puppet, const void *order, size_t order_size, void *answer,
                size_t answer_size);
/* Of one that has been told to quit: it must end with status 0. */
void puppet_end(const struct puppet *puppet);
void puppet_kill(const struct puppet *puppet);
/* Undoes freeze_process(). */
void puppet_thaw(const struct puppet *puppet);

/* ---- program ------------------------------------------------------------------------------------------ */

/* Runs a child that ends by itself or by being killed. */
pid_t start_child(void (*act)(void *), void *context);
int end_child(pid_t pid, int signal); /* exit status, or 128 + signal */

int crash_main(const char *name, void (*add_cases)(TCase *));

#endif
