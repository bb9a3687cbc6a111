/* sandbox: what the cache may still do, and what ends it. Every case is a process of its own. */
#include "sandbox.h"

#include "check_unit.h"
#include "identity.h"
#include "invariant.h"
#include "log.h"
#include "mq.h"
#include "shm_guard.h"
#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <semaphore.h>
#include <sodium.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define NOBODY 65534

#ifdef LARDER_SANITIZED
#define FILTERED 0 /* see sandbox.h */
#else
#define FILTERED 1
#endif

/* What exists before the filter, as in the cache. */
static struct {
    char name[64]; /* of a queue and a pool */
    char shm_path[96];
    mqd_t queue;
    int pool;  /* one page */
    int epoll; /* watches the queue */
    uint8_t *mapped;
    pthread_t thread;
    void *(*thread_acts)(void *);
    sem_t go;
} world = {.queue = (mqd_t)-1};

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "not so: %s (%s)\n", #condition, strerror(errno));                               \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static void *wait_and_act(void *unused)
{
    (void)unused;
    while (sem_wait(&world.go) != 0)
        ;
    return world.thread_acts ? world.thread_acts(NULL) : NULL;
}

static void create_world(void)
{
    struct epoll_event event = {.events = EPOLLIN};

    snprintf(world.name, sizeof(world.name), "/larder.sandbox-%d", (int)getpid());
    snprintf(world.shm_path, sizeof(world.shm_path), "/dev/shm%s", world.name);
    EXPECT(mq_create_exclusive(&world.queue, world.name, 2) == 0);
    world.pool = shm_open(world.name, O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT(world.pool >= 0 && ftruncate(world.pool, 4096) == 0);
    world.mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, world.pool, 0);
    EXPECT(world.mapped != MAP_FAILED);
    world.epoll = epoll_create1(EPOLL_CLOEXEC);
    EXPECT(world.epoll >= 0 && epoll_ctl(world.epoll, EPOLL_CTL_ADD, world.queue, &event) == 0);
    EXPECT(shm_guard_setup() == 0);
}

static void start_thread(void)
{
    EXPECT(sem_init(&world.go, 0, 0) == 0);
    EXPECT(pthread_create(&world.thread, NULL, wait_and_act, NULL) == 0);
}

static void enter(void)
{
    char problem[512] = "";

    if (sandbox_enter(NULL, problem, sizeof(problem)) != 0) {
        fprintf(stderr, "%s\n", problem);
        _exit(2);
    }
}

static void prepare(void)
{
    char problem[512] = "";

    if (sandbox_prepare(problem, sizeof(problem)) != 0) {
        fprintf(stderr, "%s\n", problem);
        _exit(2);
    }
}

/* ---- allowed ---- */

static void turns_of_the_loop(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    char message[MQ_MESSAGE_BYTES] = "";

    EXPECT(epoll_wait(world.epoll, &event, 1, 0) == 0);
    EXPECT(mq_send_message(world.queue, "x", 1) == 0);
    EXPECT(epoll_wait(world.epoll, &event, 1, 0) == 1);
    EXPECT(mq_receive_message(world.queue, message) == 1);
    EXPECT(mq_receive_message(world.queue, message) == -EAGAIN);
    EXPECT(epoll_ctl(world.epoll, EPOLL_CTL_DEL, world.queue, NULL) == 0);
}

/* Somebody removed the command queue's name. */
static void queue_made_anew(void)
{
    struct mq_attr attributes;
    mqd_t queue;

    EXPECT(mq_unlink(world.name) == 0);
    EXPECT(mq_create_exclusive(&queue, world.name, MQ_COMMAND_DEPTH) == 0);
    EXPECT(mq_getattr(queue, &attributes) == 0 && attributes.mq_maxmsg == MQ_COMMAND_DEPTH);
    EXPECT(identity_lock(queue) == 0);
    EXPECT(identity_is_private(queue, geteuid()));
    EXPECT(mq_close(queue) == 0);
    EXPECT(mq_open_existing(&queue, world.name, O_RDWR) == 0);
}

