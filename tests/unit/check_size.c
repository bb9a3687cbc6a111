/* size: what is a size, what is not, and what is too large for 64 bits. */
#include "size.h"

#include "check_unit.h"

#include <errno.h>

static const struct {
    const char *text;
    int error;
    uint64_t bytes;
} rows[] = {
    {"0", 0, 0},
    {"1", 0, 1},
    {"007", 0, 7},
    {"65536", 0, 65536},
    {"1k", 0, 1024},
    {"1K", 0, 1024},
    {"512M", 0, (uint64_t)512 << 20},
    {"4g", 0, (uint64_t)4 << 30},
    {"2T", 0, (uint64_t)2 << 40},
    {"0T", 0, 0},
    {"18446744073709551615", 0, UINT64_MAX},
    {"18446744073709551616", -ERANGE, 0},
    {"18446744073709551620", -ERANGE, 0},
    {"99999999999999999999999999999999", -ERANGE, 0},
    {"16777215T", 0, (uint64_t)16777215 << 40},
    {"16777216T", -ERANGE, 0},
    {"17179869183G", 0, (uint64_t)17179869183 << 30},
    {"17179869184G", -ERANGE, 0},
    {"18014398509481983K", 0, (uint64_t)18014398509481983 << 10},
    {"18014398509481984K", -ERANGE, 0},
    {"", -EINVAL, 0},
    {"K", -EINVAL, 0},
    {"-1", -EINVAL, 0},
    {"+1", -EINVAL, 0},
    {" 1", -EINVAL, 0},
    {"1 ", -EINVAL, 0},
    {"1 K", -EINVAL, 0},
    {"1KB", -EINVAL, 0},
    {"1KiB", -EINVAL, 0},
    {"1KK", -EINVAL, 0},
    {"1P", -EINVAL, 0},
    {"1B", -EINVAL, 0},
    {"1.5M", -EINVAL, 0},
    {"0x10", -EINVAL, 0},
    {"1e3", -EINVAL, 0},
    {"\xc2\xb2", -EINVAL, 0},
    {"1\xff", -EINVAL, 0},
};

START_TEST(size_is_parsed)
{
    uint64_t bytes = 77;

    ck_assert_int_eq(size_parse(rows[_i].text, &bytes), rows[_i].error);
    ck_assert_uint_eq(bytes, rows[_i].error ? 77 : rows[_i].bytes);
}
END_TEST

static const struct {
    uint64_t bytes;
    const char *exact, *human;
} texts[] = {
    {0, "0", "0 B"},
    {1, "1", "1 B"},
    {999, "999", "999 B"},
    {1000, "1000", "1.0 KiB"},
    {1023, "1023", "1.0 KiB"},
    {1024, "1K", "1.0 KiB"},
    {1536, "1536", "1.5 KiB"},
    {10240, "10K", "10.0 KiB"},
    {102400, "100K", "100 KiB"},
    {(uint64_t)512 << 20, "512M", "512 MiB"},
    {(uint64_t)1 << 30, "1G", "1.0 GiB"},
    {(uint64_t)1 << 40, "1T", "1.0 TiB"},
    {(uint64_t)1 << 50, "1024T", "1.0 PiB"},
    {UINT64_MAX, "18446744073709551615", "16.0 EiB"},
};

START_TEST(size_is_written)
{
    char out[SIZE_TEXT_BYTES];

    ck_assert_str_eq(size_format(texts[_i].bytes, out), texts[_i].exact);
    ck_assert_str_eq(size_human(texts[_i].bytes, out), texts[_i].human);
}
END_TEST

START_TEST(what_is_written_is_read)
{
    uint64_t state = 2;

    for (int i = 0; i < 10000; i++) {
        uint64_t bytes = next_random(&state) >> random_below(&state, 64), back;
        char out[SIZE_TEXT_BYTES];

        if (random_below(&state, 2))
            bytes &= ~(((uint64_t)1 << random_below(&state, 45)) - 1);
        ck_assert_int_eq(size_parse(size_format(bytes, out), &back), 0);
        ck_assert_uint_eq(back, bytes);
    }
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, size_is_parsed, rows);
    ADD_ROWS(tcase, size_is_written, texts);
    tcase_add_test(tcase, what_is_written_is_read);
}

int main(void)
{
    return run_suite("size", add_cases);
}
