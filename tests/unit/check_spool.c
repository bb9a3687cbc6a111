/* spool: bytes come back as they went in, and all spools of a room share its limit. */
#include "spool.h"

#include "check_unit.h"

#include <errno.h>

static struct spool_room room;

static void begin(uint64_t limit)
{
    room = (struct spool_room){.limit = limit};
}

static struct spool opened(void)
{
    struct spool spool;

    ck_assert_int_eq(spool_open(&spool, &room), 0);
    return spool;
}

START_TEST(bytes_come_back)
{
    char out[8];

    begin(100);
    struct spool spool = opened();
    ck_assert_int_eq(spool_write(&spool, "abc", 3), 0);
    ck_assert_int_eq(spool_write(&spool, "defg", 4), 0);
    ck_assert_uint_eq(spool.size, 7);
    ck_assert_int_eq(spool_read(&spool, out, sizeof(out), 2), 5);
    ck_assert_mem_eq(out, "cdefg", 5);
    ck_assert_int_eq(spool_read(&spool, out, sizeof(out), 7), 0);
    spool_close(&spool);
    ck_assert_uint_eq(room.used, 0);
    spool_close(&spool); /* again: nothing */
    ck_assert_uint_eq(room.used, 0);
}
END_TEST

/* Nobody takes more than he leaves. */
START_TEST(all_share_the_room)
{
    static const char bytes[60];

    begin(100);
    struct spool first = opened(), second = opened();
    ck_assert_int_eq(spool_write(&first, bytes, 51), -ENOBUFS);
    ck_assert_uint_eq(first.size, 0);
    ck_assert_int_eq(spool_write(&first, bytes, 49), 0);
    ck_assert_int_eq(spool_write(&first, bytes, 1), 0);
    ck_assert_int_eq(spool_write(&first, bytes, 1), -ENOBUFS);
    ck_assert_int_eq(spool_write(&second, bytes, 26), -ENOBUFS);
    ck_assert_int_eq(spool_write(&second, bytes, 25), 0);
    ck_assert_int_eq(spool_write(&second, bytes, 1), -ENOBUFS);
    spool_close(&first);
    ck_assert_uint_eq(room.used, 25);
    ck_assert_int_eq(spool_write(&second, bytes, 25), 0);
    spool_close(&second);
    ck_assert_uint_eq(room.used, 0);
}
END_TEST

/* What is there stays. */
START_TEST(limit_may_be_lowered)
{
    begin(100);
    struct spool spool = opened();
    ck_assert_int_eq(spool_write(&spool, "0123456789", 10), 0);
    room.limit = 5;
    ck_assert_int_eq(spool_write(&spool, "x", 1), -ENOBUFS);
    ck_assert_uint_eq(spool.size, 10);
    room.limit = 0;
    ck_assert_int_eq(spool_write(&spool, "x", 1), -ENOBUFS);
    spool_close(&spool);
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, bytes_come_back);
    tcase_add_test(tcase, all_share_the_room);
    tcase_add_test(tcase, limit_may_be_lowered);
}

int main(void)
{
    return run_suite("spool", add_cases);
}
