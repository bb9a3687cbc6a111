/* hostile.h: what the parts of bench_hostile share.
 *
 *     hostile.c         options, and the order of the attacks
 *     hostile_table.c   one attack measured in turns with good neighbourliness
 *     hostile_stage.c   the processes: a cache, honest loads, an attack
 *     hostile_load.c    an honest proxy at full speed: the victim, and the neighbour that it is compared with
 *     hostile_peer.c    a registration made by hand, which may say and write what it likes
 *     the others        attacks, one function a kind; each runs until its process is killed
 *
 * All processes are forks of one driver and share one `board`. What the attacks do is meant to be wrong. */
#ifndef LARDER_BENCH_HOSTILE_H
#define LARDER_BENCH_HOSTILE_H

#include "counters.h"
#include "endpoint.h"
#include "wire.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ROWS(table)      ((unsigned)(sizeof(table) / sizeof *(table)))

/* ---- the board ---- */

#define LOADS_MAX        3u /* two victims and the neighbour */
#define LATENCY_ROOMS    1024u
#define LATENCY_FIRST    64u /* the first room that is used */
#define ORPHANS_MAX      16u
#define TENANT_VICTIM    "honest"
#define TENANT_NEIGHBOUR "neighbour"
#define TENANT_HOSTILE   "hostile"

enum phase { PHASE_IDLE, PHASE_NEIGHBOUR, PHASE_ATTACK, PHASE_END };
/* Of which slice the latencies are. */
enum slice { SLICE_NEIGHBOUR, SLICE_ATTACK, SLICE_COUNT, SLICE_NONE = SLICE_COUNT };

/* Written by the load alone. */
struct load_board {
    _Atomic uint64_t answered; /* operations: lookups, whether they hit or not, and fills */
    _Atomic uint64_t hits, misses, wrong, refused;
    _Atomic uint32_t attached, detached; /* registrations begun and lost */
    _Atomic uint32_t idle;
    _Atomic uint32_t latency[SLICE_COUNT][LATENCY_ROOMS]; /* see load_room_us() */
};

struct board {
    _Atomic int phase;
    _Atomic int slice;
    _Atomic int under_attack; /* the hostile one has got ready */
    _Atomic uint64_t attacks; /* messages sent, entries served: what each attack counts */
    _Atomic uint32_t orphan_count;
    _Atomic uint64_t orphans[ORPHANS_MAX]; /* tokens of queues without a pool: no list of names shows them */
    struct load_board loads[LOADS_MAX];
};

struct hostile {
    const char *instance;
    struct board *board;
    uint32_t keys; /* of the victim */
};

uint64_t now_ns(void);
int64_t later_ms(int64_t ms); /* by so much than now; since the epoch, as the times of objects are */

/* ---- loads ---- */

struct load_options {
    const char *instance;
    const char *tenant;
    uint32_t depth, size, keys;
    enum phase last_phase; /* runs from PHASE_NEIGHBOUR to this one */
};
/* Runs until PHASE_END; returns the exit status. */
int load_run(const struct load_options *options, struct board *board, struct load_board *numbers);
/* The key that a load asks for; its length. */
#define LOAD_KEY_BYTES 16u
void load_key(uint8_t out[LOAD_KEY_BYTES], uint32_t number);
double load_room_us(unsigned room); /* what the latencies in a room are about */

/* ---- peers ---- */

struct peer {
    struct endpoint endpoint;
    uint64_t registration;
    uint64_t cookie;
    enum wire_role role;
    char tenant[NAMES_TENANT_MAX + 1];
    uint32_t served; /* entries of ours that the cache had taken when last looked at */
    bool dropped;    /* answers are made up (FENCED) until the next peer_ask(), which registers again */
};

/* Failing here ends the process with a message: an attack that does not happen must be seen. */
_Noreturn void attack_fails(const char *what, const char *why);
/* The attack has begun. */
void attack_is_on(const struct hostile *hostile);
void attack_counts(const struct hostile *hostile, uint64_t by);
/* The pool's name goes before the queue's: the driver removes that if nobody else does. */
void attack_leaves_queue(const struct hostile *hostile, uint64_t token);

/* So many record locks in place of the one on the whole file: whoever closes the file has to walk them. */
void attack_locks(int fd, int count);

