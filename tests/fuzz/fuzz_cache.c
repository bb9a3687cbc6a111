/* A whole cache in this process: its real loop, queue, pools and rings, and time that the input lets pass.
 * One peer is honest; the input is a script of what up to seven others do to the cache.
 *
 * The script: a byte for the deed, a byte for the peer, then what the deed asks for (see deeds[]). However it
 * goes, the honest peer is served, and what it has stored comes back byte for byte; the numbers of store,
 * tenants, leases and sessions agree with each other; when all others have left, nothing of theirs is left.
 * The record locks are the only thing that is not real: see fuzz_peer.h. */
#include "fuzz_clock.h"
#include "fuzz_honest.h"
#include "fuzz_numbers.h"
#include "fuzz_peer.h"
#include "fuzz_random.h"

#include "cache.h"
#include "log.h"
#include "shm_guard.h"
#include "turn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURNS_MAX  9 /* a cache that is busy looks at its queue in every eighth */
#define DEEDS_MAX  400
#define MEMORY     ((uint64_t)2 << 20)
#define OBJECT_MAX ((uint64_t)256 << 10)
#define KEYS       32u

static struct cache *cache;
static unsigned sent; /* messages */

/* ---- a fault outside the guard is a finding ---- */

int __real_shm_guard_setup(void);
int __wrap_shm_guard_setup(void);

static struct sigaction guard_action;

/* The guard's handler ends the process by the signal's default action; libFuzzer sees an abort and keeps the
 * input. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
    struct sigaction now;

    guard_action.sa_sigaction(number, info, context);
    if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        abort();
}

int __wrap_shm_guard_setup(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
    int error = __real_shm_guard_setup();

    sigemptyset(&action.sa_mask);
    REQUIRE(sigaction(SIGBUS, &action, &guard_action) == 0);
    return error;
}

/* ---- the reaper without its thread: what it is given is gone at once, so that a use afterwards is seen ----
 */

int __wrap_reaper_start(struct reaper *reaper);
void __wrap_reaper_stop(struct reaper *reaper);
void __wrap_reaper_unmap(struct reaper *reaper, pid_t pid, void *base, size_t bytes);
void __wrap_reaper_close(struct reaper *reaper, pid_t pid, int fd);
void __wrap_reaper_close_stranger(struct reaper *reaper, int fd);

int __wrap_reaper_start(struct reaper *reaper)
{
    memset(reaper, 0, sizeof(*reaper));
    return 0;
}

void __wrap_reaper_stop(struct reaper *reaper)
{
    (void)reaper;
}

void __wrap_reaper_unmap(struct reaper *reaper, pid_t pid, void *base, size_t bytes)
{
    (void)reaper;
    (void)pid;
    REQUIRE(munmap(base, bytes) == 0);
}

void __wrap_reaper_close_stranger(struct reaper *reaper, int fd)
{
    __wrap_reaper_close(reaper, 0, fd);
}

void __wrap_reaper_close(struct reaper *reaper, pid_t pid, int fd)
{
    (void)reaper;
    (void)pid;
    REQUIRE(close(fd) == 0);
}

/* ---- no sweeps: all peers are of this process, and their locks would be lost ---- */

int __wrap_sweeper_start(struct sweeper *sweeper, const char *instance);
void __wrap_sweeper_stop(struct sweeper *sweeper);
void __wrap_sweeper_go(struct sweeper *sweeper, const struct registry *registry);

int __wrap_sweeper_start(struct sweeper *sweeper, const char *instance)
{
    (void)sweeper;
    (void)instance;
    return 0;
}

void __wrap_sweeper_stop(struct sweeper *sweeper)
{
    (void)sweeper;
}

void __wrap_sweeper_go(struct sweeper *sweeper, const struct registry *registry)
{
    (void)sweeper;
    (void)registry;
}

/* ---- turns ---- */

void fuzz_turn(void)
{
    honest_beat();
    for (int i = 0; i < TURNS_MAX && (i == 0 || cache->processes.busy); i++)
        turn_once(cache, false);
    REQUIRE(!cache->failed);
}

/* Who had the queue open before it lost its name still has the former one. */
int fuzz_send(const void *bytes, size_t length)
{
    bool former = cache->former.fd >= 0 && sent++ % 2 == 0;

    return mq_send_message(former ? cache->former.fd : cache->commands.fd, bytes, length);
}

