/* The life of a client:
 *
 *   connecting --> connected --> asked [asleep --> awake] --> over
 *        +-------------+-----------+----------- broken --------^   */
#include "crowd_client.h"

#include "loopback.h"
#include "storm_time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS       256
#define READ_BYTES   65536
#define ASLEEP_BYTES 16384   /* SO_RCVBUF of who does not read */
#define AWAKE_BYTES  1048576 /* and when it does */

static unsigned index_of(const struct crowd *crowd, const struct crowd_client *client)
{
    return (unsigned)(client - crowd->clients);
}

static void finish(struct crowd *crowd, struct crowd_client *client, enum crowd_outcome outcome)
{
    crowd->ready += !client->connected;
    crowd->over++;
    crowd->fast_over += index_of(crowd, client) >= crowd->slow;
    client->outcome = client->response.wrong || client->response.malformed ? CROWD_WRONG : outcome;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

static void await(const struct crowd *crowd, struct crowd_client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    if (epoll_ctl(crowd->epoll, operation, client->fd, &event))
        abort();
}

static void set_receive_buffer(const struct crowd_client *client, int size)
{
    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void open_client(struct crowd *crowd, struct crowd_client *client, const struct crowd_object *object)
{
    unsigned index = index_of(crowd, client);

    crowd_response_setup(&client->response, object);
    client->proxy = index % crowd->proxies->count;
    client->fd = loopback_connect(crowd->proxies->proxy[client->proxy].port);
    if (client->fd < 0) {
        finish(crowd, client, CROWD_BROKEN);
        return;
    }
    client->asleep = index < crowd->slow;
    if (client->asleep)
        set_receive_buffer(client, ASLEEP_BYTES);
    await(crowd, client, EPOLL_CTL_ADD, EPOLLOUT);
}

void crowd_open(struct crowd *crowd, const struct crowd_conf *conf, const struct crowd_object *object,
                const struct crowd_proxies *proxies)
{
    *crowd = (struct crowd){
        .conf = conf, .proxies = proxies, .count = (unsigned)conf->clients, .slow = (unsigned)conf->slow};
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd->clients = calloc(crowd->count, sizeof(*crowd->clients));
    crowd->buffer = malloc(READ_BYTES);
    if (crowd->epoll < 0 || !crowd->clients || !crowd->buffer)
        abort();
    bytes_print(&crowd->request, "GET %s HTTP/1.1\r\nHost: crowd.example\r\n\r\n", conf->target.data);
    for (unsigned i = 0; i < crowd->count; i++)
        open_client(crowd, &crowd->clients[i], object);
}

void crowd_close(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->count; i++)
        if (crowd->clients[i].fd >= 0)
            close(crowd->clients[i].fd);
    close(crowd->epoll);
    free(crowd->clients);
    free(crowd->buffer);
    bytes_free(&crowd->request);
}

/* ---- asking ---- */

/* A head of this size always fits into the socket's empty buffer. */
static void ask(struct crowd *crowd, struct crowd_client *client)
{
    const struct bytes *request = &crowd->request;

    if (client->fd < 0 || client->asked)
        return;
    client->asked = true;
    if (send(client->fd, request->data, request->size, MSG_NOSIGNAL) != (ssize_t)request->size)
        finish(crowd, client, CROWD_BROKEN);
    else
        await(crowd, client, EPOLL_CTL_MOD, client->asleep ? 0 : EPOLLIN);
}

static void ask_when_ready(struct crowd *crowd, bool served)
{
    bool lead = crowd->conf->lead;

    if (crowd->ready < crowd->count || crowd->began)
        return;
    if (lead && !crowd->led) {
        crowd->led = true;
        ask(crowd, &crowd->clients[0]);
    }
    if (lead && !served && crowd->over == 0)
        return;
    crowd->began = storm_now();
    for (unsigned i = 0; i < crowd->count; i++)
        ask(crowd, &crowd->clients[i]);
}

/* ---- waking the slow ones ---- */

static int64_t waking_time(const struct crowd *crowd)
{
    return crowd->began + (crowd->woken + 1) * crowd->conf->slow_for * STORM_MS;
}

static bool wakes_now(const struct crowd *crowd)
{
    if (crowd->woken == 2 || !crowd->began || crowd->slow == 0)
        return false;
    if (crowd->conf->slow_for)
        return storm_now() >= waking_time(crowd);
    return crowd->woken ? crowd->over + 1 >= crowd->count : crowd->fast_over + crowd->slow == crowd->count;
}

static void wake(const struct crowd *crowd, struct crowd_client *client)
{
    if (client->fd < 0 || !client->asleep)
        return;
    client->asleep = false;
    set_receive_buffer(client, AWAKE_BYTES);
    await(crowd, client, EPOLL_CTL_MOD, EPOLLIN);
}

static void wake_slow(struct crowd *crowd)
{
    while (wakes_now(crowd)) {
        for (unsigned i = crowd->woken == 0; i < (crowd->woken ? 1 : crowd->slow); i++)
            wake(crowd, &crowd->clients[i]);
        crowd->woken++;
    }
}

int64_t crowd_wake_at(const struct crowd *crowd)
{
    if (crowd->conf->slow_for == 0 || crowd->slow == 0 || !crowd->began || crowd->woken == 2)
        return STORM_FOREVER;
    return waking_time(crowd);
}

/* ---- reading ---- */

static void take(struct crowd *crowd, struct crowd_client *client, size_t size)
{
    struct crowd_response *response = &client->response;
    bool done = crowd_response_take(response, crowd->buffer, size);
    int64_t now = storm_now();

    if (response->received && !client->first)
        client->first = now;
    if (!done)
        return;
    client->last = now;
    finish(crowd, client, response->status == 200 ? CROWD_WHOLE : CROWD_ERROR);
}

static void read_some(struct crowd *crowd, struct crowd_client *client)
{
    ssize_t got = recv(client->fd, crowd->buffer, READ_BYTES, 0);

    if (got > 0)
        take(crowd, client, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        finish(crowd, client, CROWD_BROKEN);
}

static void connection_made(struct crowd *crowd, struct crowd_client *client)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
        finish(crowd, client, CROWD_BROKEN);
        return;
    }
    client->connected = true;
    crowd->ready++;
    await(crowd, client, EPOLL_CTL_MOD, 0);
}

/* A sleeper has an event only when its connection is broken (EPOLLHUP, EPOLLERR). */
static void client_event(struct crowd *crowd, struct crowd_client *client)
{
    if (!client->connected)
        connection_made(crowd, client);
    else if (client->asleep)
        wake(crowd, client);
    else
        read_some(crowd, client);
}

void crowd_turn(struct crowd *crowd, bool served)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(crowd->epoll, events, EVENTS, 0);

    for (int i = 0; i < count; i++)
        client_event(crowd, events[i].data.ptr);
    ask_when_ready(crowd, served);
    wake_slow(crowd);
}

bool crowd_is_over(const struct crowd *crowd)
{
    return crowd->over == crowd->count;
}
