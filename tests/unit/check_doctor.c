/* doctor: texts of the kernel, what numbers and names mean, what a look at real objects tells, and what is
 * swept. The age limit compares time(2) with st_ctime, which nobody can set; so this program brings its own
 * time(), which can run ahead. */
#include "doctor.h"

#include "check_unit.h"
#include "doctor_internal.h"
#include "doctor_judge.h"
#include "doctor_names.h"
#include "doctor_parse.h"
#include "doctor_report.h"
#include "endpoint.h"
#include "identity.h"
#include "larder.h"
#include "log.h"
#include "mq.h"
#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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

#define OLD 6 /* seconds: more than the age below which a name is left alone */

/* ---- /proc/PID/limits ---------------------------------------------------------------------------------- */

static const char limits[] =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max cpu time              unlimited            unlimited            seconds   \n"
    "Max open files            1024                 524288               files     \n"
    "Max msgqueue size         819200               unlimited            bytes     \n"
    "Max nice priority         0                    0                    \n"
    "Max realtime timeout      unlimited            unlimited            us        \n";

static const struct {
    const char *text;
    const char *name;
    bool found;
    uint64_t soft, hard;
} limit_rows[] = {
    {limits, "Max open files", true, 1024, 524288},
    {limits, "Max msgqueue size", true, 819200, PARSE_UNLIMITED},
    {limits, "Max cpu time", true, PARSE_UNLIMITED, PARSE_UNLIMITED},
    {limits, "Max nice priority", true, 0, 0},
    {limits, "Max open", false, 0, 0},
    {limits, "Max file locks", false, 0, 0},
    {limits, "open files", false, 0, 0},
    {"", "Max open files", false, 0, 0},
    {"Max open files", "Max open files", false, 0, 0},
    {"Max open files  12", "Max open files", false, 0, 0},
    {"Max open files  12 x", "Max open files", false, 0, 0},
    {"Max open files  -1 5", "Max open files", false, 0, 0},
    {"Max open files  99999999999999999999 5", "Max open files", false, 0, 0},
    {"Max open files  1 2", "Max open files", true, 1, 2},
};

START_TEST(limits_are_read)
{
    uint64_t soft = 7, hard = 7;

    ck_assert_int_eq(parse_limit(limit_rows[_i].text, limit_rows[_i].name, &soft, &hard),
                     limit_rows[_i].found);
    if (limit_rows[_i].found) {
        ck_assert_uint_eq(soft, limit_rows[_i].soft);
        ck_assert_uint_eq(hard, limit_rows[_i].hard);
    }
}
END_TEST

/* ---- mounts, options, locks ---------------------------------------------------------------------------- */

static const char mounts[] = "21 28 0:19 / /proc rw,nosuid shared:11 - proc proc rw,hidepid=invisible,gid=4\n"
                             "24 23 0:23 / /dev/shm rw,nosuid - tmpfs tmpfs rw,size=65536k\n"
                             "25 24 0:50 / /dev/shm rw shared:3 master:1 - tmpfs shm rw,size=1024k\n"
                             "26 24 0:51 / /dev/shmother rw - tmpfs x rw\n"
                             "nonsense\n"
                             "27 24 0:20 / /dev/mqueue rw - mqueue mqueue rw\n"
                             "28 24 0:21 / /elsewhere rw - mqueue mqueue rw";

START_TEST(mounts_are_read)
{
    struct mount_info mount;
    char point[32], value[32];

    ck_assert(parse_mount(mounts, "/dev/shm", &mount));
    ck_assert_uint_eq(mount.major, 0);
    ck_assert_uint_eq(mount.minor, 50); /* the one on top */
    ck_assert_str_eq(mount.type, "tmpfs");
    ck_assert_str_eq(mount.options, "rw,size=1024k");
    ck_assert(!parse_mount(mounts, "/dev", &mount));
    ck_assert(parse_mount_of_type(mounts, "mqueue", point, sizeof(point)));
    ck_assert_str_eq(point, "/dev/mqueue");
    ck_assert(!parse_mount_of_type("", "mqueue", point, sizeof(point)));
    ck_assert(parse_mount(mounts, "/proc", &mount));
    ck_assert(parse_option(mount.options, "hidepid", value, sizeof(value)));
    ck_assert_str_eq(value, "invisible");
    ck_assert(!parse_option(mount.options, "pid", value, sizeof(value)));
    ck_assert(!parse_option("rw,hidepid", "hidepid", value, sizeof(value)));
}
END_TEST