/* ---- deeds ---- */

static const struct pool_shape shapes[] = {
    {4, 4096, 16, 0}, {1, 4096, 16, 1}, {2, 65536, 16, 0}, {16, 4096, 64, 0}, {3, 8192, 32, 2},
};
static const char *const tenants[] = {"t0", "t1", "t2", "default"};

static void say_hello(struct peer *peer, const char *tenant, enum wire_role role)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_HELLO, peer->token);

    message.wire_hello.secret = peer->secret;
    message.wire_hello.role = role;
    message.wire_hello.segments = peer->pool.shape.segments;
    message.wire_hello.segment_bytes = peer->pool.shape.segment_bytes;
    message.wire_hello.ring_entries = peer->pool.shape.ring_entries;
    memcpy(message.wire_hello.tenant, tenant, strlen(tenant));
    (void)fuzz_send(&message, length);
}

/* What the cache has said; a registration is believed. */
static void listen(struct peer *peer)
{
    union wire_message message;

    while (peer->there && peer_receive(peer, &message)) {
        if (message.header.type == WIRE_WELCOME)
            peer->registration = message.wire_welcome.registration;
    }
}

static void appear(struct peer *peer, struct fuzz_input *input)
{
    uint8_t how = fuzz_u8(input), who = fuzz_u8(input);

    if (!peer_appear(peer, &shapes[how % (sizeof shapes / sizeof *shapes)]))
        return;
    peer->unseen = who & 1;
    if (who & 2) /* several registrations of one process */
        peer->pid = 77;
    if (how & 0x80) /* says nothing for now */
        return;
    say_hello(peer, tenants[who >> 2 & 3], who & 16 ? WIRE_ROLE_ADMIN : WIRE_ROLE_PROXY);
    fuzz_turn();
    listen(peer);
}

/* Nobody but the honest peer knows its secret, and nobody else is of its tenant: with either, what follows
 * would be the honest peer's own doing. A fuzzer that watches comparisons learns both. */
static void disarm(union wire_message *message, size_t length)
{
    uint64_t secret = honest_secret();

    for (size_t at = 0; at + sizeof secret <= length; at++) {
        if (memcmp(message->bytes + at, &secret, sizeof secret) == 0)
            message->bytes[at] ^= 1;
    }
    if (wire_decode(message, length) == WIRE_DECODED && message->header.type == WIRE_HELLO &&
        strcmp(message->wire_hello.tenant, HONEST_TENANT) == 0)
        message->wire_hello.tenant[0] ^= 1;
}

static void send_disarmed(union wire_message *message, size_t length)
{
    disarm(message, length);
    (void)fuzz_send(message, length);
}

static void hello_twisted(struct peer *peer, struct fuzz_input *input)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_HELLO, peer->token);
    struct wire_hello *hello = &message.wire_hello;
    uint8_t what = fuzz_u8(input);

    hello->secret = what & 1 ? fuzz_u64(input) : peer->secret;
    hello->role = what & 2 ? fuzz_u32(input) : 0;
    hello->segments = what & 4 ? fuzz_u32(input) : peer->pool.shape.segments;
    hello->segment_bytes = what & 8 ? fuzz_u32(input) : peer->pool.shape.segment_bytes;
    hello->ring_entries = what & 16 ? fuzz_u32(input) : peer->pool.shape.ring_entries;
    if (what & 32)
        fuzz_read(input, hello->tenant, sizeof(hello->tenant));
    else
        hello->tenant[0] = 't';
    send_disarmed(&message, length);
}

static void message_raw(struct peer *peer, struct fuzz_input *input)
{
    union wire_message message;
    size_t length = fuzz_u16(input) % (sizeof message + 1);

    (void)peer;
    fuzz_read(input, &message, length);
    send_disarmed(&message, length);
}

