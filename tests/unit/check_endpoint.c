/* endpoint: a peer's own objects, its view of the command queue, and what a sweep removes.
 *
 * The sweep's age limit compares time(2) with st_ctime, which nobody can set; so this program brings its own
 * time(), which can run ahead. */
#include "endpoint.h"

#include "check_unit.h"
#include "identity.h"
#include "log.h"
#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static time_t ahead;

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += ahead;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

#define OLD 6 /* seconds: more than the age below which a sweep leaves a name alone */

static const struct pool_shape shape = {.segments = 4, .segment_bytes = 4096, .ring_entries = 16};

static char instance[TEST_INSTANCE_BYTES];
static struct test_footprint before;

static void begin(void)
{
    test_instance_name(instance, "endpoint");
    before = test_footprint(instance);
}

static bool queue_exists(const char *name)
{
    mqd_t queue = mq_open(name, O_WRONLY | O_NONBLOCK);

    if (queue == (mqd_t)-1)
        return false;
    mq_close(queue);
    return true;
}

static bool pool_exists(const char *name)
{
    char path[NAMES_BYTES + 16];
    struct stat status;

    snprintf(path, sizeof(path), "/dev/shm%s", name);
    return lstat(path, &status) == 0;
}

static void end(void)
{
    char name[NAMES_BYTES];

    names_command_queue(name, instance);
    ck_assert(!queue_exists(name));
    ck_assert(test_nothing_left(instance, &before));
}

static void create(struct endpoint *endpoint)
{
    ck_assert_msg(endpoint_create(endpoint, instance, &shape) == 0, "%s", endpoint->problem);
}

/* ---- a peer's own objects ----------------------------------------------------------------------------- */

START_TEST(endpoint_comes_and_goes)
{
    struct endpoint endpoint;

    begin();
    create(&endpoint);
    ck_assert(queue_exists(endpoint.name) && pool_exists(endpoint.name));
    ck_assert_uint_ne(endpoint.token, 0);
    ck_assert_uint_ne(endpoint.secret, 0);
    ck_assert_int_eq(endpoint.command, (mqd_t)-1);
    ck_assert(!endpoint_cache_lives(&endpoint));
    ck_assert(identity_is_private(endpoint.reply, geteuid()));
    endpoint_destroy(&endpoint);
    ck_assert(!queue_exists(endpoint.name) && !pool_exists(endpoint.name));
    end();
}
END_TEST

START_TEST(no_two_are_alike)
{
    struct endpoint endpoints[8];

    begin();
    for (int i = 0; i < 8; i++)
        create(&endpoints[i]);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < i; j++) {
            ck_assert_uint_ne(endpoints[i].token, endpoints[j].token);
            ck_assert_uint_ne(endpoints[i].secret, endpoints[j].secret);
        }
    }
    for (int i = 0; i < 8; i++)
        endpoint_destroy(&endpoints[(i * 3) % 8]);
    end();
}
END_TEST

START_TEST(retired_endpoint_keeps_its_pool_mapped)
{
    struct endpoint endpoint;

    begin();
    create(&endpoint);
    fill_pattern(segment_payload(&endpoint.pool, 3), 1, 0, shape.segment_bytes);
    endpoint_retire(&endpoint);
    ck_assert(!queue_exists(endpoint.name) && !pool_exists(endpoint.name));
    ck_assert(is_pattern(segment_payload(&endpoint.pool, 3), 1, 0, shape.segment_bytes));
    segment_pool_destroy(&endpoint.pool);
    end();
}
END_TEST

START_TEST(bad_shape_leaves_nothing)
{
    const struct pool_shape bad = {.segments = 4, .segment_bytes = 100, .ring_entries = 16};
    struct endpoint endpoint;

    begin();
    ck_assert_int_eq(endpoint_create(&endpoint, instance, &bad), -EINVAL);
    ck_assert_str_ne(endpoint.problem, "");
    end();
}
END_TEST

/* Takes all descriptors but `spare`; returns how many were taken, in `taken`. */
static int take_descriptors(int taken[], int most, int spare)
{
    int count = 0, fd;

    while (count < most && (fd = dup(STDERR_FILENO)) >= 0)
        taken[count++] = fd;
    ck_assert_int_eq(errno, EMFILE);
    for (; spare > 0 && count > 0; spare--)
        close(taken[--count]);
    return count;
}

