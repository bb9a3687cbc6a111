/* sweeper: names of the dead go, in the background; time() runs ahead so that they are old enough. */
#include "sweeper.h"

#include "check_unit.h"
#include "endpoint.h"
#include "log.h"
#include "test_support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static char instance[TEST_INSTANCE_BYTES];
static struct registry registry;
static struct sweeper sweeper;

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += 10 * ENDPOINT_SWEEP_AGE_S;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

static void path_of(char *path, size_t size, uint64_t token)
{
    char name[NAMES_BYTES];

    names_peer(name, instance, token);
    snprintf(path, size, "/dev/shm%s", name);
}

static void make(uint64_t token)
{
    char path[128];

    path_of(path, sizeof(path), token);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static bool exists(uint64_t token)
{
    char path[128];

    path_of(path, sizeof(path), token);
    return access(path, F_OK) == 0;
}

static bool is_done(void *context)
{
    (void)context;
    return !atomic_load(&sweeper.busy);
}

START_TEST(names_of_the_dead_go)
{
    log_set_level("error");
    test_instance_name(instance, "sweeper");
    registry_setup(&registry, 1);
    registry_add(&registry, (struct session *)(void *)&registry, 2);
    make(1);
    make(2); /* known */
    ck_assert_int_eq(sweeper_start(&sweeper, instance), 0);
    for (int i = 0; i < 2; i++) {
        sweeper_go(&sweeper, &registry);
        sweeper_go(&sweeper, &registry); /* one is under way, or is done */
        ck_assert(test_wait_until(is_done, NULL, TEST_DEADLINE_MS));
        ck_assert(!exists(1));
        ck_assert(exists(2));
        make(1);
    }
    sweeper_stop(&sweeper);
    ck_assert(exists(1)); /* nobody asked */
    char path[128];
    path_of(path, sizeof(path), 1);
    unlink(path);
    path_of(path, sizeof(path), 2);
    unlink(path);
}
END_TEST

START_TEST(ends_while_it_sweeps)
{
    test_instance_name(instance, "sweeper");
    registry_setup(&registry, 1);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(sweeper_start(&sweeper, instance), 0);
        sweeper_go(&sweeper, &registry);
        sweeper_stop(&sweeper);
    }
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, names_of_the_dead_go);
    tcase_add_test(tcase, ends_while_it_sweeps);
}

int main(void)
{
    return run_suite("sweeper", add_cases);
}
