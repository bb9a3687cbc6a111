/* segment_pool: shapes, creating and attaching, what is refused at the name, and the hand-off. */
#include "segment_pool.h"

#include "check_unit.h"
#include "identity.h"
#include "names.h"
#include "shm_guard.h"
#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANYBODY (-1) /* may hold it: a process does not see its own locks */
#define SECRET  UINT64_C(0xfeedfacecafebeef)

static const struct pool_shape small = {.segments = 4, .segment_bytes = 4096, .ring_entries = 16};

static struct {
    char instance[TEST_INSTANCE_BYTES];
    char name[NAMES_BYTES];
    char path[256];
    struct test_footprint before;
} here;

static void begin(void)
{
    test_instance_name(here.instance, "segment_pool");
    names_peer(here.name, here.instance, 1);
    snprintf(here.path, sizeof(here.path), "/dev/shm%s", here.name);
    here.before = test_footprint(here.instance);
    ck_assert_int_eq(shm_guard_setup(), 0);
}

static void end(void)
{
    ck_assert(test_nothing_left(here.instance, &here.before));
}

static struct segment_pool create(const struct pool_shape *shape)
{
    struct segment_pool pool;

    ck_assert_int_eq(segment_pool_create(&pool, here.name, shape, SECRET), 0);
    return pool;
}

static void destroy(struct segment_pool *pool)
{
    shm_unlink(here.name);
    segment_pool_destroy(pool);
}

