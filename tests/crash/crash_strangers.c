/* Queues and pools that are not what a proxy makes, and messages about those of somebody else: who sends them
 * is refused or served as it stands, nobody else notices, and the cache keeps nothing of it. */
#include "crash_support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE  (5u * PEER_SEGMENT_BYTES + 7)
#define NOBODY 65534

static struct story story;
static struct peer other; /* honest */
static struct liar liar;
static int descriptors; /* of the cache, with the honest one registered */

static void begin_with(const char *const arguments[])
{
    story_begin(&story, "strangers");
    story_start_cache(&story, arguments);
    peer_create(&other, &story, "news");
    peer_store(&other, "large", 1, LARGE);
    descriptors = story_least_descriptors(&story);
}

static void begin(void)
{
    begin_with(NULL);
}

/* `refused`: registrations; `dropped`: those that broke the protocol. */
static void end(uint64_t refused, uint64_t dropped)
{
    peer_is_undisturbed(&other);
    peer_check(&other, "large", 1, LARGE);
    peer_is_served(&other);
    story_is_settled(&story, 1);
    struct wire_row row = story_numbers(&story);
    ck_assert_uint_eq(row.values[COUNTER_registrations_refused], refused);
    ck_assert_uint_eq(row.values[COUNTER_proxies_dropped], dropped);
    ck_assert_uint_eq(row.values[COUNTER_faults_caught], 0);
    story_adds_up(&story);
    story_await_descriptors(&story, descriptors);
    peer_destroy(&other);
    story_end(&story);
}

static void path_of(char *path, size_t size, uint64_t token)
{
    char name[NAMES_BYTES];

    names_peer(name, story.instance, token);
    snprintf(path, size, "/dev/shm%s", name);
}

static void own_path(char *path, size_t size)
{
    path_of(path, size, liar.endpoint.token);
}

/* The secret of a pool that this user may read: at its beginning, behind the magic number. Read by a child,
 * because whoever closes a file loses its locks on it. */
static uint64_t secret_of(uint64_t token)
{
    char path[128];
    uint64_t secret = 0;
    int ends[2];

    path_of(path, sizeof(path), token);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool told = pread(fd, &secret, sizeof(secret), sizeof(uint64_t)) == sizeof(secret) &&
                    write(ends[1], &secret, sizeof(secret)) == sizeof(secret);
        _exit(!told);
    }
    ck_assert_int_eq(end_child(pid, 0), 0);
    ck_assert_int_eq(read(ends[0], &secret, sizeof(secret)), sizeof(secret));
    close(ends[0]);
    close(ends[1]);
    return secret;
}

/* ---- objects of another kind -------------------------------------------------------------------------- */

static const struct pool_shape others_shape = {
    .segments = PEER_SEGMENTS, .segment_bytes = PEER_SEGMENT_BYTES, .ring_entries = 64};

/* The name of the pool stands for something else; all that HELLO says fits the honest one's pool. */
static void replace_pool(struct wire_hello *hello, char *path, size_t size, char *target, size_t target_size)
{
    uint64_t token = liar_finds_token(&liar, &story);

    own_path(path, size);
    path_of(target, target_size, token);
    ck_assert_int_eq(shm_unlink(liar.endpoint.name), 0);
    hello->secret = secret_of(token);
    hello->segments = others_shape.segments;
    hello->segment_bytes = others_shape.segment_bytes;
    hello->ring_entries = others_shape.ring_entries;
}