static const char locks[] = "1: POSIX  ADVISORY  WRITE 17 00:14:2403482 0 EOF\n"
                            "1: -> POSIX  ADVISORY  WRITE 99 00:14:77 0 EOF\n"
                            "2: FLOCK  ADVISORY  WRITE 18 00:14:77 0 EOF\n"
                            "3: OFDLCK ADVISORY  WRITE -1 00:14:78 0 EOF\n"
                            "4: POSIX  ADVISORY  WRITE 19 fd:14:77 0 EOF\n"
                            "garbage\n"
                            "5: POSIX  ADVISORY  READ  20 00:1b:80 0 10\n";

START_TEST(holders_are_read)
{
    ck_assert_int_eq(parse_lock_holder(locks, makedev(0, 0x14), 2403482), 17);
    ck_assert_int_eq(parse_lock_holder(locks, makedev(0, 0x15), 2403482), 0);
    ck_assert_int_eq(parse_lock_holder(locks, makedev(0, 0x14), 77), 0); /* waiters and other kinds */
    ck_assert_int_eq(parse_lock_holder(locks, makedev(0, 0x14), 78), 0);
    ck_assert_int_eq(parse_lock_holder(locks, makedev(0xfd, 0x14), 77), 19);
    ck_assert_int_eq(parse_lock_holder(locks, makedev(0, 0x1b), 80), 20);
    ck_assert_int_eq(parse_lock_holder("", makedev(0, 0x1b), 80), 0);
}
END_TEST

/* ---- systemd and login.defs ---------------------------------------------------------------------------- */

static const struct {
    const char *text;
    bool found, value;
} logind_rows[] = {
    {"", false, false},
    {"[Login]\n#RemoveIPC=no\n", false, false},
    {"[Login]\nRemoveIPC=no\n", true, false},
    {"[Login]\nRemoveIPC=yes", true, true},
    {"[Login]\n  RemoveIPC = False \n", true, false},
    {"[Login]\nRemoveIPC=no\nRemoveIPC=on\n", true, true},
    {"[Other]\nRemoveIPC=no\n", false, false},
    {"RemoveIPC=no\n", false, false},
    {"[Login]\nRemoveIPC=\n", false, false},
    {"[Login]\nRemoveIPC=perhaps\n", false, false},
    {"[Login]\nRemoveIPCs=no\n", false, false},
    {"[Login]\r\nRemoveIPC=0\r\n", true, false},
};

START_TEST(logind_is_read)
{
    bool value = false;

    ck_assert_int_eq(parse_remove_ipc(logind_rows[_i].text, &value), logind_rows[_i].found);
    ck_assert_int_eq(value, logind_rows[_i].value);
}
END_TEST

START_TEST(login_defs_is_read)
{
    uint64_t value = 7;

    ck_assert(!parse_sys_uid_max("#SYS_UID_MAX 5\nSYS_UID_MAXIMUM 5\nSYS_UID_MAX\nUID_MAX 60000\n", &value));
    ck_assert(parse_sys_uid_max("UID_MAX 60000\nSYS_UID_MAX\t\t  499\n", &value));
    ck_assert_uint_eq(value, 499);
}
END_TEST

static const struct {
    bool runs, removes;
    uid_t uid;
    bool lingers, risk;
} ipc_rows[] = {
    {true, true, 1000, false, true},  {true, true, 999, false, false},   {true, true, 0, false, false},
    {true, true, 1000, true, false},  {true, false, 1000, false, false}, {false, true, 1000, false, false},
    {true, true, 65534, false, true},
};

