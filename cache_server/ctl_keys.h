/* ctl_keys.h: what is known of keys: the most used ones, and one of them. Printed for people or programs.
 *
 * Trust: keys and metadata are what clients and origins have sent: nothing unprintable reaches a terminal. */
#ifndef LARDER_CTL_KEYS_H
#define LARDER_CTL_KEYS_H

#include "ctl_client.h"

/* What ctl_top() has collected. */
void ctl_print_top(const struct ctl_client *client);
void ctl_print_top_json(const struct ctl_client *client);

struct ctl_shown {
    const char *tenant;
    const uint8_t *key;
    uint32_t key_length;
    const struct wire_shown *shown;
    const uint8_t *meta;
};
void ctl_print_shown(const struct ctl_shown *what);
void ctl_print_shown_json(const struct ctl_shown *what);

/* What of metadata can be read: the longest tail of whole "Name: value\r\n" lines. Its offset; `length` if
 * there is none. */
uint32_t ctl_meta_lines(const uint8_t *meta, uint32_t length);
/* The bytes as text, at most `size` - 1 of it, with what is not printable ASCII as \xNN and a backslash
 * twice. Returns out. */
const char *ctl_printable(const uint8_t *bytes, uint32_t length, char *out, size_t size);

#endif
