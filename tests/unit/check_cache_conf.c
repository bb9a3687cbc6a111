/* cache_conf: what a file and the command line of the cache may say together, and what a reload may change.
 */
#include "cache_conf.h"

#include "check_unit.h"
#include "identity.h"

#include <string.h>

#define MAX_WORDS 24

static struct conf_report report;

static bool load(struct cache_conf *conf, const char *text, const struct cache_command *command)
{
    conf_report_clear(&report, "f");
    return cache_conf_from_text(conf, command, NULL, text, strlen(text), &report);
}

static int parse(struct cache_command *command, const char *line)
{
    static char words[512];
    char *argv[MAX_WORDS + 2] = {words};
    int argc = 1;

    snprintf(words, sizeof(words), "cache_server%s%s", *line ? " " : "", line);
    strtok(words, " ");
    while (argc < MAX_WORDS && (argv[argc] = strtok(NULL, " ")))
        argc++;
    return cache_conf_command(command, argc, argv);
}

START_TEST(defaults)
{
    struct cache_conf conf;

    ck_assert_msg(load(&conf, "", NULL), "%s", report.text);
    ck_assert_str_eq(conf.instance, "default");
    ck_assert_uint_eq(conf.memory, (uint64_t)512 << 20);
    ck_assert_uint_eq(conf.max_object, (uint64_t)128 << 20);
    ck_assert_int_eq(conf.stall_ms, 1000);
    ck_assert_int_eq(conf.stall_limit_ms, 60000);
    ck_assert_int_eq(conf.lease_ms, 60000);
    ck_assert_str_eq(conf.log_level, "info");
    ck_assert(!conf.no_sandbox && conf.huge_pages && !conf.user);
    ck_assert_uint_eq(conf.spin, 5);
    ck_assert_uint_eq(conf.tenant_count, 0);
    ck_assert_uint_eq(conf.shards, 1);
    cache_conf_free(&conf);
}
END_TEST

/* Each shard has a part of everything but of proxies, which register with all of them. */
START_TEST(shards_divide_what_there_is)
{
    struct cache_conf conf;
    uint64_t sum = 0;

    ck_assert_msg(load(&conf,
                       "[cache]\nmemory = 100000001\nshards = 3\n[tenant \"news\"]\nreserve = 1000000\n"
                       "limit = 2000000\nmax-fills = 7\nmax-waiters = 1\nmax-proxies = 5\nweight = 9\n",
                       NULL),
                  "%s", report.text);
    for (uint32_t i = 0; i < conf.shards; i++)
        sum += cache_conf_shard_memory(&conf, i);
    ck_assert_uint_eq(sum, conf.memory);
    ck_assert_uint_eq(conf.max_object, conf.memory / 3 / 4);
    const struct tenant_settings *part = &conf.settings[0].settings;
    ck_assert_uint_eq(part->reserve, 333333);
    ck_assert_uint_eq(part->limit, 666667);
    ck_assert_uint_eq(part->max_fills, 3);
    ck_assert_uint_eq(part->max_waiters, 1);
    ck_assert_uint_eq(part->max_pins, 0); /* no bound */
    ck_assert_uint_eq(part->max_proxies, 5);
    ck_assert_uint_eq(part->weight, 9);
    ck_assert_uint_eq(conf.tenants[0].settings.limit, 2000000); /* as it was said */
    cache_conf_free(&conf);

    ck_assert(load(&conf, "[cache]\nmemory = 64M\nmax-object = 60M\nshards = 16\n", NULL));
    ck_assert_uint_eq(cache_conf_shard_object(&conf), (uint64_t)4 << 20);
    cache_conf_free(&conf);
    ck_assert(!load(&conf, "[cache]\nmemory = 63M\nshards = 16\n", NULL));
    ck_assert(!load(&conf, "[cache]\nshards = 17\n", NULL));
    ck_assert(!load(&conf, "[cache]\nshards = 0\n", NULL));
}
END_TEST