START_TEST(who_loses_names_at_logout)
{
    ck_assert_int_eq(judge_remove_ipc(ipc_rows[_i].runs, ipc_rows[_i].removes, 999, ipc_rows[_i].uid,
                                      ipc_rows[_i].lingers),
                     ipc_rows[_i].risk);
}
END_TEST

/* ---- processes and names ------------------------------------------------------------------------------- */

#define ARGUMENTS(text) text, sizeof(text)

static const struct {
    const char *arguments;
    size_t length; /* with the last '\0' */
    const char *instance;
} cmdline_rows[] = {
    {ARGUMENTS("cache_server"), "default"},
    {ARGUMENTS("cache_server\0--instance\0news"), "news"},
    {ARGUMENTS("cache_server\0--instance=news"), "news"},
    {ARGUMENTS("cache_server\0--inst\0news\0--memory\0"
               "4M"),
     "news"},
    {ARGUMENTS("cache_server\0--in=a\0--instance=b"), "b"},
    {ARGUMENTS("cache_server\0--instances=a"), "default"},
    {ARGUMENTS("cache_server\0--instance"), "default"},
    {ARGUMENTS("cache_server\0--instance\0a.b"), NULL},
    {ARGUMENTS("cache_server\0--instance="), NULL},
    {ARGUMENTS(""), "default"},
    {"", 0, NULL},
    {"cache_server", 12, NULL}, /* cut */
};

START_TEST(instance_of_a_process)
{
    char instance[NAMES_INSTANCE_MAX + 1];
    bool found = parse_cmdline(cmdline_rows[_i].arguments, cmdline_rows[_i].length, instance);

    ck_assert_int_eq(found, cmdline_rows[_i].instance != NULL);
    if (found)
        ck_assert_str_eq(instance, cmdline_rows[_i].instance);
}
END_TEST

START_TEST(states_are_read)
{
    ck_assert_int_eq(parse_state("17 (cache_server) T 1 17"), 'T');
    ck_assert_int_eq(parse_state("17 (a) R (b) S 1 17"), 'S');
    ck_assert_int_eq(parse_state("17 (a)"), '?');
    ck_assert_int_eq(parse_state(""), '?');
}
END_TEST

START_TEST(effective_uid_is_read)
{
    uid_t uid = 7;

    ck_assert(!parse_effective_uid("Name:\tx\nUid:\t5\nGid:\t1\t2\t3\t4\n", &uid));
    ck_assert(parse_effective_uid("Name:\tUid:\nUid:\t5\t6\t5\t5\nGid:\t1\t2\t3\t4\n", &uid));
    ck_assert_uint_eq(uid, 6);
}
END_TEST

static const struct {
    const char *name;
    bool ours;
    const char *instance;
    uint64_t token;
    uint32_t shard;
} name_rows[] = {
    {"larder.news", true, "news", 0, 0},
    {"larder.news.00000000000000ff", true, "news", 255, 0},
    {"larder.news.shard1", true, "news", 0, 1},
    {"larder.news.shard15", true, "news", 0, 15},
    {"larder.news.shard0", false, NULL, 0, 0},
    {"larder.news.shard16", false, NULL, 0, 0},
    {"larder.a-b_c.123456789abcdef0", true, "a-b_c", 0x123456789abcdef0, 0},
    {"larder.12345678901234567890123456789012", true, "12345678901234567890123456789012", 0, 0},
    {"larder.123456789012345678901234567890123", false, NULL, 0, 0},
    {"larder.", false, NULL, 0, 0},
    {"larder..00000000000000ff", false, NULL, 0, 0},
    {"larder.news.", false, NULL, 0, 0},
    {"larder.news.ff", false, NULL, 0, 0},
    {"larder.news.00000000000000FF", false, NULL, 0, 0},
    {"larder.news.0000000000000000", false, NULL, 0, 0}, /* no peer has it: it stands for the command queue */
    {"larder.ne ws", false, NULL, 0, 0},
    {"sem.larder.news", false, NULL, 0, 0},
    {"larders.news", false, NULL, 0, 0},
    {"", false, NULL, 0, 0},
};

