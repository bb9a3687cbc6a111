/* address_list.h: which addresses may do something: "127.0.0.1,10.0.0.0/8, [::1], 2001:db8::/32".
 *
 * An IPv4 address that comes over IPv6 (::ffff:10.0.0.1) counts as the IPv4 address that it is. Pure. */
#ifndef LARDER_ADDRESS_LIST_H
#define LARDER_ADDRESS_LIST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_LIST_MAX 64

struct address_list {
    uint32_t count;
    struct address_range {
        uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint32_t bits;     /* of the 128 that count */
    } ranges[ADDRESS_LIST_MAX];
};

/* Behind what `out` has: of zeros, it is empty. Bits that do not count must be 0. False: not a list of
 * addresses, with or without /BITS, or all of them together are more than ADDRESS_LIST_MAX; then some may
 * have been added. */
bool address_list_add(struct address_list *out, const char *text);
bool address_list_has(const struct address_list *list, const struct sockaddr *address);

#endif