START_TEST(values_arrive)
{
    struct cache_conf conf;

    ck_assert_msg(
        load(&conf,
             "[cache]\ngroup = root\ninstance = x\nmemory = 1G\nmax_object = 2M\nstall_time = 250ms\n"
             "stall-limit = 0\nlease-time = 1h\nuser = root:0\nlog-level = warn\nno-sandbox = yes\n"
             "huge-pages = off\nspin = 20%\n"
             "[tenant \"news\"]\nreserve = 100M\nlimit = 1G\nweight = 3\npolicy = sieve\nmax_fills = 7\n"
             "max_waiters = 8\nadmission = off\nmax-pins = 9\nmax-proxies = 10\nuids = root, 7\nuids = 8\n"
             "[tenant \"b\"]\n",
             NULL),
        "%s", report.text);
    ck_assert_str_eq(conf.instance, "x");
    ck_assert_uint_eq(conf.memory, (uint64_t)1 << 30);
    ck_assert_uint_eq(conf.max_object, (uint64_t)2 << 20);
    ck_assert_int_eq(conf.stall_ms, 250);
    ck_assert_int_eq(conf.stall_limit_ms, 0);
    ck_assert_int_eq(conf.lease_ms, 3600000);
    ck_assert_str_eq(conf.user, "root:0");
    ck_assert_str_eq(conf.log_level, "warn");
    ck_assert(conf.no_sandbox && !conf.huge_pages);
    ck_assert_uint_eq(conf.spin, 20);
    ck_assert_uint_eq(conf.tenant_count, 2);
    const struct tenant_conf *news = cache_conf_tenant(&conf, "news");
    ck_assert_uint_eq(news->settings.reserve, (uint64_t)100 << 20);
    ck_assert_uint_eq(news->settings.limit, (uint64_t)1 << 30);
    ck_assert_uint_eq(news->settings.weight, 3);
    ck_assert_int_eq((int)news->settings.policy, EVICTION_sieve);
    ck_assert(!news->settings.admission);
    ck_assert_uint_eq(news->settings.max_fills, 7);
    ck_assert_uint_eq(news->settings.max_waiters, 8);
    ck_assert_uint_eq(news->settings.max_pins, 9);
    ck_assert_uint_eq(news->settings.max_proxies, 10);
    ck_assert_uint_eq(news->user_count, 3);
    ck_assert_uint_eq(news->users[0].uid, 0);
    ck_assert_uint_eq(news->users[1].uid, 7);
    ck_assert_uint_eq(news->users[2].uid, 8);
    const struct tenant_conf *b = cache_conf_tenant(&conf, "b");
    ck_assert_uint_eq(b->settings.weight, 1);
    ck_assert_int_eq((int)b->settings.policy, EVICTION_lru);
    ck_assert(b->settings.admission);
    ck_assert_str_eq(conf.settings[1].name, "b");
    ck_assert_uint_eq(conf.settings[0].settings.max_pins, 9); /* what tenants_configure() is given */
    ck_assert_uint_eq(b->user_count, 0);
    ck_assert_ptr_null(cache_conf_tenant(&conf, "c"));
    cache_conf_free(&conf);
}
END_TEST

