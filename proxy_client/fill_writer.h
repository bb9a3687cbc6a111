/* fill_writer.h: puts one object into the cache, from its first body byte to its commit.
 *
 *     IDLE ── start ──> OPEN ── finish ──> ENDING ── the cache confirms ──> STORED
 *                         └────────── refused, too slow, lost, abort ─────> FAILED
 *             resume ──^  (goes on with what another has begun)
 * What write() brings is handed over at the end of the turn at the latest, for others may be reading along.
 * write() takes everything; what finds no segment is kept, and busy() says so until it has gone. The owner
 * writes no more while the writer is busy, so what is kept is bounded by one write. A writer that gets
 * neither segment nor answer for a second fails; that costs nobody but the fill.
 *
 * Ownership: embedded in its owner; owns the lease from start() on. changed() may be called from any call but
 * not from start(), write() or abort() for their own effect.
 * Threads: one. */
#ifndef LARDER_FILL_WRITER_H
#define LARDER_FILL_WRITER_H

#include "cache_link.h"

enum fill_state { FILL_IDLE, FILL_OPEN, FILL_ENDING, FILL_STORED, FILL_FAILED };

struct fill_object {
    struct cache_key key;
    struct http_span tags; /* each with a zero byte behind it */
    struct http_span meta;
    uint64_t size; /* LARDER_SIZE_UNKNOWN */
    int64_t fresh_until, keep_until;
    bool keep; /* its metadata tells whether it is whole, so that what arrives before it breaks off may be
                  kept */
};

struct fill_writer {
    struct cache_link *link;
    struct deadline_list *stalls;
    void (*changed)(void *owner); /* accepted, no longer busy, STORED, or FAILED */
    void *owner;
    enum fill_state state;
    struct cache_ops ops;
    struct cache_wait wait;
    struct deadline deadline;
    struct loop_task flush;
    uint64_t lease;
    uint64_t size, sent, taken; /* body bytes: in all, handed over, written by the owner */
    int64_t fresh_until, keep_until;
    struct larder_segment *segment; /* being filled */
    uint32_t used;
    char *prefix; /* key, tags and metadata, until they stand in a segment */
    uint32_t key_length, tags_length, meta_length;
    bool begun, accepted, end_sent, keep;
    bool resumed;
    uint64_t resumed_at;
    char *kept; /* bytes that wait for a segment */
    size_t kept_size, kept_at;
};

/* `stalls` is the list of the time-out, whose expired() calls fill_writer_stalled(). */
void fill_writer_setup(struct fill_writer *writer, struct cache_link *link, struct deadline_list *stalls,
                       void (*changed)(void *owner), void *owner);
/* Takes the lease and nulls it. False: it cannot be stored (key and metadata too long, cache
 * lost); the lease is given up. */
bool fill_writer_start(struct fill_writer *writer, uint64_t *lease, const struct fill_object *object);
/* The same for a fill of which the first `offset` bytes are in the cache already, in all `size` or
 * LARDER_SIZE_UNKNOWN; `keep` as in struct fill_object. */
void fill_writer_resume(struct fill_writer *writer, uint64_t *lease, uint64_t offset, uint64_t size,
                        bool keep);
void fill_writer_write(struct fill_writer *writer, const char *data, size_t size);
void fill_writer_finish(struct fill_writer *writer);
void fill_writer_abort(struct fill_writer *writer); /* harmless in every state */
/* No more will come: an object that may be kept is, as far as it was handed over, unless somebody follows and
 * can go on; else as abort(). */
void fill_writer_break(struct fill_writer *writer);
bool fill_writer_busy(const struct fill_writer *writer);
/* Asked right at the start, because it is large, whether the cache takes it; changed() tells of the answer.
 */
bool fill_writer_awaits_acceptance(const struct fill_writer *writer);
/* OPEN or ENDING */
bool fill_writer_active(const struct fill_writer *writer);
void fill_writer_stalled(struct deadline *deadline);

#endif