/* Out of descriptors at every step: an error and a text, and nothing is left. */
START_TEST(no_descriptors_leaves_nothing)
{
    struct rlimit limit, few;
    struct endpoint endpoint;
    int taken[256];

    if (left_out(__func__, "valgrind refuses the descriptor of a queue after the kernel has made it"))
        return;
    begin();
    getrlimit(RLIMIT_NOFILE, &limit);
    few = limit;
    few.rlim_cur = 128;
    for (int spare = 0; spare < 2; spare++) {
        setrlimit(RLIMIT_NOFILE, &few);
        int count = take_descriptors(taken, 256, spare);
        int error = endpoint_create(&endpoint, instance, &shape);
        while (count > 0)
            close(taken[--count]);
        setrlimit(RLIMIT_NOFILE, &limit);
        ck_assert_int_eq(error, -EMFILE);
        ck_assert_str_ne(endpoint.problem, "");
        ck_assert(!queue_exists(endpoint.name) && !pool_exists(endpoint.name));
    }
    end();
}
END_TEST

/* ---- reaching the cache ------------------------------------------------------------------------------- */

struct fake_cache {
    struct test_gate ready, done;
    pid_t pid;
};

static _Noreturn void be_cache(const struct fake_cache *cache, bool locked)
{
    struct test_gate ready = cache->ready;
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, instance);
    if (mq_create_exclusive(&queue, name, MQ_COMMAND_DEPTH) || (locked && identity_lock(queue)))
        _exit(1);
    test_gate_open(&ready);
    test_gate_pass(&cache->done, 60000);
    _exit(0);
}

static void start_cache(struct fake_cache *cache, bool locked)
{
    test_gate_create(&cache->ready);
    test_gate_create(&cache->done);
    cache->pid = fork();
    ck_assert_int_ge(cache->pid, 0);
    if (cache->pid == 0)
        be_cache(cache, locked);
    ck_assert(test_gate_pass(&cache->ready, TEST_DEADLINE_MS));
}

static void kill_cache(struct fake_cache *cache)
{
    kill(cache->pid, SIGKILL);
    ck_assert_int_eq(waitpid(cache->pid, NULL, 0), cache->pid);
    test_gate_destroy(&cache->ready);
    test_gate_destroy(&cache->done);
}

static void unlink_command_queue(void)
{
    char name[NAMES_BYTES];

    names_command_queue(name, instance);
    ck_assert_int_eq(mq_unlink(name), 0);
}

START_TEST(no_queue_is_no_cache)
{
    struct endpoint endpoint;

    begin();
    create(&endpoint);
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_NO_CACHE);
    ck_assert_ptr_nonnull(strstr(endpoint.problem, instance));
    ck_assert_int_eq(endpoint.command, (mqd_t)-1);
    endpoint_destroy(&endpoint);
    end();
}
END_TEST

START_TEST(living_cache_is_reached_and_its_death_seen)
{
    struct endpoint endpoint;
    struct fake_cache cache;

    if (left_out_without_pidfd(__func__))
        return;
    begin();
    start_cache(&cache, true);
    create(&endpoint);
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_REACHED);
    ck_assert_str_eq(endpoint.problem, "");
    ck_assert_int_eq(endpoint.cache_pid, cache.pid);
    ck_assert(endpoint_cache_lives(&endpoint));

    struct pollfd wait = {.fd = endpoint.cache_pidfd, .events = POLLIN};
    ck_assert_int_eq(poll(&wait, 1, 0), 0);
    kill_cache(&cache);
    ck_assert_int_eq(poll(&wait, 1, TEST_DEADLINE_MS), 1);
    ck_assert(!endpoint_cache_lives(&endpoint));
    endpoint_unreach(&endpoint);
    ck_assert(!endpoint_cache_lives(&endpoint));
    /* Its queue is still there, but nobody holds it. */
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_NO_CACHE);
    ck_assert_ptr_nonnull(strstr(endpoint.problem, "dead"));
    ck_assert_int_eq(endpoint.command, (mqd_t)-1);
    ck_assert_int_eq(endpoint.cache_pidfd, -1);
    unlink_command_queue();
    endpoint_destroy(&endpoint);
    end();
}
END_TEST