static const struct {
    const char *text, *problem;
} mistakes[] = {
    {"[cache]\nmemory = 3M\n", "f:2: memory: \"3M\" is out of range (4M to "},
    {"[cache]\nspin = 101%\n", "f:2: spin: \"101%\" is out of range (0 to 100)"},
    {"[cache]\nspin = 5 %\n", "f:2: spin: \"5 %\" is not a share"},
    {"[cache]\nspin = %\n", "f:2: spin: \"%\" is not a share"},
    {"[cache]\nspin = -1\n", "f:2: spin: \"-1\" is not a share"},
    {"[cache]\nmemory = 4s\n", "f:2: memory: \"4s\" is not a size"},
    {"[cache]\nmemroy = 4M\n", "did you mean \"memory\"?"},
    {"[cache]\nlisten = 4M\n", "f:2: unknown key \"listen\" in [cache]\n"},
    {"[chace]\n", "did you mean [cache]?"},
    {"[cache]\nmemory = 4M\nmax-object = 5M\n", "f: max-object (5M) is more than memory (4M)"},
    {"[cache]\nstall-time = 99ms\n", "f:2: stall-time: \"99ms\" is out of range (100ms to 1d)"},
    {"[cache]\nlease-time = 25h\n", "f:2: lease-time: \"25h\" is out of range"},
    {"[cache]\nlease-time = 1G\n", "has no unit of time"},
    {"[cache]\ninstance = a.b\n", "f:2: instance: \"a.b\" is not a name"},
    {"[cache]\nuser = no-such-user-here\n", "f: user: no such user: no-such-user-here"},
    {"[cache]\nlog-level = loud\n", "is none of: error warn info debug"},
    {"[cache]\nmemory = 8M\nmemory = 8M\n", "f:3: \"memory\" is there already, in line 2"},
    {"[tenant \"a/b\"]\n", "f:1: [tenant \"a/b\"] is no name of a tenant"},
    {"[tenant \"a\"]\n[tenant \"a\"]\n", "f:2: [tenant \"a\"] is there already, in line 1"},
    {"[tenant \"a\"]\n[tenant \"A\"]\n", "f:2: [tenant \"A\"] overlaps with [tenant \"a\"] in line 1"},
    {"[tenant \"a\"]\nreserve = 300M\n[tenant \"b\"]\nreserve = 300M\n",
     "f:3: the tenants' reserves (600M together) are more than memory (512M)"},
    {"[tenant \"a\"]\nlimit = 513M\n", "f:1: limit (513M) of tenant \"a\" is more than memory (512M)"},
    {"[tenant \"a\"]\nlimit = 10M\nreserve = 11M\n",
     "f:1: reserve (11M) of tenant \"a\" is more than its limit (10M)"},
    {"[tenant \"a\"]\nweight = 0\n", "f:2: weight: \"0\" is out of range (1 to 1000)"},
    {"[tenant \"a\"]\npolicy = fifo\n", "f:2: policy: \"fifo\" is none of: lru s3fifo sieve"},
    {"[tenant \"a\"]\nmax-proxies = 0\n", "f:2: max-proxies: \"0\" is out of range"},
    {"[tenant \"a\"]\nuids = no-such-user-here\n",
     "f:2: uids: \"no-such-user-here\" has an unknown user: no-such"},
    {"[tenant \"a\"]\nuids = 1, 1\n", "f:2: uids: \"1, 1\" names user 1 twice"},
    {"[tenant \"a\"]\nuids = 99\n", "f:1: tenant \"a\" names user 99, but there is no group in [cache]"},
    {"[cache]\ngroup = no-such-group-here\n", "f:2: group: \"no-such-group-here\" is no group"},
    {"[tenant \"a\"]\ngroup = no-such-group-here\n", "f:2: group: \"no-such-group-here\" is no group"},
    {"[tenant \"a\"]\nuids = ,\n", "f:2: uids: \",\" names nobody"},
    {"[tenant \"a\"]\nuids = 4294967295\n", "has an unknown user"},
    {"[cache]\nmemory = x\n[tenant \"a\"]\nuids = 1\nmemory = 4M\n",
     "f:5: unknown key \"memory\" in [tenant]; it "
     "belongs into [cache]"},
};

START_TEST(mistake_is_reported)
{
    struct cache_conf conf;

    ck_assert(!load(&conf, mistakes[_i].text, NULL));
    ck_assert_msg(strstr(report.text, mistakes[_i].problem), "%s", report.text);
    ck_assert_ptr_null(conf.tenants);
}
END_TEST

START_TEST(one_name_cannot_be_longer_than_a_tenants)
{
    char text[128] = "[tenant \"";
    struct cache_conf conf;

    for (size_t length = 60; length < 68; length++) {
        memset(text + 9, 'x', length);
        memcpy(text + 9 + length, "\"]\n", 4);
        ck_assert(load(&conf, text, NULL) == (length <= NAMES_TENANT_MAX));
        cache_conf_free(&conf);
    }
}
END_TEST

