/* cache_link.h: the proxy's one connection to the cache, shared by all exchanges.
 *
 * Adds to larder.h what many users of one client need: answers find their way back even if whoever asked has
 * died meanwhile (an operation object outlives its owner; a late answer gives segment, handle, lease and
 * follow handle back), users wait in line for segments, and a cache that does not answer is recognised and
 * left alone until it does.
 *
 * Ownership: the link owns the larder_client. An operation belongs to the link from cache_link_...() until
 * its answer; the owner is told through done(), or severs itself before it dies. Threads: one, that of the
 * loop. Errors: 0 or -errno, as in larder.h. */
#ifndef LARDER_CACHE_LINK_H
#define LARDER_CACHE_LINK_H

#include "http_message.h"
#include "larder.h"
#include "proxy_loop.h"
#include "spin.h"

struct cache_op;

/* The owner's list of its operations under way. */
struct cache_ops {
    struct cache_op *first;
    unsigned count;
};

/* What the owner does not take out of the event (segment; handle, lease and follow handle of a lookup; handle
 * and lease of a follow: set to NULL or 0) is given back after done() returns. */
typedef void cache_done(void *owner, struct cache_op *op, struct larder_event *event);

/* A place in the line for a segment, or for room among the operations under way. */
struct cache_wait {
    /* Tries again; false: still nothing, keep the place. */
    bool (*retry)(struct cache_wait *wait);
    struct cache_wait *prev, *next;
};

/* Keeps segments for later that requests may need now. */
struct cache_keeper {
    /* A request finds no segment. True: one came back. */
    bool (*give_way)(struct cache_keeper *keeper);
    void (*lost)(struct cache_keeper *keeper); /* the cache is gone: what is kept is void */
};

struct cache_link {
    struct loop_source source;
    struct loop_watch watch;
    struct loop_task serve_waiters;
    struct proxy_loop *loop;
    struct larder_client *client;
    struct cache_op *free_ops, *last_made;
    struct cache_wait waiting; /* head of the line */
    unsigned waiting_count;
    bool serving, woken; /* the line; and meanwhile something came back */
    uint32_t segments, segment_bytes;
    uint32_t held;               /* segments that are out, */
    uint32_t kept;               /*   and those among them that the keeper has */
    struct cache_keeper *keeper; /* or NULL */
    uint32_t outstanding;        /* operations that were asked for and not answered, but for follows */
    struct spin spin;            /* before the loop sleeps */
    int64_t asleep_ns;           /* since when it waits for an answer; 0: it does not */
    bool spun;                   /* it has looked for one first */
    bool silent;                 /* asked, and nothing came back in time */
    bool readable;
    int64_t last_answer_ms;
    int64_t complain_after_ms;           /* about not being registered */
    void (*drain)(void *owner, bool on); /* an administrator wants no new clients, or again; may be NULL */
    void *drain_owner;
};

int cache_link_setup(struct cache_link *link, struct proxy_loop *loop, const struct larder_options *options,
                     const struct larder_sharing *sharing, char *problem, size_t problem_size);
/* So many hundredths of a processor may go into looking for answers before the loop sleeps; 0: none. */
void cache_link_set_spin(struct cache_link *link, unsigned percent);
void cache_link_teardown(struct cache_link *link);

/* Attached and answering: is it worth asking? A silent cache is asked again when it owes no answer, because
 * only an answer shows that it is well. */
bool cache_link_usable(const struct cache_link *link);
/* More than half of the segments that are not kept are out: whoever can do without one gives it back. */
bool cache_link_is_scarce(const struct cache_link *link);
void cache_link_set_keeper(struct cache_link *link, struct cache_keeper *keeper);
/* An answer to an operation did not come in time. Unless others were answered meanwhile, the cache counts as
 * silent. Waiting in line for a segment is no reason to call this: nothing has been asked. */
void cache_link_timed_out(struct cache_link *link, int64_t asked_ms);

int cache_link_borrow(struct cache_link *link, struct larder_segment **segment);
void cache_link_return(struct cache_link *link, struct larder_segment **segment);

/* A key is `prefix` followed by `rest`. -EINVAL: too long. */
struct cache_key {
    struct http_span prefix, rest;
};

/* The operations of larder.h; `ops` is the owner's list. Those that take a key borrow the segment themselves.
 */
