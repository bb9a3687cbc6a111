/* privileges: who --user names, and that there is no way back. What needs root runs in children, and only for
 * root. */
#include "privileges.h"

#include "check_unit.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>

#define UNNAMED 54321 /* no such user on a sane system */

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "not so: %s (%s)\n", #condition, strerror(errno));                               \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static char problem[512];

/* ---- names ---- */

static const struct {
    const char *text;
    int result;
    uid_t uid;
    gid_t gid;
    const char *name, *complaint;
} names[] = {
    {"daemon", 0, 1, 1, "daemon", NULL},
    {"1", 0, 1, 1, "daemon", NULL},
    {"daemon:sys", 0, 1, 3, "daemon", NULL},
    {"daemon:3", 0, 1, 3, "daemon", NULL},
    {"54321:54322", 0, UNNAMED, 54322, "", NULL},
    {"54321:sys", 0, UNNAMED, 3, "", NULL},
    {"54321", -EINVAL, 0, 0, NULL, "write UID:GID"},
    {"no-such-user", -EINVAL, 0, 0, NULL, "no such user"},
    {"daemon:no-such-group", -EINVAL, 0, 0, NULL, "no such group"},
    {"daemon:", -EINVAL, 0, 0, NULL, "no such group"},
    {"", -EINVAL, 0, 0, NULL, "no such user"},
    {":sys", -EINVAL, 0, 0, NULL, "no such user"},
    {"-1", -EINVAL, 0, 0, NULL, "no such user"},
    {"4294967295:1", -EINVAL, 0, 0, NULL, "no such user"}, /* (uid_t)-1 */
    {"4294967297:1", -EINVAL, 0, 0, NULL, "no such user"}, /* 1, if cut to 32 bits */
    {"99999999999999999999999:1", -EINVAL, 0, 0, NULL, "no such user"},
    {"root", -EINVAL, 0, 0, NULL, "nothing would be given up"},
    {"0:1", -EINVAL, 0, 0, NULL, "nothing would be given up"},
    {"a-name-that-is-longer-than-any-user-of-this-host-has-or-could-ever-have", -EINVAL, 0, 0, NULL,
     "too long"},
};

START_TEST(a_user_is_found_by_name_or_number)
{
    struct privileges_user user;

    if (geteuid() != 0)
        return;
    int result = privileges_find(&user, names[_i].text, problem, sizeof(problem));
    ck_assert_msg(result == names[_i].result, "\"%s\": %d %s", names[_i].text, result, problem);
    if (result != 0) {
        ck_assert_msg(strstr(problem, names[_i].complaint) != NULL, "\"%s\": %s", names[_i].text, problem);
        return;
    }
    ck_assert_uint_eq(user.uid, names[_i].uid);
    ck_assert_uint_eq(user.gid, names[_i].gid);
    ck_assert_str_eq(user.name, names[_i].name);
}
END_TEST

static void ask_as_nobody(void *unused)
{
    struct privileges_user user;

    (void)unused;
    if (geteuid() == 0)
        EXPECT(setuid(UNNAMED) == 0);
    EXPECT(privileges_find(&user, "daemon", problem, sizeof(problem)) == -EPERM);
    EXPECT(strstr(problem, "only root"));
}

START_TEST(only_root_may_ask)
{
    ck_assert_int_eq(status_of_child(ask_as_nobody, NULL), 0);
}
END_TEST

/* ---- becoming ---- */

static uint64_t number_in_status(const char *field, int base)
{
    char line[256];
    uint64_t value = UINT64_MAX;
    FILE *status = fopen("/proc/self/status", "re");

    EXPECT(status);
    while (fgets(line, sizeof(line), status)) {
        if (strncmp(line, field, strlen(field)) == 0)
            value = strtoull(line + strlen(field), NULL, base);
    }
    (void)fclose(status);
    return value;
}

static void expect_no_capabilities(bool bounding_too)
{
    EXPECT(number_in_status("CapInh:", 16) == 0);
    EXPECT(number_in_status("CapPrm:", 16) == 0);
    EXPECT(number_in_status("CapEff:", 16) == 0);
    EXPECT(number_in_status("CapAmb:", 16) == 0);
    EXPECT(!bounding_too || number_in_status("CapBnd:", 16) == 0);
}