/* A message of any type that is right as far as `what` says. */
static void message_typed(struct peer *peer, struct fuzz_input *input)
{
    static const uint16_t types[] = {WIRE_HELLO, WIRE_BYE,  WIRE_BELL,  WIRE_PING,
                                     WIRE_STATS, WIRE_SHOW, WIRE_DRAIN, WIRE_PURGE};
    uint8_t what = fuzz_u8(input);
    const struct peer *about = what & 0x40 ? peer_at(fuzz_u8(input) % PEERS_MAX) : peer;
    union wire_message message;
    uint16_t type = types[what & 7] == WIRE_SHOW && what & 0x20 ? WIRE_TOP : types[what & 7];
    size_t length = wire_prepare(&message, (enum wire_type)type, about->token);

    fuzz_read(input, message.bytes + sizeof(message.header), length - sizeof(message.header));
    message.wire_stats.registration = what & 8 ? message.wire_stats.registration : about->registration;
    if (!(what & 16))
        message.wire_stats.secret = peer->secret;
    if (what & 32 && type != WIRE_TOP)
        fuzz_read(input, message.bytes, 8);
    if (what & 0x80)
        length = fuzz_u8(input);
    send_disarmed(&message, length);
}

static void bell(const struct peer *peer)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BELL, peer->token);

    message.wire_bell.registration = peer->registration;
    (void)fuzz_send(&message, length);
}

static void put_entry(struct peer *peer, const struct wire_request *request)
{
    const struct ring *ring = &peer->pool.requests;

    peer_write(peer, peer_offset(peer, ring_slot(ring, peer->tail++)), request, sizeof *request);
}

static void publish(struct peer *peer)
{
    peer_write(peer, peer_offset(peer, &peer->pool.requests.shared->tail), &peer->tail, sizeof peer->tail);
    bell(peer);
}

static void entry_raw(struct peer *peer, struct fuzz_input *input)
{
    struct wire_request request;
    uint8_t what = fuzz_u8(input);

    if (!peer->there)
        return;
    fuzz_read(input, &request, sizeof request);
    if (!(what & 1))
        request.registration = peer->registration;
    put_entry(peer, &request);
    if (!(what & 2))
        publish(peer);
}

static void hand_over(const struct peer *peer, uint32_t segment, bool for_reading)
{
    struct segment_header *header = segment_header(&peer->pool, segment);
    uint32_t up = 1, down = 0, uses = (uint32_t)peer->filled + segment;

    peer_write(peer, peer_offset(peer, &header->wsem), for_reading ? &down : &up, sizeof up);
    peer_write(peer, peer_offset(peer, &header->rsem), for_reading ? &up : &down, sizeof up);
    /* Sometimes it looks as if what was kept there had been used. */
    if (uses & 1)
        peer_write(peer, peer_offset(peer, &header->uses), &uses, sizeof uses);
}

/* Tags of a letter each, of which objects of different keys share some; what is left over has no end. */
static void write_tags(uint8_t *at, uint32_t length, uint8_t key)
{
    for (uint32_t i = 0; i + 1 < length && i < 2 * WIRE_MAX_TAGS; i += 2) {
        at[i] = (uint8_t)('a' + (key + i / 2) % 8);
        at[i + 1] = 0;
    }
}

/* Key, tags, metadata and body, as the request announces them. */
static void write_payload(const struct peer *peer, const struct wire_request *request, uint8_t key)
{
    static uint8_t bytes[160 * 1024];
    size_t size = (size_t)request->key_length + request->tags_length + request->meta_length + request->length;

    if (size > sizeof bytes)
        size = sizeof bytes;
    memset(bytes, 'a' + key, size);
    if (request->key_length + (size_t)request->tags_length <= size)
        write_tags(bytes + request->key_length, request->tags_length, key);
    peer_write(peer, peer_offset(peer, segment_payload(&peer->pool, request->segment)), bytes, size);
}

static uint64_t remembered(const struct peer *peer, uint8_t which)
{
    if (which >= 0xf0)
        return which; /* never given */
    return (which & 8 ? peer->leases : peer->handles)[which % PEER_REMEMBERS];
}

static uint64_t choose_value(struct peer *peer, const struct wire_request *request, uint8_t how,
                             struct fuzz_input *input)
{
    switch (how & 7) {
    case 0:
        return request->op == WIRE_OP_FILL_BEGIN ? request->length : peer->filled;
    case 1:
        return UINT64_MAX;
    case 2:
        return fuzz_u64(input);
    case 3:
        return request->length + (uint64_t)fuzz_u16(input);
    case 4:
        return peer->leases[how >> 3 & (PEER_REMEMBERS - 1)];
    case 5:
        return request->op == WIRE_OP_PURGE ? WIRE_PURGE_SURE : (uint64_t)(how >> 3) << 10;
    default:
        return (uint64_t)(how >> 3) << 10;
    }
}