START_TEST(unlocked_queue_is_no_cache)
{
    struct endpoint endpoint;
    struct fake_cache cache;

    begin();
    start_cache(&cache, false);
    create(&endpoint);
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_NO_CACHE);
    kill_cache(&cache);
    unlink_command_queue();
    endpoint_destroy(&endpoint);
    end();
}
END_TEST

START_TEST(queue_of_a_stranger_is_not_trusted)
{
    struct endpoint endpoint;
    struct fake_cache cache;
    char name[NAMES_BYTES];

    if (geteuid() != 0)
        return; /* only root can give a queue away */
    begin();
    start_cache(&cache, true);
    names_command_queue(name, instance);
    mqd_t queue = mq_open(name, O_WRONLY);
    ck_assert_int_eq(fchown(queue, 65534, (gid_t)-1), 0);
    mq_close(queue);
    create(&endpoint);
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_UNTRUSTED);
    ck_assert_ptr_nonnull(strstr(endpoint.problem, "65534"));
    ck_assert_int_eq(endpoint.command, (mqd_t)-1);
    kill_cache(&cache);
    unlink_command_queue();
    endpoint_destroy(&endpoint);
    end();
}
END_TEST

START_TEST(hello_and_bye_say_who_and_what)
{
    union wire_message message;
    struct endpoint endpoint;
    struct fake_cache cache;
    char name[NAMES_BYTES];
    mqd_t queue;

    if (left_out_without_pidfd(__func__))
        return;
    begin();
    start_cache(&cache, true);
    create(&endpoint);
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_REACHED);
    ck_assert_int_eq(endpoint_hello(&endpoint, WIRE_ROLE_ADMIN, "news", 0), 0);
    ck_assert_int_eq(endpoint_bye(&endpoint, 77), 0);
    names_command_queue(name, instance);
    ck_assert_int_eq(mq_open_existing(&queue, name, O_RDONLY), 0);

    int length = mq_receive_message(queue, &message);
    ck_assert_int_eq(wire_decode(&message, (size_t)length), WIRE_DECODED);
    ck_assert_uint_eq(message.header.type, WIRE_HELLO);
    ck_assert_uint_eq(message.header.token, endpoint.token);
    ck_assert_uint_eq(message.wire_hello.secret, endpoint.secret);
    ck_assert_uint_eq(message.wire_hello.role, WIRE_ROLE_ADMIN);
    ck_assert_uint_eq(message.wire_hello.segments, shape.segments);
    ck_assert_uint_eq(message.wire_hello.segment_bytes, shape.segment_bytes);
    ck_assert_uint_eq(message.wire_hello.ring_entries, shape.ring_entries);
    ck_assert_str_eq(message.wire_hello.tenant, "news");

    length = mq_receive_message(queue, &message);
    ck_assert_int_eq(wire_decode(&message, (size_t)length), WIRE_DECODED);
    ck_assert_uint_eq(message.header.type, WIRE_BYE);
    ck_assert_uint_eq(message.wire_bye.registration, 77);
    ck_assert_uint_eq(message.wire_bye.secret, endpoint.secret);
    ck_assert_int_eq(mq_receive_message(queue, &message), -EAGAIN);
    mq_close(queue);
    kill_cache(&cache);
    unlink_command_queue();
    endpoint_destroy(&endpoint);
    end();
}
END_TEST

START_TEST(full_command_queue_does_not_block)
{
    struct endpoint endpoint;
    struct fake_cache cache;

    if (left_out_without_pidfd(__func__))
        return;
    begin();
    start_cache(&cache, true);
    create(&endpoint);
    ck_assert_int_eq(endpoint_reach(&endpoint), ENDPOINT_REACHED);
    for (int i = 0; i < MQ_COMMAND_DEPTH; i++)
        ck_assert_int_eq(endpoint_hello(&endpoint, WIRE_ROLE_PROXY, "news", 0), 0);
    ck_assert_int_eq(endpoint_hello(&endpoint, WIRE_ROLE_PROXY, "news", 0), -EAGAIN);
    ck_assert_int_eq(endpoint_bye(&endpoint, 1), -EAGAIN);
    kill_cache(&cache);
    unlink_command_queue();
    endpoint_destroy(&endpoint);
    end();
}
END_TEST