static int try_attach(void)
{
    struct segment_pool pool;
    int error = segment_pool_attach(&pool, here.name, &small, geteuid(), ANYBODY, SECRET);

    if (error == 0)
        segment_pool_detach(&pool);
    return error;
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

static const struct {
    struct pool_shape shape;
    bool valid;
} shapes[] = {
    {{1, 4096, 16, 0}, true},
    {{16384, 4096, 65536, 0}, true},
    {{512, 1u << 20, 16, 0}, true},
    {{128, 65536, 256, 0}, true},
    {{128, 65536, 256, 1}, true},
    {{128, 65536, 256, 16}, true},
    {{128, 65536, 256, 17}, false},
    {{128, 65536, 256, UINT32_MAX}, false},
    {{1, 4096 + 64, 16, 0}, true},
    {{0, 4096, 16, 0}, false},
    {{16385, 4096, 16, 0}, false},
    {{UINT32_MAX, 4096, 16, 0}, false},
    {{1, 0, 16, 0}, false},
    {{1, 4032, 16, 0}, false},
    {{1, 4096 + 1, 16, 0}, false},
    {{1, 4096 + 63, 16, 0}, false},
    {{1, (1u << 20) + 64, 16, 0}, false},
    {{1, UINT32_MAX, 16, 0}, false},
    {{1, UINT32_MAX - 63, 16, 0}, false},
    {{1, 4096, 0, 0}, false},
    {{1, 4096, 8, 0}, false},
    {{1, 4096, 17, 0}, false},
    {{1, 4096, 24, 0}, false},
    {{1, 4096, 131072, 0}, false},
    {{1, 4096, UINT32_MAX, 0}, false},
    {{1, 4096, 0x80000000u, 0}, false},
    {{1024, 1u << 20, 16, 0}, false}, /* 1 GiB of payload alone, and the rest on top */
    {{16384, 65536, 16, 0}, false},
    {{16384, 1u << 20, 65536, 0}, false},
};

START_TEST(shape_is_judged)
{
    uint64_t bytes = 0;

    ck_assert_int_eq(pool_shape_valid(&shapes[_i].shape, &bytes), shapes[_i].valid);
    if (!shapes[_i].valid)
        return;
    ck_assert_uint_le(bytes, POOL_MAX_BYTES);
    ck_assert_uint_eq(bytes % 4096, 0);
    ck_assert_uint_gt(bytes, (uint64_t)shapes[_i].shape.segments * shapes[_i].shape.segment_bytes +
                                 2 * shapes[_i].shape.ring_entries * RING_ENTRY_BYTES);
}
END_TEST

START_TEST(invalid_shape_creates_and_attaches_nothing)
{
    struct segment_pool pool;

    begin();
    if (!shapes[_i].valid) {
        ck_assert_int_eq(segment_pool_create(&pool, here.name, &shapes[_i].shape, SECRET), -EINVAL);
        ck_assert_int_eq(segment_pool_attach(&pool, here.name, &shapes[_i].shape, geteuid(), ANYBODY, SECRET),
                         -EINVAL);
    }
    end();
}
END_TEST

/* Header, rings and segments: in bounds, aligned, and nowhere on top of each other. */
START_TEST(layout_does_not_overlap)
{
    begin();
    struct segment_pool pool = create(&small);
    uint8_t *at = (uint8_t *)pool.requests.shared;
    size_t ring = sizeof(struct ring_shared) + small.ring_entries * RING_ENTRY_BYTES;

    ck_assert(at >= pool.base + 4096);
    ck_assert((uint8_t *)pool.completions.shared >= at + ring);
    at = (uint8_t *)pool.completions.shared + ring;
    for (uint32_t i = 0; i < small.segments; i++) {
        ck_assert((uint8_t *)segment_header(&pool, i) >= at);
        ck_assert_uint_eq((uintptr_t)segment_header(&pool, i) % RING_LINE, 0);
        at = (uint8_t *)(segment_header(&pool, i) + 1);
    }
    for (uint32_t i = 0; i < small.segments; i++) {
        ck_assert(segment_payload(&pool, i) >= at);
        at = segment_payload(&pool, i) + small.segment_bytes;
    }
    ck_assert(at <= pool.base + pool.bytes);
    destroy(&pool);
    end();
}
END_TEST

/* The segments of a pool begin behind all of its rings, which the two sides see at the same places. */
START_TEST(pairs_of_rings_do_not_overlap)
{
    const struct pool_shape shape = {
        .segments = 4, .segment_bytes = 4096, .ring_entries = 16, .ring_pairs = (uint32_t)_i};
    size_t bytes = sizeof(struct ring_shared) + shape.ring_entries * RING_ENTRY_BYTES;
    struct segment_pool cache;

    begin();
    struct segment_pool pool = create(&shape);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &shape, geteuid(), ANYBODY, SECRET), 0);
    uint8_t *at = pool.base + 4096;
    for (uint32_t i = 0; i < shape.ring_pairs; i++) {
        struct ring requests, completions;
        uint64_t entry[RING_ENTRY_BYTES / sizeof(uint64_t)] = {i + 1},
                                          seen[RING_ENTRY_BYTES / sizeof(uint64_t)];

        segment_pool_rings(&pool, i, &requests, &completions);
        segment_pool_choose_rings(&cache, i);
        ck_assert((uint8_t *)requests.shared >= at);
        ck_assert((uint8_t *)completions.shared >= (uint8_t *)requests.shared + bytes);
        at = (uint8_t *)completions.shared + bytes;
        ck_assert(ring_is_armed(&requests) && !ring_is_armed(&completions));
        ck_assert_int_eq(ring_put(&requests, entry), RING_OK);
        ring_publish(&requests);
        ck_assert_int_eq(ring_take(&cache.requests, seen), RING_OK);
        ck_assert_uint_eq(seen[0], i + 1);
        ck_assert_int_eq(ring_take(&cache.requests, seen), RING_NONE);
    }
    ck_assert((uint8_t *)segment_header(&pool, 0) >= at);
    segment_pool_detach(&cache);
    destroy(&pool);
    end();
}
END_TEST

/* Whatever the size: no page of a payload holds anything else. */
static const uint32_t payload_sizes[] = {4096, 4096 + 64, 69632, 69632 + 64, 128 * 1024, 1u << 20};

START_TEST(payloads_have_their_pages_to_themselves)
{
    struct pool_shape shape = {.segments = 3, .segment_bytes = payload_sizes[_i], .ring_entries = 16};

    begin();
    struct segment_pool pool = create(&shape);
    size_t pages = ((size_t)shape.segment_bytes + POOL_PAGE - 1) / POOL_PAGE * POOL_PAGE;
    ck_assert_uint_eq(pool.stride, pages);
    for (uint32_t i = 0; i < shape.segments; i++) {
        ck_assert_uint_eq((uintptr_t)segment_payload(&pool, i) % POOL_PAGE, 0);
        ck_assert_ptr_eq(segment_payload(&pool, i), segment_payload(&pool, 0) + i * pages);
    }
    ck_assert(segment_payload(&pool, 0) >= (uint8_t *)segment_header(&pool, shape.segments));
    ck_assert_ptr_eq(segment_payload(&pool, 2) + pages, pool.base + pool.bytes);
    destroy(&pool);
    end();
}
END_TEST

