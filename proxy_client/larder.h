/* larder.h: become a proxy of a Larder cache.
 *
 * Link with libproxy_client.a, liblarder_common.a and libsodium (bench/ipc.c is a complete small client).
 *
 * One `larder_client` is one registration of this process with the cache of one instance: a reply queue, a
 * segment pool and two rings. A cache of several shards is one cache here: the client registers with all of
 * them, with two rings for each, and knows where a key, a handle or a lease belongs. Every call returns at
 * once, but larder_client_destroy(), which may wait up to 100 ms to say BYE. Operations are queued with the
 * functions below, handed over with larder_client_flush() and answered by events that larder_client_next()
 * delivers in any order. The loop that it is meant for:
 *
 *     watch larder_client_fd() for reading (level-triggered);
 *     for (;;) {
 *         while (larder_client_next(client, &event))
 *             handle(&event);
 *         larder_client_flush(client);                 // at most one system call, none if the cache is awake
 *         if (larder_client_may_sleep(client))         // false: an event has arrived meanwhile
 *             epoll_wait(..., -1);
 *         else
 *             epoll_wait(..., 0);
 *         if (larder_client_fd() was readable)
 *             larder_client_wake(client);              // reads bells, notices births and deaths of the cache
 *     }
 *
 * Cache absent: the client keeps trying by itself (several times a second, with jitter), announces
 * LARDER_EVENT_ATTACHED when it has registered and LARDER_EVENT_DETACHED when the cache is gone; in between
 * every operation returns -ENOTCONN. When the cache is lost, each operation under way is answered with
 * LARDER_LOST, and handles, leases and follow handles of that registration become void: using one returns
 * -ESTALE.
 *
 * Segments: a caller borrows a segment, writes a key (or bytes) into it and passes it to an operation, which
 * owns it until the operation's event gives it back. A segment in the caller's hands stays readable until it
 * is returned, even if the cache has been lost since; it must be returned before larder_client_destroy().
 *
 * One fetch for many: of several that miss one key, one gets the lease. Another that asked with
 * LARDER_LOOKUP_FOLLOW gets a follow handle and is told with it what the holder of the lease does:
 *
 *     larder_follow(follow, LARDER_FOLLOW_NOTHING)
 *         OK, follow still set   the fill grows. The first time `handle` pins the growing object: read
 * metadata and body with it as far as `filled`, and ask again with what is known by then HIT complete;
 * `handle` pins it unless an earlier event gave it OK, promoted           the holder has gone and `lease` is
 * ours: fetch the rest and go on with larder_fill_data() at offset `filled`. If the origin cannot give the
 * rest: larder_fill_discard(), and look up again MISS, promoted         `lease` is ours and nothing is there:
 * larder_fill_begin() MISS                   nothing will come of it (the key was removed, or nobody went
 * on): look up again MISS, broken           it ends here: no more will come than was given, go on without the
 * cache BUSY                   as many handles or leases are out as may be; go on without the cache
 *
 * Hot segments: what a look-up has found may stay in its segment and be used again without asking:
 *
 *     LARDER_LOOKUP_KEEP, and the event says `kept`
 *     for each use: larder_segment_is_current(), and fresh_until of the event lies ahead?
 *         then larder_segment_used(), and the segment is served as it was the first time;
 *         otherwise it is returned (or passed to another operation), and the key looked up anew
 *
 * The cache marks the segment before anybody hears that the object was replaced, removed, renewed, purged or
 * evicted. Between the question and the last byte sent anything may happen, as with any answer of the cache.
 * A segment that is kept is held, like one that was borrowed.
 *
 * Trust: what the cache hands over was stored by some proxy of the same tenant. Metadata and bodies are
 * opaque here; whoever interprets them checks them first.
 *
 * Threads: a client belongs to one thread. Errors: 0 or -errno. Times: milliseconds since the Unix epoch
 * (CLOCK_REALTIME). */
#ifndef LARDER_H
#define LARDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct larder_client; /* opaque */

/* A piece of the pool that the caller holds. `data` and `size` may be read; the rest is the library's. */
struct larder_segment {
    uint8_t *data;
    uint32_t size; /* bytes */
};