/* ---- sweeping ----------------------------------------------------------------------------------------- */

/* A peer in another process; its token is known here. */
struct peer {
    pid_t pid;
    uint64_t *token; /* shared with the child */
    struct test_gate ready;
    char name[NAMES_BYTES];
};

static void start_peer(struct peer *peer)
{
    peer->token = mmap(NULL, sizeof(*peer->token), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_gate_create(&peer->ready);
    peer->pid = fork();
    ck_assert_int_ge(peer->pid, 0);
    if (peer->pid == 0) {
        struct endpoint endpoint;

        if (endpoint_create(&endpoint, instance, &shape))
            _exit(1);
        *peer->token = endpoint.token;
        test_gate_open(&peer->ready);
        for (;;)
            pause();
    }
    ck_assert(test_gate_pass(&peer->ready, TEST_DEADLINE_MS));
    names_peer(peer->name, instance, *peer->token);
    munmap(peer->token, sizeof(*peer->token));
    test_gate_destroy(&peer->ready);
}

static void kill_peer(const struct peer *peer)
{
    kill(peer->pid, SIGKILL);
    ck_assert_int_eq(waitpid(peer->pid, NULL, 0), peer->pid);
}

static bool is_there(const char *name)
{
    ck_assert_int_eq(queue_exists(name), pool_exists(name));
    return pool_exists(name);
}

START_TEST(only_the_dead_and_old_are_swept)
{
    struct peer living, dead;
    struct endpoint own;

    begin();
    create(&own);
    start_peer(&living);
    start_peer(&dead);
    kill_peer(&dead);

    ahead = 0; /* it may belong to a peer that has not yet locked it */
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 0);
    ck_assert(is_there(own.name) && is_there(living.name) && is_there(dead.name));
    ahead = OLD;
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 1);
    ck_assert(is_there(own.name) && is_there(living.name));
    ck_assert(!is_there(dead.name));
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 0);

    /* A sweep must not have dropped our own locks: another process still sees them. */
    kill_peer(&living);
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 1);
    ck_assert(is_there(own.name));
    endpoint_destroy(&own);
    end();
}
END_TEST

/* In a child: both objects are locked by the parent. */
static void check_locks(void *context)
{
    const struct endpoint *own = context;
    pid_t pool_holder = 0, queue_holder = 0;
    mqd_t queue;
    int pool = shm_open(own->name, O_RDWR, 0);

    if (pool < 0 || mq_open_existing(&queue, own->name, O_RDWR))
        _exit(1);
    identity_holder(pool, &pool_holder, NULL);
    identity_holder(queue, &queue_holder, NULL);
    _exit(pool_holder == getppid() && queue_holder == getppid() ? 0 : 2);
}

/* Closing any descriptor of an object drops the process's locks on it. */
START_TEST(own_locks_survive_own_sweep)
{
    struct endpoint own[2];

    begin();
    create(&own[0]);
    create(&own[1]);
    ck_assert_int_eq(status_of_child(check_locks, &own[0]), 0);
    ahead = OLD;
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(status_of_child(check_locks, &own[i]), 0);
        endpoint_destroy(&own[i]);
    }
    end();
}
END_TEST

START_TEST(other_instances_are_left_alone)
{
    struct peer dead;

    begin();
    start_peer(&dead);
    kill_peer(&dead);
    ahead = OLD;
    ck_assert_int_eq(endpoint_sweep("another", NULL, NULL), 0);
    char prefix[TEST_INSTANCE_BYTES];
    snprintf(prefix, sizeof(prefix), "%s", instance);
    prefix[strlen(prefix) - 1] = '\0';
    ck_assert_int_eq(endpoint_sweep(prefix, NULL, NULL), 0);
    ck_assert(is_there(dead.name));
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 1);
    end();
}
END_TEST

/* The pool's owner is dead, but a living process holds the queue of that name. */
START_TEST(queue_of_a_living_peer_is_left_alone)
{
    struct peer living;
    char path[NAMES_BYTES + 16];

    begin();
    start_peer(&living);
    ck_assert_int_eq(shm_unlink(living.name), 0);
    snprintf(path, sizeof(path), "/dev/shm%s", living.name);
    close(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
    ahead = OLD;
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 0);
    ck_assert(is_there(living.name));
    kill_peer(&living);
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 1);
    ck_assert(!is_there(living.name));
    end();
}
END_TEST