START_TEST(names_are_read)
{
    char instance[NAMES_INSTANCE_MAX + 1];
    uint64_t token = 7;
    uint32_t shard = 7;

    ck_assert_int_eq(parse_name(name_rows[_i].name, instance, &token, &shard), name_rows[_i].ours);
    if (name_rows[_i].ours) {
        ck_assert_str_eq(instance, name_rows[_i].instance);
        ck_assert_uint_eq(token, name_rows[_i].token);
        ck_assert_uint_eq(shard, name_rows[_i].shard);
    }
}
END_TEST

/* ---- judging ------------------------------------------------------------------------------------------- */

static const struct {
    uint64_t used, limit, need;
    enum finding_level level;
} room_rows[] = {
    {0, 256, 1, FINDING_OK},     {204, 256, 1, FINDING_OK},     {206, 256, 1, FINDING_WARN},
    {255, 256, 1, FINDING_WARN}, {256, 256, 1, FINDING_FAIL},   {300, 256, 1, FINDING_FAIL},
    {6, 10, 1, FINDING_OK},      {7, 10, 1, FINDING_WARN},      {0, 0, 1, FINDING_FAIL},
    {9, 1024, 2, FINDING_OK},    {1023, 1024, 2, FINDING_FAIL}, {1 << 30, UINT64_MAX, 2432, FINDING_OK},
};

START_TEST(room_is_judged)
{
    ck_assert_int_eq(judge_room(room_rows[_i].used, room_rows[_i].limit, room_rows[_i].need),
                     room_rows[_i].level);
}
END_TEST

START_TEST(shm_is_judged)
{
    ck_assert_int_eq(judge_shm(0), FINDING_FAIL);
    ck_assert_int_eq(judge_shm(JUDGE_SMALL_POOL), FINDING_WARN);
    ck_assert_int_eq(judge_shm(JUDGE_DEFAULT_POOL), FINDING_OK);
}
END_TEST

/* The figures stand for pools that this release really makes. */
START_TEST(pools_have_the_sizes_that_are_judged)
{
    const struct pool_shape own = {.segments = 1, .segment_bytes = 65536, .ring_entries = POOL_MIN_RING};
    const struct pool_shape usual = {.segments = LARDER_DEFAULT_SEGMENTS,
                                     .segment_bytes = LARDER_DEFAULT_SEGMENT_BYTES,
                                     .ring_entries = 512};
    uint64_t bytes;

    ck_assert(pool_shape_valid(&own, &bytes));
    ck_assert_uint_le(bytes, JUDGE_SMALL_POOL);
    ck_assert_uint_gt(bytes, JUDGE_SMALL_POOL / 2);
    ck_assert(pool_shape_valid(&usual, &bytes));
    ck_assert_uint_le(bytes, JUDGE_DEFAULT_POOL);
    ck_assert_uint_gt(bytes, JUDGE_DEFAULT_POOL * 9 / 10);
}
END_TEST

/* The kernel counts as we do: with one byte less it refuses. In a process of its own, because the bytes of
 * this user's other queues are not known. */
static void make_queue_at_limit(void *context)
{
    const struct rlimit *limit = context;
    mqd_t queue;

    if (setrlimit(RLIMIT_MSGQUEUE, limit) < 0)
        _exit(2);
    int error = mq_create_exclusive(&queue, "/larder.check-doctor-bytes", MQ_REPLY_DEPTH);
    if (!error)
        mq_unlink("/larder.check-doctor-bytes");
    _exit(error == 0 ? 0 : error == -EMFILE ? 1 : 3);
}

START_TEST(queue_bytes_are_those_of_the_kernel)
{
    ck_assert_uint_eq(judge_queue_bytes(4, 512), 2432);
    ck_assert_uint_eq(judge_queue_bytes(10, 512), 6080);
    /* Never less than one queue, whatever others have made meanwhile. */
    struct rlimit limit = {.rlim_cur = judge_queue_bytes(MQ_REPLY_DEPTH, MQ_MESSAGE_BYTES) - 1,
                           .rlim_max = 819200};
    ck_assert_int_eq(status_of_child(make_queue_at_limit, &limit), 1);
}
END_TEST