enum larder_event_kind {
    LARDER_EVENT_ATTACHED, /* registered; operations work from now on */
    LARDER_EVENT_DETACHED, /* the cache is gone; the client is looking for the next one */
    LARDER_EVENT_LOOKUP,
    LARDER_EVENT_READ,
    LARDER_EVENT_FILL_BEGIN,
    LARDER_EVENT_FILL_DATA,
    LARDER_EVENT_FILL_END,
    LARDER_EVENT_UPDATE,
    LARDER_EVENT_REMOVE,
    LARDER_EVENT_FOLLOW,
    LARDER_EVENT_PURGE,
    LARDER_EVENT_DRAIN,   /* an administrator wants us to take no new clients and finish what we are at, */
    LARDER_EVENT_UNDRAIN, /*   or to take clients again; the registration stays, all operations work */
};

enum larder_status {
    LARDER_OK,    /* done */
    LARDER_HIT,   /* LOOKUP: found, fresh_until lies ahead */
    LARDER_STALE, /* LOOKUP: found, fresh_until has passed (or LARDER_LOOKUP_REVALIDATE was asked) */
    LARDER_MISS,  /* LOOKUP: not there. REMOVE: nothing was there. End of a fill, UPDATE: removed meanwhile.
                     FOLLOW: see above */
    LARDER_BUSY,  /* LOOKUP: as many handles are out as may be (1024); go on without the cache */
    LARDER_TOO_LARGE, /* larger than the cache accepts; the lease is gone. LOOKUP: metadata larger than a
                         segment */
    LARDER_NO_MEMORY, /* everything that could be evicted is in use; the lease is gone */
    LARDER_FENCED,    /* handle or lease is not (any more) this registration's */
    LARDER_BAD,       /* the cache found the request malformed */
    LARDER_LOST,      /* the cache vanished before it answered */
};

struct larder_event {
    enum larder_event_kind kind;
    enum larder_status status;
    void *user;                     /* as passed to the operation */
    struct larder_segment *segment; /* given back, also with LARDER_LOST; NULL if the operation took none */

    /* LOOKUP with HIT or STALE, larder_read_meta(): the segment holds metadata, then the body from offset 0.
     * READ: the segment holds body bytes from `offset`. */
    uint32_t meta_length; /* bytes */
    uint32_t length;      /* body bytes in the segment */
    uint64_t offset;      /* of those body bytes in the object */
    uint64_t object_size; /* whole body, bytes; LARDER_SIZE_UNKNOWN while it grows unannounced */
    uint64_t handle;      /* pins the object until larder_release(); 0: nothing is pinned */
    uint64_t
        lease;   /* right to fill this key; 0: not asked for, another has it, or a bound (256) is reached */
    bool lapsed; /* LOOKUP: stale by a soft purge, and nothing has made it fresh since */
    int64_t fresh_until; /* LOOKUP, READ: as given with the fill or the last update */

    /* LOOKUP: a place among those who follow the holder of the lease; 0: not asked for, nobody has it, or a
     *         bound (256) is reached. Each event that gives one is matched by one larder_unfollow(), even if
     *         it is the same again, unless a FOLLOW event ends it for all of them.
     * FOLLOW: the handle asked with; 0: it has ended. */
    uint64_t follow;
    uint64_t filled; /* FOLLOW: body bytes that have arrived */
    bool promoted;   /* FOLLOW: `lease` was another's */
    bool broken;     /* FOLLOW: the rest will not come, */
    bool changed;    /*         nor can it be had from the origin, which has something else by now */

    uint64_t purged;    /* PURGE: objects that have been removed or made stale, */
    uint64_t cancelled; /*        and leases that have been cancelled, by now */
    bool goes_on;       /*        the cache still looks for more; nobody else finds them any more */

    /* LOOKUP with LARDER_LOOKUP_KEEP, HIT: the segment may be used again for as long as
     * larder_segment_is_current(). Of a longer body it stands for the version whose beginning it holds. Not
     * set when as many segments are kept as may be: half of the pool, 1024, and 4096 of a tenant. */
    bool kept;
};