START_TEST(options_win)
{
    struct cache_command command;
    struct cache_conf conf;
    static const char text[] = "[cache]\nmemory = 1G\nlease-time = 5s\ninstance = f\n";

    ck_assert_int_eq(parse(&command, "--config f --memory 2G --instance o --no-sandbox --memory 3G"), -1);
    ck_assert_str_eq(command.common.config, "f");
    ck_assert(!command.common.check);
    ck_assert_msg(load(&conf, text, &command), "%s", report.text);
    ck_assert_uint_eq(conf.memory, (uint64_t)3 << 30);
    ck_assert_int_eq(conf.lease_ms, 5000);
    ck_assert_str_eq(conf.instance, "o");
    ck_assert(conf.no_sandbox);
    cache_conf_free(&conf);
    /* A mistake in an option is about no file, and both are reported. */
    ck_assert_int_eq(parse(&command, "--lease-time x --check"), -1);
    ck_assert(command.common.check);
    ck_assert(!load(&conf, "[cache]\nmemory = 1\n", &command));
    ck_assert_str_eq(report.text, "f:2: memory: \"1\" is out of range (4M to 4194304T)\n"
                                  "--lease-time: \"x\" is not a time, such as 10s or 1.5h\n");
}
END_TEST

/* Of a tenant of the file only what is named; others are there through the option alone. */
START_TEST(tenants_of_options_win)
{
    struct cache_command command;
    struct cache_conf conf;
    static const char text[] = "[tenant \"news\"]\nreserve = 8M\nweight = 3\nuids = root\n";

    ck_assert_int_eq(parse(&command, "--tenant news:reserve=64M,limit=256M,policy=s3fifo,max_pins=3 "
                                     "--tenant a.b-c_1:admission=off,max-fills=1 --tenant news:weight=7"),
                     -1);
    ck_assert_msg(load(&conf, text, &command), "%s", report.text);
    ck_assert_uint_eq(conf.tenant_count, 2);
    const struct tenant_conf *news = cache_conf_tenant(&conf, "news");
    ck_assert_uint_eq(news->settings.reserve, 64 << 20);
    ck_assert_uint_eq(news->settings.limit, 256 << 20);
    ck_assert_uint_eq(news->settings.weight, 7);
    ck_assert_int_eq((int)news->settings.policy, EVICTION_s3fifo);
    ck_assert_uint_eq(news->settings.max_pins, 3);
    ck_assert_uint_eq(news->user_count, 1);
    const struct tenant_conf *other = cache_conf_tenant(&conf, "a.b-c_1");
    ck_assert(!other->settings.admission);
    ck_assert_uint_eq(other->settings.max_fills, 1);
    ck_assert_uint_eq(other->settings.weight, 1);
    cache_conf_free(&conf);
    /* What fits together is checked at the end, whatever the order, and with what the file says. */
    ck_assert_int_eq(parse(&command, "--tenant news:reserve=1G --memory 2G"), -1);
    ck_assert_msg(load(&conf, text, &command), "%s", report.text);
    cache_conf_free(&conf);
    ck_assert_int_eq(parse(&command, "--memory 64M --tenant shop:reserve=57M"), -1);
    ck_assert(!load(&conf, text, &command));
    ck_assert_str_eq(report.text, "f: the tenants' reserves (65M together) are more than memory (64M)\n");
}
END_TEST

static const struct {
    const char *option, *problem;
} tenant_mistakes[] = {
    {"news", "--tenant: \"news\" is no NAME:SETTING=VALUE"},
    {":weight=1", "--tenant: \"\" is no name of a tenant"},
    {"a/b:weight=1", "--tenant: \"a/b\" is no name of a tenant"},
    {"FILE:weight=1", "overlaps with [tenant \"file\"] in line 1"},
    {"news:", "--tenant news: \"\" is no SETTING=VALUE"},
    {"news:weight=1,", "--tenant news: \"\" is no SETTING=VALUE"},
    {"news:weight", "--tenant news: \"weight\" is no SETTING=VALUE"},
    {"news:weight=", "--tenant news: weight: \"\" is not a number"},
    {"news:=1", "--tenant news: there is no setting \"\" here"},
    {"news:wait=1", "--tenant news: there is no setting \"wait\" here"},
    {"news:uids=1", "--tenant news: there is no setting \"uids\" here"},
    {"news:reserve=lots", "--tenant news: reserve: \"lots\" is not a size"},
    {"news:limit=-1", "--tenant news: limit: \"-1\" is not a size"},
    {"news:weight=1001", "--tenant news: weight: \"1001\" is out of range (1 to 1000)"},
    {"news:weight=-1", "--tenant news: weight: \"-1\" is not a number"},
    {"news:max_pins=4294967296", "--tenant news: max-pins: \"4294967296\" is out of range"},
    {"news:policy=fifo", "--tenant news: policy: \"fifo\" is none of: lru s3fifo sieve"},
    {"news:admission=maybe", "--tenant news: admission: \"maybe\" is neither on nor off"},
    {"news:reserve=513M", "the tenants' reserves (513M together) are more than memory (512M)"},
    {"file:reserve=513M", "f:1: the tenants' reserves (513M together) are more than memory (512M)"},
};

