/* check_unit.h: what the unit tests of common/ and cache_server/ share: tables as loop tests, bytes that can
 * be recomputed, numbers that repeat, and children that are expected to end in a certain way. */
#ifndef LARDER_CHECK_UNIT_H
#define LARDER_CHECK_UNIT_H

#include "check_valgrind.h"

#include <check.h>
#include <dirent.h>
#include <mqueue.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* For each assertion that holds, Check writes to a file where it stands, to say where a test was that crashed
 * or hung: most of the time of a test with a million of them, and under valgrind nearly all. Here only the
 * first pass over each line is written. (The analyzer sees Check's own; a branch in each assertion is a path
 * for it.) */
#ifndef __clang_analyzer__
static inline void note_first_pass(const char *file, int line)
{
    static _Thread_local bool passed[4096];
    bool *it = &passed[(unsigned)line % 4096];

    if (!*it)
        _mark_point(file, line);
    *it = true;
}
#undef ck_assert_msg /* which all others are made of */
#define ck_assert_msg(expr, ...)                                                                             \
    ((expr) ? note_first_pass(__FILE__, __LINE__)                                                            \
            : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", __VA_ARGS__))
#endif

#define ROWS(table)               ((int)(sizeof(table) / sizeof *(table)))
#define ADD_ROWS(tcase, f, table) tcase_add_loop_test(tcase, f, 0, ROWS(table))

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* splitmix64: the same sequence in every run. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return next_random(state) % bound;
}

/* Byte `offset` of body number `seed`: differs between bodies and between places, with a period that is no
 * power of two. */
static inline uint8_t pattern_byte(uint64_t seed, uint64_t offset)
{
    return (uint8_t)((offset % 251) * 7 + offset / 65536 * 13 + seed * 101 + 1);
}

static inline void fill_pattern(uint8_t *out, uint64_t seed, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        out[i] = pattern_byte(seed, offset + i);
}

static inline bool is_pattern(const uint8_t *bytes, uint64_t seed, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++) {
        if (bytes[i] != pattern_byte(seed, offset + i))
            return false;
    }
    return true;
}

/* Valgrind 3.19, that of Debian 12, does not know pidfd_open(2); left_out() for a test that needs it. */
static inline bool left_out_without_pidfd(const char *test)
{
    if (!under_valgrind())
        return false;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd >= 0)
        close(pidfd);
    return pidfd < 0 && left_out(test, "this valgrind does not know pidfd_open");
}

/* Runs `act` in a child and returns its exit status, or 128 + the signal that ended it. */
static inline int status_of_child(void (*act)(void *), void *context)
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct rlimit none = {0};

        setrlimit(RLIMIT_CORE, &none);
        act(context);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Removes what failed tests of this program have left in /dev/shm: names of stories that begin with `story`,
 * by processes that are gone, and the queues of the same names. */
static inline void remove_leftovers(const char *story)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    char prefix[64], path[300];
    int pid;

    snprintf(prefix, sizeof(prefix), "larder.%s-", story);
    while (directory && (entry = readdir(directory))) {
        const char *number = entry->d_name + strlen(prefix);
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        pid = (int)strtol(number, NULL, 10);
        if (pid <= 0 || kill(pid, 0) == 0)
            continue;
        snprintf(path, sizeof(path), "/%s", entry->d_name);
        mq_unlink(path);
        snprintf(path, sizeof(path), "/dev/shm/%s", entry->d_name);
        remove(path);
    }
    if (directory)
        closedir(directory);
}

static inline int run_suite(const char *name, void (*add_cases)(TCase *))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    add_cases(tcase);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (failed > 0)
        remove_leftovers(name);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
