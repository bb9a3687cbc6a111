#include "fuzz_proxy.h"

#include "cache_link.h"
#include "fuzz_clock.h"
#include "fuzz_random.h"
#include "http1_response.h"
#include "log.h"
#include "origin.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX    20000 /* far more than any input can need */
#define PATIENCE     8000  /* turns, after which the client leaves */
#define RECEIVE_MAX  ((size_t)1 << 20)
#define REQUESTS_MAX 128 /* after so many the client leaves: each may take dozens of turns */
#define IDLE_TURNS   8   /* without anything new: the client gives up */
#define WAIT_TURNS   3   /* or goes on after a line that says so, */
#define WAITS_MAX    100 /* of which so many are heeded */
#define CLOSING_MS   100000
#define SLOW_BYTES   256

struct wire_end {
    int fd;
    struct fuzz_text unsent;
    size_t received;
    bool closed, ended;
};

static struct {
    const struct fuzz_front *front;
    void *front_state;
    struct proxy_loop loop;
    struct loop_source around; /* the link's source, and us behind it */
    struct cache_link link;
    struct origin *origin;
    struct exchange_home *exchanges;
    struct connection_home connections;
    struct fuzz_script script;
    struct wire_end client;
    uint64_t random;
    unsigned turns, idle, waits;
    bool head_only[REQUESTS_MAX], bodies_mix;
    unsigned requests;
} proxy;

/* ---- what is counted on the way ---- */

void __real_exchange_begin(struct exchange_home *home, struct exchange **out,
                           const struct exchange_request *request, const struct exchange_sink *sink,
                           void *owner);
void __wrap_exchange_begin(struct exchange_home *home, struct exchange **out,
                           const struct exchange_request *request, const struct exchange_sink *sink,
                           void *owner);

static void note_request(bool head_only)
{
    if (proxy.requests < REQUESTS_MAX)
        proxy.head_only[proxy.requests++] = head_only;
}

void __wrap_exchange_begin(struct exchange_home *home, struct exchange **out,
                           const struct exchange_request *request, const struct exchange_sink *sink,
                           void *owner)
{
    note_request(http_span_equal(request->method, HTTP_SPAN("HEAD")));
    __real_exchange_begin(home, out, request, sink, owner);
}

/* Requests that are answered without an exchange. */
uint64_t __real_http1_write_own(struct output *output, const struct http1_request *request, int64_t now_s,
                                const struct http1_framing *framing);
uint64_t __wrap_http1_write_own(struct output *output, const struct http1_request *request, int64_t now_s,
                                const struct http1_framing *framing);

uint64_t __wrap_http1_write_own(struct output *output, const struct http1_request *request, int64_t now_s,
                                const struct http1_framing *framing)
{
    note_request(false);
    return __real_http1_write_own(output, request, now_s, framing);
}

/* The same head again, which was no HEAD's. */
bool __real_exchange_recall(struct exchange_home *home, const char *bytes, uint32_t length,
                            struct exchange_again *again);
bool __wrap_exchange_recall(struct exchange_home *home, const char *bytes, uint32_t length,
                            struct exchange_again *again);

bool __wrap_exchange_recall(struct exchange_home *home, const char *bytes, uint32_t length,
                            struct exchange_again *again)
{
    bool known = __real_exchange_recall(home, bytes, length, again);

    if (known)
        note_request(false);
    return known;
}

bool fuzz_proxy_bodies_may_mix(void)
{
    return proxy.bodies_mix;
}

void fuzz_proxy_mix_bodies(void)
{
    proxy.bodies_mix = true;
}

/* A whole answer of which only the rest is taken. */
bool __real_fields_continue(struct exchange *exchange, const struct origin_head *head, uint64_t *skip);
bool __wrap_fields_continue(struct exchange *exchange, const struct origin_head *head, uint64_t *skip);

bool __wrap_fields_continue(struct exchange *exchange, const struct origin_head *head, uint64_t *skip)
{
    bool continues = __real_fields_continue(exchange, head, skip);

    proxy.bodies_mix = proxy.bodies_mix || continues;
    return continues;
}

/* A part may be what continues it. */
static bool looks_stored(const struct fuzz_text *text)
{
    uint8_t mark[FUZZ_STORED_MARK];

    for (unsigned i = 0; i < FUZZ_STORED_MARK; i++)
        mark[i] = fuzz_stored_byte(i);
    return text->size > 0 &&
           (memmem(text->at, text->size, mark, sizeof mark) || memmem(text->at, text->size, "206", 3));
}