#define ABSENT                                                                                               \
    {                                                                                                        \
        .there = false                                                                                       \
    }
#define THING(held, age)                                                                                     \
    {                                                                                                        \
        .there = true, .regular = true, .known = true, .hold = (held), .age_s = (age)                        \
    }

static const struct {
    struct object_view pool, queue;
    enum name_state state;
} state_rows[] = {
    {ABSENT, ABSENT, NAME_ABSENT},
    {THING(HOLD_PROCESS, 9), THING(HOLD_PROCESS, 9), NAME_ALIVE},
    {THING(HOLD_NONE, 9), THING(HOLD_PROCESS, 9), NAME_ALIVE},
    {THING(HOLD_ELSEWHERE, 9), THING(HOLD_NONE, 9), NAME_ALIVE},
    {THING(HOLD_NONE, 9), THING(HOLD_NONE, 9), NAME_STALE},
    {THING(HOLD_NONE, 9), THING(HOLD_NONE, 0), NAME_STALE},
    {THING(HOLD_NONE, 1), THING(HOLD_NONE, 9), NAME_YOUNG},
    {THING(HOLD_NONE, 2), ABSENT, NAME_STALE},
    {THING(HOLD_NONE, 1), ABSENT, NAME_YOUNG},
    {ABSENT, THING(HOLD_NONE, 2), NAME_STALE},
    {ABSENT, THING(HOLD_NONE, 1), NAME_YOUNG},
    {ABSENT, THING(HOLD_ELSEWHERE, 1), NAME_ALIVE},
    {THING(HOLD_UNKNOWN, 9), THING(HOLD_NONE, 9), NAME_UNKNOWN},
    {THING(HOLD_UNKNOWN, 9), THING(HOLD_PROCESS, 9), NAME_ALIVE},
    {{.there = true, .known = true, .hold = HOLD_UNKNOWN}, ABSENT, NAME_STRANGE},
    {ABSENT, {.there = true}, NAME_UNKNOWN},
};

START_TEST(names_are_judged)
{
    ck_assert_int_eq(judge_names(&state_rows[_i].pool, &state_rows[_i].queue), state_rows[_i].state);
}
END_TEST

/* ---- the report ---------------------------------------------------------------------------------------- */

START_TEST(report_counts_what_it_does_not_keep)
{
    struct report *report = calloc(1, sizeof(*report));

    report_mend(report, "nothing to mend");
    report_add(report, FINDING_OK, "a", "%d", 1);
    report_add(report, FINDING_NOTE, "b", "%d", 2);
    ck_assert(!report_is_bad(report));
    report_mend(report, "type %s", "this");
    ck_assert_str_eq(report->findings[0].mend, "");
    ck_assert_str_eq(report->findings[1].mend, "type this");
    for (int i = 2; i < REPORT_MAX; i++)
        report_add(report, FINDING_OK, "c", "text");
    report_add(report, FINDING_WARN, "d", "text");
    report_mend(report, "not for the one before");
    ck_assert_uint_eq(report->count, REPORT_MAX);
    ck_assert_uint_eq(report->levels[FINDING_WARN], 1);
    ck_assert_str_eq(report->findings[REPORT_MAX - 1].mend, "");
    ck_assert(report_is_bad(report));
    free(report);
}
END_TEST

/* ---- real objects -------------------------------------------------------------------------------------- */

static const struct pool_shape shape = {.segments = 4, .segment_bytes = 4096, .ring_entries = 16};

static char instance[TEST_INSTANCE_BYTES];
static struct test_footprint before;

static void begin(void)
{
    test_instance_name(instance, "doctor");
    before = test_footprint(instance);
    ahead = 0;
}

static void end(void)
{
    ck_assert(test_nothing_left(instance, &before));
}