/* ---- creating ---------------------------------------------------------------------------------------- */

START_TEST(created_pool_is_private_backed_and_empty)
{
    struct stat status;

    begin();
    struct segment_pool pool = create(&small);
    ck_assert_int_eq(fstat(pool.fd, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_uint_eq(status.st_uid, geteuid());
    ck_assert_int_eq(status.st_size, (off_t)pool.bytes);
    ck_assert_int_ge(status.st_blocks * 512, (int64_t)pool.bytes);
    ck_assert(fcntl(pool.fd, F_GETFD) & FD_CLOEXEC);
    ck_assert(!pool_has_ended(&pool));
    for (uint32_t i = 0; i < small.segments; i++) {
        ck_assert_uint_eq(segment_guard(&pool, i), POOL_STALE);
        ck_assert_uint_eq(segment_uses(&pool, i), 0);
        ck_assert(!segment_win_read(&pool, i));
        ck_assert(segment_win_write(&pool, i));
        ck_assert(!segment_win_write(&pool, i));
    }
    destroy(&pool);
    end();
}
END_TEST

START_TEST(existing_name_is_left_alone)
{
    struct segment_pool second;

    begin();
    struct segment_pool pool = create(&small);
    memset(segment_payload(&pool, 0), 0x5a, 16);
    ck_assert_int_eq(segment_pool_create(&second, here.name, &small, SECRET + 1), -EEXIST);
    ck_assert_int_eq(try_attach(), 0);
    ck_assert_uint_eq(segment_payload(&pool, 0)[15], 0x5a);
    destroy(&pool);
    end();
}
END_TEST

static void check_holder(void *context)
{
    pid_t expected = *(pid_t *)context, pid = 0;
    int fd = shm_open(here.name, O_RDWR, 0);

    _exit(identity_holder(fd, &pid, NULL) == IDENTITY_ALIVE && pid == expected ? 0 : 1);
}

START_TEST(created_pool_is_locked_by_its_creator)
{
    pid_t self = getpid();

    begin();
    struct segment_pool pool = create(&small);
    ck_assert_int_eq(status_of_child(check_holder, &self), 0);
    destroy(&pool);
    end();
}
END_TEST

/* In a mount namespace of its own, with a /dev/shm that has room for less than the pool. */
static void create_in_tiny_shm(void *context)
{
    const struct pool_shape large = {.segments = 64, .segment_bytes = 65536, .ring_entries = 16};
    struct segment_pool pool;

    (void)context;
    if (unshare(CLONE_NEWNS) || mount("", "/", "", MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=256k"))
        _exit(77);
    int error = segment_pool_create(&pool, here.name, &large, SECRET);
    if (error != -ENOSPC)
        _exit(1);
    if (test_ipc_names(here.instance) != 0)
        _exit(2);
    /* What fits is still created: nothing stayed allocated. */
    _exit(segment_pool_create(&pool, here.name, &small, SECRET) == 0 ? 0 : 3);
}

START_TEST(full_shm_is_an_error_at_creation)
{
    begin();
    int status = status_of_child(create_in_tiny_shm, NULL);
    ck_assert_msg(status == 0 || status == 77, "status %d", status); /* 77: may not make name spaces */
    end();
}
END_TEST

/* ---- attaching --------------------------------------------------------------------------------------- */

START_TEST(attached_pool_shows_the_same_bytes)
{
    struct segment_pool cache;

    begin();
    struct segment_pool proxy = create(&small);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &small, geteuid(), ANYBODY, SECRET), 0);
    ck_assert_int_eq(cache.fd, -1);
    ck_assert_uint_eq(cache.bytes, proxy.bytes);
    for (uint32_t i = 0; i < small.segments; i++) {
        fill_pattern(segment_payload(&proxy, i), i, 0, small.segment_bytes);
        ck_assert(is_pattern(segment_payload(&cache, i), i, 0, small.segment_bytes));
    }
    /* Fresh: the cache counts as asleep on the request ring, so that the first request rings. */
    ck_assert(ring_is_armed(&cache.requests));
    ck_assert(!ring_is_armed(&proxy.completions));
    segment_pool_detach(&cache);
    destroy(&proxy);
    end();
}
END_TEST

/* Also of a page that has been punched out, which reading does not bring back; one that is cut off is lost.
 */
START_TEST(heartbeat_is_read_and_not_touched)
{
    struct segment_pool cache;
    uint32_t first, beat;
    struct stat before, after;
    int fd;

    begin();
    struct segment_pool proxy = create(&small);
    ck_assert_int_eq(segment_pool_attach_and_keep(&cache, &fd, here.name, &small, geteuid(), ANYBODY, SECRET),
                     0);
    ck_assert(segment_pool_read_heartbeat(fd, &first));
    pool_beat(&proxy);
    ck_assert(segment_pool_read_heartbeat(fd, &beat));
    ck_assert_uint_eq(beat, first + 1);
    ck_assert_int_eq(fallocate(proxy.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, POOL_PAGE), 0);
    ck_assert_int_eq(fstat(proxy.fd, &before), 0);
    ck_assert(segment_pool_read_heartbeat(fd, &beat));
    ck_assert_uint_eq(beat, 0);
    ck_assert_int_eq(fstat(proxy.fd, &after), 0);
    ck_assert_int_eq(before.st_blocks, after.st_blocks);
    ck_assert_int_eq(ftruncate(proxy.fd, 0), 0);
    ck_assert(!segment_pool_read_heartbeat(fd, &beat));
    ck_assert_int_eq(close(fd), 0);
    segment_pool_detach(&cache);
    destroy(&proxy);
    end();
}
END_TEST

/* Closing may take long, so who attaches may have somebody else do it, also when nothing came of it. */
START_TEST(descriptor_is_handed_over_whatever_the_result)
{
    struct segment_pool cache;
    int fd = 77;

    begin();
    ck_assert_int_eq(segment_pool_attach_and_keep(&cache, &fd, here.name, &small, geteuid(), ANYBODY, SECRET),
                     -ENOENT);
    ck_assert_int_eq(fd, -1);
    struct segment_pool proxy = create(&small);
    ck_assert_int_eq(
        segment_pool_attach_and_keep(&cache, &fd, here.name, &small, geteuid(), ANYBODY, SECRET + 1),
        -EKEYREJECTED);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(segment_pool_attach_and_keep(&cache, &fd, here.name, &small, geteuid(), ANYBODY, SECRET),
                     0);
    ck_assert_int_eq(close(fd), 0);
    segment_pool_detach(&cache);
    destroy(&proxy);
    end();
}
END_TEST

/* Whatever has the name; the file lives as long as the descriptor. */
START_TEST(unlinked_pool_goes_with_the_descriptor)
{
    struct stat status;

    begin();
    ck_assert_int_eq(segment_pool_unlink(here.name), -1);
    struct segment_pool proxy = create(&small);
    ck_assert_int_eq(fchmod(proxy.fd, 0), 0);
    int fd = segment_pool_unlink(here.name);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(shm_open(here.name, O_RDONLY, 0), -1);
    segment_pool_destroy(&proxy);
    ck_assert_int_eq(fstat(fd, &status), 0);
    ck_assert_uint_eq(status.st_nlink, 0);
    ck_assert_int_gt(status.st_blocks, 0);
    close(fd);
    end();
}
END_TEST

START_TEST(segment_goes_there_and_back)
{
    struct segment_pool cache;

    begin();
    struct segment_pool proxy = create(&small);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &small, geteuid(), ANYBODY, SECRET), 0);
    for (uint32_t round = 0; round < 100; round++) {
        uint32_t i = round % small.segments;

        /* To the cache: nobody reads before it is posted, nobody writes while it is read. */
        ck_assert(segment_win_write(&proxy, i));
        ck_assert(!segment_win_read(&cache, i));
        ck_assert(!segment_win_write(&cache, i));
        fill_pattern(segment_payload(&proxy, i), round, 0, small.segment_bytes);
        segment_post_read(&proxy, i);
        ck_assert(!segment_win_write(&proxy, i));
        ck_assert(segment_win_read(&cache, i));
        ck_assert(!segment_win_read(&cache, i)); /* handed over once, not twice */
        ck_assert(!segment_win_write(&proxy, i));
        ck_assert(is_pattern(segment_payload(&cache, i), round, 0, small.segment_bytes));
        segment_post_write(&cache, i);
        /* And back the same way. */
        ck_assert(segment_win_write(&cache, i));
        ck_assert(!segment_win_read(&proxy, i));
        fill_pattern(segment_payload(&cache, i), round + 1, 0, small.segment_bytes);
        segment_post_read(&cache, i);
        ck_assert(segment_win_read(&proxy, i));
        ck_assert(is_pattern(segment_payload(&proxy, i), round + 1, 0, small.segment_bytes));
        segment_post_write(&proxy, i);
        /* The neighbour was never touched. */
        ck_assert(segment_win_write(&proxy, (i + 1) % small.segments));
        segment_post_write(&proxy, (i + 1) % small.segments);
    }
    segment_pool_detach(&cache);
    destroy(&proxy);
    end();
}
END_TEST