static void choose_times(struct wire_request *request, uint8_t how, struct fuzz_input *input)
{
    int64_t now = __wrap_clock_wall_ms();

    request->fresh_until = how & 1 ? now - 1000 : now + 60000;
    request->keep_until = how & 2 ? now + 5000 : now + 3600000;
    if (how & 4) {
        request->fresh_until = (int64_t)fuzz_u64(input);
        request->keep_until = (int64_t)fuzz_u64(input);
    }
}

static void note_fill(struct peer *peer, const struct wire_request *request)
{
    if (request->op == WIRE_OP_FILL_BEGIN)
        peer->filled = request->length;
    if (request->op == WIRE_OP_FILL_DATA)
        peer->filled += request->length;
}

/* A request that keeps the protocol, but for what the input twists. */
static void request_made(struct peer *peer, struct fuzz_input *input)
{
    uint8_t op = fuzz_u8(input), flags = fuzz_u8(input), segment = fuzz_u8(input), key = fuzz_u8(input);
    uint8_t which = fuzz_u8(input), how = fuzz_u8(input), meta = fuzz_u8(input), times = fuzz_u8(input);
    struct wire_request request = {.op = 1 + op % (WIRE_OP_END - 1), .flags = flags & 7, .cookie = key};
    bool has_key = request.op == WIRE_OP_LOOKUP || request.op == WIRE_OP_REMOVE ||
                   request.op == WIRE_OP_FILL_BEGIN ||
                   (request.op == WIRE_OP_PURGE && (flags & WIRE_PURGE_SCOPE) != WIRE_PURGE_TAGS);
    bool has_tags =
        request.op == WIRE_OP_FILL_BEGIN || request.op == WIRE_OP_UPDATE || request.op == WIRE_OP_PURGE;
    bool has_meta = request.op == WIRE_OP_FILL_BEGIN || request.op == WIRE_OP_UPDATE;

    if (!peer->there)
        return;
    if (op >= 128)
        request.flags |= WIRE_LOOKUP_FOLLOW;
    if (request.op == WIRE_OP_LOOKUP && op & 64)
        request.flags |= WIRE_LOOKUP_KEEP;
    request.registration = flags & 8 ? peer_at(key % PEERS_MAX)->registration : peer->registration;
    request.segment = segment & 0x80 ? fuzz_u32(input) : segment % peer->pool.shape.segments;
    request.length = fuzz_u16(input) * (flags & 16 ? 4u : 1u);
    request.key_length = has_key ? (uint16_t)(1 + key % KEYS + (key & 0x40 ? 16380 : 0)) : 0;
    request.meta_length = has_meta ? (uint16_t)(meta & 0x80 ? meta * 257 : meta) : 0;
    request.tags_length = has_tags ? (uint16_t)((times >> 3 & 15) * 2 + (times & 0x80 ? 255 : 0)) : 0;
    request.handle = remembered(peer, which);
    request.value = choose_value(peer, &request, how, input);
    choose_times(&request, times, input);
    if (request.segment < peer->pool.shape.segments) {
        if (request.op != WIRE_OP_READ && request.op != WIRE_OP_RELEASE)
            write_payload(peer, &request, key % KEYS);
        if (!(flags & 32))
            hand_over(peer, request.segment, request.op != WIRE_OP_READ);
    }
    note_fill(peer, &request);
    put_entry(peer, &request);
    if (!(flags & 64))
        publish(peer);
    if (!(flags & 128))
        fuzz_turn();
}

static void remember(uint64_t *list, uint64_t name)
{
    if (name == 0 || list[0] == name)
        return;
    memmove(list + 1, list, sizeof *list * (PEER_REMEMBERS - 1));
    list[0] = name;
}