struct larder_options {
    const char *instance;   /* NULL: "default"; [A-Za-z0-9_-]{1,32} */
    const char *tenant;     /* NULL: "default"; [A-Za-z0-9._-]{1,63} */
    uint32_t segments;      /* 0: LARDER_DEFAULT_SEGMENTS; LARDER_MIN_SEGMENTS .. LARDER_MAX_SEGMENTS */
    uint32_t segment_bytes; /* 0: LARDER_DEFAULT_SEGMENT_BYTES; a multiple of 64 */
};

/* For a cache of another user; see docs/operations.md, Several users. */
struct larder_sharing {
    bool shared;
    uint32_t group; /* gid: queue and pool are opened to it, of which the cache is a member */
    bool has_cache_user;
    uint32_t cache_user; /* uid: trusted besides this process's own and root */
};

#define LARDER_DEFAULT_SEGMENTS      32u
#define LARDER_MIN_SEGMENTS          4u
#define LARDER_MAX_SEGMENTS          16384u
#define LARDER_DEFAULT_SEGMENT_BYTES (68u * 1024) /* a body of 64 KiB with its metadata */
#define LARDER_MIN_SEGMENT_BYTES     (4u * 1024)
#define LARDER_MAX_SEGMENT_BYTES     (1024u * 1024)
#define LARDER_MAX_META              65535u       /* bytes */
#define LARDER_MAX_KEY               (16u * 1024) /* bytes; and key + metadata must fit in one segment */

/* Creates the client and its IPC objects, sweeps names that dead proxies of this uid left behind, and starts
 * to look for the cache. On failure *out is NULL and `problem` (of problem_size bytes) says in one line what
 * happened, to what, and what to do: pool larger than /dev/shm has room for (-ENOSPC), queue limits reached
 * (-EMFILE, -ENOSPC), names or sizes out of range (-EINVAL). A cache that is not there is not a failure. */
int larder_client_create(struct larder_client **out, const struct larder_options *options, char *problem,
                         size_t problem_size);

/* The same; `sharing` NULL: with nobody. */
int larder_client_create_shared(struct larder_client **out, const struct larder_options *options,
                                const struct larder_sharing *sharing, char *problem, size_t problem_size);

/* Says BYE, unlinks and frees everything, nulls the caller's pointer. Return all segments before. */
void larder_client_destroy(struct larder_client **client);

int larder_client_fd(const struct larder_client *client);
void larder_client_wake(struct larder_client *client);
bool larder_client_next(struct larder_client *client, struct larder_event *event);
void larder_client_flush(struct larder_client *client);
/* An answer is there, for who looks for one before sleeping. Cheap: one load of shared memory. */
bool larder_client_has_answer(const struct larder_client *client);
bool larder_client_may_sleep(struct larder_client *client);
bool larder_client_attached(const struct larder_client *client);
/* Whether LARDER_EVENT_DRAIN came last; also kept for, and told to, the next cache. */
bool larder_client_drained(const struct larder_client *client);
/* Largest body that the cache accepts, in bytes; 0 while not attached. */
uint64_t larder_client_max_object(const struct larder_client *client);
/* What is wrong while not attached (one line, for a log), or "" if all is well. */
const char *larder_client_problem(const struct larder_client *client);

/* -EAGAIN: all segments are out; -ENOTCONN: no cache. */
int larder_segment_borrow(struct larder_client *client, struct larder_segment **out);
/* The same, for one of `count` that will be read and sent one after the other, this one included: one
 * sendfile(2) takes what stands side by side in the pool. *place says where the row goes on (0: it begins)
 * and is set for the next one; a row that finds its place taken goes on elsewhere. */
int larder_segment_borrow_next(struct larder_client *client, struct larder_segment **out, uint32_t *place,
                               uint32_t count);
/* Nulls the caller's pointer. */
void larder_segment_return(struct larder_client *client, struct larder_segment **segment);

/* ---- segments that stay: `kept` in the event of a look-up ---- */

/* May what it shows be used without asking? False also when it was not kept, and once the cache that filled
 * it is gone or has ended the registration. Costs two loads. It does not look at the clock. */
bool larder_segment_is_current(const struct larder_segment *segment);
/* It is being used once more: the cache counts that as a hit, and the object as used. */
void larder_segment_used(struct larder_segment *segment);

