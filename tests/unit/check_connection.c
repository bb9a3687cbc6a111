/* connection and listener: who is dropped when there is no room, how a connection ends, and what clients do
 * to a read. Clients are sockets of this process; the front-end is the test's own. */
#include "connection.h"
#include "listener.h"

#include "cache_link.h"
#include "check_unit.h"
#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define CLIENTS 40

/* No cache takes part. */

bool cache_link_is_scarce(const struct cache_link *link)
{
    (void)link;
    return false;
}

void cache_link_return(struct cache_link *link, struct larder_segment **segment)
{
    (void)link;
    *segment = NULL;
}

/* A front-end whose requests are single bytes: 'r' is answered by 'R', 'l' by LARGE bytes, 'f' and 'b' by
 * half a body and an end (finish, break), 's' by what stands in a file (below), 'o' like 'r' after a look at
 * the others' answers; anything else only counted. */

#define LARGE (8u * 1024 * 1024)

struct one {
    struct connection base;
    unsigned number;
};

static struct proxy_loop loop;
static struct connection_home home;
static struct listener listener;
static struct one *accepted[2 * CLIENTS];
static unsigned accepted_count, received;
static bool ends_by_close;

static void answer_large(struct connection *connection)
{
    static char bytes[LARGE];

    output_add(&connection->output, bytes, sizeof bytes);
}

static void answer_half(struct connection *connection, bool broken)
{
    connection->close_ends_body = ends_by_close;
    output_add(&connection->output, "half", 4);
    if (broken)
        connection_break(connection);
    else
        connection_finish(connection);
}

/* What 's' is answered by: HEAD bytes, PIECES pieces of a segment that stands in a file, TAIL bytes; all of
 * them one pattern. */

#define FILE_OFFSET 5000
#define PIECE       (60u * 1024)
#define PIECES      64u
#define HEAD        100u
#define TAIL        10u
#define WHOLE       ((size_t)HEAD + (size_t)PIECES * PIECE + TAIL)

struct shared {
    struct output_source source;
    unsigned references, lent;
    int fd;
};

static struct shared shared;
#define FILE_SIZE (((size_t)FILE_OFFSET + PIECES * PIECE + 4095) / 4096 * 4096) /* whole pages */

static uint8_t *mapped;
static struct larder_segment shared_segment;

static int shared_file(struct output_source *source, const struct larder_segment *segment, off_t *offset)
{
    ck_assert_ptr_eq(source, &shared.source);
    ck_assert_ptr_eq(segment, &shared_segment);
    *offset = FILE_OFFSET;
    return shared.fd;
}

static void shared_lent(struct output_source *source, struct larder_segment *segment)
{
    (void)source;
    ck_assert_ptr_eq(segment, &shared_segment);
    shared.lent++;
}

static void shared_drop(struct output_source *source)
{
    (void)source;
    ck_assert_uint_gt(shared.references, 0);
    shared.references--;
}

static const struct output_source_calls shared_calls = {
    .file = shared_file, .lent = shared_lent, .drop = shared_drop};

static void make_file(bool by_pipes)
{
    home.pipes.refused = !by_pipes;
    shared = (struct shared){.source = {&shared_calls}, .fd = memfd_create("pieces", MFD_CLOEXEC)};
    ck_assert_int_ge(shared.fd, 0);
    ck_assert_int_eq(ftruncate(shared.fd, FILE_SIZE), 0);
    mapped = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shared.fd, 0);
    ck_assert(mapped != MAP_FAILED);
    shared_segment = (struct larder_segment){mapped + FILE_OFFSET, PIECES * PIECE};
    fill_pattern(shared_segment.data, 1, HEAD, PIECES * PIECE);
}

static void remove_file(void)
{
    ck_assert_uint_eq(shared.references, 0);
    ck_assert_int_eq(munmap(mapped, FILE_SIZE), 0);
    close(shared.fd);
}

static void answer_shared(struct connection *connection)
{
    uint8_t bytes[HEAD];

    fill_pattern(bytes, 1, 0, HEAD);
    output_add(&connection->output, bytes, HEAD);
    for (uint32_t i = 0; i < PIECES; i++) {
        shared.references++;
        output_add_shared(&connection->output, &shared.source, &shared_segment, i * PIECE, PIECE);
    }
    fill_pattern(bytes, 1, WHOLE - TAIL, TAIL);
    output_add(&connection->output, bytes, TAIL);
}

static int clients[CLIENTS];
static unsigned client_count, have_answers;