static void pool_is_a_fifo(struct wire_hello *hello)
{
    char path[128], target[128];

    replace_pool(hello, path, sizeof(path), target, sizeof(target));
    ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void pool_is_a_directory(struct wire_hello *hello)
{
    char path[128], target[128];

    replace_pool(hello, path, sizeof(path), target, sizeof(target));
    ck_assert_int_eq(mkdir(path, 0600), 0);
}

static void pool_is_a_symbolic_link(struct wire_hello *hello)
{
    char path[128], target[128];

    replace_pool(hello, path, sizeof(path), target, sizeof(target));
    ck_assert_int_eq(symlink(target, path), 0);
}

static void pool_is_a_hard_link(struct wire_hello *hello)
{
    char path[128], target[128];

    replace_pool(hello, path, sizeof(path), target, sizeof(target));
    ck_assert_int_eq(link(target, path), 0);
}

static void pool_is_a_device(struct wire_hello *hello)
{
    char path[128], target[128];

    replace_pool(hello, path, sizeof(path), target, sizeof(target));
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
}

/* ---- objects of another size or owner ----------------------------------------------------------------- */

static off_t bytes_of_pool(void)
{
    return (off_t)liar.endpoint.pool.bytes;
}

static void pool_is_a_page_short(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, bytes_of_pool() - 4096), 0);
}

static void pool_is_a_byte_short(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, bytes_of_pool() - 1), 0);
}

static void pool_is_empty(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, 0), 0);
}

static void pool_is_sparse(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, 0), 0);
    ck_assert_int_eq(ftruncate(liar.endpoint.pool.fd, bytes_of_pool()), 0);
}

/* As many pages as it should have, but one of them behind the end. */
static void pool_has_its_pages_elsewhere(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(fallocate(liar.endpoint.pool.fd, FALLOC_FL_KEEP_SIZE, bytes_of_pool(), 4096), 0);
    ck_assert_int_eq(fallocate(liar.endpoint.pool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096),
                     0);
}

static void pool_is_a_page_longer(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(posix_fallocate(liar.endpoint.pool.fd, bytes_of_pool(), 4096), 0);
}

static void pool_of_another_owner(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(fchown(liar.endpoint.pool.fd, NOBODY, NOBODY), 0);
}

static void queue_of_another_owner(struct wire_hello *hello)
{
    (void)hello;
    ck_assert_int_eq(fchown(liar.endpoint.reply, NOBODY, NOBODY), 0);
}

static void both_of_another_owner(struct wire_hello *hello)
{
    pool_of_another_owner(hello);
    queue_of_another_owner(hello);
}

/* Locked, but by a description, which belongs to no process: nobody could be charged for what it does. */
static void lock_by_description(int fd)
{
    struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    ck_assert_int_eq(fcntl(fd, F_SETLK, &none), 0);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

static void queue_is_locked_by_a_description(struct wire_hello *hello)
{
    (void)hello;
    lock_by_description(liar.endpoint.reply);
}

static void pool_is_locked_by_a_description(struct wire_hello *hello)
{
    (void)hello;
    lock_by_description(liar.endpoint.pool.fd);
}

static const struct {
    void (*spoil)(struct wire_hello *);
    enum wire_refusal reason; /* WIRE_REFUSAL_NONE: nobody can be answered */
    enum { ANYBODY, AS_ROOT, AS_ROOT_WITH_CAPABILITIES } who;
} objects[] = {
    {pool_is_a_fifo, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_directory, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_symbolic_link, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_hard_link, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_device, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_page_short, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_byte_short, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_empty, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_sparse, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_is_a_page_longer, WIRE_REFUSAL_POOL, ANYBODY},
    {queue_is_locked_by_a_description, WIRE_REFUSAL_UNLOCKED, ANYBODY},
    {pool_is_locked_by_a_description, WIRE_REFUSAL_POOL, ANYBODY},
    {pool_of_another_owner, WIRE_REFUSAL_POOL, AS_ROOT},
    {queue_of_another_owner, WIRE_REFUSAL_NONE, AS_ROOT},
    {both_of_another_owner, WIRE_REFUSAL_NONE, AS_ROOT},
    /* A cache that may open them has to look at their owner. */
    {pool_of_another_owner, WIRE_REFUSAL_POOL, AS_ROOT_WITH_CAPABILITIES},
    {queue_of_another_owner, WIRE_REFUSAL_NONE, AS_ROOT_WITH_CAPABILITIES},
    {both_of_another_owner, WIRE_REFUSAL_NONE, AS_ROOT_WITH_CAPABILITIES},
};

static const char *const with_capabilities[] = {"--no-sandbox", NULL};

START_TEST(object_that_is_no_proxys_is_refused)
{
    union wire_message message;
    char path[128];

    if (objects[_i].who != ANYBODY && geteuid() != 0) {
        fprintf(stderr, "SKIP: only root may give a pool or a queue to another user\n");
        return;
    }
    begin_with(objects[_i].who == AS_ROOT_WITH_CAPABILITIES ? with_capabilities : NULL);
    liar_appear(&liar, &story);
    size_t length = liar_hello(&liar, "news", &message);
    objects[_i].spoil(&message.wire_hello);
    liar_send(&liar, &message, length);
    if (objects[_i].reason != WIRE_REFUSAL_NONE)
        liar_expect_refusal(&liar, WIRE_HELLO, objects[_i].reason);
    story_await_counter(&story, COUNTER_registrations_refused, 1);
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1);
    own_path(path, sizeof(path));
    liar_end(&liar, false);
    if (rmdir(path) < 0) /* the one that is a directory */
        ck_assert_int_eq(errno, ENOENT);
    end(1, 0);
}
END_TEST

