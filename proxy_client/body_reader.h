/* body_reader.h: reads the body of a pinned object out of the cache, in order, at the pace of its taker.
 *
 *     IDLE ── start ──> READING ── all given ──> DONE
 *                        │  ^ └─ lost, refused, too slow ──> FAILED (next_given says how far it came)
 *                        └──┘ grow: of an object that is still being filled there is more
 * A few reads are under way at once; what arrives early waits for its turn. No more is asked for than is
 * there; who has all of it waits for grow(), for any time.
 *
 * Ownership: embedded in its owner; the handle stays the owner's. Nothing is called from start() or stop().
 * Threads: one. */
#ifndef LARDER_BODY_READER_H
#define LARDER_BODY_READER_H

#include "cache_link.h"

#define BODY_READER_WINDOW 4

enum body_reader_state { BODY_READER_IDLE, BODY_READER_READING, BODY_READER_DONE, BODY_READER_FAILED };

struct body_reader_calls {
    size_t (*room)(void *owner); /* bytes that the taker wants */
    void (*give)(void *owner, struct larder_segment **segment, uint32_t size);
    void (*over)(void *owner); /* DONE or FAILED; the last call */
};

struct body_chunk {
    struct larder_segment *segment; /* NULL: not there yet */
    uint64_t offset;
    uint32_t size;
};

struct body_reader {
    struct cache_link *link;
    struct deadline_list *stalls;
    const struct body_reader_calls *calls;
    void *owner;
    enum body_reader_state state;
    struct cache_ops ops;
    struct cache_wait wait;
    struct deadline deadline;
    uint64_t handle;
    uint64_t next_asked, next_given, end;
    uint64_t limit; /* what is there by now; at most end */
    unsigned window;
    struct body_chunk chunks[BODY_READER_WINDOW]; /* asked for, not given: `asked` of them, from `first` on */
    unsigned first, asked;
};

/* `stalls` is the list of the time-out, whose expired() calls body_reader_stalled(). */
void body_reader_setup(struct body_reader *reader, struct cache_link *link, struct deadline_list *stalls,
                       const struct body_reader_calls *calls, void *owner);
void body_reader_start(struct body_reader *reader, uint64_t handle, uint64_t offset, uint64_t end);
/* After start(), of an object that is being filled: `limit` bytes of it are there, and it ends at `end`
 * (LARDER_SIZE_UNKNOWN: not known yet). Gives what the taker has room for, as room() does. */
void body_reader_grow(struct body_reader *reader, uint64_t limit, uint64_t end);
/* The taker has room: asks for more, gives what is there. */
void body_reader_room(struct body_reader *reader);
void body_reader_stop(struct body_reader *reader); /* harmless in every state */
void body_reader_stalled(struct deadline *deadline);

#endif