bool fuzz_proxy_was_head(unsigned number)
{
    return number < proxy.requests && proxy.head_only[number];
}

/* ---- the client ---- */

static uint32_t next_number(void)
{
    proxy.random ^= proxy.random << 13;
    proxy.random ^= proxy.random >> 7;
    proxy.random ^= proxy.random << 17;
    return (uint32_t)(proxy.random >> 16);
}

/* Some inputs come in one piece, most in pieces of a few bytes up to some thousand. */
static size_t next_piece(size_t left)
{
    static const uint8_t bits[] = {0, 1, 2, 4, 6, 9, 12, 20};

    if (proxy.script.cutting == 0)
        return left;
    size_t piece = 1 + next_number() % (1u << bits[next_number() % sizeof bits]) + left / FUZZ_PIECES;
    return piece < left ? piece : left;
}

/* Up to the next line at which it waits; that line is taken off when there was nothing new for a while. */
static size_t sendable(struct fuzz_text *unsent)
{
    static const char line[] = "----\n";
    const uint8_t *end =
        proxy.waits < WAITS_MAX ? memmem(unsent->at, unsent->size, line, sizeof line - 1) : NULL;

    if (end != unsent->at)
        return end ? (size_t)(end - unsent->at) : unsent->size;
    if (proxy.idle >= WAIT_TURNS) {
        unsent->at += sizeof line - 1;
        unsent->size -= sizeof line - 1;
        proxy.waits++;
    }
    return 0;
}

