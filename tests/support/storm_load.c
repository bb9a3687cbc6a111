#include "storm_load.h"

#include "loopback.h"
#include "storm_problems.h"
#include "storm_process.h"
#include "storm_response.h"
#include "storm_time.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define EVENTS         64
#define READ_BYTES     (256 * 1024)
#define READS          8    /* of one connection before the others have their turn */
#define WAITING        1024 /* at a witness, so that a delay shows in its latency */
#define WAITING_VICTIM 64   /* a frozen proxy is not to be flooded when it thaws */
#define ANSWER_SECONDS 20   /* longer than any freeze; a request without an answer by then is broken */
#define LATE_SECONDS   1    /* a load generator that has been held up for longer skips what was due */

/*  connect -> IDLE <-> BUSY -> closed. Idle ones are used in turn, so that none is idle for long. */
struct connection {
    int fd;
    unsigned slot;
    uint32_t life;
    uint32_t cache_run; /* when the request was sent */
    bool busy;
    enum load_phase phase;
    unsigned number;   /* of the object */
    int64_t due, sent; /* of the request under way */
    int64_t began;     /* its first byte came; 0: not yet */
    struct response response;
    struct connection *prev, *next;           /* of all connections of the slot */
    struct connection *idle_prev, *idle_next; /* of the idle ones */
};

struct waiting {
    int64_t due;
    unsigned number;
};

struct slot {
    /* Written by the controlling thread. */
    _Atomic uint64_t told; /* life << 16 | port of the latest process; 0: none yet */
    _Atomic uint32_t killed_life, ended_life, gone_life;
    /* Read by it: life << 32 | run of the cache. */
    _Atomic uint64_t attached;
    /* The load thread's own. */
    uint32_t life;
    uint16_t port;
    int64_t next_due;
    unsigned count; /* connections of the present life */
    struct connection *all, *idle;
    struct waiting waiting[WAITING];
    unsigned first, waits;
};

struct load {
    struct load_conf conf;
    int epoll, bell;
    pthread_t thread;
    atomic_bool asking, ending, at_rest;
    atomic_int phase;
    _Atomic uint32_t cache_run;
    bool was_asking;
    struct storm_random random;
    unsigned next_warm;
    int64_t interval, next_look;
    struct load_numbers numbers[LOAD_PHASES];
    char *buffer;
    struct connection *dropped; /* in this turn */
    struct slot slots[];
};

/* ---- what became of a request ---- */

static bool is_excused(const struct load *load, const struct connection *connection)
{
    const struct slot *slot = &load->slots[connection->slot];

    if (atomic_load(&slot->killed_life) >= connection->life)
        return true;
    return atomic_load(&slot->ended_life) >= connection->life && connection->began == 0;
}

static void request_broke(struct load *load, const struct connection *connection, const char *why)
{
    struct load_numbers *numbers = &load->numbers[connection->phase];
    const struct storm_object *object = &load->conf.corpus->objects[connection->number];

    numbers->wrong_bytes += connection->response.wrong;
    numbers->wrong_responses += connection->response.wrong > 0;
    if (is_excused(load, connection)) {
        numbers->excused++;
        return;
    }
    numbers->broken++;
    problem_note("proxy %u, life %u: response broken after %.1f ms, at byte %zu of %zu, object %u: %s",
                 connection->slot, connection->life, (double)(storm_now() - connection->sent) / 1e6,
                 connection->response.received, object->size, connection->number, why);
}

static void note_wrong(const struct load *load, const struct connection *connection)
{
    problem_note("proxy %u, life %u: %llu wrong bytes in object %u of %zu bytes, of which %zu came",
                 connection->slot, connection->life, (unsigned long long)connection->response.wrong,
                 connection->number, load->conf.corpus->objects[connection->number].size,
                 connection->response.received);
}

static void note_latency(struct load *load, struct load_numbers *numbers, int64_t due)
{
    int64_t now = storm_now();

    histogram_add(&numbers->latency, now - due);
    histogram_add(&numbers->present, now - due - machine_away(load->conf.machine, due, now));
}

static void request_answered(struct load *load, const struct connection *connection)
{
    struct load_numbers *numbers = &load->numbers[connection->phase];
    struct slot *slot = &load->slots[connection->slot];

    numbers->answered++;
    if (connection->response.wrong) {
        numbers->wrong_bytes += connection->response.wrong;
        numbers->wrong_responses++;
        note_wrong(load, connection);
    }
    if (connection->slot < load->conf.witnesses)
        note_latency(load, numbers, connection->due);
    if (connection->response.attached && connection->cache_run &&
        connection->cache_run == atomic_load(&load->cache_run))
        atomic_store(&slot->attached, (uint64_t)connection->life << 32 | connection->cache_run);
}