/* Takes up to a ring full of completions, as a client does. */
static void collect(struct peer *peer, struct fuzz_input *input)
{
    const struct ring *ring = &peer->pool.completions;
    struct wire_completion completion;
    uint32_t tail;

    (void)input;
    if (!peer->there)
        return;
    peer_read(peer, peer_offset(peer, &ring->shared->tail), &tail, sizeof tail);
    for (uint32_t i = 0; i < ring->capacity && peer->head != tail; i++) {
        peer_read(peer, peer_offset(peer, ring_slot(ring, peer->head++)), &completion, sizeof completion);
        remember(peer->handles, completion.handle);
        remember(peer->leases, completion.lease);
    }
    peer_write(peer, peer_offset(peer, &ring->shared->head), &peer->head, sizeof peer->head);
    listen(peer);
}

static void ring_index(struct peer *peer, struct fuzz_input *input)
{
    uint8_t what = fuzz_u8(input);
    uint32_t value = fuzz_u32(input);
    const struct ring *ring = what & 1 ? &peer->pool.completions : &peer->pool.requests;

    if (!peer->there)
        return;
    if (what & 2)
        value = peer->tail + (int8_t)value;
    if (what & 4)
        peer_write(peer, peer_offset(peer, &ring->shared->tail), &value, sizeof value);
    if (what & 8)
        peer_write(peer, peer_offset(peer, &ring->shared->head), &value, sizeof value);
    if (what & 16)
        peer_write(peer, peer_offset(peer, &ring->shared->sleeping), &value, sizeof value);
    if (what & 32)
        peer->tail = value;
    if (!(what & 64))
        bell(peer);
}

static void semaphores(struct peer *peer, struct fuzz_input *input)
{
    uint32_t segment = fuzz_u8(input), wsem = fuzz_u32(input), rsem = fuzz_u32(input);

    if (!peer->there)
        return;
    struct segment_header *header = segment_header(&peer->pool, segment % peer->pool.shape.segments);
    peer_write(peer, peer_offset(peer, &header->wsem), &wsem, sizeof wsem);
    peer_write(peer, peer_offset(peer, &header->rsem), &rsem, sizeof rsem);
}

static void scribble(struct peer *peer, struct fuzz_input *input)
{
    uint32_t offset = fuzz_u32(input);
    uint8_t bytes[256];
    size_t size = fuzz_u8(input);

    fuzz_read(input, bytes, size);
    if (peer->there)
        peer_write(peer, offset % peer->pool.bytes, bytes, size);
}

/* Shorter, or longer again; what grows back is sparse. */
static void resize(struct peer *peer, struct fuzz_input *input)
{
    uint8_t pages = fuzz_u8(input);

    if (peer->there)
        REQUIRE(ftruncate(peer->pool.fd, (off_t)pages * 4096) == 0);
}

static void bye(struct peer *peer, struct fuzz_input *input)
{
    union wire_message message;
    size_t length = wire_prepare(&message, WIRE_BYE, peer->token);

    (void)input;
    message.wire_bye.registration = peer->registration;
    message.wire_bye.secret = peer->secret;
    (void)fuzz_send(&message, length);
}

static void die(struct peer *peer, struct fuzz_input *input)
{
    uint8_t how = fuzz_u8(input);

    if (!peer->there)
        return;
    if (how & 1)
        peer->locked = false; /* lives, but has let go of its queue */
    else
        peer_die(peer);
    if (how & 2)
        peer_vanish(peer, how & 4);
}

static void pass_time(struct peer *peer, struct fuzz_input *input)
{
    static const int steps[] = {1, 50, 260, 1000, 1300, 5000, 61000, 4000000};

    (void)peer;
    fuzz_clock_advance(steps[fuzz_u8(input) % (sizeof steps / sizeof *steps)]);
    fuzz_turn();
}

static void beat(struct peer *peer, struct fuzz_input *input)
{
    uint32_t value = fuzz_u32(input);

    if (peer->there)
        peer_write(peer, peer_offset(peer, peer->pool.heartbeat), &value, sizeof value);
}

static void turn(struct peer *peer, struct fuzz_input *input)
{
    (void)peer;
    (void)input;
    fuzz_turn();
    check_numbers(cache);
}