/* Counted pages do not tell where they are: it is let in, reads zeroes where it has no page, and that is all.
 */
START_TEST(pool_with_a_hole_is_served_as_it_stands)
{
    begin();
    liar_appear(&liar, &story);
    pool_has_its_pages_elsewhere(NULL);
    liar_say_hello(&liar, "news");
    liar_look_up(&liar, 1, "large", 0, WIRE_STATUS_HIT);
    liar_end(&liar, true);
    end(0, 0);
}
END_TEST

/* ---- what becomes of a registered pool ---------------------------------------------------------------- */

static void look_up(void)
{
    liar_release(&liar, liar_check(&liar, 1, "large", 1).handle);
}

static void extend(void)
{
    ck_assert_int_eq(posix_fallocate(liar.endpoint.pool.fd, bytes_of_pool(), 64 << 20), 0);
}

static void unlink_both(void)
{
    ck_assert_int_eq(shm_unlink(liar.endpoint.name), 0);
    ck_assert_int_eq(mq_unlink(liar.endpoint.name), 0);
}

static void unlink_pool(void)
{
    ck_assert_int_eq(shm_unlink(liar.endpoint.name), 0);
}

/* Something else under its name now, which is not the cache's to touch while its maker lives. */
static void replace_by_directory(void)
{
    char path[128];

    unlink_pool();
    own_path(path, sizeof(path));
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void open_to_all(void)
{
    ck_assert_int_eq(fchmod(liar.endpoint.pool.fd, 0666), 0);
}

static void link_again(void)
{
    char path[128], second[160];

    own_path(path, sizeof(path));
    snprintf(second, sizeof(second), "%s.second", path);
    ck_assert_int_eq(link(path, second), 0);
    ck_assert_int_eq(unlink(second), 0);
}

static void (*const changes[])(void) = {extend,      unlink_both, unlink_pool, replace_by_directory,
                                        open_to_all, link_again};

START_TEST(changed_after_registration_it_is_served)
{
    char path[128];

    begin();
    liar_register(&liar, &story, "news");
    look_up();
    changes[_i]();
    for (int i = 0; i < 3; i++)
        look_up();
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 2);
    own_path(path, sizeof(path));
    liar_end(&liar, true);
    story_await_counter(&story, COUNTER_departures, 1);
    if (rmdir(path) < 0)
        ck_assert_int_eq(errno, ENOENT);
    end(0, 0);
}
END_TEST

/* ---- what is somebody else's -------------------------------------------------------------------------- */