static void make_pool_file(const char *path)
{
    close(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
}

static void make_linked_file(const char *path)
{
    char other[NAMES_BYTES + 32];

    make_pool_file(path);
    snprintf(other, sizeof(other), "%s.link", path);
    ck_assert_int_eq(link(path, other), 0);
}

static void make_fifo(const char *path)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void make_directory(const char *path)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void make_symlink(const char *path)
{
    ck_assert_int_eq(symlink("/dev/null", path), 0);
}

static void make_strangers_file(const char *path)
{
    make_pool_file(path);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(path, 65534, (gid_t)-1), 0);
    else
        ck_assert_int_eq(unlink(path), 0);
}

static const struct {
    void (*make)(const char *);
    int swept;
} things[] = {
    {make_pool_file, 1}, {make_linked_file, 0}, {make_fifo, 0},
    {make_directory, 0}, {make_symlink, 0},     {make_strangers_file, 0},
};

START_TEST(what_is_no_pool_of_ours_is_left_alone)
{
    char name[NAMES_BYTES], path[NAMES_BYTES + 32];

    begin();
    names_peer(name, instance, 0xabcdef);
    snprintf(path, sizeof(path), "/dev/shm%s", name);
    things[_i].make(path);
    bool made = pool_exists(name);
    int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ck_assert_int_ge(events, 0);
    if (made)
        ck_assert_int_ge(inotify_add_watch(events, path, IN_OPEN | IN_DONT_FOLLOW), 0);
    ahead = OLD;
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), things[_i].swept);
    ck_assert_int_eq(pool_exists(name), made && !things[_i].swept);
    if (!things[_i].swept) { /* nor opened: closing it could take long */
        ck_assert_int_eq(read(events, (char[4096]){0}, 4096), -1);
        ck_assert_int_eq(errno, EAGAIN);
    }
    close(events);
    remove(path);
    snprintf(path, sizeof(path), "/dev/shm%s.link", name);
    remove(path);
    end();
}
END_TEST

/* However little time there is, a step looks at one name, and the next goes on behind it. */
START_TEST(steps_come_to_the_end)
{
    char name[NAMES_BYTES], path[NAMES_BYTES + 16];
    void *place = NULL;
    int swept = 0, steps = 0;

    begin();
    for (uint64_t token = 1; token <= 5; token++) {
        names_peer(name, instance, token);
        snprintf(path, sizeof(path), "/dev/shm%s", name);
        make_pool_file(path);
    }
    ahead = OLD;
    do {
        swept += endpoint_sweep_step(&place, 0, instance, NULL, NULL);
        steps++;
    } while (place);
    ck_assert_int_eq(swept, 5);
    ck_assert_int_ge(steps, 5);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, endpoint_comes_and_goes);
    tcase_add_test(tcase, no_two_are_alike);
    tcase_add_test(tcase, retired_endpoint_keeps_its_pool_mapped);
    tcase_add_test(tcase, bad_shape_leaves_nothing);
    tcase_add_test(tcase, no_descriptors_leaves_nothing);
    tcase_add_test(tcase, no_queue_is_no_cache);
    tcase_add_test(tcase, living_cache_is_reached_and_its_death_seen);
    tcase_add_test(tcase, unlocked_queue_is_no_cache);
    tcase_add_test(tcase, queue_of_a_stranger_is_not_trusted);
    tcase_add_test(tcase, hello_and_bye_say_who_and_what);
    tcase_add_test(tcase, full_command_queue_does_not_block);
    tcase_add_test(tcase, only_the_dead_and_old_are_swept);
    tcase_add_test(tcase, own_locks_survive_own_sweep);
    tcase_add_test(tcase, steps_come_to_the_end);
    tcase_add_test(tcase, other_instances_are_left_alone);
    tcase_add_test(tcase, queue_of_a_living_peer_is_left_alone);
    ADD_ROWS(tcase, what_is_no_pool_of_ours_is_left_alone, things);
}

int main(void)
{
    log_set_level("error");
    return run_suite("endpoint", add_cases);
}