/* True: something was sent. */
static bool client_send(struct wire_end *client)
{
    size_t size = client->closed || client->unsent.size == 0 ? 0 : sendable(&client->unsent);

    if (size == 0)
        return false;
    size_t piece = next_piece(size);
    ssize_t sent = send(client->fd, client->unsent.at, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return false;
    client->unsent.at += sent;
    client->unsent.size -= (size_t)sent;
    return true;
}

static uint8_t received[RECEIVE_MAX];

static bool client_receive(struct wire_end *client)
{
    size_t most = proxy.script.flags & FUZZ_SLOW_READER ? SLOW_BYTES : 65536;

    if (client->closed || client->ended)
        return false;
    ssize_t got = recv(client->fd, received + client->received, most, MSG_DONTWAIT);
    if (got > 0)
        client->received += (size_t)got;
    /* The proxy ends it, or it has had enough. */
    client->ended = got == 0 || sizeof received - client->received < most || proxy.requests == REQUESTS_MAX ||
                    proxy.turns >= PATIENCE;
    return got > 0;
}

static void client_close(struct wire_end *client)
{
    if (!client->closed)
        close(client->fd);
    client->closed = true;
}

/* ---- a turn ---- */

/* Time passes in small steps, and now and then in large ones, so that each of the time-outs is met. */
static void let_time_pass(void)
{
    static const int steps[] = {0, 0, 0, 1, 1, 20, 150, 1100, 2500, 11000, 70000};

    if (proxy.script.flags & FUZZ_SLOW_CLIENT)
        fuzz_clock_advance(steps[next_number() % (sizeof steps / sizeof *steps)]);
}

static bool is_over(void)
{
    return proxy.connections.count == 0 && exchange_count(proxy.exchanges) == 0;
}

/* Gives up in steps when nothing happens any more. */
static void client_acts(void)
{
    struct wire_end *client = &proxy.client;
    bool busy = client_send(client);

    busy = client_receive(client) || busy;
    proxy.idle = busy ? 0 : proxy.idle + 1;
    if (client->ended || (client->unsent.size == 0 && proxy.script.flags & FUZZ_HANG_UP))
        client_close(client);
    else if (proxy.idle == IDLE_TURNS && !client->closed)
        shutdown(client->fd, SHUT_WR);
    else if (proxy.idle == 2 * IDLE_TURNS) /* some answers never come: time-outs end what waits for them */
        fuzz_clock_advance(CLOSING_MS);
    else if (proxy.idle == 3 * IDLE_TURNS)
        client_close(client);
    if (is_over() || proxy.idle > 4 * IDLE_TURNS)
        proxy_loop_stop(&proxy.loop);
}

static void drain(struct loop_source *source)
{
    (void)source;
    fuzz_client_answer(false);
    proxy.link.source.drain(&proxy.link.source);
    fuzz_origin_turn();
    let_time_pass();
    client_acts();
    if (proxy.script.flags & FUZZ_STOP && proxy.turns == 6)
        connection_home_stop(&proxy.connections);
    if (++proxy.turns == TURNS_MAX)
        proxy_loop_stop(&proxy.loop);
}

static bool may_sleep(struct loop_source *source)
{
    (void)source;
    proxy.link.source.may_sleep(&proxy.link.source);
    return false;
}

/* ---- from set-up to teardown ---- */

static void connect_client(struct fuzz_text sends)
{
    static const union connection_peer peer = {
        .v4 = {.sin_family = AF_INET, .sin_port = 1, .sin_addr = {0x0100007f}}};
    int ends[2], small = 1;

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (proxy.script.flags & FUZZ_SLOW_READER)
        setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    proxy.client = (struct wire_end){.fd = ends[0], .unsent = sends};
    REQUIRE(proxy.front->accept(proxy.front_state, ends[1], &peer) == 0);
}

static void set_up(void)
{
    static const struct connection_timeouts timeouts = {
        .header_s = 10, .idle_s = 60, .body_s = 30, .limit = 10};
    static const struct larder_options cache = {.segments = 6, .segment_bytes = 4096};
    static const struct origin_options origin = {.url = "http://origin.invalid"};
    struct http_overrides overrides;
    char problem[512];

    fuzz_clock_reset();
    fuzz_random_reset();
    REQUIRE(proxy_loop_setup(&proxy.loop) == 0);
    REQUIRE(cache_link_setup(&proxy.link, &proxy.loop, &cache, NULL, problem, sizeof problem) == 0);
    proxy.around = (struct loop_source){.drain = drain, .may_sleep = may_sleep};
    loop_set_source(&proxy.loop, &proxy.around);
    REQUIRE(origin_create(&proxy.origin, &proxy.loop, &origin, problem, sizeof problem) == 0);
    REQUIRE(exchange_home_create(&proxy.exchanges, &proxy.loop, &proxy.link, proxy.origin,
                                 EXCHANGE_CACHE_TIMEOUT_MS) == 0);
    http_overrides_setup(&overrides);
    overrides.stores_post = true;
    exchange_home_set_overrides(proxy.exchanges, &overrides);
    connection_home_setup(&proxy.connections, &proxy.loop, &proxy.link, &timeouts);
    proxy.front_state =
        proxy.front->setup(&proxy.connections, proxy.exchanges, (uint64_t)proxy.script.body_limit * 64);
}

/* When the client has gone, fills that it began still end, one way or the other. */
static void tear_down(void)
{
    client_close(&proxy.client);
    connection_home_teardown(&proxy.connections);
    proxy.front->teardown(proxy.front_state);
    exchange_home_destroy(&proxy.exchanges);
    for (int i = 0; i < 4; i++) {
        fuzz_client_answer(true);
        proxy.link.source.drain(&proxy.link.source);
        loop_finish_tasks(&proxy.loop);
    }
    fuzz_client_expect_nothing_held();
    origin_destroy(&proxy.origin);
    cache_link_teardown(&proxy.link);
    proxy_loop_teardown(&proxy.loop);
}

/* The part up to a line "====", which is taken off the front. */
static struct fuzz_text take_part(struct fuzz_input *input)
{
    static const char line[] = "====\n";
    const uint8_t *end = input->left ? memmem(input->at, input->left, line, sizeof line - 1) : NULL;
    size_t size;
    const uint8_t *at = fuzz_take(input, end ? (size_t)(end - input->at) : input->left, &size);
    size_t skipped;

    if (end)
        fuzz_take(input, sizeof line - 1, &skipped);
    return (struct fuzz_text){at, size};
}

void fuzz_proxy_run(const struct fuzz_front *front, const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};

    memset(&proxy, 0, sizeof proxy);
    proxy.front = front;
    fuzz_read(&input, &proxy.script, sizeof proxy.script);
    proxy.random = proxy.script.cutting | 1;
    struct fuzz_text client = take_part(&input), origin = take_part(&input), meta = take_part(&input);
    proxy.bodies_mix = looks_stored(&origin);
    fuzz_client_prepare(&proxy.script, &meta);
    fuzz_origin_prepare(&proxy.script, &origin);
    set_up();
    connect_client(client);
    proxy_loop_run(&proxy.loop);
    REQUIRE(proxy.turns < TURNS_MAX);
    tear_down();
    struct fuzz_text text = {received, proxy.client.received};
    front->check(&text);
}

void fuzz_proxy_initialize(void)
{
    fuzz_random_initialize();
    log_set_level("error");
}