/* HELLO with the token of a registered proxy, once with a secret that is not its own and once with that. */
START_TEST(hello_in_a_registered_ones_name)
{
    union wire_message message;

    begin();
    liar_appear(&liar, &story);
    uint64_t token = liar_finds_token(&liar, &story);
    for (int own_secret = 0; own_secret < 2; own_secret++) {
        size_t length = liar_hello(&liar, "news", &message);
        message.header.token = token;
        message.wire_hello.secret = own_secret ? secret_of(token) : 42;
        message.wire_hello.segments = others_shape.segments;
        message.wire_hello.segment_bytes = others_shape.segment_bytes;
        message.wire_hello.ring_entries = others_shape.ring_entries;
        liar_send(&liar, &message, length);
        story_await_counter(&story, COUNTER_registrations_refused, (uint64_t)own_secret + 1);
        peer_check(&other, "large", 1, LARGE);
    }
    ck_assert_uint_eq(story_counter(&story, COUNTER_registrations), 1);
    liar_end(&liar, false);
    end(2, 0);
}
END_TEST

/* The same for a proxy that has not registered yet: it is not kept from doing so. */
START_TEST(hello_in_a_newcomers_name)
{
    struct liar newcomer;
    union wire_message message;

    begin();
    liar_appear(&newcomer, &story);
    liar_appear(&liar, &story);
    size_t length = liar_hello(&newcomer, "shop", &message);
    message.wire_hello.secret = liar.endpoint.secret;
    liar_send(&liar, &message, length);
    liar_expect_refusal(&newcomer, WIRE_HELLO, WIRE_REFUSAL_SECRET);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 1);
    liar_say_hello(&newcomer, "news");
    liar_end(&newcomer, true);
    liar_end(&liar, false);
    end(1, 0);
}
END_TEST

/* The messages of a registration that has ended, once more. */
START_TEST(messages_of_an_ended_registration)
{
    union wire_message hello, bye;

    begin();
    liar_register(&liar, &story, "news");
    size_t hello_length = liar_hello(&liar, "news", &hello);
    size_t bye_length = wire_prepare(&bye, WIRE_BYE, liar.endpoint.token);
    bye.wire_bye.registration = liar.registration;
    bye.wire_bye.secret = liar.endpoint.secret;
    liar_send(&liar, &bye, bye_length);
    story_await_counter(&story, COUNTER_departures, 1);
    liar_send(&liar, &bye, bye_length);
    liar_expect_refusal(&liar, WIRE_BYE, WIRE_REFUSAL_STALE);
    liar_bell(&liar);
    liar_expect_refusal(&liar, WIRE_BELL, WIRE_REFUSAL_STALE);
    /* Its pool is whole, so it may come back; with rings that are not empty it ends at its first entry. */
    liar_send(&liar, &hello, hello_length);
    ck_assert(liar_receive(&liar, &hello, TEST_DEADLINE_MS));
    ck_assert_uint_eq(hello.header.type, WIRE_WELCOME);
    ck_assert_uint_ne(hello.wire_welcome.registration, liar.registration);
    liar_send(&liar, &bye, bye_length); /* names the first one */
    liar_expect_refusal(&liar, WIRE_BYE, WIRE_REFUSAL_STALE);
    ck_assert_uint_eq(story_gauge(&story, GAUGE_proxies), 2);
    liar.registration = hello.wire_welcome.registration;
    liar_end(&liar, true);
    story_await_counter(&story, COUNTER_departures, 2);
    end(0, 0);
}
END_TEST

/* Puts the pool of `from` in the place of `to`'s, whose own is unlinked. Its number of links stays one. */
static void move_pool(uint64_t from, uint64_t to)
{
    char old_path[128], new_path[128];

    path_of(old_path, sizeof(old_path), from);
    path_of(new_path, sizeof(new_path), to);
    ck_assert_int_eq(rename(old_path, new_path), 0);
}