/* Puts something else than a good pool at the name; the error that attaching to it must give. */
static int set_mode(const struct segment_pool *pool)
{
    return fchmod(pool->fd, 0640);
}

static int set_execute(const struct segment_pool *pool)
{
    return fchmod(pool->fd, 0700);
}

static int set_uid_bit(const struct segment_pool *pool)
{
    return fchmod(pool->fd, 04600);
}

static int give_away(const struct segment_pool *pool)
{
    return geteuid() == 0 ? fchown(pool->fd, 65534, (gid_t)-1) : fchmod(pool->fd, 0644);
}

static int shorten(const struct segment_pool *pool)
{
    return ftruncate(pool->fd, (off_t)pool->bytes - 4096);
}

static int lengthen(const struct segment_pool *pool)
{
    return ftruncate(pool->fd, (off_t)pool->bytes + 4096);
}

static int empty(const struct segment_pool *pool)
{
    return ftruncate(pool->fd, 0);
}

static int regrow(const struct segment_pool *pool)
{
    return ftruncate(pool->fd, 0) || ftruncate(pool->fd, (off_t)pool->bytes);
}

static int punch(const struct segment_pool *pool)
{
    return fallocate(pool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)pool->bytes - 4096, 4096);
}

static int change_secret(const struct segment_pool *pool)
{
    pool->base[8] ^= 1;
    return 0;
}