START_TEST(mistake_in_a_tenant_option_is_reported)
{
    struct cache_command command;
    struct cache_conf conf;
    char line[128];

    snprintf(line, sizeof(line), "--tenant %s", tenant_mistakes[_i].option);
    ck_assert_int_eq(parse(&command, line), -1);
    ck_assert(!load(&conf, "[tenant \"file\"]\n", &command));
    ck_assert_msg(strstr(report.text, tenant_mistakes[_i].problem), "%s", report.text);
}
END_TEST

static const struct {
    const char *line;
    int status;
} lines[] = {
    {"", -1},        {"--help", 0},   {"--version", 0},
    {"--foo", 2},    {"foo", 2},      {"--config", 2},
    {"--check", -1}, {"--tenant", 2}, {"--memory 1", -1 /* is said with the rest */},
};

START_TEST(line_is_parsed)
{
    struct cache_command command;

    ck_assert_int_eq(parse(&command, lines[_i].line), lines[_i].status);
}
END_TEST

START_TEST(what_is_shown_is_a_file_that_says_the_same)
{
    static const char text[] =
        "[cache]\nmemory = 1G\nuser = root\ngroup = 0\n[tenant \"a\"]\nuids = root, 3\nreserve = 5M\n"
        "[tenant \"b\"]\nlimit = 64K\nmax-fills = 3\n";
    struct cache_conf conf, again;
    char shown[2][2048] = {"", ""};
    struct cache_conf *confs[] = {&conf, &again};

    ck_assert_msg(load(&conf, text, NULL), "%s", report.text);
    for (int i = 0; i < 2; i++) {
        FILE *out = fmemopen(shown[i], sizeof(shown[i]), "w");
        cache_conf_show(confs[i], out);
        fclose(out);
        if (i == 0)
            ck_assert_msg(load(&again, shown[0], NULL), "%s%s", shown[0], report.text);
    }
    ck_assert_str_eq(shown[0], shown[1]);
    ck_assert_ptr_nonnull(strstr(shown[0], "[tenant \"a\"]\nreserve = 5M\nweight = 1\npolicy = "
                                           "lru\nadmission = on\nuids = root\nuids = 3\n"));
    cache_conf_free(&conf);
    cache_conf_free(&again);
}
END_TEST

static const struct {
    const char *text;
    const char *problem; /* NULL: may change */
} changes[] = {
    {"[cache]\nmemory = 1G\nmax-object = 1M\nstall-limit = 1\nlease-time = 2\nlog-level = debug\n", NULL},
    {"[tenant \"a\"]\nmax-proxies = 4\n", NULL},
    {"[cache]\ninstance = y\n", "instance in [cache] cannot change while the program runs"},
    {"[cache]\nstall-time = 2\n", "stall-time in [cache] cannot change"},
    {"[cache]\nuser = root\n", "user in [cache] cannot change while the program runs (in force: not set"},
    {"[cache]\ngroup = 7\n", "group in [cache] cannot change while the program runs (in force: not set"},
    {"[cache]\nspin = 7%\n", "spin in [cache] cannot change while the program runs (in force: spin = 5%"},
    {"[cache]\nhuge-pages = no\n", "huge-pages in [cache] cannot change"},
    {"[cache]\nno-sandbox = on\n", "no-sandbox in [cache] cannot change"},
};

