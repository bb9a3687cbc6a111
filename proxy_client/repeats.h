/* repeats.h: heads of requests that were answered with something hot, byte by byte.
 *
 * Whoever sends the same head again means the same. So nothing of it is read again, and nothing decided: a
 * clerk who is asked the same question in the same words does not look it up. What is remembered is which
 * entry answered, and in which second; the answer itself is the entry's. Everything else that may change what
 * is answered is asked for each time (exchange_recall()), or empties this table.
 *
 * A table with a place for each of so many hashes, keyed so that nobody can choose who shares one. The first
 * time a head leaves its hash only; it is copied when it comes a second time, so heads that never repeat cost
 * a hash and no more.
 *
 * Ownership: copies of heads are the table's. An entry has the list of those that name it, and gives it back
 * (repeats_forget()) before it goes. Threads: one. */
#ifndef LARDER_REPEATS_H
#define LARDER_REPEATS_H

#include <stdbool.h>
#include <stdint.h>

#define REPEATS_HEAD_MAX 1024u /* bytes; longer ones are read anew each time */

struct hot_entry;

struct repeat {
    uint64_t hash;           /* 0: the place is free */
    struct hot_entry *entry; /* NULL: the head was seen once, or its entry is gone */
    int64_t second;          /* in which it was last decided */
    char *head;              /* while there is an entry */
    uint32_t length;
    struct repeat **list; /* the entry's */
    struct repeat *prev, *next;
};

struct repeats {
    struct repeat *places;
    uint32_t count; /* a power of two */
    unsigned char key[16];
};

/* At least so many places. No memory ends the process. */
void repeats_setup(struct repeats *repeats, uint32_t places);
void repeats_teardown(struct repeats *repeats);

/* Never 0. */
uint64_t repeats_hash(const struct repeats *repeats, const char *head, uint32_t length);
/* The very same head, with an entry; NULL: not known. */
struct repeat *repeats_find(const struct repeats *repeats, uint64_t hash, const char *head, uint32_t length);
/* Was it here before, so that it is worth remembering? Takes the place of another that shares it. */
bool repeats_seen(struct repeats *repeats, uint64_t hash);
/* After repeats_seen(): it was answered with the entry, whose list that is. */
void repeats_note(struct repeats *repeats, uint64_t hash, const char *head, uint32_t length,
                  struct hot_entry *entry, struct repeat **list, int64_t second);
/* Nothing names the list's entry any more. */
void repeats_forget(struct repeat **list);
void repeats_clear(struct repeats *repeats);

#endif