int cache_link_lookup(struct cache_link *link, struct cache_ops *ops, const struct cache_key *key,
                      uint32_t flags, cache_done *done, void *owner);
/* larder_lookup_asked() */
int cache_link_lookup_asked(struct cache_link *link, struct cache_ops *ops, const struct cache_key *key,
                            uint32_t flags, int64_t asked_ms, cache_done *done, void *owner);
int cache_link_remove(struct cache_link *link, struct cache_ops *ops, const struct cache_key *key,
                      cache_done *done, void *owner);
int cache_link_read(struct cache_link *link, struct cache_ops *ops, uint64_t handle, uint64_t offset,
                    uint32_t length, cache_done *done, void *owner);
/* The same into the next segment of a row, see larder_segment_borrow_next(). */
struct cache_row {
    uint32_t place; /* 0: it begins */
    uint32_t count; /* still to come */
};
int cache_link_read_row(struct cache_link *link, struct cache_ops *ops, uint64_t handle, uint64_t offset,
                        uint32_t length, struct cache_row *row, cache_done *done, void *owner);
int cache_link_read_meta(struct cache_link *link, struct cache_ops *ops, uint64_t handle, uint32_t length,
                         cache_done *done, void *owner);
/* The answer may take any time, which says nothing about the cache. The handle stays the owner's: who dies
 * gives it back. */
int cache_link_follow(struct cache_link *link, struct cache_ops *ops, uint64_t follow, uint64_t known,
                      cache_done *done, void *owner);
int cache_link_fill_begin(struct cache_link *link, struct cache_ops *ops, const struct larder_fill *fill,
                          struct larder_segment **segment, cache_done *done, void *owner);
int cache_link_fill_data(struct cache_link *link, struct cache_ops *ops, uint64_t lease, uint64_t offset,
                         struct larder_segment **segment, uint32_t length, cache_done *done, void *owner);
int cache_link_fill_end(struct cache_link *link, struct cache_ops *ops, uint64_t lease, uint64_t object_size,
                        cache_done *done, void *owner);
struct cache_purge {
    struct cache_key what; /* or prefix, or tags, one behind the other */
    uint32_t flags;        /* LARDER_PURGE_... */
};
int cache_link_purge(struct cache_link *link, struct cache_ops *ops, const struct cache_purge *purge,
                     cache_done *done, void *owner);
/* The removal of a key once there is a segment to ask with; nobody is told how it went. It outlives its
 * caller. */
void cache_link_remove_later(struct cache_link *link, const struct cache_key *key);
struct cache_update {
    uint64_t handle, lease;
    uint32_t tags_length; /* in front of the metadata */
    uint32_t meta_length;
    int64_t fresh_until, keep_until;
};
int cache_link_renew(struct cache_link *link, struct cache_ops *ops, const struct cache_update *update,
                     struct larder_segment **segment, cache_done *done, void *owner);
/* Nobody is told how it went. */
int cache_link_update(struct cache_link *link, const struct cache_update *update,
                      struct larder_segment **segment);
void cache_link_release(struct cache_link *link, uint64_t *handle); /* nulls it; 0 is allowed */
void cache_link_give_up(struct cache_link *link, uint64_t *lease);  /* larder_fill_abort(), the same way */
void cache_link_discard(struct cache_link *link, uint64_t *lease);  /* larder_fill_discard() */
void cache_link_keep(struct cache_link *link, uint64_t *lease);     /* larder_fill_keep() */
void cache_link_unfollow(struct cache_link *link, uint64_t *follow);

/* The owner dies or has lost interest in all its answers. */
void cache_ops_sever(struct cache_ops *ops);

/* -ENOBUFS: the line is as long as it may be. */
int cache_link_wait(struct cache_link *link, struct cache_wait *wait);
/* In front of all others, however long the line is: for the one that spares them segments (hot.h). */
void cache_link_wait_first(struct cache_link *link, struct cache_wait *wait);
void cache_link_unwait(struct cache_link *link, struct cache_wait *wait); /* harmless if it does not wait */
bool cache_wait_waits(const struct cache_wait *wait);
/* What a retry() ends with: false if it has joined the line anew; it keeps its place instead. */
bool cache_link_retried(struct cache_link *link, struct cache_wait *wait);

#endif