/* Another process, which does something, says so, and lives until it is killed. */
struct other {
    pid_t pid;
    struct test_gate ready;
    uint64_t *token; /* shared: what it has made */
};

static void start_other(struct other *other, void (*act)(uint64_t *token, struct test_gate *ready))
{
    other->token =
        mmap(NULL, sizeof(*other->token), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_gate_create(&other->ready);
    other->pid = fork();
    ck_assert_int_ge(other->pid, 0);
    if (other->pid == 0) {
        act(other->token, &other->ready);
        for (;;)
            pause();
    }
    ck_assert(test_gate_pass(&other->ready, TEST_DEADLINE_MS));
}

static void kill_other(struct other *other)
{
    kill(other->pid, SIGKILL);
    ck_assert_int_eq(waitpid(other->pid, NULL, 0), other->pid);
    test_gate_destroy(&other->ready);
}

static void forget_other(struct other *other)
{
    munmap(other->token, sizeof(*other->token));
}

static void be_peer(uint64_t *token, struct test_gate *ready)
{
    struct endpoint endpoint;

    if (endpoint_create(&endpoint, instance, &shape))
        _exit(1);
    *token = endpoint.token;
    test_gate_open(ready);
}

static mqd_t claim(mode_t mode)
{
    char name[NAMES_BYTES];
    mqd_t queue;

    names_command_queue(name, instance);
    if (mq_create_exclusive(&queue, name, MQ_COMMAND_DEPTH) || identity_lock(queue) || fchmod(queue, mode))
        _exit(1);
    return queue;
}

static void be_silent_cache(uint64_t *token, struct test_gate *ready)
{
    (void)token;
    claim(0640);
    test_gate_open(ready);
}

/* A cache of the next release: it refuses, and says by its header what it speaks. */
static void be_newer_cache(uint64_t *token, struct test_gate *ready)
{
    mqd_t commands = claim(0600), reply;
    union wire_message asked, answer;
    char name[NAMES_BYTES];

    (void)token;
    if (fcntl(commands, F_SETFL, 0) < 0) /* waits for messages */
        _exit(1);
    test_gate_open(ready);
    while (mq_receive_message(commands, &asked) > 0) {
        wire_prepare(&answer, WIRE_REFUSED, asked.header.token);
        answer.header.version = WIRE_VERSION + 1;
        names_peer(name, instance, asked.header.token);
        if (mq_open_existing(&reply, name, O_WRONLY) == 0) {
            mq_send_message(reply, &answer, answer.header.length);
            mq_close(reply);
        }
    }
}

static struct name_view view_of(const struct survey *survey, uint64_t token)
{
    for (size_t i = 0; i < survey->count; i++) {
        if (survey->names[i].token == token && strcmp(survey->names[i].instance, instance) == 0)
            return survey->names[i];
    }
    ck_abort_msg("it was not found");
    return (struct name_view){0};
}

START_TEST(survey_tells_who_holds_and_who_made)
{
    struct survey survey;
    struct other living, dead;

    begin();
    start_other(&living, be_peer);
    start_other(&dead, be_peer);
    kill_other(&dead);
    ahead = OLD;
    ck_assert_int_eq(survey_take(&survey, instance), 0);
    struct name_view view = view_of(&survey, *living.token);
    ck_assert_int_eq(view.state, NAME_ALIVE);
    ck_assert_int_eq(view.pool.hold, HOLD_PROCESS);
    ck_assert_int_eq(view.pool.holder, living.pid);
    ck_assert_int_eq(view.queue.holder, living.pid);
    ck_assert_int_eq(view.pool.creator, living.pid);
    ck_assert_uint_eq(view.queue.bytes, judge_queue_bytes(MQ_REPLY_DEPTH, MQ_MESSAGE_BYTES));
    view = view_of(&survey, *dead.token);
    ck_assert_int_eq(view.state, NAME_STALE);
    ck_assert_int_eq(view.pool.hold, HOLD_NONE);
    ck_assert_int_eq(view.pool.creator, dead.pid); /* as segment_pool.c has written it */
    ck_assert_uint_eq(view.pool.uid, geteuid());
    ck_assert_uint_eq(view.pool.mode, 0600);
    ck_assert_int_ge(view.pool.age_s, OLD);
    ck_assert_int_eq(view_of(&survey, 0).state, NAME_ABSENT);
    survey_release(&survey);

    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 1);
    kill_other(&living);
    ck_assert_int_eq(endpoint_sweep(instance, NULL, NULL), 1);
    forget_other(&living);
    forget_other(&dead);
    end();
}
END_TEST

