/* address_list: what is a list, and who is in it. */
#include "address_list.h"

#include "check_unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const struct row {
    const char *list;    /* NULL: as before */
    const char *address; /* NULL: the list is none */
    bool in;
} rows[] = {
    {"127.0.0.1", "127.0.0.1", true},
    {"127.0.0.1", "127.0.0.2", false},
    {"127.0.0.1", "::ffff:127.0.0.1", true},
    {"127.0.0.1", "::1", false},
    {"10.0.0.0/8", "10.255.1.2", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"192.168.4.0/22", "192.168.7.255", true},
    {"192.168.4.0/22", "192.168.8.0", false},
    {"0.0.0.0/0", "8.8.8.8", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "8.8.8.8", true}, /* which is ::ffff:8.8.8.8 */
    {"::1", "::1", true},
    {"[::1]", "::1", true},
    {"[2001:db8::]/32", "2001:db8:ffff::", true},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"127.0.0.1/32,::1/128", "::1", true},
    {"127.0.0.1,10.0.0.0/8,::1", "10.1.1.1", true},
    {"127.0.0.1, ::1", "::1", true},
    {"", NULL, false},
    {",", NULL, false},
    {"127.0.0.1,", NULL, false},
    {"127.0.0.1/33", NULL, false},
    {"127.0.0.1/", NULL, false},
    {"127.0.0.1/-1", NULL, false},
    {"127.0.0.1/ 8", NULL, false},
    {"127.0.0.1/8", NULL, false}, /* 127.0.0.0/8 is meant, or 127.0.0.1 */
    {"::1/129", NULL, false},
    {"::1/127", NULL, false},
    {"localhost", NULL, false},
    {"127.1", NULL, false},
    {"127.0.0.1 ", NULL, false},
    {"1111111111111111111111111111111111111111111111111111111111111111", NULL, false},
};

START_TEST(who_is_in)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.any = {.sa_family = AF_INET}};
    struct address_list list = {0};
    const struct row *row = &rows[_i];

    ck_assert_msg(address_list_add(&list, row->list) == (row->address != NULL), "%s", row->list);
    if (!row->address)
        return;
    if (inet_pton(AF_INET, row->address, &address.v4.sin_addr) != 1) {
        address.v6.sin6_family = AF_INET6;
        ck_assert_int_eq(inet_pton(AF_INET6, row->address, &address.v6.sin6_addr), 1);
    }
    ck_assert_msg(address_list_has(&list, &address.any) == row->in, "%s in %s", row->address, row->list);
}
END_TEST

START_TEST(as_many_as_may_be)
{
    struct sockaddr other = {.sa_family = AF_UNIX};
    char text[(ADDRESS_LIST_MAX + 1) * 10 + 1] = "";
    struct address_list list = {0};
    size_t length = 0;

    for (int i = 0; i < ADDRESS_LIST_MAX; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s10.0.0.1", i ? "," : "");
    ck_assert(address_list_add(&list, text));
    ck_assert_uint_eq(list.count, ADDRESS_LIST_MAX);
    ck_assert(!address_list_has(&list, &other));
    ck_assert(!address_list_add(&list, "10.0.0.1"));
    list.count = 0;
    snprintf(text + length, sizeof(text) - length, ",10.0.0.1");
    ck_assert(!address_list_add(&list, text));
}

START_TEST(lists_add_up)
{
    struct sockaddr_in first = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)};
    struct sockaddr_in second = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000002)};
    struct address_list list = {0};

    ck_assert(address_list_add(&list, "10.0.0.1"));
    ck_assert(!address_list_has(&list, (struct sockaddr *)&second));
    ck_assert(address_list_add(&list, "10.0.0.3,10.0.0.2"));
    ck_assert(address_list_has(&list, (struct sockaddr *)&first));
    ck_assert(address_list_has(&list, (struct sockaddr *)&second));
}
END_TEST

static void add_cases(TCase *tcase)
{
    ADD_ROWS(tcase, who_is_in, rows);
    tcase_add_test(tcase, as_many_as_may_be);
    tcase_add_test(tcase, lists_add_up);
}

int main(void)
{
    return run_suite("address_list", add_cases);
}