static void expect_no_way_back(const struct privileges_user *user)
{
    EXPECT(getuid() == user->uid && geteuid() == user->uid);
    EXPECT(getgid() == user->gid && getegid() == user->gid);
    EXPECT(setuid(0) < 0 && seteuid(0) < 0 && setresuid(0, 0, 0) < 0);
    EXPECT(setgid(0) < 0 && setegid(0) < 0 && setgroups(0, NULL) < 0);
    EXPECT(open("/etc/shadow", O_RDONLY) < 0);
}

static void become_for_good(void *text)
{
    struct privileges_user user;
    gid_t groups[64];

    EXPECT(setgroups(2, (gid_t[]){0, 4}) == 0); /* root's, which must not stay */
    EXPECT(privileges_find(&user, text, problem, sizeof(problem)) == 0);
    EXPECT(privileges_become(&user, problem, sizeof(problem)) == 0);
    expect_no_capabilities(true);
    expect_no_way_back(&user);
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        EXPECT(groups[i] != 0 && groups[i] != 4);
}

static const char *const becoming[] = {"daemon", "daemon:sys", "54321:54322"};

START_TEST(becoming_a_user_is_for_good)
{
    char text[64];

    if (geteuid() != 0)
        return;
    snprintf(text, sizeof(text), "%s", becoming[_i]);
    ck_assert_int_eq(status_of_child(become_for_good, text), 0);
}
END_TEST

/* A process that keeps its capabilities over setuid(2) would keep the way back. */
static void become_with_kept_capabilities(void *unused)
{
    (void)unused;
    EXPECT(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
    become_for_good((char[]){"daemon"});
}

START_TEST(kept_capabilities_are_dropped)
{
    if (geteuid() == 0)
        ck_assert_int_eq(status_of_child(become_with_kept_capabilities, NULL), 0);
}
END_TEST

/* Somebody who is not root cannot, and is told. */
static void become_without_privilege(void *unused)
{
    struct privileges_user user = {.name = "daemon", .uid = 1, .gid = 1};

    (void)unused;
    if (geteuid() == 0)
        EXPECT(setuid(UNNAMED) == 0);
    EXPECT(privileges_become(&user, problem, sizeof(problem)) < 0);
    EXPECT(problem[0] != '\0');
}

START_TEST(becoming_takes_privilege)
{
    ck_assert_int_eq(status_of_child(become_without_privilege, NULL), 0);
}
END_TEST

/* ---- dropping ---- */

static void drop_all(void *unused)
{
    (void)unused;
    bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

    EXPECT(privileges_drop_capabilities(problem, sizeof(problem)) == 0);
    EXPECT(privileges_forbid_new(problem, sizeof(problem)) == 0);
    expect_no_capabilities(bounding);
    EXPECT(number_in_status("NoNewPrivs:", 10) == 1);
    EXPECT(setgroups(0, NULL) < 0);
    /* Twice is once. */
    EXPECT(privileges_drop_capabilities(problem, sizeof(problem)) == 0);
}

static void drop_all_as_nobody(void *unused)
{
    if (geteuid() == 0)
        EXPECT(setuid(UNNAMED) == 0);
    drop_all(unused);
}

/* As a service manager gives them: one capability, inherited by what is executed. */
static void drop_ambient(void *unused)
{
    EXPECT(capng_get_caps_process() == 0);
    capng_clear(CAPNG_SELECT_BOTH);
    EXPECT(capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE | CAPNG_AMBIENT,
                        CAP_NET_BIND_SERVICE) == 0);
    EXPECT(capng_change_id(UNNAMED, UNNAMED, CAPNG_DROP_SUPP_GRP) == 0);
    EXPECT(capng_apply(CAPNG_SELECT_AMBIENT) == 0);
    EXPECT(number_in_status("CapAmb:", 16) != 0);
    drop_all(unused);
}

START_TEST(all_capabilities_are_dropped)
{
    ck_assert_int_eq(status_of_child(drop_all, NULL), 0);
    ck_assert_int_eq(status_of_child(drop_all_as_nobody, NULL), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(status_of_child(drop_ambient, NULL), 0);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, a_user_is_found_by_name_or_number, names);
    tcase_add_test(tcase, only_root_may_ask);
    ADD_ROWS(tcase, becoming_a_user_is_for_good, becoming);
    tcase_add_test(tcase, kept_capabilities_are_dropped);
    tcase_add_test(tcase, becoming_takes_privilege);
    tcase_add_test(tcase, all_capabilities_are_dropped);
}

int main(void)
{
    return run_suite("privileges", add_cases);
}