/* Runs the doctor in a process of its own; its report is in `out`. */
struct visit {
    struct doctor_options options;
    int file;
};

static void visit(void *context)
{
    const struct visit *visit = context;

    dup2(visit->file, STDOUT_FILENO);
    int status = doctor_run(&visit->options);
    fflush(stdout);
    _exit(status);
}

static int examine(bool sweep, char *out, size_t size)
{
    struct visit now = {.options = {.instance = instance, .timeout = 0.2, .sweep = sweep},
                        .file = memfd_create("report", 0)};
    int status = status_of_child(visit, &now);
    ssize_t length = pread(now.file, out, size - 1, 0);

    ck_assert_int_gt(length, 0);
    out[length] = '\0';
    close(now.file);
    return status;
}

#define ck_assert_says(report, text)                                                                         \
    ck_assert_msg(strstr(report, text) != NULL, "no \"%s\" in:\n%s", text, report)

static void kill_cache(struct other *cache)
{
    char name[NAMES_BYTES];

    names_command_queue(name, instance);
    kill_other(cache);
    mq_unlink(name);
    forget_other(cache);
}

START_TEST(another_version_is_named)
{
    char report[16384], text[64];
    struct other cache;

    if (left_out_without_pidfd("another_version_is_named"))
        return;
    begin();
    start_other(&cache, be_newer_cache);
    ck_assert_int_eq(examine(false, report, sizeof(report)), 1);
    snprintf(text, sizeof(text), "the cache speaks version %d, this program version %d", WIRE_VERSION + 1,
             WIRE_VERSION);
    ck_assert_says(report, text);
    ck_assert_says(report, "mend: cache_server --version");
    kill_cache(&cache);
    end();
}
END_TEST

START_TEST(silence_and_a_wrong_mode_are_named)
{
    char report[16384];
    struct other cache;

    if (left_out_without_pidfd("silence_and_a_wrong_mode_are_named"))
        return;
    begin();
    start_other(&cache, be_silent_cache);
    ck_assert_int_eq(examine(false, report, sizeof(report)), 1);
    ck_assert_says(report, "FAIL  answer         the cache is alive and does not answer");
    ck_assert_says(report, "has mode 0640 instead of 0600");
    ck_assert_says(report, "chmod 600 ");
    kill_cache(&cache);
    end();
}
END_TEST

/* The lock, the age and the owner each protect a command queue. */
START_TEST(only_a_dead_command_queue_is_swept)
{
    char report[16384], name[NAMES_BYTES];
    struct other cache;
    mqd_t queue;

    begin();
    names_command_queue(name, instance);
    start_other(&cache, be_silent_cache);
    ahead = OLD;
    examine(true, report, sizeof(report));
    ck_assert_says(report, "nothing to remove");
    ck_assert(!doctor_remove_command_queue(instance, 0)); /* though it looked dead a moment ago, say */
    kill_other(&cache);
    forget_other(&cache);

    ahead = -OLD; /* however slow this run is: a starting cache may not have locked it yet */
    examine(true, report, sizeof(report));
    ck_assert_says(report, "nothing to remove");
    ck_assert_says(report, "a cache is starting, or has just died");
    ck_assert_int_eq(mq_open_existing(&queue, name, O_RDWR), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(fchown(queue, 65534, (gid_t)-1), 0);
        ahead = OLD;
        examine(true, report, sizeof(report));
        ck_assert_says(report, "nothing to remove");
        ck_assert_says(report, "no cache of another uid can take it over");
        ck_assert_says(report, "doctor --sweep");
        ck_assert_int_eq(fchown(queue, 0, (gid_t)-1), 0);
    }
    mq_close(queue);
    ahead = OLD;
    examine(true, report, sizeof(report));
    ck_assert_says(report, "removed /larder.");
    ck_assert_says(report, "(command queue of a dead cache");
    ck_assert_int_eq(mq_open_existing(&queue, name, O_RDWR), -ENOENT);
    end();
}
END_TEST