/* Something else than a private, fully allocated pool under its name. */
static void tamper(struct peer *peer, struct fuzz_input *input)
{
    char path[sizeof "/dev/shm" + NAMES_BYTES];
    uint8_t how = fuzz_u8(input);

    if (!peer->there)
        return;
    snprintf(path, sizeof path, "/dev/shm%s", peer->name);
    if (how & 8)
        (void)fchmod(peer->pool.fd, 0600 | (how & 7));
    if (how & 16)
        (void)fchmod(peer->reply, 0600 | (how & 7) << 3);
    if (how & 32)
        mq_unlink(peer->name);
    if (how & 128)
        peer->pool_locked = false;
    if (!(how & 64))
        return;
    shm_unlink(peer->name);
    if ((how & 3) == 0)
        (void)mkfifo(path, 0600);
    else if ((how & 3) == 1)
        (void)mkdir(path, 0600);
    else if ((how & 3) == 2)
        (void)!symlink("/dev/zero", path);
    /* else nothing */
}

/* As systemd's RemoveIPC= does. */
static void unname_queue(struct peer *peer, struct fuzz_input *input)
{
    char name[NAMES_BYTES];

    (void)peer;
    (void)input;
    names_command_queue(name, peers_instance());
    mq_unlink(name);
}

static void ask_honest(struct peer *peer, struct fuzz_input *input)
{
    (void)peer;
    (void)input;
    honest_check();
}

typedef void deed(struct peer *peer, struct fuzz_input *input);

/* Seeds and findings depend on the order: new ones go to the end. */
static deed *const deeds[] = {
    turn,         appear,    hello_twisted, message_raw, message_typed, entry_raw,  request_made,
    request_made, collect,   ring_index,    semaphores,  scribble,      resize,     bye,
    die,          pass_time, beat,          tamper,      unname_queue,  ask_honest,
};

static void play(struct fuzz_input *input)
{
    for (int i = 0; i < DEEDS_MAX && input->left > 0; i++) {
        deed *act = deeds[fuzz_u8(input) % (sizeof deeds / sizeof *deeds)];

        /* The first place is the honest peer's. */
        act(peer_at(1 + fuzz_u8(input) % (PEERS_MAX - 1)), input);
    }
}

/* ---- from set-up to teardown ---- */

static int set_up_cache(void *context)
{
    char problem[512] = "";

    return cache_setup(cache, context, problem, sizeof problem);
}

static void set_up(void)
{
    struct cache_conf conf = {.memory = MEMORY,
                              .max_object = OBJECT_MAX,
                              .shards = 1,
                              .stall_ms = 1000,
                              .stall_limit_ms = 60000,
                              .lease_ms = 60000,
                              .no_sandbox = true};

    fuzz_random_reset();
    sent = 0;
    fuzz_clock_reset();
    peers_reset();
    snprintf(conf.instance, sizeof conf.instance, "%s", peers_instance());
    cache = calloc(1, sizeof *cache);
    REQUIRE(cache);
    peers_await(set_up_cache, &conf);
    REQUIRE(turn_begin(cache) == 0);
}

static void all_others_die(void)
{
    for (unsigned place = 1; place < PEERS_MAX; place++) {
        struct peer *peer = peer_at(place);

        if (!peer->there)
            continue;
        peer_die(peer);
        peer_vanish(peer, false);
    }
    fuzz_turn();
    fuzz_clock_advance(2000); /* those without a pidfd are missed by their locks */
    fuzz_turn();
    fuzz_turn();
}

static void tear_down(void)
{
    turn_end(cache);
    cache_teardown(cache);
    free(cache);
    peers_sweep();
}

/* The number that the next descriptor would get. */
static int lowest_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    REQUIRE(fd >= 0);
    close(fd);
    return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char instance[NAMES_INSTANCE_MAX + 1];

    (void)argc;
    (void)argv;
    fuzz_random_initialize();
    log_set_level("error");
    snprintf(instance, sizeof instance, "fuzz-%d", (int)getpid());
    peers_initialize(instance);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    int lowest = lowest_descriptor();

    set_up();
    honest_begin();
    play(&input);
    fuzz_turn();
    check_numbers(cache);
    honest_check();
    all_others_die();
    check_numbers(cache);
    honest_check_alone();
    honest_end();
    fuzz_turn();
    check_numbers(cache);
    REQUIRE(cache->store.pins == 0 && cache->leases.count == 0 && cache->store.memory.shares.held == 0);
    REQUIRE(cache->leases.followers == 0);
    REQUIRE(cache->registry.count == 0 && cache->unseen == 0 && cache->stalled == 0);
    tear_down();
    REQUIRE(lowest_descriptor() == lowest);
    return 0;
}
