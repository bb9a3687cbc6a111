/* names: which names are allowed, how objects are called, and that nothing else is taken for a peer's. */
#include "names.h"

#include "check_unit.h"

#include <string.h>

static const struct {
    const char *text;
    bool instance, tenant;
} rows[] = {
    {"default", true, true},
    {"a", true, true},
    {"A-z_09", true, true},
    {"", false, false},
    {".", false, true},
    {"..", false, true},
    {"a.b", false, true},
    {"a/b", false, false},
    {"/a", false, false},
    {"a b", false, false},
    {"a\n", false, false},
    {"a\x7f", false, false},
    {"\xc3\xa4", false, false},
    {"a\xff", false, false},
    {"12345678901234567890123456789012", true, true},
    {"123456789012345678901234567890123", false, true},
    {"123456789012345678901234567890123456789012345678901234567890123", false, true},
    {"1234567890123456789012345678901234567890123456789012345678901234", false, false},
};

START_TEST(name_is_judged)
{
    ck_assert_int_eq(names_instance_valid(rows[_i].text), rows[_i].instance);
    ck_assert_int_eq(names_tenant_valid(rows[_i].text), rows[_i].tenant);
}
END_TEST

START_TEST(every_single_byte_is_judged)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    for (int c = 1; c < 256; c++) {
        char text[2] = {(char)c, '\0'};

        ck_assert_int_eq(names_instance_valid(text), strchr(allowed, c) != NULL);
        ck_assert_int_eq(names_tenant_valid(text), strchr(allowed, c) != NULL || c == '.');
    }
}
END_TEST

START_TEST(names_are_spelled_out)
{
    char name[NAMES_BYTES];

    names_command_queue(name, "news");
    ck_assert_str_eq(name, "/larder.news");
    names_peer(name, "news", 0x0123456789abcdefu);
    ck_assert_str_eq(name, "/larder.news.0123456789abcdef");
    names_peer(name, "news", 0);
    ck_assert_str_eq(name, "/larder.news.0000000000000000");
}
END_TEST

START_TEST(shards_have_queues_of_their_own)
{
    char name[NAMES_BYTES];
    uint32_t parsed;

    names_shard_queue(name, "news", 0);
    ck_assert_str_eq(name, "/larder.news");
    names_shard_queue(name, "news", 15);
    ck_assert_str_eq(name, "/larder.news.shard15");
    for (uint32_t shard = 1; shard < NAMES_SHARDS_MAX; shard++) {
        names_shard_queue(name, "some-instance_1", shard);
        ck_assert(names_shard_parse(name + 1, "some-instance_1", &parsed));
        ck_assert_uint_eq(parsed, shard);
        ck_assert(!names_shard_parse(name + 1, "some-instance", &parsed));
    }
}
END_TEST

static const char *const no_shards[] = {
    "larder.news",         "larder.news.shard",           "larder.news.shard0",
    "larder.news.shard01", "larder.news.shard16",         "larder.news.shard1x",
    "larder.news.shard-1", "larder.news.shard 1",         "larder.news.shard1.1",
    "larder.new.shard1",   "larder.news.shard4294967297", "larder.news.0123456789abcdef",
};

START_TEST(stranger_is_no_shard)
{
    uint32_t shard;

    ck_assert(!names_shard_parse(no_shards[_i], "news", &shard));
}
END_TEST

START_TEST(longest_name_fits)
{
    static const char longest[] = "12345678901234567890123456789012";
    char name[NAMES_BYTES];

    names_peer(name, longest, UINT64_MAX);
    ck_assert_uint_eq(strlen(name), NAMES_BYTES - 1);
    ck_assert_str_eq(name, "/larder.12345678901234567890123456789012.ffffffffffffffff");
}
END_TEST

START_TEST(peer_name_comes_back)
{
    uint64_t state = 1;

    for (int i = 0; i < 1000; i++) {
        uint64_t token = next_random(&state) >> random_below(&state, 64), parsed = 0;
        char name[NAMES_BYTES];

        names_peer(name, "some-instance_1", token);
        ck_assert(names_peer_parse(name + 1, "some-instance_1", &parsed));
        ck_assert_uint_eq(parsed, token);
    }
}
END_TEST

static const char *const strangers[] = {
    "",
    "larder",
    "larder.",
    "larder.news",
    "larder.news.",
    "larder.news.0123456789abcde",
    "larder.news.0123456789abcdef0",
    "larder.news.0123456789ABCDEF",
    "larder.news.0123456789abcdeg",
    "larder.news.0x23456789abcdef",
    "larder.news. 123456789abcdef",
    "larder.news.-123456789abcdef",
    "larder.news.0123456789abcdef ",
    "larder.news.0123456789abcdef.0123456789abcdef",
    "larder.new.0123456789abcdef",
    "larder.news2.0123456789abcdef",
    "larder.News.0123456789abcdef",
    "Larder.news.0123456789abcdef",
    "/larder.news.0123456789abcdef",
    "sem.larder.news.0123456789abcdef",
    "larder.news/0123456789abcdef",
};

START_TEST(stranger_is_no_peer)
{
    uint64_t token = 42;

    ck_assert(!names_peer_parse(strangers[_i], "news", &token));
    ck_assert_uint_eq(token, 42);
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, name_is_judged, rows);
    tcase_add_test(tcase, every_single_byte_is_judged);
    tcase_add_test(tcase, names_are_spelled_out);
    tcase_add_test(tcase, shards_have_queues_of_their_own);
    ADD_ROWS(tcase, stranger_is_no_shard, no_shards);
    tcase_add_test(tcase, longest_name_fits);
    tcase_add_test(tcase, peer_name_comes_back);
    ADD_ROWS(tcase, stranger_is_no_peer, strangers);
}

int main(void)
{
    return run_suite("names", add_cases);
}