/* A small generator, seeded by the caller; not for secrets. */
uint64_t noise(uint64_t *state);

/* Queue and pool; not yet registered. */
bool peer_try_open(struct peer *peer, const struct hostile *hostile, const struct pool_shape *shape);
void peer_open(struct peer *peer, const struct hostile *hostile, const struct pool_shape *shape);
/* HELLO, repeated while it is not answered. False: refused. */
bool peer_register(struct peer *peer, enum wire_role role, const char *tenant);
void peer_open_registered(struct peer *peer, const struct hostile *hostile, const struct pool_shape *shape,
                          const char *tenant);
void peer_leave(struct peer *peer);
/* Rings empty, semaphores as in a new pool: the same objects can be registered once more. */
void peer_renew(struct peer *peer);
/* Reads what has come. True: the cache has ended the registration. */
bool peer_was_dropped(struct peer *peer);
/* The next message; false at the deadline. */
bool peer_receive(struct peer *peer, union wire_message *message, int deadline_ms);

/* With the highest priority. Waits for room in the queue, as long as it takes: with a sender or two that wait
 * like this it is always full. */
void peer_send(const struct hostile *hostile, const void *message, size_t length);
bool peer_try_send(struct peer *peer, const void *message, size_t length);
void peer_bell(struct peer *peer);

struct wire_request peer_request(struct peer *peer, enum wire_op op);
void peer_put(struct peer *peer, const struct wire_request *request);
/* Publishes, and rings if the cache sleeps. */
void peer_flush(struct peer *peer);
struct wire_completion peer_completion(struct peer *peer);
struct wire_completion peer_ask(struct peer *peer, const struct wire_request *request);
/* Bytes into a segment, handed over whatever state it was in. */
void peer_hand_over(struct peer *peer, uint32_t segment, const void *bytes, size_t length);
void peer_lend(struct peer *peer, uint32_t segment); /* empty, for READ */
/* Any key; stores `size` bytes under it. `meta` may be NULL. The pool's segments must be large enough. */
bool peer_store(struct peer *peer, const void *key, uint16_t key_length, const void *meta,
                uint16_t meta_length, uint64_t size);
/* Empty objects with the numbers from `first` as keys, one a segment; returns how many are stored. */
uint32_t peer_store_many(struct peer *peer, uint64_t first);
/* Asks to keep in that segment what is stored under the key. */
void peer_keep(struct peer *peer, uint32_t segment, const char *key);
uint64_t peer_lease(struct peer *peer, const void *key, uint16_t key_length);
uint64_t peer_pin(struct peer *peer, const void *key, uint16_t key_length);

/* Keeps the request ring full with what stands in it: all completions are taken unseen, the tail runs a ring
 * ahead of the cache, and the cache is rung when it sleeps. One step; returns how many entries the cache has
 * taken since the last one. Registers again if the cache has dropped the peer. */
uint32_t peer_flood(struct peer *peer);
/* Writes entry `index` of the request ring as it will be served by peer_flood(). */
void peer_write_entry(struct peer *peer, uint32_t index, const struct wire_request *request);
void peer_free_segments(struct peer *peer); /* both semaphores of all segments up */

/* ---- asking the cache ---- */

/* The cache's row. False: no answer in time. Any process; makes an endpoint of its own for the question. */
bool ask_numbers(const char *instance, struct wire_row *row, int deadline_ms);
/* How long it takes somebody new to register; -1: not within some seconds. */
double ask_newcomer_ms(const char *instance);
/* Can a newcomer of the victim's tenant store an object, and find it? */
bool ask_to_store(const char *instance);
/* Registrations of proxies of a tenant. */
unsigned ask_registrations(const char *instance, const char *tenant, uint64_t *out, unsigned most);
/* Tokens of all peers but those of this process. */
unsigned list_tokens(const char *instance, uint64_t *out, unsigned most);

/* ---- attacks ---- */

struct attack {
    const char *name;
    void (*run)(const struct hostile *hostile);
    const char *what;       /* one line for --list */
    const char *fewer_hits; /* why the victim may have them; NULL: it may not */
};
extern const struct attack message_attacks[], ring_attacks[], pool_attacks[], store_attacks[],
    purge_attacks[];
extern const unsigned message_attack_count, ring_attack_count, pool_attack_count, store_attack_count,
    purge_attack_count;

#endif