/* ---- connections ---- */

static void drop(struct load *load, struct connection *connection)
{
    struct slot *slot = &load->slots[connection->slot];

    if (!connection->busy)
        DL_DELETE2(slot->idle, connection, idle_prev, idle_next);
    DL_DELETE(slot->all, connection);
    if (connection->life == slot->life)
        slot->count--;
    /* close(2) alone does not end its events while a child between vfork and exec holds a copy. */
    epoll_ctl(load->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    close(connection->fd);
    connection->fd = -1;
    LL_PREPEND(load->dropped, connection);
}

/* An event of this turn may still name a connection that was dropped in it. */
static void free_dropped(struct load *load)
{
    struct connection *connection, *next;

    LL_FOREACH_SAFE(load->dropped, connection, next)
    free(connection);
    load->dropped = NULL;
}

static void break_off(struct load *load, struct connection *connection, const char *why)
{
    if (connection->busy)
        request_broke(load, connection, why);
    drop(load, connection);
}

/* NULL with errno if it cannot be had. The new connection is idle. */
static struct connection *open_connection(struct load *load, unsigned index)
{
    struct slot *slot = &load->slots[index];
    struct connection *connection;
    struct epoll_event event = {.events = EPOLLIN};
    int fd = loopback_connect(slot->port);

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    connection = calloc(1, sizeof(*connection));
    if (!connection)
        abort();
    *connection = (struct connection){.fd = fd, .slot = index, .life = slot->life};
    response_setup(&connection->response);
    event.data.ptr = connection;
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event))
        abort();
    DL_APPEND(slot->all, connection);
    DL_APPEND2(slot->idle, connection, idle_prev, idle_next);
    slot->count++;
    return connection;
}

static void send_request(struct load *load, struct connection *connection, const struct waiting *wanted)
{
    struct slot *slot = &load->slots[connection->slot];
    const struct storm_object *object = &load->conf.corpus->objects[wanted->number];
    ssize_t sent;

    DL_DELETE2(slot->idle, connection, idle_prev, idle_next);
    connection->busy = true;
    connection->phase = (enum load_phase)atomic_load(&load->phase);
    connection->number = wanted->number;
    connection->due = wanted->due;
    connection->sent = storm_now();
    connection->began = 0;
    connection->cache_run = atomic_load(&load->cache_run);
    response_expect(&connection->response, object);
    load->numbers[connection->phase].requests++;
    /* A connection to 127.0.0.1 is made or refused within connect(2), and a head of this size always fits. */
    sent = send(connection->fd, object->request, object->request_length, MSG_NOSIGNAL);
    if (sent != (ssize_t)object->request_length)
        break_off(load, connection, sent < 0 ? strerror(errno) : "a part of the request was not accepted");
}

/* ---- requests that are due ---- */

static void leave_out(struct load *load, unsigned index)
{
    struct load_numbers *numbers = &load->numbers[atomic_load(&load->phase)];

    numbers->unserved++;
    numbers->witnesses_unserved += index < load->conf.witnesses;
}

static void connecting_failed(struct load *load, unsigned index, unsigned number, const char *why)
{
    struct connection none = {.slot = index, .life = load->slots[index].life, .number = number};

    none.phase = (enum load_phase)atomic_load(&load->phase);
    none.sent = storm_now();
    load->numbers[none.phase].requests++;
    request_broke(load, &none, why);
}

static void make_request(struct load *load, unsigned index, const struct waiting *wanted)
{
    struct slot *slot = &load->slots[index];
    struct connection *connection = slot->idle;

    if (!connection && slot->count < load->conf.connections) {
        connection = open_connection(load, index);
        if (!connection) {
            connecting_failed(load, index, wanted->number, strerror(errno));
            return;
        }
    }
    if (connection)
        send_request(load, connection, wanted);
    else if (slot->waits < (index < load->conf.witnesses ? WAITING : WAITING_VICTIM))
        slot->waiting[(slot->first + slot->waits++) % WAITING] = *wanted;
    else
        leave_out(load, index);
}

static void serve_waiting(struct load *load, unsigned index)
{
    struct slot *slot = &load->slots[index];

    while (slot->waits && slot->idle) {
        struct waiting wanted = slot->waiting[slot->first];

        slot->first = (slot->first + 1) % WAITING;
        slot->waits--;
        send_request(load, slot->idle, &wanted);
    }
}