/* ---- segments for sendfile(2), and for vmsplice(2) of the bytes themselves ---- */

/* The descriptor of the pool, and where in it segment->data begins; -1: the pool must not be used so, for
 * /dev/shm has huge pages (tmpfs(5), huge=), parts of which cannot be replaced. It is the library's, and good
 * for as long as the segment is held, also when the cache is lost meanwhile. Not to be closed, and no other
 * descriptor of that file either: that would drop the lock by which the cache knows us. */
int larder_segment_file(const struct larder_segment *segment, off_t *offset);
/* Its pages were given to sendfile(2) or a pipe: sockets refer to the pages themselves (over loopback those
 * of the receiver, too), and nobody tells when they let go. So from now on nothing is written into the
 * segment; when it is returned, or passed to larder_read() or larder_read_meta(), its pages are replaced by
 * new ones first. To other operations, which would want bytes of the caller's in it, it cannot be passed
 * (-EINVAL). When new pages cannot be had, a segment that is returned stays out of circulation until they
 * can; larder_read() says -ENOSPC, and the segment, which then has no pages, may only be returned. */
void larder_segment_lent(struct larder_segment *segment);

/* Operations. All take ownership of *segment (and null it) only when they return 0. Errors: -ENOTCONN,
 * -EAGAIN (too many under way: wait for an event), -ESTALE (handle or lease of an earlier registration),
 * -EINVAL (lengths that do not fit), in which case the caller still has its segment. */

#define LARDER_LOOKUP_LEASE      1u  /* on MISS or STALE, grant the lease if nobody has it */
#define LARDER_LOOKUP_NO_BODY    2u  /* metadata only (HEAD); nothing is pinned unless STALE */
#define LARDER_LOOKUP_REVALIDATE 4u  /* treat what is found as stale */
#define LARDER_LOOKUP_FOLLOW     8u  /* on MISS or STALE, if the lease is out (also to us): a follow handle */
#define LARDER_LOOKUP_KEEP       16u /* on HIT, the segment is to be used again: see `kept` */
/* The segment's first key_length bytes are the key. HIT with the whole body in the segment pins nothing; HIT
 * with a longer body, and every STALE, returns a handle. A lease that is granted ends with FILL_END,
 * larder_fill_abort() or larder_update() and should not be held idle. */
int larder_lookup(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  uint32_t flags, void *user);
/* The same for the lease of something that was asked for at `asked_ms` (CLOCK_REALTIME, milliseconds), before
 * it was known what its key would be: none is granted if anything of the tenant has been purged since then.
 */
int larder_lookup_asked(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                        uint32_t flags, int64_t asked_ms, void *user);

/* Asks for up to `length` (at most segment size) body bytes at `offset`. */
int larder_read(struct larder_client *client, uint64_t handle, uint64_t offset,
                struct larder_segment **segment, uint32_t length, void *user);
/* Metadata and up to `length` body bytes from offset 0 (at most 68 KiB), as far as they fit. */
int larder_read_meta(struct larder_client *client, uint64_t handle, struct larder_segment **segment,
                     uint32_t length, void *user);
/* Unpins. No event. Cannot fail: a handle of an earlier registration is ignored. */
void larder_release(struct larder_client *client, uint64_t handle);

#define LARDER_SIZE_UNKNOWN UINT64_MAX
struct larder_fill {
    uint64_t lease;
    uint32_t key_length;  /* the segment holds key, */
    uint32_t meta_length; /*   metadata, */
    uint32_t body_length; /*   and the first body bytes, in this order */
    uint64_t object_size; /* body bytes in all, or LARDER_SIZE_UNKNOWN */
    int64_t fresh_until;
    int64_t keep_until;   /* not handed out after this; >= fresh_until */
    uint32_t tags_length; /* bytes of tags, between key and metadata: see larder_purge() */
    bool lasting;         /* not fresh or stale by itself: soft purges spare it */
};
/* Starts the object. If body_length == object_size the fill is complete and ends by itself: the event is
 * FILL_BEGIN with OK, the object is stored, no FILL_END is needed. The new object becomes visible when its
 * fill ends, and replaces an older one under that key; readers of the old one keep it. */
int larder_fill_begin(struct larder_client *client, const struct larder_fill *fill,
                      struct larder_segment **segment, void *user);
