/* meta_head.h: how the metadata begins that proxy_client stores beside a body (its http_meta.h has the rest).
 *
 * The cache does not look at it; cache_ctl does, to tell an object's age. Whatever reads it copies it first
 * and checks it: any proxy of the tenant wrote it. Host order: it never leaves the machine. Pure. */
#ifndef LARDER_META_HEAD_H
#define LARDER_META_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HTTP_META_MAGIC   0x3354454du             /* "MET3"; a new layout gets a new number */
#define META_HEAD_SECONDS ((int64_t)1 << 31)      /* the most of an age; RFC 9111 section 1.2.2 */
#define META_HEAD_TIME    ((int64_t)253402300799) /* 9999-12-31 23:59:59, the last that a Date can say */

struct http_meta_head {
    uint32_t magic;
    uint16_t status; /* 200..599 */
    uint16_t flags;
    int64_t response_time; /* seconds since the epoch, when the head arrived; the year 9999 at most */
    int64_t initial_age;   /* seconds, 0..2^31 */
    int64_t lifetime;      /* seconds, 0..2^31 */
    int64_t stale_while_revalidate, stale_if_error; /* seconds, 0..2^31; -1: none */
    int64_t keep;                                   /* seconds, 0..2^32: of use after expiry */
    uint64_t id;                                    /* random, made with the body: one id, one body */
    uint32_t fields_length;
    uint32_t failed_at; /* low bits of the time when the origin could not confirm it; 0: it was not so */
};
_Static_assert(sizeof(struct http_meta_head) == 72, "no padding: every byte of the head is written");
_Static_assert(offsetof(struct http_meta_head, response_time) == 8, "a new layout gets a new magic");
_Static_assert(offsetof(struct http_meta_head, fields_length) == 64, "a new layout gets a new magic");

/* current_age, RFC 9111 section 4.2.3; at most 2^31. A clock that was set back counts as one that stands
 * still. */
static inline int64_t meta_head_age(const struct http_meta_head *head, int64_t now)
{
    int64_t resident_time = now > head->response_time ? now - head->response_time : 0;

    if (resident_time >= META_HEAD_SECONDS - head->initial_age)
        return META_HEAD_SECONDS;
    return head->initial_age + resident_time;
}

/* An object's age in seconds, from metadata that may be cut off behind the head. False: not a head of ours,
 * or of something that is no response. */
static inline bool meta_head_read_age(const uint8_t *meta, size_t length, int64_t now, int64_t *age)
{
    struct http_meta_head head;

    if (length < sizeof(head))
        return false;
    memcpy(&head, meta, sizeof(head));
    if (head.magic != HTTP_META_MAGIC || head.response_time <= 0 || head.response_time > META_HEAD_TIME ||
        head.initial_age < 0 || head.initial_age > META_HEAD_SECONDS)
        return false;
    *age = meta_head_age(&head, now);
    return true;
}

#endif