START_TEST(change_is_allowed_or_named)
{
    struct cache_conf running, wanted;

    ck_assert(load(&running, "", NULL));
    ck_assert_msg(load(&wanted, changes[_i].text, NULL), "%s", report.text);
    cache_conf_compare(&running, &wanted, &report);
    if (changes[_i].problem)
        ck_assert_msg(strstr(report.text, changes[_i].problem), "%s", report.text);
    else
        ck_assert_str_eq(report.text, "");
    cache_conf_free(&running);
    cache_conf_free(&wanted);
}
END_TEST

/* In the sandbox no directory is asked: a name keeps its number, or is one of /etc/passwd. */
START_TEST(users_keep_their_numbers)
{
    struct cache_conf running, wanted;
    static const char text[] = "[cache]\ngroup = 7\n[tenant \"b\"]\nuids = somebody, root\n";

    ck_assert(load(&running, "[cache]\ngroup = 7\n[tenant \"a\"]\nuids = 1234\n", NULL));
    running.tenants[0].users[0].name = "somebody";
    conf_report_clear(&report, "f");
    ck_assert_msg(cache_conf_from_text(&wanted, NULL, &running, text, strlen(text), &report), "%s",
                  report.text);
    ck_assert_uint_eq(wanted.tenants[0].users[0].uid, 1234);
    ck_assert_uint_eq(wanted.tenants[0].users[1].uid, 0);
    cache_conf_free(&running);
    cache_conf_free(&wanted);
}
END_TEST

/* By the kernel's word alone: uid, mode and group. */
static const struct {
    const char *tenant; /* NULL: any */
    struct identity_owner owner;
    bool admitted;
} peers[] = {
    {"a", {.uid = 1001, .shared = true, .group = 70}, true},
    {"a", {.uid = 1001}, true}, /* which root's cache alone can open */
    {"a", {.uid = 1001, .shared = true, .group = 71}, false},
    {"a", {.uid = 1002, .shared = true, .group = 70}, false},
    {"b", {.uid = 1002, .shared = true, .group = 71}, true}, /* it has a group of its own */
    {"b", {.uid = 1002, .shared = true, .group = 70}, false},
    {"b", {.uid = 1001, .shared = true, .group = 71}, false},
    {"c", {.uid = 1001, .shared = true, .group = 70}, false}, /* names nobody */
    {NULL, {.uid = 1001, .shared = true, .group = 70}, true},
    {NULL, {.uid = 1002, .shared = true, .group = 71}, true},
    {NULL, {.uid = 1001, .shared = true, .group = 71}, false},
    {NULL, {.uid = 0, .shared = true, .group = 70}, false},
};

START_TEST(peer_is_admitted)
{
    struct cache_conf conf;

    ck_assert_msg(load(&conf,
                       "[cache]\ngroup = 70\n[tenant \"a\"]\nuids = 1001\n[tenant \"b\"]\ngroup = 71\n"
                       "uids = 1002\n[tenant \"c\"]\n",
                       NULL),
                  "%s", report.text);
    ck_assert_int_eq(cache_conf_admits(&conf,
                                       peers[_i].tenant ? cache_conf_tenant(&conf, peers[_i].tenant) : NULL,
                                       &peers[_i].owner),
                     peers[_i].admitted);
    cache_conf_free(&conf);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, shards_divide_what_there_is);
    tcase_add_test(tcase, values_arrive);
    ADD_ROWS(tcase, mistake_is_reported, mistakes);
    tcase_add_test(tcase, one_name_cannot_be_longer_than_a_tenants);
    tcase_add_test(tcase, options_win);
    tcase_add_test(tcase, tenants_of_options_win);
    ADD_ROWS(tcase, mistake_in_a_tenant_option_is_reported, tenant_mistakes);
    ADD_ROWS(tcase, line_is_parsed, lines);
    tcase_add_test(tcase, what_is_shown_is_a_file_that_says_the_same);
    ADD_ROWS(tcase, change_is_allowed_or_named, changes);
    ADD_ROWS(tcase, peer_is_admitted, peers);
    tcase_add_test(tcase, users_keep_their_numbers);
}

int main(void)
{
    return run_suite("cache_conf", add_cases);
}