static void count_answers(void)
{
    char byte;

    have_answers = 0;
    for (unsigned i = 0; i < client_count; i++)
        have_answers += recv(clients[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void answer(struct connection *connection, char request)
{
    received++;
    if (request == 'o')
        count_answers();
    if (request == 'h') {
        output_add(&connection->output, "H", 1);
        connection_wake(connection);
        connection_hold(connection);
        return;
    }
    if (request == 'f' || request == 'b') {
        answer_half(connection, request == 'b');
        return;
    }
    if (request == 'r' || request == 'o')
        output_add(&connection->output, "R", 1);
    else if (request == 'l')
        answer_large(connection);
    else if (request == 's')
        answer_shared(connection);
    else
        return;
    connection_expect_request(connection);
    connection_wake(connection);
}

static void proceed(struct connection *connection)
{
    while (connection->state == CONNECTION_OPEN && connection_read(connection) == CONNECTION_READ_BYTES) {
        uint32_t used = connection->input_used;

        connection->input_used = 0;
        for (uint32_t i = 0; i < used && connection->state == CONNECTION_OPEN; i++)
            answer(connection, connection->input[i]);
    }
}

static void timed_out(struct connection *connection, enum connection_timeout which)
{
    (void)connection;
    (void)which;
}

static void gone(struct connection *connection)
{
    (void)connection;
}

static void destroy(struct connection *connection)
{
    struct one *one = (struct one *)connection;

    accepted[one->number] = NULL;
    free(one);
}

static const struct front_calls calls = {
    .proceed = proceed, .timed_out = timed_out, .gone = gone, .destroy = destroy};

static int take(void *front, int fd, const union connection_peer *peer)
{
    struct one *one = calloc(1, sizeof *one);

    (void)front;
    ck_assert_ptr_nonnull(one);
    ck_assert_uint_lt(accepted_count, ROWS(accepted));
    one->number = accepted_count;
    accepted[accepted_count++] = one;
    return connection_open(&one->base, &home, &calls, fd, peer);
}

/* The loop turns until something has happened, which is looked up once a turn. */

static bool (*happened)(void);
static int64_t give_up_at;

static void look(struct loop_source *source)
{
    (void)source;
    ck_assert_msg(test_now_ms() < give_up_at, "waited in vain");
    if (happened())
        proxy_loop_stop(&loop);
}

static bool may_sleep(struct loop_source *source)
{
    (void)source;
    return false;
}

static void turn_until(bool (*event)(void))
{
    static struct loop_source source = {.drain = look, .may_sleep = may_sleep};

    happened = event;
    give_up_at = test_now_ms() + TEST_DEADLINE_MS;
    loop.stopped = false;
    loop_set_source(&loop, &source);
    proxy_loop_run(&loop);
}

static void begin(unsigned limit)
{
    struct connection_timeouts timeouts = {.header_s = 60, .idle_s = 60, .body_s = 60, .limit = limit};
    struct listen_address address;

    ck_assert_int_eq(proxy_loop_setup(&loop), 0);
    connection_home_setup(&home, &loop, NULL, &timeouts);
    ck_assert_int_eq(listen_address_parse("127.0.0.1:0", &address), 0);
    ck_assert_int_eq(listener_bind(&listener, &address), 0);
    ck_assert_int_eq(listener_open(&listener, &home, take, NULL), 0);
}

static void end(void)
{
    listener_close(&listener);
    connection_home_teardown(&home);
    proxy_loop_teardown(&loop);
}

/* The kernel completes the connection before it is accepted. */
static int client_connect(int receive_buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    ck_assert_int_eq(connect(fd, &listener.bound.address.any, listener.bound.size), 0);
    clients[client_count++] = fd;
    return fd;
}

static void client_send(int fd, const char *bytes, int flags)
{
    ck_assert_int_eq(send(fd, bytes, strlen(bytes), flags | MSG_NOSIGNAL), (ssize_t)strlen(bytes));
}

static void clients_close(void)
{
    while (client_count > 0)
        close(clients[--client_count]);
}

static bool all_are_accepted(void)
{
    return accepted_count == client_count;
}

static bool all_have_spoken(void)
{
    return received == client_count;
}

static bool has_spoken_once(void)
{
    return received == 1;
}

/* ---- who is answered when ---- */

/* All ask before the loop turns. */
START_TEST(answer_does_not_wait_for_the_others)
{
    begin(CLIENTS);
    for (int i = 0; i < 3; i++)
        client_connect(0);
    turn_until(all_are_accepted);
    for (int i = 0; i < 3; i++)
        client_send(clients[i], "o", 0);
    turn_until(all_have_spoken);
    ck_assert_uint_eq(have_answers, 2);
    clients_close();
    end();
}
END_TEST

static unsigned answered_of(int fd)
{
    char bytes[8];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

    return got > 0 ? (unsigned)got : 0;
}

static bool second_is_answered(void)
{
    return answered_of(clients[1]) > 0;
}

static bool first_is_answered(void)
{
    return answered_of(clients[0]) > 0;
}

START_TEST(what_is_held_leaves_with_what_follows)
{
    begin(CLIENTS);
    client_connect(0);
    client_connect(0);
    turn_until(all_are_accepted);
    client_send(clients[0], "h", 0);
    turn_until(has_spoken_once);
    client_send(clients[1], "r", 0);
    turn_until(second_is_answered);
    ck_assert_uint_eq(answered_of(clients[0]), 0);
    client_send(clients[0], "r", 0);
    turn_until(first_is_answered);
    ck_assert_uint_eq(answered_of(clients[0]), 2);
    clients_close();
    end();
}
END_TEST

/* ---- who is dropped ---- */

static char answers[CLIENTS];

static bool all_are_answered(void)
{
    bool all = true;

    for (unsigned i = 0; i < client_count; i++) {
        ssize_t got = answers[i] ? 0 : recv(clients[i], &answers[i], 1, MSG_DONTWAIT);

        ck_assert_msg(answers[i] || (got < 0 && errno == EAGAIN), "client %u lost its answer", i);
        all = all && answers[i];
    }
    return all;
}

/* Ten times as many as there is room for, all at once: each gets its answer. */
START_TEST(burst_is_answered)
{
    begin(CLIENTS / 10);
    for (int i = 0; i < CLIENTS; i++)
        client_send(client_connect(0), "r", 0);
    turn_until(all_are_answered);
    clients_close();
    end();
}
END_TEST

START_TEST(only_the_idle_are_dropped)
{
    begin(CLIENTS);
    client_connect(0);
    turn_until(all_are_accepted);
    ck_assert(!connection_home_drop_idle(&home)); /* it has not said anything yet */
    client_send(clients[0], "r", 0);
    client_send(client_connect(4096), "l", 0);
    turn_until(all_have_spoken);
    ck_assert_uint_gt(accepted[1]->base.output.bytes, 0);
    ck_assert(connection_home_drop_idle(&home));
    ck_assert_int_eq(accepted[0]->base.state, CONNECTION_CLOSED);
    ck_assert(!connection_home_drop_idle(&home)); /* the other one still reads its answer */
    clients_close();
    end();
}
END_TEST

#define SILENT 1000 /* ms */

/* Who says nothing at all keeps no place for ever, however many there are. */
START_TEST(the_silent_make_way)
{
    begin(CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        client_connect(0);
    turn_until(all_are_accepted);
    ck_assert(!connection_home_drop_idle(&home));
    loop.now_ms += SILENT / 2;
    ck_assert(!connection_home_drop_idle(&home));
    loop.now_ms += SILENT;
    for (int i = 0; i < CLIENTS; i++)
        ck_assert(connection_home_drop_idle(&home));
    ck_assert(!connection_home_drop_idle(&home));
    clients_close();
    end();
}
END_TEST

/* Nor is one whose next request nobody has read yet. */
START_TEST(who_has_asked_is_not_idle)
{
    begin(CLIENTS);
    client_send(client_connect(0), "r", 0);
    turn_until(all_have_spoken);
    client_send(clients[0], "r", 0);
    ck_assert(!connection_home_drop_idle(&home));
    received = 0;
    turn_until(all_have_spoken);
    ck_assert(connection_home_drop_idle(&home));
    ck_assert_int_eq(accepted[0]->base.state, CONNECTION_CLOSED);
    clients_close();
    end();
}
END_TEST

static size_t taken;

static bool all_is_taken(void)
{
    static char bytes[256 * 1024];
    ssize_t got;

    while ((got = recv(clients[0], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        taken += (size_t)got;
    ck_assert(got < 0 && errno == EAGAIN);
    return taken == LARGE && accepted[0]->base.output.bytes == 0;
}

/* The one that waits longest is passed over as long as it reads. */
START_TEST(search_for_the_idle_goes_on)
{
    begin(CLIENTS);
    client_send(client_connect(4096), "l", 0);
    turn_until(all_have_spoken);
    client_send(client_connect(0), "r", 0);
    turn_until(all_have_spoken);
    ck_assert(connection_home_drop_idle(&home));
    ck_assert_int_eq(accepted[0]->base.state, CONNECTION_OPEN);
    ck_assert_int_eq(accepted[1]->base.state, CONNECTION_CLOSED);
    turn_until(all_is_taken);
    ck_assert(connection_home_drop_idle(&home));
    clients_close();
    end();
}
END_TEST

/* ---- the end ---- */

static char half[5];
static ssize_t last_read;

static bool client_knows_the_end(void)
{
    size_t have = strlen(half);

    last_read = recv(clients[0], half + have, sizeof half - have, MSG_DONTWAIT);
    return last_read == 0 || (last_read < 0 && errno != EAGAIN);
}

static const struct {
    const char *request;
    bool by_close;
    int last; /* what the client's last read says: 0, or an errno */
} ends[] = {
    {"f", false, 0},
    {"b", false, 0}, /* chunks or length tell */
    {"f", true, 0},
    {"b", true, ECONNRESET},
};

START_TEST(broken_body_does_not_look_whole)
{
    begin(CLIENTS);
    ends_by_close = ends[_i].by_close;
    client_send(client_connect(0), ends[_i].request, 0);
    turn_until(client_knows_the_end);
    ck_assert_int_eq(last_read < 0 ? errno : 0, ends[_i].last);
    ck_assert_str_eq(half, "half");
    clients_close();
    end();
}
END_TEST

/* A proxy that ends, or gives a client up, in the middle of such a body resets the connection, too. */
START_TEST(body_cut_off_by_a_close_does_not_look_whole)
{
    begin(CLIENTS);
    client_send(client_connect(0), "x", 0);
    turn_until(all_have_spoken);
    accepted[0]->base.close_ends_body = true;
    end();
    last_read = recv(clients[0], half, sizeof half, MSG_DONTWAIT);
    ck_assert(last_read < 0 && errno == ECONNRESET);
    clients_close();
}
END_TEST

static int unread(void)
{
    int bytes = 0;

    ck_assert_int_eq(ioctl(accepted[0]->base.watch.fd, FIONREAD, &bytes), 0);
    return bytes;
}

static bool lingers(void)
{
    return accepted[0] && accepted[0]->base.state == CONNECTION_LINGERING;
}

static bool all_is_dropped(void)
{
    return unread() == 0;
}

/* Who goes on sending after the end keeps the loop from nobody else. */
START_TEST(dropping_input_is_bounded)
{
    static char flood[128 * 1024];

    begin(CLIENTS);
    client_connect(0);
    turn_until(all_are_accepted);
    accepted[0]->base.input_size = 16; /* many reads for few bytes */
    memset(flood, 'f', sizeof flood - 1);
    client_send(clients[0], flood, 0);
    turn_until(lingers);
    ck_assert_int_gt(unread(), 0); /* others had a turn meanwhile */
    turn_until(all_is_dropped);
    clients_close();
    end();
}
END_TEST

/* ---- sending what stands in a file ---- */

/* Calls that end early although there is room: as by a signal, or by being frozen. */
static bool cut_short;

static size_t cut(size_t size)
{
    size_t less = cut_short ? size / 2 : size;

    cut_short = false;
    return less;
}

ssize_t __real_sendfile(int to, int from, off_t *offset, size_t size);
ssize_t __wrap_sendfile(int to, int from, off_t *offset, size_t size);

ssize_t __wrap_sendfile(int to, int from, off_t *offset, size_t size)
{
    return __real_sendfile(to, from, offset, cut(size));
}

ssize_t __real_splice(int from, off_t *out_of, int to, off_t *into, size_t size, unsigned flags);
ssize_t __wrap_splice(int from, off_t *out_of, int to, off_t *into, size_t size, unsigned flags);

ssize_t __wrap_splice(int from, off_t *out_of, int to, off_t *into, size_t size, unsigned flags)
{
    return __real_splice(from, out_of, to, into, cut(size), flags);
}

static size_t read_so_far;

/* A little at a time, so that sends stop short everywhere. */
static bool whole_is_read(void)
{
    static uint8_t bytes[40000];
    ssize_t got = recv(clients[0], bytes, sizeof bytes, MSG_DONTWAIT);

    ck_assert(got > 0 || (got < 0 && errno == EAGAIN));
    if (got > 0) {
        ck_assert_msg(is_pattern(bytes, 1, read_so_far, (size_t)got), "wrong bytes at %zu", read_so_far);
        read_so_far += (size_t)got;
    }
    return read_so_far == WHOLE;
}

START_TEST(call_that_ends_early_is_made_again)
{
    begin(CLIENTS);
    make_file(_i & 1);
    cut_short = true;
    client_send(client_connect(0), "s", 0);
    turn_until(whole_is_read);
    ck_assert(!cut_short);
    clients_close();
    remove_file();
    end();
}
END_TEST

static size_t in_pipe;

static bool what_was_in_the_pipe_is_read(void)
{
    static uint8_t bytes[40000];
    size_t left = in_pipe - read_so_far;
    ssize_t got = recv(clients[0], bytes, left < sizeof bytes ? left : sizeof bytes, MSG_DONTWAIT);

    ck_assert(got > 0 || (got < 0 && errno == EAGAIN));
    if (got > 0) {
        ck_assert_msg(is_pattern(bytes, 1, read_so_far, (size_t)got), "wrong bytes at %zu", read_so_far);
        read_so_far += (size_t)got;
    }
    return read_so_far == in_pipe;
}

static bool connection_is_lost(void)
{
    return !accepted[0];
}

/* By sendfile(2) or by pipes, to a client that takes little at a time or much. */
START_TEST(file_is_sent_in_order)
{
    begin(CLIENTS);
    make_file(_i & 1);
    client_send(client_connect(_i & 2 ? 4096 : 0), "s", 0);
    turn_until(whole_is_read);
    ck_assert_uint_ge(shared.lent, PIECES);
    ck_assert_uint_eq(accepted[0]->base.output.bytes, 0);
    ck_assert_ptr_null(accepted[0]->base.pipe);
    ck_assert_uint_eq(home.pipes.count, _i & 1);
    ck_assert_uint_eq(home.pipes.idle_count, _i & 1);
    clients_close();
    remove_file();
    end();
}
END_TEST

/* A client that does not read keeps the last pipe there is only as long as its socket takes something. */
START_TEST(full_socket_gives_a_scarce_pipe_up)
{
    begin(CLIENTS);
    make_file(true);
    home.pipes.count = PAGE_PIPES_MAX - 1;
    client_send(client_connect(4096), "s", 0);
    turn_until(all_have_spoken);
    ck_assert_uint_gt(accepted[0]->base.output.bytes, 0);
    ck_assert_ptr_null(accepted[0]->base.pipe);
    ck_assert_uint_eq(home.pipes.count, PAGE_PIPES_MAX - 1);
    turn_until(whole_is_read);
    ck_assert_uint_eq(accepted[0]->base.output.bytes, 0);
    ck_assert_uint_eq(home.pipes.count, PAGE_PIPES_MAX - 1 + home.pipes.idle_count);
    home.pipes.count = home.pipes.idle_count;
    clients_close();
    remove_file();
    end();
}
END_TEST

static bool there_is_no_pipe(void)
{
    return home.pipes.count == 0;
}

/* It keeps descriptors only while they are of use. */
START_TEST(unused_pipes_are_closed)
{
    begin(CLIENTS);
    make_file(true);
    client_send(client_connect(0), "s", 0);
    turn_until(whole_is_read);
    ck_assert_uint_eq(home.pipes.count, 1);
    turn_until(there_is_no_pipe);
    read_so_far = 0;
    client_send(clients[0], "s", 0);
    turn_until(whole_is_read);
    ck_assert_uint_eq(home.pipes.count, 1);
    clients_close();
    remove_file();
    end();
}
END_TEST

/* What has left is what stood there when it left, as long as nobody writes to pages that are lent. */
START_TEST(pages_in_a_pipe_may_be_replaced)
{
    begin(CLIENTS);
    make_file(true);
    client_send(client_connect(4096), "s", 0);
    turn_until(all_have_spoken);
    ck_assert_ptr_nonnull(accepted[0]->base.pipe);
    ck_assert_uint_gt(accepted[0]->base.pipe->filled, 0);
    in_pipe = WHOLE - accepted[0]->base.output.bytes + accepted[0]->base.pipe->filled;
    ck_assert_int_eq(fallocate(shared.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, FILE_SIZE), 0);
    turn_until(what_was_in_the_pipe_is_read);
    clients_close();
    turn_until(connection_is_lost);
    remove_file();
    end();
}
END_TEST

/* sendfile(2) reads from no directory: what the kernel will not send so is copied out of the segment. */
START_TEST(what_is_no_file_is_copied)
{
    begin(CLIENTS);
    make_file(false);
    close(shared.fd);
    shared.fd = open("/", O_RDONLY | O_CLOEXEC);
    client_send(client_connect(0), "s", 0);
    turn_until(whole_is_read);
    ck_assert_uint_eq(shared.lent, 0);
    clients_close();
    remove_file();
    end();
}
END_TEST

/* A file that has shrunk gives no bytes, and its segment none that could be touched. */
START_TEST(file_without_bytes_ends_the_connection)
{
    begin(CLIENTS);
    make_file(_i & 1);
    ck_assert_int_eq(ftruncate(shared.fd, FILE_OFFSET), 0);
    client_send(client_connect(0), "s", 0);
    turn_until(connection_is_lost);
    ck_assert_int_eq(home.pipes.refused, !(_i & 1));
    remove_file();
    end();
    clients_close();
}
END_TEST

START_TEST(client_that_leaves_gives_the_file_back)
{
    begin(CLIENTS);
    make_file(_i & 1);
    client_send(client_connect(4096), "s", 0);
    turn_until(all_have_spoken);
    ck_assert_uint_gt(shared.references, 0);
    clients_close();
    turn_until(connection_is_lost);
    ck_assert_uint_eq(home.pipes.count, 0);
    remove_file();
    end();
}
END_TEST

static void use_up_descriptors(rlim_t *before)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    *before = limit.rlim_cur;
    limit.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* No descriptors, or all pipes are taken: there is sendfile(2). */
START_TEST(without_a_pipe_it_is_sent_as_a_file)
{
    struct rlimit limit;
    rlim_t before;

    begin(CLIENTS);
    make_file(true);
    client_connect(0);
    turn_until(all_are_accepted);
    use_up_descriptors(&before);
    if (_i == 0)
        home.pipes.count = PAGE_PIPES_MAX;
    client_send(clients[0], "s", 0);
    turn_until(whole_is_read);
    ck_assert_uint_eq(home.pipes.count, _i == 0 ? PAGE_PIPES_MAX : 0);
    home.pipes.count = 0;
    ck_assert(!home.pipes.refused);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    clients_close();
    remove_file();
    end();
}
END_TEST

/* ---- reading ---- */

static bool seven_have_arrived(void)
{
    return received == 7;
}

/* A read stops at urgent data (tcp(7)), which announces what is behind it only once. */
START_TEST(urgent_data_stalls_nobody)
{
    begin(CLIENTS);
    client_connect(0);
    client_send(clients[0], "123", 0);
    client_send(clients[0], "4", MSG_OOB);
    client_send(clients[0], "567", 0);
    turn_until(seven_have_arrived);
    received = 0;
    client_send(clients[0], "1", MSG_OOB);
    client_send(clients[0], "23456", MSG_OOB);
    client_send(clients[0], "7", 0);
    turn_until(seven_have_arrived);
    clients_close();
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, answer_does_not_wait_for_the_others);
    tcase_add_test(tcase, what_is_held_leaves_with_what_follows);
    tcase_add_test(tcase, burst_is_answered);
    tcase_add_test(tcase, only_the_idle_are_dropped);
    tcase_add_test(tcase, the_silent_make_way);
    tcase_add_test(tcase, who_has_asked_is_not_idle);
    tcase_add_test(tcase, search_for_the_idle_goes_on);
    ADD_ROWS(tcase, broken_body_does_not_look_whole, ends);
    tcase_add_loop_test(tcase, file_is_sent_in_order, 0, 4);
    tcase_add_loop_test(tcase, call_that_ends_early_is_made_again, 0, 2);
    tcase_add_test(tcase, full_socket_gives_a_scarce_pipe_up);
    tcase_add_test(tcase, unused_pipes_are_closed);
    tcase_add_test(tcase, pages_in_a_pipe_may_be_replaced);
    tcase_add_loop_test(tcase, without_a_pipe_it_is_sent_as_a_file, 0, 2);
    tcase_add_test(tcase, what_is_no_file_is_copied);
    tcase_add_loop_test(tcase, file_without_bytes_ends_the_connection, 0, 2);
    tcase_add_loop_test(tcase, client_that_leaves_gives_the_file_back, 0, 2);
    tcase_add_test(tcase, body_cut_off_by_a_close_does_not_look_whole);
    tcase_add_test(tcase, dropping_input_is_bounded);
    tcase_add_test(tcase, urgent_data_stalls_nobody);
}

int main(void)
{
    return run_suite("connection", add_cases);
}