/* By name, because not everybody can list queues. */
START_TEST(lone_queue_is_swept_when_its_owner_is_dead)
{
    char name[NAMES_BYTES];
    struct endpoint own;
    struct other peer;
    mqd_t queue;

    begin();
    start_other(&peer, be_peer);
    names_peer(name, instance, *peer.token);
    ck_assert_int_eq(shm_unlink(name), 0);
    ahead = OLD;
    ck_assert(!endpoint_sweep_peer(name));
    kill_other(&peer);
    ahead = -OLD;
    ck_assert(!endpoint_sweep_peer(name));
    ahead = OLD;
    ck_assert(endpoint_sweep_peer(name));
    ck_assert_int_eq(mq_open_existing(&queue, name, O_RDONLY), -ENOENT);
    ck_assert(!endpoint_sweep_peer(name));

    ck_assert_int_eq(endpoint_create(&own, instance, &shape), 0);
    ck_assert(!endpoint_sweep_peer(own.name));
    shm_unlink(own.name);
    ck_assert(!endpoint_sweep_peer(own.name));
    endpoint_destroy(&own);
    forget_other(&peer);
    end();
}
END_TEST

START_TEST(what_could_not_be_made_is_told_apart)
{
    const struct rlimit none = {0};
    struct endpoint endpoint;
    struct rlimit limit;

    begin();
    getrlimit(RLIMIT_MSGQUEUE, &limit);
    setrlimit(RLIMIT_MSGQUEUE, &(struct rlimit){.rlim_cur = none.rlim_cur, .rlim_max = limit.rlim_max});
    ck_assert_int_eq(endpoint_create(&endpoint, instance, &shape), -EMFILE);
    ck_assert(endpoint.lacks_queue);
    setrlimit(RLIMIT_MSGQUEUE, &limit);
    ck_assert_int_eq(endpoint_create(&endpoint, instance, &(struct pool_shape){.segments = 4}), -EINVAL);
    ck_assert(!endpoint.lacks_queue);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, limits_are_read, limit_rows);
    tcase_add_test(tcase, mounts_are_read);
    tcase_add_test(tcase, holders_are_read);
    ADD_ROWS(tcase, logind_is_read, logind_rows);
    tcase_add_test(tcase, login_defs_is_read);
    ADD_ROWS(tcase, who_loses_names_at_logout, ipc_rows);
    ADD_ROWS(tcase, instance_of_a_process, cmdline_rows);
    tcase_add_test(tcase, states_are_read);
    tcase_add_test(tcase, effective_uid_is_read);
    ADD_ROWS(tcase, names_are_read, name_rows);
    ADD_ROWS(tcase, room_is_judged, room_rows);
    tcase_add_test(tcase, shm_is_judged);
    tcase_add_test(tcase, pools_have_the_sizes_that_are_judged);
    tcase_add_test(tcase, queue_bytes_are_those_of_the_kernel);
    ADD_ROWS(tcase, names_are_judged, state_rows);
    tcase_add_test(tcase, report_counts_what_it_does_not_keep);
    tcase_add_test(tcase, survey_tells_who_holds_and_who_made);
    tcase_add_test(tcase, another_version_is_named);
    tcase_add_test(tcase, silence_and_a_wrong_mode_are_named);
    tcase_add_test(tcase, only_a_dead_command_queue_is_swept);
    tcase_add_test(tcase, lone_queue_is_swept_when_its_owner_is_dead);
    tcase_add_test(tcase, what_could_not_be_made_is_told_apart);
}

int main(void)
{
    log_set_level("error");
    return run_suite("doctor", add_cases);
}
