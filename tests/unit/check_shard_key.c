/* shard_key: keys are divided evenly, a key's parts stay with it, and who does not know the seed cannot say
 * where a key goes. */
#include "shard_key.h"

#include "check_unit.h"

#include <stdio.h>
#include <string.h>

#define KEYS 16000u

static const uint8_t seed[WIRE_SHARD_KEY] = {1, 2, 3}, other_seed[WIRE_SHARD_KEY] = {1, 2, 4};

static uint32_t shard_of(const uint8_t *shard_key, uint32_t shards, const char *key, size_t length)
{
    return shard_of_key(shard_key, shards, (const uint8_t *)key, (uint32_t)length);
}

START_TEST(all_shards_get_the_same_share)
{
    uint32_t shards = (uint32_t)_i, counts[WIRE_MAX_SHARDS] = {0};
    char key[64];

    for (unsigned i = 0; i < KEYS; i++) {
        int length = snprintf(key, sizeof(key), "GET http://origin:80/%u", i);
        uint32_t shard = shard_of(seed, shards, key, (size_t)length);
        ck_assert_uint_lt(shard, shards);
        counts[shard]++;
    }
    for (uint32_t i = 0; i < shards; i++) { /* more than six standard deviations off: never */
        ck_assert_uint_gt(counts[i], KEYS / shards * 8 / 10);
        ck_assert_uint_lt(counts[i], KEYS / shards * 12 / 10 + 1);
    }
}
END_TEST

START_TEST(parts_go_with_their_key)
{
    char key[64], part[96];

    for (unsigned i = 0; i < 1000; i++) {
        int length = snprintf(key, sizeof(key), "GET http://origin:80/%u", i);
        uint32_t shard = shard_of(seed, 16, key, (size_t)length);
        int longer = snprintf(part, sizeof(part), "%s\nen\n%u", key, i * 7);
        ck_assert_uint_eq(shard_of(seed, 16, part, (size_t)longer), shard);
        ck_assert_uint_eq(shard_of(seed, 16, part, (size_t)length + 1), shard);
        ck_assert_uint_eq(shard_of(seed, 16, part, (size_t)length), shard);
    }
}
END_TEST

START_TEST(the_seed_decides)
{
    unsigned moved = 0;
    char key[64];

    for (unsigned i = 0; i < 1000; i++) {
        int length = snprintf(key, sizeof(key), "%u", i);
        moved += shard_of(seed, 16, key, (size_t)length) != shard_of(other_seed, 16, key, (size_t)length);
    }
    ck_assert_uint_gt(moved, 850); /* 15 of 16 */
}
END_TEST

START_TEST(one_shard_has_all)
{
    ck_assert_uint_eq(shard_of(seed, 1, "key", 3), 0);
    ck_assert_uint_eq(shard_of(seed, 0, "key", 3), 0);
    ck_assert_uint_lt(shard_of(seed, 16, "\n", 1), 16); /* a part of nothing */
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_loop_test(tcase, all_shards_get_the_same_share, 1, WIRE_MAX_SHARDS + 1);
    tcase_add_test(tcase, parts_go_with_their_key);
    tcase_add_test(tcase, the_seed_decides);
    tcase_add_test(tcase, one_shard_has_all);
}

int main(void)
{
    return run_suite("shard_key", add_cases);
}
