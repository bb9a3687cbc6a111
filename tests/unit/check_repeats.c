/* repeats: which heads are known, of which entry, and what makes them unknown. Entries are only pointers
 * here. */
#include "repeats.h"

#include "check_unit.h"

static struct repeats repeats;
static struct repeat *list_a, *list_b;
static struct hot_entry *const a = (struct hot_entry *)&list_a, *const b = (struct hot_entry *)&list_b;

#define HEAD "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

static void begin(void)
{
    repeats_setup(&repeats, 0);
    list_a = list_b = NULL;
}

static void end(void)
{
    repeats_teardown(&repeats);
    ck_assert_ptr_null(list_a);
    ck_assert_ptr_null(list_b);
}

static uint64_t hash_of(const char *head)
{
    return repeats_hash(&repeats, head, (uint32_t)strlen(head));
}

static const struct repeat *find(const char *head)
{
    return repeats_find(&repeats, hash_of(head), head, (uint32_t)strlen(head));
}

static bool note(const char *head, struct hot_entry *entry, int64_t second)
{
    bool seen = repeats_seen(&repeats, hash_of(head));

    if (seen)
        repeats_note(&repeats, hash_of(head), head, (uint32_t)strlen(head), entry,
                     entry == a ? &list_a : &list_b, second);
    return seen;
}

START_TEST(second_time_is_remembered)
{
    begin();
    ck_assert_ptr_null(find(HEAD));
    ck_assert(!note(HEAD, a, 1));
    ck_assert_ptr_null(find(HEAD));
    ck_assert(note(HEAD, a, 1));
    ck_assert_ptr_eq(find(HEAD)->entry, a);
    ck_assert_int_eq(find(HEAD)->second, 1);
    ck_assert(note(HEAD, a, 2));
    ck_assert_int_eq(find(HEAD)->second, 2);
    ck_assert_ptr_null(list_a->next); /* once */
    end();
}
END_TEST

/* Even if the hash were the same. */
START_TEST(every_byte_counts)
{
    char other[] = HEAD;

    begin();
    note(HEAD, a, 1);
    note(HEAD, a, 1);
    for (size_t i = 0; i < sizeof other - 1; i++) {
        other[i] ^= 1;
        ck_assert_ptr_null(repeats_find(&repeats, hash_of(HEAD), other, sizeof other - 1));
        ck_assert_ptr_null(repeats_find(&repeats, hash_of(HEAD), HEAD, (uint32_t)i));
        other[i] ^= 1;
    }
    ck_assert_ptr_nonnull(repeats_find(&repeats, hash_of(HEAD), other, sizeof other - 1));
    end();
}
END_TEST

START_TEST(what_goes_takes_its_heads_along)
{
    char head[64];

    begin();
    for (int i = 0; i < 2 * 20; i++) {
        snprintf(head, sizeof head, "GET /%d\r\n\r\n", i % 20);
        note(head, i % 2 ? a : b, 1);
    }
    note(HEAD, b, 1);
    note(HEAD, b, 1);
    repeats_forget(&list_a);
    ck_assert_ptr_null(list_a);
    for (int i = 1; i < 20; i += 2) {
        snprintf(head, sizeof head, "GET /%d\r\n\r\n", i);
        ck_assert_ptr_null(find(head));
    }
    ck_assert_ptr_eq(find(HEAD)->entry, b);
    ck_assert(note(HEAD, a, 3)); /* it is a's now */
    ck_assert_ptr_eq(find(HEAD)->entry, a);
    repeats_forget(&list_b);
    ck_assert_ptr_eq(find(HEAD)->entry, a);
    repeats_clear(&repeats);
    ck_assert_ptr_null(find(HEAD));
    ck_assert_ptr_null(list_a);
    ck_assert(!repeats_seen(&repeats, hash_of(HEAD)));
    end();
}
END_TEST

/* More than there are places: each is found as what it is, or not at all. */
START_TEST(others_take_its_place)
{
    unsigned found = 0;
    char head[64];

    begin();
    for (int i = 0; i < 3000; i++) {
        snprintf(head, sizeof head, "GET /%d\r\n\r\n", i);
        note(head, i % 2 ? a : b, i);
        note(head, i % 2 ? a : b, i);
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(head, sizeof head, "GET /%d\r\n\r\n", i);
        const struct repeat *repeat = find(head);
        found += repeat != NULL;
        if (repeat)
            ck_assert(repeat->second == i && repeat->entry == (i % 2 ? a : b));
    }
    ck_assert_uint_gt(found, repeats.count / 2);
    ck_assert_uint_le(found, repeats.count);
    end();
}
END_TEST

static void add_cases(TCase *tcase)
{
    tcase_add_test(tcase, second_time_is_remembered);
    tcase_add_test(tcase, every_byte_counts);
    tcase_add_test(tcase, what_goes_takes_its_heads_along);
    tcase_add_test(tcase, others_take_its_place);
}

int main(void)
{
    return run_suite("repeats", add_cases);
}