static int change_magic(const struct segment_pool *pool)
{
    pool->base[7] ^= 0x80;
    return 0;
}

static int wipe_header(const struct segment_pool *pool)
{
    memset(pool->base, 0, 4096);
    return 0;
}

static const struct {
    int (*damage)(const struct segment_pool *);
    int error;
} damages[] = {
    {set_mode, -EPERM},
    {set_execute, -EPERM},
    {set_uid_bit, -EPERM},
    {give_away, -EPERM},
    {shorten, -EINVAL},
    {lengthen, -EINVAL},
    {empty, -EINVAL},
    {regrow, -EINVAL},
    {punch, -EINVAL},
    {change_magic, -EKEYREJECTED},
    {change_secret, -EKEYREJECTED},
    {wipe_header, -EKEYREJECTED},
};

START_TEST(damaged_pool_is_refused)
{
    begin();
    struct segment_pool pool = create(&small);
    ck_assert_int_eq(try_attach(), 0);
    ck_assert_int_eq(damages[_i].damage(&pool), 0);
    ck_assert_int_eq(try_attach(), damages[_i].error);
    destroy(&pool);
    end();
}
END_TEST

static const struct {
    struct pool_shape shape;
    int error;
} claims[] = {
    {{4, 4096, 16, 0}, 0},       {{3, 4096, 16, 0}, -EINVAL},   {{5, 4096, 16, 0}, -EINVAL},
    {{4, 8192, 16, 0}, -EINVAL}, {{4, 4096, 1024, 0}, -EINVAL}, {{16384, 4096, 65536, 0}, -EINVAL},
    {{4, 4096, 16, 1}, 0},       {{4, 4096, 16, 16}, -EINVAL},
};