/* Appends `length` bytes; `offset` must be where the object ends so far (FILL_BEGIN's body included). Several
 * may be under way. After an event with a status other than OK the fill is over and its lease gone. */
int larder_fill_data(struct larder_client *client, uint64_t lease, uint64_t offset,
                     struct larder_segment **segment, uint32_t length, void *user);
/* Commits. `object_size` must be what has arrived. */
int larder_fill_end(struct larder_client *client, uint64_t lease, uint64_t object_size, void *user);
/* Gives the lease back. What was filled is for one who follows to go on with, or lost if nobody does. No
 * event. Cannot fail. */
void larder_fill_abort(struct larder_client *client, uint64_t lease);
/* The same when nobody can go on with what was filled (the origin has something else by now): those who were
 * given some of it are told LARDER_MISS, broken; of the others one is promoted and begins anew. */
void larder_fill_discard(struct larder_client *client, uint64_t lease);

/* The same as larder_fill_abort(), but if nobody follows, what was filled is stored as far as it came, with
 * its metadata and whatever size was announced. So the metadata must tell that it is not whole. */
void larder_fill_keep(struct larder_client *client, uint64_t lease);

#define LARDER_FOLLOW_NOTHING UINT64_MAX
/* Asks what the holder of the lease does. The event comes when there is news: at once if more than `known`
 * body bytes have arrived, or (LARDER_FOLLOW_NOTHING) any metadata. One at a time for each handle. */
int larder_follow(struct larder_client *client, uint64_t follow, uint64_t known, void *user);
/* Gives a follow handle back. No event of its own; a larder_follow() under way is answered soon. What was
 * pinned stays so. Cannot fail. */
void larder_unfollow(struct larder_client *client, uint64_t follow);

/* Replaces metadata and times of the pinned object (a revalidation said "not modified"); the segment's first
 * meta_length bytes are the new metadata. Ends `lease` (0: none). The handle stays pinned. */
int larder_update(struct larder_client *client, uint64_t handle, uint64_t lease,
                  struct larder_segment **segment, uint32_t meta_length, int64_t fresh_until,
                  int64_t keep_until, void *user);

/* The same; the segment holds tags, then the metadata. The tags take the place of those that the object had;
 * if there are none (0 bytes) it keeps them. */
int larder_update_tagged(struct larder_client *client, uint64_t handle, uint64_t lease,
                         struct larder_segment **segment, uint32_t tags_length, uint32_t meta_length,
                         int64_t fresh_until, int64_t keep_until, void *user);

/* Removes what is stored under the key (the segment's first key_length bytes). A fill of that key that is
 * under way is not stored. */
int larder_remove(struct larder_client *client, struct larder_segment **segment, uint32_t key_length,
                  void *user);

/* Purges what our tenant has stored; the event comes when nobody finds it any more, through any proxy. Fills
 * and validations that have begun before are not stored, and what was pinned may be read to its end. The
 * segment's first `length` bytes are
 *
 *     LARDER_PURGE_KEY     a key; with it go its parts, whose keys are this one, LARDER_KEY_PART and more
 *     LARDER_PURGE_PREFIX  what the keys begin with; 0 bytes: everything
 *     LARDER_PURGE_TAGS    tags, each with a zero byte behind it: LARDER_MAX_TAGS of LARDER_MAX_TAG bytes
 *
 * Soft: what is found is stale from now on; larder_update() with a lease that was granted later makes it
 * fresh. BUSY: too many purges are under way, and nothing has happened (in a cache of several shards: some of
 * it may have). */
#define LARDER_PURGE_KEY    0u
#define LARDER_PURGE_PREFIX 1u
#define LARDER_PURGE_TAGS   2u
#define LARDER_PURGE_SOFT   4u
#define LARDER_KEY_PART     '\n'
#define LARDER_MAX_TAGS     64u
#define LARDER_MAX_TAG      256u
#define LARDER_TAGS_BYTES   (LARDER_MAX_TAGS * (LARDER_MAX_TAG + 1))
int larder_purge(struct larder_client *client, struct larder_segment **segment, uint32_t length,
                 uint32_t flags, void *user);

#endif