static bool is_down(const struct slot *slot)
{
    return slot->life == 0 || atomic_load(&slot->killed_life) >= slot->life ||
           atomic_load(&slot->ended_life) >= slot->life || atomic_load(&slot->gone_life) >= slot->life;
}

static unsigned pick_object(struct load *load)
{
    if (atomic_load(&load->phase) == LOAD_WARM)
        return load->next_warm++ % CORPUS_OBJECTS;
    return corpus_pick(load->conf.corpus, &load->random);
}

static void forget_waiting(struct load *load, unsigned index)
{
    for (; load->slots[index].waits; load->slots[index].waits--)
        leave_out(load, index);
}

static void run_due(struct load *load, unsigned index, int64_t now)
{
    struct slot *slot = &load->slots[index];

    if (is_down(slot))
        forget_waiting(load, index);
    while (slot->next_due <= now) {
        struct waiting wanted = {slot->next_due, pick_object(load)};

        slot->next_due += load->interval;
        if (is_down(slot) || wanted.due < now - LATE_SECONDS * STORM_SECOND)
            leave_out(load, index);
        else
            make_request(load, index, &wanted);
    }
}

/* ---- events ---- */

static void finish(struct load *load, struct connection *connection)
{
    struct slot *slot = &load->slots[connection->slot];
    unsigned index = connection->slot;

    request_answered(load, connection);
    connection->busy = false;
    DL_APPEND2(slot->idle, connection, idle_prev, idle_next);
    if (!connection->response.keep_alive || connection->life != slot->life || !load->was_asking)
        drop(load, connection);
    else
        connection->response.object = NULL;
    serve_waiting(load, index);
}

/* False when the connection is gone, or has nothing more to read. */
static bool read_some(struct load *load, struct connection *connection)
{
    ssize_t got = recv(connection->fd, load->buffer, READ_BYTES, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        break_off(load, connection, got ? strerror(errno) : "the connection was closed");
        return false;
    }
    if (connection->began == 0)
        connection->began = storm_now();
    switch (response_take(&connection->response, load->buffer, (size_t)got)) {
    case RESPONSE_MORE:
        return got == READ_BYTES;
    case RESPONSE_WHOLE:
        finish(load, connection);
        return false;
    case RESPONSE_BROKEN:
        break;
    }
    if (!connection->busy)
        problem_note("proxy %u, life %u: %s", connection->slot, connection->life, connection->response.why);
    break_off(load, connection, connection->response.why);
    return false;
}

static void ready(struct load *load, struct connection *connection)
{
    for (int i = 0; i < READS && connection->fd >= 0 && read_some(load, connection); i++)
        ;
}

/* Idle connections to an earlier process end by themselves; those under way may still have bytes to read. */
static void take_news(struct load *load, unsigned index)
{
    struct slot *slot = &load->slots[index];
    uint64_t told = atomic_load(&slot->told);
    struct connection *connection, *next;

    if ((uint32_t)(told >> 16) == slot->life)
        return;
    slot->life = (uint32_t)(told >> 16);
    slot->port = (uint16_t)told;
    slot->count = 0;
    forget_waiting(load, index);
    DL_FOREACH_SAFE2(slot->idle, connection, next, idle_next)
    drop(load, connection);
}

static void look_for_silence(struct load *load, int64_t now)
{
    struct connection *connection, *next;

    if (now < load->next_look)
        return;
    load->next_look = now + STORM_SECOND;
    for (unsigned i = 0; i < load->conf.proxies; i++) {
        DL_FOREACH_SAFE(load->slots[i].all, connection, next)
        {
            if (connection->busy && connection->sent < now - ANSWER_SECONDS * STORM_SECOND)
                break_off(load, connection, "no answer in time");
        }
    }
}

/* ---- asking and resting ---- */

static void begin_asking(struct load *load, int64_t now)
{
    for (unsigned i = 0; i < load->conf.proxies; i++)
        load->slots[i].next_due =
            now + (int64_t)((double)load->interval * ((double)i + 0.5) / load->conf.proxies);
}

static void stop_asking(struct load *load)
{
    struct connection *connection, *next;

    for (unsigned i = 0; i < load->conf.proxies; i++) {
        forget_waiting(load, i);
        DL_FOREACH_SAFE2(load->slots[i].idle, connection, next, idle_next)
        drop(load, connection);
    }
}