START_TEST(claimed_shape_must_fit_the_object)
{
    struct segment_pool cache;

    begin();
    struct segment_pool pool = create(&small);
    int error = segment_pool_attach(&cache, here.name, &claims[_i].shape, geteuid(), ANYBODY, SECRET);
    ck_assert_int_eq(error, claims[_i].error);
    if (!error)
        segment_pool_detach(&cache);
    destroy(&pool);
    end();
}
END_TEST

START_TEST(other_owner_and_other_secret_are_refused)
{
    struct segment_pool cache;

    begin();
    struct segment_pool pool = create(&small);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &small, geteuid() + 1, ANYBODY, SECRET), -EPERM);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &small, geteuid(), ANYBODY, SECRET + 1),
                     -EKEYREJECTED);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &small, geteuid(), ANYBODY, 0), -EKEYREJECTED);
    destroy(&pool);
    end();
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    char target[300];

    begin();
    ck_assert_int_eq(try_attach(), -ENOENT);

    ck_assert_int_eq(mkfifo(here.path, 0600), 0);
    ck_assert_int_eq(try_attach(), -EPERM); /* and does not wait for a writer */
    ck_assert_int_eq(unlink(here.path), 0);

    ck_assert_int_eq(mkdir(here.path, 0600), 0);
    ck_assert_int_lt(try_attach(), 0);
    ck_assert_int_eq(rmdir(here.path), 0);

    struct segment_pool pool = create(&small);
    snprintf(target, sizeof(target), "%s.real", here.path);
    ck_assert_int_eq(rename(here.path, target), 0);
    ck_assert_int_eq(symlink(target, here.path), 0);
    ck_assert_int_eq(try_attach(), -ELOOP);
    ck_assert_int_eq(unlink(here.path), 0);
    ck_assert_int_eq(rename(target, here.path), 0);
    ck_assert_int_eq(try_attach(), 0);
    destroy(&pool);
    end();
}
END_TEST

/* The cache's view survives the name and the creator's mapping. */
START_TEST(attached_pool_outlives_its_creator)
{
    struct segment_pool cache;

    begin();
    struct segment_pool pool = create(&small);
    fill_pattern(segment_payload(&pool, 2), 9, 0, small.segment_bytes);
    ck_assert_int_eq(segment_pool_attach(&cache, here.name, &small, geteuid(), ANYBODY, SECRET), 0);
    destroy(&pool);
    ck_assert(is_pattern(segment_payload(&cache, 2), 9, 0, small.segment_bytes));
    segment_pool_detach(&cache);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, shape_is_judged, shapes);
    ADD_ROWS(tcase, invalid_shape_creates_and_attaches_nothing, shapes);
    tcase_add_test(tcase, layout_does_not_overlap);
    tcase_add_loop_test(tcase, pairs_of_rings_do_not_overlap, 1, POOL_MAX_PAIRS + 1);
    tcase_add_loop_test(tcase, payloads_have_their_pages_to_themselves, 0,
                        (int)(sizeof(payload_sizes) / sizeof(*payload_sizes)));
    tcase_add_test(tcase, created_pool_is_private_backed_and_empty);
    tcase_add_test(tcase, existing_name_is_left_alone);
    tcase_add_test(tcase, created_pool_is_locked_by_its_creator);
    tcase_add_test(tcase, full_shm_is_an_error_at_creation);
    tcase_add_test(tcase, attached_pool_shows_the_same_bytes);
    tcase_add_test(tcase, heartbeat_is_read_and_not_touched);
    tcase_add_test(tcase, descriptor_is_handed_over_whatever_the_result);
    tcase_add_test(tcase, unlinked_pool_goes_with_the_descriptor);
    tcase_add_test(tcase, segment_goes_there_and_back);
    ADD_ROWS(tcase, damaged_pool_is_refused, damages);
    ADD_ROWS(tcase, claimed_shape_must_fit_the_object, claims);
    tcase_add_test(tcase, other_owner_and_other_secret_are_refused);
    tcase_add_test(tcase, what_is_no_file_is_refused);
    tcase_add_test(tcase, attached_pool_outlives_its_creator);
}

int main(void)
{
    return run_suite("segment_pool", add_cases);
}