static void peer_registered(void)
{
    pid_t pid;
    int pidfd;
    mqd_t queue;

    EXPECT(mq_open_existing(&queue, world.name, O_WRONLY) == 0);
    EXPECT(identity_is_private(queue, geteuid()));
    EXPECT(identity_holder(queue, &pid, &pidfd) == IDENTITY_UNLOCKED);
    pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    EXPECT(pidfd >= 0 && close(pidfd) == 0);
    int fd = shm_open(world.name, O_RDWR | O_NONBLOCK, 0);
    EXPECT(fd >= 0);
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(memory != MAP_FAILED && munmap(memory, 4096) == 0);
    EXPECT(shm_unlink(world.name) == 0);
}

static int entries_of(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    EXPECT(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void names_swept(void)
{
    EXPECT(entries_of("/dev/shm") > 2);
    int fd = shm_open(world.name, O_RDONLY | O_NONBLOCK, 0);
    EXPECT(fd >= 0 && close(fd) == 0);
}

static void numbers_of_itself(void)
{
    struct rlimit limit;
    char text[128];

    EXPECT(entries_of("/proc/self/fd") > 4);
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0 && read(fd, text, sizeof(text)) > 0);
    EXPECT(getrlimit(RLIMIT_MSGQUEUE, &limit) == 0);
}

static void memory_taken_and_returned(void)
{
    void *blocks[64];
    char *large = malloc((size_t)4 << 20);

    EXPECT(large);
    memset(large, 1, (size_t)4 << 20);
    large = realloc(large, (size_t)16 << 20);
    EXPECT(large);
    free(large);
    for (int i = 0; i < 64; i++)
        EXPECT((blocks[i] = malloc(100000)) != NULL);
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    malloc_trim(0);
}

static void log_lines(void)
{
    log_info("hello", "number=%d", 1);
    log_error("good bye");
}

static void random_numbers(void)
{
    uint64_t number;

    randombytes_buf(&number, sizeof(number));
}

static void pool_that_shrank(void)
{
    shm_guard_enter(world.mapped, 4096);
    EXPECT(*(volatile uint8_t *)world.mapped == 0);
    EXPECT(shm_guard_faulted());
    EXPECT(!shm_guard_leave());
}

static void *map_and_unmap(void *unused)
{
    void *memory = malloc(100000);

    EXPECT(memory && munmap(world.mapped, 4096) == 0 && close(world.pool) == 0);
    free(memory);
    return unused;
}

static void helper_thread(void)
{
    EXPECT(sem_post(&world.go) == 0);
    EXPECT(pthread_join(world.thread, NULL) == 0);
}

static const struct allowed {
    const char *name;
    void (*act)(void);
    void *(*thread)(void *);
    bool shrink;
} allowed[] = {
    {"loop", turns_of_the_loop, NULL, false},
    {"queue made anew", queue_made_anew, NULL, false},
    {"registration", peer_registered, NULL, false},
    {"sweep", names_swept, NULL, false},
    {"gauges", numbers_of_itself, NULL, false},
    {"memory", memory_taken_and_returned, NULL, false},
    {"log", log_lines, NULL, false},
    {"random numbers", random_numbers, NULL, false},
    {"SIGBUS guard", pool_that_shrank, NULL, true},
    {"helper thread", helper_thread, map_and_unmap, false},
};

static void do_what_is_allowed(void *context)
{
    const struct allowed *row = context;

    prepare();
    create_world();
    world.thread_acts = row->thread;
    if (row->thread)
        start_thread();
    EXPECT(!row->shrink || ftruncate(world.pool, 0) == 0);
    enter();
    row->act();
    mq_unlink(world.name);
    unlink(world.shm_path);
}

START_TEST(what_the_cache_does_is_allowed)
{
    struct allowed row = allowed[_i];

    ck_assert_msg(status_of_child(do_what_is_allowed, &row) == 0, "%s", row.name);
}
END_TEST

/* As any other user too: /proc belongs to root once a process is not dumpable. */
static void do_it_as_nobody(void *context)
{
    EXPECT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    do_what_is_allowed(context);
}

START_TEST(what_the_cache_does_is_allowed_to_any_user)
{
    struct allowed row = allowed[_i];

    if (geteuid() == 0)
        ck_assert_msg(status_of_child(do_it_as_nobody, &row) == 0, "%s", row.name);
}
END_TEST

/* ---- ends by a signal of its own ---- */

static void invariant_fails(void)
{
    INVARIANT(world.pool == -2);
}

static void allocator_finds_damage(void)
{
    abort();
}

static void fault_elsewhere(void)
{
    raise(SIGBUS);
}

static const struct ending {
    void (*act)(void);
    int signal;
} endings[] = {
    {invariant_fails, SIGABRT},
    {allocator_finds_damage, SIGABRT},
    {fault_elsewhere, SIGBUS},
};

static void end_somehow(void *context)
{
    const struct ending *row = context;

    prepare();
    EXPECT(shm_guard_setup() == 0);
    enter();
    row->act();
}

START_TEST(a_bug_ends_as_without_the_filter)
{
    struct ending row = endings[_i];

    ck_assert_int_eq(status_of_child(end_somehow, &row), 128 + row.signal);
}
END_TEST

/* What an invariant says before it aborts is seen. */
START_TEST(an_invariant_still_says_so)
{
    struct ending row = endings[0];
    char text[1024] = "";
    int ends[2], keep = dup(STDERR_FILENO);

    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    int status = status_of_child(end_somehow, &row);
    dup2(keep, STDERR_FILENO);
    ck_assert_int_eq(status, 128 + SIGABRT);
    ck_assert_int_gt(read(ends[0], text, sizeof(text) - 1), 0);
    ck_assert_ptr_nonnull(strstr(text, "an invariant does not hold"));
    close(ends[0]);
    close(ends[1]);
    close(keep);
}
END_TEST

/* ---- forbidden ---- */

static long open_raw(const char *path, int flags)
{
    return syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

static void do_socket(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
}
static void do_unix_socket(void)
{
    socket(AF_UNIX, SOCK_STREAM, 0);
}
static void do_exec(void)
{
    execl("/bin/true", "true", (char *)NULL);
}
static void do_fork(void)
{
    if (fork() == 0)
        _exit(0);
}
static void do_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, map_and_unmap, NULL);
}
static void do_kill(void)
{
    kill(getppid(), 0);
}
static void do_kill_ourselves_by_kill(void)
{
    kill(getpid(), 0);
}
static void do_signal_another(void)
{
    syscall(SYS_tgkill, 1, 1, 0);
}
static void do_signal_by_pidfd(void)
{
    syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0);
}
static void do_take_a_descriptor(void)
{
    syscall(SYS_pidfd_getfd, 0, 0, 0);
}
static void do_create(void)
{
    open_raw(world.shm_path, O_RDWR | O_CREAT);
}
static void do_create_pool(void)
{
    (void)shm_open(world.name, O_RDWR | O_CREAT | O_EXCL, 0600);
}
static void do_truncate_by_open(void)
{
    open_raw("/dev/null", O_RDWR | O_TRUNC);
}
static void do_append(void)
{
    open_raw("/dev/null", O_RDWR | O_APPEND);
}
static void do_open_to_write(void)
{
    open_raw("/dev/null", O_WRONLY);
}
static void do_open_temporary(void)
{
    open_raw("/dev/shm", O_RDWR | O_TMPFILE);
}
static void do_open_old_way(void)
{
#ifdef SYS_open
    syscall(SYS_open, "/dev/null", O_RDONLY);
#else
    do_create();
#endif
}
static void do_map_code(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void do_make_code(void)
{
    mprotect(world.mapped, 4096, PROT_READ | PROT_EXEC);
}
static void do_read_implies_exec(void)
{
    syscall(SYS_personality, 0x0400000);
}
static void do_ptrace(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static void do_read_another(void)
{
    struct iovec none = {NULL, 0};
    process_vm_readv(1, &none, 1, &none, 1, 0);
}
static void do_become_dumpable(void)
{
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static void do_raise_core_limit(void)
{
    struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_CORE, &limit);
}
static void do_limits_of_another(void)
{
    struct rlimit limit;
    syscall(SYS_prlimit64, 1, RLIMIT_CORE, NULL, &limit);
}
static void do_rename(void)
{
    rename(world.shm_path, "/dev/shm/larder.other");
}
static void do_chmod(void)
{
    chmod(world.shm_path, 0666);
}
static void do_truncate(void)
{
    (void)!ftruncate(world.pool, 0);
}
static void do_duplicate(void)
{
    close(dup(world.pool));
}
static void do_duplicate_by_fcntl(void)
{
    fcntl(world.pool, F_DUPFD, 100);
}
static void do_notify(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    mq_notify(world.queue, &event);
}
static void do_ioctl(void)
{
    syscall(SYS_ioctl, 0, 0x5401, NULL);
}
static void do_io_uring(void)
{
    syscall(SYS_io_uring_setup, 1, NULL);
}
static void do_bpf(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
}
static void do_memfd(void)
{
    memfd_create("code", 0);
}
static void do_mount(void)
{
    syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL);
}
static void do_namespace(void)
{
    unshare(CLONE_NEWUSER);
}
static void do_setuid(void)
{
    syscall(SYS_setuid, 0);
}
static void do_link(void)
{
    syscall(SYS_symlinkat, "/", AT_FDCWD, "/dev/shm/larder.link");
}

#define FORBIDDEN(act)                                                                                       \
    {                                                                                                        \
#act, do_##act                                                                                       \
    }
static const struct forbidden {
    const char *name;
    void (*act)(void);
} forbidden[] = {
    FORBIDDEN(socket),
    FORBIDDEN(unix_socket),
    FORBIDDEN(exec),
    FORBIDDEN(fork),
    FORBIDDEN(thread),
    FORBIDDEN(kill),
    FORBIDDEN(kill_ourselves_by_kill),
    FORBIDDEN(signal_another),
    FORBIDDEN(signal_by_pidfd),
    FORBIDDEN(take_a_descriptor),
    FORBIDDEN(create),
    FORBIDDEN(create_pool),
    FORBIDDEN(truncate_by_open),
    FORBIDDEN(append),
    FORBIDDEN(open_to_write),
    FORBIDDEN(open_temporary),
    FORBIDDEN(open_old_way),
    FORBIDDEN(map_code),
    FORBIDDEN(make_code),
    FORBIDDEN(read_implies_exec),
    FORBIDDEN(ptrace),
    FORBIDDEN(read_another),
    FORBIDDEN(become_dumpable),
    FORBIDDEN(raise_core_limit),
    FORBIDDEN(limits_of_another),
    FORBIDDEN(rename),
    FORBIDDEN(chmod),
    FORBIDDEN(truncate),
    FORBIDDEN(duplicate),
    FORBIDDEN(duplicate_by_fcntl),
    FORBIDDEN(notify),
    FORBIDDEN(ioctl),
    FORBIDDEN(io_uring),
    FORBIDDEN(bpf),
    FORBIDDEN(memfd),
    FORBIDDEN(mount),
    FORBIDDEN(namespace),
    FORBIDDEN(setuid),
    FORBIDDEN(link),
};

static void remove_world(void)
{
    mq_unlink(world.name);
    shm_unlink(world.name);
}

static void do_what_is_forbidden(void *context)
{
    const struct forbidden *row = context;

    prepare();
    create_world();
    remove_world();
    enter();
    row->act();
}

START_TEST(anything_else_ends_the_process)
{
    struct forbidden row = forbidden[_i];

    ck_assert_msg(status_of_child(do_what_is_forbidden, &row) == 128 + SIGSYS, "%s", row.name);
}
END_TEST

/* A thread that was there before the filter is under it, and takes the whole process with it. */
static void *forbidden_thread(void *unused)
{
    do_socket();
    return unused;
}

static void misbehave_in_a_thread(void *unused)
{
    (void)unused;
    prepare();
    world.thread_acts = forbidden_thread;
    start_thread();
    enter();
    sem_post(&world.go);
    pthread_join(world.thread, NULL);
}

START_TEST(threads_are_under_the_filter)
{
    ck_assert_int_eq(status_of_child(misbehave_in_a_thread, NULL), 128 + SIGSYS);
}
END_TEST

/* ---- nobody looks in ---- */

static void be_looked_into(struct test_gate *ready, bool sandboxed)
{
    if (sandboxed) {
        prepare();
        enter();
    }
    test_gate_open(ready);
    poll(NULL, 0, 60000); /* until killed */
    _exit(0);
}

/* Traces its own child as an ordinary user: a parent may, even where Yama restricts others. */
static bool can_look_in(bool sandboxed)
{
    struct test_gate ready;
    char path[64];

    test_gate_create(&ready);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        be_looked_into(&ready, sandboxed);
    EXPECT(test_gate_pass(&ready, TEST_DEADLINE_MS));
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    bool reads = open(path, O_RDONLY) >= 0;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    reads |= open(path, O_RDONLY) >= 0;
    bool traces = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
    kill(pid, SIGKILL);
    EXPECT(waitpid(pid, NULL, 0) == pid);
    EXPECT(reads == traces);
    return traces;
}

static void look_in_as_the_same_user(void *unused)
{
    (void)unused;
    if (geteuid() == 0) {
        EXPECT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
        EXPECT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    }
    if (!can_look_in(false))
        _exit(3); /* this host forbids tracing to everybody */
    EXPECT(!can_look_in(true));
}

START_TEST(its_own_user_cannot_look_into_it)
{
    int status = status_of_child(look_in_as_the_same_user, NULL);

    if (status == 3)
        fprintf(stderr, "SKIP: this host lets nobody trace\n");
    else
        ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- where there is no seccomp ---- */

static void have_no_seccomp(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    EXPECT(filter);
    EXPECT(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) == 0);
    EXPECT(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                            SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP)) == 0);
    EXPECT(seccomp_load(filter) == 0);
    seccomp_reset(NULL, 0); /* libseccomp looks anew at what the kernel can */
}

static void start_without_seccomp(void *unused)
{
    char problem[512] = "";

    (void)unused;
    have_no_seccomp();
    EXPECT(sandbox_enter(NULL, problem, sizeof(problem)) < 0);
    EXPECT(strstr(problem, "--no-sandbox"));
}

START_TEST(a_host_without_seccomp_is_named)
{
    ck_assert_int_eq(status_of_child(start_without_seccomp, NULL), 0);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, what_the_cache_does_is_allowed, allowed);
    ADD_ROWS(tcase, what_the_cache_does_is_allowed_to_any_user, allowed);
    ADD_ROWS(tcase, a_bug_ends_as_without_the_filter, endings);
    tcase_add_test(tcase, an_invariant_still_says_so);
    if (!FILTERED)
        return;
    ADD_ROWS(tcase, anything_else_ends_the_process, forbidden);
    tcase_add_test(tcase, threads_are_under_the_filter);
    tcase_add_test(tcase, its_own_user_cannot_look_into_it);
    tcase_add_test(tcase, a_host_without_seccomp_is_named);
}

int main(void)
{
    if (left_out("check_sandbox", "valgrind's own system calls would be filtered, and it traces the process"))
        return EXIT_SUCCESS;
    return run_suite("sandbox", add_cases);
}