/* The pool of a living proxy under the name of one's own, with its secret: whose it is tells its lock. */
START_TEST(pool_of_another_process)
{
    union wire_message message;
    struct test_gate told, go;
    uint64_t token;

    begin();
    test_gate_create(&told);
    test_gate_create(&go);
    token = liar_finds_token(&(struct liar){.registration = 0}, &story); /* the honest one's */
    pid_t thief = fork();
    if (thief == 0) { /* another process: the lock on the honest one's pool is not its own */
        liar_appear(&liar, &story);
        size_t length = liar_hello(&liar, "news", &message);
        message.wire_hello.secret = secret_of(token);
        message.wire_hello.segments = others_shape.segments;
        message.wire_hello.segment_bytes = others_shape.segment_bytes;
        message.wire_hello.ring_entries = others_shape.ring_entries;
        move_pool(token, liar.endpoint.token);
        liar_send(&liar, &message, length);
        liar_expect_refusal(&liar, WIRE_HELLO, WIRE_REFUSAL_POOL);
        move_pool(liar.endpoint.token, token);
        test_gate_open(&told);
        if (!test_gate_pass(&go, TEST_DEADLINE_MS))
            _exit(1);
        liar_end(&liar, false);
        _exit(0);
    }
    ck_assert(test_gate_pass(&told, TEST_DEADLINE_MS));
    test_gate_open(&go);
    ck_assert_int_eq(end_child(thief, 0), 0);
    test_gate_destroy(&told);
    test_gate_destroy(&go);
    end(1, 0);
}
END_TEST

/* Two registrations of one process with one pool: each reads what was meant for the other. */
START_TEST(two_registrations_with_one_pool)
{
    struct liar second;
    union wire_message message;

    begin();
    liar_register(&liar, &story, "news");
    liar_appear(&second, &story);
    size_t length = liar_hello(&second, "shop", &message);
    message.wire_hello.secret = liar.endpoint.secret;
    move_pool(liar.endpoint.token, second.endpoint.token);
    liar_send(&second, &message, length);
    ck_assert(liar_receive(&second, &message, TEST_DEADLINE_MS));
    ck_assert_uint_eq(message.header.type, WIRE_WELCOME);
    second.registration = message.wire_welcome.registration;
    second.endpoint.secret = liar.endpoint.secret;
    struct wire_request request = liar_request(&liar, WIRE_OP_LOOKUP);
    request.segment = 1;
    request.key_length = 5;
    liar_hand_over(&liar, 1, "large");
    uint64_t before = story_counter(&story, COUNTER_requests);
    ck_assert_int_eq(ring_put(&liar.endpoint.pool.requests, &request), RING_OK);
    ring_publish(&liar.endpoint.pool.requests);
    liar_bell(&liar);
    story_await_counter(&story, COUNTER_requests, before + 1);
    liar_bell(&second);
    story_await_counter(&story, COUNTER_requests, before + 2);
    ck_assert_uint_eq(story_counter(&story, COUNTER_fenced), 1);
    liar_end(&second, true);
    liar_end(&liar, true);
    story_await_counter(&story, COUNTER_departures, 2);
    end(0, 0);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, object_that_is_no_proxys_is_refused, 0, ROWS(objects));
    tcase_add_test(tcase, pool_with_a_hole_is_served_as_it_stands);
    tcase_add_loop_test(tcase, changed_after_registration_it_is_served, 0, ROWS(changes));
    tcase_add_test(tcase, hello_in_a_registered_ones_name);
    tcase_add_test(tcase, hello_in_a_newcomers_name);
    tcase_add_test(tcase, messages_of_an_ended_registration);
    tcase_add_test(tcase, pool_of_another_process);
    tcase_add_test(tcase, two_registrations_with_one_pool);
}

int main(void)
{
    return crash_main("crash_strangers", add_cases);
}
