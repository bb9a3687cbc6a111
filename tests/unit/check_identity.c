/* identity: who holds a lock, as another process sees it. */
#include "identity.h"

#include "check_unit.h"
#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A file that can be opened again by its path, and a child that holds its lock. */
static char path[64];

static int make_file(void)
{
    snprintf(path, sizeof(path), "/dev/shm/larder.identity-%d", (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    return fd;
}

struct holder {
    struct test_gate locked, done;
    pid_t pid;
};

static _Noreturn void hold(const struct holder *holder)
{
    struct test_gate locked = holder->locked;
    int fd = open(path, O_RDWR);

    if (identity_lock(fd))
        _exit(1);
    test_gate_open(&locked);
    test_gate_pass(&holder->done, 60000);
    _exit(0);
}

static void start_holder(struct holder *holder)
{
    test_gate_create(&holder->locked);
    test_gate_create(&holder->done);
    holder->pid = fork();
    ck_assert_int_ge(holder->pid, 0);
    if (holder->pid == 0)
        hold(holder);
    ck_assert(test_gate_pass(&holder->locked, TEST_DEADLINE_MS));
}

static void end_holder(struct holder *holder, int signal)
{
    kill(holder->pid, signal);
    ck_assert_int_eq(waitpid(holder->pid, NULL, 0), holder->pid);
    test_gate_destroy(&holder->locked);
    test_gate_destroy(&holder->done);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, timeout_ms) == 1;
}

START_TEST(holder_is_seen_and_its_death_too)
{
    struct holder holder;
    pid_t pid = 0;

    if (left_out_without_pidfd(__func__))
        return;
    int pidfd = -1, fd = make_file();
    ck_assert_int_eq(identity_holder(fd, &pid, &pidfd), IDENTITY_UNLOCKED);
    ck_assert_int_eq(pid, 0);
    ck_assert_int_eq(pidfd, -1);
    start_holder(&holder);
    ck_assert_int_eq(identity_holder(fd, &pid, NULL), IDENTITY_ALIVE);
    ck_assert_int_eq(pid, holder.pid);
    ck_assert_int_eq(identity_holder(fd, &pid, &pidfd), IDENTITY_ALIVE);
    ck_assert_int_eq(pid, holder.pid);
    ck_assert_int_ge(pidfd, 0);
    ck_assert(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
    ck_assert(!readable(pidfd, 0));
    ck_assert_int_eq(identity_lock(fd), -EAGAIN);
    kill(holder.pid, SIGKILL);
    ck_assert(readable(pidfd, TEST_DEADLINE_MS)); /* before anybody has waited for it */
    int second = -1;
    ck_assert_int_eq(identity_holder(fd, &pid, &second), IDENTITY_UNLOCKED);
    ck_assert_int_eq(second, -1);
    ck_assert_int_eq(identity_lock(fd), 0);
    end_holder(&holder, 0);
    close(pidfd);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(own_lock_is_invisible_and_dropped_by_any_close)
{
    struct holder holder;
    pid_t pid;
    int fd = make_file();

    ck_assert_int_eq(identity_lock(fd), 0);
    ck_assert_int_eq(identity_holder(fd, &pid, NULL), IDENTITY_UNLOCKED);
    close(open(path, O_RDONLY));
    start_holder(&holder); /* gets it, although we never unlocked */
    ck_assert_int_eq(identity_holder(fd, &pid, NULL), IDENTITY_ALIVE);
    ck_assert_int_eq(pid, holder.pid);
    end_holder(&holder, SIGKILL);
    close(fd);
    unlink(path);
}
END_TEST

static void ask_as_stranger(void *context)
{
    pid_t pid = 77;
    int pidfd = 77;

    (void)context;
    if (unshare(CLONE_NEWPID))
        _exit(77);
    pid_t child = fork();
    int status;
    if (child == 0) {
        int fd = open(path, O_RDWR);
        if (identity_holder(fd, &pid, &pidfd) != IDENTITY_UNSEEN || pid != 0 || pidfd != -1)
            _exit(1);
        _exit(identity_holder(fd, &pid, NULL) == IDENTITY_UNSEEN ? 0 : 2);
    }
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
}

START_TEST(holder_of_another_pid_namespace_is_unseen)
{
    int fd = make_file();

    ck_assert_int_eq(identity_lock(fd), 0); /* its forked stranger asks for our lock */
    int status = status_of_child(ask_as_stranger, NULL);
    ck_assert_msg(status == 0 || status == 77, "status %d", status); /* 77: may not make name spaces */
    close(fd);
    unlink(path);
}
END_TEST

/* Such a lock is a lock, for whoever sweeps, but nobody's. */
START_TEST(lock_of_a_description_is_nameless)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    pid_t pid = 77;
    int pidfd = 77, fd = make_file(), other = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &lock), 0);
    ck_assert_int_eq(identity_holder(fd, &pid, &pidfd), IDENTITY_NAMELESS);
    ck_assert_int_eq(pid, 0);
    ck_assert_int_eq(pidfd, -1);
    ck_assert_int_eq(identity_lock(fd), -EAGAIN);
    close(other);
    ck_assert_int_eq(identity_holder(fd, &pid, &pidfd), IDENTITY_UNLOCKED);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(bad_descriptor_fails)
{
    int pidfd;
    pid_t pid;

    ck_assert_int_eq(identity_lock(-1), -EBADF);
    ck_assert_int_eq(identity_holder(-1, &pid, &pidfd), IDENTITY_FAILED);
    ck_assert_int_eq(pidfd, -1);
    ck_assert(!identity_is_private(-1, geteuid()));
}
END_TEST

/* A write lock wants a descriptor that may write. */
START_TEST(read_only_descriptor_cannot_lock)
{
    int fd = make_file(), reader = open(path, O_RDONLY);

    ck_assert_int_eq(identity_lock(reader), -EBADF);
    close(reader);
    close(fd);
    unlink(path);
}
END_TEST

static const struct {
    mode_t mode;
    bool private;
} modes[] = {
    {0600, true},   {0400, false},  {0200, false},  {0000, false}, {0640, false},
    {0604, false},  {0660, false},  {0606, false},  {0601, false}, {0700, false},
    {04600, false}, {02600, false}, {01600, false}, {0777, false},
};

START_TEST(mode_is_judged)
{
    int fd = make_file();

    ck_assert_int_eq(fchmod(fd, modes[_i].mode), 0);
    ck_assert_int_eq(identity_is_private(fd, geteuid()), modes[_i].private);
    ck_assert(!identity_is_private(fd, geteuid() + 1));
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(only_regular_files_are_private)
{
    int ends[2], dir;

    ck_assert_int_eq(pipe(ends), 0);
    fchmod(ends[0], 0600);
    ck_assert(!identity_is_private(ends[0], geteuid()));
    snprintf(path, sizeof(path), "/dev/shm/larder.identity-%d", (int)getpid());
    ck_assert_int_eq(mkdir(path, 0600), 0);
    dir = open(path, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(dir, 0);
    ck_assert(!identity_is_private(dir, geteuid()));
    close(dir);
    rmdir(path);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, holder_is_seen_and_its_death_too);
    tcase_add_test(tcase, own_lock_is_invisible_and_dropped_by_any_close);
    tcase_add_test(tcase, holder_of_another_pid_namespace_is_unseen);
    tcase_add_test(tcase, lock_of_a_description_is_nameless);
    tcase_add_test(tcase, bad_descriptor_fails);
    tcase_add_test(tcase, read_only_descriptor_cannot_lock);
    ADD_ROWS(tcase, mode_is_judged, modes);
    tcase_add_test(tcase, only_regular_files_are_private);
}

int main(void)
{
    return run_suite("identity", add_cases);
}