static void change_mood(struct load *load, int64_t now)
{
    bool asking = atomic_load(&load->asking), rest = true;

    if (asking != load->was_asking) {
        load->was_asking = asking;
        if (asking)
            begin_asking(load, now);
        else
            stop_asking(load);
    }
    for (unsigned i = 0; i < load->conf.proxies; i++)
        rest = rest && !load->slots[i].all;
    atomic_store(&load->at_rest, rest && !asking);
}

static int64_t next_event(const struct load *load)
{
    int64_t first = load->next_look;

    for (unsigned i = 0; i < load->conf.proxies && load->was_asking; i++)
        first = load->slots[i].next_due < first ? load->slots[i].next_due : first;
    return first;
}

static void wait_and_serve(struct load *load)
{
    struct epoll_event events[EVENTS];
    struct timespec time = storm_until(next_event(load), storm_now());
    int count = epoll_pwait2(load->epoll, events, EVENTS, &time, NULL);
    uint64_t rings;

    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            ready(load, events[i].data.ptr);
        else if (read(load->bell, &rings, sizeof(rings)) < 0)
            continue;
    }
}

static void *run(void *argument)
{
    struct load *load = argument;

    process_put_first(0);
    while (!atomic_load(&load->ending)) {
        int64_t now = storm_now();

        for (unsigned i = 0; i < load->conf.proxies; i++)
            take_news(load, i);
        change_mood(load, now);
        for (unsigned i = 0; i < load->conf.proxies && load->was_asking; i++)
            run_due(load, i, now);
        look_for_silence(load, now);
        wait_and_serve(load);
        free_dropped(load);
    }
    return NULL;
}

/* ---- the controlling thread's side ---- */

static void ring(struct load *load)
{
    uint64_t one = 1;

    if (write(load->bell, &one, sizeof(one)) < 0)
        abort();
}

struct load *load_create(const struct load_conf *conf)
{
    struct load *load = calloc(1, sizeof(*load) + conf->proxies * sizeof(struct slot));
    struct epoll_event event = {.events = EPOLLIN};

    if (!load)
        abort();
    load->conf = *conf;
    load->random.state = conf->seed;
    load->interval = storm_seconds(1 / conf->rate);
    load->at_rest = true;
    load->buffer = malloc(READ_BYTES);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!load->buffer || load->epoll < 0 || load->bell < 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->bell, &event) ||
        pthread_create(&load->thread, NULL, run, load))
        abort();
    return load;
}

void load_destroy(struct load **load)
{
    struct connection *connection, *next;

    atomic_store(&(*load)->ending, true);
    ring(*load);
    pthread_join((*load)->thread, NULL);
    for (unsigned i = 0; i < (*load)->conf.proxies; i++)
        DL_FOREACH_SAFE((*load)->slots[i].all, connection, next)
    drop(*load, connection);
    free_dropped(*load);
    close((*load)->epoll);
    close((*load)->bell);
    free((*load)->buffer);
    free(*load);
    *load = NULL;
}

void load_proxy_up(struct load *load, unsigned proxy, uint16_t port, uint32_t life)
{
    atomic_store(&load->slots[proxy].told, (uint64_t)life << 16 | port);
    ring(load);
}

void load_proxy_killed(struct load *load, unsigned proxy, uint32_t life)
{
    atomic_store(&load->slots[proxy].killed_life, life);
}

void load_proxy_terminated(struct load *load, unsigned proxy, uint32_t life)
{
    atomic_store(&load->slots[proxy].ended_life, life);
}

void load_proxy_gone(struct load *load, unsigned proxy, uint32_t life)
{
    atomic_store(&load->slots[proxy].gone_life, life);
}

void load_cache_is(struct load *load, uint32_t run)
{
    atomic_store(&load->cache_run, run);
}

bool load_attached(const struct load *load, unsigned proxy, uint32_t life, uint32_t run)
{
    return run && atomic_load(&load->slots[proxy].attached) == ((uint64_t)life << 32 | run);
}

void load_resume(struct load *load, enum load_phase phase)
{
    atomic_store(&load->phase, phase);
    atomic_store(&load->asking, true);
    atomic_store(&load->at_rest, false);
    ring(load);
}

void load_pause(struct load *load)
{
    atomic_store(&load->asking, false);
    ring(load);
}

bool load_idle(const struct load *load)
{
    return atomic_load(&load->at_rest);
}

const struct load_numbers *load_numbers(const struct load *load, enum load_phase phase)
{
    return &load->numbers[phase];
}
